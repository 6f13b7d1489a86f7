/* Expressions of the gradient's rules.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/gradient.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    pln_grad *t;
    const char *at;
    pln_node *n;
    pln_value *const *in;
    pln_value *g;
} reader;

static pln_value *read_expr(reader *r);

/* The float attribute with its default, by the operator's table. */
static pln_value *attribute(reader *r, const char *name, size_t len)
{
    const void *typed = NULL;
    if (r->t->failed != PLN_OK)
        return NULL;
    r->t->failed = pln_node_attrs(r->n, &typed, r->t->err);
    for (const pln_attr_spec *s = r->n->op->attrs; typed && s && s->name; s++)
        if (s->type == PLN_ATTR_FLOAT && strlen(s->name) == len &&
            !memcmp(s->name, name, len)) {
            float f;
            memcpy(&f, (const char *)typed + s->offset, sizeof f);
            return gr_scalar(r->t, r->in[0], f);
        }
    return gr_refuse(r->t, r->n, "an attribute is missing");
}

static pln_value *named(reader *r, char c)
{
    switch (c) {
    case 'g':
        return r->g;
    case 'y':
        return r->n->out[0];
    default:
        return (uint32_t)(c - 'a') < r->n->n_in ? r->in[c - 'a'] : NULL;
    }
}

/* ---- what is no operator --------------------------------------------------------- */

/* The axes that reducing dropped come back with size 1. */
static pln_value *spread(reader *r, pln_value *v)
{
    pln_value *axes = r->n->n_in > 1 ? r->n->in[1] : NULL;
    if (gr_attr_int(r->n, "keepdims", 1) == 0 && axes)
        v = gr_op2(r->t, "Unsqueeze", v, axes);
    return gr_op2(r->t, "Expand", v, gr_op1(r->t, "Shape", r->in[0]));
}

/* Softmax before version 13 has all axes from its own on as one. */
static pln_value *along(reader *r, pln_value *v)
{
    const int64_t axis = gr_attr_int(r->n, "axis", -1);
    int64_t axes[PLN_MAX_RANK] = { axis };
    size_t n = 1;
    const int rank = v ? gr_rank(v) : 0;
    if (gr_attr_int(r->n, "pln_flatten", 0)) {
        if (rank == PLN_RANK_UNKNOWN)
            return gr_refuse(r->t, r->n, "its rank is not known");
        const int64_t first = axis < 0 ? axis + rank : axis;
        for (n = 0; first + (int64_t)n < rank; n++)
            axes[n] = first + (int64_t)n;
    }
    return n ? gr_reduce(r->t, v, axes, n, true) : v;
}

static pln_value *count(reader *r, pln_value *v)
{
    pln_value *size = gr_op1(r->t, "Size", v);
    pln_value *per = gr_op2(r->t, "Div", size, gr_op1(r->t, "Size", r->n->out[0]));
    pln_node *n = per ? gr_node(r->t, "Cast", &per, 1, 1) : NULL;
    gr_int(r->t, n, "to", r->in[0]->type.dtype);
    return gr_done(r->t, n);
}

static const struct {
    const char *name;
    pln_value *(*fn)(reader *r, pln_value *v);
} functions[] = { { "Spread", spread }, { "Along", along }, { "Count", count } };

/* ---- reading --------------------------------------------------------------------- */

static bool accept(reader *r, char c)
{
    while (*r->at == ' ')
        r->at++;
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static pln_value *call(reader *r)
{
    char name[32];
    pln_value *in[GR_INPUTS] = { NULL };
    uint32_t n = 0;
    size_t len = 0;
    while (isalnum((unsigned char)*r->at) && len + 1 < sizeof name)
        name[len++] = *r->at++;
    name[len] = 0;
    accept(r, '(');
    do {
        pln_value *v = read_expr(r);
        if (n < GR_INPUTS)
            in[n++] = v;
    } while (accept(r, ','));
    accept(r, ')');
    for (uint32_t i = 0; i < n; i++)
        if (!in[i])
            return NULL;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(functions[i].name, name))
            return functions[i].fn(r, in[0]);
    return gr_done(r->t, gr_node(r->t, name, in, n, 1));
}

static pln_value *read_expr(reader *r)
{
    while (*r->at == ' ')
        r->at++;
    if (isupper((unsigned char)*r->at))
        return call(r);
    if (isdigit((unsigned char)*r->at) || *r->at == '-') {
        char *end;
        const double v = strtod(r->at, &end);
        r->at = end;
        return gr_scalar(r->t, r->in[0], v);
    }
    if (*r->at == '@') {
        const char *name = ++r->at;
        while (isalnum((unsigned char)*r->at) || *r->at == '_')
            r->at++;
        return attribute(r, name, (size_t)(r->at - name));
    }
    return named(r, *r->at++);
}

pln_value *gr_text(pln_grad *t, const char *text, pln_node *n, pln_value *const *in,
                   pln_value *g)
{
    reader r = { t, text, n, in, g };
    return read_expr(&r);
}
