/* Post-ops of the fused products: names, parsing, and the definition of each.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/postop.h"
#include "src/util/parallel.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    bool binary;
} table[PLN_POST_COUNT] = {
#define X(e, text, is_binary) [PLN_POST_##e] = { text, is_binary },
    PLN_POSTOPS(X)
#undef X
};

const char *pln_postop_name(pln_postop_kind kind)
{
    return kind < PLN_POST_COUNT ? table[kind].name : "?";
}

bool pln_postop_is_binary(pln_postop_kind kind)
{
    return kind < PLN_POST_COUNT && table[kind].binary;
}

bool pln_postop_kind_of(const char *name, pln_postop_kind *out)
{
    for (int i = 0; name && i < PLN_POST_COUNT; i++) {
        if (strcmp(name, table[i].name) == 0) {
            *out = (pln_postop_kind)i;
            return true;
        }
    }
    return false;
}

pln_status pln_postops_parse(const pln_node *n, const pln_postop_attrs *attrs,
                             int first_operand, pln_postop_list *out, pln_error *err)
{
    char where[160];
    pln_node_where(n, where, sizeof where);
    *out = (pln_postop_list){ .n = 0 };
    const size_t count = attrs->post.n;
    if (attrs->post_alpha.n != count || attrs->post_beta.n != count)
        return pln_fail(err, PLN_E_FORMAT,
                        "%s: %zu post-ops with %zu alphas and %zu betas", where, count,
                        attrs->post_alpha.n, attrs->post_beta.n);
    if (count > PLN_POSTOPS_MAX)
        return pln_fail(err, PLN_E_LIMIT, "%s: %zu post-ops, at most %d are taken", where,
                        count, PLN_POSTOPS_MAX);
    int operand = first_operand;
    for (size_t i = 0; i < count; i++) {
        pln_postop *p = &out->op[i];
        if (!pln_postop_kind_of(attrs->post.v[i], &p->kind))
            return pln_fail(err, PLN_E_FORMAT, "%s: unknown post-op '%s'", where,
                            attrs->post.v[i]);
        p->alpha = attrs->post_alpha.v[i];
        p->beta = attrs->post_beta.v[i];
        p->operand = -1;
        if (!pln_postop_is_binary(p->kind))
            continue;
        if ((uint32_t)operand >= n->n_in || !n->in[operand])
            return pln_fail(err, PLN_E_FORMAT, "%s: post-op '%s' has no operand %d",
                            where, attrs->post.v[i], operand);
        p->operand = operand++;
    }
    out->n = (int)count;
    return PLN_OK;
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static float softplus(float x)
{
    return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

static float clip01(float x)
{
    return x < 0 ? 0.0f : x > 1 ? 1.0f : x;
}

float pln_postop_apply(const pln_postop *op, float x, float y)
{
    const float a = op->alpha, b = op->beta;
    switch (op->kind) {
    case PLN_POST_RELU: return x < 0 ? 0.0f : x;
    case PLN_POST_LEAKY_RELU: return x < 0 ? a * x : x;
    case PLN_POST_CLIP: return x < a ? a : x > b ? b : x;
    case PLN_POST_SIGMOID: return sigmoid(x);
    case PLN_POST_TANH: return tanhf(x);
    case PLN_POST_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case PLN_POST_GELU_TANH:
        return 0.5f * x *
               (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case PLN_POST_SWISH: return x * sigmoid(a * x);
    case PLN_POST_HARD_SIGMOID: return clip01(a * x + b);
    case PLN_POST_HARD_SWISH: return x * clip01(a * x + b);
    case PLN_POST_ELU: return x < 0 ? a * expm1f(x) : x;
    case PLN_POST_SOFTPLUS: return softplus(x);
    case PLN_POST_MISH: return x * tanhf(softplus(x));
    case PLN_POST_EXP: return expf(x);
    case PLN_POST_SQRT: return sqrtf(x);
    case PLN_POST_ABS: return fabsf(x);
    case PLN_POST_NEG: return -x;
    case PLN_POST_LINEAR: return a * x + b;
    case PLN_POST_ADD: return x + y;
    case PLN_POST_SUB: return x - y;
    case PLN_POST_RSUB: return y - x;
    case PLN_POST_MUL: return x * y;
    case PLN_POST_DIV: return x / y;
    case PLN_POST_MAX: return x != x ? x : y > x || y != y ? y : x;
    case PLN_POST_MIN: return x != x ? x : y < x || y != y ? y : x;
    case PLN_POST_PRELU: return x < 0 ? y * x : x;
    case PLN_POST_COUNT: break;
    }
    return x;
}

/* One post-op over a tensor; steps of the operand by output dimension. */
typedef struct pass {
    const pln_postop *op;
    float *y;
    const float *operand;
    int rank;
    int64_t dims[PLN_MAX_RANK], step[PLN_MAX_RANK];
} pass;

static void run_pass(void *arg, int64_t begin, int64_t end)
{
    const pass *p = arg;
    const int last = p->rank - 1;
    const int64_t cols = p->rank ? p->dims[last] : 1, step = p->rank ? p->step[last] : 0;
    for (int64_t r = begin; r < end; r++) {
        float *y = p->y + r * cols;
        int64_t at = 0, rest = r;
        for (int d = last - 1; d >= 0; d--) {
            at += rest % p->dims[d] * p->step[d];
            rest /= p->dims[d];
        }
        const float *o = p->operand ? p->operand + at : NULL;
        for (int64_t i = 0; i < cols; i++)
            y[i] = pln_postop_apply(p->op, y[i], o ? o[i * step] : 0.0f);
    }
}

/* false: the operand does not broadcast to the output. */
static bool set_steps(pass *p, const pln_tensor *o)
{
    int64_t size = 1;
    for (int d = o->rank - 1, j = p->rank - 1; d >= 0; d--, j--) {
        if (o->dims[d] != 1 && (j < 0 || o->dims[d] != p->dims[j]))
            return false;
        if (j >= 0)
            p->step[j] = o->dims[d] == 1 ? 0 : size;
        size *= o->dims[d];
    }
    p->operand = o->data;
    return true;
}

pln_status pln_postops_apply(const pln_call *c, const pln_postop_list *list,
                             pln_tensor *out, pln_error *err)
{
    const int64_t n = pln_tensor_size(out);
    for (int i = 0; n && i < list->n; i++) {
        pass p = { .op = &list->op[i], .y = out->data, .rank = out->rank };
        for (int d = 0; d < out->rank; d++)
            p.dims[d] = out->dims[d];
        if (p.op->operand >= 0) {
            const pln_tensor *o = pln_call_has(c, (uint32_t)p.op->operand)
                                      ? c->in[p.op->operand] : NULL;
            if (!o || o->dtype != PLN_DT_F32 || !set_steps(&p, o))
                return pln_call_fail(c, err, PLN_E_RUN,
                                     "operand %d of post-op '%s' does not broadcast",
                                     p.op->operand, pln_postop_name(p.op->kind));
        }
        const int64_t cols = p.rank ? p.dims[p.rank - 1] : 1;
        pln_parallel_for(c->n_threads, n / cols, 1 + 4096 / cols, run_pass, &p);
    }
    return PLN_OK;
}
