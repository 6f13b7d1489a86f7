/* GatherBlockQuantized of com.microsoft: rows of a quantized table as floats.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/ms_attention.h"
#include "kernels/type_sets.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <stdatomic.h>
#include <string.h>

typedef struct gather_attrs {
    int64_t bits, block_size, quantize_axis, gather_axis;
} gather_attrs;

static const pln_attr_spec gather_spec[] = {
    PLN_A_INT(gather_attrs, bits, 4),
    PLN_A_INT(gather_attrs, block_size, 128),
    PLN_A_INT(gather_attrs, quantize_axis, 1),
    PLN_A_INT(gather_attrs, gather_axis, 0),
    PLN_A_END,
};

enum { DATA, INDICES, SCALES, ZEROS };

typedef struct gather {
    const pln_call *c;
    const pln_tensor *data, *scales, *zeros;
    const float *scale_values;
    int rank, quantize_axis, gather_axis;
    int64_t block, per_byte;          /* values in an element of data */
    int64_t dims[PLN_MAX_RANK];       /* of data, in values */
    int64_t scale_step[PLN_MAX_RANK]; /* 0 where the scales broadcast */
    bool is_packed, is_float;
    int bits;
} gather;

static bool is_float_type(pln_dtype dt)
{
    return dt != PLN_DT_U8 && dt != PLN_DT_U4 && dt != PLN_DT_S4;
}

static pln_status check_form(gather *g, pln_error *err)
{
    const pln_call *c = g->c;
    const gather_attrs *at = c->attrs;
    if (g->rank < 1 || !pln_axis_normal(at->quantize_axis, g->rank, &g->quantize_axis) ||
        !pln_axis_normal(at->gather_axis, g->rank, &g->gather_axis) ||
        g->scales->rank != g->rank)
        return pln_call_fail(c, err, PLN_E_RUN, "the axes do not fit to ranks %d and %d",
                             g->rank, g->scales->rank);
    if (at->block_size != 0
            ? at->block_size < 16 || (at->block_size & (at->block_size - 1))
            : !g->is_float)
        return pln_call_fail(c, err, PLN_E_RUN, "block_size is %lld",
                             (long long)at->block_size);
    if (g->data->dtype != PLN_DT_U8)
        return PLN_OK;
    if ((at->bits != 2 && at->bits != 4 && at->bits != 8) || g->gather_axis != 0 ||
        (at->bits < 8 && g->gather_axis == g->quantize_axis))
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "uint8 data want 2, 4 or 8 bits, and to be gathered along axis "
            "0 and quantized along another");
    g->bits = (int)at->bits;
    g->is_packed = g->bits < 8;
    g->per_byte = 8 / g->bits;
    return PLN_OK;
}

/* The last dimension of packed data counts bytes. */
static pln_status find_dims(gather *g, pln_error *err)
{
    const pln_call *c = g->c;
    const gather_attrs *at = c->attrs;
    int64_t step = 1;
    for (int d = 0; d < g->rank; d++) {
        g->dims[d] = g->data->dims[d];
        if (d == g->rank - 1 && !pln_i64_mul(&g->dims[d], g->dims[d], g->per_byte))
            return pln_oom(err);
    }
    const int64_t along = g->dims[g->quantize_axis];
    g->block = at->block_size ? at->block_size : along > 0 ? along : 1;
    for (int d = g->rank - 1; d >= 0; d--) {
        const int64_t has = g->scales->dims[d];
        const int64_t want =
            d == g->quantize_axis ? (along + g->block - 1) / g->block : g->dims[d];
        if (has != want && !(g->is_float && has == 1 && d != g->quantize_axis))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "scales have %lld in dimension %d, want %lld",
                                 (long long)has, d, (long long)want);
        g->scale_step[d] = has == want ? step : 0;
        step *= has;
    }
    return PLN_OK;
}

static pln_status check_zeros(const gather *g, pln_error *err)
{
    const pln_tensor *z = g->zeros;
    if (!z)
        return PLN_OK;
    bool good = !g->is_float && z->rank == g->rank && z->dtype == g->data->dtype;
    for (int d = 0; good && d < g->rank; d++) {
        const int64_t n = g->scales->dims[d];
        good = z->dims[d] == (d == g->rank - 1 ? (n + g->per_byte - 1) / g->per_byte : n);
    }
    return good ? PLN_OK
                : pln_call_fail(g->c, err, PLN_E_RUN,
                                "zero_points do not fit to the scales");
}

/* ---- one value ------------------------------------------------------------------- */

static float stored(const gather *g, const pln_tensor *t, int64_t row, int64_t width,
                    int64_t i)
{
    if (!g->is_packed)
        return (float)pln_tensor_get_f64(t, row * width + i);
    const int64_t bytes = (width + g->per_byte - 1) / g->per_byte;
    const uint8_t b = PLN_DATA(const uint8_t, t)[row * bytes + i / g->per_byte];
    return (float)((b >> (i % g->per_byte * g->bits)) & ((1 << g->bits) - 1));
}

/* A run of `n` values of the last dimension, from position `at` of the data on. */
static void run_of(const gather *g, const int64_t *at, int64_t n, float *out)
{
    const int last = g->rank - 1;
    const int64_t width = g->dims[last], scales_width = g->scales->dims[last];
    int64_t row = 0, base = 0;
    for (int d = 0; d < last; d++) {
        row = row * g->dims[d] + at[d];
        base += g->scale_step[d] * (d == g->quantize_axis ? at[d] / g->block : at[d]);
    }
    const float fallback = g->data->dtype == PLN_DT_U8 ? (float)(1 << (g->bits - 1)) : 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t s =
            base + g->scale_step[last] * (last == g->quantize_axis ? i / g->block : i);
        const float zero = g->is_float ? 0
                           : g->zeros  ? stored(g, g->zeros, s / scales_width,
                                                scales_width, s % scales_width)
                                       : fallback;
        out[i] = (stored(g, g->data, row, width, i) - zero) * g->scale_values[s];
    }
}

/* ---- all of it ------------------------------------------------------------------- */

typedef struct job {
    const gather *g;
    float *y;
    int64_t outer, picked, inner; /* rows before the axis, indices, rows after it */
    int64_t width; /* of a row: the last dimension, or 1 if that is gathered */
} job;

/* Indices out of range give zeros, as the operator's description says. */
static void rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const gather *g = j->g;
    const int last = g->rank - 1;
    int64_t at[PLN_MAX_RANK];
    for (int64_t l = begin; l < end; l++) {
        int64_t inner = l % j->inner, outer = l / j->inner / j->picked;
        int64_t pick = pln_tensor_get_i64(g->c->in[INDICES], l / j->inner % j->picked);
        float *y = j->y + l * j->width;
        const int64_t n = g->dims[g->gather_axis];
        pick += pick < 0 ? n : 0;
        if (pick < 0 || pick >= n) {
            memset(y, 0, (size_t)j->width * sizeof *y);
            continue;
        }
        for (int d = last - 1; d > g->gather_axis; d--) {
            at[d] = inner % g->dims[d];
            inner /= g->dims[d];
        }
        for (int d = g->gather_axis - 1; d >= 0; d--) {
            at[d] = outer % g->dims[d];
            outer /= g->dims[d];
        }
        at[g->gather_axis] = pick;
        run_of(g, at, j->width, y);
    }
}

/* The gathered axis is the last: single values. */
static void points(const job *j)
{
    const gather *g = j->g;
    const int last = g->rank - 1;
    const int64_t n = g->dims[last], s_width = g->scales->dims[last];
    const float fallback = g->data->dtype == PLN_DT_U8 ? (float)(1 << (g->bits - 1)) : 0;
    for (int64_t l = 0; l < j->outer * j->picked; l++) {
        int64_t pick = pln_tensor_get_i64(g->c->in[INDICES], l % j->picked);
        int64_t outer = l / j->picked, base = 0;
        const int64_t row = outer;
        pick += pick < 0 ? n : 0;
        j->y[l] = 0;
        if (pick < 0 || pick >= n)
            continue;
        for (int d = last - 1; d >= 0; d--) {
            const int64_t at = outer % g->dims[d];
            base += g->scale_step[d] * (d == g->quantize_axis ? at / g->block : at);
            outer /= g->dims[d];
        }
        const int64_t s = base + g->scale_step[last] *
                                     (last == g->quantize_axis ? pick / g->block : pick);
        const float zero = g->is_float ? 0
                           : g->zeros
                               ? stored(g, g->zeros, s / s_width, s_width, s % s_width)
                               : fallback;
        j->y[l] = (stored(g, g->data, row, n, pick) - zero) * g->scale_values[s];
    }
}

static pln_status gather_any(pln_call *c, int threads, pln_error *err)
{
    gather g = { .c = c,
                 .data = c->in[DATA],
                 .scales = c->in[SCALES],
                 .per_byte = 1,
                 .zeros = pln_call_has(c, ZEROS) ? c->in[ZEROS] : NULL,
                 .bits = 8 };
    job j = { .g = &g, .outer = 1, .inner = 1 };
    g.rank = g.data->rank;
    g.is_float = is_float_type((pln_dtype)g.data->dtype);
    PLN_TRY(check_form(&g, err));
    PLN_TRY(find_dims(&g, err));
    PLN_TRY(check_zeros(&g, err));
    PLN_TRY(pln_ms_input(c, SCALES, &g.scale_values, err));
    PLN_TRY(pln_ms_output(c, 0, &j.y, err));
    const bool is_last = g.gather_axis == g.rank - 1;
    j.picked = pln_tensor_size(c->in[INDICES]);
    j.width = is_last ? 1 : g.dims[g.rank - 1];
    for (int d = 0; d < g.gather_axis; d++)
        j.outer *= g.dims[d];
    for (int d = g.gather_axis + 1; d + 1 < g.rank; d++)
        j.inner *= g.dims[d];
    const int64_t n = j.outer * j.picked * j.inner;
    if (j.y && n > 0 && is_last)
        points(&j);
    else if (j.y && n > 0 && j.width > 0)
        pln_parallel_for(threads, n, 4096 / (j.width + 1) + 1, rows, &j);
    pln_ms_store(c, 0, j.y);
    return PLN_OK;
}

static pln_status gather_ref(pln_call *c, pln_error *err)
{
    return gather_any(c, 1, err);
}

static pln_status gather_run(pln_call *c, pln_error *err)
{
    return gather_any(c, c->n_threads, err);
}

static const pln_impl gather_cpu = { "gather_quantized", pln_ms_prepare, gather_run,
                                     NULL };

static pln_status gather_infer(pln_infer *inf, pln_error *err)
{
    const gather_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, DATA), q = pln_infer_rank(inf, INDICES);
    const pln_dtype dt = pln_infer_dtype(inf, SCALES);
    pln_dim dims[2 * PLN_MAX_RANK];
    int axis, n = 0;
    if (rank == PLN_RANK_UNKNOWN || q == PLN_RANK_UNKNOWN) {
        pln_infer_set(inf, 0, dt, pln_shape_unknown());
        return PLN_OK;
    }
    PLN_TRY(pln_infer_axis(inf, at->gather_axis, rank, &axis, err));
    if (rank + q - 1 > PLN_MAX_RANK)
        return pln_infer_fail(inf, err, "the result has rank %d", rank + q - 1);
    const bool is_packed = pln_infer_dtype(inf, DATA) == PLN_DT_U8 && at->bits < 8;
    if (at->bits < 1 || at->bits > 8)
        return pln_infer_fail(inf, err, "bits is %lld", (long long)at->bits);
    for (int d = 0; d < rank; d++) {
        if (d == axis) {
            for (int i = 0; i < q; i++)
                dims[n++] = pln_infer_dim(inf, INDICES, i);
            continue;
        }
        dims[n] = pln_infer_dim(inf, DATA, d);
        if (is_packed && d == rank - 1)
            dims[n] = pln_dim_mul(inf->syms, dims[n], pln_dim_of(8 / at->bits));
        n++;
    }
    pln_ms_infer(inf, 0, dt, n, dims);
    return PLN_OK;
}

const pln_op_desc pln_ops_ms_gather_quantized[] = {
    { .name = "GatherBlockQuantized",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 3, 4 },
      .out = { 1, 1 },
      .types = "D:int4,uint4,uint8,float4e2m1," PLN_TS_F8
               ";I:int32,int64;T:float,float16,bfloat16",
      .sig = "D,I,T,D?->T",
      .attrs = gather_spec,
      .attrs_size = sizeof(gather_attrs),
      .infer = gather_infer,
      .ref = gather_ref,
      .cpu = &gather_cpu },
    { .name = NULL },
};
