/* Normalizations with statistics of the input: batch, instance, layer, group, RMS.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"
#include "kernels/norm.h"

#include "kernels/bcast.h"
#include "kernels/block.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "src/util/size.h"

#include <math.h>

static const pln_attr_spec layer_spec[] = {
    PLN_A_INT(pln_norm_attrs, axis, -1),
    PLN_A_FLOAT(pln_norm_attrs, epsilon, 1e-5f),
    PLN_A_INT(pln_norm_attrs, stash_type, 1),
    PLN_A_END,
};
static const pln_attr_spec group_spec[] = {
    { .name = "num_groups",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(pln_norm_attrs, num_groups) },
    PLN_A_FLOAT(pln_norm_attrs, epsilon, 1e-5f),
    PLN_A_INT(pln_norm_attrs, stash_type, 1),
    PLN_A_END,
};
static const pln_attr_spec instance_spec[] = {
    PLN_A_FLOAT(pln_norm_attrs, epsilon, 1e-5f),
    PLN_A_END,
};
static const pln_attr_spec batch_spec[] = {
    PLN_A_FLOAT(pln_norm_attrs, epsilon, 1e-5f),
    PLN_A_FLOAT(pln_norm_attrs, momentum, 0.9f),
    PLN_A_INT(pln_norm_attrs, training_mode, 0),
    PLN_A_END,
};

double *pln_norm_scratch(pln_call *c, int64_t n, int vectors, pln_error *err)
{
    size_t bytes;
    double *p = NULL;
    if (pln_size_mul(&bytes, (size_t)n, sizeof(double) * (size_t)vectors))
        p = (double *)pln_call_scratch(c, bytes);
    if (!p)
        pln_oom(err);
    return p;
}

static void moments(const double *v, int64_t n, double *mean, double *var)
{
    double m = 0, s = 0;
    for (int64_t i = 0; i < n; i++)
        m += v[i];
    m /= (double)n;
    for (int64_t i = 0; i < n; i++)
        s += (v[i] - m) * (v[i] - m);
    *mean = m;
    *var = s / (double)n;
}

/* ---- LayerNormalization, RMSNormalization ------------------------------------------ */

/* Elements of t (which broadcasts to x) that meet row `o` of the axes from `axis` on. */
static pln_status load_row(const pln_call *c, const pln_tensor *t, const pln_tensor *x,
                           int axis, int64_t o, double *v, pln_error *err)
{
    int64_t stride[PLN_MAX_RANK];
    const pln_axis a = pln_axis_of(x, axis, x->rank);
    if (!pln_bcast_strides(t, x->rank, x->dims, stride))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the scale or bias does not broadcast to x");
    for (int64_t i = 0; i < a.n; i++) {
        int64_t rest = o * a.n + i, at = 0;
        for (int d = x->rank - 1; d >= 0; d--) {
            at += rest % x->dims[d] * stride[d];
            rest /= x->dims[d];
        }
        pln_block_load(PLN_DT_F64, &v[i], t, at, 1, 1);
    }
    return PLN_OK;
}

static bool varies_outside(const pln_tensor *t, const pln_tensor *x, int axis)
{
    for (int d = 0; d < t->rank; d++)
        if (t->dims[d] != 1 && d + x->rank - t->rank < axis)
            return true;
    return false;
}

/* Directly: by way of the variance one infinity would spoil the whole row. */
static double mean_square(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    return sum / (double)n;
}

static pln_status norm_rows(pln_call *c, bool rms, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    const pln_tensor *x = c->in[0], *bias = pln_call_has(c, 2) ? c->in[2] : NULL;
    int axis = 0;
    if (x->rank > 0 && !pln_axis_normal(at->axis, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                             (long long)at->axis, x->rank);
    const pln_axis a = pln_axis_of(x, axis, x->rank);
    double *v = pln_norm_scratch(c, a.n, 3, err), *g = v + a.n, *b = g + a.n;
    if (!v)
        return PLN_E_NOMEM;
    for (int64_t o = 0; o < a.outer; o++) {
        double mean = 0, var;
        if (o == 0 || varies_outside(c->in[1], x, axis))
            PLN_TRY(load_row(c, c->in[1], x, axis, o, g, err));
        if (bias && (o == 0 || varies_outside(bias, x, axis)))
            PLN_TRY(load_row(c, bias, x, axis, o, b, err));
        pln_block_load(PLN_DT_F64, v, x, o * a.n, 1, a.n);
        if (rms)
            var = mean_square(v, a.n);
        else
            moments(v, a.n, &mean, &var);
        const double inv = 1 / sqrt(var + at->epsilon);
        for (int64_t i = 0; i < a.n; i++)
            v[i] = (v[i] - mean) * inv * g[i] + (bias ? b[i] : 0);
        if (pln_call_wants(c, 0))
            pln_block_store(c->out[0], o * a.n, 1, PLN_DT_F64, v, a.n);
        if (!rms && pln_call_wants(c, 1))
            pln_block_store(c->out[1], o, 1, PLN_DT_F64, &mean, 1);
        if (pln_call_wants(c, PLN_NORM_INV(rms)))
            pln_block_store(c->out[PLN_NORM_INV(rms)], o, 1, PLN_DT_F64, &inv, 1);
    }
    return PLN_OK;
}

static pln_status LayerNormalization_ref(pln_call *c, pln_error *err)
{
    return norm_rows(c, false, err);
}

static pln_status RMSNormalization_ref(pln_call *c, pln_error *err)
{
    return norm_rows(c, true, err);
}

static pln_status layer_infer(pln_infer *inf, pln_error *err)
{
    const pln_norm_attrs *a = (const pln_norm_attrs *)inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    PLN_TRY(pln_infer_same(inf, err));
    if (!pln_block_can((pln_dtype)a->stash_type))
        return pln_infer_fail(inf, err, "stash_type is %lld", (long long)a->stash_type);
    pln_shape s = pln_shape_unknown();
    int axis = 0;
    if (rank != PLN_RANK_UNKNOWN) {
        if (rank > 0)
            PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
        s = pln_infer_shape(inf, rank);
        for (int i = 0; i < s.rank; i++)
            s.dims[i] = i < axis ? pln_infer_dim(inf, 0, i) : pln_dim_of(1);
    }
    for (uint32_t o = 1; o < inf->n_out && o < 3; o++)
        pln_infer_set(inf, o, (pln_dtype)a->stash_type, s);
    return PLN_OK;
}

static pln_status rms_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    if (pln_infer_dtype(inf, 1) != PLN_DT_NONE)
        inf->out[0].dtype = pln_infer_dtype(inf, 1);
    return PLN_OK;
}

/* SimplifiedLayerNormalization: an RMSNormalization that may tell 1 / rms, too. */
static pln_status simplified_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(layer_infer(inf, err));
    if (pln_infer_dtype(inf, 1) != PLN_DT_NONE)
        inf->out[0].dtype = pln_infer_dtype(inf, 1);
    return PLN_OK;
}

/* ---- InstanceNormalization, GroupNormalization ------------------------------------- */

static pln_status check_channels(const pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    if (x->rank < 2)
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 has rank %d, want at least 2",
                             x->rank);
    return PLN_OK;
}

static pln_status check_vector(const pln_call *c, uint32_t i, int64_t n, pln_error *err)
{
    if (pln_tensor_size(c->in[i]) != n)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u has %lld elements, want %lld",
                             i, (long long)pln_tensor_size(c->in[i]), (long long)n);
    return PLN_OK;
}

/* `groups` of neighbouring channels share their statistics. Before version 21 a group
 * norm had one scale for each group, which its length tells. */
static pln_status norm_groups(pln_call *c, int64_t groups, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    const int64_t channels = x->dims[1];
    const pln_axis a = pln_axis_of(x, 1, 2);
    if (groups < 1 || channels % groups)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld channels in %lld groups",
                             (long long)channels, (long long)groups);
    const int64_t params = pln_tensor_size(c->in[1]) == groups ? groups : channels;
    PLN_TRY(check_vector(c, 1, params, err));
    PLN_TRY(check_vector(c, 2, params, err));
    const int64_t each = channels / groups, n = each * a.inner;
    double *v = pln_norm_scratch(c, n, 1, err);
    if (!v)
        return PLN_E_NOMEM;
    for (int64_t r = 0; n && r < a.outer * groups; r++) {
        double mean, var;
        pln_block_load(PLN_DT_F64, v, x, r * n, 1, n);
        moments(v, n, &mean, &var);
        const double inv = 1 / sqrt(var + at->epsilon);
        for (int64_t ch = 0; ch < each; ch++) {
            const int64_t p = params == channels ? r % groups * each + ch : r % groups;
            const double g = pln_tensor_get_f64(c->in[1], p);
            const double b = pln_tensor_get_f64(c->in[2], p);
            for (int64_t i = ch * a.inner; i < (ch + 1) * a.inner; i++)
                v[i] = (v[i] - mean) * inv * g + b;
        }
        pln_block_store(c->out[0], r * n, 1, PLN_DT_F64, v, n);
    }
    return PLN_OK;
}

static pln_status InstanceNormalization_ref(pln_call *c, pln_error *err)
{
    PLN_TRY(check_channels(c, err));
    return norm_groups(c, c->in[0]->dims[1] ? c->in[0]->dims[1] : 1, err);
}

static pln_status GroupNormalization_ref(pln_call *c, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    PLN_TRY(check_channels(c, err));
    return norm_groups(c, at->num_groups, err);
}

/* ---- BatchNormalization ------------------------------------------------------------ */

static pln_status batch_moments(pln_call *c, int64_t ch, const pln_axis *a, double *v,
                                double *mean, double *var)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    *mean = pln_tensor_get_f64(c->in[3], ch);
    *var = pln_tensor_get_f64(c->in[4], ch);
    if (!at->training_mode)
        return PLN_OK;
    double m = 0, s = 0;
    const double n = (double)(a->outer * a->inner);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t o = 0; o < a->outer; o++) {
            pln_block_load(PLN_DT_F64, v, c->in[0], (o * a->n + ch) * a->inner, 1,
                           a->inner);
            for (int64_t i = 0; i < a->inner; i++)
                *(pass ? &s : &m) += pass ? (v[i] - m / n) * (v[i] - m / n) : v[i];
        }
    m /= n;
    s /= n;
    const double keep = at->momentum;
    if (pln_call_wants(c, 1))
        pln_tensor_set_f64(c->out[1], ch, *mean * keep + m * (1 - keep));
    if (pln_call_wants(c, 2))
        pln_tensor_set_f64(c->out[2], ch, *var * keep + s * (1 - keep));
    *mean = m;
    *var = s;
    return PLN_OK;
}

pln_axis pln_batch_norm_axis(const pln_tensor *x)
{
    if (x->rank < 2) /* one channel */
        return (pln_axis){ pln_tensor_size(x), 1, 1 };
    return pln_axis_of(x, 1, 2);
}

pln_status pln_batch_norm_check(const pln_call *c, pln_error *err)
{
    const pln_axis a = pln_batch_norm_axis(c->in[0]);
    for (uint32_t i = 1; i < 5; i++)
        PLN_TRY(check_vector(c, i, a.n, err));
    return PLN_OK;
}

static pln_status BatchNormalization_ref(pln_call *c, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    const pln_axis a = pln_batch_norm_axis(c->in[0]);
    PLN_TRY(pln_batch_norm_check(c, err));
    double *v = pln_norm_scratch(c, a.inner, 1, err);
    if (!v)
        return PLN_E_NOMEM;
    for (int64_t ch = 0; ch < a.n; ch++) {
        double mean, var;
        PLN_TRY(batch_moments(c, ch, &a, v, &mean, &var));
        const double g = pln_tensor_get_f64(c->in[1], ch) / sqrt(var + at->epsilon);
        const double b = pln_tensor_get_f64(c->in[2], ch);
        for (int64_t o = 0; o < a.outer; o++) {
            const int64_t p = (o * a.n + ch) * a.inner;
            pln_block_load(PLN_DT_F64, v, c->in[0], p, 1, a.inner);
            for (int64_t i = 0; i < a.inner; i++)
                v[i] = (v[i] - mean) * g + b;
            pln_block_store(c->out[0], p, 1, PLN_DT_F64, v, a.inner);
        }
    }
    return PLN_OK;
}

/* Before version 9 every element of an image could have a scale of its own. */
static pln_status batch_each_ref(pln_call *c, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    const pln_axis a = pln_axis_of(x, x->rank ? 1 : 0, x->rank);
    for (uint32_t i = 1; i < 5; i++)
        if (pln_tensor_size(c->in[i]) != a.n)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "input %u has %lld elements, not %lld", i,
                                 (long long)pln_tensor_size(c->in[i]), (long long)a.n);
    double *v = pln_norm_scratch(c, a.n, 5, err);
    if (!v)
        return PLN_E_NOMEM;
    for (uint32_t i = 1; i < 5; i++)
        pln_block_load(PLN_DT_F64, v + i * a.n, c->in[i], 0, 1, a.n);
    const double *scale = v + a.n, *bias = scale + a.n, *mean = bias + a.n,
                 *var = mean + a.n;
    for (int64_t o = 0; o < a.outer; o++) {
        pln_block_load(PLN_DT_F64, v, x, o * a.n, 1, a.n);
        for (int64_t i = 0; i < a.n; i++)
            v[i] = (v[i] - mean[i]) / sqrt(var[i] + at->epsilon) * scale[i] + bias[i];
        pln_block_store(c->out[0], o * a.n, 1, PLN_DT_F64, v, a.n);
    }
    return PLN_OK;
}

static pln_status batch_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    for (uint32_t o = 1; o < inf->n_out && o < 3; o++)
        if (pln_infer_has(inf, o + 2))
            pln_infer_set(inf, o, inf->in[o + 2]->dtype, inf->in[o + 2]->shape);
    return PLN_OK;
}

static pln_status batch_raise_7(pln_node *n, pln_error *err)
{
    const pln_attr *test = pln_node_find_attr(n, "is_test");
    (void)err;
    const bool training = (!test || !test->i) && n->n_out > 1;
    pln_node_drop_attr(n, "is_test");
    pln_node_drop_attr(n, "consumed_inputs");
    return training ? pln_node_set_int(n, "training_mode", 1) : PLN_OK;
}

static pln_status batch_raise_9(pln_node *n, pln_error *err)
{
    char where[160];
    const pln_attr *spatial = pln_node_find_attr(n, "spatial");
    const bool each = spatial && spatial->type == PLN_ATTR_INT && !spatial->i;
    pln_node_drop_attr(n, "spatial");
    if (!each)
        return PLN_OK;
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses > 0)
            return pln_fail(err, PLN_E_UNSUPPORTED, "%s: training with spatial = 0",
                            pln_node_where(n, where, sizeof where));
    pln_node_set_op(n, "planish", "BatchNormalizationEach");
    pln_node_drop_attr(n, "momentum");
    pln_node_drop_attr(n, "training_mode");
    return PLN_OK;
}

/* More outputs than one meant training. */
static pln_status batch_raise_14(pln_node *n, pln_error *err)
{
    char where[160];
    bool training = false;
    for (uint32_t i = 1; i < n->n_out; i++) {
        const bool used = n->out[i] && n->out[i]->n_uses > 0;
        training |= used;
        if (used && i > 2)
            return pln_fail(err, PLN_E_UNSUPPORTED,
                            "%s: saved statistics (output %u) have no newer form",
                            pln_node_where(n, where, sizeof where), i);
    }
    return training ? pln_node_set_int(n, "training_mode", 1) : PLN_OK;
}

static pln_status batch_lower_14(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "training_mode", 0, err);
}

static const pln_version_change batch_versions[] = { { 7, batch_raise_7, NULL },
                                                     { 9, batch_raise_9, NULL },
                                                     { 14, batch_raise_14,
                                                       batch_lower_14 },
                                                     { 0 } };

static pln_status instance_raise_6(pln_node *n, pln_error *err)
{
    (void)err;
    pln_node_drop_attr(n, "consumed_inputs");
    return PLN_OK;
}

static const pln_version_change instance_versions[] = { { 6, instance_raise_6, NULL },
                                                        { 0 } };

#define SIMPLIFIED(in_domain)                                                        \
    { .name = "SimplifiedLayerNormalization", .domain = in_domain, .since = 1,      \
      .in = { 2, 2 }, .out = { 1, 2 },                                              \
      .types = "T:" PLN_TS_FLOAT ";V:" PLN_TS_FLOAT ";U:float,double",              \
      .sig = "T,V->V,U?", .attrs = layer_spec, .attrs_size = sizeof(pln_norm_attrs), \
      .infer = simplified_infer, .ref = RMSNormalization_ref, .cpu = &pln_rms_norm_cpu }

const pln_op_desc pln_ops_norm[] = {
    { .name = "LayerNormalization",
      .domain = "",
      .since = 17,
      .in = { 2, 3 },
      .out = { 1, 3 },
      .traits = PLN_OP_INPLACE,
      .types = "T:" PLN_TS_FLOAT ";U:float,bfloat16",
      .sig = "T,T,T?->T,U?,U?",
      .attrs = layer_spec,
      .attrs_size = sizeof(pln_norm_attrs),
      .infer = layer_infer,
      .ref = LayerNormalization_ref,
      .cpu = &pln_layer_norm_cpu,
      .expand = pln_expand_layer_norm },
    { .name = "RMSNormalization",
      .domain = "",
      .since = 23,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT ";V:" PLN_TS_FLOAT,
      .sig = "T,V->V",
      .attrs = layer_spec,
      .attrs_size = sizeof(pln_norm_attrs),
      .infer = rms_infer,
      .ref = RMSNormalization_ref,
      .cpu = &pln_rms_norm_cpu,
      .expand = pln_expand_rms_norm },
    SIMPLIFIED(""), /* ONNX Runtime writes it there */
    SIMPLIFIED("com.microsoft"),
    { .name = "GroupNormalization",
      .domain = "",
      .since = 21,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_INPLACE,
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T,T->T",
      .attrs = group_spec,
      .attrs_size = sizeof(pln_norm_attrs),
      .infer = pln_infer_same,
      .ref = GroupNormalization_ref,
      .cpu = &pln_group_norm_cpu,
      .expand = pln_expand_group_norm },
    { .name = "InstanceNormalization",
      .domain = "",
      .since = 22,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_INPLACE,
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T,T->T",
      .attrs = instance_spec,
      .attrs_size = sizeof(pln_norm_attrs),
      .infer = pln_infer_same,
      .ref = InstanceNormalization_ref,
      .cpu = &pln_instance_norm_cpu,
      .versions = instance_versions },
    { .name = "BatchNormalization",
      .domain = "",
      .since = 15,
      .in = { 5, 5 },
      .out = { 1, 3 },
      .traits = PLN_OP_INPLACE,
      .types = "T:" PLN_TS_FLOAT ";T1:" PLN_TS_FLOAT ";T2:" PLN_TS_FLOAT,
      .sig = "T,T1,T1,T2,T2->T,T2?,T2?",
      .attrs = batch_spec,
      .attrs_size = sizeof(pln_norm_attrs),
      .infer = batch_infer,
      .ref = BatchNormalization_ref,
      .cpu = &pln_batch_norm_cpu,
      .versions = batch_versions },
    { .name = "BatchNormalizationEach",
      .expand = pln_expand_batch_norm_each,
      .domain = "planish",
      .since = 1,
      .in = { 5, 5 },
      .out = { 1, 5 },
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T,T,T,T->T",
      .attrs = instance_spec,
      .attrs_size = sizeof(pln_norm_attrs),
      .infer = pln_infer_same,
      .ref = batch_each_ref },
    { .name = NULL },
};
