/* Attention.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention.h"

#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

#define FIELD(f) offsetof(pln_attention_attrs, f)
static const pln_attr_spec attention_spec[] = {
    { .name = "scale",
      .type = PLN_ATTR_FLOAT,
      .offset = FIELD(scale),
      .has_offset = FIELD(has_scale) },
    PLN_A_FLOAT(pln_attention_attrs, softcap, 0.0f),
    PLN_A_INT(pln_attention_attrs, is_causal, 0),
    PLN_A_INT(pln_attention_attrs, q_num_heads, 0),
    PLN_A_INT(pln_attention_attrs, kv_num_heads, 0),
    PLN_A_INT(pln_attention_attrs, softmax_precision, 0),
    PLN_A_INT(pln_attention_attrs, qk_matmul_output_mode, 0),
    PLN_A_INT(pln_attention_attrs, left_window_size, -1),
    PLN_A_INT(pln_attention_attrs, right_window_size, -1),
    PLN_A_END,
};

/* ---- sizes ------------------------------------------------------------------------- */

bool pln_attention_heads(const pln_tensor *t, int64_t heads, int64_t *n, int64_t *len,
                         int64_t *dim)
{
    if (t->rank == 4) {
        *n = t->dims[1];
        *len = t->dims[2];
        *dim = t->dims[3];
        return true;
    }
    if (t->rank != 3 || heads < 1 || t->dims[2] % heads)
        return false;
    *n = heads;
    *len = t->dims[1];
    *dim = t->dims[2] / heads;
    return true;
}

static pln_status check_cache(const pln_call *c, uint32_t i, const pln_attention *a,
                              int64_t dim, pln_error *err)
{
    const pln_tensor *t = c->in[i];
    if (t->rank != 4 || t->dims[0] != a->batch || t->dims[1] != a->kv_heads ||
        t->dims[2] != a->past || t->dims[3] != dim)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u does not fit to K and V", i);
    return PLN_OK;
}

pln_status pln_attention_find(const pln_call *c, pln_attention *a, pln_error *err)
{
    const pln_attention_attrs *at = (const pln_attention_attrs *)c->attrs;
    const pln_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2];
    int64_t k_dim, v_heads, v_len;
    *a = (pln_attention){ .batch = q->rank ? q->dims[0] : 0 };
    if (!pln_attention_heads(q, at->q_num_heads, &a->q_heads, &a->q_len, &a->dim) ||
        !pln_attention_heads(k, at->kv_num_heads, &a->kv_heads, &a->kv_len, &k_dim) ||
        !pln_attention_heads(v, at->kv_num_heads, &v_heads, &v_len, &a->v_dim))
        return pln_call_fail(
            c, err, PLN_E_RUN, "ranks %d, %d, %d with %lld and %lld heads", q->rank,
            k->rank, v->rank, (long long)at->q_num_heads, (long long)at->kv_num_heads);
    if (k_dim != a->dim || v_heads != a->kv_heads || v_len != a->kv_len ||
        k->dims[0] != a->batch || v->dims[0] != a->batch || a->kv_heads < 1 ||
        a->q_heads % a->kv_heads)
        return pln_call_fail(c, err, PLN_E_RUN, "Q, K and V do not fit together");
    if (pln_call_has(c, 4) != pln_call_has(c, 5))
        return pln_call_fail(c, err, PLN_E_RUN, "past_key and past_value go together");
    if (pln_call_has(c, 4)) {
        a->past = c->in[4]->rank == 4 ? c->in[4]->dims[2] : 0;
        PLN_TRY(check_cache(c, 4, a, a->dim, err));
        PLN_TRY(check_cache(c, 5, a, a->v_dim, err));
    }
    a->total = a->past + a->kv_len;
    if (pln_call_has(c, 6) && pln_tensor_size(c->in[6]) != a->batch)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "nonpad_kv_seqlen is not one for each batch");
    a->nonpad = pln_call_has(c, 6) ? PLN_DATA(const int64_t, c->in[6]) : NULL;
    a->scale = at->has_scale ? at->scale : 1 / sqrt((double)a->dim);
    return PLN_OK;
}

/* Offset of row i of head h. */
int64_t pln_attention_row(const pln_tensor *t, int64_t heads, int64_t b, int64_t h,
                          int64_t i, int64_t len, int64_t dim)
{
    return t->rank == 4 ? ((b * heads + h) * len + i) * dim
                        : ((b * len + i) * heads + h) * dim;
}

/* ---- the bias of one row of scores ------------------------------------------------- */

pln_status pln_attention_mask(const pln_call *c, const pln_attention *a, int64_t *stride,
                              pln_error *err)
{
    const pln_tensor *m = c->in[3];
    const int64_t want[4] = { a->batch, a->q_heads, a->q_len, a->total };
    int64_t s = 1;
    memset(stride, 0, 4 * sizeof *stride);
    if (m->rank < 1 || m->rank > 4)
        return pln_call_fail(c, err, PLN_E_RUN, "attn_mask has rank %d", m->rank);
    for (int d = m->rank - 1; d >= 0; d--) {
        const int at = d + 4 - m->rank;
        const int64_t n = m->dims[d];
        if (n != 1 && (at == 3 ? n > want[3] : n != want[at]))
            return pln_call_fail(c, err, PLN_E_RUN, "attn_mask has %lld in dimension %d",
                                 (long long)n, d);
        stride[at] = n == 1 && !(at == 3 && want[3] > 1) ? 0 : s;
        s *= n;
    }
    return PLN_OK;
}

static bool out_of_sight(const pln_call *c, const pln_attention *a, int64_t b, int64_t i,
                         int64_t j)
{
    const pln_attention_attrs *at = (const pln_attention_attrs *)c->attrs;
    const int64_t offset = pln_call_has(c, 4) ? a->past
                           : a->nonpad        ? a->nonpad[b] - a->q_len
                                              : 0;
    return (at->is_causal && j > i + offset) ||
           (at->left_window_size >= 0 && i + offset - j > at->left_window_size) ||
           (at->right_window_size >= 0 && j - i - offset > at->right_window_size) ||
           (a->nonpad && j >= a->nonpad[b]);
}

/* What is added to the scores of query i: the mask, -inf for keys out of sight. `hidden`:
 * none is in sight. */
static pln_status find_bias(const pln_call *c, const pln_attention *a, int64_t b,
                            int64_t h, int64_t i, double *bias, bool *hidden,
                            pln_error *err)
{
    const pln_tensor *m = pln_call_has(c, 3) ? c->in[3] : NULL;
    const int64_t n_mask = m && m->rank ? m->dims[m->rank - 1] : 0;
    int64_t stride[4];
    *hidden = true;
    if (m)
        PLN_TRY(pln_attention_mask(c, a, stride, err));
    for (int64_t j = 0; j < a->total; j++)
        bias[j] = m && j >= n_mask ? -INFINITY : 0;
    if (m) {
        const int64_t n = n_mask < a->total ? n_mask : a->total;
        pln_block_load(PLN_DT_F64, bias, m, b * stride[0] + h * stride[1] + i * stride[2],
                       1, n);
        for (int64_t j = 0; m->dtype == PLN_DT_BOOL && j < n; j++)
            bias[j] = bias[j] != 0 ? 0 : -INFINITY;
    }
    for (int64_t j = 0; j < a->total; j++) {
        if (out_of_sight(c, a, b, i, j))
            bias[j] = -INFINITY;
        *hidden &= bias[j] == -INFINITY;
    }
    return PLN_OK;
}

/* ---- the reference: rounded to the tensors' type where the standard has a tensor --- */

static double rounded(pln_dtype dt, double v)
{
    char raw[16];
    if (dt == PLN_DT_F64)
        return v;
    if (dt == PLN_DT_F32)
        return (float)v;
    pln_block_convert(dt, raw, PLN_DT_F64, &v, 1);
    pln_block_convert(PLN_DT_F64, &v, dt, raw, 1);
    return v;
}

static void round_all(pln_dtype dt, double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = rounded(dt, v[i]);
}

static void scale_all(pln_dtype dt, double *v, int64_t n, double scale)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = rounded(dt, v[i] * scale);
}

static void softmax(pln_dtype dt, double *v, int64_t n)
{
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        max = v[i] > max || v[i] != v[i] ? v[i] : max;
    if (max == -INFINITY)
        max = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i] = rounded(dt, exp(rounded(dt, v[i] - max)));
    sum = rounded(dt, sum);
    for (int64_t i = 0; i < n; i++)
        v[i] = sum == 0 ? 0 : rounded(dt, v[i] / sum);
}

typedef struct buffers {
    double *k, *v, *q, *score, *bias, *y;
} buffers;

static void load_rows(const pln_call *c, const pln_attention *a, uint32_t in,
                      uint32_t cache, int64_t b, int64_t h, int64_t dim, double *out)
{
    for (int64_t j = 0; j < a->total; j++) {
        const bool old = j < a->past;
        const pln_tensor *t = old ? c->in[cache] : c->in[in];
        const int64_t at =
            old ? pln_attention_row(t, a->kv_heads, b, h, j, a->past, dim)
                : pln_attention_row(t, a->kv_heads, b, h, j - a->past, a->kv_len, dim);
        pln_block_load(PLN_DT_F64, out + j * dim, t, at, 1, dim);
    }
}

static void store_scores(pln_call *c, const pln_attention *a, int mode, int64_t b,
                         int64_t h, int64_t i, const double *v)
{
    const pln_attention_attrs *at = (const pln_attention_attrs *)c->attrs;
    if (mode == at->qk_matmul_output_mode && pln_call_wants(c, 3))
        pln_block_store(c->out[3], ((b * a->q_heads + h) * a->q_len + i) * a->total, 1,
                        PLN_DT_F64, v, a->total);
}

static pln_status one_row(pln_call *c, const pln_attention *a, int64_t b, int64_t h,
                          int64_t i, const buffers *w, pln_error *err)
{
    const pln_attention_attrs *at = (const pln_attention_attrs *)c->attrs;
    const pln_dtype dt = (pln_dtype)c->in[0]->dtype, vt = (pln_dtype)c->in[2]->dtype;
    const pln_dtype soft = at->softmax_precision ? (pln_dtype)at->softmax_precision : dt;
    bool hidden;
    pln_block_load(PLN_DT_F64, w->q, c->in[0],
                   pln_attention_row(c->in[0], a->q_heads, b, h, i, a->q_len, a->dim), 1,
                   a->dim);
    scale_all(dt, w->q, a->dim, rounded(dt, sqrt(a->scale)));
    for (int64_t j = 0; j < a->total; j++) {
        double s = 0;
        for (int64_t d = 0; d < a->dim; d++)
            s += w->q[d] * w->k[j * a->dim + d];
        w->score[j] = rounded(dt, s);
    }
    store_scores(c, a, 0, b, h, i, w->score);
    for (int64_t j = 0; at->softcap > 0 && j < a->total; j++)
        w->score[j] =
            rounded(dt, tanh(rounded(dt, w->score[j] / at->softcap)) * at->softcap);
    store_scores(c, a, 1, b, h, i, w->score);
    PLN_TRY(find_bias(c, a, b, h, i, w->bias, &hidden, err));
    for (int64_t j = 0; j < a->total; j++)
        w->score[j] = rounded(dt, w->score[j] + w->bias[j]);
    store_scores(c, a, 2, b, h, i, w->score);
    softmax(soft, w->score, a->total);
    if (hidden)
        memset(w->score, 0, (size_t)a->total * sizeof *w->score);
    round_all(dt, w->score, a->total);
    store_scores(c, a, 3, b, h, i, w->score);
    memset(w->y, 0, (size_t)a->v_dim * sizeof *w->y);
    for (int64_t j = 0; j < a->total; j++)
        for (int64_t d = 0; d < a->v_dim; d++)
            w->y[d] += w->score[j] * w->v[j * a->v_dim + d];
    round_all(vt, w->y, a->v_dim);
    if (pln_call_wants(c, 0))
        pln_block_store(
            c->out[0],
            pln_attention_row(c->out[0], a->q_heads, b, h, i, a->q_len, a->v_dim), 1,
            PLN_DT_F64, w->y, a->v_dim);
    return PLN_OK;
}

/* present_key and present_value: [batch, heads, total, dim] of each. */
static void copy_present(pln_call *c, const pln_attention *a, uint32_t o, int64_t r)
{
    const int64_t dim = o == 1 ? a->dim : a->v_dim, b = r / a->kv_heads,
                  h = r % a->kv_heads;
    const pln_tensor *t = c->in[o];
    int64_t to = r * a->total * dim;
    if (a->past)
        pln_tensor_copy(c->out[o], to, c->in[o + 3], r * a->past * dim, a->past * dim);
    to += a->past * dim;
    if (t->rank == 4) {
        pln_tensor_copy(c->out[o], to, t, r * a->kv_len * dim, a->kv_len * dim);
        return;
    }
    for (int64_t j = 0; j < a->kv_len; j++)
        pln_tensor_copy(c->out[o], to + j * dim, t,
                        pln_attention_row(t, a->kv_heads, b, h, j, a->kv_len, dim), dim);
}

void pln_attention_present(pln_call *c, const pln_attention *a)
{
    for (uint32_t o = 1; o < 3; o++)
        for (int64_t r = 0; pln_call_wants(c, o) && r < a->batch * a->kv_heads; r++)
            copy_present(c, a, o, r);
}

static pln_status attention_ref(pln_call *c, pln_error *err)
{
    pln_attention a;
    size_t n_k, n_v, n;
    PLN_TRY(pln_attention_find(c, &a, err));
    if (!pln_size_mul(&n_k, (size_t)a.total, (size_t)a.dim) ||
        !pln_size_mul(&n_v, (size_t)a.total, (size_t)a.v_dim) || n_k > SIZE_MAX / 64 ||
        n_v > SIZE_MAX / 64)
        return pln_oom(err);
    n = n_k + n_v + (size_t)(a.dim + a.v_dim + 2 * a.total);
    double *p = (double *)pln_call_scratch(c, n * sizeof *p);
    if (!p)
        return pln_oom(err);
    const buffers w = { .k = p,
                        .v = p + n_k,
                        .q = p + n_k + n_v,
                        .y = p + n_k + n_v + a.dim,
                        .score = p + n_k + n_v + a.dim + a.v_dim,
                        .bias = p + n_k + n_v + a.dim + a.v_dim + a.total };
    const pln_dtype dt = (pln_dtype)c->in[0]->dtype;
    for (int64_t b = 0; b < a.batch; b++)
        for (int64_t h = 0; h < a.q_heads; h++) {
            const int64_t kv = h / (a.q_heads / a.kv_heads);
            load_rows(c, &a, 1, 4, b, kv, a.dim, w.k);
            load_rows(c, &a, 2, 5, b, kv, a.v_dim, w.v);
            scale_all(dt, w.k, a.total * a.dim, rounded(dt, sqrt(a.scale)));
            for (int64_t i = 0; i < a.q_len; i++)
                PLN_TRY(one_row(c, &a, b, h, i, &w, err));
        }
    pln_attention_present(c, &a);
    return PLN_OK;
}

/* ---- inference --------------------------------------------------------------------- */

static void split_heads(const pln_infer *inf, uint32_t i, int64_t heads, pln_dim *n,
                        pln_dim *len, pln_dim *dim)
{
    const int rank = pln_infer_rank(inf, i);
    *n = rank == 4 ? pln_infer_dim(inf, i, 1)
         : heads   ? pln_dim_of(heads)
                   : pln_dim_unknown();
    *len = pln_infer_dim(inf, i, rank == 4 ? 2 : 1);
    *dim = rank == 4 ? pln_infer_dim(inf, i, 3)
                     : pln_dim_div(inf->syms, pln_infer_dim(inf, i, 2), *n);
}

static void set4(pln_infer *inf, uint32_t o, pln_dtype dt, pln_dim a, pln_dim b,
                 pln_dim c, pln_dim d)
{
    pln_shape s = pln_infer_shape(inf, 4);
    if (s.rank != 4)
        return;
    s.dims[0] = a;
    s.dims[1] = b;
    s.dims[2] = c;
    s.dims[3] = d;
    pln_infer_set(inf, o, dt, s);
}

static pln_status attention_infer(pln_infer *inf, pln_error *err)
{
    const pln_attention_attrs *a = (const pln_attention_attrs *)inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    const pln_dtype dt = pln_infer_dtype(inf, 0), vt = pln_infer_dtype(inf, 2);
    pln_dim qn, ql, qd, kn, kl, kd, vn, vl, vd;
    pln_infer_set(inf, 0, dt, pln_shape_unknown());
    if (rank == PLN_RANK_UNKNOWN || pln_infer_rank(inf, 1) == PLN_RANK_UNKNOWN ||
        pln_infer_rank(inf, 2) == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (rank != 3 && rank != 4)
        return pln_infer_fail(inf, err, "Q has rank %d, want 3 or 4", rank);
    split_heads(inf, 0, a->q_num_heads, &qn, &ql, &qd);
    split_heads(inf, 1, a->kv_num_heads, &kn, &kl, &kd);
    split_heads(inf, 2, a->kv_num_heads, &vn, &vl, &vd);
    const pln_dim batch = pln_infer_dim(inf, 0, 0);
    const pln_dim total =
        pln_infer_has(inf, 4) ? pln_dim_add(inf->syms, kl, pln_infer_dim(inf, 4, 2)) : kl;
    if (rank == 4) {
        set4(inf, 0, dt, batch, qn, ql, vd);
    } else {
        pln_shape s = pln_infer_shape(inf, 3);
        if (s.rank != 3)
            return pln_oom(err);
        s.dims[0] = batch;
        s.dims[1] = ql;
        s.dims[2] = pln_dim_mul(inf->syms, qn, vd);
        pln_infer_set(inf, 0, dt, s);
    }
    set4(inf, 1, dt, batch, kn, total, kd);
    set4(inf, 2, vt, batch, vn, total, vd);
    set4(inf, 3, dt, batch, qn, ql, total);
    return PLN_OK;
}

static void attention_cost(const pln_infer *inf, pln_cost *out)
{
    const pln_dim q = pln_shape_count(inf->syms, inf->in[0]->shape);
    const pln_dim k = pln_infer_dim(inf, 1, pln_infer_rank(inf, 1) == 4 ? 2 : 1);
    if (pln_dim_is_known(q) && pln_dim_is_known(k))
        out->flops = 4.0 * (double)q.value * (double)k.value;
    out->bytes = out->flops / 16;
}

static pln_status lower_24(pln_node *n, pln_error *err)
{
    if (pln_lower_has(n, 6))
        return pln_lower_fail(n, err, "nonpad_kv_seqlen needs version 24");
    return PLN_OK;
}

static pln_status lower_25(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_drop_int(n, "left_window_size", -1, err));
    return pln_lower_drop_int(n, "right_window_size", -1, err);
}

static const pln_version_change versions[] = { { 24, NULL, lower_24 },
                                               { 25, NULL, lower_25 },
                                               { 0 } };

#define MASK PLN_TS_NUM ",bool"

const pln_op_desc pln_ops_attention[] = {
    { .name = "Attention",
      .domain = "",
      .since = 25,
      .in = { 3, 7 },
      .out = { 1, 4 },
      .types = "T1:" PLN_TS_FLOAT ";T2:" PLN_TS_FLOAT ";U:" MASK,
      .sig = "T1,T1,T2,U?,T1?,T2?,int64?->T1,T1?,T2?,T1?",
      .attrs = attention_spec,
      .attrs_size = sizeof(pln_attention_attrs),
      .expand = pln_expand_attention, .infer = attention_infer,
      .ref = attention_ref,
      .cpu = &pln_attention_cpu,
      .cost = attention_cost,
      .versions = versions },
    { .name = NULL },
};
