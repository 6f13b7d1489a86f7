/* fuse-conv: a Conv or ConvTranspose takes activation, residual and scalars behind it as
 * planish.FusedConv and planish.FusedConvTranspose. A constant offset for each channel is
 * fold-conv-bn's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"

#include <string.h>

static pln_status build(pln_match *m, pln_patch *p)
{
    pln_chain c;
    const bool transposed = strstr(m->root->op_type, "Transpose") != NULL;
    if (!pln_chain_begin(&c, m->root, transposed ? "FusedConvTranspose" : "FusedConv", 1))
        return pln_match_refuse(m, "not a convolution of floats");
    pln_chain_follow(&c);
    return pln_chain_build(m, p, &c);
}

static const pln_rule rules[] = {
    { .match =
          "Conv|ConvTranspose|planish.FusedConv|planish.FusedConvTranspose(x, w, ...)",
      .build = build,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
};

const pln_pass pln_pass_fuse_conv = {
    .name = "fuse-conv",
    .brief = "Conv and ConvTranspose with activation, residual and scalars as one node",
    PLN_RULES(rules),
};
