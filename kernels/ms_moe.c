/* MoE of com.microsoft.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_moe.h"

#include "kernels/block.h"
#include "kernels/gemm_f32.h"
#include "kernels/ms_attention.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"

static const pln_attr_spec moe_spec[] = { PLN_MOE_ATTRS(pln_moe_attrs), PLN_A_END };

enum { X, ROUTER, FC1, FC1_BIAS, FC2, FC2_BIAS, FC3, FC3_BIAS };

#define FEW 8 /* rows for which the weights are read as they lie */

typedef struct room {
    float *values, *packed; /* an expert's matrix: as floats, in panels */
} room;

typedef struct dots {
    const float *a, *w;
    float *y;
    int64_t rows, n, k;
} dots;

static void few_rows(void *arg, int64_t begin, int64_t end)
{
    const dots *d = arg;
    for (int64_t j = begin; j < end; j++)
        for (int64_t i = 0; i < d->rows; i++)
            d->y[i * d->n + j] = pln_vec()->dot(d->a + i * d->k, d->w + j * d->k, d->k);
}

static void product_ref(const dots *d)
{
    for (int64_t i = 0; i < d->rows * d->n; i++) {
        double sum = 0;
        for (int64_t p = 0; p < d->k; p++)
            sum += (double)d->a[i / d->n * d->k + p] * d->w[i % d->n * d->k + p];
        d->y[i] = (float)sum;
    }
}

static pln_status product(pln_moe *m, int fc, int64_t e, const float *a, int64_t rows,
                          float *y, pln_error *err)
{
    (void)err;
    const room *r = m->own;
    const pln_tensor *t = m->c->in[m->w[fc]];
    const int64_t n = m->n[fc], k = m->k[fc];
    dots d = { .a = a, .w = r->values, .y = y, .rows = rows, .n = n, .k = k };
    if (t->dtype == PLN_DT_F32)
        d.w = PLN_DATA(const float, t) + e * n * k;
    else
        pln_block_load(PLN_DT_F32, r->values, t, e * n * k, 1, n * k);
    if (m->plain) {
        product_ref(&d);
    } else if (rows <= FEW) {
        pln_parallel_for(m->c->n_threads, n, 65536 / (k + 1) + 1, few_rows, &d);
    } else {
        const pln_gemm_fns *f = pln_gemm();
        pln_gemm_pack(f, r->packed, d.w, 1, k, k, n, 0, (n + f->nr - 1) / f->nr);
        const pln_gemm_job g = { .fns = f,
                                 .m = rows,
                                 .n = n,
                                 .k = k,
                                 .a = a,
                                 .a_rs = k,
                                 .a_cs = 1,
                                 .b = r->packed,
                                 .c = y,
                                 .ldc = n };
        pln_gemm_parallel(&g, m->c->n_threads);
    }
    return PLN_OK;
}

static pln_status check_weights(const pln_moe *m, pln_error *err)
{
    for (int fc = 0; fc < 3; fc++) {
        if (!pln_call_has(m->c, m->w[fc]))
            continue;
        const pln_tensor *t = m->c->in[m->w[fc]];
        if (t->rank != 3 || t->dims[0] != m->experts || t->dims[1] != m->n[fc] ||
            t->dims[2] != m->k[fc])
            return pln_call_fail(m->c, err, PLN_E_RUN,
                                 "weights (input %u) are not %lld experts of %lld x %lld",
                                 m->w[fc], (long long)m->experts, (long long)m->n[fc],
                                 (long long)m->k[fc]);
    }
    return PLN_OK;
}

static pln_status find_room(pln_moe *m, room *r, pln_error *err)
{
    const pln_gemm_fns *f = pln_gemm();
    int64_t packed = 0, size = 0;
    for (int fc = 0; fc < 3; fc++) {
        const int64_t p = pln_gemm_packed_size(f, m->k[fc], m->n[fc]);
        packed = p > packed ? p : packed;
        size = m->n[fc] * m->k[fc] > size ? m->n[fc] * m->k[fc] : size;
    }
    if (m->c->in[FC1]->dtype != PLN_DT_F32)
        PLN_TRY(pln_ms_floats(m->c, size, &r->values, err));
    return pln_ms_floats(m->c, m->tokens > FEW ? packed : 0, &r->packed, err);
}

static pln_status moe_any(pln_call *c, bool plain, pln_error *err)
{
    room r = { 0 };
    pln_moe m = { .c = c,
                  .at = c->attrs,
                  .plain = plain,
                  .w = { FC1, FC2, FC3 },
                  .b = { FC1_BIAS, FC2_BIAS, FC3_BIAS },
                  .product = product,
                  .own = &r };
    PLN_TRY(pln_moe_find(&m, err));
    PLN_TRY(check_weights(&m, err));
    PLN_TRY(find_room(&m, &r, err));
    return pln_moe_run(&m, err);
}

static pln_status moe_ref(pln_call *c, pln_error *err)
{
    return moe_any(c, true, err);
}

static pln_status moe_run(pln_call *c, pln_error *err)
{
    return moe_any(c, false, err);
}

static const pln_impl moe_cpu = { "moe_f32", pln_ms_prepare, moe_run, NULL };

const pln_op_desc pln_ops_ms_moe[] = {
    { .name = "MoE",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 5, 8 },
      .out = { 1, 1 },
      .types = "T:float,float16,bfloat16",
      .sig = "T,T,T,T?,T,T?,T?,T?->T",
      .attrs = moe_spec,
      .attrs_size = sizeof(pln_moe_attrs),
      .infer = pln_infer_same,
      .ref = moe_ref,
      .cpu = &moe_cpu },
    { .name = NULL },
};
