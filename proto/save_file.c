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
        return pln_fail(err, PLN_E_USAGE,
                        "external data '%s' is no plain file name beside "
                        "the model",
                        location);
    const int n = snprintf(out, PLN_MAX_PATH, "%.*s%s",
                           slash ? (int)(slash - path + 1) : 0, path, location);
    return n < PLN_MAX_PATH ? PLN_OK : pln_fail(err, PLN_E_USAGE, "the path is too long");
}

/* Whether the file at `path` has weights of the model. */
static bool holds_weights(const pln_model *m, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return false;
    for (size_t i = 0; i < m->n_outside; i++)
        if (m->outside[i].dev == st.st_dev && m->outside[i].ino == st.st_ino)
            return true;
    return false;
}

static bool is_source(const pln_model *m, const char *path)
{
    struct stat st;
    return m->source && stat(path, &st) == 0 && m->source->file.dev == st.st_dev &&
           m->source->file.ino == st.st_ino;
}

static pln_status spare_weights(const pln_model *m, const char *path, const char *outside,
                                pln_error *err)
{
    const bool alone = holds_weights(m, path);
    if (!alone && (!*outside || is_source(m, path) || !holds_weights(m, outside)))
        return PLN_OK;
    return pln_fail(err, PLN_E_USAGE,
                    "%s has weights of the model that was read: it is not "
                    "overwritten",
                    alone ? path : outside);
}

static pln_status begin(pln_out_file *model, pln_out_file *data, const pln_model *m,
                        const pln_writer *w, const char *path, pln_error *err)
{
    char outside[PLN_MAX_PATH] = "";
    if (w->n_outside)
        PLN_TRY(external_path(path, w->location, outside, err));
    PLN_TRY(spare_weights(m, path, outside, err));
    PLN_TRY(pln_out_begin(model, path, true, err));
    if (!w->n_outside)
        return PLN_OK;
    if (!*model->temp)
        return pln_fail(err, PLN_E_USAGE, "external data has no place beside %s", path);
    return pln_out_begin(data, outside, false, err);
}

pln_status pln_save_files(const pln_model *m, const pln_writer *w, const char *path,
                          pln_error *err)
{
    pln_out_file model = PLN_OUT_FILE_INIT, data = PLN_OUT_FILE_INIT;
    pln_status st = begin(&model, &data, m, w, path, err);
    if (st == PLN_OK)
        st = put_message(&model, w, err);
    if (st == PLN_OK && w->n_outside)
        st = put_outside(&data, w, err);
    if (st == PLN_OK && w->n_outside)
        st = pln_out_commit(&data, err);
    if (st == PLN_OK)
        st = pln_out_commit(&model, err);
    pln_out_end(&data);
    pln_out_end(&model);
    return st;
}
