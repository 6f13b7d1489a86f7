/* Planning, second part: the steps, their kernels, and the layouts between them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"
#include "src/util/parallel.h"

#include <string.h>

#define ANY_INPUT (-2)

/* ---- which nodes are needed ------------------------------------------------------ */

static void mark_inputs(rt_planner *p, const rt_item *it, uint8_t mark)
{
    const pln_node *n = it->node;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && !p->cst[n->in[i]->id])
            p->mark[n->in[i]->id] |= mark;
    for (uint32_t i = 0; i < it->n_captures; i++)
        if (!p->cst[it->captures[i]->id])
            p->mark[it->captures[i]->id] |= mark;
}

static bool is_needed(const rt_planner *p, const rt_item *it)
{
    const pln_node *n = it->node;
    if (it->state == RT_DEFERRED || it->state == RT_BARRIER)
        return true;
    if (it->state == RT_FOLDED)
        return false;
    if (p->s->all_values && p->main)
        return true;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && (p->mark[n->out[i]->id] & (RT_USED | RT_LATER | RT_RESULT)))
            return true;
    return n->op->traits & PLN_OP_EFFECT;
}

static void mark_needed(rt_planner *p)
{
    for (size_t i = p->n_items; i-- > 0;) {
        rt_item *it = &p->items[i];
        it->needed = is_needed(p, it);
        if (it->needed)
            mark_inputs(p, it, it->state == RT_DEFERRED ? RT_LATER : RT_USED);
    }
}

/* ---- kernels --------------------------------------------------------------------- */

static double cost_of(const rt_item *it)
{
    pln_cost cost = { 0 };
    if (it->node->op->cost && it->state == RT_STATIC)
        it->node->op->cost(&it->infer, &cost);
    return cost.flops;
}

static void sum_library_work(rt_planner *p)
{
    for (size_t i = 0; i < p->n_items; i++) {
        const rt_item *it = &p->items[i];
        const pln_device *dev;
        const pln_impl *impl;
        if (it->needed && it->state == RT_STATIC)
            for (unsigned k = 0; rt_device_impl(p->s, it->node, k, &dev, &impl); k++)
                if (dev) {
                    p->lib_flops += cost_of(it);
                    break;
                }
    }
}

/* Where a node's shared state belongs: to the session if the constants that it comes from
 * are the same in every plan, else to this plan. */
static rt_shared **shared_list(rt_planner *p, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *v = n->in[i];
        if (v && p->cst[v->id] && p->cst[v->id] != rt_value_const(v) &&
            !p->constant[v->id])
            return &p->plan->shared;
    }
    return &p->s->shared;
}

/* Shared state of a node, made once. */
static pln_status prep_shared(pln_prep *prep, int purpose,
                              pln_status (*make)(pln_prep *p, void **state,
                                                 pln_error *err),
                              void (*release)(void *state), void **out, pln_error *err)
{
    rt_planner *p = prep->driver;
    rt_shared **list = shared_list(p, prep->node), *sh = *list;
    for (; sh; sh = sh->next)
        if (sh->node == prep->node && sh->purpose == purpose && sh->release == release) {
            *out = sh->state;
            return PLN_OK;
        }
    sh = pln_calloc(p->s->alloc, 1, sizeof *sh);
    if (!sh)
        return pln_oom(err);
    const pln_status st = make(prep, &sh->state, err);
    if (st != PLN_OK) {
        pln_release(p->s->alloc, sh);
        return st;
    }
    sh->node = prep->node;
    sh->purpose = purpose;
    sh->release = release;
    sh->next = *list;
    *list = sh;
    *out = sh->state;
    return PLN_OK;
}

typedef struct binding {
    pln_prep prep;
    uint8_t *layout; /* of the inputs, as the rule for channels-last operators wants */
    uint8_t out_layout;
    const pln_impl *impl;
    const char *device;
} binding;

/* Operators with the trait keep channels-last when a full-rank input has it; outputs that
 * are made while the run goes are plain. */
static bool wants_last(rt_planner *p, const rt_item *it, int rank, pln_error *err,
                       pln_status *st)
{
    const pln_node *n = it->node;
    bool last = false;
    if (!(n->op->traits & PLN_OP_CHANNELS_LAST) || rank < 3 || it->state == RT_BARRIER)
        return false;
    for (uint32_t i = 0; i < n->n_in && *st == PLN_OK; i++) {
        uint32_t s;
        if (!n->in[i] || (*st = rt_slot_native(p, n->in[i], &s, err)) != PLN_OK)
            continue;
        const pln_tensor *d = p->slots[s].desc;
        last |= d->layout == PLN_LAYOUT_CHANNELS_LAST && d->rank == rank &&
                !rt_layout_same_bytes(rank, d->dims);
    }
    return last;
}

static pln_status bind_inputs(rt_planner *p, const rt_item *it, binding *b,
                              pln_error *err)
{
    const pln_node *n = it->node;
    const pln_tensor **in = PLN_NEW_ARRAY(p->tmp, const pln_tensor *, n->n_in + 1);
    const pln_tensor **out = PLN_NEW_ARRAY(p->tmp, const pln_tensor *, n->n_out + 1);
    b->layout = PLN_NEW_ARRAY(p->tmp, uint8_t, n->n_in + 1);
    if (!in || !out || !b->layout)
        return pln_oom(err);
    b->prep.is_static = it->state == RT_STATIC;
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!n->out[i] || (i && !n->out[i]->n_uses))
            continue;
        pln_tensor *d = rt_desc_new(p->tmp, &it->infer.out[i], PLN_LAYOUT_PLAIN);
        if (!(out[i] = d))
            return pln_oom(err);
    }
    const int rank = n->n_out && out[0] ? out[0]->rank : 0;
    pln_status st = PLN_OK;
    const bool last = wants_last(p, it, rank, err, &st);
    PLN_TRY(st);
    b->out_layout = last ? PLN_LAYOUT_CHANNELS_LAST : PLN_LAYOUT_PLAIN;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!n->in[i])
            continue;
        uint32_t s;
        PLN_TRY(rt_slot_native(p, n->in[i], &s, err));
        in[i] = p->slots[s].desc;
        b->layout[i] = in[i]->layout;
        if (last && in[i]->rank == rank)
            b->layout[i] = PLN_LAYOUT_CHANNELS_LAST;
        if (p->slots[s].where == RT_CONST)
            PLN_TRY(pln_tensor_materialize(p->slots[s].desc, err));
    }
    b->prep.in = in;
    b->prep.out = out;
    return PLN_OK;
}

static int step_threads(const rt_planner *p, const rt_item *it, const binding *b)
{
    const pln_node *n = it->node;
    if (it->state != RT_STATIC || (n->op->traits & PLN_OP_CONTROL))
        return p->s->n_threads;
    const double bytes =
        rt_desc_bytes(b->prep.in, n->n_in) + rt_desc_bytes(b->prep.out, n->n_out);
    return rt_threads_for(p->s->n_threads, b->prep.flops, bytes);
}

static pln_status reset_prep(rt_planner *p, const rt_item *it, binding *b, pln_error *err)
{
    const pln_node *n = it->node;
    pln_prep *prep = &b->prep;
    prep->node = n;
    prep->attrs = it->attrs;
    prep->alloc = p->s->alloc;
    prep->n_in = n->n_in;
    prep->n_out = n->n_out;
    prep->flops = cost_of(it);
    prep->n_threads = step_threads(p, it, b);
    prep->state = NULL;
    prep->scratch = 0;
    prep->alias = -1;
    prep->inplace = -1;
    prep->shared = prep_shared;
    prep->driver = p;
    prep->layout_in = PLN_NEW_ARRAY(p->tmp, uint8_t, n->n_in + 1);
    prep->layout_out = PLN_NEW_ARRAY(p->tmp, uint8_t, n->n_out + 1);
    prep->packed = PLN_NEW_ARRAY(p->tmp, bool, n->n_in + 1);
    if (!prep->layout_in || !prep->layout_out || !prep->packed)
        return pln_oom(err);
    memcpy(prep->layout_in, b->layout, n->n_in);
    memset(prep->layout_out, b->out_layout, n->n_out);
    return PLN_OK;
}

/* The reference kernel, which takes channels-last tensors only with the trait. */
static void bind_reference(rt_planner *p, const rt_item *it, binding *b)
{
    if (b->out_layout != PLN_LAYOUT_CHANNELS_LAST)
        memset(b->prep.layout_in, PLN_LAYOUT_PLAIN, it->node->n_in);
    b->impl = NULL;
    b->device = "ref";
}

static pln_status choose_kernel(rt_planner *p, const rt_item *it, binding *b,
                                pln_error *err)
{
    const pln_device *dev;
    const pln_impl *impl;
    PLN_TRY(bind_inputs(p, it, b, err));
    for (unsigned k = 0; rt_device_impl(p->s, it->node, k, &dev, &impl); k++) {
        if (dev && !rt_device_ready(dev, p->lib_flops))
            continue;
        PLN_TRY(reset_prep(p, it, b, err));
        if (!impl->prepare && b->out_layout != PLN_LAYOUT_CHANNELS_LAST)
            memset(b->prep.layout_in, PLN_LAYOUT_PLAIN, it->node->n_in);
        /* Libraries plan for as many threads as OpenMP tells them. */
        const int before = pln_parallel_set_threads(b->prep.n_threads);
        const pln_status st = impl->prepare ? impl->prepare(&b->prep, err) : PLN_OK;
        pln_parallel_set_threads(before);
        if (st == PLN_OK) {
            b->impl = impl;
            b->device = dev ? dev->name : "cpu";
            return PLN_OK;
        }
        if (st != PLN_E_UNSUPPORTED)
            return st;
        pln_error_clear(err);
    }
    PLN_TRY(reset_prep(p, it, b, err));
    bind_reference(p, it, b);
    return PLN_OK;
}

/* ---- steps ----------------------------------------------------------------------- */

/* The step that owns a prepared state must exist before anything else can fail. */
static pln_status add_step(rt_planner *p, const rt_item *it, const binding *b,
                           uint32_t **in, pln_error *err)
{
    const pln_node *n = it->node;
    uint32_t *slots = PLN_NEW_ARRAY(p->tmp, uint32_t, n->n_in + 1);
    pln_status st = slots ? PLN_OK : pln_oom(err);
    for (uint32_t i = 0; i < n->n_in && st == PLN_OK; i++) {
        if (!n->in[i])
            continue;
        st = rt_slot_in(p, n->in[i], b->prep.layout_in[i], &slots[i], err);
        if (st == PLN_OK && !b->prep.packed[i])
            p->slots[slots[i]].read = true;
    }
    *in = slots;
    return st;
}

static void release_binding(const binding *b)
{
    if (b->impl && b->impl->release && b->prep.state)
        b->impl->release(b->prep.state);
}

/* Outputs that are tensors on their own: those whose shape or kind their step decides. */
static bool output_is_late(const rt_item *it, const pln_type *t)
{
    return it->state == RT_BARRIER || (it->node->op->traits & PLN_OP_CONTROL) ||
           t->kind != PLN_KIND_TENSOR;
}

static pln_status step_outputs(rt_planner *p, const rt_item *it, const binding *b,
                               rt_step *step, pln_error *err)
{
    const pln_node *n = it->node;
    const uint32_t index = (uint32_t)(step - p->steps);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_value *v = n->out[i];
        if (!v || (i && !v->n_uses))
            continue;
        const pln_type *t = &it->infer.out[i];
        const uint32_t s = rt_slot_new(p, v, t, b->prep.layout_out[i]);
        if (!s)
            return pln_oom(err);
        step = &p->steps[index];
        step->out[i] = s;
        if (output_is_late(it, t)) {
            p->slots[s].where = RT_HEAP;
            p->slots[s].late = step->late = true;
        } else if ((p->mark[v->id] & RT_RESULT) && !b->prep.layout_out[i]) {
            p->slots[s].where = RT_HEAP;
        }
    }
    return PLN_OK;
}

static pln_status step_captures(rt_planner *p, const rt_item *it, uint32_t **slots,
                                uint32_t *n, pln_error *err)
{
    *slots = PLN_NEW_ARRAY(p->plan->arena, uint32_t, it->n_captures + 1);
    if (!*slots)
        return pln_oom(err);
    for (uint32_t i = 0; i < it->n_captures; i++) {
        uint32_t s;
        PLN_TRY(rt_slot_in(p, it->captures[i], PLN_LAYOUT_PLAIN, &s, err));
        p->slots[s].read = true;
        if (p->slots[s].where == RT_CONST && p->slots[s].value)
            p->s->const_read[p->slots[s].value->id] = 1;
        else
            (*slots)[(*n)++] = s;
    }
    return PLN_OK;
}

static bool makes_containers(const rt_item *it)
{
    if (it->node->op->traits & PLN_OP_CONTROL)
        return false;
    for (uint32_t i = 0; i < it->node->n_out; i++)
        if (it->node->out[i] && it->infer.out[i].kind != PLN_KIND_TENSOR)
            return true;
    return false;
}

/* What goes into containers is referenced by them: it must be a tensor of its own. */
static pln_status referenced_inputs(rt_planner *p, const rt_item *it, uint32_t *in,
                                    pln_error *err)
{
    for (uint32_t i = 0; i < it->node->n_in; i++) {
        const pln_value *v = it->node->in[i];
        if (!v || p->slots[in[i]].where == RT_CONST)
            continue;
        if (p->slots[in[i]].where == RT_OUTER)
            p->slots[in[i]].refs = true;
        else
            PLN_TRY(rt_slot_own(p, v, &in[i], err));
    }
    return PLN_OK;
}

static pln_status finish_step(rt_planner *p, const rt_item *it, binding *b, uint32_t *in,
                              uint32_t *captures, uint32_t n_captures, pln_error *err)
{
    const pln_node *n = it->node;
    rt_step *step = rt_step_new(p, RT_STEP_NODE, n->n_in, n->n_out);
    if (!step) {
        release_binding(b);
        return pln_oom(err);
    }
    step->node = it->node;
    step->attrs = it->attrs;
    step->impl = b->impl;
    step->run = b->impl ? b->impl->run : n->op->ref;
    step->device = b->device;
    step->state = b->prep.state;
    step->scratch = b->prep.scratch;
    step->inplace = b->prep.inplace;
    if (step->inplace < 0 && (n->op->traits & PLN_OP_INPLACE))
        step->inplace = ANY_INPUT;
    step->flops = b->prep.flops;
    step->n_threads = b->prep.n_threads;
    step->barrier = it->state == RT_BARRIER;
    step->captures = captures;
    step->n_captures = n_captures;
    memcpy(step->in, in, n->n_in * sizeof *in);
    return step_outputs(p, it, b, step, err);
}

/* A slot that is another name for the bytes of `from`. */
static pln_status add_alias(rt_planner *p, const rt_item *it, uint32_t from,
                            uint8_t layout, pln_error *err)
{
    p->slots[from].read = true;
    const uint32_t s = rt_slot_new(p, it->node->out[0], &it->infer.out[0], layout);
    if (!s)
        return pln_oom(err);
    p->slots[s].where = RT_ALIAS;
    p->slots[s].root = from;
    if (!p->slots[rt_slot_root(p, from)].late)
        return PLN_OK;
    rt_step *st = rt_step_new(p, RT_STEP_VIEW, 1, 1);
    if (!st)
        return pln_oom(err);
    st->in[0] = from;
    st->out[0] = s;
    return PLN_OK;
}

static bool can_alias(const rt_planner *p, const rt_item *it, const binding *b)
{
    const int k = b->prep.alias;
    return b->impl && k >= 0 && (uint32_t)k < it->node->n_in && it->node->in[k] &&
           it->state == RT_STATIC && it->node->n_out == 1 &&
           rt_type_fits_arena(&it->infer.out[0]) && !(p->s->all_values && p->main);
}

/* A constant that its only user has packed gives its memory back at once: the peak is
 * that of one weight beside the packed ones. */
static void drop_packed_inputs(rt_planner *p, const rt_item *it, const binding *b,
                               const uint32_t *in)
{
    for (uint32_t i = 0; i < it->node->n_in; i++) {
        const pln_value *v = it->node->in[i];
        if (!v || !b->impl || !b->prep.packed[i] || v->n_uses != 1 ||
            p->slots[in[i]].where != RT_CONST || p->slots[in[i]].read ||
            p->s->const_read[v->id])
            continue;
        pln_tensor *t = p->slots[in[i]].desc;
        if (t == rt_value_const(v)) {
            pln_tensor_drop(t);
        } else if (p->left[v->id] && t == p->cst[v->id]) {
            pln_buf_unref(
                t->buf); /* folded: the next plan that needs it folds it again */
            t->buf = NULL;
            t->data = NULL;
        }
    }
}

static pln_status bind_node(rt_planner *p, const rt_item *it, pln_error *err)
{
    binding b = { 0 };
    uint32_t *in, *captures, n_captures = 0;
    if (!it->node->op->ref && !it->node->op->cpu)
        return pln_fail(err, PLN_E_UNSUPPORTED, "%s has no kernel", it->node->op_type);
    PLN_TRY(choose_kernel(p, it, &b, err));
    pln_status st = add_step(p, it, &b, &in, err);
    if (st == PLN_OK)
        st = step_captures(p, it, &captures, &n_captures, err);
    if (st == PLN_OK && makes_containers(it))
        st = referenced_inputs(p, it, in, err);
    const bool alias = st == PLN_OK && can_alias(p, it, &b);
    if (alias)
        st = add_alias(p, it, in[b.prep.alias], b.prep.layout_out[0], err);
    if (st != PLN_OK || alias) {
        release_binding(&b);
        return st;
    }
    st = finish_step(p, it, &b, in, captures, n_captures, err);
    if (st == PLN_OK)
        drop_packed_inputs(p, it, &b, in);
    return st;
}

/* A view of a tensor takes no step: its slot is another name for the same bytes. */
static bool is_alias(rt_planner *p, const rt_item *it)
{
    const pln_node *n = it->node;
    return (n->op->traits & PLN_OP_VIEW) && it->state == RT_STATIC && n->n_out == 1 &&
           n->n_in && n->in[0] && rt_type_fits_arena(&it->infer.out[0]) &&
           p->type[n->in[0]->id]->kind == PLN_KIND_TENSOR &&
           p->type[n->in[0]->id]->dtype == it->infer.out[0].dtype &&
           !(p->s->all_values && p->main);
}

static pln_status bind_alias(rt_planner *p, const rt_item *it, pln_error *err)
{
    const pln_node *n = it->node;
    uint32_t from;
    uint8_t layout = PLN_LAYOUT_PLAIN;
    PLN_TRY(rt_slot_native(p, n->in[0], &from, err));
    if (n->op->traits & PLN_OP_CHANNELS_LAST)
        layout = p->slots[from].desc->layout;
    PLN_TRY(rt_slot_in(p, n->in[0], layout, &from, err));
    return add_alias(p, it, from, layout, err);
}

/* ---- results --------------------------------------------------------------------- */

static pln_status add_export(rt_planner *p, uint32_t value, uint32_t slot, pln_error *err)
{
    rt_plan *plan = p->plan;
    plan->exports[plan->n_exports++] = (rt_export){ value, slot };
    return PLN_OK;
}

static pln_status export_result(rt_planner *p, const pln_value *v, pln_error *err)
{
    uint32_t s;
    PLN_TRY(rt_slot_own(p, v, &s, err));
    if (p->main)
        for (uint32_t i = 0; i < p->plan->graph->n_outputs && !p->slots[s].output; i++)
            if (p->plan->graph->outputs[i] == v)
                p->slots[s].output = i + 1;
    p->slots[s].pinned = true;
    return add_export(p, v->id, s, err);
}

static pln_status export_later(rt_planner *p, const pln_value *v, pln_error *err)
{
    uint32_t s;
    PLN_TRY(rt_slot_native(p, v, &s, err));
    rt_slot_keep(p, s);
    return add_export(p, v->id, s, err);
}

static pln_status export_value(rt_planner *p, const pln_value *v, pln_error *err)
{
    const bool keep_all = p->s->all_values && p->main;
    if (p->cst[v->id] && !(p->mark[v->id] & RT_RESULT))
        return PLN_OK;
    if ((p->mark[v->id] & RT_RESULT) || keep_all)
        return export_result(p, v, err);
    return p->mark[v->id] & RT_LATER ? export_later(p, v, err) : PLN_OK;
}

static pln_status export_node(rt_planner *p, const rt_item *it, pln_error *err)
{
    if (it->state == RT_DEFERRED || (!it->needed && it->state != RT_FOLDED))
        return PLN_OK;
    for (uint32_t i = 0; i < it->node->n_out; i++) {
        const pln_value *v = it->node->out[i];
        if (v && (!i || v->n_uses || p->cst[v->id]))
            PLN_TRY(export_value(p, v, err));
    }
    return PLN_OK;
}

/* Values from outside that are results as they are. */
static pln_status export_through(rt_planner *p, bool first, pln_error *err)
{
    const pln_graph *g = p->plan->graph;
    for (uint32_t i = 0; first && i < g->n_outputs; i++) {
        const pln_value *v = g->outputs[i];
        bool seen = v->graph == g && v->kind == PLN_VALUE_NODE;
        for (uint32_t k = 0; k < i; k++)
            seen |= g->outputs[k] == v;
        if (!seen)
            PLN_TRY(export_result(p, v, err));
    }
    return PLN_OK;
}

static pln_status add_exports(rt_planner *p, bool first, pln_error *err)
{
    size_t most = p->plan->graph->n_outputs;
    for (size_t i = 0; i < p->n_items; i++)
        most += p->items[i].node->n_out;
    p->plan->exports = PLN_NEW_ARRAY(p->plan->arena, rt_export, most + 1);
    if (!p->plan->exports)
        return pln_oom(err);
    for (size_t i = 0; i < p->n_items; i++)
        PLN_TRY(export_node(p, &p->items[i], err));
    return export_through(p, first, err);
}

pln_status rt_plan_bind(rt_planner *p, bool first, pln_error *err)
{
    const pln_graph *g = p->plan->graph;
    pln_tensor *none = PLN_NEW(p->plan->arena, pln_tensor);
    if (!none || rt_slot_add(p, NULL, none, RT_NONE) != 0 || !p->n_slots)
        return pln_oom(err);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        p->mark[g->outputs[i]->id] |= RT_RESULT;
    mark_needed(p);
    sum_library_work(p);
    for (size_t i = 0; i < p->n_items; i++) {
        const rt_item *it = &p->items[i];
        if (!it->needed || it->state == RT_DEFERRED)
            continue;
        const pln_status st =
            is_alias(p, it) ? bind_alias(p, it, err) : bind_node(p, it, err);
        if (st != PLN_OK) {
            pln_error_set(err, "node", it->node->name);
            pln_error_set(err, "op", it->node->op_type);
            return st;
        }
    }
    return add_exports(p, first, err);
}
