/* The angles of a rotation: cosines and sines as RotaryEmbedding takes them, [batch,
 * positions, half], from what a spelled-out rotation multiplies by.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/rotary.h"
#include "passes/to_ms.h"

#include <string.h>

#define MAX_DEPTH 12

typedef struct angles {
    pln_patch *p;
    bool pairs;
} angles;

/* ---- constants -------------------------------------------------------------------- */

static bool is_doubled(const pln_tensor *t, int64_t size, bool pairs)
{
    const int64_t half = size / 2, n = pln_tensor_size(t) / size;
    for (int64_t row = 0; row < n; row++)
        for (int64_t i = 0; i < half; i++) {
            const int64_t a = row * size + (pairs ? 2 * i : i);
            if (pln_tensor_get_f64(t, a) != pln_tensor_get_f64(t, a + (pairs ? 1 : half)))
                return false;
        }
    return true;
}

/* Half of the last dimension, without dimension `drop` of size 1. */
static pln_value *half_constant(const angles *b, const pln_value *v, int drop)
{
    int64_t dims[PLN_MAX_RANK];
    pln_tensor *t = v->cst, *out = NULL;
    const int64_t size = t->rank ? t->dims[t->rank - 1] : 0;
    int rank = 0;
    if (size < 2 || size % 2 || pln_tensor_materialize(t, NULL) != PLN_OK ||
        !is_doubled(t, size, b->pairs))
        return NULL;
    for (int i = 0; i < t->rank; i++)
        if (i != drop)
            dims[rank++] = i == t->rank - 1 ? size / 2 : t->dims[i];
    if (pln_tensor_make(b->p->graph->model->alloc, (pln_dtype)t->dtype, rank, dims, &out,
                        NULL) != PLN_OK)
        return NULL;
    const int64_t half = size / 2, n = pln_tensor_size(t) / size;
    for (int64_t row = 0; row < n; row++)
        for (int64_t i = 0; i < half; i++)
            pln_tensor_copy(out, row * half + i, t, row * size + (b->pairs ? 2 * i : i),
                            1);
    return pln_patch_const(b->p, out, v->name);
}

/* ---- what doubles ----------------------------------------------------------------- */

static bool is_last(const pln_node *n, const pln_value *v)
{
    int64_t axis;
    return pln_node_axis(n, v, &axis) && axis == pln_value_rank(v) - 1;
}

/* A value beside itself: the value. */
static pln_value *doubled_whole(const pln_value *v)
{
    int64_t r[PLN_MAX_RANK];
    size_t n;
    const pln_node *d = v->def;
    if (pln_node_is(d, "Concat"))
        return d->n_in == 2 && d->in[0] == d->in[1] && is_last(d, v) ? d->in[0] : NULL;
    if (!pln_node_is(d, "Tile") || !pln_value_get_ints(d->in[1], r, PLN_MAX_RANK, &n) ||
        !n || r[n - 1] != 2)
        return NULL;
    for (size_t i = 0; i + 1 < n; i++)
        if (r[i] != 1)
            return NULL;
    return d->in[0];
}

/* The value under a last axis of size 1. */
static pln_value *under_new_axis(const pln_value *v)
{
    int64_t axis;
    size_t n;
    const pln_node *d = v->def;
    const int rank = pln_value_rank(v);
    const bool last = d && pln_node_is(d, "Unsqueeze") && d->n_in == 2 && rank > 0 &&
                      pln_value_get_ints(d->in[1], &axis, 1, &n) && n == 1 &&
                      (axis == -1 || axis == rank - 1);
    return last ? d->in[0] : NULL;
}

/* f is v with half of the last dimension, and perhaps without dimension `drop` (size
 * 1). */
static bool is_half_as_wide(const pln_value *f, const pln_value *v, int drop)
{
    const int rank = pln_value_rank(f), wide = pln_value_rank(v);
    if (rank < 1 || (drop < 0 ? wide != rank : wide != rank + 1) ||
        pln_value_size_at(f, rank - 1) < 1 ||
        pln_value_size_at(f, rank - 1) * 2 != pln_value_size_at(v, wide - 1))
        return false;
    for (int i = 0; i < rank - 1; i++)
        if (!pln_dim_equal(f->type.shape.dims[i],
                           v->type.shape.dims[i + (drop >= 0 && i >= drop)]))
            return false;
    return true;
}

/* Each element twice: the value. [.., half] -> [.., half, 1] -> [.., half, 2] -> v. The
 * Reshape may bring dimension `drop` along: then it is less than 0 afterwards. */
static pln_value *doubled_each(const pln_value *v, int *drop)
{
    const pln_node *d = v->def;
    if (!pln_node_is(d, "Reshape"))
        return NULL;
    const pln_value *two = d->in[0];
    const pln_node *t = two->def;
    const int rank = pln_value_rank(two);
    if (!t || rank < 2 || pln_value_size_at(two, rank - 1) != 2)
        return NULL;
    const bool spreads = pln_node_is(t, "Tile") || pln_node_is(t, "Expand");
    const bool stacks = pln_node_is(t, "Concat") && t->n_in == 2 &&
                        t->in[0] == t->in[1] && is_last(t, two);
    pln_value *f = spreads || stacks ? under_new_axis(t->in[0]) : NULL;
    if (!f || pln_value_rank(f) != rank - 1)
        return NULL;
    if (is_half_as_wide(f, v, -1))
        return f;
    if (*drop < 0 || !is_half_as_wide(f, v, *drop))
        return NULL;
    *drop = -1;
    return f;
}

/* ---- what may stand behind it ------------------------------------------------------ */

static pln_value *part_of(const angles *b, pln_value *v, int drop, bool twice, int depth);

static pln_value *without(const angles *b, pln_value *v, int drop)
{
    const int64_t axis = drop;
    return drop < 0 || !v ? v
                          : pln_patch_op2(b->p, "Squeeze", v,
                                          pln_patch_ints(b->p, &axis, 1, "axes"));
}

static pln_value *copied(const angles *b, const pln_node *n, pln_value *in0)
{
    pln_value *in[5] = { in0 };
    if (!in0 || n->n_in > 5)
        return NULL;
    for (uint32_t i = 1; i < n->n_in; i++)
        in[i] = n->in[i];
    pln_node *made = pln_patch_copy(b->p, n, in, n->n_in);
    return made ? made->out[0] : NULL;
}

/* An elementwise operator on one value, and numbers. */
static pln_value *elementwise(const angles *b, pln_value *v, int drop, bool twice,
                              int depth)
{
    const pln_node *n = v->def;
    pln_value *in[2] = { n->in[0], n->n_in > 1 ? n->in[1] : NULL };
    if (n->n_in > 2 || n->n_out != 1 || !in[0])
        return NULL;
    const int at = in[1] && pln_value_is_const_number(in[0]);
    if (in[1] && !pln_value_is_const_number(in[1 - at]))
        return NULL;
    in[at] = part_of(b, in[at], drop, twice, depth);
    pln_node *made = in[at] ? pln_patch_copy(b->p, n, in, n->n_in) : NULL;
    return made ? made->out[0] : NULL;
}

/* Axes come back in without `drop`; the last one stays. */
static pln_value *unsqueezed(const angles *b, pln_value *v, int drop, bool twice,
                             int depth)
{
    int64_t axes[PLN_MAX_RANK], left[PLN_MAX_RANK];
    size_t n, k = 0;
    const pln_node *d = v->def;
    const int rank = pln_value_rank(v);
    int before = 0; /* axes in front of drop */
    bool has = false;
    if (d->n_in < 2 || rank < 0 || !pln_axes_of(d->in[1], rank, axes, &n))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (axes[i] == rank - 1 && twice)
            return NULL;
        has |= axes[i] == drop;
        before += axes[i] < drop;
        if (axes[i] != drop)
            left[k++] = axes[i] - (drop >= 0 && axes[i] > drop);
    }
    pln_value *t =
        part_of(b, d->in[0], has || drop < 0 ? -1 : drop - before, twice, depth);
    if (!t || !k)
        return t;
    return pln_patch_op2(b->p, "Unsqueeze", t, pln_patch_ints(b->p, left, k, "axes"));
}

/* Keeps rows of the last dimension whole. */
static bool moves_rows(const pln_node *n, const pln_value *v)
{
    int64_t axes[PLN_MAX_RANK], perm[PLN_MAX_RANK];
    pln_cut cuts[PLN_MAX_RANK];
    size_t count;
    int64_t axis;
    int r;
    const int rank = pln_value_rank(n->in[0]);
    if (rank < 1)
        return false;
    if (pln_node_is(n, "Gather"))
        return pln_node_axis(n, n->in[0], &axis) && axis != rank - 1;
    if (pln_node_is(n, "Transpose"))
        return pln_perm_of(n, perm, &r) && perm[r - 1] == r - 1;
    if (pln_node_is(n, "Slice"))
        return n->n_in > 3 && n->in[3]
                   ? pln_axes_of(n->in[3], rank, axes, &count) && count &&
                         axes[count - 1] != rank - 1
                   : pln_slice_read(n, cuts) && !cuts[rank - 1].on;
    if (pln_node_is(n, "Squeeze"))
        return n->n_in > 1 && pln_axes_of(n->in[1], rank, axes, &count) && count &&
               axes[count - 1] != rank - 1;
    (void)v;
    return false;
}

/* v without dimension `drop` (of size 1; < 0: none) and, where it has each angle twice,
 * once. NULL: not known to be possible. */
static pln_value *part_of(const angles *b, pln_value *v, int drop, bool twice, int depth)
{
    const pln_node *n = v->def;
    if (!twice && drop < 0)
        return v;
    if (twice && pln_value_is_const(v))
        return half_constant(b, v, drop);
    if (!n || n->graph != b->p->graph || v->slot || depth == MAX_DEPTH || !n->n_in)
        return twice ? NULL : without(b, v, drop);
    pln_value *single = !twice     ? NULL
                        : b->pairs ? doubled_each(v, &drop)
                                   : doubled_whole(v);
    if (single)
        return part_of(b, single, drop, false, depth + 1);
    if (pln_node_is(n, "Unsqueeze"))
        return unsqueezed(b, v, drop, twice, depth + 1);
    if (n->op && (n->op->traits & PLN_OP_ELEMENTWISE)) {
        pln_value *y = elementwise(b, v, drop, twice, depth + 1);
        return y || twice ? y : without(b, v, drop);
    }
    if (!twice)
        return without(b, v, drop);
    if (!moves_rows(n, v))
        return NULL;
    return without(b, copied(b, n, part_of(b, n->in[0], -1, true, depth + 1)), drop);
}

/* ---- the operator ----------------------------------------------------------------- */

/* How the angles lie against x: dimensions from the right. */
typedef struct fit {
    int heads;  /* axis of x; -1: x has none */
    bool batch; /* they are certainly as many as x has */
} fit;

static pln_dim dim_at(const pln_value *v, int axis, int rank) /* of `rank`, from left */
{
    const int i = axis - (rank - pln_value_rank(v));
    return i < 0 ? pln_dim_of(1) : v->type.shape.dims[i];
}

static bool fits(const pln_value *x, const pln_value *v, int heads, bool *batch)
{
    const int rank = pln_value_rank(x), positions = heads == 1 ? 2 : 1;
    const pln_dim first = dim_at(v, 0, rank);
    *batch = pln_dim_equal(first, x->type.shape.dims[0]);
    return (heads < 0 || pln_dim_is(dim_at(v, heads, rank), 1)) &&
           pln_dim_equal(dim_at(v, positions, rank), x->type.shape.dims[positions]) &&
           (*batch || pln_dim_is(first, 1));
}

static bool find_fit(const pln_rotary *r, fit *f)
{
    const int rank = pln_value_rank(r->x);
    for (int heads = rank == 4 ? 1 : -1; heads <= (rank == 4 ? 2 : -1); heads++) {
        bool a, b;
        if (!fits(r->x, r->cosine, heads, &a) || !fits(r->x, r->sine, heads, &b) ||
            a != b)
            continue;
        *f = (fit){ heads, a };
        return true;
    }
    return false;
}

/* [batch, positions, half] */
static pln_value *angles_of(pln_patch *p, const pln_rotary *r, pln_value *v, const fit *f)
{
    static const int64_t front = 0;
    const angles b = { p, r->pairs };
    const int rank = pln_value_rank(v);
    const int drop = f->heads < 0 ? -1 : f->heads - (pln_value_rank(r->x) - rank);
    pln_value *t = part_of(&b, v, drop < 0 ? -1 : drop, r->twice, 0);
    const int left = rank - (drop >= 0);
    if (!t || left == 3)
        return t;
    return pln_patch_op2(p, "Unsqueeze", t, pln_patch_ints(p, &front, 1, "axes"));
}

/* May it be ours: for good, or until to-ms-rotary takes it? */
static bool may_be_ours(const pln_pass_ctx *ctx, const pln_value *x, bool rows_are_known)
{
    const pln_pass_options *o = ctx->options;
    return o->session || o->target == PLN_TARGET_PLANISH ||
           (o->target == PLN_TARGET_ORT &&
            pln_ms_takes_rotary(ctx, x->type.dtype, rows_are_known));
}

/* Rows of two caches, picked by the same positions: the operator picks them itself. Where
 * a position may be negative (from the end, for Gather), only ours does that. */
static bool pick_by_position(const pln_match *m, const pln_rotary *r, const fit *f,
                             pln_value **in)
{
    const pln_node *a = in[1]->def, *b = in[2]->def;
    if (!a || !b || !pln_node_is(a, "Gather") || !pln_node_is(b, "Gather") ||
        a->in[1] != b->in[1] || pln_value_rank(a->in[0]) != 2 ||
        pln_value_rank(b->in[0]) != 2 || pln_node_get_int(a, "axis", 0) != 0 ||
        pln_node_get_int(b, "axis", 0) != 0 || !f->batch)
        return false;
    pln_value *at = a->in[1];
    if (pln_value_rank(at) != 2 || at->type.dtype != PLN_DT_S64 ||
        !pln_value_same_type(a->in[0], b->in[0]) ||
        !(pln_value_is_positive_or_zero(at) ||
          may_be_ours(m->ctx, r->x, pln_value_size_at(a->in[0], 0) > 0)))
        return false;
    in[1] = a->in[0], in[2] = b->in[0], in[3] = at;
    return true;
}

static pln_value *swapped(pln_patch *p, pln_value *v)
{
    static const int64_t perm[4] = { 0, 2, 1, 3 };
    return v ? pln_patch_transpose(p, v, perm, 4) : NULL;
}

/* x is [batch, positions, heads, size] made from [batch, positions, heads * size]. */
static pln_node *split_of_heads(const pln_value *x)
{
    pln_node *n = x->def;
    if (!n || !pln_node_is(n, "Reshape") || pln_value_rank(n->in[0]) != 3 ||
        n->graph != x->graph || pln_value_size_at(x, 2) < 1 ||
        pln_value_size_at(n->in[0], 2) !=
            pln_value_size_at(x, 2) * pln_value_size_at(x, 3))
        return NULL;
    for (int i = 0; i < 2; i++)
        if (!pln_dim_equal(n->in[0]->type.shape.dims[i], x->type.shape.dims[i]))
            return NULL;
    return n;
}

static pln_node *add(const pln_match *m, pln_patch *p, pln_value **in, bool strict)
{
    return strict || m->ctx->options->session
               ? pln_patch_add(p, "RotaryEmbedding", in, 4, 1)
               : pln_patch_add_in(p, "planish", "RotaryEmbedding", in, 4, 1);
}

static pln_value *finish(const pln_match *m, pln_patch *p, const pln_rotary *r,
                         const fit *f, pln_value **in, bool strict)
{
    pln_node *cut = f->heads == 2 ? split_of_heads(r->x) : NULL;
    in[0] = cut ? cut->in[0] : f->heads == 2 ? swapped(p, r->x) : r->x;
    pln_node *n = add(m, p, in, strict);
    if (!n || (r->pairs && pln_node_set_int(n, "interleaved", 1) != PLN_OK))
        return NULL;
    /* What states its meaning goes by attributes. */
    if (*n->domain &&
        pln_node_set_int(n, "rotary_embedding_dim",
                         pln_value_size_at(r->x, pln_value_rank(r->x) - 1)) != PLN_OK)
        return NULL;
    if (pln_value_rank(in[0]) == 3 &&
        pln_node_set_int(n, "num_heads", cut ? pln_value_size_at(r->x, 2) : 1) != PLN_OK)
        return NULL;
    if (!cut)
        return f->heads == 2 ? swapped(p, n->out[0]) : n->out[0];
    pln_value *back[2] = { n->out[0], cut->in[1] };
    pln_node *shaped = pln_patch_copy(p, cut, back, 2);
    return shaped ? shaped->out[0] : NULL;
}

static pln_status check(pln_match *m, const pln_rotary *r, fit *f)
{
    const int rank = pln_value_rank(r->x);
    const int64_t size = pln_value_size_at(r->x, rank - 1);
    const int64_t want = r->twice ? size : size / 2;
    const pln_dtype dt = r->x->type.dtype;
    if (rank < 3 || rank > 4 || size < 2 || size % 2)
        return pln_match_refuse(m, "what turns has no 3 or 4 dimensions, the last known");
    if (dt != PLN_DT_F32 && dt != PLN_DT_F16 && dt != PLN_DT_BF16)
        return pln_match_refuse(m, "its type has no RotaryEmbedding");
    const pln_value *v[2] = { r->cosine, r->sine };
    for (int i = 0; i < 2; i++) {
        const int k = pln_value_rank(v[i]);
        if (k < 2 || k > rank || v[i]->type.dtype != dt ||
            pln_value_size_at(v[i], k - 1) != want)
            return pln_match_refuse(m, "'%s' has no angle for each pair", v[i]->name);
    }
    if (!pln_value_same_type(r->x, m->root->out[0]))
        return pln_match_refuse(m, "the angles make the result larger");
    if (!find_fit(r, f))
        return pln_match_refuse(m, "the angles don't lie along positions");
    return PLN_OK;
}

pln_status pln_rotary_build(pln_match *m, pln_patch *p, const pln_rotary *r)
{
    fit f;
    PLN_TRY(check(m, r, &f));
    pln_value *in[4] = { NULL, angles_of(p, r, r->cosine, &f),
                         angles_of(p, r, r->sine, &f), NULL };
    if (!in[1] || !in[2])
        return pln_match_refuse(m, "the angles are not known to be there twice");
    const bool by_position = pick_by_position(m, r, &f, in);
    const bool strict = f.batch && (!by_position || pln_value_is_positive_or_zero(in[3]));
    if (!(strict && pln_pass_allows_opset(m->ctx, 23)) &&
        !may_be_ours(m->ctx, r->x, by_position || !f.batch))
        return pln_match_refuse(m, f.batch ? "it is too new for the file"
                                           : "one row of angles for all of the batch");
    pln_value *y = finish(m, p, r, &f, in, strict);
    if (!y)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], y);
    return PLN_OK;
}
