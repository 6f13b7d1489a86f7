/* What the command says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/report.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/out_file.h"

int fail(int code, const char *fmt, ...)
{
    va_list ap;
    fputs("planish: error: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return code;
}

void warn(const char *fmt, ...)
{
    va_list ap;
    fputs("planish: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int fail_status(const pln_error *err, const char *file)
{
    const int code = pln_status_exit_code(pln_error_code(err));
    const char *text = pln_error_text(err);
    if (!file || strstr(text, file))
        return fail(code, "%s", text);
    return fail(code, "%s (%s)", text, file);
}

FILE *report_out(const common_args *args)
{
    static FILE *nowhere;
    const bool taken = args->json && !strcmp(args->json, "-");
    if (!args->quiet && !taken)
        return stdout;
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    return nowhere ? nowhere : stderr;
}

json_t *json_number_or_null(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

int report_json(const common_args *args, json_t *object_take)
{
    if (!args->json) {
        json_decref(object_take);
        return 0;
    }
    json_object_set_new(object_take, "schema", json_integer(1));
    char *text = json_dumps(object_take, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(object_take);
    char *line = text ? realloc(text, strlen(text) + 2) : NULL;
    if (!line) {
        free(text);
        return fail(6, "out of memory");
    }
    strcat(line, "\n");
    const int rc = write_file(args->json, line, strlen(line));
    free(line);
    return rc;
}

static void log_line(void *user, pln_log_level level, const char *text)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    fprintf(stderr, "planish: %s: %s\n", names[level & 3], text);
}

pln_env *report_env(const common_args *args, int *rc)
{
    pln_env_desc desc = PLN_ENV_DESC_INIT;
    desc.log = log_line;
    desc.log_level = args->quiet     ? PLN_LOG_ERROR
                     : args->verbose ? PLN_LOG_INFO
                                     : PLN_LOG_WARN;
    pln_error *err = pln_error_new();
    pln_env *env = NULL;
    *rc = 0;
    if (pln_env_new(&desc, &env, err) != PLN_OK)
        *rc = fail_status(err, NULL);
    for (size_t i = 0; !*rc && i < args->plugins.n; i++)
        if (pln_env_load_plugin(env, args->plugins.v[i], err) != PLN_OK)
            *rc = fail_status(err, args->plugins.v[i]);
    if (*rc) {
        pln_env_free(env);
        env = NULL;
    }
    pln_error_free(err);
    return env;
}

static int write_all(FILE *f, const char *path, const void *data, size_t len)
{
    const bool ok = fwrite(data, 1, len, f) == len && fflush(f) == 0;
    return ok ? 0 : fail(3, "can't write: %s (%s)", strerror(errno), path);
}

int write_file(const char *path, const void *data, size_t len)
{
    out_file o;
    if (!strcmp(path, "-"))
        return write_all(stdout, "stdout", data, len);
    int rc = out_begin(&o, path);
    if (rc)
        return rc;
    FILE *f = fopen(o.temp, "wb");
    rc = f ? write_all(f, path, data, len)
           : fail(3, "can't write: %s (%s)", strerror(errno), path);
    if (f)
        fclose(f);
    return out_end(&o, rc);
}

int read_file(const char *path, char **data, size_t *len)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t cap = 0, n = 0, got = 1;
    char *buf = NULL;
    *data = NULL;
    *len = 0;
    while (f && got) {
        if (cap - n < 65536) {
            cap = cap ? cap * 2 : 262144;
            char *bigger = realloc(buf, cap + 1);
            if (!bigger) {
                free(buf);
                return fail(6, "out of memory (%s)", path);
            }
            buf = bigger;
        }
        got = fread(buf + n, 1, cap - n, f);
        n += got;
    }
    const bool bad = !f || ferror(f);
    const int why = errno;
    if (f && f != stdin)
        fclose(f);
    if (bad) {
        free(buf);
        return fail(3, "can't read: %s (%s)", strerror(why), path);
    }
    buf[n] = '\0';
    *data = buf;
    *len = n;
    return 0;
}

double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(progress *p, const common_args *args, const char *what)
{
    *p = (progress){ .what = what, .start = now_seconds() };
    p->on = !args->quiet && isatty(STDERR_FILENO);
}

void progress_step(progress *p, size_t done, size_t total)
{
    const double t = now_seconds();
    if (!p->on || t - p->start < 1.0 || t - p->last < 0.1)
        return;
    const int width = 24, filled = total ? (int)(done * (size_t)width / total) : 0;
    if (total)
        fprintf(stderr, "\r%s %zu/%zu [%.*s%*s]", p->what, done, total, filled,
                "========================", width - filled, "");
    else
        fprintf(stderr, "\r%s %zu", p->what, done);
    p->last = t;
    p->shown = true;
}

void progress_end(progress *p)
{
    if (p->shown)
        fprintf(stderr, "\r\033[K");
    p->shown = false;
}
