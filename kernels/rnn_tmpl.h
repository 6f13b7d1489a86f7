/* Recurrence in the type REAL (PLN_DT_WORK). The includer defines
 *   GEMM(y, x, m, rows, k, n, threads)  y[rows][n] = x[rows][k] m[k][n]
 *   GEMV(y, m, ld, x, k, n)             y[n] += x[k] m[k][..], ld from row to row
 *   ACT(act, v, n)                      activation in place
 *   NAME(x)                             symbol for this type
 * SPDX-License-Identifier: Apache-2.0 */

typedef struct NAME(rnn) {
    pln_call *c;
    const pln_rnn_attrs *a;
    pln_rnn_sizes s;
    const REAL *wt,
        *rt; /* [dirs][input][gates x hidden], [dirs][hidden][gates x hidden] */
    const REAL *x;
    REAL *xw;   /* [dirs][rows of x][gates x hidden] */
    REAL *work; /* for each lane: h, c, gates, two vectors more */
    REAL *bias; /* [dirs][gates x hidden], added to xw */
    REAL *rb;   /* [dirs][hidden] of GRU's reset before the bias, or NULL */
    REAL *peep; /* [dirs][3 x hidden] or NULL */
} NAME(rnn);

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

/* Gates i, o, f, c. */
static void NAME(lstm)(const NAME(rnn) * r, int64_t d, REAL *g, REAL *h, REAL *c, REAL *t)
{
    const int64_t n = r->s.hidden;
    const REAL *p = r->peep ? r->peep + d * 3 * n : NULL;
    REAL *gi = g, *go = g + n, *gf = g + 2 * n, *gc = g + 3 * n;
    GEMV(g, r->rt + d * n * 4 * n, 4 * n, h, n, 4 * n);
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
    memcpy(t, c, (size_t)n * sizeof *t);
    NAME(gate)(r, d, 2, t);
    for (int64_t i = 0; i < n; i++)
        h[i] = go[i] * t[i];
}

/* Gates z, r, h. */
static void NAME(gru)(const NAME(rnn) * r, int64_t d, REAL *g, REAL *h, REAL *t, REAL *u)
{
    const int64_t n = r->s.hidden;
    const REAL *m = r->rt + d * n * 3 * n;
    REAL *gz = g, *gr = g + n, *gh = g + 2 * n;
    GEMV(g, m, 3 * n, h, n, 2 * n);
    NAME(gate)(r, d, 0, gz);
    NAME(gate)(r, d, 0, gr);
    if (r->a->linear_before_reset) {
        for (int64_t i = 0; i < n; i++)
            t[i] = r->rb ? r->rb[d * n + i] : 0;
        GEMV(t, m + 2 * n, 3 * n, h, n, n);
        for (int64_t i = 0; i < n; i++)
            gh[i] += gr[i] * t[i];
    } else {
        for (int64_t i = 0; i < n; i++)
            u[i] = gr[i] * h[i];
        GEMV(gh, m + 2 * n, 3 * n, u, n, n);
    }
    NAME(gate)(r, d, 1, gh);
    for (int64_t i = 0; i < n; i++)
        h[i] = (1 - gz[i]) * gh[i] + gz[i] * h[i];
}

static void NAME(plain)(const NAME(rnn) * r, int64_t d, REAL *g, REAL *h)
{
    const int64_t n = r->s.hidden;
    GEMV(g, r->rt + d * n * n, n, h, n, n);
    NAME(gate)(r, d, 0, g);
    memcpy(h, g, (size_t)n * sizeof *h);
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

/* One sequence in one direction. */
static void NAME(lane)(const NAME(rnn) * r, int64_t d, int64_t b)
{
    const int64_t n = r->s.hidden, gh = r->s.gates * n;
    const int64_t len = r->s.lens ? r->s.lens[b] : r->s.steps;
    const bool reverse = r->a->direction == 1 || d == 1;
    REAL *h = r->work + (d * r->s.batch + b) * (gh + 4 * n);
    REAL *c = h + n, *t = c + n, *u = t + n, *g = u + n;
    NAME(load_state)(r, 5, NAME(state_at)(r, d, b), h);
    if (r->s.gates == 4)
        NAME(load_state)(r, 6, NAME(state_at)(r, d, b), c);
    for (int64_t i = 0; i < r->s.steps; i++) {
        const bool past = i >= len;
        const int64_t step = past ? i : reverse ? len - 1 - i : i;
        if (past) {
            memset(t, 0, (size_t)n * sizeof *t);
        } else {
            const REAL *xw =
                r->xw + (d * r->s.steps * r->s.batch + NAME(row)(r, step, b)) * gh;
            memcpy(g, xw, (size_t)gh * sizeof *g);
            if (r->s.gates == 4)
                NAME(lstm)(r, d, g, h, c, t);
            else if (r->s.gates == 3)
                NAME(gru)(r, d, g, h, t, u);
            else
                NAME(plain)(r, d, g, h);
        }
        if (pln_call_wants(r->c, 0))
            pln_block_store(r->c->out[0], NAME(y_at)(r, step, d, b), 1, PLN_DT_WORK,
                            past ? t : h, n);
    }
    if (pln_call_wants(r->c, 1))
        pln_block_store(r->c->out[1], NAME(state_at)(r, d, b), 1, PLN_DT_WORK, h, n);
    if (pln_call_wants(r->c, 2))
        pln_block_store(r->c->out[2], NAME(state_at)(r, d, b), 1, PLN_DT_WORK, c, n);
}

static void NAME(lanes)(void *arg, int64_t begin, int64_t end)
{
    const NAME(rnn) *r = (const NAME(rnn) *)arg;
    for (int64_t l = begin; l < end; l++)
        NAME(lane)(r, l / r->s.batch, l % r->s.batch);
}

/* W [dirs][n][k] as [dirs][k][n]. */
static void NAME(transpose)(REAL *out, const pln_tensor *w, REAL *line)
{
    const int64_t n = w->dims[1], k = w->dims[2];
    for (int64_t d = 0; d < w->dims[0]; d++)
        for (int64_t i = 0; i < n; i++) {
            pln_block_load(PLN_DT_WORK, line, w, (d * n + i) * k, 1, k);
            for (int64_t j = 0; j < k; j++)
                out[(d * k + j) * n + i] = line[j];
        }
}

/* Wb and Rb go to the input's product, but for the Rb that GRU's reset gate scales. */
static void NAME(load_bias)(NAME(rnn) * r)
{
    const int64_t n = r->s.hidden, gh = r->s.gates * n;
    const bool apart = r->s.gates == 3 && r->a->linear_before_reset;
    for (int64_t d = 0; d < r->s.dirs; d++) {
        REAL *bias = r->bias + d * gh;
        if (!pln_call_has(r->c, 3)) {
            memset(bias, 0, (size_t)gh * sizeof *bias);
            memset(r->rb + d * n, 0, (size_t)n * sizeof *bias);
            continue;
        }
        pln_block_load(PLN_DT_WORK, bias, r->c->in[3], d * 2 * gh, 1, gh);
        for (int64_t i = 0; i < gh; i++) {
            REAL v;
            pln_block_load(PLN_DT_WORK, &v, r->c->in[3], d * 2 * gh + gh + i, 1, 1);
            if (apart && i >= 2 * n)
                r->rb[d * n + i - 2 * n] = v;
            else
                bias[i] += v;
        }
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
    for (int64_t d = 0; d < r->s.dirs; d++) {
        REAL *xw = r->xw + d * rows * gh;
        GEMM(xw, r->x, r->wt + d * r->s.input * gh, rows, r->s.input, gh,
             r->c->n_threads);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < gh; j++)
                xw[i * gh + j] += r->bias[d * gh + j];
    }
}

static pln_status NAME(run)(pln_call *c, const REAL *packed, pln_error *err)
{
    NAME(rnn) r = { .c = c, .a = (const pln_rnn_attrs *)c->attrs };
    PLN_TRY(pln_rnn_find_sizes(c, &r.s, err));
    const int64_t n = r.s.hidden, gh = r.s.gates * n, rows = r.s.steps * r.s.batch;
    const int64_t longest = r.s.input > n ? r.s.input : n;
    size_t total = 0, wt, rt, x, xw, work, bias, rb, peep, line;
    if (!NAME(take)(&total, packed ? 0 : r.s.dirs, r.s.input, gh, &wt) ||
        !NAME(take)(&total, packed ? 0 : r.s.dirs, n, gh, &rt) ||
        !NAME(take)(&total, rows, r.s.input, 1, &x) ||
        !NAME(take)(&total, r.s.dirs, rows, gh, &xw) ||
        !NAME(take)(&total, r.s.dirs, r.s.batch, gh + 4 * n, &work) ||
        !NAME(take)(&total, r.s.dirs, gh, 1, &bias) ||
        !NAME(take)(&total, r.s.dirs, n, 1, &rb) ||
        !NAME(take)(&total, r.s.dirs, 3 * n, 1, &peep) ||
        !NAME(take)(&total, longest, 1, 1, &line))
        return pln_oom(err);
    char *base = (char *)pln_call_scratch(c, total);
    if (!base)
        return pln_oom(err);
    r.wt = packed ? packed : (REAL *)(base + wt);
    r.rt = packed ? packed + r.s.dirs * r.s.input * gh : (REAL *)(base + rt);
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
    NAME(load_bias)(&r);
    NAME(inputs)(&r);
    /* A thread pays off when a lane has enough weights to read. */
    pln_parallel_for(c->n_threads, r.s.dirs * r.s.batch,
                     1 + 500000 / (1 + r.s.steps * gh * n), NAME(lanes), &r);
    return PLN_OK;
}
