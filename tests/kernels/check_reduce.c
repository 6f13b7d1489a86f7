/* Reductions, softmax, normalizations, quantization and recurrence: the fast versions
 * against the references. --bench times them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/bcast.h"
#include "kernels/norm.h"
#include "kernels/reduce.h"
#include "kernels/rnn.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

extern const pln_op_desc pln_ops_cumulative[], pln_ops_reduce[], pln_ops_softmax[],
    pln_ops_norm[], pln_ops_rnn[];

static uint64_t seed = 3;

static int64_t pick(int64_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

static pln_tensor *random_tensor(int rank, const int64_t *dims)
{
    pln_tensor *t = tk_tensor(PLN_DT_F32, rank, dims);
    tk_random(t, (uint64_t)pick(1000), -2, 2);
    return t;
}

static void same(const char *what, const pln_tensor *a, const pln_tensor *b,
                 double tolerance)
{
    for (int64_t i = 0; i < pln_tensor_size(a); i++) {
        const double x = pln_tensor_get_f64(a, i), y = pln_tensor_get_f64(b, i);
        ck_assert_msg(x == y || (x != x && y != y) ||
                          fabs(x - y) <= tolerance * (1 + fabs(y)),
                      "%s, element %d: %g, want %g", what, (int)i, x, y);
    }
}

/* Runs reference and fast version of a case with one thread and with three. */
static void both(tk_case *c, const char *what, double tolerance)
{
    pln_tensor *want, *one, *three;
    ck_assert(tk_run(c, NULL, &want, NULL) == PLN_OK);
    c->n_threads = 1;
    ck_assert(tk_run(c, c->op->cpu, &one, NULL) == PLN_OK);
    c->n_threads = 3;
    ck_assert(tk_run(c, c->op->cpu, &three, NULL) == PLN_OK);
    same(what, one, want, tolerance);
    ck_assert_msg(!memcmp(one->data, three->data,
                          (size_t)pln_tensor_size(one) * pln_dtype_size(one->dtype)),
                  "%s depends on the number of threads", what);
    tk_free(want), tk_free(one), tk_free(three);
}

static pln_tensor *random_of(pln_dtype dt, int rank, const int64_t *dims, double low)
{
    pln_tensor *t = tk_tensor(dt, rank, dims);
    for (int64_t i = 0; i < pln_tensor_size(t); i++) {
        const double v = (double)pick(4001) / 1000;
        pln_tensor_set_f64(t, i, pln_dtype_is_float(dt) ? low + v : low < 0 ? v - 2 : v);
    }
    return t;
}

static void reduce_once(const pln_op_desc *op, pln_dtype dt)
{
    static const int64_t sizes[] = { 1, 2, 3, 7, 17, 40, 300 };
    const int rank = 1 + (int)pick(4);
    const reduce_attrs a = { .keepdims = pick(2) };
    int64_t dims[4];
    for (int d = 0; d < rank; d++)
        dims[d] = sizes[pick(rank < 3 ? 7 : 5)];
    /* logarithms of sums that are not near 0; products that stay in range */
    const double low = strcmp(op->name, "ReduceLogSum") ? -2 : 0.5;
    pln_tensor *x = random_of(dt, rank, dims, low);
    pln_tensor *axes = tk_tensor(PLN_DT_S64, 1, (int64_t[]){ rank });
    axes->dims[0] = 0;
    tk_case c = { .op = op,
                  .attrs = &a,
                  .n_threads = 2,
                  .n_in = 2,
                  .in = { x, axes },
                  .constant = { false, true },
                  .out_dtype = dt };
    for (int d = 0; d < rank; d++) {
        if (pick(2))
            PLN_DATA(int64_t, axes)[axes->dims[0]++] = pick(2) ? d : d - rank;
        else
            c.out_dims[c.out_rank++] = dims[d];
    }
    if (axes->dims[0] == 0)
        c.out_rank = 0;
    if (a.keepdims) {
        const bool all = axes->dims[0] == 0;
        c.out_rank = rank;
        for (int d = 0; d < rank; d++)
            c.out_dims[d] = all ? 1 : dims[d];
        for (int64_t i = 0; i < axes->dims[0]; i++) {
            const int64_t d = PLN_DATA(int64_t, axes)[i];
            c.out_dims[d < 0 ? d + rank : d] = 1;
        }
    }
    both(&c, op->name, strcmp(op->name, "ReduceProd") ? 1e-5 : 1e-3);
    tk_free(x), tk_free(axes);
}

START_TEST(reductions)
{
    for (const pln_op_desc *op = pln_ops_reduce; op->name; op++)
        for (int i = 0; op->cpu && i < 60; i++)
            reduce_once(op, PLN_DT_F32);
}
END_TEST

/* Every other type for which the operator has loops. */
START_TEST(reductions_of_types)
{
    static const pln_dtype types[] = { PLN_DT_F64, PLN_DT_S32, PLN_DT_S64, PLN_DT_U32,
                                       PLN_DT_U64, PLN_DT_S8,  PLN_DT_U8 };
    static const struct {
        const char *name;
        pln_fold fold;
        pln_reduce_end end;
    } ops[] = { { "ReduceSum", PLN_FOLD_SUM, PLN_REDUCE_PLAIN },
                { "ReduceMean", PLN_FOLD_SUM, PLN_REDUCE_MEAN },
                { "ReduceMax", PLN_FOLD_MAX, PLN_REDUCE_PLAIN },
                { "ReduceMin", PLN_FOLD_MIN, PLN_REDUCE_PLAIN },
                { "ReduceProd", PLN_FOLD_PROD, PLN_REDUCE_PLAIN },
                { "ReduceL1", PLN_FOLD_L1, PLN_REDUCE_PLAIN },
                { "ReduceL2", PLN_FOLD_SQUARE, PLN_REDUCE_SQRT },
                { "ReduceSumSquare", PLN_FOLD_SQUARE, PLN_REDUCE_PLAIN },
                { "ReduceLogSum", PLN_FOLD_SUM, PLN_REDUCE_LOG } };
    int n = 0;
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            if (!pln_reduce_typed_can(types[t], ops[o].fold, ops[o].end))
                continue;
            for (int i = 0; i < 30; i++, n++)
                reduce_once(tk_row(pln_ops_reduce, ops[o].name), types[t]);
        }
    ck_assert_int_ge(n, 30 * 30);
}
END_TEST

/* Best elements, the first or the last of equals, and partial sums: as the reference. */
START_TEST(along_an_axis)
{
    static const pln_dtype types[] = { PLN_DT_F32, PLN_DT_F64, PLN_DT_S32, PLN_DT_S64,
                                       PLN_DT_U32, PLN_DT_U64, PLN_DT_S8,  PLN_DT_U8 };
    for (int i = 0; i < 400; i++) {
        const pln_dtype dt = types[pick(8)];
        const int64_t dims[3] = { 1 + pick(4), 1 + pick(200),
                                  pick(2) ? 1 : 1 + pick(300) };
        pln_tensor *x = random_of(dt, 3, dims, -2);
        for (int k = 0; pln_dtype_is_float(dt) && k < (int)pick(4); k++)
            pln_tensor_set_f64(x, pick(pln_tensor_size(x)), NAN);
        const struct {
            int64_t axis, keepdims, last;
        } arg = { 1, 1, pick(2) };
        tk_case c = { .op = tk_row(pln_ops_cumulative, pick(2) ? "ArgMax" : "ArgMin"),
                      .attrs = &arg,
                      .n_in = 1,
                      .in = { x },
                      .out_dtype = PLN_DT_S64,
                      .out_rank = 3,
                      .out_dims = { dims[0], 1, dims[2] } };
        both(&c, c.op->name, 0);
        tk_free(x);
        if (dt == PLN_DT_S8 || dt == PLN_DT_U8)
            continue;
        const int64_t cum[2] = { pick(2), pick(2) };
        pln_tensor *axis = tk_tensor(PLN_DT_S64, 1, (int64_t[]){ 1 });
        PLN_DATA(int64_t, axis)[0] = 1;
        x = random_of(dt, 3, dims, -2);
        tk_case s = { .op = tk_row(pln_ops_cumulative, "CumSum"),
                      .attrs = cum,
                      .n_in = 2,
                      .in = { x, axis },
                      .out_dtype = dt,
                      .out_rank = 3,
                      .out_dims = { dims[0], dims[1], dims[2] } };
        both(&s, "CumSum", 0);
        tk_free(x), tk_free(axis);
    }
}
END_TEST

/* A long vector goes in pieces. */
START_TEST(long_sums)
{
    const reduce_attrs a = { .keepdims = 0 };
    pln_tensor *x = random_tensor(1, (int64_t[]){ 300001 });
    tk_case c = { .op = tk_row(pln_ops_reduce, "ReduceSum"),
                  .attrs = &a,
                  .n_threads = 2,
                  .n_in = 1,
                  .in = { x },
                  .out_dtype = PLN_DT_F32 };
    both(&c, "ReduceSum", 1e-5);
    tk_free(x);
}
END_TEST

/* A channels-last input gives what the plain one gives. */
START_TEST(reductions_of_channels_last)
{
    const reduce_attrs a = { .keepdims = 1 };
    pln_tensor *x = random_tensor(4, (int64_t[]){ 2, 37, 5, 6 });
    pln_tensor *last = tk_tensor(PLN_DT_F32, 4, x->dims);
    pln_tensor *axes = tk_tensor(PLN_DT_S64, 1, (int64_t[]){ 2 });
    pln_tensor *want = tk_tensor(PLN_DT_F32, 4, (int64_t[]){ 2, 37, 1, 1 });
    pln_tensor *got = tk_tensor(PLN_DT_F32, 4, want->dims);
    PLN_DATA(int64_t, axes)[0] = 2;
    PLN_DATA(int64_t, axes)[1] = -1;
    last->layout = PLN_LAYOUT_CHANNELS_LAST;
    for (int64_t i = 0; i < 2 * 37 * 30; i++)
        PLN_DATA(float, last)
        [(i / (37 * 30) * 30 + i % 30) * 37 + i / 30 % 37] = PLN_DATA(float, x)[i];
    const pln_op_desc *op = tk_row(pln_ops_reduce, "ReduceMean");
    for (int k = 0; k < 2; k++) {
        const pln_tensor *in[2] = { k ? last : x, axes };
        pln_tensor *out[1] = { k ? got : want };
        pln_call c = {
            .attrs = &a, .n_in = 2, .n_out = 1, .in = in, .out = out, .n_threads = 2
        };
        ck_assert(op->cpu->run(&c, NULL) == PLN_OK);
    }
    same("channels last", got, want, 1e-6);
    tk_free(x), tk_free(last), tk_free(axes), tk_free(want), tk_free(got);
}
END_TEST

/* Laid out as the row's attributes begin. */
typedef struct axis_attrs {
    int64_t axis, flatten;
} axis_attrs;

START_TEST(softmaxes)
{
    for (const pln_op_desc *op = pln_ops_softmax; op->name; op++)
        for (int i = 0; op->cpu && i < 40; i++) {
            const int64_t dims[3] = { 1 + pick(5), 1 + pick(300), 1 + pick(40) };
            const axis_attrs a = { pick(6) - 3, pick(2) };
            pln_tensor *x = random_tensor(3, dims);
            tk_case c = { .op = op,
                          .attrs = &a,
                          .n_threads = 2,
                          .n_in = 1,
                          .in = { x },
                          .out_dtype = PLN_DT_F32,
                          .out_rank = 3 };
            memcpy(c.out_dims, dims, sizeof dims);
            if (op->cpu)
                both(&c, op->name, 2e-6);
            tk_free(x);
        }
}
END_TEST

static void norm_once(const char *name, bool channels)
{
    const int64_t dims[4] = { 1 + pick(3), 1 + pick(40), 1 + pick(7), 1 + pick(50) };
    const int axis = channels ? 1 : 1 + (int)pick(3);
    const pln_norm_attrs a = { .axis = axis - (pick(2) && !channels ? 4 : 0),
                               .epsilon = 1e-5f,
                               .momentum = 0.9f };
    pln_tensor *x = random_tensor(4, dims);
    tk_case c = { .op = tk_row(pln_ops_norm, name),
                  .attrs = &a,
                  .n_threads = 2,
                  .n_in = 1,
                  .in = { x },
                  .out_dtype = PLN_DT_F32,
                  .out_rank = 4 };
    const uint32_t n_in = !strcmp(name, "BatchNormalization") ? 5
                          : !strcmp(name, "RMSNormalization") ? 2
                                                              : 3;
    for (; c.n_in < n_in; c.n_in++) {
        pln_tensor *t =
            channels ? random_tensor(1, dims + 1) : random_tensor(4 - axis, dims + axis);
        for (int64_t i = 0; c.n_in == 4 && i < dims[1]; i++)
            PLN_DATA(float, t)[i] += 3; /* a variance */
        c.in[c.n_in] = t;
    }
    memcpy(c.out_dims, dims, sizeof dims);
    both(&c, name, 1e-4);
    for (uint32_t i = 0; i < c.n_in; i++)
        tk_free((pln_tensor *)c.in[i]);
}

START_TEST(normalizations)
{
    for (int i = 0; i < 30; i++) {
        norm_once("LayerNormalization", false);
        norm_once("RMSNormalization", false);
        norm_once("BatchNormalization", true);
        norm_once("InstanceNormalization", true);
    }
}
END_TEST

/* ---- recurrence -------------------------------------------------------------------- */

static void rnn_once(const char *name, int gates, int n_acts)
{
    const int64_t steps = 1 + pick(7), batch = 1 + pick(3), input = 1 + pick(20),
                  hidden = 1 + pick(37), dirs = 1 + pick(2), gh = gates * hidden;
    pln_rnn_attrs a = { .direction = dirs == 2 ? 2 : (int)pick(2),
                        .gates = gates,
                        .n_acts = n_acts,
                        .linear_before_reset = pick(2),
                        .input_forget = pick(2),
                        .layout = pick(2),
                        .clip = 0.5f,
                        .has_clip = pick(2) };
    for (int i = 0; i < 6; i++)
        a.act[i].fn = i % n_acts == 0 && gates > 1 ? pln_rnn_sigmoid : pln_rnn_tanh;
    const int64_t sb[2] = { a.layout ? batch : steps, a.layout ? steps : batch };
    const int64_t h[3] = { a.layout ? batch : dirs, a.layout ? dirs : batch, hidden };
    pln_tensor *lens = tk_tensor(PLN_DT_S32, 1, &batch);
    for (int64_t i = 0; i < batch; i++)
        PLN_DATA(int32_t, lens)[i] = (int32_t)pick(steps + 1);
    tk_case c = {
        .op = tk_row(pln_ops_rnn, name),
        .attrs = &a,
        .n_threads = 2,
        .n_in = gates == 4 ? 8 : 6,
        .out_dtype = PLN_DT_F32,
        .out_rank = 4,
        .out_dims = { sb[0], a.layout ? sb[1] : dirs, a.layout ? dirs : batch, hidden },
        .in = { random_tensor(3, (int64_t[]){ sb[0], sb[1], input }),
                random_tensor(3, (int64_t[]){ dirs, gh, input }),
                random_tensor(3, (int64_t[]){ dirs, gh, hidden }),
                random_tensor(2, (int64_t[]){ dirs, 2 * gh }), lens, random_tensor(3, h),
                gates == 4 ? random_tensor(3, h) : NULL,
                gates == 4 ? random_tensor(2, (int64_t[]){ dirs, 3 * hidden }) : NULL },
    };
    for (int constant = 0; constant < 2; constant++) {
        c.constant[1] = c.constant[2] = constant;
        both(&c, name, 2e-4);
    }
    for (uint32_t i = 0; i < c.n_in; i++)
        tk_free((pln_tensor *)c.in[i]);
}

START_TEST(recurrence)
{
    for (int i = 0; i < 25; i++) {
        rnn_once("LSTM", 4, 3);
        rnn_once("GRU", 3, 2);
        rnn_once("RNN", 1, 1);
    }
}
END_TEST

static void bench_softmax(int64_t rows, int64_t n)
{
    const axis_attrs a = { -1, 0 };
    pln_tensor *x = random_tensor(2, (int64_t[]){ rows, n });
    tk_case c = { .op = tk_row(pln_ops_softmax, "Softmax"),
                  .attrs = &a,
                  .n_threads = 2,
                  .n_in = 1,
                  .in = { x },
                  .out_dtype = PLN_DT_F32,
                  .out_rank = 2,
                  .out_dims = { rows, n } };
    const double t = tk_bench(&c, c.op->cpu, 0.2, NULL);
    printf("# softmax %5d x %5d %8.1f us\n", (int)rows, (int)n, t * 1e6);
    tk_free(x);
}

static void bench_layer_norm(int64_t rows, int64_t n)
{
    const pln_norm_attrs a = { .axis = -1, .epsilon = 1e-5f };
    pln_tensor *x = random_tensor(2, (int64_t[]){ rows, n });
    pln_tensor *g = random_tensor(1, &n);
    tk_case c = { .op = tk_row(pln_ops_norm, "LayerNormalization"),
                  .attrs = &a,
                  .n_threads = 2,
                  .n_in = 3,
                  .in = { x, g, g },
                  .out_dtype = PLN_DT_F32,
                  .out_rank = 2,
                  .out_dims = { rows, n } };
    const double t = tk_bench(&c, c.op->cpu, 0.2, NULL);
    printf("# layer norm %5d x %5d %8.1f us\n", (int)rows, (int)n, t * 1e6);
    tk_free(x), tk_free(g);
}

static void bench_lstm(int64_t steps, int64_t n)
{
    pln_rnn_attrs a = { .gates = 4, .n_acts = 3 };
    for (int i = 0; i < 6; i++)
        a.act[i].fn = i % 3 == 0 ? pln_rnn_sigmoid : pln_rnn_tanh;
    tk_case c = { .op = tk_row(pln_ops_rnn, "LSTM"),
                  .attrs = &a,
                  .n_threads = 2,
                  .n_in = 3,
                  .in = { random_tensor(3, (int64_t[]){ steps, 1, n }),
                          random_tensor(3, (int64_t[]){ 1, 4 * n, n }),
                          random_tensor(3, (int64_t[]){ 1, 4 * n, n }) },
                  .constant = { false, true, true },
                  .out_dtype = PLN_DT_F32,
                  .out_rank = 4,
                  .out_dims = { steps, 1, 1, n } };
    const double t = tk_bench(&c, c.op->cpu, 0.2, NULL);
    printf("# lstm %d steps, %d -> %d %8.1f us\n", (int)steps, (int)n, (int)n, t * 1e6);
    for (uint32_t i = 0; i < 3; i++)
        tk_free((pln_tensor *)c.in[i]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench_softmax(1000, 1000);
        bench_softmax(1536, 128);
        bench_layer_norm(128, 384);
        bench_layer_norm(1025, 384);
        bench_lstm(100, 128);
        bench_lstm(1, 128);
        return 0;
    }
    Suite *s = suite_create("reduce");
    TCase *t = tcase_create("reduce");
    tcase_set_timeout(t, 100);
    tcase_add_test(t, reductions);
    tcase_add_test(t, reductions_of_types);
    tcase_add_test(t, along_an_axis);
    tcase_add_test(t, long_sums);
    tcase_add_test(t, reductions_of_channels_last);
    tcase_add_test(t, softmaxes);
    tcase_add_test(t, normalizations);
    tcase_add_test(t, recurrence);
    suite_add_tcase(s, t);
    return unit_main(s);
}
