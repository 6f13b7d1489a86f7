/* The public calls that rewrite a model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "src/ir/env.h"
#include "src/ir/inline.h"
#include "src/ir/optimize.h"
#include "src/util/map.h"
#include "src/util/text.h"

/* The facts that `info` tells. */
static pln_status report_facts(pln_text *out, const char *key, const pln_model *m,
                               pln_error *err)
{
    char *json = NULL;
    if (!out)
        return PLN_OK;
    PLN_TRY(pln_model_info(m, &json, err));
    pln_text_printf(out, "\"%s\":", key);
    pln_text_str(out, json);
    pln_text_str(out, ",");
    pln_free(m->env, json);
    return PLN_OK;
}

static const char *const target_names[] = { "onnx", "ort", "planish" };

#define RECIPE "planish.recipe"

/* Of the texts: where they lie says nothing about them. */
static uint64_t hash_of_rules(const pln_rules_source *rules, size_t n)
{
    uint64_t h = PLN_HASH_SEED;
    for (size_t i = 0; i < n; i++)
        h = pln_hash(h, rules[i].text, strlen(rules[i].text));
    return h;
}

/* What is done, so that a file tells it of itself. */
static void write_recipe(pln_text *t, const pln_optimize_options *o, const char *pipeline)
{
    pln_text_printf(t, "{\"version\":\"%s\",\"level\":%d,\"target\":\"%s\",\"passes\":",
                    pln_version_string(), o->level, target_names[o->target]);
    pln_text_json(t, pipeline, strlen(pipeline));
    if (o->allow_approx)
        pln_text_str(t, ",\"approx\":true");
    if (o->disable && *o->disable) {
        pln_text_str(t, ",\"disable\":");
        pln_text_json(t, o->disable, strlen(o->disable));
    }
    if (o->fold_growth)
        pln_text_printf(t, ",\"fold_growth\":%llu", (unsigned long long)o->fold_growth);
    if (o->n_rules)
        pln_text_printf(t, ",\"rules\":\"%016llx\"",
                        (unsigned long long)hash_of_rules(o->rules, o->n_rules));
    pln_text_str(t, "}");
}

static pln_status stamp(pln_model *m, const pln_optimize_options *o, const char *pipeline,
                        pln_error *err)
{
    pln_text t;
    pln_text_init(&t, m->alloc);
    write_recipe(&t, o, pipeline);
    pln_status st =
        t.failed ? pln_oom(err) : pln_model_set_metadata(m, RECIPE, t.data, err);
    pln_text_done(&t);
    return st;
}

/* The same was done to it before: what could be folded at a price has been, since another
 * run must change nothing. */
static bool was_done_before(const pln_model *m, const pln_optimize_options *o,
                            const char *pipeline)
{
    pln_text t;
    bool same = false;
    pln_text_init(&t, m->alloc);
    write_recipe(&t, o, pipeline);
    for (size_t i = 0; i < m->n_metadata && !t.failed; i++)
        same |=
            !strcmp(m->metadata[i].key, RECIPE) && !strcmp(m->metadata[i].value, t.data);
    pln_text_done(&t);
    return same;
}

static pln_status import_of_graph(pln_graph *g, void *user)
{
    for (const pln_node *n = g->first; n; n = n->next)
        if (*n->domain && !pln_model_opset(g->model, n->domain))
            PLN_TRY(pln_model_set_opset(g->model, n->domain, 1));
    return PLN_OK;
}

/* A file imports the domains that it uses. */
static pln_status import_domains(pln_model *m, pln_error *err)
{
    return pln_graph_walk(m->graph, import_of_graph, NULL) == PLN_OK ? PLN_OK
                                                                     : pln_oom(err);
}

/* Gradient names values of the graph, which passes may rename or remove: it goes first,
 * or nothing is rewritten. */
static pln_status differentiate(pln_model *m, const char **pipeline, pln_error *err)
{
    pln_error local = { .code = PLN_OK };
    if (!**pipeline)
        return PLN_OK;
    const pln_status st = pln_model_expand_gradients(m, &local);
    if (st == PLN_E_NOMEM)
        return pln_oom(err);
    if (st != PLN_OK) {
        pln_log(m->env, PLN_LOG_WARN, "nothing is rewritten: %s", local.text);
        *pipeline = "";
    }
    return PLN_OK;
}

static pln_status find_ours(pln_graph *g, void *user)
{
    for (const pln_node *n = g->first; n; n = n->next)
        *(bool *)user |= !strcmp(n->domain, "planish");
    return PLN_OK;
}

/* No import of our domain stays that nothing needs. */
static void forget_ours(pln_model *m)
{
    bool fused = false;
    size_t n = 0;
    pln_graph_walk(m->graph, find_ours, &fused);
    for (size_t i = 0; i < m->n_opsets; i++)
        if (fused || strcmp(m->opsets[i].domain, "planish") != 0)
            m->opsets[n++] = m->opsets[i];
    m->n_opsets = n;
}

static pln_status rewrite(pln_model *m, const pln_optimize_options *o, pln_text *report,
                          pln_error *err)
{
    pln_pass_options p = {
        .contract = pln_contract_of_level(o->passes ? 2 : o->level, o->allow_approx),
        .target = o->passes || o->level > 2 ? o->target : PLN_TARGET_ONNX,
        .disable = o->disable,
        .debug = o->debug,
        .fold_growth = o->fold_growth,
        .verify = o->verify,
        .stats = o->stats,
        .explain = o->explain,
        .watch = o->watch,
        .rules = o->rules,
        .n_rules = o->n_rules,
    };
    const char *pipeline =
        o->passes ? o->passes : pln_pipeline_of_level(o->level, o->target, false);
    const size_t functions = m->n_functions;
    PLN_TRY(report_facts(report, "before", m, err));
    if (*pipeline)
        PLN_TRY(pln_model_free_makers(m, err));
    const bool freed = m->n_functions < functions;
    if (o->target != PLN_TARGET_PLANISH && *pipeline) {
        PLN_TRY(pln_model_unfuse(m, err));
        forget_ours(m);
    }
    PLN_TRY(differentiate(m, &pipeline, err));
    pln_text passes, with_rules;
    pln_text_init(&passes, m->alloc);
    pln_text_init(&with_rules, m->alloc);
    if (o->n_rules) {
        pln_pipeline_with_rules(&with_rules, pipeline, o->level, o->passes != NULL);
        pipeline = with_rules.data;
    }
    if (!with_rules.failed && was_done_before(m, o, pipeline))
        p.fold_growth = 1;
    pln_status st = with_rules.failed ? pln_oom(err) : PLN_OK;
    if (st == PLN_OK && freed) /* each had its own of what it shared with others */
        st = pln_model_run_passes(m, "cse", &p, NULL, err);
    if (st == PLN_OK)
        st = pln_model_run_passes(m, pipeline, &p, &passes, err);
    if (st == PLN_OK)
        st = import_domains(m, err);
    if (st == PLN_OK && o->target != PLN_TARGET_PLANISH && *pipeline)
        forget_ours(m);
    if (st == PLN_OK && !o->no_stamp && *pipeline)
        st = stamp(m, o, pipeline, err);
    if (st == PLN_OK)
        st = report_facts(report, "after", m, err);
    if (st == PLN_OK && report) {
        pln_text_str(report, passes.data ? passes.data : "\"passes\":[]");
        pln_text_str(report, "}");
    }
    pln_text_done(&passes);
    pln_text_done(&with_rules);
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
    pln_status st = rewrite(copy, &o, report ? &text : NULL, err);
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
    pln_status st = pln_model_run_passes(
        copy, pln_pipeline_of_level(3, PLN_TARGET_PLANISH, true), &p, NULL, &local);
    if (st == PLN_OK)
        pln_model_swap(model, copy);
    else if (st != PLN_E_NOMEM)
        pln_log(model->env, PLN_LOG_WARN, "not optimized: %s", local.text);
    pln_model_free(copy);
    return st == PLN_E_NOMEM ? pln_oom(err) : PLN_OK;
}

/* ---- lists ---------------------------------------------------------------------- */

static const char *const contract_names[] = { "exact", "reassoc", "approx" };

static void list_rules(pln_text *out, const pln_pass *p)
{
    pln_text_str(out, ",\"rules\":[");
    for (size_t i = 0; i < p->n_rules; i++) {
        const pln_rule *r = &p->rules[i];
        pln_text_printf(out,
                        "%s{\"name\":\"%s\",\"contract\":\"%s\",\"match\":", i ? "," : "",
                        r->name ? r->name : p->name, contract_names[r->contract]);
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
