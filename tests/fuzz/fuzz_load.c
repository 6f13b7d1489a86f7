/* Any bytes as a model: read, looked at, written and read again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pln_env *small_env(void)
{
    static pln_env *env;
    pln_env_desc desc = PLN_ENV_DESC_INIT;
    desc.limits = (pln_limits){ .tensor_bytes = 1 << 24, .run_bytes = 1 << 26,
                                .nodes = 10000 };
    if (!env && pln_env_new(&desc, &env, NULL) != PLN_OK)
        abort();
    return env;
}

static pln_model *load(pln_env *env, const void *data, size_t size)
{
    pln_load_options o = PLN_LOAD_OPTIONS_INIT;
    pln_model *model;
    pln_error *err = pln_error_new();
    o.copy = true;
    const pln_status st = pln_model_load_memory(env, data, size, &o, &model, err);
    if ((st == PLN_OK) != (model != NULL) || (st != PLN_OK && !*pln_error_text(err)))
        abort();
    pln_error_free(err);
    return model;
}

/* What was written is read, and written the same again. */
static void check_stable(pln_env *env, const void *first, size_t n_first)
{
    void *second = NULL;
    size_t n_second = 0;
    pln_model *again = load(env, first, n_first);
    if (!again || pln_model_save_memory(again, &second, &n_second, NULL) != PLN_OK ||
        n_first != n_second || memcmp(first, second, n_first)) {
        fprintf(stderr, "the written model is not stable\n");
        abort();
    }
    pln_free(env, second);
    pln_model_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pln_env *env = small_env();
    pln_model *model = load(env, data, size);
    char *text = NULL;
    void *saved = NULL;
    size_t n;
    if (!model)
        return 0;
    if (pln_model_info(model, &text, NULL) == PLN_OK)
        pln_free(env, text);
    if (pln_model_check(model, &text, &n, NULL) == PLN_OK)
        pln_free(env, text);
    if (pln_model_save_memory(model, &saved, &n, NULL) == PLN_OK) {
        check_stable(env, saved, n);
        pln_free(env, saved);
    }
    pln_model_free(model);
    return 0;
}
