/* planish.ByteTable, QAdd, QSub and QMul: what lies between quantized bytes.
 *
 *     ByteTable(X, table)
 *         y = table[x], x being the byte as it is stored (int8 -1 is 255)
 *     QAdd(A, a_scale, a_zero?, B, b_scale, b_zero?, y_scale, y_zero?)
 *         y = QuantizeLinear(DequantizeLinear(A) + DequantizeLinear(B)), step by step in
 *         floats; uint8 where there is no y_zero
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/bcast.h"
#include "kernels/int_product.h"
#include "kernels/ms_qlinear.h"
#include "kernels/vec.h"

/* ---- ByteTable ------------------------------------------------------------------ */

static pln_status table_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].dtype = pln_infer_dtype(inf, 1);
    return PLN_OK;
}

static pln_status table_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0], *t = c->in[1];
    if (t->rank != 1 || t->dims[0] != 256)
        return pln_call_fail(c, err, PLN_E_RUN, "the table has not 256 bytes");
    pln_q_map(c, t->data, x->data, c->out[0]->data, pln_tensor_size(x));
    return PLN_OK;
}

/* The elements may lie in any order. */
static pln_status table_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    p->layout_in[1] = PLN_LAYOUT_PLAIN;
    p->layout_out[0] = p->layout_in[0];
    return PLN_OK;
}

static const pln_impl table_cpu = { "byte_table", table_prepare, table_ref, NULL };

/* ---- QAdd, QSub, QMul ----------------------------------------------------------- */

enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, Y_SCALE, Y_ZERO };

typedef struct operand {
    pln_qparam q;
    int flip;
} operand;

typedef struct pair {
    operand a, b, y;
    char op; /* + - * */
    pln_vec_binary fn;
} pair;

static float value_at(const operand *o, uint8_t byte)
{
    return (float)(pln_byte_value(byte, o->flip) - o->q.zero) * o->q.scale;
}

static void pair_plain(void *py, const void *const *px, const int64_t *sx, int64_t n,
                       const void *arg)
{
    const pair *j = arg;
    const uint8_t *a = px[0], *b = px[1];
    uint8_t *y = py;
    for (int64_t i = 0; i < n; i++) {
        const float u = value_at(&j->a, a[i * sx[0]]), v = value_at(&j->b, b[i * sx[1]]);
        const float f = j->op == '+' ? u + v : j->op == '-' ? u - v : u * v;
        y[i] = pln_quantize_byte(f, j->y.q.scale, j->y.q.zero, j->y.flip);
    }
}

static void to_float(float *y, const uint8_t *x, int64_t n, const operand *o)
{
    if (o->flip)
        pln_vec()->dequant_s8(y, (const int8_t *)x, n, o->q.scale, o->q.zero);
    else
        pln_vec()->dequant_u8(y, x, n, o->q.scale, o->q.zero);
}

static void pair_vec(void *py, const void *const *px, const int64_t *sx, int64_t n,
                     const void *arg)
{
    enum { BLOCK = 512 };
    const pair *j = arg;
    float a[BLOCK], b[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK) {
        const int64_t k = n - i < BLOCK ? n - i : BLOCK;
        uint8_t *y = (uint8_t *)py + i;
        to_float(a, (const uint8_t *)px[0] + i * sx[0], sx[0] ? k : 1, &j->a);
        to_float(b, (const uint8_t *)px[1] + i * sx[1], sx[1] ? k : 1, &j->b);
        j->fn(a, a, sx[0], b, sx[1], k);
        if (j->y.flip)
            pln_vec()->quant_s8((int8_t *)y, a, k, j->y.q.scale, j->y.q.zero);
        else
            pln_vec()->quant_u8(y, a, k, j->y.q.scale, j->y.q.zero);
    }
}

static pln_status operand_get(const pln_call *c, const pln_tensor *t, uint32_t scale,
                              operand *out, pln_error *err)
{
    out->flip = pln_byte_flip((pln_dtype)t->dtype);
    return pln_qparam_get(c, scale, scale + 1, &out->q, err);
}

static pln_status pair_with(pln_call *c, pln_loop_fn fn, pln_error *err)
{
    const char op = c->node->op_type[1];
    pair j = { .op = op == 'A' ? '+' : op == 'S' ? '-' : '*' };
    j.fn = j.op == '+' ? pln_vec()->add : j.op == '-' ? pln_vec()->sub : pln_vec()->mul;
    PLN_TRY(operand_get(c, c->in[A], A_SCALE, &j.a, err));
    PLN_TRY(operand_get(c, c->in[B], B_SCALE, &j.b, err));
    PLN_TRY(operand_get(c, c->out[0], Y_SCALE, &j.y, err));
    const pln_loop loop = { .fn = fn, .arg = &j, .n_in = 2, .grain = PLN_LOOP_HEAVY };
    return pln_loop_run(c, &loop, c->out[0], (const pln_tensor *[]){ c->in[A], c->in[B] },
                        err);
}

static pln_status pair_ref(pln_call *c, pln_error *err)
{
    return pair_with(c, pair_plain, err);
}

static pln_status pair_run(pln_call *c, pln_error *err)
{
    return pair_with(c, pair_vec, err);
}

static const pln_impl pair_cpu = { "byte_pair", pln_loop_prepare, pair_run, NULL };

static pln_status pair_infer(pln_infer *inf, pln_error *err)
{
    pln_shape s[2] = { inf->in[A]->shape, inf->in[B]->shape }, out;
    PLN_TRY(pln_infer_broadcast_shapes(inf, s, 2, &out, err));
    pln_infer_set(inf, 0,
                  pln_infer_has(inf, Y_ZERO) ? pln_infer_dtype(inf, Y_ZERO) : PLN_DT_U8,
                  out);
    return PLN_OK;
}

#define BYTES "uint8,int8"
#define PAIR                                                               \
    .domain = "planish", .since = 1, .in = { 7, 8 }, .out = { 1, 1 },      \
    .types = "T1:" BYTES ";T2:" BYTES ";T3:" BYTES,                        \
    .sig = "T1,float,T1?,T2,float,T2?,float,T3?->T3", .infer = pair_infer, \
    .ref = pair_ref, .cpu = &pair_cpu

const pln_op_desc pln_ops_bytes[] = {
    { .name = "ByteTable",
      .domain = "planish",
      .since = 1,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T1:" BYTES ";T2:" BYTES,
      .sig = "T1,T2->T2",
      .infer = table_infer,
      .ref = table_ref,
      .cpu = &table_cpu },
    { PAIR, .name = "QAdd" },
    { PAIR, .name = "QSub" },
    { PAIR, .name = "QMul" },
    { .name = NULL },
};
