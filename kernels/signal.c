/* DFT, STFT, the windows, MelWeightMatrix and Det.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/expand.h"
#include "kernels/fft.h"
#include "kernels/move.h"
#include "kernels/raise.h"

/* Contents of a scalar input where they are known. */
static pln_dim scalar_dim(pln_infer *inf, uint32_t i)
{
    pln_symval v;
    const pln_tensor *t = pln_move_infer_cst(inf, i);
    if (t && pln_tensor_size(t) == 1)
        return pln_dim_of(pln_tensor_get_i64(t, 0));
    return pln_infer_ints(inf, i, &v) && v.n == 1 ? v.v[0] : pln_dim_unknown();
}

static pln_status scalar_of(const pln_call *c, uint32_t i, int64_t *out, pln_error *err)
{
    if (pln_tensor_size(c->in[i]) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u is no single number", i);
    *out = pln_tensor_get_i64(c->in[i], 0);
    return PLN_OK;
}

/* ---- DFT ------------------------------------------------------------------------- */

typedef struct dft_attrs {
    int64_t inverse, onesided;
} dft_attrs;

static const pln_attr_spec dft_spec[] = {
    PLN_A_INT(dft_attrs, inverse, 0),
    PLN_A_INT(dft_attrs, onesided, 0),
    PLN_A_END,
};

/* The axis is counted over all dimensions; the last one holds the parts of a number. */
static bool dft_axis(int64_t axis, int rank, int *out)
{
    axis += axis < 0 ? rank : 0;
    *out = (int)axis;
    return axis >= 0 && axis < rank - 1;
}

static pln_status dft_infer(pln_infer *inf, pln_error *err)
{
    const dft_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    const pln_dim at = pln_infer_has(inf, 2) ? scalar_dim(inf, 2) : pln_dim_of(-2);
    pln_shape out = pln_move_infer_like(inf, 0);
    if (rank < 2)
        return pln_infer_fail(inf, err, "input has rank %d, want 2 or more", rank);
    out.dims[rank - 1] = pln_dim_of(a->inverse && a->onesided ? 1 : 2);
    if (!pln_dim_is_known(at)) {
        for (int i = 0; i < rank - 1; i++)
            out.dims[i] = pln_dim_unknown();
        pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
        return PLN_OK;
    }
    int axis;
    if (!dft_axis(at.value, rank, &axis))
        return pln_infer_fail(inf, err, "axis %lld of rank %d", (long long)at.value,
                              rank);
    pln_dim n = out.dims[axis];
    if (a->inverse && a->onesided)
        n = pln_dim_mul(inf->syms, pln_dim_sub(inf->syms, n, pln_dim_of(1)),
                        pln_dim_of(2));
    if (pln_infer_has(inf, 1))
        n = scalar_dim(inf, 1);
    if (pln_dim_is_known(n) && n.value < 1)
        return pln_infer_fail(inf, err, "a transform of length %lld", (long long)n.value);
    if (a->onesided && !a->inverse)
        n = pln_dim_add(inf->syms, pln_dim_div(inf->syms, n, pln_dim_of(2)),
                        pln_dim_of(1));
    out.dims[axis] = n;
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

typedef struct dft_job {
    const pln_tensor *x;
    pln_tensor *y;
    pln_fft *fft;
    double *line;           /* [n] pairs */
    int64_t n;              /* length of the transform */
    int64_t in, out, inner; /* sizes of the axis, and of what lies behind it */
    int parts, out_parts;
    bool inverse, hermitian;
} dft_job;

static void dft_load(const dft_job *j, int64_t outer, int64_t i)
{
    const int64_t half = j->n / 2 + 1;
    const int64_t have = j->hermitian && half < j->in ? half : j->in;
    memset(j->line, 0, (size_t)j->n * 2 * sizeof *j->line);
    for (int64_t k = 0; k < have && k < j->n; k++) {
        const int64_t at = ((outer * j->in + k) * j->inner + i) * j->parts;
        j->line[2 * k] = pln_tensor_get_f64(j->x, at);
        j->line[2 * k + 1] = j->parts == 2 ? pln_tensor_get_f64(j->x, at + 1) : 0;
    }
    for (int64_t k = 1; j->hermitian && k < (j->n + 1) / 2; k++) {
        j->line[2 * (j->n - k)] = j->line[2 * k];
        j->line[2 * (j->n - k) + 1] = -j->line[2 * k + 1];
    }
}

static void dft_lines(const dft_job *j, int64_t outer)
{
    const double scale = j->inverse ? 1 / (double)j->n : 1;
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < j->inner; i++) {
            dft_load(j, o, i);
            pln_fft_run(j->fft, j->line, j->inverse);
            for (int64_t k = 0; k < j->out; k++)
                for (int p = 0; p < j->out_parts; p++)
                    pln_tensor_set_f64(
                        j->y, ((o * j->out + k) * j->inner + i) * j->out_parts + p,
                        j->line[2 * k + p] * scale);
        }
    }
}

static pln_status dft_run(pln_call *c, pln_error *err)
{
    const dft_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    int64_t at = -2;
    int axis = 0;
    if (pln_call_has(c, 2))
        PLN_TRY(scalar_of(c, 2, &at, err));
    if (!dft_axis(at, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld of rank %d", (long long)at,
                             (int)x->rank);
    PLN_TRY(pln_move_ready(c, err));
    dft_job j = { .x = x,
                  .y = c->out[0],
                  .inverse = a->inverse != 0,
                  .hermitian = a->inverse && a->onesided };
    j.parts = (int)x->dims[x->rank - 1];
    j.out_parts = (int)c->out[0]->dims[x->rank - 1];
    if (j.parts != 1 && j.parts != 2)
        return pln_call_fail(c, err, PLN_E_RUN, "the last dimension is %d, want 1 or 2",
                             j.parts);
    j.in = x->dims[axis];
    j.out = c->out[0]->dims[axis];
    j.inner = pln_move_count(x->dims, axis + 1, x->rank - 1);
    j.n = j.hermitian ? 2 * (j.in - 1) : j.in;
    if (pln_call_has(c, 1))
        PLN_TRY(scalar_of(c, 1, &j.n, err));
    const int64_t want = a->onesided && !a->inverse ? j.n / 2 + 1 : j.n;
    if (j.n < 1 || j.out != want)
        return pln_call_fail(c, err, PLN_E_RUN, "a transform of length %lld",
                             (long long)j.n);
    j.fft = pln_fft_new(pln_call_allocator(c), j.n);
    j.line = pln_call_scratch(c, (size_t)j.n * 2 * sizeof *j.line);
    if (j.fft && j.line)
        dft_lines(&j, pln_move_count(x->dims, 0, axis));
    const bool done = j.fft && j.line;
    pln_fft_free(j.fft);
    return done ? PLN_OK : pln_oom(err);
}

/* Before version 20 the axis was an attribute, 1 by default. */
static pln_status dft_raise_20(pln_node *n, pln_error *err)
{
    if (!pln_node_find_attr(n, "axis") && pln_node_set_int(n, "axis", 1) != PLN_OK)
        return pln_oom(err);
    return pln_raise_int_to_input(n, "axis", 2, 0, err);
}

static pln_status dft_lower_20(pln_node *n, pln_error *err)
{
    const pln_attr *inverse = pln_node_find_attr(n, "inverse");
    const pln_attr *onesided = pln_node_find_attr(n, "onesided");
    if (inverse && inverse->i && onesided && onesided->i)
        return pln_lower_fail(n, err, "the older version has no onesided inverse");
    if (pln_lower_has(n, 2))
        return pln_lower_input_to_int(n, 2, "axis", err);
    const pln_shape s = n->in[0]->type.shape;
    if (s.rank < 2)
        return pln_lower_fail(n, err, "the rank is not known");
    return pln_node_set_int(n, "axis", s.rank - 2) == PLN_OK ? PLN_OK : pln_oom(err);
}

static const pln_version_change dft_versions[] = {
    { 20, dft_raise_20, dft_lower_20 },
    { 0 },
};

/* ---- STFT ------------------------------------------------------------------------ */

typedef struct stft_attrs {
    int64_t onesided;
} stft_attrs;

static const pln_attr_spec stft_spec[] = {
    PLN_A_INT(stft_attrs, onesided, 1),
    PLN_A_END,
};

static pln_status stft_infer(pln_infer *inf, pln_error *err)
{
    const stft_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank != PLN_RANK_UNKNOWN && rank != 2 && rank != 3)
        return pln_infer_fail(inf, err, "the signal has rank %d, want 3", rank);
    const pln_dim step = scalar_dim(inf, 1);
    pln_dim frame = pln_dim_unknown(), frames = pln_dim_unknown();
    if (pln_infer_has(inf, 3))
        frame = scalar_dim(inf, 3);
    else if (pln_infer_has(inf, 2) && pln_infer_rank(inf, 2) == 1)
        frame = pln_infer_dim(inf, 2, 0);
    if (rank != PLN_RANK_UNKNOWN && pln_dim_is_known(step) && step.value > 0)
        frames = pln_dim_add(
            inf->syms,
            pln_dim_div(inf->syms,
                        pln_dim_sub(inf->syms, pln_infer_dim(inf, 0, 1), frame), step),
            pln_dim_of(1));
    if (pln_dim_is_known(frames) && frames.value < 0)
        frames.value = 0;
    pln_shape out = pln_infer_shape(inf, 4);
    out.dims[0] = rank == PLN_RANK_UNKNOWN ? pln_dim_unknown() : pln_infer_dim(inf, 0, 0);
    out.dims[1] = frames;
    out.dims[2] =
        a->onesided ? pln_dim_add(inf->syms, pln_dim_div(inf->syms, frame, pln_dim_of(2)),
                                  pln_dim_of(1))
                    : frame;
    out.dims[3] = pln_dim_of(2);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static void stft_frames(const pln_tensor *x, const pln_tensor *window, pln_tensor *y,
                        pln_fft *fft, double *line, int64_t step, int64_t frame)
{
    const int64_t length = x->dims[1], parts = x->rank == 3 ? x->dims[2] : 1;
    const int64_t bins = y->dims[2];
    for (int64_t p = 0; p < y->dims[0] * y->dims[1]; p++) {
        const int64_t from = p / y->dims[1] * length + p % y->dims[1] * step;
        for (int64_t k = 0; k < frame; k++) {
            const double w = window ? pln_tensor_get_f64(window, k) : 1;
            const int64_t at = (from + k) * parts;
            line[2 * k] = pln_tensor_get_f64(x, at) * w;
            line[2 * k + 1] = parts == 2 ? pln_tensor_get_f64(x, at + 1) * w : 0;
        }
        pln_fft_run(fft, line, false);
        for (int64_t k = 0; k < 2 * bins; k++)
            pln_tensor_set_f64(y, p * 2 * bins + k, line[k]);
    }
}

static pln_status stft_run(pln_call *c, pln_error *err)
{
    const stft_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *window = pln_call_has(c, 2) ? c->in[2] : NULL;
    int64_t step = 0, frame = window ? pln_tensor_size(window) : x->dims[1];
    PLN_TRY(scalar_of(c, 1, &step, err));
    if (pln_call_has(c, 3))
        PLN_TRY(scalar_of(c, 3, &frame, err));
    if (step < 1 || frame < 1 || frame > x->dims[1] ||
        (window && pln_tensor_size(window) != frame) ||
        (x->rank == 3 && x->dims[2] != 1 && x->dims[2] != 2))
        return pln_call_fail(c, err, PLN_E_RUN, "frames of %lld every %lld of %lld",
                             (long long)frame, (long long)step, (long long)x->dims[1]);
    const int64_t dims[4] = { x->dims[0], (x->dims[1] - frame) / step + 1,
                              a->onesided ? frame / 2 + 1 : frame, 2 };
    PLN_TRY(pln_move_output(c, 0, x->dtype, 4, dims, err));
    pln_fft *fft = pln_fft_new(pln_call_allocator(c), frame);
    double *line = pln_call_scratch(c, (size_t)frame * 2 * sizeof *line);
    const bool ok = fft && line;
    if (ok)
        stft_frames(x, window, c->out[0], fft, line, step, frame);
    pln_fft_free(fft);
    return ok ? PLN_OK : pln_oom(err);
}

/* ---- windows --------------------------------------------------------------------- */

typedef struct window_attrs {
    int64_t output_datatype, periodic;
} window_attrs;

static const pln_attr_spec window_spec[] = {
    PLN_A_INT(window_attrs, output_datatype, PLN_DT_F32),
    PLN_A_INT(window_attrs, periodic, 1),
    PLN_A_END,
};

static pln_status window_infer(pln_infer *inf, pln_error *err)
{
    const window_attrs *a = inf->attrs;
    pln_shape out = pln_infer_shape(inf, 1);
    out.dims[0] = scalar_dim(inf, 0);
    if (pln_dim_is_known(out.dims[0]) && out.dims[0].value < 0)
        return pln_infer_fail(inf, err, "size is %lld", (long long)out.dims[0].value);
    pln_infer_set(inf, 0, (pln_dtype)a->output_datatype, out);
    return PLN_OK;
}

/* a0 - a1 cos(t) + a2 cos(2t) */
static pln_status window_run(pln_call *c, double a0, double a1, double a2, pln_error *err)
{
    const window_attrs *a = c->attrs;
    int64_t n = 0;
    PLN_TRY(scalar_of(c, 0, &n, err));
    if (n < 0)
        return pln_call_fail(c, err, PLN_E_RUN, "size is %lld", (long long)n);
    PLN_TRY(pln_move_output(c, 0, (pln_dtype)a->output_datatype, 1, &n, err));
    const double period = (double)(a->periodic ? n : n - 1);
    for (int64_t i = 0; i < n; i++) {
        const double t = period > 0 ? 2 * M_PI * (double)i / period : M_PI;
        pln_tensor_set_f64(c->out[0], i, a0 - a1 * cos(t) + a2 * cos(2 * t));
    }
    return PLN_OK;
}

static pln_status hann_run(pln_call *c, pln_error *err)
{
    return window_run(c, 0.5, 0.5, 0, err);
}

static pln_status hamming_run(pln_call *c, pln_error *err)
{
    return window_run(c, 25.0 / 46, 21.0 / 46, 0, err);
}

static pln_status blackman_run(pln_call *c, pln_error *err)
{
    return window_run(c, 0.42, 0.5, 0.08, err);
}

/* ---- MelWeightMatrix ------------------------------------------------------------- */

static const pln_attr_spec mel_spec[] = {
    PLN_A_INT(window_attrs, output_datatype, PLN_DT_F32),
    PLN_A_END,
};

static pln_status mel_infer(pln_infer *inf, pln_error *err)
{
    const window_attrs *a = inf->attrs;
    pln_shape out = pln_infer_shape(inf, 2);
    out.dims[0] =
        pln_dim_add(inf->syms, pln_dim_div(inf->syms, scalar_dim(inf, 1), pln_dim_of(2)),
                    pln_dim_of(1));
    out.dims[1] = scalar_dim(inf, 0);
    for (int i = 0; i < 2; i++)
        if (pln_dim_is_known(out.dims[i]) && out.dims[i].value < 0)
            return pln_infer_fail(inf, err, "num_mel_bins or dft_length is negative");
    pln_infer_set(inf, 0, (pln_dtype)a->output_datatype, out);
    return PLN_OK;
}

static double mel_of(double hertz)
{
    return 2595 * log1p(hertz / 700) / M_LN10;
}

/* Spectrogram bin of edge i. */
static int64_t mel_bin(int64_t i, double low, double step, double dft, double rate)
{
    const double hertz = 700 * expm1(((double)i * step + low) / 2595 * M_LN10);
    return (int64_t)floor((dft + 1) * hertz / rate);
}

static void mel_set(pln_tensor *y, int64_t row, int64_t col, double v)
{
    if (row >= 0 && row < y->dims[0])
        pln_tensor_set_f64(y, row * y->dims[1] + col, v);
}

static pln_status mel_run(pln_call *c, pln_error *err)
{
    const window_attrs *a = c->attrs;
    int64_t bins = 0, dft = 0, rate = 0;
    PLN_TRY(scalar_of(c, 0, &bins, err));
    PLN_TRY(scalar_of(c, 1, &dft, err));
    PLN_TRY(scalar_of(c, 2, &rate, err));
    const double low =
        pln_tensor_size(c->in[3]) == 1 ? mel_of(pln_tensor_get_f64(c->in[3], 0)) : NAN;
    const double high =
        pln_tensor_size(c->in[4]) == 1 ? mel_of(pln_tensor_get_f64(c->in[4], 0)) : NAN;
    if (bins < 0 || dft < 0 || rate < 1 || !isfinite(low) || !isfinite(high) ||
        bins > INT32_MAX || dft > INT32_MAX)
        return pln_call_fail(c, err, PLN_E_RUN, "sizes, rate or edges are out of range");
    const int64_t dims[2] = { dft / 2 + 1, bins };
    PLN_TRY(pln_move_output(c, 0, (pln_dtype)a->output_datatype, 2, dims, err));
    pln_tensor *y = c->out[0];
    if (pln_tensor_size(y) > 0)
        memset(y->data, 0, pln_move_bytes_of(y));
    const double step = (high - low) / (double)(bins + 2);
    for (int64_t i = 0; i < bins; i++) {
        const int64_t left = mel_bin(i, low, step, (double)dft, (double)rate);
        const int64_t center = mel_bin(i + 1, low, step, (double)dft, (double)rate);
        const int64_t right = mel_bin(i + 2, low, step, (double)dft, (double)rate);
        const int64_t top = right < dims[0] ? right : dims[0];
        if (center == left)
            mel_set(y, center, i, 1);
        for (int64_t j = left < 0 ? 0 : left; center > left && j <= center && j < dims[0];
             j++)
            mel_set(y, j, i, (double)(j - left) / (double)(center - left));
        for (int64_t j = center < 0 ? 0 : center; right > center && j < top; j++)
            mel_set(y, j, i, (double)(right - j) / (double)(right - center));
    }
    return PLN_OK;
}

/* ---- Det ------------------------------------------------------------------------- */

static pln_status det_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (rank < 2 || pln_dim_differ(inf->syms, pln_infer_dim(inf, 0, rank - 1),
                                   pln_infer_dim(inf, 0, rank - 2)))
        return pln_infer_fail(inf, err, "the input is no square matrix");
    pln_shape out = pln_move_infer_like(inf, 0);
    out.rank = rank - 2;
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* Elimination with the largest pivot of each column. */
static double det_of(double *m, int64_t n)
{
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++)
            best = fabs(m[i * n + k]) > fabs(m[best * n + k]) ? i : best;
        const double pivot = m[best * n + k];
        if (pivot == 0)
            return 0;
        for (int64_t j = 0; best != k && j < n; j++) {
            const double t = m[k * n + j];
            m[k * n + j] = m[best * n + j];
            m[best * n + j] = t;
        }
        det *= best != k ? -pivot : pivot;
        for (int64_t i = k + 1; i < n; i++) {
            const double f = m[i * n + k] / pivot;
            for (int64_t j = k; j < n; j++)
                m[i * n + j] -= f * m[k * n + j];
        }
    }
    return det;
}

static pln_status det_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const int64_t n = x->dims[x->rank - 1], count = pln_tensor_size(c->out[0]);
    double *m = pln_call_scratch(c, (size_t)(n * n + 1) * sizeof *m);
    if (!m)
        return pln_oom(err);
    for (int64_t b = 0; b < count; b++) {
        for (int64_t i = 0; i < n * n; i++)
            m[i] = pln_tensor_get_f64(x, b * n * n + i);
        pln_tensor_set_f64(c->out[0], b, det_of(m, n));
    }
    return PLN_OK;
}

#define WINDOW(op, fn)                                                                  \
    {                                                                                   \
        .name = op, .domain = "", .since = 17, .in = { 1, 1 }, .out = { 1, 1 },         \
        .types = "I:" PLN_TS_IND ";T:" PLN_TS_NUM, .sig = "I->T", .attrs = window_spec, \
        .attrs_size = sizeof(window_attrs), .infer = window_infer, .ref = fn,           \
        .expand = pln_expand_window                                                     \
    }

const pln_op_desc pln_ops_signal[] = {
    { .name = "DFT",
      .domain = "",
      .since = 20,
      .in = { 1, 3 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT ";I:" PLN_TS_IND,
      .sig = "T,I?,int64?->T",
      .attrs = dft_spec,
      .attrs_size = sizeof(dft_attrs),
      .infer = dft_infer,
      .ref = dft_run,
      .versions = dft_versions },
    { .name = "STFT",
      .domain = "",
      .since = 17,
      .in = { 2, 4 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT ";I:" PLN_TS_IND,
      .sig = "T,I,T?,I?->T",
      .attrs = stft_spec,
      .attrs_size = sizeof(stft_attrs),
      .infer = stft_infer,
      .ref = stft_run },
    WINDOW("HannWindow", hann_run),
    WINDOW("HammingWindow", hamming_run),
    WINDOW("BlackmanWindow", blackman_run),
    { .name = "MelWeightMatrix",
      .domain = "",
      .since = 17,
      .in = { 5, 5 },
      .out = { 1, 1 },
      .types = "I:" PLN_TS_IND ";F:" PLN_TS_FLOAT ";T:" PLN_TS_NUM,
      .sig = "I,I,I,F,F->T",
      .attrs = mel_spec,
      .attrs_size = sizeof(window_attrs),
      .infer = mel_infer,
      .ref = mel_run },
    { .name = "Det",
      .domain = "",
      .since = 22,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T->T",
      .infer = det_infer,
      .ref = det_run },
    { .name = NULL },
};
