/* Writing a model: the whole message, its external file, and the files on disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/save.h"

#include <stdio.h>
#include <string.h>

#include "proto/save_file.h"
#include "src/ir/env.h"
#include "src/ir/op.h"
#include "src/ir/version.h"

#define EXTERNAL_THRESHOLD 1024

enum { F_IR_VERSION = 1, F_PRODUCER = 2, F_PRODUCER_VERSION = 3, F_DOMAIN = 4,
       F_MODEL_VERSION = 5, F_DOC = 6, F_GRAPH = 7, F_OPSETS = 8, F_METADATA = 14,
       F_FUNCTIONS = 25 };

/* ---- the message ------------------------------------------------------------------- */

static void write_header(pln_saver *s)
{
    const pln_model *m = s->model;
    const struct {
        uint32_t number;
        const char *name;
    } names[] = { { F_PRODUCER, m->producer_name },
                  { F_PRODUCER_VERSION, m->producer_version },
                  { F_DOMAIN, m->model_domain },
                  { F_DOC, m->doc } };
    if (m->ir_version)
        pln_write_int(&s->w, F_IR_VERSION, m->ir_version);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pln_name_len(names[i].name))
            pln_write_name(&s->w, names[i].number, names[i].name);
    if (m->model_version)
        pln_write_int(&s->w, F_MODEL_VERSION, m->model_version);
}

static bool name_is(pln_blob b, const char *name)
{
    return b.len == pln_name_len(name) && (!b.len || !memcmp(b.data, name, b.len));
}

/* The entries, unless the rest has them as they came and they say the same. */
static bool write_metadata(pln_saver *s)
{
    const pln_model *m = s->model;
    pln_blob entry, key, value;
    size_t same = 0;
    while (same < m->n_metadata && pln_rest_field(m->extra, F_METADATA, same, &entry)) {
        pln_rest_field(entry, 1, 0, &key);
        pln_rest_field(entry, 2, 0, &value);
        if (!name_is(key, m->metadata[same].key) ||
            !name_is(value, m->metadata[same].value))
            break;
        same++;
    }
    if (same == m->n_metadata && m->n_metadata &&
        !pln_rest_field(m->extra, F_METADATA, same, &entry))
        return true;
    for (size_t i = 0; i < m->n_metadata; i++) {
        const pln_open_message e = pln_write_open(&s->w, F_METADATA);
        pln_write_name(&s->w, 1, m->metadata[i].key);
        pln_write_name(&s->w, 2, m->metadata[i].value);
        pln_write_close(&s->w, e);
    }
    return false;
}

static pln_status write_model(pln_saver *s)
{
    const pln_model *m = s->model;
    uint32_t not[3] = { 0 };
    size_t n = 0;
    write_header(s);
    const pln_open_message graph = pln_write_open(&s->w, F_GRAPH);
    PLN_TRY(pln_save_graph(s, m->graph));
    pln_write_close(&s->w, graph);
    if (!pln_write_opsets(s, F_OPSETS, m->opsets, m->n_opsets, m->extra))
        not[n++] = F_OPSETS;
    if (!write_metadata(s))
        not[n++] = F_METADATA;
    pln_write_rest(&s->w, m->extra, not);
    for (size_t i = 0; i < m->n_functions; i++) {
        const pln_open_message f = pln_write_open(&s->w, F_FUNCTIONS);
        PLN_TRY(pln_save_function(s, m->functions[i]));
        pln_write_close(&s->w, f);
    }
    return s->w.text.failed ? pln_oom(s->err) : PLN_OK;
}

static pln_status saver_begin(pln_saver *s, const pln_model *model, pln_error *err)
{
    *s = (pln_saver){ .model = model, .err = err };
    PLN_TRY(pln_writer_begin(&s->w, model->alloc, err));
    s->names = PLN_NEW_ARRAY(s->w.arena, const char *, model->n_values);
    s->described = PLN_NEW_ARRAY(s->w.arena, bool, model->n_values);
    s->is_output = PLN_NEW_ARRAY(s->w.arena, bool, model->n_values);
    return s->names && s->described && s->is_output ? PLN_OK : pln_oom(err);
}

/* ---- what has to be changed before writing ----------------------------------------- */

static int64_t listed_version(const pln_opset *o, size_t n, const char *domain)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(pln_domain_normal(o[i].domain), domain))
            return o[i].version;
    return 0;
}

typedef struct survey {
    const pln_opset *opsets;
    size_t n_opsets;
    bool lowering, imports;
} survey;

static pln_status look(pln_graph *g, void *user)
{
    survey *s = user;
    for (const pln_node *n = g->first; n; n = n->next) {
        const int64_t version = listed_version(s->opsets, s->n_opsets, n->domain);
        s->imports |= n->op && !version;
        s->lowering |= pln_node_needs_lowering(n, s->n_opsets ? version : 1);
    }
    return PLN_OK;
}

static pln_status add_import(pln_graph *g, void *user)
{
    pln_model *m = user;
    for (const pln_node *n = g->first; n; n = n->next)
        if (n->op && !listed_version(m->opsets, m->n_opsets, n->domain))
            PLN_TRY(pln_model_set_opset(m, n->domain, !*n->domain ? PLN_OPSET_NEWEST
                                                      : *n->op->domain ? n->op->since
                                                                       : 1));
    return PLN_OK;
}

/* Nodes that rewrites made or touched are lowered to the file's operator sets, in a copy:
 * writing does not change the model. `*copy` is NULL when nothing has to be changed. */
static pln_status lowered(const pln_model *model, pln_model **copy, pln_error *err)
{
    survey s = { model->opsets, model->n_opsets, false, false };
    *copy = NULL;
    PLN_TRY(pln_graph_walk(model->graph, look, &s));
    s.imports &= model->n_opsets || model->ir_version >= 3; /* before, there were none */
    for (size_t i = 0; i < model->n_functions; i++) {
        survey f = { model->functions[i]->opsets, model->functions[i]->n_opsets, false,
                     false };
        PLN_TRY(pln_graph_walk(model->functions[i]->body, look, &f));
        s.lowering |= f.lowering;
    }
    if (!s.lowering && !s.imports)
        return PLN_OK;
    PLN_TRY(pln_model_clone(model, copy, err));
    pln_status st = PLN_OK;
    if (s.imports)
        st = pln_graph_walk((*copy)->graph, add_import, *copy);
    if (st == PLN_OK)
        st = pln_model_lower(*copy, err);
    if (st == PLN_OK)
        return st;
    pln_model_free(*copy);
    *copy = NULL;
    return st == PLN_E_NOMEM ? pln_oom(err) : st;
}

/* ---- to memory --------------------------------------------------------------------- */

static pln_status save_memory(const pln_model *model, void **data, size_t *len,
                              pln_error *err)
{
    pln_saver s;
    pln_status st = saver_begin(&s, model, err);
    if (st == PLN_OK)
        st = write_model(&s);
    if (st == PLN_OK)
        st = pln_writer_take(&s.w, model->alloc, data, len);
    pln_writer_end(&s.w);
    return st;
}

pln_status pln_proto_save_memory(const pln_model *model, void **data, size_t *len,
                                 pln_error *err)
{
    pln_model *copy;
    *data = NULL;
    *len = 0;
    PLN_TRY(lowered(model, &copy, err));
    const pln_status st = save_memory(copy ? copy : model, data, len, err);
    pln_model_free(copy);
    return st;
}

/* ---- to a file --------------------------------------------------------------------- */

typedef struct target {
    const char *path, *external;
    uint64_t threshold;
    bool keep_external;
} target;

static pln_status try_save(const pln_model *model, const target *t, bool *too_large,
                           pln_error *err)
{
    pln_saver s;
    pln_status st = saver_begin(&s, model, err);
    s.w.location = t->external;
    s.w.threshold = t->threshold;
    s.w.keep_external = t->keep_external;
    if (st == PLN_OK)
        st = write_model(&s);
    *too_large = st == PLN_OK && pln_writer_size(&s.w) > PLN_MAX_MESSAGE;
    if (st == PLN_OK && !*too_large)
        st = pln_save_files(model, &s.w, t->path, err);
    pln_writer_end(&s.w);
    return st;
}

static pln_status save(const pln_model *model, const char *path,
                       const pln_save_options *options, pln_error *err)
{
    char name[512];
    bool too_large;
    target t = { path, options ? options->external_data : NULL, EXTERNAL_THRESHOLD,
                 false };
    if (options && options->external_threshold)
        t.threshold = options->external_threshold;
    if (options && options->keep_external)
        t.keep_external = pln_same_directory(model->directory, path);
    PLN_TRY(try_save(model, &t, &too_large, err));
    if (!too_large)
        return PLN_OK;
    if (t.external)
        return pln_fail(err, PLN_E_LIMIT, "the model is over 2 GiB without its tensors");
    const char *slash = strrchr(path, '/');
    snprintf(name, sizeof name, "%.400s.data", slash ? slash + 1 : path);
    t.external = name;
    PLN_TRY(try_save(model, &t, &too_large, err));
    return too_large ? pln_fail(err, PLN_E_LIMIT, "the model is over 2 GiB") : PLN_OK;
}

pln_status pln_proto_save(const pln_model *model, const char *path,
                          const pln_save_options *options, pln_error *err)
{
    pln_model *copy;
    PLN_TRY(lowered(model, &copy, err));
    const pln_status st = save(copy ? copy : model, path, options, err);
    pln_model_free(copy);
    return st;
}
