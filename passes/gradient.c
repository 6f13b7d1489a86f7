/* Gradient nodes become the nodes that compute them.
 *
 * The tensors that the node names cut a piece out of the graph. Where its inputs are
 * those very tensors, the piece is used as it stands, else it is built again on the
 * inputs. The piece is a tape, walked backwards: each operator's rule says what its
 * inputs get.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/gradient.h"
#include "src/ir/optimize.h"

#include <string.h>

#define DOMAIN "ai.onnx.preview.training"

typedef struct work {
    pln_grad t;
    pln_node *node;
    const pln_attr *xs, *zs;
    pln_value *y;
    uint32_t n_xs, n_values; /* of the model, before anything was built */
    pln_value **stand_in;    /* by id: the value in the piece that is differentiated */
    bool *wanted;            /* by id: needed for y */
    pln_value **grad;        /* by id, of the piece */
    bool *active;            /* by id, of the piece: depends on an x */
    uint32_t n_piece;        /* values of the model when the piece was complete */
} work;

static bool is_gradient(const pln_node *n)
{
    return !strcmp(n->op_type, "Gradient") && !strcmp(n->domain, DOMAIN);
}

/* ---- reading the node ------------------------------------------------------------ */

static pln_status bad(const work *w, const char *what, const char *name)
{
    char where[160];
    return pln_fail(w->t.err, PLN_E_FORMAT, "%s: %s '%s'",
                    pln_node_where(w->node, where, sizeof where), what, name);
}

static pln_status set_leaves(work *w, const pln_attr *names, uint32_t first)
{
    for (size_t i = 0; names && i < names->n; i++) {
        const uint32_t at = first + (uint32_t)i;
        pln_value *v = pln_graph_find_value(w->node->graph, names->strings[i]);
        if (!v)
            return bad(w, "there is no value", names->strings[i]);
        if (at >= w->node->n_in || !w->node->in[at])
            return bad(w, "there is no input for", names->strings[i]);
        pln_value *in = w->node->in[at];
        /* each x is a leaf of its own, though two may be given the same value */
        if (in != v && !(in = gr_op1(&w->t, "Identity", in)))
            return w->t.failed;
        w->stand_in[v->id] = in;
    }
    return PLN_OK;
}

static pln_status read_node(work *w)
{
    const pln_attr *y = pln_node_find_attr(w->node, "y");
    w->xs = pln_node_find_attr(w->node, "xs");
    w->zs = pln_node_find_attr(w->node, "zs");
    if (!w->xs || w->xs->type != PLN_ATTR_STRINGS || !y || y->type != PLN_ATTR_STRING ||
        (w->zs && w->zs->type != PLN_ATTR_STRINGS))
        return bad(w, "malformed attributes", "xs, zs, y");
    w->n_xs = (uint32_t)w->xs->n;
    w->y = pln_graph_find_value(w->node->graph, y->s);
    if (!w->y)
        return bad(w, "there is no value", y->s);
    if (w->node->n_out > w->xs->n)
        return bad(w, "more outputs than", "xs");
    w->stand_in = PLN_NEW_ARRAY(w->t.arena, pln_value *, w->n_values + 1);
    w->wanted = PLN_NEW_ARRAY(w->t.arena, bool, w->n_values + 1);
    return w->stand_in && w->wanted ? PLN_OK : pln_oom(w->t.err);
}

/* ---- the piece of the graph ------------------------------------------------------ */

/* Marks what y is made of, down to the leaves; false: another Gradient is among it. */
static bool mark(work *w)
{
    w->wanted[w->y->id] = true;
    for (pln_node *n = w->node->graph->last; n; n = n->prev) {
        bool needed = false;
        for (uint32_t o = 0; o < n->n_out; o++)
            if (n->out[o] && n->out[o]->id < w->n_values)
                needed |= w->wanted[n->out[o]->id] && !w->stand_in[n->out[o]->id];
        if (!needed)
            continue;
        if (is_gradient(n))
            return false;
        for (uint32_t i = 0; i < n->n_in; i++)
            if (n->in[i])
                w->wanted[n->in[i]->id] = true;
    }
    return true;
}

static pln_value *stand_in(const work *w, pln_value *v)
{
    pln_value *s = v && v->id < w->n_values ? w->stand_in[v->id] : NULL;
    return s ? s : v;
}

static bool is_needed(const work *w, const pln_node *n)
{
    for (uint32_t o = 0; o < n->n_out; o++)
        if (n->out[o] && n->out[o]->id < w->n_values && w->wanted[n->out[o]->id] &&
            !w->stand_in[n->out[o]->id])
            return true;
    return false;
}

static pln_node *copy_node(work *w, const pln_node *n, pln_value *const *in)
{
    pln_node *c = gr_node(&w->t, n->op_type, in, n->n_in, n->n_out);
    if (c && *n->domain)
        pln_node_set_op(c, n->domain, n->op_type);
    for (uint32_t i = 0; c && i < n->n_attrs; i++) {
        if (n->attrs[i]->type == PLN_ATTR_GRAPH || n->attrs[i]->type == PLN_ATTR_GRAPHS) {
            gr_refuse(&w->t, n, "it has a body");
            return NULL;
        }
        if (pln_node_set_attr(c, n->attrs[i]) != PLN_OK)
            w->t.failed = pln_oom(w->t.err);
    }
    return gr_done(&w->t, c) ? c : NULL;
}

/* Removes a node that was only built to see what it would give. */
static void take_away(pln_node *n)
{
    if (n)
        pln_graph_remove_node(n);
}

/* The node as the older operators that it stands for. *done: it was. */
static pln_status take_apart(work *w, pln_node *n, pln_value *const *in, bool *done)
{
    pln_error why = { .code = PLN_OK };
    pln_node *c = copy_node(w, n, in), *prev = c ? c->prev : NULL;
    pln_node **held = PLN_NEW_ARRAY(w->t.arena, pln_node *, n->n_out + 1);
    if (!c || !held)
        return w->t.failed != PLN_OK ? w->t.failed : pln_oom(w->t.err);
    for (uint32_t o = 0; o < n->n_out; o++) {
        const char *name = pln_graph_fresh_name(n->graph, "gradient");
        held[o] = n->out[o] ? gr_node(&w->t, "Identity", &c->out[o], 1, 1) : NULL;
        if (!name || !pln_value_rename(c->out[o], name) || (n->out[o] && !held[o]))
            return pln_oom(w->t.err);
    }
    const pln_status st = n->op->expand(c, n->op->since - 1, &why);
    if (st != PLN_OK && st != PLN_E_UNSUPPORTED)
        return pln_oom(w->t.err);
    *done = st == PLN_OK;
    for (pln_node *k = prev->next; *done && k != c; k = k->next) {
        bool changed;
        PLN_TRY(pln_node_infer(k, &changed, w->t.err));
        if (!gr_keep(&w->t, k))
            return w->t.failed;
    }
    for (uint32_t o = 0; o < n->n_out; o++) {
        if (*done && held[o])
            w->stand_in[n->out[o]->id] = held[o]->in[0];
        take_away(held[o]);
    }
    take_away(c);
    return PLN_OK;
}

static bool others_wanted(const work *w, const pln_node *n)
{
    for (uint32_t o = 1; o < n->n_out; o++)
        if (n->out[o] && w->wanted[n->out[o]->id])
            return true;
    return false;
}

/* One node of the piece: itself, a copy on other inputs, or what it is made of. */
static pln_status take_in(work *w, pln_node *n)
{
    const gr_rule *rule = gr_rule_of(n);
    pln_value **in = PLN_NEW_ARRAY(w->t.arena, pln_value *, n->n_in + 1);
    bool moved = false;
    if (!in)
        return pln_oom(w->t.err);
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = stand_in(w, n->in[i]);
        moved |= in[i] != n->in[i];
    }
    if (!rule && !*n->domain && n->op && n->op->expand &&
        !(n->op->traits & PLN_OP_RANDOM)) {
        bool done = false;
        PLN_TRY(take_apart(w, n, in, &done));
        if (done)
            return w->t.failed;
    }
    w->t.recording = true;
    if (rule && (rule->same || rule->same_fn) && !others_wanted(w, n)) {
        pln_value *v = rule->same ? gr_text(&w->t, rule->same, n, in, NULL)
                                  : rule->same_fn(&w->t, n, in);
        w->stand_in[n->out[0]->id] = v;
    } else {
        pln_node *c = moved ? copy_node(w, n, in) : gr_keep(&w->t, n);
        for (uint32_t o = 0; c && o < n->n_out; o++)
            if (n->out[o])
                w->stand_in[n->out[o]->id] = c->out[o];
    }
    w->t.recording = false;
    return w->t.failed;
}

static pln_status build_piece(work *w)
{
    /* nodes that are built come at the end: stop before them */
    pln_node *last = w->node->graph->last;
    for (pln_node *n = w->node->graph->first; n; n = n->next) {
        if (n != w->node && is_needed(w, n))
            PLN_TRY(take_in(w, n));
        if (n == last)
            break;
    }
    return PLN_OK;
}

/* ---- backwards ------------------------------------------------------------------- */

static bool is_real(const pln_value *v)
{
    const pln_dtype dt = v->type.dtype;
    return dt == PLN_DT_F32 || dt == PLN_DT_F64 || dt == PLN_DT_F16 ||
           dt == PLN_DT_BF16 || dt == PLN_DT_NONE;
}

static pln_status mark_active(work *w)
{
    w->n_piece = w->t.graph->model->n_values;
    w->active = PLN_NEW_ARRAY(w->t.arena, bool, w->n_piece + 1);
    w->grad = PLN_NEW_ARRAY(w->t.arena, pln_value *, w->n_piece + 1);
    if (!w->active || !w->grad)
        return pln_oom(w->t.err);
    for (uint32_t i = 0; i < w->n_xs; i++) {
        pln_value *v = pln_graph_find_value(w->node->graph, w->xs->strings[i]);
        w->active[stand_in(w, v)->id] = true;
    }
    for (size_t k = 0; k < w->t.n_tape; k++) {
        const pln_node *n = w->t.tape[k];
        const gr_rule *rule = gr_rule_of(n);
        bool any = false;
        for (uint32_t i = 0; i < n->n_in; i++)
            any |= n->in[i] && w->active[n->in[i]->id];
        for (uint32_t o = 0; o < n->n_out; o++)
            if (n->out[o] && any && is_real(n->out[o]) && !(rule && rule->zero))
                w->active[n->out[o]->id] = true;
    }
    return PLN_OK;
}

static pln_value *derivative(work *w, const gr_rule *rule, pln_node *n,
                             pln_value *const *g, uint32_t i)
{
    const bool text = rule->dx[0] || rule->dx[1] || rule->dx[2];
    if (!text)
        return rule->fn(&w->t, n, g, i);
    if (i >= GR_INPUTS || !rule->dx[i])
        return gr_refuse(&w->t, n, "it has no derivative by one of its inputs");
    return gr_text(&w->t, rule->dx[i], n, n->in, g[0]);
}

static pln_status step_back(work *w, pln_node *n)
{
    pln_value **g = PLN_NEW_ARRAY(w->t.arena, pln_value *, n->n_out + 1);
    const gr_rule *rule = gr_rule_of(n);
    bool any = false;
    if (!g)
        return pln_oom(w->t.err);
    for (uint32_t o = 0; o < n->n_out; o++) {
        g[o] = n->out[o] && w->active[n->out[o]->id] ? w->grad[n->out[o]->id] : NULL;
        any |= g[o] != NULL;
    }
    if (!any)
        return PLN_OK;
    if (!rule || (!g[0] && rule->fn != gr_split)) {
        gr_refuse(&w->t, n, rule ? "only its first output can be" : "there is no rule");
        return w->t.failed;
    }
    for (uint32_t i = 0; i < n->n_in && w->t.failed == PLN_OK; i++) {
        pln_value *v = n->in[i];
        if (!v || !w->active[v->id])
            continue;
        pln_value *d = gr_fit(&w->t, derivative(w, rule, n, g, i), v);
        if (d && w->grad[v->id])
            d = gr_op2(&w->t, "Add", w->grad[v->id], d);
        if (d)
            w->grad[v->id] = d;
    }
    return w->t.failed;
}

static pln_status walk_back(work *w)
{
    pln_value *y = stand_in(w, w->y);
    PLN_TRY(mark_active(w));
    w->grad[y->id] = gr_fill(&w->t, y, 1);
    for (size_t k = w->t.n_tape; k-- > 0 && w->t.failed == PLN_OK;)
        PLN_TRY(step_back(w, w->t.tape[k]));
    return w->t.failed;
}

/* ---- the results ----------------------------------------------------------------- */

/* Each gets the name of the output that it replaces: another Gradient may ask for it. */
static pln_status replace_outputs(work *w)
{
    const char **names = PLN_NEW_ARRAY(w->t.arena, const char *, w->node->n_out + 1);
    pln_value **with = PLN_NEW_ARRAY(w->t.arena, pln_value *, w->node->n_out + 1);
    if (!names || !with)
        return pln_oom(w->t.err);
    for (uint32_t o = 0; o < w->node->n_out; o++) {
        pln_value *x =
            stand_in(w, pln_graph_find_value(w->node->graph, w->xs->strings[o]));
        if (!w->node->out[o])
            continue;
        pln_value *g = w->grad[x->id] ? w->grad[x->id] : gr_fill(&w->t, x, 0);
        with[o] = gr_op1(&w->t, "Identity", g);
        if (!with[o])
            return w->t.failed;
        names[o] = w->node->out[o]->name;
    }
    for (uint32_t o = 0; o < w->node->n_out; o++)
        if (with[o])
            pln_value_replace_uses(w->node->out[o], with[o]);
    const uint32_t n_out = w->node->n_out;
    pln_graph_remove_node(w->node);
    for (uint32_t o = 0; o < n_out; o++)
        if (with[o] && *names[o])
            pln_value_rename(with[o], names[o]);
    return pln_graph_sort(w->t.graph, w->t.err);
}

/* *waits: its y is made by another Gradient, which must go first. */
static pln_status expand(pln_node *n, pln_arena *arena, bool *waits, pln_error *err)
{
    work w = { .t = { .graph = n->graph, .arena = arena, .node = n, .err = err },
               .node = n };
    w.n_values = n->graph->model->n_values;
    PLN_TRY(read_node(&w));
    /* the leaves as they are, to see whether another Gradient lies above them */
    for (uint32_t k = 0; k < 2; k++) {
        const pln_attr *names = k ? w.zs : w.xs;
        for (size_t i = 0; names && i < names->n; i++) {
            pln_value *v = pln_graph_find_value(n->graph, names->strings[i]);
            if (v)
                w.stand_in[v->id] = v;
        }
    }
    *waits = !mark(&w);
    if (*waits)
        return PLN_OK;
    PLN_TRY(set_leaves(&w, w.xs, 0));
    PLN_TRY(set_leaves(&w, w.zs, w.n_xs));
    PLN_TRY(build_piece(&w));
    PLN_TRY(walk_back(&w));
    return replace_outputs(&w);
}

static pln_status expand_one(pln_graph *g, bool *found, pln_error *err)
{
    bool waits = false, any = false;
    *found = false;
    for (pln_node *n = g->first, *next; n && !*found; n = next) {
        next = n->next;
        if (!is_gradient(n))
            continue;
        pln_arena *arena = pln_arena_new(g->model->alloc);
        const pln_status st = arena ? expand(n, arena, &waits, err) : pln_oom(err);
        pln_arena_free(arena);
        PLN_TRY(st);
        any |= waits;
        *found = !waits;
    }
    return any && !*found
               ? pln_fail(err, PLN_E_FORMAT, "Gradient nodes depend on one another")
               : PLN_OK;
}

static pln_status expand_graph(pln_graph *g, void *user)
{
    bool found = true;
    while (found)
        PLN_TRY(expand_one(g, &found, user));
    return PLN_OK;
}

static pln_status find_gradient(pln_graph *g, void *user)
{
    for (const pln_node *n = g->first; n; n = n->next)
        *(bool *)user |= is_gradient(n);
    return PLN_OK;
}

bool pln_model_has_gradients(pln_model *model)
{
    bool any = false;
    pln_graph_walk(model->graph, find_gradient, &any);
    return any;
}

pln_status pln_model_expand_gradients(pln_model *model, pln_error *err)
{
    pln_model *copy = NULL;
    if (!pln_model_has_gradients(model))
        return PLN_OK;
    PLN_TRY(pln_model_clone(model, &copy, err));
    const pln_infer_options o = { 0 };
    pln_status st = pln_graph_infer(copy->graph, &o, err);
    if (st == PLN_OK)
        st = pln_graph_walk(copy->graph, expand_graph, err);
    if (st == PLN_OK)
        pln_model_swap(model, copy);
    pln_model_free(copy);
    return st;
}
