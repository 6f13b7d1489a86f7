/* Sequences and optionals.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- types ----------------------------------------------------------------------- */

static pln_type container_of(pln_infer *inf, pln_kind kind, const pln_type *elem)
{
    pln_type *e = PLN_NEW(inf->arena, pln_type);
    if (e)
        *e = elem ? *elem : pln_type_unknown();
    return (pln_type){ .kind = kind, .elem = e };
}

static pln_type elem_of(const pln_type *t)
{
    return t && t->elem ? *t->elem : pln_type_unknown();
}

/* Tensors of one sequence share the type; shapes may differ. */
static pln_type joined(pln_infer *inf, pln_type a, const pln_type *b)
{
    if (a.kind == PLN_KIND_NONE || !b || b->kind == PLN_KIND_NONE)
        return b && a.kind == PLN_KIND_NONE ? *b : a;
    if (a.kind == PLN_KIND_TENSOR && !pln_shape_equal(a.shape, b->shape))
        a.shape = pln_shape_unknown();
    return a;
}

static void scalar(pln_infer *inf, pln_dtype dt)
{
    pln_infer_set(inf, 0, dt, pln_infer_shape(inf, 0));
}

/* ---- building -------------------------------------------------------------------- */

static pln_status append(pln_call *c, pln_tensor *seq, const pln_tensor *t,
                         pln_error *err)
{
    pln_tensor *item = NULL;
    PLN_TRY(pln_move_keep(c, t, &item, err));
    const pln_status st = pln_tensor_append(seq, item, err);
    pln_tensor_unref(item);
    return st;
}

static pln_status new_container(pln_call *c, pln_kind kind, pln_tensor **out,
                                pln_error *err)
{
    return pln_tensor_make_container(pln_call_allocator(c), kind, out) == PLN_OK
               ? PLN_OK
               : pln_oom(err);
}

/* Output 0 becomes the container, whose reference is taken. */
static pln_status finish(pln_call *c, pln_status st, pln_tensor *seq_take, pln_error *err)
{
    if (st == PLN_OK)
        st = pln_call_set_output(c, 0, seq_take, err);
    pln_tensor_unref(seq_take);
    return st;
}

static pln_status need_sequence(const pln_call *c, pln_error *err)
{
    return c->in[0]->kind == PLN_KIND_SEQUENCE
               ? PLN_OK
               : pln_call_fail(c, err, PLN_E_RUN, "input 0 is no sequence");
}

/* Position among n items from an int32 or int64 scalar; `end`: n itself is allowed. */
static pln_status position(const pln_call *c, const pln_tensor *t, size_t n, bool end,
                           size_t *out, pln_error *err)
{
    if (pln_tensor_size(t) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "position is no single number");
    int64_t v = pln_move_index(t, 0);
    const int64_t limit = (int64_t)n + end;
    if (v < -(int64_t)n || v >= limit)
        return pln_call_fail(c, err, PLN_E_RUN, "position %lld in a sequence of %zu",
                             (long long)v, n);
    *out = (size_t)(v < 0 ? v + (int64_t)n : v);
    return PLN_OK;
}

static pln_status construct_infer(pln_infer *inf, pln_error *err)
{
    pln_type t = pln_type_unknown();
    for (uint32_t i = 0; i < inf->n_in; i++)
        t = joined(inf, t, inf->in[i]);
    inf->out[0] = container_of(inf, PLN_KIND_SEQUENCE, &t);
    return PLN_OK;
}

static pln_status construct_run(pln_call *c, pln_error *err)
{
    pln_tensor *seq;
    PLN_TRY(new_container(c, PLN_KIND_SEQUENCE, &seq, err));
    pln_status st = PLN_OK;
    for (uint32_t i = 0; i < c->n_in && st == PLN_OK; i++)
        st = append(c, seq, c->in[i], err);
    return finish(c, st, seq, err);
}

typedef struct empty_attrs {
    int64_t dtype;
} empty_attrs;

static const pln_attr_spec empty_spec[] = {
    PLN_A_INT(empty_attrs, dtype, PLN_DT_F32),
    PLN_A_END,
};

static pln_status empty_infer(pln_infer *inf, pln_error *err)
{
    const empty_attrs *a = inf->attrs;
    const pln_type t = pln_type_tensor((pln_dtype)a->dtype, pln_shape_unknown());
    inf->out[0] = container_of(inf, PLN_KIND_SEQUENCE, &t);
    return PLN_OK;
}

static pln_status empty_run(pln_call *c, pln_error *err)
{
    const empty_attrs *a = c->attrs;
    pln_tensor *seq;
    PLN_TRY(new_container(c, PLN_KIND_SEQUENCE, &seq, err));
    seq->dtype = (uint8_t)a->dtype;
    return finish(c, PLN_OK, seq, err);
}

static pln_status insert_infer(pln_infer *inf, pln_error *err)
{
    const pln_type t = joined(inf, elem_of(inf->in[0]), inf->in[1]);
    inf->out[0] = container_of(inf, PLN_KIND_SEQUENCE, &t);
    return PLN_OK;
}

static pln_status insert_run(pln_call *c, pln_error *err)
{
    PLN_TRY(need_sequence(c, err));
    const pln_tensor *x = c->in[0];
    size_t n = pln_tensor_items(x), at = n;
    if (pln_call_has(c, 2))
        PLN_TRY(position(c, c->in[2], n, true, &at, err));
    pln_tensor *seq;
    PLN_TRY(new_container(c, PLN_KIND_SEQUENCE, &seq, err));
    pln_status st = PLN_OK;
    for (size_t i = 0; i <= n && st == PLN_OK; i++) {
        if (i == at)
            st = append(c, seq, c->in[1], err);
        if (i < n && st == PLN_OK)
            st = append(c, seq, pln_tensor_item(x, i), err);
    }
    return finish(c, st, seq, err);
}

static pln_status sequence_infer(pln_infer *inf, pln_error *err)
{
    if (inf->in[0])
        inf->out[0] = *inf->in[0];
    return PLN_OK;
}

static pln_status erase_run(pln_call *c, pln_error *err)
{
    PLN_TRY(need_sequence(c, err));
    const pln_tensor *x = c->in[0];
    const size_t n = pln_tensor_items(x);
    size_t at = n - 1;
    if (pln_call_has(c, 1))
        PLN_TRY(position(c, c->in[1], n, false, &at, err));
    if (n == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "the sequence is empty");
    pln_tensor *seq;
    PLN_TRY(new_container(c, PLN_KIND_SEQUENCE, &seq, err));
    pln_status st = PLN_OK;
    for (size_t i = 0; i < n && st == PLN_OK; i++)
        if (i != at)
            st = append(c, seq, pln_tensor_item(x, i), err);
    return finish(c, st, seq, err);
}

static pln_status at_infer(pln_infer *inf, pln_error *err)
{
    inf->out[0] = elem_of(inf->in[0]);
    return PLN_OK;
}

static pln_status at_run(pln_call *c, pln_error *err)
{
    PLN_TRY(need_sequence(c, err));
    size_t at = 0;
    PLN_TRY(position(c, c->in[1], pln_tensor_items(c->in[0]), false, &at, err));
    return pln_call_set_output(c, 0, pln_tensor_item(c->in[0], at), err);
}

static pln_status length_infer(pln_infer *inf, pln_error *err)
{
    scalar(inf, PLN_DT_S64);
    return PLN_OK;
}

static pln_status length_run(pln_call *c, pln_error *err)
{
    PLN_TRY(need_sequence(c, err));
    PLN_TRY(pln_move_output(c, 0, PLN_DT_S64, 0, NULL, err));
    PLN_DATA(int64_t, c->out[0])[0] = (int64_t)pln_tensor_items(c->in[0]);
    return PLN_OK;
}

/* ---- SplitToSequence ------------------------------------------------------------- */

typedef struct split_attrs {
    int64_t axis, keepdims;
} split_attrs;

static const pln_attr_spec split_spec[] = {
    PLN_A_INT(split_attrs, axis, 0),
    PLN_A_INT(split_attrs, keepdims, 1),
    PLN_A_END,
};

static pln_status split_infer(pln_infer *inf, pln_error *err)
{
    const split_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_type t = pln_type_tensor(pln_infer_dtype(inf, 0), pln_shape_unknown());
    if (rank != PLN_RANK_UNKNOWN) {
        int axis;
        PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
        const bool drop = !pln_infer_has(inf, 1) && !a->keepdims;
        pln_shape s = pln_move_infer_like(inf, 0);
        s.dims[axis] = pln_infer_has(inf, 1) ? pln_dim_unknown() : pln_dim_of(1);
        for (int i = axis; drop && i + 1 < rank; i++)
            s.dims[i] = s.dims[i + 1];
        s.rank -= drop;
        t.shape = s;
    }
    inf->out[0] = container_of(inf, PLN_KIND_SEQUENCE, &t);
    return PLN_OK;
}

/* Part [from, from + n) of an axis as a tensor of its own. */
static pln_status split_part(pln_call *c, int axis, int64_t from, int64_t n, bool drop,
                             pln_tensor *seq, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    int64_t dims[PLN_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (!(drop && i == axis))
            dims[rank++] = i == axis ? n : x->dims[i];
    pln_tensor *t;
    PLN_TRY(pln_tensor_make(pln_call_allocator(c), x->dtype, rank, dims, &t, err));
    const int64_t outer = pln_move_count(x->dims, 0, axis);
    const int64_t inner = pln_move_count(x->dims, axis + 1, x->rank);
    for (int64_t o = 0; o < outer && n * inner > 0; o++)
        pln_tensor_copy(t, o * n * inner, x, (o * x->dims[axis] + from) * inner,
                        n * inner);
    const pln_status st = pln_tensor_append(seq, t, err);
    pln_tensor_unref(t);
    return st;
}

static pln_status split_all(pln_call *c, int axis, pln_tensor *seq, pln_error *err)
{
    const split_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *split = pln_call_has(c, 1) ? c->in[1] : NULL;
    const int64_t dim = x->dims[axis];
    const bool listed = split && split->rank == 1;
    const int64_t each = split && !listed ? pln_move_index(split, 0) : 1;
    const int64_t parts = listed ? pln_tensor_size(split) : INT64_MAX;
    int64_t from = 0;
    if (each < 1)
        return pln_call_fail(c, err, PLN_E_RUN, "parts of %lld", (long long)each);
    for (int64_t i = 0; listed ? i < parts : from < dim; i++) {
        int64_t n = listed ? pln_move_index(split, i) : each;
        if (!listed && n > dim - from)
            n = dim - from;
        if (n < 0 || n > dim - from)
            return pln_call_fail(c, err, PLN_E_RUN, "part %lld of size %lld",
                                 (long long)i, (long long)n);
        PLN_TRY(split_part(c, axis, from, n, !split && !a->keepdims, seq, err));
        from += n;
    }
    if (from != dim)
        return pln_call_fail(c, err, PLN_E_RUN, "the parts add up to %lld, not %lld",
                             (long long)from, (long long)dim);
    return PLN_OK;
}

static pln_status split_run(pln_call *c, pln_error *err)
{
    const split_attrs *a = c->attrs;
    int axis = 0;
    pln_tensor *seq;
    PLN_TRY(pln_move_axis(c, a->axis, c->in[0]->rank, &axis, PLN_E_FORMAT, err));
    PLN_TRY(new_container(c, PLN_KIND_SEQUENCE, &seq, err));
    return finish(c, split_all(c, axis, seq, err), seq, err);
}

/* ---- ConcatFromSequence ---------------------------------------------------------- */

typedef struct join_attrs {
    int64_t axis, new_axis;
} join_attrs;

static const pln_attr_spec join_spec[] = {
    { .name = "axis",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(join_attrs, axis) },
    PLN_A_INT(join_attrs, new_axis, 0),
    PLN_A_END,
};

static pln_status join_infer(pln_infer *inf, pln_error *err)
{
    const pln_type t = elem_of(inf->in[0]);
    pln_infer_set(inf, 0, t.dtype, pln_shape_unknown());
    return PLN_OK;
}

/* Length along the axis; all other dims must agree. */
static pln_status join_length(const pln_call *c, int axis, bool stack, int64_t *out,
                              pln_error *err)
{
    const pln_tensor *x = c->in[0], *first = pln_tensor_item(x, 0);
    const size_t n = pln_tensor_items(x);
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        const pln_tensor *t = pln_tensor_item(x, i);
        bool fits = t->kind == PLN_KIND_TENSOR && t->dtype == first->dtype &&
                    t->rank == first->rank;
        for (int k = 0; fits && k < t->rank; k++)
            fits = t->dims[k] == first->dims[k] || (!stack && k == axis);
        if (!fits)
            return pln_call_fail(c, err, PLN_E_RUN, "item %zu does not fit item 0", i);
        *out += stack ? 1 : t->dims[axis];
    }
    return PLN_OK;
}

static pln_status join_run(pln_call *c, pln_error *err)
{
    const join_attrs *a = c->attrs;
    PLN_TRY(need_sequence(c, err));
    const pln_tensor *x = c->in[0];
    const size_t n = pln_tensor_items(x);
    const bool stack = a->new_axis != 0;
    if (n == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "the sequence is empty");
    const pln_tensor *first = pln_tensor_item(x, 0);
    const int rank = first->rank + stack;
    if (rank > PLN_MAX_RANK)
        return pln_call_fail(c, err, PLN_E_LIMIT, "rank %d", rank);
    int axis = 0;
    int64_t all = 0, dims[PLN_MAX_RANK];
    PLN_TRY(pln_move_axis(c, a->axis, rank, &axis, PLN_E_FORMAT, err));
    PLN_TRY(join_length(c, axis, stack, &all, err));
    for (int i = 0, k = 0; i < rank; i++)
        dims[i] = stack && i == axis ? all : first->dims[k++];
    dims[axis] = all;
    PLN_TRY(pln_call_output(c, 0, first->dtype, rank, dims, err));
    const int64_t outer = pln_move_count(dims, 0, axis);
    const int64_t inner = pln_move_count(dims, axis + 1, rank);
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const pln_tensor *t = pln_tensor_item(x, i);
        const int64_t len = stack ? 1 : t->dims[axis];
        for (int64_t o = 0; o < outer && len * inner > 0; o++)
            pln_tensor_copy(c->out[0], (o * all + at) * inner, t, o * len * inner,
                            len * inner);
        at += len;
    }
    return PLN_OK;
}

/* ---- optionals ------------------------------------------------------------------- */

typedef struct optional_attrs {
    const pln_type *type;
} optional_attrs;

static const pln_attr_spec optional_spec[] = {
    PLN_A_TYPE(optional_attrs, type),
    PLN_A_END,
};

static pln_status optional_infer(pln_infer *inf, pln_error *err)
{
    const optional_attrs *a = inf->attrs;
    const bool has = pln_infer_has(inf, 0);
    inf->out[0] = container_of(inf, PLN_KIND_OPTIONAL, has ? inf->in[0] : a->type);
    return PLN_OK;
}

static pln_status optional_run(pln_call *c, pln_error *err)
{
    pln_tensor *t;
    PLN_TRY(new_container(c, PLN_KIND_OPTIONAL, &t, err));
    return finish(c, pln_call_has(c, 0) ? append(c, t, c->in[0], err) : PLN_OK, t, err);
}

static pln_status has_infer(pln_infer *inf, pln_error *err)
{
    scalar(inf, PLN_DT_BOOL);
    return PLN_OK;
}

static pln_status has_run(pln_call *c, pln_error *err)
{
    PLN_TRY(pln_move_output(c, 0, PLN_DT_BOOL, 0, NULL, err));
    const pln_tensor *x = pln_call_has(c, 0) ? c->in[0] : NULL;
    PLN_DATA(uint8_t, c->out[0])
    [0] = x && (x->kind != PLN_KIND_OPTIONAL || pln_tensor_items(x) > 0);
    return PLN_OK;
}

static pln_status get_infer(pln_infer *inf, pln_error *err)
{
    const pln_type *t = inf->in[0];
    if (t)
        inf->out[0] = t->kind == PLN_KIND_OPTIONAL ? elem_of(t) : *t;
    return PLN_OK;
}

static pln_status get_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    if (x->kind != PLN_KIND_OPTIONAL)
        return pln_call_set_output(c, 0, (pln_tensor *)x, err);
    if (pln_tensor_items(x) == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "the optional is empty");
    return pln_call_set_output(c, 0, pln_tensor_item(x, 0), err);
}

static pln_status has_lower_18(pln_node *n, pln_error *err)
{
    return n->n_in == 0 || !n->in[0]
               ? pln_lower_fail(n, err, "the older version needs its input")
               : PLN_OK;
}

static const pln_version_change has_versions[] = {
    { 18, NULL, has_lower_18 },
    { 0 },
};

#define SEQ "T:" PLN_TS_OLD
#define ROW .domain = ""

const pln_op_desc pln_ops_sequence[] = {
    { ROW, .name = "SequenceConstruct", .since = 11, .in = { 1, PLN_VARIADIC },
      .out = { 1, 1 }, .types = SEQ, .sig = "T*->seq(T)", .infer = construct_infer,
      .ref = construct_run },
    { ROW, .name = "SequenceEmpty", .sig = "->seq(S)", .since = 11, .in = { 0, 0 },
      .out = { 1, 1 },
      .attrs = empty_spec, .attrs_size = sizeof(empty_attrs), .infer = empty_infer,
      .ref = empty_run },
    { ROW, .name = "SequenceInsert", .since = 11, .in = { 2, 3 }, .out = { 1, 1 },
      .types = SEQ ";I:" PLN_TS_IND, .sig = "seq(T),T,I?->seq(T)", .infer = insert_infer,
      .ref = insert_run },
    { ROW, .name = "SequenceErase", .since = 11, .in = { 1, 2 }, .out = { 1, 1 },
      .types = SEQ ";I:" PLN_TS_IND, .sig = "seq(T),I?->seq(T)", .infer = sequence_infer,
      .ref = erase_run },
    { ROW, .name = "SequenceAt", .since = 11, .in = { 2, 2 }, .out = { 1, 1 },
      .types = SEQ ";I:" PLN_TS_IND, .sig = "seq(T),I->T", .infer = at_infer,
      .ref = at_run },
    { ROW, .name = "SequenceLength", .since = 11, .in = { 1, 1 }, .out = { 1, 1 },
      .types = SEQ, .sig = "seq(T)->int64", .infer = length_infer, .ref = length_run },
    { ROW, .name = "SplitToSequence", .since = 24, .in = { 1, 2 }, .out = { 1, 1 },
      .types = "T:" PLN_TS_STD ";I:" PLN_TS_IND, .sig = "T,I?->seq(T)",
      .attrs = split_spec, .attrs_size = sizeof(split_attrs), .infer = split_infer,
      .ref = split_run },
    { ROW, .name = "ConcatFromSequence", .since = 11, .in = { 1, 1 }, .out = { 1, 1 },
      .types = SEQ, .sig = "seq(T)->T", .attrs = join_spec,
      .attrs_size = sizeof(join_attrs), .infer = join_infer, .ref = join_run },
    { ROW, .name = "Optional", .sig = "V?->optional(V)", .since = 28, .in = { 0, 1 },
      .out = { 1, 1 },
      .attrs = optional_spec, .attrs_size = sizeof(optional_attrs),
      .infer = optional_infer, .ref = optional_run },
    { ROW, .name = "OptionalHasElement", .sig = "O?->bool", .expand = pln_expand_optional,
      .since = 28, .in = { 0, 1 }, .out = { 1, 1 },
      .infer = has_infer, .ref = has_run, .versions = has_versions },
    { ROW, .name = "OptionalGetElement", .sig = "O->V", .expand = pln_expand_optional,
      .since = 28, .in = { 1, 1 }, .out = { 1, 1 },
      .infer = get_infer, .ref = get_run },
    { .name = NULL },
};
