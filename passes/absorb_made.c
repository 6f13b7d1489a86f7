/* absorb-made: an operator carries the nodes that make its constants, where these are too
 * large to be folded. The two become a function of domain `planish` and the operator's
 * name, whose body has the makers and then the operator; pln_model_free_makers
 * (src/ir/inline.h) takes it apart again.
 *
 *     Conv(x, ConstantOfShape<value=[2]>(s), b)
 *       => planish.Conv_w0 <value0=[2]> (x, s, b)
 *
 * Constants stay inputs, and the numbers of ConstantOfShape are attributes of the call,
 * so that operators which differ in these alone share a function.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <stdio.h>
#include <string.h>

#include "src/ir/eval.h"
#include "src/ir/version.h"
#include "src/util/map.h"
#include "src/util/text.h"

#define IR_OF_INITIALIZERS 4
#define IR_OF_FUNCTIONS    8
#define MAX_BODY           16 /* nodes that one operator carries */
#define MAX_INPUTS         64
#define MAX_SHORT          64 /* elements of a constant that the function may hold */

typedef struct absorber {
    pln_pass_ctx *ctx;
    /* by node id: nodes that it takes to compute it from constants; 0: it can't be */
    uint32_t *makers;
    bool *goes;       /* by node id: every user carries it */
    pln_map functions; /* what it does (interned) to the function's name */
    uint32_t n_functions;
    pln_error *err;
} absorber;

/* ---- what is made of constants --------------------------------------------------- */

static bool has_plain_attrs(const pln_node *n, bool number_too)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        const bool number = number_too && a->type == PLN_ATTR_TENSOR &&
                            pln_node_is(n, "ConstantOfShape");
        if (a->ref || (!number && a->type != PLN_ATTR_INT && a->type != PLN_ATTR_FLOAT &&
                       a->type != PLN_ATTR_STRING && a->type != PLN_ATTR_INTS &&
                       a->type != PLN_ATTR_FLOATS && a->type != PLN_ATTR_STRINGS))
            return false;
    }
    return true;
}

static bool is_short(const pln_tensor *t)
{
    return t->kind == PLN_KIND_TENSOR && t->rank <= 1 && pln_tensor_size(t) <= MAX_SHORT;
}

static bool is_simple(const pln_node *n)
{
    const bool ours = !strcmp(n->domain, "planish");
    if (!n->op || (*n->domain && !ours) || (n->op->traits & PLN_OP_CONTROL) ||
        n->n_in > MAX_INPUTS || !n->n_out)
        return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!n->out[i])
            return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->cst && pln_value_is_raised(n->in[i]) &&
            !is_short(n->in[i]->cst))
            return false;
    return true;
}

static const pln_node *maker_of(const absorber *a, const pln_value *v,
                                const pln_graph *g)
{
    return v && v->def && v->graph == g && !pln_value_is_const(v) &&
                   a->makers[v->def->id]
               ? v->def
               : NULL;
}

static uint32_t count_makers(const absorber *a, const pln_node *n)
{
    const uint32_t never = PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_QDQ;
    uint32_t total = 1;
    if (!is_simple(n) || n->n_out != 1 || !n->n_in || (n->op->traits & never) ||
        !pln_node_is_pure(n) || !has_plain_attrs(n, true))
        return 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_node *def = maker_of(a, n->in[i], n->graph);
        if (n->in[i] && !def && !pln_value_is_const(n->in[i]))
            return 0;
        total += def ? a->makers[def->id] : 0;
    }
    return total <= MAX_BODY ? total : 0;
}

static bool can_carry(const absorber *a, const pln_node *n)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_node *def = maker_of(a, n->in[i], n->graph);
        total += def ? a->makers[def->id] : 0;
    }
    return is_simple(n) && has_plain_attrs(n, false) && total <= MAX_BODY;
}

static bool is_carried_by_all(const absorber *a, const pln_node *n)
{
    for (const pln_use *u = n->out[0]->uses; u; u = u->next) {
        if (!u->node || u->node->graph != n->graph)
            return false;
        if (!a->goes[u->node->id] && !can_carry(a, u->node))
            return false;
    }
    return n->out[0]->n_uses > 0;
}

static pln_status look(absorber *a, const pln_graph *g, pln_error *err)
{
    const size_t n_nodes = (size_t)g->model->n_nodes + 1;
    a->makers = PLN_NEW_ARRAY(a->ctx->scratch, uint32_t, n_nodes);
    a->goes = PLN_NEW_ARRAY(a->ctx->scratch, bool, n_nodes);
    if (!a->makers || !a->goes)
        return pln_oom(err);
    for (const pln_node *n = g->first; n; n = n->next)
        a->makers[n->id] = count_makers(a, n);
    for (const pln_node *n = g->last; n; n = n->prev)
        a->goes[n->id] = a->makers[n->id] && is_carried_by_all(a, n);
    return PLN_OK;
}

/* ---- the function ------------------------------------------------------------------ */

typedef struct builder {
    const absorber *a;
    pln_model *m;
    pln_graph *g;  /* the body */
    pln_text what; /* it does: equal texts are equal functions */
    pln_map inner; /* value to the body's */
    pln_value *in[MAX_INPUTS]; /* of the call */
    pln_tensor *number[MAX_BODY];
    pln_value *written[MAX_INPUTS]; /* constants that the body holds itself */
    uint32_t n_in, n_numbers, n_values, n_written;
    bool failed;
} builder;

static const char *numbered(builder *b, const char *prefix, uint32_t i)
{
    char buf[32];
    snprintf(buf, sizeof buf, "%s%u", prefix, i);
    return pln_model_name(b->m, buf);
}

static pln_value *input(builder *b, pln_value *v)
{
    const char *name = numbered(b, "x", b->n_in);
    if (b->n_in == MAX_INPUTS || !name)
        return NULL;
    b->in[b->n_in++] = v;
    pln_text_printf(&b->what, "x%u,", b->n_in - 1);
    return pln_graph_add_input(b->g, name, NULL);
}

/* Older operator sets may have the input as an attribute: it must be known there. */
static bool is_written_in(const builder *b, const pln_node *n, const pln_value *v)
{
    if (!pln_value_is_const(v) || !is_short(v->cst))
        return false;
    if (pln_value_is_raised(v))
        return true;
    return (pln_dtype_is_integer((pln_dtype)v->cst->dtype) ||
            pln_tensor_size(v->cst) <= PLN_MAX_RANK) &&
           pln_node_changes_between(n, pln_model_opset(b->m, n->domain), INT64_MAX);
}

static pln_value *written_in(builder *b, pln_value *v)
{
    const char *name = numbered(b, "v", b->n_values++);
    if (!name || b->n_written == MAX_INPUTS ||
        pln_tensor_materialize(v->cst, NULL) != PLN_OK)
        return NULL;
    pln_value *c = pln_graph_add_initializer(b->g, name, pln_tensor_ref(v->cst));
    pln_text_printf(&b->what, "c%d:%d", v->cst->dtype, v->cst->rank);
    for (int64_t i = 0; i < pln_tensor_size(v->cst); i++)
        pln_text_printf(&b->what, ":%a", pln_tensor_get_f64(v->cst, i));
    pln_text_str(&b->what, ",");
    b->written[b->n_written++] = v;
    return c;
}

static void describe_attr(pln_text *t, const pln_attr *a)
{
    pln_text_printf(t, "%s:%d", a->name, a->type);
    if (a->type == PLN_ATTR_INT)
        pln_text_printf(t, ":%lld", (long long)a->i);
    if (a->type == PLN_ATTR_FLOAT)
        pln_text_printf(t, ":%a", (double)a->f);
    if (a->type == PLN_ATTR_STRING)
        pln_text_printf(t, ":%s", a->s);
    for (size_t i = 0; i < a->n; i++) {
        if (a->type == PLN_ATTR_INTS)
            pln_text_printf(t, ":%lld", (long long)a->ints[i]);
        if (a->type == PLN_ATTR_FLOATS)
            pln_text_printf(t, ":%a", (double)a->floats[i]);
        if (a->type == PLN_ATTR_STRINGS)
            pln_text_printf(t, ":%s", a->strings[i]);
    }
    pln_text_str(t, ";");
}

/* The number of a ConstantOfShape is an attribute of the call. */
static pln_status refer_to_number(builder *b, pln_node *n, const pln_attr *a)
{
    pln_attr ref = { .name = a->name,
                     .type = PLN_ATTR_TENSOR,
                     .ref = numbered(b, "value", b->n_numbers) };
    if (!ref.ref || b->n_numbers == MAX_BODY)
        return PLN_E_NOMEM;
    b->number[b->n_numbers++] = a->t;
    pln_text_str(&b->what, "number;");
    return pln_node_set_attr(n, &ref);
}

static pln_status copy_attrs(builder *b, const pln_node *from, pln_node *to)
{
    for (uint32_t i = 0; i < from->n_attrs; i++) {
        const pln_attr *a = from->attrs[i];
        if (a->type == PLN_ATTR_TENSOR) {
            PLN_TRY(refer_to_number(b, to, a));
            continue;
        }
        describe_attr(&b->what, a);
        PLN_TRY(pln_node_set_attr(to, a));
    }
    return PLN_OK;
}

static pln_node *copy(builder *b, const pln_node *n);

static pln_value *value_of(builder *b, const pln_node *user, pln_value *v)
{
    pln_value *known = v ? pln_map_get(&b->inner, v) : NULL;
    if (!v || known) {
        pln_text_printf(&b->what, "%s,", known ? known->name : "");
        return known;
    }
    const pln_node *def = maker_of(b->a, v, user->graph);
    if (def && b->a->goes[def->id]) {
        const pln_node *made = copy(b, def);
        known = made ? made->out[0] : NULL;
    } else if (is_written_in(b, user, v)) {
        known = written_in(b, v);
    } else {
        known = input(b, v);
    }
    b->failed |= !known || !pln_map_put(&b->inner, v, known);
    return known;
}

static pln_node *copy(builder *b, const pln_node *n)
{
    pln_value *in[MAX_INPUTS];
    pln_text_printf(&b->what, "%s.%s/%s(", n->domain, n->op_type,
                    n->overload ? n->overload : "");
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = value_of(b, n, n->in[i]);
    pln_text_str(&b->what, ")");
    pln_node *to = b->failed ? NULL
                             : pln_graph_add_node(b->g, NULL, n->domain, n->op_type, NULL,
                                                  in, n->n_in, n->n_out);
    if (!to || copy_attrs(b, n, to) != PLN_OK) {
        b->failed = true;
        return NULL;
    }
    to->overload = n->overload;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const char *name = numbered(b, "v", b->n_values++);
        b->failed |= !name || !pln_value_rename(to->out[i], name);
    }
    return to;
}

static pln_status set_head(builder *b, pln_function *f, const char *name)
{
    pln_model *m = b->m;
    pln_opset *opsets = PLN_NEW_ARRAY(m->arena, pln_opset, 2);
    const char **attrs = PLN_NEW_ARRAY(m->arena, const char *, b->n_numbers + 1);
    const char *domain = pln_model_name(m, "planish");
    pln_function **all = PLN_NEW_ARRAY(m->arena, pln_function *, m->n_functions + 1);
    if (!opsets || !attrs || !domain || !all)
        return PLN_E_NOMEM;
    opsets[0] = (pln_opset){ pln_model_name(m, ""), pln_model_opset(m, "") };
    opsets[1] = (pln_opset){ domain, 1 };
    for (uint32_t i = 0; i < b->n_numbers; i++)
        if (!(attrs[i] = numbered(b, "value", i)))
            return PLN_E_NOMEM;
    *f = (pln_function){ .name = name,
                         .domain = domain,
                         .overload = pln_model_name(m, ""),
                         .body = b->g,
                         .attr_names = attrs,
                         .n_attr_names = b->n_numbers,
                         .opsets = opsets,
                         .n_opsets = *b->g->last->domain ? 2 : 1 };
    if (m->n_functions)
        memcpy(all, m->functions, m->n_functions * sizeof all[0]);
    all[m->n_functions++] = f;
    m->functions = all;
    return PLN_OK;
}

/* The function that does what `b` holds; a new one, if there is none yet. */
static pln_status find_function(absorber *a, builder *b, const pln_node *n,
                                const char **name)
{
    char buf[80];
    const char *key = b->what.failed ? NULL : pln_model_name(b->m, b->what.data);
    pln_function *f = PLN_NEW(b->m->arena, pln_function);
    if (!key || !f)
        return PLN_E_NOMEM;
    *name = pln_map_get(&a->functions, key);
    if (*name)
        return PLN_OK;
    do {
        snprintf(buf, sizeof buf, "%.60s_w%u", n->op_type, a->n_functions++);
        *name = pln_model_name(b->m, buf);
    } while (*name && pln_model_find_function(b->m, "planish", *name, ""));
    if (!*name || !pln_map_put(&a->functions, key, (void *)(uintptr_t)*name))
        return PLN_E_NOMEM;
    return set_head(b, f, *name);
}

/* ---- the call ---------------------------------------------------------------------- */

static void sweep(pln_value *v)
{
    if (v && v->def && pln_node_is_dead(v->def))
        pln_node_sweep(v->def, NULL, NULL);
}

/* Node n becomes the call: its outputs and its name stay. */
static pln_status become_call(builder *b, pln_node *n, const char *name)
{
    pln_value *old[MAX_INPUTS];
    const uint32_t n_old = n->n_in;
    memcpy(old, n->in, n_old * sizeof old[0]);
    for (uint32_t i = 0; i < b->n_in || i < n_old; i++)
        PLN_TRY(pln_node_set_input(n, i, i < b->n_in ? b->in[i] : NULL));
    pln_node_trim_inputs(n);
    while (n->n_attrs)
        pln_node_drop_attr(n, n->attrs[0]->name);
    for (uint32_t i = 0; i < b->n_numbers; i++) {
        const char *attr = numbered(b, "value", i);
        if (!attr)
            return PLN_E_NOMEM;
        PLN_TRY(pln_node_set_tensor(n, attr, b->number[i]));
    }
    n->overload = pln_model_name(b->m, "");
    n->origin = NULL;
    pln_node_set_op(n, "planish", name);
    for (uint32_t i = 0; i < n_old; i++) /* one may be the input of two */
        for (uint32_t k = 0; k < i; k++)
            old[i] = old[k] == old[i] ? NULL : old[i];
    for (uint32_t i = 0; i < n_old; i++)
        sweep(old[i]);
    for (uint32_t i = 0; i < b->n_written; i++)
        if (b->written[i]->kind == PLN_VALUE_INITIALIZER && !b->written[i]->n_uses)
            pln_graph_remove_value(b->written[i]);
    return n->op_type && n->overload ? PLN_OK : PLN_E_NOMEM;
}

static pln_status build_body(builder *b, const pln_node *n)
{
    b->g = pln_graph_new(b->m, NULL, NULL);
    const pln_node *last = b->g ? copy(b, n) : NULL;
    for (uint32_t i = 0; last && !b->failed && i < last->n_out; i++)
        b->failed |= pln_graph_add_output(b->g, last->out[i], NULL) != PLN_OK;
    return !last || b->failed || b->what.failed ? PLN_E_NOMEM : PLN_OK;
}

static pln_status absorb(absorber *a, pln_node *n)
{
    const char *name;
    builder b = { .a = a, .m = a->ctx->model };
    pln_text_init(&b.what, b.m->alloc);
    pln_map_init(&b.inner, b.m->alloc);
    pln_status st = build_body(&b, n);
    if (st == PLN_OK)
        st = find_function(a, &b, n, &name);
    if (st == PLN_OK)
        st = become_call(&b, n, name);
    pln_map_done(&b.inner);
    pln_text_done(&b.what);
    return st;
}

static bool carries_any(const absorber *a, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_node *def = maker_of(a, n->in[i], n->graph);
        if (def && a->goes[def->id])
            return true;
    }
    return false;
}

static pln_status absorb_in(pln_graph *g, void *user)
{
    absorber *a = user;
    pln_error *err = a->err;
    PLN_TRY(look(a, g, err));
    for (pln_node *n = g->first; n; n = n->next) {
        if (a->goes[n->id] || !carries_any(a, n))
            continue;
        if (!pln_pass_begin_sure(a->ctx, n))
            return PLN_OK;
        PLN_TRY(absorb(a, n) == PLN_OK ? PLN_OK : pln_oom(err));
    }
    return PLN_OK;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    if (g != ctx->model->graph)
        return PLN_OK;
    absorber a = { .ctx = ctx, .err = err };
    const uint64_t before = ctx->n_rewrites;
    pln_map_init(&a.functions, ctx->model->alloc);
    const pln_status st = pln_graph_walk(g, absorb_in, &a);
    pln_map_done(&a.functions);
    pln_model *m = ctx->model;
    if (ctx->n_rewrites != before && m->ir_version >= IR_OF_INITIALIZERS &&
        m->ir_version < IR_OF_FUNCTIONS)
        m->ir_version = IR_OF_FUNCTIONS;
    return st;
}

const pln_pass pln_pass_absorb_made = {
    .name = "absorb-made",
    .brief = "operators carry the nodes that make their constants, as functions",
    .run = run,
    .contract = PLN_EXACT,
    .target = PLN_TARGET_PLANISH,
};
