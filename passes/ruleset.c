/* Rulesets: the rules of a pass that are switched on, found by the operator at their
 * root.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/watch.h"

const char *pln_rule_name(const pln_pass_ctx *ctx, const pln_rule *r)
{
    return r->name ? r->name : ctx->pass->name;
}

static bool is_on(const pln_pass_ctx *ctx, const pln_rule *r)
{
    const bool allowed = r->contract <= ctx->options->contract &&
                         r->target <= ctx->options->target;
    /* Whoever gives rules of their own wants them at any level. */
    return (allowed || ctx->pass == ctx->user) &&
           !(r->name && pln_pass_is_disabled(ctx, r->name));
}

/* The parts that are text. */
static pln_status compile_texts(pln_pass_ctx *ctx, pln_rule_state *c, pln_error *err)
{
    const pln_rule *r = c->rule;
    pln_scan s = { r->replace, &c->pattern, ctx->model->names, ctx->keep, NULL };
    if (r->replace)
        c->replace = pln_template_parse(&s);
    if (!s.what && r->where) {
        s.at = r->where;
        c->where = pln_ex_parse_condition(&s);
    }
    return s.what ? pln_fail(err, PLN_E_FORMAT, "rule %s: %s at '%.20s'",
                             pln_rule_name(ctx, r), s.what, s.at)
                  : PLN_OK;
}

pln_status pln_rule_make_ready(pln_pass_ctx *ctx, pln_rule_state *c, pln_error *err)
{
    if (c->ready)
        return PLN_OK;
    c->stat = pln_rule_stat_get(ctx, c->rule);
    if (!c->stat)
        return pln_oom(err);
    PLN_TRY(pln_pattern_compile(c->rule->match, ctx->model->names, ctx->keep, &c->pattern,
                                err));
    PLN_TRY(compile_texts(ctx, c, err));
    c->n_ops = pln_pattern_ops(&c->pattern, c->pattern.root);
    c->ready = true;
    return PLN_OK;
}

static pln_status add_root(pln_pass_ctx *ctx, pln_ruleset *s, pln_rule_state *c,
                           const char *op, pln_error *err)
{
    pln_root_rules *e = PLN_NEW(ctx->keep, pln_root_rules);
    if (!e)
        return pln_oom(err);
    e->rule = c;
    pln_root_rules *at = pln_map_get(&s->by_root, op);
    if (!at)
        return pln_map_put(&s->by_root, op, e) ? PLN_OK : pln_oom(err);
    while (at->next)
        at = at->next;
    if (at->rule != c)
        at->next = e;
    return PLN_OK;
}

static pln_status index_rule(pln_pass_ctx *ctx, pln_ruleset *s, pln_rule_state *c,
                             pln_error *err)
{
    const char *ops[PLN_PAT_OPS];
    const int n = pln_pattern_roots(c->rule->match, ctx->model->names, ops);
    if (!n)
        return pln_rule_make_ready(ctx, c, err) == PLN_OK ? pln_oom(err) : err->code;
    for (int k = 0; k < n; k++)
        PLN_TRY(add_root(ctx, s, c, ops[k], err));
    return PLN_OK;
}

pln_status pln_ruleset_get(pln_pass_ctx *ctx, pln_ruleset **out, pln_error *err)
{
    for (pln_ruleset *s = ctx->rulesets; s; s = s->next) {
        *out = s;
        if (s->pass == ctx->pass)
            return PLN_OK;
    }
    pln_ruleset *s = PLN_NEW(ctx->keep, pln_ruleset);
    *out = s;
    if (!s)
        return pln_oom(err);
    s->pass = ctx->pass;
    s->rules = PLN_NEW_ARRAY(ctx->keep, pln_rule_state, ctx->pass->n_rules + 1);
    pln_map_init(&s->by_root, ctx->model->alloc);
    s->next = ctx->rulesets;
    ctx->rulesets = s;
    if (!s->rules)
        return pln_oom(err);
    for (size_t i = 0; i < ctx->pass->n_rules; i++) {
        if (!is_on(ctx, &ctx->pass->rules[i]))
            continue;
        s->rules[s->n].rule = &ctx->pass->rules[i];
        PLN_TRY(index_rule(ctx, s, &s->rules[s->n++], err));
    }
    return PLN_OK;
}

void pln_rulesets_free(pln_pass_ctx *ctx)
{
    for (pln_ruleset *s = ctx->rulesets; s; s = s->next)
        pln_map_done(&s->by_root);
    ctx->rulesets = NULL;
}
