/* A rewritten model against the original, before it is written.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_VERIFY_H
#define TOOLS_VERIFY_H

#include "tools/common/compare.h"

typedef struct verify_args {
    feed_args feed;   /* seed, ranges, shapes and dims of the random inputs */
    int64_t n;        /* input sets */
    double limit;     /* largest difference, as a share of the output's largest element */
    double sqnr_db;   /* least in place of the limit when the model rounds */
    bool other_types; /* the rewritten model may have other float types at its ends */
    bool quiet;       /* says nothing of a difference */
} verify_args;

#define VERIFY_OPTS(st, field)                                                         \
    { "verify",                                                                        \
      0,                                                                               \
      OPT_COUNT,                                                                       \
      offsetof(st, field.n),                                                           \
      "N",                                                                             \
      "compare with the original on N random inputs; write nothing if it differs" },   \
        { "inputs", 0, OPT_LIST, offsetof(st, field.feed.archives), "F.npz",           \
          "of --verify and --bisect, in place of random ones" },                       \
        { "seed", 0, OPT_INT, offsetof(st, field.feed.seed), "N", "of --verify (0)" }, \
        { "range",      0,                                                             \
          OPT_LIST,     offsetof(st, field.feed.ranges),                               \
          "NAME=LO:HI", "range of a random input of --verify" },                       \
    {                                                                                  \
        "shape", 0, OPT_LIST, offsetof(st, field.feed.shapes), "NAME=AxBxC",           \
            "shape of a random input of --verify"                                      \
    }

/* Runs both on args->n sets of random inputs, or on those that args->feed gives; symbolic
 * dimensions that args->feed leaves open get random sizes, or others at which the
 * original can run. 0: they agree; 1 after an error that names the output, if they don't;
 * another exit code when the original can't run. What was found goes to `out` as one line
 * and, with 0 and 1, to *found (may be NULL) as JSON. */
int verify_models(pln_env *env, const pln_model *original, const pln_model *rewritten,
                  const verify_args *args, FILE *out, json_t **found);

#endif
