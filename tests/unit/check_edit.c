/* The public calls that edit: other operator sets, parts, names.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <planish/planish.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/main.h"

static pln_error *err;

static void set_up(void)
{
    err = pln_error_new();
}

static void tear_down(void)
{
    pln_error_free(err);
}

static pln_model *parse(const char *text)
{
    pln_model *m = NULL;
    const pln_status st = pln_model_parse(NULL, text, strlen(text), NULL, &m, err);
    ck_assert_msg(st == PLN_OK, "%s: %s", text, pln_error_text(err));
    return m;
}

static char *print(const pln_model *m)
{
    char *text = NULL;
    const pln_status st = pln_model_print(m, NULL, &text, err);
    ck_assert_msg(st == PLN_OK, "%s", pln_error_text(err));
    return text;
}

static void expect_text(const pln_model *m, const char *word, bool there)
{
    char *text = print(m);
    ck_assert_msg((strstr(text, word) != NULL) == there, "%s'%s' in %s",
                  there ? "no " : "there is ", word, text);
    pln_free(NULL, text);
}

/* ---- operator sets --------------------------------------------------------------- */

/* A node that gives y from x, float[2,4,3], c = float[4], s = float[3], b = float[3] and
 * i = int64[2,4,3]; at `from`, and what it must not hold at `to`. */
typedef struct set_case {
    int from, to;
    const char *node, *gone;
} set_case;

static const set_case sets[] = {
    { 20, 19, "y = Gelu (x)", "Gelu" },
    { 20, 12, "y = Gelu <approximate = \"tanh\"> (x)", "Gelu" },
    { 22, 12, "y = HardSwish (x)", "HardSwish" },
    { 22, 12, "y = Mish (x)", "Mish" },
    { 24, 12, "y = Swish <alpha = 1.5> (x)", "Swish" },
    { 28, 12, "y = SwiGLU (x, x)", "SwiGLU" },
    { 12, 11, "y = Celu <alpha = 2.0> (x)", "Celu" },
    { 10, 9, "y = ThresholdedRelu <alpha = 0.25> (x)", "ThresholdedRelu" },
    { 17, 11, "y = LayerNormalization (x, s, b)", "LayerNormalization" },
    { 17, 16, "y = LayerNormalization <axis = 2, epsilon = 0.1> (x, s)", "LayerNorm" },
    { 17, 12, "t, y = LayerNormalization (x, s, b)", "LayerNorm" },
    { 23, 22, "y = RMSNormalization (x, s)", "RMSNormalization" },
    { 21, 17, "y = GroupNormalization <num_groups = 2> (x, c, c)", "GroupNorm" },
    { 9, 8, "y = MeanVarianceNormalization <axes = [0, 2]> (x)", "MeanVariance" },
    { 13, 11, "y = Softmax <axis = 1> (x)", NULL },
    { 13, 11, "y = LogSoftmax <axis = 0> (x)", NULL },
    { 11, 13, "y = Softmax <axis = 1> (x)", "pln_flatten" },
    { 11, 28, "y = Hardmax <axis = 0> (x)", "pln_flatten" },
    { 12, 11, "t = GreaterOrEqual (x, s)  y = Cast <to = 1> (t)", "GreaterOrEqual" },
    { 16, 11, "t = LessOrEqual (x, x)  y = Cast <to = 1> (t)", "LessOrEqual" },
    { 13, 11, "k = Constant <value = int64 {0}> ()  y = Min (i, k)", "Min" },
    { 13, 11, "k = Constant <value = int64 {0}> ()  y = Max (i, k, i)", "Max" },
    { 13, 10, "lo = ReduceMin (x)  y = Clip (x, lo)", "Clip" },
    { 15, 13, "y = CastLike (i, x)", "CastLike" },
    { 15, 13, "y = Shape <start = 1> (x)", "start" },
    { 15, 9, "y = Shape <start = 0, end = -1> (x)", "Shape <" },
    { 18, 12, "a = Constant <value = int64[1] {1}> ()  y = ReduceMax (x, a)", NULL },
    { 14, 13,
      "a = Constant <value = int64[2] {-1, 3}> () y = Reshape <allowzero = 1> (x, a)",
      "allowzero" },
    { 13, 8, "k = Constant <value = int64[1] {1}> ()  y = Unsqueeze (x, k)", NULL },
};

static pln_model *model_of(const set_case *c)
{
    char text[1500];
    snprintf(text, sizeof text,
             "<ir_version: 8, opset_import: [\"\" : %d]>\n"
             "g (float[2,4,3] x, int64[2,4,3] i) => (%s y)\n"
             "<float[4] c = {1, 2, 0.5, -1}, float[3] s = {1, -2, 0.5}, "
             "float[3] b = {0.1, 0.2, 0.3}>\n{ %s }\n",
             c->from,
             strstr(c->node, "Shape <") || strstr(c->node, "(i, k") ? "int64" : "float",
             c->node);
    return parse(text);
}

/* The output for fixed inputs, of a model that was written and read again. */
static pln_tensor *run(const pln_model *m)
{
    static const int64_t dims[] = { 2, 4, 3 };
    pln_model *again = NULL;
    pln_session *session = NULL;
    pln_run *r = NULL;
    pln_tensor *x = NULL, *i = NULL;
    void *data = NULL;
    size_t len = 0;
    ck_assert_msg(pln_model_save_memory(m, &data, &len, err) == PLN_OK, "%s",
                  pln_error_text(err));
    ck_assert_msg(pln_model_load_memory(NULL, data, len, NULL, &again, err) == PLN_OK,
                  "%s", pln_error_text(err));
    ck_assert_int_eq(pln_tensor_new(NULL, PLN_DT_F32, 3, dims, &x, err), PLN_OK);
    ck_assert_int_eq(pln_tensor_new(NULL, PLN_DT_S64, 3, dims, &i, err), PLN_OK);
    for (int k = 0; k < 24; k++) {
        pln_tensor_set_number(x, k, sin(k * 1.7) * 2);
        pln_tensor_set_number(i, k, k % 5 - 2);
    }
    ck_assert_msg(pln_session_new(again, NULL, &session, err) == PLN_OK &&
                      pln_run_new(session, &r, err) == PLN_OK &&
                      pln_run_bind_input(r, "x", x, err) == PLN_OK &&
                      pln_run_bind_input(r, "i", i, err) == PLN_OK &&
                      pln_run_execute(r, NULL, err) == PLN_OK,
                  "%s", pln_error_text(err));
    pln_tensor *y = pln_tensor_ref(pln_run_output_at(r, 0));
    pln_run_free(r);
    pln_session_free(session);
    pln_tensor_unref(x);
    pln_tensor_unref(i);
    pln_model_free(again);
    pln_free(NULL, data);
    return y;
}

static void expect_same(const pln_tensor *a, const pln_tensor *b, const char *what)
{
    ck_assert_int_eq(pln_tensor_dtype(a), pln_tensor_dtype(b));
    ck_assert_int_eq(pln_tensor_count(a), pln_tensor_count(b));
    for (int64_t k = 0; k < pln_tensor_count(a); k++) {
        const double x = pln_tensor_number(a, k), y = pln_tensor_number(b, k);
        ck_assert_msg(fabs(x - y) <= 2e-5 * (1 + fabs(x)), "%s: element %d is %g, was %g",
                      what, (int)k, y, x);
    }
}

START_TEST(other_sets_mean_the_same)
{
    for (size_t k = 0; k < sizeof sets / sizeof sets[0]; k++) {
        const set_case *c = &sets[k];
        char *blockers = NULL, want[32];
        pln_model *m = model_of(c);
        pln_tensor *before = run(m);
        ck_assert_msg(pln_model_convert_opset(m, c->to, &blockers, err) == PLN_OK,
                      "%s: %s", c->node, pln_error_text(err));
        ck_assert(blockers == NULL);
        pln_tensor *after = run(m);
        expect_same(before, after, c->node);
        snprintf(want, sizeof want, "\"\" : %d", c->to);
        expect_text(m, want, true);
        if (c->gone)
            expect_text(m, c->gone, false);
        pln_tensor_unref(before);
        pln_tensor_unref(after);
        pln_model_free(m);
    }
}
END_TEST

START_TEST(blockers_are_all_listed)
{
    static const char text[] =
        "<ir_version: 8, opset_import: [\"\" : 17, \"own\" : 1]>\n"
        "g (float[2,3] x, int64[1] k) => (float[2,3] y, float[2,3] z)\n"
        "{ [one] y = CumSum(x, k)  t = own.Thing(x)  [two] z = Trilu(t) }";
    char *blockers = NULL;
    pln_model *m = parse(text);
    char *before = print(m);
    ck_assert_int_eq(pln_model_convert_opset(m, 10, &blockers, err), PLN_E_UNSUPPORTED);
    ck_assert(blockers && strstr(blockers, "\"one\"") && strstr(blockers, "\"two\""));
    ck_assert_msg(strstr(blockers, "Thing") == NULL, "%s", blockers);
    char *after = print(m);
    ck_assert_str_eq(before, after);
    pln_free(NULL, blockers);
    ck_assert_int_eq(pln_model_convert_opset(m, 15, &blockers, err), PLN_OK);
    ck_assert_int_eq(pln_model_convert_opset(m, 0, NULL, err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_convert_opset(m, 1000, NULL, err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_convert_opset(NULL, 13, NULL, err), PLN_E_USAGE);
    pln_free(NULL, before);
    pln_free(NULL, after);
    pln_model_free(m);
}
END_TEST

/* ---- parts and names ------------------------------------------------------------- */

static const char chain[] =
    "<ir_version: 8, opset_import: [\"\" : 17]>\n"
    "g (float[N, 3] x, float[3] w) => (float[N, 3] y, float[N, 3] z)\n"
    "<float[3] b = {1, 2, 3}>\n"
    "{ [first] s = Add(x, b)  t = Mul(s, w)  y = Relu(t)  z = Neg(s) }\n";

START_TEST(parts)
{
    const char *s = "s", *y = "y", *b = "b", *none = "none", *x = "x";
    pln_io_info io;
    pln_model *m = parse(chain);
    ck_assert_int_eq(pln_model_extract(m, &s, 1, &y, 1, err), PLN_E_USAGE); /* w, too */
    ck_assert_int_eq(pln_model_extract(m, &none, 1, &y, 1, err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_extract(m, &s, 1, &none, 1, err), PLN_E_USAGE);
    const char *twice[] = { "s", "s" }, *both[] = { "w", "s" };
    ck_assert_int_eq(pln_model_extract(m, twice, 2, &y, 1, err), PLN_E_USAGE);
    ck_assert_uint_eq(pln_model_count(m, PLN_INPUT), 2); /* nothing has changed */
    ck_assert_int_eq(pln_model_extract(m, both, 2, &y, 1, err), PLN_OK);
    ck_assert_uint_eq(pln_model_count(m, PLN_INPUT), 2);
    ck_assert_int_eq(pln_model_io(m, PLN_INPUT, 1, &io), PLN_OK);
    ck_assert_str_eq(io.name, "s");
    ck_assert_int_eq(io.rank, 2);
    ck_assert_str_eq(io.dim_names[0], "N");
    expect_text(m, "Add", false);
    expect_text(m, "Neg", false);
    pln_model_free(m);
    m = parse(chain);
    ck_assert_int_eq(pln_model_extract(m, &b, 1, &s, 1, err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_extract(m, NULL, 0, &s, 1, err), PLN_OK);
    ck_assert_uint_eq(pln_model_count(m, PLN_INPUT), 1);
    const char *xb[] = { x, b };
    ck_assert_int_eq(pln_model_extract(m, xb, 2, NULL, 0, err), PLN_OK);
    ck_assert_uint_eq(pln_model_count(m, PLN_INPUT), 2); /* a weight became one */
    pln_model_free(m);
}
END_TEST

START_TEST(names)
{
    pln_model *m = parse(chain);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_ANY, "x", "in", err), PLN_OK);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_ANY, "first", "1st", err), PLN_OK);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_ANY, "N", "rows", err), PLN_OK);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_VALUE, "y", "out", err), PLN_OK);
    expect_text(m, "float[rows, 3] in", true);
    expect_text(m, "[1st]", false); /* quoted */
    expect_text(m, "1st", true);
    expect_text(m, "out = Relu", true);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_ANY, "in", "z", err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_NODE, "in", "q", err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_ANY, "gone", "q", err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_ANY, "in", "", err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_rename(m, PLN_RENAME_ANY, "in", NULL, err), PLN_E_USAGE);
    pln_model_free(m);
}
END_TEST

/* ---- float types ----------------------------------------------------------------- */

static const char floats[] =
    "<ir_version: 8, opset_import: [\"\" : 17, \"own\" : 1]>\n"
    "g (float[2,4,3] x, int64[2,4,3] i) => (float y)\n"
    "<float[3] b = {1, -3e38, 0.5}, float eps = {1e-12}, float[2] tiny = {1e-12, 1}>\n"
    "{ s = Add(x, eps)  c = Cast <to = 1> (i)  t = Add(s, c)  [keep] u = Sqrt(t)\n"
    "  m = Min(t, b)  k = own.Thing(t, tiny)  z = Constant <value = float {2.0}> ()\n"
    "  y = Mul(m, z) }\n";

START_TEST(half_precision)
{
    pln_model *m = parse(floats);
    pln_dtype_options o = PLN_DTYPE_OPTIONS_INIT;
    char *report = NULL;
    pln_io_info io;
    o.to = PLN_DT_F16;
    o.block = "keep";
    ck_assert_msg(pln_model_convert_dtype(m, &o, &report, err) == PLN_OK, "%s",
                  pln_error_text(err));
    ck_assert(strstr(report, "\"clamped\":[{\"name\":\"b\",\"elements\":1}]"));
    ck_assert(strstr(report, "\"underflow\":[{\"name\":\"eps\",\"elements\":1}]"));
    ck_assert(strstr(report, "it is blocked") &&
              strstr(report, "the operator is unknown"));
    ck_assert_int_eq(pln_model_io(m, PLN_INPUT, 0, &io), PLN_OK);
    ck_assert_int_eq(io.dtype, PLN_DT_F16);
    ck_assert_int_eq(pln_model_io(m, PLN_INPUT, 1, &io), PLN_OK);
    ck_assert_int_eq(io.dtype, PLN_DT_S64);
    ck_assert_int_eq(pln_model_io(m, PLN_OUTPUT, 0, &io), PLN_OK);
    ck_assert_int_eq(io.dtype, PLN_DT_F16);
    expect_text(m, "float[2] tiny = ", true); /* the unknown operator's */
    expect_text(m, "float16 eps = ", true);
    pln_free(NULL, report);
    pln_model_free(m);
}
END_TEST

START_TEST(half_inside)
{
    static const char text[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
                               "g (float[2,4,3] x, int64[2,4,3] i) => (float[2,4,3] y)\n"
                               "<float[3] b = {1, 2, 0.5}>\n"
                               "{ t = Mul(x, b)  y = Tanh(t) }\n";
    pln_model *m = parse(text);
    pln_dtype_options o = PLN_DTYPE_OPTIONS_INIT;
    o.to = PLN_DT_F16;
    o.keep_io = true;
    pln_tensor *before = run(m);
    ck_assert_int_eq(pln_model_convert_dtype(m, &o, NULL, err), PLN_OK);
    pln_tensor *after = run(m);
    ck_assert_int_eq(pln_tensor_dtype(after), PLN_DT_F32);
    for (int64_t k = 0; k < pln_tensor_count(before); k++)
        ck_assert(fabs(pln_tensor_number(before, k) - pln_tensor_number(after, k)) <
                  4e-3);
    expect_text(m, "float16[3] b", true);
    o.to = PLN_DT_S8;
    ck_assert_int_eq(pln_model_convert_dtype(m, &o, NULL, err), PLN_E_USAGE);
    o.to = PLN_DT_F16;
    o.block = "Nothing";
    ck_assert_int_eq(pln_model_convert_dtype(m, &o, NULL, err), PLN_E_USAGE);
    pln_tensor_unref(before);
    pln_tensor_unref(after);
    pln_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("edit");
    TCase *t = tcase_create("edit");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, other_sets_mean_the_same);
    tcase_add_test(t, blockers_are_all_listed);
    tcase_add_test(t, parts);
    tcase_add_test(t, names);
    tcase_add_test(t, half_precision);
    tcase_add_test(t, half_inside);
    suite_add_tcase(s, t);
    return unit_main(s);
}
