/* Expressions in rules: what they are worth in a match. What is not known is UNKNOWN, and
 * a condition on it is false.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "passes/expr_impl.h"
#include "passes/pass.h"

static const pln_ex_value unknown = { .kind = PLN_EX_UNKNOWN };

static pln_ex_value of_dim(pln_dim d)
{
    if (pln_dim_is_unknown(d))
        return unknown;
    return (pln_ex_value){ .kind = PLN_EX_INT, .i = d };
}

static pln_ex_value of_int(int64_t i)
{
    return of_dim(pln_dim_of(i));
}

static pln_ex_value of_float(double f)
{
    return (pln_ex_value){ .kind = PLN_EX_FLOAT, .f = f };
}

static pln_ex_value of_bool(bool yes)
{
    return (pln_ex_value){ .kind = PLN_EX_BOOL, .yes = yes };
}

static pln_ex_value of_string(const char *s, size_t len)
{
    return (pln_ex_value){ .kind = PLN_EX_STRING, .s = s, .s_len = len };
}

/* ---- attributes -------------------------------------------------------------------- */

static pln_ex_value list_of(const pln_attr *a, pln_arena *arena)
{
    if (a->n > PLN_EX_LIST_MAX)
        return (pln_ex_value){ .kind = PLN_EX_ATTR, .attr = a };
    pln_ex_value v = { .kind = PLN_EX_LIST, .n = a->n, .attr = a,
                       .list = PLN_NEW_ARRAY(arena, pln_ex_value, a->n + 1) };
    if (!v.list)
        return unknown;
    for (size_t i = 0; i < a->n; i++)
        v.list[i] = a->type == PLN_ATTR_INTS ? of_int(a->ints[i])
                                             : of_float((double)a->floats[i]);
    return v;
}

static pln_ex_value of_attr(const pln_attr *a, pln_arena *arena)
{
    pln_ex_value v;
    switch (a->ref ? PLN_ATTR_NONE : a->type) {
    case PLN_ATTR_INT:
        v = of_int(a->i);
        break;
    case PLN_ATTR_FLOAT:
        v = of_float((double)a->f);
        break;
    case PLN_ATTR_STRING:
        v = of_string(a->s, pln_name_len(a->s));
        break;
    case PLN_ATTR_INTS:
    case PLN_ATTR_FLOATS:
        v = list_of(a, arena);
        break;
    default:
        v.kind = PLN_EX_ATTR;
    }
    v.attr = a;
    return v;
}

/* Absent attributes have their defaults, where the operator says one. */
static pln_ex_value attr_value(const pln_node *n, const char *name, pln_arena *arena)
{
    const pln_attr *a = n ? pln_node_find_attr(n, name) : NULL;
    if (a)
        return of_attr(a, arena);
    const pln_attr_spec *s = n && n->op ? n->op->attrs : NULL;
    for (; s && s->name; s++) {
        if (strcmp(s->name, name) != 0 || s->required)
            continue;
        if (s->type == PLN_ATTR_INT)
            return of_int(s->i);
        if (s->type == PLN_ATTR_FLOAT)
            return of_float((double)s->f);
        if (s->type == PLN_ATTR_STRING && s->s)
            return of_string(s->s, strlen(s->s));
    }
    return unknown;
}

/* ---- values of the graph --------------------------------------------------------- */

static pln_ex_value element(const pln_value *v, int64_t i)
{
    if (!pln_value_is_const(v) || v->cst->kind != PLN_KIND_TENSOR ||
        v->cst->dtype == PLN_DT_STRING ||
        pln_tensor_materialize(v->cst, NULL) != PLN_OK)
        return unknown;
    const int64_t n = pln_tensor_size(v->cst);
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return unknown;
    return pln_dtype_is_float((pln_dtype)v->cst->dtype)
               ? of_float(pln_tensor_get_f64(v->cst, i))
               : of_int(pln_tensor_get_i64(v->cst, i));
}

static pln_ex_value splat(const pln_value *v)
{
    double f;
    return pln_value_is_splat(v, &f) ? element(v, 0) : unknown;
}

static pln_ex_value dim(const pln_value *v, const pln_ex_value *axis)
{
    const int rank = pln_value_rank(v);
    if (axis->kind != PLN_EX_INT || !pln_dim_is_known(axis->i) || rank < 0)
        return unknown;
    const int64_t a = axis->i.value < 0 ? axis->i.value + rank : axis->i.value;
    return a < 0 || a >= rank ? unknown : of_dim(v->type.shape.dims[a]);
}

static pln_ex_value about(const pln_ex *e, const pln_match *m, pln_arena *arena)
{
    const pln_value *v = m->val[e->name];
    if (e->op == EX_HAS)
        return of_bool(v != NULL);
    if (!v)
        return unknown;
    const pln_ex_value a = e->a ? pln_ex_eval(e->a, m, arena) : unknown;
    const pln_value *w = m->val[e->other];
    switch (e->op) {
    case EX_RANK:
        return pln_value_rank(v) < 0 ? unknown : of_int(pln_value_rank(v));
    case EX_DIM:
        return dim(v, &a);
    case EX_SIZE:
        return v->type.kind == PLN_KIND_TENSOR
                   ? of_dim(pln_shape_count(v->graph->model->syms, v->type.shape))
                   : unknown;
    case EX_USES:
        return of_int(v->n_uses);
    case EX_VALUE:
        return splat(v);
    case EX_ELEMENT:
        return a.kind == PLN_EX_INT && pln_dim_is_known(a.i) ? element(v, a.i.value)
                                                              : unknown;
    case EX_TYPE:
        return v->type.dtype == PLN_DT_NONE
                   ? unknown
                   : of_string(pln_dtype_name(v->type.dtype),
                               strlen(pln_dtype_name(v->type.dtype)));
    case EX_CONST:
        return of_bool(pln_value_is_const(v));
    case EX_STATIC:
        return of_bool(pln_value_rank(v) >= 0 && pln_shape_is_static(v->type.shape));
    case EX_OUTPUT:
        return of_bool(pln_value_is_output(v));
    case EX_SAME:
        return w ? of_bool(pln_value_same_type(v, w)) : unknown;
    default:
        return w ? of_bool(pln_value_broadcasts_into(v, w)) : unknown;
    }
}

/* ---- arithmetic ------------------------------------------------------------------ */

static bool number(const pln_ex_value *v, double *out)
{
    if (v->kind == PLN_EX_FLOAT)
        *out = v->f;
    else if (v->kind == PLN_EX_INT && pln_dim_is_known(v->i))
        *out = (double)v->i.value;
    else
        return false;
    return true;
}

static pln_ex_value arithmetic(pln_ex_op op, const pln_ex_value *a, const pln_ex_value *b,
                               pln_syms *syms)
{
    double x, y;
    if (a->kind == PLN_EX_INT && b->kind == PLN_EX_INT)
        return of_dim((op == EX_ADD   ? pln_dim_add
                       : op == EX_SUB ? pln_dim_sub
                       : op == EX_MUL ? pln_dim_mul
                                      : pln_dim_div)(syms, a->i, b->i));
    if (!number(a, &x) || !number(b, &y))
        return unknown;
    return of_float(op == EX_ADD   ? x + y
                    : op == EX_SUB ? x - y
                    : op == EX_MUL ? x * y
                                   : x / y);
}

static bool equal(const pln_ex_value *a, const pln_ex_value *b)
{
    double x, y;
    if (a->kind == PLN_EX_STRING && b->kind == PLN_EX_STRING)
        return a->s_len == b->s_len && !memcmp(a->s, b->s, a->s_len);
    if (a->kind == PLN_EX_INT && b->kind == PLN_EX_INT)
        return pln_dim_equal(a->i, b->i);
    if (a->kind == PLN_EX_BOOL && b->kind == PLN_EX_BOOL)
        return a->yes == b->yes;
    if (a->kind == PLN_EX_LIST && b->kind == PLN_EX_LIST) {
        for (size_t i = 0; i < a->n && a->n == b->n; i++)
            if (!equal(&a->list[i], &b->list[i]))
                return false;
        return a->n == b->n;
    }
    /* Numbers of rules are rounded as attributes are. */
    return number(a, &x) && number(b, &y) && (float)x == (float)y;
}

static bool differ(const pln_ex_value *a, const pln_ex_value *b, pln_syms *syms)
{
    if (a->kind == PLN_EX_UNKNOWN || b->kind == PLN_EX_UNKNOWN)
        return false;
    if (a->kind == PLN_EX_INT && b->kind == PLN_EX_INT)
        return pln_dim_differ(syms, a->i, b->i);
    return !equal(a, b);
}

static bool ordered(pln_ex_op op, const pln_ex_value *a, const pln_ex_value *b)
{
    double x, y;
    const bool known = number(a, &x) && number(b, &y);
    if (!known) { /* a size may be known to be at least something */
        const bool bound = a->kind == PLN_EX_INT && b->kind == PLN_EX_INT &&
                           pln_dim_is_known(b->i);
        return bound && ((op == EX_GE && pln_dim_at_least(a->i, b->i.value)) ||
                         (op == EX_GT && b->i.value < INT64_MAX &&
                          pln_dim_at_least(a->i, b->i.value + 1)));
    }
    return op == EX_LE ? x <= y : op == EX_GE ? x >= y : op == EX_LT ? x < y : x > y;
}

static bool is_true(const pln_ex *e, const pln_match *m, pln_arena *arena);

static pln_ex_value list_value(const pln_ex *e, const pln_match *m, pln_arena *arena)
{
    pln_ex_value v = { .kind = PLN_EX_LIST,
                       .list = PLN_NEW_ARRAY(arena, pln_ex_value, PLN_EX_LIST_MAX) };
    for (const pln_ex *i = e->a; i; i = i->a) {
        if (!v.list || v.n == PLN_EX_LIST_MAX)
            return unknown;
        v.list[v.n] = pln_ex_eval(i->b, m, arena);
        if (v.list[v.n++].kind == PLN_EX_UNKNOWN)
            return unknown;
    }
    return v;
}

pln_ex_value pln_ex_eval(const pln_ex *e, const pln_match *m, pln_arena *arena)
{
    switch (e->op) {
    case EX_NUMBER:
        return e->value;
    case EX_LIST:
        return list_value(e, m, arena);
    case EX_ATTR:
        return attr_value(m->node[e->name], e->attr, arena);
    case EX_ADD:
    case EX_SUB:
    case EX_MUL:
    case EX_DIV: {
        const pln_ex_value a = pln_ex_eval(e->a, m, arena),
                           b = pln_ex_eval(e->b, m, arena);
        return arithmetic(e->op, &a, &b, m->root->graph->model->syms);
    }
    default:
        return e->op >= EX_EQ ? of_bool(is_true(e, m, arena)) : about(e, m, arena);
    }
}

static bool is_true(const pln_ex *e, const pln_match *m, pln_arena *arena)
{
    if (e->op == EX_AND)
        return is_true(e->a, m, arena) && is_true(e->b, m, arena);
    if (e->op == EX_OR)
        return is_true(e->a, m, arena) || is_true(e->b, m, arena);
    if (e->op == EX_NOT)
        return !is_true(e->a, m, arena);
    if (e->op < EX_EQ) {
        const pln_ex_value v = pln_ex_eval(e, m, arena);
        return v.kind == PLN_EX_BOOL && v.yes;
    }
    const pln_ex_value a = pln_ex_eval(e->a, m, arena), b = pln_ex_eval(e->b, m, arena);
    if (e->op == EX_EQ)
        return equal(&a, &b);
    if (e->op == EX_NE)
        return differ(&a, &b, m->root->graph->model->syms);
    return ordered(e->op, &a, &b);
}

pln_status pln_ex_holds(const pln_ex *e, pln_match *m, pln_arena *arena)
{
    if (e->op == EX_AND) {
        PLN_TRY(pln_ex_holds(e->a, m, arena));
        return pln_ex_holds(e->b, m, arena);
    }
    if (is_true(e, m, arena))
        return PLN_OK;
    int n = 0;
    while (e->text[n] && e->text[n] != '\n' && strncmp(e->text + n, " and ", 5) && n < 60)
        n++;
    return pln_match_refuse(m, "it is not so that %.*s", n, e->text);
}
