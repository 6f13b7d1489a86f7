/* Errors: a status code that says what the caller can do, and one line of text.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_STATUS_H
#define PLN_UTIL_STATUS_H

#include <planish/planish.h>

struct pln_error {
    pln_status code;
    int64_t offset; /* in the file, or -1 */
    char text[512];
    char node[128], op[64], tensor[128], file[256];
};

/* Stores code and text unless err (may be NULL) holds an error already: the innermost
 * message wins. Control bytes are escaped. Returns st. */
pln_status pln_fail(pln_error *err, pln_status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "<fmt>: " in front of the text that err holds. Returns err's code, or st when err
 * is NULL. */
pln_status pln_fail_prefix(pln_error *err, pln_status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* PLN_E_NOMEM with its text. */
pln_status pln_oom(pln_error *err);
void pln_error_clear(pln_error *err);
/* Sets one of the places, if it is still empty. */
void pln_error_set(pln_error *err, const char *key, const char *value);

#define PLN_TRY(expr)                      \
    do {                                   \
        const pln_status pln_try_ = (expr); \
        if (pln_try_ != PLN_OK)            \
            return pln_try_;               \
    } while (0)

#endif
