/* ConvInteger, QLinearConv and planish.QConv on our own integer product: weights times
 * columns of the input, gathered a panel at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/epilogue.h"
#include "kernels/gemm_int.h"
#include "kernels/quant_fused.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

enum { SHARED_PACKED = 4 };

typedef struct packed {
    const pln_allocator *alloc;
    unsigned char *data; /* by group and panel of mr channels: [k / group][mr][group] */
    int32_t *sums;       /* by output channel */
    size_t panel;        /* bytes */
} packed;

typedef struct state {
    const pln_allocator *alloc;
    const pln_igemm_fns *fns;
    const packed *w; /* NULL: depthwise */
    const pln_q_inputs *q;
    pln_conv_geom g;
    pln_postop_list post;
    int slots;
    size_t each; /* bytes of workspace of a slot */
} state;

static void release_packed(void *p)
{
    packed *w = p;
    pln_release(w->alloc, w->data);
    pln_release(w->alloc, w->sums);
    pln_release(w->alloc, w);
}

static void release_state(void *p)
{
    state *s = p;
    pln_release(s->alloc, s);
}

static int64_t parts(int64_t n, int64_t step)
{
    return n / step + (n % step != 0);
}

static bool is_depthwise(const pln_conv_geom *g)
{
    return g->cg == 1 && g->mg == 1 && (g->nd == 1 || g->nd == 2);
}

static void pack_weights(const pln_conv_geom *g, const pln_igemm_fns *f,
                         const pln_tensor *w, packed *out)
{
    const int64_t k = g->cg * g->taps;
    const int flip = pln_byte_flip((pln_dtype)w->dtype);
    unsigned char *to = out->data;
    for (int64_t grp = 0; grp < g->group; grp++) {
        for (int64_t m = 0; m < g->mg; m += f->mr, to += out->panel) {
            const int64_t at = grp * g->mg + m;
            const int rows = g->mg - m < f->mr ? (int)(g->mg - m) : f->mr;
            f->pack_a(to, out->sums + at, PLN_DATA(const uint8_t, w) + at * k, k, 1, k,
                      rows, flip);
        }
    }
}

static pln_status make_packed(pln_prep *p, void **out, pln_error *err)
{
    pln_conv_geom g;
    const pln_igemm_fns *f = pln_igemm();
    const pln_tensor *weights = p->in[pln_q_inputs_of(p->node)->b];
    packed *w = pln_calloc(p->alloc, 1, sizeof *w);
    if (!w || !pln_conv_geom_set(&g, p->attrs, false, p->in[0], weights, p->out[0])) {
        pln_release(p->alloc, w);
        return pln_oom(err);
    }
    size_t bytes;
    w->alloc = p->alloc;
    w->panel = (size_t)(parts(g.cg * g.taps, f->group) * f->mr * 4);
    w->sums = pln_calloc(p->alloc, (size_t)g.m, sizeof *w->sums);
    if (!w->sums ||
        !pln_size_mul(&bytes, w->panel, (size_t)(parts(g.mg, f->mr) * g.group)) ||
        !(w->data = pln_alloc_aligned(p->alloc, bytes ? bytes : 1, 64))) {
        release_packed(w);
        return pln_oom(err);
    }
    memset(w->data, 0, bytes);
    pack_weights(&g, f, weights, w);
    *out = w;
    return PLN_OK;
}

/* A slot's workspace: gathered bytes, the packed panel, sums of one panel, offsets. */
typedef struct work {
    uint8_t *bytes;
    unsigned char *panel;
    int32_t *sums, *column_sums, *offsets;
} work;

static size_t work_size(const state *s, work *w, unsigned char *base)
{
    const size_t nr = (size_t)s->fns->nr, k = (size_t)(s->g.cg * s->g.taps);
    size_t at = 0;
    const size_t sizes[5] = { k * nr, (size_t)parts((int64_t)k, s->fns->group) * nr * 4,
                              (size_t)s->g.mg * nr * 4, nr * 4, nr * 4 };
    unsigned char *p[5];
    for (int i = 0; i < 5; i++) {
        p[i] = base + at;
        at += pln_align_up(sizes[i], 64);
    }
    if (w)
        *w = (work){ p[0], p[1], (int32_t *)(void *)p[2], (int32_t *)(void *)p[3],
                     (int32_t *)(void *)p[4] };
    return at;
}

static bool takes(const pln_prep *p, const pln_q_inputs *q, pln_conv_geom *g)
{
    const pln_tensor *w = p->in[q->b];
    return p->is_static && p->in[0] && w && w->data &&
           pln_conv_geom_set(g, p->attrs, false, p->in[0], w, p->out[0]) &&
           g->in_size <= INT32_MAX && g->taps > 0 && g->cg > 0 && g->mg > 0 &&
           (double)(g->cg * g->taps + g->mg) * 1024.0 < 1e10;
}

/* Operands advance by plane and by pixel alone: spatial dimensions all broadcast, or
 * none. */
static bool operands_flatten(const pln_prep *p, const pln_postop_list *post)
{
    const pln_tensor *y = p->out[0];
    for (int i = 0; i < post->n; i++) {
        const pln_tensor *o = post->op[i].operand < 0 ? NULL : p->in[post->op[i].operand];
        int same = 0, one = 0;
        for (int d = 2; o && d < y->rank; d++) {
            const int at = d - (y->rank - o->rank);
            one += at < 0 || o->dims[at] == 1;
            same += at >= 0 && o->dims[at] == y->dims[d];
        }
        if (o && one != y->rank - 2 && same != y->rank - 2)
            return false;
    }
    return true;
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    pln_conv_geom g;
    pln_postop_list post = { .n = 0 };
    void *w = NULL;
    const pln_q_inputs *q = pln_q_inputs_of(p->node);
    if (!takes(p, q, &g))
        return PLN_E_UNSUPPORTED;
    if (q->operands != PLN_Q_NONE)
        PLN_TRY(pln_postops_parse(p->node, &((const pln_conv_attrs *)p->attrs)->post,
                                  (int)q->operands, &post, err));
    if (!operands_flatten(p, &post))
        return PLN_E_UNSUPPORTED;
    if (!is_depthwise(&g))
        PLN_TRY(p->shared(p, SHARED_PACKED, make_packed, release_packed, &w, err));
    state *s = pln_calloc(p->alloc, 1, sizeof *s);
    if (!s)
        return pln_oom(err);
    *s = (state){
        .alloc = p->alloc, .fns = pln_igemm(), .w = w, .q = q, .g = g, .post = post
    };
    const int64_t items = (w ? parts(g.out_size, s->fns->nr) : 1) * g.n * g.group;
    s->slots = p->n_threads > 1 && items > 1 && p->flops > 8e5 ? p->n_threads : 1;
    s->each = w ? work_size(s, NULL, NULL)
                : pln_align_up((size_t)g.out[g.nd - 1] * sizeof(int32_t) + 1, 64);
    p->scratch = s->each * (size_t)s->slots;
    p->packed[q->b] = w != NULL;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    p->state = s;
    return PLN_OK;
}

typedef struct job {
    const state *s;
    const uint8_t *x, *w; /* w: as it is, for depthwise ones */
    int x_flip, w_flip;
    int32_t x_zero;
    uint8_t x_pad;
    pln_zero w_zero;
    bool to_float;
    pln_dequant d;
    pln_epilogue e;
    int32_t *y; /* sums or floats; NULL: bytes */
    uint8_t *bytes;
    bool is_signed;
    float y_scale, scale; /* the result's, and what is left of it to divide by */
    int32_t zero;
    unsigned char *scratch;
    int64_t panels;
} job;

/* Runs of columns that read neighbours, or padding (from < 0). */
typedef struct segment {
    int32_t from;
    int16_t at, len;
} segment;

#define SEGMENTS 64 /* as wide as any panel */

static int find_segments(const int32_t *off, int cols, segment *out)
{
    int n = 0;
    for (int j = 0; j < cols;) {
        int end = j + 1;
        while (end < cols && (off[j] < 0 ? off[end] < 0 : off[end] == off[j] + (end - j)))
            end++;
        out[n++] = (segment){ off[j], (int16_t)j, (int16_t)(end - j) };
        j = end;
    }
    return n;
}

static void gather_tap(const pln_conv_geom *g, const uint8_t *x, const int32_t *off,
                       int cols, int nr, uint8_t pad, uint8_t *o)
{
    segment s[SEGMENTS];
    /* With strides there are no runs; for few channels they are not worth being looked
       for. */
    const bool runs = g->nd > 0 && g->stride[g->nd - 1] == 1 && g->cg > 4;
    const int n = runs ? find_segments(off, cols, s) : 0;
    const int64_t step = g->taps * nr;
    for (int64_t c = 0; c < g->cg; c++, o += step, x += g->in_size) {
        if (n == 0) {
            for (int j = 0; j < cols; j++)
                o[j] = off[j] >= 0 ? x[off[j]] : pad;
            continue;
        }
        for (int i = 0; i < n; i++) {
            if (s[i].from >= 0)
                memcpy(o + s[i].at, x + s[i].from, (size_t)s[i].len);
            else
                memset(o + s[i].at, pad, (size_t)s[i].len);
        }
    }
}

static void gather(const pln_conv_geom *g, const uint8_t *x, int64_t first, int cols,
                   int nr, uint8_t pad, const work *w)
{
    int64_t tap[PLN_CONV_MAX + 1] = { 0 };
    for (int64_t t = 0; t < g->taps; t++, pln_conv_next(g->nd, tap, g->kernel)) {
        pln_conv_tap_offsets(g, tap, first, cols, w->offsets);
        gather_tap(g, x, w->offsets, cols, nr, pad, w->bytes + t * nr);
    }
}

/* One channel's sums become what the node gives, once `fixed` and `az` of the columns'
 * sums are taken from them. */
static void finish(const job *j, int32_t *row, int64_t plane, int64_t m, int64_t first,
                   int64_t cols, const int32_t *column_sums, uint32_t fixed, uint32_t az)
{
    const state *s = j->s;
    const pln_conv_geom *g = &s->g;
    fixed -= j->d.bias_int ? (uint32_t)j->d.bias_int[m * j->d.bias_step] : 0;
    float scale = j->to_float ? j->d.a_scale * j->d.b_scale[m * j->d.b_step] : 0;
    if (s->q->once && j->bytes) {
        s->fns->requant(j->bytes + plane * g->out_size + first, row, column_sums, fixed,
                        az, scale / j->y_scale, j->zero, j->is_signed ? 0x80 : 0, cols);
        return;
    }
    s->fns->correct(row, column_sums, fixed, az, cols);
    if (!j->to_float) {
        memcpy(j->y + plane * g->out_size + first, row, (size_t)cols * sizeof *row);
        return;
    }
    float *f = (float *)(void *)row;
    pln_vec()->dequant_s32(f, row, cols, scale);
    if (j->d.bias)
        pln_vec()->add(f, f, 1, j->d.bias + m * j->d.bias_step, 0, cols);
    if (j->e.n)
        pln_epilogue_row(&j->e, f, plane, first, cols);
    if (j->y)
        memcpy(j->y + plane * g->out_size + first, f, (size_t)cols * sizeof *f);
    else if (j->is_signed)
        pln_vec()->quant_s8((int8_t *)j->bytes + plane * g->out_size + first, f, cols,
                            j->scale, j->zero);
    else
        pln_vec()->quant_u8(j->bytes + plane * g->out_size + first, f, cols, j->scale,
                            j->zero);
}

/* What the zero points take from the sums of packed values of channel m. */
static uint32_t zero_points(const job *j, int64_t m, uint32_t *az)
{
    const state *s = j->s;
    const uint32_t k = (uint32_t)(s->g.cg * s->g.taps);
    const uint32_t bz = (uint32_t)(j->x_zero + (j->x_flip ? s->fns->b_offset_s8 : 0));
    *az =
        (uint32_t)(pln_zero_at(&j->w_zero, 0, m) - (j->w_flip ? 0 : s->fns->a_offset_u8));
    return bz * ((uint32_t)s->w->sums[m] - *az * k);
}

/* One tap, no stride: the columns are read where they lie. */
static bool is_pointwise(const pln_conv_geom *g)
{
    for (int d = 0; d < g->nd; d++)
        if (g->stride[d] != 1 || g->pad_lo[d] != 0 || g->out[d] != g->in[d])
            return false;
    return g->taps == 1;
}

static void run_panel(const job *j, int64_t item, const work *w)
{
    const state *s = j->s;
    const pln_conv_geom *g = &s->g;
    const pln_igemm_fns *f = s->fns;
    const int64_t image = item / (j->panels * g->group),
                  grp = item / j->panels % g->group;
    const int64_t first = item % j->panels * f->nr, k = g->cg * g->taps;
    const int cols = g->out_size - first < f->nr ? (int)(g->out_size - first) : f->nr;
    const uint8_t *x = j->x + (image * g->c + grp * g->cg) * g->in_size;
    if (cols == f->nr && is_pointwise(g)) {
        f->pack_b(w->panel, w->column_sums, x + first, g->in_size, 1, k, f->nr,
                  j->x_flip);
    } else {
        gather(g, x, first, cols, f->nr, j->x_pad, w);
        f->pack_b(w->panel, w->column_sums, w->bytes, f->nr, 1, k, f->nr, j->x_flip);
    }
    const unsigned char *a =
        s->w->data + (size_t)(grp * parts(g->mg, f->mr)) * s->w->panel;
    for (int64_t m = 0; m < g->mg; m += f->mr, a += s->w->panel) {
        const int rows = g->mg - m < f->mr ? (int)(g->mg - m) : f->mr;
        f->tile(parts(k, f->group), a, w->panel, w->sums + m * f->nr, f->nr, rows, f->nr,
                false);
    }
    for (int64_t m = 0; m < g->mg; m++) {
        const int64_t channel = grp * g->mg + m;
        uint32_t az;
        const uint32_t fixed = zero_points(j, channel, &az);
        finish(j, w->sums + m * f->nr, image * g->m + channel, channel, first, cols,
               w->column_sums, fixed, az);
    }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const int64_t items = j->panels * j->s->g.n * j->s->g.group;
    for (int64_t slot = begin; slot < end; slot++) {
        work w;
        work_size(j->s, &w, j->scratch + (size_t)slot * j->s->each);
        memset(w.bytes, 0, (size_t)(j->s->g.cg * j->s->g.taps * j->s->fns->nr));
        for (int64_t i = items * slot / j->s->slots; i < items * (slot + 1) / j->s->slots;
             i++)
            run_panel(j, i, &w);
    }
}

/* ---- depthwise ------------------------------------------------------------------- */

#define MAX_TAPS 32 /* that are summed in one go */

/* What one tap adds to outputs [from, to) of a row. */
static void add_tap(const job *j, const uint8_t *row, int64_t at, int32_t w, int64_t from,
                    int64_t to, int32_t *acc)
{
    const pln_conv_geom *g = &j->s->g;
    const int64_t iw = g->in[g->nd - 1], stride = g->stride[g->nd - 1];
    if (stride == 1) { /* the ends of a row */
        for (int64_t o = from > -at ? from : -at; o < to && o + at < iw; o++)
            acc[o] = (int32_t)((uint32_t)acc[o] +
                               (uint32_t)(w * (pln_byte_value(row[o + at], j->x_flip) -
                                               j->x_zero)));
        return;
    }
    int64_t lo = at < 0 ? (-at + stride - 1) / stride : 0;
    int64_t hi = at >= iw ? 0 : (iw - 1 - at) / stride + 1;
    lo = lo > from ? lo : from;
    hi = hi < to ? hi : to;
    if (lo < hi)
        j->s->fns->axpy(acc + lo, row + at + lo * stride, stride, w, j->x_zero, j->x_flip,
                        hi - lo);
}

/* Outputs [*lo, *hi) of a row meet no padding at its ends, and the taps can go in one
 * go. */
static void inner_columns(const pln_conv_geom *g, int64_t *lo, int64_t *hi)
{
    const int d = g->nd - 1;
    const int64_t reach = (g->kernel[d] - 1) * g->dilation[d];
    *lo = g->pad_lo[d] > 0 ? g->pad_lo[d] : 0;
    *hi = g->in[d] - reach + g->pad_lo[d];
    *hi = *hi < g->out[d] ? *hi : g->out[d];
    if (g->stride[d] != 1 || g->taps > MAX_TAPS || *lo > *hi)
        *lo = *hi = 0;
}

/* Sums of output row r of a plane. */
static void depthwise_row(const job *j, const uint8_t *x, const uint8_t *w, int32_t wz,
                          int64_t r, int32_t *acc)
{
    const pln_conv_geom *g = &j->s->g;
    const int d = g->nd - 1;
    const bool two = g->nd == 2;
    const int64_t iw = g->in[d], ow = g->out[d], kw = g->kernel[d];
    const uint8_t *from[MAX_TAPS];
    int32_t weight[MAX_TAPS];
    int64_t lo, hi;
    int n = 0;
    inner_columns(g, &lo, &hi);
    memset(acc, 0, (size_t)ow * sizeof *acc);
    for (int64_t i = 0; i < (two ? g->kernel[0] : 1); i++) {
        const int64_t row =
            two ? r * g->stride[0] - g->pad_lo[0] + i * g->dilation[0] : 0;
        if (row < 0 || row >= (two ? g->in[0] : 1))
            continue;
        for (int64_t q = 0; q < kw; q++) {
            const int64_t at = q * g->dilation[d] - g->pad_lo[d];
            const int32_t v = pln_byte_value(w[i * kw + q], j->w_flip) - wz;
            add_tap(j, x + row * iw, at, v, 0, lo, acc);
            add_tap(j, x + row * iw, at, v, hi, ow, acc);
            if (lo < hi) {
                from[n] = x + row * iw + at + lo;
                weight[n++] = v;
            }
        }
    }
    if (lo < hi)
        j->s->fns->taps(acc + lo, from, weight, n, j->x_zero, j->x_flip, hi - lo);
}

static void run_depthwise(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_conv_geom *g = &j->s->g;
    const int64_t ow = g->out[g->nd - 1], rows = g->out_size / ow;
    const int64_t items = g->n * g->m;
    for (int64_t slot = begin; slot < end; slot++) {
        int32_t *acc = (int32_t *)(void *)(j->scratch + (size_t)slot * j->s->each);
        for (int64_t p = items * slot / j->s->slots; p < items * (slot + 1) / j->s->slots;
             p++) {
            const int64_t m = p % g->m;
            const int32_t wz = pln_zero_at(&j->w_zero, 0, m);
            for (int64_t r = 0; r < rows; r++) {
                depthwise_row(j, j->x + p * g->in_size, j->w + m * g->taps, wz, r, acc);
                finish(j, acc, p, m, r * ow, ow, acc, 0, 0);
            }
        }
    }
}

static pln_status set_zeros(pln_call *c, const state *s, job *j, pln_error *err)
{
    pln_zero xz;
    if (!pln_zero_set(&xz, pln_q_get(c, s->q->a_zero), 1) || xz.batch != 1 ||
        !pln_zero_set(&j->w_zero, pln_q_get(c, s->q->b_zero), s->g.m) ||
        j->w_zero.batch != 1)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "a zero point has a size that fits nothing");
    j->x_zero = pln_zero_at(&xz, 0, 0);
    j->x_pad = (uint8_t)j->x_zero;
    return PLN_OK;
}

static pln_status set_ending(pln_call *c, const state *s, job *j, pln_error *err)
{
    j->y = c->out[0]->data;
    if (s->q->sums)
        return PLN_OK;
    j->to_float = true;
    PLN_TRY(pln_q_dequant(c, s->q, s->g.m, &j->d, err));
    pln_tensor y = *c->out[0];
    y.borrowed = true;
    PLN_TRY(pln_epilogue_set(&j->e, c, &s->post, NULL, 0, 1.0f, &y, err));
    if (!pln_epilogue_flatten(&j->e, 2))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "an operand does not broadcast by channel");
    const pln_tensor *ys = pln_q_get(c, s->q->y_scale), *yz = pln_q_get(c, s->q->y_zero);
    if (!ys)
        return PLN_OK;
    if (pln_tensor_size(ys) != 1 || (yz && pln_tensor_size(yz) != 1))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the result's scale or zero point is no scalar");
    j->y = NULL;
    j->bytes = c->out[0]->data;
    j->is_signed = c->out[0]->dtype == PLN_DT_S8;
    j->y_scale = PLN_DATA(const float, ys)[0];
    j->scale = s->q->once ? 1.0f : j->y_scale;
    j->zero = yz ? (int32_t)pln_tensor_get_i64(yz, 0) : 0;
    return PLN_OK;
}

static pln_status run(pln_call *c, pln_error *err)
{
    const state *s = c->state;
    job j = { .s = s,
              .x = c->in[0]->data,
              .w = c->in[s->q->b]->data,
              .scratch = c->scratch,
              .x_flip = pln_byte_flip((pln_dtype)c->in[0]->dtype),
              .w_flip = pln_byte_flip((pln_dtype)c->in[s->q->b]->dtype),
              .panels = parts(s->g.out_size, s->fns->nr) };
    PLN_TRY(set_zeros(c, s, &j, err));
    PLN_TRY(set_ending(c, s, &j, err));
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    pln_parallel_for(c->n_threads, s->slots, 1, s->w ? run_slots : run_depthwise, &j);
    return PLN_OK;
}

const pln_impl pln_impl_int_conv = {
    .name = "conv_int", .prepare = prepare, .run = run, .release = release_state
};
