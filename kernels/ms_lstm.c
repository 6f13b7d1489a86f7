/* DynamicQuantizeLSTM of com.microsoft: an LSTM whose inputs and hidden states are
 * quantized on the way, each step's for the whole batch, and multiplied with 8-bit
 * weights. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/gemm_int.h"
#include "kernels/quant_fused.h"
#include "kernels/rnn.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

enum { X, W, R, B, LENS, H0, C0, P, W_SCALE, W_ZERO, R_SCALE, R_ZERO };

/* One matrix of weights [k][4 hidden] of each direction. */
typedef struct weights {
    const pln_tensor *t, *scale, *zero;
    const unsigned char *packed; /* for the fast product; NULL: the reference's */
    size_t each;
    int64_t k;
} weights;

typedef struct lstm {
    pln_call *c;
    const pln_rnn_attrs *a;
    int64_t steps, batch, input, hidden, gates; /* gates: 4 hidden */
    int64_t used; /* steps that some lane takes: their inputs share their levels */
    const int32_t *lens;
    weights w, r;
    const pln_igemm_fns *fns;
    float *xw, *h, *cell, *g, *t; /* of one direction */
    uint8_t *bytes;
    int32_t *sums;
} lstm;

/* ---- products -------------------------------------------------------------------- */

static float scale_of(const weights *w, int64_t d, int64_t n, int64_t j)
{
    const float *s = PLN_DATA(const float, w->scale);
    return w->scale->rank == 2 ? s[d * n + j] : s[d];
}

static void zeros_of(const weights *w, int64_t d, int64_t n, pln_zero *z)
{
    *z = (pln_zero){ .batch = 1, .len = 1 };
    if (!w->zero)
        return;
    const bool columns = w->zero->rank == 2;
    z->v = PLN_DATA(const uint8_t, w->zero) + d * (columns ? n : 1);
    z->flip = pln_byte_flip((pln_dtype)w->zero->dtype);
    z->step = columns;
    z->len = columns ? n : 1;
}

static void exact_product(const lstm *s, const weights *w, int64_t d, int64_t rows,
                          uint8_t zero)
{
    const int64_t n = s->gates;
    const pln_zero a_zero = { .v = &zero, .batch = 1, .len = 1 };
    pln_zero b_zero;
    zeros_of(w, d, n, &b_zero);
    const uint8_t *b = PLN_DATA(const uint8_t, w->t) + d * w->k * n;
    if (!w->packed) {
        pln_tensor ta = { .dtype = PLN_DT_U8, .data = s->bytes }, tb = *w->t;
        const pln_mm g = { .m = rows,
                           .n = n,
                           .k = w->k,
                           .batch = 1,
                           .a_rs = w->k,
                           .a_cs = 1,
                           .b_rs = n,
                           .b_cs = 1 };
        tb.data = (void *)(uintptr_t)b;
        pln_int_mm_ref(s->c, &g, &ta, &tb, &a_zero, &b_zero, s->sums);
        return;
    }
    const pln_igemm_job j = { .fns = s->fns,
                              .m = rows,
                              .n = n,
                              .k = w->k,
                              .a = s->bytes,
                              .a_rs = w->k,
                              .a_cs = 1,
                              .b_flip = pln_byte_flip((pln_dtype)w->t->dtype),
                              .b = pln_igemm_view(s->fns, w->packed + (size_t)d * w->each,
                                                  w->k, n),
                              .a_zero = &a_zero,
                              .b_zero = &b_zero,
                              .c = s->sums,
                              .ldc = n };
    pln_igemm_parallel(&j, s->c->n_threads);
}

/* y[rows][gates] += x[rows][k] w, x quantized as a whole. */
static void add_product(const lstm *s, const weights *w, int64_t d, const float *x,
                        int64_t rows, float *y)
{
    float scale;
    uint8_t zero;
    if (rows == 0)
        return;
    pln_q_dynamic(x, rows * w->k, s->bytes, &scale, &zero);
    exact_product(s, w, d, rows, zero);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < s->gates; j++)
            y[i * s->gates + j] +=
                (float)s->sums[i * s->gates + j] * (scale * scale_of(w, d, s->gates, j));
}

/* ---- cells ----------------------------------------------------------------------- */

/* The cell's own activation (2) is not clipped: so ONNX Runtime has it. */
static void gate(const lstm *s, int64_t d, int act, float *v)
{
    const pln_rnn_act *a = &s->a->act[d * s->a->n_acts + act];
    const float m = s->a->clip;
    for (int64_t i = 0; i < s->hidden; i++) {
        if (s->a->has_clip && m > 0 && act < 2)
            v[i] = v[i] > m ? m : v[i] < -m ? -m : v[i];
        v[i] = (float)a->fn((double)v[i], (double)a->alpha, (double)a->beta);
    }
}

/* Gates i, o, f, c of one lane. */
static void cell(const lstm *s, int64_t d, float *g, float *h, float *c, float *t)
{
    const int64_t n = s->hidden;
    const pln_tensor *peep = pln_call_has(s->c, P) ? s->c->in[P] : NULL;
    const float *p = peep ? PLN_DATA(const float, peep) + d * 3 * n : NULL;
    float *gi = g, *go = g + n, *gf = g + 2 * n, *gc = g + 3 * n;
    for (int64_t i = 0; p && i < n; i++) {
        gi[i] += p[i] * c[i];
        gf[i] += p[2 * n + i] * c[i];
    }
    gate(s, d, 0, gi);
    if (!s->a->input_forget)
        gate(s, d, 0, gf);
    gate(s, d, 1, gc);
    for (int64_t i = 0; i < n; i++) {
        if (s->a->input_forget)
            gf[i] = 1 - gi[i];
        c[i] = gf[i] * c[i] + gi[i] * gc[i];
        t[i] = c[i];
        go[i] += p ? p[n + i] * c[i] : 0;
    }
    gate(s, d, 0, go);
    gate(s, d, 2, t);
    for (int64_t i = 0; i < n; i++)
        h[i] = go[i] * t[i];
}

typedef struct step {
    const lstm *s;
    int64_t d, i;
} step;

static void run_lanes(void *arg, int64_t begin, int64_t end)
{
    const step *p = arg;
    const lstm *s = p->s;
    const int64_t n = s->hidden;
    const bool reverse = s->a->direction == 1 || p->d == 1;
    const int64_t dirs = s->a->direction == 2 ? 2 : 1;
    for (int64_t b = begin; b < end; b++) {
        const int64_t len = s->lens ? s->lens[b] : s->steps;
        const bool past = p->i >= len;
        const int64_t at = past ? p->i : reverse ? len - 1 - p->i : p->i;
        float *h = s->h + b * n;
        if (!past) {
            float *g = s->g + b * s->gates;
            const float *xw = s->xw + (at * s->batch + b) * s->gates;
            for (int64_t j = 0; j < s->gates; j++)
                g[j] += xw[j];
            cell(s, p->d, g, h, s->cell + b * n, s->t + b * n);
        }
        if (!pln_call_wants(s->c, 0))
            continue;
        float *y =
            PLN_DATA(float, s->c->out[0]) + ((at * dirs + p->d) * s->batch + b) * n;
        for (int64_t j = 0; j < n; j++)
            y[j] = past ? 0 : h[j];
    }
}

static void load_state(const lstm *s, uint32_t i, int64_t d, float *v)
{
    const size_t n = (size_t)(s->batch * s->hidden);
    if (pln_call_has(s->c, i))
        memcpy(v, PLN_DATA(const float, s->c->in[i]) + (size_t)d * n, n * sizeof *v);
    else
        memset(v, 0, n * sizeof *v);
}

static void run_direction(const lstm *s, int64_t d)
{
    const size_t state = (size_t)(s->batch * s->hidden) * sizeof(float);
    const int64_t rows = s->used * s->batch, n = s->gates;
    const float *bias =
        pln_call_has(s->c, B) ? PLN_DATA(const float, s->c->in[B]) + d * 2 * n : NULL;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++)
            s->xw[i * n + j] = bias ? bias[j] + bias[n + j] : 0;
    add_product(s, &s->w, d, PLN_DATA(const float, s->c->in[X]), rows, s->xw);
    load_state(s, H0, d, s->h);
    load_state(s, C0, d, s->cell);
    for (int64_t i = 0; i < s->steps; i++) {
        step p = { s, d, i };
        memset(s->g, 0, (size_t)(s->batch * n) * sizeof *s->g);
        add_product(s, &s->r, d, s->h, s->batch, s->g);
        pln_parallel_for(s->c->n_threads, s->batch, 1 + 2000 / (n + 1), run_lanes, &p);
    }
    if (pln_call_wants(s->c, 1))
        memcpy((char *)s->c->out[1]->data + (size_t)d * state, s->h, state);
    if (pln_call_wants(s->c, 2))
        memcpy((char *)s->c->out[2]->data + (size_t)d * state, s->cell, state);
}

/* ---- checks ---------------------------------------------------------------------- */

static pln_status fail_input(const pln_call *c, uint32_t i, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN, "input %u has a shape that does not fit", i);
}

static bool has_dims(const pln_call *c, uint32_t i, int rank, const int64_t *dims)
{
    if (!pln_call_has(c, i))
        return true;
    return c->in[i]->rank == rank &&
           memcmp(c->in[i]->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

static pln_status set_weights(const pln_call *c, uint32_t at, uint32_t scale,
                              int64_t dirs, int64_t k, int64_t n, weights *w,
                              pln_error *err)
{
    *w = (weights){ .t = c->in[at], .k = k };
    for (uint32_t i = scale; i < scale + 2; i++) {
        const pln_tensor *t = pln_call_has(c, i) ? c->in[i] : NULL;
        if (!t && i == scale)
            return fail_input(c, i, err);
        if (t && !has_dims(c, i, 1, (const int64_t[]){ dirs }) &&
            !has_dims(c, i, 2, (const int64_t[]){ dirs, n }))
            return fail_input(c, i, err);
        *(i == scale ? &w->scale : &w->zero) = t;
    }
    return has_dims(c, at, 3, (const int64_t[]){ dirs, k, n }) ? PLN_OK
                                                               : fail_input(c, at, err);
}

static pln_status set_sizes(pln_call *c, lstm *s, pln_error *err)
{
    const pln_rnn_attrs *a = c->attrs;
    const pln_tensor *x = c->in[X], *r = c->in[R];
    const int64_t dirs = a->direction == 2 ? 2 : 1;
    *s = (lstm){ .c = c, .a = a, .fns = pln_igemm() };
    if (x->rank != 3 || r->rank != 3 || r->dims[1] < 1 ||
        (a->hidden_size && a->hidden_size != r->dims[1]))
        return fail_input(c, x->rank != 3 ? X : R, err);
    s->steps = x->dims[0], s->batch = x->dims[1], s->input = x->dims[2];
    s->hidden = r->dims[1];
    if (!pln_i64_mul(&s->gates, s->hidden, 4))
        return fail_input(c, R, err);
    PLN_TRY(set_weights(c, W, W_SCALE, dirs, s->input, s->gates, &s->w, err));
    PLN_TRY(set_weights(c, R, R_SCALE, dirs, s->hidden, s->gates, &s->r, err));
    const int64_t state[] = { dirs, s->batch, s->hidden };
    if (!has_dims(c, B, 2, (const int64_t[]){ dirs, 2 * s->gates }))
        return fail_input(c, B, err);
    if (!has_dims(c, LENS, 1, (const int64_t[]){ s->batch }))
        return fail_input(c, LENS, err);
    if (!has_dims(c, H0, 3, state) || !has_dims(c, C0, 3, state))
        return fail_input(c, H0, err);
    if (!has_dims(c, P, 2, (const int64_t[]){ dirs, 3 * s->hidden }))
        return fail_input(c, P, err);
    s->lens = pln_call_has(c, LENS) ? PLN_DATA(const int32_t, c->in[LENS]) : NULL;
    s->used = s->lens ? 0 : s->steps;
    for (int64_t b = 0; s->lens && b < s->batch; b++) {
        if (s->lens[b] < 0 || s->lens[b] > s->steps)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "sequence_lens[%lld] is %d of %lld steps", (long long)b,
                                 s->lens[b], (long long)s->steps);
        s->used = s->lens[b] > s->used ? s->lens[b] : s->used;
    }
    return PLN_OK;
}

static bool take(size_t *total, int64_t a, int64_t b, size_t size, size_t *at)
{
    size_t n;
    *at = *total;
    return pln_size_mul(&n, (size_t)a, (size_t)b) && pln_size_mul(&n, n, size) &&
           n < SIZE_MAX / 4 && pln_size_add(total, *total, pln_align_up(n + 1, 64));
}

static pln_status get_memory(lstm *s, pln_error *err)
{
    size_t total = 0, xw, h, c, g, t, bytes, sums;
    const int64_t rows = (s->steps > 1 ? s->steps : 1) * s->batch;
    const int64_t widest = s->input > s->hidden ? s->input : s->hidden;
    if (!take(&total, rows, s->gates, sizeof(float), &xw) ||
        !take(&total, s->batch, s->hidden, sizeof(float), &h) ||
        !take(&total, s->batch, s->hidden, sizeof(float), &c) ||
        !take(&total, s->batch, s->gates, sizeof(float), &g) ||
        !take(&total, s->batch, s->hidden, sizeof(float), &t) ||
        !take(&total, rows, widest, 1, &bytes) ||
        !take(&total, rows, s->gates, sizeof(int32_t), &sums))
        return pln_call_fail(s->c, err, PLN_E_LIMIT, "the sequence is too large");
    unsigned char *base = pln_call_scratch(s->c, total);
    if (!base)
        return pln_oom(err);
    s->xw = (float *)(void *)(base + xw);
    s->h = (float *)(void *)(base + h);
    s->cell = (float *)(void *)(base + c);
    s->g = (float *)(void *)(base + g);
    s->t = (float *)(void *)(base + t);
    s->bytes = base + bytes;
    s->sums = (int32_t *)(void *)(base + sums);
    return PLN_OK;
}

static pln_status run_all(lstm *s, pln_error *err)
{
    PLN_TRY(get_memory(s, err));
    for (int64_t d = 0; s->batch > 0 && d < (s->a->direction == 2 ? 2 : 1); d++)
        run_direction(s, d);
    return PLN_OK;
}

static pln_status lstm_ref(pln_call *c, pln_error *err)
{
    lstm s;
    PLN_TRY(set_sizes(c, &s, err));
    return run_all(&s, err);
}

/* ---- with the fast product ------------------------------------------------------- */

/* W and R packed, where they are constant. */
typedef struct packed {
    const pln_allocator *alloc;
    unsigned char *data;
    size_t w, r; /* bytes of one direction */
} packed;

static void release(void *state)
{
    packed *p = state;
    pln_release(p->alloc, p->data);
    pln_release(p->alloc, p);
}

static void pack_each(const pln_igemm_fns *f, const pln_tensor *t, size_t each,
                      unsigned char *out)
{
    const int64_t k = t->dims[1], n = t->dims[2];
    for (int64_t d = 0; d < t->dims[0]; d++)
        pln_igemm_pack(f, out + (size_t)d * each, PLN_DATA(const uint8_t, t) + d * k * n,
                       n, 1, k, n, pln_byte_flip((pln_dtype)t->dtype));
}

static pln_status pack(pln_prep *p, void **state, pln_error *err)
{
    const pln_tensor *w = p->in[W], *r = p->in[R];
    const pln_igemm_fns *f = pln_igemm();
    packed *out = pln_calloc(p->alloc, 1, sizeof *out);
    size_t n_w, n_r;
    if (!out)
        return pln_oom(err);
    out->alloc = p->alloc;
    out->w = pln_igemm_packed_size(f, w->dims[1], w->dims[2]);
    out->r = pln_igemm_packed_size(f, r->dims[1], r->dims[2]);
    if (!out->w || !out->r || !pln_size_mul(&n_w, out->w, (size_t)w->dims[0]) ||
        !pln_size_mul(&n_r, out->r, (size_t)r->dims[0]) ||
        !(out->data = pln_alloc_aligned(p->alloc, n_w + n_r + 64, 64))) {
        pln_release(p->alloc, out);
        return pln_oom(err);
    }
    pack_each(f, w, out->w, out->data);
    pack_each(f, r, out->r, out->data + n_w);
    *state = out;
    return PLN_OK;
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    if (!p->in[W]->data || !p->in[R]->data || p->in[W]->rank != 3 || p->in[R]->rank != 3)
        return PLN_E_UNSUPPORTED;
    PLN_TRY(p->shared(p, 0, pack, release, &p->state, err));
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->packed[W] = p->packed[R] = true;
    return PLN_OK;
}

static pln_status run(pln_call *c, pln_error *err)
{
    const packed *p = c->state;
    lstm s;
    PLN_TRY(set_sizes(c, &s, err));
    s.w.packed = p->data;
    s.w.each = p->w;
    s.r.packed = p->data + p->w * (size_t)c->in[W]->dims[0];
    s.r.each = p->r;
    return run_all(&s, err);
}

static const pln_impl lstm_cpu = { "lstm_int", prepare, run, NULL };

static pln_status infer(pln_infer *inf, pln_error *err)
{
    const pln_rnn_attrs *a = inf->attrs;
    if (inf->n_in <= R_SCALE || !pln_infer_has(inf, W_SCALE) ||
        !pln_infer_has(inf, R_SCALE))
        return pln_infer_fail(inf, err, "the scale of W or R is absent");
    for (uint32_t i = 0; i < 3; i++) {
        const int rank = pln_infer_rank(inf, i);
        if (rank >= 0 && rank != 3)
            return pln_infer_fail(inf, err, "input %u has rank %d, want 3", i, rank);
    }
    const bool x = pln_infer_rank(inf, X) == 3, r = pln_infer_rank(inf, R) == 3;
    const pln_dim dirs = pln_dim_of(a->direction == 2 ? 2 : 1),
                  unknown = pln_dim_unknown();
    const pln_dim hidden = a->hidden_size ? pln_dim_of(a->hidden_size)
                           : r            ? pln_infer_dim(inf, R, 1)
                                          : unknown;
    const pln_dim batch = x ? pln_infer_dim(inf, X, 1) : unknown;
    const pln_dim dims[4] = { x ? pln_infer_dim(inf, X, 0) : unknown, dirs, batch,
                              hidden };
    for (uint32_t o = 0; o < inf->n_out && o < 3; o++) {
        pln_shape s = pln_infer_shape(inf, o ? 3 : 4);
        for (int d = 0; d < s.rank; d++)
            s.dims[d] = dims[d + (o ? 1 : 0)];
        pln_infer_set(inf, o, PLN_DT_F32, s);
    }
    return PLN_OK;
}

const pln_op_desc pln_ops_ms_lstm[] = {
    { .name = "DynamicQuantizeLSTM",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 12, 12 },
      .out = { 0, 3 },
      .types = "T2:uint8,int8",
      .sig = "float,T2,T2,float?,int32?,float?,float?,float?,float,T2,float,T2"
             "->float?,float?,float?",
      .attrs = pln_rnn_ms_lstm_spec,
      .attrs_size = sizeof(pln_rnn_attrs),
      .check = pln_rnn_lstm_check,
      .infer = infer,
      .ref = lstm_ref,
      .cpu = &lstm_cpu },
    { .name = NULL },
};
