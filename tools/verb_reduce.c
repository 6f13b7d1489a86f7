/* planish reduce: the smallest model for which a command still fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/before_after.h"
#include "tools/common/report.h"
#include "tools/common/runner.h"
#include "tools/common/save.h"
#include "tools/common/try_command.h"

typedef struct reduce_args {
    common_args common;
    save_args save;
    const char *check, *match;
    double timeout, max_time;
    int64_t max_checks;
    bool timeout_fails;
} reduce_args;

static const opt reduce_opts[] = {
    { "check", 0, OPT_STR, offsetof(reduce_args, check), "CMD",
      "a shell command that fails for the model; {} or %s is the file, which is appended "
      "where neither is there" },
    { "match", 0, OPT_STR, offsetof(reduce_args, match), "TEXT",
      "what the command writes must hold this, too" },
    { "timeout", 0, OPT_FLOAT, offsetof(reduce_args, timeout), "S",
      "end the command after this many seconds, which is no failure (60)" },
    { "timeout-fails", 0, OPT_FLAG, offsetof(reduce_args, timeout_fails), NULL,
      "it is the failure that is sought" },
    { "max-time", 0, OPT_FLOAT, offsetof(reduce_args, max_time), "S",
      "stop after this many seconds with the smallest model so far" },
    { "max-checks", 0, OPT_COUNT, offsetof(reduce_args, max_checks), "N",
      "stop after the command has run N times" },
    SAVE_OPTS(reduce_args, save),
    { NULL },
};

static void defaults(void *args)
{
    ((reduce_args *)args)->timeout = 60;
}

/* ---- one candidate --------------------------------------------------------------- */

#define NOT_FOUND 127 /* the shell's status */
#define WEIGHTS "weights.data"
#define WHOLE   "whole.onnx"
#define STAGED  (1 << 20) /* bytes of weights from which on they are written once */

typedef struct checker {
    const reduce_args *args;
    char folder[4096], model[4200], log[4200];
    size_t n;
    int want; /* the status with which the command failed at first */
    bool broken;
    bool staged; /* weights lie beside candidates, in one file for all */
    bool limited;
    double start;
    progress bar;
} checker;

static volatile bool interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = true;
}

static bool log_has(const checker *c, const char *text)
{
    char *data;
    size_t len;
    if (read_file(c->log, &data, &len))
        return false;
    const bool has = memmem(data, len, text, strlen(text)) != NULL;
    free(data);
    return has;
}

static bool is_failure(const checker *c, int status)
{
    if (c->args->timeout_fails)
        return status == TRY_TIMEOUT;
    return status > 0 && (!c->args->match || log_has(c, c->args->match));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool is_over(checker *c)
{
    c->limited |= (c->args->max_checks > 0 && (int64_t)c->n >= c->args->max_checks) ||
                  (c->args->max_time > 0 && now() - c->start > c->args->max_time);
    return c->limited;
}

static int check(void *user, const pln_model *candidate)
{
    checker *c = user;
    pln_error *err = pln_error_new();
    pln_save_options o = PLN_SAVE_OPTIONS_INIT;
    o.keep_external = c->staged;
    if (c->n > 0 && is_over(c)) {
        pln_error_free(err);
        return -1;
    }
    const bool written = pln_model_save(candidate, c->model, &o, err) == PLN_OK;
    const pln_status st = pln_error_code(err);
    pln_error_free(err);
    c->n++;
    progress_step(&c->bar, c->n, 0);
    if (!written && (c->n == 1 || st == PLN_E_IO)) {
        c->broken = true;
        return -1;
    }
    if (!written)
        return 0; /* not every candidate has a form in the model's operator set */
    const int status =
        try_command(c->args->check, c->model, c->log, c->args->timeout, &interrupted);
    if (status == TRY_BROKEN)
        c->broken |= !interrupted;
    if (status == TRY_BROKEN || interrupted)
        return -1;
    if (c->n == 1)
        c->want = status;
    if (c->n == 1 && status == NOT_FOUND)
        return 0;
    return is_failure(c, status) && status == c->want;
}

static int make_folder(checker *c)
{
    const char *base = getenv("TMPDIR");
    snprintf(c->folder, sizeof c->folder, "%s/planish-reduce.XXXXXX",
             base && *base ? base : "/tmp");
    if (!mkdtemp(c->folder))
        return fail(3, "can't make a folder for candidates (%s)", c->folder);
    snprintf(c->model, sizeof c->model, "%s/model.onnx", c->folder);
    snprintf(c->log, sizeof c->log, "%s/log", c->folder);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    remove(path);
    return 0;
}

/* With all that the command put there. */
static void remove_folder(const checker *c)
{
    nftw(c->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the verb -------------------------------------------------------------------- */

static json_t *facts(const pln_model *model)
{
    char *json = NULL;
    pln_model_info(model, &json, NULL);
    json_t *o = json ? json_loads(json, 0, NULL) : NULL;
    pln_free(NULL, json);
    return o ? o : json_object();
}

/* The model with its weights in one file that all candidates refer to; NULL: it is small,
 * or there is no room. */
static pln_model *stage(const checker *c, pln_env *env, const pln_model *model)
{
    char path[4200];
    pln_save_options o = PLN_SAVE_OPTIONS_INIT;
    pln_model *staged = NULL;
    json_t *known = facts(model);
    const json_t *weights = json_object_get(known, "weight_bytes");
    const bool small = weights && json_integer_value(weights) < STAGED;
    json_decref(known);
    snprintf(path, sizeof path, "%s/" WHOLE, c->folder);
    o.external_data = WEIGHTS;
    if (small || pln_model_save(model, path, &o, NULL) != PLN_OK)
        return NULL;
    return pln_model_load(env, path, NULL, &staged, NULL) == PLN_OK ? staged : NULL;
}

static pln_status search(checker *c, pln_model *model, char **json, pln_error *err)
{
    pln_reduce_options o = PLN_REDUCE_OPTIONS_INIT;
    o.check = check;
    o.user = c;
    c->n = 0;
    c->start = now();
    progress_begin(&c->bar, &c->args->common, "candidates");
    const pln_status st = pln_model_reduce(model, &o, json, err);
    progress_end(&c->bar);
    return st;
}

/* With the weights beside the candidates; a command that does not fail so gets them
 * inside. */
static pln_status search_staged(checker *c, pln_env *env, pln_model **model, char **json,
                                pln_error *err)
{
    pln_model *staged = stage(c, env, *model);
    c->staged = staged != NULL;
    if (staged) {
        const pln_status st = search(c, staged, json, NULL);
        if (st == PLN_OK) {
            pln_model_free(*model);
            *model = staged;
            return st;
        }
        pln_model_free(staged);
        c->staged = false;
        if (interrupted)
            return PLN_E_CANCELLED;
    }
    return search(c, *model, json, err);
}

static int reduce(checker *c, pln_env *env, pln_model **model, const char *path,
                  json_t **report)
{
    char *json = NULL;
    int rc = make_folder(c);
    if (rc)
        return rc;
    pln_error *err = pln_error_new();
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    const pln_status st = search_staged(c, env, model, &json, err);
    if (c->n == 1 && c->want == NOT_FOUND)
        rc = fail(2, "there is no such command: %s", c->args->check);
    else if (c->broken)
        rc = fail(3, "candidates can't be written or the command can't be run (%s)",
                  c->folder);
    else if (st == PLN_E_USAGE && c->n == 1)
        rc = fail(2, "the command does not fail for the model as it is: %s (%s)",
                  c->want == TRY_TIMEOUT ? "it took too long"
                  : c->want == 0         ? "it exits with 0"
                                         : "what it writes does not match",
                  path);
    else if (st != PLN_OK)
        rc = fail_status(err, path);
    *report = json ? json_loads(json, 0, NULL) : NULL;
    pln_free(NULL, json);
    pln_error_free(err);
    return rc;
}

static int finish(const checker *c, char **files, const pln_model *model, json_t *before,
                  json_t *report)
{
    const reduce_args *a = c->args;
    json_t *after = facts(model);
    FILE *out = report_out(&a->common);
    before_after_size(before, files[0]);
    const int rc = model_save(model, files[1], &a->save);
    if (rc) {
        json_decref(after);
        return rc;
    }
    before_after_size(after, files[1]);
    if (strcmp(files[1], "-")) {
        fprintf(out, "%lld candidates, %lld of them smaller and still failing%s\n",
                (long long)json_integer_value(json_object_get(report, "checks")),
                (long long)json_integer_value(json_object_get(report, "smaller")),
                interrupted  ? "; interrupted"
                : c->limited ? "; stopped at the limit"
                : json_is_true(json_object_get(report, "minimal"))
                    ? "; none of them without one more part does"
                    : "");
        before_after_print(out, before, after, a->common.verbose);
    }
    json_object_set(report, "before", before);
    json_object_set_new(report, "after", after);
    return report_json(&a->common, json_incref(report));
}

static int run(void *args, int n_files, char **files)
{
    const reduce_args *a = args;
    pln_model *model = NULL;
    json_t *before = NULL, *report = NULL;
    if (!a->check || !*a->check)
        return fail(2, "reduce needs --check CMD");
    if (a->timeout < 0 || a->max_time < 0)
        return fail(2, "--timeout and --max-time can't be negative");
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    checker c = { .args = a };
    if (!rc) {
        before = facts(model);
        rc = reduce(&c, env, &model, files[0], &report);
    }
    if (!rc)
        rc = finish(&c, files, model, before, report);
    if (*c.folder)
        remove_folder(&c); /* its weights are mapped until the model is written */
    json_decref(before);
    json_decref(report);
    pln_model_free(model);
    pln_env_free(env);
    return rc;
}

const verb verb_reduce = {
    .name = "reduce",
    .synopsis = "MODEL OUT --check CMD [options]",
    .brief = "the smallest model for which a command still fails",
    .details =
        "The command fails when its exit code is not 0; for a smaller model it must be\n"
        "the same as for the first. Every candidate is as valid as the model. Nodes (those\n"
        "of bodies too), weights, sizes, outputs, optional inputs and attributes go until\n"
        "none of them can go by itself. Large weights are written once, as external data\n"
        "beside all candidates. When interrupted or at a limit, the smallest model so far\n"
        "is written.\n\n"
        "  planish reduce m.onnx small.onnx --check 'planish compare -q m.onnx {}'\n"
        "  planish reduce m.onnx small.onnx --check './mytool {}' --match Assertion\n",
    .opts = reduce_opts,
    .args_size = sizeof(reduce_args),
    .defaults = defaults,
    .min_files = 2,
    .max_files = 2,
    .run = run,
};
