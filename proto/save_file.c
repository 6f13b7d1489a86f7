/* Putting written messages on disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/save_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/external.h"
#include "src/util/out_file.h"

bool pln_same_directory(const char *directory, const char *path)
{
    struct stat a, b;
    const char *base;
    if (!directory || stat(*directory ? directory : ".", &a) < 0)
        return false;
    const int dir = pln_open_folder(path, &base);
    const bool ok = dir >= 0 && fstat(dir, &b) == 0;
    if (dir >= 0)
        close(dir);
    return ok && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static pln_status put_message(pln_out_file *f, const pln_writer *w, pln_error *err)
{
    const void *data;
    size_t len, part = 0;
    while (pln_writer_part(w, &part, &data, &len))
        PLN_TRY(pln_out_put(f, data, len, err));
    return PLN_OK;
}

static pln_status put_outside(pln_out_file *f, const pln_writer *w, pln_error *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < w->n_outside; i++) {
        static const char zeros[4096];
        const pln_outside *o = &w->outside[i];
        PLN_TRY(pln_out_put(f, zeros, (size_t)(o->offset - at), err));
        PLN_TRY(pln_out_put(f, o->data, o->len, err));
        at = o->offset + o->len;
    }
    return PLN_OK;
}

/* The external file lies beside the model, by a plain name: nowhere else is written. */
static pln_status external_path(const char *path, const char *location, char *out,
                                pln_error *err)
{
    const char *slash = strrchr(path, '/');
    if (!pln_external_is_safe(location, strlen(location)) || strchr(location, '/') ||
        !strcmp(location, slash ? slash + 1 : path))
        return pln_fail(err, PLN_E_USAGE, "external data '%s' is no plain file name beside "
                        "the model", location);
    const int n = snprintf(out, PLN_MAX_PATH, "%.*s%s",
                           slash ? (int)(slash - path + 1) : 0, path, location);
    return n < PLN_MAX_PATH ? PLN_OK : pln_fail(err, PLN_E_USAGE, "the path is too long");
}

pln_status pln_save_files(const pln_writer *w, const char *path, pln_error *err)
{
    char outside[PLN_MAX_PATH];
    pln_out_file model, data = PLN_OUT_FILE_INIT;
    pln_status st = pln_out_begin(&model, path, true, err);
    if (st == PLN_OK)
        st = put_message(&model, w, err);
    if (st == PLN_OK && w->n_outside) {
        st = external_path(path, w->location, outside, err);
        if (st == PLN_OK)
            st = pln_out_begin(&data, outside, false, err);
        if (st == PLN_OK)
            st = put_outside(&data, w, err);
        if (st == PLN_OK)
            st = pln_out_commit(&data, err);
    }
    if (st == PLN_OK)
        st = pln_out_commit(&model, err);
    pln_out_end(&data);
    pln_out_end(&model);
    return st;
}
