/* What a rewrite changed, as a table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/before_after.h"

#include <string.h>
#include <sys/stat.h>

#include "tools/common/runner.h"

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void line(FILE *out, const char *what, const char *a, const char *b, double va,
                 double vb)
{
    fprintf(out, "  %-34s %10s %10s", what, a, b);
    if (va > 0 && va != vb && (vb < va * 0.9995 || vb > va * 1.0005))
        fprintf(out, "  %+.1f%%", (vb - va) / va * 100);
    fputc('\n', out);
}

static void line_of_op(FILE *out, const char *op, double a, double b)
{
    fprintf(out, "  %-34s %10.0f %10.0f%s\n", op, a, b,
            a == b  ? ""
            : b < a ? "  -"
                    : "  +");
}

/* Sorted by name: the order of two models' operators has nothing in common. */
static void print_ops(FILE *out, const json_t *before, const json_t *after, bool all)
{
    json_t *names = json_object(), *v;
    const json_t *was = json_object_get(before, "ops"),
                 *now = json_object_get(after, "ops");
    json_object_update(names, (json_t *)(uintptr_t)was);
    json_object_update(names, (json_t *)(uintptr_t)now);
    for (;;) {
        const char *op, *first = NULL;
        json_object_foreach(names, op, v) if (!first || strcmp(op, first) < 0) first = op;
        if (!first)
            break;
        const double a = number(was, first), b = number(now, first);
        if (all || a != b)
            line_of_op(out, first, a, b);
        json_object_del(names, first);
    }
    json_decref(names);
}

static void print_bytes(FILE *out, const char *what, const char *key,
                        const json_t *before, const json_t *after)
{
    char a[40], b[40];
    if (!json_object_get(before, key) || !json_object_get(after, key))
        return;
    line(out, what, bytes_text(number(before, key), a, sizeof a),
         bytes_text(number(after, key), b, sizeof b), number(before, key),
         number(after, key));
}

static const char *scaled(double v, char *buf, size_t size)
{
    static const char *const units[] = { "", " k", " M", " G", " T" };
    int u = 0;
    for (; v >= 1000 && u < 4; u++)
        v /= 1000;
    snprintf(buf, size, u ? "%.2f%s" : "%.0f%s", v, units[u]);
    return buf;
}

static void print_scaled(FILE *out, const char *what, const char *key,
                         const json_t *before, const json_t *after)
{
    char a[40], b[40];
    line(out, what, scaled(number(before, key), a, sizeof a),
         scaled(number(after, key), b, sizeof b), number(before, key),
         number(after, key));
}

void before_after_print(FILE *out, const json_t *before, const json_t *after, bool all)
{
    char a[40], b[40];
    fprintf(out, "  %-34s %10s %10s\n", "", "before", "after");
    print_ops(out, before, after, all);
    snprintf(a, sizeof a, "%.0f", number(before, "nodes"));
    snprintf(b, sizeof b, "%.0f", number(after, "nodes"));
    line(out, "nodes", a, b, number(before, "nodes"), number(after, "nodes"));
    print_scaled(out, "parameters", "parameters", before, after);
    print_bytes(out, "weights", "weight_bytes", before, after);
    print_bytes(out, "file", "file_bytes", before, after);
    print_scaled(out, "FLOPs", "flops", before, after);
    print_bytes(out, "activations at peak (estimated)", "peak_activation_bytes", before,
                after);
}

void before_after_size(json_t *info, const char *path)
{
    struct stat st;
    if (strcmp(path, "-") && stat(path, &st) == 0 && S_ISREG(st.st_mode))
        json_object_set_new(info, "file_bytes", json_integer((json_int_t)st.st_size));
}
