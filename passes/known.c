/* What is known of values that are no constants.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>
#include <string.h>

#define MAX_STEPS   32
#define MOST_COUNTS (1 << 20) /* elements that are looked at */

/* What an operator tells of its results, and of theirs through its first input. */
enum {
    MOVES = 1,        /* the elements of its first input and no others */
    POSITIVE = 2,     /* never less than 0, nor -0 */
    INTEGRAL = 4,     /* no fractions */
    ABSORBS_ZERO = 8, /* gives the same for -0 and 0 */
    PASSES_ZERO = 16, /* at most the sign of a zero changes where that of an input does */
};

static const struct {
    const char *op;
    int facts;
} table[] = {
    { "Reshape", MOVES | PASSES_ZERO },
    { "Flatten", MOVES | PASSES_ZERO },
    { "Squeeze", MOVES | PASSES_ZERO },
    { "Unsqueeze", MOVES | PASSES_ZERO },
    { "Transpose", MOVES | PASSES_ZERO },
    { "Expand", MOVES | PASSES_ZERO },
    { "Tile", MOVES | PASSES_ZERO },
    { "Slice", MOVES | PASSES_ZERO },
    { "Gather", MOVES | PASSES_ZERO },
    { "GatherElements", MOVES | PASSES_ZERO },
    { "GatherND", MOVES | PASSES_ZERO },
    { "Split", MOVES | PASSES_ZERO },
    { "Identity", MOVES | PASSES_ZERO },
    { "DepthToSpace", MOVES | PASSES_ZERO },
    { "SpaceToDepth", MOVES | PASSES_ZERO },
    { "Concat", PASSES_ZERO },
    { "Pad", PASSES_ZERO },
    { "Add", PASSES_ZERO },
    { "Sub", PASSES_ZERO },
    { "Mul", PASSES_ZERO },
    { "Neg", PASSES_ZERO },
    { "Relu", PASSES_ZERO },
    { "LeakyRelu", PASSES_ZERO },
    { "Clip", PASSES_ZERO },
    { "Max", PASSES_ZERO },
    { "Min", PASSES_ZERO },
    { "Sum", PASSES_ZERO },
    { "Tanh", PASSES_ZERO },
    { "Gelu", PASSES_ZERO },
    { "Erf", PASSES_ZERO },
    { "Sqrt", PASSES_ZERO },
    { "Cast", PASSES_ZERO },
    { "ReduceMean", PASSES_ZERO },
    { "ReduceSum", PASSES_ZERO },
    { "ReduceMax", PASSES_ZERO },
    { "ReduceMin", PASSES_ZERO },
    { "MaxPool", PASSES_ZERO },
    { "AveragePool", PASSES_ZERO },
    { "GlobalAveragePool", PASSES_ZERO },
    { "MatMul", PASSES_ZERO },
    { "Gemm", PASSES_ZERO },
    { "Conv", PASSES_ZERO },
    { "ConvTranspose", PASSES_ZERO },
    { "BatchNormalization", PASSES_ZERO },
    { "LayerNormalization", PASSES_ZERO },
    { "InstanceNormalization", PASSES_ZERO },
    { "Equal", ABSORBS_ZERO },
    { "Less", ABSORBS_ZERO },
    { "Greater", ABSORBS_ZERO },
    { "LessOrEqual", ABSORBS_ZERO },
    { "GreaterOrEqual", ABSORBS_ZERO },
    { "Softmax", ABSORBS_ZERO | POSITIVE },
    { "LogSoftmax", ABSORBS_ZERO },
    { "Exp", ABSORBS_ZERO | POSITIVE },
    { "Sigmoid", ABSORBS_ZERO | POSITIVE },
    { "HardSigmoid", POSITIVE },
    { "Softplus", ABSORBS_ZERO | POSITIVE },
    { "Abs", ABSORBS_ZERO | POSITIVE },
    { "Shape", POSITIVE },
    { "Size", POSITIVE },
    { "NonZero", POSITIVE },
    { "ArgMax", POSITIVE },
    { "ArgMin", POSITIVE },
    { "Cos", ABSORBS_ZERO },
    { "Shape", ABSORBS_ZERO },
    { "Size", ABSORBS_ZERO },
    { "Ceil", INTEGRAL | PASSES_ZERO },
    { "Floor", INTEGRAL | PASSES_ZERO },
    { "Round", INTEGRAL | PASSES_ZERO },
    { "Sign", INTEGRAL | PASSES_ZERO },
};

static int facts_of(const pln_node *n)
{
    for (size_t i = 0; *n->domain == '\0' && i < sizeof table / sizeof table[0]; i++)
        if (!strcmp(n->op_type, table[i].op))
            return table[i].facts;
    return 0;
}

/* The value whose elements v has. */
/* One value, several times. */
static bool repeats(const pln_node *n)
{
    for (uint32_t i = 1; i < n->n_in; i++)
        if (n->in[i] != n->in[0])
            return false;
    return pln_node_is(n, "Concat");
}

static const pln_value *source_of(const pln_value *v)
{
    for (int i = 0; i < MAX_STEPS && v->def && !pln_value_is_const(v); i++) {
        if ((!(facts_of(v->def) & MOVES) && !repeats(v->def)) || !v->def->in[0])
            break;
        v = v->def->in[0];
    }
    return v;
}

bool pln_value_is_uniform(const pln_value *v, double *out)
{
    v = source_of(v);
    if (pln_value_is_splat(v, out))
        return true;
    if (!v->def || !pln_node_is(v->def, "ConstantOfShape"))
        return false;
    const pln_attr *a = pln_node_find_attr(v->def, "value");
    *out = 0;
    if (!a)
        return true;
    if (a->type != PLN_ATTR_TENSOR || !a->t || pln_tensor_size(a->t) != 1 ||
        pln_tensor_materialize(a->t, NULL) != PLN_OK)
        return false;
    *out = pln_tensor_get_f64(a->t, 0);
    return true;
}

static bool is_square(const pln_node *n)
{
    return n && pln_node_is(n, "Mul") && n->in[0] == n->in[1] &&
           pln_dtype_is_float(n->in[0]->type.dtype);
}

static bool holds_counts(const pln_value *v)
{
    int64_t n = pln_value_count(v);
    if (!pln_dtype_is_integer(v->type.dtype) || n > MOST_COUNTS || !pln_value_contents(v))
        return false;
    while (n > 0 && pln_tensor_get_i64(v->cst, n - 1) >= 0)
        n--;
    return n == 0;
}

bool pln_value_is_positive_or_zero(const pln_value *v)
{
    v = source_of(v);
    if (pln_value_is_const(v))
        return holds_counts(v);
    if (is_square(v->def))
        return true;
    if (v->def && pln_node_is(v->def, "Range")) /* from there on upwards */
        return pln_value_is_positive_or_zero(v->def->in[0]) &&
               pln_value_is_positive_or_zero(v->def->in[2]);
    return v->def && (facts_of(v->def) & POSITIVE);
}

bool pln_value_is_not_negative(const pln_value *v)
{
    double low;
    const pln_node *n = source_of(v)->def;
    if (pln_value_is_positive_or_zero(v))
        return true;
    return n && (pln_node_is(n, "Relu") ||
                 (pln_node_is(n, "Clip") && n->n_in > 1 && n->in[1] &&
                  pln_value_is_splat(n->in[1], &low) && low >= 0));
}

bool pln_value_is_integral(const pln_value *v)
{
    v = source_of(v);
    if (v->def && pln_node_is(v->def, "Cast") && v->def->in[0])
        return pln_dtype_is_integer(v->def->in[0]->type.dtype);
    return v->def && (facts_of(v->def) & INTEGRAL);
}

static bool shows_zero_sign(const pln_value *v, int *steps)
{
    for (const pln_use *u = v->uses; u; u = u->next) {
        if (!u->node) /* of a body: what it goes to is not looked for */
            if (u->graph->owner)
                return true;
        if (!u->node)
            continue;
        const int facts = facts_of(u->node);
        if (facts & ABSORBS_ZERO)
            continue;
        const bool dividend = pln_node_is(u->node, "Div") && u->slot == 0;
        if ((!(facts & PASSES_ZERO) && !dividend) || --*steps < 0)
            return true;
        for (uint32_t i = 0; i < u->node->n_out; i++)
            if (u->node->out[i] && shows_zero_sign(u->node->out[i], steps))
                return true;
    }
    return false;
}

bool pln_value_shows_zero_sign(const pln_value *v)
{
    int steps = 4 * MAX_STEPS;
    return shows_zero_sign(v, &steps);
}

bool pln_value_is_const_number(const pln_value *v)
{
    return pln_value_is_const(v) && pln_value_count(v) == 1 && pln_value_rank(v) < 2;
}

const pln_tensor *pln_value_contents(const pln_value *v)
{
    return pln_value_is_const(v) && v->cst->kind == PLN_KIND_TENSOR &&
                   pln_tensor_materialize(v->cst, NULL) == PLN_OK
               ? v->cst
               : NULL;
}

pln_status pln_match_keeps_float(pln_match *m)
{
    const pln_value *x = pln_match_val(m, "x");
    if (!pln_dtype_is_float(x->type.dtype))
        return pln_match_refuse(m, "not a float");
    if (!pln_value_same_type(x, m->root->out[0]))
        return pln_match_refuse(m, "a constant makes the result larger");
    return PLN_OK;
}

bool pln_node_has_other_outputs(const pln_node *n)
{
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            return true;
    return false;
}

/* ---- permutations and axes -------------------------------------------------------- */

bool pln_perm_of(const pln_node *n, int64_t *perm, int *rank)
{
    const pln_attr *a = pln_node_find_attr(n, "perm");
    *rank = a ? (int)a->n : pln_value_rank(n->in[0]);
    if (*rank < 0 || *rank > PLN_MAX_RANK)
        return false;
    for (int i = 0; i < *rank; i++) {
        perm[i] = a ? a->ints[i] : *rank - 1 - i;
        if (perm[i] < 0 || perm[i] >= *rank)
            return false;
    }
    return true;
}

bool pln_perm_is_identity(const int64_t *perm, int rank)
{
    for (int i = 0; i < rank; i++)
        if (perm[i] != i)
            return false;
    return true;
}

pln_value *pln_patch_transpose(pln_patch *p, pln_value *v, const int64_t *perm, int rank)
{
    pln_node *t = pln_patch_add(p, "Transpose", &v, 1, 1);
    if (!t || pln_node_set_ints(t, "perm", perm, (size_t)rank) != PLN_OK)
        return NULL;
    return t->out[0];
}

/* What a Reshape of x to this shape is told: 0 where a size is that of x, one -1. */
static bool target_of(const pln_value *x, pln_shape to, int64_t *target)
{
    const pln_shape from = x->type.shape;
    bool open = false;
    if (x->type.kind != PLN_KIND_TENSOR || to.rank < 0)
        return false;
    for (int i = 0; i < to.rank; i++) {
        const pln_dim d = to.dims[i];
        const bool copies =
            i < from.rank && !pln_dim_is_unknown(d) && pln_dim_equal(d, from.dims[i]);
        if (pln_dim_is_known(d) ? d.value == 0 : !copies && open)
            return false;
        target[i] = pln_dim_is_known(d) ? d.value : copies ? 0 : -1;
        open |= target[i] == -1;
    }
    return true;
}

pln_value *pln_patch_view(pln_patch *p, pln_value *v, pln_shape to)
{
    int64_t target[PLN_MAX_RANK];
    if (!target_of(v, to, target))
        return NULL;
    pln_value *s = pln_patch_ints(p, target, (size_t)to.rank, "shape");
    return s ? pln_patch_op2(p, "Reshape", v, s) : NULL;
}

bool pln_axes_of(const pln_value *v, int rank, int64_t *axes, size_t *n)
{
    if (!pln_value_get_ints(v, axes, PLN_MAX_RANK, n))
        return false;
    for (size_t i = 0; i < *n; i++) {
        if (axes[i] < 0 && rank < 0)
            return false;
        axes[i] += axes[i] < 0 ? rank : 0;
        if (axes[i] < 0 || (rank >= 0 && axes[i] >= rank))
            return false;
        for (size_t k = i; k > 0 && axes[k] < axes[k - 1]; k--) {
            const int64_t t = axes[k];
            axes[k] = axes[k - 1];
            axes[k - 1] = t;
        }
    }
    return true;
}

bool pln_one_axis_of(const pln_value *v, int rank, int64_t *axis)
{
    int64_t axes[PLN_MAX_RANK];
    size_t n;
    if (!pln_axes_of(v, rank, axes, &n) || n != 1)
        return false;
    *axis = axes[0];
    return true;
}
