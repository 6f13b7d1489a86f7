/* The environment: what models, sessions and runs share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_ENV_H
#define PLN_IR_ENV_H

#include "src/util/alloc.h"
#include "src/util/status.h"

struct pln_registry;

struct pln_env {
    _Atomic uint32_t refs;
    pln_allocator alloc;
    pln_log_fn log;
    void *log_user;
    pln_log_level log_level;
    pln_limits limits; /* defaults filled in */
    struct pln_registry *registry;
    struct pln_env_item *items; /* the user's operators and plug-ins */
    void (*release_items)(struct pln_env *env); /* NULL: there are none */
};

/* Its allocator, for what may outlive it: tensors that a caller keeps. Where it is the C
 * library's, that one itself, which is always there. */
static inline const pln_allocator *pln_env_allocator(const pln_env *env)
{
    return !env || env->alloc.alloc == pln_allocator_libc.alloc ? &pln_allocator_libc
                                                               : &env->alloc;
}
/* References env, or makes a default one when it is NULL. NULL: no memory. */
pln_env *pln_env_ref(pln_env *env);
void pln_env_unref(pln_env *env);
void pln_log(const pln_env *env, pln_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
