/* shape: uses what inference knows of shape tensors. One whose contents are known numbers
 * becomes a constant; the target of a Reshape whose sizes are those of its input becomes
 * one with 0 and -1 in their places, so that nothing needs to be computed for it. What
 * puts together sizes that lie side by side in a shape is that part of it, and a Shape
 * reads the first value that has these sizes. What has the same sizes as something
 * earlier is that.
 *
 *     Concat(Gather(Shape(x), [0]), Slice(Shape(x), [1], [2]))  =>  Shape<start=0, end=2>(x)
 *     Shape(Cast(x))                                            =>  Shape(x)
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#define MAY_VARY (PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_CONTROL)
#define MAX_KNOWN 256

/* Values of a graph whose contents are sizes, in order. */
typedef struct known {
    pln_value *v[MAX_KNOWN];
    size_t n;
} known;

typedef struct job {
    pln_pass_ctx *ctx;
    known known;
} job;

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

static bool has_zero(const pln_symval *s)
{
    for (int64_t i = 0; i < s->n; i++)
        if (pln_dim_is_known(s->v[i]) && s->v[i].value == 0)
            return true;
    return false;
}

/* What says that a 0 is a size may go where there is none. */
static bool is_reshape_with_sizes(const pln_node *n)
{
    return pln_node_is(n, "Reshape") && n->n_in == 2 && n->in[0] && n->in[1] &&
           !pln_value_is_const(n->in[1]) && n->in[1]->sym &&
           n->in[1]->sym->n <= PLN_MAX_RANK &&
           !(pln_node_get_int(n, "allowzero", 0) && has_zero(n->in[1]->sym)) &&
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
    if (copy) {
        pln_node_drop_attr(copy, "allowzero");
        pln_patch_replace(&p, n->out[0], copy->out[0]);
    }
    return finish(ctx, &p, n, err);
}

/* ---- a Shape for what is computed from one ----------------------------------------- */

#define MAX_DEPTH 6
#define SHAPE_HAS_ENDS 15 /* the version that gave it `start` and `end` */

static bool begins_with(const pln_dim *d, const pln_symval *s)
{
    for (int64_t i = 0; i < s->n; i++)
        if (pln_dim_is_unknown(s->v[i]) || !pln_dim_equal(s->v[i], d[i]))
            return false;
    return true;
}

/* Where the sizes lie in a shape, one after the other; -1: nowhere. */
static int place_of(const pln_symval *s, pln_shape in)
{
    for (int at = 0; at + s->n <= in.rank; at++)
        if (begins_with(in.dims + at, s))
            return at;
    return -1;
}

/* The value whose shape has these sizes at `*at`, among those whose shape v is made
 * of. */
static pln_value *shaped_so(const pln_value *v, const pln_symval *sizes, int depth,
                            int *at)
{
    const pln_node *n = v->def;
    if (!n || depth > MAX_DEPTH)
        return NULL;
    if (pln_node_is(n, "Shape")) {
        *at = place_of(sizes, n->in[0]->type.shape);
        return *at < 0 ? NULL : n->in[0];
    }
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *in = n->in[i];
        pln_value *found = in && in->sym ? shaped_so(in, sizes, depth + 1, at) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

/* Sizes that a node computes, not all of them known. */
static bool is_computed_sizes(const pln_value *v)
{
    return v && v->n_uses && v->sym && v->sym->n && v->kind == PLN_VALUE_NODE &&
           !v->cst && v->type.dtype == PLN_DT_S64 && pln_value_rank(v) >= 0 &&
           pln_value_rank(v) <= 1 && pln_value_count(v) == v->sym->n && !is_known(v->sym);
}

static bool is_vector_of_sizes(const pln_node *n)
{
    return n->n_out == 1 && is_computed_sizes(n->out[0]) &&
           pln_value_rank(n->out[0]) == 1;
}

static pln_status make_shape(job *j, pln_node *n, pln_error *err)
{
    int at;
    pln_patch p;
    if (!is_vector_of_sizes(n) || pln_node_is(n, "Shape"))
        return PLN_OK;
    const pln_symval *sizes = n->out[0]->sym;
    pln_value *x = shaped_so(n->out[0], sizes, 0, &at);
    const bool whole = x && sizes->n == x->type.shape.rank;
    if (!x || (!whole && !pln_pass_allows_opset(j->ctx, SHAPE_HAS_ENDS)))
        return PLN_OK;
    pln_patch_begin(&p, j->ctx, n);
    pln_node *made = pln_patch_add(&p, "Shape", &x, 1, 1);
    if (made && !whole &&
        (pln_node_set_int(made, "start", at) != PLN_OK ||
         pln_node_set_int(made, "end", at + sizes->n) != PLN_OK))
        p.failed = PLN_E_NOMEM;
    if (made)
        pln_patch_replace(&p, n->out[0], made->out[0]);
    return finish(j->ctx, &p, n, err);
}

/* ---- a Shape of something earlier -------------------------------------------------- */

static bool has_sizes_of(const pln_value *u, const pln_value *v)
{
    const pln_shape a = u->type.shape, b = v->type.shape;
    if (u->type.kind != PLN_KIND_TENSOR || a.rank == PLN_RANK_UNKNOWN || a.rank != b.rank)
        return false;
    for (int i = 0; i < a.rank; i++)
        if (pln_dim_is_unknown(a.dims[i]) || !pln_dim_equal(a.dims[i], b.dims[i]))
            return false;
    return true;
}

/* Nothing but its shape is asked for. */
static bool is_only_measured(const pln_value *v)
{
    for (const pln_use *u = v->uses; u; u = u->next)
        if (!u->node || !pln_node_is(u->node, "Shape"))
            return false;
    return true;
}

/* An input of what computes v that has its sizes; NULL. */
static pln_value *before(const pln_value *v)
{
    const pln_node *n = v->def;
    if (!n || !n->op || (n->op->traits & MAY_VARY))
        return NULL;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && has_sizes_of(n->in[i], v))
            return n->in[i];
    return NULL;
}

static pln_status measure_earlier(job *j, pln_node *n, pln_error *err)
{
    pln_patch p;
    if (!pln_node_is(n, "Shape"))
        return PLN_OK;
    pln_value *x = n->in[0];
    if (!is_only_measured(x) || !before(x))
        return PLN_OK;
    for (pln_value *v = x; v; v = before(v))
        x = v;
    pln_patch_begin(&p, j->ctx, n);
    pln_node *copy = pln_patch_copy(&p, n, &x, 1);
    if (copy)
        pln_patch_replace(&p, n->out[0], copy->out[0]);
    return finish(j->ctx, &p, n, err);
}

/* ---- the same sizes again ---------------------------------------------------------- */

/* b may have gone since it was noted: then nobody uses it. */
static bool has_same_sizes(const pln_value *a, const pln_value *b)
{
    return b->n_uses && pln_value_rank(a) == pln_value_rank(b) &&
           a->sym->n == b->sym->n &&
           begins_with(a->sym->v, b->sym);
}

static pln_status take_earlier(job *j, pln_node *n, pln_error *err)
{
    known *k = &j->known;
    pln_value *v = n->n_out == 1 ? n->out[0] : NULL;
    if (!is_computed_sizes(v))
        return PLN_OK;
    size_t i = 0;
    while (i < k->n && !has_same_sizes(v, k->v[i]))
        i++;
    if (i == k->n && k->n < MAX_KNOWN)
        k->v[k->n++] = v;
    if (i == k->n || k->v[i] == v)
        return PLN_OK;
    pln_patch p;
    pln_patch_begin(&p, j->ctx, n);
    pln_patch_replace(&p, v, k->v[i]);
    return finish(j->ctx, &p, n, err);
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

static pln_status use_sizes(job *j, pln_node *n, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_out && !pln_node_is(n, "Constant"); i++)
        if (has_known_contents(n->out[i]) && is_needed(n))
            return make_constant(j->ctx, n, err);
    return is_reshape_with_sizes(n) ? fix_reshape(j->ctx, n, err) : PLN_OK;
}

/* Sizes first, since less is left to be computed then. */
static pln_status (*const steps[])(job *, pln_node *, pln_error *) = {
    use_sizes, measure_earlier, make_shape, take_earlier
};

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    job *j = PLN_NEW(ctx->scratch, job);
    if (!j)
        return pln_oom(err);
    j->ctx = ctx;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        for (pln_node *n = g->first, *next; n; n = next) {
            next = n->next; /* rewrites remove n and what is before it */
            if (n->op && !(n->op->traits & MAY_VARY))
                PLN_TRY(steps[i](j, n, err));
        }
    return PLN_OK;
}

const pln_pass pln_pass_shape = {
    .name = "shape",
    .brief = "replaces shape tensors by what inference knows of them",
    .run = run,
    .contract = PLN_EXACT,
};
