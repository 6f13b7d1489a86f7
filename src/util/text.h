/* A growing text. Failures stick: append freely, ask once at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_TEXT_H
#define PLN_UTIL_TEXT_H

#include "src/util/alloc.h"

typedef struct pln_text {
    const pln_allocator *alloc;
    char *data; /* NUL-terminated once anything was appended */
    size_t len, cap;
    bool failed;
} pln_text;

void pln_text_init(pln_text *t, const pln_allocator *a);
void pln_text_done(pln_text *t);
void pln_text_put(pln_text *t, const char *bytes, size_t len);
void pln_text_str(pln_text *t, const char *s);
void pln_text_printf(pln_text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* As a JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void pln_text_json(pln_text *t, const char *bytes, size_t len);
/* As a JSON number, null for NaN and infinities; independent of the locale. */
void pln_text_json_double(pln_text *t, double v);
/* Hands the bytes to the caller (pln_release); NULL when an append failed. */
char *pln_text_take(pln_text *t);

#endif
