/* Channels moved before a kernel and back behind it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/nhwc.h"
#include "kernels/move.h"

#include <string.h>

/* Dimension of [N, C, spatial...] that dimension d of [N, spatial..., C] is, and the
 * reverse. */
static int to_first(int d, int rank)
{
    return d == 0 || rank < 3 ? d : d == rank - 1 ? 1 : d + 1;
}

static int to_last(int d, int rank)
{
    return d == 0 || rank < 3 ? d : d == 1 ? rank - 1 : d - 1;
}

static pln_status moved_type(pln_infer *inf, const pln_type *t, int (*from)(int, int),
                             pln_type *out, pln_error *err)
{
    *out = *t;
    if (t->shape.rank < 0)
        return PLN_OK;
    out->shape = pln_infer_shape(inf, t->shape.rank);
    if (out->shape.rank < 0)
        return pln_oom(err);
    for (int d = 0; d < t->shape.rank; d++)
        out->shape.dims[d] = t->shape.dims[from(d, t->shape.rank)];
    return PLN_OK;
}

pln_status pln_nhwc_infer(pln_infer *inf, uint32_t mask,
                          pln_status (*inner)(pln_infer *, pln_error *), pln_error *err)
{
    const pln_type *in[PLN_NHWC_MAX_IN];
    pln_type types[PLN_NHWC_MAX_IN], result;
    if (inf->n_in > PLN_NHWC_MAX_IN)
        return pln_infer_fail(inf, err, "too many inputs");
    for (uint32_t i = 0; i < inf->n_in; i++) {
        in[i] = inf->in[i];
        if (!in[i] || !(mask >> i & 1))
            continue;
        PLN_TRY(moved_type(inf, inf->in[i], to_last, &types[i], err));
        in[i] = &types[i];
    }
    pln_infer sub = *inf;
    sub.in = in;
    PLN_TRY(inner(&sub, err));
    PLN_TRY(moved_type(inf, &inf->out[0], to_first, &result, err));
    inf->out[0] = result;
    return PLN_OK;
}

static void move_dims(const pln_tensor *t, int (*from)(int, int), pln_tensor *out)
{
    for (int d = 0; d < t->rank; d++)
        out->dims[d] = t->dims[from(d, t->rank)];
}

pln_tensor pln_nhwc_view(const pln_tensor *t)
{
    pln_tensor v = *t;
    move_dims(t, to_last, &v);
    v.borrowed = true;
    v.layout = t->rank > 2 ? PLN_LAYOUT_CHANNELS_LAST : PLN_LAYOUT_PLAIN;
    return v;
}

/* Elements of `from` in the order of `to`, whose dimension d is dimension perm(d) of it.
 */
static void transpose(const pln_tensor *from, int (*perm)(int, int), pln_tensor *to,
                      int n_threads)
{
    const size_t size = pln_dtype_size((pln_dtype)from->dtype);
    int64_t own[PLN_MAX_RANK], src[PLN_MAX_RANK], dst[PLN_MAX_RANK];
    pln_move_strides(from->rank, from->dims, size, own);
    pln_move_strides(to->rank, to->dims, size, dst);
    for (int d = 0; d < to->rank; d++)
        src[d] = own[perm(d, to->rank)];
    pln_move_nd(to->data, dst, from->data, src, to->dims, to->rank, size, n_threads);
}

/* t with the channels second, in memory of its own. */
static pln_status moved_copy(pln_call *c, const pln_tensor *t, pln_tensor *out,
                             pln_error *err)
{
    *out = *t;
    move_dims(t, to_last, out);
    out->borrowed = true;
    out->layout = PLN_LAYOUT_PLAIN;
    out->data = pln_call_scratch(c, pln_move_bytes_of(t) + 1);
    return out->data ? PLN_OK : pln_oom(err);
}

pln_status pln_nhwc_run(pln_call *c, uint32_t mask, pln_kernel_fn inner, pln_error *err)
{
    const pln_tensor *in[PLN_NHWC_MAX_IN];
    pln_tensor moved[PLN_NHWC_MAX_IN], y, *out = &y;
    if (c->n_in > PLN_NHWC_MAX_IN)
        return pln_call_fail(c, err, PLN_E_LIMIT, "too many inputs");
    for (uint32_t i = 0; i < c->n_in; i++) {
        in[i] = c->in[i];
        if (!in[i] || !(mask >> i & 1))
            continue;
        PLN_TRY(moved_copy(c, c->in[i], &moved[i], err));
        if (pln_tensor_size(in[i]))
            transpose(c->in[i], to_last, &moved[i], c->n_threads);
        in[i] = &moved[i];
    }
    PLN_TRY(moved_copy(c, c->out[0], &y, err));
    pln_call sub = *c;
    sub.in = in;
    sub.out = &out;
    sub.n_out = 1;
    PLN_TRY(inner(&sub, err));
    if (pln_tensor_size(&y))
        transpose(&y, to_first, c->out[0], c->n_threads);
    return PLN_OK;
}

pln_status pln_nhwc_prepare(pln_prep *p, uint32_t mask, const pln_impl *inner,
                            pln_error *err)
{
    const pln_tensor *in[PLN_NHWC_MAX_IN], *out = NULL;
    pln_tensor moved[PLN_NHWC_MAX_IN], y;
    if (p->n_in > PLN_NHWC_MAX_IN || !p->out[0])
        return PLN_E_UNSUPPORTED;
    for (uint32_t i = 0; i < p->n_in; i++) {
        in[i] = p->in[i];
        if (!in[i] || !(mask >> i & 1))
            continue;
        moved[i] = *p->in[i];
        move_dims(p->in[i], to_last, &moved[i]);
        in[i] = &moved[i];
    }
    y = *p->out[0];
    move_dims(p->out[0], to_last, &y);
    out = &y;
    pln_prep sub = *p;
    sub.in = in;
    sub.out = &out;
    PLN_TRY(inner->prepare(&sub, err));
    p->state = sub.state;
    p->scratch = sub.scratch;
    return PLN_OK;
}
