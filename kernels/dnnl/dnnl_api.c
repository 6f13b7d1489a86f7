/* Loading oneDNN: symbols, instruction set, engine and stream.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dnnl/dnnl_api.h"
#include "src/util/cpu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST_MAJOR 3
#define OLDEST_MINOR 5

pln_dnnl_api pln_dnnl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pln_status result;
static char reason[256];

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
#define X(f) { "dnnl_" #f, offsetof(pln_dnnl_api, f) },
    PLN_DNNL_FUNCTIONS(X)
#undef X
};

static bool load_symbols(void *lib)
{
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        void *f = dlsym(lib, symbols[i].name);
        if (!f) {
            snprintf(reason, sizeof reason, "oneDNN has no %s", symbols[i].name);
            return false;
        }
        memcpy((char *)&pln_dnnl + symbols[i].offset, &f, sizeof f);
    }
    return true;
}

/* PLN_CPU lowers oneDNN's instruction set too; without it oneDNN decides. */
static void limit_isa(void)
{
    static const dnnl_cpu_isa_t isa[PLN_ISA_COUNT] = {
        [PLN_ISA_C] = dnnl_cpu_isa_sse41,
        [PLN_ISA_AVX2] = dnnl_cpu_isa_avx2,
        [PLN_ISA_AVX2_VNNI] = dnnl_cpu_isa_avx2_vnni,
        [PLN_ISA_AVX512] = dnnl_cpu_isa_avx512_core,
        [PLN_ISA_AVX512_VNNI] = dnnl_cpu_isa_avx512_core_vnni,
        [PLN_ISA_AVX512_BF16] = dnnl_cpu_isa_avx512_core_bf16,
        [PLN_ISA_AMX] = dnnl_cpu_isa_default,
    };
    const char *lowered = getenv("PLN_CPU");
    if (lowered && *lowered)
        pln_dnnl.set_max_cpu_isa(isa[pln_cpu_isa()]);
}

static void load(void)
{
    result = PLN_E_UNSUPPORTED;
    void *lib = dlopen("libdnnl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(reason, sizeof reason, "%s", dlerror());
        return;
    }
    if (!load_symbols(lib))
        return;
    const dnnl_version_t *v = pln_dnnl.version();
    if (v->major != OLDEST_MAJOR || v->minor < OLDEST_MINOR ||
        v->cpu_runtime != DNNL_RUNTIME_OMP) {
        snprintf(reason, sizeof reason, "oneDNN %d.%d with runtime %u does not serve",
                 v->major, v->minor, v->cpu_runtime);
        return;
    }
    limit_isa();
    if (pln_dnnl.engine_create(&pln_dnnl.engine, dnnl_cpu, 0) != dnnl_success ||
        pln_dnnl.stream_create(&pln_dnnl.stream, pln_dnnl.engine,
                               dnnl_stream_default_flags) != dnnl_success) {
        snprintf(reason, sizeof reason, "oneDNN makes no engine");
        return;
    }
    result = PLN_OK;
}

pln_status pln_dnnl_open(pln_error *err)
{
    pthread_once(&once, load);
    return result == PLN_OK ? PLN_OK : pln_fail(err, result, "%s", reason);
}
