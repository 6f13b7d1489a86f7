/* planish.FusedAttention: attention that the standard's operator can't say.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse_attention.h"

#include <math.h>
#include <string.h>

bool pln_attention_may_be_own(const pln_patch *p)
{
    const pln_pass_options *o = p->ctx->options;
    return o->session || o->target == PLN_TARGET_PLANISH;
}

/* The score that hides acts last, unless it is -inf. At most one kind of flags. */
static pln_status check_order(pln_match *m, const pln_scores *s, int rank)
{
    int flags = 0;
    for (int i = 0; i < s->n_masks; i++) {
        const pln_mask *k = &s->mask[i];
        const int r = pln_value_rank(k->v);
        if (r < 0 || r > rank)
            return pln_match_refuse(
                m, "mask '%s' may have more dimensions than the scores", k->v->name);
        if (k->kind == PLN_MASK_ADD && k->v->type.dtype != PLN_DT_F32)
            return pln_match_refuse(m, "mask '%s' has another type", k->v->name);
        if (k->kind == PLN_MASK_ADD)
            continue;
        if ((i > 0 && k->fill != -INFINITY) || flags++ || (float)k->fill != k->fill)
            return pln_match_refuse(m, "'%s' hides in the middle", k->v->name);
    }
    return PLN_OK;
}

static bool set_flags(pln_node *n, const pln_scores *s)
{
    bool ok = true;
    for (int i = 0; i < s->n_masks; i++) {
        const pln_mask *k = &s->mask[i];
        if (k->kind == PLN_MASK_ADD)
            continue;
        if (k->fill != -INFINITY)
            ok &= pln_node_set_float(n, "fill", (float)k->fill) == PLN_OK;
        if (k->kind == PLN_MASK_HIDE)
            ok &= pln_node_set_int(n, "hide", 1) == PLN_OK;
    }
    if (s->cap)
        ok &= pln_node_set_float(n, "softcap", (float)s->cap) == PLN_OK;
    if (s->guarded)
        ok &= pln_node_set_int(n, "zero_nan", 1) == PLN_OK;
    return ok && pln_node_set_float(n, "scale", (float)s->scale) == PLN_OK;
}

pln_status pln_attention_build_own(pln_match *m, pln_patch *p, pln_scores *s)
{
    const int rank = pln_value_rank(s->q);
    if (s->q->type.dtype != PLN_DT_F32 || s->soft != PLN_DT_NONE || rank > 4)
        return pln_match_refuse(m, "not float, or of more than 4 dimensions");
    PLN_TRY(check_order(m, s, rank));
    pln_value *in[5] = { s->q, pln_scores_keys(p, s), s->v, NULL, NULL };
    for (int i = s->n_masks - 1; i >= 0; i--) {
        pln_value **at = &in[s->mask[i].kind == PLN_MASK_ADD ? 3 : 4];
        *at = *at ? pln_patch_op2(p, "Add", *at, s->mask[i].v) : s->mask[i].v;
    }
    pln_node *n = pln_patch_add_in(p, "planish", "FusedAttention", in, 5, 1);
    if (!n || !in[1] || !set_flags(n, s))
        return p->failed != PLN_OK ? p->failed : PLN_E_NOMEM;
    pln_patch_replace_proven(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- layouts --------------------------------------------------------------------- */

/* The inputs of an Attention or FusedAttention, as those of the latter. */
static pln_status take_inputs(pln_match *m, pln_value **in)
{
    const pln_node *n = m->root;
    const bool own = pln_node_is_in(n, "planish", "FusedAttention");
    const bool flags = n->n_in > 3 && n->in[3] && n->in[3]->type.dtype == PLN_DT_BOOL;
    for (uint32_t i = 0; i < n->n_in && i < 5; i++)
        in[i] = n->in[i];
    if (own)
        return PLN_OK;
    if (n->n_in > 4 || n->n_out != 1 || n->in[0]->type.dtype != PLN_DT_F32 ||
        pln_node_get_int(n, "is_causal", 0) ||
        pln_node_get_int(n, "softmax_precision", PLN_DT_F32) != PLN_DT_F32 ||
        pln_node_get_int(n, "left_window_size", -1) >= 0 ||
        pln_node_get_int(n, "right_window_size", -1) >= 0 ||
        !pln_node_find_attr(n, "scale"))
        return pln_match_refuse(m, "it has a cache or an order");
    if (flags) {
        in[4] = in[3];
        in[3] = NULL;
    }
    return PLN_OK;
}

/* What the new node says as the old one did. */
static bool copy_attributes(pln_node *n, const pln_node *old)
{
    static const char *const names[] = { "scale", "softcap", "fill", "hide", "zero_nan",
                                         "q_num_heads", "kv_num_heads", "order",
                                         "merge" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const pln_attr *a = pln_node_find_attr(old, names[i]);
        if (a && pln_node_set_attr(n, a) != PLN_OK)
            return false;
    }
    return true;
}

/* Operands that come joined; false: none does. */
static bool join_operands(pln_patch *p, pln_value **in, int64_t *heads, int64_t *kv_heads)
{
    pln_joined j[3];
    bool is[3], any = false, all = true;
    for (int i = 0; i < 3; i++) {
        is[i] = pln_joined_of(in[i], &j[i]);
        all &= is[i];
    }
    if (all && pln_joined_together(j)) {
        *heads = j[0].heads;
        *kv_heads = j[1].heads;
        return pln_joined_unpack(p, j, in);
    }
    for (int i = 0; i < 3; i++) {
        int64_t *n = i ? kv_heads : heads;
        if (!is[i] || j[i].parts > 1 || (*n && *n != j[i].heads))
            continue;
        in[i] = pln_joined_value(p, &j[i]);
        *n = j[i].heads;
        any = true;
    }
    return any;
}

/* Of rank 4; 0: not known. */
static int64_t heads_of(const pln_value *v)
{
    const pln_dim d = v->type.shape.dims[1];
    return pln_value_rank(v) == 4 && pln_dim_is_known(d) && d.value > 1 ? d.value : 0;
}

pln_status pln_attention_layout_build(pln_match *m, pln_patch *p)
{
    pln_node *old = m->root;
    pln_value *in[5] = { NULL };
    if (!pln_attention_may_be_own(p))
        return pln_match_refuse(m, "of another target");
    PLN_TRY(take_inputs(m, in));
    if (!pln_node_is_in(old, "planish", "FusedAttention") && pln_value_rank(in[0]) != 4)
        return pln_match_refuse(m, "its heads are neither split nor joined");
    int64_t heads = pln_node_get_int(old, "q_num_heads", 0);
    int64_t kv_heads = pln_node_get_int(old, "kv_num_heads", 0);
    const bool headless = !heads && pln_value_rank(old->in[0]) < 4;
    pln_node *join =
        headless || pln_node_get_int(old, "merge", 0) ? NULL : pln_join_of(old->out[0]);
    if (join)
        p->before = join;
    const bool joined = !headless && join_operands(p, in, &heads, &kv_heads);
    if (!join && !joined)
        return pln_match_refuse(m, "heads are neither split before nor joined behind it");
    if (!headless) {
        heads = heads ? heads : heads_of(old->in[0]);
        kv_heads = kv_heads ? kv_heads : heads_of(old->in[1]);
    }
    const bool merges = join || pln_node_get_int(old, "merge", 0);
    pln_node *n = pln_patch_add_in(p, "planish", "FusedAttention", in, 5, 1);
    if (!n || !copy_attributes(n, old) ||
        (heads && pln_node_set_int(n, "q_num_heads", heads) != PLN_OK) ||
        (kv_heads && pln_node_set_int(n, "kv_num_heads", kv_heads) != PLN_OK) ||
        (merges && pln_node_set_int(n, "merge", 1) != PLN_OK))
        return PLN_E_NOMEM;
    if (join)
        return pln_join_replace(p, join, n) ? PLN_OK : PLN_E_NOMEM;
    pln_patch_replace_proven(p, old->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- packed ---------------------------------------------------------------------- */

/* What a Split makes queries, keys and values of, all heads of one size, and the order in
 * which it has them; NULL. */
static pln_value *packed_in(pln_value *const *in, int64_t heads, int64_t kv_heads,
                            char *order)
{
    const pln_node *split = in[0]->def;
    int64_t dim = 0;
    if (!split || !pln_node_is(split, "Split") || split->n_out != 3 ||
        pln_value_rank(split->in[0]) != 3)
        return NULL;
    const int64_t axis = pln_node_get_int(split, "axis", 0);
    for (int i = 0; i < 3; i++) {
        const int64_t n = i ? kv_heads : heads;
        const pln_dim d = in[i]->type.shape.dims[2];
        if (in[i]->def != split || !pln_value_is_single_use(in[i]) ||
            !pln_dim_is_known(d) || d.value < 1 || d.value % n ||
            (i && d.value / n != dim))
            return NULL;
        dim = d.value / n;
        order[in[i]->slot] = "qkv"[i];
    }
    return axis == 2 || axis == -1 ? split->in[0] : NULL;
}

pln_status pln_attention_packed_build(pln_match *m, pln_patch *p)
{
    const pln_node *old = m->root;
    const int64_t heads = pln_node_get_int(old, "q_num_heads", 0);
    const int64_t kv_heads = pln_node_get_int(old, "kv_num_heads", 0);
    pln_value *in[5] = { NULL };
    char order[4] = "";
    if (!pln_attention_may_be_own(p))
        return pln_match_refuse(m, "of another target");
    PLN_TRY(take_inputs(m, in));
    pln_value *x = NULL;
    if (heads > 0 && kv_heads > 0)
        x = packed_in(in, heads, kv_heads, order);
    if (!x)
        return pln_match_refuse(m, "queries, keys and values are not parts of one value");
    const bool merges = pln_value_rank(old->out[0]) == 3;
    pln_node *n = pln_patch_add_in(p, "planish", "FusedAttention",
                                   (pln_value *[]){ x, NULL, NULL, in[3], in[4] }, 5, 1);
    if (!n || !copy_attributes(n, old) ||
        (strcmp(order, "qkv") && pln_node_set_string(n, "order", order, 3) != PLN_OK) ||
        (merges && pln_node_set_int(n, "merge", 1) != PLN_OK))
        return PLN_E_NOMEM;
    pln_patch_replace_proven(p, old->out[0], n->out[0]);
    return PLN_OK;
}
