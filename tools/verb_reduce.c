/* planish reduce: the smallest model for which a command still fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
    double timeout;
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
    SAVE_OPTS(reduce_args, save),
    { NULL },
};

static void defaults(void *args)
{
    ((reduce_args *)args)->timeout = 60;
}

/* ---- one candidate --------------------------------------------------------------- */

typedef struct checker {
    const reduce_args *args;
    char folder[4096], model[4200], log[4200];
    size_t n;
    int want; /* the status with which the command failed at first */
    bool broken;
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
    const bool has = strstr(data, text) != NULL;
    free(data);
    return has;
}

static bool is_failure(const checker *c, int status)
{
    if (c->args->timeout_fails)
        return status == TRY_TIMEOUT;
    return status > 0 && (!c->args->match || log_has(c, c->args->match));
}

static int check(void *user, const pln_model *candidate)
{
    checker *c = user;
    pln_error *err = pln_error_new();
    const bool written = pln_model_save(candidate, c->model, NULL, err) == PLN_OK;
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

static void remove_folder(const checker *c)
{
    char data[4300];
    snprintf(data, sizeof data, "%s.data", c->model);
    unlink(data);
    unlink(c->model);
    unlink(c->log);
    rmdir(c->folder);
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

static int reduce(const reduce_args *a, pln_model *model, const char *path,
                  json_t **report)
{
    checker c = { .args = a };
    pln_reduce_options o = PLN_REDUCE_OPTIONS_INIT;
    char *json = NULL;
    int rc = make_folder(&c);
    if (rc)
        return rc;
    pln_error *err = pln_error_new();
    o.check = check;
    o.user = &c;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    progress_begin(&c.bar, &a->common, "candidates");
    const pln_status st = pln_model_reduce(model, &o, &json, err);
    progress_end(&c.bar);
    if (c.broken)
        rc = fail(3, "candidates can't be written or the command can't be run (%s)",
                  c.folder);
    else if (st == PLN_E_USAGE && c.n == 1)
        rc = fail(2, "the command does not fail for the model as it is: %s (%s)",
                  c.want == TRY_TIMEOUT ? "it took too long"
                  : c.want == 0         ? "it exits with 0"
                                        : "what it writes does not match",
                  path);
    else if (st != PLN_OK)
        rc = fail_status(err, path);
    remove_folder(&c);
    *report = json ? json_loads(json, 0, NULL) : NULL;
    pln_free(NULL, json);
    pln_error_free(err);
    return rc;
}

static int finish(const reduce_args *a, char **files, const pln_model *model,
                  json_t *before, json_t *report)
{
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
                interrupted ? "; interrupted" : "");
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
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    if (!rc) {
        before = facts(model);
        rc = reduce(a, model, files[0], &report);
    }
    if (!rc)
        rc = finish(a, files, model, before, report);
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
        "the same as for the first. Every candidate is as valid as the model. When\n"
        "interrupted, the smallest one so far is written.\n\n"
        "  planish reduce m.onnx small.onnx --check 'planish compare -q m.onnx {}'\n"
        "  planish reduce m.onnx small.onnx --check './mytool {}' --match Assertion\n",
    .opts = reduce_opts,
    .args_size = sizeof(reduce_args),
    .defaults = defaults,
    .min_files = 2,
    .max_files = 2,
    .run = run,
};
