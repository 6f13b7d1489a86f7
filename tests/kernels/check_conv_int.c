/* Integer convolutions against the reference, bit for bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "kernels/quant_fused.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

extern const pln_op_desc pln_ops_qlinear[], pln_ops_quant_fused[];

typedef struct shape {
    int nd;
    int64_t n, c, m, group, in[2], kernel, stride, dilation, pad;
} shape;

static const shape shapes[] = {
    { 2, 1, 3, 16, 1, { 15, 17 }, 3, 2, 1, 1 },  { 2, 2, 16, 33, 1, { 9, 11 }, 3, 1, 1,
      1 },
    { 2, 1, 64, 48, 1, { 14, 14 }, 1, 1, 1, 0 }, { 2, 1, 24, 24, 24, { 17, 19 }, 5, 2, 1,
      2 },
    { 2, 2, 12, 24, 3, { 8, 9 }, 2, 1, 2, 1 },   { 1, 2, 16, 20, 1, { 50, 1 }, 3, 1, 3,
      3 },
};

static pln_tensor *filled(pln_dtype dt, int rank, const int64_t *dims, double lo,
                          double hi)
{
    static uint64_t seed;
    pln_tensor *t = tk_tensor(dt, rank, dims);
    tk_random(t, ++seed, lo, hi);
    return t;
}

static pln_tensor *some_bytes(bool is_signed, int rank, const int64_t *dims, bool extreme)
{
    const double lo = is_signed ? -128 : 0, hi = is_signed ? 127 : 255;
    return filled(is_signed ? PLN_DT_S8 : PLN_DT_U8, rank, dims, extreme ? hi : lo, hi);
}

static void compare(const tk_case *c)
{
    pln_error err = { 0 };
    pln_tensor *want, *got;
    ck_assert_msg(tk_run(c, NULL, &want, &err) == PLN_OK, "%s", err.text);
    ck_assert_msg(tk_run(c, c->op->cpu, &got, &err) == PLN_OK, "%s", err.text);
    ck_assert_msg(memcmp(want->data, got->data, (size_t)pln_tensor_size(want) *
                                                    pln_dtype_size(c->out_dtype)) == 0,
                  "%s differs", c->op->name);
    tk_free(want), tk_free(got);
}

static void check_shape(const shape *s, int v)
{
    static const char *const posts[] = { "add", "relu" };
    static const float zero[2];
    const bool sx = v & 1, sw = v & 2, by_channel = v & 4, quantized = v & 8, sy = v & 16;
    const int64_t strides[] = { s->stride, s->stride },
                  dils[] = { s->dilation, s->dilation };
    const int64_t pads[] = { s->pad, s->pad, s->pad, s->pad };
    const size_t nd = (size_t)s->nd;
    const int rank = s->nd + 2;
    int64_t x[4] = { s->n, s->c }, w[4] = { s->m, s->c / s->group },
            y[4] = { s->n, s->m };
    for (int d = 0; d < s->nd; d++) {
        x[d + 2] = s->in[d];
        w[d + 2] = s->kernel;
        y[d + 2] =
            (s->in[d] + 2 * s->pad - (s->kernel - 1) * s->dilation - 1) / s->stride + 1;
    }
    pln_conv_attrs at = { .group = s->group,
                          .dilations = { dils, nd },
                          .strides = { strides, nd },
                          .pads = { pads, 2 * nd } };
    const int64_t one = 1, channels = by_channel ? s->m : 1;
    pln_tensor *t[10] = { some_bytes(sx, rank, x, v == 3),
                          some_bytes(sw, rank, w, v == 3),
                          filled(PLN_DT_F32, 1, &one, 0.01, 0.02),
                          some_bytes(sx, 1, &one, false),
                          filled(PLN_DT_F32, 1, &channels, 0.001, 0.002),
                          some_bytes(sw, 1, &channels, false),
                          filled(v & 4 ? PLN_DT_S32 : PLN_DT_F32, 1, &s->m, -1000, 1000),
                          filled(PLN_DT_F32, 1, &one, 0.05, 0.1),
                          some_bytes(sy, 1, &one, false),
                          filled(PLN_DT_F32, rank, y, -5, 5) };
    tk_case c = { .op = tk_row(pln_ops_qlinear, "ConvInteger"),
                  .attrs = &at,
                  .n_threads = 2,
                  .n_in = 4,
                  .in = { t[0], t[1], t[3], t[5] },
                  .constant = { false, true },
                  .out_dtype = PLN_DT_S32,
                  .out_rank = rank };
    memcpy(c.out_dims, y, sizeof y);
    compare(&c);
    at.post = (pln_postop_attrs){ { posts, 2 }, { zero, 2 }, { zero, 2 } };
    c.op = tk_row(pln_ops_quant_fused, "QConv");
    c.n_in = 10;
    for (int i = 0; i < 10; i++)
        c.in[i] = t[i];
    if (!quantized)
        c.in[7] = c.in[8] = NULL;
    c.out_dtype = !quantized ? PLN_DT_F32 : sy ? PLN_DT_S8 : PLN_DT_U8;
    compare(&c);
    for (int i = 0; i < 10; i++)
        tk_free(t[i]);
}

START_TEST(integer_and_fused)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int v = 0; v < 32; v++)
            check_shape(&shapes[i], v);
    }
}
END_TEST

static void bench(void)
{
    static const shape s[] = { { 2, 1, 64, 64, 1, { 56, 56 }, 3, 1, 1, 1 },
                               { 2, 1, 256, 64, 1, { 56, 56 }, 1, 1, 1, 0 },
                               { 2, 1, 512, 512, 1, { 7, 7 }, 3, 1, 1, 1 } };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const int64_t x[4] = { 1, s[i].c, s[i].in[0], s[i].in[1] };
        const int64_t w[4] = { s[i].m, s[i].c, s[i].kernel, s[i].kernel };
        const int64_t pads[4] = { s[i].pad, s[i].pad, s[i].pad, s[i].pad };
        const pln_conv_attrs at = { .group = 1, .pads = { pads, 4 } };
        pln_tensor *tx = some_bytes(false, 4, x, false),
                   *tw = some_bytes(true, 4, w, false);
        tk_case c = { .op = tk_row(pln_ops_qlinear, "ConvInteger"),
                      .attrs = &at,
                      .n_threads = 2,
                      .n_in = 2,
                      .in = { tx, tw },
                      .constant = { false, true },
                      .out_dtype = PLN_DT_S32,
                      .out_rank = 4,
                      .out_dims = { 1, s[i].m, s[i].in[0], s[i].in[1] } };
        const double time = tk_bench(&c, c.op->cpu, 0.2, NULL);
        printf("# %3d->%3d @%-3d k%d %9.1f us %7.1f G/s\n", (int)s[i].c, (int)s[i].m,
               (int)s[i].in[0], (int)s[i].kernel, time * 1e6,
               2e-9 * (double)(s[i].m * s[i].in[0] * s[i].in[1] * s[i].c * s[i].kernel *
                               s[i].kernel) / time);
        tk_free(tx), tk_free(tw);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    Suite *s = suite_create("conv_int");
    TCase *t = tcase_create("conv_int");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, integer_and_fused);
    suite_add_tcase(s, t);
    return unit_main(s);
}
