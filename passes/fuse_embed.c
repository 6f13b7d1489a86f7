/* fuse-embed: rows of tables that are added and normalized are one node of our own, which
 * gives their sum as well: words, their positions and what else an embedding has.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <string.h>

#define MOST_TERMS 3

/* table[index], or a table by itself that broadcasts to the sum. */
typedef struct term {
    pln_value *table, *index;
} term;

typedef struct embedding {
    pln_value *sum; /* somebody else may read it */
    term of[MOST_TERMS];
    int n, n_lookups;
    pln_value *scale, *bias;
    bool rms;
} embedding;

static bool is_table(const pln_value *v, const pln_value *sum)
{
    const int rank = pln_value_rank(v);
    return rank > 0 && v->type.dtype == PLN_DT_F32 &&
           pln_dim_equal(v->type.shape.dims[rank - 1],
                         sum->type.shape.dims[pln_value_rank(sum) - 1]);
}

/* Only it is read: it goes. */
static bool is_inner(const embedding *e, const pln_value *v)
{
    return v == e->sum || (pln_value_is_single_use(v) && v->graph == e->sum->graph);
}

static bool add_lookup(embedding *e, const pln_value *v)
{
    const pln_node *n = v->def;
    if (!n || !pln_node_is(n, "Gather") || !is_inner(e, v) ||
        pln_node_get_int(n, "axis", 0) != 0 || pln_value_rank(n->in[0]) != 2 ||
        pln_value_rank(n->in[1]) < 0 || !is_table(n->in[0], e->sum))
        return false;
    e->of[e->n++] = (term){ n->in[0], n->in[1] };
    e->n_lookups++;
    return true;
}

/* The terms of v. false: there are too many, or one is of another kind. */
static bool add_terms(embedding *e, pln_value *v)
{
    const pln_node *n = v->def;
    if (n && pln_node_is(n, "Add") && is_inner(e, v))
        return add_terms(e, n->in[0]) && add_terms(e, n->in[1]);
    if (e->n == MOST_TERMS)
        return false;
    if (add_lookup(e, v))
        return true;
    if (v == e->sum || !is_table(v, e->sum))
        return false;
    e->of[e->n++] = (term){ v, NULL };
    return true;
}

/* planish.SkipLayerNormalization: two terms and perhaps a row. */
static bool read_skip(const pln_node *n, embedding *e)
{
    const uint32_t row = e->rms ? 3 : 4;
    e->sum = n->n_out > 1 && n->out[1] ? n->out[1] : n->out[0];
    e->scale = n->in[2];
    e->bias = !e->rms && n->n_in > 3 ? n->in[3] : NULL;
    if (pln_value_rank(e->sum) < 1 || !add_terms(e, n->in[0]) || !add_terms(e, n->in[1]))
        return false;
    return n->n_in <= row || !n->in[row] || add_terms(e, n->in[row]);
}

static bool read_norm(const pln_node *n, embedding *e)
{
    const int64_t axis = pln_node_get_int(n, "axis", -1);
    const int rank = pln_value_rank(n->in[0]);
    e->sum = n->in[0];
    e->scale = n->in[1];
    e->bias = n->n_in > 2 ? n->in[2] : NULL;
    return rank > 0 && (axis == -1 || axis == rank - 1) &&
           !pln_node_has_other_outputs(n) && e->sum->graph == n->graph &&
           add_terms(e, e->sum);
}

static bool is_row(const pln_value *v, const embedding *e)
{
    return !v || (pln_value_rank(v) == 1 && is_table(v, e->sum));
}

static pln_status build(pln_match *m, pln_patch *p)
{
    const pln_node *root = m->root;
    const bool skip = !strncmp(root->op_type, "Skip", 4);
    embedding e = { .rms = pln_node_is(root, "RMSNormalization") ||
                           !strcmp(root->op_type, "SkipSimplifiedLayerNormalization") };
    if (!(skip ? read_skip(root, &e) : read_norm(root, &e)) || !e.n_lookups)
        return pln_match_refuse(m, "not the sum of up to three, with rows of a table");
    if (e.sum->type.dtype != PLN_DT_F32 || !is_row(e.scale, &e) || !is_row(e.bias, &e))
        return pln_match_refuse(m, "not float, or scale or bias are of another length");
    pln_value *in[2 + 2 * MOST_TERMS] = { e.scale, e.bias };
    for (int i = 0; i < e.n; i++) {
        in[2 + 2 * i] = e.of[i].table;
        in[3 + 2 * i] = e.of[i].index;
    }
    const bool gives = skip ? e.sum != root->out[0] : !pln_value_is_single_use(e.sum);
    pln_node *n = pln_patch_add_in(p, "planish",
                                   e.rms ? "EmbedSimplifiedLayerNormalization"
                                         : "EmbedLayerNormalization",
                                   in, 2 + 2 * (uint32_t)e.n, gives ? 2 : 1);
    if (!n || pln_node_set_float(n, "epsilon",
                                 pln_node_get_float(root, "epsilon", 1e-5f)) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace_proven(p, root->out[0], n->out[0]);
    if (gives)
        pln_patch_replace_proven(p, e.sum, n->out[1]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "embed-norm",
      .match = "LayerNormalization|RMSNormalization|planish.SkipLayerNormalization"
               "|planish.SkipSimplifiedLayerNormalization(x, ...)",
      .build = build,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
};

const pln_pass pln_pass_fuse_embed = {
    .name = "fuse-embed",
    .brief = "rows of tables, added and normalized, as one node",
    PLN_RULES(rules),
};
