/* Convolutions by oneDNN, on channels-last activations wherever that is quick.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv.h"
#include "kernels/dnnl/lower.h"
#include "kernels/dnnl/prim.h"

#include <string.h>

/* One way to lay the node out. */
typedef struct plan {
    const pln_conv_geom *g;
    const pln_postop_list *list;
    int n_post; /* post-ops that the primitive takes */
    pln_layout in, out;
    uint8_t *operand_layout; /* [n_in] */
} plan;

static dnnl_memory_desc_t weights_md(const pln_conv_geom *g, bool any)
{
    /* Logical order is group, out, in, taps, for transposed ones too. */
    int64_t dims[PLN_MAX_RANK], strides[PLN_MAX_RANK], size = 1;
    int r = 0;
    const bool grouped = g->group > 1;
    if (grouped)
        dims[r++] = g->group;
    dims[r++] = g->mg;
    dims[r++] = g->cg;
    const int first = r;
    for (int d = 0; d < g->nd; d++)
        dims[r++] = g->kernel[d];
    for (int d = r - 1; d >= first; d--) {
        strides[d] = size;
        size *= dims[d];
    }
    strides[first - 1] = g->w_c;
    strides[first - 2] = g->w_m;
    if (grouped)
        strides[0] = g->mg * g->cg * g->taps;
    return any ? prim_md_any(r, dims) : prim_md(r, dims, strides);
}

static bool create(dnnl_primitive_desc_t *pd, const plan *l, const pln_prep *p,
                   dnnl_primitive_attr_t attr)
{
    const pln_conv_geom *g = l->g;
    dnnl_dims_t strides, dilates, lo, hi;
    for (int d = 0; d < g->nd; d++) {
        const int64_t span = (g->kernel[d] - 1) * g->dilation[d] + 1;
        strides[d] = g->stride[d];
        dilates[d] = g->dilation[d] - 1;
        lo[d] = g->pad_lo[d];
        hi[d] = g->transposed
                    ? (g->in[d] - 1) * g->stride[d] + span - g->pad_lo[d] - g->out[d]
                    : (g->out[d] - 1) * g->stride[d] + span - g->pad_lo[d] - g->in[d];
    }
    dnnl_memory_desc_t src = prim_tensor_md(p->in[0]->rank, p->in[0]->dims, l->in);
    dnnl_memory_desc_t dst = prim_tensor_md(p->out[0]->rank, p->out[0]->dims, l->out);
    dnnl_memory_desc_t w = weights_md(g, true), bias = NULL;
    if (p->n_in > 2 && p->in[2])
        bias = prim_md(1, &g->m, (const int64_t[]){ 1 });
    bool ok = false;
    if (src && dst && w)
        ok = (g->transposed ? pln_dnnl.deconvolution_forward_primitive_desc_create(
                                  pd, pln_dnnl.engine, dnnl_forward_inference,
                                  dnnl_deconvolution_direct, src, w, bias, dst, strides,
                                  dilates, lo, hi, attr)
                            : pln_dnnl.convolution_forward_primitive_desc_create(
                                  pd, pln_dnnl.engine, dnnl_forward_inference,
                                  dnnl_convolution_direct, src, w, bias, dst, strides,
                                  dilates, lo, hi, attr)) == dnnl_success;
    dnnl_memory_desc_t all[] = { src, dst, w, bias };
    for (int i = 0; i < 4; i++) {
        if (all[i])
            pln_dnnl.memory_desc_destroy(all[i]);
    }
    return ok;
}

/* A primitive for this plan, or NULL where only a slow one exists. */
static dnnl_primitive_desc_t try_plan(const plan *l, const pln_prep *p)
{
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd = NULL;
    if (!prim_attr(&attr, p, l->list, l->n_post, p->out[0]->rank, l->operand_layout))
        return NULL;
    const bool ok = create(&pd, l, p, attr);
    pln_dnnl.primitive_attr_destroy(attr);
    if (!ok)
        return NULL;
    if (prim_is_optimized(pd))
        return pd;
    pln_dnnl.primitive_desc_destroy(pd);
    return NULL;
}

static void set_operand_layouts(plan *l, const pln_prep *p)
{
    for (uint32_t i = 0; i < p->n_in; i++) {
        l->operand_layout[i] = PLN_LAYOUT_PLAIN;
        if (i > 2 && p->in[i])
            l->operand_layout[i] =
                (uint8_t)prim_operand_layout(p->in[i], p->out[0]->rank, l->out);
    }
}

/* Fewer and fewer post-ops, then another layout. */
static dnnl_primitive_desc_t choose(plan *l, const pln_prep *p)
{
    const bool few =
        l->g->c <= 4 && l->g->group == 1 && p->layout_in[0] == PLN_LAYOUT_PLAIN;
    const pln_layout ways[][2] = {
        { few ? PLN_LAYOUT_PLAIN : PLN_LAYOUT_CHANNELS_LAST, PLN_LAYOUT_CHANNELS_LAST },
        { PLN_LAYOUT_CHANNELS_LAST, PLN_LAYOUT_CHANNELS_LAST },
        { PLN_LAYOUT_PLAIN, PLN_LAYOUT_PLAIN },
    };
    for (int w = few ? 0 : 1; w < 3; w++) {
        l->in = ways[w][0];
        l->out = ways[w][1];
        set_operand_layouts(l, p);
        int before = -1;
        for (l->n_post = l->list->n; l->n_post >= 0;
             l->n_post = l->n_post > 0 ? before : -1) {
            dnnl_primitive_desc_t pd = try_plan(l, p);
            if (pd)
                return pd;
            /* Next, only what comes before the last binary one. */
            before = 0;
            for (int i = 0; i < l->n_post; i++) {
                if (l->list->op[i].operand >= 0 && i > 0)
                    before = i;
            }
        }
    }
    return NULL;
}

static pln_status bind(prim *s, const plan *l, pln_prep *p, pln_error *err)
{
    PLN_TRY(prim_add(s, DNNL_ARG_SRC, dnnl_query_src_md, 0, PRIM_INPUT, 0, err));
    PLN_TRY(prim_add(s, DNNL_ARG_DST, dnnl_query_dst_md, 0, PRIM_OUTPUT, 0, err));
    PLN_TRY(
        prim_add(s, DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, PRIM_WEIGHTS, 1, err));
    if (p->n_in > 2 && p->in[2])
        PLN_TRY(prim_add(s, DNNL_ARG_BIAS, dnnl_query_weights_md, 1, PRIM_INPUT, 2, err));
    PLN_TRY(prim_add_operands(s, p, l->list, l->n_post, p->out[0]->rank,
                              l->operand_layout, err));
    for (int i = l->n_post; i < l->list->n; i++)
        s->rest.op[s->rest.n++] = l->list->op[i];
    dnnl_memory_desc_t md = weights_md(l->g, false);
    if (!md)
        return pln_oom(err);
    const pln_status st = prim_pack_weights(s, p, 1, md, err);
    pln_dnnl.memory_desc_destroy(md);
    PLN_TRY(st);
    return prim_finish(s, p, err);
}

/* With few outputs the library orders its sums by the number of threads; ours do not. */
#define MIN_OUTPUTS 128

static bool takes(const pln_prep *p, const pln_conv_geom *g)
{
    if (g->taps > 1 && g->group == 1 && !g->transposed &&
        g->n * g->out_size < MIN_OUTPUTS)
        return false;
    if (g->nd < 1 || g->nd > 3 || !p->in[1]->data || !g->n || !g->c || !g->m ||
        !g->out_size || !g->in_size || !g->taps)
        return false;
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (p->in[i] && p->in[i]->dtype != PLN_DT_F32)
            return false;
    }
    return true;
}

static pln_status prepare(pln_prep *p, bool transposed, pln_error *err)
{
    const pln_conv_attrs *at = p->attrs;
    pln_conv_geom g;
    pln_postop_list list = { .n = 0 };
    uint8_t layouts[PLN_POSTOPS_MAX + 3];
    if (!p->is_static || p->n_in > sizeof layouts ||
        !pln_conv_geom_set(&g, at, transposed, p->in[0], p->in[1], p->out[0]) ||
        !takes(p, &g))
        return PLN_E_UNSUPPORTED;
    PLN_TRY(pln_conv_posts(p->node, at, &list, err));
    plan l = { .g = &g, .list = &list, .operand_layout = layouts };
    prim *s = prim_new(p->alloc);
    if (!s)
        return pln_oom(err);
    s->pd = choose(&l, p);
    const pln_status st = s->pd ? bind(s, &l, p, err) : PLN_E_UNSUPPORTED;
    if (st != PLN_OK) {
        prim_free(s);
        p->scratch = 0;
        p->packed[1] = false;
        return st;
    }
    /* Post-ops that are left to us read their operands by their own layout. */
    for (uint32_t i = 0; i < p->n_in; i++)
        p->layout_in[i] = i ? layouts[i] : (uint8_t)l.in;
    p->layout_out[0] = (uint8_t)l.out;
    p->state = s;
    return PLN_OK;
}

static pln_status conv_prepare(pln_prep *p, pln_error *err)
{
    return prepare(p, false, err);
}

static pln_status deconv_prepare(pln_prep *p, pln_error *err)
{
    return prepare(p, true, err);
}

const pln_impl pln_dnnl_conv = {
    .name = "dnnl_conv", .prepare = conv_prepare, .run = prim_run, .release = prim_free
};
const pln_impl pln_dnnl_deconv = {
    .name = "dnnl_deconv", .prepare = deconv_prepare, .run = prim_run,
    .release = prim_free
};
