/* Cast, CastLike and BitCast among all element types.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/bcast.h"
#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "src/ir/numeric.h"
#include "src/ir/op.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct cast_attrs {
    int64_t to, saturate;
    int round_mode;
} cast_attrs;

static const pln_attr_spec cast_spec[] = {
    { .name = "to",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(cast_attrs, to) },
    PLN_A_INT(cast_attrs, saturate, 1),
    PLN_A_ENUM(cast_attrs, round_mode, "up|down|nearest", "up"),
    PLN_A_END,
};
static const pln_attr_spec cast_like_spec[] = {
    PLN_A_INT(cast_attrs, saturate, 1),
    PLN_A_ENUM(cast_attrs, round_mode, "up|down|nearest", "up"),
    PLN_A_END,
};
static const pln_attr_spec bit_cast_spec[] = {
    { .name = "to",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(cast_attrs, to) },
    PLN_A_END,
};

static const pln_round rounds[] = { PLN_ROUND_UP, PLN_ROUND_DOWN, PLN_ROUND_NEAREST };

/* ---- numbers ----------------------------------------------------------------------- */

typedef struct conversion {
    pln_dtype from, to;
    bool saturate;
    pln_round round;
} conversion;

static void convert(void *y, const void *const *x, const int64_t *sx, int64_t n,
                    const void *arg)
{
    const conversion *v = (const conversion *)arg;
    (void)sx;
    pln_block_convert(v->to, y, v->from, x[0], n);
}

/* float8 that does not saturate, or the exponent type with a rounding of its own. */
static void convert_f8(void *py, const void *const *px, const int64_t *sx, int64_t n,
                       const void *arg)
{
    const conversion *v = (const conversion *)arg;
    uint8_t *y = (uint8_t *)py;
    const float *x = (const float *)px[0];
    (void)sx;
    for (int64_t i = 0; i < n; i++)
        y[i] = v->to == PLN_DT_F8E8M0 ? pln_f32_to_e8m0(x[i], v->saturate, v->round)
                                      : pln_f32_to_f8(v->to, x[i], v->saturate);
}

/* ---- strings ----------------------------------------------------------------------- */

static long double power_of_ten(int n)
{
    static const long double by_bit[] = { 1e1L,  1e2L,  1e4L,   1e8L,  1e16L,
                                          1e32L, 1e64L, 1e128L, 1e256L };
    long double p = 1;
    for (int i = 0, left = abs(n); left; i++, left >>= 1)
        p *= left & 1 ? by_bit[i] : 1;
    return n < 0 ? 1 / p : p;
}

/* A number of digits with which no shorter text reads back as v, mostly that of the
 * shortest: one with fewer lies farther from v than half a step of the type. */
static int fewest_digits(double v, bool is_double)
{
    const double a = fabs(v);
    const double next =
        is_double ? nextafter(a, INFINITY) : nextafterf((float)a, INFINITY);
    const long double half = ((long double)next - a) / 2 * 1.05L;
    if (a == 0)
        return 1;
    long double scale = power_of_ten(-(int)floor(log10(a)));
    if (a * scale < 1) /* the logarithm was rounded up */
        scale *= 10;
    for (int digits = 1; digits < 17; digits++, scale *= 10)
        if (fabsl(rintl(a * scale) / scale - a) <= half)
            return digits;
    return 17;
}

/* The shortest text that reads back as the same number. */
static void print_float(char *buf, size_t size, double v, bool is_double)
{
    if (v != v) {
        snprintf(buf, size, "NaN");
        return;
    }
    if (isinf(v)) {
        snprintf(buf, size, v > 0 ? "INF" : "-INF");
        return;
    }
    for (int digits = fewest_digits(v, is_double); digits <= 17; digits++) {
        snprintf(buf, size, "%.*g", digits, v);
        if (is_double ? strtod(buf, NULL) == v : strtof(buf, NULL) == (float)v)
            return;
    }
}

static pln_status to_strings(const pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const pln_dtype dt = (pln_dtype)x->dtype;
    const int64_t n = pln_tensor_size(x);
    char buf[64];
    for (int64_t i = 0; i < n; i++) {
        if (dt == PLN_DT_BOOL)
            snprintf(buf, sizeof buf, "%s",
                     PLN_DATA(const uint8_t, x)[i] ? "True" : "False");
        else if (dt == PLN_DT_U64)
            snprintf(buf, sizeof buf, "%" PRIu64, PLN_DATA(const uint64_t, x)[i]);
        else if (pln_dtype_is_integer(dt))
            snprintf(buf, sizeof buf, "%" PRId64, pln_tensor_get_i64(x, i));
        else
            print_float(buf, sizeof buf, pln_tensor_get_f64(x, i), dt == PLN_DT_F64);
        if (pln_tensor_set_string(c->out[0], i, buf, strlen(buf)) != PLN_OK)
            return pln_oom(err);
    }
    return PLN_OK;
}

static bool parse_int(const char *s, bool is_unsigned, int64_t *out)
{
    char *end;
    errno = 0;
    *out =
        is_unsigned && *s != '-' ? (int64_t)strtoull(s, &end, 10) : strtoll(s, &end, 10);
    if (end == s || errno)
        return false;
    while (*end == ' ')
        end++;
    return *end == 0;
}

static pln_status from_string(const pln_call *c, int64_t i, pln_error *err)
{
    pln_tensor *y = c->out[0];
    const pln_dtype dt = (pln_dtype)y->dtype;
    const char *s;
    size_t len;
    int64_t v;
    char *end;
    if (pln_tensor_string(c->in[0], i, &s, &len) != PLN_OK)
        s = "";
    if (pln_dtype_is_integer(dt) && parse_int(s, dt == PLN_DT_U64, &v)) {
        pln_block_store(y, i, 1, PLN_DT_S64, &v, 1);
        return PLN_OK;
    }
    const double d = strtod(s, &end);
    while (*end == ' ')
        end++;
    if (end == s || *end)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "element %lld, \"%.40s\", is not a number", (long long)i, s);
    const float f = strtof(s, NULL); /* rounds once */
    if (dt == PLN_DT_F64 || pln_dtype_is_integer(dt))
        pln_block_store(y, i, 1, PLN_DT_F64, &d, 1);
    else if (dt == PLN_DT_F32)
        pln_block_store(y, i, 1, PLN_DT_F32, &f, 1);
    else
        pln_block_store(y, i, 1, PLN_DT_F64, &d, 1);
    return PLN_OK;
}

/* Numbers in text have a point whatever the process's locale says. */
static pln_status with_strings(pln_call *c, pln_error *err)
{
    pln_status st = PLN_OK;
    const bool from = c->in[0]->dtype == PLN_DT_STRING,
               to = c->out[0]->dtype == PLN_DT_STRING;
    const int64_t n = pln_tensor_size(c->in[0]);
    if (from && to) {
        pln_tensor_copy(c->out[0], 0, c->in[0], 0, n);
        return PLN_OK;
    }
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0)
        return pln_oom(err);
    const locale_t before = uselocale(plain);
    if (to)
        st = to_strings(c, err);
    for (int64_t i = 0; from && i < n && st == PLN_OK; i++)
        st = from_string(c, i, err);
    uselocale(before);
    freelocale(plain);
    return st;
}

/* ---- the operators ----------------------------------------------------------------- */

static pln_status cast_ref(pln_call *c, pln_error *err)
{
    const cast_attrs *a = (const cast_attrs *)c->attrs;
    conversion v = { (pln_dtype)c->in[0]->dtype, (pln_dtype)c->out[0]->dtype, a->saturate,
                     rounds[a->round_mode] };
    if (v.from == PLN_DT_STRING || v.to == PLN_DT_STRING)
        return with_strings(c, err);
    if (!pln_block_can(v.from) || !pln_block_can(v.to))
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "from %s to %s",
                             pln_dtype_name(v.from), pln_dtype_name(v.to));
    pln_loop l = { .fn = convert, .arg = &v, .n_in = 1 };
    const bool f8 = v.to >= PLN_DT_F8E4M3FN && v.to <= PLN_DT_F8E5M2FNUZ;
    if (v.from != v.to && (v.to == PLN_DT_F8E8M0 || (f8 && !v.saturate))) {
        l.fn = convert_f8;
        l.work_in[0] = PLN_DT_F32;
    }
    return pln_loop_run(c, &l, c->out[0], c->in, err);
}

static pln_status keep_sym(pln_infer *inf, pln_error *err)
{
    const pln_dtype from = pln_infer_dtype(inf, 0), to = inf->out[0].dtype;
    pln_symval v;
    if ((from != PLN_DT_S64 && from != PLN_DT_S32) ||
        (to != PLN_DT_S64 && to != PLN_DT_S32) || pln_infer_rank(inf, 0) > 1 ||
        !pln_infer_ints(inf, 0, &v))
        return PLN_OK;
    pln_symval *out = PLN_NEW(inf->arena, pln_symval);
    if (!out)
        return pln_oom(err);
    *out = v;
    inf->out_sym[0] = out;
    return PLN_OK;
}

static pln_status cast_infer(pln_infer *inf, pln_error *err)
{
    const cast_attrs *a = (const cast_attrs *)inf->attrs;
    if (a->to <= PLN_DT_NONE || a->to >= PLN_DT_COUNT || a->to == PLN_DT_C64 ||
        a->to == PLN_DT_C128)
        return pln_infer_fail(inf, err, "attribute to is %lld, no type to cast to",
                              (long long)a->to);
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    inf->out[0].dtype = (pln_dtype)a->to;
    return keep_sym(inf, err);
}

static pln_status cast_like_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    inf->out[0].dtype = pln_infer_dtype(inf, 1);
    return keep_sym(inf, err);
}

/* Bits of types that share a byte with nothing stay as they are; short integers keep
 * their sign in the rest of their byte. */
static pln_status bit_cast_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const pln_dtype to = (pln_dtype)y->dtype;
    const int64_t n = pln_tensor_size(x);
    (void)err;
    if (n)
        memmove(y->data, x->data, (size_t)n * pln_dtype_size(to));
    const unsigned bits = pln_dtype_bits(to);
    if (bits >= 8)
        return PLN_OK;
    uint8_t *p = PLN_DATA(uint8_t, y);
    const uint8_t mask = (uint8_t)((1u << bits) - 1), sign = (uint8_t)(1u << (bits - 1));
    for (int64_t i = 0; i < n; i++) {
        p[i] &= mask;
        if (pln_dtype_is_integer(to) && pln_dtype_is_signed(to) && p[i] & sign)
            p[i] |= (uint8_t)~mask;
    }
    return PLN_OK;
}

static unsigned bits_of(pln_dtype dt)
{
    return dt == PLN_DT_BOOL ? 8 : pln_dtype_bits(dt);
}

static pln_status bit_cast_infer(pln_infer *inf, pln_error *err)
{
    const cast_attrs *a = (const cast_attrs *)inf->attrs;
    const pln_dtype from = pln_infer_dtype(inf, 0);
    if (a->to <= PLN_DT_NONE || a->to >= PLN_DT_COUNT || a->to == PLN_DT_STRING ||
        (from != PLN_DT_NONE && bits_of(from) != bits_of((pln_dtype)a->to)))
        return pln_infer_fail(inf, err,
                              "attribute to is %lld: no type with the bits of %s",
                              (long long)a->to, pln_dtype_name(from));
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    inf->out[0].dtype = (pln_dtype)a->to;
    return PLN_OK;
}

/* ---- versions ---------------------------------------------------------------------- */

/* Version 1 spelt the type. */
static pln_status raise_6(pln_node *n, pln_error *err)
{
    const pln_attr *to = pln_node_find_attr(n, "to");
    char name[16] = "";
    if (!to || to->type != PLN_ATTR_STRING)
        return PLN_OK;
    for (size_t i = 0; i + 1 < sizeof name && to->s[i]; i++) {
        const char ch = to->s[i];
        name[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
        name[i + 1] = 0;
    }
    const pln_dtype dt = pln_dtype_from_name(name, strlen(name));
    if (dt == PLN_DT_NONE)
        return pln_raise_fail(n, err, "attribute to names no type");
    return pln_node_set_int(n, "to", dt);
}

static pln_status lower_19(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "saturate", 1, err);
}

static pln_status lower_24(pln_node *n, pln_error *err)
{
    return pln_lower_drop_string(n, "round_mode", "up", err);
}

static const pln_version_change cast_versions[] = {
    { 6, raise_6, NULL }, { 19, NULL, lower_19 }, { 24, NULL, lower_24 }, { 0 }
};
static const pln_version_change cast_like_versions[] = { { 19, NULL, lower_19 },
                                                         { 24, NULL, lower_24 },
                                                         { 0 } };

#define LIKABLE  PLN_TS_NUM ",bool,string," PLN_TS_F8 "," PLN_TS_SMALL
#define CASTABLE LIKABLE "," PLN_TS_F6
#define TRAITS   (PLN_OP_ELEMENTWISE | PLN_OP_CHANNELS_LAST)

const pln_op_desc pln_ops_cast[] = {
    { .name = "Cast",
      .domain = "",
      .since = 28,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = TRAITS,
      .types = "T1:" CASTABLE ";T2:" CASTABLE,
      .sig = "T1->T2",
      .attrs = cast_spec,
      .attrs_size = sizeof(cast_attrs),
      .infer = cast_infer,
      .ref = cast_ref,
      .versions = cast_versions },
    { .name = "CastLike",
      .domain = "",
      .since = 25,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T1:" LIKABLE ";T2:" LIKABLE,
      .sig = "T1,T2->T2",
      .attrs = cast_like_spec,
      .attrs_size = sizeof(cast_attrs),
      .infer = cast_like_infer,
      .ref = cast_ref,
      .versions = cast_like_versions,
      .expand = pln_expand_cast_like },
    { .name = "BitCast",
      .sig = "T1->T2",
      .domain = "",
      .since = 26,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_ELEMENTWISE,
      .attrs = bit_cast_spec,
      .attrs_size = sizeof(cast_attrs),
      .infer = bit_cast_infer,
      .ref = bit_cast_ref },
    { .name = NULL },
};
