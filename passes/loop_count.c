/* Loops that count for themselves:
 *
 *     i = from; while (i < n) { .. i = i + 1 }
 *
 * What is counted is computed from the number of the iteration. Where only that decides
 * whether the loop goes on, it becomes the trip count, and the condition goes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/loop.h"

#include "passes/match.h"

#define MOST_PARTS 16        /* of a condition */
#define FAR        INT32_MAX /* trip counts from there on are none */

/* ---- what is counted ------------------------------------------------------------- */

static bool only_int(const pln_value *v, int64_t *out)
{
    size_t n;
    return v && pln_value_get_ints(v, out, 1, &n) && n == 1 && *out > -FAR && *out < FAR;
}

static bool is_integer(const pln_value *v)
{
    return v->type.dtype == PLN_DT_S64 || v->type.dtype == PLN_DT_S32;
}

/* The same number in another type or shape. */
static const pln_value *bare(const pln_value *v)
{
    static const char *const ops[] = { "Identity", "Cast", "Squeeze", "Unsqueeze" };
    for (bool more = true; more && v->def && v->def->in[0];) {
        more = false;
        for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
            more |= pln_node_is(v->def, ops[i]) && is_integer(v->def->in[0]) &&
                    is_integer(v);
        if (more)
            v = v->def->in[0];
    }
    return v;
}

/* v = of * sign + more, where one input of its node is a constant. */
static bool read_sum(const pln_value *v, const pln_value **of, int64_t *sign,
                     int64_t *more)
{
    const pln_node *n = v->def;
    const bool sub = n && pln_node_is(n, "Sub");
    if (!n || !is_integer(v) || (!sub && !pln_node_is(n, "Add")))
        return false;
    for (int k = 0; k < 2; k++) {
        if (!only_int(n->in[1 - k], more))
            continue;
        *of = n->in[k];
        *sign = sub && k == 1 ? -1 : 1;
        *more = sub && k == 0 ? -*more : *more;
        return true;
    }
    return false;
}

/* v but for the constants added to it. */
static const pln_value *base_of(const pln_value *v, int64_t *more)
{
    int64_t sign, k;
    const pln_value *of;
    *more = 0;
    v = bare(v);
    for (int left = 4; left && read_sum(v, &of, &sign, &k) && sign == 1; left--) {
        *more += k;
        v = bare(of);
    }
    return v;
}

/* What state i counts. */
static bool count_of_state(const pln_loop *l, uint32_t i, pln_count *out)
{
    const pln_value *inner = l->g->inputs[l->inner_at + i], *of;
    int64_t sign;
    return is_integer(inner) && only_int(l->n->in[l->in_at + i], &out->from) &&
           read_sum(bare(l->g->outputs[l->out_at + i]), &of, &sign, &out->by) &&
           sign == 1 && out->by && bare(of) == inner;
}

bool pln_loop_count_of(const pln_loop *l, const pln_value *v, pln_count *out)
{
    int64_t sign = 1, more = 0, s, k;
    const pln_value *of;
    if (l->scan)
        return false;
    v = bare(v);
    for (int left = 4; left && read_sum(v, &of, &s, &k); left--) {
        more += sign * k;
        sign *= s;
        v = bare(of);
    }
    bool found = v == l->g->inputs[0];
    *out = (pln_count){ 0, 1 };
    for (uint32_t i = 0; i < l->n_state && !found; i++)
        found = v == l->g->inputs[l->inner_at + i] && count_of_state(l, i, out);
    *out = (pln_count){ more + sign * out->from, sign * out->by };
    return found;
}

/* ---- conditions ------------------------------------------------------------------ */

/* from + the number of the iteration < limit */
typedef struct bound {
    int64_t from;
    pln_value *limit;
} bound;

static bool is_outside(const pln_loop *l, const pln_value *v)
{
    for (const pln_graph *g = v->graph; g; g = g->parent)
        if (g == l->g)
            return pln_value_is_const(v);
    return true;
}

/* a < b or a <= b, whichever way it is written. */
static bool read_less(const pln_value *v, pln_value **a, pln_value **b, bool *equal)
{
    static const char *const ops[] = { "Less", "LessOrEqual", "Greater", "GreaterOrEqual" };
    for (int i = 0; v->def && i < 4; i++) {
        if (!pln_node_is(v->def, ops[i]))
            continue;
        *a = v->def->in[i / 2];
        *b = v->def->in[1 - i / 2];
        *equal = i % 2;
        return is_integer(*a);
    }
    return false;
}

static bool read_bound(const pln_loop *l, const pln_value *v, bound *out)
{
    pln_value *a;
    pln_count c;
    bool equal;
    if (!read_less(v, &a, &out->limit, &equal) || !is_outside(l, out->limit) ||
        !pln_loop_count_of(l, a, &c) || c.by != 1)
        return false;
    out->from = c.from - equal;
    return true;
}

/* a - b, if that is known. */
static bool apart(const pln_value *a, const pln_value *b, int64_t *out)
{
    int64_t x, y;
    if (only_int(a, &x) && only_int(b, &y)) {
        *out = x - y;
        return true;
    }
    if (base_of(a, &x) == base_of(b, &y)) {
        *out = x - y;
        return true;
    }
    if (!a->sym || !b->sym || a->sym->n != 1 || b->sym->n != 1)
        return false;
    const pln_dim d = pln_dim_sub(a->graph->model->syms, a->sym->v[0], b->sym->v[0]);
    *out = d.value;
    return pln_dim_is_known(d) && d.value > -FAR && d.value < FAR;
}

static bool is_true(const pln_value *v)
{
    double c;
    return pln_value_is_splat(v, &c) && c != 0;
}

/* The loop ends by its trip count before v tells it to. */
static bool is_idle(const pln_loop *l, const pln_value *v)
{
    bound b;
    int64_t more;
    return v == l->g->inputs[1] || is_true(v) ||
           (l->n->in[0] && read_bound(l, v, &b) && apart(l->n->in[0], b.limit, &more) &&
            more <= 1 - b.from);
}

/* The trip count is 0, if v is not true. */
static bool begins_anyway(const pln_loop *l, const pln_value *v)
{
    pln_value *a, *limit;
    int64_t from, more;
    bool equal;
    return is_true(v) ||
           (l->n->in[0] && read_less(v, &a, &limit, &equal) && only_int(a, &from) &&
            apart(l->n->in[0], limit, &more) && from - equal <= -more);
}

/* v without the parts of a conjunction that hold; NULL: all of it does. */
static pln_value *rest_of(const pln_loop *l, pln_value *v,
                          bool (*holds)(const pln_loop *, const pln_value *), int left)
{
    if (holds(l, v))
        return NULL;
    if (!left || !v->def || pln_value_rank(v) < 0)
        return v;
    if (pln_node_is(v->def, "Identity"))
        return rest_of(l, v->def->in[0], holds, left - 1);
    if (!pln_node_is(v->def, "And"))
        return v;
    pln_value *a = rest_of(l, v->def->in[0], holds, left - 1);
    pln_value *b = rest_of(l, v->def->in[1], holds, left - 1);
    return !a ? b : !b ? a : v;
}

/* ---- trip counts ----------------------------------------------------------------- */

/* The part of the condition that says how often; false: none. */
static bool find_bound(const pln_loop *l, const pln_value *v, bound *out, int left)
{
    if (!left || !v->def)
        return false;
    if (pln_node_is(v->def, "Identity"))
        return find_bound(l, v->def->in[0], out, left - 1);
    if (pln_node_is(v->def, "And"))
        return find_bound(l, v->def->in[0], out, left - 1) ||
               find_bound(l, v->def->in[1], out, left - 1);
    return read_bound(l, v, out);
}

/* The first iteration runs whatever the body says; the loop says `from - 1 < limit`. */
static bool begins_below(const pln_loop *l, const bound *b)
{
    pln_value *a, *limit;
    int64_t from, more;
    bool equal;
    return l->n->in[1] && read_less(l->n->in[1], &a, &limit, &equal) &&
           only_int(a, &from) && apart(limit, b->limit, &more) &&
           from - equal - more == b->from - 1;
}

static pln_value *trips_of(const pln_loop *l, const bound *b)
{
    int64_t limit;
    pln_node *n = l->n;
    if (only_int(b->limit, &limit)) {
        const int64_t trips = limit - b->from + 1;
        return pln_loop_constant(n->graph, PLN_DT_S64, 0, trips > 1 ? trips : 1);
    }
    pln_value *v = b->limit;
    if (v->type.dtype != PLN_DT_S64) {
        n = pln_loop_add(l->n, "Cast", v, NULL);
        if (!n || pln_node_set_int(n, "to", PLN_DT_S64) != PLN_OK)
            return NULL;
        v = n->out[0];
    }
    if (b->from == 1)
        return v;
    pln_value *more = pln_loop_constant(l->n->graph, PLN_DT_S64, 0, 1 - b->from);
    n = more ? pln_loop_add(l->n, "Add", v, more) : NULL;
    return n ? n->out[0] : NULL;
}

static pln_status find_trips(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    bound b;
    int64_t known, most = FAR;
    double many;
    const pln_value *m = l->n->in[0];
    if (m && !only_int(m, &most) && !(pln_value_is_splat(m, &many) && many >= FAR))
        return PLN_OK;
    if (!find_bound(l, l->g->outputs[0], &b, MOST_PARTS) || pln_value_rank(b.limit) != 0)
        return PLN_OK;
    const bool constant = only_int(b.limit, &known);
    const bool helps = constant ? most > 1 && known - b.from + 1 < most
                                : most == FAR && begins_below(l, &b);
    if (!helps || (!constant && b.limit->graph == l->g) || !pln_pass_begin(ctx, l->n))
        return PLN_OK;
    pln_value *v = trips_of(l, &b);
    return v && pln_node_set_input(l->n, 0, v) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* The body says v now, under the name of what it said. */
static pln_status end_with(const pln_loop *l, pln_value *v, pln_error *err)
{
    pln_value *end = l->g->outputs[0];
    const char *name = end->name, *aside = v ? pln_graph_fresh_name(l->g, name) : NULL;
    if (!aside ||
        (end->def && (!pln_value_rename(end, aside) || !pln_value_rename(v, name))))
        return pln_oom(err);
    pln_graph_set_output(l->g, 0, v);
    return PLN_OK;
}

static pln_status drop_conditions(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    pln_value *end = l->g->outputs[0], *begin = l->n->in[1];
    pln_value *rest = rest_of(l, end, is_idle, MOST_PARTS);
    if (!rest && !pln_loop_goes_on(l) && pln_pass_begin(ctx, l->n)) {
        PLN_TRY(end_with(l, pln_loop_constant(l->g, PLN_DT_BOOL, 0, 1), err));
    } else if (rest && rest != end && rest->graph == l->g && pln_value_rank(rest) == 0 &&
               pln_pass_begin(ctx, l->n)) {
        PLN_TRY(end_with(l, rest, err));
    }
    if (!begin || is_true(begin) || rest_of(l, begin, begins_anyway, MOST_PARTS) ||
        !pln_pass_begin(ctx, l->n))
        return PLN_OK;
    begin = pln_loop_constant(l->n->graph, PLN_DT_BOOL, 0, 1);
    return begin && pln_node_set_input(l->n, 1, begin) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* ---- counters -------------------------------------------------------------------- */

/* All that read v, but for the node `but`, take a number of any integer type. */
static bool only_indexes(const pln_value *v, const pln_node *but)
{
    for (const pln_use *u = v->uses; u; u = u->next)
        if (u->node != but && (u->slot != 1 || !pln_node_is(u->node, "Gather")))
            return false;
    return true;
}

static pln_status replace_uses_but(pln_value *old, pln_value *with, const pln_node *but)
{
    for (pln_use *u = old->uses, *next; u; u = next) {
        next = u->next;
        if (u->node != but)
            PLN_TRY(pln_node_set_input(u->node, u->slot, with));
    }
    return PLN_OK;
}

/* The number of the iteration times `by`, and `from`: at most one node more. */
static pln_value *emit_count(const pln_loop *l, const pln_count *c,
                             const pln_value *inner, const pln_node *but)
{
    pln_value *v = l->g->inputs[0];
    const pln_dtype dt = inner->type.dtype;
    pln_node *n = NULL;
    if (dt != PLN_DT_S64 && !only_indexes(inner, but)) {
        n = pln_loop_add(l->g->first, "Cast", v, NULL);
        return n && pln_node_set_int(n, "to", PLN_DT_S32) == PLN_OK ? n->out[0] : NULL;
    }
    if (c->by == 1 && !c->from)
        return v;
    const bool sum = c->by == 1;
    pln_value *k = pln_loop_constant(l->g, dt, 0, c->from ? c->from : c->by);
    n = !k                ? NULL
        : !c->from        ? pln_loop_add(l->g->first, "Mul", v, k)
        : sum             ? pln_loop_add(l->g->first, "Add", v, k)
                          : pln_loop_add(l->g->first, "Sub", k, v);
    return n ? n->out[0] : NULL;
}

/* Nothing but the state itself reads the next number, or none has to be computed. */
static bool saves(const pln_loop *l, uint32_t i, const pln_count *c)
{
    const pln_value *inner = l->g->inputs[l->inner_at + i];
    const pln_value *next = l->g->outputs[l->out_at + i];
    const bool own = inner->n_uses > 1 && next->n_uses == 1;
    const bool first = !c->from && c->by == 1;
    for (const pln_use *u = inner->uses; u; u = u->next)
        if (!u->node)
            return false;
    if (pln_value_rank(inner) != 0)
        return false;
    if (inner->type.dtype == PLN_DT_S32)
        return first && own;
    return first || (own && (!c->from || c->by == 1 || c->by == -1));
}

static pln_status use_number(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    for (uint32_t i = 0; i < l->n_state; i++) {
        pln_count c;
        pln_value *inner = l->g->inputs[l->inner_at + i];
        const bool read = l->n->out[i] && l->n->out[i]->n_uses;
        if (read || !inner->n_uses || !count_of_state(l, i, &c) || !saves(l, i, &c) ||
            !pln_pass_begin(ctx, l->n))
            continue;
        /* What computes the next one would get another type, and goes with the state. */
        const pln_node *but = inner->type.dtype == PLN_DT_S64
                                  ? NULL
                                  : bare(l->g->outputs[l->out_at + i])->def;
        pln_value *v = emit_count(l, &c, inner, but);
        if (!v || replace_uses_but(inner, v, but) != PLN_OK)
            return pln_oom(err);
    }
    return PLN_OK;
}

pln_status pln_loop_count(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    if (l->scan)
        return PLN_OK;
    PLN_TRY(find_trips(ctx, l, err));
    PLN_TRY(drop_conditions(ctx, l, err));
    return use_number(ctx, l, err);
}
