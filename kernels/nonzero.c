/* NonZero, Compress, OneHot and Trilu: choosing elements.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- NonZero --------------------------------------------------------------------- */

static pln_status nonzero_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    pln_shape out = pln_infer_shape(inf, 2);
    out.dims[0] = rank == PLN_RANK_UNKNOWN ? pln_dim_unknown() : pln_dim_of(rank);
    out.dims[1] = pln_dim_unknown();
    pln_infer_set(inf, 0, PLN_DT_S64, out);
    return PLN_OK;
}

/* Both zeros of the float formats count as zero, NaN does not. */
static bool float_is_zero(const pln_tensor *t, int64_t i)
{
    return pln_tensor_get_f64(t, i) == 0;
}

static bool is_zero(const pln_tensor *t, int64_t i)
{
    if (t->dtype == PLN_DT_STRING) {
        const pln_string *s = PLN_DATA(pln_string *const, t)[i];
        return !s || s->len == 0;
    }
    if (t->dtype == PLN_DT_C64)
        return PLN_DATA(const _Complex float, t)[i] == 0;
    if (t->dtype == PLN_DT_C128)
        return PLN_DATA(const _Complex double, t)[i] == 0;
    if (pln_dtype_is_float((pln_dtype)t->dtype))
        return float_is_zero(t, i);
    switch (pln_dtype_size((pln_dtype)t->dtype)) {
    case 1:
        return PLN_DATA(const pln_w1, t)[i] == 0;
    case 2:
        return PLN_DATA(const pln_w2, t)[i] == 0;
    case 4:
        return PLN_DATA(const pln_w4, t)[i] == 0;
    default:
        return PLN_DATA(const pln_w8, t)[i] == 0;
    }
}

static pln_status nonzero_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const int64_t n = pln_tensor_size(x);
    /* NumPy sees a scalar as a vector of one. */
    const int rank = x->rank == 0 ? 1 : x->rank;
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++)
        found += !is_zero(x, i);
    const int64_t dims[2] = { x->rank, found };
    PLN_TRY(pln_move_output(c, 0, PLN_DT_S64, 2, dims, err));
    if (x->rank == 0 || found == 0)
        return PLN_OK;
    int64_t *to = c->out[0]->data, at[PLN_MAX_RANK] = { 0 }, k = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!is_zero(x, i)) {
            for (int d = 0; d < rank; d++)
                to[d * found + k] = at[d];
            k++;
        }
        for (int d = rank - 1; d >= 0 && ++at[d] == x->dims[d]; d--)
            at[d] = 0;
    }
    return PLN_OK;
}

/* ---- Compress -------------------------------------------------------------------- */

typedef struct compress_attrs {
    int64_t axis;
    bool has_axis;
} compress_attrs;

static const pln_attr_spec compress_spec[] = {
    { .name = "axis",
      .type = PLN_ATTR_INT,
      .offset = offsetof(compress_attrs, axis),
      .has_offset = offsetof(compress_attrs, has_axis) },
    PLN_A_END,
};

static pln_status compress_infer(pln_infer *inf, pln_error *err)
{
    const compress_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (!a->has_axis) {
        pln_shape out = pln_infer_shape(inf, 1);
        out.dims[0] = pln_dim_unknown();
        pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
        return PLN_OK;
    }
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
    pln_shape out = pln_move_infer_like(inf, 0);
    out.dims[axis] = pln_dim_unknown();
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status compress_run(pln_call *c, pln_error *err)
{
    const compress_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *cond = c->in[1];
    int axis = 0;
    if (a->has_axis)
        PLN_TRY(pln_move_axis(c, a->axis, x->rank, &axis, PLN_E_FORMAT, err));
    const int64_t dim = a->has_axis ? x->dims[axis] : pln_tensor_size(x);
    const int64_t outer = a->has_axis ? pln_move_count(x->dims, 0, axis) : 1;
    const int64_t inner = a->has_axis ? pln_move_count(x->dims, axis + 1, x->rank) : 1;
    const int64_t n = pln_tensor_size(cond);
    const uint8_t *keep = cond->data;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        kept += keep[i] != 0;
        if (keep[i] && i >= dim)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "condition %lld is true, there are %lld "
                                 "elements",
                                 (long long)i, (long long)dim);
    }
    int64_t dims[PLN_MAX_RANK] = { kept };
    if (a->has_axis) {
        memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
        dims[axis] = kept;
    }
    PLN_TRY(pln_move_output(c, 0, x->dtype, a->has_axis ? x->rank : 1, dims, err));
    pln_tensor *y = c->out[0];
    const size_t row = (size_t)inner * pln_dtype_size((pln_dtype)x->dtype);
    pln_move_begin(y);
    char *to = y->data;
    for (int64_t o = 0; o < outer && row > 0; o++)
        for (int64_t i = 0; i < n && i < dim; i++) {
            if (!keep[i])
                continue;
            memcpy(to, (const char *)x->data + (size_t)(o * dim + i) * row, row);
            to += row;
        }
    pln_move_end(y);
    return PLN_OK;
}

/* ---- OneHot ---------------------------------------------------------------------- */

typedef struct onehot_attrs {
    int64_t axis;
} onehot_attrs;

static const pln_attr_spec onehot_spec[] = {
    PLN_A_INT(onehot_attrs, axis, -1),
    PLN_A_END,
};

static pln_status onehot_infer(pln_infer *inf, pln_error *err)
{
    const onehot_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    const pln_dtype dt = pln_infer_dtype(inf, 2);
    pln_infer_set(inf, 0, dt, pln_shape_unknown());
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (rank + 1 > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_LIMIT, "%s (OneHot): rank %d", inf->node->name,
                        rank + 1);
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, rank + 1, &axis, err));
    pln_symval depth;
    pln_dim d = pln_dim_unknown();
    const pln_tensor *cst = pln_move_infer_cst(inf, 1);
    if (cst && pln_tensor_size(cst) == 1)
        d = pln_dim_of(pln_tensor_get_i64(cst, 0));
    else if (pln_infer_ints(inf, 1, &depth) && depth.n == 1)
        d = depth.v[0];
    if (pln_dim_is_known(d) && d.value < 0)
        return pln_infer_fail(inf, err, "depth is %lld", (long long)d.value);
    pln_shape out = pln_infer_shape(inf, rank + 1);
    for (int i = 0; i <= rank; i++)
        out.dims[i] = i == axis ? d : pln_infer_dim(inf, 0, i - (i > axis));
    pln_infer_set(inf, 0, dt, out);
    return PLN_OK;
}

static pln_status onehot_run(pln_call *c, pln_error *err)
{
    const onehot_attrs *a = c->attrs;
    const pln_tensor *idx = c->in[0], *v = c->in[2];
    int axis;
    if (pln_tensor_size(v) != 2)
        return pln_call_fail(c, err, PLN_E_RUN, "values has %lld elements, not 2",
                             (long long)pln_tensor_size(v));
    if (pln_tensor_size(c->in[1]) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "depth has %lld elements, not 1",
                             (long long)pln_tensor_size(c->in[1]));
    PLN_TRY(pln_move_axis(c, a->axis, idx->rank + 1, &axis, PLN_E_FORMAT, err));
    PLN_TRY(pln_move_ready(c, err));
    pln_tensor *y = c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)v->dtype);
    const int64_t depth = y->dims[axis], n = pln_tensor_size(idx);
    const int64_t inner = pln_move_count(idx->dims, axis, idx->rank);
    pln_move_begin(y);
    pln_move_fill(y->data, v->data, pln_tensor_size(y), size);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = pln_tensor_get_i64(idx, i);
        if (k < -depth || k >= depth) /* the standard: an all-off row */
            continue;
        k += k < 0 ? depth : 0;
        const int64_t at = (i / inner * depth + k) * inner + i % inner;
        memcpy((char *)y->data + (size_t)at * size, (const char *)v->data + size, size);
    }
    pln_move_end(y);
    return PLN_OK;
}

/* ---- Trilu ----------------------------------------------------------------------- */

typedef struct trilu_attrs {
    int64_t upper;
} trilu_attrs;

static const pln_attr_spec trilu_spec[] = {
    PLN_A_INT(trilu_attrs, upper, 1),
    PLN_A_END,
};

static pln_status trilu_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank != PLN_RANK_UNKNOWN && rank < 2)
        return pln_infer_fail(inf, err, "input has rank %d, want 2 or more", rank);
    return pln_infer_same(inf, err);
}

/* Columns [*from, *to) of row i stay. */
static void trilu_keep(bool upper, int64_t k, int64_t i, int64_t cols, int64_t *from,
                       int64_t *to)
{
    int64_t edge; /* saturated: far diagonals keep all or nothing */
    if (!pln_i64_add(&edge, i, k))
        edge = k > 0 ? INT64_MAX - 1 : INT64_MIN;
    if (!upper)
        edge = edge == INT64_MAX ? edge : edge + 1;
    edge = edge < 0 ? 0 : edge > cols ? cols : edge;
    *from = upper ? edge : 0;
    *to = upper ? cols : edge;
}

static pln_status trilu_run(pln_call *c, pln_error *err)
{
    const trilu_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    int64_t k = 0;
    if (pln_call_has(c, 1) && pln_tensor_size(c->in[1]) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "k has %lld elements, not 1",
                             (long long)pln_tensor_size(c->in[1]));
    if (pln_call_has(c, 1))
        k = pln_move_index(c->in[1], 0);
    const int64_t size = (int64_t)pln_dtype_size((pln_dtype)x->dtype);
    const int64_t rows = x->dims[x->rank - 2], cols = x->dims[x->rank - 1];
    const int64_t all = pln_move_count(x->dims, 0, x->rank - 1);
    pln_move_begin(y);
    for (int64_t r = 0; r < all && cols > 0; r++) {
        const char *from = (const char *)x->data + r * cols * size;
        char *to = (char *)y->data + r * cols * size;
        int64_t first, end;
        trilu_keep(a->upper != 0, k, r % rows, cols, &first, &end);
        if (end < first)
            end = first;
        memset(to, 0, (size_t)(first * size));
        memcpy(to + first * size, from + first * size, (size_t)((end - first) * size));
        memset(to + end * size, 0, (size_t)((cols - end) * size));
    }
    pln_move_end(y);
    return PLN_OK;
}

#define INDEX_TYPES \
    "uint8,int8,uint16,int16,uint32,int32,uint64,int64,float16,float,double"

const pln_op_desc pln_ops_nonzero[] = {
    { .name = "NonZero",
      .domain = "",
      .since = 13,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_DATA_SHAPE,
      .types = "T:" PLN_TS_STD,
      .sig = "T->int64",
      .infer = nonzero_infer,
      .ref = nonzero_run },
    { .name = "Compress",
      .domain = "",
      .since = 28,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .traits = PLN_OP_DATA_SHAPE,
      .types = "T:" PLN_TS_STD,
      .sig = "T,bool->T",
      .attrs = compress_spec,
      .attrs_size = sizeof(compress_attrs),
      .infer = compress_infer,
      .ref = compress_run },
    { .name = "OneHot",
      .domain = "",
      .since = 28,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "A:" INDEX_TYPES ";B:" INDEX_TYPES ";T:" PLN_TS_STD,
      .sig = "A,B,T->T",
      .attrs = onehot_spec,
      .attrs_size = sizeof(onehot_attrs),
      .infer = onehot_infer,
      .ref = onehot_run },
    { .name = "Trilu",
      .expand = pln_expand_trilu,
      .domain = "",
      .since = 14,
      .in = { 1, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64?->T",
      .attrs = trilu_spec,
      .attrs_size = sizeof(trilu_attrs),
      .infer = trilu_infer,
      .ref = trilu_run },
    { .name = "Trilu",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 1, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64?->T",
      .attrs = trilu_spec,
      .attrs_size = sizeof(trilu_attrs),
      .infer = trilu_infer,
      .ref = trilu_run },
    { .name = NULL },
};
