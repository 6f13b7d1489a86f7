/* fold-order: channels that come to a product in another order, or leave it in another
 * one, where its weights can have that order themselves.
 *
 *     Conv(Gather<axis=1>(x, [2, 1, 0]), w)     => Conv(x, w')
 *     Gather<axis=-1>(MatMul(x, w), [3, 1, 0])  => MatMul(x, w')
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/product.h"

#include <string.h>

#define MAX_CHANNELS 65536

/* Channel i of a value is channel at[i] of x. */
typedef struct order {
    pln_value *x;
    int64_t axis, n, n_x;
    int64_t *at;
} order;

static bool begin(order *o, pln_arena *arena, pln_value *x, int64_t axis, int64_t n)
{
    *o = (order){ .x = x, .axis = axis, .n = n, .n_x = pln_value_size_at(x, axis) };
    if (n < 1 || n > MAX_CHANNELS || o->n_x < 1)
        return false;
    o->at = PLN_NEW_ARRAY(arena, int64_t, n);
    return o->at != NULL;
}

/* ---- which order --------------------------------------------------------------------
 */

static bool of_gather(const pln_node *g, pln_arena *arena, order *o)
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

static bool put_piece(order *o, int64_t *at, const pln_piece *piece)
{
    if (piece->size > o->n - *at)
        return false;
    for (int64_t i = 0; i < piece->size; i++)
        o->at[(*at)++] = piece->start + i * piece->step;
    return true;
}

/* All of an axis, backwards. */
static bool of_reversal(const pln_node *s, pln_arena *arena, order *o)
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

static bool of_slice(const pln_node *s, pln_arena *arena, order *o)
{
    pln_piece piece;
    int64_t at = 0;
    if (!pln_piece_of(s->out[0], &piece))
        return of_reversal(s, arena, o);
    return begin(o, arena, piece.of, piece.axis, piece.size) && put_piece(o, &at, &piece);
}

static bool of_concat(const pln_node *c, pln_arena *arena, order *o)
{
    int64_t axis, at = 0;
    pln_piece first, piece;
    if (!pln_node_axis(c, c->out[0], &axis) || !pln_piece_of(c->in[0], &first) ||
        !begin(o, arena, first.of, axis, pln_value_size_at(c->out[0], axis)))
        return false;
    for (uint32_t i = 0; i < c->n_in; i++)
        if (!pln_piece_of(c->in[i], &piece) || piece.of != first.of ||
            piece.axis != axis || !put_piece(o, &at, &piece))
            return false;
    return at == o->n;
}

static bool is_known_as(const pln_value *v, int64_t axis, int64_t size)
{
    return pln_value_size_at(v, axis) == size;
}

/* Axis 1 as a matrix that is transposed: the channels of `wide` groups are shuffled. */
static bool of_shuffle(const pln_node *last, pln_arena *arena, order *o)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    const pln_node *t = last->in[0]->def, *first = t ? t->in[0]->def : NULL;
    if (!first || !pln_node_is(t, "Transpose") || !pln_node_is(first, "Reshape") ||
        !pln_perm_of(t, perm, &rank) || !pln_value_is_single_use(t->out[0]) ||
        !pln_value_is_single_use(first->out[0]))
        return false;
    pln_value *x = first->in[0];
    const pln_value *mid = first->out[0];
    const int64_t wide = pln_value_size_at(mid, 1), deep = pln_value_size_at(mid, 2);
    if (rank != pln_value_rank(x) + 1 || rank < 4 ||
        !pln_value_same_type(x, last->out[0]) || wide < 1 || deep < 1 ||
        wide > MAX_CHANNELS || deep > MAX_CHANNELS || !is_known_as(x, 1, wide * deep) ||
        !pln_dim_equal(mid->type.shape.dims[0], x->type.shape.dims[0]))
        return false;
    for (int i = 0; i < rank; i++)
        if (perm[i] != (i == 1   ? 2
                        : i == 2 ? 1
                                 : i) ||
            (i > 2 && !pln_dim_equal(mid->type.shape.dims[i], x->type.shape.dims[i - 1])))
            return false;
    if (!begin(o, arena, x, 1, wide * deep))
        return false;
    for (int64_t i = 0; i < o->n; i++)
        o->at[i] = i % wide * deep + i / wide;
    return true;
}

static bool read_order(const pln_value *v, pln_arena *arena, order *o)
{
    static const struct {
        const char *op;
        bool (*read)(const pln_node *n, pln_arena *arena, order *o);
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

static bool is_permutation(const order *o, pln_arena *arena)
{
    bool *seen = PLN_NEW_ARRAY(arena, bool, o->n);
    if (!seen || o->n != o->n_x)
        return false;
    for (int64_t i = 0; i < o->n; i++) {
        if (seen[o->at[i]])
            return false;
        seen[o->at[i]] = true;
    }
    return true;
}

/* ---- weights ------------------------------------------------------------------------
 */

/* Along `axis` of the weights: what stands at from[i] comes to place to[i] of n. */
static pln_value *moved_weights(pln_patch *p, const pln_product *pr, int axis,
                                const int64_t *from, const int64_t *to, int64_t n)
{
    pln_tensor *w = pr->w->cst, *t = NULL;
    int64_t dims[PLN_MAX_RANK], outer = 1, inner = 1;
    if (pln_tensor_materialize(w, NULL) != PLN_OK)
        return NULL;
    for (int i = 0; i < w->rank; i++) {
        dims[i] = i == axis ? n : w->dims[i];
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : w->dims[i];
    }
    if (pln_tensor_make(p->graph->model->alloc, (pln_dtype)w->dtype, w->rank, dims, &t,
                        NULL) != PLN_OK)
        return NULL;
    for (int64_t k = 0; k < outer; k++)
        for (int64_t i = 0; i < n; i++)
            pln_tensor_copy(t, (k * n + (to ? to[i] : i)) * inner, w,
                            (k * w->dims[axis] + (from ? from[i] : i)) * inner, inner);
    return pln_patch_const(p, t, pr->w->name);
}

static pln_status before(pln_match *m, pln_patch *p)
{
    order o;
    pln_product pr;
    pln_arena *arena = m->ctx->scratch;
    if (!pln_product_read(m->root, &pr) || pr.groups != 1)
        return pln_match_refuse(m,
                                "not a product of all channels with weights of its own");
    if (!read_order(m->root->in[0], arena, &o) || o.n != pr.n_in ||
        !is_permutation(&o, arena) || o.axis != (pr.conv ? 1 : pln_value_rank(o.x) - 1))
        return pln_match_refuse(
            m, "its input is not another one with its channels in another order");
    pln_value *w = moved_weights(p, &pr, pr.in_first ? 0 : 1, NULL, o.at, o.n);
    pln_value *in[3] = { o.x, w, pr.b };
    pln_node *n = w ? pln_patch_copy(p, m->root, in, pr.b ? 3 : 2) : NULL;
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

static pln_value *moved_bias(pln_match *m, pln_patch *p, const pln_product *pr,
                             const order *o)
{
    double *b = PLN_NEW_ARRAY(m->ctx->scratch, double, pr->n_out);
    double *c = PLN_NEW_ARRAY(m->ctx->scratch, double, o->n);
    if (!b || !c || !pln_product_bias(pr, b))
        return NULL;
    for (int64_t i = 0; i < o->n; i++)
        c[i] = b[o->at[i]];
    return pln_patch_vector(p, (pln_dtype)pr->b->cst->dtype, c, o->n, pr->b->name);
}

static pln_status behind(pln_match *m, pln_patch *p)
{
    order o;
    pln_product pr;
    pln_node *y = pln_match_node(m, "y");
    if (!pln_product_read(y, &pr) || pr.groups != 1)
        return pln_match_refuse(m,
                                "not a product of all channels with weights of its own");
    if (!read_order(m->root->out[0], m->ctx->scratch, &o) || o.x != y->out[0] ||
        o.n_x != pr.n_out || o.n > pr.n_out || o.axis != pln_product_axis(&pr))
        return pln_match_refuse(m, "not its channels in another order");
    pln_value *in[3] = { y->in[0],
                         moved_weights(p, &pr, pr.in_first ? 1 : 0, o.at, NULL, o.n),
                         NULL };
    in[2] = pr.b ? moved_bias(m, p, &pr, &o) : NULL;
    if (!in[1] || (pr.b && !in[2]))
        return pln_match_refuse(m, "its bias is not one number for each channel");
    pln_node *n = pln_patch_copy(p, y, in, pr.b ? 3 : 2);
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

#define PRODUCT "Conv|ConvTranspose|Gemm|MatMul"

static const pln_rule rules[] = {
    { .name = "order-before",
      .match = PRODUCT "(Gather|Slice|Concat|Reshape!(_, ...), w#, ...)",
      .build = before,
      .contract = PLN_REASSOC },
    { .name = "order-behind",
      .match = "Gather|Slice(y=" PRODUCT "!(x, w#, ...), ...)",
      .build = behind },
    { .name = "order-behind",
      .match = "Reshape(Transpose!(Reshape!(y=" PRODUCT "!(x, w#, ...), _)), _)",
      .build = behind },
};

const pln_pass pln_pass_fold_order = {
    .name = "fold-order",
    .brief = "orders of channels into the weights of products",
    PLN_RULES(rules),
};
