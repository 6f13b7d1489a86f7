/* Gradient nodes against finite differences of the graph that they differentiate, in
 * double. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <planish/planish.h>

#include "tests/unit/main.h"

#define MOST 128
#define STEP 1e-5

/* z is made of x; what is differentiated is y = z z, so that no gradient is trivial. */
typedef struct gradient_case {
    const char *type; /* of x */
    const char *body;
} gradient_case;

#define UNARY(op)                     \
    {                                 \
        "double[3]", "z = " op " (x)" \
    }
#define ABOVE_ONE(op)                                   \
    {                                                   \
        "double[3]", "o = Add (x, two)  z = " op " (o)" \
    }
#define REDUCE(op)                                                  \
    { "double[2,3,2]", "z = " op " (x, axis)" },                    \
        { "double[2,3,2]", "z = " op " <keepdims = 0> (x, axis)" }, \
    {                                                               \
        "double[2,3,2]", "z = " op " <keepdims = 0> (x)"            \
    }

static const gradient_case cases[] = {
    UNARY("Abs"),
    UNARY("Acos"),
    ABOVE_ONE("Acosh"),
    UNARY("Asin"),
    UNARY("Asinh"),
    UNARY("Atan"),
    UNARY("Atanh"),
    UNARY("Cos"),
    UNARY("Cosh"),
    UNARY("Erf"),
    UNARY("Exp"),
    UNARY("Identity"),
    ABOVE_ONE("Log"),
    UNARY("Neg"),
    UNARY("Reciprocal"),
    UNARY("Sigmoid"),
    UNARY("Sin"),
    UNARY("Sinh"),
    ABOVE_ONE("Sqrt"),
    UNARY("Tan"),
    UNARY("Tanh"),
    UNARY("Elu <alpha = 0.7>"),
    UNARY("HardSigmoid"),
    UNARY("LeakyRelu <alpha = 0.3>"),
    UNARY("Relu"),
    UNARY("Softplus"),
    UNARY("Softsign"),
    UNARY("ThresholdedRelu <alpha = 0.2>"),
    UNARY("Celu <alpha = 0.6>"),
    UNARY("HardSwish"),
    UNARY("Mish"),
    UNARY("Selu"),
    UNARY("Swish <alpha = 1.3>"),
    UNARY("Gelu"),
    UNARY("Gelu <approximate = \"tanh\">"),
    UNARY("Dropout"),
    UNARY("Clip"),
    { "double[6]", "z = Clip (x, low, high)" },
    { "double[4]", "z = PRelu (x, high)" },
    { "double[3]", "z = PRelu (square, x)" },
    REDUCE("ReduceL1"),
    REDUCE("ReduceL2"),
    REDUCE("ReduceLogSumExp"),
    REDUCE("ReduceMax"),
    REDUCE("ReduceMean"),
    REDUCE("ReduceMin"),
    REDUCE("ReduceProd"),
    REDUCE("ReduceSum"),
    REDUCE("ReduceSumSquare"),
    { "double[2,3]", "p = Exp (x)  z = ReduceLogSum (p)" },
    { "double[2,3]", "z = ReduceSum <noop_with_empty_axes = 1> (x)" },
    /* broadcasting both ways, and against itself */
    { "double[2,3]", "z = Add (x, row)" },
    { "double[2,3]", "z = Sub (row, x)" },
    { "double[3]", "z = Mul (x, square)" },
    { "double[3,1]", "z = Div (square, x)" },
    { "double[1,3]", "z = Sub (square, x)" },
    { "double", "z = Mul (x, square)" },
    { "double[2,3]", "s = Slice (x, zero, one)  z = Mul (x, s)" },
    { "double[3]", "p = Add (x, two)  z = Pow (p, row)" },
    { "double[3]", "p = Add (row, two)  z = Pow (p, x)" },
    { "double[3]", "z = Max (x, row, low)" },
    { "double[3]", "z = Min (square, x)" },
    { "double[3]", "z = Sum (x, square, x)" },
    { "double[3]", "z = Mean (x, square)" },
    { "double[3]", "c = Greater (square, low)  z = Where (c, x, square)" },
    { "double[3]", "c = Greater (square, low)  z = Where (c, square, x)" },
    /* shapes */
    { "double[2,3]", "e = Expand (x, shape)  z = Mul (e, e)" },
    { "double[2,3,2]", "f = Flatten (x)  z = Mul (f, f)" },
    { "double[2,3]", "r = Reshape (x, flat)  z = Mul (r, r)" },
    { "double[1,3]", "r = Squeeze (x, zero)  z = Mul (r, row)" },
    { "double[3]", "r = Unsqueeze (x, zero)  z = Mul (r, square)" },
    { "double[2,3]", "t = Transpose (x)  z = MatMul (x, t)" },
    { "double[2,3,2]", "t = Transpose <perm = [1, 2, 0]> (x)  z = Mul (t, wide)" },
    { "double[2,3]", "z = Concat <axis = -1> (x, tall, x)" },
    { "double[2,3]", "a, b = Split <axis = 1> (x, parts)  z = Mul (a, b)" },
    { "double[2,3]", "a, b = Split <axis = 1> (x, parts)  z = Mul (b, b)" },
    { "double[5,2]", "z = Slice (x, starts, ends, zero, steps)" },
    { "double[3,2]", "z = Gather (x, index)" },
    { "double[2,3,2]", "z = Gather <axis = 1> (x, index)" },
    { "double[2,3]", "z = Pad (x, pads)" },
    { "double[3]", "f = Cast <to = 11> (x)  z = Sin (f)" },
    { "double[3]", "n = Shape (x)  f = Cast <to = 11> (n)  r = Floor (x)  "
                   "m = Add (r, f)  z = Mul (x, m)" },
    /* along an axis */
    { "double[2,3]", "z = Softmax (x)" },
    { "double[2,3]", "z = Softmax <axis = 0> (x)" },
    { "double[2,3]", "z = LogSoftmax (x)" },
    { "double[2,3,2]", "z = LayerNormalization <axis = 1> (x, scales, biases)" },
    { "double[3,2]", "z = LayerNormalization <axis = 1> (pile, x)" },
    { "double[2,3,2]", "z = BatchNormalization (x, row, low3, low3, var)" },
    { "double[3]", "z = BatchNormalization (tall, x, x, x, var)" },
    /* products */
    { "double[3]", "z = MatMul (x, square)" },
    { "double[3]", "z = MatMul (square, x)" },
    { "double[3]", "z = MatMul (x, x)" },
    { "double[2,2,3]", "z = MatMul (x, square)" },
    { "double[3,2]", "z = MatMul (tall, x)" },
    { "double[2,3]", "z = Gemm <alpha = 0.5> (x, square, row)" },
    { "double[3,2]", "z = Gemm <transA = 1, transB = 1> (x, square)" },
    { "double[3,2]", "z = Gemm <alpha = 0.5> (square, x)" },
    { "double[2,3]", "z = Gemm <transB = 1> (square, x)" },
    { "double[3,2]", "z = Gemm <transA = 1> (square, x)" },
    { "double[2,3]", "z = Gemm <transA = 1, transB = 1> (square, x)" },
    { "double[3]", "z = Gemm <beta = 0.5> (square, square, x)" },
    /* windows */
    { "double[1,2,5,4]", "z = Conv <strides = [2, 1], pads = [1, 0, 0, 1]> (x, kernel)" },
    { "double[2,4,5]", "z = Conv <group = 2, dilations = [2]> (x, kernel2)" },
    { "double[4,2,3]", "z = Conv <group = 2, strides = [2]> (image, x)" },
    { "double[2,4,2]",
      "z = Conv <strides = [3], pads = [2, 1], dilations = [2]> (image, x)" },
    { "double[2]", "z = Conv (image, kernel3, x)" },
    { "double[1,2,5,4]",
      "z = Conv <auto_pad = \"SAME_UPPER\", strides = [2, 3]> (x, kernel)" },
    { "double[1,2,4,4]", "z = MaxPool <kernel_shape = [3, 2], strides = [1, 2]> (x)" },
    { "double[1,2,6]", "z = MaxPool <kernel_shape = [3], pads = [1, 1]> (x)" },
    { "double[1,2,6]", "z = AveragePool <kernel_shape = [3], pads = [1, 0]> (x)" },
    { "double[1,2,5,4]", "z = AveragePool <kernel_shape = [2, 3], strides = [2, 1], "
                         "pads = [1, 1, 0, 0], count_include_pad = 1> (x)" },
    { "double[2,3,4]", "z = GlobalAveragePool (x)" },
    { "double[2,3,4]", "z = GlobalMaxPool (x)" },
    { "double[2,3,2]", "z = InstanceNormalization (x, row, low3)" },
    { "double[3]", "z = InstanceNormalization (pile, x, x)" },
    /* of what their older operators say */
    { "double[2,3,2]", "z = MeanVarianceNormalization <axes = [0, 2]> (x)" },
    { "double[2,3]", "e = EyeLike (x)  f = CastLike (x, e)  z = Sin (f)" },
    { "double[2,3,2]", "z = GatherElements <axis = 2> (x, picks)" },
    { "double[2,3,2]", "z = CumSum (x, first)" },
    { "double[2,3,2]", "z = CumSum <reverse = 1, exclusive = 1> (x, first)" },
    { "double[2,3,2]", "z = Trilu (x)" },
    { "double[2,3,2]", "z = Trilu <upper = 0> (x, first)" },
    { "double[2,5]", "z, k = TopK <largest = 0> (x, pair)" },
    /* losses */
    { "double[2,3,2]", "z = NegativeLogLikelihoodLoss (x, classes)" },
    { "double[2,3,2]",
      "z = NegativeLogLikelihoodLoss <reduction = \"none\"> (x, classes, row)" },
    { "double[2,3,2]",
      "z = SoftmaxCrossEntropyLoss <reduction = \"sum\"> (x, classes, row)" },
    { "double[2,3,2]",
      "z = SoftmaxCrossEntropyLoss <ignore_index = 2> (x, classes, row)" },
    { "double[1,2,3,2]", "z = ConvTranspose <strides = [2, 1], pads = [1, 0, 0, 1], "
                         "output_padding = [1, 0]> (x, kernel)" },
    { "double[4,2,2]",
      "z = ConvTranspose <group = 2, strides = [2], dilations = [2]> (image, x)" },
    { "double[2]", "z = ConvTranspose (image, tall4, x)" },
    /* a whole network, a value of several uses, one that is no function of x */
    { "double[2,3]", "h = MatMul (x, square)  b = Add (h, row)  r = Relu (b)  "
                     "i = Add (r, h)  s = Softmax (i)  l = Log (s)  z = Mul (l, x)" },
    { "double[2,3]", "z = Exp (square)" },
};

static const char constants[] =
    "double two = {2.0}, double[2,3] six = {1, 2, 3, 4, 5, 6}, double[3] row = {0.7, "
    "-0.3, 1.1},\n"
    "double[1] low = {-0.4}, double[1] high = {0.45}, double[3] low3 = {-0.4, 0.1, "
    "0.2},\n"
    "double[3] var = {0.5, 1.5, 2.0},\n"
    "double[3,3] square = {0.3, -0.8, 0.6, 0.9, 0.5, -0.2, -1.1, 0.4, 0.8},\n"
    "double[3,2] biases = {0.1, 0.2, 0.3, -0.1, -0.2, -0.3},\n"
    "double[3,2] scales = {1.1, 0.2, 0.3, -1.1, -0.2, 0.7},\n"
    "double[2,3,2] pile = {0.3, -0.7, 0.2, 0.9, -0.5, 0.4, 1.3, 0.7, -0.2, 0.8, 0.5, "
    "-0.4}, double[2] wide = {0.6, -0.9}, double[2,3] tall = {0.3, -0.7, 0.2, 0.9, -0.5, "
    "0.4},\n"
    "double[2,2,2,2] kernel = "
    "{0.1,0.2,0.3,0.4,-0.5,0.6,0.7,-0.8,0.9,-0.1,0.2,0.3,0.4,0.5,-0.6,0.7},\n"
    "double[4,2,2] kernel2 = "
    "{0.1,0.2,0.3,0.4,-0.5,0.6,0.7,-0.8,0.9,-0.1,0.2,0.3,0.4,0.5,-0.6,0.7},\n"
    "double[2,4,3] kernel3 = {0.1,0.2,0.3,0.4,-0.5,0.6,0.7,-0.8,0.9,-0.1,0.2,0.3,\n"
    "                         0.4,0.5,-0.6,0.7,0.1,0.2,-0.3,0.4,0.5,0.6,-0.7,0.8},\n"
    "double[2,4,5] image = "
    "{0.1,0.2,0.3,0.4,-0.5,0.6,0.7,-0.8,0.9,-0.1,0.2,0.3,0.4,0.5,-0.6,0.7,0.8,0.1,0.2,0."
    "3,\n"
    "                       "
    "0.3,0.1,-0.3,0.2,0.5,0.4,0.6,-0.8,0.7,0.1,0.3,0.2,-0.4,0.6,0.6,0.5,-0.8,0.2,0.1,0.4}"
    ",\n"
    "int64[1] zero = {0}, int64[1] one = {1}, int64[1] axis = {1}, int64[1] flat = "
    "{-1},\n"
    "int64[3] shape = {2, 2, 3}, int64[2] parts = {1, 2}, int64[1] starts = {-1},\n"
    "int64[1] ends = {-6}, int64[1] steps = {-2}, int64[2,2] index = {0, -1, 1, 0},\n"
    "int64[2,3,1] picks = {0, 1, 1, 0, 0, -1}, int64[2,2] classes = {0, 2, 1, 2},\n"
    "double[4,2,3] tall4 = {0.1,0.2,0.3,0.4,-0.5,0.6,0.7,-0.8,0.9,-0.1,0.2,0.3,\n"
    "                       0.4,0.5,-0.6,0.7,0.1,0.2,-0.3,0.4,0.5,0.6,-0.7,0.8},\n"
    "int64 first = {1}, int64[1] pair = {2}, int64[4] pads = {1, 0, 2, 1}";

typedef struct rig {
    pln_error *err;
    pln_session *session;
    pln_run *run;
    pln_tensor *x;
    double *v;
} rig;

/* rows: what the first size is, where the type leaves it open. */
static void open_rig(rig *r, const char *type, int64_t rows, const char *body,
                     const char *more)
{
    char text[8192];
    pln_model *model = NULL;
    pln_io_info io;
    int64_t dims[8];
    *r = (rig){ .err = pln_error_new() };
    snprintf(
        text, sizeof text,
        "<ir_version: 10, opset_import: [\"\" : 24, \"ai.onnx.preview.training\" : 1]>\n"
        "g (%s x) => (double[] y, double[] w, double[] d) <%s> {\n%s  y = Mul (z, z)\n%s "
        "}\n",
        type, constants, body, more);
    ck_assert_msg(pln_model_parse(NULL, text, strlen(text), NULL, &model, r->err) ==
                          PLN_OK &&
                      pln_session_new(model, NULL, &r->session, r->err) == PLN_OK &&
                      pln_run_new(r->session, &r->run, r->err) == PLN_OK &&
                      pln_session_io(r->session, PLN_INPUT, 0, &io) == PLN_OK,
                  "%s: %s", body, pln_error_text(r->err));
    for (int d = 0; d < io.rank; d++)
        dims[d] = io.dims[d] < 0 ? rows : io.dims[d];
    ck_assert(pln_tensor_new(NULL, PLN_DT_F64, io.rank, dims, &r->x, r->err) == PLN_OK &&
              pln_run_bind_input(r->run, "x", r->x, r->err) == PLN_OK);
    r->v = pln_tensor_data(r->x);
    for (int64_t i = 0; i < pln_tensor_count(r->x); i++) /* away from 0 and from ties */
        r->v[i] = (i % 2 ? -1 : 1) * (0.15 + 0.61 * fmod((double)i * 0.618034, 1.0));
    pln_model_free(model);
}

static void close_rig(rig *r)
{
    pln_tensor_unref(r->x);
    pln_run_free(r->run);
    pln_session_free(r->session);
    pln_error_free(r->err);
}

/* Runs it; the sum of all elements of an output. */
static double sum_of(rig *r, const char *name, const char *body)
{
    ck_assert_msg(pln_run_execute(r->run, NULL, r->err) == PLN_OK, "%s: %s", body,
                  pln_error_text(r->err));
    const pln_tensor *y = pln_run_output(r->run, name);
    const double *v = pln_tensor_data_const(y);
    double sum = 0;
    for (int64_t i = 0; i < pln_tensor_count(y); i++)
        sum += v[i];
    return sum;
}

/* Output d against the change of the sum of `of` with each element of x. */
static void check_against(rig *r, const char *of, const char *body)
{
    double d[MOST];
    const int64_t n = pln_tensor_count(r->x);
    sum_of(r, of, body);
    const pln_tensor *got = pln_run_output(r->run, "d");
    ck_assert_int_eq(pln_tensor_rank(got), pln_tensor_rank(r->x));
    ck_assert(pln_tensor_count(got) == n && n <= MOST);
    memcpy(d, pln_tensor_data_const(got), (size_t)n * sizeof *d);
    for (int64_t i = 0; i < n; i++) {
        const double at = r->v[i];
        r->v[i] = at + STEP;
        const double more = sum_of(r, of, body);
        r->v[i] = at - STEP;
        const double less = sum_of(r, of, body);
        r->v[i] = at;
        const double want = (more - less) / (2 * STEP);
        ck_assert_msg(fabs(d[i] - want) <= 2e-5 * (1 + fabs(want)),
                      "%s: element %d: %.9g, by differences %.9g", body, (int)i, d[i],
                      want);
    }
}

START_TEST(by_differences)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        open_rig(&r, cases[i].type, 0, cases[i].body,
                 "w = Neg (y)  d = ai.onnx.preview.training.Gradient <xs = [\"x\"], y = "
                 "\"y\"> (x)");
        check_against(&r, "y", cases[i].body);
        close_rig(&r);
    }
}
END_TEST

/* Sizes that only a run knows, so that broadcasting is undone by what it finds. */
START_TEST(symbolic_sizes)
{
    static const char *const bodies[] = {
        "z = Mul (x, square)",
        "t = Transpose <perm = [1, 0]> (x)  p = MatMul (x, square)  z = MatMul (p, t)",
        "s = ReduceMean <keepdims = 1> (x, axis)  z = Sub (x, s)",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (int64_t rows = 1; rows < 4; rows += 2) {
            rig r;
            open_rig(
                &r, "double[n, 3]", rows, bodies[i],
                "w = Neg (y)\n"
                "d = ai.onnx.preview.training.Gradient <xs = [\"x\"], y = \"y\"> (x)");
            check_against(&r, "y", bodies[i]);
            close_rig(&r);
        }
}
END_TEST

/* The second derivative: a Gradient of what another gave. */
START_TEST(of_a_gradient)
{
    static const char *const bodies[] = { "z = Sin (x)", "e = Exp (x)  z = Mul (e, x)",
                                          "z = Softmax (x)",
                                          "h = MatMul (x, square)  z = Tanh (h)" };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        rig r;
        open_rig(&r, "double[3]", 0, bodies[i],
                 "f = ai.onnx.preview.training.Gradient <xs = [\"x\"], y = \"y\"> (x)\n"
                 "w = Mul (f, row)\n"
                 "d = ai.onnx.preview.training.Gradient <xs = [\"x\"], y = \"w\"> (x)");
        check_against(&r, "w", bodies[i]);
        close_rig(&r);
    }
}
END_TEST

/* At another point than the graph's own: the piece is built again. */
START_TEST(at_another_point)
{
    rig r;
    open_rig(&r, "double[3]", 0, "z = Mul (x, row)",
             "o = Add (x, two)  w = Neg (y)\n"
             "d = ai.onnx.preview.training.Gradient <xs = [\"x\"], y = \"y\"> (o)");
    sum_of(&r, "y", "another point");
    const double *d = pln_tensor_data_const(pln_run_output(r.run, "d"));
    const double row[3] = { 0.7, -0.3, 1.1 };
    for (int i = 0; i < 3; i++)
        ck_assert(fabs(d[i] - 2 * row[i] * row[i] * (r.v[i] + 2)) < 1e-9);
    close_rig(&r);
}
END_TEST

static void refused(const char *body, const char *gradient, const char *why)
{
    char text[8192];
    pln_model *model = NULL;
    pln_session *session = NULL;
    pln_error *err = pln_error_new();
    snprintf(
        text, sizeof text,
        "<ir_version: 10, opset_import: [\"\" : 24, \"ai.onnx.preview.training\" : 1]>\n"
        "g (double[3] x) => (double[] d) { %s  d = "
        "ai.onnx.preview.training.Gradient <%s> (x) }\n",
        body, gradient);
    ck_assert_msg(pln_model_parse(NULL, text, strlen(text), NULL, &model, err) == PLN_OK,
                  "%s", pln_error_text(err));
    ck_assert(pln_session_new(model, NULL, &session, err) != PLN_OK);
    ck_assert_msg(strstr(pln_error_text(err), why), "%s", pln_error_text(err));
    pln_model_free(model);
    pln_error_free(err);
}

START_TEST(refusals)
{
    refused("y = Bernoulli (x)", "xs = [\"x\"], y = \"y\"",
            "y (Bernoulli) can't be differentiated");
    refused("y = Neg (x)", "xs = [\"x\"], y = \"w\"", "there is no value 'w'");
    refused("y = Neg (x)", "xs = [\"v\"], y = \"y\"", "there is no value 'v'");
    refused("y = Neg (x)", "xs = [\"x\", \"y\"], y = \"y\"", "2 xs");
    refused("y = Neg (d)", "xs = [\"x\"], y = \"y\"", "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gradient");
    TCase *t = tcase_create("gradient");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, by_differences);
    tcase_add_test(t, symbolic_sizes);
    tcase_add_test(t, of_a_gradient);
    tcase_add_test(t, at_another_point);
    tcase_add_test(t, refusals);
    suite_add_tcase(s, t);
    return unit_main(s);
}
