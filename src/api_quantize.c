/* The public call that quantizes a model: it runs it on the calibration data between the
 * steps of the quantizer.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"
#include "passes/quantize.h"
#include "src/ir/optimize.h"

/* What calibration meets of the graph: constants in place, batch norms folded. */
#define PREPARE "noop,fold,fold-conv-bn,dce"

static pln_status prepare(pln_model *m, pln_error *err)
{
    const pln_pass_options o = { .contract = PLN_REASSOC };
    return pln_model_run_passes(m, PREPARE, &o, NULL, err);
}

/* ---- calibration ---------------------------------------------------------------- */

static const pln_tensor *seen_value(pln_run *run, const pln_value *v,
                                    const pln_feed *feeds, size_t n)
{
    if (v->kind == PLN_VALUE_INPUT)
        for (size_t i = 0; i < n; i++)
            if (feeds[i].name && !strcmp(feeds[i].name, v->name))
                return feeds[i].tensor;
    return pln_run_value(run, v->name);
}

static pln_status run_once(pln_quant *q, pln_run *run, const pln_feed *feeds, size_t n,
                           pln_error *err)
{
    for (size_t i = 0; i < n; i++)
        PLN_TRY(pln_run_bind_input(run, feeds[i].name, feeds[i].tensor, err));
    PLN_TRY(pln_run_execute(run, NULL, err));
    for (size_t i = 0; i < q->n_inputs; i++) {
        const pln_tensor *t = seen_value(run, q->input[i].value, feeds, n);
        if (t)
            pln_quant_see(&q->input[i], t);
    }
    return PLN_OK;
}

static pln_status calibrate(pln_quant *q, pln_error *err)
{
    const pln_quantize_options *o = q->options;
    pln_session_options so = PLN_SESSION_OPTIONS_INIT;
    pln_session *session = NULL;
    pln_run *run = NULL;
    const pln_feed *feeds;
    size_t n, i = 0;
    if (!o->calibration)
        return pln_fail(err, PLN_E_USAGE, "static quantization needs calibration data");
    so.all_values = true;
    pln_status st = pln_session_new(q->model, &so, &session, err);
    if (st == PLN_OK)
        st = pln_run_new(session, &run, err);
    for (; st == PLN_OK && o->calibration(o->user, i, &feeds, &n); i++)
        st = run_once(q, run, feeds, n, err);
    if (st == PLN_OK && i == 0)
        st = pln_fail(err, PLN_E_USAGE, "the calibration data is empty");
    pln_run_free(run);
    pln_session_free(session);
    return st;
}

/* ---- options -------------------------------------------------------------------- */

static pln_status read_options(const pln_quantize_options *in, pln_quantize_options *out,
                               pln_error *err)
{
    *out = (pln_quantize_options)PLN_QUANTIZE_OPTIONS_INIT;
    if (in)
        memcpy(out, in, in->struct_size < sizeof *out ? in->struct_size : sizeof *out);
    if (out->mode == PLN_QUANT_DYNAMIC)
        return pln_fail(err, PLN_E_UNSUPPORTED, "mode dynamic is not built in yet");
    if (out->mode > PLN_QUANT_WEIGHTS)
        return pln_fail(err, PLN_E_USAGE, "mode %d is unknown", (int)out->mode);
    if (out->activations != PLN_DT_NONE && out->activations != PLN_DT_U8 &&
        out->activations != PLN_DT_S8)
        return pln_fail(err, PLN_E_UNSUPPORTED,
                        "activations of %s: uint8 and int8 are built in",
                        pln_dtype_name(out->activations));
    if (out->weights != PLN_DT_NONE && out->weights != PLN_DT_S8)
        return pln_fail(err, PLN_E_UNSUPPORTED, "weights of %s: int8 is built in",
                        pln_dtype_name(out->weights));
    return PLN_OK;
}

/* Operators whose older meaning no newer one has carry it in an attribute of ours. Where
 * the two agree (a flattening Softmax over the last of its dimensions) it goes. */
static pln_status say_anew(pln_graph *g, void *user)
{
    pln_error *err = user;
    for (pln_node *n = g->first; n; n = n->next) {
        char where[256];
        n->origin = NULL;
        if (!pln_node_find_attr(n, "pln_flatten"))
            continue;
        const int rank = pln_value_rank(n->in[0]);
        const int64_t axis = pln_node_get_int(n, "axis", 1);
        if (rank < 1 || (axis != rank - 1 && axis != -1))
            return pln_fail(err, PLN_E_UNSUPPORTED,
                            "%s: has a meaning that newer opsets don't have",
                            pln_node_where(n, where, sizeof where));
        pln_node_drop_attr(n, "pln_flatten");
    }
    return PLN_OK;
}

/* Scales for each channel came with opset 13, quantization with 10: an older model is
 * written for that one, with every node said anew. */
static pln_status raise_opset(pln_model *m, const pln_quantize_options *o, pln_error *err)
{
    const int64_t want = o->per_tensor ? 10 : 13;
    if (pln_model_opset(m, "") >= want)
        return PLN_OK;
    PLN_TRY(pln_sizes_infer(m, err));
    PLN_TRY(pln_graph_walk(m->graph, say_anew, err));
    return pln_model_set_opset(m, "", want) == PLN_OK ? PLN_OK : pln_oom(err);
}

static pln_status quantize(pln_model *m, const pln_quantize_options *o, pln_arena *arena,
                           pln_text *report, pln_error *err)
{
    pln_quant q;
    PLN_TRY(raise_opset(m, o, err));
    PLN_TRY(prepare(m, err));
    PLN_TRY(pln_quant_find(&q, m, o, arena, err));
    if (o->mode == PLN_QUANT_STATIC)
        PLN_TRY(calibrate(&q, err));
    PLN_TRY(pln_quant_apply(&q, err));
    pln_quant_report(&q, report);
    return report->failed ? pln_oom(err) : PLN_OK;
}

pln_status pln_model_quantize(pln_model *model, const pln_quantize_options *options,
                              char **report, pln_error *err)
{
    pln_quantize_options o;
    pln_model *copy = NULL;
    pln_text text;
    pln_error_clear(err);
    if (report)
        *report = NULL;
    if (!model)
        return pln_fail(err, PLN_E_USAGE, "pln_model_quantize: the model is NULL");
    PLN_TRY(read_options(options, &o, err));
    PLN_TRY(pln_model_clone(model, &copy, err));
    pln_text_init(&text, model->alloc);
    pln_arena *arena = pln_arena_new(model->alloc);
    pln_status st = arena ? quantize(copy, &o, arena, &text, err) : pln_oom(err);
    if (st == PLN_OK && report) {
        *report = pln_text_take(&text);
        st = *report ? PLN_OK : pln_oom(err);
    }
    if (st == PLN_OK)
        pln_model_swap(model, copy);
    pln_arena_free(arena);
    pln_text_done(&text);
    pln_model_free(copy);
    return st;
}
