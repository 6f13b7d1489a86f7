/* The chain of nodes behind a product, as the post-ops of a fused operator.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"

#include <math.h>
#include <string.h>

/* ---- activations ---------------------------------------------------------------- */

/* Unary operators and the attributes that are the alpha and beta of their post-op. */
static const struct {
    const char *op, *post, *alpha, *beta;
    float alpha_default, beta_default;
} unary[] = {
    { "Relu", "relu", NULL, NULL, 0, 0 },
    { "LeakyRelu", "leaky_relu", "alpha", NULL, 0.01f, 0 },
    { "Sigmoid", "sigmoid", NULL, NULL, 0, 0 },
    { "Tanh", "tanh", NULL, NULL, 0, 0 },
    { "Swish", "swish", "alpha", NULL, 1, 0 },
    { "HardSigmoid", "hard_sigmoid", "alpha", "beta", 0.2f, 0.5f },
    { "HardSwish", "hard_swish", NULL, NULL, 1.0f / 6.0f, 0.5f },
    { "Elu", "elu", "alpha", NULL, 1, 0 },
    { "Softplus", "softplus", NULL, NULL, 0, 0 },
    { "Mish", "mish", NULL, NULL, 0, 0 },
    { "Exp", "exp", NULL, NULL, 0, 0 },
    { "Sqrt", "sqrt", NULL, NULL, 0, 0 },
    { "Abs", "abs", NULL, NULL, 0, 0 },
    { "Neg", "neg", NULL, NULL, 0, 0 },
};

static bool push(pln_chain *c, const char *name, float alpha, float beta,
                 pln_value *operand)
{
    if (c->n_post == PLN_CHAIN_MAX)
        return false;
    c->post[c->n_post++] = (pln_post){ name, alpha, beta, operand };
    return true;
}

static bool push_linear(pln_chain *c, double mul, double add)
{
    if (!isfinite(mul) || !isfinite(add))
        return false;
    if (c->n_post && !strcmp(c->post[c->n_post - 1].name, "linear")) {
        pln_post *last = &c->post[c->n_post - 1];
        last->beta = (float)(last->beta * mul + add);
        last->alpha = (float)(last->alpha * mul);
        return true;
    }
    if (!c->n_post && !c->base[c->bias_at] && add == 0 && c->channel_axis < 0 &&
        !c->plain) {
        c->alpha = (float)(c->alpha * mul);
        return true;
    }
    return push(c, "linear", (float)mul, (float)add, NULL);
}

static bool take_unary(pln_chain *c, const pln_node *n)
{
    for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++) {
        if (!pln_node_is(n, unary[i].op))
            continue;
        const float alpha =
            unary[i].alpha ? pln_node_get_float(n, unary[i].alpha, unary[i].alpha_default)
                           : unary[i].alpha_default;
        const float beta =
            unary[i].beta ? pln_node_get_float(n, unary[i].beta, unary[i].beta_default)
                          : unary[i].beta_default;
        return push(c, unary[i].post, alpha, beta, NULL);
    }
    if (pln_node_is(n, "Selu"))
        return c->n_post + 1 < PLN_CHAIN_MAX && /* it takes two */
               push(c, "elu", pln_node_get_float(n, "alpha", 1.6732632f), 0, NULL) &&
               push_linear(c, pln_node_get_float(n, "gamma", 1.050701f), 0);
    if (!pln_node_is(n, "Gelu"))
        return false;
    const bool tanh_form = !strcmp(pln_node_get_string(n, "approximate", "none"), "tanh");
    return push(c, tanh_form ? "gelu_tanh" : "gelu", 0, 0, NULL);
}

/* With bounds in the wrong order a Clip gives the upper one. */
static bool take_clip(pln_chain *c, const pln_node *n)
{
    double lo = -INFINITY, hi = INFINITY;
    if (!pln_node_is(n, "Clip"))
        return false;
    if (n->n_in > 1 && n->in[1] && !pln_value_is_splat(n->in[1], &lo))
        return false;
    if (n->n_in > 2 && n->in[2] && !pln_value_is_splat(n->in[2], &hi))
        return false;
    return lo <= hi && push(c, "clip", (float)lo, (float)hi, NULL);
}

/* ---- scalars and operands ------------------------------------------------------- */

static bool take_scalar(pln_chain *c, const pln_node *n, bool first, double v)
{
    if (pln_node_is(n, "Add"))
        return push_linear(c, 1, v);
    if (pln_node_is(n, "Mul"))
        return push_linear(c, v, 0);
    if (pln_node_is(n, "Sub"))
        return first ? push_linear(c, 1, -v) : push_linear(c, -1, v);
    if (pln_node_is(n, "Div"))
        return first && push_linear(c, 1 / v, 0);
    if (pln_node_is(n, "Max"))
        return push(c, "clip", (float)v, INFINITY, NULL);
    if (pln_node_is(n, "Min"))
        return push(c, "clip", -INFINITY, (float)v, NULL);
    return false;
}

/* Operators of two inputs: their post-op with the chain on the left, and on the right. */
static const struct {
    const char *op, *left, *right;
} binary[] = {
    { "Add", "add", "add" },    { "Sub", "sub", "rsub" }, { "Mul", "mul", "mul" },
    { "Div", "div", NULL },     { "Max", "max", "max" },  { "Min", "min", "min" },
    { "PRelu", "prelu", NULL },
};

static bool take_operand(pln_chain *c, const pln_node *n, bool first, pln_value *other)
{
    if (other->type.dtype != PLN_DT_F32 || pln_value_rank(other) < 0)
        return false;
    for (size_t i = 0; i < sizeof binary / sizeof binary[0]; i++) {
        if (!pln_node_is(n, binary[i].op))
            continue;
        const char *name = first ? binary[i].left : binary[i].right;
        return name && push(c, name, 0, 0, other);
    }
    return false;
}

static pln_dim channels_of(const pln_chain *c)
{
    const pln_type *t = &c->product->out[0]->type;
    const int axis = c->channel_axis < 0 ? t->shape.rank - 1 : c->channel_axis;
    return t->shape.rank > axis && axis >= 0 ? t->shape.dims[axis] : pln_dim_unknown();
}

/* A constant with one value for each channel, which is a bias. */
static bool take_bias(pln_chain *c, const pln_node *n, pln_value *other)
{
    if (c->base[c->bias_at] || c->n_post || !pln_node_is(n, "Add") ||
        other->type.dtype != PLN_DT_F32 || pln_node_get_float(c->product, "beta", 1) != 1)
        return false;
    const pln_dim channels = channels_of(c);
    const int rank = pln_value_rank(other);
    if (c->channel_axis >= 0 || rank != 1 || !pln_dim_is_known(channels) ||
        !pln_dim_equal(other->type.shape.dims[0], channels))
        return false;
    c->base[c->bias_at] = other;
    return true;
}

static bool take_binary(pln_chain *c, const pln_node *n)
{
    if (n->n_in != 2 || !n->in[0] || !n->in[1] || n->in[0] == n->in[1])
        return false;
    const bool first = n->in[0] == c->out;
    pln_value *other = n->in[first ? 1 : 0];
    double v;
    if (!pln_value_broadcasts_into(other, c->out) &&
        !pln_value_same_type(n->out[0], c->product->out[0]))
        return false;
    if (take_bias(c, n, other))
        return true;
    if (other->type.dtype == PLN_DT_F32 && pln_value_is_splat(other, &v) &&
        take_scalar(c, n, first, v))
        return true;
    return take_operand(c, n, first, other);
}

/* ---- gates: x * f(x) with two uses of x ----------------------------------------- */

static bool take_gate(pln_chain *c, pln_node **last)
{
    if (c->out->n_uses != 2)
        return false;
    pln_node *a = c->out->uses->node, *b = c->out->uses->next->node;
    if (!a || !b || a == b || a->graph != c->product->graph || b->graph != a->graph)
        return false;
    pln_node *gate = pln_node_is(a, "Mul") ? b : a;
    pln_node *mul = gate == a ? b : a;
    if (!pln_node_is(mul, "Mul") || pln_value_only_user(gate->out[0]) != mul ||
        mul->n_in != 2)
        return false;
    bool ok = false;
    if (pln_node_is(gate, "Sigmoid"))
        ok = push(c, "swish", 1, 0, NULL);
    else if (pln_node_is(gate, "HardSigmoid"))
        ok = push(c, "hard_swish", pln_node_get_float(gate, "alpha", 0.2f),
                  pln_node_get_float(gate, "beta", 0.5f), NULL);
    *last = mul;
    c->n_taken += ok;
    return ok;
}

/* ---- the chain ------------------------------------------------------------------ */

static bool read_posts(pln_chain *c)
{
    const pln_attr *names = pln_node_find_attr(c->product, "post");
    const pln_attr *alpha = pln_node_find_attr(c->product, "post_alpha");
    const pln_attr *beta = pln_node_find_attr(c->product, "post_beta");
    const size_t n = names ? names->n : 0;
    if (n > PLN_CHAIN_MAX || (n && (!alpha || !beta || alpha->n != n || beta->n != n)))
        return false;
    uint32_t operand = 3;
    for (size_t i = 0; i < n; i++) {
        bool takes = false;
        for (size_t k = 0; k < sizeof binary / sizeof binary[0]; k++)
            takes |= !strcmp(names->strings[i], binary[k].left) ||
                     (binary[k].right && !strcmp(names->strings[i], binary[k].right));
        if (takes && operand >= c->product->n_in)
            return false;
        push(c, names->strings[i], alpha->floats[i], beta->floats[i],
             takes ? c->product->in[operand++] : NULL);
    }
    return true;
}

void pln_chain_start(pln_chain *c, pln_node *last, const char *op, int channel_axis,
                     uint32_t n_base, uint32_t bias_at)
{
    *c = (pln_chain){ .product = last,
                      .op = op,
                      .channel_axis = channel_axis,
                      .alpha = 1,
                      .n_base = n_base,
                      .bias_at = bias_at,
                      .plain = true,
                      .out = last->out[0] };
}

bool pln_chain_begin(pln_chain *c, pln_node *product, const char *op, int channel_axis)
{
    pln_chain_start(c, product, op, channel_axis, 3, 2);
    if (product->n_in < 2 || !product->in[0] || !product->in[1])
        return false;
    for (uint32_t i = 0; i < 3 && i < product->n_in; i++)
        c->base[i] = product->in[i];
    c->plain = channel_axis >= 0;
    c->alpha = pln_node_get_float(product, "alpha", 1);
    c->trans_a = pln_node_get_int(product, "transA", 0) != 0;
    c->trans_b = pln_node_get_int(product, "transB", 0) != 0;
    if (c->base[0]->type.dtype != PLN_DT_F32 || c->base[1]->type.dtype != PLN_DT_F32)
        return false;
    return read_posts(c);
}

bool pln_chain_take_next(pln_chain *c)
{
    const pln_chain saved = *c;
    pln_node *n = pln_value_only_user(c->out);
    if (n && (n->graph != c->product->graph || !n->n_out || !n->out[0]))
        return false;
    const bool took =
        n ? take_unary(c, n) || take_clip(c, n) || take_binary(c, n) : take_gate(c, &n);
    if (!took || n->out[0]->type.dtype != PLN_DT_F32) {
        *c = saved;
        return false;
    }
    c->n_taken++;
    c->out = n->out[0];
    return true;
}

void pln_chain_follow(pln_chain *c)
{
    while (pln_chain_take_next(c))
        continue;
}

static pln_status set_posts(pln_node *n, const pln_chain *c)
{
    const char *names[PLN_CHAIN_MAX];
    float alpha[PLN_CHAIN_MAX], beta[PLN_CHAIN_MAX];
    for (int i = 0; i < c->n_post; i++) {
        names[i] = c->post[i].name;
        alpha[i] = c->post[i].alpha;
        beta[i] = c->post[i].beta;
    }
    if (!c->n_post)
        return PLN_OK;
    PLN_TRY(pln_node_set_strings(n, "post", names, (size_t)c->n_post));
    PLN_TRY(pln_node_set_floats(n, "post_alpha", alpha, (size_t)c->n_post));
    return pln_node_set_floats(n, "post_beta", beta, (size_t)c->n_post);
}

static pln_status set_attrs(pln_node *n, const pln_chain *c)
{
    if (c->n_base == 3) /* a product of the same family: it keeps its attributes */
        for (uint32_t i = 0; i < c->product->n_attrs; i++)
            PLN_TRY(pln_node_set_attr(n, c->product->attrs[i]));
    if (!c->plain) {
        if (c->alpha != 1)
            PLN_TRY(pln_node_set_float(n, "alpha", c->alpha));
        if (c->trans_a || pln_node_find_attr(n, "transA"))
            PLN_TRY(pln_node_set_int(n, "transA", c->trans_a));
        if (c->trans_b || pln_node_find_attr(n, "transB"))
            PLN_TRY(pln_node_set_int(n, "transB", c->trans_b));
    }
    return set_posts(n, c);
}

pln_status pln_chain_emit(pln_patch *p, const pln_chain *c, pln_node **out)
{
    pln_value *in[PLN_CHAIN_BASE + PLN_CHAIN_MAX] = { NULL };
    uint32_t n_in = c->n_base;
    memcpy(in, c->base, n_in * sizeof in[0]);
    for (int i = 0; i < c->n_post; i++)
        if (c->post[i].operand)
            in[n_in++] = c->post[i].operand;
    p->before = c->out->def; /* operands may come after the product */
    pln_node *n = pln_patch_add_in(p, "planish", c->op, in, n_in, 1);
    if (!n)
        return PLN_E_NOMEM;
    PLN_TRY(set_attrs(n, c));
    pln_patch_replace(p, c->out, n->out[0]);
    *out = n;
    return PLN_OK;
}

pln_status pln_chain_build(pln_match *m, pln_patch *p, const pln_chain *c)
{
    pln_node *n;
    if (!c->n_taken && !c->changed_inputs)
        return pln_match_refuse(m, "nothing behind it can go in");
    return pln_chain_emit(p, c, &n);
}
