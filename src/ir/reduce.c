/* Delta debugging of models: parts are left out for as long as the rest is interesting.
 * All choices are in a fixed order. SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/reduce.h"

#include <string.h>

#include "src/ir/edit.h"
#include "src/ir/infer.h"
#include "src/ir/link.h"
#include "src/ir/op.h"
#include "src/ir/shrink.h"
#include "src/ir/splice.h"
#include "src/ir/validate.h"

#define MAX_ROUNDS 8

typedef struct search {
    pln_model *best;
    pln_reducer *r;
    size_t n_faults; /* that the model had from the beginning */
    pln_error *err;
} search;

static void ignore(void *user, const pln_node *n, const pln_error *e)
{
    (void)user;
    (void)n;
    (void)e;
}

/* ---- asking ---------------------------------------------------------------------- */

static pln_status count_faults(pln_model *m, size_t *n)
{
    pln_faults f = { .arena = pln_arena_new(m->alloc) };
    if (!f.arena)
        return PLN_E_NOMEM;
    const pln_status st = pln_model_validate(m, &f, NULL);
    *n = st == PLN_OK ? f.n_errors : SIZE_MAX;
    pln_arena_free(f.arena);
    return st == PLN_E_NOMEM ? st : PLN_OK;
}

/* Takes the candidate; it is the best when it is as valid as the first one was, and
 * interesting. */
static pln_status offer(search *s, pln_model *candidate, bool *taken)
{
    size_t n;
    *taken = false;
    pln_status st = s->r->stopped ? PLN_E_CANCELLED : count_faults(candidate, &n);
    if (st == PLN_OK && n <= s->n_faults) {
        const int answer = s->r->ask(s->r->user, candidate);
        s->r->n_asked++;
        s->r->stopped = answer < 0;
        *taken = answer > 0;
        st = answer < 0 ? PLN_E_CANCELLED : PLN_OK;
    }
    if (*taken) {
        pln_model *was = s->best;
        s->best = candidate;
        candidate = was;
        s->r->n_kept++;
    }
    pln_model_free(candidate);
    return st;
}

/* ---- leaving out nodes ----------------------------------------------------------- */

/* The node of the main graph in whose body, at whatever depth, g is; NULL: g is main. */
static const pln_node *main_owner(const pln_graph *g)
{
    const pln_node *n = NULL;
    for (; g && g->owner; g = g->owner->graph)
        n = g->owner;
    return n;
}

static bool is_read_by_kept(const pln_value *v, const bool *drop, uint32_t first_id)
{
    for (const pln_use *u = v->uses; u; u = u->next) {
        const pln_node *owner = main_owner(u->graph), *n = owner ? owner : u->node;
        if (n && !drop[n->id - first_id])
            return true;
    }
    return false;
}

/* What a dropped node gave comes from outside, or stays as a constant. */
static pln_status replace_output(pln_graph *g, pln_value *v)
{
    pln_value *now;
    if (v->cst && v->cst->kind == PLN_KIND_TENSOR) {
        now = pln_graph_add_initializer(g, pln_graph_fresh_name(g, "c"),
                                        pln_tensor_ref(v->cst));
    } else {
        if (v->type.kind == PLN_KIND_NONE ||
            (v->type.kind == PLN_KIND_TENSOR && !v->type.dtype))
            return PLN_E_UNSUPPORTED;
        now = pln_graph_add_input(g, NULL, v->declared ? v->declared : &v->type);
    }
    if (!now)
        return PLN_E_NOMEM;
    const char *name = v->name, *other = pln_graph_fresh_name(g, name);
    if (!other || !pln_value_rename(v, other) || !pln_value_rename(now, name))
        return PLN_E_NOMEM;
    pln_value_replace_uses(v, now);
    return PLN_OK;
}

static void remove_marked(pln_graph *g, const bool *drop, uint32_t first_id)
{
    for (pln_node *n = g->last, *prev; n; n = prev) {
        bool used = false;
        prev = n->prev;
        for (uint32_t i = 0; i < n->n_out; i++)
            used |= n->out[i] && n->out[i]->uses;
        if (drop[n->id - first_id] && !used)
            pln_graph_remove_node(n);
    }
}

/* Outputs of kept nodes that nobody reads become outputs of the graph; the others that
 * dropped nodes gave are outputs no more. */
static pln_status choose_outputs(pln_graph *g, const bool *drop, uint32_t first_id)
{
    pln_arena *arena = g->model->arena;
    const uint32_t n_was = g->n_outputs;
    pln_value **was = pln_arena_dup(arena, g->outputs, (n_was + 1) * sizeof *was);
    const char **names =
        pln_arena_dup(arena, g->output_names, (n_was + 1) * sizeof *names);
    if (!was || !names)
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < n_was; i++)
        pln_use_unlink(&g->output_use[i]);
    g->n_outputs = 0;
    g->outputs = NULL;
    g->output_names = NULL;
    g->output_use = NULL;
    remove_marked(g, drop, first_id); /* so that nobody reads what only they read */
    for (uint32_t i = 0; i < n_was; i++)
        if (was[i]->kind == PLN_VALUE_NODE && !drop[was[i]->def->id - first_id])
            PLN_TRY(pln_graph_add_output(g, was[i], names[i]));
    for (pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_out && !drop[n->id - first_id]; i++) {
            pln_value *v = n->out[i];
            if (!v || v->uses || !*v->name || v->type.kind == PLN_KIND_NONE)
                continue;
            PLN_TRY(pln_graph_add_output(g, v, NULL));
            v->declared = v->declared ? v->declared
                                      : pln_arena_dup(arena, &v->type, sizeof v->type);
            if (!v->declared)
                return PLN_E_NOMEM;
        }
    return g->n_outputs ? PLN_OK : PLN_E_UNSUPPORTED;
}

static pln_status drop_nodes(pln_model *m, const bool *drop, uint32_t first_id)
{
    pln_graph *g = m->graph;
    for (pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_out && drop[n->id - first_id]; i++)
            if (n->out[i] && is_read_by_kept(n->out[i], drop, first_id))
                PLN_TRY(replace_output(g, n->out[i]));
    PLN_TRY(choose_outputs(g, drop, first_id));
    pln_graph_drop_dead(g, true);
    return pln_model_drop_functions(m);
}

/* Nodes are numbered anew in a clone: those of the main graph, in order, by place. */
static bool *marks_of(pln_model *m, size_t from, size_t n)
{
    bool *drop = PLN_NEW_ARRAY(m->arena, bool, m->n_nodes + 1);
    size_t at = 0;
    for (const pln_node *k = m->graph->first; k && drop; k = k->next, at++)
        drop[k->id] = at >= from && at < from + n;
    return drop;
}

static pln_status infer(pln_model *m, pln_error *err)
{
    const pln_infer_options o = { .fault = ignore };
    return pln_graph_infer(m->graph, &o, err);
}

static pln_status try_without(search *s, size_t from, size_t n, bool *taken)
{
    pln_model *m;
    *taken = false;
    PLN_TRY(pln_model_clone(s->best, &m, s->err));
    pln_status st = infer(m, s->err);
    const bool *drop = marks_of(m, from, n);
    if (st == PLN_OK)
        st = drop ? drop_nodes(m, drop, 0) : PLN_E_NOMEM;
    if (st == PLN_OK)
        return offer(s, m, taken);
    pln_model_free(m);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
}

/* Ranges of nodes, large ones first; from the end, since what is behind a fault goes
 * first. */
static pln_status reduce_nodes(search *s)
{
    for (size_t size = (s->best->graph->n_nodes + 1) / 2; size > 0; size /= 2) {
        for (size_t end = s->best->graph->n_nodes; end > 0;) {
            const size_t from = end > size ? end - size : 0;
            bool taken;
            if (from == 0 && end >= s->best->graph->n_nodes)
                break; /* all of them */
            PLN_TRY(try_without(s, from, end - from, &taken));
            end =
                taken && s->best->graph->n_nodes < from ? s->best->graph->n_nodes : from;
        }
    }
    return PLN_OK;
}

/* ---- other steps ------------------------------------------------------------------- */

/* Each changes a clone at the k-th place, or says that there is none. */

typedef pln_status (*step_fn)(pln_model *m, size_t k, bool *there);

typedef struct node_search {
    size_t k;
    pln_node *found;
} node_search;

static pln_status find_node(pln_graph *g, void *user)
{
    node_search *w = user;
    for (pln_node *n = g->first; n && !w->found; n = n->next)
        if (w->k-- == 0)
            w->found = n;
    return PLN_OK;
}

/* The k-th node, those of bodies included. */
static pln_node *node_at(const pln_model *m, size_t k)
{
    node_search w = { k, NULL };
    pln_graph_walk(m->graph, find_node, &w);
    return w.found;
}

static bool same_type(const pln_value *a, const pln_value *b)
{
    return a && b && a->type.kind == b->type.kind && a->type.dtype == b->type.dtype &&
           a->type.kind != PLN_KIND_NONE &&
           (a->type.shape.rank == b->type.shape.rank || a->type.shape.rank < 0 ||
            b->type.shape.rank < 0);
}

/* A body's outputs are known by their places: they may have other names. */
static bool keeps_name(const pln_value *v, const pln_value *in)
{
    return pln_value_is_output(v) &&
           (!v->graph->owner || in->graph != v->graph || in->kind != PLN_VALUE_NODE);
}

/* The node's users read its input instead. */
static pln_status bypass(pln_model *m, size_t k, bool *there)
{
    pln_node *n = node_at(m, k);
    *there = n != NULL;
    for (uint32_t i = 0; n && i < n->n_in; i++) {
        if (n->n_out < 1 || !n->out[0] || !same_type(n->in[i], n->out[0]) ||
            keeps_name(n->out[0], n->in[i]))
            continue;
        pln_value_replace_uses(n->out[0], n->in[i]);
        pln_graph_drop_dead(n->graph, n->graph == m->graph);
        pln_graph_drop_dead(m->graph, true);
        return pln_model_drop_functions(m);
    }
    return PLN_E_UNSUPPORTED;
}

static pln_value *scalar(pln_graph *g, pln_dtype dt, int64_t v)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(g->model->alloc, dt, 0, NULL, &t, NULL) != PLN_OK)
        return NULL;
    pln_tensor_set_i64(t, 0, v);
    return pln_graph_add_initializer(g, pln_graph_fresh_name(g, "c"), t);
}

/* One turn of a Loop. */
static pln_status inline_turn(pln_node *n, pln_graph *body)
{
    pln_value **in = PLN_NEW_ARRAY(body->model->arena, pln_value *, body->n_inputs + 2);
    if (!in)
        return PLN_E_NOMEM;
    if (body->n_inputs < 2 || n->n_in != body->n_inputs ||
        body->n_outputs != n->n_out + 1 || n->n_out != body->n_inputs - 2)
        return PLN_E_UNSUPPORTED; /* it collects what the turns give */
    in[0] = scalar(n->graph, PLN_DT_S64, 0);
    in[1] = scalar(n->graph, PLN_DT_BOOL, 1);
    for (uint32_t i = 2; i < body->n_inputs; i++)
        if (!(in[i] = n->in[i]))
            return PLN_E_UNSUPPORTED;
    return in[0] && in[1] ? pln_node_splice(n, body, in, body->outputs + 1) : PLN_E_NOMEM;
}

static bool is_plain(const pln_node *n, const char *op)
{
    return !*n->domain && !strcmp(n->op_type, op);
}

/* A branch, or one turn, in place of the node. */
static pln_status inline_body(pln_model *m, size_t k, bool *there)
{
    pln_node *n;
    for (size_t at = 0; (n = node_at(m, at)); at++)
        for (uint32_t i = 0; i < n->n_attrs; i++) {
            pln_graph *g = n->attrs[i]->type == PLN_ATTR_GRAPH ? n->attrs[i]->g : NULL;
            if (!g || k--)
                continue;
            *there = true;
            if (is_plain(n, "Loop"))
                return inline_turn(n, g);
            if (!is_plain(n, "If") || g->n_inputs || g->n_outputs != n->n_out)
                return PLN_E_UNSUPPORTED;
            PLN_TRY(pln_node_splice(n, g, NULL, g->outputs));
            pln_graph_drop_dead(m->graph, true);
            return PLN_OK;
        }
    *there = false;
    return PLN_E_UNSUPPORTED;
}

static pln_status drop_output(pln_model *m, size_t k, bool *there)
{
    pln_graph *g = m->graph;
    *there = k < g->n_outputs;
    if (!*there || g->n_outputs < 2)
        return PLN_E_UNSUPPORTED;
    pln_value **v = PLN_NEW_ARRAY(m->arena, pln_value *, g->n_outputs);
    const char **names = PLN_NEW_ARRAY(m->arena, const char *, g->n_outputs);
    uint32_t n = 0;
    if (!v || !names)
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (i != k)
            names[n++] = g->output_names[i];
    return pln_model_cut(m, NULL, 0, names, n, NULL);
}

static bool is_weight(const pln_value *v)
{
    return v->kind == PLN_VALUE_INITIALIZER && v->cst && v->uses && v->file_order &&
           v->cst->kind == PLN_KIND_TENSOR && pln_tensor_size(v->cst) > 16;
}

/* Its bytes go, and the model gets an input for it. */
static pln_status make_input(pln_graph *g, pln_value *v)
{
    pln_value *now = pln_graph_add_input(g, NULL, &v->type);
    const char *name = v->name;
    if (!now)
        return PLN_E_NOMEM;
    pln_value_replace_uses(v, now);
    pln_graph_remove_value(v);
    return pln_value_rename(now, name) ? PLN_OK : PLN_E_NOMEM;
}

static size_t count_weights(const pln_model *m)
{
    size_t n = 0;
    for (const pln_value *v = m->graph->values; v; v = v->next)
        n += is_weight(v);
    return n;
}

static pln_status try_inputs(search *s, size_t from, size_t n, bool *taken)
{
    pln_model *m;
    *taken = false;
    PLN_TRY(pln_model_clone(s->best, &m, s->err));
    pln_status st = infer(m, s->err);
    size_t at = 0;
    for (pln_value *v = m->graph->values, *next; v && st == PLN_OK; v = next) {
        next = v->next;
        if (is_weight(v) && at++ >= from && at <= from + n)
            st = make_input(m->graph, v);
    }
    if (st == PLN_OK)
        return offer(s, m, taken);
    pln_model_free(m);
    return st;
}

/* Ranges of weights, down to `least` at once. */
static pln_status reduce_weights(search *s, size_t least)
{
    size_t count = count_weights(s->best);
    for (size_t size = count; size >= least && size > 0; size /= 2)
        for (size_t from = 0; from < count;) {
            bool taken;
            PLN_TRY(try_inputs(s, from, size, &taken));
            from += taken ? 0 : size;
            count = count_weights(s->best);
        }
    return PLN_OK;
}

static pln_status drop_optional_input(pln_model *m, size_t k, bool *there)
{
    pln_node *n;
    for (size_t at = 0; (n = node_at(m, at)); at++)
        for (uint32_t i = n->op && n->op->in.min >= 0 ? (uint32_t)n->op->in.min : n->n_in;
             i < n->n_in; i++)
            if (n->in[i] && k-- == 0) {
                *there = true;
                PLN_TRY(pln_node_set_input(n, i, NULL));
                pln_node_trim_inputs(n);
                pln_graph_drop_dead(m->graph, true);
                return PLN_OK;
            }
    *there = false;
    return PLN_E_UNSUPPORTED;
}

static pln_status drop_attribute(pln_model *m, size_t k, bool *there)
{
    pln_node *n;
    for (size_t at = 0; (n = node_at(m, at)); at++)
        for (uint32_t i = 0; i < n->n_attrs; i++)
            if (n->attrs[i]->type != PLN_ATTR_GRAPH &&
                n->attrs[i]->type != PLN_ATTR_GRAPHS && k-- == 0) {
                *there = true;
                pln_node_drop_attr(n, n->attrs[i]->name);
                return PLN_OK;
            }
    *there = false;
    return PLN_E_UNSUPPORTED;
}

/* All that says nothing of what is computed, at once. */
static pln_status drop_remarks(pln_model *m, size_t k, bool *there)
{
    const char *none = pln_model_name(m, "");
    *there = k == 0;
    if (k || !none)
        return none ? PLN_E_UNSUPPORTED : PLN_E_NOMEM;
    m->n_metadata = 0;
    m->doc = none;
    m->graph->extra = (pln_blob){ NULL, 0 };
    for (pln_value *v = m->graph->values; v; v = v->next)
        if (v->kind == PLN_VALUE_NODE && !pln_value_is_output(v)) {
            v->declared = NULL;
            v->extra = (pln_blob){ NULL, 0 };
        }
    return PLN_OK;
}

static pln_status try_steps(search *s, step_fn step)
{
    for (size_t k = 0;;) {
        pln_model *m;
        bool there = false, taken = false;
        PLN_TRY(pln_model_clone(s->best, &m, s->err));
        pln_status st = infer(m, s->err);
        if (st == PLN_OK)
            st = step(m, k, &there);
        if (st == PLN_OK)
            st = offer(s, m, &taken);
        else
            pln_model_free(m);
        if (st != PLN_OK && st != PLN_E_UNSUPPORTED && st != PLN_E_USAGE)
            return st;
        if (!there)
            return PLN_OK;
        k += !taken; /* else the next one has moved to this place */
        if (taken && step == drop_remarks)
            return PLN_OK;
    }
}

/* ---- the whole ------------------------------------------------------------------- */

/* Sizes that the model has somewhere, the largest first; each becomes 1, else 2, else
 * half. */
static pln_status reduce_sizes(search *s)
{
    for (int64_t size = INT64_MAX; (size = pln_model_size_below(s->best, size)) > 1;) {
        const int64_t tries[] = { 1, 2, size / 2 };
        for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
            bool taken = false;
            pln_model *m;
            if (tries[i] >= size || (i && tries[i] <= tries[i - 1]))
                continue;
            PLN_TRY(pln_model_clone(s->best, &m, s->err));
            pln_status st = infer(m, s->err);
            if (st == PLN_OK)
                st = pln_model_shrink_size(m, size, tries[i]);
            if (st == PLN_OK)
                st = infer(m, s->err);
            if (st == PLN_OK)
                PLN_TRY(offer(s, m, &taken));
            else
                pln_model_free(m);
            if (st == PLN_E_NOMEM)
                return st;
            if (taken)
                break;
        }
    }
    return PLN_OK;
}

static pln_status reduce_all(search *s)
{
    static const step_fn steps[] = { inline_body, drop_output, bypass,
                                     drop_optional_input, drop_attribute };
    size_t kept;
    int round = 0;
    const size_t n_weights = count_weights(s->best);
    PLN_TRY(reduce_weights(s, n_weights / 4 + 1)); /* large models take long to try */
    do {
        kept = s->r->n_kept;
        PLN_TRY(reduce_nodes(s));
        PLN_TRY(reduce_weights(s, 1));
        PLN_TRY(reduce_sizes(s));
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
            PLN_TRY(try_steps(s, steps[i]));
    } while (s->r->n_kept > kept && ++round < MAX_ROUNDS);
    s->r->minimal = s->r->n_kept == kept;
    return try_steps(s, drop_remarks);
}

pln_status pln_model_make_small(pln_model **m, pln_reducer *r, pln_error *err)
{
    search s = { .best = *m, .r = r, .err = err };
    PLN_TRY(count_faults(*m, &s.n_faults));
    const int answer = r->ask(r->user, *m);
    r->n_asked++;
    if (answer < 0)
        return PLN_E_CANCELLED;
    if (!answer)
        return pln_fail(err, PLN_E_USAGE,
                        "the check does not fail for the model as it is");
    const pln_status st = reduce_all(&s);
    *m = s.best;
    return st == PLN_E_CANCELLED ? PLN_OK : st;
}
