/* Commit: the one way from a patch that was built to a graph that is changed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/verify.h"
#include "passes/watch.h"

#include <stdio.h>
#include <string.h>

/* ---- counting ---------------------------------------------------------------------- */

pln_status pln_verify_unknown(pln_pass_ctx *ctx, const char *why, pln_error *err)
{
    return pln_reason_count(ctx->keep, &ctx->unverified, why) ? PLN_OK : pln_oom(err);
}

static bool is_known(const pln_pass_ctx *ctx, const char *rule, const char *where)
{
    for (const pln_refusal *r = ctx->refusals; r; r = r->next)
        if (!strcmp(r->rule, rule) && !strcmp(r->where, where))
            return true;
    return false;
}

/* Once for each rule and node: later rounds try it again. */
pln_status pln_verify_refused(pln_pass_ctx *ctx, const pln_node *n, const char *why,
                               pln_error *err)
{
    char buf[256];
    const char *rule = ctx->rule ? pln_rule_name(ctx, ctx->rule) : ctx->pass->name;
    const char *where = n ? pln_node_where(n, buf, sizeof buf) : "graph";
    if (is_known(ctx, rule, where))
        return PLN_OK;
    pln_refusal *r = PLN_NEW(ctx->keep, pln_refusal);
    if (!r)
        return pln_oom(err);
    *r = (pln_refusal){ .pass = ctx->pass->name,
                        .rule = pln_arena_str(ctx->keep, rule, strlen(rule)),
                        .where = pln_arena_str(ctx->keep, where, strlen(where)),
                        .text = pln_arena_str(ctx->keep, why, strlen(why)) };
    if (!r->rule || !r->where || !r->text)
        return pln_oom(err);
    pln_refusal **at = &ctx->refusals;
    while (*at)
        at = &(*at)->next;
    *at = r;
    return PLN_OK;
}

/* PLN_E_UNSUPPORTED: it breaks its contract. */
static pln_status verify(pln_pass_ctx *ctx, const pln_patch *p, const pln_match *m,
                         const pln_node *n, char *why, size_t size, pln_error *err)
{
    pln_verdict v;
    char text[400] = "";
    PLN_TRY(pln_verify_patch(ctx, p, m, &v, text, sizeof text, err));
    ctx->n_verdicts[v]++;
    if (v == PLN_VERDICT_UNKNOWN) {
        snprintf(why, size, "not verified: %.220s", text);
        pln_pass_explain(ctx, n, NULL, why);
        why[0] = '\0';
        return pln_verify_unknown(ctx, text, err);
    }
    if (v != PLN_VERDICT_BROKEN)
        return PLN_OK;
    PLN_TRY(pln_verify_refused(ctx, n, text, err));
    snprintf(why, size, "breaks its contract: %.200s", text);
    return PLN_E_UNSUPPORTED;
}

/* ---- counting what it saves -------------------------------------------------------- */

typedef struct counter {
    pln_rule_stat *stat;
    void (*dead)(void *user, pln_node *n);
    void *user;
} counter;

static int64_t bytes_of(const pln_value *v)
{
    size_t bytes = 0;
    const pln_tensor *t = v->cst;
    if (!t || t->kind != PLN_KIND_TENSOR ||
        !pln_dims_bytes((pln_dtype)t->dtype, t->rank, t->dims, &bytes))
        return 0;
    return (int64_t)bytes;
}

static void on_dead(void *user, pln_node *n)
{
    counter *c = user;
    c->stat->nodes++;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->n_uses == 1 && pln_value_is_const(n->in[i]))
            c->stat->bytes += bytes_of(n->in[i]);
    if (c->dead)
        c->dead(c->user, n);
}

static pln_status apply(pln_patch *p, void (*dead)(void *user, pln_node *n), void *user,
                        pln_error *err)
{
    pln_pass_ctx *ctx = p->ctx;
    if (!ctx->options->stats)
        return pln_patch_apply(p, dead, user, err);
    counter c = { pln_rule_stat_get(ctx, ctx->rule), dead, user };
    if (!c.stat)
        return pln_oom(err);
    c.stat->nodes -= p->n_nodes;
    for (int i = 0; i < p->n_csts; i++)
        c.stat->bytes -= bytes_of(p->cst[i]);
    return pln_patch_apply(p, on_dead, &c, err);
}

/* ---- the way ----------------------------------------------------------------------- */

pln_status pln_patch_commit(pln_patch *p, const pln_match *m, const pln_node *n,
                            void (*dead)(void *user, pln_node *n), void *user, char *why,
                            size_t why_size, pln_error *err)
{
    pln_pass_ctx *ctx = p->ctx;
    pln_status st = pln_patch_check(p, why, why_size, err);
    if (st == PLN_OK && ctx->options->verify == PLN_VERIFY_REWRITE)
        st = verify(ctx, p, m, n, why, why_size, err);
    if (st == PLN_OK && !pln_patch_begin_commit(p, m, n))
        st = PLN_E_UNSUPPORTED;
    if (st == PLN_OK)
        return apply(p, dead, user, err);
    pln_patch_abort(p);
    return st;
}
