/* Where numbers with fractions become whole ones: sizes, positions, counts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/whole.h"

#include <string.h>

#include "src/ir/op.h"

static bool has_floats(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->type.kind == PLN_KIND_TENSOR &&
            (n->in[i]->type.dtype == PLN_DT_F32 || n->in[i]->type.dtype == PLN_DT_F16 ||
             n->in[i]->type.dtype == PLN_DT_BF16))
            return true;
    return false;
}

static bool makes_whole(const pln_node *n)
{
    if (*n->domain || strcmp(n->op_type, "Cast") != 0)
        return false;
    const pln_attr *to = pln_node_find_attr(n, "to");
    return to && (to->i == PLN_DT_S32 || to->i == PLN_DT_S64);
}

/* Its results are as exact as its inputs, or nearly so. */
static bool keeps_numbers(const pln_node *n)
{
    return n->op && ((n->op->traits & (PLN_OP_ELEMENTWISE | PLN_OP_VIEW)) ||
                     (!*n->domain && !strncmp(n->op_type, "Reduce", 6)));
}

static bool leads_there(const pln_node *n, const pln_map *whole)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        for (const pln_use *u = n->out[i] ? n->out[i]->uses : NULL; u; u = u->next)
            if (u->node && pln_map_has(whole, u->node))
                return true;
    return false;
}

static bool visit_bodies(const pln_node *n, pln_map *whole)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g && !pln_whole_find(a->g, whole))
            return false;
        for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
            if (!pln_whole_find(a->graphs[k], whole))
                return false;
    }
    return true;
}

bool pln_whole_find(pln_graph *g, pln_map *whole)
{
    for (const pln_node *n = g->last; n; n = n->prev) {
        if (!visit_bodies(n, whole))
            return false;
        if ((makes_whole(n) || (keeps_numbers(n) && leads_there(n, whole))) &&
            has_floats(n) && !pln_map_put(whole, n, whole))
            return false;
    }
    return true;
}
