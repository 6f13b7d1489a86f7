/* Watching rules at work.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_WATCH_H
#define PLN_PASSES_WATCH_H

#include "passes/engine.h"

typedef struct pln_rule_stat {
    const pln_pass *pass;
    const pln_rule *rule; /* NULL: a pass that is a function */
    uint64_t tried, matched, refused, applied;
    int64_t nodes, bytes; /* saved: nodes of graphs, bytes of constants */
    double seconds;
    pln_reason *reasons;
    struct pln_rule_stat *next;
} pln_rule_stat;

/* How near a rule came at a node. */
typedef struct pln_miss {
    const char *pass, *rule, *node, *why;
    int matched, of; /* operators of the pattern; 0 of a function */
    bool applied;
    struct pln_miss *next;
} pln_miss;

double pln_clock(void);
/* Of the pass that runs now. NULL: no memory. */
pln_rule_stat *pln_rule_stat_get(pln_pass_ctx *ctx, const pln_rule *r);
/* false: no memory */
bool pln_reason_count(pln_arena *arena, pln_reason **list, const char *text);
/* A rule (NULL: the pass) did nothing at n, or (why NULL) was applied there. */
void pln_watch_miss(pln_pass_ctx *ctx, const pln_node *n, const pln_rule *r,
                    const char *why, int matched, int of);
/* Before the first pass: names in options that nobody has are PLN_E_USAGE. */
pln_status pln_asked_start(pln_pass_ctx *ctx, pln_error *err);
/* After the last: why nothing was seen of what is to be explained, in ctx->silence. */
pln_status pln_asked_end(pln_pass_ctx *ctx, pln_error *err);
/* Tells the caller of a rewrite; p: the patch, before it is applied, or NULL. */
void pln_watch_rewrite(pln_pass_ctx *ctx, const pln_patch *p, const pln_match *m,
                       const pln_node *n);

#endif
