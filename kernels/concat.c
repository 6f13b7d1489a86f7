/* Concat and Split.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- copying a range of one axis ------------------------------------------------- */

/* Copies `rows` pieces of `n` bytes; where they are small the strided copy does it. */
static void copy_pieces(char *dst, int64_t dst_stride, const char *src,
                        int64_t src_stride, int64_t rows, int64_t n, int n_threads)
{
    if (n == 0 || rows == 0)
        return;
    if (rows == 1) {
        pln_move_bytes(dst, src, (size_t)n, n_threads);
        return;
    }
    /* 16-, 8-, ... byte units keep short pieces out of memcpy. */
    const size_t unit = n % 8 == 0 ? 8 : n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1;
    const int64_t dims[2] = { rows, n / (int64_t)unit };
    const int64_t ds[2] = { dst_stride, (int64_t)unit },
                  ss[2] = { src_stride, (int64_t)unit };
    pln_move_nd(dst, ds, src, ss, dims, 2, unit, n_threads);
}

/* Position of logical dimension `axis` in memory. */
static int memory_axis(const pln_tensor *t, int axis)
{
    if (t->layout == PLN_LAYOUT_PLAIN || axis == 0)
        return axis;
    return axis == 1 ? t->rank - 1 : axis - 1;
}

/* Elements that lie after one step of the axis in memory, and steps before it. */
static void split_counts(const pln_tensor *t, int axis, int64_t *outer, int64_t *inner)
{
    const int at = memory_axis(t, axis);
    *outer = *inner = 1;
    for (int i = 0; i < t->rank; i++) {
        const int m = memory_axis(t, i);
        if (m < at)
            *outer *= t->dims[i];
        else if (m > at)
            *inner *= t->dims[i];
    }
}

/* ---- Concat ---------------------------------------------------------------------- */

typedef struct concat_attrs {
    int64_t axis;
} concat_attrs;

static const pln_attr_spec concat_spec[] = {
    { .name = "axis",
      .type = PLN_ATTR_INT,
      .offset = offsetof(concat_attrs, axis),
      .required = true },
    PLN_A_END,
};

static pln_status concat_dims(pln_infer *inf, uint32_t i, int axis, pln_shape out,
                              pln_error *err)
{
    for (int k = 0; k < out.rank; k++) {
        const pln_dim d = pln_infer_dim(inf, i, k);
        if (k == axis) {
            out.dims[k] = pln_dim_add(inf->syms, out.dims[k], d);
        } else if (pln_dim_differ(inf->syms, out.dims[k], d)) {
            return pln_infer_fail(inf, err,
                                  "input %u differs from input 0 in dimension %d", i, k);
        } else if (!pln_dim_is_known(out.dims[k]) &&
                   (pln_dim_is_known(d) || pln_dim_is_unknown(out.dims[k]))) {
            out.dims[k] = d;
        }
    }
    return PLN_OK;
}

static pln_status concat_infer(pln_infer *inf, pln_error *err)
{
    const concat_attrs *a = inf->attrs;
    const int rank = pln_infer_has(inf, 0) ? pln_infer_rank(inf, 0) : PLN_RANK_UNKNOWN;
    if (!pln_infer_has(inf, 0))
        return pln_infer_fail(inf, err, "input 0 is absent");
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
    pln_shape out = pln_move_infer_like(inf, 0);
    for (uint32_t i = 1; i < inf->n_in; i++) {
        if (!pln_infer_has(inf, i))
            return pln_infer_fail(inf, err, "input %u is absent", i);
        if (pln_infer_rank(inf, i) == PLN_RANK_UNKNOWN) {
            out.dims[axis] = pln_dim_unknown();
            continue;
        }
        if (pln_infer_rank(inf, i) != rank)
            return pln_infer_fail(inf, err, "input %u has rank %d, input 0 has %d", i,
                                  pln_infer_rank(inf, i), rank);
        PLN_TRY(concat_dims(inf, i, axis, out, err));
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status concat_run(pln_call *c, pln_error *err)
{
    const concat_attrs *a = c->attrs;
    pln_tensor *y = c->out[0];
    int axis;
    PLN_TRY(pln_move_axis(c, a->axis, y->rank, &axis, PLN_E_FORMAT, err));
    const int64_t size = (int64_t)pln_dtype_size((pln_dtype)y->dtype);
    int64_t outer, inner, at = 0;
    split_counts(y, axis, &outer, &inner);
    const int64_t stride = y->dims[axis] * inner * size;
    pln_move_begin(y);
    for (uint32_t i = 0; i < c->n_in; i++) {
        const pln_tensor *x = c->in[i];
        const int64_t n = x->dims[axis] * inner * size;
        copy_pieces((char *)y->data + at, stride, x->data, n, outer, n, c->n_threads);
        at += n;
    }
    pln_move_end(y);
    return PLN_OK;
}

/* Version 1 had axis 1 by default. */
static pln_status concat_raise_4(pln_node *n, pln_error *err)
{
    if (pln_node_find_attr(n, "axis"))
        return PLN_OK;
    return pln_node_set_int(n, "axis", 1) == PLN_OK ? PLN_OK : pln_oom(err);
}

static const pln_version_change concat_versions[] = {
    { 4, concat_raise_4, NULL },
    { 0 },
};

/* ---- Split ----------------------------------------------------------------------- */

typedef struct split_attrs {
    int64_t axis, num_outputs;
    bool has_num;
} split_attrs;

static const pln_attr_spec split_spec[] = {
    PLN_A_INT(split_attrs, axis, 0),
    { .name = "num_outputs",
      .type = PLN_ATTR_INT,
      .offset = offsetof(split_attrs, num_outputs),
      .has_offset = offsetof(split_attrs, has_num) },
    PLN_A_END,
};

/* Equal parts, the last one smaller; without num_outputs the outputs are counted. */
static pln_dim split_even(pln_infer *inf, pln_dim all, int64_t parts, uint32_t i)
{
    const pln_dim each = pln_dim_div_up(inf->syms, all, pln_dim_of(parts));
    if (pln_dim_is_known(all)) {
        const int64_t left = all.value - each.value * i;
        return pln_dim_of(left < 0 ? 0 : left < each.value ? left : each.value);
    }
    const pln_dim rem = pln_dim_mod(inf->syms, all, pln_dim_of(parts));
    if (pln_dim_is(rem, 0))
        return pln_dim_div(inf->syms, all, pln_dim_of(parts));
    return pln_dim_unknown();
}

static pln_status split_check(pln_infer *inf, const pln_symval *sizes, pln_dim all,
                              pln_error *err)
{
    if (sizes->n != inf->n_out)
        return pln_infer_fail(inf, err, "%lld sizes for %u outputs", (long long)sizes->n,
                              inf->n_out);
    int64_t sum = 0;
    for (int64_t i = 0; i < sizes->n; i++) {
        if (!pln_dim_is_known(sizes->v[i]))
            return PLN_OK;
        if (sizes->v[i].value < 0 || !pln_i64_add(&sum, sum, sizes->v[i].value))
            return pln_infer_fail(inf, err, "size %lld is %lld", (long long)i,
                                  (long long)sizes->v[i].value);
    }
    if (pln_dim_is_known(all) && all.value != sum)
        return pln_infer_fail(inf, err, "the sizes add up to %lld, the dimension is %lld",
                              (long long)sum, (long long)all.value);
    return PLN_OK;
}

static pln_status split_infer(pln_infer *inf, pln_error *err)
{
    const split_attrs *a = inf->attrs;
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    const int rank = pln_infer_rank(inf, 0);
    for (uint32_t i = 0; i < inf->n_out; i++)
        pln_infer_set(inf, i, dt, pln_shape_unknown());
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
    const pln_dim all = pln_infer_dim(inf, 0, axis);
    pln_symval sizes = { 0 };
    const bool given = pln_infer_has(inf, 1);
    const bool known = given && pln_infer_ints(inf, 1, &sizes);
    if (known)
        PLN_TRY(split_check(inf, &sizes, all, err));
    const int64_t parts = a->has_num ? a->num_outputs : inf->n_out;
    if (!given && (parts < 1 || parts != inf->n_out))
        return pln_infer_fail(inf, err, "num_outputs is %lld, there are %u outputs",
                              (long long)parts, inf->n_out);
    for (uint32_t i = 0; i < inf->n_out; i++) {
        pln_shape out = pln_move_infer_like(inf, 0);
        out.dims[axis] = known   ? sizes.v[i]
                         : given ? pln_dim_unknown()
                                 : split_even(inf, all, parts, i);
        pln_infer_set(inf, i, dt, out);
    }
    return PLN_OK;
}

static pln_status split_size(const pln_call *c, uint32_t i, int64_t all, int64_t *n,
                             pln_error *err)
{
    if (pln_call_has(c, 1)) {
        if (pln_tensor_size(c->in[1]) != c->n_out)
            return pln_call_fail(c, err, PLN_E_RUN, "%lld sizes for %u outputs",
                                 (long long)pln_tensor_size(c->in[1]), c->n_out);
        *n = pln_move_index(c->in[1], i);
        return PLN_OK;
    }
    const int64_t each = all / c->n_out + (all % c->n_out != 0), left = all - each * i;
    *n = left < 0 ? 0 : left < each ? left : each;
    return PLN_OK;
}

static pln_status split_run(pln_call *c, pln_error *err)
{
    const split_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    int axis;
    PLN_TRY(pln_move_axis(c, a->axis, x->rank, &axis, PLN_E_FORMAT, err));
    PLN_TRY(pln_move_ready(c, err));
    const int64_t size = (int64_t)pln_dtype_size((pln_dtype)x->dtype);
    int64_t outer, inner, at = 0;
    split_counts(x, axis, &outer, &inner);
    const int64_t stride = x->dims[axis] * inner * size;
    for (uint32_t i = 0; i < c->n_out; i++) {
        int64_t n = 0;
        PLN_TRY(split_size(c, i, x->dims[axis], &n, err));
        if (n < 0 || n > x->dims[axis] - at)
            return pln_call_fail(c, err, PLN_E_RUN, "the sizes exceed dimension %lld",
                                 (long long)x->dims[axis]);
        pln_tensor *y = c->out[i];
        if (y && y->dims[axis] != n)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "output %u is not as long as inferred", i);
        if (y) {
            const int64_t bytes = n * inner * size;
            pln_move_begin(y);
            copy_pieces(y->data, bytes, (const char *)x->data + at * inner * size, stride,
                        outer, bytes, c->n_threads);
            pln_move_end(y);
        }
        at += n;
    }
    return PLN_OK;
}

/* Version 1 allowed the sizes as input 1 or as an attribute, version 2 to 12 the latter.
 */
static pln_status split_raise_13(pln_node *n, pln_error *err)
{
    return pln_raise_ints_to_input(n, "split", 1, err);
}

static pln_status split_lower_13(pln_node *n, pln_error *err)
{
    return pln_lower_input_to_ints(n, 1, "split", err);
}

static pln_status split_raise_18(pln_node *n, pln_error *err)
{
    if (pln_lower_has(n, 1))
        return PLN_OK;
    return pln_node_set_int(n, "num_outputs", n->n_out) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* An uneven split without sizes did not exist before; it can't be told here whether the
 * dimension divides, so it must be known. */
static pln_status split_lower_18(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "num_outputs"),
                   *ax = pln_node_find_attr(n, "axis");
    if (!a || pln_lower_has(n, 1)) {
        pln_node_drop_attr(n, "num_outputs");
        return PLN_OK;
    }
    const pln_shape s = n->in[0]->type.shape;
    int64_t axis = ax ? ax->i : 0;
    if (s.rank != PLN_RANK_UNKNOWN && axis < 0)
        axis += s.rank;
    if (!(s.rank != PLN_RANK_UNKNOWN && axis >= 0 && axis < s.rank))
        return pln_lower_fail(n, err, "an even split of an unknown dimension");
    const pln_syms *syms = n->graph->model->syms;
    if (!pln_dim_is(pln_dim_mod((pln_syms *)syms, s.dims[axis], pln_dim_of(a->i)), 0))
        return pln_lower_fail(n, err, "the older version splits into equal parts only");
    pln_node_drop_attr(n, "num_outputs");
    return PLN_OK;
}

static const pln_version_change split_versions[] = {
    { 13, split_raise_13, split_lower_13 },
    { 18, split_raise_18, split_lower_18 },
    { 0 },
};

const pln_op_desc pln_ops_concat[] = {
    { .name = "Concat",
      .domain = "",
      .since = 13,
      .in = { 1, PLN_VARIADIC },
      .out = { 1, 1 },
      .traits = PLN_OP_CHANNELS_LAST,
      .types = "T:" PLN_TS_STD,
      .sig = "T*->T",
      .attrs = concat_spec,
      .attrs_size = sizeof(concat_attrs),
      .infer = concat_infer,
      .ref = concat_run,
      .versions = concat_versions },
    { .name = "Split",
      .expand = pln_expand_split,
      .domain = "",
      .since = 18,
      .in = { 1, 2 },
      .out = { 1, PLN_VARIADIC },
      .traits = PLN_OP_CHANNELS_LAST,
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64?->T*",
      .attrs = split_spec,
      .attrs_size = sizeof(split_attrs),
      .infer = split_infer,
      .ref = split_run,
      .versions = split_versions },
    { .name = NULL },
};
