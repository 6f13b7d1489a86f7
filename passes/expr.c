/* Expressions in rules: reading them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expr_impl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 40

bool pln_scan_fail(pln_scan *s, const char *what)
{
    if (!s->what)
        s->what = what;
    return false;
}

static pln_ex *fail(pln_scan *s, const char *what)
{
    pln_scan_fail(s, what);
    return NULL;
}

void pln_scan_blanks(pln_scan *s)
{
    while (isspace((unsigned char)*s->at))
        s->at++;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

bool pln_scan_accept(pln_scan *s, const char *token)
{
    const size_t n = strlen(token);
    pln_scan_blanks(s);
    if (strncmp(s->at, token, n) || (is_word(token[0]) && is_word(s->at[n])))
        return false;
    s->at += n;
    return true;
}

size_t pln_scan_word(pln_scan *s)
{
    pln_scan_blanks(s);
    if (!isalpha((unsigned char)*s->at) && *s->at != '_')
        return 0;
    size_t n = 1;
    while (is_word(s->at[n]))
        n++;
    return n;
}

int pln_scan_find(const pln_scan *s, const char *name, size_t len)
{
    for (int i = 0; i < s->pattern->n_names; i++)
        if (strlen(s->pattern->name[i]) == len && !memcmp(s->pattern->name[i], name, len))
            return i;
    return -1;
}

static pln_ex *new_ex(pln_scan *s, pln_ex_op op)
{
    pln_ex *e = PLN_NEW(s->arena, pln_ex);
    if (!e)
        return fail(s, "out of memory");
    e->op = op;
    e->text = s->at;
    return e;
}

static pln_ex *parse_or(pln_scan *s, int depth);
static pln_ex *parse_sum(pln_scan *s, int depth);

static pln_ex *parse_number(pln_scan *s)
{
    char *end;
    const double f = strtod(s->at, &end);
    pln_ex *e = new_ex(s, EX_NUMBER);
    if (end == s->at)
        return fail(s, "a value is expected");
    if (!e)
        return NULL;
    e->value = (pln_ex_value){ .kind = PLN_EX_FLOAT, .f = f };
    if (!memchr(s->at, '.', (size_t)(end - s->at)) &&
        !memchr(s->at, 'e', (size_t)(end - s->at)) && isdigit((unsigned char)end[-1]))
        e->value = (pln_ex_value){ .kind = PLN_EX_INT,
                                   .i = pln_dim_of(strtoll(s->at, NULL, 10)) };
    s->at = end;
    return e;
}

static pln_ex *parse_string(pln_scan *s)
{
    pln_ex *e = new_ex(s, EX_NUMBER);
    const char *end = strchr(s->at, '"');
    if (!end)
        return fail(s, "the text has no end");
    const size_t n = (size_t)(end - s->at);
    char *text = e ? pln_arena_str(s->arena, s->at, n) : NULL;
    if (!text)
        return fail(s, "out of memory");
    e->value = (pln_ex_value){ .kind = PLN_EX_STRING, .s = text, .s_len = n };
    s->at = end + 1;
    return e;
}

static pln_ex *parse_list(pln_scan *s, int depth)
{
    pln_ex *e = new_ex(s, EX_LIST), **next = e ? &e->a : NULL;
    while (e && !pln_scan_accept(s, "]")) {
        pln_ex *item = new_ex(s, EX_LIST);
        if (!item || !(item->b = parse_sum(s, depth + 1)))
            return NULL;
        *next = item;
        next = &item->a;
        if (!pln_scan_accept(s, ",") && *s->at != ']')
            return fail(s, "',' or ']' is expected");
    }
    return e;
}

static const struct {
    const char *name;
    pln_ex_op op;
    int n_args; /* behind the first, which is a name; -1: that is a name, too */
} functions[] = {
    { "rank", EX_RANK, 0 },     { "dim", EX_DIM, 1 },       { "size", EX_SIZE, 0 },
    { "uses", EX_USES, 0 },     { "value", EX_VALUE, 0 },   { "type", EX_TYPE, 0 },
    { "const", EX_CONST, 0 },   { "has", EX_HAS, 0 },       { "static", EX_STATIC, 0 },
    { "output", EX_OUTPUT, 0 }, { "same", EX_SAME, -1 },    { "fits", EX_FITS, -1 },
    { "element", EX_ELEMENT, 1 },
};

static bool parse_name(pln_scan *s, int *out)
{
    const size_t len = pln_scan_word(s);
    *out = len ? pln_scan_find(s, s->at, len) : -1;
    if (*out < 0)
        return pln_scan_fail(s, "a name of the pattern is expected");
    s->at += len;
    return true;
}

static pln_ex *parse_call(pln_scan *s, size_t k, int depth)
{
    pln_ex *e = new_ex(s, functions[k].op);
    if (!e || !pln_scan_accept(s, "("))
        return e ? fail(s, "'(' is expected") : NULL;
    if (!parse_name(s, &e->name))
        return NULL;
    if (functions[k].n_args && !pln_scan_accept(s, ","))
        return fail(s, "',' is expected");
    if (functions[k].n_args < 0 && !parse_name(s, &e->other))
        return NULL;
    if (functions[k].n_args > 0 && !(e->a = parse_sum(s, depth + 1)))
        return NULL;
    return pln_scan_accept(s, ")") ? e : fail(s, "')' is expected");
}

/* name.attribute */
static pln_ex *parse_attr(pln_scan *s, size_t len)
{
    pln_ex *e = new_ex(s, EX_ATTR);
    const int name = pln_scan_find(s, s->at, len);
    if (name < 0)
        return fail(s, "neither a name of the pattern nor a function");
    if (!e || s->at[len] != '.')
        return e ? fail(s, "'.' and an attribute are expected, or a function") : NULL;
    s->at += len + 1;
    const size_t n = pln_scan_word(s);
    if (!n)
        return fail(s, "an attribute is expected");
    e->name = name;
    e->attr = pln_arena_str(s->arena, s->at, n);
    s->at += n;
    return e->attr ? e : fail(s, "out of memory");
}

static pln_ex *parse_atom(pln_scan *s, int depth)
{
    if (depth > MAX_DEPTH)
        return fail(s, "nested too deeply");
    if (pln_scan_accept(s, "(")) {
        pln_ex *e = parse_or(s, depth + 1);
        if (e && !pln_scan_accept(s, ")"))
            return fail(s, "')' is expected");
        return e;
    }
    if (pln_scan_accept(s, "["))
        return parse_list(s, depth);
    if (pln_scan_accept(s, "\""))
        return parse_string(s);
    const size_t len = pln_scan_word(s);
    if (!len)
        return parse_number(s);
    for (size_t k = 0; k < sizeof functions / sizeof functions[0]; k++)
        if (strlen(functions[k].name) == len && !memcmp(s->at, functions[k].name, len) &&
            s->at[len] == '(') {
            const char *start = s->at;
            s->at += len;
            pln_ex *e = parse_call(s, k, depth);
            if (e)
                e->text = start;
            return e;
        }
    return parse_attr(s, len);
}

typedef struct operators {
    const char *token;
    pln_ex_op op;
} operators;

/* One level of binary operators, which bind to the left. */
static pln_ex *parse_level(pln_scan *s, int depth, const operators *ops,
                           pln_ex *(*inner)(pln_scan *s, int depth), bool again)
{
    pln_ex *e = inner(s, depth + 1);
    for (const operators *o = ops; e && o->token; o++) {
        if (!pln_scan_accept(s, o->token))
            continue;
        pln_ex *both = new_ex(s, o->op);
        if (!both)
            return NULL;
        both->text = e->text;
        both->a = e;
        both->b = inner(s, depth + 1);
        e = both->b ? both : NULL;
        if (!again)
            return e;
        o = ops - 1;
    }
    return e;
}

static pln_ex *parse_product(pln_scan *s, int depth)
{
    static const operators ops[] = { { "*", EX_MUL }, { "/", EX_DIV }, { NULL, 0 } };
    return parse_level(s, depth, ops, parse_atom, true);
}

static pln_ex *parse_sum(pln_scan *s, int depth)
{
    static const operators ops[] = { { "+", EX_ADD }, { "-", EX_SUB }, { NULL, 0 } };
    return parse_level(s, depth, ops, parse_product, true);
}

static pln_ex *parse_comparison(pln_scan *s, int depth)
{
    static const operators ops[] = { { "==", EX_EQ }, { "!=", EX_NE }, { "<=", EX_LE },
                                     { ">=", EX_GE }, { "<", EX_LT },  { ">", EX_GT },
                                     { NULL, 0 } };
    if (pln_scan_accept(s, "not")) {
        pln_ex *e = new_ex(s, EX_NOT);
        return e && (e->a = parse_comparison(s, depth + 1)) ? e : NULL;
    }
    return parse_level(s, depth, ops, parse_sum, false);
}

static pln_ex *parse_and(pln_scan *s, int depth)
{
    static const operators ops[] = { { "and", EX_AND }, { ",", EX_AND }, { NULL, 0 } };
    return parse_level(s, depth, ops, parse_comparison, true);
}

static pln_ex *parse_or(pln_scan *s, int depth)
{
    static const operators ops[] = { { "or", EX_OR }, { NULL, 0 } };
    return parse_level(s, depth, ops, parse_and, true);
}

pln_ex *pln_ex_parse(pln_scan *s)
{
    pln_scan_blanks(s);
    return parse_sum(s, 0);
}

pln_ex *pln_ex_parse_condition(pln_scan *s)
{
    pln_ex *e = parse_or(s, 0);
    pln_scan_blanks(s);
    return e && *s->at ? fail(s, "the end of the rule is expected") : e;
}
