/* Checking models in the public interface.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/validate.h"

static void put_field(pln_text *out, const char *key, const char *value)
{
    pln_text_printf(out, "\"%s\": ", key);
    pln_text_json(out, value, strlen(value));
    pln_text_str(out, ", ");
}

static void put_finding(pln_text *out, const pln_fault *f)
{
    const pln_node *n = f->node;
    const char *name = n ? n->name : "";
    for (uint32_t i = 0; n && !*name && i < n->n_out; i++)
        if (n->out[i])
            name = n->out[i]->name;
    pln_text_str(out, "{");
    put_field(out, "node", name);
    put_field(out, "op", n ? n->op_type : "");
    put_field(out, "graph", f->graph ? f->graph->name : "");
    put_field(out, "text", f->text);
    pln_text_printf(out, "\"severity\": \"%s\"}", f->note ? "note" : "error");
}

static pln_status check(pln_model *m, pln_arena *arena, char **findings, size_t *n_errors,
                        pln_error *err)
{
    pln_faults faults = { .arena = arena };
    pln_text out;
    PLN_TRY(pln_model_validate(m, &faults, err));
    pln_text_init(&out, m->alloc);
    pln_text_str(&out, "[");
    for (const pln_fault *f = faults.first; f; f = f->next) {
        pln_text_str(&out, f == faults.first ? "\n  " : ",\n  ");
        put_finding(&out, f);
    }
    pln_text_str(&out, faults.first ? "\n]" : "]");
    *findings = pln_text_take(&out);
    *n_errors = faults.n_errors;
    pln_text_done(&out);
    return *findings ? PLN_OK : pln_oom(err);
}

PLN_API pln_status pln_model_check(const pln_model *model, char **findings,
                                   size_t *n_errors, pln_error *err)
{
    pln_error_clear(err);
    if (!model || !findings || !n_errors)
        return pln_fail(err, PLN_E_USAGE, "pln_model_check: NULL argument");
    *findings = NULL;
    *n_errors = 0;
    pln_arena *arena = pln_arena_new(model->alloc);
    if (!arena)
        return pln_oom(err);
    /* Looking at a model fills in typed attributes: threads may share this one. */
    pln_model *copy = NULL;
    pln_status st = pln_model_clone(model, &copy, err);
    if (st == PLN_OK)
        st = check(copy, arena, findings, n_errors, err);
    pln_model_free(copy);
    pln_arena_free(arena);
    return st;
}
