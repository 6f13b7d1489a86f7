/* Writing models: the options that every such verb takes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_SAVE_H
#define TOOLS_SAVE_H

#include "tools/common/opts.h"

typedef struct save_args {
    const char *external;
    int64_t threshold;
} save_args;

#define SAVE_OPTS(st, field)                                                  \
    { "external-data", 0, OPT_STR, offsetof(st, field.external), "FILE|none", \
      "put large weights into a file beside the model" },                     \
    { "external-threshold", 0, OPT_COUNT, offsetof(st, field.threshold), "N", \
      "smallest tensor in bytes that goes there (1024)" }

/* 0, or an exit code after an error was printed. "-" is stdout. */
int model_save(const pln_model *model, const char *path, const save_args *args);

#endif
