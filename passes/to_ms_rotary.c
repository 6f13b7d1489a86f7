/* to-ms-rotary: RotaryEmbedding that was stated becomes that of com.microsoft, which
 * picks the rows of two matrices by position. Before heads that an attention joins again,
 * the standard's turns them while they are joined, too.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/fuse_attention.h"
#include "passes/to_ms.h"

bool pln_ms_takes_rotary(const pln_pass_ctx *ctx, pln_dtype dt, bool rows_are_known)
{
    return (dt == PLN_DT_F32 || dt == PLN_DT_F16) &&
           (rows_are_known || pln_pass_allows_opset(ctx, 15)); /* Shape has a start */
}

/* ---- angles ---------------------------------------------------------------------- */

typedef struct rotary {
    pln_node *node;
    pln_value *x, *cosine, *sine, *positions;
    int64_t heads, dim, turned;
    bool split; /* x had its heads split off and put before its rows */
} rotary;

/* Positions from the end, as Gather has them, count from the front. */
static pln_value *from_front(pln_patch *p, pln_value *at, int64_t rows)
{
    if (pln_value_is_positive_or_zero(at))
        return at;
    return pln_patch_op2(p, "Mod", at,
                         pln_patch_scalar(p, PLN_DT_S64, (double)rows, "rows"));
}

static pln_value *reshaped(pln_patch *p, pln_value *v, const int64_t *to, size_t n)
{
    return v ? pln_patch_op2(p, "Reshape", v, pln_patch_ints(p, to, n, "shape")) : NULL;
}

/* The input of v's node, [batch, rows, half], of which that computes v element by
 * element; -1: none. */
static int under_elementwise(const pln_value *v)
{
    const pln_node *n = v->def;
    if (!n || n->n_in < 1 || n->n_in > 2 || n->n_out != 1 || n->graph != v->graph ||
        !n->op || !(n->op->traits & PLN_OP_ELEMENTWISE))
        return -1;
    const int at = n->n_in == 2 && pln_value_is_const_number(n->in[0]);
    return pln_value_rank(n->in[at]) == 3 &&
                   (n->n_in == 1 || pln_value_is_const_number(n->in[1 - at]))
               ? at
               : -1;
}

/* Each position times each frequency: v is the transposed product of constant
 * frequencies, [1, half, 1], and positions, [batch, 1, rows]. */
static pln_node *outer_product(const pln_value *v)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    const pln_node *t = v->def;
    pln_node *mm = t && pln_node_is(t, "Transpose") ? t->in[0]->def : NULL;
    return mm && pln_node_is(mm, "MatMul") && pln_perm_of(t, perm, &rank) && rank == 3 &&
                   perm[0] == 0 && perm[1] == 2 && pln_value_is_const(mm->in[0]) &&
                   pln_value_size_at(mm->in[0], 0) == 1 &&
                   pln_value_rank(mm->in[0]) == 3 &&
                   pln_value_size_at(mm->in[0], 2) == 1 && pln_value_rank(mm->in[1]) == 3
               ? mm
               : NULL;
}

/* What positions [batch, 1, rows] were made of: *cast makes them floats. */
static pln_value *plain_positions(pln_value *v, const pln_node **cast)
{
    int64_t axis;
    size_t n;
    *cast = v->def && pln_node_is(v->def, "Cast") ? v->def : NULL;
    v = *cast ? v->def->in[0] : v;
    const pln_node *u = v->def;
    return u && pln_node_is(u, "Unsqueeze") && pln_value_rank(u->in[0]) == 2 &&
                   pln_value_get_ints(u->in[1], &axis, 1, &n) && n == 1 &&
                   (axis == 1 || axis == -2)
               ? u->in[0]
               : v;
}

/* [batch, rows, half] as [batch x rows, half]: before what is done to each element, so
 * that cosines and sines have their angles in common. */
static pln_value *stacked(pln_patch *p, pln_value *v)
{
    const int under = under_elementwise(v);
    const pln_node *outer = outer_product(v), *cast;
    const int64_t half = pln_value_size_at(v, 2);
    if (under >= 0) {
        pln_value *in[2] = { v->def->in[0], v->def->n_in > 1 ? v->def->in[1] : NULL };
        in[under] = stacked(p, in[under]);
        pln_node *made = in[under] ? pln_patch_copy(p, v->def, in, v->def->n_in) : NULL;
        return made ? made->out[0] : NULL;
    }
    if (!outer)
        return reshaped(p, v, (const int64_t[]){ -1, half }, 2);
    pln_value *each = reshaped(p, outer->in[0], (const int64_t[]){ 1, half }, 2);
    pln_value *at = reshaped(p, plain_positions(outer->in[1], &cast),
                             (const int64_t[]){ -1, 1 }, 2);
    pln_node *made = at && cast ? pln_patch_copy(p, cast, &at, 1) : NULL;
    at = made ? made->out[0] : at;
    return at && each ? pln_patch_op2(p, "Mul", at, each) : NULL;
}

/* A value that begins with batch and rows, as v does. */
static pln_value *with_rows_of(pln_value *v)
{
    const pln_node *outer, *cast;
    for (int at; (at = under_elementwise(v)) >= 0;)
        v = v->def->in[at];
    outer = outer_product(v);
    pln_value *positions = outer ? plain_positions(outer->in[1], &cast) : v;
    return pln_value_rank(positions) == 2 ? positions : v;
}

/* The number of each row of v, [batch, rows, half], among all: [batch, rows]. */
static pln_value *numbers(pln_patch *p, pln_value *v)
{
    v = with_rows_of(v);
    pln_node *shape = pln_patch_add(p, "Shape", &v, 1, 1);
    if (!shape || (pln_value_rank(v) > 2 && pln_node_set_int(shape, "end", 2) != PLN_OK))
        return NULL;
    pln_node *count = pln_patch_add(p, "ReduceProd", &shape->out[0], 1, 1);
    if (!count || pln_node_set_int(count, "keepdims", 0) != PLN_OK)
        return NULL;
    pln_value *in[3] = { pln_patch_scalar(p, PLN_DT_S64, 0, "first"), count->out[0],
                         pln_patch_scalar(p, PLN_DT_S64, 1, "step") };
    pln_node *range = pln_patch_add(p, "Range", in, 3, 1);
    pln_value *to[2] = { range ? range->out[0] : NULL, shape->out[0] };
    pln_node *rows = range ? pln_patch_add(p, "Reshape", to, 2, 1) : NULL;
    return rows && pln_node_set_int(rows, "allowzero", 1) == PLN_OK ? rows->out[0] : NULL;
}

static bool has_rows(const pln_pass_ctx *ctx, const rotary *r)
{
    const int rank = pln_value_rank(r->cosine);
    if (rank != (r->positions ? 2 : 3) || rank != pln_value_rank(r->sine))
        return false;
    const bool known = r->positions ? pln_value_size_at(r->cosine, 0) > 0 ||
                                          pln_value_is_positive_or_zero(r->positions)
                                    : pln_dim_is(r->cosine->type.shape.dims[0], 1);
    return (known || !r->positions) && pln_value_size_at(r->cosine, rank - 1) > 0 &&
           pln_ms_takes_rotary(ctx, r->x->type.dtype, known);
}

/* Matrices of cosines and sines, and what picks their rows. */
static bool find_rows(pln_patch *p, rotary *r)
{
    static const int64_t first[1] = { 0 };
    const pln_value *c = r->cosine;
    if (r->positions) {
        r->positions = from_front(p, r->positions, pln_value_size_at(c, 0));
    } else {
        r->positions = pln_dim_is(c->type.shape.dims[0], 1)
                           ? pln_patch_ints(p, first, 1, "first")
                           : numbers(p, r->cosine);
        r->cosine = stacked(p, r->cosine);
        r->sine = stacked(p, r->sine);
    }
    return r->cosine && r->sine && r->positions;
}

/* ---- the operator ---------------------------------------------------------------- */

static bool read(pln_node *n, rotary *r)
{
    *r = (rotary){ .node = n, .x = n->in[0], .cosine = n->in[1], .sine = n->in[2],
                   .positions = n->n_in > 3 ? n->in[3] : NULL };
    const int rank = pln_value_rank(r->x);
    const int64_t last = rank < 3 ? -1 : pln_value_size_at(r->x, rank - 1);
    if (rank < 3 || rank > 4 || last < 1)
        return false;
    r->heads =
        rank == 3 ? pln_node_get_int(n, "num_heads", 0) : pln_value_size_at(r->x, 1);
    r->dim = rank == 4 ? last : r->heads > 0 ? last / r->heads : -1;
    r->turned = pln_node_get_int(n, "rotary_embedding_dim", 0);
    if (r->turned == r->dim)
        r->turned = 0;
    return r->heads > 0 && r->dim > 0;
}

/* Heads that lie in the last dimension of [batch, rows, heads x dim] turn there. */
static void join_heads(rotary *r)
{
    pln_joined j;
    r->split = pln_value_rank(r->x) == 4 && pln_joined_of(r->x, &j) && j.parts == 1 &&
               !j.len_first && j.heads == r->heads && pln_value_is_single_use(r->x);
    if (r->split)
        r->x = j.x;
}

static bool set_attributes(const rotary *r, pln_node *n)
{
    return n &&
           (!pln_node_get_int(r->node, "interleaved", 0) ||
            pln_node_set_int(n, "interleaved", 1) == PLN_OK) &&
           ((pln_value_rank(r->x) == 4 && !r->turned) ||
            pln_node_set_int(n, "num_heads", r->heads) == PLN_OK) &&
           (!r->turned ||
            pln_node_set_int(n, "rotary_embedding_dim", r->turned) == PLN_OK);
}

static pln_value *split_again(pln_patch *p, const rotary *r, pln_value *y)
{
    static const int64_t swap[4] = { 0, 2, 1, 3 };
    const int64_t to[4] = { 0, 0, r->heads, r->dim };
    y = reshaped(p, y, to, 4);
    return y ? pln_patch_transpose(p, y, swap, 4) : NULL;
}

static pln_status finish(pln_match *m, pln_patch *p, const rotary *r, pln_node *n)
{
    if (!set_attributes(r, n))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_value *y = r->split ? split_again(p, r, n->out[0]) : n->out[0];
    pln_patch_replace(p, m->root->out[0], y);
    return PLN_OK;
}

static pln_status stated(pln_match *m, pln_patch *p)
{
    rotary r;
    if (!read(m->root, &r) || !has_rows(m->ctx, &r))
        return pln_match_refuse(m, "com.microsoft has no form for it");
    join_heads(&r);
    if (!find_rows(p, &r))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_value *in[4] = { r.x, r.positions, r.cosine, r.sine };
    return finish(m, p, &r, pln_patch_add_in(p, PLN_MS, "RotaryEmbedding", in, 4, 1));
}

static pln_status standard(pln_match *m, pln_patch *p)
{
    rotary r;
    if (*m->root->domain || !read(m->root, &r))
        return pln_match_refuse(m, "not the standard's, of known sizes");
    join_heads(&r);
    if (!r.split)
        return pln_match_refuse(m, "what turns has its heads where they are");
    pln_value *in[4] = { r.x, r.cosine, r.sine, r.positions };
    return finish(m, p, &r, pln_patch_add(p, "RotaryEmbedding", in, 4, 1));
}

static const pln_rule rules[] = {
    { .name = "ms-rotary",
      .match = "planish.RotaryEmbedding(x, c, s, at?)",
      .build = stated,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    { .name = "rotary-joined",
      .match = "RotaryEmbedding(x, c, s, at?)",
      .build = standard,
      .contract = PLN_EXACT,
      .target = PLN_TARGET_ORT },
};

const pln_pass pln_pass_to_ms_rotary = {
    .name = "to-ms-rotary",
    .brief = "RotaryEmbedding of com.microsoft",
    PLN_RULES(rules),
};
