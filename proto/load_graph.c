/* Graphs, from their messages: values first, then nodes in the file's order, then what
 * they read, since a file may name a value before the node that makes it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/load.h"
#include "src/ir/op.h"


static pln_value *find_here(const pln_graph *g, const char *name)
{
    return pln_map_get(&g->by_name, name);
}

static pln_value *find(const pln_graph *g, const char *name)
{
    for (; g; g = g->parent) {
        pln_value *v = find_here(g, name);
        if (v)
            return v;
    }
    return NULL;
}

static pln_status twice(pln_loader *l, const char *name)
{
    return pln_fail(l->err, PLN_E_FORMAT, "the name '%.100s' is given to two values",
                    name);
}

/* ---- values ------------------------------------------------------------------------ */

/* Takes the type; what else the message says goes to *rest. */
static pln_status value_info(pln_loader *l, Onnx__ValueInfoProto *p, pln_type *type,
                             pln_blob *rest)
{
    bool exact = true;
    *type = pln_type_unknown();
    if (p->type)
        PLN_TRY(pln_load_type(l, p->type, type, &exact));
    if (exact && p->type && type->kind != PLN_KIND_NONE)
        p->type = NULL;
    p->has_name = p->has_name && p->name.len == 0;
    return pln_load_rest(l, &p->base, rest);
}

static pln_status named(pln_loader *l, ProtobufCBinaryData name, pln_status st)
{
    return st == PLN_OK ? st : pln_fail_prefix(l->err, st, "'%.*s'", PLN_PRBYTES(name));
}

static pln_status load_input(pln_loader *l, pln_graph *g, Onnx__ValueInfoProto *p)
{
    pln_type type;
    pln_blob rest;
    const char *name = pln_load_name(l, p->name);
    if (!name)
        return PLN_E_NOMEM;
    if (!*name && !pln_name_len(name))
        return pln_fail(l->err, PLN_E_FORMAT, "an input of the graph has no name");
    if (find_here(g, name))
        return twice(l, name);
    PLN_TRY(named(l, p->name, value_info(l, p, &type, &rest)));
    pln_value *v = pln_graph_add_input(g, name, type.kind ? &type : NULL);
    if (!v)
        return pln_oom(l->err);
    v->extra = rest;
    return PLN_OK;
}

/* Says a type of a value that exists: an output, or something in between. */
static pln_status declare(pln_loader *l, pln_value *v, Onnx__ValueInfoProto *p)
{
    pln_type type;
    pln_arena *arena = l->model->arena;
    PLN_TRY(named(l, p->name, value_info(l, p, &type, &v->extra)));
    if (!type.kind)
        return PLN_OK;
    v->declared = pln_arena_dup(arena, &type, sizeof type);
    if (!v->declared)
        return pln_oom(l->err);
    const pln_type copy = pln_type_dup(arena, &type);
    pln_type_merge(arena, &v->type, &copy, NULL);
    return PLN_OK;
}

/* An input of this name gets the tensor as its default (in IR versions before 4, every
 * initializer has to be an input, and nobody can replace it). */
static pln_status add_initializer(pln_loader *l, pln_graph *g, const char *name,
                                  pln_tensor *t, pln_value **out)
{
    pln_value *v = find_here(g, name);
    if (v && v->kind == PLN_VALUE_INPUT && !v->cst) {
        v->cst = t;
        v->overridable = l->model->ir_version >= 4;
        v->file_order = ++l->n_initializers;
        *out = v;
        return PLN_OK;
    }
    if (v || (!*name && !pln_name_len(name))) {
        pln_tensor_unref(t);
        return v ? twice(l, name)
                 : pln_fail(l->err, PLN_E_FORMAT, "an initializer has no name");
    }
    *out = pln_graph_add_initializer(g, name, t);
    if (!*out)
        return pln_oom(l->err);
    (*out)->file_order = ++l->n_initializers;
    return PLN_OK;
}

static pln_status load_initializer(pln_loader *l, pln_graph *g, Onnx__TensorProto *p)
{
    pln_tensor *t;
    pln_value *v;
    const char *name = pln_load_name(l, p->name);
    if (!name)
        return PLN_E_NOMEM;
    PLN_TRY(pln_load_tensor(l, p, &t));
    PLN_TRY(add_initializer(l, g, name, t, &v));
    p->has_name = 0;
    return pln_load_rest(l, &p->base, &v->tensor_extra);
}

/* The graph gets the dense tensor; the sparse one is kept as it came, for writing. */
static pln_status load_sparse_initializer(pln_loader *l, pln_graph *g,
                                          Onnx__SparseTensorProto *p)
{
    pln_cut whole = { 0 };
    pln_tensor *sparse, *t;
    pln_value *v;
    if (!p->values)
        return pln_fail(l->err, PLN_E_FORMAT, "a sparse initializer has no values");
    const char *name = pln_load_name(l, p->values->name);
    if (!name)
        return PLN_E_NOMEM;
    const ProtobufCBinaryData label = p->values->name;
    pln_load_take_cut(l, &p->base, PLN_FIELD_SPARSE, &whole);
    PLN_TRY(pln_load_sparse(l, p, &sparse));
    const pln_status st = pln_sparse_to_dense(sparse, l->limits, &t, l->err);
    pln_tensor_unref(sparse);
    PLN_TRY(named(l, label, st));
    PLN_TRY(add_initializer(l, g, name, t, &v));
    v->is_sparse = true;
    v->tensor_extra.data = pln_arena_dup(l->model->arena, whole.data, whole.len);
    v->tensor_extra.len = whole.len;
    return v->tensor_extra.data ? PLN_OK : pln_oom(l->err);
}

/* ---- nodes ------------------------------------------------------------------------- */

static pln_status node_failed(pln_loader *l, const pln_node *n, pln_status st)
{
    char where[256];
    pln_error_set(l->err, "node", n->name);
    pln_error_set(l->err, "op", n->op_type);
    return pln_fail_prefix(l->err, st, "%s", pln_node_where(n, where, sizeof where));
}

static pln_status name_output(pln_loader *l, pln_node *n, uint32_t i,
                              ProtobufCBinaryData b)
{
    if (!b.len) { /* nobody wants it */
        pln_graph_remove_value(n->out[i]);
        n->out[i] = NULL;
        return PLN_OK;
    }
    const char *name = pln_load_name(l, b);
    if (!name)
        return PLN_E_NOMEM;
    if (find_here(n->graph, name))
        return twice(l, name);
    return pln_value_rename(n->out[i], name) ? PLN_OK : pln_oom(l->err);
}

static pln_status check_node_sizes(pln_loader *l, const Onnx__NodeProto *p)
{
    const ProtobufCBinaryData op = p->has_op_type ? p->op_type
                                                  : (ProtobufCBinaryData){ 0, NULL };
    if (!op.len || memchr(op.data, 0, op.len) ||
        (p->has_domain && p->domain.len && memchr(p->domain.data, 0, p->domain.len)))
        return pln_fail(l->err, PLN_E_FORMAT, "node '%.*s' has no proper operator",
                        PLN_PRBYTES(p->name));
    if (p->n_input > INT32_MAX || p->n_output > INT32_MAX || p->n_attribute > INT32_MAX)
        return pln_fail(l->err, PLN_E_LIMIT, "node '%.*s' has too many inputs",
                        PLN_PRBYTES(p->name));
    return PLN_OK;
}

/* The node with its outputs; its inputs are still open. */
static pln_status make_node(pln_loader *l, pln_graph *g, Onnx__NodeProto *p,
                            pln_node **out)
{
    PLN_TRY(check_node_sizes(l, p));
    const char *op = pln_load_name(l, p->op_type);
    const char *domain = pln_load_name(l, p->domain);
    const char *name = pln_load_name(l, p->name);
    const char *overload = pln_load_name(l, p->overload);
    pln_value **none = PLN_NEW_ARRAY(l->scratch, pln_value *, p->n_input);
    if (!op || !domain || !name || !overload || !none)
        return pln_oom(l->err);
    pln_node *n = pln_graph_add_node(g, NULL, domain, op, NULL, none,
                                     (uint32_t)p->n_input, (uint32_t)p->n_output);
    *out = n;
    if (!n)
        return pln_oom(l->err);
    n->name = name;
    n->overload = overload;
    /* "ai.onnx" says the same as no domain, but it is what the file says. */
    p->has_domain = p->has_domain && (!p->domain.len || !*n->domain);
    p->has_op_type = 0;
    p->has_name = p->has_name && !p->name.len;
    p->has_overload = p->has_overload && !p->overload.len;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_status st = name_output(l, n, i, p->output[i]);
        if (st != PLN_OK)
            return node_failed(l, n, st);
    }
    p->n_output = 0;
    return PLN_OK;
}

static pln_status connect(pln_loader *l, pln_node *n, Onnx__NodeProto *p)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!p->input[i].len)
            continue;
        const char *name = pln_name_find(l->model->names, (const char *)p->input[i].data,
                                         p->input[i].len);
        pln_value *v = name ? find(n->graph, name) : NULL;
        if (!v)
            return pln_fail(l->err, PLN_E_FORMAT, "input %u, '%.*s', is made nowhere", i,
                            PLN_PRBYTES(p->input[i]));
        if (pln_node_set_input(n, i, v) != PLN_OK)
            return pln_oom(l->err);
    }
    p->n_input = 0;
    return PLN_OK;
}

static pln_status load_attrs(pln_loader *l, pln_node *n, Onnx__NodeProto *p)
{
    n->attrs = PLN_NEW_ARRAY(l->model->arena, pln_attr *, p->n_attribute);
    if (!n->attrs)
        return pln_oom(l->err);
    for (size_t i = 0; i < p->n_attribute; i++) {
        PLN_TRY(pln_load_attr(l, n->graph, n, p->attribute[i], &n->attrs[i]));
        n->n_attrs = (uint32_t)i + 1;
        for (size_t j = 0; j < i; j++)
            if (n->attrs[j]->name == n->attrs[i]->name)
                return pln_fail(l->err, PLN_E_FORMAT, "attribute '%.100s' comes twice",
                                n->attrs[i]->name);
    }
    p->n_attribute = 0;
    return PLN_OK;
}

static pln_status constant_list(pln_loader *l, const pln_attr *a, pln_tensor **out)
{
    const pln_allocator *alloc = l->alloc;
    const int64_t n = (int64_t)a->n;
    switch (a->type) {
    case PLN_ATTR_INT:
        return pln_tensor_from_i64(alloc, 0, &a->i, 1, out);
    case PLN_ATTR_INTS:
        return pln_tensor_from_i64(alloc, 1, a->ints, n, out);
    case PLN_ATTR_FLOAT:
        return pln_tensor_from_f32(alloc, 0, &a->f, 1, out);
    case PLN_ATTR_FLOATS:
        return pln_tensor_from_f32(alloc, 1, a->floats, n, out);
    default:
        break;
    }
    const bool scalar = a->type == PLN_ATTR_STRING;
    PLN_TRY(pln_tensor_make(alloc, PLN_DT_STRING, scalar ? 0 : 1, &n, out, l->err));
    for (int64_t i = 0; i < (scalar ? 1 : n); i++) {
        const char *s = scalar ? a->s : a->strings[i];
        PLN_TRY(pln_tensor_set_string(*out, i, s, pln_name_len(s)));
    }
    return PLN_OK;
}

/* The contents of a Constant node are its output's contents. */
static pln_status set_constant(pln_loader *l, pln_node *n)
{
    static const char *const names[] = { "value",         "value_int",    "value_ints",
                                         "value_float",   "value_floats", "value_string",
                                         "value_strings", "sparse_value" };
    if (strcmp(n->op_type, "Constant") || *n->domain || n->n_out != 1 || !n->out[0] ||
        n->n_attrs != 1 || n->attrs[0]->ref)
        return PLN_OK;
    const pln_attr *a = n->attrs[0];
    size_t i = 0;
    while (i < sizeof names / sizeof *names && strcmp(names[i], a->name))
        i++;
    if (i == sizeof names / sizeof *names)
        return PLN_OK;
    pln_tensor *t = NULL;
    pln_status st = PLN_OK;
    if (a->type == PLN_ATTR_TENSOR)
        t = pln_tensor_ref(a->t);
    else if (a->type == PLN_ATTR_SPARSE_TENSOR)
        st = pln_sparse_to_dense(a->t, l->limits, &t, l->err);
    else if (a->type <= PLN_ATTR_STRINGS && a->type != PLN_ATTR_GRAPH && a->type)
        st = constant_list(l, a, &t);
    if (st != PLN_OK) {
        pln_tensor_unref(t);
        return st == PLN_E_NOMEM ? pln_oom(l->err) : st;
    }
    if (t)
        pln_value_set_const(n->out[0], t);
    return PLN_OK;
}

static pln_status finish_node(pln_loader *l, pln_node *n, Onnx__NodeProto *p)
{
    PLN_TRY(connect(l, n, p));
    PLN_TRY(load_attrs(l, n, p));
    PLN_TRY(set_constant(l, n));
    return pln_load_rest(l, &p->base, &n->extra);
}

static pln_status load_nodes(pln_loader *l, pln_graph *g, Onnx__NodeProto **p,
                             size_t count)
{
    pln_node **nodes = PLN_NEW_ARRAY(l->scratch, pln_node *, count);
    if (!nodes)
        return pln_oom(l->err);
    for (size_t i = 0; i < count; i++)
        PLN_TRY(make_node(l, g, p[i], &nodes[i]));
    for (size_t i = 0; i < count; i++) {
        const pln_status st = finish_node(l, nodes[i], p[i]);
        if (st != PLN_OK)
            return node_failed(l, nodes[i], st);
    }
    return PLN_OK;
}

/* ---- graphs ------------------------------------------------------------------------ */

static pln_status add_output(pln_loader *l, pln_graph *g, ProtobufCBinaryData b,
                             pln_value **out)
{
    const char *name = pln_load_name(l, b);
    if (!name)
        return PLN_E_NOMEM;
    *out = b.len ? find(g, name) : NULL;
    if (!*out)
        return pln_fail(l->err, PLN_E_FORMAT, "the graph's output '%.*s' is made nowhere",
                        PLN_PRBYTES(b));
    return pln_graph_add_output(g, *out, name) == PLN_OK ? PLN_OK : pln_oom(l->err);
}

static pln_status load_outputs(pln_loader *l, pln_graph *g, Onnx__GraphProto *p)
{
    for (size_t i = 0; i < p->n_output; i++) {
        pln_value *v;
        PLN_TRY(add_output(l, g, p->output[i]->name, &v));
        if (!v->declared && v->graph == g)
            PLN_TRY(declare(l, v, p->output[i]));
    }
    p->n_output = 0;
    return PLN_OK;
}

/* The messages as they came, which keep their order and what is said of values that speak
 * for themselves or are not there: fields 13 of a graph. */
static pln_status keep_value_infos(pln_loader *l, pln_graph *g, Onnx__ValueInfoProto **p,
                                   size_t count)
{
    Onnx__GraphProto all = ONNX__GRAPH_PROTO__INIT;
    all.value_info = p;
    all.n_value_info = count;
    return pln_load_rest(l, &all.base, &g->extra);
}

static pln_status load_value_infos(pln_loader *l, pln_graph *g, Onnx__ValueInfoProto **p,
                                   size_t count)
{
    PLN_TRY(keep_value_infos(l, g, p, count));
    for (size_t i = 0; i < count; i++) {
        const char *name = pln_name_find(l->model->names, (const char *)p[i]->name.data,
                                         p[i]->name.len);
        pln_value *v = name && p[i]->name.len ? find_here(g, name) : NULL;
        if (v && v->kind == PLN_VALUE_NODE && !v->declared && !v->extra.len)
            PLN_TRY(declare(l, v, p[i]));
    }
    return PLN_OK;
}

/* The graph's rest goes behind them. */
static pln_status load_graph_rest(pln_loader *l, pln_graph *g, Onnx__GraphProto *p)
{
    const pln_blob infos = g->extra;
    pln_blob rest;
    PLN_TRY(pln_load_rest(l, &p->base, &rest));
    if (!infos.len || !rest.len) {
        g->extra = infos.len ? infos : rest;
        return PLN_OK;
    }
    unsigned char *all = pln_arena_alloc(l->model->arena, infos.len + rest.len);
    if (!all)
        return pln_oom(l->err);
    memcpy(all, infos.data, infos.len);
    memcpy(all + infos.len, rest.data, rest.len);
    g->extra = (pln_blob){ all, infos.len + rest.len };
    return PLN_OK;
}

static pln_status load_sources(pln_loader *l, pln_graph *g, Onnx__GraphProto *p)
{
    for (size_t i = 0; i < p->n_input; i++)
        PLN_TRY(load_input(l, g, p->input[i]));
    for (size_t i = 0; i < p->n_initializer; i++)
        PLN_TRY(load_initializer(l, g, p->initializer[i]));
    for (size_t i = 0; i < p->n_sparse_initializer; i++)
        PLN_TRY(load_sparse_initializer(l, g, p->sparse_initializer[i]));
    p->n_input = p->n_initializer = p->n_sparse_initializer = 0;
    return PLN_OK;
}

pln_status pln_load_graph(pln_loader *l, pln_graph *g, Onnx__GraphProto *p)
{
    g->name = pln_load_name(l, p->name);
    if (!g->name)
        return PLN_E_NOMEM;
    p->has_name = p->has_name && !p->name.len;
    PLN_TRY(load_sources(l, g, p));
    PLN_TRY(load_nodes(l, g, p->node, p->n_node));
    p->n_node = 0;
    PLN_TRY(load_outputs(l, g, p));
    PLN_TRY(load_value_infos(l, g, p->value_info, p->n_value_info));
    p->n_value_info = 0;
    PLN_TRY(pln_graph_sort(g, l->err));
    return load_graph_rest(l, g, p);
}

/* ---- functions --------------------------------------------------------------------- */

static pln_status load_body(pln_loader *l, pln_graph *g, Onnx__FunctionProto *p)
{
    for (size_t i = 0; i < p->n_input; i++) {
        const char *name = pln_load_name(l, p->input[i]);
        if (!name)
            return PLN_E_NOMEM;
        if (find_here(g, name))
            return twice(l, name);
        if (!pln_graph_add_input(g, name, NULL))
            return pln_oom(l->err);
    }
    PLN_TRY(load_nodes(l, g, p->node, p->n_node));
    for (size_t i = 0; i < p->n_output; i++) {
        pln_value *v;
        PLN_TRY(add_output(l, g, p->output[i], &v));
    }
    PLN_TRY(load_value_infos(l, g, p->value_info, p->n_value_info));
    p->n_input = p->n_node = p->n_output = p->n_value_info = 0;
    return pln_graph_sort(g, l->err);
}

static pln_status load_parameters(pln_loader *l, pln_function *f, Onnx__FunctionProto *p)
{
    pln_arena *arena = l->model->arena;
    const char **names = PLN_NEW_ARRAY(arena, const char *, p->n_attribute);
    f->opsets = PLN_NEW_ARRAY(arena, pln_opset, p->n_opset_import);
    f->attr_defaults = PLN_NEW_ARRAY(arena, pln_attr *, p->n_attribute_proto);
    if (!names || !f->opsets || !f->attr_defaults)
        return pln_oom(l->err);
    for (size_t i = 0; i < p->n_attribute; i++)
        PLN_TRY((names[i] = pln_load_name(l, p->attribute[i])) ? PLN_OK : PLN_E_NOMEM);
    f->attr_names = names;
    f->n_attr_names = p->n_attribute;
    for (size_t i = 0; i < p->n_attribute_proto; i++) {
        PLN_TRY(pln_load_attr(l, f->body, NULL, p->attribute_proto[i],
                              &f->attr_defaults[i]));
        f->n_attr_defaults = i + 1;
    }
    for (size_t i = 0; i < p->n_opset_import; i++) {
        f->opsets[i].domain = pln_load_name(l, p->opset_import[i]->domain);
        f->opsets[i].version = p->opset_import[i]->version;
        if (!f->opsets[i].domain)
            return PLN_E_NOMEM;
    }
    f->n_opsets = p->n_opset_import;
    p->n_attribute = p->n_attribute_proto = 0;
    if (pln_opsets_are_exact(p->opset_import, p->n_opset_import))
        p->n_opset_import = 0;
    return PLN_OK;
}

pln_status pln_load_function(pln_loader *l, Onnx__FunctionProto *p, pln_function **out)
{
    pln_function *f = PLN_NEW(l->model->arena, pln_function);
    *out = f;
    if (!f)
        return pln_oom(l->err);
    f->body = pln_graph_new(l->model, NULL, NULL);
    f->name = pln_load_name(l, p->name);
    f->domain = pln_load_name(l, p->domain);
    f->overload = pln_load_name(l, p->overload);
    if (!f->body || !f->name || !f->domain || !f->overload)
        return pln_oom(l->err);
    p->has_name = p->has_name && !p->name.len;
    p->has_domain = p->has_domain && !p->domain.len;
    p->has_overload = p->has_overload && !p->overload.len;
    pln_status st = load_parameters(l, f, p);
    if (st == PLN_OK)
        st = load_body(l, f->body, p);
    if (st != PLN_OK)
        return pln_fail_prefix(l->err, st, "function '%.100s'", f->name);
    return pln_load_rest(l, &p->base, &f->extra);
}
