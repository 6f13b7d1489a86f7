/* Elementwise loops: broadcasting over every mix of shapes, layouts and storage types
 * against a walk over coordinates.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/bcast.h"
#include "kernels/block.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

static uint64_t seed = 7;

static int64_t pick(int64_t n)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

static void sub_f32(void *py, const void *const *px, const int64_t *sx, int64_t n,
                    const void *arg)
{
    float *y = (float *)py;
    const float *a = (const float *)px[0], *b = (const float *)px[1];
    (void)arg;
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i * sx[0]] - b[i * sx[1]];
}

/* Element of t that meets coordinates `at` of a tensor of rank `rank`. */
static double value_at(const pln_tensor *t, const int64_t *at, int rank)
{
    int64_t stride[PLN_MAX_RANK], i = 0;
    pln_layout_strides(t, stride);
    for (int d = 0; d < t->rank; d++)
        i += t->dims[d] == 1 ? 0 : at[rank - t->rank + d] * stride[d];
    float v;
    pln_block_load(PLN_DT_F32, &v, t, i, 1, 1);
    return v;
}

static pln_tensor *operand(int rank, const int64_t *dims, pln_dtype dt)
{
    int64_t own[PLN_MAX_RANK];
    const int skip = rank ? (int)pick(rank + 1) * (int)pick(2) : 0;
    for (int d = skip; d < rank; d++)
        own[d - skip] = pick(3) ? dims[d] : 1;
    pln_tensor *t = tk_tensor(dt, rank - skip, own);
    tk_random(t, (uint64_t)pick(1000), -4, 4);
    if (t->rank > 2 && pick(2))
        t->layout = PLN_LAYOUT_CHANNELS_LAST;
    return t;
}

static void check_once(void)
{
    static const int64_t sizes[] = { 1, 2, 3, 5, 16, 33, 200 };
    static const pln_dtype types[] = { PLN_DT_F32, PLN_DT_F16, PLN_DT_BF16, PLN_DT_S32 };
    int64_t dims[5], at[5];
    const int rank = (int)pick(6);
    for (int d = 0; d < rank; d++)
        dims[d] = sizes[pick(d == rank - 1 || rank < 3 ? 7 : 5)];
    const pln_dtype dt = types[pick(3)];
    pln_tensor *in[2] = { operand(rank, dims, types[pick(4)]), operand(rank, dims, dt) };
    pln_tensor *out = tk_tensor(dt, rank, dims);
    if (rank > 2 && pick(2))
        out->layout = PLN_LAYOUT_CHANNELS_LAST;
    const pln_call c = { .n_threads = 2 };
    const pln_loop l = { .fn = sub_f32,
                         .n_in = 2,
                         .work_in = { PLN_DT_F32, PLN_DT_F32 },
                         .work_out = PLN_DT_F32,
                         .grain = 1000 };
    ck_assert(pln_loop_run(&c, &l, out, (const pln_tensor *const *)in, NULL) == PLN_OK);
    for (int64_t i = 0; i < pln_tensor_size(out); i++) {
        int64_t rest = i;
        for (int d = rank - 1; d >= 0; d--) {
            at[d] = rest % dims[d];
            rest /= dims[d];
        }
        const double want =
            (float)(value_at(in[0], at, rank) - value_at(in[1], at, rank));
        const double got = value_at(out, at, rank);
        ck_assert_msg(fabs(got - want) <= fabs(want) * (dt == PLN_DT_F32 ? 0 : 0.004),
                      "element %d: %g, want %g", (int)i, got, want);
    }
    tk_free(in[0]), tk_free(in[1]), tk_free(out);
}

START_TEST(broadcasts)
{
    for (int i = 0; i < 300; i++)
        check_once();
}
END_TEST

START_TEST(refuses_what_does_not_broadcast)
{
    pln_tensor *a = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ 2, 3 });
    pln_tensor *b = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ 2, 2 });
    pln_tensor *y = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ 2, 3 });
    const pln_node node = { .name = "n", .op_type = "Sub" };
    const pln_call c = { .n_threads = 1, .node = &node };
    const pln_loop l = { .fn = sub_f32, .n_in = 2 };
    const pln_tensor *in[2] = { a, b };
    ck_assert(pln_loop_run(&c, &l, y, in, NULL) == PLN_E_RUN);
    tk_free(a), tk_free(b), tk_free(y);
}
END_TEST

/* ---- conversions ------------------------------------------------------------------- */

static double converted(pln_dtype to, pln_dtype from, double v)
{
    char a[16], b[16];
    double y;
    ck_assert(pln_block_convert(from, a, PLN_DT_F64, &v, 1));
    ck_assert(pln_block_convert(to, b, from, a, 1));
    ck_assert(pln_block_convert(PLN_DT_F64, &y, to, b, 1));
    return y;
}

START_TEST(conversions)
{
    ck_assert(converted(PLN_DT_U8, PLN_DT_F32, 300.7) == 44);
    ck_assert(converted(PLN_DT_U8, PLN_DT_F32, -1.5) == 255);
    ck_assert(converted(PLN_DT_S8, PLN_DT_S32, 200) == -56);
    ck_assert(converted(PLN_DT_S32, PLN_DT_F32, NAN) == (double)INT32_MIN);
    ck_assert(converted(PLN_DT_S64, PLN_DT_F64, 1e30) == (double)INT64_MIN);
    ck_assert(converted(PLN_DT_U64, PLN_DT_F64, 1.5e19) == 1.5e19);
    ck_assert(converted(PLN_DT_F32, PLN_DT_U64, 1.5e19) == (double)1.5e19f);
    ck_assert(converted(PLN_DT_BF16, PLN_DT_U64, 0x1p63) == 0x1p63);
    ck_assert(converted(PLN_DT_S4, PLN_DT_F32, -8) == -8);
    ck_assert(converted(PLN_DT_S4, PLN_DT_S32, 9) == -7);
    ck_assert(converted(PLN_DT_U2, PLN_DT_S32, 7) == 3);
    ck_assert(converted(PLN_DT_BOOL, PLN_DT_F32, 0.25) == 1);
    ck_assert(converted(PLN_DT_F8E4M3FN, PLN_DT_F32, 1e6) == 448);
    ck_assert(converted(PLN_DT_F16, PLN_DT_F64, 65520) == INFINITY);
    /* Halfway for float16 but for a bit that float would round away: up. */
    ck_assert(converted(PLN_DT_F8E5M2, PLN_DT_F64, 1.125 + 0x1p-40) == 1.25);
    ck_assert(converted(PLN_DT_F16, PLN_DT_F64, 1 + 0x1p-11 + 0x1p-40) == 1 + 0x1p-10);
}
END_TEST

/* Every value of every short type survives the way through every wider one. */
START_TEST(round_trips)
{
    static const pln_dtype bytes[] = {
        PLN_DT_U8,         PLN_DT_S8,     PLN_DT_F8E4M3FN,
        PLN_DT_F8E4M3FNUZ, PLN_DT_F8E5M2, PLN_DT_F8E5M2FNUZ
    };
    static const pln_dtype wide[] = { PLN_DT_F32, PLN_DT_F64 };
    for (size_t t = 0; t < sizeof bytes / sizeof *bytes; t++)
        for (size_t w = 0; w < 2; w++)
            for (int v = 0; v < 256; v++) {
                const uint8_t in = (uint8_t)v;
                uint8_t back;
                double d, e;
                char middle[8];
                pln_block_convert(wide[w], middle, bytes[t], &in, 1);
                pln_block_convert(bytes[t], &back, wide[w], middle, 1);
                pln_block_convert(PLN_DT_F64, &d, bytes[t], &in, 1);
                pln_block_convert(PLN_DT_F64, &e, bytes[t], &back, 1);
                /* E5M2's infinities saturate, and NaNs lose their payload. */
                ck_assert_msg(d == e || d != d || isinf(d), "%s %d -> %d",
                              pln_dtype_name(bytes[t]), v, back);
            }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("loop");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, broadcasts);
    tcase_add_test(t, refuses_what_does_not_broadcast);
    tcase_add_test(t, conversions);
    tcase_add_test(t, round_trips);
    suite_add_tcase(s, t);
    return unit_main(s);
}
