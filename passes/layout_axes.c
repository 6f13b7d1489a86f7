/* How operators that name axes, or say something for each, work on the other side.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/layout_impl.h"

#include <string.h>

/* ---- axes that go, come, or stay as one ------------------------------------------ */

/* Of a map, what is left without some axes; rest[i]: which axis the i-th left one was. */
static pln_axmap without(const pln_axmap *m, const bool *gone)
{
    pln_axmap out = { .rank = 0 };
    for (int i = 0; i < m->rank; i++) {
        int8_t lower = 0;
        if (gone[i])
            continue;
        for (int k = 0; k < m->rank; k++)
            lower = (int8_t)(lower + (gone[k] && m->to[k] < m->to[i]));
        out.to[out.rank++] = (int8_t)(m->to[i] - lower);
    }
    return out;
}

/* The other way: `m` with further axes at the places `come`, which stay where they
 * are. */
static pln_axmap with_axes(const pln_axmap *m, const bool *come, int rank)
{
    pln_axmap out = { .rank = rank };
    int8_t place[PLN_MAX_RANK];
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (!come[i])
            place[n++] = (int8_t)i;
    n = 0;
    for (int i = 0; i < rank; i++)
        out.to[i] = come[i] ? (int8_t)i : place[m->to[n++]];
    return out;
}

/* Axes from a constant, or all of them where there is none. */
static bool read_axes(const pln_value *v, int rank, bool *is, size_t *n)
{
    int64_t axes[PLN_MAX_RANK];
    memset(is, 0, PLN_MAX_RANK * sizeof is[0]);
    if (!v) {
        for (int i = 0; i < rank; i++)
            is[i] = true;
        *n = (size_t)rank;
        return true;
    }
    if (!pln_value_get_ints(v, axes, PLN_MAX_RANK, n))
        return false;
    for (size_t i = 0; i < *n; i++) {
        axes[i] += axes[i] < 0 ? rank : 0;
        if (axes[i] < 0 || axes[i] >= rank || is[axes[i]])
            return false;
        is[axes[i]] = true;
    }
    return true;
}

static pln_value *put_axes(pln_patch *p, const bool *is, const pln_axmap *m)
{
    int64_t axes[PLN_MAX_RANK];
    size_t n = 0;
    for (int at = 0; at < m->rank; at++)
        for (int i = 0; i < m->rank; i++)
            if (is[i] && m->to[i] == at)
                axes[n++] = at;
    return pln_patch_ints(p, axes, n, "axes");
}

static bool trace_removal(pln_follow *f, const bool *gone, size_t n)
{
    const pln_axmap m = *pln_follow_anchor(f);
    if (f->from_input) {
        f->out[0] = without(&m, gone);
        return f->slot == 0;
    }
    f->in[0] = with_axes(&m, gone, m.rank + (int)n);
    return true;
}

bool pln_trace_reduce(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    const pln_node *r = f->n;
    const int rank = f->from_input ? f->in[0].rank : pln_value_rank(r->in[0]);
    const pln_value *axes = r->n_in > 1 ? r->in[1] : NULL;
    if (rank < 0 || (!axes && pln_node_get_int(r, "noop_with_empty_axes", 0)) ||
        !read_axes(axes, rank, is, &n) || (axes && !n))
        return false;
    return pln_node_get_int(r, "keepdims", 1) ? pln_follow_alike(f, 0)
                                              : trace_removal(f, is, n);
}

pln_status pln_emit_axes(pln_patch *p, const pln_follow *f, pln_value **in,
                         pln_node *copy)
{
    (void)copy;
    bool is[PLN_MAX_RANK];
    size_t n;
    if (f->n->n_in < 2 || !f->n->in[1])
        return PLN_OK;
    if (!read_axes(f->n->in[1], f->in[0].rank, is, &n))
        return PLN_E_UNSUPPORTED;
    in[1] = put_axes(p, is, &f->in[0]);
    return in[1] ? PLN_OK : PLN_E_NOMEM;
}

bool pln_trace_arg(pln_follow *f)
{
    bool is[PLN_MAX_RANK] = { false };
    int64_t axis;
    const int rank = f->from_input ? f->in[0].rank : pln_value_rank(f->n->in[0]);
    if (rank < 0 || !pln_follow_axis_of(f->n, 0, rank, &axis))
        return false;
    is[axis] = true;
    return pln_node_get_int(f->n, "keepdims", 1) ? pln_follow_alike(f, 0)
                                                 : trace_removal(f, is, 1);
}

pln_status pln_emit_arg(pln_patch *p, const pln_follow *f, pln_value **in,
                           pln_node *copy)
{
    (void)p;
    (void)in;
    return pln_follow_put_axis(f, copy, 0, &f->in[0]);
}

/* Without axes, those whose size is 1 for certain, if the others are certainly not. */
static bool squeezed_axes(const pln_node *n, int rank, bool *is, size_t *count)
{
    const pln_value *axes = n->n_in > 1 ? n->in[1] : NULL;
    const pln_value *x = n->in[0];
    if (axes)
        return read_axes(axes, rank, is, count);
    *count = 0;
    if (pln_value_rank(x) != rank || !pln_shape_is_static(x->type.shape))
        return false;
    for (int i = 0; i < rank; i++) {
        is[i] = pln_dim_is(x->type.shape.dims[i], 1);
        *count += is[i];
    }
    return true;
}

bool pln_trace_squeeze(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    const int rank = f->from_input ? f->in[0].rank : pln_value_rank(f->n->in[0]);
    return rank >= 0 && squeezed_axes(f->n, rank, is, &n) && trace_removal(f, is, n);
}

bool pln_trace_unsqueeze(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    const pln_axmap m = *pln_follow_anchor(f);
    int64_t axes[PLN_MAX_RANK];
    if (f->n->n_in < 2 || !pln_value_get_ints(f->n->in[1], axes, PLN_MAX_RANK, &n))
        return false;
    const int rank = f->from_input ? m.rank + (int)n : m.rank;
    if (rank > PLN_MAX_RANK || !read_axes(f->n->in[1], rank, is, &n) ||
        (f->from_input && f->slot != 0))
        return false;
    if (f->from_input)
        f->out[0] = with_axes(&m, is, rank);
    else
        f->in[0] = without(&m, is);
    return true;
}

pln_status pln_emit_unsqueeze(pln_patch *p, const pln_follow *f, pln_value **in,
                                 pln_node *copy)
{
    (void)copy;
    bool is[PLN_MAX_RANK];
    size_t n;
    if (!read_axes(f->n->in[1], f->out[0].rank, is, &n))
        return PLN_E_UNSUPPORTED;
    in[1] = put_axes(p, is, &f->out[0]);
    return in[1] ? PLN_OK : PLN_E_NOMEM;
}

/* ---- gathering ------------------------------------------------------------------- */

/* The indices' axes stand where the gathered one stood. */
bool pln_trace_gather(pln_follow *f)
{
    const pln_axmap m = *pln_follow_anchor(f);
    int64_t axis;
    const int q = f->n->in[1] ? pln_value_rank(f->n->in[1]) : -1;
    if (q < 0 || q > 4 || (f->from_input ? f->slot != 0 : q != 1) ||
        !pln_follow_axis_of(f->n, 0, m.rank, &axis) || m.rank - 1 + q > PLN_MAX_RANK)
        return false;
    f->in[0] = m;
    f->out[0].rank = m.rank - 1 + q;
    for (int i = 0; i < m.rank; i++) {
        const int from = i < axis ? i : i + q - 1;
        const int to = m.to[i] < m.to[axis] ? m.to[i] : m.to[i] + q - 1;
        if (i != axis)
            f->out[0].to[from] = (int8_t)to;
    }
    for (int j = 0; j < q; j++)
        f->out[0].to[axis + j] = (int8_t)(m.to[axis] + j);
    return true;
}

pln_status pln_emit_gather(pln_patch *p, const pln_follow *f, pln_value **in,
                              pln_node *copy)
{
    (void)p;
    (void)in;
    return pln_follow_put_axis(f, copy, 0, &f->in[0]);
}

/* ---- numbers for each axis ------------------------------------------------------- */

bool pln_trace_slice(pln_follow *f)
{
    const pln_node *n = f->n;
    int64_t v[PLN_MAX_RANK];
    size_t count;
    if (n->n_in < 3 || !pln_follow_alike(f, 0))
        return false;
    if (n->n_in > 3 && n->in[3])
        return pln_value_get_ints(n->in[3], v, PLN_MAX_RANK, &count);
    return pln_value_get_ints(n->in[1], v, PLN_MAX_RANK, &count);
}

pln_status pln_emit_slice(pln_patch *p, const pln_follow *f, pln_value **in,
                             pln_node *copy)
{
    (void)copy;
    int64_t axes[PLN_MAX_RANK];
    size_t count;
    const int rank = f->in[0].rank;
    if (f->n->n_in > 3 && f->n->in[3]) {
        pln_value_get_ints(f->n->in[3], axes, PLN_MAX_RANK, &count);
    } else {
        pln_value_get_ints(f->n->in[1], axes, PLN_MAX_RANK, &count);
        for (size_t i = 0; i < count; i++)
            axes[i] = (int64_t)i;
    }
    for (size_t i = 0; i < count; i++) {
        axes[i] += axes[i] < 0 ? rank : 0;
        if (axes[i] < 0 || axes[i] >= rank)
            return PLN_E_UNSUPPORTED;
        axes[i] = f->in[0].to[axes[i]];
    }
    in[3] = pln_patch_ints(p, axes, count, "axes");
    return in[3] ? PLN_OK : PLN_E_NOMEM;
}

/* One number for each axis in input `slot`, in `parts` blocks. */
static bool has_row(const pln_follow *f, uint32_t slot, size_t parts)
{
    int64_t v[2 * PLN_MAX_RANK];
    size_t n;
    return f->n->n_in > slot && f->n->in[slot] &&
           pln_value_get_ints(f->n->in[slot], v, 2 * PLN_MAX_RANK, &n) &&
           n == parts * (size_t)f->in[0].rank;
}

static pln_status move_row(pln_patch *p, const pln_follow *f, uint32_t slot, size_t parts,
                           pln_value **in)
{
    int64_t v[2 * PLN_MAX_RANK], to[2 * PLN_MAX_RANK];
    size_t n;
    const pln_axmap *m = &f->in[0];
    if (!pln_value_get_ints(f->n->in[slot], v, 2 * PLN_MAX_RANK, &n))
        return PLN_E_UNSUPPORTED;
    for (size_t k = 0; k < parts; k++)
        for (int i = 0; i < m->rank; i++)
            to[k * (size_t)m->rank + (size_t)m->to[i]] =
                v[k * (size_t)m->rank + (size_t)i];
    in[slot] = pln_patch_ints(p, to, n, f->n->in[slot]->name);
    return in[slot] ? PLN_OK : PLN_E_NOMEM;
}

bool pln_trace_pad(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    if (!pln_follow_alike(f, 0))
        return false;
    if (f->n->n_in > 3 && f->n->in[3])
        return read_axes(f->n->in[3], f->in[0].rank, is, &n);
    return has_row(f, 1, 2);
}

pln_status pln_emit_pad(pln_patch *p, const pln_follow *f, pln_value **in, pln_node *copy)
{
    (void)copy;
    int64_t axes[PLN_MAX_RANK];
    size_t n;
    const int rank = f->in[0].rank;
    if (f->n->n_in < 4 || !f->n->in[3])
        return move_row(p, f, 1, 2, in);
    if (!pln_value_get_ints(f->n->in[3], axes, PLN_MAX_RANK, &n))
        return PLN_E_UNSUPPORTED;
    for (size_t i = 0; i < n; i++)
        axes[i] = f->in[0].to[axes[i] + (axes[i] < 0 ? rank : 0)];
    in[3] = pln_patch_ints(p, axes, n, "axes");
    return in[3] ? PLN_OK : PLN_E_NOMEM;
}

bool pln_trace_row(pln_follow *f)
{
    return pln_follow_alike(f, 0) && has_row(f, 1, 1);
}

pln_status pln_emit_row(pln_patch *p, const pln_follow *f, pln_value **in, pln_node *copy)
{
    (void)copy;
    return move_row(p, f, 1, 1, in);
}

/* Enlarging may add axes in front; here it does not. */
bool pln_trace_expand(pln_follow *f)
{
    const int rank = pln_value_rank(f->n->in[0]);
    return rank >= 0 && rank == pln_value_rank(f->n->out[0]) && pln_trace_row(f);
}

/* ---- Resize ---------------------------------------------------------------------- */

static bool read_floats(const pln_value *v, double *out, int rank)
{
    if (!v || !pln_value_is_const(v) || v->cst->rank != 1 || v->cst->dims[0] != rank ||
        v->cst->dtype != PLN_DT_F32 || pln_tensor_materialize(v->cst, NULL) != PLN_OK)
        return false;
    for (int i = 0; i < rank; i++)
        out[i] = pln_tensor_get_f64(v->cst, i);
    return true;
}

/* The nearest element can be found along any axes. Interpolation is along the last two
 * there: other runtimes know no other. */
bool pln_trace_resize(pln_follow *f)
{
    double scale[PLN_MAX_RANK];
    const pln_node *n = f->n;
    if (n->n_in < 3 || (n->in[1] && pln_value_count(n->in[1]) != 0) ||
        pln_node_find_attr(n, "axes") || !pln_follow_alike(f, 0) ||
        !read_floats(n->in[2], scale, f->in[0].rank) || (n->n_in > 3 && n->in[3]))
        return false;
    if (!strcmp(pln_node_get_string(n, "mode", "nearest"), "nearest"))
        return true;
    for (int i = 0; i < f->in[0].rank; i++)
        if (scale[i] != 1 && f->in[0].to[i] < f->in[0].rank - 2)
            return false;
    return true;
}

pln_status pln_emit_resize(pln_patch *p, const pln_follow *f, pln_value **in,
                              pln_node *copy)
{
    (void)copy;
    double scale[PLN_MAX_RANK];
    pln_tensor *t = NULL;
    const int64_t rank = f->in[0].rank;
    if (!read_floats(f->n->in[2], scale, (int)rank) ||
        pln_tensor_make(p->graph->model->alloc, PLN_DT_F32, 1, &rank, &t, NULL) != PLN_OK)
        return PLN_E_NOMEM;
    for (int i = 0; i < rank; i++)
        pln_tensor_set_f64(t, f->in[0].to[i], scale[i]);
    in[2] = pln_patch_const(p, t, "scales");
    return in[2] ? PLN_OK : PLN_E_NOMEM;
}
