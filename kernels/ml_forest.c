/* Building and walking forests.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ml_forest.h"

#include <math.h>
#include <stdlib.h>

static pln_status fail(const pln_node *n, pln_error *err, const char *text, int64_t v)
{
    char where[160];
    return pln_fail(err, PLN_E_FORMAT, "%s: %s (%lld)",
                    pln_node_where(n, where, sizeof where), text, (long long)v);
}

void forest_free(void *p)
{
    forest *f = p;
    if (!f)
        return;
    const pln_allocator *a = f->alloc;
    pln_release(a, f->nodes);
    pln_release(a, f->wide);
    pln_release(a, f->flags);
    pln_release(a, f->roots);
    pln_release(a, f->weights);
    pln_release(a, f->members);
    pln_release(a, f->member_range);
    pln_release(a, f->base);
    pln_release(a, f);
}

static forest *forest_new(const pln_allocator *a, int64_t n_nodes, int64_t n_weights,
                          int64_t n_roots)
{
    forest *f = pln_calloc(a, 1, sizeof *f);
    if (!f)
        return NULL;
    f->alloc = a;
    f->n_nodes = n_nodes;
    f->n_weights = n_weights;
    f->nodes = pln_calloc(a, (size_t)n_nodes + 1, sizeof *f->nodes);
    f->weights = pln_calloc(a, (size_t)n_weights + 1, sizeof *f->weights);
    f->roots = pln_calloc(a, (size_t)n_roots + 1, sizeof *f->roots);
    f->flags = pln_calloc(a, (size_t)n_nodes + 1, 1);
    if (f->nodes && f->weights && f->roots && f->flags)
        return f;
    forest_free(f);
    return NULL;
}

/* Most forests only compare with <=: they are walked without looking at flags. */
static void forest_drop_flags(forest *f)
{
    for (int64_t i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].feature >= 0 && f->flags[i] != FOREST_LEQ)
            return;
    pln_release(f->alloc, f->flags);
    f->flags = NULL;
}

static pln_status forest_set_base(forest *f, const pln_node *n, pln_tensor *t,
                                  pln_floats v, pln_error *err)
{
    if (t)
        PLN_TRY(pln_tensor_materialize(t, err));
    const int64_t count = t ? pln_tensor_size(t) : (int64_t)v.n;
    if (count == 0)
        return PLN_OK;
    f->base = pln_calloc(f->alloc, (size_t)count, sizeof *f->base);
    if (!f->base)
        return pln_oom(err);
    for (int64_t i = 0; i < count; i++)
        f->base[i] = t ? pln_tensor_get_f64(t, i) : (double)v.v[i];
    f->n_base = (size_t)count;
    return PLN_OK;
}

/* ---- nodes named by tree and number ---------------------------------------------- */

typedef struct node_key {
    int64_t tree, id;
    int32_t at;
} node_key;

typedef struct node_index {
    node_key *keys; /* sorted */
    int64_t n;
} node_index;

static int compare_keys(const void *a, const void *b)
{
    const node_key *x = a, *y = b;
    if (x->tree != y->tree)
        return x->tree < y->tree ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool index_new(const forest_attrs *a, const pln_allocator *alloc, node_index *ix)
{
    ix->n = (int64_t)a->node_ids.n;
    ix->keys = pln_calloc(alloc, (size_t)ix->n + 1, sizeof *ix->keys);
    if (!ix->keys)
        return false;
    bool sorted = true;
    for (int64_t i = 0; i < ix->n; i++) {
        ix->keys[i] = (node_key){ a->tree_ids.v[i], a->node_ids.v[i], (int32_t)i };
        sorted &= i == 0 || compare_keys(&ix->keys[i - 1], &ix->keys[i]) <= 0;
    }
    if (!sorted)
        qsort(ix->keys, (size_t)ix->n, sizeof *ix->keys, compare_keys);
    return true;
}

/* Position of a node; -1: there is none. `hint` is where it may well be. */
static int32_t index_find(const node_index *ix, int64_t tree, int64_t id, int64_t hint)
{
    const node_key want = { tree, id, 0 };
    if (hint >= 0 && hint < ix->n && compare_keys(&want, &ix->keys[hint]) == 0)
        return ix->keys[hint].at;
    int64_t lo = 0, hi = ix->n;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (compare_keys(&ix->keys[mid], &want) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < ix->n && compare_keys(&want, &ix->keys[lo]) == 0 ? ix->keys[lo].at : -1;
}

static bool mode_of(const char *s, uint8_t *out)
{
    static const char *const names[] = { "BRANCH_LEQ",    "BRANCH_LT", "BRANCH_GTE",
                                         "BRANCH_GT",     "BRANCH_EQ", "BRANCH_NEQ",
                                         "BRANCH_MEMBER", "LEAF" };
    for (uint8_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (i != FOREST_MEMBER && strcmp(s, names[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static pln_status check_lengths(const pln_node *n, const forest_attrs *a, pln_error *err)
{
    const size_t nodes = a->node_ids.n, w = a->w_nodes.n;
    if (nodes >= INT32_MAX || w >= INT32_MAX)
        return fail(n, err, "too many nodes", (int64_t)nodes);
    const size_t values =
        a->values_tensor ? (size_t)pln_tensor_size(a->values_tensor) : a->values.n;
    const size_t weights =
        a->weights_tensor ? (size_t)pln_tensor_size(a->weights_tensor) : a->weights.n;
    if (a->tree_ids.n != nodes || a->features.n != nodes || a->yes.n != nodes ||
        a->no.n != nodes || a->modes.n != nodes || values != nodes ||
        (a->nan_true.n && a->nan_true.n != nodes))
        return fail(n, err, "the nodes_ attributes differ in length", (int64_t)nodes);
    if (a->w_trees.n != w || a->w_targets.n != w || weights != w)
        return fail(n, err, "the weights' attributes differ in length", (int64_t)w);
    return PLN_OK;
}

static pln_status fill_values(forest *f, const forest_attrs *a, pln_error *err)
{
    pln_tensor *t = a->values_tensor;
    if (t)
        PLN_TRY(pln_tensor_materialize(t, err));
    if (t && t->dtype == PLN_DT_F64) {
        f->wide = pln_calloc(f->alloc, (size_t)f->n_nodes + 1, sizeof *f->wide);
        if (!f->wide)
            return pln_oom(err);
    }
    for (int64_t i = 0; i < f->n_nodes; i++) {
        const double v = t ? pln_tensor_get_f64(t, i) : (double)a->values.v[i];
        f->nodes[i].value = (float)v;
        if (f->wide)
            f->wide[i] = v;
    }
    return PLN_OK;
}

/* Every node but a root has one parent, so that a walk ends. */
static pln_status link_nodes(const pln_node *n, const forest_attrs *a, forest *f,
                             const node_index *ix, uint8_t *has_parent, pln_error *err)
{
    int64_t start = 0; /* of the tree, if its nodes are in order */
    for (int64_t i = 0; i < f->n_nodes; i++) {
        forest_node *node = &f->nodes[i];
        const int64_t tree = a->tree_ids.v[i];
        if (i > 0 && tree != a->tree_ids.v[i - 1])
            start = i;
        if (!mode_of(a->modes.v[i], &f->flags[i]))
            return fail(n, err, "unknown mode of node", i);
        if (f->flags[i] == FOREST_LEAF) {
            node->feature = -1;
            continue;
        }
        if (a->nan_true.n && a->nan_true.v[i])
            f->flags[i] |= FOREST_NAN_TRUE;
        if (a->features.v[i] < 0 || a->features.v[i] >= INT32_MAX)
            return fail(n, err, "feature of a node is out of range", a->features.v[i]);
        node->feature = (int32_t)a->features.v[i];
        if (node->feature >= f->n_features)
            f->n_features = node->feature + 1;
        const int64_t next[2] = { a->yes.v[i], a->no.v[i] };
        int32_t at[2];
        for (int k = 0; k < 2; k++) {
            at[k] = index_find(ix, tree, next[k], start + next[k]);
            if (at[k] < 0 || has_parent[at[k]] || at[k] == i)
                return fail(n, err, "node has no such child, or it has two parents", i);
            has_parent[at[k]] = 1;
        }
        node->yes = at[0];
        node->no = at[1];
    }
    return PLN_OK;
}

/* The root of each tree is its first node without a parent. */
static pln_status find_roots(const pln_node *n, const forest_attrs *a, forest *f,
                             const node_index *ix, const uint8_t *has_parent,
                             pln_error *err)
{
    for (int64_t i = 0; i < ix->n;) {
        const int64_t tree = ix->keys[i].tree;
        int32_t root = -1;
        for (; i < ix->n && ix->keys[i].tree == tree; i++)
            if (root < 0 && !has_parent[ix->keys[i].at])
                root = ix->keys[i].at;
        if (root < 0)
            return fail(n, err, "a tree has no root", tree);
        f->roots[f->n_roots++] = root;
    }
    return PLN_OK;
}

/* Sorts the weights by leaf, in their order. */
static pln_status fill_weights(const pln_node *n, const forest_attrs *a, forest *f,
                               const node_index *ix, int32_t *leaf, pln_error *err)
{
    pln_tensor *t = a->weights_tensor;
    int64_t hint = 0;
    if (t)
        PLN_TRY(pln_tensor_materialize(t, err));
    for (int64_t i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].feature < 0)
            f->nodes[i].yes = f->nodes[i].no = 0;
    for (int64_t i = 0; i < f->n_weights; i++) {
        leaf[i] = index_find(ix, a->w_trees.v[i], a->w_nodes.v[i], hint);
        if (leaf[i] < 0)
            return fail(n, err, "a weight is for a node that does not exist", i);
        hint = leaf[i];
        if (a->w_targets.v[i] < 0 || a->w_targets.v[i] >= f->n_targets)
            return fail(n, err, "a weight is for a target that does not exist", i);
        if (f->nodes[leaf[i]].feature < 0)
            f->nodes[leaf[i]].no++; /* the count, for now */
    }
    int32_t at = 0;
    for (int64_t i = 0; i < f->n_nodes; i++) {
        forest_node *node = &f->nodes[i];
        if (node->feature >= 0)
            continue;
        node->yes = at;
        at += node->no;
        node->no = node->yes;
    }
    f->all_positive = true;
    for (int64_t i = 0; i < f->n_weights; i++) {
        forest_node *node = &f->nodes[leaf[i]];
        if (node->feature >= 0)
            continue;
        const double v = t ? pln_tensor_get_f64(t, i) : (double)a->weights.v[i];
        f->weights[node->no++] =
            (forest_weight){ .target = (int32_t)a->w_targets.v[i], .value = v };
        f->all_positive &= v >= 0;
    }
    return PLN_OK;
}

static pln_status build(const pln_node *n, const forest_attrs *a, forest *f,
                        node_index *ix, uint8_t *has_parent, int32_t *leaf,
                        pln_error *err)
{
    PLN_TRY(fill_values(f, a, err));
    PLN_TRY(link_nodes(n, a, f, ix, has_parent, err));
    PLN_TRY(find_roots(n, a, f, ix, has_parent, err));
    PLN_TRY(fill_weights(n, a, f, ix, leaf, err));
    PLN_TRY(forest_set_base(f, n, a->base_tensor, a->base, err));
    f->one_class = f->n_targets == 2 && f->n_weights > 0;
    for (int64_t i = 1; i < f->n_weights; i++)
        f->one_class &= a->w_targets.v[i] == a->w_targets.v[0];
    forest_drop_flags(f);
    return PLN_OK;
}

pln_status forest_build(const pln_node *n, const forest_attrs *a, int64_t n_targets,
                        const pln_allocator *alloc, forest **out, pln_error *err)
{
    PLN_TRY(check_lengths(n, a, err));
    if (n_targets < 1 || n_targets > INT32_MAX)
        return fail(n, err, "number of targets", n_targets);
    const int64_t nodes = (int64_t)a->node_ids.n, weights = (int64_t)a->w_nodes.n;
    forest *f = forest_new(alloc, nodes, weights, nodes);
    uint8_t *has_parent = pln_calloc(alloc, (size_t)nodes + 1, 1);
    int32_t *leaf = pln_calloc(alloc, (size_t)weights + 1, sizeof *leaf);
    node_index ix = { 0 };
    pln_status st = PLN_E_NOMEM;
    if (f && has_parent && leaf && index_new(a, alloc, &ix)) {
        f->n_targets = n_targets;
        f->aggregate = a->aggregate;
        f->post = (pln_ml_post)a->post;
        st = build(n, a, f, &ix, has_parent, leaf, err);
    } else {
        pln_oom(err);
    }
    pln_release(alloc, has_parent);
    pln_release(alloc, leaf);
    pln_release(alloc, ix.keys);
    if (st != PLN_OK) {
        forest_free(f);
        f = NULL;
    }
    *out = f;
    return st;
}

/* ---- TreeEnsemble ---------------------------------------------------------------- */

static pln_status ensemble_lengths(const pln_node *n, const ensemble_attrs *a,
                                   pln_error *err)
{
    const size_t nodes = a->features.n, leaves = a->leaf_targetids.n;
    pln_tensor *const all[] = { a->modes, a->splits, a->leaf_weights, a->members };
    for (size_t i = 0; i < 4; i++)
        if (all[i])
            PLN_TRY(pln_tensor_materialize(all[i], err));
    if (!a->modes || !a->splits || !a->leaf_weights || nodes + leaves >= INT32_MAX ||
        a->yes.n != nodes || a->no.n != nodes || a->yes_leaf.n != nodes ||
        a->no_leaf.n != nodes || (a->missing_true.n && a->missing_true.n != nodes) ||
        (size_t)pln_tensor_size(a->modes) != nodes ||
        (size_t)pln_tensor_size(a->splits) != nodes ||
        (size_t)pln_tensor_size(a->leaf_weights) != leaves)
        return fail(n, err, "the attributes differ in length", (int64_t)nodes);
    return PLN_OK;
}

static pln_status ensemble_child(const pln_node *n, const ensemble_attrs *a, int64_t next,
                                 bool leaf, uint8_t *has_parent, int32_t *out,
                                 pln_error *err)
{
    const int64_t nodes = (int64_t)a->features.n;
    const int64_t limit = leaf ? (int64_t)a->leaf_targetids.n : nodes;
    if (next < 0 || next >= limit || (!leaf && has_parent[next]))
        return fail(n, err, "no such child, or it has two parents", next);
    if (!leaf)
        has_parent[next] = 1;
    *out = (int32_t)(leaf ? nodes + next : next);
    return PLN_OK;
}

/* The sets of the MEMBER nodes follow each other, each ended by a NaN. */
static pln_status ensemble_members(const pln_node *n, const ensemble_attrs *a, forest *f,
                                   pln_error *err)
{
    const int64_t count = a->members ? pln_tensor_size(a->members) : 0;
    f->members = pln_calloc(f->alloc, (size_t)count + 1, sizeof *f->members);
    f->member_range =
        pln_calloc(f->alloc, (size_t)f->n_nodes + 1, 2 * sizeof *f->member_range);
    if (!f->members || !f->member_range)
        return pln_oom(err);
    for (int64_t i = 0; i < count; i++)
        f->members[i] = (float)pln_tensor_get_f64(a->members, i);
    int64_t at = 0;
    for (int64_t i = 0; i < (int64_t)a->features.n; i++) {
        if ((f->flags[i] & FOREST_MODE_BITS) != FOREST_MEMBER)
            continue;
        f->member_range[2 * i] = (int32_t)at;
        while (at < count && f->members[at] == f->members[at])
            at++;
        f->member_range[2 * i + 1] = (int32_t)at;
        if (at >= count)
            return fail(n, err, "membership_values has too few sets", i);
        at++;
    }
    return PLN_OK;
}

static pln_status ensemble_nodes(const pln_node *n, const ensemble_attrs *a, forest *f,
                                 uint8_t *has_parent, pln_error *err)
{
    bool member = false;
    for (int64_t i = 0; i < (int64_t)a->features.n; i++) {
        forest_node *node = &f->nodes[i];
        const int64_t mode = pln_tensor_get_i64(a->modes, i);
        if (mode < 0 || mode > FOREST_MEMBER)
            return fail(n, err, "unknown mode of node", i);
        if (a->features.v[i] < 0 || a->features.v[i] >= INT32_MAX)
            return fail(n, err, "feature of a node is out of range", a->features.v[i]);
        f->flags[i] = (uint8_t)mode;
        member |= mode == FOREST_MEMBER;
        if (a->missing_true.n && a->missing_true.v[i])
            f->flags[i] |= FOREST_NAN_TRUE;
        node->feature = (int32_t)a->features.v[i];
        if (node->feature >= f->n_features)
            f->n_features = node->feature + 1;
        node->value = (float)pln_tensor_get_f64(a->splits, i);
        if (f->wide)
            f->wide[i] = pln_tensor_get_f64(a->splits, i);
        PLN_TRY(ensemble_child(n, a, a->yes.v[i], a->yes_leaf.v[i] != 0, has_parent,
                               &node->yes, err));
        PLN_TRY(ensemble_child(n, a, a->no.v[i], a->no_leaf.v[i] != 0, has_parent,
                               &node->no, err));
    }
    return member ? ensemble_members(n, a, f, err) : PLN_OK;
}

static pln_status ensemble_rest(const pln_node *n, const ensemble_attrs *a, forest *f,
                                const uint8_t *has_parent, pln_error *err)
{
    const int64_t nodes = (int64_t)a->features.n;
    for (int64_t i = 0; i < f->n_weights; i++) {
        const int64_t target = a->leaf_targetids.v[i];
        if (target < 0 || target >= f->n_targets)
            return fail(n, err, "a leaf is for a target that does not exist", target);
        f->weights[i] =
            (forest_weight){ .target = (int32_t)target,
                             .value = pln_tensor_get_f64(a->leaf_weights, i) };
        f->nodes[nodes + i] =
            (forest_node){ .feature = -1, .yes = (int32_t)i, .no = (int32_t)i + 1 };
    }
    for (size_t i = 0; i < a->tree_roots.n; i++) {
        const int64_t root = a->tree_roots.v[i];
        if (root < 0 || root >= nodes || has_parent[root])
            return fail(n, err, "tree_roots names no root", root);
        f->roots[f->n_roots++] = (int32_t)root;
    }
    forest_drop_flags(f);
    return PLN_OK;
}

pln_status forest_build_ensemble(const pln_node *n, const ensemble_attrs *a,
                                 const pln_allocator *alloc, forest **out, pln_error *err)
{
    *out = NULL;
    PLN_TRY(ensemble_lengths(n, a, err));
    const int64_t nodes = (int64_t)a->features.n, leaves = (int64_t)a->leaf_targetids.n;
    forest *f = forest_new(alloc, nodes + leaves, leaves, (int64_t)a->tree_roots.n);
    uint8_t *has_parent = pln_calloc(alloc, (size_t)nodes + 1, 1);
    pln_status st = PLN_E_NOMEM;
    if (f && a->splits->dtype == PLN_DT_F64)
        f->wide = pln_calloc(alloc, (size_t)f->n_nodes + 1, sizeof *f->wide);
    if (f && has_parent && (f->wide || a->splits->dtype != PLN_DT_F64)) {
        f->n_targets = a->n_targets;
        f->aggregate = (int)a->aggregate_function;
        f->post = (pln_ml_post)a->post_transform;
        st = ensemble_nodes(n, a, f, has_parent, err);
        if (st == PLN_OK)
            st = ensemble_rest(n, a, f, has_parent, err);
    } else {
        pln_oom(err);
    }
    pln_release(alloc, has_parent);
    if (st != PLN_OK)
        forest_free(f);
    else
        *out = f;
    return st;
}

/* ---- walking --------------------------------------------------------------------- */

static bool is_member(const forest *f, int32_t node, double x)
{
    for (int32_t i = f->member_range[2 * node]; i < f->member_range[2 * node + 1]; i++)
        if ((double)f->members[i] == x)
            return true;
    return false;
}

static bool takes_yes(const forest *f, int32_t i, double x)
{
    const double v = f->wide ? f->wide[i] : (double)f->nodes[i].value;
    if (x != x && (f->flags[i] & FOREST_NAN_TRUE))
        return true;
    switch ((forest_mode)(f->flags[i] & FOREST_MODE_BITS)) {
    case FOREST_LEQ:
        return x <= v;
    case FOREST_LT:
        return x < v;
    case FOREST_GTE:
        return x >= v;
    case FOREST_GT:
        return x > v;
    case FOREST_EQ:
        return x == v;
    case FOREST_NEQ:
        return x != v;
    case FOREST_MEMBER:
        return is_member(f, i, x);
    case FOREST_LEAF:
        break;
    }
    return false;
}

/* The forests that only compare floats with <=. */
static const forest_node *leaf_plain(const forest *f, int32_t root, const float *x)
{
    const forest_node *nodes = f->nodes, *n = &nodes[root];
    while (n->feature >= 0)
        n = &nodes[x[n->feature] <= n->value ? n->yes : n->no];
    return n;
}

/* Four rows at once: their memory accesses overlap. */
static void leaf_plain4(const forest *f, int32_t root, const float *x, int64_t cols,
                        const forest_node *leaf[4])
{
    const forest_node *nodes = f->nodes, *n[4];
    for (int k = 0; k < 4; k++)
        n[k] = &nodes[root];
    for (bool more = nodes[root].feature >= 0; more;) {
        more = false;
        for (int k = 0; k < 4; k++) {
            if (n[k]->feature < 0)
                continue;
            n[k] =
                &nodes[x[k * cols + n[k]->feature] <= n[k]->value ? n[k]->yes : n[k]->no];
            more |= n[k]->feature >= 0;
        }
    }
    for (int k = 0; k < 4; k++)
        leaf[k] = n[k];
}

static double feature_of(const pln_tensor *x, int64_t i)
{
    if (x->dtype == PLN_DT_F32)
        return PLN_DATA(const float, x)[i];
    if (x->dtype == PLN_DT_F64)
        return PLN_DATA(const double, x)[i];
    return (double)(float)pln_tensor_get_i64(x, i);
}

static const forest_node *leaf_general(const forest *f, int32_t root, const pln_tensor *x,
                                       int64_t row)
{
    int32_t i = root;
    while (f->nodes[i].feature >= 0) {
        const double v = feature_of(x, row + f->nodes[i].feature);
        const double at = f->wide ? f->wide[i] : (double)f->nodes[i].value;
        const bool yes = f->flags ? takes_yes(f, i, v) : v <= at;
        i = yes ? f->nodes[i].yes : f->nodes[i].no;
    }
    return &f->nodes[i];
}

static void add_leaf(const forest *f, const forest_node *leaf, double *acc, bool *has)
{
    for (int32_t w = leaf->yes; w < leaf->no; w++) {
        const int32_t k = f->weights[w].target;
        const double v = f->weights[w].value;
        if (!has[k])
            acc[k] = v;
        else if (f->aggregate == FOREST_MIN)
            acc[k] = v < acc[k] ? v : acc[k];
        else if (f->aggregate == FOREST_MAX)
            acc[k] = v > acc[k] ? v : acc[k];
        else
            acc[k] += v;
        has[k] = true;
    }
}

void forest_walk(const forest *f, const pln_tensor *x, int64_t first, int64_t rows,
                 int64_t cols, double *acc, bool *has)
{
    const bool plain = x->dtype == PLN_DT_F32 && !f->wide && !f->flags;
    const int64_t n = f->n_targets;
    memset(acc, 0, (size_t)(rows * n) * sizeof *acc);
    memset(has, 0, (size_t)(rows * n));
    /* A tree stays in the cache while all rows go through it. */
    for (int64_t t = 0; t < f->n_roots; t++) {
        int64_t r = 0;
        for (; plain && r + 4 <= rows; r += 4) {
            const forest_node *leaf[4];
            leaf_plain4(f, f->roots[t], PLN_DATA(const float, x) + (first + r) * cols,
                        cols, leaf);
            for (int k = 0; k < 4; k++)
                add_leaf(f, leaf[k], acc + (r + k) * n, has + (r + k) * n);
        }
        for (; r < rows; r++) {
            const int64_t at = (first + r) * cols;
            const forest_node *leaf =
                plain ? leaf_plain(f, f->roots[t], PLN_DATA(const float, x) + at)
                      : leaf_general(f, f->roots[t], x, at);
            add_leaf(f, leaf, acc + r * n, has + r * n);
        }
    }
    if (f->aggregate == FOREST_AVERAGE && f->n_roots > 0)
        for (int64_t i = 0; i < rows * n; i++)
            acc[i] /= (double)f->n_roots;
}
