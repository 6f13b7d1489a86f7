/* Operator set versions: raising on reading, lowering on writing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/ir/op.h"

static int64_t opset_in(const pln_opset *opsets, size_t n, const char *domain)
{
    const char *d = pln_domain_normal(domain);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(pln_domain_normal(opsets[i].domain), d))
            return opsets[i].version;
    return 0;
}

/* The first change of the row that is newer than `version`. */
static const pln_version_change *next_change(const pln_op_desc *op, int64_t version)
{
    if (!op || !op->versions)
        return NULL;
    for (const pln_version_change *c = op->versions; c->since; c++)
        if (c->since > version)
            return c;
    return NULL;
}

static pln_status fail_at(const pln_node *n, pln_status st, pln_error *err)
{
    pln_error_set(err, "node", n->name);
    pln_error_set(err, "op", n->op_type);
    return st == PLN_E_NOMEM ? pln_oom(err) : st;
}

/* A standard operator in domain `planish` has its newest meaning. */
static bool is_versioned(const pln_node *n)
{
    return !n->op || *n->op->domain || strcmp(n->domain, "planish") != 0;
}

/* Versions of ai.onnx in which operators came, where it was not the first (facts of the
 * standard; the rows know only what changed in them). Sorted. */
typedef struct first_row {
    const char *name;
    int since;
} first_row;
static const first_row firsts[] = {
    { "Acos", 7 }, { "Acosh", 9 }, { "AffineGrid", 20 }, { "Asin", 7 }, { "Asinh", 9 },
    { "Atan", 7 }, { "Atanh", 9 }, { "Attention", 23 }, { "Bernoulli", 15 },
    { "BitCast", 26 }, { "BitShift", 11 }, { "BitwiseAnd", 18 }, { "BitwiseNot", 18 },
    { "BitwiseOr", 18 }, { "BitwiseXor", 18 }, { "BlackmanWindow", 17 },
    { "CastLike", 15 }, { "CausalConvWithState", 27 }, { "Celu", 12 },
    { "CenterCropPad", 18 }, { "Col2Im", 18 }, { "Compress", 9 },
    { "ConcatFromSequence", 11 }, { "ConstantOfShape", 9 }, { "ConvInteger", 10 },
    { "Cos", 7 }, { "Cosh", 9 }, { "CumProd", 26 }, { "CumSum", 11 }, { "DFT", 17 },
    { "DeformConv", 19 }, { "DequantizeLinear", 10 }, { "Det", 11 },
    { "DynamicQuantizeLinear", 11 }, { "Einsum", 12 }, { "Erf", 9 }, { "Expand", 8 },
    { "EyeLike", 9 }, { "GatherElements", 11 }, { "GatherND", 11 }, { "Gelu", 20 },
    { "GreaterOrEqual", 12 }, { "GridSample", 16 }, { "GroupNormalization", 21 },
    { "HammingWindow", 17 }, { "HannWindow", 17 }, { "HardSwish", 14 },
    { "ImageDecoder", 20 }, { "IsInf", 10 }, { "IsNaN", 9 },
    { "LayerNormalization", 17 }, { "LessOrEqual", 12 }, { "LinearAttention", 27 },
    { "MatMulInteger", 10 }, { "MaxUnpool", 9 }, { "MeanVarianceNormalization", 9 },
    { "MelWeightMatrix", 17 }, { "Mish", 18 }, { "Mod", 10 }, { "Multinomial", 7 },
    { "NegativeLogLikelihoodLoss", 12 }, { "NonMaxSuppression", 10 }, { "NonZero", 9 },
    { "OneHot", 9 }, { "Optional", 15 }, { "OptionalGetElement", 15 },
    { "OptionalHasElement", 15 }, { "QLinearConv", 10 }, { "QLinearMatMul", 10 },
    { "QuantizeLinear", 10 }, { "RMSNormalization", 23 }, { "Range", 11 },
    { "RegexFullMatch", 20 }, { "Resize", 10 }, { "ReverseSequence", 10 },
    { "RoiAlign", 10 }, { "RotaryEmbedding", 23 }, { "Round", 11 }, { "STFT", 17 },
    { "Scan", 8 }, { "Scatter", 9 }, { "ScatterElements", 11 }, { "ScatterND", 11 },
    { "SequenceAt", 11 }, { "SequenceConstruct", 11 }, { "SequenceEmpty", 11 },
    { "SequenceErase", 11 }, { "SequenceInsert", 11 }, { "SequenceLength", 11 },
    { "SequenceMap", 17 }, { "Shrink", 9 }, { "Sign", 9 }, { "Sin", 7 }, { "Sinh", 9 },
    { "SoftmaxCrossEntropyLoss", 12 }, { "SplitToSequence", 11 },
    { "StringConcat", 20 }, { "StringNormalizer", 10 }, { "StringSplit", 20 },
    { "SwiGLU", 28 }, { "Swish", 24 }, { "Tan", 7 }, { "TensorScatter", 24 },
    { "TfIdfVectorizer", 9 }, { "ThresholdedRelu", 10 }, { "Trilu", 14 },
    { "Unique", 11 }, { "Where", 9 },
};

static int compare_first(const void *key, const void *row)
{
    return strcmp(key, ((const first_row *)row)->name);
}

int pln_op_first_version(const char *name)
{
    const first_row *row = bsearch(name, firsts, sizeof firsts / sizeof *firsts,
                                   sizeof *firsts, compare_first);
    return row ? row->since : 1;
}

static int first_version(const pln_node *n)
{
    if (!is_versioned(n))
        return 1;
    if (*n->domain)
        return n->op && !strcmp(n->op_type, "TreeEnsemble") ? n->op->since : 1;
    return pln_op_first_version(n->op_type);
}

/* ---- raising ----------------------------------------------------------------------- */

static pln_origin *remember(pln_node *n, pln_value ***old_in)
{
    pln_arena *arena = n->graph->model->arena;
    pln_origin *o = PLN_NEW(arena, pln_origin);
    *old_in = PLN_NEW_ARRAY(arena, pln_value *, n->n_in);
    if (!o || !*old_in)
        return NULL;
    memcpy(*old_in, n->in, n->n_in * sizeof *n->in);
    o->op_type = n->op_type;
    o->attrs = n->attrs;
    o->n_attrs = n->n_attrs;
    o->n_in = n->n_in;
    o->n_out = n->n_out;
    return o;
}

/* The slot of a file's input after raising: the same one if it is still there. */
static uint32_t slot_of(const pln_node *n, const pln_value *v, uint32_t was)
{
    if (was < n->n_in && n->in[was] == v)
        return was;
    for (uint32_t j = 0; j < n->n_in; j++)
        if (n->in[j] == v)
            return j;
    return UINT32_MAX;
}

static pln_status map_inputs(pln_node *n, pln_origin *o, pln_value *const *old_in)
{
    pln_arena *arena = n->graph->model->arena;
    uint32_t *at = PLN_NEW_ARRAY(arena, uint32_t, o->n_in);
    pln_value **in = PLN_NEW_ARRAY(arena, pln_value *, n->n_in);
    if (!at || !in)
        return PLN_E_NOMEM;
    memcpy(in, n->in, n->n_in * sizeof *in);
    o->in_at = at;
    for (uint32_t i = 0; i < o->n_in; i++) {
        at[i] = old_in[i] ? slot_of(n, old_in[i], i) : UINT32_MAX;
        if (old_in[i] && at[i] == UINT32_MAX)
            o->in_at = NULL;
    }
    o->raised_in = in;
    o->n_raised_in = n->n_in;
    o->raised_type = n->op_type;
    o->raised_attrs = (const pln_attr *const *)n->attrs;
    n->origin = o;
    return PLN_OK;
}

/* Attributes of a function's node that stand for the function's own have no values yet:
 * such a node is raised when the function is inlined. */
static bool has_references(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i]->ref)
            return true;
    return false;
}

pln_status pln_node_raise(pln_node *n, int64_t version, pln_error *err)
{
    const pln_version_change *c = next_change(n->op, version);
    if (has_references(n) || !is_versioned(n))
        return PLN_OK;
    /* What is not in its operator set (a mistake of the file's) is written back, too. */
    if (!n->op || (!c && first_version(n) <= version))
        return PLN_OK;
    pln_value **old_in;
    pln_origin *o = remember(n, &old_in);
    if (!o)
        return pln_oom(err);
    for (; c; c = next_change(n->op, version)) {
        version = c->since;
        const pln_status st = c->raise ? c->raise(n, err) : PLN_OK;
        if (st != PLN_OK)
            return fail_at(n, st, err);
    }
    n->typed = NULL;
    return map_inputs(n, o, old_in) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* ---- graphs ------------------------------------------------------------------------ */

typedef struct job {
    const pln_opset *opsets;
    size_t n_opsets;
    pln_error *err;
} job;

/* The version of a node's domain; 0: not imported, so that nothing can be said. */
static int64_t version_of(const job *j, const pln_node *n)
{
    if (j->n_opsets == 0) /* files from before there were operator sets */
        return *n->domain ? 0 : 1;
    return opset_in(j->opsets, j->n_opsets, n->domain);
}

static pln_status raise_nodes(pln_graph *g, void *user)
{
    const job *j = user;
    for (pln_node *n = g->first; n; n = n->next) {
        const int64_t version = version_of(j, n);
        if (version > 0 && !n->origin)
            PLN_TRY(pln_node_raise(n, version, j->err));
    }
    return PLN_OK;
}

pln_status pln_model_raise(pln_model *model, pln_error *err)
{
    job j = { model->opsets, model->n_opsets, err };
    PLN_TRY(pln_graph_walk(model->graph, raise_nodes, &j));
    for (size_t i = 0; i < model->n_functions; i++) {
        j.opsets = model->functions[i]->opsets;
        j.n_opsets = model->functions[i]->n_opsets;
        PLN_TRY(pln_graph_walk(model->functions[i]->body, raise_nodes, &j));
    }
    return PLN_OK;
}

static bool is_from_file(const pln_origin *o, uint32_t slot)
{
    for (uint32_t i = 0; i < o->n_in; i++)
        if (o->in_at[i] == slot)
            return true;
    return false;
}

bool pln_value_is_raised(const pln_value *v)
{
    if (v->kind != PLN_VALUE_INITIALIZER || !v->uses)
        return false;
    for (const pln_use *u = v->uses; u; u = u->next)
        if (!u->node || !u->node->origin || !pln_node_is_as_read(u->node) ||
            is_from_file(u->node->origin, u->slot))
            return false;
    return true;
}

/* ---- lowering ---------------------------------------------------------------------- */

static bool same_contents(pln_value *a, pln_value *b)
{
    if (a == b)
        return true;
    return pln_value_is_const(a) && pln_value_is_const(b) &&
           pln_tensor_materialize(a->cst, NULL) == PLN_OK &&
           pln_tensor_materialize(b->cst, NULL) == PLN_OK &&
           pln_tensor_same(a->cst, b->cst);
}

bool pln_node_is_as_read(const pln_node *n)
{
    const pln_origin *o = n->origin;
    if (!o || !o->in_at || n->op_type != o->raised_type || n->n_out != o->n_out ||
        (const pln_attr *const *)n->attrs != o->raised_attrs)
        return false;
    for (uint32_t j = o->n_raised_in; j < n->n_in; j++)
        if (n->in[j])
            return false;
    for (uint32_t j = 0; j < o->n_raised_in; j++) {
        pln_value *now = j < n->n_in ? n->in[j] : NULL;
        if (!is_from_file(o, j) && !same_contents(now, o->raised_in[j]))
            return false;
    }
    return true;
}

static const pln_version_change *last_change(const pln_op_desc *op, int64_t after,
                                             int64_t before)
{
    const pln_version_change *found = NULL;
    if (!op || !op->versions)
        return NULL;
    for (const pln_version_change *c = op->versions; c->since; c++)
        if (c->since > after && c->since < before)
            found = c;
    return found;
}

bool pln_node_needs_lowering(const pln_node *n, int64_t version)
{
    if (!n->op || version <= 0 || !is_versioned(n) || pln_node_is_as_read(n) ||
        has_references(n))
        return false;
    return n->origin || last_change(n->op, version, INT64_MAX) ||
           first_version(n) > version;
}

static pln_status refuse(const pln_node *n, int64_t version, pln_error *err)
{
    char where[256];
    return fail_at(n,
                   pln_fail(err, PLN_E_UNSUPPORTED,
                            "%s: the operator is not in version %lld of its set",
                            pln_node_where(n, where, sizeof where), (long long)version),
                   err);
}

/* Attributes stand in the order that they had in the file; new ones come last. */
static void order_attrs(pln_node *n, const pln_origin *o)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < o->n_attrs; i++)
        for (uint32_t k = at; k < n->n_attrs; k++) {
            if (strcmp(n->attrs[k]->name, o->attrs[i]->name) != 0)
                continue;
            pln_attr *a = n->attrs[k];
            memmove(&n->attrs[at + 1], &n->attrs[at], (k - at) * sizeof *n->attrs);
            n->attrs[at++] = a;
            break;
        }
}

pln_status pln_node_lower(pln_node *n, int64_t version, pln_error *err)
{
    int64_t at = INT64_MAX;
    const pln_version_change *c;
    while ((c = last_change(n->op, version, at))) {
        at = c->since;
        const pln_status st = c->lower ? c->lower(n, err) : PLN_OK;
        if (st != PLN_OK)
            return fail_at(n, st, err);
    }
    if (n->origin)
        order_attrs(n, n->origin);
    n->typed = NULL;
    n->origin = NULL;
    if (n->op &&
        (first_version(n) > version || (n->op->until && n->op->until <= version)))
        return refuse(n, version, err);
    return PLN_OK;
}

pln_node *pln_node_trial(pln_node *n)
{
    pln_node *copy = pln_graph_add_node(n->graph, n, n->domain, n->op_type, n->name,
                                        n->in, n->n_in, n->n_out);
    for (uint32_t i = 0; copy && i < n->n_out; i++)
        if (n->out[i])
            copy->out[i]->type = n->out[i]->type;
    if (copy) {
        copy->attrs = n->attrs;
        copy->n_attrs = n->n_attrs;
    }
    return copy;
}

void pln_trial_remove(pln_graph *g, pln_node *after, pln_node *before, pln_value *last)
{
    while (before->prev != after)
        pln_graph_remove_node(before->prev);
    for (pln_value *v = last ? last->next : g->values, *next; v; v = next) {
        next = v->next;
        if (!v->uses && v->kind == PLN_VALUE_INITIALIZER)
            pln_graph_remove_value(v);
    }
}

pln_status pln_node_try_lowering(pln_node *n, int64_t version, pln_error *why)
{
    pln_node *prev = n->prev;
    pln_value *last = n->graph->last_value;
    pln_node *copy = pln_node_trial(n);
    const pln_status st = copy ? pln_node_lower(copy, version, why) : pln_oom(why);
    pln_trial_remove(n->graph, prev, n, last);
    return st;
}

static bool is_local_function(const pln_node *n)
{
    return !n->op && pln_model_find_function(n->graph->model, n->domain, n->op_type,
                                             n->overload);
}

static pln_status lower_nodes(pln_graph *g, void *user)
{
    const job *j = user;
    for (pln_node *n = g->first; n; n = n->next) {
        const int64_t version = version_of(j, n);
        if (version > 0 && n->op && !is_local_function(n) &&
            pln_node_needs_lowering(n, version))
            PLN_TRY(pln_node_lower(n, version, j->err));
    }
    return PLN_OK;
}

pln_status pln_model_lower(pln_model *model, pln_error *err)
{
    job j = { model->opsets, model->n_opsets, err };
    PLN_TRY(pln_graph_walk(model->graph, lower_nodes, &j));
    for (size_t i = 0; i < model->n_functions; i++) {
        j.opsets = model->functions[i]->opsets;
        j.n_opsets = model->functions[i]->n_opsets;
        PLN_TRY(pln_graph_walk(model->functions[i]->body, lower_nodes, &j));
    }
    return PLN_OK;
}

bool pln_node_changes_between(const pln_node *n, int64_t from, int64_t to)
{
    const int64_t low = from < to ? from : to, high = from < to ? to : from;
    return last_change(n->op, low, high < INT64_MAX ? high + 1 : high) != NULL;
}

bool pln_node_is_in_set(const pln_node *n, int64_t version)
{
    return first_version(n) <= version &&
           !(n->op && n->op->until && n->op->until <= version);
}
