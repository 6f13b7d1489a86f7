/* planish.FusedAttention: softmax(mask(cap tanh(scale q k^T / cap) + bias)) v.
 *
 * Every size broadcasts as it would in the operators one by one. An operand is [batch,
 * heads, len, dim], or [batch, len, heads x dim] where q_num_heads tells the number of
 * heads; without that, of rank 2 or 3, [.., len, dim]. k and v may have fewer heads,
 * each for a group of those of q. Without k and v, q has all three in its last
 * dimension, one behind the other in this `order`, all heads of one size. bias is added;
 * where keep is false (with `hide`: true), the score becomes `fill`. With `zero_nan`,
 * probabilities that are NaN become 0. With `merge`, y is [batch, len, heads x dim].
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention_core.h"
#include "src/ir/op.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

typedef struct fused_attrs {
    float scale, softcap, fill;
    int64_t q_num_heads, kv_num_heads, hide, zero_nan, merge, order;
} fused_attrs;

#define ORDERS "qkv|qvk|kqv|kvq|vqk|vkq"

static const pln_attr_spec fused_spec[] = {
    PLN_A_FLOAT(fused_attrs, scale, 1.0f),
    PLN_A_FLOAT(fused_attrs, softcap, 0.0f),
    PLN_A_FLOAT(fused_attrs, fill, -INFINITY),
    PLN_A_INT(fused_attrs, q_num_heads, 0),
    PLN_A_INT(fused_attrs, kv_num_heads, 0),
    PLN_A_INT(fused_attrs, hide, 0),
    PLN_A_INT(fused_attrs, zero_nan, 0),
    PLN_A_INT(fused_attrs, merge, 0),
    PLN_A_ENUM(fused_attrs, order, ORDERS, "qkv"),
    PLN_A_END,
};

enum { Q, K, V, BIAS, KEEP };

/* ---- inference ------------------------------------------------------------------- */

static bool is_packed(const pln_node *n)
{
    return n->n_in <= K || !n->in[K];
}

/* All heads that lie behind each other where q, k and v are packed. */
static int64_t heads_packed(const fused_attrs *at)
{
    return at->q_num_heads + 2 * at->kv_num_heads;
}

/* Of them, those before the heads of operand i. */
static int64_t heads_before(const fused_attrs *at, int i)
{
    const char *order = &ORDERS[4 * at->order];
    int64_t n = 0;
    for (; *order != "qkv"[i]; order++)
        n += *order == 'q' ? at->q_num_heads : at->kv_num_heads;
    return n;
}

/* Input i as four dimensions: batch, heads, len, last. */
static bool dims_of(const pln_infer *inf, uint32_t i, bool headless, pln_dim *d)
{
    const fused_attrs *at = inf->attrs;
    const bool packed = i < BIAS && is_packed(inf->node);
    const uint32_t from = packed ? Q : i;
    const int rank = pln_infer_rank(inf, from);
    const int64_t heads = i == Q ? at->q_num_heads : at->kv_num_heads;
    if (rank < (i < BIAS ? 2 : 0) || rank > 4 || (packed && rank != 3))
        return false;
    for (int k = 0; k < 4; k++)
        d[k] = k < 4 - rank ? pln_dim_of(1) : pln_infer_dim(inf, from, k - (4 - rank));
    if (rank != 3 || (i >= BIAS && !headless))
        return true;
    d[0] = d[1];
    d[1] = pln_dim_of(1);
    if (i >= BIAS || !heads)
        return true;
    d[1] = pln_dim_of(heads);
    d[3] = pln_dim_div(inf->syms, d[3], pln_dim_of(packed ? heads_packed(at) : heads));
    return true;
}

static pln_dim wider(pln_dim a, pln_dim b)
{
    if (pln_dim_is(a, 1) || pln_dim_equal(a, b))
        return b;
    if (pln_dim_is(b, 1) || (pln_dim_is_known(a) && !pln_dim_is_known(b)))
        return a;
    return pln_dim_is_known(b) ? b : pln_dim_unknown();
}

static bool is_headless(const pln_infer *inf)
{
    const fused_attrs *at = inf->attrs;
    return !at->q_num_heads && pln_infer_rank(inf, Q) < 4;
}

static void set_output(pln_infer *inf, const pln_dim *d, bool headless)
{
    const fused_attrs *at = inf->attrs;
    const int rank = headless ? pln_infer_rank(inf, Q) : at->merge ? 3 : 4;
    pln_shape s = pln_infer_shape(inf, rank);
    if (rank == 4) {
        memcpy(s.dims, d, 4 * sizeof *d);
    } else {
        s.dims[0] = d[0];
        s.dims[rank - 2] = d[2];
        s.dims[rank - 1] = headless ? d[3] : pln_dim_mul(inf->syms, d[1], d[3]);
    }
    pln_infer_set(inf, 0, PLN_DT_F32, s);
}

static pln_status fused_check(pln_node *n, void *attrs, pln_error *err)
{
    const fused_attrs *at = attrs;
    const bool k = n->n_in > K && n->in[K], v = n->n_in > V && n->in[V];
    if (k != v || (!k && (at->q_num_heads < 1 || at->kv_num_heads < 1)))
        return pln_fail(err, PLN_E_FORMAT,
                        "%s (FusedAttention): keys and values come both by themselves, "
                        "or both with the queries, and then the numbers of heads are told",
                        n->name);
    return PLN_OK;
}

static pln_status fused_infer(pln_infer *inf, pln_error *err)
{
    const bool headless = is_headless(inf), packed = is_packed(inf->node);
    pln_dim out[4], d[4], q[4];
    (void)err;
    pln_infer_set(inf, 0, PLN_DT_F32, pln_shape_unknown());
    if (!dims_of(inf, Q, headless, q))
        return PLN_OK;
    memcpy(out, q, sizeof q);
    for (uint32_t i = K; i <= KEEP; i++) {
        if (!pln_infer_has(inf, i) && !(packed && i < BIAS))
            continue;
        if (!dims_of(inf, i, headless, d))
            return PLN_OK;
        out[0] = wider(out[0], d[0]);
        if (i >= BIAS || pln_dim_is(q[1], 1))
            out[1] = wider(out[1], d[1]);
        if (i >= BIAS)
            out[2] = wider(out[2], d[2]);
        if (i == V)
            out[3] = d[3];
    }
    set_output(inf, out, headless);
    return PLN_OK;
}

static void fused_cost(const pln_infer *inf, pln_cost *out)
{
    pln_dim d[4];
    const pln_dim q = pln_shape_count(inf->syms, inf->in[Q]->shape);
    if (dims_of(inf, K, is_headless(inf), d) && pln_dim_is_known(q) &&
        pln_dim_is_known(d[2]))
        out->flops = 4.0 * (double)q.value * (double)d[2].value;
    out->bytes = out->flops / 16;
}

/* ---- running --------------------------------------------------------------------- */

/* A tensor as four dimensions; those of size 1 have stride 0. */
typedef struct view {
    int64_t n[4], stride[4];
} view;

/* `packed`: how many heads lie behind each other; 0: only those of this operand. */
static bool view_of(const pln_tensor *t, int64_t heads, int64_t packed, bool headless,
                    bool operand, view *v)
{
    if (t->rank > 4 || (operand && t->rank < 2))
        return false;
    int64_t s = 1;
    for (int i = 3; i >= 0; i--) {
        const int at = i - (4 - t->rank);
        v->n[i] = at < 0 ? 1 : t->dims[at];
        v->stride[i] = s;
        s *= v->n[i];
    }
    if (t->rank != 3 || (!operand && !headless))
        return true;
    v->n[0] = v->n[1];
    v->stride[0] = v->stride[1];
    v->n[1] = 1;
    if (!operand || !heads)
        return true;
    packed = packed ? packed : heads;
    if (heads < 1 || packed < 1 || v->n[3] % packed)
        return false;
    v->n[1] = heads;
    v->n[3] /= packed;
    v->stride[1] = v->n[3];
    return true;
}

static void still(view *v)
{
    for (int i = 0; i < 4; i++)
        if (v->n[i] == 1)
            v->stride[i] = 0;
}

static bool widen(int64_t *n, int64_t by)
{
    if (by != 1 && *n != 1 && by != *n)
        return false;
    *n = *n == 1 ? by : *n;
    return true;
}

typedef struct layout {
    view in[5];
    int64_t size[4]; /* batch, heads, queries, keys */
    int64_t kv_heads;
    const pln_tensor *from[3]; /* q, k and v */
    int64_t offset[3];         /* where they begin in it */
} layout;

/* Fewer heads of keys and values than of queries: groups, or one for all. */
static bool set_heads(layout *l)
{
    const int64_t k = l->in[K].n[1], v = l->in[V].n[1];
    if (l->size[1] == 1 && (!widen(&l->size[1], k) || !widen(&l->size[1], v)))
        return false;
    const int64_t heads = l->size[1];
    if (k < 1 || v < 1 || heads % k || heads % v || (k != v && k != 1 && v != 1))
        return false;
    l->kv_heads = k == v ? k : k > v ? k : v;
    return true;
}

static bool find_layout(const pln_call *c, layout *l)
{
    const fused_attrs *at = c->attrs;
    const bool headless = !at->q_num_heads && c->in[Q]->rank < 4;
    const bool packed = is_packed(c->node);
    *l = (layout){ .size = { 1, 1, 1, 1 } };
    if (packed && c->in[Q]->rank != 3)
        return false;
    for (uint32_t i = 0; i < 5; i++) {
        view *v = &l->in[i];
        const uint32_t from = packed && i < BIAS ? Q : i;
        if (!pln_call_has(c, from))
            continue;
        if (i < BIAS)
            l->from[i] = c->in[from];
        if (!view_of(c->in[from], i == Q ? at->q_num_heads : at->kv_num_heads,
                     packed ? heads_packed(at) : 0, headless, i < BIAS, v) ||
            !widen(&l->size[0], v->n[0]) ||
            (i != K && i != V && (!widen(&l->size[1], v->n[1]) ||
                                  !widen(&l->size[2], v->n[2]))) ||
            (i == K && !widen(&l->size[3], v->n[2])) ||
            (i >= BIAS && !widen(&l->size[3], v->n[3])))
            return false;
        still(v);
    }
    for (int i = 0; i < 3 && packed; i++)
        l->offset[i] = heads_before(at, i) * l->in[i].n[3];
    return set_heads(l) && l->in[V].n[2] == l->size[3] && l->in[Q].n[3] == l->in[K].n[3];
}

static pln_attn_rows rows_of(const float *p, const view *v, int64_t n)
{
    return (pln_attn_rows){ .p = p,
                            .batch = v->stride[0],
                            .head = v->stride[1],
                            .row = v->stride[2],
                            .n = n };
}

static pln_attn_rows operand(const layout *l, int i, int64_t n)
{
    return rows_of(PLN_DATA(const float, l->from[i]) + l->offset[i], &l->in[i], n);
}

/* A last dimension of 1 stands for all keys: written out. `size` is that of an
 * element. */
static pln_status spread(pln_call *c, const pln_tensor *t, view *v, int64_t keys,
                         size_t size, const void **out, pln_error *err)
{
    const int64_t rows = pln_tensor_size(t);
    size_t bytes;
    *out = t->data;
    if (v->n[3] == keys)
        return PLN_OK;
    char *p = NULL;
    if (pln_size_mul(&bytes, (size_t)rows, (size_t)keys) &&
        pln_size_mul(&bytes, bytes, size))
        p = pln_call_scratch(c, bytes + 1);
    if (!p)
        return pln_oom(err);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < keys; j++)
            memcpy(p + (size_t)(i * keys + j) * size,
                   (const char *)t->data + (size_t)i * size, size);
    for (int i = 0; i < 3; i++)
        v->stride[i] *= keys;
    *out = p;
    return PLN_OK;
}

static pln_status set_masks(pln_call *c, layout *l, pln_attn *a, pln_error *err)
{
    const void *p;
    if (pln_call_has(c, BIAS)) {
        PLN_TRY(spread(c, c->in[BIAS], &l->in[BIAS], a->total, sizeof(float), &p, err));
        a->bias[0] = rows_of(p, &l->in[BIAS], a->total);
    }
    if (pln_call_has(c, KEEP)) {
        view *v = &l->in[KEEP];
        PLN_TRY(spread(c, c->in[KEEP], v, a->total, 1, &p, err));
        a->flags = (pln_attn_flags){ p, v->stride[0], v->stride[1], v->stride[2] };
    }
    return PLN_OK;
}

static void set_result(pln_call *c, const layout *l, pln_attn *a)
{
    const fused_attrs *at = c->attrs;
    const int64_t heads = l->size[1], len = l->size[2], dim = a->v_dim;
    a->y = PLN_DATA(float, c->out[0]);
    a->y_batch = heads * len * dim;
    a->y_head = at->merge ? dim : len * dim;
    a->y_row = at->merge ? heads * dim : dim;
}

static pln_status shape_output(pln_call *c, const layout *l, pln_error *err)
{
    const fused_attrs *at = c->attrs;
    const int64_t dim = l->in[V].n[3], *s = l->size;
    const bool headless = !at->q_num_heads && c->in[Q]->rank < 4;
    const int64_t four[4] = { s[0], s[1], s[2], dim };
    const int64_t three[3] = { s[0], s[2], s[1] * dim };
    if (headless && (s[1] != 1 || (c->in[Q]->rank == 2 && s[0] != 1)))
        return pln_call_fail(c, err, PLN_E_RUN, "the shapes do not fit together");
    const int rank = headless ? c->in[Q]->rank : at->merge ? 3 : 4;
    return pln_call_output(c, 0, PLN_DT_F32, rank,
                           rank == 4   ? four
                           : rank == 3 ? three
                                       : three + 1,
                           err);
}

static pln_status attend(pln_call *c, bool plain, pln_error *err)
{
    const fused_attrs *at = c->attrs;
    layout l;
    if (!find_layout(c, &l))
        return pln_call_fail(c, err, PLN_E_RUN, "the shapes do not fit together");
    PLN_TRY(shape_output(c, &l, err));
    pln_attn a = { .batch = l.size[0],
                   .q_heads = l.size[1],
                   .kv_heads = l.kv_heads,
                   .q_len = l.size[2],
                   .total = l.size[3],
                   .dim = l.in[Q].n[3],
                   .v_dim = l.in[V].n[3],
                   .q = operand(&l, Q, l.size[2]),
                   .k[1] = operand(&l, K, l.size[3]),
                   .v[1] = operand(&l, V, l.size[3]),
                   .scale = at->scale,
                   .softcap = at->softcap,
                   .fill = at->fill,
                   .hides = at->hide != 0,
                   .zero_nan = at->zero_nan != 0 };
    PLN_TRY(set_masks(c, &l, &a, err));
    set_result(c, &l, &a);
    return plain ? pln_attn_ref(&a, c, err) : pln_attn_run(&a, c, err);
}

static pln_status fused_ref(pln_call *c, pln_error *err)
{
    return attend(c, true, err);
}

static pln_status fused_run(pln_call *c, pln_error *err)
{
    return attend(c, false, err);
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    for (uint32_t i = 0; i < p->n_in; i++)
        p->layout_in[i] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

static const pln_impl fused_cpu = { "fused_attention_f32", prepare, fused_run, NULL };

const pln_op_desc pln_ops_fused_attention[] = {
    { .name = "FusedAttention",
      .domain = "planish",
      .since = 1,
      .in = { 1, 5 },
      .out = { 1, 1 },
      .types = "T:float",
      .sig = "T,T?,T?,T?,bool?->T",
      .attrs = fused_spec,
      .attrs_size = sizeof(fused_attrs),
      .check = fused_check,
      .infer = fused_infer,
      .ref = fused_ref,
      .cpu = &fused_cpu,
      .cost = fused_cost },
    { .name = NULL },
};
