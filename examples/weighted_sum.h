/* The operator of example.org: y = a * p1 + b * p2, in one pass over memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef WEIGHTED_SUM_H
#define WEIGHTED_SUM_H

#include <planish/planish.h>

static pln_status weighted_sum_infer(pln_op_call *call, void *user)
{
    const pln_tensor *a = pln_op_call_input(call, 0);
    (void)user;
    return pln_op_call_set_output(call, 0, pln_tensor_dtype(a), pln_tensor_rank(a),
                                  pln_tensor_dims(a));
}

static pln_status weighted_sum_run(pln_op_call *call, void *user)
{
    const pln_tensor *a = pln_op_call_input(call, 0), *b = pln_op_call_input(call, 1);
    pln_tensor *y = pln_op_call_output(call, 0);
    const float p1 = pln_op_call_attr_float(call, "p1", 1);
    const float p2 = pln_op_call_attr_float(call, "p2", 1);
    (void)user;
    if (pln_tensor_dtype(a) != PLN_DT_F32 || pln_tensor_dtype(b) != PLN_DT_F32)
        return pln_op_call_fail(call, PLN_E_UNSUPPORTED, "inputs must be float");
    if (pln_tensor_count(a) != pln_tensor_count(b))
        return pln_op_call_fail(call, PLN_E_RUN, "inputs differ in size");
    const float *x1 = pln_tensor_data_const(a), *x2 = pln_tensor_data_const(b);
    float *out = pln_tensor_data(y);
    const int64_t n = pln_tensor_count(y);
    for (int64_t i = 0; i < n; i++)
        out[i] = x1[i] * p1 + x2[i] * p2;
    return PLN_OK;
}

static const pln_op_def weighted_sum = {
    .struct_size = sizeof(pln_op_def),
    .domain = "example.org",
    .name = "WeightedSum",
    .since_version = 1,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .pure = true,
    .infer = weighted_sum_infer,
    .run = weighted_sum_run,
};

#endif
