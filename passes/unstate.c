/* unstate: at target ort, operators that were stated for the passes to-ms-..., and that
 * none of them took, become the plain nodes of their meaning again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"
#include "src/ir/inline.h"

extern const pln_pass pln_pass_state_fused;

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    pln_model *m = ctx->model;
    if (g != m->graph || ctx->options->target != PLN_TARGET_ORT)
        return PLN_OK;
    const int64_t ir_version = m->ir_version;
    const uint64_t before = ctx->n_rewrites;
    PLN_TRY(pln_pass_state_fused.run(ctx, g, err));
    m->ir_version = ir_version; /* no function stays */
    if (ctx->n_rewrites == before)
        return PLN_OK;
    ctx->changed = true;
    return pln_model_unfuse(m, err);
}

const pln_pass pln_pass_unstate = {
    .name = "unstate",
    .brief = "plain nodes again for what target ort has no operator for",
    .run = run,
    .contract = PLN_EXACT,
    .target = PLN_TARGET_ORT,
};
