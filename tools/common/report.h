/* What the command says: errors, text for people, JSON for machines.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include <jansson.h>
#include <planish/planish.h>
#include <stdio.h>

#include "tools/common/opts.h"

/* "planish: error: ..." on stderr; returns code. */
int fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The library's error with `file` (may be NULL) as the place; the contract's exit
 * code. */
int fail_status(const pln_error *err, const char *file);

/* Text for people goes here: stdout, but nowhere when quiet or when JSON has stdout. */
FILE *report_out(const common_args *args);
/* Writes the object (its reference is taken) where --json says; 0, or 3 after an
 * error. */
int report_json(const common_args *args, json_t *object_take);
/* null for NaN and infinities. */
json_t *json_number_or_null(double v);
/* The environment of the verb, with its plug-ins. NULL after an error was printed, whose
 * exit code is then in *rc. */
pln_env *report_env(const common_args *args, int *rc);

/* Written to a temporary name and renamed; removes the temporary on failure. 0, or 3
 * after an error was printed. "-" is stdout. */
int write_file(const char *path, const void *data, size_t len);
/* Whole file ("-": stdin) into *data (free()); 0, or 3 after an error was printed. */
int read_file(const char *path, char **data, size_t *len);

/* Progress on a terminal's stderr, for what takes longer than a second. */
typedef struct progress {
    const char *what;
    double start, last;
    bool shown, on;
} progress;
void progress_begin(progress *p, const common_args *args, const char *what);
void progress_step(progress *p, size_t done, size_t total);
void progress_end(progress *p);

double now_seconds(void); /* monotonic */

#endif
