/* What this processor can do, lowered by PLN_CPU.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#if PLN_X86
#include <cpuid.h>
#endif

static const char *const isa_names[PLN_ISA_COUNT] = {
    "c", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx",
};

const char *pln_isa_name(pln_isa i)
{
    return i < PLN_ISA_COUNT ? isa_names[i] : "?";
}

#if PLN_X86
/* CPUID leaf 7 (Intel SDM vol. 2A, table 3-8). */
static uint32_t leaf7(uint32_t sub, int reg)
{
    uint32_t r[4];
    if (!__get_cpuid_count(7, sub, &r[0], &r[1], &r[2], &r[3]))
        return 0;
    return r[reg];
}

/* State that the system saves: XCR0 bits 1-2 (AVX), 5-7 (AVX-512), 17-18 (tiles). */
static uint64_t xcr0(void)
{
    uint32_t a, b, c, d, lo, hi;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

static uint32_t detect(void)
{
    uint32_t f = 0;
    const uint64_t saved = xcr0();
    if (!(saved & 6) || !__builtin_cpu_supports("avx2") ||
        !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return f;
    f |= PLN_CPU_AVX2;
    if (leaf7(1, 0) & (1u << 4))
        f |= PLN_CPU_AVX2_VNNI;
    if ((saved & 0xe6) != 0xe6 || !__builtin_cpu_supports("avx512f") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512cd"))
        return f;
    f |= PLN_CPU_AVX512;
    if (!(leaf7(0, 2) & (1u << 11)))
        return f;
    f |= PLN_CPU_AVX512_VNNI;
    if (!(leaf7(1, 0) & (1u << 5)))
        return f;
    f |= PLN_CPU_AVX512_BF16;
    const uint32_t amx = (1u << 22) | (1u << 24) | (1u << 25); /* bf16, tile, int8 */
    if ((leaf7(0, 3) & amx) == amx && (saved & 0x60000) == 0x60000)
        f |= PLN_CPU_AMX;
    return f;
}
#else
static uint32_t detect(void)
{
    return 0;
}
#endif

/* Bits that a PLN_CPU level leaves. "avx512" keeps no VNNI, also not AVX2's. */
static uint32_t level_mask(const char *name)
{
    for (int i = 0; name && i < PLN_ISA_COUNT; i++)
        if (!strcmp(name, isa_names[i])) {
            uint32_t m = (2u << i) - 1;
            return i == PLN_ISA_AVX512 ? m & ~PLN_CPU_AVX2_VNNI : m;
        }
    return ~0u;
}

uint32_t pln_cpu_flags(void)
{
    static _Atomic uint32_t cached; /* bit 31: known */
    uint32_t f = atomic_load_explicit(&cached, memory_order_relaxed);
    if (!f) {
        f = (detect() & level_mask(getenv("PLN_CPU"))) | (1u << 31);
        atomic_store_explicit(&cached, f, memory_order_relaxed);
    }
    return f & ~(1u << 31);
}

pln_isa pln_cpu_isa(void)
{
    const uint32_t f = pln_cpu_flags();
    pln_isa best = PLN_ISA_C;
    for (int i = 1; i < PLN_ISA_COUNT; i++)
        if (f & (1u << i))
            best = (pln_isa)i;
    return best;
}
