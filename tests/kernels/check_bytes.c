/* What lies between quantized bytes: vectors give what the definition gives.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

extern const pln_op_desc pln_ops_bytes[];

static pln_tensor *bytes(bool is_signed, int rank, const int64_t *dims, uint64_t seed)
{
    pln_tensor *t = tk_tensor(is_signed ? PLN_DT_S8 : PLN_DT_U8, rank, dims);
    tk_random(t, seed, is_signed ? -128 : 0, is_signed ? 127 : 255);
    return t;
}

static pln_tensor *number(pln_dtype dt, double v)
{
    pln_tensor *t = tk_tensor(dt, 0, NULL);
    pln_tensor_set_f64(t, 0, v);
    return t;
}

static void same(const tk_case *c)
{
    pln_error err = { 0 };
    pln_tensor *want, *got;
    ck_assert_msg(tk_run(c, NULL, &want, &err) == PLN_OK, "%s", err.text);
    ck_assert_msg(tk_run(c, c->op->cpu, &got, &err) == PLN_OK, "%s", err.text);
    for (int64_t i = 0; i < pln_tensor_size(want); i++)
        ck_assert_int_eq(pln_tensor_get_i64(want, i), pln_tensor_get_i64(got, i));
    tk_free(want), tk_free(got);
}

START_TEST(pairs)
{
    static const char *const ops[] = { "QAdd", "QSub", "QMul" };
    static const int64_t all[] = { 3, 5, 77 }, row[] = { 5, 77 }, column[] = { 3, 5, 1 };
    for (int v = 0; v < 3 * 3 * 8; v++) {
        const bool sa = v & 1, sb = v & 2, sy = v & 4;
        const int other = v / 8 % 3;
        pln_tensor *a = bytes(sa, 3, all, 1);
        pln_tensor *b = other == 0   ? bytes(sb, 3, all, 2)
                        : other == 1 ? bytes(sb, 2, row, 2)
                                     : bytes(sb, 3, column, 2);
        pln_tensor *as = number(PLN_DT_F32, 0.03), *bs = number(PLN_DT_F32, 0.07);
        pln_tensor *ys = number(PLN_DT_F32, 0.11);
        pln_tensor *az = number((pln_dtype)a->dtype, 5),
                   *yz = number(sy ? PLN_DT_S8 : PLN_DT_U8, 9);
        const tk_case c = { .op = tk_row(pln_ops_bytes, ops[v / 24]),
                            .n_threads = 2,
                            .n_in = 8,
                            .in = { a, as, az, b, bs, NULL, ys, yz },
                            .out_rank = 3,
                            .out_dims = { 3, 5, 77 },
                            .out_dtype = (pln_dtype)yz->dtype };
        same(&c);
        pln_tensor *made[] = { a, b, as, bs, ys, az, yz };
        for (int i = 0; i < 7; i++)
            tk_free(made[i]);
    }
}
END_TEST

START_TEST(tables)
{
    const int64_t n = 1000, entries = 256;
    pln_tensor *x = bytes(true, 1, &n, 1), *t = bytes(false, 1, &entries, 2), *y;
    pln_error err = { 0 };
    const tk_case c = { .op = tk_row(pln_ops_bytes, "ByteTable"),
                        .n_threads = 2,
                        .n_in = 2,
                        .in = { x, t },
                        .out_rank = 1,
                        .out_dims = { n },
                        .out_dtype = PLN_DT_U8 };
    ck_assert_msg(tk_run(&c, c.op->cpu, &y, &err) == PLN_OK, "%s", err.text);
    for (int64_t i = 0; i < n; i++)
        ck_assert_int_eq(pln_tensor_get_i64(y, i),
                         pln_tensor_get_i64(t, (uint8_t)pln_tensor_get_i64(x, i)));
    tk_free(x), tk_free(t), tk_free(y);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bytes");
    TCase *t = tcase_create("bytes");
    tcase_add_test(t, pairs);
    tcase_add_test(t, tables);
    suite_add_tcase(s, t);
    return unit_main(s);
}
