/* The loops of pooling by kind and element type: plain C that the compiler vectorizes,
 * compiled once for each instruction set. All sets give the same results but for the
 * order of a long row's sum.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_POOL_FNS_H
#define PLN_KERNELS_POOL_FNS_H

#include "kernels/pool.h"

typedef enum pool_kind { POOL_MAX, POOL_AVG, POOL_LP, POOL_L2, POOL_KINDS } pool_kind;

typedef struct pool_job {
    pool_geo geo;
    const void *x;
    void *y;
} pool_job;

/* Ranges of a pool_job: output rows of all planes; or, where channels are last, output
 * pixels of all images, each in groups of POOL_CHANNELS channels. */
typedef struct pool_fns {
    pln_range_fn plain, last;
} pool_fns;

#define POOL_CHANNELS 256

typedef struct pool_index_job {
    pool_job pool; /* y: positions */
    bool column_major;
    bool y_channels_last;
} pool_index_job;

typedef struct pool_table {
    pool_fns fns[POOL_KINDS][PLN_DT_COUNT];
    /* Ranges of a pool_index_job: output rows of all planes. Where the largest values
       lie. */
    pln_range_fn positions[PLN_DT_COUNT];
} pool_table;

extern const pool_table pool_c;
#if defined(__x86_64__)
extern const pool_table pool_avx2, pool_avx512;
#endif

/* The taps [lo, hi) of window o of an axis that lie inside, or in the padding too. */
static inline void pool_reached(const pool_axis *ax, int64_t o, bool include_pad,
                                int64_t *lo, int64_t *hi)
{
    const int64_t start = o * ax->stride - ax->before;
    const int64_t end = include_pad ? ax->in + ax->after : ax->in;
    *lo = !include_pad && start < 0 ? (-start + ax->dil - 1) / ax->dil : 0;
    *hi = ax->k;
    if (start + (ax->k - 1) * ax->dil >= end)
        *hi = end > start ? (end - start + ax->dil - 1) / ax->dil : 0;
    *hi = *hi > *lo ? *hi : *lo;
}

/* Taps of one window of an axis that the divisor of an average counts. */
static inline int64_t pool_count(const pool_axis *ax, int64_t o, bool include_pad)
{
    int64_t lo, hi;
    pool_reached(ax, o, include_pad, &lo, &hi);
    return hi - lo;
}

/* The rows of a window inside the image: taps of all spatial dimensions but the last. */
typedef struct pool_taps {
    int64_t tap[PLN_MAX_RANK], lo[PLN_MAX_RANK], hi[PLN_MAX_RANK];
    int64_t offset; /* in pixels, of the row */
    int64_t count;  /* rows that the divisor of an average counts */
    bool more;
} pool_taps;

static inline void pool_taps_start(pool_taps *t, const pool_geo *g, const int64_t *o)
{
    t->offset = 0;
    t->count = 1;
    t->more = true;
    for (int i = 0; i < g->s - 1; i++) {
        const pool_axis *ax = &g->ax[i];
        pool_reached(ax, o[i], false, &t->lo[i], &t->hi[i]);
        t->tap[i] = t->lo[i];
        t->more &= t->lo[i] < t->hi[i];
        t->offset += (o[i] * ax->stride - ax->before + t->lo[i] * ax->dil) * g->step[i];
        t->count *= g->include_pad ? pool_count(ax, o[i], true) : t->hi[i] - t->lo[i];
    }
}

static inline void pool_taps_next(pool_taps *t, const pool_geo *g)
{
    for (int i = g->s - 2; i >= 0; i--) {
        const int64_t step = g->ax[i].dil * g->step[i];
        if (++t->tap[i] < t->hi[i]) {
            t->offset += step;
            return;
        }
        t->tap[i] = t->lo[i];
        t->offset -= (t->hi[i] - 1 - t->lo[i]) * step;
    }
    t->more = false;
}

static inline void pool_row_position(const pool_geo *g, int64_t row, int64_t *o)
{
    for (int i = g->s - 2; i >= 0; i--) {
        o[i] = row % g->ax[i].out;
        row /= g->ax[i].out;
    }
}

/* Whether it was the last row of a plane; then o is the next plane's first. */
static inline bool pool_row_next(const pool_geo *g, int64_t *o)
{
    for (int i = g->s - 2; i >= 0; i--) {
        if (++o[i] < g->ax[i].out)
            return false;
        o[i] = 0;
    }
    return true;
}

/* Windows of a row side by side: the columns that they cover, and those of the input. */
typedef struct pool_span {
    int64_t from, n;           /* windows */
    int64_t width; /* columns from the first window's first to the last one's last */
    int64_t first, cols, skip; /* input columns among them, behind `skip` outside */
    int64_t lo, hi; /* windows [lo, hi) lie inside, and count all their columns */
} pool_span;

static inline void pool_span_of(pool_span *s, const pool_axis *ax, int64_t from,
                                int64_t to)
{
    const int64_t start = from * ax->stride - ax->before, reach = pool_reach(ax);
    s->from = from;
    s->n = to - from;
    s->width = (s->n - 1) * ax->stride + reach;
    s->first = start < 0 ? 0 : start;
    const int64_t end = start + s->width > ax->in ? ax->in : start + s->width;
    s->cols = end > s->first ? end - s->first : 0;
    s->skip = s->cols ? s->first - start : 0;
    const int64_t hi =
        ax->in - start < reach ? 0 : (ax->in - start - reach) / ax->stride + 1;
    s->hi = hi > s->n ? s->n : hi;
    s->lo = start < 0 ? (-start + ax->stride - 1) / ax->stride : 0;
    s->lo = s->lo < s->hi ? s->lo : s->hi;
}

#endif
