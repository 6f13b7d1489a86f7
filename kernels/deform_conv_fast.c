/* Deformable convolution in float: where each tap samples is found once for all channels
 * of an offset group, the samples become columns, and the weights multiply these.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/deform_conv.h"
#include "kernels/gemm_f32.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>

/* Four neighbours of a sample; those outside have the weight 0. */
typedef struct spot {
    int32_t at[4];
    float weight[4];
} spot;

typedef struct job {
    const pln_deform *s;
    int64_t image;
    spot *spots; /* [offset group][tap][output] */
    float *cols; /* [channel][tap][output] */
} job;

static spot spot_of(const pln_conv_geom *g, double fy, double fx, float mask)
{
    const int64_t h = g->in[0], w = g->in[1];
    spot s = { { 0 }, { 0 } };
    if (!(fy > -1 && fy < (double)h && fx > -1 && fx < (double)w))
        return s;
    const int64_t y0 = (int64_t)floor(fy), x0 = (int64_t)floor(fx);
    const float ay = (float)(fy - (double)y0), ax = (float)(fx - (double)x0);
    for (int k = 0; k < 4; k++) {
        const int64_t y = y0 + k / 2, x = x0 + k % 2;
        if (y < 0 || y >= h || x < 0 || x >= w)
            continue;
        s.at[k] = (int32_t)(y * w + x);
        s.weight[k] = (k / 2 ? ay : 1 - ay) * (k % 2 ? ax : 1 - ax) * mask;
    }
    return s;
}

/* Items: (offset group, tap) pairs. */
static void find_spots(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_deform *s = j->s;
    const pln_conv_geom *g = &s->g;
    for (int64_t i = begin; i < end; i++) {
        const int64_t t = i % g->taps, ow = g->out[1];
        const int64_t plane = (j->image * s->offset_group * g->taps + i) * g->out_size;
        const float *off = (const float *)s->offset + 2 * plane;
        const float *mask = s->mask ? (const float *)s->mask + plane : NULL;
        for (int64_t o = 0; o < g->out_size; o++) {
            const int64_t y = o / ow * g->stride[0] - g->pad_lo[0] +
                              t / g->kernel[1] * g->dilation[0];
            const int64_t x = o % ow * g->stride[1] - g->pad_lo[1] +
                              t % g->kernel[1] * g->dilation[1];
            j->spots[i * g->out_size + o] =
                spot_of(g, (double)y + (double)off[o],
                        (double)x + (double)off[g->out_size + o], mask ? mask[o] : 1.0f);
        }
    }
}

/* Items: (channel, tap) pairs. */
static void sample(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_conv_geom *g = &j->s->g;
    const int64_t per_offset = g->c / j->s->offset_group;
    for (int64_t i = begin; i < end; i++) {
        const int64_t ch = i / g->taps, t = i % g->taps;
        const float *x = (const float *)j->s->x + (j->image * g->c + ch) * g->in_size;
        const spot *p = j->spots + (ch / per_offset * g->taps + t) * g->out_size;
        float *to = j->cols + i * g->out_size;
        for (int64_t o = 0; o < g->out_size; o++)
            to[o] = p[o].weight[0] * x[p[o].at[0]] + p[o].weight[1] * x[p[o].at[1]] +
                    p[o].weight[2] * x[p[o].at[2]] + p[o].weight[3] * x[p[o].at[3]];
    }
}

static void multiply(const job *j, float *packed, int n_threads)
{
    const pln_conv_geom *g = &j->s->g;
    const pln_gemm_fns *f = pln_gemm();
    const int64_t k = g->cg * g->taps, n = g->out_size;
    for (int64_t grp = 0; grp < g->group; grp++) {
        float *y = (float *)j->s->y + (j->image * g->m + grp * g->mg) * n;
        pln_gemm_pack(f, packed, j->cols + grp * k * n, n, 1, k, n, 0,
                      (n + f->nr - 1) / f->nr);
        const pln_gemm_job p = { .fns = f,
                                 .m = g->mg,
                                 .n = n,
                                 .k = k,
                                 .a = (const float *)j->s->w + grp * g->mg * k,
                                 .a_rs = k,
                                 .a_cs = 1,
                                 .b = packed,
                                 .c = y,
                                 .ldc = n };
        pln_gemm_parallel(&p, n_threads);
        for (int64_t m = 0; j->s->bias && m < g->mg; m++) {
            const float bias = ((const float *)j->s->bias)[grp * g->mg + m];
            for (int64_t o = 0; o < n; o++)
                y[m * n + o] += bias;
        }
    }
}

static void *room(pln_call *c, int64_t a, int64_t b, size_t each)
{
    size_t bytes;
    int64_t n;
    if (!pln_i64_mul(&n, a, b) || n < 0 || !pln_size_mul(&bytes, (size_t)n, each))
        return NULL;
    return pln_call_scratch(c, bytes + 64);
}

pln_status pln_deform_f32(pln_call *c, const pln_deform *s, pln_error *err)
{
    const pln_conv_geom *g = &s->g;
    if (g->in_size > INT32_MAX)
        return pln_call_fail(c, err, PLN_E_LIMIT, "the image is too large");
    job j = { .s = s };
    j.spots = room(c, s->offset_group * g->taps, g->out_size, sizeof *j.spots);
    j.cols = room(c, g->c * g->taps, g->out_size, sizeof *j.cols);
    const int64_t size = pln_gemm_packed_size(pln_gemm(), g->cg * g->taps, g->out_size);
    float *packed = size < 0 ? NULL : room(c, size, 1, sizeof *packed);
    if (!j.spots || !j.cols || !packed)
        return pln_oom(err);
    const int64_t grain = 1 + 4096 / g->out_size;
    for (j.image = 0; j.image < g->n; j.image++) {
        pln_parallel_for(c->n_threads, s->offset_group * g->taps, grain, find_spots, &j);
        pln_parallel_for(c->n_threads, g->c * g->taps, grain, sample, &j);
        multiply(&j, packed, c->n_threads);
    }
    return PLN_OK;
}
