/* Matrices of com.microsoft: Inverse and CDist.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/move.h"
#include "kernels/norm.h"

#include <math.h>

/* ---- Inverse --------------------------------------------------------------------- */

static pln_status inverse_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    PLN_TRY(pln_infer_same(inf, err));
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (rank < 2 || pln_dim_differ(inf->syms, pln_infer_dim(inf, 0, rank - 2),
                                   pln_infer_dim(inf, 0, rank - 1)))
        return pln_infer_fail(inf, err, "input 0 holds no square matrices");
    return PLN_OK;
}

static void swap_rows(double *m, int64_t a, int64_t b, int64_t cols)
{
    for (int64_t j = 0; a != b && j < cols; j++) {
        const double t = m[a * cols + j];
        m[a * cols + j] = m[b * cols + j];
        m[b * cols + j] = t;
    }
}

/* m is [n][2 n], the matrix and then the unit matrix, which becomes the inverse: Gauss
 * and Jordan with partial pivoting. A singular one leaves infinities and NaN. */
static void invert(double *m, int64_t n)
{
    const int64_t cols = 2 * n;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(m[i * cols + k]) > fabs(m[best * cols + k]))
                best = i;
        swap_rows(m, k, best, cols);
        const double pivot = m[k * cols + k];
        for (int64_t j = 0; j < cols; j++)
            m[k * cols + j] /= pivot;
        for (int64_t i = 0; i < n; i++) {
            const double f = m[i * cols + k];
            for (int64_t j = 0; i != k && j < cols; j++)
                m[i * cols + j] -= f * m[k * cols + j];
        }
    }
}

static pln_status inverse_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const int64_t n = x->dims[x->rank - 1];
    size_t bytes;
    if (pln_tensor_size(x) == 0)
        return PLN_OK;
    double *m = NULL;
    if (pln_size_mul(&bytes, (size_t)n * 2 * sizeof *m, (size_t)n))
        m = pln_call_scratch(c, bytes);
    if (!m)
        return pln_oom(err);
    for (int64_t at = 0; at < pln_tensor_size(x); at += n * n) {
        for (int64_t i = 0; i < n; i++) {
            pln_block_load(PLN_DT_F64, m + i * 2 * n, x, at + i * n, 1, n);
            for (int64_t j = 0; j < n; j++)
                m[i * 2 * n + n + j] = i == j;
        }
        invert(m, n);
        for (int64_t i = 0; i < n; i++)
            pln_block_store(c->out[0], at + i * n, 1, PLN_DT_F64, m + i * 2 * n + n, n);
    }
    return PLN_OK;
}

/* ---- CDist: distances between the rows of A and those of B ----------------------- */

typedef struct dist_attrs {
    int metric; /* 0 squared, 1 euclidean */
} dist_attrs;

static const pln_attr_spec dist_spec[] = {
    PLN_A_ENUM(dist_attrs, metric, "sqeuclidean|euclidean", "sqeuclidean"),
    PLN_A_END,
};

static pln_status dist_infer(pln_infer *inf, pln_error *err)
{
    pln_shape s = pln_infer_shape(inf, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const int rank = pln_infer_rank(inf, i);
        if (rank != PLN_RANK_UNKNOWN && rank != 2)
            return pln_infer_fail(inf, err, "input %u has rank %d, want 2", i, rank);
        s.dims[i] = rank == 2 ? pln_infer_dim(inf, i, 0) : pln_dim_unknown();
    }
    if (pln_infer_rank(inf, 0) == 2 && pln_infer_rank(inf, 1) == 2 &&
        pln_dim_differ(inf->syms, pln_infer_dim(inf, 0, 1), pln_infer_dim(inf, 1, 1)))
        return pln_infer_fail(inf, err, "the rows of the inputs differ in length");
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

static pln_status dist_ref(pln_call *c, pln_error *err)
{
    const dist_attrs *at = c->attrs;
    const pln_tensor *a = c->in[0], *b = c->in[1];
    const int64_t n = a->dims[1];
    double *va = pln_norm_scratch(c, n + 1, 2, err), *vb = va + n + 1;
    if (!va)
        return PLN_E_NOMEM;
    for (int64_t i = 0; i < a->dims[0]; i++) {
        pln_block_load(PLN_DT_F64, va, a, i * n, 1, n);
        for (int64_t k = 0; k < b->dims[0]; k++) {
            double sum = 0;
            pln_block_load(PLN_DT_F64, vb, b, k * n, 1, n);
            for (int64_t j = 0; j < n; j++)
                sum += (va[j] - vb[j]) * (va[j] - vb[j]);
            pln_tensor_set_f64(c->out[0], i * b->dims[0] + k,
                               at->metric ? sqrt(sum) : sum);
        }
    }
    return PLN_OK;
}

#define MS .domain = "com.microsoft", .since = 1, .out = { 1, 1 }

const pln_op_desc pln_ops_ms_matrix[] = {
    { MS, .name = "Inverse", .in = { 1, 1 }, .types = "T:float16,float,double",
      .sig = "T->T", .infer = inverse_infer, .ref = inverse_ref },
    { MS, .name = "CDist", .in = { 2, 2 }, .types = "T:float,double", .sig = "T,T->T",
      .attrs = dist_spec, .attrs_size = sizeof(dist_attrs), .infer = dist_infer,
      .ref = dist_ref },
    { .name = NULL },
};
