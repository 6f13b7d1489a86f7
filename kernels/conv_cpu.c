/* Our own float convolutions: weights times columns of the input, gathered a panel at a time; and
 * a direct loop for depthwise ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv_cpu.h"
#include "kernels/conv.h"
#include "kernels/gemm_f32.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

enum { SHARED_PACKED = 2, SHARED_TURNED = 5 };

typedef struct packed {
    const pln_allocator *alloc;
    float *data; /* by group and panel of mr output channels: [k][mr] */
    int64_t each; /* floats of one group */
} packed;

typedef struct state {
    const pln_allocator *alloc;
    const pln_gemm_fns *fns;
    const packed *w; /* NULL: depthwise reads the weights as they are */
    bool turned;     /* few outputs: they are rows, and channels the columns */
    pln_conv_geom g;
    pln_postop_list post;
    int slots;
    size_t each; /* bytes of workspace of a slot */
} state;

static void release_packed(void *p)
{
    packed *w = p;
    pln_release(w->alloc, w->data);
    pln_release(w->alloc, w);
}

static void release_state(void *p)
{
    state *s = p;
    pln_release(s->alloc, s);
}

static bool is_depthwise(const pln_conv_geom *g)
{
    return g->cg == 1 && g->mg == 1 && !g->transposed && (g->nd == 1 || g->nd == 2);
}

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static void pack_weights(const pln_conv_geom *g, const pln_gemm_fns *f, const float *w,
                         packed *out)
{
    for (int64_t grp = 0; grp < g->group; grp++) {
        /* A transposed one has its groups along the input channels. */
        const float *from = w + grp * (g->transposed ? g->cg * g->w_c : g->mg * g->w_m);
        float *to = out->data + grp * out->each;
        for (int64_t m = 0; m < g->mg; m++) {
            float *panel = to + m / f->mr * f->mr * g->cg * g->taps + m % f->mr;
            for (int64_t c = 0; c < g->cg; c++) {
                for (int64_t t = 0; t < g->taps; t++)
                    panel[(c * g->taps + t) * f->mr] = from[m * g->w_m + c * g->w_c + t];
            }
        }
    }
}

static bool geometry(const pln_prep *p, pln_conv_geom *g)
{
    const bool transposed = strstr(p->node->op_type, "Transpose") != NULL;
    return pln_conv_geom_set(g, p->attrs, transposed, p->in[0], p->in[1], p->out[0]);
}

static pln_status make_packed(pln_prep *p, void **out, pln_error *err)
{
    pln_conv_geom g;
    const pln_gemm_fns *f = pln_gemm();
    packed *w = pln_calloc(p->alloc, 1, sizeof *w);
    if (!w || !geometry(p, &g)) {
        pln_release(p->alloc, w);
        return pln_oom(err);
    }
    size_t bytes;
    w->alloc = p->alloc;
    w->each = round_up(g.mg, f->mr) * g.cg * g.taps;
    if (!pln_size_mul(&bytes, (size_t)w->each, sizeof(float) * (size_t)g.group) ||
        !(w->data = pln_alloc_aligned(p->alloc, bytes ? bytes : 1, 64))) {
        pln_release(p->alloc, w);
        return pln_oom(err);
    }
    memset(w->data, 0, bytes);
    pack_weights(&g, f, p->in[1]->data, w);
    *out = w;
    return PLN_OK;
}

/* The weights as the right-hand matrix of each group: [k][channels]. */
static pln_status make_turned(pln_prep *p, void **out, pln_error *err)
{
    pln_conv_geom g;
    const pln_gemm_fns *f = pln_gemm();
    packed *w = pln_calloc(p->alloc, 1, sizeof *w);
    if (!w || !geometry(p, &g)) {
        pln_release(p->alloc, w);
        return pln_oom(err);
    }
    size_t bytes;
    const int64_t k = g.cg * g.taps;
    w->alloc = p->alloc;
    w->each = pln_gemm_packed_size(f, k, g.mg);
    if (w->each < 0 ||
        !pln_size_mul(&bytes, (size_t)w->each, sizeof(float) * (size_t)g.group) ||
        !(w->data = pln_alloc_aligned(p->alloc, bytes ? bytes : 1, 64))) {
        pln_release(p->alloc, w);
        return pln_oom(err);
    }
    for (int64_t grp = 0; grp < g.group; grp++)
        pln_gemm_pack(f, w->data + grp * w->each,
                      PLN_DATA(const float, p->in[1]) + grp * g.mg * k, 1, k, k, g.mg, 0,
                      round_up(g.mg, f->nr) / f->nr);
    *out = w;
    return PLN_OK;
}

/* A panel of columns would be mostly empty. */
static bool wants_turned(const pln_conv_geom *g, const pln_gemm_fns *f)
{
    return !g->transposed && !is_depthwise(g) && g->out_size * 4 <= f->nr && g->mg >= f->nr / 4;
}

static bool takes(const pln_prep *p)
{
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && p->in[i]->dtype != PLN_DT_F32)
            return false;
    }
    return p->is_static && p->in[0] && p->in[1] && p->in[1]->data;
}

/* Workspace of a slot: a panel of columns, and the input offset of each of its columns. */
static bool set_workspace(state *s, pln_prep *p)
{
    const pln_conv_geom *g = &s->g;
    const int64_t panels = round_up(g->out_size, s->fns->nr) / s->fns->nr * g->n * g->group;
    size_t floats, all;
    if (s->turned) {
        s->slots = p->n_threads;
        return pln_size_mul(&floats, (size_t)(g->cg * g->taps + g->mg), (size_t)g->out_size) &&
               pln_size_mul(&p->scratch, floats, sizeof(float));
    }
    s->slots = p->n_threads > 1 && panels > 1 && 2.0 * p->flops > 4e5 ? p->n_threads : 1;
    if (!pln_size_mul(&floats, (size_t)(g->cg * g->taps + 2), (size_t)s->fns->nr) ||
        !pln_size_mul(&s->each, floats, sizeof(float)))
        return false;
    s->each = pln_align_up(s->each, 64);
    if (!pln_size_mul(&all, s->each, (size_t)s->slots))
        return false;
    p->scratch = all;
    return true;
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    pln_conv_geom g;
    if (!takes(p) || !geometry(p, &g) || g.in_size > INT32_MAX)
        return PLN_E_UNSUPPORTED;
    state *s = pln_calloc(p->alloc, 1, sizeof *s);
    if (!s)
        return pln_oom(err);
    *s = (state){ .alloc = p->alloc, .fns = pln_gemm(), .g = g, .slots = 1 };
    pln_status st = pln_conv_posts(p->node, p->attrs, &s->post, err);
    if (st == PLN_OK && !is_depthwise(&g)) {
        void *w = NULL;
        s->turned = wants_turned(&g, s->fns);
        if (!set_workspace(s, p))
            st = PLN_E_UNSUPPORTED;
        else if (s->turned)
            st = p->shared(p, SHARED_TURNED, make_turned, release_packed, &w, err);
        else
            st = p->shared(p, SHARED_PACKED, make_packed, release_packed, &w, err);
        s->w = w;
        p->packed[1] = st == PLN_OK;
    }
    if (st != PLN_OK) {
        pln_release(p->alloc, s);
        p->scratch = 0;
        return st;
    }
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    p->state = s;
    return PLN_OK;
}

/* ---- columns times weights ------------------------------------------------------------ */

typedef struct job {
    const state *s;
    const pln_epilogue *e;
    const float *x;
    const float *w;
    float *y;
    unsigned char *scratch;
    int64_t panels; /* of one image and group */
} job;

static void gather(const pln_conv_geom *g, const float *x, int64_t first, int cols, int nr,
                   float *out, int32_t *off)
{
    int64_t tap[PLN_CONV_MAX + 1] = { 0 };
    for (int64_t t = 0; t < g->taps; t++, pln_conv_next(g->nd, tap, g->kernel)) {
        const bool run = pln_conv_tap_offsets(g, tap, first, cols, off);
        for (int64_t c = 0; c < g->cg; c++) {
            float *o = out + (c * g->taps + t) * nr;
            const float *from = x + c * g->in_size;
            if (run) {
                memcpy(o, from + off[0], (size_t)cols * sizeof *o);
                continue;
            }
            for (int j = 0; j < cols; j++)
                o[j] = off[j] >= 0 ? from[off[j]] : 0.0f;
        }
    }
}

static void run_panel(const job *j, int64_t item, float *columns)
{
    const state *s = j->s;
    const pln_conv_geom *g = &s->g;
    const int nr = s->fns->nr, mr = s->fns->mr;
    const int64_t image = item / (j->panels * g->group), grp = item / j->panels % g->group;
    const int64_t first = item % j->panels * nr, k = g->cg * g->taps;
    const int cols = g->out_size - first < nr ? (int)(g->out_size - first) : nr;
    gather(g, j->x + (image * g->c + grp * g->cg) * g->in_size, first, cols, nr, columns,
           (int32_t *)(columns + k * nr));
    const int64_t plane = image * g->m + grp * g->mg;
    float *y = j->y + plane * g->out_size + first;
    const float *w = s->w->data + grp * s->w->each;
    for (int64_t m = 0; m < g->mg; m += mr) {
        const int rows = g->mg - m < mr ? (int)(g->mg - m) : mr;
        s->fns->tile(k, w + m * k, mr, columns, nr, y + m * g->out_size, g->out_size, rows,
                     cols, false);
        for (int r = 0; j->e->n && r < rows; r++)
            pln_epilogue_row(j->e, y + (m + r) * g->out_size, plane + m + r, first, cols);
    }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_conv_geom *g = &j->s->g;
    const int64_t items = j->panels * g->n * g->group;
    for (int64_t slot = begin; slot < end; slot++) {
        float *columns = (float *)(j->scratch + (size_t)slot * j->s->each);
        memset(columns, 0, j->s->each);
        for (int64_t i = items * slot / j->s->slots; i < items * (slot + 1) / j->s->slots; i++)
            run_panel(j, i, columns);
    }
}

/* ---- few outputs: rows of inputs times weights ------------------------------------------ */

static void gather_rows(const pln_conv_geom *g, const float *x, float *rows)
{
    const int64_t k = g->cg * g->taps;
    int64_t tap[PLN_CONV_MAX + 1] = { 0 };
    for (int64_t t = 0; t < g->taps; t++, pln_conv_next(g->nd, tap, g->kernel)) {
        int64_t at[PLN_CONV_MAX + 1] = { 0 };
        for (int64_t o = 0; o < g->out_size; o++, pln_conv_next(g->nd, at, g->out)) {
            const int64_t i = pln_conv_tap(g, at, tap);
            float *row = rows + o * k + t;
            for (int64_t c = 0; c < g->cg; c++)
                row[c * g->taps] = i >= 0 ? x[c * g->in_size + i] : 0.0f;
        }
    }
}

static void run_turned(const job *j, int n_threads)
{
    const state *s = j->s;
    const pln_conv_geom *g = &s->g;
    const int64_t k = g->cg * g->taps;
    float *rows = (float *)(void *)j->scratch, *sums = rows + k * g->out_size;
    for (int64_t i = 0; i < g->n * g->group; i++) {
        const int64_t grp = i % g->group, plane = i / g->group * g->m + grp * g->mg;
        float *y = j->y + plane * g->out_size;
        const float *x = j->x + (i / g->group * g->c + grp * g->cg) * g->in_size;
        /* A kernel that covers its whole input needs no gathering. */
        const bool whole = g->out_size == 1 && g->taps == g->in_size && g->pad_lo[0] == 0 &&
                           g->nd == 1;
        if (!whole)
            gather_rows(g, x, rows);
        const pln_gemm_job p = { .fns = s->fns, .m = g->out_size, .n = g->mg, .k = k,
                                 .a = whole ? x : rows, .a_rs = k, .a_cs = 1,
                                 .b = s->w->data + grp * s->w->each,
                                 .c = g->out_size == 1 ? y : sums, .ldc = g->mg };
        pln_gemm_parallel(&p, n_threads);
        for (int64_t m = 0; g->out_size > 1 && m < g->mg; m++) {
            for (int64_t o = 0; o < g->out_size; o++)
                y[m * g->out_size + o] = sums[o * g->mg + m];
        }
    }
}

/* ---- depthwise ------------------------------------------------------------------------ */

/* Outputs [*lo, *hi) along a dimension for which tap position `at` lies inside the input. */
static void inside(int64_t in, int64_t out, int64_t stride, int64_t at, int64_t *lo, int64_t *hi)
{
    *lo = at < 0 ? (-at + stride - 1) / stride : 0;
    *hi = at >= in ? 0 : (in - 1 - at) / stride + 1;
    *hi = *hi < out ? *hi : out;
    *lo = *lo < *hi ? *lo : *hi;
}

static void plane_depthwise(const pln_conv_geom *g, const float *x, const float *w, float *y)
{
    const bool two = g->nd == 2;
    const int64_t iw = g->in[g->nd - 1], ow = g->out[g->nd - 1], kw = g->kernel[g->nd - 1];
    const int64_t ih = two ? g->in[0] : 1, oh = two ? g->out[0] : 1, kh = two ? g->kernel[0] : 1;
    const int d = g->nd - 1;
    for (int64_t r = 0; r < oh; r++) {
        float *out = y + r * ow;
        memset(out, 0, (size_t)ow * sizeof *out);
        for (int64_t i = 0; i < kh; i++) {
            const int64_t row = two ? r * g->stride[0] - g->pad_lo[0] + i * g->dilation[0] : 0;
            if (row < 0 || row >= ih)
                continue;
            for (int64_t q = 0; q < kw; q++) {
                int64_t lo, hi;
                const int64_t at = q * g->dilation[d] - g->pad_lo[d];
                inside(iw, ow, g->stride[d], at, &lo, &hi);
                pln_gemm()->axpy_strided(out + lo, x + row * iw + at + lo * g->stride[d],
                                         g->stride[d], w[i * kw + q], hi - lo);
            }
        }
    }
}

static void run_depthwise(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_conv_geom *g = &j->s->g;
    for (int64_t p = begin; p < end; p++) {
        float *y = j->y + p * g->out_size;
        const int64_t m = p % g->m;
        plane_depthwise(g, j->x + p * g->in_size, j->w + m * g->taps, y);
        if (j->e->n)
            pln_epilogue_row(j->e, y, p, 0, g->out_size);
    }
}

static pln_status run(pln_call *c, pln_error *err)
{
    const state *s = c->state;
    const pln_conv_geom *g = &s->g;
    pln_tensor *y = c->out[0];
    if (pln_tensor_size(y) == 0)
        return PLN_OK;
    /* The result as planes of its spatial dimensions in one row. */
    pln_epilogue e;
    PLN_TRY(pln_epilogue_set(&e, c, &s->post, pln_call_has(c, 2) ? c->in[2] : NULL, 1, 1.0f, y,
                             err));
    /* Few outputs: all channels of an image in one row, where the operands allow it. */
    if (s->turned)
        pln_epilogue_flatten(&e, 1);
    const bool flat = !s->turned && pln_epilogue_flatten(&e, 2);
    const pln_epilogue none = { .n = 0 };
    job j = { .s = s, .e = flat ? &e : &none, .x = c->in[0]->data, .w = c->in[1]->data,
              .y = y->data, .scratch = c->scratch,
              .panels = round_up(g->out_size, s->fns->nr) / s->fns->nr };
    if (!s->w)
        pln_parallel_for(c->n_threads, g->n * g->m,
                         1 + 8192 / (g->out_size * g->taps), run_depthwise, &j);
    else if (s->turned)
        run_turned(&j, c->n_threads);
    else
        pln_parallel_for(c->n_threads, s->slots, 1, run_slots, &j);
    const int64_t cols = e.rank ? e.dims[e.rank - 1] : 1;
    for (int64_t r = 0; !flat && r < pln_tensor_size(y) / cols; r++)
        pln_epilogue_row(&e, (float *)y->data + r * cols, r, 0, cols);
    return PLN_OK;
}

const pln_impl pln_impl_conv_f32 = {
    .name = "conv_f32", .prepare = prepare, .run = run, .release = release_state
};
