/* Pooling of one element type and one way of combining. Before including it:
 *     NAME(x)       a name for this pair
 *     ELEM, ACC     the element in memory; what is computed with
 *     LOAD, STORE   between the two
 *     INIT          the neutral value
 *     STEP(a, v)    a combined with another value
 *     JOIN(a, b)    two partial results
 *     FINISH(a, n)  the result of n values
 * SPDX-License-Identifier: Apache-2.0 */

#define TMP   1024 /* columns that are combined at a time */
#define LANES 16

/* A long contiguous row in LANES partial results, so that it vectorizes. */
static ACC NAME(row)(const ELEM *x, int64_t n, const pool_geo *g, ACC acc)
{
    ACC part[LANES];
    int64_t i = 0;
    for (int l = 0; l < LANES; l++)
        part[l] = INIT;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            part[l] = STEP(part[l], LOAD(x[i + l]));
    for (; i < n; i++)
        part[0] = STEP(part[0], LOAD(x[i]));
    for (int l = 0; l < LANES; l++)
        acc = JOIN(acc, part[l]);
    return acc;
}

/* One window after the other, over all its rows. */
static void NAME(direct)(const ELEM *x, ELEM *y, const pool_geo *g, const int64_t *o)
{
    const pool_axis *ax = &g->ax[g->s - 1];
    for (int64_t ow = 0; ow < ax->out; ow++) {
        ACC acc = INIT;
        const int64_t start = ow * ax->stride - ax->before;
        pool_taps t;
        for (pool_taps_start(&t, g, o); t.more; pool_taps_next(&t, g)) {
            if (!t.inside)
                continue;
            const ELEM *row = x + t.offset;
            if (ax->dil == 1) {
                const int64_t a = start < 0 ? 0 : start;
                const int64_t b = start + ax->k < ax->in ? start + ax->k : ax->in;
                acc = NAME(row)(row + a, b > a ? b - a : 0, g, acc);
            } else {
                for (int64_t j = 0; j < ax->k; j++) {
                    const int64_t at = start + j * ax->dil;
                    if (at >= 0 && at < ax->in)
                        acc = STEP(acc, LOAD(row[at]));
                }
            }
        }
        const int64_t n = t.count * pool_count(ax, ow, g->include_pad);
        y[ow] = STORE(FINISH(acc, n));
    }
}

/* acc[i] joined with t[i step], which lie `step` apart; the compiler vectorizes the usual
 * steps. */
static void NAME(spread)(ACC *acc, const ACC *t, int64_t step, int64_t n)
{
    if (step == 1)
        for (int64_t i = 0; i < n; i++)
            acc[i] = JOIN(acc[i], t[i]);
    else if (step == 2)
        for (int64_t i = 0; i < n; i++)
            acc[i] = JOIN(acc[i], t[2 * i]);
    else
        for (int64_t i = 0; i < n; i++)
            acc[i] = JOIN(acc[i], t[i * step]);
}

/* Columns of all rows of the windows are combined first, then the windows slide over
 * them: for output columns [from, to). tmp[0] is the first column of the first window;
 * columns outside are neutral. */
static void NAME(slide)(const ELEM *x, ELEM *y, const pool_geo *g, const int64_t *o,
                        int64_t from, int64_t to)
{
    const pool_axis *ax = &g->ax[g->s - 1];
    const int64_t start = from * ax->stride - ax->before, n = to - from;
    const int64_t width = (n - 1) * ax->stride + pool_reach(ax);
    const int64_t first = start < 0 ? 0 : start;
    const int64_t end = start + width > ax->in ? ax->in : start + width;
    const int64_t cols = end > first ? end - first : 0;
    ACC tmp[TMP], acc[TMP];
    for (int64_t i = 0; i < width; i++)
        tmp[i] = INIT;
    for (int64_t i = 0; i < n; i++)
        acc[i] = INIT;
    ACC *column = tmp + (first - start);
    pool_taps t;
    for (pool_taps_start(&t, g, o); t.more; pool_taps_next(&t, g)) {
        const ELEM *row = x + t.offset + first;
        for (int64_t i = 0; t.inside && i < cols; i++)
            column[i] = STEP(column[i], LOAD(row[i]));
    }
    for (int64_t j = 0; j < ax->k; j++)
        NAME(spread)(acc, tmp + j * ax->dil, ax->stride, n);
    /* Windows [lo, hi) lie inside, and count all their columns. */
    int64_t lo = start < 0 ? (-start + ax->stride - 1) / ax->stride : 0;
    int64_t hi = (ax->in - start - pool_reach(ax)) / ax->stride + 1;
    hi = ax->in - start < pool_reach(ax) ? 0 : hi > n ? n : hi;
    lo = lo < hi ? lo : hi;
    for (int64_t i = 0; i < lo; i++)
        y[from + i] = STORE(
            FINISH(acc[i], t.count * pool_count(ax, from + i, g->include_pad)));
    const int64_t all = t.count * ax->k;
    for (int64_t i = lo; i < hi; i++)
        y[from + i] = STORE(FINISH(acc[i], all));
    for (int64_t i = hi; i < n; i++)
        y[from + i] = STORE(
            FINISH(acc[i], t.count * pool_count(ax, from + i, g->include_pad)));
}

/* Output rows [begin, end), counted over all planes. */
static void NAME(plain)(void *arg, int64_t begin, int64_t end)
{
    const pool_job *job = arg;
    const pool_geo *g = &job->geo;
    const pool_axis *ax = &g->ax[g->s - 1];
    const int64_t rows = g->out_pixels / ax->out;
    const int64_t fit = (TMP - pool_reach(ax)) / ax->stride;
    for (int64_t r = begin; r < end; r++) {
        int64_t o[PLN_MAX_RANK];
        pool_row_position(g, r % rows, o);
        const ELEM *x = (const ELEM *)job->x + r / rows * g->in_pixels;
        ELEM *y = (ELEM *)job->y + r * ax->out;
        if (ax->out == 1 || fit < 1) {
            NAME(direct)(x, y, g, o);
            continue;
        }
        for (int64_t ow = 0; ow < ax->out; ow += fit)
            NAME(slide)(x, y, g, o, ow, ow + fit < ax->out ? ow + fit : ax->out);
    }
}

/* One output pixel, channels [c0, c1). */
static void NAME(pixel)(const pool_job *job, int64_t pixel, int64_t c0, int64_t c1)
{
    const pool_geo *g = &job->geo;
    const pool_axis *ax = &g->ax[g->s - 1];
    const int64_t per = g->out_pixels, row = pixel % per / ax->out, ow = pixel % ax->out;
    const ELEM *x = (const ELEM *)job->x + pixel / per * g->in_pixels * g->c + c0;
    ELEM *y = (ELEM *)job->y + pixel * g->c + c0;
    ACC acc[POOL_CHANNELS];
    const int64_t n = c1 - c0;
    for (int64_t i = 0; i < n; i++)
        acc[i] = INIT;
    int64_t o[PLN_MAX_RANK];
    pool_row_position(g, row, o);
    pool_taps t;
    for (pool_taps_start(&t, g, o); t.more; pool_taps_next(&t, g)) {
        for (int64_t j = 0; t.inside && j < ax->k; j++) {
            const int64_t at = ow * ax->stride - ax->before + j * ax->dil;
            if (at < 0 || at >= ax->in)
                continue;
            const ELEM *from = x + (t.offset + at) * g->c;
            for (int64_t i = 0; i < n; i++)
                acc[i] = STEP(acc[i], LOAD(from[i]));
        }
    }
    const int64_t count = t.count * pool_count(ax, ow, g->include_pad);
    for (int64_t i = 0; i < n; i++)
        y[i] = STORE(FINISH(acc[i], count));
}

/* Items: output pixels of all images, each in groups of POOL_CHANNELS channels. */
static void NAME(last)(void *arg, int64_t begin, int64_t end)
{
    const pool_job *job = arg;
    const int64_t c = job->geo.c, groups = (c + POOL_CHANNELS - 1) / POOL_CHANNELS;
    for (int64_t i = begin; i < end; i++) {
        const int64_t c0 = i % groups * POOL_CHANNELS;
        NAME(pixel)(job, i / groups, c0, c0 + POOL_CHANNELS < c ? c0 + POOL_CHANNELS : c);
    }
}

#undef TMP
#undef LANES
#undef NAME
#undef ELEM
#undef ACC
#undef LOAD
#undef STORE
#undef INIT
#undef STEP
#undef JOIN
#undef FINISH
