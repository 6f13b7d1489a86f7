/* Attention in float: a row of scores at a time, by the vector loops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention.h"

#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

typedef struct job {
    pln_call *c;
    pln_attention a;
    bool biased;
    double *bias; /* of each head: `total` doubles */
    float *score; /* of each head: `total` floats */
    _Atomic int failed;
} job;

/* First row of head h and the distance to the next, of the old or the new keys or values.
 */
static const float *rows_of(const job *j, uint32_t in, int64_t b, int64_t h, int64_t dim,
                            int64_t *step)
{
    const pln_tensor *t = j->c->in[in];
    const int64_t len = in > 3 ? j->a.past : j->a.kv_len;
    *step = t->rank == 4 ? dim : j->a.kv_heads * dim;
    return PLN_DATA(const float, t) +
           pln_attention_row(t, j->a.kv_heads, b, h, 0, len, dim);
}

static void scores(const job *j, const float *q, int64_t b, int64_t h, float *out)
{
    const pln_vec_fns *f = pln_vec();
    int64_t step;
    for (int part = 0; part < 2; part++) {
        const int64_t n = part ? j->a.kv_len : j->a.past;
        if (n == 0)
            continue;
        const float *k = rows_of(j, part ? 1 : 4, b, h, j->a.dim, &step);
        for (int64_t i = 0; i < n; i++)
            *out++ = f->dot(q, k + i * step, j->a.dim) * (float)j->a.scale;
    }
}

static void weighted(const job *j, const float *p, int64_t b, int64_t h, float *y)
{
    int64_t step;
    memset(y, 0, (size_t)j->a.v_dim * sizeof *y);
    for (int part = 0; part < 2; part++) {
        const int64_t n = part ? j->a.kv_len : j->a.past;
        if (n == 0)
            continue;
        const float *v = rows_of(j, part ? 2 : 5, b, h, j->a.v_dim, &step);
        pln_vec()->gemv(y, v, step, p, n, j->a.v_dim);
        p += n;
    }
}

static void one_row(job *j, int64_t b, int64_t h, int64_t i, float *s, double *bias)
{
    const pln_attention_attrs *at = (const pln_attention_attrs *)j->c->attrs;
    const pln_attention *a = &j->a;
    const pln_vec_fns *f = pln_vec();
    const pln_tensor *q = j->c->in[0], *y = j->c->out[0];
    const int64_t kv = h / (a->q_heads / a->kv_heads), n = a->total;
    bool hidden = n == 0;
    scores(j,
           PLN_DATA(const float, q) +
               pln_attention_row(q, a->q_heads, b, h, i, a->q_len, a->dim),
           b, kv, s);
    if (at->softcap > 0) {
        f->linear(s, s, n, 1 / at->softcap, 0);
        f->tanh(s, s, n, 0, 0);
        f->linear(s, s, n, at->softcap, 0);
    }
    if (j->biased) {
        if (pln_attention_bias(j->c, a, b, h, i, bias, &hidden, NULL) != PLN_OK)
            atomic_store(&j->failed, 1);
        for (int64_t k = 0; k < n; k++)
            s[k] += (float)bias[k];
    }
    const float sum = f->exp_sum(s, s, n, f->max_of(s, n));
    f->linear(s, s, n, 1 / sum, 0);
    if (hidden)
        memset(s, 0, (size_t)n * sizeof *s);
    weighted(j, s, b, kv,
             PLN_DATA(float, y) +
                 pln_attention_row(y, a->q_heads, b, h, i, a->q_len, a->v_dim));
}

static void heads(void *arg, int64_t begin, int64_t end)
{
    job *j = (job *)arg;
    for (int64_t l = begin; l < end; l++)
        for (int64_t i = 0; i < j->a.q_len; i++)
            one_row(j, l / j->a.q_heads, l % j->a.q_heads, i, j->score + l * j->a.total,
                    j->biased ? j->bias + l * j->a.total : NULL);
}

static pln_status run(pln_call *c, pln_error *err)
{
    const pln_attention_attrs *at = (const pln_attention_attrs *)c->attrs;
    job j = { .c = c };
    size_t n, bytes;
    bool hidden;
    PLN_TRY(pln_attention_find(c, &j.a, err));
    const int64_t n_heads = j.a.batch * j.a.q_heads;
    j.biased = pln_call_has(c, 3) || j.a.nonpad || at->is_causal ||
               at->left_window_size >= 0 || at->right_window_size >= 0;
    if (!pln_size_mul(&n, (size_t)n_heads, (size_t)j.a.total) ||
        !pln_size_mul(&bytes, n, 12))
        return pln_oom(err);
    j.bias = (double *)pln_call_scratch(c, bytes);
    if (!j.bias)
        return pln_oom(err);
    j.score = (float *)(j.bias + n);
    if (n_heads == 0 || j.a.q_len == 0)
        return PLN_OK;
    if (j.biased) /* a mask that does not fit is told here, with its text */
        PLN_TRY(pln_attention_bias(c, &j.a, 0, 0, 0, j.bias, &hidden, err));
    pln_parallel_for(c->n_threads, n_heads, 1, heads, &j);
    if (atomic_load(&j.failed))
        return pln_call_fail(c, err, PLN_E_RUN, "attn_mask does not fit");
    pln_attention_present(c, &j.a);
    return PLN_OK;
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    const pln_attention_attrs *a = (const pln_attention_attrs *)p->attrs;
    (void)err;
    if (a->softmax_precision > PLN_DT_F32 || (p->n_out > 3 && p->out[3]))
        return PLN_E_UNSUPPORTED;
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && i != 3 && i != 6 && p->in[i]->dtype != PLN_DT_F32)
            return PLN_E_UNSUPPORTED;
        p->layout_in[i] = PLN_LAYOUT_PLAIN;
    }
    return p->n_out > 0 && p->out[0] ? PLN_OK : PLN_E_UNSUPPORTED;
}

const pln_impl pln_attention_cpu = { "attention_f32", prepare, run, NULL };
