/* join-products: products whose results are put side by side are one product, where they
 * are of one value, or of the parts that a Split gives, in order.
 *
 *     Concat<axis=1>(Conv(x, v), Conv(x, w))           =>  Conv(x, Concat<axis=0>(v, w))
 *     Concat<axis=-1>(MatMul(x, v), MatMul(x, w))      =>  MatMul(x, Concat<axis=1>(v, w))
 *     a, b = Split<axis=1>(x)
 *     Concat<axis=1>(Conv(a, v), Conv(b, w))           =>  Conv<group=2>(x, Concat<axis=0>(v, w))
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/product.h"
#include "passes/same.h"

#include <string.h>

#define MAX_PRODUCTS 64

typedef struct products {
    pln_product of[MAX_PRODUCTS];
    uint32_t n;
} products;

static bool same_dims(const pln_tensor *a, const pln_tensor *b, int but)
{
    if (a->rank != b->rank || a->dtype != b->dtype)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (i != but && a->dims[i] != b->dims[i])
            return false;
    return true;
}

/* The axis of the weights that is that of the results' channels. */
static int out_axis(const pln_product *p)
{
    return p->in_first ? 1 : 0;
}

static bool is_row(const pln_value *b, int64_t n)
{
    return !b || (b->cst->rank == 1 && b->cst->dims[0] == n);
}

/* The same product but for weights and biases. */
static bool is_like(const pln_product *a, const pln_product *b)
{
    return !strcmp(a->node->op_type, b->node->op_type) && a->beta == 1 && b->beta == 1 &&
           !a->b == !b->b && is_row(a->b, a->n_out) && is_row(b->b, b->n_out) &&
           pln_node_same_attrs(a->node, b->node) &&
           same_dims(a->w->cst, b->w->cst, out_axis(a));
}

static bool read_products(const pln_node *concat, products *s)
{
    int64_t axis;
    s->n = concat->n_in;
    if (s->n < 2 || s->n > MAX_PRODUCTS || !pln_node_axis(concat, concat->out[0], &axis))
        return false;
    for (uint32_t i = 0; i < s->n; i++) {
        pln_value *v = concat->in[i];
        if (!v->def || !pln_value_is_single_use(v) || v->def->graph != concat->graph ||
            !pln_product_read(v->def, &s->of[i]) || pln_product_axis(&s->of[i]) != axis ||
            !is_like(&s->of[0], &s->of[i]))
            return false;
    }
    return !pln_node_is(s->of[0].node, "ConvTranspose");
}

static bool are_of_one_value(const products *s)
{
    for (uint32_t i = 1; i < s->n; i++)
        if (s->of[i].node->in[0] != s->of[0].node->in[0])
            return false;
    return s->of[0].groups == 1;
}

/* The value that a Split cuts into the inputs of Convs as wide as each other; NULL. */
static pln_value *are_of_parts(const products *s)
{
    int64_t axis;
    pln_node *split = s->of[0].node->in[0]->def;
    if (!split || !pln_node_is(split, "Split") || split->n_out != s->n ||
        !s->of[0].conv || !pln_node_axis(split, split->in[0], &axis) || axis != 1)
        return NULL;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->of[i].node->in[0] != split->out[i] || s->of[i].n_in != s->of[0].n_in ||
            s->of[i].n_out != s->of[0].n_out)
            return NULL;
    return split->in[0];
}

/* The weights (1) or biases (2) one behind the other. */
static pln_value *joined(pln_patch *p, const products *s, uint32_t slot, int axis)
{
    pln_value *in[MAX_PRODUCTS];
    for (uint32_t i = 0; i < s->n; i++)
        in[i] = s->of[i].node->in[slot];
    pln_node *n = pln_patch_add(p, "Concat", in, s->n, 1);
    return n && pln_node_set_int(n, "axis", axis) == PLN_OK ? n->out[0] : NULL;
}

static pln_status one_product(pln_match *m, pln_patch *p)
{
    products s;
    if (!read_products(m->root, &s))
        return pln_match_refuse(m, "not products that differ in their weights alone");
    const pln_product *first = &s.of[0];
    const bool one = are_of_one_value(&s);
    pln_value *x = one ? first->node->in[0] : are_of_parts(&s);
    if (!x)
        return pln_match_refuse(m, "neither of one value nor of the parts of one");
    pln_value *in[3] = { x, joined(p, &s, 1, out_axis(first)),
                         first->b ? joined(p, &s, 2, 0) : NULL };
    pln_node *n = in[1] ? pln_patch_copy(p, first->node, in, first->b ? 3 : 2) : NULL;
    if (!n || (!one && pln_node_set_int(n, "group", first->groups * s.n) != PLN_OK))
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .match = "Concat(Conv|Gemm|MatMul!(_, w#, ...), ...)",
      .build = one_product,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_join_products = {
    .name = "join-products",
    .brief = "one product of those that are put side by side",
    PLN_RULES(rules),
};
