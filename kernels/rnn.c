/* LSTM, GRU and RNN: rows, attributes, inference.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rnn.h"

#include "kernels/raise.h"
#include "kernels/type_sets.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define FIELD(f) offsetof(pln_rnn_attrs, f)
#define COMMON                                                                \
    PLN_A_STRS(pln_rnn_attrs, activations),                                   \
        PLN_A_FLOATS(pln_rnn_attrs, activation_alpha),                        \
        PLN_A_FLOATS(pln_rnn_attrs, activation_beta),                         \
        { .name = "clip",                                                     \
          .type = PLN_ATTR_FLOAT,                                             \
          .offset = FIELD(clip),                                              \
          .has_offset = FIELD(has_clip) },                                    \
        PLN_A_ENUM(pln_rnn_attrs, direction, "forward|reverse|bidirectional", \
                   "forward"),                                                \
        PLN_A_INT(pln_rnn_attrs, hidden_size, 0)

#define LAYOUT PLN_A_INT(pln_rnn_attrs, layout, 0)

static const pln_attr_spec lstm_spec[] = { COMMON, LAYOUT,
                                           PLN_A_INT(pln_rnn_attrs, input_forget, 0),
                                           PLN_A_END };
static const pln_attr_spec gru_spec[] = {
    COMMON, LAYOUT, PLN_A_INT(pln_rnn_attrs, linear_before_reset, 0), PLN_A_END
};
static const pln_attr_spec rnn_spec[] = { COMMON, LAYOUT, PLN_A_END };
const pln_attr_spec pln_rnn_ms_lstm_spec[] = { COMMON,
                                               PLN_A_INT(pln_rnn_attrs, input_forget, 0),
                                               PLN_A_END };

/* ---- activations ------------------------------------------------------------------- */

double pln_rnn_sigmoid(double x, double alpha, double beta)
{
    (void)alpha, (void)beta;
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}
double pln_rnn_tanh(double x, double alpha, double beta)
{
    (void)alpha, (void)beta;
    return tanh(x);
}
double pln_rnn_relu(double x, double alpha, double beta)
{
    (void)alpha, (void)beta;
    return x < 0 ? 0 : x;
}
static double affine(double x, double alpha, double beta)
{
    return alpha * x + beta;
}
static double leaky_relu(double x, double alpha, double beta)
{
    (void)beta;
    return x < 0 ? alpha * x : x;
}
static double thresholded_relu(double x, double alpha, double beta)
{
    (void)beta;
    return x > alpha ? x : 0;
}
static double scaled_tanh(double x, double alpha, double beta)
{
    return alpha * tanh(beta * x);
}
static double hard_sigmoid(double x, double alpha, double beta)
{
    const double y = alpha * x + beta;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}
static double elu(double x, double alpha, double beta)
{
    (void)beta;
    return x < 0 ? alpha * expm1(x) : x;
}
static double softsign(double x, double alpha, double beta)
{
    (void)alpha, (void)beta;
    return x / (1 + fabs(x));
}
static double softplus(double x, double alpha, double beta)
{
    (void)alpha, (void)beta;
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static const struct {
    const char *name;
    double (*fn)(double, double, double);
    bool takes_alpha, takes_beta;
    float alpha, beta;
} acts[] = {
    { "Sigmoid", pln_rnn_sigmoid, false, false, 0, 0 },
    { "Tanh", pln_rnn_tanh, false, false, 0, 0 },
    { "Relu", pln_rnn_relu, false, false, 0, 0 },
    { "Affine", affine, true, true, 1, 0 },
    { "LeakyRelu", leaky_relu, true, false, 0.01f, 0 },
    { "ThresholdedRelu", thresholded_relu, true, false, 1, 0 },
    { "ScaledTanh", scaled_tanh, true, true, 1, 1 },
    { "HardSigmoid", hard_sigmoid, true, true, 0.2f, 0.5f },
    { "Elu", elu, true, false, 1, 0 },
    { "Softsign", softsign, false, false, 0, 0 },
    { "Softplus", softplus, false, false, 0, 0 },
};

/* Values of activation_alpha and activation_beta go to those that take them, in order. */
static bool find_act(pln_rnn_attrs *a, int i, const char *name, size_t *n_alpha,
                     size_t *n_beta)
{
    for (size_t k = 0; k < sizeof acts / sizeof acts[0]; k++) {
        if (strcasecmp(acts[k].name, name))
            continue;
        a->act[i] = (pln_rnn_act){ acts[k].fn, acts[k].alpha, acts[k].beta };
        if (acts[k].takes_alpha && *n_alpha < a->activation_alpha.n)
            a->act[i].alpha = a->activation_alpha.v[(*n_alpha)++];
        if (acts[k].takes_beta && *n_beta < a->activation_beta.n)
            a->act[i].beta = a->activation_beta.v[(*n_beta)++];
        return true;
    }
    return false;
}

static pln_status check(pln_node *n, void *attrs, int gates, int n_acts,
                        const char *const *usual, pln_error *err)
{
    pln_rnn_attrs *a = (pln_rnn_attrs *)attrs;
    const int dirs = a->direction == 2 ? 2 : 1;
    size_t n_alpha = 0, n_beta = 0;
    char where[160];
    a->gates = gates;
    a->n_acts = n_acts;
    if (a->activations.n > 0 && a->activations.n < (size_t)(n_acts * dirs))
        return pln_fail(err, PLN_E_FORMAT, "%s: %zu activations, want %d",
                        pln_node_where(n, where, sizeof where), a->activations.n,
                        n_acts * dirs);
    for (int i = 0; i < n_acts * dirs; i++) {
        const char *name = a->activations.n ? a->activations.v[i] : usual[i % n_acts];
        if (!find_act(a, i, name, &n_alpha, &n_beta))
            return pln_fail(err, PLN_E_UNSUPPORTED, "%s: activation \"%.40s\"",
                            pln_node_where(n, where, sizeof where), name);
    }
    return PLN_OK;
}

pln_status pln_rnn_lstm_check(pln_node *n, void *attrs, pln_error *err)
{
    static const char *const usual[] = { "Sigmoid", "Tanh", "Tanh" };
    return check(n, attrs, 4, 3, usual, err);
}

static pln_status gru_check(pln_node *n, void *attrs, pln_error *err)
{
    static const char *const usual[] = { "Sigmoid", "Tanh" };
    return check(n, attrs, 3, 2, usual, err);
}

static pln_status rnn_check(pln_node *n, void *attrs, pln_error *err)
{
    static const char *const usual[] = { "Tanh" };
    return check(n, attrs, 1, 1, usual, err);
}

/* ---- sizes ------------------------------------------------------------------------- */

static pln_status want(const pln_call *c, uint32_t i, int rank, const int64_t *dims,
                       pln_error *err)
{
    if (!pln_call_has(c, i))
        return PLN_OK;
    bool good = c->in[i]->rank == rank;
    for (int d = 0; d < rank && good; d++)
        good = c->in[i]->dims[d] == dims[d];
    if (good)
        return PLN_OK;
    pln_text t;
    pln_text_init(&t, NULL);
    pln_tensor_print_shape(&t, c->in[i]);
    const pln_status st =
        pln_call_fail(c, err, PLN_E_RUN, "input %u is %s, want rank %d, %lld first", i,
                      t.data ? t.data : "?", rank, (long long)dims[0]);
    pln_text_done(&t);
    return st;
}

pln_status pln_rnn_find_sizes(const pln_call *c, pln_rnn_sizes *s, pln_error *err)
{
    const pln_rnn_attrs *a = (const pln_rnn_attrs *)c->attrs;
    const pln_tensor *x = c->in[0], *w = c->in[1], *r = c->in[2];
    const bool lstm = a->gates == 4;
    if (x->rank != 3 || w->rank != 3 || r->rank != 3)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "X, W and R have ranks %d, %d, %d, want 3", x->rank, w->rank,
                             r->rank);
    *s = (pln_rnn_sizes){ .steps = x->dims[a->layout ? 1 : 0],
                          .batch = x->dims[a->layout ? 0 : 1],
                          .input = x->dims[2],
                          .hidden = r->dims[2],
                          .dirs = a->direction == 2 ? 2 : 1,
                          .gates = a->gates };
    const int64_t gh = s->gates * s->hidden;
    if (s->hidden < 1 || s->hidden > INT32_MAX ||
        (a->hidden_size && a->hidden_size != s->hidden))
        return pln_call_fail(c, err, PLN_E_RUN, "hidden size %lld, R says %lld",
                             (long long)a->hidden_size, (long long)s->hidden);
    PLN_TRY(want(c, 1, 3, (const int64_t[]){ s->dirs, gh, s->input }, err));
    PLN_TRY(want(c, 2, 3, (const int64_t[]){ s->dirs, gh, s->hidden }, err));
    PLN_TRY(want(c, 3, 2, (const int64_t[]){ s->dirs, 2 * gh }, err));
    PLN_TRY(want(c, 4, 1, (const int64_t[]){ s->batch }, err));
    const int64_t plain[] = { s->dirs, s->batch, s->hidden };
    const int64_t swapped[] = { s->batch, s->dirs, s->hidden };
    PLN_TRY(want(c, 5, 3, a->layout ? swapped : plain, err));
    if (lstm) {
        PLN_TRY(want(c, 6, 3, a->layout ? swapped : plain, err));
        PLN_TRY(want(c, 7, 2, (const int64_t[]){ s->dirs, 3 * s->hidden }, err));
    }
    s->lens = pln_call_has(c, 4) ? PLN_DATA(const int32_t, c->in[4]) : NULL;
    for (int64_t b = 0; s->lens && b < s->batch; b++)
        if (s->lens[b] < 0 || s->lens[b] > s->steps)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "sequence_lens[%lld] is %d of %lld steps", (long long)b,
                                 s->lens[b], (long long)s->steps);
    return PLN_OK;
}

static pln_status check_ranks(const pln_infer *inf, pln_error *err)
{
    for (uint32_t i = 0; i < 3; i++) {
        const int rank = pln_infer_rank(inf, i);
        if (rank >= 0 && rank != 3)
            return pln_infer_fail(inf, err, "input %u has rank %d, want 3", i, rank);
    }
    return PLN_OK;
}

static pln_status infer(pln_infer *inf, pln_error *err)
{
    const pln_rnn_attrs *a = (const pln_rnn_attrs *)inf->attrs;
    PLN_TRY(check_ranks(inf, err));
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    const pln_dim dirs = pln_dim_of(a->direction == 2 ? 2 : 1);
    const pln_dim steps = pln_infer_dim(inf, 0, a->layout ? 1 : 0);
    const pln_dim batch = pln_infer_dim(inf, 0, a->layout ? 0 : 1);
    const pln_dim hidden =
        a->hidden_size ? pln_dim_of(a->hidden_size) : pln_infer_dim(inf, 2, 2);
    pln_shape y = pln_infer_shape(inf, 4), h = pln_infer_shape(inf, 3);
    if (y.rank != 4 || h.rank != 3)
        return pln_oom(err);
    const pln_dim y_dims[2][4] = { { steps, dirs, batch, hidden },
                                   { batch, steps, dirs, hidden } };
    const pln_dim h_dims[2][3] = { { dirs, batch, hidden }, { batch, dirs, hidden } };
    memcpy(y.dims, y_dims[a->layout != 0], sizeof y_dims[0]);
    memcpy(h.dims, h_dims[a->layout != 0], sizeof h_dims[0]);
    pln_infer_set(inf, 0, dt, y);
    pln_infer_set(inf, 1, dt, h);
    pln_infer_set(inf, 2, dt, h);
    return PLN_OK;
}

static void cost(const pln_infer *inf, pln_cost *out)
{
    const pln_rnn_attrs *a = (const pln_rnn_attrs *)inf->attrs;
    const pln_dim x = pln_shape_count(inf->syms, inf->in[0]->shape);
    const pln_dim in = pln_infer_dim(inf, 0, 2), h = pln_infer_dim(inf, 2, 2);
    if (!pln_dim_is_known(x) || !pln_dim_is_known(in) || !pln_dim_is_known(h) ||
        !in.value)
        return;
    const double rows = (double)x.value / (double)in.value * (a->direction == 2 ? 2 : 1);
    out->flops = 2 * rows * a->gates * (double)h.value * (double)(in.value + h.value);
    out->bytes = out->flops * 2; /* a vector against a matrix reads each weight */
}

static pln_status ref(pln_call *c, pln_error *err)
{
    return pln_rnn_run_f64(c, NULL, err);
}

static pln_status raise_7(pln_node *n, pln_error *err)
{
    (void)err;
    pln_node_drop_attr(n, "output_sequence");
    return PLN_OK;
}

static pln_status lower_14(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "layout", 0, err);
}

static const pln_version_change versions[] = { { 7, raise_7, NULL },
                                               { 14, NULL, lower_14 },
                                               { 0 } };

#define ROW(op, n_in, n_out, signature, spec, fn)                                      \
    {                                                                                  \
        .name = op, .domain = "", .since = 22, .in = { 3, n_in }, .out = { 0, n_out }, \
        .types = "T:" PLN_TS_FLOAT, .sig = signature, .attrs = spec,                   \
        .attrs_size = sizeof(pln_rnn_attrs), .check = fn, .infer = infer, .ref = ref,  \
        .cpu = &pln_rnn_cpu, .cost = cost, .versions = versions                        \
    }

const pln_op_desc pln_ops_rnn[] = {
    ROW("LSTM", 8, 3, "T,T,T,T?,int32?,T?,T?,T?->T?,T?,T?", lstm_spec,
        pln_rnn_lstm_check),
    ROW("GRU", 6, 2, "T,T,T,T?,int32?,T?->T?,T?", gru_spec, gru_check),
    ROW("RNN", 6, 2, "T,T,T,T?,int32?,T?->T?,T?", rnn_spec, rnn_check),
    { .name = NULL },
};
