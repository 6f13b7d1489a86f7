/* Comparisons, logic on booleans, and Where.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/binary.h"
#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/loop_macros.h"
#include "kernels/type_sets.h"
#include "src/ir/op.h"

#include <string.h>

#define COMPARE(s, type, dt, name, expr) \
    PLN_LOOP_BINARY(name##_##s, uint8_t, type, type, expr)
#define TABLE(op, ...)                                                                \
    static const pln_loop_fn op##_fns[PLN_DT_COUNT] = { PLN_NUM_TYPES(PLN_LOOP_ENTRY, \
                                                                      op) __VA_ARGS__ };
#define REF(op)                                             \
    static pln_status op##_ref(pln_call *c, pln_error *err) \
    {                                                       \
        return pln_loop_typed(c, op##_fns, 2, NULL, err);   \
    }

static inline bool same_string(const pln_string *a, const pln_string *b)
{
    const size_t na = a ? a->len : 0, nb = b ? b->len : 0;
    return na == nb && (na == 0 || memcmp(a->bytes, b->bytes, na) == 0);
}

typedef const pln_string *string_ref;

PLN_NUM_TYPES(COMPARE, Equal, a == b)
PLN_NUM_TYPES(COMPARE, Less, a < b)
PLN_NUM_TYPES(COMPARE, LessOrEqual, a <= b)
PLN_NUM_TYPES(COMPARE, Greater, a > b)
PLN_NUM_TYPES(COMPARE, GreaterOrEqual, a >= b)
PLN_LOOP_BINARY(Equal_bool, uint8_t, uint8_t, uint8_t, (a != 0) == (b != 0))
PLN_LOOP_BINARY(Equal_string, uint8_t, string_ref, string_ref, same_string(a, b))
TABLE(Equal, [PLN_DT_BOOL] = Equal_bool, [PLN_DT_STRING] = Equal_string)
TABLE(Less)
TABLE(LessOrEqual)
TABLE(Greater)
TABLE(GreaterOrEqual)
REF(Equal)
REF(Less)
REF(LessOrEqual)
REF(Greater)
REF(GreaterOrEqual)

PLN_LOOP_BINARY(And_bool, uint8_t, uint8_t, uint8_t, a &&b)
PLN_LOOP_BINARY(Or_bool, uint8_t, uint8_t, uint8_t, a || b)
PLN_LOOP_BINARY(Xor_bool, uint8_t, uint8_t, uint8_t, (a != 0) != (b != 0))
static const pln_loop_fn And_fns[PLN_DT_COUNT] = { [PLN_DT_BOOL] = And_bool };
static const pln_loop_fn Or_fns[PLN_DT_COUNT] = { [PLN_DT_BOOL] = Or_bool };
static const pln_loop_fn Xor_fns[PLN_DT_COUNT] = { [PLN_DT_BOOL] = Xor_bool };
REF(And)
REF(Or)
REF(Xor)

/* Symbolic contents: 1 or 0 where it is certain. */
static pln_dim sym_equal(pln_syms *s, pln_dim a, pln_dim b)
{
    if (pln_dim_equal(a, b))
        return pln_dim_of(1);
    return pln_dim_differ(s, a, b) ? pln_dim_of(0) : pln_dim_unknown();
}

/* Contents of a boolean vector are kept like those of integers, so that the Where that
 * follows (the -1 of an Expand's shape) can choose. */
static pln_status Equal_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_compare(inf, err));
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    if (dt != PLN_DT_S64 && dt != PLN_DT_S32)
        return PLN_OK;
    inf->out[0].dtype = PLN_DT_S64;
    const pln_status st = pln_infer_fold_sym(inf, sym_equal, err);
    inf->out[0].dtype = PLN_DT_BOOL;
    return st;
}

/* ---- Where ------------------------------------------------------------------------- */

typedef struct c128 {
    double re, im;
} c128;

/* Constant strides let the compiler vectorize the usual cases. */
#define WHERE_LOOP(s0, s1, s2)      \
    for (int64_t i = 0; i < n; i++) \
        y[i] = cond[i * (s0)] ? a[i * (s1)] : b[i * (s2)];
#define WHERE(bytes, type)                                                        \
    static void where_##bytes(void *py, const void *const *px, const int64_t *sx, \
                              int64_t n, const void *arg)                         \
    {                                                                             \
        type *y = (type *)py;                                                     \
        const uint8_t *cond = (const uint8_t *)px[0];                             \
        const type *a = (const type *)px[1], *b = (const type *)px[2];            \
        (void)arg;                                                                \
        if (sx[0] && sx[1] && sx[2]) {                                            \
            WHERE_LOOP(1, 1, 1)                                                   \
        } else if (sx[0] && sx[1]) {                                              \
            const type one = *b;                                                  \
            for (int64_t i = 0; i < n; i++)                                       \
                y[i] = cond[i] ? a[i] : one;                                      \
        } else if (sx[0] && sx[2]) {                                              \
            const type one = *a;                                                  \
            for (int64_t i = 0; i < n; i++)                                       \
                y[i] = cond[i] ? one : b[i];                                      \
        } else {                                                                  \
            WHERE_LOOP(sx[0], sx[1], sx[2])                                       \
        }                                                                         \
    }
WHERE(1, uint8_t)
WHERE(2, uint16_t)
WHERE(4, uint32_t)
WHERE(8, uint64_t)
WHERE(16, c128)

static pln_status where_strings(pln_call *c, pln_error *err)
{
    pln_tensor *out = c->out[0];
    const int64_t n = pln_tensor_size(out);
    int64_t stride[3][PLN_MAX_RANK];
    for (int k = 0; k < 3; k++)
        if (!pln_bcast_strides(c->in[k], out->rank, out->dims, stride[k]))
            return pln_call_fail(c, err, PLN_E_RUN, "the inputs do not broadcast");
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at[3] = { 0 };
        for (int d = out->rank - 1; d >= 0; d--) {
            const int64_t x = rest % out->dims[d];
            rest /= out->dims[d];
            for (int k = 0; k < 3; k++)
                at[k] += x * stride[k][d];
        }
        const int k = PLN_DATA(const uint8_t, c->in[0])[at[0]] ? 1 : 2;
        pln_tensor_copy(out, i, c->in[k], at[k], 1);
    }
    return PLN_OK;
}

static pln_status Where_ref(pln_call *c, pln_error *err)
{
    const pln_dtype dt = (pln_dtype)c->out[0]->dtype;
    if (dt == PLN_DT_STRING)
        return where_strings(c, err);
    const size_t size = pln_dtype_size(dt);
    const pln_loop m = { .n_in = 3,
                         .fn = size == 1   ? where_1
                               : size == 2 ? where_2
                               : size == 4 ? where_4
                               : size == 8 ? where_8
                                           : where_16 };
    return pln_loop_run(c, &m, c->out[0], c->in, err);
}

static pln_status where_sym(pln_infer *inf, pln_error *err)
{
    pln_symval v[3];
    int64_t n = 1;
    if (inf->out[0].shape.rank > 1)
        return PLN_OK;
    for (uint32_t i = 0; i < 3; i++) {
        if (i == 0 && !inf->in_sym[0] && inf->in_cst[0]) {
            pln_dim *d =
                PLN_NEW_ARRAY(inf->arena, pln_dim, pln_tensor_size(inf->in_cst[0]));
            if (!d)
                return pln_oom(err);
            v[0] = (pln_symval){ .n = pln_tensor_size(inf->in_cst[0]), .v = d };
            for (int64_t j = 0; j < v[0].n; j++)
                d[j] = pln_dim_of(PLN_DATA(const uint8_t, inf->in_cst[0])[j] != 0);
        } else if (i == 0) {
            if (!inf->in_sym[0])
                return PLN_OK;
            v[0] = *inf->in_sym[0];
        } else if (!pln_infer_ints(inf, i, &v[i])) {
            return PLN_OK;
        }
        if (v[i].n != 1 && n != 1 && v[i].n != n)
            return PLN_OK;
        n = v[i].n == 1 ? n : v[i].n;
    }
    pln_dim *d = PLN_NEW_ARRAY(inf->arena, pln_dim, n);
    pln_symval *out = PLN_NEW(inf->arena, pln_symval);
    if (!d || !out)
        return pln_oom(err);
    for (int64_t j = 0; j < n; j++) {
        const pln_dim cond = v[0].v[v[0].n == 1 ? 0 : j];
        const pln_dim a = v[1].v[v[1].n == 1 ? 0 : j], b = v[2].v[v[2].n == 1 ? 0 : j];
        d[j] = pln_dim_is_known(cond) ? (cond.value ? a : b)
               : pln_dim_equal(a, b)  ? a
                                      : pln_dim_unknown();
    }
    *out = (pln_symval){ .n = n, .v = d };
    inf->out_sym[0] = out;
    return PLN_OK;
}

static pln_status Where_infer(pln_infer *inf, pln_error *err)
{
    pln_shape shape;
    PLN_TRY(pln_infer_broadcast(inf, 0, 3, &shape, err));
    const pln_dtype dt = pln_infer_dtype(inf, 1);
    pln_infer_set(inf, 0, dt != PLN_DT_NONE ? dt : pln_infer_dtype(inf, 2), shape);
    return dt == PLN_DT_S64 || dt == PLN_DT_S32 ? where_sym(inf, err) : PLN_OK;
}

/* ---- the rows ---------------------------------------------------------------------- */

#define TRAITS (PLN_OP_ELEMENTWISE | PLN_OP_CHANNELS_LAST)
#define ROW(op, version, extra, set, fn)                                                \
    {                                                                                   \
        .name = #op, .domain = "", .since = version, .in = { 2, 2 }, .out = { 1, 1 },   \
        .traits = TRAITS | (extra), .types = "T:" set, .sig = "T,T->bool", .infer = fn, \
        .ref = op##_ref, .versions = pln_versions_broadcast,                            \
        .expand = pln_expand_compare                                                    \
    }

const pln_op_desc pln_ops_compare[] = {
    ROW(Equal, 19, PLN_OP_COMMUTATIVE, PLN_TS_NUM ",bool,string", Equal_infer),
    ROW(Less, 13, 0, PLN_TS_NUM, pln_infer_compare),
    ROW(LessOrEqual, 16, 0, PLN_TS_NUM, pln_infer_compare),
    ROW(Greater, 13, 0, PLN_TS_NUM, pln_infer_compare),
    ROW(GreaterOrEqual, 16, 0, PLN_TS_NUM, pln_infer_compare),
    ROW(And, 7, PLN_OP_COMMUTATIVE | PLN_OP_INPLACE, "bool", pln_infer_compare),
    ROW(Or, 7, PLN_OP_COMMUTATIVE | PLN_OP_INPLACE, "bool", pln_infer_compare),
    ROW(Xor, 7, PLN_OP_COMMUTATIVE | PLN_OP_INPLACE, "bool", pln_infer_compare),
    { .name = "Where",
      .domain = "",
      .since = 16,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .traits = TRAITS,
      .types = "T:" PLN_TS_ALL,
      .sig = "bool,T,T->T",
      .infer = Where_infer,
      .ref = Where_ref },
    { .name = NULL },
};
