/* The static quantizer: which products, and how they are rewritten.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/quantize.h"

#include <math.h>
#include <string.h>

#include "passes/match.h"

/* Below this an activation that is rounded to 8 bits by its extremes loses too much: a
 * few outliers take the whole range. */
#define MIN_INPUT_DB 20.0

static const char *const products[] = { "MatMul", "Gemm", "Conv" };

static bool is_product(const pln_node *n)
{
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
        if (pln_node_is(n, products[i]))
            return true;
    return false;
}

/* ---- finding -------------------------------------------------------------------- */

static bool is_listed(const char *list, const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = list; at && *at && len;) {
        const size_t n = strcspn(at, ",");
        if (n == len && !memcmp(at, name, len))
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

static int channel_axis(const pln_node *n)
{
    if (pln_node_is(n, "Conv"))
        return 0;
    if (pln_node_is(n, "Gemm"))
        return pln_node_get_int(n, "transB", 0) ? 0 : 1;
    return n->in[1]->cst->rank - 1;
}

static const char *why_not(const pln_quant *q, const pln_node *n)
{
    const pln_value *w = n->n_in > 1 ? n->in[1] : NULL;
    if (!w || !pln_value_is_const(w))
        return "its weights are not constant";
    if (is_listed(q->options->exclude, n->name))
        return "excluded";
    if (w->cst->dtype != PLN_DT_F32 || w->cst->kind != PLN_KIND_TENSOR)
        return "its weights are not float";
    if (w->cst->rank < 2 || (pln_node_is(n, "MatMul") && w->cst->rank != 2))
        return "its weights are not one matrix";
    if (pln_tensor_size(w->cst) == 0)
        return "its weights are empty";
    for (const pln_use *u = w->uses; u; u = u->next)
        if (!u->node || u->slot != 1 || !is_product(u->node) || u->graph != n->graph ||
            channel_axis(u->node) != channel_axis(n))
            return "its weights are used otherwise, too";
    if (pln_value_is_const(n->in[0]))
        return "its input is constant";
    if (n->in[0]->type.dtype != PLN_DT_F32)
        return "its input is not known to be float";
    if (pln_node_is(n, "Gemm") &&
        (pln_node_get_float(n, "alpha", 1) != 1 || pln_node_get_float(n, "beta", 1) != 1))
        return "it scales its operands";
    return NULL;
}

static pln_quant_input *input_of(pln_quant *q, pln_value *v)
{
    for (size_t i = 0; i < q->n_inputs; i++)
        if (q->input[i].value == v)
            return &q->input[i];
    pln_quant_input *in = &q->input[q->n_inputs++];
    *in = (pln_quant_input){ .value = v };
    return in;
}

pln_status pln_quant_find(pln_quant *q, pln_model *model, const pln_quantize_options *o,
                          pln_arena *arena, pln_error *err)
{
    *q = (pln_quant){ .model = model, .arena = arena, .options = o };
    q->activations = o->activations == PLN_DT_NONE ? PLN_DT_U8 : o->activations;
    q->weights = o->weights == PLN_DT_NONE ? PLN_DT_S8 : o->weights;
    q->unit = PLN_NEW_ARRAY(arena, pln_quant_unit, model->graph->n_nodes + 1);
    q->input = PLN_NEW_ARRAY(arena, pln_quant_input, model->graph->n_nodes + 1);
    if (!q->unit || !q->input)
        return pln_oom(err);
    for (pln_node *n = model->graph->first; n; n = n->next) {
        if (!is_product(n))
            continue;
        pln_quant_unit *u = &q->unit[q->n_units++];
        *u = (pln_quant_unit){ .node = n, .why_not = why_not(q, n) };
        if (u->why_not)
            continue;
        u->axis = channel_axis(n);
        if (o->mode == PLN_QUANT_STATIC)
            u->input = input_of(q, n->in[0]);
    }
    return PLN_OK;
}

/* ---- ranges --------------------------------------------------------------------- */

void pln_quant_see(pln_quant_input *in, const pln_tensor *t)
{
    if (t->kind != PLN_KIND_TENSOR || t->dtype != PLN_DT_F32 || !t->data)
        return;
    const float *x = PLN_DATA(const float, t);
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            in->bad = true;
            continue;
        }
        in->min = x[i] < in->min ? x[i] : in->min;
        in->max = x[i] > in->max ? x[i] : in->max;
        in->squares += (double)x[i] * x[i];
    }
    in->count += (double)n;
}

/* The range always holds 0, so that 0 is exact (padding). */
static void choose_scale(pln_quant_input *in, pln_dtype dt)
{
    const double lowest = dt == PLN_DT_U8 ? 0 : -128;
    const double width = in->max - in->min;
    in->scale = width > 0 ? (float)(width / 255) : 1;
    if (!(in->scale >= 1e-30f))
        in->scale = 1;
    const double zero = nearbyint(lowest - in->min / in->scale);
    in->zero = (int32_t)(zero < lowest         ? lowest
                         : zero > lowest + 255 ? lowest + 255
                                               : zero);
}

static double rounding_db(const pln_quant_input *in)
{
    const double noise = (double)in->scale * in->scale / 12;
    const double signal = in->count > 0 ? in->squares / in->count : 0;
    return signal > 0 ? 10 * log10(signal / noise) : INFINITY;
}

static void decide(pln_quant *q)
{
    for (size_t i = 0; i < q->n_inputs; i++)
        choose_scale(&q->input[i], q->activations);
    for (size_t i = 0; i < q->n_units; i++) {
        pln_quant_unit *u = &q->unit[i];
        if (u->why_not || !u->input)
            continue;
        u->input_db = rounding_db(u->input);
        if (u->input->count == 0)
            u->why_not = "no calibration data reached it";
        else if (u->input->bad)
            u->why_not = "its input was not finite in the calibration data";
        else if (u->input_db < MIN_INPUT_DB)
            u->why_not = "outliers take the range of its input";
    }
}

/* ---- rewriting ------------------------------------------------------------------ */

static pln_value *add_const(pln_quant *q, pln_tensor *t_take, const char *of,
                            const char *what)
{
    pln_graph *g = q->model->graph;
    const char *hint = pln_arena_printf(q->arena, "%.160s_%s", of, what);
    const char *name = hint ? pln_graph_fresh_name(g, hint) : NULL;
    if (!name) {
        pln_tensor_unref(t_take);
        return NULL;
    }
    return t_take ? pln_graph_add_initializer(g, name, t_take) : NULL;
}

static pln_value *add_scalar(pln_quant *q, pln_dtype dt, double v, const char *of,
                             const char *what)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(q->model->alloc, dt, 0, NULL, &t, NULL) != PLN_OK)
        return NULL;
    pln_tensor_set_f64(t, 0, v);
    return add_const(q, t, of, what);
}

static pln_value *add_zeros(pln_quant *q, pln_dtype dt, const pln_tensor *like,
                            const char *of)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(q->model->alloc, dt, like->rank, like->dims, &t, NULL) != PLN_OK)
        return NULL;
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_i64(t, i, 0);
    return add_const(q, t, of, "zero_point");
}

static pln_value *add_op(pln_quant *q, pln_node *before, const char *op,
                         pln_value *const in[3], int axis, const char *of)
{
    if (!in[0] || !in[1])
        return NULL;
    pln_graph *g = q->model->graph;
    const char *hint = pln_arena_printf(q->arena, "%.160s_%s", of, op);
    const char *name = hint ? pln_graph_fresh_name(g, hint) : NULL;
    pln_node *n =
        name ? pln_graph_add_node(g, before, "", op, name, in, in[2] ? 3 : 2, 1) : NULL;
    bool changed;
    if (!n || (axis >= 0 && pln_node_set_int(n, "axis", axis) != PLN_OK) ||
        !pln_value_rename(n->out[0], name) || pln_node_infer(n, &changed, NULL) != PLN_OK)
        return NULL;
    return n->out[0];
}

static pln_node *first_user(const pln_graph *g, const pln_value *v)
{
    for (pln_node *n = v->def ? v->def->next : g->first; n; n = n->next)
        for (const pln_use *u = v->uses; u; u = u->next)
            if (u->node == n)
                return n;
    return NULL;
}

/* One pair for all units that read the value. */
static pln_status quantize_input(pln_quant *q, pln_quant_unit *u, pln_error *err)
{
    pln_quant_input *in = u->input;
    if (!in->dequantized) {
        const char *of = in->value->name;
        pln_node *before = first_user(q->model->graph, in->value);
        pln_value *scale = add_scalar(q, PLN_DT_F32, in->scale, of, "scale");
        pln_value *zero = add_scalar(q, q->activations, in->zero, of, "zero_point");
        if (!before || before->graph != u->node->graph)
            before = u->node;
        pln_value *to[3] = { in->value, scale, zero };
        pln_value *mid = zero ? add_op(q, before, "QuantizeLinear", to, -1, of) : NULL;
        pln_value *from[3] = { mid, scale, zero };
        in->dequantized = add_op(q, before, "DequantizeLinear", from, -1, of);
    }
    if (!in->dequantized)
        return pln_oom(err);
    return pln_node_set_input(u->node, 0, in->dequantized);
}

/* Float weights become int8 ones behind a DequantizeLinear, for all their users at once.
 */
static pln_status quantize_weights(pln_quant *q, pln_quant_unit *u,
                                   pln_tensor **scale_out, pln_error *err)
{
    pln_value *w = u->node->in[1];
    pln_tensor *weights = NULL, *scale = NULL;
    const int axis = q->options->per_tensor ? -1 : u->axis;
    const int limit = q->options->reduce_range ? 63 : 127;
    const pln_node *dq = w->def;
    if (dq && pln_node_is(dq, "DequantizeLinear")) { /* by another unit */
        *scale_out = dq->in[1]->cst;
        return PLN_OK;
    }
    PLN_TRY(
        pln_quant_weights(q->model->alloc, w->cst, axis, limit, &weights, &scale, err));
    pln_value *in[3] = { add_const(q, weights, w->name, "quantized"),
                         add_const(q, scale, w->name, "scale"), NULL };
    in[2] = add_zeros(q, PLN_DT_S8, scale, w->name);
    pln_node *before = q->model->graph->first;
    pln_value *out =
        in[2] ? add_op(q, before, "DequantizeLinear", in, axis, w->name) : NULL;
    if (!out)
        return pln_oom(err);
    *scale_out = in[1]->cst;
    pln_value_replace_uses(w, out);
    if (w->kind == PLN_VALUE_INITIALIZER)
        pln_graph_remove_value(w);
    return PLN_OK;
}

/* int32 with the scale of the integer product. Biases that are no constant vector, or
 * don't fit, stay float: every runtime takes them so. */
static pln_status quantize_bias(pln_quant *q, pln_quant_unit *u, const pln_tensor *scale,
                                pln_error *err)
{
    pln_node *n = u->node;
    pln_value *b = n->n_in > 2 ? n->in[2] : NULL;
    pln_tensor *bias = NULL, *bias_scale = NULL;
    if (!b || !u->input || !pln_value_is_const(b) || b->cst->dtype != PLN_DT_F32 ||
        b->cst->rank != 1 ||
        (scale->rank == 1 && pln_tensor_size(b->cst) != pln_tensor_size(scale)))
        return PLN_OK;
    const pln_status st = pln_quant_bias(q->model->alloc, b->cst, u->input->scale, scale,
                                         &bias, &bias_scale, err);
    if (st == PLN_E_UNSUPPORTED)
        return PLN_OK;
    PLN_TRY(st);
    const bool last = b->n_uses == 1;
    pln_value *in[3] = { add_const(q, bias, b->name, "quantized"),
                         add_const(q, bias_scale, b->name, "scale"), NULL };
    pln_value *out = add_op(q, n, "DequantizeLinear", in, scale->rank ? 0 : -1, b->name);
    if (!out)
        return pln_oom(err);
    PLN_TRY(pln_node_set_input(n, 2, out));
    if (last && b->kind == PLN_VALUE_INITIALIZER)
        pln_graph_remove_value(b);
    return PLN_OK;
}

/* The weights of a unit that stays float must stay float for the others, too. */
static void spread_refusals(pln_quant *q)
{
    for (size_t i = 0; i < q->n_units; i++)
        for (size_t k = 0; q->unit[i].why_not && k < q->n_units; k++) {
            pln_quant_unit *other = &q->unit[k];
            if (!other->why_not && other->node->n_in > 1 && q->unit[i].node->n_in > 1 &&
                other->node->in[1] == q->unit[i].node->in[1]) {
                other->why_not = "its weights are shared with one that stays float";
                i = 0;
            }
        }
}

pln_status pln_quant_apply(pln_quant *q, pln_error *err)
{
    if (q->options->mode == PLN_QUANT_STATIC)
        decide(q);
    spread_refusals(q);
    for (size_t i = 0; i < q->n_units; i++) {
        pln_quant_unit *u = &q->unit[i];
        pln_tensor *scale = NULL;
        if (u->why_not)
            continue;
        PLN_TRY(quantize_weights(q, u, &scale, err));
        PLN_TRY(quantize_bias(q, u, scale, err));
        if (u->input)
            PLN_TRY(quantize_input(q, u, err));
    }
    return PLN_OK;
}

/* ---- report --------------------------------------------------------------------- */

static void report_unit(const pln_quant_unit *u, pln_text *out)
{
    const pln_node *n = u->node;
    const char *name = *n->name || !n->n_out || !n->out[0] ? n->name : n->out[0]->name;
    pln_text_str(out, "{\"node\":");
    pln_text_json(out, name, strlen(name));
    pln_text_printf(out, ",\"op\":\"%s\"", n->op_type);
    if (u->why_not) {
        pln_text_printf(out, ",\"reason\":\"%s\"", u->why_not);
    } else if (u->input) {
        pln_text_str(out, ",\"min\":");
        pln_text_json_double(out, u->input->min);
        pln_text_str(out, ",\"max\":");
        pln_text_json_double(out, u->input->max);
        pln_text_str(out, ",\"scale\":");
        pln_text_json_double(out, u->input->scale);
        pln_text_printf(out, ",\"zero_point\":%d", (int)u->input->zero);
    }
    if (u->input && u->input->count > 0) {
        pln_text_str(out, ",\"input_db\":");
        pln_text_json_double(out, u->input_db);
    }
    pln_text_str(out, "}");
}

void pln_quant_report(const pln_quant *q, pln_text *out)
{
    static const char *const modes[] = { "static", "dynamic", "weights" };
    pln_text_printf(out, "{\"schema\":1,\"mode\":\"%s\"", modes[q->options->mode]);
    for (int left = 0; left < 2; left++) {
        bool any = false;
        pln_text_str(out, left ? ",\"skipped\":[" : ",\"units\":[");
        for (size_t i = 0; i < q->n_units; i++) {
            if ((q->unit[i].why_not != NULL) != left)
                continue;
            pln_text_str(out, any ? "," : "");
            report_unit(&q->unit[i], out);
            any = true;
        }
        pln_text_str(out, "]");
    }
    pln_text_str(out, "}");
}
