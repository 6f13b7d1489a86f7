/* Recurrent operators: what LSTM, GRU and RNN share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_RNN_H
#define PLN_KERNELS_RNN_H

#include "src/ir/op.h"

#define PLN_RNN_MAX_ACTS 6 /* three for each of two directions */

/* An activation of a gate; fn works on one number. */
typedef struct pln_rnn_act {
    double (*fn)(double x, double alpha, double beta);
    float alpha, beta;
} pln_rnn_act;

double pln_rnn_sigmoid(double x, double alpha, double beta);
double pln_rnn_tanh(double x, double alpha, double beta);
double pln_rnn_relu(double x, double alpha, double beta);

typedef struct pln_rnn_attrs {
    pln_strings activations;
    pln_floats activation_alpha, activation_beta;
    float clip;
    bool has_clip;
    int64_t hidden_size, input_forget, layout, linear_before_reset;
    int direction;                     /* 0 forward, 1 reverse, 2 bidirectional */
    pln_rnn_act act[PLN_RNN_MAX_ACTS]; /* filled by the row's check */
    int n_acts;                        /* of one direction */
    int gates;                         /* 4 LSTM, 3 GRU, 1 RNN */
} pln_rnn_attrs;

/* Sizes and inputs of one call, checked. */
typedef struct pln_rnn_sizes {
    int64_t steps, batch, input, hidden, dirs, gates;
    const int32_t *lens; /* NULL: all are `steps` */
} pln_rnn_sizes;

/* Reads sizes off the inputs and checks them all; w, r may be known from the plan alone.
 */
pln_status pln_rnn_find_sizes(const pln_call *c, pln_rnn_sizes *s, pln_error *err);

/* Runs in double (reference) or float; `packed` NULL: W and R are transposed at each
 * call. */
pln_status pln_rnn_run_f64(pln_call *c, const void *packed, pln_error *err);
pln_status pln_rnn_run_f32(pln_call *c, const void *packed, pln_error *err);

/* Attributes of com.microsoft's quantized LSTM, and the check of every LSTM's. */
extern const pln_attr_spec pln_rnn_ms_lstm_spec[];
pln_status pln_rnn_lstm_check(pln_node *n, void *attrs, pln_error *err);

extern const pln_impl pln_rnn_cpu;

#endif
