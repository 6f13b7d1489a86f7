/* How far two values are apart.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

static bool is_float(pln_dtype dt)
{
    return dt == PLN_DT_F32 || dt == PLN_DT_F16 || dt == PLN_DT_BF16 || dt == PLN_DT_F64;
}

static bool same_type(const pln_tensor *a, const pln_tensor *b, bool any_float)
{
    if (pln_tensor_kind(a) != pln_tensor_kind(b))
        return false;
    if (pln_tensor_kind(a) != PLN_KIND_TENSOR)
        return pln_tensor_items(a) == pln_tensor_items(b);
    const int rank = pln_tensor_rank(a);
    const pln_dtype da = pln_tensor_dtype(a), db = pln_tensor_dtype(b);
    return (da == db || (any_float && is_float(da) && is_float(db))) &&
           rank == pln_tensor_rank(b) &&
           !memcmp(pln_tensor_dims(a), pln_tensor_dims(b),
                   (size_t)rank * sizeof(int64_t));
}

/* The number under test: real parts first, then imaginary ones. */
static double number(const pln_tensor *t, int64_t i)
{
    const pln_dtype dt = pln_tensor_dtype(t);
    if (dt == PLN_DT_C64)
        return (double)((const float *)pln_tensor_data_const(t))[i];
    if (dt == PLN_DT_C128)
        return ((const double *)pln_tensor_data_const(t))[i];
    return pln_tensor_number(t, i);
}

static int64_t numbers(const pln_tensor *t)
{
    const pln_dtype dt = pln_tensor_dtype(t);
    return pln_tensor_count(t) * (dt == PLN_DT_C64 || dt == PLN_DT_C128 ? 2 : 1);
}

/* 64-bit integers don't fit a double. */
static bool same_integer(const pln_tensor *a, const pln_tensor *b, int64_t i)
{
    const pln_dtype dt = pln_tensor_dtype(a);
    if (dt != PLN_DT_S64 && dt != PLN_DT_U64)
        return true;
    return ((const int64_t *)pln_tensor_data_const(a))[i] ==
           ((const int64_t *)pln_tensor_data_const(b))[i];
}

static void note_worst(metrics *m, int64_t i, double a, double b, double over,
                       double *most)
{
    m->within = false;
    if (m->worst >= 0 && !(over > *most))
        return;
    *most = over;
    m->worst = i;
    m->worst_a = a;
    m->worst_b = b;
}

static double largest(const pln_tensor *t)
{
    double most = 0;
    for (int64_t i = 0; i < numbers(t); i++) {
        const double v = fabs(number(t, i));
        if (isfinite(v) && v > most)
            most = v;
    }
    return most;
}

static double top1_of(const pln_tensor *a, const pln_tensor *b)
{
    const int rank = pln_tensor_rank(a);
    const int64_t cols = rank ? pln_tensor_dims(a)[rank - 1] : 0;
    const int64_t rows = cols ? pln_tensor_count(a) / cols : 0;
    int64_t agree = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t ia = 0, ib = 0;
        for (int64_t c = 1; c < cols; c++) {
            if (pln_tensor_number(a, r * cols + c) > pln_tensor_number(a, r * cols + ia))
                ia = c;
            if (pln_tensor_number(b, r * cols + c) > pln_tensor_number(b, r * cols + ib))
                ib = c;
        }
        agree += ia == ib;
    }
    return rows ? (double)agree / (double)rows : NAN;
}

static void compare_numbers(const pln_tensor *a, const pln_tensor *b,
                            const tolerance *tol, metrics *m)
{
    const double top = largest(b);
    const double atol = tol->atol * (tol->atol_scaled   ? fmax(1, top)
                                     : tol->atol_of_max ? fmax(1e-3, top)
                                                        : 1);
    double aa = 0, bb = 0, ab = 0, dd = 0, most = 0;
    for (int64_t i = 0; i < numbers(a); i++) {
        const double x = number(a, i), y = number(b, i);
        if (isnan(x) && isnan(y))
            continue;
        const double d = x == y ? 0 : fabs(x - y);
        const double limit = atol + (tol->rtol > 0 ? tol->rtol * fabs(y) : 0);
        if (!(d <= limit) || (isinf(y) && x != y) ||
            (d == 0 && limit == 0 && !same_integer(a, b, i)))
            note_worst(m, i, x, y, isnan(d) ? INFINITY : d - limit, &most);
        m->max_abs = fmax(m->max_abs, isnan(d) ? INFINITY : d);
        if (y != 0)
            m->max_rel = fmax(m->max_rel, isnan(d) ? INFINITY : d / fabs(y));
        if (!isfinite(x) || !isfinite(y))
            continue;
        aa += x * x;
        bb += y * y;
        ab += x * y;
        dd += d * d;
    }
    m->cosine = aa > 0 && bb > 0 ? ab / sqrt(aa) / sqrt(bb) : aa == bb ? 1 : 0;
    m->of_max = m->max_abs > 0 ? m->max_abs / fmax(1e-3, top) : 0;
    m->sqnr_db = dd > 0 ? 10 * log10(bb / dd) : INFINITY;
    m->top1 = top1_of(a, b);
    if (tol->sqnr_db > 0)
        m->within = m->sqnr_db >= tol->sqnr_db;
}

static void compare_strings(const pln_tensor *a, const pln_tensor *b, metrics *m)
{
    for (int64_t i = 0; i < pln_tensor_count(a); i++) {
        const char *x, *y;
        size_t nx, ny;
        pln_tensor_string(a, i, &x, &nx);
        pln_tensor_string(b, i, &y, &ny);
        if (nx == ny && !memcmp(x, y, nx))
            continue;
        m->within = false;
        m->worst = i;
        return;
    }
}

static void compare_items(const pln_tensor *a, const pln_tensor *b, const tolerance *tol,
                          metrics *m)
{
    for (size_t i = 0; i < pln_tensor_items(a); i++) {
        const metrics k = metrics_of(pln_tensor_item(a, i), pln_tensor_item(b, i), tol);
        m->equal_type &= k.equal_type;
        m->within &= k.within;
        m->max_abs = fmax(m->max_abs, k.max_abs);
        m->max_rel = fmax(m->max_rel, k.max_rel);
        m->of_max = fmax(m->of_max, k.of_max);
        m->cosine = fmin(m->cosine, k.cosine);
        m->sqnr_db = fmin(m->sqnr_db, k.sqnr_db);
        if (!k.within && m->worst < 0) {
            m->worst = k.worst;
            m->worst_a = k.worst_a;
            m->worst_b = k.worst_b;
        }
    }
}

metrics metrics_of(const pln_tensor *a, const pln_tensor *b, const tolerance *tol)
{
    metrics m = {
        .within = true, .cosine = 1, .sqnr_db = INFINITY, .top1 = NAN, .worst = -1
    };
    m.equal_type = same_type(a, b, tol->any_float);
    if (!m.equal_type) {
        m.within = false;
        m.max_abs = m.max_rel = INFINITY;
        m.cosine = m.sqnr_db = NAN;
    } else if (pln_tensor_kind(a) != PLN_KIND_TENSOR) {
        compare_items(a, b, tol, &m);
    } else if (pln_tensor_dtype(a) == PLN_DT_STRING) {
        compare_strings(a, b, &m);
    } else {
        compare_numbers(a, b, tol, &m);
    }
    return m;
}

json_t *metrics_json(const metrics *m)
{
    json_t *o = json_object();
    json_object_set_new(o, "within", json_boolean(m->within));
    json_object_set_new(o, "max_abs", json_number_or_null(m->max_abs));
    json_object_set_new(o, "max_rel", json_number_or_null(m->max_rel));
    json_object_set_new(o, "cosine", json_number_or_null(m->cosine));
    json_object_set_new(o, "sqnr_db", json_number_or_null(m->sqnr_db));
    json_object_set_new(o, "top1", json_number_or_null(m->top1));
    return o;
}

const char *metrics_why(const metrics *m, const pln_tensor *a, const pln_tensor *b,
                        char *buf, size_t size)
{
    char ta[160], tb[160];
    if (!m->equal_type)
        snprintf(buf, size, "got %s, want %s", tensor_type_text(a, ta, sizeof ta),
                 tensor_type_text(b, tb, sizeof tb));
    else if (m->worst >= 0)
        snprintf(buf, size, "element %lld is %.9g, want %.9g (max abs %.3g)",
                 (long long)m->worst, m->worst_a, m->worst_b, m->max_abs);
    else
        snprintf(buf, size, "SQNR is %.1f dB", m->sqnr_db);
    return buf;
}
