/* Fuzz target: whatever text parses prints to a text that parses and prints alike.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/ir/text.h"
#include "src/ir/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const pln_model *m, pln_text *out)
{
    const pln_text_style style = { .inline_limit = UINT32_MAX };
    pln_text_init(out, NULL);
    if (pln_text_print_model(m, &style, out, NULL) != PLN_OK)
        abort();
}

static void check(pln_model *m)
{
    pln_faults faults = { .arena = pln_arena_new(NULL) };
    pln_text shown;
    pln_text_init(&shown, NULL);
    if (!faults.arena || pln_model_validate(m, &faults, NULL) == PLN_E_NOMEM)
        abort();
    if (pln_faults_print(m, &faults, &shown, NULL) != PLN_OK)
        abort();
    pln_text_done(&shown);
    pln_arena_free(faults.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pln_model *m, *again;
    pln_text once, twice;
    pln_error e = { .code = PLN_OK };
    if (pln_text_parse_model(NULL, (const char *)data, size, NULL, &m, &e) != PLN_OK)
        return 0;
    print(m, &once);
    if (pln_text_parse_model(NULL, once.data, once.len, NULL, &again, &e) != PLN_OK) {
        fprintf(stderr, "what was printed is refused: %s\n%s\n", e.text, once.data);
        abort();
    }
    print(again, &twice);
    if (once.len != twice.len || memcmp(once.data, twice.data, once.len)) {
        fprintf(stderr, "printed differently:\n%s\n----\n%s\n", once.data, twice.data);
        abort();
    }
    check(again);
    pln_text_done(&once);
    pln_text_done(&twice);
    pln_model_free(again);
    pln_model_free(m);
    return 0;
}
