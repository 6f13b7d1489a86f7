/* The tree of an expression.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_EXPR_IMPL_H
#define PLN_PASSES_EXPR_IMPL_H

#include "passes/expr.h"

typedef enum pln_ex_op {
    EX_NUMBER, /* or text: value */
    EX_LIST,   /* a: the next item, whose b is its expression */
    EX_ATTR,
    EX_RANK,
    EX_DIM,
    EX_SIZE,
    EX_USES,
    EX_VALUE,
    EX_ELEMENT,
    EX_TYPE,
    EX_CONST,
    EX_HAS,
    EX_STATIC,
    EX_OUTPUT,
    EX_SAME,
    EX_FITS,
    EX_ADD,
    EX_SUB,
    EX_MUL,
    EX_DIV,
    EX_EQ,
    EX_NE,
    EX_LE,
    EX_GE,
    EX_LT,
    EX_GT,
    EX_NOT,
    EX_AND,
    EX_OR
} pln_ex_op;

struct pln_expr_node {
    pln_ex_op op;
    int name, other; /* of the pattern */
    const char *attr, *text;
    pln_ex_value value;
    pln_ex *a, *b;
};

#endif
