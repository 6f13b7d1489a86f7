/* The matcher: patterns against the graph, from a node towards its inputs, with full
 * backtracking over swapped, optional and repeated parts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_STEPS 4000

/* What is still to be matched: pattern `pat` against value v. Lives on the stack. */
typedef struct goal {
    int pat;
    int repeats;
    pln_value *v;
    const struct goal *next;
} goal;

static bool solve(pln_match *m, const goal *g);

static bool miss(pln_match *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static bool miss(pln_match *m, const char *fmt, ...)
{
    const bool all = m->ctx && m->ctx->options->explain; /* the root, too */
    if (m->n_nodes <= m->best || (m->n_nodes < 2 && !all))
        return false;
    m->best = m->n_nodes;
    if (m->ctx && !pln_pass_wants_reasons(m->ctx))
        return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m->why, sizeof m->why, fmt, ap);
    va_end(ap);
    return false;
}

static const char *name_of(const pln_value *v)
{
    return v && v->name ? v->name : "";
}

static bool attr_ints_are(const pln_pat_attr *want, const pln_attr *a)
{
    if (a->type != PLN_ATTR_INTS || a->n != want->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->ints[i] != want->i[i])
            return false;
    return true;
}

static const pln_attr_spec *find_spec(const pln_node *n, const char *name)
{
    const pln_attr_spec *s = n->op ? n->op->attrs : NULL;
    for (; s && s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    return NULL;
}

static bool attr_is(const pln_node *n, const pln_pat_attr *want)
{
    const pln_attr *a = pln_node_find_attr(n, want->name);
    const pln_attr_spec *spec = a ? NULL : find_spec(n, want->name);
    if (!a && !spec)
        return false;
    switch (want->type) {
    case PLN_ATTR_INTS:
        return a && attr_ints_are(want, a);
    case PLN_ATTR_INT:
        return a ? a->type == PLN_ATTR_INT && a->i == want->i[0] : spec->i == want->i[0];
    case PLN_ATTR_FLOAT: {
        const double f = a ? (a->type == PLN_ATTR_FLOAT ? a->f : NAN) : spec->f;
        return fabs(f - want->f) <= 1e-5 * fabs(want->f);
    }
    default: {
        const char *s = a ? (a->type == PLN_ATTR_STRING ? a->s : NULL) : spec->s;
        return s && !strcmp(s, want->s);
    }
    }
}

static bool op_is(const pln_pat *p, const pln_node *n)
{
    for (int i = 0; i < p->n_ops; i++)
        if (p->op[i].type == n->op_type &&
            (p->op[i].domain == n->domain || (!*p->op[i].domain && n->op &&
                                              !*n->op->domain && !strcmp(n->domain, "planish"))))
            return true;
    return false;
}

/* The pattern's inputs are as many as the node's. */
static bool arity_fits(const pln_pattern *pt, const pln_pat *p, const pln_node *n)
{
    for (uint32_t i = p->n_args; i < n->n_in; i++)
        if (n->in[i] && !(p->flags & PLN_PAT_REST))
            return false;
    for (uint32_t i = n->n_in; i < p->n_args; i++) {
        const pln_pat *a = &pt->pat[p->arg[i]];
        if (a->kind != PLN_PAT_ANY || !(a->flags & PLN_PAT_OPTIONAL))
            return false;
    }
    return true;
}

static bool bind(pln_match *m, const pln_pat *p, pln_value *v, pln_node *n, bool *fresh)
{
    *fresh = false;
    if (p->bind < 0)
        return true;
    if (m->val[p->bind])
        return m->val[p->bind] == v;
    *fresh = true;
    m->val[p->bind] = v;
    m->node[p->bind] = n;
    return true;
}

static void unbind(pln_match *m, const pln_pat *p, bool fresh)
{
    if (fresh) {
        m->val[p->bind] = NULL;
        m->node[p->bind] = NULL;
    }
}

/* The inputs of node n against those of p, then the rest of the goals. */
static bool solve_args(pln_match *m, const pln_pat *p, pln_node *n, const goal *rest,
                       bool swap, int first_repeats)
{
    goal g[PLN_PAT_ARGS];
    for (int i = p->n_args - 1; i >= 0; i--) {
        const int from = swap && i < 2 ? 1 - i : i;
        g[i] = (goal){ .pat = p->arg[i],
                       .v = (uint32_t)from < n->n_in ? n->in[from] : NULL,
                       .next = i + 1 < p->n_args ? &g[i + 1] : rest };
    }
    if (first_repeats) {
        g[0].pat = (int)(p - m->pattern->pat);
        g[0].repeats = first_repeats;
    }
    return solve(m, p->n_args ? &g[0] : rest);
}

static bool solve_node(pln_match *m, const goal *g, const pln_pat *p, pln_node *n)
{
    if (m->n_nodes == PLN_MATCH_MAX)
        return false;
    for (int i = 0; i < p->n_attrs; i++)
        if (!attr_is(n, &p->attr[i]))
            return miss(m, "attribute '%s' of '%s' (%s) has another value",
                        p->attr[i].name, name_of(n->out[0]), n->op_type);
    if (!arity_fits(m->pattern, p, n))
        return miss(m, "'%s' (%s) has %u inputs", name_of(n->out[0]), n->op_type,
                    (unsigned)n->n_in);
    if ((p->flags & PLN_PAT_SINGLE) && n != m->root &&
        !pln_value_is_single_use(n->out[0]))
        return miss(m, "'%s' (%s) is used elsewhere, too", name_of(n->out[0]),
                    n->op_type);
    bool fresh = false; /* of a repeated part, the outermost is bound */
    if (!g->repeats && !bind(m, p, n->out[0], n, &fresh))
        return false;
    m->nodes[m->n_nodes++] = n;
    const int again = (p->flags & PLN_PAT_REPEAT) && g->repeats + 1 < PLN_REPEAT_MAX
                          ? g->repeats + 1
                          : 0;
    if (again && solve_args(m, p, n, g->next, false, again))
        return true;
    if (solve_args(m, p, n, g->next, false, 0))
        return true;
    if ((p->flags & PLN_PAT_COMMUTE) && solve_args(m, p, n, g->next, true, 0))
        return true;
    m->n_nodes--;
    unbind(m, p, fresh);
    return false;
}

static bool solve_op(pln_match *m, const goal *g, const pln_pat *p)
{
    pln_node *n = g->v ? g->v->def : NULL;
    const bool fits = n && g->v->slot == 0 && n->graph == m->root->graph && op_is(p, n);
    if (fits && solve_node(m, g, p, n))
        return true;
    if (p->flags & (PLN_PAT_OPTIONAL | PLN_PAT_REPEAT)) {
        const goal inner = { .pat = p->arg[0], .v = g->v, .next = g->next };
        if (solve(m, &inner))
            return true;
        if (!(p->flags & PLN_PAT_COMMUTE))
            return false;
        const goal other = { .pat = p->arg[1], .v = g->v, .next = g->next };
        return m->pattern->pat[p->arg[1]].kind == PLN_PAT_OP && solve(m, &other);
    }
    if (!fits)
        return miss(m, "'%s' comes from %s, not %s", name_of(g->v),
                    n ? n->op_type : "no node", p->op[0].type);
    return false;
}

static bool solve_any(pln_match *m, const goal *g, const pln_pat *p)
{
    if (!g->v)
        return (p->flags & PLN_PAT_OPTIONAL) && solve(m, g->next);
    if ((p->flags & PLN_PAT_CONST) && !pln_value_is_const(g->v))
        return miss(m, "'%s' is not constant", name_of(g->v));
    if ((p->flags & PLN_PAT_SINGLE) && !pln_value_is_single_use(g->v))
        return miss(m, "'%s' is used elsewhere, too", name_of(g->v));
    bool fresh;
    if (!bind(m, p, g->v, g->v->def, &fresh))
        return miss(m, "'%s' is not the same value as '%s'", name_of(g->v),
                    name_of(m->val[p->bind]));
    if (solve(m, g->next))
        return true;
    unbind(m, p, fresh);
    return false;
}

static bool solve_either(pln_match *m, const goal *g, const pln_pat *p)
{
    bool fresh;
    if (!bind(m, p, g->v, g->v ? g->v->def : NULL, &fresh))
        return miss(m, "'%s' is not the same value as '%s'", name_of(g->v),
                    name_of(m->val[p->bind]));
    for (int i = 0; i < p->n_args; i++) {
        const goal one = { .pat = p->arg[i], .v = g->v, .next = g->next };
        if (solve(m, &one))
            return true;
    }
    unbind(m, p, fresh);
    return false;
}

/* Short literals (0.5, 6) are exact; others stand for a real number that the constant is
 * a rounding of. */
static bool number_is(double v, double want, pln_dtype dt)
{
    if ((double)(float)want == want)
        return v == want;
    const double eps = dt == PLN_DT_F16 ? 1e-3 : dt == PLN_DT_BF16 ? 8e-3 : 5e-7;
    return fabs(v - want) <= eps * fabs(want);
}

static bool solve_number(pln_match *m, const goal *g, const pln_pat *p)
{
    double v;
    if (!g->v || !pln_value_is_splat(g->v, &v))
        return miss(m, "'%s' is no constant of one value", name_of(g->v));
    if (!number_is(v, p->number, g->v->type.dtype))
        return miss(m, "'%s' is %g, not %g", name_of(g->v), v, p->number);
    bool fresh;
    if (!bind(m, p, g->v, g->v->def, &fresh))
        return false;
    if (solve(m, g->next))
        return true;
    unbind(m, p, fresh);
    return false;
}

static bool solve(pln_match *m, const goal *g)
{
    if (!g)
        return true;
    if (++m->steps > MAX_STEPS)
        return miss(m, "too many ways to try");
    const pln_pat *p = &m->pattern->pat[g->pat];
    switch (p->kind) {
    case PLN_PAT_OP:
        return solve_op(m, g, p);
    case PLN_PAT_NUMBER:
        return solve_number(m, g, p);
    case PLN_PAT_EITHER:
        return solve_either(m, g, p);
    default:
        return solve_any(m, g, p);
    }
}

bool pln_match_at(const pln_pattern *p, pln_node *n, pln_pass_ctx *ctx, pln_match *m)
{
    m->best = 0;
    m->why[0] = '\0';
    const pln_pat *root = &p->pat[p->root];
    if (!n->n_out || (root->kind == PLN_PAT_OP && !op_is(root, n)))
        return false;
    /* Rules in C read the first result; those of the user may ask for another one. */
    if (!n->out[0] && (!ctx || ctx->pass != ctx->user || root->kind != PLN_PAT_OP))
        return false;
    m->pattern = p;
    m->ctx = ctx;
    m->root = n;
    m->n_nodes = m->steps = 0;
    memset(m->val, 0, (size_t)p->n_names * sizeof m->val[0]);
    memset(m->node, 0, (size_t)p->n_names * sizeof m->node[0]);
    const goal g = { .pat = p->root, .v = n->out[0] };
    return n->out[0] ? solve(m, &g) : solve_node(m, &g, root, n);
}

static int find_name(const pln_match *m, const char *name)
{
    for (int i = 0; i < m->pattern->n_names; i++)
        if (!strcmp(m->pattern->name[i], name))
            return i;
    return -1;
}

pln_value *pln_match_val(const pln_match *m, const char *name)
{
    const int i = find_name(m, name);
    return i < 0 ? NULL : m->val[i];
}

pln_node *pln_match_node(const pln_match *m, const char *name)
{
    const int i = find_name(m, name);
    return i < 0 ? NULL : m->node[i];
}

pln_status pln_match_refuse(pln_match *m, const char *fmt, ...)
{
    va_list ap;
    if (m->ctx && !pln_pass_wants_reasons(m->ctx))
        return PLN_E_UNSUPPORTED;
    va_start(ap, fmt);
    vsnprintf(m->why, sizeof m->why, fmt, ap);
    va_end(ap);
    return PLN_E_UNSUPPORTED;
}
