/* Loop and Scan: where their parts lie, and how often they run.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/loop.h"

bool pln_loop_open(pln_loop *l, pln_node *n)
{
    const pln_attr *a = pln_node_find_attr(n, "body");
    *l = (pln_loop){ .n = n, .scan = pln_node_is(n, "Scan") };
    if ((!l->scan && !pln_node_is(n, "Loop")) || !a || a->type != PLN_ATTR_GRAPH ||
        a->ref || !a->g || a->g->owner != n)
        return false;
    l->g = a->g;
    if (l->scan) {
        const int64_t scanned = pln_node_get_int(n, "num_scan_inputs", 0);
        if (scanned < 1 || scanned > n->n_in || l->g->n_inputs != n->n_in)
            return false;
        l->n_scanned = (uint32_t)scanned;
        l->n_state = n->n_in - l->n_scanned;
    } else {
        if (n->n_in < 2 || l->g->n_inputs != n->n_in)
            return false;
        l->n_state = n->n_in - 2;
        l->in_at = l->inner_at = 2;
        l->out_at = 1;
    }
    if (n->n_out < l->n_state || l->g->n_outputs != n->n_out + l->out_at)
        return false;
    l->n_results = n->n_out - l->n_state;
    for (uint32_t i = 0; i < l->n_state; i++)
        if (!n->in[l->in_at + i])
            return false;
    return true;
}

/* ---- how often it runs ----------------------------------------------------------- */

static bool known_number(const pln_value *v, double *out)
{
    return v && pln_value_is_splat(v, out) && pln_value_count(v) == 1;
}

int64_t pln_loop_listed(const pln_node *n, const char *name, uint32_t i)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && a->type == PLN_ATTR_INTS && i < a->n ? a->ints[i] : 0;
}

int64_t pln_loop_axis(const pln_loop *l, uint32_t i, int rank)
{
    const int64_t axis = pln_loop_listed(l->n, "scan_input_axes", i);
    return axis < 0 ? axis + rank : axis;
}

/* Does the body go on whatever happens in it? */
bool pln_loop_goes_on(const pln_loop *l)
{
    double c = 0;
    const pln_value *v = l->g->outputs[0];
    while (v->def && pln_node_is(v->def, "Identity") && v->def->graph == l->g)
        v = v->def->in[0];
    return v == l->g->inputs[1] || v == l->n->in[1] || (known_number(v, &c) && c != 0);
}

static bool stops(const pln_loop *l)
{
    double c = 1;
    return known_number(l->g->outputs[0], &c) && c == 0;
}

/* How often it runs; -1: not known. */
int64_t pln_loop_trips(const pln_loop *l)
{
    double m = 0, c = 1;
    const pln_value *trips = l->n->in[0];
    if (l->scan) {
        const pln_value *v = l->n->in[l->n_state];
        const int rank = v ? pln_value_rank(v) : -1;
        const int64_t axis = rank > 0 ? pln_loop_axis(l, 0, rank) : -1;
        return axis >= 0 && axis < rank && pln_dim_is_known(v->type.shape.dims[axis])
                   ? v->type.shape.dims[axis].value
                   : -1;
    }
    if (l->n->in[1] && !known_number(l->n->in[1], &c))
        return -1;
    if (c == 0)
        return 0;
    if (trips && !known_number(trips, &m))
        return -1;
    if (trips && m <= 0)
        return 0;
    if (stops(l))
        return 1;
    return trips && m < 1e9 && pln_loop_goes_on(l) ? (int64_t)m : -1;
}

/* At least once; then what it does may as well be done before. */
bool pln_loop_runs(const pln_loop *l)
{
    double m = 1, c = 1;
    if (l->scan)
        return pln_loop_trips(l) > 0;
    return (!l->n->in[0] || (known_number(l->n->in[0], &m) && m >= 1)) &&
           (!l->n->in[1] || (known_number(l->n->in[1], &c) && c != 0));
}

/* ---- nodes ----------------------------------------------------------------------- */

pln_node *pln_loop_add(pln_node *before, const char *op, pln_value *a, pln_value *b)
{
    pln_value *in[2] = { a, b };
    pln_graph *g = before->graph;
    pln_node *n = pln_graph_add_node(g, before, "", op, NULL, in, b ? 2 : 1, 1);
    const char *name = n ? pln_graph_fresh_name(g, op) : NULL;
    return name && pln_value_rename(n->out[0], name) ? n : NULL;
}

pln_value *pln_loop_constant(pln_graph *g, pln_dtype dt, int rank, int64_t v)
{
    const int64_t one = 1;
    pln_tensor *t = NULL;
    if (pln_tensor_make(g->model->alloc, dt, rank, &one, &t, NULL) != PLN_OK)
        return NULL;
    pln_tensor_set_i64(t, 0, v);
    return pln_graph_add_initializer(g, pln_graph_fresh_name(g, "loop"), t);
}
