/* One step of LSTM, GRU or RNN, found from the hidden state that it gives inwards.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/fuse_rnn.h"
#include "passes/same.h"

#include <math.h>
#include <string.h>

int pln_cell_gates(const pln_cell *c)
{
    return c->kind == PLN_CELL_LSTM ? 4 : c->kind == PLN_CELL_GRU ? 3 : 1;
}

static pln_node *def_is(const pln_value *v, const char *op)
{
    return v && v->def && pln_node_is(v->def, op) ? v->def : NULL;
}

/* Zero for certain, so that what it is multiplied by may be left out. */
static bool is_zero(const pln_value *v)
{
    double zero;
    return !v || (pln_value_is_uniform(v, &zero) && zero == 0);
}

/* The same state; zeros are, of whatever shape they were written. */
static bool same_state(const pln_value *a, const pln_value *b)
{
    return a == b || (a && b && is_zero(a) && is_zero(b));
}

/* A gate: an activation of a sum, or a piece of what is that for several gates. */
static bool read_gate(const pln_cell *c, pln_value *v, pln_cell_act *act, pln_linear *l)
{
    const int64_t axis = pln_value_rank(v) - 1;
    pln_value *all = v, *x;
    int64_t col = 0;
    pln_piece piece;
    if (axis < 1 || pln_value_size_at(v, axis) != c->hidden)
        return false;
    if (pln_piece_of(v, &piece) && piece.axis == axis && piece.step == 1) {
        all = piece.of;
        col = piece.start;
    }
    return pln_cell_act_of(all, act, &x) && pln_linear_read(x, col, l);
}

static bool read_like(const pln_cell *c, pln_value *v, const pln_cell_act *like,
                      pln_linear *l)
{
    pln_cell_act act;
    return read_gate(c, v, &act, l) && pln_cell_act_equal(&act, like) &&
           (!l->gated || l->diag);
}

/* ---- LSTM: c = f c' + i g, h = o act(c) ------------------------------------------ */

static bool peeps_at(const pln_linear *l, const pln_value *c)
{
    return !l->diag || l->diag_of == c;
}

static bool read_input_part(pln_cell *c, const pln_node *mul)
{
    for (int i = 0; i < 2; i++)
        if (read_like(c, mul->in[i], &c->act[0], &c->gate[0]) &&
            read_gate(c, mul->in[1 - i], &c->act[1], &c->gate[3]) && !c->gate[3].gated)
            return true;
    return false;
}

static bool read_forget_part(pln_cell *c, const pln_node *mul)
{
    for (int i = 0; i < 2; i++) {
        c->c_prev = mul->in[1 - i];
        if (read_like(c, mul->in[i], &c->act[0], &c->gate[2]) &&
            peeps_at(&c->gate[2], c->c_prev) && peeps_at(&c->gate[0], c->c_prev))
            return true;
    }
    c->c_prev = NULL;
    return false;
}

/* The first step may lack what is multiplied by the zeros before it. */
static bool read_memory(pln_cell *c)
{
    const pln_node *mul = def_is(c->c, "Mul"), *add = def_is(c->c, "Add");
    if (mul)
        return read_input_part(c, mul) && !c->gate[0].diag;
    for (int i = 0; add && i < 2; i++) {
        const pln_node *in = def_is(add->in[i], "Mul"),
                       *f = def_is(add->in[1 - i], "Mul");
        if (in && f && read_input_part(c, in) && read_forget_part(c, f))
            return true;
    }
    return false;
}

static bool read_lstm(pln_cell *c)
{
    const pln_node *mul = def_is(c->h, "Mul");
    for (int i = 0; mul && i < 2; i++) {
        if (read_gate(c, mul->in[i], &c->act[0], &c->gate[1]) &&
            (!c->gate[1].gated || c->gate[1].diag) &&
            pln_cell_act_of(mul->in[1 - i], &c->act[2], &c->c) &&
            peeps_at(&c->gate[1], c->c) && read_memory(c)) {
            c->kind = PLN_CELL_LSTM;
            c->n_acts = 3;
            return true;
        }
        c->c = NULL;
    }
    return false;
}

/* ---- GRU: h = (1 - z) n + z h' --------------------------------------------------- */

/* (1 - w) a + w b */
typedef struct blend {
    pln_value *a, *b, *w;
} blend;

static bool is_complement(const pln_value *v, const pln_value *w)
{
    double one;
    const pln_node *n = def_is(v, "Sub");
    return n && n->in[1] == w && pln_value_is_splat(n->in[0], &one) && one == 1;
}

static bool read_two_parts(const pln_node *p, const pln_node *q, blend *b)
{
    for (int i = 0; i < 4; i++) {
        pln_value *rest = p->in[i & 1], *w = q->in[i >> 1];
        if (is_complement(rest, w)) {
            *b = (blend){ p->in[!(i & 1)], q->in[!(i >> 1)], w };
            return true;
        }
    }
    return false;
}

/* v + w (b - v) */
static bool read_step_towards(pln_value *v, const pln_node *mul, blend *b)
{
    for (int i = 0; i < 2; i++) {
        const pln_node *sub = def_is(mul->in[i], "Sub");
        if (sub && sub->in[1] == v) {
            *b = (blend){ v, sub->in[0], mul->in[1 - i] };
            return true;
        }
    }
    return false;
}

static bool read_blend(const pln_value *h, blend *b)
{
    const pln_node *n = def_is(h, "Add");
    for (int i = 0; n && i < 2; i++) {
        const pln_node *p = def_is(n->in[i], "Mul"), *q = def_is(n->in[1 - i], "Mul");
        if ((p && q && read_two_parts(p, q, b)) ||
            (q && read_step_towards(n->in[i], q, b)))
            return true;
    }
    n = def_is(h, "Sub"); /* v - w (v - b) */
    const pln_node *mul = n ? def_is(n->in[1], "Mul") : NULL;
    for (int i = 0; mul && i < 2; i++) {
        const pln_node *sub = def_is(mul->in[i], "Sub");
        if (sub && sub->in[0] == n->in[0]) {
            *b = (blend){ n->in[0], sub->in[1], mul->in[1 - i] };
            return true;
        }
    }
    return false;
}

/* r (R h + b): added behind the product. */
static bool read_behind(pln_cell *c)
{
    const pln_node *mul = c->gate[2].gated;
    for (int i = 0; i < 2; i++)
        if (read_like(c, mul->in[i], &c->act[0], &c->gate[1]) &&
            pln_linear_read(mul->in[1 - i], 0, &c->behind) && !c->behind.gated &&
            c->behind.n < 2)
            return true;
    return false;
}

/* R (r h): the product of one of its values and the state. */
static bool read_before(pln_cell *c)
{
    for (int k = 0; k < c->gate[2].n; k++) {
        pln_value *v = c->gate[2].x[k].value;
        const pln_node *mul = def_is(v, "Mul");
        for (int i = 0; mul && i < 2; i++)
            if (same_state(mul->in[i], c->h_prev) &&
                read_like(c, mul->in[1 - i], &c->act[0], &c->gate[1]))
                return true;
    }
    return false;
}

static bool has_peeps(const pln_cell *c)
{
    return c->gate[0].diag || c->gate[1].diag;
}

static bool read_new(pln_cell *c, pln_value *n)
{
    if (!read_gate(c, n, &c->act[1], &c->gate[2]))
        return false;
    c->resets_behind = c->gate[2].gated != NULL;
    return (c->resets_behind ? read_behind(c) : read_before(c)) && !has_peeps(c);
}

static bool read_gru(pln_cell *c)
{
    blend b;
    if (!read_blend(c->h, &b) || !read_gate(c, b.w, &c->act[0], &c->gate[0]) ||
        c->gate[0].gated)
        return false;
    c->kind = PLN_CELL_GRU;
    c->n_acts = 2;
    c->h_prev = b.b;
    if (read_new(c, b.a))
        return true;
    c->h_prev = b.a;
    c->flipped = true; /* 1 - sigmoid(x) = sigmoid(-x) */
    return !strcmp(c->act[0].name, "Sigmoid") && read_new(c, b.b);
}

/* ---- RNN, and operators of one step ---------------------------------------------- */

static bool read_rnn(pln_cell *c)
{
    c->kind = PLN_CELL_RNN;
    c->n_acts = 1;
    return read_gate(c, c->h, &c->act[0], &c->gate[0]) && !c->gate[0].gated &&
           c->gate[0].n > 0;
}

pln_value *pln_cell_state(pln_value *v)
{
    while (v && v->def &&
           (pln_node_is(v->def, "Identity") ||
            ((pln_node_is(v->def, "Squeeze") || pln_node_is(v->def, "Unsqueeze")) &&
             pln_value_rank(v->def->in[0]) >= 2 && pln_value_rank(v) >= 2))) {
        const int a = pln_value_rank(v), b = pln_value_rank(v->def->in[0]);
        const pln_value *larger = a > b ? v : v->def->in[0];
        int64_t axes[PLN_MAX_RANK];
        size_t n;
        if (a != b && (!pln_axes_of(v->def->in[1], a > b ? a : b, axes, &n) || n != 1 ||
                       axes[0] || pln_value_rank(larger) != 3))
            break;
        v = v->def->in[0];
    }
    return v;
}

static bool has(const pln_node *n, uint32_t i)
{
    return i < n->n_in && n->in[i];
}

static bool read_native(pln_cell *c)
{
    static const char *const ops[] = { "LSTM", "GRU", "RNN" };
    pln_node *n = c->h->def;
    int kind = 0;
    while (kind < 3 && !(n && pln_node_is(n, ops[kind])))
        kind++;
    if (kind == 3 || c->h->slot != 1 || has(n, 4) || pln_node_get_int(n, "layout", 0) ||
        strcmp(pln_node_get_string(n, "direction", "forward"), "forward") ||
        pln_value_rank(n->in[0]) != 3 || !pln_dim_is(n->in[0]->type.shape.dims[0], 1) ||
        (n->out[0] && n->out[0]->n_uses))
        return false;
    pln_value *x = pln_cell_state(n->in[0]);
    c->kind = (pln_cell_kind)kind;
    c->native = n;
    c->h_prev = has(n, 5) ? pln_cell_state(n->in[5]) : NULL;
    c->c_prev = has(n, 6) && !kind ? pln_cell_state(n->in[6]) : NULL;
    c->c = !kind && n->n_out > 2 ? n->out[2] : NULL;
    c->x = pln_pick_of(x);
    return true;
}

/* ---- all ------------------------------------------------------------------------- */

/* [batch, hidden], perhaps with a dimension of 1 in front. */
static bool is_state(const pln_value *v)
{
    const int rank = pln_value_rank(v);
    return v->type.dtype == PLN_DT_F32 &&
           (rank == 2 || (rank == 3 && pln_dim_is(v->type.shape.dims[0], 1))) &&
           pln_dim_is_known(v->type.shape.dims[rank - 1]) &&
           v->type.shape.dims[rank - 1].value > 0;
}

bool pln_cell_read(pln_value *h, pln_cell *out)
{
    static bool (*const read[])(pln_cell *) = { read_native, read_lstm, read_gru,
                                                read_rnn };
    if (!h->def || !is_state(h))
        return false;
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        *out = (pln_cell){ .h = h };
        out->hidden = h->type.shape.dims[pln_value_rank(h) - 1].value;
        if (read[i](out))
            return true;
    }
    return false;
}

static bool fits(const pln_matrix *m, int64_t rows, int64_t cols)
{
    const int64_t *d = m->w->cst->dims;
    return rows > 0 && m->row <= d[m->turned] - rows && m->col <= d[!m->turned] - cols;
}

/* Splits what a gate multiplies into the state's part and the input's. */
static bool settle_gate(pln_cell *c, int g, const pln_value *state, bool *has_x)
{
    const pln_linear *l = &c->gate[g];
    c->w[g] = c->r[g] = (pln_matrix){ .w = NULL };
    for (int k = 0; k < l->n; k++) {
        const bool is_h = state && same_state(l->x[k].value, state);
        pln_matrix *m = is_h ? &c->r[g] : &c->w[g];
        if (m->w)
            return false;
        *m = l->m[k];
        if (is_h)
            continue;
        if (*has_x && !pln_pick_equal(&c->x, &l->x[k]))
            return false;
        c->x = l->x[k];
        *has_x = true;
    }
    const pln_value *x = c->x.of;
    const int rank = x ? pln_value_rank(x) : 0;
    return pln_linear_fits(l, c->hidden) && c->w[g].w && rank >= 2 &&
           pln_dim_is_known(x->type.shape.dims[rank - 1]) &&
           fits(&c->w[g], x->type.shape.dims[rank - 1].value, c->hidden) &&
           (!c->r[g].w || fits(&c->r[g], c->hidden, c->hidden));
}

/* R of the new state: of r h, or what is behind it. */
static bool settle_new(pln_cell *c, bool *has_x)
{
    const pln_value *state = NULL;
    for (int k = 0; k < c->gate[2].n && !c->resets_behind; k++) {
        const pln_node *mul = def_is(c->gate[2].x[k].value, "Mul");
        if (mul &&
            (same_state(mul->in[0], c->h_prev) || same_state(mul->in[1], c->h_prev)))
            state = c->gate[2].x[k].value;
    }
    if (!settle_gate(c, 2, state, has_x) || !pln_linear_fits(&c->behind, c->hidden))
        return false;
    if (!c->resets_behind || !c->behind.n)
        return true;
    c->r[2] = c->behind.m[0];
    return same_state(c->behind.x[0].value, c->h_prev) &&
           fits(&c->r[2], c->hidden, c->hidden);
}

bool pln_cell_settle(pln_cell *c, pln_value *h_prev)
{
    bool has_x = false;
    if (c->native)
        return true;
    if (!is_zero(h_prev) &&
        pln_value_size_at(h_prev, pln_value_rank(h_prev) - 1) != c->hidden)
        return false;
    c->h_prev = h_prev;
    for (int g = 0; g < pln_cell_gates(c); g++) {
        const bool absent = c->kind == PLN_CELL_LSTM && g == 2 && !c->c_prev;
        const bool new = c->kind == PLN_CELL_GRU &&g == 2;
        if (!absent && !(new ? settle_new(c, &has_x) : settle_gate(c, g, h_prev, &has_x)))
            return false;
    }
    return has_x;
}

/* ---- the same weights ------------------------------------------------------------ */

static bool same_constant(const pln_value *a, const pln_value *b)
{
    return a == b || (a && b && pln_value_is_const(a) && pln_value_is_const(b) &&
                      pln_tensor_same_as(a->cst, b->cst));
}

static bool same_matrix(const pln_matrix *a, const pln_matrix *b)
{
    return same_constant(a->w, b->w) &&
           (!a->w || (a->turned == b->turned && a->row == b->row && a->col == b->col));
}

static bool same_native(const pln_node *a, const pln_node *b)
{
    static const uint32_t weights[] = { 1, 2, 3, 7 };
    if (a->op != b->op || !pln_node_same_attrs(a, b))
        return false;
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        const uint32_t k = weights[i];
        if (has(a, k) != has(b, k) || (has(a, k) && !same_constant(a->in[k], b->in[k])))
            return false;
    }
    return true;
}

static bool same_bias(const pln_linear *a, const pln_linear *b, int64_t hidden)
{
    for (int64_t i = 0; i < hidden; i++) {
        const double x = pln_linear_bias(a, i), y = pln_linear_bias(b, i);
        if (!(fabs(x - y) <= 1e-6 * (1 + fabs(y))))
            return false;
    }
    return true;
}

bool pln_cell_same(const pln_cell *a, const pln_cell *b)
{
    if (a->kind != b->kind || !a->native != !b->native || a->hidden != b->hidden)
        return false;
    if (a->native)
        return same_native(a->native, b->native);
    if (a->flipped != b->flipped || a->resets_behind != b->resets_behind)
        return false;
    for (int i = 0; i < a->n_acts; i++)
        if (!pln_cell_act_equal(&a->act[i], &b->act[i]))
            return false;
    for (int g = 0; g < pln_cell_gates(a); g++) {
        if (a->kind == PLN_CELL_LSTM && g == 2 && !a->c_prev)
            continue;
        const bool no_r = !a->r[g].w && is_zero(a->h_prev);
        const bool no_peep = a->kind != PLN_CELL_LSTM ||
                             (!a->gate[g].diag && is_zero(a->c_prev) && g != 1);
        if (!same_matrix(&a->w[g], &b->w[g]) ||
            (!no_r && !same_matrix(&a->r[g], &b->r[g])) ||
            (!no_peep && !same_constant(a->gate[g].diag, b->gate[g].diag)) ||
            !same_bias(&a->gate[g], &b->gate[g], a->hidden))
            return false;
    }
    return !a->resets_behind || same_bias(&a->behind, &b->behind, a->hidden);
}
