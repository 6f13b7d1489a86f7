/* Picks of places of an axis.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pick.h"

#define MAX_PLACES 65536

static bool begin(pln_pick *o, pln_arena *arena, pln_value *x, int64_t axis, int64_t n)
{
    *o = (pln_pick){ .x = x, .axis = axis, .n = n, .n_x = pln_value_size_at(x, axis) };
    if (n < 1 || n > MAX_PLACES || o->n_x < 1)
        return false;
    o->at = PLN_NEW_ARRAY(arena, int64_t, n);
    return o->at != NULL;
}

/* ---- reading --------------------------------------------------------------------- */

static bool of_gather(const pln_node *g, pln_arena *arena, pln_pick *o)
{
    int64_t axis;
    size_t n;
    const pln_value *index = g->in[1];
    if (!pln_value_is_const(index) || index->cst->rank != 1 ||
        !pln_node_axis(g, g->in[0], &axis) ||
        !begin(o, arena, g->in[0], axis, pln_value_count(index)) ||
        !pln_value_get_ints(index, o->at, (size_t)o->n, &n))
        return false;
    for (int64_t i = 0; i < o->n; i++)
        o->at[i] += o->at[i] < 0 ? o->n_x : 0;
    return true;
}

static bool of_piece(const pln_piece *piece, pln_arena *arena, pln_pick *o)
{
    if (!begin(o, arena, piece->of, piece->axis, piece->size))
        return false;
    for (int64_t i = 0; i < o->n; i++)
        o->at[i] = piece->start + i * piece->step;
    return true;
}

/* All of an axis, backwards. */
static bool of_reversal(const pln_node *s, pln_arena *arena, pln_pick *o)
{
    int64_t v[4];
    size_t n;
    for (uint32_t i = 1; i < 5; i++)
        if (i >= s->n_in || !s->in[i] ||
            !pln_value_get_ints(s->in[i], &v[i - 1], 1, &n) || n != 1)
            return false;
    const int rank = pln_value_rank(s->in[0]);
    const int64_t axis = v[2] + (v[2] < 0 ? rank : 0);
    if (rank < 1 || axis < 0 || axis >= rank || v[3] != -1 ||
        !begin(o, arena, s->in[0], axis, pln_value_size_at(s->in[0], axis)) ||
        (v[0] != -1 && v[0] < o->n - 1) || v[1] >= -o->n)
        return false;
    for (int64_t i = 0; i < o->n; i++)
        o->at[i] = o->n - 1 - i;
    return true;
}

static bool of_slice(const pln_node *s, pln_arena *arena, pln_pick *o)
{
    pln_piece piece;
    return pln_piece_of(s->out[0], &piece) ? of_piece(&piece, arena, o)
                                           : of_reversal(s, arena, o);
}

static bool of_part(const pln_value *v, pln_arena *arena, pln_pick *o)
{
    pln_piece piece;
    if (pln_piece_of(v, &piece))
        return of_piece(&piece, arena, o);
    return v->def && pln_node_is(v->def, "Gather") && of_gather(v->def, arena, o);
}

static bool of_concat(const pln_node *c, pln_arena *arena, pln_pick *o)
{
    int64_t axis, at = 0;
    pln_pick part;
    if (!pln_node_axis(c, c->out[0], &axis) || !of_part(c->in[0], arena, &part) ||
        !begin(o, arena, part.x, axis, pln_value_size_at(c->out[0], axis)))
        return false;
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (!of_part(c->in[i], arena, &part) || part.x != o->x || part.axis != axis ||
            part.n > o->n - at)
            return false;
        for (int64_t k = 0; k < part.n; k++)
            o->at[at++] = part.at[k];
    }
    return at == o->n;
}

static bool is_known_as(const pln_value *v, int64_t axis, int64_t size)
{
    return pln_value_size_at(v, axis) == size;
}

/* Axis 1 as a matrix that is transposed: the channels of `wide` groups are shuffled. */
static bool of_shuffle(const pln_node *last, pln_arena *arena, pln_pick *o)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    const pln_node *t = last->in[0]->def;
    if (!t || !pln_node_is(t, "Transpose") || !pln_value_is_single_use(t->out[0]) ||
        !pln_perm_of(t, perm, &rank))
        return false;
    const pln_node *first = t->in[0]->def;
    if (!first || !pln_node_is(first, "Reshape") ||
        !pln_value_is_single_use(first->out[0]))
        return false;
    pln_value *x = first->in[0];
    const pln_value *mid = first->out[0];
    const int64_t wide = pln_value_size_at(mid, 1), deep = pln_value_size_at(mid, 2);
    if (rank != pln_value_rank(x) + 1 || rank < 4 ||
        !pln_value_same_type(x, last->out[0]) || wide < 1 || deep < 1 ||
        wide > MAX_PLACES || deep > MAX_PLACES || !is_known_as(x, 1, wide * deep) ||
        !pln_dim_equal(mid->type.shape.dims[0], x->type.shape.dims[0]))
        return false;
    for (int i = 0; i < rank; i++)
        if (perm[i] != (i == 1 || i == 2 ? 3 - i : i) ||
            (i > 2 && !pln_dim_equal(mid->type.shape.dims[i], x->type.shape.dims[i - 1])))
            return false;
    if (!begin(o, arena, x, 1, wide * deep))
        return false;
    for (int64_t i = 0; i < o->n; i++)
        o->at[i] = i % wide * deep + i / wide;
    return true;
}

bool pln_pick_read(const pln_value *v, pln_arena *arena, pln_pick *o)
{
    static const struct {
        const char *op;
        bool (*read)(const pln_node *n, pln_arena *arena, pln_pick *o);
    } kinds[] = { { "Gather", of_gather },
                  { "Slice", of_slice },
                  { "Concat", of_concat },
                  { "Reshape", of_shuffle } };
    for (size_t i = 0; v->def && i < sizeof kinds / sizeof kinds[0]; i++)
        if (pln_node_is(v->def, kinds[i].op) && kinds[i].read(v->def, arena, o)) {
            for (int64_t k = 0; k < o->n; k++)
                if (o->at[k] < 0 || o->at[k] >= o->n_x)
                    return false;
            return true;
        }
    return false;
}
