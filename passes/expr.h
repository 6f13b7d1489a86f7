/* Expressions in rules: conditions behind `where`, attributes and constants of what a
 * rule writes. docs/rules.md has the language.
 *
 *     rank(x) == 4 and dim(x, -1) == dim(y, 0)
 *     sm.axis    value(c) * 2    [0, -1, dim(x, 2)]    "text"
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_EXPR_H
#define PLN_PASSES_EXPR_H

#include "passes/match.h"

/* A cursor over the text of a rule; `at` is left where a mistake is. */
typedef struct pln_scan {
    const char *at;
    const pln_pattern *pattern; /* whose names may be used */
    pln_names *names;
    pln_arena *arena;
    const char *what; /* the mistake */
} pln_scan;

bool pln_scan_fail(pln_scan *s, const char *what); /* false, for returning */
void pln_scan_blanks(pln_scan *s);
bool pln_scan_accept(pln_scan *s, const char *token);
/* The length of the name at the cursor; 0: there is none. */
size_t pln_scan_word(pln_scan *s);
/* The number of a name of the pattern; -1. */
int pln_scan_find(const pln_scan *s, const char *name, size_t len);

typedef struct pln_expr_node pln_ex;

/* NULL: a mistake, see s->what. */
pln_ex *pln_ex_parse(pln_scan *s);
/* What stands behind `where`, to the end of the text. */
pln_ex *pln_ex_parse_condition(pln_scan *s);

typedef enum pln_ex_kind {
    PLN_EX_UNKNOWN, /* a size that is not known, an absent attribute */
    PLN_EX_INT,     /* or a symbolic size */
    PLN_EX_FLOAT,
    PLN_EX_STRING,
    PLN_EX_LIST,
    PLN_EX_ATTR, /* of a kind that has no arithmetic; it can be copied */
    PLN_EX_BOOL
} pln_ex_kind;

#define PLN_EX_LIST_MAX 24

typedef struct pln_ex_value {
    pln_ex_kind kind;
    pln_dim i;
    double f;
    bool yes;
    const char *s;
    size_t s_len, n; /* of the list */
    struct pln_ex_value *list;
    const pln_attr *attr;
} pln_ex_value;

/* Lists are made in the arena. */
pln_ex_value pln_ex_eval(const pln_ex *e, const pln_match *m, pln_arena *arena);
/* PLN_OK, or a refusal that names the part that is false. */
pln_status pln_ex_holds(const pln_ex *e, pln_match *m, pln_arena *arena);

#endif
