/* TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ml_forest.h"
#include "kernels/raise.h"

/* ---- running over blocks of rows ------------------------------------------------- */

#define BLOCK 64

typedef struct tree_job {
    const forest *f;
    const pln_tensor *x;
    int64_t rows, cols;
    double *acc; /* [rows, n_targets] */
    bool *has;
} tree_job;

static void walk_range(void *arg, int64_t begin, int64_t end)
{
    const tree_job *j = arg;
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b * BLOCK;
        const int64_t n = j->rows - first < BLOCK ? j->rows - first : BLOCK;
        forest_walk(j->f, j->x, first, n, j->cols, j->acc + first * j->f->n_targets,
                    j->has + first * j->f->n_targets);
    }
}

static pln_status walk_all(pln_call *c, const forest *f, tree_job *j, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    *j = (tree_job){ .f = f, .x = x };
    if (!pln_ml_matrix(x, &j->rows, &j->cols))
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d, want 1 or 2",
                             (int)x->rank);
    if (j->cols < f->n_features)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "input has %lld features, the trees use %lld",
                             (long long)j->cols, (long long)f->n_features);
    size_t n;
    if (!pln_size_mul(&n, (size_t)j->rows, (size_t)f->n_targets))
        return pln_oom(err);
    j->acc = pln_call_scratch(c, (n + 1) * sizeof *j->acc);
    j->has = pln_call_scratch(c, n + 1);
    if (!j->acc || !j->has)
        return pln_oom(err);
    const int64_t blocks = (j->rows + BLOCK - 1) / BLOCK;
    pln_parallel_for(c->n_threads, blocks, 1 + 64 / (1 + f->n_roots), walk_range, j);
    return PLN_OK;
}

static void write_scores(pln_tensor *y, int64_t at, const double *v, int64_t n)
{
    if (y->dtype == PLN_DT_F32)
        for (int64_t i = 0; i < n; i++)
            PLN_DATA(float, y)[at + i] = (float)v[i];
    else
        for (int64_t i = 0; i < n; i++)
            pln_tensor_set_f64(y, at + i, v[i]);
}

/* ---- regression ------------------------------------------------------------------ */

static pln_status regress(pln_call *c, const forest *f, pln_error *err)
{
    tree_job j;
    PLN_TRY(walk_all(c, f, &j, err));
    if (f->n_base > 1 && f->n_base != (size_t)f->n_targets)
        return pln_call_fail(c, err, PLN_E_FORMAT, "%zu base values for %lld targets",
                             f->n_base, (long long)f->n_targets);
    for (int64_t r = 0; r < j.rows; r++) {
        double *v = j.acc + r * f->n_targets;
        for (int64_t k = 0; k < f->n_targets && f->n_base > 0; k++)
            v[k] += f->base[f->n_base == 1 ? 0 : k];
        pln_ml_transform(f->post, v, f->n_targets);
        write_scores(c->out[0], r * f->n_targets, v, f->n_targets);
    }
    return PLN_OK;
}

/* ---- classification -------------------------------------------------------------- */

static int64_t best_of(const double *v, const bool *has, int64_t n)
{
    int64_t best = -1;
    for (int64_t k = 0; k < n; k++)
        if (has[k] && (best < 0 || v[k] > v[best]))
            best = k;
    return best < 0 ? 0 : best;
}

/* Two classes of which the trees score one: the other's score follows from it. */
static int64_t binary_scores(const forest *f, double score, double *out)
{
    out[1] = score;
    out[0] = f->all_positive && f->post != ML_LOGISTIC ? 1 - score : -score;
    if (f->post == ML_LOGISTIC || f->post == ML_PROBIT)
        pln_ml_transform(f->post, out, 2);
    return f->all_positive ? score > 0.5 : score > 0;
}

static int64_t classify_row(const forest *f, double *v, bool *has, double *out)
{
    const int64_t n = f->n_targets;
    if (n != 2) {
        for (int64_t k = 0; k < n && f->n_base == (size_t)n; k++) {
            v[k] += f->base[k];
            has[k] = true;
        }
        const int64_t best = best_of(v, has, n);
        memcpy(out, v, (size_t)n * sizeof *v);
        pln_ml_transform(f->post, out, n);
        return best;
    }
    if (f->n_base == 2 && has[1]) {
        v[0] += f->base[0];
        v[1] += f->base[1];
    } else if (f->n_base == 2) {
        v[0] += f->base[0];
        out[0] = v[0];
        out[1] = 0;
        pln_ml_transform(f->post, out, 2);
        return f->all_positive ? v[0] > 0.5 : v[0] > 0;
    } else if (f->n_base == 1) {
        v[0] += f->base[0];
    }
    if (!has[1] && f->one_class)
        return binary_scores(f, v[0], out);
    const double pos = v[1];
    memcpy(out, v, 2 * sizeof *v);
    pln_ml_transform(f->post, out, 2);
    if (f->one_class)
        return f->all_positive ? pos > 0.5 : pos > 0;
    return v[1] > v[0];
}

static pln_status classify(pln_call *c, const forest *f, const pln_ml_labels *labels,
                           pln_error *err)
{
    tree_job j;
    PLN_TRY(walk_all(c, f, &j, err));
    double *out = pln_call_scratch(c, (size_t)(f->n_targets + 2) * sizeof *out);
    if (!out)
        return pln_oom(err);
    for (int64_t r = 0; r < j.rows; r++) {
        const int64_t at = r * f->n_targets;
        const int64_t best = classify_row(f, j.acc + at, j.has + at, out);
        if (pln_call_wants(c, 0))
            PLN_TRY(pln_ml_set_label(c->out[0], r, labels, best, err));
        if (pln_call_wants(c, 1))
            write_scores(c->out[1], at, out, f->n_targets);
    }
    return PLN_OK;
}

/* ---- attributes ------------------------------------------------------------------ */

#define A(attr, kind, field)                                                            \
    {                                                                                   \
        .name = #attr, .type = PLN_ATTR_##kind, .offset = offsetof(forest_attrs, field) \
    }

#define POST_SPEC                                                       \
    {                                                                   \
        .name = "post_transform", .type = PLN_ATTR_STRING, .s = "NONE", \
        .offset = offsetof(forest_attrs, post), .choices = PLN_ML_POSTS \
    }
#define TREE_NODES                                                                   \
    A(nodes_treeids, INTS, tree_ids), A(nodes_nodeids, INTS, node_ids),              \
        A(nodes_featureids, INTS, features), A(nodes_values, FLOATS, values),        \
        A(nodes_values_as_tensor, TENSOR, values_tensor),                            \
        A(nodes_hitrates, FLOATS, hitrates),                                         \
        A(nodes_hitrates_as_tensor, TENSOR, hitrates_tensor),                        \
        A(nodes_modes, STRINGS, modes), A(nodes_truenodeids, INTS, yes),             \
        A(nodes_falsenodeids, INTS, no),                                             \
        A(nodes_missing_value_tracks_true, INTS, nan_true),                          \
        A(base_values, FLOATS, base), A(base_values_as_tensor, TENSOR, base_tensor), \
        POST_SPEC

static const pln_attr_spec classifier_spec[] = {
    TREE_NODES,
    A(class_treeids, INTS, w_trees),
    A(class_nodeids, INTS, w_nodes),
    A(class_ids, INTS, w_targets),
    A(class_weights, FLOATS, weights),
    A(class_weights_as_tensor, TENSOR, weights_tensor),
    A(classlabels_strings, STRINGS, labels.strings),
    A(classlabels_int64s, INTS, labels.ints),
    PLN_A_END,
};

static const pln_attr_spec regressor_spec[] = {
    TREE_NODES,
    A(target_treeids, INTS, w_trees),
    A(target_nodeids, INTS, w_nodes),
    A(target_ids, INTS, w_targets),
    A(target_weights, FLOATS, weights),
    A(target_weights_as_tensor, TENSOR, weights_tensor),
    A(n_targets, INT, n_targets),
    { .name = "aggregate_function",
      .type = PLN_ATTR_STRING,
      .s = "SUM",
      .offset = offsetof(forest_attrs, aggregate),
      .choices = "AVERAGE|SUM|MIN|MAX" },
    PLN_A_END,
};
#undef A

#define A(attr, kind, field, must)                                  \
    {                                                               \
        .name = #attr, .type = PLN_ATTR_##kind, .required = (must), \
        .offset = offsetof(ensemble_attrs, field)                   \
    }
static const pln_attr_spec ensemble_spec[] = {
    PLN_A_INT(ensemble_attrs, aggregate_function, 1),
    PLN_A_INT(ensemble_attrs, post_transform, 0),
    PLN_A_INT(ensemble_attrs, n_targets, 1),
    A(tree_roots, INTS, tree_roots, true),
    A(nodes_hitrates, TENSOR, hitrates, false),
    A(nodes_missing_value_tracks_true, INTS, missing_true, false),
    A(nodes_modes, TENSOR, modes, true),
    A(leaf_weights, TENSOR, leaf_weights, true),
    A(leaf_targetids, INTS, leaf_targetids, true),
    A(nodes_falsenodeids, INTS, no, true),
    A(nodes_truenodeids, INTS, yes, true),
    A(nodes_trueleafs, INTS, yes_leaf, true),
    A(nodes_falseleafs, INTS, no_leaf, true),
    A(nodes_featureids, INTS, features, true),
    A(nodes_splits, TENSOR, splits, true),
    A(membership_values, TENSOR, members, false),
    PLN_A_END,
};
#undef A

static pln_status ensemble_check(pln_node *n, void *attrs, pln_error *err)
{
    const ensemble_attrs *a = attrs;
    if (a->aggregate_function < 0 || a->aggregate_function > 3 || a->post_transform < 0 ||
        a->post_transform > 4 || a->n_targets < 1 || a->n_targets > INT32_MAX)
        return pln_raise_fail(n, err,
                              "aggregate_function, post_transform or n_targets is "
                              "out of range");
    return PLN_OK;
}

/* ---- forests of a node ----------------------------------------------------------- */

typedef pln_status (*build_fn)(const pln_node *n, const void *attrs,
                               const pln_allocator *a, forest **out, pln_error *err);

static pln_status build_classifier(const pln_node *n, const void *attrs,
                                   const pln_allocator *a, forest **out, pln_error *err)
{
    const forest_attrs *t = attrs;
    forest_attrs copy = *t;
    copy.aggregate = FOREST_SUM;
    return forest_build(n, &copy, pln_ml_labels_count(&t->labels), a, out, err);
}

static pln_status build_regressor(const pln_node *n, const void *attrs,
                                  const pln_allocator *a, forest **out, pln_error *err)
{
    const forest_attrs *t = attrs;
    return forest_build(n, t, t->n_targets ? t->n_targets : 1, a, out, err);
}

static pln_status build_ensemble(const pln_node *n, const void *attrs,
                                 const pln_allocator *a, forest **out, pln_error *err)
{
    return forest_build_ensemble(n, attrs, a, out, err);
}

static pln_status run_classifier(pln_call *c, const forest *f, pln_error *err)
{
    return classify(c, f, &((const forest_attrs *)c->attrs)->labels, err);
}

/* The reference builds the forest for one call. */
static pln_status
run_once(pln_call *c, build_fn build,
         pln_status (*run)(pln_call *c, const forest *f, pln_error *err), pln_error *err)
{
    forest *f = NULL;
    PLN_TRY(build(c->node, c->attrs, pln_call_allocator(c), &f, err));
    const pln_status st = run(c, f, err);
    forest_free(f);
    return st;
}

/* Three operators, each with a reference and a prepared implementation. */
#define TREE_OP(name, build, run)                                            \
    static pln_status name##_ref(pln_call *c, pln_error *err)                \
    {                                                                        \
        return run_once(c, build, run, err);                                 \
    }                                                                        \
    static pln_status name##_make(pln_prep *p, void **state, pln_error *err) \
    {                                                                        \
        return build(p->node, p->attrs, p->alloc, (forest **)state, err);    \
    }                                                                        \
    static pln_status name##_prepare(pln_prep *p, pln_error *err)            \
    {                                                                        \
        return p->shared(p, 0, name##_make, forest_free, &p->state, err);    \
    }                                                                        \
    static pln_status name##_run(pln_call *c, pln_error *err)                \
    {                                                                        \
        return run(c, c->state, err);                                        \
    }                                                                        \
    static const pln_impl name##_cpu = { #name, name##_prepare, name##_run, NULL };

TREE_OP(tree_classifier, build_classifier, run_classifier)
TREE_OP(tree_regressor, build_regressor, regress)
TREE_OP(tree_ensemble, build_ensemble, regress)

/* ---- inference ------------------------------------------------------------------- */

static pln_status classifier_infer(pln_infer *inf, pln_error *err)
{
    const forest_attrs *a = inf->attrs;
    pln_dim rows, cols;
    PLN_TRY(pln_ml_infer_rows(inf, &rows, &cols, err));
    pln_shape s = pln_infer_shape(inf, 1);
    s.dims[0] = rows;
    pln_infer_set(inf, 0, pln_ml_labels_type(&a->labels), s);
    if (inf->n_out > 1)
        pln_ml_infer_matrix(inf, 1, PLN_DT_F32, rows,
                            pln_dim_of(pln_ml_labels_count(&a->labels)));
    return PLN_OK;
}

static pln_status regressor_infer(pln_infer *inf, pln_error *err)
{
    const forest_attrs *a = inf->attrs;
    pln_dim rows, cols;
    PLN_TRY(pln_ml_infer_rows(inf, &rows, &cols, err));
    pln_ml_infer_matrix(inf, 0, PLN_DT_F32, rows,
                        pln_dim_of(a->n_targets ? a->n_targets : 1));
    return PLN_OK;
}

static pln_status ensemble_infer(pln_infer *inf, pln_error *err)
{
    const ensemble_attrs *a = inf->attrs;
    pln_dim rows, cols;
    PLN_TRY(pln_ml_infer_rows(inf, &rows, &cols, err));
    pln_ml_infer_matrix(inf, 0, pln_infer_dtype(inf, 0), rows, pln_dim_of(a->n_targets));
    return PLN_OK;
}

static pln_status lower_tensors(pln_node *n, pln_error *err)
{
    static const char *const newer[] = {
        "base_values_as_tensor", "nodes_values_as_tensor", "nodes_hitrates_as_tensor",
        "class_weights_as_tensor", "target_weights_as_tensor"
    };
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        PLN_TRY(pln_lower_refuse(n, newer[i], err));
    return PLN_OK;
}

static const pln_version_change tree_versions[] = {
    { 3, NULL, lower_tensors },
    { 0 },
};

const pln_op_desc pln_ops_ml_tree[] = {
    { .name = "TreeEnsembleClassifier",
      .domain = "ai.onnx.ml",
      .since = 5,
      .in = { 1, 1 },
      .out = { 1, 2 },
      .types = "T:" PLN_ML_NUM ";L:string,int64",
      .sig = "T->L,float",
      .attrs = classifier_spec,
      .attrs_size = sizeof(forest_attrs),
      .infer = classifier_infer,
      .ref = tree_classifier_ref,
      .cpu = &tree_classifier_cpu,
      .versions = tree_versions },
    { .name = "TreeEnsembleRegressor",
      .domain = "ai.onnx.ml",
      .since = 5,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:" PLN_ML_NUM,
      .sig = "T->float",
      .attrs = regressor_spec,
      .attrs_size = sizeof(forest_attrs),
      .infer = regressor_infer,
      .ref = tree_regressor_ref,
      .cpu = &tree_regressor_cpu,
      .versions = tree_versions },
    { .name = "TreeEnsemble",
      .domain = "ai.onnx.ml",
      .since = 5,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:float16,float,double",
      .sig = "T->T",
      .attrs = ensemble_spec,
      .attrs_size = sizeof(ensemble_attrs),
      .check = ensemble_check,
      .infer = ensemble_infer,
      .ref = tree_ensemble_ref,
      .cpu = &tree_ensemble_cpu },
    { .name = NULL },
};
