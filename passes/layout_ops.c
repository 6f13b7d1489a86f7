/* How operators work on the other side of a Transpose.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/layout_impl.h"

#include <string.h>

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

const pln_axmap *pln_follow_anchor(const pln_follow *f)
{
    return f->from_input ? &f->in[f->slot] : &f->out[f->slot];
}

/* Input `slot` and all outputs lie alike. */
bool pln_follow_alike(pln_follow *f, uint32_t slot)
{
    const pln_axmap m = *pln_follow_anchor(f);
    if (f->from_input && f->slot != slot)
        return false;
    f->in[slot] = m;
    for (uint32_t i = 0; i < f->n->n_out; i++)
        f->out[i] = m;
    return true;
}

static bool trace_first(pln_follow *f)
{
    return pln_follow_alike(f, 0);
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

bool pln_follow_axis_of(const pln_node *n, int64_t otherwise, int rank, int64_t *axis)
{
    *axis = pln_node_get_int(n, "axis", otherwise);
    *axis += *axis < 0 ? rank : 0;
    return *axis >= 0 && *axis < rank;
}

pln_status pln_follow_put_axis(const pln_follow *f, pln_node *copy, int64_t otherwise,
                           const pln_axmap *m)
{
    int64_t axis;
    return pln_follow_axis_of(f->n, otherwise, m->rank, &axis)
               ? pln_node_set_int(copy, "axis", m->to[axis])
               : PLN_E_UNSUPPORTED;
}

/* ---- element by element, with broadcasting --------------------------------------- */

static bool is_one_number(const pln_value *v)
{
    return pln_value_count(v) == 1 && pln_value_rank(v) <= 1;
}

/* A value of lower rank: its axes keep their order there, so that no Transpose is
 * needed. */
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
               v->cst->dtype != PLN_DT_STRING && pln_value_count(v) <= PLN_FOLLOW_MAX_CONST;
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
    const pln_axmap m = *pln_follow_anchor(f);
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

/* ---- along one axis -------------------------------------------------------------- */

static bool trace_along(pln_follow *f)
{
    int64_t axis;
    return !pln_node_get_int(f->n, "pln_flatten", 0) && pln_follow_alike(f, 0) &&
           pln_follow_axis_of(f->n, -1, f->in[0].rank, &axis);
}

static pln_status emit_along(pln_patch *p, const pln_follow *f, pln_value **in,
                             pln_node *copy)
{
    (void)p;
    (void)in;
    return pln_follow_put_axis(f, copy, -1, &f->in[0]);
}

static bool trace_concat(pln_follow *f)
{
    const pln_axmap m = *pln_follow_anchor(f);
    int64_t axis;
    if (!pln_follow_axis_of(f->n, 0, m.rank, &axis))
        return false;
    for (uint32_t i = 0; i < f->n->n_in; i++) {
        pln_value *v = f->n->in[i];
        if (!v)
            return false;
        if (pln_value_is_const(v)) {
            if (v->cst->rank != m.rank || v->cst->kind != PLN_KIND_TENSOR ||
                v->cst->dtype == PLN_DT_STRING || pln_value_count(v) > PLN_FOLLOW_MAX_CONST)
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
    return pln_follow_put_axis(f, copy, 0, &f->out[0]);
}

static bool trace_split(pln_follow *f)
{
    int64_t axis;
    return pln_follow_alike(f, 0) && pln_follow_axis_of(f->n, 0, f->in[0].rank, &axis);
}

static pln_status emit_split(pln_patch *p, const pln_follow *f, pln_value **in,
                             pln_node *copy)
{
    (void)p;
    (void)in;
    return pln_follow_put_axis(f, copy, 0, &f->in[0]);
}

/* Scale and zero point are one number each, or a row along `axis`. */
static bool trace_quant(pln_follow *f)
{
    int64_t axis;
    if (pln_node_get_int(f->n, "block_size", 0) || f->n->n_in < 2 || !f->n->in[1] ||
        pln_value_rank(f->n->in[1]) < 0 || pln_value_rank(f->n->in[1]) > 1)
        return false;
    return pln_follow_alike(f, 0) && (is_one_number(f->n->in[1]) ||
                           pln_follow_axis_of(f->n, 1, f->in[0].rank, &axis));
}

static pln_status emit_quant(pln_patch *p, const pln_follow *f, pln_value **in,
                             pln_node *copy)
{
    (void)p;
    (void)in;
    return is_one_number(f->n->in[1]) ? PLN_OK
                                      : pln_follow_put_axis(f, copy, 1, &f->in[0]);
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
    return pln_follow_alike(f, 0) && scalar_axis(f, &axis);
}

static pln_status emit_cumsum(pln_patch *p, const pln_follow *f, pln_value **in,
                              pln_node *copy)
{
    (void)copy;
    int64_t axis;
    pln_tensor *t = NULL;
    const pln_tensor *old = f->n->in[1]->cst;
    if (!scalar_axis(f, &axis) ||
        pln_tensor_make(p->graph->model->alloc, (pln_dtype)old->dtype, old->rank,
                        old->dims, &t, NULL) != PLN_OK)
        return PLN_E_NOMEM;
    pln_tensor_set_i64(t, 0, f->in[0].to[axis]);
    in[1] = pln_patch_const(p, t, "axis");
    return in[1] ? PLN_OK : PLN_E_NOMEM;
}

/* Ratio and the training flag say nothing of axes. */
static bool trace_dropout(pln_follow *f)
{
    return f->n->n_out == 1 && pln_follow_alike(f, 0);
}

/* ---- the table ------------------------------------------------------------------- */

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
    { "Split", trace_split, emit_split, SINKS },
    { "QuantizeLinear", trace_quant, emit_quant, 0 },
    { "DequantizeLinear", trace_quant, emit_quant, 0 },
    { "ReduceMax", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceMin", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceSum", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceMean", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceProd", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceL1", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceL2", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceSumSquare", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceLogSum", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ReduceLogSumExp", pln_trace_reduce, pln_emit_axes, SINKS },
    { "ArgMax", pln_trace_arg, pln_emit_arg, SINKS },
    { "ArgMin", pln_trace_arg, pln_emit_arg, SINKS },
    { "Squeeze", pln_trace_squeeze, pln_emit_axes, 0 },
    { "Unsqueeze", pln_trace_unsqueeze, pln_emit_unsqueeze, 0 },
    { "Gather", pln_trace_gather, pln_emit_gather, 0 },
    { "Slice", pln_trace_slice, pln_emit_slice, SINKS },
    { "Pad", pln_trace_pad, pln_emit_pad, 0 },
    { "Tile", pln_trace_row, pln_emit_row, 0 },
    { "Expand", pln_trace_expand, pln_emit_row, 0 },
    { "Resize", pln_trace_resize, pln_emit_resize, 0 },
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
