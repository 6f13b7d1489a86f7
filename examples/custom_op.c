/* An operator of one's own: registers WeightedSum (weighted_sum.h) and runs a model of
 * it. With an argument the operator comes from a plug-in: custom_op ./weighted_sum.so
 * SPDX-License-Identifier: Apache-2.0 */
#include "weighted_sum.h"

#include <stdio.h>
#include <string.h>

static const char text[] =
    "<ir_version: 10, opset_import: [\"\" : 21, \"example.org\" : 1]>\n"
    "blend (float[n] a, float[n] b) => (float[n] y)\n"
    "{\n"
    "    t = example.org.WeightedSum <p1: float = 0.25, p2: float = 0.75> (a, b)\n"
    "    y = Relu (t)\n"
    "}\n";

static float a[] = { 4, -8, 12 }, b[] = { 0, 4, -8 };

static pln_status bind(pln_run *run, const char *name, float *data, pln_error *err)
{
    const int64_t n = 3;
    pln_tensor *t = NULL;
    pln_status st =
        pln_tensor_view(NULL, PLN_DT_F32, 1, &n, data, sizeof a, NULL, NULL, &t, err);
    if (st == PLN_OK)
        st = pln_run_bind_input(run, name, t, err);
    pln_tensor_unref(t);
    return st;
}

static pln_status blend(pln_env *env, pln_error *err)
{
    pln_model *model = NULL;
    pln_session *session = NULL;
    pln_run *run = NULL;
    pln_status st = pln_model_parse(env, text, strlen(text), NULL, &model, err);
    if (st == PLN_OK)
        st = pln_session_new(model, NULL, &session, err);
    if (st == PLN_OK)
        st = pln_run_new(session, &run, err);
    if (st == PLN_OK)
        st = bind(run, "a", a, err);
    if (st == PLN_OK)
        st = bind(run, "b", b, err);
    if (st == PLN_OK)
        st = pln_run_execute(run, NULL, err);
    if (st == PLN_OK) {
        const float *y = pln_tensor_data(pln_run_output(run, "y"));
        printf("%g %g %g\n", y[0], y[1], y[2]);
    }
    pln_run_free(run);
    pln_session_free(session);
    pln_model_free(model);
    return st;
}

int main(int argc, char **argv)
{
    pln_error *err = pln_error_new();
    pln_env *env = NULL;
    pln_status st = pln_env_new(NULL, &env, err);
    if (st == PLN_OK)
        st = argc > 1 ? pln_env_load_plugin(env, argv[1], err)
                      : pln_op_register(env, &weighted_sum, err);
    if (st == PLN_OK)
        st = blend(env, err);
    if (st != PLN_OK)
        fprintf(stderr, "%s\n", pln_error_text(err));
    pln_env_free(env);
    pln_error_free(err);
    return pln_status_exit_code(st);
}
