/* fuse-glu: a gate, Swish(a) b, becomes SwiGLU. Behind the products, which rather take
 * both steps into themselves.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

static const pln_rule rules[] = {
    { .name = "swiglu",
      .match = "Mul~(s=Swish!(a), b)",
      .where = "same(a, b)",
      .replace = "SwiGLU<alpha = s.alpha>(a, b)",
      .contract = PLN_REASSOC,
      .opset = 28,
      .stated = true },
};

const pln_pass pln_pass_fuse_glu = {
    .name = "fuse-glu",
    .brief = "turns a product with a Swish into SwiGLU",
    PLN_RULES(rules),
};
