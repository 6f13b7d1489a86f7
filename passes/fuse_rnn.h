/* What the files of fuse-rnn share: one step of a recurrent network, taken apart.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_FUSE_RNN_H
#define PLN_PASSES_FUSE_RNN_H

#include "passes/known.h"

#define PLN_CELL_BIASES 6
#define PLN_PICK_EACH   INT64_MIN       /* the number of the iteration, in a body */
#define PLN_PICK_BACK   (INT64_MIN + 1) /* from the last one to the first */

/* Place `at` of one axis of `of`; axis -1: all of it. */
typedef struct pln_pick {
    pln_value *value; /* NULL: no value of the graph is it */
    pln_value *of;
    int axis;
    int64_t at;
} pln_pick;

/* Columns of a constant from `col` on, as rows of what is multiplied begin at `row`;
 * turned: rows and columns are swapped. */
typedef struct pln_matrix {
    pln_value *w; /* NULL: none */
    bool turned;
    int64_t row, col;
} pln_matrix;

/* sum of x M, of biases and of `gated`, a product element by element, of the columns of
 * one gate: diag * diag_of, where one factor is a constant vector. */
typedef struct pln_linear {
    pln_pick x[2];
    pln_matrix m[2];
    int n;
    pln_value *bias[PLN_CELL_BIASES];
    int64_t bias_col[PLN_CELL_BIASES];
    int n_biases;
    pln_value *diag, *diag_of;
    pln_node *gated;
} pln_linear;

/* An activation as the recurrent operators name it. */
typedef struct pln_cell_act {
    const char *name;
    bool has_alpha, has_beta;
    float alpha, beta;
} pln_cell_act;

typedef enum pln_cell_kind { PLN_CELL_LSTM, PLN_CELL_GRU, PLN_CELL_RNN } pln_cell_kind;

/* Gates in the order of the standard: i o f c, z r h, or the only one. */
typedef struct pln_cell {
    pln_cell_kind kind;
    pln_node *native; /* LSTM, GRU or RNN of one step; NULL: spelled out */
    pln_value *h, *c; /* that it gives; c NULL: none */
    pln_value *h_prev,
        *c_prev; /* NULL: zeros; h_prev may not be known before it is settled */
    pln_cell_act act[3];
    int n_acts;
    pln_linear gate[4];
    pln_linear behind;  /* GRU: what the reset gate multiplies, where that is a sum */
    bool resets_behind; /* linear_before_reset */
    bool flipped;       /* GRU: the first gate is 1 - z */
    int64_t hidden;
    pln_pick x; /* settled: */
    pln_matrix w[4], r[4];
} pln_cell;

int pln_cell_gates(const pln_cell *c);

/* ---- fuse_rnn_linear.c ----------------------------------------------------------- */

pln_pick pln_pick_of(pln_value *v);
bool pln_pick_equal(const pln_pick *a, const pln_pick *b);
/* v is an activation of x. */
bool pln_cell_act_of(const pln_value *v, pln_cell_act *act, pln_value **x);
bool pln_cell_act_equal(const pln_cell_act *a, const pln_cell_act *b);
/* Reads the columns of v from `col` on. */
bool pln_linear_read(pln_value *v, int64_t col, pln_linear *out);
/* The biases are the same in all rows, and reach over `hidden` columns. */
bool pln_linear_fits(const pln_linear *l, int64_t hidden);
/* The sum of the biases of column i. */
double pln_linear_bias(const pln_linear *l, int64_t i);

/* ---- fuse_rnn_cell.c ------------------------------------------------------------- */

/* The cell that gives h. false: none does. */
bool pln_cell_read(pln_value *h, pln_cell *out);
/* Says which of what it multiplies is the state (NULL: zeros) and which the input. */
bool pln_cell_settle(pln_cell *c, pln_value *h_prev);
/* Both settled: the same weights, given that a cell that begins with zeros lacks some. */
bool pln_cell_same(const pln_cell *a, const pln_cell *b);
/* Without the dimension of size 1 in front that Unsqueeze and Squeeze add and take. */
pln_value *pln_cell_state(pln_value *v);

/* ---- fuse_rnn_emit.c ------------------------------------------------------------- */

/* A sequence of steps of one cell. */
typedef struct pln_sequence {
    const pln_cell *cell; /* settled, with all weights */
    pln_value *x;         /* [steps, batch, input] */
    pln_value *h0, *c0;   /* of any rank; NULL: zeros */
    bool reverse;
} pln_sequence;

/* The node with n_out outputs; `y` says whether all hidden states are needed, the first
 * of them. NULL: remembered in the patch. */
pln_node *pln_sequence_emit(pln_patch *p, const pln_sequence *s, bool y, uint32_t n_out);
/* A state of the node (output 1 or 2) in the rank of `like`. */
pln_value *pln_sequence_state(pln_patch *p, pln_node *n, uint32_t i,
                              const pln_value *like);
/* Bytes that the weights take. */
int64_t pln_sequence_bytes(const pln_cell *c);

/* ---- fuse_rnn_loop.c ------------------------------------------------------------- */

/* Loop or Scan whose body is one cell. *done: it was replaced. */
pln_status pln_rnn_of_loop(pln_pass_ctx *ctx, pln_node *n, bool *done, pln_error *err);

#endif
