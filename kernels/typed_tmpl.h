/* The loops of typed.h, for one instruction set: TABLE is the table's name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/typed.h"

#include <math.h>

#define LANES 16 /* sums side by side, so that they can be vectors */

/* ---- folding ---- */

/* a is what there is so far, v an element. */
#define DO_SUM(type, a, v)        ((type)((a) + (v)))
#define DO_PROD(type, a, v)       ((type)((a) * (v)))
#define DO_MAX(type, a, v)        ((((a) > (v)) | ((a) != (a))) ? (a) : (v))
#define DO_MIN(type, a, v)        ((((a) < (v)) | ((a) != (a))) ? (a) : (v))
#define DO_SQUARE(type, a, v)     ((type)((a) + (v) * (v)))
#define START_SUM(type, first)    ((type)0)
#define START_PROD(type, first)   ((type)1)
#define START_MAX(type, first)    (first)
#define START_MIN(type, first)    (first)
#define START_SQUARE(type, first) ((type)0)
#define JOIN_SUM                  DO_SUM
#define JOIN_PROD                 DO_PROD
#define JOIN_MAX                  DO_MAX
#define JOIN_MIN                  DO_MIN
#define JOIN_SQUARE               DO_SUM

/* Integers are folded without sign, which wraps; W is that type. */
#define FOLD(name, suffix, type, W)                                                 \
    static void name##_row_##suffix(void *acc, const void *px, int64_t n)           \
    {                                                                               \
        const type *x = px;                                                         \
        W lane[LANES];                                                              \
        if (n == 0)                                                                 \
            return;                                                                 \
        for (int l = 0; l < LANES; l++)                                             \
            lane[l] = START_##name(W, (W)x[0]);                                     \
        int64_t i = 0;                                                              \
        for (; i + LANES <= n; i += LANES)                                          \
            for (int l = 0; l < LANES; l++)                                         \
                lane[l] = DO_##name(W, lane[l], (W)x[i + l]);                       \
        for (; i < n; i++)                                                          \
            lane[0] = DO_##name(W, lane[0], (W)x[i]);                               \
        for (int l = 1; l < LANES; l++)                                             \
            lane[0] = JOIN_##name(W, lane[0], lane[l]);                             \
        *(type *)acc = (type)JOIN_##name(W, (W) * (type *)acc, lane[0]);            \
    }                                                                               \
    static void name##_##suffix(void *pacc, const void *px, int64_t n)              \
    {                                                                               \
        type *acc = pacc;                                                           \
        const type *x = px;                                                         \
        for (int64_t i = 0; i < n; i++)                                             \
            acc[i] = (type)DO_##name(W, (W)acc[i], (W)x[i]);                        \
    }

/* Absolute values want the sign. */
#define FOLD_L1(suffix, type, W)                                                    \
    static void L1_row_##suffix(void *acc, const void *px, int64_t n)               \
    {                                                                               \
        const type *x = px;                                                         \
        W lane[LANES] = { 0 };                                                      \
        int64_t i = 0;                                                              \
        for (; i + LANES <= n; i += LANES)                                          \
            for (int l = 0; l < LANES; l++)                                         \
                lane[l] += x[i + l] < 0 ? 0 - (W)x[i + l] : (W)x[i + l];            \
        for (; i < n; i++)                                                          \
            lane[0] += x[i] < 0 ? 0 - (W)x[i] : (W)x[i];                            \
        for (int l = 1; l < LANES; l++)                                             \
            lane[0] += lane[l];                                                     \
        *(type *)acc = (type)((W) * (type *)acc + lane[0]);                         \
    }                                                                               \
    static void L1_##suffix(void *pacc, const void *px, int64_t n)                  \
    {                                                                               \
        type *acc = pacc;                                                           \
        const type *x = px;                                                         \
        for (int64_t i = 0; i < n; i++)                                             \
            acc[i] = (type)((W)acc[i] + (x[i] < 0 ? 0 - (W)x[i] : (W)x[i]));        \
    }

#define FOLD_TYPE(suffix, type, W) \
    FOLD(SUM, suffix, type, W)     \
    FOLD(PROD, suffix, type, W)    \
    FOLD(SQUARE, suffix, type, W)
#define FOLD_ORDER(suffix, type, dt, at) \
    FOLD(MAX, suffix, type, type)        \
    FOLD(MIN, suffix, type, type)

FOLD_TYPE(f32, float, float)
FOLD_TYPE(f64, double, double)
FOLD_TYPE(s32, int32_t, uint32_t)
FOLD_TYPE(s64, int64_t, uint64_t)
FOLD_TYPE(u32, uint32_t, uint32_t)
FOLD_TYPE(u64, uint64_t, uint64_t)
FOLD_L1(f32, float, float)
FOLD_L1(f64, double, double)
FOLD_L1(s32, int32_t, uint32_t)
FOLD_L1(s64, int64_t, uint64_t)
#define L1_u32     SUM_u32
#define L1_u64     SUM_u64
#define L1_row_u32 SUM_row_u32
#define L1_row_u64 SUM_row_u64
PLN_TYPED_ALL(FOLD_ORDER)

/* ---- the best and where it is ---- */

#define ARG(suffix, type, dt, place)                                                \
    static inline bool wins_##suffix(type v, type best, bool max, bool last)        \
    {                                                                               \
        const bool beyond = (v != v) & (best == best);                              \
        const bool more = (max ? v > best : v < best) & (best == best);             \
        const bool same = (v == best) | ((v != v) & (best != best));                \
        return beyond | more | (same & last);                                       \
    }                                                                               \
    static int64_t arg_row_##suffix(const void *px, int64_t n, bool max, bool last) \
    {                                                                               \
        const type *x = px;                                                         \
        type best = x[0];                                                           \
        if (max)                                                                    \
            MAX_row_##suffix(&best, x, n);                                          \
        else                                                                        \
            MIN_row_##suffix(&best, x, n);                                          \
        const bool nan = best != best;                                              \
        for (int64_t b = 0; b < n; b += 64) {                                       \
            const int64_t at = last ? n - b - 64 : b, i0 = at < 0 ? 0 : at;         \
            const int64_t i1 = at + 64 < n ? at + 64 : n;                           \
            int hit = 0;                                                            \
            for (int64_t i = i0; i < i1; i++)                                       \
                hit |= x[i] == best || (nan && x[i] != x[i]);                       \
            if (!hit)                                                               \
                continue;                                                           \
            for (int64_t i = i0; i < i1; i++) {                                     \
                const int64_t k = last ? i1 - 1 - (i - i0) : i;                     \
                if (x[k] == best || (nan && x[k] != x[k]))                          \
                    return k;                                                       \
            }                                                                       \
        }                                                                           \
        return 0;                                                                   \
    }                                                                               \
    static void arg_rows_##suffix(const void *px, int64_t row, int64_t n, bool max, \
                                  bool last, void *pbest, void *pat)                \
    {                                                                               \
        const type *x = px;                                                         \
        type *best = pbest;                                                         \
        place *at = pat;                                                            \
        if (row == 0) {                                                             \
            for (int64_t i = 0; i < n; i++) {                                       \
                best[i] = x[i];                                                     \
                at[i] = 0;                                                          \
            }                                                                       \
        } else if (max && !last) {                                                  \
            for (int64_t i = 0; i < n; i++) {                                       \
                const bool wins = wins_##suffix(x[i], best[i], true, false);        \
                best[i] = wins ? x[i] : best[i];                                    \
                at[i] = wins ? (place)row : at[i];                                  \
            }                                                                       \
        } else if (!max && !last) {                                                 \
            for (int64_t i = 0; i < n; i++) {                                       \
                const bool wins = wins_##suffix(x[i], best[i], false, false);       \
                best[i] = wins ? x[i] : best[i];                                    \
                at[i] = wins ? (place)row : at[i];                                  \
            }                                                                       \
        } else {                                                                    \
            for (int64_t i = 0; i < n; i++) {                                       \
                const bool wins = wins_##suffix(x[i], best[i], max, last);          \
                best[i] = wins ? x[i] : best[i];                                    \
                at[i] = wins ? (place)row : at[i];                                  \
            }                                                                       \
        }                                                                           \
    }
PLN_TYPED_ALL(ARG)

/* ---- partial sums ---- */

#define CUM_TYPES(X)         \
    X(f32, float, double)    \
    X(f64, double, double)   \
    X(s32, int32_t, int64_t) \
    X(s64, int64_t, int64_t) \
    X(u32, uint32_t, int64_t) \
    X(u64, uint64_t, int64_t)
#define CUM(suffix, type, W)                                                            \
    static void cum_##suffix(void *py, const void *px, void *pacc, int64_t n,           \
                             bool exclusive)                                            \
    {                                                                                   \
        type *y = py;                                                                   \
        const type *x = px;                                                             \
        W *acc = pacc;                                                                  \
        if (exclusive)                                                                  \
            for (int64_t i = 0; i < n; i++) {                                           \
                const W next = (W)(ACC_ADD_##suffix(acc[i], x[i]));                     \
                y[i] = (type)acc[i];                                                    \
                acc[i] = next;                                                          \
            }                                                                           \
        else                                                                            \
            for (int64_t i = 0; i < n; i++) {                                           \
                acc[i] = (W)(ACC_ADD_##suffix(acc[i], x[i]));                           \
                y[i] = (type)acc[i];                                                    \
            }                                                                           \
    }
#define ACC_ADD_f32(a, v) (a) + (double)(v)
#define ACC_ADD_f64(a, v) (a) + (v)
#define ACC_ADD_s32(a, v) (uint64_t)(a) + (uint64_t)(v)
#define ACC_ADD_s64       ACC_ADD_s32
#define ACC_ADD_u32       ACC_ADD_s32
#define ACC_ADD_u64       ACC_ADD_s32
CUM_TYPES(CUM)

/* ---- conversions ---- */

static inline int32_t to_s32(double v)
{
    return v > -2147483649.0 && v < 2147483648.0 ? (int32_t)v : INT32_MIN;
}

/* The same of a float: 2^31 is one, 2^31 - 1 is not. */
static inline int32_t float_to_s32(float v)
{
    return v >= -0x1p31f && v < 0x1p31f ? (int32_t)v : INT32_MIN;
}

static inline int64_t to_s64(double v)
{
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

/* CAST(to, from, expression of v) */
#define CAST(to, ty, from, tx, expr)                                                     \
    static void to##_from_##from(void *py, const void *px, int64_t n)                    \
    {                                                                                    \
        ty *y = py;                                                                      \
        const tx *x = px;                                                                \
        for (int64_t i = 0; i < n; i++) {                                                \
            const tx v = x[i];                                                           \
            y[i] = (ty)(expr);                                                           \
        }                                                                                \
    }
/* X(to, type, from, type, enumerators, expression) */
#define CASTS(X)                                            \
    X(u8, uint8_t, f32, float, U8, F32, float_to_s32(v))    \
    X(u8, uint8_t, f64, double, U8, F64, to_s32(v))         \
    X(u8, uint8_t, s32, int32_t, U8, S32, v)                \
    X(u8, uint8_t, s64, int64_t, U8, S64, v)                \
    X(s32, int32_t, u8, uint8_t, S32, U8, v)                \
    X(s32, int32_t, s8, int8_t, S32, S8, v)                 \
    X(s32, int32_t, s64, int64_t, S32, S64, v)              \
    X(s32, int32_t, f32, float, S32, F32, float_to_s32(v))  \
    X(s32, int32_t, f64, double, S32, F64, to_s32(v))       \
    X(s64, int64_t, u8, uint8_t, S64, U8, v)                \
    X(s64, int64_t, s8, int8_t, S64, S8, v)                 \
    X(s64, int64_t, s32, int32_t, S64, S32, v)              \
    X(s64, int64_t, f32, float, S64, F32, to_s64((double)v)) \
    X(s64, int64_t, f64, double, S64, F64, to_s64(v))       \
    X(f32, float, s32, int32_t, F32, S32, v)                \
    X(f32, float, s64, int64_t, F32, S64, v)                \
    X(f32, float, f64, double, F32, F64, v)                 \
    X(f64, double, u8, uint8_t, F64, U8, v)                 \
    X(f64, double, s8, int8_t, F64, S8, v)                  \
    X(f64, double, s32, int32_t, F64, S32, v)               \
    X(f64, double, s64, int64_t, F64, S64, v)               \
    X(f64, double, f32, float, F64, F32, v)                 \
    X(b8, uint8_t, f32, float, BOOL, F32, v != 0)         \
    X(b8, uint8_t, f64, double, BOOL, F64, v != 0)        \
    X(b8, uint8_t, u8, uint8_t, BOOL, U8, v != 0)         \
    X(b8, uint8_t, s32, int32_t, BOOL, S32, v != 0)       \
    X(b8, uint8_t, s64, int64_t, BOOL, S64, v != 0)       \
    X(u8, uint8_t, u8, uint8_t, U8, S8, v)                  \
    X(f32, float, b8, uint8_t, F32, BOOL, v != 0)         \
    X(s32, int32_t, b8, uint8_t, S32, BOOL, v != 0)       \
    X(s64, int64_t, b8, uint8_t, S64, BOOL, v != 0)       \
    X(f64, double, b8, uint8_t, F64, BOOL, v != 0)
#define ONE_CAST(to, ty, from, tx, TO, FROM, expr) CAST(to, ty, from, tx, expr)
CASTS(ONE_CAST)

/* ---- the table ---- */

#define PICK_MAX_ROW(suffix, type, dt, place) [PLN_DT_##dt] = MAX_row_##suffix,
#define PICK_MIN_ROW(suffix, type, dt, place) [PLN_DT_##dt] = MIN_row_##suffix,
#define PICK_MAX(suffix, type, dt, place) [PLN_DT_##dt] = MAX_##suffix,
#define PICK_MIN(suffix, type, dt, place) [PLN_DT_##dt] = MIN_##suffix,
#define PICK_ARG_ROW(suffix, type, dt, place) [PLN_DT_##dt] = arg_row_##suffix,
#define PICK_ARG_ROWS(suffix, type, dt, place) [PLN_DT_##dt] = arg_rows_##suffix,
#define NUMBERS(name)                                                                 \
    {                                                                                 \
        [PLN_DT_F32] = name##_f32, [PLN_DT_F64] = name##_f64, [PLN_DT_S32] = name##_s32, \
        [PLN_DT_S64] = name##_s64, [PLN_DT_U32] = name##_u32, [PLN_DT_U64] = name##_u64  \
    }
#define PICK_CAST(to, ty, from, tx, TO, FROM, expr) \
    .convert[PLN_DT_##TO][PLN_DT_##FROM] = to##_from_##from,

const pln_typed_fns TABLE = {
    .fold_row = { [PLN_FOLD_SUM] = NUMBERS(SUM_row),
                  [PLN_FOLD_PROD] = NUMBERS(PROD_row),
                  [PLN_FOLD_MAX] = { PLN_TYPED_ALL(PICK_MAX_ROW) },
                  [PLN_FOLD_MIN] = { PLN_TYPED_ALL(PICK_MIN_ROW) },
                  [PLN_FOLD_L1] = NUMBERS(L1_row),
                  [PLN_FOLD_SQUARE] = NUMBERS(SQUARE_row) },
    .fold = { [PLN_FOLD_SUM] = NUMBERS(SUM),
              [PLN_FOLD_PROD] = NUMBERS(PROD),
              [PLN_FOLD_MAX] = { PLN_TYPED_ALL(PICK_MAX) },
              [PLN_FOLD_MIN] = { PLN_TYPED_ALL(PICK_MIN) },
              [PLN_FOLD_L1] = NUMBERS(L1),
              [PLN_FOLD_SQUARE] = NUMBERS(SQUARE) },
    .arg_row = { PLN_TYPED_ALL(PICK_ARG_ROW) },
    .arg_rows = { PLN_TYPED_ALL(PICK_ARG_ROWS) },
    .cum_sum = NUMBERS(cum),
    CASTS(PICK_CAST)
    .convert[PLN_DT_S8][PLN_DT_U8] = u8_from_u8,
    .convert[PLN_DT_S8][PLN_DT_F32] = u8_from_f32,
    .convert[PLN_DT_S8][PLN_DT_F64] = u8_from_f64,
    .convert[PLN_DT_S8][PLN_DT_S32] = u8_from_s32,
    .convert[PLN_DT_S8][PLN_DT_S64] = u8_from_s64,
    .convert[PLN_DT_U8][PLN_DT_BOOL] = b8_from_u8,
    .convert[PLN_DT_S8][PLN_DT_BOOL] = b8_from_u8,
    .convert[PLN_DT_BOOL][PLN_DT_S8] = b8_from_u8,
};
