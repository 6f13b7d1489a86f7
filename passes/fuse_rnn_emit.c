/* Writes LSTM, GRU and RNN nodes: weights in the order of the standard.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_rnn.h"

#include <string.h>

#include "src/util/size.h"

/* ---- weights --------------------------------------------------------------------- */

static double sign_of(const pln_cell *c, int gate)
{
    return c->flipped && gate == 0 ? -1 : 1;
}

static double at(const pln_matrix *m, int64_t row, int64_t col)
{
    const pln_tensor *t = m->w->cst;
    const int64_t i = m->row + row, k = m->col + col;
    return pln_tensor_get_f64(t, m->turned ? k * t->dims[1] + i : i * t->dims[1] + k);
}

/* [1, gates x hidden, rows] */
static pln_value *stack(pln_patch *p, const pln_cell *c, const pln_matrix *m,
                        int64_t rows, const char *hint)
{
    const int gates = pln_cell_gates(c);
    const int64_t dims[3] = { 1, gates * c->hidden, rows };
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, PLN_DT_F32, 3, dims, &t, NULL) != PLN_OK)
        return pln_patch_const(p, NULL, hint);
    float *out = PLN_DATA(float, t);
    for (int g = 0; g < gates; g++)
        for (int64_t h = 0; h < c->hidden; h++)
            for (int64_t i = 0; i < rows; i++)
                *out++ = (float)(sign_of(c, g) * at(&m[g], i, h));
    return pln_patch_const(p, t, hint);
}

static bool is_biased(const pln_cell *c)
{
    bool any = c->behind.n_biases > 0;
    for (int g = 0; g < pln_cell_gates(c); g++)
        any |= c->gate[g].n_biases > 0;
    return any;
}

/* [1, 2 x gates x hidden]: those of the input, then those of the state. */
static pln_value *biases(pln_patch *p, const pln_cell *c)
{
    const int gates = pln_cell_gates(c);
    const int64_t dims[2] = { 1, 2 * gates * c->hidden };
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, PLN_DT_F32, 2, dims, &t, NULL) != PLN_OK)
        return pln_patch_const(p, NULL, "B");
    float *in = PLN_DATA(float, t), *state = in + gates * c->hidden;
    memset(in, 0, (size_t)dims[1] * sizeof *in);
    for (int g = 0; g < gates; g++)
        for (int64_t h = 0; h < c->hidden; h++)
            *in++ = (float)(sign_of(c, g) * pln_linear_bias(&c->gate[g], h));
    state += (gates - 1) * c->hidden; /* of the last gate, that of the new state */
    for (int64_t h = 0; h < c->hidden; h++)
        *state++ = (float)pln_linear_bias(&c->behind, h);
    return pln_patch_const(p, t, "B");
}

/* [1, 3 x hidden] */
static pln_value *peepholes(pln_patch *p, const pln_cell *c)
{
    const int64_t dims[2] = { 1, 3 * c->hidden };
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, PLN_DT_F32, 2, dims, &t, NULL) != PLN_OK)
        return pln_patch_const(p, NULL, "P");
    for (int g = 0; g < 3; g++)
        for (int64_t h = 0; h < c->hidden; h++) {
            const pln_value *d = c->gate[g].diag;
            pln_tensor_set_f64(t, g * c->hidden + h,
                               d ? pln_tensor_get_f64(d->cst, h) : 0);
        }
    return pln_patch_const(p, t, "P");
}

static bool has_peepholes(const pln_cell *c)
{
    return c->kind == PLN_CELL_LSTM &&
           (c->gate[0].diag || c->gate[1].diag || c->gate[2].diag);
}

static int64_t input_size(const pln_cell *c)
{
    const pln_value *x = c->x.of;
    return x->type.shape.dims[pln_value_rank(x) - 1].value;
}

int64_t pln_sequence_bytes(const pln_cell *c)
{
    const int64_t rows = pln_cell_gates(c) * c->hidden;
    const int64_t n = rows * (input_size(c) + c->hidden + (is_biased(c) ? 2 : 0)) +
                      (has_peepholes(c) ? 3 * c->hidden : 0);
    return c->native ? 0 : n * (int64_t)sizeof(float);
}

/* ---- the node -------------------------------------------------------------------- */

static pln_value *with_front(pln_patch *p, pln_value *v)
{
    v = pln_cell_state(v);
    if (!v || pln_value_rank(v) == 3)
        return v;
    pln_value *axes = pln_patch_ints(p, (int64_t[]){ 0 }, 1, "axes");
    return pln_patch_op2(p, "Unsqueeze", v, axes);
}

static bool set_activations(pln_node *n, const pln_cell *c)
{
    static const char *const usual[3][3] = { { "Sigmoid", "Tanh", "Tanh" },
                                             { "Sigmoid", "Tanh", "" },
                                             { "Tanh", "", "" } };
    const char *name[3];
    float alpha[3], beta[3];
    size_t n_alpha = 0, n_beta = 0;
    bool same = true;
    for (int i = 0; i < c->n_acts; i++) {
        name[i] = c->act[i].name;
        same &= !strcmp(name[i], usual[c->kind][i]);
        if (c->act[i].has_alpha)
            alpha[n_alpha++] = c->act[i].alpha;
        if (c->act[i].has_beta)
            beta[n_beta++] = c->act[i].beta;
    }
    return (same ||
            pln_node_set_strings(n, "activations", name, (size_t)c->n_acts) == PLN_OK) &&
           (!n_alpha ||
            pln_node_set_floats(n, "activation_alpha", alpha, n_alpha) == PLN_OK) &&
           (!n_beta || pln_node_set_floats(n, "activation_beta", beta, n_beta) == PLN_OK);
}

static bool set_attributes(pln_node *n, const pln_sequence *s)
{
    const pln_cell *c = s->cell;
    if (s->reverse && pln_node_set_string(n, "direction", "reverse", 7) != PLN_OK)
        return false;
    for (uint32_t i = 0; c->native && i < c->native->n_attrs; i++)
        if (strcmp(c->native->attrs[i]->name, "direction") &&
            pln_node_set_attr(n, c->native->attrs[i]) != PLN_OK)
            return false;
    return c->native || (pln_node_set_int(n, "hidden_size", c->hidden) == PLN_OK &&
                         set_activations(n, c) &&
                         (!c->resets_behind ||
                          pln_node_set_int(n, "linear_before_reset", 1) == PLN_OK));
}

/* A constant of a body, in the graph around it. */
static pln_value *outside(pln_patch *p, pln_value *v)
{
    for (const pln_graph *g = p->graph; v && g; g = g->parent)
        if (v->graph == g)
            return v;
    return v ? pln_patch_const(p, pln_tensor_ref(v->cst), v->name) : NULL;
}

static void take_weights(pln_patch *p, const pln_cell *c, pln_value **in)
{
    if (c->native) {
        for (uint32_t i = 1; i < c->native->n_in; i++)
            if (i != 5 && i != 6)
                in[i] = outside(p, c->native->in[i]);
        return;
    }
    in[1] = stack(p, c, c->w, input_size(c), "W");
    in[2] = stack(p, c, c->r, c->hidden, "R");
    if (is_biased(c))
        in[3] = biases(p, c);
    if (has_peepholes(c))
        in[7] = peepholes(p, c);
}

pln_node *pln_sequence_emit(pln_patch *p, const pln_sequence *s, bool y, uint32_t n_out)
{
    static const char *const ops[] = { "LSTM", "GRU", "RNN" };
    pln_value *in[8] = { s->x };
    const bool lstm = s->cell->kind == PLN_CELL_LSTM;
    take_weights(p, s->cell, in);
    in[5] = with_front(p, s->h0);
    in[6] = lstm ? with_front(p, s->c0) : NULL;
    pln_node *n = pln_patch_add(p, ops[s->cell->kind], in, 8, n_out);
    if (n && !y)
        pln_patch_leave_out(n, 0);
    return n && set_attributes(n, s) ? n : NULL;
}

pln_value *pln_sequence_state(pln_patch *p, pln_node *n, uint32_t i,
                              const pln_value *like)
{
    if (pln_value_rank(like) == 3)
        return n->out[i];
    pln_value *axes = pln_patch_ints(p, (int64_t[]){ 0 }, 1, "axes");
    return pln_patch_op2(p, "Squeeze", n->out[i], axes);
}
