/* Printing names, types, tensors and attributes in ONNX's textual syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/ir/print_impl.h"
#include "src/ir/text_words.h"
#include "src/util/size.h"

#define PER_LINE 16 /* elements of a tensor in one line */

/* ---- words ------------------------------------------------------------------------- */

void print_line(printer *p)
{
    if (p->hidden) {
        pln_text_put(p->out, " ", 1);
        return;
    }
    pln_text_put(p->out, "\n", 1);
    for (int i = 0; i < p->indent; i++)
        pln_text_put(p->out, "    ", 4);
}

void print_hidden(printer *p)
{
    pln_text_str(p->out, "#%+ ");
    p->hidden = true;
}

void print_hidden_end(printer *p)
{
    p->hidden = false;
    print_line(p);
}

void print_hex(printer *p, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;
    pln_text_put(p->out, "x\"", 2);
    for (size_t i = 0; i < len; i++) {
        const char pair[2] = { digits[b[i] >> 4], digits[b[i] & 15] };
        pln_text_put(p->out, pair, 2);
    }
    pln_text_put(p->out, "\"", 1);
}

/* What was just printed is only a look-alike of these bytes. The marker stands before
 * them in a hidden line, too: it tells them from an extension's own bytes. */
static void print_override(printer *p, const void *bytes, size_t len)
{
    pln_text_put(p->out, " ", 1);
    const bool hidden = p->hidden;
    print_hidden(p);
    print_hex(p, bytes, len);
    if (!hidden)
        print_hidden_end(p);
}

/* Length of the UTF-8 sequence at s, 0: none. Shortest forms only, no surrogates. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    const size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
        return 0;
    uint32_t c = s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if ((len == 3 && c < 0x800) || (c >= 0xd800 && c < 0xe000) ||
        (len == 4 && (c < 0x10000 || c > 0x10ffff)))
        return 0;
    return len;
}

/* Can stand between quotes in a text file as it is. */
static bool is_text(const char *s, size_t len, bool hidden)
{
    for (size_t i = 0; i < len;) {
        const unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t' && (c != '\n' || hidden)) || c == 0x7f)
            return false;
        const size_t n = utf8_len((const unsigned char *)s + i, len - i);
        if (!n)
            return false;
        i += n;
    }
    return true;
}

void print_string(printer *p, const char *s, size_t len)
{
    const bool plain = is_text(s, len, p->hidden);
    if (!plain && p->hidden) {
        print_hex(p, s, len);
        return;
    }
    pln_text_put(p->out, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        const char c = plain || (s[i] >= 0x20 && s[i] < 0x7f) ? s[i] : '?';
        if (c == '"' || c == '\\')
            pln_text_put(p->out, "\\", 1);
        pln_text_put(p->out, &c, 1);
    }
    pln_text_put(p->out, "\"", 1);
    if (!plain)
        print_override(p, s, len);
}

static bool is_identifier(const char *s, size_t len)
{
    if (!len || !pln_text_is_alpha((unsigned char)s[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!pln_text_is_alpha((unsigned char)s[i]) &&
            !pln_text_is_digit((unsigned char)s[i]))
            return false;
    return true;
}

/* Would be read as a type or a number in some places. */
static bool is_reserved(const char *s, size_t len)
{
    char low[9] = { 0 };
    if (pln_text_is_type(s, len))
        return true;
    for (size_t i = 0; i < len && len < sizeof low; i++)
        low[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] - 'A' + 'a' : s[i]);
    return !strcmp(low, "inf") || !strcmp(low, "infinity") || !strcmp(low, "nan");
}

void print_name(printer *p, const char *s)
{
    const size_t len = pln_name_len(s);
    if (is_identifier(s, len) && !is_reserved(s, len))
        pln_text_put(p->out, s, len);
    else
        print_string(p, s, len);
}

void print_identifier(printer *p, const char *s, size_t len)
{
    if (is_identifier(s, len) && !is_reserved(s, len)) {
        pln_text_put(p->out, s, len);
        return;
    }
    pln_text_put(p->out, "_", 1);
    for (size_t i = 0; i < len && i < 64; i++) {
        const unsigned char c = (unsigned char)s[i];
        pln_text_put(p->out, pln_text_is_alpha(c) || pln_text_is_digit(c) ? s + i : "_",
                     1);
    }
    print_override(p, s, len);
}

void print_value_name(printer *p, const pln_value *v)
{
    if (v && !pln_name_len(v->name))
        pln_text_printf(p->out, "\"%%%u\"", v->id);
    else if (v)
        print_name(p, v->name);
    else
        pln_text_str(p->out, "\"\"");
}

/* ---- types ------------------------------------------------------------------------- */

static void print_dim(printer *p, pln_dim d)
{
    pln_text t;
    if (pln_dim_is_known(d) && d.value >= 0) {
        pln_text_printf(p->out, "%" PRId64, d.value);
        return;
    }
    if (pln_dim_is_known(d) || pln_dim_is_unknown(d)) {
        pln_text_str(p->out, "?");
        return;
    }
    pln_text_init(&t, p->model->alloc);
    pln_dim_print(&t, d);
    if (t.data && is_identifier(t.data, t.len))
        pln_text_put(p->out, t.data, t.len);
    else
        print_string(p, t.data ? t.data : "", t.len);
    pln_text_done(&t);
}

static void print_shape(printer *p, pln_shape s)
{
    if (s.rank == 0)
        return;
    pln_text_str(p->out, "[");
    for (int i = 0; i < s.rank; i++) {
        pln_text_str(p->out, i ? ", " : "");
        print_dim(p, s.dims[i]);
    }
    pln_text_str(p->out, "]");
}

void print_type(printer *p, const pln_type *t)
{
    static const char *const containers[] = { [PLN_KIND_SEQUENCE] = "seq",
                                              [PLN_KIND_OPTIONAL] = "optional",
                                              [PLN_KIND_MAP] = "map",
                                              [PLN_KIND_SPARSE] = "sparse_tensor" };
    if (!t || t->kind == PLN_KIND_NONE || (t->kind != PLN_KIND_SEQUENCE &&
        t->kind != PLN_KIND_OPTIONAL && t->dtype == PLN_DT_NONE)) {
        pln_text_str(p->out, "opaque()");
        return;
    }
    if (t->kind != PLN_KIND_TENSOR)
        pln_text_printf(p->out, "%s(", containers[t->kind]);
    if (t->kind != PLN_KIND_SEQUENCE && t->kind != PLN_KIND_OPTIONAL)
        pln_text_str(p->out, pln_dtype_name(t->dtype));
    if (t->kind == PLN_KIND_TENSOR || t->kind == PLN_KIND_SPARSE)
        print_shape(p, t->shape);
    else if (t->kind == PLN_KIND_MAP)
        pln_text_str(p->out, ", ");
    if (t->kind != PLN_KIND_TENSOR && t->kind != PLN_KIND_SPARSE)
        print_type(p, t->elem);
    if (t->kind != PLN_KIND_TENSOR)
        pln_text_str(p->out, ")");
}

/* ---- numbers ----------------------------------------------------------------------- */

static void put_big_endian(printer *p, uint64_t bits, size_t size)
{
    unsigned char b[8];
    for (size_t i = 0; i < size; i++)
        b[i] = (unsigned char)(bits >> (8 * (size - 1 - i)));
    print_override(p, b, size);
}

/* Whatever the locale has for a decimal point. */
static void put_number(printer *p, char *s)
{
    for (char *c = s; *c; c++)
        if (!strchr("0123456789+-eE", *c))
            *c = '.';
    pln_text_str(p->out, s);
}

void print_float(printer *p, float f)
{
    char s[40];
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (isfinite(f)) {
        snprintf(s, sizeof s, "%.6g", (double)f);
        if (strtof(s, NULL) != f)
            snprintf(s, sizeof s, "%.9g", (double)f);
        put_number(p, s);
    } else if (isinf(f)) {
        pln_text_str(p->out, f < 0 ? "-inf" : "inf");
    } else {
        pln_text_str(p->out, "nan");
        if (bits != 0x7fc00000)
            put_big_endian(p, bits, 4);
    }
}

static void print_double(printer *p, double f)
{
    char s[40];
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (isfinite(f)) {
        snprintf(s, sizeof s, "%.15g", f);
        if (strtod(s, NULL) != f)
            snprintf(s, sizeof s, "%.17g", f);
        put_number(p, s);
    } else if (isinf(f)) {
        pln_text_str(p->out, f < 0 ? "-inf" : "inf");
    } else {
        pln_text_str(p->out, "nan");
        if (bits != UINT64_C(0x7ff8000000000000))
            put_big_endian(p, bits, 8);
    }
}

/* ---- tensors ----------------------------------------------------------------------- */

static void print_bits(printer *p, const pln_tensor *t, int64_t i)
{
    const char *at = (const char *)t->data + (size_t)i * pln_dtype_size(t->dtype);
    const bool is_signed =
        pln_dtype_is_signed(t->dtype) && pln_dtype_is_integer(t->dtype);
    uint64_t u = 0;
    memcpy(&u, at,
           pln_dtype_size(t->dtype)); /* little-endian, as all of the memory form */
    const unsigned shift = 64 - 8 * (unsigned)pln_dtype_size(t->dtype);
    if (is_signed)
        pln_text_printf(p->out, "%" PRId64, (int64_t)(u << shift) >> shift);
    else
        pln_text_printf(p->out, "%" PRIu64, u);
}

static void print_element(printer *p, const pln_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case PLN_DT_F32:
        print_float(p, PLN_DATA(const float, t)[i]);
        break;
    case PLN_DT_F64:
        print_double(p, PLN_DATA(const double, t)[i]);
        break;
    case PLN_DT_C64:
        print_float(p, PLN_DATA(const float, t)[2 * i]);
        pln_text_str(p->out, ", ");
        print_float(p, PLN_DATA(const float, t)[2 * i + 1]);
        break;
    case PLN_DT_C128:
        print_double(p, PLN_DATA(const double, t)[2 * i]);
        pln_text_str(p->out, ", ");
        print_double(p, PLN_DATA(const double, t)[2 * i + 1]);
        break;
    case PLN_DT_STRING: {
        const char *s;
        size_t len;
        if (pln_tensor_string(t, i, &s, &len) == PLN_OK)
            print_string(p, s, len);
        break;
    }
    default:
        print_bits(p, t, i);
    }
}

/* Bytes as a file has them. */
static unsigned char *packed_bytes(const pln_tensor *t, size_t *size)
{
    const size_t n = (size_t)pln_tensor_size(t);
    *size = pln_packed_bytes((pln_dtype)t->dtype, n);
    unsigned char *b = pln_calloc(t->alloc, *size, 1);
    if (b)
        pln_pack_bits((pln_dtype)t->dtype, PLN_DATA(const unsigned char, t), n, b);
    return b;
}

/* In files; a text has 6-bit elements one by one. */
static bool is_packed(const pln_tensor *t)
{
    const unsigned bits = pln_dtype_bits(t->dtype);
    return bits > 0 && bits < 8;
}

static bool is_packed_in_text(const pln_tensor *t)
{
    return is_packed(t) && pln_dtype_bits(t->dtype) != 6;
}

static void separate(printer *p, int64_t i)
{
    if (i == 0)
        return;
    pln_text_str(p->out, i % PER_LINE ? ", " : ",");
    if (i % PER_LINE == 0)
        print_line(p);
}

static pln_status print_inline(printer *p, const pln_tensor *t)
{
    p->indent++;
    pln_text_str(p->out, "{");
    if (is_packed_in_text(t)) { /* the grammar's literals are the packed bytes */
        size_t size;
        unsigned char *b = packed_bytes(t, &size);
        if (!b)
            return pln_oom(p->err);
        for (size_t i = 0; i < size; i++) {
            separate(p, (int64_t)i);
            pln_text_printf(p->out, "%u", b[i]);
        }
        pln_release(t->alloc, b);
    } else {
        const int64_t n = pln_tensor_size(t);
        for (int64_t i = 0; i < n; i++) {
            separate(p, i);
            print_element(p, t, i);
            if (p->out->failed)
                return pln_oom(p->err);
        }
    }
    p->indent--;
    pln_text_str(p->out, "}");
    return PLN_OK;
}

static pln_status print_external(printer *p, const pln_tensor *t)
{
    size_t size = 0;
    uint64_t offset;
    unsigned char *packed = NULL;
    pln_dims_bytes((pln_dtype)t->dtype, t->rank, t->dims, &size);
    if (is_packed(t)) {
        packed = packed_bytes(t, &size);
        if (!packed)
            return pln_oom(p->err);
    }
    const pln_status st = p->style->data(p->style->user, packed ? packed : t->data, size,
                                         &offset, p->err);
    pln_release(t->alloc, packed);
    PLN_TRY(st);
    pln_text_str(p->out, "[\"location\": ");
    print_string(p, p->style->location, strlen(p->style->location));
    pln_text_printf(p->out, ", \"offset\": \"%" PRIu64 "\", \"length\": \"%zu\"]", offset,
                    size);
    return PLN_OK;
}

static void print_dense_type(printer *p, const pln_tensor *t)
{
    pln_text_str(p->out, pln_dtype_name((pln_dtype)t->dtype));
    for (int i = 0; i < t->rank; i++)
        pln_text_printf(p->out, "%s%" PRId64, i ? ", " : "[", t->dims[i]);
    pln_text_str(p->out, t->rank ? "]" : "");
}

/* "sparse(float[2, 3], float[1] {5}, int64[1] {4})": not of the grammar. */
static pln_status print_sparse(printer *p, const pln_tensor *t)
{
    if (t->n_items != 2)
        return pln_fail(p->err, PLN_E_FORMAT, "a sparse tensor has no indices");
    pln_text_str(p->out, "sparse(");
    pln_text_str(p->out, pln_dtype_name((pln_dtype)t->items[0]->dtype));
    for (int i = 0; i < t->rank; i++)
        pln_text_printf(p->out, "%s%" PRId64, i ? ", " : "[", t->dims[i]);
    pln_text_str(p->out, t->rank ? "], " : ", ");
    PLN_TRY(print_tensor(p, t->items[0], NULL));
    pln_text_str(p->out, ", ");
    PLN_TRY(print_tensor(p, t->items[1], NULL));
    pln_text_str(p->out, ")");
    return PLN_OK;
}

pln_status print_tensor(printer *p, const pln_tensor *t, const pln_value *named)
{
    if (!t)
        return pln_fail(p->err, PLN_E_FORMAT, "a tensor is missing");
    if (t->kind == PLN_KIND_SPARSE)
        return print_sparse(p, t);
    if (t->kind != PLN_KIND_TENSOR)
        return pln_fail(p->err, PLN_E_UNSUPPORTED, "a constant is not a tensor");
    print_dense_type(p, t);
    pln_text_str(p->out, " ");
    if (named) {
        print_value_name(p, named);
        pln_text_str(p->out, " ");
    }
    pln_text_str(p->out, "= ");
    const bool large = (uint64_t)pln_tensor_size(t) > p->style->inline_limit &&
                       t->dtype != PLN_DT_STRING;
    if (large && !p->style->data && p->style->elide) {
        pln_text_str(p->out, "[\"location\": \"elided\"]");
        return PLN_OK;
    }
    PLN_TRY(pln_tensor_materialize((pln_tensor *)(uintptr_t)t, p->err));
    return large && p->style->data ? print_external(p, t) : print_inline(p, t);
}

/* ---- attributes -------------------------------------------------------------------- */

static pln_status print_single(printer *p, const pln_attr *a)
{
    switch (a->type) {
    case PLN_ATTR_FLOAT:
        print_float(p, a->f);
        break;
    case PLN_ATTR_INT:
        pln_text_printf(p->out, "%" PRId64, a->i);
        break;
    case PLN_ATTR_STRING:
        print_string(p, a->s, pln_name_len(a->s));
        break;
    case PLN_ATTR_TENSOR:
    case PLN_ATTR_SPARSE_TENSOR:
        return print_tensor(p, a->t, NULL);
    case PLN_ATTR_GRAPH:
        if (!a->g)
            return pln_fail(p->err, PLN_E_FORMAT, "a graph attribute has no graph");
        return print_graph(p, a->g);
    case PLN_ATTR_TYPE:
        print_type(p, a->tp);
        break;
    default:
        pln_text_str(p->out, "[]");
    }
    return PLN_OK;
}

/* Item i of a list as an attribute of its own. */
static pln_attr item_of(const pln_attr *a, size_t i)
{
    pln_attr one = { .name = a->name };
    switch (a->type) {
    case PLN_ATTR_FLOATS:
        one.type = PLN_ATTR_FLOAT;
        one.f = a->floats[i];
        break;
    case PLN_ATTR_INTS:
        one.type = PLN_ATTR_INT;
        one.i = a->ints[i];
        break;
    case PLN_ATTR_STRINGS:
        one.type = PLN_ATTR_STRING;
        one.s = a->strings[i];
        break;
    case PLN_ATTR_TENSORS:
    case PLN_ATTR_SPARSE_TENSORS:
        one.type = a->type == PLN_ATTR_TENSORS ? PLN_ATTR_TENSOR : PLN_ATTR_SPARSE_TENSOR;
        one.t = a->tensors[i];
        break;
    case PLN_ATTR_GRAPHS:
        one.type = PLN_ATTR_GRAPH;
        one.g = a->graphs[i];
        break;
    default:
        one.type = PLN_ATTR_TYPE;
        one.tp = a->types[i];
    }
    return one;
}

static bool is_list(uint8_t type)
{
    return (type >= PLN_ATTR_FLOATS && type <= PLN_ATTR_GRAPHS) ||
           type == PLN_ATTR_SPARSE_TENSORS || type == PLN_ATTR_TYPES;
}

pln_status print_attr(printer *p, const pln_attr *a)
{
    print_identifier(p, a->name, pln_name_len(a->name));
    if (a->type && a->type <= PLN_ATTR_TYPES)
        pln_text_printf(p->out, ": %s", pln_text_attr_types[a->type]);
    pln_text_str(p->out, " = ");
    if (a->ref) {
        pln_text_str(p->out, "@");
        print_name(p, a->ref);
        return PLN_OK;
    }
    if (!is_list(a->type))
        return print_single(p, a);
    pln_text_str(p->out, "[");
    for (size_t i = 0; i < a->n; i++) {
        const pln_attr one = item_of(a, i);
        pln_text_str(p->out, i ? ", " : "");
        PLN_TRY(print_single(p, &one));
    }
    pln_text_str(p->out, "]");
    return PLN_OK;
}

/* The grammar has no word for these. */
static bool is_hidden(const pln_attr *a)
{
    return a->type == PLN_ATTR_SPARSE_TENSOR || a->type == PLN_ATTR_SPARSE_TENSORS ||
           (!a->type && !a->ref);
}

static pln_status print_some(printer *p, const pln_attr *const *attrs, uint32_t n,
                             bool hidden, bool first)
{
    for (uint32_t i = 0; i < n; i++) {
        if (is_hidden(attrs[i]) != hidden)
            continue;
        pln_text_str(p->out, first ? "" : ", ");
        first = false;
        PLN_TRY(print_attr(p, attrs[i]));
    }
    return PLN_OK;
}

pln_status print_attrs(printer *p, const pln_attr *const *attrs, uint32_t n)
{
    uint32_t n_hidden = 0;
    for (uint32_t i = 0; i < n; i++)
        n_hidden += is_hidden(attrs[i]);
    const bool all = n_hidden == n, nested = p->hidden;
    if (!n)
        return PLN_OK;
    pln_text_str(p->out, " ");
    if (!all || nested) {
        pln_text_str(p->out, "<");
        PLN_TRY(print_some(p, attrs, n, false, true));
    }
    if (n_hidden) {
        if (!nested) {
            pln_text_str(p->out, " ");
            print_hidden(p);
        }
        pln_text_str(p->out, all && !nested ? "<" : "");
        PLN_TRY(print_some(p, attrs, n, true, all));
        pln_text_str(p->out, all && !nested ? ">" : "");
        if (!nested)
            print_hidden_end(p);
    }
    if (!all || nested)
        pln_text_str(p->out, ">");
    return PLN_OK;
}
