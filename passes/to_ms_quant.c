/* to-ms-quant: integer products with the steps to floats behind them, and what stands
 * between dequantizers and a quantizer, as ONNX Runtime has them: MatMulIntegerToFloat,
 * DynamicQuantizeMatMul, QGemm, QLinearAdd, ... of com.microsoft, and the standard's
 * QLinearConv and QLinearMatMul.
 *
 *     Cast(MatMulInteger(q, b, z)) * (s * bs) + c
 *         => MatMulIntegerToFloat(q, b, s, bs, z, _, c)
 *     QuantizeLinear(Add(DequantizeLinear(a, ..), DequantizeLinear(b, ..)), s, z)
 *         => QLinearAdd(a, .., b, .., s, z)
 *
 * Its kernels want zero points given, results of the type of what they read, and unsigned
 * or equally signed activations.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/qdq_unit.h"
#include "passes/to_ms.h"

#include <math.h>
#include <string.h>

#define BYTES(v) "(type(" v ") == \"uint8\" or type(" v ") == \"int8\")"
#define ONE(v)   "(size(" v ") == 1 and rank(" v ") <= 1)"
/* One number, or one for each column. */
#define COLUMNS(v) "(" ONE(v) " or (rank(" v ") == 1 and size(" v ") == dim(b, -1)))"
#define ROW(v)                                                                         \
    "(size(" v ") == dim(b, -1) and dim(" v ", -1) == dim(b, -1) and fits(" v ", n))"
#define SIGNS      "(type(a) == \"uint8\" or type(b) == \"int8\")"

#define RULE .contract = PLN_REASSOC, .target = PLN_TARGET_ORT

/* ---- sums made floats ----------------------------------------------------------- */

#define TO_FLOAT(scales)                                                               \
    { .name = "to-float", .match = scales,                                             \
      .where = "type(as) == \"float\" and type(bs) == \"float\" and " SIGNS            \
               " and " ONE("as") " and " COLUMNS("bs")                                 \
               " and (not has(az) or " ONE("az") ")"                                   \
               " and (not has(bz) or " COLUMNS("bz") ")",                              \
      .replace = "com.microsoft.MatMulIntegerToFloat(a, b, as, bs, az, bz)", RULE }

#define SUMS "Cast!<to=1>(MatMulInteger!(a, b, az?, bz?))"

#define TO_FLOAT_BIAS(op, inputs, optional)                                            \
    { .name = "to-float-bias",                                                         \
      .match = "Add~(n=com.microsoft." op "!(" inputs optional ", bz?), c)",           \
      .where = ROW("c"), .replace = "com.microsoft." op "(" inputs ", bz, c)", RULE }

/* Is v output k of the node, and read once? */
static bool is_only_output(const pln_value *v, const pln_node *n, uint32_t k)
{
    return v && v->def == n && v->slot == k && pln_value_is_single_use(v);
}

/* Where several products share what is quantized, it is quantized once. */
static pln_status dynamic(pln_match *m, pln_patch *p)
{
    pln_value *a = pln_match_val(m, "a"), *b = pln_match_val(m, "b");
    pln_value *scale[2] = { pln_match_val(m, "as"), pln_match_val(m, "bs") };
    const pln_node *d = a->def;
    /* of two single numbers, either may be a's */
    const int own = scale[1]->def == d && pln_is_one_number(scale[1]) ? 1 : 0;
    if (!d || !pln_node_is(d, "DynamicQuantizeLinear") || !is_only_output(a, d, 0) ||
        !is_only_output(scale[own], d, 1) ||
        !is_only_output(pln_match_val(m, "az"), d, 2))
        return pln_match_refuse(m, "not quantized for it alone");
    pln_value *in[] = { d->in[0], b, scale[1 - own], pln_match_val(m, "bz"),
                        pln_match_val(m, "c") };
    pln_node *n = pln_patch_add_in(p, PLN_MS, "DynamicQuantizeMatMul", in, 5, 1);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- products of what was dequantized ------------------------------------------- */

/* Scales of the weights belong to the results' channels; an integer bias counts in steps
 * of the sums. */
static pln_status check_weights(pln_match *m, int axis)
{
    const pln_node *bias = pln_match_node(m, "dc");
    if (!pln_dequantizer(pln_match_val(m, "db"), axis))
        return pln_match_refuse(m, "its weights have other scales than one a channel");
    if (!pln_fits_pairs(pln_match_val(m, "b")))
        return pln_match_refuse(m, "its signed weights would saturate");
    if (bias && !pln_bias_counts_in_sums(bias, pln_match_val(m, "as"),
                                         pln_match_val(m, "bs")))
        return pln_match_refuse(m, "its bias does not count in steps of the sums");
    return PLN_OK;
}

static pln_status check_matmul(pln_match *m)
{
    return check_weights(m, pln_value_rank(pln_match_val(m, "b")) - 1);
}

static pln_status check_gemm_scales(pln_match *m)
{
    const pln_value *s = pln_match_val(m, "bs"), *z = pln_match_val(m, "bz");
    if (pln_value_rank(s) != pln_value_rank(z) ||
        pln_value_count(s) != pln_value_count(z))
        return pln_match_refuse(m, "its scales and zero points differ in shape");
    return PLN_OK;
}

static pln_status check_gemm(pln_match *m)
{
    PLN_TRY(check_gemm_scales(m));
    const bool swapped = pln_node_get_int(pln_match_node(m, "n"), "transB", 0) != 0;
    return check_weights(m, swapped ? 0 : 1);
}

static pln_status check_conv(pln_match *m)
{
    double zero;
    if (!pln_value_is_splat(pln_match_val(m, "bz"), &zero))
        return pln_match_refuse(m, "its weights have several zero points");
    return check_weights(m, 0);
}

/* ---- weights and biases as the kernels want them -------------------------------- */

static pln_status signed_weights(pln_match *m, pln_patch *p)
{
    pln_value *b = pln_patch_flip_bytes(p, pln_match_val(m, "b"));
    pln_value *z = pln_patch_flip_bytes(p, pln_match_val(m, "bz"));
    pln_value *in[] = { b, pln_match_val(m, "bs"), z };
    pln_node *n = b && z ? pln_patch_copy(p, pln_match_node(m, "db"), in, 3) : NULL;
    if (!n)
        return PLN_E_NOMEM;
    if (!pln_fits_pairs(b))
        return pln_match_refuse(m, "its signed weights would saturate");
    pln_patch_replace(p, pln_match_val(m, "db"), n->out[0]);
    return PLN_OK;
}

/* Zero points that are 0 are given, as the kernels want it. */
static pln_status given_zeros(pln_match *m, pln_patch *p)
{
    pln_node *n = m->root;
    const pln_tensor *s = pln_match_val(m, "s")->cst;
    const bool quantizes = pln_node_is(n, "QuantizeLinear");
    const pln_value *bytes = quantizes ? n->out[0] : n->in[0];
    pln_tensor *t = NULL;
    if (!pln_is_byte(bytes) || pln_node_get_int(n, "block_size", 0))
        return pln_match_refuse(m, "it is not of bytes");
    if (pln_tensor_make(p->graph->model->alloc, bytes->type.dtype, s->rank, s->dims, &t,
                        NULL) != PLN_OK)
        return PLN_E_NOMEM;
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        PLN_DATA(uint8_t, t)[i] = 0;
    pln_value *in[3] = { n->in[0], n->in[1], pln_patch_const(p, t, "zero") };
    pln_node *c = in[2] ? pln_patch_copy(p, n, in, 3) : NULL;
    if (!c)
        return PLN_E_NOMEM;
    pln_patch_replace(p, n->out[0], c->out[0]);
    return PLN_OK;
}

#define BIAS_STEPS 128 /* of the sums, at least, in a step of the result */

/* A bias of floats in steps of the sums, which are fine beside those of the result. */
static pln_value *bias_in_sums(pln_match *m, pln_patch *p)
{
    double a, q;
    pln_value *s = pln_match_val(m, "bs"), *c = pln_match_val(m, "c");
    pln_tensor *t = NULL;
    if (pln_value_rank(c) != 1 || !pln_value_is_splat(pln_match_val(m, "as"), &a) ||
        !pln_value_is_splat(pln_match_val(m, "qs"), &q) ||
        pln_tensor_materialize(s->cst, NULL) != PLN_OK ||
        pln_tensor_materialize(c->cst, NULL) != PLN_OK)
        return NULL;
    const int64_t n = pln_tensor_size(c->cst), n_steps = pln_tensor_size(s->cst);
    if ((n_steps != 1 && n_steps != n) ||
        pln_tensor_make(p->graph->model->alloc, PLN_DT_S32, 1, &n, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        const double step = a * pln_tensor_get_f64(s->cst, n_steps == 1 ? 0 : i);
        const double v = nearbyint(pln_tensor_get_f64(c->cst, i) / step);
        if (!(step > 0 && step * BIAS_STEPS <= q && fabs(v) < INT32_MAX / 2)) {
            pln_tensor_unref(t);
            return NULL;
        }
        PLN_DATA(int32_t, t)[i] = (int32_t)v;
    }
    return pln_patch_const(p, t, c->name);
}

static pln_status with_float_bias(pln_match *m, pln_patch *p, const char *domain,
                                  const char *op, bool bias_last)
{
    static const char *const names[] = { "a", "as", "az", "b", "bs", "bz", "qs", "qz" };
    pln_value *in[9], *c = bias_in_sums(m, p);
    int n_in = 0;
    if (!c)
        return pln_match_refuse(m, "its bias does not count in steps of the sums");
    for (int i = 0; i < 8; i++) {
        if (i == 6 && !bias_last)
            in[n_in++] = c;
        in[n_in++] = pln_match_val(m, names[i]);
    }
    if (bias_last)
        in[n_in++] = c;
    pln_node *n = pln_patch_add_in(p, domain, op, in, 9, 1);
    if (!n)
        return PLN_E_NOMEM;
    const pln_node *from = pln_match_node(m, "n");
    for (uint32_t i = 0; i < from->n_attrs; i++)
        if (strcmp(from->attrs[i]->name, "beta") != 0) /* of a Gemm: 1 */
            PLN_TRY(pln_node_set_attr(n, from->attrs[i]));
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status conv_with_float_bias(pln_match *m, pln_patch *p)
{
    return with_float_bias(m, p, "", "QLinearConv", true);
}

static pln_status gemm_with_float_bias(pln_match *m, pln_patch *p)
{
    return with_float_bias(m, p, PLN_MS, "QGemm", false);
}

/* ---- rules of products ---------------------------------------------------------- */

#define FACTORS "DequantizeLinear(a, as#, az#), db=DequantizeLinear(b, bs#, bz#)"
#define BIAS    ", dc=DequantizeLinear(c#, cs#, cz?#)"
#define PRODUCT                                                                        \
    ONE("as") " and " ONE("az") " and " BYTES("a") " and " BYTES("b") " and " SIGNS
#define RESULT                                                                         \
    ONE("qs") " and " ONE("qz") " and type(q) == type(a) and type(qs) == \"float\""

#define CONV(bias, c)                                                                  \
    { .name = "qlinear-conv",                                                          \
      .match = "q=QuantizeLinear(n=Conv!(" FACTORS bias "), qs#, qz#)",                \
      .where = PRODUCT " and " RESULT,                                                 \
      .check = check_conv,                                                             \
      .replace = "QLinearConv<n.*>(a, as, az, b, bs, bz, qs, qz" c ")", RULE }

#define GEMM(bias, condition, c)                                                       \
    { .name = "qgemm", .match = "n=Gemm(" FACTORS bias ")",                            \
      .where = PRODUCT condition,                                                      \
      .check = check_gemm,                                                             \
      .replace = "com.microsoft.QGemm<alpha = n.alpha, transA = n.transA, "            \
                 "transB = n.transB>(a, as, az, b, bs, bz" c ")", RULE }

#define TO_INTEGERS(id, product, condition, text)                                      \
    { .name = id, .match = "q=QuantizeLinear(n=" product ", qs#, qz#)",                \
      .where = RESULT condition, .replace = text, RULE }

/* ---- one operator between dequantizers and a quantizer -------------------------- */

#define QLINEAR(id, inside, condition, text)                                           \
    { .name = id, .match = "q=QuantizeLinear(n=" inside ", qs#, qz#)",                 \
      .where = RESULT " and " BYTES("a") " and " ONE("as") condition,                  \
      .replace = "com.microsoft." text, RULE }

#define A        "DequantizeLinear(a, as#, az#)"
#define B        "DequantizeLinear(b, bs#, bz#)"
#define SAME_AS_B " and " ONE("bs") " and type(a) == type(b)"

#define OTHER_STEPS " and value(as) != value(qs)"

#define CONCAT_MAX 32

static pln_status concat(pln_match *m, pln_patch *p)
{
    const pln_node *c = pln_match_node(m, "n");
    const pln_value *q = m->root->out[0];
    pln_value *in[2 + 3 * CONCAT_MAX];
    uint32_t n_in = 0;
    in[n_in++] = pln_match_val(m, "qs");
    in[n_in++] = pln_match_val(m, "qz");
    if (c->n_in > CONCAT_MAX || !pln_is_byte(q))
        return pln_match_refuse(m, "too many inputs, or no bytes");
    for (uint32_t i = 0; i < c->n_in; i++) {
        const pln_node *d = pln_dequantizer(c->in[i], -1);
        if (!d || !pln_zero_point(d) || !pln_value_is_const(d->in[1]) ||
            d->in[0]->type.dtype != q->type.dtype)
            return pln_match_refuse(m, "'%s' is not dequantized like the others",
                                    c->in[i]->name);
        in[n_in++] = d->in[0];
        in[n_in++] = d->in[1];
        in[n_in++] = pln_zero_point(d);
    }
    pln_node *n = pln_patch_add_in(p, PLN_MS, "QLinearConcat", in, n_in, 1);
    if (!n)
        return PLN_E_NOMEM;
    PLN_TRY(pln_node_set_int(n, "axis", pln_node_get_int(c, "axis", 0)));
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    TO_FLOAT("Mul~(" SUMS ", Mul~(as, bs))"),
    TO_FLOAT("Mul~(" SUMS ", Mul~(bs, as))"),
    TO_FLOAT("Mul~(Mul~!(" SUMS ", as), bs)"),
    TO_FLOAT("Mul~(Mul~!(" SUMS ", bs), as)"),
    TO_FLOAT_BIAS("MatMulIntegerToFloat", "a, b, as, bs, az", "?"),
    TO_FLOAT_BIAS("DynamicQuantizeMatMul", "a, b, bs", ""),
    { .name = "dynamic-matmul",
      .match = "com.microsoft.MatMulIntegerToFloat(a, b, as, bs, az, bz?, c?)",
      .build = dynamic,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    { .name = "given-zeros",
      .match = "QuantizeLinear|DequantizeLinear(x, s#)",
      .build = given_zeros,
      .contract = PLN_EXACT,
      .target = PLN_TARGET_ORT },
    { .name = "signed-weights",
      .match = "Conv|Gemm|MatMul(DequantizeLinear(a, as#, az#), "
               "db=DequantizeLinear!(b#, bs#, bz#), ...)",
      .where = "type(a) == \"int8\" and type(b) == \"uint8\" and uses(b) == 1",
      .build = signed_weights,
      .contract = PLN_EXACT,
      .target = PLN_TARGET_ORT },
    CONV("", ""),
    CONV(BIAS, ", c"),
    { .name = "qlinear-conv",
      .match = "q=QuantizeLinear(n=Conv!(" FACTORS ", c#), qs#, qz#)",
      .where = PRODUCT " and " RESULT " and type(c) == \"float\"",
      .check = check_conv,
      .build = conv_with_float_bias,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    { .name = "qgemm",
      .match = "q=QuantizeLinear(n=Gemm!(" FACTORS ", c#), qs#, qz#)",
      .where = PRODUCT " and " RESULT " and type(c) == \"float\" and n.alpha == 1 and "
               "n.beta == 1",
      .check = check_gemm,
      .build = gemm_with_float_bias,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    GEMM("", "", ""),
    GEMM(BIAS, " and n.alpha == 1 and n.beta == 1", ", c"),
    { .name = "to-float-bias",
      .match = "n=Gemm<alpha=1.0, beta=1.0, transA=0, transB=0>(" FACTORS ", c)",
      .where = PRODUCT " and " ROW("c"),
      .check = check_matmul,
      .replace = "com.microsoft.MatMulIntegerToFloat(a, b, as, bs, az, bz, c)",
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    { .name = "to-float",
      .match = "MatMul(" FACTORS ")",
      .where = PRODUCT,
      .check = check_matmul,
      .replace = "com.microsoft.MatMulIntegerToFloat(a, b, as, bs, az, bz)",
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    TO_INTEGERS("qlinear-matmul",
                "com.microsoft.MatMulIntegerToFloat!(a, b, as#, bs#, az#, bz#)", "",
                "QLinearMatMul(a, as, az, b, bs, bz, qs, qz)"),
    TO_INTEGERS("qgemm", "com.microsoft.QGemm!(a, as#, az#, b, bs#, bz#, c?)", "",
                "com.microsoft.QGemm<n.*>(a, as, az, b, bs, bz, c, qs, qz)"),
    { .name = "qgemm",
      .match = "q=QuantizeLinear(n=com.microsoft.MatMulIntegerToFloat!"
               "(a, b, as#, bs#, az#, bz#, c#), qs#, qz#)",
      .where = RESULT " and rank(a) == 2 and rank(b) == 2",
      .check = check_gemm_scales,
      .build = gemm_with_float_bias,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    QLINEAR("qlinear-add", "Add!(" A ", " B ")", SAME_AS_B,
            "QLinearAdd(a, as, az, b, bs, bz, qs, qz)"),
    QLINEAR("qlinear-mul", "Mul!(" A ", " B ")", SAME_AS_B,
            "QLinearMul(a, as, az, b, bs, bz, qs, qz)"),
    QLINEAR("qlinear-where", "Where!(c, " A ", " B ")", SAME_AS_B,
            "QLinearWhere(c, a, as, az, b, bs, bz, qs, qz)"),
    QLINEAR("qlinear-sigmoid", "Sigmoid!(" A ")", "",
            "QLinearSigmoid(a, as, az, qs, qz)"),
    QLINEAR("qlinear-leaky-relu", "LeakyRelu!(" A ")", "",
            "QLinearLeakyRelu<alpha = n.alpha>(a, as, az, qs, qz)"),
    /* Means of steps that are those of the result are halves often, which round to either
     * side; and ONNX Runtime counts padding that is not there where sizes are rounded
     * up. */
    QLINEAR("qlinear-average", "AveragePool!(" A ")",
            OTHER_STEPS " and (n.ceil_mode == 0 or n.count_include_pad == 0)",
            "QLinearAveragePool<n.*>(a, as, az, qs, qz)"),
    QLINEAR("qlinear-average", "GlobalAveragePool!(" A ")", OTHER_STEPS,
            "QLinearGlobalAveragePool<channels_last = 0>(a, as, az, qs, qz)"),
    QLINEAR("qlinear-softmax", "Softmax!(" A ")", " and n.pln_flatten == 0",
            "QLinearSoftmax<axis = n.axis, opset = 13>(a, as, az, qs, qz)"),
    QLINEAR("qlinear-softmax", "Softmax!(" A ")", " and n.pln_flatten == 1",
            "QLinearSoftmax<axis = n.axis, opset = 12>(a, as, az, qs, qz)"),
    { .name = "qlinear-concat",
      .match = "QuantizeLinear(n=Concat!(...), qs#, qz#)",
      .where = ONE("qs") " and " ONE("qz"),
      .build = concat,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
};

const pln_pass pln_pass_to_ms_quant = {
    .name = "to-ms-quant",
    .brief = "integer products and operators between quantizers of com.microsoft",
    PLN_RULES(rules),
};
