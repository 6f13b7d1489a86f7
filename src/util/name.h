/* Interned names: equal names of one table are the same pointer. A name is NUL-terminated
 * and knows its length, since names in model files may hold NULs themselves.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_NAME_H
#define PLN_UTIL_NAME_H

#include "src/util/arena.h"

typedef struct pln_names pln_names;

pln_names *pln_names_new(pln_arena *arena); /* lives in the arena; NULL: no memory */
/* The name for these bytes; NULL: no memory. */
const char *pln_name_intern(pln_names *names, const char *bytes, size_t len);
const char *pln_name_cstr(pln_names *names, const char *s);
/* The name if it exists already, else NULL. */
const char *pln_name_find(const pln_names *names, const char *bytes, size_t len);
/* Only for pointers that pln_name_intern returned. */
size_t pln_name_len(const char *name);
uint64_t pln_name_hash(const char *name);

#endif
