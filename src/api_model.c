/* Models of the public interface: reading, facts about inputs and outputs, metadata.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/load.h"
#include "proto/save.h"
#include "src/ir/env.h"
#include "src/ir/graph.h"
#include "src/io_info.h"

static pln_status read_file(pln_env *env, const char *path, bool copy, pln_buf **out,
                            pln_error *err)
{
    *out = NULL;
    /* O_NONBLOCK: opening a FIFO must not wait; it is refused afterwards. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pln_fail(err, PLN_E_IO, "can't open %s: %s", path, strerror(errno));
    const pln_status st = pln_buf_of_file(pln_env_allocator(env), fd, path, copy,
                                          env->limits.file_bytes, out, err);
    close(fd);
    return st;
}

static pln_status directory_of(pln_env *env, const char *path, char **out, pln_error *err)
{
    const char *slash = strrchr(path, '/');
    const size_t len = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    *out = pln_alloc(&env->alloc, len + 2);
    if (!*out)
        return pln_oom(err);
    memcpy(*out, path, len);
    strcpy(*out + len, len ? "" : ".");
    return PLN_OK;
}

static pln_status load_path(pln_env *env, const char *path,
                            const pln_load_options *options, pln_model **out,
                            pln_error *err)
{
    char *directory;
    pln_buf *source;
    PLN_TRY(directory_of(env, path, &directory, err));
    pln_status st = read_file(env, path, options->copy, &source, err);
    if (st == PLN_OK) {
        st = pln_proto_load(env, source, directory, options, out, err);
        pln_buf_unref(source);
        if (st != PLN_OK)
            pln_fail_prefix(err, st, "%s", path);
    }
    pln_release(&env->alloc, directory);
    if (st != PLN_OK)
        pln_error_set(err, "file", path);
    return st;
}

/* Callers may have been compiled when the struct had fewer fields. */
static pln_load_options read_options(const pln_load_options *in)
{
    pln_load_options o = PLN_LOAD_OPTIONS_INIT;
    if (in)
        memcpy(&o, in, in->struct_size < sizeof o ? in->struct_size : sizeof o);
    return o;
}

PLN_API pln_status pln_model_load(pln_env *env, const char *path,
                                  const pln_load_options *options, pln_model **out,
                                  pln_error *err)
{
    pln_error_clear(err);
    if (!out)
        return pln_fail(err, PLN_E_USAGE, "pln_model_load: no place for the model");
    *out = NULL;
    if (!path)
        return pln_fail(err, PLN_E_USAGE, "pln_model_load: no path");
    env = pln_env_ref(env);
    if (!env)
        return pln_oom(err);
    const pln_load_options o = read_options(options);
    const pln_status st = load_path(env, path, &o, out, err);
    pln_env_unref(env);
    return st;
}

static pln_status wrap_memory(pln_env *env, const void *data, size_t len,
                              const pln_load_options *o, pln_buf **out, pln_error *err)
{
    void *bytes = (void *)(uintptr_t)data;
    *out = o->copy
               ? pln_buf_new(pln_env_allocator(env), len)
               : pln_buf_wrap(pln_env_allocator(env), bytes, len, o->release, o->user);
    if (!*out)
        return pln_oom(err);
    if (o->copy && len)
        memcpy((*out)->data, data, len);
    return PLN_OK;
}

static pln_status load_bytes(pln_env *env, const void *data, size_t len,
                             const pln_load_options *o, pln_model **out, pln_error *err)
{
    pln_buf *source;
    if (len > env->limits.file_bytes)
        return pln_fail(err, PLN_E_LIMIT, "the model has %zu bytes, the limit is %llu",
                        len, (unsigned long long)env->limits.file_bytes);
    PLN_TRY(wrap_memory(env, data, len, o, &source, err));
    const pln_status st = pln_proto_load(env, source, o->directory, o, out, err);
    if (st != PLN_OK)
        source->user_release =
            NULL; /* the memory stays the caller's when the call fails */
    pln_buf_unref(source);
    return st;
}

PLN_API pln_status pln_model_load_memory(pln_env *env, const void *data, size_t len,
                                         const pln_load_options *options,
                                         pln_model **out, pln_error *err)
{
    pln_error_clear(err);
    if (!out)
        return pln_fail(err, PLN_E_USAGE,
                        "pln_model_load_memory: no place for the model");
    *out = NULL;
    if (!data)
        return pln_fail(err, PLN_E_USAGE, "pln_model_load_memory: no data");
    env = pln_env_ref(env);
    if (!env)
        return pln_oom(err);
    const pln_load_options o = read_options(options);
    const pln_status st = load_bytes(env, data, len, &o, out, err);
    pln_env_unref(env);
    return st;
}

/* ---- inputs and outputs ------------------------------------------------------------ */

PLN_API size_t pln_model_count(const pln_model *model, pln_io io)
{
    return model ? pln_graph_count_io(model->graph, io) : 0;
}

/* The arrays belong to the model, which threads share: hence the lock. */
PLN_API pln_status pln_model_io(const pln_model *model, pln_io io, size_t i,
                                pln_io_info *out)
{
    if (!model || !out)
        return PLN_E_USAGE;
    pln_model *m = (pln_model *)(uintptr_t)model;
    while (atomic_flag_test_and_set_explicit(&m->io_lock, memory_order_acquire))
        ;
    if (!m->io_arena)
        m->io_arena = pln_arena_new(m->alloc);
    const pln_status st =
        m->io_arena ? pln_graph_io_info(m->graph, io, i, m->io_arena, out) : PLN_E_NOMEM;
    atomic_flag_clear_explicit(&m->io_lock, memory_order_release);
    return st;
}

/* ---- metadata ---------------------------------------------------------------------- */

PLN_API const char *pln_model_metadata(const pln_model *model, const char *key,
                                       size_t *len)
{
    if (len)
        *len = 0;
    if (!model || !key)
        return NULL;
    for (size_t i = 0; i < model->n_metadata; i++) {
        if (strcmp(model->metadata[i].key, key))
            continue;
        if (len)
            *len = pln_name_len(model->metadata[i].value);
        return model->metadata[i].value;
    }
    return NULL;
}

PLN_API pln_status pln_model_set_metadata(pln_model *model, const char *key,
                                          const char *value, pln_error *err)
{
    pln_error_clear(err);
    if (!model || !key || !value)
        return pln_fail(err, PLN_E_USAGE, "pln_model_set_metadata: NULL argument");
    const char *k = pln_model_name(model, key), *v = pln_model_name(model, value);
    if (!k || !v)
        return pln_oom(err);
    for (size_t i = 0; i < model->n_metadata; i++)
        if (model->metadata[i].key == k) {
            model->metadata[i].value = v;
            return PLN_OK;
        }
    pln_metadata *all = PLN_NEW_ARRAY(model->arena, pln_metadata, model->n_metadata + 1);
    if (!all)
        return pln_oom(err);
    if (model->n_metadata)
        memcpy(all, model->metadata, model->n_metadata * sizeof *all);
    all[model->n_metadata++] = (pln_metadata){ k, v };
    model->metadata = all;
    return PLN_OK;
}

/* ---- writing ----------------------------------------------------------------------- */

PLN_API pln_status pln_model_save(const pln_model *model, const char *path,
                                  const pln_save_options *options, pln_error *err)
{
    pln_error_clear(err);
    if (!model || !path)
        return pln_fail(err, PLN_E_USAGE, "pln_model_save: NULL argument");
    const pln_status st = pln_proto_save(model, path, options, err);
    if (st != PLN_OK)
        pln_error_set(err, "file", path);
    return st;
}

PLN_API pln_status pln_model_save_memory(const pln_model *model, void **data, size_t *len,
                                         pln_error *err)
{
    pln_error_clear(err);
    if (!model || !data || !len)
        return pln_fail(err, PLN_E_USAGE, "pln_model_save_memory: NULL argument");
    return pln_proto_save_memory(model, data, len, err);
}
