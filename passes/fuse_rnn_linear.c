/* What goes into a gate: products with constants, biases, and how they lie in wider ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/fuse_rnn.h"
#include "passes/loop.h"

#include <math.h>
#include <string.h>

#define MOST_STEPS 64

/* ---- activations ----------------------------------------------------------------- */

static const pln_cell_act acts[] = {
    { "Sigmoid", false, false, 0, 0 },      { "Tanh", false, false, 0, 0 },
    { "Relu", false, false, 0, 0 },         { "Softsign", false, false, 0, 0 },
    { "Softplus", false, false, 0, 0 },     { "HardSigmoid", true, true, 0.2f, 0.5f },
    { "LeakyRelu", true, false, 0.01f, 0 }, { "Elu", true, false, 1, 0 },
};

/* clip(x, 0, m) / m: what is left of relu6(x + 3) / 6 when 3 is one of the biases. */
static bool act_of_clip(const pln_node *n, pln_cell_act *act, pln_value **x)
{
    double scale, low, high;
    for (int i = 0; i < 2; i++) {
        const pln_node *clip = n->in[i]->def;
        if (!clip || !pln_node_is(clip, "Clip") || clip->n_in != 3 || !clip->in[1] ||
            !clip->in[2] || !pln_value_is_splat(n->in[1 - i], &scale) ||
            pln_value_count(n->in[1 - i]) != 1 ||
            !pln_value_is_splat(clip->in[1], &low) ||
            !pln_value_is_splat(clip->in[2], &high) || low != 0 ||
            !(fabs(scale * high - 1) < 1e-6))
            continue;
        *act = (pln_cell_act){ "HardSigmoid", true, true, (float)scale, 0 };
        *x = clip->in[0];
        return true;
    }
    return false;
}

bool pln_cell_act_of(const pln_value *v, pln_cell_act *act, pln_value **x)
{
    const pln_node *n = v->def;
    if (n && pln_node_is(n, "Mul"))
        return act_of_clip(n, act, x);
    for (size_t i = 0; n && i < sizeof acts / sizeof acts[0]; i++) {
        if (!pln_node_is(n, acts[i].name))
            continue;
        *act = acts[i];
        if (act->has_alpha)
            act->alpha = pln_node_get_float(n, "alpha", act->alpha);
        if (act->has_beta)
            act->beta = pln_node_get_float(n, "beta", act->beta);
        *x = n->in[0];
        return true;
    }
    return false;
}

bool pln_cell_act_equal(const pln_cell_act *a, const pln_cell_act *b)
{
    return !strcmp(a->name, b->name) && a->alpha == b->alpha && a->beta == b->beta;
}

/* ---- one place of an axis -------------------------------------------------------- */

static int64_t size_at_end(const pln_value *v)
{
    const int rank = pln_value_rank(v);
    return rank < 1 ? -1 : pln_value_size_at(v, rank - 1);
}

/* What is counted in a Loop's body. */
static bool counts(const pln_value *v, pln_count *out)
{
    pln_loop l;
    pln_node *owner = v->graph->owner;
    return owner && pln_node_is(owner, "Loop") && pln_loop_open(&l, owner) &&
           pln_loop_count_of(&l, v, out);
}

/* The number of the iteration. */
static bool is_iteration(const pln_value *v)
{
    pln_count c;
    return counts(v, &c) && c.from == 0 && c.by == 1;
}

/* size - 1 - the number of the iteration; also counted from the end, from -1 on. */
static bool counts_back(const pln_value *v, pln_dim size)
{
    pln_count c;
    if (counts(v, &c))
        return c.by == -1 &&
               (c.from == -1 || (c.from >= 0 && pln_dim_is(size, c.from + 1)));
    const pln_node *n = v->def;
    if (!n || !pln_node_is(n, "Sub") || !is_iteration(n->in[1]))
        return false;
    const pln_value *from = n->in[0];
    pln_syms *syms = v->graph->model->syms;
    return from->sym && from->sym->n == 1 &&
           pln_dim_equal(pln_dim_add(syms, from->sym->v[0], pln_dim_of(1)), size);
}

static bool pick_gathered(const pln_node *n, pln_pick *out)
{
    int64_t axis, at;
    size_t count;
    if (!pln_node_axis(n, n->in[0], &axis) || axis >= pln_value_rank(n->in[0]) - 1)
        return false;
    const pln_dim size = n->in[0]->type.shape.dims[axis];
    if (is_iteration(n->in[1]))
        at = PLN_PICK_EACH;
    else if (counts_back(n->in[1], size))
        at = PLN_PICK_BACK;
    else if (!pln_value_get_ints(n->in[1], &at, 1, &count) || count != 1 ||
             (at < 0 && !pln_dim_is_known(size)))
        return false;
    else
        at += at < 0 ? size.value : 0;
    out->of = n->in[0];
    out->axis = (int)axis;
    out->at = at;
    return true;
}

/* What a Scan hands its body, piece by piece. */
static bool pick_scanned(const pln_value *v, pln_pick *out)
{
    const pln_node *n = v->graph->owner;
    if (v->kind != PLN_VALUE_INPUT || !n || !pln_node_is(n, "Scan"))
        return false;
    pln_loop l;
    if (!pln_loop_open(&l, (pln_node *)(uintptr_t)n))
        return false;
    for (uint32_t i = 0; i < l.n_scanned; i++) {
        if (l.g->inputs[l.n_state + i] != v)
            continue;
        out->of = n->in[l.n_state + i];
        const int rank = pln_value_rank(out->of);
        const int64_t axis = pln_loop_axis(&l, i, rank);
        if (rank < 1 || axis < 0 || axis >= rank - 1)
            return false;
        out->axis = (int)axis;
        out->at = pln_loop_listed(n, "scan_input_directions", i) == 1 ? PLN_PICK_BACK
                                                                      : PLN_PICK_EACH;
        return true;
    }
    return false;
}

/* n takes away the axis alone, of size 1. */
static bool squeezes(const pln_node *n, int64_t axis)
{
    const pln_value *from = n->in[0], *to = n->out[0];
    if ((!pln_node_is(n, "Squeeze") && !pln_node_is(n, "Reshape")) ||
        pln_value_rank(to) != pln_value_rank(from) - 1)
        return false;
    for (int i = 0; i < pln_value_rank(to); i++)
        if (!pln_dim_equal(to->type.shape.dims[i],
                           from->type.shape.dims[i < axis ? i : i + 1]))
            return false;
    return true;
}

/* One place that a Slice cuts out, wherever it ends: Squeeze takes one alone. */
static bool pick_squeezed(const pln_value *v, pln_pick *out)
{
    int64_t axes[PLN_MAX_RANK], axis, steps = 1;
    size_t count;
    const pln_node *n = v->def, *cut = pln_node_is(n, "Squeeze") ? n->in[0]->def : NULL;
    if (!cut || !pln_node_is(cut, "Slice") || cut->n_in < 4 || !cut->in[3] ||
        !pln_axes_of(n->in[1], pln_value_rank(n->in[0]), axes, &count) || count != 1 ||
        !pln_value_get_ints(cut->in[3], &axis, 1, &count) || count != 1 ||
        (cut->n_in > 4 && cut->in[4] &&
         (!pln_value_get_ints(cut->in[4], &steps, 1, &count) || count != 1)))
        return false;
    axis += axis < 0 ? pln_value_rank(cut->in[0]) : 0;
    if (axis != axes[0] || axis >= pln_value_rank(cut->in[0]) - 1 || steps < 1 ||
        !is_iteration(cut->in[1]))
        return false;
    *out = (pln_pick){ out->value, cut->in[0], (int)axis, PLN_PICK_EACH };
    return true;
}

static bool pick_cut(const pln_value *v, pln_pick *out)
{
    const pln_node *n = v->def;
    pln_piece piece;
    const bool squeezed = pln_node_is(n, "Squeeze") || pln_node_is(n, "Reshape");
    if (!pln_piece_of(squeezed ? n->in[0] : v, &piece) || piece.size != 1 ||
        piece.axis >= pln_value_rank(piece.of) - 1)
        return false;
    if (squeezed ? !squeezes(n, piece.axis) : piece.axis != 0)
        return false;
    out->of = piece.of;
    out->axis = (int)piece.axis;
    out->at = piece.start;
    return true;
}

/* The states of all steps, [steps, batch, hidden]; NULL: nobody reads them so. */
static pln_value *all_states(const pln_node *rnn)
{
    int64_t axes[PLN_MAX_RANK];
    size_t count;
    const pln_value *y = rnn->out[0];
    for (const pln_use *u = y ? y->uses : NULL; u; u = u->next)
        if (u->node && u->graph == y->graph && pln_node_is(u->node, "Squeeze") &&
            pln_axes_of(u->node->in[1], 4, axes, &count) && count == 1 && axes[0] == 1)
            return u->node->out[0];
    return NULL;
}

/* The last state of a recurrent operator is one of those of all its steps. */
static bool pick_last(pln_value *v, pln_pick *out)
{
    const pln_value *state = pln_cell_state(v);
    const pln_node *n = state->def;
    if (!n || state->slot != 1 || (n->n_in > 4 && n->in[4]) ||
        !(pln_node_is(n, "LSTM") || pln_node_is(n, "GRU") || pln_node_is(n, "RNN")))
        return false;
    const char *direction = pln_node_get_string(n, "direction", "forward");
    const bool back = !strcmp(direction, "reverse");
    out->of = back || !strcmp(direction, "forward") ? all_states(n) : NULL;
    out->axis = 0;
    out->at = !out->of ? -1 : back ? 0 : pln_value_size_at(out->of, 0) - 1;
    return out->at >= 0;
}

pln_pick pln_pick_of(pln_value *v)
{
    pln_pick p = { .value = v, .of = v, .axis = -1 };
    const pln_node *n = v->def;
    const bool found = !n ? pick_scanned(v, &p)
                       : pln_node_is(n, "Gather")
                           ? pick_gathered(n, &p)
                           : pick_last(v, &p) || pick_squeezed(v, &p) || pick_cut(v, &p);
    return found ? p : (pln_pick){ .value = v, .of = v, .axis = -1 };
}

bool pln_pick_equal(const pln_pick *a, const pln_pick *b)
{
    return a->of == b->of && a->axis == b->axis && a->at == b->at;
}

/* ---- sums ------------------------------------------------------------------------ */

typedef struct reading {
    const pln_pick
        *pick; /* the values read are all places, of which this is meant; NULL */
    pln_linear *out;
    int left;
} reading;

static bool read(reading *r, pln_value *v, int64_t col);

static bool is_f32_constant(const pln_value *v)
{
    return pln_value_is_const(v) && v->cst->dtype == PLN_DT_F32 &&
           pln_tensor_materialize(v->cst, NULL) == PLN_OK;
}

static bool add_bias(reading *r, pln_value *v, int64_t width, int64_t col)
{
    const int64_t count = pln_value_count(v);
    pln_linear *out = r->out;
    if (!is_f32_constant(v) || out->n_biases == PLN_CELL_BIASES || count < 1 ||
        (count != 1 && size_at_end(v) != width) ||
        (r->pick && count != 1 && count != width))
        return false;
    out->bias[out->n_biases] = v;
    out->bias_col[out->n_biases++] = count == 1 ? 0 : col;
    return true;
}

static bool read_product(reading *r, pln_value *x, const pln_matrix *m)
{
    pln_linear *out = r->out;
    pln_node *n = x->def;
    int64_t axis;
    if (n && pln_node_is(n, "Concat") && pln_node_axis(n, x, &axis) &&
        axis == pln_value_rank(x) - 1) {
        pln_matrix part = *m;
        for (uint32_t i = 0; i < n->n_in; i++) {
            const int64_t size = size_at_end(n->in[i]);
            if (size < 1 || --r->left < 0 || !read_product(r, n->in[i], &part))
                return false;
            part.row += size;
        }
        return true;
    }
    if (out->n == 2)
        return false;
    out->x[out->n] =
        r->pick ? (pln_pick){ NULL, x, r->pick->axis, r->pick->at } : pln_pick_of(x);
    out->m[out->n++] = *m;
    return true;
}

/* No operand is broadcast along what is picked or along the columns. */
static bool has_all_of(const reading *r, const pln_value *part, const pln_value *whole)
{
    const int rank = pln_value_rank(whole);
    if (size_at_end(whole) < 1 || size_at_end(part) != size_at_end(whole))
        return false;
    return !r->pick || (pln_value_rank(part) == rank &&
                        pln_dim_equal(part->type.shape.dims[r->pick->axis],
                                      whole->type.shape.dims[r->pick->axis]));
}

static bool read_addend(reading *r, pln_value *v, const pln_value *sum, int64_t col)
{
    if (pln_value_is_const(v))
        return add_bias(r, v, size_at_end(sum), col);
    return has_all_of(r, v, sum) && read(r, v, col);
}

static bool read_matmul(reading *r, const pln_node *n, int64_t col)
{
    const bool gemm = pln_node_is(n, "Gemm");
    pln_matrix m = { .w = n->in[1],
                     .turned = gemm && pln_node_get_int(n, "transB", 0),
                     .col = col };
    if (!is_f32_constant(m.w) || pln_value_rank(m.w) != 2)
        return false;
    if (gemm && (pln_node_get_float(n, "alpha", 1) != 1 ||
                 pln_node_get_int(n, "transA", 0) || r->pick))
        return false;
    if (gemm && n->n_in > 2 && n->in[2] &&
        (pln_node_get_float(n, "beta", 1) != 1 ||
         !read_addend(r, n->in[2], n->out[0], col)))
        return false;
    return pln_value_rank(n->in[0]) >= 2 && read_product(r, n->in[0], &m);
}

static bool read_sum(reading *r, const pln_node *n, int64_t col)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!read_addend(r, n->in[i], n->out[0], col))
            return false;
    return true;
}

static bool read_scaled(reading *r, pln_node *n, int64_t col)
{
    const int at = pln_value_is_const(n->in[0]) ? 0 : 1;
    pln_linear *out = r->out;
    if (r->pick || col || out->gated)
        return false;
    out->gated = n;
    if (is_f32_constant(n->in[at]) && size_at_end(n->in[at]) == size_at_end(n->out[0]) &&
        pln_value_count(n->in[at]) == size_at_end(n->out[0])) {
        out->diag = n->in[at];
        out->diag_of = n->in[1 - at];
    }
    return true;
}

static bool read_picked(reading *r, pln_value *v, int64_t col)
{
    const pln_pick p = pln_pick_of(v);
    if (p.axis < 0 || r->pick)
        return false;
    r->pick = &p;
    const bool good = read(r, p.of, col);
    r->pick = NULL;
    return good;
}

static bool read(reading *r, pln_value *v, int64_t col)
{
    pln_piece piece;
    pln_node *n = v->def;
    if (--r->left < 0)
        return false;
    if (pln_value_is_const(v))
        return add_bias(r, v, size_at_end(v), col);
    if (!n)
        return read_picked(r, v, col);
    if (pln_node_is(n, "MatMul") || pln_node_is(n, "Gemm"))
        return read_matmul(r, n, col);
    if (pln_node_is(n, "Add") || pln_node_is(n, "Sum"))
        return read_sum(r, n, col);
    if (pln_node_is(n, "Mul"))
        return read_scaled(r, n, col);
    if (pln_piece_of(v, &piece) && piece.axis == pln_value_rank(v) - 1 && piece.step == 1)
        return read(r, piece.of, col + piece.start);
    return read_picked(r, v, col);
}

bool pln_linear_read(pln_value *v, int64_t col, pln_linear *out)
{
    *out = (pln_linear){ .n = 0 };
    reading r = { .out = out, .left = MOST_STEPS };
    return size_at_end(v) > 0 && read(&r, v, col);
}

static int64_t width_of(const pln_tensor *t)
{
    return pln_tensor_size(t) == 1 ? 1 : t->dims[t->rank - 1];
}

/* The same in all rows, and as many as there are columns. */
static bool bias_fits(const pln_tensor *t, int64_t col, int64_t hidden)
{
    const int64_t count = pln_tensor_size(t), width = width_of(t);
    if (count != 1 && col > width - hidden)
        return false;
    for (int64_t row = width; row < count; row += width)
        for (int64_t i = col; i < col + hidden; i++)
            if (pln_tensor_get_f64(t, row + i) != pln_tensor_get_f64(t, i))
                return false;
    return true;
}

bool pln_linear_fits(const pln_linear *l, int64_t hidden)
{
    bool all = true;
    for (int k = 0; k < l->n_biases; k++)
        all &= bias_fits(l->bias[k]->cst, l->bias_col[k], hidden);
    return all;
}

double pln_linear_bias(const pln_linear *l, int64_t i)
{
    double sum = 0;
    for (int k = 0; k < l->n_biases; k++) {
        const pln_tensor *t = l->bias[k]->cst;
        sum += pln_tensor_get_f64(t, pln_tensor_size(t) == 1 ? 0 : l->bias_col[k] + i);
    }
    return sum;
}
