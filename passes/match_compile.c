/* Patterns: from text to a table of nodes. The language is described in match.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/match.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATS  127 /* their numbers are int8_t */
#define MAX_PARTS 16
#define MAX_DEPTH 24
#define WORD      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

typedef struct parser {
    const char *text, *at;
    pln_names *names;
    pln_arena *arena;
    pln_pattern *out;
    const char *part[MAX_PARTS]; /* names of parts, and what they are */
    size_t part_len[MAX_PARTS];
    int part_pat[MAX_PARTS], n_parts;
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
    pln_pat *o = &p->out->pat[pat];
    pln_pat_attr *attr = PLN_NEW_ARRAY(p->arena, pln_pat_attr, PLN_PAT_ATTRS);
    if (!attr)
        return pln_oom(p->err);
    o->attr = attr;
    while (!accept(p, '>')) {
        if (o->n_attrs == PLN_PAT_ATTRS)
            return fail(p, "too many attributes");
        PLN_TRY(parse_attr(p, &attr[o->n_attrs++]));
        accept(p, ',');
    }
    return PLN_OK;
}

/* One operator name at the cursor, with its domain. */
static pln_status parse_op(parser *p, pln_pat_name *o)
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
    p->at += len;
    o->type = pln_name_intern(p->names, word, len);
    o->domain = domain ? pln_name_cstr(p->names, domain) : NULL;
    return o->type && o->domain ? PLN_OK : pln_oom(p->err);
}

static pln_status parse_ops(parser *p, pln_pat *o)
{
    pln_pat_name op[PLN_PAT_OPS];
    do {
        if (o->n_ops == PLN_PAT_OPS)
            return fail(p, "too many alternatives");
        PLN_TRY(parse_op(p, &op[o->n_ops++]));
    } while (accept(p, '|'));
    o->op = pln_arena_dup(p->arena, op, o->n_ops * sizeof *op);
    return o->op ? PLN_OK : pln_oom(p->err);
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
    PLN_TRY(parse_ops(p, &p->out->pat[*out]));
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

/* What stands behind '{'. */
static pln_status parse_either(parser *p, int *out, int depth)
{
    PLN_TRY(new_pat(p, PLN_PAT_EITHER, out));
    do {
        int arg;
        PLN_TRY(parse_pattern(p, &arg, depth + 1));
        pln_pat *o = &p->out->pat[*out];
        if (o->n_args == PLN_PAT_ARGS)
            return fail(p, "too many alternatives");
        o->arg[o->n_args++] = (int8_t)arg;
    } while (accept(p, '|'));
    return accept(p, '}') ? PLN_OK : fail(p, "'|' or '}' expected");
}

/* What stands behind '$', where it is no definition. */
static pln_status parse_part(parser *p, int *out)
{
    const size_t len = peek_word(p);
    for (int i = 0; i < p->n_parts; i++)
        if (len == p->part_len[i] && !memcmp(p->at, p->part[i], len)) {
            p->at += len;
            *out = p->part_pat[i];
            return PLN_OK;
        }
    return fail(p, "no part has this name");
}

static pln_status parse_pattern(parser *p, int *out, int depth)
{
    if (depth > MAX_DEPTH)
        return fail(p, "nested too deeply");
    if (accept(p, '{'))
        return parse_either(p, out, depth);
    if (accept(p, '$'))
        return parse_part(p, out);
    const size_t len = peek_word(p);
    if (!len)
        return parse_literal(p, out);
    const char *word = p->at;
    const char *after = word + len;
    while (isspace((unsigned char)*after))
        after++;
    if (*after == '=') {
        p->at = after + 1;
        if (accept(p, '$'))
            return fail(p, "a part can't be bound");
        PLN_TRY(parse_pattern(p, out, depth + 1));
        if (p->out->pat[*out].bind >= 0)
            return fail(p, "bound twice");
        return bind_name(p, *out, word, len);
    }
    const bool is_op = isupper((unsigned char)*word) || *after == '.';
    return is_op ? parse_op_pattern(p, out, depth) : parse_variable(p, len, out);
}

/* ---- roots, from the text alone -------------------------------------------------- */

typedef struct roots {
    const char *text;
    pln_names *names;
    const char **op;
    int n;
} roots;

static const char *skip_white(const char *at)
{
    return at + strspn(at, " \n\t");
}

/* Behind the pattern at the cursor: at the '|', '}' or ';' that ends it. */
static const char *skip_pattern(const char *at)
{
    int depth = 0;
    bool whole = false; /* A|B(..) goes on behind a '|' */
    for (; *at; at++) {
        if (!depth && (strchr("};", *at) || (*at == '|' && whole)))
            return at;
        if (*at == '"') {
            at += strcspn(at + 1, "\"") + 1;
            if (!*at)
                break;
        }
        depth += (*at == '(' || *at == '{') - (*at == ')' || *at == '}');
        whole |= !depth && strchr("$)}", *at);
    }
    return at;
}

static const char *find_part(const roots *r, const char *name, size_t len)
{
    const char *at = skip_white(r->text);
    for (; *at == '$'; at = skip_white(at + 1)) {
        const size_t n = strspn(at + 1, WORD);
        const char *is = skip_white(at + 1 + n);
        if (n == len && !memcmp(at + 1, name, n) && *is == '=')
            return is + 1;
        at = skip_pattern(is);
        if (!*at)
            break;
    }
    return NULL;
}

static bool add_roots(roots *r, const char *at, int depth);

static bool add_either(roots *r, const char *at, int depth)
{
    do {
        if (!add_roots(r, at + 1, depth + 1))
            return false;
        at = skip_pattern(at + 1);
    } while (*at == '|');
    return true;
}

static bool add_op(roots *r, const char *at, size_t len)
{
    const char *word = at + len;
    while (word > at && word[-1] != '.')
        word--;
    const char *op =
        len ? pln_name_intern(r->names, word, (size_t)(at + len - word)) : NULL;
    for (int i = 0; op && i < r->n; i++)
        if (r->op[i] == op)
            return true;
    if (!op || r->n == PLN_PAT_OPS)
        return false;
    r->op[r->n++] = op;
    return true;
}

static bool add_roots(roots *r, const char *at, int depth)
{
    at = skip_white(at);
    if (depth > MAX_DEPTH)
        return false;
    if (*at == '{')
        return add_either(r, at, depth);
    if (*at == '$') {
        const char *part = find_part(r, at + 1, strspn(at + 1, WORD));
        return part && add_roots(r, part, depth + 1);
    }
    for (;;) {
        const size_t len = strspn(at, WORD ".");
        const char *after = skip_white(at + len);
        if (*after == '=') /* a name that binds the root */
            return add_roots(r, after + 1, depth + 1);
        if (!add_op(r, at, len))
            return false;
        if (*after != '|')
            return true;
        at = skip_white(after + 1);
    }
}

int pln_pattern_roots(const char *text, pln_names *names, const char **ops)
{
    roots r = { text, names, ops, 0 };
    const char *at = skip_white(text);
    while (*at == '$') { /* definitions */
        const char *end = skip_pattern(at);
        if (*end != ';')
            break;
        at = skip_white(end + 1);
    }
    return add_roots(&r, at, 0) ? r.n : 0;
}

int pln_pattern_ops(const pln_pattern *p, int pat)
{
    const pln_pat *o = &p->pat[pat];
    int n = o->kind == PLN_PAT_OP;
    for (int i = 0; i < o->n_args; i++) {
        const int below = pln_pattern_ops(p, o->arg[i]);
        n = o->kind == PLN_PAT_OP ? n + below : below > n ? below : n;
    }
    return n;
}

/* ---- all of it ------------------------------------------------------------------- */

pln_status pln_pattern_compile(const char *text, pln_names *names, pln_arena *arena,
                               pln_pattern *out, pln_error *err)
{
    return pln_pattern_read(text, names, arena, out, NULL, NULL, err);
}

/* "$name = pattern;": false where none begins here. */
static bool begins_part(parser *p)
{
    skip_blanks(p);
    const size_t len = *p->at == '$' ? strspn(p->at + 1, WORD) : 0;
    return len && *skip_white(p->at + 1 + len) == '=';
}

static pln_status parse_definition(parser *p)
{
    int pat;
    p->at++;
    const char *name = p->at;
    const size_t len = peek_word(p);
    if (!len)
        return fail(p, "a name is expected");
    if (p->n_parts == MAX_PARTS)
        return fail(p, "too many parts with names");
    p->at += len;
    accept(p, '=');
    PLN_TRY(parse_pattern(p, &pat, 0));
    if (!accept(p, ';'))
        return fail(p, "';' expected");
    p->part[p->n_parts] = name;
    p->part_len[p->n_parts] = len;
    p->part_pat[p->n_parts++] = pat;
    return PLN_OK;
}

static bool is_operator(const pln_pattern *o, int pat)
{
    const pln_pat *p = &o->pat[pat];
    if (p->kind != PLN_PAT_EITHER)
        return p->kind == PLN_PAT_OP;
    for (int i = 0; i < p->n_args; i++)
        if (!is_operator(o, p->arg[i]))
            return false;
    return true;
}

static pln_status parse_all(parser *p)
{
    while (begins_part(p))
        PLN_TRY(parse_definition(p));
    PLN_TRY(parse_pattern(p, &p->out->root, 0));
    skip_blanks(p);
    if (*p->at)
        return fail(p, *p->at == '('
                           ? "inputs of what is no operator: those begin with a capital"
                           : "the end of the pattern is expected");
    if (!is_operator(p->out, p->out->root))
        return fail(p, "the root must be an operator");
    return PLN_OK;
}

pln_status pln_pattern_read(const char *text, pln_names *names, pln_arena *arena,
                            pln_pattern *out, const char **at, const char **what,
                            pln_error *err)
{
    pln_pat pats[MAX_PATS];
    *out = (pln_pattern){ .pat = pats };
    parser p = { .text = text, .at = text, .names = names, .arena = arena, .out = out,
                 .what = what, .err = err };
    const pln_status st = parse_all(&p);
    if (at)
        *at = p.at;
    if (st != PLN_OK)
        return st;
    out->pat = pln_arena_dup(arena, pats, (size_t)out->n * sizeof *pats);
    return out->pat ? PLN_OK : pln_oom(err);
}
