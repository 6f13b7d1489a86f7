/* The parts of a template.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_TEMPLATE_IMPL_H
#define PLN_PASSES_TEMPLATE_IMPL_H

#include "passes/template.h"

#define PLN_TEMPLATE_LOCALS 16
#define PLN_TEMPLATE_ARGS   32
#define PLN_TEMPLATE_OUTS   16

typedef enum pln_term_kind {
    PLN_TERM_ABSENT,
    PLN_TERM_NAME,  /* of the pattern */
    PLN_TERM_LOCAL, /* of an earlier statement */
    PLN_TERM_REST,  /* the inputs of a matched node from a number on */
    PLN_TERM_CONST, /* a number, or a list of them */
    PLN_TERM_OP
} pln_term_kind;

typedef struct pln_term_attr {
    const char *name; /* NULL: all of a matched node */
    int from;
    pln_ex *value;
    struct pln_term_attr *next;
} pln_term_attr;

typedef struct pln_term {
    pln_term_kind kind;
    int name; /* or the local's number */
    int from; /* of PLN_TERM_REST */
    pln_ex *value;
    const char *domain, *op;
    pln_term_attr *attrs;
    int n_args;
    struct pln_term **arg;
} pln_term;

typedef struct pln_target_name {
    int name, slot; /* of the pattern, or */
    int local;      /* -1 */
} pln_target_name;

typedef struct pln_statement {
    int n_out; /* 0: the root */
    pln_target_name out[PLN_TEMPLATE_OUTS];
    pln_term *term;
    struct pln_statement *next;
} pln_statement;

struct pln_template {
    pln_statement *first;
    int n_locals;
    const char *local[PLN_TEMPLATE_LOCALS];
};

#endif
