/* depth: blocks of pixels that move into channels, or out of them. Reshape, Transpose,
 * Reshape are one DepthToSpace or SpaceToDepth; so are the Slices of every n-th row and
 * column that a Concat joins, but for the order of the channels.
 *
 *     Concat<axis=1>(x[.., ::2, ::2], x[.., 1::2, ::2], x[.., ::2, 1::2], ...)
 *       => Gather<axis=1>(SpaceToDepth<blocksize=2>(x), order)
 *     Concat<axis=3>(x[:, ::2, ::2], ..)
 *       => Reshape(Transpose<perm=[0, 1, 3, 4, 2, 5]>(Reshape(x, s)), t)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/product.h"

#include <string.h>

#define MAX_PARTS 64
#define MAX_ORDER 4096 /* channels */

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

/* The types for which ONNX Runtime has both operators. */
static bool has_type(const pln_value *x)
{
    return x->type.dtype == PLN_DT_F32 || x->type.dtype == PLN_DT_F64;
}

static pln_value *emit(pln_patch *p, pln_value *x, const char *op, int64_t block,
                       bool crd)
{
    pln_node *n = pln_patch_add(p, op, &x, 1, 1);
    if (!n || pln_node_set_int(n, "blocksize", block) != PLN_OK ||
        (crd && pln_node_set_string(n, "mode", "CRD", 3) != PLN_OK))
        return NULL;
    return n->out[0];
}

/* Channel i of the result is channel order[i] of x. */
static pln_value *reorder(pln_patch *p, pln_value *x, const int64_t *order, int64_t n)
{
    pln_value *index = pln_patch_ints(p, order, (size_t)n, "order");
    pln_node *g =
        index ? pln_patch_add(p, "Gather", (pln_value *[]){ x, index }, 2, 1) : NULL;
    return g && pln_node_set_int(g, "axis", 1) == PLN_OK ? g->out[0] : NULL;
}

/* ---- Reshape, Transpose, Reshape ------------------------------------------------- */

/* A letter for each axis between the Reshapes, `b` those of the block, and where the
 * Transpose takes its axes from. */
typedef struct form {
    const char *op, *axes, *perm;
    bool crd;
    bool unshuffles; /* the channels come in another order */
} form;

static const form forms[] = {
    { "DepthToSpace", "nbbchw", "034152", false, false },
    { "DepthToSpace", "nbbhw", "03142", false, false },
    { "DepthToSpace", "ncbbhw", "014253", true, false },
    { "SpaceToDepth", "nchbwb", "035124", false, false },
    { "SpaceToDepth", "nhbwb", "02413", false, false },
    { "SpaceToDepth", "nchbwb", "013524", false, true },
};

static const form *form_of(const pln_node *transpose)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    if (!pln_perm_of(transpose, perm, &rank))
        return NULL;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        int same = 0;
        while (same < rank && forms[i].perm[same] == '0' + perm[same])
            same++;
        if (same == rank && !forms[i].perm[rank])
            return &forms[i];
    }
    return NULL;
}

/* Images of c channels, and of c b b where each pixel holds a block. */
typedef struct blocks {
    pln_dim n, c, h, w;
    int64_t b;
} blocks;

static bool read_blocks(const form *f, pln_shape mid, blocks *k)
{
    *k = (blocks){ .c = pln_dim_of(1), .b = 0 };
    if (mid.rank != (int)strlen(f->axes))
        return false;
    for (int i = 0; i < mid.rank; i++) {
        const pln_dim d = mid.dims[i];
        if (f->axes[i] != 'b')
            *(f->axes[i] == 'n'   ? &k->n
              : f->axes[i] == 'c' ? &k->c
              : f->axes[i] == 'h' ? &k->h
                                  : &k->w) = d;
        else if (!pln_dim_is_known(d) || (k->b && d.value != k->b))
            return false;
        else
            k->b = d.value;
    }
    return k->b > 1 && k->b <= INT16_MAX;
}

/* d = part * by. Where a Reshape to blocks of rows is told the number of rows by a
 * division, that leaves nothing, since it would lose elements. */
static bool is_times(pln_syms *s, pln_dim d, pln_dim part, int64_t by)
{
    return !pln_dim_is_unknown(d) && !pln_dim_is_unknown(part) &&
           (pln_dim_equal(d, pln_dim_mul(s, part, pln_dim_of(by))) ||
            (!pln_dim_is_known(d) &&
             pln_dim_equal(part, pln_dim_div(s, d, pln_dim_of(by)))));
}

static bool is_image(pln_syms *s, const pln_value *v, const blocks *k, bool deep)
{
    const pln_shape at = v->type.shape;
    const int64_t b = deep ? 1 : k->b;
    return at.rank == 4 && is_times(s, at.dims[0], k->n, 1) &&
           is_times(s, at.dims[1], k->c, deep ? k->b * k->b : 1) &&
           is_times(s, at.dims[2], k->h, b) && is_times(s, at.dims[3], k->w, b);
}

/* Its weights take another order of the channels into themselves. */
static bool is_product_of_channels(const pln_node *n, const pln_value *x)
{
    pln_product p;
    return n && n->in[0] == x && pln_product_read((pln_node *)n, &p) && p.conv &&
           p.groups == 1;
}

static pln_status block_of_views(pln_match *m, pln_patch *p)
{
    blocks k;
    pln_value *x = pln_match_val(m, "x"), *out = out_of(m);
    pln_syms *s = m->ctx->model->syms;
    const form *f = form_of(pln_match_node(m, "t"));
    if (!f || !has_type(x) || !read_blocks(f, pln_match_val(m, "r")->type.shape, &k))
        return pln_match_refuse(m, "not a transposition of blocks of floats");
    const bool deep = f->op[0] == 'D';
    if (!is_image(s, x, &k, deep) || !is_image(s, out, &k, !deep))
        return pln_match_refuse(m, "not to or from images of blocks");
    if (f->crd && !pln_pass_allows_opset(m->ctx, 11))
        return pln_match_refuse(m, "of that order since version 11 only");
    pln_value *y = emit(p, x, f->op, k.b, f->crd);
    if (f->unshuffles) {
        int64_t order[MAX_ORDER];
        const int64_t bb = k.b * k.b, c = pln_dim_is_known(k.c) ? k.c.value : 0;
        if (c < 1 || c > MAX_ORDER / bb ||
            !is_product_of_channels(pln_value_only_user(out), out))
            return pln_match_refuse(m, "nobody takes its order of channels");
        for (int64_t i = 0; i < c * bb; i++)
            order[i] = i % bb * c + i / bb;
        y = y ? reorder(p, y, order, c * bb) : NULL;
    }
    pln_patch_replace_proven(p, out, y);
    return PLN_OK;
}

/* ---- every n-th row and column --------------------------------------------------- */

/* The parts of a Concat: x from row `row` and column `column`, each b-th one. */
typedef struct parts {
    pln_value *x;
    int64_t b, rows, columns; /* the axes */
    int64_t row[MAX_PARTS], column[MAX_PARTS];
    int n, dying; /* parts that nobody else uses */
} parts;

/* It goes on to the end of the axis. */
static bool is_to_end(const pln_cut *c, int64_t size)
{
    return c->end > INT32_MAX || (size >= 0 && c->end >= size);
}

static bool add_part(parts *all, const pln_value *v)
{
    pln_cut cuts[PLN_MAX_RANK];
    const pln_node *n = v->def;
    int64_t axis[2], at[2];
    int found = 0;
    if (!n || !pln_node_is(n, "Slice") || all->n == MAX_PARTS ||
        !pln_slice_read(n, cuts) || (all->x && n->in[0] != all->x))
        return false;
    for (int i = 0; i < pln_value_rank(n->in[0]); i++) {
        const pln_cut *c = &cuts[i];
        if (!c->on)
            continue;
        if (found == 2 || c->step < 2 || c->step > INT16_MAX ||
            (all->n && c->step != all->b) || (found && c->step != all->b) ||
            c->start < 0 || c->start >= c->step ||
            !is_to_end(c, pln_value_size_at(n->in[0], i)))
            return false;
        all->b = c->step;
        axis[found] = i;
        at[found++] = c->start;
    }
    if (found != 2 || (all->n && (axis[0] != all->rows || axis[1] != all->columns)))
        return false;
    all->x = n->in[0];
    all->rows = axis[0];
    all->columns = axis[1];
    all->row[all->n] = at[0];
    all->column[all->n++] = at[1];
    all->dying += pln_value_is_single_use(v);
    return true;
}

/* Each place of the block once. Then no row is left over: the parts would not have the
 * same size. */
static bool read_parts(const pln_node *concat, parts *all)
{
    bool seen[MAX_PARTS] = { false };
    *all = (parts){ .x = NULL };
    for (uint32_t i = 0; i < concat->n_in; i++)
        if (!add_part(all, concat->in[i]))
            return false;
    if (all->n != all->b * all->b)
        return false;
    for (int i = 0; i < all->n; i++) {
        const int64_t at = all->row[i] * all->b + all->column[i];
        if (seen[at])
            return false;
        seen[at] = true;
    }
    return true;
}

/* The places by rows, or by columns. */
static bool is_in_order(const parts *all, bool columns_first)
{
    for (int i = 0; i < all->n; i++)
        if (all->row[i] * (columns_first ? 1 : all->b) +
                all->column[i] * (columns_first ? all->b : 1) !=
            i)
            return false;
    return true;
}

static pln_status to_depth(pln_match *m, pln_patch *p, const parts *all)
{
    int64_t order[MAX_ORDER], n = 0;
    const int64_t c = pln_value_size_at(all->x, 1);
    if (!has_type(all->x))
        return pln_match_refuse(m, "not floats");
    pln_value *y = emit(p, all->x, "SpaceToDepth", all->b, false);
    if (!is_in_order(all, false)) {
        if (c < 1 || c > MAX_ORDER / all->n || all->dying < 2)
            return pln_match_refuse(m,
                                    "the number of channels is not known, or too large");
        for (int i = 0; i < all->n; i++)
            for (int64_t k = 0; k < c; k++)
                order[n++] = (all->row[i] * all->b + all->column[i]) * c + k;
        y = y ? reorder(p, y, order, n) : NULL;
    }
    pln_patch_replace_proven(p, out_of(m), y);
    return PLN_OK;
}

/* Channels are the last of four axes. */
static pln_status to_last_axis(pln_match *m, pln_patch *p, const parts *all)
{
    const int64_t h = pln_value_size_at(all->x, 1), w = pln_value_size_at(all->x, 2),
                  c = pln_value_size_at(all->x, 3), b = all->b;
    const bool by_row = is_in_order(all, false);
    if (h < 1 || w < 1 || c < 1 || c > INT32_MAX || h % b || w % b || all->dying < 3 ||
        (!by_row && !is_in_order(all, true)))
        return pln_match_refuse(m, "sizes not known, or in another order");
    const int64_t split[6] = { 0, h / b, b, w / b, b, c };
    const int64_t joined[4] = { 0, h / b, w / b, b * b * c };
    const int64_t perm[6] = { 0, 1, 3, by_row ? 2 : 4, by_row ? 4 : 2, 5 };
    pln_value *s = pln_patch_ints(p, split, 6, "blocks");
    pln_value *t = pln_patch_ints(p, joined, 4, "joined");
    pln_value *y = s && t ? pln_patch_op2(p, "Reshape", all->x, s) : NULL;
    y = y ? pln_patch_transpose(p, y, perm, 6) : NULL;
    pln_patch_replace_proven(p, out_of(m), y ? pln_patch_op2(p, "Reshape", y, t) : NULL);
    return PLN_OK;
}

static pln_status block_of_slices(pln_match *m, pln_patch *p)
{
    int64_t axis;
    parts all;
    if (!read_parts(m->root, &all) || pln_value_rank(all.x) != 4 ||
        !pln_node_axis(m->root, all.x, &axis))
        return pln_match_refuse(m, "not each n-th row and column of one value");
    if (axis == 1 && all.rows == 2 && all.columns == 3)
        return to_depth(m, p, &all);
    if (axis == 3 && all.rows == 1 && all.columns == 2)
        return to_last_axis(m, p, &all);
    return pln_match_refuse(m, "it joins another axis");
}

static const pln_rule rules[] = {
    { .name = "block-views",
      .match = "Reshape(t=Transpose!(r=Reshape!(x, _)), _)",
      .build = block_of_views },
    { .name = "block-slices", .match = "Concat(...)", .build = block_of_slices },
};

const pln_pass pln_pass_depth = {
    .name = "depth",
    .brief = "blocks of pixels that move into channels, or out of them, as one operator",
    PLN_RULES(rules),
};
