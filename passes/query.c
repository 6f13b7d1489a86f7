/* Questions that checks ask about values and nodes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/match.h"
#include "src/util/size.h"

#include <string.h>

/* Larger constants lie in a file of which a run may need a few rows: looking through one
 * would read it all. */
#define SPLAT_MAX (INT64_C(1) << 22)

static bool splat_of(pln_tensor *t, double *out)
{
    const int64_t n = pln_tensor_size(t);
    if (t->kind != PLN_KIND_TENSOR || t->dtype == PLN_DT_STRING ||
        pln_dtype_is_complex((pln_dtype)t->dtype) || n < 1 || n > SPLAT_MAX)
        return false;
    if (pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    const size_t size = pln_dtype_size((pln_dtype)t->dtype);
    const char *d = t->data;
    for (int64_t i = 1; i < n; i++)
        if (memcmp(d, d + (size_t)i * size, size))
            return false;
    *out = pln_tensor_get_f64(t, 0);
    return true;
}

bool pln_value_is_splat(const pln_value *v, double *out)
{
    return pln_value_is_const(v) && splat_of(v->cst, out);
}

bool pln_value_get_ints(const pln_value *v, int64_t *out, size_t cap, size_t *n)
{
    if (!v || !pln_value_is_const(v))
        return false;
    pln_tensor *t = v->cst;
    if (t->kind != PLN_KIND_TENSOR || t->rank > 1 ||
        !pln_dtype_is_integer((pln_dtype)t->dtype))
        return false;
    const int64_t count = pln_tensor_size(t);
    if ((uint64_t)count > cap || pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    for (int64_t i = 0; i < count; i++)
        out[i] = pln_tensor_get_i64(t, i);
    *n = (size_t)count;
    return true;
}

int pln_value_rank(const pln_value *v)
{
    return v && v->type.kind == PLN_KIND_TENSOR ? v->type.shape.rank : PLN_RANK_UNKNOWN;
}

int64_t pln_value_count(const pln_value *v)
{
    if (v->type.kind != PLN_KIND_TENSOR || !pln_shape_is_static(v->type.shape))
        return -1;
    int64_t n = 1;
    for (int i = 0; i < v->type.shape.rank; i++)
        if (!pln_i64_mul(&n, n, v->type.shape.dims[i].value))
            return -1;
    return n;
}

bool pln_value_same_type(const pln_value *a, const pln_value *b)
{
    return a->type.kind == PLN_KIND_TENSOR && b->type.kind == PLN_KIND_TENSOR &&
           a->type.dtype != PLN_DT_NONE && a->type.dtype == b->type.dtype &&
           pln_shape_equal(a->type.shape, b->type.shape);
}

bool pln_value_broadcasts_into(const pln_value *b, const pln_value *a)
{
    const int ra = pln_value_rank(a), rb = pln_value_rank(b);
    if (ra < 0 || rb < 0 || rb > ra)
        return false;
    for (int i = 0; i < rb; i++) {
        const pln_dim d = b->type.shape.dims[i], into = a->type.shape.dims[ra - rb + i];
        if (!pln_dim_is(d, 1) && !(pln_dim_equal(d, into) && !pln_dim_is_unknown(d)))
            return false;
    }
    return true;
}

bool pln_value_is_single_use(const pln_value *v)
{
    return v->n_uses == 1 && v->uses->node;
}

pln_node *pln_value_only_user(const pln_value *v)
{
    return pln_value_is_single_use(v) ? v->uses->node : NULL;
}

int64_t pln_node_get_int(const pln_node *n, const char *name, int64_t otherwise)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && a->type == PLN_ATTR_INT ? a->i : otherwise;
}

float pln_node_get_float(const pln_node *n, const char *name, float otherwise)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && a->type == PLN_ATTR_FLOAT ? a->f : otherwise;
}

const char *pln_node_get_string(const pln_node *n, const char *name,
                                const char *otherwise)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && a->type == PLN_ATTR_STRING ? a->s : otherwise;
}

bool pln_node_is_in(const pln_node *n, const char *domain, const char *op_type)
{
    return !strcmp(n->op_type, op_type) && !strcmp(n->domain, domain);
}

bool pln_node_is(const pln_node *n, const char *op_type)
{
    return !strcmp(n->op_type, op_type) &&
           (!*n->domain ||
            (n->op && !*n->op->domain && pln_node_is_in(n, "planish", op_type)));
}
