/* Planning: the slots of a plan and the steps that bring values into other layouts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"

uint32_t rt_slot_add(rt_planner *p, const pln_value *v, pln_tensor *desc, rt_where where)
{
    if (!pln_grow(p->s->alloc, (void **)&p->slots, &p->cap_slots, p->n_slots + 1,
                  sizeof *p->slots))
        return 0;
    p->slots[p->n_slots] = (rt_slot){ .desc = desc, .value = v, .where = (uint8_t)where };
    return (uint32_t)p->n_slots++;
}

pln_tensor *rt_desc_new(pln_arena *arena, const pln_type *t, uint8_t layout)
{
    pln_tensor *d = PLN_NEW(arena, pln_tensor);
    if (!d)
        return NULL;
    d->kind = (uint8_t)t->kind;
    d->dtype = (uint8_t)t->dtype;
    d->layout = layout;
    d->borrowed = true;
    d->refs = 1;
    d->rank = t->kind == PLN_KIND_TENSOR && t->shape.rank > 0 ? t->shape.rank : 0;
    for (int k = 0; k < d->rank; k++)
        d->dims[k] = t->shape.dims[k].value;
    return d;
}

bool rt_type_fits_arena(const pln_type *t)
{
    return rt_type_is_known(t) && t->kind == PLN_KIND_TENSOR && t->dtype != PLN_DT_STRING;
}

/* A slot for an output of a step; 0: no memory. */
uint32_t rt_slot_new(rt_planner *p, const pln_value *v, const pln_type *t, uint8_t layout)
{
    pln_tensor *d = rt_desc_new(p->plan->arena, t, layout);
    const uint32_t s =
        d ? rt_slot_add(p, v, d, rt_type_fits_arena(t) ? RT_ARENA : RT_HEAP) : 0;
    if (s)
        p->slot[layout][v->id] = s;
    return s;
}

rt_step *rt_step_new(rt_planner *p, rt_step_kind kind, uint32_t n_in, uint32_t n_out)
{
    if (!pln_grow(p->s->alloc, (void **)&p->steps, &p->cap_steps, p->n_steps + 1,
                  sizeof *p->steps))
        return NULL;
    rt_step *st = &p->steps[p->n_steps];
    *st = (rt_step){ .kind = (uint8_t)kind, .n_in = n_in, .n_out = n_out, .inplace = -1 };
    st->in = PLN_NEW_ARRAY(p->plan->arena, uint32_t, n_in + 1);
    st->out = PLN_NEW_ARRAY(p->plan->arena, uint32_t, n_out + 1);
    if (!st->in || !st->out)
        return NULL;
    p->n_steps++;
    return st;
}

uint32_t rt_slot_root(const rt_planner *p, uint32_t s)
{
    while (p->slots[s].where == RT_ALIAS)
        s = p->slots[s].root;
    return s;
}

/* The slot of a value from outside, in the layout that it has. */
static pln_status outer_slot(rt_planner *p, const pln_value *v, uint32_t *out,
                             pln_error *err)
{
    const pln_type *type = rt_value_type(p, v);
    pln_tensor *c = p->cst[v->id];
    if (!c && !type)
        return pln_fail(err, PLN_E_FORMAT, "value '%s' is read before it is made",
                        v->name);
    pln_tensor *d = c ? c : rt_desc_new(p->plan->arena, type, p->layout[v->id]);
    *out = d ? rt_slot_add(p, v, d, c ? RT_CONST : RT_OUTER) : 0;
    if (!*out)
        return pln_oom(err);
    if (c)
        pln_tensor_ref(c);
    p->slot[d->layout][v->id] = *out;
    return PLN_OK;
}

/* The value's slot as it was made: channels-last if it has been made so. */
pln_status rt_slot_native(rt_planner *p, const pln_value *v, uint32_t *out,
                          pln_error *err)
{
    const uint32_t plain = p->slot[0][v->id], last = p->slot[1][v->id];
    *out = last && (!plain || last < plain) ? last : plain;
    return *out ? PLN_OK : outer_slot(p, v, out, err);
}

static pln_status convert_const(rt_planner *p, const pln_value *v, uint32_t from,
                                uint8_t layout, uint32_t *out, pln_error *err)
{
    pln_tensor *src = p->slots[from].desc, *dst;
    PLN_TRY(pln_tensor_materialize(src, err));
    PLN_TRY(pln_tensor_make(p->s->alloc, (pln_dtype)src->dtype, src->rank, src->dims,
                            &dst, err));
    dst->layout = layout;
    rt_layout_convert(src, dst, p->s->n_threads);
    *out = rt_slot_add(p, v, dst, RT_CONST);
    if (*out)
        return PLN_OK;
    pln_tensor_unref(dst);
    return pln_oom(err);
}

double rt_desc_bytes(const pln_tensor *const *t, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        double bytes = t[i] ? (double)pln_dtype_size((pln_dtype)t[i]->dtype) : 0;
        for (int k = 0; t[i] && k < t[i]->rank; k++)
            bytes *= (double)t[i]->dims[k];
        sum += bytes > 0 ? bytes : 0;
    }
    return sum;
}

/* The same bytes are right in both layouts, or a step converts. */
static pln_status convert(rt_planner *p, const pln_value *v, uint32_t from,
                          uint8_t layout, uint32_t *out, pln_error *err)
{
    const pln_tensor *src = p->slots[from].desc;
    if (p->slots[from].where == RT_CONST)
        return convert_const(p, v, from, layout, out, err);
    pln_tensor *d = pln_arena_dup(p->plan->arena, src, sizeof *src);
    if (!d)
        return pln_oom(err);
    d->layout = layout;
    const bool same = rt_layout_same_bytes(d->rank, d->dims);
    *out = rt_slot_add(p, v, d, same ? RT_ALIAS : RT_ARENA);
    if (!*out)
        return pln_oom(err);
    p->slots[*out].root = from;
    if (same && !p->slots[rt_slot_root(p, from)].late)
        return PLN_OK;
    rt_step *st = rt_step_new(p, same ? RT_STEP_VIEW : RT_STEP_CONVERT, 1, 1);
    if (!st)
        return pln_oom(err);
    st->in[0] = from;
    st->out[0] = *out;
    const pln_tensor *const moved = d;
    st->n_threads = rt_threads_for(p->s->n_threads, 0, 2 * rt_desc_bytes(&moved, 1));
    return PLN_OK;
}

/* The slot of a value in a layout; a conversion is added where it is not there yet. */
pln_status rt_slot_in(rt_planner *p, const pln_value *v, uint8_t layout, uint32_t *out,
                      pln_error *err)
{
    uint32_t from;
    *out = p->slot[layout][v->id];
    if (*out)
        return PLN_OK;
    PLN_TRY(rt_slot_native(p, v, &from, err));
    if (p->slots[from].desc->layout == layout || p->slots[from].desc->rank < 3) {
        *out = from;
        return PLN_OK;
    }
    PLN_TRY(convert(p, v, from, layout, out, err));
    p->slot[layout][v->id] = *out;
    return PLN_OK;
}

void rt_slot_keep(rt_planner *p, uint32_t s)
{
    rt_slot *r = &p->slots[rt_slot_root(p, s)];
    r->pinned = true;
    if (r->where == RT_ARENA)
        r->kept = true;
}

static pln_status add_copy(rt_planner *p, const pln_value *v, uint32_t from,
                           uint32_t *out, pln_error *err)
{
    const uint32_t root = rt_slot_root(p, from);
    if (p->slots[root].where == RT_CONST)
        PLN_TRY(pln_tensor_materialize(p->slots[root].desc, err));
    pln_tensor *d = pln_arena_dup(p->plan->arena, p->slots[from].desc, sizeof *d);
    if (!d)
        return pln_oom(err);
    d->borrowed = true;
    d->data = NULL;
    d->buf = NULL;
    d->raw = (pln_raw){ 0 };
    d->external = NULL;
    d->items = NULL;
    d->n_items = d->cap_items = 0;
    *out = rt_slot_add(p, v, d, RT_HEAP);
    rt_step *st = *out ? rt_step_new(p, RT_STEP_COPY, 1, 1) : NULL;
    if (!st)
        return pln_oom(err);
    p->slots[*out].late = st->late =
        d->kind != PLN_KIND_TENSOR || d->dtype == PLN_DT_STRING;
    st->in[0] = from;
    st->out[0] = *out;
    p->slots[from].read = true;
    return PLN_OK;
}

/* The group of `old` gets the memory of `s`, one of its aliases. */
static void reroot(rt_planner *p, uint32_t old, uint32_t s)
{
    for (size_t i = 1; i < p->n_slots; i++)
        if (p->slots[i].where == RT_ALIAS)
            p->slots[i].root = rt_slot_root(p, (uint32_t)i);
    for (size_t i = 1; i < p->n_slots; i++)
        if (p->slots[i].where == RT_ALIAS && p->slots[i].root == old)
            p->slots[i].root = s;
    p->slots[old].where = RT_ALIAS;
    p->slots[old].root = s;
    p->slots[s].where = RT_HEAP;
}

/* A tensor of its own that holds the value: for results and for what keeps references. */
pln_status rt_slot_own(rt_planner *p, const pln_value *v, uint32_t *out, pln_error *err)
{
    PLN_TRY(rt_slot_in(p, v, PLN_LAYOUT_PLAIN, out, err));
    rt_slot *s = &p->slots[*out];
    if (s->where == RT_HEAP)
        return PLN_OK;
    if (s->where == RT_ARENA) {
        s->where = RT_HEAP;
        return PLN_OK;
    }
    const uint32_t root = rt_slot_root(p, *out);
    if (s->where == RT_ALIAS && p->slots[root].where == RT_ARENA) {
        reroot(p, root, *out);
        return PLN_OK;
    }
    return add_copy(p, v, *out, out, err);
}
