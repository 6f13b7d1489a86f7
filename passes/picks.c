/* picks: Gathers by constant indices, Slices and Concats of pieces that follow each other
 * along an axis are one pick of its places, or none.
 *
 *     Gather(Gather(x, [3, 1, 0]), [2, 0])                => Gather(x, [0, 3])
 *     Gather<axis=1>(Slice(x, [1], [4], [1]), 1)          => Gather<axis=1>(x, 2)
 *     Gather(x, [0, 1, 2])                                => x         that has three
 * places Concat<axis=1>(x[:, 1:2], x[:, 2:5])                => x[:, 1:5]
 *     Concat<axis=1>(x[:, 2:3], x[:, 1:2], x[:, 0:1])     => Gather<axis=1>(x, [2, 1, 0])
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pick.h"

#define MAX_INDICES 1024
#define MIN_ROW     16 /* elements at each place: fewer are slow to gather */

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

static bool is_run(const pln_pick *k)
{
    for (int64_t i = 1; i < k->n; i++)
        if (k->at[i] != k->at[0] + i)
            return false;
    return true;
}

static pln_value *emit(pln_patch *p, const pln_pick *k)
{
    if (is_run(k) && k->n == k->n_x)
        return k->x;
    if (is_run(k)) {
        const int64_t end = k->at[0] + k->n;
        pln_value *in[4] = { k->x, NULL, NULL, NULL };
        in[1] = pln_patch_ints(p, k->at, 1, "starts");
        in[2] = pln_patch_ints(p, &end, 1, "ends");
        in[3] = pln_patch_ints(p, &k->axis, 1, "axes");
        pln_node *s =
            in[1] && in[2] && in[3] ? pln_patch_add(p, "Slice", in, 4, 1) : NULL;
        return s ? s->out[0] : NULL;
    }
    pln_value *in[2] = { k->x, pln_patch_ints(p, k->at, (size_t)k->n, "indices") };
    pln_node *g = in[1] ? pln_patch_add(p, "Gather", in, 2, 1) : NULL;
    return g && pln_node_set_int(g, "axis", k->axis) == PLN_OK ? g->out[0] : NULL;
}

/* ---- one behind the other -------------------------------------------------------- */

/* Indices of any shape into what is a pick already. */
static pln_status gather_of_pick(pln_match *m, pln_patch *p)
{
    pln_pick k;
    int64_t axis, i;
    pln_tensor *t = NULL;
    pln_value *y = m->root->in[0], *index = m->root->in[1];
    const int64_t n = pln_value_count(index);
    if (!pln_value_is_single_use(y) || !pln_pick_read(y, m->ctx->scratch, &k) ||
        !pln_node_axis(m->root, y, &axis) || axis != k.axis || n < 1 || n > MAX_INDICES ||
        pln_tensor_materialize(index->cst, NULL) != PLN_OK ||
        pln_tensor_make(p->graph->model->alloc, PLN_DT_S64, index->cst->rank,
                        index->cst->dims, &t, NULL) != PLN_OK)
        return pln_match_refuse(m, "not of places along the same axis");
    for (i = 0; i < n; i++) {
        int64_t at = pln_tensor_get_i64(index->cst, i);
        at += at < 0 ? k.n : 0;
        if (at < 0 || at >= k.n)
            break;
        pln_tensor_set_i64(t, i, k.at[at]);
    }
    if (i < n) {
        pln_tensor_unref(t);
        return pln_match_refuse(m, "an index lies outside");
    }
    pln_value *in[2] = { k.x, pln_patch_const(p, t, index->name) };
    pln_node *g = in[1] ? pln_patch_copy(p, m->root, in, 2) : NULL;
    if (!g || pln_node_set_int(g, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), g->out[0]);
    return PLN_OK;
}

static pln_status slice_of_gather(pln_match *m, pln_patch *p)
{
    pln_pick k, s;
    if (!pln_pick_read(out_of(m), m->ctx->scratch, &s) ||
        !pln_pick_read(m->root->in[0], m->ctx->scratch, &k) || s.axis != k.axis)
        return pln_match_refuse(m, "not of places along the same axis");
    for (int64_t i = 0; i < s.n; i++)
        s.at[i] = k.at[s.at[i]];
    s.x = k.x;
    s.n_x = k.n_x;
    pln_patch_replace_proven(p, out_of(m), emit(p, &s));
    return PLN_OK;
}

/* ---- all places, in order -------------------------------------------------------- */

static pln_status gather_all(pln_match *m, pln_patch *p)
{
    pln_pick k;
    if (!pln_pick_read(out_of(m), m->ctx->scratch, &k) || !is_run(&k) || k.n != k.n_x)
        return pln_match_refuse(m, "not all places in order");
    pln_patch_replace_proven(p, out_of(m), k.x);
    return PLN_OK;
}

/* ---- pieces that are joined ------------------------------------------------------ */

/* A node goes with the Concat: a piece that nobody else reads, or the Split of all
 * pieces. */
static bool saves_a_node(const pln_node *concat)
{
    uint32_t of_split = 0;
    const pln_node *split = concat->in[0]->def;
    for (uint32_t i = 0; i < concat->n_in; i++) {
        if (!pln_value_is_single_use(concat->in[i]))
            continue;
        if (!pln_node_is(concat->in[i]->def, "Split"))
            return true;
        of_split += concat->in[i]->def == split;
    }
    return pln_node_is(split, "Split") && of_split == split->n_out;
}

static int64_t row_of(const pln_pick *k)
{
    int64_t n = 1;
    for (int i = (int)k->axis + 1; i < pln_value_rank(k->x); i++) {
        const int64_t d = pln_value_size_at(k->x, i);
        if (d < 0 || d > MIN_ROW)
            return d < 0 ? 0 : d;
        n *= d;
    }
    return n;
}

static pln_status joined_pieces(pln_match *m, pln_patch *p)
{
    pln_pick k;
    if (m->root->n_in < 2 || !pln_pick_read(out_of(m), m->ctx->scratch, &k))
        return pln_match_refuse(m, "not pieces of one value");
    if (!saves_a_node(m->root))
        return pln_match_refuse(m, "others use the pieces");
    if (!is_run(&k) && (k.n > MAX_INDICES || row_of(&k) < MIN_ROW))
        return pln_match_refuse(m, "small places in another order");
    pln_patch_replace_proven(p, out_of(m), emit(p, &k));
    return PLN_OK;
}

/* ---- single places that a Split cuts out ----------------------------------------- */

/* The Squeeze that takes away the axis of an output of a Split; NULL: another use. */
static const pln_node *squeezer_of(const pln_node *split, uint32_t i, int64_t axis)
{
    int64_t axes[PLN_MAX_RANK];
    size_t n;
    const pln_value *v = split->out[i];
    const pln_node *s =
        v && pln_value_size_at(v, axis) == 1 ? pln_value_only_user(v) : NULL;
    return s && pln_node_is(s, "Squeeze") && s->graph == split->graph && s->n_in > 1 &&
                   s->in[1] && pln_axes_of(s->in[1], pln_value_rank(v), axes, &n) &&
                   n == 1 && axes[0] == axis
               ? s
               : NULL;
}

/* A Split and as many Squeezes as it has outputs: only as many Gathers. */
static pln_status gathers_of_split(pln_match *m, pln_patch *p)
{
    int64_t axis;
    pln_node *split = m->root->in[0]->def;
    if (!split || !pln_node_is(split, "Split") ||
        !pln_node_axis(split, split->in[0], &axis))
        return pln_match_refuse(m, "not behind a Split");
    for (uint32_t i = 0; i < split->n_out; i++)
        if (!squeezer_of(split, i, axis))
            return pln_match_refuse(m,
                                    "not each piece is a single place that is squeezed");
    for (uint32_t i = 0; i < split->n_out; i++) {
        pln_value *in[2] = { split->in[0], pln_patch_scalar(p, PLN_DT_S64, i, "index") };
        pln_node *g = in[1] ? pln_patch_add(p, "Gather", in, 2, 1) : NULL;
        if (!g || pln_node_set_int(g, "axis", axis) != PLN_OK)
            return PLN_E_NOMEM;
        pln_patch_replace(p, squeezer_of(split, i, axis)->out[0], g->out[0]);
    }
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "gather-all", .match = "Gather(x, i#)", .build = gather_all },
    { .name = "gather-pick",
      .match = "Gather(Gather|Slice|Reshape(_, ...), i#)",
      .build = gather_of_pick },
    { .name = "slice-gather",
      .match = "Slice(Gather!(x, i#), ...)",
      .build = slice_of_gather },
    { .name = "split-squeeze", .match = "Squeeze(_, b#)", .build = gathers_of_split },
    { .name = "joined-pieces", .match = "Concat(...)", .build = joined_pieces },
};

const pln_pass pln_pass_picks = {
    .name = "picks",
    .brief = "Gathers, Slices and Concats of pieces along one axis as one of them",
    PLN_RULES(rules),
};
