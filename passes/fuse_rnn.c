/* fuse-rnn: recurrent networks that exporters wrote as the nodes of their steps, one
 * after the other or as the body of a Loop or Scan, become LSTM, GRU and RNN.
 *
 *     c = sigmoid(f) c' + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c)     of each step
 *     h = (1 - z) n + z h'
 *     h = tanh(x W + h' R + b)
 *
 * Steps belong together if their weights are the same and each begins with the state that
 * the one before gives. Hidden states that are read elsewhere are taken out of the node's
 * first output. SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_rnn.h"
#include "passes/cut.h"

#include <string.h>

#define MOST_STEPS 1024
#define MOST_READ  64 /* hidden states that are read one by one */

/* Steps, the last one first. */
typedef struct chain {
    pln_cell **cell;
    int n;
} chain;

/* ---- finding the steps ----------------------------------------------------------- */

static bool same_state(pln_value *a, pln_value *b)
{
    return pln_cell_state(a) == pln_cell_state(b);
}

/* What the state may be that a step begins with; the last one is zeros. */
static int candidates(const pln_cell *c, pln_value **out)
{
    int n = 0;
    if (c->native || c->kind == PLN_CELL_GRU) {
        out[0] = c->h_prev;
        return 1;
    }
    for (int k = 0; k < c->gate[0].n; k++)
        if (c->gate[0].x[k].value)
            out[n++] = c->gate[0].x[k].value;
    out[n++] = NULL;
    return n;
}

static bool has_all_weights(const pln_cell *c)
{
    if (c->native)
        return true;
    for (int g = 0; g < pln_cell_gates(c); g++)
        if (!c->w[g].w || !c->r[g].w)
            return false;
    return true;
}

/* The step before `next`, settled. */
static pln_cell *step_before(pln_pass_ctx *ctx, const pln_cell *next)
{
    pln_value *from = next->h_prev ? pln_cell_state(next->h_prev) : NULL, *try[3];
    pln_cell *c = from && from->def ? PLN_NEW(ctx->scratch, pln_cell) : NULL;
    if (!c || !pln_cell_read(from, c) ||
        (c->kind == PLN_CELL_LSTM &&
         (!c->c || !next->c_prev || !same_state(c->c, next->c_prev))))
        return NULL;
    const int n = candidates(c, try);
    for (int i = 0; i < n; i++)
        if (pln_cell_settle(c, try[i]) && pln_cell_same(c, next))
            return c;
    return NULL;
}

static bool follow(pln_pass_ctx *ctx, pln_cell *last, chain *out)
{
    const size_t most = MOST_STEPS;
    out->n = 0;
    if (!out->cell)
        out->cell = PLN_NEW_ARRAY(ctx->scratch, pln_cell *, most);
    if (!out->cell)
        return false;
    for (pln_cell *c = last; c && out->n < MOST_STEPS; c = step_before(ctx, c))
        out->cell[out->n++] = c;
    return true;
}

static bool begins_with(pln_pass_ctx *ctx, pln_cell *last, pln_value *state, chain *out)
{
    return pln_cell_settle(last, state) && has_all_weights(last) &&
           follow(ctx, last, out);
}

/* The steps that end here: more than one, if any of the candidates makes it so. */
static bool find_chain(pln_pass_ctx *ctx, pln_value *h, chain *out)
{
    pln_value *try[3];
    pln_cell *last = PLN_NEW(ctx->scratch, pln_cell);
    if (!last || !pln_cell_read(h, last))
        return false;
    const int n = candidates(last, try);
    int found = n;
    for (int i = 0; i < n; i++) {
        if (!begins_with(ctx, last, try[i], out))
            continue;
        if (out->n > 1)
            return true;
        found = i < found ? i : found;
    }
    return found < n && begins_with(ctx, last, try[found], out);
}

static const pln_cell *first_of(const chain *c)
{
    return c->cell[c->n - 1];
}

/* Step k in the order in which they run. */
static const pln_cell *step(const chain *c, int k)
{
    return c->cell[c->n - 1 - k];
}

/* ---- what goes away -------------------------------------------------------------- */

/* Nodes that nobody needs when the states of the steps come from elsewhere. */
typedef struct fate {
    pln_map given; /* values that come from elsewhere */
    pln_map gone;  /* values to the number of their uses that go, nodes that go to
                      themselves */
    pln_node **stack;
    size_t top, cap;
    int n_dead;
    bool failed;
} fate;

static uintptr_t gone_uses(const fate *f, const pln_value *v)
{
    return (uintptr_t)pln_map_get(&f->gone, v);
}

static bool is_dead(const fate *f, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_value *v = n->out[i];
        if (v && !pln_map_has(&f->given, v) && gone_uses(f, v) < v->n_uses)
            return false;
    }
    return !(pln_node_traits(n) & (PLN_OP_EFFECT | PLN_OP_CONTROL));
}

static void consider(fate *f, pln_node *n)
{
    if (!n || pln_map_has(&f->gone, n) || !is_dead(f, n))
        return;
    if (f->top == f->cap || !pln_map_put(&f->gone, n, n)) {
        f->failed = true;
        return;
    }
    f->stack[f->top++] = n;
    f->n_dead++;
}

static void spread_death(fate *f)
{
    while (f->top && !f->failed) {
        const pln_node *n = f->stack[--f->top];
        for (uint32_t i = 0; i < n->n_in; i++) {
            pln_value *v = n->in[i];
            if (!v)
                continue;
            f->failed |= !pln_map_put(&f->gone, v, (void *)(gone_uses(f, v) + 1));
            consider(f, v->def);
        }
    }
}

static bool give(fate *f, pln_value *v)
{
    return pln_map_put(&f->given, v, v);
}

static bool is_gone(const fate *f, const pln_value *v)
{
    return gone_uses(f, v) == v->n_uses;
}

/* ---- steps collected by Concat --------------------------------------------------- */

typedef struct stacked {
    pln_node *concat; /* NULL: none */
    int64_t axis;
    bool backwards; /* the last step comes first */
} stacked;

/* Part i of the Concat is state h, with an axis of size 1 where the Concat is. */
static bool is_part(const pln_node *concat, int64_t axis, uint32_t i, const pln_value *h)
{
    const pln_value *v = concat->in[i];
    int64_t axes[PLN_MAX_RANK];
    size_t n;
    if (v == h)
        return pln_value_rank(h) == 3 && axis == 0;
    const pln_node *u = v->def;
    return u && pln_node_is(u, "Unsqueeze") && u->in[0] == h && pln_value_rank(h) == 2 &&
           pln_axes_of(u->in[1], 3, axes, &n) && n == 1 && axes[0] == axis;
}

static bool stacks(const chain *c, const pln_node *n, stacked *s)
{
    int64_t axis;
    if (!pln_node_is(n, "Concat") || n->n_in != (uint32_t)c->n ||
        !pln_node_axis(n, n->out[0], &axis) || axis > 1)
        return false;
    for (int back = 0; back < 2; back++) {
        bool all = true;
        for (int k = 0; all && k < c->n; k++)
            all = is_part(n, axis, (uint32_t)k, back ? c->cell[k]->h : step(c, k)->h);
        if (all) {
            *s = (stacked){ (pln_node *)(uintptr_t)n, axis, back != 0 };
            return true;
        }
    }
    return false;
}

static void find_stack(const chain *c, stacked *s)
{
    *s = (stacked){ .concat = NULL };
    if (c->n < 2)
        return;
    for (const pln_use *u = first_of(c)->h->uses; u; u = u->next) {
        if (!u->node || u->graph != first_of(c)->h->graph)
            continue;
        if (stacks(c, u->node, s))
            return;
        const pln_value *v = u->node->n_out ? u->node->out[0] : NULL;
        for (const pln_use *w = v ? v->uses : NULL; w; w = w->next)
            if (w->node && w->graph == v->graph && stacks(c, w->node, s))
                return;
    }
}

/* ---- the input ------------------------------------------------------------------- */

typedef struct source {
    pln_value *of; /* NULL: the values of the steps, one by one */
    int axis;
    int64_t start;
    bool reverse;
} source;

static bool find_source(const chain *c, source *s)
{
    const pln_pick *x = &step(c, 0)->x;
    *s = (source){ x->of, x->axis, x->at, false };
    if (x->axis < 0 || x->axis > 1 || pln_value_rank(x->of) != 3 || x->at < 0)
        return false;
    for (int back = 0; back < 2; back++) {
        bool all = true;
        for (int k = 0; all && k < c->n; k++) {
            const pln_pick *y = &step(c, k)->x;
            all = y->of == x->of && y->axis == x->axis &&
                  y->at == (back ? x->at - k : x->at + k);
        }
        if (!all)
            continue;
        s->reverse = back && c->n > 1;
        s->start = back ? x->at - (c->n - 1) : x->at;
        return true;
    }
    return false;
}

static bool same_batch(const pln_value *x, int axis, const pln_value *h)
{
    return pln_dim_equal(x->type.shape.dims[axis],
                         h->type.shape.dims[pln_value_rank(h) - 2]);
}

/* [steps, batch, input] of the steps there are. */
static pln_value *emit_source(pln_patch *p, const chain *c, const source *s)
{
    pln_value *v = s->of;
    if (!pln_dim_is(v->type.shape.dims[s->axis], c->n)) {
        const int64_t end = s->start + c->n, axis = s->axis;
        pln_value *from = pln_patch_ints(p, &s->start, 1, "starts");
        pln_value *to = pln_patch_ints(p, &end, 1, "ends");
        pln_value *in[4] = { v, from, to, pln_patch_ints(p, &axis, 1, "axes") };
        pln_node *n = pln_patch_add(p, "Slice", in, 4, 1);
        v = n ? n->out[0] : NULL;
    }
    return s->axis ? pln_patch_transpose(p, v, (int64_t[]){ 1, 0, 2 }, 3) : v;
}

static pln_value *emit_single(pln_patch *p, pln_value *x)
{
    if (pln_value_rank(x) == 3)
        return x;
    pln_value *axes = pln_patch_ints(p, (int64_t[]){ 0 }, 1, "axes");
    return pln_patch_op2(p, "Unsqueeze", x, axes);
}

/* A single step's input, as it is. */
static bool is_single(const chain *c)
{
    const pln_value *x = step(c, 0)->x.value;
    const int rank = x ? pln_value_rank(x) : 0;
    return c->n == 1 && !step(c, 0)->native &&
           (rank == 2 || (rank == 3 && pln_dim_is(x->type.shape.dims[0], 1))) &&
           same_batch(x, rank - 2, step(c, 0)->h);
}

/* ---- building -------------------------------------------------------------------- */

static bool is_zero(const pln_value *v)
{
    double zero;
    return !v || (pln_value_is_uniform(v, &zero) && zero == 0);
}

/* The state that the first step begins with has all elements. */
static bool is_whole(const pln_value *v, const pln_value *h)
{
    const int a = v ? pln_value_rank(v) : 0, b = pln_value_rank(h);
    return is_zero(v) ||
           ((a == 2 || (a == 3 && pln_dim_is(v->type.shape.dims[0], 1))) &&
            pln_dim_equal(v->type.shape.dims[a - 1], h->type.shape.dims[b - 1]) &&
            pln_dim_equal(v->type.shape.dims[a - 2], h->type.shape.dims[b - 2]));
}

typedef struct job {
    pln_pass_ctx *ctx;
    uint64_t growth; /* of the file, beyond what the nodes took */
    chain c;
    source from;
    stacked all;
    fate fate;
    bool singly; /* one step alone, whose input is no place of a sequence */
    const char *why;
} job;

static bool refuse(job *j, const char *why)
{
    j->why = why;
    return false;
}

static int64_t freed_by(const job *j, pln_value **seen, int *n_seen, pln_value *v)
{
    for (int i = 0; i < *n_seen; i++)
        if (seen[i] == v)
            return 0;
    seen[(*n_seen)++] = v;
    return is_gone(&j->fate, v) ? pln_value_count(v) * (int64_t)sizeof(float) : 0;
}

/* Bytes of the constants that the steps no longer need. */
static int64_t freed_bytes(const job *j)
{
    const pln_cell *c = j->c.cell[0];
    pln_value *seen[64];
    int n = 0;
    int64_t bytes = 0;
    for (int g = 0; g < pln_cell_gates(c); g++) {
        bytes += freed_by(j, seen, &n, c->w[g].w);
        bytes += freed_by(j, seen, &n, c->r[g].w);
        for (int k = 0; k < c->gate[g].n_biases; k++)
            bytes += freed_by(j, seen, &n, c->gate[g].bias[k]);
    }
    for (int k = 0; k < c->behind.n_biases; k++)
        bytes += freed_by(j, seen, &n, c->behind.bias[k]);
    return bytes;
}

#define BYTES_OF_NODE 48 /* at least, in a file */

/* The weights are written anew, so that the old ones have to go. */
static bool pays(job *j)
{
    const pln_cell *c = j->c.cell[0];
    const int64_t more = pln_sequence_bytes(c) - (c->native ? 0 : freed_bytes(j)) -
                         (int64_t)j->fate.n_dead * BYTES_OF_NODE;
    j->growth = more > 0 && !j->ctx->options->session ? (uint64_t)more : 0;
    return j->growth <= j->ctx->fold_left ||
           refuse(j, "its weights are used elsewhere, too");
}

static bool begin_fate(job *j)
{
    const pln_graph *g = first_of(&j->c)->h->graph;
    j->fate.cap = (size_t)g->n_nodes + 1;
    j->fate.stack = PLN_NEW_ARRAY(j->ctx->scratch, pln_node *, j->fate.cap);
    bool good = j->fate.stack != NULL;
    for (int k = 0; k < j->c.n && good; k++)
        good = give(&j->fate, j->c.cell[k]->h);
    if (good && j->c.cell[0]->c)
        good = give(&j->fate, j->c.cell[0]->c);
    if (good && j->all.concat)
        good = give(&j->fate, j->all.concat->out[0]);
    if (!good)
        return refuse(j, "no memory");
    if (j->all.concat)
        consider(&j->fate, j->all.concat->out[0]->def);
    for (int k = 0; k < j->c.n; k++)
        consider(&j->fate, j->c.cell[k]->h->def);
    if (j->c.cell[0]->c)
        consider(&j->fate, j->c.cell[0]->c->def);
    spread_death(&j->fate);
    return !j->fate.failed || refuse(j, "no memory");
}

static bool reads_memory(const job *j)
{
    const pln_value *c = j->c.cell[0]->c;
    return c && !is_gone(&j->fate, c);
}

static int read_singly(const job *j)
{
    int n = 0;
    for (int k = 1; k < j->c.n; k++)
        n += !is_gone(&j->fate, j->c.cell[k]->h);
    return n;
}

static bool can_do(job *j)
{
    const pln_cell *first = first_of(&j->c), *last = j->c.cell[0];
    const bool sequence = find_source(&j->c, &j->from);
    if (j->c.n == 1 && (last->native || last->kind == PLN_CELL_RNN))
        return false;
    if (j->singly ? !is_single(&j->c) : j->c.n < 2)
        return false;
    if (!j->singly && !sequence)
        return refuse(j, "the inputs of the steps are not the places of one value");
    if (!j->singly && !same_batch(j->from.of, 1 - j->from.axis, last->h))
        return refuse(j, "input and state may differ in batch");
    if (!is_whole(first->h_prev, last->h) || !is_whole(first->c_prev, last->h))
        return refuse(j, "the first state is not of the shape of the others");
    find_stack(&j->c, &j->all);
    if (!begin_fate(j))
        return false;
    if (read_singly(j) > MOST_READ)
        return refuse(j, "too many hidden states are read elsewhere");
    return pays(j);
}

/* What was collected step by step. */
static pln_value *emit_stack(pln_patch *p, const job *j, pln_value *states)
{
    const bool flip = j->all.backwards != j->from.reverse;
    pln_value *v = states;
    if (flip) {
        pln_value *from = pln_patch_ints(p, (int64_t[]){ -1 }, 1, "starts");
        pln_value *to = pln_patch_ints(p, (int64_t[]){ INT64_MIN }, 1, "ends");
        pln_value *axes = pln_patch_ints(p, (int64_t[]){ 0 }, 1, "axes");
        pln_value *in[5] = { v, from, to, axes, from };
        pln_node *n = pln_patch_add(p, "Slice", in, 5, 1);
        v = n ? n->out[0] : NULL;
    }
    return j->all.axis ? pln_patch_transpose(p, v, (int64_t[]){ 1, 0, 2 }, 3) : v;
}

static pln_value *emit_step(pln_patch *p, const job *j, pln_value *states, int k)
{
    const int64_t at = j->from.reverse ? j->c.n - 1 - k : k;
    pln_value *i = pln_patch_scalar(p, PLN_DT_S64, (double)at, "step");
    return pln_patch_op2(p, "Gather", states, i);
}

static void replace_states(pln_patch *p, const job *j, pln_node *n)
{
    const pln_cell *last = j->c.cell[0];
    pln_value *states = n->out[0];
    if (states && pln_value_rank(last->h) == 2) {
        pln_value *axes = pln_patch_ints(p, (int64_t[]){ 1 }, 1, "axes");
        states = pln_patch_op2(p, "Squeeze", states, axes);
    }
    for (int k = 0; k + 1 < j->c.n; k++)
        if (!is_gone(&j->fate, step(&j->c, k)->h))
            pln_patch_replace(p, step(&j->c, k)->h, emit_step(p, j, states, k));
    if (j->all.concat) {
        pln_value *v = states;
        if (pln_value_rank(last->h) == 3) {
            pln_value *axes = pln_patch_ints(p, (int64_t[]){ 1 }, 1, "axes");
            v = pln_patch_op2(p, "Squeeze", states, axes);
        }
        pln_patch_replace(p, j->all.concat->out[0], emit_stack(p, j, v));
    }
    if (!is_gone(&j->fate, last->h))
        pln_patch_replace(p, last->h, pln_sequence_state(p, n, 1, last->h));
    if (reads_memory(j))
        pln_patch_replace(p, last->c, pln_sequence_state(p, n, 2, last->c));
}

static void build(pln_patch *p, job *j)
{
    const pln_cell *first = first_of(&j->c), *last = j->c.cell[0];
    const bool y = j->all.concat || read_singly(j);
    pln_value *x =
        j->singly ? emit_single(p, first->x.value) : emit_source(p, &j->c, &j->from);
    const pln_sequence s = { .cell = last,
                             .x = x,
                             .h0 = is_zero(first->h_prev) ? NULL : first->h_prev,
                             .c0 = is_zero(first->c_prev) ? NULL : first->c_prev,
                             .reverse = j->from.reverse && !j->singly };
    const uint32_t n_out = reads_memory(j) ? 3 : is_gone(&j->fate, last->h) ? 1 : 2;
    pln_node *n = x ? pln_sequence_emit(p, &s, y, n_out) : NULL;
    if (n)
        replace_states(p, j, n);
}

/* The first of the nodes whose results are replaced. */
static pln_node *place_of(const job *j)
{
    const pln_cell *first = first_of(&j->c);
    return first->c && !first->native ? first->c->def : first->h->def;
}

static pln_status commit(job *j, bool *done, pln_error *err)
{
    char why[256] = "";
    pln_patch p;
    pln_node *root = j->c.cell[0]->h->def;
    pln_patch_begin(&p, j->ctx, place_of(j));
    build(&p, j);
    const int saved = j->fate.n_dead - p.n_nodes;
    if (saved < 1) {
        pln_patch_abort(&p);
        pln_pass_explain(j->ctx, root, NULL, "it would not be fewer nodes");
        return PLN_OK;
    }
    const pln_status st =
        pln_patch_commit(&p, NULL, root, NULL, NULL, why, sizeof why, err);
    *done = st == PLN_OK;
    if (*done)
        j->ctx->fold_left -= j->growth;
    if (st == PLN_E_UNSUPPORTED && *why)
        pln_pass_explain(j->ctx, root, NULL, why);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
}

/* ---- the pass -------------------------------------------------------------------- */

static pln_status visit(pln_pass_ctx *ctx, pln_value *h, bool singly, bool *done,
                        pln_map *seen, pln_error *err)
{
    job j = { .ctx = ctx, .singly = singly };
    if (!find_chain(ctx, h, &j.c))
        return PLN_OK;
    if (singly)
        j.c.n = 1;
    pln_map_init(&j.fate.given, ctx->model->alloc);
    pln_map_init(&j.fate.gone, ctx->model->alloc);
    pln_node *root = h->def;
    pln_status st = PLN_OK;
    if (can_do(&j))
        st = commit(&j, done, err);
    else if (j.why)
        pln_pass_explain(ctx, root, NULL, j.why);
    for (int k = 0; k < j.c.n && !*done; k++)
        if (!pln_map_put(seen, j.c.cell[k]->h, h))
            st = pln_oom(err);
    pln_map_done(&j.fate.given);
    pln_map_done(&j.fate.gone);
    return st;
}

static bool may_end(const pln_node *n)
{
    static const char *const ops[] = { "Mul",     "Add",  "Sub", "Tanh", "Relu",
                                       "Sigmoid", "LSTM", "GRU", "RNN" };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (pln_node_is(n, ops[i]))
            return true;
    return false;
}

/* From the end, where the last step of each chain is met first. */
static pln_status sweep(pln_pass_ctx *ctx, pln_graph *g, bool singly, bool *any,
                        pln_error *err)
{
    pln_map seen;
    pln_status st = PLN_OK;
    pln_map_init(&seen, ctx->model->alloc);
    for (pln_node *n = g->last, *prev; n && st == PLN_OK; n = prev) {
        bool done = false;
        prev = n->prev;
        pln_value *h = !may_end(n) ? NULL : n->n_out > 1 ? n->out[1] : n->out[0];
        if (h && !pln_map_has(&seen, h))
            st = visit(ctx, h, singly, &done, &seen, err);
        if (done)
            prev = g->last;
        *any |= done;
    }
    pln_map_done(&seen);
    return st;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        bool done = false;
        next = n->next;
        PLN_TRY(pln_rnn_of_loop(ctx, n, &done, err));
    }
    for (bool again = true; again;) {
        again = false;
        PLN_TRY(sweep(ctx, g, false, &again, err));
        if (!again)
            PLN_TRY(sweep(ctx, g, true, &again, err));
    }
    return PLN_OK;
}

const pln_pass pln_pass_fuse_rnn = {
    .name = "fuse-rnn",
    .brief = "turns the steps of recurrent networks into LSTM, GRU and RNN",
    .run = run,
    .contract = PLN_REASSOC,
};
