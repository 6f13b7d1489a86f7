/* PLN_DEBUG: everything that can be seen of a pass at work.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/util/map.h"

/* name, bit, help */
#define SWITCHES(X)                                                                      \
    X("print", PLN_DEBUG_PRINT, "print[=PASS]  the graph after every pass, or that one") \
    X("validate", PLN_DEBUG_VALIDATE, "validate      check the graph after every pass")  \
    X("roundtrip", PLN_DEBUG_ROUNDTRIP,                                                  \
      "roundtrip     print and parse the graph after every pass")                        \
    X("numeric", PLN_DEBUG_NUMERIC,                                                      \
      "numeric       run the graph before and after every pass, fail where it differs")  \
    X("limit", PLN_DEBUG_LIMIT, "limit=N       stop after the N-th rewrite")             \
    X("explain", PLN_DEBUG_EXPLAIN,                                                      \
      "explain       rewrites, near misses and refusals of rules")                       \
    X("time", PLN_DEBUG_TIME,                                                            \
      "time          what each pass took, and the operators at the end")

static const struct {
    const char *name;
    uint32_t bit;
} switches[] = {
#define X(name, bit, help) { name, bit },
    SWITCHES(X)
#undef X
};

const char *pln_debug_help(void)
{
#define X(name, bit, help) help "\n"
    return SWITCHES(X);
#undef X
}

static pln_status parse_switch(const char *at, size_t len, pln_debug *out, pln_error *err)
{
    const char *eq = memchr(at, '=', len);
    const size_t name_len = eq ? (size_t)(eq - at) : len;
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (strlen(switches[i].name) != name_len ||
            memcmp(switches[i].name, at, name_len) != 0)
            continue;
        out->on |= switches[i].bit;
        if (switches[i].bit == PLN_DEBUG_LIMIT && eq)
            out->limit = strtoull(eq + 1, NULL, 10);
        if (switches[i].bit == PLN_DEBUG_PRINT && eq)
            snprintf(out->print_pass, sizeof out->print_pass, "%.*s",
                     (int)(len - name_len - 1), eq + 1);
        return PLN_OK;
    }
    return pln_fail(err, PLN_E_USAGE, "PLN_DEBUG: no switch is called '%.*s'",
                    (int)name_len, at);
}

pln_status pln_debug_parse(const char *text, pln_debug *out, pln_error *err)
{
    *out = (pln_debug){ .on = 0 };
#ifndef NDEBUG
    out->on |= PLN_DEBUG_VALIDATE;
#endif
    for (const char *at = text; at && *at;) {
        const size_t len = strcspn(at, ", ");
        if (len)
            PLN_TRY(parse_switch(at, len, out, err));
        at += len;
        at += strspn(at, ", ");
    }
    return PLN_OK;
}

void pln_debug_explain(pln_pass_ctx *ctx, const pln_node *n, const char *rule,
                       const char *why)
{
    char where[256];
    if (!(ctx->debug.on & (PLN_DEBUG_EXPLAIN | PLN_DEBUG_LIMIT)))
        return;
    if (why && !(ctx->debug.on & PLN_DEBUG_EXPLAIN))
        return;
    if (n)
        pln_node_where(n, where, sizeof where);
    const char *name = rule                           ? rule
                       : ctx->rule && ctx->rule->name ? ctx->rule->name
                                                      : ctx->pass->name;
    if (why)
        fprintf(stderr, "pass %s: %s: no: %s\n", name, n ? where : "graph", why);
    else
        fprintf(stderr, "pass %s: rewrite %llu: %s\n", name,
                (unsigned long long)ctx->n_rewrites, n ? where : "a constant");
}

/* ---- after a pass --------------------------------------------------------------- */

static pln_status print_graph(pln_pass_ctx *ctx, pln_error *err)
{
    char *text = NULL;
    PLN_TRY(pln_model_print(ctx->model, NULL, &text, err));
    fprintf(stderr, "# after %s\n%s\n", ctx->pass->name, text);
    pln_free(ctx->model->env, text);
    return PLN_OK;
}

static pln_status count_faults(pln_pass_ctx *ctx, char **findings, size_t *n,
                               pln_error *err)
{
    const pln_status st = pln_model_check(ctx->model, findings, n, err);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st; /* no checker in this build */
}

pln_status pln_debug_start(pln_pass_ctx *ctx, pln_error *err)
{
    char *findings = NULL;
    if (!(ctx->debug.on & PLN_DEBUG_VALIDATE))
        return PLN_OK;
    PLN_TRY(count_faults(ctx, &findings, &ctx->n_faults, err));
    pln_free(ctx->model->env, findings);
    return PLN_OK;
}

static pln_status count_ops(pln_graph *g, void *user)
{
    pln_map *ops = user;
    for (const pln_node *n = g->first; n; n = n->next)
        pln_map_put(ops, n->op_type,
                    (void *)((uintptr_t)pln_map_get(ops, n->op_type) + 1));
    return PLN_OK;
}

void pln_debug_end(pln_pass_ctx *ctx)
{
    pln_map ops;
    if (!(ctx->debug.on & PLN_DEBUG_TIME))
        return;
    pln_map_init(&ops, ctx->model->alloc);
    pln_graph_walk(ctx->model->graph, count_ops, &ops);
    fprintf(stderr, "operators:");
    for (size_t i = 0; i < ops.cap; i++)
        if (ops.keys[i] && ops.values[i])
            fprintf(stderr, " %s=%llu", (const char *)ops.keys[i],
                    (unsigned long long)(uintptr_t)ops.values[i]);
    fprintf(stderr, "\n");
    pln_map_done(&ops);
}

static pln_status validate(pln_pass_ctx *ctx, pln_error *err)
{
    char *findings = NULL;
    size_t n = 0;
    pln_status st = PLN_OK;
    PLN_TRY(count_faults(ctx, &findings, &n, err));
    if (n > ctx->n_faults)
        st = pln_fail(err, PLN_E_FORMAT, "after %s the graph is not valid: %s",
                      ctx->pass->name, findings);
    pln_free(ctx->model->env, findings);
    return st;
}

static pln_status roundtrip(pln_pass_ctx *ctx, pln_error *err)
{
    pln_model *again = NULL;
    char *a = NULL, *b = NULL;
    pln_status st = pln_model_print(ctx->model, NULL, &a, err);
    if (st == PLN_OK)
        st = pln_model_parse(ctx->model->env, a, strlen(a), ctx->model->directory, &again,
                             err);
    if (st == PLN_OK)
        st = pln_model_print(again, NULL, &b, err);
    if (st == PLN_OK && strcmp(a, b) != 0)
        st = pln_fail(err, PLN_E_FORMAT, "after %s: the text form does not come back",
                      ctx->pass->name);
    pln_free(ctx->model->env, a);
    pln_free(ctx->model->env, b);
    pln_model_free(again);
    return st;
}

pln_status pln_debug_after(pln_pass_ctx *ctx, pln_error *err)
{
    const pln_debug *d = &ctx->debug;
    if (d->on & PLN_DEBUG_TIME)
        fprintf(stderr, "pass %s: %.3f ms in all, %llu rewrites\n", ctx->pass->name,
                ctx->stat->seconds * 1e3, (unsigned long long)ctx->stat->applied);
    if (!ctx->changed)
        return PLN_OK;
    if ((d->on & PLN_DEBUG_PRINT) &&
        (!d->print_pass[0] || !strcmp(d->print_pass, ctx->pass->name)))
        PLN_TRY(print_graph(ctx, err));
    if (d->on & PLN_DEBUG_VALIDATE)
        PLN_TRY(validate(ctx, err));
    if (d->on & PLN_DEBUG_ROUNDTRIP)
        PLN_TRY(roundtrip(ctx, err));
    return PLN_OK;
}
