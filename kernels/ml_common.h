/* What the operators of ai.onnx.ml share: score transforms, labels, typed rows.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_ML_COMMON_H
#define PLN_KERNELS_ML_COMMON_H

#include "kernels/move.h"

#define PLN_ML_NUM "float,double,int64,int32"

typedef enum pln_ml_post {
    ML_NONE,
    ML_SOFTMAX,
    ML_LOGISTIC,
    ML_SOFTMAX_ZERO,
    ML_PROBIT
} pln_ml_post;
#define PLN_ML_POSTS "NONE|SOFTMAX|LOGISTIC|SOFTMAX_ZERO|PROBIT"

/* Transforms n scores in place. */
void pln_ml_transform(pln_ml_post post, double *v, int64_t n);
double pln_ml_logistic(double x);

/* Class labels: integers or texts. */
typedef struct pln_ml_labels {
    pln_ints ints;
    pln_strings strings;
} pln_ml_labels;

static inline int64_t pln_ml_labels_count(const pln_ml_labels *l)
{
    return (int64_t)(l->strings.n ? l->strings.n : l->ints.n);
}
static inline pln_dtype pln_ml_labels_type(const pln_ml_labels *l)
{
    return l->strings.n ? PLN_DT_STRING : PLN_DT_S64;
}
/* Element i of y becomes label k (k itself where there are no labels). */
pln_status pln_ml_set_label(pln_tensor *y, int64_t i, const pln_ml_labels *l, int64_t k,
                            pln_error *err);

/* The scores of a classifier with two classes that computes one number, or of more.
 * score[k] of the n classes that has[k]; gives the winner and n scores to write. */
typedef struct pln_ml_scores {
    double *score;
    bool *has;
    int64_t n;
    pln_ml_post post;
} pln_ml_scores;

/* [N, C] of a matrix or [1, C] of a vector; false: another rank. */
bool pln_ml_matrix(const pln_tensor *x, int64_t *rows, int64_t *cols);
/* The same for inference: dims of input 0; unknown where they are. */
pln_status pln_ml_infer_rows(pln_infer *inf, pln_dim *rows, pln_dim *cols,
                             pln_error *err);
/* Row of the input as doubles. */
void pln_ml_row(const pln_tensor *x, int64_t row, int64_t cols, double *out);
/* Output o: [rows, n] of this type. */
void pln_ml_infer_matrix(pln_infer *inf, uint32_t o, pln_dtype dt, pln_dim rows,
                         pln_dim n);

#endif
