/* Checking a node against its operator's row: arity, attributes, element types.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/op.h"
#include "src/ir/validate_impl.h"

/* ---- element types ----------------------------------------------------------------- */

typedef struct word {
    const char *s;
    size_t len;
} word;

static bool same(word a, word b)
{
    return a.len == b.len && !memcmp(a.s, b.s, a.len);
}

/* Up to one of the separators. */
static word next_word(const char **p, const char *separators)
{
    const char *from = *p;
    *p += strcspn(*p, separators);
    return (word){ from, (size_t)(*p - from) };
}

/* The set that `types` ("T:float,double;I:int32") gives to a name; s NULL: none. */
static word set_of(const char *types, word name)
{
    for (const char *p = types; p && *p;) {
        const word key = next_word(&p, ":;");
        if (*p != ':')
            break;
        p++;
        const word set = next_word(&p, ";");
        if (same(key, name))
            return set;
        p += *p == ';';
    }
    return (word){ NULL, 0 };
}

static bool in_set(word set, pln_dtype dt)
{
    const char *name = pln_dtype_name(dt);
    const word want = { name, strlen(name) };
    const char *p = set.s;
    while (p < set.s + set.len) {
        word w = next_word(&p, ",;");
        if (same(w, want))
            return true;
        p++;
    }
    return false;
}

#define MAX_BOUND 16

/* Element types that the names of a signature stand for in one node. */
typedef struct bindings {
    word name[MAX_BOUND];
    pln_dtype dtype[MAX_BOUND];
    int n;
} bindings;

static void check_type(pln_faults *f, const pln_node *n, bindings *b, word name,
                       const char *side, uint32_t i, const pln_value *v,
                       const pln_type *t)
{
    if (!v || !t || t->kind != PLN_KIND_TENSOR || t->dtype == PLN_DT_NONE)
        return;
    const pln_dtype dt = t->dtype;
    const word set = set_of(n->op->types, name);
    const pln_dtype fixed = pln_dtype_from_name(name.s, name.len);
    if (fixed != PLN_DT_NONE && !set.s) {
        if (dt != fixed)
            fault_at_node(f, n, "%s %u '%s' is of type %s, want %s", side, i, v->name,
                          pln_dtype_name(dt), pln_dtype_name(fixed));
        return;
    }
    if (set.s && !in_set(set, dt))
        fault_at_node(f, n, "%s %u '%s' is of type %s, which is not allowed there", side,
                      i, v->name, pln_dtype_name(dt));
    int k = 0;
    while (k < b->n && !same(b->name[k], name))
        k++;
    if (k < b->n && b->dtype[k] != dt) {
        fault_at_node(f, n, "%s %u '%s' is of type %s, want %s like the others", side, i,
                      v->name, pln_dtype_name(dt), pln_dtype_name(b->dtype[k]));
    } else if (k == b->n && b->n < MAX_BOUND) {
        b->name[k] = name;
        b->dtype[k] = dt;
        b->n++;
    }
}

/* Types of the inputs, or of the outputs. */
typedef struct side {
    const char *name;
    pln_value *const *v;
    const pln_type *const *in;
    const pln_type *out;
    uint32_t n;
} side;

/* One side of a signature: "T,I?,T*". */
static void check_side(pln_faults *f, const pln_node *n, bindings *b, const char *sig,
                       size_t len, const side *s)
{
    const char *p = sig, *end = sig + len;
    for (uint32_t i = 0; i < s->n && p < end;) {
        const char *from = p;
        word w = next_word(&p, ",-");
        w.len = (size_t)((p < end ? p : end) - w.s);
        const char mark = w.len ? w.s[w.len - 1] : 0;
        if (mark == '*' || mark == '?' || mark == '+')
            w.len--;
        bindings own = { .n = 0 };
        if (!memchr(w.s, '(', w.len))
            check_type(f, n, mark == '+' ? &own : b, w, s->name, i, s->v[i],
                       s->in ? s->in[i] : &s->out[i]);
        i++;
        p = mark == '*' || mark == '+' ? from : p + 1; /* for all that follow */
    }
}

void check_node_types(pln_faults *f, const pln_infer *inf)
{
    const pln_node *n = inf->node;
    const char *sig = n->op ? n->op->sig : NULL, *arrow = sig ? strstr(sig, "->") : NULL;
    bindings b = { .n = 0 };
    if (!arrow)
        return;
    const side in = { "input", n->in, inf->in, NULL, n->n_in };
    const side out = { "output", n->out, NULL, inf->out, n->n_out };
    check_side(f, n, &b, sig, (size_t)(arrow - sig), &in);
    check_side(f, n, &b, arrow + 2, strlen(arrow + 2), &out);
}

/* ---- attributes and arity ---------------------------------------------------------- */

static bool has_references(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i]->ref)
            return true;
    return false;
}

static bool in_function(const pln_node *n)
{
    const pln_graph *g = n->graph;
    while (g->parent)
        g = g->parent;
    return g != g->model->graph;
}

static void check_attrs(pln_faults *f, pln_node *n)
{
    char where[256];
    const void *typed;
    pln_error e = { .code = PLN_OK };
    if (has_references(n) && in_function(n))
        return; /* known only where the function is called */
    if (pln_node_attrs(n, &typed, &e) == PLN_OK)
        return;
    pln_node_where(n, where, sizeof where);
    const size_t len = strlen(where);
    const bool prefixed = !strncmp(e.text, where, len) && e.text[len] == ':';
    fault_at_node(f, n, "%s", prefixed ? e.text + len + 2 : e.text);
}

static void check_unknown(pln_faults *f, const pln_node *n)
{
    const pln_model *m = n->graph->model;
    const pln_function *fn =
        pln_model_find_function(m, n->domain, n->op_type, n->overload);
    if (fn && n->n_in > fn->body->n_inputs)
        fault_at_node(f, n, "has %u inputs, the function has %u", n->n_in,
                      fn->body->n_inputs);
    else if (fn && n->n_out > fn->body->n_outputs)
        fault_at_node(f, n, "has %u outputs, the function has %u", n->n_out,
                      fn->body->n_outputs);
    if (fn)
        return;
    if (pln_domain_is_official(n->domain))
        fault_at_node(f, n, "there is no operator %s in domain '%s'", n->op_type,
                      *n->domain ? n->domain : "ai.onnx");
    else
        note_at_node(f, n, "operator %s of domain '%s' is unknown here", n->op_type,
                     n->domain);
}

void check_node_op(pln_faults *f, pln_node *n)
{
    const pln_model *m = n->graph->model;
    if (!pln_model_opset(m, n->domain) && !in_function(n) && strcmp(n->domain, "planish"))
        fault_at_node(f, n, "the model does not import domain '%s'",
                      *n->domain ? n->domain : "ai.onnx");
    if (!n->op) {
        check_unknown(f, n);
        return;
    }
    check_attrs(f, n);
}
