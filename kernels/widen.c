/* float16 and bfloat16 through the kernels of float: inputs are converted before the call
 * and outputs rounded behind it, once. Constants are converted when a plan is made, so
 * that packed weights are floats once and for all.
 *
 * It stands behind an operator's own implementation, and takes what that declines.
 * Elementwise operators convert block by block themselves.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "src/ir/op.h"
#include "src/util/alloc.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

#define MAX_INPUTS 32
#define PIECE      32768 /* elements converted at a time */
/* Less work gains nothing, and keeps the definition's own order of sums: scores that are
 * rounded to half hang on their last bit. */
#define FEW_FLOPS  32768

typedef struct wide {
    const pln_allocator *alloc;
    const pln_impl *impl;
    void *state;
    pln_tensor *constant[MAX_INPUTS]; /* converted; NULL: at each call, or packed */
} wide;

static bool is_half(pln_dtype dt)
{
    return dt == PLN_DT_F16 || dt == PLN_DT_BF16;
}

static bool is_half_tensor(const pln_tensor *t)
{
    return t && t->kind == PLN_KIND_TENSOR && is_half((pln_dtype)t->dtype);
}

/* ---- conversion ---- */

typedef struct piece_job {
    pln_dtype from, to;
    const char *x;
    char *y;
    int64_t n;
} piece_job;

static void convert_pieces(void *arg, int64_t begin, int64_t end)
{
    const piece_job *j = arg;
    const int64_t at = begin * PIECE, stop = end * PIECE < j->n ? end * PIECE : j->n;
    pln_block_convert(j->to, j->y + at * (int64_t)pln_dtype_size(j->to), j->from,
                      j->x + at * (int64_t)pln_dtype_size(j->from), stop - at);
}

static void convert(pln_tensor *to, const pln_tensor *from, int n_threads)
{
    piece_job j = { .from = (pln_dtype)from->dtype,
                    .to = (pln_dtype)to->dtype,
                    .x = from->data,
                    .y = to->data,
                    .n = pln_tensor_size(from) };
    pln_parallel_for(n_threads, (j.n + PIECE - 1) / PIECE, 2, convert_pieces, &j);
}

/* The same tensor in float, without elements. */
static pln_tensor described(const pln_tensor *t)
{
    pln_tensor d = { .kind = t->kind,
                     .dtype = PLN_DT_F32,
                     .layout = t->layout,
                     .borrowed = true,
                     .rank = t->rank };
    memcpy(d.dims, t->dims, sizeof d.dims);
    return d;
}

/* ---- plan time ---- */

static void wide_release(void *state)
{
    wide *w = state;
    if (w->impl->release && w->state)
        w->impl->release(w->state);
    for (int i = 0; i < MAX_INPUTS; i++)
        pln_tensor_unref(w->constant[i]);
    pln_release(w->alloc, w);
}

static bool can_widen(const pln_prep *p)
{
    bool any = false;
    if (!p->is_static || (p->flops > 0 && p->flops < FEW_FLOPS) || p->n_in > MAX_INPUTS ||
        p->n_out > MAX_INPUTS)
        return false;
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && p->in[i]->kind != PLN_KIND_TENSOR)
            return false;
        any |= is_half_tensor(p->in[i]);
    }
    for (uint32_t i = 0; i < p->n_out; i++)
        if (p->out[i] && p->out[i]->kind != PLN_KIND_TENSOR)
            return false;
    return any;
}

/* Descriptors in float of all that is half; constants with their elements. */
static pln_status describe(const pln_prep *p, wide *w, pln_tensor *desc,
                           const pln_tensor **in, const pln_tensor **out, pln_error *err)
{
    for (uint32_t i = 0; i < p->n_in; i++) {
        in[i] = p->in[i];
        if (!is_half_tensor(in[i]))
            continue;
        desc[i] = described(in[i]);
        if (in[i]->data) {
            PLN_TRY(pln_tensor_make(p->alloc, PLN_DT_F32, in[i]->rank, in[i]->dims,
                                    &w->constant[i], err));
            w->constant[i]->layout = in[i]->layout;
            convert(w->constant[i], in[i], p->n_threads);
            in[i] = w->constant[i];
        } else {
            in[i] = &desc[i];
        }
    }
    for (uint32_t i = 0; i < p->n_out; i++) {
        out[i] = p->out[i];
        if (is_half_tensor(out[i])) {
            desc[MAX_INPUTS + i] = described(out[i]);
            out[i] = &desc[MAX_INPUTS + i];
        }
    }
    return PLN_OK;
}

static pln_status prepare_inner(pln_prep *p, wide *w, pln_error *err)
{
    pln_tensor desc[2 * MAX_INPUTS];
    const pln_tensor *in[MAX_INPUTS], *out[MAX_INPUTS];
    uint8_t before[MAX_INPUTS];
    PLN_TRY(describe(p, w, desc, in, out, err));
    memcpy(before, p->layout_in, p->n_in);
    pln_prep inner = *p;
    inner.in = in;
    inner.out = out;
    if (w->impl->prepare)
        PLN_TRY(w->impl->prepare(&inner, err));
    w->state = inner.state;
    p->scratch = inner.scratch;
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (w->constant[i] && (p->packed[i] || p->layout_in[i] != before[i])) {
            pln_tensor_unref(w->constant[i]);
            w->constant[i] = NULL;
        } else if (w->constant[i]) {
            p->packed[i] = true; /* the call reads the converted one */
        }
    }
    return PLN_OK;
}

static pln_status wide_prepare(pln_prep *p, pln_error *err)
{
    if (!can_widen(p))
        return PLN_E_UNSUPPORTED;
    wide *w = pln_calloc(p->alloc, 1, sizeof *w);
    if (!w)
        return pln_oom(err);
    w->alloc = p->alloc;
    w->impl = p->node->op->cpu;
    const pln_status st = prepare_inner(p, w, err);
    if (st != PLN_OK)
        wide_release(w);
    else
        p->state = w;
    return st;
}

/* ---- a call ---- */

static pln_status widened(pln_call *c, const pln_tensor *t, pln_tensor *d, pln_error *err)
{
    size_t bytes;
    *d = described(t);
    if (!pln_dims_bytes(PLN_DT_F32, t->rank, t->dims, &bytes) ||
        !(d->data = pln_call_scratch(c, bytes + 64)))
        return pln_oom(err);
    return PLN_OK;
}

static pln_status wide_run(pln_call *c, pln_error *err)
{
    const wide *w = c->state;
    pln_tensor ins[MAX_INPUTS], outs[MAX_INPUTS], *out[MAX_INPUTS];
    const pln_tensor *in[MAX_INPUTS];
    for (uint32_t i = 0; i < c->n_in; i++) {
        in[i] = w->constant[i] ? w->constant[i] : c->in[i];
        if (!is_half_tensor(in[i]) || !in[i]->data)
            continue;
        PLN_TRY(widened(c, c->in[i], &ins[i], err));
        convert(&ins[i], c->in[i], c->n_threads);
        in[i] = &ins[i];
    }
    for (uint32_t i = 0; i < c->n_out; i++) {
        out[i] = c->out[i];
        if (!is_half_tensor(out[i]))
            continue;
        PLN_TRY(widened(c, out[i], &outs[i], err));
        out[i] = &outs[i];
    }
    pln_call inner = *c;
    inner.state = w->state;
    inner.in = in;
    inner.out = out;
    PLN_TRY(w->impl->run(&inner, err));
    for (uint32_t i = 0; i < c->n_out; i++)
        if (is_half_tensor(c->out[i]))
            convert(c->out[i], out[i], c->n_threads);
    return PLN_OK;
}

static const pln_impl wide_impl = { "by_float", wide_prepare, wide_run, wide_release };

static const pln_impl *find(const pln_node *n)
{
    bool half = false;
    if (!n->op || !n->op->cpu || (n->op->traits & (PLN_OP_ELEMENTWISE | PLN_OP_CONTROL)))
        return NULL;
    for (uint32_t i = 0; i < n->n_in; i++)
        half |= n->in[i] && is_half(n->in[i]->type.dtype);
    return half ? &wide_impl : NULL;
}

static bool serves(const char *domain, const char *op)
{
    (void)domain, (void)op;
    return false;
}

static pln_status open_wide(pln_error *err)
{
    (void)err;
    return PLN_OK;
}

const pln_device pln_device_wide = { .name = "cpu",
                                     .brief = "short floats by the kernels of float",
                                     .find = find,
                                     .serves = serves,
                                     .open = open_wide,
                                     .is_cpu = true };
