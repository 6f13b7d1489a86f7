/* Norms that were spelled out: what their patterns share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_NORM_H
#define PLN_PASSES_NORM_H

#include "passes/pass.h"

/* e, its root, and what is the inverse of that, of a mean square. */
#define PLN_NORM_ROOTS(mean, e, root, inv)                     \
    e " = Add~(" mean ", e#);"                                 \
    root " = {Sqrt(" e ") | Pow(" e ", 0.5)};"                 \
    inv " = {Reciprocal(" root ") | Div(1, " root ") | Pow(" e ", -0.5)};"

/* $norm is n divided by the root of its mean square over the axes `a`, where n may be x
 * less its mean; $inv is 1 / that root. The mean may be a sum over `k` or times `q`, or
 * the sum itself. The variance of n = x - m may be E[x^2] - m^2, or that of v, with a
 * mean of its own whose axis is counted from the other end: $var and what comes of it. */
#define PLN_NORM_PARTS                                                                   \
    "$sq = {Mul(n, n) | Pow(n, 2)};"                                                     \
    "$sum = s={ReduceSumSquare<keepdims=1>(n, a#) | ReduceSum<keepdims=1>($sq, a#)"      \
    "| Pow(ReduceL2<keepdims=1>(n, a#), 2)};"                                            \
    "$mean = {ReduceMean<keepdims=1>($sq, a#) | Div($sum, k#) | Mul~($sum, q#) | $sum};" \
    PLN_NORM_ROOTS("$mean", "$e", "$root", "$inv")                                       \
    "$var = {Sub(ReduceMean<keepdims=1>({Mul(x, x) | Pow(x, 2)}, a#), {Mul(m, m) | Pow(m, 2)})" \
    "| ReduceMean<keepdims=1>({Mul(v=Sub(x, _), v) | Pow(v=Sub(x, _), 2)}, a#)};"        \
    PLN_NORM_ROOTS("{$var | Relu($var) | Max~($var, 0)}", "$ve", "$vroot", "$vinv")      \
    "$norm = {Div!(n, $root) | Mul~!(n, $inv)"                                           \
    "| Div!(n=Sub(x, m), $vroot) | Mul~!(n=Sub(x, m), $vinv)};"                          \
    "$out = {$norm | Cast!($norm)}; $ginv = {Mul~!($inv, g) | Div!(g, $root)};"

/* What follows the parts: a norm with scale and bias, with one of them, or with
 * neither. */
#define PLN_NORM_SCALED                                                        \
    "{Mul~!($out, g) | Mul~!(n, $ginv) | Div!(Mul~!(n, g), $root)"             \
    "| Mul~!(n=Sub(x, m), {Mul~!($vinv, g) | Div!(g, $vroot)})}"
#define PLN_NORM_FULL  PLN_NORM_PARTS "Add~(" PLN_NORM_SCALED ", c)"
#define PLN_NORM_SCALE PLN_NORM_PARTS PLN_NORM_SCALED
#define PLN_NORM_BIAS  PLN_NORM_PARTS "Add~($out, c)"
#define PLN_NORM_BARE  PLN_NORM_PARTS "$norm"

typedef struct pln_norm {
    pln_value *x;
    bool centred;
    int rank, n_axes;
    int64_t axes[PLN_MAX_RANK]; /* from the front where the rank is known */
    double epsilon;             /* of the mean */
    double factor;              /* of the result */
} pln_norm;

/* Reads a match of those; refuses where it is no norm. */
pln_status pln_norm_read(pln_match *m, pln_norm *out);
/* Its axes are the last `-*axis` ones. */
bool pln_norm_is_of_last(const pln_norm *o, int64_t *axis);
/* Its axes are all those behind the channels. */
bool pln_norm_is_by_channel(const pln_norm *o);
/* v has one number for each channel of x, and none along other dimensions. */
bool pln_value_is_by_channel(const pln_value *v, const pln_value *x);
/* Scale or bias of the patterns (NULL: all `otherwise`), times `factor`, in the type of
 * x. */
pln_value *pln_norm_operand(pln_match *m, pln_patch *p, const pln_norm *o,
                            const char *name, double factor, double otherwise,
                            const int64_t *dims, int rank);

#endif
