/* NumPy arrays.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/npy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------- */

/* The value after 'key': in the header's dict, or NULL. */
static const char *value_of(const char *header, const char *key)
{
    char quoted[40];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *p = strstr(header, quoted);
    if (!p)
        return NULL;
    p += strlen(quoted);
    while (*p == ' ' || *p == ':')
        p++;
    return p;
}

static bool parse_descr(const char *p, npy_array *a, const char **why)
{
    if (!p || *p++ != '\'') {
        *why = "structured arrays are not supported";
        return false;
    }
    a->big_endian = *p == '>';
    if (strchr("<>=|", *p) && *p)
        p++;
    a->kind = *p++;
    char *end = NULL;
    const unsigned long n = strtoul(p, &end, 10);
    if (a->kind == 'O') {
        *why = "pickled objects are refused";
        return false;
    }
    if (!a->kind || !strchr("biufcUSV", a->kind) || end == p || *end != '\'' ||
        n > 1u << 20) {
        *why = "unknown element type";
        return false;
    }
    a->item_size = a->kind == 'U' ? 4 * n : n;
    return true;
}

static bool parse_shape(const char *p, npy_array *a)
{
    if (!p || *p++ != '(')
        return false;
    for (;;) {
        while (*p == ' ' || *p == ',')
            p++;
        if (*p == ')')
            return true;
        char *end = NULL;
        const long long v = strtoll(p, &end, 10);
        if (end == p || v < 0 || a->rank >= 24)
            return false;
        a->dims[a->rank++] = v;
        p = *end == 'L' ? end + 1 : end;
    }
}

static bool parse_header(char *header, npy_array *a, const char **why)
{
    const char *fortran = value_of(header, "fortran_order");
    *why = "the header is malformed";
    if (!fortran || !parse_shape(value_of(header, "shape"), a))
        return false;
    a->fortran = !strncmp(fortran, "True", 4);
    return parse_descr(value_of(header, "descr"), a, why);
}

bool npy_parse(const void *bytes, size_t len, npy_array *a, const char **why)
{
    const unsigned char *p = bytes;
    *a = (npy_array){ 0 };
    *why = "not an .npy file";
    if (len < 12 || memcmp(p, "\x93NUMPY", 6))
        return false;
    const bool v1 = p[6] == 1;
    const size_t at = v1 ? 10 : 12;
    size_t n = v1 ? p[8] | (size_t)p[9] << 8
                  : p[8] | (size_t)p[9] << 8 | (size_t)p[10] << 16 | (size_t)p[11] << 24;
    *why = "the header is truncated";
    if (n > len - at || n > 1u << 20)
        return false;
    char *header = malloc(n + 1);
    if (!header)
        return false;
    memcpy(header, p + at, n);
    header[n] = '\0';
    const bool ok = parse_header(header, a, why);
    free(header);
    if (!ok)
        return false;
    size_t need = a->item_size;
    for (int i = 0; i < a->rank; i++)
        if (__builtin_mul_overflow(need, (size_t)a->dims[i], &need))
            return false;
    *why = "the data is truncated";
    a->data = p + at + n;
    a->size = need;
    return need <= len - at - n;
}

/* NumPy kind and size of ONNX's element types. */
static const struct {
    pln_dtype dt;
    char kind;
    size_t size;
} types[] = {
    { PLN_DT_F32, 'f', 4 },  { PLN_DT_F64, 'f', 8 },  { PLN_DT_F16, 'f', 2 },
    { PLN_DT_S8, 'i', 1 },   { PLN_DT_S16, 'i', 2 },  { PLN_DT_S32, 'i', 4 },
    { PLN_DT_S64, 'i', 8 },  { PLN_DT_U8, 'u', 1 },   { PLN_DT_U16, 'u', 2 },
    { PLN_DT_U32, 'u', 4 },  { PLN_DT_U64, 'u', 8 },  { PLN_DT_BOOL, 'b', 1 },
    { PLN_DT_C64, 'c', 8 },  { PLN_DT_C128, 'c', 16 },
};

static pln_dtype own_type(const npy_array *a)
{
    if (a->kind == 'U' || a->kind == 'S')
        return PLN_DT_STRING;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].kind == a->kind && types[i].size == a->item_size)
            return types[i].dt;
    return PLN_DT_NONE;
}

/* May bits of this array stand for elements of `want`? */
static bool raw_bits(const npy_array *a, pln_dtype want)
{
    const bool raw = a->kind == 'u' || a->kind == 'V';
    switch (want) {
    case PLN_DT_BF16:
        return raw && a->item_size == 2;
    case PLN_DT_S4:
    case PLN_DT_S2:
        return (raw || a->kind == 'i') && a->item_size == 1;
    case PLN_DT_F8E4M3FN:
    case PLN_DT_F8E4M3FNUZ:
    case PLN_DT_F8E5M2:
    case PLN_DT_F8E5M2FNUZ:
    case PLN_DT_F8E8M0:
    case PLN_DT_F4E2M1:
    case PLN_DT_F6E2M3:
    case PLN_DT_F6E3M2:
    case PLN_DT_U4:
    case PLN_DT_U2:
        return raw && a->item_size == 1;
    default:
        return false;
    }
}

/* Copies one element, in the machine's byte order (little-endian). */
static void copy_item(const npy_array *a, unsigned char *dst, const unsigned char *src)
{
    const size_t part = a->kind == 'c' ? a->item_size / 2 : a->item_size;
    if (!a->big_endian || part == 1) {
        memcpy(dst, src, a->item_size);
        return;
    }
    for (size_t at = 0; at < a->item_size; at += part)
        for (size_t i = 0; i < part; i++)
            dst[at + i] = src[at + part - 1 - i];
}

/* UCS-4 code points to UTF-8; returns the length. */
static size_t to_utf8(const npy_array *a, const unsigned char *src, char *dst)
{
    size_t n = 0;
    for (size_t i = 0; i + 4 <= a->item_size; i += 4) {
        const unsigned char *s = src + i;
        const uint32_t c = a->big_endian
                               ? (uint32_t)s[0] << 24 | s[1] << 16 | s[2] << 8 | s[3]
                               : (uint32_t)s[3] << 24 | s[2] << 16 | s[1] << 8 | s[0];
        if (c == 0)
            break;
        if (c < 0x80) {
            dst[n++] = (char)c;
        } else if (c < 0x800) {
            dst[n++] = (char)(0xc0 | c >> 6);
            dst[n++] = (char)(0x80 | (c & 63));
        } else if (c < 0x10000) {
            dst[n++] = (char)(0xe0 | c >> 12);
            dst[n++] = (char)(0x80 | (c >> 6 & 63));
            dst[n++] = (char)(0x80 | (c & 63));
        } else {
            dst[n++] = (char)(0xf0 | (c >> 18 & 7));
            dst[n++] = (char)(0x80 | (c >> 12 & 63));
            dst[n++] = (char)(0x80 | (c >> 6 & 63));
            dst[n++] = (char)(0x80 | (c & 63));
        }
    }
    return n;
}

static bool put_string(const npy_array *a, pln_tensor *t, int64_t i,
                       const unsigned char *src, char *tmp)
{
    size_t n;
    if (a->kind == 'U') {
        n = to_utf8(a, src, tmp);
    } else {
        n = a->item_size;
        while (n && !src[n - 1]) /* NumPy pads with NULs */
            n--;
        memcpy(tmp, src, n);
    }
    return pln_tensor_set_string(t, i, tmp, n) == PLN_OK;
}

/* Offset in items of element i (row-major) in the array's own order. */
static size_t source_of(const npy_array *a, int64_t i)
{
    if (!a->fortran)
        return (size_t)i;
    int64_t index[32];
    for (int d = a->rank - 1; d >= 0; d--) {
        index[d] = i % a->dims[d];
        i /= a->dims[d];
    }
    int64_t at = 0;
    for (int d = a->rank - 1; d >= 0; d--)
        at = at * a->dims[d] + index[d];
    return (size_t)at;
}

bool npy_to_tensor(pln_env *env, const npy_array *a, pln_dtype want, pln_tensor **out,
                   const char **why)
{
    const pln_dtype own = own_type(a);
    *out = NULL;
    if (want == PLN_DT_NONE)
        want = own;
    *why = "its element type is not the input's";
    if (want == PLN_DT_NONE || (own != want && !raw_bits(a, want)))
        return false;
    *why = "out of memory";
    pln_tensor *t = NULL;
    if (pln_tensor_new(env, want, a->rank, a->dims, &t, NULL) != PLN_OK)
        return false;
    const int64_t n = pln_tensor_count(t);
    char *tmp = malloc(a->item_size + 1);
    bool ok = tmp != NULL;
    unsigned char *dst = pln_tensor_data(t);
    for (int64_t i = 0; ok && i < n; i++) {
        const unsigned char *src = a->data + source_of(a, i) * a->item_size;
        if (want == PLN_DT_STRING)
            ok = put_string(a, t, i, src, tmp);
        else
            copy_item(a, dst + (size_t)i * a->item_size, src);
    }
    free(tmp);
    if (!ok) {
        pln_tensor_unref(t);
        return false;
    }
    *out = t;
    return true;
}

/* ---- writing --------------------------------------------------------------------- */

/* Next code point of valid-enough UTF-8; bytes that are not stand for themselves. */
static uint32_t next_code(const char *s, size_t len, size_t *i)
{
    const unsigned char c = (unsigned char)s[*i];
    const size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n == 1 || *i + n > len) {
        (*i)++;
        return c;
    }
    uint32_t v = c & (0x7fu >> n);
    for (size_t k = 1; k < n; k++)
        v = v << 6 | ((unsigned char)s[*i + k] & 63);
    *i += n;
    return v;
}

static size_t longest_string(const pln_tensor *t)
{
    size_t most = 1;
    for (int64_t i = 0; i < pln_tensor_count(t); i++) {
        const char *s;
        size_t len, at = 0, n = 0;
        pln_tensor_string(t, i, &s, &len);
        for (; at < len; n++)
            next_code(s, len, &at);
        most = n > most ? n : most;
    }
    return most;
}

static void put_strings(const pln_tensor *t, unsigned char *dst, size_t width)
{
    for (int64_t i = 0; i < pln_tensor_count(t); i++) {
        const char *s;
        size_t len, at = 0;
        pln_tensor_string(t, i, &s, &len);
        for (size_t k = 0; k < width; k++, dst += 4) {
            const uint32_t c = at < len ? next_code(s, len, &at) : 0;
            memcpy(dst, &c, 4);
        }
    }
}

/* descr and item size; *widen: elements become float32. */
static const char *descr_of(const pln_tensor *t, size_t *size, bool *widen, char *buf)
{
    const pln_dtype dt = pln_tensor_dtype(t);
    *widen = false;
    if (dt == PLN_DT_STRING) {
        const size_t width = longest_string(t);
        *size = 4 * width;
        sprintf(buf, "<U%zu", width);
        return buf;
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dt == dt) {
            *size = types[i].size;
            sprintf(buf, "%c%c%zu", *size == 1 ? '|' : '<', types[i].kind, *size);
            return buf;
        }
    if (dt == PLN_DT_S4 || dt == PLN_DT_S2 || dt == PLN_DT_U4 || dt == PLN_DT_U2) {
        *size = 1;
        return dt == PLN_DT_S4 || dt == PLN_DT_S2 ? "|i1" : "|u1";
    }
    *widen = true;
    *size = 4;
    return "<f4";
}

unsigned char *npy_from_tensor(const pln_tensor *t, size_t *len)
{
    if (pln_tensor_kind(t) != PLN_KIND_TENSOR)
        return NULL;
    char buf[40], header[1024];
    size_t size;
    bool widen;
    const char *descr = descr_of(t, &size, &widen, buf);
    int n = snprintf(header, sizeof header,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < pln_tensor_rank(t); i++)
        n += snprintf(header + n, sizeof header - (size_t)n, "%lld,",
                      (long long)pln_tensor_dims(t)[i]);
    n += snprintf(header + n, sizeof header - (size_t)n, "), }");
    while ((n + 11) % 64)
        header[n++] = ' ';
    header[n++] = '\n';
    const size_t count = (size_t)pln_tensor_count(t);
    *len = 10 + (size_t)n + count * size;
    unsigned char *out = malloc(*len);
    if (!out)
        return NULL;
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (unsigned char)(n & 255);
    out[9] = (unsigned char)(n >> 8);
    memcpy(out + 10, header, (size_t)n);
    unsigned char *dst = out + 10 + n;
    if (pln_tensor_dtype(t) == PLN_DT_STRING) {
        put_strings(t, dst, size / 4);
    } else if (widen) {
        for (size_t i = 0; i < count; i++) {
            const float v = (float)pln_tensor_number(t, (int64_t)i);
            memcpy(dst + 4 * i, &v, 4);
        }
    } else if (count) {
        memcpy(dst, pln_tensor_data_const(t), count * size);
    }
    return out;
}
