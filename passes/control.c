/* control: an If whose condition is known, or behind one of whose branches the model
 * would fail, becomes the nodes of its branch, a Loop that runs never or once those of
 * its body. What If, Loop and Scan give that nobody reads goes, and so does what they
 * only hand on. SPDX-License-Identifier: Apache-2.0 */
#include "passes/same.h"

#include "src/ir/splice.h"

static pln_graph *body_of(const pln_node *n, const char *name)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && a->type == PLN_ATTR_GRAPH && !a->ref && a->g && a->g->owner == n ? a->g
                                                                                 : NULL;
}

static bool known_number(const pln_value *v, double *out)
{
    return v && pln_value_is_splat(v, out) && pln_value_count(v) == 1;
}

static bool is_from_within(const pln_value *v, const pln_graph *g)
{
    return v->graph == g;
}

/* ---- which way an If must go --------------------------------------------------- */

/* What would fail if the condition had a value. Only nodes that run whenever the If does
 * tell something: those of its graph, and of the graphs around. */
typedef struct trial {
    const pln_graph *g;
    bool fails;
} trial;

static void note_fault(void *user, const pln_node *n, const pln_error *e)
{
    trial *t = user;
    (void)e;
    for (const pln_graph *g = t->g; g; g = g->parent)
        t->fails |= n->graph == g;
}

static pln_status try_condition(pln_pass_ctx *ctx, const pln_node *n, bool value,
                                bool *fails, pln_error *err)
{
    trial t = { .g = n->graph };
    pln_tensor *c = NULL;
    PLN_TRY(pln_tensor_make(ctx->model->alloc, PLN_DT_BOOL, 0, NULL, &c, err));
    pln_tensor_set_i64(c, 0, value);
    const pln_infer_options o = {
        .dry = true, .fault = note_fault, .user = &t, .given = n->in[0], .contents = c
    };
    const pln_status st = pln_graph_infer(ctx->model->graph, &o, err);
    pln_tensor_unref(c);
    *fails = t.fails;
    return st;
}

/* Exporters write `if rank(x) == 2` and the like around what then works for one rank
 * alone: where the branches give different ranks, the model may fail behind one of them.
 */
static bool ranks_differ(const pln_node *n, const pln_graph *a, const pln_graph *b)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        const int x = pln_value_rank(a->outputs[i]), y = pln_value_rank(b->outputs[i]);
        if (x >= 0 && y >= 0 && x != y && n->out[i] && n->out[i]->n_uses)
            return true;
    }
    return false;
}

/* -1: it may go either way. */
static pln_status only_way(pln_pass_ctx *ctx, const pln_node *n, const pln_graph *yes,
                           const pln_graph *no, int *way, pln_error *err)
{
    bool fails[2] = { false, false };
    *way = -1;
    if (!ranks_differ(n, yes, no) || pln_value_is_const(n->in[0]))
        return PLN_OK;
    for (int k = 0; k < 2; k++)
        PLN_TRY(try_condition(ctx, n, k != 0, &fails[k], err));
    if (fails[0] != fails[1])
        *way = fails[0] ? 1 : 0;
    return PLN_OK;
}

/* ---- If ------------------------------------------------------------------------- */

static pln_status splice_branch(pln_pass_ctx *ctx, pln_node *n, pln_graph *g,
                                pln_error *err)
{
    if (g->n_inputs || g->n_outputs < n->n_out || !pln_pass_begin(ctx, n))
        return PLN_OK;
    return pln_node_splice(n, g, NULL, g->outputs) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* Both branches give the same value of the graph around. */
static void merge_results(pln_pass_ctx *ctx, pln_node *n, const pln_graph *a,
                          const pln_graph *b)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        pln_value *old = n->out[i], *v = a->outputs[i];
        if (!old || !old->n_uses || pln_value_is_output(old) || v != b->outputs[i] ||
            is_from_within(v, a) || !pln_pass_begin(ctx, n))
            continue;
        pln_value_replace_uses(old, v);
    }
}

static void drop_unused_results(pln_pass_ctx *ctx, pln_node *n, pln_graph *a,
                                pln_graph *b)
{
    for (uint32_t i = n->n_out; i-- > 0 && n->n_out > 1;) {
        if ((n->out[i] && n->out[i]->n_uses) || !pln_pass_begin(ctx, n))
            continue;
        pln_node_drop_output(n, i);
        pln_graph_drop_output(a, i);
        pln_graph_drop_output(b, i);
    }
}

/* ---- branches that do the same -------------------------------------------------- */

static bool same_value(const pln_map *m, pln_value *a, pln_value *b)
{
    if (!a || !b)
        return a == b;
    if (a == b || pln_map_get(m, a) == b)
        return true;
    return a->kind == PLN_VALUE_INITIALIZER && b->kind == PLN_VALUE_INITIALIZER &&
           a->cst && b->cst && pln_tensor_same_as(a->cst, b->cst);
}

static bool same_node(pln_map *m, const pln_node *a, const pln_node *b)
{
    const uint32_t never = PLN_OP_RANDOM | PLN_OP_EFFECT;
    if (!a->op || (a->op->traits & never) || a->op_type != b->op_type ||
        a->domain != b->domain || a->overload != b->overload || a->n_in != b->n_in ||
        a->n_out != b->n_out || !pln_node_same_attrs(a, b))
        return false;
    for (uint32_t i = 0; i < a->n_in; i++)
        if (!same_value(m, a->in[i], b->in[i]))
            return false;
    for (uint32_t i = 0; i < a->n_out; i++)
        if ((a->out[i] != NULL) != (b->out[i] != NULL) ||
            (a->out[i] && !pln_map_put(m, a->out[i], b->out[i])))
            return false;
    return true;
}

/* Node by node, in the same order. */
static bool same_branches(const pln_graph *a, const pln_graph *b)
{
    pln_map m;
    pln_map_init(&m, a->model->alloc);
    const pln_node *x = a->first, *y = b->first;
    bool same = a->n_nodes == b->n_nodes;
    for (; same && x && y; x = x->next, y = y->next)
        same = same_node(&m, x, y);
    for (uint32_t i = 0; same && i < a->n_outputs; i++)
        same = same_value(&m, a->outputs[i], b->outputs[i]);
    pln_map_done(&m);
    return same && !x && !y;
}

static pln_status visit_if(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    double c;
    pln_graph *yes = body_of(n, "then_branch"), *no = body_of(n, "else_branch");
    if (!yes || !no || n->n_in != 1 || yes->n_outputs != n->n_out ||
        no->n_outputs != n->n_out)
        return PLN_OK;
    if (known_number(n->in[0], &c))
        return splice_branch(ctx, n, c != 0 ? yes : no, err);
    int way;
    PLN_TRY(only_way(ctx, n, yes, no, &way, err));
    if (way < 0 && same_branches(yes, no))
        way = 1;
    if (way >= 0)
        return splice_branch(ctx, n, way ? yes : no, err);
    merge_results(ctx, n, yes, no);
    drop_unused_results(ctx, n, yes, no);
    return PLN_OK;
}

/* ---- Loop ----------------------------------------------------------------------- */

/* Inputs: trip count, condition, then the state. The body has the number of the iteration
 * and the condition before the state, and gives the condition before it. */
typedef struct loop {
    pln_node *n;
    pln_graph *g;
    uint32_t n_state;
} loop;

static bool open_loop(loop *l, pln_node *n)
{
    l->n = n;
    l->g = body_of(n, "body");
    if (!l->g || n->n_in < 2 || l->g->n_inputs != n->n_in)
        return false;
    l->n_state = n->n_in - 2;
    return l->g->n_outputs == n->n_out + 1 && n->n_out >= l->n_state;
}

/* 0, 1, or -1: some other number, or not known. */
static int trips_of(const loop *l)
{
    double m = -1, c = 1;
    const pln_value *trips = l->n->in[0], *cond = l->n->in[1];
    if (trips && known_number(trips, &m) && m <= 0)
        return 0;
    if (cond && !known_number(cond, &c))
        return -1;
    if (c == 0)
        return 0;
    return m == 1 ? 1 : -1;
}

static bool has_scan_results(const loop *l)
{
    for (uint32_t i = l->n_state; i < l->n->n_out; i++)
        if (l->n->out[i] && l->n->out[i]->n_uses)
            return true;
    return false;
}

/* What a value is where the loop stands, as a node of its own: it may be an output. */
static pln_status hand_on(pln_node *n, uint32_t i, pln_value *v, pln_error *err)
{
    pln_value *old = n->out[i];
    if (!old || !old->n_uses)
        return PLN_OK;
    const bool output = pln_value_is_output(old);
    if (!output) {
        pln_value_replace_uses(old, v);
        return PLN_OK;
    }
    pln_node *copy = pln_graph_add_node(n->graph, n, "", "Identity", NULL, &v, 1, 1);
    const char *name = old->name, *aside = pln_graph_fresh_name(n->graph, name);
    if (!copy || !aside || !pln_value_rename(old, aside) ||
        !pln_value_rename(copy->out[0], name))
        return pln_oom(err);
    copy->out[0]->type = old->type;
    copy->out[0]->declared = old->declared;
    copy->out[0]->extra = old->extra;
    pln_value_replace_uses(old, copy->out[0]);
    return PLN_OK;
}

static pln_status run_never(pln_pass_ctx *ctx, loop *l, pln_error *err)
{
    if (has_scan_results(l) || !pln_pass_begin(ctx, l->n))
        return PLN_OK;
    for (uint32_t i = 0; i < l->n_state; i++)
        PLN_TRY(hand_on(l->n, i, l->n->in[2 + i], err));
    pln_graph_remove_node(l->n);
    return PLN_OK;
}

static pln_value *constant(pln_graph *g, pln_dtype dt, int64_t v)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(g->model->alloc, dt, 0, NULL, &t, NULL) != PLN_OK)
        return NULL;
    pln_tensor_set_i64(t, 0, v);
    return pln_graph_add_initializer(g, pln_graph_fresh_name(g, "loop"), t);
}

static pln_status run_once(pln_pass_ctx *ctx, loop *l, pln_error *err)
{
    pln_value **in = PLN_NEW_ARRAY(ctx->scratch, pln_value *, l->n->n_in);
    if (has_scan_results(l))
        return PLN_OK;
    if (!in)
        return pln_oom(err);
    for (uint32_t i = 2; i < l->n->n_in; i++)
        if (!(in[i] = l->n->in[i]))
            return PLN_OK;
    if (!pln_pass_begin(ctx, l->n))
        return PLN_OK;
    in[0] = constant(l->n->graph, PLN_DT_S64, 0);
    in[1] = constant(l->n->graph, PLN_DT_BOOL, 1);
    if (!in[0] || !in[1] || pln_node_splice(l->n, l->g, in, l->g->outputs + 1) != PLN_OK)
        return pln_oom(err);
    return PLN_OK;
}

static pln_status drop_state(loop *l, uint32_t i)
{
    pln_value *inner = l->g->inputs[2 + i];
    pln_node_drop_output(l->n, i);
    pln_graph_drop_output(l->g, 1 + i);
    pln_node_drop_input(l->n, 2 + i);
    pln_graph_remove_value(inner);
    l->n_state--;
    return PLN_OK;
}

/* State that the body gives back as it got it is the same all the time. */
static pln_status free_state(pln_pass_ctx *ctx, loop *l, pln_error *err)
{
    for (uint32_t i = l->n_state; i-- > 0 && l->n->n_out > 1;) {
        pln_value *inner = l->g->inputs[2 + i], *outer = l->n->in[2 + i];
        const bool same = l->g->outputs[1 + i] == inner && outer;
        const bool unread = !l->n->out[i] || !l->n->out[i]->n_uses;
        const bool idle = unread && inner->n_uses == 0;
        if ((!same && !idle) || !pln_pass_begin(ctx, l->n))
            continue;
        if (same) {
            PLN_TRY(hand_on(l->n, i, outer, err));
            pln_graph_set_output(l->g, 1 + i, l->g->outputs[0]);
            pln_value_replace_uses(inner, outer);
        }
        PLN_TRY(drop_state(l, i));
    }
    return PLN_OK;
}

static void drop_scan_results(pln_pass_ctx *ctx, loop *l)
{
    for (uint32_t i = l->n->n_out; i-- > l->n_state && l->n->n_out > 1;) {
        if ((l->n->out[i] && l->n->out[i]->n_uses) || !pln_pass_begin(ctx, l->n))
            continue;
        pln_node_drop_output(l->n, i);
        pln_graph_drop_output(l->g, 1 + i);
    }
}

static pln_status visit_loop(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    loop l;
    if (!open_loop(&l, n))
        return PLN_OK;
    const int trips = trips_of(&l);
    if (trips == 0 && !has_scan_results(&l))
        return run_never(ctx, &l, err);
    if (trips == 1 && !has_scan_results(&l))
        return run_once(ctx, &l, err);
    PLN_TRY(free_state(ctx, &l, err));
    drop_scan_results(ctx, &l);
    return PLN_OK;
}

/* ---- the pass ------------------------------------------------------------------- */

static pln_status visit(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    if (pln_node_is_dead(n))
        return PLN_OK;
    if (pln_node_is(n, "If"))
        return visit_if(ctx, n, err);
    return pln_node_is(n, "Loop") ? visit_loop(ctx, n, err) : PLN_OK;
}

/* What is spliced in stands where the node was, and may have bodies itself. */
static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        pln_node *prev = n->prev;
        const uint64_t before = ctx->n_rewrites;
        next = n->next;
        PLN_TRY(visit(ctx, n, err));
        if (ctx->n_rewrites != before)
            next = prev ? prev->next : g->first;
    }
    return PLN_OK;
}

const pln_pass pln_pass_control = {
    .name = "control",
    .brief = "takes If and Loop apart where it is known which way they go",
    .run = run,
    .contract = PLN_EXACT,
};
