/* Graphs, nodes and attributes, as messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/load.h"
#include "proto/save.h"
#include "proto/stated.h"
#include "src/ir/op.h"
#include "src/ir/version.h"

/* The name under which a value is written; "" for none. */
static const char *name_of(const pln_saver *s, const pln_value *v)
{
    return !v ? "" : s->names[v->id] ? s->names[v->id] : v->name;
}

static void write_value_name(pln_saver *s, uint32_t number, const pln_value *v)
{
    const char *name = name_of(s, v);
    /* Names made up while writing are not interned. */
    if (v && !s->names[v->id])
        pln_write_name(&s->w, number, name);
    else
        pln_write_cstr(&s->w, number, name);
}

/* ---- attributes -------------------------------------------------------------------- */

typedef pln_status (*write_fn)(pln_saver *s, const pln_attr *a, size_t i, pln_blob rest);

static pln_status write_tensor_at(pln_saver *s, const pln_attr *a, size_t i,
                                  pln_blob rest)
{
    return pln_write_tensor(&s->w, NULL,
                            a->type == PLN_ATTR_TENSOR ? a->t : a->tensors[i], rest);
}

static pln_status write_sparse_at(pln_saver *s, const pln_attr *a, size_t i,
                                  pln_blob rest)
{
    return pln_write_sparse(
        &s->w, NULL, a->type == PLN_ATTR_SPARSE_TENSOR ? a->t : a->tensors[i], rest);
}

static pln_status write_graph_at(pln_saver *s, const pln_attr *a, size_t i, pln_blob rest)
{
    return pln_save_graph(s, a->type == PLN_ATTR_GRAPH ? a->g : a->graphs[i]);
}

/* A type that says less than its message did is still there as the message. */
static pln_status write_type_at(pln_saver *s, const pln_attr *a, size_t i, pln_blob rest)
{
    if (rest.len)
        pln_write_rest(&s->w, rest, NULL);
    else
        pln_write_type(&s->w, a->type == PLN_ATTR_TYPE ? a->tp : a->types[i]);
    return PLN_OK;
}

/* Attribute types that are messages: their field. */
static const struct {
    uint8_t type, field;
    bool list;
    write_fn write;
} messages[] = {
    { PLN_ATTR_TENSOR, 5, false, write_tensor_at },
    { PLN_ATTR_GRAPH, 6, false, write_graph_at },
    { PLN_ATTR_TENSORS, 10, true, write_tensor_at },
    { PLN_ATTR_GRAPHS, 11, true, write_graph_at },
    { PLN_ATTR_TYPE, 14, false, write_type_at },
    { PLN_ATTR_TYPES, 15, true, write_type_at },
    { PLN_ATTR_SPARSE_TENSOR, 22, false, write_sparse_at },
    { PLN_ATTR_SPARSE_TENSORS, 23, true, write_sparse_at },
};

static pln_status write_messages(pln_saver *s, const pln_attr *a)
{
    size_t k = 0;
    while (k < sizeof messages / sizeof *messages && messages[k].type != a->type)
        k++;
    if (k == sizeof messages / sizeof *messages)
        return PLN_OK;
    for (size_t i = 0; i < (messages[k].list ? a->n : 1); i++) {
        pln_blob rest;
        pln_rest_field(a->extra, messages[k].field, i, &rest);
        const pln_open_message m = pln_write_open(&s->w, messages[k].field);
        PLN_TRY(messages[k].write(s, a, i, rest));
        pln_write_close(&s->w, m);
    }
    return PLN_OK;
}

static void write_numbers(pln_writer *w, const pln_attr *a)
{
    switch (a->type) {
    case PLN_ATTR_FLOAT:
        pln_write_float(w, 2, a->f);
        return;
    case PLN_ATTR_INT:
        pln_write_int(w, 3, a->i);
        return;
    case PLN_ATTR_STRING:
        pln_write_name(w, 4, a->s);
        return;
    case PLN_ATTR_FLOATS:
        for (size_t i = 0; i < a->n; i++)
            pln_write_float(w, 7, a->floats[i]);
        return;
    case PLN_ATTR_INTS:
        for (size_t i = 0; i < a->n; i++)
            pln_write_int(w, 8, a->ints[i]);
        return;
    case PLN_ATTR_STRINGS:
        for (size_t i = 0; i < a->n; i++)
            pln_write_name(w, 9, a->strings[i]);
        return;
    default:
        return;
    }
}

pln_status pln_save_attr(pln_saver *s, const pln_attr *a)
{
    static const uint32_t merged[] = { 5, 6, 10, 11, 14, 15, 22, 23, 0 };
    pln_writer *w = &s->w;
    pln_write_rest(w, a->extra, merged);
    pln_write_name(w, 1, a->name);
    if (a->ref)
        pln_write_name(w, 21, a->ref);
    else
        write_numbers(w, a);
    if (!a->ref)
        PLN_TRY(write_messages(s, a));
    if (a->type != PLN_ATTR_NONE)
        pln_write_int(w, 20, a->type);
    return PLN_OK;
}

static pln_status write_attrs(pln_saver *s, uint32_t number, pln_attr *const *attrs,
                              size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const pln_open_message m = pln_write_open(&s->w, number);
        PLN_TRY(pln_save_attr(s, attrs[i]));
        pln_write_close(&s->w, m);
    }
    return PLN_OK;
}

/* ---- nodes ------------------------------------------------------------------------- */

static void write_inputs(pln_saver *s, const pln_node *n, const pln_origin *o,
                         bool only_given)
{
    const uint32_t count = o ? o->n_in : n->n_in;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = o ? o->in_at[i] : i;
        const pln_value *v = at < n->n_in ? n->in[at] : NULL;
        if (v || !only_given)
            write_value_name(s, 1, v);
    }
}

static pln_status write_node(pln_saver *s, const pln_node *n)
{
    pln_writer *w = &s->w;
    const pln_origin *o = pln_node_is_as_read(n) ? n->origin : NULL;
    const bool stated = pln_stated_by(n) != NULL;
    /* fields that came empty: not beside these */
    static const uint32_t empty[] = { 7, 8, 0 };
    pln_write_rest(w, n->extra, *n->domain ? empty : NULL);
    write_inputs(s, n, o, stated);
    for (uint32_t i = 0; i < n->n_out; i++)
        write_value_name(s, 2, n->out[i]);
    if (pln_name_len(n->name))
        pln_write_name(w, 3, n->name);
    if (stated)
        return pln_write_stated_call(s, n);
    pln_write_name(w, 4, o ? o->op_type : n->op_type);
    PLN_TRY(write_attrs(s, 5, o ? o->attrs : n->attrs, o ? o->n_attrs : n->n_attrs));
    if (*n->domain)
        pln_write_name(w, 7, n->domain);
    if (pln_name_len(n->overload))
        pln_write_name(w, 8, n->overload);
    return PLN_OK;
}

static pln_status write_nodes(pln_saver *s, uint32_t number, const pln_graph *g)
{
    for (const pln_node *n = g->first; n; n = n->next) {
        const pln_open_message m = pln_write_open(&s->w, number);
        PLN_TRY(write_node(s, n));
        pln_write_close(&s->w, m);
    }
    return PLN_OK;
}

/* An output under a name that its value can't have: a copy of it. */
static void write_identity(pln_saver *s, uint32_t number, const pln_graph *g, uint32_t i)
{
    const pln_open_message m = pln_write_open(&s->w, number);
    write_value_name(s, 1, g->outputs[i]);
    pln_write_name(&s->w, 2, g->output_names[i]);
    pln_write_cstr(&s->w, 4, "Identity");
    pln_write_close(&s->w, m);
}

static void write_identities(pln_saver *s, uint32_t number, const pln_graph *g)
{
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (strcmp(name_of(s, g->outputs[i]), g->output_names[i]))
            write_identity(s, number, g, i);
}

/* ---- values ------------------------------------------------------------------------ */

static void write_value_info(pln_saver *s, const char *name, size_t len,
                             const pln_type *type, pln_blob rest)
{
    static const uint32_t kinds[] = { 2, 0 };
    pln_writer *w = &s->w;
    pln_blob whole;
    const bool has_type = pln_rest_field(rest, 2, 0, &whole);
    pln_write_rest(w, rest, has_type ? NULL : kinds);
    pln_write_bytes(w, 1, name, len);
    if (has_type || !type || !type->kind)
        return;
    const pln_open_message m = pln_write_open(w, 2);
    pln_write_type(w, type);
    pln_write_close(w, m);
}

/* The sparse form in which the file had it, as long as it says the same. */
static bool write_sparse_as_read(pln_saver *s, const pln_value *v)
{
    pln_loader l;
    pln_tensor *sparse = NULL, *dense = NULL;
    ProtobufCMessage *m;
    bool same = false;
    if (!v->is_sparse || !v->tensor_extra.len)
        return false;
    pln_buf *buf = pln_buf_wrap(s->w.alloc, (void *)(uintptr_t)v->tensor_extra.data,
                                v->tensor_extra.len, NULL, NULL);
    const pln_limits *limits = &s->model->env->limits;
    if (buf && pln_loader_begin(&l, s->w.alloc, limits, NULL) == PLN_OK) {
        if (pln_loader_unpack(&l, buf, &onnx__sparse_tensor_proto__descriptor, &m) ==
                PLN_OK &&
            pln_load_sparse(&l, (Onnx__SparseTensorProto *)m, &sparse) == PLN_OK &&
            pln_sparse_to_dense(sparse, l.limits, &dense, NULL) == PLN_OK)
            same = pln_tensor_same(dense, v->cst);
        pln_tensor_unref(sparse);
        pln_tensor_unref(dense);
        pln_loader_end(&l);
    }
    pln_buf_unref(buf);
    if (same)
        pln_write_bytes(&s->w, 15, v->tensor_extra.data, v->tensor_extra.len);
    return same;
}

static pln_status write_initializer(pln_saver *s, const pln_value *v)
{
    if (!v->cst) { /* of a type that nothing here can hold: as it came */
        pln_write_bytes(&s->w, 5, v->tensor_extra.data, v->tensor_extra.len);
        return PLN_OK;
    }
    if (pln_value_is_raised(v) || write_sparse_as_read(s, v))
        return PLN_OK;
    const pln_open_message m = pln_write_open(&s->w, 5);
    const pln_blob none = { NULL, 0 };
    PLN_TRY(
        pln_write_tensor(&s->w, v->name, v->cst, v->is_sparse ? none : v->tensor_extra));
    pln_write_close(&s->w, m);
    return PLN_OK;
}

static bool is_initializer(const pln_value *v)
{
    return v->kind == PLN_VALUE_INITIALIZER || (v->kind == PLN_VALUE_INPUT && v->cst);
}

static int by_file_order(const void *a, const void *b)
{
    const pln_value *x = *(const pln_value *const *)a, *y = *(const pln_value *const *)b;
    const uint32_t i = x->file_order - 1, k = y->file_order - 1; /* new ones come last */
    return i != k ? (i < k ? -1 : 1) : x->id < y->id ? -1 : x->id > y->id;
}

static pln_status write_initializers(pln_saver *s, const pln_graph *g)
{
    size_t n = 0;
    for (const pln_value *v = g->values; v; v = v->next)
        n += is_initializer(v);
    const pln_value **all = PLN_NEW_ARRAY(s->w.arena, const pln_value *, n);
    if (!all)
        return pln_oom(s->err);
    n = 0;
    for (const pln_value *v = g->values; v; v = v->next)
        if (is_initializer(v))
            all[n++] = v;
    if (n)
        qsort(all, n, sizeof *all, by_file_order);
    for (size_t i = 0; i < n; i++)
        PLN_TRY(write_initializer(s, all[i]));
    return PLN_OK;
}

static void write_inputs_of(pln_saver *s, const pln_graph *g)
{
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const pln_value *v = g->inputs[i];
        const pln_open_message m = pln_write_open(&s->w, 11);
        write_value_info(s, v->name, pln_name_len(v->name), v->declared, v->extra);
        pln_write_close(&s->w, m);
    }
    /* Before IR version 4 every initializer of the main graph is an input. */
    if (s->model->ir_version >= 4 || g != s->model->graph)
        return;
    for (const pln_value *v = g->values; v; v = v->next) {
        if (v->kind != PLN_VALUE_INITIALIZER || pln_value_is_raised(v))
            continue;
        const pln_open_message m = pln_write_open(&s->w, 11);
        write_value_info(s, v->name, pln_name_len(v->name), &v->type,
                         (pln_blob){ NULL, 0 });
        pln_write_close(&s->w, m);
    }
}

static void write_outputs(pln_saver *s, const pln_graph *g)
{
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const pln_value *v = g->outputs[i];
        const bool own = v->kind != PLN_VALUE_INPUT && v->graph == g;
        /* Outputs of the model must have a type; those of bodies say what they said. */
        const pln_type *type = v->declared || g->owner ? v->declared : &v->type;
        const pln_open_message m = pln_write_open(&s->w, 12);
        write_value_info(s, g->output_names[i], pln_name_len(g->output_names[i]), type,
                         own ? v->extra : (pln_blob){ NULL, 0 });
        pln_write_close(&s->w, m);
    }
}

static void describe(pln_saver *s, uint32_t number, const pln_value *v)
{
    const pln_open_message m = pln_write_open(&s->w, number);
    /* Names made up while writing are not interned. */
    const size_t len = s->names[v->id] ? strlen(s->names[v->id]) : pln_name_len(v->name);
    write_value_info(s, name_of(s, v), len, v->declared, v->extra);
    pln_write_close(&s->w, m);
    s->described[v->id] = true;
}

/* One entry of the file: what is known of the value now, or the entry as it came where
 * the value is none of a node's; nothing when the value is gone, or is a new constant. */
static void describe_again(pln_saver *s, uint32_t number, const pln_graph *g,
                           pln_blob entry)
{
    pln_blob name;
    pln_rest_field(entry, 1, 0, &name);
    const char *key = pln_name_find(s->model->names, name.len ? name.data : "", name.len);
    const pln_value *v = key && name.len ? pln_map_get(&g->by_name, key) : NULL;
    if (v && v->kind == PLN_VALUE_NODE && v->declared && !s->is_output[v->id] &&
        !s->described[v->id])
        describe(s, number, v);
    else if ((v && (v->kind != PLN_VALUE_INITIALIZER || v->file_order)) || !key ||
             !name.len)
        pln_write_bytes(&s->w, number, entry.data, entry.len);
}

static void write_value_infos(pln_saver *s, uint32_t number, const pln_graph *g)
{
    pln_blob entry;
    const unsigned char *p = g->extra.data;
    pln_wire w = { p, p + g->extra.len };
    pln_field f;
    while (g->extra.len && pln_wire_next(&w, &f) > 0)
        if (f.number == 13 && f.type == PLN_WIRE_BYTES) {
            entry = (pln_blob){ f.data, f.len };
            describe_again(s, number, g, entry);
        }
    for (const pln_value *v = g->values; v; v = v->next)
        if (v->kind == PLN_VALUE_NODE && (v->declared || v->extra.len) &&
            !s->described[v->id] && !s->is_output[v->id])
            describe(s, number, v);
}

/* ---- names that have to be made up ------------------------------------------------- */

static const char *fresh(pln_saver *s, const char *hint)
{
    char buf[256];
    do
        snprintf(buf, sizeof buf, "%.200s_%u", hint && *hint ? hint : "v", s->n_fresh++);
    while (pln_name_find(s->model->names, buf, strlen(buf)));
    return pln_arena_str(s->w.arena, buf, strlen(buf));
}

static pln_status name_output(pln_saver *s, const pln_graph *g, uint32_t i)
{
    const pln_value *v = g->outputs[i];
    const char *want = g->output_names[i];
    if (v->name == want || (s->names[v->id] && !strcmp(s->names[v->id], want)))
        return PLN_OK;
    const pln_value *holder = pln_map_get(&g->by_name, want);
    if (holder && holder->kind == PLN_VALUE_NODE && !s->names[holder->id]) {
        s->names[holder->id] = fresh(s, want);
        if (!s->names[holder->id])
            return pln_oom(s->err);
    }
    /* A name with NULs is written only where it is interned: there, a copy does it. */
    if (v->kind != PLN_VALUE_NODE || v->graph != g || s->names[v->id] ||
        strlen(want) != pln_name_len(want) ||
        (holder && holder->kind != PLN_VALUE_NODE))
        return PLN_OK; /* an Identity is written */
    for (uint32_t k = 0; k < g->n_outputs; k++)
        if (g->outputs[k] == v && g->output_names[k] == v->name)
            return PLN_OK; /* its own name is an output, too */
    s->names[v->id] = want;
    return PLN_OK;
}

static pln_status name_values(pln_saver *s, const pln_graph *g)
{
    for (const pln_value *v = g->values; v; v = v->next) {
        if (pln_name_len(v->name) || s->names[v->id])
            continue;
        s->names[v->id] = fresh(s, "v");
        if (!s->names[v->id])
            return pln_oom(s->err);
    }
    return PLN_OK;
}

static pln_status prepare(pln_saver *s, const pln_graph *g, bool is_graph)
{
    for (uint32_t i = 0; i < g->n_outputs; i++)
        PLN_TRY(name_output(s, g, i));
    PLN_TRY(name_values(s, g));
    /* A graph says the types of its outputs elsewhere; a function's have none. */
    for (uint32_t i = 0; i < g->n_outputs && is_graph; i++)
        s->is_output[g->outputs[i]->id] = true;
    return PLN_OK;
}

/* ---- graphs and functions ---------------------------------------------------------- */

pln_status pln_save_graph(pln_saver *s, const pln_graph *g)
{
    PLN_TRY(prepare(s, g, true));
    static const uint32_t value_info[] = { 13, 0 };
    pln_write_rest(&s->w, g->extra, value_info);
    PLN_TRY(write_nodes(s, 1, g));
    write_identities(s, 1, g);
    if (pln_name_len(g->name))
        pln_write_name(&s->w, 2, g->name);
    PLN_TRY(write_initializers(s, g));
    write_inputs_of(s, g);
    write_outputs(s, g);
    write_value_infos(s, 13, g);
    return PLN_OK;
}

/* Functions have no initializers: a constant in a body is a node. */
static pln_status write_constants(pln_saver *s, const pln_graph *g)
{
    for (const pln_value *v = g->values; v; v = v->next) {
        if (v->kind != PLN_VALUE_INITIALIZER || !v->cst || pln_value_is_raised(v))
            continue;
        const pln_open_message node = pln_write_open(&s->w, 7);
        write_value_name(s, 2, v);
        pln_write_cstr(&s->w, 4, "Constant");
        const pln_open_message attr = pln_write_open(&s->w, 5);
        pln_write_cstr(&s->w, 1, "value");
        const pln_open_message t = pln_write_open(&s->w, 5);
        PLN_TRY(pln_write_tensor(&s->w, NULL, v->cst, (pln_blob){ NULL, 0 }));
        pln_write_close(&s->w, t);
        pln_write_int(&s->w, 20, PLN_ATTR_TENSOR);
        pln_write_close(&s->w, attr);
        pln_write_close(&s->w, node);
    }
    return PLN_OK;
}

static bool entry_is(pln_blob entry, pln_opset o)
{
    const unsigned char *p = entry.data;
    pln_wire w = { p, p + entry.len };
    pln_field f;
    uint64_t version = 0;
    pln_blob domain = { "", 0 };
    while (pln_wire_next(&w, &f) > 0) {
        if (f.number == 1 && f.type == PLN_WIRE_BYTES)
            domain = (pln_blob){ f.data, f.len };
        if (f.number == 2 && f.type == PLN_WIRE_VARINT)
            version = f.value;
    }
    return version == (uint64_t)o.version && domain.len == pln_name_len(o.domain) &&
           (!domain.len || !memcmp(domain.data, o.domain, domain.len));
}

bool pln_write_opsets(pln_saver *s, uint32_t number, const pln_opset *opsets, size_t n,
                      pln_blob rest)
{
    pln_blob entry;
    size_t same = 0;
    while (same < n && pln_rest_field(rest, number, same, &entry) &&
           entry_is(entry, opsets[same]))
        same++;
    if (n && same == n && !pln_rest_field(rest, number, n, &entry))
        return true;
    for (size_t i = 0; i < n; i++) {
        const pln_open_message m = pln_write_open(&s->w, number);
        if (pln_name_len(opsets[i].domain))
            pln_write_name(&s->w, 1, opsets[i].domain);
        pln_write_int(&s->w, 2, opsets[i].version);
        pln_write_close(&s->w, m);
    }
    return false;
}

static void write_head(pln_saver *s, const pln_function *f)
{
    if (pln_name_len(f->name))
        pln_write_name(&s->w, 1, f->name);
    for (uint32_t i = 0; i < f->body->n_inputs; i++)
        pln_write_name(&s->w, 4, f->body->inputs[i]->name);
}

pln_status pln_save_function(pln_saver *s, const pln_function *f)
{
    static const uint32_t opset_import[] = { 9, 0 };
    const pln_graph *g = f->body;
    PLN_TRY(prepare(s, g, false));
    const bool same = pln_write_opsets(s, 9, f->opsets, f->n_opsets, f->extra);
    pln_write_rest(&s->w, f->extra, same ? NULL : opset_import);
    const bool stated = pln_function_states(s->model, f);
    if (stated)
        PLN_TRY(pln_write_stated_head(s, f));
    else
        write_head(s, f);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        pln_write_name(&s->w, 5, g->output_names[i]);
    for (size_t i = 0; i < f->n_attr_names; i++)
        pln_write_name(&s->w, 6, f->attr_names[i]);
    PLN_TRY(write_constants(s, g));
    PLN_TRY(write_nodes(s, 7, g));
    write_identities(s, 7, g);
    if (pln_name_len(f->domain))
        pln_write_name(&s->w, 10, f->domain);
    PLN_TRY(write_attrs(s, 11, f->attr_defaults, f->n_attr_defaults));
    write_value_infos(s, 12, g);
    if (pln_name_len(f->overload) && !stated)
        pln_write_name(&s->w, 13, f->overload);
    return PLN_OK;
}
