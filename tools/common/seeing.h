/* What `optimize` lets one see of its rules at work.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_SEEING_H
#define TOOLS_SEEING_H

#include "tools/common/report.h"

typedef struct seeing_args {
    const char *verify_each;
} seeing_args;

#define SEEING_OPTS(st, field)                                                        \
    {                                                                                 \
        "verify-each", 0, OPT_STR, offsetof(st, field.verify_each),                   \
            "rewrite|pass|off", "run both sides of every rewrite, or the whole graph" \
                                " around every pass, and refuse what differs (off)"   \
    }

/* 0, or 2 after an error was printed. */
int seeing_fill(const seeing_args *a, pln_optimize_options *o);
/* What the report says of it: refusals as warnings, tables to `out`. */
void seeing_print(const seeing_args *a, const json_t *report, FILE *out);

#endif
