/* The driver of elementwise loops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/bcast.h"

#include "kernels/block.h"
#include "src/util/parallel.h"

#include <string.h>

#define BLOCK     512   /* elements gathered or converted at a time */
#define SHORT_ROW 128   /* rows below this are taken several at a time */
#define GRAIN     65536 /* a team costs as much as so many additions */

/* The output's dimensions in memory order with neighbours merged; dims[rank - 1] is the
 * innermost. */
typedef struct plan {
    const pln_loop *map;
    char *out;
    const char *in[PLN_LOOP_MAX_IN];
    size_t out_size, in_size[PLN_LOOP_MAX_IN];
    pln_dtype out_dt, in_dt[PLN_LOOP_MAX_IN];
    bool convert_out, convert_in[PLN_LOOP_MAX_IN];
    bool buffered; /* some run must go through buffers: runs are at most BLOCK long */
    int rank;
    int64_t dims[PLN_MAX_RANK];
    int64_t stride[PLN_LOOP_MAX_IN][PLN_MAX_RANK];
    int64_t total, rows, cols;
} plan;

/* 16 bytes hold any element. */
typedef struct buffers {
    _Alignas(64) char raw[BLOCK * 16];
    _Alignas(64) char out[BLOCK * 16];
    _Alignas(64) char in[PLN_LOOP_MAX_IN][BLOCK * 16];
    const char *tiled[PLN_LOOP_MAX_IN]; /* row that in[k] repeats, or NULL */
    int64_t n_tiled[PLN_LOOP_MAX_IN];
} buffers;

void pln_layout_order(const pln_tensor *t, int *order)
{
    const bool last = t->layout == PLN_LAYOUT_CHANNELS_LAST && t->rank > 2;
    for (int i = 0; i < t->rank; i++)
        order[i] = !last || i == 0 ? i : i == t->rank - 1 ? 1 : i + 1;
}

void pln_layout_strides(const pln_tensor *t, int64_t *strides)
{
    int order[PLN_MAX_RANK];
    int64_t s = 1;
    pln_layout_order(t, order);
    for (int i = t->rank - 1; i >= 0; i--) {
        strides[order[i]] = s;
        s *= t->dims[order[i]];
    }
}

bool pln_bcast_strides(const pln_tensor *t, int rank, const int64_t *dims,
                       int64_t *strides)
{
    int64_t own[PLN_MAX_RANK];
    const int skip = rank - t->rank;
    if (skip < 0)
        return false;
    pln_layout_strides(t, own);
    for (int i = 0; i < rank; i++) {
        const int64_t d = i < skip ? 1 : t->dims[i - skip];
        if (d != 1 && d != dims[i])
            return false;
        strides[i] = d == 1 ? 0 : own[i - skip];
    }
    return true;
}

static void merge_dims(plan *p, const pln_tensor *out, int64_t full[][PLN_MAX_RANK])
{
    int order[PLN_MAX_RANK];
    pln_layout_order(out, order);
    p->rank = 0;
    for (int i = 0; i < out->rank; i++) {
        const int64_t d = out->dims[order[i]];
        if (d == 1)
            continue;
        bool merge = p->rank > 0;
        for (int k = 0; k < p->map->n_in && merge; k++)
            merge = p->stride[k][p->rank - 1] == full[k][order[i]] * d;
        if (!merge)
            p->rank++;
        p->dims[p->rank - 1] = merge ? p->dims[p->rank - 1] * d : d;
        for (int k = 0; k < p->map->n_in; k++)
            p->stride[k][p->rank - 1] = full[k][order[i]];
    }
    if (p->rank == 0) { /* one element */
        p->rank = 1;
        p->dims[0] = 1;
        for (int k = 0; k < p->map->n_in; k++)
            p->stride[k][0] = 1;
    }
    p->cols = p->dims[p->rank - 1];
    p->rows = p->rank > 1 ? p->dims[p->rank - 2] : 1;
}

static bool make_plan(plan *p, const pln_loop *m, const pln_tensor *out,
                      const pln_tensor *const *in)
{
    int64_t full[PLN_LOOP_MAX_IN][PLN_MAX_RANK];
    memset(p, 0, sizeof *p);
    p->map = m;
    p->out = (char *)out->data;
    p->out_dt = (pln_dtype)out->dtype;
    p->out_size = pln_dtype_size(p->out_dt);
    p->convert_out = m->work_out != PLN_DT_NONE && m->work_out != p->out_dt;
    p->buffered = p->convert_out;
    p->total = pln_tensor_size(out);
    for (int k = 0; k < m->n_in; k++) {
        p->in[k] = (const char *)in[k]->data;
        p->in_dt[k] = (pln_dtype)in[k]->dtype;
        p->in_size[k] = pln_dtype_size(p->in_dt[k]);
        p->convert_in[k] = m->work_in[k] != PLN_DT_NONE && m->work_in[k] != p->in_dt[k];
        if (p->convert_in[k] && !pln_block_can(p->in_dt[k]))
            return false;
        if (!pln_bcast_strides(in[k], out->rank, out->dims, full[k]))
            return false;
    }
    merge_dims(p, out, full);
    for (int k = 0; k < m->n_in; k++)
        p->buffered |= p->convert_in[k] || p->stride[k][p->rank - 1] > 1;
    return true;
}

static void copy_strided(char *dst, const char *src, int64_t n, int64_t stride,
                         size_t size)
{
    const size_t step = (size_t)stride * size;
    if (stride == 1) {
        memcpy(dst, src, (size_t)n * size);
        return;
    }
    switch (size) { /* a constant size lets the compiler move it in a register */
    case 1:
        for (int64_t i = 0; i < n; i++, src += step)
            dst[i] = *src;
        return;
    case 4:
        for (int64_t i = 0; i < n; i++, src += step)
            memcpy(dst + i * 4, src, 4);
        return;
    case 8:
        for (int64_t i = 0; i < n; i++, src += step)
            memcpy(dst + i * 8, src, 8);
        return;
    default:
        for (int64_t i = 0; i < n; i++, src += step)
            memcpy(dst + (size_t)i * size, src, size);
    }
}

/* Gives what fn reads for input k on `n_rows` rows of `n` elements that begin at src.
 * Returns its stride. */
static int64_t fetch(const plan *p, buffers *b, int k, const char *src, int64_t n_rows,
                     int64_t n, const void **x)
{
    const size_t size = p->in_size[k];
    const int64_t cs = p->stride[k][p->rank - 1];
    const int64_t rs = p->rank > 1 && n_rows > 1 ? p->stride[k][p->rank - 2] : n * cs;
    const bool single = cs == 0 && rs == 0;
    const bool dense = cs == 1 && rs == n;
    const int64_t total = single ? 1 : n_rows * n;
    if ((single || dense) && !p->convert_in[k]) {
        *x = src;
        return single ? 0 : 1;
    }
    *x = b->in[k];
    if (rs == 0 && b->tiled[k] == src && b->n_tiled[k] >= total)
        return single ? 0 : 1;
    b->tiled[k] = NULL;
    const char *from = src;
    if (!single && !dense) {
        char *raw = p->convert_in[k] ? b->raw : b->in[k];
        for (int64_t r = 0; r < n_rows; r++)
            copy_strided(raw + (size_t)(r * n) * size, src + (size_t)(r * rs) * size, n,
                         cs, size);
        from = raw;
    }
    if (p->convert_in[k])
        pln_block_convert(p->map->work_in[k], b->in[k], p->in_dt[k], from, total);
    if (rs == 0) {
        b->tiled[k] = src;
        b->n_tiled[k] = total;
    }
    return single ? 0 : 1;
}

/* One call of fn: n_rows whole rows, or a piece of one. */
static void run_span(const plan *p, buffers *b, int64_t pos, const int64_t *offset,
                     int64_t n_rows, int64_t n)
{
    const void *x[PLN_LOOP_MAX_IN];
    int64_t sx[PLN_LOOP_MAX_IN];
    const pln_loop *m = p->map;
    char *y = p->out + (size_t)pos * p->out_size;
    for (int k = 0; k < m->n_in; k++)
        sx[k] = fetch(p, b, k, p->in[k] + (size_t)offset[k] * p->in_size[k], n_rows, n,
                      &x[k]);
    m->fn(p->convert_out ? b->out : y, x, sx, n_rows * n, m->arg);
    if (p->convert_out)
        pln_block_convert(p->out_dt, y, m->work_out, b->out, n_rows * n);
}

static int64_t span_rows(const plan *p, int64_t row, int64_t left)
{
    if (p->cols >= SHORT_ROW || p->rank < 2)
        return 1;
    int64_t r = BLOCK / p->cols;
    if (r > p->rows - row)
        r = p->rows - row;
    if (r > left / p->cols)
        r = left / p->cols;
    return r;
}

static void run_range(void *arg, int64_t begin, int64_t end)
{
    const plan *p = (const plan *)arg;
    buffers b;
    memset(b.tiled, 0, sizeof b.tiled);
    for (int64_t pos = begin; pos < end;) {
        int64_t offset[PLN_LOOP_MAX_IN] = { 0 };
        int64_t rest = pos, at[PLN_MAX_RANK] = { 0 };
        for (int i = p->rank - 1; i >= 0; i--) {
            at[i] = rest % p->dims[i];
            rest /= p->dims[i];
            for (int k = 0; k < p->map->n_in; k++)
                offset[k] += at[i] * p->stride[k][i];
        }
        const int64_t col = at[p->rank - 1];
        int64_t rows =
            col == 0 && p->rank > 1 ? span_rows(p, at[p->rank - 2], end - pos) : 1;
        int64_t n = p->cols;
        if (rows <= 1) {
            rows = 1;
            n = p->cols - col;
            if (n > end - pos)
                n = end - pos;
            if (p->buffered && n > BLOCK)
                n = BLOCK;
        }
        run_span(p, &b, pos, offset, rows, n);
        pos += rows * n;
    }
}

pln_status pln_loop_run(const pln_call *c, const pln_loop *m, pln_tensor *out,
                        const pln_tensor *const *in, pln_error *err)
{
    plan p;
    if (!make_plan(&p, m, out, in))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the inputs do not broadcast to the output");
    if (p.total == 0)
        return PLN_OK;
    if (p.total <= 4096)
        run_range(&p, 0, p.total);
    else
        pln_parallel_for(c->n_threads, p.total, m->grain ? m->grain : GRAIN, run_range,
                         &p);
    return PLN_OK;
}

pln_status pln_loop_typed(const pln_call *c, const pln_loop_fn *by_type, int n_in,
                          const void *arg, pln_error *err)
{
    return pln_loop_typed_grain(c, by_type, n_in, arg, 0, err);
}

pln_status pln_loop_typed_grain(const pln_call *c, const pln_loop_fn *by_type, int n_in,
                                const void *arg, int64_t grain, pln_error *err)
{
    const pln_dtype dt = (pln_dtype)c->in[0]->dtype;
    pln_tensor *out = c->out[0];
    pln_loop m = { .fn = by_type[dt], .arg = arg, .n_in = n_in, .grain = grain };
    if (!m.fn) {
        const pln_dtype work = pln_block_work(dt);
        m.fn = work == PLN_DT_NONE ? NULL : by_type[work];
        for (int k = 0; k < n_in; k++)
            m.work_in[k] = work;
        if (out->dtype == dt)
            m.work_out = work;
    }
    if (!m.fn)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "element type %s",
                             pln_dtype_name(dt));
    return pln_loop_run(c, &m, out, c->in, err);
}

static bool layout_free(const pln_tensor *t)
{
    bool spatial = false;
    for (int i = 2; i < t->rank; i++)
        spatial |= t->dims[i] != 1;
    return t->rank < 3 || t->dims[1] == 1 || !spatial;
}

pln_status pln_loop_prepare(pln_prep *p, pln_error *err)
{
    bool last = false;
    const pln_tensor *out = p->out[0];
    (void)err;
    for (uint32_t k = 0; k < p->n_in; k++)
        last |= p->in[k] && p->in[k]->rank == out->rank && !layout_free(p->in[k]) &&
                p->layout_in[k] == PLN_LAYOUT_CHANNELS_LAST;
    for (uint32_t k = 0; k < p->n_in; k++) {
        if (p->in[k] && p->in[k]->rank == out->rank && last)
            p->layout_in[k] =
                layout_free(p->in[k]) ? p->layout_in[k] : PLN_LAYOUT_CHANNELS_LAST;
        else
            p->layout_in[k] = PLN_LAYOUT_PLAIN;
    }
    p->layout_out[0] = last ? PLN_LAYOUT_CHANNELS_LAST : PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

pln_status pln_loop_prepare_float(pln_prep *p, pln_error *err)
{
    const pln_dtype dt = (pln_dtype)p->in[0]->dtype;
    if (dt != PLN_DT_F32 && dt != PLN_DT_F16 && dt != PLN_DT_BF16)
        return PLN_E_UNSUPPORTED;
    return pln_loop_prepare(p, err);
}
