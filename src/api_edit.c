/* The public calls that edit a model: each works on a copy, which takes the model's place
 * when all went well.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/api_edit.h"

#include <string.h>

#include "src/ir/convert_opset.h"
#include "src/ir/edit.h"
#include "src/ir/optimize.h"
#include "src/ir/reduce.h"

static pln_status finish(pln_model *model, pln_model *copy, pln_status st)
{
    if (st == PLN_OK)
        pln_model_swap(model, copy);
    pln_model_free(copy);
    return st;
}

static bool all_given(const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!names || !names[i])
            return false;
    return true;
}

pln_status pln_model_extract(pln_model *model, const char *const *inputs, size_t n_inputs,
                             const char *const *outputs, size_t n_outputs, pln_error *err)
{
    pln_model *copy;
    pln_error_clear(err);
    if (!model || !all_given(inputs, n_inputs) || !all_given(outputs, n_outputs))
        return pln_fail(err, PLN_E_USAGE, "pln_model_extract: NULL argument");
    PLN_TRY(pln_model_clone(model, &copy, err));
    return finish(model, copy,
                  pln_model_cut(copy, inputs, n_inputs, outputs, n_outputs, err));
}

static pln_status rename_one(pln_model *m, pln_renamed what, const char *from,
                             const char *to, pln_error *err)
{
    static pln_status (*const fn[])(pln_model *, const char *, const char *, bool *,
                                    pln_error *) = { pln_model_rename_values,
                                                     pln_model_rename_nodes,
                                                     pln_model_rename_dim };
    static const char *const words[] = { "value, node or dimension", "value", "node",
                                         "dimension" };
    for (int i = 0; i < 3; i++) {
        bool found = false;
        if (what != PLN_RENAME_ANY && (int)what != i + 1)
            continue;
        PLN_TRY(fn[i](m, from, to, &found, err));
        if (found)
            return PLN_OK;
    }
    return pln_fail(err, PLN_E_USAGE, "no %s is called '%s'", words[what], from);
}

pln_status pln_model_rename(pln_model *model, pln_renamed what, const char *from,
                            const char *to, pln_error *err)
{
    pln_model *copy;
    pln_error_clear(err);
    if (!model || !from || !to || what > PLN_RENAME_DIM)
        return pln_fail(err, PLN_E_USAGE, "pln_model_rename: NULL or unknown argument");
    if (!*from || !*to)
        return pln_fail(err, PLN_E_USAGE, "a name can't be empty");
    PLN_TRY(pln_model_clone(model, &copy, err));
    return finish(model, copy, rename_one(copy, what, from, to, err));
}

/* Runtimes of older versions want to know the shapes that a Scan's body gives. */
static pln_status state_outputs(pln_graph *g, void *user)
{
    (void)user;
    if (!g->owner || *g->owner->domain || strcmp(g->owner->op_type, "Scan") != 0)
        return PLN_OK;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        pln_value *v = g->outputs[i];
        if (v->type.kind != PLN_KIND_TENSOR || v->type.shape.rank < 0 ||
            (v->declared && v->declared->shape.rank >= 0))
            continue;
        v->declared = pln_arena_dup(g->model->arena, &v->type, sizeof v->type);
        if (!v->declared || pln_value_drop_type_message(v) != PLN_OK)
            return PLN_E_NOMEM;
    }
    return PLN_OK;
}

pln_status pln_model_convert_opset(pln_model *model, int64_t version, char **blockers,
                                   pln_error *err)
{
    pln_model *copy;
    pln_text list;
    pln_error_clear(err);
    if (blockers)
        *blockers = NULL;
    if (!model)
        return pln_fail(err, PLN_E_USAGE, "pln_model_convert_opset: the model is NULL");
    PLN_TRY(pln_model_clone(model, &copy, err));
    pln_text_init(&list, model->alloc);
    pln_status st = pln_model_convert(copy, version, &list, err);
    if (st == PLN_OK && pln_graph_walk(copy->graph, state_outputs, NULL) != PLN_OK)
        st = pln_oom(err);
    if (st == PLN_E_UNSUPPORTED && blockers)
        *blockers = pln_text_take(&list);
    pln_text_done(&list);
    return finish(model, copy, st);
}

static pln_status report_reduced(const pln_model *m, const pln_reducer *r, char **report,
                                 pln_error *err)
{
    pln_text t;
    pln_text_init(&t, m->alloc);
    pln_text_printf(
        &t, "{\"schema\":1,\"checks\":%zu,\"smaller\":%zu,\"stopped\":%s,\"minimal\":%s}",
        r->n_asked, r->n_kept, r->stopped ? "true" : "false",
        r->minimal ? "true" : "false");
    *report = pln_text_take(&t);
    pln_text_done(&t);
    return *report ? PLN_OK : pln_oom(err);
}

pln_status pln_model_reduce(pln_model *model, const pln_reduce_options *options,
                            char **report, pln_error *err)
{
    pln_model *copy;
    pln_error_clear(err);
    if (report)
        *report = NULL;
    if (!model || !options || !options->check)
        return pln_fail(err, PLN_E_USAGE, "pln_model_reduce: NULL argument");
    pln_reducer r = { .ask = options->check, .user = options->user };
    PLN_TRY(pln_model_clone(model, &copy, err));
    pln_status st = pln_model_make_small(&copy, &r, err);
    if (st == PLN_E_NOMEM)
        pln_oom(err);
    else if (st == PLN_E_CANCELLED)
        pln_fail(err, st, "stopped by the check");
    if (st == PLN_OK && report)
        st = report_reduced(copy, &r, report, err);
    return finish(model, copy, st);
}
