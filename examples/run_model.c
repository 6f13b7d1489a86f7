/* Runs a model of one float input on ones and prints the first values of its output.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    pln_error *err = pln_error_new();
    pln_model *model = NULL;
    pln_session *session = NULL;
    pln_run *run = NULL;
    pln_tensor *x = NULL;
    pln_io_info in = { .rank = 0 };
    int64_t dims[8] = { 0 };
    pln_status st =
        pln_model_load(NULL, argc > 1 ? argv[1] : "model.onnx", NULL, &model, err);
    if (st == PLN_OK)
        st = pln_session_new(model, NULL, &session, err);
    if (st == PLN_OK)
        st = pln_session_io(session, PLN_INPUT, 0, &in);
    for (int i = 0; i < in.rank && i < 8; i++)
        dims[i] = in.dims[i] < 0 ? 1 : in.dims[i]; /* unknown sizes: 1 */
    if (st == PLN_OK)
        st = pln_tensor_new(NULL, in.dtype, in.rank, dims, &x, err);
    for (int64_t i = 0; st == PLN_OK && in.dtype == PLN_DT_F32 && i < pln_tensor_count(x);
         i++)
        ((float *)pln_tensor_data(x))[i] = 1;
    if (st == PLN_OK)
        st = pln_run_new(session, &run, err);
    if (st == PLN_OK)
        st = pln_run_bind_input(run, in.name, x, err);
    if (st == PLN_OK)
        st = pln_run_execute(run, NULL, err);
    pln_tensor *y = pln_run_output_at(run, 0);
    for (int64_t i = 0;
         y && pln_tensor_dtype(y) == PLN_DT_F32 && i < 10 && i < pln_tensor_count(y); i++)
        printf("%g\n", ((float *)pln_tensor_data(y))[i]);
    if (st != PLN_OK)
        fprintf(stderr, "%s\n", pln_error_text(err));
    pln_run_free(run);
    pln_tensor_unref(x);
    pln_session_free(session);
    pln_model_free(model);
    pln_error_free(err);
    return pln_status_exit_code(st);
}
