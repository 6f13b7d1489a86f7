/* Layouts: how operators work on a transposed value, and which of them should.
 *
 * A Transpose joins two tensors of the same elements: side 0 is its input, side 1 its
 * output. An operator on one side that only cares for axes could as well work on the
 * other.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_LAYOUT_H
#define PLN_PASSES_LAYOUT_H

#include "passes/known.h"

/* Elements of a constant that is transposed with the operator that reads it. */
#define PLN_FOLLOW_MAX_CONST (INT64_C(1) << 16)

/* Axis i of a tensor is axis to[i] of the same on the other side; rank -1: no layout. */
typedef struct pln_axmap {
    int rank;
    int8_t to[PLN_MAX_RANK];
} pln_axmap;

bool pln_axmap_equal(const pln_axmap *a, const pln_axmap *b);
bool pln_axmap_is_identity(const pln_axmap *a);
pln_axmap pln_axmap_inverse(const pln_axmap *a);

typedef struct pln_follow pln_follow;

/* An operator that can work on the other side. */
typedef struct pln_follow_op {
    const char *op;
    /* Fills the maps, given one of them (f->from_input, f->slot); false: it can't. */
    bool (*trace)(pln_follow *f);
    /* Attributes and further inputs of the copy; in[] holds those that have a layout. */
    pln_status (*emit)(pln_patch *p, const pln_follow *f, pln_value **in, pln_node *copy);
    uint32_t flags;
} pln_follow_op;

#define PLN_FOLLOW_SINKS (1u << 0) /* rather before a Transpose than behind it */

/* A node, and how its inputs and outputs lie on the other side. */
struct pln_follow {
    pln_node *n;
    const pln_follow_op *op;
    bool from_input;
    uint32_t slot;
    pln_axmap *in, *out; /* [n_in], [n_out] */
    uint32_t n_reshaped; /* inputs that a node has to bring into shape there */
};

/* Fills `f` for node n, one of whose values, in or out, has the map `m`. */
bool pln_follow_trace(pln_follow *f, pln_node *n, bool from_input, uint32_t slot,
                      const pln_axmap *m, pln_arena *arena);
/* The node on the other side; in[n_in] are its inputs there as far as they have maps. */
pln_node *pln_follow_emit(pln_patch *p, const pln_follow *f, pln_value *const *in);

/* ---- minimal cuts ---------------------------------------------------------------- */

/* Which nodes of a network stand on side 1 so that what is cut is least. */
typedef struct pln_cut_net pln_cut_net;
pln_cut_net *pln_cut_net_new(pln_arena *arena, uint32_t n_nodes, uint32_t n_arcs);
/* Costs `cap` if `a` stands on side 0 and `b` on side 1. */
void pln_cut_net_add(pln_cut_net *c, uint32_t a, uint32_t b, int64_t cap);
/* side[n_nodes]: true for side 1; node 0 stands on side 0, node 1 on side 1. The most
 * nodes that can, without a higher cost, stand on side 0. */
int64_t pln_cut_net_solve(pln_cut_net *c, bool *side);

#define PLN_CUT_NEVER (INT64_C(1) << 50)

#endif
