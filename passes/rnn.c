/* rnn: what stands around LSTM, GRU and RNN goes into them: sequences that are turned
 * around before and after, and two of them in opposite directions.
 *
 *     flip(Squeeze(LSTM(flip(x)))) => Squeeze(LSTM<direction = "reverse">(x))
 *     Concat<axis = -1>(Squeeze(LSTM(x)), Squeeze(LSTM<direction = "reverse">(x)))
 *       => Reshape(Transpose(LSTM<direction = "bidirectional">(x)))
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/known.h"

#include <string.h>

static bool has(const pln_node *n, uint32_t i)
{
    return i < n->n_in && n->in[i];
}

static bool is_read(const pln_node *n, uint32_t i)
{
    return i < n->n_out && n->out[i] && n->out[i]->n_uses;
}

static bool goes(const pln_node *n, const char *direction)
{
    return !strcmp(pln_node_get_string(n, "direction", "forward"), direction);
}

/* ---- turning around -------------------------------------------------------------- */

/* The integer that input i of n is, a list of one; false: it is not. */
static bool only_int(const pln_node *n, uint32_t i, int64_t *out)
{
    size_t count;
    return has(n, i) && pln_value_get_ints(n->in[i], out, 1, &count) && count == 1;
}

/* All that v has is the size. */
static bool is_size(const pln_value *v, pln_dim size)
{
    static const char *const copies[] = { "Expand", "Cast", "Unsqueeze", "Identity" };
    double len;
    if (pln_value_is_uniform(v, &len))
        return pln_dim_is(size, (int64_t)len);
    for (size_t i = 0; v->def && i < sizeof copies / sizeof copies[0]; i++)
        if (pln_node_is(v->def, copies[i]))
            return is_size(v->def->in[0], size);
    return v->sym && v->sym->n == 1 && pln_dim_equal(v->sym->v[0], size);
}

static bool reverses(const pln_node *n, int64_t *axis)
{
    *axis = pln_node_get_int(n, "time_axis", 0);
    return *axis >= 0 && *axis < pln_value_rank(n->in[0]) &&
           is_size(n->in[1], n->in[0]->type.shape.dims[*axis]);
}

/* Turns one axis around, whole. */
static bool is_flip(const pln_node *n, int64_t *axis)
{
    int64_t start, end, step;
    if (n && pln_node_is(n, "ReverseSequence"))
        return reverses(n, axis);
    if (!n || !pln_node_is(n, "Slice") || !only_int(n, 1, &start) ||
        !only_int(n, 2, &end) || !only_int(n, 3, axis) || !only_int(n, 4, &step) ||
        step != -1)
        return false;
    const int rank = pln_value_rank(n->in[0]);
    *axis += *axis < 0 ? rank : 0;
    if (*axis < 0 || *axis >= rank)
        return false;
    const int64_t size = pln_value_size_at(n->in[0], *axis);
    const bool all =
        size >= 0 ? start == -1 || start >= size - 1 : start == -1 || start >= INT32_MAX;
    return all && (size >= 0 ? end < -size : end <= -INT32_MAX);
}

/* Lengths that are all the whole axis need not be computed. */
static pln_status turned_whole(pln_match *m, pln_patch *p)
{
    int64_t axis;
    if (!reverses(m->root, &axis))
        return pln_match_refuse(m, "not of the whole axis");
    pln_value *back = pln_patch_ints(p, (int64_t[]){ -1 }, 1, "starts");
    pln_value *in[5] = { m->root->in[0], back,
                         pln_patch_ints(p, (int64_t[]){ INT64_MIN }, 1, "ends"),
                         pln_patch_ints(p, &axis, 1, "axes"), back };
    pln_node *n = pln_patch_add(p, "Slice", in, 5, 1);
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

static pln_status turned_twice(pln_match *m, pln_patch *p)
{
    int64_t a, b;
    if (!is_flip(m->root, &a) || !is_flip(pln_match_node(m, "inner"), &b) || a != b)
        return pln_match_refuse(m, "not turned around twice");
    pln_patch_replace(p, m->root->out[0], pln_match_val(m, "x"));
    return PLN_OK;
}

/* What v turns around along its first axis, itself or before a Transpose; NULL. */
static pln_value *unflipped(pln_patch *p, pln_value *v)
{
    int64_t axis, perm[PLN_MAX_RANK];
    int rank;
    if (is_flip(v->def, &axis))
        return axis == 0 ? v->def->in[0] : NULL;
    pln_node *t = v->def;
    if (!t || !pln_node_is(t, "Transpose") || !pln_perm_of(t, perm, &rank) ||
        !is_flip(t->in[0]->def, &axis) || perm[0] != axis)
        return NULL;
    return pln_patch_transpose(p, t->in[0]->def->in[0], perm, rank);
}

/* The nodes from all hidden states to where they are turned around. */
typedef struct tail {
    pln_node *squeeze, *transpose, *flip;
} tail;

static pln_node *only_node(const pln_value *v, const char *op)
{
    pln_node *n = pln_value_only_user(v);
    return n && n->graph == v->graph && pln_node_is(n, op) ? n : NULL;
}

static bool squeezes_directions(const pln_node *n)
{
    int64_t axes[PLN_MAX_RANK];
    size_t count;
    return pln_axes_of(n->n_in > 1 ? n->in[1] : NULL, 4, axes, &count) && count == 1 &&
           axes[0] == 1;
}

static bool find_tail(pln_value *y, tail *t)
{
    int64_t axis, time = 0, perm[PLN_MAX_RANK];
    int rank;
    *t = (tail){ .squeeze = only_node(y, "Squeeze") };
    if (t->squeeze && !squeezes_directions(t->squeeze))
        return false;
    pln_value *v = t->squeeze ? t->squeeze->out[0] : y;
    t->transpose = only_node(v, "Transpose");
    if (t->transpose) {
        if (!pln_perm_of(t->transpose, perm, &rank))
            return false;
        while (time < rank && perm[time] != 0)
            time++;
        v = t->transpose->out[0];
    }
    t->flip = pln_value_only_user(v);
    return is_flip(t->flip, &axis) && axis == time;
}

/* The nodes of the tail but for the last, behind y. */
static pln_value *with_tail(pln_patch *p, const tail *t, pln_value *y)
{
    pln_node *const nodes[2] = { t->squeeze, t->transpose };
    for (int i = 0; i < 2 && y; i++) {
        if (!nodes[i])
            continue;
        pln_value *in[2] = { y, nodes[i]->n_in > 1 ? nodes[i]->in[1] : NULL };
        pln_node *n = pln_patch_copy(p, nodes[i], in, nodes[i]->n_in);
        y = n ? n->out[0] : NULL;
    }
    return y;
}

static pln_status turned(pln_match *m, pln_patch *p)
{
    pln_node *old = m->root;
    pln_value *in[8] = { NULL };
    tail t = { .flip = NULL };
    if (old->n_in > 8 || has(old, 4) || pln_node_get_int(old, "layout", 0) ||
        goes(old, "bidirectional"))
        return pln_match_refuse(
            m, "of both directions, or of sequences of their own lengths");
    if (is_read(old, 0) && !find_tail(old->out[0], &t))
        return pln_match_refuse(m, "its states are not turned around behind it");
    for (uint32_t i = 0; i < old->n_in; i++)
        in[i] = old->in[i];
    in[0] = unflipped(p, old->in[0]);
    if (!in[0])
        return pln_match_refuse(m, "its input is not turned around");
    pln_node *n = pln_patch_copy(p, old, in, old->n_in);
    const char *to = goes(old, "forward") ? "reverse" : "forward";
    if (!n || pln_node_set_string(n, "direction", to, strlen(to)) != PLN_OK)
        return PLN_E_NOMEM;
    if (t.flip)
        pln_patch_replace(p, t.flip->out[0], with_tail(p, &t, n->out[0]));
    else
        pln_patch_leave_out(n, 0);
    for (uint32_t i = 1; i < old->n_out; i++)
        if (is_read(old, i))
            pln_patch_replace(p, old->out[i], n->out[i]);
    return PLN_OK;
}

/* ---- two directions -------------------------------------------------------------- */

static bool same_but_direction(const pln_node *a, const pln_node *b)
{
    static const char *const same[] = { "clip", "hidden_size", "input_forget", "layout",
                                        "linear_before_reset" };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        const pln_attr *x = pln_node_find_attr(a, same[i]),
                       *y = pln_node_find_attr(b, same[i]);
        const bool clip = i == 0;
        if (clip ? x || y
                 : pln_node_get_int(a, same[i], 0) != pln_node_get_int(b, same[i], 0))
            return false;
    }
    return !pln_node_find_attr(a, "activations") && !pln_node_find_attr(b, "activations");
}

/* The node whose hidden states v is; NULL. */
static pln_node *states_of(const pln_value *v)
{
    const pln_node *s = v->def;
    if (!s || !pln_node_is(s, "Squeeze") || !squeezes_directions(s) ||
        pln_value_rank(s->in[0]) != 4 || !pln_value_is_single_use(v) ||
        !pln_value_is_single_use(s->in[0]) || s->in[0]->slot)
        return NULL;
    pln_node *n = s->in[0]->def;
    const bool known =
        n && (pln_node_is(n, "LSTM") || pln_node_is(n, "GRU") || pln_node_is(n, "RNN"));
    return known && n->graph == v->graph ? n : NULL;
}

/* Of float, one behind the other along the first axis. */
static pln_value *both(pln_patch *p, pln_value *a, pln_value *b)
{
    pln_value *in[2] = { a, b };
    pln_tensor *x = a->cst, *y = b->cst, *t = NULL;
    int64_t dims[PLN_MAX_RANK];
    if (!pln_value_is_const(a) || !pln_value_is_const(b)) {
        pln_node *n = pln_patch_add(p, "Concat", in, 2, 1);
        return n && pln_node_set_int(n, "axis", 0) == PLN_OK ? n->out[0] : NULL;
    }
    memcpy(dims, x->dims, sizeof dims);
    dims[0] += y->dims[0];
    if (pln_tensor_materialize(x, NULL) != PLN_OK ||
        pln_tensor_materialize(y, NULL) != PLN_OK ||
        pln_tensor_make(p->graph->model->alloc, (pln_dtype)x->dtype, x->rank, dims, &t,
                        NULL) != PLN_OK)
        return pln_patch_const(p, NULL, a->name);
    pln_tensor_copy(t, 0, x, 0, pln_tensor_size(x));
    pln_tensor_copy(t, pln_tensor_size(x), y, 0, pln_tensor_size(y));
    return pln_patch_const(p, t, a->name);
}

static pln_node *later(pln_node *a, pln_node *b)
{
    for (pln_node *n = a; n; n = n->next)
        if (n == b)
            return b;
    return a;
}

/* Weights are constants, used here alone, so that they are not there twice. */
static bool can_join(const pln_node *a, const pln_node *b)
{
    for (uint32_t i = 1; i < 8; i++) {
        if (has(a, i) != has(b, i) || (i == 4 && has(a, i)))
            return false;
        const bool weights = i < 4 || i == 7;
        for (int k = 0; weights && has(a, i) && k < 2; k++) {
            const pln_value *v = k ? b->in[i] : a->in[i];
            if (!pln_value_is_const(v) || v->n_uses != 1 || v->cst->rank < 2 ||
                v->type.dtype != a->in[1]->type.dtype)
                return false;
        }
        if (has(a, i) && i < 4 && !pln_value_same_type(a->in[i], b->in[i]))
            return false;
    }
    return true;
}

/* Whoever reads state i of both joins them in this order; NULL: nobody reads them, or
 * (*ok false) somebody does otherwise. */
static pln_node *state_join(const pln_node *a, const pln_node *b, uint32_t i, bool *ok)
{
    int64_t axis;
    if (!is_read(a, i) && !is_read(b, i))
        return NULL;
    pln_node *n = is_read(a, i) ? only_node(a->out[i], "Concat") : NULL;
    *ok &= n && n->n_in == 2 && n->in[0] == a->out[i] && is_read(b, i) &&
           n->in[1] == b->out[i] && pln_node_axis(n, n->out[0], &axis) && axis == 0 &&
           b->out[i]->n_uses == 1;
    return n;
}

/* States that the new node begins with and that nodes have to join. */
static int states_to_join(const pln_node *a, const pln_node *b)
{
    int n = 0;
    for (uint32_t i = 5; i < 7; i++)
        n += has(a, i) && !(pln_value_is_const(a->in[i]) && pln_value_is_const(b->in[i]));
    return n;
}

static pln_status two_directions(pln_match *m, pln_patch *p)
{
    pln_node *root = m->root, *a, *b, *join[3] = { NULL };
    pln_value *in[8] = { NULL };
    int64_t axis;
    bool ok = true;
    if (root->n_in != 2 || pln_value_rank(root->out[0]) != 3 ||
        !pln_node_axis(root, root->out[0], &axis) || axis != 2)
        return pln_match_refuse(m, "not along the hidden state");
    a = states_of(root->in[0]);
    b = states_of(root->in[1]);
    if (!a || !b || a == b || a->op != b->op || a->in[0] != b->in[0] ||
        !goes(a, "forward") || !goes(b, "reverse") || !same_but_direction(a, b))
        return pln_match_refuse(m, "not the two directions of one input");
    for (uint32_t i = 1; i < 3; i++)
        join[i] = state_join(a, b, i, &ok);
    if (!ok || !can_join(a, b))
        return pln_match_refuse(m, "their states or weights are used elsewhere, too");
    if (states_to_join(a, b) == 2 && !join[1] && !join[2])
        return pln_match_refuse(m, "it would not be fewer nodes");
    const int64_t width = pln_value_size_at(root->out[0], 2);
    if (width < 1)
        return pln_match_refuse(m, "size of the states not known");
    p->before = later(a, b);
    in[0] = a->in[0];
    for (uint32_t i = 1; i < 8; i++)
        if (has(a, i))
            in[i] = both(p, a->in[i], b->in[i]);
    pln_node *n =
        pln_patch_add(p, a->op_type, in, 8, a->n_out > b->n_out ? a->n_out : b->n_out);
    for (uint32_t i = 0; n && i < a->n_attrs; i++)
        if (pln_node_set_attr(n, a->attrs[i]) != PLN_OK)
            return PLN_E_NOMEM;
    if (!n || pln_node_set_string(n, "direction", "bidirectional", 13) != PLN_OK)
        return PLN_E_NOMEM;
    pln_value *t = pln_patch_transpose(p, n->out[0], (int64_t[]){ 0, 2, 1, 3 }, 4);
    pln_value *shape = pln_patch_ints(p, (int64_t[]){ 0, 0, width }, 3, "shape");
    pln_patch_replace(p, root->out[0], t ? pln_patch_op2(p, "Reshape", t, shape) : NULL);
    for (uint32_t i = 1; i < 3; i++)
        if (join[i])
            pln_patch_replace(p, join[i]->out[0], n->out[i]);
    return PLN_OK;
}

/* Both directions, taken out of all states one by one and joined again. */
static pln_status joined_directions(pln_match *m, pln_patch *p)
{
    int64_t axis, place;
    pln_value *y = pln_match_val(m, "y");
    const pln_node *gathers[2] = { pln_match_node(m, "a"), pln_match_node(m, "b") };
    const int64_t width = pln_value_size_at(m->root->out[0], 2);
    if (m->root->n_in != 2 || pln_value_rank(y) != 4 || pln_value_size_at(y, 1) != 2 ||
        width < 1 || !pln_node_axis(m->root, m->root->out[0], &axis) || axis != 2)
        return pln_match_refuse(m, "not along the hidden state");
    for (int i = 0; i < 2; i++)
        if (!pln_node_axis(gathers[i], y, &axis) || axis != 1 ||
            pln_value_rank(gathers[i]->in[1]) != 0 || !only_int(gathers[i], 1, &place) ||
            (place != i && place != i - 2))
            return pln_match_refuse(m, "not the first direction, and then the second");
    pln_value *t = pln_patch_transpose(p, y, (int64_t[]){ 0, 2, 1, 3 }, 4);
    pln_value *shape = pln_patch_ints(p, (int64_t[]){ 0, 0, width }, 3, "shape");
    pln_patch_replace(p, m->root->out[0],
                      t ? pln_patch_op2(p, "Reshape", t, shape) : NULL);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "joined-directions",
      .match = "Concat(a=Gather!(y, _), b=Gather!(y, _))",
      .build = joined_directions },
    { .name = "turned-twice",
      .match = "Slice(inner=Slice(x, ...), ...)",
      .build = turned_twice },
    { .name = "turned-whole",
      .match = "ReverseSequence(x, lens)",
      .build = turned_whole,
      .opset = 10 },
    { .name = "turned", .match = "LSTM|GRU|RNN(x, w, r, ...)", .build = turned },
    { .name = "two-directions", .match = "Concat(a, b)", .build = two_directions },
};

const pln_pass pln_pass_rnn = {
    .name = "rnn",
    .brief = "gives LSTM, GRU and RNN their direction",
    PLN_RULES(rules),
};
