/* Products with constant weights, seen as sums over channels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/product.h"

#include <math.h>
#include <string.h>

static bool read_conv(pln_product *p)
{
    const pln_tensor *w = p->w->cst;
    const bool transposed = pln_node_is(p->node, "ConvTranspose");
    p->groups = pln_node_get_int(p->node, "group", 1);
    p->conv = true;
    p->in_first = transposed;
    p->taps = 1;
    if (w->rank < 3 || p->groups < 1 || w->dims[0] % p->groups)
        return false;
    for (int i = 2; i < w->rank; i++)
        p->taps *= w->dims[i];
    p->n_out = transposed ? w->dims[1] * p->groups : w->dims[0];
    p->n_in = transposed ? w->dims[0] : w->dims[1] * p->groups;
    return true;
}

static bool read_matrix(pln_product *p)
{
    const pln_tensor *w = p->w->cst;
    const bool gemm = pln_node_is(p->node, "Gemm");
    if (w->rank != 2 || (gemm && pln_node_get_int(p->node, "transA", 0)))
        return false;
    p->in_first = !gemm || !pln_node_get_int(p->node, "transB", 0);
    p->n_in = w->dims[p->in_first ? 0 : 1];
    p->n_out = w->dims[p->in_first ? 1 : 0];
    p->alpha = gemm ? pln_node_get_float(p->node, "alpha", 1) : 1;
    p->beta = gemm ? pln_node_get_float(p->node, "beta", 1) : 1;
    return p->alpha != 0 && p->beta != 0;
}

bool pln_product_read(pln_node *n, pln_product *p)
{
    const bool matrix = pln_node_is(n, "Gemm") || pln_node_is(n, "MatMul");
    *p = (pln_product){ .node = n, .groups = 1, .taps = 1, .alpha = 1, .beta = 1 };
    if (n->n_in < 2 || !n->in[0] || !n->in[1] || *n->domain ||
        (!matrix && !pln_node_is(n, "Conv") && !pln_node_is(n, "ConvTranspose")))
        return false;
    p->w = n->in[1];
    p->b = n->n_in > 2 ? n->in[2] : NULL;
    if (!pln_value_is_own_weights(p->w) || (p->b && !pln_value_is_const(p->b)))
        return false;
    return (matrix ? read_matrix(p) : read_conv(p)) && p->n_in > 0 && p->n_out > 0 &&
           p->taps > 0;
}

int pln_product_axis(const pln_product *p)
{
    return p->conv ? 1 : pln_value_rank(p->node->out[0]) - 1;
}

bool pln_product_is_unpadded(const pln_product *p)
{
    const pln_attr *pads = pln_node_find_attr(p->node, "pads");
    const char *how = pln_node_get_string(p->node, "auto_pad", "NOTSET");
    if (!p->conv)
        return true;
    if (p->in_first || (strcmp(how, "NOTSET") && strcmp(how, "VALID")))
        return false; /* a transposed one meets some samples with fewer weights */
    for (size_t i = 0; pads && i < pads->n && !strcmp(how, "NOTSET"); i++)
        if (pads->ints[i])
            return false;
    return true;
}

/* The weights of one channel of their first dimension: `second` channels of the other
 * kind, from `along`, each with its taps. */
typedef struct weight_row {
    int64_t from, channel, along, second;
} weight_row;

static weight_row row_of(const pln_product *p, int64_t channel)
{
    const int64_t second = (p->in_first ? p->n_out : p->n_in) / p->groups;
    const int64_t per_group = (p->in_first ? p->n_in : p->n_out) / p->groups;
    return (weight_row){ channel * second * p->taps, channel,
                         channel / per_group * second, second };
}

static int64_t n_rows(const pln_product *p)
{
    return p->in_first ? p->n_in : p->n_out;
}

static void scale_run(pln_tensor *t, int64_t from, int64_t n, double mul)
{
    if (mul == 1)
        return;
    for (int64_t i = from; i < from + n; i++) {
        if (t->dtype == PLN_DT_F32)
            PLN_DATA(float, t)[i] = (float)(PLN_DATA(float, t)[i] * mul);
        else
            pln_tensor_set_f64(t, i, pln_tensor_get_f64(t, i) * mul);
    }
}

/* One factor for each weight of the row. */
static void scale_each(pln_tensor *t, const weight_row *r, const double *mul)
{
    if (t->dtype == PLN_DT_F32) {
        float *w = PLN_DATA(float, t) + r->from;
        for (int64_t b = 0; b < r->second; b++)
            w[b] = (float)(w[b] * mul[b]);
        return;
    }
    for (int64_t b = 0; b < r->second; b++)
        scale_run(t, r->from + b, 1, mul[b]);
}

static void scale_row(pln_tensor *t, const pln_product *p, const weight_row *r,
                      const double *mul, int64_t run, bool by_out)
{
    if (by_out != p->in_first) { /* one factor for the row */
        scale_run(t, r->from, r->second * p->taps,
                  mul[by_out ? r->channel : r->channel / run]);
    } else if (p->taps == 1 && run == 1) {
        scale_each(t, r, mul + r->along);
    } else {
        for (int64_t b = 0; b < r->second; b++)
            scale_run(t, r->from + b * p->taps, p->taps, mul[(r->along + b) / run]);
    }
}

static pln_value *scale(pln_patch *patch, const pln_product *p, const double *mul,
                        int64_t run, bool by_out)
{
    pln_tensor *t = NULL;
    if (pln_tensor_materialize(p->w->cst, NULL) != PLN_OK ||
        pln_tensor_dup(p->w->cst, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < n_rows(p); i++) {
        const weight_row r = row_of(p, i);
        scale_row(t, p, &r, mul, run, by_out);
    }
    if (pln_tensor_is_finite(t))
        return pln_patch_const(patch, t, p->w->name);
    pln_tensor_unref(t);
    return NULL;
}

pln_value *pln_product_scale_out(pln_patch *patch, const pln_product *p,
                                 const double *mul)
{
    return scale(patch, p, mul, 1, true);
}

pln_value *pln_product_scale_in(pln_patch *patch, const pln_product *p, const double *mul,
                                int64_t run)
{
    return scale(patch, p, mul, run, false);
}

static double weight(const pln_tensor *w, int64_t i)
{
    return w->dtype == PLN_DT_F32 ? (double)PLN_DATA(const float, w)[i]
                                  : pln_tensor_get_f64(w, i);
}

/* Of one input channel, to each output channel. */
static void add_to_each(const pln_tensor *w, const pln_product *p, const weight_row *r,
                        double add, double *out)
{
    for (int64_t b = 0, i = r->from; b < r->second; b++)
        for (int64_t k = 0; k < p->taps; k++, i++)
            out[b] += weight(w, i) * add;
}

/* Of all input channels, to one output channel. */
static double sum_of_row(const pln_tensor *w, const pln_product *p, const weight_row *r,
                         const double *add, int64_t run)
{
    double sum = 0;
    for (int64_t b = 0, i = r->from; b < r->second; b++) {
        const double x = add[(r->along + b) / run];
        for (int64_t k = 0; k < p->taps; k++, i++)
            sum += weight(w, i) * x;
    }
    return sum;
}

bool pln_product_sum_in(const pln_product *p, const double *add, int64_t run, double *out)
{
    const pln_tensor *w = p->w->cst;
    if (pln_tensor_materialize(p->w->cst, NULL) != PLN_OK)
        return false;
    memset(out, 0, (size_t)p->n_out * sizeof *out);
    for (int64_t i = 0; i < n_rows(p); i++) {
        const weight_row r = row_of(p, i);
        if (p->in_first)
            add_to_each(w, p, &r, add[i / run], out + r.along);
        else
            out[i] += sum_of_row(w, p, &r, add, run);
    }
    return true;
}

/* [n], [1, n], [1] or a scalar. */
bool pln_product_bias(const pln_product *p, double *out)
{
    memset(out, 0, (size_t)p->n_out * sizeof *out);
    if (!p->b)
        return true;
    pln_tensor *t = p->b->cst;
    const int64_t count = pln_tensor_size(t), n = p->n_out;
    const bool row = count == 1 || (count == n && t->dims[t->rank - 1] == n);
    if (!row || pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    for (int64_t i = 0; i < n; i++)
        out[i] = pln_tensor_get_f64(t, count == 1 ? 0 : i);
    return true;
}
