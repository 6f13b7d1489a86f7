/* Expressions are compiled to a nondeterministic automaton whose states all advance
 * together (Thompson's construction): no backtracking, so no text takes long.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/regex.h"

#include <string.h>

#define MAX_PROGRAM 100000
#define MAX_DEPTH   200
#define MAX_REPEAT  1000
#define LAST_CHAR   0x10ffffu

typedef enum op_code {
    OP_CHAR,
    OP_SET,
    OP_SPLIT,
    OP_JUMP,
    OP_BEGIN,
    OP_END,
    OP_WORD,
    OP_NOT_WORD,
    OP_MATCH
} op_code;

typedef struct instr {
    uint8_t op;
    bool negate;
    uint32_t x,
        y; /* targets; OP_SET: first range and their number; OP_CHAR: the character */
} instr;

typedef struct range {
    uint32_t lo, hi;
} range;

struct pln_regex {
    const pln_allocator *alloc;
    instr *prog;
    size_t n, cap;
    range *ranges;
    size_t n_ranges, cap_ranges;
    uint32_t *now, *next, *stack; /* sets of states, and those to look at */
    uint32_t *mark;               /* [n] step in which a state was last added */
};

/* ---- characters ------------------------------------------------------------------ */

/* One code point of UTF-8; a byte that begins none stands for itself. */
static uint32_t next_char(const char **s, const char *end)
{
    const unsigned char *p = (const unsigned char *)*s;
    const size_t left = (size_t)(end - *s);
    const int n = p[0] < 0x80    ? 1
                  : p[0] >= 0xf0 ? 4
                  : p[0] >= 0xe0 ? 3
                  : p[0] >= 0xc0 ? 2
                                 : 1;
    uint32_t v = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
    bool good = (size_t)n <= left;
    for (int i = 1; good && i < n; i++) {
        good = (p[i] & 0xc0) == 0x80;
        v = (v << 6) | (p[i] & 0x3fu);
    }
    *s += good ? n : 1;
    return good ? v : p[0];
}

static bool is_word(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '_';
}

/* ---- compiling ------------------------------------------------------------------- */

typedef struct parser {
    pln_regex *re;
    const char *at, *end;
    pln_error *err;
    int depth;
    size_t quoted_from; /* last character of \Q...\E, which alone is repeated; SIZE_MAX */
    bool fold, dot_all, multi, lazy_default; /* flags i, s, m, U */
} parser;

static pln_status bad(parser *p, const char *what)
{
    return pln_fail(p->err, PLN_E_FORMAT, "the pattern is no regular expression: %s",
                    what);
}

static pln_status emit(parser *p, op_code op, uint32_t x, uint32_t y)
{
    pln_regex *re = p->re;
    if (re->n >= MAX_PROGRAM)
        return pln_fail(p->err, PLN_E_LIMIT, "the pattern is too large");
    if (!pln_grow(re->alloc, (void **)&re->prog, &re->cap, re->n + 1, sizeof *re->prog))
        return pln_oom(p->err);
    re->prog[re->n++] = (instr){ .op = (uint8_t)op, .x = x, .y = y };
    return PLN_OK;
}

static pln_status add_range(parser *p, uint32_t lo, uint32_t hi)
{
    pln_regex *re = p->re;
    if (re->n_ranges >= MAX_PROGRAM)
        return pln_fail(p->err, PLN_E_LIMIT, "the pattern is too large");
    if (!pln_grow(re->alloc, (void **)&re->ranges, &re->cap_ranges, re->n_ranges + 1,
                  sizeof *re->ranges))
        return pln_oom(p->err);
    re->ranges[re->n_ranges++] = (range){ lo, hi };
    return PLN_OK;
}

static pln_status add_folded(parser *p, uint32_t lo, uint32_t hi)
{
    PLN_TRY(add_range(p, lo, hi));
    if (!p->fold)
        return PLN_OK;
    const uint32_t ul = lo < 'A' ? 'A' : lo, uh = hi > 'Z' ? 'Z' : hi;
    const uint32_t ll = lo < 'a' ? 'a' : lo, lh = hi > 'z' ? 'z' : hi;
    if (ul <= uh)
        PLN_TRY(add_range(p, ul + 32, uh + 32));
    return ll <= lh ? add_range(p, ll - 32, lh - 32) : PLN_OK;
}

/* The ranges of \d, \s, \w and the named classes; `negate` gives their complement. */
static pln_status add_class(parser *p, const range *r, size_t n, bool negate)
{
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negate)
            PLN_TRY(add_range(p, r[i].lo, r[i].hi));
        else if (r[i].lo > from)
            PLN_TRY(add_range(p, from, r[i].lo - 1));
        from = r[i].hi + 1;
    }
    return negate ? add_range(p, from, LAST_CHAR) : PLN_OK;
}

static const range digits[] = { { '0', '9' } };
static const range spaces[] = { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } };
static const range words[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };

/* \d and its like: true if c names one. */
static bool perl_class(parser *p, uint32_t c, pln_status *st)
{
    const uint32_t lower = c | 32;
    const bool negate = c < 'a';
    if (lower == 'd')
        *st = add_class(p, digits, 1, negate);
    else if (lower == 's')
        *st = add_class(p, spaces, 3, negate);
    else if (lower == 'w')
        *st = add_class(p, words, 4, negate);
    else
        return false;
    return true;
}

static int hex_value(uint32_t c)
{
    if (c >= '0' && c <= '9')
        return (int)(c - '0');
    c |= 32;
    return c >= 'a' && c <= 'f' ? (int)(c - 'a' + 10) : -1;
}

/* After "\x": two digits, or any number of them in braces. */
static pln_status hex_escape(parser *p, uint32_t *c)
{
    const bool braces = p->at < p->end && *p->at == '{';
    uint32_t v = 0;
    int n = 0;
    p->at += braces;
    while (p->at < p->end && (braces || n < 2) && hex_value((unsigned char)*p->at) >= 0) {
        v = v * 16 + (uint32_t)hex_value((unsigned char)*p->at++);
        n++;
        if (v > LAST_CHAR)
            return bad(p, "a character is out of range");
    }
    if (n == 0 || (!braces && n < 2) || (braces && (p->at >= p->end || *p->at++ != '}')))
        return bad(p, "\\x is not followed by hexadecimal digits");
    *c = v;
    return PLN_OK;
}

/* The character that an escape (after the backslash) stands for. */
static pln_status escape_char(parser *p, uint32_t c, uint32_t *out)
{
    static const char names[] = "nrtfva", values[] = "\n\r\t\f\v\a";
    if (c == 'x')
        return hex_escape(p, out);
    const char *at = c < 0x80 && c ? strchr(names, (int)c) : NULL;
    if (at) {
        *out = (unsigned char)values[at - names];
        return PLN_OK;
    }
    if (c >= '0' && c <= '9')
        return pln_fail(p->err, PLN_E_UNSUPPORTED, "back-references in a pattern");
    if (is_word(c) && c != '_')
        return bad(p, "an unknown escape");
    *out = c;
    return PLN_OK;
}

/* [:alpha:] and the like, after "[:". */
static pln_status named_class(parser *p)
{
    static const struct {
        const char *name;
        range r[4];
        size_t n;
    } classes[] = {
        { "alnum", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } }, 3 },
        { "alpha", { { 'A', 'Z' }, { 'a', 'z' } }, 2 },
        { "ascii", { { 0, 0x7f } }, 1 },
        { "blank", { { '\t', '\t' }, { ' ', ' ' } }, 2 },
        { "cntrl", { { 0, 0x1f }, { 0x7f, 0x7f } }, 2 },
        { "digit", { { '0', '9' } }, 1 },
        { "graph", { { '!', '~' } }, 1 },
        { "lower", { { 'a', 'z' } }, 1 },
        { "print", { { ' ', '~' } }, 1 },
        { "punct", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } }, 4 },
        { "space", { { '\t', '\r' }, { ' ', ' ' } }, 2 },
        { "upper", { { 'A', 'Z' } }, 1 },
        { "word", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } }, 4 },
        { "xdigit", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } }, 3 },
    };
    const bool negate = p->at < p->end && *p->at == '^';
    p->at += negate;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const size_t n = strlen(classes[i].name);
        if ((size_t)(p->end - p->at) < n + 2 || memcmp(p->at, classes[i].name, n) ||
            memcmp(p->at + n, ":]", 2))
            continue;
        p->at += n + 2;
        return add_class(p, classes[i].r, classes[i].n, negate);
    }
    return bad(p, "an unknown character class");
}

/* One end of a range in brackets; *class is set when it was a whole class. */
static pln_status bracket_char(parser *p, uint32_t *c, bool *class)
{
    *class = false;
    if (p->at >= p->end)
        return bad(p, "] is missing");
    if (p->end - p->at >= 2 && p->at[0] == '[' && p->at[1] == ':') {
        p->at += 2;
        *class = true;
        return named_class(p);
    }
    *c = next_char(&p->at, p->end);
    if (*c != '\\')
        return PLN_OK;
    if (p->at >= p->end)
        return bad(p, "it ends in a backslash");
    const uint32_t e = next_char(&p->at, p->end);
    pln_status st = PLN_OK;
    if (perl_class(p, e, &st)) {
        *class = true;
        return st;
    }
    return escape_char(p, e, c);
}

static pln_status bracket(parser *p)
{
    const uint32_t first = (uint32_t)p->re->n_ranges;
    const bool negate = p->at < p->end && *p->at == '^';
    p->at += negate;
    for (bool start = true; start || (p->at < p->end && *p->at != ']'); start = false) {
        uint32_t lo = 0, hi = 0;
        bool class = false, other = false;
        PLN_TRY(bracket_char(p, &lo, &class));
        hi = lo;
        if (!class && p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            PLN_TRY(bracket_char(p, &hi, &other));
            if (other || hi < lo)
                return bad(p, "a range of characters is not in order");
        }
        if (!class)
            PLN_TRY(add_folded(p, lo, hi));
    }
    if (p->at >= p->end)
        return bad(p, "] is missing");
    p->at++;
    PLN_TRY(emit(p, OP_SET, first, (uint32_t)p->re->n_ranges - first));
    p->re->prog[p->re->n - 1].negate = negate;
    return PLN_OK;
}

static pln_status literal(parser *p, uint32_t c)
{
    const uint32_t first = (uint32_t)p->re->n_ranges;
    if (!p->fold)
        return emit(p, OP_CHAR, c, 0);
    PLN_TRY(add_folded(p, c, c));
    return emit(p, OP_SET, first, (uint32_t)p->re->n_ranges - first);
}

static pln_status alternatives(parser *p);

/* \Q...\E: everything between is literal. */
static pln_status quoted(parser *p)
{
    while (p->at < p->end) {
        if (p->end - p->at >= 2 && p->at[0] == '\\' && p->at[1] == 'E') {
            p->at += 2;
            return PLN_OK;
        }
        p->quoted_from = p->re->n;
        PLN_TRY(literal(p, next_char(&p->at, p->end)));
    }
    return PLN_OK;
}

static pln_status escape(parser *p)
{
    if (p->at >= p->end)
        return bad(p, "it ends in a backslash");
    const uint32_t c = next_char(&p->at, p->end), first = (uint32_t)p->re->n_ranges;
    pln_status st = PLN_OK;
    if (c == 'Q')
        return quoted(p);
    if (c == 'A')
        return emit(p, OP_BEGIN, 0, 0);
    if (c == 'z')
        return emit(p, OP_END, 0, 0);
    if (c == 'b' || c == 'B')
        return emit(p, c == 'b' ? OP_WORD : OP_NOT_WORD, 0, 0);
    if (perl_class(p, c, &st)) {
        PLN_TRY(st);
        return emit(p, OP_SET, first, (uint32_t)p->re->n_ranges - first);
    }
    uint32_t v = c;
    PLN_TRY(escape_char(p, c, &v));
    return literal(p, v);
}

/* After "(?": flags, names and plain groups. *open: a group begins. */
static pln_status group_head(parser *p, bool *open)
{
    *open = true;
    if (p->end - p->at >= 2 && (p->at[0] == '=' || p->at[0] == '!'))
        return pln_fail(p->err, PLN_E_UNSUPPORTED, "look-around in a pattern");
    if (p->at < p->end && (*p->at == 'P' || *p->at == '<')) {
        const char *close = memchr(p->at, '>', (size_t)(p->end - p->at));
        if (!close || (*p->at == 'P' && (p->end - p->at < 2 || p->at[1] != '<')) ||
            (*p->at == '<' && (p->at[1] == '=' || p->at[1] == '!')))
            return pln_fail(p->err, PLN_E_UNSUPPORTED, "this kind of group in a pattern");
        p->at = close + 1;
        return PLN_OK;
    }
    for (bool on = true; p->at < p->end; p->at++) {
        switch (*p->at) {
        case '-':
            on = false;
            break;
        case 'i':
            p->fold = on;
            break;
        case 's':
            p->dot_all = on;
            break;
        case 'm':
            p->multi = on;
            break;
        case 'U':
            break; /* greed does not matter to a full match */
        case ')':
            *open = false;
            p->at++;
            return PLN_OK;
        case ':':
            p->at++;
            return PLN_OK;
        default:
            return bad(p, "an unknown flag");
        }
    }
    return bad(p, ") is missing");
}

static pln_status group(parser *p)
{
    const parser outer = *p;
    bool open = true;
    if (p->at < p->end && *p->at == '?') {
        p->at++;
        PLN_TRY(group_head(p, &open));
        if (!open)
            return PLN_OK; /* flags for the rest of this group */
    }
    if (++p->depth > MAX_DEPTH)
        return pln_fail(p->err, PLN_E_LIMIT, "the pattern is nested too deep");
    PLN_TRY(alternatives(p));
    if (p->at >= p->end || *p->at != ')')
        return bad(p, ") is missing");
    p->at++;
    p->quoted_from = SIZE_MAX;
    p->depth = outer.depth;
    p->fold = outer.fold;
    p->dot_all = outer.dot_all;
    p->multi = outer.multi;
    return PLN_OK;
}

static pln_status atom(parser *p)
{
    const uint32_t c = next_char(&p->at, p->end), first = (uint32_t)p->re->n_ranges;
    switch (c) {
    case '(':
        return group(p);
    case '[':
        return bracket(p);
    case '\\':
        return escape(p);
    case '^':
        return emit(p, OP_BEGIN, p->multi, 0);
    case '$':
        return emit(p, OP_END, p->multi, 0);
    case '.':
        if (!p->dot_all)
            PLN_TRY(add_range(p, '\n', '\n'));
        PLN_TRY(emit(p, OP_SET, first, (uint32_t)p->re->n_ranges - first));
        p->re->prog[p->re->n - 1].negate = true;
        return PLN_OK;
    case '*':
    case '+':
    case '?':
        return bad(p, "nothing to repeat");
    }
    return literal(p, c);
}

/* "{m}", "{m,}" or "{m,n}" at p->at; false: it is literal text. */
static bool repeat_counts(parser *p, int *lo, int *hi)
{
    const char *s = p->at + 1;
    int v[2] = { 0, -1 };
    bool comma = false;
    const char *digits_from = s;
    for (; s < p->end && *s != '}'; s++) {
        if (*s == ',' && !comma && s > digits_from) {
            comma = true;
            continue;
        }
        if (*s < '0' || *s > '9')
            return false;
        int *to = &v[comma];
        *to = (*to < 0 ? 0 : *to) * 10 + (*s - '0');
        if (*to > MAX_REPEAT)
            *to = MAX_REPEAT + 1;
    }
    if (s >= p->end || s == digits_from)
        return false;
    *lo = v[0];
    *hi = comma ? v[1] : v[0];
    p->at = s + 1;
    return true;
}

/* Appends a copy of instructions [from, to), whose targets lie among them or just behind.
 */
static pln_status copy_code(parser *p, size_t from, size_t to)
{
    const uint32_t shift = (uint32_t)(p->re->n - from);
    for (size_t i = from; i < to; i++) {
        instr c = p->re->prog[i];
        if (c.op == OP_SPLIT || c.op == OP_JUMP) {
            c.x += shift;
            c.y += shift;
        }
        const bool negate = c.negate;
        PLN_TRY(emit(p, (op_code)c.op, c.x, c.y));
        p->re->prog[p->re->n - 1].negate = negate;
    }
    return PLN_OK;
}

/* Makes room for one instruction before `at`. */
static pln_status insert(parser *p, size_t at, op_code op)
{
    pln_regex *re = p->re;
    PLN_TRY(emit(p, op, 0, 0));
    for (size_t i = at; i + 1 < re->n; i++) {
        instr *c = &re->prog[i];
        if (c->op == OP_SPLIT || c->op == OP_JUMP) {
            c->x += c->x >= at;
            c->y += c->y >= at;
        }
    }
    memmove(re->prog + at + 1, re->prog + at, (re->n - 1 - at) * sizeof *re->prog);
    re->prog[at] = (instr){ .op = (uint8_t)op };
    return PLN_OK;
}

/* The piece that begins at `from` any number of times (star), or once or not at all. */
static pln_status optional(parser *p, size_t from, bool star)
{
    PLN_TRY(insert(p, from, OP_SPLIT));
    if (star)
        PLN_TRY(emit(p, OP_JUMP, (uint32_t)from, (uint32_t)from));
    p->re->prog[from].x = (uint32_t)from + 1;
    p->re->prog[from].y = (uint32_t)p->re->n;
    return PLN_OK;
}

static pln_status repeated(parser *p, size_t from, int lo, int hi)
{
    const size_t to = p->re->n, size = to - from;
    if (lo > MAX_REPEAT || hi > MAX_REPEAT || (hi >= 0 && hi < lo))
        return bad(p, "a repeat count is out of range");
    for (int i = 1; i < lo; i++)
        PLN_TRY(copy_code(p, from, to));
    if (hi < 0) {
        size_t last = p->re->n - size;
        if (lo > 0) {
            last = p->re->n;
            PLN_TRY(copy_code(p, from, to));
        }
        return optional(p, last, true);
    }
    if (hi == 0) {
        p->re->n = from;
        return PLN_OK;
    }
    /* x{1,3} is x(x(x)?)?, but one after the other does as well for a full match. */
    for (int i = lo; i < hi; i++) {
        size_t piece = from;
        if (i > 0) {
            piece = p->re->n;
            PLN_TRY(copy_code(p, from, to));
        }
        if (i > 0 || lo > 0)
            PLN_TRY(optional(p, piece, false));
    }
    return lo == 0 ? optional(p, from, false) : PLN_OK;
}

static pln_status piece(parser *p)
{
    size_t from = p->re->n;
    p->quoted_from = SIZE_MAX;
    PLN_TRY(atom(p));
    if (p->quoted_from != SIZE_MAX)
        from = p->quoted_from;
    while (p->at < p->end) {
        int lo = 0, hi = -1;
        if (*p->at == '*' || *p->at == '+' || *p->at == '?') {
            lo = *p->at == '+';
            hi = *p->at == '?' ? 1 : -1;
            p->at++;
        } else if (*p->at != '{' || !repeat_counts(p, &lo, &hi)) {
            return PLN_OK;
        }
        if (p->at < p->end && *p->at == '?')
            p->at++; /* lazy: the same for a full match */
        PLN_TRY(repeated(p, from, lo, hi));
    }
    return PLN_OK;
}

static pln_status alternatives(parser *p)
{
    const size_t from = p->re->n;
    size_t start = from;
    for (;;) {
        while (p->at < p->end && *p->at != '|' && *p->at != ')')
            PLN_TRY(piece(p));
        if (p->at >= p->end || *p->at != '|')
            break;
        p->at++;
        /* split to this alternative or the next; at its end a jump to where all meet,
         * which is found when the last one is known: jumps hold 0 until then */
        PLN_TRY(insert(p, start, OP_SPLIT));
        PLN_TRY(emit(p, OP_JUMP, UINT32_MAX, UINT32_MAX));
        p->re->prog[start].x = (uint32_t)start + 1;
        p->re->prog[start].y = (uint32_t)p->re->n;
        start = p->re->n;
    }
    for (size_t i = from; i < p->re->n; i++)
        if (p->re->prog[i].op == OP_JUMP && p->re->prog[i].x == UINT32_MAX)
            p->re->prog[i].x = p->re->prog[i].y = (uint32_t)p->re->n;
    return PLN_OK;
}

pln_status pln_regex_new(const pln_allocator *a, const char *pattern, size_t len,
                         pln_regex **out, pln_error *err)
{
    *out = NULL;
    pln_regex *re = pln_calloc(a, 1, sizeof *re);
    if (!re)
        return pln_oom(err);
    re->alloc = a;
    parser p = { .re = re, .at = pattern, .end = pattern + len, .err = err };
    pln_status st = alternatives(&p);
    if (st == PLN_OK && p.at < p.end)
        st = bad(&p, ") without (");
    if (st == PLN_OK)
        st = emit(&p, OP_MATCH, 0, 0);
    if (st == PLN_OK) {
        re->now = pln_calloc(a, re->n + 1, sizeof *re->now);
        re->next = pln_calloc(a, re->n + 1, sizeof *re->next);
        re->stack = pln_calloc(a, 2 * re->n + 2, sizeof *re->stack);
        re->mark = pln_calloc(a, re->n + 1, sizeof *re->mark);
        if (!re->now || !re->next || !re->stack || !re->mark)
            st = pln_oom(err);
    }
    if (st != PLN_OK)
        pln_regex_free(re);
    else
        *out = re;
    return st;
}

void pln_regex_free(pln_regex *re)
{
    if (!re)
        return;
    const pln_allocator *a = re->alloc;
    pln_release(a, re->prog);
    pln_release(a, re->ranges);
    pln_release(a, re->now);
    pln_release(a, re->next);
    pln_release(a, re->stack);
    pln_release(a, re->mark);
    pln_release(a, re);
}

/* ---- matching -------------------------------------------------------------------- */

typedef struct place {
    bool first, last;       /* of the text */
    uint32_t before, after; /* characters around; LAST_CHAR + 1: none */
} place;

static bool holds(const instr *c, const place *at)
{
    const bool word = is_word(at->before) != is_word(at->after);
    switch ((op_code)c->op) {
    case OP_BEGIN:
        return at->first || (c->x && at->before == '\n');
    case OP_END:
        return at->last || (c->x && at->after == '\n');
    case OP_WORD:
        return word;
    case OP_NOT_WORD:
        return !word;
    default:
        return false;
    }
}

/* Adds a state and those that follow it without a character. */
static void add_state(pln_regex *re, uint32_t *set, size_t *n, uint32_t state,
                      uint32_t step, const place *at)
{
    size_t top = 0;
    re->stack[top++] = state;
    while (top > 0) {
        const uint32_t s = re->stack[--top];
        if (re->mark[s] == step)
            continue;
        re->mark[s] = step;
        const instr *c = &re->prog[s];
        if (c->op == OP_JUMP) {
            re->stack[top++] = c->x;
        } else if (c->op == OP_SPLIT) {
            re->stack[top++] = c->y;
            re->stack[top++] = c->x;
        } else if (c->op == OP_CHAR || c->op == OP_SET || c->op == OP_MATCH) {
            set[(*n)++] = s;
        } else if (holds(c, at)) {
            re->stack[top++] = s + 1;
        }
    }
}

static bool takes(const pln_regex *re, const instr *c, uint32_t ch)
{
    if (c->op == OP_CHAR)
        return c->x == ch;
    if (c->op != OP_SET)
        return false;
    for (uint32_t i = 0; i < c->y; i++)
        if (ch >= re->ranges[c->x + i].lo && ch <= re->ranges[c->x + i].hi)
            return !c->negate;
    return c->negate;
}

bool pln_regex_full_match(pln_regex *re, const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    const uint32_t none = LAST_CHAR + 1;
    place where = { .first = true, .last = len == 0, .before = none, .after = none };
    size_t n = 0;
    uint32_t step = 1;
    memset(re->mark, 0, re->n * sizeof *re->mark);
    const char *peek = at;
    if (len > 0)
        where.after = next_char(&peek, end);
    add_state(re, re->now, &n, 0, step, &where);
    while (at < end && n > 0) {
        const uint32_t ch = next_char(&at, end);
        size_t m = 0;
        step++;
        peek = at;
        where = (place){ .last = at == end,
                         .before = ch,
                         .after = at < end ? next_char(&peek, end) : none };
        for (size_t i = 0; i < n; i++)
            if (takes(re, &re->prog[re->now[i]], ch))
                add_state(re, re->next, &m, re->now[i] + 1, step, &where);
        uint32_t *swap = re->now;
        re->now = re->next;
        re->next = swap;
        n = m;
    }
    for (size_t i = 0; at == end && i < n; i++)
        if (re->prog[re->now[i]].op == OP_MATCH)
            return true;
    return false;
}
