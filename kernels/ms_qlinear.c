/* Elementwise QLinear operators of com.microsoft: QLinearAdd, QLinearMul, QLinearSigmoid,
 * QLinearLeakyRelu, QLinearConcat, QLinearWhere; and MulInteger.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_qlinear.h"
#include "kernels/bcast.h"
#include "kernels/int_product.h"
#include "kernels/move.h"
#include "kernels/vec.h"

#include <math.h>

pln_status pln_qparam_get(const pln_call *c, uint32_t scale, uint32_t zero,
                          pln_qparam *out, pln_error *err)
{
    const pln_tensor *s = pln_call_has(c, scale) ? c->in[scale] : NULL;
    const pln_tensor *z = pln_call_has(c, zero) ? c->in[zero] : NULL;
    if (!s || s->dtype != PLN_DT_F32 || pln_tensor_size(s) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u is no scale", scale);
    if (z && pln_tensor_size(z) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u is no scalar zero point", zero);
    *out = (pln_qparam){ PLN_DATA(const float, s)[0],
                         z ? (int32_t)pln_tensor_get_i64(z, 0) : 0 };
    return PLN_OK;
}

void pln_q_table(uint8_t table[256], pln_dtype x_dt, pln_qparam from, pln_dtype y_dt,
                 pln_qparam to, float (*fn)(float x, float arg), float arg)
{
    const int x_flip = pln_byte_flip(x_dt), y_flip = pln_byte_flip(y_dt);
    for (int i = 0; i < 256; i++) {
        const float x =
            (float)(pln_byte_value((uint8_t)i, x_flip) - from.zero) * from.scale;
        table[i] = pln_quantize_byte(fn ? fn(x, arg) : x, to.scale, to.zero, y_flip);
    }
}

typedef struct map_job {
    const uint8_t *table, *x;
    uint8_t *y;
} map_job;

static void map_range(void *arg, int64_t begin, int64_t end)
{
    const map_job *j = arg;
    pln_vec()->map_bytes(j->y + begin, j->x + begin, end - begin, j->table);
}

void pln_q_map(const pln_call *c, const uint8_t table[256], const uint8_t *x, uint8_t *y,
               int64_t n)
{
    map_job j = { table, x, y };
    if (n)
        pln_parallel_for(c->n_threads, n, 32768, map_range, &j);
}

/* ---- QLinearAdd, QLinearMul ------------------------------------------------------ */

typedef struct pair {
    pln_qparam a, b, y;
    int flip;
    bool mul;
    float factor; /* of a product */
} pair;

static float combine(const pair *q, int32_t a, int32_t b)
{
    if (q->mul)
        return (float)((a - q->a.zero) * (b - q->b.zero)) * q->factor;
    return (float)(a - q->a.zero) * q->a.scale + (float)(b - q->b.zero) * q->b.scale;
}

static void pair_plain(void *py, const void *const *px, const int64_t *sx, int64_t n,
                       const void *arg)
{
    const pair *q = arg;
    uint8_t *y = py;
    const uint8_t *a = px[0], *b = px[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = pln_quantize_byte(combine(q, pln_byte_value(a[i * sx[0]], q->flip),
                                         pln_byte_value(b[i * sx[1]], q->flip)),
                                 q->mul ? 1.0f : q->y.scale, q->y.zero, q->flip);
}

static void to_float(float *y, const uint8_t *x, int64_t n, pln_qparam q, int flip)
{
    if (flip)
        pln_vec()->dequant_s8(y, (const int8_t *)x, n, q.scale, q.zero);
    else
        pln_vec()->dequant_u8(y, x, n, q.scale, q.zero);
}

static void pair_vec(void *py, const void *const *px, const int64_t *sx, int64_t n,
                     const void *arg)
{
    enum { BLOCK = 512 };
    const pair *q = arg;
    const pln_vec_fns *f = pln_vec();
    float a[BLOCK], b[BLOCK];
    const pln_qparam qa = { q->mul ? 1.0f : q->a.scale, q->a.zero };
    const pln_qparam qb = { q->mul ? 1.0f : q->b.scale, q->b.zero };
    for (int64_t i = 0; i < n; i += BLOCK) {
        const int64_t k = n - i < BLOCK ? n - i : BLOCK;
        uint8_t *y = (uint8_t *)py + i;
        to_float(a, (const uint8_t *)px[0] + i * sx[0], sx[0] ? k : 1, qa, q->flip);
        to_float(b, (const uint8_t *)px[1] + i * sx[1], sx[1] ? k : 1, qb, q->flip);
        if (q->mul) {
            f->mul(a, a, sx[0], b, sx[1], k);
            f->linear(a, a, k, q->factor, 0.0f);
        } else {
            f->add(a, a, sx[0], b, sx[1], k);
        }
        const float scale = q->mul ? 1.0f : q->y.scale;
        if (q->flip)
            f->quant_s8((int8_t *)y, a, k, scale, q->y.zero);
        else
            f->quant_u8(y, a, k, scale, q->y.zero);
    }
}

static pln_status pair_with(pln_call *c, bool mul, pln_loop_fn fn, pln_error *err)
{
    pair q = { .mul = mul, .flip = pln_byte_flip((pln_dtype)c->in[0]->dtype) };
    PLN_TRY(pln_qparam_get(c, 1, 2, &q.a, err));
    PLN_TRY(pln_qparam_get(c, 4, 5, &q.b, err));
    PLN_TRY(pln_qparam_get(c, 6, 7, &q.y, err));
    q.factor = q.a.scale * q.b.scale / q.y.scale;
    const pln_loop loop = { .fn = fn, .arg = &q, .n_in = 2, .grain = PLN_LOOP_HEAVY };
    return pln_loop_run(c, &loop, c->out[0], (const pln_tensor *[]){ c->in[0], c->in[3] },
                        err);
}

static pln_status add_ref(pln_call *c, pln_error *err)
{
    return pair_with(c, false, pair_plain, err);
}

static pln_status mul_ref(pln_call *c, pln_error *err)
{
    return pair_with(c, true, pair_plain, err);
}

static pln_status add_run(pln_call *c, pln_error *err)
{
    return pair_with(c, false, pair_vec, err);
}

static pln_status mul_run(pln_call *c, pln_error *err)
{
    return pair_with(c, true, pair_vec, err);
}

static const pln_impl add_cpu = { "qlinear_add", NULL, add_run, NULL };
static const pln_impl mul_cpu = { "qlinear_mul", NULL, mul_run, NULL };

static pln_status broadcast_of(pln_infer *inf, const uint32_t *at, uint32_t n,
                               pln_dtype dt, pln_error *err)
{
    pln_shape s[3], out;
    for (uint32_t i = 0; i < n; i++) {
        if (!pln_infer_has(inf, at[i]))
            return pln_infer_fail(inf, err, "input %u is absent", at[i]);
        s[i] = inf->in[at[i]]->shape;
    }
    PLN_TRY(pln_infer_broadcast_shapes(inf, s, n, &out, err));
    pln_infer_set(inf, 0, dt, out);
    return PLN_OK;
}

static pln_status pair_infer(pln_infer *inf, pln_error *err)
{
    return broadcast_of(inf, (const uint32_t[]){ 0, 3 }, 2, pln_infer_dtype(inf, 0), err);
}

/* ---- MulInteger: (a - a_zero) (b - b_zero) --------------------------------------- */

static void mul_int(void *py, const void *const *px, const int64_t *sx, int64_t n,
                    const void *arg)
{
    const pair *q = arg;
    int32_t *y = py;
    const uint8_t *a = px[0], *b = px[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = (pln_byte_value(a[i * sx[0]], q->flip) - q->a.zero) *
               (pln_byte_value(b[i * sx[1]], q->flip) - q->b.zero);
}

static pln_status mul_int_infer(pln_infer *inf, pln_error *err)
{
    return broadcast_of(inf, (const uint32_t[]){ 0, 2 }, 2, PLN_DT_S32, err);
}

static pln_status mul_int_ref(pln_call *c, pln_error *err)
{
    pair q = { .flip = pln_byte_flip((pln_dtype)c->in[0]->dtype) };
    for (uint32_t i = 1; i < 4; i += 2) {
        if (!pln_call_has(c, i))
            continue;
        if (pln_tensor_size(c->in[i]) != 1)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u is no scalar zero point",
                                 i);
        *(i == 1 ? &q.a.zero : &q.b.zero) = (int32_t)pln_tensor_get_i64(c->in[i], 0);
    }
    const pln_loop loop = { .fn = mul_int, .arg = &q, .n_in = 2 };
    return pln_loop_run(c, &loop, c->out[0], (const pln_tensor *[]){ c->in[0], c->in[2] },
                        err);
}

/* ---- QLinearSigmoid, QLinearLeakyRelu -------------------------------------------- */

typedef struct unary_attrs {
    float alpha;
} unary_attrs;

static const pln_attr_spec leaky_spec[] = { PLN_A_FLOAT(unary_attrs, alpha, 0.01f),
                                            PLN_A_END };

static float sigmoid(float x, float arg)
{
    (void)arg;
    return 1.0f / (1.0f + expf(-x));
}

static float leaky(float x, float arg)
{
    return x < 0 ? arg * x : x;
}

static pln_status unary(pln_call *c, float (*fn)(float, float), float arg, pln_error *err)
{
    pln_qparam x, y;
    uint8_t table[256];
    PLN_TRY(pln_qparam_get(c, 1, 2, &x, err));
    PLN_TRY(pln_qparam_get(c, 3, 4, &y, err));
    const pln_dtype dt = (pln_dtype)c->in[0]->dtype;
    pln_q_table(table, dt, x, dt, y, fn, arg);
    pln_q_map(c, table, c->in[0]->data, c->out[0]->data, pln_tensor_size(c->in[0]));
    return PLN_OK;
}

static pln_status sigmoid_ref(pln_call *c, pln_error *err)
{
    return unary(c, sigmoid, 0, err);
}

static pln_status leaky_ref(pln_call *c, pln_error *err)
{
    return unary(c, leaky, ((const unary_attrs *)c->attrs)->alpha, err);
}

/* ---- QLinearConcat, planish.QConcat ------------------------------------------------
 * Inputs: y_scale, y_zero, then tensor, scale and zero point of each. */

typedef struct concat_attrs {
    int64_t axis;
} concat_attrs;

static const pln_attr_spec concat_spec[] = {
    { .name = "axis",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(concat_attrs, axis) },
    PLN_A_END,
};

static pln_status concat_check(pln_node *n, void *attrs, pln_error *err)
{
    char where[160];
    (void)attrs;
    if (n->n_in >= 5 && (n->n_in - 2) % 3 == 0)
        return PLN_OK;
    return pln_fail(err, PLN_E_FORMAT,
                    "%s: %u inputs are no list of tensors with scales and "
                    "zero points",
                    pln_node_where(n, where, sizeof where), n->n_in);
}

static pln_status concat_infer(pln_infer *inf, pln_error *err)
{
    const concat_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, 2);
    const pln_dtype dt = pln_infer_dtype(inf, 1);
    int axis;
    pln_infer_set(inf, 0, dt, pln_shape_unknown());
    for (uint32_t i = 2; i < inf->n_in; i += 3)
        if (pln_infer_rank(inf, i) == PLN_RANK_UNKNOWN)
            return PLN_OK;
    PLN_TRY(pln_infer_axis(inf, at->axis, rank, &axis, err));
    pln_shape s = pln_move_infer_like(inf, 2);
    for (uint32_t i = 5; i < inf->n_in; i += 3) {
        if (pln_infer_rank(inf, i) != rank)
            return pln_infer_fail(inf, err, "inputs 2 and %u differ in rank", i);
        for (int d = 0; d < s.rank; d++) {
            const pln_dim v = pln_infer_dim(inf, i, d);
            if (d == axis)
                s.dims[d] = pln_dim_add(inf->syms, s.dims[d], v);
            else if (pln_dim_differ(inf->syms, s.dims[d], v))
                return pln_infer_fail(inf, err, "inputs 2 and %u differ in dimension %d",
                                      i, d);
            else if (!pln_dim_is_known(s.dims[d]))
                s.dims[d] = v;
        }
    }
    pln_infer_set(inf, 0, dt, s);
    return PLN_OK;
}

static bool changes_nothing(const uint8_t *table)
{
    for (int i = 0; i < 256; i++)
        if (table[i] != i)
            return false;
    return true;
}

static pln_status concat_part(pln_call *c, uint32_t i, pln_qparam to, int64_t inner,
                              int64_t row, int64_t *at, pln_error *err)
{
    const pln_tensor *x = c->in[i];
    pln_qparam from;
    uint8_t table[256], *y = c->out[0]->data;
    PLN_TRY(pln_qparam_get(c, i + 1, i + 2, &from, err));
    pln_q_table(table, (pln_dtype)x->dtype, from, (pln_dtype)c->out[0]->dtype, to, NULL,
                0);
    const bool same = changes_nothing(table);
    const int64_t size = pln_tensor_size(x), len = row ? inner : 0;
    for (int64_t r = 0; len && r < size / len; r++) {
        const uint8_t *from_row = PLN_DATA(const uint8_t, x) + r * len;
        if (same)
            memcpy(y + r * row + *at, from_row, (size_t)len);
        else
            pln_q_map(c, table, from_row, y + r * row + *at, len);
    }
    *at += inner;
    return PLN_OK;
}

static pln_status concat_ref(pln_call *c, pln_error *err)
{
    const concat_attrs *a = c->attrs;
    const pln_tensor *y = c->out[0];
    pln_qparam to;
    int axis;
    int64_t at = 0;
    PLN_TRY(pln_qparam_get(c, 0, 1, &to, err));
    PLN_TRY(pln_move_axis(c, a->axis, y->rank, &axis, PLN_E_RUN, err));
    const int64_t row = pln_move_count(y->dims, axis, y->rank);
    for (uint32_t i = 2; i < c->n_in; i += 3) {
        const pln_tensor *x = c->in[i];
        if (!x || (x->dtype != PLN_DT_U8 && x->dtype != PLN_DT_S8) || x->rank != y->rank)
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "input %u is absent, or no tensor of bytes", i);
        PLN_TRY(concat_part(c, i, to, pln_move_count(c->in[i]->dims, axis, y->rank), row,
                            &at, err));
    }
    return PLN_OK;
}

/* ---- QLinearWhere, planish.QWhere ------------------------------------------------ */

typedef struct where_arg {
    uint8_t x[256], y[256];
} where_arg;

static void where_loop(void *pz, const void *const *px, const int64_t *sx, int64_t n,
                       const void *arg)
{
    const where_arg *t = arg;
    uint8_t *z = pz;
    const uint8_t *cond = px[0], *x = px[1], *y = px[2];
    for (int64_t i = 0; i < n; i++)
        z[i] = cond[i * sx[0]] ? t->x[x[i * sx[1]]] : t->y[y[i * sx[2]]];
}

static pln_status where_infer(pln_infer *inf, pln_error *err)
{
    return broadcast_of(inf, (const uint32_t[]){ 0, 1, 4 }, 3, pln_infer_dtype(inf, 1),
                        err);
}

static pln_status where_ref(pln_call *c, pln_error *err)
{
    pln_qparam x, y, z;
    where_arg t;
    const pln_dtype dt = (pln_dtype)c->out[0]->dtype;
    PLN_TRY(pln_qparam_get(c, 2, 3, &x, err));
    PLN_TRY(pln_qparam_get(c, 5, 6, &y, err));
    PLN_TRY(pln_qparam_get(c, 7, 8, &z, err));
    pln_q_table(t.x, dt, x, dt, z, NULL, 0);
    pln_q_table(t.y, dt, y, dt, z, NULL, 0);
    const pln_loop loop = { .fn = where_loop, .arg = &t, .n_in = 3 };
    const pln_tensor *in[] = { c->in[0], c->in[1], c->in[4] };
    return pln_loop_run(c, &loop, c->out[0], in, err);
}

#define MS    .domain = "com.microsoft", .since = 1, .out = { 1, 1 }
#define BYTES "uint8,int8"
#define PAIR                                                                             \
    MS, .in = { 7, 8 }, .types = "T:" BYTES, .sig = "T,float,T?,T,float,T?,float,T?->T", \
        .infer = pair_infer
#define CONCAT                                                                         \
    .in = { 5, PLN_VARIADIC }, .types = "T8:" BYTES ";TV:float," BYTES,                \
    .sig = "float,T8,TV+->T8", .attrs = concat_spec, .attrs_size = sizeof(concat_attrs), \
    .check = concat_check, .infer = concat_infer, .ref = concat_ref
#define UNARY                                                                 \
    MS, .in = { 4, 5 }, .types = "T:" BYTES, .sig = "T,float,T?,float,T?->T", \
        .infer = pln_infer_same

const pln_op_desc pln_ops_ms_qlinear[] = {
    { PAIR, .name = "QLinearAdd", .ref = add_ref, .cpu = &add_cpu },
    { PAIR, .name = "QLinearMul", .ref = mul_ref, .cpu = &mul_cpu },
    { MS, .name = "MulInteger", .in = { 3, 4 }, .types = "T:" BYTES,
      .sig = "T,T?,T,T?->int32", .infer = mul_int_infer, .ref = mul_int_ref },
    { UNARY, .name = "QLinearSigmoid", .ref = sigmoid_ref },
    { UNARY, .name = "QLinearLeakyRelu", .attrs = leaky_spec,
      .attrs_size = sizeof(unary_attrs), .ref = leaky_ref },
    { MS, .name = "QLinearConcat", CONCAT },
    { .domain = "planish", .since = 1, .out = { 1, 1 }, .name = "QConcat", CONCAT },
    { MS, .name = "QLinearWhere", .in = { 9, 9 }, .types = "T:" BYTES,
      .sig = "bool,T,float,T,T,float,T,float,T->T", .infer = where_infer,
      .ref = where_ref },
    { .domain = "planish", .since = 1, .out = { 1, 1 }, .name = "QWhere", .in = { 8, 9 },
      .types = "T:" BYTES, .sig = "bool,T,float,T?,T,float,T?,float,T?->T",
      .infer = where_infer, .ref = where_ref },
    { .name = NULL },
};
