/* Activations of com.microsoft that add a bias first: BiasGelu, FastGelu, BiasSplitGelu,
 * BiasAdd; and ScaledSiLU. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/loop_macros.h"
#include "kernels/type_sets.h"
#include "kernels/vec.h"
#include "src/ir/op.h"

#include <math.h>

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x)));
}

#define BIAS_GELU(s, type, dt, ...) \
    PLN_LOOP_BINARY(BiasGelu_##s, type, type, type, gelu((double)(a + b)))
#define FAST_GELU(s, type, dt, ...)                                \
    PLN_LOOP_UNARY(FastGelu_##s, type, type, gelu_tanh((double)v)) \
    PLN_LOOP_BINARY(FastGeluBias_##s, type, type, type, gelu_tanh((double)(a + b)))
PLN_FLOAT_TYPES(BIAS_GELU, )
PLN_FLOAT_TYPES(FAST_GELU, )

#define TABLE(name)                                                        \
    static const pln_loop_fn name##_fns[PLN_DT_COUNT] = { PLN_FLOAT_TYPES( \
        PLN_LOOP_ENTRY, name) }
TABLE(BiasGelu);
TABLE(FastGelu);
TABLE(FastGeluBias);

static pln_status BiasGelu_ref(pln_call *c, pln_error *err)
{
    return pln_loop_typed(c, BiasGelu_fns, 2, NULL, err);
}

static pln_status FastGelu_ref(pln_call *c, pln_error *err)
{
    const bool bias = pln_call_has(c, 1);
    return pln_loop_typed(c, bias ? FastGeluBias_fns : FastGelu_fns, bias ? 2 : 1, NULL,
                          err);
}

/* ---- vector versions ------------------------------------------------------------- */

#define VEC(name, fn)                                                                   \
    static void name##_vec(void *y, const void *const *x, const int64_t *sx, int64_t n, \
                           const void *arg)                                             \
    {                                                                                   \
        (void)arg;                                                                      \
        pln_vec()->add((float *)y, (const float *)x[0], sx[0], (const float *)x[1],     \
                       sx[1], n);                                                       \
        pln_vec()->fn((float *)y, (const float *)y, n, 0, 0);                           \
    }                                                                                   \
    static const pln_loop_fn name##_vec_fns[PLN_DT_COUNT] = { [PLN_DT_F32] = name##_vec };
VEC(BiasGelu, gelu)
VEC(FastGeluBias, gelu_tanh)

static void FastGelu_vec(void *y, const void *const *x, const int64_t *sx, int64_t n,
                         const void *arg)
{
    (void)sx, (void)arg;
    pln_vec()->gelu_tanh((float *)y, (const float *)x[0], n, 0, 0);
}
static const pln_loop_fn FastGelu_vec_fns[PLN_DT_COUNT] = { [PLN_DT_F32] = FastGelu_vec };

static pln_status BiasGelu_run(pln_call *c, pln_error *err)
{
    return pln_loop_typed_grain(c, BiasGelu_vec_fns, 2, NULL, PLN_LOOP_HEAVY, err);
}

static pln_status FastGelu_run(pln_call *c, pln_error *err)
{
    const bool bias = pln_call_has(c, 1);
    return pln_loop_typed_grain(c, bias ? FastGeluBias_vec_fns : FastGelu_vec_fns,
                                bias ? 2 : 1, NULL, PLN_LOOP_HEAVY, err);
}

static const pln_impl BiasGelu_cpu = { "bias_gelu", pln_loop_prepare_float, BiasGelu_run,
                                       NULL };
static const pln_impl FastGelu_cpu = { "fast_gelu", pln_loop_prepare_float, FastGelu_run,
                                       NULL };

/* ---- BiasAdd: x + bias + skip ---------------------------------------------------- */

#define BIAS_ADD(s, type, dt, ...)                                             \
    static void BiasAdd_##s(void *py, const void *const *x, const int64_t *sx, \
                            int64_t n, const void *arg)                        \
    {                                                                          \
        type *y = (type *)py;                                                  \
        const type *a = (const type *)x[0], *b = (const type *)x[1],           \
                   *c = (const type *)x[2];                                    \
        (void)arg;                                                             \
        for (int64_t i = 0; i < n; i++)                                        \
            y[i] = a[i * sx[0]] + b[i * sx[1]] + c[i * sx[2]];                 \
    }
PLN_FLOAT_TYPES(BIAS_ADD, )
TABLE(BiasAdd);

static pln_status BiasAdd_ref(pln_call *c, pln_error *err)
{
    return pln_loop_typed(c, BiasAdd_fns, 3, NULL, err);
}

/* ---- BiasSplitGelu: the left half of x + bias times gelu of the right ------------ */

static pln_status split_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    PLN_TRY(pln_infer_same(inf, err));
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (rank < 1)
        return pln_infer_fail(inf, err, "input 0 is a scalar");
    pln_shape s = pln_infer_shape(inf, rank);
    for (int d = 0; d < s.rank; d++)
        s.dims[d] = pln_infer_dim(inf, 0, d);
    if (s.rank > 0) {
        if (pln_dim_is_known(s.dims[rank - 1]) && s.dims[rank - 1].value % 2)
            return pln_infer_fail(inf, err, "the last dimension is odd");
        s.dims[rank - 1] = pln_dim_div(inf->syms, s.dims[rank - 1], pln_dim_of(2));
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

static pln_status split_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0], *b = c->in[1];
    const int64_t d = x->dims[x->rank - 1], half = d / 2, n = pln_tensor_size(c->out[0]);
    if (pln_tensor_size(b) != d)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld values of bias, want %lld",
                             (long long)pln_tensor_size(b), (long long)d);
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = i % half, at = i / half * d + j;
        const double left = pln_tensor_get_f64(x, at) + pln_tensor_get_f64(b, j);
        const double right =
            pln_tensor_get_f64(x, at + half) + pln_tensor_get_f64(b, half + j);
        pln_tensor_set_f64(c->out[0], i, left * gelu(right));
    }
    return PLN_OK;
}

/* ---- ScaledSiLU: z = scale x, y = z sigmoid(z), each rounded to the element type --- */

typedef struct silu_attrs {
    float alpha;
} silu_attrs;

static const pln_attr_spec silu_spec[] = { PLN_A_FLOAT(silu_attrs, alpha, 1.0f),
                                           PLN_A_END };

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static pln_status silu_ref(pln_call *c, pln_error *err)
{
    const silu_attrs *a = c->attrs;
    const bool given = pln_call_has(c, 1);
    pln_tensor *y = c->out[0];
    if (given && pln_tensor_size(c->in[1]) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "the scale is no scalar");
    const double scale = given ? pln_tensor_get_f64(c->in[1], 0) : (double)a->alpha;
    for (int64_t i = 0, n = pln_tensor_size(y); i < n; i++) {
        pln_tensor_set_f64(y, i, (float)(scale * pln_tensor_get_f64(c->in[0], i)));
        const double z = pln_tensor_get_f64(y, i);
        pln_tensor_set_f64(y, i, (float)sigmoid(z));
        pln_tensor_set_f64(y, i, (float)(z * pln_tensor_get_f64(y, i)));
    }
    return PLN_OK;
}

#define MS           .domain = "com.microsoft", .since = 1, .out = { 1, 1 }
#define TRAITS       (PLN_OP_ELEMENTWISE | PLN_OP_INPLACE)
#define SHORT_FLOATS "float,float16,bfloat16"

const pln_op_desc pln_ops_ms_activation[] = {
    { MS, .name = "BiasGelu", .in = { 2, 2 }, .traits = TRAITS,
      .types = "T:" PLN_TS_FLOAT, .sig = "T,T->T", .infer = pln_infer_same,
      .ref = BiasGelu_ref, .cpu = &BiasGelu_cpu },
    { MS, .name = "FastGelu", .in = { 1, 2 }, .traits = TRAITS,
      .types = "T:" PLN_TS_FLOAT, .sig = "T,T?->T", .infer = pln_infer_same,
      .ref = FastGelu_ref, .cpu = &FastGelu_cpu },
    { MS, .name = "BiasAdd", .in = { 3, 3 }, .traits = TRAITS, .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T,T->T", .infer = pln_infer_same, .ref = BiasAdd_ref },
    { MS, .name = "BiasSplitGelu", .in = { 2, 2 }, .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T->T", .infer = split_infer, .ref = split_ref },
    { MS, .name = "ScaledSiLU", .in = { 1, 2 },
      .types = "T:" SHORT_FLOATS ";M:" SHORT_FLOATS, .sig = "T,M?->T", .attrs = silu_spec,
      .attrs_size = sizeof(silu_attrs), .infer = pln_infer_same, .ref = silu_ref },
    { .name = NULL },
};
