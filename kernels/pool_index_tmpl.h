/* Where the largest values of windows lie, for one instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pool_fns.h"
#include "src/ir/numeric.h"

/* The same pixel where the first spatial dimension is the fastest. */
static int64_t column_major_index(const pool_geo *g, int64_t pixel)
{
    int64_t index = 0, size = 1;
    for (int i = 0; i < g->s; i++) {
        index += pixel / g->step[i] % g->ax[i].in * size;
        size *= g->ax[i].in;
    }
    return index;
}

#define WINDOWS 128 /* side by side */

/* Windows [lo, hi) of n have a tap inside that lies at `start` in the first. */
static inline void windows_inside(const pool_axis *ax, int64_t start, int64_t n,
                                  int64_t *lo, int64_t *hi)
{
    *lo = start < 0 ? (-start + ax->stride - 1) / ax->stride : 0;
    *hi = start < ax->in ? (ax->in - 1 - start) / ax->stride + 1 : 0;
    *hi = *hi < n ? *hi : n;
}

static void put_positions(const pool_index_job *j, int64_t image, int64_t channel,
                          int64_t first, const int64_t *pixel, int64_t n)
{
    const pool_geo *g = &j->pool.geo;
    const int64_t plane = image * g->c + channel, step = j->y_channels_last ? g->c : 1;
    int64_t *y = (int64_t *)j->pool.y +
                 (j->y_channels_last ? (image * g->out_pixels + first) * g->c + channel
                                     : plane * g->out_pixels + first);
    for (int64_t i = 0; i < n; i++) {
        const int64_t index =
            j->column_major ? column_major_index(g, pixel[i]) : pixel[i];
        y[i * step] = pixel[i] < 0 ? 0 : plane * g->in_pixels + index;
    }
}

/* One tap of windows side by side: x[i step] and its pixel, where it is larger. */
#define ONE_TAP(acc, load, step)                         \
    for (int64_t i = lo; i < hi; i++) {                  \
        const acc v = load(p[i * (step)]);               \
        const bool better = (at[i] < 0) | (v > best[i]); \
        best[i] = better ? v : best[i];                  \
        at[i] = better ? pixel + i * ax->stride : at[i]; \
    }

/* Windows [from, from + n) of a row: the pixels of the first of the largest values under
 * each, or -1 where only padding lies. Tap by tap, for all windows in which it lies
 * inside. Then output rows [begin, end), counted over all planes. */
#define POSITIONS(suffix, type, acc, load)                                            \
    static void largest_##suffix(int64_t *restrict at, const type *restrict x,        \
                                 int64_t step,                                        \
                                 const pool_geo *g, const int64_t *o, int64_t from,   \
                                 int64_t n)                                           \
    {                                                                                 \
        const pool_axis *ax = &g->ax[g->s - 1];                                       \
        acc best[WINDOWS] = { 0 };                                                    \
        for (int64_t i = 0; i < n; i++)                                               \
            at[i] = -1;                                                               \
        pool_taps t;                                                                  \
        for (pool_taps_start(&t, g, o); t.more; pool_taps_next(&t, g))                \
            for (int64_t j = 0; j < ax->k; j++) {                                     \
                int64_t lo, hi;                                                       \
                const int64_t start = from * ax->stride - ax->before + j * ax->dil;   \
                const int64_t pixel = t.offset + start;                               \
                const type *p = x + pixel * step;                                     \
                windows_inside(ax, start, n, &lo, &hi);                               \
                if (ax->stride == 1 && step == 1)                                     \
                    ONE_TAP(acc, load, 1)                                             \
                else                                                                  \
                    ONE_TAP(acc, load, ax->stride *step)                              \
            }                                                                         \
    }                                                                                 \
    static void positions_##suffix(void *arg, int64_t begin, int64_t end)             \
    {                                                                                 \
        const pool_index_job *job = arg;                                              \
        const pool_geo *g = &job->pool.geo;                                           \
        const int64_t width = g->ax[g->s - 1].out, rows = g->out_pixels / width;      \
        const int64_t step = g->channels_last ? g->c : 1;                             \
        for (int64_t r = begin; r < end; r++) {                                       \
            const int64_t plane = r / rows, image = plane / g->c,                     \
            channel = plane % g->c;                                                   \
            const type *x = (const type *)job->pool.x +                               \
                            (g->channels_last ? image * g->in_pixels * g->c + channel \
                                              : plane * g->in_pixels);                \
            int64_t o[PLN_MAX_RANK], at[WINDOWS];                                     \
            pool_row_position(g, r % rows, o);                                        \
            for (int64_t from = 0; from < width; from += WINDOWS) {                   \
                const int64_t n = width - from < WINDOWS ? width - from : WINDOWS;    \
                largest_##suffix(at, x, step, g, o, from, n);                         \
                put_positions(job, image, channel, r % rows * width + from, at, n);   \
            }                                                                         \
        }                                                                             \
    }

POSITIONS(f32, float, float, )
POSITIONS(f64, double, double, )
POSITIONS(u8, uint8_t, uint8_t, )
POSITIONS(s8, int8_t, int8_t, )
POSITIONS(f16, uint16_t, float, pln_f16_to_f32)
POSITIONS(bf16, uint16_t, float, pln_bf16_to_f32)
