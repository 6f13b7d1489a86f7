/* The public call that tells what is different between two models.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/ir/differ.h"
#include "src/ir/version.h"

typedef struct node_list {
    const pln_node **v;
    const pln_node **other; /* what each is matched with, or NULL */
    size_t n, cap;
    const pln_allocator *alloc;
} node_list;

typedef struct differ {
    const pln_model *a, *b;
    node_list na, nb;
    pln_text *out;
    bool same;
    pln_error *err;
} differ;

/* ---- lists in the report --------------------------------------------------------- */

static void string(pln_text *out, const char *key, const char *s)
{
    pln_text_printf(out, "\"%s\":", key);
    pln_text_json(out, s, strlen(s));
}

/* Begins an item of a list that began at `begin`. */
static void item(differ *d, size_t begin)
{
    pln_text_str(d->out, d->out->len > begin ? ",{" : "{");
    d->same = false;
}

static size_t open_list(differ *d, const char *key)
{
    pln_text_printf(d->out, "\"%s\":[", key);
    return d->out->len;
}

static void close_list(differ *d, const char *behind)
{
    pln_text_str(d->out, "]");
    pln_text_str(d->out, behind);
}

/* ---- nodes ----------------------------------------------------------------------- */

static pln_status collect(pln_graph *g, void *user)
{
    node_list *l = user;
    for (const pln_node *n = g->first; n; n = n->next) {
        if (!pln_grow(l->alloc, (void **)&l->v, &l->cap, l->n + 1, sizeof *l->v))
            return PLN_E_NOMEM;
        l->v[l->n++] = n;
    }
    return PLN_OK;
}

static pln_status collect_all(const pln_model *m, node_list *l)
{
    l->alloc = m->alloc;
    PLN_TRY(pln_graph_walk(m->graph, collect, l));
    for (size_t i = 0; i < m->n_functions; i++)
        PLN_TRY(pln_graph_walk(m->functions[i]->body, collect, l));
    l->other = pln_calloc(l->alloc, l->n + 1, sizeof *l->other);
    return l->other ? PLN_OK : PLN_E_NOMEM;
}

/* What two nodes are matched by; 0: this node has none. */
typedef uint64_t (*key_fn)(const pln_node *n);

static uint64_t key_of_name(const pln_node *n)
{
    if (!*n->name)
        return 0;
    return pln_hash(pln_hash(PLN_HASH_SEED, n->name, pln_name_len(n->name)), n->op_type,
                    pln_name_len(n->op_type)) |
           1;
}

static uint64_t key_of_name_alone(const pln_node *n)
{
    return *n->name ? pln_hash(PLN_HASH_SEED, n->name, pln_name_len(n->name)) | 1 : 0;
}

static uint64_t key_of_output(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && *n->out[i]->name)
            return pln_hash(PLN_HASH_SEED, n->out[i]->name,
                            pln_name_len(n->out[i]->name)) |
                   1;
    return 0;
}

static uint64_t key_of_structure(const pln_node *n)
{
    return pln_node_hash(n) | 1;
}

/* First come, first served: nodes with the same key are matched in their order. */
static pln_status match_by(node_list *a, node_list *b, key_fn key)
{
    pln_map heads;
    size_t *next = pln_calloc(b->alloc, b->n + 1, sizeof *next);
    if (!next)
        return PLN_E_NOMEM;
    pln_map_init(&heads, b->alloc);
    pln_status st = PLN_OK;
    for (size_t i = b->n; st == PLN_OK && i-- > 0;) { /* chains of places, from 1 */
        const uint64_t k = b->other[i] ? 0 : key(b->v[i]);
        if (!k)
            continue;
        next[i] = (size_t)(uintptr_t)pln_map_get(&heads, (const void *)(uintptr_t)k);
        if (!pln_map_put(&heads, (const void *)(uintptr_t)k, (void *)(uintptr_t)(i + 1)))
            st = PLN_E_NOMEM;
    }
    for (size_t i = 0; st == PLN_OK && i < a->n; i++) {
        const uint64_t k = a->other[i] ? 0 : key(a->v[i]);
        const size_t at =
            k ? (size_t)(uintptr_t)pln_map_get(&heads, (const void *)(uintptr_t)k) : 0;
        if (!at)
            continue;
        a->other[i] = b->v[at - 1];
        b->other[at - 1] = a->v[i];
        if (!next[at - 1])
            pln_map_remove(&heads, (const void *)(uintptr_t)k);
        else if (!pln_map_put(&heads, (const void *)(uintptr_t)k,
                              (void *)(uintptr_t)next[at - 1]))
            st = PLN_E_NOMEM;
    }
    pln_map_done(&heads);
    pln_release(b->alloc, next);
    return st;
}

static void name_node(pln_text *out, const pln_node *n)
{
    const char *name = n->name;
    for (uint32_t i = 0; !*name && i < n->n_out; i++)
        if (n->out[i])
            name = n->out[i]->name;
    string(out, "name", name);
    pln_text_str(out, ",");
    string(out, "op", n->op_type);
    if (*n->domain) {
        pln_text_str(out, ",");
        string(out, "domain", n->domain);
    }
}

static void list_unmatched(differ *d, const char *key, const node_list *l)
{
    const size_t begin = open_list(d, key);
    for (size_t i = 0; i < l->n; i++) {
        if (l->other[i])
            continue;
        item(d, begin);
        name_node(d->out, l->v[i]);
        pln_text_str(d->out, "}");
    }
    close_list(d, ",");
}

static pln_status differ_nodes(differ *d)
{
    static const key_fn keys[] = { key_of_name, key_of_output, key_of_structure,
                                   key_of_name_alone };
    pln_text what;
    PLN_TRY(collect_all(d->a, &d->na));
    PLN_TRY(collect_all(d->b, &d->nb));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        PLN_TRY(match_by(&d->na, &d->nb, keys[i]));
    pln_text_str(d->out, "\"nodes\":{");
    list_unmatched(d, "added", &d->nb);
    list_unmatched(d, "removed", &d->na);
    const size_t begin = open_list(d, "changed");
    for (size_t i = 0; i < d->na.n; i++) {
        if (!d->na.other[i])
            continue;
        pln_text_init(&what, d->a->alloc);
        pln_node_differ(d->na.v[i], d->na.other[i], &what);
        if (what.len) {
            item(d, begin);
            name_node(d->out, d->na.v[i]);
            pln_text_printf(d->out, ",\"what\":[%s]}", what.data);
        }
        d->out->failed |= what.failed;
        pln_text_done(&what);
    }
    close_list(d, "},");
    return PLN_OK;
}

/* ---- operators ------------------------------------------------------------------- */

static size_t count_op(const node_list *l, const pln_node *like)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        n += !strcmp(l->v[i]->op_type, like->op_type) &&
             !strcmp(l->v[i]->domain, like->domain);
    return n;
}

static bool seen_before(const node_list *l, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!strcmp(l->v[k]->op_type, l->v[i]->op_type) &&
            !strcmp(l->v[k]->domain, l->v[i]->domain))
            return true;
    return false;
}

static void put_op(differ *d, size_t begin, const pln_node *n)
{
    const size_t was = count_op(&d->na, n), now = count_op(&d->nb, n);
    if (was == now)
        return;
    item(d, begin);
    string(d->out, "op", n->op_type);
    pln_text_str(d->out, ",");
    string(d->out, "domain", n->domain);
    pln_text_printf(d->out, ",\"before\":%zu,\"after\":%zu}", was, now);
}

static void differ_ops(differ *d)
{
    const size_t begin = open_list(d, "ops");
    for (size_t i = 0; i < d->na.n; i++)
        if (!seen_before(&d->na, i))
            put_op(d, begin, d->na.v[i]);
    for (size_t i = 0; i < d->nb.n; i++)
        if (!seen_before(&d->nb, i) && !count_op(&d->na, d->nb.v[i]))
            put_op(d, begin, d->nb.v[i]);
    close_list(d, ",");
}

/* ---- weights --------------------------------------------------------------------- */

static bool is_weight(const pln_value *v)
{
    return v->cst && v->kind != PLN_VALUE_NODE && !pln_value_is_raised(v);
}

static const pln_value *weight_called(const pln_model *m, const char *name)
{
    const pln_value *v = pln_graph_find_value(m->graph, name);
    return v && is_weight(v) ? v : NULL;
}

/* Largest difference, or -1 where types or shapes differ. */
static double distance(pln_tensor *a, pln_tensor *b)
{
    double most = 0;
    if (a->kind != PLN_KIND_TENSOR || b->kind != PLN_KIND_TENSOR ||
        a->dtype != b->dtype || a->rank != b->rank ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) ||
        a->dtype == PLN_DT_STRING)
        return -1;
    for (int64_t i = 0; i < pln_tensor_size(a); i++) {
        const double x = pln_tensor_get_f64(a, i), y = pln_tensor_get_f64(b, i);
        const double diff = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y);
        most = diff > most || isnan(diff) ? (isnan(diff) ? INFINITY : diff) : most;
    }
    return most;
}

static void put_type(pln_text *out, const char *key, const pln_type *t)
{
    pln_text type;
    pln_text_init(&type, out->alloc);
    pln_type_print(&type, t);
    pln_text_printf(out, ",\"%s\":", key);
    pln_text_json(out, type.data ? type.data : "", type.len);
    out->failed |= type.failed;
    pln_text_done(&type);
}

static pln_status differ_weight(differ *d, size_t begin, const pln_value *x,
                                const pln_value *y)
{
    if (x->cst == y->cst)
        return PLN_OK;
    PLN_TRY(pln_tensor_materialize(x->cst, d->err));
    PLN_TRY(pln_tensor_materialize(y->cst, d->err));
    if (pln_tensor_same(x->cst, y->cst))
        return PLN_OK;
    const double most = distance(x->cst, y->cst);
    item(d, begin);
    string(d->out, "name", x->name);
    put_type(d->out, "before", &x->type);
    put_type(d->out, "after", &y->type);
    pln_text_str(d->out, ",\"max_abs\":");
    pln_text_json_double(d->out, most < 0 ? NAN : most);
    pln_text_str(d->out, "}");
    return PLN_OK;
}

static void list_weights(differ *d, const char *key, const pln_model *m,
                         const pln_model *other)
{
    const size_t begin = open_list(d, key);
    for (const pln_value *v = m->graph->values; v; v = v->next) {
        if (!is_weight(v) || weight_called(other, v->name))
            continue;
        item(d, begin);
        string(d->out, "name", v->name);
        put_type(d->out, "type", &v->type);
        pln_text_str(d->out, "}");
    }
    close_list(d, ",");
}

static pln_status differ_weights(differ *d)
{
    pln_text_str(d->out, "\"weights\":{");
    list_weights(d, "added", d->b, d->a);
    list_weights(d, "removed", d->a, d->b);
    const size_t begin = open_list(d, "changed");
    for (const pln_value *v = d->a->graph->values; v; v = v->next) {
        const pln_value *other = is_weight(v) ? weight_called(d->b, v->name) : NULL;
        if (other)
            PLN_TRY(differ_weight(d, begin, v, other));
    }
    close_list(d, "},");
    return PLN_OK;
}

/* ---- inputs and outputs ---------------------------------------------------------- */

typedef struct end {
    const char *name;
    const pln_type *type;
} end;

static uint32_t count_ends(const pln_graph *g, pln_io io)
{
    return io == PLN_INPUT ? g->n_inputs : g->n_outputs;
}

static end end_at(const pln_graph *g, pln_io io, uint32_t i)
{
    const pln_value *v = io == PLN_INPUT ? g->inputs[i] : g->outputs[i];
    return (end){ io == PLN_INPUT ? v->name : g->output_names[i],
                  v->declared ? v->declared : &v->type };
}

static bool find_end(const pln_graph *g, pln_io io, const char *name, end *out)
{
    for (uint32_t i = 0; i < count_ends(g, io); i++) {
        *out = end_at(g, io, i);
        if (!strcmp(out->name, name))
            return true;
    }
    return false;
}

static bool same_type(const pln_type *a, const pln_type *b)
{
    pln_text x, y;
    pln_text_init(&x, NULL);
    pln_text_init(&y, NULL);
    pln_type_print(&x, a); /* symbols of two tables */
    pln_type_print(&y, b);
    const bool same = x.len == y.len && (!x.len || !memcmp(x.data, y.data, x.len));
    pln_text_done(&x);
    pln_text_done(&y);
    return same;
}

static void put_end(differ *d, size_t begin, const end *was, const end *now)
{
    item(d, begin);
    string(d->out, "name", was ? was->name : now->name);
    if (was)
        put_type(d->out, "before", was->type);
    if (now)
        put_type(d->out, "after", now->type);
    pln_text_str(d->out, "}");
}

static void differ_ends(differ *d, const char *key, pln_io io)
{
    const size_t begin = open_list(d, key);
    const pln_graph *a = d->a->graph, *b = d->b->graph;
    for (uint32_t i = 0; i < count_ends(a, io); i++) {
        const end was = end_at(a, io, i);
        end now;
        if (!find_end(b, io, was.name, &now))
            put_end(d, begin, &was, NULL);
        else if (!same_type(was.type, now.type))
            put_end(d, begin, &was, &now);
    }
    for (uint32_t i = 0; i < count_ends(b, io); i++) {
        const end now = end_at(b, io, i);
        end was;
        if (!find_end(a, io, now.name, &was))
            put_end(d, begin, NULL, &now);
    }
    close_list(d, ",");
}

/* ---- what the model says of itself ----------------------------------------------- */

static void put_pair(differ *d, size_t begin, const char *key, const char *was,
                     const char *now)
{
    if (was && now && !strcmp(was, now))
        return;
    item(d, begin);
    string(d->out, "key", key);
    if (was) {
        pln_text_str(d->out, ",");
        string(d->out, "before", was);
    }
    if (now) {
        pln_text_str(d->out, ",");
        string(d->out, "after", now);
    }
    pln_text_str(d->out, "}");
}

static void differ_metadata(differ *d)
{
    const size_t begin = open_list(d, "metadata");
    for (size_t i = 0; i < d->a->n_metadata; i++)
        put_pair(d, begin, d->a->metadata[i].key, d->a->metadata[i].value,
                 pln_model_metadata(d->b, d->a->metadata[i].key, NULL));
    for (size_t i = 0; i < d->b->n_metadata; i++)
        if (!pln_model_metadata(d->a, d->b->metadata[i].key, NULL))
            put_pair(d, begin, d->b->metadata[i].key, NULL, d->b->metadata[i].value);
    close_list(d, ",");
}

static void put_version(differ *d, size_t begin, const char *key, int64_t was,
                        int64_t now)
{
    char a[24], b[24];
    snprintf(a, sizeof a, "%lld", (long long)was);
    snprintf(b, sizeof b, "%lld", (long long)now);
    if (was != now)
        put_pair(d, begin, key, was ? a : NULL, now ? b : NULL);
}

static void differ_header(differ *d)
{
    const pln_model *a = d->a, *b = d->b;
    size_t begin = open_list(d, "opsets");
    for (size_t i = 0; i < a->n_opsets; i++)
        put_version(d, begin, a->opsets[i].domain, a->opsets[i].version,
                    pln_model_opset(b, a->opsets[i].domain));
    for (size_t i = 0; i < b->n_opsets; i++)
        if (!pln_model_opset(a, b->opsets[i].domain))
            put_version(d, begin, b->opsets[i].domain, 0, b->opsets[i].version);
    close_list(d, ",");
    begin = open_list(d, "header");
    put_version(d, begin, "ir_version", a->ir_version, b->ir_version);
    put_version(d, begin, "model_version", a->model_version, b->model_version);
    put_version(d, begin, "functions", (int64_t)a->n_functions, (int64_t)b->n_functions);
    put_pair(d, begin, "producer_name", a->producer_name, b->producer_name);
    put_pair(d, begin, "producer_version", a->producer_version, b->producer_version);
    put_pair(d, begin, "domain", a->model_domain, b->model_domain);
    put_pair(d, begin, "doc", a->doc, b->doc);
    put_pair(d, begin, "graph", a->graph->name, b->graph->name);
    close_list(d, "}");
}

/* ---- the call -------------------------------------------------------------------- */

static pln_status differ_all(differ *d)
{
    pln_text_str(d->out, "{\"schema\":1,");
    PLN_TRY(differ_nodes(d));
    differ_ops(d);
    PLN_TRY(differ_weights(d));
    differ_ends(d, "inputs", PLN_INPUT);
    differ_ends(d, "outputs", PLN_OUTPUT);
    differ_metadata(d);
    differ_header(d);
    return PLN_OK;
}

pln_status pln_model_diff(const pln_model *a, const pln_model *b, bool *same, char **json,
                          pln_error *err)
{
    pln_text out;
    pln_error_clear(err);
    if (json)
        *json = NULL;
    if (!a || !b || !same)
        return pln_fail(err, PLN_E_USAGE, "pln_model_diff: NULL argument");
    pln_text_init(&out, a->alloc);
    differ d = { .a = a, .b = b, .out = &out, .same = true, .err = err };
    pln_status st = differ_all(&d);
    if (st == PLN_E_NOMEM || out.failed)
        st = pln_oom(err);
    *same = st == PLN_OK && d.same;
    if (st == PLN_OK && json && !(*json = pln_text_take(&out)))
        st = pln_oom(err);
    pln_text_done(&out);
    pln_release(a->alloc, d.na.v);
    pln_release(a->alloc, d.na.other);
    pln_release(b->alloc, d.nb.v);
    pln_release(b->alloc, d.nb.other);
    return st;
}
