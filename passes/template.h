/* Templates: what a rule writes, as text in the form of its pattern.
 *
 *     com.example.Mish<alpha = a.alpha, size = dim(x, -1)>(x, 1.0)
 *     t = Mul(x, y); s, a = my.AddRelu(t, _, [0, -1])
 *
 * A statement without names replaces the root of the match; names of the pattern on its
 * left are the values that it replaces, other names are values for later statements.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_TEMPLATE_H
#define PLN_PASSES_TEMPLATE_H

#include "passes/expr.h"
#include "passes/patch.h"

typedef struct pln_template pln_template;

/* NULL: a mistake, see s->what. Operators' names are interned in s->names. */
pln_template *pln_template_parse(pln_scan *s);
/* Fills the patch. `arena` for what is computed on the way. */
pln_status pln_template_build(const pln_template *t, pln_match *m, pln_patch *p,
                              pln_arena *arena);

#endif
