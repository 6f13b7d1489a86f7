/* TfIdfVectorizer: how often n-grams of a pool occur.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ml_keys.h"
#include "kernels/raise.h"

typedef enum tfidf_mode { MODE_TF, MODE_IDF, MODE_TFIDF } tfidf_mode;

typedef struct tfidf_attrs {
    int mode;
    int64_t min_gram, max_gram, max_skip;
    pln_ints counts, indexes, pool_ints;
    pln_strings pool_strings;
    pln_floats weights;
} tfidf_attrs;

#define A(attr, kind, field, must)                                  \
    {                                                               \
        .name = #attr, .type = PLN_ATTR_##kind, .required = (must), \
        .offset = offsetof(tfidf_attrs, field)                      \
    }
static const pln_attr_spec tfidf_spec[] = {
    { .name = "mode",
      .type = PLN_ATTR_STRING,
      .required = true,
      .s = "TF",
      .offset = offsetof(tfidf_attrs, mode),
      .choices = "TF|IDF|TFIDF" },
    A(min_gram_length, INT, min_gram, true),
    A(max_gram_length, INT, max_gram, true),
    A(max_skip_count, INT, max_skip, true),
    A(ngram_counts, INTS, counts, true),
    A(ngram_indexes, INTS, indexes, true),
    A(pool_int64s, INTS, pool_ints, false),
    A(pool_strings, STRINGS, pool_strings, false),
    A(weights, FLOATS, weights, false),
    PLN_A_END,
};
#undef A

static int64_t pool_size(const tfidf_attrs *a)
{
    return (int64_t)(a->pool_strings.n ? a->pool_strings.n : a->pool_ints.n);
}

#define MAX_GRAM 256

/* counts[n - 1] is where the n-grams begin in the pool: they must fill it. */
static pln_status tfidf_check(pln_node *n, void *attrs, pln_error *err)
{
    const tfidf_attrs *a = attrs;
    const int64_t size = pool_size(a);
    int64_t grams = 0;
    if (a->min_gram < 1 || a->max_gram < a->min_gram || a->max_gram > MAX_GRAM ||
        a->max_skip < 0)
        return pln_raise_fail(n, err,
                              "the gram lengths or max_skip_count are out of range");
    for (size_t i = 0; i < a->counts.n; i++) {
        const int64_t from = a->counts.v[i];
        const int64_t to = i + 1 < a->counts.n ? a->counts.v[i + 1] : size;
        if (from < 0 || to < from || to > size || (to - from) % (int64_t)(i + 1) ||
            i >= MAX_GRAM)
            return pln_raise_fail(n, err, "ngram_counts does not fit the pool");
        grams += (to - from) / (int64_t)(i + 1);
    }
    if (grams != (int64_t)a->indexes.n || (a->weights.n && a->weights.n != a->indexes.n))
        return pln_raise_fail(n, err, "ngram_indexes or weights do not fit the pool");
    for (size_t i = 0; i < a->indexes.n; i++)
        if (a->indexes.v[i] < 0 || a->indexes.v[i] > INT32_MAX)
            return pln_raise_fail(n, err, "an entry of ngram_indexes is out of range");
    return PLN_OK;
}

static int64_t width_of(const tfidf_attrs *a)
{
    int64_t most = -1;
    for (size_t i = 0; i < a->indexes.n; i++)
        most = a->indexes.v[i] > most ? a->indexes.v[i] : most;
    return most + 1;
}

static pln_status tfidf_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN) {
        pln_infer_set(inf, 0, PLN_DT_F32, pln_shape_unknown());
        return PLN_OK;
    }
    if (rank != 1 && rank != 2)
        return pln_infer_fail(inf, err, "input has rank %d, want 1 or 2", rank);
    pln_shape out = pln_move_infer_like(inf, 0);
    out.dims[rank - 1] = pln_dim_of(width_of(inf->attrs));
    pln_infer_set(inf, 0, PLN_DT_F32, out);
    return PLN_OK;
}

/* The words of the pool, and its n-grams as lists of word numbers. */
typedef struct tfidf_pool {
    pln_keys words, grams;
    int32_t *ids; /* of the pool's words, which the grams' keys point into */
} tfidf_pool;

static void pool_done(tfidf_pool *p, const pln_allocator *alloc)
{
    pln_keys_done(&p->words);
    pln_keys_done(&p->grams);
    pln_release(alloc, p->ids);
}

static bool pool_init(const tfidf_attrs *a, const pln_allocator *alloc, tfidf_pool *p)
{
    const int64_t size = pool_size(a);
    *p = (tfidf_pool){ .words.alloc = alloc, .grams.alloc = alloc };
    p->ids = pln_calloc(alloc, (size_t)size + 1, sizeof *p->ids);
    if (!p->ids ||
        !pln_keys_from(&p->words, alloc, a->pool_ints, (pln_floats){ 0 }, a->pool_strings,
                       NULL) ||
        !pln_keys_init(&p->grams, alloc, a->indexes.n))
        return false;
    for (int64_t i = 0; i < size; i++)
        p->ids[i] = (int32_t)pln_keys_find(&p->words, p->words.keys[i]);
    for (size_t n = 1; n <= a->counts.n; n++) {
        const int64_t to = n < a->counts.n ? a->counts.v[n] : size;
        for (int64_t i = a->counts.v[n - 1]; i < to; i += (int64_t)n)
            pln_keys_add(&p->grams,
                         pln_key_text((const char *)(p->ids + i), n * sizeof *p->ids));
    }
    return true;
}

static void count_grams(const tfidf_attrs *a, const tfidf_pool *p, const int32_t *row,
                        int64_t cols, int64_t n, int64_t step, float *y)
{
    int32_t gram[MAX_GRAM];
    for (int64_t i = 0; i + (n - 1) * step < cols; i++) {
        bool known = true;
        for (int64_t k = 0; k < n; k++) {
            gram[k] = row[i + k * step];
            known &= gram[k] >= 0;
        }
        if (!known)
            continue;
        const int64_t at = pln_keys_find(
            &p->grams, pln_key_text((const char *)gram, (size_t)n * sizeof *gram));
        if (at >= 0)
            y[a->indexes.v[at]] += 1;
    }
}

static void weigh(const tfidf_attrs *a, float *y)
{
    for (size_t i = 0; a->mode != MODE_TF && i < a->indexes.n; i++) {
        float *v = &y[a->indexes.v[i]];
        const float w = a->weights.n ? a->weights.v[i] : 1;
        *v = *v <= 0 ? 0 : a->mode == MODE_IDF ? w : *v * w;
    }
}

static pln_status tfidf_run(pln_call *c, pln_error *err)
{
    const tfidf_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    const int64_t width = c->out[0]->dims[x->rank - 1];
    int64_t rows, cols;
    tfidf_pool p;
    if (!pln_ml_matrix(x, &rows, &cols))
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d", (int)x->rank);
    int32_t *row = pln_call_scratch(c, (size_t)(cols + 1) * sizeof *row);
    if (!row || !pool_init(a, pln_call_allocator(c), &p)) {
        if (row)
            pool_done(&p, pln_call_allocator(c));
        return pln_oom(err);
    }
    if (rows * width > 0)
        memset(c->out[0]->data, 0, pln_move_bytes_of(c->out[0]));
    for (int64_t r = 0; r < rows; r++) {
        float *y = PLN_DATA(float, c->out[0]) + r * width;
        for (int64_t i = 0; i < cols; i++)
            row[i] = (int32_t)pln_keys_find(&p.words, pln_key_of(x, r * cols + i));
        for (int64_t n = a->min_gram; n <= a->max_gram; n++)
            for (int64_t skip = 0; skip <= (n == 1 ? 0 : a->max_skip); skip++)
                if (skip < cols)
                    count_grams(a, &p, row, cols, n, skip + 1, y);
        weigh(a, y);
    }
    pool_done(&p, pln_call_allocator(c));
    return PLN_OK;
}

const pln_op_desc pln_ops_tfidf[] = {
    { .name = "TfIdfVectorizer",
      .domain = "",
      .since = 9,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:string,int32,int64",
      .sig = "T->float",
      .attrs = tfidf_spec,
      .attrs_size = sizeof(tfidf_attrs),
      .check = tfidf_check,
      .infer = tfidf_infer,
      .ref = tfidf_run },
    { .name = NULL },
};
