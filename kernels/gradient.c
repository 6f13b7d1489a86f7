/* Gradient: a request to differentiate the graph around it. A session, and `optimize`,
 * put the nodes that compute it in its place (passes/gradient.c); the row is for what
 * reads models as they are. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"

typedef struct gradient_attrs {
    pln_strings xs, zs;
    const char *y;
} gradient_attrs;

#define NEEDED(field, kind)                             \
    {                                                   \
        .name = #field, .type = kind, .required = true, \
        .offset = offsetof(gradient_attrs, field)       \
    }

static const pln_attr_spec gradient_spec[] = {
    NEEDED(xs, PLN_ATTR_STRINGS),
    NEEDED(y, PLN_ATTR_STRING),
    PLN_A_STRS(gradient_attrs, zs),
    PLN_A_END,
};

static pln_status gradient_infer(pln_infer *inf, pln_error *err)
{
    const gradient_attrs *a = inf->attrs;
    if (inf->n_in != a->xs.n + a->zs.n || inf->n_out > a->xs.n)
        return pln_infer_fail(inf, err, "%u inputs and %u outputs for %zu xs and %zu zs",
                              inf->n_in, inf->n_out, a->xs.n, a->zs.n);
    for (uint32_t o = 0; o < inf->n_out; o++)
        if (inf->in[o])
            inf->out[o] = *inf->in[o];
    return PLN_OK;
}

static pln_status gradient_ref(pln_call *c, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "was not differentiated");
}

const pln_op_desc pln_ops_gradient[] = {
    { .name = "Gradient",
      .domain = "ai.onnx.preview.training",
      .since = 1,
      .in = { 1, PLN_VARIADIC },
      .out = { 1, PLN_VARIADIC },
      .traits = PLN_OP_EFFECT,
      .types = "T1:" PLN_TS_OLD ";T2:float16,float,double",
      .sig = "T1+->T2+",
      .attrs = gradient_spec,
      .attrs_size = sizeof(gradient_attrs),
      .infer = gradient_infer,
      .ref = gradient_ref },
    { .name = NULL },
};
