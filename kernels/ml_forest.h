/* A forest of decision trees in a form that is quick to walk.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_ML_FOREST_H
#define PLN_KERNELS_ML_FOREST_H

#include "kernels/ml_common.h"

typedef enum forest_mode {
    FOREST_LEQ,
    FOREST_LT,
    FOREST_GTE,
    FOREST_GT,
    FOREST_EQ,
    FOREST_NEQ,
    FOREST_MEMBER,
    FOREST_LEAF
} forest_mode;

typedef enum forest_aggregate {
    FOREST_AVERAGE,
    FOREST_SUM,
    FOREST_MIN,
    FOREST_MAX
} forest_aggregate;

typedef struct forest_node {
    float value;
    int32_t feature; /* -1: a leaf */
    int32_t yes, no; /* next nodes; of a leaf: its range of weights */
} forest_node;

typedef struct forest_weight {
    int32_t target;
    float pad;
    double value;
} forest_weight;

#define FOREST_MODE_BITS 7 /* the mode of flags[] */
#define FOREST_NAN_TRUE  8 /* NaN takes the yes branch */

typedef struct forest {
    const pln_allocator *alloc;
    forest_node *nodes;
    double *wide;   /* [n_nodes] thresholds in double; NULL: the floats are exact */
    uint8_t *flags; /* [n_nodes]; NULL: all are LEQ without NaN handling */
    int64_t n_nodes;
    int32_t *roots;
    int64_t n_roots;
    forest_weight *weights;
    int64_t n_weights;
    float *members; /* values of all MEMBER nodes' sets; a node's yes/no stay nodes */
    int32_t *member_range;         /* [2 * n_nodes]; NULL */
    int64_t n_targets, n_features; /* features: highest used + 1 */
    double *base;                  /* [n_targets]; NULL */
    size_t n_base;
    int aggregate;
    pln_ml_post post;
    /* Of classifiers. */
    bool one_class;    /* two classes, but weights for one of them only */
    bool all_positive; /* no weight is negative */
} forest;

/* Adds up the leaves that a block of rows reaches: acc and has are [rows, n_targets]. */
void forest_walk(const forest *f, const pln_tensor *x, int64_t first, int64_t rows,
                 int64_t cols, double *acc, bool *has);
void forest_free(void *forest);
/* Of the attributes of TreeEnsembleClassifier and TreeEnsembleRegressor. */
typedef struct forest_attrs {
    pln_tensor *base_tensor, *hitrates_tensor, *values_tensor, *weights_tensor;
    pln_floats base, hitrates, values, weights;
    pln_ints node_ids, tree_ids, features, yes, no, nan_true;
    pln_strings modes;
    pln_ints w_trees, w_nodes, w_targets;
    pln_ml_labels labels;
    int64_t n_targets;
    int aggregate, post;
} forest_attrs;
pln_status forest_build(const pln_node *n, const forest_attrs *a, int64_t n_targets,
                        const pln_allocator *alloc, forest **out, pln_error *err);
/* Of the attributes of TreeEnsemble. */
typedef struct ensemble_attrs {
    int64_t aggregate_function, post_transform, n_targets;
    pln_ints tree_roots, missing_true, leaf_targetids, yes, no, yes_leaf, no_leaf,
        features;
    pln_tensor *hitrates, *modes, *leaf_weights, *splits, *members;
} ensemble_attrs;
pln_status forest_build_ensemble(const pln_node *n, const ensemble_attrs *a,
                                 const pln_allocator *alloc, forest **out,
                                 pln_error *err);

#endif
