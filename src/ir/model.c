/* Models: making, freeing, opsets, functions.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/op.h"

const char *pln_model_name(pln_model *model, const char *cstr)
{
    return pln_name_cstr(model->names, cstr);
}

static bool fill(pln_model *m)
{
    m->arena = pln_arena_new(m->alloc);
    m->names = m->arena ? pln_names_new(m->arena) : NULL;
    m->syms = m->names ? pln_syms_new(m->arena) : NULL;
    if (!m->syms)
        return false;
    const char *empty = pln_model_name(m, "");
    m->producer_name = m->producer_version = m->model_domain = m->doc = empty;
    m->graph = empty ? pln_graph_new(m, NULL, NULL) : NULL;
    return m->graph != NULL;
}

pln_status pln_model_new(pln_env *env, pln_model **out, pln_error *err)
{
    *out = NULL;
    env = pln_env_ref(env);
    if (!env)
        return pln_oom(err);
    pln_model *m = pln_calloc(&env->alloc, 1, sizeof *m);
    if (!m) {
        pln_env_unref(env);
        return pln_oom(err);
    }
    m->env = env;
    m->alloc = pln_env_allocator(env);
    m->registry = env->registry;
    if (!fill(m)) {
        pln_model_free(m);
        return pln_oom(err);
    }
    *out = m;
    return PLN_OK;
}

PLN_API void pln_model_free(pln_model *model)
{
    if (!model)
        return;
    for (pln_graph *g = model->graphs; g; g = g->next_graph) {
        for (pln_value *v = g->values; v; v = v->next)
            pln_tensor_unref(v->cst);
        pln_map_done(&g->by_name);
    }
    for (size_t i = 0; i < model->n_owned; i++)
        pln_tensor_unref(model->owned[i]);
    pln_release(model->alloc, model->owned);
    pln_release(model->alloc, model->directory);
    pln_arena_free(model->arena);
    pln_arena_free(model->io_arena);
    pln_buf_unref(model->source);
    pln_env *env = model->env;
    pln_release(model->alloc, model);
    pln_env_unref(env);
}

pln_status pln_model_own(pln_model *model, pln_tensor *t)
{
    if (!pln_grow(model->alloc, (void **)&model->owned, &model->cap_owned,
                  model->n_owned + 1, sizeof *model->owned))
        return PLN_E_NOMEM;
    model->owned[model->n_owned++] = pln_tensor_ref(t);
    return PLN_OK;
}

const char *pln_domain_normal(const char *domain)
{
    return !domain || !strcmp(domain, "ai.onnx") ? "" : domain;
}

bool pln_domain_is_official(const char *domain)
{
    const char *d = pln_domain_normal(domain);
    return !*d || !strcmp(d, "ai.onnx.ml") || !strcmp(d, "ai.onnx.training") ||
           !strcmp(d, "ai.onnx.preview.training") || !strcmp(d, "ai.onnx.preview");
}

int64_t pln_model_opset(const pln_model *model, const char *domain)
{
    const char *d = pln_domain_normal(domain);
    for (size_t i = 0; i < model->n_opsets; i++)
        if (!strcmp(pln_domain_normal(model->opsets[i].domain), d))
            return model->opsets[i].version;
    return 0;
}

pln_status pln_model_set_opset(pln_model *model, const char *domain, int64_t version)
{
    const char *d = pln_domain_normal(domain);
    bool found = false;
    for (size_t i = 0; i < model->n_opsets; i++)
        if (!strcmp(pln_domain_normal(model->opsets[i].domain), d)) {
            model->opsets[i].version = version;
            found = true;
        }
    if (found)
        return PLN_OK;
    pln_opset *all = PLN_NEW_ARRAY(model->arena, pln_opset, model->n_opsets + 1);
    const char *name = pln_model_name(model, domain);
    if (!all || !name)
        return PLN_E_NOMEM;
    if (model->n_opsets)
        memcpy(all, model->opsets, model->n_opsets * sizeof *all);
    all[model->n_opsets++] = (pln_opset){ name, version };
    model->opsets = all;
    return PLN_OK;
}

const pln_function *pln_model_find_function(const pln_model *model, const char *domain,
                                            const char *name, const char *overload)
{
    for (size_t i = 0; i < model->n_functions; i++) {
        const pln_function *f = model->functions[i];
        if (!strcmp(f->name, name) &&
            !strcmp(pln_domain_normal(f->domain), pln_domain_normal(domain)) &&
            !strcmp(f->overload ? f->overload : "", overload ? overload : ""))
            return f;
    }
    return NULL;
}

static void adopt(pln_model *m)
{
    for (pln_graph *g = m->graphs; g; g = g->next_graph)
        g->model = m;
}

void pln_model_swap(pln_model *a, pln_model *b)
{
    const pln_model t = *a;
    *a = *b;
    *b = t;
    adopt(a);
    adopt(b);
}
