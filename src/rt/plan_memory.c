/* Planning, third part: lifetimes, values that take over the memory of others, and places
 * in the blocks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"
#include "src/util/size.h"

#include <stdlib.h>
#include <string.h>

#define NEVER UINT32_MAX

static bool slot_bytes(const rt_slot *s, size_t *bytes)
{
    *bytes = 0;
    return s->late || s->desc->kind != PLN_KIND_TENSOR ||
           pln_dims_bytes((pln_dtype)s->desc->dtype, s->desc->rank, s->desc->dims, bytes);
}

static void lives(rt_planner *p, uint32_t slot, uint32_t step)
{
    if (!slot)
        return;
    rt_slot *r = &p->slots[rt_slot_root(p, slot)];
    if (r->born == NEVER)
        r->born = step;
    if (step > r->dies)
        r->dies = step;
}

static pln_status lifetimes(rt_planner *p, pln_error *err)
{
    for (size_t i = 1; i < p->n_slots; i++) {
        rt_slot *s = &p->slots[i];
        s->born = NEVER;
        s->dies = 0;
        if (s->where != RT_CONST && !slot_bytes(s, &s->bytes))
            return pln_fail(err, PLN_E_LIMIT, "value '%s' is too large", s->value->name);
        if (s->bytes > p->s->tensor_bytes)
            return pln_fail(err, PLN_E_LIMIT,
                            "value '%s' needs %zu bytes, over the limit", s->value->name,
                            s->bytes);
    }
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const rt_step *st = &p->steps[i];
        for (uint32_t k = 0; k < st->n_in; k++)
            lives(p, st->in[k], i);
        for (uint32_t k = 0; k < st->n_captures; k++)
            lives(p, st->captures[k], i);
        for (uint32_t k = 0; k < st->n_out; k++)
            lives(p, st->out[k], i);
    }
    for (size_t i = 1; i < p->n_slots; i++)
        if (p->slots[i].kept || p->slots[i].pinned) {
            rt_slot *r = &p->slots[rt_slot_root(p, (uint32_t)i)];
            r->kept |= r->where == RT_ARENA;
            r->dies = (uint32_t)p->n_steps;
        }
    return PLN_OK;
}

/* Could output slot `out` of step i lie over input slot `in`? */
static bool may_take(const rt_planner *p, uint32_t i, uint32_t in, uint32_t out)
{
    if (!in)
        return false;
    const rt_slot *r = &p->slots[rt_slot_root(p, in)], *o = &p->slots[out];
    return r->where == RT_ARENA && !r->kept && r->dies == i && r->born < i &&
           p->slots[in].bytes == o->bytes && r->bytes == o->bytes && o->bytes;
}

static void take_over(rt_planner *p, const rt_step *st, uint32_t i)
{
    const uint32_t out = st->n_out ? st->out[0] : 0;
    if (!out || st->inplace == -1 || st->late)
        return;
    rt_slot *o = &p->slots[out];
    if (o->where != RT_ARENA && o->where != RT_HEAP)
        return;
    for (uint32_t k = 0; k < st->n_in; k++) {
        if ((st->inplace >= 0 && (uint32_t)st->inplace != k) ||
            !may_take(p, i, st->in[k], out))
            continue;
        const uint32_t root = rt_slot_root(p, st->in[k]);
        rt_slot *r = &p->slots[root];
        if (o->where == RT_HEAP) {
            if (o->desc->dtype == PLN_DT_STRING)
                return;
            r->where = RT_ALIAS;
            r->root = out;
            return;
        }
        r->dies = o->dies > r->dies ? o->dies : r->dies;
        r->kept |= o->kept;
        o->where = RT_ALIAS;
        o->root = root;
        return;
    }
}

/* ---- places ---------------------------------------------------------------------- */

typedef struct block {
    size_t size, offset;
    uint32_t born, dies;
    size_t *place;
} block;

static int by_size(const void *a, const void *b)
{
    const block *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x->born < y->born ? -1 : x->born > y->born;
}

/* The smallest gap that fits between blocks alive at the same time; placed is sorted by
 * offset. */
static size_t find_place(const block *b, block *const *placed, size_t n)
{
    size_t best = SIZE_MAX, best_gap = SIZE_MAX, end = 0;
    for (size_t i = 0; i < n; i++) {
        const block *q = placed[i];
        if (q->dies < b->born || q->born > b->dies)
            continue;
        if (q->offset > end && q->offset - end >= b->size && q->offset - end < best_gap) {
            best_gap = q->offset - end;
            best = end;
        }
        if (q->offset + q->size > end)
            end = q->offset + q->size;
    }
    return best != SIZE_MAX ? best : end;
}

static void insert_placed(block **placed, size_t n, block *b)
{
    size_t i = n;
    for (; i > 0 && placed[i - 1]->offset > b->offset; i--)
        placed[i] = placed[i - 1];
    placed[i] = b;
}

static pln_status place(rt_planner *p, block *blocks, size_t n, pln_error *err)
{
    block **placed = PLN_NEW_ARRAY(p->tmp, block *, n + 1);
    if (!placed)
        return pln_oom(err);
    qsort(blocks, n, sizeof *blocks, by_size);
    for (size_t i = 0; i < n; i++) {
        block *b = &blocks[i];
        b->offset = find_place(b, placed, i);
        insert_placed(placed, i, b);
        *b->place = b->offset;
        size_t end;
        if (!pln_size_add(&end, b->offset, b->size))
            return pln_fail(err, PLN_E_LIMIT, "the activations are too large");
        if (end > p->plan->temp_bytes)
            p->plan->temp_bytes = end;
    }
    return PLN_OK;
}

static bool round_up(size_t bytes, size_t *out)
{
    if (!pln_size_add(out, bytes, PLN_CACHE_LINE))
        return false;
    *out = bytes ? pln_align_up(bytes, PLN_CACHE_LINE) : PLN_CACHE_LINE;
    return true;
}

static pln_status collect(rt_planner *p, block *blocks, size_t *n, pln_error *err)
{
    rt_plan *plan = p->plan;
    size_t size;
    for (size_t i = 1; i < p->n_slots; i++) {
        rt_slot *s = &p->slots[i];
        if (s->where != RT_ARENA || s->born == NEVER)
            continue;
        if (!round_up(s->bytes, &size))
            return pln_fail(err, PLN_E_LIMIT, "value '%s' is too large", s->value->name);
        if (!s->kept) {
            blocks[(*n)++] = (block){ size, 0, s->born, s->dies, &s->offset };
            continue;
        }
        s->offset = plan->kept_bytes;
        if (!pln_size_add(&plan->kept_bytes, plan->kept_bytes, size))
            return pln_fail(err, PLN_E_LIMIT, "the activations are too large");
    }
    for (uint32_t i = 0; i < p->n_steps; i++) {
        rt_step *st = &p->steps[i];
        if (st->scratch && round_up(st->scratch, &size))
            blocks[(*n)++] = (block){ size, 0, i, i, &st->scratch_offset };
    }
    return PLN_OK;
}

pln_status rt_plan_memory(rt_planner *p, pln_error *err)
{
    size_t n = 0;
    PLN_TRY(lifetimes(p, err));
    for (uint32_t i = 0; i < p->n_steps; i++)
        take_over(p, &p->steps[i], i);
    for (size_t i = 1; i < p->n_slots; i++)
        if (p->slots[i].where == RT_ALIAS)
            p->slots[i].root = rt_slot_root(p, (uint32_t)i);
    block *blocks = PLN_NEW_ARRAY(p->tmp, block, p->n_slots + p->n_steps + 1);
    if (!blocks)
        return pln_oom(err);
    PLN_TRY(collect(p, blocks, &n, err));
    PLN_TRY(place(p, blocks, n, err));
    size_t total = p->plan->temp_bytes;
    if (!pln_size_add(&total, total, p->plan->kept_bytes) || total > p->s->run_bytes)
        return pln_fail(err, PLN_E_LIMIT,
                        "the activations need %zu bytes, over the limit", total);
    return PLN_OK;
}
