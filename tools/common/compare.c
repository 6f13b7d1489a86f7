/* Two models side by side on the same inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/compare.h"

#include "tools/common/report.h"

void compare_header(FILE *out)
{
    fprintf(out, "%-32s %10s %10s %10s %9s %6s\n", "output", "max abs", "max rel",
            "cosine", "SQNR dB", "top-1");
}

void compare_line(FILE *out, const char *name, const metrics *m, const pln_tensor *got,
                  const pln_tensor *want)
{
    char why[400];
    if (!m->equal_type) {
        fprintf(out, "%-32s %s  DIFFERS\n", name,
                metrics_why(m, got, want, why, sizeof why));
        return;
    }
    fprintf(out, "%-32s %10.3g %10.3g %10.7f %9.2f %6.3f%s\n", name, m->max_abs,
            m->max_rel, m->cosine, m->sqnr_db, m->top1, m->within ? "" : "  DIFFERS");
}

int compare_runs(const pln_session *a, pln_run *ra, pln_run *rb, const tolerance *tol,
                 FILE *out, json_t *rows, bool *same)
{
    for (size_t i = 0; i < pln_session_count(a, PLN_OUTPUT); i++) {
        pln_io_info io;
        pln_session_io(a, PLN_OUTPUT, i, &io);
        const pln_tensor *x = pln_run_output(ra, io.name),
                         *y = pln_run_output(rb, io.name);
        if (!x || !y)
            return fail(3, "output '%s' is missing in one of the models", io.name);
        const metrics m = metrics_of(y, x, tol);
        compare_line(out, io.name, &m, y, x);
        *same &= m.within;
        if (rows) {
            json_t *row = metrics_json(&m);
            json_object_set_new(row, "name", json_string(io.name));
            json_array_append_new(rows, row);
        }
    }
    return 0;
}
