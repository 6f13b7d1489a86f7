/* What a Loop or Scan carries, scans or collects twice, it does once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/loop.h"

static bool is_read(const pln_value *v)
{
    return v && v->n_uses;
}

static pln_value *bare(pln_value *v)
{
    while (v->def && pln_node_is(v->def, "Identity") && v->def->in[0]->graph == v->graph)
        v = v->def->in[0];
    return v;
}

/* What was read of b, of the node or of its body, is read of a. */
static bool merge(pln_pass_ctx *ctx, const pln_loop *l, pln_value *a, pln_value *b)
{
    if (!is_read(b) || (b->kind == PLN_VALUE_NODE && pln_value_is_output(b)) ||
        !pln_pass_begin(ctx, l->n))
        return false;
    pln_value_replace_uses(b, a);
    return true;
}

/* Both begin with the same and become the same. */
static bool same_states(const pln_loop *l, uint32_t a, uint32_t b)
{
    pln_count c, d;
    const pln_value *x = l->g->inputs[l->inner_at + a],
                    *y = l->g->inputs[l->inner_at + b];
    if (x->type.dtype != y->type.dtype || pln_value_rank(x) != pln_value_rank(y))
        return false;
    if (l->n->in[l->in_at + a] == l->n->in[l->in_at + b] &&
        bare(l->g->outputs[l->out_at + a]) == bare(l->g->outputs[l->out_at + b]))
        return true;
    return pln_loop_count_of(l, x, &c) && pln_loop_count_of(l, y, &d) &&
           c.from == d.from && c.by == d.by;
}

static bool same_listed(const pln_loop *l, const char *name, uint32_t a, uint32_t b)
{
    return pln_loop_listed(l->n, name, a) == pln_loop_listed(l->n, name, b);
}

static void merge_states(pln_pass_ctx *ctx, pln_loop *l)
{
    for (uint32_t b = 1; b < l->n_state; b++)
        for (uint32_t a = 0; a < b; a++) {
            pln_value *x = l->g->inputs[l->inner_at + a];
            pln_value *y = l->g->inputs[l->inner_at + b];
            if (!same_states(l, a, b))
                continue;
            if (l->n->out[a] && l->n->out[b])
                merge(ctx, l, l->n->out[a], l->n->out[b]);
            merge(ctx, l, x, y);
            break;
        }
}

static void merge_scanned(pln_pass_ctx *ctx, pln_loop *l)
{
    for (uint32_t b = 1; b < l->n_scanned; b++)
        for (uint32_t a = 0; a < b; a++)
            if (l->n->in[l->n_state + a] == l->n->in[l->n_state + b] &&
                same_listed(l, "scan_input_axes", a, b) &&
                same_listed(l, "scan_input_directions", a, b)) {
                merge(ctx, l, l->g->inputs[l->n_state + a], l->g->inputs[l->n_state + b]);
                break;
            }
}

static void merge_collected(pln_pass_ctx *ctx, pln_loop *l)
{
    for (uint32_t b = 1; b < l->n_results; b++)
        for (uint32_t a = 0; a < b; a++) {
            pln_value *x = l->n->out[l->n_state + a], *y = l->n->out[l->n_state + b];
            pln_value *const *each = l->g->outputs + l->out_at + l->n_state;
            if (x && y && bare(each[a]) == bare(each[b]) &&
                same_listed(l, "scan_output_axes", a, b) &&
                same_listed(l, "scan_output_directions", a, b) && merge(ctx, l, x, y))
                break;
        }
}

void pln_loop_merge(pln_pass_ctx *ctx, pln_loop *l)
{
    merge_states(ctx, l);
    merge_scanned(ctx, l);
    merge_collected(ctx, l);
}
