/* A patch: new nodes beside the old graph, and which old values they replace. Nothing
 * that was there changes before every check has passed; a refused patch leaves no trace.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_PATCH_H
#define PLN_PASSES_PATCH_H

#include "src/ir/op.h"

#define PLN_PATCH_MAX 128

typedef struct pln_pass_ctx pln_pass_ctx;

typedef struct pln_patch {
    pln_pass_ctx *ctx;
    pln_graph *graph;
    pln_node *before; /* new nodes go here */
    pln_node *node[PLN_PATCH_MAX];
    bool copied[PLN_PATCH_MAX]; /* the node is like one that is there */
    int n_nodes;
    pln_value *cst[PLN_PATCH_MAX];
    int n_csts;
    pln_value *old[PLN_PATCH_MAX], *new[PLN_PATCH_MAX];
    bool proven[PLN_PATCH_MAX]; /* the rule vouches that type and shape are the same */
    int n_replaced;
    bool opaque; /* may hold operators that nobody here knows */
    pln_status failed; /* sticks: builders may ask once, at the end */
} pln_patch;

void pln_patch_begin(pln_patch *p, pln_pass_ctx *ctx, pln_node *before);
/* A new node; attributes are set on it directly. NULL: no memory, remembered in failed.
 */
pln_node *pln_patch_add(pln_patch *p, const char *op_type, pln_value *const *in,
                        uint32_t n_in, uint32_t n_out);
pln_node *pln_patch_add_in(pln_patch *p, const char *domain, const char *op_type,
                           pln_value *const *in, uint32_t n_in, uint32_t n_out);
/* A new node with one output; returns that. */
pln_value *pln_patch_op1(pln_patch *p, const char *op_type, pln_value *a);
pln_value *pln_patch_op2(pln_patch *p, const char *op_type, pln_value *a, pln_value *b);
/* A new node like n, attributes and all, on other inputs. */
pln_node *pln_patch_copy(pln_patch *p, const pln_node *n, pln_value *const *in,
                         uint32_t n_in);
/* A new node does not give its output i (not the last one). */
void pln_patch_leave_out(pln_node *n, uint32_t i);
/* Infers new node n now: is its output certainly of the type of v? */
bool pln_patch_gives_type_of(pln_patch *p, pln_node *n, const pln_value *v);
/* A new constant; takes t. NULL: remembered in failed. */
pln_value *pln_patch_const(pln_patch *p, pln_tensor *t_take, const char *hint);
pln_value *pln_patch_ints(pln_patch *p, const int64_t *v, size_t n, const char *hint);
/* A scalar of the type dt. */
pln_value *pln_patch_scalar(pln_patch *p, pln_dtype dt, double v, const char *hint);
void pln_patch_replace(pln_patch *p, pln_value *old, pln_value *with);
/* The same where the rule knows that type and shape agree, though they are not known. */
void pln_patch_replace_proven(pln_patch *p, pln_value *old, pln_value *with);

/* Checks. PLN_OK: may be applied; PLN_E_UNSUPPORTED: no, for the reason in `why`. */
pln_status pln_patch_check(pln_patch *p, char *why, size_t why_size, pln_error *err);
typedef struct pln_match pln_match;
/* Checks, verifies where that is asked for, counts and applies: what passes call. `m`
 * (may be NULL) is the match, n the node that reports name. PLN_E_UNSUPPORTED: it was not
 * done, `why` says (empty: the limit), and nothing is left of it. */
pln_status pln_patch_commit(pln_patch *p, const pln_match *m, const pln_node *n,
                            void (*dead)(void *user, pln_node *n), void *user, char *why,
                            size_t why_size, pln_error *err);
/* Applies a checked patch and removes the nodes that nobody needs any more, beginning at
 * those that defined what was replaced. `dead` (may be NULL) is told of each removed node
 * before it goes. */
pln_status pln_patch_apply(pln_patch *p, void (*dead)(void *user, pln_node *n),
                           void *user, pln_error *err);
/* Removes what was added. */
void pln_patch_abort(pln_patch *p);

/* Removes n and what only it needed, as far as it is pure and unused. */
void pln_node_sweep(pln_node *n, void (*dead)(void *user, pln_node *n), void *user);
bool pln_node_is_dead(const pln_node *n);

#endif
