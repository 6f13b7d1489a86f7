/* A pass as a whole: the graph before and after it, on the same inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "passes/verify.h"
#include "src/ir/eval.h"

#define WORK_MAX  1e8  /* floating-point operations of one run */
#define TOLERANCE 1e-4 /* of REASSOC rules, relative to the largest result */

typedef struct pair {
    pln_model *before, *after;
    pln_judge judge;
    pln_tensor **in, **was, **is;
    char *why;
    size_t why_size;
} pair;

static bool is_numeric(const pln_pass_ctx *ctx)
{
    return (ctx->debug.on & PLN_DEBUG_NUMERIC) != 0;
}

pln_status pln_verify_before(pln_pass_ctx *ctx, pln_model **before, pln_error *err)
{
    const pln_verify v = ctx->options->verify;
    *before = NULL;
    if (v == PLN_VERIFY_PASS || (v == PLN_VERIFY_REWRITE && ctx->pass->run) ||
        is_numeric(ctx))
        return pln_model_clone(ctx->model, before, err);
    return PLN_OK;
}

static void release(pln_tensor **t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        pln_tensor_unref(t[i]);
        t[i] = NULL;
    }
}

/* false: an input can't be made, `why` says. */
static pln_status fill(pair *p, int64_t size, pln_flavor f, bool *ok, pln_error *err)
{
    const pln_graph *g = p->before->graph;
    const pln_sizes_choice s = { .size = size, .rank = 2 };
    *ok = true;
    for (uint32_t i = 0; i < g->n_inputs && *ok; i++) {
        const char *why = NULL;
        if (g->inputs[i]->cst)
            continue;
        PLN_TRY(pln_feed_make(g->inputs[i], &s, f, 77 * i + 5, &p->in[i], &why, err));
        *ok = p->in[i] != NULL;
        if (!*ok)
            snprintf(p->why, p->why_size, "%s", why);
    }
    return PLN_OK;
}

static pln_verdict compare(pair *p, pln_flavor f)
{
    const pln_graph *g = p->after->graph;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        if (!pln_compares(p->was[i]) || !pln_compares(p->is[i]))
            continue;
        const int64_t at = pln_compare(p->was[i], p->is[i], &p->judge);
        if (at == -1)
            continue;
        if (at < 0)
            snprintf(p->why, p->why_size, "with %s output '%s' has another shape",
                     pln_flavor_name(f), g->output_names[i]);
        else
            snprintf(p->why, p->why_size,
                     "with %s output '%s'[%lld] was %.9g and becomes %.9g",
                     pln_flavor_name(f), g->output_names[i], (long long)at,
                     pln_tensor_get_f64(p->was[i], at), pln_tensor_get_f64(p->is[i], at));
        return PLN_VERDICT_BROKEN;
    }
    return PLN_VERDICT_SAME;
}

/* What could not be run before proves nothing. */
static pln_verdict run_both(pair *p, pln_flavor f)
{
    pln_error local = { .code = PLN_OK };
    double work = WORK_MAX;
    if (pln_graph_eval(p->before->graph, p->in, p->was, &work, &local) != PLN_OK) {
        snprintf(p->why, p->why_size, "can't be run: %s", local.text);
        return PLN_VERDICT_UNKNOWN;
    }
    work = 2 * WORK_MAX;
    if (pln_graph_eval(p->after->graph, p->in, p->is, &work, &local) != PLN_OK) {
        snprintf(p->why, p->why_size, "with %s it fails: %s", pln_flavor_name(f),
                 local.text);
        const bool can_not = local.code == PLN_E_LIMIT || local.code == PLN_E_NOMEM ||
                             local.code == PLN_E_UNSUPPORTED;
        return can_not ? PLN_VERDICT_UNKNOWN : PLN_VERDICT_BROKEN;
    }
    return compare(p, f);
}

static pln_status run_one(pair *p, int64_t size, pln_flavor f, pln_verdict *out,
                          pln_error *err)
{
    bool ok;
    *out = PLN_VERDICT_UNKNOWN;
    pln_status st = fill(p, size, f, &ok, err);
    if (st == PLN_OK && ok)
        *out = run_both(p, f);
    release(p->in, p->before->graph->n_inputs);
    release(p->was, p->before->graph->n_outputs);
    release(p->is, p->after->graph->n_outputs);
    return st;
}

static pln_status run_all(pair *p, pln_verdict *out, pln_error *err)
{
    static const int64_t sizes[] = { 2, 8, 32, 1, 300 };
    size_t i = 0;
    *out = PLN_VERDICT_UNKNOWN;
    for (; i < sizeof sizes / sizeof sizes[0] && *out == PLN_VERDICT_UNKNOWN; i++)
        PLN_TRY(run_one(p, sizes[i], PLN_FLAVOR_PLAIN, out, err));
    for (int f = PLN_FLAVOR_POSITIVE; *out == PLN_VERDICT_SAME && f <= PLN_FLAVOR_ZERO;
         f++) {
        pln_verdict v;
        PLN_TRY(run_one(p, sizes[i - 1], (pln_flavor)f, &v, err));
        *out = v == PLN_VERDICT_BROKEN ? v : *out;
    }
    return PLN_OK;
}

static pln_contract contract_of(const pln_pass *p)
{
    pln_contract c = p->contract;
    for (size_t i = 0; i < p->n_rules; i++)
        c = p->rules[i].contract > c ? p->rules[i].contract : c;
    return c;
}

static pln_status judge(pln_pass_ctx *ctx, pln_model *before, pln_verdict *out, char *why,
                        size_t size, pln_error *err)
{
    const pln_allocator *a = ctx->model->alloc;
    const uint32_t n_in = before->graph->n_inputs, n_out = before->graph->n_outputs;
    const pln_contract c = contract_of(ctx->pass);
    pair p = { .before = before, .after = ctx->model, .why = why, .why_size = size,
               .judge = { .contract = c == PLN_EXACT ? PLN_EXACT : PLN_APPROX,
                          .bound = TOLERANCE, .steps = c != PLN_EXACT } };
    p.in = pln_calloc(a, (size_t)n_in + 2 * (size_t)n_out + 1, sizeof *p.in);
    if (!p.in)
        return pln_oom(err);
    p.was = p.in + n_in;
    p.is = p.was + n_out;
    const pln_status st = run_all(&p, out, err);
    pln_release(a, p.in);
    return st;
}

static pln_status take_back(pln_pass_ctx *ctx, pln_model *before, const char *why,
                            pln_error *err)
{
    PLN_TRY(pln_verify_refused(ctx, NULL, why, err));
    pln_rulesets_free(ctx); /* their names are the model's */
    pln_model_swap(ctx->model, before);
    ctx->changed = false;
    return PLN_OK;
}

pln_status pln_verify_after(pln_pass_ctx *ctx, pln_model *before, pln_error *err)
{
    char why[400] = "";
    pln_verdict v;
    ctx->rule = NULL;
    if (ctx->model->graph->n_outputs != before->graph->n_outputs ||
        ctx->model->graph->n_inputs != before->graph->n_inputs)
        return pln_fail(err, PLN_E_FORMAT, "the interface has changed");
    PLN_TRY(judge(ctx, before, &v, why, sizeof why, err));
    ctx->n_verdicts[v]++;
    if (v == PLN_VERDICT_UNKNOWN)
        return pln_verify_unknown(ctx, why, err);
    if (v == PLN_VERDICT_SAME)
        return PLN_OK;
    if (is_numeric(ctx))
        return pln_fail(err, PLN_E_RUN, "after %s: %s", ctx->pass->name, why);
    return take_back(ctx, before, why, err);
}
