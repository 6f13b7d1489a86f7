/* The oneDNN device: which operators it can serve.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dnnl/dnnl_api.h"
#include "kernels/dnnl/lower.h"

#include <string.h>

static const struct {
    const char *domain, *op;
    const pln_impl *impl;
} lowerings[] = {
    { "", "Conv", &pln_dnnl_conv },
    { "", "ConvTranspose", &pln_dnnl_deconv },
    { "", "Gemm", &pln_dnnl_matmul },
    { "", "MatMul", &pln_dnnl_matmul },
    { "com.microsoft", "FusedConv", &pln_dnnl_conv },
    { "com.microsoft", "FusedGemm", &pln_dnnl_matmul },
    { "com.microsoft", "FusedMatMul", &pln_dnnl_matmul },
    { "com.microsoft", "TransposeMatMul", &pln_dnnl_matmul },
    { "planish", "FusedConv", &pln_dnnl_conv },
    { "planish", "FusedConvTranspose", &pln_dnnl_deconv },
    { "planish", "FusedGemm", &pln_dnnl_matmul },
    { "planish", "FusedMatMul", &pln_dnnl_matmul },
};

static const pln_impl *lowering_of(const char *domain, const char *op)
{
    for (size_t i = 0; i < sizeof lowerings / sizeof lowerings[0]; i++)
        if (strcmp(op, lowerings[i].op) == 0 && strcmp(domain, lowerings[i].domain) == 0)
            return lowerings[i].impl;
    return NULL;
}

static const pln_impl *find(const pln_node *n)
{
    if (n->n_in < 2 || !n->in[0] || n->in[0]->type.dtype != PLN_DT_F32)
        return NULL;
    return lowering_of(n->domain, n->op_type);
}

static bool serves(const char *domain, const char *op)
{
    return lowering_of(domain, op) != NULL;
}

/* Loading takes 50 ms of processor time and 35 MB. */
const pln_device pln_device_dnnl = {
    .name = "dnnl", .brief = "oneDNN", .find = find, .serves = serves,
    .open = pln_dnnl_open, .min_flops = 2e7
};
