/* Clip.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/loop_macros.h"
#include "kernels/block.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "kernels/vec.h"
#include "src/ir/op.h"

#include <float.h>
#include <math.h>

/* Bounds in the working type; the upper one wins where they cross. NaN stays. */
typedef struct bounds {
    double lo_f64, hi_f64;
    float lo_f32, hi_f32;
    int64_t lo_s64, hi_s64;
    uint64_t lo_u64, hi_u64;
} bounds;

/* Bounds that the type can't have are those of the type. */
#define CLIP(s, type, field, low_of, most)                                        \
    static void Clip_##s(void *py, const void *const *px, const int64_t *sx,      \
                         int64_t n, const void *arg)                              \
    {                                                                             \
        const bounds *b = (const bounds *)arg;                                    \
        const type hi = b->hi_##field > (most) ? (most) : (type)b->hi_##field;    \
        const type low = (type)low_of(b->lo_##field);                             \
        const type lo = low > hi ? hi : low;                                      \
        const type *x = (const type *)px[0];                                      \
        type *y = (type *)py;                                                     \
        (void)sx;                                                                 \
        for (int64_t i = 0; i < n; i++) {                                         \
            const type v = x[i], w = v > hi ? hi : v;                             \
            y[i] = w < lo ? lo : w;                                               \
        }                                                                         \
    }
#define LOW_s8(v)  ((v) < INT8_MIN ? INT8_MIN : (v))
#define LOW_s16(v) ((v) < INT16_MIN ? INT16_MIN : (v))
#define LOW_s32(v) ((v) < INT32_MIN ? INT32_MIN : (v))
#define LOW_s64(v) (v)
CLIP(s8, int8_t, s64, LOW_s8, INT8_MAX)
CLIP(s16, int16_t, s64, LOW_s16, INT16_MAX)
CLIP(s32, int32_t, s64, LOW_s32, INT32_MAX)
CLIP(s64, int64_t, s64, LOW_s64, INT64_MAX)
CLIP(u8, uint8_t, u64, , UINT8_MAX)
CLIP(u16, uint16_t, u64, , UINT16_MAX)
CLIP(u32, uint32_t, u64, , UINT32_MAX)
CLIP(u64, uint64_t, u64, , UINT64_MAX)
CLIP(f32, float, f32, , INFINITY)
CLIP(f64, double, f64, , (double)INFINITY)

static const pln_loop_fn Clip_fns[PLN_DT_COUNT] = { PLN_NUM_TYPES(PLN_LOOP_ENTRY, Clip) };

static pln_status one_bound(const pln_call *c, uint32_t i, const pln_tensor **out,
                            pln_error *err)
{
    *out = pln_call_has(c, i) ? c->in[i] : NULL;
    if (*out && pln_tensor_size(*out) != 1)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "input %u has %lld elements, want a scalar", i,
                             (long long)pln_tensor_size(*out));
    return PLN_OK;
}

static pln_status find_bounds(const pln_call *c, bounds *b, pln_error *err)
{
    const pln_tensor *lo, *hi;
    PLN_TRY(one_bound(c, 1, &lo, err));
    PLN_TRY(one_bound(c, 2, &hi, err));
    *b = (bounds){ .lo_f64 = -INFINITY,
                   .hi_f64 = INFINITY,
                   .lo_f32 = -INFINITY,
                   .hi_f32 = INFINITY,
                   .lo_s64 = INT64_MIN,
                   .hi_s64 = INT64_MAX,
                   .lo_u64 = 0,
                   .hi_u64 = UINT64_MAX };
    if (lo) {
        b->lo_f64 = pln_tensor_get_f64(lo, 0);
        b->lo_s64 = pln_tensor_get_i64(lo, 0);
    }
    if (hi) {
        b->hi_f64 = pln_tensor_get_f64(hi, 0);
        b->hi_s64 = pln_tensor_get_i64(hi, 0);
    }
    b->lo_f32 = (float)b->lo_f64;
    b->hi_f32 = (float)b->hi_f64;
    b->lo_u64 = lo ? (uint64_t)b->lo_s64 : 0;
    b->hi_u64 = hi ? (uint64_t)b->hi_s64 : UINT64_MAX;
    return PLN_OK;
}

static pln_status clip_ref(pln_call *c, pln_error *err)
{
    bounds b;
    PLN_TRY(find_bounds(c, &b, err));
    return pln_loop_typed(c, Clip_fns, 1, &b, err);
}

static void Clip_vec(void *y, const void *const *x, const int64_t *sx, int64_t n,
                     const void *arg)
{
    const bounds *b = (const bounds *)arg;
    const float lo = b->lo_f32 < b->hi_f32 ? b->lo_f32 : b->hi_f32;
    (void)sx;
    pln_vec()->clip((float *)y, (const float *)x[0], n, lo, b->hi_f32);
}

static pln_status clip_run(pln_call *c, pln_error *err)
{
    static const pln_loop_fn fns[PLN_DT_COUNT] = { [PLN_DT_F32] = Clip_vec };
    bounds b;
    PLN_TRY(find_bounds(c, &b, err));
    return pln_loop_typed(c, fns, 1, &b, err);
}

static const pln_impl clip_cpu = { "clip", pln_loop_prepare_float, clip_run, NULL };

/* ---- versions ---------------------------------------------------------------------- */

/* The bounds were attributes, float whatever the input was. Absent ones were the limits
 * of float, which absent inputs are as well. */
static pln_status raise_11(pln_node *n, pln_error *err)
{
    static const char *const names[] = { "min", "max" };
    const pln_dtype dt = n->in[0] ? n->in[0]->type.dtype : PLN_DT_NONE;
    for (uint32_t i = 0; i < 2; i++) {
        const pln_attr *a;
        pln_tensor *t = NULL;
        PLN_TRY(pln_raise_attr(n, names[i], PLN_ATTR_FLOAT, &a, err));
        if (!a)
            continue;
        PLN_TRY(pln_tensor_make(n->graph->model->alloc,
                                dt == PLN_DT_F16 || dt == PLN_DT_F64 ? dt : PLN_DT_F32, 0,
                                NULL, &t, err));
        pln_tensor_set_f64(t, 0, a->f);
        pln_node_drop_attr(n, names[i]);
        PLN_TRY(pln_raise_constant(n, names[i], i + 1, t, err));
    }
    return PLN_OK;
}

static pln_status lower_11(pln_node *n, pln_error *err)
{
    const pln_tensor *lo, *hi;
    pln_node_trim_inputs(n);
    if (pln_lower_has(n, 1) && pln_lower_has(n, 2)) {
        PLN_TRY(pln_lower_constant(n, 1, &lo, err));
        PLN_TRY(pln_lower_constant(n, 2, &hi, err));
        if (pln_tensor_size(lo) == 1 && pln_tensor_size(hi) == 1 &&
            !(pln_tensor_get_f64(lo, 0) <= pln_tensor_get_f64(hi, 0)))
            return pln_lower_fail(n, err, "its bounds are in the wrong order");
    }
    PLN_TRY(pln_lower_input_to_float(n, 2, "max", err));
    return pln_lower_input_to_float(n, 1, "min", err);
}

static pln_status raise_6(pln_node *n, pln_error *err)
{
    (void)err;
    pln_node_drop_attr(n, "consumed_inputs");
    return PLN_OK;
}

static const pln_version_change versions[] = { { 6, raise_6, NULL },
                                               { 11, raise_11, lower_11 },
                                               { 0 } };

static pln_dim sym_clip(pln_infer *inf, pln_dim d)
{
    pln_symval b;
    if (pln_infer_has(inf, 1) && pln_infer_ints(inf, 1, &b) && b.n == 1)
        d = pln_dim_max(inf->syms, d, b.v[0]);
    else if (pln_infer_has(inf, 1))
        return pln_dim_unknown();
    if (pln_infer_has(inf, 2) && pln_infer_ints(inf, 2, &b) && b.n == 1)
        d = pln_dim_min(inf->syms, d, b.v[0]);
    else if (pln_infer_has(inf, 2))
        return pln_dim_unknown();
    return d;
}

static pln_status clip_infer(pln_infer *inf, pln_error *err)
{
    pln_symval v;
    PLN_TRY(pln_infer_same(inf, err));
    if (pln_infer_rank(inf, 0) > 1 || !pln_infer_ints(inf, 0, &v))
        return PLN_OK;
    pln_dim *d = PLN_NEW_ARRAY(inf->arena, pln_dim, v.n);
    pln_symval *out = PLN_NEW(inf->arena, pln_symval);
    if (!d || !out)
        return pln_oom(err);
    for (int64_t i = 0; i < v.n; i++)
        d[i] = sym_clip(inf, v.v[i]);
    *out = (pln_symval){ .n = v.n, .v = d };
    inf->out_sym[0] = out;
    return PLN_OK;
}

const pln_op_desc pln_ops_clip[] = {
    { .name = "Clip",
      .domain = "",
      .since = 13,
      .in = { 1, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_ELEMENTWISE | PLN_OP_INPLACE | PLN_OP_CHANNELS_LAST,
      .types = "T:" PLN_TS_NUM,
      .sig = "T,T?,T?->T",
      .infer = clip_infer,
      .ref = clip_ref,
      .cpu = &clip_cpu,
      .versions = versions,
      .expand = pln_expand_clip },
    { .name = NULL },
};
