/* Recurrence in the type REAL (PLN_DT_WORK). The includer defines
 *
 *   PRODUCT(y, ld_y, x, ld_x, m, ld_m, rows, k, n, many, threads)
 *       y[rows][n] = x[rows][k] m[k][n], with the distances from row to row; `many` says
 *       how, not the rows at hand
 *   ACT(act, v, n)
 *       activation in place
 *   NAME(x)
 *       symbol for this type
 *
 * SPDX-License-Identifier: Apache-2.0 */

typedef struct NAME(rnn) {
    pln_call *c;
    const pln_rnn_attrs *a;
    pln_rnn_sizes s;
    const REAL *wt; /* [dirs][input][pitch], of which gates x hidden are used */
    const REAL *rt; /* [dirs][hidden][pitch] */
    const REAL *x;
    REAL *xw;   /* [dirs][rows of x][gates x hidden] */
    REAL *work; /* for each sequence: a lane */
    REAL *bias; /* [dirs][gates x hidden], added to xw */
    REAL *rb;   /* [dirs][hidden] that GRU's reset gate scales */
    REAL *peep; /* [dirs][3 x hidden] or NULL */
} NAME(rnn);

/* Rows that lie a multiple of 1 KB apart would share few lines of a cache. */
static int64_t NAME(pitch)(int64_t n)
{
    return n % 256 ? n : n + 16;
}

static int64_t NAME(row)(const NAME(rnn) * r, int64_t t, int64_t b)
{
    return r->a->layout ? b * r->s.steps + t : t * r->s.batch + b;
}

static void NAME(clip)(const NAME(rnn) * r, REAL *v, int64_t n)
{
    const REAL m = r->a->clip;
    if (!r->a->has_clip || !(m > 0))
        return;
    for (int64_t i = 0; i < n; i++)
        v[i] = v[i] > m ? m : v[i] < -m ? -m : v[i];
}

static void NAME(gate)(const NAME(rnn) * r, int64_t d, int act, REAL *v)
{
    NAME(clip)(r, v, r->s.hidden);
    ACT(&r->a->act[d * r->a->n_acts + act], v, r->s.hidden);
}

static void NAME(add)(REAL *y, const REAL *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* One sequence's numbers: hidden state, memory, two vectors, gates, products with the
 * state. */
typedef struct NAME(lane) {
    REAL *h, *c, *t, *u, *g, *p;
} NAME(lane);

static int64_t NAME(lane_size)(const pln_rnn_sizes *s)
{
    return 4 * s->hidden + 2 * s->gates * s->hidden;
}

static NAME(lane) NAME(lane_at)(const NAME(rnn) * r, int64_t d, int64_t b)
{
    const int64_t n = r->s.hidden;
    REAL *h = r->work + (d * r->s.batch + b) * NAME(lane_size)(&r->s);
    return (NAME(lane)){ h,         h + n,     h + 2 * n,
                         h + 3 * n, h + 4 * n, h + 4 * n + r->s.gates * n };
}

/* p[.., at] = x R[.., at], for columns from `at` on of sequences [b0, b1). */
static void NAME(times_r)(const NAME(rnn) * r, int64_t d, int64_t b0, int64_t b1,
                          const REAL *x, int64_t at, int64_t cols)
{
    const int64_t n = r->s.hidden, ld = NAME(lane_size)(&r->s);
    const int64_t pitch = NAME(pitch)(r->s.gates * n);
    PRODUCT(NAME(lane_at)(r, d, b0).p + at, ld, x, ld, r->rt + d * n * pitch + at, pitch,
            b1 - b0, n, cols, r->s.batch, 1);
}

/* Gates i, o, f, c. */
static void NAME(lstm)(const NAME(rnn) * r, int64_t d, const NAME(lane) * l)
{
    const int64_t n = r->s.hidden;
    const REAL *p = r->peep ? r->peep + d * 3 * n : NULL;
    REAL *gi = l->g, *go = gi + n, *gf = gi + 2 * n, *gc = gi + 3 * n, *c = l->c;
    NAME(add)(gi, l->p, 4 * n);
    for (int64_t i = 0; p && i < n; i++) {
        gi[i] += p[i] * c[i];
        gf[i] += p[2 * n + i] * c[i];
    }
    NAME(gate)(r, d, 0, gi);
    if (r->a->input_forget) {
        for (int64_t i = 0; i < n; i++)
            gf[i] = 1 - gi[i];
    } else {
        NAME(gate)(r, d, 0, gf);
    }
    NAME(gate)(r, d, 1, gc);
    for (int64_t i = 0; i < n; i++)
        c[i] = gf[i] * c[i] + gi[i] * gc[i];
    for (int64_t i = 0; p && i < n; i++)
        go[i] += p[n + i] * c[i];
    NAME(gate)(r, d, 0, go);
    memcpy(l->t, c, (size_t)n * sizeof *c);
    NAME(gate)(r, d, 2, l->t);
    for (int64_t i = 0; i < n; i++)
        l->h[i] = go[i] * l->t[i];
}

/* Gates z, r, h: the first two, and what the reset gate leaves of the state. */
static void NAME(gru_reset)(const NAME(rnn) * r, int64_t d, const NAME(lane) * l)
{
    const int64_t n = r->s.hidden;
    REAL *gr = l->g + n, *ph = l->p + 2 * n;
    NAME(add)(l->g, l->p, 2 * n);
    NAME(gate)(r, d, 0, l->g);
    NAME(gate)(r, d, 0, gr);
    for (int64_t i = 0; !r->a->linear_before_reset && i < n; i++)
        l->u[i] = gr[i] * l->h[i];
    for (int64_t i = 0; r->a->linear_before_reset && i < n; i++)
        ph[i] = gr[i] * (ph[i] + r->rb[d * n + i]);
}

static void NAME(gru)(const NAME(rnn) * r, int64_t d, const NAME(lane) * l)
{
    const int64_t n = r->s.hidden;
    REAL *gz = l->g, *gh = l->g + 2 * n, *h = l->h;
    NAME(add)(gh, l->p + 2 * n, n);
    NAME(gate)(r, d, 1, gh);
    for (int64_t i = 0; i < n; i++)
        h[i] = (1 - gz[i]) * gh[i] + gz[i] * h[i];
}

static void NAME(plain)(const NAME(rnn) * r, int64_t d, const NAME(lane) * l)
{
    NAME(add)(l->g, l->p, r->s.hidden);
    NAME(gate)(r, d, 0, l->g);
    memcpy(l->h, l->g, (size_t)r->s.hidden * sizeof *l->h);
}

static int64_t NAME(state_at)(const NAME(rnn) * r, int64_t d, int64_t b)
{
    return (r->a->layout ? b * r->s.dirs + d : d * r->s.batch + b) * r->s.hidden;
}

static int64_t NAME(y_at)(const NAME(rnn) * r, int64_t t, int64_t d, int64_t b)
{
    return (r->a->layout ? (b * r->s.steps + t) * r->s.dirs + d
                         : (t * r->s.dirs + d) * r->s.batch + b) *
           r->s.hidden;
}

static void NAME(load_state)(const NAME(rnn) * r, uint32_t i, int64_t at, REAL *v)
{
    if (pln_call_has(r->c, i))
        pln_block_load(PLN_DT_WORK, v, r->c->in[i], at, 1, r->s.hidden);
    else
        memset(v, 0, (size_t)r->s.hidden * sizeof *v);
}

static int64_t NAME(length)(const NAME(rnn) * r, int64_t b)
{
    return r->s.lens ? r->s.lens[b] : r->s.steps;
}

/* Where step i of sequence b is; past the end: the place that stays 0. */
static int64_t NAME(place)(const NAME(rnn) * r, int64_t d, int64_t b, int64_t i)
{
    const int64_t len = NAME(length)(r, b);
    const bool reverse = r->a->direction == 1 || d == 1;
    return i < len && reverse ? len - 1 - i : i;
}

/* Step i of sequences [b0, b1). What is computed for those past their end is not used. */
static void NAME(step)(const NAME(rnn) * r, int64_t d, int64_t b0, int64_t b1, int64_t i)
{
    const int64_t n = r->s.hidden, gh = r->s.gates * n;
    const bool gru = r->s.gates == 3, late = gru && !r->a->linear_before_reset;
    const NAME(lane) first = NAME(lane_at)(r, d, b0);
    NAME(times_r)(r, d, b0, b1, first.h, 0, late ? 2 * n : gh);
    for (int64_t b = b0; b < b1; b++) {
        const NAME(lane) l = NAME(lane_at)(r, d, b);
        const int64_t row = NAME(row)(r, NAME(place)(r, d, b, i), b);
        memcpy(l.g, r->xw + (d * r->s.steps * r->s.batch + row) * gh,
               (size_t)gh * sizeof *l.g);
        if (gru)
            NAME(gru_reset)(r, d, &l);
    }
    if (late)
        NAME(times_r)(r, d, b0, b1, first.u, 2 * n, n);
    for (int64_t b = b0; b < b1; b++) {
        const NAME(lane) l = NAME(lane_at)(r, d, b);
        if (i < NAME(length)(r, b))
            (r->s.gates == 4 ? NAME(lstm) : gru ? NAME(gru) : NAME(plain))(r, d, &l);
        else
            memset(l.t, 0, (size_t)n * sizeof *l.t);
        if (pln_call_wants(r->c, 0))
            pln_block_store(r->c->out[0], NAME(y_at)(r, NAME(place)(r, d, b, i), d, b), 1,
                            PLN_DT_WORK, i < NAME(length)(r, b) ? l.h : l.t, n);
    }
}

/* Sequences [b0, b1) in one direction. */
static void NAME(sequences)(const NAME(rnn) * r, int64_t d, int64_t b0, int64_t b1)
{
    for (int64_t b = b0; b < b1; b++) {
        const NAME(lane) l = NAME(lane_at)(r, d, b);
        NAME(load_state)(r, 5, NAME(state_at)(r, d, b), l.h);
        if (r->s.gates == 4)
            NAME(load_state)(r, 6, NAME(state_at)(r, d, b), l.c);
    }
    for (int64_t i = 0; i < r->s.steps; i++)
        NAME(step)(r, d, b0, b1, i);
    for (int64_t b = b0; b < b1; b++) {
        const NAME(lane) l = NAME(lane_at)(r, d, b);
        const int64_t at = NAME(state_at)(r, d, b);
        if (pln_call_wants(r->c, 1))
            pln_block_store(r->c->out[1], at, 1, PLN_DT_WORK, l.h, r->s.hidden);
        if (pln_call_wants(r->c, 2))
            pln_block_store(r->c->out[2], at, 1, PLN_DT_WORK, l.c, r->s.hidden);
    }
}

static void NAME(lanes)(void *arg, int64_t begin, int64_t end)
{
    const NAME(rnn) *r = (const NAME(rnn) *)arg;
    while (begin < end) {
        const int64_t d = begin / r->s.batch, b = begin % r->s.batch;
        const int64_t n = r->s.batch - b < end - begin ? r->s.batch - b : end - begin;
        NAME(sequences)(r, d, b, b + n);
        begin += n;
    }
}

/* W [dirs][n][k] as [dirs][k][pitch]. */
static void NAME(transpose)(REAL *out, const pln_tensor *w, REAL *line)
{
    const int64_t n = w->dims[1], k = w->dims[2];
    for (int64_t d = 0; d < w->dims[0]; d++)
        for (int64_t i = 0; i < n; i++) {
            pln_block_load(PLN_DT_WORK, line, w, (d * n + i) * k, 1, k);
            for (int64_t j = 0; j < k; j++)
                out[(d * k + j) * NAME(pitch)(n) + i] = line[j];
        }
}

/* Wb and Rb go to the input's product, but for the Rb that GRU's reset gate scales. */
static void NAME(load_bias)(NAME(rnn) * r, REAL *line)
{
    const int64_t n = r->s.hidden, gh = r->s.gates * n;
    const int64_t together = r->s.gates == 3 && r->a->linear_before_reset ? 2 * n : gh;
    memset(r->bias, 0, (size_t)(r->s.dirs * gh) * sizeof *line);
    memset(r->rb, 0, (size_t)(r->s.dirs * n) * sizeof *line);
    for (int64_t d = 0; pln_call_has(r->c, 3) && d < r->s.dirs; d++) {
        REAL *bias = r->bias + d * gh;
        pln_block_load(PLN_DT_WORK, bias, r->c->in[3], d * 2 * gh, 1, gh);
        pln_block_load(PLN_DT_WORK, line, r->c->in[3], d * 2 * gh + gh, 1, gh);
        NAME(add)(bias, line, together);
        if (together < gh)
            memcpy(r->rb + d * n, line + together, (size_t)n * sizeof *line);
    }
}

static bool NAME(take)(size_t *total, int64_t a, int64_t b, int64_t c, size_t *at)
{
    size_t n;
    *at = *total;
    return pln_size_mul(&n, (size_t)a, (size_t)b) && pln_size_mul(&n, n, (size_t)c) &&
           pln_size_mul(&n, n, sizeof(REAL)) && n < SIZE_MAX / 4 &&
           pln_size_add(total, *total, pln_align_up(n, 64));
}

static void NAME(inputs)(NAME(rnn) * r)
{
    const int64_t gh = r->s.gates * r->s.hidden, rows = r->s.steps * r->s.batch;
    const int64_t pitch = NAME(pitch)(gh);
    for (int64_t d = 0; d < r->s.dirs; d++) {
        REAL *xw = r->xw + d * rows * gh;
        PRODUCT(xw, gh, r->x, r->s.input, r->wt + d * r->s.input * pitch, pitch, rows,
                r->s.input, gh, rows, r->c->n_threads);
        for (int64_t i = 0; i < rows; i++)
            NAME(add)(xw + i * gh, r->bias + d * gh, gh);
    }
}

static pln_status NAME(run)(pln_call *c, const REAL *packed, pln_error *err)
{
    NAME(rnn) r = { .c = c, .a = (const pln_rnn_attrs *)c->attrs };
    PLN_TRY(pln_rnn_find_sizes(c, &r.s, err));
    const int64_t n = r.s.hidden, gh = r.s.gates * n, rows = r.s.steps * r.s.batch;
    const int64_t pitch = NAME(pitch)(gh);
    const int64_t longest = r.s.input > gh ? r.s.input : gh;
    size_t total = 0, wt, rt, x, xw, work, bias, rb, peep, line;
    if (!NAME(take)(&total, packed ? 0 : r.s.dirs, r.s.input, pitch, &wt) ||
        !NAME(take)(&total, packed ? 0 : r.s.dirs, n, pitch, &rt) ||
        !NAME(take)(&total, rows, r.s.input, 1, &x) ||
        !NAME(take)(&total, r.s.dirs, rows, gh, &xw) ||
        !NAME(take)(&total, r.s.dirs, r.s.batch, NAME(lane_size)(&r.s), &work) ||
        !NAME(take)(&total, r.s.dirs, gh, 1, &bias) ||
        !NAME(take)(&total, r.s.dirs, n, 1, &rb) ||
        !NAME(take)(&total, r.s.dirs, 3 * n, 1, &peep) ||
        !NAME(take)(&total, longest, 1, 1, &line))
        return pln_oom(err);
    char *base = (char *)pln_call_scratch(c, total);
    if (!base)
        return pln_oom(err);
    r.wt = packed ? packed : (REAL *)(base + wt);
    r.rt = packed ? packed + r.s.dirs * r.s.input * pitch : (REAL *)(base + rt);
    if (!packed) {
        NAME(transpose)((REAL *)(base + wt), c->in[1], (REAL *)(base + line));
        NAME(transpose)((REAL *)(base + rt), c->in[2], (REAL *)(base + line));
    }
    r.xw = (REAL *)(base + xw);
    r.work = (REAL *)(base + work);
    r.bias = (REAL *)(base + bias);
    r.rb = (REAL *)(base + rb);
    pln_block_load(PLN_DT_WORK, base + x, c->in[0], 0, 1, rows * r.s.input);
    r.x = (const REAL *)(base + x);
    if (r.s.gates == 4 && pln_call_has(c, 7)) {
        r.peep = (REAL *)(base + peep);
        pln_block_load(PLN_DT_WORK, r.peep, c->in[7], 0, 1, r.s.dirs * 3 * n);
    }
    NAME(load_bias)(&r, (REAL *)(base + line));
    NAME(inputs)(&r);
    /* A thread pays off when a lane has enough weights to read. */
    pln_parallel_for(c->n_threads, r.s.dirs * r.s.batch,
                     1 + 500000 / (1 + r.s.steps * gh * n), NAME(lanes), &r);
    return PLN_OK;
}
