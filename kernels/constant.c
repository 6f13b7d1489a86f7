/* Constant, ConstantOfShape, EyeLike and Range: tensors out of nothing but numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/move.h"
#include "kernels/raise.h"
#include "src/ir/numeric.h"

/* ---- Constant -------------------------------------------------------------------- */

typedef struct constant_attrs {
    pln_tensor *value, *sparse_value;
    float value_float;
    int64_t value_int;
    const char *value_string;
    pln_floats value_floats;
    pln_ints value_ints;
    pln_strings value_strings;
    bool has_value, has_sparse, has_float, has_int, has_string, has_floats, has_ints,
        has_strings;
} constant_attrs;

#define GIVEN(attr, kind, field, has)                                           \
    {                                                                           \
        .name = #attr, .type = kind, .offset = offsetof(constant_attrs, field), \
        .has_offset = offsetof(constant_attrs, has)                             \
    }

static const pln_attr_spec constant_spec[] = {
    GIVEN(value, PLN_ATTR_TENSOR, value, has_value),
    GIVEN(sparse_value, PLN_ATTR_SPARSE_TENSOR, sparse_value, has_sparse),
    GIVEN(value_float, PLN_ATTR_FLOAT, value_float, has_float),
    GIVEN(value_int, PLN_ATTR_INT, value_int, has_int),
    GIVEN(value_string, PLN_ATTR_STRING, value_string, has_string),
    GIVEN(value_floats, PLN_ATTR_FLOATS, value_floats, has_floats),
    GIVEN(value_ints, PLN_ATTR_INTS, value_ints, has_ints),
    GIVEN(value_strings, PLN_ATTR_STRINGS, value_strings, has_strings),
    PLN_A_END,
};

static pln_status constant_check(pln_node *n, void *attrs, pln_error *err)
{
    const constant_attrs *a = attrs;
    if (a->has_value + a->has_sparse + a->has_float + a->has_int + a->has_string +
            a->has_floats + a->has_ints + a->has_strings !=
        1)
        return pln_raise_fail(n, err, "needs exactly one of its value attributes");
    return PLN_OK;
}

/* Type and length of a list attribute; rank 0 for a single value. */
static pln_dtype constant_list(const constant_attrs *a, int *rank, int64_t *n)
{
    *rank = a->has_floats || a->has_ints || a->has_strings;
    *n = a->has_floats    ? (int64_t)a->value_floats.n
         : a->has_ints    ? (int64_t)a->value_ints.n
         : a->has_strings ? (int64_t)a->value_strings.n
                          : 1;
    if (a->has_float || a->has_floats)
        return PLN_DT_F32;
    return a->has_int || a->has_ints ? PLN_DT_S64 : PLN_DT_STRING;
}

/* Of a sparse tensor item 0 has the values; the container has the dense shape. */
static pln_status constant_infer(pln_infer *inf, pln_error *err)
{
    const constant_attrs *a = inf->attrs;
    const pln_tensor *t = a->has_value    ? a->value
                          : a->has_sparse ? a->sparse_value
                                          : NULL;
    if (t) {
        const pln_tensor *v = a->has_value ? t : pln_tensor_item(t, 0);
        pln_infer_set(inf, 0, v ? v->dtype : PLN_DT_NONE,
                      pln_shape_of(inf->arena, t->rank, t->dims));
        return PLN_OK;
    }
    int rank;
    int64_t n;
    const pln_dtype dt = constant_list(a, &rank, &n);
    pln_infer_set(inf, 0, dt, pln_shape_of(inf->arena, rank, &n));
    return PLN_OK;
}

static pln_status constant_tensor(pln_call *c, pln_tensor *t, pln_error *err)
{
    if (!t->raw.data)
        return pln_call_set_output(c, 0, t, err);
    pln_tensor *copy;
    PLN_TRY(pln_tensor_dup(t, &copy, err));
    pln_status st = pln_tensor_materialize(copy, err);
    if (st == PLN_OK)
        st = pln_call_set_output(c, 0, copy, err);
    pln_tensor_unref(copy);
    return st;
}

/* Linear position of entry i; indices are linear ([n]) or by dimension ([n, rank]). */
static int64_t sparse_position(const pln_tensor *dense, const pln_tensor *indices,
                               int64_t i)
{
    if (indices->rank == 1)
        return pln_tensor_get_i64(indices, i);
    int64_t at = 0;
    for (int k = 0; k < dense->rank; k++) {
        const int64_t v = pln_tensor_get_i64(indices, i * dense->rank + k);
        if (v < 0 || v >= dense->dims[k])
            return -1;
        at = at * dense->dims[k] + v;
    }
    return at;
}

static pln_status constant_sparse(pln_call *c, const pln_tensor *sparse, pln_error *err)
{
    pln_tensor *v = pln_tensor_item(sparse, 0), *indices = pln_tensor_item(sparse, 1);
    if (!v || !indices)
        return pln_call_fail(c, err, PLN_E_FORMAT, "the sparse value is incomplete");
    PLN_TRY(pln_tensor_materialize(v, err));
    PLN_TRY(pln_tensor_materialize(indices, err));
    PLN_TRY(pln_move_output(c, 0, v->dtype, sparse->rank, sparse->dims, err));
    pln_tensor *y = c->out[0];
    const int64_t n = pln_tensor_size(v), all = pln_tensor_size(y);
    if (indices->rank != 1 && (indices->rank != 2 || indices->dims[1] != sparse->rank))
        return pln_call_fail(c, err, PLN_E_FORMAT, "the sparse indices have rank %d",
                             (int)indices->rank);
    if (indices->dims[0] != n)
        return pln_call_fail(c, err, PLN_E_FORMAT, "%lld indices for %lld sparse values",
                             (long long)indices->dims[0], (long long)n);
    pln_move_begin(y);
    if (all > 0)
        memset(y->data, 0, pln_move_bytes_of(y));
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = sparse_position(y, indices, i);
        if (at < 0 || at >= all)
            return pln_call_fail(c, err, PLN_E_FORMAT,
                                 "sparse index %lld is out of range", (long long)i);
        pln_tensor_copy(y, at, v, i, 1);
    }
    return PLN_OK;
}

static pln_status constant_strings(pln_call *c, const constant_attrs *a, pln_error *err)
{
    const size_t n = a->has_string ? 1 : a->value_strings.n;
    for (size_t i = 0; i < n; i++) {
        const char *s = a->has_string ? a->value_string : a->value_strings.v[i];
        if (pln_tensor_set_string(c->out[0], (int64_t)i, s, pln_name_len(s)) != PLN_OK)
            return pln_oom(err);
    }
    return PLN_OK;
}

static pln_status constant_run(pln_call *c, pln_error *err)
{
    const constant_attrs *a = c->attrs;
    if (a->has_value)
        return constant_tensor(c, a->value, err);
    if (a->has_sparse)
        return constant_sparse(c, a->sparse_value, err);
    int rank;
    int64_t n;
    const pln_dtype dt = constant_list(a, &rank, &n);
    PLN_TRY(pln_move_output(c, 0, dt, rank, &n, err));
    if (dt == PLN_DT_STRING)
        return constant_strings(c, a, err);
    const void *from = a->has_float  ? (const void *)&a->value_float
                       : a->has_int  ? (const void *)&a->value_int
                       : a->has_ints ? (const void *)a->value_ints.v
                                     : (const void *)a->value_floats.v;
    if (n > 0)
        memcpy(c->out[0]->data, from, (size_t)n * pln_dtype_size(dt));
    return PLN_OK;
}

/* ---- ConstantOfShape ------------------------------------------------------------- */

typedef struct fill_attrs {
    pln_tensor *value;
} fill_attrs;

static const pln_attr_spec fill_spec[] = {
    PLN_A_TENSOR(fill_attrs, value),
    PLN_A_END,
};

static pln_status fill_infer(pln_infer *inf, pln_error *err)
{
    const fill_attrs *a = inf->attrs;
    const pln_dtype dt = a->value ? a->value->dtype : PLN_DT_F32;
    pln_symval want;
    pln_shape s = pln_shape_unknown();
    if (pln_infer_ints(inf, 0, &want)) {
        if (want.n > PLN_MAX_RANK)
            return pln_fail(err, PLN_E_LIMIT, "%s (ConstantOfShape): rank %lld",
                            inf->node->name, (long long)want.n);
        s = pln_infer_shape(inf, (int)want.n);
        for (int i = 0; i < s.rank; i++) {
            if (pln_dim_is_known(want.v[i]) && want.v[i].value < 0)
                return pln_infer_fail(inf, err, "shape[%d] is %lld", i,
                                      (long long)want.v[i].value);
            s.dims[i] = want.v[i];
        }
    } else if (pln_infer_rank(inf, 0) == 1 &&
               pln_dim_is_known(pln_infer_dim(inf, 0, 0)) &&
               pln_infer_dim(inf, 0, 0).value <= PLN_MAX_RANK) {
        s = pln_infer_shape(inf, (int)pln_infer_dim(inf, 0, 0).value);
        for (int i = 0; i < s.rank; i++)
            s.dims[i] = pln_dim_unknown();
    }
    pln_infer_set(inf, 0, dt, s);
    return PLN_OK;
}

static pln_status fill_run(pln_call *c, pln_error *err)
{
    const fill_attrs *a = c->attrs;
    PLN_TRY(pln_move_ready(c, err));
    pln_tensor *y = c->out[0];
    const int64_t n = pln_tensor_size(y);
    if (!a->value) {
        if (n > 0)
            memset(y->data, 0, (size_t)n * sizeof(float));
        return PLN_OK;
    }
    if (pln_tensor_size(a->value) != 1)
        return pln_call_fail(c, err, PLN_E_FORMAT, "value has %lld elements, not 1",
                             (long long)pln_tensor_size(a->value));
    pln_tensor *v = a->value, *copy = NULL;
    if (v->raw.data) {
        PLN_TRY(pln_tensor_dup(v, &copy, err));
        const pln_status st = pln_tensor_materialize(copy, err);
        if (st != PLN_OK) {
            pln_tensor_unref(copy);
            return st;
        }
        v = copy;
    }
    pln_move_begin(y);
    pln_move_fill(y->data, v->data, n, pln_dtype_size(v->dtype));
    pln_move_end(y);
    pln_tensor_unref(copy);
    return PLN_OK;
}

/* ---- EyeLike --------------------------------------------------------------------- */

typedef struct eye_attrs {
    int64_t dtype, k;
    bool has_dtype;
} eye_attrs;

static const pln_attr_spec eye_spec[] = {
    { .name = "dtype",
      .type = PLN_ATTR_INT,
      .offset = offsetof(eye_attrs, dtype),
      .has_offset = offsetof(eye_attrs, has_dtype) },
    PLN_A_INT(eye_attrs, k, 0),
    PLN_A_END,
};

static pln_status eye_infer(pln_infer *inf, pln_error *err)
{
    const eye_attrs *a = inf->attrs;
    if (pln_infer_rank(inf, 0) != PLN_RANK_UNKNOWN && pln_infer_rank(inf, 0) != 2)
        return pln_infer_fail(inf, err, "input has rank %d, want 2",
                              pln_infer_rank(inf, 0));
    pln_infer_set(inf, 0, a->has_dtype ? (pln_dtype)a->dtype : pln_infer_dtype(inf, 0),
                  inf->in[0]->shape);
    return PLN_OK;
}

static pln_status eye_run(pln_call *c, pln_error *err)
{
    const eye_attrs *a = c->attrs;
    pln_tensor *y = c->out[0];
    const int64_t rows = y->dims[0], cols = y->dims[1];
    if (rows == 0 || cols == 0)
        return PLN_OK;
    memset(y->data, 0, pln_move_bytes_of(y));
    for (int64_t i = 0; i < rows; i++) {
        int64_t j;
        if (pln_i64_add(&j, i, a->k) && j >= 0 && j < cols)
            pln_tensor_set_i64(y, i * cols + j, 1);
    }
    return PLN_OK;
}

/* ---- Range ----------------------------------------------------------------------- */

typedef struct range_attrs {
    int64_t stash_type;
} range_attrs;

static const pln_attr_spec range_spec[] = {
    PLN_A_INT(range_attrs, stash_type, 1),
    PLN_A_END,
};

/* ceil((limit - start) / delta), at least 0; false: delta is 0, or too many. */
static bool range_count_int(int64_t start, int64_t limit, int64_t delta, int64_t *n)
{
    if (delta == 0)
        return false;
    if (delta > 0 ? start >= limit : start <= limit) {
        *n = 0;
        return true;
    }
    const uint64_t span =
        delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    const uint64_t step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta;
    const uint64_t count = span / step + (span % step != 0);
    *n = (int64_t)count;
    return count <= INT64_MAX / 16;
}

static bool range_count_float(double start, double limit, double delta, int64_t *n)
{
    const double count = ceil((limit - start) / delta);
    if (!(count < 1e15) || delta == 0)
        return false;
    *n = count > 0 ? (int64_t)count : 0;
    return true;
}

/* The last input may be absent in com.microsoft's: steps of 1. */
static bool range_count(const pln_tensor *const *in, int64_t *n)
{
    const pln_tensor *d = in[2];
    if (pln_dtype_is_integer((pln_dtype)in[0]->dtype))
        return range_count_int(pln_tensor_get_i64(in[0], 0), pln_tensor_get_i64(in[1], 0),
                               d ? pln_tensor_get_i64(d, 0) : 1, n);
    return range_count_float(pln_tensor_get_f64(in[0], 0), pln_tensor_get_f64(in[1], 0),
                             d ? pln_tensor_get_f64(d, 0) : 1, n);
}

static pln_dim range_symbolic(pln_infer *inf)
{
    pln_symval v[3];
    pln_dim one = pln_dim_of(1);
    v[2] = (pln_symval){ .v = &one, .n = 1 };
    for (uint32_t i = 0; i < (pln_infer_has(inf, 2) ? 3 : 2); i++)
        if (!pln_infer_ints(inf, i, &v[i]) || v[i].n != 1)
            return pln_dim_unknown();
    if (!pln_dim_is_known(v[2].v[0]) || v[2].v[0].value <= 0)
        return pln_dim_unknown();
    const pln_dim span = pln_dim_sub(inf->syms, v[1].v[0], v[0].v[0]);
    const pln_dim n = pln_dim_div_up(inf->syms, span, v[2].v[0]);
    return pln_dim_at_least(n, 0) ? n : pln_dim_max(inf->syms, n, pln_dim_of(0));
}

static pln_status range_infer(pln_infer *inf, pln_error *err)
{
    pln_shape out = pln_infer_shape(inf, 1);
    const pln_tensor *in[3] = { NULL };
    bool known = true;
    for (uint32_t i = 0; i < 3; i++) {
        in[i] = pln_move_infer_cst(inf, i);
        known &= in[i] ? pln_tensor_size(in[i]) == 1 : !pln_infer_has(inf, i);
    }
    int64_t n;
    if (!known)
        out.dims[0] = range_symbolic(inf);
    else if (range_count(in, &n))
        out.dims[0] = pln_dim_of(n);
    else
        return pln_infer_fail(inf, err, "delta is 0 or the range has no end");
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* Element i, computed in the type `stash`. */
static double range_at(double start, double delta, int64_t i, pln_dtype stash)
{
    double step = (double)i * delta;
    if (stash == PLN_DT_F32)
        return (float)start + (float)i * (float)delta;
    pln_block_round(stash, &step, 1);
    step += start;
    pln_block_round(stash, &step, 1);
    return step;
}

static void range_fill(pln_tensor *y, const pln_tensor *const *in, int64_t n,
                       pln_dtype stash)
{
    if (pln_dtype_is_integer((pln_dtype)y->dtype)) {
        const uint64_t start = (uint64_t)pln_tensor_get_i64(in[0], 0);
        const uint64_t delta = in[2] ? (uint64_t)pln_tensor_get_i64(in[2], 0) : 1;
        if (y->dtype == PLN_DT_S64)
            for (int64_t i = 0; i < n; i++)
                PLN_DATA(int64_t, y)[i] = (int64_t)(start + (uint64_t)i * delta);
        else
            for (int64_t i = 0; i < n; i++)
                pln_tensor_set_i64(y, i, (int64_t)(start + (uint64_t)i * delta));
        return;
    }
    const double start = pln_tensor_get_f64(in[0], 0),
                 delta = in[2] ? pln_tensor_get_f64(in[2], 0) : 1;
    if (y->dtype == PLN_DT_F32 || y->dtype == PLN_DT_F64)
        stash = (pln_dtype)y->dtype;
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_f64(y, i, range_at(start, delta, i, stash));
}

static pln_status range_run(pln_call *c, pln_error *err)
{
    const pln_tensor *in[3] = { NULL };
    for (uint32_t i = 0; i < c->n_in && i < 3; i++) {
        in[i] = c->in[i];
        if (in[i] && pln_tensor_size(in[i]) != 1)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u has %lld elements, not 1",
                                 i, (long long)pln_tensor_size(in[i]));
    }
    int64_t n;
    if (!range_count(in, &n))
        return pln_call_fail(c, err, PLN_E_RUN, "delta is 0 or the range has no end");
    PLN_TRY(pln_move_output(c, 0, c->in[0]->dtype, 1, &n, err));
    const range_attrs *a = c->attrs;
    range_fill(c->out[0], in, n, a ? (pln_dtype)a->stash_type : PLN_DT_F32);
    return PLN_OK;
}

static pln_status range_check(pln_node *n, void *attrs, pln_error *err)
{
    const int64_t t = ((const range_attrs *)attrs)->stash_type;
    char where[160];
    return t == PLN_DT_F32 || t == PLN_DT_F64 || t == PLN_DT_F16 || t == PLN_DT_BF16
               ? PLN_OK
               : pln_fail(err, PLN_E_UNSUPPORTED, "%s: stash_type is %lld",
                          pln_node_where(n, where, sizeof where), (long long)t);
}

static pln_status range_lower_27(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "stash_type", PLN_DT_F32, err);
}

static const pln_version_change range_versions[] = {
    { 27, NULL, range_lower_27 },
    { 0 },
};

static pln_status constant_lower_12(pln_node *n, pln_error *err)
{
    static const char *const newer[] = { "value_float", "value_floats", "value_int",
                                         "value_ints",  "value_string", "value_strings" };
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        PLN_TRY(pln_lower_refuse(n, newer[i], err));
    return PLN_OK;
}

static pln_status constant_lower_11(pln_node *n, pln_error *err)
{
    return pln_lower_refuse(n, "sparse_value", err);
}

static const pln_version_change constant_versions[] = {
    { 11, NULL, constant_lower_11 },
    { 12, NULL, constant_lower_12 },
    { 0 },
};

#define FILL_TYPES                                                     \
    "uint8,int8,uint16,int16,uint32,int32,uint64,int64,float16,float," \
    "double,bool,bfloat16," PLN_TS_SMALL

const pln_op_desc pln_ops_constant[] = {
    { .name = "Constant",
      .sig = "->T",
      .domain = "",
      .since = 25,
      .in = { 0, 0 },
      .out = { 1, 1 },
      .attrs = constant_spec,
      .attrs_size = sizeof(constant_attrs),
      .check = constant_check,
      .infer = constant_infer,
      .ref = constant_run,
      .versions = constant_versions,
      .expand = pln_expand_constant },
    { .name = "ConstantOfShape",
      .domain = "",
      .since = 25,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:" FILL_TYPES,
      .sig = "int64->T",
      .attrs = fill_spec,
      .attrs_size = sizeof(fill_attrs),
      .infer = fill_infer,
      .ref = fill_run },
    { .name = "EyeLike",
      .domain = "",
      .since = 22,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_SHAPE_ONLY,
      .types = "A:" PLN_TS_NUM ",bool;B:" PLN_TS_NUM ",bool",
      .sig = "A->B",
      .attrs = eye_spec,
      .attrs_size = sizeof(eye_attrs),
      .infer = eye_infer,
      .ref = eye_run },
    { .name = "Range",
      .expand = pln_expand_range,
      .domain = "",
      .since = 27,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "T:float,double,float16,bfloat16,int16,int32,int64",
      .sig = "T,T,T->T",
      .attrs = range_spec,
      .attrs_size = sizeof(range_attrs),
      .check = range_check,
      .infer = range_infer,
      .ref = range_run,
      .versions = range_versions },
    { .name = "Range",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_DATA_SHAPE,
      .types = "T:float,double,int16,int32,int64",
      .sig = "T,T,T?->T",
      .infer = range_infer,
      .ref = range_run },
    { .name = NULL },
};
