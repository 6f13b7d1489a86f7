/* shape: uses what inference knows of shape tensors. One whose contents are known numbers
 * becomes a constant; the target of a Reshape whose sizes are those of its input becomes
 * one with 0 and -1 in their places, so that nothing needs to be computed for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

static bool is_known(const pln_symval *s)
{
    for (int64_t i = 0; i < s->n; i++)
        if (!pln_dim_is_known(s->v[i]))
            return false;
    return true;
}

static bool is_shape_type(pln_dtype dt)
{
    return dt == PLN_DT_S64 || dt == PLN_DT_S32 || dt == PLN_DT_BOOL;
}

static bool has_known_contents(const pln_value *v)
{
    return v && v->n_uses && v->sym && !v->cst && v->kind == PLN_VALUE_NODE &&
           is_shape_type(v->type.dtype) && pln_value_rank(v) >= 0 &&
           pln_value_rank(v) <= 1 && pln_value_count(v) == v->sym->n && is_known(v->sym);
}

static pln_tensor *tensor_of(const pln_value *v)
{
    pln_tensor *t = NULL;
    const int64_t dims[1] = { v->sym->n };
    if (pln_tensor_make(v->graph->model->alloc, v->type.dtype, pln_value_rank(v), dims,
                        &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < v->sym->n; i++)
        pln_tensor_set_i64(t, i, v->sym->v[i].value);
    return t;
}

/* Checks and applies; a refusal is no error. */
static pln_status finish(pln_pass_ctx *ctx, pln_patch *p, const pln_node *n,
                         pln_error *err)
{
    char why[256] = "";
    pln_status st = pln_patch_commit(p, NULL, n, NULL, NULL, why, sizeof why, err);
    if (why[0])
        pln_pass_explain(ctx, n, NULL, why);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
}

static pln_status make_constant(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    pln_patch p;
    pln_patch_begin(&p, ctx, n);
    for (uint32_t i = 0; i < n->n_out && i < PLN_PATCH_MAX; i++)
        if (has_known_contents(n->out[i]))
            pln_patch_replace(&p, n->out[i],
                              pln_patch_const(&p, tensor_of(n->out[i]), n->out[i]->name));
    return finish(ctx, &p, n, err);
}

/* The target with 0 where a size is the input's and at most one -1; false: it can't be
 * said so. */
static bool target_of(const pln_node *n, int64_t *out)
{
    const pln_symval *s = n->in[1]->sym;
    const pln_shape in = n->in[0]->type.shape;
    int unknown = -1;
    for (int64_t i = 0; i < s->n; i++) {
        const bool copies = in.rank != PLN_RANK_UNKNOWN && i < in.rank &&
                            !pln_dim_is_unknown(in.dims[i]) &&
                            pln_dim_equal(s->v[i], in.dims[i]);
        if (pln_dim_is_known(s->v[i])) {
            out[i] = s->v[i].value;
            if (out[i] == -1 && unknown >= 0)
                return false;
            unknown = out[i] == -1 ? (int)i : unknown;
        } else if (copies) {
            out[i] = 0;
        } else if (unknown < 0) {
            out[i] = -1;
            unknown = (int)i;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_reshape_with_sizes(const pln_node *n)
{
    return pln_node_is(n, "Reshape") && n->n_in == 2 && n->in[0] && n->in[1] &&
           !pln_value_is_const(n->in[1]) && n->in[1]->sym &&
           n->in[1]->sym->n <= PLN_MAX_RANK && !pln_node_get_int(n, "allowzero", 0) &&
           n->in[0]->type.kind == PLN_KIND_TENSOR;
}

static pln_status fix_reshape(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    int64_t target[PLN_MAX_RANK];
    pln_patch p;
    if (!target_of(n, target)) {
        pln_pass_explain(ctx, n, NULL, "two sizes of the target are not its input's");
        return PLN_OK;
    }
    pln_patch_begin(&p, ctx, n);
    pln_value *in[2] = { n->in[0], pln_patch_ints(&p, target, (size_t)n->in[1]->sym->n,
                                                  n->in[1]->name) };
    pln_node *copy = in[1] ? pln_patch_copy(&p, n, in, 2) : NULL;
    if (copy)
        pln_patch_replace(&p, n->out[0], copy->out[0]);
    return finish(ctx, &p, n, err);
}

/* What only feeds nodes that become constants themselves goes with them. */
static bool is_needed(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        for (const pln_use *u = n->out[i] ? n->out[i]->uses : NULL; u; u = u->next)
            if (!u->node || !u->node->n_out || !has_known_contents(u->node->out[0]))
                return true;
    return false;
}

static pln_status visit(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    const uint32_t never = PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_CONTROL;
    if (!n->op || (n->op->traits & never) || pln_node_is(n, "Constant"))
        return PLN_OK;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (has_known_contents(n->out[i]) && is_needed(n))
            return make_constant(ctx, n, err);
    return is_reshape_with_sizes(n) ? fix_reshape(ctx, n, err) : PLN_OK;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        next = n->next; /* rewrites remove n and what is before it */
        PLN_TRY(visit(ctx, n, err));
    }
    return PLN_OK;
}

const pln_pass pln_pass_shape = {
    .name = "shape",
    .brief = "replaces shape tensors by what inference knows of them",
    .run = run,
    .contract = PLN_EXACT,
};
