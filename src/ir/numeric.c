/* Conversions between number formats.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/numeric.h"

/* A format of at most 16 bits. Codes without the sign rise with the value, so that
 * overflow is a comparison with the largest finite code. */
typedef struct small_format {
    uint8_t bits, mant;
    int16_t bias;
    uint16_t max; /* code of the largest finite value */
    uint16_t inf; /* code that an overflow gives when it does not saturate */
    uint16_t nan;
    bool uz; /* one NaN (the code of -0), no -0, no infinities */
} small_format;

static const small_format format_f16 = { 16, 10, 15, 0x7bff, 0x7c00, 0x7e00, false };
static const small_format format_bf16 = { 16, 7, 127, 0x7f7f, 0x7f80, 0x7fc0, false };
static const small_format format_f4 = { 4, 1, 1, 7, 7, 0, false };
static const small_format formats_f6[] = {
    [PLN_DT_F6E2M3 - PLN_DT_F6E2M3] = { 6, 3, 1, 0x1f, 0x1f, 0, false },
    [PLN_DT_F6E3M2 - PLN_DT_F6E2M3] = { 6, 2, 3, 0x1f, 0x1f, 0, false },
};
static const small_format formats_f8[] = {
    [PLN_DT_F8E4M3FN - PLN_DT_F8E4M3FN] = { 8, 3, 7, 0x7e, 0x7f, 0x7f, false },
    [PLN_DT_F8E4M3FNUZ - PLN_DT_F8E4M3FN] = { 8, 3, 8, 0x7f, 0x80, 0x80, true },
    [PLN_DT_F8E5M2 - PLN_DT_F8E4M3FN] = { 8, 2, 15, 0x7b, 0x7c, 0x7e, false },
    [PLN_DT_F8E5M2FNUZ - PLN_DT_F8E4M3FN] = { 8, 2, 16, 0x7f, 0x80, 0x80, true },
};

static uint64_t bits_of(double d)
{
    uint64_t u;
    __builtin_memcpy(&u, &d, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;
    __builtin_memcpy(&f, &u, sizeof f);
    return f;
}

/* v / 2^shift, to nearest, ties to even. */
static uint64_t shift_even(uint64_t v, unsigned shift)
{
    if (shift > 63)
        return 0;
    const uint64_t half = UINT64_C(1) << (shift - 1);
    return (v + (half - 1) + ((v >> shift) & 1)) >> shift;
}

/* The code of a finite magnitude (bits of a double without sign), as if the format went
 * on beyond its largest exponent. */
static uint64_t round_magnitude(const small_format *fm, uint64_t u)
{
    const int exp = (int)(u >> 52) - 1023 + fm->bias;
    const uint64_t frac = u & ((UINT64_C(1) << 52) - 1);
    const unsigned shift = 52u - fm->mant;
    if (exp >= 1)
        return shift_even(((uint64_t)exp << 52) | frac, shift);
    if (u >> 52 == 0)
        return 0; /* subnormal doubles are below half of every format's least value */
    return shift_even(frac | UINT64_C(1) << 52, shift + (unsigned)(1 - exp));
}

static uint16_t encode(const small_format *fm, double d, bool saturate)
{
    const uint64_t u = bits_of(d);
    const uint64_t mag = u & ~(UINT64_C(1) << 63);
    const uint64_t inf = UINT64_C(0x7ff) << 52;
    const uint16_t sign = (uint16_t)((u >> 63) << (fm->bits - 1));
    if (mag > inf)
        return fm->uz ? fm->nan : (uint16_t)(fm->nan | sign);
    const uint64_t code = mag == inf ? UINT64_MAX : round_magnitude(fm, mag);
    if (code > fm->max && !saturate)
        return fm->uz ? fm->nan : (uint16_t)(fm->inf | sign);
    const uint16_t c = code > fm->max ? fm->max : (uint16_t)code;
    return fm->uz && c == 0 ? 0 : (uint16_t)(c | sign);
}

/* Any code but the formats' special ones; exact, since float has more of everything. */
static float decode_magnitude(const small_format *fm, unsigned code)
{
    const unsigned mant = code & ((1u << fm->mant) - 1);
    const unsigned exp = code >> fm->mant;
    if (exp == 0) /* 2^(1 - bias - mant) */
        return (float)mant * float_of((uint32_t)(127 + 1 - fm->bias - fm->mant) << 23);
    return float_of((uint32_t)((int)exp - fm->bias + 127) << 23 | mant
                                                                      << (23 - fm->mant));
}

float pln_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t rest = (uint32_t)(h & 0x7fffu) << 13;
    if (rest >= 0x7c00u << 13) /* infinity, or a NaN, which becomes quiet */
        return float_of(sign | 0x7f800000u | rest |
                        (rest > 0x7c00u << 13 ? 0x400000u : 0));
    if (rest < 0x0400u << 13) { /* subnormal: the difference of two normal numbers */
        const float f = float_of(rest | 0x38800000u) - float_of(0x38800000u);
        return sign ? -f : f;
    }
    return float_of(sign | (rest + ((127u - 15u) << 23)));
}

uint16_t pln_f32_to_f16(float f)
{
    uint32_t u;
    __builtin_memcpy(&u, &f, sizeof u);
    const uint32_t sign = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((u >> 13) & 0x3ffu));
    if (u >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (u < 0x38800000u) { /* subnormal: adding 0.5 lets the FPU round at bit 2^-24 */
        const float r = float_of(u) + 0.5f;
        uint32_t v;
        __builtin_memcpy(&v, &r, sizeof v);
        return (uint16_t)(sign | (v - 0x3f000000u));
    }
    u += 0xfffu + ((u >> 13) & 1u);
    return (uint16_t)(sign | ((u >> 13) - (112u << 10)));
}

uint16_t pln_f64_to_f16(double d)
{
    return encode(&format_f16, d, false);
}

uint16_t pln_f64_to_bf16(double d)
{
    return encode(&format_bf16, d, false);
}

float pln_f8_to_f32(pln_dtype dt, uint8_t v)
{
    if (dt == PLN_DT_F8E8M0) {
        if (v == 0xff)
            return __builtin_nanf("");
        return float_of(v == 0 ? 0x00400000u : (uint32_t)v << 23);
    }
    if (dt < PLN_DT_F8E4M3FN || dt > PLN_DT_F8E5M2FNUZ)
        return 0.0f;
    const small_format *fm = &formats_f8[dt - PLN_DT_F8E4M3FN];
    const unsigned code = v & 0x7fu;
    if (fm->uz ? v == fm->nan : code > fm->inf || (code > fm->max && fm->inf == fm->nan))
        return __builtin_copysignf(__builtin_nanf(""),
                                   v & 0x80 && !fm->uz ? -1.0f : 1.0f);
    const float f = code > fm->max ? __builtin_inff() : decode_magnitude(fm, code);
    return v & 0x80 ? -f : f;
}

uint8_t pln_f32_to_e8m0(float f, bool saturate, pln_round round)
{
    uint32_t u;
    __builtin_memcpy(&u, &f, sizeof u);
    u &= 0x7fffffffu; /* the format has no sign */
    if (u > 0x7f800000u || (u == 0x7f800000u && !saturate))
        return 0xff;
    uint32_t code = u >> 23;
    if (code == 255)
        return 254;
    const uint32_t frac = u & 0x7fffffu;
    if (code == 0) { /* below 2^-126: only 2^-127 and its neighbours are left */
        const uint32_t least = 0x400000u;
        if (frac < least && !saturate && round != PLN_ROUND_UP)
            return 0xff;
        if (frac == 0)
            return saturate ? 0 : 0xff;
        return (uint8_t)(round == PLN_ROUND_UP ? frac > least
                         : round == PLN_ROUND_DOWN ? 0 : frac >= least + least / 2);
    }
    if (round == PLN_ROUND_UP ? frac > 0
                              : round == PLN_ROUND_NEAREST && frac >= 0x400000u)
        code++;
    if (code > 254)
        return saturate ? 254 : 0xff;
    return (uint8_t)code;
}

uint8_t pln_f32_to_f8(pln_dtype dt, float f, bool saturate)
{
    if (dt == PLN_DT_F8E8M0)
        return pln_f32_to_e8m0(f, saturate, PLN_ROUND_UP);
    if (dt < PLN_DT_F8E4M3FN || dt > PLN_DT_F8E5M2FNUZ)
        return 0;
    return (uint8_t)encode(&formats_f8[dt - PLN_DT_F8E4M3FN], (double)f, saturate);
}

float pln_f6_to_f32(pln_dtype dt, uint8_t v)
{
    if (dt != PLN_DT_F6E2M3 && dt != PLN_DT_F6E3M2)
        return 0.0f;
    const float f = decode_magnitude(&formats_f6[dt - PLN_DT_F6E2M3], v & 31u);
    return v & 32 ? -f : f;
}

uint8_t pln_f32_to_f6(pln_dtype dt, float f)
{
    if (dt != PLN_DT_F6E2M3 && dt != PLN_DT_F6E3M2)
        return 0;
    return (uint8_t)encode(&formats_f6[dt - PLN_DT_F6E2M3], (double)f, true);
}

float pln_f4_to_f32(uint8_t v)
{
    const float f = decode_magnitude(&format_f4, v & 7u);
    return v & 8 ? -f : f;
}

uint8_t pln_f32_to_f4(float f)
{
    return (uint8_t)encode(&format_f4, (double)f, true);
}
