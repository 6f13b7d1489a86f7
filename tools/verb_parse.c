/* planish parse: a model from ONNX's textual syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/report.h"
#include "tools/common/save.h"

typedef struct parse_args {
    common_args common;
    save_args save;
} parse_args;

static const opt parse_opts[] = { SAVE_OPTS(parse_args, save), { NULL } };

static int parse(pln_env *env, const char *path, pln_model **model)
{
    char *text, *copy = strdup(path);
    size_t len;
    int rc = read_file(path, &text, &len);
    if (rc || !copy) {
        free(copy);
        return rc ? rc : fail(6, "out of memory");
    }
    const char *dir = strcmp(path, "-") ? dirname(copy) : NULL;
    pln_error *err = pln_error_new();
    if (pln_model_parse(env, text, len, dir, model, err) != PLN_OK)
        rc = fail_status(err, path);
    pln_error_free(err);
    free(copy);
    free(text);
    return rc;
}

static int run(void *args, int n_files, char **files)
{
    const parse_args *a = args;
    pln_model *model = NULL;
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = parse(env, files[0], &model);
    if (!rc)
        rc = model_save(model, files[1], &a->save);
    pln_model_free(model);
    pln_env_free(env);
    return rc;
}

const verb verb_parse = {
    .name = "parse",
    .synopsis = "TEXT OUT",
    .brief = "read ONNX's textual syntax and write a model",
    .opts = parse_opts,
    .args_size = sizeof(parse_args),
    .min_files = 2,
    .max_files = 2,
    .run = run,
};
