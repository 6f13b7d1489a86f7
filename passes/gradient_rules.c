/* The table of derivatives.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/gradient.h"

#include <string.h>

#define D1(name, a)             \
    {                           \
        .op = name, .dx = { a } \
    }
#define D2(name, a, b)             \
    {                              \
        .op = name, .dx = { a, b } \
    }
#define FN(name, f)         \
    {                       \
        .op = name, .fn = f \
    }
#define SAME(name, e)         \
    {                         \
        .op = name, .same = e \
    }
#define ZERO(name)               \
    {                            \
        .op = name, .zero = true \
    }

pln_value *gr_same_gelu(pln_grad *t, pln_node *n, pln_value *const *in)
{
    const pln_attr *a = pln_node_find_attr(n, "approximate");
    const bool by_tanh = a && a->type == PLN_ATTR_STRING && !strcmp(a->s, "tanh");
    return gr_text(t,
                   by_tanh ? "Mul(Mul(0.5, a), Add(1, Tanh(Mul(0.7978845608028654, "
                             "Add(a, Mul(0.044715, Mul(a, Mul(a, a))))))))"
                           : "Mul(Mul(0.5, a), Add(1, Erf(Mul(0.7071067811865476, a))))",
                   n, in, NULL);
}

static const gr_rule rules[] = {
    /* one input, element by element */
    D1("Abs", "Mul(g, Sign(a))"),
    D1("Acos", "Neg(Div(g, Sqrt(Sub(1, Mul(a, a)))))"),
    D1("Acosh", "Div(g, Sqrt(Sub(Mul(a, a), 1)))"),
    D1("Asin", "Div(g, Sqrt(Sub(1, Mul(a, a))))"),
    D1("Asinh", "Div(g, Sqrt(Add(Mul(a, a), 1)))"),
    D1("Atan", "Div(g, Add(1, Mul(a, a)))"),
    D1("Atanh", "Div(g, Sub(1, Mul(a, a)))"),
    D1("Cos", "Neg(Mul(g, Sin(a)))"),
    D1("Cosh", "Mul(g, Sinh(a))"),
    D1("Erf", "Mul(g, Mul(1.1283791670955126, Exp(Neg(Mul(a, a)))))"),
    D1("Exp", "Mul(g, y)"),
    D1("Identity", "g"),
    D1("Log", "Div(g, a)"),
    D1("Neg", "Neg(g)"),
    D1("Reciprocal", "Neg(Mul(g, Mul(y, y)))"),
    D1("Sigmoid", "Mul(g, Mul(y, Sub(1, y)))"),
    D1("Sin", "Mul(g, Cos(a))"),
    D1("Sinh", "Mul(g, Cosh(a))"),
    D1("Sqrt", "Div(g, Mul(2, y))"),
    D1("Tan", "Mul(g, Add(1, Mul(y, y)))"),
    D1("Tanh", "Mul(g, Sub(1, Mul(y, y)))"),
    FN("Cast", gr_cast),
    FN("Dropout", gr_dropout),
    /* activations */
    D1("Elu", "Mul(g, Where(Less(a, 0), Add(y, @alpha), 1))"),
    D1("HardSigmoid", "Where(And(Greater(y, 0), Less(y, 1)), Mul(g, @alpha), 0)"),
    D1("LeakyRelu", "Where(Less(a, 0), Mul(g, @alpha), g)"),
    D1("Relu", "Where(Greater(a, 0), g, 0)"),
    D1("Softplus", "Mul(g, Sigmoid(a))"),
    D1("Softsign", "Div(g, Mul(Add(1, Abs(a)), Add(1, Abs(a))))"),
    D1("ThresholdedRelu", "Where(Greater(a, @alpha), g, 0)"),
    D2("PRelu", "Where(Less(a, 0), Mul(g, b), g)", "Where(Less(a, 0), Mul(g, a), 0)"),
    SAME("Celu", "Where(Less(a, 0), Mul(@alpha, Sub(Exp(Div(a, @alpha)), 1)), a)"),
    { .op = "Gelu", .same_fn = gr_same_gelu },
    SAME("HardSwish", "Mul(a, HardSigmoid(Div(a, 1.2)))"),
    SAME("Mish", "Mul(a, Tanh(Softplus(a)))"),
    SAME("Selu", "Mul(@gamma, Where(Less(a, 0), Mul(@alpha, Sub(Exp(a), 1)), a))"),
    SAME("Swish", "Mul(a, Sigmoid(Mul(@alpha, a)))"),
    /* two and more inputs, broadcast */
    D2("Add", "g", "g"),
    D2("Sub", "g", "Neg(g)"),
    D2("Mul", "Mul(g, b)", "Mul(g, a)"),
    D2("Div", "Div(g, b)", "Neg(Div(Mul(g, y), b))"),
    D2("Pow", "Mul(g, Mul(b, Pow(a, Sub(b, 1))))", "Mul(g, Mul(y, Log(a)))"),
    { .op = "Where", .dx = { NULL, "Where(a, g, Sub(g, g))", "Where(a, Sub(g, g), g)" } },
    FN("Max", gr_extreme),
    FN("Mean", gr_sum),
    FN("Min", gr_extreme),
    FN("Sum", gr_sum),
    { .op = "Clip", .same_fn = gr_same_clip },
    /* shapes */
    D1("Expand", "g"),
    D1("Flatten", "Reshape(g, Shape(a))"),
    D1("Reshape", "Reshape(g, Shape(a))"),
    D1("Squeeze", "Reshape(g, Shape(a))"),
    D1("Unsqueeze", "Reshape(g, Shape(a))"),
    FN("Concat", gr_concat),
    FN("CumSum", gr_cum_sum),
    FN("Gather", gr_gather),
    FN("GatherElements", gr_gather_elements),
    FN("Pad", gr_pad),
    FN("Slice", gr_slice),
    FN("Split", gr_split),
    FN("TopK", gr_top_k),
    FN("Transpose", gr_transpose),
    FN("Trilu", gr_trilu),
    /* reductions */
    D1("GlobalAveragePool", "Div(Spread(g), Count(a))"),
    D1("ReduceL1", "Mul(Sign(a), Spread(g))"),
    D1("ReduceL2", "Mul(a, Spread(Div(g, y)))"),
    D1("ReduceLogSum", "Spread(Div(g, Exp(y)))"),
    D1("ReduceLogSumExp", "Mul(Exp(Sub(a, Spread(y))), Spread(g))"),
    D1("ReduceMean", "Div(Spread(g), Count(a))"),
    D1("ReduceProd", "Div(Spread(Mul(g, y)), a)"),
    D1("ReduceSum", "Spread(g)"),
    D1("ReduceSumSquare", "Mul(Mul(2, a), Spread(g))"),
    /* at ties, each of the greatest has all of it */
    D1("GlobalMaxPool", "Where(Equal(a, Spread(y)), Spread(g), 0)"),
    D1("ReduceMax", "Where(Equal(a, Spread(y)), Spread(g), 0)"),
    D1("ReduceMin", "Where(Equal(a, Spread(y)), Spread(g), 0)"),
    /* along an axis */
    D1("LogSoftmax", "Sub(g, Mul(Exp(y), Along(g)))"),
    D1("Softmax", "Mul(y, Sub(g, Along(Mul(g, y))))"),
    { .op = "BatchNormalization", .same_fn = gr_same_batch_norm },
    { .op = "InstanceNormalization", .same_fn = gr_same_instance_norm },
    { .op = "LayerNormalization", .same_fn = gr_same_layer_norm },
    /* losses */
    { .op = "NegativeLogLikelihoodLoss", .same_fn = gr_same_nll },
    { .op = "SoftmaxCrossEntropyLoss", .same_fn = gr_same_cross_entropy },
    /* products and windows */
    FN("AveragePool", gr_average_pool),
    FN("Conv", gr_conv),
    FN("ConvTranspose", gr_conv_transpose),
    FN("Gemm", gr_gemm),
    FN("MatMul", gr_matmul),
    FN("MaxPool", gr_max_pool),
    /* steps */
    ZERO("Ceil"),
    ZERO("ConstantOfShape"),
    ZERO("Floor"),
    ZERO("Round"),
    ZERO("Sign"),
};

const gr_rule *gr_rule_of(const pln_node *n)
{
    if (*n->domain || !n->op)
        return NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i].op, n->op_type))
            return &rules[i];
    return NULL;
}
