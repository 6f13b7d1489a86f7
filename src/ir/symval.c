/* Contents of small integer tensors, followed symbolically through the operators that
 * shapes are computed with.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "src/ir/infer_impl.h"

/* Fills out->v (out->n elements of space, from the output's shape); false: not known. */
typedef bool (*sym_fn)(pln_infer *inf, uint32_t o, pln_symval *out);

/* ---- inputs ------------------------------------------------------------------------ */

static bool integral(const pln_tensor *t, int64_t i, int64_t *v)
{
    if (!pln_dtype_is_float((pln_dtype)t->dtype)) {
        *v = pln_tensor_get_i64(t, i);
        return true;
    }
    const double d = pln_tensor_get_f64(t, i);
    if (!(fabs(d) < 16777216.0) || d != floor(d))
        return false;
    *v = (int64_t)d;
    return true;
}

static bool of_tensor(const pln_infer *inf, const pln_tensor *t, pln_symval *out)
{
    const pln_dtype dt = (pln_dtype)t->dtype;
    const int64_t n = pln_tensor_size(t);
    if (t->kind != PLN_KIND_TENSOR || t->rank > 1 || n > PLN_SYM_LIMIT ||
        dt == PLN_DT_STRING || pln_dtype_is_complex(dt) || (n && !t->data))
        return false;
    pln_dim *v = PLN_NEW_ARRAY(inf->arena, pln_dim, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t x;
        if (!v || !integral(t, i, &x))
            return false;
        v[i] = pln_dim_of(x);
    }
    *out = (pln_symval){ .n = n, .v = v };
    return v != NULL;
}

bool pln_symval_input(const pln_infer *inf, uint32_t i, pln_symval *out)
{
    if (!pln_infer_has(inf, i))
        return false;
    if (inf->in_sym[i]) {
        *out = *inf->in_sym[i];
        return true;
    }
    return inf->in_cst[i] && of_tensor(inf, inf->in_cst[i], out);
}

pln_tensor *pln_symval_tensor(const pln_allocator *a, const pln_type *type,
                              const pln_symval *s)
{
    pln_tensor *t;
    const int64_t n = s ? s->n : 0;
    if (!s || type->kind != PLN_KIND_TENSOR || type->dtype == PLN_DT_NONE ||
        type->shape.rank < 0 || type->shape.rank > 1)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        if (!pln_dim_is_known(s->v[i]))
            return NULL;
    if (pln_tensor_make(a, type->dtype, type->shape.rank, &n, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_i64(t, i, s->v[i].value);
    return t;
}

static bool has_ints(const pln_infer *inf, uint32_t i, const int64_t **v, size_t *n)
{
    return pln_infer_known_ints(inf, i, v, n);
}

static int64_t attr_int(const pln_infer *inf, const char *name, int64_t otherwise)
{
    const pln_attr *a = pln_node_find_attr(inf->node, name);
    return a && a->type == PLN_ATTR_INT && !a->ref ? a->i : otherwise;
}

static bool out_is_int(const pln_infer *inf, uint32_t o)
{
    return pln_dtype_is_integer(inf->out[o].dtype) || inf->out[o].dtype == PLN_DT_BOOL;
}

/* ---- elementwise ------------------------------------------------------------------- */

static pln_dim at(const pln_symval *s, int64_t i)
{
    return s->v[s->n == 1 ? 0 : i];
}

typedef pln_dim (*dim_fn)(pln_syms *, pln_dim, pln_dim);

/* Of two inputs, or any number folded from the left. */
static bool elementwise(pln_infer *inf, pln_symval *out, dim_fn fn)
{
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    for (uint32_t k = 0; k < inf->n_in; k++) {
        pln_symval s;
        if (!pln_symval_input(inf, k, &s) || (s.n != 1 && s.n != out->n))
            return false;
        for (int64_t i = 0; i < out->n; i++)
            r[i] = k ? fn(inf->syms, r[i], at(&s, i)) : at(&s, i);
    }
    return inf->n_in > 0;
}

static bool sym_add(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return elementwise(inf, out, pln_dim_add);
}

static bool sym_sub(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return elementwise(inf, out, pln_dim_sub);
}

static bool sym_mul(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return elementwise(inf, out, pln_dim_mul);
}

static bool sym_min(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return elementwise(inf, out, pln_dim_min);
}

static bool sym_max(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return elementwise(inf, out, pln_dim_max);
}

/* ONNX divides integers towards zero: the same as downwards where nothing is negative. */
static pln_dim div_int(pln_syms *syms, pln_dim a, pln_dim b)
{
    if (pln_dim_is_known(a) && pln_dim_is_known(b)) {
        if (b.value == 0 || (a.value == INT64_MIN && b.value == -1))
            return pln_dim_unknown();
        return pln_dim_of(a.value / b.value);
    }
    if (!pln_dim_at_least(a, 0) || !pln_dim_at_least(b, 1))
        return pln_dim_unknown();
    return pln_dim_div(syms, a, b);
}

/* Floats divide without rounding: only what comes out even is followed. */
static pln_dim div_float(pln_syms *syms, pln_dim a, pln_dim b)
{
    const pln_dim rest = pln_dim_mod(syms, a, b);
    return pln_dim_is(rest, 0) ? pln_dim_div(syms, a, b) : pln_dim_unknown();
}

static bool sym_div(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return elementwise(inf, out, out_is_int(inf, o) ? div_int : div_float);
}

static pln_dim mod_int(pln_syms *syms, pln_dim a, pln_dim b)
{
    if (!pln_dim_at_least(a, 0) || !pln_dim_at_least(b, 1))
        return pln_dim_unknown();
    return pln_dim_mod(syms, a, b);
}

static bool sym_mod(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return elementwise(inf, out, mod_int);
}

static pln_dim dim_eq(pln_syms *syms, pln_dim a, pln_dim b)
{
    if (pln_dim_equal(a, b))
        return pln_dim_of(1);
    const pln_dim d = pln_dim_sub(syms, a, b);
    const bool apart = pln_dim_differ(syms, a, b) || pln_dim_always_at_least(d, 1) ||
                       pln_dim_always_at_least(pln_dim_sub(syms, b, a), 1);
    return apart ? pln_dim_of(0) : pln_dim_unknown();
}

static pln_dim dim_ge(pln_syms *syms, pln_dim a, pln_dim b)
{
    if (pln_dim_always_at_least(pln_dim_sub(syms, a, b), 0))
        return pln_dim_of(1);
    if (pln_dim_always_at_least(pln_dim_sub(syms, b, a), 1))
        return pln_dim_of(0);
    return pln_dim_unknown();
}

static pln_dim dim_gt(pln_syms *syms, pln_dim a, pln_dim b)
{
    return dim_ge(syms, a, pln_dim_add(syms, b, pln_dim_of(1)));
}

static pln_dim dim_le(pln_syms *syms, pln_dim a, pln_dim b)
{
    return dim_ge(syms, b, a);
}

static pln_dim dim_lt(pln_syms *syms, pln_dim a, pln_dim b)
{
    return dim_gt(syms, b, a);
}

#define COMPARE(name, fn)                                                   \
    static bool name(pln_infer *inf, uint32_t o, pln_symval *out)           \
    {                                                                       \
        return elementwise(inf, out, fn);                                   \
    }
COMPARE(sym_equal, dim_eq)
COMPARE(sym_greater, dim_gt)
COMPARE(sym_less, dim_lt)
COMPARE(sym_greater_equal, dim_ge)
COMPARE(sym_less_equal, dim_le)
/* Of bools, which are 0 or 1. */
COMPARE(sym_and, pln_dim_min)
COMPARE(sym_or, pln_dim_max)

static bool sym_not(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (!pln_symval_input(inf, 0, &s) || s.n != out->n)
        return false;
    for (int64_t i = 0; i < s.n; i++)
        r[i] = pln_dim_sub(inf->syms, pln_dim_of(1), s.v[i]);
    return true;
}

static bool sym_neg(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (!pln_symval_input(inf, 0, &s) || s.n != out->n)
        return false;
    for (int64_t i = 0; i < s.n; i++)
        r[i] = pln_dim_sub(inf->syms, pln_dim_of(0), s.v[i]);
    return true;
}

static bool sym_where(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval c, x, y;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (!pln_symval_input(inf, 0, &c) || !pln_symval_input(inf, 1, &x) ||
        !pln_symval_input(inf, 2, &y) || (c.n != 1 && c.n != out->n) ||
        (x.n != 1 && x.n != out->n) || (y.n != 1 && y.n != out->n))
        return false;
    for (int64_t i = 0; i < out->n; i++) {
        const pln_dim cond = at(&c, i), a = at(&x, i), b = at(&y, i);
        if (pln_dim_is_known(cond))
            r[i] = cond.value ? a : b;
        else
            r[i] = pln_dim_equal(a, b) ? a : pln_dim_unknown();
    }
    return true;
}

/* The same elements, perhaps under another rank. */
static bool sym_same(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s;
    if (!pln_symval_input(inf, 0, &s) || s.n != out->n)
        return false;
    out->v = s.v;
    return true;
}

/* Narrow integers might wrap; symbols and what lies in range don't. */
static bool sym_cast(pln_infer *inf, uint32_t o, pln_symval *out)
{
    const pln_dtype to = inf->out[o].dtype;
    if (!sym_same(inf, o, out))
        return false;
    const int64_t most = to == PLN_DT_S64   ? INT64_MAX
                         : to == PLN_DT_F64 ? INT64_C(1) << 53
                         : to == PLN_DT_S32 ? INT32_MAX
                         : to == PLN_DT_F32 ? 1 << 24
                         : to == PLN_DT_BOOL ? 1
                                             : -1;
    for (int64_t i = 0; i < out->n; i++) {
        const pln_dim d = out->v[i];
        if (pln_dim_is_known(d) ? d.value > most || d.value < (most == 1 ? 0 : -most)
                               : most <= 1)
            return false;
    }
    return most > 0 || out->n == 0;
}

/* ---- shapes to contents ------------------------------------------------------------ */

static bool sym_shape(pln_infer *inf, uint32_t o, pln_symval *out)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank < 0)
        return false;
    int64_t start = attr_int(inf, "start", 0), end = attr_int(inf, "end", rank);
    start = start < 0 ? start + rank : start;
    end = end < 0 ? end + rank : end;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end < start ? start : end > rank ? rank : end;
    if (end - start != out->n)
        return false;
    out->v = rank ? &inf->in[0]->shape.dims[start] : out->v;
    return true;
}

static bool sym_size(pln_infer *inf, uint32_t o, pln_symval *out)
{
    if (pln_infer_rank(inf, 0) < 0 || out->n != 1)
        return false;
    *(pln_dim *)(uintptr_t)out->v = pln_shape_count(inf->syms, inf->in[0]->shape);
    return true;
}

/* ---- moving elements --------------------------------------------------------------- */

static bool sym_gather(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s, index;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (pln_infer_rank(inf, 0) != 1 || !pln_symval_input(inf, 0, &s) ||
        !pln_symval_input(inf, 1, &index) || index.n != out->n)
        return false;
    for (int64_t i = 0; i < out->n; i++) {
        if (!pln_dim_is_known(index.v[i]))
            return false;
        const int64_t k =
            index.v[i].value < 0 ? index.v[i].value + s.n : index.v[i].value;
        if (k < 0 || k >= s.n)
            return false;
        r[i] = s.v[k];
    }
    return true;
}

static bool sym_concat(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    int64_t n = 0;
    for (uint32_t k = 0; k < inf->n_in; k++) {
        pln_symval s = { .n = 0 };
        if (!pln_symval_input(inf, k, &s)) { /* some elements may be known all the same */
            const pln_dim len = pln_infer_rank(inf, k) == 1 ? pln_infer_dim(inf, k, 0)
                                                            : pln_dim_unknown();
            if (!pln_dim_is_known(len) || len.value > out->n - n)
                return false;
            for (int64_t i = 0; i < len.value; i++)
                r[n++] = pln_dim_unknown();
            continue;
        }
        if (s.n > out->n - n)
            return false;
        memcpy(r + n, s.v, (size_t)s.n * sizeof *r);
        n += s.n;
    }
    return n == out->n;
}

/* A bound of a slice over n elements; false: not known. */
static bool slice_bound(const pln_infer *inf, uint32_t i, int64_t n, int64_t otherwise,
                        int64_t *out)
{
    pln_symval s;
    *out = otherwise;
    if (!pln_infer_has(inf, i))
        return true;
    if (!pln_symval_input(inf, i, &s) || s.n != 1 || !pln_dim_is_known(s.v[0]))
        return false;
    *out = s.v[0].value < 0 ? s.v[0].value + n : s.v[0].value;
    return true;
}

static bool sym_slice(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s, step = { .n = 0 };
    int64_t start, end;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (pln_infer_rank(inf, 0) != 1 || !pln_symval_input(inf, 0, &s))
        return false;
    if (pln_infer_has(inf, 4) && !(pln_symval_input(inf, 4, &step) && step.n == 1))
        return false;
    const int64_t by = step.n && pln_dim_is_known(step.v[0]) ? step.v[0].value : 1;
    if ((step.n && !pln_dim_is_known(step.v[0])) || by == 0 || by < -s.n - 1 ||
        by > s.n + 1 || !slice_bound(inf, 1, s.n, 0, &start) ||
        !slice_bound(inf, 2, s.n, s.n, &end))
        return false;
    const int64_t lo = by > 0 ? 0 : -1, hi = by > 0 ? s.n : s.n - 1;
    start = start < 0 ? (by > 0 ? 0 : lo) : start > hi ? hi : start;
    end = end < lo ? lo : end > hi ? hi : end;
    int64_t n = 0;
    for (int64_t i = start; by > 0 ? i < end : i > end; i += by) {
        if (n == out->n || i < 0 || i >= s.n)
            return false;
        r[n++] = s.v[i];
    }
    return n == out->n;
}

/* Output o of a Split along the only axis: where it starts follows from the sizes
 * before. */
static bool sym_split(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s;
    int64_t start = 0;
    if (pln_infer_rank(inf, 0) != 1 || !pln_symval_input(inf, 0, &s))
        return false;
    for (uint32_t k = 0; k < o; k++) {
        const pln_type *t = &inf->out[k];
        if (t->shape.rank != 1 || !pln_dim_is_known(t->shape.dims[0]))
            return false;
        start += t->shape.dims[0].value;
    }
    if (start < 0 || start > s.n || out->n > s.n - start)
        return false;
    out->v = s.v + start;
    return true;
}

static bool sym_expand(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (!pln_symval_input(inf, 0, &s) || (s.n != 1 && s.n != out->n))
        return false;
    for (int64_t i = 0; i < out->n; i++)
        r[i] = at(&s, i);
    return true;
}

static bool sym_tile(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval s;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (!pln_symval_input(inf, 0, &s) || s.n < 1 || out->n % s.n)
        return false;
    for (int64_t i = 0; i < out->n; i++)
        r[i] = s.v[i % s.n];
    return true;
}

static bool sym_constant_of_shape(pln_infer *inf, uint32_t o, pln_symval *out)
{
    const pln_attr *a = pln_node_find_attr(inf->node, "value");
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    int64_t v = 0;
    if (a &&
        (a->type != PLN_ATTR_TENSOR || !a->t ||
         pln_tensor_materialize(a->t, NULL) != PLN_OK || pln_tensor_size(a->t) != 1 ||
         a->t->dtype == PLN_DT_STRING || !integral(a->t, 0, &v)))
        return false;
    for (int64_t i = 0; i < out->n; i++)
        r[i] = pln_dim_of(v);
    return true;
}

static bool sym_range(pln_infer *inf, uint32_t o, pln_symval *out)
{
    pln_symval start, step;
    pln_dim *r = (pln_dim *)(uintptr_t)out->v;
    if (!pln_symval_input(inf, 0, &start) || !pln_symval_input(inf, 2, &step) ||
        start.n != 1 || step.n != 1)
        return false;
    for (int64_t i = 0; i < out->n; i++)
        r[i] = i ? pln_dim_add(inf->syms, r[i - 1], step.v[0]) : start.v[0];
    return true;
}

/* ---- reductions to one element ----------------------------------------------------- */

static bool reduce(pln_infer *inf, pln_symval *out, dim_fn fn)
{
    pln_symval s;
    const int64_t *axes;
    size_t n;
    if (pln_infer_rank(inf, 0) != 1 || !pln_symval_input(inf, 0, &s) || s.n < 1 ||
        out->n != 1)
        return false;
    if (pln_infer_has(inf, 1) && (!has_ints(inf, 1, &axes, &n) || n != 1))
        return false;
    if (!pln_infer_has(inf, 1) && attr_int(inf, "noop_with_empty_axes", 0))
        return false;
    pln_dim d = s.v[0];
    for (int64_t i = 1; i < s.n; i++)
        d = fn(inf->syms, d, s.v[i]);
    *(pln_dim *)(uintptr_t)out->v = d;
    return true;
}

static bool sym_reduce_prod(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return reduce(inf, out, pln_dim_mul);
}

static bool sym_reduce_sum(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return reduce(inf, out, pln_dim_add);
}

static bool sym_reduce_min(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return reduce(inf, out, pln_dim_min);
}

static bool sym_reduce_max(pln_infer *inf, uint32_t o, pln_symval *out)
{
    return reduce(inf, out, pln_dim_max);
}

/* ---- the table --------------------------------------------------------------------- */

static const struct sym_op {
    const char *name;
    sym_fn fn;
} sym_ops[] = { /* in the order of strcmp */
    { "Add", sym_add },
    { "And", sym_and },
    { "Cast", sym_cast },
    { "Ceil", sym_same },
    { "Concat", sym_concat },
    { "ConstantOfShape", sym_constant_of_shape },
    { "Div", sym_div },
    { "Equal", sym_equal },
    { "Expand", sym_expand },
    { "Flatten", sym_same },
    { "Floor", sym_same },
    { "Gather", sym_gather },
    { "Greater", sym_greater },
    { "GreaterOrEqual", sym_greater_equal },
    { "Identity", sym_same },
    { "Less", sym_less },
    { "LessOrEqual", sym_less_equal },
    { "Max", sym_max },
    { "Min", sym_min },
    { "Mod", sym_mod },
    { "Mul", sym_mul },
    { "Neg", sym_neg },
    { "Not", sym_not },
    { "Or", sym_or },
    { "Range", sym_range },
    { "ReduceMax", sym_reduce_max },
    { "ReduceMin", sym_reduce_min },
    { "ReduceProd", sym_reduce_prod },
    { "ReduceSum", sym_reduce_sum },
    { "Reshape", sym_same },
    { "Round", sym_same },
    { "Shape", sym_shape },
    { "Size", sym_size },
    { "Slice", sym_slice },
    { "Split", sym_split },
    { "Squeeze", sym_same },
    { "Sub", sym_sub },
    { "Sum", sym_add },
    { "Tile", sym_tile },
    { "Transpose", sym_same },
    { "Unsqueeze", sym_same },
    { "Where", sym_where },
};

static sym_fn find(const pln_node *n)
{
    size_t lo = 0, hi = sizeof sym_ops / sizeof *sym_ops;
    while (!*n->domain && lo < hi) {
        const size_t mid = (lo + hi) / 2;
        const int c = strcmp(n->op_type, sym_ops[mid].name);
        if (c == 0)
            return sym_ops[mid].fn;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* How many elements output o has, where contents of it can be followed; else -1. */
static int64_t followed(const pln_infer *inf, uint32_t o)
{
    const pln_type *t = &inf->out[o];
    const bool type = pln_dtype_is_integer(t->dtype) || t->dtype == PLN_DT_BOOL ||
                      t->dtype == PLN_DT_F32 || t->dtype == PLN_DT_F64;
    if (t->kind != PLN_KIND_TENSOR || !type || t->shape.rank < 0 || t->shape.rank > 1 ||
        !pln_shape_is_static(t->shape))
        return -1;
    const int64_t n = t->shape.rank ? t->shape.dims[0].value : 1;
    return n <= PLN_SYM_LIMIT ? n : -1;
}

/* Elements that nothing is known of. */
static int64_t unknowns(const pln_symval *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        n += pln_dim_is_unknown(s->v[i]);
    return n;
}

/* The row may have found some elements, the table others. */
static pln_status combine(pln_infer *inf, uint32_t o, const pln_symval *s, pln_error *err)
{
    const pln_symval *row = inf->out_sym[o];
    if (!row) {
        inf->out_sym[o] = unknowns(s) < s->n || !s->n ? s : NULL;
        return PLN_OK;
    }
    if (row->n != s->n)
        return PLN_OK;
    pln_dim *v = pln_arena_dup(inf->arena, row->v, (size_t)row->n * sizeof *v);
    pln_symval *both = PLN_NEW(inf->arena, pln_symval);
    if (!v || !both)
        return pln_oom(err);
    for (int64_t i = 0; i < row->n; i++)
        if (pln_dim_is_unknown(v[i]))
            v[i] = s->v[i];
    *both = (pln_symval){ .n = row->n, .v = v };
    inf->out_sym[o] = both;
    return PLN_OK;
}

pln_status pln_symval_eval(pln_infer *inf, pln_error *err)
{
    const sym_fn fn = find(inf->node);
    for (uint32_t o = 0; fn && o < inf->n_out; o++) {
        const int64_t n = followed(inf, o);
        const pln_symval *row = inf->out_sym[o];
        if (n < 0 || (row && !unknowns(row)) || !inf->node->out[o])
            continue;
        pln_symval *s = PLN_NEW(inf->arena, pln_symval);
        pln_dim *v = PLN_NEW_ARRAY(inf->arena, pln_dim, n);
        if (!s || !v)
            return pln_oom(err);
        *s = (pln_symval){ .n = n, .v = v };
        if (fn(inf, o, s))
            PLN_TRY(combine(inf, o, s, err));
    }
    return PLN_OK;
}
