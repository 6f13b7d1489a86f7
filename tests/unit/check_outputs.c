/* Whose memory the results of a run are: the caller's alone, whatever the graph hands on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>
#include <string.h>

#include "tests/unit/main.h"

#define HEAD "<ir_version: 8, opset_import: [\"\" : 17]>\n"

typedef struct fixture {
    pln_error *err;
    pln_session *session;
    pln_run *run;
    pln_tensor *x;
} fixture;

static float *numbers(pln_tensor *t)
{
    return pln_tensor_data(t);
}

/* A run, bound to x = {1, 2, 3}: a tensor, or a sequence of it twice. */
static void open_run(fixture *f, const char *graph, bool sequence, bool no_optimize)
{
    const int64_t three = 3;
    char text[1000] = HEAD;
    pln_model *m = NULL;
    pln_tensor *input = NULL;
    pln_session_options o = PLN_SESSION_OPTIONS_INIT;
    o.no_optimize = no_optimize;
    f->err = pln_error_new();
    strcat(text, graph);
    pln_model_parse(NULL, text, strlen(text), NULL, &m, f->err);
    ck_assert_str_eq(pln_error_text(f->err), "");
    pln_session_new(m, &o, &f->session, f->err);
    ck_assert_str_eq(pln_error_text(f->err), "");
    ck_assert(pln_run_new(f->session, &f->run, f->err) == PLN_OK);
    ck_assert(pln_tensor_new(NULL, PLN_DT_F32, 1, &three, &f->x, NULL) == PLN_OK);
    for (int i = 0; i < 3; i++)
        numbers(f->x)[i] = (float)(i + 1);
    if (sequence) {
        ck_assert(pln_tensor_new_container(NULL, PLN_KIND_SEQUENCE, &input, NULL) ==
                  PLN_OK);
        for (int i = 0; i < 2; i++)
            ck_assert(pln_tensor_append(input, f->x, NULL) == PLN_OK);
    } else {
        input = pln_tensor_ref(f->x);
    }
    pln_run_bind_input(f->run, "x", input, f->err);
    ck_assert_str_eq(pln_error_text(f->err), "");
    pln_tensor_unref(input);
    pln_model_free(m);
}

static void close_run(fixture *f)
{
    pln_run_free(f->run);
    pln_session_free(f->session);
    pln_tensor_unref(f->x);
    pln_error_free(f->err);
}

/* Every output is {1, 2, 3}, in memory of its own, in each of several runs. */
static void expect_own(const char *graph, bool sequence, bool no_optimize)
{
    fixture f = { 0 };
    open_run(&f, graph, sequence, no_optimize);
    const size_t n = pln_session_count(f.session, PLN_OUTPUT);
    for (int round = 0; round < 3; round++) {
        pln_run_execute(f.run, NULL, f.err);
        ck_assert_str_eq(pln_error_text(f.err), "");
        for (size_t k = 0; k < n; k++) {
            pln_tensor *y = pln_run_output_at(f.run, k);
            for (int i = 0; i < 3; i++) {
                ck_assert(numbers(y)[i] == (float)(i + 1));
                numbers(y)[i] = -1;
            }
        }
        ck_assert(numbers(f.x)[0] == 1);
    }
    close_run(&f);
}

static const char *const of_a_tensor[] = {
    "g (float[3] x) => (float[3] y) { y = Identity(x) }",
    "g (float[3] x) => (float[3] x) { }",
    "g (float[3] x) => (float[3] w) <float[3] w = {1, 2, 3}> { }",
    "g (float[3] x) => (float[3] w, float[3] y) <float[3] w = {1, 2, 3}> "
    "{ y = Identity(w) }",
    "g (float[3] x) => (float[1, 3] y) <float[3] w = {1, 2, 3}, int64[2] s = {1, 3}> "
    "{ y = Reshape(w, s) }",
    "g (float[3] x) => (float[3] y, float[3] z) { y = Abs(x) z = Identity(y) }",
    "g (float[3] x) => (float[3] y) <float[3] w = {1, 2, 3}, int64 i = {1}> "
    "{ q = SequenceConstruct(x, w) y = SequenceAt(q, i) }",
    "g (float[3] x) => (float[3] y, float[3] a, seq(float[3]) q) <int64 i = {0}> "
    "{ a = Abs(x) q = SequenceConstruct(a, x) y = SequenceAt(q, i) }",
};

START_TEST(results_of_a_tensor)
{
    for (size_t k = 0; k < sizeof of_a_tensor / sizeof *of_a_tensor - 1; k++) {
        expect_own(of_a_tensor[k], false, false);
        expect_own(of_a_tensor[k], false, true);
    }
}
END_TEST

START_TEST(results_of_a_sequence)
{
    expect_own("g (seq(float[3]) x) => (float[3] y) <int64 i = {1}> "
               "{ y = SequenceAt(x, i) }",
               true, false);
}
END_TEST

START_TEST(a_result_that_a_sequence_holds_as_well)
{
    fixture f = { 0 };
    open_run(&f, of_a_tensor[sizeof of_a_tensor / sizeof *of_a_tensor - 1], false, true);
    ck_assert(pln_run_execute(f.run, NULL, f.err) == PLN_OK);
    numbers(pln_run_output(f.run, "y"))[0] = 7;
    numbers(pln_run_output(f.run, "a"))[1] = 8;
    ck_assert(numbers(pln_run_output(f.run, "a"))[0] == 1);
    ck_assert(numbers(pln_run_output(f.run, "y"))[1] == 2);
    const pln_tensor *q = pln_run_output(f.run, "q");
    ck_assert(numbers(pln_tensor_item(q, 0))[0] == 1);
    ck_assert(numbers(pln_tensor_item(q, 0))[1] == 2);
    close_run(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outputs");
    TCase *t = tcase_create("outputs");
    tcase_add_test(t, results_of_a_tensor);
    tcase_add_test(t, results_of_a_sequence);
    tcase_add_test(t, a_result_that_a_sequence_holds_as_well);
    suite_add_tcase(s, t);
    return unit_main(s);
}
