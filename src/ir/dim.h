/* Dimensions: known, symbolic ("seq", "2*seq+1"), or unknown.
 * Symbolic expressions are interned in canonical form: equal expressions of one table are
 * the same pointer, so that equality is a comparison.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_DIM_H
#define PLN_IR_DIM_H

#include "src/util/arena.h"
#include "src/util/status.h"
#include "src/util/text.h"

typedef struct pln_expr pln_expr;
typedef struct pln_syms pln_syms; /* table of expressions, one for each model */

/* An integer that may be symbolic: also used for the contents of shape tensors, where
 * known values may be negative. */
typedef struct pln_dim {
    int64_t value;        /* when expr is NULL */
    const pln_expr *expr; /* NULL: known; PLN_EXPR_UNKNOWN: nothing is known */
} pln_dim;

extern const pln_expr *const PLN_EXPR_UNKNOWN;

static inline pln_dim pln_dim_of(int64_t v)
{
    return (pln_dim){ .value = v, .expr = NULL };
}
static inline pln_dim pln_dim_unknown(void)
{
    return (pln_dim){ .value = -1, .expr = PLN_EXPR_UNKNOWN };
}
static inline bool pln_dim_is_known(pln_dim d)
{
    return d.expr == NULL;
}
static inline bool pln_dim_is_unknown(pln_dim d)
{
    return d.expr == PLN_EXPR_UNKNOWN;
}
static inline bool pln_dim_is(pln_dim d, int64_t v)
{
    return d.expr == NULL && d.value == v;
}

pln_syms *pln_syms_new(pln_arena *arena);
/* The symbol of a name. NULL syms or no memory: unknown. */
pln_dim pln_dim_symbol(pln_syms *syms, const char *name, size_t len);
/* Parses "2*seq+1"; text that is no expression is a symbol of that name. */
pln_dim pln_dim_parse(pln_syms *syms, const char *text, size_t len);
/* Results that overflow, divide by zero or meet an unknown are unknown. Division rounds
 * towards minus infinity (div) or plus infinity (div_up). */
pln_dim pln_dim_add(pln_syms *syms, pln_dim a, pln_dim b);
pln_dim pln_dim_sub(pln_syms *syms, pln_dim a, pln_dim b);
pln_dim pln_dim_mul(pln_syms *syms, pln_dim a, pln_dim b);
pln_dim pln_dim_div(pln_syms *syms, pln_dim a, pln_dim b);
pln_dim pln_dim_div_up(pln_syms *syms, pln_dim a, pln_dim b);
pln_dim pln_dim_mod(pln_syms *syms, pln_dim a, pln_dim b);
pln_dim pln_dim_min(pln_syms *syms, pln_dim a, pln_dim b);
pln_dim pln_dim_max(pln_syms *syms, pln_dim a, pln_dim b);
/* Both known and equal, or the same expression. */
bool pln_dim_equal(pln_dim a, pln_dim b);
/* Both known and different, or differing by a known amount other than 0. */
bool pln_dim_differ(pln_syms *syms, pln_dim a, pln_dim b);
/* Known to be at least v, given that every symbol is at least 1 (sizes). */
bool pln_dim_at_least(pln_dim d, int64_t v);
/* The same where symbols may be 0, too: what a model computes must not depend on more. */
bool pln_dim_always_at_least(pln_dim d, int64_t v);
/* The name if d is a single symbol, else NULL. */
const char *pln_dim_symbol_name(pln_dim d);
/* d with every symbol replaced by what `lookup` gives (unknown: left as it is). */
pln_dim pln_dim_substitute(pln_syms *syms, pln_dim d,
                           pln_dim (*lookup)(void *user, const char *symbol), void *user);
/* d of another table, rebuilt in this one. */
pln_dim pln_dim_import(pln_syms *syms, pln_dim d);
/* Prints "3", "seq", "2*seq+1", "?". */
void pln_dim_print(pln_text *out, pln_dim d);

#endif
