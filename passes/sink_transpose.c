/* sink-transpose: a Transpose before an elementwise operator moves behind it, where it
 * meets the Transpose that undoes it, or the next operator.
 *
 *     Relu(Transpose(x)) => Transpose(Relu(x))
 *     Add(Transpose(x), c) => Transpose(Add(x, c'))    c' is c, transposed back
 *     Add(Transpose(x), Transpose(y)) => Transpose(Add(x, y))
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <string.h>

static pln_status add_transpose(pln_patch *p, pln_value *v, const int64_t *perm, int rank,
                                pln_value **out)
{
    pln_node *t = pln_patch_add(p, "Transpose", &v, 1, 1);
    *out = t ? t->out[0] : NULL;
    return t ? pln_node_set_ints(t, "perm", perm, (size_t)rank) : PLN_E_NOMEM;
}

static pln_status finish(pln_match *m, pln_patch *p, pln_value **in, uint32_t n_in,
                         const int64_t *perm, int rank)
{
    pln_value *out;
    pln_node *n = pln_patch_copy(p, m->root, in, n_in);
    if (!n)
        return PLN_E_NOMEM;
    PLN_TRY(add_transpose(p, n->out[0], perm, rank, &out));
    pln_patch_replace(p, m->root->out[0], out);
    return PLN_OK;
}

static pln_status unary(pln_match *m, pln_patch *p)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    pln_value *in[3] = { pln_match_val(m, "x"), NULL, NULL };
    for (uint32_t i = 1; i < m->root->n_in && i < 3; i++)
        in[i] = m->root->in[i];
    if (!pln_perm_of(pln_match_node(m, "t"), perm, &rank))
        return pln_match_refuse(m, "its permutation is not known");
    return finish(m, p, in, m->root->n_in, perm, rank);
}

/* The constant as it lies before the transposition: c'[.., i_perm[k], ..] = c[.., i_k,
 * ..] over as many dimensions as the transposed value has. */
static pln_status constant_before(pln_match *m, pln_patch *p, pln_value *c,
                                  const int64_t *perm, int rank, pln_value **out)
{
    int64_t dims[PLN_MAX_RANK], to[PLN_MAX_RANK], stride[PLN_MAX_RANK];
    pln_tensor *t = c->cst, *made = NULL;
    const int shift = rank - t->rank;
    *out = c;
    if (pln_tensor_size(t) == 1 && t->rank <= 1)
        return PLN_OK;
    if (shift < 0 || pln_tensor_materialize(t, NULL) != PLN_OK ||
        t->dtype == PLN_DT_STRING || pln_tensor_size(t) > (1 << 16))
        return pln_match_refuse(m, "the constant can't be moved");
    for (int k = 0; k < rank; k++) {
        dims[k] = k < shift ? 1 : t->dims[k - shift];
        to[perm[k]] = dims[k];
    }
    int64_t step = 1;
    for (int k = rank - 1; k >= 0; k--) {
        stride[k] = step;
        step *= to[k];
    }
    if (pln_tensor_make(m->ctx->model->alloc, (pln_dtype)t->dtype, rank, to, &made,
                        NULL) != PLN_OK)
        return PLN_E_NOMEM;
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0;
        for (int k = rank - 1; k >= 0; k--) {
            at += rest % dims[k] * stride[perm[k]];
            rest /= dims[k];
        }
        pln_tensor_copy(made, at, t, i, 1);
    }
    *out = pln_patch_const(p, made, c->name);
    return *out ? PLN_OK : PLN_E_NOMEM;
}

static pln_status with_constant(pln_match *m, pln_patch *p)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    pln_value *c = pln_match_val(m, "c");
    const int at = m->root->in[0] == c ? 1 : 0;
    pln_value *in[2];
    double factor;
    const pln_node *user = pln_value_only_user(m->root->out[0]);
    if (user && pln_node_is(user, "MatMul") && pln_value_is_splat(c, &factor))
        return pln_match_refuse(m, "the product behind it takes the factor");
    if (!pln_perm_of(pln_match_node(m, "t"), perm, &rank))
        return pln_match_refuse(m, "its permutation is not known");
    in[at] = pln_match_val(m, "x");
    PLN_TRY(constant_before(m, p, c, perm, rank, &in[1 - at]));
    return finish(m, p, in, 2, perm, rank);
}

static pln_status both(pln_match *m, pln_patch *p)
{
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    int ra, rb;
    pln_value *in[2] = { pln_match_val(m, "x"), pln_match_val(m, "y") };
    if (!pln_perm_of(pln_match_node(m, "t"), a, &ra) ||
        !pln_perm_of(pln_match_node(m, "u"), b, &rb) || ra != rb ||
        memcmp(a, b, (size_t)ra * sizeof a[0]) != 0)
        return pln_match_refuse(m, "the two are transposed differently");
    return finish(m, p, in, 2, a, ra);
}

#define UNARY                                                                      \
    "Relu|LeakyRelu|Sigmoid|Tanh|Gelu|HardSwish|HardSigmoid|Erf|Exp|Sqrt|Neg|Abs|" \
    "Softplus|Mish|Elu|Swish"

static const pln_rule rules[] = {
    { .name = "unary", .match = UNARY "(t=Transpose!(x))", .build = unary },
    { .name = "clip", .match = "Clip|Cast(t=Transpose!(x), ...)", .build = unary },
    { .name = "constant",
      .match = "Add|Mul|Max|Min~(t=Transpose!(x), c#)",
      .build = with_constant },
    { .name = "constant",
      .match = "Sub|Div|Pow|PRelu(t=Transpose!(x), c#)",
      .build = with_constant },
    { .name = "constant",
      .match = "Sub|Div(c#, t=Transpose!(x))",
      .build = with_constant },
    { .name = "both",
      .match = "Add|Mul|Sub|Div|Max|Min(t=Transpose(x), u=Transpose(y))",
      .build = both },
};

const pln_pass pln_pass_sink_transpose = {
    .name = "sink-transpose",
    .brief = "moves Transpose behind elementwise operators, where it may cancel",
    PLN_RULES(rules),
};
