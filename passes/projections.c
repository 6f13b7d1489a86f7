/* projections: products of one input with constant weights become one, whose result is
 * taken apart; with them go their biases, and what is done to each element of all.
 *
 *     q = x W + a   k = x V + b   v = x U   =>   q, k, v = Split(x [W V U] + [a b 0])
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"
#include "passes/same.h"
#include "src/ir/eval.h"

#include <string.h>

#define MOST_PIECES 16
#define MOST_BEHIND 4
#define LONG_SUM    256
#define FEW_WEIGHTS 16384

/* A product, its bias, and what stands behind it. */
typedef struct piece {
    pln_node *node;
    pln_value *bias;  /* a row; NULL: none */
    pln_value *scale; /* of narrow weights: one number or a row; NULL: none */
    pln_value *sum;  /* with a bias that an Add brings; NULL: none */
    pln_node *behind[MOST_BEHIND]; /* of one input, element by element */
    int n_behind;
    int64_t width; /* of the result */
} piece;

typedef struct pieces {
    piece of[MOST_PIECES];
    int n;
    const pln_node *like; /* the one among them that can take most */
    uint32_t bias_at;     /* which input of a product is its bias */
    int axis_w, axis;     /* along which weights and results stand beside each other */
} pieces;

/* ---- one product ----------------------------------------------------------------- */

static bool is_conv(const pln_node *n)
{
    return pln_node_is(n, "Conv") || pln_node_is_in(n, "planish", "FusedConv");
}

/* Of sequences: pictures lie in blocks of channels, which a Split would undo. */
static bool is_plain_conv(const pln_node *n)
{
    return n->in[1]->cst->rank == 3 && pln_node_get_int(n, "group", 1) == 1;
}

/* The dimension of the weights that is that of the results. */
static int axis_of_weights(const pln_node *n)
{
    return is_conv(n) || pln_node_get_int(n, "transB", 0) ? 0 : 1;
}

/* Its weights are narrow: behind them are a scale and a zero point. */
static bool is_narrow(const pln_node *n)
{
    return pln_node_is_in(n, "planish", "DequantMatMul");
}

static uint32_t bias_at(const pln_node *n)
{
    return is_narrow(n) ? 4 : 2;
}

/* A scale for all numbers of narrow weights or for each column, and no zero point. */
static bool read_narrow(const pln_node *n, piece *p)
{
    const pln_value *w = n->in[1];
    pln_value *s = n->n_in > 2 ? n->in[2] : NULL;
    if (!pln_value_is_const(w) || w->n_uses != 1 || w->cst->kind != PLN_KIND_TENSOR ||
        (n->n_in > 3 && n->in[3]) || pln_node_get_int(n, "block_size", 0))
        return false;
    p->scale = s;
    return !s || (pln_value_is_const(s) && s->type.dtype == PLN_DT_F32 &&
                  pln_value_rank(s) < 2);
}

static bool is_row(const pln_value *v, int64_t n, pln_dtype dt)
{
    return pln_value_is_const(v) && v->type.dtype == dt && pln_value_rank(v) == 1 &&
           v->cst->dims[0] == n;
}

/* The Add of a row behind a product that takes none itself. */
static void take_sum(piece *p)
{
    const pln_value *y = p->node->out[0];
    const pln_node *add = pln_node_is(p->node, "MatMul") ? pln_value_only_user(y) : NULL;
    if (!add || !pln_node_is(add, "Add") || add->graph != p->node->graph)
        return;
    pln_value *other = add->in[add->in[0] == y ? 1 : 0];
    if (!is_row(other, p->width, y->type.dtype))
        return;
    p->bias = other;
    p->sum = add->out[0];
}

static pln_value *before_behind(const piece *p)
{
    return p->sum ? p->sum : p->node->out[0];
}

static pln_value *result_of(const piece *p)
{
    return p->n_behind ? p->behind[p->n_behind - 1]->out[0] : before_behind(p);
}

static void take_behind(piece *p)
{
    while (p->n_behind < MOST_BEHIND) {
        pln_node *n = pln_value_only_user(result_of(p));
        if (!n || !n->op || n->n_in != 1 || n->n_out != 1 || n->graph != p->node->graph ||
            !(n->op->traits & PLN_OP_ELEMENTWISE) || !pln_node_is_pure(n) ||
            !pln_value_same_type(n->out[0], result_of(p)))
            return;
        p->behind[p->n_behind++] = n;
    }
}

static bool read_piece(pln_node *n, piece *p)
{
    const pln_value *w = n->n_in > 1 ? n->in[1] : NULL;
    *p = (piece){ .node = n };
    const uint32_t at = bias_at(n);
    if (!w || n->n_in > at + 1 || n->n_out != 1 || !n->op ||
        !(is_narrow(n) ? read_narrow(n, p) : pln_value_is_own_weights(w)) ||
        w->cst->rank < 2 || (!is_conv(n) && w->cst->rank != 2) ||
        pln_value_rank(n->out[0]) < 2 ||
        (is_conv(n) && !is_plain_conv(n)))
        return false;
    p->width = w->cst->dims[axis_of_weights(n)];
    if (n->n_in > at && n->in[at]) {
        if (!is_row(n->in[at], p->width, n->out[0]->type.dtype))
            return false;
        p->bias = n->in[at];
    }
    take_sum(p);
    take_behind(p);
    return p->width > 0;
}

/* ---- those of one input ---------------------------------------------------------- */

/* MatMul and planish.FusedMatMul are of one kind. */
static bool same_kind(const pln_node *n, const pln_node *k)
{
    if (n->domain == k->domain)
        return n->op_type == k->op_type;
    const pln_node *fused = *n->domain ? n : k, *plain = fused == n ? k : n;
    return !*plain->domain && !strcmp(fused->domain, "planish") &&
           !strncmp(fused->op_type, "Fused", 5) &&
           !strcmp(fused->op_type + 5, plain->op_type);
}

/* The same but for numbers and how many results there are. */
static bool fits(const piece *a, const piece *b)
{
    const pln_node *n = a->node, *k = b->node;
    const pln_tensor *w = n->in[1]->cst, *v = k->in[1]->cst;
    if (!same_kind(n, k) || n->graph != k->graph || n->in[0] != k->in[0] ||
        w->rank != v->rank || w->dtype != v->dtype || !a->scale != !b->scale ||
        !pln_node_same_attrs(n, k))
        return false;
    for (int i = 0; i < w->rank; i++)
        if (i != axis_of_weights(n) && w->dims[i] != v->dims[i])
            return false;
    return true;
}

/* One of several that were one before: nothing but a Split reads it. */
static bool is_taken_apart(const piece *p)
{
    const pln_node *n = pln_value_only_user(result_of(p));
    return n && pln_node_is(n, "Split");
}

static uint32_t count_fitting(const piece *first)
{
    piece p;
    uint32_t n = 0;
    for (const pln_use *u = first->node->in[0]->uses; u; u = u->next)
        n += u->node && u->slot == 0 && read_piece(u->node, &p) && fits(first, &p) &&
             !is_taken_apart(&p);
    return n;
}

static void keep_common(piece *a, piece *b)
{
    int n = 0;
    while (n < a->n_behind && n < b->n_behind &&
           a->behind[n]->op_type == b->behind[n]->op_type &&
           a->behind[n]->domain == b->behind[n]->domain &&
           pln_node_same_attrs(a->behind[n], b->behind[n]))
        n++;
    a->n_behind = b->n_behind = n;
}

/* In the order in which they stand in the graph, from node n. */
static pln_status find(pln_match *m, pieces *all)
{
    piece p;
    *all = (pieces){ .n = 0 };
    if (!read_piece(m->root, &all->of[0]) || is_taken_apart(&all->of[0]))
        return pln_match_refuse(m, "weights or bias are not of its own");
    const uint32_t n = count_fitting(&all->of[0]);
    if (n < 2)
        return pln_match_refuse(m, "no other product of this input fits");
    all->n = 1;
    for (pln_node *k = m->root->next; k && (uint32_t)all->n < n; k = k->next)
        if (all->n < MOST_PIECES && k->n_in > 1 && k->in[0] == m->root->in[0] &&
            read_piece(k, &p) && fits(&all->of[0], &p) && !is_taken_apart(&p))
            all->of[all->n++] = p;
    if ((uint32_t)all->n < n && all->n < MOST_PIECES)
        return pln_match_refuse(m, "not the first of them");
    for (int k = 0; k < 2; k++) /* what the last ones lack, the first ones lose */
        for (int i = 1; i < all->n; i++)
            keep_common(&all->of[0], &all->of[i]);
    all->like = m->root;
    for (int i = 1; i < all->n && !*all->like->domain; i++)
        all->like = all->of[i].node;
    all->bias_at = bias_at(m->root);
    all->axis_w = axis_of_weights(m->root);
    all->axis = is_conv(m->root) ? 1 : pln_value_rank(m->root->out[0]) - 1;
    return PLN_OK;
}

/* ---- one for all ----------------------------------------------------------------- */

/* Taking the result apart is a copy, which costs little beside long sums, and where all
 * is so small that it is the number of nodes that counts. */
static bool is_cheap_to_split(const pieces *all)
{
    int64_t sum = 1, width = 0;
    const pln_tensor *w = all->of[0].node->in[1]->cst;
    for (int i = 0; i < w->rank; i++)
        sum *= i == all->axis_w ? 1 : w->dims[i];
    for (int i = 0; i < all->n; i++)
        width += all->of[i].width;
    return sum >= LONG_SUM || sum * width <= FEW_WEIGHTS;
}

/* How many nodes fewer. */
static int gain(const pieces *all)
{
    int before = 0, sums = 0;
    for (int i = 0; i < all->n; i++) {
        before += 1 + all->of[i].n_behind;
        sums += all->of[i].sum != NULL;
    }
    const bool adds = sums && pln_node_is(all->like, "MatMul");
    return before + sums - (2 + adds + all->of[0].n_behind);
}

static pln_value *concat(pln_patch *p, pln_value *const *v, int n, int64_t axis)
{
    pln_node *c = pln_patch_add(p, "Concat", v, (uint32_t)n, 1);
    return c && pln_node_set_int(c, "axis", axis) == PLN_OK ? c->out[0] : NULL;
}

static pln_value *weights(pln_patch *p, const pieces *all)
{
    pln_value *v[MOST_PIECES];
    for (int i = 0; i < all->n; i++)
        v[i] = all->of[i].node->in[1];
    return concat(p, v, all->n, all->axis_w);
}

/* NULL: none has one. */
static pln_value *biases(pln_patch *p, const pieces *all)
{
    pln_value *v[MOST_PIECES];
    const pln_dtype dt = all->of[0].node->out[0]->type.dtype;
    bool any = false;
    for (int i = 0; i < all->n; i++)
        any |= (v[i] = all->of[i].bias) != NULL;
    for (int i = 0; i < all->n && any; i++) {
        pln_tensor *t = NULL;
        if (v[i])
            continue;
        if (pln_tensor_make(p->graph->model->alloc, dt, 1, &all->of[i].width, &t, NULL) ==
            PLN_OK)
            memset(t->data, 0, (size_t)t->dims[0] * pln_dtype_size(dt));
        v[i] = pln_patch_const(p, t, "none");
    }
    return any ? concat(p, v, all->n, 0) : NULL;
}

/* One number for each column; NULL: the weights have no scale. */
static pln_value *scales(pln_patch *p, const pieces *all)
{
    pln_value *v[MOST_PIECES];
    for (int i = 0; i < all->n; i++) {
        const piece *of = &all->of[i];
        const pln_tensor *s = of->scale ? pln_value_contents(of->scale) : NULL;
        pln_tensor *t = NULL;
        if (!s || (pln_tensor_size(s) != 1 && pln_tensor_size(s) != of->width))
            return NULL;
        if (pln_tensor_make(p->graph->model->alloc, PLN_DT_F32, 1, &of->width, &t,
                            NULL) == PLN_OK)
            for (int64_t k = 0; k < of->width; k++)
                PLN_DATA(float, t)[k] =
                    PLN_DATA(const float, s)[pln_tensor_size(s) == 1 ? 0 : k];
        v[i] = pln_patch_const(p, t, "scale");
    }
    return concat(p, v, all->n, 0);
}

static bool replace_all(pln_patch *p, const pieces *all, pln_value *y)
{
    int64_t sizes[MOST_PIECES];
    for (int i = 0; i < all->n; i++)
        sizes[i] = all->of[i].width;
    pln_value *in[2] = { y, pln_patch_ints(p, sizes, (size_t)all->n, "widths") };
    pln_node *n = pln_patch_add(p, "Split", in, 2, (uint32_t)all->n);
    if (!n || pln_node_set_int(n, "axis", all->axis) != PLN_OK)
        return false;
    for (int i = 0; i < all->n; i++)
        pln_patch_replace(p, result_of(&all->of[i]), n->out[i]);
    return true;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    pieces all;
    PLN_TRY(find(m, &all));
    if (gain(&all) < 1)
        return pln_match_refuse(m, "%d products would be no fewer nodes", all.n);
    if (!is_cheap_to_split(&all))
        return pln_match_refuse(m, "taking the result apart would take too long");
    const bool adds = pln_node_is(all.like, "MatMul");
    pln_value *bias = biases(p, &all);
    pln_value *in[5] = { m->root->in[0], weights(p, &all) };
    if (all.of[0].scale && !(in[2] = scales(p, &all)))
        return pln_match_refuse(m, "scales that are neither one nor a row");
    in[all.bias_at] = adds ? NULL : bias;
    const uint32_t n_in = in[all.bias_at] ? all.bias_at + 1 : in[2] ? 3 : 2;
    pln_node *n = in[1] ? pln_patch_copy(p, all.like, in, n_in) : NULL;
    pln_value *y = n ? n->out[0] : NULL;
    if (y && bias && adds)
        y = pln_patch_op2(p, "Add", y, bias);
    for (int i = 0; i < all.of[0].n_behind && y; i++) {
        n = pln_patch_copy(p, all.of[0].behind[i], &y, 1);
        y = n ? n->out[0] : NULL;
    }
    return y && replace_all(p, &all, y) ? PLN_OK : PLN_E_NOMEM;
}

static const pln_rule rules[] = {
    { .match = "MatMul|Gemm|Conv|planish.FusedMatMul|planish.FusedGemm|planish.FusedConv"
               "|planish.DequantMatMul|com.microsoft.FusedMatMul|com.microsoft.FusedGemm"
               "(x, w#, ...)",
      .build = build,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_projections = {
    .name = "projections",
    .brief = "products of one input as one, taken apart behind it",
    PLN_RULES(rules),
};
