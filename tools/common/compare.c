/* Two models side by side on the same inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/compare.h"

#include "tools/common/report.h"

void compare_header(FILE *out)
{
    fprintf(out, "%-32s %10s %10s %10s %9s %6s\n", "output", "max abs", "max rel", "cosine",
            "SQNR dB", "top-1");
}

void compare_line(FILE *out, const char *name, const metrics *m)
{
    fprintf(out, "%-32s %10.3g %10.3g %10.7f %9.2f %6.3f%s\n", name, m->max_abs, m->max_rel,
            m->cosine, m->sqnr_db, m->top1, m->within ? "" : "  DIFFERS");
}

int compare_runs(const pln_session *a, pln_run *ra, pln_run *rb, const tolerance *tol,
                 FILE *out, json_t *rows, bool *same)
{
    for (size_t i = 0; i < pln_session_count(a, PLN_OUTPUT); i++) {
        pln_io_info io;
        pln_session_io(a, PLN_OUTPUT, i, &io);
        const pln_tensor *x = pln_run_output(ra, io.name), *y = pln_run_output(rb, io.name);
        if (!x || !y)
            return fail(3, "output '%s' is missing in one of the models", io.name);
        const metrics m = metrics_of(y, x, tol);
        compare_line(out, io.name, &m);
        *same &= m.within;
        if (rows) {
            json_t *row = metrics_json(&m);
            json_object_set_new(row, "name", json_string(io.name));
            json_array_append_new(rows, row);
        }
    }
    return 0;
}

int compare_random(pln_env *env, const pln_model *a, const pln_model *b,
                   const feed_args *feed, int64_t n, const tolerance *tol, FILE *out,
                   bool *same)
{
    const session_args plain = { .no_optimize = true };
    pln_session *sa = NULL, *sb = NULL;
    int rc = session_open(a, "the original", &plain, false, &sa);
    if (!rc)
        rc = session_open(b, "the rewritten model", &plain, false, &sb);
    for (int64_t k = 0; !rc && k < n; k++) {
        feeds in = { 0 };
        pln_run *ra = NULL, *rb = NULL;
        rc = feeds_random(env, a, feed, (uint64_t)(feed->seed + k), &in);
        if (!rc)
            rc = session_run(sa, "the original", &in, &ra);
        if (!rc)
            rc = session_run(sb, "the rewritten model", &in, &rb);
        if (!rc)
            rc = compare_runs(sa, ra, rb, tol, out, NULL, same);
        pln_run_free(ra);
        pln_run_free(rb);
        feeds_free(&in);
    }
    pln_session_free(sa);
    pln_session_free(sb);
    return rc;
}
