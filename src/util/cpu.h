/* What this processor can do, lowered by PLN_CPU. Read once.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_CPU_H
#define PLN_UTIL_CPU_H

#include <stdint.h>

/* Rising sets: each level includes those before it. */
typedef enum pln_isa {
    PLN_ISA_C = 0,
    PLN_ISA_AVX2,        /* AVX2, FMA, F16C, BMI2 */
    PLN_ISA_AVX2_VNNI,
    PLN_ISA_AVX512,      /* F, BW, CD, DQ, VL */
    PLN_ISA_AVX512_VNNI,
    PLN_ISA_AVX512_BF16,
    PLN_ISA_AMX,         /* tile, int8, bf16 */
    PLN_ISA_COUNT
} pln_isa;

#define PLN_CPU_AVX2        (1u << PLN_ISA_AVX2)
#define PLN_CPU_AVX2_VNNI   (1u << PLN_ISA_AVX2_VNNI)
#define PLN_CPU_AVX512      (1u << PLN_ISA_AVX512)
#define PLN_CPU_AVX512_VNNI (1u << PLN_ISA_AVX512_VNNI)
#define PLN_CPU_AVX512_BF16 (1u << PLN_ISA_AVX512_BF16)
#define PLN_CPU_AMX         (1u << PLN_ISA_AMX)

uint32_t pln_cpu_flags(void);        /* the PLN_CPU_ bits in force */
const char *pln_isa_name(pln_isa i); /* as PLN_CPU spells it */
pln_isa pln_cpu_isa(void);           /* the highest in force */

#endif
