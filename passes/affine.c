/* What nodes with constants do to each channel of a value.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"
#include "passes/made.h"

#include <math.h>
#include <string.h>

#include "src/util/size.h"

#define MAX_COMBINED (INT64_C(1) << 24) /* elements */
#define TINY         1e-30              /* factors below may lose digits */
#define TINY_HALF    6.2e-5

bool pln_affine_new(pln_affine *a, pln_arena *arena, int64_t n)
{
    a->n = n;
    a->mul = PLN_NEW_ARRAY(arena, double, n);
    a->add = PLN_NEW_ARRAY(arena, double, n);
    for (int64_t i = 0; a->mul && i < n; i++)
        a->mul[i] = 1;
    return a->mul && a->add;
}

bool pln_affine_scales(const pln_affine *a)
{
    for (int64_t i = 0; i < a->n; i++)
        if (a->mul[i] != 1)
            return true;
    return false;
}

bool pln_affine_shifts(const pln_affine *a)
{
    for (int64_t i = 0; i < a->n; i++)
        if (a->add[i] != 0)
            return true;
    return false;
}

/* ---- which node ------------------------------------------------------------------- */

static bool is_binary(const pln_node *n)
{
    return pln_node_is(n, "Add") || pln_node_is(n, "Sub") || pln_node_is(n, "Mul") ||
           pln_node_is(n, "Div");
}

pln_value *pln_affine_input(const pln_node *n)
{
    if (pln_node_is(n, "Neg") || pln_node_is(n, "BatchNormalization"))
        return n->in[0];
    if (!is_binary(n) || n->n_in != 2 || !n->in[0] || !n->in[1])
        return NULL;
    const bool left = pln_value_is_const(n->in[0]), right = pln_value_is_const(n->in[1]);
    if (left == right || (left && pln_node_is(n, "Div")))
        return NULL;
    return n->in[left ? 1 : 0];
}

bool pln_node_is_affine(const pln_node *n)
{
    return pln_affine_input(n) != NULL;
}

/* ---- reading ---------------------------------------------------------------------- */

/* A vector of n floats, constant or made of constants. */
static bool read_vector(const pln_value *v, int64_t n, pln_arena *arena, pln_made *out)
{
    return v && pln_value_rank(v) == 1 && pln_value_count(v) == n &&
           pln_made_read(v, arena, out);
}

static pln_status read_batch_norm(pln_match *m, const pln_node *bn, int axis,
                                  pln_affine *a)
{
    pln_made t[4];
    if (axis != 1)
        return pln_match_refuse(m, "its channels are not those of the product");
    if (pln_node_has_other_outputs(bn))
        return pln_match_refuse(m, "its statistics are used");
    if (bn->n_in < 5 || pln_node_get_int(bn, "training_mode", 0))
        return pln_match_refuse(m, "in training mode");
    for (uint32_t i = 0; i < 4; i++)
        if (!read_vector(bn->in[i + 1], a->n, m->ctx->scratch, &t[i]))
            return pln_match_refuse(m, "its statistics are not constant vectors of %lld",
                                    (long long)a->n);
    const double eps = pln_node_get_float(bn, "epsilon", 1e-5f);
    for (int64_t i = 0; i < a->n; i++) {
        const double f = pln_made_at(&t[0], 0, i) / sqrt(pln_made_at(&t[3], 0, i) + eps);
        a->mul[i] = f;
        a->add[i] = pln_made_at(&t[1], 0, i) - pln_made_at(&t[2], 0, i) * f;
        if (!isfinite(a->mul[i]) || !isfinite(a->add[i]))
            return pln_match_refuse(m, "its scale is not finite");
    }
    return PLN_OK;
}

/* As large as it may be if it varies along the channel axis alone, or not at all. */
static bool has_few(const pln_value *c, int64_t n)
{
    return !pln_value_is_const(c) || pln_value_count(c) == 1 || pln_value_count(c) == n;
}

static pln_status read_binary(pln_match *m, const pln_node *n, const pln_value *x,
                              int axis, pln_affine *a)
{
    const bool first = n->in[1] == x;
    const pln_value *c = n->in[first ? 0 : 1];
    const bool sub = pln_node_is(n, "Sub"), div = pln_node_is(n, "Div");
    pln_made t;
    if (!has_few(c, a->n) || !pln_made_read(c, m->ctx->scratch, &t))
        return pln_match_refuse(m, "the constant is not one value for each channel");
    const int rank = pln_value_rank(n->out[0]);
    const int at = axis < 0 ? -1 : axis - (rank - t.rank);
    if (t.rank > rank || !pln_made_is_along(&t, at) ||
        (t.n != 1 && (at < 0 || t.dims[at] != a->n)))
        return pln_match_refuse(m, "the constant is not one value for each channel");
    for (int64_t i = 0; i < a->n; i++) {
        const double v = pln_made_at(&t, at < 0 ? 0 : at, t.n == 1 ? 0 : i);
        if (sub || pln_node_is(n, "Add")) {
            a->add[i] = sub && !first ? -v : v;
            a->mul[i] = sub && first ? -1 : 1;
        } else {
            a->mul[i] = div ? 1 / v : v;
        }
        if (!isfinite(a->mul[i]) || !isfinite(v))
            return pln_match_refuse(m, "the factor is not finite");
    }
    return PLN_OK;
}

pln_status pln_affine_read_of(pln_match *m, const pln_node *n, const pln_value *x,
                              int axis, int64_t channels, pln_affine *a)
{
    if (!pln_dtype_is_float(n->out[0]->type.dtype) ||
        !pln_value_same_type(n->out[0], x) || pln_value_rank(x) < 0)
        return pln_match_refuse(m, "the constant makes the result larger");
    if (!pln_affine_new(a, m->ctx->scratch, channels))
        return PLN_E_NOMEM;
    if (pln_node_is(n, "BatchNormalization"))
        return read_batch_norm(m, n, axis, a);
    if (!pln_node_is(n, "Neg"))
        return read_binary(m, n, x, axis, a);
    for (int64_t i = 0; i < channels; i++)
        a->mul[i] = -1;
    return PLN_OK;
}

pln_status pln_affine_read(pln_match *m, const pln_node *n, int axis, int64_t channels,
                           pln_affine *a)
{
    const pln_value *x = pln_affine_input(n);
    return x ? pln_affine_read_of(m, n, x, axis, channels, a)
             : pln_match_refuse(m, "no constant operand");
}

/* ---- constants -------------------------------------------------------------------- */

bool pln_tensor_is_finite(const pln_tensor *t)
{
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t->dtype == PLN_DT_F32 ? (double)PLN_DATA(const float, t)[i]
                                             : pln_tensor_get_f64(t, i)))
            return false;
    return true;
}

bool pln_value_is_own_weights(const pln_value *w)
{
    const pln_dtype dt = w->type.dtype;
    return pln_value_is_const(w) && w->n_uses == 1 && w->cst->kind == PLN_KIND_TENSOR &&
           (dt == PLN_DT_F32 || dt == PLN_DT_F64 || dt == PLN_DT_F16 ||
            dt == PLN_DT_BF16);
}

static bool broadcast_dims(const pln_tensor *a, const pln_tensor *b, int64_t *dims,
                           int *rank)
{
    int64_t n = 1;
    *rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < *rank; i++) {
        const int ia = i - (*rank - a->rank), ib = i - (*rank - b->rank);
        const int64_t x = ia < 0 ? 1 : a->dims[ia], y = ib < 0 ? 1 : b->dims[ib];
        if (x != y && x != 1 && y != 1)
            return false;
        dims[i] = x == 1 ? y : x;
        if (!pln_i64_mul(&n, n, dims[i]))
            return false;
    }
    const int64_t na = pln_tensor_size(a), nb = pln_tensor_size(b);
    return n == (na > nb ? na : nb) && n > 0 && n <= MAX_COMBINED;
}

/* Where element i of a result is found in an operand. */
static int64_t place_in(const pln_tensor *t, const int64_t *dims, int rank, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int k = rank - 1, j = t->rank - 1; j >= 0; k--, j--) {
        const int64_t here = i % dims[k];
        i /= dims[k];
        if (t->dims[j] != 1)
            at += here * step;
        step *= t->dims[j];
    }
    return at;
}

static double apply(char op, double x, double y)
{
    return op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y;
}

/* A factor that is neither lost nor beyond the type. */
static bool holds(const pln_tensor *t, int64_t i, char op, double want)
{
    const double got = pln_tensor_get_f64(t, i);
    const double tiny = t->dtype == PLN_DT_F16 ? TINY_HALF : TINY;
    if (!isfinite(got) || !pln_dtype_is_float((pln_dtype)t->dtype))
        return got == want && fabs(want) < 0x1p53;
    return op == '+' || op == '-' || want == 0 || fabs(got) > tiny;
}

/* n elements of t from `at`; those of a and b lie one after the other, or are one (step
 * 0). */
typedef struct stretch {
    int64_t n, at, at_a, at_b, step_a, step_b;
} stretch;

static bool combine_any(pln_tensor *t, const pln_tensor *a, char op, const pln_tensor *b,
                        const stretch *s)
{
    for (int64_t i = 0; i < s->n; i++) {
        const double v = apply(op, pln_tensor_get_f64(a, s->at_a + i * s->step_a),
                               pln_tensor_get_f64(b, s->at_b + i * s->step_b));
        if (!isfinite(v))
            return false;
        pln_tensor_set_f64(t, s->at + i, v);
        if (!holds(t, s->at + i, op, v))
            return false;
    }
    return true;
}

/* The same for floats, which large weights are. */
static bool combine_floats(pln_tensor *t, const pln_tensor *a, char op,
                           const pln_tensor *b, const stretch *s)
{
    const float *x = (const float *)a->data + s->at_a,
                *y = (const float *)b->data + s->at_b;
    float *z = (float *)t->data + s->at;
    const bool sum = op == '+' || op == '-';
    bool ok = true;
    for (int64_t i = 0; i < s->n; i++) {
        const double v = apply(op, x[i * s->step_a], y[i * s->step_b]);
        z[i] = (float)v;
        ok &= isfinite(z[i]) && (sum || v == 0 || fabs((double)z[i]) > TINY);
    }
    return ok;
}

pln_tensor *pln_tensor_combine(const pln_allocator *alloc, pln_tensor *a, char op,
                               pln_tensor *b)
{
    int64_t dims[PLN_MAX_RANK];
    int rank;
    pln_tensor *t = NULL;
    if (a->kind != PLN_KIND_TENSOR || b->kind != PLN_KIND_TENSOR ||
        !broadcast_dims(a, b, dims, &rank) || pln_tensor_materialize(a, NULL) != PLN_OK ||
        pln_tensor_materialize(b, NULL) != PLN_OK ||
        pln_tensor_make(alloc, (pln_dtype)a->dtype, rank, dims, &t, NULL) != PLN_OK)
        return NULL;
    const int64_t n = pln_tensor_size(t), row = rank ? dims[rank - 1] : 1;
    const bool floats = a->dtype == PLN_DT_F32 && b->dtype == PLN_DT_F32;
    bool ok = true;
    for (int64_t i = 0; ok && i < n; i += row) {
        const stretch s = { row,
                            i,
                            place_in(a, dims, rank, i),
                            place_in(b, dims, rank, i),
                            a->rank && a->dims[a->rank - 1] != 1,
                            b->rank && b->dims[b->rank - 1] != 1 };
        ok = (floats ? combine_floats : combine_any)(t, a, op, b, &s);
    }
    if (!ok) {
        pln_tensor_unref(t);
        return NULL;
    }
    return t;
}

pln_value *pln_patch_combine(pln_patch *p, const pln_value *a, char op,
                             const pln_value *b)
{
    if (!a || !b || !a->cst || !b->cst)
        return NULL;
    pln_tensor *t = pln_tensor_combine(p->graph->model->alloc, a->cst, op, b->cst);
    return t ? pln_patch_const(p, t, a->name) : NULL;
}

pln_value *pln_patch_channels(pln_patch *p, pln_dtype dt, const double *v, int64_t n,
                              int ones, const char *hint)
{
    int64_t dims[PLN_MAX_RANK] = { n };
    bool same = true;
    pln_tensor *t = NULL;
    for (int i = 1; i <= ones; i++)
        dims[i] = 1;
    for (int64_t i = 1; i < n; i++)
        same &= v[i] == v[0];
    if (pln_tensor_make(p->graph->model->alloc, dt, same ? 0 : 1 + ones, dims, &t,
                        NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        pln_tensor_set_f64(t, i, v[i]);
    if (pln_tensor_is_finite(t))
        return pln_patch_const(p, t, hint);
    pln_tensor_unref(t);
    return NULL;
}

pln_value *pln_patch_vector(pln_patch *p, pln_dtype dt, const double *v, int64_t n,
                            const char *hint)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, dt, 1, &n, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_f64(t, i, v[i]);
    if (pln_tensor_is_finite(t))
        return pln_patch_const(p, t, hint);
    pln_tensor_unref(t);
    return NULL;
}
