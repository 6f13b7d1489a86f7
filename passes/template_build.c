/* Templates: making the nodes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "passes/pass.h"
#include "passes/template_impl.h"
#include "src/ir/op.h"

typedef struct builder {
    pln_match *m;
    pln_patch *p;
    pln_arena *arena;
    pln_value *local[PLN_TEMPLATE_LOCALS];
} builder;

static const pln_value *root_value(const builder *b)
{
    const pln_node *n = b->m->root;
    for (uint32_t i = 0; i + 1 < n->n_out; i++)
        if (n->out[i])
            return n->out[i];
    return n->out[n->n_out - 1];
}

/* ---- constants --------------------------------------------------------------------- */

static bool number(const pln_ex_value *v, double *f, int64_t *i)
{
    if (v->kind == PLN_EX_FLOAT) {
        *f = v->f;
        *i = (int64_t)v->f;
        return true;
    }
    if (v->kind != PLN_EX_INT || !pln_dim_is_known(v->i))
        return false;
    *i = v->i.value;
    *f = (double)v->i.value;
    return true;
}

/* A list is int64, or of the root's type where an element has a fraction. */
static pln_status list_const(builder *b, const pln_ex_value *v, pln_value **out)
{
    bool real = false;
    double f;
    int64_t i, n = (int64_t)v->n;
    for (size_t k = 0; k < v->n; k++)
        real |= v->list[k].kind == PLN_EX_FLOAT;
    const pln_dtype dt = real ? root_value(b)->type.dtype : PLN_DT_S64;
    pln_tensor *t = NULL;
    if (dt == PLN_DT_NONE)
        return pln_match_refuse(b->m, "the element type of the result is not known");
    if (pln_tensor_make(b->p->graph->model->alloc, dt, 1, &n, &t, NULL) != PLN_OK)
        return PLN_E_NOMEM;
    for (size_t k = 0; k < v->n; k++) {
        if (!number(&v->list[k], &f, &i)) {
            pln_tensor_unref(t);
            return pln_match_refuse(b->m, "a size is not known");
        }
        if (real)
            pln_tensor_set_f64(t, (int64_t)k, f);
        else
            pln_tensor_set_i64(t, (int64_t)k, i);
    }
    *out = pln_patch_const(b->p, t, "list");
    return *out ? PLN_OK : b->p->failed;
}

static pln_status make_const(builder *b, const pln_ex *e, pln_value **out)
{
    const pln_ex_value v = pln_ex_eval(e, b->m, b->arena);
    const pln_dtype dt = root_value(b)->type.dtype;
    double f;
    int64_t i;
    if (v.kind == PLN_EX_LIST)
        return list_const(b, &v, out);
    if (!number(&v, &f, &i))
        return pln_match_refuse(b->m, "a number of the replacement is not known");
    if (dt == PLN_DT_NONE || dt == PLN_DT_STRING)
        return pln_match_refuse(b->m, "the element type of the result is not known");
    *out = pln_patch_scalar(b->p, dt, f, "number");
    return *out ? PLN_OK : b->p->failed;
}

/* ---- attributes -------------------------------------------------------------------- */

static const pln_attr_spec *find_spec(const pln_node *n, const char *name)
{
    const pln_attr_spec *s = n->op ? n->op->attrs : NULL;
    for (; s && s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    return NULL;
}

static pln_status set_list(builder *b, pln_node *n, const char *name,
                           const pln_ex_value *v, bool real)
{
    int64_t ints[PLN_EX_LIST_MAX];
    float floats[PLN_EX_LIST_MAX];
    const char *strings[PLN_EX_LIST_MAX];
    size_t n_strings = 0;
    for (size_t k = 0; k < v->n; k++) {
        double f;
        if (v->list[k].kind == PLN_EX_STRING)
            strings[n_strings++] = v->list[k].s;
        else if (!number(&v->list[k], &f, &ints[k]))
            return pln_match_refuse(b->m, "an element of attribute '%s' is not known",
                                    name);
        else
            floats[k] = (float)f;
        real |= v->list[k].kind == PLN_EX_FLOAT;
    }
    if (n_strings && n_strings != v->n)
        return pln_match_refuse(b->m, "attribute '%s' mixes text and numbers", name);
    if (n_strings)
        return pln_node_set_strings(n, name, strings, v->n);
    return real ? pln_node_set_floats(n, name, floats, v->n)
                : pln_node_set_ints(n, name, ints, v->n);
}

static pln_status set_copy(pln_node *n, const char *name, const pln_attr *from)
{
    pln_attr a = *from;
    a.name = name;
    return pln_node_set_attr(n, &a);
}

static pln_status set_attr(builder *b, pln_node *n, const pln_term_attr *a)
{
    const pln_ex_value v = pln_ex_eval(a->value, b->m, b->arena);
    const pln_attr_spec *spec = find_spec(n, a->name);
    const bool real =
        spec && (spec->type == PLN_ATTR_FLOAT || spec->type == PLN_ATTR_FLOATS);
    double f;
    int64_t i;
    if (v.attr)
        return set_copy(n, a->name, v.attr);
    if (v.kind == PLN_EX_BOOL)
        return pln_node_set_int(n, a->name, v.yes);
    if (v.kind == PLN_EX_STRING)
        return pln_node_set_string(n, a->name, v.s, v.s_len);
    if (v.kind == PLN_EX_LIST)
        return set_list(b, n, a->name, &v, real);
    if (!number(&v, &f, &i))
        return pln_match_refuse(b->m, "attribute '%s' has no known value", a->name);
    if (real || v.kind == PLN_EX_FLOAT)
        return pln_node_set_float(n, a->name, (float)f);
    return pln_node_set_int(n, a->name, i);
}

/* Copies first, wherever they stand: what is said by name holds. */
static pln_status set_attrs(builder *b, pln_node *n, const pln_term *t)
{
    for (const pln_term_attr *a = t->attrs; a; a = a->next) {
        const pln_node *from = a->name ? NULL : b->m->node[a->from];
        for (uint32_t i = 0; from && i < from->n_attrs; i++)
            PLN_TRY(pln_node_set_attr(n, from->attrs[i]));
    }
    for (const pln_term_attr *a = t->attrs; a; a = a->next)
        if (a->name)
            PLN_TRY(set_attr(b, n, a));
    return PLN_OK;
}

/* ---- nodes ------------------------------------------------------------------------- */

static pln_status make_term(builder *b, const pln_term *t, uint32_t n_out,
                            pln_value **out);

/* Of the standard's own sets only what is there, written as it may be: other domains are
 * for those who know them. */
static pln_status check_node(builder *b, pln_node *n)
{
    const void *attrs;
    pln_error why = { .code = PLN_OK };
    if (!pln_domain_is_official(n->domain))
        return PLN_OK;
    if (!n->op)
        return pln_match_refuse(b->m, "it writes an operator that its domain has not");
    if (pln_node_attrs(n, &attrs, &why) == PLN_E_NOMEM)
        return PLN_E_NOMEM;
    if (why.code != PLN_OK)
        return pln_match_refuse(
            b->m, "it writes an operator with attributes or inputs that it can't have");
    return PLN_OK;
}

/* The node whose further inputs are meant; NULL: it was left out. */
static const pln_node *rest_of(const builder *b, const pln_term *t)
{
    return t->kind == PLN_TERM_REST ? b->m->node[t->name] : NULL;
}

static size_t count_inputs(const builder *b, const pln_term *t)
{
    size_t n = (size_t)t->n_args;
    for (int i = 0; i < t->n_args; i++)
        n += rest_of(b, t->arg[i]) ? rest_of(b, t->arg[i])->n_in : 0;
    return n;
}

static pln_status make_inputs(builder *b, const pln_term *t, pln_value **in,
                              uint32_t *n_in)
{
    *n_in = 0;
    for (int i = 0; i < t->n_args; i++) {
        const pln_term *a = t->arg[i];
        const pln_node *n = rest_of(b, a);
        for (uint32_t k = n ? (uint32_t)a->from : 0; n && k < n->n_in; k++)
            in[(*n_in)++] = n->in[k];
        if (a->kind != PLN_TERM_REST)
            PLN_TRY(make_term(b, a, 1, &in[(*n_in)++]));
    }
    return PLN_OK;
}

static pln_status make_node(builder *b, const pln_term *t, uint32_t n_out,
                            pln_value **out)
{
    uint32_t n_in;
    pln_value **in = PLN_NEW_ARRAY(b->arena, pln_value *, count_inputs(b, t) + 1);
    if (!in)
        return PLN_E_NOMEM;
    PLN_TRY(make_inputs(b, t, in, &n_in));
    pln_node *n = !*t->domain && b->m->ctx->rule->stated
                      ? pln_patch_add(b->p, t->op, in, n_in, n_out)
                      : pln_patch_add_in(b->p, t->domain, t->op, in, n_in, n_out);
    if (!n)
        return b->p->failed;
    memcpy(out, n->out, n_out * sizeof *out);
    PLN_TRY(set_attrs(b, n, t));
    return check_node(b, n);
}

static pln_status make_term(builder *b, const pln_term *t, uint32_t n_out,
                            pln_value **out)
{
    switch (t->kind) {
    case PLN_TERM_NAME:
        *out = b->m->val[t->name];
        return PLN_OK;
    case PLN_TERM_LOCAL:
        *out = b->local[t->name];
        return PLN_OK;
    case PLN_TERM_CONST:
        return make_const(b, t->value, out);
    case PLN_TERM_OP:
        return make_node(b, t, n_out, out);
    default:
        *out = NULL;
        return PLN_OK;
    }
}

static pln_status replace(builder *b, const pln_target_name *to, pln_value *with)
{
    if (to->local >= 0) {
        b->local[to->local] = with;
        return PLN_OK;
    }
    const pln_node *n = b->m->node[to->name];
    pln_value *old = b->m->val[to->name];
    if (to->slot)
        old = n && (uint32_t)to->slot < n->n_out ? n->out[to->slot] : NULL;
    /* A part that was left out, or an output that nobody asks for. */
    if (old && old->n_uses)
        pln_patch_replace(b->p, old, with);
    return PLN_OK;
}

pln_status pln_template_build(const pln_template *t, pln_match *m, pln_patch *p,
                              pln_arena *arena)
{
    builder b = { .m = m, .p = p, .arena = arena };
    for (const pln_statement *s = t->first; s; s = s->next) {
        pln_value *out[PLN_TEMPLATE_OUTS] = { NULL };
        PLN_TRY(make_term(&b, s->term, s->n_out ? (uint32_t)s->n_out : 1, out));
        if (!out[0])
            return pln_match_refuse(m, "what should replace it is absent");
        if (!s->n_out && !m->root->out[0])
            return pln_match_refuse(m, "its first result is absent");
        if (!s->n_out)
            pln_patch_replace(p, m->root->out[0], out[0]);
        for (int i = 0; i < s->n_out; i++)
            PLN_TRY(replace(&b, &s->out[i], out[i]));
    }
    return PLN_OK;
}
