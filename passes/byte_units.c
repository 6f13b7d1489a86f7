/* byte-units: one operator between dequantizers and a quantizer is one on bytes.
 *
 *     QuantizeLinear(Softmax(DequantizeLinear(a, s, z)), t, u)
 *         => planish.QSoftmax(a, s, z, t, u)
 *
 * Of a file: a session has kernels for the three that are as fast.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

static pln_status check(pln_match *m)
{
    if (m->ctx->options->session)
        return pln_match_refuse(m, "a session has kernels for them");
    return PLN_OK;
}

#define BYTES(v)  "(type(" v ") == \"uint8\" or type(" v ") == \"int8\")"
#define STEPS(v)  "(size(" v ") == 1 and type(" v ") == \"float\")"
#define ZERO(v)   "(not has(" v ") or size(" v ") == 1)"
#define A         "DequantizeLinear(a, as#, az?#)"
#define B         "DequantizeLinear(b, bs#, bz?#)"
#define IS(v)     BYTES(v) " and " STEPS(v "s") " and " ZERO(v "z")
#define UNIT(id, inside, condition, text)                                              \
    { .name = id, .match = "q=QuantizeLinear(n=" inside ", qs#, qz?#)",                \
      .where = IS("a") " and type(q) == type(a) and " STEPS("qs") " and " ZERO("qz")   \
               condition,                                                              \
      .check = check, .replace = "planish." text,                                      \
      .contract = PLN_REASSOC, .target = PLN_TARGET_PLANISH }

static const pln_rule rules[] = {
    UNIT("byte-average", "AveragePool!(" A ")", "",
         "QAveragePool<n.*>(a, as, az, qs, qz)"),
    UNIT("byte-average", "GlobalAveragePool!(" A ")", "",
         "QGlobalAveragePool(a, as, az, qs, qz)"),
    UNIT("byte-softmax", "Softmax!(" A ")", " and n.pln_flatten == 0",
         "QSoftmax<axis = n.axis, opset = 13>(a, as, az, qs, qz)"),
    UNIT("byte-softmax", "Softmax!(" A ")", " and n.pln_flatten == 1",
         "QSoftmax<axis = n.axis, opset = 12>(a, as, az, qs, qz)"),
    UNIT("byte-where", "Where!(c, " A ", " B ")",
         " and " IS("b") " and type(a) == type(b)",
         "QWhere(c, a, as, az, b, bs, bz, qs, qz)"),
};

const pln_pass pln_pass_byte_units = {
    .name = "byte-units",
    .brief = "one operator between quantizers is one on bytes",
    PLN_RULES(rules),
};
