/* sink-axes: a Transpose before an operator that works along axes moves behind it; the
 * operator takes the axes that these were before.
 *
 *     Softmax<axis = 1>(Transpose<perm = [0, 2, 1]>(x)) => Transpose(Softmax<axis =
 * 2>(x))
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <string.h>

static pln_status emit(pln_match *m, pln_patch *p, pln_node *n, const int64_t *perm,
                       int rank)
{
    pln_value *out = n ? n->out[0] : NULL;
    if (out && !pln_perm_is_identity(perm, rank))
        out = pln_patch_transpose(p, out, perm, rank);
    if (!out)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], out);
    return PLN_OK;
}

static bool axis_before(const pln_node *n, const int64_t *perm, int rank,
                        int64_t otherwise, int64_t *axis)
{
    *axis = pln_node_get_int(n, "axis", otherwise);
    *axis += *axis < 0 ? rank : 0;
    if (*axis < 0 || *axis >= rank)
        return false;
    *axis = perm[*axis];
    return true;
}

static pln_status along_one(pln_match *m, pln_patch *p)
{
    int64_t perm[PLN_MAX_RANK], axis;
    int rank;
    pln_value *x = pln_match_val(m, "x");
    if (!pln_perm_of(pln_match_node(m, "t"), perm, &rank) ||
        !axis_before(m->root, perm, rank, -1, &axis))
        return pln_match_refuse(m, "permutation or axis not known");
    pln_node *n = pln_patch_copy(p, m->root, &x, 1);
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    return emit(m, p, n, perm, rank);
}

/* All parts are transposed alike. */
static pln_status of_parts(pln_match *m, pln_patch *p)
{
    int64_t perm[PLN_MAX_RANK], other[PLN_MAX_RANK], axis;
    int rank = 0, r;
    const pln_node *c = m->root;
    pln_value **in = PLN_NEW_ARRAY(m->ctx->scratch, pln_value *, c->n_in);
    if (!in)
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < c->n_in; i++) {
        const pln_node *t = c->in[i]->def;
        if (!t || !pln_node_is(t, "Transpose") || t->graph != c->graph ||
            !pln_value_is_single_use(c->in[i]) || !pln_perm_of(t, i ? other : perm, &r))
            return pln_match_refuse(m, "a part that is not transposed for it alone");
        if (i && (r != rank || memcmp(perm, other, (size_t)r * sizeof perm[0]) != 0))
            return pln_match_refuse(m, "parts are transposed differently");
        rank = r;
        in[i] = t->in[0];
    }
    if (!axis_before(c, perm, rank, 0, &axis))
        return pln_match_refuse(m, "axis not known");
    pln_node *n = pln_patch_copy(p, c, in, c->n_in);
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    return emit(m, p, n, perm, rank);
}

static bool axes_before(const pln_value *v, const int64_t *perm, int rank, int64_t *axes,
                        size_t *n)
{
    if (!pln_value_get_ints(v, axes, PLN_MAX_RANK, n))
        return false;
    for (size_t i = 0; i < *n; i++) {
        axes[i] += axes[i] < 0 ? rank : 0;
        if (axes[i] < 0 || axes[i] >= rank)
            return false;
        axes[i] = perm[axes[i]];
    }
    return true;
}

/* Of the permutation, what it does to the axes that are left. */
static int leave_out(int64_t *perm, int rank, const int64_t *axes, size_t n)
{
    int left = 0;
    for (int i = 0; i < rank; i++) {
        int64_t lower = 0;
        bool gone = false;
        for (size_t k = 0; k < n; k++) {
            gone |= axes[k] == perm[i];
            lower += axes[k] < perm[i];
        }
        if (!gone)
            perm[left++] = perm[i] - lower;
    }
    return left;
}

static pln_status reduced(pln_match *m, pln_patch *p)
{
    int64_t perm[PLN_MAX_RANK], axes[PLN_MAX_RANK];
    int rank;
    size_t n_axes;
    if (!pln_perm_of(pln_match_node(m, "t"), perm, &rank) ||
        !axes_before(pln_match_val(m, "a"), perm, rank, axes, &n_axes) || !n_axes)
        return pln_match_refuse(m, "permutation or axes not known");
    pln_value *in[2] = { pln_match_val(m, "x"), pln_patch_ints(p, axes, n_axes, "axes") };
    pln_node *n = pln_patch_copy(p, m->root, in, 2);
    if (!pln_node_get_int(m->root, "keepdims", 1))
        rank = leave_out(perm, rank, axes, n_axes);
    return emit(m, p, n, perm, rank);
}

static pln_status sliced(pln_match *m, pln_patch *p)
{
    int64_t perm[PLN_MAX_RANK], axes[PLN_MAX_RANK];
    int rank;
    size_t n_axes;
    if (!pln_perm_of(pln_match_node(m, "t"), perm, &rank) ||
        !axes_before(pln_match_val(m, "a"), perm, rank, axes, &n_axes))
        return pln_match_refuse(m, "permutation or axes not known");
    pln_value *in[5] = { pln_match_val(m, "x"), m->root->in[1], m->root->in[2],
                         pln_patch_ints(p, axes, n_axes, "axes"),
                         m->root->n_in > 4 ? m->root->in[4] : NULL };
    return emit(m, p, pln_patch_copy(p, m->root, in, 5), perm, rank);
}

static pln_status padded(pln_match *m, pln_patch *p)
{
    int64_t perm[PLN_MAX_RANK], v[2 * PLN_MAX_RANK], pads[2 * PLN_MAX_RANK];
    int rank;
    size_t n;
    if (!pln_perm_of(pln_match_node(m, "t"), perm, &rank) ||
        !pln_value_get_ints(pln_match_val(m, "p"), v, 2 * PLN_MAX_RANK, &n) ||
        n != 2 * (size_t)rank || (m->root->n_in > 3 && m->root->in[3]))
        return pln_match_refuse(m, "permutation or pads not known");
    for (int i = 0; i < rank; i++) {
        pads[perm[i]] = v[i];
        pads[rank + perm[i]] = v[rank + i];
    }
    pln_value *in[3] = { pln_match_val(m, "x"), pln_patch_ints(p, pads, n, "pads"),
                         m->root->n_in > 2 ? m->root->in[2] : NULL };
    return emit(m, p, pln_patch_copy(p, m->root, in, 3), perm, rank);
}

static const pln_rule rules[] = {
    { .name = "softmax",
      .match = "Softmax|LogSoftmax<pln_flatten=0>(t=Transpose!(x))",
      .build = along_one,
      .contract = PLN_REASSOC },
    { .name = "concat", .match = "Concat(Transpose!(x), ...)", .build = of_parts },
    { .name = "reduce-extremum",
      .match = "ReduceMax|ReduceMin(t=Transpose!(x), a#)",
      .build = reduced },
    { .name = "reduce-sum",
      .match = "ReduceSum|ReduceMean|ReduceProd|ReduceL1|ReduceL2|ReduceSumSquare"
               "(t=Transpose!(x), a#)",
      .build = reduced,
      .contract = PLN_REASSOC },
    { .name = "slice",
      .match = "Slice(t=Transpose!(x), s, e, a#, ...)",
      .build = sliced },
    { .name = "pad", .match = "Pad(t=Transpose!(x), p#, ...)", .build = padded },
};

const pln_pass pln_pass_sink_axes = {
    .name = "sink-axes",
    .brief = "moves Transpose behind operators that work along axes",
    PLN_RULES(rules),
};
