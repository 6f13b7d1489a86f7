/* The textual form of models in the public interface.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/external.h"
#include "src/ir/env.h"
#include "src/ir/text.h"
#include "src/ir/version.h"
#include "src/util/size.h"

#define DATA_ALIGN 64 /* of a tensor in the file */

/* ---- printing ---------------------------------------------------------------------- */

typedef struct data_file {
    FILE *file;
    char *path, *temporary;
    uint64_t size;
} data_file;

static pln_status data_failed(const data_file *d, pln_error *err)
{
    return pln_fail(err, PLN_E_IO, "can't write %s: %s", d->path, strerror(errno));
}

static pln_status put_data(void *user, const void *bytes, size_t size, uint64_t *offset,
                           pln_error *err)
{
    static const char zeros[DATA_ALIGN];
    data_file *d = user;
    const size_t gap = (size_t)(pln_align_up((size_t)d->size, DATA_ALIGN) - d->size);
    if (fwrite(zeros, 1, gap, d->file) != gap ||
        (size && fwrite(bytes, 1, size, d->file) != size))
        return data_failed(d, err);
    *offset = d->size + gap;
    d->size = *offset + size;
    return PLN_OK;
}

static pln_status open_data(data_file *d, const pln_allocator *a, const char *path,
                            pln_error *err)
{
    const size_t len = strlen(path);
    d->path = pln_alloc(a, len + 1);
    d->temporary = pln_alloc(a, len + 8);
    if (!d->path || !d->temporary)
        return pln_oom(err);
    memcpy(d->path, path, len + 1);
    snprintf(d->temporary, len + 8, "%s.XXXXXX", path);
    const int fd = mkstemp(d->temporary);
    d->file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!d->file) {
        const pln_status st = data_failed(d, err);
        if (fd >= 0) {
            close(fd);
            unlink(d->temporary);
        }
        return st;
    }
    return PLN_OK;
}

/* The file appears under its name only when all of it is there. */
static pln_status close_data(data_file *d, const pln_allocator *a, pln_status st,
                             pln_error *err)
{
    if (d->file) {
        const bool ok = fflush(d->file) == 0 && fchmod(fileno(d->file), 0644) == 0;
        if (fclose(d->file) || !ok || (st == PLN_OK && rename(d->temporary, d->path)))
            st = st == PLN_OK ? data_failed(d, err) : st;
        if (st != PLN_OK)
            unlink(d->temporary);
    }
    pln_release(a, d->path);
    pln_release(a, d->temporary);
    return st;
}

static pln_status print_lowered(pln_model *m, const pln_print_options *o, pln_text *out,
                                pln_error *err)
{
    pln_text_style style = { .inline_limit = o ? o->inline_limit : UINT32_MAX };
    data_file data = { .file = NULL };
    PLN_TRY(pln_model_lower(m, err));
    if (!o || !o->data_path)
        return pln_text_print_model(m, &style, out, err);
    const char *slash = strrchr(o->data_path, '/');
    style.location = slash ? slash + 1 : o->data_path;
    style.data = put_data;
    style.user = &data;
    pln_status st = open_data(&data, m->alloc, o->data_path, err);
    if (st == PLN_OK)
        st = pln_text_print_model(m, &style, out, err);
    return close_data(&data, m->alloc, st, err);
}

PLN_API pln_status pln_model_print(const pln_model *model, const pln_print_options *options,
                                   char **text, pln_error *err)
{
    pln_text out;
    pln_model *copy;
    pln_error_clear(err);
    if (!model || !text)
        return pln_fail(err, PLN_E_USAGE, "pln_model_print: NULL argument");
    *text = NULL;
    /* Lowering for the file's operator sets changes nodes. */
    PLN_TRY(pln_model_clone(model, &copy, err));
    pln_text_init(&out, copy->alloc);
    pln_status st = print_lowered(copy, options, &out, err);
    if (st == PLN_OK) {
        *text = pln_text_take(&out);
        st = *text ? PLN_OK : pln_oom(err);
    }
    pln_text_done(&out);
    pln_model_free(copy);
    return st;
}

/* ---- parsing ----------------------------------------------------------------------- */

static pln_status open_external(void *user, const char *location, uint64_t offset,
                                uint64_t length, pln_buf **buf, const unsigned char **data,
                                size_t *size, pln_error *err)
{
    pln_buf *b;
    PLN_TRY(pln_external_open(user, location, strlen(location), &b, err));
    if (length == UINT64_MAX && offset <= b->size)
        length = b->size - offset;
    if (offset > b->size || length > b->size - offset)
        return pln_fail(err, PLN_E_FORMAT,
                        "external data '%.100s' has %zu bytes, but %llu at %llu are wanted",
                        location, b->size, (unsigned long long)length,
                        (unsigned long long)offset);
    *buf = pln_buf_ref(b);
    *data = b->data + offset;
    *size = (size_t)length;
    return PLN_OK;
}

static pln_status keep_directory(pln_model *m, const char *directory)
{
    const size_t size = directory ? strlen(directory) + 1 : 0;
    if (!size)
        return PLN_OK;
    m->directory = pln_alloc(m->alloc, size);
    if (!m->directory)
        return PLN_E_NOMEM;
    memcpy(m->directory, directory, size);
    return PLN_OK;
}

PLN_API pln_status pln_model_parse(pln_env *env, const char *text, size_t len,
                                   const char *directory, pln_model **out, pln_error *err)
{
    pln_error_clear(err);
    if (!text || !out)
        return pln_fail(err, PLN_E_USAGE, "pln_model_parse: NULL argument");
    *out = NULL;
    env = pln_env_ref(env);
    if (!env)
        return pln_oom(err);
    pln_externals files = { .alloc = &env->alloc, .directory = directory,
                            .refused = !directory, .limit = env->limits.file_bytes };
    const pln_text_source source = { open_external, &files };
    pln_status st = pln_text_parse_model(env, text, len, &source, out, err);
    pln_externals_done(&files);
    if (st == PLN_OK && keep_directory(*out, directory) != PLN_OK) {
        pln_model_free(*out);
        *out = NULL;
        st = pln_oom(err);
    }
    pln_env_unref(env);
    return st;
}
