/* GroupQueryAttention: which tokens a call has, and checks of all its sizes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_gqa.h"

#include "src/util/size.h"

/* ---- query, key and value -------------------------------------------------------- */

static pln_status find_packed(pln_gqa *g, const pln_tensor *q, const float *p,
                              pln_error *err)
{
    const int64_t n = g->heads + 2 * g->kv_heads, width = q->dims[2];
    if (width % n)
        return pln_call_fail(
            g->c, err, PLN_E_RUN, "query has %lld columns for %lld + 2 x %lld heads",
            (long long)width, (long long)g->heads, (long long)g->kv_heads);
    g->dim = width / n;
    g->q = (pln_attn_rows){ p, g->len * width, g->dim, width, g->len };
    g->k = g->v = g->q;
    g->k.p += g->heads * g->dim;
    g->v.p += (g->heads + g->kv_heads) * g->dim;
    return PLN_OK;
}

static pln_status find_qkv(pln_gqa *g, pln_error *err)
{
    pln_call *c = g->c;
    const pln_tensor *q = c->in[PLN_GQA_QUERY];
    const float *p;
    if (q->rank != 3 || g->heads < 1 || g->kv_heads < 1 || g->heads % g->kv_heads)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "query has rank %d, with %lld and %lld heads", q->rank,
                             (long long)g->heads, (long long)g->kv_heads);
    g->batch = q->dims[0];
    g->len = q->dims[1];
    PLN_TRY(pln_ms_input(c, PLN_GQA_QUERY, &p, err));
    if (!pln_call_has(c, PLN_GQA_KEY))
        return find_packed(g, q, p, err);
    g->dim = q->dims[2] / g->heads;
    g->q = (pln_attn_rows){ p, g->len * q->dims[2], g->dim, q->dims[2], g->len };
    const int64_t width = g->dim * g->kv_heads;
    for (uint32_t i = PLN_GQA_KEY; i <= PLN_GQA_VALUE; i++) {
        const pln_tensor *t = pln_call_has(c, i) ? c->in[i] : NULL;
        if (!t || t->rank != 3 || t->dims[0] != g->batch || t->dims[1] != g->len ||
            t->dims[2] != width || q->dims[2] % g->heads)
            return pln_call_fail(
                c, err, PLN_E_RUN, "key or value is not [%lld, %lld, %lld]",
                (long long)g->batch, (long long)g->len, (long long)width);
        PLN_TRY(pln_ms_input(c, i, &p, err));
        *(i == PLN_GQA_KEY ? &g->k : &g->v) =
            (pln_attn_rows){ p, g->len * width, g->dim, width, g->len };
    }
    return PLN_OK;
}

/* ---- the cache ------------------------------------------------------------------- */

static pln_status find_past(pln_gqa *g, pln_error *err)
{
    const pln_call *c = g->c;
    const pln_gqa_attrs *at = g->at;
    if (at->k_quant_type || at->v_quant_type)
        return pln_call_fail(
            c, err, PLN_E_UNSUPPORTED,
            "a quantized cache (k_quant_type, v_quant_type) can't be run");
    if (pln_call_has(c, PLN_GQA_PAST_KEY) != pln_call_has(c, PLN_GQA_PAST_VALUE))
        return pln_call_fail(c, err, PLN_E_RUN, "past_key and past_value go together");
    if (pln_call_has(c, PLN_GQA_PAST_KEY) &&
        c->in[PLN_GQA_PAST_KEY]->dtype != c->in[0]->dtype)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED,
                             "a cache of another type than the query can't be run");
    g->past_rows = 0;
    for (uint32_t i = PLN_GQA_PAST_KEY; i <= PLN_GQA_PAST_VALUE; i++) {
        const pln_tensor *t = pln_call_has(c, i) ? c->in[i] : NULL;
        if (!t)
            continue;
        if (t->rank != 4 || t->dims[0] != g->batch || t->dims[1] != g->kv_heads ||
            t->dims[3] != g->dim ||
            (i == PLN_GQA_PAST_VALUE && t->dims[2] != g->past_rows))
            return pln_call_fail(
                c, err, PLN_E_RUN, "input %u is not [%lld, %lld, length, %lld]", i,
                (long long)g->batch, (long long)g->kv_heads, (long long)g->dim);
        g->past_rows = t->dims[2];
    }
    g->rows = g->past_rows > g->total_len ? g->past_rows : g->total_len;
    if (!at->sliding_window_cache)
        return PLN_OK;
    g->rows = g->past_rows;
    if (!pln_call_has(c, PLN_GQA_PAST_KEY) || at->local_window_size < 1 ||
        g->rows < at->local_window_size)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "sliding_window_cache has %lld rows for a window of %lld",
                             (long long)g->rows, (long long)at->local_window_size);
    return PLN_OK;
}

/* How many of `total` tokens a windowed cache of g->rows rows holds. */
static int64_t resident(const pln_gqa *g, int64_t total)
{
    if (total <= g->rows)
        return total;
    const int64_t step = g->rows - g->at->local_window_size + 1;
    return total - (total - g->rows + step - 1) / step * step;
}

static pln_status find_entry(pln_gqa *g, int64_t b, pln_error *err)
{
    const pln_call *c = g->c;
    pln_gqa_entry *e = &g->e[b];
    const int64_t last = PLN_DATA(const int32_t, c->in[PLN_GQA_SEQLENS_K])[b];
    *e = (pln_gqa_entry){ .total = last + 1 };
    e->now = e->total < g->len ? e->total : g->len;
    if (pln_call_has(c, PLN_GQA_QUERY_SEQLENS))
        e->now = PLN_DATA(const int32_t, c->in[PLN_GQA_QUERY_SEQLENS])[b];
    e->past = e->total - e->now;
    if (last < 0 || e->total > g->total_len || e->now < 0 || e->now > g->len ||
        e->past < 0)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "batch entry %lld has %lld tokens, %lld of them new; "
                             "total_sequence_length is %lld",
                             (long long)b, (long long)e->total, (long long)e->now,
                             (long long)g->total_len);
    if (g->at->sliding_window_cache) {
        e->base = e->past - resident(g, e->past);
        e->evicted = e->total - resident(g, e->total) - e->base;
    } else if (e->past > g->past_rows) {
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "batch entry %lld has %lld tokens before this step, the cache "
            "%lld rows",
            (long long)b, (long long)e->past, (long long)g->past_rows);
    }
    return PLN_OK;
}

static pln_status find_entries(pln_gqa *g, pln_error *err)
{
    pln_call *c = g->c;
    const pln_tensor *len = c->in[PLN_GQA_SEQLENS_K], *total = c->in[PLN_GQA_TOTAL];
    const bool padded = pln_call_has(c, PLN_GQA_QUERY_SEQLENS);
    if (pln_tensor_size(len) != g->batch || pln_tensor_size(total) != 1 ||
        (padded && pln_tensor_size(c->in[PLN_GQA_QUERY_SEQLENS]) != g->batch))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "seqlens_k, query_seqlens want %lld numbers, "
                             "total_sequence_length one",
                             (long long)g->batch);
    g->total_len = pln_tensor_get_i64(total, 0);
    if (g->total_len < 0)
        return pln_call_fail(c, err, PLN_E_RUN, "total_sequence_length is %lld",
                             (long long)g->total_len);
    PLN_TRY(find_past(g, err));
    g->e = pln_call_scratch(c, ((size_t)g->batch + 1) * sizeof *g->e);
    if (!g->e)
        return pln_oom(err);
    for (int64_t b = 0; b < g->batch; b++)
        PLN_TRY(find_entry(g, b, err));
    return PLN_OK;
}

pln_status pln_gqa_find(pln_gqa *g, pln_error *err)
{
    g->heads = g->at->num_heads;
    g->kv_heads = g->at->kv_num_heads;
    if (g->at->causal != 0 && g->at->causal != 1)
        return pln_call_fail(g->c, err, PLN_E_RUN, "causal is %lld",
                             (long long)g->at->causal);
    PLN_TRY(find_qkv(g, err));
    return find_entries(g, err);
}
