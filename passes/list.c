/* The passes, in the order in which they are listed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <string.h>

#define PLN_PASSES(X) \
    X(noop)           \
    X(reshape)        \
    X(pieces)         \
    X(picks)          \
    X(counts)         \
    X(labels)         \
    X(depth)          \
    X(upsample)       \
    X(clamp)          \
    X(merge)          \
    X(fold)           \
    X(shape)          \
    X(cse)            \
    X(dce)            \
    X(control)        \
    X(loops)          \
    X(inline)         \
    X(transpose)      \
    X(fold_conv_bn)   \
    X(fold_made)      \
    X(fold_input)     \
    X(fold_affine)    \
    X(fold_order)     \
    X(gemm)           \
    X(einsum)         \
    X(between)        \
    X(channels)       \
    X(conv_sum)       \
    X(join_products)  \
    X(fold_pad)       \
    X(reassoc)        \
    X(algebra)        \
    X(factors)        \
    X(fuse_norm)      \
    X(fuse_group_norm) \
    X(fuse_softmax)   \
    X(fuse_attention) \
    X(fuse_act)       \
    X(fuse_rectifier) \
    X(fuse_rotary)    \
    X(fuse_rnn)       \
    X(rnn)            \
    X(split_product)  \
    X(fuse_matmul)    \
    X(fuse_gemm)      \
    X(fuse_conv)      \
    X(fuse_skip)      \
    X(fuse_embed)     \
    X(fuse_glu)       \
    X(projections)    \
    X(dequantize)     \
    X(qdq)            \
    X(uniform)        \
    X(lower_bytes)    \
    X(lower_qdq)      \
    X(byte_units)     \
    X(byte_table)     \
    X(lower_narrow)   \
    X(unpack)         \
    X(to_ms_act)      \
    X(to_ms_unsigned) \
    X(to_ms_quant)    \
    X(to_ms_nbits)    \
    X(to_ms_product)  \
    X(to_ms_embed)    \
    X(to_ms_heads)    \
    X(to_ms_rotary)   \
    X(to_ms_attention) \
    X(unstate)        \
    X(state_fused)    \
    X(absorb_made)

#define X(name) extern const pln_pass pln_pass_##name;
PLN_PASSES(X)
#undef X

static const pln_pass *const all[] = {
#define X(name) &pln_pass_##name,
    PLN_PASSES(X)
#undef X
        NULL,
};

const pln_pass *pln_pass_at(size_t i)
{
    return i < sizeof all / sizeof all[0] ? all[i] : NULL;
}

const pln_pass *pln_pass_find(const char *name, size_t len)
{
    for (size_t i = 0; all[i]; i++)
        if (strlen(all[i]->name) == len && !memcmp(all[i]->name, name, len))
            return all[i];
    return NULL;
}
