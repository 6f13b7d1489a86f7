/* Transpose, DepthToSpace and SpaceToDepth: a reordering of dimensions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- Transpose ------------------------------------------------------------------- */

typedef struct transpose_attrs {
    pln_ints perm;
} transpose_attrs;

static const pln_attr_spec transpose_spec[] = {
    PLN_A_INTS(transpose_attrs, perm),
    PLN_A_END,
};

/* The permutation, reversed dims where none is given; false: it is none of this rank. */
static bool perm_of(const transpose_attrs *a, int rank, int *perm)
{
    if (a->perm.n == 0) {
        for (int i = 0; i < rank; i++)
            perm[i] = rank - 1 - i;
        return true;
    }
    if (a->perm.n != (size_t)rank)
        return false;
    bool seen[PLN_MAX_RANK] = { false };
    for (int i = 0; i < rank; i++) {
        const int64_t p = a->perm.v[i] < 0 ? a->perm.v[i] + rank : a->perm.v[i];
        if (p < 0 || p >= rank || seen[p])
            return false;
        seen[p] = true;
        perm[i] = (int)p;
    }
    return true;
}

static pln_status transpose_infer(pln_infer *inf, pln_error *err)
{
    const transpose_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    int perm[PLN_MAX_RANK];
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (!perm_of(a, rank, perm))
        return pln_infer_fail(inf, err, "perm (%zu entries) is no permutation of rank %d",
                              a->perm.n, rank);
    pln_shape out = pln_infer_shape(inf, rank);
    for (int i = 0; i < rank; i++)
        out.dims[i] = pln_infer_dim(inf, 0, perm[i]);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status transpose_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    int perm[PLN_MAX_RANK];
    if (!perm_of(c->attrs, x->rank, perm))
        return pln_call_fail(c, err, PLN_E_FORMAT, "perm is no permutation of rank %d",
                             (int)x->rank);
    int64_t in_stride[PLN_MAX_RANK], ss[PLN_MAX_RANK], ds[PLN_MAX_RANK];
    pln_move_strides(x->rank, x->dims, size, in_stride);
    pln_move_strides(y->rank, y->dims, size, ds);
    for (int i = 0; i < x->rank; i++)
        ss[i] = in_stride[perm[i]];
    pln_move_begin(y);
    pln_move_nd(y->data, ds, x->data, ss, y->dims, y->rank, size, c->n_threads);
    pln_move_end(y);
    return PLN_OK;
}

/* Only dimensions of size 1 change places: the bytes stay as they are. */
static bool keeps_order(const pln_tensor *x, const int *perm)
{
    int last = -1;
    for (int i = 0; i < x->rank; i++) {
        if (x->dims[perm[i]] == 1)
            continue;
        if (perm[i] < last)
            return false;
        last = perm[i];
    }
    return true;
}

/* Transposes that merely rename a layout: of a channels-last tensor to its order in
 * memory, and of a tensor whose channels are last to the standard's order. */
static pln_status rename_prepare(pln_prep *p, pln_error *err)
{
    const pln_tensor *x = p->in[0];
    int perm[PLN_MAX_RANK];
    if (!p->is_static || !x || x->dtype == PLN_DT_STRING ||
        !perm_of(p->attrs, x->rank, perm))
        return PLN_E_UNSUPPORTED;
    const int r = x->rank;
    bool to_last = r >= 3 && perm[0] == 0 && perm[r - 1] == 1;
    bool from_last = r >= 3 && perm[0] == 0 && perm[1] == r - 1;
    for (int i = 1; i < r - 1; i++)
        to_last &= perm[i] == i + 1;
    for (int i = 2; i < r; i++)
        from_last &= perm[i] == i - 1;
    p->alias = 0;
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    if (to_last && p->layout_in[0] == PLN_LAYOUT_CHANNELS_LAST)
        return PLN_OK;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    if (keeps_order(x, perm))
        return PLN_OK;
    p->layout_out[0] = PLN_LAYOUT_CHANNELS_LAST;
    return from_last ? PLN_OK : PLN_E_UNSUPPORTED;
}

static pln_status rename_run(pln_call *c, pln_error *err)
{
    pln_tensor_copy(c->out[0], 0, c->in[0], 0, pln_tensor_size(c->in[0]));
    return PLN_OK;
}

static const pln_impl rename_impl = { .name = "rename",
                                      .prepare = rename_prepare,
                                      .run = rename_run };

/* ---- DepthToSpace, SpaceToDepth -------------------------------------------------- */

typedef struct block_attrs {
    int64_t blocksize;
    int mode; /* 0: DCR, 1: CRD */
} block_attrs;

static const pln_attr_spec block_spec[] = {
    { .name = "blocksize",
      .type = PLN_ATTR_INT,
      .offset = offsetof(block_attrs, blocksize),
      .required = true },
    PLN_A_ENUM(block_attrs, mode, "DCR|CRD", "DCR"),
    PLN_A_END,
};

static pln_status block_check(pln_node *n, void *attrs, pln_error *err)
{
    const block_attrs *a = attrs;
    if (a->blocksize < 1 || a->blocksize > INT32_MAX)
        return pln_raise_fail(n, err, "blocksize is out of range");
    return PLN_OK;
}

static pln_status block_infer(pln_infer *inf, bool to_space, pln_error *err)
{
    const block_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (rank < 3)
        return pln_infer_fail(inf, err, "input has rank %d, want 3 or more", rank);
    pln_shape out = pln_move_infer_like(inf, 0);
    const pln_dim b = pln_dim_of(a->blocksize);
    pln_dim all = pln_dim_of(1);
    for (int i = 2; i < rank; i++) {
        const pln_dim d = pln_infer_dim(inf, 0, i);
        if (!to_space && pln_dim_is_known(d) && d.value % a->blocksize)
            return pln_infer_fail(inf, err,
                                  "dimension %d (%lld) is not a multiple of %lld", i,
                                  (long long)d.value, (long long)a->blocksize);
        all = pln_dim_mul(inf->syms, all, b);
        out.dims[i] =
            to_space ? pln_dim_mul(inf->syms, d, b) : pln_dim_div(inf->syms, d, b);
    }
    const pln_dim ch = pln_infer_dim(inf, 0, 1);
    if (to_space && pln_dim_is_known(ch) && pln_dim_is_known(all) && ch.value % all.value)
        return pln_infer_fail(inf, err, "%lld channels are not a multiple of %lld",
                              (long long)ch.value, (long long)all.value);
    out.dims[1] =
        to_space ? pln_dim_div(inf->syms, ch, all) : pln_dim_mul(inf->syms, ch, all);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status to_space_infer(pln_infer *inf, pln_error *err)
{
    return block_infer(inf, true, err);
}

static pln_status to_depth_infer(pln_infer *inf, pln_error *err)
{
    return block_infer(inf, false, err);
}

/* Both are a copy between the deep tensor, seen as [N, B..., C, X...] (DCR) or
 * [N, C, B..., X...] (CRD), and the wide one, seen as [N, C, X0, B0, X1, B1, ...]. */
static void block_copy(const pln_tensor *deep, const pln_tensor *wide, void *dst,
                       const void *src, int64_t b, bool crd, bool to_space, int n_threads)
{
    const int s = wide->rank - 2, rank = 2 + 2 * s;
    const size_t size = pln_dtype_size((pln_dtype)deep->dtype);
    int64_t dims[PLN_MOVE_RANK], ws[PLN_MOVE_RANK], os[PLN_MOVE_RANK];
    int64_t deep_dims[PLN_MOVE_RANK], deep_stride[PLN_MOVE_RANK];
    dims[0] = wide->dims[0];
    dims[1] = wide->dims[1];
    for (int i = 0; i < s; i++) {
        dims[2 + 2 * i] = deep->dims[2 + i];
        dims[3 + 2 * i] = b;
    }
    pln_move_strides(rank, dims, size, ws);
    deep_dims[0] = dims[0];
    deep_dims[crd ? 1 : 1 + s] = dims[1];
    for (int i = 0; i < s; i++) {
        deep_dims[(crd ? 2 : 1) + i] = b;
        deep_dims[2 + s + i] = deep->dims[2 + i];
    }
    pln_move_strides(rank, deep_dims, size, deep_stride);
    os[0] = deep_stride[0];
    os[1] = deep_stride[crd ? 1 : 1 + s];
    for (int i = 0; i < s; i++) {
        os[2 + 2 * i] = deep_stride[2 + s + i];
        os[3 + 2 * i] = deep_stride[(crd ? 2 : 1) + i];
    }
    if (to_space)
        pln_move_nd(dst, ws, src, os, dims, rank, size, n_threads);
    else
        pln_move_nd(dst, os, src, ws, dims, rank, size, n_threads);
}

static pln_status to_space_run(pln_call *c, pln_error *err)
{
    const block_attrs *a = c->attrs;
    pln_move_begin(c->out[0]);
    block_copy(c->in[0], c->out[0], c->out[0]->data, c->in[0]->data, a->blocksize,
               a->mode == 1, true, c->n_threads);
    pln_move_end(c->out[0]);
    return PLN_OK;
}

static pln_status to_depth_run(pln_call *c, pln_error *err)
{
    const block_attrs *a = c->attrs;
    pln_move_begin(c->out[0]);
    block_copy(c->out[0], c->in[0], c->out[0]->data, c->in[0]->data, a->blocksize,
               a->mode == 1, false, c->n_threads);
    pln_move_end(c->out[0]);
    return PLN_OK;
}

static pln_status mode_lower(pln_node *n, pln_error *err)
{
    return pln_lower_drop_string(n, "mode", "DCR", err);
}

static const pln_version_change to_space_versions[] = {
    { 11, NULL, mode_lower },
    { 0 },
};
static const pln_version_change to_depth_versions[] = {
    { 28, NULL, mode_lower },
    { 0 },
};

const pln_op_desc pln_ops_transpose[] = {
    { .name = "Transpose",
      .domain = "",
      .since = 25,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_ALL,
      .sig = "T->T",
      .attrs = transpose_spec,
      .attrs_size = sizeof(transpose_attrs),
      .infer = transpose_infer,
      .ref = transpose_run,
      .cpu = &rename_impl },
    { .name = "DepthToSpace",
      .domain = "",
      .since = 28,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T->T",
      .attrs = block_spec,
      .attrs_size = sizeof(block_attrs),
      .check = block_check,
      .infer = to_space_infer,
      .ref = to_space_run,
      .versions = to_space_versions },
    { .name = "SpaceToDepth",
      .domain = "",
      .since = 28,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T->T",
      .attrs = block_spec,
      .attrs_size = sizeof(block_attrs),
      .check = block_check,
      .infer = to_depth_infer,
      .ref = to_depth_run,
      .versions = to_depth_versions },
    { .name = NULL },
};
