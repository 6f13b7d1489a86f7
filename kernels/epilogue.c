/* Bias and post-ops by the vector loops of this processor.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/epilogue.h"
#include "kernels/vec.h"

#include <stddef.h>

/* Where the loop of each post-op lies in the table. */
static const uint16_t unary_at[PLN_POST_COUNT] = {
#define U(e, name) [PLN_POST_##e] = offsetof(pln_vec_fns, name)
    U(RELU, relu), U(LEAKY_RELU, leaky_relu), U(CLIP, clip), U(SIGMOID, sigmoid),
    U(TANH, tanh), U(GELU, gelu), U(GELU_TANH, gelu_tanh), U(SWISH, swish),
    U(HARD_SIGMOID, hard_sigmoid), U(HARD_SWISH, hard_swish), U(ELU, elu),
    U(SOFTPLUS, softplus), U(MISH, mish), U(EXP, exp), U(SQRT, sqrt), U(ABS, abs),
    U(NEG, neg), U(LINEAR, linear),
#undef U
};

static const uint16_t binary_at[PLN_POST_COUNT] = {
#define B(e, name) [PLN_POST_##e] = offsetof(pln_vec_fns, name)
    B(ADD, add), B(SUB, sub), B(RSUB, sub), B(MUL, mul), B(DIV, div), B(MAX, max),
    B(MIN, min), B(PRELU, prelu),
#undef B
};

/* Dimension of the result in memory that logical dimension d is. */
static int place(const pln_tensor *out, int d)
{
    if (out->layout != PLN_LAYOUT_CHANNELS_LAST || d < 1)
        return d;
    return d == 1 ? out->rank - 1 : d - 1;
}

/* Steps of operand o in the order of out's memory; false: it does not broadcast. */
static bool set_steps(pln_epilogue_step *s, const pln_tensor *o, const pln_tensor *out)
{
    const bool last = o->layout == PLN_LAYOUT_CHANNELS_LAST;
    if (last && o->rank != out->rank)
        return false;
    int64_t size = 1;
    for (int i = o->rank - 1; i >= 0; i--) {
        /* Logical dimension that lies at place i of o's memory. */
        const int d = !last || i == 0 ? i : i == o->rank - 1 ? 1 : i + 1;
        const int j = d + out->rank - o->rank;
        if (o->dims[d] != 1 && (j < 0 || o->dims[d] != out->dims[j]))
            return false;
        if (j >= 0)
            s->step[place(out, j)] = o->dims[d] == 1 ? 0 : size;
        size *= o->dims[d];
    }
    s->operand = o->data;
    return true;
}

static pln_status add_bias(pln_epilogue *e, const pln_call *c, const pln_tensor *bias,
                           int axis, const pln_tensor *out, pln_error *err)
{
    pln_epilogue_step *s = &e->step[e->n++];
    *s = (pln_epilogue_step){ .op = { .kind = PLN_POST_ADD, .operand = 2 } };
    if (axis < 0) {
        if (set_steps(s, bias, out))
            return PLN_OK;
    } else if (bias->rank == 1 && bias->dims[0] == out->dims[axis]) {
        s->operand = bias->data;
        s->step[place(out, axis)] = 1;
        return PLN_OK;
    }
    return pln_call_fail(c, err, PLN_E_RUN, "the bias does not fit the result");
}

pln_status pln_epilogue_set(pln_epilogue *e, const pln_call *c,
                            const pln_postop_list *list, const pln_tensor *bias,
                            int bias_axis, float scale, const pln_tensor *out,
                            pln_error *err)
{
    e->n = 0;
    e->rank = out->rank;
    for (int d = 0; d < out->rank; d++)
        e->dims[place(out, d)] = out->dims[d];
    if (scale != 1.0f)
        e->step[e->n++] = (pln_epilogue_step){
            .op = { .kind = PLN_POST_LINEAR, .alpha = scale, .operand = -1 } };
    if (bias)
        PLN_TRY(add_bias(e, c, bias, bias_axis, out, err));
    for (int i = 0; list && i < list->n; i++) {
        if (e->n == (int)(sizeof e->step / sizeof e->step[0]))
            return pln_call_fail(c, err, PLN_E_LIMIT, "too many post-ops");
        pln_epilogue_step *s = &e->step[e->n++];
        *s = (pln_epilogue_step){ .op = list->op[i] };
        const int at = s->op.operand;
        if (at < 0)
            continue;
        const pln_tensor *o = pln_call_has(c, (uint32_t)at) ? c->in[at] : NULL;
        if (!o || o->dtype != PLN_DT_F32 || !set_steps(s, o, out))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "operand %d of post-op '%s' does not broadcast", at,
                                 pln_postop_name(s->op.kind));
    }
    return PLN_OK;
}

static const float *operand_at(const pln_epilogue *e, const pln_epilogue_step *s,
                               int64_t row, int64_t col)
{
    int64_t at = e->rank ? col * s->step[e->rank - 1] : 0;
    for (int d = e->rank - 2; d >= 0; d--) {
        at += row % e->dims[d] * s->step[d];
        row /= e->dims[d];
    }
    return s->operand + at;
}

static void binary_row(const pln_epilogue_step *s, const pln_vec_fns *v, float *y,
                       const float *o, int64_t step, int64_t n)
{
    pln_vec_binary fn;
    __builtin_memcpy(&fn, (const char *)v + binary_at[s->op.kind], sizeof fn);
    if (step != 0 && step != 1) {
        for (int64_t i = 0; i < n; i++)
            y[i] = pln_postop_apply(&s->op, y[i], o[i * step]);
    } else if (s->op.kind == PLN_POST_RSUB) {
        fn(y, o, step, y, 1, n);
    } else {
        fn(y, y, 1, o, step, n);
    }
}

void pln_epilogue_row(const pln_epilogue *e, float *y, int64_t row, int64_t col,
                      int64_t cols)
{
    const pln_vec_fns *v = pln_vec();
    for (int i = 0; i < e->n; i++) {
        const pln_epilogue_step *s = &e->step[i];
        if (s->operand) {
            const int64_t step = e->rank ? s->step[e->rank - 1] : 0;
            binary_row(s, v, y, operand_at(e, s, row, col), step, cols);
            continue;
        }
        pln_vec_unary fn;
        __builtin_memcpy(&fn, (const char *)v + unary_at[s->op.kind], sizeof fn);
        fn(y, y, cols, s->op.alpha, s->op.beta);
    }
}

/* Whether a step's dimensions from `first` on advance like a single one; its step. */
static bool single_step(const pln_epilogue *e, const pln_epilogue_step *s, int first,
                        int64_t *step)
{
    int64_t size = 1;
    bool any = false;
    *step = 0;
    for (int d = e->rank - 1; d >= first; d--) {
        if (e->dims[d] != 1) {
            if (!any)
                *step = s->step[d];
            else if (s->step[d] != *step * size)
                return false;
            any = true;
        }
        size *= e->dims[d];
    }
    return true;
}

bool pln_epilogue_flatten(pln_epilogue *e, int first)
{
    int64_t step[PLN_POSTOPS_MAX + 2], size = 1;
    if (first >= e->rank)
        return e->rank == 0;
    for (int i = 0; i < e->n; i++) {
        if (!single_step(e, &e->step[i], first, &step[i]))
            return false;
    }
    for (int d = first; d < e->rank; d++)
        size *= e->dims[d];
    for (int i = 0; i < e->n; i++)
        e->step[i].step[first] = step[i];
    e->dims[first] = size;
    e->rank = first + 1;
    return true;
}
