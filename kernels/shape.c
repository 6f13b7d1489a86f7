/* Operators that only look at shapes or rename dimensions: their data stays as it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- views ----------------------------------------------------------------------- */

/* The output has the input's elements: nothing to do where the runtime shares memory. */
static pln_status run_view(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    if (x->kind != PLN_KIND_TENSOR)
        return pln_call_set_output(c, 0, (pln_tensor *)x, err);
    PLN_TRY(pln_move_ready(c, err));
    pln_tensor *y = c->out[0];
    if (pln_tensor_size(x) != pln_tensor_size(y))
        return pln_call_fail(
            c, err, PLN_E_RUN, "%lld elements do not fill the output's %lld",
            (long long)pln_tensor_size(x), (long long)pln_tensor_size(y));
    if (x->data == y->data)
        return PLN_OK;
    pln_move_begin(y);
    pln_move_bytes(y->data, x->data, pln_move_bytes_of(x), c->n_threads);
    pln_move_end(y);
    return PLN_OK;
}

static void no_cost(const pln_infer *inf, pln_cost *cost)
{
    *cost = (pln_cost){ 0 };
}

static pln_status identity_infer(pln_infer *inf, pln_error *err)
{
    if (inf->in[0])
        inf->out[0] = *inf->in[0];
    return PLN_OK;
}

/* ---- Reshape --------------------------------------------------------------------- */

typedef struct reshape_attrs {
    int64_t allowzero;
} reshape_attrs;

static const pln_attr_spec reshape_spec[] = {
    PLN_A_INT(reshape_attrs, allowzero, 0),
    PLN_A_END,
};

/* The size of the one -1: all elements by the product of the others. Equal symbols on
 * both sides cancel through the division of expressions. */
static pln_status reshape_rest(pln_infer *inf, pln_shape out, int rest, pln_error *err)
{
    pln_dim others = pln_dim_of(1);
    for (int i = 0; i < out.rank; i++)
        if (i != rest)
            others = pln_dim_mul(inf->syms, others, out.dims[i]);
    const pln_dim all = pln_shape_count(inf->syms, inf->in[0]->shape);
    if (pln_dim_is(others, 0)) {
        if (pln_dim_is_known(all) && all.value != 0)
            return pln_infer_fail(inf, err, "cannot divide %lld elements by 0",
                                  (long long)all.value);
        out.dims[rest] = pln_dim_of(0);
        return PLN_OK;
    }
    if (pln_dim_is_known(all) && pln_dim_is_known(others) && all.value % others.value)
        return pln_infer_fail(inf, err, "%lld elements are not a multiple of %lld",
                              (long long)all.value, (long long)others.value);
    out.dims[rest] = pln_dim_div(inf->syms, all, others);
    return PLN_OK;
}

static pln_status reshape_dim(pln_infer *inf, pln_dim want, int i, pln_dim *out,
                              int *rest, pln_error *err)
{
    const reshape_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (pln_dim_is(want, -1)) {
        if (*rest >= 0)
            return pln_infer_fail(inf, err, "the shape holds -1 twice");
        *rest = i;
    } else if (pln_dim_is(want, 0) && !a->allowzero) {
        if (rank != PLN_RANK_UNKNOWN && i >= rank)
            return pln_infer_fail(inf, err, "shape[%d] is 0, but the input has rank %d",
                                  i, rank);
        *out = rank == PLN_RANK_UNKNOWN ? pln_dim_unknown() : pln_infer_dim(inf, 0, i);
    } else if (pln_dim_is_known(want) && want.value < 0) {
        return pln_infer_fail(inf, err, "shape[%d] is %lld", i, (long long)want.value);
    } else {
        *out = want;
    }
    return PLN_OK;
}

static pln_status reshape_check_count(pln_infer *inf, pln_shape out, pln_error *err)
{
    const pln_dim a = pln_shape_count(inf->syms, inf->in[0]->shape);
    const pln_dim b = pln_shape_count(inf->syms, out);
    if (pln_dim_is_known(a) && pln_dim_is_known(b) && a.value != b.value)
        return pln_infer_fail(inf, err, "%lld elements do not make the shape's %lld",
                              (long long)a.value, (long long)b.value);
    return PLN_OK;
}

/* A single unknown dimension of the result follows from the number of elements. */
static void reshape_deduce(pln_infer *inf, pln_shape out)
{
    int unknown = -1;
    for (int i = 0; i < out.rank; i++) {
        if (!pln_dim_is_unknown(out.dims[i]))
            continue;
        if (unknown >= 0)
            return;
        unknown = i;
    }
    if (unknown < 0)
        return;
    pln_dim others = pln_dim_of(1);
    for (int i = 0; i < out.rank; i++)
        if (i != unknown)
            others = pln_dim_mul(inf->syms, others, out.dims[i]);
    const pln_dim all = pln_shape_count(inf->syms, inf->in[0]->shape);
    if (!pln_dim_is(others, 0))
        out.dims[unknown] = pln_dim_div(inf->syms, all, others);
}

static pln_status reshape_infer(pln_infer *inf, pln_error *err)
{
    pln_symval want;
    if (!pln_infer_ints(inf, 1, &want)) {
        pln_shape s = pln_shape_unknown();
        if (pln_infer_rank(inf, 1) == 1 && pln_dim_is_known(pln_infer_dim(inf, 1, 0)) &&
            pln_infer_dim(inf, 1, 0).value <= PLN_MAX_RANK) {
            s = pln_infer_shape(inf, (int)pln_infer_dim(inf, 1, 0).value);
            for (int i = 0; i < s.rank; i++)
                s.dims[i] = pln_dim_unknown();
        }
        pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
        return PLN_OK;
    }
    if (want.n > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_LIMIT, "%s (Reshape): rank %lld", inf->node->name,
                        (long long)want.n);
    pln_shape out = pln_infer_shape(inf, (int)want.n);
    int rest = -1;
    for (int i = 0; i < out.rank; i++)
        PLN_TRY(reshape_dim(inf, want.v[i], i, &out.dims[i], &rest, err));
    if (pln_infer_rank(inf, 0) == PLN_RANK_UNKNOWN) {
        if (rest >= 0)
            out.dims[rest] = pln_dim_unknown();
    } else {
        if (rest >= 0)
            PLN_TRY(reshape_rest(inf, out, rest, err));
        else
            reshape_deduce(inf, out);
        PLN_TRY(reshape_check_count(inf, out, err));
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* Before version 5 the shape was an attribute. */
static pln_status reshape_raise_5(pln_node *n, pln_error *err)
{
    if (!pln_node_find_attr(n, "shape"))
        return pln_raise_fail(n, err, "attribute 'shape' is missing");
    pln_node_drop_attr(n, "consumed_inputs");
    return pln_raise_ints_to_input(n, "shape", 1, err);
}

static pln_status reshape_lower_5(pln_node *n, pln_error *err)
{
    return pln_lower_input_to_ints(n, 1, "shape", err);
}

/* Whether the new shape certainly has no zero, which only allowzero takes literally. */
static bool has_no_zero(const pln_node *n)
{
    const pln_tensor *t;
    const pln_symval *s = n->n_in > 1 && n->in[1] ? n->in[1]->sym : NULL;
    if (pln_lower_has(n, 1) && pln_lower_constant(n, 1, &t, NULL) == PLN_OK) {
        for (int64_t i = 0; i < pln_tensor_size(t); i++)
            if (pln_tensor_get_i64(t, i) == 0)
                return false;
        return true;
    }
    for (int64_t i = 0; s && i < s->n; i++)
        if (!pln_dim_is(s->v[i], -1) && !pln_dim_at_least(s->v[i], 1))
            return false;
    return s != NULL;
}

static pln_status reshape_lower_14(pln_node *n, pln_error *err)
{
    if (has_no_zero(n))
        pln_node_drop_attr(n, "allowzero");
    return pln_lower_drop_int(n, "allowzero", 0, err);
}

static const pln_version_change reshape_versions[] = {
    { 5, reshape_raise_5, reshape_lower_5 },
    { 14, NULL, reshape_lower_14 },
    { 0 },
};

/* ---- Flatten --------------------------------------------------------------------- */

typedef struct axis_attrs {
    int64_t axis;
} axis_attrs;

static const pln_attr_spec flatten_spec[] = {
    PLN_A_INT(axis_attrs, axis, 1),
    PLN_A_END,
};

static pln_status flatten_infer(pln_infer *inf, pln_error *err)
{
    const axis_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_shape out = pln_infer_shape(inf, 2);
    if (rank == PLN_RANK_UNKNOWN) {
        out.dims[0] = out.dims[1] = pln_dim_unknown();
        pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
        return PLN_OK;
    }
    if (a->axis < -rank || a->axis > rank)
        return pln_infer_fail(inf, err, "axis %lld is outside [%d, %d]",
                              (long long)a->axis, -rank, rank);
    const int axis = (int)(a->axis < 0 ? a->axis + rank : a->axis);
    out.dims[0] = out.dims[1] = pln_dim_of(1);
    for (int i = 0; i < rank; i++) {
        pln_dim *d = &out.dims[i >= axis];
        *d = pln_dim_mul(inf->syms, *d, pln_infer_dim(inf, 0, i));
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* ---- Squeeze and Unsqueeze ------------------------------------------------------- */

/* Marks the axes of `rank` dims that the input lists. */
static pln_status mark_axes(pln_infer *inf, const int64_t *v, size_t n, int rank,
                            bool *mark, pln_error *err)
{
    for (size_t i = 0; i < n; i++) {
        int axis;
        PLN_TRY(pln_infer_axis(inf, v[i], rank, &axis, err));
        if (mark[axis])
            return pln_infer_fail(inf, err, "axis %d is listed twice", axis);
        mark[axis] = true;
    }
    return PLN_OK;
}

static pln_status squeeze_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    const int64_t *axes = NULL;
    size_t n = 0;
    const bool given = pln_infer_has(inf, 1);
    if (rank == PLN_RANK_UNKNOWN || (given && !pln_infer_known_ints(inf, 1, &axes, &n)))
        return pln_move_infer_open(inf);
    bool mark[PLN_MAX_RANK] = { false };
    PLN_TRY(mark_axes(inf, axes, n, rank, mark, err));
    pln_shape out = pln_infer_shape(inf, rank);
    out.rank = 0;
    for (int i = 0; i < rank; i++) {
        const pln_dim d = pln_infer_dim(inf, 0, i);
        if (!given && !pln_dim_is_known(d) && !pln_dim_at_least(d, 2))
            return pln_move_infer_open(inf);
        if (mark[i] && pln_dim_is_known(d) && d.value != 1)
            return pln_infer_fail(inf, err, "dimension %d is %lld, not 1", i,
                                  (long long)d.value);
        if (given ? !mark[i] : !pln_dim_is(d, 1))
            out.dims[out.rank++] = d;
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status unsqueeze_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    const int64_t *axes;
    size_t n;
    if (rank == PLN_RANK_UNKNOWN || !pln_infer_known_ints(inf, 1, &axes, &n))
        return pln_move_infer_open(inf);
    if (rank + n > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_LIMIT, "%s (Unsqueeze): rank %zu", inf->node->name,
                        rank + n);
    const int out_rank = rank + (int)n;
    bool mark[PLN_MAX_RANK] = { false };
    PLN_TRY(mark_axes(inf, axes, n, out_rank, mark, err));
    pln_shape out = pln_infer_shape(inf, out_rank);
    for (int i = 0, k = 0; i < out_rank; i++)
        out.dims[i] = mark[i] ? pln_dim_of(1) : pln_infer_dim(inf, 0, k++);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status axes_raise_13(pln_node *n, pln_error *err)
{
    return pln_raise_ints_to_input(n, "axes", 1, err);
}

static pln_status axes_lower_13(pln_node *n, pln_error *err)
{
    return pln_lower_input_to_ints(n, 1, "axes", err);
}

static const pln_version_change axes_versions[] = {
    { 13, axes_raise_13, axes_lower_13 },
    { 0 },
};

/* ---- Shape and Size -------------------------------------------------------------- */

typedef struct shape_attrs {
    int64_t start, end;
    bool has_end;
} shape_attrs;

static const pln_attr_spec shape_spec[] = {
    PLN_A_INT(shape_attrs, start, 0),
    { .name = "end",
      .type = PLN_ATTR_INT,
      .offset = offsetof(shape_attrs, end),
      .has_offset = offsetof(shape_attrs, has_end) },
    PLN_A_END,
};

static int clamp_axis(int64_t v, int rank)
{
    if (v < 0)
        v += rank;
    return v < 0 ? 0 : v > rank ? rank : (int)v;
}

static void shape_bounds(const shape_attrs *a, int rank, int *first, int *n)
{
    const int end = a->has_end ? clamp_axis(a->end, rank) : rank;
    *first = clamp_axis(a->start, rank);
    *n = end > *first ? end - *first : 0;
}

static pln_status shape_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    pln_shape out = pln_infer_shape(inf, 1);
    if (rank == PLN_RANK_UNKNOWN) {
        out.dims[0] = pln_dim_unknown();
        pln_infer_set(inf, 0, PLN_DT_S64, out);
        return PLN_OK;
    }
    int first, n;
    shape_bounds(inf->attrs, rank, &first, &n);
    out.dims[0] = pln_dim_of(n);
    pln_infer_set(inf, 0, PLN_DT_S64, out);
    pln_symval *sym = PLN_NEW(inf->arena, pln_symval);
    if (!sym)
        return pln_oom(err);
    sym->n = n;
    sym->v = inf->in[0]->shape.dims + first;
    if (inf->out_sym)
        inf->out_sym[0] = sym;
    return PLN_OK;
}

static pln_status shape_run(pln_call *c, pln_error *err)
{
    int first, n;
    shape_bounds(c->attrs, c->in[0]->rank, &first, &n);
    const int64_t dims[1] = { n };
    PLN_TRY(pln_move_output(c, 0, PLN_DT_S64, 1, dims, err));
    if (n > 0)
        memcpy(c->out[0]->data, c->in[0]->dims + first, (size_t)n * sizeof(int64_t));
    return PLN_OK;
}

static pln_status size_infer(pln_infer *inf, pln_error *err)
{
    pln_infer_set(inf, 0, PLN_DT_S64, pln_infer_shape(inf, 0));
    if (pln_infer_rank(inf, 0) == PLN_RANK_UNKNOWN)
        return PLN_OK;
    pln_symval *sym = PLN_NEW(inf->arena, pln_symval);
    pln_dim *v = PLN_NEW(inf->arena, pln_dim);
    if (!sym || !v)
        return pln_oom(err);
    *v = pln_shape_count(inf->syms, inf->in[0]->shape);
    *sym = (pln_symval){ 1, v };
    if (inf->out_sym)
        inf->out_sym[0] = sym;
    return PLN_OK;
}

static pln_status size_run(pln_call *c, pln_error *err)
{
    PLN_TRY(pln_move_output(c, 0, PLN_DT_S64, 0, NULL, err));
    PLN_DATA(int64_t, c->out[0])[0] = pln_tensor_size(c->in[0]);
    return PLN_OK;
}

static pln_status shape_lower_15(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_drop_int(n, "start", 0, err));
    return pln_lower_refuse(n, "end", err);
}

static const pln_version_change shape_versions[] = {
    { 15, NULL, shape_lower_15 },
    { 0 },
};

#define VIEW .traits = PLN_OP_VIEW, .ref = run_view, .cost = no_cost

const pln_op_desc pln_ops_shape[] = {
    { .name = "Identity",
      .sig = "V->V",
      .domain = "",
      .since = 25,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .infer = identity_infer,
      VIEW },
    { .name = "SampleOp",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:uint32,uint64,int32,int64,float16,float,double",
      .sig = "T->T",
      .infer = identity_infer,
      VIEW },
    { .name = "ExpandDims", /* Unsqueeze with one axis */
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int32->T",
      .infer = unsqueeze_infer,
      VIEW },
    { .name = "Reshape",
      .domain = "",
      .since = 25,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_ALL,
      .sig = "T,int64->T",
      .attrs = reshape_spec,
      .attrs_size = sizeof(reshape_attrs),
      .infer = reshape_infer,
      .versions = reshape_versions,
      VIEW },
    { .name = "Flatten",
      .domain = "",
      .since = 25,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_ALL,
      .sig = "T->T",
      .attrs = flatten_spec,
      .attrs_size = sizeof(axis_attrs),
      .infer = flatten_infer,
      VIEW },
    { .name = "Squeeze",
      .domain = "",
      .since = 25,
      .in = { 1, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_ALL,
      .sig = "T,int64?->T",
      .infer = squeeze_infer,
      .versions = axes_versions,
      VIEW },
    { .name = "Unsqueeze",
      .domain = "",
      .since = 25,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_ALL,
      .sig = "T,int64->T",
      .infer = unsqueeze_infer,
      .versions = axes_versions,
      VIEW },
    { .name = "Shape",
      .domain = "",
      .since = 25,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_SHAPE_ONLY,
      .types = "T:" PLN_TS_ALL,
      .sig = "T->int64",
      .attrs = shape_spec,
      .attrs_size = sizeof(shape_attrs),
      .infer = shape_infer,
      .ref = shape_run,
      .cost = no_cost,
      .versions = shape_versions,
      .expand = pln_expand_shape },
    { .name = "Size",
      .domain = "",
      .since = 25,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_SHAPE_ONLY,
      .types = "T:" PLN_TS_ALL,
      .sig = "T->int64",
      .infer = size_infer,
      .ref = size_run,
      .cost = no_cost },
    { .name = NULL },
};
