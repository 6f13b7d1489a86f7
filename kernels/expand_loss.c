/* Losses of classes in terms of older operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/expand.h"

typedef struct loss {
    pln_expander x;
    pln_value *target, *ignored; /* places of classes, in range; none meant: NULL, all */
    pln_value *weight;           /* of each place; NULL: 1 */
} loss;

static pln_value *zero_where(loss *l, pln_value *where, pln_value *v)
{
    return where ? pln_expand_3(&l->x, "Where", where,
                                pln_expand_scalar(&l->x, l->x.dt, 0), v)
                 : v;
}

static void find_target(loss *l)
{
    const pln_attr *a = pln_node_find_attr(l->x.n, "ignore_index");
    const pln_dtype dt = l->target->type.dtype;
    if (!a || a->type != PLN_ATTR_INT)
        return;
    if (dt == PLN_DT_NONE)
        pln_expand_refuse(&l->x, "the type of its target is not known");
    l->ignored = pln_expand_2(&l->x, "Equal", l->target,
                              pln_expand_scalar(&l->x, dt, (double)a->i));
    l->target = pln_expand_3(&l->x, "Where", l->ignored, pln_expand_scalar(&l->x, dt, 0),
                             l->target);
}

static void find_weight(loss *l)
{
    pln_value *each = pln_expand_in(&l->x, 2);
    if (each)
        l->weight =
            zero_where(l, l->ignored, pln_expand_2(&l->x, "Gather", each, l->target));
    else if (l->ignored)
        l->weight = pln_expand_3(&l->x, "Where", l->ignored,
                                 pln_expand_scalar(&l->x, l->x.dt, 0),
                                 pln_expand_scalar(&l->x, l->x.dt, 1));
}

static pln_value *reduced(loss *l, const char *op, pln_value *v)
{
    return pln_expand_set(&l->x, pln_expand_1(&l->x, op, v), "keepdims", 0);
}

/* From logarithms of probabilities. */
static pln_value *negative_log(loss *l, pln_value *log)
{
    static const int64_t classes[] = { 1 };
    pln_expander *x = &l->x;
    const pln_attr *a = pln_node_find_attr(x->n, "reduction");
    const char *how = a && a->type == PLN_ATTR_STRING ? a->s : "mean";
    find_target(l);
    find_weight(l);
    pln_value *at = pln_expand_unsqueeze(x, l->target, classes, 1);
    pln_value *v = pln_expand_2(x, "GatherElements", log, at);
    v = pln_expand_set(x, v, "axis", 1);
    v = pln_expand_2(x, "Squeeze", v, pln_expand_ints(x, classes, 1));
    v = zero_where(l, l->ignored, pln_expand_1(x, "Neg", v));
    if (l->weight && pln_expand_in(x, 2))
        v = pln_expand_2(x, "Mul", v, l->weight);
    if (!strcmp(how, "none"))
        return v;
    if (!strcmp(how, "sum"))
        return reduced(l, "ReduceSum", v);
    if (!l->weight)
        return reduced(l, "ReduceMean", v);
    return pln_expand_2(x, "Div", reduced(l, "ReduceSum", v),
                        reduced(l, "ReduceSum", l->weight));
}

pln_status pln_expand_loss(pln_node *n, int64_t version, pln_error *err)
{
    loss l = { .x = pln_expand_begin(n, version, err), .target = n->in[1] };
    pln_value *log = n->in[0];
    if (!strcmp(n->op_type, "SoftmaxCrossEntropyLoss")) {
        log = pln_expand_set(&l.x, pln_expand_1(&l.x, "LogSoftmax", log), "axis", 1);
        if (log)
            log->type = n->in[0]->type; /* by which an older version is asked for */
    }
    pln_expand_give(&l.x, 0, negative_log(&l, log));
    if (pln_expand_wants(&l.x, 1))
        pln_expand_give(&l.x, 1, log);
    return pln_expand_end(&l.x);
}
