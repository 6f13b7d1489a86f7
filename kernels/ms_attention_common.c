/* What the attention operators of com.microsoft share: types, biases, masks, caches.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_attention.h"

#include "kernels/block.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

pln_status pln_ms_floats(pln_call *c, int64_t n, float **out, pln_error *err)
{
    size_t bytes;
    *out = NULL;
    if (n >= 0 && pln_size_mul(&bytes, (size_t)n, sizeof **out))
        *out = pln_call_scratch(c, bytes + 1);
    return *out ? PLN_OK : pln_oom(err);
}

pln_status pln_ms_input(pln_call *c, uint32_t i, const float **out, pln_error *err)
{
    const pln_tensor *t = c->in[i];
    float *copy;
    *out = PLN_DATA(const float, t);
    if (t->dtype == PLN_DT_F32)
        return PLN_OK;
    PLN_TRY(pln_ms_floats(c, pln_tensor_size(t), &copy, err));
    pln_block_load(PLN_DT_F32, copy, t, 0, 1, pln_tensor_size(t));
    *out = copy;
    return PLN_OK;
}

pln_status pln_ms_output(pln_call *c, uint32_t i, float **out, pln_error *err)
{
    *out = NULL;
    if (!pln_call_wants(c, i))
        return PLN_OK;
    if (c->out[i]->dtype != PLN_DT_F32)
        return pln_ms_floats(c, pln_tensor_size(c->out[i]), out, err);
    *out = PLN_DATA(float, c->out[i]);
    return *out ? PLN_OK : pln_ms_floats(c, 0, out, err);
}

void pln_ms_store(pln_call *c, uint32_t i, const float *v)
{
    if (v && pln_call_wants(c, i) && c->out[i]->dtype != PLN_DT_F32)
        pln_block_store(c->out[i], 0, 1, PLN_DT_F32, v, pln_tensor_size(c->out[i]));
}

pln_status pln_ms_add_bias(pln_call *c, pln_attn_rows *r, int64_t batch, int64_t heads,
                           int64_t dim, const float *bias, pln_error *err)
{
    float *to;
    int64_t n;
    if (!pln_i64_mul(&n, batch * r->n, heads * dim))
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(c, n, &to, err));
    for (int64_t i = 0; i < batch * r->n * heads; i++) {
        const int64_t h = i % heads, row = i / heads % r->n, b = i / heads / r->n;
        const float *from = r->p + b * r->batch + h * r->head + row * r->row;
        for (int64_t d = 0; d < dim; d++)
            to[i * dim + d] = from[d] + bias[h * dim + d];
    }
    *r = (pln_attn_rows){ to, r->n * heads * dim, dim, heads * dim, r->n };
    return PLN_OK;
}

void pln_ms_present(float *out, int64_t rows, int64_t batch, int64_t heads, int64_t dim,
                    const pln_attn_rows *old, const pln_attn_rows *now)
{
    for (int64_t i = 0; out && i < batch * heads; i++) {
        const int64_t b = i / heads, h = i % heads;
        float *to = out + i * rows * dim;
        for (int64_t j = 0; j < rows; j++, to += dim) {
            const pln_attn_rows *r = j < old->n ? old : now;
            const int64_t at = j < old->n ? j : j - old->n;
            if (at < r->n)
                memmove(to, r->p + b * r->batch + h * r->head + at * r->row,
                        (size_t)dim * sizeof *to);
            else
                memset(to, 0, (size_t)dim * sizeof *to);
        }
    }
}

pln_status pln_ms_set_bias(pln_call *c, uint32_t i, const pln_attn *a, pln_attn_rows *r,
                           pln_error *err)
{
    const pln_tensor *t = pln_call_has(c, i) ? c->in[i] : NULL;
    if (!t)
        return PLN_OK;
    const int64_t *d = t->dims;
    if (t->rank != 4 || (d[0] != 1 && d[0] != a->batch) ||
        (d[1] != 1 && d[1] != a->q_heads) || d[2] != a->q_len || d[3] < a->total)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "input %u does not fit to %lld x %lld x %lld x %lld scores",
                             i, (long long)a->batch, (long long)a->q_heads,
                             (long long)a->q_len, (long long)a->total);
    PLN_TRY(pln_ms_input(c, i, &r->p, err));
    r->row = d[3];
    r->head = d[1] == 1 ? 0 : d[2] * d[3];
    r->batch = d[0] == 1 ? 0 : d[1] * d[2] * d[3];
    r->n = a->total;
    return PLN_OK;
}

/* ---- masks ----------------------------------------------------------------------- */

/* Keys of each batch that count: [0, end), or with starts [start, end). */
static void mask_ranges(const int32_t *m, int64_t batch, int64_t total, bool starts,
                        float filter, float *out)
{
    for (int64_t b = 0; b < batch; b++)
        for (int64_t j = 0; j < total; j++)
            out[b * total + j] = j >= m[b] || (starts && j < m[batch + b]) ? filter : 0;
}

pln_status pln_ms_set_mask(pln_call *c, uint32_t i, const pln_attn *a, int64_t past,
                           float filter, pln_attn_rows *r, pln_error *err)
{
    const pln_tensor *t = pln_call_has(c, i) ? c->in[i] : NULL;
    if (!t)
        return PLN_OK;
    const int32_t *m = PLN_DATA(const int32_t, t);
    const int64_t B = a->batch, T = a->total, *d = t->dims;
    int64_t rows = B, n;
    float *v;
    const bool lengths =
        t->rank == 1 && (d[0] == B || d[0] == 2 * B || d[0] == 3 * B + 2);
    const bool keys = t->rank == 2 && d[0] == B && d[1] == T;
    const bool full = t->rank == 3 && d[0] == B && d[1] == a->q_len && d[2] == T;
    const bool square = t->rank == 4 && d[0] == B && d[1] == 1 && d[2] == d[3] &&
                        d[2] >= past + a->q_len && d[3] >= T;
    if (!lengths && !keys && !full && !square)
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "the mask (input %u) does not fit to %lld x %lld x %lld scores", i,
            (long long)B, (long long)a->q_len, (long long)T);
    if (full || square)
        rows = B * a->q_len;
    if (!pln_i64_mul(&n, rows, T))
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(c, n, &v, err));
    if (lengths) /* of 3 x batch + 2 the first are the lengths of the keys */
        mask_ranges(m, B, T, d[0] == 2 * B, filter, v);
    for (int64_t l = 0; !lengths && l < rows; l++) {
        const int32_t *from = m + l * T;
        if (square)
            from = m + (l / a->q_len * d[2] + past + l % a->q_len) * d[3];
        for (int64_t j = 0; j < T; j++)
            v[l * T + j] = from[j] > 0 ? 0 : filter;
    }
    const bool by_row = full || square;
    *r = (pln_attn_rows){ v, by_row ? a->q_len * T : T, 0, by_row ? T : 0, T };
    return PLN_OK;
}

pln_status pln_ms_attend(const pln_attn *a, pln_call *c, bool plain, pln_error *err)
{
    return plain ? pln_attn_ref(a, c, err) : pln_attn_run(a, c, err);
}

/* ---- from a projection on -------------------------------------------------------- */

static void causal(const void *user, int64_t b, int64_t i, int64_t *first, int64_t *end)
{
    (void)b, (void)first;
    const int64_t here = *(const int64_t *)user + i + 1;
    *end = here < *end ? here : *end;
}

static pln_status find_past(pln_call *c, const pln_ms_self *s, pln_attn *a, int64_t *past,
                            int64_t *rows, pln_error *err)
{
    const pln_tensor *t = pln_call_has(c, s->past) ? c->in[s->past] : NULL;
    *past = 0;
    *rows = s->q_len;
    if (!t)
        return PLN_OK;
    const int64_t *d = t->dims;
    if (t->rank != 5 || d[0] != 2 || d[1] != a->batch || d[2] != s->heads ||
        d[4] != a->dim || a->dim != a->v_dim)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "past is not [2, batch, heads, length, "
                             "head size]");
    *past = d[3];
    *rows = d[3] + s->q_len;
    if (s->shared) {
        const pln_tensor *len = pln_call_has(c, s->past_len) ? c->in[s->past_len] : NULL;
        *rows = d[3];
        *past = len && pln_tensor_size(len) == 1 ? pln_tensor_get_i64(len, 0) : -1;
        if (*past < 0 || *past > d[3] - s->q_len)
            return pln_call_fail(
                c, err, PLN_E_RUN,
                "past_sequence_length %lld and %lld new rows in a cache of "
                "%lld",
                (long long)*past, (long long)s->q_len, (long long)d[3]);
    }
    const float *p;
    PLN_TRY(pln_ms_input(c, s->past, &p, err));
    const pln_attn_rows r = { p, s->heads * d[3] * a->dim, d[3] * a->dim, a->dim, *past };
    a->k[0] = a->v[0] = r;
    a->v[0].p = p + a->batch * r.batch;
    return PLN_OK;
}

pln_status pln_ms_self_attend(pln_call *c, const pln_ms_self *s, bool plain,
                              pln_error *err)
{
    const int64_t width = 2 * s->hidden + s->v_hidden;
    int64_t past, rows;
    float *y, *present;
    pln_attn a = { .batch = s->batch,
                   .q_heads = s->heads,
                   .kv_heads = s->heads,
                   .q_len = s->q_len,
                   .dim = s->hidden / s->heads,
                   .v_dim = s->v_hidden / s->heads,
                   .user = &past };
    const pln_attn_rows r = { s->qkv, s->q_len * width, a.dim, width, s->q_len };
    a.q = a.k[1] = a.v[1] = r;
    a.k[1].p += s->hidden;
    a.v[1].p += 2 * s->hidden;
    a.v[1].head = a.v_dim;
    PLN_TRY(find_past(c, s, &a, &past, &rows, err));
    a.total = past + s->q_len;
    a.scale = s->scale != 0 ? s->scale : (float)(1 / sqrt((double)a.dim));
    PLN_TRY(pln_ms_set_mask(c, s->mask, &a, past, s->filter, &a.bias[0], err));
    PLN_TRY(pln_ms_set_bias(c, s->bias, &a, &a.bias[1], err));
    a.range = s->causal ? causal : NULL;
    PLN_TRY(pln_ms_output(c, 0, &y, err));
    PLN_TRY(pln_ms_output(c, 1, &present, err));
    a.y = y;
    a.y_batch = s->q_len * s->v_hidden;
    a.y_head = a.v_dim;
    a.y_row = s->v_hidden;
    if (present && a.dim != a.v_dim)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "present needs keys and values of one head size");
    PLN_TRY(pln_ms_attend(&a, c, plain, err));
    if (present) {
        pln_ms_present(present, rows, a.batch, s->heads, a.dim, &a.k[0], &a.k[1]);
        pln_ms_present(present + a.batch * s->heads * rows * a.dim, rows, a.batch,
                       s->heads, a.dim, &a.v[0], &a.v[1]);
    }
    pln_ms_store(c, 0, y);
    pln_ms_store(c, 1, present);
    return PLN_OK;
}

/* ---- for the rows ---------------------------------------------------------------- */

pln_status pln_ms_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

void pln_ms_infer(pln_infer *inf, uint32_t o, pln_dtype dt, int rank, const pln_dim *dims)
{
    pln_shape s = pln_infer_shape(inf, rank);
    for (int i = 0; i < rank; i++)
        s.dims[i] = dims[i];
    if (o < inf->n_out)
        pln_infer_set(inf, o, dt, s);
}

pln_status pln_ms_self_infer(pln_infer *inf, int64_t heads, pln_dim hidden,
                             pln_dim v_hidden, uint32_t past, bool shared, pln_dtype dt,
                             pln_error *err)
{
    const pln_dim y[3] = { pln_infer_dim(inf, 0, 0), pln_infer_dim(inf, 0, 1), v_hidden };
    pln_dim p[5] = { pln_dim_of(2), y[0], pln_dim_of(heads), y[1],
                     pln_dim_div(inf->syms, hidden, pln_dim_of(heads)) };
    if (heads < 1)
        return pln_infer_fail(inf, err, "num_heads is %lld", (long long)heads);
    if (pln_infer_has(inf, past) && pln_infer_rank(inf, past) == 5)
        p[3] = shared ? pln_infer_dim(inf, past, 3)
                      : pln_dim_add(inf->syms, pln_infer_dim(inf, past, 3), y[1]);
    else if (pln_infer_has(inf, past))
        p[3] = pln_dim_unknown();
    pln_ms_infer(inf, 0, dt, 3, y);
    pln_ms_infer(inf, 1, dt, 5, p);
    return PLN_OK;
}
