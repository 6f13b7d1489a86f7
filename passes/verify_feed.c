/* Inputs that put a rewrite to the test.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "passes/verify.h"


#define LARGE        7  /* sizes above it may shrink */
#define MAX_ELEMENTS (1 << 20)

static const char *const flavor_names[PLN_FLAVOR_COUNT] = {
    "random values", "positive values", "large values", "special values",
    "zeros",         "small values",    "extreme values",
};

const char *pln_flavor_name(pln_flavor f)
{
    return flavor_names[f];
}

static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 11;
}

static double uniform(uint64_t *state) /* [-1, 1) */
{
    return (double)next(state) / (double)(UINT64_C(1) << 53) * 2 - 1;
}

/* ---- sizes ------------------------------------------------------------------------- */

static pln_dim symbol_size(void *user, const char *symbol)
{
    const pln_sizes_choice *s = user;
    if (s->size >= 0)
        return pln_dim_of(s->size);
    const uint64_t h = pln_hash(PLN_HASH_SEED, symbol, strlen(symbol));
    return pln_dim_of(2 + (int64_t)(h % 6));
}

static int64_t size_of(const pln_sizes_choice *s, pln_syms *syms, pln_dim d)
{
    if (pln_dim_is_unknown(d))
        return s->size >= 0 ? s->size : 2;
    if (!pln_dim_is_known(d)) {
        d = pln_dim_substitute(syms, d, symbol_size, (void *)(uintptr_t)s);
        return pln_dim_is_known(d) ? d.value : -1;
    }
    if (!s->shrink || d.value <= LARGE ||
        pln_map_has(s->pinned, (const void *)(uintptr_t)(d.value + 1)))
        return d.value;
    const int64_t small = s->shrink == 1 ? LARGE + 1 : 3; /* the same for the same size */
    return d.value < small + 5 ? d.value : small + d.value % 5;
}

static const char *dims_of(const pln_value *v, const pln_sizes_choice *s, int *rank,
                           int64_t *dims)
{
    const pln_shape shape = v->type.shape;
    int64_t count;
    *rank = shape.rank == PLN_RANK_UNKNOWN ? s->rank : shape.rank;
    for (int i = 0; i < *rank; i++) {
        const pln_dim d = shape.rank == PLN_RANK_UNKNOWN ? pln_dim_unknown()
                                                         : shape.dims[i];
        dims[i] = size_of(s, v->graph->model->syms, d);
        if (dims[i] < 0)
            return "a size came out negative";
    }
    if (!pln_dims_count(*rank, dims, &count) || count > MAX_ELEMENTS)
        return "too large";
    return NULL;
}

/* ---- contents ---------------------------------------------------------------------- */

static double special(pln_dtype dt, uint64_t *state)
{
    const bool half = dt == PLN_DT_F16;
    const double denormal = half ? 1e-7 : dt == PLN_DT_F64 ? 1e-310 : 1e-40;
    const double list[] = { 0.0,      -0.0,       1.0,  -1.0, NAN, INFINITY, -INFINITY,
                            denormal, -denormal,  0.5,  2.0 };
    const size_t n = sizeof list / sizeof list[0];
    const uint64_t k = next(state) % (2 * n);
    return k < n ? list[k] : uniform(state);
}

static double largest(pln_dtype dt)
{
    switch (dt) {
    case PLN_DT_F16:
        return 65504;
    case PLN_DT_BF16:
        return 3.38953139e38;
    case PLN_DT_F64:
        return DBL_MAX;
    default:
        return FLT_MAX;
    }
}

static double extreme(pln_dtype dt, uint64_t *state)
{
    const double max = largest(dt), min = dt == PLN_DT_F64   ? DBL_MIN
                                          : dt == PLN_DT_F16 ? 6.1035e-5
                                                             : FLT_MIN;
    const double list[] = {
        max, -max, max / 2, min, -min, INFINITY, -INFINITY, 1, -1, 0
    };
    return list[next(state) % (sizeof list / sizeof list[0])];
}

static double real(pln_dtype dt, pln_flavor f, uint64_t *state)
{
    switch (f) {
    case PLN_FLAVOR_POSITIVE:
        return uniform(state) + 1.0009765625;
    case PLN_FLAVOR_WIDE:
        return uniform(state) * 100;
    case PLN_FLAVOR_SPECIAL:
        return special(dt, state);
    case PLN_FLAVOR_ZERO:
        return next(state) % 2 ? 0.0 : -0.0;
    case PLN_FLAVOR_EXTREME:
        return extreme(dt, state);
    case PLN_FLAVOR_SMALL:
        return (double)(next(state) % 9) * 0.5 - 2;
    default: /* the sum of some, so that not all lie within 1 */
        return uniform(state) + uniform(state) + uniform(state);
    }
}

static int64_t whole(pln_flavor f, uint64_t *state)
{
    const uint64_t r = next(state);
    switch (f) {
    case PLN_FLAVOR_POSITIVE:
        return 1 + (int64_t)(r % 4);
    case PLN_FLAVOR_WIDE:
        return (int64_t)(r % 256) - 128;
    case PLN_FLAVOR_SMALL:
        return (int64_t)(r % 6) - 2;
    case PLN_FLAVOR_SPECIAL:
        return (int64_t)(r % 3) - 1;
    case PLN_FLAVOR_ZERO:
        return 0;
    case PLN_FLAVOR_EXTREME:
        return r % 4 == 0 ? INT64_MIN : r % 4 == 1 ? INT64_MAX : (int64_t)(r << 11);
    default:
        return (int64_t)(r % 2);
    }
}

static void fill(pln_tensor *t, pln_flavor f, uint64_t *state)
{
    const pln_dtype dt = (pln_dtype)t->dtype;
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        if (pln_dtype_is_float(dt) || pln_dtype_is_complex(dt))
            pln_tensor_set_f64(t, i, real(dt, f, state));
        else if (dt == PLN_DT_BOOL)
            pln_tensor_set_i64(t, i, f != PLN_FLAVOR_ZERO && next(state) % 2);
        else
            pln_tensor_set_i64(t, i, whole(f, state));
    }
}

/* Shape contents that inference knows, at these sizes. */
static const char *fill_known(pln_tensor *t, const pln_value *v,
                              const pln_sizes_choice *s)
{
    for (int64_t i = 0; i < v->sym->n; i++) {
        pln_dim d = v->sym->v[i];
        if (pln_dim_is_unknown(d))
            continue;
        if (!pln_dim_is_known(d))
            d = pln_dim_substitute(v->graph->model->syms, d, symbol_size,
                                   (void *)(uintptr_t)s);
        if (!pln_dim_is_known(d))
            return "its contents can't be computed";
        pln_tensor_set_i64(t, i, d.value);
    }
    return NULL;
}

pln_status pln_feed_make(const pln_value *v, const pln_sizes_choice *s, pln_flavor f,
                         uint64_t seed, pln_tensor **out, const char **why,
                         pln_error *err)
{
    int64_t dims[PLN_MAX_RANK];
    int rank;
    const pln_type *t = &v->type;
    uint64_t state = seed;
    *out = NULL;
    if (t->kind != PLN_KIND_TENSOR || t->dtype == PLN_DT_NONE ||
        t->dtype == PLN_DT_STRING) {
        *why = t->kind == PLN_KIND_NONE || t->dtype == PLN_DT_NONE
                   ? "a value of unknown type"
                   : "a value that is no tensor of numbers";
        return PLN_OK;
    }
    *why = dims_of(v, s, &rank, dims);
    if (*why)
        return PLN_OK;
    pln_tensor *made = NULL;
    PLN_TRY(pln_tensor_make(v->graph->model->alloc, t->dtype, rank, dims, &made, err));
    fill(made, f, &state);
    if (v->sym && v->sym->n == pln_tensor_size(made))
        *why = fill_known(made, v, s);
    if (*why) {
        pln_tensor_unref(made);
        made = NULL;
    }
    *out = made;
    return PLN_OK;
}
