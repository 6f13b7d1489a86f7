/* Pooling of one element type and one way of combining. Before including it:
 *     NAME(x)       a name for this pair
 *     ELEM, ACC     the element in memory; what is computed with
 *     LOAD, STORE   between the two
 *     INIT          the neutral value
 *     STEP(a, v)    a combined with another value
 *     JOIN(a, b)    two partial results
 *     FINISH(a, n)  the result of n values, n an ACC and at least 1
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

/* What FINISH takes; a window of padding alone has the neutral value itself. */
static inline ACC NAME(count)(int64_t n)
{
    return (ACC)(n > 1 ? n : 1);
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
        const ACC n = NAME(count)(t.count * pool_count(ax, ow, g->include_pad));
        y[ow] = STORE(FINISH(acc, n));
    }
}

/* t[i] = the elements i of up to three rows combined, with those before unless
 * `first`. */
static inline void NAME(columns)(ACC *restrict t, const ELEM *const *row, int n_rows,
                                 bool first, int64_t n, const pool_geo *g)
{
    (void)g;
    const ELEM *p = row[0], *q = row[1], *r = row[2];
    if (first && n_rows == 2)
        for (int64_t i = 0; i < n; i++)
            t[i] = STEP(STEP(INIT, LOAD(p[i])), LOAD(q[i]));
    else if (first && n_rows == 3)
        for (int64_t i = 0; i < n; i++)
            t[i] = STEP(STEP(STEP(INIT, LOAD(p[i])), LOAD(q[i])), LOAD(r[i]));
    else {
        for (int64_t i = 0; first && i < n; i++)
            t[i] = INIT;
        for (int k = 0; k < n_rows; k++) {
            p = row[k];
            for (int64_t i = 0; i < n; i++)
                t[i] = STEP(t[i], LOAD(p[i]));
        }
    }
}

/* acc[i] = t[i step] joined with the k - 1 that follow it `dil` apart. Called with
 * constants, for which the compiler vectorizes it. */
static inline __attribute__((always_inline)) void
NAME(join)(ACC *restrict acc, const ACC *restrict t, int64_t k, int64_t step, int64_t dil,
           int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        ACC a = t[i * step];
        for (int64_t j = 1; j < k; j++)
            a = JOIN(a, t[i * step + j * dil]);
        acc[i] = a;
    }
}

static void NAME(windows)(ACC *restrict acc, const ACC *restrict t, const pool_axis *ax,
                          int64_t n)
{
    const int64_t k = ax->k, step = ax->stride, dil = ax->dil;
    if (step == 2 && dil == 1 && k == 2)
        NAME(join)(acc, t, 2, 2, 1, n);
    else if (step == 2 && dil == 1 && k == 3)
        NAME(join)(acc, t, 3, 2, 1, n);
    else if (step == 1 && k == 2)
        NAME(join)(acc, t, 2, 1, dil, n);
    else if (step == 1 && k >= 3) {
        NAME(join)(acc, t, 3, 1, dil, n);
        for (int64_t j = 3; j < k; j++)
            for (int64_t i = 0; i < n; i++)
                acc[i] = JOIN(acc[i], t[i + j * dil]);
    } else {
        NAME(join)(acc, t, 1, step, dil, n);
        for (int64_t j = 1; j < k; j++)
            for (int64_t i = 0; i < n; i++)
                acc[i] = JOIN(acc[i], t[i * step + j * dil]);
    }
}

/* Windows [from, to) of the span: their divisors differ at the borders. */
static void NAME(border)(ELEM *y, const ACC *acc, int64_t from, int64_t to,
                         const pool_span *s, int64_t rows, const pool_geo *g)
{
    const pool_axis *ax = &g->ax[g->s - 1];
    for (int64_t i = from; i < to; i++) {
        const ACC n = NAME(count)(rows * pool_count(ax, s->from + i, g->include_pad));
        y[i] = STORE(FINISH(acc[i], n));
    }
}

/* Columns of all rows of the windows are combined first, then the windows slide over
 * them. tmp[0] is the first column of the first window; those outside are neutral. */
static void NAME(slide)(const ELEM *x, ELEM *y, ACC *tmp, const pool_geo *g,
                        const int64_t *o, const pool_span *s)
{
    ACC acc[TMP];
    const ELEM *row[3] = { x, x, x };
    int rows = 0;
    bool first = true;
    pool_taps t;
    for (pool_taps_start(&t, g, o); t.more; pool_taps_next(&t, g)) {
        row[rows++] = x + t.offset + s->first;
        if (rows == 3) {
            NAME(columns)(tmp + s->skip, row, rows, first, s->cols, g);
            rows = 0;
            first = false;
        }
    }
    if (rows || first)
        NAME(columns)(tmp + s->skip, row, rows, first, s->cols, g);
    NAME(windows)(acc, tmp, &g->ax[g->s - 1], s->n);
    y += s->from;
    NAME(border)(y, acc, 0, s->lo, s, t.count, g);
    const ACC all = NAME(count)(t.count * g->ax[g->s - 1].k);
    for (int64_t i = s->lo; i < s->hi; i++)
        y[i] = STORE(FINISH(acc[i], all));
    NAME(border)(y, acc, s->hi, s->n, s, t.count, g);
}

/* Output rows [begin, end), counted over all planes. */
static void NAME(plain)(void *arg, int64_t begin, int64_t end)
{
    const pool_job *job = arg;
    const pool_geo *g = &job->geo;
    const pool_axis *ax = &g->ax[g->s - 1];
    const int64_t rows = g->out_pixels / ax->out;
    const int64_t fit = ax->out == 1 ? 0 : (TMP - pool_reach(ax)) / ax->stride;
    ACC tmp[TMP];
    for (int64_t ow = 0; ow < ax->out; ow += fit < 1 ? ax->out : fit) {
        pool_span s = { 0 };
        if (fit >= 1)
            pool_span_of(&s, ax, ow, ow + fit < ax->out ? ow + fit : ax->out);
        for (int64_t i = 0; fit >= 1 && i < s.width; i++)
            tmp[i] = INIT;
        const ELEM *x = (const ELEM *)job->x + begin / rows * g->in_pixels;
        int64_t o[PLN_MAX_RANK];
        pool_row_position(g, begin % rows, o);
        for (int64_t r = begin; r < end; r++) {
            ELEM *y = (ELEM *)job->y + r * ax->out;
            if (fit < 1)
                NAME(direct)(x, y, g, o);
            else
                NAME(slide)(x, y, tmp, g, o, &s);
            if (pool_row_next(g, o))
                x += g->in_pixels;
        }
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
        for (int64_t j = 0; j < ax->k; j++) {
            const int64_t at = ow * ax->stride - ax->before + j * ax->dil;
            if (at < 0 || at >= ax->in)
                continue;
            const ELEM *from = x + (t.offset + at) * g->c;
            for (int64_t i = 0; i < n; i++)
                acc[i] = STEP(acc[i], LOAD(from[i]));
        }
    }
    const ACC count = NAME(count)(t.count * pool_count(ax, ow, g->include_pad));
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
