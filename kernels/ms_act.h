/* Activations that the fused products of com.microsoft name in their attributes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MS_ACT_H
#define PLN_KERNELS_MS_ACT_H

#include "kernels/postop.h"

typedef struct pln_ms_act {
    int kind; /* 0: none */
    double a, b;
} pln_ms_act;

/* `given` parameters, in the order alpha, beta, gamma; NAN for those that are not given.
 * NULL and
 * "" name no activation. false: not one of them. */
bool pln_ms_act_of(const char *name, const float given[3], pln_ms_act *out);
double pln_ms_act_apply(const pln_ms_act *act, double x);
/* As a post-op of the fast kernels; false: there is none for it. */
bool pln_ms_act_post(const pln_ms_act *act, pln_postop *out);
/* All values of t. */
void pln_ms_act_run(const pln_ms_act *act, pln_tensor *t);

#endif
