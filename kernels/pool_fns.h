/* The loops of pooling by kind and element type: plain C that the compiler vectorizes,
 * compiled once for each instruction set. All sets give the same results but for the order
 * of a long row's sum.
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

typedef pool_fns pool_table[POOL_KINDS][PLN_DT_COUNT];

extern const pool_table pool_c;
#if defined(__x86_64__)
extern const pool_table pool_avx2, pool_avx512;
#endif

/* The rows of a window: taps of all spatial dimensions but the last. */
typedef struct pool_taps {
    int64_t tap[PLN_MAX_RANK], start[PLN_MAX_RANK];
    int64_t offset; /* in pixels, of the row */
    int64_t count;  /* rows that the divisor of an average counts */
    bool inside, more;
} pool_taps;

static inline void pool_taps_look(pool_taps *t, const pool_geo *g)
{
    bool counted = true;
    t->inside = true;
    t->offset = 0;
    for (int i = 0; i < g->s - 1; i++) {
        const int64_t at = t->start[i] + t->tap[i] * g->ax[i].dil;
        t->inside &= at >= 0 && at < g->ax[i].in;
        counted &= at < g->ax[i].in + g->ax[i].after;
        t->offset += at * g->step[i];
    }
    t->count += g->include_pad ? counted : t->inside;
}

static inline void pool_taps_start(pool_taps *t, const pool_geo *g, const int64_t *o)
{
    for (int i = 0; i < g->s - 1; i++) {
        t->tap[i] = 0;
        t->start[i] = o[i] * g->ax[i].stride - g->ax[i].before;
    }
    t->count = 0;
    t->more = true;
    pool_taps_look(t, g);
}

static inline void pool_taps_next(pool_taps *t, const pool_geo *g)
{
    for (int i = g->s - 2; i >= 0; i--) {
        if (++t->tap[i] < g->ax[i].k) {
            pool_taps_look(t, g);
            return;
        }
        t->tap[i] = 0;
    }
    t->more = false;
}

/* Taps of one window of an axis that the divisor of an average counts. */
static inline int64_t pool_count(const pool_axis *ax, int64_t o, bool include_pad)
{
    const int64_t start = o * ax->stride - ax->before;
    const int64_t end = include_pad ? ax->in + ax->after : ax->in;
    int64_t lo = 0, hi = ax->k;
    if (!include_pad && start < 0)
        lo = (-start + ax->dil - 1) / ax->dil;
    if (start + (ax->k - 1) * ax->dil >= end)
        hi = end > start ? (end - start + ax->dil - 1) / ax->dil : 0;
    return hi > lo ? hi - lo : 0;
}

static inline void pool_row_position(const pool_geo *g, int64_t row, int64_t *o)
{
    for (int i = g->s - 2; i >= 0; i--) {
        o[i] = row % g->ax[i].out;
        row /= g->ax[i].out;
    }
}

#endif
