/* Scaler, Normalizer, Binarizer, Imputer, LinearRegressor and LinearClassifier.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/ml_common.h"
#include "kernels/raise.h"

/* ---- Scaler ---------------------------------------------------------------------- */

typedef struct scaler_attrs {
    pln_floats offset, scale;
} scaler_attrs;

static const pln_attr_spec scaler_spec[] = {
    PLN_A_FLOATS(scaler_attrs, offset),
    PLN_A_FLOATS(scaler_attrs, scale),
    PLN_A_END,
};

static pln_status float_infer(pln_infer *inf, pln_error *err)
{
    pln_infer_set(inf, 0, PLN_DT_F32, inf->in[0]->shape);
    return PLN_OK;
}

static pln_status scaler_run(pln_call *c, pln_error *err)
{
    const scaler_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    float *y = c->out[0]->data;
    const int64_t n = pln_tensor_size(x), cols = x->rank ? x->dims[x->rank - 1] : 1;
    const size_t no = a->offset.n, ns = a->scale.n;
    if ((no > 1 && (int64_t)no != cols) || (ns > 1 && (int64_t)ns != cols))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "%zu offsets and %zu scales for %lld features", no, ns,
                             (long long)cols);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = i % cols;
        const float off = no ? a->offset.v[no == 1 ? 0 : k] : 0;
        const float scale = ns ? a->scale.v[ns == 1 ? 0 : k] : 1;
        const float v = x->dtype == PLN_DT_F32 ? PLN_DATA(const float, x)[i]
                                               : (float)pln_tensor_get_f64(x, i);
        y[i] = (v - off) * scale;
    }
    return PLN_OK;
}

/* ---- Normalizer ------------------------------------------------------------------ */

typedef struct normalizer_attrs {
    int norm;
} normalizer_attrs;

static const pln_attr_spec normalizer_spec[] = {
    PLN_A_ENUM(normalizer_attrs, norm, "MAX|L1|L2", "MAX"),
    PLN_A_END,
};

static double row_norm(int norm, const pln_tensor *x, int64_t at, int64_t cols)
{
    double v = norm == 0 ? -INFINITY : 0;
    for (int64_t i = 0; i < cols; i++) {
        const double e = pln_tensor_get_f64(x, at + i);
        if (norm == 0)
            v = e > v ? e : v;
        else
            v += norm == 1 ? fabs(e) : e * e;
    }
    return norm == 2 ? sqrt(v) : v;
}

static pln_status normalizer_run(pln_call *c, pln_error *err)
{
    const normalizer_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    float *y = c->out[0]->data;
    int64_t rows, cols;
    if (!pln_ml_matrix(x, &rows, &cols))
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d, want 1 or 2",
                             (int)x->rank);
    for (int64_t r = 0; r < rows; r++) {
        const double norm = row_norm(a->norm, x, r * cols, cols);
        for (int64_t i = r * cols; i < (r + 1) * cols; i++) {
            const double v = pln_tensor_get_f64(x, i);
            y[i] = (float)(norm != 0 ? v / norm : v);
        }
    }
    return PLN_OK;
}

/* ---- Binarizer ------------------------------------------------------------------- */

typedef struct binarizer_attrs {
    float threshold;
} binarizer_attrs;

static const pln_attr_spec binarizer_spec[] = {
    PLN_A_FLOAT(binarizer_attrs, threshold, 0),
    PLN_A_END,
};

static pln_status binarizer_run(pln_call *c, pln_error *err)
{
    const binarizer_attrs *a = c->attrs;
    const int64_t n = pln_tensor_size(c->in[0]);
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_i64(c->out[0], i,
                           pln_tensor_get_f64(c->in[0], i) > (double)a->threshold);
    return PLN_OK;
}

/* ---- Imputer --------------------------------------------------------------------- */

typedef struct imputer_attrs {
    pln_floats floats;
    pln_ints ints;
    float replaced_float;
    int64_t replaced_int;
} imputer_attrs;

#define A(attr, kind, field)                                                             \
    {                                                                                    \
        .name = #attr, .type = PLN_ATTR_##kind, .offset = offsetof(imputer_attrs, field) \
    }
static const pln_attr_spec imputer_spec[] = {
    A(imputed_value_floats, FLOATS, floats),
    A(imputed_value_int64s, INTS, ints),
    A(replaced_value_float, FLOAT, replaced_float),
    A(replaced_value_int64, INT, replaced_int),
    PLN_A_END,
};
#undef A

static bool imputer_replaces(const imputer_attrs *a, const pln_tensor *x, int64_t i,
                             bool real)
{
    if (!real)
        return pln_tensor_get_i64(x, i) == a->replaced_int;
    const double v = pln_tensor_get_f64(x, i);
    return v == (double)a->replaced_float ||
           (v != v && a->replaced_float != a->replaced_float);
}

static pln_status imputer_run(pln_call *c, pln_error *err)
{
    const imputer_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const bool real = pln_dtype_is_float((pln_dtype)x->dtype);
    const size_t count = real ? a->floats.n : a->ints.n;
    const int64_t n = pln_tensor_size(x), cols = x->rank ? x->dims[x->rank - 1] : 1;
    if (count == 0 || (count > 1 && (int64_t)count != cols))
        return pln_call_fail(c, err, PLN_E_RUN, "%zu imputed values for %lld features",
                             count, (long long)cols);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = count == 1 ? 0 : i % cols;
        if (!imputer_replaces(a, x, i, real))
            pln_tensor_copy(y, i, x, i, 1);
        else if (real)
            pln_tensor_set_f64(y, i, a->floats.v[k]);
        else
            pln_tensor_set_i64(y, i, a->ints.v[k]);
    }
    return PLN_OK;
}

/* ---- linear models --------------------------------------------------------------- */

typedef struct linear_attrs {
    pln_floats coefficients, intercepts;
    pln_ml_labels labels;
    int64_t targets, multi_class;
    int post;
} linear_attrs;

#define A(attr, kind, field)                                                            \
    {                                                                                   \
        .name = #attr, .type = PLN_ATTR_##kind, .offset = offsetof(linear_attrs, field) \
    }
#define POST                                                            \
    {                                                                   \
        .name = "post_transform", .type = PLN_ATTR_STRING, .s = "NONE", \
        .offset = offsetof(linear_attrs, post), .choices = PLN_ML_POSTS \
    }
static const pln_attr_spec regressor_spec[] = {
    A(coefficients, FLOATS, coefficients),
    A(intercepts, FLOATS, intercepts),
    PLN_A_INT(linear_attrs, targets, 1),
    POST,
    PLN_A_END,
};
static const pln_attr_spec classifier_spec[] = {
    { .name = "coefficients",
      .type = PLN_ATTR_FLOATS,
      .required = true,
      .offset = offsetof(linear_attrs, coefficients) },
    A(intercepts, FLOATS, intercepts),
    A(classlabels_strings, STRINGS, labels.strings),
    A(classlabels_ints, INTS, labels.ints),
    A(multi_class, INT, multi_class),
    POST,
    PLN_A_END,
};
#undef A

/* out[k] = x . coefficients[k] + intercept[k] */
static pln_status linear_row(const pln_call *c, int64_t row, int64_t cols, int64_t n,
                             double *x, double *out, pln_error *err)
{
    const linear_attrs *a = c->attrs;
    if ((int64_t)a->coefficients.n != n * cols ||
        (a->intercepts.n && (int64_t)a->intercepts.n != n))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "%zu coefficients and %zu intercepts for %lld "
                             "features and %lld scores",
                             a->coefficients.n, a->intercepts.n, (long long)cols,
                             (long long)n);
    pln_ml_row(c->in[0], row, cols, x);
    for (int64_t k = 0; k < n; k++) {
        double sum = a->intercepts.n ? (double)a->intercepts.v[k] : 0;
        for (int64_t i = 0; i < cols; i++)
            sum += x[i] * (double)a->coefficients.v[k * cols + i];
        out[k] = sum;
    }
    return PLN_OK;
}

static pln_status linear_scratch(pln_call *c, int64_t cols, int64_t n, double **x,
                                 double **out, pln_error *err)
{
    *x = pln_call_scratch(c, (size_t)(cols + 1) * sizeof **x);
    *out = pln_call_scratch(c, (size_t)(n + 2) * sizeof **out);
    return *x && *out ? PLN_OK : pln_oom(err);
}

static pln_status linear_regressor_run(pln_call *c, pln_error *err)
{
    const linear_attrs *a = c->attrs;
    int64_t rows, cols;
    double *x, *out;
    if (!pln_ml_matrix(c->in[0], &rows, &cols))
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d", (int)c->in[0]->rank);
    PLN_TRY(linear_scratch(c, cols, a->targets, &x, &out, err));
    for (int64_t r = 0; r < rows; r++) {
        PLN_TRY(linear_row(c, r, cols, a->targets, x, out, err));
        pln_ml_transform((pln_ml_post)a->post, out, a->targets);
        for (int64_t k = 0; k < a->targets; k++)
            PLN_DATA(float, c->out[0])[r * a->targets + k] = (float)out[k];
    }
    return PLN_OK;
}

/* One score for two labels stands for the second one; the first one's is its complement.
 * Returns the winner. */
static int64_t linear_decide(const linear_attrs *a, double *out, int64_t scores,
                             bool added)
{
    if (scores == 1 && added) {
        const double v = out[0];
        const bool logistic = a->post == ML_LOGISTIC;
        out[1] = logistic ? pln_ml_logistic(v) : v;
        out[0] = logistic ? pln_ml_logistic(-v) : 1 - v;
        if (a->post == ML_PROBIT)
            pln_ml_transform((pln_ml_post)a->post, out, 2);
        return v > 0;
    }
    int64_t best = 0;
    for (int64_t k = 1; k < scores; k++)
        best = out[k] > out[best] ? k : best;
    if (scores == 1)
        best = out[0] > 0;
    pln_ml_transform((pln_ml_post)a->post, out, scores);
    return best;
}

static pln_status linear_classifier_run(pln_call *c, pln_error *err)
{
    const linear_attrs *a = c->attrs;
    const int64_t labels = pln_ml_labels_count(&a->labels);
    int64_t rows, cols;
    double *x, *out;
    if (!pln_ml_matrix(c->in[0], &rows, &cols) || cols == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d", (int)c->in[0]->rank);
    const int64_t scores = (int64_t)a->coefficients.n / cols;
    const bool added = scores == 1 && labels == 2;
    const int64_t n = added ? 2 : scores;
    if (labels < 1 || (labels != n && !(scores == 1 && labels == 1)))
        return pln_call_fail(c, err, PLN_E_FORMAT, "%lld labels for %lld scores",
                             (long long)labels, (long long)scores);
    PLN_TRY(linear_scratch(c, cols, n, &x, &out, err));
    for (int64_t r = 0; r < rows; r++) {
        PLN_TRY(linear_row(c, r, cols, scores, x, out, err));
        int64_t best = linear_decide(a, out, scores, added);
        best = best < labels ? best : labels - 1;
        if (pln_call_wants(c, 0))
            PLN_TRY(pln_ml_set_label(c->out[0], r, &a->labels, best, err));
        for (int64_t k = 0; k < n && pln_call_wants(c, 1); k++)
            PLN_DATA(float, c->out[1])[r * n + k] = (float)out[k];
    }
    return PLN_OK;
}

static pln_status linear_regressor_infer(pln_infer *inf, pln_error *err)
{
    const linear_attrs *a = inf->attrs;
    pln_dim rows, cols;
    if (a->targets < 1)
        return pln_infer_fail(inf, err, "targets is %lld", (long long)a->targets);
    PLN_TRY(pln_ml_infer_rows(inf, &rows, &cols, err));
    pln_ml_infer_matrix(inf, 0, PLN_DT_F32, rows, pln_dim_of(a->targets));
    return PLN_OK;
}

static pln_status linear_classifier_infer(pln_infer *inf, pln_error *err)
{
    const linear_attrs *a = inf->attrs;
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

#define ROW .domain = "ai.onnx.ml", .since = 1, .in = { 1, 1 }

const pln_op_desc pln_ops_ml_linear[] = {
    { ROW, .name = "Scaler", .out = { 1, 1 }, .types = "T:" PLN_ML_NUM, .sig = "T->float",
      .attrs = scaler_spec, .attrs_size = sizeof(scaler_attrs), .infer = float_infer,
      .ref = scaler_run },
    { ROW, .name = "Normalizer", .out = { 1, 1 }, .types = "T:" PLN_ML_NUM,
      .sig = "T->float", .attrs = normalizer_spec, .attrs_size = sizeof(normalizer_attrs),
      .infer = float_infer, .ref = normalizer_run },
    { ROW, .name = "Binarizer", .out = { 1, 1 }, .types = "T:" PLN_ML_NUM, .sig = "T->T",
      .attrs = binarizer_spec, .attrs_size = sizeof(binarizer_attrs),
      .infer = pln_infer_same, .ref = binarizer_run },
    { ROW, .name = "Imputer", .out = { 1, 1 }, .types = "T:" PLN_ML_NUM, .sig = "T->T",
      .attrs = imputer_spec, .attrs_size = sizeof(imputer_attrs), .infer = pln_infer_same,
      .ref = imputer_run },
    { ROW, .name = "LinearRegressor", .out = { 1, 1 }, .types = "T:" PLN_ML_NUM,
      .sig = "T->float", .attrs = regressor_spec, .attrs_size = sizeof(linear_attrs),
      .infer = linear_regressor_infer, .ref = linear_regressor_run },
    { ROW, .name = "LinearClassifier", .out = { 1, 2 },
      .types = "T:" PLN_ML_NUM ";L:string,int64", .sig = "T->L,float",
      .attrs = classifier_spec, .attrs_size = sizeof(linear_attrs),
      .infer = linear_classifier_infer, .ref = linear_classifier_run },
    { .name = NULL },
};
