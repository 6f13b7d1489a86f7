/* planish convert: other operator sets and types, parts of a model, names and sizes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tools/common/before_after.h"
#include "tools/common/cut_names.h"
#include "tools/common/report.h"
#include "tools/common/save.h"
#include "tools/common/verify.h"
#include "tools/common/wide.h"

#define NO_OPSET INT64_MIN

typedef struct convert_args {
    common_args common;
    verify_args verify;
    save_args save;
    int64_t opset;
    const char *extract, *dtype, *block;
    bool keep_io;
    str_list renames, dims;
} convert_args;

static const opt convert_opts[] = {
    { "extract", 0, OPT_STR, offsetof(convert_args, extract), "IN,...:OUT,...",
      "keep what computes these values from those; either side may be empty" },
    { "dim", 0, OPT_LIST, offsetof(convert_args, dims), "NAME=N",
      "give a symbolic dimension a size (repeatable)" },
    { "opset", 0, OPT_INT, offsetof(convert_args, opset), "N",
      "bring the model to this version of ai.onnx" },
    { "dtype", 0, OPT_STR, offsetof(convert_args, dtype), "f32|f16|bf16",
      "weights and computations in this float type" },
    { "keep-io", 0, OPT_FLAG, offsetof(convert_args, keep_io), NULL,
      "inputs and outputs keep their types under --dtype" },
    { "block", 0, OPT_STR, offsetof(convert_args, block), "OP|NODE,...",
      "operators and nodes that --dtype leaves as they are; 'none': not what it leaves by "
      "itself" },
    { "rename", 0, OPT_LIST, offsetof(convert_args, renames), "OLD=NEW",
      "a value, else a node, else a dimension (repeatable); value:, node: or dim: before "
      "OLD "
      "says which" },
    VERIFY_OPTS(convert_args, verify),
    SAVE_OPTS(convert_args, save),
    { NULL },
};

/* ---- what may be done, in the order in which it is done --------------------------- */

static int extract(const convert_args *a, pln_model *model)
{
    cut_names cut = { 0 };
    pln_error *err = pln_error_new();
    int rc = cut_names_split(model, a->extract, &cut);
    if (!rc &&
        pln_model_extract(model, cut.from, cut.n_from, cut.to, cut.n_to, err) != PLN_OK)
        rc = fail_status(err, "--extract");
    cut_names_free(&cut);
    pln_error_free(err);
    return rc;
}

static int tell_blockers(const convert_args *a, const pln_error *err, const char *json,
                         const char *path)
{
    json_t *list = json ? json_loads(json, 0, NULL) : NULL, *b;
    FILE *out = report_out(&a->common);
    size_t i;
    json_array_foreach(list, i, b)
        fprintf(out, "  %s (%s): %s\n", json_string_value(json_object_get(b, "node")),
                json_string_value(json_object_get(b, "op")),
                json_string_value(json_object_get(b, "why")));
    json_t *root = json_object();
    json_object_set_new(root, "blockers", list ? list : json_array());
    const int rc = report_json(&a->common, root);
    return rc ? rc : fail_status(err, path);
}

static int convert_opset(const convert_args *a, pln_model *model, const char *path)
{
    char *blockers = NULL;
    pln_error *err = pln_error_new();
    int rc = 0;
    if (pln_model_convert_opset(model, a->opset, &blockers, err) != PLN_OK)
        rc = blockers ? tell_blockers(a, err, blockers, path) : fail_status(err, path);
    pln_free(NULL, blockers);
    pln_error_free(err);
    return rc;
}

static int parse_dtype(const char *name, pln_dtype *out)
{
    static const struct {
        const char *name;
        pln_dtype dt;
    } names[] = { { "f32", PLN_DT_F32 }, { "f16", PLN_DT_F16 }, { "bf16", PLN_DT_BF16 } };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(name, names[i].name)) {
            *out = names[i].dt;
            return 0;
        }
    return fail(2, "unknown type '%s'; it is f32, f16 or bf16", name);
}

static void tell_numbers(FILE *out, const json_t *o, const char *key, const char *what)
{
    const json_t *list = json_object_get(o, key), *v;
    size_t i;
    json_array_foreach(list, i, v)
        fprintf(out, "  %s: %lld %s\n", json_string_value(json_object_get(v, "name")),
                (long long)json_integer_value(json_object_get(v, "elements")), what);
}

/* How many are kept for each reason, the most first. */
static void tell_reasons(FILE *out, const json_t *kept)
{
    json_t *reasons = json_object(), *v;
    size_t i;
    json_array_foreach(kept, i, v)
    {
        const char *why = json_string_value(json_object_get(v, "why"));
        const json_int_t n = json_integer_value(json_object_get(reasons, why));
        json_object_set_new(reasons, why, json_integer(n + 1));
    }
    while (json_object_size(reasons)) {
        const char *why, *most = NULL;
        json_object_foreach(reasons, why, v) if (
            !most ||
            json_integer_value(v) > json_integer_value(json_object_get(reasons, most)))
            most = why;
        fprintf(out, "  %6lld kept: %s\n",
                (long long)json_integer_value(json_object_get(reasons, most)), most);
        json_object_del(reasons, most);
    }
    json_decref(reasons);
}

static void tell_dtype(const convert_args *a, const json_t *o)
{
    FILE *out = report_out(&a->common);
    const json_t *kept = json_object_get(o, "kept"), *v;
    size_t i;
    fprintf(out, "%lld nodes and %lld weights are %s now, %lld casts, %zu nodes kept\n",
            (long long)json_integer_value(json_object_get(o, "converted")),
            (long long)json_integer_value(json_object_get(o, "constants")),
            json_string_value(json_object_get(o, "type")),
            (long long)json_integer_value(json_object_get(o, "casts")),
            json_array_size(kept));
    tell_reasons(out, kept);
    json_array_foreach(kept, i, v) if (a->common.verbose)
        fprintf(out, "  %s (%s): %s\n", json_string_value(json_object_get(v, "node")),
                json_string_value(json_object_get(v, "op")),
                json_string_value(json_object_get(v, "why")));
    tell_numbers(out, o, "clamped", "elements are out of range, and clamped");
    tell_numbers(out, o, "underflow", "elements are too small for the type");
}

#define F16_LIMIT 32752 /* half of what it can hold: other inputs give other numbers */

static int convert_dtype(const convert_args *a, pln_env *env, pln_model *model,
                         const char *path, json_t *report)
{
    pln_dtype_options o = PLN_DTYPE_OPTIONS_INIT;
    char *json = NULL;
    str_list wide = { 0 };
    o.keep_io = a->keep_io;
    o.block = a->block;
    int rc = parse_dtype(a->dtype, &o.to);
    if (!rc && o.to == PLN_DT_F16)
        rc = wide_find(env, model, &a->verify.feed.archives, F16_LIMIT, &wide);
    if (rc)
        return rc;
    o.wide = wide.v;
    o.n_wide = wide.n;
    pln_error *err = pln_error_new();
    if (pln_model_convert_dtype(model, &o, &json, err) != PLN_OK)
        rc = fail_status(err, path);
    pln_error_free(err);
    wide_free(&wide);
    json_t *facts = json ? json_loads(json, 0, NULL) : NULL;
    pln_free(NULL, json);
    if (facts) {
        tell_dtype(a, facts);
        json_object_set_new(report, "dtype", facts);
    }
    return rc;
}

static int rename_one(pln_model *model, const char *arg)
{
    static const struct {
        const char *prefix;
        pln_renamed what;
    } kinds[] = { { "value:", PLN_RENAME_VALUE },
                  { "node:", PLN_RENAME_NODE },
                  { "dim:", PLN_RENAME_DIM } };
    char name[1024];
    const char *to, *from = name;
    pln_renamed what = PLN_RENAME_ANY;
    if (!feeds_split(arg, name, sizeof name, &to))
        return fail(2, "--rename needs OLD=NEW, not '%s'", arg);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix))) {
            from += strlen(kinds[i].prefix);
            what = kinds[i].what;
        }
    pln_error *err = pln_error_new();
    int rc = pln_model_rename(model, what, from, to, err) == PLN_OK;
    /* A name of the model may itself begin like that. */
    if (!rc && from != name && pln_error_code(err) == PLN_E_USAGE)
        rc = pln_model_rename(model, PLN_RENAME_ANY, name, to, NULL) == PLN_OK;
    rc = rc ? 0 : fail_status(err, "--rename");
    pln_error_free(err);
    return rc;
}

static int rename_all(const convert_args *a, pln_model *model)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < a->renames.n; i++)
        rc = rename_one(model, a->renames.v[i]);
    return rc;
}

/* The parts and sizes are chosen first: what is cut away blocks nothing, and what is left
 * is the original that --verify compares with. */
static int choose(const convert_args *a, pln_model *model)
{
    int rc = a->extract ? extract(a, model) : 0;
    return rc ? rc : model_set_dims(model, &a->dims);
}

static int change(const convert_args *a, pln_env *env, pln_model *model, const char *path,
                  json_t *report)
{
    const int rc = a->opset != NO_OPSET ? convert_opset(a, model, path) : 0;
    return rc || !a->dtype ? rc : convert_dtype(a, env, model, path, report);
}

/* ---- the verb -------------------------------------------------------------------- */

static int facts(const pln_model *model, const char *path, json_t **out)
{
    char *json = NULL;
    pln_error *err = pln_error_new();
    int rc = pln_model_info(model, &json, err) == PLN_OK ? 0 : fail_status(err, path);
    if (!rc)
        *out = json_loads(json, 0, NULL);
    pln_free(NULL, json);
    pln_error_free(err);
    return rc;
}

static int verify(const convert_args *a, pln_env *env, const pln_model *original,
                  const pln_model *model, json_t *report)
{
    verify_args v = a->verify;
    json_t *found = NULL;
    v.limit = !a->dtype ? 1e-4 : !strcmp(a->dtype, "bf16") ? 0x1p-5 : 0x1p-8;
    v.sqnr_db = 20;
    v.other_types = a->dtype && !a->keep_io;
    const int rc =
        verify_models(env, original, model, &v, report_out(&a->common), &found);
    if (found)
        json_object_set_new(report, "verified", found);
    if (rc == 1)
        report_json(&a->common, json_incref(report));
    return rc;
}

static int convert(const convert_args *a, pln_env *env, pln_model *model,
                   const char *path, json_t *report)
{
    pln_model *original = NULL;
    int rc = choose(a, model);
    if (!rc && a->verify.n > 0)
        rc = model_copy(model, &original);
    if (!rc)
        rc = change(a, env, model, path, report);
    if (!rc && original)
        rc = verify(a, env, original, model, report);
    if (!rc)
        rc = rename_all(a, model);
    pln_model_free(original);
    return rc;
}

static int finish(const convert_args *a, char **files, const pln_model *model,
                  json_t *before, json_t *report)
{
    json_t *after = NULL;
    int rc = facts(model, files[0], &after);
    before_after_size(before, files[0]);
    if (!rc)
        rc = model_save(model, files[1], &a->save);
    if (rc) {
        json_decref(after);
        return rc;
    }
    before_after_size(after, files[1]);
    if (strcmp(files[1], "-"))
        before_after_print(report_out(&a->common), before, after, a->common.verbose);
    json_object_set(report, "before", before);
    json_object_set_new(report, "after", after);
    return report_json(&a->common, json_incref(report));
}

static void defaults(void *args)
{
    ((convert_args *)args)->opset = NO_OPSET;
}

static int run(void *args, int n_files, char **files)
{
    const convert_args *a = args;
    if (!a->dtype && (a->keep_io || a->block))
        return fail(2, "%s needs --dtype", a->keep_io ? "--keep-io" : "--block");
    pln_model *model = NULL;
    json_t *before = NULL, *report = json_object();
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    if (!rc)
        rc = facts(model, files[0], &before);
    if (!rc)
        rc = convert(a, env, model, files[0], report);
    if (!rc)
        rc = finish(a, files, model, before, report);
    json_decref(before);
    json_decref(report);
    pln_model_free(model);
    pln_env_free(env);
    return rc;
}

const verb verb_convert = {
    .name = "convert",
    .synopsis = "IN OUT [--opset N] [--dtype f16] [--extract IN,...:OUT,...] [--rename "
                "OLD=NEW] [options]",
    .brief =
        "another operator set or float type, a part of a model, other names and sizes",
    .details =
        "They are done in the order: extract, dim, opset, dtype, rename. --verify "
        "compares before\n"
        "and after opset and dtype.\n"
        "--dtype f16 with --inputs runs the model first: nodes with values beyond half of\n"
        "the type's range compute as before. So do what counts (Range, CumSum), what\n"
        "computes sizes, what makes integers and what leads there element by element\n"
        "(roundings farther back may still move a size: --verify), readers of constants\n"
        "that are out of range (larger ones than 1e9 stand for infinity, and are clamped),\n"
        "and what the standard does not have in the type; -v lists each with its reason.\n"
        "When nodes stand in the way of --opset, all of them are listed, nothing is\n"
        "written, and the exit code is 4.\n\n"
        "  planish convert m.onnx m13.onnx --opset 13 --verify 3\n"
        "  planish convert m.onnx half.onnx --dtype f16 --keep-io --block Softmax\n"
        "  planish convert m.onnx head.onnx --extract hidden:logits\n",
    .opts = convert_opts,
    .args_size = sizeof(convert_args),
    .defaults = defaults,
    .min_files = 2,
    .max_files = 2,
    .run = run,
};
