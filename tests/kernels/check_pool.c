/* The loops of pooling at every instruction set against windows taken one by one.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/pool_fns.h"
#include "src/util/cpu.h"
#include "tests/unit/main.h"

#define IN    4096
#define GUARD 77

static uint64_t seed = 5;

static int64_t pick(int64_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

/* One or two spatial dimensions, some wider than what is combined at a time. */
static pool_geo random_geo(bool wide)
{
    pool_geo g = {
        .s = wide ? 1 : 1 + (int)pick(3), .n = 1, .c = 1 + pick(2), .p = 2, .inv_p = 0.5
    };
    g.include_pad = pick(2);
    g.in_pixels = g.out_pixels = 1;
    for (int i = g.s - 1; i >= 0; i--) {
        pool_axis *ax = &g.ax[i];
        do {
            *ax =
                (pool_axis){ .in = wide ? 1500 + pick(400) : 1 + pick(g.s == 3 ? 9 : 40),
                             .k = 1 + pick(6),
                             .stride = 1 + pick(3),
                             .dil = 1 + pick(2),
                             .before = pick(4),
                             .after = pick(4) };
        } while (ax->in + ax->before + ax->after < pool_reach(ax));
        ax->out = (ax->in + ax->before + ax->after - pool_reach(ax)) / ax->stride + 1;
        g.step[i] = g.in_pixels;
        g.in_pixels *= ax->in;
        g.out_pixels *= ax->out;
    }
    return g;
}

/* The window of output pixel o of a plane: its largest value, its mean. */
static void window(const pool_geo *g, const double *x, int64_t o, double *max,
                   double *mean)
{
    int64_t at[3], tap[3] = { 0 }, n = 0;
    double sum = 0;
    *max = -INFINITY;
    for (int i = g->s - 1; i >= 0; i--) {
        at[i] = o % g->ax[i].out * g->ax[i].stride - g->ax[i].before;
        o /= g->ax[i].out;
    }
    for (int i = 0; i >= 0;) {
        bool inside = true, counted = true;
        int64_t pixel = 0;
        for (i = 0; i < g->s; i++) {
            const int64_t p = at[i] + tap[i] * g->ax[i].dil;
            inside &= p >= 0 && p < g->ax[i].in;
            counted &= p < g->ax[i].in + g->ax[i].after;
            pixel += p * g->step[i];
        }
        n += g->include_pad ? counted : inside;
        if (inside) {
            sum += x[pixel];
            *max = x[pixel] > *max ? x[pixel] : *max;
        }
        for (i = g->s - 1; i >= 0 && ++tap[i] == g->ax[i].k; i--)
            tap[i] = 0;
    }
    *mean = n ? sum / (double)n : 0;
}

static void check_geo(const pool_table *table, const pool_geo *g)
{
    static double x[2 * IN], y64[2 * IN + 1];
    static float x32[2 * IN], y32[2 * IN + 1];
    const int64_t in = g->c * g->in_pixels, out = g->c * g->out_pixels;
    if (g->in_pixels > IN || g->out_pixels > IN)
        return;
    for (int64_t i = 0; i < in; i++)
        x32[i] = (float)(x[i] = (double)(pick(2001) - 1000) / 64);
    x32[pick(in)] = NAN; /* which no window takes for its largest */
    for (int64_t i = 0; i < in; i++)
        x[i] = x32[i];
    for (int kind = POOL_MAX; kind <= POOL_AVG; kind++) {
        pool_job single = { *g, x32, y32 }, twice = { *g, x, y64 };
        y32[out] = GUARD, y64[out] = GUARD;
        const int64_t rows = out / g->ax[g->s - 1].out, half = rows / 2;
        table->fns[kind][PLN_DT_F32].plain(&single, 0, half);
        table->fns[kind][PLN_DT_F32].plain(&single, half, rows);
        table->fns[kind][PLN_DT_F64].plain(&twice, 0, rows);
        for (int64_t i = 0; i < out; i++) {
            double max, mean;
            window(g, x + i / g->out_pixels * g->in_pixels, i % g->out_pixels, &max,
                   &mean);
            const double want = kind == POOL_MAX ? max : mean;
            if (want != want)
                ck_assert(y32[i] != y32[i] && y64[i] != y64[i]);
            else
                ck_assert_msg(y32[i] == (float)want || fabs(y32[i] - want) < 1e-4,
                              "element %d: %g, want %g", (int)i, (double)y32[i], want);
            ck_assert(want != want || y64[i] == want || fabs(y64[i] - want) < 1e-12);
        }
        ck_assert(y32[out] == GUARD && y64[out] == GUARD);
    }
}

static void check_table(const pool_table *table)
{
    for (int k = 0; k < 400; k++) {
        const pool_geo g = random_geo(k % 20 == 0);
        check_geo(table, &g);
    }
}

START_TEST(windows)
{
    check_table(&pool_c);
#if defined(__x86_64__)
    if (pln_cpu_flags() & PLN_CPU_AVX2)
        check_table(&pool_avx2);
    if (pln_cpu_flags() & PLN_CPU_AVX512)
        check_table(&pool_avx512);
#endif
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    Suite *s = suite_create("pool");
    TCase *t = tcase_create("pool");
    tcase_set_timeout(t, 100);
    tcase_add_test(t, windows);
    suite_add_tcase(s, t);
    return unit_main(s);
}
