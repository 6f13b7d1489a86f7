/* planish check: does a model obey the standard?
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

static const opt check_opts[] = { { NULL } };

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void print_finding(FILE *out, const json_t *f)
{
    const char *what = text(f, "text"), *node = text(f, "node");
    fprintf(out, "%s: ", text(f, "severity"));
    if (*node && !strstr(what, node))
        fprintf(out, "%s (%s): ", node, text(f, "op"));
    fprintf(out, "%s\n", what);
}

static json_t *finding(const char *severity, const char *what)
{
    json_t *f = json_object();
    json_object_set_new(f, "severity", json_string(severity));
    json_object_set_new(f, "text", json_string(what));
    return f;
}

static int report(const common_args *common, const char *path, json_t *findings_take,
                  size_t n_errors)
{
    FILE *out = report_out(common);
    const char *shown = strcmp(path, "-") ? path : "stdin";
    size_t i;
    json_t *f, *root = json_object();
    json_array_foreach(findings_take, i, f)
        print_finding(out, f);
    fprintf(out, n_errors ? "%s: %zu errors\n" : "%s: valid\n", shown, n_errors);
    json_object_set_new(root, "valid", json_boolean(n_errors == 0));
    json_object_set_new(root, "findings", findings_take);
    const int rc = report_json(common, root);
    return rc ? rc : n_errors ? 1 : 0;
}

/* What the loader refuses as malformed is a finding, too: the answer is no, not an error.
 * A file that can't be read or parsed at all stays an error. */
static int report_refused(const common_args *common, const char *path,
                          const pln_error *err)
{
    if (pln_error_code(err) != PLN_E_FORMAT || !pln_error_get(err, "node"))
        return fail_status(err, path);
    json_t *findings = json_array();
    json_array_append_new(findings, finding("error", pln_error_text(err)));
    return report(common, path, findings, 1);
}

static int check_model(const common_args *common, pln_env *env, const char *path,
                       pln_error *err)
{
    pln_model *model = NULL;
    int rc = model_open_quietly(env, path, &model, err);
    if (rc || !model)
        return rc ? rc : report_refused(common, path, err);
    char *json = NULL;
    size_t n_errors = 0;
    json_t *findings = NULL;
    if (pln_model_check(model, &json, &n_errors, err) != PLN_OK)
        rc = fail_status(err, path);
    else if (!(findings = json_loads(json, 0, NULL)))
        rc = fail(5, "the findings are not JSON (%s)", path);
    pln_free(env, json);
    pln_model_free(model);
    return rc ? rc : report(common, path, findings, n_errors);
}

static int run(void *args, int n_files, char **files)
{
    const common_args *common = args;
    int rc;
    pln_env *env = report_env(common, &rc);
    if (rc)
        return rc;
    pln_error *err = pln_error_new();
    rc = check_model(common, env, files[0], err);
    pln_error_free(err);
    pln_env_free(env);
    return rc;
}

const verb verb_check = {
    .name = "check",
    .synopsis = "MODEL",
    .brief = "validate a model against the ONNX standard",
    .opts = check_opts,
    .args_size = sizeof(common_args),
    .min_files = 1,
    .max_files = 1,
    .run = run,
};
