/* The name that somebody may have meant, for messages.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_NEAR_H
#define PLN_UTIL_NEAR_H

#include <stddef.h>

typedef struct pln_near {
    const char *word;
    const char *best; /* NULL: none is near */
    size_t least;     /* edits; only fewer are near */
} pln_near;

void pln_near_begin(pln_near *n, const char *word);
void pln_near_offer(pln_near *n, const char *name);

#endif
