/* Attributes of nodes: the generic list, and the typed struct of an operator.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/op.h"

const pln_attr *pln_node_find_attr(const pln_node *n, const char *name)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (!strcmp(n->attrs[i]->name, name))
            return n->attrs[i];
    return NULL;
}

/* The list is never changed in place: whoever kept the old one (pln_origin) still has
 * it. */
pln_status pln_node_set_attr(pln_node *n, const pln_attr *a)
{
    pln_arena *arena = n->graph->model->arena;
    pln_attr *copy = pln_arena_dup(arena, a, sizeof *a);
    pln_attr **all = PLN_NEW_ARRAY(arena, pln_attr *, n->n_attrs + 1);
    if (!copy || !all)
        return PLN_E_NOMEM;
    uint32_t count = 0;
    bool replaced = false;
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const bool same = !strcmp(n->attrs[i]->name, a->name);
        all[count++] = same ? copy : n->attrs[i];
        replaced |= same;
    }
    if (!replaced)
        all[count++] = copy;
    n->attrs = all;
    n->n_attrs = count;
    n->typed = NULL;
    return PLN_OK;
}

void pln_node_drop_attr(pln_node *n, const char *name)
{
    if (!pln_node_find_attr(n, name))
        return;
    pln_attr **all = PLN_NEW_ARRAY(n->graph->model->arena, pln_attr *, n->n_attrs);
    if (!all)
        return;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i]->name, name))
            all[count++] = n->attrs[i];
    n->attrs = all;
    n->n_attrs = count;
    n->typed = NULL;
}

static pln_status set(pln_node *n, const char *name, pln_attr a)
{
    a.name = pln_model_name(n->graph->model, name);
    return a.name ? pln_node_set_attr(n, &a) : PLN_E_NOMEM;
}

pln_status pln_node_set_int(pln_node *n, const char *name, int64_t v)
{
    return set(n, name, (pln_attr){ .type = PLN_ATTR_INT, .i = v });
}

pln_status pln_node_set_float(pln_node *n, const char *name, float v)
{
    return set(n, name, (pln_attr){ .type = PLN_ATTR_FLOAT, .f = v });
}

pln_status pln_node_set_string(pln_node *n, const char *name, const char *s, size_t len)
{
    const char *text = pln_name_intern(n->graph->model->names, s, len);
    if (!text)
        return PLN_E_NOMEM;
    return set(n, name, (pln_attr){ .type = PLN_ATTR_STRING, .s = text });
}

pln_status pln_node_set_ints(pln_node *n, const char *name, const int64_t *v, size_t c)
{
    const int64_t *copy = pln_arena_dup(n->graph->model->arena, v, c * sizeof *v);
    if (!copy)
        return PLN_E_NOMEM;
    return set(n, name, (pln_attr){ .type = PLN_ATTR_INTS, .n = c, .ints = copy });
}

pln_status pln_node_set_floats(pln_node *n, const char *name, const float *v, size_t c)
{
    const float *copy = pln_arena_dup(n->graph->model->arena, v, c * sizeof *v);
    if (!copy)
        return PLN_E_NOMEM;
    return set(n, name, (pln_attr){ .type = PLN_ATTR_FLOATS, .n = c, .floats = copy });
}

pln_status pln_node_set_strings(pln_node *n, const char *name, const char *const *v,
                                size_t c)
{
    const char **copy = PLN_NEW_ARRAY(n->graph->model->arena, const char *, c);
    if (!copy)
        return PLN_E_NOMEM;
    for (size_t i = 0; i < c; i++) {
        copy[i] = pln_model_name(n->graph->model, v[i]);
        if (!copy[i])
            return PLN_E_NOMEM;
    }
    return set(n, name, (pln_attr){ .type = PLN_ATTR_STRINGS, .n = c, .strings = copy });
}

pln_status pln_node_set_tensor(pln_node *n, const char *name, pln_tensor *t)
{
    PLN_TRY(pln_model_own(n->graph->model, t));
    return set(n, name, (pln_attr){ .type = PLN_ATTR_TENSOR, .t = t });
}

pln_status pln_node_set_graph(pln_node *n, const char *name, pln_graph *g)
{
    g->owner = n;
    return set(n, name, (pln_attr){ .type = PLN_ATTR_GRAPH, .g = g });
}

/* ---- the typed struct ------------------------------------------------------------ */

static pln_status fail(const pln_node *n, pln_error *err, pln_status st, const char *attr,
                       const char *what)
{
    char where[256];
    pln_error_set(err, "node", n->name);
    pln_error_set(err, "op", n->op_type);
    return pln_fail(err, st, "%s: attribute '%s' %s",
                    pln_node_where(n, where, sizeof where), attr, what);
}

/* Position of s in "A|B|C", or -1. */
static int choice_of(const char *choices, const char *s, size_t len)
{
    int i = 0;
    for (const char *p = choices;; p++, i++) {
        const char *end = strchr(p, '|');
        const size_t size = end ? (size_t)(end - p) : strlen(p);
        if (size == len && !memcmp(p, s, len))
            return i;
        if (!end)
            return -1;
        p = end;
    }
}

static pln_status default_of(const pln_node *n, const pln_attr_spec *s, void *field,
                             pln_error *err)
{
    if (s->required)
        return fail(n, err, PLN_E_FORMAT, s->name, "is missing");
    if (s->type == PLN_ATTR_INT) {
        *(int64_t *)field = s->i;
    } else if (s->type == PLN_ATTR_FLOAT) {
        *(float *)field = s->f;
    } else if (s->choices) {
        *(int *)field = s->s ? choice_of(s->choices, s->s, strlen(s->s)) : -1;
    } else if (s->type == PLN_ATTR_STRING && s->s) {
        *(const char **)field = pln_model_name(n->graph->model, s->s);
        if (!*(const char **)field)
            return pln_oom(err);
    }
    return PLN_OK;
}

static pln_status value_of(const pln_node *n, const pln_attr_spec *s, const pln_attr *a,
                           void *field, pln_error *err)
{
    if (a->type != s->type)
        return fail(n, err, PLN_E_FORMAT, s->name,
                    "has another type than the standard's");
    switch (s->type) {
    case PLN_ATTR_INT:
        *(int64_t *)field = a->i;
        break;
    case PLN_ATTR_FLOAT:
        *(float *)field = a->f;
        break;
    case PLN_ATTR_STRING:
        if (!s->choices) {
            *(const char **)field = a->s;
            break;
        }
        *(int *)field = choice_of(s->choices, a->s, pln_name_len(a->s));
        if (*(int *)field < 0)
            return fail(n, err, PLN_E_UNSUPPORTED, s->name, "has an unknown value");
        break;
    case PLN_ATTR_INTS:
        *(pln_ints *)field = (pln_ints){ a->ints, a->n };
        break;
    case PLN_ATTR_FLOATS:
        *(pln_floats *)field = (pln_floats){ a->floats, a->n };
        break;
    case PLN_ATTR_STRINGS:
        *(pln_strings *)field = (pln_strings){ a->strings, a->n };
        break;
    case PLN_ATTR_TENSOR:
    case PLN_ATTR_SPARSE_TENSOR:
        *(pln_tensor **)field = a->t;
        if (a->t)
            return pln_tensor_materialize(a->t, err);
        break;
    case PLN_ATTR_GRAPH:
        *(pln_graph **)field = a->g;
        break;
    case PLN_ATTR_TYPE:
        *(const pln_type **)field = a->tp;
        break;
    default:
        return fail(n, err, PLN_E_UNSUPPORTED, s->name,
                    "has a type that no operator has");
    }
    return PLN_OK;
}

static pln_status check_unknown(const pln_node *n, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr_spec *s = n->op->attrs;
        while (s && s->name && strcmp(s->name, n->attrs[i]->name))
            s++;
        if (!s || !s->name)
            return fail(n, err, PLN_E_UNSUPPORTED, n->attrs[i]->name, "is unknown");
        if (n->attrs[i]->ref)
            return fail(n, err, PLN_E_UNSUPPORTED, s->name,
                        "refers to a function's attribute outside a function");
    }
    return PLN_OK;
}

static pln_status fail_arity(const pln_node *n, pln_error *err, const char *what,
                             uint32_t has, pln_arity want)
{
    char where[256];
    pln_error_set(err, "node", n->name);
    pln_error_set(err, "op", n->op_type);
    pln_node_where(n, where, sizeof where);
    if (want.max == PLN_VARIADIC)
        return pln_fail(err, PLN_E_FORMAT, "%s: has %u %s, want %d or more", where, has,
                        what, want.min);
    return pln_fail(err, PLN_E_FORMAT, "%s: has %u %s, want %d to %d", where, has, what,
                    want.min, want.max);
}

static bool fits(pln_arity a, uint32_t n)
{
    return (a.min < 0 || n >= (uint32_t)a.min) && (a.max < 0 || n <= (uint32_t)a.max);
}

/* Whether the signature marks input i as optional, for those before required ones. */
static bool is_optional(const char *sig, uint32_t i)
{
    for (; sig && i > 0; i--) {
        sig += strcspn(sig, ",-");
        if (*sig++ != ',')
            return false;
    }
    if (!sig)
        return false;
    const size_t n = strcspn(sig, ",-");
    return n > 0 && sig[n - 1] == '?';
}

/* Of the standard: one of any number of inputs is there or not told. Bodies take what
 * they are given. */
static bool is_any_number(const pln_op_desc *op, uint32_t i)
{
    return op->in.max < 0 && (int)i >= op->in.min && !*op->domain && !op->user &&
           !(op->traits & PLN_OP_CONTROL);
}

/* Rows rely on it: their functions find the required inputs there. */
static pln_status check_arity(const pln_node *n, pln_error *err)
{
    char where[256];
    if (!fits(n->op->in, n->n_in))
        return fail_arity(n, err, "inputs", n->n_in, n->op->in);
    if (!fits(n->op->out, n->n_out))
        return fail_arity(n, err, "outputs", n->n_out, n->op->out);
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (n->in[i] || is_optional(n->op->sig, i) ||
            ((int)i >= n->op->in.min && !is_any_number(n->op, i)))
            continue;
        pln_error_set(err, "node", n->name);
        pln_error_set(err, "op", n->op_type);
        return pln_fail(err, PLN_E_FORMAT, "%s: input %u is absent, but required",
                        pln_node_where(n, where, sizeof where), i);
    }
    return PLN_OK;
}

pln_status pln_node_attrs(pln_node *n, const void **out, pln_error *err)
{
    *out = n->typed;
    if (n->op)
        PLN_TRY(check_arity(n, err));
    if (n->typed || !n->op || n->op->user)
        return PLN_OK;
    PLN_TRY(check_unknown(n, err));
    if (!n->op->attrs)
        return PLN_OK;
    char *typed = pln_arena_alloc(n->graph->model->arena, n->op->attrs_size);
    if (!typed)
        return pln_oom(err);
    for (const pln_attr_spec *s = n->op->attrs; s->name; s++) {
        const pln_attr *a = pln_node_find_attr(n, s->name);
        void *field = typed + s->offset;
        PLN_TRY(a ? value_of(n, s, a, field, err) : default_of(n, s, field, err));
        if (s->has_offset)
            *(bool *)(typed + s->has_offset) = a != NULL;
    }
    if (n->op->check)
        PLN_TRY(n->op->check(n, typed, err));
    *out = n->typed = typed;
    return PLN_OK;
}
