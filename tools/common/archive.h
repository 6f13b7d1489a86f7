/* Zip archives: the module that links libzip, and with it a library of ciphers whose
 * loading would double the start of every command. Loaded when an archive is first
 * touched.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_ARCHIVE_H
#define TOOLS_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>

#define ARCHIVE_MODULE "libplanish-archive.so"
#define ARCHIVE_SYMBOL "planish_archive"

/* Both owned, by malloc. */
typedef struct archive_member {
    char *name;
    unsigned char *bytes;
    size_t len;
} archive_member;

/* What the module exports under ARCHIVE_SYMBOL. */
typedef struct archive_fns {
    /* All members, unpacked. 0; or an exit code and why, and nothing is owned. */
    int (*read)(const char *path, archive_member **members, size_t *n, char *why,
                size_t why_size);
    /* Writes them as they are, not packed; false leaves what was written. */
    bool (*write)(const char *path, const archive_member *members, size_t n);
} archive_fns;

#endif
