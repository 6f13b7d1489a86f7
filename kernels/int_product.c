/* Exact 8-bit integer products in plain C.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/int_product.h"
#include "src/util/parallel.h"

bool pln_zero_set(pln_zero *z, const pln_tensor *t, int64_t n)
{
    *z = (pln_zero){ .batch = 1, .len = 1 };
    if (!t)
        return true;
    const int64_t size = pln_tensor_size(t);
    z->v = t->data;
    z->flip = pln_byte_flip((pln_dtype)t->dtype);
    if (size == 1)
        return true;
    z->step = 1;
    z->len = n;
    if (n <= 0 || size % n || size == 0)
        return n == 0 && size == 0;
    z->batch = size / n;
    return true;
}

typedef struct mm_job {
    const pln_mm *g;
    const uint8_t *a, *b;
    int a_flip, b_flip;
    const pln_zero *a_zero, *b_zero;
    int32_t *acc;
} mm_job;

static void mm_rows(void *arg, int64_t begin, int64_t end)
{
    enum { BLOCK = 64 };
    const mm_job *j = arg;
    const pln_mm *g = j->g;
    for (int64_t r = begin; r < end; r++) {
        const int64_t batch = r / g->m, i = r % g->m;
        int64_t ao, bo;
        pln_mm_offsets(g, batch, &ao, &bo);
        const uint8_t *a = j->a + ao + i * g->a_rs;
        const int32_t az = pln_zero_at(j->a_zero, batch, i);
        for (int64_t n0 = 0; n0 < g->n; n0 += BLOCK) {
            const int64_t len = g->n - n0 < BLOCK ? g->n - n0 : BLOCK;
            uint32_t sum[BLOCK] = { 0 };
            int32_t bz[BLOCK];
            for (int64_t n = 0; n < len; n++)
                bz[n] = pln_zero_at(j->b_zero, batch, n0 + n);
            for (int64_t k = 0; k < g->k; k++) {
                const int32_t x = pln_byte_value(a[k * g->a_cs], j->a_flip) - az;
                const uint8_t *b = j->b + bo + k * g->b_rs + n0 * g->b_cs;
                for (int64_t n = 0; n < len; n++)
                    sum[n] += (uint32_t)(x * (pln_byte_value(b[n * g->b_cs], j->b_flip) -
                                              bz[n]));
            }
            for (int64_t n = 0; n < len; n++)
                j->acc[r * g->n + n0 + n] = (int32_t)sum[n];
        }
    }
}

pln_status pln_int_mm_ref(const pln_call *c, const pln_mm *g, const pln_tensor *a,
                          const pln_tensor *b, const pln_zero *a_zero,
                          const pln_zero *b_zero, int32_t *acc)
{
    mm_job j = { .g = g, .a = a->data, .b = b->data,
                 .a_flip = pln_byte_flip((pln_dtype)a->dtype),
                 .b_flip = pln_byte_flip((pln_dtype)b->dtype),
                 .a_zero = a_zero, .b_zero = b_zero, .acc = acc };
    pln_parallel_for(c->n_threads, g->n ? g->batch * g->m : 0, 1, mm_rows, &j);
    return PLN_OK;
}

typedef struct conv_job {
    const pln_conv_geom *g;
    const uint8_t *x, *w;
    int x_flip, w_flip;
    const pln_zero *x_zero, *w_zero;
    int32_t *acc;
} conv_job;

static void conv_planes(void *arg, int64_t begin, int64_t end)
{
    const conv_job *j = arg;
    const pln_conv_geom *g = j->g;
    const int32_t xz = pln_zero_at(j->x_zero, 0, 0);
    for (int64_t p = begin; p < end; p++) {
        const int64_t m = p % g->m, grp = m / g->mg;
        const int32_t wz = pln_zero_at(j->w_zero, 0, m);
        const uint8_t *x = j->x + (p / g->m * g->c + grp * g->cg) * g->in_size;
        const uint8_t *w = j->w + m * g->w_m;
        int64_t at[PLN_CONV_MAX + 1] = { 0 };
        for (int64_t o = 0; o < g->out_size; o++) {
            uint32_t sum = 0;
            int64_t tap[PLN_CONV_MAX + 1] = { 0 };
            for (int64_t t = 0; t < g->taps; t++) {
                /* Padding is the zero point: it adds nothing. */
                const int64_t i = pln_conv_tap(g, at, tap);
                for (int64_t c = 0; i >= 0 && c < g->cg; c++)
                    sum +=
                        (uint32_t)((pln_byte_value(x[i + c * g->in_size], j->x_flip) -
                                    xz) *
                                   (pln_byte_value(w[t + c * g->w_c], j->w_flip) - wz));
                pln_conv_next(g->nd, tap, g->kernel);
            }
            j->acc[p * g->out_size + o] = (int32_t)sum;
            pln_conv_next(g->nd, at, g->out);
        }
    }
}

pln_status pln_int_conv_ref(const pln_call *c, const pln_conv_geom *g,
                            const pln_tensor *x, const pln_tensor *w,
                            const pln_zero *x_zero, const pln_zero *w_zero, int32_t *acc)
{
    conv_job j = { .g = g, .x = x->data, .w = w->data,
                   .x_flip = pln_byte_flip((pln_dtype)x->dtype),
                   .w_flip = pln_byte_flip((pln_dtype)w->dtype),
                   .x_zero = x_zero, .w_zero = w_zero, .acc = acc };
    pln_parallel_for(c->n_threads, g->out_size ? g->n * g->m : 0, 1, conv_planes, &j);
    return PLN_OK;
}

typedef struct dequant_job {
    const pln_dequant *q;
    int32_t *acc;
    int64_t len, channels;
} dequant_job;

static void dequant_rows(void *arg, int64_t begin, int64_t end)
{
    const dequant_job *j = arg;
    const pln_dequant *q = j->q;
    for (int64_t r = begin; r < end; r++) {
        int32_t *row = j->acc + r * j->len;
        for (int64_t i = 0; i < j->len; i++) {
            const int64_t ch = j->channels ? r % j->channels : i;
            uint32_t v = (uint32_t)row[i];
            if (q->bias_int)
                v += (uint32_t)q->bias_int[ch * q->bias_step];
            float f = (float)(int32_t)v * (q->a_scale * q->b_scale[ch * q->b_step]);
            if (q->bias)
                f += q->bias[ch * q->bias_step];
            __builtin_memcpy(row + i, &f, sizeof f);
        }
    }
}

void pln_dequant_apply(const pln_call *c, const pln_dequant *q, void *acc, int64_t rows,
                       int64_t len, int64_t channels)
{
    dequant_job j = { .q = q, .acc = acc, .len = len, .channels = channels };
    if (rows && len)
        pln_parallel_for(c->n_threads, rows, 1 + 8192 / len, dequant_rows, &j);
}
