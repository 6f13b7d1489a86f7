/* to-ms-act: activations that the file's operator set lacks, and those behind a bias, as
 * operators of com.microsoft.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/to_ms.h"

/* ONNX Runtime has kernels of float only. */
#define ACT(id, pattern, condition, text)                                         \
    {                                                                             \
        .name = id, .match = pattern, .where = "type(x) == \"float\"" condition, \
        .replace = text, .contract = PLN_REASSOC, .target = PLN_TARGET_ORT        \
    }

#define BIAS                                                                    \
    " and rank(x) >= 1 and rank(b) == 1 and size(b) == dim(x, -1)"

static const pln_rule rules[] = {
    ACT("bias-gelu", "Gelu<approximate=\"none\">(Add~!(x, b#))", BIAS,
        "com.microsoft.BiasGelu(x, b)"),
    ACT("bias-fast-gelu", "Gelu<approximate=\"tanh\">(Add~!(x, b#))", BIAS,
        "com.microsoft.FastGelu(x, b)"),
    ACT("gelu", "planish.Gelu<approximate=\"none\">(x)", "", "com.microsoft.Gelu(x)"),
    ACT("fast-gelu", "planish.Gelu<approximate=\"tanh\">(x)", "",
        "com.microsoft.FastGelu(x)"),
    ACT("quick-gelu", "n=planish.Swish(x)", "",
        "com.microsoft.QuickGelu<alpha = n.alpha>(x)"),
    ACT("quick-gelu", "Mul~(x, Sigmoid!(x))", "",
        "com.microsoft.QuickGelu<alpha = 1.0>(x)"),
    /* Files may hold the operators already, ONNX Runtime's own above all. */
    ACT("bias-gelu", "com.microsoft.Gelu(Add~!(x, b#))", BIAS,
        "com.microsoft.BiasGelu(x, b)"),
    ACT("bias-fast-gelu", "com.microsoft.FastGelu(Add~!(x, b#))", BIAS,
        "com.microsoft.FastGelu(x, b)"),
};

const pln_pass pln_pass_to_ms_act = {
    .name = "to-ms-act",
    .brief = "Gelu, FastGelu, BiasGelu, QuickGelu of com.microsoft",
    PLN_RULES(rules),
};
