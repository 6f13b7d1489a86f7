/* TopK and Unique: ordering elements.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "kernels/move.h"
#include "kernels/raise.h"
#include "kernels/topk.h"

/* ---- an order for elements of any type ------------------------------------------- */

/* Keys that compare like the elements do: floats by value with NaN above all, unsigned
 * and signed integers, texts by their bytes. */
typedef struct order_key {
    union {
        double f;
        int64_t i;
        uint64_t u;
        const pln_string *s;
    };
    int64_t at;
} order_key;

typedef enum order_kind {
    ORDER_FLOAT,
    ORDER_SIGNED,
    ORDER_UNSIGNED,
    ORDER_TEXT
} order_kind;

static order_kind kind_of(pln_dtype dt)
{
    if (dt == PLN_DT_STRING)
        return ORDER_TEXT;
    if (pln_dtype_is_float(dt))
        return ORDER_FLOAT;
    return dt == PLN_DT_U64 ? ORDER_UNSIGNED : ORDER_SIGNED;
}

static void load_key(const pln_tensor *t, order_kind kind, int64_t i, order_key *k)
{
    switch (kind) {
    case ORDER_FLOAT:
        k->f = t->dtype == PLN_DT_F32 ? (double)PLN_DATA(const float, t)[i]
                                      : pln_tensor_get_f64(t, i);
        break;
    case ORDER_SIGNED:
        k->i = pln_tensor_get_i64(t, i);
        break;
    case ORDER_UNSIGNED:
        k->u = PLN_DATA(const uint64_t, t)[i];
        break;
    case ORDER_TEXT:
        k->s = PLN_DATA(pln_string *const, t)[i];
        break;
    }
}

static int compare_text(const pln_string *a, const pln_string *b)
{
    const size_t n = a ? a->len : 0, m = b ? b->len : 0, common = n < m ? n : m;
    const int r = common ? memcmp(a->bytes, b->bytes, common) : 0;
    return r ? r : n < m ? -1 : n > m;
}

static inline int compare_values(order_kind kind, const order_key *a, const order_key *b)
{
    switch (kind) {
    case ORDER_FLOAT: {
        const bool na = a->f != a->f, nb = b->f != b->f;
        if (na || nb)
            return (int)na - (int)nb;
        return a->f < b->f ? -1 : a->f > b->f;
    }
    case ORDER_SIGNED:
        return a->i < b->i ? -1 : a->i > b->i;
    case ORDER_UNSIGNED:
        return a->u < b->u ? -1 : a->u > b->u;
    case ORDER_TEXT:
        return compare_text(a->s, b->s);
    }
    return 0;
}

/* ---- TopK ------------------------------------------------------------------------ */

typedef struct topk_attrs {
    int64_t axis, largest, sorted;
} topk_attrs;

static const pln_attr_spec topk_spec[] = {
    PLN_A_INT(topk_attrs, axis, -1),
    PLN_A_INT(topk_attrs, largest, 1),
    PLN_A_INT(topk_attrs, sorted, 1),
    PLN_A_END,
};

static pln_status topk_infer(pln_infer *inf, pln_error *err)
{
    const topk_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_shape out = pln_shape_unknown();
    if (rank != PLN_RANK_UNKNOWN) {
        int axis;
        pln_symval k;
        PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
        out = pln_move_infer_like(inf, 0);
        const pln_dim all = out.dims[axis];
        const bool known = pln_infer_ints(inf, 1, &k) && k.n == 1;
        out.dims[axis] = known ? k.v[0] : pln_dim_unknown();
        if (known && pln_dim_is_known(k.v[0]) &&
            (k.v[0].value < 0 || (pln_dim_is_known(all) && k.v[0].value > all.value)))
            return pln_infer_fail(inf, err, "K is %lld of dimension %d",
                                  (long long)k.v[0].value, axis);
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    if (inf->n_out > 1)
        pln_infer_set(inf, 1, PLN_DT_S64, out);
    return PLN_OK;
}

/* Does a come before b in the result? Equal elements keep their order. */
static inline bool before(order_kind kind, bool largest, const order_key *a,
                          const order_key *b)
{
    const int r = compare_values(kind, a, b);
    if (r)
        return largest ? r > 0 : r < 0;
    return a->at < b->at;
}

/* heap[0] is the one of the k best that is the last in order. */
static void sift_down(order_key *heap, int64_t n, int64_t i, order_kind kind,
                      bool largest)
{
    const order_key v = heap[i];
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(kind, largest, &heap[child], &heap[child + 1]))
            child++;
        if (!before(kind, largest, &v, &heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = v;
}

/* The k first of n elements in order, left sorted in heap. */
static void select_best(const pln_tensor *x, int64_t base, int64_t step, int64_t n,
                        int64_t k, order_kind kind, bool largest, order_key *heap)
{
    for (int64_t i = 0; i < k; i++) {
        heap[i].at = i;
        load_key(x, kind, base + i * step, &heap[i]);
    }
    for (int64_t i = k / 2 - 1; i >= 0; i--)
        sift_down(heap, k, i, kind, largest);
    for (int64_t i = k; i < n; i++) {
        order_key v = { .at = i };
        load_key(x, kind, base + i * step, &v);
        if (before(kind, largest, &v, &heap[0])) {
            heap[0] = v;
            sift_down(heap, k, 0, kind, largest);
        }
    }
    for (int64_t i = k - 1; i > 0; i--) {
        const order_key worst = heap[0];
        heap[0] = heap[i];
        heap[i] = worst;
        sift_down(heap, i, 0, kind, largest);
    }
}

static pln_status topk_any(pln_call *c, bool fast, pln_error *err)
{
    const topk_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    int axis = 0;
    PLN_TRY(pln_move_axis(c, a->axis, x->rank, &axis, PLN_E_FORMAT, err));
    const int64_t n = x->dims[axis], size = pln_tensor_size(c->in[1]);
    const int64_t k = size == 1 ? PLN_DATA(const int64_t, c->in[1])[0] : -1;
    if (k < 0 || k > n)
        return pln_call_fail(c, err, PLN_E_RUN, "K is %lld of %lld", (long long)k,
                             (long long)n);
    int64_t dims[PLN_MAX_RANK];
    memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
    dims[axis] = k;
    if (pln_call_wants(c, 0))
        PLN_TRY(pln_move_output(c, 0, x->dtype, x->rank, dims, err));
    if (pln_call_wants(c, 1))
        PLN_TRY(pln_move_output(c, 1, PLN_DT_S64, x->rank, dims, err));
    if (fast && n <= UINT32_MAX)
        return pln_topk_keys(c, axis, k, a->largest != 0, err);
    order_key *heap = pln_call_scratch(c, (size_t)(k + 1) * sizeof *heap);
    if (!heap)
        return pln_oom(err);
    const int64_t outer = pln_move_count(dims, 0, axis);
    const int64_t inner = pln_move_count(dims, axis + 1, x->rank);
    for (int64_t o = 0; o < outer * inner && k > 0; o++) {
        const int64_t from = o / inner * n * inner + o % inner;
        const int64_t to = o / inner * k * inner + o % inner;
        select_best(x, from, inner, n, k, kind_of(x->dtype), a->largest != 0, heap);
        for (int64_t i = 0; i < k; i++) {
            if (pln_call_wants(c, 0))
                pln_tensor_copy(c->out[0], to + i * inner, x, from + heap[i].at * inner,
                                1);
            if (pln_call_wants(c, 1))
                PLN_DATA(int64_t, c->out[1])[to + i * inner] = heap[i].at;
        }
    }
    return PLN_OK;
}

static pln_status topk_ref(pln_call *c, pln_error *err)
{
    return topk_any(c, false, err);
}

static pln_status topk_run(pln_call *c, pln_error *err)
{
    return topk_any(c, true, err);
}

static pln_status topk_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (!pln_topk_can((pln_dtype)p->in[0]->dtype))
        return PLN_E_UNSUPPORTED;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

static const pln_impl topk_cpu = { "topk_keys", topk_prepare, topk_run, NULL };

static pln_status topk_raise_10(pln_node *n, pln_error *err)
{
    if (!pln_node_find_attr(n, "k"))
        return pln_raise_fail(n, err, "attribute 'k' is missing");
    return pln_raise_int_to_input(n, "k", 1, 1, err);
}

static pln_status topk_lower_10(pln_node *n, pln_error *err)
{
    return pln_lower_input_to_int(n, 1, "k", err);
}

static pln_status topk_lower_11(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_drop_int(n, "largest", 1, err));
    const pln_dtype dt = n->in[0] ? n->in[0]->type.dtype : PLN_DT_NONE;
    if (dt == PLN_DT_S64) /* which its indices have always been */
        return pln_lower_fail(n, err, "it takes int64 since version 11");
    const pln_attr *a = pln_node_find_attr(n, "sorted");
    if (a)
        pln_node_drop_attr(n, "sorted"); /* the older version always sorts */
    return PLN_OK;
}

static const pln_version_change topk_versions[] = {
    { 10, topk_raise_10, topk_lower_10 },
    { 11, NULL, topk_lower_11 },
    { 0 },
};

/* ---- Unique ---------------------------------------------------------------------- */

typedef struct unique_attrs {
    int64_t axis, sorted;
    bool has_axis;
    /* com.microsoft's: in order of appearance; outputs values, inverse, counts */
    bool ms;
} unique_attrs;

static const pln_attr_spec unique_spec[] = {
    { .name = "axis",
      .type = PLN_ATTR_INT,
      .offset = offsetof(unique_attrs, axis),
      .has_offset = offsetof(unique_attrs, has_axis) },
    PLN_A_INT(unique_attrs, sorted, 1),
    PLN_A_END,
};

static const pln_attr_spec ms_unique_spec[] = { PLN_A_END };

static pln_status ms_unique_check(pln_node *n, void *attrs, pln_error *err)
{
    (void)n, (void)err;
    ((unique_attrs *)attrs)->ms = true;
    return PLN_OK;
}

static pln_status unique_infer(pln_infer *inf, pln_error *err)
{
    const unique_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_shape list = pln_infer_shape(inf, 1), out = list;
    list.dims[0] = pln_dim_unknown();
    if (a->has_axis && rank == PLN_RANK_UNKNOWN) {
        out = pln_shape_unknown();
    } else if (a->has_axis) {
        int axis;
        PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
        out = pln_move_infer_like(inf, 0);
        out.dims[axis] = pln_dim_unknown();
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    for (uint32_t i = 1; i < inf->n_out; i++)
        pln_infer_set(inf, i, PLN_DT_S64, list);
    if (a->ms && rank >= 0) { /* as many as there are elements */
        if (rank != 1)
            return pln_infer_fail(inf, err, "input 0 has rank %d, want 1", rank);
        pln_infer_set(inf, 1, PLN_DT_S64, pln_move_infer_like(inf, 0));
    }
    return PLN_OK;
}

/* Items are slices of an axis, or the elements: [outer, n, inner]. */
typedef struct unique_job {
    const pln_tensor *x;
    int64_t outer, n, inner;
    order_kind kind;
} unique_job;

static int compare_complex(const pln_tensor *x, int64_t i, int64_t k)
{
    for (int part = 0; part < 2; part++) {
        const double a = x->dtype == PLN_DT_C64
                             ? (double)PLN_DATA(const float, x)[2 * i + part]
                             : PLN_DATA(const double, x)[2 * i + part];
        const double b = x->dtype == PLN_DT_C64
                             ? (double)PLN_DATA(const float, x)[2 * k + part]
                             : PLN_DATA(const double, x)[2 * k + part];
        if (a != b)
            return a < b ? -1 : 1;
    }
    return 0;
}

static int compare_items(const void *pa, const void *pb, void *arg)
{
    const unique_job *j = arg;
    const int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;
    for (int64_t o = 0; o < j->outer; o++) {
        for (int64_t i = 0; i < j->inner; i++) {
            const int64_t at = (o * j->n + a) * j->inner + i;
            const int64_t bt = (o * j->n + b) * j->inner + i;
            int r;
            if (pln_dtype_is_complex((pln_dtype)j->x->dtype)) {
                r = compare_complex(j->x, at, bt);
            } else {
                order_key x = { .at = 0 }, y = { .at = 0 };
                load_key(j->x, j->kind, at, &x);
                load_key(j->x, j->kind, bt, &y);
                r = compare_values(j->kind, &x, &y);
            }
            if (r)
                return r;
        }
    }
    return 0;
}

static int compare_stable(const void *a, const void *b, void *arg)
{
    const int r = compare_items(a, b, arg);
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return r ? r : x < y ? -1 : x > y;
}

static int compare_position(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Groups of equal items: order[n] sorted; first[g] the first item of group g in the order
 * of the result, group[i] the group of item i. */
static int64_t unique_groups(unique_job *j, bool sorted, int64_t *order, int64_t *first,
                             int64_t *group, int64_t *rank)
{
    int64_t found = 0;
    for (int64_t i = 0; i < j->n; i++)
        order[i] = i;
    qsort_r(order, (size_t)j->n, sizeof *order, compare_stable, j);
    for (int64_t i = 0; i < j->n; i++) {
        if (i == 0 || compare_items(&order[i - 1], &order[i], j) != 0)
            first[found++] = order[i];
        group[order[i]] = found - 1;
    }
    if (sorted)
        return found;
    /* In order of appearance: group g moves to where its first item stands among them. */
    for (int64_t g = 0; g < found; g++)
        rank[first[g]] = g;
    qsort(first, (size_t)found, sizeof *first, compare_position);
    for (int64_t g = 0; g < found; g++)
        order[rank[first[g]]] = g;
    for (int64_t i = 0; i < j->n; i++)
        group[i] = order[group[i]];
    return found;
}

static pln_status unique_list(pln_call *c, uint32_t o, int64_t n, int64_t **out,
                              pln_error *err)
{
    *out = NULL;
    if (!pln_call_wants(c, o))
        return PLN_OK;
    PLN_TRY(pln_move_output(c, o, PLN_DT_S64, 1, &n, err));
    *out = c->out[o]->data;
    return PLN_OK;
}

static pln_status unique_write(pln_call *c, const unique_job *j, int axis, int64_t found,
                               const int64_t *first, const int64_t *group, pln_error *err)
{
    const unique_attrs *a = c->attrs;
    int64_t dims[PLN_MAX_RANK] = { found }, *at, *inverse, *counts;
    if (a->has_axis) {
        memcpy(dims, j->x->dims, (size_t)j->x->rank * sizeof *dims);
        dims[axis] = found;
    }
    if (pln_call_wants(c, 0)) {
        PLN_TRY(
            pln_move_output(c, 0, j->x->dtype, a->has_axis ? j->x->rank : 1, dims, err));
        for (int64_t o = 0; o < j->outer && j->inner > 0; o++)
            for (int64_t g = 0; g < found; g++)
                pln_tensor_copy(c->out[0], (o * found + g) * j->inner, j->x,
                                (o * j->n + first[g]) * j->inner, j->inner);
    }
    const uint32_t first_at = a->ms ? UINT32_MAX : 1, inverse_at = a->ms ? 1 : 2;
    PLN_TRY(unique_list(c, first_at, found, &at, err));
    PLN_TRY(unique_list(c, inverse_at, j->n, &inverse, err));
    PLN_TRY(unique_list(c, inverse_at + 1, found, &counts, err));
    for (int64_t g = 0; g < found; g++) {
        if (at)
            at[g] = first[g];
        if (counts)
            counts[g] = 0;
    }
    for (int64_t i = 0; i < j->n; i++) {
        if (inverse)
            inverse[i] = group[i];
        if (counts)
            counts[group[i]]++;
    }
    return PLN_OK;
}

static pln_status unique_run(pln_call *c, pln_error *err)
{
    const unique_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    unique_job j = { .x = x, .outer = 1, .inner = 1, .kind = kind_of(x->dtype) };
    int axis = 0;
    j.n = pln_tensor_size(x);
    if (a->has_axis) {
        PLN_TRY(pln_move_axis(c, a->axis, x->rank, &axis, PLN_E_FORMAT, err));
        j.outer = pln_move_count(x->dims, 0, axis);
        j.n = x->dims[axis];
        j.inner = pln_move_count(x->dims, axis + 1, x->rank);
    }
    const size_t bytes = (size_t)(j.n + 1) * sizeof(int64_t);
    int64_t *order = pln_call_scratch(c, bytes), *first = pln_call_scratch(c, bytes);
    int64_t *group = pln_call_scratch(c, bytes), *rank = pln_call_scratch(c, bytes);
    if (!order || !first || !group || !rank)
        return pln_oom(err);
    const int64_t found = unique_groups(&j, a->sorted != 0, order, first, group, rank);
    return unique_write(c, &j, axis, found, first, group, err);
}

const pln_op_desc pln_ops_topk[] = {
    { .name = "TopK",
      .domain = "",
      .since = 24,
      .in = { 2, 2 },
      .out = { 1, 2 },
      .types = "T:" PLN_TS_NUM,
      .sig = "T,int64->T,int64",
      .attrs = topk_spec,
      .attrs_size = sizeof(topk_attrs),
      .infer = topk_infer,
      .ref = topk_ref,
      .cpu = &topk_cpu,
      .versions = topk_versions },
    { .name = "Unique",
      .domain = "",
      .since = 28,
      .in = { 1, 1 },
      .out = { 1, 4 },
      .traits = PLN_OP_DATA_SHAPE,
      .types = "T:" PLN_TS_STD,
      .sig = "T->T,int64?,int64?,int64?",
      .attrs = unique_spec,
      .attrs_size = sizeof(unique_attrs),
      .infer = unique_infer,
      .ref = unique_run },
    { .name = "Unique",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 1, 1 },
      .out = { 3, 3 },
      .traits = PLN_OP_DATA_SHAPE,
      .types = "T:" PLN_TS_STD,
      .sig = "T->T,int64,int64",
      .attrs = ms_unique_spec,
      .attrs_size = sizeof(unique_attrs),
      .check = ms_unique_check,
      .infer = unique_infer,
      .ref = unique_run },
    { .name = NULL },
};
