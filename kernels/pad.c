/* Pad: a tensor with borders, or with some cut off.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

typedef struct pad_attrs {
    int mode;
} pad_attrs;

static const pln_attr_spec pad_spec[] = {
    PLN_A_ENUM(pad_attrs, mode, "constant|reflect|edge|wrap", "constant"),
    PLN_A_END,
};

/* ---- inference ------------------------------------------------------------------------------- */

static pln_status pad_dim(pln_infer *inf, pln_dim before, pln_dim after, pln_dim *d,
                          pln_error *err)
{
    const pln_dim sum = pln_dim_add(inf->syms, before, after);
    *d = pln_dim_add(inf->syms, *d, sum);
    if (pln_dim_is_known(*d) && d->value < 0)
        return pln_infer_fail(inf, err, "the pads make a dimension %lld",
                              (long long)d->value);
    return PLN_OK;
}

static pln_status pad_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    pln_shape out = pln_move_infer_like(inf, 0);
    pln_symval pads;
    const int64_t *axes = NULL;
    size_t n = (size_t)rank;
    const bool given = pln_infer_has(inf, 3);
    if (!pln_infer_ints(inf, 1, &pads) || (given && !pln_infer_known_ints(inf, 3, &axes, &n))) {
        for (int i = 0; i < rank; i++)
            out.dims[i] = pln_dim_unknown();
        pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
        return PLN_OK;
    }
    if (pads.n != 2 * (int64_t)n)
        return pln_infer_fail(inf, err, "%lld pads for %zu axes", (long long)pads.n, n);
    for (size_t i = 0; i < n; i++) {
        int axis = (int)i;
        if (given)
            PLN_TRY(pln_infer_axis(inf, axes[i], rank, &axis, err));
        PLN_TRY(pad_dim(inf, pads.v[i], pads.v[n + i], &out.dims[axis], err));
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* ---- running ------------------------------------------------------------------------------------ */

static pln_status read_pads(const pln_call *c, int64_t *before, int64_t *after,
                            pln_error *err)
{
    const pln_tensor *x = c->in[0];
    int64_t v[2 * PLN_MAX_RANK], axes[PLN_MAX_RANK];
    size_t n, count = (size_t)x->rank;
    PLN_TRY(pln_move_read_ints(c, 1, v, 2 * PLN_MAX_RANK, &n, err));
    for (int i = 0; i < x->rank; i++) {
        before[i] = after[i] = 0;
        axes[i] = i;
    }
    if (pln_call_has(c, 3))
        PLN_TRY(pln_move_read_ints(c, 3, axes, PLN_MAX_RANK, &count, err));
    if (n != 2 * count)
        return pln_call_fail(c, err, PLN_E_RUN, "%zu pads for %zu axes", n, count);
    for (size_t i = 0; i < count; i++) {
        int axis;
        PLN_TRY(pln_move_axis(c, axes[i], x->rank, &axis, PLN_E_RUN, err));
        before[axis] = v[i];
        after[axis] = v[count + i];
    }
    return PLN_OK;
}

static pln_status pad_output(pln_call *c, const int64_t *before, const int64_t *after,
                             pln_error *err)
{
    const pln_tensor *x = c->in[0];
    int64_t dims[PLN_MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        if (!pln_i64_add(&dims[i], x->dims[i], before[i]) ||
            !pln_i64_add(&dims[i], dims[i], after[i]) || dims[i] < 0)
            return pln_call_fail(c, err, PLN_E_RUN, "pads %lld and %lld of dimension %d "
                                 "(%lld)", (long long)before[i], (long long)after[i], i,
                                 (long long)x->dims[i]);
    return pln_move_output(c, 0, x->dtype, x->rank, dims, err);
}

static void pad_fill(const pln_call *c, pln_tensor *y)
{
    static const unsigned char zero[16];
    const pln_tensor *v = pln_call_has(c, 2) ? c->in[2] : NULL;
    const void *value = v && pln_tensor_size(v) > 0 ? v->data : zero;
    pln_move_fill(y->data, value, pln_tensor_size(y), pln_dtype_size((pln_dtype)y->dtype));
}

static void pad_constant(const pln_call *c, pln_tensor *y, const int64_t *before)
{
    const pln_tensor *x = c->in[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    int64_t ss[PLN_MAX_RANK], ds[PLN_MAX_RANK], dims[PLN_MAX_RANK];
    pln_move_strides(x->rank, x->dims, size, ss);
    pln_move_strides(y->rank, y->dims, size, ds);
    pad_fill(c, y);
    const char *from = x->data;
    char *to = y->data;
    for (int i = 0; i < x->rank; i++) {
        const int64_t skip = before[i] < 0 ? -before[i] : 0, at = before[i] > 0 ? before[i] : 0;
        const int64_t left = x->dims[i] - skip, room = y->dims[i] - at;
        dims[i] = left < room ? left : room;
        if (dims[i] <= 0)
            return;
        from += skip * ss[i];
        to += at * ds[i];
    }
    pln_move_nd(to, ds, from, ss, dims, x->rank, size, c->n_threads);
}

static int64_t mod(int64_t a, int64_t n)
{
    const int64_t m = a % n;
    return m < 0 ? m + n : m;
}

/* Where position i (0 is the first of the input) takes its value from. */
static int64_t pad_source(int mode, int64_t i, int64_t n)
{
    if (mode == PAD_WRAP)
        return mod(i, n);
    if (mode == PAD_EDGE)
        return i < 0 ? 0 : i >= n ? n - 1 : i;
    if (n == 1)
        return 0;
    const int64_t m = mod(i, 2 * (n - 1));
    return m < n ? m : 2 * (n - 1) - m;
}

/* Fills along one axis after the other would copy borders of borders; a table of sources
 * for each axis takes every element straight from the input. */
static pln_status pad_mapped(pln_call *c, pln_tensor *y, const int64_t *before, int mode,
                             pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    int64_t ss[PLN_MAX_RANK], at[PLN_MAX_RANK] = { 0 }, total = 0;
    int64_t *map[PLN_MAX_RANK];
    pln_move_strides(x->rank, x->dims, size, ss);
    for (int i = 0; i < y->rank; i++) {
        if (x->dims[i] == 0)
            return pln_call_fail(c, err, PLN_E_RUN, "dimension %d is empty", i);
        total += y->dims[i];
    }
    int64_t *table = pln_call_scratch(c, (size_t)(total + 1) * sizeof *table);
    if (!table)
        return pln_oom(err);
    for (int i = 0; i < y->rank; i++) {
        map[i] = table;
        for (int64_t k = 0; k < y->dims[i]; k++)
            table[k] = pad_source(mode, k - before[i], x->dims[i]) * ss[i];
        table += y->dims[i];
    }
    const int last = y->rank - 1;
    const int64_t n = y->dims[last], rows = pln_tensor_size(y) / n;
    char *to = y->data;
    for (int64_t r = 0; r < rows; r++) {
        const char *from = x->data;
        for (int i = 0; i < last; i++)
            from += map[i][at[i]];
        for (int64_t k = 0; k < n; k++, to += size)
            memcpy(to, from + map[last][k], size);
        for (int i = last - 1; i >= 0 && ++at[i] == y->dims[i]; i--)
            at[i] = 0;
    }
    return PLN_OK;
}

static pln_status pad_run(pln_call *c, pln_error *err)
{
    const pad_attrs *a = c->attrs;
    int64_t before[PLN_MAX_RANK], after[PLN_MAX_RANK];
    PLN_TRY(read_pads(c, before, after, err));
    PLN_TRY(pad_output(c, before, after, err));
    pln_tensor *y = c->out[0];
    if (pln_tensor_size(y) == 0)
        return PLN_OK;
    pln_move_begin(y);
    pln_status st = PLN_OK;
    if (a->mode == PAD_CONSTANT || y->rank == 0)
        pad_constant(c, y, before);
    else
        st = pad_mapped(c, y, before, a->mode, err);
    pln_move_end(y);
    return st;
}

/* ---- versions -------------------------------------------------------------------------------------- */

static pln_status pad_raise_2(pln_node *n, pln_error *err)
{
    const pln_attr *a;
    PLN_TRY(pln_raise_attr(n, "paddings", PLN_ATTR_INTS, &a, err));
    if (!a)
        return PLN_OK;
    if (pln_node_set_ints(n, "pads", a->ints, a->n) != PLN_OK)
        return pln_oom(err);
    pln_node_drop_attr(n, "paddings");
    return PLN_OK;
}

static pln_status pad_lower_2(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "pads");
    if (a && pln_node_set_ints(n, "paddings", a->ints, a->n) != PLN_OK)
        return pln_oom(err);
    pln_node_drop_attr(n, "pads");
    return PLN_OK;
}

/* The value attribute is a float, the input has the type of the data. */
static pln_status pad_raise_11(pln_node *n, pln_error *err)
{
    const pln_attr *a;
    if (!pln_node_find_attr(n, "pads"))
        return pln_raise_fail(n, err, "attribute 'pads' is missing");
    PLN_TRY(pln_raise_ints_to_input(n, "pads", 1, err));
    PLN_TRY(pln_raise_attr(n, "value", PLN_ATTR_FLOAT, &a, err));
    if (a && a->f != 0) {
        const pln_dtype dt = n->in[0] && n->in[0]->type.dtype ? n->in[0]->type.dtype
                                                              : PLN_DT_F32;
        pln_tensor *t = NULL;
        PLN_TRY(pln_tensor_make(n->graph->model->alloc, dt, 0, NULL, &t, err));
        pln_tensor_set_f64(t, 0, a->f);
        PLN_TRY(pln_raise_constant(n, "value", 2, t, err));
    }
    pln_node_drop_attr(n, "value");
    return PLN_OK;
}

static pln_status pad_lower_11(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_input_to_float(n, 2, "value", err));
    return pln_lower_input_to_ints(n, 1, "pads", err);
}

static pln_status pad_lower_18(pln_node *n, pln_error *err)
{
    return pln_lower_has(n, 3) ? pln_lower_fail(n, err, "the older version has no axes")
                               : PLN_OK;
}

static pln_status pad_lower_19(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "mode");
    if (a && a->type == PLN_ATTR_STRING && strcmp(a->s, "wrap") == 0)
        return pln_lower_fail(n, err, "the older version has no mode 'wrap'");
    return PLN_OK;
}

static const pln_version_change pad_versions[] = {
    { 2, pad_raise_2, pad_lower_2 },
    { 11, pad_raise_11, pad_lower_11 },
    { 18, NULL, pad_lower_18 },
    { 19, NULL, pad_lower_19 },
    { 0 },
};

const pln_op_desc pln_ops_pad[] = {
    { .name = "Pad", .domain = "", .since = 25, .in = { 2, 4 }, .out = { 1, 1 },
      .types = "T:" PLN_TS_ALL ";I:" PLN_TS_IND, .sig = "T,int64,T?,I?->T",
      .attrs = pad_spec, .attrs_size = sizeof(pad_attrs), .infer = pad_infer,
      .ref = pad_run, .versions = pad_versions },
    { .name = NULL },
};
