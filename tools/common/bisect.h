/* Which rewrite breaks a model.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_BISECT_H
#define TOOLS_BISECT_H

#include "tools/common/verify.h"

typedef struct bisect_args {
    bool on;
    const char *prefix; /* of the two files; NULL: "bisect" */
} bisect_args;

#define BISECT_OPTS(st, field)                                                           \
    { "bisect", 0, OPT_FLAG, offsetof(st, field.on), NULL,                               \
      "find the first rewrite that changes the outputs" },                               \
    {                                                                                    \
        "bisect-out", 0, OPT_STR, offsetof(st, field.prefix), "PREFIX",                  \
            "of PREFIX-before.onnx and PREFIX-after.onnx, the fragment that it rewrites " \
            "(bisect)"                                                                   \
    }

/* Rewrites copies of the original by `options` up to the k-th rewrite, for several k, and
 * compares as verify_models() does. 0: all rewrites together change nothing; 1: one does,
 * which was printed, told in *found (JSON; may be NULL), and whose fragment was written;
 * or another exit code. */
int bisect_models(pln_env *env, const pln_model *original,
                  const pln_optimize_options *options, const verify_args *how,
                  const bisect_args *args, FILE *out, json_t **found);

#endif
