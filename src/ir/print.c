/* Printing graphs, functions and models in ONNX's textual syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "src/ir/op.h"
#include "src/ir/print_impl.h"
#include "src/ir/text_words.h"
#include "src/ir/version.h"

/* ---- nodes ------------------------------------------------------------------------- */

/* A node as it is to be written. */
typedef struct written {
    const char *op_type;
    const pln_attr *const *attrs;
    uint32_t n_attrs, n_in, n_out;
    const uint32_t *in_at; /* NULL: inputs as they are */
} written;

static bool as_read(const printer *p, const pln_node *n)
{
    return !p->style->raised && n->origin && n->origin->in_at && pln_node_is_as_read(n);
}

static written written_form(const printer *p, const pln_node *n)
{
    const pln_origin *o = n->origin;
    if (as_read(p, n))
        return (written){ o->op_type, (const pln_attr *const *)o->attrs, o->n_attrs,
                          o->n_in,    o->n_out, o->in_at };
    return (written){ n->op_type, (const pln_attr *const *)n->attrs, n->n_attrs,
                      n->n_in,    n->n_out, NULL };
}

static const pln_value *written_input(const pln_node *n, const written *w, uint32_t i)
{
    if (!w->in_at)
        return n->in[i];
    return w->in_at[i] < n->n_in ? n->in[w->in_at[i]] : NULL;
}

static void print_op(printer *p, const pln_node *n, const char *op_type)
{
    const char *d = n->domain;
    const size_t len = pln_name_len(d);
    bool plain = true;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)d[i];
        const bool starts = i == 0 || d[i - 1] == '.';
        plain &= pln_text_is_alpha(c) || (!starts && (pln_text_is_digit(c) || c == '.'));
    }
    if (len && plain && d[len - 1] != '.')
        pln_text_put(p->out, d, len);
    else if (len)
        print_identifier(p, d, len);
    pln_text_str(p->out, len ? "." : "");
    const size_t op_len = pln_name_len(op_type);
    if (pln_text_is_type(op_type, op_len)) /* a fine name for an operator */
        pln_text_put(p->out, op_type, op_len);
    else
        print_identifier(p, op_type, op_len);
    if (n->overload && pln_name_len(n->overload)) {
        pln_text_str(p->out, ":");
        print_identifier(p, n->overload, pln_name_len(n->overload));
    }
}

static void print_blob(printer *p, const char *what, const char *name, pln_blob b)
{
    if (!b.len)
        return;
    print_line(p);
    print_hidden(p);
    pln_text_printf(p->out, "@%s ", what);
    if (name) {
        print_string(p, name, pln_name_len(name));
        pln_text_str(p->out, " ");
    }
    print_hex(p, b.data, b.len);
    p->hidden = false;
}

static pln_status print_node(printer *p, const pln_node *n)
{
    const written w = written_form(p, n);
    if (p->style->note)
        p->style->note(p->style->user, n, p->out);
    print_blob(p, "node", NULL, n->extra);
    for (uint32_t i = 0; i < w.n_attrs; i++)
        print_blob(p, "attr", w.attrs[i]->name, w.attrs[i]->extra);
    print_line(p);
    if (pln_name_len(n->name)) {
        pln_text_str(p->out, "[");
        print_name(p, n->name);
        pln_text_str(p->out, "] ");
    }
    for (uint32_t i = 0; i < w.n_out; i++) {
        pln_text_str(p->out, i ? ", " : "");
        print_value_name(p, i < n->n_out ? n->out[i] : NULL);
    }
    pln_text_str(p->out, " = ");
    print_op(p, n, w.op_type);
    PLN_TRY(print_attrs(p, w.attrs, w.n_attrs));
    pln_text_str(p->out, " (");
    for (uint32_t i = 0; i < w.n_in; i++) {
        pln_text_str(p->out, i ? ", " : "");
        print_value_name(p, written_input(n, &w, i));
    }
    pln_text_str(p->out, ")");
    return p->out->failed ? pln_oom(p->err) : PLN_OK;
}

pln_status pln_text_print_call(const pln_node *n, pln_text *out, pln_error *err)
{
    const pln_text_style style = { .raised = true };
    printer p = { .out = out, .style = &style, .err = err };
    pln_text_printf(out, "%s.%s", n->domain, n->op_type);
    PLN_TRY(print_attrs(&p, (const pln_attr *const *)n->attrs, n->n_attrs));
    pln_text_str(out, " (");
    for (uint32_t i = 0; i < n->n_in; i++)
        pln_text_printf(out, n->in[i] ? "%sx%u" : "%s\"\"", i ? ", " : "", i);
    pln_text_str(out, ")");
    return out->failed ? pln_oom(err) : PLN_OK;
}

/* ---- graphs ------------------------------------------------------------------------ */

static const pln_type *shown_type(const printer *p, const pln_value *v)
{
    const pln_type *t = p->style->types || !v->declared ? &v->type : v->declared;
    return t->kind == PLN_KIND_NONE || (t->kind == PLN_KIND_TENSOR && !t->dtype) ? NULL
                                                                                 : t;
}

/* Name of an output of the graph: another one than its value's needs an Identity. */
static bool renamed(const pln_graph *g, uint32_t i)
{
    return g->output_names[i] != g->outputs[i]->name &&
           pln_name_len(g->output_names[i]) > 0;
}

static pln_status print_inputs(printer *p, const pln_graph *g)
{
    pln_text_str(p->out, " (");
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const pln_value *v = g->inputs[i];
        const pln_type *t = shown_type(p, v);
        pln_text_str(p->out, i ? ", " : "");
        if (v->cst) {
            PLN_TRY(print_tensor(p, v->cst, v));
            continue;
        }
        if (t) {
            print_type(p, t);
            pln_text_str(p->out, " ");
        }
        print_value_name(p, v);
    }
    pln_text_str(p->out, ") => (");
    return PLN_OK;
}

static void print_outputs(printer *p, const pln_graph *g)
{
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const pln_value *v = g->outputs[i];
        const pln_type *t = v->graph == g ? shown_type(p, v) : NULL;
        pln_text_str(p->out, i ? ", " : "");
        if (t) {
            print_type(p, t);
            pln_text_str(p->out, " ");
        }
        if (renamed(g, i))
            print_name(p, g->output_names[i]);
        else
            print_value_name(p, v);
    }
    pln_text_str(p->out, ")");
}

static bool is_graph_output(const pln_value *v)
{
    for (const pln_use *u = v->uses; u; u = u->next)
        if (!u->node && u->graph == v->graph)
            return true;
    return false;
}

/* Types of values that are neither inputs nor outputs, and initializers. */
static pln_status print_values(printer *p, const pln_graph *g)
{
    bool first = true;
    p->indent++;
    for (const pln_value *v = g->values; v; v = v->next) {
        const bool cst = v->kind == PLN_VALUE_INITIALIZER && v->cst &&
                         (p->style->raised || !pln_value_is_raised(v));
        const bool said = p->style->types || v->declared;
        const pln_type *t = v->kind == PLN_VALUE_NODE && said && !is_graph_output(v)
                                ? shown_type(p, v) : NULL;
        if (!cst && !t)
            continue;
        pln_text_str(p->out, first ? " <" : ",");
        first = false;
        print_line(p);
        if (cst) {
            PLN_TRY(print_tensor(p, v->cst, v));
        } else {
            print_type(p, t);
            pln_text_str(p->out, " ");
            print_value_name(p, v);
        }
    }
    p->indent--;
    pln_text_str(p->out, first ? "" : ">");
    return PLN_OK;
}

static void print_value_rest(printer *p, const pln_graph *g)
{
    for (const pln_value *v = g->values; v; v = v->next) {
        print_blob(p, "value", v->name, v->extra);
        print_blob(p, v->is_sparse ? "sparse" : "tensor", v->name, v->tensor_extra);
        const char *d = v->declared ? v->declared->denotation : NULL;
        if (!d)
            continue;
        print_line(p);
        print_hidden(p);
        pln_text_str(p->out, "@denotation ");
        print_string(p, v->name, pln_name_len(v->name));
        pln_text_str(p->out, " ");
        print_string(p, d, pln_name_len(d));
        p->hidden = false;
    }
}

static pln_status print_nodes(printer *p, const pln_graph *g)
{
    pln_text_str(p->out, " {");
    p->indent++;
    print_blob(p, "graph", NULL, g->extra);
    for (const pln_node *n = g->first; n; n = n->next)
        PLN_TRY(print_node(p, n));
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        if (!renamed(g, i))
            continue;
        print_line(p);
        print_name(p, g->output_names[i]);
        pln_text_str(p->out, " = Identity (");
        print_value_name(p, g->outputs[i]);
        pln_text_str(p->out, ")");
    }
    print_value_rest(p, g);
    p->indent--;
    print_line(p);
    pln_text_str(p->out, "}");
    return PLN_OK;
}

pln_status print_graph(printer *p, const pln_graph *g)
{
    const size_t len = pln_name_len(g->name);
    if (g->owner || g->parent) /* as an attribute, where no quotes are possible */
        print_identifier(p, g->name, len);
    else
        print_name(p, g->name);
    PLN_TRY(print_inputs(p, g));
    print_outputs(p, g);
    PLN_TRY(print_values(p, g));
    return print_nodes(p, g);
}

/* ---- functions --------------------------------------------------------------------- */

static int64_t shown_version(const printer *p, const pln_opset *o)
{
    const char *d = pln_domain_normal(o->domain);
    if (p->style->raised && !*d)
        return PLN_OPSET_NEWEST;
    if (p->style->raised && !strcmp(d, "ai.onnx.ml"))
        return PLN_OPSET_NEWEST_ML;
    return o->version;
}

static void print_opsets(printer *p, const pln_opset *o, size_t n)
{
    pln_text_str(p->out, "opset_import: [");
    for (size_t i = 0; i < n; i++) {
        pln_text_str(p->out, i ? ", " : "");
        print_string(p, o[i].domain, pln_name_len(o[i].domain));
        pln_text_printf(p->out, " : %" PRId64, shown_version(p, &o[i]));
    }
    pln_text_str(p->out, "]");
}

static pln_status print_parameters(printer *p, const pln_function *f)
{
    if (!f->n_attr_names && !f->n_attr_defaults)
        return PLN_OK;
    pln_text_str(p->out, " <");
    for (size_t i = 0; i < f->n_attr_names; i++) {
        pln_text_str(p->out, i ? ", " : "");
        print_name(p, f->attr_names[i]);
    }
    for (size_t i = 0; i < f->n_attr_defaults; i++) {
        pln_text_str(p->out, i || f->n_attr_names ? ", " : "");
        PLN_TRY(print_attr(p, f->attr_defaults[i]));
    }
    pln_text_str(p->out, ">");
    return PLN_OK;
}

static pln_status print_function(printer *p, const pln_function *f)
{
    const pln_graph *g = f->body;
    print_line(p);
    if (f->extra.len) {
        print_hidden(p);
        pln_text_str(p->out, "@function ");
        print_hex(p, f->extra.data, f->extra.len);
        print_hidden_end(p);
    }
    pln_text_str(p->out, "<domain: ");
    print_string(p, f->domain, pln_name_len(f->domain));
    if (f->overload && pln_name_len(f->overload)) {
        pln_text_str(p->out, ", overload: ");
        print_string(p, f->overload, pln_name_len(f->overload));
    }
    pln_text_str(p->out, ", ");
    print_opsets(p, f->opsets, f->n_opsets);
    pln_text_str(p->out, ">");
    print_line(p);
    print_name(p, f->name);
    PLN_TRY(print_parameters(p, f));
    PLN_TRY(print_inputs(p, g));
    print_outputs(p, g);
    PLN_TRY(print_values(p, g));
    return print_nodes(p, g);
}

/* ---- models ------------------------------------------------------------------------ */

static void print_field(printer *p, const char *key, const char *s)
{
    if (!s || !pln_name_len(s))
        return;
    pln_text_str(p->out, ",");
    print_line(p);
    pln_text_printf(p->out, "%s: ", key);
    print_string(p, s, pln_name_len(s));
}

static void print_metadata(printer *p, const pln_model *m)
{
    if (!m->n_metadata)
        return;
    pln_text_str(p->out, ",");
    print_line(p);
    pln_text_str(p->out, "metadata_props: [");
    for (size_t i = 0; i < m->n_metadata; i++) {
        pln_text_str(p->out, i ? ", " : "");
        print_string(p, m->metadata[i].key, pln_name_len(m->metadata[i].key));
        pln_text_str(p->out, ": ");
        print_string(p, m->metadata[i].value, pln_name_len(m->metadata[i].value));
    }
    pln_text_str(p->out, "]");
}

static void print_header(printer *p, const pln_model *m)
{
    pln_text_str(p->out, "<");
    p->indent++;
    print_line(p);
    pln_text_printf(p->out, "ir_version: %" PRId64 ",", m->ir_version);
    print_line(p);
    print_opsets(p, m->opsets, m->n_opsets);
    print_field(p, "producer_name", m->producer_name);
    print_field(p, "producer_version", m->producer_version);
    print_field(p, "domain", m->model_domain);
    if (m->model_version) {
        pln_text_str(p->out, ",");
        print_line(p);
        pln_text_printf(p->out, "model_version: %" PRId64, m->model_version);
    }
    print_field(p, "doc_string", m->doc);
    print_metadata(p, m);
    p->indent--;
    print_line(p);
    pln_text_str(p->out, ">");
    print_blob(p, "model", NULL, m->extra);
    print_line(p);
}

pln_status pln_text_print_graph(const pln_graph *g, const pln_text_style *style,
                                pln_text *out, pln_error *err)
{
    printer p = { .out = out, .model = g->model, .style = style, .err = err };
    PLN_TRY(print_graph(&p, g));
    print_line(&p);
    return out->failed ? pln_oom(err) : PLN_OK;
}

pln_status pln_text_print_model(const pln_model *m, const pln_text_style *style,
                                pln_text *out, pln_error *err)
{
    printer p = { .out = out, .model = m, .style = style, .err = err };
    if (style->note)
        style->note(style->user, NULL, out);
    print_header(&p, m);
    PLN_TRY(pln_text_print_graph(m->graph, style, out, err));
    for (size_t i = 0; i < m->n_functions; i++) {
        PLN_TRY(print_function(&p, m->functions[i]));
        print_line(&p);
    }
    return out->failed ? pln_oom(err) : PLN_OK;
}
