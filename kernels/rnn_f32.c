/* Recurrent operators in float: the input's product is one matrix product for all steps,
 * the recurrence a vector against a transposed matrix.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/gemm_f32.h"
#include "kernels/rnn.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

/* How it is done does not depend on rows, so that results don't on the number of threads.
 */
static void product(float *y, int64_t ld_y, const float *x, int64_t ld_x, const float *m,
                    int64_t ld_m, int64_t rows, int64_t k, int64_t n, int64_t many,
                    int n_threads)
{
    if (many >= 4) {
        const pln_gemm_job g = { .fns = pln_gemm(),
                                 .m = rows,
                                 .n = n,
                                 .k = k,
                                 .a = x,
                                 .a_rs = ld_x,
                                 .a_cs = 1,
                                 .b = m,
                                 .b_ld = ld_m,
                                 .c = y,
                                 .ldc = ld_y };
        pln_gemm_parallel(&g, n_threads);
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        memset(y + i * ld_y, 0, (size_t)n * sizeof *y);
        pln_vec()->gemv(y + i * ld_y, m, ld_m, x + i * ld_x, k, n);
    }
}

static void activate(const pln_rnn_act *a, float *v, int64_t n)
{
    const pln_vec_fns *f = pln_vec();
    if (a->fn == pln_rnn_sigmoid)
        f->sigmoid(v, v, n, 0, 0);
    else if (a->fn == pln_rnn_tanh)
        f->tanh(v, v, n, 0, 0);
    else if (a->fn == pln_rnn_relu)
        f->relu(v, v, n, 0, 0);
    else
        for (int64_t i = 0; i < n; i++)
            v[i] = (float)a->fn(v[i], a->alpha, a->beta);
}

#define REAL         float
#define PLN_DT_WORK  PLN_DT_F32
#define NAME(x)      f32_##x
#define PRODUCT      product
#define ACT(a, v, n) activate(a, v, n)
#include "kernels/rnn_tmpl.h"

pln_status pln_rnn_run_f32(pln_call *c, const void *packed, pln_error *err)
{
    return f32_run(c, (const float *)packed, err);
}

/* ---- packing ----------------------------------------------------------------------- */

typedef struct weights {
    const pln_allocator *alloc;
    _Alignas(64) float data[]; /* W transposed, then R */
} weights;

static void release(void *state)
{
    weights *w = (weights *)state;
    pln_release(w->alloc, w);
}

static pln_status pack(pln_prep *p, void **state, pln_error *err)
{
    const pln_tensor *w = p->in[1], *r = p->in[2];
    const int64_t pitch = f32_pitch(w->dims[1]);
    const int64_t line = w->dims[2] > r->dims[2] ? w->dims[2] : r->dims[2];
    const size_t rows_w = (size_t)(w->dims[0] * w->dims[2]);
    const size_t rows_r = (size_t)(r->dims[0] * r->dims[2]);
    size_t bytes;
    if (!pln_size_mul(&bytes, rows_w + rows_r, (size_t)pitch) ||
        !pln_size_add(&bytes, bytes, (size_t)line) ||
        !pln_size_mul(&bytes, bytes, sizeof(float)) ||
        !pln_size_add(&bytes, bytes, sizeof(weights)))
        return pln_oom(err);
    weights *out = (weights *)pln_alloc_aligned(p->alloc, bytes, 64);
    if (!out)
        return pln_oom(err);
    out->alloc = p->alloc;
    float *data_r = out->data + rows_w * (size_t)pitch;
    float *spare = data_r + rows_r * (size_t)pitch;
    f32_transpose(out->data, w, spare);
    f32_transpose(data_r, r, spare);
    *state = out;
    return PLN_OK;
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    if (p->in[0]->dtype == PLN_DT_F64 || p->in[1]->rank != 3 || p->in[2]->rank != 3)
        return PLN_E_UNSUPPORTED;
    if (!p->in[1]->data || !p->in[2]->data || p->in[1]->dims[1] != p->in[2]->dims[1])
        return PLN_OK;
    PLN_TRY(p->shared(p, 0, pack, release, &p->state, err));
    p->packed[1] = p->packed[2] = true;
    return PLN_OK;
}

static pln_status run(pln_call *c, pln_error *err)
{
    const weights *w = (const weights *)c->state;
    return pln_rnn_run_f32(c, w ? w->data : NULL, err);
}

const pln_impl pln_rnn_cpu = { "rnn_f32", prepare, run, NULL };
