/* Binary and variadic arithmetic with broadcasting: Add ... Pow, Max, Min, Sum, Mean, bit
 * operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/binary.h"
#include "kernels/expand.h"
#include "kernels/loop_macros.h"
#include "kernels/block.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "kernels/vec.h"
#include "src/ir/op.h"

#include <math.h>
#include <string.h>

/* ---- arithmetic -------------------------------------------------------------------- */

/* Integers wrap: computed without sign in 64 bits. Division by zero gives 0 and the
 * lowest value by -1 itself. */
static inline int64_t div_s64(int64_t a, int64_t b)
{
    return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static inline uint64_t div_u64(uint64_t a, uint64_t b)
{
    return b == 0 ? 0 : a / b;
}

static inline int64_t fmod_s64(int64_t a, int64_t b)
{
    return b == 0 || b == -1 ? 0 : a % b;
}

/* The remainder has the divisor's sign. */
static inline int64_t mod_s64(int64_t a, int64_t b)
{
    const int64_t r = fmod_s64(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static inline uint64_t mod_u64(uint64_t a, uint64_t b)
{
    return b == 0 ? 0 : a % b;
}

static inline double mod_f64(double a, double b)
{
    const double r = fmod(a, b);
    if (r == 0)
        return copysign(r, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

static inline float mod_f32(float a, float b)
{
    const float r = fmodf(a, b);
    if (r == 0)
        return copysignf(r, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

#define U(x) ((uint64_t)(x))
#define INT_OPS(s, type, ...)                                 \
    PLN_LOOP_BINARY(Add_##s, type, type, type, U(a) + U(b))   \
    PLN_LOOP_BINARY(Sub_##s, type, type, type, U(a) - U(b))   \
    PLN_LOOP_BINARY(Mul_##s, type, type, type, U(a) * U(b))   \
    PLN_LOOP_BINARY(Max_##s, type, type, type, a > b ? a : b) \
    PLN_LOOP_BINARY(Min_##s, type, type, type, a < b ? a : b) \
    PLN_LOOP_BINARY(BitwiseAnd_##s, type, type, type, a &b)   \
    PLN_LOOP_BINARY(BitwiseOr_##s, type, type, type, a | b)   \
    PLN_LOOP_BINARY(BitwiseXor_##s, type, type, type, a ^ b)
#define SINT_OPS(s, type, ...)                                \
    PLN_LOOP_BINARY(Div_##s, type, type, type, div_s64(a, b)) \
    PLN_LOOP_BINARY(Mod_##s, type, type, type, mod_s64(a, b)) \
    PLN_LOOP_BINARY(Fmod_##s, type, type, type, fmod_s64(a, b))
#define UINT_OPS(s, type, ...)                                \
    PLN_LOOP_BINARY(Div_##s, type, type, type, div_u64(a, b)) \
    PLN_LOOP_BINARY(Mod_##s, type, type, type, mod_u64(a, b)) \
    PLN_LOOP_BINARY(Fmod_##s, type, type, type, mod_u64(a, b))
#define FLOAT_OPS(s, type, dt, ...)                                     \
    PLN_LOOP_BINARY(Add_##s, type, type, type, a + b)                   \
    PLN_LOOP_BINARY(Sub_##s, type, type, type, a - b)                   \
    PLN_LOOP_BINARY(Mul_##s, type, type, type, a *b)                    \
    PLN_LOOP_BINARY(Div_##s, type, type, type, a / b)                   \
    PLN_LOOP_BINARY(Max_##s, type, type, type, a > b || a != a ? a : b) \
    PLN_LOOP_BINARY(Min_##s, type, type, type, a < b || a != a ? a : b) \
    PLN_LOOP_BINARY(Mod_##s, type, type, type, mod_##s(a, b))
PLN_INT_TYPES(INT_OPS, )
PLN_SINT_TYPES(SINT_OPS, )
PLN_UINT_TYPES(UINT_OPS, )
PLN_FLOAT_TYPES(FLOAT_OPS, )
PLN_LOOP_BINARY(Fmod_f32, float, float, float, fmodf(a, b))
PLN_LOOP_BINARY(Fmod_f64, double, double, double, fmod(a, b))

#define TABLE(op)                                                                     \
    static const pln_loop_fn op##_fns[PLN_DT_COUNT] = { PLN_NUM_TYPES(PLN_LOOP_ENTRY, \
                                                                      op) };
#define INT_TABLE(op)                                                                 \
    static const pln_loop_fn op##_fns[PLN_DT_COUNT] = { PLN_INT_TYPES(PLN_LOOP_ENTRY, \
                                                                      op) };
#define REF(op)                                             \
    static pln_status op##_ref(pln_call *c, pln_error *err) \
    {                                                       \
        return pln_loop_typed(c, op##_fns, 2, NULL, err);   \
    }
TABLE(Add)
TABLE(Sub)
TABLE(Mul)
TABLE(Div)
TABLE(Max)
TABLE(Min)
TABLE(Mod)
TABLE(Fmod)
INT_TABLE(BitwiseAnd)
INT_TABLE(BitwiseOr)
INT_TABLE(BitwiseXor)
REF(Add)
REF(Sub)
REF(Mul)
REF(Div)
REF(BitwiseAnd)
REF(BitwiseOr)
REF(BitwiseXor)

typedef struct mod_attrs {
    int64_t fmod;
} mod_attrs;

static const pln_attr_spec mod_spec[] = { PLN_A_INT(mod_attrs, fmod, 0), PLN_A_END };

static pln_status Mod_ref(pln_call *c, pln_error *err)
{
    const mod_attrs *a = (const mod_attrs *)c->attrs;
    return pln_loop_typed(c, a->fmod ? Fmod_fns : Mod_fns, 2, NULL, err);
}

/* ---- Pow --------------------------------------------------------------------------- */

/* By squaring, wrapping. A negative power of an integer is 0, but for 1 and -1. */
static inline int64_t ipow(int64_t a, int64_t b)
{
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    uint64_t r = 1, base = U(a);
    for (; b > 0; b >>= 1, base *= base)
        if (b & 1)
            r *= base;
    return (int64_t)r;
}

/* float to the integer base's type, as Cast does. */
static inline int64_t pow_to_s64(double a, double b)
{
    const double r = pow(a, b);
    return r >= -0x1p63 && r < 0x1p63 ? (int64_t)r : INT64_MIN;
}

PLN_LOOP_BINARY(Pow_s32_s64, int32_t, int32_t, int64_t, ipow(a, b))
PLN_LOOP_BINARY(Pow_s64_s64, int64_t, int64_t, int64_t, ipow(a, b))
PLN_LOOP_BINARY(Pow_s32_f64, int32_t, int32_t, double, pow_to_s64(a, b))
PLN_LOOP_BINARY(Pow_s64_f64, int64_t, int64_t, double, pow_to_s64((double)a, b))
PLN_LOOP_BINARY(Pow_f64_general, double, double, double, pow(a, b))
PLN_LOOP_BINARY(Pow_f32_general, float, float, float, powf(a, b))

/* The usual exponents of models, exactly rounded where pow would be as well. */
static void Pow_f32_f32(void *y, const void *const *x, const int64_t *sx, int64_t n,
                        const void *arg)
{
    const float *a = (const float *)x[0];
    const float e = *(const float *)x[1];
    if (sx[1] == 0 && e == 2.0f)
        pln_vec()->mul((float *)y, a, sx[0], a, sx[0], n);
    else if (sx[1] == 0 && e == 1.0f && sx[0])
        memmove(y, a, (size_t)n * sizeof(float));
    else
        Pow_f32_general(y, x, sx, n, arg);
}

static void Pow_f64_f64(void *py, const void *const *x, const int64_t *sx, int64_t n,
                        const void *arg)
{
    const double *a = (const double *)x[0];
    double *y = (double *)py;
    if (sx[1] != 0 || *(const double *)x[1] != 2.0) {
        Pow_f64_general(y, x, sx, n, arg);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i * sx[0]] * a[i * sx[0]];
}

static pln_status Pow_ref(pln_call *c, pln_error *err)
{
    const pln_dtype a = (pln_dtype)c->in[0]->dtype, b = (pln_dtype)c->in[1]->dtype;
    const bool int_exp = pln_dtype_is_integer(b) && b != PLN_DT_U64;
    const bool wide = b == PLN_DT_F64 || b == PLN_DT_S64 || b == PLN_DT_U64 ||
                      b == PLN_DT_S32 || b == PLN_DT_U32;
    pln_loop m = { .n_in = 2 };
    if (a == PLN_DT_S32 || a == PLN_DT_S64) {
        m.work_in[1] = int_exp ? PLN_DT_S64 : PLN_DT_F64;
        m.fn = a == PLN_DT_S32 ? int_exp ? Pow_s32_s64 : Pow_s32_f64
               : int_exp       ? Pow_s64_s64
                               : Pow_s64_f64;
    } else if (a == PLN_DT_F64 || (a == PLN_DT_F32 && wide && c->in[1]->rank > 0)) {
        m.fn = Pow_f64_f64;
        m.work_in[0] = m.work_in[1] = m.work_out = PLN_DT_F64;
    } else {
        m.fn = Pow_f32_f32;
        m.work_in[0] = m.work_in[1] = m.work_out = PLN_DT_F32;
    }
    return pln_loop_run(c, &m, c->out[0], c->in, err);
}

/* ---- BitShift ---------------------------------------------------------------------- */

typedef struct shift_attrs {
    int direction; /* 0 right, 1 left */
} shift_attrs;

static const pln_attr_spec shift_spec[] = {
    { .name = "direction",
      .type = PLN_ATTR_STRING,
      .required = true,
      .offset = offsetof(shift_attrs, direction),
      .choices = "RIGHT|LEFT" },
    PLN_A_END,
};

/* A shift by the width or more (a negative one counts as such) leaves nothing but the
 * sign. */
#define SHIFT(s, type, ...)                                     \
    PLN_LOOP_BINARY(Left_##s, type, type, type,                 \
                    U(b) < 8 * sizeof(type) ? U(a) << U(b) : 0) \
    PLN_LOOP_BINARY(Right_##s, type, type, type,                \
                    U(b) < 8 * sizeof(type) ? a >> b : (type)(a < 1 && a != 0 ? -1 : 0))
PLN_INT_TYPES(SHIFT, )
INT_TABLE(Left)
INT_TABLE(Right)

static pln_status BitShift_ref(pln_call *c, pln_error *err)
{
    const shift_attrs *a = (const shift_attrs *)c->attrs;
    return pln_loop_typed(c, a->direction ? Left_fns : Right_fns, 2, NULL, err);
}

/* ---- variadic ---------------------------------------------------------------------- */

/* out = in[0] op in[1] op ...: out holds the partial result, so that each further input
 * is a binary operation in place. */
static pln_status fold(pln_call *c, const pln_loop_fn *by_type, pln_error *err)
{
    pln_tensor *out = c->out[0];
    const pln_dtype dt = (pln_dtype)out->dtype;
    const pln_dtype work = by_type[dt] ? dt : pln_block_work(dt);
    pln_loop m = { .n_in = 2, .work_in = { work, work }, .work_out = work };
    m.fn = work == PLN_DT_NONE ? NULL : by_type[work];
    if (!m.fn)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "element type %s",
                             pln_dtype_name(dt));
    /* An input over which the output lies is read first, before it is lost. */
    uint32_t first = 0;
    for (uint32_t i = 2; i < c->n_in; i++)
        if (c->in[i]->data == out->data)
            first = i;
    const pln_tensor *acc = c->in[first];
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (i == first)
            continue;
        const pln_tensor *in[2] = { acc, c->in[i] };
        PLN_TRY(pln_loop_run(c, &m, out, in, err));
        acc = out;
    }
    return PLN_OK;
}

static void copy_s(void *y, const void *const *x, const int64_t *sx, int64_t n,
                   const void *arg)
{
    const size_t size = *(const size_t *)arg;
    (void)sx;
    memmove(y, x[0], (size_t)n * size);
}

static pln_status copy_first(pln_call *c, pln_error *err)
{
    const size_t size = pln_dtype_size((pln_dtype)c->out[0]->dtype);
    const pln_loop m = { .fn = copy_s, .arg = &size, .n_in = 1 };
    return pln_loop_run(c, &m, c->out[0], c->in, err);
}

static bool short_float(pln_dtype dt)
{
    return dt == PLN_DT_F16 || dt == PLN_DT_BF16;
}

static pln_status variadic(pln_call *c, const pln_loop_fn *by_type, pln_error *err)
{
    return c->n_in == 1 ? copy_first(c, err) : fold(c, by_type, err);
}

static pln_status Max_ref(pln_call *c, pln_error *err)
{
    return variadic(c, Max_fns, err);
}

static pln_status Min_ref(pln_call *c, pln_error *err)
{
    return variadic(c, Min_fns, err);
}

static pln_status Sum_ref(pln_call *c, pln_error *err)
{
    return variadic(c, Add_fns, err);
}

#define SCALE(s, type, dt, ...) \
    PLN_LOOP_UNARY(Scale_##s, type, type, v / (type) * (const uint32_t *)arg)
PLN_FLOAT_TYPES(SCALE, )

static pln_status Mean_ref(pln_call *c, pln_error *err)
{
    static const pln_loop_fn fns[PLN_DT_COUNT] = { PLN_FLOAT_TYPES(PLN_LOOP_ENTRY,
                                                                   Scale) };
    PLN_TRY(variadic(c, Add_fns, err));
    const pln_dtype dt = (pln_dtype)c->out[0]->dtype;
    const pln_dtype work = short_float(dt) ? PLN_DT_F32 : dt;
    const pln_loop m = {
        .fn = fns[work], .arg = &c->n_in, .n_in = 1, .work_in = { work }, .work_out = work
    };
    const pln_tensor *in[1] = { c->out[0] };
    return pln_loop_run(c, &m, c->out[0], in, err);
}

/* ---- vector versions --------------------------------------------------------------- */

#define VEC_OPS(X) \
    X(Add, add)    \
    X(Sub, sub)    \
    X(Mul, mul)    \
    X(Div, div)    \
    X(Max, max)    \
    X(Min, min)

#define X(op, fn)                                                                      \
    static void op##_vec(void *y, const void *const *x, const int64_t *sx, int64_t n,  \
                         const void *arg)                                              \
    {                                                                                  \
        (void)arg;                                                                     \
        pln_vec()->fn((float *)y, (const float *)x[0], sx[0], (const float *)x[1],     \
                      sx[1], n);                                                       \
    }                                                                                  \
    static const pln_loop_fn op##_vec_fns[PLN_DT_COUNT] = { [PLN_DT_F32] = op##_vec }; \
    static pln_status op##_run(pln_call *c, pln_error *err)                            \
    {                                                                                  \
        return variadic(c, op##_vec_fns, err);                                         \
    }                                                                                  \
    static const pln_impl op##_cpu = { #fn, pln_loop_prepare_float, op##_run, NULL };
VEC_OPS(X)
#undef X

/* ---- inference --------------------------------------------------------------------- */

/* Symbolic contents of the small integer tensors that shapes are computed with. */
static pln_dim sym_add(pln_syms *s, pln_dim a, pln_dim b)
{
    return pln_dim_add(s, a, b);
}
static pln_dim sym_sub(pln_syms *s, pln_dim a, pln_dim b)
{
    return pln_dim_sub(s, a, b);
}
static pln_dim sym_mul(pln_syms *s, pln_dim a, pln_dim b)
{
    return pln_dim_mul(s, a, b);
}

/* Div truncates, pln_dim_div rounds down: the same where nothing is negative. */
static pln_dim sym_div(pln_syms *s, pln_dim a, pln_dim b)
{
    if (pln_dim_is_known(a) && pln_dim_is_known(b))
        return b.value == 0 ? pln_dim_unknown() : pln_dim_of(div_s64(a.value, b.value));
    if (!pln_dim_at_least(a, 0) || !pln_dim_at_least(b, 1))
        return pln_dim_unknown();
    return pln_dim_div(s, a, b);
}
static pln_dim sym_mod(pln_syms *s, pln_dim a, pln_dim b)
{
    if (!pln_dim_at_least(a, 0) || !pln_dim_at_least(b, 1))
        return pln_dim_unknown();
    return pln_dim_mod(s, a, b);
}
static pln_dim sym_max(pln_syms *s, pln_dim a, pln_dim b)
{
    return pln_dim_max(s, a, b);
}
static pln_dim sym_min(pln_syms *s, pln_dim a, pln_dim b)
{
    return pln_dim_min(s, a, b);
}

static pln_status infer_sym(pln_infer *inf, pln_dim (*fn)(pln_syms *, pln_dim, pln_dim),
                            pln_error *err)
{
    PLN_TRY(pln_infer_elementwise(inf, err));
    return pln_infer_fold_sym(inf, fn, err);
}

#define INFER(op, fn)                                            \
    static pln_status op##_infer(pln_infer *inf, pln_error *err) \
    {                                                            \
        return infer_sym(inf, fn, err);                          \
    }
INFER(Add, sym_add)
INFER(Sub, sym_sub)
INFER(Mul, sym_mul)
INFER(Div, sym_div)
INFER(Mod, sym_mod)
INFER(Max, sym_max)
INFER(Min, sym_min)

static pln_status variadic_infer(pln_infer *inf, pln_error *err)
{
    return pln_infer_elementwise(inf, err);
}

/* ---- the rows ---------------------------------------------------------------------- */

#define TRAITS (PLN_OP_ELEMENTWISE | PLN_OP_INPLACE | PLN_OP_CHANNELS_LAST)

#define BINARY(op, version, extra, set, fn, impl)                                 \
    .name = #op, .domain = "", .since = version, .in = { 2, 2 }, .out = { 1, 1 }, \
    .traits = TRAITS | (extra), .types = "T:" set, .sig = "T,T->T", .infer = fn,  \
    .ref = op##_ref, .cpu = impl

#define VARIADIC(op, version, set, fn, impl)                                       \
    {                                                                              \
        .name = #op, .domain = "", .since = version, .in = { 1, PLN_VARIADIC },    \
        .out = { 1, 1 }, .traits = TRAITS | PLN_OP_COMMUTATIVE, .types = "T:" set, \
        .sig = "T*->T", .infer = fn, .ref = op##_ref, .cpu = impl,                 \
        .versions = variadic_versions, .expand = pln_expand_min_max                \
    }

/* Version 8 brought broadcasting. */
static pln_status variadic_lower_8(pln_node *n, pln_error *err)
{
    for (uint32_t i = 1; i < n->n_in; i++)
        if (n->in[0] && n->in[i] &&
            !pln_shape_equal(n->in[0]->type.shape, n->in[i]->type.shape))
            return pln_lower_fail(n, err, "before version 8 it does not broadcast");
    return PLN_OK;
}

static const pln_version_change variadic_versions[] = {
    { 6, pln_raise_consumed, NULL }, { 8, NULL, variadic_lower_8 }, { 0 }
};

/* Before version 28 only with fmod may they be floats. */
static pln_status mod_lower_28(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "fmod");
    const pln_dtype dt = n->in[0] ? n->in[0]->type.dtype : PLN_DT_NONE;
    if (pln_dtype_is_float(dt) && !(a && a->type == PLN_ATTR_INT && a->i))
        return pln_lower_fail(n, err, "the older version takes floats with fmod only");
    return PLN_OK;
}

static const pln_version_change mod_versions[] = { { 28, NULL, mod_lower_28 }, { 0 } };

static pln_status pow_lower_12(pln_node *n, pln_error *err)
{
    if (n->in[0] && n->in[1] && n->in[0]->type.dtype != n->in[1]->type.dtype)
        return pln_lower_fail(n, err, "the older version has one type only");
    return PLN_OK;
}

static const pln_version_change pow_versions[] = {
    { 7, pln_raise_broadcast, pln_lower_broadcast }, { 12, NULL, pow_lower_12 }, { 0 }
};

const pln_op_desc pln_ops_binary[] = {
    { BINARY(Add, 14, PLN_OP_COMMUTATIVE, PLN_TS_NUM, Add_infer, &Add_cpu),
      .versions = pln_versions_broadcast },
    { BINARY(Sub, 14, 0, PLN_TS_NUM, Sub_infer, &Sub_cpu),
      .versions = pln_versions_broadcast },
    { BINARY(Mul, 14, PLN_OP_COMMUTATIVE, PLN_TS_NUM, Mul_infer, &Mul_cpu),
      .versions = pln_versions_broadcast },
    { BINARY(Div, 14, 0, PLN_TS_NUM, Div_infer, &Div_cpu),
      .versions = pln_versions_broadcast },
    { BINARY(BitwiseAnd, 18, PLN_OP_COMMUTATIVE, PLN_TS_INT, pln_infer_elementwise,
             NULL), .versions = pln_versions_broadcast },
    { BINARY(BitwiseOr, 18, PLN_OP_COMMUTATIVE, PLN_TS_INT, pln_infer_elementwise,
             NULL), .versions = pln_versions_broadcast },
    { BINARY(BitwiseXor, 18, PLN_OP_COMMUTATIVE, PLN_TS_INT, pln_infer_elementwise,
             NULL), .versions = pln_versions_broadcast },
    { BINARY(Mod, 28, 0, PLN_TS_NUM, Mod_infer, NULL), .attrs = mod_spec,
      .attrs_size = sizeof(mod_attrs), .versions = mod_versions,
      .expand = pln_expand_mod },
    { BINARY(BitShift, 28, 0, PLN_TS_INT, pln_infer_elementwise, NULL),
      .attrs = shift_spec, .attrs_size = sizeof(shift_attrs),
      .versions = pln_versions_broadcast },
    { .name = "Pow",
      .domain = "",
      .since = 15,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .traits = TRAITS,
      .types = "T:int32,int64," PLN_TS_FLOAT ";T1:" PLN_TS_NUM,
      .sig = "T,T1->T",
      .infer = pln_infer_elementwise,
      .ref = Pow_ref,
      .versions = pow_versions,
      .expand = pln_expand_pow },
    VARIADIC(Max, 13, PLN_TS_NUM, Max_infer, &Max_cpu),
    VARIADIC(Min, 13, PLN_TS_NUM, Min_infer, &Min_cpu),
    VARIADIC(Sum, 13, PLN_TS_FLOAT, variadic_infer, &Add_cpu),
    VARIADIC(Mean, 13, PLN_TS_FLOAT, variadic_infer, NULL),
    { .name = NULL },
};
