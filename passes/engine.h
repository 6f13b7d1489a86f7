/* The engine's own state: the rules of the passes, compiled at most once for each model
 * that is rewritten. Passes don't include this.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_ENGINE_H
#define PLN_PASSES_ENGINE_H

#include "passes/pass.h"
#include "passes/template.h"
#include "src/util/map.h"

/* A rule that is switched on. The rest is there once it is ready. */
typedef struct pln_rule_state {
    const pln_rule *rule;
    bool ready;
    pln_pattern pattern;
    pln_ex *where;           /* NULL: no condition */
    pln_template *replace;   /* NULL: the rule builds by itself */
    int n_ops; /* of the pattern */
    struct pln_rule_stat *stat;
} pln_rule_state;

/* Rules with the same operator at their root, in the order of the table. */
typedef struct pln_root_rules {
    pln_rule_state *rule;
    struct pln_root_rules *next;
} pln_root_rules;

typedef struct pln_ruleset {
    const pln_pass *pass;
    pln_rule_state *rules;
    size_t n;
    pln_map by_root; /* operator's name, interned, to pln_root_rules */
    struct pln_ruleset *next;
} pln_ruleset;

/* The rules of the pass that runs now, found by their roots. */
pln_status pln_ruleset_get(pln_pass_ctx *ctx, pln_ruleset **out, pln_error *err);
/* Compiles a rule of that pass, once, when a node is there that may be its root: most
 * rules of most runs never meet one. */
pln_status pln_rule_make_ready(pln_pass_ctx *ctx, pln_rule_state *c, pln_error *err);
void pln_rulesets_free(pln_pass_ctx *ctx);

/* A rule's name for reports. */
const char *pln_rule_name(const pln_pass_ctx *ctx, const pln_rule *r);

/* Why a rewrite could not be verified, and how often. */
typedef struct pln_reason {
    const char *text;
    uint64_t count;
    struct pln_reason *next;
} pln_reason;

/* A rewrite that broke its contract and was not done. */
typedef struct pln_refusal {
    const char *pass, *rule, *where, *text;
    struct pln_refusal *next;
} pln_refusal;

/* Members of a JSON object: "passes" and what was asked for. */
void pln_report_passes(const pln_pass_ctx *ctx, pln_text *out);

/* Leave for a patch that was checked and verified: see pln_pass_begin(). */
bool pln_patch_begin_commit(pln_patch *p, const pln_match *m, const pln_node *n);
/* What PLN_DEBUG=explain prints. */
void pln_debug_explain(pln_pass_ctx *ctx, const pln_node *n, const char *rule,
                       const char *why);

/* The worklist over one graph. */
pln_status pln_rules_run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err);

#endif
