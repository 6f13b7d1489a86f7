/* planish bench: latency and throughput of models.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

typedef struct bench_args {
    common_args common;
    feed_args feed;
    session_args session;
    double seconds;
} bench_args;

static const opt bench_opts[] = {
    FEED_OPTS(bench_args, feed),
    { "seconds", 0, OPT_FLOAT, offsetof(bench_args, seconds), "S",
      "time to measure each model (3)" },
    SESSION_OPTS(bench_args, session),
    { NULL },
};

static void defaults(void *args)
{
    ((bench_args *)args)->seconds = 3;
}

/* One model under measurement. */
typedef struct bench {
    const char *path;
    pln_session *session;
    pln_run *run;
    double load_ms, first_ms;
    double *times; /* ms */
    size_t n, cap;
    double spent; /* seconds in measured runs */
} bench;

static int execute(bench *b, double *ms)
{
    pln_error *err = pln_error_new();
    const double t = now_seconds();
    int rc = 0;
    if (pln_run_execute(b->run, NULL, err) != PLN_OK)
        rc = fail_status(err, b->path);
    *ms = (now_seconds() - t) * 1e3;
    pln_error_free(err);
    return rc;
}

static int prepare(const bench_args *a, pln_env *env, bench *b)
{
    pln_model *model = NULL;
    feeds in = { 0 };
    double t = now_seconds();
    int rc = model_open(env, b->path, &model);
    if (!rc)
        rc = session_open(model, b->path, &a->session, false, &b->session);
    b->load_ms = (now_seconds() - t) * 1e3;
    if (!rc)
        rc = feeds_make(env, model, &a->feed, &in);
    pln_model_free(model);
    pln_error *err = pln_error_new();
    if (!rc && pln_run_new(b->session, &b->run, err) != PLN_OK)
        rc = fail_status(err, b->path);
    if (!rc)
        rc = run_bind(b->run, b->path, &in);
    if (!rc)
        rc = execute(b, &b->first_ms);
    pln_error_free(err);
    feeds_free(&in);
    return rc;
}

static int add_time(bench *b, double ms)
{
    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 1024;
        double *grown = realloc(b->times, b->cap * sizeof *grown);
        if (!grown)
            return fail(6, "out of memory");
        b->times = grown;
    }
    b->times[b->n++] = ms;
    b->spent += ms * 1e-3;
    return 0;
}

/* A burst of at least one run and about a tenth of a second. */
static int burst(bench *b)
{
    double ms, spent = 0;
    int rc = 0;
    while (!rc && spent < 100) {
        rc = execute(b, &ms);
        if (!rc)
            rc = add_time(b, ms);
        spent += ms;
    }
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Nearest-rank percentile of the sorted times. */
static double percentile(const bench *b, double p)
{
    const size_t i = (size_t)ceil(p / 100 * (double)b->n);
    return b->times[i ? i - 1 : 0];
}

static double peak_rss_mb(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

static json_t *bench_json(const bench_args *a, const bench *b)
{
    json_t *o = json_object();
    json_object_set_new(o, "model", json_string(b->path));
    json_object_set_new(o, "load_ms", json_real(b->load_ms));
    json_object_set_new(o, "first_ms", json_real(b->first_ms));
    json_object_set_new(o, "p50_ms", json_real(percentile(b, 50)));
    json_object_set_new(o, "p90_ms", json_real(percentile(b, 90)));
    json_object_set_new(o, "p99_ms", json_real(percentile(b, 99)));
    json_object_set_new(o, "min_ms", json_real(b->times[0]));
    json_object_set_new(o, "n", json_integer((json_int_t)b->n));
    json_object_set_new(o, "throughput_per_s", json_real((double)b->n / b->spent));
    json_object_set_new(o, "rss_mb", json_real(peak_rss_mb()));
    json_object_set_new(o, "threads", json_integer(pln_session_threads(b->session)));
    json_object_set_new(o, "isa", json_string(pln_cpu_name()));
    return o;
}

static int report(const bench_args *a, bench *all, size_t n)
{
    FILE *out = report_out(&a->common);
    json_t *list = json_array(), *root = json_object();
    fprintf(out, "%-32s %9s %9s %9s %9s %9s %7s %8s\n", "model", "load ms", "first ms",
            "p50 ms", "p90 ms", "p99 ms", "runs", "vs first");
    for (size_t i = 0; i < n; i++) {
        bench *b = &all[i];
        qsort(b->times, b->n, sizeof *b->times, by_value);
        fprintf(out, "%-32s %9.2f %9.3f %9.3f %9.3f %9.3f %7zu %7.2fx\n", b->path,
                b->load_ms, b->first_ms, percentile(b, 50), percentile(b, 90),
                percentile(b, 99), b->n, percentile(&all[0], 50) / percentile(b, 50));
        json_array_append_new(list, bench_json(a, b));
    }
    fprintf(out, "peak resident memory %.1f MB, %s\n", peak_rss_mb(), pln_cpu_name());
    if (n == 1) /* one model: its figures stand at the top, too */
        json_object_update(root, json_array_get(list, 0));
    json_object_set_new(root, "models", list);
    return report_json(&a->common, root);
}

static int measure(const bench_args *a, bench *all, size_t n)
{
    progress bar;
    int rc = 0;
    progress_begin(&bar, &a->common, "measuring");
    /* In turns, so that a change of the machine's speed meets all models alike. */
    for (bool more = true; !rc && more;) {
        more = false;
        for (size_t i = 0; !rc && i < n; i++) {
            if (all[i].n && all[i].spent >= a->seconds)
                continue;
            rc = burst(&all[i]);
            more |= all[i].spent < a->seconds;
        }
        progress_step(&bar, (size_t)(all[0].spent * 10), (size_t)(a->seconds * 10));
    }
    progress_end(&bar);
    return rc;
}

static int run(void *args, int n_files, char **files)
{
    const bench_args *a = args;
    bench *all = calloc((size_t)n_files, sizeof *all);
    int rc;
    if (!all)
        return fail(6, "out of memory");
    pln_env *env = report_env(&a->common, &rc);
    for (int i = 0; !rc && i < n_files; i++) {
        all[i].path = files[i];
        rc = prepare(a, env, &all[i]);
    }
    if (!rc)
        rc = measure(a, all, (size_t)n_files);
    if (!rc)
        rc = report(a, all, (size_t)n_files);
    for (int i = 0; i < n_files; i++) {
        pln_run_free(all[i].run);
        pln_session_free(all[i].session);
        free(all[i].times);
    }
    free(all);
    pln_env_free(env);
    return rc;
}

const verb verb_bench = {
    .name = "bench",
    .synopsis = "MODEL... [--inputs F.npz] [--threads N] [--seconds S]",
    .brief = "measure latency and throughput; several models are compared",
    .opts = bench_opts,
    .args_size = sizeof(bench_args),
    .defaults = defaults,
    .min_files = 1,
    .max_files = -1,
    .threads = true,
    .run = run,
};
