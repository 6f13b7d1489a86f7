/* SVMRegressor and SVMClassifier.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/ml_common.h"
#include "kernels/raise.h"

typedef enum svm_kernel { SVM_LINEAR, SVM_POLY, SVM_RBF, SVM_SIGMOID } svm_kernel;

typedef struct svm_attrs {
    pln_floats coefficients, params, prob_a, prob_b, rho, vectors;
    pln_ints per_class;
    pln_ml_labels labels;
    int64_t n_supports, one_class;
    int kernel, post;
} svm_attrs;

#define A(attr, kind, field)                                                         \
    {                                                                                \
        .name = #attr, .type = PLN_ATTR_##kind, .offset = offsetof(svm_attrs, field) \
    }
#define COMMON                                                               \
    A(coefficients, FLOATS, coefficients), A(kernel_params, FLOATS, params), \
        A(rho, FLOATS, rho), A(support_vectors, FLOATS, vectors),            \
        { .name = "kernel_type",                                             \
          .type = PLN_ATTR_STRING,                                           \
          .s = "LINEAR",                                                     \
          .offset = offsetof(svm_attrs, kernel),                             \
          .choices = "LINEAR|POLY|RBF|SIGMOID" },                            \
    {                                                                        \
        .name = "post_transform", .type = PLN_ATTR_STRING, .s = "NONE",      \
        .offset = offsetof(svm_attrs, post), .choices = PLN_ML_POSTS         \
    }

static const pln_attr_spec regressor_spec[] = {
    COMMON,
    A(n_supports, INT, n_supports),
    A(one_class, INT, one_class),
    PLN_A_END,
};
static const pln_attr_spec classifier_spec[] = {
    COMMON,
    A(prob_a, FLOATS, prob_a),
    A(prob_b, FLOATS, prob_b),
    A(vectors_per_class, INTS, per_class),
    A(classlabels_strings, STRINGS, labels.strings),
    A(classlabels_ints, INTS, labels.ints),
    PLN_A_END,
};
#undef A

static pln_status svm_check(pln_node *n, void *attrs, pln_error *err)
{
    const svm_attrs *a = attrs;
    if (a->params.n != 0 && a->params.n != 3)
        return pln_raise_fail(n, err, "kernel_params does not have 3 entries");
    if (a->rho.n == 0)
        return pln_raise_fail(n, err, "rho is missing");
    return PLN_OK;
}

/* Without support vectors the model is linear, whatever its kernel is called. */
static double dot(const double *x, const float *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * (double)v[i];
    return sum;
}

static double kernel_of(const svm_attrs *a, const double *x, const float *v, int64_t n)
{
    const double gamma = a->params.n ? (double)a->params.v[0] : 0;
    const double coef0 = a->params.n ? (double)a->params.v[1] : 0;
    const double degree = a->params.n ? (double)a->params.v[2] : 0;
    double sum = 0;
    if (a->kernel == SVM_RBF) {
        for (int64_t i = 0; i < n; i++)
            sum += (x[i] - (double)v[i]) * (x[i] - (double)v[i]);
        return exp(-gamma * sum);
    }
    sum = dot(x, v, n);
    if (a->kernel == SVM_POLY)
        return pow(gamma * sum + coef0, degree);
    return a->kernel == SVM_SIGMOID ? tanh(gamma * sum + coef0) : sum;
}

/* ---- regression ------------------------------------------------------------------ */

static pln_status regressor_infer(pln_infer *inf, pln_error *err)
{
    pln_dim rows, cols;
    PLN_TRY(pln_ml_infer_rows(inf, &rows, &cols, err));
    pln_ml_infer_matrix(inf, 0, PLN_DT_F32, rows, pln_dim_of(1));
    return PLN_OK;
}

static pln_status regressor_run(pln_call *c, pln_error *err)
{
    const svm_attrs *a = c->attrs;
    const int64_t n = a->n_supports;
    int64_t rows, cols;
    if (!pln_ml_matrix(c->in[0], &rows, &cols))
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d", (int)c->in[0]->rank);
    if (n > 0 ? (int64_t)a->vectors.n != n * cols || (int64_t)a->coefficients.n < n
              : (int64_t)a->coefficients.n != cols)
        return pln_call_fail(c, err, PLN_E_RUN, "the model does not fit %lld features",
                             (long long)cols);
    double *x = pln_call_scratch(c, (size_t)(cols + 1) * sizeof *x);
    if (!x)
        return pln_oom(err);
    for (int64_t r = 0; r < rows; r++) {
        pln_ml_row(c->in[0], r, cols, x);
        double sum = n > 0 ? 0 : dot(x, a->coefficients.v, cols);
        for (int64_t k = 0; k < n; k++)
            sum += (double)a->coefficients.v[k] *
                   kernel_of(a, x, a->vectors.v + k * cols, cols);
        sum += (double)a->rho.v[0];
        if (a->one_class)
            sum = sum > 0 ? 1 : -1;
        PLN_DATA(float, c->out[0])[r] = (float)sum;
    }
    return PLN_OK;
}

/* ---- classification -------------------------------------------------------------- */

typedef struct svm_work {
    int64_t cols, classes, supports, pairs;
    double *x, *k, *scores, *probs, *pairwise, *q;
    int64_t *votes;
} svm_work;

static bool has_vectors(const svm_attrs *a)
{
    return a->per_class.n > 0;
}

static bool has_probs(const svm_attrs *a)
{
    return a->prob_a.n > 0;
}

static int64_t score_count(const svm_attrs *a)
{
    const int64_t n = pln_ml_labels_count(&a->labels);
    if (!has_vectors(a) || has_probs(a) || n == 2)
        return n;
    return n * (n - 1) / 2;
}

static pln_status classifier_infer(pln_infer *inf, pln_error *err)
{
    const svm_attrs *a = inf->attrs;
    pln_dim rows, cols;
    PLN_TRY(pln_ml_infer_rows(inf, &rows, &cols, err));
    pln_shape s = pln_infer_shape(inf, 1);
    s.dims[0] = rows;
    pln_infer_set(inf, 0, pln_ml_labels_type(&a->labels), s);
    if (inf->n_out > 1)
        pln_ml_infer_matrix(inf, 1, PLN_DT_F32, rows, pln_dim_of(score_count(a)));
    return PLN_OK;
}

static pln_status svm_sizes(const pln_call *c, svm_work *w, pln_error *err)
{
    const svm_attrs *a = c->attrs;
    w->classes = pln_ml_labels_count(&a->labels);
    w->pairs = w->classes * (w->classes - 1) / 2;
    for (size_t i = 0; i < a->per_class.n; i++) {
        if (a->per_class.v[i] < 0 || a->per_class.v[i] > INT32_MAX)
            return pln_call_fail(c, err, PLN_E_FORMAT, "vectors_per_class[%zu] is %lld",
                                 i, (long long)a->per_class.v[i]);
        w->supports += a->per_class.v[i];
    }
    const bool fits =
        has_vectors(a)
            ? (int64_t)a->per_class.n == w->classes &&
                  (int64_t)a->vectors.n == w->supports * w->cols &&
                  (int64_t)a->coefficients.n == (w->classes - 1) * w->supports &&
                  (int64_t)a->rho.n == w->pairs &&
                  (!has_probs(a) ||
                   ((int64_t)a->prob_a.n == w->pairs && (int64_t)a->prob_b.n == w->pairs))
            : (int64_t)a->coefficients.n == w->classes * w->cols;
    if (!fits || w->classes < 1 || w->classes > 1 << 15)
        return pln_call_fail(c, err, PLN_E_FORMAT,
                             "the model does not fit %lld classes and "
                             "%lld features",
                             (long long)w->classes, (long long)w->cols);
    return PLN_OK;
}

static pln_status svm_memory(pln_call *c, svm_work *w, pln_error *err)
{
    const size_t n = (size_t)w->classes;
    const size_t pairs = (size_t)w->pairs > n ? (size_t)w->pairs : n;
    w->x = pln_call_scratch(c, ((size_t)w->cols + 1) * sizeof(double));
    w->k = pln_call_scratch(c, ((size_t)w->supports + 1) * sizeof(double));
    w->scores = pln_call_scratch(c, (pairs + 2) * sizeof(double));
    w->probs = pln_call_scratch(c, (n + 1) * sizeof(double));
    w->pairwise = pln_call_scratch(c, n * n * sizeof(double));
    w->q = pln_call_scratch(c, (n * n + n) * sizeof(double));
    w->votes = pln_call_scratch(c, (n + 1) * sizeof(int64_t));
    return w->x && w->k && w->scores && w->probs && w->pairwise && w->q && w->votes
               ? PLN_OK
               : pln_oom(err);
}

/* One score for each pair of classes, and a vote for one of the two. */
static void pair_scores(const svm_attrs *a, svm_work *w)
{
    int64_t pair = 0, start_i = 0;
    for (int64_t s = 0; s < w->supports; s++)
        w->k[s] = kernel_of(a, w->x, a->vectors.v + s * w->cols, w->cols);
    memset(w->votes, 0, (size_t)w->classes * sizeof *w->votes);
    for (int64_t i = 0; i < w->classes; i++) {
        int64_t start_j = start_i + a->per_class.v[i];
        for (int64_t j = i + 1; j < w->classes; j++, pair++) {
            const float *ci = a->coefficients.v + (j - 1) * w->supports + start_i;
            const float *cj = a->coefficients.v + i * w->supports + start_j;
            double sum = (double)a->rho.v[pair];
            for (int64_t s = 0; s < a->per_class.v[i]; s++)
                sum += (double)ci[s] * w->k[start_i + s];
            for (int64_t s = 0; s < a->per_class.v[j]; s++)
                sum += (double)cj[s] * w->k[start_j + s];
            w->scores[pair] = sum;
            w->votes[sum > 0 ? i : j]++;
            start_j += a->per_class.v[j];
        }
        start_i += a->per_class.v[i];
    }
}

static double pair_probability(double score, double a, double b)
{
    const double v = score * a + b;
    const double p = v >= 0 ? exp(-v) / (1 + exp(-v)) : 1 / (1 + exp(v));
    return p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p;
}

/* Class probabilities from pairwise ones: Wu, Lin and Weng's second method. */
static void couple(svm_work *w)
{
    const int64_t n = w->classes;
    const double *r = w->pairwise, eps = 0.005 / (double)n;
    double *q = w->q, *qp = w->q + n * n, *p = w->probs;
    for (int64_t t = 0; t < n; t++) {
        p[t] = 1 / (double)n;
        q[t * n + t] = 0;
        for (int64_t j = 0; j < n; j++) {
            if (j == t)
                continue;
            q[t * n + t] += r[j * n + t] * r[j * n + t];
            q[t * n + j] = -r[j * n + t] * r[t * n + j];
        }
    }
    for (int iter = 0; iter < 100; iter++) {
        double pqp = 0, worst = 0;
        for (int64_t t = 0; t < n; t++) {
            qp[t] = 0;
            for (int64_t j = 0; j < n; j++)
                qp[t] += q[t * n + j] * p[j];
            pqp += p[t] * qp[t];
        }
        for (int64_t t = 0; t < n; t++)
            worst = fabs(qp[t] - pqp) > worst ? fabs(qp[t] - pqp) : worst;
        if (worst < eps)
            break;
        for (int64_t t = 0; t < n; t++) {
            const double diff = (pqp - qp[t]) / q[t * n + t];
            p[t] += diff;
            pqp = (pqp + diff * (diff * q[t * n + t] + 2 * qp[t])) / (1 + diff) /
                  (1 + diff);
            for (int64_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + diff * q[t * n + j]) / (1 + diff);
                p[j] /= 1 + diff;
            }
        }
    }
}

static void class_probabilities(const svm_attrs *a, svm_work *w)
{
    const int64_t n = w->classes;
    int64_t pair = 0;
    for (int64_t i = 0; i < n; i++) {
        w->pairwise[i * n + i] = 0;
        for (int64_t j = i + 1; j < n; j++, pair++) {
            const double v = pair_probability(w->scores[pair], (double)a->prob_a.v[pair],
                                              (double)a->prob_b.v[pair]);
            w->pairwise[i * n + j] = v;
            w->pairwise[j * n + i] = 1 - v;
        }
    }
    couple(w);
}

/* Two classes with a single score: what is written for both. */
static void binary_score(const svm_attrs *a, svm_work *w)
{
    const double v = w->scores[0];
    w->scores[0] = a->post == ML_NONE || a->post == ML_LOGISTIC ? -v : 1 - v;
    w->scores[1] = v;
    if (a->post == ML_LOGISTIC || a->post == ML_PROBIT)
        pln_ml_transform((pln_ml_post)a->post, w->scores, 2);
}

static int64_t most_votes(const svm_work *w)
{
    int64_t best = 0;
    for (int64_t i = 1; i < w->classes; i++)
        best = w->votes[i] > w->votes[best] ? i : best;
    return best;
}

static int64_t largest(const double *v, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = v[i] > v[best] ? i : best;
    return best;
}

/* Leaves what is to be written in scores; gives the winner. */
static int64_t classify(const svm_attrs *a, svm_work *w)
{
    if (!has_vectors(a)) {
        for (int64_t k = 0; k < w->classes; k++)
            w->scores[k] =
                dot(w->x, a->coefficients.v + k * w->cols, w->cols) + (double)a->rho.v[0];
        const int64_t best = largest(w->scores, w->classes);
        pln_ml_transform((pln_ml_post)a->post, w->scores, w->classes);
        return best;
    }
    pair_scores(a, w);
    if (has_probs(a)) {
        class_probabilities(a, w);
        memcpy(w->scores, w->probs, (size_t)w->classes * sizeof *w->probs);
        pln_ml_transform((pln_ml_post)a->post, w->scores, w->classes);
    } else if (w->classes == 2) {
        binary_score(a, w);
    } else {
        pln_ml_transform((pln_ml_post)a->post, w->scores, w->pairs);
    }
    return most_votes(w);
}

static pln_status classifier_run(pln_call *c, pln_error *err)
{
    const svm_attrs *a = c->attrs;
    svm_work w = { 0 };
    int64_t rows;
    if (!pln_ml_matrix(c->in[0], &rows, &w.cols))
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d", (int)c->in[0]->rank);
    PLN_TRY(svm_sizes(c, &w, err));
    PLN_TRY(svm_memory(c, &w, err));
    const int64_t n = score_count(a);
    for (int64_t r = 0; r < rows; r++) {
        pln_ml_row(c->in[0], r, w.cols, w.x);
        const int64_t best = classify(a, &w);
        if (pln_call_wants(c, 0))
            PLN_TRY(pln_ml_set_label(c->out[0], r, &a->labels, best, err));
        for (int64_t k = 0; k < n && pln_call_wants(c, 1); k++)
            PLN_DATA(float, c->out[1])[r * n + k] = (float)w.scores[k];
    }
    return PLN_OK;
}

#define ROW                                                                              \
    .domain = "ai.onnx.ml", .since = 1, .in = { 1, 1 }, .attrs_size = sizeof(svm_attrs), \
    .check = svm_check

const pln_op_desc pln_ops_ml_svm[] = {
    { ROW, .name = "SVMRegressor", .out = { 1, 1 }, .types = "T:" PLN_ML_NUM,
      .sig = "T->float", .attrs = regressor_spec, .infer = regressor_infer,
      .ref = regressor_run },
    { ROW, .name = "SVMClassifier", .out = { 1, 2 },
      .types = "T:" PLN_ML_NUM ";L:string,int64", .sig = "T->L,float",
      .attrs = classifier_spec, .infer = classifier_infer, .ref = classifier_run },
    { .name = NULL },
};
