/* planish info: what is in a model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

typedef struct info_args {
    common_args common;
    str_list dims;
} info_args;

static const opt info_opts[] = {
    { "dim", 0, OPT_LIST, offsetof(info_args, dims), "NAME=N",
      "size of a symbolic dimension, for FLOPs and memory" },
    { NULL },
};

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void print_io(FILE *out, const pln_model *model, pln_io io, const char *what)
{
    char type[400];
    for (size_t i = 0; i < pln_model_count(model, io); i++) {
        pln_io_info info;
        if (pln_model_io(model, io, i, &info) == PLN_OK)
            fprintf(out, "  %-7s %-28s %s%s\n", what, info.name,
                    io_type_text(&info, type, sizeof type),
                    info.has_default ? "  (has a default)" : "");
    }
}

/* "  Conv 53  Relu 49 ..." wrapped, most frequent first. */
static void print_ops(FILE *out, json_t *ops)
{
    size_t col = 0;
    for (size_t left = json_object_size(ops); left; left--) {
        const char *best = NULL, *key;
        json_int_t most = 0;
        json_t *v;
        json_object_foreach(ops, key, v) {
            if (json_integer_value(v) > most) {
                most = json_integer_value(v);
                best = key;
            }
        }
        if (!best)
            break;
        col += strlen(best) + 8;
        fprintf(out, "%s%s %lld",
                col > 88 || left == json_object_size(ops) ? "\n  " : "  ", best,
                (long long)most);
        if (col > 88)
            col = strlen(best) + 8;
        json_object_set_new(ops, best, json_integer(-most));
    }
    fputc('\n', out);
}

static void print_header(FILE *out, const char *path, const json_t *o)
{
    size_t i;
    json_t *v;
    fprintf(out, "%s   IR %lld", path, (long long)number(o, "ir_version"));
    json_array_foreach(json_object_get(o, "opsets"), i, v) {
        const char *domain = text(v, "domain");
        fprintf(out, "   %s %lld", *domain ? domain : "ai.onnx",
                (long long)number(v, "version"));
    }
    if (*text(o, "producer_name"))
        fprintf(out, "   %s %s", text(o, "producer_name"), text(o, "producer_version"));
    fputc('\n', out);
}

static void print_numbers(FILE *out, const json_t *o)
{
    char weights[40], peak[40];
    bytes_text(number(o, "weight_bytes"), weights, sizeof weights);
    bytes_text(number(o, "peak_activation_bytes"), peak, sizeof peak);
    fprintf(out,
            "  %lld nodes, %.3g M parameters (%s), %.4g GFLOP, activations %s at peak\n",
            (long long)number(o, "nodes"), number(o, "parameters") * 1e-6, weights,
            number(o, "flops") * 1e-9, peak);
}

static void print_unsupported(FILE *out, const json_t *list)
{
    size_t i;
    json_t *v;
    if (json_array_size(list) == 0)
        fprintf(out, "  all operators run here\n");
    json_array_foreach(list, i, v) {
        if (json_is_string(v))
            fprintf(out, "  can't run here: %s\n", json_string_value(v));
        else
            fprintf(out, "  can't run here: %s %s\n", text(v, "op"), text(v, "node"));
    }
}

static int report(const info_args *a, pln_env *env, const pln_model *model,
                  const char *path)
{
    char *json = NULL;
    FILE *out = report_out(&a->common);
    pln_error *err = pln_error_new();
    json_t *o = NULL;
    int rc = 0;
    if (pln_model_info(model, &json, err) != PLN_OK)
        rc = fail_status(err, path);
    else if (!(o = json_loads(json, 0, NULL)))
        rc = fail(5, "the facts are not JSON (%s)", path);
    pln_free(env, json);
    pln_error_free(err);
    if (rc)
        return rc;
    print_header(out, path, o);
    print_io(out, model, PLN_INPUT, "input");
    print_io(out, model, PLN_OUTPUT, "output");
    print_numbers(out, o);
    json_t *ops = json_copy(json_object_get(o, "ops"));
    print_ops(out, ops);
    json_decref(ops);
    print_unsupported(out, json_object_get(o, "unsupported"));
    return report_json(&a->common, o);
}

static int run(void *args, int n_files, char **files)
{
    const info_args *a = args;
    pln_model *model = NULL;
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    if (!rc)
        rc = model_set_dims(model, &a->dims);
    if (!rc)
        rc = report(a, env, model, files[0]);
    pln_model_free(model);
    pln_env_free(env);
    return rc;
}

const verb verb_info = {
    .name = "info",
    .synopsis = "MODEL [options]",
    .brief = "inputs, outputs, operators, parameters, FLOPs and memory of a model",
    .opts = info_opts,
    .args_size = sizeof(info_args),
    .min_files = 1,
    .max_files = 1,
    .run = run,
};
