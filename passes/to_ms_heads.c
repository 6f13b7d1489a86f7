/* to-ms-heads: heads that are split off rows, [rows, heads x dim], are split off [batch,
 * len, heads x dim] instead, as the passes that write attention of com.microsoft look for
 * them. What stays of it is one Reshape again in the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/known.h"
#include "passes/to_ms.h"

static pln_status build(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x"), *r = pln_match_val(m, "r");
    if (pln_value_rank(x) != 2 || pln_value_rank(r) != 4)
        return pln_match_refuse(m, "not from 2 to 4 dimensions");
    const int64_t heads = pln_value_size_at(r, 2), dim = pln_value_size_at(r, 3);
    if (heads < 1 || dim < 1 || pln_value_size_at(x, 1) != heads * dim)
        return pln_match_refuse(m, "it splits more than the last dimension");
    pln_shape joined = r->type.shape;
    joined.rank = 3;
    joined.dims[2] = pln_dim_of(heads * dim);
    pln_value *v = pln_patch_view(p, x, joined);
    if (!v)
        return p->failed != PLN_OK ? p->failed
                                   : pln_match_refuse(m, "its sizes can't be told");
    const int64_t apart[4] = { 0, 0, heads, dim }, swap[4] = { 0, 2, 1, 3 };
    v = pln_patch_op2(p, "Reshape", v, pln_patch_ints(p, apart, 4, "heads"));
    if (!v)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], pln_patch_transpose(p, v, swap, 4));
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "heads-of-rows",
      .match = "Transpose<perm=[0,2,1,3]>(r=Reshape!(x, _))",
      .build = build,
      .contract = PLN_EXACT,
      .target = PLN_TARGET_ORT },
};

const pln_pass pln_pass_to_ms_heads = {
    .name = "to-ms-heads",
    .brief = "heads are split off three dimensions",
    PLN_RULES(rules),
};
