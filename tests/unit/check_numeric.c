/* Number formats: every code, every midpoint between neighbours, and its neighbours.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "src/ir/numeric.h"
#include "tests/unit/main.h"

/* A format as a pair of functions, so that one test serves all. */
typedef struct format {
    const char *name;
    unsigned codes; /* non-negative finite ones: 0 .. codes - 1 */
    unsigned sign;
    double (*decode)(unsigned code);
    unsigned (*encode)(double v);
} format;

#define F8(dt)                                                  \
    static double decode_##dt(unsigned c)                       \
    {                                                           \
        return (double)pln_f8_to_f32(PLN_DT_##dt, (uint8_t)c);  \
    }                                                           \
    static unsigned encode_##dt(double v)                       \
    {                                                           \
        return pln_f32_to_f8(PLN_DT_##dt, (float)v, false);     \
    }
F8(F8E4M3FN)
F8(F8E4M3FNUZ)
F8(F8E5M2)
F8(F8E5M2FNUZ)

static double decode_f16(unsigned c)
{
    return (double)pln_f16_to_f32((uint16_t)c);
}
static unsigned encode_f16(double v)
{
    ck_assert(isnan(v) || (double)(float)v != v ||
              pln_f32_to_f16((float)v) == pln_f64_to_f16(v));
    return pln_f64_to_f16(v);
}
static double decode_bf16(unsigned c)
{
    return (double)pln_bf16_to_f32((uint16_t)c);
}
static unsigned encode_bf16(double v)
{
    ck_assert(isnan(v) || (double)(float)v != v ||
              pln_f32_to_bf16((float)v) == pln_f64_to_bf16(v));
    return pln_f64_to_bf16(v);
}
static double decode_f4(unsigned c)
{
    return (double)pln_f4_to_f32((uint8_t)c);
}
static unsigned encode_f4(double v)
{
    return pln_f32_to_f4((float)v);
}

#define F6(dt)                                                  \
    static double decode_##dt(unsigned c)                       \
    {                                                           \
        return (double)pln_f6_to_f32(PLN_DT_##dt, (uint8_t)c);  \
    }                                                           \
    static unsigned encode_##dt(double v)                       \
    {                                                           \
        return pln_f32_to_f6(PLN_DT_##dt, (float)v);            \
    }
F6(F6E2M3)
F6(F6E3M2)

static const format formats[] = {
    { "float16", 0x7c00, 0x8000, decode_f16, encode_f16 },
    { "bfloat16", 0x7f80, 0x8000, decode_bf16, encode_bf16 },
    { "float8e4m3fn", 0x7f, 0x80, decode_F8E4M3FN, encode_F8E4M3FN },
    { "float8e4m3fnuz", 0x80, 0x80, decode_F8E4M3FNUZ, encode_F8E4M3FNUZ },
    { "float8e5m2", 0x7c, 0x80, decode_F8E5M2, encode_F8E5M2 },
    { "float8e5m2fnuz", 0x80, 0x80, decode_F8E5M2FNUZ, encode_F8E5M2FNUZ },
    { "float6e2m3", 32, 32, decode_F6E2M3, encode_F6E2M3 },
    { "float6e3m2", 32, 32, decode_F6E3M2, encode_F6E3M2 },
    { "float4e2m1", 8, 8, decode_f4, encode_f4 },
};

/* The next float: all formats but 16-bit ones are reached through float. */
static double step(const format *f, double v, double towards)
{
    if (f->sign == 0x8000)
        return nextafter(v, towards);
    return (double)nextafterf((float)v, (float)towards);
}

START_TEST(rounds_to_nearest_even)
{
    const format *f = &formats[_i];
    for (unsigned c = 0; c < f->codes; c++) {
        const double v = f->decode(c);
        ck_assert_msg(f->encode(v) == c, "%s: code %#x", f->name, c);
        ck_assert_msg(c == 0 || f->encode(-v) == (c | f->sign), "%s: code -%#x", f->name,
                      c);
        if (c + 1 == f->codes)
            break;
        const double next = f->decode(c + 1);
        ck_assert(next > v);
        const double mid = (v + next) / 2; /* exact in double */
        ck_assert_msg(f->encode(mid) == c + (c & 1), "%s: tie above %#x", f->name, c);
        ck_assert_msg(f->encode(step(f, mid, -1e300)) == c, "%s: below tie %#x", f->name,
                      c);
        ck_assert_msg(f->encode(step(f, mid, 1e300)) == c + 1, "%s: above tie %#x",
                      f->name, c);
    }
}
END_TEST

START_TEST(overflow_and_specials)
{
    const float inf = INFINITY, nan = NAN;
    static const struct {
        pln_dtype dt;
        float max;
        uint8_t max_code, over, nan, minus_zero;
    } f8[] = {
        { PLN_DT_F8E4M3FN, 448.0f, 0x7e, 0x7f, 0x7f, 0x80 },
        { PLN_DT_F8E4M3FNUZ, 240.0f, 0x7f, 0x80, 0x80, 0x00 },
        { PLN_DT_F8E5M2, 57344.0f, 0x7b, 0x7c, 0x7e, 0x80 },
        { PLN_DT_F8E5M2FNUZ, 57344.0f, 0x7f, 0x80, 0x80, 0x00 },
    };
    for (size_t i = 0; i < sizeof f8 / sizeof *f8; i++) {
        const pln_dtype dt = f8[i].dt;
        ck_assert(pln_f8_to_f32(dt, f8[i].max_code) == f8[i].max);
        ck_assert_uint_eq(pln_f32_to_f8(dt, inf, true), f8[i].max_code);
        ck_assert_uint_eq(pln_f32_to_f8(dt, -inf, true), f8[i].max_code | 0x80);
        ck_assert_uint_eq(pln_f32_to_f8(dt, 1e30f, true), f8[i].max_code);
        ck_assert_uint_eq(pln_f32_to_f8(dt, inf, false), f8[i].over);
        ck_assert_uint_eq(pln_f32_to_f8(dt, 1e30f, false), f8[i].over);
        ck_assert_uint_eq(pln_f32_to_f8(dt, -inf, false), f8[i].over | 0x80);
        ck_assert_uint_eq(pln_f32_to_f8(dt, nan, true) & (f8[i].minus_zero ? 0x7f : 0xff),
                          f8[i].nan);
        ck_assert(isnan(pln_f8_to_f32(dt, f8[i].nan)));
        ck_assert_uint_eq(pln_f32_to_f8(dt, -0.0f, true), f8[i].minus_zero);
    }
    ck_assert_uint_eq(pln_f64_to_f16(65519.999), 0x7bff);
    ck_assert_uint_eq(pln_f64_to_f16(65520.0), 0x7c00);
    ck_assert_uint_eq(pln_f32_to_f16(-inf), 0xfc00);
    ck_assert(isnan(pln_f16_to_f32(pln_f32_to_f16(nan))));
    ck_assert(isnan(pln_f16_to_f32(0x7c01)));
    ck_assert(isinf(pln_f16_to_f32(0x7c00)));
    ck_assert(isnan(pln_bf16_to_f32(pln_f32_to_bf16(nan))));
    ck_assert(pln_f6_to_f32(PLN_DT_F6E2M3, 31) == 7.5f);
    ck_assert(pln_f6_to_f32(PLN_DT_F6E3M2, 31) == 28.0f);
    ck_assert_uint_eq(pln_f32_to_f6(PLN_DT_F6E2M3, inf), 31);
    ck_assert_uint_eq(pln_f32_to_f6(PLN_DT_F6E3M2, -1e9f), 63);
    ck_assert_uint_eq(pln_f32_to_f4(inf), 7);
    ck_assert_uint_eq(pln_f32_to_f4(-1e9f), 15);
}
END_TEST

/* 1 + 2^-11 + 2^-30 is above the tie of float16 but its float rounding is the tie. */
START_TEST(double_rounds_once)
{
    const double v = 1.0 + 0x1p-11 + 0x1p-30;
    ck_assert_uint_eq(pln_f64_to_f16(v), 0x3c01);
    ck_assert_uint_eq(pln_f32_to_f16((float)v), 0x3c00);
    ck_assert_uint_eq(pln_f64_to_bf16(1.0 + 0x1p-8 + 0x1p-40), 0x3f81);
}
END_TEST

START_TEST(scale_format)
{
    for (unsigned c = 0; c < 255; c++) {
        const float v = pln_f8_to_f32(PLN_DT_F8E8M0, (uint8_t)c);
        ck_assert(v == (float)ldexp(1.0, (int)c - 127));
        ck_assert_uint_eq(pln_f32_to_f8(PLN_DT_F8E8M0, v, true), c);
        if (c == 254)
            break;
        const float up = nextafterf(v, INFINITY);
        ck_assert_uint_eq(pln_f32_to_e8m0(up, true, PLN_ROUND_UP), c + 1);
        ck_assert_uint_eq(pln_f32_to_e8m0(up, true, PLN_ROUND_DOWN), c);
        ck_assert_uint_eq(pln_f32_to_e8m0(up, true, PLN_ROUND_NEAREST), c);
        ck_assert_uint_eq(pln_f32_to_e8m0(1.5f * v, true, PLN_ROUND_NEAREST), c + 1);
    }
    ck_assert(isnan(pln_f8_to_f32(PLN_DT_F8E8M0, 0xff)));
    ck_assert_uint_eq(pln_f32_to_e8m0(0.0f, true, PLN_ROUND_UP), 0);
    ck_assert_uint_eq(pln_f32_to_e8m0(0.0f, false, PLN_ROUND_NEAREST), 0xff);
    ck_assert_uint_eq(pln_f32_to_e8m0(INFINITY, true, PLN_ROUND_UP), 254);
    ck_assert_uint_eq(pln_f32_to_e8m0(INFINITY, false, PLN_ROUND_NEAREST), 0xff);
    ck_assert_uint_eq(pln_f32_to_e8m0(3e38f, true, PLN_ROUND_UP), 254);
    ck_assert_uint_eq(pln_f32_to_e8m0(3e38f, false, PLN_ROUND_UP), 0xff);
    ck_assert_uint_eq(pln_f32_to_e8m0(NAN, true, PLN_ROUND_UP), 0xff);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("numeric");
    TCase *tc = tcase_create("formats");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, rounds_to_nearest_even, 0, sizeof formats / sizeof *formats);
    tcase_add_test(tc, overflow_and_specials);
    tcase_add_test(tc, double_rounds_once);
    tcase_add_test(tc, scale_format);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
