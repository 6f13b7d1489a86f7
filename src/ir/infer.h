/* Inference of types, shapes and shape contents.
 *
 * The same functions serve symbolic inference over a graph, concrete planning and run
 * time: they see types (whose dimensions may be known, symbolic or unknown) and, where
 * they are known, contents; they never touch the graph.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_INFER_H
#define PLN_IR_INFER_H

#include "src/ir/graph.h"

typedef struct pln_infer pln_infer;

struct pln_infer {
    const pln_node *node;
    const void *attrs; /* typed struct of the row */
    pln_arena *arena;  /* for the results */
    pln_syms *syms;    /* NULL when all dimensions are known numbers */
    uint32_t n_in, n_out;
    const pln_type *const *in;         /* NULL: absent; kind NONE: unknown */
    const pln_tensor *const *in_cst; /* contents (materialized) where known, else NULL */
    const pln_symval *const *in_sym;   /* symbolic contents where known, else NULL */
    pln_type *out;                     /* unknown types at first */
    const pln_symval **out_sym;        /* NULL at first */
    /* Infers a body with these input types; n_out types come back. */
    pln_status (*body)(pln_infer *inf, const pln_graph *g, const pln_type *in,
                       uint32_t n_in, pln_type *out, uint32_t n_out, pln_error *err);
    void *driver;
};

/* ---- helpers for rows -------------------------------------------------------------- */

/* Fails with "name (Op): " in front. */
pln_status pln_infer_fail(const pln_infer *inf, pln_error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool pln_infer_has(const pln_infer *inf, uint32_t i)
{
    return i < inf->n_in && inf->in[i];
}
pln_dtype pln_infer_dtype(const pln_infer *inf, uint32_t i); /* NONE: absent, unknown */
int pln_infer_rank(const pln_infer *inf, uint32_t i);        /* PLN_RANK_UNKNOWN too */
pln_dim pln_infer_dim(const pln_infer *inf, uint32_t i, int axis); /* axis in range */
/* Integer contents of input i (int32, int64; rank <= 1) from its constant or its symbolic
 * value; false: not known. */
bool pln_infer_ints(const pln_infer *inf, uint32_t i, pln_symval *out);
/* All contents known numbers. Copies into the arena. */
bool pln_infer_known_ints(const pln_infer *inf, uint32_t i, const int64_t **v, size_t *n);
/* axis, negative counted from the end, in [0, rank); fails otherwise. */
pln_status pln_infer_axis(const pln_infer *inf, int64_t axis, int rank, int *out,
                          pln_error *err);
void pln_infer_set(pln_infer *inf, uint32_t o, pln_dtype dt, pln_shape shape);
/* New, dims 0; fill it. Without memory its rank is PLN_RANK_UNKNOWN, but PLN_MAX_RANK
 * dims can be written all the same, and pln_infer_set() takes it for unknown. */
pln_shape pln_infer_shape(pln_infer *inf, int rank);
/* NumPy broadcasting of the shapes of inputs [first, first + n). */
pln_status pln_infer_broadcast(pln_infer *inf, uint32_t first, uint32_t n, pln_shape *out,
                               pln_error *err);
pln_status pln_infer_broadcast_shapes(pln_infer *inf, const pln_shape *s, uint32_t n,
                                      pln_shape *out, pln_error *err);

/* Kinds and element types of the inputs against the row's signature, as far as they are
 * known. Asked before a kernel runs. */
pln_status pln_infer_check_inputs(const pln_infer *inf, pln_error *err);

/* Ready-made infer functions. */
pln_status pln_infer_same(pln_infer *inf, pln_error *err);       /* out 0 like in 0 */
/* Broadcasts; the type is that of input 0. */
pln_status pln_infer_elementwise(pln_infer *inf, pln_error *err);
pln_status pln_infer_compare(pln_infer *inf, pln_error *err);     /* broadcast, bool */

/* ---- drivers ----------------------------------------------------------------------- */

typedef struct pln_infer_options {
    bool strict;          /* contradictions between declared and inferred types fail */
    size_t value_limit;   /* most elements of a value computed by running a kernel on
                             constants while inferring (0: 1024) */
    bool dry;             /* the graph stays as it is; for the sake of `fault` */
    /* Takes the failures of nodes; inference goes on, their outputs unknown. NULL: the
     * first failure ends it. */
    void (*fault)(void *user, const pln_node *n, const pln_error *e);
    /* Taken to have these contents, whatever computes it; NULL. */
    const pln_value *given;
    pln_tensor *contents;
    /* Sees every node with the types of its inputs and outputs; NULL. */
    void (*seen)(void *user, const pln_infer *inf);
    void *user;
} pln_infer_options;

/* Infers g and its bodies, symbolically. Declared types are refined, not replaced. */
pln_status pln_graph_infer(pln_graph *g, const pln_infer_options *o, pln_error *err);
/* One node, after a change: true in *changed if an output's type became more precise. */
pln_status pln_node_infer(pln_node *n, bool *changed, pln_error *err);

#endif
