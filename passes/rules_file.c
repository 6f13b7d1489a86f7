/* Rules of the user's own: from text to the rules of a pass.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/rules_file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/template.h"
#include "src/util/near.h"

#define MAX_RULES 1024

typedef struct reader {
    const char *file;
    char *text; /* a copy, comments blanked */
    char *at;
    const pln_model *model;
    pln_arena *arena;
    pln_rule *rules;
    size_t n;
    pln_error *err;
} reader;

static pln_status fail_at(const reader *r, const char *at, const char *what)
{
    int line = 1, column = 1;
    for (const char *p = r->text; p < at; p++) {
        line += *p == '\n';
        column = *p == '\n' ? 1 : column + 1;
    }
    return pln_fail(r->err, PLN_E_FORMAT, "%s:%d:%d: %s", r->file, line, column, what);
}

/* `w#` is a constant of a pattern: a comment's sign begins a line or stands behind a
 * blank. */
static void blank_comments(char *s)
{
    bool quoted = false, before = true;
    for (; *s; s++) {
        if (*s == '"')
            quoted = !quoted;
        if (*s == '\n')
            quoted = false;
        if (!quoted && before && *s == '#')
            for (; *s && *s != '\n'; s++)
                *s = ' ';
        before = isspace((unsigned char)*s) != 0;
        if (!*s)
            return;
    }
}

/* The end of the rule at the cursor: before the next line that does not begin with a
 * blank. */
static char *end_of_rule(char *s)
{
    for (; *s; s++)
        if (*s == '\n' && s[1] && !isspace((unsigned char)s[1]))
            return s;
    return s;
}

/* ---- the head: name [words]: ----------------------------------------------------- */

static size_t word_at(reader *r)
{
    while (isblank((unsigned char)*r->at))
        r->at++;
    size_t n = 0;
    while (isalnum((unsigned char)r->at[n]) || r->at[n] == '_' || r->at[n] == '-')
        n++;
    return n;
}

static bool is_word(const reader *r, size_t n, const char *word)
{
    return strlen(word) == n && !memcmp(r->at, word, n);
}

static pln_status number_at(reader *r, double *out)
{
    char *end;
    while (isblank((unsigned char)*r->at) || *r->at == '=')
        r->at++;
    *out = strtod(r->at, &end);
    if (end == r->at || !(*out >= 0))
        return fail_at(r, r->at, "a number is expected");
    r->at = end;
    return PLN_OK;
}

static pln_status read_option(reader *r, pln_rule *o)
{
    static const char *const contracts[] = { "exact", "reassoc", "approx" };
    double v = 0;
    const size_t n = word_at(r);
    for (int i = 0; i < 3; i++) {
        if (!is_word(r, n, contracts[i]))
            continue;
        o->contract = (pln_contract)i;
        r->at += n;
        if (i == PLN_APPROX)
            PLN_TRY(number_at(r, &o->bound));
        return PLN_OK;
    }
    if (!is_word(r, n, "opset"))
        return fail_at(r, r->at, "exact, reassoc, approx BOUND or opset N is expected");
    r->at += n;
    PLN_TRY(number_at(r, &v));
    o->opset = v < 1000 ? (int)v : 1000;
    return PLN_OK;
}

static pln_status read_head(reader *r, pln_rule *o)
{
    const size_t n = word_at(r);
    if (!n)
        return fail_at(r, r->at, "the name of a rule is expected");
    o->contract = PLN_REASSOC;
    o->name = pln_arena_str(r->arena, r->at, n);
    if (!o->name)
        return pln_oom(r->err);
    r->at += n;
    word_at(r);
    if (*r->at == '[') {
        do {
            r->at++;
            PLN_TRY(read_option(r, o));
            word_at(r);
        } while (*r->at == ',');
        if (*r->at != ']')
            return fail_at(r, r->at, "',' or ']' is expected");
        r->at++;
    }
    word_at(r);
    if (*r->at != ':')
        return fail_at(r, r->at, "':' is expected");
    r->at++;
    return PLN_OK;
}

/* ---- the parts: match => replacement where condition ----------------------------- */

/* The place of a token outside of texts, or NULL; words stand alone. */
static char *find_token(char *s, const char *token)
{
    const size_t n = strlen(token);
    const bool word = isalpha((unsigned char)*token) != 0;
    bool quoted = false;
    for (char *p = s; *p; p++) {
        if (*p == '"')
            quoted = !quoted;
        if (quoted || strncmp(p, token, n))
            continue;
        if (!word || (p > s && isspace((unsigned char)p[-1]) &&
                      isspace((unsigned char)p[n])))
            return p;
    }
    return NULL;
}

/* Where the text has that word. */
static const char *place_of(const char *text, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at++)
        if ((at == text || !isalnum((unsigned char)at[-1])) &&
            !isalnum((unsigned char)at[n]))
            return at;
    return text;
}

static pln_status unknown_op(const reader *r, const pln_rule *o, const char *op)
{
    pln_near near;
    char what[200];
    const pln_op_desc *d;
    pln_near_begin(&near, op);
    for (size_t i = 0; (d = pln_registry_at(r->model->registry, i)); i++)
        if (!*d->domain)
            pln_near_offer(&near, d->name);
    snprintf(what, sizeof what, "the newest operator set has no '%.60s'%s%.60s%s", op,
             near.best ? "; did you mean '" : "", near.best ? near.best : "",
             near.best ? "'?" : "");
    return fail_at(r, place_of(o->match, op), what);
}

/* A pattern with an operator that the standard has not would never match. */
static pln_status check_ops(const reader *r, const pln_rule *o, const pln_pattern *p)
{
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->pat[i].n_ops; k++) {
            const pln_pat_name *op = &p->pat[i].op[k];
            if (!*op->domain && !pln_registry_find(r->model->registry, "", op->type))
                return unknown_op(r, o, op->type);
        }
    return PLN_OK;
}

/* Mistakes are found here, with their place; the engine reads the texts again. */
static pln_status check_parts(reader *r, const pln_rule *o)
{
    pln_pattern p;
    const char *at = o->match, *what = NULL;
    pln_error local = { .code = PLN_OK };
    const pln_status st =
        pln_pattern_read(o->match, r->model->names, r->arena, &p, &at, &what, &local);
    if (st == PLN_E_FORMAT)
        return fail_at(r, at, what);
    if (st != PLN_OK)
        return pln_oom(r->err);
    PLN_TRY(check_ops(r, o, &p));
    pln_scan s = { o->replace, &p, r->model->names, r->arena, NULL };
    if (!pln_template_parse(&s))
        return fail_at(r, s.at, s.what);
    s.at = o->where;
    if (o->where && !pln_ex_parse_condition(&s))
        return fail_at(r, s.at, s.what);
    return PLN_OK;
}

/* Cuts the copy of the text into strings; the places of mistakes stay. */
static pln_status read_rule(reader *r)
{
    char *end = end_of_rule(r->at);
    const char after = *end;
    pln_rule *o = &r->rules[r->n];
    *o = (pln_rule){ .name = NULL };
    PLN_TRY(read_head(r, o));
    *end = '\0';
    char *arrow = find_token(r->at, "=>");
    char *where = arrow ? find_token(arrow, "where") : NULL;
    pln_status st = arrow ? PLN_OK : fail_at(r, r->at, "'=>' is missing in this rule");
    if (arrow)
        arrow[0] = '\0';
    if (where)
        where[0] = '\0';
    if (st == PLN_OK) {
        o->match = r->at;
        o->replace = arrow + 2;
        o->where = where ? where + 5 : NULL;
        st = check_parts(r, o);
    }
    /* The text stays one for the places of later mistakes; the parts are copied. */
    if (st == PLN_OK) {
        o->match = pln_arena_str(r->arena, o->match, strlen(o->match));
        o->replace = pln_arena_str(r->arena, o->replace, strlen(o->replace));
        o->where = where ? pln_arena_str(r->arena, o->where, strlen(o->where)) : NULL;
        st = o->match && o->replace && (o->where || !where) ? PLN_OK : pln_oom(r->err);
    }
    if (arrow)
        arrow[0] = '=';
    if (where)
        where[0] = 'w';
    *end = after;
    r->at = end;
    r->n += st == PLN_OK;
    return st;
}

static pln_status read_source(reader *r, const pln_rules_source *src)
{
    r->file = src->name ? src->name : "rules";
    r->text = r->at = pln_arena_str(r->arena, src->text, strlen(src->text));
    if (!r->text)
        return pln_oom(r->err);
    blank_comments(r->text);
    for (;;) {
        char *line = r->at;
        while (isspace((unsigned char)*r->at)) {
            if (*r->at == '\n')
                line = r->at + 1;
            r->at++;
        }
        if (!*r->at)
            return PLN_OK;
        if (line != r->at)
            return fail_at(r, r->at, "a rule begins a line; this one begins with a blank");
        if (r->n == MAX_RULES)
            return fail_at(r, r->at, "too many rules");
        PLN_TRY(read_rule(r));
    }
}

pln_status pln_rules_read(const pln_rules_source *src, size_t n, const pln_model *model,
                          pln_arena *arena, pln_pass **out, pln_error *err)
{
    reader r = { .model = model, .arena = arena, .err = err };
    *out = PLN_NEW(arena, pln_pass);
    r.rules = PLN_NEW_ARRAY(arena, pln_rule, MAX_RULES);
    if (!*out || !r.rules)
        return pln_oom(err);
    for (size_t i = 0; i < n; i++)
        PLN_TRY(read_source(&r, &src[i]));
    **out = (pln_pass){ .name = "rules",
                        .brief = "rules of the user's own",
                        .rules = r.rules,
                        .n_rules = r.n };
    return PLN_OK;
}
