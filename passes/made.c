/* Made constants. SPDX-License-Identifier: Apache-2.0 */
#include "passes/made.h"

#include <string.h>

#include "passes/known.h"

#define MAX_NUMBERS (INT64_C(1) << 20)
#define MAX_STEPS   8
#define SMALL       16 /* elements: no node is worth while for those */

int64_t pln_made_count(const pln_made *m)
{
    int64_t n = 1;
    for (int i = 0; i < m->rank; i++)
        n *= m->dims[i];
    return n;
}

bool pln_made_is_uniform(const pln_made *m)
{
    for (int64_t i = 1; i < m->n; i++)
        if (memcmp(&m->v[i], &m->v[0], sizeof m->v[0]))
            return false;
    return true;
}

/* ---- reading -------------------------------------------------------------------- */

static bool read_dims(const pln_value *v, pln_made *out)
{
    const int64_t count = pln_value_count(v);
    if (count < 1 || !pln_dtype_is_float(v->type.dtype))
        return false;
    out->dtype = v->type.dtype;
    out->rank = v->type.shape.rank;
    for (int i = 0; i < out->rank; i++)
        out->dims[i] = v->type.shape.dims[i].value;
    return true;
}

/* One number for all of it. */
static bool fill(pln_made *out, double number, pln_arena *arena)
{
    out->n = 1;
    out->v = PLN_NEW_ARRAY(arena, double, 1);
    for (int i = 0; i < out->rank; i++)
        out->has[i] = 1;
    if (out->v)
        out->v[0] = number;
    return out->v != NULL;
}

static bool read_const(const pln_value *v, pln_arena *arena, pln_made *out)
{
    pln_tensor *t = v->cst;
    if (t->kind != PLN_KIND_TENSOR || t->rank > PLN_MAX_RANK ||
        !pln_dtype_is_float((pln_dtype)t->dtype) || pln_tensor_size(t) < 1 ||
        pln_tensor_size(t) > MAX_NUMBERS || pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    out->dtype = (pln_dtype)t->dtype;
    out->rank = t->rank;
    out->n = pln_tensor_size(t);
    out->v = PLN_NEW_ARRAY(arena, double, (size_t)out->n);
    for (int i = 0; i < t->rank; i++)
        out->has[i] = out->dims[i] = t->dims[i];
    for (int64_t i = 0; out->v && i < out->n; i++)
        out->v[i] = pln_tensor_get_f64(t, i);
    return out->v != NULL;
}

/* The same elements in other dimensions. */
static bool read_reshaped(const pln_value *v, const pln_made *from, pln_made *out)
{
    if (!read_dims(v, out) || pln_made_count(out) != pln_made_count(from) ||
        (from->n != 1 && from->n != pln_made_count(from)))
        return false;
    out->n = from->n;
    out->v = from->v;
    for (int i = 0; i < out->rank; i++)
        out->has[i] = from->n == 1 ? 1 : out->dims[i];
    return true;
}

static bool read_expanded(const pln_value *v, const pln_made *from, pln_made *out)
{
    if (!read_dims(v, out) || from->rank > out->rank)
        return false;
    out->n = from->n;
    out->v = from->v;
    for (int i = 0; i < out->rank; i++) {
        const int k = i - (out->rank - from->rank);
        out->has[i] = k < 0 ? 1 : from->has[k];
    }
    return true;
}

static bool read_node(const pln_value *v, pln_arena *arena, int depth, pln_made *out);

static bool read_any(const pln_value *v, pln_arena *arena, int depth, pln_made *out)
{
    if (!v || depth > MAX_STEPS)
        return false;
    return pln_value_is_const(v) ? read_const(v, arena, out)
                                 : read_node(v, arena, depth, out);
}

static bool read_node(const pln_value *v, pln_arena *arena, int depth, pln_made *out)
{
    static const char *const reshaping[] = { "Unsqueeze", "Squeeze", "Reshape", "Flatten",
                                             "Identity" };
    double number;
    pln_made from;
    const pln_node *n = v->def;
    if (!n || v->slot != 0)
        return false;
    if (pln_node_is(n, "ConstantOfShape"))
        return read_dims(v, out) && pln_value_is_uniform(v, &number) &&
               fill(out, number, arena);
    if (pln_node_is(n, "Expand"))
        return read_any(n->in[0], arena, depth + 1, &from) &&
               read_expanded(v, &from, out);
    for (size_t i = 0; i < sizeof reshaping / sizeof reshaping[0]; i++)
        if (pln_node_is(n, reshaping[i]))
            return read_any(n->in[0], arena, depth + 1, &from) &&
                   read_reshaped(v, &from, out);
    return false;
}

bool pln_made_read(const pln_value *v, pln_arena *arena, pln_made *out)
{
    return read_any(v, arena, 0, out);
}

/* ---- numbers -------------------------------------------------------------------- */

bool pln_made_is_along(const pln_made *m, int axis)
{
    for (int i = 0; i < m->rank; i++)
        if (m->has[i] != 1 && i != axis)
            return false;
    return true;
}

static int64_t stride_of(const pln_made *m, int axis)
{
    int64_t s = 1;
    for (int i = m->rank - 1; i > axis; i--)
        s *= m->has[i];
    return s;
}

double pln_made_at(const pln_made *m, int axis, int64_t i)
{
    if (axis < 0 || axis >= m->rank || m->has[axis] == 1)
        return m->v[0];
    return m->v[i * stride_of(m, axis)];
}

/* Numbers of their own for each place along `axis`. */
static bool spread(pln_made *m, pln_arena *arena, int axis)
{
    const int64_t inner = stride_of(m, axis), n = m->dims[axis];
    if (m->has[axis] == n)
        return true;
    if (m->n > MAX_NUMBERS / n)
        return false;
    double *v = PLN_NEW_ARRAY(arena, double, (size_t)(m->n * n));
    for (int64_t i = 0; v && i < m->n * n; i++)
        v[i] = m->v[i / (inner * n) * inner + i % inner];
    m->has[axis] = n;
    m->n *= n;
    m->v = v;
    return v != NULL;
}

bool pln_made_scale(pln_made *m, pln_arena *arena, int axis, const double *factor,
                    int64_t n_factors)
{
    double *v = PLN_NEW_ARRAY(arena, double, (size_t)m->n);
    if (!v)
        return false;
    memcpy(v, m->v, (size_t)m->n * sizeof v[0]); /* those of another tensor, perhaps */
    m->v = v;
    if (n_factors > 1 && !spread(m, arena, axis))
        return false;
    const int64_t inner = stride_of(m, axis);
    for (int64_t i = 0; i < m->n; i++)
        m->v[i] *= factor[n_factors > 1 ? i / inner % n_factors : 0];
    return true;
}

/* ---- writing -------------------------------------------------------------------- */

static pln_tensor *tensor_of(pln_patch *p, const pln_made *m, int rank,
                             const int64_t *dims, bool repeat)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, m->dtype, rank, dims, &t, NULL) != PLN_OK)
        return NULL;
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_f64(t, i, m->v[repeat ? 0 : i]);
    return t;
}

static bool is_shape(const pln_value *v, const pln_made *m)
{
    int64_t dims[PLN_MAX_RANK];
    size_t n;
    return v && v->type.dtype == PLN_DT_S64 && pln_value_rank(v) == 1 &&
           pln_value_get_ints(v, dims, PLN_MAX_RANK, &n) && n == (size_t)m->rank &&
           !memcmp(dims, m->dims, n * sizeof dims[0]);
}

static pln_value *shape_of(pln_patch *p, const pln_made *m, const pln_value *like,
                           const char *hint)
{
    const pln_node *n = like ? like->def : NULL;
    const uint32_t at = n && pln_node_is(n, "Expand") ? 1 : 0;
    const bool has =
        n && (at || pln_node_is(n, "ConstantOfShape")) && is_shape(n->in[at], m);
    return has ? n->in[at] : pln_patch_ints(p, m->dims, (size_t)m->rank, hint);
}

static pln_value *emit_uniform(pln_patch *p, const pln_made *m, const pln_value *like,
                               const char *hint)
{
    const int64_t one = 1;
    pln_value *shape = shape_of(p, m, like, hint);
    pln_node *n = shape ? pln_patch_add(p, "ConstantOfShape", &shape, 1, 1) : NULL;
    pln_tensor *t = n ? tensor_of(p, m, 1, &one, true) : NULL;
    const bool ok = t && pln_node_set_tensor(n, "value", t) == PLN_OK;
    pln_tensor_unref(t);
    return ok ? n->out[0] : NULL;
}

pln_value *pln_made_emit(pln_patch *p, const pln_made *m, const pln_value *like,
                         const char *hint)
{
    pln_tensor *t;
    const int64_t count = pln_made_count(m);
    const bool uniform = pln_made_is_uniform(m);
    if (uniform && count > SMALL)
        return emit_uniform(p, m, like, hint);
    if (uniform || m->n == count) {
        t = tensor_of(p, m, m->rank, m->dims, uniform);
        return t ? pln_patch_const(p, t, hint) : NULL;
    }
    t = tensor_of(p, m, m->rank, m->has, false);
    pln_value *in[2] = { t ? pln_patch_const(p, t, hint) : NULL,
                         shape_of(p, m, like, hint) };
    pln_node *n = in[0] && in[1] ? pln_patch_add(p, "Expand", in, 2, 1) : NULL;
    return n ? n->out[0] : NULL;
}
