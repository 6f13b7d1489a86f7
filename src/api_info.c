/* Facts about a model as JSON: what is in it, what it costs, what can't run here.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/writer.h"
#include "src/ir/inline.h"
#include "src/ir/op.h"
#include "src/ir/optimize.h"
#include "src/ir/version.h"

typedef struct op_count {
    const char *domain, *op;
    size_t count;
    bool runs;
    const pln_node *first;
    int64_t version;
} op_count;

typedef struct facts {
    const pln_allocator *alloc;
    pln_model *model; /* a copy, inferred */
    op_count *ops;
    size_t n_ops, cap_ops;
    size_t n_nodes;
    uint64_t parameters, weight_bytes;
    struct {
        uint64_t tensors, elements, bytes;
    } weights[PLN_DT_COUNT];
    double flops;
    bool no_gradients; /* those that the model asks for can't be made */
    pln_text *out;
} facts;

/* ---- shapes with numbers ----------------------------------------------------------- */

static pln_dim one(void *user, const char *symbol)
{
    (void)user;
    (void)symbol;
    return pln_dim_of(1);
}

/* Costs are told for symbolic and unknown dimensions of 1. */
static void make_concrete(pln_model *m, pln_type *t)
{
    for (int i = 0; i < t->shape.rank; i++) {
        pln_dim d = t->shape.dims[i];
        if (!pln_dim_is_known(d) && !pln_dim_is_unknown(d))
            d = pln_dim_substitute(m->syms, d, one, NULL);
        t->shape.dims[i] = pln_dim_is_known(d) && d.value >= 0 ? d : pln_dim_of(1);
    }
}

static double bytes_of(const pln_value *v)
{
    const pln_type *t = &v->type;
    double n = (double)pln_dtype_size(t->dtype);
    for (int i = 0; i < t->shape.rank; i++)
        n *= (double)t->shape.dims[i].value;
    return t->kind == PLN_KIND_TENSOR && t->shape.rank >= 0 ? n : 0;
}

static double elements_of(const pln_value *v)
{
    const size_t size = pln_dtype_size(v->type.dtype);
    return size ? bytes_of(v) / (double)size : 0;
}

/* ---- weights ----------------------------------------------------------------------- */

static void count_weight(facts *f, const pln_tensor *t)
{
    if (t->kind != PLN_KIND_TENSOR || t->dtype >= PLN_DT_COUNT)
        return;
    const uint64_t n = (uint64_t)pln_tensor_size(t);
    const unsigned bits = pln_dtype_bits((pln_dtype)t->dtype);
    const uint64_t bytes = bits ? (n * bits + 7) / 8 : n * sizeof(char *);
    f->parameters += n;
    f->weight_bytes += bytes;
    f->weights[t->dtype].tensors++;
    f->weights[t->dtype].elements += n;
    f->weights[t->dtype].bytes += bytes;
}

static void count_weights(facts *f, const pln_graph *g)
{
    for (const pln_value *v = g->values; v; v = v->next)
        if (v->cst && !pln_value_is_raised(v))
            count_weight(f, v->cst);
}

/* ---- operators --------------------------------------------------------------------- */

static const char *op_as_read(const pln_node *n)
{
    const pln_origin *o = n->origin;
    return o && o->raised_type == n->op_type ? o->op_type : n->op_type;
}

/* A Gradient runs where every operator on the way to it has a rule: a copy tells. */
static void try_gradients(facts *f)
{
    pln_model *copy = NULL;
    if (!pln_model_has_gradients(f->model) ||
        pln_model_clone(f->model, &copy, NULL) != PLN_OK)
        return;
    f->no_gradients = pln_model_expand_gradients(copy, NULL) != PLN_OK;
    pln_model_free(copy);
}

static bool can_run(const facts *f, const pln_node *n)
{
    if (f->no_gradients && !strcmp(n->op_type, "Gradient"))
        return false;
    if (!n->op)
        return pln_model_find_function(n->graph->model, n->domain, n->op_type,
                                       n->overload) != NULL;
    return n->op->ref || n->op->cpu || n->op->user;
}

static bool count_op(facts *f, const pln_node *n)
{
    const char *op = op_as_read(n);
    f->n_nodes++;
    for (size_t i = 0; i < f->n_ops; i++)
        if (f->ops[i].op == op && f->ops[i].domain == n->domain) {
            f->ops[i].count++;
            if (f->ops[i].runs && !can_run(f, n)) {
                f->ops[i].runs = false;
                f->ops[i].first = n;
            }
            return true;
        }
    if (!pln_grow(f->alloc, (void **)&f->ops, &f->cap_ops, f->n_ops + 1, sizeof *f->ops))
        return false;
    f->ops[f->n_ops++] = (op_count){ n->domain, op, 1, can_run(f, n), n,
                                     pln_model_opset(n->graph->model, n->domain) };
    return true;
}

static double default_flops(const pln_node *n)
{
    if (!(pln_node_traits(n) & PLN_OP_ELEMENTWISE) || !n->n_out || !n->out[0])
        return 0;
    return elements_of(n->out[0]);
}

/* Costs come from the rows, which see types with numbers. */
static double flops_of(facts *f, pln_node *n, pln_arena *scratch)
{
    pln_infer inf = { .node = n, .arena = scratch, .n_in = n->n_in, .n_out = n->n_out };
    pln_cost cost = { 0 };
    if (!n->op || !n->op->cost)
        return default_flops(n);
    const pln_type **in = PLN_NEW_ARRAY(scratch, const pln_type *, n->n_in);
    inf.in_cst = PLN_NEW_ARRAY(scratch, const pln_tensor *, n->n_in);
    inf.in_sym = PLN_NEW_ARRAY(scratch, const pln_symval *, n->n_in);
    inf.out = PLN_NEW_ARRAY(scratch, pln_type, n->n_out);
    if (!in || !inf.in_cst || !inf.in_sym || !inf.out ||
        pln_node_attrs(n, &inf.attrs, NULL) != PLN_OK)
        return 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = n->in[i] ? &n->in[i]->type : NULL;
    for (uint32_t i = 0; i < n->n_out; i++)
        inf.out[i] = n->out[i] ? n->out[i]->type : pln_type_unknown();
    inf.in = in;
    n->op->cost(&inf, &cost);
    return cost.flops;
}

static pln_status concrete_graph(pln_graph *g, void *user)
{
    for (pln_value *v = g->values; v; v = v->next)
        make_concrete(user, &v->type);
    return PLN_OK;
}

static pln_status count_graph(pln_graph *g, void *user)
{
    facts *f = user;
    pln_arena *scratch = pln_arena_new(f->alloc);
    if (!scratch)
        return PLN_E_NOMEM;
    count_weights(f, g);
    pln_status st = PLN_OK;
    for (pln_node *n = g->first; n && st == PLN_OK; n = n->next) {
        if (!count_op(f, n))
            st = PLN_E_NOMEM;
        f->flops += flops_of(f, n, scratch);
    }
    pln_arena_free(scratch);
    return st;
}

/* ---- activations ------------------------------------------------------------------- */

/* The last node of g that needs a value, uses in bodies counted for their owners; NULL:
 * an output of the graph, needed to the end. */
static bool last_use(const pln_graph *g, const pln_value *v, const uint32_t *order,
                     uint32_t *last)
{
    for (const pln_use *u = v->uses; u; u = u->next) {
        const pln_graph *at = u->graph;
        const pln_node *n = u->node;
        while (at && at != g) {
            n = at->owner;
            at = at->parent;
        }
        if (!at || !n)
            return false;
        if (order[n->id] > *last)
            *last = order[n->id];
    }
    return true;
}

static double peak_of(facts *f, const pln_graph *g, uint32_t *order);

static double peak_of_bodies(facts *f, const pln_node *n, uint32_t *order)
{
    double most = 0;
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        const size_t count = a->type == PLN_ATTR_GRAPH ? 1
                             : a->type == PLN_ATTR_GRAPHS ? a->n : 0;
        for (size_t k = 0; k < count; k++) {
            const double peak =
                peak_of(f, a->type == PLN_ATTR_GRAPH ? a->g : a->graphs[k], order);
            most = peak > most ? peak : most;
        }
    }
    return most;
}

/* Bytes that come alive and go at each step, added up along the graph. A view has its
 * input's bytes: it only makes them live longer. */
static double sweep(facts *f, const pln_graph *g, uint32_t *order, double *change,
                    uint32_t *life)
{
    uint32_t step = 0;
    for (const pln_node *n = g->first; n; n = n->next)
        order[n->id] = ++step;
    const uint32_t end = step + 1;
    for (const pln_value *v = g->last_value; v; v = v->prev) {
        uint32_t last = v->kind == PLN_VALUE_NODE ? order[v->def->id] : 0;
        if (!last_use(g, v, order, &last))
            last = end;
        life[v->id] = last > life[v->id] ? last : life[v->id];
        const bool view = v->kind == PLN_VALUE_NODE && v->slot == 0 && v->def->n_in &&
                          v->def->in[0] && (pln_node_traits(v->def) & PLN_OP_VIEW);
        if (view && v->def->in[0]->graph == g && !v->def->in[0]->cst) {
            uint32_t *source = &life[v->def->in[0]->id];
            *source = life[v->id] > *source ? life[v->id] : *source;
        } else if (!v->cst) {
            const uint32_t first = v->kind == PLN_VALUE_NODE ? order[v->def->id] : 0;
            change[first] += bytes_of(v);
            change[life[v->id] + 1] -= bytes_of(v);
        }
    }
    double now = change[0], most = now;
    step = 0;
    for (const pln_node *n = g->first; n; n = n->next) {
        now += change[++step];
        const double with_bodies = now + peak_of_bodies(f, n, order);
        most = with_bodies > most ? with_bodies : most;
    }
    return most;
}

static double peak_of(facts *f, const pln_graph *g, uint32_t *order)
{
    double *change = pln_calloc(f->alloc, (size_t)g->n_nodes + 4, sizeof *change);
    uint32_t *life = pln_calloc(f->alloc, (size_t)f->model->n_values + 1, sizeof *life);
    const double peak = change && life ? sweep(f, g, order, change, life) : 0;
    pln_release(f->alloc, change);
    pln_release(f->alloc, life);
    return peak;
}

/* ---- as text ----------------------------------------------------------------------- */

static void put_name(pln_text *t, const char *key, const char *interned)
{
    pln_text_printf(t, "\"%s\":", key);
    pln_text_json(t, interned, pln_name_len(interned));
}

static void put_cstr(pln_text *t, const char *s)
{
    pln_text_json(t, s, strlen(s));
}

static void put_dim(facts *f, pln_dim d)
{
    pln_text name;
    if (pln_dim_is_known(d)) {
        pln_text_printf(f->out, "%lld", (long long)d.value);
        return;
    }
    if (pln_dim_is_unknown(d)) {
        pln_text_str(f->out, "null");
        return;
    }
    pln_text_init(&name, f->alloc);
    pln_dim_print(&name, d);
    f->out->failed |= name.failed;
    pln_text_json(f->out, name.data ? name.data : "", name.len);
    pln_text_done(&name);
}

static void put_type(facts *f, const pln_type *t)
{
    pln_text name;
    pln_text_str(f->out, ",\"type\":");
    if (t->kind == PLN_KIND_TENSOR) {
        put_cstr(f->out, pln_dtype_name(t->dtype));
    } else {
        pln_text_init(&name, f->alloc);
        pln_type_print(&name, t);
        pln_text_json(f->out, name.data ? name.data : "", name.len);
        pln_text_done(&name);
    }
    pln_text_str(f->out, ",\"shape\":");
    if (t->shape.rank < 0) {
        pln_text_str(f->out, "null");
        return;
    }
    for (int i = 0; i < t->shape.rank; i++) {
        pln_text_str(f->out, i ? "," : "[");
        put_dim(f, t->shape.dims[i]);
    }
    pln_text_str(f->out, t->shape.rank ? "]" : "[]");
}

static void put_values(facts *f, const pln_model *m)
{
    bool any = false;
    pln_text_str(f->out, ",\"inputs\":[");
    for (uint32_t i = 0; i < m->graph->n_inputs; i++) {
        const pln_value *v = m->graph->inputs[i];
        if (v->cst && !v->overridable)
            continue;
        pln_text_str(f->out, any ? ",{" : "{");
        any = true;
        put_name(f->out, "name", v->name);
        put_type(f, &v->type);
        pln_text_str(f->out, v->overridable ? ",\"default\":true}" : "}");
    }
    pln_text_str(f->out, "],\"outputs\":[");
    for (uint32_t i = 0; i < m->graph->n_outputs; i++) {
        pln_text_str(f->out, i ? ",{" : "{");
        put_name(f->out, "name", m->graph->output_names[i]);
        put_type(f, &m->graph->outputs[i]->type);
        pln_text_str(f->out, "}");
    }
    pln_text_str(f->out, "]");
}

static void put_op_name(pln_text *t, const op_count *o)
{
    pln_text full;
    pln_text_init(&full, t->alloc);
    pln_text_printf(&full, "%s%s%s", o->domain, *o->domain ? "." : "", o->op);
    t->failed |= full.failed;
    pln_text_json(t, full.data ? full.data : "", full.len);
    pln_text_done(&full);
}

static void put_ops(facts *f)
{
    pln_text_str(f->out, ",\"ops\":{");
    for (size_t i = 0; i < f->n_ops; i++) {
        pln_text_str(f->out, i ? "," : "");
        put_op_name(f->out, &f->ops[i]);
        pln_text_printf(f->out, ":%zu", f->ops[i].count);
    }
    pln_text_str(f->out, "},\"unsupported\":[");
    bool any = false;
    for (size_t i = 0; i < f->n_ops; i++) {
        if (f->ops[i].runs)
            continue;
        pln_text_str(f->out, any ? ",{" : "{");
        any = true;
        put_name(f->out, "op", f->ops[i].op);
        pln_text_str(f->out, ",");
        put_name(f->out, "domain", f->ops[i].domain);
        pln_text_printf(f->out, ",\"version\":%lld,\"count\":%zu,",
                        (long long)f->ops[i].version, f->ops[i].count);
        put_name(f->out, "node", f->ops[i].first->name);
        pln_text_str(f->out, "}");
    }
    pln_text_str(f->out, "]");
}

#define GRAPH_DOC_STRING 10 /* its number in GraphProto */

/* Graphs keep their doc string among the fields that nobody reads. */
static void put_graph_doc(pln_text *out, const pln_graph *g)
{
    pln_blob doc = { 0 };
    pln_rest_field(g->extra, GRAPH_DOC_STRING, 0, &doc);
    pln_text_str(out, "\"graph_doc\":");
    pln_text_json(out, doc.data ? doc.data : "", doc.len);
}

static void put_header(pln_text *out, const pln_model *m)
{
    pln_text_printf(out, "{\"schema\":1,\"ir_version\":%lld,\"model_version\":%lld,",
                    (long long)m->ir_version, (long long)m->model_version);
    put_name(out, "producer_name", m->producer_name);
    pln_text_str(out, ",");
    put_name(out, "producer_version", m->producer_version);
    pln_text_str(out, ",");
    put_name(out, "domain", m->model_domain);
    pln_text_str(out, ",");
    put_name(out, "doc", m->doc);
    pln_text_str(out, ",");
    put_name(out, "graph_name", m->graph->name);
    pln_text_str(out, ",");
    put_graph_doc(out, m->graph);
    pln_text_str(out, ",\"opsets\":[");
    for (size_t i = 0; i < m->n_opsets; i++) {
        pln_text_str(out, i ? ",{" : "{");
        put_name(out, "domain", m->opsets[i].domain);
        pln_text_printf(out, ",\"version\":%lld}", (long long)m->opsets[i].version);
    }
    pln_text_str(out, "],\"metadata\":{");
    for (size_t i = 0; i < m->n_metadata; i++) {
        const char *key = m->metadata[i].key, *value = m->metadata[i].value;
        pln_text_str(out, i ? "," : "");
        pln_text_json(out, key, pln_name_len(key));
        pln_text_str(out, ":");
        pln_text_json(out, value, pln_name_len(value));
    }
    pln_text_printf(out, "},\"functions\":%zu", m->n_functions);
}

static void put_weights(facts *f)
{
    bool any = false;
    pln_text_str(f->out, ",\"weights\":{");
    for (int dt = 0; dt < PLN_DT_COUNT; dt++) {
        if (!f->weights[dt].tensors)
            continue;
        pln_text_str(f->out, any ? "," : "");
        any = true;
        put_cstr(f->out, pln_dtype_name((pln_dtype)dt));
        pln_text_printf(f->out, ":{\"tensors\":%llu,\"elements\":%llu,\"bytes\":%llu}",
                        (unsigned long long)f->weights[dt].tensors,
                        (unsigned long long)f->weights[dt].elements,
                        (unsigned long long)f->weights[dt].bytes);
    }
    pln_text_str(f->out, "}");
}

static pln_status add_flops(pln_graph *g, void *user)
{
    facts *f = user;
    pln_arena *scratch = pln_arena_new(f->alloc);
    for (pln_node *n = g->first; n && scratch; n = n->next)
        f->flops += flops_of(f, n, scratch);
    pln_arena_free(scratch);
    return scratch ? PLN_OK : PLN_E_NOMEM;
}

/* Of what the functions do that it calls. */
static pln_status flops_of_functions(facts *f)
{
    pln_model *copy = NULL;
    PLN_TRY(pln_model_clone(f->model, &copy, NULL));
    pln_status st = pln_model_inline(copy, NULL);
    if (st == PLN_OK)
        st = pln_graph_infer(copy->graph, NULL, NULL);
    if (st == PLN_OK)
        st = pln_graph_walk(copy->graph, concrete_graph, copy);
    if (st == PLN_OK) {
        f->flops = 0;
        st = pln_graph_walk(copy->graph, add_flops, f);
    }
    pln_model_free(copy);
    return st == PLN_E_NOMEM ? st : PLN_OK; /* others: what is known of it is counted */
}

static pln_status find_call(pln_graph *g, void *user)
{
    for (const pln_node *n = g->first; n; n = n->next)
        *(bool *)user |= !n->op && pln_node_is_inlinable(n);
    return PLN_OK;
}

static pln_status measure(facts *f, double *peak)
{
    pln_model *m = f->model;
    bool calls = false;
    PLN_TRY(pln_graph_walk(m->graph, concrete_graph, m));
    PLN_TRY(pln_graph_walk(m->graph, count_graph, f));
    if (m->n_functions)
        pln_graph_walk(m->graph, find_call, &calls);
    if (calls)
        PLN_TRY(flops_of_functions(f));
    uint32_t *order = pln_calloc(f->alloc, (size_t)m->n_nodes + 1, sizeof *order);
    if (!order)
        return PLN_E_NOMEM;
    *peak = peak_of(f, m->graph, order);
    pln_release(f->alloc, order);
    return PLN_OK;
}

static pln_status tell(facts *f, const pln_model *model)
{
    double peak = 0;
    /* A model that contradicts itself can still be looked at. */
    try_gradients(f);
    const pln_status st = pln_graph_infer(f->model->graph, NULL, NULL);
    if (st == PLN_E_NOMEM)
        return st;
    put_header(f->out, model);
    put_values(f, f->model);
    PLN_TRY(measure(f, &peak));
    pln_text_printf(f->out, ",\"nodes\":%zu,\"parameters\":%llu,\"weight_bytes\":%llu",
                    f->n_nodes, (unsigned long long)f->parameters,
                    (unsigned long long)f->weight_bytes);
    put_weights(f);
    pln_text_str(f->out, ",\"flops\":");
    pln_text_json_double(f->out, f->flops);
    pln_text_str(f->out, ",\"peak_activation_bytes\":");
    pln_text_json_double(f->out, peak);
    put_ops(f);
    pln_text_str(f->out, "}");
    return f->out->failed ? PLN_E_NOMEM : PLN_OK;
}

PLN_API pln_status pln_model_info(const pln_model *model, char **json, pln_error *err)
{
    pln_error_clear(err);
    if (!model || !json)
        return pln_fail(err, PLN_E_USAGE, "pln_model_info: NULL argument");
    *json = NULL;
    pln_text out;
    facts f = { .alloc = model->alloc, .out = &out };
    PLN_TRY(pln_model_clone(model, &f.model, err));
    pln_text_init(&out, model->alloc);
    pln_status st = tell(&f, model);
    if (st == PLN_OK)
        *json = pln_text_take(&out);
    if (st == PLN_OK && !*json)
        st = PLN_E_NOMEM;
    pln_text_done(&out);
    pln_release(f.alloc, f.ops);
    pln_model_free(f.model);
    return st == PLN_E_NOMEM ? pln_oom(err) : st;
}

PLN_API pln_status pln_model_header(const pln_model *model, char **json, pln_error *err)
{
    pln_text out;
    pln_error_clear(err);
    if (!model || !json)
        return pln_fail(err, PLN_E_USAGE, "pln_model_header: NULL argument");
    pln_text_init(&out, model->alloc);
    put_header(&out, model);
    pln_text_str(&out, "}");
    *json = pln_text_take(&out);
    pln_text_done(&out);
    return *json ? PLN_OK : pln_oom(err);
}

PLN_API pln_status pln_model_values(const pln_model *model, char **json, pln_error *err)
{
    pln_text out;
    bool any = false;
    pln_error_clear(err);
    if (!model || !json)
        return pln_fail(err, PLN_E_USAGE, "pln_model_values: NULL argument");
    *json = NULL;
    pln_text_init(&out, model->alloc);
    pln_text_str(&out, "[");
    for (const pln_value *v = model->graph->values; v; v = v->next) {
        if (!pln_name_len(v->name) || pln_value_is_raised(v))
            continue;
        pln_text_str(&out, any ? "," : "");
        any = true;
        pln_text_json(&out, v->name, pln_name_len(v->name));
    }
    pln_text_str(&out, "]");
    *json = pln_text_take(&out);
    pln_text_done(&out);
    return *json ? PLN_OK : pln_oom(err);
}
