/* Conversions between number formats, as ONNX's Cast rounds them: to nearest, ties to
 * even. Sources: IEEE 754-2019; OCP OFP8 and MX formats; onnx "float8" technical notes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_NUMERIC_H
#define PLN_IR_NUMERIC_H

#include <planish/planish.h>

float pln_f16_to_f32(uint16_t h);
uint16_t pln_f32_to_f16(float f);
uint16_t pln_f64_to_f16(double d); /* rounds once */
uint16_t pln_f64_to_bf16(double d);

static inline float pln_bf16_to_f32(uint16_t h)
{
    const uint32_t u = (uint32_t)h << 16;
    float f;
    __builtin_memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint16_t pln_f32_to_bf16(float f)
{
    uint32_t u;
    __builtin_memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

/* float8 and float4 by their dtype. `saturate`: out of range gives the largest finite
 * value, else NaN or infinity as the format has it. */
float pln_f8_to_f32(pln_dtype dt, uint8_t v);
uint8_t pln_f32_to_f8(pln_dtype dt, float f, bool saturate);
/* float8e8m0, with the round_mode of Cast: away from zero (its default; what
 * pln_f32_to_f8 takes), towards zero, nearest with ties up. The sign is dropped. */
typedef enum pln_round { PLN_ROUND_UP, PLN_ROUND_DOWN, PLN_ROUND_NEAREST } pln_round;
uint8_t pln_f32_to_e8m0(float f, bool saturate, pln_round round);
/* The two float6, in the low 6 bits; saturates. */
float pln_f6_to_f32(pln_dtype dt, uint8_t v);
uint8_t pln_f32_to_f6(pln_dtype dt, float f);
float pln_f4_to_f32(uint8_t v);   /* float4e2m1 in the low 4 bits */
uint8_t pln_f32_to_f4(float f);   /* saturates */

#endif
