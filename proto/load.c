/* Reading a model: bytes to skeleton, skeleton to messages, messages to graph.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/load.h"

#include <string.h>

#include "proto/stated.h"
#include "proto/wire.h"
#include "src/ir/version.h"

/* ---- the loader -------------------------------------------------------------------- */

pln_status pln_loader_begin(pln_loader *l, const pln_allocator *a,
                            const pln_limits *limits, pln_error *err)
{
    *l = (pln_loader){ .alloc = a, .limits = limits, .err = err };
    l->external.alloc = l->alloc;
    l->external.limit = limits->file_bytes;
    l->scratch = pln_arena_new(l->alloc);
    return l->scratch ? PLN_OK : pln_oom(err);
}

void pln_loader_end(pln_loader *l)
{
    pln_scan_done(&l->scan, l->alloc);
    pln_externals_done(&l->external);
    if (l->scratch)
        pln_arena_free(l->scratch);
}

static void *unpack_alloc(void *arena, size_t size)
{
    return pln_arena_alloc(arena, size);
}

static void unpack_free(void *arena, void *p)
{
    (void)arena; /* everything goes with the arena */
    (void)p;
}

pln_status pln_loader_unpack(pln_loader *l, pln_buf *source,
                             const ProtobufCMessageDescriptor *type,
                             ProtobufCMessage **out)
{
    *out = NULL;
    l->source = source;
    PLN_TRY(pln_scan_run(&l->scan, l->alloc, source->data, source->size, type, l->limits,
                         source->mapped, l->err));
    ProtobufCAllocator in_arena = { unpack_alloc, unpack_free, l->scratch };
    const pln_text *sk = &l->scan.skeleton;
    *out = protobuf_c_message_unpack(type, &in_arena, sk->len,
                                     (const uint8_t *)(sk->len ? sk->data : ""));
    /* The scan has checked all else that makes protobuf-c refuse a message. */
    return *out ? PLN_OK : pln_oom(l->err);
}

const char *pln_load_name(pln_loader *l, ProtobufCBinaryData b)
{
    const char *name =
        pln_name_intern(l->model->names, b.len ? (const char *)b.data : "", b.len);
    if (!name)
        pln_oom(l->err);
    return name;
}

pln_status pln_load_rest(pln_loader *l, ProtobufCMessage *m, pln_blob *out)
{
    *out = (pln_blob){ NULL, 0 };
    const size_t size = protobuf_c_message_get_packed_size(m);
    if (!size)
        return PLN_OK;
    void *data = pln_arena_alloc(l->model->arena, size);
    if (!data)
        return pln_oom(l->err);
    *out = (pln_blob){ data, protobuf_c_message_pack(m, data) };
    return PLN_OK;
}

bool pln_load_take_cut(pln_loader *l, ProtobufCMessage *m, uint32_t field, pln_cut *out)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
        if (u->tag != field || u->len != 4)
            continue;
        const uint32_t index = (uint32_t)u->data[0] | (uint32_t)u->data[1] << 8 |
                               (uint32_t)u->data[2] << 16 | (uint32_t)u->data[3] << 24;
        m->n_unknown_fields--;
        memmove(&m->unknown_fields[i], &m->unknown_fields[i + 1],
                (m->n_unknown_fields - i) * sizeof *u);
        *out = l->scan.cuts[index];
        return true;
    }
    return false;
}

pln_status pln_load_put_back(pln_loader *l, ProtobufCMessage *m, const pln_cut *cut)
{
    const unsigned n = m->n_unknown_fields;
    ProtobufCMessageUnknownField *all =
        pln_arena_array(l->scratch, (size_t)n + 1, sizeof *all);
    uint8_t *data = pln_arena_alloc(l->scratch, cut->len + 10);
    if (!all || !data)
        return pln_oom(l->err);
    if (n)
        memcpy(all, m->unknown_fields, n * sizeof *all);
    const size_t head = pln_wire_encode_varint(data, cut->len);
    memcpy(data + head, cut->data, cut->len);
    all[n] = (ProtobufCMessageUnknownField){
        .tag = cut->field, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
        .len = head + cut->len, .data = data,
    };
    m->unknown_fields = all;
    m->n_unknown_fields = n + 1;
    return PLN_OK;
}

/* ---- the model --------------------------------------------------------------------- */

static pln_status load_header(pln_loader *l, Onnx__ModelProto *p)
{
    pln_model *m = l->model;
    m->ir_version = p->ir_version;
    m->model_version = p->model_version;
    m->producer_name = pln_load_name(l, p->producer_name);
    m->producer_version = pln_load_name(l, p->producer_version);
    m->model_domain = pln_load_name(l, p->domain);
    m->doc = pln_load_name(l, p->doc_string);
    if (!m->producer_name || !m->producer_version || !m->model_domain || !m->doc)
        return PLN_E_NOMEM;
    p->has_ir_version = p->has_ir_version && !p->ir_version;
    p->has_model_version = p->has_model_version && !p->model_version;
    p->has_producer_name = p->has_producer_name && !p->producer_name.len;
    p->has_producer_version = p->has_producer_version && !p->producer_version.len;
    p->has_domain = p->has_domain && !p->domain.len;
    p->has_doc_string = p->has_doc_string && !p->doc_string.len;
    return PLN_OK;
}

bool pln_opsets_are_exact(Onnx__OperatorSetIdProto **p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i]->base.n_unknown_fields || !p[i]->has_version ||
            p[i]->has_domain != (p[i]->domain.len > 0))
            return false;
    return true;
}

static pln_status load_opsets(pln_loader *l, Onnx__ModelProto *p)
{
    pln_model *m = l->model;
    m->opsets = PLN_NEW_ARRAY(m->arena, pln_opset, p->n_opset_import + 1);
    if (!m->opsets)
        return pln_oom(l->err);
    for (size_t i = 0; i < p->n_opset_import; i++) {
        const char *domain = pln_load_name(l, p->opset_import[i]->domain);
        if (!domain)
            return PLN_E_NOMEM;
        m->opsets[m->n_opsets++] = (pln_opset){ domain, p->opset_import[i]->version };
    }
    if (pln_opsets_are_exact(p->opset_import, p->n_opset_import))
        p->n_opset_import = 0;
    return PLN_OK;
}

static pln_status load_metadata(pln_loader *l, Onnx__ModelProto *p)
{
    pln_model *m = l->model;
    m->metadata = PLN_NEW_ARRAY(m->arena, pln_metadata, p->n_metadata_props);
    if (!m->metadata)
        return pln_oom(l->err);
    bool exact = true;
    for (size_t i = 0; i < p->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = p->metadata_props[i];
        exact &= e->has_key && e->has_value && !e->base.n_unknown_fields;
        const char *key = pln_load_name(l, p->metadata_props[i]->key);
        const char *value = pln_load_name(l, p->metadata_props[i]->value);
        if (!key || !value)
            return PLN_E_NOMEM;
        m->metadata[m->n_metadata++] = (pln_metadata){ key, value };
    }
    if (exact)
        p->n_metadata_props = 0;
    return PLN_OK;
}

static pln_status load_functions(pln_loader *l, Onnx__ModelProto *p)
{
    pln_model *m = l->model;
    m->functions = PLN_NEW_ARRAY(m->arena, pln_function *, p->n_functions);
    if (!m->functions)
        return pln_oom(l->err);
    for (size_t i = 0; i < p->n_functions; i++) {
        PLN_TRY(pln_load_function(l, p->functions[i], &m->functions[i]));
        m->n_functions++;
    }
    p->n_functions = 0;
    return PLN_OK;
}

/* Training info is never unpacked: it goes behind what is left of the rest. */
static pln_status load_model_rest(pln_loader *l, Onnx__ModelProto *p)
{
    pln_blob rest;
    const pln_text *aside = &l->scan.aside;
    PLN_TRY(pln_load_rest(l, &p->base, &rest));
    l->model->extra = rest;
    if (!aside->len)
        return PLN_OK;
    unsigned char *all = pln_arena_alloc(l->model->arena, rest.len + aside->len);
    if (!all)
        return pln_oom(l->err);
    if (rest.len)
        memcpy(all, rest.data, rest.len);
    memcpy(all + rest.len, aside->data, aside->len);
    l->model->extra = (pln_blob){ all, rest.len + aside->len };
    return PLN_OK;
}

static pln_status load_model(pln_loader *l, Onnx__ModelProto *p)
{
    if (!p->graph)
        return pln_fail(l->err, PLN_E_FORMAT, "no graph in it: not an ONNX model");
    PLN_TRY(load_header(l, p));
    PLN_TRY(load_opsets(l, p));
    PLN_TRY(load_metadata(l, p));
    PLN_TRY(load_functions(l, p));
    PLN_TRY(pln_load_graph(l, l->model->graph, p->graph));
    p->graph = NULL;
    PLN_TRY(load_model_rest(l, p));
    PLN_TRY(pln_adopt_stated(l->model, l->err));
    return pln_model_raise(l->model, l->err);
}

static pln_status set_directory(pln_model *m, const char *directory)
{
    if (!directory)
        return PLN_OK;
    const size_t size = strlen(directory) + 1;
    m->directory = pln_alloc(m->alloc, size);
    if (!m->directory)
        return PLN_E_NOMEM;
    memcpy(m->directory, directory, size);
    return PLN_OK;
}

pln_status pln_model_keep_outside(pln_model *m, const pln_externals *x)
{
    m->outside = PLN_NEW_ARRAY(m->arena, pln_file_id, x->n + 1);
    if (!m->outside)
        return PLN_E_NOMEM;
    for (size_t i = 0; i < x->n; i++)
        m->outside[m->n_outside++] = x->files[i].buf->file;
    return PLN_OK;
}

static pln_status load_into(pln_model *m, pln_buf *source, bool no_external, bool copy,
                            pln_error *err)
{
    pln_loader l;
    ProtobufCMessage *message = NULL;
    pln_status st = pln_loader_begin(&l, m->alloc, &m->env->limits, err);
    l.model = m;
    l.external.directory = m->directory;
    l.external.refused = no_external;
    l.external.copy = copy;
    if (st == PLN_OK)
        st = pln_loader_unpack(&l, source, &onnx__model_proto__descriptor, &message);
    if (st == PLN_OK)
        st = load_model(&l, (Onnx__ModelProto *)message);
    if (st == PLN_OK)
        st = pln_model_keep_outside(m, &l.external);
    pln_loader_end(&l);
    return st;
}

pln_status pln_proto_load(pln_env *env, pln_buf *source, const char *directory,
                          const pln_load_options *options, pln_model **out,
                          pln_error *err)
{
    pln_model *m;
    *out = NULL;
    PLN_TRY(pln_model_new(env, &m, err));
    m->source = pln_buf_ref(source);
    pln_status st = set_directory(m, directory);
    if (st == PLN_OK)
        st = load_into(m, source, options && options->no_external,
                       options && options->copy, err);
    if (st != PLN_OK) {
        pln_model_free(m);
        return st == PLN_E_NOMEM ? pln_oom(err) : st;
    }
    *out = m;
    return PLN_OK;
}
