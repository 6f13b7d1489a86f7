/* Operators of the user's own: rows made from pln_op_def, and plug-ins that register
 * them. SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/env.h"
#include "src/ir/version.h"
#include "src/registry.h"

#include <dlfcn.h>
#include <string.h>

/* A registered operator or a loaded plug-in; freed with the environment. */
struct pln_env_item {
    struct pln_env_item *next;
    pln_op_desc row;
    pln_op_def def;
    void *plugin;
};

struct pln_op_call {
    const pln_node *node;
    pln_infer *inf; /* while inferring */
    pln_call *call; /* while running */
    pln_tensor *const *in;
    size_t n_in;
    pln_error *err;
};

/* ---- operator sets --------------------------------------------------------------- */

static int64_t newest_of(const pln_registry *r, const char *domain)
{
    int64_t newest = 0;
    const pln_op_desc *op;
    for (size_t i = 0; (op = pln_registry_at(r, i)); i++)
        if (!strcmp(op->domain, domain) && op->since > newest)
            newest = op->since;
    return newest;
}

PLN_API int64_t pln_env_opset(pln_env *env, const char *domain)
{
    const char *d = domain ? pln_domain_normal(domain) : "";
    if (!*d)
        return PLN_OPSET_NEWEST;
    if (!strcmp(d, "ai.onnx.ml"))
        return PLN_OPSET_NEWEST_ML;
    env = pln_env_ref(env);
    const int64_t newest = env ? newest_of(env->registry, d) : 0;
    pln_env_unref(env);
    return newest;
}

/* ---- calls ----------------------------------------------------------------------- */

PLN_API size_t pln_op_call_inputs(const pln_op_call *c)
{
    return c->n_in;
}

PLN_API size_t pln_op_call_outputs(const pln_op_call *c)
{
    return c->node->n_out;
}

PLN_API const pln_tensor *pln_op_call_input(const pln_op_call *c, size_t i)
{
    return i < c->n_in ? c->in[i] : NULL;
}

PLN_API pln_tensor *pln_op_call_output(const pln_op_call *c, size_t i)
{
    return c->call && i < c->call->n_out ? c->call->out[i] : NULL;
}

PLN_API pln_status pln_op_call_fail(pln_op_call *c, pln_status st, const char *text)
{
    char where[192];
    pln_error_set(c->err, "node", c->node->name);
    pln_error_set(c->err, "op", c->node->op_type);
    return pln_fail(c->err, st, "%s: %s", pln_node_where(c->node, where, sizeof where),
                    text ? text : "failed");
}

static pln_status infer_output(pln_op_call *c, size_t i, pln_dtype dt, int rank,
                               const int64_t *dims)
{
    if (rank < 0) {
        pln_infer_set(c->inf, (uint32_t)i, dt, pln_shape_unknown());
        return PLN_OK;
    }
    pln_shape shape = pln_infer_shape(c->inf, rank);
    if (shape.rank != rank)
        return pln_oom(c->err);
    for (int k = 0; k < rank; k++)
        shape.dims[k] = dims[k] < 0 ? pln_dim_unknown() : pln_dim_of(dims[k]);
    pln_infer_set(c->inf, (uint32_t)i, dt, shape);
    return PLN_OK;
}

PLN_API pln_status pln_op_call_set_output(pln_op_call *c, size_t i, pln_dtype dt,
                                          int rank, const int64_t *dims)
{
    if (i >= c->node->n_out || rank > PLN_MAX_RANK || (rank > 0 && !dims) ||
        (unsigned)dt >= PLN_DT_COUNT)
        return pln_op_call_fail(c, PLN_E_USAGE, "pln_op_call_set_output: bad arguments");
    if (c->inf)
        return infer_output(c, i, dt, rank, dims);
    if (!c->call->out[i])
        return PLN_OK;
    return pln_call_output(c->call, (uint32_t)i, dt, rank, dims, c->err);
}

static const pln_attr *find_attr(const pln_op_call *c, const char *name,
                                 pln_attr_type type)
{
    const pln_attr *a = name ? pln_node_find_attr(c->node, name) : NULL;
    return a && a->type == type ? a : NULL;
}

PLN_API int64_t pln_op_call_attr_int(const pln_op_call *c, const char *name,
                                     int64_t otherwise)
{
    const pln_attr *a = find_attr(c, name, PLN_ATTR_INT);
    return a ? a->i : otherwise;
}

PLN_API float pln_op_call_attr_float(const pln_op_call *c, const char *name,
                                     float otherwise)
{
    const pln_attr *a = find_attr(c, name, PLN_ATTR_FLOAT);
    return a ? a->f : otherwise;
}

PLN_API const char *pln_op_call_attr_string(const pln_op_call *c, const char *name,
                                            const char *otherwise)
{
    const pln_attr *a = find_attr(c, name, PLN_ATTR_STRING);
    return a ? a->s : otherwise;
}

PLN_API const int64_t *pln_op_call_attr_ints(const pln_op_call *c, const char *name,
                                             size_t *n)
{
    const pln_attr *a = find_attr(c, name, PLN_ATTR_INTS);
    *n = a ? a->n : 0;
    return a ? a->ints : NULL;
}

PLN_API const float *pln_op_call_attr_floats(const pln_op_call *c, const char *name,
                                             size_t *n)
{
    const pln_attr *a = find_attr(c, name, PLN_ATTR_FLOATS);
    *n = a ? a->n : 0;
    return a ? a->floats : NULL;
}

/* ---- the row's functions --------------------------------------------------------- */

/* A tensor that describes what is known of an input: -1 for unknown dimensions. */
static pln_tensor *describe(pln_infer *inf, uint32_t i)
{
    const pln_type *t = inf->in[i];
    pln_tensor *d = PLN_NEW(inf->arena, pln_tensor);
    if (!d)
        return NULL;
    d->refs = 1;
    d->borrowed = true;
    d->kind = (uint8_t)t->kind;
    d->dtype = (uint8_t)t->dtype;
    d->rank = t->kind == PLN_KIND_TENSOR ? t->shape.rank : 0;
    for (int k = 0; k < d->rank; k++)
        d->dims[k] = pln_dim_is_known(t->shape.dims[k]) ? t->shape.dims[k].value : -1;
    if (inf->in_cst[i])
        d->data = inf->in_cst[i]->data;
    return d;
}

static pln_status user_infer(pln_infer *inf, pln_error *err)
{
    const struct pln_env_item *item = inf->node->op->user;
    if (!item->def.infer)
        return PLN_OK;
    pln_tensor **in = PLN_NEW_ARRAY(inf->arena, pln_tensor *, inf->n_in + 1);
    if (!in)
        return pln_oom(err);
    for (uint32_t i = 0; i < inf->n_in; i++)
        if (inf->in[i] && !(in[i] = describe(inf, i)))
            return pln_oom(err);
    pln_op_call c = {
        .node = inf->node, .inf = inf, .in = in, .n_in = inf->n_in, .err = err
    };
    const pln_status st = item->def.infer(&c, item->def.user);
    return st == PLN_OK || (err && err->code != PLN_OK)
               ? st
               : pln_op_call_fail(&c, st, "shape inference failed");
}

static pln_status user_run(pln_call *call, pln_error *err)
{
    const struct pln_env_item *item = call->node->op->user;
    pln_op_call c = { .node = call->node,
                      .call = call,
                      .in = (pln_tensor *const *)call->in,
                      .n_in = call->n_in,
                      .err = err };
    const pln_status st = item->def.run(&c, item->def.user);
    return st == PLN_OK || (err && err->code != PLN_OK)
               ? st
               : pln_op_call_fail(&c, st, "its kernel failed");
}

/* ---- registering ----------------------------------------------------------------- */

static void release_items(pln_env *env)
{
    while (env->items) {
        struct pln_env_item *item = env->items;
        env->items = item->next;
        if (item->plugin)
            dlclose(item->plugin);
        pln_release(&env->alloc, item);
    }
}

static struct pln_env_item *new_item(pln_env *env)
{
    struct pln_env_item *item = pln_calloc(&env->alloc, 1, sizeof *item);
    if (!item)
        return NULL;
    item->next = env->items;
    env->items = item;
    env->release_items = release_items;
    return item;
}

static pln_status check_def(const pln_op_def *d, pln_error *err)
{
    if (!d || !d->name || !*d->name || !d->run)
        return pln_fail(err, PLN_E_USAGE, "an operator needs a name and a run function");
    if (d->min_inputs < 0 || d->min_outputs < 0 ||
        (d->max_inputs >= 0 && d->max_inputs < d->min_inputs) ||
        (d->max_outputs >= 0 && d->max_outputs < d->min_outputs))
        return pln_fail(err, PLN_E_USAGE,
                        "operator %s: its numbers of inputs or outputs "
                        "contradict each other",
                        d->name);
    return PLN_OK;
}

PLN_API pln_status pln_op_register(pln_env *env, const pln_op_def *def, pln_error *err)
{
    pln_error_clear(err);
    if (!env)
        return pln_fail(err, PLN_E_USAGE, "operators are registered in an environment");
    PLN_TRY(check_def(def, err));
    struct pln_env_item *item = new_item(env);
    if (!item)
        return pln_oom(err);
    item->def = *def;
    item->row = (pln_op_desc){
        .name = def->name,
        .domain = pln_domain_normal(def->domain ? def->domain : ""),
        .since = def->since_version > 0 ? def->since_version : 1,
        .in = { def->min_inputs, def->max_inputs < 0 ? PLN_VARIADIC : def->max_inputs },
        .out = { def->min_outputs,
                 def->max_outputs < 0 ? PLN_VARIADIC : def->max_outputs },
        .traits = def->pure ? 0 : PLN_OP_EFFECT | PLN_OP_RANDOM,
        .infer = user_infer,
        .ref = user_run,
        .user = item,
    };
    return pln_registry_add(env->registry, &item->row) ? PLN_OK : pln_oom(err);
}

PLN_API pln_status pln_env_load_plugin(pln_env *env, const char *path, pln_error *err)
{
    pln_error_clear(err);
    if (!env || !path)
        return pln_fail(err, PLN_E_USAGE, "plug-ins are loaded into an environment");
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so) {
        const char *why = dlerror();
        pln_error_set(err, "file", path);
        return pln_fail(err, PLN_E_IO, "plug-in %s: %s", path,
                        why ? why : "can't be loaded");
    }
    pln_plugin_init_fn init = NULL;
    void *symbol = dlsym(so, "pln_plugin_init");
    memcpy(&init, &symbol, sizeof init);
    struct pln_env_item *item = init ? new_item(env) : NULL;
    if (!item) {
        dlclose(so);
        return init ? pln_oom(err)
                    : pln_fail(err, PLN_E_FORMAT, "plug-in %s: it has no pln_plugin_init",
                               path);
    }
    item->plugin = so; /* stays: what it registered before a failure may be in use */
    return init(env, err);
}
