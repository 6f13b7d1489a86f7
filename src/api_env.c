/* Environments and errors of the public interface.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "src/ir/env.h"
#include "src/registry.h"
#include "src/util/cpu.h"
#include "src/util/near.h"
#include "src/util/near.h"

#define DEFAULT_TENSOR_BYTES (UINT64_C(64) << 30)
#define DEFAULT_RUN_BYTES    (UINT64_C(64) << 30)
#define DEFAULT_NODES        10000000u
#define DEFAULT_DEPTH        64u

static void fill_limits(pln_limits *l)
{
    if (!l->file_bytes)
        l->file_bytes = UINT64_MAX;
    if (!l->tensor_bytes)
        l->tensor_bytes = DEFAULT_TENSOR_BYTES;
    if (!l->run_bytes)
        l->run_bytes = DEFAULT_RUN_BYTES;
    if (!l->nodes)
        l->nodes = DEFAULT_NODES;
    if (!l->depth)
        l->depth = DEFAULT_DEPTH;
}

PLN_API pln_status pln_env_new(const pln_env_desc *desc, pln_env **out, pln_error *err)
{
    pln_error_clear(err);
    *out = NULL;
    const pln_env_desc none = PLN_ENV_DESC_INIT;
    if (!desc)
        desc = &none;
    const pln_allocator *a = &desc->allocator;
    if (!a->alloc != !a->free)
        return pln_fail(err, PLN_E_USAGE, "an allocator needs both alloc and free");
    if (!a->alloc)
        a = &pln_allocator_libc;
    pln_env *env = pln_calloc(a, 1, sizeof *env);
    if (!env)
        return pln_oom(err);
    atomic_init(&env->refs, 1);
    env->alloc = *a;
    env->log = desc->log;
    env->log_user = desc->log_user;
    env->log_level = desc->log_level;
    env->limits = desc->limits;
    fill_limits(&env->limits);
    env->registry = pln_registry_new(&env->alloc);
    if (!env->registry) {
        pln_env_unref(env);
        return pln_oom(err);
    }
    *out = env;
    return PLN_OK;
}

pln_env *pln_env_ref(pln_env *env)
{
    if (env)
        atomic_fetch_add_explicit(&env->refs, 1, memory_order_relaxed);
    else
        pln_env_new(NULL, &env, NULL);
    return env;
}

void pln_env_unref(pln_env *env)
{
    if (!env || atomic_fetch_sub_explicit(&env->refs, 1, memory_order_acq_rel) != 1)
        return;
    pln_registry_free(env->registry);
    if (env->release_items)
        env->release_items(env);
    const pln_allocator a = env->alloc;
    pln_release(&a, env);
}

PLN_API void pln_env_free(pln_env *env)
{
    pln_env_unref(env);
}

PLN_API void pln_free(pln_env *env, void *ptr)
{
    pln_release(env ? &env->alloc : NULL, ptr);
}

void pln_log(const pln_env *env, pln_log_level level, const char *fmt, ...)
{
    if (!env || !env->log || level > env->log_level)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    env->log(env->log_user, level, line);
}

PLN_API pln_error *pln_error_new(void)
{
    pln_error *err = pln_alloc(NULL, sizeof *err);
    pln_error_clear(err);
    return err;
}

PLN_API void pln_error_free(pln_error *err)
{
    pln_release(NULL, err);
}

PLN_API pln_status pln_error_code(const pln_error *err)
{
    return err ? err->code : PLN_OK;
}

PLN_API const char *pln_error_text(const pln_error *err)
{
    return err ? err->text : "";
}

PLN_API const char *pln_error_get(const pln_error *err, const char *key)
{
    if (!err || !key)
        return NULL;
    const char *v = !strcmp(key, "node")     ? err->node
                    : !strcmp(key, "op")     ? err->op
                    : !strcmp(key, "tensor") ? err->tensor
                    : !strcmp(key, "file")   ? err->file
                                             : "";
    return *v ? v : NULL;
}

PLN_API int64_t pln_error_offset(const pln_error *err)
{
    return err ? err->offset : -1;
}

/* One row for each status: name, exit code of the command (contract). */
static const struct {
    const char *name;
    int exit_code;
} statuses[] = {
    [PLN_OK] = { "PLN_OK", 0 },
    [PLN_E_USAGE] = { "PLN_E_USAGE", 2 },
    [PLN_E_IO] = { "PLN_E_IO", 3 },
    [PLN_E_FORMAT] = { "PLN_E_FORMAT", 3 },
    [PLN_E_INPUT] = { "PLN_E_INPUT", 3 },
    [PLN_E_UNSUPPORTED] = { "PLN_E_UNSUPPORTED", 4 },
    [PLN_E_RUN] = { "PLN_E_RUN", 5 },
    [PLN_E_LIMIT] = { "PLN_E_LIMIT", 6 },
    [PLN_E_NOMEM] = { "PLN_E_NOMEM", 6 },
    [PLN_E_CANCELLED] = { "PLN_E_CANCELLED", 6 },
};

PLN_API int pln_status_exit_code(pln_status st)
{
    return (size_t)st < sizeof statuses / sizeof *statuses ? statuses[st].exit_code : 5;
}

PLN_API const char *pln_status_name(pln_status st)
{
    return (size_t)st < sizeof statuses / sizeof *statuses ? statuses[st].name : "?";
}

PLN_API uint32_t pln_version(void)
{
    return 0u << 16 | 1u << 8 | 0u;
}

PLN_API const char *pln_version_string(void)
{
    return PLN_VERSION_STRING;
}

PLN_API const char *pln_cpu_name(void)
{
    return pln_isa_name(pln_cpu_isa());
}

PLN_API const char *pln_suggest(const char *word, const char *const *names)
{
    pln_near near;
    pln_near_begin(&near, word ? word : "");
    for (; names && *names; names++)
        pln_near_offer(&near, *names);
    return near.best;
}
