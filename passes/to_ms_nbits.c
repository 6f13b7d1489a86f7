/* to-ms-nbits: weights in blocks that a DequantizeLinear widens become those of operators
 * of com.microsoft, which read them as they are stored.
 *
 *     MatMul(x, DequantizeLinear<axis = 0, block_size = 32>(w, s, z)) + b
 *         => MatMulNBits<K, N, bits, block_size>(x, w', s', z', _, b)
 *     Gather(DequantizeLinear<block_size = 32>(w, s, z), i)
 *         => GatherBlockQuantized(w, i, s, z)
 *
 * ONNX Runtime would widen a whole table in each run. MatMulNBits has the transposed
 * weights in unsigned numbers of 4 or 8 bits, and the middle of their range as zero where
 * it is given no zero points. accuracy_level 1 keeps the sums floats: at the 4 that ONNX
 * Runtime writes itself, it quantizes the input too.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"
#include "passes/qdq_unit.h"
#include "passes/to_ms.h"

#include <string.h>

#define LEAST_BLOCK 16
#define IN_FLOATS   1 /* accuracy_level */

static bool is_block_size(int64_t n)
{
    return n >= LEAST_BLOCK && (n & (n - 1)) == 0;
}

/* ---- products ---------------------------------------------------------------------- */

typedef struct weights {
    const pln_tensor *w, *s, *z; /* z: NULL, zeros are 0 */
    int64_t k, n, block, blocks;
    int64_t step_k, step_n;           /* between elements of w */
    int64_t scale_step, scale_step_n; /* between those of s and z */
    int64_t zero_row; /* bytes of zero points for each column; 0: middle of the range */
    int bits, middle; /* middle: what makes an element unsigned */
} weights;

/* The dequantizer's weights, blocks along the rows of the product's second factor;
 * `turned`: this is transposed. */
static pln_status read_weights(pln_match *m, bool turned, weights *out)
{
    const pln_node *d = pln_match_node(m, "d");
    const pln_value *w = d->in[0], *z = pln_zero_point(d);
    const int64_t axis = pln_node_get_int(d, "axis", 1);
    const int64_t block = pln_node_get_int(d, "block_size", 0);
    const bool is_signed = pln_dtype_is_signed(w->type.dtype);
    const unsigned bits = pln_dtype_bits(w->type.dtype);
    *out = (weights){ pln_value_contents(w), pln_value_contents(d->in[1]),
                      z ? pln_value_contents(z) : NULL };
    if (pln_value_rank(w) != 2 || axis + (axis < 0 ? 2 : 0) != turned ||
        !is_block_size(block))
        return pln_match_refuse(m, "its weights are not in blocks along its rows");
    if ((bits != 4 && bits != 8) || d->in[1]->type.dtype != PLN_DT_F32)
        return pln_match_refuse(m, "its weights or scales are of another type");
    if (!out->w || !out->s || (z && !out->z) || !pln_value_is_single_use(w))
        return pln_match_refuse(m, "its weights are not its own constants");
    out->k = out->w->dims[turned];
    out->n = out->w->dims[!turned];
    out->block = block;
    out->blocks = out->s->dims[turned];
    out->step_k = turned ? 1 : out->n;
    out->step_n = turned ? out->k : 1;
    out->scale_step = turned ? 1 : out->n;
    out->scale_step_n = turned ? out->blocks : 1;
    out->bits = (int)bits;
    out->middle = is_signed ? 1 << (bits - 1) : 0;
    out->zero_row = z || !is_signed ? (out->blocks * out->bits + 7) / 8 : 0;
    if (out->blocks != (out->k + block - 1) / block)
        return pln_match_refuse(m, "its scales do not fit");
    if (!z && (uint64_t)(out->n * out->zero_row) > m->ctx->fold_left)
        return pln_match_refuse(m, "zero points would have to be written");
    return PLN_OK;
}

static void put(uint8_t *row, int64_t i, int bits, int64_t v)
{
    if (bits == 8)
        row[i] = (uint8_t)v;
    else
        row[i / 2] = (uint8_t)(row[i / 2] | (v & 15) << (i % 2 ? 4 : 0));
}

static pln_value *packed(pln_patch *p, const weights *w)
{
    const int64_t dims[3] = { w->n, w->blocks, w->block * w->bits / 8 };
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, PLN_DT_U8, 3, dims, &t, NULL) != PLN_OK)
        return NULL;
    memset(t->data, 0, (size_t)pln_tensor_size(t));
    for (int64_t n = 0; n < w->n; n++)
        for (int64_t k = 0; k < w->k; k++)
            put(PLN_DATA(uint8_t, t) + n * dims[1] * dims[2], k, w->bits,
                pln_tensor_get_i64(w->w, k * w->step_k + n * w->step_n) + w->middle);
    return pln_patch_const(p, t, "weights");
}

static pln_value *scales(pln_patch *p, const weights *w)
{
    const pln_allocator *a = p->graph->model->alloc;
    const int64_t count = w->n * w->blocks;
    pln_tensor *t = NULL;
    if (pln_tensor_make(a, PLN_DT_F32, 1, &count, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < count; i++) {
        const int64_t n = i / w->blocks, b = i % w->blocks;
        const int64_t at = n * w->scale_step_n + b * w->scale_step;
        PLN_DATA(float, t)[i] = PLN_DATA(const float, w->s)[at];
    }
    return pln_patch_const(p, t, "scales");
}

static pln_value *zeros(pln_match *m, pln_patch *p, const weights *w)
{
    const int64_t count = w->n * w->zero_row;
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, PLN_DT_U8, 1, &count, &t, NULL) != PLN_OK)
        return NULL;
    memset(t->data, 0, (size_t)count);
    if (!w->z)
        m->ctx->fold_left -= (uint64_t)count;
    for (int64_t n = 0; n < w->n && w->z; n++)
        for (int64_t b = 0; b < w->blocks; b++)
            put(PLN_DATA(uint8_t, t) + n * w->zero_row, b, w->bits,
                pln_tensor_get_i64(w->z, n * w->scale_step_n + b * w->scale_step) +
                    w->middle);
    return pln_patch_const(p, t, "zeros");
}

static pln_status emit(pln_match *m, pln_patch *p, bool turned, pln_value *bias)
{
    weights w;
    PLN_TRY(read_weights(m, turned, &w));
    if (bias && (pln_value_rank(bias) != 1 || pln_value_count(bias) != w.n))
        return pln_match_refuse(m, "its bias is not one value for each column");
    pln_value *in[6] = { pln_match_val(m, "x"), packed(p, &w), scales(p, &w),
                         w.zero_row ? zeros(m, p, &w) : NULL, NULL, bias };
    const uint32_t n_in = bias ? 6 : in[3] ? 4 : 3;
    pln_node *n = in[1] && in[2] && (in[3] || !w.zero_row)
                      ? pln_patch_add_in(p, PLN_MS, "MatMulNBits", in, n_in, 1)
                      : NULL;
    if (!n)
        return PLN_E_NOMEM;
    PLN_TRY(pln_node_set_int(n, "K", w.k));
    PLN_TRY(pln_node_set_int(n, "N", w.n));
    PLN_TRY(pln_node_set_int(n, "bits", w.bits));
    PLN_TRY(pln_node_set_int(n, "block_size", w.block));
    PLN_TRY(pln_node_set_int(n, "accuracy_level", IN_FLOATS));
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status product(pln_match *m, pln_patch *p)
{
    return emit(m, p, pln_match_node(m, "t") != NULL, NULL);
}

static pln_status gemm(pln_match *m, pln_patch *p)
{
    return emit(m, p, pln_node_get_int(m->root, "transB", 0) != 0, pln_match_val(m, "c"));
}

/* ---- tables ------------------------------------------------------------------------ */

static pln_status table(pln_match *m, pln_patch *p)
{
    const pln_node *d = pln_match_node(m, "d"), *g = m->root;
    const pln_dtype dt = d->in[0]->type.dtype;
    const int rank = pln_value_rank(d->in[0]);
    const int64_t block = pln_node_get_int(d, "block_size", 0);
    int64_t axis = pln_node_get_int(d, "axis", 1);
    axis += axis < 0 ? rank : 0;
    if (!is_block_size(block) || rank < 1 || axis != rank - 1 || rank == 1 ||
        pln_node_get_int(g, "axis", 0) != 0)
        return pln_match_refuse(m, "it is not in blocks along rows that are picked");
    if (dt != PLN_DT_U4 && dt != PLN_DT_S4 && dt != PLN_DT_U8)
        return pln_match_refuse(m, "its table is of another type");
    if (dt == PLN_DT_U8 && !pln_zero_point(d))
        return pln_match_refuse(m, "its zero would be in the middle of the range");
    pln_value *in[4] = { d->in[0], g->in[1], d->in[1], pln_zero_point(d) };
    pln_node *n =
        pln_patch_add_in(p, PLN_MS, "GatherBlockQuantized", in, in[3] ? 4 : 3, 1);
    if (!n)
        return PLN_E_NOMEM;
    PLN_TRY(pln_node_set_int(n, "gather_axis", 0));
    PLN_TRY(pln_node_set_int(n, "quantize_axis", axis));
    PLN_TRY(pln_node_set_int(n, "block_size", block));
    if (dt == PLN_DT_U8)
        PLN_TRY(pln_node_set_int(n, "bits", 8));
    pln_patch_replace(p, g->out[0], n->out[0]);
    return PLN_OK;
}

#define WIDENED "d=DequantizeLinear!(w#, s#, z?#)"
#define RULE    .contract = PLN_REASSOC, .target = PLN_TARGET_ORT

static const pln_rule rules[] = {
    { .name = "matmul-nbits", .match = "MatMul(x, " WIDENED ")",
      .where = "type(x) == \"float\"", .build = product, RULE },
    { .name = "matmul-nbits", .match = "MatMul(x, t=Transpose!<perm=[1,0]>(" WIDENED "))",
      .where = "type(x) == \"float\"", .build = product, RULE },
    { .name = "matmul-nbits",
      .match = "n=Gemm<transA=0, alpha=1.0>(x, " WIDENED ", c?)",
      .where = "type(x) == \"float\" and (n.beta == 1 or not has(c))",
      .build = gemm, RULE },
    { .name = "matmul-nbits-bias",
      .match = "Add~(n=com.microsoft.MatMulNBits!(x, w, s, z?), c)",
      .where = "rank(c) == 1 and size(c) == n.N and fits(c, n)",
      .replace = "com.microsoft.MatMulNBits<n.*>(x, w, s, z, _, c)", RULE },
    { .name = "gather-blocks", .match = "Gather(" WIDENED ", i)",
      .where = "type(s) == \"float\"", .build = table, .contract = PLN_EXACT,
      .target = PLN_TARGET_ORT },
};

const pln_pass pln_pass_to_ms_nbits = {
    .name = "to-ms-nbits",
    .brief = "weights and tables in blocks, as com.microsoft reads them",
    PLN_RULES(rules),
};
