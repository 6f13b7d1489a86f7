/* Unary operators of mathematics: signs, roundings, powers, logarithms, trigonometry.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/binary.h"
#include "kernels/expand.h"
#include "kernels/loop_macros.h"
#include "kernels/type_sets.h"
#include "kernels/vec.h"
#include "src/ir/op.h"

#include <math.h>

/* name, since, element types, expression in float, in double */
#define FLOAT_OPS(X)                     \
    X(Ceil, 13, ceilf(v), ceil(v))       \
    X(Floor, 13, floorf(v), floor(v))    \
    X(Round, 22, rintf(v), rint(v))      \
    X(Sqrt, 13, sqrtf(v), sqrt(v))       \
    X(Exp, 13, expf(v), exp(v))          \
    X(Log, 13, logf(v), log(v))          \
    X(Reciprocal, 13, 1.0f / v, 1.0 / v) \
    X(Erf, 13, erff(v), erf(v))          \
    X(Sin, 22, sinf(v), sin(v))          \
    X(Cos, 22, cosf(v), cos(v))          \
    X(Tan, 22, tanf(v), tan(v))          \
    X(Asin, 22, asinf(v), asin(v))       \
    X(Acos, 22, acosf(v), acos(v))       \
    X(Atan, 22, atanf(v), atan(v))       \
    X(Sinh, 22, sinhf(v), sinh(v))       \
    X(Cosh, 22, coshf(v), cosh(v))       \
    X(Asinh, 22, asinhf(v), asinh(v))    \
    X(Acosh, 22, acoshf(v), acosh(v))    \
    X(Atanh, 22, atanhf(v), atanh(v))

/* Those among them that have a vector loop. */
#define VEC_OPS(X)            \
    X(Ceil, ceil)             \
    X(Floor, floor)           \
    X(Round, round)           \
    X(Sqrt, sqrt)             \
    X(Exp, exp)               \
    X(Log, log)               \
    X(Reciprocal, reciprocal) \
    X(Erf, erf)               \
    X(Sin, sin)               \
    X(Cos, cos)               \
    X(Atan, atan)             \
    X(Abs, abs)               \
    X(Neg, neg)

#define REF(op, n_in)                                            \
    static pln_status op##_ref(pln_call *c, pln_error *err)      \
    {                                                            \
        return pln_loop_typed(c, op##_fns, n_in, c->attrs, err); \
    }

#define X(op, since, f32, f64)                                                          \
    PLN_LOOP_UNARY(op##_f32, float, float, f32)                                         \
    PLN_LOOP_UNARY(op##_f64, double, double, f64)                                       \
    static const pln_loop_fn op##_fns[PLN_DT_COUNT] = { PLN_FLOAT_TYPES(PLN_LOOP_ENTRY, \
                                                                        op) };          \
    REF(op, 1)
FLOAT_OPS(X)
#undef X

/* ---- signs ------------------------------------------------------------------------- */

/* Two's complement throughout: -INT_MIN is INT_MIN. */
#define ABS(s, type, dt, ...) \
    PLN_LOOP_UNARY(Abs_##s, type, type, v < 0 ? (type)(0 - (uint64_t)v) : v)
#define ABS_FLOAT(s, type, dt, ...) PLN_LOOP_UNARY(Abs_##s, type, type, fabs(v))
#define NEG(s, type, dt, ...) \
    PLN_LOOP_UNARY(Neg_##s, type, type, (type)(0 - (uint64_t)v))
#define NEG_FLOAT(s, type, dt, ...) PLN_LOOP_UNARY(Neg_##s, type, type, -v)
#define SIGN(s, type, dt, ...) \
    PLN_LOOP_UNARY(Sign_##s, type, type, v != v ? v : (type)((v > 0) - (v < 0)))
#define BITNOT(s, type, dt, ...) PLN_LOOP_UNARY(BitwiseNot_##s, type, type, ~v)

#define SIGN_UNSIGNED(s, type, dt, ...) PLN_LOOP_UNARY(Sign_##s, type, type, v != 0)
PLN_UINT_TYPES(SIGN_UNSIGNED, )
PLN_SINT_TYPES(SIGN, )
PLN_FLOAT_TYPES(SIGN, )
PLN_SINT_TYPES(ABS, )
PLN_FLOAT_TYPES(ABS_FLOAT, )
PLN_SINT_TYPES(NEG, )
PLN_FLOAT_TYPES(NEG_FLOAT, )
PLN_INT_TYPES(BITNOT, )
PLN_LOOP_UNARY(Abs_u8, uint8_t, uint8_t, v)
PLN_LOOP_UNARY(Abs_u16, uint16_t, uint16_t, v)
PLN_LOOP_UNARY(Abs_u32, uint32_t, uint32_t, v)
PLN_LOOP_UNARY(Abs_u64, uint64_t, uint64_t, v)
PLN_LOOP_UNARY(Not_bool, uint8_t, uint8_t, !v)

static const pln_loop_fn Abs_fns[PLN_DT_COUNT] = { PLN_NUM_TYPES(PLN_LOOP_ENTRY, Abs) };
static const pln_loop_fn Sign_fns[PLN_DT_COUNT] = { PLN_NUM_TYPES(PLN_LOOP_ENTRY, Sign) };
static const pln_loop_fn Neg_fns[PLN_DT_COUNT] = { PLN_SINT_TYPES(
    PLN_LOOP_ENTRY, Neg) PLN_FLOAT_TYPES(PLN_LOOP_ENTRY, Neg) };
static const pln_loop_fn BitwiseNot_fns[PLN_DT_COUNT] = { PLN_INT_TYPES(PLN_LOOP_ENTRY,
                                                                        BitwiseNot) };
static const pln_loop_fn Not_fns[PLN_DT_COUNT] = { [PLN_DT_BOOL] = Not_bool };
REF(Abs, 1)
REF(Sign, 1)
REF(Neg, 1)
REF(BitwiseNot, 1)
REF(Not, 1)

/* ---- classes of numbers ------------------------------------------------------------ */

typedef struct isinf_attrs {
    int64_t detect_negative, detect_positive;
} isinf_attrs;

static const pln_attr_spec isinf_spec[] = {
    PLN_A_INT(isinf_attrs, detect_negative, 1),
    PLN_A_INT(isinf_attrs, detect_positive, 1),
    PLN_A_END,
};

static inline bool wanted_inf(const void *arg, double v)
{
    const isinf_attrs *a = (const isinf_attrs *)arg;
    return (v == INFINITY && a->detect_positive) ||
           (v == -INFINITY && a->detect_negative);
}

#define ISNAN(s, type, dt, ...) PLN_LOOP_UNARY(IsNaN_##s, uint8_t, type, v != v)
#define ISINF(s, type, dt, ...) \
    PLN_LOOP_UNARY(IsInf_##s, uint8_t, type, wanted_inf(arg, v))
PLN_FLOAT_TYPES(ISNAN, )
PLN_FLOAT_TYPES(ISINF, )
static const pln_loop_fn IsNaN_fns[PLN_DT_COUNT] = { PLN_FLOAT_TYPES(PLN_LOOP_ENTRY,
                                                                     IsNaN) };
static const pln_loop_fn IsInf_fns[PLN_DT_COUNT] = { PLN_FLOAT_TYPES(PLN_LOOP_ENTRY,
                                                                     IsInf) };
REF(IsNaN, 1)
REF(IsInf, 1)

static pln_status infer_bool(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].dtype = PLN_DT_BOOL;
    inf->out[0].kind = PLN_KIND_TENSOR;
    return PLN_OK;
}

/* ---- vector versions --------------------------------------------------------------- */

#define X(op, fn)                                                                     \
    static void op##_vec(void *y, const void *const *x, const int64_t *sx, int64_t n, \
                         const void *arg)                                             \
    {                                                                                 \
        (void)sx, (void)arg;                                                          \
        pln_vec()->fn((float *)y, (const float *)x[0], n, 0, 0);                      \
    }                                                                                 \
    static pln_status op##_run(pln_call *c, pln_error *err)                           \
    {                                                                                 \
        static const pln_loop_fn fns[PLN_DT_COUNT] = { [PLN_DT_F32] = op##_vec };     \
        return pln_loop_typed_grain(c, fns, 1, NULL, PLN_LOOP_HEAVY, err);            \
    }                                                                                 \
    static const pln_impl op##_cpu = { #fn, pln_loop_prepare_float, op##_run, NULL };
VEC_OPS(X)
#undef X

#define TRAITS         (PLN_OP_ELEMENTWISE | PLN_OP_INPLACE | PLN_OP_CHANNELS_LAST)
#define CPU_Ceil       &Ceil_cpu
#define CPU_Floor      &Floor_cpu
#define CPU_Round      &Round_cpu
#define CPU_Sqrt       &Sqrt_cpu
#define CPU_Exp        &Exp_cpu
#define CPU_Log        &Log_cpu
#define CPU_Reciprocal &Reciprocal_cpu
#define CPU_Erf        &Erf_cpu
#define CPU_Sin        &Sin_cpu
#define CPU_Cos        &Cos_cpu
#define CPU_Tan        NULL
#define CPU_Asin       NULL
#define CPU_Acos       NULL
#define CPU_Atan       &Atan_cpu
#define CPU_Sinh       NULL
#define CPU_Cosh       NULL
#define CPU_Asinh      NULL
#define CPU_Acosh      NULL
#define CPU_Atanh      NULL

#define UNARY(op, version, set, impl)                                             \
    .name = #op, .domain = "", .since = version, .in = { 1, 1 }, .out = { 1, 1 }, \
    .traits = TRAITS, .types = "T:" set, .sig = "T->T", .infer = pln_infer_same,  \
    .ref = op##_ref, .cpu = impl, .versions = pln_versions_consumed

const pln_op_desc pln_ops_unary[] = {
#define X(op, version, f32, f64) { UNARY(op, version, PLN_TS_FLOAT, CPU_##op) },
    FLOAT_OPS(X)
#undef X
        { UNARY(Abs, 13, PLN_TS_NUM, &Abs_cpu) },
    { UNARY(Neg, 13, PLN_TS_SINT "," PLN_TS_FLOAT, &Neg_cpu) },
    { UNARY(Sign, 13, PLN_TS_NUM, NULL) },
    { UNARY(BitwiseNot, 18, PLN_TS_INT, NULL) },
    { UNARY(Not, 1, "bool", NULL) },
    { .name = "IsNaN",
      .expand = pln_expand_is,
      .domain = "",
      .since = 20,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_ELEMENTWISE | PLN_OP_CHANNELS_LAST,
      .types = "T1:" PLN_TS_FLOAT "," PLN_TS_F8,
      .sig = "T1->bool",
      .infer = infer_bool,
      .ref = IsNaN_ref },
    { .name = "IsInf",
      .expand = pln_expand_is,
      .domain = "",
      .since = 20,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_ELEMENTWISE | PLN_OP_CHANNELS_LAST,
      .types = "T1:" PLN_TS_FLOAT "," PLN_TS_F8,
      .sig = "T1->bool",
      .attrs = isinf_spec,
      .attrs_size = sizeof(isinf_attrs),
      .infer = infer_bool,
      .ref = IsInf_ref },
    { .name = NULL },
};
