/* planish optimize: rewrite a model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tools/common/before_after.h"
#include "tools/common/bisect.h"
#include "tools/common/report.h"
#include "tools/common/save.h"
#include "tools/common/seeing.h"
#include "tools/common/verify.h"

typedef struct optimize_args {
    common_args common;
    verify_args verify;
    save_args save;
    seeing_args seeing;
    bisect_args bisect;
    int64_t level, fold_growth;
    const char *target, *passes, *disable, *debug;
    bool approx, list, help_debug, no_stamp;
} optimize_args;

static const opt optimize_opts[] = {
    { "level", 'O', OPT_INT, offsetof(optimize_args, level), "0..3",
      "what may change (2)" },
    { "target", 0, OPT_STR, offsetof(optimize_args, target), "onnx|ort|planish",
      "operators that the file may hold (onnx)" },
    { "allow-approx", 0, OPT_FLAG, offsetof(optimize_args, approx), NULL,
      "also rules that compute other expressions within a stated bound" },
    { "passes", 0, OPT_STR, offsetof(optimize_args, passes), "a,b,(c,d)*",
      "this pipeline in place of the level's" },
    { "disable", 0, OPT_STR, offsetof(optimize_args, disable), "P,...",
      "leave out these passes or rules" },
    { "list-passes", 0, OPT_FLAG, offsetof(optimize_args, list), NULL,
      "list them and end" },
    { "dim", 0, OPT_LIST, offsetof(optimize_args, verify.feed.dims), "NAME=N",
      "give a symbolic dimension a size" },
    VERIFY_OPTS(optimize_args, verify),
    { "fold-growth", 0, OPT_COUNT, offsetof(optimize_args, fold_growth), "BYTES",
      "most bytes that constant folding may add" },
    { "no-stamp", 0, OPT_FLAG, offsetof(optimize_args, no_stamp), NULL,
      "leave no recipe in the metadata" },
    { "debug", 0, OPT_STR, offsetof(optimize_args, debug), "SWITCHES",
      "as in PLN_DEBUG" },
    { "help-debug", 0, OPT_FLAG, offsetof(optimize_args, help_debug), NULL,
      "list the debug switches and end" },
    SEEING_OPTS(optimize_args, seeing),
    BISECT_OPTS(optimize_args, bisect),
    SAVE_OPTS(optimize_args, save),
    { NULL },
};

static void defaults(void *args)
{
    ((optimize_args *)args)->level = 2;
}

static int parse_target(const char *name, pln_target *out)
{
    static const char *const names[] = { "onnx", "ort", "planish", NULL };
    *out = PLN_TARGET_ONNX;
    for (int i = 0; name && names[i]; i++)
        if (!strcmp(name, names[i])) {
            *out = (pln_target)i;
            return 0;
        }
    return name ? fail(2, "unknown target '%s'; it is onnx, ort or planish", name) : 0;
}

static int list_passes(const common_args *common)
{
    char *json = NULL;
    pln_error *err = pln_error_new();
    int rc = pln_passes_list(&json, err) == PLN_OK ? 0 : fail_status(err, NULL);
    json_t *list = json ? json_loads(json, 0, NULL) : NULL, *p;
    size_t i;
    json_array_foreach(list, i, p)
        fprintf(report_out(common), "%-18s %-8s %s\n",
                json_string_value(json_object_get(p, "name")),
                json_string_value(json_object_get(p, "contract")),
                json_string_value(json_object_get(p, "brief")));
    pln_free(NULL, json);
    pln_error_free(err);
    json_t *root = json_object();
    json_object_set_new(root, "passes", list);
    return rc ? rc : report_json(common, root);
}

static int fill_options(const optimize_args *a, seeing *s, pln_optimize_options *o)
{
    *o = (pln_optimize_options)PLN_OPTIMIZE_OPTIONS_INIT;
    if (a->level < 0 || a->level > 3)
        return fail(2, "the level is 0 to 3, not %lld", (long long)a->level);
    o->level = (int)a->level;
    o->allow_approx = a->approx;
    o->passes = a->passes;
    o->disable = a->disable;
    o->debug = a->debug;
    o->fold_growth = a->fold_growth > 0 ? (uint64_t)a->fold_growth : 0;
    o->no_stamp = a->no_stamp;
    const int rc = seeing_fill(s, &a->seeing, o);
    return rc ? rc : parse_target(a->target, &o->target);
}

static int rewrite(const optimize_args *a, const pln_optimize_options *o,
                   pln_model *model, const char *path, seeing *s, json_t **report)
{
    char *json = NULL;
    pln_error *err = pln_error_new();
    int rc = model_set_dims(model, &a->verify.feed.dims);
    if (!rc)
        rc = seeing_start(s, model);
    if (!rc && pln_model_optimize(model, o, &json, err) != PLN_OK)
        rc = fail_status(err, path);
    if (!rc)
        *report = json_loads(json, 0, NULL);
    pln_free(NULL, json);
    pln_error_free(err);
    return rc;
}

/* How far outputs may move, by what the rules may do. */
static verify_args verify_how(const optimize_args *a)
{
    verify_args v = a->verify;
    v.limit = a->approx ? 1e-2 : a->level <= 1 && !a->passes ? 1e-5 : 1e-4;
    v.sqnr_db = 20;
    if (v.feed.archives.n)
        v.n = 1;
    return v;
}

static int bisect(const optimize_args *a, pln_env *env, const pln_model *original,
                  const pln_optimize_options *o, json_t *report)
{
    json_t *found = NULL;
    const verify_args v = verify_how(a);
    const int rc =
        bisect_models(env, original, o, &v, &a->bisect, report_out(&a->common), &found);
    if (found)
        json_object_set_new(report, "bisect", found);
    if (rc == 1)
        report_json(&a->common, json_incref(report));
    return rc;
}

static int verify(const optimize_args *a, pln_env *env, const pln_model *original,
                  const pln_model *model, json_t *report)
{
    const verify_args v = verify_how(a);
    json_t *found = NULL;
    const int rc =
        verify_models(env, original, model, &v, report_out(&a->common), &found);
    if (found)
        json_object_set_new(report, "verified", found);
    if (rc == 1)
        report_json(&a->common, json_incref(report));
    return rc;
}

static int finish(const optimize_args *a, char **files, const pln_model *model,
                  json_t *report)
{
    json_t *before = json_object_get(report, "before"), *after = json_object_get(report, "after");
    const int rc = model_save(model, files[1], &a->save);
    if (rc)
        return rc;
    before_after_size(after, files[1]);
    if (strcmp(files[1], "-"))
        seeing_print(&a->seeing, report, a->common.verbose, report_out(&a->common));
    if (strcmp(files[1], "-"))
        before_after_print(report_out(&a->common), before, after, a->common.verbose);
    return report_json(&a->common, json_incref(report));
}

static int run(void *args, int n_files, char **files)
{
    const optimize_args *a = args;
    seeing s = { .n = 0 };
    if (a->list)
        return list_passes(&a->common);
    if (a->help_debug) {
        fputs(pln_debug_help(), stdout);
        return 0;
    }
    if (n_files != 2)
        return fail(2, "usage: planish optimize IN OUT [options]");
    pln_model *model = NULL, *original = NULL;
    json_t *report = NULL;
    pln_optimize_options o;
    int rc = fill_options(a, &s, &o);
    if (rc) {
        seeing_free(&s);
        return rc;
    }
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    const bool verified = a->verify.n > 0 || (a->verify.feed.archives.n && !a->bisect.on);
    if (!rc && (verified || a->bisect.on))
        rc = model_copy(model, &original);
    if (!rc)
        rc = rewrite(a, &o, model, files[0], &s, &report);
    if (!rc)
        rc = s.rc;
    if (!rc && a->bisect.on)
        rc = bisect(a, env, original, &o, report);
    if (!rc)
        before_after_size(json_object_get(report, "before"), files[0]);
    if (!rc && verified)
        rc = verify(a, env, original, model, report);
    if (!rc)
        rc = finish(a, files, model, report);
    json_decref(report);
    seeing_free(&s);
    pln_model_free(original);
    pln_model_free(model);
    pln_env_free(env);
    return rc;
}

const verb verb_optimize = {
    .name = "optimize",
    .synopsis = "IN OUT [-O0..3] [--target onnx|ort|planish] [options]",
    .brief = "rewrite a model",
    .details = "levels: -O1 exact rules, -O2 also rounding elsewhere, -O3 also the "
               "target's "
               "fused operators\n",
    .opts = optimize_opts,
    .args_size = sizeof(optimize_args),
    .defaults = defaults,
    .min_files = 0,
    .max_files = 2,
    .run = run,
};
