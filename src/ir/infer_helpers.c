/* What the infer functions of operator rows are made of.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/ir/infer.h"

pln_status pln_infer_fail(const pln_infer *inf, pln_error *err, const char *fmt, ...)
{
    char text[400], where[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* With symbols it is the model that is wrong, with numbers alone what it was fed. */
    const pln_status st = inf->syms ? PLN_E_FORMAT : PLN_E_RUN;
    return pln_fail(err, st, "%s: %s", pln_node_where(inf->node, where, sizeof where),
                    text);
}

pln_dtype pln_infer_dtype(const pln_infer *inf, uint32_t i)
{
    return pln_infer_has(inf, i) ? inf->in[i]->dtype : PLN_DT_NONE;
}

int pln_infer_rank(const pln_infer *inf, uint32_t i)
{
    if (!pln_infer_has(inf, i) || inf->in[i]->kind != PLN_KIND_TENSOR)
        return PLN_RANK_UNKNOWN;
    return inf->in[i]->shape.rank;
}

pln_dim pln_infer_dim(const pln_infer *inf, uint32_t i, int axis)
{
    const int rank = pln_infer_rank(inf, i);
    if (axis < 0 || axis >= rank)
        return pln_dim_unknown();
    return inf->in[i]->shape.dims[axis];
}

static bool ints_of_tensor(const pln_infer *inf, const pln_tensor *t, pln_symval *out)
{
    if (t->kind != PLN_KIND_TENSOR || t->rank > 1 || !pln_dtype_is_integer(t->dtype))
        return false;
    const int64_t n = pln_tensor_size(t);
    if (n && !t->data)
        return false;
    pln_dim *v = PLN_NEW_ARRAY(inf->arena, pln_dim, n);
    if (!v)
        return false;
    for (int64_t i = 0; i < n; i++)
        v[i] = pln_dim_of(pln_tensor_get_i64(t, i));
    *out = (pln_symval){ .n = n, .v = v };
    return true;
}

bool pln_infer_ints(const pln_infer *inf, uint32_t i, pln_symval *out)
{
    if (!pln_infer_has(inf, i))
        return false;
    if (inf->in_cst && inf->in_cst[i])
        return ints_of_tensor(inf, inf->in_cst[i], out);
    if (!inf->in_sym || !inf->in_sym[i])
        return false;
    *out = *inf->in_sym[i];
    return true;
}

bool pln_infer_known_ints(const pln_infer *inf, uint32_t i, const int64_t **v, size_t *n)
{
    pln_symval s;
    if (!pln_infer_ints(inf, i, &s))
        return false;
    int64_t *copy = PLN_NEW_ARRAY(inf->arena, int64_t, s.n);
    if (!copy)
        return false;
    for (int64_t k = 0; k < s.n; k++) {
        if (!pln_dim_is_known(s.v[k]))
            return false;
        copy[k] = s.v[k].value;
    }
    *v = copy;
    *n = (size_t)s.n;
    return true;
}

pln_status pln_infer_axis(const pln_infer *inf, int64_t axis, int rank, int *out,
                          pln_error *err)
{
    if (axis < -(int64_t)rank || axis >= rank)
        return pln_infer_fail(inf, err, "axis %lld is outside [-%d, %d)", (long long)axis,
                              rank, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return PLN_OK;
}

/* Where rows write the sizes of a shape that there was no memory for. */
static _Thread_local pln_dim no_shape[PLN_MAX_RANK];

void pln_infer_set(pln_infer *inf, uint32_t o, pln_dtype dt, pln_shape shape)
{
    if (shape.dims == no_shape)
        shape = pln_shape_unknown();
    if (o < inf->n_out)
        inf->out[o] = pln_type_tensor(dt, shape);
}

pln_shape pln_infer_shape(pln_infer *inf, int rank)
{
    pln_shape s = pln_shape_new(inf->arena, rank);
    if (s.rank < 0)
        s.dims = no_shape;
    return s;
}

/* The size of a dimension in which sizes a and b are broadcast together; false: they
 * can't be. */
static bool broadcast_dim(pln_syms *syms, pln_dim a, pln_dim b, pln_dim *out)
{
    *out = a;
    if (pln_dim_equal(a, b) || pln_dim_is(b, 1))
        return true;
    *out = b;
    if (pln_dim_is(a, 1))
        return true;
    if (pln_dim_is_known(a) && pln_dim_is_known(b))
        return false;
    /* One is a number other than 1: the other must be equal to it or 1. */
    if (pln_dim_is_known(a) || pln_dim_is_known(b)) {
        *out = pln_dim_is_known(a) ? a : b;
        return true;
    }
    *out = pln_dim_max(syms, a, b);
    return true;
}

static void print_shapes(pln_text *t, const pln_shape *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        pln_text_str(t, i ? " and [" : "[");
        for (int d = 0; d < s[i].rank; d++) {
            pln_text_str(t, d ? "," : "");
            pln_dim_print(t, s[i].dims[d]);
        }
        pln_text_str(t, "]");
    }
}

static pln_status broadcast_fail(pln_infer *inf, const pln_shape *s, uint32_t n,
                                 pln_error *err)
{
    pln_text t;
    pln_text_init(&t, pln_arena_allocator(inf->arena));
    print_shapes(&t, s, n);
    const pln_status st =
        pln_infer_fail(inf, err, "shapes %s don't broadcast", t.data ? t.data : "");
    pln_text_done(&t);
    return st;
}

pln_status pln_infer_broadcast_shapes(pln_infer *inf, const pln_shape *s, uint32_t n,
                                      pln_shape *out, pln_error *err)
{
    int rank = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].rank == PLN_RANK_UNKNOWN) {
            *out = pln_shape_unknown();
            return PLN_OK;
        }
        rank = s[i].rank > rank ? s[i].rank : rank;
    }
    pln_shape r = pln_infer_shape(inf, rank);
    if (r.rank != rank)
        return pln_oom(err);
    for (int d = 0; d < rank; d++) {
        r.dims[d] = pln_dim_of(1);
        for (uint32_t i = 0; i < n; i++) {
            const int k = d - (rank - s[i].rank);
            if (k >= 0 && !broadcast_dim(inf->syms, r.dims[d], s[i].dims[k], &r.dims[d]))
                return broadcast_fail(inf, s, n, err);
        }
    }
    *out = r;
    return PLN_OK;
}

pln_status pln_infer_broadcast(pln_infer *inf, uint32_t first, uint32_t n, pln_shape *out,
                               pln_error *err)
{
    pln_shape *s = PLN_NEW_ARRAY(inf->arena, pln_shape, n);
    uint32_t count = 0;
    if (!s)
        return pln_oom(err);
    for (uint32_t i = first; i < first + n; i++) {
        if (!pln_infer_has(inf, i))
            continue;
        s[count++] = inf->in[i]->kind == PLN_KIND_TENSOR ? inf->in[i]->shape
                                                         : pln_shape_unknown();
    }
    return pln_infer_broadcast_shapes(inf, s, count, out, err);
}

pln_status pln_infer_same(pln_infer *inf, pln_error *err)
{
    if (inf->n_out && pln_infer_has(inf, 0)) {
        inf->out[0] = pln_type_dup(inf->arena, inf->in[0]);
        inf->out[0].denotation = NULL;
    }
    return PLN_OK;
}

pln_status pln_infer_elementwise(pln_infer *inf, pln_error *err)
{
    pln_shape s;
    PLN_TRY(pln_infer_broadcast(inf, 0, inf->n_in, &s, err));
    pln_dtype dt = pln_infer_dtype(inf, 0);
    for (uint32_t i = 1; i < inf->n_in && dt == PLN_DT_NONE; i++)
        dt = pln_infer_dtype(inf, i);
    pln_infer_set(inf, 0, dt, s);
    return PLN_OK;
}

pln_status pln_infer_compare(pln_infer *inf, pln_error *err)
{
    pln_shape s;
    PLN_TRY(pln_infer_broadcast(inf, 0, inf->n_in, &s, err));
    pln_infer_set(inf, 0, PLN_DT_BOOL, s);
    return PLN_OK;
}
