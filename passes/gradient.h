/* Reverse-mode differentiation: a Gradient node becomes the nodes that compute it.
 *
 * Each operator has a row: the derivative by each input, as an expression in text or as a
 * function, in terms of the gradient of the output. An operator may also say what it is
 * made of; that is differentiated instead.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_GRADIENT_H
#define PLN_PASSES_GRADIENT_H

#include "src/ir/op.h"

#define GR_INPUTS 4

/* One Gradient node at work. Failures stick: builders may ask once, at the end. */
typedef struct pln_grad {
    pln_graph *graph;
    pln_arena *arena;
    const pln_node *node; /* the Gradient */
    pln_status failed;
    pln_error *err;
    bool recording; /* new nodes belong to what is differentiated */
    pln_node **tape;
    size_t n_tape, cap_tape;
} pln_grad;

/* Derivative by input i of node n, given the gradients g of its outputs (NULL: none).
 * NULL: there is none. */
typedef pln_value *(*gr_rule_fn)(pln_grad *t, pln_node *n, pln_value *const *g,
                                 uint32_t i);
/* The node's first output again, of simpler operators over other inputs. */
typedef pln_value *(*gr_same_fn)(pln_grad *t, pln_node *n, pln_value *const *in);

typedef struct gr_rule {
    const char *op;
    const char *dx[GR_INPUTS]; /* texts, by input: see gr_text() */
    gr_rule_fn fn;             /* where there is no text */
    const char *same;          /* text without g and y */
    gr_same_fn same_fn;
    bool zero; /* constant wherever it is differentiable */
} gr_rule;

const gr_rule *gr_rule_of(const pln_node *n); /* NULL: none */

/* Rules that are no texts, by file. */
#define GR_RULES(X)    \
    X(transpose)       \
    X(concat)          \
    X(split)           \
    X(slice)           \
    X(gather)          \
    X(gather_elements) \
    X(cum_sum)         \
    X(top_k)           \
    X(trilu)           \
    X(pad)             \
    X(cast)            \
    X(sum)             \
    X(extreme)         \
    X(dropout)         \
    X(matmul)          \
    X(gemm)            \
    X(conv)            \
    X(conv_transpose)  \
    X(max_pool)        \
    X(average_pool)
#define X(name) \
    pln_value *gr_##name(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i);
GR_RULES(X)
#undef X
pln_value *gr_same_gelu(pln_grad *t, pln_node *n, pln_value *const *in);
pln_value *gr_same_instance_norm(pln_grad *t, pln_node *n, pln_value *const *in);
pln_value *gr_same_nll(pln_grad *t, pln_node *n, pln_value *const *in);
pln_value *gr_same_cross_entropy(pln_grad *t, pln_node *n, pln_value *const *in);
pln_value *gr_same_batch_norm(pln_grad *t, pln_node *n, pln_value *const *in);
pln_value *gr_same_layer_norm(pln_grad *t, pln_node *n, pln_value *const *in);
pln_value *gr_same_clip(pln_grad *t, pln_node *n, pln_value *const *in);

/* ---- building -------------------------------------------------------------------- */

/* An expression: `a`, `b`, `c` are the inputs, `y` the first output, `g` its gradient,
 * numbers scalars of the type of a, `@alpha` the node's float attribute, Op(..) a node.
 * Besides operators there are
 *     Spread(v)  v, of the shape of a reduced y, for each element that it came from
 *     Along(v)   the sum of v along the axis of n, which stays with size 1
 *     Count(v)   elements of v for each of y */
pln_value *gr_text(pln_grad *t, const char *text, pln_node *n, pln_value *const *in,
                   pln_value *g);

/* What node n can't be differentiated for; returns NULL. */
pln_value *gr_refuse(pln_grad *t, const pln_node *n, const char *why);
/* A node that is there already belongs to what is differentiated; returns it. */
pln_node *gr_keep(pln_grad *t, pln_node *n);
/* A node, to be given attributes and then to gr_done(), which infers its types and
 * returns its first output. NULL inputs in the middle are absent. */
pln_node *gr_node(pln_grad *t, const char *op, pln_value *const *in, uint32_t n_in,
                  uint32_t n_out);
pln_value *gr_done(pln_grad *t, pln_node *n);
pln_value *gr_op1(pln_grad *t, const char *op, pln_value *a);
pln_value *gr_op2(pln_grad *t, const char *op, pln_value *a, pln_value *b);
pln_value *gr_op3(pln_grad *t, const char *op, pln_value *a, pln_value *b, pln_value *c);
void gr_int(pln_grad *t, pln_node *n, const char *name, int64_t v);
void gr_set_ints(pln_grad *t, pln_node *n, const char *name, const int64_t *v, size_t c);
/* Constants: a scalar of the type of `like`, integers of rank 1. */
pln_value *gr_scalar(pln_grad *t, const pln_value *like, double v);
pln_value *gr_ints(pln_grad *t, const int64_t *v, size_t n);
/* v everywhere, in the shape and type of `like`. */
pln_value *gr_fill(pln_grad *t, pln_value *like, double v);
/* v summed over the dimensions in which `like` was broadcast. */
pln_value *gr_fit(pln_grad *t, pln_value *v, pln_value *like);
pln_value *gr_permute(pln_grad *t, pln_value *v, const int64_t *perm, int rank);
pln_value *gr_reshape_like(pln_grad *t, pln_value *v, pln_value *like);
pln_value *gr_reduce(pln_grad *t, pln_value *v, const int64_t *axes, size_t n, bool keep);

/* ---- asking ---------------------------------------------------------------------- */

static inline int gr_rank(const pln_value *v)
{
    return v->type.kind == PLN_KIND_TENSOR ? v->type.shape.rank : PLN_RANK_UNKNOWN;
}
/* Size of a dimension; -1: not known. */
int64_t gr_dim(const pln_value *v, int axis);
int64_t gr_attr_int(const pln_node *n, const char *name, int64_t otherwise);
/* Integers of a constant input or of an attribute; false: neither is there. */
bool gr_const_ints(const pln_node *n, uint32_t input, const pln_tensor **out);
const pln_attr *gr_attr_ints(const pln_node *n, const char *name);

#endif
