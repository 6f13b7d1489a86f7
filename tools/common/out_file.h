/* Files that appear under their name only when all of them is there.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_OUT_FILE_H
#define TOOLS_OUT_FILE_H

#include <stdbool.h>

typedef struct out_file {
    char *target, *temp; /* what is to be written, and what is renamed to it */
    bool stream;         /* a device or a pipe, which can't be replaced: it gets a copy */
} out_file;

/* An empty o->temp to be filled. 0, or 3 or 6 after an error was printed. */
int out_begin(out_file *o, const char *path);
/* What o->temp holds becomes the file if rc is 0; else nothing is left of it. Returns rc,
 * or 3 after an error was printed. */
int out_end(out_file *o, int rc);

#endif
