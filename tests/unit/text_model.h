/* Models from text, for unit tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_TESTS_UNIT_TEXT_MODEL_H
#define PLN_TESTS_UNIT_TEXT_MODEL_H

#include <string.h>

#include "src/ir/text.h"
#include "tests/unit/main.h"

static inline pln_model *model_of(const char *text)
{
    pln_model *m = NULL;
    pln_error e = { .code = PLN_OK };
    const pln_status st = pln_text_parse_model(NULL, text, strlen(text), NULL, &m, &e);
    ck_assert_msg(st == PLN_OK, "%s", e.text);
    return m;
}

/* To be freed with free(). */
static inline char *text_of(const pln_model *m, bool raised)
{
    const pln_text_style style = { .inline_limit = UINT32_MAX, .raised = raised };
    pln_text out;
    pln_error e = { .code = PLN_OK };
    pln_text_init(&out, NULL);
    ck_assert_msg(pln_text_print_model(m, &style, &out, &e) == PLN_OK, "%s", e.text);
    char *copy = strdup(out.data);
    pln_text_done(&out);
    return copy;
}

static inline pln_value *value_of(const pln_model *m, const char *name)
{
    pln_value *v = pln_graph_find_value(m->graph, name);
    ck_assert_msg(v != NULL, "no value %s", name);
    return v;
}

/* The type of a value as text. */
static inline void expect_type(const pln_model *m, const char *name, const char *want)
{
    pln_text t;
    pln_text_init(&t, NULL);
    pln_type_print(&t, &value_of(m, name)->type);
    ck_assert_msg(!strcmp(t.data, want), "%s is %s, want %s", name, t.data, want);
    pln_text_done(&t);
}

#endif
