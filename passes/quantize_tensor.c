/* Weights and biases as integers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/quantize.h"

#include <math.h>

/* Where element i lies along the axis. */
typedef struct along {
    int64_t n, inner;
} along;

static along along_axis(const pln_tensor *t, int axis)
{
    along a = { 1, 1 };
    if (axis < 0)
        return a;
    a.n = t->dims[axis];
    for (int i = axis + 1; i < t->rank; i++)
        a.inner *= t->dims[i];
    return a;
}

static int64_t index_along(along a, int64_t i)
{
    return i / a.inner % a.n;
}

static void find_scales(const pln_tensor *w, along at, int limit, pln_tensor *scale)
{
    float *s = PLN_DATA(float, scale);
    const int64_t n = pln_tensor_size(w);
    for (int64_t i = 0; i < at.n; i++)
        s[i] = 0;
    for (int64_t i = 0; i < n; i++) {
        const float v = fabsf((float)pln_tensor_get_f64(w, i));
        float *top = &s[index_along(at, i)];
        *top = v > *top ? v : *top;
    }
    for (int64_t i = 0; i < at.n; i++) {
        s[i] /= (float)limit;
        if (!(s[i] >= 1e-30f)) /* all zero: any scale will do */
            s[i] = 1;
    }
}

pln_status pln_quant_weights(const pln_allocator *a, pln_tensor *w, int axis, int limit,
                             pln_tensor **q, pln_tensor **scale, pln_error *err)
{
    *q = *scale = NULL;
    const along at = along_axis(w, axis);
    PLN_TRY(pln_tensor_materialize(w, err));
    pln_status st = pln_tensor_make(a, PLN_DT_F32, axis < 0 ? 0 : 1, &at.n, scale, err);
    if (st == PLN_OK)
        st = pln_tensor_make(a, PLN_DT_S8, w->rank, w->dims, q, err);
    if (st != PLN_OK) {
        pln_tensor_unref(*scale);
        *scale = NULL;
        return st;
    }
    find_scales(w, at, limit, *scale);
    const float *s = PLN_DATA(const float, *scale);
    int8_t *out = PLN_DATA(int8_t, *q);
    const int64_t n = pln_tensor_size(w);
    for (int64_t i = 0; i < n; i++) {
        const double v = nearbyint(pln_tensor_get_f64(w, i) / s[index_along(at, i)]);
        out[i] = (int8_t)(v > limit ? limit : v < -limit ? -limit : v);
    }
    return PLN_OK;
}

pln_status pln_quant_bias(const pln_allocator *a, pln_tensor *b, float input_scale,
                          const pln_tensor *scale, pln_tensor **q, pln_tensor **q_scale,
                          pln_error *err)
{
    *q = *q_scale = NULL;
    const int64_t n = pln_tensor_size(b), n_scale = pln_tensor_size(scale);
    PLN_TRY(pln_tensor_materialize(b, err));
    pln_status st =
        pln_tensor_make(a, PLN_DT_F32, scale->rank, scale->dims, q_scale, err);
    if (st == PLN_OK)
        st = pln_tensor_make(a, PLN_DT_S32, 1, &n, q, err);
    for (int64_t i = 0; st == PLN_OK && i < n_scale; i++)
        PLN_DATA(float, *q_scale)[i] = input_scale * PLN_DATA(const float, scale)[i];
    for (int64_t i = 0; st == PLN_OK && i < n; i++) {
        const float s = PLN_DATA(const float, *q_scale)[n_scale == 1 ? 0 : i];
        const double v = nearbyint(pln_tensor_get_f64(b, i) / s);
        if (fabs(v) <= INT32_MAX)
            PLN_DATA(int32_t, *q)[i] = (int32_t)v;
        else
            st = PLN_E_UNSUPPORTED;
    }
    if (st != PLN_OK) {
        pln_tensor_unref(*q);
        pln_tensor_unref(*q_scale);
        *q = *q_scale = NULL;
    }
    return st;
}
