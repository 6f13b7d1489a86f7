/* Zip archives, through libzip: deflated, stored, zip64. A module of its own (archive.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

/* NULL, or what is wrong; then rc is the exit code. */
static const char *read_member(zip_t *z, zip_uint64_t i, archive_member *m, int *rc)
{
    zip_stat_t st;
    *rc = 3;
    if (zip_stat_index(z, i, 0, &st) || !(st.valid & ZIP_STAT_SIZE) || !st.name)
        return "a member can't be read";
    m->name = strdup(st.name);
    m->bytes = malloc(st.size ? st.size : 1);
    m->len = st.size;
    if (!m->name || !m->bytes) {
        *rc = 6;
        return "out of memory";
    }
    zip_file_t *f = zip_fopen_index(z, i, 0);
    const bool ok = f && zip_fread(f, m->bytes, st.size) == (zip_int64_t)st.size;
    if (f)
        zip_fclose(f);
    return ok ? NULL : "can't be unpacked";
}

static void free_members(archive_member *members, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(members[i].name);
        free(members[i].bytes);
    }
    free(members);
}

static int read_all(zip_t *z, archive_member **out, size_t *n_out, char *why, size_t size)
{
    const zip_int64_t n = zip_get_num_entries(z, 0);
    archive_member *members = calloc(n > 0 ? (size_t)n : 1, sizeof *members);
    int rc = 6;
    const char *what = members ? NULL : "out of memory";
    zip_int64_t i = 0;
    for (; !what && i < n; i++)
        what = read_member(z, (zip_uint64_t)i, &members[i], &rc);
    if (!what) {
        *out = members;
        *n_out = n > 0 ? (size_t)n : 0;
        return 0;
    }
    const char *name = i ? members[i - 1].name : NULL;
    if (name && rc == 3)
        snprintf(why, size, "member '%.80s' %s", name, what);
    else
        snprintf(why, size, "%s", what);
    if (members)
        free_members(members, (size_t)n);
    return rc;
}

static int read_archive(const char *path, archive_member **members, size_t *n, char *why,
                        size_t why_size)
{
    int code;
    zip_t *z = zip_open(path, ZIP_RDONLY, &code);
    if (!z) {
        zip_error_t e;
        zip_error_init_with_code(&e, code);
        snprintf(why, why_size, "can't read: %s", zip_error_strerror(&e));
        zip_error_fini(&e);
        return 3;
    }
    const int rc = read_all(z, members, n, why, why_size);
    zip_discard(z);
    return rc;
}

static bool add(zip_t *z, const archive_member *m)
{
    zip_source_t *s = zip_source_buffer(z, m->bytes, m->len, 0);
    const zip_int64_t at =
        s ? zip_file_add(z, m->name, s, ZIP_FL_ENC_UTF_8 | ZIP_FL_OVERWRITE) : -1;
    if (s && at < 0)
        zip_source_free(s);
    return at >= 0 && !zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_STORE, 0);
}

/* The end record, which is all that NumPy wants of an archive without members; libzip
 * does not write such a file at all. */
static bool write_empty(const char *path)
{
    static const unsigned char end[22] = { 'P', 'K', 5, 6 };
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(end, 1, sizeof end, f) == sizeof end;
    if (f)
        ok = !fclose(f) && ok;
    return ok;
}

static bool write_archive(const char *path, const archive_member *members, size_t n)
{
    int code;
    if (!n)
        return write_empty(path);
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    bool ok = z != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = add(z, &members[i]);
    if (z && (!ok || zip_close(z))) {
        zip_discard(z);
        ok = false;
    }
    return ok;
}

extern const archive_fns planish_archive;
__attribute__((visibility("default")))
const archive_fns planish_archive = { read_archive, write_archive };
