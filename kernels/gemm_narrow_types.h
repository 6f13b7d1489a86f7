/* The loops of all narrow types, and their table. WIDE_S8(p) and its like are VL elements
 * at p as floats; FEW and FEW_CASES as in gemm_narrow_tmpl.h. Included after
 * gemm_f32_tmpl.h.
 * SPDX-License-Identifier: Apache-2.0 */
#undef CASE
#define CASE(R)                                                                       \
    case R:                                                                           \
        if (zero)                                                                     \
            NARROW(rows_as)(R, k, a, lda, b, scale, zero, c, ldc, add, true, true);   \
        else if (scale)                                                               \
            NARROW(rows_as)(R, k, a, lda, b, scale, zero, c, ldc, add, true, false);  \
        else                                                                          \
            NARROW(rows_as)(R, k, a, lda, b, scale, zero, c, ldc, add, false, false); \
        break;
#define T         int8_t
#define NARROW(n) s8_##n
#define WIDE(p)   WIDE_S8(p)
#include "kernels/gemm_narrow_tmpl.h"
#define T         uint8_t
#define NARROW(n) u8_##n
#define WIDE(p)   WIDE_U8(p)
#include "kernels/gemm_narrow_tmpl.h"
#define T         uint16_t
#define NARROW(n) f16_##n
#define WIDE(p)   WIDE_F16(p)
#include "kernels/gemm_narrow_tmpl.h"
#define T         uint16_t
#define NARROW(n) bf16_##n
#define WIDE(p)   WIDE_BF16(p)
#include "kernels/gemm_narrow_tmpl.h"

#define NARROW_LOOPS                                            \
    {                                                           \
        [PLN_NARROW_S8] = { s8_widen, s8_tile },                \
        [PLN_NARROW_U8] = { u8_widen, u8_tile },                \
        [PLN_NARROW_F16] = { f16_widen, f16_tile },             \
        [PLN_NARROW_BF16] = { bf16_widen, bf16_tile },          \
    }
