/* An operator on a larger element type, between casts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/widen.h"

#include <string.h>

#include "src/ir/type_since.h"

/* Types that hold every value of one, the smallest first. */
static const struct {
    uint8_t from, to[4];
} wider[] = {
    { PLN_DT_BF16, { PLN_DT_F32 } },
    { PLN_DT_F16, { PLN_DT_F32 } },
    { PLN_DT_BOOL, { PLN_DT_U8, PLN_DT_S32, PLN_DT_F32 } },
    { PLN_DT_U8, { PLN_DT_S32, PLN_DT_F32 } },
    { PLN_DT_S8, { PLN_DT_S32, PLN_DT_F32 } },
    { PLN_DT_U16, { PLN_DT_S32, PLN_DT_F32 } },
    { PLN_DT_S16, { PLN_DT_S32, PLN_DT_F32 } },
    { PLN_DT_U32, { PLN_DT_S64, PLN_DT_F64 } },
    { PLN_DT_S32, { PLN_DT_S64, PLN_DT_F64 } },
};

/* Their meaning is that of the type, or an attribute names it. */
static bool is_bound(const pln_node *n)
{
    static const char *const names[] = {
        "BitCast",      "BitShift",  "BitwiseNot", "Cast",      "CastLike",
        "Bernoulli",    "EyeLike",   "MatMulInteger", "ConvInteger", "Multinomial",
        "QLinearConv",  "QLinearMatMul", "RandomNormalLike", "RandomUniformLike",
        "DynamicQuantizeLinear",
    };
    if (!n->op || !n->op->sig || *n->domain ||
        (n->op->traits & (PLN_OP_QDQ | PLN_OP_CONTROL | PLN_OP_RANDOM)))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], n->op_type))
            return true;
    return false;
}

/* What the largest of no elements is depends on the type. */
static bool may_be_empty(const pln_node *n)
{
    const pln_shape s = n->in[0] ? n->in[0]->type.shape : pln_shape_unknown();
    if (strcmp(n->op_type, "ReduceMax") != 0 && strcmp(n->op_type, "ReduceMin") != 0)
        return false;
    for (int i = 0; i < s.rank; i++)
        if (!pln_dim_at_least(s.dims[i], 1))
            return true;
    return s.rank < 0;
}

static bool has_type(const pln_value *v, pln_dtype dt)
{
    return v && v->type.kind == PLN_KIND_TENSOR && v->type.dtype == dt;
}

static bool takes_all(const pln_node *n, pln_dtype dt, pln_dtype wide)
{
    bool any = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!has_type(n->in[i], dt))
            continue;
        any = true;
        if (!pln_op_takes(n->op, i, wide))
            return false;
    }
    return any;
}

pln_dtype pln_widen_choose(const pln_node *n, pln_dtype dt, int64_t to)
{
    if (is_bound(n) || may_be_empty(n))
        return PLN_DT_NONE;
    for (size_t i = 0; i < sizeof wider / sizeof wider[0]; i++)
        for (size_t k = 0; wider[i].from == dt && k < 4 && wider[i].to[k]; k++) {
            const pln_dtype wide = (pln_dtype)wider[i].to[k];
            if (pln_type_since(n->op_type, wide) <= to && takes_all(n, dt, wide))
                return wide;
        }
    return PLN_DT_NONE;
}

static pln_node *cast_before(pln_node *at, pln_value *v, pln_dtype to)
{
    pln_node *n = pln_graph_add_node(at->graph, at, "", "Cast", NULL, &v, 1, 1);
    if (!n || pln_node_set_int(n, "to", to) != PLN_OK)
        return NULL;
    n->out[0]->type = v->type;
    n->out[0]->type.dtype = to;
    return n;
}

#define SMALL 4096 /* elements of a constant that is written anew */

static pln_value *in_type(pln_node *at, pln_value *v, pln_dtype to)
{
    const bool is_float = pln_dtype_is_float(to);
    pln_tensor *t = NULL, *was = v->cst;
    if (!pln_value_is_const(v) || was->kind != PLN_KIND_TENSOR ||
        pln_tensor_size(was) > SMALL || pln_tensor_materialize(was, NULL) != PLN_OK) {
        pln_node *n = cast_before(at, v, to);
        return n ? n->out[0] : NULL;
    }
    if (pln_tensor_make(was->alloc, to, was->rank, was->dims, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < pln_tensor_size(was); i++) {
        if (is_float)
            pln_tensor_set_f64(t, i, pln_tensor_get_f64(was, i));
        else
            pln_tensor_set_i64(t, i, pln_tensor_get_i64(was, i));
    }
    pln_graph *g = at->graph;
    return pln_graph_add_initializer(g, pln_graph_fresh_name(g, v->name), t);
}

/* Behind n; what read v reads the cast, which takes its name. */
static pln_status cast_back(pln_node *n, uint32_t o, pln_dtype dt, pln_dtype wide)
{
    pln_value *v = n->out[o];
    pln_graph *g = n->graph;
    pln_node *cast = pln_graph_add_node(g, n->next, "", "Cast", NULL, NULL, 0, 1);
    const char *name = v->name, *other = pln_graph_fresh_name(g, name);
    if (!cast || !other || pln_node_set_int(cast, "to", dt) != PLN_OK ||
        !pln_value_rename(v, other) || !pln_value_rename(cast->out[0], name))
        return PLN_E_NOMEM;
    pln_value *back = cast->out[0];
    back->type = v->type;
    back->declared = v->declared;
    back->extra = v->extra;
    v->declared = NULL;
    v->extra = (pln_blob){ NULL, 0 };
    v->type.dtype = wide;
    pln_value_replace_uses(v, back);
    return pln_node_set_input(cast, 0, v);
}

pln_status pln_widen_node(pln_node *n, pln_dtype dt, pln_dtype wide, pln_node **first,
                          pln_node **last)
{
    bool follows[64] = { false };
    pln_node *before = n->prev;
    for (uint32_t o = 0; o < n->n_out && o < 64; o++)
        for (uint32_t i = 0; i < n->n_in; i++)
            follows[o] |= has_type(n->in[i], dt) && has_type(n->out[o], dt) &&
                          pln_op_gives_type_of(n->op, o, i);
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!has_type(n->in[i], dt))
            continue;
        pln_value *now = in_type(n, n->in[i], wide);
        if (!now || pln_node_set_input(n, i, now) != PLN_OK)
            return PLN_E_NOMEM;
    }
    *last = n;
    for (uint32_t o = 0; o < n->n_out && o < 64; o++) {
        if (!follows[o])
            continue;
        PLN_TRY(cast_back(n, o, dt, wide));
        *last = *last == n ? n->next : *last;
    }
    n->origin = NULL;
    n->typed = NULL;
    *first = before ? before->next : n->graph->first;
    return PLN_OK;
}
