/* Regular expressions in RE2's syntax, matched in time linear in the text.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_REGEX_H
#define PLN_KERNELS_REGEX_H

#include "src/util/alloc.h"
#include "src/util/status.h"

typedef struct pln_regex pln_regex;

/* PLN_E_FORMAT with a text for what is no expression, PLN_E_UNSUPPORTED for what is not
 * known here: look-around and back-references, which RE2 has neither. */
pln_status pln_regex_new(const pln_allocator *a, const char *pattern, size_t len,
                         pln_regex **out, pln_error *err);
void pln_regex_free(pln_regex *re);
/* Does the whole text match? */
bool pln_regex_full_match(pln_regex *re, const char *text, size_t len);

#endif
