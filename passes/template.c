/* Templates: reading them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "passes/template_impl.h"

#define MAX_DEPTH 24

static void *fail(pln_scan *s, const char *what)
{
    pln_scan_fail(s, what);
    return NULL;
}

static int find_local(const pln_template *t, const char *name, size_t len)
{
    for (int i = 0; i < t->n_locals; i++)
        if (strlen(t->local[i]) == len && !memcmp(t->local[i], name, len))
            return i;
    return -1;
}

/* ---- terms ------------------------------------------------------------------------- */

static pln_term *parse_term(pln_scan *s, pln_template *t, int depth);

/* "domain.Op", where the domain may have dots itself. */
static bool parse_op_name(pln_scan *s, pln_term *o)
{
    const char *start = s->at, *op = s->at;
    for (;;) {
        const size_t len = pln_scan_word(s);
        if (!len)
            return pln_scan_fail(s, "an operator is expected");
        s->at += len;
        if (*s->at != '.' || s->at[1] == '*')
            break;
        op = ++s->at;
    }
    const size_t n = op > start ? (size_t)(op - start - 1) : 0;
    o->domain = pln_name_intern(s->names, start, n);
    o->op = pln_name_intern(s->names, op, (size_t)(s->at - op));
    return o->domain && o->op ? true : pln_scan_fail(s, "out of memory");
}

static pln_term_attr *parse_attr(pln_scan *s)
{
    pln_term_attr *a = PLN_NEW(s->arena, pln_term_attr);
    const size_t len = pln_scan_word(s);
    if (!a || !len)
        return fail(s, a ? "an attribute is expected" : "out of memory");
    if (s->at[len] == '.' && s->at[len + 1] == '*') {
        a->from = pln_scan_find(s, s->at, len);
        if (a->from < 0)
            return fail(s, "no such name in the pattern");
        s->at += len + 2;
        return a;
    }
    a->name = pln_name_intern(s->names, s->at, len);
    s->at += len;
    if (!a->name)
        return fail(s, "out of memory");
    if (!pln_scan_accept(s, "="))
        return fail(s, "'=' is expected");
    a->value = pln_ex_parse(s);
    return a->value ? a : NULL;
}

static bool parse_attrs(pln_scan *s, pln_term *o)
{
    pln_term_attr **next = &o->attrs;
    while (!pln_scan_accept(s, ">")) {
        *next = parse_attr(s);
        if (!*next)
            return false;
        next = &(*next)->next;
        pln_scan_blanks(s);
        if (!pln_scan_accept(s, ",") && *s->at != '>')
            return pln_scan_fail(s, "',' or '>' is expected");
    }
    return true;
}

static bool parse_args(pln_scan *s, pln_template *t, pln_term *o, int depth)
{
    o->arg = PLN_NEW_ARRAY(s->arena, pln_term *, PLN_TEMPLATE_ARGS);
    if (!o->arg)
        return pln_scan_fail(s, "out of memory");
    if (!pln_scan_accept(s, "("))
        return pln_scan_fail(s, "'(' is expected");
    while (!pln_scan_accept(s, ")")) {
        if (o->n_args == PLN_TEMPLATE_ARGS)
            return pln_scan_fail(s, "too many inputs");
        o->arg[o->n_args] = parse_term(s, t, depth + 1);
        if (!o->arg[o->n_args++])
            return false;
        pln_scan_blanks(s);
        if (!pln_scan_accept(s, ",") && *s->at != ')')
            return pln_scan_fail(s, "',' or ')' is expected");
    }
    return true;
}

/* "name...": what an operator of the pattern has behind the inputs that stand there. */
static bool parse_rest(pln_scan *s, pln_term *o)
{
    for (int i = 0; i < s->pattern->n; i++) {
        const pln_pat *p = &s->pattern->pat[i];
        if (p->kind != PLN_PAT_OP || p->bind != o->name || !(p->flags & PLN_PAT_REST))
            continue;
        o->kind = PLN_TERM_REST;
        o->from = p->n_args;
        s->at += 3;
        return true;
    }
    return pln_scan_fail(s, "no operator of that name takes further inputs");
}

static bool parse_known_name(pln_scan *s, const pln_template *t, pln_term *o, size_t len)
{
    o->name = find_local(t, s->at, len);
    o->kind = PLN_TERM_LOCAL;
    if (len == 1 && *s->at == '_')
        o->kind = PLN_TERM_ABSENT;
    else if (o->name < 0) {
        o->kind = PLN_TERM_NAME;
        o->name = pln_scan_find(s, s->at, len);
        if (o->name < 0)
            return pln_scan_fail(s, "no such name in the pattern");
    }
    s->at += len;
    return o->kind != PLN_TERM_NAME || strncmp(s->at, "...", 3) || parse_rest(s, o);
}

static pln_term *parse_term(pln_scan *s, pln_template *t, int depth)
{
    pln_term *o = PLN_NEW(s->arena, pln_term);
    if (!o || depth > MAX_DEPTH)
        return fail(s, o ? "nested too deeply" : "out of memory");
    const size_t len = pln_scan_word(s);
    if (!len) {
        o->kind = PLN_TERM_CONST;
        o->value = pln_ex_parse(s);
        return o->value ? o : NULL;
    }
    const char after = s->at[len];
    const bool rest = !strncmp(s->at + len, "...", 3);
    if (!isupper((unsigned char)*s->at) && (after != '.' || rest))
        return parse_known_name(s, t, o, len) ? o : NULL;
    o->kind = PLN_TERM_OP;
    if (!parse_op_name(s, o))
        return NULL;
    if (pln_scan_accept(s, "<") && !parse_attrs(s, o))
        return NULL;
    return parse_args(s, t, o, depth) ? o : NULL;
}

/* ---- statements -------------------------------------------------------------------- */

/* Is there "name, name.1 =" at the cursor? */
static bool has_names(const pln_scan *s)
{
    pln_scan look = *s;
    for (;;) {
        const size_t len = pln_scan_word(&look);
        if (!len)
            return false;
        look.at += len;
        if (*look.at == '.' && isdigit((unsigned char)look.at[1]))
            for (look.at++; isdigit((unsigned char)*look.at);)
                look.at++;
        if (!pln_scan_accept(&look, ","))
            return pln_scan_accept(&look, "=");
    }
}

static bool parse_target(pln_scan *s, pln_template *t, pln_target_name *out)
{
    const size_t len = pln_scan_word(s);
    *out = (pln_target_name){ .name = pln_scan_find(s, s->at, len), .local = -1 };
    if (out->name < 0) {
        if (t->n_locals == PLN_TEMPLATE_LOCALS)
            return pln_scan_fail(s, "too many names");
        if (find_local(t, s->at, len) >= 0)
            return pln_scan_fail(s, "the name stands for another value already");
        const char *name = pln_arena_str(s->arena, s->at, len);
        if (!name)
            return pln_scan_fail(s, "out of memory");
        out->local = t->n_locals;
        t->local[t->n_locals++] = name;
    }
    s->at += len;
    if (*s->at == '.') {
        char *end;
        const long slot = strtol(s->at + 1, &end, 10);
        if (out->name < 0 || slot > 1000)
            return pln_scan_fail(s, "only outputs of matched nodes have numbers");
        out->slot = (int)slot;
        s->at = end;
    }
    return true;
}

static pln_statement *parse_statement(pln_scan *s, pln_template *t)
{
    pln_statement *o = PLN_NEW(s->arena, pln_statement);
    if (!o)
        return fail(s, "out of memory");
    if (has_names(s)) {
        do {
            if (o->n_out == PLN_TEMPLATE_OUTS)
                return fail(s, "too many names");
            if (!parse_target(s, t, &o->out[o->n_out++]))
                return NULL;
        } while (pln_scan_accept(s, ","));
        pln_scan_accept(s, "=");
    }
    o->term = parse_term(s, t, 0);
    if (!o->term)
        return NULL;
    if (o->n_out > 1 && o->term->kind != PLN_TERM_OP)
        return fail(s, "several names want an operator");
    return o;
}

pln_template *pln_template_parse(pln_scan *s)
{
    pln_template *t = PLN_NEW(s->arena, pln_template);
    pln_statement **next = t ? &t->first : NULL;
    if (!t)
        return fail(s, "out of memory");
    do {
        *next = parse_statement(s, t);
        if (!*next)
            return NULL;
        next = &(*next)->next;
    } while (pln_scan_accept(s, ";"));
    pln_scan_blanks(s);
    return *s->at ? fail(s, "';' or the end of the rule is expected") : t;
}
