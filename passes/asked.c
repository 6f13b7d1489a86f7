/* Names that options ask for: what they are, and why nothing was seen of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/watch.h"

#include <stdio.h>
#include <string.h>

#include "src/util/near.h"

/* ---- all names --------------------------------------------------------------------- */

/* Goes on until it says true. */
typedef bool (*visitor)(void *user, const pln_pass *p, const pln_rule *r);

/* Every pass, and every rule with a name of its own. */
static bool visit_rules(const pln_pass_ctx *ctx, visitor fn, void *user)
{
    for (size_t i = 0;; i++) {
        const pln_pass *p = i ? pln_pass_at(i - 1) : ctx->user;
        if (i && !p)
            return false;
        if (p && fn(user, p, NULL))
            return true;
        for (size_t k = 0; p && k < p->n_rules; k++)
            if (fn(user, p, &p->rules[k]))
                return true;
    }
}

static const char *name_of(const pln_pass *p, const pln_rule *r)
{
    return r && r->name ? r->name : p->name;
}

static bool is_it(void *user, const pln_pass *p, const pln_rule *r)
{
    return !strcmp(user, name_of(p, r));
}

static bool offer(void *user, const pln_pass *p, const pln_rule *r)
{
    pln_near_offer(user, name_of(p, r));
    return false;
}

static bool names_node(const pln_node *n, const char *name)
{
    if (!strcmp(n->name, name))
        return true;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && !strcmp(n->out[i]->name, name))
            return true;
    return false;
}

typedef struct graph_search {
    const char *name;
    bool found;
    pln_near near;
} graph_search;

static pln_status search_graph(pln_graph *g, void *user)
{
    graph_search *s = user;
    for (const pln_node *n = g->first; n && !s->found; n = n->next) {
        s->found = names_node(n, s->name);
        if (*n->name)
            pln_near_offer(&s->near, n->name);
        else if (n->n_out && n->out[0])
            pln_near_offer(&s->near, n->out[0]->name);
    }
    return PLN_OK;
}

static bool is_in_model(pln_pass_ctx *ctx, graph_search *s)
{
    pln_graph_walk(ctx->model->graph, search_graph, s);
    for (size_t i = 0; i < ctx->model->n_functions && !s->found; i++)
        if (ctx->model->functions[i]->body)
            pln_graph_walk(ctx->model->functions[i]->body, search_graph, s);
    return s->found;
}

static pln_status unknown(const char *what, const pln_near *near, pln_error *err)
{
    if (near->best)
        return pln_fail(err, PLN_E_USAGE, "%s is called '%s'; did you mean '%s'?", what,
                        near->word, near->best);
    return pln_fail(err, PLN_E_USAGE, "%s is called '%s'", what, near->word);
}

/* ---- before the first pass --------------------------------------------------------- */

static pln_status check_disabled(const pln_pass_ctx *ctx, pln_error *err)
{
    char name[128];
    pln_near near;
    for (const char *at = ctx->options->disable; at && *at;) {
        const size_t len = strcspn(at, ", ");
        const size_t n = len < sizeof name ? len : sizeof name - 1;
        memcpy(name, at, n);
        name[n] = '\0';
        at += len + strspn(at + len, ", ");
        if (!n || visit_rules(ctx, is_it, name))
            continue;
        pln_near_begin(&near, name);
        visit_rules(ctx, offer, &near);
        return unknown("disable: no pass or rule", &near, err);
    }
    return PLN_OK;
}

pln_status pln_asked_start(pln_pass_ctx *ctx, pln_error *err)
{
    const char *name = ctx->options->explain;
    PLN_TRY(check_disabled(ctx, err));
    graph_search s = { .name = name };
    if (!name || visit_rules(ctx, is_it, (void *)(uintptr_t)name))
        return PLN_OK;
    pln_near_begin(&s.near, name);
    ctx->explain_in_model = is_in_model(ctx, &s);
    return PLN_OK;
}

/* ---- why nothing was seen ---------------------------------------------------------- */

typedef struct silence {
    const pln_pass_ctx *ctx;
    int rank; /* of the spelling that came nearest to being tried */
    char text[256];
} silence;

static bool has_run(const pln_pass_ctx *ctx, const pln_pass *p)
{
    for (size_t i = 0; i < ctx->n_stats; i++)
        if (ctx->stats[i].pass == p)
            return true;
    return false;
}

static uint64_t tried(const pln_pass_ctx *ctx, const pln_pass *p, const char *name)
{
    uint64_t n = 0;
    for (const pln_rule_stat *s = ctx->rule_stats; s; s = s->next)
        if (s->pass == p && s->rule && (!name || !strcmp(name_of(p, s->rule), name)))
            n += s->tried;
    return n;
}

/* What keeps a rule (NULL: a pass) from being tried, and how late that is. */
static int what_stops(const pln_pass_ctx *ctx, const pln_pass *p, const pln_rule *r,
                      char *text, size_t size)
{
    static const char *const targets[] = { "onnx", "ort", "planish" };
    const bool own = p == ctx->user;
    const pln_contract contract = r ? r->contract : p->contract;
    const pln_target target = r ? r->target : p->target;
    const char *name = name_of(p, r);
    if (pln_pass_is_disabled(ctx, name) || pln_pass_is_disabled(ctx, p->name)) {
        snprintf(text, size, "it is switched off");
        return 2;
    }
    if (!own && (!p->n_rules || r) && target > ctx->options->target) {
        snprintf(text, size, "it is for target %s", targets[target]);
        return 3;
    }
    if (!own && (!p->n_rules || r) && contract > ctx->options->contract) {
        snprintf(text, size, contract == PLN_APPROX
                                 ? "it is approximate: allowed by --allow-approx"
                                 : "it rounds elsewhere: allowed from level 2 on");
        return 4;
    }
    if (!has_run(ctx, p)) {
        snprintf(text, size, "pass %s is not in this level's and target's pipeline",
                 p->name);
        return 1;
    }
    const uint64_t n = tried(ctx, p, r ? name : NULL);
    snprintf(text, size, !p->n_rules ? "it found nothing to do"
                         : n         ? "it was tried at %llu nodes and matched at none"
                                     : "no node is of an operator at which it begins",
             (unsigned long long)n);
    return 5;
}

static bool note_silence(void *user, const pln_pass *p, const pln_rule *r)
{
    silence *s = user;
    char text[256];
    if (strcmp(s->ctx->options->explain, name_of(p, r)) != 0)
        return false;
    const int rank = what_stops(s->ctx, p, r, text, sizeof text);
    if (rank <= s->rank)
        return false;
    s->rank = rank;
    memcpy(s->text, text, sizeof text);
    return false;
}

pln_status pln_asked_end(pln_pass_ctx *ctx, pln_error *err)
{
    silence why = { .ctx = ctx };
    const char *name = ctx->options->explain;
    if (!name || ctx->misses)
        return PLN_OK;
    visit_rules(ctx, note_silence, &why);
    if (!why.rank) {
        graph_search s = { .name = name };
        pln_near_begin(&s.near, name);
        if (!is_in_model(ctx, &s) && !ctx->explain_in_model) {
            visit_rules(ctx, offer, &s.near);
            return unknown("explain: no rule, pass, node or value", &s.near, err);
        }
        snprintf(why.text, sizeof why.text, "no rule came near that node");
    }
    ctx->silence = pln_arena_str(ctx->keep, why.text, strlen(why.text));
    return ctx->silence ? PLN_OK : pln_oom(err);
}
