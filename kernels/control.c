/* If, Loop, Scan and SequenceMap: operators that run bodies.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- types ----------------------------------------------------------------------- */

/* What is known of a value that has either type. */
static pln_type type_join(pln_infer *inf, const pln_type *a, const pln_type *b)
{
    if (a->kind == PLN_KIND_NONE || b->kind == PLN_KIND_NONE || a->kind != b->kind)
        return pln_type_unknown();
    if (a->kind != PLN_KIND_TENSOR) {
        pln_type t = *a;
        if (a->elem && b->elem && !pln_type_equal(a->elem, b->elem)) {
            pln_type *e = PLN_NEW(inf->arena, pln_type);
            t.elem = e;
            if (e)
                *e = type_join(inf, a->elem, b->elem);
        }
        return t;
    }
    pln_type t = pln_type_tensor(a->dtype == b->dtype ? a->dtype : PLN_DT_NONE,
                                 pln_shape_unknown());
    if (a->shape.rank == PLN_RANK_UNKNOWN || a->shape.rank != b->shape.rank)
        return t;
    t.shape = pln_shape_dup(inf->arena, a->shape);
    for (int i = 0; i < t.shape.rank; i++)
        if (!pln_dim_equal(a->shape.dims[i], b->shape.dims[i]))
            t.shape.dims[i] = pln_dim_unknown();
    return t;
}

static pln_type without_shape(const pln_type *t)
{
    pln_type out = *t;
    if (t->kind == PLN_KIND_TENSOR)
        out.shape = pln_shape_unknown();
    return out;
}

static pln_status body_arity(pln_infer *inf, const pln_graph *g, uint32_t n_in,
                             uint32_t n_out, pln_error *err)
{
    if (g->n_inputs == n_in && g->n_outputs == n_out)
        return PLN_OK;
    return pln_infer_fail(inf, err,
                          "the body has %u inputs and %u outputs, want %u and %u",
                          g->n_inputs, g->n_outputs, n_in, n_out);
}

static pln_type *new_types(pln_infer *inf, uint32_t n)
{
    pln_type *t = PLN_NEW_ARRAY(inf->arena, pln_type, n + 1);
    for (uint32_t i = 0; t && i < n; i++)
        t[i] = pln_type_unknown();
    return t;
}

static pln_status infer_body(pln_infer *inf, const pln_graph *g, const pln_type *in,
                             uint32_t n_in, pln_type *out, uint32_t n_out, pln_error *err)
{
    return inf->body ? inf->body(inf, g, in, n_in, out, n_out, err) : PLN_OK;
}

/* ---- running --------------------------------------------------------------------- */

static pln_tensor **new_refs(pln_call *c, size_t n)
{
    pln_tensor **v = pln_call_scratch(c, (n + 1) * sizeof *v);
    if (v)
        memset(v, 0, (n + 1) * sizeof *v);
    return v;
}

static void drop_refs(pln_tensor **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pln_tensor_unref(v[i]);
        v[i] = NULL;
    }
}

static pln_status set_outputs(pln_call *c, uint32_t first, pln_tensor **v, uint32_t n,
                              pln_error *err)
{
    for (uint32_t i = 0; i < n; i++)
        if (pln_call_wants(c, first + i) && v[i])
            PLN_TRY(pln_call_set_output(c, first + i, v[i], err));
    return PLN_OK;
}

static pln_status read_bool(const pln_call *c, const pln_tensor *t, bool *out,
                            pln_error *err)
{
    if (!t || t->kind != PLN_KIND_TENSOR || t->dtype != PLN_DT_BOOL ||
        pln_tensor_size(t) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "a condition is no single bool");
    *out = PLN_DATA(const uint8_t, t)[0] != 0;
    return PLN_OK;
}

static pln_status new_scalar(pln_call *c, pln_dtype dt, int64_t v, pln_tensor **out,
                             pln_error *err)
{
    PLN_TRY(pln_tensor_make(pln_call_allocator(c), dt, 0, NULL, out, err));
    pln_tensor_set_i64(*out, 0, v);
    return PLN_OK;
}

/* ---- If -------------------------------------------------------------------------- */

typedef struct if_attrs {
    pln_graph *then_branch, *else_branch;
} if_attrs;

static const pln_attr_spec if_spec[] = {
    PLN_A_GRAPH(if_attrs, then_branch),
    PLN_A_GRAPH(if_attrs, else_branch),
    PLN_A_END,
};

/* A branch that fits no input at hand is one that is not meant for it: nothing is known
 * of what it would give. */
static pln_status infer_branch(pln_infer *inf, const pln_graph *g, pln_type *out,
                               uint32_t n, bool taken, pln_error *err)
{
    const pln_status st = infer_body(inf, g, NULL, 0, out, n, taken ? err : NULL);
    if (st == PLN_OK || taken || st == PLN_E_NOMEM)
        return st;
    for (uint32_t i = 0; i < n; i++)
        out[i] = pln_type_unknown();
    return PLN_OK;
}

static pln_status if_infer(pln_infer *inf, pln_error *err)
{
    const if_attrs *a = inf->attrs;
    const uint32_t n = inf->n_out;
    pln_type *yes = new_types(inf, n), *no = new_types(inf, n);
    if (!yes || !no)
        return pln_oom(err);
    PLN_TRY(body_arity(inf, a->then_branch, 0, n, err));
    PLN_TRY(body_arity(inf, a->else_branch, 0, n, err));
    const pln_tensor *cond = pln_move_infer_cst(inf, 0);
    const bool known = cond && cond->dtype == PLN_DT_BOOL && pln_tensor_size(cond) == 1;
    const bool taken = known && PLN_DATA(const uint8_t, cond)[0];
    if (!known || taken)
        PLN_TRY(infer_branch(inf, a->then_branch, yes, n, known, err));
    if (!known || !taken)
        PLN_TRY(infer_branch(inf, a->else_branch, no, n, known, err));
    for (uint32_t i = 0; i < n; i++) {
        if (known)
            inf->out[i] = taken ? yes[i] : no[i];
        else
            inf->out[i] = type_join(inf, &yes[i], &no[i]);
    }
    return PLN_OK;
}

static pln_status if_run(pln_call *c, pln_error *err)
{
    const if_attrs *a = c->attrs;
    bool cond = false;
    PLN_TRY(read_bool(c, c->in[0], &cond, err));
    pln_tensor **out = new_refs(c, c->n_out);
    if (!out)
        return pln_oom(err);
    pln_status st = pln_call_body(c, cond ? a->then_branch : a->else_branch, NULL, 0, out,
                                  c->n_out, err);
    if (st == PLN_OK)
        st = set_outputs(c, 0, out, c->n_out, err);
    drop_refs(out, c->n_out);
    return st;
}

/* ---- collecting one tensor for each iteration ------------------------------------ */

typedef struct stack {
    pln_tensor **v;
    size_t n, cap;
} stack;

static pln_status stack_push(pln_call *c, stack *s, pln_tensor *t, pln_error *err)
{
    if (!pln_grow(pln_call_allocator(c), (void **)&s->v, &s->cap, s->n + 1, sizeof *s->v))
        return pln_oom(err);
    s->v[s->n++] = pln_tensor_ref(t);
    return PLN_OK;
}

static void stacks_free(pln_call *c, stack *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        drop_refs(s[i].v, s[i].n);
        pln_release(pln_call_allocator(c), s[i].v);
    }
}

/* What an output that no iteration produced would look like: from the body's type. */
static pln_status stack_empty(pln_call *c, uint32_t o, const pln_value *v, int axis,
                              pln_error *err)
{
    const pln_type *t = v ? &v->type : NULL;
    int64_t dims[PLN_MAX_RANK] = { 0 };
    const pln_dtype dt = t && t->dtype ? t->dtype : (pln_dtype)c->out[o]->dtype;
    const int rank = t && t->shape.rank > 0 ? t->shape.rank : 0;
    if (rank + 1 > PLN_MAX_RANK)
        return pln_call_fail(c, err, PLN_E_LIMIT, "rank %d", rank + 1);
    if (axis < 0)
        axis += rank + 1;
    for (int i = 0, k = 0; i <= rank; i++) {
        if (i == axis)
            continue;
        const pln_dim d = t->shape.dims[k++];
        dims[i] = pln_dim_is_known(d) ? d.value : 0;
    }
    return pln_call_output(c, o, dt ? dt : PLN_DT_F32, rank + 1, dims, err);
}

/* Output o: the collected tensors side by side along a new axis. */
static pln_status stack_join(pln_call *c, uint32_t o, const stack *s, const pln_value *v,
                             int64_t axis, bool reverse, pln_error *err)
{
    if (s->n == 0)
        return stack_empty(c, o, v, (int)axis, err);
    const pln_tensor *first = s->v[0];
    const int rank = first->rank + 1;
    int at = 0;
    if (rank > PLN_MAX_RANK)
        return pln_call_fail(c, err, PLN_E_LIMIT, "rank %d", rank);
    PLN_TRY(pln_move_axis(c, axis, rank, &at, PLN_E_FORMAT, err));
    int64_t dims[PLN_MAX_RANK];
    for (int i = 0, k = 0; i < rank; i++)
        dims[i] = i == at ? (int64_t)s->n : first->dims[k++];
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i]->kind != PLN_KIND_TENSOR || s->v[i]->dtype != first->dtype ||
            s->v[i]->rank != first->rank ||
            memcmp(s->v[i]->dims, first->dims, (size_t)first->rank * sizeof *dims))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "output %u has another shape or type in "
                                 "iteration %zu",
                                 o, i);
    PLN_TRY(pln_call_output(c, o, first->dtype, rank, dims, err));
    pln_tensor *y = c->out[o];
    const size_t size = pln_dtype_size((pln_dtype)y->dtype);
    const int64_t outer = pln_move_count(dims, 0, at);
    const size_t row = (size_t)pln_move_count(dims, at + 1, rank) * size;
    pln_move_begin(y);
    for (size_t i = 0; i < s->n && row > 0; i++) {
        const size_t to = reverse ? s->n - 1 - i : i;
        for (int64_t k = 0; k < outer; k++)
            memcpy((char *)y->data + ((size_t)k * s->n + to) * row,
                   (const char *)s->v[i]->data + (size_t)k * row, row);
    }
    pln_move_end(y);
    return PLN_OK;
}

/* ---- Loop ------------------------------------------------------------------------ */

typedef struct body_attrs {
    pln_graph *body;
} body_attrs;

static const pln_attr_spec body_spec[] = {
    PLN_A_GRAPH(body_attrs, body),
    PLN_A_END,
};

static pln_type stacked_type(pln_infer *inf, const pln_type *t, int64_t axis, pln_dim n)
{
    if (t->kind != PLN_KIND_TENSOR || t->shape.rank == PLN_RANK_UNKNOWN)
        return pln_type_tensor(t->dtype, pln_shape_unknown());
    const int rank = t->shape.rank + 1;
    axis += axis < 0 ? rank : 0;
    pln_shape s = pln_infer_shape(inf, rank);
    if (s.rank == PLN_RANK_UNKNOWN || axis < 0 || axis >= rank)
        return pln_type_tensor(t->dtype, pln_shape_unknown());
    for (int i = 0, k = 0; i < rank; i++)
        s.dims[i] = i == axis ? n : t->shape.dims[k++];
    return pln_type_tensor(t->dtype, s);
}

/* Shapes of carried values may change from one iteration to the next: the body is
 * inferred without them. */
static pln_status loop_infer(pln_infer *inf, pln_error *err)
{
    const body_attrs *a = inf->attrs;
    const uint32_t carried = inf->n_in > 2 ? inf->n_in - 2 : 0;
    if (inf->n_out < carried)
        return pln_infer_fail(inf, err, "%u outputs for %u carried values", inf->n_out,
                              carried);
    PLN_TRY(body_arity(inf, a->body, carried + 2, inf->n_out + 1, err));
    pln_type *in = new_types(inf, carried + 2), *out = new_types(inf, inf->n_out + 1);
    if (!in || !out)
        return pln_oom(err);
    in[0] = pln_type_tensor(PLN_DT_S64, pln_infer_shape(inf, 0));
    in[1] = pln_type_tensor(PLN_DT_BOOL, pln_infer_shape(inf, 0));
    for (uint32_t i = 0; i < carried; i++)
        if (pln_infer_has(inf, 2 + i))
            in[2 + i] = without_shape(inf->in[2 + i]);
    PLN_TRY(infer_body(inf, a->body, in, carried + 2, out, inf->n_out + 1, err));
    for (uint32_t i = 0; i < carried; i++) {
        inf->out[i] = pln_infer_has(inf, 2 + i)
                          ? type_join(inf, inf->in[2 + i], &out[1 + i])
                          : out[1 + i];
        if (inf->out[i].kind == PLN_KIND_NONE)
            inf->out[i] = in[2 + i];
    }
    for (uint32_t i = carried; i < inf->n_out; i++)
        inf->out[i] = stacked_type(inf, &out[1 + i], 0, pln_dim_unknown());
    return PLN_OK;
}

typedef struct loop_state {
    pln_tensor **in;  /* iteration, condition, carried values: references */
    pln_tensor **out; /* condition, carried values, scan outputs */
    stack *stacks;
    uint32_t carried, scans;
    int64_t limit;
    bool go;
} loop_state;

static pln_status loop_start(pln_call *c, loop_state *s, pln_error *err)
{
    s->limit = INT64_MAX;
    s->go = true;
    if (pln_call_has(c, 0)) {
        if (pln_tensor_size(c->in[0]) != 1)
            return pln_call_fail(c, err, PLN_E_RUN, "the trip count is no single number");
        s->limit = PLN_DATA(const int64_t, c->in[0])[0];
    }
    if (pln_call_has(c, 1))
        PLN_TRY(read_bool(c, c->in[1], &s->go, err));
    PLN_TRY(new_scalar(c, PLN_DT_BOOL, s->go, &s->in[1], err));
    for (uint32_t i = 0; i < s->carried; i++) {
        if (!pln_call_has(c, 2 + i))
            return pln_call_fail(c, err, PLN_E_FORMAT, "carried value %u is absent", i);
        /* Inputs live in the run's memory, which the body's outputs must outlive. */
        s->in[2 + i] = pln_tensor_ref((pln_tensor *)c->in[2 + i]);
    }
    return PLN_OK;
}

static pln_status loop_step(pln_call *c, loop_state *s, int64_t k, pln_error *err)
{
    const body_attrs *a = c->attrs;
    if (pln_call_cancelled(c))
        return pln_fail(err, PLN_E_CANCELLED, "cancelled");
    pln_tensor_unref(s->in[0]);
    s->in[0] = NULL;
    PLN_TRY(new_scalar(c, PLN_DT_S64, k, &s->in[0], err));
    PLN_TRY(pln_call_body(c, a->body, s->in, s->carried + 2, s->out,
                          1 + s->carried + s->scans, err));
    PLN_TRY(read_bool(c, s->out[0], &s->go, err));
    for (uint32_t i = 0; i < s->scans; i++)
        PLN_TRY(stack_push(c, &s->stacks[i], s->out[1 + s->carried + i], err));
    for (uint32_t i = 0; i < 1 + s->carried; i++) {
        pln_tensor_unref(s->in[1 + i]);
        s->in[1 + i] = s->out[i];
        s->out[i] = NULL;
    }
    drop_refs(s->out, 1 + s->carried + s->scans);
    return PLN_OK;
}

static pln_status loop_all(pln_call *c, loop_state *s, pln_error *err)
{
    const body_attrs *a = c->attrs;
    PLN_TRY(loop_start(c, s, err));
    for (int64_t k = 0; s->go && k < s->limit; k++)
        PLN_TRY(loop_step(c, s, k, err));
    PLN_TRY(set_outputs(c, 0, s->in + 2, s->carried, err));
    for (uint32_t i = 0; i < s->scans; i++)
        if (pln_call_wants(c, s->carried + i))
            PLN_TRY(stack_join(c, s->carried + i, &s->stacks[i],
                               a->body->outputs[1 + s->carried + i], 0, false, err));
    return PLN_OK;
}

static pln_status loop_run(pln_call *c, pln_error *err)
{
    loop_state s = { .carried = c->n_in > 2 ? c->n_in - 2 : 0 };
    s.scans = c->n_out - s.carried;
    s.in = new_refs(c, 2 + s.carried);
    s.out = new_refs(c, 1 + s.carried + s.scans);
    s.stacks = pln_call_scratch(c, (s.scans + 1) * sizeof *s.stacks);
    if (!s.in || !s.out || !s.stacks)
        return pln_oom(err);
    memset(s.stacks, 0, (s.scans + 1) * sizeof *s.stacks);
    const pln_status st = loop_all(c, &s, err);
    drop_refs(s.in, 2 + s.carried);
    drop_refs(s.out, 1 + s.carried + s.scans);
    stacks_free(c, s.stacks, s.scans);
    return st;
}

/* ---- Scan ------------------------------------------------------------------------ */

typedef struct scan_attrs {
    pln_graph *body;
    int64_t num_scan_inputs;
    pln_ints in_axes, out_axes, in_dirs, out_dirs;
} scan_attrs;

static const pln_attr_spec scan_spec[] = {
    PLN_A_GRAPH(scan_attrs, body),
    { .name = "num_scan_inputs",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(scan_attrs, num_scan_inputs) },
    { .name = "scan_input_axes",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(scan_attrs, in_axes) },
    { .name = "scan_output_axes",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(scan_attrs, out_axes) },
    { .name = "scan_input_directions",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(scan_attrs, in_dirs) },
    { .name = "scan_output_directions",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(scan_attrs, out_dirs) },
    PLN_A_END,
};

static int64_t at_or_zero(pln_ints v, uint32_t i)
{
    return i < v.n ? v.v[i] : 0;
}

static pln_status scan_counts(const scan_attrs *a, uint32_t n_in, uint32_t n_out,
                              uint32_t *states, uint32_t *scans_in, uint32_t *scans_out)
{
    if (a->num_scan_inputs < 1 || a->num_scan_inputs > n_in)
        return PLN_E_FORMAT;
    *scans_in = (uint32_t)a->num_scan_inputs;
    *states = n_in - *scans_in;
    if (n_out < *states)
        return PLN_E_FORMAT;
    *scans_out = n_out - *states;
    return PLN_OK;
}

/* A scan input without its axis; the number of iterations is that dimension. */
static pln_status scan_slice_type(pln_infer *inf, uint32_t i, int64_t axis, pln_type *out,
                                  pln_dim *n, pln_error *err)
{
    const pln_type *t = inf->in[i];
    *out = t ? without_shape(t) : pln_type_unknown();
    const int rank = pln_infer_rank(inf, i);
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    int at;
    PLN_TRY(pln_infer_axis(inf, axis, rank, &at, err));
    if (pln_dim_is_unknown(*n))
        *n = pln_infer_dim(inf, i, at);
    pln_shape s = pln_infer_shape(inf, rank - 1);
    for (int k = 0, j = 0; k < rank; k++)
        if (k != at)
            s.dims[j++] = pln_infer_dim(inf, i, k);
    out->shape = s;
    return PLN_OK;
}

static pln_status scan_infer(pln_infer *inf, pln_error *err)
{
    const scan_attrs *a = inf->attrs;
    uint32_t states, ins, outs;
    if (scan_counts(a, inf->n_in, inf->n_out, &states, &ins, &outs) != PLN_OK)
        return pln_infer_fail(inf, err, "num_scan_inputs is %lld",
                              (long long)a->num_scan_inputs);
    PLN_TRY(body_arity(inf, a->body, inf->n_in, inf->n_out, err));
    pln_type *in = new_types(inf, inf->n_in), *out = new_types(inf, inf->n_out);
    if (!in || !out)
        return pln_oom(err);
    pln_dim n = pln_dim_unknown();
    for (uint32_t i = 0; i < states; i++)
        if (pln_infer_has(inf, i))
            in[i] = *inf->in[i];
    for (uint32_t i = 0; i < ins; i++)
        PLN_TRY(scan_slice_type(inf, states + i, at_or_zero(a->in_axes, i),
                                &in[states + i], &n, err));
    PLN_TRY(infer_body(inf, a->body, in, inf->n_in, out, inf->n_out, err));
    for (uint32_t i = 0; i < states; i++)
        inf->out[i] = in[i];
    for (uint32_t i = 0; i < outs; i++)
        inf->out[states + i] =
            stacked_type(inf, &out[states + i], at_or_zero(a->out_axes, i), n);
    return PLN_OK;
}

/* Slice `k` of a scan input, as a new tensor. */
static pln_status scan_slice(pln_call *c, uint32_t i, int axis, int64_t k,
                             pln_tensor **out, pln_error *err)
{
    const pln_tensor *x = c->in[i];
    int64_t dims[PLN_MAX_RANK];
    for (int d = 0, j = 0; d < x->rank; d++)
        if (d != axis)
            dims[j++] = x->dims[d];
    PLN_TRY(
        pln_tensor_make(pln_call_allocator(c), x->dtype, x->rank - 1, dims, out, err));
    const int64_t outer = pln_move_count(x->dims, 0, axis);
    const int64_t inner = pln_move_count(x->dims, axis + 1, x->rank);
    for (int64_t o = 0; o < outer && inner > 0; o++)
        pln_tensor_copy(*out, o * inner, x, (o * x->dims[axis] + k) * inner, inner);
    return PLN_OK;
}

typedef struct scan_state {
    pln_tensor **in, **out;
    stack *stacks;
    uint32_t states, ins, outs;
    int64_t n;
} scan_state;

static pln_status scan_start(pln_call *c, scan_state *s, pln_error *err)
{
    const scan_attrs *a = c->attrs;
    s->n = -1;
    for (uint32_t i = 0; i < s->ins; i++) {
        const pln_tensor *x =
            pln_call_has(c, s->states + i) ? c->in[s->states + i] : NULL;
        int axis = 0;
        if (!x)
            return pln_call_fail(c, err, PLN_E_FORMAT, "scan input %u is absent", i);
        PLN_TRY(pln_move_axis(c, at_or_zero(a->in_axes, i), x->rank, &axis, PLN_E_FORMAT,
                              err));
        if (s->n >= 0 && x->dims[axis] != s->n)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "scan input %u has length %lld, not %lld", i,
                                 (long long)x->dims[axis], (long long)s->n);
        s->n = x->dims[axis];
    }
    for (uint32_t i = 0; i < s->states; i++) {
        if (!pln_call_has(c, i))
            return pln_call_fail(c, err, PLN_E_FORMAT, "state %u is absent", i);
        s->in[i] = pln_tensor_ref((pln_tensor *)c->in[i]);
    }
    return PLN_OK;
}

static pln_status scan_step(pln_call *c, scan_state *s, int64_t k, pln_error *err)
{
    const scan_attrs *a = c->attrs;
    if (pln_call_cancelled(c))
        return pln_fail(err, PLN_E_CANCELLED, "cancelled");
    for (uint32_t i = 0; i < s->ins; i++) {
        const uint32_t at = s->states + i;
        int axis = 0;
        PLN_TRY(pln_move_axis(c, at_or_zero(a->in_axes, i), c->in[at]->rank, &axis,
                              PLN_E_FORMAT, err));
        pln_tensor_unref(s->in[at]);
        s->in[at] = NULL;
        PLN_TRY(scan_slice(c, at, axis, at_or_zero(a->in_dirs, i) ? s->n - 1 - k : k,
                           &s->in[at], err));
    }
    PLN_TRY(pln_call_body(c, a->body, s->in, c->n_in, s->out, c->n_out, err));
    for (uint32_t i = 0; i < s->outs; i++)
        PLN_TRY(stack_push(c, &s->stacks[i], s->out[s->states + i], err));
    for (uint32_t i = 0; i < s->states; i++) {
        pln_tensor_unref(s->in[i]);
        s->in[i] = s->out[i];
        s->out[i] = NULL;
    }
    drop_refs(s->out, c->n_out);
    return PLN_OK;
}

static pln_status scan_all(pln_call *c, scan_state *s, pln_error *err)
{
    const scan_attrs *a = c->attrs;
    PLN_TRY(scan_start(c, s, err));
    for (int64_t k = 0; k < s->n; k++)
        PLN_TRY(scan_step(c, s, k, err));
    PLN_TRY(set_outputs(c, 0, s->in, s->states, err));
    for (uint32_t i = 0; i < s->outs; i++)
        if (pln_call_wants(c, s->states + i))
            PLN_TRY(stack_join(
                c, s->states + i, &s->stacks[i], a->body->outputs[s->states + i],
                at_or_zero(a->out_axes, i), at_or_zero(a->out_dirs, i) != 0, err));
    return PLN_OK;
}

static pln_status scan_run(pln_call *c, pln_error *err)
{
    scan_state s = { 0 };
    if (scan_counts(c->attrs, c->n_in, c->n_out, &s.states, &s.ins, &s.outs) != PLN_OK)
        return pln_call_fail(c, err, PLN_E_FORMAT, "num_scan_inputs does not fit");
    s.in = new_refs(c, c->n_in);
    s.out = new_refs(c, c->n_out);
    s.stacks = pln_call_scratch(c, (s.outs + 1) * sizeof *s.stacks);
    if (!s.in || !s.out || !s.stacks)
        return pln_oom(err);
    memset(s.stacks, 0, (s.outs + 1) * sizeof *s.stacks);
    const pln_status st = scan_all(c, &s, err);
    drop_refs(s.in, c->n_in);
    drop_refs(s.out, c->n_out);
    stacks_free(c, s.stacks, s.outs);
    return st;
}

/* Version 8 had a batch dimension and sequence lengths, which Scan has no place for. */
static pln_status scan_raise_9(pln_node *n, pln_error *err)
{
    pln_node_set_op(n, "planish", "BatchScan");
    return PLN_OK;
}

static pln_status scan_lower_9(pln_node *n, pln_error *err)
{
    return pln_lower_fail(n, err, "version 8 has a batch dimension");
}

static const pln_version_change scan_versions[] = {
    { 9, scan_raise_9, scan_lower_9 },
    { 0 },
};

/* ---- SequenceMap ----------------------------------------------------------------- */

static pln_type sequence_of(pln_infer *inf, const pln_type *t)
{
    pln_type *elem = PLN_NEW(inf->arena, pln_type);
    if (elem)
        *elem = *t;
    return (pln_type){ .kind = PLN_KIND_SEQUENCE, .elem = elem };
}

static pln_status map_infer(pln_infer *inf, pln_error *err)
{
    const body_attrs *a = inf->attrs;
    pln_type *in = new_types(inf, inf->n_in), *out = new_types(inf, inf->n_out);
    if (!in || !out)
        return pln_oom(err);
    PLN_TRY(body_arity(inf, a->body, inf->n_in, inf->n_out, err));
    for (uint32_t i = 0; i < inf->n_in; i++) {
        const pln_type *t = inf->in[i];
        if (t)
            in[i] = t->kind == PLN_KIND_SEQUENCE
                        ? (t->elem ? *t->elem : pln_type_unknown())
                        : *t;
    }
    PLN_TRY(infer_body(inf, a->body, in, inf->n_in, out, inf->n_out, err));
    for (uint32_t i = 0; i < inf->n_out; i++)
        inf->out[i] = sequence_of(inf, &out[i]);
    return PLN_OK;
}

static pln_status map_all(pln_call *c, pln_tensor **in, pln_tensor **out,
                          pln_tensor **seq, pln_error *err)
{
    const body_attrs *a = c->attrs;
    const size_t n = pln_tensor_items(c->in[0]);
    for (uint32_t i = 0; i < c->n_out; i++)
        if (pln_tensor_make_container(pln_call_allocator(c), PLN_KIND_SEQUENCE, &seq[i]))
            return pln_oom(err);
    for (size_t k = 0; k < n; k++) {
        if (pln_call_cancelled(c))
            return pln_fail(err, PLN_E_CANCELLED, "cancelled");
        for (uint32_t i = 0; i < c->n_in; i++) {
            const pln_tensor *x = c->in[i];
            const bool is_seq = x && x->kind == PLN_KIND_SEQUENCE;
            if (is_seq && pln_tensor_items(x) != n)
                return pln_call_fail(c, err, PLN_E_RUN, "input %u has %zu items, not %zu",
                                     i, pln_tensor_items(x), n);
            in[i] = is_seq ? pln_tensor_item(x, k) : (pln_tensor *)x;
        }
        PLN_TRY(pln_call_body(c, a->body, in, c->n_in, out, c->n_out, err));
        for (uint32_t i = 0; i < c->n_out; i++) {
            pln_tensor *item = NULL;
            PLN_TRY(pln_move_keep(c, out[i], &item, err));
            const pln_status st = pln_tensor_append(seq[i], item, err);
            pln_tensor_unref(item);
            PLN_TRY(st);
        }
        drop_refs(out, c->n_out);
    }
    return set_outputs(c, 0, seq, c->n_out, err);
}

static pln_status map_run(pln_call *c, pln_error *err)
{
    pln_tensor **in = new_refs(c, c->n_in), **out = new_refs(c, c->n_out);
    pln_tensor **seq = new_refs(c, c->n_out);
    if (!in || !out || !seq)
        return pln_oom(err);
    if (c->in[0]->kind != PLN_KIND_SEQUENCE)
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 is no sequence");
    const pln_status st = map_all(c, in, out, seq, err);
    drop_refs(out, c->n_out);
    drop_refs(seq, c->n_out);
    return st;
}

const pln_op_desc pln_ops_control[] = {
    { .name = "If",
      .sig = "bool->V+",
      .domain = "",
      .since = 25,
      .in = { 1, 1 },
      .out = { 1, PLN_VARIADIC },
      .traits = PLN_OP_CONTROL,
      .attrs = if_spec,
      .attrs_size = sizeof(if_attrs),
      .infer = if_infer,
      .ref = if_run },
    { .name = "Loop",
      .sig = "int64?,bool?,V+->V+",
      .domain = "",
      .since = 25,
      .in = { 0, PLN_VARIADIC },
      .out = { 1, PLN_VARIADIC },
      .traits = PLN_OP_CONTROL,
      .attrs = body_spec,
      .attrs_size = sizeof(body_attrs),
      .infer = loop_infer,
      .ref = loop_run },
    { .name = "Scan",
      .sig = "V+->V+",
      .domain = "",
      .since = 25,
      .in = { 1, PLN_VARIADIC },
      .out = { 1, PLN_VARIADIC },
      .traits = PLN_OP_CONTROL,
      .attrs = scan_spec,
      .attrs_size = sizeof(scan_attrs),
      .infer = scan_infer,
      .ref = scan_run,
      .versions = scan_versions },
    { .name = "SequenceMap",
      .sig = "seq(S),V+->seq(S)+",
      .domain = "",
      .since = 17,
      .in = { 1, PLN_VARIADIC },
      .out = { 1, PLN_VARIADIC },
      .traits = PLN_OP_CONTROL,
      .attrs = body_spec,
      .attrs_size = sizeof(body_attrs),
      .infer = map_infer,
      .ref = map_run },
    { .name = NULL },
};
