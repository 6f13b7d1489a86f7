/* RotaryEmbedding of the standard and of com.microsoft, and MRotaryEmbedding.
 *
 * They differ in the order of their inputs and in what a row's position is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/rotary.h"

#include "kernels/attention.h"
#include "kernels/block.h"
#include "kernels/type_sets.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

typedef struct rotary_attrs {
    int64_t interleaved, num_heads, rotary_embedding_dim, is_packed_batching,
        mrope_layout;
    float scale;
    pln_ints mrope_section;
} rotary_attrs;

#define COMMON                                                                      \
    PLN_A_INT(rotary_attrs, interleaved, 0), PLN_A_INT(rotary_attrs, num_heads, 0), \
        PLN_A_INT(rotary_attrs, rotary_embedding_dim, 0)
static const pln_attr_spec rotary_spec[] = { COMMON, PLN_A_END };
#define COMMON_MS                                           \
    COMMON, PLN_A_INT(rotary_attrs, is_packed_batching, 0), \
        PLN_A_FLOAT(rotary_attrs, scale, 1.0f)
static const pln_attr_spec ms_spec[] = { COMMON_MS, PLN_A_END };
static const pln_attr_spec multi_spec[] = {
    COMMON_MS,
    PLN_A_INT(rotary_attrs, mrope_layout, 0),
    { .name = "mrope_section",
      .type = PLN_ATTR_INTS,
      .required = true,
      .offset = offsetof(rotary_attrs, mrope_section) },
    PLN_A_END,
};

typedef struct rotary {
    const pln_tensor *x, *cosine, *sine, *positions;
    bool is_ms, from_first; /* the only position is that of the first row of each batch */
    int streams;           /* 3: the caches' columns take their rows by three positions */
    const uint8_t *stream; /* of each column */
    int64_t batch, heads, len, dim, turned; /* turned: leading elements that rotate */
} rotary;

/* ---- checks ---------------------------------------------------------------------- */

static pln_status misfit(const pln_call *c, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN,
                         "the caches or positions do not fit to the "
                         "input");
}

static bool same_shape(const pln_tensor *a, const pln_tensor *b)
{
    return a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

/* The standard: caches by position, or [batch, len, half] as they are; one batch of them
 * serves all, as in the standard's own reference. */
static bool fits_standard(rotary *r)
{
    const int64_t *d = r->cosine->dims;
    if (r->positions)
        return r->cosine->rank == 2 && pln_tensor_size(r->positions) == r->batch * r->len;
    return r->cosine->rank == 3 && (d[0] == r->batch || d[0] == 1) && d[1] == r->len;
}

static bool fits_ms(rotary *r)
{
    const pln_tensor *p = r->positions;
    if (r->cosine->rank != 2)
        return false;
    if (r->streams == 3)
        return p->rank == 3 && p->dims[0] == 3 && p->dims[1] == r->batch &&
               p->dims[2] == r->len;
    r->from_first = p->rank == 1 && p->dims[0] == 1;
    return r->from_first ||
           (p->rank == 2 && p->dims[0] == r->batch && p->dims[1] == r->len);
}

static bool find_heads(rotary *r, int64_t heads)
{
    if (r->is_ms && heads == 0 && r->x->rank == 3 && r->cosine->rank == 2) {
        const int64_t dim = 2 * r->cosine->dims[1];
        if (dim == 0 || r->x->dims[2] % dim)
            return false;
        heads = r->x->dims[2] / dim;
    }
    if (r->x->rank == 3 && heads > 0 && r->x->dims[2] == 0)
        return false;
    return pln_attention_heads(r->x, heads, &r->heads, &r->len, &r->dim);
}

static pln_status find(const pln_call *c, rotary *r, pln_error *err)
{
    const rotary_attrs *a = (const rotary_attrs *)c->attrs;
    const bool ms = *c->node->op->domain != 0;
    *r = (rotary){ .x = c->in[0],
                   .cosine = c->in[ms ? 2 : 1],
                   .sine = c->in[ms ? 3 : 2],
                   .positions = ms                   ? c->in[1]
                                : pln_call_has(c, 3) ? c->in[3]
                                                     : NULL,
                   .is_ms = ms,
                   .streams = a->mrope_section.n ? 3 : 1 };
    if (!find_heads(r, a->num_heads))
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 has rank %d, %lld heads",
                             r->x->rank, (long long)a->num_heads);
    r->batch = r->x->dims[0];
    r->turned = a->rotary_embedding_dim ? a->rotary_embedding_dim : r->dim;
    if (r->turned < 0 || r->turned > r->dim || r->turned % 2 ||
        !same_shape(r->cosine, r->sine) || !(ms ? fits_ms(r) : fits_standard(r)) ||
        r->cosine->dims[r->cosine->rank - 1] != r->turned / 2)
        return misfit(c, err);
    return PLN_OK;
}

/* Which position a column of the caches takes its row by. */
static pln_status find_streams(const pln_call *c, rotary *r, uint8_t *stream,
                               pln_error *err)
{
    const rotary_attrs *a = (const rotary_attrs *)c->attrs;
    const int64_t half = r->turned / 2, *s = a->mrope_section.v;
    if (a->mrope_section.n != 3 || s[0] < 0 || s[1] < 0 || s[2] < 0 || s[0] > half ||
        s[1] > half || s[2] > half || s[0] + s[1] + s[2] != half)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "mrope_section is not 3 parts of %lld columns",
                             (long long)half);
    for (int64_t i = 0; i < half; i++) {
        if (a->mrope_layout == 1)
            stream[i] = i % 3 && i < 3 * s[i % 3] ? (uint8_t)(i % 3) : 0;
        else
            stream[i] = i < s[0] ? 0 : i < s[0] + s[1] ? 1 : 2;
    }
    r->stream = stream;
    return PLN_OK;
}

/* Row of the caches for stream s of row `row` (batch x len). */
static int64_t row_at(const rotary *r, int64_t row, int s)
{
    if (!r->positions)
        return r->cosine->dims[0] == r->batch ? row : row % r->len;
    const int64_t *p = PLN_DATA(const int64_t, r->positions);
    if (r->from_first)
        return p[0] < 0 || p[0] > INT64_MAX - r->len ? -1 : p[0] + row % r->len;
    const int64_t at = p[s * r->batch * r->len + row];
    return at < 0 && !r->is_ms ? at + r->cosine->dims[0] : at; /* Gather's meaning */
}

static pln_status check_positions(const pln_call *c, const rotary *r, pln_error *err)
{
    const int64_t n = r->positions ? r->cosine->dims[0] : INT64_MAX;
    for (int s = 0; s < r->streams; s++)
        for (int64_t row = 0; row < r->batch * r->len; row++) {
            const int64_t at = row_at(r, row, s);
            if (at < 0 || at >= n)
                return pln_call_fail(c, err, PLN_E_RUN, "position %lld of %lld",
                                     (long long)at, (long long)n);
        }
    return PLN_OK;
}

/* ---- the reference --------------------------------------------------------------- */

static double rounded(pln_dtype dt, double v)
{
    char raw[8];
    pln_block_convert(dt, raw, PLN_DT_F64, &v, 1);
    pln_block_convert(PLN_DT_F64, &v, dt, raw, 1);
    return v;
}

/* The standard's function has a tensor for each product; com.microsoft rounds once. */
static void turn(const double *x, double *y, const double *cosine, const double *sine,
                 int64_t half, bool interleaved, pln_dtype dt)
{
    for (int64_t i = 0; i < half; i++) {
        const int64_t p = interleaved ? 2 * i : i, q = interleaved ? 2 * i + 1 : i + half;
        y[p] = rounded(dt, cosine[i] * x[p]) - rounded(dt, sine[i] * x[q]);
        y[q] = rounded(dt, sine[i] * x[p]) + rounded(dt, cosine[i] * x[q]);
    }
}

static void load_angles(const rotary *r, int64_t row, pln_dtype work, void *cosine,
                        void *sine)
{
    const int64_t half = r->turned / 2, size = (int64_t)pln_dtype_size(work);
    if (!r->stream) {
        const int64_t at = row_at(r, row, 0) * half;
        pln_block_load(work, cosine, r->cosine, at, 1, half);
        pln_block_load(work, sine, r->sine, at, 1, half);
        return;
    }
    for (int64_t i = 0; i < half; i++) {
        const int64_t at = row_at(r, row, r->stream[i]) * half + i;
        pln_block_load(work, (char *)cosine + i * size, r->cosine, at, 1, 1);
        pln_block_load(work, (char *)sine + i * size, r->sine, at, 1, 1);
    }
}

static pln_status prepare_call(pln_call *c, rotary *r, pln_error *err)
{
    PLN_TRY(find(c, r, err));
    if (r->streams == 3) {
        uint8_t *stream = pln_call_scratch(c, (size_t)r->turned / 2 + 1);
        if (!stream)
            return pln_oom(err);
        PLN_TRY(find_streams(c, r, stream, err));
    }
    return check_positions(c, r, err);
}

static pln_status rotary_ref(pln_call *c, pln_error *err)
{
    const rotary_attrs *a = (const rotary_attrs *)c->attrs;
    rotary r;
    PLN_TRY(prepare_call(c, &r, err));
    const int64_t half = r.turned / 2, rows = r.batch * r.len;
    const pln_dtype dt = r.is_ms ? PLN_DT_F64 : (pln_dtype)r.x->dtype;
    double *v = (double *)pln_call_scratch(c, (size_t)(2 * r.dim + r.turned) * sizeof *v);
    if (!v)
        return pln_oom(err);
    double *y = v + r.dim, *cosine = y + r.dim, *sine = cosine + half;
    for (int64_t l = 0; l < rows * r.heads; l++) {
        const int64_t row = l / r.heads, h = l % r.heads, b = row / r.len,
                      i = row % r.len;
        const int64_t p = pln_attention_row(r.x, r.heads, b, h, i, r.len, r.dim);
        load_angles(&r, row, PLN_DT_F64, cosine, sine);
        pln_block_load(PLN_DT_F64, v, r.x, p, 1, r.dim);
        memcpy(y, v, (size_t)r.dim * sizeof *y);
        turn(v, y, cosine, sine, half, a->interleaved, dt);
        pln_block_store(c->out[0], p, 1, PLN_DT_F64, y, r.dim);
    }
    return PLN_OK;
}

/* ---- float ----------------------------------------------------------------------- */

void pln_rotary_turn(float *y, const float *x, const float *cosine, const float *sine,
                     int64_t half, int64_t dim, bool interleaved)
{
    for (int64_t i = 0; i < half && !interleaved; i++) {
        const float p = x[i], q = x[i + half];
        y[i] = cosine[i] * p - sine[i] * q;
        y[i + half] = sine[i] * p + cosine[i] * q;
    }
    for (int64_t i = 0; i < half && interleaved; i++) {
        const float p = x[2 * i], q = x[2 * i + 1];
        y[2 * i] = cosine[i] * p - sine[i] * q;
        y[2 * i + 1] = sine[i] * p + cosine[i] * q;
    }
    if (y != x && dim > 2 * half)
        memcpy(y + 2 * half, x + 2 * half, (size_t)(dim - 2 * half) * sizeof *y);
}

typedef struct job {
    const rotary *r;
    float *y, *mixed; /* the angles of each row, where streams mix them */
    bool interleaved;
} job;

static void rows_f32(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const rotary *r = j->r;
    const float *x = PLN_DATA(const float, r->x);
    const int64_t half = r->turned / 2;
    for (int64_t row = begin; row < end; row++) {
        const float *cosine, *sine;
        if (r->stream) {
            float *mixed = j->mixed + 2 * half * row;
            load_angles(r, row, PLN_DT_F32, mixed, mixed + half);
            cosine = mixed;
            sine = mixed + half;
        } else {
            cosine = PLN_DATA(const float, r->cosine) + row_at(r, row, 0) * half;
            sine = PLN_DATA(const float, r->sine) + row_at(r, row, 0) * half;
        }
        for (int64_t h = 0; h < r->heads; h++) {
            const int64_t p = pln_attention_row(r->x, r->heads, row / r->len, h,
                                                row % r->len, r->len, r->dim);
            pln_rotary_turn(j->y + p, x + p, cosine, sine, half, r->dim, j->interleaved);
        }
    }
}

static pln_status run_f32(pln_call *c, pln_error *err)
{
    const rotary_attrs *a = (const rotary_attrs *)c->attrs;
    rotary r;
    size_t n;
    PLN_TRY(prepare_call(c, &r, err));
    const int64_t rows = r.batch * r.len;
    job j = { .r = &r, .y = PLN_DATA(float, c->out[0]), .interleaved = a->interleaved };
    if (r.stream) {
        if (!pln_size_mul(&n, (size_t)r.turned * sizeof(float), (size_t)rows))
            return pln_oom(err);
        j.mixed = pln_call_scratch(c, n + 1);
        if (!j.mixed)
            return pln_oom(err);
    }
    const int64_t each = r.heads * r.dim + 1;
    if (rows > 0 && r.heads > 0)
        pln_parallel_for(c->n_threads, rows, 16384 / each + 1, rows_f32, &j);
    return PLN_OK;
}

static pln_status prepare_f32(pln_prep *p, pln_error *err)
{
    (void)err;
    if (!p->in[0] || p->in[0]->dtype != PLN_DT_F32)
        return PLN_E_UNSUPPORTED;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

static const pln_impl rotary_cpu = { "rotary_f32", prepare_f32, run_f32, NULL };

#define ROTARY_ROW                                                           \
    .attrs_size = sizeof(rotary_attrs), .types = "T:float,float16,bfloat16", \
    .out = { 1, 1 }, .infer = pln_infer_same, .ref = rotary_ref, .cpu = &rotary_cpu

const pln_op_desc pln_ops_rotary[] = {
    { .name = "RotaryEmbedding",
      .expand = pln_expand_rotary,
      .domain = "",
      .since = 23,
      .in = { 3, 4 },
      .sig = "T,T,T,int64?->T",
      .attrs = rotary_spec,
      ROTARY_ROW },
    { .name = "RotaryEmbedding",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 4, 4 },
      .sig = "T,int64,T,T->T",
      .attrs = ms_spec,
      ROTARY_ROW },
    { .name = "MRotaryEmbedding",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 4, 4 },
      .sig = "T,int64,T,T->T",
      .attrs = multi_spec,
      ROTARY_ROW },
    { .name = NULL },
};
