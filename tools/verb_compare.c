/* planish compare: how far two models, or two archives of arrays, are apart.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "tools/common/compare.h"
#include "tools/common/report.h"

typedef struct compare_args {
    common_args common;
    feed_args feed;
    session_args session;
    double rtol, atol, sqnr;
    bool layers;
} compare_args;

static const opt compare_opts[] = {
    { "rtol", 0, OPT_FLOAT, offsetof(compare_args, rtol), "X",
      "relative tolerance (1e-3)" },
    { "atol", 0, OPT_FLOAT, offsetof(compare_args, atol), "X",
      "absolute tolerance (1e-7 x max(1, max|b|))" },
    { "sqnr", 0, OPT_FLOAT, offsetof(compare_args, sqnr), "DB",
      "least signal-to-noise ratio in place of the tolerances" },
    { "layers", 0, OPT_FLAG, offsetof(compare_args, layers), NULL,
      "compare every value that both models have by name" },
    FEED_OPTS(compare_args, feed),
    SESSION_OPTS(compare_args, session),
    { NULL },
};

static void defaults(void *args)
{
    compare_args *a = args;
    a->rtol = 1e-3;
    a->atol = -1;
}

static tolerance tolerance_of(const compare_args *a)
{
    return (tolerance){ .rtol = a->rtol, .atol = a->atol < 0 ? 1e-7 : a->atol,
                        .atol_scaled = a->atol < 0, .sqnr_db = a->sqnr };
}

static bool is_archive(const char *path)
{
    const size_t n = strlen(path);
    return n > 4 && (!strcmp(path + n - 4, ".npz") || !strcmp(path + n - 4, ".npy"));
}

/* ---- archives -------------------------------------------------------------------- */

/* "out:x" and "x" are the same array. */
static const char *bare(const char *key)
{
    return !strncmp(key, "out:", 4) ? key + 4 : key;
}

static const npz_item *find_bare(const npz *z, const char *key)
{
    for (size_t i = 0; i < z->n; i++)
        if (strncmp(z->items[i].key, "in:", 3) && !strcmp(bare(z->items[i].key), bare(key)))
            return &z->items[i];
    return NULL;
}

static int compare_arrays(pln_env *env, const npz_item *x, const npz_item *y,
                          const tolerance *tol, FILE *out, json_t *rows, bool *same)
{
    pln_tensor *a = NULL, *b = NULL;
    const char *why;
    int rc = 0;
    if (!npy_to_tensor(env, &x->array, PLN_DT_NONE, &a, &why) ||
        !npy_to_tensor(env, &y->array, PLN_DT_NONE, &b, &why))
        rc = fail(3, "array '%s': %s", x->key, why);
    if (!rc) {
        const metrics m = metrics_of(b, a, tol);
        json_t *row = metrics_json(&m);
        compare_line(out, bare(x->key), &m, b, a);
        json_object_set_new(row, "name", json_string(bare(x->key)));
        json_array_append_new(rows, row);
        *same &= m.within;
    }
    pln_tensor_unref(a);
    pln_tensor_unref(b);
    return rc;
}

static int compare_archives(const compare_args *a, pln_env *env, char **files, FILE *out,
                            json_t *rows, bool *same)
{
    const tolerance tol = tolerance_of(a);
    npz x = { 0 }, y = { 0 };
    size_t common = 0;
    int rc = npz_read(files[0], &x);
    if (!rc)
        rc = npz_read(files[1], &y);
    for (size_t i = 0; !rc && i < x.n; i++) {
        if (!strncmp(x.items[i].key, "in:", 3))
            continue;
        const npz_item *other = find_bare(&y, x.items[i].key);
        if (!other)
            continue;
        common++;
        rc = compare_arrays(env, &x.items[i], other, &tol, out, rows, same);
    }
    npz_free(&x);
    npz_free(&y);
    return rc       ? rc
           : common ? 0
                    : fail(3, "the archives have no array in common (%s)", files[1]);
}

/* ---- models ---------------------------------------------------------------------- */

static int compare_layers(const compare_args *a, const pln_model *model, pln_run *ra,
                          pln_run *rb, FILE *out, json_t *rows)
{
    char *json = NULL;
    const tolerance tol = tolerance_of(a);
    if (pln_model_values(model, &json, NULL) != PLN_OK)
        return fail(6, "out of memory");
    json_t *names = json_loads(json, 0, NULL), *name;
    size_t i;
    pln_free(NULL, json);
    json_array_foreach(names, i, name) {
        const char *s = json_string_value(name);
        const pln_tensor *x = pln_run_value(ra, s), *y = pln_run_value(rb, s);
        if (!x || !y)
            continue;
        const metrics m = metrics_of(y, x, &tol);
        json_t *row = metrics_json(&m);
        compare_line(out, s, &m, y, x);
        json_object_set_new(row, "name", json_string(s));
        json_object_set_new(row, "layer", json_true());
        json_array_append_new(rows, row);
    }
    json_decref(names);
    return 0;
}

static int compare_models(const compare_args *a, pln_env *env, char **files, FILE *out,
                          json_t *rows, bool *same)
{
    const tolerance tol = tolerance_of(a);
    pln_model *ma = NULL, *mb = NULL;
    pln_session *sa = NULL, *sb = NULL;
    pln_run *ra = NULL, *rb = NULL;
    feeds in = { 0 };
    int rc = model_open(env, files[0], &ma);
    if (!rc)
        rc = model_open(env, files[1], &mb);
    if (!rc)
        rc = feeds_make(env, ma, &a->feed, &in);
    if (!rc)
        rc = session_open(ma, files[0], &a->session, a->layers, &sa);
    if (!rc)
        rc = session_open(mb, files[1], &a->session, a->layers, &sb);
    if (!rc)
        rc = session_run(sa, files[0], &in, &ra);
    if (!rc)
        rc = session_run(sb, files[1], &in, &rb);
    if (!rc && a->layers)
        rc = compare_layers(a, ma, ra, rb, out, rows);
    if (!rc)
        rc = compare_runs(sa, ra, rb, &tol, out, rows, same);
    pln_run_free(ra);
    pln_run_free(rb);
    pln_session_free(sa);
    pln_session_free(sb);
    feeds_free(&in);
    pln_model_free(ma);
    pln_model_free(mb);
    return rc;
}

static int run(void *args, int n_files, char **files)
{
    const compare_args *a = args;
    FILE *out = report_out(&a->common);
    json_t *rows = json_array(), *root = json_object();
    bool same = true;
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        compare_header(out);
    if (!rc && is_archive(files[0]) != is_archive(files[1]))
        rc = fail(2, "compare takes two models or two archives");
    else if (!rc && is_archive(files[0]))
        rc = compare_archives(a, env, files, out, rows, &same);
    else if (!rc)
        rc = compare_models(a, env, files, out, rows, &same);
    json_object_set_new(root, "outputs", rows);
    json_object_set_new(root, "same", json_boolean(same));
    if (rc)
        json_decref(root);
    else
        rc = report_json(&a->common, root);
    pln_env_free(env);
    return rc ? rc : same ? 0 : 1;
}

const verb verb_compare = {
    .name = "compare",
    .synopsis = "A B [--inputs F.npz] [options]",
    .brief = "run two models on the same inputs, or read two archives, and compare",
    .details = "A is the reference. Exit code 1: outside the tolerance.\n",
    .opts = compare_opts,
    .args_size = sizeof(compare_args),
    .defaults = defaults,
    .min_files = 2,
    .max_files = 2,
    .threads = true,
    .run = run,
};
