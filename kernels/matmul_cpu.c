/* MatMul, Gemm and their fused forms on our own float product.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/matmul_cpu.h"
#include "kernels/fused.h"
#include "kernels/gemm_attrs.h"
#include "kernels/gemm_f32.h"
#include "kernels/ms_fused.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

enum { SHARED_PACKED = 1 };

pln_status pln_mm_view_of(pln_mm_view *v, const pln_node *n, const void *attrs,
                          pln_error *err)
{
    *v = (pln_mm_view){ .alpha = 1.0f, .beta = 1.0f };
    if (strcmp(n->domain, "planish") == 0) {
        const pln_fused_mm_attrs *at = attrs;
        v->ta = at->transA != 0, v->tb = at->transB != 0;
        v->alpha = at->alpha, v->beta = at->beta;
        return pln_postops_parse(n, &at->post, 3, &v->post, err);
    }
    if (strcmp(n->domain, "com.microsoft") == 0)
        return pln_ms_mm_view(v, n, attrs);
    if (strcmp(n->op_type, "Gemm") == 0) {
        const pln_gemm_attrs *at = attrs;
        v->ta = at->transA != 0, v->tb = at->transB != 0;
        v->alpha = at->alpha, v->beta = at->beta;
    }
    return PLN_OK;
}

/* A tensor [m, batch..., k] seen as [batch..., m, k]: its dimensions, and the steps
 * between rows and between matrices. */
static pln_tensor batch_view(const pln_tensor *t)
{
    pln_tensor v = *t;
    v.borrowed = true;
    for (int d = 0; d + 2 < t->rank; d++)
        v.dims[d] = t->dims[d + 1];
    v.dims[t->rank - 2] = t->dims[0];
    return v;
}

/* Puts the steps of such a tensor in place of a dense one's. */
static void batch_steps(const pln_mm *g, const pln_tensor *t, bool swapped, int64_t *step,
                        int64_t *rs, int64_t *cs)
{
    const int nb = t->rank - 2;
    int64_t size = t->dims[t->rank - 1];
    for (int i = nb - 1; i >= 0; i--) {
        const int j = g->nb - nb + i;
        step[j] = step[j] ? size : 0;
        size *= t->dims[i + 1];
    }
    *(swapped ? cs : rs) = size;
}

bool pln_mm_view_set(pln_mm *g, const pln_mm_view *v, const pln_tensor *a,
                     const pln_tensor *b)
{
    const bool ba = v->batch_a && a->rank > 2, bb = v->batch_b && b->rank > 2;
    const pln_tensor va = ba ? batch_view(a) : *a, vb = bb ? batch_view(b) : *b;
    if (!pln_mm_set(g, &va, &vb, v->ta, v->tb))
        return false;
    if (ba)
        batch_steps(g, a, v->ta, g->a_step, &g->a_rs, &g->a_cs);
    if (bb)
        batch_steps(g, b, v->tb, g->b_step, &g->b_rs, &g->b_cs);
    return true;
}

typedef struct packed {
    const pln_allocator *alloc;
    float *data;
    int64_t each; /* floats of one matrix */
} packed;

typedef struct state {
    const pln_allocator *alloc;
    const pln_gemm_fns *fns;
    const packed *b; /* NULL: not constant */
    pln_mm_view view;
    int slots; /* matrices of B that are packed at once, when it is not constant */
    size_t scratch;
} state;

static void release_packed(void *p)
{
    packed *b = p;
    pln_release(b->alloc, b->data);
    pln_release(b->alloc, b);
}

static void release_state(void *p)
{
    state *s = p;
    pln_release(s->alloc, s);
}

static pln_status make_packed(pln_prep *p, void **out, pln_error *err)
{
    const pln_tensor *b = p->in[1];
    const pln_gemm_fns *f = pln_gemm();
    pln_mm_view v;
    PLN_TRY(pln_mm_view_of(&v, p->node, p->attrs, err));
    const bool vector = b->rank == 1;
    const int64_t rows = vector ? b->dims[0] : b->dims[b->rank - 2];
    const int64_t cols = vector ? 1 : b->dims[b->rank - 1];
    const int64_t k = v.tb && !vector ? cols : rows, n = v.tb && !vector ? rows : cols;
    const int64_t count = rows * cols > 0 ? pln_tensor_size(b) / (rows * cols) : 0;
    packed *r = pln_calloc(p->alloc, 1, sizeof *r);
    if (!r)
        return pln_oom(err);
    size_t bytes;
    r->alloc = p->alloc;
    r->each = pln_gemm_packed_size(f, k, n);
    if (r->each < 0 || !pln_size_mul(&bytes, (size_t)r->each, (size_t)count) ||
        !pln_size_mul(&bytes, bytes, sizeof(float)) ||
        !(r->data = pln_alloc_aligned(p->alloc, bytes ? bytes : 1, 64))) {
        pln_release(p->alloc, r);
        return pln_oom(err);
    }
    const int64_t panels = n / f->nr + (n % f->nr != 0);
    for (int64_t i = 0; i < count; i++)
        pln_gemm_pack(
            f, r->data + i * r->each, PLN_DATA(const float, b) + i * rows * cols,
            v.tb && !vector ? 1 : cols, v.tb && !vector ? cols : 1, k, n, 0, panels);
    *out = r;
    return PLN_OK;
}

/* B is one column, which lies dense: each row of A meets it in a dot product. */
static bool is_column(const pln_mm *g, const pln_mm_view *v)
{
    return g->n == 1 && g->a_cs == 1 && g->b_rs == 1 && !v->batch_a && !v->batch_b;
}

static bool constant_column(const pln_prep *p, const pln_mm_view *v)
{
    pln_mm g;
    return p->is_static && pln_mm_view_set(&g, v, p->in[0], p->in[1]) && is_column(&g, v);
}

/* A B that varies is read in place where its rows are dense and few columns wide. */
static bool in_place(const pln_mm *g, const pln_gemm_fns *f)
{
    return g->b_cs == 1 && g->b_rs >= g->n && (g->n <= 256 || g->m <= 4 * f->mr);
}

static bool supported(const pln_prep *p, const pln_mm_view *v)
{
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && p->in[i]->dtype != PLN_DT_F32)
            return false;
    }
    const bool addend = p->n_in > 2 && p->in[2];
    return p->in[0] && p->in[1] && p->in[0]->rank > 0 && p->in[1]->rank > 0 &&
           (!addend || v->beta == 1.0f);
}

/* Rows of all batches in one product: B is the same for all, and A's matrices follow each
 * other. */
static void fold_batch(pln_mm *g)
{
    if (g->batch <= 1 || g->a_cs != 1)
        return;
    int64_t size = g->m * g->a_rs;
    for (int d = g->nb - 1; d >= 0; d--) {
        if (g->dim[d] != 1 && (g->b_step[d] || g->a_step[d] != size))
            return;
        size *= g->dim[d];
    }
    g->m *= g->batch;
    g->batch = 1;
    g->nb = 0;
}

static int slots_for(const pln_mm *g, int n_threads)
{
    return g->batch >= n_threads ? (n_threads > 1 ? n_threads : 1) : 1;
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    pln_mm_view v;
    PLN_TRY(pln_mm_view_of(&v, p->node, p->attrs, err));
    if (!supported(p, &v))
        return PLN_E_UNSUPPORTED;
    void *b = NULL;
    if (p->in[1]->data && !v.batch_b && !constant_column(p, &v)) {
        PLN_TRY(p->shared(p, SHARED_PACKED, make_packed, release_packed, &b, err));
        p->packed[1] = true;
    }
    state *s = pln_calloc(p->alloc, 1, sizeof *s);
    if (!s)
        return pln_oom(err);
    *s = (state){ .alloc = p->alloc, .fns = pln_gemm(), .b = b, .view = v, .slots = 1 };
    pln_mm g;
    if (!b && p->is_static && pln_mm_view_set(&g, &v, p->in[0], p->in[1])) {
        fold_batch(&g);
        s->slots = slots_for(&g, p->n_threads);
        const int64_t each =
            in_place(&g, s->fns) ? 0 : pln_gemm_packed_size(s->fns, g.k, g.n);
        if (each > 0 &&
            pln_size_mul(&s->scratch, (size_t)each, sizeof(float) * (size_t)s->slots))
            p->scratch = s->scratch;
    }
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    p->state = s;
    return PLN_OK;
}

/* One run over a batch of products. */
typedef struct batch_job {
    pln_gemm_job job;
    pln_mm g;
    const float *a, *b;
    float *y, *pack;
    int64_t each; /* floats of a packed matrix */
    const packed *constant;
    int slots;
} batch_job;

static void set_matrix(const batch_job *t, pln_gemm_job *j, int64_t i, int slot)
{
    const pln_mm *g = &t->g;
    int64_t ao, bo;
    pln_mm_offsets(g, i, &ao, &bo);
    j->a = t->a + ao;
    j->c = t->y + i * g->m * g->n;
    j->row0 = i * g->m;
    if (t->constant) {
        j->b = t->constant->data +
               (g->k && g->n ? bo / (g->k * g->n) : 0) * t->constant->each;
    } else if (t->pack) {
        float *pack = t->pack + slot * t->each;
        pln_gemm_pack(j->fns, pack, t->b + bo, g->b_rs, g->b_cs, g->k, g->n, 0,
                      (g->n + j->fns->nr - 1) / j->fns->nr);
        j->b = pack;
    } else {
        j->b = t->b + bo;
        j->b_ld = g->b_rs;
    }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const batch_job *t = arg;
    for (int64_t s = begin; s < end; s++) {
        const int64_t i1 = t->g.batch * (s + 1) / t->slots;
        for (int64_t i = t->g.batch * s / t->slots; i < i1; i++) {
            pln_gemm_job j = t->job;
            set_matrix(t, &j, i, (int)s);
            pln_gemm_run(&j, 0, j.m, 0, j.n);
        }
    }
}

static void run_dots(void *arg, int64_t begin, int64_t end)
{
    const batch_job *t = arg;
    const pln_mm *g = &t->g;
    for (int64_t r = begin; r < end; r++) {
        int64_t a, b;
        pln_mm_offsets(g, r / g->m, &a, &b);
        t->y[r] = pln_vec()->dot(t->a + a + r % g->m * g->a_rs, t->b + b, g->k);
        if (t->job.epilogue)
            pln_epilogue_row(t->job.epilogue, t->y + r, r, 0, 1);
    }
}

static pln_status set_pack(pln_call *c, const state *s, batch_job *t, pln_error *err)
{
    if (s->b || in_place(&t->g, s->fns))
        return PLN_OK;
    size_t bytes;
    t->each = pln_gemm_packed_size(s->fns, t->g.k, t->g.n);
    if (t->each < 0 ||
        !pln_size_mul(&bytes, (size_t)t->each, sizeof(float) * (size_t)t->slots))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the product is too large");
    t->pack = s->scratch >= bytes && s->scratch ? c->scratch : pln_call_scratch(c, bytes);
    return t->pack ? PLN_OK : pln_oom(err);
}

static pln_status run(pln_call *c, pln_error *err)
{
    const state *s = c->state;
    const pln_tensor *bias = pln_call_has(c, 2) ? c->in[2] : NULL;
    batch_job t = { .constant = s->b, .a = c->in[0]->data, .b = c->in[1]->data,
                    .y = c->out[0]->data };
    pln_mm *g = &t.g;
    if (!pln_mm_view_set(g, &s->view, c->in[0], c->in[1]) ||
        (bias && !pln_mm_set_addend(g, bias)))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    pln_epilogue e;
    PLN_TRY(
        pln_epilogue_set(&e, c, &s->view.post, bias, -1, s->view.alpha, c->out[0], err));
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    /* The epilogue counts rows of the result's own last dimension: a vector B leaves the
     * columns to it. */
    const bool as_rows = c->in[1]->rank > 1;
    fold_batch(g);
    if (!s->b && as_rows && is_column(g, &s->view)) {
        t.job.epilogue = &e;
        pln_parallel_for(c->n_threads, g->batch * g->m, 1 + 32768 / (g->k + 1), run_dots,
                         &t);
        return PLN_OK;
    }
    t.slots =
        slots_for(g, c->n_threads < s->slots || !s->scratch ? c->n_threads : s->slots);
    PLN_TRY(set_pack(c, s, &t, err));
    t.job = (pln_gemm_job){ .fns = s->fns,
                            .m = g->m,
                            .n = g->n,
                            .k = g->k,
                            .a_rs = g->a_rs,
                            .a_cs = g->a_cs,
                            .c = t.y,
                            .ldc = g->n,
                            .epilogue = as_rows ? &e : NULL };
    const double work = (double)g->m * (double)g->n * (double)(g->k + 1);
    if (t.slots > 1 && work * (double)g->batch > 1e5) {
        pln_parallel_for(c->n_threads, t.slots, 1, run_slots, &t);
    } else {
        for (int64_t i = 0; i < g->batch; i++) {
            pln_gemm_job j = t.job;
            set_matrix(&t, &j, i, 0);
            pln_gemm_parallel(&j, c->n_threads);
        }
    }
    if (!as_rows && e.n) {
        const int64_t cols = e.rank ? e.dims[e.rank - 1] : 1;
        for (int64_t r = 0; r < pln_tensor_size(c->out[0]) / cols; r++)
            pln_epilogue_row(&e, t.y + r * cols, r, 0, cols);
    }
    return PLN_OK;
}

const pln_impl pln_impl_matmul_f32 = {
    .name = "gemm_f32", .prepare = prepare, .run = run, .release = release_state
};
