/* state-fused: gives the operators of domain `planish` in a file their meaning as
 * model-local functions of standard operators, so that other runtimes, which inline
 * those, can run the file. This library goes by its own rows and does not look at them.
 *
 * Nodes with the same attributes, inputs and types share a function; its number is their
 * overload (proto/stated.h shows how that stands in the file).
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"
#include "passes/pass.h"

#include <stdio.h>
#include <string.h>

#include "src/util/map.h"
#include "src/util/text.h"

#define IR_OF_INITIALIZERS 4
#define IR_OF_FUNCTIONS    8

static bool is_ours(const pln_node *n)
{
    return n->op && !strcmp(n->domain, "planish");
}

/* Nodes with the same text have the same meaning. */
static void describe(pln_text *t, const pln_node *n)
{
    pln_text_printf(t, "%s/%u/%u", n->op_type, n->n_in, n->n_out);
    for (uint32_t i = 0; i < n->n_in; i++)
        pln_text_printf(t, ",%d:%d", n->in[i] ? pln_value_rank(n->in[i]) : -2,
                        n->in[i] ? n->in[i]->type.dtype : 0);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        pln_text_printf(t, ";%s:%lld:%a", a->name,
                        (long long)(a->type == PLN_ATTR_INT ? a->i : 0),
                        a->type == PLN_ATTR_FLOAT ? (double)a->f : 0);
        for (size_t k = 0; k < a->n; k++) {
            if (a->type == PLN_ATTR_INTS)
                pln_text_printf(t, ",%lld", (long long)a->ints[k]);
            else if (a->type == PLN_ATTR_FLOATS)
                pln_text_printf(t, ",%a", (double)a->floats[k]);
            else if (a->type == PLN_ATTR_STRINGS)
                pln_text_printf(t, ",%s", a->strings[k]);
        }
        if (a->type == PLN_ATTR_STRING)
            pln_text_printf(t, ",%s", a->s);
    }
}

static pln_status add_function(pln_model *m, pln_function *f)
{
    pln_function **all = PLN_NEW_ARRAY(m->arena, pln_function *, m->n_functions + 1);
    if (!all)
        return PLN_E_NOMEM;
    if (m->n_functions)
        memcpy(all, m->functions, m->n_functions * sizeof *all);
    all[m->n_functions++] = f;
    m->functions = all;
    return PLN_OK;
}

static pln_status make_function(pln_model *m, const pln_node *n, const char *overload)
{
    pln_expand b = { .m = m, .g = pln_graph_new(m, NULL, NULL), .node = n };
    pln_function *f = PLN_NEW(m->arena, pln_function);
    pln_opset *opset = PLN_NEW(m->arena, pln_opset);
    if (!b.g || !f || !opset)
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const char *name = pln_expand_name(&b, "x");
        if (!name || !pln_graph_add_input(b.g, name, NULL))
            return PLN_E_NOMEM;
    }
    PLN_TRY(pln_expansion_build(&b));
    *opset = (pln_opset){ pln_model_name(m, ""), pln_model_opset(m, "") };
    *f = (pln_function){ .name = n->op_type,
                         .domain = n->domain,
                         .overload = overload,
                         .body = b.g,
                         .opsets = opset,
                         .n_opsets = 1 };
    return add_function(m, f);
}

typedef struct stating {
    pln_pass_ctx *ctx;
    pln_map seen; /* description (interned) to overload */
    unsigned n;
} stating;

static pln_status state(stating *s, pln_node *n)
{
    pln_model *m = s->ctx->model;
    pln_text t;
    char buf[24];
    pln_text_init(&t, m->alloc);
    describe(&t, n);
    const char *key = t.failed ? NULL : pln_model_name(m, t.data);
    pln_text_done(&t);
    const char *overload = key ? pln_map_get(&s->seen, key) : NULL;
    if (!key)
        return PLN_E_NOMEM;
    if (!overload) {
        snprintf(buf, sizeof buf, "f%u", s->n);
        overload = pln_model_name(m, buf);
        const pln_status st = overload ? make_function(m, n, overload) : PLN_E_NOMEM;
        if (st == PLN_E_UNSUPPORTED)
            return PLN_OK;
        PLN_TRY(st);
        s->n++;
        if (!pln_map_put(&s->seen, key, (void *)(uintptr_t)overload))
            return PLN_E_NOMEM;
    }
    n->overload = overload;
    return PLN_OK;
}

static pln_status state_graph(pln_graph *g, void *user)
{
    for (pln_node *n = g->first; n; n = n->next)
        if (is_ours(n))
            PLN_TRY(state(user, n));
    return PLN_OK;
}

/* Those of an earlier run. */
static void drop_old(pln_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(m->functions[i]->domain, "planish") != 0 ||
            !pln_name_len(m->functions[i]->overload))
            m->functions[n++] = m->functions[i];
    m->n_functions = n;
}

static pln_status count_ours(pln_graph *g, void *user)
{
    for (const pln_node *n = g->first; n; n = n->next)
        *(size_t *)user += is_ours(n);
    return PLN_OK;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    pln_model *m = ctx->model;
    size_t n_ours = 0;
    pln_graph_walk(m->graph, count_ours, &n_ours);
    if (g != m->graph || !n_ours || !pln_pass_begin_sure(ctx, NULL))
        return PLN_OK;
    ctx->changed = false; /* nothing to infer anew */
    drop_old(m);
    stating s = { .ctx = ctx };
    pln_map_init(&s.seen, m->alloc);
    const pln_status st = pln_graph_walk(g, state_graph, &s);
    pln_map_done(&s.seen);
    /* Before 4, initializers were inputs; runtimes read functions there as well. */
    if (m->ir_version >= IR_OF_INITIALIZERS && m->ir_version < IR_OF_FUNCTIONS)
        m->ir_version = IR_OF_FUNCTIONS;
    return st == PLN_OK ? st : pln_oom(err);
}

const pln_pass pln_pass_state_fused = {
    .name = "state-fused",
    .brief = "states fused operators as model-local functions, for other runtimes",
    .run = run,
    .contract = PLN_EXACT,
    .target = PLN_TARGET_PLANISH,
};
