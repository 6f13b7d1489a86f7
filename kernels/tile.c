/* Expand and Tile: copies of a tensor along dimensions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- Expand ---------------------------------------------------------------------- */

static pln_status expand_infer(pln_infer *inf, pln_error *err)
{
    pln_symval want;
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (!pln_infer_ints(inf, 1, &want)) {
        pln_shape s = pln_shape_unknown();
        if (pln_infer_rank(inf, 1) == 1 && pln_dim_is_known(pln_infer_dim(inf, 1, 0)) &&
            pln_infer_dim(inf, 1, 0).value <= PLN_MAX_RANK) {
            const int n = (int)pln_infer_dim(inf, 1, 0).value;
            s = pln_infer_shape(inf, n > rank ? n : rank);
            for (int i = 0; i < s.rank; i++)
                s.dims[i] = pln_dim_unknown();
        }
        pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
        return PLN_OK;
    }
    if (want.n > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_LIMIT, "%s (Expand): rank %lld", inf->node->name,
                        (long long)want.n);
    pln_shape shapes[2] = { inf->in[0]->shape, pln_infer_shape(inf, (int)want.n) };
    for (int i = 0; i < shapes[1].rank; i++) {
        if (pln_dim_is_known(want.v[i]) && want.v[i].value < 0)
            return pln_infer_fail(inf, err, "shape[%d] is %lld", i,
                                  (long long)want.v[i].value);
        shapes[1].dims[i] = want.v[i];
    }
    pln_shape out;
    PLN_TRY(pln_infer_broadcast_shapes(inf, shapes, 2, &out, err));
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status expand_run(pln_call *c, pln_error *err)
{
    PLN_TRY(pln_move_ready(c, err));
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    int64_t in_stride[PLN_MAX_RANK], ss[PLN_MAX_RANK] = { 0 }, ds[PLN_MAX_RANK];
    pln_move_strides(x->rank, x->dims, size, in_stride);
    pln_move_strides(y->rank, y->dims, size, ds);
    for (int i = 0; i < x->rank; i++) {
        const int k = y->rank - x->rank + i;
        if (k < 0 || (x->dims[i] != y->dims[k] && x->dims[i] != 1))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "dimension %d (%lld) does not broadcast", i,
                                 (long long)x->dims[i]);
        ss[k] = x->dims[i] == 1 ? 0 : in_stride[i];
    }
    pln_move_begin(y);
    pln_move_nd(y->data, ds, x->data, ss, y->dims, y->rank, size, c->n_threads);
    pln_move_end(y);
    return PLN_OK;
}

/* ---- Tile ------------------------------------------------------------------------ */

static pln_status tile_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    pln_symval times;
    pln_shape out = pln_move_infer_like(inf, 0);
    const bool known = pln_infer_ints(inf, 1, &times);
    if (known && times.n != rank)
        return pln_infer_fail(inf, err, "%lld repeats for rank %d", (long long)times.n,
                              rank);
    for (int i = 0; i < rank; i++) {
        if (known && pln_dim_is_known(times.v[i]) && times.v[i].value < 0)
            return pln_infer_fail(inf, err, "repeats[%d] is %lld", i,
                                  (long long)times.v[i].value);
        out.dims[i] =
            known ? pln_dim_mul(inf->syms, out.dims[i], times.v[i]) : pln_dim_unknown();
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* The output is seen as [r0, d0, r1, d1, ...], the input has stride 0 along each r. */
static pln_status tile_run(pln_call *c, pln_error *err)
{
    PLN_TRY(pln_move_ready(c, err));
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    if (pln_tensor_size(y) == 0)
        return PLN_OK;
    int64_t in_stride[PLN_MAX_RANK];
    int64_t dims[PLN_MOVE_RANK], ss[PLN_MOVE_RANK], ds[PLN_MOVE_RANK];
    pln_move_strides(x->rank, x->dims, size, in_stride);
    for (int i = 0; i < x->rank; i++) {
        if (y->dims[i] % x->dims[i])
            return pln_call_fail(c, err, PLN_E_RUN, "output dimension %d does not repeat",
                                 i);
        dims[2 * i] = y->dims[i] / x->dims[i];
        dims[2 * i + 1] = x->dims[i];
        ss[2 * i] = 0;
        ss[2 * i + 1] = in_stride[i];
    }
    pln_move_strides(2 * x->rank, dims, size, ds);
    pln_move_begin(y);
    pln_move_nd(y->data, ds, x->data, ss, dims, 2 * x->rank, size, c->n_threads);
    pln_move_end(y);
    return PLN_OK;
}

/* Version 1 had inputs `tiles` and `axis`, both one number: only constants can be turned
 * into repeats, and the rank must be known. */
static pln_status tile_raise_6(pln_node *n, pln_error *err)
{
    if (n->n_in != 3 || !n->in[1] || !n->in[2])
        return pln_raise_fail(n, err, "version 1 needs inputs 'tiles' and 'axis'");
    const pln_tensor *tiles, *axis;
    PLN_TRY(pln_lower_constant(n, 1, &tiles, err));
    PLN_TRY(pln_lower_constant(n, 2, &axis, err));
    const int rank = n->in[0]->type.shape.rank;
    if (rank == PLN_RANK_UNKNOWN || pln_tensor_size(tiles) != 1 ||
        pln_tensor_size(axis) != 1)
        return pln_lower_fail(n, err, "version 1 with an input of unknown rank");
    int64_t repeats[PLN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        repeats[i] = 1;
    const int64_t at = (int64_t)pln_tensor_get_f64(axis, 0);
    if (at < 0 || at >= rank)
        return pln_raise_fail(n, err, "axis is out of range");
    repeats[at] = (int64_t)pln_tensor_get_f64(tiles, 0);
    pln_tensor *t = NULL;
    pln_tensor_from_i64(n->graph->model->alloc, 1, repeats, rank, &t);
    PLN_TRY(pln_raise_constant(n, "repeats", 1, t, err));
    if (pln_node_set_input(n, 2, NULL) != PLN_OK)
        return pln_oom(err);
    pln_node_trim_inputs(n);
    return PLN_OK;
}

static pln_status tile_lower_6(pln_node *n, pln_error *err)
{
    return pln_lower_fail(n, err, "Tile with repeats does not exist before version 6");
}

static const pln_version_change tile_versions[] = {
    { 6, tile_raise_6, tile_lower_6 },
    { 0 },
};

const pln_op_desc pln_ops_tile[] = {
    { .name = "Expand",
      .domain = "",
      .since = 13,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64->T",
      .infer = expand_infer,
      .ref = expand_run },
    { .name = "Tile",
      .domain = "",
      .since = 13,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64->T",
      .infer = tile_infer,
      .ref = tile_run,
      .versions = tile_versions },
    { .name = NULL },
};
