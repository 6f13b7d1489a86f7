/* Rules of the user's own, as text: docs/rules.md.
 *
 *     # comments begin with a number sign
 *     mish [reassoc, opset 11]: Mul~(x, Tanh!(Softplus!(x))) => com.example.Mish(x)
 *         where rank(x) == 4 and type(x) == "float"
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_RULES_FILE_H
#define PLN_PASSES_RULES_FILE_H

#include "passes/pass.h"

/* The rules of all sources as one pass, made in the arena; operators are those that the
 * model's registry knows. PLN_E_FORMAT with file, line and column of the first
 * mistake. */
pln_status pln_rules_read(const pln_rules_source *src, size_t n, const pln_model *model,
                          pln_arena *arena, pln_pass **out, pln_error *err);

#endif
