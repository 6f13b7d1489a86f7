/* planish print: a model in ONNX's textual syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

typedef struct print_args {
    common_args common;
    const char *output, *data;
    int64_t inline_limit;
} print_args;

static const opt print_opts[] = {
    { "output", 'o', OPT_STR, offsetof(print_args, output), "F",
      "where the text goes (stdout)" },
    { "data", 0, OPT_STR, offsetof(print_args, data), "F.bin",
      "file that receives the larger tensors (all are printed inline without it)" },
    { "inline-limit", 0, OPT_COUNT, offsetof(print_args, inline_limit), "N",
      "most elements of a tensor that is printed inline beside --data (16)" },
    { NULL },
};

static void defaults(void *args)
{
    ((print_args *)args)->inline_limit = 16;
}

static int run(void *args, int n_files, char **files)
{
    const print_args *a = args;
    pln_model *model = NULL;
    char *text = NULL;
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    pln_error *err = pln_error_new();
    pln_print_options o = PLN_PRINT_OPTIONS_INIT;
    o.data_path = a->data;
    o.inline_limit =
        a->inline_limit > UINT32_MAX ? UINT32_MAX : (uint32_t)a->inline_limit;
    if (!rc && pln_model_print(model, &o, &text, err) != PLN_OK)
        rc = fail_status(err, files[0]);
    if (!rc)
        rc = write_file(a->output ? a->output : "-", text, strlen(text));
    pln_free(env, text);
    pln_error_free(err);
    pln_model_free(model);
    pln_env_free(env);
    return rc;
}

const verb verb_print = {
    .name = "print",
    .synopsis = "MODEL [-o F] [--data F.bin | --inline-limit N]",
    .brief = "print a model in ONNX's textual syntax",
    .opts = print_opts,
    .args_size = sizeof(print_args),
    .defaults = defaults,
    .min_files = 1,
    .max_files = 1,
    .run = run,
};
