/* Two models side by side on the same inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_COMPARE_H
#define TOOLS_COMPARE_H

#include "tools/common/metrics.h"
#include "tools/common/runner.h"

/* Outputs of b against outputs of a by name, as rows added to `rows` (JSON array) and
 * lines on `out`. *same is cleared when one is outside the tolerance. 0, or an exit
 * code. */
int compare_runs(const pln_session *a, pln_run *ra, pln_run *rb, const tolerance *tol,
                 FILE *out, json_t *rows, bool *same);
void compare_header(FILE *out);
/* Of `got` against `want`; where their types differ, those. */
void compare_line(FILE *out, const char *name, const metrics *m, const pln_tensor *got,
                  const pln_tensor *want);

#endif
