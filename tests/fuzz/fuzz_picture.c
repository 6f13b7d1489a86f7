/* Fuzz target: whatever bytes ImageDecoder is given, it decodes them, gives an empty
 * picture or fails. SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <planish/planish.h>

#define MOST_MEMORY \
    ((uint64_t)64 << 20) /* a small file may well speak of a large picture */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "<ir_version: 10, opset_import: [\"\" : 20]>\n"
    "g (uint8[n] x) => (uint8[h, w, c] y) { y = ImageDecoder (x) }\n";

static pln_session *open_session(void)
{
    pln_error *err = pln_error_new();
    pln_model *model = NULL;
    pln_session *session = NULL;
    pln_env_desc d = PLN_ENV_DESC_INIT;
    pln_env *env = NULL;
    d.limits.run_bytes = MOST_MEMORY;
    if (pln_env_new(&d, &env, err) != PLN_OK ||
        pln_model_parse(env, text, strlen(text), NULL, &model, err) != PLN_OK ||
        pln_session_new(model, NULL, &session, err) != PLN_OK) {
        fprintf(stderr, "%s\n", pln_error_text(err));
        abort();
    }
    pln_model_free(model);
    pln_env_free(env); /* the session holds it */
    pln_error_free(err);
    return session;
}

static void check_output(pln_run *run)
{
    const pln_tensor *y = pln_run_output(run, "y");
    const int64_t *dims = pln_tensor_dims(y);
    if (pln_tensor_rank(y) != 3 || dims[2] != 3 || !dims[0] != !dims[1])
        abort();
    unsigned sum = 0;
    const uint8_t *rgb = pln_tensor_data_const(y);
    for (int64_t i = 0; i < pln_tensor_count(y); i++)
        sum += rgb[i]; /* all of it is there */
    if (sum == UINT32_MAX)
        fputs("", stderr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pln_session *session; /* opened once, for all inputs */
    pln_run *run = NULL;
    pln_tensor *x = NULL;
    pln_error *err = pln_error_new();
    const int64_t dims[1] = { (int64_t)size };
    if (!session)
        session = open_session();
    if (pln_tensor_new(NULL, PLN_DT_U8, 1, dims, &x, err) != PLN_OK ||
        pln_run_new(session, &run, err) != PLN_OK)
        abort();
    if (size)
        memcpy(pln_tensor_data(x), data, size);
    if (pln_run_bind_input(run, "x", x, err) != PLN_OK)
        abort();
    if (pln_run_execute(run, NULL, err) == PLN_OK)
        check_output(run);
    pln_run_free(run);
    pln_tensor_unref(x);
    pln_error_free(err);
    return 0;
}
