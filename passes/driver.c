/* The driver: runs a pass over every graph of a model.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/verify.h"
#include "passes/watch.h"

#include <stdio.h>
#include <string.h>

/* ---- a pass over a model -------------------------------------------------------- */

typedef struct pass_walk {
    pln_pass_ctx *ctx;
    pln_error *err;
} pass_walk;

static pln_status run_on_graph(pln_graph *g, void *user)
{
    pass_walk *w = user;
    w->ctx->opset = pln_model_opset(g->model, "");
    if (w->ctx->pass->run)
        return w->ctx->pass->run(w->ctx, g, w->err);
    return pln_rules_run(w->ctx, g, w->err);
}

/* ---- model-local functions -------------------------------------------------------- */

static bool has_references(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i]->ref)
            return true;
    return false;
}

/* Passes read attributes as numbers. Nodes that refer to attributes of the function's
 * callers are operators that nobody knows for as long as a pass runs: "@Softmax". */
static pln_status hide_references(pln_graph *g, void *user)
{
    char name[128];
    (void)user;
    for (pln_node *n = g->first; n; n = n->next) {
        if (!has_references(n) || strlen(n->op_type) + 2 > sizeof name)
            continue;
        snprintf(name, sizeof name, "@%s", n->op_type);
        pln_node_set_op(n, n->domain, name);
        if (strcmp(n->op_type, name) != 0)
            return PLN_E_NOMEM;
    }
    return PLN_OK;
}

static pln_status show_references(pln_graph *g, void *user)
{
    (void)user;
    for (pln_node *n = g->first; n; n = n->next) {
        if (*n->op_type != '@' || !has_references(n))
            continue;
        pln_node_set_op(n, n->domain, n->op_type + 1);
        if (*n->op_type == '@')
            return PLN_E_NOMEM;
    }
    return PLN_OK;
}

static pln_status run_on_body(pln_graph *g, void *user)
{
    pass_walk *w = user;
    return w->ctx->pass->run ? w->ctx->pass->run(w->ctx, g, w->err)
                             : pln_rules_run(w->ctx, g, w->err);
}

/* By the function's own operator set. Those that state our fused operators are left
 * alone. */
static pln_status run_on_function(pass_walk *w, const pln_function *f)
{
    int64_t opset = 0;
    if (!f->body || !strcmp(f->domain, "planish") || w->ctx->options->session)
        return PLN_OK;
    for (size_t i = 0; i < f->n_opsets; i++)
        if (!*f->opsets[i].domain)
            opset = f->opsets[i].version;
    if (!opset)
        return PLN_OK;
    w->ctx->opset = opset;
    pln_status st = pln_graph_walk(f->body, hide_references, NULL);
    if (st == PLN_OK)
        st = pln_graph_walk(f->body, run_on_body, w);
    const pln_status shown = pln_graph_walk(f->body, show_references, NULL);
    return st == PLN_OK && shown != PLN_OK ? pln_oom(w->err) : st;
}

static bool pass_is_on(const pln_pass_ctx *ctx, const pln_pass *p)
{
    if (pln_pass_is_disabled(ctx, p->name))
        return false;
    return !p->run ||
           (p->contract <= ctx->options->contract && p->target <= ctx->options->target);
}

static pln_status count_nodes(pln_graph *g, void *user)
{
    *(int64_t *)user += g->n_nodes;
    return PLN_OK;
}

static int64_t model_nodes(pln_model *m)
{
    int64_t n = 0;
    pln_graph_walk(m->graph, count_nodes, &n);
    return n;
}

static pln_pass_stat *find_stat(pln_pass_ctx *ctx, const pln_pass *pass)
{
    for (size_t i = 0; i < ctx->n_stats; i++)
        if (ctx->stats[i].pass == pass)
            return &ctx->stats[i];
    ctx->stats[ctx->n_stats] = (pln_pass_stat){ .pass = pass };
    return &ctx->stats[ctx->n_stats++];
}

pln_status pln_pass_run(pln_pass_ctx *ctx, const pln_pass *pass, pln_error *err)
{
    if (!pass_is_on(ctx, pass))
        return PLN_OK;
    pln_model *before = NULL;
    ctx->pass = pass;
    ctx->rule = NULL;
    ctx->stat = find_stat(ctx, pass);
    ctx->changed = false;
    if (ctx->stat->settled == ctx->n_rewrites + 1)
        return PLN_OK;
    const int64_t nodes = model_nodes(ctx->model);
    const double start = pln_clock();
    const uint64_t unsure = ctx->n_rewrites - ctx->n_sure;
    PLN_TRY(pln_verify_before(ctx, &before, err));
    pass_walk w = { ctx, err };
    pln_status st = pln_graph_walk(ctx->model->graph, run_on_graph, &w);
    for (size_t i = 0; st == PLN_OK && i < ctx->model->n_functions; i++)
        st = run_on_function(&w, ctx->model->functions[i]);
    ctx->stat->runs++;
    ctx->stat->seconds += pln_clock() - start;
    ctx->stat->nodes += model_nodes(ctx->model) - nodes;
    if (st == PLN_OK && before && ctx->n_rewrites - ctx->n_sure != unsure)
        st = pln_verify_after(ctx, before, err);
    if (!ctx->changed)
        ctx->stat->settled = ctx->n_rewrites + 1;
    if (st == PLN_OK && ctx->changed && ctx->options->watch.on_pass)
        ctx->options->watch.on_pass(ctx->options->watch.user, pass->name, ctx->model);
    if (st == PLN_OK)
        st = pln_debug_after(ctx, err);
    else
        st = pln_fail_prefix(err, st, "pass %s", pass->name);
    pln_model_free(before);
    pln_arena_reset(ctx->scratch);
    ctx->pass = NULL;
    return st;
}

static bool may_begin(pln_pass_ctx *ctx, const pln_node *n)
{
    const uint64_t stop = ctx->options->watch.stop_after;
    if ((ctx->debug.on & PLN_DEBUG_LIMIT) && ctx->n_rewrites >= ctx->debug.limit)
        return false;
    if (stop && ctx->n_rewrites >= stop)
        return false;
    ctx->n_rewrites++;
    ctx->changed = true;
    ctx->stat->applied++;
    if (ctx->options->stats && !ctx->rule) {
        pln_rule_stat *s = pln_rule_stat_get(ctx, NULL);
        if (s)
            s->applied++;
    }
    if (ctx->options->explain)
        pln_watch_miss(ctx, n, ctx->rule, NULL, 0, 0);
    pln_debug_explain(ctx, n, NULL, NULL);
    return true;
}

bool pln_pass_begin(pln_pass_ctx *ctx, const pln_node *n)
{
    if (!may_begin(ctx, n))
        return false;
    pln_watch_rewrite(ctx, NULL, NULL, n);
    return true;
}

bool pln_patch_begin_commit(pln_patch *p, const pln_match *m, const pln_node *n)
{
    pln_pass_ctx *ctx = p->ctx;
    if (!may_begin(ctx, n))
        return false;
    ctx->n_sure += ctx->options->verify == PLN_VERIFY_REWRITE;
    pln_watch_rewrite(ctx, p, m, n);
    return true;
}

bool pln_pass_begin_sure(pln_pass_ctx *ctx, const pln_node *n)
{
    const bool yes = pln_pass_begin(ctx, n);
    ctx->n_sure += yes && ctx->options->verify != PLN_VERIFY_PASS;
    return yes;
}

void pln_pass_explain(pln_pass_ctx *ctx, const pln_node *n, const char *rule,
                      const char *why)
{
    if (ctx->options->stats || ctx->options->explain)
        pln_watch_miss(ctx, n, ctx->rule, why, 0, 0);
    pln_debug_explain(ctx, n, rule, why);
}

static bool list_has(const char *list, const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = list; at && *at;) {
        const size_t n = strcspn(at, ", ");
        if (n == len && !memcmp(at, name, len))
            return true;
        at += n + strspn(at + n, ", ");
    }
    return false;
}

bool pln_pass_is_disabled(const pln_pass_ctx *ctx, const char *name)
{
    return list_has(ctx->options->disable, name);
}

bool pln_pass_allows_opset(const pln_pass_ctx *ctx, int opset)
{
    return !opset || ctx->options->session || ctx->opset >= opset;
}
