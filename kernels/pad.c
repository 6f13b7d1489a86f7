/* Pad: a tensor with borders, or with some cut off.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
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

/* ---- inference ------------------------------------------------------------------- */

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
    if (!pln_infer_ints(inf, 1, &pads) ||
        (given && !pln_infer_known_ints(inf, 3, &axes, &n))) {
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

/* ---- running --------------------------------------------------------------------- */

static pln_status read_pads(const pln_call *c, int64_t *before, int64_t *after,
                            pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const pln_tensor *pads = c->in[1]; /* com.microsoft's may be a matrix of one row */
    int64_t v[2 * PLN_MAX_RANK], axes[PLN_MAX_RANK];
    size_t n = (size_t)pln_tensor_size(pads), count = (size_t)x->rank;
    if (n > 2 * PLN_MAX_RANK || (pads->rank > 1 && pads->dims[0] != 1))
        return pln_call_fail(c, err, PLN_E_RUN, "%zu pads for rank %d", n, x->rank);
    for (size_t i = 0; i < n; i++)
        v[i] = pln_move_index(pads, (int64_t)i);
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
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "pads %lld and %lld of dimension %d "
                                 "(%lld)",
                                 (long long)before[i], (long long)after[i], i,
                                 (long long)x->dims[i]);
    return pln_move_output(c, 0, x->dtype, x->rank, dims, err);
}

/* The copy in the order of memory: pads and sizes of each dimension as it lies there. */
typedef struct pad_job {
    const char *x;
    char *y;
    int rank;
    int64_t in[PLN_MAX_RANK], out[PLN_MAX_RANK], before[PLN_MAX_RANK];
    int64_t ss[PLN_MAX_RANK]; /* bytes */
    int64_t size;
    unsigned char value[16];
    int last; /* the last padded dimension: those behind it are part of its elements */
    int64_t unit;
    const int64_t *map[PLN_MAX_RANK]; /* [out] byte offset that each position takes */
} pad_job;

static void pad_setup(const pln_call *c, pad_job *j, const int64_t *before)
{
    const pln_tensor *x = c->in[0], *y = c->out[0];
    const pln_tensor *v = pln_call_has(c, 2) ? c->in[2] : NULL;
    j->x = x->data;
    j->y = y->data;
    j->rank = x->rank;
    j->size = (int64_t)pln_dtype_size((pln_dtype)x->dtype);
    memset(j->value, 0, sizeof j->value);
    if (v && pln_tensor_size(v) > 0)
        memcpy(j->value, v->data, (size_t)j->size);
    for (int i = 0; i < x->rank; i++) {
        const bool plain = x->layout == PLN_LAYOUT_PLAIN || i == 0;
        const int m = plain ? i : i == 1 ? x->rank - 1 : i - 1;
        j->in[m] = x->dims[i];
        j->out[m] = y->dims[i];
        j->before[m] = before[i];
    }
    pln_move_strides(j->rank, j->in, (size_t)j->size, j->ss);
    j->last = j->rank - 1;
    while (j->last > 0 && j->in[j->last] == j->out[j->last] && j->before[j->last] == 0)
        j->last--;
    j->unit = j->size * pln_move_count(j->in, j->last + 1, j->rank);
}

/* Where row r of the output comes from; NULL: from nowhere. */
static const char *pad_row(const pad_job *j, int64_t r)
{
    const char *from = j->x;
    for (int i = j->last - 1; i >= 0; i--) {
        const int64_t at = r % j->out[i] - j->before[i];
        if (at < 0 || at >= j->in[i])
            return NULL;
        from += at * j->ss[i];
        r /= j->out[i];
    }
    return from;
}

static void pad_range(void *arg, int64_t begin, int64_t end)
{
    const pad_job *j = arg;
    const int l = j->last;
    const int64_t out = j->out[l], per = j->unit / j->size;
    const int64_t lead = j->before[l] > 0 ? j->before[l] : 0;
    const int64_t skip = j->before[l] < 0 ? -j->before[l] : 0;
    int64_t n = j->in[l] - skip < out - lead ? j->in[l] - skip : out - lead;
    n = n > 0 ? n : 0;
    for (int64_t r = begin; r < end; r++) {
        char *to = j->y + r * out * j->unit;
        const char *from = pad_row(j, r);
        if (!from || n == 0) {
            pln_move_fill(to, j->value, out * per, (size_t)j->size);
            continue;
        }
        pln_move_fill(to, j->value, lead * per, (size_t)j->size);
        memcpy(to + lead * j->unit, from + skip * j->unit, (size_t)(n * j->unit));
        pln_move_fill(to + (lead + n) * j->unit, j->value, (out - lead - n) * per,
                      (size_t)j->size);
    }
}

static void pad_constant(const pln_call *c, const pad_job *j)
{
    const int64_t rows = pln_move_count(j->out, 0, j->last);
    const int64_t bytes = j->out[j->last] * j->unit;
    pln_parallel_for(c->n_threads, rows, 1 + 262144 / (bytes + 1), pad_range, (void *)j);
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

static void mapped_range(void *arg, int64_t begin, int64_t end)
{
    const pad_job *j = arg;
    const int l = j->last;
    const size_t unit = (size_t)j->unit;
    const int64_t out = j->out[l], *map = j->map[l];
    /* Positions [lead, lead + n) are those of the input, one after the other. */
    const int64_t lead = j->before[l] < 0 ? 0 : j->before[l] < out ? j->before[l] : out;
    const int64_t skip = j->before[l] < 0 ? -j->before[l] : 0;
    int64_t n = j->in[l] - skip < out - lead ? j->in[l] - skip : out - lead;
    n = n > 0 ? n : 0;
    for (int64_t r = begin; r < end; r++) {
        char *to = j->y + r * out * j->unit;
        const char *from = j->x;
        int64_t rest = r;
        for (int i = l - 1; i >= 0; i--) {
            from += j->map[i][rest % j->out[i]];
            rest /= j->out[i];
        }
        for (int64_t k = 0; k < lead; k++)
            memcpy(to + k * j->unit, from + map[k], unit);
        if (n > 0)
            memcpy(to + lead * j->unit, from + skip * j->unit, (size_t)n * unit);
        for (int64_t k = lead + n; k < out; k++)
            memcpy(to + k * j->unit, from + map[k], unit);
    }
}

/* Fills along one axis after the other would copy borders of borders; a table of sources
 * for each axis takes every element straight from the input. */
static pln_status pad_mapped(pln_call *c, pad_job *j, int mode, pln_error *err)
{
    int64_t total = 0;
    for (int i = 0; i < j->rank; i++) {
        if (j->in[i] == 0)
            return pln_call_fail(c, err, PLN_E_RUN, "dimension %d is empty", i);
        total += j->out[i];
    }
    int64_t *table = pln_call_scratch(c, (size_t)(total + 1) * sizeof *table);
    if (!table)
        return pln_oom(err);
    for (int i = 0; i < j->rank; i++) {
        j->map[i] = table;
        for (int64_t k = 0; k < j->out[i]; k++)
            table[k] = pad_source(mode, k - j->before[i], j->in[i]) * j->ss[i];
        table += j->out[i];
    }
    const int64_t rows = pln_move_count(j->out, 0, j->last);
    const int64_t bytes = j->out[j->last] * j->unit;
    pln_parallel_for(c->n_threads, rows, 1 + 262144 / (bytes + 1), mapped_range, j);
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
    if (y->rank == 0) {
        memcpy(y->data, c->in[0]->data, pln_move_bytes_of(y));
    } else {
        pad_job j;
        pad_setup(c, &j, before);
        if (a->mode == PAD_CONSTANT)
            pad_constant(c, &j);
        else
            st = pad_mapped(c, &j, a->mode, err);
    }
    pln_move_end(y);
    return st;
}

/* ---- versions -------------------------------------------------------------------- */

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
        const pln_dtype dt =
            n->in[0] && n->in[0]->type.dtype ? n->in[0]->type.dtype : PLN_DT_F32;
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

static const pln_attr_spec ms_pad_spec[] = {
    PLN_A_ENUM(pad_attrs, mode, "constant|reflect|edge", "constant"),
    PLN_A_END,
};

const pln_op_desc pln_ops_pad[] = {
    { .name = "Pad",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .types = "T:float16,float,double",
      .sig = "T,int64,T?->T",
      .attrs = ms_pad_spec,
      .attrs_size = sizeof(pad_attrs),
      .infer = pad_infer,
      .ref = pad_run },
    { .name = "Pad",
      .expand = pln_expand_pad,
      .domain = "",
      .since = 25,
      .in = { 2, 4 },
      .out = { 1, 1 },
      .traits = PLN_OP_CHANNELS_LAST,
      .types = "T:" PLN_TS_ALL ";I:" PLN_TS_IND,
      .sig = "T,int64,T?,I?->T",
      .attrs = pad_spec,
      .attrs_size = sizeof(pad_attrs),
      .infer = pad_infer,
      .ref = pad_run,
      .versions = pad_versions },
    { .name = NULL },
};
