/* reassoc: constants that are added or multiplied one after the other become one, and
 * constant factors go into the constant matrix of a product.
 *
 *     (x + c) + d => x + (c + d)     (x + c) d + e => x d + (c d + e)     (x w) s => x (w s)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"

#include <math.h>
#include <string.h>

#define MAX_CONSTANT   65536 /* elements */
#define SMALL_CONSTANT 256
#define MAX_CHAIN      8

static bool is_finite(const pln_value *v)
{
    pln_tensor *t = v->cst;
    if (pln_tensor_size(t) > MAX_CONSTANT || pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    for (int64_t i = 0; i < pln_tensor_size(t); i++) {
        const double d = pln_tensor_get_f64(t, i);
        if (!isfinite(d) || (d != 0 && fabs(d) < 1e-30))
            return false;
    }
    return true;
}

static bool has_zero(const pln_value *v)
{
    for (int64_t i = 0; i < pln_tensor_size(v->cst); i++)
        if (pln_tensor_get_f64(v->cst, i) == 0)
            return true;
    return false;
}

/* ---- chains of sums and products with constants ---------------------------------- */

/* y = mul x + add; NULL: 1 and 0. */
typedef struct linear {
    const pln_allocator *alloc;
    pln_tensor *mul, *add;
} linear;

static void drop(linear *l)
{
    pln_tensor_unref(l->mul);
    pln_tensor_unref(l->add);
    l->mul = l->add = NULL;
}

static pln_tensor *number(const linear *l, pln_dtype dt, double v)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(l->alloc, dt, 0, NULL, &t, NULL) == PLN_OK)
        pln_tensor_set_f64(t, 0, v);
    return t;
}

/* *at = *at op c, or c op *at; takes neither. */
static bool combine(const linear *l, pln_tensor **at, char op, pln_tensor *c, bool first)
{
    pln_tensor *t = first ? pln_tensor_combine(l->alloc, c, op, *at)
                          : pln_tensor_combine(l->alloc, *at, op, c);
    if (!t)
        return false;
    pln_tensor_unref(*at);
    *at = t;
    return true;
}

/* Where there is none yet, it begins as the number `from`. */
static bool scale(linear *l, pln_dtype dt, char op, pln_tensor *c)
{
    if (!l->mul && !(l->mul = number(l, dt, 1)))
        return false;
    return combine(l, &l->mul, op, c, false) &&
           (!l->add || combine(l, &l->add, op, c, false));
}

static bool negate(linear *l, pln_dtype dt)
{
    pln_tensor *minus = number(l, dt, -1);
    const bool ok = minus && scale(l, dt, '*', minus);
    pln_tensor_unref(minus);
    return ok;
}

static bool shift(linear *l, pln_dtype dt, char op, pln_tensor *c)
{
    if (!l->add && !(l->add = number(l, dt, 0)))
        return false;
    return combine(l, &l->add, op, c, false);
}

/* Puts node n behind what there is. */
static bool append(linear *l, const pln_node *n)
{
    const pln_dtype dt = n->out[0]->type.dtype;
    if (pln_node_is(n, "Neg"))
        return negate(l, dt);
    const bool first = pln_affine_input(n) == n->in[1];
    pln_tensor *c = n->in[first ? 0 : 1]->cst;
    if (!is_finite(n->in[first ? 0 : 1]))
        return false;
    if (pln_node_is(n, "Add"))
        return shift(l, dt, '+', c);
    if (pln_node_is(n, "Sub"))
        return first ? negate(l, dt) && shift(l, dt, '+', c) : shift(l, dt, '-', c);
    const bool div = pln_node_is(n, "Div");
    return !has_zero(n->in[first ? 0 : 1]) && (!div || pln_dtype_is_float(dt)) &&
           scale(l, dt, div ? '/' : '*', c);
}

static bool is_all(pln_tensor *t, double v)
{
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        if (pln_tensor_get_f64(t, i) != v)
            return false;
    return true;
}

/* A constant that somebody else keeps would not make room for this one. */
static bool has_room(pln_node *const *chain, int n, const pln_tensor *t)
{
    if (!t || pln_tensor_size(t) <= SMALL_CONSTANT)
        return true;
    for (int i = 0; i < n; i++)
        for (uint32_t k = 0; k < chain[i]->n_in; k++)
            if (pln_value_is_const(chain[i]->in[k]) && chain[i]->in[k]->n_uses == 1 &&
                pln_tensor_size(chain[i]->in[k]->cst) >= pln_tensor_size(t))
                return true;
    return false;
}

/* All are v, and x is as large without them. */
static bool is_number_for(const pln_value *x, pln_tensor *t, double v)
{
    const int rank = pln_value_rank(x);
    if (!t || !is_all(t, v) || (t->rank && t->rank > rank))
        return false;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != 1 &&
            !pln_dim_is(x->type.shape.dims[rank - t->rank + i], t->dims[i]))
            return false;
    return true;
}

static int nodes_of(linear *l, const pln_value *x)
{
    if (is_number_for(x, l->add, 0)) {
        pln_tensor_unref(l->add);
        l->add = NULL;
    }
    if (is_number_for(x, l->mul, 1)) {
        pln_tensor_unref(l->mul);
        l->mul = NULL;
    }
    return (l->mul != NULL) + (l->add != NULL && !is_number_for(x, l->mul, -1));
}

static void emit_linear(pln_match *m, pln_patch *p, pln_value *x, linear *l)
{
    pln_value *y = x;
    const bool minus = is_number_for(x, l->mul, -1);
    if (l->mul && !minus) {
        y = pln_patch_op2(p, "Mul", x,
                          pln_patch_const(p, pln_tensor_ref(l->mul), "factor"));
    } else if (minus && !l->add) {
        y = pln_patch_op1(p, "Neg", x);
    }
    if (l->add) {
        pln_value *c = pln_patch_const(p, pln_tensor_ref(l->add), "addend");
        y = minus ? pln_patch_op2(p, "Sub", c, x) : pln_patch_op2(p, "Add", y, c);
    }
    pln_patch_replace(p, m->root->out[0], y);
}

/* The nodes of a chain that ends at the root, the last one first. */
static int find_chain(const pln_match *m, pln_node **chain)
{
    int n = 0;
    for (pln_node *at = m->root; n < MAX_CHAIN;) {
        const pln_value *x = pln_node_is(at, "BatchNormalization") ? NULL
                                                                   : pln_affine_input(at);
        if (!x)
            break;
        chain[n++] = at;
        if (!pln_value_is_single_use(x) || !x->def || x->def->graph != at->graph)
            break;
        at = x->def;
    }
    return n;
}

static pln_status one_chain(pln_match *m, pln_patch *p)
{
    pln_node *chain[MAX_CHAIN];
    const int n = find_chain(m, chain);
    if (n < 2)
        return pln_match_refuse(m, "no chain of constants");
    for (int len = n; len >= 2; len--) {
        linear l = { .alloc = p->graph->model->alloc };
        pln_value *x = pln_affine_input(chain[len - 1]);
        bool ok =
            pln_dtype_is_float(x->type.dtype) || pln_dtype_is_integer(x->type.dtype);
        for (int i = len - 1; i >= 0 && ok; i--)
            ok = append(&l, chain[i]);
        ok = ok && nodes_of(&l, x) < len && has_room(chain, len, l.mul) &&
             has_room(chain, len, l.add);
        if (ok && !l.mul && !l.add)
            pln_patch_replace(p, m->root->out[0], x);
        else if (ok)
            emit_linear(m, p, x, &l);
        drop(&l);
        if (ok)
            return PLN_OK;
    }
    return pln_match_refuse(m, "together the constants are no fewer, larger or no finite "
                               "numbers other than 0");
}

/* ---- factors of products --------------------------------------------------------- */

static bool is_own(const pln_value *w)
{
    return w->n_uses == 1 && pln_dtype_is_float(w->type.dtype) &&
           w->kind != PLN_VALUE_INPUT;
}

static bool is_own_matrix(const pln_value *w)
{
    return pln_value_rank(w) == 2 && is_own(w);
}

static bool is_number(const pln_value *s)
{
    return pln_value_count(s) == 1 && pln_value_rank(s) <= 2;
}

/* One number, or one for each column. */
static bool scales_columns(const pln_value *s, const pln_value *w)
{
    return is_number(s) || (pln_value_rank(w) == 2 && pln_value_rank(s) == 1 &&
                            pln_dim_is(w->type.shape.dims[1], pln_value_count(s)));
}

static pln_status factor_behind(pln_match *m, pln_patch *p)
{
    const pln_node *y = pln_match_node(m, "y");
    pln_value *w = pln_match_val(m, "w"), *s = pln_match_val(m, "s");
    const int at = w == y->in[0] ? 0 : 1;
    if (!is_own(w) || pln_value_rank(w) < 2 || !is_finite(s) || has_zero(s) ||
        (at ? !scales_columns(s, w) : !is_number(s)) ||
        !pln_value_same_type(m->root->out[0], y->out[0]))
        return pln_match_refuse(m, "not a factor for the columns of weights of its own");
    pln_value *in[2] = { y->in[0], y->in[1] };
    in[at] = pln_patch_op2(p, m->root->op_type, w, s);
    pln_patch_replace(p, m->root->out[0], pln_patch_op2(p, "MatMul", in[0], in[1]));
    return PLN_OK;
}

/* One number, or one for each row: the columns of x. */
static pln_status factor_before(pln_match *m, pln_patch *p)
{
    static const int64_t column[2] = { -1, 1 };
    pln_value *x = pln_match_val(m, "x"), *w = pln_match_val(m, "w"),
              *s = pln_match_val(m, "s");
    const pln_node *f = pln_match_node(m, "f");
    const int at = w == m->root->in[0] ? 0 : 1;
    const int64_t n = pln_value_count(s);
    if (!is_own(w) || pln_value_rank(w) < 2 || !is_finite(s) || has_zero(s) ||
        !pln_value_same_type(x, f->out[0]) || pln_value_rank(s) > 1 ||
        (n != 1 &&
         (!at || pln_value_rank(w) != 2 || !pln_dim_is(w->type.shape.dims[0], n))))
        return pln_match_refuse(m, "not a factor for the rows of weights of its own");
    if (n != 1)
        s = pln_patch_op2(p, "Reshape", s, pln_patch_ints(p, column, 2, "column"));
    pln_value *in[2] = { x, x };
    in[at] = s ? pln_patch_op2(p, f->op_type, w, s) : NULL;
    pln_patch_replace(p, m->root->out[0], pln_patch_op2(p, "MatMul", in[0], in[1]));
    return PLN_OK;
}

/* Where the product of both is no larger than they are. */
static pln_status one_matrix(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x"), *v = pln_match_val(m, "v"),
              *w = pln_match_val(m, "w");
    const bool left = m->root->in[0] == v;
    if (!is_own_matrix(v) || !is_own_matrix(w) || pln_value_rank(x) < 2)
        return pln_match_refuse(m, "not two matrices of their own");
    const int64_t k = v->cst->dims[0], n = w->cst->dims[1];
    if (k > INT32_MAX || n > INT32_MAX ||
        k * n > pln_tensor_size(v->cst) + pln_tensor_size(w->cst))
        return pln_match_refuse(m, "their product is larger");
    pln_value *both = pln_patch_op2(p, "MatMul", v, w);
    pln_patch_replace(p, m->root->out[0],
                      left ? pln_patch_op2(p, "MatMul", both, x)
                           : pln_patch_op2(p, "MatMul", x, both));
    return PLN_OK;
}

/* ---- constants divided by something ----------------------------------------------- */

static pln_status checked(pln_match *m, pln_patch *p, const char *op, pln_value *a,
                          pln_value *b)
{
    if (!a || !b)
        return pln_match_refuse(m, "together the constants are larger or not finite");
    pln_patch_replace(p, m->root->out[0], pln_patch_op2(p, op, a, b));
    return PLN_OK;
}

static pln_status one_dividend(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x"), *c = pln_match_val(m, "c"),
              *d = pln_match_val(m, "d");
    const bool div = pln_node_is(m->root, "Div"), over = div && m->root->in[0] == d;
    if (!pln_dtype_is_float(x->type.dtype) || pln_value_is_const(x) || !is_finite(c) ||
        !is_finite(d) || has_zero(c) || has_zero(d))
        return pln_match_refuse(m, "not floats other than 0");
    if (over && pln_node_is(pln_match_node(m, "inner"), "Mul"))
        return checked(m, p, "Div", pln_patch_combine(p, d, '/', c), x);
    if (over)
        return checked(m, p, "Mul", x, pln_patch_combine(p, d, '/', c));
    return checked(m, p, "Div", pln_patch_combine(p, c, div ? '/' : '*', d), x);
}

/* ---- diagonal matrices ------------------------------------------------------------- */

static bool is_diagonal(const pln_value *w)
{
    pln_tensor *t = w->cst;
    const int64_t n = t->rank == 2 ? t->dims[0] : 0;
    if (n < 1 || n > 4096 || t->dims[1] != n ||
        !pln_dtype_is_float((pln_dtype)t->dtype) ||
        pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    for (int64_t i = 0; i < n * n; i++)
        if (i % (n + 1) && pln_tensor_get_f64(t, i) != 0)
            return false;
    return true;
}

static pln_status without_matrix(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x"), *w = pln_match_val(m, "w");
    if (!is_diagonal(w) || !pln_value_same_type(x, m->root->out[0]))
        return pln_match_refuse(m, "not a diagonal matrix");
    const int64_t n = w->cst->dims[0];
    double *v = PLN_NEW_ARRAY(m->ctx->scratch, double, n);
    bool one = true;
    for (int64_t i = 0; v && i < n; i++) {
        v[i] = pln_tensor_get_f64(w->cst, i * n + i);
        one &= v[i] == 1;
    }
    pln_value *y = x;
    if (!one) {
        pln_value *c = v ? pln_patch_channels(p, x->type.dtype, v, n, 0, w->name) : NULL;
        if (!c)
            return pln_match_refuse(m, "a number is not finite");
        y = pln_patch_op2(p, "Mul", x, c);
    }
    pln_patch_replace(p, m->root->out[0], y);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "chain",
      .match = "Add|Sub|Mul|Div(a, b)",
      .build = one_chain,
      .contract = PLN_REASSOC },
    { .name = "chain", .match = "Neg(a)", .build = one_chain, .contract = PLN_REASSOC },
    { .name = "dividend",
      .match = "Mul~(inner=Div!(c#, x), d#)",
      .build = one_dividend,
      .contract = PLN_REASSOC },
    { .name = "dividend",
      .match = "Div(inner=Div!(c#, x), d#)",
      .build = one_dividend,
      .contract = PLN_REASSOC },
    { .name = "dividend",
      .match = "Div(d#, inner=Div!(c#, x))",
      .build = one_dividend,
      .contract = PLN_REASSOC },
    { .name = "dividend",
      .match = "Div(d#, inner=Mul~!(x, c#))",
      .build = one_dividend,
      .contract = PLN_REASSOC },
    { .name = "diagonal",
      .match = "MatMul(x, w#)",
      .build = without_matrix,
      .contract = PLN_REASSOC },
    { .name = "scale-behind",
      .match = "Mul~(y=MatMul!(x, w#), s#)",
      .build = factor_behind,
      .contract = PLN_REASSOC },
    { .name = "scale-behind",
      .match = "Div(y=MatMul!(x, w#), s#)",
      .build = factor_behind,
      .contract = PLN_REASSOC },
    { .name = "scale-behind",
      .match = "Mul~(y=MatMul!(w#, x), s#)",
      .build = factor_behind,
      .contract = PLN_REASSOC },
    { .name = "scale-behind",
      .match = "Div(y=MatMul!(w#, x), s#)",
      .build = factor_behind,
      .contract = PLN_REASSOC },
    { .name = "scale-before",
      .match = "MatMul(w#, f=Mul~!(x, s#))",
      .build = factor_before,
      .contract = PLN_REASSOC },
    { .name = "scale-before",
      .match = "MatMul(w#, f=Div!(x, s#))",
      .build = factor_before,
      .contract = PLN_REASSOC },
    { .name = "scale-before",
      .match = "MatMul(f=Mul~!(x, s#), w#)",
      .build = factor_before,
      .contract = PLN_REASSOC },
    { .name = "scale-before",
      .match = "MatMul(f=Div!(x, s#), w#)",
      .build = factor_before,
      .contract = PLN_REASSOC },
    { .name = "matmul-matmul",
      .match = "MatMul(MatMul!(x, v#), w#)",
      .build = one_matrix,
      .contract = PLN_REASSOC },
    { .name = "matmul-matmul",
      .match = "MatMul(v#, MatMul!(w#, x))",
      .build = one_matrix,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_reassoc = {
    .name = "reassoc",
    .brief = "gathers constant addends and factors, also into constant matrices",
    PLN_RULES(rules),
};
