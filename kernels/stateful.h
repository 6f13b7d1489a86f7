/* The recurrence of linear attention, which its operators share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_STATEFUL_H
#define PLN_KERNELS_STATEFUL_H

#include <stdint.h>

/* update_rule "linear|gated|delta|gated_delta": bit 0 gated, bit 1 delta. */
#define PLN_RULE_GATED 1
#define PLN_RULE_DELTA 2

/* One token: the state [k_dim][v_dim] decays by exp(decay), one for each row (n_decay
 * k_dim), for all (1) or none (0); then takes in the outer product of k and v, where with
 * the delta rule v becomes beta (v - what the state holds for k). */
void pln_state_step(double *state, int64_t k_dim, int64_t v_dim, const double *decay,
                    int64_t n_decay, int rule, double beta, const double *k, double *v);
/* y = scale q^T state */
void pln_state_read(const double *state, int64_t k_dim, int64_t v_dim, const double *q,
                    double scale, double *y);

#endif
