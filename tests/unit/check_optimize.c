/* The public calls that rewrite and quantize: options, reports, failures.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/main.h"

#define TWICE                                      \
    "<ir_version: 8, opset_import: [\"\" : 21]>\n" \
    "g (float[2] x) => (float[2] y)\n"             \
    "{\n a = Identity(x)\n b = Identity(a)\n c = Relu(b)\n y = Relu(c)\n}\n"
#define PRODUCT(opset)                                                    \
    "<ir_version: 8, opset_import: [\"\" : " #opset "]>\n"                \
    "g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {1, 2, 3, -4}>\n" \
    "{\n a = MatMul(x, w)\n y = Relu(a)\n}\n"

#define SILU(opset)                                                                    \
    "<ir_version: 8, opset_import: [\"\" : " #opset "]>\n"                            \
    "g (float[2] x) => (float[2] y)\n{\n a = Sigmoid(x)\n y = Mul(x, a)\n}\n"
#define MERGED_AXES                                                       \
    "<ir_version: 8, opset_import: [\"\" : 17]>\n"                       \
    "g (float[2,3] x) => (float[3] y) <int64[1] a = {0}>\n"              \
    "{\n t = ReduceMax<axes = [0]>(x)\n s = Squeeze(t, a)\n"             \
    " y = ReduceMin<axes = [0], keepdims = 0>(t)\n}\n"

#define SHARED_AXES                                                                \
    "<ir_version: 8, opset_import: [\"\" : 17]>\n"                                \
    "g (float[2,3] x) => (float[1,2,3] y, float[1,3] z) <int64[1] a = {0}>\n"     \
    "{\n z = ReduceMax<axes = [0], keepdims = 1>(x)\n y = Unsqueeze(x, a)\n}\n"

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
    ck_assert_msg(st == PLN_OK, "%s", pln_error_text(err));
    return m;
}

static char *print(const pln_model *m)
{
    char *text = NULL;
    ck_assert_int_eq(pln_model_print(m, NULL, &text, err), PLN_OK);
    return text;
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

START_TEST(bad_options_leave_the_model)
{
    static const char *const bad[] = { "nosuch", "noop,", "(noop", "noop)", "noop noop" };
    pln_model *m = parse(TWICE);
    char *before = print(m);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
        o.passes = bad[i];
        ck_assert_msg(pln_model_optimize(m, &o, NULL, err) == PLN_E_USAGE, "'%s'",
                      bad[i]);
        char *after = print(m);
        ck_assert_str_eq(before, after);
        pln_free(NULL, after);
    }
    pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
    o.level = 4;
    ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_E_USAGE);
    o.level = 2;
    o.disable = "noop,nosuch";
    ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_E_USAGE);
    o.disable = NULL;
    o.explain = "nosuch";
    ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_E_USAGE);
    o.explain = NULL;
    o.debug = "nosuch";
    ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_E_USAGE);
    ck_assert_int_eq(pln_model_optimize(NULL, NULL, NULL, err), PLN_E_USAGE);
    pln_free(NULL, before);
    pln_model_free(m);
}
END_TEST

static size_t relus_and_identities(pln_optimize_options o, size_t *identities)
{
    pln_model *m = parse(TWICE);
    ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_OK);
    char *text = print(m);
    const size_t relus = count(text, "Relu");
    *identities = count(text, "Identity");
    pln_free(NULL, text);
    pln_model_free(m);
    return relus;
}

START_TEST(levels_and_names)
{
    size_t identities;
    pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
    o.no_stamp = true;
    ck_assert_uint_eq(relus_and_identities(o, &identities), 1);
    ck_assert_uint_eq(identities, 0);
    o.level = 0;
    ck_assert_uint_eq(relus_and_identities(o, &identities), 2);
    ck_assert_uint_eq(identities, 2);
    o.level = 2;
    o.disable = "identity";
    ck_assert_uint_eq(relus_and_identities(o, &identities), 1);
    ck_assert_uint_eq(identities, 2);
    o.disable = "cse,noop,clamp";
    ck_assert_uint_eq(relus_and_identities(o, &identities), 2);
    o.disable = NULL;
    o.debug = "limit=1";
    relus_and_identities(o, &identities);
    ck_assert_uint_eq(identities, 1);
}
END_TEST

/* Below level 3 a target's own operators are not written: none of them is stated
 * there. */
START_TEST(standard_below_level_3)
{
    for (int target = PLN_TARGET_ONNX; target <= PLN_TARGET_PLANISH; target++) {
        pln_model *m = parse(SILU(20));
        pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
        o.target = (pln_target)target;
        o.no_stamp = true;
        ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_OK);
        char *text = print(m);
        ck_assert_ptr_nonnull(strstr(text, "Sigmoid"));
        ck_assert_ptr_null(strstr(text, "planish"));
        pln_free(NULL, text);
        pln_model_free(m);
    }
}
END_TEST

/* An initializer that is left to inputs which the file's version has as attributes
 * goes. */
START_TEST(merged_axes_go)
{
    pln_model *m = parse(MERGED_AXES);
    pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
    o.no_stamp = true;
    ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_OK);
    char *text = print(m);
    ck_assert_msg(!strstr(text, "int64"), "%s", text);
    pln_free(NULL, text);
    pln_model_free(m);
}
END_TEST

/* A node whose axes became the same constant as another's stands as it did. */
START_TEST(attributes_keep_their_order)
{
    pln_model *m = parse(SHARED_AXES);
    pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
    o.no_stamp = true;
    ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_OK);
    char *text = print(m);
    ck_assert_msg(strstr(text, "<axes: ints = [0], keepdims: int = 1>"), "%s", text);
    pln_free(NULL, text);
    pln_model_free(m);
}
END_TEST

START_TEST(reports_and_stamps)
{
    char *report = NULL;
    pln_model *m = parse(TWICE);
    ck_assert_int_eq(pln_model_optimize(m, NULL, &report, err), PLN_OK);
    ck_assert_ptr_nonnull(strstr(report, "\"before\""));
    ck_assert_ptr_nonnull(strstr(report, "\"after\""));
    ck_assert_ptr_nonnull(strstr(report, "\"name\":\"noop\""));
    ck_assert_ptr_nonnull(pln_model_metadata(m, "planish.recipe", NULL));
    pln_free(NULL, report);
    pln_model_free(m);
}
END_TEST

/* Runs twice; the recipe of each. */
static void recipe_of(pln_optimize_options o, char *out, size_t size)
{
    pln_model *m = parse(TWICE);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pln_model_optimize(m, &o, NULL, err), PLN_OK);
        const char *recipe = pln_model_metadata(m, "planish.recipe", NULL);
        ck_assert_ptr_nonnull(recipe);
        if (i)
            ck_assert_str_eq(recipe, out);
        snprintf(out, size, "%s", recipe);
    }
    pln_model_free(m);
}

START_TEST(the_recipe_holds_what_matters)
{
    char plain[2000], other[2000];
    static const pln_rules_source rules[] = { { "a", "r: Neg(x) => Mul(x, -1)\n" },
                                              { "b", "r: Neg(x) => Mul(x, -1.0)\n" } };
    pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
    recipe_of(o, plain, sizeof plain);
    o.disable = "cse";
    recipe_of(o, other, sizeof other);
    ck_assert_ptr_nonnull(strstr(other, "\"disable\":\"cse\""));
    o.disable = NULL;
    o.allow_approx = true;
    recipe_of(o, other, sizeof other);
    ck_assert_ptr_nonnull(strstr(other, "\"approx\":true"));
    o.allow_approx = false;
    o.fold_growth = 77;
    recipe_of(o, other, sizeof other);
    ck_assert_ptr_nonnull(strstr(other, "\"fold_growth\":77"));
    o.fold_growth = 0;
    o.n_rules = 1;
    o.rules = &rules[0];
    recipe_of(o, plain, sizeof plain);
    o.rules = &rules[1];
    recipe_of(o, other, sizeof other);
    ck_assert_str_ne(plain, other);
}
END_TEST

static char *explain(pln_optimize_options o, const char *what, const char *text)
{
    char *report = NULL;
    pln_model *m = parse(text);
    o.explain = what;
    ck_assert_int_eq(pln_model_optimize(m, &o, &report, err), PLN_OK);
    pln_model_free(m);
    return report;
}

START_TEST(silence_has_a_reason)
{
    static const char gelu[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
                               "g (float[2] x) => (float[2] y)\n"
                               "<float h = {0.5}, float o = {1.0}, float r = {0.70710678}>\n"
                               "{\n a = Mul(x, r)\n b = Erf(a)\n c = Add(b, o)\n"
                               " d = Mul(x, c)\n [last] y = Mul(d, h)\n}\n";
    const struct {
        const char *what, *text;
        int level;
        const char *disable, *why;
    } cases[] = {
        { "gelu", gelu, 2, NULL, "it needs operator set 20, the model has 17" },
        { "last", gelu, 2, NULL, "it needs operator set 20, the model has 17" },
        { "gelu", gelu, 1, NULL, "it rounds elsewhere: allowed from level 2 on" },
        { "gelu", gelu, 2, "gelu", "it is switched off" },
        { "gelu", TWICE, 2, NULL, "no node is of an operator at which it begins" },
        { "fuse-matmul", gelu, 3, NULL, "it is for target planish" },
        { "y", TWICE, 0, NULL, "no rule came near that node" },
        { "einsum", TWICE, 1, NULL, "pass einsum is not in this level's" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
        o.level = cases[i].level;
        o.disable = cases[i].disable;
        char *report = explain(o, cases[i].what, cases[i].text);
        ck_assert_msg(strstr(report, cases[i].why) != NULL, "%s: no '%s' in %s",
                      cases[i].what, cases[i].why, strstr(report, "\"explain"));
        pln_free(NULL, report);
    }
}
END_TEST

START_TEST(lists)
{
    char *json = NULL;
    ck_assert_int_eq(pln_passes_list(&json, err), PLN_OK);
    ck_assert_ptr_nonnull(strstr(json, "\"fuse-matmul\""));
    ck_assert_ptr_nonnull(strstr(json, "\"contract\":\"exact\""));
    pln_free(NULL, json);
    ck_assert_ptr_nonnull(strstr(pln_debug_help(), "limit=N"));
}
END_TEST

/* ---- quantization --------------------------------------------------------------- */

typedef struct data {
    pln_feed feed;
    size_t n;
} data;

static bool give(void *user, size_t i, const pln_feed **feeds, size_t *n)
{
    const data *d = user;
    *feeds = &d->feed;
    *n = 1;
    return i < d->n;
}

static pln_tensor *input(float f0)
{
    const int64_t dims[2] = { 2, 2 };
    pln_tensor *t = NULL;
    ck_assert_int_eq(pln_tensor_new(NULL, PLN_DT_F32, 2, dims, &t, err), PLN_OK);
    float *f = pln_tensor_data(t);
    f[0] = f0;
    f[1] = 2;
    f[2] = -1;
    f[3] = 0.5f;
    return t;
}

static char *quantized(const char *text, pln_quantize_options o, float f0, char **report)
{
    pln_model *m = parse(text);
    data d = { { "x", input(f0) }, 1 };
    o.calibration = give;
    o.user = &d;
    const pln_status st = pln_model_quantize(m, &o, report, err);
    ck_assert_msg(st == PLN_OK, "%s", pln_error_text(err));
    pln_tensor_unref(d.feed.tensor);
    char *out = print(m);
    pln_model_free(m);
    return out;
}

START_TEST(quantizes_a_product)
{
    char *report = NULL;
    pln_quantize_options o = PLN_QUANTIZE_OPTIONS_INIT;
    char *text = quantized(PRODUCT(21), o, 1, &report);
    ck_assert_uint_eq(count(text, "= QuantizeLinear"), 1);
    ck_assert_uint_eq(count(text, "= DequantizeLinear"), 2);
    ck_assert_uint_eq(count(text, "int8[2, 2]"), 1);
    ck_assert_ptr_nonnull(strstr(report, "\"min\":-1,\"max\":2"));
    pln_free(NULL, report);
    pln_free(NULL, text);
    text = quantized(PRODUCT(11), o, 1, NULL);
    ck_assert_ptr_nonnull(strstr(text, "\"\" : 13"));
    pln_free(NULL, text);
}
END_TEST

START_TEST(leaves_what_it_ruins)
{
    char *report = NULL;
    pln_quantize_options o = PLN_QUANTIZE_OPTIONS_INIT;
    char *text = quantized(PRODUCT(21), o, (float)(1.0 / 0.0), &report);
    ck_assert_uint_eq(count(text, "QuantizeLinear"), 0);
    ck_assert_ptr_nonnull(strstr(report, "not finite"));
    pln_free(NULL, report);
    pln_free(NULL, text);
}
END_TEST

START_TEST(quantizes_weights_alone)
{
    pln_quantize_options o = PLN_QUANTIZE_OPTIONS_INIT;
    o.mode = PLN_QUANT_WEIGHTS;
    o.per_tensor = true;
    char *text = quantized(PRODUCT(21), o, 1, NULL);
    ck_assert_uint_eq(count(text, "= QuantizeLinear"), 0);
    ck_assert_uint_eq(count(text, "= DequantizeLinear"), 1);
    pln_free(NULL, text);
}
END_TEST

START_TEST(refuses_without_data)
{
    pln_model *m = parse(PRODUCT(21));
    data d = { { "x", NULL }, 0 };
    pln_quantize_options o = PLN_QUANTIZE_OPTIONS_INIT;
    ck_assert_int_eq(pln_model_quantize(m, &o, NULL, err), PLN_E_USAGE);
    o.calibration = give;
    o.user = &d;
    ck_assert_int_eq(pln_model_quantize(m, &o, NULL, err), PLN_E_USAGE);
    o.weights = PLN_DT_S4;
    ck_assert_int_eq(pln_model_quantize(m, &o, NULL, err), PLN_E_UNSUPPORTED);
    pln_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("optimize");
    TCase *c = tcase_create("optimize");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, bad_options_leave_the_model);
    tcase_add_test(c, levels_and_names);
    tcase_add_test(c, standard_below_level_3);
    tcase_add_test(c, merged_axes_go);
    tcase_add_test(c, attributes_keep_their_order);
    tcase_add_test(c, reports_and_stamps);
    tcase_add_test(c, the_recipe_holds_what_matters);
    tcase_add_test(c, silence_has_a_reason);
    tcase_add_test(c, lists);
    tcase_add_test(c, quantizes_a_product);
    tcase_add_test(c, leaves_what_it_ruins);
    tcase_add_test(c, quantizes_weights_alone);
    tcase_add_test(c, refuses_without_data);
    suite_add_tcase(s, c);
    return unit_main(s);
}
