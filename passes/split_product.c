/* split-product: a product that is taken apart becomes one for each part, where what
 * follows the parts goes into products:
 *
 *     a, b = Split(x W)   y = Sigmoid(a) b   =>   v = x W2   y = Sigmoid(x W1) v
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"
#include "passes/product.h"

#define MOST_PARTS 4

typedef struct parts {
    pln_product of;
    pln_value *bias; /* a row, constant; NULL: none */
    int64_t size[MOST_PARTS];
    uint32_t n;
} parts;

static bool is_row(const pln_value *v, const pln_product *of)
{
    return pln_value_is_const(v) && v->type.dtype == PLN_DT_F32 &&
           pln_value_rank(v) == 1 && pln_value_count(v) == of->n_out;
}

/* v is the product, or with a bias behind it, and nobody else reads it. */
static bool read_product(const pln_value *v, parts *all)
{
    pln_node *n = v->def;
    if (!n || !pln_value_is_single_use(v))
        return false;
    if (pln_node_is(n, "Add")) {
        const int at = pln_value_is_const(n->in[0]) ? 0 : 1;
        const pln_value *y = n->in[1 - at];
        if (!y->def || !pln_node_is(y->def, "MatMul") || !pln_value_is_single_use(y) ||
            !pln_product_read(y->def, &all->of) || !is_row(n->in[at], &all->of))
            return false;
        all->bias = n->in[at];
    } else {
        if (!pln_product_read(n, &all->of) || (all->of.b && !is_row(all->of.b, &all->of)))
            return false;
        all->bias = all->of.b;
    }
    return all->of.groups == 1 && all->of.w->type.dtype == PLN_DT_F32 &&
           all->of.node->graph == v->uses->node->graph;
}

static bool read_split(const pln_node *split, parts *all)
{
    const int rank = pln_value_rank(split->in[0]), axis = pln_product_axis(&all->of);
    const int64_t at = pln_node_get_int(split, "axis", 0);
    all->n = split->n_out;
    if (rank < 2 || at + (at < 0 ? rank : 0) != axis || all->n < 2 || all->n > MOST_PARTS)
        return false;
    for (uint32_t i = 0; i < all->n; i++) {
        const pln_value *v = split->out[i];
        if (!v || !v->n_uses || pln_value_rank(v) != rank ||
            !pln_dim_is_known(v->type.shape.dims[axis]))
            return false;
        all->size[i] = v->type.shape.dims[axis].value;
    }
    return true;
}

/* How many nodes behind the parts go into the products. */
static uint32_t count_behind(const pln_node *split, const parts *all)
{
    const pln_node *seen[MOST_PARTS * PLN_CHAIN_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < all->n; i++) {
        pln_chain c;
        if (!pln_chain_begin(&c, all->of.node, "", all->of.conv ? 1 : -1))
            return 0;
        c.out = split->out[i];
        while (n < MOST_PARTS * PLN_CHAIN_MAX && pln_chain_take_next(&c)) {
            uint32_t k = 0;
            while (k < n && seen[k] != c.out->def)
                k++;
            if (k == n)
                seen[n++] = c.out->def;
        }
    }
    return n;
}

static pln_node *split_constant(pln_patch *p, const parts *all, pln_value *v,
                                int64_t axis, pln_value *sizes)
{
    pln_node *n = pln_patch_add(p, "Split", (pln_value *[]){ v, sizes }, 2, all->n);
    return n && pln_node_set_int(n, "axis", axis) == PLN_OK ? n : NULL;
}

static pln_status build(pln_match *m, pln_patch *p)
{
    parts all = { .n = 0 };
    const pln_node *split = m->root;
    if (!read_product(split->in[0], &all) || !read_split(split, &all))
        return pln_match_refuse(m, "not of a product with weights of its own");
    if (count_behind(split, &all) + 2 <= all.n)
        return pln_match_refuse(m, "little behind it goes into products");
    const bool adds = pln_node_is(all.of.node, "MatMul");
    pln_value *sizes = pln_patch_ints(p, all.size, all.n, "widths");
    pln_node *w = split_constant(p, &all, all.of.w, all.of.in_first ? 1 : 0, sizes);
    pln_node *b = all.bias ? split_constant(p, &all, all.bias, 0, sizes) : NULL;
    if (!w || (all.bias && !b))
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < all.n; i++) {
        pln_value *in[3] = { all.of.node->in[0], w->out[i], b ? b->out[i] : NULL };
        pln_node *n = pln_patch_copy(p, all.of.node, in, b && !adds ? 3 : 2);
        pln_value *y = n ? n->out[0] : NULL;
        if (y && b && adds)
            y = pln_patch_op2(p, "Add", y, b->out[i]);
        pln_patch_replace(p, split->out[i], y);
    }
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .match = "Split(x, ...)",
      .build = build,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
};

const pln_pass pln_pass_split_product = {
    .name = "split-product",
    .brief = "products that are taken apart as one for each part, if more goes in",
    PLN_RULES(rules),
};
