/* Inlining: model-local functions become nodes, with names and attributes in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/eval.h"
#include "src/ir/inline.h"
#include "src/ir/op.h"
#include "src/ir/validate.h"
#include "tests/unit/text_model.h"

#define HEAD "<ir_version: 10, opset_import: [\"\" : 21, \"l\" : 1]>\n"
#define FN   "<domain: \"l\", opset_import: [\"\" : 21]>\n"

static pln_model *inlined(const char *text)
{
    pln_model *m = model_of(text);
    pln_error e = { .code = PLN_OK };
    ck_assert_msg(pln_model_inline(m, &e) == PLN_OK, "%s", e.text);
    pln_faults faults = { .arena = pln_arena_new(NULL) };
    ck_assert_int_eq(pln_model_validate(m, &faults, &e), PLN_OK);
    ck_assert_msg(faults.n_errors == 0, "%s", faults.first ? faults.first->text : "");
    pln_arena_free(faults.arena);
    return m;
}

/* The only output, of one element, for the input 2. */
static float run(const pln_model *m)
{
    const float two = 2;
    pln_tensor *in, *out = NULL;
    pln_error e = { .code = PLN_OK };
    ck_assert_int_eq(pln_tensor_from_f32(NULL, 1, &two, 1, &in), PLN_OK);
    ck_assert_msg(pln_graph_eval(m->graph, &in, &out, NULL, &e) == PLN_OK, "%s", e.text);
    const float y = PLN_DATA(const float, out)[0];
    pln_tensor_unref(in);
    pln_tensor_unref(out);
    return y;
}

START_TEST(body_takes_the_place_of_the_call)
{
    pln_model *m =
        inlined(HEAD "g (float[1] x) => (y) { [a] t = l.sq (x) [b] y = l.sq (t) }\n" FN
                     "sq (v) => (r) { u = Mul (v, v) r = Identity (u) }");
    ck_assert_uint_eq(m->graph->n_nodes, 4);
    ck_assert_uint_eq(m->n_functions, 0);
    ck_assert_str_eq(m->graph->outputs[0]->name, "y");
    ck_assert_str_eq(m->graph->first->out[0]->name, "a/u");
    ck_assert_float_eq(run(m), 16);
    pln_model_free(m);
}
END_TEST

START_TEST(attributes_are_substituted)
{
    pln_model *m =
        inlined(HEAD "g (float[1] x) => (y) { n = Neg (x) t = l.f <a: float = 0.5> (n)"
                     " y = l.f (t) }\n" FN "f <a: float = 0.25, unused> (v) => (r) { r = "
                                           "LeakyRelu <alpha: float = @a> (v) }");
    ck_assert_float_eq(run(m), -0.25f);
    pln_model_free(m);
}
END_TEST

START_TEST(constants_of_attributes_are_contents)
{
    pln_model *m = inlined(
        HEAD
        "g (float[1] x) => (y) { y = l.f <k: float = 3> (x) }\n" FN
        "f <k> (v) => (r) { c = Constant <value_float: float = @k> () r = Add (v, c) }");
    ck_assert_float_eq(run(m), 5);
    pln_model_free(m);
}
END_TEST

START_TEST(functions_call_functions_and_hold_bodies)
{
    pln_model *m = inlined(
        HEAD
        "g (float[1] x) => (y) { y = l.outer (x) }\n" FN
        "outer (v) => (r) { s = l.inner (v) c = Constant <value: tensor = bool = {1}> ()"
        " r = If (c) <then_branch = t () => (p) { p = l.inner (s) },"
        " else_branch = e () => (q) { q = Neg (v) }> }\n" FN
        "inner (v) => (r) { r = Add (v, v) }");
    ck_assert_float_eq(run(m), 8);
    pln_model_free(m);
}
END_TEST

START_TEST(older_sets_are_raised_after_substitution)
{
    pln_model *m = inlined(
        "<ir_version: 7, opset_import: [\"\" : 11, \"l\" : 1]>\n"
        "g (float[1, 1] x) => (y) { y = l.f <ax: ints = [1]> (x) }\n"
        "<domain: \"l\", opset_import: [\"\" : 11]> f <ax> (v) => (r)"
        " { r = Squeeze <axes: ints = @ax> (v) }");
    ck_assert_uint_eq(m->graph->first->n_in, 2);
    pln_model_free(m);
}
END_TEST

START_TEST(absent_inputs_and_passed_values)
{
    pln_model *m = inlined(
        HEAD "g (float[1] x) => (y, x2) { y, x2 = l.f (x) }\n"
        FN "f (v, low) => (r, v) { r = Clip (v, low) }");
    ck_assert_uint_eq(m->graph->n_nodes, 1);
    ck_assert_ptr_null(m->graph->first->n_in > 1 ? m->graph->first->in[1] : NULL);
    ck_assert_ptr_eq(m->graph->outputs[1], m->graph->inputs[0]);
    ck_assert_str_eq(m->graph->output_names[1], "x2");
    pln_model_free(m);
}
END_TEST

static const struct {
    const char *text, *want;
} bad[] = {
    { HEAD "g (x) => (y) { y = l.f (x) }\n" FN "f (v) => (r) { r = l.f (v) }",
      "'f' calls itself" },
    { HEAD "g (x) => (y) { y = l.f (x) }\n" FN "f (v) => (r) { r = l.h (v) }\n"
      FN "h (v) => (r) { c = Constant <value: tensor = bool = {1}> () r = If (c)"
         " <then_branch = t () => (p) { p = l.f (v) }, else_branch = e () => (q)"
         " { q = Neg (v) }> }", "calls itself" },
    { HEAD "g (x) => (y) { y = l.f (x, x) }\n" FN "f (v) => (r) { r = Neg (v) }",
      "more inputs or outputs" },
};

START_TEST(refuses)
{
    pln_model *m = model_of(bad[_i].text);
    pln_error e = { .code = PLN_OK };
    ck_assert_int_eq(pln_model_inline(m, &e), PLN_E_FORMAT);
    ck_assert_msg(strstr(e.text, bad[_i].want), "%s", e.text);
    pln_model_free(m);
}
END_TEST

#define MAKER "<ir_version: 10, opset_import: [\"\" : 21, \"planish\" : 1, \"l\" : 1]>\n"
#define ADD                                                                       \
    "<domain: \"planish\", opset_import: [\"\" : 21]> Add_w0 <v> (x, s) => (y) {" \
    " w = ConstantOfShape <value: tensor = @v> (s) y = Add (x, w) }\n"

START_TEST(makers_become_nodes)
{
    pln_model *m =
        model_of(MAKER "g (float[1] x) => (y) <int64[1] one = {1}> {"
                       " [a] y = planish.Add_w0 <v = float[1] {3}> (x, one) }\n" ADD);
    ck_assert_int_eq(pln_model_free_makers(m, NULL), PLN_OK);
    ck_assert_uint_eq(m->n_functions, 0);
    ck_assert_uint_eq(m->graph->n_nodes, 2);
    ck_assert_str_eq(m->graph->last->name, "a");
    ck_assert_str_eq(m->graph->last->op_type, "Add");
    ck_assert_str_eq(m->graph->last->out[0]->name, "y");
    ck_assert_float_eq(run(m), 5);
    pln_model_free(m);
}
END_TEST

START_TEST(makers_that_functions_call_stay)
{
    pln_model *m = model_of(
        MAKER
        "g (float[1] x) => (y) <int64[1] one = {1}> { y = l.f (x, one) }\n" ADD
        "<domain: \"l\", opset_import: [\"\" : 21, \"planish\" : 1]> f (x, s) => (y) {"
        " y = planish.Add_w0 <v = float[1] {3}> (x, s) }");
    ck_assert_int_eq(pln_model_free_makers(m, NULL), PLN_OK);
    ck_assert_uint_eq(m->n_functions, 2);
    ck_assert_int_eq(pln_model_inline(m, NULL), PLN_OK);
    ck_assert_float_eq(run(m), 5);
    pln_model_free(m);
}
END_TEST

START_TEST(functions_of_others_stay_calls)
{
    pln_model *m = model_of(
        MAKER "g (float[1] x) => (y) { y = planish.Neg_wide (x) }\n"
              "<domain: \"planish\", opset_import: [\"\" : 21]> Neg_wide (x) => (y) {"
              " y = Neg (x) }");
    ck_assert_int_eq(pln_model_free_makers(m, NULL), PLN_OK);
    ck_assert_uint_eq(m->n_functions, 1);
    ck_assert_str_eq(m->graph->first->op_type, "Neg_wide");
    pln_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inline");
    TCase *t = tcase_create("inline");
    tcase_add_test(t, body_takes_the_place_of_the_call);
    tcase_add_test(t, attributes_are_substituted);
    tcase_add_test(t, constants_of_attributes_are_contents);
    tcase_add_test(t, functions_call_functions_and_hold_bodies);
    tcase_add_test(t, older_sets_are_raised_after_substitution);
    tcase_add_test(t, absent_inputs_and_passed_values);
    tcase_add_test(t, makers_become_nodes);
    tcase_add_test(t, makers_that_functions_call_stay);
    tcase_add_test(t, functions_of_others_stay_calls);
    tcase_add_loop_test(t, refuses, 0, sizeof bad / sizeof *bad);
    suite_add_tcase(s, t);
    return unit_main(s);
}
