/* Operators with a list of axes, or sizes that they find for themselves, in terms of
 * older versions of them. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/expand.h"

/* ---- Pad ------------------------------------------------------------------------- */

static bool copy_attrs(pln_expander *x, pln_value *v, const char *but)
{
    for (uint32_t i = 0; v && i < x->n->n_attrs; i++)
        if (strcmp(x->n->attrs[i]->name, but) != 0 &&
            pln_node_set_attr(v->def, x->n->attrs[i]) != PLN_OK)
            x->st = PLN_E_NOMEM;
    return x->st == PLN_OK;
}

/* Its axes as places below the rank; -1: they are not known. */
static int read_axes(pln_expander *x, const pln_tensor *t, int rank, int64_t *axes)
{
    const int64_t n = t ? pln_tensor_size(t) : -1;
    if (n < 0 || n > rank)
        return -1;
    for (int64_t i = 0; i < n; i++) {
        axes[i] = pln_tensor_get_i64(t, i);
        axes[i] += axes[i] < 0 ? rank : 0;
        if (axes[i] < 0 || axes[i] >= rank) {
            pln_expand_refuse(x, "an axis is outside its rank");
            return -1;
        }
    }
    return (int)n;
}

/* Element axes[k] of the result is element k of v, the others are 0 (from a vector of
 * one). */
static pln_value *spread(pln_expander *x, pln_value *v, const int64_t *axes, int n,
                         int rank)
{
    static const int64_t zero[] = { 0 };
    int64_t at[PLN_MAX_RANK] = { 0 };
    for (int i = 0; i < n; i++)
        at[axes[i]] = i + 1;
    pln_value *all[] = { pln_expand_ints(x, zero, 1), v };
    return pln_expand_2(x, "Gather", pln_expand_concat(x, 0, all, 2),
                        pln_expand_ints(x, at, (size_t)rank));
}

/* Pads for all axes. */
static pln_value *all_pads(pln_expander *x, const int64_t *axes, int n, int rank)
{
    int64_t pads[2 * PLN_MAX_RANK] = { 0 };
    const pln_tensor *t = pln_expand_contents(x, 1);
    if (!t) {
        pln_value *both[2], *in[2] = { x->n->in[1], NULL };
        for (int i = 0; i < 2; i++) {
            int64_t at[PLN_MAX_RANK];
            for (int k = 0; k < n; k++)
                at[k] = i * n + k;
            in[1] = pln_expand_ints(x, at, (size_t)n);
            both[i] = spread(x, pln_expand_2(x, "Gather", in[0], in[1]), axes, n, rank);
        }
        return pln_expand_concat(x, 0, both, 2);
    }
    for (int i = 0; i < n && pln_tensor_size(t) == 2 * n; i++) {
        pads[axes[i]] = pln_tensor_get_i64(t, i);
        pads[rank + axes[i]] = pln_tensor_get_i64(t, i + n);
    }
    return pln_expand_ints(x, pads, (size_t)(2 * rank));
}

pln_status pln_expand_pad(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const int rank = pln_expand_rank(&x);
    int64_t axes[PLN_MAX_RANK];
    if (!pln_expand_in(&x, 3))
        pln_expand_refuse(&x, NULL);
    const int n_axes =
        x.st == PLN_OK ? read_axes(&x, pln_expand_contents(&x, 3), rank, axes) : -1;
    if (n_axes < 0)
        pln_expand_refuse(&x, "its axes are not known");
    if (x.st != PLN_OK)
        return pln_expand_end(&x);
    pln_value *in[] = { n->in[0], all_pads(&x, axes, n_axes, rank),
                        pln_expand_in(&x, 2) };
    pln_value *y = pln_expand_many(&x, "Pad", in, in[2] ? 3 : 2);
    copy_attrs(&x, y, "");
    pln_expand_give(&x, 0, y);
    return pln_expand_end(&x);
}

/* ---- CenterCropPad --------------------------------------------------------------- */

static pln_value *half(pln_expander *x, pln_value *v)
{
    return pln_expand_2(x, "Div", v, pln_expand_scalar(x, PLN_DT_S64, 2));
}

static int crop_axes(pln_expander *x, int rank, int64_t *axes)
{
    const pln_attr *a = pln_node_find_attr(x->n, "axes");
    const int n =
        a && a->type == PLN_ATTR_INTS && a->n <= (size_t)rank ? (int)a->n : rank;
    for (int i = 0; i < n; i++) {
        axes[i] = a ? a->ints[i] : i;
        axes[i] += axes[i] < 0 ? rank : 0;
        if (axes[i] < 0 || axes[i] >= rank)
            pln_expand_refuse(x, "an axis is outside its rank");
    }
    return n;
}

pln_status pln_expand_crop_pad(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const int rank = pln_expand_rank(&x);
    int64_t axes[PLN_MAX_RANK];
    const int n_axes = x.st == PLN_OK ? crop_axes(&x, rank, axes) : 0;
    if (x.st != PLN_OK)
        return pln_expand_end(&x);
    pln_value *want = n->in[1], *at = pln_expand_ints(&x, axes, (size_t)n_axes);
    if (want->type.dtype != PLN_DT_S64)
        want = pln_expand_cast(&x, want, PLN_DT_S64);
    pln_value *zero = pln_expand_scalar(&x, PLN_DT_S64, 0);
    pln_value *have = pln_expand_2(&x, "Gather", pln_expand_1(&x, "Shape", n->in[0]), at);
    pln_value *more = pln_expand_2(&x, "Sub", have, want);
    pln_value *start = half(&x, pln_expand_2(&x, "Max", more, zero));
    pln_value *end = pln_expand_2(&x, "Add", start, pln_expand_2(&x, "Min", have, want));
    pln_value *in[] = { n->in[0], start, end, at };
    pln_value *cut = pln_expand_many(&x, "Slice", in, 4);
    pln_value *missing =
        pln_expand_2(&x, "Max", pln_expand_2(&x, "Sub", want, have), zero);
    pln_value *before = half(&x, missing);
    pln_value *pads[] = { spread(&x, before, axes, n_axes, rank),
                          spread(&x, pln_expand_2(&x, "Sub", missing, before), axes,
                                 n_axes, rank) };
    pln_expand_give(&x, 0,
                    pln_expand_2(&x, "Pad", cut, pln_expand_concat(&x, 0, pads, 2)));
    return pln_expand_end(&x);
}

/* ---- Split ----------------------------------------------------------------------- */

/* The last part is smaller. */
static pln_value *part_sizes(pln_expander *x, int axis, int64_t parts)
{
    const int64_t size = pln_expand_size(x->n->in[0], axis);
    int64_t sizes[64];
    if (parts > 64 || size < 0) {
        pln_expand_refuse(x, "the size of the dimension is not known");
        return NULL;
    }
    const int64_t each = (size + parts - 1) / parts;
    for (int64_t i = 0, left = size; i < parts; i++) {
        sizes[i] = each < left ? each : left;
        left -= sizes[i];
    }
    return pln_expand_ints(x, sizes, (size_t)parts);
}

pln_status pln_expand_split(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const int rank = pln_expand_rank(&x);
    int64_t axis = pln_expand_int(&x, "axis", 0);
    axis += axis < 0 ? rank : 0;
    if (pln_expand_in(&x, 1) || axis < 0 || axis >= rank)
        pln_expand_refuse(&x, NULL);
    if (x.st != PLN_OK)
        return pln_expand_end(&x);
    pln_value *in[] = { n->in[0], part_sizes(&x, (int)axis, n->n_out) };
    pln_node *s = pln_expand_node(&x, "Split", in, 2, n->n_out);
    if (!s)
        return pln_expand_end(&x);
    pln_expand_set(&x, s->out[0], "axis", axis);
    for (uint32_t i = 0; i < n->n_out; i++)
        pln_expand_give(&x, i, s->out[i]);
    return pln_expand_end(&x);
}

/* ---- BatchNormalization with statistics of each place ---------------------------- */

pln_status pln_expand_batch_norm_each(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const double eps = (double)pln_expand_float(&x, "epsilon", 1e-5f);
    pln_value *dev = pln_expand_1(&x, "Sqrt", pln_expand_by(&x, "Add", n->in[4], eps));
    pln_value *y =
        pln_expand_2(&x, "Div", pln_expand_2(&x, "Sub", n->in[0], n->in[3]), dev);
    y = pln_expand_2(&x, "Add", pln_expand_2(&x, "Mul", y, n->in[1]), n->in[2]);
    pln_expand_give(&x, 0, y);
    return pln_expand_end(&x);
}

/* ---- Reduce... ------------------------------------------------------------------- */

/* Over no axes: nothing is summed. */
pln_status pln_expand_reduce(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_tensor *axes = pln_expand_contents(&x, 1);
    if (pln_expand_in(&x, 1) && !axes)
        pln_expand_refuse(&x, "its axes are no constant");
    if (!pln_expand_int(&x, "noop_with_empty_axes", 0) || (axes && pln_tensor_size(axes)))
        pln_expand_refuse(&x, NULL);
    static const char *const plain[] = { "ReduceSum", "ReduceMean", "ReduceMax",
                                         "ReduceMin", "ReduceProd" };
    bool same = false;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        same |= !strcmp(plain[i], n->op_type);
    if (!same)
        pln_expand_refuse(&x, NULL);
    pln_expand_give(&x, 0, pln_expand_1(&x, "Identity", n->in[0]));
    return pln_expand_end(&x);
}

/* ---- Resize ---------------------------------------------------------------------- */

/* Scales or sizes for all axes. */
static pln_value *for_all_axes(pln_expander *x, const int64_t *axes, size_t n, int rank)
{
    pln_value *part[PLN_MAX_RANK];
    const uint32_t slot = pln_expand_in(x, 3) ? 3 : 2;
    float scales[PLN_MAX_RANK];
    if (slot == 2) {
        const pln_tensor *t = pln_expand_contents(x, 2);
        if (!t || pln_tensor_size(t) != (int64_t)n) {
            pln_expand_refuse(x, "its scales are no constant");
            return NULL;
        }
        for (int i = 0; i < rank; i++)
            scales[i] = 1;
        for (size_t i = 0; i < n; i++)
            scales[axes[i]] = (float)pln_tensor_get_f64(t, (int64_t)i);
        pln_tensor *all = NULL;
        pln_tensor_from_f32(x->n->graph->model->alloc, 1, scales, rank, &all);
        if (all)
            return pln_graph_add_initializer(
                x->n->graph, pln_graph_fresh_name(x->n->graph, "c"), all);
        x->st = PLN_E_NOMEM;
        return NULL;
    }
    for (int i = 0; i < rank; i++) {
        part[i] = pln_expand_dims(x, x->n->in[0], i, 1);
        for (size_t k = 0; k < n; k++) {
            const int64_t at = (int64_t)k;
            if (axes[k] == i)
                part[i] =
                    pln_expand_2(x, "Gather", x->n->in[3], pln_expand_ints(x, &at, 1));
        }
    }
    return pln_expand_concat(x, 0, part, (uint32_t)rank);
}

pln_status pln_expand_resize(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_attr *a = pln_node_find_attr(n, "axes");
    const int rank = pln_expand_rank(&x);
    int64_t axes[PLN_MAX_RANK];
    if (!a || a->type != PLN_ATTR_INTS || a->n > (size_t)rank || pln_expand_in(&x, 1))
        pln_expand_refuse(&x, NULL);
    const pln_attr *policy = pln_node_find_attr(n, "keep_aspect_ratio_policy");
    if (policy && policy->type == PLN_ATTR_STRING && strcmp(policy->s, "stretch") != 0)
        pln_expand_refuse(&x, NULL);
    for (size_t i = 0; x.st == PLN_OK && i < a->n; i++) {
        axes[i] = a->ints[i] + (a->ints[i] < 0 ? rank : 0);
        if (axes[i] < 0 || axes[i] >= rank)
            pln_expand_refuse(&x, "an axis is outside its rank");
    }
    if (x.st != PLN_OK)
        return pln_expand_end(&x);
    pln_value *in[4] = { n->in[0], NULL, NULL, NULL };
    const uint32_t slot = pln_expand_in(&x, 3) ? 3 : 2;
    in[slot] = for_all_axes(&x, axes, a->n, rank);
    pln_value *y = pln_expand_many(&x, "Resize", in, slot + 1);
    copy_attrs(&x, y, "axes");
    pln_expand_give(&x, 0, y);
    return pln_expand_end(&x);
}
