/* fuse-gemm: a Gemm takes activation, residual and scalars behind it as
 * planish.FusedGemm.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"

static pln_status build(pln_match *m, pln_patch *p)
{
    pln_chain c;
    if (!pln_chain_begin(&c, m->root, "FusedGemm", -1))
        return pln_match_refuse(m, "not a product of floats");
    pln_chain_follow(&c);
    return pln_chain_build(m, p, &c);
}

static const pln_rule rules[] = {
    { .match = "Gemm|planish.FusedGemm(a, b, ...)",
      .build = build,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
};

const pln_pass pln_pass_fuse_gemm = {
    .name = "fuse-gemm",
    .brief = "Gemm with activation, residual and scalars as one node",
    PLN_RULES(rules),
};
