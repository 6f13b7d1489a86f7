/* Patterns over the graph, as text.
 *
 *     act=Relu|Gelu(Add~!(mm=MatMul!(x, w#), b#))
 *
 * A pattern names operators (upper case, `domain.Op` for other domains, which may have
 * dots) with their inputs:
 *     x          any value; the same name twice must be the same value
 *     x#         a constant            x?       may be absent
 *     0.5        a constant whose every element is 0.5; numbers that float can't hold
 *                exactly match what rounds to them
 *     _          any value, not bound  ...      any further inputs
 *     name=P     binds what P matches: the node and its value
 *     A|B        either operator       Op~(..)  the first two inputs may swap
 *     Op!(..)    its result has this one use, and is no output of a graph
 *     Op?(P, ..) may be left out: then P is matched in its place
 *     Op*(P)     any number of them, one after the other
 *     Op<axis=-1, mode="x", perm=[0,2,1]>(..)   attributes; an absent one has its default
 *     {P | Q}    either pattern
 *     $half = {Mul~!(x, 0.5) | Div!(x, 2)}; Add($half, 1)      a part that has a name: what
 *                stands for it is matched wherever the name is
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_MATCH_H
#define PLN_PASSES_MATCH_H

#include "src/ir/op.h"

#define PLN_PAT_ARGS   8
#define PLN_PAT_OPS    16
#define PLN_PAT_ATTRS  4
#define PLN_PAT_INTS   6
#define PLN_MATCH_MAX  32 /* names of a pattern, nodes of a match */
#define PLN_REPEAT_MAX 8

typedef struct pln_pass_ctx pln_pass_ctx;

typedef enum pln_pat_kind {
    PLN_PAT_ANY,
    PLN_PAT_NUMBER,
    PLN_PAT_OP,
    PLN_PAT_EITHER /* of its args */
} pln_pat_kind;

#define PLN_PAT_COMMUTE  (1u << 0)
#define PLN_PAT_SINGLE   (1u << 1)
#define PLN_PAT_OPTIONAL (1u << 2)
#define PLN_PAT_REPEAT   (1u << 3)
#define PLN_PAT_CONST    (1u << 4)
#define PLN_PAT_REST     (1u << 5) /* ended with `...` */

typedef struct pln_pat_attr {
    const char *name;
    uint8_t type; /* PLN_ATTR_INT, FLOAT, STRING or INTS */
    uint8_t n;
    int64_t i[PLN_PAT_INTS];
    double f;
    const char *s;
} pln_pat_attr;

typedef struct pln_pat_name {
    const char *type, *domain; /* interned */
} pln_pat_name;

typedef struct pln_pat {
    uint8_t kind, flags, n_ops, n_args, n_attrs;
    int8_t bind; /* index of the name; -1 */
    int8_t arg[PLN_PAT_ARGS];
    const pln_pat_name *op;
    const pln_pat_attr *attr;
    double number;
} pln_pat;

typedef struct pln_pattern {
    pln_pat *pat;
    int n, root, n_names;
    const char *name[PLN_MATCH_MAX];
} pln_pattern;

/* Compiles a pattern into the arena; operator names are interned in `names`, those of the
 * model that it will be matched against. PLN_E_FORMAT with the place of the mistake. */
pln_status pln_pattern_compile(const char *text, pln_names *names, pln_arena *arena,
                               pln_pattern *out, pln_error *err);

/* The same; on PLN_E_FORMAT `*at` is the place of the mistake and `*what` what it is. */
pln_status pln_pattern_read(const char *text, pln_names *names, pln_arena *arena,
                            pln_pattern *out, const char **at, const char **what,
                            pln_error *err);

/* The operators that the root of a pattern may be, without compiling the rest: at most
 * PLN_PAT_OPS, interned. 0: no memory, or the pattern is faulty. */
int pln_pattern_roots(const char *text, pln_names *names, const char **ops);
/* Operators of the largest match, of `pat` and what is below it. */
int pln_pattern_ops(const pln_pattern *p, int pat);

/* A match: what the names of the pattern stand for. */
typedef struct pln_match pln_match;
struct pln_match {
    const pln_pattern *pattern;
    pln_pass_ctx *ctx;
    pln_node *root;
    pln_value *val[PLN_MATCH_MAX];
    pln_node *node[PLN_MATCH_MAX];
    int n_nodes; /* operators of the match, the root first */
    pln_node *nodes[PLN_MATCH_MAX];
    int steps;     /* work done: bounds backtracking */
    int best;      /* most operators that matched before a failure */
    char why[160]; /* why it failed there, or was refused */
};

/* Tries the pattern with its root at node n. A failure after at least two operators
 * leaves its reason in m->why. */
bool pln_match_at(const pln_pattern *p, pln_node *n, pln_pass_ctx *ctx, pln_match *m);

/* NULL when the name is not bound (an optional part that is absent). */
pln_value *pln_match_val(const pln_match *m, const char *name);
pln_node *pln_match_node(const pln_match *m, const char *name);
/* Keeps the reason; returns PLN_E_UNSUPPORTED, which the driver takes as "no". */
pln_status pln_match_refuse(pln_match *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- questions that checks ask -------------------------------------------------- */

/* A constant all of whose elements are the same number (of more than 4 M elements: not
 * looked at). */
bool pln_value_is_splat(const pln_value *v, double *out);
/* Contents of an integer constant of rank 0 or 1, at most cap of them. */
bool pln_value_get_ints(const pln_value *v, int64_t *out, size_t cap, size_t *n);
/* Rank, or PLN_RANK_UNKNOWN. */
int pln_value_rank(const pln_value *v);
/* Number of elements if known, else -1. */
int64_t pln_value_count(const pln_value *v);
/* Certainly the same element type and shape. */
bool pln_value_same_type(const pln_value *a, const pln_value *b);
/* b broadcasts to the shape of a without making it larger, for certain. */
bool pln_value_broadcasts_into(const pln_value *b, const pln_value *a);
/* Used once, by a node's input. */
bool pln_value_is_single_use(const pln_value *v);
/* The node that uses a single-use value; NULL. */
pln_node *pln_value_only_user(const pln_value *v);
/* Attribute with its default where absent. */
int64_t pln_node_get_int(const pln_node *n, const char *name, int64_t otherwise);
float pln_node_get_float(const pln_node *n, const char *name, float otherwise);
const char *pln_node_get_string(const pln_node *n, const char *name,
                                const char *otherwise);
/* Of ai.onnx, or the same operator in domain `planish`, as patterns take it, too. */
bool pln_node_is(const pln_node *n, const char *op_type);
bool pln_node_is_in(const pln_node *n, const char *domain, const char *op_type);

#endif
