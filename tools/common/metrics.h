/* How far two values are apart.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_METRICS_H
#define TOOLS_METRICS_H

#include <jansson.h>
#include <planish/planish.h>

typedef struct tolerance {
    double rtol, atol;
    bool atol_scaled; /* atol is a factor of max(1, max|b|) */
    bool atol_of_max; /* atol is a factor of max(1e-3, max|b|) */
    bool any_float;   /* float types may differ */
    double sqnr_db;   /* > 0: this alone decides for float tensors */
} tolerance;

typedef struct metrics {
    bool equal_type;  /* kind, element type, shape */
    bool within;      /* of the tolerance */
    double max_abs, max_rel, cosine, sqnr_db, top1;
    double of_max;    /* max_abs / max(1e-3, max|b|) */
    int64_t worst;    /* index of the largest violation, or -1 */
    double worst_a, worst_b;
} metrics;

/* |a - b| <= atol + rtol |b| for every element; NaN equals NaN, infinities must be equal;
 * strings and containers item by item. top1: share of rows (last axis) with the same
 * largest element. */
metrics metrics_of(const pln_tensor *a, const pln_tensor *b, const tolerance *tol);
json_t *metrics_json(const metrics *m);
/* Why it is not within, in a few words. */
const char *metrics_why(const metrics *m, const pln_tensor *a, const pln_tensor *b,
                        char *buf, size_t size);

#endif
