/* The validator: sound models pass, each fault is found with its place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/op.h"
#include "src/ir/validate.h"
#include "tests/unit/text_model.h"

static pln_faults faults;
static pln_arena *arena;

static void setup(void)
{
    arena = pln_arena_new(NULL);
    faults = (pln_faults){ .arena = arena };
}

static void teardown(void)
{
    pln_arena_free(arena);
}

static void validate(pln_model *m)
{
    pln_error e = { .code = PLN_OK };
    ck_assert_msg(pln_model_validate(m, &faults, &e) == PLN_OK, "%s", e.text);
}

static void expect(const char *text)
{
    for (const pln_fault *f = faults.first; f; f = f->next)
        if (strstr(f->text, text))
            return;
    ck_abort_msg("no fault says '%s', but %zu others, first '%s'", text, faults.n,
                 faults.first ? faults.first->text : "");
}

#define HEAD "<ir_version: 10, opset_import: [\"\" : 21, \"own\" : 1]>\n"

static const struct {
    const char *text, *want; /* NULL: sound */
} cases[] = {
    { HEAD "g (float[N] x) => (float[N] y) { y = Relu (x) }", NULL },
    { HEAD "g (bool c, float[2] x) => (float[2] y) {"
           " y = If (c) <then_branch = t () => (a) { a = Relu (x) },"
           " else_branch = e () => (b) { b = Neg (x) }> }",
      NULL },
    { HEAD "g (float[N] x) => (float[N] y) { y = own.Thing (x) }", NULL },
    { HEAD "g (float[N] x) => (y) { y = Rule (x) }", "there is no operator Rule" },
    { HEAD "g (float[N] x) => (y) { y = third.Thing (x) }",
      "does not import domain 'third'" },
    { HEAD "g (float[N] x) => (y) { y = Relu (x, x) }", "has 2 inputs, want 1 to 1" },
    { HEAD "g (float[N] x) => (y) { y = Add (x, \"\") }", "input 1 is absent" },
    { HEAD "g (float[N] x) => (y) { y = Relu <alpha: float = 1> (x) }",
      "attribute 'alpha' is unknown" },
    { HEAD "g (float[N] x) => (y) { y = Cast (x) }", "attribute 'to' is missing" },
    { HEAD "g (float[N] x, int64[N] i) => (y) { y = Add (x, i) }",
      "input 1 'i' is of type int64, want float like the others" },
    { HEAD "g (string[N] x) => (y) { y = Exp (x) }", "which is not allowed there" },
    { HEAD "g (float[N] x) => (int64[N] y) { y = Relu (x) }", "is declared int64[N]" },
    { HEAD "g (float[2, 3] x) => (float[3, 2] y) { y = Relu (x) }",
      "is declared float[3,2] but is float[2,3]" },
    { HEAD "g (float[2] x, float[3] z) => (y) { y = Add (x, z) }", "don't broadcast" },
    { HEAD "g (bool c, float[2] x) => (y) { y = If (c) <then_branch = t () => (c)"
           " { c = Relu (x) }, else_branch = e () => (b) { b = Neg (x) }> }",
      "'c' is the name of an outer value, too" },
    { "<ir_version: 10, opset_import: [\"\" : 21, \"\" : 20]> g (float x) => (x) { }",
      "in two versions" },
};

START_TEST(finds_faults_of_models)
{
    pln_model *m = model_of(cases[_i].text);
    validate(m);
    if (cases[_i].want)
        expect(cases[_i].want);
    else
        ck_assert_msg(faults.n_errors == 0, "%s", faults.first ? faults.first->text : "");
    pln_model_free(m);
}
END_TEST

START_TEST(finds_broken_links)
{
    pln_model *m = model_of(HEAD "g (float[2] x) => (y) { t = Relu (x) y = Neg (t) }");
    pln_node *neg = m->graph->last;
    neg->in[0] = m->graph->inputs[0]; /* behind the use list's back */
    validate(m);
    expect("input 0 is not in the use list of its value");
    expect("has a use that does not use it");
    pln_model_free(m);
}
END_TEST

START_TEST(finds_wrong_order)
{
    pln_model *m = model_of(HEAD "g (float[2] x) => (y) { t = Relu (x) y = Neg (t) }");
    pln_graph_move_before(m->graph->last, m->graph->first);
    validate(m);
    expect("input 0, 't', is made later");
    pln_model_free(m);
}
END_TEST

START_TEST(prints_faults_at_their_nodes)
{
    pln_model *m =
        model_of(HEAD "g (float[2] x) => (z) { [one] y = Relu (x) [two] z = Rule (y) }");
    pln_text t;
    pln_text_init(&t, NULL);
    validate(m);
    ck_assert_int_eq(pln_faults_print(m, &faults, &t, NULL), PLN_OK);
    const char *fault = strstr(t.data, "# ERROR: there is no operator Rule");
    ck_assert_ptr_nonnull(fault);
    ck_assert_ptr_nonnull(strstr(fault, "[two]"));
    ck_assert_ptr_null(strstr(fault, "[one]"));
    pln_text_done(&t);
    pln_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("validate");
    TCase *t = tcase_create("validate");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, finds_faults_of_models, 0, sizeof cases / sizeof *cases);
    tcase_add_test(t, finds_broken_links);
    tcase_add_test(t, finds_wrong_order);
    tcase_add_test(t, prints_faults_at_their_nodes);
    suite_add_tcase(s, t);
    return unit_main(s);
}
