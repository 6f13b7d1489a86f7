/* Plans: making them from their parts, finding them by shapes, letting go of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"

#include <stdatomic.h>
#include <string.h>

rt_plan *rt_plan_ref(rt_plan *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

static void release_step(pln_session *s, rt_step *st)
{
    if (st->impl && st->impl->release && st->state)
        st->impl->release(st->state);
    while (st->bodies) {
        rt_body *b = st->bodies;
        st->bodies = b->next;
        rt_cache_clear(&b->plans);
        pln_release(s->alloc, b);
    }
}

void rt_shared_free(const pln_allocator *a, rt_shared *list)
{
    while (list) {
        rt_shared *sh = list;
        list = sh->next;
        if (sh->release)
            sh->release(sh->state);
        pln_release(a, sh);
    }
}

void rt_plan_unref(rt_plan *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    pln_session *s = p->session;
    for (uint32_t i = 0; i < p->n_steps; i++)
        release_step(s, &p->steps[i]);
    for (uint32_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].where == RT_CONST)
            pln_tensor_unref(p->slots[i].desc);
    for (size_t i = 0; i < p->n_known; i++)
        pln_tensor_unref(p->known[i].t);
    rt_cache_clear(&p->continuations);
    rt_shared_free(s->alloc, p->shared);
    pln_release(s->alloc, p->key);
    pln_release(s->alloc, p->steps);
    pln_release(s->alloc, p->slots);
    pln_release(s->alloc, p->known);
    pln_arena_free(p->arena);
    pln_release(s->alloc, p);
}

void rt_cache_clear(rt_cache *cache)
{
    while (cache->head) {
        rt_plan *p = cache->head;
        cache->head = p->next;
        atomic_store(&p->evicted, true);
        rt_plan_unref(p);
    }
    cache->n = 0;
}

/* ---- making ---------------------------------------------------------------------- */

static rt_plan *new_plan(pln_session *s, const pln_graph *g)
{
    rt_plan *plan = pln_calloc(s->alloc, 1, sizeof *plan);
    if (!plan)
        return NULL;
    atomic_init(&plan->refs, 1);
    plan->session = s;
    plan->graph = g;
    plan->arena = pln_arena_new(s->alloc);
    if (plan->arena)
        return plan;
    pln_release(s->alloc, plan);
    return NULL;
}

static pln_status planner_tables(rt_planner *p, pln_error *err)
{
    const size_t n = p->s->model->n_values;
    p->type = PLN_NEW_ARRAY(p->tmp, const pln_type *, n + 1);
    p->cst = PLN_NEW_ARRAY(p->tmp, pln_tensor *, n + 1);
    p->sym = PLN_NEW_ARRAY(p->tmp, const pln_symval *, n + 1);
    p->layout = PLN_NEW_ARRAY(p->tmp, uint8_t, n + 1);
    p->mark = PLN_NEW_ARRAY(p->tmp, uint8_t, n + 1);
    p->constant = PLN_NEW_ARRAY(p->tmp, bool, n + 1);
    p->left = PLN_NEW_ARRAY(p->tmp, uint32_t, n + 1);
    p->slot[0] = PLN_NEW_ARRAY(p->tmp, uint32_t, n + 1);
    p->slot[1] = PLN_NEW_ARRAY(p->tmp, uint32_t, n + 1);
    if (!p->type || !p->cst || !p->sym || !p->layout || !p->mark || !p->left ||
        !p->constant || !p->slot[0] || !p->slot[1])
        return pln_oom(err);
    return PLN_OK;
}

static pln_status inherit_known(rt_planner *p, const rt_plan *from, pln_error *err)
{
    if (!from || !from->n_known)
        return PLN_OK;
    if (!pln_grow(p->s->alloc, (void **)&p->known, &p->cap_known, from->n_known,
                  sizeof *p->known))
        return pln_oom(err);
    for (size_t i = 0; i < from->n_known; i++) {
        p->known[i] = from->known[i];
        pln_tensor_ref(p->known[i].t);
        p->cst[p->known[i].value] = p->known[i].t;
        p->constant[p->known[i].value] = p->known[i].constant;
    }
    p->n_known = p->n_inherited = from->n_known;
    return PLN_OK;
}

static bool is_live(const pln_session *s, const pln_node *n)
{
    if ((pln_node_traits(n) & PLN_OP_EFFECT) || s->all_values)
        return true;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            return true;
    return false;
}

static pln_status graph_nodes(rt_planner *p, const pln_graph *g, pln_node ***out,
                              size_t *n, pln_error *err)
{
    size_t count = 0;
    for (const pln_node *k = g->first; k; k = k->next)
        count++;
    pln_node **nodes = PLN_NEW_ARRAY(p->tmp, pln_node *, count + 1);
    if (!nodes)
        return pln_oom(err);
    *n = 0;
    for (pln_node *k = g->first; k; k = k->next)
        if (is_live(p->s, k))
            nodes[(*n)++] = k;
    *out = nodes;
    return PLN_OK;
}

/* What is left, and the values on whose shapes the rest depends. */
static pln_status leave_rest(rt_planner *p, pln_error *err)
{
    rt_plan *plan = p->plan;
    size_t n_out = 0;
    for (size_t i = 0; i < p->n_items; i++)
        n_out += p->items[i].node->n_out;
    plan->rest = PLN_NEW_ARRAY(plan->arena, pln_node *, p->n_items + 1);
    plan->dynamic = PLN_NEW_ARRAY(plan->arena, uint32_t, n_out + 1);
    if (!plan->rest || !plan->dynamic)
        return pln_oom(err);
    bool progress = false;
    for (size_t i = 0; i < p->n_items; i++) {
        const rt_item *it = &p->items[i];
        progress |= it->state != RT_DEFERRED;
        if (it->state == RT_DEFERRED)
            plan->rest[plan->n_rest++] = it->node;
        for (uint32_t k = 0; it->state == RT_BARRIER && k < it->node->n_out; k++)
            if (it->node->out[k] && (!k || it->node->out[k]->n_uses))
                plan->dynamic[plan->n_dynamic++] = it->node->out[k]->id;
    }
    if (plan->n_rest && !progress)
        return pln_fail(err, PLN_E_FORMAT, "%s: its inputs are never known",
                        plan->rest[0]->op_type);
    return PLN_OK;
}

static bool enters(const rt_plan *plan, const rt_slot *s)
{
    if (s->where == RT_OUTER || (s->where == RT_HEAP && !s->late))
        return true;
    if (s->where != RT_ALIAS)
        return false;
    const rt_slot *r = &plan->slots[s->root];
    return r->where == RT_OUTER || (r->where == RT_HEAP && !r->late);
}

static pln_status list_enter(rt_plan *plan, pln_error *err)
{
    plan->enter = PLN_NEW_ARRAY(plan->arena, uint32_t, plan->n_slots + 1);
    if (!plan->enter)
        return pln_oom(err);
    for (int alias = 0; alias < 2; alias++)
        for (uint32_t i = 1; i < plan->n_slots; i++)
            if ((plan->slots[i].where == RT_ALIAS) == (alias == 1) &&
                enters(plan, &plan->slots[i]))
                plan->enter[plan->n_enter++] = i;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const uint32_t n = plan->steps[i].n_in + plan->steps[i].n_out;
        if (n > plan->max_args)
            plan->max_args = n;
    }
    return PLN_OK;
}

/* Constants that every step has packed need not stay in memory; those that are read as
 * they are must stay for as long as the session. */
static void drop_constants(rt_planner *p)
{
    for (size_t i = 1; i < p->n_slots; i++) {
        const rt_slot *s = &p->slots[i];
        if (s->where == RT_CONST && s->read && s->value)
            p->s->const_read[s->value->id] = 1;
    }
    for (size_t i = 1; i < p->n_slots; i++) {
        const rt_slot *s = &p->slots[i];
        if (s->where == RT_CONST && s->value && !p->s->const_read[s->value->id] &&
            s->desc == rt_value_const(s->value))
            pln_tensor_drop(s->desc);
    }
    for (size_t i = 0; i < p->n_items; i++) { /* read by folding alone */
        const pln_node *n = p->items[i].node;
        for (uint32_t k = 0; p->items[i].state == RT_FOLDED && k < n->n_in; k++) {
            const pln_value *v = n->in[k];
            pln_tensor *c = v ? rt_value_const(v) : NULL;
            if (c && !p->s->const_read[v->id] && !p->slot[0][v->id] && !p->slot[1][v->id])
                pln_tensor_drop(c);
        }
    }
}

static pln_status make(rt_planner *p, const pln_graph *g, rt_plan *from, bool continues,
                       pln_error *err)
{
    pln_node **nodes = continues ? from->rest : NULL;
    size_t n = continues ? from->n_rest : 0;
    PLN_TRY(planner_tables(p, err));
    PLN_TRY(inherit_known(p, from, err));
    if (!continues)
        PLN_TRY(graph_nodes(p, g, &nodes, &n, err));
    PLN_TRY(rt_plan_infer(p, nodes, n, err));
    PLN_TRY(rt_plan_bind(p, !continues, err));
    PLN_TRY(rt_plan_memory(p, err));
    return leave_rest(p, err);
}

pln_status rt_plan_make(pln_run *run, const pln_graph *g, rt_plan *from, bool continues,
                        rt_plan **out, pln_error *err)
{
    pln_session *s = run->session;
    rt_planner p = { .run = run, .s = s, .main = g == s->model->graph };
    *out = NULL;
    p.plan = new_plan(s, g);
    p.tmp = p.plan ? pln_arena_new(s->alloc) : NULL;
    pln_status st = p.tmp ? make(&p, g, from, continues, err) : pln_oom(err);
    if (!p.plan)
        return st;
    if (st == PLN_OK) {
        drop_constants(&p);
        rt_drop_folded(&p);
    }
    p.plan->slots = p.slots;
    p.plan->n_slots = (uint32_t)p.n_slots;
    p.plan->steps = p.steps;
    p.plan->n_steps = (uint32_t)p.n_steps;
    p.plan->known = p.known;
    p.plan->n_known = p.n_known;
    if (st == PLN_OK)
        st = list_enter(p.plan, err);
    pln_arena_free(p.tmp);
    if (st == PLN_OK)
        *out = p.plan;
    else
        rt_plan_unref(p.plan);
    return st;
}

/* ---- finding --------------------------------------------------------------------- */

static bool key_value(pln_run *run, size_t *len, const pln_tensor *t)
{
    if (!pln_grow(run->alloc, (void **)&run->key, &run->key_cap, *len + 2 + PLN_MAX_RANK,
                  sizeof *run->key))
        return false;
    int64_t *k = run->key + *len;
    k[0] = t ? t->kind | t->dtype << 8 | t->layout << 16 : -1;
    k[1] = t ? t->rank : 0;
    for (int i = 0; t && i < t->rank; i++)
        k[2 + i] = t->dims[i];
    *len += 2 + (size_t)k[1];
    return true;
}

static bool make_key(pln_run *run, const pln_graph *g, const rt_plan *from,
                     bool continues, size_t *len)
{
    *len = 0;
    if (continues) {
        for (size_t i = 0; i < from->n_dynamic; i++)
            if (!key_value(run, len, run->now[from->dynamic[i]]))
                return false;
        return true;
    }
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (!key_value(run, len, run->now[g->inputs[i]->id]))
            return false;
    return true;
}

static rt_plan *find(rt_cache *cache, const int64_t *key, size_t len)
{
    for (rt_plan **at = &cache->head; *at; at = &(*at)->next) {
        rt_plan *p = *at;
        if (p->key_len != len || (len && memcmp(p->key, key, len * sizeof *key)))
            continue;
        *at = p->next;
        p->next = cache->head;
        cache->head = p;
        return p;
    }
    return NULL;
}

static void evict(rt_cache *cache, uint32_t limit)
{
    while (cache->n > limit) {
        rt_plan **at = &cache->head;
        while ((*at)->next)
            at = &(*at)->next;
        rt_plan *last = *at;
        *at = NULL;
        cache->n--;
        atomic_store(&last->evicted, true);
        rt_plan_unref(last);
    }
}

static pln_status make_cached(pln_run *run, rt_cache *cache, const pln_graph *g,
                              rt_plan *from, bool continues, size_t len, uint32_t limit,
                              rt_plan **out, pln_error *err)
{
    int64_t *key = pln_alloc(run->alloc, (len + 1) * sizeof *key);
    if (!key)
        return pln_oom(err);
    if (len)
        memcpy(key, run->key, len * sizeof *key);
    const pln_status st = rt_plan_make(run, g, from, continues, out, err);
    if (st != PLN_OK) {
        pln_release(run->alloc, key);
        return st;
    }
    (*out)->key = key;
    (*out)->key_len = len;
    (*out)->next = cache->head;
    cache->head = rt_plan_ref(*out);
    cache->n++;
    evict(cache, limit);
    return PLN_OK;
}

pln_status rt_cache_plan(pln_run *run, rt_cache *cache, const pln_graph *g, rt_plan *from,
                         bool continues, uint32_t limit, rt_plan **out, pln_error *err)
{
    size_t len;
    *out = NULL;
    if (!make_key(run, g, from, continues, &len))
        return pln_oom(err);
    pthread_mutex_lock(&run->session->lock);
    rt_plan *p = find(cache, run->key, len);
    pln_status st = PLN_OK;
    if (p)
        *out = rt_plan_ref(p);
    else
        st = make_cached(run, cache, g, from, continues, len, limit, out, err);
    pthread_mutex_unlock(&run->session->lock);
    return st;
}
