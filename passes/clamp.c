/* clamp: Clip, Relu, Max and Min with constants, one behind the other, become one Clip.
 *
 *     Relu(Clip(x, -1, 6)) => Clip(x, 0, 6)
 *     Min(Max(x, 1), 3)    => Clip(x, 1, 3)
 *
 * Each is y = min(max(x, lo), hi) with lo <= hi, and so is what follows from two of them:
 * its bounds are what the second makes of those of the first.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>

typedef struct range {
    double lo, hi;
    bool extremum; /* Max or Min: of -0 and 0 it may give either */
} range;

static bool read_bound(const pln_value *v, double *out)
{
    return !v || (pln_value_is_splat(v, out) && pln_value_count(v) == 1 && !isnan(*out));
}

/* Of a node whose input x is clamped. */
static bool read_range(const pln_node *n, const pln_value *x, range *r)
{
    double c;
    *r = (range){ -INFINITY, INFINITY, false };
    if (pln_node_is(n, "Relu")) {
        r->lo = 0;
        return true;
    }
    if (pln_node_is(n, "Clip"))
        return read_bound(n->n_in > 1 ? n->in[1] : NULL, &r->lo) &&
               read_bound(n->n_in > 2 ? n->in[2] : NULL, &r->hi) && r->lo <= r->hi;
    if (n->n_in != 2 || !pln_value_is_splat(n->in[n->in[0] == x], &c) || isnan(c) ||
        !pln_value_same_type(n->out[0], x))
        return false;
    r->extremum = true;
    *(pln_node_is(n, "Max") ? &r->lo : &r->hi) = c;
    return true;
}

static double through(const range *r, double v)
{
    const double up = v < r->lo ? r->lo : v;
    return up > r->hi ? r->hi : up;
}

static pln_value *bound(pln_patch *p, const pln_value *x, double v)
{
    return isinf(v) ? NULL : pln_patch_scalar(p, x->type.dtype, v, "bound");
}

static bool has_minus_zero(const range *r)
{
    return (r->lo == 0 && signbit(r->lo)) || (r->hi == 0 && signbit(r->hi));
}

/* -0 stays where 0 is a bound, but not where the first clamp moves it. */
static pln_status keeps_zero(pln_match *m)
{
    range first, second;
    if (!read_range(pln_match_node(m, "inner"), pln_match_val(m, "x"), &first) ||
        !read_range(m->root, pln_match_node(m, "inner")->out[0], &second))
        return pln_match_refuse(m, "its bounds are not constant numbers in order");
    const bool zero = through(&second, first.lo) == 0 || through(&second, first.hi) == 0;
    if (has_minus_zero(&first) || has_minus_zero(&second))
        return pln_match_refuse(m, "a bound is -0");
    if (zero && (first.lo > 0 || first.hi < 0 || second.lo > 0 || second.hi < 0))
        return pln_match_refuse(m, "-0 would stay -0");
    return PLN_OK;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    range first, second;
    pln_value *x = pln_match_val(m, "x");
    const pln_node *inner = pln_match_node(m, "inner");
    if (!pln_dtype_is_float(x->type.dtype))
        return pln_match_refuse(m, "not floats");
    if (!read_range(inner, x, &first) || !read_range(m->root, inner->out[0], &second))
        return pln_match_refuse(m, "its bounds are not constant numbers in order");
    const double lo = through(&second, first.lo), hi = through(&second, first.hi);
    if (lo == 0 && isinf(hi)) {
        pln_patch_replace_proven(p, m->root->out[0], pln_patch_op1(p, "Relu", x));
        return PLN_OK;
    }
    pln_value *in[3] = { x, bound(p, x, lo), bound(p, x, hi) };
    pln_node *n = pln_patch_add(p, "Clip", in, 3, 1);
    pln_patch_replace_proven(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

#define CLIP_CLIP "Clip(inner=Clip|Relu!(x, ...), lo?, hi?)"
#define RELU_CLIP "Relu(inner=Clip|Relu!(x, ...))"

/* Relu and Clip leave -0 as it is where 0 is the bound; Max and Min may not. */
static const pln_rule rules[] = {
    { .name = "clip-clip", .match = CLIP_CLIP, .check = keeps_zero, .build = build },
    { .name = "relu-clip", .match = RELU_CLIP, .check = keeps_zero, .build = build },
    { .name = "clip-clip", .match = CLIP_CLIP, .build = build, .contract = PLN_REASSOC },
    { .name = "relu-clip", .match = RELU_CLIP, .build = build, .contract = PLN_REASSOC },
    { .name = "clip-extremum",
      .match = "Clip(inner=Max|Min~!(x, c#), lo?, hi?)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "relu-extremum",
      .match = "Relu(inner=Max|Min~!(x, c#))",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "extremum-clip",
      .match = "Max|Min~(inner=Clip|Relu!(x, ...), c#)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "extremum-extremum",
      .match = "Max|Min~(inner=Max|Min~!(x, d#), c#)",
      .build = build,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_clamp = {
    .name = "clamp",
    .brief = "makes one Clip of Clip, Relu, Max and Min behind each other",
    PLN_RULES(rules),
};
