/* Recurrent operators, the reference: everything in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/rnn.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

static void gemv(double *y, const double *m, int64_t ld, const double *x, int64_t k,
                 int64_t n)
{
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            y[j] += x[i] * m[i * ld + j];
}

static void product(double *y, int64_t ld_y, const double *x, int64_t ld_x,
                    const double *m, int64_t ld_m, int64_t rows, int64_t k, int64_t n)
{
    for (int64_t i = 0; i < rows; i++) {
        memset(y + i * ld_y, 0, (size_t)n * sizeof *y);
        gemv(y + i * ld_y, m, ld_m, x + i * ld_x, k, n);
    }
}

static void activate(const pln_rnn_act *a, double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = a->fn(v[i], a->alpha, a->beta);
}

#define REAL         double
#define PLN_DT_WORK  PLN_DT_F64
#define NAME(x)      f64_##x
#define ACT(a, v, n) activate(a, v, n)
#define PRODUCT(y, ld_y, x, ld_x, m, ld_m, rows, k, n, many, threads) \
    product(y, ld_y, x, ld_x, m, ld_m, rows, k, n)
#include "kernels/rnn_tmpl.h"

pln_status pln_rnn_run_f64(pln_call *c, const void *packed, pln_error *err)
{
    return f64_run(c, (const double *)packed, err);
}
