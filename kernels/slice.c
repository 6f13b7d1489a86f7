/* Slice: a strided window of a tensor.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- one axis -------------------------------------------------------------------- */

typedef struct window {
    int64_t first, step, n;
} window;

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Negative positions count from the end; INT64_MIN and INT64_MAX mean "to the end". */
static int64_t from_end(int64_t v, int64_t dim)
{
    return v < 0 ? (v < -dim - 1 ? -1 - dim : v) + dim : v;
}

static bool window_of(int64_t start, int64_t end, int64_t step, int64_t dim, window *w)
{
    if (step == 0)
        return false;
    start = from_end(start, dim);
    end = from_end(end, dim);
    w->step = step;
    if (dim == 0) {
        w->first = w->n = 0;
        return true;
    }
    if (step > 0) {
        w->first = clamp(start, 0, dim);
        end = clamp(end, 0, dim);
        w->n = end > w->first ? (end - w->first - 1) / step + 1 : 0;
    } else {
        w->first = clamp(start, 0, dim - 1);
        end = clamp(end, -1, dim - 1);
        const uint64_t back = 0 - (uint64_t)step;
        w->n = w->first > end ? (int64_t)((uint64_t)(w->first - end - 1) / back) + 1 : 0;
        if (start < 0)
            w->n = 0;
    }
    return true;
}

/* ---- inference ------------------------------------------------------------------- */

static bool slice_axes(pln_infer *inf, int64_t n, int rank, int *axes, bool *bad)
{
    const int64_t *v = NULL;
    size_t count = (size_t)n;
    const bool given = pln_infer_has(inf, 3);
    if (given && !pln_infer_known_ints(inf, 3, &v, &count))
        return false;
    *bad = count != (size_t)n || n > PLN_MAX_RANK;
    for (int64_t i = 0; i < n && !*bad; i++) {
        const int64_t a = !given ? i : v[i] < 0 ? v[i] + rank : v[i];
        *bad = a < 0 || a >= rank;
        axes[i] = (int)a;
    }
    return true;
}

/* A bound of a symbolic dimension, clamped where that can be told. */
static pln_dim symbolic_bound(pln_infer *inf, pln_dim v, pln_dim dim)
{
    if (pln_dim_is_known(v) && v.value >= INT32_MAX)
        return dim;
    if (pln_dim_is_known(v) && v.value < 0) {
        if (v.value <= INT32_MIN)
            return pln_dim_of(0);
        return pln_dim_at_least(dim, -v.value) ? pln_dim_add(inf->syms, dim, v)
                                               : pln_dim_unknown();
    }
    if (pln_dim_is_known(v) ? pln_dim_at_least(dim, v.value) : pln_dim_equal(v, dim))
        return v;
    const pln_dim rest = pln_dim_sub(inf->syms, dim, v);
    if (!pln_dim_is_known(v) && pln_dim_at_least(rest, 0) && pln_dim_at_least(v, 0))
        return v;
    if (pln_dim_is_known(v) || pln_dim_at_least(v, 0))
        return pln_dim_min(inf->syms, v, dim);
    return pln_dim_unknown();
}

static pln_dim symbolic_window(pln_infer *inf, pln_dim start, pln_dim end, pln_dim step,
                               pln_dim dim)
{
    if (!pln_dim_is_known(step) || step.value <= 0 || pln_dim_is_unknown(dim))
        return pln_dim_unknown();
    const pln_dim a = symbolic_bound(inf, start, dim), b = symbolic_bound(inf, end, dim);
    const pln_dim span = pln_dim_sub(inf->syms, b, a);
    if (pln_dim_is_unknown(span))
        return span;
    const pln_dim n = pln_dim_div_up(inf->syms, span, step);
    if (pln_dim_is_known(n))
        return pln_dim_of(n.value < 0 ? 0 : n.value);
    return pln_dim_at_least(n, 0) ? n : pln_dim_max(inf->syms, n, pln_dim_of(0));
}

static pln_status slice_axis(pln_infer *inf, pln_dim start, pln_dim end, pln_dim step,
                             pln_dim *dim, pln_error *err)
{
    if (pln_dim_is(step, 0))
        return pln_infer_fail(inf, err, "a step is 0");
    if (pln_dim_is_known(start) && pln_dim_is_known(end) && pln_dim_is_known(step) &&
        pln_dim_is_known(*dim)) {
        window w;
        window_of(start.value, end.value, step.value, dim->value, &w);
        *dim = pln_dim_of(w.n);
        return PLN_OK;
    }
    *dim = symbolic_window(inf, start, end, step, *dim);
    return PLN_OK;
}

static pln_status slice_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    pln_shape out = pln_move_infer_like(inf, 0);
    pln_symval starts, ends, steps = { 0 };
    int axes[PLN_MAX_RANK];
    bool bad = false;
    const bool bounds = pln_infer_ints(inf, 1, &starts) &&
                        pln_infer_ints(inf, 2, &ends) &&
                        (!pln_infer_has(inf, 4) || pln_infer_ints(inf, 4, &steps));
    int64_t n = bounds ? starts.n : -1;
    if (n < 0 && pln_infer_rank(inf, 1) == 1 &&
        pln_dim_is_known(pln_infer_dim(inf, 1, 0)))
        n = pln_infer_dim(inf, 1, 0).value;
    if (n < 0 || !slice_axes(inf, n, rank, axes, &bad)) {
        for (int i = 0; i < rank; i++)
            out.dims[i] = pln_dim_unknown();
        pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
        return PLN_OK;
    }
    if (bad || (bounds && (ends.n != n || (pln_infer_has(inf, 4) && steps.n != n))))
        return pln_infer_fail(inf, err,
                              "starts, ends, axes and steps don't fit each other "
                              "or rank %d",
                              rank);
    for (int64_t i = 0; i < n; i++) {
        pln_dim *d = &out.dims[axes[i]];
        if (bounds)
            PLN_TRY(slice_axis(inf, starts.v[i], ends.v[i],
                               steps.n ? steps.v[i] : pln_dim_of(1), d, err));
        else
            *d = pln_dim_unknown();
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* ---- running --------------------------------------------------------------------- */

static pln_status slice_windows(const pln_call *c, window *w, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const int64_t n = pln_tensor_size(c->in[1]);
    for (int i = 0; i < x->rank; i++)
        w[i] = (window){ 0, 1, x->dims[i] };
    if (n > x->rank || pln_tensor_size(c->in[2]) != n ||
        (pln_call_has(c, 3) && pln_tensor_size(c->in[3]) != n) ||
        (pln_call_has(c, 4) && pln_tensor_size(c->in[4]) != n))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "starts, ends, axes and steps don't fit each "
                             "other or rank %d",
                             (int)x->rank);
    for (int64_t i = 0; i < n; i++) {
        int axis = (int)i;
        if (pln_call_has(c, 3))
            PLN_TRY(pln_move_axis(c, pln_move_index(c->in[3], i), x->rank, &axis,
                                  PLN_E_RUN, err));
        const int64_t step = pln_call_has(c, 4) ? pln_move_index(c->in[4], i) : 1;
        if (!window_of(pln_move_index(c->in[1], i), pln_move_index(c->in[2], i), step,
                       x->dims[axis], &w[axis]))
            return pln_call_fail(c, err, PLN_E_RUN, "a step is 0");
    }
    return PLN_OK;
}

/* Position of logical dimension i in memory. */
static int memory_dim(const pln_tensor *t, int i)
{
    if (t->layout == PLN_LAYOUT_PLAIN || i == 0)
        return i;
    return i == 1 ? t->rank - 1 : i - 1;
}

static pln_status slice_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    window w[PLN_MAX_RANK];
    PLN_TRY(slice_windows(c, w, err));
    int64_t dims[PLN_MAX_RANK], mem_in[PLN_MAX_RANK], mem_out[PLN_MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
        dims[i] = w[i].n;
        mem_in[memory_dim(x, i)] = x->dims[i];
        mem_out[memory_dim(x, i)] = w[i].n;
    }
    PLN_TRY(pln_move_output(c, 0, x->dtype, x->rank, dims, err));
    pln_tensor *y = c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    int64_t in_stride[PLN_MAX_RANK], ss[PLN_MAX_RANK], ds[PLN_MAX_RANK];
    pln_move_strides(x->rank, mem_in, size, in_stride);
    pln_move_strides(x->rank, mem_out, size, ds);
    const char *from = x->data;
    for (int i = 0; i < x->rank; i++) {
        if (w[i].n == 0)
            return PLN_OK;
        const int m = memory_dim(x, i);
        from += w[i].first * in_stride[m];
        ss[m] = w[i].n > 1 ? w[i].step * in_stride[m] : in_stride[m];
    }
    pln_move_begin(y);
    pln_move_nd(y->data, ds, from, ss, mem_out, x->rank, size, c->n_threads);
    pln_move_end(y);
    return PLN_OK;
}

/* ---- versions -------------------------------------------------------------------- */

static pln_status slice_raise_10(pln_node *n, pln_error *err)
{
    if (!pln_node_find_attr(n, "starts") || !pln_node_find_attr(n, "ends"))
        return pln_raise_fail(n, err, "attribute 'starts' or 'ends' is missing");
    PLN_TRY(pln_raise_ints_to_input(n, "starts", 1, err));
    PLN_TRY(pln_raise_ints_to_input(n, "ends", 2, err));
    return pln_raise_ints_to_input(n, "axes", 3, err);
}

static pln_status slice_lower_10(pln_node *n, pln_error *err)
{
    if (pln_lower_has(n, 4)) {
        const pln_tensor *steps;
        PLN_TRY(pln_lower_constant(n, 4, &steps, err));
        for (int64_t i = 0; i < pln_tensor_size(steps); i++)
            if (pln_tensor_get_i64(steps, i) != 1)
                return pln_lower_fail(n, err, "the older version has no steps");
        PLN_TRY(pln_lower_drop_input(n, 4, err));
    }
    PLN_TRY(pln_lower_input_to_ints(n, 3, "axes", err));
    PLN_TRY(pln_lower_input_to_ints(n, 2, "ends", err));
    return pln_lower_input_to_ints(n, 1, "starts", err);
}

static const pln_version_change slice_versions[] = {
    { 10, slice_raise_10, slice_lower_10 },
    { 0 },
};

const pln_op_desc pln_ops_slice[] = {
    { .name = "Slice",
      .domain = "",
      .since = 13,
      .in = { 3, 5 },
      .out = { 1, 1 },
      .traits = PLN_OP_CHANNELS_LAST,
      .types = "T:" PLN_TS_STD ";I:" PLN_TS_IND,
      .sig = "T,I,I,I?,I?->T",
      .infer = slice_infer,
      .ref = slice_run,
      .versions = slice_versions },
    { .name = NULL },
};
