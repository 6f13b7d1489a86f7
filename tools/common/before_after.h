/* What a rewrite changed, as a table: operators, weights, work, memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_BEFORE_AFTER_H
#define TOOLS_BEFORE_AFTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Two objects of pln_model_info(), which may have "file_bytes" beside. Operators whose
 * number stayed are left out unless `all`. */
void before_after_print(FILE *out, const json_t *before, const json_t *after, bool all);
/* Notes the size of the file (none for "-") in an object of pln_model_info(). */
void before_after_size(json_t *info, const char *path);

#endif
