/* Old meanings of elementwise operators: models of early operator sets, raised on load,
 * give what their own standard says.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <planish/planish.h>

#include "tests/unit/main.h"

typedef struct version_case {
    int opset;
    const char
        *body; /* after the initializers: x = {1,-2,3,-4,5,-6} as 2x3, b = {10,20} */
    double want[6];
} version_case;

static const version_case cases[] = {
    { 6, "z = Add <axis = 0, broadcast = 1> (x, b)", { 11, 8, 13, 16, 25, 14 } },
    { 7, "z = Add (x, c)", { 11, 18, 33, 6, 25, 24 } },
    { 1, "z = Abs <consumed_inputs = [0]> (x)", { 1, 2, 3, 4, 5, 6 } },
    { 6, "z = Clip <min = -3.0, max = 2.0> (x)", { 1, -2, 2, -3, 2, -3 } },
    { 6, "z = Clip <max = 2.0> (x)", { 1, -2, 2, -4, 2, -6 } },
    { 11, "z = ReduceSum <axes = [1]> (x)", { 2, -5 } },
    { 11, "z = ReduceMax <axes = [-2], keepdims = 0> (x)", { 1, 5, 3 } },
    { 13, "z = ReduceMax <axes = [-2], keepdims = 0> (x)", { 1, 5, 3 } },
    { 7, "z = Dropout <ratio = 0.25> (x)", { 1, -2, 3, -4, 5, -6 } },
    { 1, "z = Cast <to = \"FLOAT\"> (x)", { 1, -2, 3, -4, 5, -6 } },
    { 1, "z = Max <consumed_inputs = [0, 0]> (x, x)", { 1, -2, 3, -4, 5, -6 } },
    { 11,
      "y = Sub (x, x)  z = Softmax <axis = 0> (y)",
      { 1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6, 1.0 / 6 } },
    { 13, "y = Sub (x, x)  z = Softmax <axis = 0> (y)", { .5, .5, .5, .5, .5, .5 } },
    { 6,
      "y = Unsqueeze <axes = [0]> (x)  z = PRelu (y, b)",
      { 1, -20, 3, -80, 5, -120 } },
    { 9,
      "z = BatchNormalization <epsilon = 0.0> (x, c, c, o, c)",
      { 13.162278, 11.055728, 46.431677, -2.649111, 42.360680, -2.863354 } },
};

static void check_case(const version_case *v)
{
    char text[1024];
    pln_error *err = pln_error_new();
    pln_model *model = NULL;
    pln_session *session = NULL;
    pln_run *run = NULL;
    snprintf(text, sizeof text,
             "<ir_version: 4, opset_import: [\"\" : %d]>\n"
             "g () => (float z)\n"
             "<float[2,3] x = {1, -2, 3, -4, 5, -6}, float[2] b = {10, 20},\n"
             " float[3] c = {10, 20, 30}, float[3] o = {0, 0, 0}>\n{ %s }\n",
             v->opset, v->body);
    ck_assert_msg(pln_model_parse(NULL, text, strlen(text), NULL, &model, err) == PLN_OK,
                  "%s: %s", v->body, pln_error_text(err));
    ck_assert_msg(pln_session_new(model, NULL, &session, err) == PLN_OK, "%s: %s",
                  v->body, pln_error_text(err));
    ck_assert_msg(pln_run_new(session, &run, err) == PLN_OK &&
                      pln_run_execute(run, NULL, err) == PLN_OK,
                  "%s: %s", v->body, pln_error_text(err));
    const pln_tensor *z = pln_run_output_at(run, 0);
    ck_assert(z != NULL && pln_tensor_count(z) <= 6);
    const float *got = pln_tensor_data_const(z);
    for (int64_t i = 0; i < pln_tensor_count(z); i++)
        ck_assert_msg(fabs((double)got[i] - v->want[i]) < 1e-4 * (1 + fabs(v->want[i])),
                      "opset %d, %s, element %d: %g, want %g", v->opset, v->body, (int)i,
                      (double)got[i], v->want[i]);
    pln_run_free(run);
    pln_session_free(session);
    pln_model_free(model);
    pln_error_free(err);
}

START_TEST(old_meanings)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(&cases[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("versions");
    TCase *t = tcase_create("versions");
    tcase_add_test(t, old_meanings);
    suite_add_tcase(s, t);
    return unit_main(s);
}
