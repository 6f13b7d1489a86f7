/* Slices and splits with constant bounds.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"

#include <string.h>

int64_t pln_value_size_at(const pln_value *v, int64_t axis)
{
    if (axis >= pln_value_rank(v) || !pln_dim_is_known(v->type.shape.dims[axis]))
        return -1;
    return v->type.shape.dims[axis].value;
}

bool pln_node_axis(const pln_node *n, const pln_value *v, int64_t *axis)
{
    const int rank = pln_value_rank(v);
    *axis = pln_node_get_int(n, "axis", 0);
    *axis += *axis < 0 ? rank : 0;
    return rank > 0 && *axis >= 0 && *axis < rank;
}

static bool read_ints(const pln_node *n, uint32_t i, int64_t *v, size_t count)
{
    size_t got;
    return i < n->n_in && n->in[i] &&
           pln_value_get_ints(n->in[i], v, PLN_MAX_RANK, &got) && got == count;
}

bool pln_slice_read(const pln_node *n, pln_cut *cuts)
{
    int64_t s[PLN_MAX_RANK], e[PLN_MAX_RANK], a[PLN_MAX_RANK], t[PLN_MAX_RANK];
    size_t count;
    const int rank = pln_value_rank(n->in[0]);
    if (rank < 1 || n->n_in < 3 ||
        !pln_value_get_ints(n->in[1], s, PLN_MAX_RANK, &count) ||
        !read_ints(n, 2, e, count))
        return false;
    const bool has_axes = n->n_in > 3 && n->in[3], has_steps = n->n_in > 4 && n->in[4];
    if ((has_axes && !read_ints(n, 3, a, count)) ||
        (has_steps && !read_ints(n, 4, t, count)))
        return false;
    memset(cuts, 0, (size_t)rank * sizeof *cuts);
    for (size_t i = 0; i < count; i++) {
        int64_t axis = has_axes ? a[i] : (int64_t)i;
        axis += axis < 0 ? rank : 0;
        if (axis < 0 || axis >= rank || cuts[axis].step || (has_steps && t[i] < 1))
            return false;
        const int64_t size = pln_value_size_at(n->in[0], axis),
                      step = has_steps ? t[i] : 1;
        const bool whole = !s[i] && step == 1 && e[i] >= (size < 0 ? INT32_MAX : size);
        cuts[axis] = (pln_cut){ !whole, s[i], e[i], step };
    }
    return true;
}

bool pln_cut_settle(pln_cut *c, int64_t size)
{
    if (size < 0)
        return c->start >= 0 && c->end >= 0;
    c->start += c->start < 0 ? size : 0;
    c->end += c->end < 0 ? size : 0;
    c->start = c->start < 0 ? 0 : c->start > size ? size : c->start;
    c->end = c->end < c->start ? c->start : c->end > size ? size : c->end;
    return true;
}

static bool piece_of_slice(const pln_node *n, pln_piece *out)
{
    pln_cut cuts[PLN_MAX_RANK];
    bool found = false;
    if (!pln_slice_read(n, cuts))
        return false;
    for (int i = 0; i < pln_value_rank(n->in[0]); i++) {
        const int64_t size = pln_value_size_at(n->in[0], i);
        if (!cuts[i].on)
            continue;
        if (found || !pln_cut_settle(&cuts[i], size) || cuts[i].step > INT32_MAX ||
            (size < 0 && cuts[i].end > INT32_MAX))
            return false;
        /* Without the size of the axis, the end may lie behind it. */
        const int64_t count = (cuts[i].end - cuts[i].start + cuts[i].step - 1) /
                              cuts[i].step;
        if (size < 0 && pln_value_size_at(n->out[0], i) != count)
            return false;
        found = true;
        *out = (pln_piece){ n->in[0], i, cuts[i].start, count, cuts[i].step };
    }
    return found;
}

static bool piece_of_split(const pln_node *n, uint32_t slot, pln_piece *out)
{
    int64_t axis, at = 0;
    if (!pln_node_axis(n, n->in[0], &axis))
        return false;
    for (uint32_t i = 0; i <= slot; i++) {
        const int64_t size = n->out[i] ? pln_value_size_at(n->out[i], axis) : -1;
        if (size < 0)
            return false;
        *out = (pln_piece){ n->in[0], axis, at, size, 1 };
        at += size;
    }
    return true;
}

bool pln_piece_of(const pln_value *v, pln_piece *out)
{
    const pln_node *n = v ? v->def : NULL;
    if (n && pln_node_is(n, "Slice"))
        return piece_of_slice(n, out);
    return n && pln_node_is(n, "Split") && piece_of_split(n, v->slot, out);
}
