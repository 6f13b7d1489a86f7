/* MatMulNBits and MatMulBnb4 of com.microsoft.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_f32.h"
#include "kernels/ms_attention.h"
#include "kernels/nbits.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

typedef struct nbits_attrs {
    int64_t K, N, bits, block_size, accuracy_level, weight_prepacked;
    int64_t quant_type, training_mode, transB;
} nbits_attrs;

#define REQUIRED(f)                                         \
    {                                                       \
        .name = #f, .type = PLN_ATTR_INT, .required = true, \
        .offset = offsetof(nbits_attrs, f)                  \
    }
static const pln_attr_spec nbits_spec[] = {
    REQUIRED(K),
    REQUIRED(N),
    REQUIRED(block_size),
    PLN_A_INT(nbits_attrs, bits, 4),
    PLN_A_INT(nbits_attrs, accuracy_level, 0), /* allows less than we compute with */
    PLN_A_INT(nbits_attrs, weight_prepacked, 0),
    PLN_A_END,
};
static const pln_attr_spec bnb4_spec[] = {
    REQUIRED(K),
    REQUIRED(N),
    REQUIRED(block_size),
    REQUIRED(quant_type),
    PLN_A_INT(nbits_attrs, training_mode, 0),
    PLN_A_INT(nbits_attrs, transB, 1),
    PLN_A_END,
};

enum { A, B, SCALES, ZEROS, G_IDX, BIAS };

static bool is_power_of_2(int64_t v)
{
    return v > 0 && (v & (v - 1)) == 0;
}

static pln_status check_block(const pln_call *c, pln_error *err)
{
    const nbits_attrs *at = c->attrs;
    if (at->K < 0 || at->N < 0 || at->K > INT64_MAX / 32 || at->block_size < 16 ||
        at->block_size > INT64_MAX / 32 || !is_power_of_2(at->block_size))
        return pln_call_fail(c, err, PLN_E_RUN, "K %lld, N %lld, block_size %lld",
                             (long long)at->K, (long long)at->N,
                             (long long)at->block_size);
    return PLN_OK;
}

/* Rows of A, whose last dimension is `width`. */
static pln_status rows_of(const pln_call *c, int64_t width, int64_t *rows, pln_error *err)
{
    const pln_tensor *a = c->in[A];
    if (a->rank < 1 || a->dims[a->rank - 1] != width)
        return pln_call_fail(c, err, PLN_E_RUN, "A has not %lld columns",
                             (long long)width);
    *rows = 1;
    for (int d = 0; d + 1 < a->rank; d++)
        *rows *= a->dims[d];
    return PLN_OK;
}

/* ---- MatMulNBits ----------------------------------------------------------------- */

static bool has_size(const pln_tensor *t, int64_t n, int64_t each)
{
    int64_t size;
    return pln_i64_mul(&size, n, each) && pln_tensor_size(t) == size;
}

static pln_status find_zeros(pln_call *c, pln_nbits *w, pln_error *err)
{
    const pln_tensor *t = pln_call_has(c, ZEROS) ? c->in[ZEROS] : NULL;
    if (!t)
        return PLN_OK;
    w->zero_bytes = (w->blocks * w->bits + 7) / 8;
    const bool is_packed = t->dtype == PLN_DT_U8;
    if (!has_size(t, w->n, is_packed ? w->zero_bytes : w->blocks))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "zero_points do not fit to %lld x %lld blocks",
                             (long long)w->n, (long long)w->blocks);
    if (!is_packed)
        return pln_ms_input(c, ZEROS, &w->float_zeros, err);
    w->zeros = PLN_DATA(const uint8_t, t);
    return PLN_OK;
}

static pln_status find_groups(const pln_call *c, pln_nbits *w, pln_error *err)
{
    const pln_tensor *t = pln_call_has(c, G_IDX) ? c->in[G_IDX] : NULL;
    if (!t)
        return PLN_OK;
    const int32_t *g = PLN_DATA(const int32_t, t);
    if (pln_tensor_size(t) < w->k)
        return pln_call_fail(c, err, PLN_E_RUN, "g_idx has %lld numbers, want %lld",
                             (long long)pln_tensor_size(t), (long long)w->k);
    for (int64_t i = 0; i < w->k; i++)
        if (g[i] < 0 || g[i] >= w->blocks)
            return pln_call_fail(c, err, PLN_E_RUN, "g_idx has block %d of %lld", g[i],
                                 (long long)w->blocks);
    w->groups = g;
    return PLN_OK;
}

static pln_status find_weights(pln_call *c, pln_nbits *w, pln_error *err)
{
    const nbits_attrs *at = c->attrs;
    PLN_TRY(check_block(c, err));
    if (at->weight_prepacked)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED,
                             "weights packed for another device (weight_prepacked %lld)",
                             (long long)at->weight_prepacked);
    if (at->bits != 2 && at->bits != 4 && at->bits != 8)
        return pln_call_fail(c, err, PLN_E_RUN, "bits is %lld, want 2, 4 or 8",
                             (long long)at->bits);
    *w = (pln_nbits){ .bits = (int)at->bits,
                      .n = at->N,
                      .k = at->K,
                      .block = at->block_size,
                      .blocks = (at->K + at->block_size - 1) / at->block_size,
                      .data = PLN_DATA(const uint8_t, c->in[B]) };
    w->row_bytes = w->blocks * (w->block * w->bits / 8);
    if (!has_size(c->in[B], w->n, w->row_bytes) ||
        !has_size(c->in[SCALES], w->n, w->blocks))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "B or scales do not fit to %lld rows of %lld blocks",
                             (long long)w->n, (long long)w->blocks);
    PLN_TRY(pln_ms_input(c, SCALES, &w->scales, err));
    PLN_TRY(find_zeros(c, w, err));
    return find_groups(c, w, err);
}

/* An empty B stands for a product that is left out: zeros. */
static pln_status left_out(pln_call *c, const pln_nbits_job *j, int64_t n, pln_error *err)
{
    (void)err;
    for (int64_t i = 0; i < j->m * n; i++)
        j->y[i] = j->bias ? j->bias[i % n] : 0;
    pln_ms_store(c, 0, j->y);
    return PLN_OK;
}

static pln_status nbits_any(pln_call *c, bool plain, pln_error *err)
{
    const nbits_attrs *at = c->attrs;
    pln_nbits w;
    float *y;
    pln_nbits_job j = { .w = &w };
    PLN_TRY(check_block(c, err));
    PLN_TRY(rows_of(c, at->K, &j.m, err));
    PLN_TRY(pln_ms_input(c, A, &j.a, err));
    if (pln_call_has(c, BIAS)) {
        if (pln_tensor_size(c->in[BIAS]) != at->N)
            return pln_call_fail(c, err, PLN_E_RUN, "bias is not [%lld]",
                                 (long long)at->N);
        PLN_TRY(pln_ms_input(c, BIAS, &j.bias, err));
    }
    PLN_TRY(pln_ms_output(c, 0, &y, err));
    if (!y)
        return PLN_OK;
    j.y = y;
    if (pln_tensor_size(c->in[B]) == 0 && at->N > 0)
        return left_out(c, &j, at->N, err);
    PLN_TRY(find_weights(c, &w, err));
    PLN_TRY(pln_nbits_product(&j, c, plain, err));
    pln_ms_store(c, 0, y);
    return PLN_OK;
}

static pln_status nbits_ref(pln_call *c, pln_error *err)
{
    return nbits_any(c, true, err);
}

static pln_status nbits_run(pln_call *c, pln_error *err)
{
    return nbits_any(c, false, err);
}

static const pln_impl nbits_cpu = { "gemm_nbits", pln_ms_prepare, nbits_run, NULL };

/* ---- MatMulBnb4 ------------------------------------------------------------------ */

/* The values of bitsandbytes' two types of 4 bits, whose largest is 1. */
static const float fp4[16] = {
    0, 5.208333333e-03f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
    0, -5.208333333e-03f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f
};
static const float nf4[16] = { -1.0f,
                               -0.6961928009986877f,
                               -0.5250730514526367f,
                               -0.39491748809814453f,
                               -0.28444138169288635f,
                               -0.18477343022823334f,
                               -0.09105003625154495f,
                               0.0f,
                               0.07958029955625534f,
                               0.16093020141124725f,
                               0.24611230194568634f,
                               0.33791524171829224f,
                               0.44070982933044434f,
                               0.5626170039176941f,
                               0.7229568362236023f,
                               1.0f };

/* All of B as floats [N][K]: blocks go on from row to row, the high nibble comes first.
 */
static void bnb4_values(const nbits_attrs *at, const uint8_t *q, const float *absmax,
                        float *out)
{
    const float *table = at->quant_type ? nf4 : fp4;
    for (int64_t i = 0; i < at->N * at->K; i++)
        out[i] =
            table[i & 1 ? q[i / 2] & 15 : q[i / 2] >> 4] * absmax[i / at->block_size];
}

static void bnb4_product(const float *a, const float *b, float *y, int64_t m, int64_t n,
                         int64_t k, int64_t rs, int64_t cs)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)a[i * k + p] * b[p * rs + j * cs];
            y[i * n + j] = (float)sum;
        }
}

static pln_status bnb4_any(pln_call *c, bool plain, pln_error *err)
{
    const nbits_attrs *at = c->attrs;
    int64_t m = 0, size;
    const float *a, *absmax;
    float *y, *values, *packed;
    PLN_TRY(check_block(c, err));
    const int64_t n = at->transB ? at->N : at->K, k = at->transB ? at->K : at->N;
    PLN_TRY(rows_of(c, k, &m, err));
    if (!pln_i64_mul(&size, at->N, at->K) ||
        pln_tensor_size(c->in[B]) != (size + 1) / 2 ||
        pln_tensor_size(c->in[SCALES]) != (size + at->block_size - 1) / at->block_size)
        return pln_call_fail(c, err, PLN_E_RUN, "B or absmax do not fit to %lld x %lld",
                             (long long)at->N, (long long)at->K);
    PLN_TRY(pln_ms_input(c, A, &a, err));
    PLN_TRY(pln_ms_input(c, SCALES, &absmax, err));
    PLN_TRY(pln_ms_output(c, 0, &y, err));
    PLN_TRY(pln_ms_floats(c, size, &values, err));
    bnb4_values(at, PLN_DATA(const uint8_t, c->in[B]), absmax, values);
    const int64_t rs = at->transB ? 1 : at->K, cs = at->transB ? at->K : 1;
    if (!y)
        return PLN_OK;
    if (plain) {
        bnb4_product(a, values, y, m, n, k, rs, cs);
    } else {
        const pln_gemm_fns *f = pln_gemm();
        PLN_TRY(pln_ms_floats(c, pln_gemm_packed_size(f, k, n), &packed, err));
        pln_gemm_pack(f, packed, values, rs, cs, k, n, 0, (n + f->nr - 1) / f->nr);
        const pln_gemm_job g = { .fns = f,
                                 .m = m,
                                 .n = n,
                                 .k = k,
                                 .a = a,
                                 .a_rs = k,
                                 .a_cs = 1,
                                 .b = packed,
                                 .c = y,
                                 .ldc = n };
        pln_gemm_parallel(&g, c->n_threads);
    }
    pln_ms_store(c, 0, y);
    return PLN_OK;
}

static pln_status bnb4_ref(pln_call *c, pln_error *err)
{
    return bnb4_any(c, true, err);
}

static pln_status bnb4_run(pln_call *c, pln_error *err)
{
    return bnb4_any(c, false, err);
}

static const pln_impl bnb4_cpu = { "gemm_bnb4", pln_ms_prepare, bnb4_run, NULL };

/* ---- inference ------------------------------------------------------------------- */

static bool is_bnb4(const pln_infer *inf)
{
    return strcmp(inf->node->op_type, "MatMulBnb4") == 0;
}

static pln_status nbits_infer(pln_infer *inf, pln_error *err)
{
    const nbits_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, A);
    const pln_dtype dt = pln_infer_dtype(inf, A);
    if (rank == PLN_RANK_UNKNOWN) {
        pln_infer_set(inf, 0, dt, pln_shape_unknown());
        return PLN_OK;
    }
    if (rank < 1)
        return pln_infer_fail(inf, err, "A is a scalar");
    pln_dim dims[PLN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        dims[i] = pln_infer_dim(inf, A, i);
    dims[rank - 1] = pln_dim_of(is_bnb4(inf) && !at->transB ? at->K : at->N);
    pln_ms_infer(inf, 0, dt, rank, dims);
    return PLN_OK;
}

static void nbits_cost(const pln_infer *inf, pln_cost *out)
{
    const nbits_attrs *at = inf->attrs;
    const pln_dim a = pln_shape_count(inf->syms, inf->in[A]->shape);
    if (!pln_dim_is_known(a))
        return;
    out->flops =
        2.0 * (double)a.value * (double)(is_bnb4(inf) && !at->transB ? at->K : at->N);
    out->bytes = (double)at->K * (double)at->N / 2 + 8.0 * (double)a.value;
}

const pln_op_desc pln_ops_ms_nbits[] = {
    { .name = "MatMulNBits",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 3, 6 },
      .out = { 1, 1 },
      .types = "T:float,float16,bfloat16;Z:uint8,float,float16,bfloat16",
      .sig = "T,uint8,T,Z?,int32?,T?->T",
      .attrs = nbits_spec,
      .attrs_size = sizeof(nbits_attrs),
      .infer = nbits_infer,
      .ref = nbits_ref,
      .cpu = &nbits_cpu,
      .cost = nbits_cost },
    { .name = "MatMulBnb4",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "T:float,float16,bfloat16",
      .sig = "T,uint8,T->T",
      .attrs = bnb4_spec,
      .attrs_size = sizeof(nbits_attrs),
      .infer = nbits_infer,
      .ref = bnb4_ref,
      .cpu = &bnb4_cpu,
      .cost = nbits_cost },
    { .name = NULL },
};
