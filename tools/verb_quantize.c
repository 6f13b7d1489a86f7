/* planish quantize: insert quantize and dequantize nodes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common/feeds.h"
#include "tools/common/report.h"
#include "tools/common/runner.h"
#include "tools/common/save.h"

typedef struct quantize_args {
    common_args common;
    save_args save;
    const char *mode, *activations, *weights, *exclude, *report;
    str_list calibration;
    bool per_tensor, per_channel, reduce_range;
} quantize_args;

static const opt quantize_opts[] = {
    { "mode", 0, OPT_STR, offsetof(quantize_args, mode), "static|dynamic|weights",
      "static: ranges from calibration data" },
    { "calibration", 0, OPT_LIST, offsetof(quantize_args, calibration), "F.npz|DIR",
      "inputs to take the ranges from (repeatable)" },
    { "activations", 0, OPT_STR, offsetof(quantize_args, activations), "u8|s8", "(u8)" },
    { "weights", 0, OPT_STR, offsetof(quantize_args, weights), "s8", "(s8)" },
    { "per-channel", 0, OPT_FLAG, offsetof(quantize_args, per_channel), NULL,
      "one scale for each output channel of a weight (the default)" },
    { "per-tensor", 0, OPT_FLAG, offsetof(quantize_args, per_tensor), NULL,
      "one scale for a whole weight" },
    { "reduce-range", 0, OPT_FLAG, offsetof(quantize_args, reduce_range), NULL,
      "weights in 7 bits, for runtimes that saturate" },
    { "exclude", 0, OPT_STR, offsetof(quantize_args, exclude), "NODE,...",
      "nodes that stay float" },
    { "report", 0, OPT_STR, offsetof(quantize_args, report), "F.json",
      "the units and those left alone, with the reason" },
    SAVE_OPTS(quantize_args, save),
    { NULL },
};

/* Calibration data, one archive at a time. */
typedef struct calibration {
    pln_env *env;
    const pln_model *model; /* for its inputs; the model under change has the same */
    char **paths;
    size_t n;
    feeds current;
    pln_feed *view;
    progress bar;
    int rc;
} calibration;

static bool next_feeds(void *user, size_t i, const pln_feed **out, size_t *n)
{
    calibration *c = user;
    feeds_free(&c->current);
    if (c->rc || i >= c->n)
        return false;
    progress_step(&c->bar, i, c->n);
    c->rc = feeds_from_archive(c->env, c->model, c->paths[i], &c->current);
    pln_feed *view = c->rc ? NULL : realloc(c->view, (c->current.n + 1) * sizeof *view);
    if (!view)
        return false;
    c->view = view;
    for (size_t k = 0; k < c->current.n; k++)
        view[k] = (pln_feed){ c->current.names[k], c->current.tensors[k] };
    *out = view;
    *n = c->current.n;
    return true;
}

static int add_path(calibration *c, const char *dir, const char *name)
{
    char **grown = realloc(c->paths, (c->n + 1) * sizeof *grown);
    const size_t size = strlen(dir) + strlen(name) + 2;
    char *path = malloc(size);
    if (grown)
        c->paths = grown;
    if (!grown || !path) {
        free(path);
        return fail(6, "out of memory");
    }
    snprintf(path, size, *name ? "%s/%s" : "%s%s", dir, name);
    c->paths[c->n++] = path;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_source(calibration *c, const char *path)
{
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return add_path(c, path, "");
    DIR *d = opendir(path);
    const size_t first = c->n;
    int rc = d ? 0 : fail(3, "can't read (%s)", path);
    for (struct dirent *e; !rc && (e = readdir(d));) {
        const size_t len = strlen(e->d_name);
        if (len > 4 && !strcmp(e->d_name + len - 4, ".npz"))
            rc = add_path(c, path, e->d_name);
    }
    if (d)
        closedir(d);
    if (!rc && c->n == first)
        rc = fail(3, "no .npz in the folder (%s)", path);
    if (c->n > first)
        qsort(c->paths + first, c->n - first, sizeof *c->paths, by_name);
    return rc;
}

static int choose(const char *what, const char *given, const char *const *names, int *out)
{
    *out = 0;
    if (!given)
        return 0;
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], given)) {
            *out = i;
            return 0;
        }
    return fail(2, "--%s can't be '%s'", what, given);
}

static int fill_options(const quantize_args *a, pln_quantize_options *o)
{
    static const char *const modes[] = { "static", "dynamic", "weights", NULL };
    static const char *const acts[] = { "u8", "s8", NULL };
    static const char *const weights[] = { "s8", NULL };
    int mode, act, weight, rc;
    if ((rc = choose("mode", a->mode, modes, &mode)) ||
        (rc = choose("activations", a->activations, acts, &act)) ||
        (rc = choose("weights", a->weights, weights, &weight)))
        return rc;
    o->mode = (pln_quant_mode)mode;
    o->activations = act ? PLN_DT_S8 : PLN_DT_U8;
    o->weights = PLN_DT_S8;
    o->per_tensor = a->per_tensor;
    o->reduce_range = a->reduce_range;
    o->exclude = a->exclude;
    if (o->mode == PLN_QUANT_STATIC && a->calibration.n == 0)
        return fail(2, "--mode static needs --calibration");
    return 0;
}

static void print_report(FILE *out, const json_t *o)
{
    const json_t *left = json_object_get(o, "skipped"), *v;
    size_t i;
    fprintf(out, "%zu units quantized, %zu left in float\n",
            json_array_size(json_object_get(o, "units")), json_array_size(left));
    json_array_foreach(left, i, v) {
        const char *node = json_string_value(json_object_get(v, "node"));
        const char *why = json_string_value(json_object_get(v, "reason"));
        fprintf(out, "  %s: %s\n", node ? node : "?", why ? why : "?");
    }
}

static int quantize(const quantize_args *a, pln_quantize_options *o, pln_env *env,
                    pln_model *model, const char *path, json_t **report)
{
    calibration c = { .env = env, .model = model };
    char *json = NULL;
    int rc = 0;
    for (size_t i = 0; !rc && i < a->calibration.n; i++)
        rc = add_source(&c, a->calibration.v[i]);
    o->calibration = next_feeds;
    o->user = &c;
    pln_error *err = pln_error_new();
    progress_begin(&c.bar, &a->common, "calibrating");
    if (!rc && pln_model_quantize(model, o, &json, err) != PLN_OK && !c.rc)
        rc = fail_status(err, path);
    progress_end(&c.bar);
    rc = rc ? rc : c.rc;
    if (!rc)
        *report = json_loads(json, 0, NULL);
    for (size_t i = 0; i < c.n; i++)
        free(c.paths[i]);
    free(c.paths);
    free(c.view);
    feeds_free(&c.current);
    pln_free(NULL, json);
    pln_error_free(err);
    return rc;
}

static int write_report(const quantize_args *a, json_t *report)
{
    common_args to_file = a->common;
    to_file.json = a->report;
    return report_json(&to_file, json_incref(report));
}

static int run(void *args, int n_files, char **files)
{
    const quantize_args *a = args;
    pln_model *model = NULL;
    json_t *report = NULL;
    pln_quantize_options o = PLN_QUANTIZE_OPTIONS_INIT;
    int rc = fill_options(a, &o);
    if (rc)
        return rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    if (!rc)
        rc = quantize(a, &o, env, model, files[0], &report);
    if (!rc)
        rc = model_save(model, files[1], &a->save);
    if (!rc && strcmp(files[1], "-"))
        print_report(report_out(&a->common), report);
    if (!rc && a->report)
        rc = write_report(a, report);
    if (!rc)
        rc = report_json(&a->common, json_incref(report));
    json_decref(report);
    pln_model_free(model);
    pln_env_free(env);
    return rc;
}

const verb verb_quantize = {
    .name = "quantize",
    .synopsis = "IN OUT --mode static --calibration F.npz [options]",
    .brief = "insert quantize and dequantize nodes around products",
    .opts = quantize_opts,
    .args_size = sizeof(quantize_args),
    .min_files = 2,
    .max_files = 2,
    .threads = true,
    .run = run,
};
