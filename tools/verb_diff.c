/* planish diff: what changed between two models.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

typedef struct diff_args {
    common_args common;
    int64_t lines;
} diff_args;

static const opt diff_opts[] = {
    { "lines", 0, OPT_INT, offsetof(diff_args, lines), "N",
      "most lines of each list of nodes and weights (20; -v: all)" },
    { NULL },
};

static void defaults(void *args)
{
    ((diff_args *)args)->lines = 20;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* One list, its first items a line each. */
static void tell(const diff_args *a, const json_t *list, const char *what,
                 void (*line)(FILE *out, const json_t *item))
{
    FILE *out = report_out(&a->common);
    const json_t *v;
    size_t i, n = json_array_size(list);
    const size_t most = a->common.verbose || a->lines < 0 ? n : (size_t)a->lines;
    if (n)
        fprintf(out, "%s: %zu\n", what, n);
    json_array_foreach(list, i, v) if (i < most)
    {
        fputs("  ", out);
        line(out, v);
        fputc('\n', out);
    }
    if (n > most)
        fprintf(out, "  ... and %zu more (-v)\n", n - most);
}

static void line_of_op(FILE *out, const json_t *v)
{
    const char *domain = text(v, "domain");
    fprintf(out, "%s%s%-30s %6lld -> %lld", domain, *domain ? "." : "", text(v, "op"),
            (long long)json_integer_value(json_object_get(v, "before")),
            (long long)json_integer_value(json_object_get(v, "after")));
}

static void line_of_node(FILE *out, const json_t *v)
{
    const json_t *what = json_object_get(v, "what"), *w;
    size_t i;
    fprintf(out, "%s (%s)", text(v, "name"), text(v, "op"));
    json_array_foreach(what, i, w)
        fprintf(out, "%s%s", i ? "; " : "  ", json_string_value(w));
}

static void line_of_weight(FILE *out, const json_t *v)
{
    const json_t *most = json_object_get(v, "max_abs");
    if (!most)
        fprintf(out, "%s  %s", text(v, "name"), text(v, "type"));
    else if (json_is_number(most))
        fprintf(out, "%s  %s  max |d| %.3g", text(v, "name"), text(v, "after"),
                json_number_value(most));
    else
        fprintf(out, "%s  %s -> %s", text(v, "name"), text(v, "before"),
                text(v, "after"));
}

static const char *or_none(const json_t *v, const char *key)
{
    return json_object_get(v, key) ? text(v, key) : "none";
}

static void line_of_end(FILE *out, const json_t *v)
{
    fprintf(out, "%s  %s -> %s", text(v, "name"), or_none(v, "before"),
            or_none(v, "after"));
}

static void line_of_pair(FILE *out, const json_t *v)
{
    const char *key = text(v, "key");
    fprintf(out, "%s  %.100s -> %.100s", *key ? key : "ai.onnx", or_none(v, "before"),
            or_none(v, "after"));
}

static void tell_all(const diff_args *a, const json_t *o)
{
    const json_t *nodes = json_object_get(o, "nodes"),
                 *weights = json_object_get(o, "weights");
    tell(a, json_object_get(o, "header"), "header", line_of_pair);
    tell(a, json_object_get(o, "opsets"), "operator sets", line_of_pair);
    tell(a, json_object_get(o, "metadata"), "metadata", line_of_pair);
    tell(a, json_object_get(o, "inputs"), "inputs", line_of_end);
    tell(a, json_object_get(o, "outputs"), "outputs", line_of_end);
    tell(a, json_object_get(o, "ops"), "operators", line_of_op);
    tell(a, json_object_get(nodes, "removed"), "nodes removed", line_of_node);
    tell(a, json_object_get(nodes, "added"), "nodes added", line_of_node);
    tell(a, json_object_get(nodes, "changed"), "nodes changed", line_of_node);
    tell(a, json_object_get(weights, "removed"), "weights removed", line_of_weight);
    tell(a, json_object_get(weights, "added"), "weights added", line_of_weight);
    tell(a, json_object_get(weights, "changed"), "weights changed", line_of_weight);
}

static int diff(const diff_args *a, const pln_model *x, const pln_model *y, bool *same)
{
    char *json = NULL;
    pln_error *err = pln_error_new();
    int rc = 0;
    if (pln_model_diff(x, y, same, &json, err) != PLN_OK)
        rc = fail_status(err, NULL);
    pln_error_free(err);
    json_t *o = json ? json_loads(json, 0, NULL) : NULL;
    pln_free(NULL, json);
    if (rc)
        return rc;
    json_object_set_new(o, "same", json_boolean(*same));
    if (*same)
        fprintf(report_out(&a->common), "the models are the same\n");
    else
        tell_all(a, o);
    return report_json(&a->common, o);
}

static int run(void *args, int n_files, char **files)
{
    const diff_args *a = args;
    pln_model *x = NULL, *y = NULL;
    bool same = false;
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &x);
    if (!rc)
        rc = model_open(env, files[1], &y);
    if (!rc)
        rc = diff(a, x, y, &same);
    pln_model_free(x);
    pln_model_free(y);
    pln_env_free(env);
    return rc ? rc : same ? 0 : 1;
}

const verb verb_diff = {
    .name = "diff",
    .synopsis = "A B [options]",
    .brief = "what changed between two models: operators, nodes, weights, ends, metadata",
    .details =
        "Nodes are matched by name, by the name of an output, then by operator and\n"
        "inputs. Exit code 1: the models differ; their results may be the same all the\n"
        "same, which compare tells.\n",
    .opts = diff_opts,
    .args_size = sizeof(diff_args),
    .defaults = defaults,
    .min_files = 2,
    .max_files = 2,
    .run = run,
};
