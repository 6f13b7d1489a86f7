/* What a contract calls the same.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "passes/verify.h"

/* Rounding errors of a result, in units of the element type's precision, that another
 * order of the same computation may make. */
#define REASSOC_ULPS 512.0

bool pln_compares(const pln_tensor *t)
{
    return t->kind == PLN_KIND_TENSOR && !pln_dtype_is_complex((pln_dtype)t->dtype);
}

static double precision(pln_dtype dt)
{
    switch (dt) {
    case PLN_DT_F64:
        return 0x1p-52;
    case PLN_DT_F32:
        return 0x1p-23;
    case PLN_DT_F16:
        return 0x1p-10;
    case PLN_DT_BF16:
        return 0x1p-7;
    default:
        return 0x1p-2;
    }
}

static bool same_bits(const pln_tensor *a, const pln_tensor *b, int64_t i)
{
    const size_t size = pln_dtype_size((pln_dtype)a->dtype);
    const char *x = (const char *)a->data + (size_t)i * size;
    const char *y = (const char *)b->data + (size_t)i * size;
    if (!memcmp(x, y, size))
        return true;
    return pln_dtype_is_float((pln_dtype)a->dtype) && isnan(pln_tensor_get_f64(a, i)) &&
           isnan(pln_tensor_get_f64(b, i));
}

static bool same_string(const pln_tensor *a, const pln_tensor *b, int64_t i)
{
    const pln_string *x = PLN_DATA(pln_string *const, a)[i];
    const pln_string *y = PLN_DATA(pln_string *const, b)[i];
    const size_t n = x ? x->len : 0;
    return n == (y ? y->len : 0) && (!n || !memcmp(x->bytes, y->bytes, n));
}

static int64_t compare_exact(const pln_tensor *a, const pln_tensor *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (a->dtype == PLN_DT_STRING ? !same_string(a, b, i) : !same_bits(a, b, i))
            return i;
    return -1;
}

/* What the largest of the results is known to. */
static double tolerance(const pln_tensor *a, int64_t n, const pln_judge *j)
{
    double top = 0;
    for (int64_t i = 0; i < n; i++) {
        const double v = fabs(pln_tensor_get_f64(a, i));
        if (isfinite(v) && v > top)
            top = v;
    }
    const double unit = precision((pln_dtype)a->dtype);
    const double tol = (top + fmin(j->scale, 1e4 * (top + 1)) * 0x1p-6) * unit *
                       REASSOC_ULPS;
    return tol + (j->contract == PLN_APPROX ? j->bound * fmax(top, 1) : 0);
}

/* Integers and bools differ only where a level flipped: by one, and rarely. */
static int64_t compare_levels(const pln_tensor *a, const pln_tensor *b, int64_t n)
{
    int64_t flips = 0, first = -1;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(pln_tensor_get_f64(a, i) - pln_tensor_get_f64(b, i));
        if (d > 1)
            return i;
        if (d > 0 && flips++ == 0)
            first = i;
    }
    return flips > 1 + n / 50 ? first : -1;
}

/* Where the original is no finite number, another order may give anything; so may an
 * overflow, which shows in an infinite result, and where digits were lost at the small
 * end. */
static int64_t compare_near(const pln_tensor *a, const pln_tensor *b, int64_t n,
                            const pln_judge *j)
{
    const double tol = tolerance(a, n, j);
    int64_t off = 0, first = -1;
    for (int64_t i = 0; i < n; i++) {
        const double x = pln_tensor_get_f64(a, i), y = pln_tensor_get_f64(b, i);
        if (!isfinite(x) || isinf(y) || fabs(x - y) <= tol || (j->faint && !isnan(y)))
            continue;
        if (!j->steps || isnan(y))
            return i;
        if (off++ == 0)
            first = i;
    }
    return off > 1 + n / 50 ? first : -1;
}

int64_t pln_compare(const pln_tensor *was, const pln_tensor *is, const pln_judge *j)
{
    const int64_t n = pln_tensor_size(was);
    if (was->dtype != is->dtype || was->rank != is->rank)
        return -2;
    if (!n && !pln_tensor_size(is)) /* a -1 has no one meaning where a size is 0 */
        return -1;
    if (memcmp(was->dims, is->dims, (size_t)was->rank * sizeof was->dims[0]) != 0)
        return -2;
    if (j->contract == PLN_EXACT || was->dtype == PLN_DT_STRING)
        return compare_exact(was, is, n);
    if (!pln_dtype_is_float((pln_dtype)was->dtype) && j->wild)
        return -1; /* integers don't show what overflowed on the way */
    if (!pln_dtype_is_float((pln_dtype)was->dtype))
        return j->steps ? compare_levels(was, is, n) : compare_exact(was, is, n);
    return compare_near(was, is, n, j);
}
