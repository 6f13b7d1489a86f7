/* planish test: run ONNX test cases from folders.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common/metrics.h"
#include "tools/common/report.h"
#include "tools/common/runner.h"

typedef struct test_args {
    common_args common;
    session_args session;
    int64_t level; /* of optimize before the run; -1: none */
    double rtol, atol;
} test_args;

static const opt test_opts[] = {
    { "optimize", 'O', OPT_INT, offsetof(test_args, level), "LEVEL",
      "rewrite each model at this level (target planish) before it is run" },
    { "rtol", 0, OPT_FLOAT, offsetof(test_args, rtol), "X",
      "default relative tolerance (1e-3)" },
    { "atol", 0, OPT_FLOAT, offsetof(test_args, atol), "X",
      "default absolute tolerance (1e-7)" },
    SESSION_OPTS(test_args, session),
    { NULL },
};

static void defaults(void *args)
{
    test_args *a = args;
    a->level = -1;
    a->rtol = 1e-3;
    a->atol = 1e-7;
}

typedef enum compare_mode { BY_VALUE, BY_SHAPE, BY_DISTRIBUTION } compare_mode;

typedef struct test_state {
    const test_args *args;
    pln_env *env;
    pln_error *err;
    json_t *cases;
    FILE *out;
    size_t passed, failed, skipped;
} test_state;

/* One case while it runs; why != "" once it has failed. */
typedef struct test_case {
    const char *dir;
    double rtol, atol;
    compare_mode mode;
    pln_model *model;
    pln_session *session;
    char why[600];
} test_case;

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static void read_options(test_state *s, test_case *c)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/data.json", c->dir);
    c->rtol = s->args->rtol;
    c->atol = s->args->atol;
    json_t *o = exists(path) ? json_load_file(path, 0, NULL) : NULL;
    const json_t *v;
    if ((v = json_object_get(o, "rtol")))
        c->rtol = json_number_value(v);
    if ((v = json_object_get(o, "atol")))
        c->atol = json_number_value(v);
    const char *mode = json_string_value(json_object_get(o, "compare"));
    if (mode && !strcmp(mode, "shape"))
        c->mode = BY_SHAPE;
    if (mode && !strcmp(mode, "distribution"))
        c->mode = BY_DISTRIBUTION;
    json_decref(o);
}

static pln_tensor *read_value(test_state *s, test_case *c, const char *path,
                              pln_kind kind)
{
    char *data = NULL;
    size_t len;
    pln_tensor *t = NULL;
    if (read_file(path, &data, &len)) {
        snprintf(c->why, sizeof c->why, "can't read %.400s", path);
        return NULL;
    }
    if (pln_tensor_parse(s->env, kind, data, len, &t, s->err) != PLN_OK)
        snprintf(c->why, sizeof c->why, "%.300s: %.200s", path, pln_error_text(s->err));
    free(data);
    return t;
}

/* Mean and spread of two samples of the same law agree within six standard errors. */
static bool same_distribution(const pln_tensor *a, const pln_tensor *b)
{
    double mean[2], var[2];
    const pln_tensor *t[2] = { a, b };
    const int64_t n = pln_tensor_count(a);
    for (int k = 0; k < 2; k++) {
        double sum = 0, sq = 0;
        for (int64_t i = 0; i < n; i++) {
            const double v = pln_tensor_number(t[k], i);
            if (!isfinite(v))
                return false;
            sum += v;
            sq += v * v;
        }
        mean[k] = n ? sum / (double)n : 0;
        var[k] = n ? fmax(0, sq / (double)n - mean[k] * mean[k]) : 0;
    }
    const double scale = sqrt((var[0] + var[1]) / (double)(n ? n : 1));
    return fabs(mean[0] - mean[1]) <= 6 * scale + 1e-6 * fabs(mean[1]);
}

static void compare_output(test_case *c, const char *name, const pln_tensor *got,
                           const pln_tensor *want)
{
    char text[400];
    const bool bf16 = pln_tensor_kind(want) == PLN_KIND_TENSOR &&
                      pln_tensor_dtype(want) == PLN_DT_BF16;
    const tolerance tol = { .rtol = bf16 ? fmax(c->rtol, 0x1p-6) : c->rtol,
                            .atol = c->atol };
    const metrics m = metrics_of(got, want, &tol);
    const bool random = c->mode != BY_VALUE && m.equal_type;
    if (random && (c->mode == BY_SHAPE || same_distribution(got, want)))
        return;
    if (!m.within)
        snprintf(c->why, sizeof c->why, "output '%.100s': %s", name,
                 metrics_why(&m, got, want, text, sizeof text));
}

/* Files input_K.pb stand for the K-th graph input that has no initializer. */
static bool input_at(const test_case *c, size_t k, pln_io_info *io)
{
    for (size_t i = 0; i < pln_model_count(c->model, PLN_INPUT); i++)
        if (pln_model_io(c->model, PLN_INPUT, i, io) == PLN_OK && !io->has_default &&
            k-- == 0)
            return true;
    return false;
}

static void bind_inputs(test_state *s, test_case *c, const char *set, pln_run *run)
{
    char path[4096];
    pln_io_info io;
    for (size_t k = 0; !*c->why && input_at(c, k, &io); k++) {
        snprintf(path, sizeof path, "%s/input_%zu.pb", set, k);
        if (!exists(path))
            return;
        pln_tensor *t = read_value(s, c, path, io.kind);
        if (t && pln_run_bind_input(run, io.name, t, s->err) != PLN_OK)
            snprintf(c->why, sizeof c->why, "%s", pln_error_text(s->err));
        pln_tensor_unref(t);
    }
}

static void check_outputs(test_state *s, test_case *c, const char *set, pln_run *run)
{
    char path[4096];
    size_t compared = 0;
    for (size_t k = 0; !*c->why && k < pln_session_count(c->session, PLN_OUTPUT); k++) {
        pln_io_info io;
        pln_session_io(c->session, PLN_OUTPUT, k, &io);
        snprintf(path, sizeof path, "%s/output_%zu.pb", set, k);
        const pln_tensor *got = pln_run_output_at(run, k);
        if (!exists(path))
            continue;
        compared++;
        pln_tensor *want = read_value(s, c, path, io.kind);
        if (want && got)
            compare_output(c, io.name, got, want);
        pln_tensor_unref(want);
    }
    if (!*c->why && !compared)
        snprintf(c->why, sizeof c->why, "no output to compare with in %.400s", set);
}

static void run_set(test_state *s, test_case *c, const char *set)
{
    pln_run *run = NULL;
    if (pln_run_new(c->session, &run, s->err) == PLN_OK)
        bind_inputs(s, c, set, run);
    if (!*c->why && (!run || pln_run_execute(run, NULL, s->err) != PLN_OK))
        snprintf(c->why, sizeof c->why, "%s", pln_error_text(s->err));
    if (!*c->why)
        check_outputs(s, c, set, run);
    pln_run_free(run);
}

static bool open_case(test_state *s, test_case *c, const char *path)
{
    pln_session_options so = PLN_SESSION_OPTIONS_INIT;
    so.device = s->args->session.device;
    so.threads = (int)s->args->session.threads;
    so.no_optimize = s->args->session.no_optimize;
    pln_optimize_options oo = PLN_OPTIMIZE_OPTIONS_INIT;
    oo.level = (int)s->args->level;
    oo.target = PLN_TARGET_PLANISH;
    bool ok = pln_model_load(s->env, path, NULL, &c->model, s->err) == PLN_OK;
    if (ok && s->args->level >= 0)
        ok = pln_model_optimize(c->model, &oo, NULL, s->err) == PLN_OK;
    ok = ok && pln_session_new(c->model, &so, &c->session, s->err) == PLN_OK;
    if (!ok)
        snprintf(c->why, sizeof c->why, "%s", pln_error_text(s->err));
    return ok;
}

static void run_case(test_state *s, const char *dir, const char *model_path)
{
    test_case c = { .dir = dir };
    char set[4096];
    size_t sets = 0;
    read_options(s, &c);
    open_case(s, &c, model_path);
    for (;; sets++) {
        snprintf(set, sizeof set, "%s/test_data_set_%zu", dir, sets);
        if (*c.why || !exists(set))
            break;
        run_set(s, &c, set);
    }
    if (!*c.why && sets == 0) {
        s->skipped++;
        fprintf(s->out, "skipped %s: it has no test_data_set_0\n", dir);
    } else if (*c.why) {
        s->failed++;
        fprintf(s->out, "FAILED %s: %s\n", dir, c.why);
    } else {
        s->passed++;
        if (c.mode != BY_VALUE)
            fprintf(s->out, "%s: compared by %s, its numbers are not fixed\n", dir,
                    c.mode == BY_SHAPE ? "shape" : "distribution");
    }
    json_t *o = json_object();
    json_object_set_new(o, "case", json_string(dir));
    json_object_set_new(o, "passed", json_boolean(!*c.why));
    if (*c.why)
        json_object_set_new(o, "why", json_string(c.why));
    json_array_append_new(s->cases, o);
    pln_session_free(c.session);
    pln_model_free(c.model);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted names of the folders in dir; NULL-terminated, to be freed. */
static char **list_folders(const char *dir)
{
    DIR *d = opendir(dir);
    char **names = calloc(1, sizeof *names);
    size_t n = 0;
    for (struct dirent *e; d && names && (e = readdir(d));) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) || !S_ISDIR(st.st_mode))
            continue;
        char **grown = realloc(names, (n + 2) * sizeof *names);
        if (!grown)
            break;
        names = grown;
        names[n++] = strdup(e->d_name);
        names[n] = NULL;
    }
    if (d)
        closedir(d);
    if (names)
        qsort(names, n, sizeof *names, by_name);
    return names;
}

static void walk(test_state *s, const char *dir, int depth)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/model.onnx", dir);
    if (exists(path)) {
        run_case(s, dir, path);
        return;
    }
    char **names = depth < 16 ? list_folders(dir) : NULL;
    for (size_t i = 0; names && names[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        walk(s, path, depth + 1);
        free(names[i]);
    }
    free(names);
}

static int run(void *args, int n_files, char **files)
{
    int rc;
    test_state s = { .args = args, .cases = json_array() };
    s.env = report_env(&s.args->common, &rc);
    if (rc)
        return rc;
    s.err = pln_error_new();
    s.out = report_out(&s.args->common);
    for (int i = 0; !rc && i < n_files; i++) {
        if (exists(files[i]))
            walk(&s, files[i], 0);
        else
            rc = fail(3, "no such folder (%s)", files[i]);
    }
    if (!rc && s.passed + s.failed + s.skipped == 0)
        rc = fail(3, "no test case found (%s)", files[0]);
    if (!rc)
        fprintf(s.out, "%zu passed, %zu failed, %zu skipped\n", s.passed, s.failed,
                s.skipped);
    json_t *root = json_object();
    json_object_set_new(root, "passed", json_integer((json_int_t)s.passed));
    json_object_set_new(root, "failed", json_integer((json_int_t)s.failed));
    json_object_set_new(root, "skipped", json_integer((json_int_t)s.skipped));
    json_object_set_new(root, "cases", s.cases);
    const int json_rc = report_json(&s.args->common, root);
    pln_error_free(s.err);
    pln_env_free(s.env);
    return rc ? rc : json_rc ? json_rc : s.failed ? 1 : 0;
}

const verb verb_test = {
    .name = "test",
    .synopsis = "DIR... [options]",
    .brief = "run ONNX test cases: folders with model.onnx and test_data_set_*",
    .details = "data.json beside a model may hold rtol, atol and \"compare\": "
               "\"shape\"|\"distribution\".\n",
    .opts = test_opts,
    .args_size = sizeof(test_args),
    .defaults = defaults,
    .min_files = 1,
    .max_files = -1,
    .threads = true,
    .run = run,
};
