/* Bounds, text form and parsing of symbolic dimensions.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "src/ir/dim_impl.h"
#include "src/util/size.h"

/* ---- bounds ------------------------------------------------------------------------ */

/* INT64_MIN and INT64_MAX stand for the infinities. */
typedef struct range {
    int64_t lo, hi;
} range;

static bool is_inf(int64_t v)
{
    return v == INT64_MIN || v == INT64_MAX;
}

static int64_t sat_add(int64_t a, int64_t b, int64_t inf)
{
    int64_t r;
    if (is_inf(a) || is_inf(b) || !pln_i64_add(&r, a, b))
        return inf;
    return r;
}

/* Of bounds that are not negative. */
static int64_t sat_mul(int64_t a, int64_t b)
{
    int64_t r;
    if (a == 0 || b == 0)
        return 0;
    if (a == INT64_MAX || b == INT64_MAX || !pln_i64_mul(&r, a, b))
        return INT64_MAX;
    return r;
}

/* `least`: what every symbol is at least. */
static range dim_range(pln_dim d, int64_t least);

static int64_t div_floor(int64_t a, int64_t b)
{
    if (is_inf(a))
        return a;
    return a / b - (a % b != 0 && a < 0);
}

static range atom_range(const dim_atom *a, int64_t least)
{
    const range all = { INT64_MIN, INT64_MAX };
    if (a->kind == DIM_SYMBOL)
        return (range){ least, INT64_MAX };
    const bool bounds = a->kind == DIM_MIN || a->kind == DIM_MAX; /* not a divisor */
    const range x = dim_range(a->a, least), y = dim_range(a->b, bounds ? least : 1);
    if (a->kind == DIM_MIN)
        return (range){ x.lo < y.lo ? x.lo : y.lo, x.hi < y.hi ? x.hi : y.hi };
    if (a->kind == DIM_MAX)
        return (range){ x.lo > y.lo ? x.lo : y.lo, x.hi > y.hi ? x.hi : y.hi };
    if (y.lo <= 0)
        return all;
    if (a->kind == DIM_MOD)
        return (range){ 0, is_inf(y.hi) ? y.hi : y.hi - 1 };
    if (y.lo != y.hi) /* a symbolic divisor of at least 1 */
        return x.lo >= 0 ? (range){ a->kind == DIM_DIV_UP && x.lo > 0, x.hi } : all;
    return (range){ div_floor(x.lo, y.lo), div_floor(x.hi, y.lo) }; /* div_up is more */
}

static range term_range(const dim_term *t, int64_t least)
{
    range r = { 1, 1 };
    if (!t->m)
        return (range){ t->coef, t->coef };
    for (uint32_t i = 0; i < t->m->n; i++) {
        const range f = atom_range(t->m->f[i], least);
        if (f.lo < 0 || t->coef == INT64_MIN)
            return (range){ INT64_MIN, INT64_MAX };
        r = (range){ sat_mul(r.lo, f.lo), sat_mul(r.hi, f.hi) };
    }
    const int64_t c = t->coef < 0 ? -t->coef : t->coef;
    r = (range){ sat_mul(r.lo, c), sat_mul(r.hi, c) };
    if (t->coef > 0)
        return r;
    return (range){ r.hi == INT64_MAX ? INT64_MIN : -r.hi,
                    r.lo == INT64_MAX ? INT64_MIN : -r.lo };
}

static range dim_range(pln_dim d, int64_t least)
{
    if (!d.expr)
        return (range){ d.value, d.value };
    range r = { 0, 0 };
    if (pln_dim_is_unknown(d))
        return (range){ INT64_MIN, INT64_MAX };
    for (uint32_t i = 0; i < d.expr->n; i++) {
        const range t = term_range(&d.expr->t[i], least);
        r.lo = sat_add(r.lo, t.lo, INT64_MIN);
        r.hi = sat_add(r.hi, t.hi, INT64_MAX);
    }
    return r;
}

static bool reaches(pln_dim d, int64_t v, int64_t least)
{
    if (!d.expr)
        return d.value >= v;
    const int64_t lo = dim_range(d, least).lo;
    return lo != INT64_MIN && lo >= v;
}

bool pln_dim_at_least(pln_dim d, int64_t v)
{
    return reaches(d, v, 1);
}

bool pln_dim_always_at_least(pln_dim d, int64_t v)
{
    return reaches(d, v, 0);
}

/* ---- printing ---------------------------------------------------------------------- */

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters, digits, and what exporters put into names; must not look like arithmetics. */
static bool is_plain(const char *s, size_t len)
{
    if (!len || !is_alpha(s[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!is_alpha(s[i]) && !is_digit(s[i]) && s[i] != '.')
            return false;
    return true;
}

static void print_sum(pln_text *out, pln_dim d);

static void print_operand(pln_text *out, pln_dim d)
{
    const bool single = !d.expr ? d.value >= 0
                                : d.expr->n == 1 && d.expr->t[0].coef == 1 &&
                                      d.expr->t[0].m->n == 1;
    pln_text_str(out, single ? "" : "(");
    print_sum(out, d);
    pln_text_str(out, single ? "" : ")");
}

static void print_atom(pln_text *out, const dim_atom *a)
{
    static const char *const name[] = { [DIM_DIV] = "floor", [DIM_DIV_UP] = "ceil",
                                        [DIM_MOD] = "mod",   [DIM_MIN] = "min",
                                        [DIM_MAX] = "max" };
    if (a->kind == DIM_SYMBOL) {
        const bool plain = is_plain(a->name, a->len);
        pln_text_str(out, plain ? "" : "{");
        pln_text_put(out, a->name, a->len);
        pln_text_str(out, plain ? "" : "}");
        return;
    }
    pln_text_printf(out, "%s(", name[a->kind]);
    if (a->kind == DIM_DIV || a->kind == DIM_DIV_UP) {
        print_operand(out, a->a);
        pln_text_str(out, "/");
        print_operand(out, a->b);
    } else {
        print_sum(out, a->a);
        pln_text_str(out, ",");
        print_sum(out, a->b);
    }
    pln_text_str(out, ")");
}

static void print_term(pln_text *out, const dim_term *t, bool first)
{
    const uint64_t c = t->coef < 0 ? 0 - (uint64_t)t->coef : (uint64_t)t->coef;
    pln_text_str(out, t->coef < 0 ? "-" : first ? "" : "+");
    if (c != 1 || !t->m)
        pln_text_printf(out, "%" PRIu64 "%s", c, t->m ? "*" : "");
    for (uint32_t i = 0; t->m && i < t->m->n; i++) {
        pln_text_str(out, i ? "*" : "");
        print_atom(out, t->m->f[i]);
    }
}

static void print_sum(pln_text *out, pln_dim d)
{
    if (!d.expr)
        pln_text_printf(out, "%" PRId64, d.value);
    for (uint32_t i = 0; d.expr && i < d.expr->n; i++)
        print_term(out, &d.expr->t[i], i == 0);
}

void pln_dim_print(pln_text *out, pln_dim d)
{
    const char *name = pln_dim_symbol_name(d);
    if (pln_dim_is_unknown(d))
        pln_text_str(out, "?");
    else if (name) /* by itself a name needs no braces, whatever it is made of */
        pln_text_put(out, name, d.expr->t[0].m->f[0]->len);
    else
        print_sum(out, d);
}

/* ---- parsing ----------------------------------------------------------------------- */

#define MAX_NESTING 32

typedef struct parser {
    pln_syms *syms;
    const char *p, *end;
    int depth;
    bool bad;
} parser;

static pln_dim parse_sum(parser *ps);

static void skip_blanks(parser *ps)
{
    while (ps->p < ps->end && *ps->p == ' ')
        ps->p++;
}

static bool accept(parser *ps, const char *token)
{
    const size_t n = strlen(token);
    skip_blanks(ps);
    if ((size_t)(ps->end - ps->p) < n || memcmp(ps->p, token, n))
        return false;
    ps->p += n;
    return true;
}

static pln_dim parse_fail(parser *ps)
{
    ps->bad = true;
    return pln_dim_unknown();
}

static pln_dim parse_number(parser *ps)
{
    int64_t v = 0;
    for (; ps->p < ps->end && is_digit(*ps->p); ps->p++)
        if (!pln_i64_mul(&v, v, 10) || !pln_i64_add(&v, v, *ps->p - '0'))
            return parse_fail(ps);
    if (ps->p < ps->end && is_alpha(*ps->p))
        return parse_fail(ps);
    return pln_dim_of(v);
}

typedef struct function {
    const char *name;
    pln_dim (*fn)(pln_syms *, pln_dim, pln_dim);
    bool divides;
} function;

/* The rest of "floor(a/b)" or "min(a,b)" behind the parenthesis. */
static pln_dim parse_call(parser *ps, const function *f);

static pln_dim parse_name(parser *ps)
{
    static const function functions[] = {
        { "floor", pln_dim_div, true }, { "ceil", pln_dim_div_up, true },
        { "mod", pln_dim_mod, false },  { "min", pln_dim_min, false },
        { "max", pln_dim_max, false },
    };
    const char *s = ps->p;
    while (ps->p < ps->end && (is_alpha(*ps->p) || is_digit(*ps->p) || *ps->p == '.'))
        ps->p++;
    const size_t n = (size_t)(ps->p - s);
    if (ps->p == ps->end || *ps->p != '(')
        return pln_dim_symbol(ps->syms, s, n);
    ps->p++;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strlen(functions[i].name) == n && !memcmp(functions[i].name, s, n))
            return parse_call(ps, &functions[i]);
    return parse_fail(ps);
}

static pln_dim parse_factor(parser *ps)
{
    pln_dim d = pln_dim_unknown();
    skip_blanks(ps);
    if (ps->bad || ps->p == ps->end || ps->depth >= MAX_NESTING)
        return parse_fail(ps);
    ps->depth++;
    if (is_digit(*ps->p)) {
        d = parse_number(ps);
    } else if (is_alpha(*ps->p)) {
        d = parse_name(ps);
    } else if (accept(ps, "(")) {
        d = parse_sum(ps);
        if (!accept(ps, ")"))
            parse_fail(ps);
    } else if (accept(ps, "{")) {
        const char *q = memchr(ps->p, '}', (size_t)(ps->end - ps->p));
        if (q)
            d = pln_dim_symbol(ps->syms, ps->p, (size_t)(q - ps->p));
        else
            parse_fail(ps);
        ps->p = q ? q + 1 : ps->end;
    } else {
        parse_fail(ps);
    }
    ps->depth--;
    return d;
}

static pln_dim parse_product(parser *ps)
{
    pln_dim d = parse_factor(ps);
    while (!ps->bad) {
        if (accept(ps, "*"))
            d = pln_dim_mul(ps->syms, d, parse_factor(ps));
        else if (accept(ps, "//"))
            d = pln_dim_div(ps->syms, d, parse_factor(ps));
        else
            break;
    }
    return d;
}

static pln_dim parse_call(parser *ps, const function *f)
{
    const pln_dim a = f->divides ? parse_product(ps) : parse_sum(ps);
    if (!accept(ps, f->divides ? "/" : ","))
        return parse_fail(ps);
    const pln_dim b = f->divides ? parse_factor(ps) : parse_sum(ps);
    if (!accept(ps, ")"))
        return parse_fail(ps);
    return f->fn(ps->syms, a, b);
}

static pln_dim parse_sum(parser *ps)
{
    pln_dim d = pln_dim_of(0);
    bool minus = accept(ps, "-");
    do {
        const pln_dim t = parse_product(ps);
        d = minus ? pln_dim_sub(ps->syms, d, t) : pln_dim_add(ps->syms, d, t);
        if (accept(ps, "+"))
            minus = false;
        else if (accept(ps, "-"))
            minus = true;
        else
            break;
    } while (!ps->bad);
    return d;
}

pln_dim pln_dim_parse(pln_syms *syms, const char *text, size_t len)
{
    parser ps = { .syms = syms, .p = text, .end = text + len };
    if (!syms || !len || (len == 1 && *text == '?')) /* exporters write "?" */
        return pln_dim_unknown();
    const pln_dim d = parse_sum(&ps);
    skip_blanks(&ps);
    /* A text that comes to a number is a name, too: a file could say "-3" there. */
    if (ps.bad || ps.p != ps.end || !d.expr || pln_dim_is_unknown(d))
        return pln_dim_symbol(syms, text, len);
    return d;
}
