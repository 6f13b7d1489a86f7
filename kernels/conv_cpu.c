/* Our own float convolutions: weights times columns of the input, gathered a panel at a
 * time; transposed ones the other way round, products scattered; and a direct loop for
 * depthwise ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv_cpu.h"
#include "kernels/conv.h"
#include "kernels/gemm_f32.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

enum { SHARED_PACKED = 2, SHARED_TURNED = 5, SHARED_SCATTERED = 6 };

typedef struct packed {
    const pln_allocator *alloc;
    float *data; /* by group and panel of mr rows: [k][mr] */
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
    size_t each;   /* bytes of workspace of a slot */
    int64_t width;   /* depthwise: of a row with its padding */
    int64_t *tap_at; /* depthwise: where a tap lies in such a row, see spread_rows() */
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
    pln_release(s->alloc, s->tap_at);
    pln_release(s->alloc, s);
}

static bool is_depthwise(const pln_conv_geom *g)
{
    return g->cg == 1 && g->mg == 1 && !g->transposed && (g->nd == 1 || g->nd == 2) &&
           g->stride[g->nd - 1] <= 16;
}

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static void pack_weights(const pln_conv_geom *g, const pln_gemm_fns *f, const float *w,
                         packed *out)
{
    for (int64_t grp = 0; grp < g->group; grp++) {
        const float *from = w + grp * g->mg * g->w_m;
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

/* Rows are the taps of all output channels. */
static void pack_scattered(const pln_conv_geom *g, const pln_gemm_fns *f, const float *w,
                           packed *out)
{
    for (int64_t grp = 0; grp < g->group; grp++)
        for (int64_t c = 0; c < g->cg; c++) {
            const float *from = w + (grp * g->cg + c) * g->w_c;
            float *to = out->data + grp * out->each + c * f->mr;
            for (int64_t r = 0; r < g->mg * g->taps; r++)
                to[r / f->mr * f->mr * g->cg + r % f->mr] = from[r];
        }
}

static bool geometry(const pln_prep *p, pln_conv_geom *g)
{
    const bool transposed = strstr(p->node->op_type, "Transpose") != NULL;
    return pln_conv_geom_set(g, p->attrs, transposed, p->in[0], p->in[1], p->out[0]);
}

typedef void (*pack_fn)(const pln_conv_geom *g, const pln_gemm_fns *f, const float *w,
                        packed *out);

static pln_status make_panels(pln_prep *p, int64_t rows_of_channel, int64_t k_of_channel,
                              pack_fn pack, void **out, pln_error *err)
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
    w->each = round_up(g.mg * rows_of_channel, f->mr) * g.cg * k_of_channel;
    if (!pln_size_mul(&bytes, (size_t)w->each, sizeof(float) * (size_t)g.group) ||
        !(w->data = pln_alloc_aligned(p->alloc, bytes ? bytes : 1, 64))) {
        pln_release(p->alloc, w);
        return pln_oom(err);
    }
    memset(w->data, 0, bytes);
    pack(&g, f, p->in[1]->data, w);
    *out = w;
    return PLN_OK;
}

static int64_t taps_of(const pln_prep *p)
{
    pln_conv_geom g;
    return geometry(p, &g) ? g.taps : 1;
}

static pln_status make_packed(pln_prep *p, void **out, pln_error *err)
{
    return make_panels(p, 1, taps_of(p), pack_weights, out, err);
}

static pln_status make_scattered(pln_prep *p, void **out, pln_error *err)
{
    return make_panels(p, taps_of(p), 1, pack_scattered, out, err);
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
    return !g->transposed && !is_depthwise(g) && g->out_size * 4 <= f->nr &&
           g->mg >= f->nr / 4;
}

static bool takes(const pln_prep *p)
{
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && p->in[i]->dtype != PLN_DT_F32)
            return false;
    }
    return p->is_static && p->in[0] && p->in[1] && p->in[1]->data;
}

/* A stretch of a panel's columns and where one tap adds it to a plane of the output. */
typedef struct stretch {
    int32_t from, n;
    int64_t to;
} stretch;

#define SIDE 4 /* panels of the input side by side */

/* Workspace of a slot of a transposed one: panels of the input, a tile of products, and
 * for each tap its stretches of the panels, and their number. */
static bool set_scatter_workspace(state *s, pln_prep *p)
{
    const pln_conv_geom *g = &s->g;
    size_t panel, stretches, all;
    s->slots = p->n_threads > 1 && 2.0 * p->flops > 4e5 ? p->n_threads : 1;
    const size_t wide = SIDE * (size_t)s->fns->nr;
    if (!pln_size_mul(&panel, (size_t)(g->cg + s->fns->mr), wide) ||
        !pln_size_mul(&panel, panel, sizeof(float)) ||
        !pln_size_mul(&stretches, (size_t)g->taps, wide) ||
        !pln_size_mul(&stretches, stretches, sizeof(stretch)) ||
        !pln_size_mul(&all, (size_t)g->taps, sizeof(int64_t)) ||
        !pln_size_add(&all, all, panel) || !pln_size_add(&all, all, stretches))
        return false;
    s->each = pln_align_up(all, 64);
    return pln_size_mul(&p->scratch, s->each, (size_t)s->slots);
}

/* Workspace of a slot of a depthwise one: a plane of the input with its padding. */
static bool set_depthwise_workspace(state *s, pln_prep *p)
{
    const pln_conv_geom *g = &s->g;
    const int d = g->nd - 1;
    const int64_t rows = g->nd == 2 ? g->in[0] : 1;
    size_t floats;
    s->slots = p->n_threads > 1 && 2.0 * p->flops > 4e5 ? p->n_threads : 1;
    const int64_t part =
        g->out[d] + (g->kernel[d] - 1) * g->dilation[d] / g->stride[d] + 1;
    s->width = g->stride[d] * part;
    s->tap_at = pln_calloc(p->alloc, (size_t)g->kernel[d], sizeof *s->tap_at);
    if (!s->tap_at || !pln_size_mul(&floats, (size_t)rows, (size_t)s->width) ||
        !pln_size_mul(&s->each, floats, sizeof(float)))
        return false;
    for (int64_t q = 0; q < g->kernel[d]; q++) {
        const int64_t at = q * g->dilation[d];
        s->tap_at[q] = at % g->stride[d] * part + at / g->stride[d];
    }
    s->each = pln_align_up(s->each, 64);
    return pln_size_mul(&p->scratch, s->each, (size_t)s->slots);
}

/* Workspace of a slot: a panel of columns, and the input offset of each of its
 * columns. */
static bool set_workspace(state *s, pln_prep *p)
{
    const pln_conv_geom *g = &s->g;
    const int64_t panels =
        round_up(g->out_size, s->fns->nr) / s->fns->nr * g->n * g->group;
    size_t floats, all;
    if (s->turned) {
        s->slots = p->n_threads;
        return pln_size_mul(&floats, (size_t)(g->cg * g->taps + g->mg),
                            (size_t)g->out_size) &&
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
    if (!takes(p) || !geometry(p, &g) || g.in_size > INT32_MAX || g.nd < 1)
        return PLN_E_UNSUPPORTED;
    state *s = pln_calloc(p->alloc, 1, sizeof *s);
    if (!s)
        return pln_oom(err);
    *s = (state){ .alloc = p->alloc, .fns = pln_gemm(), .g = g, .slots = 1 };
    pln_status st = pln_conv_posts(p->node, p->attrs, &s->post, err);
    if (st == PLN_OK && is_depthwise(&g)) {
        st = set_depthwise_workspace(s, p) ? PLN_OK : PLN_E_UNSUPPORTED;
    } else if (st == PLN_OK) {
        void *w = NULL;
        s->turned = wants_turned(&g, s->fns);
        if (!(g.transposed ? set_scatter_workspace(s, p) : set_workspace(s, p)))
            st = PLN_E_UNSUPPORTED;
        else if (g.transposed)
            st = p->shared(p, SHARED_SCATTERED, make_scattered, release_packed, &w, err);
        else if (s->turned)
            st = p->shared(p, SHARED_TURNED, make_turned, release_packed, &w, err);
        else
            st = p->shared(p, SHARED_PACKED, make_packed, release_packed, &w, err);
        s->w = w;
        p->packed[1] = st == PLN_OK;
    }
    if (st != PLN_OK) {
        release_state(s);
        p->scratch = 0;
        return st;
    }
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    p->state = s;
    return PLN_OK;
}

/* ---- columns times weights ------------------------------------------------------- */

typedef struct job {
    const state *s;
    const pln_epilogue *e;
    const float *x;
    const float *w;
    float *y;
    unsigned char *scratch;
    int64_t panels; /* of one image and group */
} job;

static void gather(const pln_conv_geom *g, const float *x, int64_t first, int cols,
                   int nr, float *out, int32_t *off)
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
    const int64_t image = item / (j->panels * g->group),
                  grp = item / j->panels % g->group;
    const int64_t first = item % j->panels * nr, k = g->cg * g->taps;
    const int cols = g->out_size - first < nr ? (int)(g->out_size - first) : nr;
    gather(g, j->x + (image * g->c + grp * g->cg) * g->in_size, first, cols, nr, columns,
           (int32_t *)(columns + k * nr));
    const int64_t plane = image * g->m + grp * g->mg;
    float *y = j->y + plane * g->out_size + first;
    const float *w = s->w->data + grp * s->w->each;
    for (int64_t m = 0; m < g->mg; m += mr) {
        const int rows = g->mg - m < mr ? (int)(g->mg - m) : mr;
        s->fns->tile(k, w + m * k, mr, columns, nr, y + m * g->out_size, g->out_size,
                     rows, cols, false);
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
        for (int64_t i = items * slot / j->s->slots; i < items * (slot + 1) / j->s->slots;
             i++)
            run_panel(j, i, columns);
    }
}

/* ---- few outputs: rows of inputs times weights ----------------------------------- */

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
        const bool whole =
            g->out_size == 1 && g->taps == g->in_size && g->pad_lo[0] == 0 && g->nd == 1;
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

/* ---- transposed: weights times inputs, added where each tap lies ----------------- */

/* Where one tap adds columns [first, first + cols) of the input to a plane of the
 * output. */
static int64_t tap_stretches(const pln_conv_geom *g, const int64_t *tap, int64_t first,
                             int cols, stretch *out)
{
    const int d = g->nd - 1;
    int64_t at[PLN_CONV_MAX + 1] = { 0 }, n = 0;
    pln_conv_coords(g->nd, first, g->in, at);
    for (int j = 0; j < cols;) {
        const int64_t room = g->in[d] - at[d], len = cols - j < room ? cols - j : room;
        const int64_t shift = tap[d] * g->dilation[d] - g->pad_lo[d];
        int64_t row = 0;
        bool inside = true;
        for (int i = 0; i < d; i++) {
            const int64_t o =
                at[i] * g->stride[i] + tap[i] * g->dilation[i] - g->pad_lo[i];
            inside &= o >= 0 && o < g->out[i];
            row = row * g->out[i] + o;
        }
        int64_t lo = at[d],
                hi = g->out[d] > shift ? (g->out[d] - 1 - shift) / g->stride[d] + 1 : 0;
        if (lo * g->stride[d] + shift < 0)
            lo = (-shift + g->stride[d] - 1) / g->stride[d];
        hi = hi < at[d] + len ? hi : at[d] + len;
        if (inside && lo < hi)
            out[n++] = (stretch){ .from = (int32_t)(j + lo - at[d]),
                                  .n = (int32_t)(hi - lo),
                                  .to = row * g->out[d] + lo * g->stride[d] + shift };
        j += (int)len;
        at[d] = g->in[d] - 1;
        pln_conv_next(g->nd, at, g->in);
    }
    return n;
}

static void add_strided(float *y, const float *x, int64_t step, int64_t n)
{
    if (step == 1)
        for (int64_t i = 0; i < n; i++)
            y[i] += x[i];
    else if (step == 2)
        for (int64_t i = 0; i < n; i++)
            y[2 * i] += x[i];
    else
        for (int64_t i = 0; i < n; i++)
            y[i * step] += x[i];
}

/* Output channels [m0, m1) of one image and group; m0 begins a panel of weights. */
static void scatter_channels(const job *j, int64_t image, int64_t grp, int64_t m0,
                             int64_t m1, unsigned char *work)
{
    const state *s = j->s;
    const pln_conv_geom *g = &s->g;
    const int nr = s->fns->nr, mr = s->fns->mr, wide = SIDE * nr;
    stretch *all = (stretch *)(void *)work;
    int64_t *n = (int64_t *)(void *)(all + g->taps * wide);
    float *panels = (float *)(void *)(n + g->taps), *tile = panels + g->cg * wide;
    const float *x = j->x + (image * g->c + grp * g->cg) * g->in_size;
    const float *w = s->w->data + grp * s->w->each;
    float *y = j->y + (image * g->m + grp * g->mg) * g->out_size;
    memset(y + m0 * g->out_size, 0, (size_t)((m1 - m0) * g->out_size) * sizeof *y);
    memset(panels, 0, (size_t)(g->cg * wide) * sizeof *panels);
    for (int64_t first = 0; first < g->in_size; first += wide) {
        const int cols = g->in_size - first < wide ? (int)(g->in_size - first) : wide;
        int64_t tap[PLN_CONV_MAX + 1] = { 0 };
        for (int64_t t = 0; t < g->taps; t++, pln_conv_next(g->nd, tap, g->kernel))
            n[t] = tap_stretches(g, tap, first, cols, all + t * wide);
        for (int at = 0; at < cols; at += nr)
            for (int64_t c = 0; c < g->cg; c++)
                memcpy(panels + g->cg * at + c * nr, x + c * g->in_size + first + at,
                       (size_t)(cols - at < nr ? cols - at : nr) * sizeof *panels);
        for (int64_t r = m0 * g->taps; r < m1 * g->taps; r += mr) {
            const int rows = m1 * g->taps - r < mr ? (int)(m1 * g->taps - r) : mr;
            for (int at = 0; at < cols; at += nr)
                s->fns->tile(g->cg, w + r * g->cg, mr, panels + g->cg * at, nr, tile + at,
                             wide, rows, cols - at < nr ? cols - at : nr, false);
            for (int i = 0; i < rows; i++) {
                float *plane = y + (r + i) / g->taps * g->out_size;
                const int64_t t = (r + i) % g->taps;
                for (const stretch *e = all + t * wide; e < all + t * wide + n[t]; e++)
                    add_strided(plane + e->to, tile + i * wide + e->from,
                                g->stride[g->nd - 1], e->n);
            }
        }
    }
}

/* Channels of a block: the fewest whose taps fill panels of weights. */
static int64_t scatter_block(const state *s)
{
    int64_t block = 1;
    while (block * s->g.taps % s->fns->mr)
        block++;
    return block;
}

static void run_scatter(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_conv_geom *g = &j->s->g;
    const int64_t block = scatter_block(j->s), blocks = (g->mg + block - 1) / block;
    const int64_t items = blocks * g->n * g->group;
    for (int64_t slot = begin; slot < end; slot++) {
        const int64_t stop = items * (slot + 1) / j->s->slots;
        for (int64_t i = items * slot / j->s->slots; i < stop;) {
            const int64_t part = i / blocks, b0 = i % blocks;
            const int64_t b1 = b0 + (stop - i) < blocks ? b0 + (stop - i) : blocks;
            const int64_t m1 = b1 * block < g->mg ? b1 * block : g->mg;
            scatter_channels(j, part / g->group, part % g->group, b0 * block, m1,
                             j->scratch + (size_t)slot * j->s->each);
            for (int64_t m = b0 * block; j->e->n && m < m1; m++) {
                const int64_t plane =
                    part / g->group * g->m + part % g->group * g->mg + m;
                pln_epilogue_row(j->e, j->y + plane * g->out_size, plane, 0, g->out_size);
            }
            i += b1 - b0;
        }
    }
}

/* ---- depthwise ------------------------------------------------------------------- */

/* Taps [*lo, *hi) of n, `step` apart, lie inside if the first lies at `at`. */
static void inside(int64_t in, int64_t n, int64_t step, int64_t at, int64_t *lo,
                   int64_t *hi)
{
    *lo = at < 0 ? (-at + step - 1) / step : 0;
    *hi = at >= in ? 0 : (in - 1 - at) / step + 1;
    *hi = *hi < n ? *hi : n;
    *lo = *lo < *hi ? *lo : *hi;
}

/* Rows of the input with their padding, the columns that outputs side by side read for
 * one tap side by side, too: those of one rest by the stride after each other. */
static void spread_rows(const pln_conv_geom *g, const float *x, int64_t width, float *out)
{
    const int d = g->nd - 1;
    const int64_t rows = g->nd == 2 ? g->in[0] : 1, step = g->stride[d],
                  part = width / step;
    for (int64_t r = 0; r < rows; r++, x += g->in[d], out += width)
        for (int64_t rest = 0; rest < step; rest++) {
            const int64_t at = rest - g->pad_lo[d]; /* the first one's column in x */
            int64_t lo, hi;
            inside(g->in[d], part, step, at, &lo, &hi);
            float *to = out + rest * part;
            memset(to, 0, (size_t)lo * sizeof *to);
            if (step == 1)
                memcpy(to + lo, x + at + lo, (size_t)(hi - lo) * sizeof *to);
            else
                for (int64_t i = lo; i < hi; i++)
                    to[i] = x[at + i * step];
            memset(to + hi, 0, (size_t)(part - hi) * sizeof *to);
        }
}

static void plane_depthwise(const state *s, const float *x, const float *w, float *y,
                            float *work)
{
    const pln_conv_geom *g = &s->g;
    const bool two = g->nd == 2;
    const int d = g->nd - 1;
    const int64_t kw = g->kernel[d], step = two ? g->dilation[0] : 1;
    const int64_t ih = two ? g->in[0] : 1, oh = two ? g->out[0] : 1,
                  kh = two ? g->kernel[0] : 1;
    spread_rows(g, x, s->width, work);
    for (int64_t r = 0; r < oh; r++) {
        const int64_t top = two ? r * g->stride[0] - g->pad_lo[0] : 0;
        int64_t lo, hi;
        inside(ih, kh, step, top, &lo, &hi);
        s->fns->correlate(y + r * g->out[d], work + (top + lo * step) * s->width,
                          step * s->width, hi - lo, w + lo * kw, s->tap_at, kw,
                          g->out[d]);
    }
}

static void run_depthwise(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_conv_geom *g = &j->s->g;
    const int64_t planes = g->n * g->m;
    for (int64_t slot = begin; slot < end; slot++)
        for (int64_t p = planes * slot / j->s->slots;
             p < planes * (slot + 1) / j->s->slots; p++) {
            float *y = j->y + p * g->out_size;
            plane_depthwise(j->s, j->x + p * g->in_size, j->w + p % g->m * g->taps, y,
                            (float *)(void *)(j->scratch + (size_t)slot * j->s->each));
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
    PLN_TRY(pln_epilogue_set(&e, c, &s->post, pln_call_has(c, 2) ? c->in[2] : NULL, 1,
                             1.0f, y, err));
    /* Few outputs: all channels of an image in one row, where the operands allow it. */
    if (s->turned)
        pln_epilogue_flatten(&e, 1);
    const bool flat = !s->turned && pln_epilogue_flatten(&e, 2);
    const pln_epilogue none = { .n = 0 };
    job j = { .s = s, .e = flat ? &e : &none, .x = c->in[0]->data, .w = c->in[1]->data,
              .y = y->data, .scratch = c->scratch,
              .panels = round_up(g->out_size, s->fns->nr) / s->fns->nr };
    if (!s->w)
        pln_parallel_for(c->n_threads, s->slots, 1, run_depthwise, &j);
    else if (g->transposed)
        pln_parallel_for(c->n_threads, s->slots, 1, run_scatter, &j);
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
