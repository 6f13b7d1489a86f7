/* Topological order that keeps the file's order where it is right.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/graph.h"

typedef struct sorter {
    pln_graph *g;
    pln_node **stack; /* depth-first, explicit: graphs may be deep */
    uint32_t *next_dep;
    pln_map state; /* node -> (void *)1 on the stack, (void *)2 done */
    size_t depth, cap, cap_deps;
    pln_node *placed; /* last node in final position */
} sorter;

/* The node of graph g that holds (in a body, at any depth) a use in `user`. */
static pln_node *lift(const pln_graph *g, pln_graph *user, pln_node *n)
{
    while (user && user != g) {
        n = user->owner;
        user = user->parent;
    }
    return user ? n : NULL;
}

/* Dependencies of a node: producers of its inputs, and of what its bodies capture. They
 * are gathered as a flat list of (user, producer) pairs. */
typedef struct dep {
    pln_node *producer;
    struct dep *next;
} dep;

typedef struct deps {
    pln_arena *scratch;
    pln_map of; /* node -> dep list, in order of uses */
} deps;

static bool add_dep(deps *d, pln_node *user, pln_node *producer)
{
    dep *e = PLN_NEW(d->scratch, dep);
    if (!e)
        return false;
    e->producer = producer;
    e->next = pln_map_get(&d->of, user);
    return pln_map_put(&d->of, user, e);
}

static bool gather(pln_graph *g, deps *d)
{
    for (pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_out; i++)
            for (pln_use *u = n->out[i] ? n->out[i]->uses : NULL; u; u = u->next) {
                pln_node *user = lift(g, u->graph, u->node);
                if (user && !add_dep(d, user, n))
                    return false;
            }
    return true;
}

static pln_status cycle(const pln_node *n, pln_error *err)
{
    char where[256];
    pln_error_set(err, "node", n->name);
    return pln_fail(err, PLN_E_FORMAT, "%s: the graph has a cycle through this node",
                    pln_node_where(n, where, sizeof where));
}

static bool push(sorter *s, pln_node *n)
{
    if (!pln_grow(s->g->model->alloc, (void **)&s->stack, &s->cap, s->depth + 1,
                  sizeof *s->stack))
        return false;
    s->stack[s->depth++] = n;
    return pln_map_put(&s->state, n, (void *)1);
}

/* Places everything that n needs, then n. */
static pln_status visit(sorter *s, deps *d, pln_node *n, pln_error *err)
{
    if (pln_map_get(&s->state, n))
        return PLN_OK;
    if (!push(s, n))
        return pln_oom(err);
    while (s->depth) {
        pln_node *top = s->stack[s->depth - 1];
        dep *e = pln_map_get(&d->of, top);
        while (e && pln_map_get(&s->state, e->producer) == (void *)2)
            e = e->next;
        if (e) {
            pln_map_put(&d->of, top, e->next ? e->next : e);
            if (pln_map_get(&s->state, e->producer) == (void *)1)
                return cycle(e->producer, err);
            if (!push(s, e->producer))
                return pln_oom(err);
            continue;
        }
        s->depth--;
        if (!pln_map_put(&s->state, top, (void *)2))
            return pln_oom(err);
        pln_node *after = s->placed ? s->placed->next : s->g->first;
        if (top != after)
            pln_graph_move_before(top, after);
        s->placed = top;
    }
    return PLN_OK;
}

static pln_status sort_all(sorter *s, deps *d, pln_error *err)
{
    const pln_allocator *a = s->g->model->alloc;
    const uint32_t count = s->g->n_nodes;
    pln_node **order = pln_calloc(a, count ? count : 1, sizeof *order);
    if (!order)
        return pln_oom(err);
    uint32_t i = 0;
    for (pln_node *n = s->g->first; n; n = n->next)
        order[i++] = n;
    pln_status st = gather(s->g, d) ? PLN_OK : pln_oom(err);
    for (i = 0; st == PLN_OK && i < count; i++)
        st = visit(s, d, order[i], err);
    pln_release(a, order);
    return st;
}

pln_status pln_graph_sort(pln_graph *g, pln_error *err)
{
    const pln_allocator *a = g->model->alloc;
    sorter s = { .g = g };
    deps d = { .scratch = pln_arena_new(a) };
    if (!d.scratch)
        return pln_oom(err);
    pln_map_init(&s.state, a);
    pln_map_init(&d.of, a);
    const pln_status st = sort_all(&s, &d, err);
    pln_map_done(&s.state);
    pln_map_done(&d.of);
    pln_release(a, s.stack);
    pln_arena_free(d.scratch);
    return st;
}
