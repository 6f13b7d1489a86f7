/* The loops over many types in plain C, and the choice of a table.
 * SPDX-License-Identifier: Apache-2.0 */
#define TABLE pln_typed_c
#include "kernels/typed.h"

extern const pln_typed_fns pln_typed_c;
#include "kernels/typed_tmpl.h"

#include "src/util/cpu.h"

const pln_typed_fns *pln_typed_for(int isa)
{
    if (isa == PLN_ISA_C)
        return &pln_typed_c;
#if defined(__x86_64__)
    const uint32_t cpu = pln_cpu_flags();
    if (isa == PLN_ISA_AVX2)
        return cpu & PLN_CPU_AVX2 ? &pln_typed_avx2 : NULL;
    if (isa == PLN_ISA_AVX512)
        return cpu & PLN_CPU_AVX512 ? &pln_typed_avx512 : NULL;
#endif
    return NULL;
}

const pln_typed_fns *pln_typed(void)
{
    const pln_typed_fns *f = pln_typed_for(PLN_ISA_AVX512);
    f = f ? f : pln_typed_for(PLN_ISA_AVX2);
    return f ? f : &pln_typed_c;
}
