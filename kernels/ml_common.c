/* Score transforms, labels and matrices of ai.onnx.ml.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ml_common.h"

#include <math.h>

double pln_ml_logistic(double x)
{
    const double v = 1 / (1 + exp(-fabs(x)));
    return x < 0 ? 1 - v : v;
}

/* Inverse of the error function: Winitzki's approximation, as the usual runtimes have it.
 */
static double erf_inverse(double x)
{
    const double sign = x < 0 ? -1 : 1;
    const double l = log((1 - x) * (1 + x));
    const double v = 2 / (3.14159 * 0.147) + 0.5 * l, w = l / 0.147;
    return sign * sqrt(-v + sqrt(v * v - w));
}

static void softmax(double *v, int64_t n, bool keep_zeros)
{
    double top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        top = v[i] > top ? v[i] : top;
    for (int64_t i = 0; i < n; i++) {
        if (keep_zeros && fabs(v[i]) <= 1e-7) {
            v[i] = 0;
            continue;
        }
        v[i] = exp(v[i] - top);
        sum += v[i];
    }
    for (int64_t i = 0; i < n && sum != 0; i++)
        v[i] /= sum;
}

void pln_ml_transform(pln_ml_post post, double *v, int64_t n)
{
    switch (post) {
    case ML_SOFTMAX:
    case ML_SOFTMAX_ZERO:
        softmax(v, n, post == ML_SOFTMAX_ZERO);
        break;
    case ML_LOGISTIC:
        for (int64_t i = 0; i < n; i++)
            v[i] = pln_ml_logistic(v[i]);
        break;
    case ML_PROBIT:
        for (int64_t i = 0; i < n; i++)
            v[i] = 1.41421356 * erf_inverse(2 * v[i] - 1);
        break;
    case ML_NONE:
        break;
    }
}

pln_status pln_ml_set_label(pln_tensor *y, int64_t i, const pln_ml_labels *l, int64_t k,
                            pln_error *err)
{
    if (l->strings.n) {
        const char *s = l->strings.v[k];
        const pln_status st = pln_tensor_set_string(y, i, s, pln_name_len(s));
        return st == PLN_OK ? st : pln_oom(err);
    }
    PLN_DATA(int64_t, y)[i] = l->ints.n ? l->ints.v[k] : k;
    return PLN_OK;
}

bool pln_ml_matrix(const pln_tensor *x, int64_t *rows, int64_t *cols)
{
    if (x->rank != 1 && x->rank != 2)
        return false;
    *rows = x->rank == 2 ? x->dims[0] : 1;
    *cols = x->dims[x->rank - 1];
    return true;
}

pln_status pln_ml_infer_rows(pln_infer *inf, pln_dim *rows, pln_dim *cols, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    *rows = *cols = pln_dim_unknown();
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (rank != 1 && rank != 2)
        return pln_infer_fail(inf, err, "input has rank %d, want 1 or 2", rank);
    *rows = rank == 2 ? pln_infer_dim(inf, 0, 0) : pln_dim_of(1);
    *cols = pln_infer_dim(inf, 0, rank - 1);
    return PLN_OK;
}

void pln_ml_row(const pln_tensor *x, int64_t row, int64_t cols, double *out)
{
    if (x->dtype == PLN_DT_F32) {
        const float *v = PLN_DATA(const float, x) + row * cols;
        for (int64_t i = 0; i < cols; i++)
            out[i] = v[i];
        return;
    }
    for (int64_t i = 0; i < cols; i++)
        out[i] = pln_tensor_get_f64(x, row * cols + i);
}

void pln_ml_infer_matrix(pln_infer *inf, uint32_t o, pln_dtype dt, pln_dim rows,
                         pln_dim n)
{
    pln_shape s = pln_infer_shape(inf, 2);
    s.dims[0] = rows;
    s.dims[1] = n;
    pln_infer_set(inf, o, dt, s);
}
