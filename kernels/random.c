/* Random operators, Dropout among them.
 *
 * Numbers come from the run's generator, or from one that the seed attribute starts anew
 * at each call, so that a seeded node gives the same numbers every time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "src/ir/op.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

typedef struct random_attrs {
    int64_t dtype, sample_size, int_seed;
    float seed, mean, scale, low, high;
    bool has_seed, has_int_seed;
    pln_ints shape;
} random_attrs;

#define FIELD(f) offsetof(random_attrs, f)
#define SEED                                                           \
    {                                                                  \
        .name = "seed", .type = PLN_ATTR_FLOAT, .offset = FIELD(seed), \
        .has_offset = FIELD(has_seed)                                  \
    }
#define DTYPE(def) PLN_A_INT(random_attrs, dtype, def)
#define SHAPE                                                                            \
    {                                                                                    \
        .name = "shape", .type = PLN_ATTR_INTS, .required = true, .offset = FIELD(shape) \
    }
#define NORMAL \
    PLN_A_FLOAT(random_attrs, mean, 0.0f), PLN_A_FLOAT(random_attrs, scale, 1.0f)
#define UNIFORM \
    PLN_A_FLOAT(random_attrs, low, 0.0f), PLN_A_FLOAT(random_attrs, high, 1.0f)

static const pln_attr_spec normal_spec[] = { NORMAL, SEED, DTYPE(1), SHAPE, PLN_A_END };
static const pln_attr_spec uniform_spec[] = { UNIFORM, SEED, DTYPE(1), SHAPE, PLN_A_END };
static const pln_attr_spec normal_like_spec[] = { NORMAL, SEED, DTYPE(0), PLN_A_END };
static const pln_attr_spec uniform_like_spec[] = { UNIFORM, SEED, DTYPE(0), PLN_A_END };
static const pln_attr_spec bernoulli_spec[] = { SEED, DTYPE(0), PLN_A_END };
static const pln_attr_spec multinomial_spec[] = { SEED, DTYPE(6),
                                                  PLN_A_INT(random_attrs, sample_size, 1),
                                                  PLN_A_END };
static const pln_attr_spec dropout_spec[] = {
    { .name = "seed",
      .type = PLN_ATTR_INT,
      .offset = FIELD(int_seed),
      .has_offset = FIELD(has_int_seed) },
    PLN_A_END,
};

/* ---- numbers ----------------------------------------------------------------------- */

/* SplitMix64: a counter through a mixing function. */
static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In [0, 1), 53 bits. */
static double next_unit(uint64_t *state)
{
    return (double)(next_bits(state) >> 11) * 0x1p-53;
}

/* Box and Muller's transform; its second number is not kept. */
static double next_normal(uint64_t *state)
{
    const double u = 1 - next_unit(state), v = next_unit(state);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

/* The generator of this call: *own when there is a seed. */
static uint64_t *generator(pln_call *c, uint64_t *own)
{
    const random_attrs *a = (const random_attrs *)c->attrs;
    if (a->has_int_seed) {
        *own = (uint64_t)a->int_seed;
        return own;
    }
    if (!a->has_seed)
        return pln_call_random(c);
    uint32_t bits;
    memcpy(&bits, &a->seed, sizeof bits);
    *own = bits;
    return own;
}

/* ---- normal and uniform ------------------------------------------------------------ */

#define BLOCK 256

static pln_status fill(pln_call *c, bool normal)
{
    const random_attrs *a = (const random_attrs *)c->attrs;
    pln_tensor *y = c->out[0];
    const int64_t n = pln_tensor_size(y);
    uint64_t own, *state = generator(c, &own);
    double v[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK) {
        const int64_t k = n - i < BLOCK ? n - i : BLOCK;
        for (int64_t j = 0; j < k; j++)
            v[j] = normal ? a->mean + (double)a->scale * next_normal(state)
                          : a->low + ((double)a->high - a->low) * next_unit(state);
        pln_block_store(y, i, 1, PLN_DT_F64, v, k);
    }
    return PLN_OK;
}

static pln_status normal_ref(pln_call *c, pln_error *err)
{
    (void)err;
    return fill(c, true);
}

static pln_status uniform_ref(pln_call *c, pln_error *err)
{
    (void)err;
    return fill(c, false);
}

/* The type of the numbers: attributes are not checked by the row's sets. */
static pln_status check_type(pln_infer *inf, pln_error *err)
{
    const pln_dtype dt = inf->out[0].dtype;
    if (dt != PLN_DT_NONE && !pln_block_can(dt))
        return pln_infer_fail(inf, err, "no random numbers of type %d", (int)dt);
    return PLN_OK;
}

static pln_status shape_infer(pln_infer *inf, pln_error *err)
{
    const random_attrs *a = (const random_attrs *)inf->attrs;
    for (size_t i = 0; i < a->shape.n; i++)
        if (a->shape.v[i] < 0)
            return pln_infer_fail(inf, err, "shape has %lld in dimension %zu",
                                  (long long)a->shape.v[i], i);
    if (a->shape.n > PLN_MAX_RANK)
        return pln_infer_fail(inf, err, "shape has rank %zu", a->shape.n);
    pln_infer_set(inf, 0, (pln_dtype)a->dtype,
                  pln_shape_of(inf->arena, (int)a->shape.n, a->shape.v));
    return check_type(inf, err);
}

static pln_status like_infer(pln_infer *inf, pln_error *err)
{
    const random_attrs *a = (const random_attrs *)inf->attrs;
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    if (a->dtype)
        inf->out[0].dtype = (pln_dtype)a->dtype;
    return check_type(inf, err);
}

/* ---- Bernoulli, Multinomial -------------------------------------------------------- */

static pln_status bernoulli_ref(pln_call *c, pln_error *err)
{
    const int64_t n = pln_tensor_size(c->in[0]);
    uint64_t own, *state = generator(c, &own);
    double p[BLOCK];
    (void)err;
    for (int64_t i = 0; i < n; i += BLOCK) {
        const int64_t k = n - i < BLOCK ? n - i : BLOCK;
        pln_block_load(PLN_DT_F64, p, c->in[0], i, 1, k);
        for (int64_t j = 0; j < k; j++)
            p[j] = next_unit(state) < p[j];
        pln_block_store(c->out[0], i, 1, PLN_DT_F64, p, k);
    }
    return PLN_OK;
}

/* Index of the class in whose share of the sum a uniform number falls. */
static int64_t draw(const double *upto, int64_t n, uint64_t *state)
{
    const double u = next_unit(state) * upto[n - 1];
    int64_t i = 0;
    while (i < n - 1 && !(u < upto[i]))
        i++;
    return i;
}

static pln_status multinomial_ref(pln_call *c, pln_error *err)
{
    const random_attrs *a = (const random_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    uint64_t own, *state = generator(c, &own);
    size_t bytes;
    if (x->rank != 2 || x->dims[1] < 1)
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 is not [batch, classes]");
    const int64_t n = x->dims[1];
    double *v = pln_size_mul(&bytes, (size_t)n, sizeof *v)
                    ? (double *)pln_call_scratch(c, bytes)
                    : NULL;
    if (!v)
        return pln_oom(err);
    for (int64_t b = 0; b < x->dims[0]; b++) {
        double max = -INFINITY, sum = 0;
        pln_block_load(PLN_DT_F64, v, x, b * n, 1, n);
        for (int64_t i = 0; i < n; i++)
            max = v[i] > max ? v[i] : max;
        for (int64_t i = 0; i < n; i++)
            v[i] = sum += exp(v[i] - max);
        for (int64_t s = 0; s < a->sample_size; s++)
            pln_tensor_set_i64(c->out[0], b * a->sample_size + s, draw(v, n, state));
    }
    return PLN_OK;
}

static pln_status multinomial_infer(pln_infer *inf, pln_error *err)
{
    const random_attrs *a = (const random_attrs *)inf->attrs;
    pln_shape s = pln_infer_shape(inf, 2);
    if (s.rank != 2)
        return pln_oom(err);
    if (a->sample_size < 0)
        return pln_infer_fail(inf, err, "sample_size is %lld", (long long)a->sample_size);
    s.dims[0] = pln_infer_dim(inf, 0, 0);
    s.dims[1] = pln_dim_of(a->sample_size);
    pln_infer_set(inf, 0, (pln_dtype)a->dtype, s);
    return check_type(inf, err);
}

/* ---- Dropout ----------------------------------------------------------------------- */

/* Inputs and mask of Dropout and its relatives of com.microsoft; 0: it has no such
 * input. */
typedef struct dropout_form {
    uint32_t ratio, training, bias, residual;
    bool bits; /* a bit of uint32 for each element instead of a bool */
} dropout_form;

static const dropout_form dropout_plain = { .ratio = 1, .training = 2 };
static const dropout_form dropout_bits = { .ratio = 1, .training = 2, .bits = true };
static const dropout_form dropout_bias = {
    .bias = 1, .residual = 2, .ratio = 3, .training = 4
};
static const dropout_form dropout_bias_bits = { .bias = 1, .residual = 2, .ratio = 3,
                                                .training = 4, .bits = true };

static const pln_tensor *dropout_input(const pln_call *c, uint32_t i)
{
    return i && pln_call_has(c, i) ? c->in[i] : NULL;
}

static double value_at(const pln_tensor *t, int64_t i)
{
    double v = 0;
    if (t)
        pln_block_load(PLN_DT_F64, &v, t, i % pln_tensor_size(t), 1, 1);
    return v;
}

static void set_mask(pln_tensor *mask, bool bits, int64_t i)
{
    if (mask && bits)
        PLN_DATA(uint32_t, mask)[i / 32] |= UINT32_C(1) << (i % 32);
    else if (mask)
        PLN_DATA(uint8_t, mask)[i] = 1;
}

static pln_status dropout_with(pln_call *c, const dropout_form *f, pln_error *err)
{
    const pln_tensor *x = c->in[0], *bias = dropout_input(c, f->bias);
    const pln_tensor *residual = dropout_input(c, f->residual);
    const pln_tensor *train = dropout_input(c, f->training),
                     *r = dropout_input(c, f->ratio);
    const bool training = train && pln_tensor_size(train) == 1 &&
                          PLN_DATA(const uint8_t, train)[0];
    const double ratio = !training ? 0
                         : r && pln_tensor_size(r) == 1 ? pln_tensor_get_f64(r, 0) : 0.5;
    const int64_t n = pln_tensor_size(x);
    pln_tensor *mask = pln_call_wants(c, 1) ? c->out[1] : NULL;
    uint64_t own, *state = NULL;
    if (!(ratio >= 0 && ratio < 1))
        return pln_call_fail(c, err, PLN_E_RUN, "ratio is %g, want [0, 1)", ratio);
    if (n && ((bias && pln_tensor_size(bias) != n &&
               pln_tensor_size(bias) != x->dims[x->rank ? x->rank - 1 : 0]) ||
              (residual && pln_tensor_size(residual) != n)))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the bias or residual does not fit input 0");
    if (mask)
        memset(mask->data, 0, (size_t)pln_tensor_size(mask) * (f->bits ? 4 : 1));
    if (ratio > 0)
        state = generator(c, &own);
    const bool same = !state && !bias && !residual;
    if (n && same && pln_call_wants(c, 0))
        memmove(c->out[0]->data, x->data,
                (size_t)n * pln_dtype_size((pln_dtype)x->dtype));
    if (same && !mask)
        return PLN_OK;
    for (int64_t i = 0; i < n; i++) {
        const bool keep = !state || next_unit(state) >= ratio;
        double v = value_at(x, i) + value_at(bias, i);
        v = (keep ? v / (1 - ratio) : 0) + value_at(residual, i);
        if (!same && pln_call_wants(c, 0))
            pln_block_store(c->out[0], i, 1, PLN_DT_F64, &v, 1);
        if (keep)
            set_mask(mask, f->bits, i);
    }
    return PLN_OK;
}

static pln_status dropout_ref(pln_call *c, pln_error *err)
{
    return dropout_with(c, &dropout_plain, err);
}

static pln_status dropout_bits_ref(pln_call *c, pln_error *err)
{
    return dropout_with(c, &dropout_bits, err);
}

static pln_status dropout_bias_ref(pln_call *c, pln_error *err)
{
    return dropout_with(c, &dropout_bias, err);
}

static pln_status dropout_bias_bits_ref(pln_call *c, pln_error *err)
{
    return dropout_with(c, &dropout_bias_bits, err);
}

static pln_status dropout_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    if (inf->n_out > 1) {
        inf->out[1] = inf->out[0];
        inf->out[1].dtype = PLN_DT_BOOL;
    }
    return PLN_OK;
}

/* The bits of 32 elements in each number. */
static pln_status dropout_bits_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    if (inf->n_out < 2)
        return PLN_OK;
    pln_shape s = pln_infer_shape(inf, 1);
    s.dims[0] = pln_dim_unknown();
    if (pln_infer_rank(inf, 0) != PLN_RANK_UNKNOWN && s.rank > 0)
        s.dims[0] = pln_dim_div_up(
            inf->syms, pln_shape_count(inf->syms, inf->in[0]->shape), pln_dim_of(32));
    pln_infer_set(inf, 1, PLN_DT_U32, s);
    return PLN_OK;
}

/* Version 6 knew training by an attribute; a model that is run is not trained. */
static pln_status dropout_raise_7(pln_node *n, pln_error *err)
{
    (void)err;
    pln_node_drop_attr(n, "is_test");
    pln_node_drop_attr(n, "consumed_inputs");
    return PLN_OK;
}

static pln_status dropout_raise_12(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "ratio");
    return a ? pln_raise_float_to_input(n, "ratio", 0.5f, 1, err) : PLN_OK;
}

static pln_status dropout_lower_12(pln_node *n, pln_error *err)
{
    const pln_tensor *t;
    if (n->n_out > 1 && n->out[1])
        return pln_lower_fail(n, err, "the older version leaves its mask open");
    if (pln_lower_has(n, 2)) {
        PLN_TRY(pln_lower_constant(n, 2, &t, err));
        if (pln_tensor_size(t) != 1 || PLN_DATA(const uint8_t, t)[0])
            return pln_lower_fail(n, err, "training_mode needs version 12");
        PLN_TRY(pln_node_set_input(n, 2, NULL));
    }
    pln_node_drop_attr(n, "seed");
    return pln_lower_input_to_float(n, 1, "ratio", err);
}

static const pln_version_change dropout_versions[] = {
    { 7, dropout_raise_7, NULL }, { 12, dropout_raise_12, dropout_lower_12 }, { 0 }
};

#define SHORT PLN_TS_FLOAT "," PLN_TS_F8
#define LIKE  PLN_TS_NUM ",bool,string," PLN_TS_COMPLEX
#define ROW(op, version, n_in, t, s, spec, fn_infer, ...)                              \
    {                                                                                  \
        .name = op, .domain = "", .since = version, .in = { n_in, n_in },              \
        .out = { 1, 1 }, .traits = PLN_OP_RANDOM, .types = t, .sig = s, .attrs = spec, \
        .attrs_size = sizeof(random_attrs), .infer = fn_infer, .ref = __VA_ARGS__      \
    }

#define dropout_bias_infer      dropout_infer
#define dropout_bias_bits_infer dropout_bits_infer
#define MS_DROPOUT(op, n, types_in_out, form)                                          \
    { .name = (op), .domain = "com.microsoft", .since = 1, .in = { (n) > 3 ? 2 : 1, n }, \
      .out = { 1, 2 }, .traits = PLN_OP_RANDOM, .sig = types_in_out,                   \
      .types = "T:" PLN_TS_FLOAT ";R:" PLN_TS_FLOAT, .attrs = dropout_spec,            \
      .attrs_size = sizeof(random_attrs), .infer = dropout_##form##_infer,             \
      .ref = dropout_##form##_ref }

const pln_op_desc pln_ops_random[] = {
    ROW("RandomNormal", 22, 0, "T:" PLN_TS_FLOAT, "->T", normal_spec, shape_infer,
        normal_ref),
    ROW("RandomUniform", 22, 0, "T:" PLN_TS_FLOAT, "->T", uniform_spec, shape_infer,
        uniform_ref),
    ROW("RandomNormalLike", 22, 1, "T1:" LIKE ";T2:" PLN_TS_FLOAT, "T1->T2",
        normal_like_spec, like_infer, normal_ref),
    ROW("RandomUniformLike", 22, 1, "T1:" LIKE ";T2:" PLN_TS_FLOAT, "T1->T2",
        uniform_like_spec, like_infer, uniform_ref),
    ROW("Bernoulli", 22, 1, "T1:" PLN_TS_FLOAT ";T2:" PLN_TS_NUM ",bool", "T1->T2",
        bernoulli_spec, like_infer, bernoulli_ref, .expand = pln_expand_bernoulli),
    ROW("Multinomial", 22, 1, "T1:" PLN_TS_FLOAT ";T2:int32,int64", "T1->T2",
        multinomial_spec, multinomial_infer, multinomial_ref),
    { .name = "Dropout",
      .expand = pln_expand_dropout,
      .domain = "",
      .since = 22,
      .in = { 1, 3 },
      .out = { 1, 2 },
      .traits = PLN_OP_RANDOM,
      .types = "T:" SHORT ";T1:" SHORT,
      .sig = "T,T1?,bool?->T,bool?",
      .attrs = dropout_spec,
      .attrs_size = sizeof(random_attrs),
      .infer = dropout_infer,
      .ref = dropout_ref,
      .versions = dropout_versions },
    MS_DROPOUT("BitmaskDropout", 3, "T,R?,bool?->T,uint32?", bits),
    MS_DROPOUT("BiasDropout", 5, "T,T,T?,R?,bool?->T,bool?", bias),
    MS_DROPOUT("BitmaskBiasDropout", 5, "T,T,T?,R?,bool?->T,uint32?", bias_bits),
    { .name = NULL },
};
