/* Patches: new nodes are built unused beside the old ones, checked, and only then wired
 * in.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"
#include "passes/pass.h"

#include <stdio.h>
#include <string.h>

#include "src/ir/link.h"
#include "src/ir/version.h"

#define MOST_GOING 12 /* nodes in a row that a patch makes useless */

void pln_patch_begin(pln_patch *p, pln_pass_ctx *ctx, pln_node *before)
{
    *p = (pln_patch){ .ctx = ctx, .graph = before->graph, .before = before };
}

static void *failed(pln_patch *p, pln_status st)
{
    if (p->failed == PLN_OK)
        p->failed = st;
    return NULL;
}

pln_node *pln_patch_add_in(pln_patch *p, const char *domain, const char *op_type,
                           pln_value *const *in, uint32_t n_in, uint32_t n_out)
{
    if (p->failed != PLN_OK)
        return NULL;
    if (p->n_nodes == PLN_PATCH_MAX)
        return failed(p, PLN_E_UNSUPPORTED);
    while (n_in && !in[n_in - 1])
        n_in--;
    pln_node *n =
        pln_graph_add_node(p->graph, p->before, domain, op_type, "", in, n_in, n_out);
    if (!n)
        return failed(p, PLN_E_NOMEM);
    p->node[p->n_nodes++] = n;
    return n;
}

/* Those that com.microsoft has in another form: what target ort states for a while, until
 * the passes to-ms-... find that form. */
static bool has_ms_form(const char *op_type)
{
    static const char *const ops[] = { "Attention", "Gelu", "LayerNormalization", "RMSNormalization",
                                       "RotaryEmbedding", "Swish" };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (!strcmp(op_type, ops[i]))
            return true;
    return false;
}

/* An operator that the file's set does not have yet goes to domain `planish`, where it is
 * stated as a function, if that is allowed. */
static const char *domain_of(const pln_patch *p, const char *op_type)
{
    const pln_pass_options *o = p->ctx->options;
    const int64_t opset = p->ctx->opset;
    const bool allowed = o->target == PLN_TARGET_PLANISH ||
                         (o->target == PLN_TARGET_ORT && has_ms_form(op_type));
    return !o->session && allowed && pln_op_first_version(op_type) > opset &&
                   pln_expansion_exists(op_type, opset)
               ? "planish"
               : "";
}

pln_node *pln_patch_add(pln_patch *p, const char *op_type, pln_value *const *in,
                        uint32_t n_in, uint32_t n_out)
{
    return pln_patch_add_in(p, domain_of(p, op_type), op_type, in, n_in, n_out);
}

void pln_patch_leave_out(pln_node *n, uint32_t i)
{
    pln_value_unlink(n->out[i]);
    n->out[i] = NULL;
}

pln_value *pln_patch_op1(pln_patch *p, const char *op_type, pln_value *a)
{
    pln_node *n = pln_patch_add(p, op_type, &a, 1, 1);
    return n ? n->out[0] : NULL;
}

pln_value *pln_patch_op2(pln_patch *p, const char *op_type, pln_value *a, pln_value *b)
{
    pln_value *in[2] = { a, b };
    pln_node *n = pln_patch_add(p, op_type, in, 2, 1);
    return n ? n->out[0] : NULL;
}

pln_node *pln_patch_copy(pln_patch *p, const pln_node *n, pln_value *const *in,
                         uint32_t n_in)
{
    pln_node *copy = pln_patch_add_in(p, n->domain, n->op_type, in, n_in, n->n_out);
    if (copy)
        p->copied[p->n_nodes - 1] = true;
    for (uint32_t i = 0; copy && i < n->n_attrs; i++)
        if (pln_node_set_attr(copy, n->attrs[i]) != PLN_OK)
            return failed(p, PLN_E_NOMEM);
    return copy;
}

bool pln_patch_gives_type_of(pln_patch *p, pln_node *n, const pln_value *v)
{
    bool changed;
    pln_error local = { .code = PLN_OK };
    return n && pln_node_infer(n, &changed, &local) == PLN_OK &&
           pln_value_same_type(n->out[0], v);
}

pln_value *pln_patch_const(pln_patch *p, pln_tensor *t_take, const char *hint)
{
    if (p->failed != PLN_OK || !t_take || p->n_csts == PLN_PATCH_MAX) {
        pln_tensor_unref(t_take);
        return failed(p, t_take ? PLN_E_UNSUPPORTED : PLN_E_NOMEM);
    }
    const char *name = pln_graph_fresh_name(p->graph, hint && *hint ? hint : "const");
    pln_value *v = name ? pln_graph_add_initializer(p->graph, name, t_take) : NULL;
    if (!v)
        return failed(p, PLN_E_NOMEM);
    p->cst[p->n_csts++] = v;
    return v;
}

pln_value *pln_patch_ints(pln_patch *p, const int64_t *v, size_t n, const char *hint)
{
    pln_tensor *t = NULL;
    if (pln_tensor_from_i64(p->graph->model->alloc, 1, v, (int64_t)n, &t) != PLN_OK)
        return failed(p, PLN_E_NOMEM);
    return pln_patch_const(p, t, hint);
}

pln_value *pln_patch_scalar(pln_patch *p, pln_dtype dt, double v, const char *hint)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, dt, 0, NULL, &t, NULL) != PLN_OK)
        return failed(p, PLN_E_NOMEM);
    pln_tensor_set_f64(t, 0, v);
    return pln_patch_const(p, t, hint);
}

static void replace(pln_patch *p, pln_value *old, pln_value *with, bool proven)
{
    if (p->failed != PLN_OK)
        return;
    if (!with || p->n_replaced == PLN_PATCH_MAX) {
        failed(p, PLN_E_UNSUPPORTED);
        return;
    }
    p->old[p->n_replaced] = old;
    p->new[p->n_replaced] = with;
    p->proven[p->n_replaced++] = proven;
}

void pln_patch_replace(pln_patch *p, pln_value *old, pln_value *with)
{
    replace(p, old, with, false);
}

void pln_patch_replace_proven(pln_patch *p, pln_value *old, pln_value *with)
{
    replace(p, old, with, true);
}

/* ---- checks --------------------------------------------------------------------- */

static pln_status no(char *why, size_t size, const char *text, const pln_value *v)
{
    snprintf(why, size, "%s ('%s')", text, v && v->name ? v->name : "");
    return PLN_E_UNSUPPORTED;
}

static bool is_new(const pln_patch *p, const pln_value *v)
{
    for (int i = 0; i < p->n_nodes; i++)
        if (v->def == p->node[i])
            return true;
    for (int i = 0; i < p->n_csts; i++)
        if (v == p->cst[i])
            return true;
    return false;
}

static bool shapes_differ(pln_syms *syms, pln_shape a, pln_shape b)
{
    if (a.rank == PLN_RANK_UNKNOWN || b.rank == PLN_RANK_UNKNOWN)
        return false;
    if (a.rank != b.rank)
        return true;
    for (int i = 0; i < a.rank; i++)
        if (pln_dim_differ(syms, a.dims[i], b.dims[i]))
            return true;
    return false;
}

static bool is_plain(pln_dim d)
{
    return pln_dim_is_known(d) || pln_dim_symbol_name(d);
}

/* A number or symbol became another one: where sizes broadcast, a symbol may be 1. Two
 * expressions may well be the same. */
static bool is_other_size(pln_shape a, pln_shape b)
{
    for (int i = 0; i < a.rank && i < b.rank; i++)
        if (is_plain(a.dims[i]) && is_plain(b.dims[i]) &&
            !pln_dim_equal(a.dims[i], b.dims[i]))
            return true;
    return false;
}

static pln_status check_types(const pln_patch *p, int i, char *why, size_t size)
{
    const pln_value *old = p->old[i], *with = p->new[i];
    const pln_type *a = &old->type, *b = &with->type;
    if (a->kind != PLN_KIND_NONE && b->kind != PLN_KIND_NONE && a->kind != b->kind)
        return no(why, size, "another kind of value", old);
    if (a->dtype != b->dtype && a->dtype != PLN_DT_NONE && b->dtype != PLN_DT_NONE)
        return no(why, size, "another element type", old);
    if (shapes_differ(p->graph->model->syms, a->shape, b->shape))
        return no(why, size, "another shape", old);
    if (p->proven[i] || pln_value_same_type(old, with))
        return PLN_OK;
    if (!is_new(p, with) || is_other_size(a->shape, b->shape))
        return no(why, size, "shape not known to be the same", old);
    return PLN_OK;
}

/* The node of graph g that holds the use, itself or by one of its bodies. */
static const pln_node *user_in(const pln_graph *g, const pln_use *u)
{
    const pln_node *n = u->node;
    const pln_graph *at = u->graph;
    while (at && at != g) {
        n = at->owner;
        at = at->parent;
    }
    return at ? n : NULL;
}

/* Nobody needs n once the patch is applied. */
static bool goes(const pln_patch *p, const pln_node *n, int depth)
{
    if (!depth || !n || (pln_node_traits(n) & PLN_OP_EFFECT))
        return false;
    for (int i = 0; i < p->n_nodes; i++)
        if (p->node[i] == n)
            return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        bool replaced = !n->out[i];
        for (int k = 0; k < p->n_replaced; k++)
            replaced |= p->old[k] == n->out[i];
        for (const pln_use *u = replaced ? NULL : n->out[i]->uses; u; u = u->next)
            if (!goes(p, user_in(p->graph, u), depth - 1))
                return false;
    }
    return true;
}

/* Nothing between the old definition and the new one may need the value. */
static bool order_holds(const pln_patch *p, const pln_value *old, const pln_value *with)
{
    if (!old->def || !is_new(p, with) || !with->def)
        return true;
    for (const pln_node *n = with->def; n; n = n->next)
        if (n == old->def)
            return true; /* whoever needs it stands behind the new nodes */
    for (const pln_node *n = old->def->next; n && n != with->def; n = n->next)
        for (const pln_use *u = old->uses; u; u = u->next)
            if (user_in(p->graph, u) == n && !goes(p, n, MOST_GOING))
                return false;
    return true;
}

static bool is_output_of(const pln_value *v, const pln_graph *g)
{
    for (const pln_use *u = v->uses; u; u = u->next)
        if (!u->node && u->graph == g)
            return true;
    return false;
}

/* A model may give constants, if it need not be given them. */
static bool is_new_initializer(const pln_patch *p, const pln_value *v)
{
    const pln_graph *main = p->graph->model->graph;
    return v->kind == PLN_VALUE_INITIALIZER && v->graph == main && is_new(p, v) &&
           p->graph == main && p->graph->model->ir_version >= 4;
}

/* A graph's output keeps its name, so that the new value must be free to take it. */
static pln_status check_output(const pln_patch *p, int i, char *why, size_t size)
{
    const pln_value *old = p->old[i], *with = p->new[i];
    if (!pln_value_is_output(old))
        return PLN_OK;
    if (is_new_initializer(p, with))
        return PLN_OK;
    if (with->kind != PLN_VALUE_NODE || with->graph != old->graph)
        return no(why, size, "an output needs a node of its own", old);
    if (pln_value_is_output(with) && is_output_of(with, old->graph))
        return no(why, size, "both are outputs", old);
    for (int k = 0; k < i; k++)
        if (p->new[k] == with && pln_value_is_output(p->old[k]))
            return no(why, size, "both are outputs", old);
    return PLN_OK;
}

static bool is_copy(const pln_patch *p, const pln_node *n)
{
    for (int i = 0; i < p->n_nodes; i++)
        if (p->node[i] == n)
            return p->copied[i];
    return false;
}

/* A file can't hold what its operator set lacks. */
static bool is_too_new(const pln_patch *p, const pln_node *n)
{
    const int64_t opset = p->ctx->opset;
    if (p->ctx->options->session || opset <= 0)
        return false;
    if (!strcmp(n->domain, "planish")) /* what states it needs a version, too */
        return !is_copy(p, n) && !pln_expansion_exists(n->op_type, opset);
    return !*n->domain && pln_op_first_version(n->op_type) > opset;
}

/* Nor what the operators of its set can't say. */
static pln_status check_lowering(const pln_patch *p, pln_node *n, pln_error *why)
{
    const int64_t opset = p->ctx->opset;
    if (p->ctx->options->session || *n->domain || !pln_node_needs_lowering(n, opset))
        return PLN_OK;
    return pln_node_try_lowering(n, opset, why);
}

/* A rule writes what its target says, and what the file has anyway. */
static bool is_beyond_target(const pln_patch *p, const pln_node *n)
{
    const pln_pass_ctx *ctx = p->ctx;
    const pln_rule *r = ctx->rule;
    const bool states = r && r->stated && ctx->options->target != PLN_TARGET_ONNX;
    const pln_target target = states ? PLN_TARGET_PLANISH
                              : r    ? r->target
                                     : ctx->pass->target;
    const pln_target wants = !strcmp(n->domain, "planish")         ? PLN_TARGET_PLANISH
                             : !strcmp(n->domain, "com.microsoft") ? PLN_TARGET_ORT
                                                                   : PLN_TARGET_ONNX;
    return wants > target && !p->opaque && !ctx->options->session && !is_copy(p, n) &&
           !pln_model_opset(p->graph->model, n->domain);
}

static pln_status check_node(const pln_patch *p, pln_node *n, char *why, size_t size,
                             pln_error *err)
{
    pln_error local = { .code = PLN_OK };
    const void *attrs;
    bool changed;
    pln_status st = PLN_OK;
    if (!n->op && p->opaque)
        return PLN_OK;
    if (!n->op)
        return no(why, size, "no such operator here", n->out[0]);
    if (is_beyond_target(p, n))
        return no(why, size, "the rule's target has no such operator", n->out[0]);
    if (is_too_new(p, n))
        return no(why, size, "the file's operator set is too old for it", n->out[0]);
    st = pln_node_attrs(n, &attrs, &local);
    if (st == PLN_OK)
        st = pln_node_infer(n, &changed, &local);
    if (st == PLN_OK)
        st = check_lowering(p, n, &local);
    if (st == PLN_E_NOMEM)
        return pln_oom(err);
    if (st != PLN_OK) {
        snprintf(why, size, "%s", local.text);
        return PLN_E_UNSUPPORTED;
    }
    return PLN_OK;
}

/* A function has no initializers, and imports what it came with. */
static bool fits_function(const pln_patch *p)
{
    const pln_graph *g = p->graph;
    while (g->parent)
        g = g->parent;
    if (g == p->graph->model->graph)
        return true;
    for (int i = 0; i < p->n_nodes; i++)
        if (*p->node[i]->domain)
            return false;
    return !p->n_csts;
}

pln_status pln_patch_check(pln_patch *p, char *why, size_t why_size, pln_error *err)
{
    if (p->failed == PLN_E_NOMEM)
        return pln_oom(err);
    if (p->failed != PLN_OK || !p->n_replaced)
        return no(why, why_size, "the builder gave up", NULL);
    bool used = false;
    if (!fits_function(p))
        return no(why, why_size, "a function can't hold it", p->old[0]);
    for (int i = 0; i < p->n_nodes; i++)
        PLN_TRY(check_node(p, p->node[i], why, why_size, err));
    for (int i = 0; i < p->n_replaced; i++) {
        if (p->old[i] == p->new[i])
            return no(why, why_size, "nothing changes", p->old[i]);
        used |= p->old[i]->n_uses > 0;
        PLN_TRY(check_types(p, i, why, why_size));
        PLN_TRY(check_output(p, i, why, why_size));
        if (!order_holds(p, p->old[i], p->new[i]))
            return no(why, why_size, "needed before it could be computed", p->old[i]);
    }
    if (!used)
        return no(why, why_size, "nobody needs it", p->old[0]);
    return PLN_OK;
}

/* ---- dead nodes ----------------------------------------------------------------- */

bool pln_node_is_dead(const pln_node *n)
{
    if (pln_node_traits(n) & PLN_OP_EFFECT)
        return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            return false;
    return true;
}

#define SWEEP_MAX 256

/* 1, or 0 where n is there or NULL. */
static size_t add_node(pln_node **list, size_t count, pln_node *n)
{
    for (size_t i = 0; n && i < count; i++)
        if (list[i] == n)
            return 0;
    if (n)
        list[count] = n;
    return n != NULL;
}

static void sweep(pln_node *const *from, size_t n_from,
                  void (*dead)(void *user, pln_node *n), void *user)
{
    /* What does not fit is left to the next run of dce. */
    pln_node *stack[SWEEP_MAX];
    size_t top = n_from;
    memcpy(stack, from, n_from * sizeof *stack);
    while (top) {
        pln_node *at = stack[--top];
        if (!pln_node_is_dead(at))
            continue;
        pln_node *def[16];
        size_t n_def = 0;
        for (uint32_t i = 0; i < at->n_in && n_def < 16; i++)
            n_def += add_node(def, n_def, at->in[i] ? at->in[i]->def : NULL);
        if (dead)
            dead(user, at);
        pln_graph_remove_node(at);
        for (size_t i = 0; i < n_def && top < SWEEP_MAX; i++)
            top += add_node(stack, top, def[i]);
    }
}

void pln_node_sweep(pln_node *n, void (*dead)(void *user, pln_node *n), void *user)
{
    sweep(&n, 1, dead, user);
}

/* ---- applying ------------------------------------------------------------------- */

static void take_name(pln_value *from, pln_value *to)
{
    const char *name = from->name;
    if (!*name)
        return;
    const char *aside = pln_graph_fresh_name(from->graph, name);
    if (aside && pln_value_rename(from, aside))
        pln_value_rename(to, name);
}

static void take_type(pln_model *m, pln_value *from, pln_value *to, bool named)
{
    pln_type_merge(m->arena, &to->type, &from->type, NULL);
    if (!to->sym)
        to->sym = from->sym;
    if (!named) /* what the file says of a value goes on with its name */
        return;
    to->declared = from->declared;
    to->extra = from->extra;
}

static void apply_one(pln_patch *p, pln_value *old, pln_value *with)
{
    const bool output = pln_value_is_output(old);
    const bool named = output || (is_new(p, with) && with->kind == PLN_VALUE_NODE);
    take_type(p->graph->model, old, with,
              output || (named && old->graph == with->graph && *old->name));
    pln_value_replace_uses(old, with);
    if (named && old->graph == with->graph)
        take_name(old, with);
}

/* Nodes need names in reports: those that others gave them go on. */
static void take_node_name(pln_patch *p)
{
    if (p->n_nodes != 1 || *p->node[0]->name || !p->old[0]->def)
        return;
    p->node[0]->name = p->old[0]->def->name;
}

/* A rule may write operators of a domain that the file knows nothing of. Our own is
 * imported at the end, where any is left. */
static pln_status import_domains(const pln_patch *p, pln_error *err)
{
    pln_model *m = p->graph->model;
    for (int i = 0; i < p->n_nodes; i++)
        if ((!p->node[i]->op || strcmp(p->node[i]->domain, "planish")) &&
            !pln_model_opset(m, p->node[i]->domain) &&
            pln_model_set_opset(m, p->node[i]->domain, 1) != PLN_OK)
            return pln_oom(err);
    return PLN_OK;
}

pln_status pln_patch_apply(pln_patch *p, void (*dead)(void *user, pln_node *n),
                           void *user, pln_error *err)
{
    pln_node *defs[PLN_PATCH_MAX];
    size_t n_defs = 0;
    for (int i = 0; i < p->n_replaced; i++)
        n_defs += add_node(defs, n_defs, p->old[i]->def);
    take_node_name(p);
    for (int i = 0; i < p->n_replaced; i++)
        apply_one(p, p->old[i], p->new[i]);
    sweep(defs, n_defs, dead, user);
    /* Values of nodes must have names in a file. */
    for (int i = 0; i < p->n_nodes; i++) {
        pln_node *n = p->node[i];
        for (uint32_t k = 0; k < n->n_out; k++) {
            if (!n->out[k] || *n->out[k]->name)
                continue;
            const char *name = pln_graph_fresh_name(n->graph, n->op_type);
            if (!name || !pln_value_rename(n->out[k], name))
                return pln_oom(err);
        }
    }
    return import_domains(p, err);
}

void pln_patch_abort(pln_patch *p)
{
    for (int i = p->n_nodes - 1; i >= 0; i--)
        pln_graph_remove_node(p->node[i]);
    for (int i = p->n_csts - 1; i >= 0; i--)
        if (!p->cst[i]->n_uses)
            pln_graph_remove_value(p->cst[i]);
    p->n_nodes = p->n_csts = p->n_replaced = 0;
}
