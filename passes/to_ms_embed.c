/* to-ms-embed: rows of tables that are added and normalized become
 * EmbedLayerNormalization of com.microsoft. Where an index counts from the end, as Gather
 * lets it, ONNX Runtime's kernel fails: the result is lost, but never another one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"
#include "passes/cut.h"
#include "passes/to_ms.h"

#define MOST_TERMS 3

/* table[index], by rows */
typedef struct lookup {
    pln_value *table, *index;
} lookup;

typedef struct embedding {
    lookup words, kinds;   /* kinds: of no table where there are but two terms */
    lookup rows;           /* of no index where row i is that of position i */
    pln_value *row;        /* constant: added to each of `rows`, row `picked`; NULL */
    int64_t picked;
} embedding;

/* ---- lookups --------------------------------------------------------------------- */

static bool is_index(const pln_value *v)
{
    return v->type.dtype == PLN_DT_S32 || v->type.dtype == PLN_DT_S64;
}

static bool is_table(const pln_value *v, int rank)
{
    return pln_value_is_const(v) && v->type.dtype == PLN_DT_F32 &&
           pln_value_rank(v) == rank;
}

static bool is_lookup(const pln_value *v, lookup *l)
{
    const pln_node *n = v->def;
    if (!n || !pln_node_is(n, "Gather") || !pln_value_is_single_use(v) ||
        pln_node_get_int(n, "axis", 0) != 0 || !is_table(n->in[0], 2) ||
        !is_index(n->in[1]))
        return false;
    *l = (lookup){ n->in[0], n->in[1] };
    return true;
}

static bool is_int(const pln_value *v, int64_t want)
{
    int64_t got;
    size_t n;
    return v && pln_value_get_ints(v, &got, 1, &n) && n == 1 && got == want;
}

/* v is one number, which inference knows to be d. */
static bool counts(const pln_value *v, pln_dim d)
{
    return v && v->sym && v->sym->n == 1 && pln_dim_equal(v->sym->v[0], d);
}

/* The first `len` along `axis` of a constant, which has more than one there. */
static pln_value *head_of(const pln_value *v, int axis, pln_dim len)
{
    const pln_node *n = v->def;
    if (!n || !pln_node_is(n, "Slice") || n->n_in < 4 || !pln_value_is_const(n->in[0]) ||
        !is_int(n->in[1], 0) || !counts(n->in[2], len) ||
        (n->n_in > 4 && !is_int(n->in[4], 1)))
        return NULL;
    pln_value *of = n->in[0];
    return pln_value_size_at(of, axis) > 1 &&
                   (is_int(n->in[3], axis) || is_int(n->in[3], axis - pln_value_rank(of)))
               ? of
               : NULL;
}

static bool is_counted(const pln_value *v) /* a constant: 0, 1, 2 .. */
{
    const int64_t n = pln_value_count(v);
    if (!pln_value_contents(v))
        return false;
    for (int64_t i = 0; i < n; i++)
        if (pln_tensor_get_i64(v->cst, i) != i)
            return false;
    return true;
}

static bool adds_front(const pln_node *n)
{
    return pln_node_is(n, "Unsqueeze") && n->n_in == 2 && is_int(n->in[1], 0);
}

/* The index is 0, 1, 2 .. along the second dimension of the ids: [len], [1, len], or the
 * same for all of the batch. */
static bool counts_positions(const pln_value *v, pln_shape ids)
{
    const pln_node *n = v->def;
    const int rank = pln_value_rank(v);
    if (!n || rank < 1 || rank > 2)
        return false;
    if (pln_node_is(n, "Cast"))
        return is_index(n->in[0]) && counts_positions(n->in[0], ids);
    if (pln_node_is(n, "Expand"))
        return rank == 2 && pln_dim_equal(v->type.shape.dims[0], ids.dims[0]) &&
               pln_dim_equal(v->type.shape.dims[1], ids.dims[1]) &&
               counts_positions(n->in[0], ids);
    if (adds_front(n))
        return rank == 2 && counts_positions(n->in[0], ids);
    if (pln_node_is(n, "Range"))
        return is_int(n->in[0], 0) && is_int(n->in[2], 1) &&
               counts(n->in[1], ids.dims[1]);
    const pln_value *all = head_of(v, rank - 1, ids.dims[1]);
    return all && pln_value_count(all) == pln_value_size_at(all, rank - 1) &&
           is_counted(all);
}

/* ---- terms ----------------------------------------------------------------------- */

/* Row i at position i, whatever the batch: the table, which may have a dimension of 1
 * before. */
static pln_value *by_position(pln_value *v, pln_shape ids)
{
    lookup l;
    if (is_lookup(v, &l))
        return counts_positions(l.index, ids) ? l.table : NULL;
    const pln_value *t = v->def && adds_front(v->def) ? v->def->in[0] : v;
    const int rank = pln_value_rank(t);
    if (rank < 2 || rank > 3 || (rank == 3 && pln_value_size_at(t, 0) != 1))
        return NULL;
    if (is_table(t, rank))
        return pln_dim_equal(t->type.shape.dims[rank - 2], ids.dims[1])
                   ? (pln_value *)(uintptr_t)t
                   : NULL;
    pln_value *of = head_of(t, rank - 2, ids.dims[1]);
    return of && is_table(of, rank) ? of : NULL;
}

/* The index has a row for each id, or the same for all of the batch. */
static bool fits_ids(const pln_value *index, pln_shape ids, bool *whole)
{
    if (pln_value_rank(index) != 2 ||
        !pln_dim_equal(index->type.shape.dims[1], ids.dims[1]))
        return false;
    *whole = pln_dim_equal(index->type.shape.dims[0], ids.dims[0]);
    return *whole || pln_dim_is(index->type.shape.dims[0], 1);
}

/* Takes one more term; false: it has no place. */
static bool take_term(embedding *e, pln_value *v)
{
    const pln_shape ids = e->words.index->type.shape;
    const int64_t width = pln_value_size_at(e->words.table, 1);
    pln_value *rows = e->rows.table ? NULL : by_position(v, ids);
    double at;
    bool whole;
    lookup l;
    if (rows) {
        e->rows.table = rows;
        return pln_value_size_at(rows, pln_value_rank(rows) - 1) == width;
    }
    if (is_table(v, 1) && !e->row) {
        e->row = v;
        e->picked = 0;
        return pln_value_count(v) == width;
    }
    if (!is_lookup(v, &l) || pln_value_size_at(l.table, 1) != width)
        return false;
    if (pln_value_is_uniform(l.index, &at) && !e->row && at >= 0 &&
        at < (double)pln_value_size_at(l.table, 0)) {
        e->row = l.table;
        e->picked = (int64_t)at;
        return fits_ids(l.index, ids, &whole);
    }
    if (!fits_ids(l.index, ids, &whole))
        return false;
    if (whole && !e->kinds.table)
        e->kinds = l;
    else if (!e->rows.table)
        e->rows = l;
    else
        return false;
    return true;
}

static bool take_terms(embedding *e, pln_value *const *term, int n)
{
    for (int w = 0; w < n; w++) {
        e->words = e->kinds = e->rows = (lookup){ NULL, NULL };
        e->row = NULL;
        if (!is_lookup(term[w], &e->words) || pln_value_rank(e->words.index) != 2 ||
            by_position(term[w], e->words.index->type.shape))
            continue;
        bool all = true;
        for (int i = 0; i < n && all; i++)
            all = i == w || take_term(e, term[i]);
        if (all && !e->rows.table) { /* any table may be that of positions */
            e->rows = e->kinds;
            e->kinds = (lookup){ NULL, NULL };
        }
        if (all && e->rows.table && (!e->row || pln_value_is_own_weights(e->rows.table)))
            return true;
    }
    return false;
}

static bool is_sum(const pln_value *v)
{
    const pln_node *n = v->def;
    return n && pln_node_is(n, "Add") && n->n_in == 2 && pln_value_is_single_use(v);
}

static int64_t rows_of(const pln_value *v)
{
    lookup l;
    return is_lookup(v, &l) ? pln_value_size_at(l.table, 0) : 0;
}

/* a + b, one of which may be a sum itself: two or three terms, the largest table
 * first. */
static bool read(pln_value *a, pln_value *b, embedding *e)
{
    pln_value *term[MOST_TERMS] = { a, b };
    *e = (embedding){ .row = NULL };
    int n = 2;
    for (int i = 0; i < 2 && n == 2; i++)
        if (is_sum(term[i])) {
            const pln_node *inner = term[i]->def;
            term[i] = inner->in[0];
            term[n++] = inner->in[1];
        }
    for (int i = 1; i < n; i++)
        if (rows_of(term[i]) > rows_of(term[0])) {
            pln_value *first = term[0];
            term[0] = term[i];
            term[i] = first;
        }
    return a->type.dtype == PLN_DT_F32 && take_terms(e, term, n);
}

bool pln_ms_takes_embedding(const pln_value *sum)
{
    embedding e;
    const pln_node *n = sum->def;
    return n && pln_node_is(n, "Add") && n->n_in == 2 && read(n->in[0], n->in[1], &e);
}

/* ---- the operator ---------------------------------------------------------------- */

/* As the operator takes it: int32. */
static pln_value *narrow(pln_patch *p, pln_value *v)
{
    if (!v || v->type.dtype == PLN_DT_S32)
        return v;
    pln_node *n = v->def;
    if (n && pln_node_is(n, "Cast") && n->in[0]->type.dtype == PLN_DT_S32)
        return n->in[0];
    n = pln_patch_add(p, "Cast", &v, 1, 1);
    return n && pln_node_set_int(n, "to", PLN_DT_S32) == PLN_OK ? n->out[0] : NULL;
}

/* Row e->picked of a constant, on its own. */
static pln_value *row_of(pln_patch *p, const embedding *e)
{
    pln_tensor *t = NULL;
    const int64_t width = pln_value_size_at(e->words.table, 1);
    if (!pln_value_contents(e->row) || pln_tensor_make(p->graph->model->alloc, PLN_DT_F32,
                                                       1, &width, &t, NULL) != PLN_OK)
        return NULL;
    pln_tensor_copy(t, 0, e->row->cst, e->picked * width, width);
    return pln_patch_const(p, t, e->row->name);
}

static pln_value *table_of_positions(pln_patch *p, const embedding *e)
{
    pln_value *t = e->rows.table, *row = e->row ? row_of(p, e) : NULL;
    if (e->row)
        t = row ? pln_patch_combine(p, t, '+', row) : NULL;
    const int64_t to[2] = { -1, pln_value_size_at(e->words.table, 1) };
    return t && pln_value_rank(e->rows.table) == 3
               ? pln_patch_op2(p, "Reshape", t, pln_patch_ints(p, to, 2, "rows"))
               : t;
}

static bool is_row(const pln_match *m, const char *name, int64_t width)
{
    const pln_value *v = pln_match_val(m, name);
    return pln_value_rank(v) == 1 && pln_value_size_at(v, 0) == width &&
           v->type.dtype == PLN_DT_F32;
}

/* The norm over the last axis of `sum`, which may be NULL, of terms a and b. */
static pln_status embed(pln_match *m, pln_patch *p, pln_value *a, pln_value *b,
                        pln_value *sum)
{
    embedding e;
    if (!read(a, b, &e))
        return pln_match_refuse(m, "no sum of rows, picked by ids and by position");
    const int64_t width = pln_value_size_at(e.words.table, 1);
    if (!is_row(m, "g", width) || !is_row(m, "c", width))
        return pln_match_refuse(m, "scale or bias is no row of floats");
    pln_value *in[9] = { narrow(p, e.words.index),
                         narrow(p, e.kinds.index),
                         e.words.table,
                         table_of_positions(p, &e),
                         e.kinds.table,
                         pln_match_val(m, "g"),
                         pln_match_val(m, "c"),
                         NULL,
                         narrow(p, e.rows.index) };
    if (!in[0] || !in[3])
        return p->failed != PLN_OK ? p->failed
                                   : pln_match_refuse(m, "its rows can't be added");
    const bool skip = pln_node_is_in(m->root, PLN_MS, "SkipLayerNormalization");
    const float epsilon = pln_node_get_float(m->root, "epsilon", skip ? 1e-12f : 1e-5f);
    if (!(epsilon >= 0))
        return pln_match_refuse(m, "its epsilon is below 0, which ONNX Runtime refuses");
    pln_node *n =
        pln_patch_add_in(p, PLN_MS, "EmbedLayerNormalization", in, 9, sum ? 3 : 2);
    if (!n || pln_node_set_float(n, "epsilon", epsilon) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    if (sum)
        pln_patch_replace(p, sum, n->out[2]);
    return PLN_OK;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    pln_value *sum = pln_match_val(m, "z");
    const pln_node *n = m->root, *add = sum->def;
    const int64_t axis = pln_node_get_int(n, "axis", -1);
    if (axis != -1 && axis != 2)
        return pln_match_refuse(m, "not over the last axis");
    if (pln_node_has_other_outputs(n))
        return pln_match_refuse(m, "its mean or deviation is read");
    return embed(m, p, add->in[0], add->in[1], pln_value_is_single_use(sum) ? NULL : sum);
}

/* Files may hold it already, ONNX Runtime's own above all. */
static pln_status build_of_skip(pln_match *m, pln_patch *p)
{
    const pln_node *n = m->root;
    for (uint32_t i = 1; i < n->n_out && i < 3; i++)
        if (n->out[i] && n->out[i]->n_uses)
            return pln_match_refuse(m, "its mean or deviation is read");
    pln_value *sum = n->n_out > 3 && n->out[3] && n->out[3]->n_uses ? n->out[3] : NULL;
    return embed(m, p, n->in[0], n->in[1], sum);
}

#define EMBED(pattern, make)                                                \
    {                                                                       \
        .name = "embed-layer-norm", .match = pattern, .build = make,        \
        .contract = PLN_REASSOC, .target = PLN_TARGET_ORT, .may_fail = true \
    }

static const pln_rule rules[] = {
    EMBED("LayerNormalization(z=Add(_, _), g, c)", build),
    EMBED("com.microsoft.SkipLayerNormalization(_, _, g, c)", build_of_skip),
};

const pln_pass pln_pass_to_ms_embed = {
    .name = "to-ms-embed",
    .brief = "EmbedLayerNormalization of com.microsoft",
    PLN_RULES(rules),
};
