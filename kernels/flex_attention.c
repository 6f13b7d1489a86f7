/* FlexAttention: attention whose scores and probabilities bodies of the node may change.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/move.h"
#include "kernels/vec.h"

#include <math.h>
#include <string.h>

typedef struct flex_attrs {
    pln_graph *score_mod, *prob_mod;
    int64_t softmax_precision;
    float scale;
    bool has_scale, has_precision;
} flex_attrs;

static const pln_attr_spec flex_spec[] = {
    PLN_A_GRAPH_OPT(flex_attrs, score_mod),
    PLN_A_GRAPH_OPT(flex_attrs, prob_mod),
    { .name = "softmax_precision",
      .type = PLN_ATTR_INT,
      .offset = offsetof(flex_attrs, softmax_precision),
      .has_offset = offsetof(flex_attrs, has_precision) },
    { .name = "scale",
      .type = PLN_ATTR_FLOAT,
      .offset = offsetof(flex_attrs, scale),
      .has_offset = offsetof(flex_attrs, has_scale) },
    PLN_A_END,
};

/* The type of scores and probabilities. */
static pln_dtype precision_of(const flex_attrs *a, pln_dtype dt)
{
    if (a->has_precision)
        return (pln_dtype)a->softmax_precision;
    return dt == PLN_DT_F64 ? PLN_DT_F64 : PLN_DT_F32;
}

/* ---- sizes ------------------------------------------------------------------------- */

typedef struct flex {
    pln_call *c;
    int64_t batch, q_heads, kv_heads, q_len, kv_len, dim, v_dim;
    double root; /* of the scale: both Q and K are multiplied by it */
    pln_tensor *score;
    double *work; /* of the reference */
} flex;

static pln_status find_sizes(pln_call *c, flex *f, pln_error *err)
{
    const flex_attrs *a = (const flex_attrs *)c->attrs;
    const pln_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2];
    if (q->rank != 4 || k->rank != 4 || v->rank != 4)
        return pln_call_fail(c, err, PLN_E_RUN, "ranks %d, %d, %d, want 4", q->rank,
                             k->rank, v->rank);
    *f = (flex){ .c = c,
                 .batch = q->dims[0],
                 .q_heads = q->dims[1],
                 .kv_heads = k->dims[1],
                 .q_len = q->dims[2],
                 .kv_len = k->dims[2],
                 .dim = q->dims[3],
                 .v_dim = v->dims[3] };
    if (k->dims[0] != f->batch || v->dims[0] != f->batch || k->dims[3] != f->dim ||
        v->dims[1] != f->kv_heads || v->dims[2] != f->kv_len ||
        (f->kv_heads ? f->q_heads % f->kv_heads : f->q_heads) != 0)
        return pln_call_fail(c, err, PLN_E_RUN, "Q, K and V do not fit together");
    const float scale = a->has_scale ? a->scale : (float)(1 / sqrt((double)f->dim));
    f->root = sqrtf(scale);
    return PLN_OK;
}

static const pln_tensor *kv(const flex *f, uint32_t in, int64_t h, int64_t *at)
{
    const int64_t b = h / f->q_heads, group = f->q_heads / f->kv_heads;
    const pln_tensor *t = f->c->in[in];
    *at = (b * f->kv_heads + h % f->q_heads / group) * t->dims[2] * t->dims[3];
    return t;
}

/* ---- the reference ----------------------------------------------------------------- */

static void scaled(const flex *f, double *out, const pln_tensor *t, int64_t at, int64_t n)
{
    const pln_dtype dt = (pln_dtype)t->dtype;
    double root = f->root;
    pln_block_round(dt, &root, 1);
    pln_block_load(PLN_DT_F64, out, t, at, 1, n);
    for (int64_t i = 0; i < n; i++)
        out[i] *= root;
    pln_block_round(dt, out, n);
}

/* Scores of head h, rounded to the type of Q and then to that of the softmax. */
static void score_head(const flex *f, int64_t h)
{
    int64_t at;
    const pln_tensor *k = kv(f, 1, h, &at);
    double *pk = f->work, *q = pk + f->kv_len * f->dim, *s = q + f->dim;
    scaled(f, pk, k, at, f->kv_len * f->dim);
    for (int64_t i = 0; i < f->q_len; i++) {
        scaled(f, q, f->c->in[0], (h * f->q_len + i) * f->dim, f->dim);
        for (int64_t j = 0; j < f->kv_len; j++) {
            s[j] = 0;
            for (int64_t d = 0; d < f->dim; d++)
                s[j] += q[d] * pk[j * f->dim + d];
        }
        pln_block_round((pln_dtype)k->dtype, s, f->kv_len);
        pln_block_store(f->score, (h * f->q_len + i) * f->kv_len, 1, PLN_DT_F64, s,
                        f->kv_len);
    }
}

static void softmax_head(const flex *f, int64_t h)
{
    double *s = f->work;
    for (int64_t i = 0; i < f->q_len; i++) {
        const int64_t at = (h * f->q_len + i) * f->kv_len;
        double max = -INFINITY, sum = 0;
        pln_block_load(PLN_DT_F64, s, f->score, at, 1, f->kv_len);
        for (int64_t j = 0; j < f->kv_len; j++)
            max = max > s[j] || max != max ? max : s[j];
        for (int64_t j = 0; j < f->kv_len; j++)
            sum += s[j] = exp(s[j] - max);
        for (int64_t j = 0; j < f->kv_len; j++)
            s[j] /= sum;
        pln_block_store(f->score, at, 1, PLN_DT_F64, s, f->kv_len);
    }
}

static void weigh_head(const flex *f, int64_t h)
{
    int64_t at;
    const pln_tensor *v = kv(f, 2, h, &at);
    double *pv = f->work, *p = pv + f->kv_len * f->v_dim, *y = p + f->kv_len;
    pln_block_load(PLN_DT_F64, pv, v, at, 1, f->kv_len * f->v_dim);
    pln_block_round((pln_dtype)f->score->dtype, pv, f->kv_len * f->v_dim);
    for (int64_t i = 0; i < f->q_len; i++) {
        const int64_t row = h * f->q_len + i;
        pln_block_load(PLN_DT_F64, p, f->score, row * f->kv_len, 1, f->kv_len);
        memset(y, 0, (size_t)f->v_dim * sizeof *y);
        for (int64_t j = 0; j < f->kv_len; j++)
            for (int64_t d = 0; d < f->v_dim; d++)
                y[d] += p[j] * pv[j * f->v_dim + d];
        pln_block_round((pln_dtype)f->score->dtype, y, f->v_dim);
        pln_block_store(f->c->out[0], row * f->v_dim, 1, PLN_DT_F64, y, f->v_dim);
    }
}

/* ---- the float version ------------------------------------------------------------- */

static void score_head_f32(const flex *f, int64_t h)
{
    const pln_vec_fns *fn = pln_vec();
    int64_t at;
    const float *k = PLN_DATA(const float, kv(f, 1, h, &at)) + at;
    const float *q = PLN_DATA(const float, f->c->in[0]) + h * f->q_len * f->dim;
    float *s = PLN_DATA(float, f->score) + h * f->q_len * f->kv_len;
    const float scale = (float)(f->root * f->root);
    for (int64_t i = 0; i < f->q_len; i++, q += f->dim, s += f->kv_len)
        for (int64_t j = 0; j < f->kv_len; j++)
            s[j] = fn->dot(q, k + j * f->dim, f->dim) * scale;
}

static void softmax_head_f32(const flex *f, int64_t h)
{
    const pln_vec_fns *fn = pln_vec();
    const int64_t n = f->kv_len;
    float *s = PLN_DATA(float, f->score) + h * f->q_len * n;
    for (int64_t i = 0; i < f->q_len; i++, s += n) {
        const float sum = fn->exp_sum(s, s, n, fn->max_of(s, n));
        fn->linear(s, s, n, 1 / sum, 0);
    }
}

static void weigh_head_f32(const flex *f, int64_t h)
{
    int64_t at;
    const float *v = PLN_DATA(const float, kv(f, 2, h, &at)) + at;
    const float *p = PLN_DATA(const float, f->score) + h * f->q_len * f->kv_len;
    float *y = PLN_DATA(float, f->c->out[0]) + h * f->q_len * f->v_dim;
    memset(y, 0, (size_t)(f->q_len * f->v_dim) * sizeof *y);
    for (int64_t i = 0; i < f->q_len; i++)
        pln_vec()->gemv(y + i * f->v_dim, v, f->v_dim, p + i * f->kv_len, f->kv_len,
                        f->v_dim);
}

/* ---- the three steps, and the bodies between them ---------------------------------- */

typedef void (*head_fn)(const flex *f, int64_t h);

/* The steps: scores, softmax, weighted values. */
typedef struct steps {
    head_fn score, softmax, weigh;
    bool parallel;
} steps;

typedef struct job {
    const flex *f;
    head_fn fn;
} job;

static void some_heads(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    for (int64_t h = begin; h < end; h++)
        j->fn(j->f, h);
}

static void all_heads(const flex *f, head_fn fn, bool parallel)
{
    job j = { f, fn };
    pln_parallel_for(parallel ? f->c->n_threads : 1, f->batch * f->q_heads, 1, some_heads,
                     &j);
}

/* A body takes the scores and gives others of the same type and shape. */
static pln_status modify(flex *f, const pln_graph *g, const char *name, pln_error *err)
{
    pln_tensor *out = NULL;
    if (!g)
        return PLN_OK;
    if (g->n_inputs != 1 || g->n_outputs != 1)
        return pln_call_fail(f->c, err, PLN_E_FORMAT,
                             "%s has %u inputs and %u outputs, want 1 and 1", name,
                             g->n_inputs, g->n_outputs);
    PLN_TRY(pln_call_body(f->c, g, &f->score, 1, &out, 1, err));
    bool same =
        out->kind == PLN_KIND_TENSOR && out->dtype == f->score->dtype && out->rank == 4;
    for (int d = 0; same && d < 4; d++)
        same = out->dims[d] == f->score->dims[d];
    if (same && out->data != f->score->data) /* it may lie in memory that the body uses
                                                again, or be a constant */
        pln_tensor_copy(f->score, 0, out, 0, pln_tensor_size(out));
    pln_tensor_unref(out);
    return same ? PLN_OK
                : pln_call_fail(f->c, err, PLN_E_RUN,
                                "%s changed the shape or the type of its input", name);
}

static pln_status run_steps(flex *f, const steps *s, pln_error *err)
{
    const flex_attrs *a = (const flex_attrs *)f->c->attrs;
    all_heads(f, s->score, s->parallel);
    PLN_TRY(modify(f, a->score_mod, "score_mod", err));
    if (f->kv_len > 0)
        all_heads(f, s->softmax, s->parallel);
    PLN_TRY(modify(f, a->prob_mod, "prob_mod", err));
    all_heads(f, s->weigh, s->parallel);
    return PLN_OK;
}

static pln_status run_with(flex *f, const steps *s, pln_error *err)
{
    const flex_attrs *a = (const flex_attrs *)f->c->attrs;
    const pln_dtype dt = precision_of(a, (pln_dtype)f->c->in[0]->dtype);
    const int64_t dims[4] = { f->batch, f->q_heads, f->q_len, f->kv_len };
    const int64_t y_dims[4] = { f->batch, f->q_heads, f->q_len, f->v_dim };
    PLN_TRY(pln_move_output(f->c, 0, (pln_dtype)f->c->in[0]->dtype, 4, y_dims, err));
    PLN_TRY(pln_tensor_make(pln_call_allocator(f->c), dt, 4, dims, &f->score, err));
    const pln_status st = run_steps(f, s, err);
    pln_tensor_unref(f->score);
    return st;
}

static pln_status flex_ref(pln_call *c, pln_error *err)
{
    static const steps ref = { score_head, softmax_head, weigh_head, false };
    flex f;
    size_t k, v, n;
    PLN_TRY(find_sizes(c, &f, err));
    /* a row of each kind beside all keys or all values of a head */
    if (!pln_size_mul(&k, (size_t)f.kv_len + 1, (size_t)f.dim + 1) ||
        !pln_size_mul(&v, (size_t)f.kv_len + 1, (size_t)f.v_dim + 1) ||
        !pln_size_add(&n, k, v) || !pln_size_mul(&n, n, sizeof(double)))
        return pln_oom(err);
    f.work = (double *)pln_call_scratch(c, n);
    return f.work ? run_with(&f, &ref, err) : pln_oom(err);
}

static pln_status flex_run(pln_call *c, pln_error *err)
{
    static const steps f32 = { score_head_f32, softmax_head_f32, weigh_head_f32, true };
    flex f;
    PLN_TRY(find_sizes(c, &f, err));
    return run_with(&f, &f32, err);
}

static pln_status flex_prepare(pln_prep *p, pln_error *err)
{
    const flex_attrs *a = (const flex_attrs *)p->attrs;
    (void)err;
    for (uint32_t i = 0; i < 3; i++) {
        if (!p->in[i] || p->in[i]->dtype != PLN_DT_F32)
            return PLN_E_UNSUPPORTED;
        p->layout_in[i] = PLN_LAYOUT_PLAIN;
    }
    return precision_of(a, PLN_DT_F32) == PLN_DT_F32 ? PLN_OK : PLN_E_UNSUPPORTED;
}

static const pln_impl flex_cpu = { "flex_attention_f32", flex_prepare, flex_run, NULL };

/* ---- inference --------------------------------------------------------------------- */

static pln_status infer_mod(pln_infer *inf, const pln_graph *g, pln_type *score,
                            const char *name, pln_error *err)
{
    pln_type out = pln_type_unknown();
    if (!g)
        return PLN_OK;
    if (g->n_inputs != 1 || g->n_outputs != 1)
        return pln_infer_fail(inf, err, "%s has %u inputs and %u outputs, want 1 and 1",
                              name, g->n_inputs, g->n_outputs);
    return inf->body ? inf->body(inf, g, score, 1, &out, 1, err) : PLN_OK;
}

static pln_status flex_infer(pln_infer *inf, pln_error *err)
{
    const flex_attrs *a = (const flex_attrs *)inf->attrs;
    const pln_dtype dt = pln_infer_dtype(inf, 0), soft = precision_of(a, dt);
    pln_shape y = pln_infer_shape(inf, 4), s = pln_infer_shape(inf, 4);
    if (soft != PLN_DT_F32 && soft != PLN_DT_F64 && soft != PLN_DT_F16 &&
        soft != PLN_DT_BF16)
        return pln_infer_fail(inf, err, "softmax_precision is %lld",
                              (long long)a->softmax_precision);
    for (uint32_t i = 0; i < 3; i++) {
        const int rank = pln_infer_rank(inf, i);
        if (rank == PLN_RANK_UNKNOWN)
            y.rank = s.rank = PLN_RANK_UNKNOWN;
        else if (rank != 4)
            return pln_infer_fail(inf, err, "input %u has rank %d, want 4", i, rank);
    }
    for (int d = 0; d < 4 && y.rank == 4 && s.rank == 4; d++) {
        y.dims[d] = d < 3 ? pln_infer_dim(inf, 0, d) : pln_infer_dim(inf, 2, 3);
        s.dims[d] = d < 3 ? y.dims[d] : pln_infer_dim(inf, 1, 2);
    }
    pln_infer_set(inf, 0, dt, y);
    pln_type score =
        pln_type_tensor(dt == PLN_DT_NONE && !a->has_precision ? PLN_DT_NONE : soft, s);
    PLN_TRY(infer_mod(inf, a->score_mod, &score, "score_mod", err));
    return infer_mod(inf, a->prob_mod, &score, "prob_mod", err);
}

static void flex_cost(const pln_infer *inf, pln_cost *out)
{
    const pln_dim q = pln_shape_count(inf->syms, inf->in[0]->shape);
    const pln_dim k =
        pln_infer_rank(inf, 1) == 4 ? pln_infer_dim(inf, 1, 2) : pln_dim_unknown();
    if (pln_dim_is_known(q) && pln_dim_is_known(k))
        out->flops = 4.0 * (double)q.value * (double)k.value;
    out->bytes = out->flops / 16;
}

const pln_op_desc pln_ops_flex_attention[] = {
    { .name = "FlexAttention",
      .domain = "ai.onnx.preview",
      .since = 1,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .traits = PLN_OP_CONTROL,
      .types = "T1:" PLN_TS_FLOAT,
      .sig = "T1,T1,T1->T1",
      .attrs = flex_spec,
      .attrs_size = sizeof(flex_attrs),
      .infer = flex_infer,
      .ref = flex_ref,
      .cpu = &flex_cpu,
      .cost = flex_cost },
    { .name = NULL },
};
