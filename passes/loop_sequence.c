/* Loops that collect tensors in a sequence, which becomes one tensor behind them: Loop
 * collects by itself.
 *
 *     s, .. = Loop(n, c, SequenceEmpty(), ..) { s2 = SequenceInsert(s, v) }
 *     y = ConcatFromSequence<new_axis = 1, axis = 0>(s)
 *       => y = what the Loop collects of v
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/loop.h"

#include "src/ir/splice.h"

/* What the body puts behind the others in state i; NULL. */
static pln_value *inserted(const pln_loop *l, uint32_t i)
{
    const pln_value *state = l->g->inputs[l->inner_at + i];
    const pln_value *next = l->g->outputs[l->out_at + i], *outer = l->n->in[l->in_at + i];
    const pln_node *n = next->def;
    const bool at_end = n && pln_node_is(n, "SequenceInsert") && n->graph == l->g &&
                        n->in[0] == state && (n->n_in < 3 || !n->in[2]);
    return at_end && state->n_uses == 1 && next->n_uses == 1 && outer->def &&
                   pln_node_is(outer->def, "SequenceEmpty")
               ? n->in[1]
               : NULL;
}

/* The node that stacks the whole sequence, along an axis of its own; NULL. */
static pln_node *stacking(const pln_loop *l, uint32_t i, const pln_value *v,
                          int64_t *axis)
{
    pln_node *n = l->n->out[i] ? pln_value_only_user(l->n->out[i]) : NULL;
    const int rank = pln_value_rank(v);
    if (!n || !pln_node_is(n, "ConcatFromSequence") || n->graph != l->n->graph ||
        rank < 0 || !pln_node_get_int(n, "new_axis", 0))
        return NULL;
    *axis = pln_node_get_int(n, "axis", 0);
    *axis += *axis < 0 ? rank + 1 : 0;
    return *axis >= 0 && *axis <= rank ? n : NULL;
}

static bool name_it(pln_value *v, const char *hint)
{
    const char *name = pln_graph_fresh_name(v->graph, hint);
    return name && pln_value_rename(v, name);
}

static pln_value *copy_of(pln_graph *g, pln_node *before, pln_value *v)
{
    pln_node *n = pln_graph_add_node(g, before, "", "Identity", NULL, &v, 1, 1);
    return n && name_it(n->out[0], "collected") ? n->out[0] : NULL;
}

/* The first axis goes to place `axis`. */
static pln_node *move_axis(pln_node *before, pln_value *v, int64_t axis, int rank)
{
    int64_t perm[PLN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    pln_node *n = pln_graph_add_node(before->graph, before, "",
                                     axis ? "Transpose" : "Identity", NULL, &v, 1, 1);
    return n && (!axis || pln_node_set_ints(n, "perm", perm, (size_t)rank) == PLN_OK)
               ? n
               : NULL;
}

static pln_status collect(pln_loop *l, pln_value *v, pln_node *stack, int64_t axis,
                          pln_error *err)
{
    pln_value *each = copy_of(l->g, NULL, v), *all = NULL, *old = stack->out[0];
    const char *name = old->name, *aside = pln_graph_fresh_name(old->graph, name);
    if (!each || pln_graph_add_output(l->g, each, each->name) != PLN_OK ||
        pln_node_add_output(l->n, &all) != PLN_OK || !name_it(all, "collected"))
        return pln_oom(err);
    l->n_results++;
    pln_node *n = move_axis(stack, all, axis, pln_value_rank(v) + 1);
    if (!n || !aside || !pln_value_rename(old, aside) ||
        !pln_value_rename(n->out[0], name))
        return pln_oom(err);
    n->out[0]->type = old->type;
    n->out[0]->declared = old->declared;
    n->out[0]->extra = old->extra;
    pln_value_replace_uses(old, n->out[0]);
    pln_graph_remove_node(stack);
    return PLN_OK;
}

pln_status pln_loop_collect(pln_pass_ctx *ctx, pln_loop *l, pln_error *err)
{
    for (uint32_t i = 0; !l->scan && i < l->n_state; i++) {
        int64_t axis = 0;
        pln_value *v = inserted(l, i);
        pln_node *stack = v ? stacking(l, i, v, &axis) : NULL;
        if (stack && pln_pass_begin(ctx, l->n))
            PLN_TRY(collect(l, v, stack, axis, err));
    }
    return PLN_OK;
}
