/* Activations in terms of older operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/expand.h"

static pln_value *gelu_tanh(pln_expander *x, pln_value *v)
{
    pln_value *cube = pln_expand_2(x, "Mul", v, pln_expand_2(x, "Mul", v, v));
    pln_value *sum = pln_expand_2(x, "Add", v, pln_expand_by(x, "Mul", cube, 0.044715));
    pln_value *t =
        pln_expand_1(x, "Tanh", pln_expand_by(x, "Mul", sum, 0.7978845608028654));
    return pln_expand_2(x, "Mul", pln_expand_by(x, "Mul", v, 0.5),
                        pln_expand_by(x, "Add", t, 1));
}

static pln_value *gelu(pln_expander *x, pln_value *v)
{
    const pln_attr *a = pln_node_find_attr(x->n, "approximate");
    if (a && a->type == PLN_ATTR_STRING && !strcmp(a->s, "tanh"))
        return gelu_tanh(x, v);
    pln_value *erf =
        pln_expand_1(x, "Erf", pln_expand_by(x, "Mul", v, 0.7071067811865476));
    return pln_expand_2(x, "Mul", pln_expand_by(x, "Mul", v, 0.5),
                        pln_expand_by(x, "Add", erf, 1));
}

static pln_value *hard_swish(pln_expander *x, pln_value *v)
{
    pln_node *n = pln_expand_node(x, "HardSigmoid", &v, 1, 1);
    if (!n)
        return NULL;
    if (pln_node_set_float(n, "alpha", 1.0f / 6) != PLN_OK ||
        pln_node_set_float(n, "beta", 0.5f) != PLN_OK)
        x->st = PLN_E_NOMEM;
    return pln_expand_2(x, "Mul", v, n->out[0]);
}

static pln_value *mish(pln_expander *x, pln_value *v)
{
    return pln_expand_2(x, "Mul", v,
                        pln_expand_1(x, "Tanh", pln_expand_1(x, "Softplus", v)));
}

static pln_value *swish(pln_expander *x, pln_value *v)
{
    const float alpha = pln_expand_float(x, "alpha", 1);
    pln_value *scaled = alpha == 1 ? v : pln_expand_by(x, "Mul", v, (double)alpha);
    return pln_expand_2(x, "Mul", v, pln_expand_1(x, "Sigmoid", scaled));
}

/* max(0, x) + min(0, alpha (e^(x/alpha) - 1)) = alpha Elu(x / alpha) */
static pln_value *celu(pln_expander *x, pln_value *v)
{
    const float alpha = pln_expand_float(x, "alpha", 1);
    if (alpha == 1)
        return pln_expand_1(x, "Elu", v);
    pln_value *low = pln_expand_1(x, "Elu", pln_expand_by(x, "Div", v, (double)alpha));
    return pln_expand_by(x, "Mul", low, (double)alpha);
}

static pln_value *thresholded(pln_expander *x, pln_value *v)
{
    const double alpha = (double)pln_expand_float(x, "alpha", 1);
    return pln_expand_3(x, "Where", pln_expand_by(x, "Greater", v, alpha), v,
                        pln_expand_scalar(x, x->dt, 0));
}

static const struct {
    const char *op;
    pln_value *(*fn)(pln_expander *x, pln_value *v);
} all[] = {
    { "Celu", celu }, { "Gelu", gelu },   { "HardSwish", hard_swish },
    { "Mish", mish }, { "Swish", swish }, { "ThresholdedRelu", thresholded },
};

pln_status pln_expand_activation(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!strcmp(all[i].op, n->op_type)) {
            pln_expand_give(&x, 0, all[i].fn(&x, n->in[0]));
            return pln_expand_end(&x);
        }
    pln_expand_refuse(&x, NULL);
    return pln_expand_end(&x);
}

/* The first input gates: see its row. */
pln_status pln_expand_swiglu(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    pln_value *v = swish(&x, n->in[0]);
    pln_expand_give(&x, 0, pln_expand_2(&x, "Mul", v, n->in[1]));
    return pln_expand_end(&x);
}
