/* conv-sum: two Convs of one input that are added are one, as RepVGG and its kind are
 * trained; the smaller kernel is one with zeros around it.
 *
 *     Add(Conv<pads=[1,1,1,1]>(x, w, b), Conv(x, v, c)) => Conv<pads=[1,1,1,1]>(x, w +
 * Pad(v), b + c)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/product.h"

#include <string.h>

/* Entry i of an attribute of numbers, 0 or 1 where it is absent. */
static int64_t entry(const pln_node *n, const char *name, int i, int64_t otherwise)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && (size_t)i < a->n ? a->ints[i] : otherwise;
}

static bool is_plain(const pln_node *n)
{
    return !strcmp(pln_node_get_string(n, "auto_pad", "NOTSET"), "NOTSET");
}

/* Zeros that the kernel of b needs before and behind, on each axis of the weights, to be
 * one of the size of a's at the same places. False: there are none. */
static bool zeros_around(const pln_product *a, const pln_product *b, int64_t *zeros)
{
    const pln_tensor *w = a->w->cst, *v = b->w->cst;
    const int space = w->rank - 2;
    if (w->rank != v->rank || a->n_out != b->n_out || a->n_in != b->n_in ||
        a->groups != b->groups || !is_plain(a->node) || !is_plain(b->node))
        return false;
    memset(zeros, 0, 2 * (size_t)w->rank * sizeof *zeros);
    for (int i = 0; i < space; i++) {
        const int64_t before =
            entry(a->node, "pads", i, 0) - entry(b->node, "pads", i, 0);
        const int64_t behind =
            entry(a->node, "pads", space + i, 0) - entry(b->node, "pads", space + i, 0);
        const int64_t step = entry(a->node, "dilations", i, 1);
        const bool same_step =
            step == entry(b->node, "dilations", i, 1) || v->dims[2 + i] == 1;
        if (entry(a->node, "strides", i, 1) != entry(b->node, "strides", i, 1) ||
            !same_step || step < 1 || before < 0 || behind < 0 || before % step ||
            behind % step ||
            w->dims[2 + i] - v->dims[2 + i] != before / step + behind / step)
            return false;
        zeros[2 + i] = before / step;
        zeros[w->rank + 2 + i] = behind / step;
    }
    return true;
}

static bool is_any(const int64_t *v, int n)
{
    for (int i = 0; i < n; i++)
        if (v[i])
            return true;
    return false;
}

static pln_status one_conv(pln_match *m, pln_patch *p)
{
    int64_t zeros[2 * PLN_MAX_RANK];
    pln_product a, b;
    if (!pln_product_read(pln_match_node(m, "a"), &a) ||
        !pln_product_read(pln_match_node(m, "b"), &b))
        return pln_match_refuse(m, "not with weights of their own");
    if (!zeros_around(&a, &b, zeros)) {
        const pln_product t = a;
        a = b;
        b = t;
        if (!zeros_around(&a, &b, zeros))
            return pln_match_refuse(m, "they do not meet the same places");
    }
    const int rank = a.w->cst->rank;
    pln_value *v = b.w;
    if (is_any(zeros, 2 * rank)) {
        pln_value *pads = pln_patch_ints(p, zeros, 2 * (size_t)rank, "zeros");
        v = pads ? pln_patch_op2(p, "Pad", v, pads) : NULL;
    }
    pln_value *in[3] = { a.node->in[0], v ? pln_patch_op2(p, "Add", a.w, v) : NULL,
                         a.b ? a.b : b.b };
    if (a.b && b.b)
        in[2] = pln_patch_op2(p, "Add", a.b, b.b);
    pln_node *n = in[1] ? pln_patch_copy(p, a.node, in, in[2] ? 3 : 2) : NULL;
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .match = "Add(a=Conv!(x, w#, ...), b=Conv!(x, v#, ...))",
      .build = one_conv,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_conv_sum = {
    .name = "conv-sum",
    .brief = "one Conv of two that are added",
    PLN_RULES(rules),
};
