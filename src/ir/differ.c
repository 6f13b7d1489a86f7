/* Nodes and attributes of two models side by side.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/differ.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/ir/version.h"

static bool same_name(const char *a, const char *b)
{
    return pln_name_len(a) == pln_name_len(b) && !memcmp(a, b, pln_name_len(a));
}

static void say(pln_text *out, size_t begin, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(pln_text *out, size_t begin, const char *fmt, ...)
{
    char buf[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    if (out->len > begin)
        pln_text_str(out, ",");
    pln_text_json(out, buf, strlen(buf));
}

/* ---- attributes ------------------------------------------------------------------ */

static bool same_tensor(pln_tensor *a, pln_tensor *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->kind != b->kind)
        return false;
    return pln_tensor_materialize(a, NULL) == PLN_OK &&
           pln_tensor_materialize(b, NULL) == PLN_OK && pln_tensor_same(a, b);
}

static bool same_strings(const pln_attr *a, const pln_attr *b)
{
    for (size_t i = 0; i < a->n; i++)
        if (!same_name(a->strings[i], b->strings[i]))
            return false;
    return true;
}

static bool same_tensors(const pln_attr *a, const pln_attr *b)
{
    for (size_t i = 0; i < a->n; i++)
        if (!same_tensor(a->tensors[i], b->tensors[i]))
            return false;
    return true;
}

static bool same_attr(const pln_attr *a, const pln_attr *b)
{
    if (a->type != b->type || a->n != b->n || !a->ref != !b->ref ||
        (a->ref && !same_name(a->ref, b->ref)))
        return false;
    switch (a->type) {
    case PLN_ATTR_FLOAT:
        return !memcmp(&a->f, &b->f, sizeof a->f);
    case PLN_ATTR_INT:
        return a->i == b->i;
    case PLN_ATTR_STRING:
        return a->ref || same_name(a->s, b->s);
    case PLN_ATTR_TENSOR:
    case PLN_ATTR_SPARSE_TENSOR:
        return same_tensor(a->t, b->t);
    case PLN_ATTR_FLOATS:
        return !a->n || !memcmp(a->floats, b->floats, a->n * sizeof *a->floats);
    case PLN_ATTR_INTS:
        return !a->n || !memcmp(a->ints, b->ints, a->n * sizeof *a->ints);
    case PLN_ATTR_STRINGS:
        return same_strings(a, b);
    case PLN_ATTR_TENSORS:
    case PLN_ATTR_SPARSE_TENSORS:
        return same_tensors(a, b);
    default:
        return true; /* bodies are compared node by node */
    }
}

static const char *attr_text(const pln_attr *a, char *buf, size_t size)
{
    size_t n = 0;
    if (a->type == PLN_ATTR_INT)
        snprintf(buf, size, "%lld", (long long)a->i);
    else if (a->type == PLN_ATTR_FLOAT)
        snprintf(buf, size, "%.9g", (double)a->f);
    else if (a->type == PLN_ATTR_STRING && !a->ref)
        snprintf(buf, size, "'%.60s'", a->s);
    else if (a->type == PLN_ATTR_INTS) {
        n = (size_t)snprintf(buf, size, "[");
        for (size_t i = 0; i < a->n && n + 30 < size; i++)
            n += (size_t)snprintf(buf + n, size - n, "%s%lld", i ? "," : "",
                                  (long long)a->ints[i]);
        snprintf(buf + n, size - n, n + 30 < size ? "]" : "...]");
    } else
        snprintf(buf, size, "other contents");
    return buf;
}

static void differ_attrs(const pln_node *a, const pln_node *b, pln_text *out,
                         size_t begin)
{
    char was[120], now[120];
    for (uint32_t i = 0; i < a->n_attrs; i++) {
        const pln_attr *x = a->attrs[i], *y = pln_node_find_attr(b, x->name);
        if (!y)
            say(out, begin, "attribute %s: %s -> none", x->name,
                attr_text(x, was, sizeof was));
        else if (!same_attr(x, y))
            say(out, begin, "attribute %s: %s -> %s", x->name,
                attr_text(x, was, sizeof was), attr_text(y, now, sizeof now));
    }
    for (uint32_t i = 0; i < b->n_attrs; i++)
        if (!pln_node_find_attr(a, b->attrs[i]->name))
            say(out, begin, "attribute %s: none -> %s", b->attrs[i]->name,
                attr_text(b->attrs[i], now, sizeof now));
}

/* ---- values ---------------------------------------------------------------------- */

/* The name under which a file has it: an output's own name comes first. */
static const char *name_of(const pln_value *v)
{
    for (const pln_use *u = v ? v->uses : NULL; u; u = u->next)
        if (!u->node && u->graph == v->graph)
            return u->graph->output_names[u->slot];
    return v ? v->name : "";
}

static bool same_value(const pln_value *a, const pln_value *b)
{
    if (!a || !b)
        return a == b;
    const char *na = name_of(a), *nb = name_of(b);
    if (same_name(na, nb))
        return true;
    return pln_value_is_raised(a) && pln_value_is_raised(b) &&
           same_tensor(a->cst, b->cst);
}

static void differ_values(const char *what, pln_value *const *a, uint32_t n_a,
                          pln_value *const *b, uint32_t n_b, pln_text *out, size_t begin)
{
    for (uint32_t i = 0; i < n_a || i < n_b; i++) {
        const pln_value *x = i < n_a ? a[i] : NULL, *y = i < n_b ? b[i] : NULL;
        if (same_value(x, y))
            continue;
        say(out, begin, "%s %u: %s%.120s%s -> %s%.120s%s", what, i, x ? "'" : "",
            x ? name_of(x) : "none", x ? "'" : "", y ? "'" : "", y ? name_of(y) : "none",
            y ? "'" : "");
    }
}

void pln_node_differ(const pln_node *a, const pln_node *b, pln_text *out)
{
    const size_t begin = out->len;
    if (!same_name(a->op_type, b->op_type) || !same_name(a->domain, b->domain) ||
        !same_name(a->overload, b->overload))
        say(out, begin, "operator: %s%s%s -> %s%s%s", a->domain, *a->domain ? "." : "",
            a->op_type, b->domain, *b->domain ? "." : "", b->op_type);
    if (!same_name(a->name, b->name))
        say(out, begin, "name: '%s' -> '%s'", a->name, b->name);
    differ_attrs(a, b, out, begin);
    differ_values("input", a->in, a->n_in, b->in, b->n_in, out, begin);
    differ_values("output", a->out, a->n_out, b->out, b->n_out, out, begin);
}

static uint64_t hash_name(uint64_t h, const char *s)
{
    return pln_hash(h, s, pln_name_len(s) + 1);
}

/* Of operator and inputs alone. */
uint64_t pln_node_hash(const pln_node *n)
{
    uint64_t h = hash_name(hash_name(PLN_HASH_SEED, n->op_type), n->domain);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && !pln_value_is_raised(n->in[i]))
            h = hash_name(h, name_of(n->in[i]));
    return h;
}
