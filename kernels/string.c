/* StringConcat, StringSplit, StringNormalizer, RegexFullMatch.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"
#include "kernels/regex.h"
#include "src/util/text.h"

typedef struct span {
    const char *s;
    size_t len;
} span;

static span element(const pln_tensor *t, int64_t i)
{
    const pln_string *s = PLN_DATA(pln_string *const, t)[i];
    return s ? (span){ s->bytes, s->len } : (span){ "", 0 };
}

static pln_status set_element(pln_tensor *t, int64_t i, span v, pln_error *err)
{
    return pln_tensor_set_string(t, i, v.s, v.len) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* ---- StringConcat ---------------------------------------------------------------- */

static pln_status concat_infer(pln_infer *inf, pln_error *err)
{
    pln_shape out;
    PLN_TRY(pln_infer_broadcast(inf, 0, 2, &out, err));
    pln_infer_set(inf, 0, PLN_DT_STRING, out);
    return PLN_OK;
}

/* Element of an operand that broadcasts to element i of the output. */
static int64_t broadcast_index(const pln_tensor *x, const pln_tensor *y, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int k = 1; k <= y->rank; k++) {
        const int64_t p = i % y->dims[y->rank - k];
        i /= y->dims[y->rank - k];
        if (k > x->rank)
            continue;
        const int64_t d = x->dims[x->rank - k];
        at += (d == 1 ? 0 : p) * step;
        step *= d;
    }
    return at;
}

static pln_status concat_run(pln_call *c, pln_error *err)
{
    pln_tensor *y = c->out[0];
    const int64_t n = pln_tensor_size(y);
    pln_text t;
    pln_text_init(&t, pln_call_allocator(c));
    pln_status st = PLN_OK;
    for (int64_t i = 0; i < n && st == PLN_OK; i++) {
        const span a = element(c->in[0], broadcast_index(c->in[0], y, i));
        const span b = element(c->in[1], broadcast_index(c->in[1], y, i));
        t.len = 0;
        pln_text_put(&t, a.s, a.len);
        pln_text_put(&t, b.s, b.len);
        st = t.failed ? pln_oom(err)
                      : set_element(y, i, (span){ t.data ? t.data : "", t.len }, err);
    }
    pln_text_done(&t);
    return st;
}

/* ---- StringSplit ----------------------------------------------------------------- */

typedef struct split_attrs {
    const char *delimiter;
    int64_t maxsplit;
    bool has_max;
} split_attrs;

static const pln_attr_spec split_spec[] = {
    PLN_A_STR(split_attrs, delimiter, NULL),
    { .name = "maxsplit",
      .type = PLN_ATTR_INT,
      .offset = offsetof(split_attrs, maxsplit),
      .has_offset = offsetof(split_attrs, has_max) },
    PLN_A_END,
};

static pln_status split_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (inf->n_out > 1)
        pln_infer_set(inf, 1, PLN_DT_S64, inf->in[0]->shape);
    if (rank == PLN_RANK_UNKNOWN || rank + 1 > PLN_MAX_RANK) {
        pln_infer_set(inf, 0, PLN_DT_STRING, pln_shape_unknown());
        return PLN_OK;
    }
    pln_shape out = pln_infer_shape(inf, rank + 1);
    for (int i = 0; i < rank; i++)
        out.dims[i] = pln_infer_dim(inf, 0, i);
    out.dims[rank] = pln_dim_unknown();
    pln_infer_set(inf, 0, PLN_DT_STRING, out);
    return PLN_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes the next part of *rest; false: there is none. `left`: splits that may still be
 * made, below 0 without bound. */
static bool next_part(span *rest, const char *sep, size_t n_sep, int64_t *left,
                      span *part)
{
    if (!rest->s)
        return false;
    if (n_sep == 0) {
        while (rest->len > 0 && is_space(*rest->s)) {
            rest->s++;
            rest->len--;
        }
        if (rest->len == 0)
            return false;
    }
    const char *end = rest->s + rest->len, *at = end;
    if (*left != 0 && n_sep > 0)
        at = memmem(rest->s, rest->len, sep, n_sep);
    for (const char *p = rest->s; n_sep == 0 && *left != 0 && p < end && at == end; p++)
        if (is_space(*p))
            at = p;
    if (!at || at == end) {
        *part = *rest;
        rest->s = NULL;
        return true;
    }
    *left -= *left > 0;
    *part = (span){ rest->s, (size_t)(at - rest->s) };
    rest->s = at + (n_sep ? n_sep : 1);
    rest->len = (size_t)(end - rest->s);
    return true;
}

static pln_status split_run(pln_call *c, pln_error *err)
{
    const split_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    const char *sep = a->delimiter ? a->delimiter : "";
    const size_t n_sep = a->delimiter ? pln_name_len(a->delimiter) : 0;
    const int64_t limit = a->has_max ? (a->maxsplit < 0 ? -1 : a->maxsplit) : -1;
    const int64_t n = pln_tensor_size(x);
    int64_t most = 0, dims[PLN_MAX_RANK];
    if (x->rank + 1 > PLN_MAX_RANK)
        return pln_call_fail(c, err, PLN_E_LIMIT, "rank %d", (int)x->rank + 1);
    if (pln_call_wants(c, 1))
        PLN_TRY(pln_move_output(c, 1, PLN_DT_S64, x->rank, x->dims, err));
    for (int64_t i = 0; i < n; i++) {
        span rest = element(x, i), part;
        int64_t left = limit, count = 0;
        while (next_part(&rest, sep, n_sep, &left, &part))
            count++;
        most = count > most ? count : most;
        if (pln_call_wants(c, 1))
            PLN_DATA(int64_t, c->out[1])[i] = count;
    }
    if (!pln_call_wants(c, 0))
        return PLN_OK;
    memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
    dims[x->rank] = most;
    PLN_TRY(pln_move_output(c, 0, PLN_DT_STRING, x->rank + 1, dims, err));
    pln_move_begin(c->out[0]);
    for (int64_t i = 0; i < n; i++) {
        span rest = element(x, i), part;
        int64_t left = limit;
        for (int64_t k = 0; next_part(&rest, sep, n_sep, &left, &part); k++)
            PLN_TRY(set_element(c->out[0], i * most + k, part, err));
    }
    return PLN_OK;
}

/* ---- StringNormalizer ------------------------------------------------------------ */

typedef enum case_action { CASE_NONE, CASE_LOWER, CASE_UPPER } case_action;

typedef struct normalizer_attrs {
    int case_change_action;
    int64_t is_case_sensitive;
    const char *locale;
    pln_strings stopwords;
} normalizer_attrs;

static const pln_attr_spec normalizer_spec[] = {
    PLN_A_ENUM(normalizer_attrs, case_change_action, "NONE|LOWER|UPPER", "NONE"),
    PLN_A_INT(normalizer_attrs, is_case_sensitive, 0),
    PLN_A_STR(normalizer_attrs, locale, NULL),
    PLN_A_STRS(normalizer_attrs, stopwords),
    PLN_A_END,
};

/* Letters whose cases lie at a fixed distance; the alphabets of Europe. */
static uint32_t change_case(uint32_t c, bool upper)
{
    static const struct {
        uint32_t lo, hi, shift; /* upper case letters */
    } blocks[] = { { 'A', 'Z', 32 },     { 0xc0, 0xd6, 32 },   { 0xd8, 0xde, 32 },
                   { 0x391, 0x3a1, 32 }, { 0x3a3, 0x3ab, 32 }, { 0x410, 0x42f, 32 },
                   { 0x400, 0x40f, 80 }, { 0x531, 0x556, 48 } };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        const uint32_t shift = blocks[i].shift;
        if (!upper && c >= blocks[i].lo && c <= blocks[i].hi)
            return c + shift;
        if (upper && c >= blocks[i].lo + shift && c <= blocks[i].hi + shift)
            return c - shift;
    }
    const bool even_upper = (c >= 0x100 && c <= 0x137 && c != 0x130 && c != 0x131) ||
                            (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481);
    const bool odd_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    if (even_upper)
        return upper ? c & ~1u : c | 1u;
    if (odd_upper)
        return upper ? (c & 1u ? c : c - 1) : (c & 1u ? c + 1 : c);
    return c;
}

static void put_char(pln_text *t, uint32_t c)
{
    char b[2] = { (char)(0xc0 | (c >> 6)), (char)(0x80 | (c & 0x3f)) };
    if (c < 0x80) {
        b[0] = (char)c;
        pln_text_put(t, b, 1);
    } else {
        pln_text_put(t, b, 2);
    }
}

/* Only one- and two-byte characters have letters that change. */
static void put_cased(pln_text *t, span v, bool upper)
{
    for (size_t i = 0; i < v.len; i++) {
        const unsigned char b = (unsigned char)v.s[i];
        const unsigned char next = i + 1 < v.len ? (unsigned char)v.s[i + 1] : 0;
        if (b < 0x80) {
            put_char(t, change_case(b, upper));
        } else if (b >= 0xc2 && b < 0xe0 && (next & 0xc0) == 0x80) {
            put_char(t, change_case((b & 0x1fu) << 6 | (next & 0x3fu), upper));
            i++;
        } else {
            pln_text_put(t, v.s + i, 1);
        }
    }
}

static pln_status normalizer_infer(pln_infer *inf, pln_error *err)
{
    const normalizer_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (rank != 1 && rank != 2)
        return pln_infer_fail(inf, err, "input has rank %d, want 1 or 2", rank);
    const pln_dim rows = rank == 2 ? pln_infer_dim(inf, 0, 0) : pln_dim_of(1);
    if (pln_dim_is_known(rows) && rows.value != 1)
        return pln_infer_fail(inf, err, "input has %lld rows, want 1",
                              (long long)rows.value);
    pln_shape out = pln_move_infer_like(inf, 0);
    if (a->stopwords.n > 0 || !pln_dim_at_least(out.dims[rank - 1], 1))
        out.dims[rank - 1] = pln_dim_unknown();
    pln_infer_set(inf, 0, PLN_DT_STRING, out);
    return PLN_OK;
}

/* Is the text among the stop words? `t` is for lowered copies. */
static bool is_stopword(const normalizer_attrs *a, span v, pln_text *t)
{
    for (size_t i = 0; i < a->stopwords.n; i++) {
        const span w = { a->stopwords.v[i], pln_name_len(a->stopwords.v[i]) };
        if (a->is_case_sensitive) {
            if (w.len == v.len && memcmp(w.s, v.s, v.len) == 0)
                return true;
            continue;
        }
        t->len = 0;
        put_cased(t, v, false);
        const size_t n = t->len;
        put_cased(t, w, false);
        if (!t->failed && t->len == 2 * n && memcmp(t->data, t->data + n, n) == 0)
            return true;
        if (n == 0 && w.len == 0)
            return true;
    }
    return false;
}

static pln_status normalize(pln_call *c, const normalizer_attrs *a, int64_t kept,
                            pln_text *t, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    int64_t dims[2] = { 1, 1 }, to = 0;
    dims[x->rank - 1] = kept > 0 ? kept : 1;
    PLN_TRY(pln_move_output(c, 0, PLN_DT_STRING, x->rank, dims, err));
    if (kept == 0)
        return set_element(c->out[0], 0, (span){ "", 0 }, err);
    for (int64_t i = 0; i < pln_tensor_size(x); i++) {
        span v = element(x, i);
        if (is_stopword(a, v, t))
            continue;
        t->len = 0;
        if (a->case_change_action != CASE_NONE) {
            put_cased(t, v, a->case_change_action == CASE_UPPER);
            v = (span){ t->data ? t->data : "", t->len };
        }
        if (t->failed)
            return pln_oom(err);
        PLN_TRY(set_element(c->out[0], to++, v, err));
    }
    return PLN_OK;
}

static pln_status normalizer_run(pln_call *c, pln_error *err)
{
    const normalizer_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    if (x->rank != 1 && (x->rank != 2 || x->dims[0] != 1))
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d or several rows",
                             (int)x->rank);
    pln_text t;
    pln_text_init(&t, pln_call_allocator(c));
    int64_t kept = 0;
    for (int64_t i = 0; i < pln_tensor_size(x); i++)
        kept += !is_stopword(a, element(x, i), &t);
    const pln_status st = normalize(c, a, kept, &t, err);
    pln_text_done(&t);
    return st;
}

/* ---- RegexFullMatch -------------------------------------------------------------- */

typedef struct regex_attrs {
    const char *pattern;
} regex_attrs;

static const pln_attr_spec regex_spec[] = {
    PLN_A_STR(regex_attrs, pattern, ""),
    PLN_A_END,
};

static pln_status regex_infer(pln_infer *inf, pln_error *err)
{
    pln_infer_set(inf, 0, PLN_DT_BOOL, inf->in[0]->shape);
    return PLN_OK;
}

static pln_status regex_run(pln_call *c, pln_error *err)
{
    const regex_attrs *a = c->attrs;
    const int64_t n = pln_tensor_size(c->in[0]);
    pln_regex *re = NULL;
    PLN_TRY(pln_regex_new(pln_call_allocator(c), a->pattern, pln_name_len(a->pattern),
                          &re, err));
    for (int64_t i = 0; i < n; i++) {
        const span v = element(c->in[0], i);
        PLN_DATA(uint8_t, c->out[0])[i] = pln_regex_full_match(re, v.s, v.len);
    }
    pln_regex_free(re);
    return PLN_OK;
}

const pln_op_desc pln_ops_string[] = {
    { .name = "StringConcat",
      .domain = "",
      .since = 20,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .sig = "string,string->string",
      .infer = concat_infer,
      .ref = concat_run },
    { .name = "StringSplit",
      .domain = "",
      .since = 20,
      .in = { 1, 1 },
      .out = { 1, 2 },
      .traits = PLN_OP_DATA_SHAPE,
      .sig = "string->string,int64",
      .attrs = split_spec,
      .attrs_size = sizeof(split_attrs),
      .infer = split_infer,
      .ref = split_run },
    { .name = "StringNormalizer",
      .domain = "",
      .since = 10,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_DATA_SHAPE,
      .sig = "string->string",
      .attrs = normalizer_spec,
      .attrs_size = sizeof(normalizer_attrs),
      .infer = normalizer_infer,
      .ref = normalizer_run },
    { .name = "RegexFullMatch",
      .domain = "",
      .since = 20,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .sig = "string->bool",
      .attrs = regex_spec,
      .attrs_size = sizeof(regex_attrs),
      .infer = regex_infer,
      .ref = regex_run },
    { .name = NULL },
};
