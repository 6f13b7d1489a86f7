/* The driver: runs a pass over every graph of a model, rules by a worklist.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"
#include "src/ir/env.h"
#include "src/util/map.h"

#include <string.h>
#include <time.h>

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

typedef struct compiled {
    const pln_rule *rule;
    pln_pattern pattern;
} compiled;

static const char *rule_name(const pln_pass_ctx *ctx, const pln_rule *r)
{
    return r->name ? r->name : ctx->pass->name;
}

static pln_status refused(pln_pass_ctx *ctx, const pln_rule *r, pln_node *n,
                          const char *why)
{
    if (ctx->stat)
        ctx->stat->refused++;
    pln_pass_explain(ctx, n, rule_name(ctx, r), why);
    return PLN_E_UNSUPPORTED;
}

/* PLN_OK: applied. PLN_E_UNSUPPORTED: not here. */
static pln_status try_rule(worklist *w, const compiled *c, pln_node *n, pln_error *err)
{
    pln_pass_ctx *ctx = w->ctx;
    pln_match m;
    pln_patch p;
    char why[256] = "";
    if (!pln_match_at(&c->pattern, n, ctx, &m)) {
        if (m.best)
            pln_pass_explain(ctx, n, rule_name(ctx, c->rule), m.why);
        return PLN_E_UNSUPPORTED;
    }
    m.why[0] = '\0';
    ctx->rule = c->rule;
    pln_status st = c->rule->check ? c->rule->check(&m) : PLN_OK;
    if (st == PLN_E_UNSUPPORTED)
        return refused(ctx, c->rule, n, m.why);
    PLN_TRY(st);
    pln_patch_begin(&p, ctx, n);
    st = c->rule->build(&m, &p);
    if (st == PLN_OK)
        st = pln_patch_check(&p, why, sizeof why, err);
    if (st == PLN_OK && !pln_pass_begin(ctx, n))
        st = PLN_E_UNSUPPORTED;
    if (st != PLN_OK) {
        pln_patch_abort(&p);
        if (st != PLN_E_UNSUPPORTED)
            return err && err->code
                       ? st
                       : pln_fail(err, st, "%s: out of memory", ctx->pass->name);
        return refused(ctx, c->rule, n, why[0] ? why : m.why);
    }
    PLN_TRY(pln_patch_apply(&p, on_dead, w, err));
    push_around(w, &p);
    return PLN_OK;
}

static bool rule_is_on(const pln_pass_ctx *ctx, const pln_rule *r)
{
    return r->contract <= ctx->options->contract && r->target <= ctx->options->target &&
           !(r->name && pln_pass_is_disabled(ctx, r->name)) &&
           pln_pass_allows_opset(ctx, r->opset);
}

static pln_status compile_rules(pln_pass_ctx *ctx, compiled **out, size_t *n,
                                pln_error *err)
{
    compiled *c = PLN_NEW_ARRAY(ctx->scratch, compiled, ctx->pass->n_rules + 1);
    if (!c)
        return pln_oom(err);
    *n = 0;
    for (size_t i = 0; i < ctx->pass->n_rules; i++) {
        const pln_rule *r = &ctx->pass->rules[i];
        if (!rule_is_on(ctx, r))
            continue;
        c[*n].rule = r;
        PLN_TRY(pln_pattern_compile(r->match, ctx->model->names, ctx->scratch,
                                    &c[*n].pattern, err));
        (*n)++;
    }
    *out = c;
    return PLN_OK;
}

/* Rules by the operator at their root: a chain for each operator name, in the order of
 * the table. */
typedef struct root_index {
    pln_map map;
    struct root_entry {
        const compiled *rule;
        struct root_entry *next;
    } * entries;
    size_t n;
} root_index;

static pln_status index_add(root_index *x, pln_pass_ctx *ctx, const compiled *c,
                            const char *op, pln_error *err)
{
    struct root_entry *e = PLN_NEW(ctx->scratch, struct root_entry);
    if (!e)
        return pln_oom(err);
    e->rule = c;
    struct root_entry *at = pln_map_get(&x->map, op);
    if (!at)
        return pln_map_put(&x->map, op, e) ? PLN_OK : pln_oom(err);
    while (at->next)
        at = at->next;
    if (at->rule != c)
        at->next = e;
    return PLN_OK;
}

static pln_status index_rules(root_index *x, pln_pass_ctx *ctx, const compiled *c,
                              size_t n, pln_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const pln_pat *root = &c[i].pattern.pat[c[i].pattern.root];
        for (int k = 0; k < root->n_ops; k++)
            PLN_TRY(index_add(x, ctx, &c[i], root->op[k], err));
    }
    return PLN_OK;
}

static pln_status run_worklist(worklist *w, const root_index *x, pln_graph *g,
                               pln_error *err)
{
    const uint64_t budget = 256 + 64 * (uint64_t)g->n_nodes;
    uint64_t applied = 0;
    for (pln_node *n = g->first; n; n = n->next)
        push(w, n);
    for (pln_node *n; (n = pop(w));) {
        const struct root_entry *e = pln_map_get(&x->map, n->op_type);
        for (; e; e = e->next) {
            const pln_status st = try_rule(w, e->rule, n, err);
            if (w->failed)
                return pln_oom(err);
            if (st == PLN_OK && ++applied > budget) {
                pln_log(g->model->env, PLN_LOG_WARN,
                        "pass %s: stopped after %llu rewrites", w->ctx->pass->name,
                        (unsigned long long)applied);
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
    compiled *rules = NULL;
    size_t n_rules = 0;
    PLN_TRY(compile_rules(ctx, &rules, &n_rules, err));
    if (!n_rules)
        return PLN_OK;
    worklist w = { .ctx = ctx, .alloc = ctx->model->alloc };
    root_index x = { .n = 0 };
    pln_map_init(&x.map, ctx->model->alloc);
    pln_status st = index_rules(&x, ctx, rules, n_rules, err);
    if (st == PLN_OK)
        st = run_worklist(&w, &x, g, err);
    pln_map_done(&x.map);
    pln_release(w.alloc, w.item);
    pln_release(w.alloc, w.state);
    return st;
}

/* ---- a pass over a model -------------------------------------------------------- */

typedef struct pass_walk {
    pln_pass_ctx *ctx;
    pln_error *err;
} pass_walk;

static pln_status run_on_graph(pln_graph *g, void *user)
{
    pass_walk *w = user;
    if (w->ctx->pass->run)
        return w->ctx->pass->run(w->ctx, g, w->err);
    return pln_rules_run(w->ctx, g, w->err);
}

static bool pass_is_on(const pln_pass_ctx *ctx, const pln_pass *p)
{
    if (pln_pass_is_disabled(ctx, p->name))
        return false;
    return !p->run ||
           (p->contract <= ctx->options->contract && p->target <= ctx->options->target);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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
    if (!ctx->stats)
        return NULL;
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
    const int64_t nodes = model_nodes(ctx->model);
    const double start = now();
    PLN_TRY(pln_debug_before(ctx, &before, err));
    pass_walk w = { ctx, err };
    pln_status st = pln_graph_walk(ctx->model->graph, run_on_graph, &w);
    if (ctx->stat) {
        ctx->stat->runs++;
        ctx->stat->seconds += now() - start;
        ctx->stat->nodes += model_nodes(ctx->model) - nodes;
    }
    if (st == PLN_OK)
        st = pln_debug_after(ctx, before, err);
    else
        st = pln_fail_prefix(err, st, "pass %s", pass->name);
    pln_model_free(before);
    pln_arena_reset(ctx->scratch);
    ctx->pass = NULL;
    return st;
}

bool pln_pass_begin(pln_pass_ctx *ctx, const pln_node *n)
{
    if ((ctx->debug.on & PLN_DEBUG_LIMIT) && ctx->n_rewrites >= ctx->debug.limit)
        return false;
    ctx->n_rewrites++;
    ctx->changed = true;
    if (ctx->stat)
        ctx->stat->applied++;
    if (ctx->debug.on & (PLN_DEBUG_EXPLAIN | PLN_DEBUG_LIMIT))
        pln_pass_explain(ctx, n, NULL, NULL);
    return true;
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
    return !opset || ctx->options->session || pln_model_opset(ctx->model, "") >= opset;
}
