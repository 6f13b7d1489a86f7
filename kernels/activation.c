/* Activations: unary elementwise operators that follow a product.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/binary.h"
#include "kernels/expand.h"
#include "kernels/loop_macros.h"
#include "kernels/type_sets.h"
#include "kernels/vec.h"
#include "src/ir/op.h"

#include <math.h>

typedef struct act_attrs {
    float alpha, beta, gamma;
    float lambd, bias;
    int approximate; /* of Gelu: 0 none, 1 tanh */
} act_attrs;

#define GELU_EXACT 0

static double sigmoid(double x)
{
    if (x >= 0)
        return 1 / (1 + exp(-x));
    const double e = exp(x);
    return e / (1 + e);
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double unit(double x)
{
    return x <= 0 ? 0 : x >= 1 ? 1 : x;
}

static double gelu(double x, const act_attrs *a)
{
    if (a->approximate == GELU_EXACT)
        return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    return 0.5 * x * (1 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x)));
}

/* name, since, traits, expression in double (the definition for float, too) */
#define ACT_OPS(X)                                            \
    X(LeakyRelu, 16, v < 0 ? a->alpha * v : v)                \
    X(Elu, 22, v < 0 ? a->alpha * expm1(v) : v)               \
    X(Selu, 22, a->gamma *(v <= 0 ? a->alpha * expm1(v) : v)) \
    X(Celu, 28, v < 0 ? a->alpha * expm1(v / a->alpha) : v)   \
    X(ThresholdedRelu, 22, v > a->alpha || v != v ? v : 0)    \
    X(HardSigmoid, 22, unit(a->alpha *v + a->beta))           \
    X(HardSwish, 22, v *unit(v / 6 + 0.5))                    \
    X(Sigmoid, 13, sigmoid(v))                                \
    X(Softplus, 22, softplus(v))                              \
    X(Softsign, 22, v / (1 + fabs(v)))                        \
    X(Tanh, 13, tanh(v))                                      \
    X(Gelu, 20, gelu(v, a))                                   \
    X(Mish, 22, v *tanh(softplus(v)))                         \
    X(Swish, 24, v *sigmoid(a->alpha *v))

#define REF(op)                                               \
    static pln_status op##_ref(pln_call *c, pln_error *err)   \
    {                                                         \
        return pln_loop_typed(c, op##_fns, 1, c->attrs, err); \
    }

#define LOOP(fn, type, expr)                                                      \
    static void fn(void *py, const void *const *px, const int64_t *sx, int64_t n, \
                   const void *arg)                                               \
    {                                                                             \
        type *y = (type *)py;                                                     \
        const type *x = (const type *)px[0];                                      \
        const act_attrs *a = (const act_attrs *)arg;                              \
        (void)sx, (void)a;                                                        \
        for (int64_t i = 0; i < n; i++) {                                         \
            const double v = x[i];                                                \
            y[i] = (type)(expr);                                                  \
        }                                                                         \
    }

#define X(op, since, expr)                                                              \
    LOOP(op##_f32, float, expr)                                                         \
    LOOP(op##_f64, double, expr)                                                        \
    static const pln_loop_fn op##_fns[PLN_DT_COUNT] = { PLN_FLOAT_TYPES(PLN_LOOP_ENTRY, \
                                                                        op) };          \
    REF(op)
ACT_OPS(X)
#undef X

#define RELU(s, type, dt, ...) PLN_LOOP_UNARY(Relu_##s, type, type, v < 0 ? 0 : v)
PLN_SINT_TYPES(RELU, )
PLN_FLOAT_TYPES(RELU, )
static const pln_loop_fn Relu_fns[PLN_DT_COUNT] = { PLN_SINT_TYPES(
    PLN_LOOP_ENTRY, Relu) PLN_FLOAT_TYPES(PLN_LOOP_ENTRY, Relu) };
REF(Relu)

/* The standard computes in the element's type: integers see truncated attributes' sums.
 */
static double shrink(double v, const act_attrs *a)
{
    return v < -a->lambd ? v + a->bias : v > a->lambd ? v - a->bias : v != v ? v : 0;
}
#define SHRINK(s, type, dt, ...) \
    PLN_LOOP_UNARY(Shrink_##s, type, type, shrink((double)v, (const act_attrs *)arg))
PLN_NUM_TYPES(SHRINK, )
static const pln_loop_fn Shrink_fns[PLN_DT_COUNT] = { PLN_NUM_TYPES(PLN_LOOP_ENTRY,
                                                                    Shrink) };
REF(Shrink)

/* ---- vector versions --------------------------------------------------------------- */

/* op, vector loop, its alpha, its beta */
#define VEC_OPS(X)                                  \
    X(Relu, relu, 0, 0)                             \
    X(LeakyRelu, leaky_relu, a->alpha, 0)           \
    X(Elu, elu, a->alpha, 0)                        \
    X(HardSigmoid, hard_sigmoid, a->alpha, a->beta) \
    X(HardSwish, hard_swish, 1.0f / 6.0f, 0.5f)     \
    X(Sigmoid, sigmoid, 0, 0)                       \
    X(Softplus, softplus, 0, 0)                     \
    X(Tanh, tanh, 0, 0)                             \
    X(Mish, mish, 0, 0)                             \
    X(Swish, swish, a->alpha, 0)                    \
    X(Selu, selu, a->alpha, a->gamma)               \
    X(Celu, celu, a->alpha, 0)                      \
    X(Softsign, softsign, 0, 0)                     \
    X(ThresholdedRelu, thresholded_relu, a->alpha, 0) \
    X(GeluErf, gelu, 0, 0)                          \
    X(GeluTanh, gelu_tanh, 0, 0)

#define X(op, fn, al, be)                                                             \
    static void op##_vec(void *y, const void *const *x, const int64_t *sx, int64_t n, \
                         const void *arg)                                             \
    {                                                                                 \
        const act_attrs *a = (const act_attrs *)arg;                                  \
        (void)sx, (void)a;                                                            \
        pln_vec()->fn((float *)y, (const float *)x[0], n, al, be);                    \
    }                                                                                 \
    static pln_status op##_run(pln_call *c, pln_error *err)                           \
    {                                                                                 \
        static const pln_loop_fn fns[PLN_DT_COUNT] = { [PLN_DT_F32] = op##_vec };     \
        return pln_loop_typed_grain(c, fns, 1, c->attrs, PLN_LOOP_HEAVY, err);        \
    }
VEC_OPS(X)
#undef X

#define X(op, fn, al, be)                                                              \
    __attribute__((unused)) static const pln_impl op##_cpu = { #fn,                    \
                                                               pln_loop_prepare_float, \
                                                               op##_run, NULL };
VEC_OPS(X)
#undef X

static pln_status Gelu_run(pln_call *c, pln_error *err)
{
    const act_attrs *a = (const act_attrs *)c->attrs;
    return a->approximate == GELU_EXACT ? GeluErf_run(c, err) : GeluTanh_run(c, err);
}
static const pln_impl Gelu_cpu = { "gelu", pln_loop_prepare_float, Gelu_run, NULL };

/* ---- PRelu ------------------------------------------------------------------------- */

#define PRELU(s, type, dt, ...) \
    PLN_LOOP_BINARY(PRelu_##s, type, type, type, a < 0 ? b * a : a)
#define PRELU_UNSIGNED(s, type, dt, ...) \
    PLN_LOOP_BINARY(PRelu_##s, type, type, type, ((void)b, a))
PRELU(s32, int32_t, S32)
PRELU(s64, int64_t, S64)
PRELU(f32, float, F32)
PRELU(f64, double, F64)
PRELU_UNSIGNED(u32, uint32_t, U32)
PRELU_UNSIGNED(u64, uint64_t, U64)
static const pln_loop_fn PRelu_fns[PLN_DT_COUNT] = {
    [PLN_DT_S32] = PRelu_s32, [PLN_DT_S64] = PRelu_s64, [PLN_DT_U32] = PRelu_u32,
    [PLN_DT_U64] = PRelu_u64, [PLN_DT_F32] = PRelu_f32, [PLN_DT_F64] = PRelu_f64,
};

static pln_status PRelu_ref(pln_call *c, pln_error *err)
{
    return pln_loop_typed(c, PRelu_fns, 2, NULL, err);
}

static void PRelu_vec(void *y, const void *const *x, const int64_t *sx, int64_t n,
                      const void *arg)
{
    (void)arg;
    pln_vec()->prelu((float *)y, (const float *)x[0], sx[0], (const float *)x[1], sx[1],
                     n);
}

static pln_status PRelu_run(pln_call *c, pln_error *err)
{
    static const pln_loop_fn fns[PLN_DT_COUNT] = { [PLN_DT_F32] = PRelu_vec };
    return pln_loop_typed(c, fns, 2, NULL, err);
}
static const pln_impl PRelu_cpu = { "prelu", pln_loop_prepare_float, PRelu_run, NULL };

/* The slope broadcasts to x, never the other way. */
static pln_status prelu_infer(pln_infer *inf, pln_error *err)
{
    return pln_infer_same(inf, err);
}

/* Before version 7 a slope of rank 1 belonged to dimension 1 of x. */
static pln_status prelu_raise_7(pln_node *n, pln_error *err)
{
    const pln_value *slope = n->n_in == 2 ? n->in[1] : NULL;
    pln_node_drop_attr(n, "consumed_inputs");
    if (!slope || !n->in[0] || slope->type.shape.rank != 1 ||
        pln_dim_is(slope->type.shape.dims[0], 1))
        return PLN_OK;
    return pln_raise_align_second(n, 1, err);
}

static pln_status prelu_lower_7(pln_node *n, pln_error *err)
{
    pln_lower_align_second(n);
    return PLN_OK;
}

static const pln_version_change prelu_versions[] = { { 7, prelu_raise_7, prelu_lower_7 },
                                                     { 0 } };

/* ---- SwiGLU: a sigmoid(alpha a) b -------------------------------------------------- */

#define SWIGLU(s, type, dt, ...)                  \
    PLN_LOOP_BINARY(SwiGLU_##s, type, type, type, \
                    a *(type)sigmoid(((const act_attrs *)arg)->alpha *(double)a) * b)
PLN_FLOAT_TYPES(SWIGLU, )
static const pln_loop_fn SwiGLU_fns[PLN_DT_COUNT] = { PLN_FLOAT_TYPES(PLN_LOOP_ENTRY,
                                                                      SwiGLU) };

static pln_status SwiGLU_ref(pln_call *c, pln_error *err)
{
    return pln_loop_typed(c, SwiGLU_fns, 2, c->attrs, err);
}

static void SwiGLU_vec(void *y, const void *const *x, const int64_t *sx, int64_t n,
                       const void *arg)
{
    const act_attrs *a = (const act_attrs *)arg;
    const float *b = (const float *)x[1];
    float t[256];
    for (int64_t i = 0; i < n; i += 256) {
        const int64_t k = n - i < 256 ? n - i : 256;
        pln_vec()->swish(t, (const float *)x[0] + i * sx[0], k, a->alpha, 0);
        pln_vec()->mul((float *)y + i, t, 1, b + i * sx[1], sx[1], k);
    }
}

static pln_status SwiGLU_run(pln_call *c, pln_error *err)
{
    static const pln_loop_fn fns[PLN_DT_COUNT] = { [PLN_DT_F32] = SwiGLU_vec };
    return pln_loop_typed_grain(c, fns, 2, c->attrs, PLN_LOOP_HEAVY, err);
}
static const pln_impl SwiGLU_cpu = { "swiglu", pln_loop_prepare_float, SwiGLU_run, NULL };

/* Both inputs have one shape: nothing is broadcast. */
static pln_status swiglu_infer(pln_infer *inf, pln_error *err)
{
    pln_shape shape;
    PLN_TRY(pln_infer_same(inf, err));
    if (pln_infer_rank(inf, 0) == PLN_RANK_UNKNOWN ||
        pln_infer_rank(inf, 1) == PLN_RANK_UNKNOWN)
        return PLN_OK;
    PLN_TRY(pln_infer_broadcast(inf, 0, 2, &shape, err));
    for (int i = 0; i < shape.rank; i++)
        if (pln_infer_rank(inf, 0) != pln_infer_rank(inf, 1) ||
            pln_dim_differ(inf->syms, pln_infer_dim(inf, 0, i), pln_infer_dim(inf, 1, i)))
            return pln_infer_fail(inf, err, "the inputs have different shapes");
    return PLN_OK;
}

/* ---- attributes -------------------------------------------------------------------- */

#define SPEC(name, ...) static const pln_attr_spec name[] = { __VA_ARGS__, PLN_A_END };
SPEC(LeakyRelu_spec, PLN_A_FLOAT(act_attrs, alpha, 0.01f))
SPEC(Elu_spec, PLN_A_FLOAT(act_attrs, alpha, 1.0f))
SPEC(Selu_spec, PLN_A_FLOAT(act_attrs, alpha, 1.67326319217681884765625f),
     PLN_A_FLOAT(act_attrs, gamma, 1.05070102214813232421875f))
SPEC(HardSigmoid_spec, PLN_A_FLOAT(act_attrs, alpha, 0.2f),
     PLN_A_FLOAT(act_attrs, beta, 0.5f))
SPEC(Gelu_spec, PLN_A_ENUM(act_attrs, approximate, "none|tanh", "none"))
static const pln_attr_spec exact_spec[] = { PLN_A_END }; /* zeros: GELU_EXACT */
SPEC(QuickGelu_spec, PLN_A_FLOAT(act_attrs, alpha, 1.702f))
SPEC(Shrink_spec, PLN_A_FLOAT(act_attrs, lambd, 0.5f), PLN_A_FLOAT(act_attrs, bias, 0.0f))

#define TRAITS (PLN_OP_ELEMENTWISE | PLN_OP_INPLACE | PLN_OP_CHANNELS_LAST)

#define ACT(op, version, set, spec, impl)                                             \
    {                                                                                 \
        .name = #op, .domain = "", .since = version, .in = { 1, 1 }, .out = { 1, 1 }, \
        .traits = TRAITS | PLN_OP_ACTIVATION, .types = "T:" set, .sig = "T->T",       \
        .attrs = spec, .attrs_size = sizeof(act_attrs), .infer = pln_infer_same,      \
        .ref = op##_ref, .cpu = impl, .versions = pln_versions_consumed,              \
        .expand = pln_expand_activation                                               \
    }

/* Those of com.microsoft that are a standard function under another name. */
#define ACT_MS(op, fn, spec)                                                \
    {                                                                       \
        .name = #op, .domain = "com.microsoft", .since = 1, .in = { 1, 1 }, \
        .out = { 1, 1 }, .traits = TRAITS | PLN_OP_ACTIVATION,              \
        .types = "T:" PLN_TS_FLOAT,                                         \
        .sig = "T->T", .attrs = spec, .attrs_size = sizeof(act_attrs),      \
        .infer = pln_infer_same, .ref = fn##_ref, .cpu = &fn##_cpu          \
    }

const pln_op_desc pln_ops_activation[] = {
    ACT(Relu, 14, PLN_TS_SINT "," PLN_TS_FLOAT, NULL, &Relu_cpu),
    ACT(LeakyRelu, 16, PLN_TS_FLOAT, LeakyRelu_spec, &LeakyRelu_cpu),
    ACT(Elu, 22, PLN_TS_FLOAT, Elu_spec, &Elu_cpu),
    ACT(Selu, 22, PLN_TS_FLOAT, Selu_spec, &Selu_cpu),
    ACT(Celu, 28, PLN_TS_FLOAT, Elu_spec, &Celu_cpu),
    ACT(ThresholdedRelu, 22, PLN_TS_FLOAT, Elu_spec, &ThresholdedRelu_cpu),
    ACT(HardSigmoid, 22, PLN_TS_FLOAT, HardSigmoid_spec, &HardSigmoid_cpu),
    ACT(HardSwish, 22, PLN_TS_FLOAT, NULL, &HardSwish_cpu),
    ACT(Sigmoid, 13, PLN_TS_FLOAT, NULL, &Sigmoid_cpu),
    ACT(Softplus, 22, PLN_TS_FLOAT, NULL, &Softplus_cpu),
    ACT(Softsign, 22, PLN_TS_FLOAT, NULL, &Softsign_cpu),
    ACT(Tanh, 13, PLN_TS_FLOAT, NULL, &Tanh_cpu),
    ACT(Gelu, 20, PLN_TS_FLOAT, Gelu_spec, &Gelu_cpu),
    ACT(Mish, 22, PLN_TS_FLOAT, NULL, &Mish_cpu),
    ACT(Swish, 24, PLN_TS_FLOAT, Elu_spec, &Swish_cpu),
    ACT(Shrink, 9, PLN_TS_INT ",float16,float,double", Shrink_spec, NULL),
    ACT_MS(Gelu, Gelu, exact_spec),
    ACT_MS(QuickGelu, Swish, QuickGelu_spec),
    { .name = "SwiGLU",
      .domain = "",
      .since = 28,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .traits = TRAITS,
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T->T",
      .attrs = Elu_spec,
      .attrs_size = sizeof(act_attrs),
      .infer = swiglu_infer,
      .ref = SwiGLU_ref,
      .cpu = &SwiGLU_cpu,
      .expand = pln_expand_swiglu },
    { .name = "PRelu",
      .domain = "",
      .since = 16,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .traits = TRAITS,
      .types = "T:" PLN_TS_FLOAT ",uint32,uint64,int32,int64",
      .sig = "T,T->T",
      .infer = prelu_infer,
      .ref = PRelu_ref,
      .cpu = &PRelu_cpu,
      .versions = prelu_versions },
    { .name = NULL },
};
