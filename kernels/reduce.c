/* Reductions over axes: ReduceSum ... ReduceLogSumExp.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/reduce.h"

#include "kernels/bcast.h"
#include "kernels/block.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"

#include <math.h>

#define RUN 256 /* elements loaded at a time */

static const pln_attr_spec reduce_spec[] = {
    PLN_A_INT(reduce_attrs, keepdims, 1),
    PLN_A_INT(reduce_attrs, noop_with_empty_axes, 0),
    PLN_A_END,
};

/* ---- the walk ---------------------------------------------------------------------- */

static pln_status axes_mask(const pln_call *c, uint32_t *mask, bool *noop, pln_error *err)
{
    const reduce_attrs *a = (const reduce_attrs *)c->attrs;
    const int rank = c->in[0]->rank;
    const pln_tensor *axes = pln_call_has(c, 1) ? c->in[1] : NULL;
    const int64_t n = axes ? pln_tensor_size(axes) : 0;
    *mask = 0;
    *noop = n == 0 && a->noop_with_empty_axes;
    if (n == 0 && !*noop)
        *mask = rank == 0 ? 0 : (uint32_t)((1u << rank) - 1);
    for (int64_t i = 0; i < n; i++) {
        int axis;
        const int64_t v = PLN_DATA(const int64_t, axes)[i];
        if (!pln_axis_normal(v, rank, &axis))
            return pln_call_fail(c, err, PLN_E_RUN, "axis %lld is outside [-%d, %d)",
                                 (long long)v, rank, rank);
        *mask |= 1u << axis;
    }
    return PLN_OK;
}

/* Strides of the output for each dimension of the input. */
static void out_strides(const pln_tensor *x, const pln_tensor *y, uint32_t mask,
                        int64_t *stride)
{
    int64_t own[PLN_MAX_RANK];
    pln_layout_strides(y, own);
    int j = 0;
    for (int i = 0; i < x->rank; i++) {
        const bool kept = !(mask & 1u << i);
        if (y->rank == x->rank)
            stride[i] = own[i];
        else
            stride[i] = kept ? own[j++] : 0;
    }
}

static void add_dim(int64_t d, int64_t in, int64_t out, bool merge, int *n, int64_t *dims,
                    int64_t *ins, int64_t *outs)
{
    if (merge && *n > 0 && ins[*n - 1] == in * d && (!outs || outs[*n - 1] == out * d)) {
        dims[*n - 1] *= d;
    } else {
        dims[*n] = d;
        (*n)++;
    }
    ins[*n - 1] = in;
    if (outs)
        outs[*n - 1] = out;
}

pln_status pln_reduction_of(const pln_call *c, pln_reduction *r, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    uint32_t mask;
    int order[PLN_MAX_RANK];
    int64_t in[PLN_MAX_RANK], out[PLN_MAX_RANK];
    PLN_TRY(axes_mask(c, &mask, &r->noop, err));
    pln_layout_strides(x, in);
    pln_layout_order(x, order);
    out_strides(x, c->out[0], mask, out);
    r->n_kept = r->n_reduced = 0;
    r->n_out = r->n_each = 1;
    r->last_reduced = false;
    int last = -1;
    for (int i = 0; i < x->rank; i++) {
        const int d = order[i];
        const bool reduced = mask & 1u << d;
        if (x->dims[d] == 1)
            continue;
        if (reduced) {
            add_dim(x->dims[d], in[d], 0, last == 1, &r->n_reduced, r->reduced,
                    r->reduced_in, NULL);
            r->n_each *= x->dims[d];
        } else {
            add_dim(x->dims[d], in[d], out[d], last == 0, &r->n_kept, r->kept, r->kept_in,
                    r->kept_out);
            r->n_out *= x->dims[d];
        }
        r->last_reduced = reduced;
        last = reduced;
    }
    if (r->n_reduced == 0) { /* only dimensions of 1: each output is one input */
        add_dim(1, 1, 0, false, &r->n_reduced, r->reduced, r->reduced_in, NULL);
        r->last_reduced = true;
    }
    return PLN_OK;
}

void pln_reduction_at(const pln_reduction *r, int n_kept, int64_t i, int64_t *in,
                      int64_t *out)
{
    *in = *out = 0;
    for (int d = n_kept - 1; d >= 0; d--) {
        *in += i % r->kept[d] * r->kept_in[d];
        *out += i % r->kept[d] * r->kept_out[d];
        i /= r->kept[d];
    }
}

int64_t pln_reduction_inner(const pln_reduction *r, int n, int64_t i)
{
    int64_t at = 0;
    for (int d = n - 1; d >= 0; d--) {
        at += i % r->reduced[d] * r->reduced_in[d];
        i /= r->reduced[d];
    }
    return at;
}

void pln_reduction_block(const pln_reduction *r, int64_t b, pln_reduce_block *out)
{
    const int d = r->n_kept - 1;
    const int64_t blocks = (r->kept[d] + PLN_REDUCE_COLUMNS - 1) / PLN_REDUCE_COLUMNS;
    const int64_t first = b % blocks * PLN_REDUCE_COLUMNS, left = r->kept[d] - first;
    pln_reduction_at(r, d, b / blocks, &out->in, &out->out);
    out->in += first;
    out->out += first * r->kept_out[d];
    out->out_step = r->kept_out[d];
    out->n = left < PLN_REDUCE_COLUMNS ? left : PLN_REDUCE_COLUMNS;
}

void pln_reduction_run(const pln_call *c, const pln_reduction *r, int64_t grain,
                       pln_range_fn rows, pln_range_fn columns, void *work)
{
    if (r->last_reduced) {
        pln_parallel_for(c->n_threads, r->n_out, 1 + grain / r->n_each, rows, work);
        return;
    }
    const int64_t inner = r->kept[r->n_kept - 1];
    const int64_t blocks = (inner + PLN_REDUCE_COLUMNS - 1) / PLN_REDUCE_COLUMNS;
    const int64_t width = inner < PLN_REDUCE_COLUMNS ? inner : PLN_REDUCE_COLUMNS;
    pln_parallel_for(c->n_threads, r->n_out / inner * blocks,
                     1 + grain / (r->n_each * width), columns, work);
}

/* ---- the reference: float kinds in double, integers in 64 bits --------------------- */

typedef struct acc {
    double f, m;
    int64_t i;
    int64_t n;
} acc;

typedef struct reducer {
    double f0;
    int64_t i0;
    void (*f64)(acc *a, const double *v, int64_t n);
    void (*s64)(acc *a, const int64_t *v, int64_t n);
    double (*f64_end)(const acc *a); /* NULL: a->f */
    int64_t (*s64_end)(const acc *a);
    bool ordered; /* compares: unsigned 64-bit values need their order kept */
} reducer;

#define F64(name, stmt)                                        \
    static void name##_f64(acc *a, const double *v, int64_t n) \
    {                                                          \
        for (int64_t i = 0; i < n; i++)                        \
            stmt;                                              \
    }
#define S64(name, stmt)                                         \
    static void name##_s64(acc *a, const int64_t *v, int64_t n) \
    {                                                           \
        for (int64_t i = 0; i < n; i++)                         \
            stmt;                                               \
    }
#define U(x) ((uint64_t)(x))

F64(sum, a->f += v[i])
S64(sum, a->i = (int64_t)(U(a->i) + U(v[i])))
F64(l1, a->f += fabs(v[i]))
S64(l1, a->i = (int64_t)(U(a->i) + (v[i] < 0 ? 0 - U(v[i]) : U(v[i]))))
F64(square, a->f += v[i] * v[i])
S64(square, a->i = (int64_t)(U(a->i) + U(v[i]) * U(v[i])))
F64(prod, a->f *= v[i])
S64(prod, a->i = (int64_t)(U(a->i) * U(v[i])))
F64(max, a->f = a->f > v[i] || a->f != a->f ? a->f : v[i])
S64(max, a->i = a->i > v[i] ? a->i : v[i])
F64(min, a->f = a->f < v[i] || a->f != a->f ? a->f : v[i])
S64(min, a->i = a->i < v[i] ? a->i : v[i])

/* a->m is the greatest so far, a->f the sum of exp(v - a->m). */
static void lse_f64(acc *a, const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (v[i] > a->m) {
            a->f = a->f * exp(a->m - v[i]) + 1;
            a->m = v[i];
        } else if (v[i] == a->m) {
            a->f += 1;
        } else {
            a->f += exp(v[i] - a->m);
        }
    }
}

static double mean_end_f64(const acc *a)
{
    return a->f / (double)a->n;
}
static int64_t mean_end_s64(const acc *a)
{
    return a->n ? a->i / a->n : 0;
}
static double sqrt_end_f64(const acc *a)
{
    return sqrt(a->f);
}
static int64_t sqrt_end_s64(const acc *a)
{
    return (int64_t)sqrt((double)U(a->i));
}
static double log_end_f64(const acc *a)
{
    return log(a->f);
}
static double lse_end_f64(const acc *a)
{
    return a->m == -INFINITY ? -INFINITY : a->m + log(a->f);
}

static const reducer reduce_sum = { 0, 0, sum_f64, sum_s64, NULL, NULL, false };
static const reducer reduce_mean = {
    0, 0, sum_f64, sum_s64, mean_end_f64, mean_end_s64, false
};
static const reducer reduce_prod = { 1, 1, prod_f64, prod_s64, NULL, NULL, false };
static const reducer reduce_l1 = { 0, 0, l1_f64, l1_s64, NULL, NULL, false };
static const reducer reduce_l2 = {
    0, 0, square_f64, square_s64, sqrt_end_f64, sqrt_end_s64, false
};
static const reducer reduce_square = { 0, 0, square_f64, square_s64, NULL, NULL, false };
static const reducer reduce_max = { -INFINITY, INT64_MIN, max_f64, max_s64,
                                    NULL,      NULL,      true };
static const reducer reduce_min = { INFINITY, INT64_MAX, min_f64, min_s64,
                                    NULL,     NULL,      true };
static const reducer reduce_logsum = { 0, 0, sum_f64, NULL, log_end_f64, NULL, false };
static const reducer reduce_lse = { 0, 0, lse_f64, NULL, lse_end_f64, NULL, false };

/* Lowest and highest value of an integer type as int64 in the order that acc.i keeps. */
static int64_t int_limit(pln_dtype dt, bool lowest)
{
    const unsigned bits = dt == PLN_DT_BOOL ? 1 : pln_dtype_bits(dt);
    if (bits == 64) /* unsigned ones are shifted by 2^63 */
        return lowest ? INT64_MIN : INT64_MAX;
    if (!pln_dtype_is_signed(dt))
        return lowest ? 0 : (int64_t)((UINT64_C(1) << bits) - 1);
    return lowest ? -(INT64_C(1) << (bits - 1)) : (INT64_C(1) << (bits - 1)) - 1;
}

static void accumulate(const pln_call *c, const pln_reduction *r, const reducer *op,
                       pln_dtype work, bool shifted, int64_t offset, acc *a)
{
    union {
        double f64[RUN];
        int64_t s64[RUN];
    } v;
    const int inner = r->n_reduced - 1;
    const int64_t len = r->reduced[inner], stride = r->reduced_in[inner];
    const int64_t outer = len ? r->n_each / len : 0;
    for (int64_t o = 0; o < outer; o++) {
        const int64_t base = offset + pln_reduction_inner(r, inner, o);
        for (int64_t i = 0; i < len; i += RUN) {
            const int64_t n = len - i < RUN ? len - i : RUN;
            pln_block_load(work, v.f64, c->in[0], base + i * stride, stride, n);
            if (work == PLN_DT_F64) {
                op->f64(a, v.f64, n);
                continue;
            }
            for (int64_t k = 0; shifted && k < n; k++)
                v.s64[k] ^= INT64_MIN;
            op->s64(a, v.s64, n);
        }
    }
}

static pln_status reduce_ref(pln_call *c, const reducer *op, pln_error *err)
{
    pln_reduction r;
    pln_tensor *y = c->out[0];
    const pln_dtype dt = (pln_dtype)y->dtype;
    const bool floats = pln_dtype_is_float(dt) || !op->s64;
    const bool shifted = op->ordered && dt == PLN_DT_U64;
    PLN_TRY(pln_reduction_of(c, &r, err));
    for (int64_t i = 0; i < r.n_out; i++) {
        int64_t in, out;
        acc a = { .f = op->f0, .m = -INFINITY, .i = op->i0, .n = r.n_each };
        pln_reduction_at(&r, r.n_kept, i, &in, &out);
        if (op->ordered && r.n_each == 0)
            a.i = int_limit(dt, op->i0 < 0);
        accumulate(c, &r, op, floats ? PLN_DT_F64 : PLN_DT_S64, shifted, in, &a);
        if (floats)
            a.f = op->f64_end ? op->f64_end(&a) : a.f;
        else
            a.i = op->s64_end ? op->s64_end(&a) : shifted ? a.i ^ INT64_MIN : a.i;
        pln_block_store(y, out, 1, floats ? PLN_DT_F64 : PLN_DT_S64,
                        floats ? (const void *)&a.f : (const void *)&a.i, 1);
    }
    return PLN_OK;
}

/* ---- inference --------------------------------------------------------------------- */

static pln_status shape_unknown_axes(pln_infer *inf, bool keep, int rank, pln_shape *s)
{
    const pln_dim n =
        pln_infer_rank(inf, 1) == 1 ? pln_infer_dim(inf, 1, 0) : pln_dim_unknown();
    *s = pln_shape_unknown();
    if (!keep && (!pln_dim_is_known(n) || n.value > rank || n.value == 0))
        return PLN_OK;
    *s = pln_infer_shape(inf, keep ? rank : rank - (int)n.value);
    for (int i = 0; i < s->rank; i++)
        s->dims[i] = pln_dim_unknown();
    return PLN_OK;
}

static pln_status reduce_infer(pln_infer *inf, pln_error *err)
{
    const reduce_attrs *a = (const reduce_attrs *)inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    const int64_t *axes = NULL;
    size_t n = 0;
    pln_shape s = pln_shape_unknown();
    uint32_t mask = 0;
    if (rank != PLN_RANK_UNKNOWN) {
        if (pln_infer_has(inf, 1) && !pln_infer_known_ints(inf, 1, &axes, &n)) {
            PLN_TRY(shape_unknown_axes(inf, a->keepdims, rank, &s));
            pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
            return PLN_OK;
        }
        if (n == 0 && a->noop_with_empty_axes)
            return pln_infer_same(inf, err);
        if (n == 0)
            mask = ~0u;
        for (size_t i = 0; i < n; i++) {
            int axis;
            PLN_TRY(pln_infer_axis(inf, axes[i], rank, &axis, err));
            mask |= 1u << axis;
        }
        int kept = 0;
        for (int i = 0; i < rank; i++)
            kept += a->keepdims || !(mask & 1u << i);
        s = pln_infer_shape(inf, kept);
        if (s.rank != kept)
            return pln_oom(err);
        for (int i = 0, j = 0; i < rank; i++) {
            if (!(mask & 1u << i))
                s.dims[j++] = pln_infer_dim(inf, 0, i);
            else if (a->keepdims)
                s.dims[j++] = pln_dim_of(1);
        }
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

/* Contents of shape vectors that are reduced as a whole. */
static pln_status infer_sym(pln_infer *inf, pln_dim (*fn)(pln_syms *, pln_dim, pln_dim),
                            pln_error *err)
{
    pln_symval v;
    PLN_TRY(reduce_infer(inf, err));
    const pln_type *t = &inf->out[0];
    if ((t->dtype != PLN_DT_S64 && t->dtype != PLN_DT_S32) ||
        pln_infer_rank(inf, 0) != 1 || t->shape.rank == PLN_RANK_UNKNOWN ||
        t->shape.rank > 1 || (t->shape.rank == 1 && !pln_dim_is(t->shape.dims[0], 1)) ||
        !pln_infer_ints(inf, 0, &v) || v.n == 0)
        return PLN_OK;
    pln_dim *d = PLN_NEW(inf->arena, pln_dim);
    pln_symval *out = PLN_NEW(inf->arena, pln_symval);
    if (!d || !out)
        return pln_oom(err);
    *d = v.v[0];
    for (int64_t i = 1; i < v.n; i++)
        *d = fn(inf->syms, *d, v.v[i]);
    *out = (pln_symval){ .n = 1, .v = d };
    inf->out_sym[0] = out;
    return PLN_OK;
}

static pln_status sum_infer(pln_infer *inf, pln_error *err)
{
    return infer_sym(inf, pln_dim_add, err);
}
static pln_status prod_infer(pln_infer *inf, pln_error *err)
{
    return infer_sym(inf, pln_dim_mul, err);
}
static pln_status max_infer(pln_infer *inf, pln_error *err)
{
    return infer_sym(inf, pln_dim_max, err);
}
static pln_status min_infer(pln_infer *inf, pln_error *err)
{
    return infer_sym(inf, pln_dim_min, err);
}

/* ---- versions and rows ------------------------------------------------------------- */

static pln_status raise_axes(pln_node *n, pln_error *err)
{
    return pln_raise_ints_to_input(n, "axes", 1, err);
}

static pln_status lower_axes(pln_node *n, pln_error *err)
{
    const pln_tensor *axes;
    if (!pln_lower_has(n, 1) || pln_lower_constant(n, 1, &axes, NULL) != PLN_OK ||
        pln_tensor_size(axes) == 0)
        PLN_TRY(pln_lower_drop_int(n, "noop_with_empty_axes", 0, err));
    pln_node_drop_attr(n, "noop_with_empty_axes"); /* they are not empty */
    return pln_lower_input_to_ints(n, 1, "axes", err);
}

static const pln_version_change versions_13[] = { { 13, raise_axes, lower_axes }, { 0 } };
static const pln_version_change versions_18[] = { { 18, raise_axes, lower_axes }, { 0 } };

#define REF(name)                                             \
    static pln_status name##_ref(pln_call *c, pln_error *err) \
    {                                                         \
        return reduce_ref(c, &reduce_##name, err);            \
    }
REF(sum)
REF(mean)
REF(max)
REF(min)
REF(prod)

/* Unsigned 64-bit values have no sign to take away. */
static pln_status l1_ref(pln_call *c, pln_error *err)
{
    return reduce_ref(c, c->in[0]->dtype == PLN_DT_U64 ? &reduce_sum : &reduce_l1, err);
}

REF(l2)
REF(logsum)
REF(lse)
REF(square)

#define TYPES "uint32,uint64,int32,int64," PLN_TS_FLOAT
#define ROW(op, version, set, fn_infer, fn_ref, impl, changes)                        \
    {                                                                                 \
        .name = #op, .domain = "", .since = version, .in = { 1, 2 }, .out = { 1, 1 }, \
        .types = "T:" set, .sig = "T,int64?->T", .attrs = reduce_spec,                \
        .attrs_size = sizeof(reduce_attrs), .infer = fn_infer, .ref = fn_ref,         \
        .cpu = impl, .versions = changes, .expand = pln_expand_reduce                 \
    }

const pln_op_desc pln_ops_reduce[] = {
    ROW(ReduceSum, 13, TYPES, sum_infer, sum_ref, &pln_reduce_sum_cpu, versions_13),
    ROW(ReduceMean, 18, TYPES, reduce_infer, mean_ref, &pln_reduce_mean_cpu, versions_18),
    ROW(ReduceMax, 20, TYPES ",uint8,int8,bool", max_infer, max_ref, &pln_reduce_max_cpu,
        versions_18),
    ROW(ReduceMin, 20, TYPES ",uint8,int8,bool", min_infer, min_ref, &pln_reduce_min_cpu,
        versions_18),
    ROW(ReduceProd, 18, TYPES, prod_infer, prod_ref, &pln_reduce_prod_cpu, versions_18),
    ROW(ReduceL1, 18, TYPES, reduce_infer, l1_ref, &pln_reduce_l1_cpu, versions_18),
    ROW(ReduceL2, 18, TYPES, reduce_infer, l2_ref, &pln_reduce_l2_cpu, versions_18),
    ROW(ReduceLogSum, 28, TYPES, reduce_infer, logsum_ref, &pln_reduce_log_sum_cpu,
        versions_18),
    ROW(ReduceLogSumExp, 28, TYPES, reduce_infer, lse_ref, &pln_reduce_lse_cpu,
        versions_18),
    ROW(ReduceSumSquare, 18, TYPES, reduce_infer, square_ref, &pln_reduce_sum_square_cpu,
        versions_18),
    { .name = NULL },
};
