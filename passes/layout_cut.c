/* Minimal cuts, by augmenting paths. SPDX-License-Identifier: Apache-2.0 */
#include "passes/layout.h"

#include <string.h>

typedef struct arc {
    uint32_t to, next; /* of the node it leaves; arc i ^ 1 is its reverse */
    int64_t left;
} arc;

struct pln_cut_net {
    uint32_t n_nodes, n_arcs, cap;
    arc *arcs;
    uint32_t *first, *via, *queue;
};

#define NONE UINT32_MAX

pln_cut_net *pln_cut_net_new(pln_arena *arena, uint32_t n_nodes, uint32_t n_arcs)
{
    pln_cut_net *c = PLN_NEW(arena, pln_cut_net);
    if (!c)
        return NULL;
    *c = (pln_cut_net){ .n_nodes = n_nodes, .cap = 2 * n_arcs };
    c->arcs = PLN_NEW_ARRAY(arena, arc, 2 * (size_t)n_arcs + 1);
    c->first = PLN_NEW_ARRAY(arena, uint32_t, n_nodes);
    c->via = PLN_NEW_ARRAY(arena, uint32_t, n_nodes);
    c->queue = PLN_NEW_ARRAY(arena, uint32_t, n_nodes);
    if (!c->arcs || !c->first || !c->via || !c->queue)
        return NULL;
    for (uint32_t i = 0; i < n_nodes; i++)
        c->first[i] = NONE;
    return c;
}

static void add_one(pln_cut_net *c, uint32_t a, uint32_t b, int64_t cap)
{
    c->arcs[c->n_arcs] = (arc){ b, c->first[a], cap };
    c->first[a] = c->n_arcs++;
}

void pln_cut_net_add(pln_cut_net *c, uint32_t a, uint32_t b, int64_t cap)
{
    if (a == b || c->n_arcs + 2 > c->cap)
        return;
    add_one(c, a, b, cap);
    add_one(c, b, a, 0);
}

/* Breadth first from node 0; true: node 1 is reached. */
static bool search(pln_cut_net *c)
{
    uint32_t head = 0, tail = 0;
    for (uint32_t i = 0; i < c->n_nodes; i++)
        c->via[i] = NONE;
    c->queue[tail++] = 0;
    while (head < tail) {
        const uint32_t at = c->queue[head++];
        for (uint32_t i = c->first[at]; i != NONE; i = c->arcs[i].next) {
            const uint32_t to = c->arcs[i].to;
            if (!c->arcs[i].left || !to || c->via[to] != NONE)
                continue;
            c->via[to] = i;
            if (to == 1)
                return true;
            c->queue[tail++] = to;
        }
    }
    return false;
}

static int64_t augment(pln_cut_net *c)
{
    int64_t most = PLN_CUT_NEVER;
    for (uint32_t at = 1; at; at = c->arcs[c->via[at] ^ 1].to)
        most = c->arcs[c->via[at]].left < most ? c->arcs[c->via[at]].left : most;
    for (uint32_t at = 1; at; at = c->arcs[c->via[at] ^ 1].to) {
        c->arcs[c->via[at]].left -= most;
        c->arcs[c->via[at] ^ 1].left += most;
    }
    return most;
}

/* What can't reach node 1 any more stands on side 0. */
static void mark_sides(pln_cut_net *c, bool *side)
{
    uint32_t head = 0, tail = 0;
    memset(side, 0, c->n_nodes * sizeof side[0]);
    side[1] = true;
    c->queue[tail++] = 1;
    while (head < tail) {
        const uint32_t at = c->queue[head++];
        for (uint32_t i = c->first[at]; i != NONE; i = c->arcs[i].next) {
            const uint32_t from = c->arcs[i].to;
            if (!c->arcs[i ^ 1].left || side[from])
                continue;
            side[from] = true;
            c->queue[tail++] = from;
        }
    }
}

int64_t pln_cut_net_solve(pln_cut_net *c, bool *side)
{
    int64_t total = 0;
    while (total < PLN_CUT_NEVER && search(c))
        total += augment(c);
    mark_sides(c, side);
    return total;
}
