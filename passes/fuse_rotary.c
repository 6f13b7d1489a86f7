/* fuse-rotary: rotary position embeddings that were spelled out become RotaryEmbedding.
 *
 *     y = x * cos + rotate(x) * sin
 *
 * where rotate(x) is (-x2, x1) of the halves of x, side by side or pair by pair, and cos
 * and sin hold each angle twice, in the same order; or the two products of each half on
 * their own, put together at the end. passes/rotary_angles.c finds the angles.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/rotary.h"

#include <string.h>

/* ---- halves of x ------------------------------------------------------------------ */

static bool same_value(const pln_value *a, const pln_value **of)
{
    if (*of && *of != a)
        return false;
    *of = a;
    return true;
}

static bool adds_last_axis(const pln_node *n)
{
    int64_t axis;
    size_t count;
    return pln_node_is(n, "Unsqueeze") && n->n_in == 2 && n->in[1] &&
           pln_value_get_ints(n->in[1], &axis, 1, &count) && count == 1 &&
           (axis == -1 || axis == pln_value_rank(n->in[0]));
}

/* v is `of` with its last dimension cut into pairs. */
static bool is_paired(const pln_value *v, const pln_value **of)
{
    const pln_node *n = v->def;
    const int rank = pln_value_rank(v);
    if (!n || !pln_node_is(n, "Reshape") || rank < 2 ||
        pln_value_rank(n->in[0]) != rank - 1 || pln_value_size_at(v, rank - 1) != 2 ||
        pln_value_size_at(v, rank - 2) < 1 ||
        pln_value_size_at(n->in[0], rank - 2) != 2 * pln_value_size_at(v, rank - 2))
        return false;
    for (int i = 0; i < rank - 2; i++)
        if (!pln_dim_equal(v->type.shape.dims[i], n->in[0]->type.shape.dims[i]))
            return false;
    return same_value(n->in[0], of);
}

/* v is column `which` of the pairs of `of`, as [.., half, 1]. */
static bool is_column(const pln_value *v, int which, const pln_value **of);

/* v is elements which, which + 2, .. of `of`, as [.., half]. */
static bool is_lane(const pln_value *v, int which, const pln_value **of)
{
    pln_piece p;
    int64_t k;
    size_t n;
    const pln_node *d = v->def;
    if (!d)
        return false;
    if (pln_piece_of(v, &p))
        return p.step == 2 && p.start == which && p.axis == pln_value_rank(v) - 1 &&
               pln_value_size_at(p.of, p.axis) == 2 * p.size && same_value(p.of, of);
    if (pln_node_is(d, "Gather") && pln_value_get_ints(d->in[1], &k, 1, &n) && n == 1 &&
        !d->in[1]->cst->rank) {
        int64_t axis;
        return pln_node_axis(d, d->in[0], &axis) &&
               axis == pln_value_rank(d->in[0]) - 1 && (k == which || k == which - 2) &&
               is_paired(d->in[0], of);
    }
    return pln_node_is(d, "Squeeze") && d->n_in == 2 && d->in[1] &&
           pln_value_get_ints(d->in[1], &k, 1, &n) && n == 1 &&
           (k == -1 || k == pln_value_rank(v)) && is_column(d->in[0], which, of);
}

static bool is_column(const pln_value *v, int which, const pln_value **of)
{
    pln_piece p;
    if (v->def && adds_last_axis(v->def))
        return is_lane(v->def->in[0], which, of);
    return pln_piece_of(v, &p) && p.step == 1 && p.start == which && p.size == 1 &&
           p.axis == pln_value_rank(v) - 1 && is_paired(p.of, of);
}

/* v is half `which` of `of`. */
static bool is_half(const pln_value *v, int which, const pln_value **of)
{
    pln_piece p;
    return pln_piece_of(v, &p) && p.step == 1 && p.start == which * p.size &&
           p.axis == pln_value_rank(v) - 1 &&
           pln_value_size_at(p.of, p.axis) == 2 * p.size && same_value(p.of, of);
}

static bool is_part(const pln_value *v, int which, bool pairs, const pln_value **of)
{
    return pairs ? is_lane(v, which, of) : is_half(v, which, of);
}

static const pln_value *negated(const pln_value *v)
{
    double f;
    const pln_node *n = v->def;
    if (n && pln_node_is(n, "Neg"))
        return n->in[0];
    for (int i = 0; n && pln_node_is(n, "Mul") && i < 2; i++)
        if (pln_value_is_splat(n->in[i], &f) && f == -1 &&
            pln_value_same_type(n->in[1 - i], v))
            return n->in[1 - i];
    return NULL;
}

/* ---- what puts two parts together ------------------------------------------------ */

static const pln_node *concat_of_two(const pln_value *v)
{
    int64_t axis;
    const pln_node *n = v->def;
    return n && pln_node_is(n, "Concat") && n->n_in == 2 && pln_node_axis(n, v, &axis) &&
                   axis == pln_value_rank(v) - 1
               ? n
               : NULL;
}

/* The two parts of v: side by side, or (pairs) interleaved, where they may still be
 * columns. */
static bool find_parts(const pln_value *v, const pln_value *part[2], bool *pairs)
{
    const pln_node *n = v->def;
    *pairs = n && pln_node_is(n, "Reshape");
    n = concat_of_two(*pairs ? n->in[0] : v);
    if (!n)
        return false;
    part[0] = n->in[0], part[1] = n->in[1];
    if (!*pairs)
        return true;
    /* [.., half, 1] each, and the same order of elements as v. */
    const int rank = pln_value_rank(v);
    if (rank < 1 || pln_value_rank(part[0]) != rank + 1 ||
        pln_value_size_at(part[0], rank) != 1 || pln_value_size_at(part[1], rank) != 1 ||
        pln_value_size_at(part[0], rank - 1) * 2 != pln_value_size_at(v, rank - 1))
        return false;
    for (int i = 0; i < rank - 1; i++)
        if (!pln_dim_equal(part[0]->type.shape.dims[i], v->type.shape.dims[i]))
            return false;
    return true;
}

/* r is rotate(x). */
static bool is_rotated(const pln_value *r, const pln_value *x, bool *pairs)
{
    const pln_value *part[2], *of = x;
    if (!find_parts(r, part, pairs))
        return false;
    if (!*pairs) {
        const pln_value *n = negated(part[0]);
        return n && is_half(n, 1, &of) && is_half(part[1], 0, &of);
    }
    /* Negated before or behind the new axis. */
    const pln_value *n = negated(part[0]);
    if (!n && part[0]->def && adds_last_axis(part[0]->def)) {
        n = negated(part[0]->def->in[0]);
        return n && is_lane(n, 1, &of) && is_column(part[1], 0, &of);
    }
    return n && is_column(n, 1, &of) && is_column(part[1], 0, &of);
}

/* ---- x * cos + rotate(x) * sin --------------------------------------------------- */

static bool is_single_product(const pln_value *v, const pln_graph *g)
{
    return v->def && pln_node_is(v->def, "Mul") && v->def->graph == g &&
           pln_value_is_single_use(v);
}

/* One of the products is x cos, the other rotate(x) sin. */
static bool find_whole(const pln_node *root, pln_rotary *r)
{
    for (int a = 0; a < 2; a++) {
        const pln_node *turned = root->in[a]->def, *plain = root->in[1 - a]->def;
        for (int i = 0; i < 2; i++) {
            const pln_node *d = turned->in[i]->def;
            if (!d || (!pln_node_is(d, "Concat") && !pln_node_is(d, "Reshape")))
                continue;
            for (int k = 0; k < 2; k++)
                if (is_rotated(turned->in[i], plain->in[k], &r->pairs)) {
                    r->x = plain->in[k];
                    r->cosine = plain->in[1 - k];
                    r->sine = turned->in[1 - i];
                    return true;
                }
        }
    }
    return false;
}

static pln_status whole(pln_match *m, pln_patch *p)
{
    pln_rotary r = { .twice = true };
    const pln_node *n = m->root;
    if (!is_single_product(n->in[0], n->graph) || !is_single_product(n->in[1], n->graph))
        return pln_match_refuse(m, "not the sum of two products of its own");
    if (!find_whole(n, &r))
        return pln_match_refuse(m, "no product has the halves of the other, turned");
    return pln_rotary_build(m, p, &r);
}

/* ---- (x1 cos - x2 sin, x2 cos + x1 sin) ------------------------------------------ */

/* v is a product of part `which` of x; the other factor. */
static pln_value *factor_of(const pln_value *v, int which, bool pairs,
                            const pln_value **of, pln_value *want)
{
    const pln_node *n = v->def;
    for (int i = 0; n && pln_node_is(n, "Mul") && i < 2; i++) {
        const pln_value *before = *of;
        if ((!want || n->in[1 - i] == want) && is_part(n->in[i], which, pairs, of))
            return n->in[1 - i];
        *of = before;
    }
    return NULL;
}

static bool find_halves(const pln_value *first, const pln_value *second, pln_rotary *r)
{
    const pln_node *sub = first->def, *add = second->def;
    const pln_value *of = NULL;
    if (!sub || !add || !pln_node_is(sub, "Sub") || !pln_node_is(add, "Add"))
        return false;
    r->cosine = factor_of(sub->in[0], 0, r->pairs, &of, NULL);
    r->sine = r->cosine ? factor_of(sub->in[1], 1, r->pairs, &of, NULL) : NULL;
    for (int i = 0; r->sine && i < 2; i++)
        if (factor_of(add->in[i], 1, r->pairs, &of, r->cosine) &&
            factor_of(add->in[1 - i], 0, r->pairs, &of, r->sine)) {
            r->x = (pln_value *)(uintptr_t)of;
            return true;
        }
    return false;
}

static pln_status halves(pln_match *m, pln_patch *p)
{
    pln_rotary r = { .twice = false };
    const pln_value *part[2];
    if (!find_parts(m->root->out[0], part, &r.pairs))
        return pln_match_refuse(m, "not two parts put together");
    for (int i = 0; r.pairs && i < 2; i++) {
        if (!part[i]->def || !adds_last_axis(part[i]->def))
            return pln_match_refuse(m, "its pairs are no new axis");
        part[i] = part[i]->def->in[0];
    }
    if (!find_halves(part[0], part[1], &r))
        return pln_match_refuse(m, "the parts are not those of a rotation");
    return pln_rotary_build(m, p, &r);
}

/* ---- only the first elements turn ------------------------------------------------ */

static bool is_rotary(const pln_node *n)
{
    if (!n || !pln_node_is(n, "RotaryEmbedding") || n->n_in < 3)
        return false;
    const int64_t size = pln_node_get_int(n, "rotary_embedding_dim", 0);
    return !size || size == pln_value_size_at(n->in[0], pln_value_rank(n->in[0]) - 1);
}

/* A Transpose that swaps positions and heads. */
static bool swaps_middle(const pln_node *n)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    return n && pln_node_is(n, "Transpose") && pln_perm_of(n, perm, &rank) && rank == 4 &&
           perm[0] == 0 && perm[1] == 2 && perm[2] == 1 && perm[3] == 3;
}

static pln_value *swapped(pln_patch *p, pln_value *v)
{
    static const int64_t perm[4] = { 0, 2, 1, 3 };
    return v ? pln_patch_transpose(p, v, perm, 4) : NULL;
}

/* [rotated first elements, the others as they are]: the operator can do that by
 * itself. */
static pln_status partial(pln_match *m, pln_patch *p)
{
    pln_piece a, b;
    const pln_node *n = concat_of_two(m->root->out[0]);
    const pln_node *back = n ? n->in[0]->def : NULL;
    const bool swap = swaps_middle(back);
    const pln_node *rot = swap ? back->in[0]->def : back;
    if (!is_rotary(rot) || pln_value_rank(rot->in[0]) != 4 ||
        (swap && !swaps_middle(rot->in[0]->def)))
        return pln_match_refuse(m, "its first part is no rotation");
    const pln_value *first = swap ? rot->in[0]->def->in[0] : rot->in[0];
    if (!pln_piece_of(first, &a) || !pln_piece_of(n->in[1], &b) || a.of != b.of ||
        a.axis != 3 || b.axis != 3 || a.step != 1 || b.step != 1 || a.start != 0 ||
        b.start != a.size || a.size + b.size != pln_value_size_at(a.of, 3))
        return pln_match_refuse(m, "its parts are not one value, cut");
    pln_value *in[4] = { swap ? swapped(p, a.of) : a.of, rot->in[1], rot->in[2],
                         rot->n_in > 3 ? rot->in[3] : NULL };
    pln_node *made = pln_patch_copy(p, rot, in, 4);
    if (!made || pln_node_set_int(made, "rotary_embedding_dim", a.size) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0],
                      swap ? swapped(p, made->out[0]) : made->out[0]);
    return PLN_OK;
}

#define RULE(id, pattern, make)                                                      \
    {                                                                                \
        .name = id, .match = pattern, .build = make, .contract = PLN_REASSOC,        \
        .opset = 23, .stated = true                                                  \
    }

static const pln_rule rules[] = {
    RULE("rotary", "Add(Mul(_, _), Mul(_, _))", whole),
    RULE("rotary", "Concat(Sub(_, _), Add(_, _))", halves),
    RULE("rotary", "Reshape(Concat(Unsqueeze(Sub(_, _), _), Unsqueeze(Add(_, _), _)), _)",
         halves),
    RULE("rotary-partial", "Concat(RotaryEmbedding(_, _, _, ...), _)", partial),
    RULE("rotary-partial", "Concat(Transpose(RotaryEmbedding(_, _, _, ...)), _)",
         partial),
};

const pln_pass pln_pass_fuse_rotary = {
    .name = "fuse-rotary",
    .brief = "turns spelled-out rotary embeddings into RotaryEmbedding",
    PLN_RULES(rules),
};
