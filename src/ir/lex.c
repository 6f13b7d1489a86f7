/* Tokens of the textual syntax: words, strings, numbers; blanks and comments between
 * them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/lex.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/ir/text_words.h"

pln_status lex_fail(lex *l, const char *fmt, ...)
{
    char text[300];
    size_t line = 1, column = 1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < l->pos && i < l->len; i++) {
        column = l->text[i] == '\n' ? 1 : column + 1;
        line += l->text[i] == '\n';
    }
    const pln_status st =
        pln_fail(l->err, PLN_E_FORMAT, "%zu:%zu: %s", line, column, text);
    if (l->err)
        l->err->offset = (int64_t)l->pos;
    return st;
}

/* Whether a "#%+" was crossed. */
static bool skip(lex *l)
{
    bool hidden = false;
    while (l->pos < l->len) {
        const char c = l->text[l->pos];
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            l->pos++;
        } else if (c == '#' && l->len - l->pos >= 3 && l->text[l->pos + 1] == '%' &&
                   l->text[l->pos + 2] == '+') {
            l->pos += 3;
            hidden = true;
        } else if (c == '#') {
            const char *end = memchr(l->text + l->pos, '\n', l->len - l->pos);
            l->pos = end ? (size_t)(end - l->text) : l->len;
        } else {
            break;
        }
    }
    return hidden;
}

static int current(const lex *l)
{
    return l->pos < l->len ? (unsigned char)l->text[l->pos] : 0;
}

int lex_peek(lex *l)
{
    skip(l);
    return current(l);
}

bool lex_take(lex *l, char c)
{
    if (lex_peek(l) != c || l->pos >= l->len)
        return false;
    l->pos++;
    return true;
}

pln_status lex_expect(lex *l, char c)
{
    if (lex_take(l, c))
        return PLN_OK;
    if (l->pos >= l->len)
        return lex_fail(l, "the text ends where '%c' is wanted", c);
    const size_t left = l->len - l->pos; /* the text need not end with a NUL */
    return lex_fail(l, "'%c' is wanted before '%.*s'", c, left < 20 ? (int)left : 20,
                    l->text + l->pos);
}

bool lex_is(lex_word w, const char *s)
{
    return w.len == strlen(s) && !memcmp(w.s, s, w.len);
}

bool lex_peek_word(lex *l, lex_word *out)
{
    skip(l);
    size_t end = l->pos;
    if (end < l->len && pln_text_is_alpha((unsigned char)l->text[end]))
        while (end < l->len && (pln_text_is_alpha((unsigned char)l->text[end]) ||
                                pln_text_is_digit((unsigned char)l->text[end])))
            end++;
    *out = (lex_word){ l->text + l->pos, end - l->pos };
    return out->len > 0;
}

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* x"00ff" is next. */
static bool is_hex(const lex *l)
{
    return l->len - l->pos >= 2 && l->text[l->pos] == 'x' && l->text[l->pos + 1] == '"';
}

static pln_status hex_string(lex *l, lex_word *out)
{
    const size_t from = l->pos += 2;
    while (hex_digit(current(l)) >= 0)
        l->pos++;
    if (current(l) != '"' || (l->pos - from) % 2)
        return lex_fail(l, "a hexadecimal string is malformed");
    const size_t n = (l->pos - from) / 2;
    char *bytes = pln_arena_alloc(l->arena, n + 1);
    if (!bytes)
        return pln_oom(l->err);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(hex_digit((unsigned char)l->text[from + 2 * i]) << 4 |
                          hex_digit((unsigned char)l->text[from + 2 * i + 1]));
    l->pos++;
    *out = (lex_word){ bytes, n };
    return PLN_OK;
}

/* The exact bytes of what was just read, behind "#%+". */
static pln_status exact_bytes(lex *l, lex_word *out)
{
    const size_t from = l->pos;
    if (skip(l) && is_hex(l))
        return hex_string(l, out);
    l->pos = from;
    return PLN_OK;
}

pln_status lex_optional_identifier(lex *l, lex_word *out)
{
    if (!lex_peek_word(l, out))
        return PLN_OK;
    l->pos += out->len;
    return exact_bytes(l, out);
}

pln_status lex_identifier(lex *l, lex_word *out)
{
    if (!lex_peek_word(l, out))
        return lex_fail(l, "an identifier is wanted");
    return lex_optional_identifier(l, out);
}

static pln_status quoted(lex *l, lex_word *out)
{
    const size_t from = ++l->pos;
    size_t n = 0;
    bool escapes = false;
    while (l->pos < l->len && l->text[l->pos] != '"') {
        if (l->text[l->pos] == '\\') {
            escapes = true;
            l->pos++;
        }
        l->pos++;
        n++;
    }
    if (l->pos >= l->len) {
        l->pos = from - 1;
        return lex_fail(l, "a string has no end");
    }
    *out = (lex_word){ l->text + from, l->pos++ - from };
    if (!escapes)
        return PLN_OK;
    char *bytes = pln_arena_alloc(l->arena, n + 1);
    if (!bytes)
        return pln_oom(l->err);
    const char *s = out->s;
    for (size_t i = 0; i < n; i++) {
        if (*s == '\\')
            s++;
        bytes[i] = *s++;
    }
    *out = (lex_word){ bytes, n };
    return PLN_OK;
}

pln_status lex_string(lex *l, lex_word *out)
{
    lex_peek(l);
    if (is_hex(l))
        return hex_string(l, out);
    if (current(l) != '"')
        return lex_fail(l, "a string is wanted");
    PLN_TRY(quoted(l, out));
    return exact_bytes(l, out);
}

pln_status lex_name(lex *l, lex_word *out)
{
    const int c = lex_peek(l);
    return c == '"' || is_hex(l) ? lex_string(l, out) : lex_identifier(l, out);
}

/* ---- numbers ----------------------------------------------------------------------- */

static bool is_special(lex_word w)
{
    static const char *const words[] = { "inf", "infinity", "nan" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (w.len == strlen(words[i]) && !strncasecmp(w.s, words[i], w.len))
            return true;
    return false;
}

static void digits(lex *l)
{
    while (pln_text_is_digit(current(l)))
        l->pos++;
}

pln_status lex_literal_next(lex *l, lex_literal *out)
{
    lex_word w;
    *out = (lex_literal){ .kind = LEX_INT };
    if (lex_peek(l) == '"' || is_hex(l)) {
        out->kind = LEX_STRING;
        return lex_string(l, &out->word);
    }
    const size_t from = l->pos;
    if (current(l) == '-')
        l->pos++;
    if (lex_peek_word(l, &w) && is_special(w)) {
        l->pos += w.len;
        out->kind = LEX_FLOAT;
    } else if (pln_text_is_digit(current(l))) {
        digits(l);
        if (current(l) == '.') {
            out->kind = LEX_FLOAT;
            l->pos++;
            digits(l);
        }
        if (current(l) == 'e' || current(l) == 'E') {
            out->kind = LEX_FLOAT;
            l->pos++;
            if (current(l) == '+' || current(l) == '-')
                l->pos++;
            digits(l);
        }
    } else {
        return lex_fail(l, "a value is wanted");
    }
    out->word = (lex_word){ l->text + from, l->pos - from };
    return out->kind == LEX_FLOAT ? exact_bytes(l, &out->bits) : PLN_OK;
}

/* As a C string, which strto* need. */
static pln_status number_text(lex *l, lex_word w, char *buf, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < w.len; i++) {
        if (w.s[i] == ' ' || (w.s[i] >= '\t' && w.s[i] <= '\r'))
            continue;
        if (n + 1 >= size || w.s[i] == '#')
            return lex_fail(l, "a number is malformed");
        buf[n++] = w.s[i];
    }
    buf[n] = 0;
    return PLN_OK;
}

pln_status lex_to_i64(lex *l, lex_word w, int64_t *out)
{
    char buf[64], *end;
    PLN_TRY(number_text(l, w, buf, sizeof buf));
    errno = 0;
    *out = strtoll(buf, &end, 10);
    return errno || *end || !*buf ? lex_fail(l, "%s is no 64-bit integer", buf) : PLN_OK;
}

pln_status lex_to_u64(lex *l, lex_word w, uint64_t *out)
{
    char buf[64], *end;
    PLN_TRY(number_text(l, w, buf, sizeof buf));
    errno = 0;
    *out = strtoull(buf, &end, 10);
    if (errno || *end || !*buf || *buf == '-')
        return lex_fail(l, "%s is no unsigned 64-bit integer", buf);
    return PLN_OK;
}

pln_status lex_i64(lex *l, int64_t *out)
{
    lex_literal v;
    PLN_TRY(lex_literal_next(l, &v));
    if (v.kind != LEX_INT)
        return lex_fail(l, "an integer is wanted");
    return lex_to_i64(l, v.word, out);
}

static uint64_t big_endian(lex_word w)
{
    uint64_t u = 0;
    for (size_t i = 0; i < w.len; i++)
        u = u << 8 | (unsigned char)w.s[i];
    return u;
}

pln_status lex_to_f32(lex *l, const lex_literal *v, float *out)
{
    char buf[512], *end;
    if (v->kind == LEX_STRING)
        return lex_fail(l, "a number is wanted");
    if (v->bits.len == 4) {
        const uint32_t u = (uint32_t)big_endian(v->bits);
        memcpy(out, &u, sizeof *out);
        return PLN_OK;
    }
    PLN_TRY(number_text(l, v->word, buf, sizeof buf));
    *out = strtof_l(buf, &end, l->locale);
    const bool named = strpbrk(buf, "nN") != NULL; /* inf, nan */
    if (*end || !*buf || (!isfinite(*out) && !named))
        return lex_fail(l, "%.40s is no float", buf);
    return PLN_OK;
}

pln_status lex_to_f64(lex *l, const lex_literal *v, double *out)
{
    char buf[512], *end;
    if (v->kind == LEX_STRING)
        return lex_fail(l, "a number is wanted");
    if (v->bits.len == 8) {
        const uint64_t u = big_endian(v->bits);
        memcpy(out, &u, sizeof *out);
        return PLN_OK;
    }
    PLN_TRY(number_text(l, v->word, buf, sizeof buf));
    *out = strtod_l(buf, &end, l->locale);
    const bool named = strpbrk(buf, "nN") != NULL;
    if (*end || !*buf || (!isfinite(*out) && !named))
        return lex_fail(l, "%.40s is no double", buf);
    return PLN_OK;
}
