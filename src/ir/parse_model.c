/* Parsing functions and models of the textual syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/eval.h"
#include "src/ir/parse_impl.h"
#include "src/ir/text_words.h"
#include "src/ir/version.h"

static pln_status sort(pln_graph *g, void *err)
{
    for (pln_node *n = g->first; n; n = n->next)
        pln_node_take_constant(n);
    return pln_graph_sort(g, err);
}

/* ---- functions ------------------------------------------------------------------- */

static pln_status parse_opsets(parser *ps, pln_opset **out, size_t *n)
{
    pln_text list;
    pln_status st = lex_expect(&ps->l, '[');
    pln_text_init(&list, ps->m->alloc);
    *n = 0;
    while (st == PLN_OK && lex_peek(&ps->l) != ']') {
        pln_opset o;
        st = parse_text(ps, &o.domain);
        if (st == PLN_OK)
            st = lex_expect(&ps->l, ':');
        if (st == PLN_OK)
            st = lex_i64(&ps->l, &o.version);
        if (st == PLN_OK)
            pln_text_put(&list, (const char *)&o, sizeof o);
        ++*n;
        if (st == PLN_OK && !lex_take(&ps->l, ','))
            break;
    }
    if (st == PLN_OK)
        st = lex_expect(&ps->l, ']');
    if (st == PLN_OK) {
        *out = PLN_NEW_ARRAY(ps->m->arena, pln_opset, *n);
        st = *out && !list.failed ? PLN_OK : pln_oom(ps->l.err);
    }
    if (st == PLN_OK && *n)
        memcpy(*out, list.data, list.len);
    pln_text_done(&list);
    return st;
}

static pln_status function_header(parser *ps, pln_function *f)
{
    const char *doc;
    if (!lex_take(&ps->l, '<'))
        return PLN_OK;
    do {
        lex_word key;
        PLN_TRY(lex_identifier(&ps->l, &key));
        PLN_TRY(lex_expect(&ps->l, ':'));
        if (lex_is(key, "opset_import"))
            PLN_TRY(parse_opsets(ps, &f->opsets, &f->n_opsets));
        else if (lex_is(key, "domain"))
            PLN_TRY(parse_text(ps, &f->domain));
        else if (lex_is(key, "overload"))
            PLN_TRY(parse_text(ps, &f->overload));
        else if (lex_is(key, "doc_string"))
            PLN_TRY(parse_text(ps, &doc));
        else
            return lex_fail(&ps->l, "'%.*s' is no field of a function",
                            (int)(key.len & 0xff), key.s);
    } while (lex_take(&ps->l, ','));
    return lex_expect(&ps->l, '>');
}

/* "<a, b: int = 3>" */
static pln_status function_attrs(parser *ps, pln_function *f)
{
    pln_text names, defaults;
    pln_status st = PLN_OK;
    if (!lex_take(&ps->l, '<'))
        return PLN_OK;
    pln_text_init(&names, ps->m->alloc);
    pln_text_init(&defaults, ps->m->alloc);
    do {
        lex_word w;
        pln_attr *a = NULL;
        const char *name = NULL;
        st = lex_name(&ps->l, &w);
        const int c = st == PLN_OK ? lex_peek(&ps->l) : 0;
        if (c == ':' || c == '=') {
            st = parse_attr_value(ps, f->body, w, &a);
            pln_text_put(&defaults, (const char *)&a, sizeof a);
            f->n_attr_defaults++;
        } else if (st == PLN_OK) {
            name = parse_intern(ps, w);
            st = name ? PLN_OK : PLN_E_NOMEM;
            pln_text_put(&names, (const char *)&name, sizeof name);
            f->n_attr_names++;
        }
    } while (st == PLN_OK && lex_take(&ps->l, ','));
    if (st == PLN_OK)
        st = lex_expect(&ps->l, '>');
    if (st == PLN_OK) {
        f->attr_names =
            pln_arena_dup(ps->m->arena, names.len ? names.data : "", names.len);
        f->attr_defaults =
            pln_arena_dup(ps->m->arena, defaults.len ? defaults.data : "", defaults.len);
        if (!f->attr_names || !f->attr_defaults || names.failed || defaults.failed)
            st = pln_oom(ps->l.err);
    }
    pln_text_done(&names);
    pln_text_done(&defaults);
    return st;
}

static pln_status parse_function(parser *ps, pln_function **out)
{
    pln_function *f = PLN_NEW(ps->m->arena, pln_function);
    pln_blob extra = { NULL, 0 };
    if (!f)
        return pln_oom(ps->l.err);
    if (lex_take(&ps->l, '@')) {
        lex_word key;
        PLN_TRY(lex_identifier(&ps->l, &key));
        if (!lex_is(key, "function"))
            return lex_fail(&ps->l, "'@function' is wanted here");
        PLN_TRY(parse_blob(ps, &extra));
    }
    f->domain = f->overload = pln_model_name(ps->m, "");
    f->extra = extra;
    f->body = pln_graph_new(ps->m, NULL, NULL);
    if (!f->body || !f->domain)
        return pln_oom(ps->l.err);
    PLN_TRY(function_header(ps, f));
    PLN_TRY(parse_name(ps, &f->name));
    f->body->name = f->name;
    PLN_TRY(function_attrs(ps, f));
    PLN_TRY(parse_rest_of_graph(ps, f->body));
    *out = f;
    return PLN_OK;
}

/* ---- models ---------------------------------------------------------------------- */

static pln_status parse_metadata(parser *ps)
{
    PLN_TRY(lex_expect(&ps->l, '['));
    if (lex_take(&ps->l, ']'))
        return PLN_OK;
    pln_text list;
    pln_status st;
    pln_text_init(&list, ps->m->alloc);
    do {
        pln_metadata md;
        st = parse_text(ps, &md.key);
        if (st == PLN_OK)
            st = lex_expect(&ps->l, ':');
        if (st == PLN_OK)
            st = parse_text(ps, &md.value);
        if (st == PLN_OK)
            pln_text_put(&list, (const char *)&md, sizeof md);
    } while (st == PLN_OK && lex_take(&ps->l, ','));
    if (st == PLN_OK)
        st = lex_expect(&ps->l, ']');
    if (st == PLN_OK) {
        ps->m->metadata = pln_arena_dup(ps->m->arena, list.data, list.len);
        ps->m->n_metadata = list.len / sizeof(pln_metadata);
        if (!ps->m->metadata || list.failed)
            st = pln_oom(ps->l.err);
    }
    pln_text_done(&list);
    return st;
}

static pln_status parse_field(parser *ps, lex_word key)
{
    pln_model *m = ps->m;
    if (lex_is(key, "ir_version"))
        return lex_i64(&ps->l, &m->ir_version);
    if (lex_is(key, "model_version"))
        return lex_i64(&ps->l, &m->model_version);
    if (lex_is(key, "opset_import"))
        return parse_opsets(ps, &m->opsets, &m->n_opsets);
    if (lex_is(key, "metadata_props"))
        return parse_metadata(ps);
    const struct {
        const char *key;
        const char **field;
    } texts[] = { { "producer_name", &m->producer_name },
                  { "producer_version", &m->producer_version },
                  { "domain", &m->model_domain },
                  { "doc_string", &m->doc } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (lex_is(key, texts[i].key))
            return parse_text(ps, texts[i].field);
    return lex_fail(&ps->l, "'%.*s' is no field of a model", (int)(key.len & 0xff),
                    key.s);
}

static pln_status parse_header(parser *ps)
{
    if (!lex_take(&ps->l, '<'))
        return PLN_OK;
    do {
        lex_word key;
        PLN_TRY(lex_identifier(&ps->l, &key));
        PLN_TRY(lex_expect(&ps->l, ':'));
        PLN_TRY(parse_field(ps, key));
    } while (lex_take(&ps->l, ','));
    PLN_TRY(lex_expect(&ps->l, '>'));
    if (lex_take(&ps->l, '@')) {
        lex_word key;
        PLN_TRY(lex_identifier(&ps->l, &key));
        if (!lex_is(key, "model"))
            return lex_fail(&ps->l, "'@model' is wanted here");
        PLN_TRY(parse_blob(ps, &ps->m->extra));
    }
    return PLN_OK;
}

static pln_status parse_functions(parser *ps)
{
    pln_model *m = ps->m;
    size_t cap = 0;
    while (lex_peek(&ps->l) || ps->l.pos < ps->l.len) {
        if (m->n_functions == cap) {
            cap = cap ? 2 * cap : 4;
            pln_function **all = PLN_NEW_ARRAY(m->arena, pln_function *, cap);
            if (!all)
                return pln_oom(ps->l.err);
            if (m->n_functions)
                memcpy(all, m->functions, m->n_functions * sizeof *all);
            m->functions = all;
        }
        pln_function *f;
        PLN_TRY(parse_function(ps, &f));
        m->functions[m->n_functions++] = f;
    }
    return PLN_OK;
}

static pln_status parse_model(parser *ps)
{
    pln_model *m = ps->m;
    m->ir_version = 13; /* of a text without a header */
    PLN_TRY(parse_header(ps));
    if (!m->n_opsets && pln_model_set_opset(m, "", PLN_OPSET_NEWEST) != PLN_OK)
        return pln_oom(ps->l.err);
    PLN_TRY(parse_name(ps, &m->graph->name));
    PLN_TRY(parse_rest_of_graph(ps, m->graph));
    PLN_TRY(parse_functions(ps));
    PLN_TRY(parse_link(ps));
    PLN_TRY(pln_graph_walk(m->graph, sort, ps->l.err));
    for (size_t i = 0; i < m->n_functions; i++)
        PLN_TRY(pln_graph_walk(m->functions[i]->body, sort, ps->l.err));
    return pln_model_raise(m, ps->l.err);
}

static pln_status open_parser(parser *ps, pln_model *m, const char *text, size_t len,
                              pln_error *err)
{
    *ps = (parser){ .l = { .text = text, .len = len, .err = err }, .m = m };
    ps->last = &ps->first;
    ps->l.arena = pln_arena_new(m->alloc);
    ps->l.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return ps->l.arena && ps->l.locale ? PLN_OK : pln_oom(err);
}

static void close_parser(parser *ps)
{
    if (ps->l.arena)
        pln_arena_free(ps->l.arena);
    if (ps->l.locale)
        freelocale(ps->l.locale);
}

pln_status pln_text_parse_model(pln_env *env, const char *text, size_t len,
                                const pln_text_source *source, pln_model **out,
                                pln_error *err)
{
    parser ps;
    pln_model *m;
    *out = NULL;
    PLN_TRY(pln_model_new(env, &m, err));
    pln_status st = open_parser(&ps, m, text, len, err);
    ps.source = source;
    if (st == PLN_OK)
        st = parse_model(&ps);
    close_parser(&ps);
    if (st != PLN_OK) {
        pln_model_free(m);
        return st == PLN_E_NOMEM ? pln_oom(err) : st;
    }
    *out = m;
    return PLN_OK;
}

pln_status pln_text_parse_function(pln_model *m, const char *text, size_t len,
                                   pln_function **out, pln_error *err)
{
    parser ps;
    *out = NULL;
    pln_status st = open_parser(&ps, m, text, len, err);
    if (st == PLN_OK)
        st = parse_function(&ps, out);
    if (st == PLN_OK)
        st = parse_link(&ps);
    if (st == PLN_OK)
        st = pln_graph_walk((*out)->body, sort, err);
    close_parser(&ps);
    if (st != PLN_OK)
        *out = NULL;
    return st == PLN_E_NOMEM ? pln_oom(err) : st;
}
