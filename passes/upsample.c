/* upsample: pixels that an Expand, a Tile or a Concat repeats along axes of size 1 behind
 * theirs, and that a Reshape joins, are a Resize to the nearest.
 *
 *     Reshape(Expand(Reshape(x, [1, 4, 3, 1, 5, 1]), [1, 4, 3, 2, 5, 2]), [1, 4, 6, 10])
 *       => Resize<mode="nearest">(x, , [1, 1, 2, 2])
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#define MAX_SCALE 8 /* places are found by division in floats */

/* Concat of one value with itself, along an axis where it has one place. */
static bool repeats_one(const pln_node *concat)
{
    int64_t axis = pln_node_get_int(concat, "axis", 0);
    const int rank = pln_value_rank(concat->in[0]);
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank || !pln_dim_is(concat->in[0]->type.shape.dims[axis], 1))
        return false;
    for (uint32_t i = 1; i < concat->n_in; i++)
        if (concat->in[i] != concat->in[0])
            return false;
    return true;
}

/* A Tile may repeat places that are several. */
static bool repeats_ones(const pln_node *tile)
{
    const pln_shape from = tile->in[0]->type.shape, to = tile->out[0]->type.shape;
    if (from.rank < 0 || from.rank != to.rank)
        return false;
    for (int i = 0; i < from.rank; i++)
        if (!pln_dim_is(from.dims[i], 1) &&
            (pln_dim_is_unknown(to.dims[i]) || !pln_dim_equal(from.dims[i], to.dims[i])))
            return false;
    return true;
}

static bool same_size(pln_dim a, pln_dim b)
{
    return !pln_dim_is_unknown(a) && pln_dim_equal(a, b);
}

/* The factor of each axis of x: `from` is x with axes of size 1 between its own, which
 * are larger in `to`. */
static bool read_scales(pln_shape x, pln_shape from, pln_shape to, int64_t *scale)
{
    int at = 0;
    if (from.rank < 0 || from.rank != to.rank)
        return false;
    for (int i = 0; i < x.rank; i++, at++) {
        if (at == from.rank || !same_size(x.dims[i], from.dims[at]) ||
            !same_size(x.dims[i], to.dims[at]))
            return false;
        scale[i] = 1;
        if (at + 1 == from.rank || !pln_dim_is(from.dims[at + 1], 1) ||
            pln_dim_is(to.dims[at + 1], 1))
            continue;
        at++;
        if (!pln_dim_is_known(to.dims[at]))
            return false;
        scale[i] = to.dims[at].value;
    }
    return at == from.rank;
}

/* The last axis among those of space: heads that share keys are repeated otherwise. */
static bool is_of_pixels(const int64_t *scale, int rank)
{
    for (int i = 0; i < rank; i++)
        if (scale[i] < 1 || scale[i] > (i < 2 ? 1 : MAX_SCALE))
            return false;
    return rank > 2 && scale[rank - 1] > 1;
}

static bool is_scaled(pln_syms *s, pln_shape x, const int64_t *scale, pln_shape out)
{
    if (out.rank != x.rank)
        return false;
    for (int i = 0; i < x.rank; i++)
        if (!same_size(out.dims[i], pln_dim_mul(s, x.dims[i], pln_dim_of(scale[i]))))
            return false;
    return true;
}

static pln_status set_nearest(pln_node *n)
{
    PLN_TRY(pln_node_set_string(n, "mode", "nearest", 7));
    PLN_TRY(pln_node_set_string(n, "coordinate_transformation_mode", "asymmetric", 10));
    return pln_node_set_string(n, "nearest_mode", "floor", 5);
}

static pln_status build(pln_match *m, pln_patch *p)
{
    int64_t scale[PLN_MAX_RANK];
    const pln_node *r = pln_match_node(m, "r"), *view = r->in[0]->def;
    if (!view || (!pln_node_is(view, "Reshape") && !pln_node_is(view, "Unsqueeze")) ||
        (pln_node_is(r, "Concat") && !repeats_one(r)) ||
        (pln_node_is(r, "Tile") && !repeats_ones(r)))
        return pln_match_refuse(m, "not a view whose axes of size 1 are repeated");
    pln_value *x = view->in[0];
    const pln_shape from = x->type.shape;
    if (x->type.dtype != PLN_DT_F32 || from.rank < 0 ||
        !read_scales(from, r->in[0]->type.shape, r->out[0]->type.shape, scale) ||
        !is_of_pixels(scale, from.rank) ||
        !is_scaled(m->ctx->model->syms, from, scale, m->root->out[0]->type.shape))
        return pln_match_refuse(m, "not each pixel a number of times");
    const int64_t rank = from.rank;
    pln_tensor *t = NULL;
    PLN_TRY(pln_tensor_make(p->graph->model->alloc, PLN_DT_F32, 1, &rank, &t, NULL));
    for (int64_t i = 0; i < rank; i++)
        pln_tensor_set_f64(t, i, (double)scale[i]);
    pln_value *in[3] = { x, NULL, pln_patch_const(p, t, "scales") };
    pln_node *n = in[2] ? pln_patch_add(p, "Resize", in, 3, 1) : NULL;
    if (!n || set_nearest(n) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace_proven(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "repeated-pixels",
      .match = "Reshape(r=Expand|Tile|Concat!(_, ...), _)",
      .build = build,
      .opset = 11 },
};

const pln_pass pln_pass_upsample = {
    .name = "upsample",
    .brief = "pixels that are repeated as Resize",
    PLN_RULES(rules),
};
