/* Sessions: a private copy of the model, made ready to be planned.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/env.h"
#include "src/ir/inline.h"
#include "src/ir/optimize.h"
#include "src/rt/session.h"
#include "src/util/parallel.h"

#include <stdlib.h>
#include <string.h>

/* ---- constants of the session's own ---------------------------------------------- */

/* A tensor that shares the bytes of t but has its own state: materializing or dropping it
 * does not touch the model that the session was made from. */
static pln_status private_tensor(const pln_allocator *a, const pln_tensor *t,
                                 pln_tensor **out, pln_error *err)
{
    if (t->raw.data || t->raw.decode)
        return pln_tensor_make_raw(a, (pln_dtype)t->dtype, t->rank, t->dims, &t->raw, out,
                                   err);
    const int64_t zero = 0;
    PLN_TRY(pln_tensor_make(a, (pln_dtype)t->dtype, 1, &zero, out, err));
    pln_tensor *mine = *out;
    pln_buf_unref(mine->buf);
    mine->buf = pln_buf_ref(t->buf);
    mine->data = t->data;
    mine->rank = t->rank;
    memcpy(mine->dims, t->dims, sizeof mine->dims);
    return PLN_OK;
}

static pln_status privatize(pln_model *m, const pln_tensor *t, pln_tensor **out,
                            pln_error *err)
{
    *out = NULL;
    if (t->kind != PLN_KIND_TENSOR)
        return PLN_OK; /* containers are never dropped */
    return private_tensor(m->alloc, t, out, err);
}

static pln_status privatize_attrs(pln_node *n, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        pln_attr *a = n->attrs[i];
        pln_tensor *t = NULL;
        if (a->type != PLN_ATTR_TENSOR || !a->t)
            continue;
        PLN_TRY(privatize(n->graph->model, a->t, &t, err));
        if (!t)
            continue;
        const pln_tensor *was = a->t;
        pln_status st = pln_node_set_tensor(n, a->name, t);
        if (st == PLN_OK && n->n_out && n->out[0] && n->out[0]->cst == was)
            pln_value_set_const(n->out[0], pln_tensor_ref(t));
        pln_tensor_unref(t);
        if (st != PLN_OK)
            return pln_oom(err);
    }
    return PLN_OK;
}

static pln_status privatize_graph(pln_graph *g, void *user)
{
    pln_error *err = user;
    for (pln_node *n = g->first; n; n = n->next)
        PLN_TRY(privatize_attrs(n, err));
    for (pln_value *v = g->values; v; v = v->next) {
        pln_tensor *t;
        if (!v->cst || v->kind == PLN_VALUE_NODE)
            continue;
        PLN_TRY(privatize(g->model, v->cst, &t, err));
        if (t)
            pln_value_set_const(v, t);
    }
    return PLN_OK;
}

/* ---- what can't be run ----------------------------------------------------------- */

static pln_status check_node(pln_node *n, pln_error *err)
{
    char where[256];
    const void *attrs;
    for (uint32_t i = 0; i < n->n_attrs; i++) /* kernels read them as they are */
        if (n->attrs[i]->type == PLN_ATTR_TENSOR && n->attrs[i]->t &&
            !(n->n_out && n->out[0] && pln_value_is_const(n->out[0])))
            PLN_TRY(pln_tensor_materialize(n->attrs[i]->t, err));
    if (n->op && (n->op->ref || n->op->cpu))
        return pln_node_attrs(n, &attrs, err);
    pln_error_set(err, "node", n->name);
    pln_error_set(err, "op", n->op_type);
    return pln_fail(err, PLN_E_UNSUPPORTED,
                    "%s: there is no operator %s in domain '%s' version %lld",
                    pln_node_where(n, where, sizeof where), n->op_type,
                    *n->domain ? n->domain : "ai.onnx",
                    (long long)pln_model_opset(n->graph->model, n->domain));
}

static pln_status check_graph(pln_graph *g, void *user)
{
    for (pln_node *n = g->first; n; n = n->next)
        PLN_TRY(check_node(n, user));
    return PLN_OK;
}

/* ---- inputs and outputs ---------------------------------------------------------- */

static const char *dim_name(pln_arena *arena, pln_dim d)
{
    if (pln_dim_is_known(d) || pln_dim_is_unknown(d))
        return NULL;
    pln_text t;
    pln_text_init(&t, pln_arena_allocator(arena));
    pln_dim_print(&t, d);
    const char *name = t.failed ? NULL : pln_arena_str(arena, t.data, t.len);
    pln_text_done(&t);
    return name;
}

/* Fills the public description of a value of type t. */
bool rt_io_fill(pln_arena *arena, const char *name, const pln_type *t, pln_io_info *out)
{
    *out = (pln_io_info){
        .name = name, .name_len = pln_name_len(name), .kind = t->kind, .rank = -1
    };
    const pln_type *e = t;
    while (e && (e->kind == PLN_KIND_SEQUENCE || e->kind == PLN_KIND_OPTIONAL) && e->elem)
        e = e->elem;
    out->dtype = e->dtype;
    out->type = pln_type_name(pln_arena_allocator(arena), arena, t);
    if (!out->type)
        return false;
    if (t->kind != PLN_KIND_TENSOR || t->shape.rank < 0)
        return true;
    out->rank = t->shape.rank;
    int64_t *dims = PLN_NEW_ARRAY(arena, int64_t, out->rank + 1);
    const char **names = PLN_NEW_ARRAY(arena, const char *, out->rank + 1);
    if (!dims || !names)
        return false;
    for (int k = 0; k < out->rank; k++) {
        dims[k] = pln_dim_is_known(t->shape.dims[k]) ? t->shape.dims[k].value : -1;
        names[k] = dim_name(arena, t->shape.dims[k]);
    }
    out->dims = dims;
    out->dim_names = names;
    return true;
}

static bool io_alloc(pln_session *s, pln_io io, size_t n)
{
    s->io[io] = PLN_NEW_ARRAY(s->arena, pln_io_info, n + 1);
    s->io_values[io] = PLN_NEW_ARRAY(s->arena, pln_value *, n + 1);
    s->io_types[io] = PLN_NEW_ARRAY(s->arena, const pln_type *, n + 1);
    return s->io[io] && s->io_values[io] && s->io_types[io];
}

static bool io_add(pln_session *s, pln_io io, pln_value *v, const char *name)
{
    const pln_type *t = v->declared ? v->declared : &v->type;
    pln_io_info *info = &s->io[io][s->n_io[io]];
    const char *own = pln_name_intern(s->model->names, name, pln_name_len(name));
    if (!own || !rt_io_fill(s->arena, own, t, info))
        return false;
    if (io == PLN_INPUT)
        info->has_default = v->cst != NULL;
    s->io_values[io][s->n_io[io]] = v;
    s->io_types[io][s->n_io[io]++] = t;
    return true;
}

static pln_status list_io(pln_session *s, pln_error *err)
{
    const pln_graph *g = s->model->graph;
    if (!io_alloc(s, PLN_INPUT, g->n_inputs) || !io_alloc(s, PLN_OUTPUT, g->n_outputs))
        return pln_oom(err);
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if ((!pln_value_is_const(g->inputs[i]) || s->source) &&
            !io_add(s, PLN_INPUT, g->inputs[i], g->inputs[i]->name))
            return pln_oom(err);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!io_add(s, PLN_OUTPUT, g->outputs[i], g->output_names[i]))
            return pln_oom(err);
    return PLN_OK;
}

/* ---- making ---------------------------------------------------------------------- */

static pln_status take_options(pln_session *s, const pln_session_options *o,
                               pln_error *err)
{
    s->n_threads = o->threads > 0 ? o->threads : pln_parallel_default_threads();
    s->all_values = o->all_values;
    s->seed = o->seed;
    PLN_TRY(rt_devices_parse(o->device, &s->devices, err));
    s->options = *o;
    if (o->device &&
        !(s->options.device = pln_arena_str(s->arena, o->device, strlen(o->device))))
        return pln_oom(err);
    return PLN_OK;
}

static pln_status optimize(pln_session *s, const pln_session_options *o, pln_error *err)
{
    if (o->no_optimize || o->all_values)
        return PLN_OK;
    return pln_model_optimize_for_session(s->model, err);
}

static bool has_defaults(const pln_model *m)
{
    for (uint32_t i = 0; i < m->graph->n_inputs; i++)
        if (m->graph->inputs[i]->cst && m->graph->inputs[i]->overridable)
            return true;
    return false;
}

/* Defaults are constants until a run replaces one. */
static pln_status fix_defaults(pln_session *s, const pln_model *model, pln_error *err)
{
    PLN_TRY(pln_model_clone(model, &s->source, err));
    for (uint32_t i = 0; i < s->model->graph->n_inputs; i++)
        s->model->graph->inputs[i]->overridable = false;
    return PLN_OK;
}

static pln_status prepare_model(pln_session *s, const pln_model *model,
                                const pln_session_options *o, bool general,
                                pln_error *err)
{
    PLN_TRY(pln_model_clone(model, &s->model, err));
    if (!general && has_defaults(model))
        PLN_TRY(fix_defaults(s, model, err));
    PLN_TRY(pln_graph_walk(s->model->graph, privatize_graph, err));
    PLN_TRY(pln_model_inline(s->model, err));
    PLN_TRY(pln_model_expand_gradients(s->model, err));
    PLN_TRY(pln_graph_walk(s->model->graph, check_graph, err));
    PLN_TRY(optimize(s, o, err));
    PLN_TRY(pln_graph_walk(s->model->graph, check_graph, err));
    PLN_TRY(list_io(s, err));
    s->const_read = PLN_NEW_ARRAY(s->arena, uint8_t, s->model->n_values + 1);
    return s->const_read ? PLN_OK : pln_oom(err);
}

static pln_status make_session(const pln_model *model, const pln_session_options *o,
                               bool general, pln_session **out, pln_error *err)
{
    pln_session *s = pln_calloc(model->alloc, 1, sizeof *s);
    if (!s)
        return pln_oom(err);
    s->env = pln_env_ref(model->env);
    s->alloc = pln_env_allocator(s->env);
    s->run_bytes = s->env->limits.run_bytes;
    s->tensor_bytes = s->env->limits.tensor_bytes;
    s->lock_made = pthread_mutex_init(&s->lock, NULL) == 0;
    s->arena = pln_arena_new(s->alloc);
    pln_status st = s->arena && s->lock_made ? take_options(s, o, err) : pln_oom(err);
    if (st == PLN_OK)
        st = prepare_model(s, model, o, general, err);
    if (st == PLN_OK)
        *out = s;
    else
        pln_session_free(s);
    return st;
}

PLN_API pln_status pln_session_new(const pln_model *model,
                                   const pln_session_options *options, pln_session **out,
                                   pln_error *err)
{
    const pln_session_options none = PLN_SESSION_OPTIONS_INIT;
    pln_error_clear(err);
    if (!out || !model)
        return pln_fail(err, PLN_E_USAGE, "a session needs a model");
    *out = NULL;
    return make_session(model, options ? options : &none, false, out, err);
}

pln_status rt_session_general(pln_session *s, pln_session **out, pln_error *err)
{
    pln_status st = PLN_OK;
    pthread_mutex_lock(&s->lock);
    if (!s->general)
        st = make_session(s->source, &s->options, true, &s->general, err);
    *out = s->general;
    pthread_mutex_unlock(&s->lock);
    return st;
}

PLN_API void pln_session_free(pln_session *s)
{
    if (!s)
        return;
    pln_session_free(s->general);
    pln_model_free(s->source);
    rt_cache_clear(&s->plans);
    rt_shared_free(s->alloc, s->shared);
    pln_model_free(s->model);
    pln_arena_free(s->arena);
    if (s->lock_made)
        pthread_mutex_destroy(&s->lock);
    pln_env *env = s->env;
    pln_release(s->alloc, s);
    pln_env_unref(env);
}

PLN_API int pln_session_threads(const pln_session *s)
{
    return s ? s->n_threads : 0;
}

PLN_API size_t pln_session_count(const pln_session *s, pln_io io)
{
    return s && (unsigned)io < 2 ? s->n_io[io] : 0;
}

PLN_API pln_status pln_session_io(const pln_session *s, pln_io io, size_t i,
                                  pln_io_info *out)
{
    if (!s || !out || (unsigned)io >= 2 || i >= s->n_io[io])
        return PLN_E_USAGE;
    *out = s->io[io][i];
    return PLN_OK;
}
