/* Operator set versions: raising on reading, lowering on writing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/version.h"

#include <stdio.h>
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

/* ---- raising -------------------------------------------------------------------------------- */

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

pln_status pln_node_raise(pln_node *n, int64_t version, pln_error *err)
{
    const pln_version_change *c = next_change(n->op, version);
    if (!c)
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

/* ---- graphs --------------------------------------------------------------------------------- */

typedef struct job {
    const pln_opset *opsets;
    size_t n_opsets;
    int64_t to; /* lowering ai.onnx to this version; 0: to the opsets */
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
    job j = { model->opsets, model->n_opsets, 0, err };
    PLN_TRY(pln_graph_walk(model->graph, raise_nodes, &j));
    for (size_t i = 0; i < model->n_functions; i++) {
        j.opsets = model->functions[i]->opsets;
        j.n_opsets = model->functions[i]->n_opsets;
        PLN_TRY(pln_graph_walk(model->functions[i]->body, raise_nodes, &j));
    }
    return PLN_OK;
}

/* ---- lowering ------------------------------------------------------------------------------- */

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
        bool from_file = false;
        for (uint32_t i = 0; i < o->n_in && !from_file; i++)
            from_file = o->in_at[i] == j;
        pln_value *now = j < n->n_in ? n->in[j] : NULL;
        if (!from_file && !same_contents(now, o->raised_in[j]))
            return false;
    }
    return true;
}

/* Versions in which operators came, where it was not the first (facts of the standard; the
 * rows know only what changed in them). */
static const struct {
    int since;
    const char *domain, *names;
} firsts[] = {
    { 7, "", " Acos Asin Atan Cos Multinomial Sin Tan " },
    { 8, "", " Expand Scan " },
    { 9, "",
      " Acosh Asinh Atanh Compress ConstantOfShape Cosh Erf EyeLike IsNaN MaxUnpool "
      "MeanVarianceNormalization NonZero OneHot Scatter Shrink Sign Sinh TfIdfVectorizer "
      "Where " },
    { 10, "",
      " ConvInteger DequantizeLinear IsInf MatMulInteger Mod NonMaxSuppression QLinearConv "
      "QLinearMatMul QuantizeLinear Resize ReverseSequence RoiAlign StringNormalizer "
      "ThresholdedRelu " },
    { 11, "",
      " BitShift ConcatFromSequence CumSum Det DynamicQuantizeLinear GatherElements "
      "GatherND Range Round ScatterElements ScatterND SequenceAt SequenceConstruct "
      "SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence Unique " },
    { 12, "",
      " Celu Einsum GreaterOrEqual LessOrEqual NegativeLogLikelihoodLoss "
      "SoftmaxCrossEntropyLoss " },
    { 14, "", " HardSwish Trilu " },
    { 15, "", " Bernoulli CastLike Optional OptionalGetElement OptionalHasElement " },
    { 16, "", " GridSample " },
    { 17, "",
      " BlackmanWindow DFT HammingWindow HannWindow LayerNormalization MelWeightMatrix STFT "
      "SequenceMap " },
    { 18, "",
      " BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im GroupNormalization "
      "Mish " },
    { 19, "", " DeformConv " },
    { 20, "", " AffineGrid Gelu ImageDecoder RegexFullMatch StringConcat StringSplit " },
    { 23, "", " Attention RMSNormalization RotaryEmbedding " },
    { 24, "", " Swish TensorScatter " },
    { 26, "", " BitCast CumProd " },
    { 27, "", " CausalConvWithState LinearAttention " },
    { 28, "", " SwiGLU " },
    { 5, "ai.onnx.ml", " TreeEnsemble " },
};

static int first_version(const pln_node *n)
{
    char word[128];
    snprintf(word, sizeof word, " %.100s ", n->op_type);
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        if (!strcmp(firsts[i].domain, n->domain) && strstr(firsts[i].names, word))
            return firsts[i].since;
    return 1;
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

static pln_status refuse(const pln_node *n, int64_t version, pln_error *err)
{
    char where[256];
    return fail_at(n, pln_fail(err, PLN_E_UNSUPPORTED,
                               "%s: the operator is not in version %lld of its set",
                               pln_node_where(n, where, sizeof where), (long long)version),
                   err);
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
    n->typed = NULL;
    n->origin = NULL;
    if (n->op && (first_version(n) > version || (n->op->until && n->op->until <= version)))
        return refuse(n, version, err);
    return PLN_OK;
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
        const bool all = j->to && !*n->domain;
        const int64_t version = all ? j->to : version_of(j, n);
        if (version <= 0 || !n->op || is_local_function(n))
            continue;
        if (all || !pln_node_is_as_read(n))
            PLN_TRY(pln_node_lower(n, version, j->err));
    }
    return PLN_OK;
}

static pln_status set_function_opset(pln_function *f, int64_t version)
{
    for (size_t i = 0; i < f->n_opsets; i++)
        if (!*pln_domain_normal(f->opsets[i].domain))
            f->opsets[i].version = version;
    return PLN_OK;
}

pln_status pln_model_lower(pln_model *model, int64_t version, pln_error *err)
{
    job j = { model->opsets, model->n_opsets, version, err };
    PLN_TRY(pln_graph_walk(model->graph, lower_nodes, &j));
    for (size_t i = 0; i < model->n_functions; i++) {
        pln_function *f = model->functions[i];
        j.opsets = f->opsets;
        j.n_opsets = f->n_opsets;
        PLN_TRY(pln_graph_walk(f->body, lower_nodes, &j));
        if (version)
            PLN_TRY(set_function_opset(f, version));
    }
    if (version && pln_model_set_opset(model, "", version) != PLN_OK)
        return pln_oom(err);
    return PLN_OK;
}
