/* Weak stand-ins while the real functions are on their way; to be removed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>

#define PENDING(name, ...)                                \
    PLN_API __attribute__((weak)) pln_status name(__VA_ARGS__) \
    {                                                     \
        return PLN_E_UNSUPPORTED;                         \
    }
PENDING(pln_model_check, const pln_model *m, char **f, size_t *n, pln_error *e)
PENDING(pln_model_info, const pln_model *m, char **f, pln_error *e)
PENDING(pln_model_parse, pln_env *env, const char *t, size_t n, const char *d, pln_model **o, pln_error *e)
PENDING(pln_model_print, const pln_model *m, const pln_print_options *o, char **t, pln_error *e)
PENDING(pln_model_quantize, pln_model *m, const pln_quantize_options *o, char **t, pln_error *e)
PENDING(pln_model_save, const pln_model *m, const char *p, const pln_save_options *o, pln_error *e)
PENDING(pln_model_save_memory, const pln_model *m, void **d, size_t *n, pln_error *e)
PENDING(pln_model_set_dim, pln_model *m, const char *s, int64_t n, pln_error *e)
PENDING(pln_tensor_parse, pln_env *env, pln_kind k, const void *d, size_t n, pln_tensor **o, pln_error *e)
PENDING(pln_tensor_serialize, pln_env *env, const pln_tensor *t, const char *name, void **d, size_t *n, pln_error *e)
PENDING(pln_model_values, const pln_model *m, char **t, pln_error *e)
PLN_API __attribute__((weak)) int pln_session_threads(const pln_session *s)
{
    return 0;
}
