/* Bringing a model to another version of ai.onnx: which nodes have a form there, which
 * become others, and which stand in the way.
 *
 * In memory every node keeps its newest meaning; only writing lowers it. So a node is
 * tried on a copy, which goes again. SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/convert_opset.h"

#include <stdio.h>
#include <string.h>

#include "src/ir/front.h"
#include "src/ir/infer.h"
#include "src/ir/op.h"
#include "src/ir/settle.h"
#include "src/ir/type_since.h"
#include "src/ir/version.h"
#include "src/ir/widen.h"

#define MAX_DEPTH 6

typedef struct converter {
    pln_model *m;
    int64_t from, to; /* of the graph at hand, wanted */
    pln_text *list;
    size_t n_blockers;
    pln_error first; /* what the first blocker says */
    const pln_node *whole; /* the nodes at hand stand for it; NULL: for themselves */
    const char *whole_name, *whole_op;
    bool whole_blocked; /* one reason for each node will do */
    int depth;          /* of expansions within expansions */
    pln_error *err;
} converter;

/* ---- blockers -------------------------------------------------------------------- */

/* The reason without the name (the copy that was tried may have none) and the operator,
 * which the list has beside it. */
static const char *bare_reason(const pln_node *n, const char *text)
{
    char operator[128];
    snprintf(operator, sizeof operator, "(%.120s): ", n->op_type);
    const char *at = strstr(text, operator);
    return at ? at + strlen(operator) : text;
}

static const char *name_of(const pln_node *n)
{
    const char *name = n->name;
    for (uint32_t i = 0; !*name && i < n->n_out; i++)
        if (n->out[i])
            name = n->out[i]->name;
    return name;
}

/* Of a node that stands for another with others, the list has that other one. */
static void block(converter *c, const pln_node *part, const pln_error *why)
{
    char text[600];
    const pln_node *n = c->whole ? c->whole : part;
    const char *op = c->whole ? c->whole_op : part->op_type;
    const char *name = c->whole ? c->whole_name : name_of(part);
    const char *reason = bare_reason(part, why->text);
    if (c->whole && c->whole_blocked)
        return;
    c->whole_blocked = true;
    if (strcmp(op, part->op_type) != 0) {
        snprintf(text, sizeof text, "it would need %.100s: %.400s", part->op_type,
                 reason);
        reason = text;
    }
    pln_text_str(c->list, c->n_blockers ? ",{\"node\":" : "{\"node\":");
    pln_text_json(c->list, name, strlen(name));
    pln_text_str(c->list, ",\"op\":");
    pln_text_json(c->list, op, strlen(op));
    pln_text_str(c->list, ",\"domain\":");
    pln_text_json(c->list, n->domain, strlen(n->domain));
    pln_text_str(c->list, ",\"why\":");
    pln_text_json(c->list, reason, strlen(reason));
    pln_text_str(c->list, "}");
    if (!c->n_blockers++) {
        pln_fail(&c->first, PLN_E_UNSUPPORTED, "%s (%s): %s", name, op, reason);
        pln_error_set(&c->first, "node", n->name);
        pln_error_set(&c->first, "op", op);
    }
}

/* ---- one node -------------------------------------------------------------------- */

static bool has_references(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i]->ref)
            return true;
    return false;
}

/* Marks of ours, which no version of the standard knows. */
static bool has_marks(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (!strncmp(n->attrs[i]->name, "pln_", 4))
            return true;
    return false;
}

static pln_status check_type(const converter *c, const pln_node *n, const pln_value *v,
                             pln_error *why)
{
    if (!v || v->type.kind == PLN_KIND_NONE)
        return PLN_OK;
    const pln_dtype dt = v->type.kind == PLN_KIND_TENSOR ? v->type.dtype : PLN_DT_NONE;
    const int since = dt ? pln_type_since(n->op_type, dt)
                         : pln_kind_since(n->op_type, (pln_kind)v->type.kind);
    if (since <= c->to)
        return PLN_OK;
    return pln_fail(why, PLN_E_UNSUPPORTED, "it takes %s since version %d",
                    dt ? pln_dtype_name(dt) : pln_kind_name((pln_kind)v->type.kind),
                    since);
}

static pln_status check_types(const converter *c, const pln_node *n, pln_error *why)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        PLN_TRY(check_type(c, n, n->in[i], why));
    for (uint32_t i = 0; i < n->n_out; i++)
        PLN_TRY(check_type(c, n, n->out[i], why));
    return PLN_OK;
}

/* Whether the node can be written; the reason why not goes to `why`. */
static pln_status try_lowering(const converter *c, pln_node *n, pln_error *why)
{
    pln_graph *g = n->graph;
    pln_node *prev = n->prev;
    pln_value *last = g->last_value;
    pln_node *copy = pln_node_trial(n);
    if (!copy)
        return pln_oom(why);
    pln_status st = pln_node_lower(copy, c->to, why);
    if (st != PLN_OK && st != PLN_E_NOMEM && !pln_node_is_in_set(n, c->to)) {
        st = PLN_E_UNSUPPORTED;
        pln_error_clear(why); /* an older name of it would have served */
        pln_fail(why, st, "version %lld lacks the operator", (long long)c->to);
    }
    if (st == PLN_OK && has_marks(copy))
        st = pln_fail(why, PLN_E_UNSUPPORTED, "version %lld can't say what it does",
                      (long long)c->to);
    if (st == PLN_OK) /* of what is left of it: inputs may have become attributes */
        st = check_types(c, copy, why);
    pln_trial_remove(g, prev, n, last);
    return st;
}

/* Types and names for the nodes that came before n: "norm/Mul_3". */
static pln_status finish_new(pln_node *after, const pln_node *n)
{
    pln_graph *g = n->graph;
    for (pln_node *k = after ? after->next : g->first; k && k != n; k = k->next) {
        char hint[160];
        bool changed;
        const pln_status st = pln_node_infer(k, &changed, NULL);
        if (st == PLN_E_NOMEM)
            return st;
        snprintf(hint, sizeof hint, "%.100s/%.40s", n->name, k->op_type);
        if (*n->name && !(k->name = pln_graph_fresh_name(g, hint)))
            return PLN_E_NOMEM;
    }
    return PLN_OK;
}

static pln_status convert_node(converter *c, pln_node *n);

/* The nodes from `first` to before `end`, which stand for `whole`. */
static pln_status convert_parts(converter *c, pln_node *first, const pln_node *end,
                                const pln_node *whole, const char *name)
{
    const bool outer = !c->whole;
    pln_status st = PLN_OK;
    if (outer) {
        c->whole = whole;
        c->whole_name = name;
        c->whole_op = whole->op_type;
        c->whole_blocked = false;
    }
    c->depth++;
    for (pln_node *next; first != end && st == PLN_OK; first = next) {
        next = first->next;
        st = convert_node(c, first);
    }
    c->depth--;
    if (outer)
        c->whole = NULL;
    return st;
}

/* Other nodes in its place. */
static pln_status expand(converter *c, pln_node *n, pln_error *why)
{
    pln_node *prev = n->prev;
    pln_graph *g = n->graph;
    pln_value *last = g->last_value;
    const char *name = name_of(n);
    const pln_status st = n->op->expand(n, c->to, why);
    if (st != PLN_OK) {
        if (st == PLN_E_UNSUPPORTED)
            pln_trial_remove(g, prev, n, last);
        return st;
    }
    PLN_TRY(finish_new(prev, n));
    PLN_TRY(convert_parts(c, prev ? prev->next : g->first, n, n, name));
    pln_graph_remove_node(n);
    return PLN_OK;
}

/* The element type that the version does not take; NONE: all are fine. */
static pln_dtype refused_type(const converter *c, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (check_type(c, n, n->in[i], NULL) != PLN_OK &&
            n->in[i]->type.kind == PLN_KIND_TENSOR)
            return n->in[i]->type.dtype;
    return PLN_DT_NONE;
}

/* The same operator on a larger type that the version takes, between casts. */
static pln_status widen(converter *c, pln_node *n)
{
    const pln_dtype dt = refused_type(c, n);
    const pln_dtype wide = dt ? pln_widen_choose(n, dt, c->to) : PLN_DT_NONE;
    if (!wide || pln_type_since("Cast", dt) > c->to)
        return PLN_E_UNSUPPORTED;
    const char *name = name_of(n);
    pln_node *first, *last;
    PLN_TRY(pln_widen_node(n, dt, wide, &first, &last));
    return convert_parts(c, first, last->next, n, name);
}

static pln_status convert_in_other_ways(converter *c, pln_node *n, pln_error *why)
{
    pln_error other = { .code = PLN_OK };
    bool settled;
    if (c->depth == MAX_DEPTH) /* one stands for itself in the end */
        return PLN_E_UNSUPPORTED;
    PLN_TRY(pln_node_settle_inputs(n, &settled));
    if (settled && try_lowering(c, n, &other) == PLN_OK) {
        n->origin = NULL;
        return PLN_OK;
    }
    other = (pln_error){ .code = PLN_OK };
    PLN_TRY(pln_node_settle(n, &settled));
    if (settled)
        return PLN_OK;
    pln_status st = widen(c, n);
    if (st == PLN_E_UNSUPPORTED && n->op->expand) {
        st = expand(c, n, &other);
        if (st == PLN_E_UNSUPPORTED && *other.text)
            *why = other;
    }
    return st;
}

/* What was of a version up to 8, and became an operator of ours on reading: it stays in
 * those versions, as it was. */
static pln_status convert_raised(converter *c, pln_node *n)
{
    pln_error why = { .code = PLN_OK };
    pln_status st = PLN_E_UNSUPPORTED;
    pln_fail(&why, st, "(%s): version %lld can't say what it does", n->op_type,
             (long long)c->to);
    if (n->op->expand)
        st = expand(c, n, &why);
    if (st == PLN_E_UNSUPPORTED)
        block(c, n, &why);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
}

static pln_status convert_node(converter *c, pln_node *n)
{
    pln_error why = { .code = PLN_OK };
    if (n->op && !strcmp(n->domain, "planish") && n->origin &&
        (c->to >= 9 || pln_op_first_version(n->origin->op_type) > c->to))
        return convert_raised(c, n);
    if (!n->op || *n->domain ||
        pln_model_find_function(c->m, n->domain, n->op_type, n->overload))
        return PLN_OK;
    if (has_references(n)) { /* it was not raised, and is lowered by nobody */
        if (!pln_node_is_in_set(n, c->to) ||
            pln_node_changes_between(n, c->from, c->to)) {
            pln_fail(&why, PLN_E_UNSUPPORTED, "it reads attributes of its function");
            block(c, n, &why);
        }
        return PLN_OK;
    }
    const void *attrs;
    pln_status st = pln_node_attrs(n, &attrs, &why);
    if (st == PLN_E_FORMAT) { /* what is malformed has no meaning to keep */
        block(c, n, &why);
        return PLN_OK;
    }
    why = (pln_error){ .code = PLN_OK };
    st = c->to < 11 ? pln_node_count_from_front(n, &why) : PLN_OK;
    if (st == PLN_OK)
        st = try_lowering(c, n, &why);
    if (st == PLN_E_UNSUPPORTED) {
        st = convert_in_other_ways(c, n, &why);
        if (st == PLN_OK)
            return PLN_OK;
    }
    if (st == PLN_E_NOMEM)
        return pln_oom(c->err);
    if (st != PLN_OK)
        block(c, n, &why);
    n->origin = NULL; /* the form in which it came is another version's */
    return PLN_OK;
}

static pln_status convert_graph(pln_graph *g, void *user)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        next = n->next;
        PLN_TRY(convert_node(user, n));
    }
    return PLN_OK;
}

/* ---- IR versions ----------------------------------------------------------------- */

int64_t pln_ir_version_of_opset(int64_t version)
{
    static const int newest[][2] = { { 8, 3 },   { 9, 4 },   { 10, 5 },  { 11, 6 },
                                     { 14, 7 },  { 18, 8 },  { 20, 9 },  { 22, 10 },
                                     { 23, 11 }, { 24, 12 }, { 27, 13 }, { 28, 14 } };
    for (size_t i = 0; i < sizeof newest / sizeof newest[0]; i++)
        if (version <= newest[i][0])
            return newest[i][1];
    return newest[sizeof newest / sizeof newest[0] - 1][1];
}

static int64_t ir_version_of_type(pln_dtype dt)
{
    static const struct {
        uint8_t first, last, version;
    } types[] = { { PLN_DT_F8E4M3FN, PLN_DT_F8E5M2FNUZ, 9 },
                  { PLN_DT_U4, PLN_DT_S4, 10 },
                  { PLN_DT_F4E2M1, PLN_DT_F4E2M1, 11 },
                  { PLN_DT_F8E8M0, PLN_DT_F8E8M0, 12 },
                  { PLN_DT_U2, PLN_DT_S2, 13 } };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (dt >= types[i].first && dt <= types[i].last)
            return types[i].version;
    return 3;
}

static pln_status need_of_types(pln_graph *g, void *user)
{
    int64_t *need = user;
    for (const pln_value *v = g->values; v; v = v->next) {
        const int64_t ir = ir_version_of_type(v->type.dtype);
        *need = ir > *need ? ir : *need;
    }
    return PLN_OK;
}

int64_t pln_ir_version_needed(const pln_model *m)
{
    int64_t need = m->ir_version < 4 ? 3 : 4; /* initializers that are no inputs */
    if (m->n_functions)
        need = 8;
    for (size_t i = 0; i < m->n_functions; i++)
        if (*m->functions[i]->overload)
            need = 10;
    pln_graph_walk(m->graph, need_of_types, &need);
    return need;
}

static void set_ir_version(pln_model *m, int64_t from, int64_t to)
{
    int64_t want = pln_ir_version_of_opset(to);
    const int64_t need = pln_ir_version_needed(m);
    want = want > need ? want : need;
    if (to < from ? want < m->ir_version : want > m->ir_version)
        m->ir_version = want;
}

/* ---- the model ------------------------------------------------------------------- */

static pln_status convert_functions(converter *c)
{
    for (size_t i = 0; i < c->m->n_functions; i++) {
        pln_function *f = c->m->functions[i];
        for (size_t k = 0; k < f->n_opsets; k++) {
            if (*pln_domain_normal(f->opsets[k].domain))
                continue;
            c->from = f->opsets[k].version;
            PLN_TRY(pln_graph_walk(f->body, convert_graph, c));
            f->opsets[k].version = c->to;
        }
    }
    return PLN_OK;
}

static void ignore(void *user, const pln_node *n, const pln_error *e)
{
    (void)user;
    (void)n;
    (void)e;
}

pln_status pln_model_convert(pln_model *m, int64_t version, pln_text *blockers,
                             pln_error *err)
{
    const int64_t from = pln_model_opset(m, "");
    converter c = { .m = m, .from = from, .to = version, .list = blockers, .err = err };
    const pln_infer_options o = { .fault = ignore };
    if (version < 1 || version > PLN_OPSET_NEWEST)
        return pln_fail(err, PLN_E_USAGE,
                        "operator set %lld is unknown: 1 to %d are there",
                        (long long)version, PLN_OPSET_NEWEST);
    PLN_TRY(pln_graph_infer(m->graph, &o, err));
    pln_text_str(blockers, "[");
    PLN_TRY(pln_graph_walk(m->graph, convert_graph, &c));
    PLN_TRY(convert_functions(&c));
    pln_text_str(blockers, "]");
    if (c.n_blockers == 1)
        return pln_fail(err, PLN_E_UNSUPPORTED, "version %lld of ai.onnx: %s",
                        (long long)version, c.first.text);
    if (c.n_blockers)
        return pln_fail(
            err, PLN_E_UNSUPPORTED,
            "version %lld of ai.onnx: %zu nodes stand in the way, the first is %s",
            (long long)version, c.n_blockers, c.first.text);
    if (pln_model_set_opset(m, "", version) != PLN_OK)
        return pln_oom(err);
    set_ir_version(m, from, version);
    return PLN_OK;
}
