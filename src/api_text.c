/* The textual form of models in the public interface.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/load.h"
#include "src/ir/env.h"
#include "src/ir/text.h"
#include "src/ir/version.h"
#include "src/util/out_file.h"
#include "src/util/size.h"

#define DATA_ALIGN 64 /* of a tensor in the file */

/* ---- printing ---------------------------------------------------------------------- */

typedef struct data_file {
    pln_out_file file;
    uint64_t size;
} data_file;

static pln_status put_data(void *user, const void *bytes, size_t size, uint64_t *offset,
                           pln_error *err)
{
    static const char zeros[DATA_ALIGN];
    data_file *d = user;
    const size_t gap = (size_t)(pln_align_up((size_t)d->size, DATA_ALIGN) - d->size);
    PLN_TRY(pln_out_put(&d->file, zeros, gap, err));
    PLN_TRY(pln_out_put(&d->file, bytes, size, err));
    *offset = d->size + gap;
    d->size = *offset + size;
    return PLN_OK;
}

static pln_status print_lowered(pln_model *m, const pln_print_options *o, pln_text *out,
                                pln_error *err)
{
    pln_text_style style = { .inline_limit = o ? o->inline_limit : UINT32_MAX };
    data_file data = { .size = 0 };
    PLN_TRY(pln_model_lower(m, err));
    if (!o || !o->data_path)
        return pln_text_print_model(m, &style, out, err);
    const char *slash = strrchr(o->data_path, '/');
    style.location = slash ? slash + 1 : o->data_path;
    style.data = put_data;
    style.user = &data;
    pln_status st = pln_out_begin(&data.file, o->data_path, true, err);
    if (st == PLN_OK)
        st = pln_text_print_model(m, &style, out, err);
    if (st == PLN_OK)
        st = pln_out_commit(&data.file, err);
    pln_out_end(&data.file);
    return st;
}

PLN_API pln_status pln_model_print(const pln_model *model,
                                   const pln_print_options *options, char **text,
                                   pln_error *err)
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
                                uint64_t length, pln_buf **buf,
                                const unsigned char **data, size_t *size, pln_error *err)
{
    pln_buf *b;
    PLN_TRY(pln_external_open(user, location, strlen(location), &b, err));
    if (length == UINT64_MAX && offset <= b->size)
        length = b->size - offset;
    if (offset > b->size || length > b->size - offset)
        return pln_fail(
            err, PLN_E_FORMAT,
            "external data '%.100s' has %zu bytes, but %llu at %llu are wanted", location,
            b->size, (unsigned long long)length, (unsigned long long)offset);
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
    const bool kept = st == PLN_OK && pln_model_keep_outside(*out, &files) == PLN_OK &&
                      keep_directory(*out, directory) == PLN_OK;
    pln_externals_done(&files);
    if (st == PLN_OK && !kept) {
        pln_model_free(*out);
        *out = NULL;
        st = pln_oom(err);
    }
    pln_env_unref(env);
    return st;
}
