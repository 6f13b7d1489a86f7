/* Watching: what each rule did and did not do, for --stats and --explain, and the calls
 * that tell a program of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/watch.h"

#include <string.h>
#include <time.h>

#include "passes/verify.h"

#define MAX_REASONS 32  /* different ones of a rule */
#define MAX_MISSES  500 /* kept for --explain */

double pln_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The spellings of a rule count as one. */
static bool is_same(const pln_rule *a, const pln_rule *b)
{
    return a == b || (a && b && a->name && b->name && !strcmp(a->name, b->name));
}

pln_rule_stat *pln_rule_stat_get(pln_pass_ctx *ctx, const pln_rule *r)
{
    pln_rule_stat **at = &ctx->rule_stats;
    for (; *at; at = &(*at)->next)
        if ((*at)->pass == ctx->pass && is_same((*at)->rule, r))
            return *at;
    *at = PLN_NEW(ctx->keep, pln_rule_stat);
    if (*at)
        **at = (pln_rule_stat){ .pass = ctx->pass, .rule = r };
    return *at;
}

bool pln_reason_count(pln_arena *arena, pln_reason **list, const char *text)
{
    size_t n = 0;
    for (; *list; list = &(*list)->next, n++)
        if (!strcmp((*list)->text, text)) {
            (*list)->count++;
            return true;
        }
    if (n == MAX_REASONS)
        return true;
    pln_reason *r = PLN_NEW(arena, pln_reason);
    char *copy = r ? pln_arena_str(arena, text, strlen(text)) : NULL;
    if (!copy)
        return false;
    *r = (pln_reason){ .text = copy, .count = 1 };
    *list = r;
    return true;
}

/* Names of values stand in quotes; with '*' for each, equal reasons are equal. What
 * follows a letter is an apostrophe. */
static void without_names(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (char before = ' '; *text && n + 4 < size; before = *text++) {
        const char *end = *text == '\'' ? strchr(text + 1, '\'') : NULL;
        if (!end || strchr(" (:,", before) == NULL) {
            out[n++] = *text;
            continue;
        }
        memcpy(out + n, "'*'", 3);
        n += 3;
        text = end;
    }
    out[n] = '\0';
}

static bool is_asked_for(const pln_pass_ctx *ctx, const pln_node *n, const char *rule)
{
    const char *name = ctx->options->explain;
    if (!name)
        return false;
    if (!strcmp(name, rule) || !strcmp(name, ctx->pass->name))
        return true;
    if (!n)
        return false;
    if (!strcmp(name, n->name))
        return true;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && !strcmp(name, n->out[i]->name))
            return true;
    return false;
}

static char *keep(const pln_pass_ctx *ctx, const char *s)
{
    return pln_arena_str(ctx->keep, s, strlen(s));
}

/* One for each rule and node: the last, since the graph becomes simpler. */
static pln_miss *find_miss(pln_pass_ctx *ctx, const char *rule, const char *node)
{
    for (pln_miss *m = ctx->misses; m; m = m->next)
        if (!strcmp(m->rule, rule) && !strcmp(m->node, node))
            return m;
    if (ctx->n_misses == MAX_MISSES)
        return NULL;
    pln_miss *m = PLN_NEW(ctx->keep, pln_miss);
    if (!m)
        return NULL;
    m->rule = keep(ctx, rule);
    m->node = keep(ctx, node);
    if (!m->rule || !m->node)
        return NULL;
    m->pass = ctx->pass->name;
    m->next = ctx->misses;
    ctx->misses = m;
    ctx->n_misses++;
    return m;
}

static void note_miss(pln_pass_ctx *ctx, const pln_node *n, const char *rule,
                      const char *why, int matched, int of)
{
    char where[256] = "graph";
    if (n)
        pln_node_where(n, where, sizeof where);
    pln_miss *m = find_miss(ctx, rule, where);
    char *text = m && why ? keep(ctx, why) : NULL;
    if (!m || (why && !text))
        return;
    m->applied |= !why;
    m->why = m->applied ? "" : text;
    m->matched = matched;
    m->of = of;
}

void pln_watch_miss(pln_pass_ctx *ctx, const pln_node *n, const pln_rule *r,
                    const char *why, int matched, int of)
{
    const char *name = r ? pln_rule_name(ctx, r) : ctx->pass->name;
    if (ctx->options->stats && why) {
        char text[256];
        pln_rule_stat *s = pln_rule_stat_get(ctx, r);
        without_names(why, text, sizeof text);
        if (s)
            pln_reason_count(ctx->keep, &s->reasons, text);
    }
    if (is_asked_for(ctx, n, name))
        note_miss(ctx, n, name, why, matched, of);
}

/* ---- telling the caller ------------------------------------------------------------ */

static void tell(const pln_pass_ctx *ctx, const pln_node *n, pln_model *before,
                 pln_model *after)
{
    char where[256] = "graph";
    if (n)
        pln_node_where(n, where, sizeof where);
    const pln_rewrite r = {
        .number = ctx->n_rewrites,
        .pass = ctx->pass->name,
        .rule = ctx->rule ? pln_rule_name(ctx, ctx->rule) : ctx->pass->name,
        .node = where,
        .before = before,
        .after = after,
    };
    ctx->options->watch.on_rewrite(ctx->options->watch.user, &r);
}

/* A file says what its inputs and outputs are. */
static void declare(pln_value *v)
{
    pln_model *m = v->graph->model;
    const pln_type t = pln_type_dup(m->arena, &v->type);
    if (t.kind != PLN_KIND_NONE)
        v->declared = pln_arena_dup(m->arena, &t, sizeof t);
}

static pln_status extract(const pln_pass_ctx *ctx, const pln_cut *c, bool old,
                          pln_arena *arena, pln_model **out, pln_error *err)
{
    const pln_patch *p = c->patch;
    const char *names[PLN_PATCH_MAX];
    for (int i = 0; i < p->n_replaced; i++)
        names[i] = p->old[i]->name;
    pln_value **in = PLN_NEW_ARRAY(arena, pln_value *, c->n_leaves + 1);
    if (!in)
        return pln_oom(err);
    memcpy(in, c->leaf, c->n_leaves * sizeof *in);
    const pln_part part = {
        .node = old ? c->node : c->node + c->n_old,
        .n_nodes = old ? c->n_old : c->n_nodes - c->n_old,
        .in = in,
        .n_in = c->n_leaves,
        .out = (pln_value *const *)(old ? p->old : p->new),
        .out_names = names,
        .n_out = (size_t)p->n_replaced,
    };
    PLN_TRY(pln_model_part(ctx->model, &part, out, err));
    pln_graph *g = (*out)->graph;
    pln_sizes_forget(*out);
    for (uint32_t i = 0; i < g->n_inputs; i++)
        declare(g->inputs[i]);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        declare(g->outputs[i]);
    return PLN_OK;
}

/* Fragments that can't be cut out (bodies that read more) are left away. */
void pln_watch_rewrite(pln_pass_ctx *ctx, const pln_patch *p, const pln_match *m,
                       const pln_node *n)
{
    const pln_watch *w = &ctx->options->watch;
    if (!w->on_rewrite)
        return;
    pln_model *before = NULL, *after = NULL;
    pln_arena *arena = NULL;
    pln_cut c;
    pln_error local = { .code = PLN_OK };
    if (p && (w->fragment_of == ctx->n_rewrites || w->fragment_of == PLN_ALL_REWRITES))
        arena = pln_arena_new(ctx->model->alloc);
    if (arena && pln_cut_make(&c, p, m, 0, arena, &local) == PLN_OK &&
        extract(ctx, &c, true, arena, &before, &local) == PLN_OK)
        extract(ctx, &c, false, arena, &after, &local);
    tell(ctx, n, before, after);
    pln_model_free(before);
    pln_model_free(after);
    pln_arena_free(arena);
}
