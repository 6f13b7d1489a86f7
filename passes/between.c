/* between: what stands between a view of a value and the view back works on the value
 * itself: elements one by one, rows along the last axis, products with a matrix.
 *
 *     Reshape(Relu(MatMul(Reshape(x, [-1, 8]), w)), [-1, 5, 8]) => Relu(MatMul(x, w))
 *     Reshape(Gemm(Reshape(x, [-1, 8]), w, b), [-1, 5, 8])      => Add(MatMul(x, w), b)
 *     Squeeze(MatMul(Unsqueeze(x, 1), w), 1)                    => MatMul(x, w)
 *     Reshape(MatMul(Reshape(a, [-1, 5, 8]), Reshape(b, [-1, 8, 7])), [-1, 3, 5, 7])
 *       => MatMul(a, b)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <string.h>

#define MAX_STEPS 8

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

static bool is_view(const pln_node *n)
{
    return pln_node_is(n, "Reshape") || pln_node_is(n, "Flatten") ||
           pln_node_is(n, "Squeeze") || pln_node_is(n, "Unsqueeze");
}

static pln_dim last_of(const pln_value *v)
{
    const int rank = pln_value_rank(v);
    return rank > 0 ? v->type.shape.dims[rank - 1] : pln_dim_unknown();
}

static bool same_size(pln_dim a, pln_dim b)
{
    return !pln_dim_is_unknown(a) && pln_dim_equal(a, b);
}

/* ---- steps on the way ------------------------------------------------------------ */

/* How a node works on other views of its input. */
typedef enum step_kind { STEP_NONE, STEP_ELEMENTS, STEP_ROWS, STEP_GEMM } step_kind;

typedef struct step {
    pln_node *n;
    uint32_t slot; /* the input that the way goes through */
    step_kind kind;
} step;

static bool is_matrix(const pln_value *v)
{
    return v && pln_value_rank(v) == 2;
}

/* One number, or a row of them. */
static bool is_row(const pln_value *v)
{
    return v && pln_value_is_const(v) && v->cst->rank <= 1;
}

static bool is_plain_gemm(const pln_node *n)
{
    return pln_node_is(n, "Gemm") && is_matrix(n->in[1]) &&
           !pln_node_get_int(n, "transA", 0) && pln_node_get_float(n, "alpha", 1) == 1 &&
           (n->n_in < 3 || !n->in[2] ||
            (pln_node_get_float(n, "beta", 1) == 1 && pln_value_rank(n->in[2]) <= 1 &&
             pln_value_rank(n->in[2]) >= 0));
}

static bool is_along_last(const pln_node *n)
{
    const int64_t axis = pln_node_get_int(n, "axis", -1);
    return axis == -1 || axis == pln_value_rank(n->in[0]) - 1;
}

static step step_of(pln_node *n)
{
    static const char *const along_last[] = { "Softmax", "LogSoftmax",
                                              "LayerNormalization" };
    const uint32_t never = PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_CONTROL | PLN_OP_QDQ;
    step s = { n, 0, STEP_NONE };
    if (!n->op || n->n_out != 1 || !n->n_in || !n->in[0] || (n->op->traits & never))
        return s;
    for (size_t i = 0; i < sizeof along_last / sizeof along_last[0]; i++)
        if (pln_node_is(n, along_last[i]) && is_along_last(n) &&
            !pln_node_get_int(n, "pln_flatten", 0))
            s.kind = STEP_ROWS;
    if (pln_node_is(n, "MatMul") && is_matrix(n->in[1]) && pln_value_rank(n->in[0]) > 1)
        s.kind = STEP_ROWS;
    else if (is_plain_gemm(n))
        s.kind = STEP_GEMM;
    else if (!(n->op->traits & PLN_OP_ELEMENTWISE))
        return s;
    else if (n->n_in == 1 && *n->domain == 0)
        s.kind = STEP_ELEMENTS;
    else if (n->n_in == 2 && n->in[1] && (is_row(n->in[0]) || is_row(n->in[1]))) {
        s.slot = is_row(n->in[0]) ? 1 : 0;
        s.kind = pln_value_count(n->in[1 - s.slot]) == 1 ? STEP_ELEMENTS : STEP_ROWS;
    }
    return s;
}

/* From the last view back to the first; the last step comes first. */
typedef struct way {
    step step[MAX_STEPS];
    int n, gemms;
    bool by_rows;
    pln_node *view; /* where it begins */
} way;

static bool find_way(const pln_node *last, way *w)
{
    *w = (way){ .n = 0 };
    for (const pln_value *v = last->in[0];;
         v = w->step[w->n - 1].n->in[w->step[w->n - 1].slot]) {
        if (!v || !v->def || v->def->graph != last->graph)
            return false;
        if (is_view(v->def)) {
            w->view = v->def;
            return w->n > 0;
        }
        const step s = step_of(v->def);
        if (s.kind == STEP_NONE || w->n == MAX_STEPS || !pln_value_is_single_use(v))
            return false;
        w->step[w->n++] = s;
        w->gemms += s.kind == STEP_GEMM;
        w->by_rows |= s.kind != STEP_ELEMENTS;
    }
}

static pln_value *emit_gemm(pln_patch *p, const pln_node *n, pln_value *x)
{
    static const int64_t swap[2] = { 1, 0 };
    pln_value *w = n->in[1];
    if (pln_node_get_int(n, "transB", 0))
        w = pln_patch_transpose(p, w, swap, 2);
    pln_value *y = w ? pln_patch_op2(p, "MatMul", x, w) : NULL;
    return y && n->n_in > 2 && n->in[2] ? pln_patch_op2(p, "Add", y, n->in[2]) : y;
}

static pln_value *emit_step(pln_patch *p, const step *s, pln_value *x)
{
    pln_value *in[8];
    if (s->kind == STEP_GEMM)
        return emit_gemm(p, s->n, x);
    if (s->n->n_in > 8)
        return NULL;
    memcpy(in, s->n->in, s->n->n_in * sizeof in[0]);
    in[s->slot] = x;
    pln_node *n = pln_patch_copy(p, s->n, in, s->n->n_in);
    if (!n ||
        (pln_node_find_attr(n, "axis") && pln_node_set_int(n, "axis", -1) != PLN_OK))
        return NULL;
    return n->out[0];
}

/* y has the sizes of x but for the last, which is that of `narrow`. */
static bool keeps_rows(const pln_value *x, const pln_value *narrow, const pln_value *y)
{
    const int rank = pln_value_rank(x);
    if (rank < 1 || rank != pln_value_rank(y) || !same_size(last_of(narrow), last_of(y)))
        return false;
    for (int i = 0; i < rank - 1; i++)
        if (!same_size(x->type.shape.dims[i], y->type.shape.dims[i]))
            return false;
    return true;
}

static pln_status without_views(pln_match *m, pln_patch *p)
{
    way w;
    if (!find_way(m->root, &w))
        return pln_match_refuse(m, "not a view, steps by elements or rows, and a view");
    pln_value *x = w.view->in[0], *y = x;
    const pln_value *narrow = m->root->in[0];
    const bool back = keeps_rows(x, narrow, out_of(m));
    const bool dies = pln_value_is_single_use(w.view->out[0]);
    if (pln_value_rank(x) < 2 ||
        (w.by_rows && !same_size(last_of(x), last_of(w.view->out[0]))))
        return pln_match_refuse(m, "the first view breaks rows");
    if (w.gemms + !back >= 1 + dies)
        return pln_match_refuse(m, "as many nodes would be left");
    for (int i = w.n - 1; i >= 0 && y; i--)
        y = emit_step(p, &w.step[i], y);
    if (!y)
        return PLN_E_NOMEM;
    bool changed;
    if (!back && (pln_node_infer(y->def, &changed, NULL) != PLN_OK ||
                  !(y = pln_patch_view(p, y, out_of(m)->type.shape))))
        return pln_match_refuse(m, "two sizes are neither known nor those of the input");
    pln_patch_replace_proven(p, out_of(m), y);
    return PLN_OK;
}

/* ---- batches of matrices --------------------------------------------------------- */

/* v shows all axes of x but the last two as one. */
static bool joins_batch(const pln_value *x, const pln_value *v)
{
    const int rank = pln_value_rank(x);
    return rank > 3 && pln_value_rank(v) == 3 && same_size(last_of(x), last_of(v)) &&
           same_size(x->type.shape.dims[rank - 2], v->type.shape.dims[1]);
}

static bool same_batch(const pln_value *a, const pln_value *b)
{
    const int rank = pln_value_rank(a);
    if (rank != pln_value_rank(b))
        return false;
    for (int i = 0; i < rank - 2; i++)
        if (!same_size(a->type.shape.dims[i], b->type.shape.dims[i]))
            return false;
    return true;
}

static pln_status batch_of_matrices(pln_match *m, pln_patch *p)
{
    pln_value *a = pln_match_val(m, "a"), *b = pln_match_val(m, "b");
    const pln_node *y = pln_match_node(m, "y");
    if (!joins_batch(a, y->in[0]) || !joins_batch(b, y->in[1]) || !same_batch(a, b) ||
        !same_batch(a, out_of(m)) || !same_size(last_of(b), last_of(out_of(m))))
        return pln_match_refuse(m, "the views do not join the same batch, or do more");
    pln_patch_replace_proven(p, out_of(m), pln_patch_op2(p, "MatMul", a, b));
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "batch-between-views",
      .match = "Reshape(y=MatMul!(Reshape(a, _), Reshape(b, _)), _)",
      .build = batch_of_matrices },
    { .name = "between-views",
      .match = "Reshape|Flatten|Squeeze|Unsqueeze(_, ...)",
      .build = without_views,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_between = {
    .name = "between",
    .brief =
        "works on a value itself where it was between a view of it and the view back",
    PLN_RULES(rules),
};
