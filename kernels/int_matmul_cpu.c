/* Matrix products of bytes on our own integer product: MatMulInteger, QLinearMatMul,
 * QGemm, MatMulIntegerToFloat, planish.QMatMul, and those that quantize A on the way.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/epilogue.h"
#include "kernels/gemm_int.h"
#include "kernels/quant_fused.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

enum { SHARED_PACKED = 3 };

typedef struct packed {
    const pln_allocator *alloc;
    unsigned char *data;
    size_t each; /* bytes of one matrix */
} packed;

typedef struct state {
    const pln_allocator *alloc;
    const pln_igemm_fns *fns;
    const packed *b; /* NULL: not constant */
    const pln_q_inputs *q;
    pln_postop_list post;
    bool ta, tb;
    float alpha;
} state;

static void release_packed(void *p)
{
    packed *b = p;
    pln_release(b->alloc, b->data);
    pln_release(b->alloc, b);
}

static void release_state(void *p)
{
    state *s = p;
    pln_release(s->alloc, s);
}

static bool transposed(const pln_prep *p)
{
    return p->attrs && ((const pln_qmm_attrs *)p->attrs)->transB != 0;
}

static pln_status make_packed(pln_prep *p, void **out, pln_error *err)
{
    const pln_tensor *b = p->in[pln_q_inputs_of(p->node)->b];
    const pln_igemm_fns *f = pln_igemm();
    const bool tb = transposed(p);
    const int64_t rows = b->dims[b->rank - 2], cols = b->dims[b->rank - 1];
    const int64_t k = tb ? cols : rows, n = tb ? rows : cols;
    const int64_t count = rows * cols > 0 ? pln_tensor_size(b) / (rows * cols) : 0;
    packed *r = pln_calloc(p->alloc, 1, sizeof *r);
    size_t bytes;
    if (!r)
        return pln_oom(err);
    r->alloc = p->alloc;
    r->each = pln_igemm_packed_size(f, k, n);
    if (!r->each || !pln_size_mul(&bytes, r->each, (size_t)(count ? count : 1)) ||
        !(r->data = pln_alloc_aligned(p->alloc, bytes, 64))) {
        pln_release(p->alloc, r);
        return pln_oom(err);
    }
    for (int64_t i = 0; i < count; i++)
        pln_igemm_pack(f, r->data + (size_t)i * r->each,
                       PLN_DATA(const uint8_t, b) + i * rows * cols, tb ? 1 : cols,
                       tb ? cols : 1, k, n, pln_byte_flip((pln_dtype)b->dtype));
    *out = r;
    return PLN_OK;
}

static bool is_byte(const pln_tensor *t)
{
    return t->dtype == PLN_DT_U8 || t->dtype == PLN_DT_S8;
}

/* Absent, or one value of this type (PLN_DT_NONE: any). */
static bool is_single(const pln_prep *p, uint32_t i, pln_dtype dt)
{
    if (i >= p->n_in || !p->in[i])
        return true;
    const pln_tensor *t = p->in[i];
    for (int d = 0; d < t->rank; d++)
        if (t->dims[d] != 1)
            return false;
    return dt == PLN_DT_NONE || t->dtype == dt;
}

/* Absent, or a vector (perhaps as one row) of one of these types. */
static bool is_vector(const pln_prep *p, uint32_t i, pln_dtype dt, pln_dtype or_dt)
{
    if (i >= p->n_in || !p->in[i])
        return true;
    const pln_tensor *t = p->in[i];
    return (t->rank < 2 || (t->rank == 2 && t->dims[0] == 1)) &&
           (t->dtype == dt || t->dtype == or_dt);
}

/* What models have: one scale and zero point for A, one or one for each column for B. */
static bool takes(const pln_prep *p, const pln_q_inputs *q)
{
    const pln_tensor *a = p->in[q->a], *b = p->in[q->b];
    if (!a || !b || a->rank < 2 || b->rank < 2 || !is_byte(b) ||
        (!q->dynamic && !is_byte(a)))
        return false;
    if (q->sums)
        return true;
    const int out = p->out[0] ? p->out[0]->dtype : PLN_DT_NONE;
    return is_single(p, q->a_scale, PLN_DT_F32) && is_single(p, q->a_zero, PLN_DT_NONE) &&
           is_single(p, q->y_scale, PLN_DT_F32) && is_single(p, q->y_zero, PLN_DT_NONE) &&
           is_vector(p, q->b_scale, PLN_DT_F32, PLN_DT_F32) &&
           is_vector(p, q->b_zero, PLN_DT_U8, PLN_DT_S8) &&
           is_vector(p, q->bias, PLN_DT_F32, PLN_DT_S32) &&
           (out == PLN_DT_F32 || out == PLN_DT_U8 || out == PLN_DT_S8);
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    const pln_q_inputs *q = pln_q_inputs_of(p->node);
    const pln_qmm_attrs *at = p->attrs;
    pln_postop_list post = { .n = 0 };
    if (!takes(p, q))
        return PLN_E_UNSUPPORTED;
    if (at && q->operands != PLN_Q_NONE)
        PLN_TRY(pln_postops_parse(p->node, &at->post, (int)q->operands, &post, err));
    void *b = NULL;
    if (p->in[q->b]->data) {
        PLN_TRY(p->shared(p, SHARED_PACKED, make_packed, release_packed, &b, err));
        p->packed[q->b] = true;
    }
    state *s = pln_calloc(p->alloc, 1, sizeof *s);
    if (!s)
        return pln_oom(err);
    *s = (state){ .alloc = p->alloc, .fns = pln_igemm(), .b = b, .q = q, .post = post,
                  .ta = at && at->transA != 0, .tb = transposed(p),
                  .alpha = q->has_alpha ? at->alpha : 1.0f };
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    p->state = s;
    return PLN_OK;
}

/* What becomes of finished rows. */
typedef struct ending {
    pln_dequant d;
    const float *factor; /* of the sums; factor_step 0: one for all columns */
    int64_t factor_step;
    pln_epilogue e;
    bool to_float;
    int64_t row0;
    uint8_t *bytes; /* NULL: the result is float, or the sums */
    bool is_signed;
    int64_t n;
    float scale;
    int32_t zero;
} ending;

static void finish_row(const void *user, int32_t *row, int64_t i, int64_t j0, int64_t j1)
{
    const ending *t = user;
    const pln_dequant *d = &t->d;
    float *f = (float *)(void *)row;
    for (int64_t j = j0; d->bias_int && j < j1; j++)
        row[j - j0] =
            (int32_t)((uint32_t)row[j - j0] + (uint32_t)d->bias_int[j * d->bias_step]);
    pln_vec()->dequant_s32(f, row, j1 - j0, t->factor_step ? 1.0f : t->factor[0]);
    if (t->factor_step)
        pln_vec()->mul(f, f, 1, t->factor + j0, 1, j1 - j0);
    if (d->bias)
        pln_vec()->add(f, f, 1, d->bias + j0 * d->bias_step, d->bias_step, j1 - j0);
    if (t->e.n)
        pln_epilogue_row(&t->e, f, t->row0 + i, j0, j1 - j0);
    if (!t->bytes)
        return;
    uint8_t *y = t->bytes + (t->row0 + i) * t->n + j0;
    if (t->is_signed)
        pln_vec()->quant_s8((int8_t *)y, f, j1 - j0, t->scale, t->zero);
    else
        pln_vec()->quant_u8(y, f, j1 - j0, t->scale, t->zero);
}

static pln_status set_ending(pln_call *c, const state *s, const pln_mm *g, ending *t,
                             pln_error *err)
{
    *t = (ending){ .n = g->n, .scale = 1.0f };
    if (s->q->sums)
        return PLN_OK;
    t->to_float = true;
    PLN_TRY(pln_q_dequant(c, s->q, g->n, &t->d, err));
    PLN_TRY(pln_epilogue_set(&t->e, c, &s->post, NULL, 0, 1.0f, c->out[0], err));
    const pln_tensor *ys = pln_q_get(c, s->q->y_scale), *yz = pln_q_get(c, s->q->y_zero);
    if (!ys)
        return PLN_OK;
    if (pln_tensor_size(ys) != 1 || (yz && pln_tensor_size(yz) != 1))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the result's scale or zero point is no scalar");
    t->bytes = c->out[0]->data;
    t->is_signed = c->out[0]->dtype == PLN_DT_S8;
    t->scale = PLN_DATA(const float, ys)[0];
    t->zero = yz ? (int32_t)pln_tensor_get_i64(yz, 0) : 0;
    return PLN_OK;
}

/* The factors of the columns, once A's scale is known. */
static void set_factors(ending *t, const state *s, float *out)
{
    const float a = s->q->has_alpha ? s->alpha * t->d.a_scale : t->d.a_scale;
    const bool divide = s->q->once && t->bytes;
    for (int64_t j = 0; j < (t->d.b_step ? t->n : 1); j++)
        out[j] = divide ? a * t->d.b_scale[j] / t->scale : a * t->d.b_scale[j];
    if (divide)
        t->scale = 1.0f;
    t->factor = out;
    t->factor_step = t->d.b_step;
}

/* One scratch block: sums where the output can't hold them, factors, packed B, quantized
 * A. */
typedef struct blocks {
    int32_t *sums;
    float *factors;
    unsigned char *b;
    uint8_t *a;
} blocks;

static pln_status get_blocks(pln_call *c, const state *s, const pln_mm *g, bool sums,
                             bool a, blocks *out, pln_error *err)
{
    size_t n_sums = 0, n_f, n_b = 0, n_a = 0, all;
    if (sums &&
        !pln_size_mul(&n_sums, (size_t)pln_tensor_size(c->out[0]), sizeof(int32_t)))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the result is too large");
    if (!s->b && !(n_b = pln_igemm_packed_size(s->fns, g->k, g->n)))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the product is too large");
    n_sums = pln_align_up(n_sums, 64);
    n_f = s->q->sums ? 0 : pln_align_up(((size_t)g->n + 1) * sizeof(float), 64);
    n_a = a ? (size_t)pln_tensor_size(c->in[0]) + 1 : 0;
    if (!pln_size_add(&all, n_sums, n_b) || !pln_size_add(&all, all, n_a) ||
        !pln_size_add(&all, all, n_f))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the product is too large");
    *out = (blocks){ .sums = c->out[0]->data };
    if (!all)
        return PLN_OK;
    unsigned char *p = pln_call_scratch(c, all);
    if (!p)
        return pln_oom(err);
    if (sums)
        out->sums = (int32_t *)(void *)p;
    out->factors = (float *)(void *)(p + n_sums);
    out->b = p + n_sums + n_f;
    out->a = p + n_sums + n_f + n_b;
    return PLN_OK;
}

static pln_status zeros_of(pln_call *c, const state *s, const pln_mm *g, pln_zero *az,
                           pln_zero *bz, pln_error *err)
{
    const bool scaled = !s->q->sums;
    if (!pln_zero_set(az, pln_q_get(c, s->q->a_zero), scaled ? 1 : g->m) ||
        !pln_zero_set(bz, pln_q_get(c, s->q->b_zero), g->n))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "a zero point has a size that fits nothing");
    if (scaled && (az->batch != 1 || bz->batch != 1))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "a zero point has a size that fits nothing");
    return PLN_OK;
}

/* Rows of all batches in one product, where B and the zero points are the same for
 * all. */
static void fold_batch(pln_mm *g, const pln_zero *az, const pln_zero *bz)
{
    int64_t size = g->m * g->a_rs;
    if (az->step || bz->batch != 1)
        return;
    for (int d = g->nb - 1; d >= 0; d--) {
        if (g->dim[d] != 1 && (g->b_step[d] || g->a_step[d] != size))
            return;
        size *= g->dim[d];
    }
    g->m *= g->batch;
    g->batch = 1;
    g->nb = 0;
}

static pln_status run(pln_call *c, pln_error *err)
{
    const state *s = c->state;
    const pln_q_inputs *q = s->q;
    const pln_tensor *ta = c->in[q->a], *tb = c->in[q->b];
    pln_mm g;
    pln_zero az, bz;
    ending t;
    blocks m = { .sums = NULL };
    if (!pln_mm_set(&g, ta, tb, s->ta, s->tb))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    PLN_TRY(zeros_of(c, s, &g, &az, &bz, err));
    PLN_TRY(set_ending(c, s, &g, &t, err));
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    fold_batch(&g, &az, &bz);
    PLN_TRY(get_blocks(c, s, &g, t.bytes != NULL, q->dynamic, &m, err));
    const uint8_t *a = ta->data;
    uint8_t dynamic_zero;
    if (q->dynamic) {
        pln_q_dynamic(ta->data, pln_tensor_size(ta), m.a, &t.d.a_scale, &dynamic_zero);
        a = m.a;
        az = (pln_zero){ .v = &dynamic_zero, .batch = 1, .len = 1 };
    }
    if (t.to_float)
        set_factors(&t, s, m.factors);
    const int a_flip = q->dynamic ? 0 : pln_byte_flip((pln_dtype)ta->dtype);
    const int b_flip = pln_byte_flip((pln_dtype)tb->dtype);
    for (int64_t i = 0; i < g.batch; i++) {
        int64_t ao, bo;
        pln_mm_offsets(&g, i, &ao, &bo);
        const void *b = m.b;
        if (s->b)
            b = s->b->data + (size_t)(g.k && g.n ? bo / (g.k * g.n) : 0) * s->b->each;
        else
            pln_igemm_pack(s->fns, m.b, PLN_DATA(const uint8_t, tb) + bo, g.b_rs, g.b_cs,
                           g.k, g.n, b_flip);
        t.row0 = i * g.m;
        const pln_igemm_job j = {
            .fns = s->fns, .m = g.m, .n = g.n, .k = g.k, .a = a + ao, .a_rs = g.a_rs,
            .a_cs = g.a_cs, .a_flip = a_flip, .b_flip = b_flip,
            .b = pln_igemm_view(s->fns, b, g.k, g.n), .a_zero = &az, .b_zero = &bz,
            .batch = i,
            .c = m.sums + i * g.m * g.n, .ldc = g.n,
            .finish = t.to_float ? finish_row : NULL,
            .user = &t
        };
        pln_igemm_parallel(&j, c->n_threads);
    }
    return PLN_OK;
}

const pln_impl pln_impl_int_matmul = {
    .name = "gemm_int", .prepare = prepare, .run = run, .release = release_state
};
