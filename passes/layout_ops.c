/* How operators work on the other side of a Transpose.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/layout.h"

#include <string.h>

#define MAX_CONST (INT64_C(1) << 16) /* elements of a constant that is transposed */
#define NO_LAYOUT ((pln_axmap){ .rank = -1 })

bool pln_axmap_equal(const pln_axmap *a, const pln_axmap *b)
{
    return a->rank == b->rank && !memcmp(a->to, b->to, (size_t)a->rank);
}

bool pln_axmap_is_identity(const pln_axmap *a)
{
    for (int i = 0; i < a->rank; i++)
        if (a->to[i] != i)
            return false;
    return true;
}

pln_axmap pln_axmap_inverse(const pln_axmap *a)
{
    pln_axmap b = { .rank = a->rank };
    for (int i = 0; i < a->rank; i++)
        b.to[a->to[i]] = (int8_t)i;
    return b;
}

static const pln_axmap *anchor(const pln_follow *f)
{
    return f->from_input ? &f->in[f->slot] : &f->out[f->slot];
}

/* Input `slot` and all outputs lie alike. */
static bool alike(pln_follow *f, uint32_t slot)
{
    const pln_axmap m = *anchor(f);
    if (f->from_input && f->slot != slot)
        return false;
    f->in[slot] = m;
    for (uint32_t i = 0; i < f->n->n_out; i++)
        f->out[i] = m;
    return true;
}

static bool trace_first(pln_follow *f)
{
    return alike(f, 0);
}

static pln_status emit_nothing(pln_patch *p, const pln_follow *f, pln_value **in,
                               pln_node *copy)
{
    (void)p;
    (void)f;
    (void)in;
    (void)copy;
    return PLN_OK;
}

static bool axis_of(const pln_node *n, int64_t otherwise, int rank, int64_t *axis)
{
    *axis = pln_node_get_int(n, "axis", otherwise);
    *axis += *axis < 0 ? rank : 0;
    return *axis >= 0 && *axis < rank;
}

static pln_status put_axis(const pln_follow *f, pln_node *copy, int64_t otherwise,
                           const pln_axmap *m)
{
    int64_t axis;
    return axis_of(f->n, otherwise, m->rank, &axis)
               ? pln_node_set_int(copy, "axis", m->to[axis])
               : PLN_E_UNSUPPORTED;
}

/* ---- element by element, with broadcasting --------------------------------------------- */

static bool is_one_number(const pln_value *v)
{
    return pln_value_count(v) == 1 && pln_value_rank(v) <= 1;
}

/* A value of lower rank: its axes keep their order there, so that no Transpose is needed. */
static bool keeps_order(const pln_axmap *m, int rank)
{
    for (int i = m->rank - rank; i + 1 < m->rank; i++)
        if (m->to[i] > m->to[i + 1])
            return false;
    return true;
}

/* Where its first axis already lies as it must, it may stay as it is. */
static bool stays_as_it_is(const pln_axmap *m, int rank)
{
    for (int i = m->rank - rank; i < m->rank; i++)
        if (m->to[i] != i)
            return false;
    return true;
}

static bool trace_operand(pln_follow *f, uint32_t i, const pln_axmap *m)
{
    const pln_value *v = f->n->in[i];
    const int rank = v ? pln_value_rank(v) : 0;
    if (!v || is_one_number(v) || rank == 0)
        return true;
    if (pln_value_is_const(v))
        return rank >= 0 && rank <= m->rank && v->cst->kind == PLN_KIND_TENSOR &&
               v->cst->dtype != PLN_DT_STRING && pln_value_count(v) <= MAX_CONST;
    if (rank == m->rank) {
        f->in[i] = *m;
        return true;
    }
    if (rank < 1 || rank > m->rank || !keeps_order(m, rank))
        return false;
    f->n_reshaped += !stays_as_it_is(m, rank);
    return true;
}

static bool trace_elements(pln_follow *f)
{
    const pln_node *n = f->n;
    const pln_axmap m = *anchor(f);
    if (n->n_out != 1)
        return false;
    if (n->n_in > 1 && pln_value_rank(n->out[0]) != m.rank)
        return false; /* of others it may become larger */
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!(f->from_input && i == f->slot) && n->n_in > 1 && !trace_operand(f, i, &m))
            return false;
    if (n->n_in == 1)
        f->in[0] = m;
    f->out[0] = m;
    return true;
}

/* The constant as it lies there, over as many axes as the result has. */
static pln_value *move_constant(pln_patch *p, pln_value *c, const pln_axmap *m)
{
    int64_t dims[PLN_MAX_RANK], to[PLN_MAX_RANK], stride[PLN_MAX_RANK], step = 1;
    pln_tensor *t = c->cst, *made = NULL;
    const int shift = m->rank - t->rank;
    if (pln_tensor_materialize(t, NULL) != PLN_OK)
        return NULL;
    for (int k = 0; k < m->rank; k++) {
        dims[k] = k < shift ? 1 : t->dims[k - shift];
        to[m->to[k]] = dims[k];
    }
    for (int k = m->rank - 1; k >= 0; k--) {
        stride[k] = step;
        step *= to[k];
    }
    if (pln_tensor_make(p->graph->model->alloc, (pln_dtype)t->dtype, m->rank, to, &made,
                        NULL) != PLN_OK)
        return NULL;
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0;
        for (int k = m->rank - 1; k >= 0; k--) {
            at += rest % dims[k] * stride[m->to[k]];
            rest /= dims[k];
        }
        pln_tensor_copy(made, at, t, i, 1);
    }
    return pln_patch_const(p, made, c->name);
}

/* A value of lower rank gets axes of size 1 between its own, and behind them. */
static pln_value *spread_axes(pln_patch *p, pln_value *v, const pln_axmap *m)
{
    int64_t axes[PLN_MAX_RANK];
    size_t n = 0;
    const int rank = pln_value_rank(v);
    const int lowest = m->to[m->rank - rank];
    for (int at = lowest; at < m->rank; at++) {
        bool own = false;
        for (int i = m->rank - rank; i < m->rank; i++)
            own |= m->to[i] == at;
        if (!own)
            axes[n++] = at - lowest;
    }
    pln_value *a = pln_patch_ints(p, axes, n, "axes");
    return a ? pln_patch_op2(p, "Unsqueeze", v, a) : NULL;
}

static pln_status emit_elements(pln_patch *p, const pln_follow *f, pln_value **in,
                                pln_node *copy)
{
    (void)copy;
    const pln_axmap *m = &f->out[0];
    for (uint32_t i = 0; i < f->n->n_in; i++) {
        pln_value *v = f->n->in[i];
        const int rank = v ? pln_value_rank(v) : 0;
        if (!v || f->in[i].rank >= 0 || is_one_number(v) || rank == 0)
            continue;
        if (pln_value_is_const(v))
            in[i] = move_constant(p, v, m);
        else if (!stays_as_it_is(m, rank))
            in[i] = spread_axes(p, v, m);
        if (!in[i])
            return PLN_E_NOMEM;
    }
    return PLN_OK;
}

/* ---- along one axis --------------------------------------------------------------------- */

static bool trace_along(pln_follow *f)
{
    int64_t axis;
    return !pln_node_get_int(f->n, "pln_flatten", 0) && alike(f, 0) &&
           axis_of(f->n, -1, f->in[0].rank, &axis);
}

static pln_status emit_along(pln_patch *p, const pln_follow *f, pln_value **in,
                             pln_node *copy)
{
    (void)p;
    (void)in;
    return put_axis(f, copy, -1, &f->in[0]);
}

static bool trace_concat(pln_follow *f)
{
    const pln_axmap m = *anchor(f);
    int64_t axis;
    if (!axis_of(f->n, 0, m.rank, &axis))
        return false;
    for (uint32_t i = 0; i < f->n->n_in; i++) {
        pln_value *v = f->n->in[i];
        if (!v)
            return false;
        if (pln_value_is_const(v)) {
            if (v->cst->rank != m.rank || v->cst->kind != PLN_KIND_TENSOR ||
                v->cst->dtype == PLN_DT_STRING || pln_value_count(v) > MAX_CONST)
                return false;
            continue;
        }
        f->in[i] = m;
    }
    f->out[0] = m;
    return true;
}

static pln_status emit_concat(pln_patch *p, const pln_follow *f, pln_value **in,
                              pln_node *copy)
{
    for (uint32_t i = 0; i < f->n->n_in; i++)
        if (f->in[i].rank < 0 && !(in[i] = move_constant(p, f->n->in[i], &f->out[0])))
            return PLN_E_NOMEM;
    return put_axis(f, copy, 0, &f->out[0]);
}

static bool trace_split(pln_follow *f)
{
    int64_t axis;
    return alike(f, 0) && axis_of(f->n, 0, f->in[0].rank, &axis);
}

static pln_status emit_split(pln_patch *p, const pln_follow *f, pln_value **in,
                             pln_node *copy)
{
    (void)p;
    (void)in;
    return put_axis(f, copy, 0, &f->in[0]);
}

/* Scale and zero point are one number each, or a row along `axis`. */
static bool trace_quant(pln_follow *f)
{
    int64_t axis;
    if (pln_node_get_int(f->n, "block_size", 0) || f->n->n_in < 2 || !f->n->in[1] ||
        pln_value_rank(f->n->in[1]) < 0 || pln_value_rank(f->n->in[1]) > 1)
        return false;
    return alike(f, 0) && (is_one_number(f->n->in[1]) ||
                           axis_of(f->n, 1, f->in[0].rank, &axis));
}

static pln_status emit_quant(pln_patch *p, const pln_follow *f, pln_value **in,
                             pln_node *copy)
{
    (void)p;
    (void)in;
    return is_one_number(f->n->in[1]) ? PLN_OK : put_axis(f, copy, 1, &f->in[0]);
}

static bool scalar_axis(const pln_follow *f, int64_t *axis)
{
    size_t n;
    if (f->n->n_in < 2 || !pln_value_get_ints(f->n->in[1], axis, 1, &n) || n != 1)
        return false;
    *axis += *axis < 0 ? f->in[0].rank : 0;
    return *axis >= 0 && *axis < f->in[0].rank;
}

static bool trace_cumsum(pln_follow *f)
{
    int64_t axis;
    return alike(f, 0) && scalar_axis(f, &axis);
}

static pln_status emit_cumsum(pln_patch *p, const pln_follow *f, pln_value **in,
                              pln_node *copy)
{
    (void)copy;
    int64_t axis;
    pln_tensor *t = NULL;
    const pln_tensor *old = f->n->in[1]->cst;
    if (!scalar_axis(f, &axis) || pln_tensor_make(p->graph->model->alloc, (pln_dtype)old->dtype,
                                                  old->rank, old->dims, &t, NULL) != PLN_OK)
        return PLN_E_NOMEM;
    pln_tensor_set_i64(t, 0, f->in[0].to[axis]);
    in[1] = pln_patch_const(p, t, "axis");
    return in[1] ? PLN_OK : PLN_E_NOMEM;
}

/* ---- axes that go, come, or stay as one ----------------------------------------------------- */

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

/* The other way: `m` with further axes at the places `come`, which stay where they are. */
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
    const pln_axmap m = *anchor(f);
    if (f->from_input) {
        f->out[0] = without(&m, gone);
        return f->slot == 0;
    }
    f->in[0] = with_axes(&m, gone, m.rank + (int)n);
    return true;
}

static bool trace_reduce(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    const pln_node *r = f->n;
    const int rank = f->from_input ? f->in[0].rank : pln_value_rank(r->in[0]);
    const pln_value *axes = r->n_in > 1 ? r->in[1] : NULL;
    if (rank < 0 || (!axes && pln_node_get_int(r, "noop_with_empty_axes", 0)) ||
        !read_axes(axes, rank, is, &n) || (axes && !n))
        return false;
    return pln_node_get_int(r, "keepdims", 1) ? alike(f, 0) : trace_removal(f, is, n);
}

static pln_status emit_reduce(pln_patch *p, const pln_follow *f, pln_value **in,
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

static bool trace_arg(pln_follow *f)
{
    bool is[PLN_MAX_RANK] = { false };
    int64_t axis;
    const int rank = f->from_input ? f->in[0].rank : pln_value_rank(f->n->in[0]);
    if (rank < 0 || !axis_of(f->n, 0, rank, &axis))
        return false;
    is[axis] = true;
    return pln_node_get_int(f->n, "keepdims", 1) ? alike(f, 0) : trace_removal(f, is, 1);
}

static pln_status emit_arg(pln_patch *p, const pln_follow *f, pln_value **in,
                           pln_node *copy)
{
    (void)p;
    (void)in;
    return put_axis(f, copy, 0, &f->in[0]);
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

static bool trace_squeeze(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    const int rank = f->from_input ? f->in[0].rank : pln_value_rank(f->n->in[0]);
    return rank >= 0 && squeezed_axes(f->n, rank, is, &n) && trace_removal(f, is, n);
}

static pln_status emit_squeeze(pln_patch *p, const pln_follow *f, pln_value **in,
                               pln_node *copy)
{
    (void)copy;
    bool is[PLN_MAX_RANK];
    size_t n;
    if (f->n->n_in < 2 || !f->n->in[1])
        return PLN_OK;
    if (!squeezed_axes(f->n, f->in[0].rank, is, &n))
        return PLN_E_UNSUPPORTED;
    in[1] = put_axes(p, is, &f->in[0]);
    return in[1] ? PLN_OK : PLN_E_NOMEM;
}

static bool trace_unsqueeze(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    const pln_axmap m = *anchor(f);
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

static pln_status emit_unsqueeze(pln_patch *p, const pln_follow *f, pln_value **in,
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

/* ---- gathering ---------------------------------------------------------------------------- */

/* The indices' axes stand where the gathered one stood. */
static bool trace_gather(pln_follow *f)
{
    const pln_axmap m = *anchor(f);
    int64_t axis;
    const int q = f->n->in[1] ? pln_value_rank(f->n->in[1]) : -1;
    if (q < 0 || q > 4 || (f->from_input ? f->slot != 0 : q != 1) ||
        !axis_of(f->n, 0, m.rank, &axis) || m.rank - 1 + q > PLN_MAX_RANK)
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

static pln_status emit_gather(pln_patch *p, const pln_follow *f, pln_value **in,
                              pln_node *copy)
{
    (void)p;
    (void)in;
    return put_axis(f, copy, 0, &f->in[0]);
}

/* ---- numbers for each axis ------------------------------------------------------------------ */

static bool trace_slice(pln_follow *f)
{
    const pln_node *n = f->n;
    int64_t v[PLN_MAX_RANK];
    size_t count;
    if (n->n_in < 3 || !alike(f, 0))
        return false;
    if (n->n_in > 3 && n->in[3])
        return pln_value_get_ints(n->in[3], v, PLN_MAX_RANK, &count);
    return pln_value_get_ints(n->in[1], v, PLN_MAX_RANK, &count);
}

static pln_status emit_slice(pln_patch *p, const pln_follow *f, pln_value **in,
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
            to[k * (size_t)m->rank + (size_t)m->to[i]] = v[k * (size_t)m->rank + (size_t)i];
    in[slot] = pln_patch_ints(p, to, n, f->n->in[slot]->name);
    return in[slot] ? PLN_OK : PLN_E_NOMEM;
}

static bool trace_pad(pln_follow *f)
{
    bool is[PLN_MAX_RANK];
    size_t n;
    if (!alike(f, 0))
        return false;
    if (f->n->n_in > 3 && f->n->in[3])
        return read_axes(f->n->in[3], f->in[0].rank, is, &n);
    return has_row(f, 1, 2);
}

static pln_status emit_pad(pln_patch *p, const pln_follow *f, pln_value **in, pln_node *copy)
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

static bool trace_row(pln_follow *f)
{
    return alike(f, 0) && has_row(f, 1, 1);
}

static pln_status emit_row(pln_patch *p, const pln_follow *f, pln_value **in, pln_node *copy)
{
    (void)copy;
    return move_row(p, f, 1, 1, in);
}

/* Enlarging may add axes in front; here it does not. */
static bool trace_expand(pln_follow *f)
{
    const int rank = pln_value_rank(f->n->in[0]);
    return rank >= 0 && rank == pln_value_rank(f->n->out[0]) && trace_row(f);
}

/* ---- Resize ------------------------------------------------------------------------------- */

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
static bool trace_resize(pln_follow *f)
{
    double scale[PLN_MAX_RANK];
    const pln_node *n = f->n;
    if (n->n_in < 3 || (n->in[1] && pln_value_count(n->in[1]) != 0) ||
        pln_node_find_attr(n, "axes") || !alike(f, 0) ||
        !read_floats(n->in[2], scale, f->in[0].rank) || (n->n_in > 3 && n->in[3]))
        return false;
    if (!strcmp(pln_node_get_string(n, "mode", "nearest"), "nearest"))
        return true;
    for (int i = 0; i < f->in[0].rank; i++)
        if (scale[i] != 1 && f->in[0].to[i] < f->in[0].rank - 2)
            return false;
    return true;
}

static pln_status emit_resize(pln_patch *p, const pln_follow *f, pln_value **in,
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

/* Ratio and the training flag say nothing of axes. */
static bool trace_dropout(pln_follow *f)
{
    return f->n->n_out == 1 && alike(f, 0);
}

/* ---- the table ------------------------------------------------------------------------------ */

#define SINKS PLN_FOLLOW_SINKS

static const pln_follow_op elements = { "", trace_elements, emit_elements, SINKS };

static const pln_follow_op table[] = {
    { "Clip", trace_first, emit_nothing, SINKS },
    { "Cast", trace_first, emit_nothing, SINKS },
    { "Dropout", trace_dropout, emit_nothing, 0 },
    { "Softmax", trace_along, emit_along, SINKS },
    { "LogSoftmax", trace_along, emit_along, SINKS },
    { "Hardmax", trace_along, emit_along, SINKS },
    { "TopK", trace_along, emit_along, 0 },
    { "CumSum", trace_cumsum, emit_cumsum, 0 },
    { "Concat", trace_concat, emit_concat, SINKS },
    { "Split", trace_split, emit_split, 0 },
    { "QuantizeLinear", trace_quant, emit_quant, 0 },
    { "DequantizeLinear", trace_quant, emit_quant, 0 },
    { "ReduceMax", trace_reduce, emit_reduce, SINKS },
    { "ReduceMin", trace_reduce, emit_reduce, SINKS },
    { "ReduceSum", trace_reduce, emit_reduce, SINKS },
    { "ReduceMean", trace_reduce, emit_reduce, SINKS },
    { "ReduceProd", trace_reduce, emit_reduce, SINKS },
    { "ReduceL1", trace_reduce, emit_reduce, SINKS },
    { "ReduceL2", trace_reduce, emit_reduce, SINKS },
    { "ReduceSumSquare", trace_reduce, emit_reduce, SINKS },
    { "ReduceLogSum", trace_reduce, emit_reduce, SINKS },
    { "ReduceLogSumExp", trace_reduce, emit_reduce, SINKS },
    { "ArgMax", trace_arg, emit_arg, SINKS },
    { "ArgMin", trace_arg, emit_arg, SINKS },
    { "Squeeze", trace_squeeze, emit_squeeze, 0 },
    { "Unsqueeze", trace_unsqueeze, emit_unsqueeze, 0 },
    { "Gather", trace_gather, emit_gather, 0 },
    { "Slice", trace_slice, emit_slice, SINKS },
    { "Pad", trace_pad, emit_pad, 0 },
    { "Tile", trace_row, emit_row, 0 },
    { "Expand", trace_expand, emit_row, 0 },
    { "Resize", trace_resize, emit_resize, 0 },
};

/* Operators that are told element-wise by their rows, but do more. */
static bool is_elementwise(const pln_node *n)
{
    static const char *const others[] = { "Where", "PRelu" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (pln_node_is(n, others[i]))
            return true;
    const uint32_t never = PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_CONTROL | PLN_OP_QDQ;
    return (n->op->traits & PLN_OP_ELEMENTWISE) && !(n->op->traits & never);
}

static const pln_follow_op *find(const pln_node *n)
{
    if (!n->op || (*n->domain && strcmp(n->domain, "planish") != 0))
        return NULL;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (pln_node_is(n, table[i].op))
            return &table[i];
    return !*n->op->domain && is_elementwise(n) ? &elements : NULL;
}

bool pln_follow_trace(pln_follow *f, pln_node *n, bool from_input, uint32_t slot,
                      const pln_axmap *m, pln_arena *arena)
{
    *f = (pln_follow){ .n = n, .op = find(n), .from_input = from_input, .slot = slot };
    if (!f->op || !n->n_out)
        return false;
    f->in = PLN_NEW_ARRAY(arena, pln_axmap, n->n_in + 1);
    f->out = PLN_NEW_ARRAY(arena, pln_axmap, n->n_out + 1);
    if (!f->in || !f->out)
        return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        f->in[i] = NO_LAYOUT;
    for (uint32_t i = 0; i < n->n_out; i++) {
        f->out[i] = NO_LAYOUT;
        if (!n->out[i])
            return false;
    }
    *(from_input ? &f->in[slot] : &f->out[slot]) = *m;
    return f->op->trace(f);
}

#define MAX_IN 64

pln_node *pln_follow_emit(pln_patch *p, const pln_follow *f, pln_value *const *there)
{
    const pln_node *n = f->n;
    pln_value *in[MAX_IN] = { NULL };
    if (n->n_in + 4 > MAX_IN)
        return NULL;
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = f->in[i].rank >= 0 ? there[i] : n->in[i];
    pln_value *more[MAX_IN];
    memcpy(more, in, sizeof more);
    pln_node *copy = pln_patch_copy(p, n, in, n->n_in);
    if (!copy)
        return NULL;
    p->before = copy; /* nodes for further inputs */
    if (f->op->emit(p, f, more, copy) != PLN_OK)
        return NULL;
    for (uint32_t i = 0; i < MAX_IN; i++)
        if (more[i] != in[i] && pln_node_set_input(copy, i, more[i]) != PLN_OK)
            return NULL;
    copy->name = n->name;
    return copy;
}
