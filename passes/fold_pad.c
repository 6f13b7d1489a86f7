/* fold-pad: a Pad goes into the pads of the Conv or pool behind it, where these pad with
 * the same value.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>
#include <string.h>

/* Pads of the spatial axes, from those of all; false: it pads others, or crops. */
static bool spatial_pads(const pln_node *pad, int rank, int64_t *out)
{
    int64_t v[2 * PLN_MAX_RANK], axes[PLN_MAX_RANK];
    size_t n, n_axes = (size_t)rank;
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    if (rank < 3 || !pln_value_get_ints(pad->in[1], v, 2 * PLN_MAX_RANK, &n) ||
        (pad->n_in > 3 && pad->in[3] &&
         !pln_value_get_ints(pad->in[3], axes, PLN_MAX_RANK, &n_axes)) ||
        n != 2 * n_axes)
        return false;
    const int spatial = rank - 2;
    memset(out, 0, 2 * (size_t)spatial * sizeof *out);
    for (size_t i = 0; i < n_axes; i++) {
        const int64_t a = (axes[i] < 0 ? axes[i] + rank : axes[i]) - 2;
        if (v[i] < 0 || v[n_axes + i] < 0 || a >= spatial || v[i] > INT32_MAX ||
            v[n_axes + i] > INT32_MAX || (a < 0 && (v[i] || v[n_axes + i])))
            return false;
        if (a < 0)
            continue;
        out[a] = v[i];
        out[spatial + a] = v[n_axes + i];
    }
    return true;
}

static bool pads_with(const pln_node *pad, double want)
{
    double v = 0;
    const pln_value *c = pad->n_in > 2 ? pad->in[2] : NULL;
    return !strcmp(pln_node_get_string(pad, "mode", "constant"), "constant") &&
           (!c || pln_value_is_splat(c, &v)) && v == want;
}

/* The sum of both pads, where the operator states its own. */
static bool add_pads(const pln_node *n, const pln_node *pad, int64_t *pads, int *spatial,
                     bool *had)
{
    const int rank = pln_value_rank(n->in[0]);
    const char *how = pln_node_get_string(n, "auto_pad", "NOTSET");
    const pln_attr *a = pln_node_find_attr(n, "pads");
    *spatial = rank - 2;
    *had = false;
    if ((strcmp(how, "NOTSET") && strcmp(how, "VALID")) ||
        !spatial_pads(pad, rank, pads) || (a && a->n != 2 * (size_t)*spatial))
        return false;
    for (size_t i = 0; a && i < a->n && !strcmp(how, "NOTSET"); i++) {
        *had |= a->ints[i] != 0;
        pads[i] += a->ints[i];
    }
    return true;
}

static pln_status fold(pln_match *m, pln_patch *p, double value)
{
    int64_t pads[2 * PLN_MAX_RANK];
    int spatial;
    bool had;
    const pln_node *pad = pln_match_node(m, "pad"), *n = m->root;
    const bool average = pln_node_is(n, "AveragePool");
    const pln_attr *kernel = pln_node_find_attr(n, "kernel_shape");
    if (!pads_with(pad, value))
        return pln_match_refuse(m, "it pads with another value");
    if (!add_pads(n, pad, pads, &spatial, &had))
        return pln_match_refuse(m, "pads not known, or not of the spatial axes alone");
    if (average && had && !pln_node_get_int(n, "count_include_pad", 0))
        return pln_match_refuse(m, "its own pads don't count in the averages");
    if (!pln_node_is(n, "Conv") && pln_node_get_int(n, "ceil_mode", 0))
        return pln_match_refuse(m, "its last window may lie beyond");
    for (int i = 0; !pln_node_is(n, "Conv") && i < 2 * spatial; i++)
        if (!kernel || pads[i] >= kernel->ints[i % spatial])
            return pln_match_refuse(m, "as much as the window is wide");
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            return pln_match_refuse(m, "its indices are used");
    pln_value *in[3] = { pln_match_val(m, "x"), n->n_in > 1 ? n->in[1] : NULL,
                         n->n_in > 2 ? n->in[2] : NULL };
    pln_node *made = pln_patch_copy(p, n, in, 3);
    if (!made || pln_node_set_ints(made, "pads", pads, 2 * (size_t)spatial) != PLN_OK ||
        (average && pln_node_set_int(made, "count_include_pad", 1) != PLN_OK))
        return PLN_E_NOMEM;
    pln_node_drop_attr(made, "auto_pad");
    pln_patch_replace(p, n->out[0], made->out[0]);
    return PLN_OK;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    return fold(m, p, pln_node_is(m->root, "MaxPool") ? -INFINITY : 0);
}

/* Each window has an element of x, which is no less than the zeros around it. */
static pln_status zeros_of_max(pln_match *m, pln_patch *p)
{
    const pln_attr *steps = pln_node_find_attr(m->root, "dilations");
    for (size_t i = 0; steps && i < steps->n; i++)
        if (steps->ints[i] != 1)
            return pln_match_refuse(m, "a window may step over all elements");
    if (!pln_value_is_not_negative(pln_match_val(m, "x")))
        return pln_match_refuse(m, "its input may be negative");
    return fold(m, p, 0);
}

static const pln_rule rules[] = {
    { .name = "pad-conv", /* 0 times an infinite weight is NaN, what is skipped is not */
      .match = "Conv(pad=Pad!(x, p#, ...), w, ...)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "pad-max", .match = "MaxPool(pad=Pad!(x, p#, ...))", .build = build },
    { .name = "pad-max-zero",
      .match = "MaxPool(pad=Pad!(x, p#, ...))",
      .build = zeros_of_max,
      .contract = PLN_REASSOC },
    { .name = "pad-average",
      .match = "AveragePool(pad=Pad!(x, p#, ...))",
      .build = build,
      .contract = PLN_REASSOC,
      .opset = 7 },
};

const pln_pass pln_pass_fold_pad = {
    .name = "fold-pad",
    .brief = "folds Pad into Conv, AveragePool and MaxPool that pad with the same value",
    PLN_RULES(rules),
};
