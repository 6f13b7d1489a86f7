/* Loop and Scan whose body is one step of a recurrent network.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_rnn.h"
#include "passes/loop.h"

#define MOST_RESULTS 16

typedef struct body {
    pln_pass_ctx *ctx;
    pln_loop l;
    pln_cell cell;
    uint32_t h, c; /* which state; c == h: none */
    pln_value *x;
    int axis;
    int64_t steps; /* of x that are used; -1: all */
    bool reverse;
} body;

static bool is_read(const pln_value *v)
{
    return v && v->n_uses;
}

/* ---- the step -------------------------------------------------------------------- */

static pln_value *begins(const body *b, uint32_t state)
{
    return b->l.g->inputs[b->l.inner_at + state];
}

static pln_value *becomes(const body *b, uint32_t state)
{
    return pln_cell_state(b->l.g->outputs[b->l.out_at + state]);
}

static bool find_memory(body *b)
{
    b->c = b->h;
    if (b->cell.kind != PLN_CELL_LSTM)
        return true;
    for (uint32_t i = 0; i < b->l.n_state; i++)
        if (b->cell.c && becomes(b, i) == pln_cell_state(b->cell.c) && i != b->h &&
            b->cell.c_prev && pln_cell_state(b->cell.c_prev) == begins(b, i)) {
            b->c = i;
            return true;
        }
    return false;
}

static bool find_cell(body *b)
{
    for (b->h = 0; b->h < b->l.n_state; b->h++) {
        pln_value *h = becomes(b, b->h);
        if (h->graph != b->l.g || !pln_cell_read(h, &b->cell) ||
            ((b->cell.native || b->cell.kind == PLN_CELL_GRU) &&
             pln_cell_state(b->cell.h_prev) != begins(b, b->h)))
            continue;
        if (pln_cell_settle(&b->cell, begins(b, b->h)) && find_memory(b))
            return true;
    }
    return false;
}

static bool has_all_weights(const body *b)
{
    const pln_cell *c = &b->cell;
    for (int g = 0; g < pln_cell_gates(c); g++)
        if (!c->native && (!c->w[g].w || !c->r[g].w))
            return false;
    for (uint32_t i = 1; c->native && i < c->native->n_in; i++) {
        const pln_value *v = c->native->in[i];
        if (v && i != 5 && i != 6 && !pln_value_is_const(v) && v->graph == b->l.g)
            return false;
    }
    return true;
}

/* ---- the sequence ---------------------------------------------------------------- */

static bool runs_over(const body *b, pln_dim size, int64_t *steps)
{
    const pln_loop *l = &b->l;
    const pln_value *trips = l->n->in[0];
    double on = 1;
    *steps = -1;
    if (l->scan)
        return true;
    if (!trips || !pln_loop_goes_on(l) ||
        (l->n->in[1] && (!pln_value_is_splat(l->n->in[1], &on) || !on)))
        return false;
    if (trips->sym && trips->sym->n == 1 && pln_dim_equal(trips->sym->v[0], size))
        return true;
    *steps = pln_loop_trips(l);
    if (*steps < 1 || !pln_dim_is_known(size) || *steps > size.value)
        return false;
    if (*steps == size.value)
        *steps = -1;
    return *steps < 0 || !b->reverse;
}

/* State i has the sizes of all others from the first one on: since it is as many rows as
 * the input has, so is what becomes of it. */
static bool begins_whole(const body *b, uint32_t i)
{
    const pln_value *v = b->l.n->in[b->l.in_at + i];
    const int rank = pln_value_rank(v);
    return (rank == 2 || (rank == 3 && pln_dim_is(v->type.shape.dims[0], 1))) &&
           pln_dim_is(v->type.shape.dims[rank - 1], b->cell.hidden) &&
           pln_dim_equal(v->type.shape.dims[rank - 2],
                         b->x->type.shape.dims[1 - b->axis]);
}

/* No bias has rows of its own. */
static bool is_row(const pln_linear *l)
{
    for (int i = 0; i < l->n_biases; i++) {
        const pln_value *v = l->bias[i];
        const int rank = pln_value_rank(v);
        if (rank > 0 && !pln_dim_is(v->type.shape.dims[rank - 1], pln_value_count(v)))
            return false;
    }
    return true;
}

/* What the step gives has the rows of its input. */
static bool keeps_rows(const body *b)
{
    bool all = is_row(&b->cell.behind);
    for (int g = 0; g < pln_cell_gates(&b->cell) && !b->cell.native; g++)
        all &= is_row(&b->cell.gate[g]);
    return all;
}

static bool find_sequence(body *b)
{
    const pln_pick *x = &b->cell.x;
    if (x->axis < 0 || x->axis > 1 || pln_value_rank(x->of) != 3 ||
        (x->at != PLN_PICK_EACH && x->at != PLN_PICK_BACK))
        return false;
    for (const pln_graph *g = x->of->graph; g; g = g->parent)
        if (g == b->l.g)
            return false;
    b->x = x->of;
    b->axis = x->axis;
    b->reverse = x->at == PLN_PICK_BACK;
    return runs_over(b, x->of->type.shape.dims[x->axis], &b->steps);
}

static bool is_zero(const pln_value *v)
{
    double zero;
    return pln_value_is_uniform(v, &zero) && zero == 0;
}

/* ---- what it gives --------------------------------------------------------------- */

/* Collected hidden states, [batch, hidden] or with a dimension of 1 in front. */
static bool is_collected(const body *b, uint32_t slot)
{
    const pln_value *v = b->l.g->outputs[b->l.out_at + slot];
    const int64_t axis = pln_loop_listed(b->l.n, "scan_output_axes", slot - b->l.n_state);
    return pln_cell_state((pln_value *)(uintptr_t)v) == pln_cell_state(b->cell.h) &&
           ((pln_value_rank(v) == 2 && (axis == 0 || axis == 1)) ||
            (pln_value_rank(v) == 3 && axis == 0));
}

static bool can_give_all(const body *b)
{
    for (uint32_t i = 0; i < b->l.n->n_out; i++) {
        if (!is_read(b->l.n->out[i]))
            continue;
        if (i < b->l.n_state ? i != b->h && i != b->c : !is_collected(b, i))
            return false;
    }
    return true;
}

static bool any_collected(const body *b)
{
    for (uint32_t i = b->l.n_state; i < b->l.n->n_out; i++)
        if (is_read(b->l.n->out[i]))
            return true;
    return false;
}

static pln_value *turned(pln_patch *p, pln_value *v)
{
    pln_value *from = pln_patch_ints(p, (int64_t[]){ -1 }, 1, "starts");
    pln_value *to = pln_patch_ints(p, (int64_t[]){ INT64_MIN }, 1, "ends");
    pln_value *axes = pln_patch_ints(p, (int64_t[]){ 0 }, 1, "axes");
    pln_value *in[5] = { v, from, to, axes, from };
    pln_node *n = pln_patch_add(p, "Slice", in, 5, 1);
    return n ? n->out[0] : NULL;
}

static pln_value *emit_collected(pln_patch *p, const body *b, pln_node *n, uint32_t slot)
{
    const uint32_t i = slot - b->l.n_state;
    const pln_value *each = b->l.g->outputs[b->l.out_at + slot];
    const bool back = pln_loop_listed(b->l.n, "scan_output_directions", i) == 1;
    pln_value *v = n->out[0];
    if (pln_value_rank(each) == 2) {
        pln_value *axes = pln_patch_ints(p, (int64_t[]){ 1 }, 1, "axes");
        v = pln_patch_op2(p, "Squeeze", v, axes);
    }
    if (back != b->reverse)
        v = turned(p, v);
    return pln_loop_listed(b->l.n, "scan_output_axes", i) && v
               ? pln_patch_transpose(p, v, (int64_t[]){ 1, 0, 2 }, 3)
               : v;
}

static pln_value *emit_sequence(pln_patch *p, const body *b)
{
    pln_value *v = b->x;
    if (b->steps >= 0) {
        const int64_t zero = 0, axis = b->axis;
        pln_value *from = pln_patch_ints(p, &zero, 1, "starts");
        pln_value *to = pln_patch_ints(p, &b->steps, 1, "ends");
        pln_value *in[4] = { v, from, to, pln_patch_ints(p, &axis, 1, "axes") };
        pln_node *n = pln_patch_add(p, "Slice", in, 4, 1);
        v = n ? n->out[0] : NULL;
    }
    return b->axis && v ? pln_patch_transpose(p, v, (int64_t[]){ 1, 0, 2 }, 3) : v;
}

static void build(pln_patch *p, body *b)
{
    const pln_loop *l = &b->l;
    pln_value *h0 = l->n->in[l->in_at + b->h], *c0 = l->n->in[l->in_at + b->c];
    const pln_sequence s = { .cell = &b->cell,
                             .x = emit_sequence(p, b),
                             .h0 = is_zero(h0) ? NULL : h0,
                             .c0 = b->c == b->h || is_zero(c0) ? NULL : c0,
                             .reverse = b->reverse };
    const uint32_t n_out = b->c != b->h && is_read(l->n->out[b->c]) ? 3
                           : is_read(l->n->out[b->h])               ? 2
                                                                    : 1;
    pln_node *n = s.x ? pln_sequence_emit(p, &s, any_collected(b), n_out) : NULL;
    for (uint32_t i = 0; n && i < l->n->n_out; i++) {
        pln_value *old = l->n->out[i];
        if (!is_read(old))
            continue;
        pln_value *v = i >= l->n_state ? emit_collected(p, b, n, i)
                                       : pln_sequence_state(p, n, i == b->h ? 1 : 2,
                                                            l->n->in[l->in_at + i]);
        pln_patch_replace_proven(p, old, v);
    }
}

/* ---- what it costs --------------------------------------------------------------- */

/* Nobody outside of the body reads v. */
static int64_t freed(const body *b, const pln_value *v)
{
    for (const pln_use *u = v->uses; u; u = u->next) {
        const pln_graph *g = u->graph;
        while (g && g != b->l.g)
            g = g->parent;
        if (!g)
            return 0;
    }
    return pln_value_count(v) * (int64_t)sizeof(float);
}

static bool pays(const body *b)
{
    const pln_cell *c = &b->cell;
    const pln_value *seen[8];
    int n = 0;
    int64_t bytes = 1024; /* the Loop itself */
    for (int g = 0; g < pln_cell_gates(c) && !c->native; g++)
        for (int k = 0; k < 2; k++) {
            const pln_value *v = k ? c->r[g].w : c->w[g].w;
            bool again = false;
            for (int i = 0; i < n; i++)
                again |= seen[i] == v;
            bytes += again ? 0 : freed(b, v);
            if (!again)
                seen[n++] = v;
        }
    const int64_t more = pln_sequence_bytes(c) - bytes;
    return b->ctx->options->session || more <= 0 || (uint64_t)more <= b->ctx->fold_left;
}

pln_status pln_rnn_of_loop(pln_pass_ctx *ctx, pln_node *n, bool *done, pln_error *err)
{
    char why[256] = "";
    body b = { .ctx = ctx };
    if (!pln_loop_open(&b.l, n) || !find_cell(&b) || !has_all_weights(&b))
        return PLN_OK;
    if (!find_sequence(&b))
        pln_pass_explain(ctx, n, NULL, "its steps do not go over one value");
    else if (!can_give_all(&b))
        pln_pass_explain(ctx, n, NULL, "it gives more than the states of one cell");
    else if (!keeps_rows(&b))
        pln_pass_explain(ctx, n, NULL, "a bias has rows of its own");
    else if (!begins_whole(&b, b.h) || !begins_whole(&b, b.c))
        pln_pass_explain(ctx, n, NULL,
                         "the first state is not of the shape of the others");
    else if (!pays(&b))
        pln_pass_explain(ctx, n, NULL, "its weights are used elsewhere, too");
    else {
        pln_patch p;
        pln_patch_begin(&p, ctx, n);
        build(&p, &b);
        const pln_status st =
            pln_patch_commit(&p, NULL, n, NULL, NULL, why, sizeof why, err);
        *done = st == PLN_OK;
        if (st == PLN_E_UNSUPPORTED && *why)
            pln_pass_explain(ctx, n, NULL, why);
        return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
    }
    return PLN_OK;
}
