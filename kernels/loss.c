/* Losses: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/type_sets.h"
#include "src/ir/op.h"
#include "src/util/size.h"

#include <math.h>

enum { REDUCE_NONE, REDUCE_MEAN, REDUCE_SUM };

typedef struct loss_attrs {
    int64_t ignore_index;
    bool has_ignore;
    int reduction;
} loss_attrs;

static const pln_attr_spec spec[] = {
    { .name = "ignore_index",
      .type = PLN_ATTR_INT,
      .offset = offsetof(loss_attrs, ignore_index),
      .has_offset = offsetof(loss_attrs, has_ignore) },
    PLN_A_ENUM(loss_attrs, reduction, "none|mean|sum", "mean"),
    PLN_A_END,
};

/* Batch, classes, positions; the labels have one element for each batch and position. */
static pln_status find_axis(const pln_call *c, pln_axis *a, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    if (x->rank < 2)
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 has rank %d, want at least 2",
                             x->rank);
    *a = pln_axis_of(x, 1, 2);
    if (pln_tensor_size(c->in[1]) != a->outer * a->inner)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld labels for %lld places",
                             (long long)pln_tensor_size(c->in[1]),
                             (long long)(a->outer * a->inner));
    if (pln_call_has(c, 2) && pln_tensor_size(c->in[2]) != a->n)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld weights for %lld classes",
                             (long long)pln_tensor_size(c->in[2]), (long long)a->n);
    return PLN_OK;
}

typedef struct total {
    double loss, weight;
} total;

/* Place p, whose likelihoods are v; `log`: they are scores, to become logarithms. */
static pln_status one_place(pln_call *c, const pln_axis *a, int64_t p, double *v,
                            bool log_softmax, total *t, pln_error *err)
{
    const loss_attrs *at = (const loss_attrs *)c->attrs;
    const int64_t label = pln_tensor_get_i64(c->in[1], p);
    const int64_t from = p / a->inner * a->n * a->inner + p % a->inner;
    const bool ignored = at->has_ignore && label == at->ignore_index;
    if (!ignored && (label < 0 || label >= a->n))
        return pln_call_fail(c, err, PLN_E_RUN, "label %lld of %lld classes",
                             (long long)label, (long long)a->n);
    pln_block_load(PLN_DT_F64, v, c->in[0], from, a->inner, a->n);
    if (log_softmax) {
        double max = -INFINITY, sum = 0;
        for (int64_t i = 0; i < a->n; i++)
            max = v[i] > max || v[i] != v[i] ? v[i] : max;
        for (int64_t i = 0; i < a->n; i++)
            sum += exp(v[i] - max);
        for (int64_t i = 0; i < a->n; i++)
            v[i] -= max + log(sum);
        if (pln_call_wants(c, 1))
            pln_block_store(c->out[1], from, a->inner, PLN_DT_F64, v, a->n);
    }
    const double w = ignored              ? 0
                     : pln_call_has(c, 2) ? pln_tensor_get_f64(c->in[2], label)
                                          : 1;
    const double loss = ignored ? 0 : -v[label] * w;
    t->loss += loss;
    t->weight += w;
    if (at->reduction == REDUCE_NONE && pln_call_wants(c, 0))
        pln_block_store(c->out[0], p, 1, PLN_DT_F64, &loss, 1);
    return PLN_OK;
}

static pln_status run(pln_call *c, bool log_softmax, pln_error *err)
{
    const loss_attrs *at = (const loss_attrs *)c->attrs;
    pln_axis a = { 0 };
    size_t bytes;
    total t = { 0, 0 };
    PLN_TRY(find_axis(c, &a, err));
    double *v = pln_size_mul(&bytes, (size_t)a.n, sizeof *v)
                    ? (double *)pln_call_scratch(c, bytes)
                    : NULL;
    if (!v)
        return pln_oom(err);
    for (int64_t p = 0; p < a.outer * a.inner; p++)
        PLN_TRY(one_place(c, &a, p, v, log_softmax, &t, err));
    if (at->reduction == REDUCE_MEAN)
        t.loss /= t.weight;
    if (at->reduction != REDUCE_NONE && pln_call_wants(c, 0))
        pln_block_store(c->out[0], 0, 1, PLN_DT_F64, &t.loss, 1);
    return PLN_OK;
}

static pln_status nll_ref(pln_call *c, pln_error *err)
{
    return run(c, false, err);
}

static pln_status sce_ref(pln_call *c, pln_error *err)
{
    return run(c, true, err);
}

static pln_status infer(pln_infer *inf, pln_error *err)
{
    const loss_attrs *a = (const loss_attrs *)inf->attrs;
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    (void)err;
    if (a->reduction != REDUCE_NONE)
        pln_infer_set(inf, 0, dt, pln_infer_shape(inf, 0));
    else
        pln_infer_set(inf, 0, dt,
                      pln_infer_has(inf, 1) ? inf->in[1]->shape : pln_shape_unknown());
    if (inf->n_out > 1 && pln_infer_has(inf, 0))
        pln_infer_set(inf, 1, dt, inf->in[0]->shape);
    return PLN_OK;
}

#define TYPES "T:" PLN_TS_FLOAT ";I:int32,int64"

const pln_op_desc pln_ops_loss[] = {
    { .name = "NegativeLogLikelihoodLoss",
      .expand = pln_expand_loss,
      .domain = "",
      .since = 22,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .types = TYPES,
      .sig = "T,I,T?->T",
      .attrs = spec,
      .attrs_size = sizeof(loss_attrs),
      .infer = infer,
      .ref = nll_ref },
    { .name = "SoftmaxCrossEntropyLoss",
      .expand = pln_expand_loss,
      .domain = "",
      .since = 13,
      .in = { 2, 3 },
      .out = { 1, 2 },
      .types = TYPES,
      .sig = "T,I,T?->T,T?",
      .attrs = spec,
      .attrs_size = sizeof(loss_attrs),
      .infer = infer,
      .ref = sce_ref },
    { .name = NULL },
};
