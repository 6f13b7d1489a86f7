/* to-ms-unsigned: where a product would saturate in ONNX Runtime, its bytes become
 * unsigned.
 *
 *     QuantizeLinear(x, s, z)      int8  => QuantizeLinear(x, s, z + 128)      uint8
 *     DequantizeLinear(w, s, z)    int8  => DequantizeLinear(w + 128, s, z + 128)
 *
 * On processors without VNNI its kernels of signed weights add pairs of products in 16
 * bits: two of a byte up to 255 and a weight beyond 64 may be too large for them, and the
 * result is wrong. Those of unsigned weights are exact, and want unsigned activations.
 * The integers count the same steps from another end, so that no result changes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"
#include "passes/qdq_unit.h"

#include <string.h>

static pln_node *dequantizer(const pln_value *v)
{
    pln_node *n = v ? v->def : NULL;
    return n && pln_node_is(n, "DequantizeLinear") && pln_is_byte(n->in[0]) ? n : NULL;
}

static bool is_signed_constant(const pln_value *v)
{
    return v && pln_value_is_const(v) && v->type.dtype == PLN_DT_S8;
}

/* ---- which ------------------------------------------------------------------------- */

/* The dequantizer of the second factor of a product of bytes, which would saturate:
 * signed factors that are large, or unsigned ones that signed activations would make
 * so. */
static pln_node *saturating(const pln_node *n)
{
    if (!pln_node_is(n, "Conv") && !pln_node_is(n, "Gemm") && !pln_node_is(n, "MatMul"))
        return NULL;
    const pln_node *a = dequantizer(n->in[0]);
    pln_node *b = dequantizer(n->in[1]);
    if (!a || !b)
        return NULL;
    if (b->in[0]->type.dtype == PLN_DT_U8)
        return a->in[0]->type.dtype == PLN_DT_S8 ? b : NULL;
    return pln_fits_pairs(b->in[0]) ? NULL : b;
}

static bool has_saturating(const pln_graph *g)
{
    for (const pln_node *n = g->first; n; n = n->next)
        if (saturating(n))
            return true;
    return false;
}

/* ---- how --------------------------------------------------------------------------- */

static pln_status commit(pln_pass_ctx *ctx, pln_patch *p, pln_node *n, pln_error *err)
{
    char why[256] = "";
    const pln_status st = pln_patch_commit(p, NULL, n, NULL, NULL, why, sizeof why, err);
    if (why[0])
        pln_pass_explain(ctx, n, NULL, why);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
}

/* The dequantizer of other bytes. */
static void dequantize(pln_patch *p, pln_node *d, pln_value *bytes)
{
    pln_value *in[3] = { bytes, d->in[1], pln_patch_flip_bytes(p, pln_zero_point(d)) };
    pln_node *n = bytes && in[2] ? pln_patch_copy(p, d, in, 3) : NULL;
    if (n)
        pln_patch_replace(p, d->out[0], n->out[0]);
    else
        p->failed = PLN_E_NOMEM;
}

#define MOST_READERS (PLN_PATCH_MAX / 4) /* of one quantizer, moves and all */
#define PAD_VALUE    2

static bool has_constants(const pln_node *n)
{
    for (uint32_t i = 1; i < n->n_in; i++)
        if (n->in[i] && !pln_value_is_const(n->in[i]))
            return false;
    return true;
}

/* It moves bytes, and has no others of its own but what it pads with. */
static bool moves(const pln_node *n)
{
    static const char *const ops[] = {
        "Reshape", "Transpose", "Squeeze", "Unsqueeze",    "Flatten",      "Slice",
        "Gather",  "Expand",    "Tile",    "DepthToSpace", "SpaceToDepth", "MaxPool",
        "Pad",
    };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (pln_node_is(n, ops[i]))
            return n->n_in <= 8 && has_constants(n) && !pln_node_has_other_outputs(n) &&
                   (!pln_node_is(n, "Pad") || n->n_in <= PAD_VALUE || !n->in[PAD_VALUE] ||
                    is_signed_constant(n->in[PAD_VALUE]));
    return false;
}

/* Nothing but dequantizers of known zero points read it, some of them behind moves. */
static bool is_dequantized(const pln_value *q, int *n)
{
    for (const pln_use *u = q->uses; u; u = u->next) {
        if (!u->node || u->slot != 0 || u->node->graph != q->graph || ++*n > MOST_READERS)
            return false;
        if (pln_node_is(u->node, "DequantizeLinear")
                ? !is_signed_constant(pln_zero_point(u->node))
                : !moves(u->node) || !is_dequantized(u->node->out[0], n))
            return false;
    }
    return q->n_uses > 0;
}

/* What reads the bytes reads others. */
static void follow(pln_patch *p, const pln_value *q, pln_value *bytes)
{
    for (const pln_use *u = q->uses; u && bytes; u = u->next) {
        pln_node *n = u->node;
        if (pln_node_is(n, "DequantizeLinear")) {
            dequantize(p, n, bytes);
            continue;
        }
        pln_value *in[8] = { NULL };
        uint32_t n_in = n->n_in;
        memcpy(in, n->in, n_in * sizeof in[0]);
        in[0] = bytes;
        if (pln_node_is(n, "Pad")) {
            n_in = n_in <= PAD_VALUE ? PAD_VALUE + 1 : n_in;
            in[PAD_VALUE] = in[PAD_VALUE] ? pln_patch_flip_bytes(p, in[PAD_VALUE])
                                          : pln_patch_scalar(p, PLN_DT_U8, 128, "pad");
        }
        pln_node *c = pln_patch_copy(p, n, in, n_in);
        follow(p, n->out[0], c ? c->out[0] : NULL);
    }
    if (!bytes)
        p->failed = PLN_E_NOMEM;
}

static pln_status activations(pln_pass_ctx *ctx, pln_node *q, pln_error *err)
{
    pln_patch p;
    int readers = 0;
    if (!pln_node_is(q, "QuantizeLinear") || !is_signed_constant(pln_zero_point(q)) ||
        !is_dequantized(q->out[0], &readers))
        return PLN_OK;
    pln_patch_begin(&p, ctx, q);
    pln_value *in[3] = { q->in[0], q->in[1],
                         pln_patch_flip_bytes(&p, pln_zero_point(q)) };
    pln_node *n = in[2] ? pln_patch_copy(&p, q, in, 3) : NULL;
    if (n)
        pln_node_drop_attr(n, "output_dtype");
    follow(&p, q->out[0], n ? n->out[0] : NULL);
    return commit(ctx, &p, q, err);
}

/* A product of unsigned activations would saturate by it, or unsigned bytes stand beside
 * it, as kernels want them to be alike. */
static bool has_unsigned_partner(const pln_node *d)
{
    static const char *const ops[] = { "Add", "Mul", "Where", "Concat" };
    for (const pln_use *u = d->out[0]->uses; u; u = u->next) {
        const pln_node *n = u->node;
        bool pairs = n && saturating(n) == d;
        for (size_t i = 0; n && i < sizeof ops / sizeof ops[0]; i++)
            pairs |= pln_node_is(n, ops[i]);
        for (uint32_t i = 0; pairs && i < n->n_in; i++) {
            const pln_node *other = dequantizer(n->in[i]);
            if (other && other->in[0]->type.dtype == PLN_DT_U8)
                return true;
        }
    }
    return false;
}

static pln_status constants(pln_pass_ctx *ctx, pln_node *d, pln_error *err)
{
    pln_patch p;
    if (!pln_node_is(d, "DequantizeLinear") || !is_signed_constant(d->in[0]) ||
        !is_signed_constant(pln_zero_point(d)) || !pln_value_is_single_use(d->in[0]) ||
        !has_unsigned_partner(d))
        return PLN_OK;
    pln_patch_begin(&p, ctx, d);
    dequantize(&p, d, pln_patch_flip_bytes(&p, d->in[0]));
    return commit(ctx, &p, d, err);
}

/* From the end: what a patch takes away stands behind its place. */
static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    if (!has_saturating(g))
        return PLN_OK;
    for (pln_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        PLN_TRY(activations(ctx, n, err));
    }
    for (pln_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        PLN_TRY(constants(ctx, n, err));
    }
    return PLN_OK;
}

const pln_pass pln_pass_to_ms_unsigned = {
    .name = "to-ms-unsigned",
    .brief = "bytes become unsigned where a product would saturate in ONNX Runtime",
    .run = run,
    .contract = PLN_EXACT,
    .target = PLN_TARGET_ORT,
};
