/* loops: what Loop and Scan carry from one iteration to the next and nobody needs goes,
 * and what is the same in all of them is computed before. One whose number of iterations
 * is known becomes the nodes of its iterations: if it is one, or all that it reads is
 * constant, or (for running) if there are few.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/loop.h"

#include <string.h>

#include "src/ir/eval.h"
#include "src/ir/inline.h"
#include "src/ir/splice.h"

#define MAX_CONSTANT 512 /* nodes of all iterations, where they will be folded */
#define MAX_RUNNING  128
#define MAX_LISTED   64

static bool is_read(const pln_value *v)
{
    return v && v->n_uses;
}

/* ---- what is needed -------------------------------------------------------------- */

typedef struct need {
    const pln_graph *g;
    bool *value; /* by id */
} need;

static void mark(void *user, pln_value *v)
{
    const need *w = user;
    w->value[v->id] = true;
}

static void spread(const need *w)
{
    for (const pln_node *n = w->g->last; n; n = n->prev) {
        bool needed = (pln_node_traits(n) & PLN_OP_EFFECT) != 0;
        for (uint32_t i = 0; i < n->n_out; i++)
            needed |= n->out[i] && w->value[n->out[i]->id];
        if (needed)
            pln_node_each_read(n, mark, (void *)(uintptr_t)w);
    }
}

/* The state that anything outside depends on: by itself, or by other state. */
static bool find_needed(pln_pass_ctx *ctx, const pln_loop *l, bool *state)
{
    need w = { l->g,
               PLN_NEW_ARRAY(ctx->scratch, bool, (size_t)ctx->model->n_values + 1) };
    if (!w.value)
        return false;
    for (uint32_t i = 0; i < l->out_at; i++)
        w.value[l->g->outputs[i]->id] = true;
    for (uint32_t i = l->n_state; i < l->n->n_out; i++)
        w.value[l->g->outputs[l->out_at + i]->id] = true;
    for (uint32_t i = 0; i < l->n_state; i++)
        state[i] = is_read(l->n->out[i]);
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < l->n_state; i++)
            if (state[i])
                w.value[l->g->outputs[l->out_at + i]->id] = true;
        spread(&w);
        for (uint32_t i = 0; i < l->n_state; i++)
            if (!state[i] && w.value[l->g->inputs[l->inner_at + i]->id])
                more = state[i] = true;
    }
    return true;
}

static void sweep_body(pln_graph *g)
{
    for (pln_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (pln_node_is_dead(n))
            pln_graph_remove_node(n);
    }
}

static void drop_state(pln_loop *l, uint32_t i)
{
    pln_value *inner = l->g->inputs[l->inner_at + i];
    pln_node_drop_output(l->n, i);
    pln_graph_drop_output(l->g, l->out_at + i);
    pln_node_drop_input(l->n, l->in_at + i);
    pln_graph_remove_value(inner);
    l->n_state--;
}

/* All at once, since they may need each other. */
static pln_status drop_unneeded(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    bool state[MAX_LISTED];
    if (l->n_state > MAX_LISTED)
        return PLN_OK;
    if (!find_needed(ctx, l, state))
        return pln_oom(err);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < l->n_state; i++)
        n_kept += state[i];
    if (n_kept == l->n_state || !(n_kept + l->n_results) ||
        !pln_pass_begin_sure(ctx, l->n))
        return PLN_OK;
    for (uint32_t i = 0; i < l->n_state; i++) /* nobody reads what it becomes */
        if (!state[i])
            pln_graph_set_output(l->g, l->out_at + i, l->g->inputs[l->inner_at + i]);
    sweep_body(l->g);
    for (uint32_t i = l->n_state; i-- > 0;)
        if (!state[i])
            drop_state(l, i);
    return PLN_OK;
}

/* ---- Scan ------------------------------------------------------------------------ */

static pln_status drop_listed(pln_node *n, const char *name, uint32_t i)
{
    int64_t left[MAX_LISTED];
    const pln_attr *a = pln_node_find_attr(n, name);
    size_t count = 0;
    if (!a || a->type != PLN_ATTR_INTS || a->n > MAX_LISTED || i >= a->n)
        return PLN_OK;
    for (size_t k = 0; k < a->n; k++)
        if (k != i)
            left[count++] = a->ints[k];
    return pln_node_set_ints(n, name, left, count);
}

static bool lists_are_short(const pln_node *n)
{
    return n->n_in <= MAX_LISTED && n->n_out <= MAX_LISTED;
}

static pln_status drop_results(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    pln_node *n = l->n;
    for (uint32_t i = n->n_out; i-- > l->n_state && n->n_out > 1;) {
        if (is_read(n->out[i]) || !pln_pass_begin_sure(ctx, n))
            continue;
        if (drop_listed(n, "scan_output_axes", i - l->n_state) != PLN_OK ||
            drop_listed(n, "scan_output_directions", i - l->n_state) != PLN_OK)
            return pln_oom(err);
        pln_node_drop_output(n, i);
        pln_graph_drop_output(l->g, i);
        l->n_results--;
    }
    return PLN_OK;
}

/* One has to stay: it says how often. */
static pln_status drop_scanned(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    for (uint32_t i = l->n_scanned; i-- > 0 && l->n_scanned > 1;) {
        pln_value *inner = l->g->inputs[l->n_state + i];
        if (inner->n_uses || !pln_pass_begin_sure(ctx, l->n))
            continue;
        if (drop_listed(l->n, "scan_input_axes", i) != PLN_OK ||
            drop_listed(l->n, "scan_input_directions", i) != PLN_OK ||
            pln_node_set_int(l->n, "num_scan_inputs", l->n_scanned - 1) != PLN_OK)
            return pln_oom(err);
        pln_node_drop_input(l->n, l->n_state + i);
        pln_graph_remove_value(inner);
        l->n_scanned--;
    }
    return PLN_OK;
}

/* An output of the graph keeps its name; a copy has it. */
static bool hand_on(pln_node *n, uint32_t i, pln_value *v)
{
    pln_value *old = n->out[i];
    if (!is_read(old))
        return true;
    if (!pln_value_is_output(old)) {
        pln_value_replace_uses(old, v);
        return true;
    }
    const char *name = old->name, *aside = pln_graph_fresh_name(n->graph, name);
    pln_node *copy = pln_loop_add(n, "Identity", v, NULL);
    if (!copy || !aside || !pln_value_rename(old, aside) ||
        !pln_value_rename(copy->out[0], name))
        return false;
    copy->out[0]->type = old->type;
    copy->out[0]->declared = old->declared;
    copy->out[0]->extra = old->extra;
    pln_value_replace_uses(old, copy->out[0]);
    return true;
}

/* State that every iteration gives back as it got it, or a copy of it. */
static bool only_passes(const pln_loop *l, uint32_t i)
{
    const pln_value *v = l->g->outputs[l->out_at + i];
    while (v->def && v->def->graph == l->g && pln_node_is(v->def, "Identity") &&
           v->def->in[0])
        v = v->def->in[0];
    return v == l->g->inputs[l->inner_at + i];
}

static pln_status pass_by(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    for (uint32_t i = 0; i < l->n_state; i++) {
        pln_value *inner = l->g->inputs[l->inner_at + i], *outer = l->n->in[l->in_at + i];
        const uint32_t at = l->out_at + i;
        if (!only_passes(l, i) || (!is_read(l->n->out[i]) && inner->n_uses < 2) ||
            !pln_pass_begin(ctx, l->n))
            continue;
        if (!hand_on(l->n, i, outer))
            return pln_oom(err);
        pln_graph_set_output(l->g, at, inner);
        pln_value_replace_uses(inner, outer);
        pln_graph_set_output(l->g, at, inner);
    }
    return PLN_OK;
}

/* ---- what is the same each time -------------------------------------------------- */

/* With one input, of any shape, it gives a result. */
static bool cannot_fail(const pln_node *n)
{
    return n->n_in == 1 && (n->op->traits & PLN_OP_ELEMENTWISE);
}

static bool is_invariant(const pln_loop *l, const pln_node *n, bool surely)
{
    const uint32_t never = PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_CONTROL;
    if (!n->op || (n->op->traits & never) || !pln_node_is_pure(n) || !n->n_in ||
        pln_node_is(n, "Constant") || (!surely && !cannot_fail(n)))
        return false;
    bool outer = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *v = n->in[i];
        if (v && v->graph == l->g && v->kind != PLN_VALUE_INITIALIZER)
            return false;
        outer |= v && v->graph != l->g;
    }
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && pln_value_is_output(n->out[i]))
            return false;
    return outer;
}

static bool reads_output_constant(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->graph == n->graph && pln_value_is_output(n->in[i]))
            return true;
    return false;
}

static pln_status hoist(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    const bool surely = pln_loop_runs(l);
    for (pln_node *n = l->g->first, *next; n; n = next) {
        next = n->next;
        if (!is_invariant(l, n, surely) || reads_output_constant(n) ||
            !pln_pass_begin_sure(ctx, n))
            continue;
        if (pln_node_hoist(n) != PLN_OK)
            return pln_oom(err);
    }
    return PLN_OK;
}

/* ---- one iteration after the other ----------------------------------------------- */

static pln_status count(pln_graph *g, void *user)
{
    *(uint64_t *)user += g->n_nodes;
    return PLN_OK;
}

typedef struct outside {
    const pln_graph *g;
    bool constant;
} outside;

static void look_outside(void *user, pln_value *v)
{
    outside *o = user;
    for (const pln_graph *g = v->graph; g; g = g->parent)
        if (g == o->g)
            return;
    o->constant &= pln_value_is_const(v);
}

/* All that it reads is, so that folding makes constants of it. */
static bool is_constant(const pln_loop *l)
{
    outside o = { l->g, true };
    for (uint32_t i = 0; i < l->n->n_in; i++)
        o.constant &= !l->n->in[i] || pln_value_is_const(l->n->in[i]);
    for (const pln_node *n = l->g->first; n; n = n->next) {
        o.constant &= n->op && !(n->op->traits & (PLN_OP_RANDOM | PLN_OP_EFFECT));
        pln_node_each_read(n, look_outside, &o);
    }
    return o.constant;
}

static bool pays(pln_pass_ctx *ctx, const pln_loop *l, int64_t trips)
{
    uint64_t nodes = 0;
    pln_graph_walk(l->g, count, &nodes);
    if (trips < 1 || trips > MAX_CONSTANT)
        return false;
    uint32_t more = l->n_scanned; /* nodes for slices and for what is collected */
    for (uint32_t i = l->n_state; i < l->n->n_out; i++)
        more += is_read(l->n->out[i]);
    if (trips == 1 && more <= 1)
        return true;
    const uint64_t all = nodes * (uint64_t)trips;
    return all <= (ctx->options->session ? MAX_RUNNING : 0) ||
           (all <= MAX_CONSTANT && is_constant(l));
}

/* What iteration k gets of scanned input i. */
static pln_value *slice_of(const pln_loop *l, uint32_t i, int64_t k, int64_t trips)
{
    pln_value *v = l->n->in[l->n_state + i];
    const int64_t axis = pln_loop_axis(l, i, pln_value_rank(v));
    const bool back = pln_loop_listed(l->n, "scan_input_directions", i) == 1;
    pln_value *at =
        pln_loop_constant(l->n->graph, PLN_DT_S64, 0, back ? trips - 1 - k : k);
    pln_node *n = at ? pln_loop_add(l->n, "Gather", v, at) : NULL;
    return n && pln_node_set_int(n, "axis", axis) == PLN_OK ? n->out[0] : NULL;
}

static bool give_inputs(const pln_loop *l, int64_t k, int64_t trips,
                        pln_value *const *state, pln_value **in)
{
    if (!l->scan) {
        in[0] = pln_loop_constant(l->n->graph, PLN_DT_S64, 0, k);
        in[1] = pln_loop_constant(l->n->graph, PLN_DT_BOOL, 0, 1);
    }
    for (uint32_t i = 0; i < l->n_state; i++)
        in[l->inner_at + i] = state[i];
    for (uint32_t i = 0; i < l->n_scanned; i++)
        if (!(in[l->n_state + i] = slice_of(l, i, k, trips)))
            return false;
    return l->scan || (in[0] && in[1]);
}

/* The results of all iterations, one behind the other. */
static pln_value *collected(const pln_loop *l, uint32_t i, pln_value **parts,
                            int64_t trips)
{
    const int64_t axis = pln_loop_listed(l->n, "scan_output_axes", i);
    pln_value *at = pln_loop_constant(l->n->graph, PLN_DT_S64, 1, axis);
    for (int64_t k = 0; at && k < trips; k++) {
        pln_node *n = pln_loop_add(l->n, "Unsqueeze", parts[k], at);
        parts[k] = n ? n->out[0] : NULL;
        if (!n)
            return NULL;
    }
    if (!at || trips == 1)
        return at ? parts[0] : NULL;
    if (pln_loop_listed(l->n, "scan_output_directions", i) == 1)
        for (int64_t k = 0; k < trips / 2; k++) {
            pln_value *t = parts[k];
            parts[k] = parts[trips - 1 - k];
            parts[trips - 1 - k] = t;
        }
    pln_node *n = pln_graph_add_node(l->n->graph, l->n, "", "Concat", NULL, parts,
                                     (uint32_t)trips, 1);
    const char *name = n ? pln_graph_fresh_name(l->n->graph, "Concat") : NULL;
    return name && pln_value_rename(n->out[0], name) &&
                   pln_node_set_int(n, "axis", axis) == PLN_OK
               ? n->out[0]
               : NULL;
}

static pln_status unroll(pln_pass_ctx *ctx, pln_loop *l, int64_t trips, pln_error *err)
{
    pln_arena *a = ctx->scratch;
    pln_value **in = PLN_NEW_ARRAY(a, pln_value *, l->g->n_inputs + 1);
    pln_value **out = PLN_NEW_ARRAY(a, pln_value *, l->g->n_outputs + 1);
    pln_value **state = PLN_NEW_ARRAY(a, pln_value *, l->n_state + 1);
    pln_value **parts =
        PLN_NEW_ARRAY(a, pln_value *, (size_t)l->n_results * (size_t)trips + 1);
    if (!in || !out || !state || !parts)
        return pln_oom(err);
    memcpy(state, l->n->in + l->in_at, l->n_state * sizeof state[0]);
    for (int64_t k = 0; k < trips; k++) {
        if (!give_inputs(l, k, trips, state, in))
            return pln_oom(err);
        PLN_TRY(pln_body_copy_out(l->n, l->g, in, out, err));
        memcpy(state, out + l->out_at, l->n_state * sizeof state[0]);
        for (uint32_t i = 0; i < l->n_results; i++)
            parts[(int64_t)i * trips + k] = out[l->out_at + l->n_state + i];
    }
    for (uint32_t i = 0; i < l->n_state; i++)
        if (!hand_on(l->n, i, state[i]))
            return pln_oom(err);
    for (uint32_t i = 0; i < l->n_results; i++) {
        const uint32_t slot = l->n_state + i;
        if (!is_read(l->n->out[slot]))
            continue;
        pln_value *v = collected(l, i, parts + (int64_t)i * trips, trips);
        if (!v || !hand_on(l->n, slot, v))
            return pln_oom(err);
    }
    pln_graph_remove_node(l->n);
    return PLN_OK;
}

static bool can_slice(const pln_loop *l)
{
    for (uint32_t i = 0; i < l->n_scanned; i++) {
        const pln_value *v = l->n->in[l->n_state + i];
        const int rank = v ? pln_value_rank(v) : -1;
        if (rank < 1 || pln_loop_axis(l, i, rank) < 0 ||
            pln_loop_axis(l, i, rank) >= rank)
            return false;
    }
    return true;
}

/* ---- the pass -------------------------------------------------------------------- */

static pln_status visit(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    pln_loop l;
    if (!pln_loop_open(&l, n) || pln_node_is_dead(n))
        return PLN_OK;
    if (l.scan && lists_are_short(n))
        PLN_TRY(drop_results(ctx, &l, err));
    PLN_TRY(pln_loop_collect(ctx, &l, err));
    PLN_TRY(pass_by(ctx, &l, err));
    PLN_TRY(pln_loop_count(ctx, &l, err));
    pln_loop_merge(ctx, &l);
    PLN_TRY(drop_unneeded(ctx, &l, err));
    if (l.scan && lists_are_short(n))
        PLN_TRY(drop_scanned(ctx, &l, err));
    const int64_t trips = pln_loop_trips(&l);
    if (can_slice(&l) && pays(ctx, &l, trips) && pln_pass_begin(ctx, n))
        return unroll(ctx, &l, trips, err);
    return hoist(ctx, &l, err);
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        next = n->next;
        PLN_TRY(visit(ctx, n, err));
    }
    return PLN_OK;
}

const pln_pass pln_pass_loops = {
    .name = "loops",
    .brief = "drops what loops carry for nobody; moves out what is the same each time",
    .run = run,
    .contract = PLN_EXACT,
};
