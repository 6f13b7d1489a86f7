/* Rules over one graph, by a worklist.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/watch.h"

#include <stdio.h>
#include <string.h>

#include "src/ir/env.h"

#define QUEUED 1u
#define GONE   2u

/* Nodes still to be looked at. Their state is kept by node id. */
typedef struct worklist {
    pln_pass_ctx *ctx;
    const pln_allocator *alloc;
    pln_node **item;
    size_t head, n, cap;
    unsigned char *state;
    size_t state_cap;
    bool failed;
} worklist;

static unsigned char *state_of(worklist *w, const pln_node *n)
{
    static unsigned char nowhere;
    if (n->id >= w->state_cap) {
        const size_t old = w->state_cap;
        if (!pln_grow(w->alloc, (void **)&w->state, &w->state_cap, (size_t)n->id + 1,
                      1)) {
            w->failed = true;
            return &nowhere;
        }
        memset(w->state + old, 0, w->state_cap - old);
    }
    return &w->state[n->id];
}

static void push(worklist *w, pln_node *n)
{
    unsigned char *s = n ? state_of(w, n) : NULL;
    if (!s || *s)
        return;
    if (w->n == w->cap &&
        !pln_grow(w->alloc, (void **)&w->item, &w->cap, w->n + 1, sizeof *w->item)) {
        w->failed = true;
        return;
    }
    *s = QUEUED;
    w->item[w->n++] = n;
}

static pln_node *pop(worklist *w)
{
    while (w->head < w->n) {
        pln_node *n = w->item[w->head++];
        unsigned char *s = state_of(w, n);
        if (*s == GONE)
            continue;
        *s = 0;
        return n;
    }
    return NULL;
}

static void on_dead(void *user, pln_node *n)
{
    worklist *w = user;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i])
            push(w, n->in[i]->def);
    *state_of(w, n) = GONE;
}

static void push_users(worklist *w, const pln_graph *g, pln_value *v)
{
    for (pln_use *u = v ? v->uses : NULL; u; u = u->next)
        if (u->node && u->graph == g)
            push(w, u->node);
}

static void push_around(worklist *w, const pln_patch *p)
{
    for (int i = 0; i < p->n_nodes; i++) {
        pln_node *n = p->node[i];
        push(w, n);
        for (uint32_t k = 0; k < n->n_in; k++)
            if (n->in[k] && n->in[k]->def && n->in[k]->graph == p->graph)
                push(w, n->in[k]->def);
        for (uint32_t k = 0; k < n->n_out; k++)
            push_users(w, p->graph, n->out[k]);
    }
    for (int i = 0; i < p->n_replaced; i++) {
        push_users(w, p->graph, p->new[i]);
        if (p->new[i]->def && p->new[i]->graph == p->graph)
            push(w, p->new[i]->def);
    }
}

/* ---- one rule at one node ------------------------------------------------------- */

/* It matched, as far as m says, and did nothing. */
static pln_status no(pln_pass_ctx *ctx, const pln_rule_state *c, pln_node *n,
                     const char *why, int matched)
{
    if (matched == c->n_ops) {
        ctx->stat->refused++;
        c->stat->refused++;
    }
    if (ctx->options->stats || ctx->options->explain)
        pln_watch_miss(ctx, n, c->rule, why, matched, c->n_ops);
    pln_debug_explain(ctx, n, pln_rule_name(ctx, c->rule), why);
    return PLN_E_UNSUPPORTED;
}

static bool opset_allows(const pln_pass_ctx *ctx, const pln_rule *r)
{
    return (r->stated && ctx->options->target != PLN_TARGET_ONNX) ||
           pln_pass_allows_opset(ctx, r->opset);
}

/* The names that a patch takes which is built to be told of, and no more, are others than
 * those that the model gets: whoever asks for reasons gets the same file. */
static void swap_names(pln_pass_ctx *ctx)
{
    const uint32_t n = ctx->model->n_fresh;
    ctx->model->n_fresh = ctx->n_fresh;
    ctx->n_fresh = n;
}

/* Nothing but the operator set forbids it. */
static pln_status tell_opset(pln_pass_ctx *ctx, const pln_rule_state *c, pln_node *n)
{
    char why[80];
    snprintf(why, sizeof why, "it needs operator set %d, the model has %lld",
             c->rule->opset, (long long)ctx->opset);
    return no(ctx, c, n, why, c->n_ops);
}

static pln_status build(worklist *w, const pln_rule_state *c, pln_node *n, pln_match *m,
                        pln_error *err)
{
    pln_pass_ctx *ctx = w->ctx;
    pln_patch p;
    char why[256] = "";
    pln_patch_begin(&p, ctx, n);
    p.opaque = ctx->pass == ctx->user;
    const bool allowed = opset_allows(ctx, c->rule);
    if (!allowed)
        swap_names(ctx);
    pln_status st = c->replace ? pln_template_build(c->replace, m, &p, ctx->scratch)
                               : c->rule->build(m, &p);
    if (!allowed)
        swap_names(ctx);
    if (st == PLN_OK && !allowed) {
        pln_patch_abort(&p);
        return tell_opset(ctx, c, n);
    }
    if (st == PLN_OK)
        st = pln_patch_commit(&p, m, n, on_dead, w, why, sizeof why, err);
    else
        pln_patch_abort(&p);
    if (st == PLN_E_UNSUPPORTED)
        return no(ctx, c, n, why[0] ? why : m->why, c->n_ops);
    if (st != PLN_OK)
        return err && err->code ? st
                                : pln_fail(err, st, "%s: out of memory", ctx->pass->name);
    c->stat->applied++;
    push_around(w, &p);
    return PLN_OK;
}

/* PLN_OK: applied. PLN_E_UNSUPPORTED: not here. */
static pln_status try_rule(worklist *w, const pln_rule_state *c, pln_node *n,
                           pln_error *err)
{
    pln_pass_ctx *ctx = w->ctx;
    pln_match m;
    if (!opset_allows(ctx, c->rule) && !pln_pass_wants_reasons(ctx))
        return PLN_E_UNSUPPORTED;
    c->stat->tried++;
    if (!pln_match_at(&c->pattern, n, ctx, &m)) {
        if (m.why[0])
            no(ctx, c, n, m.why, m.best);
        return PLN_E_UNSUPPORTED;
    }
    c->stat->matched++;
    m.why[0] = '\0';
    ctx->rule = c->rule;
    pln_status st = c->rule->check ? c->rule->check(&m) : PLN_OK;
    if (st == PLN_OK && c->where)
        st = pln_ex_holds(c->where, &m, ctx->scratch);
    if (st == PLN_E_UNSUPPORTED)
        return no(ctx, c, n, m.why, c->n_ops);
    return st != PLN_OK ? st : build(w, c, n, &m, err);
}

/* The time is the rule's, whatever comes of it. */
static pln_status try_timed(worklist *w, pln_rule_state *c, pln_node *n, pln_error *err)
{
    PLN_TRY(pln_rule_make_ready(w->ctx, c, err));
    if (!w->ctx->options->stats)
        return try_rule(w, c, n, err);
    const double start = pln_clock();
    const pln_status st = try_rule(w, c, n, err);
    c->stat->seconds += pln_clock() - start;
    return st;
}

/* The rule that was applied most in this run of the pass. */
static void warn_of_loop(const pln_pass_ctx *ctx, const pln_ruleset *s,
                         const pln_graph *g, uint64_t applied)
{
    const pln_rule_state *most = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (s->rules[i].ready &&
            (!most || s->rules[i].stat->applied > most->stat->applied))
            most = &s->rules[i];
    pln_log(g->model->env, PLN_LOG_WARN,
            "pass %s: stopped after %llu rewrites: rule %s goes on and on",
            ctx->pass->name, (unsigned long long)applied, pln_rule_name(ctx, most->rule));
}

static pln_status run_worklist(worklist *w, const pln_ruleset *s, pln_graph *g,
                               pln_error *err)
{
    const uint64_t budget = 256 + 64 * (uint64_t)g->n_nodes;
    uint64_t applied = 0;
    for (pln_node *n = g->first; n; n = n->next)
        push(w, n);
    for (pln_node *n; (n = pop(w));) {
        const pln_root_rules *e = pln_map_get(&s->by_root, n->op_type);
        for (; e; e = e->next) {
            const pln_status st = try_timed(w, e->rule, n, err);
            if (w->failed)
                return pln_oom(err);
            if (st == PLN_OK && ++applied > budget) {
                warn_of_loop(w->ctx, s, g, applied);
                return PLN_OK;
            }
            if (st == PLN_OK)
                break;
            if (st != PLN_E_UNSUPPORTED)
                return st;
        }
    }
    return PLN_OK;
}

pln_status pln_rules_run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    pln_ruleset *s;
    PLN_TRY(pln_ruleset_get(ctx, &s, err));
    if (!s->n)
        return PLN_OK;
    worklist w = { .ctx = ctx, .alloc = ctx->model->alloc };
    const pln_status st = run_worklist(&w, s, g, err);
    pln_release(w.alloc, w.item);
    pln_release(w.alloc, w.state);
    return st;
}
