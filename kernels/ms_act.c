/* Activations by name, as the fused products of com.microsoft have them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_act.h"

#include <math.h>
#include <string.h>

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double clip(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

#define NO_POST PLN_POST_COUNT

/* name, post-op, defaults of alpha and beta (Selu: gamma), definition */
#define ACTS(X)                                                          \
    X(Relu, RELU, 0, 0, x < 0 ? 0 : x)                                   \
    X(LeakyRelu, LEAKY_RELU, 0.01, 0, x < 0 ? a * x : x)                 \
    X(Sigmoid, SIGMOID, 0, 0, sigmoid(x))                                \
    X(Tanh, TANH, 0, 0, tanh(x))                                         \
    X(Clip, CLIP, -INFINITY, INFINITY, clip(x, a, b))                    \
    X(HardSigmoid, HARD_SIGMOID, 0.2, 0.5, clip(a *x + b, 0, 1))         \
    X(HardSwish, HARD_SWISH, 1.0 / 6, 0.5, x * clip(a * x + b, 0, 1))    \
    X(Elu, ELU, 1, 0, x < 0 ? a * expm1(x) : x)                          \
    X(Softplus, SOFTPLUS, 0, 0, softplus(x))                             \
    X(Mish, MISH, 0, 0, x *tanh(softplus(x)))                            \
    X(Gelu, GELU, 0, 0, 0.5 * x * (1 + erf(x * M_SQRT1_2)))              \
    X(FastGelu, GELU_TANH, 0, 0,                                         \
      0.5 * x * (1 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x))))   \
    X(QuickGelu, SWISH, 1.702, 0, x *sigmoid(a *x))                      \
    X(Swish, SWISH, 1, 0, x *sigmoid(a *x))                              \
    X(Silu, SWISH, 1, 0, x *sigmoid(a *x))                               \
    X(Abs, ABS, 0, 0, fabs(x))                                           \
    X(Neg, NEG, 0, 0, -x)                                                \
    X(Exp, EXP, 0, 0, exp(x))                                            \
    X(Sqrt, SQRT, 0, 0, sqrt(x))                                         \
    X(Affine, LINEAR, 1, 0, a *x + b)                                    \
    X(Celu, COUNT, 1, 0, x < 0 ? a * expm1(x / a) : x)                   \
    X(Selu, COUNT, 1.67326319217681884765625, 1.05070102214813232421875, \
      b *(x <= 0 ? a * expm1(x) : x))                                    \
    X(Softsign, COUNT, 0, 0, x / (1 + fabs(x)))                          \
    X(ThresholdedRelu, COUNT, 1, 0, x > a ? x : 0)                       \
    X(ScaledTanh, COUNT, 1, 1, a *tanh(b *x))                            \
    X(ParametricSoftplus, COUNT, 1, 1, a *softplus(b *x))                \
    X(Reciprocal, COUNT, 0, 0, 1 / x)                                    \
    X(Log, COUNT, 0, 0, log(x))                                          \
    X(Erf, COUNT, 0, 0, erf(x))

#define X(name, post, da, db, expr)                       \
    static double name##_of(double x, double a, double b) \
    {                                                     \
        (void)a, (void)b;                                 \
        return expr;                                      \
    }
ACTS(X)
#undef X

static const struct {
    const char *name;
    pln_postop_kind post;
    double a, b;
    double (*fn)(double x, double a, double b);
} table[] = { { "", NO_POST, 0, 0, NULL },
#define X(name, post, da, db, expr) { #name, PLN_POST_##post, da, db, name##_of },
              ACTS(X)
#undef X
};

bool pln_ms_act_of(const char *name, const float given[3], pln_ms_act *out)
{
    *out = (pln_ms_act){ .kind = 0 };
    if (!name)
        return true;
    for (int i = 0; i < (int)(sizeof table / sizeof table[0]); i++) {
        if (strcmp(name, table[i].name) != 0)
            continue;
        const double a = given[0], b = table[i].fn == Selu_of ? given[2] : given[1];
        *out = (pln_ms_act){ i, isnan(a) ? table[i].a : a, isnan(b) ? table[i].b : b };
        return true;
    }
    return false;
}

double pln_ms_act_apply(const pln_ms_act *act, double x)
{
    return act->kind ? table[act->kind].fn(x, act->a, act->b) : x;
}

bool pln_ms_act_post(const pln_ms_act *act, pln_postop *out)
{
    *out = (pln_postop){ .kind = table[act->kind].post,
                         .alpha = (float)act->a,
                         .beta = (float)act->b,
                         .operand = -1 };
    return out->kind != NO_POST;
}

void pln_ms_act_run(const pln_ms_act *act, pln_tensor *t)
{
    for (int64_t i = 0, n = act->kind ? pln_tensor_size(t) : 0; i < n; i++)
        pln_tensor_set_f64(t, i, pln_ms_act_apply(act, pln_tensor_get_f64(t, i)));
}
