/* einsum: an Einsum that is another operator is that.
 *
 *     Einsum<"ijk->ikj">(x)           => Transpose(x)
 *     Einsum<"ijk->ik">(x)            => ReduceSum(x, [1])
 *     Einsum<"bij,bjk->bik">(a, b)    => MatMul(a, b)
 *     Einsum<"ij,ij->ij">(a, b)       => Mul(a, b)
 *     Einsum<"abc,dc->abd">(x, w)     => MatMul(x, Transpose(w)), w constant
 *     Einsum<"bihd,bjhd->bhij">(q, k) => MatMul(Transpose(q), Transpose(k)), in sessions
 *                                        and around the Softmax of an attention
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <string.h>

#define ELLIPSIS 52 /* the first of its labels; those of letters are less */

/* The labels of an operand, one for each axis. */
typedef struct term {
    int8_t label[PLN_MAX_RANK];
    int n;
} term;

typedef struct equation {
    term in[2], out;
} equation;

/* ---- reading --------------------------------------------------------------------- */

/* "..." stands for the axes that the letters leave of the rank. */
static const char *read_term(const char *at, int rank, term *t)
{
    int letters = 0;
    for (const char *c = at; *c && *c != ',' && *c != '-'; c++)
        letters += (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
    *t = (term){ .n = 0 };
    for (; *at && *at != ',' && *at != '-'; at++) {
        const bool dots = *at == '.';
        if (*at == ' ')
            continue;
        if (dots && (at[1] != '.' || at[2] != '.'))
            return NULL;
        for (int i = letters; dots && i < rank && t->n < PLN_MAX_RANK; i++)
            t->label[t->n++] = (int8_t)(ELLIPSIS + rank - 1 - i);
        if (!dots && t->n < PLN_MAX_RANK)
            t->label[t->n++] = (int8_t)(*at >= 'a' ? *at - 'a' : *at - 'A' + 26);
        at += dots ? 2 : 0;
    }
    return t->n == rank ? at : NULL;
}

static int find(const term *t, int label)
{
    for (int i = 0; i < t->n; i++)
        if (t->label[i] == label)
            return i;
    return -1;
}

static bool has_repeated(const term *t)
{
    for (int i = 0; i < t->n; i++)
        if (find(t, t->label[i]) != i)
            return true;
    return false;
}

static bool read_equation(const pln_node *n, equation *e)
{
    const char *at = pln_node_get_string(n, "equation", "");
    for (uint32_t i = 0; i < n->n_in; i++) {
        at = read_term(at, pln_value_rank(n->in[i]), &e->in[i]);
        if (!at || *at != (i + 1 < n->n_in ? ',' : '-') || has_repeated(&e->in[i]))
            return false;
        at++;
    }
    at = *at == '>' ? read_term(at + 1, pln_value_rank(n->out[0]), &e->out) : NULL;
    return at && !*at && !has_repeated(&e->out);
}

/* ---- one operand ----------------------------------------------------------------- */

/* Which axes of `from` those of `to` are. */
static void perm_of(const term *from, const term *to, int64_t *perm)
{
    for (int i = 0; i < to->n; i++)
        perm[i] = find(from, to->label[i]);
}

static pln_status one_operand(pln_match *m, pln_patch *p)
{
    equation e;
    int64_t perm[PLN_MAX_RANK], gone[PLN_MAX_RANK];
    size_t n_gone = 0;
    bool in_order = true;
    pln_value *x = pln_match_val(m, "x"), *y = NULL;
    if (!read_equation(m->root, &e))
        return pln_match_refuse(m, "a diagonal, or not in the long form");
    perm_of(&e.in[0], &e.out, perm);
    for (int i = 0; i < e.in[0].n; i++)
        if (find(&e.out, e.in[0].label[i]) < 0)
            gone[n_gone++] = i;
    for (int i = 1; i < e.out.n; i++)
        in_order &= perm[i] > perm[i - 1];
    if (n_gone && !in_order)
        return pln_match_refuse(m, "a sum and a transposition");
    if (!n_gone) {
        y = in_order ? x : pln_patch_transpose(p, x, perm, e.out.n);
    } else {
        pln_value *in[2] = { x, pln_patch_ints(p, gone, n_gone, "axes") };
        pln_node *r = in[1] ? pln_patch_add(p, "ReduceSum", in, 2, 1) : NULL;
        y = r && pln_node_set_int(r, "keepdims", 0) == PLN_OK ? r->out[0] : NULL;
    }
    pln_patch_replace(p, m->root->out[0], y);
    return PLN_OK;
}

/* ---- two operands ---------------------------------------------------------------- */

/* The axes of the result that the operand has, but its last `without`, are the last of
 * them. */
static bool is_suffix(const term *t, const term *out, int without)
{
    int first = out->n - without;
    for (int i = 0; i < out->n - without; i++)
        if (find(t, out->label[i]) >= 0 && first == out->n - without)
            first = i;
    for (int i = first; i < out->n - without; i++)
        if (find(t, out->label[i]) < 0)
            return false;
    return true;
}

/* The operand with the axes of the result that it has, but the last two, and then a, b.
 */
static term wanted(const term *t, const term *out, int a, int b)
{
    term w = { .n = 0 };
    for (int i = 0; i < out->n - 2; i++)
        if (find(t, out->label[i]) >= 0)
            w.label[w.n++] = out->label[i];
    w.label[w.n++] = (int8_t)a;
    w.label[w.n++] = (int8_t)b;
    return w;
}

static pln_status elementwise(pln_match *m, pln_patch *p, const equation *e)
{
    for (int i = 0; i < 2; i++) {
        const term *t = &e->in[i];
        for (int k = 0; k < t->n; k++)
            if (t->n > e->out.n || t->label[k] != e->out.label[e->out.n - t->n + k])
                return pln_match_refuse(m, "axes between those of an operand");
    }
    pln_patch_replace(p, m->root->out[0],
                      pln_patch_op2(p, "Mul", m->root->in[0], m->root->in[1]));
    return PLN_OK;
}

/* Operand i as it is wanted; a Transpose where it lies in another order. */
static pln_value *operand(pln_patch *p, const pln_node *n, const equation *e, int i,
                          const term *want)
{
    int64_t perm[PLN_MAX_RANK];
    if (want->n != e->in[i].n)
        return NULL;
    perm_of(&e->in[i], want, perm);
    return pln_perm_is_identity(perm, want->n)
               ? n->in[i]
               : pln_patch_transpose(p, n->in[i], perm, want->n);
}

#define REACH 6 /* nodes between a product of attention and its Softmax */

static bool meets_softmax(const pln_node *n)
{
    const pln_value *behind = n->out[0], *before = n->in[0];
    for (int i = 0; i < REACH && (behind || before); i++) {
        const pln_node *next = behind ? pln_value_only_user(behind) : NULL;
        const pln_node *last = before ? before->def : NULL;
        if ((next && pln_node_is(next, "Softmax")) ||
            (last && pln_node_is(last, "Softmax")))
            return true;
        behind = next && next->n_out ? next->out[0] : NULL;
        before = last && last->n_in ? last->in[0] : NULL;
    }
    return false;
}

/* Products of a session take them into themselves; those of attention vanish with it. */
static bool takes_transposes(const pln_match *m)
{
    const pln_pass_options *o = m->ctx->options;
    return o->session || (o->target != PLN_TARGET_ONNX && meets_softmax(m->root));
}

/* As one MatMul, rows of one operand and columns of the other; NULL: it is none. */
static pln_value *matrices(pln_match *m, pln_patch *p, const equation *e, int sum)
{
    const pln_node *n = m->root;
    const int row = e->out.label[e->out.n - 2], column = e->out.label[e->out.n - 1];
    const int a = find(&e->in[0], row) >= 0 ? 0 : 1, b = 1 - a;
    if (find(&e->in[b], row) >= 0 || find(&e->in[a], column) >= 0 ||
        !is_suffix(&e->in[0], &e->out, 2) || !is_suffix(&e->in[1], &e->out, 2))
        return NULL;
    const term left = wanted(&e->in[a], &e->out, row, sum);
    const term right = wanted(&e->in[b], &e->out, sum, column);
    pln_value *u = operand(p, n, e, a, &left),
              *v = u ? operand(p, n, e, b, &right) : NULL;
    const bool moved = (u != n->in[a] && !pln_value_is_const(n->in[a])) ||
                       (v != n->in[b] && !pln_value_is_const(n->in[b]));
    if (!v || (moved && !takes_transposes(m)))
        return NULL;
    return pln_patch_op2(p, "MatMul", u, v);
}

/* The axes of both operands first, then those of the first one and of the second. */
static term by_operand(const equation *e)
{
    static const int parts[] = { 3, 1, 2 };
    term t = { .n = 0 };
    for (int part = 0; part < 3; part++)
        for (int i = 0; i < e->out.n; i++) {
            const int label = e->out.label[i];
            const int in =
                (find(&e->in[0], label) >= 0) + 2 * (find(&e->in[1], label) >= 0);
            if (in == parts[part])
                t.label[t.n++] = (int8_t)label;
        }
    return t;
}

static pln_status product(pln_match *m, pln_patch *p, const equation *e, int sum)
{
    int64_t perm[PLN_MAX_RANK];
    if (e->out.n < 2)
        return pln_match_refuse(m, "a vector");
    pln_value *y = matrices(m, p, e, sum);
    if (!y && takes_transposes(m)) {
        equation other = *e;
        other.out = by_operand(e);
        y = other.out.n == e->out.n ? matrices(m, p, &other, sum) : NULL;
        perm_of(&other.out, &e->out, perm);
        y = y ? pln_patch_transpose(p, y, perm, e->out.n) : NULL;
    }
    if (!y)
        return pln_match_refuse(m, "no product of matrices, or one with Transposes");
    pln_patch_replace(p, m->root->out[0], y);
    return PLN_OK;
}

static pln_status two_operands(pln_match *m, pln_patch *p)
{
    equation e;
    int sum = -1, n_sums = 0;
    const pln_node *n = m->root;
    const pln_dtype dt = n->out[0]->type.dtype;
    if ((dt != PLN_DT_F32 && dt != PLN_DT_F64) || !read_equation(n, &e))
        return pln_match_refuse(m, "not floats, a diagonal, or not in the long form");
    for (int i = 0; i < e.in[0].n; i++) {
        const int label = e.in[0].label[i], at = find(&e.in[1], label);
        if (find(&e.out, label) >= 0)
            continue;
        const pln_dim d = n->in[0]->type.shape.dims[i];
        if (at < 0 || pln_dim_is_unknown(d) ||
            !pln_dim_equal(d, n->in[1]->type.shape.dims[at]))
            return pln_match_refuse(m, "an operand is summed alone, or by one element");
        sum = label;
        n_sums++;
    }
    if (n_sums > 1)
        return pln_match_refuse(m, "sums over several axes");
    return n_sums ? product(m, p, &e, sum) : elementwise(m, p, &e);
}

static const pln_rule rules[] = {
    { .name = "einsum-one",
      .match = "Einsum(x)",
      .build = one_operand,
      .contract = PLN_REASSOC },
    { .name = "einsum-two",
      .match = "Einsum(a, b)",
      .build = two_operands,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_einsum = {
    .name = "einsum",
    .brief = "an Einsum that is a product, a sum or a transposition as that",
    PLN_RULES(rules),
};
