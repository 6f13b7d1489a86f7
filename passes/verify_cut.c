/* Cuts: the nodes that a rewrite is about, and what they read from outside.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/verify.h"

#include <string.h>

/* Most nodes of the old graph, by depth. */
static const size_t most_nodes[PLN_CUT_DEPTHS] = { 64, 64, 12, 48, 160 };

typedef struct cutter {
    const pln_patch *p;
    const pln_match *m;
    int depth;
    pln_arena *arena;
    pln_map taps; /* values that the new side reads */
    pln_map in;   /* old nodes of the cut: node to itself */
    pln_map behind; /* those that depend on a tap */
    pln_map leaves;
    pln_node **queue;
    size_t n_queue, most;
    bool found, oom;
} cutter;

/* ---- which nodes ------------------------------------------------------------------- */

static void put(cutter *c, pln_map *map, const void *key)
{
    if (!pln_map_put(map, key, (void *)(uintptr_t)key))
        c->oom = true;
}

static bool is_new_node(const pln_patch *p, const pln_node *n)
{
    for (int i = 0; i < p->n_nodes; i++)
        if (p->node[i] == n)
            return true;
    return false;
}

static void add_tap(void *user, pln_value *v)
{
    cutter *c = user;
    if (!pln_value_is_const(v) && !(v->def && is_new_node(c->p, v->def)))
        put(c, &c->taps, v);
}

static void enqueue(void *user, pln_value *v)
{
    cutter *c = user;
    pln_node *n = v->def;
    if (!n || n->graph != c->p->graph || pln_value_is_const(v) ||
        pln_map_has(&c->in, n) || is_new_node(c->p, n) || c->n_queue == c->most)
        return;
    if (c->depth == 0 && pln_map_has(&c->taps, v))
        return;
    put(c, &c->in, n);
    c->queue[c->n_queue++] = n;
}

static void find_taps(cutter *c)
{
    for (int i = 0; i < c->p->n_nodes; i++)
        pln_node_each_read(c->p->node[i], add_tap, c);
    for (int i = 0; i < c->p->n_replaced; i++)
        add_tap(c, c->p->new[i]);
}

static void enqueue_all(cutter *c)
{
    for (int i = 0; i < c->p->n_replaced; i++)
        enqueue(c, c->p->old[i]);
    for (size_t i = 0; c->depth && i < c->taps.cap; i++)
        if (c->taps.keys[i])
            enqueue(c, c->taps.values[i]);
    for (size_t head = 0; head < c->n_queue && c->depth != 1; head++)
        pln_node_each_read(c->queue[head], enqueue, c);
}

static bool is_matched(const cutter *c, const pln_node *n)
{
    for (int i = 0; c->m && i < c->m->n_nodes; i++)
        if (c->m->nodes[i] == n)
            return true;
    for (int i = 0; i < c->p->n_replaced; i++)
        if (c->p->old[i]->def == n)
            return true;
    return false;
}

static void note_tap(void *user, pln_value *v)
{
    cutter *c = user;
    if (pln_map_has(&c->taps, v) || (v->def && pln_map_has(&c->behind, v->def)))
        c->found = true;
}

/* At depth 0 the old side ends at the taps: of what lies before it, only what comes from
 * a tap is of interest, and what was matched. */
static void keep_between(cutter *c, pln_node **order, size_t *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        c->found = false;
        pln_node_each_read(order[i], note_tap, c);
        if (!c->found && !is_matched(c, order[i])) {
            pln_map_remove(&c->in, order[i]);
            continue;
        }
        if (c->found)
            put(c, &c->behind, order[i]);
        order[kept++] = order[i];
    }
    *n = kept;
}

/* In the order of the graph; the old ones, then the new ones. */
static pln_status put_in_order(cutter *c, pln_cut *out, pln_error *err)
{
    const size_t most = c->n_queue + (size_t)c->p->n_nodes;
    out->node = PLN_NEW_ARRAY(c->arena, pln_node *, most + 1);
    if (!out->node)
        return pln_oom(err);
    size_t left = c->n_queue;
    for (pln_node *n = c->p->graph->first; n && left; n = n->next)
        if (pln_map_has(&c->in, n)) {
            out->node[out->n_old++] = n;
            left--;
        }
    if (!c->depth)
        keep_between(c, out->node, &out->n_old);
    out->n_nodes = out->n_old;
    left = (size_t)c->p->n_nodes;
    for (pln_node *n = c->p->graph->first; n && left; n = n->next)
        if (is_new_node(c->p, n)) {
            out->node[out->n_nodes++] = n;
            left--;
        }
    return PLN_OK;
}

/* ---- what they read ---------------------------------------------------------------- */

static void add_leaf(void *user, pln_value *v)
{
    cutter *c = user;
    if (pln_value_is_const(v) ||
        (v->def && v->def->graph == c->p->graph &&
         (pln_map_has(&c->in, v->def) || is_new_node(c->p, v->def))))
        return;
    put(c, &c->leaves, v);
}

static pln_status find_leaves(cutter *c, pln_cut *out, pln_error *err)
{
    for (size_t i = 0; i < out->n_nodes; i++)
        pln_node_each_read(out->node[i], add_leaf, c);
    for (int i = 0; i < c->p->n_replaced; i++) {
        add_leaf(c, c->p->old[i]);
        add_leaf(c, c->p->new[i]);
    }
    out->leaf = PLN_NEW_ARRAY(c->arena, pln_value *, c->leaves.n + 1);
    if (!out->leaf || c->oom)
        return pln_oom(err);
    for (size_t i = 0; i < c->leaves.cap; i++)
        if (c->leaves.keys[i])
            out->leaf[out->n_leaves++] = c->leaves.values[i];
    for (size_t i = 1; i < out->n_leaves; i++) /* the same order in every run */
        for (size_t k = i; k && out->leaf[k]->id < out->leaf[k - 1]->id; k--) {
            pln_value *v = out->leaf[k];
            out->leaf[k] = out->leaf[k - 1];
            out->leaf[k - 1] = v;
        }
    return PLN_OK;
}

pln_status pln_cut_make(pln_cut *out, const pln_patch *p, const pln_match *m, int depth,
                        pln_arena *arena, pln_error *err)
{
    const pln_allocator *a = p->graph->model->alloc;
    cutter c = { .p = p, .m = m, .depth = depth, .arena = arena,
                 .most = most_nodes[depth] };
    *out = (pln_cut){ .patch = p };
    pln_map_init(&c.taps, a);
    pln_map_init(&c.in, a);
    pln_map_init(&c.behind, a);
    pln_map_init(&c.leaves, a);
    c.queue = PLN_NEW_ARRAY(arena, pln_node *, c.most + 1);
    pln_status st = c.queue ? PLN_OK : pln_oom(err);
    if (st == PLN_OK) {
        find_taps(&c);
        enqueue_all(&c);
        st = c.oom ? pln_oom(err) : put_in_order(&c, out, err);
    }
    if (st == PLN_OK)
        st = find_leaves(&c, out, err);
    pln_map_done(&c.taps);
    pln_map_done(&c.in);
    pln_map_done(&c.behind);
    pln_map_done(&c.leaves);
    return st;
}

/* ---- equal fragments --------------------------------------------------------------- */

static uint64_t hash_u64(uint64_t h, uint64_t v)
{
    return pln_hash(h, &v, sizeof v);
}

static uint64_t hash_type(uint64_t h, const pln_value *v)
{
    const pln_shape s = v->type.shape;
    h = hash_u64(h, (uint64_t)v->type.dtype << 32 | (uint32_t)s.rank);
    for (int i = 0; i < s.rank; i++)
        h = pln_hash(h, &s.dims[i], sizeof s.dims[i]);
    for (int64_t i = 0; v->sym && i < v->sym->n; i++)
        h = pln_hash(h, &v->sym->v[i], sizeof v->sym->v[i]);
    return h;
}

/* Words at a time, since weights are large. */
static uint64_t hash_bytes(uint64_t h, const unsigned char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return pln_hash(h, p, n);
}

/* Its contents, however large: equal types are not equal weights. false: it has others
 * than numbers. */
static bool hash_const(uint64_t *h, pln_tensor *t)
{
    *h = hash_u64(*h,
                  (uint64_t)t->kind << 40 | (uint64_t)t->dtype << 32 | (uint32_t)t->rank);
    *h = pln_hash(*h, t->dims, (size_t)t->rank * sizeof t->dims[0]);
    if (t->kind != PLN_KIND_TENSOR || t->dtype == PLN_DT_STRING ||
        pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    *h = hash_bytes(*h, t->data, (size_t)pln_tensor_size(t) *
                                     pln_dtype_size((pln_dtype)t->dtype));
    return true;
}

/* By its place in the cut. */
static bool hash_value(uint64_t *h, const pln_cut *c, const pln_value *v)
{
    for (size_t i = 0; v && i < c->n_nodes; i++)
        if (v->def == c->node[i]) {
            *h = hash_u64(*h, 2 + (i << 16 | v->slot) * 4);
            return true;
        }
    for (size_t i = 0; v && i < c->n_leaves; i++)
        if (v == c->leaf[i]) {
            *h = hash_type(hash_u64(*h, 3 + i * 4), v);
            return true;
        }
    *h = hash_u64(*h, !v ? 1 : v->cst ? 4 : 5);
    return !v || !v->cst || hash_const(h, v->cst);
}

static bool hash_attr(uint64_t *h, const pln_attr *a)
{
    *h = hash_u64(pln_hash(*h, a->name, strlen(a->name)), a->type);
    switch (a->type) {
    case PLN_ATTR_INT:
        *h = pln_hash(*h, &a->i, sizeof a->i);
        return true;
    case PLN_ATTR_FLOAT:
        *h = pln_hash(*h, &a->f, sizeof a->f);
        return true;
    case PLN_ATTR_STRING:
        *h = pln_hash(*h, a->s, pln_name_len(a->s));
        return true;
    case PLN_ATTR_INTS:
        *h = pln_hash(*h, a->ints, a->n * sizeof *a->ints);
        return true;
    case PLN_ATTR_FLOATS:
        *h = pln_hash(*h, a->floats, a->n * sizeof *a->floats);
        return true;
    case PLN_ATTR_STRINGS: /* interned, so that the pointers tell */
        *h = pln_hash(*h, a->strings, a->n * sizeof *a->strings);
        return true;
    case PLN_ATTR_TENSOR:
        return hash_const(h, a->t);
    default:
        return false;
    }
}

bool pln_cut_hash(const pln_cut *c, const pln_rule *rule, uint64_t *out)
{
    uint64_t h = hash_u64(hash_u64(PLN_HASH_SEED, (uintptr_t)rule), c->n_old);
    for (size_t i = 0; i < c->n_nodes; i++) {
        const pln_node *n = c->node[i];
        h = pln_hash(h, &n->op_type, sizeof n->op_type);
        h = hash_u64(pln_hash(h, &n->domain, sizeof n->domain), n->n_in);
        for (uint32_t k = 0; k < n->n_in; k++)
            if (!hash_value(&h, c, n->in[k]))
                return false;
        h = hash_u64(h, n->n_attrs);
        for (uint32_t k = 0; k < n->n_attrs; k++)
            if (!hash_attr(&h, n->attrs[k]))
                return false;
    }
    for (int i = 0; i < c->patch->n_replaced; i++)
        if (!hash_value(&h, c, c->patch->old[i]) || !hash_value(&h, c, c->patch->new[i]))
            return false;
    *out = h;
    return true;
}
