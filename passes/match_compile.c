/* Patterns: from text to a table of nodes. The language is described in match.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/match.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATS 64
#define WORD     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

typedef struct parser {
    const char *text, *at;
    pln_names *names;
    pln_arena *arena;
    pln_pattern *out;
    const char **what; /* of a mistake; NULL: a message is wanted */
    pln_error *err;
} parser;

static pln_status fail(parser *p, const char *what)
{
    if (p->what) {
        *p->what = what;
        return pln_fail(p->err, PLN_E_FORMAT, "%s", what);
    }
    return pln_fail(p->err, PLN_E_FORMAT, "pattern '%s': %s at column %d", p->text, what,
                    (int)(p->at - p->text) + 1);
}

static void skip_blanks(parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static bool accept(parser *p, char c)
{
    skip_blanks(p);
    if (*p->at != c)
        return false;
    p->at++;
    return true;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The length of the word at the cursor; 0: none. */
static size_t peek_word(parser *p)
{
    skip_blanks(p);
    if (!isalpha((unsigned char)*p->at) && *p->at != '_')
        return 0;
    size_t n = 1;
    while (is_word(p->at[n]))
        n++;
    return n;
}

static pln_status new_pat(parser *p, pln_pat_kind kind, int *out)
{
    if (p->out->n == MAX_PATS)
        return fail(p, "too many parts");
    pln_pat *pat = &p->out->pat[p->out->n];
    memset(pat, 0, sizeof *pat);
    pat->kind = (uint8_t)kind;
    pat->bind = -1;
    *out = p->out->n++;
    return PLN_OK;
}

static pln_status bind_name(parser *p, int pat, const char *word, size_t len)
{
    pln_pattern *o = p->out;
    for (int i = 0; i < o->n_names; i++) {
        if (strlen(o->name[i]) == len && !memcmp(o->name[i], word, len)) {
            o->pat[pat].bind = (int8_t)i;
            return PLN_OK;
        }
    }
    if (o->n_names == PLN_MATCH_MAX)
        return fail(p, "too many names");
    const char *name = pln_arena_str(p->arena, word, len);
    if (!name)
        return pln_oom(p->err);
    o->pat[pat].bind = (int8_t)o->n_names;
    o->name[o->n_names++] = name;
    return PLN_OK;
}

static pln_status parse_ints(parser *p, pln_pat_attr *a)
{
    a->type = PLN_ATTR_INTS;
    while (!accept(p, ']')) {
        if (a->n == PLN_PAT_INTS)
            return fail(p, "list too long");
        char *end;
        a->i[a->n] = strtoll(p->at, &end, 10);
        if (end == p->at)
            return fail(p, "number expected");
        a->n++;
        p->at = end;
        accept(p, ',');
    }
    return PLN_OK;
}

static pln_status parse_number(parser *p, pln_pat_attr *a)
{
    char *end;
    a->f = strtod(p->at, &end);
    if (end == p->at)
        return fail(p, "value expected");
    const bool is_float = memchr(p->at, '.', (size_t)(end - p->at)) ||
                          memchr(p->at, 'e', (size_t)(end - p->at));
    a->type = is_float ? PLN_ATTR_FLOAT : PLN_ATTR_INT;
    a->i[0] = is_float ? 0 : strtoll(p->at, NULL, 10);
    p->at = end;
    return PLN_OK;
}

static pln_status parse_attr(parser *p, pln_pat_attr *a)
{
    const size_t len = peek_word(p);
    if (!len)
        return fail(p, "attribute name expected");
    a->name = pln_arena_str(p->arena, p->at, len);
    p->at += len;
    if (!a->name)
        return pln_oom(p->err);
    if (!accept(p, '='))
        return fail(p, "'=' expected");
    if (accept(p, '['))
        return parse_ints(p, a);
    if (!accept(p, '"'))
        return parse_number(p, a);
    const char *end = strchr(p->at, '"');
    if (!end)
        return fail(p, "unclosed text");
    a->type = PLN_ATTR_STRING;
    a->s = pln_arena_str(p->arena, p->at, (size_t)(end - p->at));
    p->at = end + 1;
    return a->s ? PLN_OK : pln_oom(p->err);
}

static pln_status parse_attrs(parser *p, int pat)
{
    while (!accept(p, '>')) {
        pln_pat *o = &p->out->pat[pat];
        if (o->n_attrs == PLN_PAT_ATTRS)
            return fail(p, "too many attributes");
        PLN_TRY(parse_attr(p, &o->attr[o->n_attrs++]));
        accept(p, ',');
    }
    return PLN_OK;
}

/* One operator name at the cursor, with its domain. */
static pln_status parse_op(parser *p, pln_pat *o)
{
    size_t len = peek_word(p);
    if (!len)
        return fail(p, "operator expected");
    const char *domain = "";
    const char *word = p->at;
    for (const char *start = word; word[len] == '.' && is_word(word[len + 1]);) {
        domain = pln_arena_str(p->arena, start, (size_t)(word - start) + len);
        p->at += len + 1;
        len = peek_word(p);
        word = p->at;
        if (!len)
            return fail(p, "operator expected");
    }
    if (o->n_ops == PLN_PAT_OPS)
        return fail(p, "too many alternatives");
    p->at += len;
    o->op[o->n_ops] = pln_name_intern(p->names, word, len);
    o->domain[o->n_ops] = domain ? pln_name_cstr(p->names, domain) : NULL;
    if (!o->op[o->n_ops] || !o->domain[o->n_ops])
        return pln_oom(p->err);
    o->n_ops++;
    return PLN_OK;
}

static pln_status parse_pattern(parser *p, int *out, int depth);

static pln_status parse_args(parser *p, int pat, int depth)
{
    if (!accept(p, '('))
        return fail(p, "'(' expected");
    while (!accept(p, ')')) {
        skip_blanks(p);
        if (!strncmp(p->at, "...", 3)) {
            p->at += 3;
            p->out->pat[pat].flags |= PLN_PAT_REST;
            if (!accept(p, ')'))
                return fail(p, "')' expected after ...");
            break;
        }
        int arg;
        PLN_TRY(parse_pattern(p, &arg, depth + 1));
        pln_pat *o = &p->out->pat[pat];
        if (o->n_args == PLN_PAT_ARGS)
            return fail(p, "too many inputs");
        o->arg[o->n_args++] = (int8_t)arg;
        accept(p, ',');
        if (!*p->at)
            return fail(p, "')' expected");
    }
    const pln_pat *o = &p->out->pat[pat];
    if ((o->flags & PLN_PAT_COMMUTE) && o->n_args < 2)
        return fail(p, "'~' wants two inputs");
    if ((o->flags & (PLN_PAT_OPTIONAL | PLN_PAT_REPEAT)) && !o->n_args)
        return fail(p, "'?' and '*' want an input");
    return PLN_OK;
}

static pln_status parse_op_pattern(parser *p, int *out, int depth)
{
    PLN_TRY(new_pat(p, PLN_PAT_OP, out));
    do
        PLN_TRY(parse_op(p, &p->out->pat[*out]));
    while (accept(p, '|'));
    for (;;) {
        pln_pat *o = &p->out->pat[*out];
        if (accept(p, '~'))
            o->flags |= PLN_PAT_COMMUTE;
        else if (accept(p, '!'))
            o->flags |= PLN_PAT_SINGLE;
        else if (accept(p, '?'))
            o->flags |= PLN_PAT_OPTIONAL;
        else if (accept(p, '*'))
            o->flags |= PLN_PAT_REPEAT;
        else if (accept(p, '<'))
            PLN_TRY(parse_attrs(p, *out));
        else
            break;
    }
    return parse_args(p, *out, depth);
}

static pln_status parse_variable(parser *p, size_t len, int *out)
{
    PLN_TRY(new_pat(p, PLN_PAT_ANY, out));
    if (len != 1 || *p->at != '_')
        PLN_TRY(bind_name(p, *out, p->at, len));
    p->at += len;
    for (;;) {
        if (accept(p, '#'))
            p->out->pat[*out].flags |= PLN_PAT_CONST;
        else if (accept(p, '?'))
            p->out->pat[*out].flags |= PLN_PAT_OPTIONAL;
        else if (accept(p, '!'))
            p->out->pat[*out].flags |= PLN_PAT_SINGLE;
        else
            return PLN_OK;
    }
}

static pln_status parse_literal(parser *p, int *out)
{
    char *end;
    const double v = strtod(p->at, &end);
    if (end == p->at)
        return fail(p, "operator, name or number expected");
    p->at = end;
    PLN_TRY(new_pat(p, PLN_PAT_NUMBER, out));
    p->out->pat[*out].number = v;
    return PLN_OK;
}

static pln_status parse_pattern(parser *p, int *out, int depth)
{
    if (depth > 24)
        return fail(p, "nested too deeply");
    const size_t len = peek_word(p);
    if (!len)
        return parse_literal(p, out);
    const char *word = p->at;
    const char *after = word + len;
    while (isspace((unsigned char)*after))
        after++;
    if (*after == '=') {
        p->at = after + 1;
        PLN_TRY(parse_pattern(p, out, depth + 1));
        if (p->out->pat[*out].bind >= 0)
            return fail(p, "bound twice");
        return bind_name(p, *out, word, len);
    }
    const bool is_op = isupper((unsigned char)*word) || *after == '.';
    return is_op ? parse_op_pattern(p, out, depth) : parse_variable(p, len, out);
}

int pln_pattern_roots(const char *text, pln_names *names, const char **ops)
{
    int n = 0;
    for (const char *at = text; n < PLN_PAT_OPS; at++) {
        at += strspn(at, " \n\t");
        const size_t len = strspn(at, WORD ".");
        const char *after = at + len + strspn(at + len, " \n\t");
        if (*after == '=' && !n) { /* a name that binds the root */
            at = after;
            continue;
        }
        const char *word = at + len;
        while (word > at && word[-1] != '.')
            word--;
        ops[n] = pln_name_intern(names, word, (size_t)(at + len - word));
        if (!len || !ops[n++])
            return 0;
        if (*after != '|')
            break;
        at = after;
    }
    return n;
}

pln_status pln_pattern_compile(const char *text, pln_names *names, pln_arena *arena,
                               pln_pattern *out, pln_error *err)
{
    return pln_pattern_read(text, names, arena, out, NULL, NULL, err);
}

static pln_status parse_all(parser *p)
{
    PLN_TRY(parse_pattern(p, &p->out->root, 0));
    skip_blanks(p);
    if (*p->at)
        return fail(p, "end expected");
    if (p->out->pat[p->out->root].kind != PLN_PAT_OP)
        return fail(p, "the root must be an operator");
    return PLN_OK;
}

pln_status pln_pattern_read(const char *text, pln_names *names, pln_arena *arena,
                            pln_pattern *out, const char **at, const char **what,
                            pln_error *err)
{
    pln_pat pats[MAX_PATS];
    *out = (pln_pattern){ .pat = pats };
    parser p = { text, text, names, arena, out, what, err };
    const pln_status st = parse_all(&p);
    if (at)
        *at = p.at;
    if (st != PLN_OK)
        return st;
    out->pat = pln_arena_dup(arena, pats, (size_t)out->n * sizeof *pats);
    return out->pat ? PLN_OK : pln_oom(err);
}
