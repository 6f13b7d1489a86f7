/* Rulesets: the rules of a pass that are switched on, compiled and found by the operator
 * at their root.
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

static pln_status compile(pln_pass_ctx *ctx, pln_ruleset *s, pln_error *err)
{
    for (size_t i = 0; i < s->pass->n_rules; i++) {
        const pln_rule *r = &s->pass->rules[i];
        if (!is_on(ctx, r))
            continue;
        pln_rule_state *c = &s->rules[s->n++];
        c->rule = r;
        c->stat = pln_rule_stat_get(ctx, r);
        if (!c->stat)
            return pln_oom(err);
        PLN_TRY(pln_pattern_compile(r->match, ctx->model->names, ctx->keep, &c->pattern,
                                    err));
        PLN_TRY(compile_texts(ctx, c, err));
        for (int k = 0; k < c->pattern.n; k++)
            c->n_ops += c->pattern.pat[k].kind == PLN_PAT_OP;
    }
    return PLN_OK;
}

static pln_status add_root(pln_pass_ctx *ctx, pln_ruleset *s, const pln_rule_state *c,
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

static pln_status index_roots(pln_pass_ctx *ctx, pln_ruleset *s, pln_error *err)
{
    for (size_t i = 0; i < s->n; i++) {
        const pln_pat *root = &s->rules[i].pattern.pat[s->rules[i].pattern.root];
        for (int k = 0; k < root->n_ops; k++)
            PLN_TRY(add_root(ctx, s, &s->rules[i], root->op[k], err));
    }
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
    PLN_TRY(compile(ctx, s, err));
    return index_roots(ctx, s, err);
}

void pln_rulesets_free(pln_pass_ctx *ctx)
{
    for (pln_ruleset *s = ctx->rulesets; s; s = s->next)
        pln_map_done(&s->by_root);
    ctx->rulesets = NULL;
}
