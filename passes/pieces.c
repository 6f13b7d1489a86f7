/* pieces: Slice, Split and Concat behind each other. What is cut out of a Concat is what
 * went in; neighbouring slices of a value are one Split.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/known.h"
#include "src/util/size.h"

#include <string.h>

#define MAX_PIECES 32

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

/* ---- slices ----------------------------------------------------------------------- */

static bool join(const pln_cut *a, const pln_cut *b, int64_t size, pln_cut *out)
{
    pln_cut first = *a, second = *b;
    if (!pln_cut_settle(&first, size) || first.step != 1)
        return false;
    const int64_t inner = size < 0 ? -1 : first.end - first.start;
    if (!pln_cut_settle(&second, inner))
        return false;
    int64_t start, end;
    if (!pln_i64_add(&start, first.start, second.start))
        return false;
    if (!pln_i64_add(&end, first.start, second.end))
        end = INT64_MAX;
    *out = (pln_cut){ true, start, end < first.end ? end : first.end, second.step };
    return start <= first.end || size < 0;
}

/* A Gather of neighbours, as the Slice that it could be. */
static bool is_run(const pln_node *n, int64_t *axis, pln_cut *c)
{
    int64_t at[MAX_PIECES];
    size_t count;
    if (!pln_node_is(n, "Gather") || !pln_node_axis(n, n->in[0], axis) ||
        !pln_value_get_ints(n->in[1], at, MAX_PIECES, &count) || !count ||
        n->in[1]->cst->rank != 1)
        return false;
    const int64_t size = pln_value_size_at(n->in[0], *axis);
    for (size_t i = 0; i < count; i++) {
        at[i] += at[i] < 0 ? size : 0;
        if (at[i] != at[0] + (int64_t)i)
            return false;
    }
    *c = (pln_cut){ true, at[0], at[0] + (int64_t)count, 1 };
    return size > 0 && at[0] >= 0 && c->end <= size;
}

/* A slice along one axis alone, by ones. */
static bool is_piece(const pln_node *n, int64_t *axis, pln_cut *c)
{
    pln_cut cuts[PLN_MAX_RANK];
    bool found = false;
    if (is_run(n, axis, c))
        return true;
    if (!pln_node_is(n, "Slice") || !pln_slice_read(n, cuts))
        return false;
    for (int i = 0; i < pln_value_rank(n->in[0]); i++) {
        if (!cuts[i].on)
            continue;
        if (found || cuts[i].step != 1)
            return false;
        found = true;
        *axis = i;
        *c = cuts[i];
    }
    return found && pln_cut_settle(c, pln_value_size_at(n->in[0], *axis)) &&
           pln_value_size_at(n->in[0], *axis) > 0;
}

typedef struct pieces {
    const pln_node *node[MAX_PIECES];
    int64_t start[MAX_PIECES], size[MAX_PIECES];
    int n;
} pieces;

static bool insert_piece(pieces *all, const pln_node *n, const pln_cut *c)
{
    int at = all->n;
    if (at == MAX_PIECES)
        return false;
    for (; at > 0 && all->start[at - 1] > c->start; at--) {
        all->node[at] = all->node[at - 1];
        all->start[at] = all->start[at - 1];
        all->size[at] = all->size[at - 1];
    }
    all->node[at] = n;
    all->start[at] = c->start;
    all->size[at] = c->end - c->start;
    all->n++;
    return true;
}

/* All pieces of x along the axis, if they cover it without overlap. */
static bool find_pieces(const pln_node *first, int64_t axis, pieces *all)
{
    const pln_value *x = first->in[0];
    int64_t at = 0;
    *all = (pieces){ .n = 0 };
    for (const pln_use *u = x->uses; u; u = u->next) {
        int64_t a;
        pln_cut c;
        if (!u->node || u->graph != first->graph || u->slot ||
            !is_piece(u->node, &a, &c) || a != axis)
            continue;
        if (pln_value_is_output(u->node->out[0]) && u->node->out[0]->n_uses == 0)
            continue;
        if (!insert_piece(all, u->node, &c))
            return false;
    }
    for (int i = 0; i < all->n; i++) {
        if (all->start[i] != at || all->size[i] < 1)
            return false;
        at += all->size[i];
    }
    return all->n > 1 && at == pln_value_size_at(x, axis);
}

/* Slices that can't become one Split. */
static bool only_slices_read(const pln_value *v)
{
    int64_t axis;
    pln_cut c;
    pieces all;
    for (const pln_use *u = v->uses; u; u = u->next)
        if (!u->node || u->slot || u->graph != v->graph || !pln_node_is(u->node, "Slice"))
            return false;
    const pln_node *first = v->uses->node;
    return v->n_uses < 2 || !is_piece(first, &axis, &c) ||
           !find_pieces(first, axis, &all);
}

static pln_status one_slice(pln_match *m, pln_patch *p)
{
    pln_cut a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    int64_t s[PLN_MAX_RANK], e[PLN_MAX_RANK], ax[PLN_MAX_RANK], t[PLN_MAX_RANK];
    size_t n = 0;
    pln_value *x = pln_match_val(m, "x");
    if (!only_slices_read(pln_match_val(m, "inner")))
        return pln_match_refuse(m, "others use the first slice");
    if (!pln_slice_read(pln_match_node(m, "inner"), a) || !pln_slice_read(m->root, b))
        return pln_match_refuse(m, "bounds not known, or backwards");
    for (int i = 0; i < pln_value_rank(x); i++) {
        pln_cut c = a[i].on ? a[i] : b[i];
        if (a[i].on && b[i].on && !join(&a[i], &b[i], pln_value_size_at(x, i), &c))
            return pln_match_refuse(m, "both cut axis %d, whose size is not known", i);
        if (!c.on)
            continue;
        s[n] = c.start, e[n] = c.end, ax[n] = i, t[n++] = c.step;
    }
    if (!n)
        return pln_match_refuse(m, "nothing is cut off");
    pln_value *in[5] = { x, pln_patch_ints(p, s, n, "starts"),
                         pln_patch_ints(p, e, n, "ends"),
                         pln_patch_ints(p, ax, n, "axes"),
                         pln_patch_ints(p, t, n, "steps") };
    pln_node *made = pln_patch_add(p, "Slice", in, 5, 1);
    pln_patch_replace(p, out_of(m), made ? made->out[0] : NULL);
    return PLN_OK;
}

static bool stands_first(const pieces *all, const pln_node *n)
{
    for (const pln_node *at = n->prev; at; at = at->prev)
        for (int i = 0; i < all->n; i++)
            if (all->node[i] == at)
                return false;
    return true;
}

static pln_status slices_to_split(pln_match *m, pln_patch *p)
{
    int64_t axis;
    pln_cut c;
    pieces all;
    if (!is_piece(m->root, &axis, &c))
        return pln_match_refuse(m, "not a piece along one axis");
    if (!find_pieces(m->root, axis, &all))
        return pln_match_refuse(m, "its slices don't cover the axis");
    if (!stands_first(&all, m->root))
        return pln_match_refuse(m, "left to the first of the slices");
    pln_value *in[2] = { m->root->in[0],
                         pln_patch_ints(p, all.size, (size_t)all.n, "split") };
    pln_node *n = pln_patch_add(p, "Split", in, 2, (uint32_t)all.n);
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    for (int i = 0; i < all.n; i++)
        pln_patch_replace(p, all.node[i]->out[0], n->out[i]);
    return PLN_OK;
}

/* ---- concatenations -------------------------------------------------------------- */

static bool is_inner_concat(const pln_match *m, const pln_value *v, int64_t axis)
{
    int64_t a;
    return v->def && pln_node_is(v->def, "Concat") && pln_value_is_single_use(v) &&
           v->def->graph == m->root->graph && pln_node_axis(v->def, v, &a) && a == axis;
}

static bool is_empty_along(const pln_value *v, int64_t axis)
{
    return pln_value_size_at(v, axis) == 0;
}

/* Concats within, and parts without an element. */
static pln_status flat_concat(pln_match *m, pln_patch *p)
{
    int64_t axis;
    uint32_t n = 0, most = 0;
    bool changed = false;
    if (!pln_node_axis(m->root, out_of(m), &axis))
        return pln_match_refuse(m, "rank not known");
    for (uint32_t i = 0; i < m->root->n_in; i++)
        most += m->root->in[i]->def ? m->root->in[i]->def->n_in + 1 : 1;
    pln_value **in = PLN_NEW_ARRAY(m->ctx->scratch, pln_value *, most);
    if (!in)
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < m->root->n_in; i++) {
        pln_value *v = m->root->in[i];
        const bool inner = is_inner_concat(m, v, axis);
        const bool empty = !inner && is_empty_along(v, axis);
        changed |= inner || empty;
        for (uint32_t k = 0; inner && k < v->def->n_in; k++)
            in[n++] = v->def->in[k];
        if (!inner && !empty)
            in[n++] = v;
    }
    if (!changed || !n)
        return pln_match_refuse(m, "no Concat of the same axis, no empty part");
    pln_node *made = pln_patch_add(p, "Concat", in, n, 1);
    if (!made || pln_node_set_int(made, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), made->out[0]);
    return PLN_OK;
}

/* All outputs of a Split, in order. */
static pln_status split_and_back(pln_match *m, pln_patch *p)
{
    int64_t a, b;
    const pln_node *n = m->root, *s = n->in[0]->def;
    if (!s || !pln_node_is(s, "Split") || s->n_out != n->n_in ||
        !pln_node_axis(n, out_of(m), &a) || !pln_node_axis(s, s->in[0], &b) || a != b)
        return pln_match_refuse(m, "not the parts of a Split");
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] != s->out[i])
            return pln_match_refuse(m, "not all parts in order");
    pln_patch_replace_proven(p, out_of(m), s->in[0]);
    return PLN_OK;
}

/* The part of a Concat that begins at `start` and has this size; NULL: none is it. */
static pln_value *part_at(const pln_node *concat, int64_t axis, int64_t start,
                          int64_t size)
{
    int64_t at = 0;
    for (uint32_t i = 0; i < concat->n_in; i++) {
        const int64_t n = pln_value_size_at(concat->in[i], axis);
        if (at == start && n == size)
            return concat->in[i];
        if (n < 0)
            return NULL;
        at += n;
    }
    return NULL;
}

static pln_status split_of_concat(pln_match *m, pln_patch *p)
{
    int64_t a, b, at = 0;
    const pln_node *c = pln_match_node(m, "c"), *s = m->root;
    if (!pln_node_axis(c, c->out[0], &a) || !pln_node_axis(s, s->in[0], &b) || a != b)
        return pln_match_refuse(m, "another axis");
    for (uint32_t i = 0; i < s->n_out; i++) {
        const int64_t size = s->out[i] ? pln_value_size_at(s->out[i], a) : -1;
        pln_value *v = size < 0 ? NULL : part_at(c, a, at, size);
        if (!v)
            return pln_match_refuse(m, "it cuts elsewhere");
        if (s->out[i]->n_uses)
            pln_patch_replace_proven(p, s->out[i], v);
        at += size;
    }
    return PLN_OK;
}

static pln_status slice_of_concat(pln_match *m, pln_patch *p)
{
    int64_t a, b;
    pln_cut c;
    const pln_node *concat = pln_match_node(m, "c");
    if (!is_piece(m->root, &a, &c) || !pln_node_axis(concat, concat->out[0], &b) ||
        a != b)
        return pln_match_refuse(m, "not a piece along that axis");
    pln_value *v = part_at(concat, a, c.start, c.end - c.start);
    if (!v)
        return pln_match_refuse(m, "it cuts elsewhere");
    pln_patch_replace_proven(p, out_of(m), v);
    return PLN_OK;
}

/* One element of what was stacked. */
static pln_status gather_of_concat(pln_match *m, pln_patch *p)
{
    int64_t a, b, i;
    size_t n;
    const pln_node *concat = pln_match_node(m, "c");
    const pln_value *index = pln_match_val(m, "i");
    if (!pln_value_get_ints(index, &i, 1, &n) || n != 1 || index->cst->rank ||
        !pln_node_axis(concat, concat->out[0], &b) ||
        !pln_node_axis(m->root, concat->out[0], &a) || a != b || i < 0)
        return pln_match_refuse(m, "not one element of that axis");
    pln_value *v = part_at(concat, a, i, 1);
    if (!v)
        return pln_match_refuse(m, "it is none of the parts");
    pln_value *axes = pln_patch_ints(p, &a, 1, "axes");
    pln_patch_replace(p, out_of(m), pln_patch_op2(p, "Squeeze", v, axes));
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "slice-slice",
      .match = "Slice(inner=Slice(x, _, ...), ...)",
      .build = one_slice },
    { .name = "slice-concat",
      .match = "Slice(c=Concat(...), ...)",
      .build = slice_of_concat },
    { .name = "slices-split",
      .match = "Slice(x, s#, e#, ...)",
      .build = slices_to_split },
    { .name = "slices-split", .match = "Gather(x, i#)", .build = slices_to_split },
    { .name = "split-concat",
      .match = "Split(c=Concat(...), ...)",
      .build = split_of_concat },
    { .name = "gather-concat",
      .match = "Gather(c=Concat(...), i#)",
      .build = gather_of_concat },
    { .name = "concat-split", .match = "Concat(...)", .build = split_and_back },
    { .name = "concat-concat", .match = "Concat(...)", .build = flat_concat },
};

const pln_pass pln_pass_pieces = {
    .name = "pieces",
    .brief = "Slice, Split and Concat behind each other",
    PLN_RULES(rules),
};
