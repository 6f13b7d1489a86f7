/* The public calls that rewrite a model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "src/ir/env.h"
#include "src/ir/optimize.h"
#include "src/util/map.h"
#include "src/util/text.h"

/* ---- all or nothing -------------------------------------------------------------------- */

static void adopt(pln_model *m)
{
    for (pln_graph *g = m->graphs; g; g = g->next_graph)
        g->model = m;
}

/* The caller's handle gets the contents of the rewritten copy. */
void pln_model_swap(pln_model *a, pln_model *b)
{
    const pln_model t = *a;
    *a = *b;
    *b = t;
    adopt(a);
    adopt(b);
}

typedef struct measures {
    uint64_t nodes, constants, constant_bytes;
    pln_map ops; /* operator name to count */
    bool failed;
} measures;

static void count_op(measures *m, const pln_node *n)
{
    const uintptr_t seen = (uintptr_t)pln_map_get(&m->ops, n->op_type);
    m->failed |= !pln_map_put(&m->ops, n->op_type, (void *)(seen + 1));
}

static pln_status measure_graph(pln_graph *g, void *user)
{
    measures *m = user;
    m->nodes += g->n_nodes;
    for (const pln_node *n = g->first; n; n = n->next)
        count_op(m, n);
    for (const pln_value *v = g->values; v; v = v->next) {
        size_t bytes = 0;
        if (!v->cst || v->cst->kind != PLN_KIND_TENSOR)
            continue;
        pln_dims_bytes((pln_dtype)v->cst->dtype, v->cst->rank, v->cst->dims, &bytes);
        m->constants++;
        m->constant_bytes += bytes;
    }
    return PLN_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void report_ops(pln_text *out, measures *m)
{
    const char **names = pln_calloc(out->alloc, m->ops.cap + 1, sizeof *names);
    size_t n = 0;
    for (size_t i = 0; names && i < m->ops.cap; i++)
        if (m->ops.keys[i] && m->ops.values[i])
            names[n++] = m->ops.keys[i];
    if (n)
        qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        pln_text_str(out, i ? "," : "");
        pln_text_json(out, names[i], strlen(names[i]));
        pln_text_printf(out, ":%llu",
                        (unsigned long long)(uintptr_t)pln_map_get(&m->ops, names[i]));
    }
    out->failed |= !names;
    pln_release(out->alloc, names);
}

static void report_measures(pln_text *out, const char *key, pln_model *m)
{
    measures at = { .nodes = 0 };
    pln_map_init(&at.ops, m->alloc);
    pln_graph_walk(m->graph, measure_graph, &at);
    pln_text_printf(out, "\"%s\":{\"nodes\":%llu,\"constants\":%llu,"
                         "\"constant_bytes\":%llu,\"ops\":{",
                    key, (unsigned long long)at.nodes, (unsigned long long)at.constants,
                    (unsigned long long)at.constant_bytes);
    report_ops(out, &at);
    pln_text_str(out, "}},");
    out->failed |= at.failed;
    pln_map_done(&at.ops);
}

static const char *const target_names[] = { "onnx", "ort", "planish" };

/* What was done, so that a file tells it of itself. */
static pln_status stamp(pln_model *m, const pln_optimize_options *o, const char *pipeline,
                        pln_error *err)
{
    pln_text t;
    pln_text_init(&t, m->alloc);
    pln_text_printf(&t, "{\"version\":\"%s\",\"level\":%d,\"target\":\"%s\",\"passes\":",
                    pln_version_string(), o->level, target_names[o->target]);
    pln_text_json(&t, pipeline, strlen(pipeline));
    pln_text_str(&t, "}");
    pln_status st = t.failed ? pln_oom(err)
                             : pln_model_set_metadata(m, "planish.recipe", t.data, err);
    pln_text_done(&t);
    return st;
}

static pln_status find_fused(pln_graph *g, void *user)
{
    for (const pln_node *n = g->first; n; n = n->next)
        *(bool *)user |= !strcmp(n->domain, "planish");
    return PLN_OK;
}

/* A file imports the domains that it uses. */
static pln_status import_domains(pln_model *m, pln_error *err)
{
    bool fused = false;
    pln_graph_walk(m->graph, find_fused, &fused);
    if (!fused || pln_model_opset(m, "planish"))
        return PLN_OK;
    return pln_model_set_opset(m, "planish", 1) == PLN_OK ? PLN_OK : pln_oom(err);
}

static pln_status rewrite(pln_model *m, const pln_optimize_options *o, pln_text *report,
                          pln_error *err)
{
    const pln_pass_options p = {
        .contract = pln_contract_of_level(o->passes ? 2 : o->level, o->allow_approx),
        .target = o->target,
        .disable = o->disable,
        .debug = o->debug,
        .fold_growth = o->fold_growth,
    };
    const char *pipeline = o->passes ? o->passes : pln_pipeline_of_level(o->level, false);
    report_measures(report, "before", m);
    pln_text passes;
    pln_text_init(&passes, m->alloc);
    pln_status st = pln_model_run_passes(m, pipeline, &p, &passes, err);
    if (st == PLN_OK)
        st = import_domains(m, err);
    if (st == PLN_OK && !o->no_stamp)
        st = stamp(m, o, pipeline, err);
    if (st == PLN_OK) {
        report_measures(report, "after", m);
        pln_text_printf(report, "\"passes\":%s}", passes.data ? passes.data : "[]");
    }
    pln_text_done(&passes);
    return st;
}

static pln_status read_options(const pln_optimize_options *in, pln_optimize_options *out,
                               pln_error *err)
{
    *out = (pln_optimize_options)PLN_OPTIMIZE_OPTIONS_INIT;
    if (in) {
        const size_t n = in->struct_size < sizeof *out ? in->struct_size : sizeof *out;
        memcpy(out, in, n);
    }
    if (out->level < 0 || out->level > 3)
        return pln_fail(err, PLN_E_USAGE, "level %d: 0 to 3 are allowed", out->level);
    if (out->target > PLN_TARGET_PLANISH)
        return pln_fail(err, PLN_E_USAGE, "target %d is unknown", (int)out->target);
    return PLN_OK;
}

pln_status pln_model_optimize(pln_model *model, const pln_optimize_options *options,
                              char **report, pln_error *err)
{
    pln_optimize_options o;
    pln_model *copy = NULL;
    pln_text text;
    pln_error_clear(err);
    if (report)
        *report = NULL;
    if (!model)
        return pln_fail(err, PLN_E_USAGE, "pln_model_optimize: the model is NULL");
    PLN_TRY(read_options(options, &o, err));
    PLN_TRY(pln_model_clone(model, &copy, err));
    pln_text_init(&text, model->alloc);
    pln_text_str(&text, "{\"schema\":1,");
    pln_status st = rewrite(copy, &o, &text, err);
    if (st == PLN_OK && text.failed)
        st = pln_oom(err);
    if (st == PLN_OK && report) {
        *report = pln_text_take(&text);
        st = *report ? PLN_OK : pln_oom(err);
    }
    if (st == PLN_OK)
        pln_model_swap(model, copy);
    pln_text_done(&text);
    pln_model_free(copy);
    return st;
}

pln_status pln_model_optimize_for_session(pln_model *model, pln_error *err)
{
    const pln_pass_options p = {
        .contract = PLN_REASSOC,
        .target = PLN_TARGET_PLANISH,
        .session = true,
    };
    pln_model *copy = NULL;
    pln_error local = { .code = PLN_OK };
    PLN_TRY(pln_model_clone(model, &copy, err));
    pln_status st = pln_model_run_passes(copy, pln_pipeline_of_level(3, true), &p, NULL,
                                         &local);
    if (st == PLN_OK)
        pln_model_swap(model, copy);
    else if (st != PLN_E_NOMEM)
        pln_log(model->env, PLN_LOG_WARN, "not optimized: %s", local.text);
    pln_model_free(copy);
    return st == PLN_E_NOMEM ? pln_oom(err) : PLN_OK;
}

/* ---- lists --------------------------------------------------------------------------------- */

static const char *const contract_names[] = { "exact", "reassoc", "approx" };

static void list_rules(pln_text *out, const pln_pass *p)
{
    pln_text_str(out, ",\"rules\":[");
    for (size_t i = 0; i < p->n_rules; i++) {
        const pln_rule *r = &p->rules[i];
        pln_text_printf(out, "%s{\"name\":\"%s\",\"contract\":\"%s\",\"match\":",
                        i ? "," : "", r->name ? r->name : p->name,
                        contract_names[r->contract]);
        pln_text_json(out, r->match, strlen(r->match));
        pln_text_printf(out, ",\"opset\":%d,\"target\":\"%s\"}", r->opset,
                        target_names[r->target]);
    }
    pln_text_str(out, "]");
}

static pln_contract contract_of(const pln_pass *p)
{
    pln_contract c = p->contract;
    for (size_t i = 0; i < p->n_rules; i++)
        c = p->rules[i].contract > c ? p->rules[i].contract : c;
    return c;
}

pln_status pln_passes_list(char **json, pln_error *err)
{
    pln_text t;
    pln_error_clear(err);
    if (!json)
        return pln_fail(err, PLN_E_USAGE, "pln_passes_list: nowhere to put the list");
    pln_text_init(&t, NULL);
    pln_text_str(&t, "[");
    for (size_t i = 0; pln_pass_at(i); i++) {
        const pln_pass *p = pln_pass_at(i);
        pln_text_printf(&t, "%s{\"name\":\"%s\",\"brief\":", i ? "," : "", p->name);
        pln_text_json(&t, p->brief, strlen(p->brief));
        pln_text_printf(&t, ",\"contract\":\"%s\"", contract_names[contract_of(p)]);
        list_rules(&t, p);
        pln_text_str(&t, "}");
    }
    pln_text_str(&t, "]");
    *json = pln_text_take(&t);
    pln_text_done(&t);
    return *json ? PLN_OK : pln_oom(err);
}
