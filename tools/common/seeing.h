/* What `optimize` lets one see of its rules at work.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_SEEING_H
#define TOOLS_SEEING_H

#include "tools/common/report.h"

typedef struct seeing_args {
    const char *verify_each, *explain, *dump_dir, *dump_each;
    str_list rules;
    bool stats;
} seeing_args;

#define SEEING_OPTS(st, field)                                                           \
    { "rules", 0, OPT_LIST, offsetof(st, field.rules), "FILE",                           \
      "also rules of your own (repeatable)" },                                           \
    { "verify-each", 0, OPT_STR, offsetof(st, field.verify_each), "rewrite|pass|off",    \
      "run both sides of every rewrite, or the whole graph around every pass, and refuse " \
      "what differs (off)" },                                                            \
    { "stats", 0, OPT_FLAG, offsetof(st, field.stats), NULL,                             \
      "what each rule did, and why it did not" },                                        \
    { "explain", 0, OPT_STR, offsetof(st, field.explain), "RULE|NODE",                   \
      "how near the rule came at every node, or every rule at the node" },               \
    { "dump-dir", 0, OPT_STR, offsetof(st, field.dump_dir), "D",                         \
      "write the model as it is at first and after each pass that changed it: "          \
      "D/NNN-PASS.onnx, and as text where its weights are small" },                      \
    {                                                                                    \
        "dump-each", 0, OPT_STR, offsetof(st, field.dump_each), "pass|rewrite",          \
            "for --dump-dir: what goes away and what comes with every rewrite, too: "    \
            "D/rewrites/NNNNN-RULE-before.onnx and -after.onnx (pass)"                   \
    }

/* State of the dumps while passes run. */
typedef struct seeing {
    const seeing_args *args;
    unsigned n;
    pln_rules_source *rules;
    int rc; /* exit code of what went wrong */
} seeing;

/* Fills what the library must know; `s` lives as long as the rewriting. 0, or an exit
 * code after an error was printed. */
int seeing_fill(seeing *s, const seeing_args *a, pln_optimize_options *o);
/* Before the model is rewritten. 0, or an exit code after an error was printed. */
int seeing_start(seeing *s, const pln_model *model);
void seeing_free(seeing *s);
/* What the report says of it: refusals as warnings, tables (with `all` not shortened) to
 * `out`. */
void seeing_print(const seeing_args *a, const json_t *report, bool all, FILE *out);

#endif
