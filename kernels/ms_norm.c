/* Normalized sums of com.microsoft: SkipLayerNormalization,
 * SkipSimplifiedLayerNormalization, EmbedLayerNormalization, QEmbedLayerNormalization;
 * the first two in domain planish, too, and there of rows of any tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/norm.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"

#include <math.h>
#include <string.h>

/* Rows of a table that are added up: row r takes row[r], or r modulo n_rows. */
typedef struct addend {
    const pln_tensor *t;
    const int64_t *row;
    int64_t n_rows;
    double scale, zero; /* value = (stored - zero) scale */
} addend;

#define ADDENDS 3

/* y = normalize(sum of addends + bias) gamma + beta, row by row. */
typedef struct sums {
    addend add[ADDENDS];
    int n_add;
    const pln_tensor *bias;
    addend gamma, beta;               /* one row each; t NULL: none */
    pln_tensor *y, *sum, *mean, *inv; /* NULL: not wanted */
    int64_t rows, n;
    float epsilon;
    bool rms;
} sums;

static void load(const addend *a, int64_t r, int64_t n, double *v)
{
    const int64_t row = a->row ? a->row[r] : r % a->n_rows;
    pln_block_load(PLN_DT_F64, v, a->t, row * n, 1, n);
    if (a->scale == 1 && a->zero == 0)
        return;
    for (int64_t i = 0; i < n; i++)
        v[i] = (v[i] - a->zero) * a->scale;
}

static void moments(const double *v, int64_t n, bool rms, double *mean, double *var)
{
    double m = 0, s = 0;
    for (int64_t i = 0; i < n && !rms; i++)
        m += v[i];
    m /= (double)n;
    for (int64_t i = 0; i < n; i++)
        s += (v[i] - m) * (v[i] - m);
    *mean = m;
    *var = s / (double)n;
}

static void store(pln_tensor *t, int64_t at, const double *v, int64_t n)
{
    if (t)
        pln_block_store(t, at, 1, PLN_DT_F64, v, n);
}

static pln_status run_ref(pln_call *c, const sums *s, pln_error *err)
{
    double *v = pln_norm_scratch(c, s->n, 4, err), *t = v + s->n;
    if (!v)
        return PLN_E_NOMEM;
    double *gamma = t + s->n, *beta = gamma + s->n;
    load(&s->gamma, 0, s->n, gamma);
    for (int64_t i = 0; i < s->n; i++)
        beta[i] = 0;
    if (s->beta.t)
        load(&s->beta, 0, s->n, beta);
    for (int64_t r = 0; r < s->rows; r++) {
        double mean, var;
        for (int k = 0; k < s->n_add; k++) {
            load(&s->add[k], r, s->n, k ? t : v);
            for (int64_t i = 0; k && i < s->n; i++)
                v[i] += t[i];
        }
        if (s->bias)
            pln_block_load(PLN_DT_F64, t, s->bias, 0, 1, s->n);
        for (int64_t i = 0; s->bias && i < s->n; i++)
            v[i] += t[i];
        store(s->sum, r * s->n, v, s->n);
        moments(v, s->n, s->rms, &mean, &var);
        const double inv = 1 / sqrt(var + s->epsilon);
        store(s->mean, r, &mean, 1);
        store(s->inv, r, &inv, 1);
        for (int64_t i = 0; i < s->n; i++)
            v[i] = (v[i] - mean) * inv * gamma[i] + beta[i];
        store(s->y, r * s->n, v, s->n);
    }
    return PLN_OK;
}

/* ---- float rows by the vector loops ---------------------------------------------- */

static const float *row_f32(const addend *a, int64_t r, int64_t n)
{
    return PLN_DATA(const float, a->t) + (a->row ? a->row[r] : r % a->n_rows) * n;
}

static void rows_f32(void *arg, int64_t begin, int64_t end)
{
    const sums *s = arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = s->n;
    for (int64_t r = begin; r < end; r++) {
        float *y = PLN_DATA(float, s->y) + r * n;
        float *v = s->sum ? PLN_DATA(float, s->sum) + r * n : y;
        if (s->n_add > 1)
            f->add(v, row_f32(&s->add[0], r, n), 1, row_f32(&s->add[1], r, n), 1, n);
        else
            memcpy(v, row_f32(&s->add[0], r, n), (size_t)n * sizeof *v);
        if (s->n_add > 2)
            f->add_to(v, row_f32(&s->add[2], r, n), n);
        if (s->bias)
            f->add_to(v, PLN_DATA(const float, s->bias), n);
        const float mean = s->rms ? 0 : f->sum(v, n) / (float)n;
        const float inv = 1.0f / sqrtf(f->sum_square(v, n, mean) / (float)n + s->epsilon);
        f->normalize(y, v, PLN_DATA(const float, s->gamma.t),
                     s->beta.t ? PLN_DATA(const float, s->beta.t) : NULL, mean, inv, n);
        if (s->mean)
            PLN_DATA(float, s->mean)[r] = mean;
        if (s->inv)
            PLN_DATA(float, s->inv)[r] = inv;
    }
}

static pln_status run_f32(pln_call *c, sums *s)
{
    if (s->n > 0)
        pln_parallel_for(c->n_threads, s->rows, 1 + 16384 / s->n, rows_f32, s);
    return PLN_OK;
}

static pln_status prepare_f32(pln_prep *p, pln_error *err)
{
    (void)err;
    for (uint32_t i = 0; i < p->n_in; i++) {
        const int dt = p->in[i] ? p->in[i]->dtype : PLN_DT_F32;
        if (dt != PLN_DT_F32 && dt != PLN_DT_S32 && dt != PLN_DT_S64)
            return PLN_E_UNSUPPORTED;
        p->layout_in[i] = PLN_LAYOUT_PLAIN;
    }
    return p->n_out && p->out[0] ? PLN_OK : PLN_E_UNSUPPORTED;
}

/* ---- checks ---------------------------------------------------------------------- */

static pln_tensor *wanted(const pln_call *c, uint32_t i)
{
    return pln_call_wants(c, i) ? c->out[i] : NULL;
}

static pln_status vector_of(const pln_call *c, uint32_t i, int64_t n, addend *out,
                            pln_error *err)
{
    *out = (addend){ .n_rows = 1, .scale = 1 };
    if (!pln_call_has(c, i))
        return PLN_OK;
    out->t = c->in[i];
    if (pln_tensor_size(out->t) == n)
        return PLN_OK;
    return pln_call_fail(c, err, PLN_E_RUN, "input %u has %lld elements, want %lld", i,
                         (long long)pln_tensor_size(out->t), (long long)n);
}

/* ---- SkipLayerNormalization, SkipSimplifiedLayerNormalization -------------------- */

typedef struct skip_attrs {
    float epsilon;
} skip_attrs;

static const pln_attr_spec skip_spec[] = { PLN_A_FLOAT(skip_attrs, epsilon, 1e-12f),
                                           PLN_A_END };

/* skip has x's shape, or lacks leading dimensions, or has them as 1. */
static bool skip_fits(const pln_tensor *skip, const pln_tensor *x)
{
    int d = skip->rank - 1, j = x->rank - 1;
    if (skip->rank > x->rank)
        return false;
    while (d >= 0 && skip->dims[d] == x->dims[j])
        d--, j--;
    for (; d >= 0; d--)
        if (skip->dims[d] != 1)
            return false;
    return true;
}

/* Where the statistics and the sum go: in domain planish the sum is the second output. */
static void set_outputs(const pln_call *c, sums *s)
{
    const bool own = !strcmp(c->node->domain, "planish");
    s->y = wanted(c, 0);
    s->mean = own ? NULL : wanted(c, 1);
    s->inv = own ? NULL : wanted(c, 2);
    s->sum = wanted(c, own ? 1 : 3);
}

static pln_status set_skip(const pln_call *c, bool rms, sums *s, pln_error *err)
{
    const pln_tensor *x = c->in[0], *skip = c->in[1];
    const uint32_t beta = rms ? UINT32_MAX : 3, bias = rms ? 3 : 4;
    addend add;
    *s = (sums){ .epsilon = ((const skip_attrs *)c->attrs)->epsilon,
                 .rms = rms,
                 .n_add = 2 };
    if (x->rank < 1 || !skip_fits(skip, x))
        return pln_call_fail(c, err, PLN_E_RUN, "input 1 does not fit input 0");
    s->n = x->dims[x->rank - 1];
    s->rows = s->n ? pln_tensor_size(x) / s->n : 0;
    s->add[0] = (addend){ .t = x, .n_rows = s->rows, .scale = 1 };
    s->add[1] = (addend){ .t = skip,
                          .scale = 1,
                          .n_rows = s->n ? pln_tensor_size(skip) / s->n : 0 };
    PLN_TRY(vector_of(c, 2, s->n, &s->gamma, err));
    PLN_TRY(vector_of(c, beta, s->n, &s->beta, err));
    PLN_TRY(vector_of(c, bias, s->n, &add, err));
    s->bias = add.t;
    set_outputs(c, s);
    return PLN_OK;
}

static pln_status skip_ref(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_skip(c, false, &s, err));
    return run_ref(c, &s, err);
}

static pln_status skip_rms_ref(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_skip(c, true, &s, err));
    return run_ref(c, &s, err);
}

static pln_status skip_run(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_skip(c, false, &s, err));
    return run_f32(c, &s);
}

static pln_status skip_rms_run(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_skip(c, true, &s, err));
    return run_f32(c, &s);
}

static const pln_impl skip_cpu = { "skip_layer_norm_f32", prepare_f32, skip_run, NULL };
static const pln_impl skip_rms_cpu = { "skip_rms_norm_f32", prepare_f32, skip_rms_run,
                                       NULL };

static pln_status skip_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    PLN_TRY(pln_infer_same(inf, err));
    pln_shape s = pln_shape_unknown(), one = s;
    if (rank != PLN_RANK_UNKNOWN) {
        if (rank < 1)
            return pln_infer_fail(inf, err, "input 0 is a scalar");
        s = pln_move_infer_like(inf, 0);
        one = pln_move_infer_like(inf, 0);
        if (one.rank > 0)
            one.dims[rank - 1] = pln_dim_of(1);
    }
    for (uint32_t o = 1; o < inf->n_out && o < 3; o++)
        pln_infer_set(inf, o, PLN_DT_F32, one);
    if (inf->n_out > 3)
        pln_infer_set(inf, 3, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

static pln_status skip_own_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    if (inf->n_out > 1)
        pln_infer_set(inf, 1, pln_infer_dtype(inf, 0), pln_move_infer_like(inf, 0));
    return PLN_OK;
}

/* ---- EmbedLayerNormalization, QEmbedLayerNormalization --------------------------- */

typedef struct embed_attrs {
    float epsilon;
    int64_t mask_index_type;
} embed_attrs;

static const pln_attr_spec embed_spec[] = {
    PLN_A_FLOAT(embed_attrs, epsilon, 1e-12f),
    PLN_A_INT(embed_attrs, mask_index_type, 0),
    PLN_A_END,
};
static const pln_attr_spec qembed_spec[] = { PLN_A_FLOAT(embed_attrs, epsilon, 1e-12f),
                                             PLN_A_END };

/* Where the inputs stand. Scales and zero points follow in the order of `tables`. */
typedef struct embed_inputs {
    uint32_t ids, segment_ids, tables[5], mask, position_ids, scales, zeros;
} embed_inputs;
#define NONE UINT32_MAX
static const embed_inputs embed_in = { 0, 1, { 2, 3, 4, 5, 6 }, 7, 8, NONE, NONE };
static const embed_inputs qembed_in = { 0, 1, { 2, 3, 4, 5, 6 }, 7, NONE, 8, 13 };

static const pln_tensor *input(const pln_call *c, uint32_t i)
{
    return pln_call_has(c, i) ? c->in[i] : NULL;
}

/* Scale and zero point of a quantized table. */
static pln_status quantized(const pln_call *c, const embed_inputs *in, uint32_t table,
                            addend *a, pln_error *err)
{
    if (in->scales == NONE)
        return PLN_OK;
    const pln_tensor *s = input(c, in->scales + table), *z = input(c, in->zeros + table);
    if (!s || pln_tensor_size(s) != 1 || (z && pln_tensor_size(z) != 1))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "input %u: its scale or zero point is no scalar",
                             in->tables[table]);
    a->scale = pln_tensor_get_f64(s, 0);
    a->zero = z ? pln_tensor_get_f64(z, 0) : 0;
    return PLN_OK;
}

/* Rows of table `table` by the indices `ids` (NULL: the position in the sequence). */
static pln_status set_table(pln_call *c, const embed_inputs *in, uint32_t table,
                            uint32_t ids, sums *s, int64_t seq, pln_error *err)
{
    const pln_tensor *t = input(c, in->tables[table]), *index = input(c, ids);
    if (!t || t->rank != 2 || t->dims[1] != s->n)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u is no table of %lld columns",
                             in->tables[table], (long long)s->n);
    const int64_t n_index = index ? pln_tensor_size(index) : seq;
    if (n_index != s->rows && n_index != seq)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u has %lld indices", ids,
                             (long long)n_index);
    size_t bytes;
    int64_t *row = NULL;
    if (pln_size_mul(&bytes, (size_t)s->rows + 1, sizeof *row))
        row = pln_call_scratch(c, bytes);
    if (!row)
        return pln_oom(err);
    for (int64_t r = 0; r < s->rows; r++) {
        row[r] = index ? pln_move_index(index, r % n_index) : r % seq;
        if (row[r] < 0 || row[r] >= t->dims[0])
            return pln_call_fail(c, err, PLN_E_RUN, "index %lld in a table of %lld rows",
                                 (long long)row[r], (long long)t->dims[0]);
    }
    addend *a = &s->add[s->n_add++];
    *a = (addend){ .t = t, .row = row, .scale = 1 };
    return quantized(c, in, table, a, err);
}

/* How many words of each sentence the mask leaves. */
static void count_mask(pln_call *c, const pln_tensor *mask, int64_t seq)
{
    pln_tensor *out = wanted(c, 1);
    for (int64_t b = 0; out && b < pln_tensor_size(out); b++) {
        int32_t n = 0;
        for (int64_t i = 0; mask && i < seq; i++)
            n += PLN_DATA(const int32_t, mask)[b * seq + i] == 1;
        PLN_DATA(int32_t, out)[b] = n;
    }
}

static pln_status set_embed(pln_call *c, const embed_inputs *in, sums *s, pln_error *err)
{
    const pln_tensor *ids = c->in[in->ids], *mask = input(c, in->mask);
    const pln_tensor *word = input(c, in->tables[0]);
    *s = (sums){ .epsilon = ((const embed_attrs *)c->attrs)->epsilon };
    if (ids->rank != 2 || !word || word->rank != 2)
        return pln_call_fail(c, err, PLN_E_RUN, "the ids or words have no rank 2");
    const int64_t seq = ids->dims[1];
    s->n = word->dims[1];
    s->rows = pln_tensor_size(ids);
    if (mask && pln_tensor_size(mask) != s->rows)
        return pln_call_fail(c, err, PLN_E_RUN, "the mask does not fit the ids");
    PLN_TRY(set_table(c, in, 0, in->ids, s, seq, err));
    PLN_TRY(set_table(c, in, 1, in->position_ids, s, seq, err));
    if (input(c, in->segment_ids))
        PLN_TRY(set_table(c, in, 2, in->segment_ids, s, seq, err));
    PLN_TRY(vector_of(c, in->tables[3], s->n, &s->gamma, err));
    PLN_TRY(vector_of(c, in->tables[4], s->n, &s->beta, err));
    if (!s->gamma.t || !s->beta.t)
        return pln_call_fail(c, err, PLN_E_RUN, "gamma or beta is absent");
    PLN_TRY(quantized(c, in, 3, &s->gamma, err));
    PLN_TRY(quantized(c, in, 4, &s->beta, err));
    s->y = wanted(c, 0);
    s->sum = wanted(c, 2);
    count_mask(c, mask, seq);
    return PLN_OK;
}

static pln_status embed_ref(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_embed(c, &embed_in, &s, err));
    return run_ref(c, &s, err);
}

static pln_status embed_run(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_embed(c, &embed_in, &s, err));
    return run_f32(c, &s);
}

static pln_status qembed_ref(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_embed(c, &qembed_in, &s, err));
    return run_ref(c, &s, err);
}

static const pln_impl embed_cpu = { "embed_layer_norm_f32", prepare_f32, embed_run,
                                    NULL };

static pln_status embed_infer(pln_infer *inf, pln_error *err)
{
    const int ids = pln_infer_rank(inf, 0), table = pln_infer_rank(inf, 2);
    const bool q = inf->n_in > 9;
    pln_shape y = pln_shape_unknown(), one = y, sum = y;
    if (ids != PLN_RANK_UNKNOWN && ids != 2)
        return pln_infer_fail(inf, err, "input_ids has rank %d, want 2", ids);
    if (!pln_infer_has(inf, 2))
        return pln_infer_fail(inf, err, "the table of words is absent");
    if (ids == 2 && table == 2) {
        y = pln_infer_shape(inf, 3);
        sum = pln_infer_shape(inf, 3);
        for (int d = 0; d < 3; d++)
            y.dims[d] = sum.dims[d] = pln_infer_dim(inf, d < 2 ? 0 : 2, d < 2 ? d : 1);
    }
    if (ids == 2) {
        one = pln_infer_shape(inf, 1);
        one.dims[0] = pln_infer_dim(inf, 0, 0);
    }
    const pln_dtype dt = q ? PLN_DT_F32 : pln_infer_dtype(inf, 2);
    pln_infer_set(inf, 0, dt, y);
    if (inf->n_out > 1)
        pln_infer_set(inf, 1, PLN_DT_S32, one);
    if (inf->n_out > 2)
        pln_infer_set(inf, 2, dt, sum);
    return PLN_OK;
}

/* ---- of domain planish: rows of up to three tables ------------------------------- */

/* (scale, bias?, table, index?, table?, index?, table?, index?): what an index picks of
 * its table, or a table by itself, which broadcasts. */
enum { TABLES = 2, TABLE_END = TABLES + 2 * ADDENDS };

/* For each row of the sum, that of a table. `index` (may be NULL) and otherwise the table
 * without its last dimension broadcast to the rows. */
static pln_status set_rows(pln_call *c, const sums *s, const pln_tensor *t,
                           const pln_tensor *index, int64_t *row, pln_error *err)
{
    const pln_tensor *from = index ? index : t, *y = c->out[0];
    const int rank = index ? index->rank : t->rank - 1;
    int64_t step[PLN_MAX_RANK], at[PLN_MAX_RANK] = { 0 }, size = 1, k = 0;
    for (int d = y->rank - 2; d >= 0; d--) {
        const int e = d - (y->rank - 1 - rank);
        step[d] = e >= 0 && from->dims[e] > 1 ? size : 0;
        size *= e >= 0 ? from->dims[e] : 1;
    }
    for (int64_t r = 0; r < s->rows; r++) {
        row[r] = index ? pln_move_index(index, k) : k;
        row[r] += index && row[r] < 0 ? t->dims[0] : 0;
        if (index && (row[r] < 0 || row[r] >= t->dims[0]))
            return pln_call_fail(c, err, PLN_E_RUN, "index %lld is outside [-%lld, %lld)",
                                 (long long)pln_move_index(index, k),
                                 (long long)t->dims[0], (long long)t->dims[0]);
        for (int d = y->rank - 2; d >= 0; d--) {
            k += step[d];
            if (++at[d] < y->dims[d])
                break;
            k -= step[d] * at[d];
            at[d] = 0;
        }
    }
    return PLN_OK;
}

static pln_status set_tables(pln_call *c, sums *s, pln_error *err)
{
    const pln_tensor *y = c->out[0];
    *s = (sums){ .epsilon = ((const skip_attrs *)c->attrs)->epsilon,
                 .rms = strcmp(c->node->op_type, "EmbedLayerNormalization") != 0 };
    s->n = y->rank ? y->dims[y->rank - 1] : 0;
    s->rows = s->n ? pln_tensor_size(y) / s->n : 0;
    PLN_TRY(vector_of(c, 0, s->n, &s->gamma, err));
    PLN_TRY(vector_of(c, 1, s->n, &s->beta, err));
    for (uint32_t i = TABLES; i < TABLE_END; i += 2) {
        const pln_tensor *t = input(c, i), *index = input(c, i + 1);
        size_t bytes;
        int64_t *row = NULL;
        if (!t)
            continue;
        if (t->rank < 1 || t->dims[t->rank - 1] != s->n || (index && t->rank != 2))
            return pln_call_fail(c, err, PLN_E_RUN, "input %u has no rows of %lld", i,
                                 (long long)s->n);
        if (pln_size_mul(&bytes, (size_t)s->rows + 1, sizeof *row))
            row = pln_call_scratch(c, bytes);
        if (!row)
            return pln_oom(err);
        PLN_TRY(set_rows(c, s, t, index, row, err));
        s->add[s->n_add++] = (addend){ .t = t, .row = row, .scale = 1 };
    }
    s->y = wanted(c, 0);
    s->sum = wanted(c, 1);
    return PLN_OK;
}

static pln_status tables_ref(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_tables(c, &s, err));
    return run_ref(c, &s, err);
}

static pln_status tables_run(pln_call *c, pln_error *err)
{
    sums s;
    PLN_TRY(set_tables(c, &s, err));
    return run_f32(c, &s);
}

static const pln_impl tables_cpu = { "embed_norm_f32", prepare_f32, tables_run, NULL };

/* That of the rows that input i + 1 picks of input i. */
static pln_shape shape_of_rows(pln_infer *inf, uint32_t i)
{
    const int rank = pln_infer_rank(inf, i + 1);
    if (!pln_infer_has(inf, i + 1))
        return inf->in[i]->shape;
    if (rank < 0 || rank >= PLN_MAX_RANK || pln_infer_rank(inf, i) != 2)
        return pln_shape_unknown();
    pln_shape s = pln_infer_shape(inf, rank + 1);
    for (int d = 0; d < rank; d++)
        s.dims[d] = pln_infer_dim(inf, i + 1, d);
    s.dims[rank] = pln_infer_dim(inf, i, 1);
    return s;
}

static pln_status tables_infer(pln_infer *inf, pln_error *err)
{
    pln_shape term[ADDENDS], y;
    uint32_t n = 0;
    for (uint32_t i = TABLES; i < TABLE_END; i += 2)
        if (pln_infer_has(inf, i))
            term[n++] = shape_of_rows(inf, i);
    PLN_TRY(pln_infer_broadcast_shapes(inf, term, n, &y, err));
    for (uint32_t o = 0; o < inf->n_out; o++)
        pln_infer_set(inf, o, PLN_DT_F32, y);
    return PLN_OK;
}

#define MS .domain = "com.microsoft", .since = 1
#define SKIP                                                         \
    .out = { 1, 4 }, .types = "T:" PLN_TS_FLOAT, .attrs = skip_spec, \
    .attrs_size = sizeof(skip_attrs), .infer = skip_infer

/* y and, as the second output, the sum. */
#define OWN_SKIP                                                              \
    .domain = "planish", .since = 1, .out = { 1, 2 }, .types = "T:" PLN_TS_FLOAT, \
    .attrs = skip_spec, .attrs_size = sizeof(skip_attrs), .infer = skip_own_infer

#define OWN_TABLES                                                                \
    .domain = "planish", .since = 1, .in = { 3, TABLE_END }, .out = { 1, 2 },     \
    .types = "T:float;I:int32,int64;J:int32,int64;K:int32,int64",                 \
    .sig = "T,T?,T,I?,T?,J?,T?,K?->T,T?",                                         \
    .attrs = skip_spec, .attrs_size = sizeof(skip_attrs), .infer = tables_infer,  \
    .ref = tables_ref, .cpu = &tables_cpu

const pln_op_desc pln_ops_ms_norm[] = {
    { MS, SKIP, .name = "SkipLayerNormalization", .in = { 3, 5 },
      .sig = "T,T,T,T?,T?->T,float?,float?,T?", .ref = skip_ref, .cpu = &skip_cpu },
    { MS, SKIP, .name = "SkipSimplifiedLayerNormalization", .in = { 3, 4 },
      .sig = "T,T,T,T?->T,float?,float?,T?", .ref = skip_rms_ref, .cpu = &skip_rms_cpu },
    { MS, .name = "EmbedLayerNormalization", .in = { 7, 9 }, .out = { 1, 3 },
      .types = "T:float,float16",
      .sig = "int32,int32?,T,T,T?,T,T,int32?,int32?->T,int32?,T?", .attrs = embed_spec,
      .attrs_size = sizeof(embed_attrs), .infer = embed_infer, .ref = embed_ref,
      .cpu = &embed_cpu },
    { MS, .name = "QEmbedLayerNormalization", .in = { 18, 18 }, .out = { 1, 2 },
      .types = "T2:int8,uint8",
      .sig = "int32,int32?,T2,T2,T2?,T2,T2,int32?,float,float,float?,float,float,"
             "T2,T2,T2?,T2,T2->float,int32?",
      .attrs = qembed_spec, .attrs_size = sizeof(embed_attrs), .infer = embed_infer,
      .ref = qembed_ref },
    { OWN_SKIP, .name = "SkipLayerNormalization", .in = { 3, 5 },
      .sig = "T,T,T,T?,T?->T,T?", .ref = skip_ref, .cpu = &skip_cpu },
    { OWN_SKIP, .name = "SkipSimplifiedLayerNormalization", .in = { 3, 4 },
      .sig = "T,T,T,T?->T,T?", .ref = skip_rms_ref, .cpu = &skip_rms_cpu },
    { OWN_TABLES, .name = "EmbedLayerNormalization" },
    { OWN_TABLES, .name = "EmbedSimplifiedLayerNormalization" },
    { .name = NULL },
};
