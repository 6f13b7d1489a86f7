/* The public call that brings a model to another float type.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nodes are visited in order: each takes its inputs in the wanted type where it may, in
 * the type that they had where not, and inference tells what it then gives. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/api_edit.h"
#include "src/ir/infer.h"
#include "src/ir/inline.h"
#include "src/ir/link.h"
#include "src/ir/op.h"
#include "src/ir/optimize.h"
#include "src/ir/retype.h"
#include "src/ir/type_since.h"
#include "src/ir/whole.h"
#include "src/util/text.h"

/* A constant in another type. */
typedef struct twin {
    pln_value *was, *now;
    pln_retyped what;
} twin;

typedef struct retyper {
    pln_model *m;
    const pln_dtype_options *o;
    pln_dtype to;
    uint32_t n_was; /* values that were there at first */
    uint8_t *was;   /* [n_was] their element types, where they are no longer the same */
    pln_map casts;  /* value -> its cast, to `to` or back */
    pln_map twins;  /* constant -> twin */
    pln_map wide;   /* values that outgrow the type */
    pln_map sizes;  /* values that are computed from shapes alone */
    pln_map whole;  /* nodes that make integers, or lead there */
    bool all;       /* nothing is kept by itself */
    twin **list;
    size_t n_twins, cap_twins, n_casts, n_converted, n_kept;
    int blocked; /* in bodies of nodes that compute as before */
    bool *found; /* [names in o->block] */
    pln_text kept;
    pln_error *err;
} retyper;

static bool is_source(const retyper *r, pln_dtype dt)
{
    return dt != r->to && (dt == PLN_DT_F16 || dt == PLN_DT_BF16 ||
                           (dt == PLN_DT_F32 && r->to != PLN_DT_F32));
}

/* A sequence, an optional, a map. */
static bool is_other(const pln_value *v)
{
    return v && v->type.kind != PLN_KIND_TENSOR && v->type.kind != PLN_KIND_NONE;
}

static bool is_tensor(const pln_value *v)
{
    return v && v->type.kind == PLN_KIND_TENSOR;
}

/* The type that the value had in the file. */
static pln_dtype type_before(const retyper *r, const pln_value *v)
{
    return v->id < r->n_was && r->was[v->id] ? (pln_dtype)r->was[v->id] : v->type.dtype;
}

static pln_status set_type(retyper *r, pln_value *v, pln_dtype dt)
{
    if (v->type.dtype == dt)
        return PLN_OK;
    if (v->id < r->n_was && !r->was[v->id])
        r->was[v->id] = (uint8_t)v->type.dtype;
    v->type.dtype = dt;
    if (!v->declared)
        return PLN_OK;
    pln_type *t = pln_arena_dup(r->m->arena, v->declared, sizeof *t);
    if (!t)
        return PLN_E_NOMEM;
    t->dtype = dt;
    v->declared = t;
    return pln_value_drop_type_message(v);
}

/* ---- a value in a type ----------------------------------------------------------- */

static pln_status make_twin(retyper *r, pln_value *v, pln_dtype dt, pln_value **out)
{
    twin *t = PLN_NEW(r->m->arena, twin);
    pln_tensor *cst = NULL;
    if (!t || !pln_grow(r->m->alloc, (void **)&r->list, &r->cap_twins, r->n_twins + 1,
                        sizeof(twin *)))
        return PLN_E_NOMEM;
    PLN_TRY(pln_tensor_retype(v->cst, dt, &cst, &t->what, r->err));
    t->was = v;
    t->now =
        pln_graph_add_initializer(v->graph, pln_graph_fresh_name(v->graph, v->name), cst);
    if (!t->now || !pln_map_put(&r->twins, v, t))
        return PLN_E_NOMEM;
    r->list[r->n_twins++] = t;
    *out = t->now;
    return PLN_OK;
}

/* Right behind what gives it, so that all its users can share it. */
static pln_status make_cast(retyper *r, pln_value *v, pln_dtype dt, pln_value **out)
{
    pln_node *before = v->def ? v->def->next : v->graph->first;
    pln_node *n = pln_graph_add_node(v->graph, before, "", "Cast", NULL, &v, 1, 1);
    if (!n || pln_node_set_int(n, "to", dt) != PLN_OK)
        return PLN_E_NOMEM;
    *out = n->out[0];
    n->out[0]->type = v->type;
    n->out[0]->type.dtype = dt;
    const char *name = pln_graph_fresh_name(v->graph, v->name);
    if (!name || !pln_value_rename(n->out[0], name) ||
        !pln_map_put(&r->casts, v, n->out[0]))
        return PLN_E_NOMEM;
    r->n_casts++;
    return PLN_OK;
}

static pln_status in_type(retyper *r, pln_value *v, pln_dtype dt, pln_value **out)
{
    *out = v;
    if (v->type.dtype == dt)
        return PLN_OK;
    twin *t = pln_map_get(&r->twins, v);
    pln_value *cast = pln_map_get(&r->casts, v);
    if (t && t->now->type.dtype == dt)
        *out = t->now;
    else if (cast && cast->type.dtype == dt)
        *out = cast;
    else if (pln_value_is_const(v) && v->cst->kind == PLN_KIND_TENSOR && !t)
        return make_twin(r, v, dt, out);
    else
        return make_cast(r, v, dt, out);
    return PLN_OK;
}

/* ---- nodes ----------------------------------------------------------------------- */

static bool list_has(retyper *r, const char *name)
{
    const char *p = r->o->block;
    bool has = false;
    for (size_t k = 0; p && *p; k++) {
        const size_t n = strcspn(p, ",");
        if (n == strlen(name) && !memcmp(p, name, n))
            has = r->found[k] = true;
        p += n + (p[n] != '\0');
    }
    return has;
}

static bool is_control(const pln_node *n)
{
    return !*n->domain && (!strcmp(n->op_type, "If") || !strcmp(n->op_type, "Loop") ||
                           !strcmp(n->op_type, "Scan"));
}

/* What counts loses whole steps in a short type. */
static bool counts(const pln_node *n)
{
    return !*n->domain &&
           (!strcmp(n->op_type, "Range") || !strcmp(n->op_type, "CumSum") ||
            !strcmp(n->op_type, "CumProd"));
}

/* Sizes, and what is computed of them and constants. */
static pln_status note_sizes(retyper *r, const pln_node *n)
{
    if (!n->op)
        return PLN_OK;
    bool some = (n->op->traits & PLN_OP_SHAPE_ONLY) && n->n_in == 1;
    for (uint32_t i = 0; i < n->n_in && !some; i++)
        some |= n->in[i] && pln_map_has(&r->sizes, n->in[i]);
    for (uint32_t i = 0; some && i < n->n_in && !(n->op->traits & PLN_OP_SHAPE_ONLY); i++)
        if (n->in[i] && !n->in[i]->cst && !pln_map_has(&r->sizes, n->in[i]))
            return PLN_OK;
    for (uint32_t i = 0; some && i < n->n_out; i++)
        if (n->out[i] && is_tensor(n->out[i]) && n->out[i]->type.shape.rank >= 0 &&
            n->out[i]->type.shape.rank <= 1 &&
            !pln_map_put(&r->sizes, n->out[i], n->out[i]))
            return PLN_E_NOMEM;
    return PLN_OK;
}

static bool gives_size(const retyper *r, const pln_node *n)
{
    if (n->op->traits & PLN_OP_SHAPE_ONLY)
        return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && pln_map_has(&r->sizes, n->out[i]))
            return true;
    return false;
}

static bool is_wide(const retyper *r, const pln_value *v)
{
    return v && pln_map_has(&r->wide, v);
}

#define ENDLESS 1e9 /* from here on a number stands for infinity, as in masks */

/* A constant that the type has no place for, though it is a number like others. */
static bool is_out_of_range(const retyper *r, const pln_value *v)
{
    if (r->to != PLN_DT_F16 || !v || !pln_value_is_const(v) ||
        v->cst->kind != PLN_KIND_TENSOR || !is_source(r, (pln_dtype)v->cst->dtype) ||
        pln_tensor_materialize(v->cst, NULL) != PLN_OK)
        return false;
    for (int64_t i = 0; i < pln_tensor_size(v->cst); i++) {
        const double x = fabs(pln_tensor_get_f64(v->cst, i));
        if (x > 65519 && x < ENDLESS) /* what does not round to the largest */
            return true;
    }
    return false;
}

static const char *reason_of_range(const retyper *r, const pln_node *n)
{
    if (r->all)
        return NULL;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (is_wide(r, n->in[i]) || is_out_of_range(r, n->in[i]))
            return "a number that it reads is out of the type's range";
    for (uint32_t i = 0; i < n->n_out; i++)
        if (is_wide(r, n->out[i]))
            return "what it gives is out of the type's range";
    return counts(n) ? "it counts, and the type has no numbers between large ones"
           : gives_size(r, n)  ? "it computes sizes"
           : pln_map_has(&r->whole, n) ? "integers are made there, or of what it gives"
                               : NULL;
}

/* Why the node computes as before; NULL: it may change. */
static const char *reason_to_keep(retyper *r, const pln_node *n)
{
    const bool by_op = list_has(r, n->op_type),
               by_name = *n->name && list_has(r, n->name);
    if (by_op || by_name)
        return "it is blocked";
    if (r->blocked)
        return "it is in the body of a node that is kept";
    if (!n->op)
        return "the operator is unknown";
    if (is_control(n))
        return NULL;
    if (!n->op->sig && !(n->op->traits & PLN_OP_VIEW))
        return "its types are not known";
    for (uint32_t i = 0; i < n->n_in; i++)
        if (is_other(n->in[i]))
            return "it takes more than tensors";
    for (uint32_t i = 0; i < n->n_out; i++)
        if (is_other(n->out[i]))
            return "it gives more than tensors";
    if (!*n->domain && pln_type_since(n->op_type, r->to) > pln_model_opset(r->m, ""))
        return "its version does not take the type";
    return reason_of_range(r, n);
}

static bool knows_types(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->type.kind == PLN_KIND_NONE)
            return false;
    return true;
}

static void note_kept(retyper *r, const pln_node *n, const char *why)
{
    const char *name = n->name;
    for (uint32_t i = 0; !*name && i < n->n_out; i++)
        if (n->out[i])
            name = n->out[i]->name;
    pln_text_str(&r->kept, r->n_kept++ ? ",{\"node\":" : "{\"node\":");
    pln_text_json(&r->kept, name, strlen(name));
    pln_text_str(&r->kept, ",\"op\":");
    pln_text_json(&r->kept, n->op_type, strlen(n->op_type));
    pln_text_str(&r->kept, ",\"why\":");
    pln_text_json(&r->kept, why, strlen(why));
    pln_text_str(&r->kept, "}");
}

/* Operators whose attribute names the type of what they give, or holds it. */
static const struct {
    const char *op, *attr;
    bool is_float; /* float unless the attribute says otherwise */
} typed[] = {
    { "Cast", "to", false },
    { "ConstantOfShape", "value", true },
    { "RandomNormal", "dtype", true },
    { "RandomUniform", "dtype", true },
    { "RandomNormalLike", "dtype", false },
    { "RandomUniformLike", "dtype", false },
    { "EyeLike", "dtype", false },
    { "Bernoulli", "dtype", false },
    { "BlackmanWindow", "output_datatype", true },
    { "HammingWindow", "output_datatype", true },
    { "HannWindow", "output_datatype", true },
    { "MelWeightMatrix", "output_datatype", true },
};

static pln_dtype stated_type(const pln_node *n);

static pln_status retype_fill(retyper *r, pln_node *n, const pln_attr *a)
{
    pln_tensor *t = NULL;
    pln_retyped what;
    const int64_t one = 1;
    if (a && !is_source(r, (pln_dtype)a->t->dtype))
        return PLN_OK;
    PLN_TRY(a ? pln_tensor_retype(a->t, r->to, &t, &what, r->err)
              : pln_tensor_make(r->m->alloc, r->to, 1, &one, &t, r->err));
    if (!a)
        pln_tensor_set_f64(t, 0, 0);
    const pln_status st = pln_node_set_tensor(n, "value", t);
    pln_tensor_unref(t);
    return st;
}

static pln_status retype_attribute(retyper *r, pln_node *n)
{
    for (size_t i = 0; !*n->domain && i < sizeof typed / sizeof typed[0]; i++) {
        if (strcmp(typed[i].op, n->op_type) != 0)
            continue;
        const pln_attr *a = pln_node_find_attr(n, typed[i].attr);
        if (!strcmp(typed[i].attr, "value"))
            return retype_fill(r, n, a && a->type == PLN_ATTR_TENSOR ? a : NULL);
        if (a ? is_source(r, (pln_dtype)a->i)
              : typed[i].is_float && is_source(r, PLN_DT_F32))
            return pln_node_set_int(n, typed[i].attr, r->to);
    }
    return PLN_OK;
}

/* Each input in its old type, or in the new one where the slot takes it. */
static pln_status set_inputs(retyper *r, pln_node *n, bool change, bool *any)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        pln_value *v = n->in[i], *now;
        if (!is_tensor(v) || !is_source(r, type_before(r, v)))
            continue;
        const bool takes = change && (is_control(n) || pln_op_takes(n->op, i, r->to));
        PLN_TRY(in_type(r, v, takes ? r->to : type_before(r, v), &now));
        *any |= takes;
        if (now != v)
            PLN_TRY(pln_node_set_input(n, i, now));
    }
    return PLN_OK;
}

/* What the node gives now, as inference sees it. */
static pln_status set_outputs(retyper *r, pln_node *n, bool *known)
{
    pln_dtype was[16] = { PLN_DT_NONE };
    bool changed;
    *known = true;
    for (uint32_t i = 0; i < n->n_out && i < 16; i++) {
        if (!is_tensor(n->out[i]) || !is_source(r, n->out[i]->type.dtype))
            continue;
        was[i] = n->out[i]->type.dtype;
        n->out[i]->type.dtype = PLN_DT_NONE;
    }
    const pln_status st = pln_node_infer(n, &changed, NULL);
    if (st == PLN_E_NOMEM)
        return st;
    for (uint32_t i = 0; i < n->n_out && i < 16; i++) {
        if (!was[i])
            continue;
        pln_dtype now = st == PLN_OK ? n->out[i]->type.dtype : PLN_DT_NONE;
        if (now == PLN_DT_NONE)
            now = stated_type(n);
        if (now == PLN_DT_NONE)
            now = pln_node_output_dtype(n, i);
        *known &= now != PLN_DT_NONE;
        n->out[i]->type.dtype = was[i];
        PLN_TRY(set_type(r, n->out[i], now ? now : was[i]));
    }
    return PLN_OK;
}

static bool has_floats(const retyper *r, const pln_node *n)
{
    bool any = false;
    for (uint32_t i = 0; i < n->n_in; i++)
        any |= is_tensor(n->in[i]) && is_source(r, type_before(r, n->in[i]));
    for (uint32_t i = 0; i < n->n_out; i++)
        any |= is_tensor(n->out[i]) && is_source(r, n->out[i]->type.dtype);
    return any;
}

static pln_status convert_graph(retyper *r, pln_graph *g, bool outputs);

/* Bodies take and give the type that their node does. */
static pln_status convert_body(retyper *r, const pln_node *n, pln_graph *g, bool change)
{
    for (uint32_t i = 0; change && i < g->n_inputs; i++)
        if (is_tensor(g->inputs[i]) && is_source(r, g->inputs[i]->type.dtype))
            PLN_TRY(set_type(r, g->inputs[i], r->to));
    r->blocked += !change;
    const pln_status st = convert_graph(r, g, change);
    r->blocked -= !change;
    return st;
}

static pln_status convert_bodies(retyper *r, pln_node *n, bool change)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g)
            PLN_TRY(convert_body(r, n, a->g, change));
        for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
            PLN_TRY(convert_body(r, n, a->graphs[k], change));
    }
    return PLN_OK;
}

static pln_status convert_control(retyper *r, pln_node *n)
{
    bool any = false;
    PLN_TRY(set_inputs(r, n, true, &any));
    PLN_TRY(convert_bodies(r, n, true));
    for (uint32_t i = 0; i < n->n_out; i++)
        if (is_tensor(n->out[i]) && is_source(r, n->out[i]->type.dtype))
            PLN_TRY(set_type(r, n->out[i], r->to));
    return PLN_OK;
}

static bool gives_type(const pln_node *n, pln_dtype dt)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (is_tensor(n->out[i]) && n->out[i]->type.dtype == dt)
            return true;
    return false;
}

static pln_status convert_node(retyper *r, pln_node *n)
{
    PLN_TRY(note_sizes(r, n));
    const char *why = reason_to_keep(r, n);
    bool any = false, known;
    if (!why && is_control(n))
        return convert_control(r, n);
    if (why)
        PLN_TRY(convert_bodies(r, n, false));
    if (!has_floats(r, n) || (n->n_in == 0 && n->n_out && n->out[0] && n->out[0]->cst))
        return PLN_OK; /* a constant becomes another for who wants it */
    if (!why)
        PLN_TRY(retype_attribute(r, n));
    PLN_TRY(set_inputs(r, n, !why, &any));
    PLN_TRY(set_outputs(r, n, &known));
    if (!why && !known && any) {
        why = "it is not known what it would give";
        PLN_TRY(set_inputs(r, n, false, &any));
    } else if (!why && !any && n->n_in && !gives_type(n, r->to) &&
               !(n->op->traits & PLN_OP_SHAPE_ONLY) && strcmp(n->op_type, "Cast") != 0) {
        why = knows_types(n) ? "it does not take the type"
                             : "the type of an input is not known";
    }
    if (why)
        note_kept(r, n, why);
    else
        r->n_converted++;
    return PLN_OK;
}

/* ---- graphs ---------------------------------------------------------------------- */

static pln_status convert_outputs(retyper *r, pln_graph *g, bool change)
{
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        pln_value *v = g->outputs[i], *now;
        if (!is_tensor(v) || !is_source(r, type_before(r, v)))
            continue;
        PLN_TRY(in_type(r, v, change ? r->to : type_before(r, v), &now));
        if (now == v)
            continue;
        if (!g->owner) { /* a model's output says its type */
            now->declared = pln_arena_dup(r->m->arena, &now->type, sizeof now->type);
            if (!now->declared)
                return PLN_E_NOMEM;
        }
        pln_graph_set_output(g, i, now);
    }
    return PLN_OK;
}

static pln_status convert_graph(retyper *r, pln_graph *g, bool outputs)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        next = n->next;
        PLN_TRY(convert_node(r, n));
    }
    return convert_outputs(r, g, outputs);
}

static pln_status convert_inputs(retyper *r)
{
    pln_graph *g = r->m->graph;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        pln_value *v = g->inputs[i];
        pln_tensor *t = NULL;
        pln_retyped what;
        if (!is_tensor(v) || !is_source(r, v->type.dtype) || (r->o->keep_io && !v->cst))
            continue; /* weights that callers may replace are weights */
        PLN_TRY(set_type(r, v, r->to));
        if (!v->cst)
            continue;
        PLN_TRY(pln_tensor_retype(v->cst, r->to, &t, &what, r->err));
        pln_value_set_const(v, t);
    }
    return PLN_OK;
}

/* Constants that nobody wants in their old type go, and leave their names. */
static pln_status drop_old_constants(retyper *r)
{
    for (size_t i = 0; i < r->n_twins; i++) {
        pln_value *was = r->list[i]->was, *now = r->list[i]->now;
        const char *name = was->name;
        if (was->uses || was->kind == PLN_VALUE_INPUT)
            continue;
        if (was->def)
            pln_graph_remove_node(was->def);
        else
            pln_graph_remove_value(was);
        if (*name && !pln_value_rename(now, name))
            return PLN_E_NOMEM;
    }
    return PLN_OK;
}

static pln_status check_block(retyper *r, pln_error *err)
{
    const char *p = r->o->block;
    for (size_t k = 0; p && *p; k++) {
        const size_t n = strcspn(p, ",");
        if (!r->found[k])
            return pln_fail(err, PLN_E_USAGE, "no node or operator is called '%.*s'",
                            (int)n, p);
        p += n + (p[n] != '\0');
    }
    return PLN_OK;
}

/* ---- the report ------------------------------------------------------------------ */

static void report_list(const retyper *r, pln_text *out, const char *key, bool clamped)
{
    size_t n = 0;
    pln_text_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < r->n_twins; i++) {
        const pln_retyped *w = &r->list[i]->what;
        const char *name = r->list[i]->now->name;
        if (!(clamped ? w->clamped : w->underflow))
            continue;
        pln_text_str(out, n++ ? ",{\"name\":" : "{\"name\":");
        pln_text_json(out, name, strlen(name));
        pln_text_printf(out, ",\"elements\":%lld}",
                        (long long)(clamped ? w->clamped : w->underflow));
    }
    pln_text_str(out, "]");
}

static pln_status write_report(const retyper *r, char **report)
{
    pln_text t;
    pln_text_init(&t, r->m->alloc);
    pln_text_printf(&t,
                    "{\"schema\":1,\"type\":\"%s\",\"converted\":%zu,\"constants\":%zu,"
                    "\"casts\":%zu,\"kept\":[%s]",
                    pln_dtype_name(r->to), r->n_converted, r->n_twins, r->n_casts,
                    r->kept.data ? r->kept.data : "");
    report_list(r, &t, "clamped", true);
    report_list(r, &t, "underflow", false);
    pln_text_str(&t, "}");
    *report = t.failed || r->kept.failed ? NULL : pln_text_take(&t);
    pln_text_done(&t);
    return *report ? PLN_OK : PLN_E_NOMEM;
}

/* ---- element types that inference left open ---------------------------------------- */

static void guess(pln_value *v, pln_dtype dt)
{
    if (!v || !dt || v->type.dtype || is_other(v))
        return;
    if (v->type.kind == PLN_KIND_NONE)
        v->type = pln_type_tensor(dt, pln_shape_unknown());
    v->type.dtype = dt;
}

/* The type that the node's attribute names, or holds. */
static pln_dtype stated_type(const pln_node *n)
{
    for (size_t i = 0; !*n->domain && i < sizeof typed / sizeof typed[0]; i++) {
        if (strcmp(typed[i].op, n->op_type) != 0)
            continue;
        const pln_attr *a = pln_node_find_attr(n, typed[i].attr);
        if (!a)
            return typed[i].is_float ? PLN_DT_F32 : PLN_DT_NONE;
        return a->type == PLN_ATTR_TENSOR ? (pln_dtype)a->t->dtype
               : a->type == PLN_ATTR_INT  ? (pln_dtype)a->i
                                          : PLN_DT_NONE;
    }
    return PLN_DT_NONE;
}

static void guess_types(pln_graph *g);

/* A Loop's body gives its condition first. */
static void guess_body(const pln_node *n, pln_graph *body)
{
    const uint32_t skip = !strcmp(n->op_type, "Loop") ? 1 : 0;
    for (uint32_t i = 0; i < body->n_inputs && i < n->n_in; i++)
        if (is_tensor(n->in[i]))
            guess(body->inputs[i], n->in[i]->type.dtype);
    guess_types(body);
    for (uint32_t i = 0; is_control(n) && i < n->n_out && i + skip < body->n_outputs; i++)
        if (is_tensor(body->outputs[i + skip]))
            guess(n->out[i], body->outputs[i + skip]->type.dtype);
}

/* Inference stops where shapes contradict each other, as in a branch that is never taken.
 */
static void guess_types(pln_graph *g)
{
    for (pln_node *n = g->first; n; n = n->next) {
        for (uint32_t i = 0; i < n->n_attrs; i++) {
            const pln_attr *a = n->attrs[i];
            if (a->type == PLN_ATTR_GRAPH && a->g)
                guess_body(n, a->g);
            for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
                guess_body(n, a->graphs[k]);
        }
        for (uint32_t i = 0; i < n->n_out; i++) {
            guess(n->out[i], stated_type(n));
            guess(n->out[i], pln_node_output_dtype(n, i));
        }
    }
}

/* ---- the call -------------------------------------------------------------------- */

static void ignore(void *user, const pln_node *n, const pln_error *e)
{
    (void)user;
    (void)n;
    (void)e;
}

static pln_status find_wide(retyper *r, pln_error *err)
{
    for (size_t i = 0; i < r->o->n_wide; i++) {
        pln_value *v = pln_graph_find_value(r->m->graph, r->o->wide[i]);
        if (!v)
            return pln_fail(err, PLN_E_USAGE, "there is no value '%s'", r->o->wide[i]);
        if (!pln_map_put(&r->wide, v, v))
            return PLN_E_NOMEM;
    }
    return PLN_OK;
}

static pln_status convert(retyper *r, char **report, pln_error *err)
{
    const pln_infer_options o = { .fault = ignore };
    pln_model *m = r->m;
    PLN_TRY(pln_model_inline(m, err)); /* functions have no types */
    PLN_TRY(pln_graph_infer(m->graph, &o, err));
    guess_types(m->graph);
    r->n_was = m->n_values;
    r->was = PLN_NEW_ARRAY(m->arena, uint8_t, r->n_was);
    PLN_TRY(find_wide(r, err));
    r->found = PLN_NEW_ARRAY(m->arena, bool, r->o->block ? strlen(r->o->block) + 1 : 1);
    if (!r->was || !r->found)
        return PLN_E_NOMEM;
    r->all = list_has(r, "none");
    if (!r->all && r->to != PLN_DT_F32 && !pln_whole_find(m->graph, &r->whole))
        return PLN_E_NOMEM;
    PLN_TRY(convert_inputs(r));
    PLN_TRY(convert_graph(r, m->graph, !r->o->keep_io));
    PLN_TRY(check_block(r, err));
    PLN_TRY(drop_old_constants(r));
    return report ? write_report(r, report) : PLN_OK;
}

static pln_status convert_copy(pln_model *m, const pln_dtype_options *o, char **report,
                               pln_error *err)
{
    retyper r = { .m = m, .o = o, .to = o->to, .err = err };
    const int64_t opset = pln_model_opset(m, "");
    if (opset && pln_type_since("Cast", o->to) > opset)
        return pln_fail(
            err, PLN_E_UNSUPPORTED, "%s needs version %d of ai.onnx, this is %lld",
            pln_dtype_name(o->to), pln_type_since("Cast", o->to), (long long)opset);
    pln_map_init(&r.casts, m->alloc);
    pln_map_init(&r.twins, m->alloc);
    pln_map_init(&r.wide, m->alloc);
    pln_map_init(&r.sizes, m->alloc);
    pln_map_init(&r.whole, m->alloc);
    pln_text_init(&r.kept, m->alloc);
    const pln_status st = convert(&r, report, err);
    pln_map_done(&r.casts);
    pln_map_done(&r.twins);
    pln_map_done(&r.wide);
    pln_map_done(&r.sizes);
    pln_map_done(&r.whole);
    pln_text_done(&r.kept);
    pln_release(m->alloc, r.list);
    return st == PLN_E_NOMEM ? pln_oom(err) : st;
}

pln_status pln_model_convert_dtype(pln_model *model, const pln_dtype_options *options,
                                   char **report, pln_error *err)
{
    pln_dtype_options o = PLN_DTYPE_OPTIONS_INIT;
    pln_model *copy;
    pln_error_clear(err);
    if (report)
        *report = NULL;
    if (!model || !options)
        return pln_fail(err, PLN_E_USAGE, "pln_model_convert_dtype: NULL argument");
    memcpy(&o, options,
           options->struct_size < sizeof o ? options->struct_size : sizeof o);
    if (o.to != PLN_DT_F32 && o.to != PLN_DT_F16 && o.to != PLN_DT_BF16)
        return pln_fail(err, PLN_E_USAGE, "a model can be of float, float16 or bfloat16");
    PLN_TRY(pln_model_clone(model, &copy, err));
    const pln_status st = convert_copy(copy, &o, report, err);
    if (st == PLN_OK)
        pln_model_swap(model, copy);
    pln_model_free(copy);
    return st;
}
