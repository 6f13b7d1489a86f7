/* Passes: what a rewrite is made of. A pass is one file: rules (a pattern, a check, a
 * builder of a patch) or a function over a whole graph; docs/add-a-pass.md shows one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_PASS_H
#define PLN_PASSES_PASS_H

#include "passes/match.h"
#include "passes/patch.h"

/* How far a result may move (docs: levels). */
typedef enum pln_contract {
    PLN_EXACT = 0,   /* the same bits, or the same expression in the same order */
    PLN_REASSOC = 1, /* the same real-valued expression, rounded elsewhere */
    PLN_APPROX = 2   /* another expression within a stated bound */
} pln_contract;

typedef struct pln_rule {
    const char *name;  /* for --disable and reports; NULL: the pass's own */
    const char *match; /* the pattern (passes/match.h) */
    const char *where;   /* a condition in text (passes/expr.h); NULL: none */
    const char *replace; /* in text, instead of build (passes/template.h) */
    /* PLN_OK, or pln_match_refuse(): the reason is kept for `explain`. May be NULL. */
    pln_status (*check)(pln_match *m);
    /* Fills the patch; may still refuse. */
    pln_status (*build)(pln_match *m, pln_patch *p);
    pln_contract contract;
    double bound;      /* of PLN_APPROX: largest error, relative to the largest result */
    int opset;         /* version of ai.onnx that its result needs; 0: any */
    bool stated;       /* for targets planish and ort, older files too: what it writes is
                          stated as a function (passes/expand.h); at target ort passes
                          to-ms-... turn that into com.microsoft, or unstate takes it back */
    pln_target target; /* that its result needs */
    bool may_fail;     /* on some inputs that the old nodes took; never another result */
} pln_rule;

typedef struct pln_pass {
    const char *name, *brief;
    const pln_rule *rules;
    size_t n_rules;
    /* Instead of rules: over one graph, called for bodies too. Mutations are announced by
     * pln_pass_begin(). */
    pln_status (*run)(pln_pass_ctx *ctx, pln_graph *g, pln_error *err);
    pln_contract contract; /* of run */
    pln_target target;     /* of run */
} pln_pass;

#define PLN_RULES(r) .rules = (r), .n_rules = sizeof(r) / sizeof((r)[0])

/* PLN_DEBUG switches; the table is in debug.c. */
#define PLN_DEBUG_PRINT     (1u << 0)
#define PLN_DEBUG_VALIDATE  (1u << 1)
#define PLN_DEBUG_ROUNDTRIP (1u << 2)
#define PLN_DEBUG_NUMERIC   (1u << 3)
#define PLN_DEBUG_LIMIT     (1u << 4)
#define PLN_DEBUG_EXPLAIN   (1u << 5)
#define PLN_DEBUG_TIME      (1u << 6)

typedef struct pln_debug {
    uint32_t on;
    char print_pass[64]; /* print=PASS; "": every pass */
    uint64_t limit;
} pln_debug;

typedef struct pln_pass_options {
    pln_contract contract; /* most that is allowed */
    pln_target target;
    pln_verify verify;
    bool stats;
    const char *explain;
    pln_watch watch;
    bool session; /* for running here: no opset to keep to, weights may grow */
    const char *disable;
    const char *debug; /* NULL: the environment's PLN_DEBUG */
    uint64_t fold_growth;
    const pln_rules_source *rules; /* the user's: pass "rules" */
    size_t n_rules;
} pln_pass_options;

/* What a pass did over the whole pipeline. */
typedef struct pln_pass_stat {
    const pln_pass *pass;
    uint64_t applied, refused;
    uint32_t runs;
    int64_t nodes; /* change of the number of nodes */
    double seconds;
    uint64_t settled; /* n_rewrites + 1 when it found nothing more to do; 0 */
} pln_pass_stat;

struct pln_pass_ctx {
    pln_model *model;
    const pln_pass_options *options;
    const pln_pass *pass; /* running now */
    const pln_rule *rule;
    pln_pass_stat *stat;
    pln_arena *scratch; /* reset after each pass */
    pln_arena *keep;    /* for the whole pipeline */
    struct pln_ruleset *rulesets;
    pln_pass *user; /* the user's rules; NULL */
    int64_t opset; /* of ai.onnx, for the graph at hand */
    pln_debug debug;
    uint64_t n_sure;     /* of n_rewrites: verified by themselves, or no need for it */
    const struct pln_rule_state *state; /* of rule */
    uint64_t n_rewrites; /* of the whole pipeline: `limit` counts these */
    uint64_t fold_left;  /* bytes that folding may still add */
    struct pln_pass_stat *stats;
    size_t n_stats;
    pln_map verdicts; /* fragments, to why they were not verified (empty: they were) */
    uint64_t n_verdicts[4];
    struct pln_reason *unverified;
    struct pln_refusal *refusals;
    struct pln_rule_stat *rule_stats;
    struct pln_miss *misses;
    size_t n_misses;
    uint32_t n_fresh;      /* names of patches that are only built to be told of */
    bool explain_in_model; /* what is to be explained was a node or value at first */
    const char *silence;   /* why nothing can be told of it */
    bool changed;    /* in this run of the pass */
    size_t n_faults; /* that the validator found before the first pass */
};

/* Asks leave for a change to node n (may be NULL) and counts it: false when the limit is
 * reached. */
bool pln_pass_begin(pln_pass_ctx *ctx, const pln_node *n);
/* The same for a change that can't touch a result: what is removed is read by nobody,
 * what is merged is equal bit by bit. Others that go through no patch are verified by
 * running the whole graph. */
bool pln_pass_begin_sure(pln_pass_ctx *ctx, const pln_node *n);
/* Is this pass or rule switched off by name? */
bool pln_pass_is_disabled(const pln_pass_ctx *ctx, const char *name);
/* May a standard operator that appeared in `opset` be written? */
bool pln_pass_allows_opset(const pln_pass_ctx *ctx, int opset);
/* Does anybody read why something was not done? */
static inline bool pln_pass_wants_reasons(const pln_pass_ctx *ctx)
{
    return (ctx->debug.on & PLN_DEBUG_EXPLAIN) || ctx->options->stats ||
           ctx->options->explain;
}
/* Tells why a pass without rules did nothing at n. */
void pln_pass_explain(pln_pass_ctx *ctx, const pln_node *n, const char *rule,
                      const char *why);

/* ---- driver --------------------------------------------------------------------- */

/* Runs one pass over the main graph, function bodies and everything below. */
pln_status pln_pass_run(pln_pass_ctx *ctx, const pln_pass *pass, pln_error *err);
const pln_pass *pln_pass_find(const char *name, size_t len);
const pln_pass *pln_pass_at(size_t i); /* NULL after the last */

/* ---- pipeline ------------------------------------------------------------------- */

/* The passes of a level (0 to 3), for a file of that target or for a session. */
const char *pln_pipeline_of_level(int level, pln_target target, bool session);
pln_contract pln_contract_of_level(int level, bool allow_approx);
/* The same with the user's rules in it: where the text does not name pass "rules", they
 * run on the cleaned graph before the rest, or behind a text of the user's own. */
void pln_pipeline_with_rules(pln_text *out, const char *text, int level, bool own);
/* "a,b,(c,d)*": runs it; `*` repeats until nothing changes. */
pln_status pln_pipeline_run(pln_pass_ctx *ctx, const char *text, pln_error *err);
/* All at once: context, inference, pipeline, clean-up. `report` (may be NULL) receives
 * members of a JSON object: what each pass did, and what was refused. */
pln_status pln_model_run_passes(pln_model *model, const char *pipeline,
                                const pln_pass_options *options, pln_text *report,
                                pln_error *err);

/* Infers types, with symbols for sizes that have no name; pln_sizes_forget takes those
 * away from the interface. */
pln_status pln_sizes_infer(pln_model *m, pln_error *err);
void pln_sizes_forget(pln_model *m);

/* ---- debug ---------------------------------------------------------------------- */

pln_status pln_debug_parse(const char *text, pln_debug *out, pln_error *err);
/* Before the first pass: faults that the model came with are not the passes'. */
pln_status pln_debug_start(pln_pass_ctx *ctx, pln_error *err);
void pln_debug_end(pln_pass_ctx *ctx); /* after the last */
pln_status pln_debug_after(pln_pass_ctx *ctx, pln_error *err); /* every pass */

#endif
