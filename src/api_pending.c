/* Weak stand-ins while the real functions are on their way; to be removed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>

#define PENDING(name, ...)                                \
    PLN_API __attribute__((weak)) pln_status name(__VA_ARGS__) \
    {                                                     \
        return PLN_E_UNSUPPORTED;                         \
    }
PENDING(pln_model_check, const pln_model *m, char **f, size_t *n, pln_error *e)
PENDING(pln_model_quantize, pln_model *m, const pln_quantize_options *o, char **t, pln_error *e)
