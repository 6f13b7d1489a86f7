/* Attention and QAttention of com.microsoft: one product makes queries, keys and values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_attention.h"

#include "kernels/block.h"
#include "kernels/gemm_f32.h"
#include "kernels/gemm_int.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

#define NOWHERE UINT32_MAX
enum { SHARED_PACKED = 1 };

typedef struct self_attrs {
    int64_t num_heads, unidirectional, past_present_share_buffer, do_rotary;
    int64_t rotary_embedding_dim;
    float scale, mask_filter_value;
    pln_ints qkv_hidden_sizes;
} self_attrs;

#define COMMON                                                                     \
    { .name = "num_heads",                                                         \
      .type = PLN_ATTR_INT,                                                        \
      .required = true,                                                            \
      .offset = offsetof(self_attrs, num_heads) },                                 \
        PLN_A_INT(self_attrs, unidirectional, 0),                                  \
        PLN_A_INT(self_attrs, past_present_share_buffer, 0),                       \
        PLN_A_INT(self_attrs, do_rotary, 0), PLN_A_FLOAT(self_attrs, scale, 0.0f), \
        PLN_A_FLOAT(self_attrs, mask_filter_value, -10000.0f)
static const pln_attr_spec attention_spec[] = {
    COMMON,
    PLN_A_INT(self_attrs, rotary_embedding_dim, 0),
    PLN_A_INTS(self_attrs, qkv_hidden_sizes),
    PLN_A_END,
};
static const pln_attr_spec quantized_spec[] = { COMMON, PLN_A_END };

/* ---- sizes ----------------------------------------------------------------------- */

typedef struct sizes {
    int64_t rows, in, out; /* of the product */
    int64_t batch, len, hidden, v_hidden;
} sizes;

static pln_status find_sizes(const pln_call *c, sizes *s, pln_error *err)
{
    const self_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0], *w = c->in[1];
    const pln_ints given = at->qkv_hidden_sizes;
    if (at->do_rotary)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "do_rotary can't be run");
    if (x->rank != 3 || w->rank != 2 || w->dims[0] != x->dims[2] ||
        (pln_call_has(c, 2) && pln_tensor_size(c->in[2]) != w->dims[1]))
        return pln_call_fail(c, err, PLN_E_RUN, "input, weights and bias do not fit");
    *s = (sizes){ .rows = x->dims[0] * x->dims[1],
                  .in = x->dims[2],
                  .out = w->dims[1],
                  .batch = x->dims[0],
                  .len = x->dims[1],
                  .hidden = w->dims[1] / 3,
                  .v_hidden = w->dims[1] / 3 };
    if (given.n == 3) {
        s->hidden = given.v[0];
        s->v_hidden = given.v[2];
    }
    if (at->num_heads < 1 || s->hidden < 1 || s->v_hidden < 1 || s->hidden > s->out ||
        s->v_hidden > s->out || (given.n && (given.n != 3 || given.v[1] != s->hidden)) ||
        2 * s->hidden + s->v_hidden != s->out || s->hidden % at->num_heads ||
        s->v_hidden % at->num_heads)
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "%lld columns of weights do not make %lld heads of Q, K and V",
            (long long)s->out, (long long)at->num_heads);
    return PLN_OK;
}

/* ---- the product in float -------------------------------------------------------- */

typedef struct packed {
    const pln_allocator *alloc;
    float *data;
} packed;

static void release_packed(void *p)
{
    packed *w = p;
    pln_release(w->alloc, w->data);
    pln_release(w->alloc, w);
}

static int64_t panels(const pln_gemm_fns *f, int64_t n)
{
    return (n + f->nr - 1) / f->nr;
}

static void pack(float *out, const float *w, int64_t k, int64_t n)
{
    const pln_gemm_fns *f = pln_gemm();
    pln_gemm_pack(f, out, w, n, 1, k, n, 0, panels(f, n));
}

static pln_status make_packed(pln_prep *p, void **out, pln_error *err)
{
    const pln_tensor *w = p->in[1];
    const int64_t k = w->dims[0], n = w->dims[1], count = pln_tensor_size(w);
    const int64_t size = pln_gemm_packed_size(pln_gemm(), k, n);
    const bool is_float = w->dtype == PLN_DT_F32;
    size_t bytes = 0, plain_bytes = 0;
    float *plain = NULL;
    packed *r = pln_calloc(p->alloc, 1, sizeof *r);
    if (r && size >= 0 && pln_size_mul(&bytes, (size_t)size, sizeof(float)) &&
        pln_size_mul(&plain_bytes, (size_t)count, sizeof(float))) {
        r->data = pln_alloc_aligned(p->alloc, bytes + 1, 64);
        plain = is_float ? NULL : pln_alloc(p->alloc, plain_bytes + 1);
    }
    if (!r || !r->data || (!is_float && !plain)) {
        if (r)
            pln_release(p->alloc, r->data);
        pln_release(p->alloc, plain);
        pln_release(p->alloc, r);
        return pln_oom(err);
    }
    r->alloc = p->alloc;
    if (plain)
        pln_block_load(PLN_DT_F32, plain, w, 0, 1, count);
    pack(r->data, plain ? plain : PLN_DATA(const float, w), k, n);
    pln_release(p->alloc, plain);
    *out = r;
    return PLN_OK;
}

static pln_status attention_prepare(pln_prep *p, pln_error *err)
{
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->state = NULL;
    if (!p->in[1]->data || p->in[1]->rank != 2)
        return PLN_OK;
    PLN_TRY(p->shared(p, SHARED_PACKED, make_packed, release_packed, &p->state, err));
    p->packed[1] = true;
    return PLN_OK;
}

static void add_bias(float *y, const float *bias, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++)
        pln_vec()->add_to(y + i * n, bias, n);
}

static pln_status project(pln_call *c, const sizes *s, float *y, pln_error *err)
{
    const packed *w = c->state;
    const float *x, *b = w ? w->data : NULL;
    PLN_TRY(pln_ms_input(c, 0, &x, err));
    if (!b) {
        const float *plain;
        float *to;
        PLN_TRY(pln_ms_input(c, 1, &plain, err));
        PLN_TRY(
            pln_ms_floats(c, pln_gemm_packed_size(pln_gemm(), s->in, s->out), &to, err));
        pack(to, plain, s->in, s->out);
        b = to;
    }
    const pln_gemm_job g = { .fns = pln_gemm(),
                             .m = s->rows,
                             .n = s->out,
                             .k = s->in,
                             .a = x,
                             .a_rs = s->in,
                             .a_cs = 1,
                             .b = b,
                             .c = y,
                             .ldc = s->out };
    pln_gemm_parallel(&g, c->n_threads);
    return PLN_OK;
}

static pln_status project_ref(pln_call *c, const sizes *s, float *y, pln_error *err)
{
    const float *x, *w;
    PLN_TRY(pln_ms_input(c, 0, &x, err));
    PLN_TRY(pln_ms_input(c, 1, &w, err));
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t j = 0; j < s->out; j++) {
            double sum = 0;
            for (int64_t p = 0; p < s->in; p++)
                sum += (double)x[i * s->in + p] * w[p * s->out + j];
            y[i * s->out + j] = (float)sum;
        }
    return PLN_OK;
}

static pln_status attention_any(pln_call *c, bool plain, pln_error *err)
{
    const self_attrs *at = c->attrs;
    sizes s = { 0 };
    float *y;
    const float *bias;
    int64_t n;
    PLN_TRY(find_sizes(c, &s, err));
    if (!pln_i64_mul(&n, s.rows, s.out))
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(c, n, &y, err));
    PLN_TRY(plain ? project_ref(c, &s, y, err) : project(c, &s, y, err));
    if (pln_call_has(c, 2)) {
        PLN_TRY(pln_ms_input(c, 2, &bias, err));
        add_bias(y, bias, s.rows, s.out);
    }
    const pln_ms_self self = { .qkv = y,
                               .batch = s.batch,
                               .q_len = s.len,
                               .heads = at->num_heads,
                               .hidden = s.hidden,
                               .v_hidden = s.v_hidden,
                               .mask = 3,
                               .past = 4,
                               .bias = 5,
                               .past_len = 6,
                               .scale = at->scale,
                               .filter = at->mask_filter_value,
                               .causal = at->unidirectional != 0,
                               .shared = at->past_present_share_buffer != 0 };
    return pln_ms_self_attend(c, &self, plain, err);
}

static pln_status attention_ref(pln_call *c, pln_error *err)
{
    return attention_any(c, true, err);
}

static pln_status attention_run(pln_call *c, pln_error *err)
{
    return attention_any(c, false, err);
}

static const pln_impl attention_cpu = { "attention_f32", attention_prepare, attention_run,
                                        NULL };

/* ---- the product in integers ----------------------------------------------------- */

enum { X, W, BIAS, X_SCALE, W_SCALE, MASK, X_ZERO, W_ZERO, PAST };

static pln_status quantized_sums(pln_call *c, const sizes *s, bool plain, int32_t *acc,
                                 pln_error *err)
{
    pln_zero xz, wz;
    pln_mm g;
    if (!pln_zero_set(&xz, pln_call_has(c, X_ZERO) ? c->in[X_ZERO] : NULL, s->rows) ||
        !pln_zero_set(&wz, pln_call_has(c, W_ZERO) ? c->in[W_ZERO] : NULL, s->out) ||
        (xz.v && pln_tensor_size(c->in[X_ZERO]) != 1) ||
        !pln_mm_set(&g, c->in[X], c->in[W], false, false))
        return pln_call_fail(c, err, PLN_E_RUN, "the zero points do not fit");
    if (plain)
        return pln_int_mm_ref(c, &g, c->in[X], c->in[W], &xz, &wz, acc);
    const pln_igemm_fns *f = pln_igemm();
    const int flip = pln_byte_flip((pln_dtype)c->in[W]->dtype);
    const size_t bytes = pln_igemm_packed_size(f, s->in, s->out);
    void *b = bytes ? pln_call_scratch(c, bytes) : NULL;
    if (!b)
        return pln_oom(err);
    pln_igemm_pack(f, b, c->in[W]->data, s->out, 1, s->in, s->out, flip);
    const pln_igemm_job j = { .fns = f,
                              .m = s->rows,
                              .n = s->out,
                              .k = s->in,
                              .a = c->in[X]->data,
                              .a_rs = s->in,
                              .a_cs = 1,
                              .a_flip = pln_byte_flip((pln_dtype)c->in[X]->dtype),
                              .b_flip = flip,
                              .b = pln_igemm_view(f, b, s->in, s->out),
                              .a_zero = &xz,
                              .b_zero = &wz,
                              .c = acc,
                              .ldc = s->out };
    pln_igemm_parallel(&j, c->n_threads);
    return PLN_OK;
}

static pln_status project_quantized(pln_call *c, const sizes *s, bool plain, float *y,
                                    pln_error *err)
{
    const int64_t n = pln_tensor_size(c->in[W_SCALE]);
    const float *bias, *x_scale, *w_scale;
    int32_t *acc = pln_call_scratch(c, (size_t)(s->rows * s->out) * sizeof *acc + 1);
    if (!acc)
        return pln_oom(err);
    if (pln_tensor_size(c->in[X_SCALE]) != 1 || (n != 1 && n != s->out))
        return pln_call_fail(c, err, PLN_E_RUN, "the scales do not fit");
    PLN_TRY(pln_ms_input(c, BIAS, &bias, err));
    PLN_TRY(pln_ms_input(c, X_SCALE, &x_scale, err));
    PLN_TRY(pln_ms_input(c, W_SCALE, &w_scale, err));
    if (s->rows > 0)
        PLN_TRY(quantized_sums(c, s, plain, acc, err));
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t j = 0; j < s->out; j++)
            y[i * s->out + j] =
                (float)acc[i * s->out + j] * (*x_scale * w_scale[n == 1 ? 0 : j]) +
                bias[j];
    return PLN_OK;
}

static pln_status quantized_any(pln_call *c, bool plain, pln_error *err)
{
    const self_attrs *at = c->attrs;
    sizes s = { 0 };
    float *y;
    int64_t n;
    PLN_TRY(find_sizes(c, &s, err));
    if (!pln_i64_mul(&n, s.rows, s.out) || n > INT64_MAX / 8)
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(c, n, &y, err));
    PLN_TRY(project_quantized(c, &s, plain, y, err));
    const pln_ms_self self = { .qkv = y,
                               .batch = s.batch,
                               .q_len = s.len,
                               .heads = at->num_heads,
                               .hidden = s.hidden,
                               .v_hidden = s.v_hidden,
                               .mask = MASK,
                               .past = PAST,
                               .bias = NOWHERE,
                               .past_len = NOWHERE,
                               .scale = at->scale,
                               .filter = at->mask_filter_value,
                               .causal = at->unidirectional != 0,
                               .shared = at->past_present_share_buffer != 0 };
    return pln_ms_self_attend(c, &self, plain, err);
}

static pln_status quantized_ref(pln_call *c, pln_error *err)
{
    return quantized_any(c, true, err);
}

static pln_status quantized_run(pln_call *c, pln_error *err)
{
    return quantized_any(c, false, err);
}

static const pln_impl quantized_cpu = { "attention_u8", pln_ms_prepare, quantized_run,
                                        NULL };

/* ---- inference ------------------------------------------------------------------- */

static pln_status self_infer(pln_infer *inf, pln_dtype dt, uint32_t past, pln_error *err)
{
    const self_attrs *at = inf->attrs;
    const pln_ints given = at->qkv_hidden_sizes;
    const pln_dim third = pln_dim_div(inf->syms, pln_infer_dim(inf, 1, 1), pln_dim_of(3));
    return pln_ms_self_infer(inf, at->num_heads,
                             given.n == 3 ? pln_dim_of(given.v[0]) : third,
                             given.n == 3 ? pln_dim_of(given.v[2]) : third, past,
                             at->past_present_share_buffer != 0, dt, err);
}

static pln_status attention_infer(pln_infer *inf, pln_error *err)
{
    return self_infer(inf, pln_infer_dtype(inf, 0), 4, err);
}

static pln_status quantized_infer(pln_infer *inf, pln_error *err)
{
    return self_infer(inf, pln_infer_dtype(inf, BIAS), PAST, err);
}

/* The product and both products of the attention. */
static void self_cost(const pln_infer *inf, pln_cost *out)
{
    const pln_dim x = pln_shape_count(inf->syms, inf->in[0]->shape);
    const pln_dim n = pln_infer_dim(inf, 1, 1), len = pln_infer_dim(inf, 0, 1),
                  batch = pln_infer_dim(inf, 0, 0);
    if (!pln_dim_is_known(x) || !pln_dim_is_known(n) || !pln_dim_is_known(len) ||
        !pln_dim_is_known(batch))
        return;
    out->flops = 2.0 * (double)x.value * (double)n.value +
                 4.0 / 3 * (double)batch.value * (double)len.value * (double)len.value *
                     (double)n.value;
    out->bytes = out->flops / 16;
}

const pln_op_desc pln_ops_ms_attention[] = {
    { .name = "Attention",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 7 },
      .out = { 1, 2 },
      .types = "T:float,float16,bfloat16",
      .sig = "T,T,T?,int32?,T?,T?,int32?->T,T?",
      .attrs = attention_spec,
      .attrs_size = sizeof(self_attrs),
      .infer = attention_infer,
      .ref = attention_ref,
      .cpu = &attention_cpu,
      .cost = self_cost },
    { .name = "QAttention",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 5, 9 },
      .out = { 1, 2 },
      .types = "A:int8,uint8;B:int8,uint8;T:float,float16",
      .sig = "A,B,T,T,T,int32?,A?,B?,T?->T,T?",
      .attrs = quantized_spec,
      .attrs_size = sizeof(self_attrs),
      .infer = quantized_infer,
      .ref = quantized_ref,
      .cpu = &quantized_cpu,
      .cost = self_cost },
    { .name = NULL },
};
