/* Parsing types, tensors and attributes of the textual syntax.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/parse_impl.h"
#include "src/ir/text_words.h"
#include "src/util/size.h"

#define MAX_TYPE_DEPTH 32

const char *parse_intern(parser *ps, lex_word w)
{
    const char *s = pln_name_intern(ps->m->names, w.s, w.len);
    if (!s)
        pln_oom(ps->l.err);
    return s;
}

/* ---- types ------------------------------------------------------------------------- */

bool parse_type_is_next(parser *ps)
{
    lex_word w;
    return lex_peek_word(&ps->l, &w) && pln_text_is_type(w.s, w.len);
}

static pln_status parse_dim(parser *ps, pln_dim *out)
{
    lex_word w = { NULL, 0 };
    const int c = lex_peek(&ps->l);
    *out = pln_dim_unknown();
    if (lex_take(&ps->l, '?'))
        return PLN_OK;
    if (c == '"' || pln_text_is_alpha(c)) {
        PLN_TRY(lex_name(&ps->l, &w));
        *out = pln_dim_parse(ps->m->syms, w.s, w.len);
        return PLN_OK;
    }
    int64_t v;
    PLN_TRY(lex_i64(&ps->l, &v));
    if (v >= 0) /* some files say -1 for what they don't know */
        *out = pln_dim_of(v);
    return PLN_OK;
}

/* Behind the element type: nothing for a scalar, "[]" for an unknown rank. */
static pln_status parse_shape(parser *ps, pln_shape *out)
{
    pln_dim dims[PLN_MAX_RANK];
    int rank = 0;
    *out = pln_shape_unknown();
    if (lex_take(&ps->l, '[')) {
        if (lex_take(&ps->l, ']'))
            return PLN_OK;
        do {
            if (rank == PLN_MAX_RANK)
                return lex_fail(&ps->l, "a shape has more than %d dimensions",
                                PLN_MAX_RANK);
            PLN_TRY(parse_dim(ps, &dims[rank++]));
        } while (lex_take(&ps->l, ','));
        PLN_TRY(lex_expect(&ps->l, ']'));
    }
    *out = pln_shape_new(ps->m->arena, rank);
    if (out->rank != rank)
        return pln_oom(ps->l.err);
    memcpy(out->dims, dims, (size_t)rank * sizeof *dims);
    return PLN_OK;
}

static pln_status parse_dtype(parser *ps, pln_dtype *out)
{
    lex_word w;
    PLN_TRY(lex_identifier(&ps->l, &w));
    *out = pln_dtype_from_name(w.s, w.len);
    if (*out == PLN_DT_NONE)
        return lex_fail(&ps->l, "'%.*s' is no element type", (int)(w.len & 0xff), w.s);
    return PLN_OK;
}

/* Opaque types are not kept: what they hold can't be told. */
static pln_status skip_opaque(parser *ps)
{
    lex_word w;
    while (lex_peek(&ps->l) != ')') {
        PLN_TRY(lex_identifier(&ps->l, &w));
        if (!lex_take(&ps->l, '.') && !lex_take(&ps->l, ','))
            break;
    }
    return PLN_OK;
}

static pln_status parse_type_in(parser *ps, pln_type *out, int depth);

static pln_status parse_elem(parser *ps, pln_type *out, int depth)
{
    pln_type elem;
    PLN_TRY(parse_type_in(ps, &elem, depth + 1));
    if (elem.kind == PLN_KIND_NONE)
        return PLN_OK;
    out->elem = pln_arena_dup(ps->m->arena, &elem, sizeof elem);
    return out->elem ? PLN_OK : pln_oom(ps->l.err);
}

static pln_status parse_container(parser *ps, lex_word w, pln_type *out, int depth)
{
    PLN_TRY(lex_expect(&ps->l, '('));
    if (lex_is(w, "seq") || lex_is(w, "optional")) {
        out->kind = lex_is(w, "seq") ? PLN_KIND_SEQUENCE : PLN_KIND_OPTIONAL;
        PLN_TRY(parse_elem(ps, out, depth));
    } else if (lex_is(w, "map")) {
        out->kind = PLN_KIND_MAP;
        PLN_TRY(parse_dtype(ps, &out->dtype));
        PLN_TRY(lex_expect(&ps->l, ','));
        PLN_TRY(parse_elem(ps, out, depth));
    } else if (lex_is(w, "sparse_tensor")) {
        out->kind = PLN_KIND_SPARSE;
        PLN_TRY(parse_dtype(ps, &out->dtype));
        PLN_TRY(parse_shape(ps, &out->shape));
    } else if (lex_is(w, "opaque")) {
        PLN_TRY(skip_opaque(ps));
    } else {
        return lex_fail(&ps->l, "'%.*s' is no type", (int)(w.len & 0xff), w.s);
    }
    return lex_expect(&ps->l, ')');
}

static pln_status parse_type_in(parser *ps, pln_type *out, int depth)
{
    lex_word w;
    *out = pln_type_unknown();
    if (depth > MAX_TYPE_DEPTH)
        return lex_fail(&ps->l, "a type is nested too deeply");
    if (!lex_peek_word(&ps->l, &w))
        return lex_fail(&ps->l, "a type is wanted");
    ps->l.pos += w.len;
    const pln_dtype dt = pln_dtype_from_name(w.s, w.len);
    if (dt == PLN_DT_NONE)
        return parse_container(ps, w, out, depth);
    out->kind = PLN_KIND_TENSOR;
    out->dtype = dt;
    return parse_shape(ps, &out->shape);
}

pln_status parse_type(parser *ps, pln_type *out)
{
    return parse_type_in(ps, out, 0);
}

/* ---- tensors ----------------------------------------------------------------------- */

typedef struct literal_tensor {
    pln_dtype dtype;
    int rank;
    int64_t dims[PLN_MAX_RANK];
    uint64_t n, n_literals; /* elements; literals that make them up */
} literal_tensor;

static bool is_packed(pln_dtype dt)
{
    return pln_dtype_bits(dt) == 4 || pln_dtype_bits(dt) == 2;
}

static pln_status tensor_shape(parser *ps, const pln_type *type, literal_tensor *t)
{
    size_t bytes;
    int64_t n;
    if (type->kind != PLN_KIND_TENSOR || !pln_shape_is_static(type->shape))
        return lex_fail(&ps->l, "a tensor needs an element type and a known shape");
    t->dtype = type->dtype;
    t->rank = type->shape.rank;
    for (int i = 0; i < t->rank; i++)
        t->dims[i] = type->shape.dims[i].value;
    if (!pln_dims_count(t->rank, t->dims, &n) ||
        !pln_dims_bytes(t->dtype, t->rank, t->dims, &bytes) ||
        bytes > ps->m->env->limits.tensor_bytes)
        return lex_fail(&ps->l, "a tensor is too large");
    t->n = t->n_literals = (uint64_t)n;
    if (is_packed(t->dtype)) {
        t->n_literals = pln_packed_bytes(t->dtype, t->n);
    } else if (pln_dtype_is_complex(t->dtype)) {
        t->n_literals = 2 * t->n;
    }
    return PLN_OK;
}

/* Integers of `size` bytes; the literal may be signed or not, as long as it fits. */
static pln_status put_integer(parser *ps, const lex_literal *v, pln_dtype dt, size_t size,
                              pln_text *out)
{
    uint64_t u;
    if (v->kind != LEX_INT)
        return lex_fail(&ps->l, "an integer is wanted");
    if (*v->word.s == '-') {
        int64_t i;
        PLN_TRY(lex_to_i64(&ps->l, v->word, &i));
        if (size < 8 && i < -(INT64_C(1) << (8 * size - 1)))
            return lex_fail(&ps->l, "an element is out of range");
        u = (uint64_t)i;
    } else {
        PLN_TRY(lex_to_u64(&ps->l, v->word, &u));
        const bool sign =
            pln_dtype_is_integer(dt) && pln_dtype_is_signed(dt) && !is_packed(dt);
        if ((size < 8 && u >> (8 * size - sign)) || (sign && size == 8 && u >> 63) ||
            (dt == PLN_DT_BOOL && u > 1) || (pln_dtype_bits(dt) == 6 && u > 63))
            return lex_fail(&ps->l, "an element is out of range");
    }
    pln_text_put(out, (const char *)&u, size);
    return PLN_OK;
}

static pln_status put_literal(parser *ps, const literal_tensor *t, pln_text *out)
{
    lex_literal v;
    float f;
    double d;
    PLN_TRY(lex_literal_next(&ps->l, &v));
    switch (t->dtype) {
    case PLN_DT_F32:
    case PLN_DT_C64:
        PLN_TRY(lex_to_f32(&ps->l, &v, &f));
        pln_text_put(out, (const char *)&f, sizeof f);
        return PLN_OK;
    case PLN_DT_F64:
    case PLN_DT_C128:
        PLN_TRY(lex_to_f64(&ps->l, &v, &d));
        pln_text_put(out, (const char *)&d, sizeof d);
        return PLN_OK;
    case PLN_DT_STRING:
        if (v.kind != LEX_STRING)
            return lex_fail(&ps->l, "a string is wanted");
        pln_text_put(out, (const char *)&v.word, sizeof v.word);
        return PLN_OK;
    default:
        return put_integer(ps, &v, t->dtype,
                           is_packed(t->dtype) ? 1 : pln_dtype_size(t->dtype), out);
    }
}

static pln_status collect(parser *ps, const literal_tensor *t, pln_text *out)
{
    uint64_t n = 0;
    if (lex_peek(&ps->l) != '}') {
        do {
            if (n++ == t->n_literals)
                return lex_fail(&ps->l, "a tensor has more than %llu values",
                                (unsigned long long)t->n_literals);
            PLN_TRY(put_literal(ps, t, out));
        } while (lex_take(&ps->l, ','));
    }
    if (n != t->n_literals)
        return lex_fail(&ps->l, "a tensor has %llu values, want %llu",
                        (unsigned long long)n, (unsigned long long)t->n_literals);
    PLN_TRY(lex_expect(&ps->l, '}'));
    return out->failed ? pln_oom(ps->l.err) : PLN_OK;
}

static pln_status fill(parser *ps, const literal_tensor *t, const pln_text *bytes,
                       pln_tensor *out)
{
    if (t->dtype == PLN_DT_STRING) {
        for (uint64_t i = 0; i < t->n; i++) {
            lex_word w;
            memcpy(&w, bytes->data + i * sizeof w, sizeof w);
            if (pln_tensor_set_string(out, (int64_t)i, w.s, w.len) != PLN_OK)
                return pln_oom(ps->l.err);
        }
    } else if (is_packed(t->dtype)) {
        pln_unpack_bits(t->dtype, (const unsigned char *)bytes->data, t->n, out->data);
    } else if (bytes->len) {
        memcpy(out->data, bytes->data, bytes->len);
    }
    return PLN_OK;
}

static pln_status inline_tensor(parser *ps, const literal_tensor *t, pln_tensor **out)
{
    pln_text bytes;
    pln_text_init(&bytes, ps->m->alloc);
    pln_status st = collect(ps, t, &bytes);
    if (st == PLN_OK)
        st = pln_tensor_make(ps->m->alloc, t->dtype, t->rank, t->dims, out, ps->l.err);
    if (st == PLN_OK) {
        st = fill(ps, t, &bytes, *out);
        if (st != PLN_OK) {
            pln_tensor_unref(*out);
            *out = NULL;
        }
    }
    pln_text_done(&bytes);
    return st;
}

typedef struct place {
    lex_word location;
    uint64_t offset, length; /* UINT64_MAX: to the end */
} place;

static pln_status parse_place(parser *ps, place *at)
{
    *at = (place){ .length = UINT64_MAX };
    do {
        lex_word key, value;
        PLN_TRY(lex_string(&ps->l, &key));
        PLN_TRY(lex_expect(&ps->l, ':'));
        PLN_TRY(lex_string(&ps->l, &value));
        if (lex_is(key, "location"))
            at->location = value;
        else if (lex_is(key, "offset"))
            PLN_TRY(lex_to_u64(&ps->l, value, &at->offset));
        else if (lex_is(key, "length"))
            PLN_TRY(lex_to_u64(&ps->l, value, &at->length));
        else if (!lex_is(key, "checksum") && !lex_is(key, "basepath"))
            return lex_fail(&ps->l, "external data has an unknown key '%.*s'",
                            (int)(key.len & 0xff), key.s);
    } while (lex_take(&ps->l, ','));
    if (!at->location.len || memchr(at->location.s, 0, at->location.len))
        return lex_fail(&ps->l, "external data has no proper location");
    return lex_expect(&ps->l, ']');
}

static pln_status remember_place(parser *ps, const place *at, size_t size, pln_tensor *t)
{
    pln_external *x = pln_alloc(ps->m->alloc, sizeof *x + at->location.len + 1);
    if (!x)
        return pln_oom(ps->l.err);
    char *location = (char *)(x + 1);
    memcpy(location, at->location.s, at->location.len);
    location[at->location.len] = 0;
    *x = (pln_external){ location, at->offset, size };
    t->external = x;
    return PLN_OK;
}

static pln_status external_tensor(parser *ps, const literal_tensor *t, pln_tensor **out)
{
    place at;
    pln_raw raw = { .buf = NULL };
    PLN_TRY(parse_place(ps, &at));
    if (!ps->source || !ps->source->external)
        return lex_fail(&ps->l, "external data is refused here");
    if (t->dtype == PLN_DT_STRING)
        return lex_fail(&ps->l, "strings can't be external");
    const char *location = pln_arena_str(ps->l.arena, at.location.s, at.location.len);
    if (!location)
        return pln_oom(ps->l.err);
    PLN_TRY(ps->source->external(ps->source->user, location, at.offset, at.length,
                                 &raw.buf, &raw.data, &raw.size, ps->l.err));
    const uint64_t want = pln_packed_bytes(t->dtype, t->n);
    pln_status st = PLN_OK;
    if (raw.size != want && !(at.length == UINT64_MAX && raw.size > want))
        st = lex_fail(&ps->l, "external data has %zu bytes, want %llu", raw.size,
                      (unsigned long long)want);
    raw.size = (size_t)want;
    if (st == PLN_OK)
        st = pln_tensor_make_raw(ps->m->alloc, t->dtype, t->rank, t->dims, &raw, out,
                                 ps->l.err);
    pln_buf_unref(raw.buf);
    return st == PLN_OK ? remember_place(ps, &at, raw.size, *out) : st;
}

pln_status parse_tensor(parser *ps, const pln_type *type, pln_tensor **out)
{
    literal_tensor t;
    *out = NULL;
    PLN_TRY(tensor_shape(ps, type, &t));
    if (lex_take(&ps->l, '{'))
        return inline_tensor(ps, &t, out);
    if (!lex_take(&ps->l, '['))
        return lex_fail(&ps->l, "'{' or '[' is wanted after a tensor's type");
    const pln_status st = external_tensor(ps, &t, out);
    if (st != PLN_OK) {
        pln_tensor_unref(*out);
        *out = NULL;
    }
    return st;
}

/* ---- attributes -------------------------------------------------------------------- */

static pln_status own(parser *ps, pln_tensor *t)
{
    const pln_status st = pln_model_own(ps->m, t);
    pln_tensor_unref(t);
    return st == PLN_OK ? st : pln_oom(ps->l.err);
}

/* "float[2] name = {1, 2}", as values of attributes and parts of sparse tensors. */
static pln_status typed_tensor(parser *ps, const pln_type *type, pln_tensor **out)
{
    lex_word name = { NULL, 0 };
    if (lex_peek(&ps->l) == '"')
        PLN_TRY(lex_string(&ps->l, &name));
    else
        PLN_TRY(lex_optional_identifier(&ps->l, &name));
    lex_take(&ps->l, '=');
    return parse_tensor(ps, type, out);
}

static pln_status sparse_part(parser *ps, pln_tensor *into)
{
    pln_type type;
    pln_tensor *part;
    PLN_TRY(lex_expect(&ps->l, ','));
    PLN_TRY(parse_type(ps, &type));
    PLN_TRY(typed_tensor(ps, &type, &part));
    const pln_status st = pln_tensor_append(into, part, ps->l.err);
    pln_tensor_unref(part);
    return st;
}

static pln_status parse_sparse(parser *ps, pln_tensor **out)
{
    pln_type type;
    literal_tensor t;
    PLN_TRY(lex_expect(&ps->l, '('));
    PLN_TRY(parse_type(ps, &type));
    PLN_TRY(tensor_shape(ps, &type, &t));
    if (pln_tensor_make_container(ps->m->alloc, PLN_KIND_SPARSE, out) != PLN_OK)
        return pln_oom(ps->l.err);
    (*out)->dtype = (uint8_t)t.dtype;
    (*out)->rank = t.rank;
    memcpy((*out)->dims, t.dims, sizeof t.dims);
    PLN_TRY(sparse_part(ps, *out));
    PLN_TRY(sparse_part(ps, *out));
    return lex_expect(&ps->l, ')');
}

static pln_status sparse_value(parser *ps, pln_attr *a)
{
    pln_tensor *t = NULL;
    a->type = PLN_ATTR_SPARSE_TENSOR;
    const pln_status st = parse_sparse(ps, &t);
    if (st != PLN_OK) {
        pln_tensor_unref(t);
        return st;
    }
    a->t = t;
    return own(ps, t);
}

static pln_status type_or_tensor(parser *ps, pln_attr *a)
{
    pln_type type;
    lex_word w;
    PLN_TRY(parse_type(ps, &type));
    const int c = lex_peek(&ps->l);
    if (c == '{' || c == '=' || c == '"' || lex_peek_word(&ps->l, &w)) {
        pln_tensor *t;
        a->type = PLN_ATTR_TENSOR;
        PLN_TRY(typed_tensor(ps, &type, &t));
        a->t = t;
        return own(ps, t);
    }
    a->type = PLN_ATTR_TYPE;
    a->tp = pln_arena_dup(ps->m->arena, &type, sizeof type);
    return a->tp ? PLN_OK : pln_oom(ps->l.err);
}

static bool is_float_word(lex_word w)
{
    return w.len <= 8 && (!strncasecmp(w.s, "inf", w.len) ||
                          !strncasecmp(w.s, "infinity", w.len) ||
                          !strncasecmp(w.s, "nan", w.len)) &&
           (w.len == 3 || w.len == 8);
}

static pln_status number_or_string(parser *ps, pln_attr *a, uint8_t want)
{
    lex_literal v;
    PLN_TRY(lex_literal_next(&ps->l, &v));
    if (v.kind == LEX_STRING) {
        a->type = PLN_ATTR_STRING;
        a->s = parse_intern(ps, v.word);
        return a->s ? PLN_OK : PLN_E_NOMEM;
    }
    if (v.kind == LEX_INT && want != PLN_ATTR_FLOAT) {
        a->type = PLN_ATTR_INT;
        return lex_to_i64(&ps->l, v.word, &a->i);
    }
    a->type = PLN_ATTR_FLOAT;
    return lex_to_f32(&ps->l, &v, &a->f);
}

static pln_status single(parser *ps, pln_graph *parent, pln_attr *a, uint8_t want)
{
    lex_word w;
    if (lex_take(&ps->l, '@')) {
        PLN_TRY(lex_name(&ps->l, &w));
        a->type = want;
        a->ref = parse_intern(ps, w);
        return a->ref ? PLN_OK : PLN_E_NOMEM;
    }
    if (parse_type_is_next(ps)) {
        PLN_TRY(type_or_tensor(ps, a));
    } else if (lex_peek_word(&ps->l, &w) && !is_float_word(w)) {
        if (lex_is(w, "sparse") && want == PLN_ATTR_SPARSE_TENSOR) {
            ps->l.pos += w.len;
            PLN_TRY(sparse_value(ps, a));
        } else if (lex_is(w, "x") && ps->l.pos + 1 < ps->l.len &&
                   ps->l.text[ps->l.pos + 1] == '"') {
            PLN_TRY(number_or_string(ps, a, want));
        } else {
            a->type = PLN_ATTR_GRAPH;
            PLN_TRY(parse_body(ps, parent, &a->g));
        }
    } else {
        PLN_TRY(number_or_string(ps, a, want));
    }
    if (want && want != a->type)
        return lex_fail(&ps->l, "the value is of type %s, want %s",
                        pln_text_attr_types[a->type], pln_text_attr_types[want]);
    return PLN_OK;
}

static uint8_t item_type(uint8_t list)
{
    switch (list) {
    case PLN_ATTR_FLOATS:
    case PLN_ATTR_INTS:
    case PLN_ATTR_STRINGS:
    case PLN_ATTR_TENSORS:
    case PLN_ATTR_GRAPHS:
        return (uint8_t)(list - PLN_ATTR_FLOATS + PLN_ATTR_FLOAT);
    case PLN_ATTR_SPARSE_TENSORS:
        return PLN_ATTR_SPARSE_TENSOR;
    case PLN_ATTR_TYPES:
        return PLN_ATTR_TYPE;
    default:
        return PLN_ATTR_NONE;
    }
}

static uint8_t list_type(uint8_t item)
{
    return item == PLN_ATTR_SPARSE_TENSOR ? PLN_ATTR_SPARSE_TENSORS
           : item == PLN_ATTR_TYPE        ? PLN_ATTR_TYPES
                                   : (uint8_t)(item + PLN_ATTR_FLOATS - PLN_ATTR_FLOAT);
}

/* The items' values side by side, as the union of the list's type has them. */
static pln_status store_list(parser *ps, pln_attr *a, const pln_attr *items, size_t n)
{
    const size_t size = a->type == PLN_ATTR_FLOATS ? sizeof(float)
                        : a->type == PLN_ATTR_INTS ? sizeof(int64_t)
                                                   : sizeof(void *);
    char *list = pln_arena_array(ps->m->arena, n, size);
    if (!list)
        return pln_oom(ps->l.err);
    for (size_t i = 0; i < n; i++)
        memcpy(list + i * size, &items[i].f, size); /* all members lie at its start */
    a->n = n;
    a->ints = (const int64_t *)(const void *)list;
    return PLN_OK;
}

static pln_status parse_list(parser *ps, pln_graph *parent, pln_attr *a, uint8_t type)
{
    pln_text items; /* of pln_attr */
    uint8_t want = item_type(type);
    size_t n = 0;
    pln_status st = PLN_OK;
    if (type && !want)
        return lex_fail(&ps->l, "a list is given for a single value");
    pln_text_init(&items, ps->m->alloc);
    while (st == PLN_OK && lex_peek(&ps->l) != ']') {
        pln_attr one = { .name = a->name };
        st = single(ps, parent, &one, want);
        if (st == PLN_OK && one.ref)
            st = lex_fail(&ps->l, "an item of a list can't be a reference");
        want = one.type;
        pln_text_put(&items, (const char *)&one, sizeof one);
        n++;
        if (st == PLN_OK && !lex_take(&ps->l, ','))
            break;
    }
    if (st == PLN_OK)
        st = lex_expect(&ps->l, ']');
    if (st == PLN_OK && !type && !n)
        st = lex_fail(&ps->l, "an empty list needs a type");
    a->type = type ? type : list_type(want);
    if (st == PLN_OK && items.failed)
        st = pln_oom(ps->l.err);
    if (st == PLN_OK)
        st = store_list(ps, a, (const pln_attr *)(const void *)items.data, n);
    pln_text_done(&items);
    return st;
}

static pln_status attr_type(parser *ps, uint8_t *out)
{
    lex_word w;
    PLN_TRY(lex_identifier(&ps->l, &w));
    for (uint8_t i = PLN_ATTR_FLOAT; i <= PLN_ATTR_TYPES; i++)
        if (lex_is(w, pln_text_attr_types[i])) {
            *out = i;
            return PLN_OK;
        }
    return lex_fail(&ps->l, "'%.*s' is no type of an attribute", (int)(w.len & 0xff),
                    w.s);
}

pln_status parse_attr_value(parser *ps, pln_graph *parent, lex_word name, pln_attr **out)
{
    uint8_t type = PLN_ATTR_NONE;
    pln_attr *a = PLN_NEW(ps->m->arena, pln_attr);
    if (!a)
        return pln_oom(ps->l.err);
    a->name = parse_intern(ps, name);
    if (!a->name)
        return PLN_E_NOMEM;
    if (lex_take(&ps->l, ':'))
        PLN_TRY(attr_type(ps, &type));
    PLN_TRY(lex_expect(&ps->l, '='));
    if (lex_take(&ps->l, '['))
        PLN_TRY(parse_list(ps, parent, a, type));
    else
        PLN_TRY(single(ps, parent, a, type));
    *out = a;
    return PLN_OK;
}

pln_status parse_attr(parser *ps, pln_graph *parent, pln_attr **out)
{
    lex_word name;
    PLN_TRY(lex_identifier(&ps->l, &name));
    return parse_attr_value(ps, parent, name, out);
}
