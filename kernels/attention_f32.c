/* The standard's Attention in float, on the core that all attention operators share.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention.h"

#include "kernels/attention_core.h"
#include "kernels/block.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

/* Old or new keys or values: [batch, heads, len, dim] or [batch, len, heads x dim]. */
static pln_attn_rows rows_of(const pln_tensor *t, int64_t heads, int64_t len, int64_t dim)
{
    const bool split = t->rank == 4;
    return (pln_attn_rows){ .p = PLN_DATA(const float, t),
                            .batch = heads * len * dim,
                            .head = split ? len * dim : dim,
                            .row = split ? dim : heads * dim,
                            .n = len };
}

typedef struct view {
    const pln_attention_attrs *at;
    const pln_attention *a;
    bool cached;
} view;

static int64_t upper(int64_t a, int64_t b)
{
    int64_t sum;
    return pln_i64_add(&sum, a, b) ? sum : INT64_MAX;
}

/* What is not out_of_sight() of the reference. */
static void in_sight(const void *user, int64_t b, int64_t i, int64_t *first, int64_t *end)
{
    const view *v = user;
    const pln_attention *a = v->a;
    const pln_attention_attrs *at = v->at;
    const int64_t offset = v->cached ? a->past : a->nonpad ? a->nonpad[b] - a->q_len : 0;
    const int64_t here = i + offset;
    if (at->is_causal && here + 1 < *end)
        *end = here + 1;
    if (at->right_window_size >= 0 && upper(here, at->right_window_size) < *end)
        *end = upper(here, at->right_window_size) + 1;
    if (a->nonpad && a->nonpad[b] < *end)
        *end = a->nonpad[b];
    if (at->left_window_size >= 0 && here - at->left_window_size > *first)
        *first = here - at->left_window_size;
}

/* The mask as floats to be added. */
static pln_status set_mask(pln_call *c, const pln_attention *a, pln_attn_rows *r,
                           pln_error *err)
{
    const pln_tensor *m = c->in[3];
    int64_t stride[4];
    PLN_TRY(pln_attention_mask(c, a, stride, err));
    const int64_t size = pln_tensor_size(m), n = m->dims[m->rank - 1];
    *r = (pln_attn_rows){ .p = PLN_DATA(const float, m),
                          .batch = stride[0],
                          .head = stride[1],
                          .row = stride[2],
                          .n = n };
    if (m->dtype == PLN_DT_F32)
        return PLN_OK;
    size_t bytes;
    float *v = NULL;
    if (pln_size_mul(&bytes, (size_t)size + 1, sizeof *v))
        v = pln_call_scratch(c, bytes);
    if (!v)
        return pln_oom(err);
    pln_block_load(PLN_DT_F32, v, m, 0, 1, size);
    for (int64_t i = 0; m->dtype == PLN_DT_BOOL && i < size; i++)
        v[i] = v[i] != 0 ? 0 : -INFINITY;
    r->p = v;
    return PLN_OK;
}

static pln_status run(pln_call *c, pln_error *err)
{
    const pln_attention_attrs *at = (const pln_attention_attrs *)c->attrs;
    pln_attention a;
    PLN_TRY(pln_attention_find(c, &a, err));
    const view v = { at, &a, pln_call_has(c, 4) };
    pln_attn core = { .batch = a.batch,
                      .q_heads = a.q_heads,
                      .kv_heads = a.kv_heads,
                      .q_len = a.q_len,
                      .dim = a.dim,
                      .v_dim = a.v_dim,
                      .total = a.total,
                      .q = rows_of(c->in[0], a.q_heads, a.q_len, a.dim),
                      .k[1] = rows_of(c->in[1], a.kv_heads, a.kv_len, a.dim),
                      .v[1] = rows_of(c->in[2], a.kv_heads, a.kv_len, a.v_dim),
                      .scale = (float)a.scale,
                      .softcap = at->softcap,
                      .user = &v };
    const pln_attn_rows y = rows_of(c->out[0], a.q_heads, a.q_len, a.v_dim);
    core.y = PLN_DATA(float, c->out[0]);
    core.y_batch = y.batch, core.y_head = y.head, core.y_row = y.row;
    if (v.cached) {
        core.k[0] = rows_of(c->in[4], a.kv_heads, a.past, a.dim);
        core.v[0] = rows_of(c->in[5], a.kv_heads, a.past, a.v_dim);
    }
    if (pln_call_has(c, 3))
        PLN_TRY(set_mask(c, &a, &core.bias[0], err));
    if (a.nonpad || at->is_causal || at->left_window_size >= 0 ||
        at->right_window_size >= 0)
        core.range = in_sight;
    if (pln_call_wants(c, 3)) {
        core.qk = PLN_DATA(float, c->out[3]);
        core.qk_stage = (pln_attn_stage)at->qk_matmul_output_mode;
    }
    PLN_TRY(pln_attn_run(&core, c, err));
    pln_attention_present(c, &a);
    return PLN_OK;
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    const pln_attention_attrs *a = (const pln_attention_attrs *)p->attrs;
    (void)err;
    if (a->softmax_precision > PLN_DT_F32 || a->qk_matmul_output_mode < 0 ||
        a->qk_matmul_output_mode > PLN_ATTN_SOFTMAX)
        return PLN_E_UNSUPPORTED;
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && i != 3 && i != 6 && p->in[i]->dtype != PLN_DT_F32)
            return PLN_E_UNSUPPORTED;
        p->layout_in[i] = PLN_LAYOUT_PLAIN;
    }
    return p->n_out > 0 && p->out[0] ? PLN_OK : PLN_E_UNSUPPORTED;
}

const pln_impl pln_attention_cpu = { "attention_f32", prepare, run, NULL };
