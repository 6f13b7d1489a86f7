/* Convolutions: our kernels and oneDNN's against the reference.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "kernels/conv.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

extern const pln_op_desc pln_ops_fused[];
#if PLN_DNNL
#include "kernels/dnnl/lower.h"
#endif

typedef struct shape {
    bool transposed;
    int nd;
    int64_t n, c, m, group, in[3], kernel[3], stride, dilation, pad_lo, pad_hi;
} shape;

static const shape shapes[] = {
    { 0, 2, 1, 3, 16, 1, { 32, 32 }, { 3, 3 }, 2, 1, 1, 1 },
    { 0, 2, 2, 16, 33, 1, { 9, 11 }, { 3, 3 }, 1, 1, 1, 1 },
    { 0, 2, 1, 64, 48, 1, { 14, 14 }, { 1, 1 }, 1, 1, 0, 0 },
    { 0, 2, 1, 32, 32, 1, { 15, 13 }, { 1, 1 }, 2, 1, 0, 0 },
    { 0, 2, 1, 24, 24, 24, { 17, 19 }, { 5, 5 }, 2, 1, 2, 2 },
    { 0, 2, 1, 33, 33, 33, { 12, 7 }, { 3, 3 }, 1, 1, 1, 1 },
    { 0, 2, 2, 12, 24, 3, { 8, 9 }, { 3, 2 }, 1, 2, 2, 1 },
    { 0, 2, 1, 1, 4, 1, { 20, 30 }, { 7, 7 }, 3, 1, 0, 3 },
    { 0, 1, 2, 16, 20, 1, { 50 }, { 3 }, 1, 3, 3, 3 },
    { 0, 1, 1, 1, 258, 1, { 576 }, { 256 }, 128, 1, 0, 0 },
    { 0, 1, 1, 12, 12, 12, { 50 }, { 3 }, 1, 1, 1, 1 },
    { 0, 3, 1, 5, 7, 1, { 6, 7, 8 }, { 2, 3, 2 }, 1, 1, 1, 0 },
    { 0, 2, 1, 4, 8, 1, { 3, 3 }, { 3, 3 }, 1, 1, 4, 4 },
    { 0, 1, 2, 128, 64, 1, { 4 }, { 3 }, 2, 1, 1, 1 },
    { 0, 1, 1, 64, 128, 1, { 1 }, { 3 }, 1, 1, 1, 1 },
    { 0, 2, 3, 40, 60, 2, { 1, 1 }, { 1, 1 }, 1, 1, 0, 0 },
    { 0, 1, 2, 3, 20, 1, { 16 }, { 16 }, 1, 1, 0, 0 },
    { 1, 2, 1, 8, 6, 1, { 7, 9 }, { 2, 2 }, 2, 1, 0, 0 },
    { 1, 2, 2, 16, 24, 4, { 7, 6 }, { 3, 3 }, 2, 1, 1, 1 },
    { 1, 2, 1, 16, 16, 16, { 7, 6 }, { 4, 4 }, 2, 1, 1, 1 },
    { 1, 1, 1, 32, 16, 1, { 20 }, { 16 }, 8, 1, 4, 4 },
    { 1, 2, 1, 5, 3, 1, { 5, 4 }, { 3, 2 }, 3, 2, 0, 1 },
};

typedef struct made {
    int64_t strides[3], dilations[3], pads[6];
    pln_conv_attrs attrs;
    pln_tensor *x, *w, *bias, *full, *channel;
    tk_case c;
} made;

static const char *const posts[] = { "add", "relu", "mul", "sigmoid" };
static const float zeros[4];

static void make(made *t, const shape *s, int n_post)
{
    memset(t, 0, sizeof *t);
    int64_t x[5] = { s->n, s->c }, w[5], y[5] = { s->n, s->m };
    w[0] = s->transposed ? s->c : s->m;
    w[1] = (s->transposed ? s->m : s->c) / s->group;
    for (int d = 0; d < s->nd; d++) {
        x[d + 2] = s->in[d];
        w[d + 2] = s->kernel[d];
        t->strides[d] = s->stride;
        t->dilations[d] = s->dilation;
        t->pads[d] = s->pad_lo;
        t->pads[s->nd + d] = s->pad_hi;
        const int64_t span = (s->kernel[d] - 1) * s->dilation + 1;
        y[d + 2] = s->transposed
                       ? (s->in[d] - 1) * s->stride + span - s->pad_lo - s->pad_hi
                       : (s->in[d] + s->pad_lo + s->pad_hi - span) / s->stride + 1;
    }
    const size_t nd = (size_t)s->nd;
    t->attrs = (pln_conv_attrs){ .group = s->group, .dilations = { t->dilations, nd },
                                 .pads = { t->pads, 2 * nd },
                                 .strides = { t->strides, nd },
                                 .post = { { posts, (size_t)n_post },
                                           { zeros, (size_t)n_post },
                                           { zeros, (size_t)n_post } } };
    const int rank = s->nd + 2;
    t->x = tk_tensor(PLN_DT_F32, rank, x);
    t->w = tk_tensor(PLN_DT_F32, rank, w);
    t->bias = tk_tensor(PLN_DT_F32, 1, &s->m);
    t->full = tk_tensor(PLN_DT_F32, rank, y);
    t->channel = tk_tensor(PLN_DT_F32, 3, (int64_t[]){ s->m, 1, 1 });
    if (s->nd == 1)
        t->channel->rank = 2;
    if (s->nd == 3)
        t->channel->rank = 4, t->channel->dims[3] = 1;
    pln_tensor *all[] = { t->x, t->w, t->bias, t->full, t->channel };
    for (int i = 0; i < 5; i++)
        tk_random(all[i], (uint64_t)i + 1, -1, 1);
    t->c = (tk_case){ .op = tk_row(pln_ops_fused,
                                   s->transposed ? "FusedConvTranspose" : "FusedConv"),
                      .attrs = &t->attrs, .n_threads = 2,
                      .n_in = n_post > 2 ? 5 : n_post > 0 ? 4 : 3,
                      .in = { t->x, t->w, t->bias, t->full, t->channel },
                      .constant = { false, true, true, false, true },
                      .out_dtype = PLN_DT_F32, .out_rank = rank };
    memcpy(t->c.out_dims, y, sizeof y);
}

static void done(made *t)
{
    tk_free(t->x), tk_free(t->w), tk_free(t->bias), tk_free(t->full), tk_free(t->channel);
}

static void check_shape(const shape *s, const pln_impl *impl, int index)
{
    for (int n_post = 0; n_post <= 4; n_post += 2) {
        made t;
        make(&t, s, n_post);
        pln_error err = { 0 };
        pln_tensor *want, *got = NULL;
        ck_assert_msg(tk_run(&t.c, NULL, &want, &err) == PLN_OK, "%s", err.text);
        const pln_status st = tk_run(&t.c, impl, &got, &err);
        ck_assert_msg(st == PLN_OK || st == PLN_E_UNSUPPORTED, "%s", err.text);
        if (st != PLN_OK)
            printf("# %s declines shape %d\n", impl->name, index);
        for (int64_t i = 0; got && i < pln_tensor_size(want); i++) {
            const double a = pln_tensor_get_f64(want, i), b = pln_tensor_get_f64(got, i);
            ck_assert_msg(fabs(a - b) <= 2e-4, "shape %d, %d post-ops: at %d %g, want %g",
                          index, n_post, (int)i, b, a);
        }
        tk_free(want), tk_free(got);
        done(&t);
    }
}

static void check_all(const pln_impl *conv, const pln_impl *transposed)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const pln_impl *impl = shapes[i].transposed ? transposed : conv;
        if (impl)
            check_shape(&shapes[i], impl, (int)i);
    }
}

START_TEST(our_kernels)
{
    check_all(tk_row(pln_ops_fused, "FusedConv")->cpu,
              tk_row(pln_ops_fused, "FusedConvTranspose")->cpu);
}
END_TEST

#if PLN_DNNL
START_TEST(onednn)
{
    pln_error err = { 0 };
    if (pln_device_dnnl.open(&err) != PLN_OK) {
        printf("# skipped: %s\n", err.text);
        return;
    }
    check_all(&pln_dnnl_conv, &pln_dnnl_deconv);
}
END_TEST
#endif

static const shape bench_shapes[] = {
    { 0, 2, 1, 3, 64, 1, { 224, 224 }, { 7, 7 }, 2, 1, 3, 3 },
    { 0, 2, 1, 64, 64, 1, { 56, 56 }, { 3, 3 }, 1, 1, 1, 1 },
    { 0, 2, 1, 256, 64, 1, { 56, 56 }, { 1, 1 }, 1, 1, 0, 0 },
    { 0, 2, 1, 64, 256, 1, { 14, 14 }, { 1, 1 }, 1, 1, 0, 0 },
    { 0, 2, 1, 512, 512, 1, { 7, 7 }, { 3, 3 }, 1, 1, 1, 1 },
    { 0, 2, 1, 96, 96, 96, { 56, 56 }, { 3, 3 }, 1, 1, 1, 1 },
    { 0, 2, 1, 240, 240, 240, { 14, 14 }, { 5, 5 }, 1, 1, 2, 2 },
    { 0, 2, 1, 16, 16, 1, { 160, 160 }, { 3, 3 }, 1, 1, 1, 1 },
    { 0, 1, 1, 192, 192, 1, { 100 }, { 5 }, 1, 1, 2, 2 },
    { 0, 1, 1, 192, 192, 192, { 100 }, { 3 }, 1, 1, 1, 1 },
    { 1, 2, 1, 24, 24, 1, { 160, 160 }, { 2, 2 }, 2, 1, 0, 0 },
};

static void bench_one(const shape *s, const pln_impl *impl)
{
    made t;
    make(&t, s, 0);
    const double time = tk_bench(&t.c, impl, 0.2, NULL);
    double flops = 2.0 * (double)pln_tensor_size(t.w) *
                   (double)pln_tensor_size(s->transposed ? t.x : t.full) /
                   (double)(s->transposed ? s->c : s->m);
    printf("# %-11s %d-D %3d->%3d g%-3d @%-3d k%d s%d: %9.1f us %7.1f GF/s\n", impl->name,
           s->nd, (int)s->c, (int)s->m, (int)s->group, (int)s->in[0], (int)s->kernel[0],
           (int)s->stride, time * 1e6, flops * 1e-9 / time);
    done(&t);
}

static void bench(void)
{
    for (size_t i = 0; i < sizeof bench_shapes / sizeof *bench_shapes; i++) {
        const shape *s = &bench_shapes[i];
        const pln_impl *ours = tk_row(pln_ops_fused, s->transposed ? "FusedConvTranspose"
                                                                   : "FusedConv")->cpu;
        if (ours)
            bench_one(s, ours);
#if PLN_DNNL
        if (pln_device_dnnl.open(NULL) == PLN_OK)
            bench_one(s, s->transposed ? &pln_dnnl_deconv : &pln_dnnl_conv);
#endif
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    Suite *s = suite_create("conv");
    TCase *t = tcase_create("conv");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, our_kernels);
#if PLN_DNNL
    tcase_add_test(t, onednn);
#endif
    suite_add_tcase(s, t);
    return unit_main(s);
}
