/* Vector loops: every pointer at every instruction set against the C version, with odd
 * tails and guard elements. --bench times them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/vec.h"
#include "src/util/cpu.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

#define MAX   300
#define GUARD 77.25f

typedef struct named_unary {
    const char *name;
    size_t offset;
    double lo, hi; /* of the input */
    double rel, abs;
} named_unary;

#define EXACT 0, 0
#define SOFT  4e-7, 1.2e-7
#define U(n, lo, hi, ...)                                 \
    {                                                     \
#n, offsetof(pln_vec_fns, n), lo, hi, __VA_ARGS__ \
    }
static const named_unary unary[] = {
    U(relu, -3, 3, EXACT),
    U(leaky_relu, -3, 3, EXACT),
    U(clip, -3, 3, EXACT),
    U(sigmoid, -100, 100, SOFT),
    U(tanh, -12, 12, SOFT),
    U(gelu, -10, 10, 4e-7, 4e-7),
    U(gelu_tanh, -10, 10, 6e-7, 4e-7),
    U(swish, -50, 50, 6e-7, 2e-7),
    U(hard_sigmoid, -9, 9, EXACT),
    U(hard_swish, -9, 9, EXACT),
    U(elu, -20, 5, SOFT),
    U(softplus, -80, 80, SOFT),
    U(mish, -30, 30, 6e-7, 2e-7),
    U(exp, -87, 88, 4e-7, 1e-40),
    U(log, 1e-30, 100, SOFT),
    U(sqrt, 0, 100, EXACT),
    U(abs, -3, 3, EXACT),
    U(neg, -3, 3, EXACT),
    U(linear, -3, 3, EXACT),
    U(erf, -5, 5, SOFT),
    U(reciprocal, -3, 3, EXACT),
    U(floor, -9, 9, EXACT),
    U(ceil, -9, 9, EXACT),
    U(round, -9, 9, EXACT),
    U(square, -3, 3, EXACT),
    U(sin, -7, 7, SOFT),
    U(sin, -99000, 99000, SOFT),
    U(sin, -1e9, 1e9, SOFT),
    U(cos, -7, 7, SOFT),
    U(cos, -99000, 99000, SOFT),
    U(cos, -1e9, 1e9, SOFT),
    U(atan, -2, 2, SOFT),
    U(atan, -1e4, 1e4, SOFT),
    U(selu, -20, 5, SOFT),
    U(celu, -9, 5, SOFT),
    U(softsign, -9, 9, EXACT),
    U(thresholded_relu, -3, 3, EXACT),
};

typedef struct named_binary {
    const char *name;
    size_t offset;
} named_binary;
#define X(n) { #n, offsetof(pln_vec_fns, n) },
static const named_binary binary[] = { PLN_VEC_BINARY(X) };
#undef X

static pln_vec_unary unary_of(const pln_vec_fns *f, size_t offset)
{
    pln_vec_unary u;
    memcpy(&u, (const char *)f + offset, sizeof u);
    return u;
}

static pln_vec_binary binary_of(const pln_vec_fns *f, size_t offset)
{
    pln_vec_binary b;
    memcpy(&b, (const char *)f + offset, sizeof b);
    return b;
}

static float next_value(uint64_t *seed, double lo, double hi)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(lo + (hi - lo) * (double)(*seed >> 40) / 16777216.0);
}

static void fill(float *x, int64_t n, double lo, double hi)
{
    uint64_t seed = (uint64_t)n + 1;
    for (int64_t i = 0; i < n; i++)
        x[i] = next_value(&seed, lo, hi);
}

static bool near(double a, double b, double rel, double abs)
{
    if (a != a || b != b)
        return a != a && b != b;
    return a == b || fabs(a - b) <= abs + rel * fabs(b);
}

static void compare(const char *name, int isa, const float *y, const float *want,
                    int64_t n, double rel, double abs)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(near(y[i], want[i], rel, abs), "%s %s at %d of %d: %.9g, want %.9g",
                      name, pln_isa_name((pln_isa)isa), (int)i, (int)n, (double)y[i],
                      (double)want[i]);
    ck_assert_msg(y[n] == GUARD, "%s wrote past its end", name);
}

static void check_unary(const named_unary *u, int isa, int64_t n)
{
    float x[MAX], y[MAX + 1], want[MAX];
    const pln_vec_unary fn = unary_of(pln_vec_for(isa), u->offset);
    fill(x, n, u->lo, u->hi);
    unary_of(pln_vec_for(PLN_ISA_C), u->offset)(want, x, n, 0.25f, 0.5f);
    y[n] = GUARD;
    fn(y, x, n, 0.25f, 0.5f);
    compare(u->name, isa, y, want, n, u->rel, u->abs);
    memcpy(y, x, (size_t)n * sizeof *x); /* in place */
    fn(y, y, n, 0.25f, 0.5f);
    compare(u->name, isa, y, want, n, u->rel, u->abs);
}

START_TEST(unary_loops)
{
    for (int isa = 1; isa < PLN_ISA_COUNT; isa++)
        for (size_t k = 0; k < sizeof unary / sizeof *unary && pln_vec_for(isa); k++)
            for (int64_t n = 0; n < 200; n += n < 40 ? 1 : 37)
                check_unary(&unary[k], isa, n);
}
END_TEST

/* NaN, infinities, zeros and extremes give what the C library gives. */
START_TEST(special_values)
{
    static const float x[] = { NAN,     INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f,
                               -1e-40f, 1e38f,    -1e38f,    100,  -100,  1,
                               -1,      1e-10f,   -1e-10f,   89,   -104,  20.5f };
    const int64_t n = sizeof x / sizeof *x;
    for (int isa = 1; isa < PLN_ISA_COUNT; isa++)
        for (size_t k = 0; k < sizeof unary / sizeof *unary && pln_vec_for(isa); k++) {
            float y[32], want[32];
            unary_of(pln_vec_for(PLN_ISA_C), unary[k].offset)(want, x, n, 0.25f, 0.5f);
            y[n] = GUARD;
            unary_of(pln_vec_for(isa), unary[k].offset)(y, x, n, 0.25f, 0.5f);
            if (!strcmp(unary[k].name, "swish") || !strcmp(unary[k].name, "hard_swish") ||
                !strcmp(unary[k].name, "mish") || !strncmp(unary[k].name, "gelu", 4))
                y[2] = want[2]; /* -inf times 0 or its limit: either is right */
            compare(unary[k].name, isa, y, want, n, 1e-6, 2e-7);
        }
}
END_TEST

START_TEST(binary_loops)
{
    float a[MAX], b[MAX], y[MAX + 1], want[MAX];
    for (int isa = 1; isa < PLN_ISA_COUNT; isa++)
        for (size_t k = 0; k < sizeof binary / sizeof *binary && pln_vec_for(isa); k++)
            for (int64_t n = 1; n < 200; n += n < 40 ? 1 : 37)
                for (int s = 0; s < 4; s++) {
                    fill(a, n, -2, 2);
                    fill(b, n, -1, 3);
                    a[n / 2] = NAN;
                    y[n] = GUARD;
                    binary_of(pln_vec_for(0), binary[k].offset)(want, a, s & 1, b, s >> 1,
                                                                n);
                    binary_of(pln_vec_for(isa), binary[k].offset)(y, a, s & 1, b, s >> 1,
                                                                  n);
                    compare(binary[k].name, isa, y, want, n, 0, 0);
                }
}
END_TEST

static void check_sums(const pln_vec_fns *f, const pln_vec_fns *c, int64_t n)
{
    float x[MAX], z[MAX], y[MAX + 1], want[MAX];
    fill(x, n, -2, 2);
    fill(z, n, -3, 1);
    ck_assert(near(f->sum(x, n), c->sum(x, n), 1e-6, 1e-5));
    ck_assert(near(f->sum_abs(x, n), c->sum_abs(x, n), 1e-6, 1e-6));
    ck_assert(near(f->sum_square(x, n, 0.5f), c->sum_square(x, n, 0.5f), 1e-6, 1e-6));
    ck_assert(near(f->dot(x, z, n), c->dot(x, z, n), 1e-6, 1e-5));
    ck_assert(f->max_of(x, n) == c->max_of(x, n));
    ck_assert(f->min_of(x, n) == c->min_of(x, n));
    y[n] = GUARD;
    ck_assert(near(f->exp_sum(y, x, n, 2), c->exp_sum(want, x, n, 2), 1e-6, 0));
    compare("exp_sum", PLN_ISA_AVX2, y, want, n, 4e-7, 0);
    if (n)
        ck_assert(near(f->log_sum_exp(x, n, 2), c->log_sum_exp(x, n, 2), 1e-6, 1e-6));
    for (int k = 0; k < 5; k++) {
        fill(y, n, -1, 1);
        memcpy(want, y, (size_t)n * sizeof *y);
        y[n] = GUARD;
        for (int w = 0; w < 2; w++) {
            const pln_vec_fns *g = w ? c : f;
            float *o = w ? want : y;
            if (k == 0)
                g->add_to(o, x, n);
            else if (k == 1)
                g->add_square_to(o, x, n);
            else if (k == 2)
                g->axpy(o, x, 0.3f, n);
            else if (k == 3)
                g->scale_shift(o, x, z, x, n);
            else
                g->normalize(o, x, n & 1 ? z : NULL, n & 2 ? x : NULL, 0.1f, 1.5f, n);
        }
        compare("accumulate", PLN_ISA_AVX2, y, want, n, 1e-6, 1e-6);
    }
    if (n) {
        x[n - 1] = NAN;
        ck_assert(isnan(f->max_of(x, n)) && isnan(f->min_of(x, n)));
    }
}

START_TEST(sums)
{
    for (int isa = 1; isa < PLN_ISA_COUNT; isa++)
        for (int64_t n = 0; n < 200 && pln_vec_for(isa); n += n < 80 ? 1 : 37)
            check_sums(pln_vec_for(isa), pln_vec_for(PLN_ISA_C), n);
}
END_TEST

START_TEST(vector_by_matrix)
{
    static float m[40 * 301], x[40], y[302], want[302];
    fill(m, 40 * 301, -1, 1);
    fill(x, 40, -1, 1);
    for (int isa = 1; isa < PLN_ISA_COUNT; isa++)
        for (int64_t n = 1; n <= 301 && pln_vec_for(isa); n += 20) {
            fill(y, n, -1, 1);
            memcpy(want, y, sizeof want);
            y[n] = GUARD;
            pln_vec_for(isa)->gemv(y, m, 301, x, 40, n);
            pln_vec_for(PLN_ISA_C)->gemv(want, m, 301, x, 40, n);
            compare("gemv", isa, y, want, n, 1e-5, 1e-5);
        }
}
END_TEST

static void check_quant(const pln_vec_fns *f, const pln_vec_fns *c, int64_t n)
{
    float x[MAX], y[MAX + 1], want[MAX];
    uint8_t q[MAX + 1], qw[MAX];
    int8_t s[MAX + 1], sw[MAX];
    int32_t w[MAX];
    fill(x, n, -40, 40);
    for (int64_t i = 0; i < n; i += 5)
        x[i] = 0.125f * (float)i; /* ties */
    if (n > 3)
        x[3] = NAN;
    q[n] = 99;
    s[n] = 99;
    f->quant_u8(q, x, n, 0.25f, 113);
    c->quant_u8(qw, x, n, 0.25f, 113);
    f->quant_s8(s, x, n, 0.25f, -3);
    c->quant_s8(sw, x, n, 0.25f, -3);
    ck_assert(!memcmp(q, qw, (size_t)n) && !memcmp(s, sw, (size_t)n) && q[n] == 99 &&
              s[n] == 99);
    uint8_t table[256], t[MAX + 1], tw[MAX];
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)(i * i + 7 * i / 3);
    for (int64_t i = 0; i < n; i++)
        q[i] = (uint8_t)(i * 37 + n);
    t[n] = 99;
    f->map_bytes(t, q, n, table);
    c->map_bytes(tw, q, n, table);
    ck_assert(!memcmp(t, tw, (size_t)n) && t[n] == 99);
    y[n] = GUARD;
    f->dequant_u8(y, q, n, 0.3f, 7);
    c->dequant_u8(want, q, n, 0.3f, 7);
    compare("dequant_u8", PLN_ISA_AVX2, y, want, n, 0, 0);
    f->dequant_s8(y, s, n, 0.3f, -7);
    c->dequant_s8(want, s, n, 0.3f, -7);
    compare("dequant_s8", PLN_ISA_AVX2, y, want, n, 0, 0);
    for (int64_t i = 0; i < n; i++)
        w[i] = (int32_t)(i * 77777777);
    f->dequant_s32(y, w, n, 0.3f);
    c->dequant_s32(want, w, n, 0.3f);
    compare("dequant_s32", PLN_ISA_AVX2, y, want, n, 0, 0);
}

START_TEST(quantization)
{
    for (int isa = 1; isa < PLN_ISA_COUNT; isa++)
        for (int64_t n = 0; n < 200 && pln_vec_for(isa); n += n < 80 ? 1 : 37)
            check_quant(pln_vec_for(isa), pln_vec_for(PLN_ISA_C), n);
}
END_TEST

/* All 65536 short floats, and floats around every one of them. */
START_TEST(short_floats)
{
    static uint16_t h[65536], back[65536], want_back[65536];
    static float y[65536], want[65536];
    for (int i = 0; i < 65536; i++)
        h[i] = (uint16_t)i;
    for (int isa = 1; isa < PLN_ISA_COUNT; isa++) {
        const pln_vec_fns *f = pln_vec_for(isa), *c = pln_vec_for(PLN_ISA_C);
        for (int bf = 0; f && bf < 2; bf++) {
            (bf ? f->bf16_f32 : f->f16_f32)(y, h, 65536);
            (bf ? c->bf16_f32 : c->f16_f32)(want, h, 65536);
            ck_assert(!memcmp(y, want, sizeof y) || bf == 0);
            for (int i = 0; i < 65536; i++)
                ck_assert(near(y[i], want[i], 0, 0));
            for (int k = -1; k < 2; k++) {
                for (int i = 0; i < 65536; i++)
                    y[i] = want[i] * (1 + (float)k * 0.0004f);
                (bf ? f->f32_bf16 : f->f32_f16)(back, y, 65533);
                (bf ? c->f32_bf16 : c->f32_f16)(want_back, y, 65533);
                ck_assert(!memcmp(back, want_back, 65533 * 2));
            }
        }
    }
}
END_TEST

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void bench(void)
{
    enum { N = 8192, TIMES = 2000 };
    static float x[N], z[N], y[N];
    fill(x, N, -2, 2);
    fill(z, N, 1, 2);
    for (size_t k = 0; k < sizeof unary / sizeof *unary; k++) {
        printf("# %-14s", unary[k].name);
        for (int isa = 0; isa < PLN_ISA_COUNT; isa++) {
            if (!pln_vec_for(isa))
                continue;
            const double t0 = seconds();
            const int times = isa ? TIMES : TIMES / 20;
            for (int i = 0; i < times; i++)
                unary_of(pln_vec_for(isa), unary[k].offset)(y, x, N, 0.25f, 0.5f);
            printf(" %s %.3f ns", pln_isa_name((pln_isa)isa),
                   (seconds() - t0) * 1e9 / N / times);
        }
        printf("\n");
    }
    for (size_t k = 0; k < sizeof binary / sizeof *binary; k++) {
        printf("# %-14s", binary[k].name);
        for (int isa = 0; isa < PLN_ISA_COUNT; isa++) {
            if (!pln_vec_for(isa))
                continue;
            const double t0 = seconds();
            for (int i = 0; i < TIMES; i++)
                binary_of(pln_vec_for(isa), binary[k].offset)(y, x, 1, z, 1, N);
            printf(" %s %.3f ns", pln_isa_name((pln_isa)isa),
                   (seconds() - t0) * 1e9 / N / TIMES);
        }
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    Suite *s = suite_create("vec");
    TCase *t = tcase_create("vec");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, unary_loops);
    tcase_add_test(t, special_values);
    tcase_add_test(t, binary_loops);
    tcase_add_test(t, sums);
    tcase_add_test(t, vector_by_matrix);
    tcase_add_test(t, quantization);
    tcase_add_test(t, short_floats);
    suite_add_tcase(s, t);
    return unit_main(s);
}
