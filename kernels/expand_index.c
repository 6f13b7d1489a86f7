/* Operators about places in a tensor in terms of older ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/expand.h"

/* ---- Trilu, Range ------------------------------------------------------------------ */

pln_status pln_expand_trilu(pln_node *n, int64_t version, pln_error *err)
{
    static const int64_t behind[] = { 1 };
    pln_expander x = pln_expand_begin(n, version, err);
    const int rank = pln_expand_rank(&x);
    const bool upper = pln_expand_int(&x, "upper", 1) != 0;
    if (rank < 2)
        pln_expand_refuse(&x, "its rank is not known");
    pln_value *rows = NULL, *columns = NULL;
    if (x.st == PLN_OK) {
        rows = pln_expand_count(&x, pln_expand_dims(&x, n->in[0], rank - 2, 1));
        rows = pln_expand_unsqueeze(&x, rows, behind, 1);
        columns = pln_expand_count(&x, pln_expand_dims(&x, n->in[0], rank - 1, 1));
    }
    if (pln_expand_in(&x, 1))
        rows = pln_expand_2(&x, "Add", rows, n->in[1]);
    pln_value *out = pln_expand_2(&x, upper ? "Less" : "Greater", columns, rows);
    pln_expand_give(
        &x, 0, pln_expand_3(&x, "Where", out, pln_expand_scalar(&x, x.dt, 0), n->in[0]));
    return pln_expand_end(&x);
}

/* start + delta * 0, 1, ... */
pln_status pln_expand_range(pln_node *n, int64_t version, pln_error *err)
{
    static const int64_t one[] = { 1 };
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype dt = pln_dtype_is_float(x.dt) && x.dt != PLN_DT_F64 ? PLN_DT_F32
                                                                        : PLN_DT_F64;
    pln_value *in[3];
    for (uint32_t i = 0; i < 3; i++)
        in[i] = x.dt == dt ? n->in[i] : pln_expand_cast(&x, n->in[i], dt);
    pln_value *steps =
        pln_expand_2(&x, "Div", pln_expand_2(&x, "Sub", in[1], in[0]), in[2]);
    steps = pln_expand_1(&x, "Ceil", steps);
    steps = pln_expand_2(&x, "Max", steps, pln_expand_scalar(&x, dt, 0));
    steps = pln_expand_reshape(&x, pln_expand_cast(&x, steps, PLN_DT_S64), one, 1);
    pln_value *at = pln_expand_count(&x, steps);
    if (x.dt != PLN_DT_S64)
        at = pln_expand_cast(&x, at, x.dt);
    at = pln_expand_2(&x, "Mul", at, n->in[2]);
    pln_expand_give(&x, 0, pln_expand_2(&x, "Add", at, n->in[0]));
    return pln_expand_end(&x);
}

/* ---- CumSum, CumProd ------------------------------------------------------------- */

static pln_value *body_node(pln_expander *x, pln_graph *g, const char *op,
                            pln_value *const *in, uint32_t n_in)
{
    pln_node *n = pln_graph_add_node(g, NULL, "", op, NULL, in, n_in, 1);
    if (!n || !pln_value_rename(n->out[0], pln_graph_fresh_name(g, "partial"))) {
        x->st = PLN_E_NOMEM;
        return NULL;
    }
    n->out[0]->type = in[0]->type;
    return n->out[0];
}

static pln_value *body_input(pln_expander *x, pln_graph *g, const char *hint, int axis)
{
    const pln_shape s = x->n->in[0]->type.shape;
    pln_type t =
        pln_type_tensor(x->dt, pln_shape_new(x->n->graph->model->arena, s.rank - 1));
    for (int i = 0; i < t.shape.rank; i++)
        t.shape.dims[i] = s.dims[i < axis ? i : i + 1];
    return pln_graph_add_input(g, pln_graph_fresh_name(g, hint), &t);
}

/* total, element -> total op element, partial result */
static void build_step(pln_expander *x, pln_node *scan, const char *op, int axis)
{
    pln_graph *g = pln_graph_new(x->n->graph->model, scan->graph, scan);
    const bool exclusive = pln_expand_int(x, "exclusive", 0) != 0;
    pln_value *in[] = { g ? body_input(x, g, "total", axis) : NULL,
                        g ? body_input(x, g, "element", axis) : NULL };
    if (!in[0] || !in[1]) {
        x->st = PLN_E_NOMEM;
        return;
    }
    g->name = pln_model_name(x->n->graph->model, "step");
    pln_value *next = body_node(x, g, op, in, 2);
    pln_value *out =
        next ? body_node(x, g, "Identity", exclusive ? &in[0] : &next, 1) : NULL;
    if (!out || pln_graph_add_output(g, next, NULL) != PLN_OK ||
        pln_graph_add_output(g, out, NULL) != PLN_OK ||
        pln_node_set_graph(scan, "body", g) != PLN_OK)
        x->st = PLN_E_NOMEM;
}

/* What the first element is combined with, in all places along the axis. */
static pln_value *neutral(pln_expander *x, int axis, int rank, double v)
{
    int64_t others[PLN_MAX_RANK];
    size_t n = 0;
    for (int i = 0; i < rank; i++)
        if (i != axis)
            others[n++] = i;
    const int64_t one = 1;
    pln_tensor *t = NULL;
    pln_value *shape = pln_expand_2(x, "Gather", pln_expand_1(x, "Shape", x->n->in[0]),
                                    pln_expand_ints(x, others, n));
    pln_value *made = pln_expand_1(x, "ConstantOfShape", shape);
    if (!made)
        return NULL;
    if (pln_tensor_make(x->n->graph->model->alloc, x->dt, 1, &one, &t, NULL) == PLN_OK)
        pln_tensor_set_f64(t, 0, v);
    if (!t || pln_node_set_tensor(made->def, "value", t) != PLN_OK)
        x->st = PLN_E_NOMEM;
    pln_tensor_unref(t);
    return made;
}

pln_status pln_expand_cumulative(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const bool sum = !strcmp(n->op_type, "CumSum");
    const pln_tensor *a = pln_expand_contents(&x, 1);
    const int rank = pln_expand_rank(&x);
    int64_t axis = a && pln_tensor_size(a) == 1 ? pln_tensor_get_i64(a, 0) : INT64_MAX;
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank)
        pln_expand_refuse(&x, "its axis is no constant");
    if (version < 9)
        pln_expand_refuse(&x, "it would need Scan of version 9");
    if (x.st != PLN_OK)
        return pln_expand_end(&x);
    const int64_t reverse = pln_expand_int(&x, "reverse", 0), one = 1;
    pln_value *in[] = { neutral(&x, (int)axis, rank, sum ? 0 : 1), n->in[0] };
    pln_node *scan = pln_expand_node(&x, "Scan", in, 2, 2);
    if (!scan)
        return pln_expand_end(&x);
    if (pln_node_set_int(scan, "num_scan_inputs", one) != PLN_OK ||
        pln_node_set_ints(scan, "scan_input_axes", &axis, 1) != PLN_OK ||
        pln_node_set_ints(scan, "scan_output_axes", &axis, 1) != PLN_OK ||
        pln_node_set_ints(scan, "scan_input_directions", &reverse, 1) != PLN_OK ||
        pln_node_set_ints(scan, "scan_output_directions", &reverse, 1) != PLN_OK)
        x.st = PLN_E_NOMEM;
    build_step(&x, scan, sum ? "Add" : "Mul", (int)axis);
    pln_expand_give(&x, 0, scan->out[1]);
    return pln_expand_end(&x);
}

/* ---- ArgMax, ArgMin -------------------------------------------------------------- */

/* The last place is the first one from behind. */
pln_status pln_expand_arg(pln_node *n, int64_t version, pln_error *err)
{
    static const int64_t last[] = { -1 }, before[] = { INT64_MIN }, front[] = { 0 };
    pln_expander x = pln_expand_begin(n, version, err);
    const int rank = pln_expand_rank(&x);
    int64_t axis = pln_expand_int(&x, "axis", 0);
    axis += axis < 0 ? rank : 0;
    if (!pln_expand_int(&x, "select_last_index", 0))
        pln_expand_refuse(&x, NULL);
    if (axis < 0 || axis >= rank)
        pln_expand_refuse(&x, "its axis is outside its rank");
    if (version < 10)
        pln_expand_refuse(&x, "it would need Slice with steps, which came in version 10");
    if (x.st != PLN_OK)
        return pln_expand_end(&x);
    pln_value *in[] = { n->in[0], pln_expand_ints(&x, last, 1),
                        pln_expand_ints(&x, before, 1), pln_expand_ints(&x, &axis, 1),
                        pln_expand_ints(&x, last, 1) };
    pln_value *at = pln_expand_1(&x, n->op_type, pln_expand_many(&x, "Slice", in, 5));
    pln_expand_set(&x, at, "axis", axis);
    pln_expand_set(&x, at, "keepdims", pln_expand_int(&x, "keepdims", 1));
    pln_value *size =
        pln_expand_2(&x, "Squeeze", pln_expand_dims(&x, n->in[0], (int)axis, 1),
                     pln_expand_ints(&x, front, 1));
    size = pln_expand_2(&x, "Sub", size, pln_expand_scalar(&x, PLN_DT_S64, 1));
    pln_expand_give(&x, 0, pln_expand_2(&x, "Sub", size, at));
    return pln_expand_end(&x);
}
