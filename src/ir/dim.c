/* Symbolic dimensions: polynomials in canonical form over symbols and opaque atoms
 * (rounded divisions, remainders, minima, maxima), interned in one table for each model.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/dim.h"

#include <string.h>

#include "src/ir/dim_impl.h"
#include "src/util/map.h"
#include "src/util/size.h"

/* Larger expressions are of no use to anybody and become unknown. */
#define MAX_TERMS  48
#define MAX_DEGREE 12
#define MAX_DEPTH  16

typedef struct poly {
    uint32_t n;
    bool bad; /* overflowed */
    dim_term t[MAX_TERMS];
} poly;

static const struct pln_expr unknown_expr;
const pln_expr *const PLN_EXPR_UNKNOWN = &unknown_expr;

typedef struct table {
    void **slot; /* chains through the first field of each item */
    size_t n, cap;
} table;

struct pln_syms {
    pln_arena *arena;
    table atoms, monos, exprs;
};

typedef struct item { /* head of dim_atom, dim_mono and pln_expr */
    void *next;
    uint64_t hash;
} item;

pln_syms *pln_syms_new(pln_arena *arena)
{
    pln_syms *s = PLN_NEW(arena, pln_syms);
    if (s)
        s->arena = arena;
    return s;
}

/* ---- order ------------------------------------------------------------------------- */

static int cmp_i64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int dim_cmp(pln_dim a, pln_dim b);

/* A total order that depends on structure alone, so that equal expressions print alike
 * however they came about. */
static int atom_cmp(const dim_atom *a, const dim_atom *b)
{
    if (a == b)
        return 0;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == DIM_SYMBOL) {
        const size_t n = a->len < b->len ? a->len : b->len;
        const int c = memcmp(a->name, b->name, n);
        return c ? c : cmp_i64((int64_t)a->len, (int64_t)b->len);
    }
    const int c = dim_cmp(a->a, b->a);
    return c ? c : dim_cmp(a->b, b->b);
}

/* Graded lexicographic, greatest first; the constant comes last. */
static int mono_cmp(const dim_mono *a, const dim_mono *b)
{
    if (a == b)
        return 0;
    const uint32_t na = a ? a->n : 0, nb = b ? b->n : 0;
    if (na != nb)
        return na > nb ? -1 : 1;
    for (uint32_t i = 0; i < na; i++) {
        const int c = atom_cmp(a->f[i], b->f[i]);
        if (c)
            return c;
    }
    return 0;
}

static int dim_cmp(pln_dim a, pln_dim b)
{
    if (!a.expr || !b.expr) {
        if (!a.expr && !b.expr)
            return cmp_i64(a.value, b.value);
        return a.expr ? -1 : 1;
    }
    if (a.expr == b.expr)
        return 0;
    for (uint32_t i = 0; i < a.expr->n && i < b.expr->n; i++) {
        int c = mono_cmp(a.expr->t[i].m, b.expr->t[i].m);
        if (!c)
            c = cmp_i64(a.expr->t[i].coef, b.expr->t[i].coef);
        if (c)
            return c;
    }
    return cmp_i64(a.expr->n, b.expr->n);
}

/* ---- interning --------------------------------------------------------------------- */

static bool table_reserve(pln_syms *s, table *t)
{
    if (t->n < t->cap)
        return true;
    const size_t cap = t->cap ? 2 * t->cap : 64;
    void **slot = PLN_NEW_ARRAY(s->arena, void *, cap);
    if (!slot)
        return false;
    for (size_t i = 0; i < t->cap; i++) {
        for (item *it = t->slot[i]; it;) {
            item *next = it->next;
            it->next = slot[it->hash & (cap - 1)];
            slot[it->hash & (cap - 1)] = it;
            it = next;
        }
    }
    t->slot = slot;
    t->cap = cap;
    return true;
}

static void table_add(table *t, void *p)
{
    item *it = p;
    it->next = t->slot[it->hash & (t->cap - 1)];
    t->slot[it->hash & (t->cap - 1)] = it;
    t->n++;
}

static void *table_chain(const table *t, uint64_t hash)
{
    return t->cap ? t->slot[hash & (t->cap - 1)] : NULL;
}

static uint64_t dim_hash(uint64_t h, pln_dim d)
{
    const uint64_t v = d.expr ? d.expr->hash : (uint64_t)d.value;
    return pln_hash(h, &v, sizeof v);
}

static int dim_depth(pln_dim d)
{
    return d.expr ? d.expr->depth : 0;
}

static const dim_atom *atom_symbol(pln_syms *s, const char *name, size_t len)
{
    const uint64_t h = pln_hash(PLN_HASH_SEED, name, len);
    for (dim_atom *a = table_chain(&s->atoms, h); a; a = a->next)
        if (a->kind == DIM_SYMBOL && a->len == len && !memcmp(a->name, name, len))
            return a;
    dim_atom *a = PLN_NEW(s->arena, dim_atom);
    if (!a || !table_reserve(s, &s->atoms))
        return NULL;
    a->kind = DIM_SYMBOL;
    a->hash = h;
    a->len = len;
    a->name = pln_arena_str(s->arena, name, len);
    if (!a->name)
        return NULL;
    table_add(&s->atoms, a);
    return a;
}

static const dim_atom *atom_binary(pln_syms *s, dim_kind kind, pln_dim x, pln_dim y)
{
    uint64_t h = pln_hash(PLN_HASH_SEED, &kind, sizeof kind);
    h = dim_hash(dim_hash(h, x), y);
    for (dim_atom *a = table_chain(&s->atoms, h); a; a = a->next)
        if (a->kind == kind && pln_dim_equal(a->a, x) && pln_dim_equal(a->b, y))
            return a;
    dim_atom *a = PLN_NEW(s->arena, dim_atom);
    if (!a || !table_reserve(s, &s->atoms))
        return NULL;
    const int dx = dim_depth(x), dy = dim_depth(y);
    *a = (dim_atom){ .kind = kind, .hash = h, .a = x, .b = y };
    a->depth = 1 + (dx > dy ? dx : dy);
    table_add(&s->atoms, a);
    return a;
}

static const dim_mono *mono_of(pln_syms *s, const dim_atom *const *f, uint32_t n)
{
    uint64_t h = PLN_HASH_SEED;
    for (uint32_t i = 0; i < n; i++)
        h = pln_hash(h, &f[i]->hash, sizeof f[i]->hash);
    for (dim_mono *m = table_chain(&s->monos, h); m; m = m->next)
        if (m->n == n && !memcmp(m->f, f, n * sizeof *f))
            return m;
    dim_mono *m = pln_arena_alloc(s->arena, sizeof *m + n * sizeof *f);
    if (!m || !table_reserve(s, &s->monos))
        return NULL;
    m->hash = h;
    m->n = n;
    memcpy(m->f, f, n * sizeof *f);
    for (uint32_t i = 0; i < n; i++)
        m->depth = f[i]->depth > m->depth ? f[i]->depth : m->depth;
    table_add(&s->monos, m);
    return m;
}

static const pln_expr *expr_of(pln_syms *s, const poly *p)
{
    uint64_t h = PLN_HASH_SEED;
    int depth = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const uint64_t mh = p->t[i].m ? p->t[i].m->hash : 0;
        h = pln_hash(h, &mh, sizeof mh);
        h = pln_hash(h, &p->t[i].coef, sizeof p->t[i].coef);
        if (p->t[i].m && p->t[i].m->depth > depth)
            depth = p->t[i].m->depth;
    }
    if (depth > MAX_DEPTH)
        return PLN_EXPR_UNKNOWN;
    for (pln_expr *e = table_chain(&s->exprs, h); e; e = e->next) {
        uint32_t i = 0;
        while (i < p->n && i < e->n && e->t[i].m == p->t[i].m &&
               e->t[i].coef == p->t[i].coef)
            i++;
        if (i == p->n && i == e->n)
            return e;
    }
    pln_expr *e = pln_arena_alloc(s->arena, sizeof *e + p->n * sizeof p->t[0]);
    if (!e || !table_reserve(s, &s->exprs))
        return PLN_EXPR_UNKNOWN;
    e->hash = h;
    e->n = p->n;
    e->depth = depth;
    memcpy(e->t, p->t, p->n * sizeof p->t[0]);
    table_add(&s->exprs, e);
    return e;
}

/* ---- polynomials ------------------------------------------------------------------- */

static void poly_add(poly *p, int64_t coef, const dim_mono *m)
{
    if (!coef || p->bad)
        return;
    uint32_t i = 0;
    int c = -1;
    while (i < p->n && (c = mono_cmp(p->t[i].m, m)) < 0)
        i++;
    if (i < p->n && c == 0) {
        if (!pln_i64_add(&p->t[i].coef, p->t[i].coef, coef))
            p->bad = true;
        else if (!p->t[i].coef)
            memmove(&p->t[i], &p->t[i + 1], (--p->n - i) * sizeof p->t[0]);
        return;
    }
    if (p->n == MAX_TERMS) {
        p->bad = true;
        return;
    }
    memmove(&p->t[i + 1], &p->t[i], (p->n++ - i) * sizeof p->t[0]);
    p->t[i] = (dim_term){ .coef = coef, .m = m };
}

static void poly_add_dim(poly *p, pln_dim d, int64_t factor)
{
    if (!d.expr) {
        int64_t c;
        if (pln_i64_mul(&c, d.value, factor))
            poly_add(p, c, NULL);
        else
            p->bad = true;
        return;
    }
    for (uint32_t i = 0; i < d.expr->n; i++) {
        int64_t c;
        if (pln_i64_mul(&c, d.expr->t[i].coef, factor))
            poly_add(p, c, d.expr->t[i].m);
        else
            p->bad = true;
    }
}

static pln_dim poly_dim(pln_syms *s, const poly *p)
{
    if (p->bad)
        return pln_dim_unknown();
    if (p->n == 0)
        return pln_dim_of(0);
    if (p->n == 1 && !p->t[0].m)
        return pln_dim_of(p->t[0].coef);
    if (!s)
        return pln_dim_unknown();
    return (pln_dim){ .value = -1, .expr = expr_of(s, p) };
}

static pln_dim dim_of_atom(pln_syms *s, const dim_atom *a)
{
    if (!a)
        return pln_dim_unknown();
    poly p = { .n = 0 };
    const dim_mono *m = mono_of(s, &a, 1);
    if (!m)
        return pln_dim_unknown();
    poly_add(&p, 1, m);
    return poly_dim(s, &p);
}

/* Product of two monomials; false: too large or no memory. */
static bool mono_mul(pln_syms *s, const dim_mono *a, const dim_mono *b,
                     const dim_mono **out)
{
    if (!a || !b) {
        *out = a ? a : b;
        return true;
    }
    if (a->n + b->n > MAX_DEGREE)
        return false;
    const dim_atom *f[MAX_DEGREE];
    uint32_t i = 0, j = 0, n = 0;
    while (i < a->n || j < b->n) {
        if (j == b->n || (i < a->n && atom_cmp(a->f[i], b->f[j]) <= 0))
            f[n++] = a->f[i++];
        else
            f[n++] = b->f[j++];
    }
    *out = mono_of(s, f, n);
    return *out != NULL;
}

/* a / b where every factor of b is one of a's. */
static bool mono_div(pln_syms *s, const dim_mono *a, const dim_mono *b,
                     const dim_mono **out)
{
    *out = a;
    if (!b)
        return true;
    if (!a || a->n < b->n)
        return false;
    const dim_atom *f[MAX_DEGREE];
    uint32_t n = 0, j = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        if (j < b->n && a->f[i] == b->f[j])
            j++;
        else
            f[n++] = a->f[i];
    }
    if (j < b->n)
        return false;
    *out = n ? mono_of(s, f, n) : NULL;
    return !n || *out;
}

static void poly_mul(pln_syms *s, poly *p, pln_dim a, int64_t coef, const dim_mono *m)
{
    const dim_term one = { .coef = a.value, .m = NULL };
    const dim_term *t = a.expr ? a.expr->t : &one;
    const uint32_t n = a.expr ? a.expr->n : 1;
    for (uint32_t i = 0; i < n && !p->bad; i++) {
        int64_t c;
        const dim_mono *r;
        if (pln_i64_mul(&c, t[i].coef, coef) && mono_mul(s, t[i].m, m, &r))
            poly_add(p, c, r);
        else
            p->bad = true;
    }
}

/* ---- arithmetics ------------------------------------------------------------------- */

static bool any_unknown(const pln_syms *s, pln_dim a, pln_dim b)
{
    return pln_dim_is_unknown(a) || pln_dim_is_unknown(b) || (!s && (a.expr || b.expr));
}

static pln_dim linear(pln_syms *s, pln_dim a, pln_dim b, int64_t factor)
{
    if (any_unknown(s, a, b))
        return pln_dim_unknown();
    poly p = { .n = 0 };
    poly_add_dim(&p, a, 1);
    poly_add_dim(&p, b, factor);
    return poly_dim(s, &p);
}

pln_dim pln_dim_add(pln_syms *s, pln_dim a, pln_dim b)
{
    return linear(s, a, b, 1);
}

pln_dim pln_dim_sub(pln_syms *s, pln_dim a, pln_dim b)
{
    return linear(s, a, b, -1);
}

pln_dim pln_dim_mul(pln_syms *s, pln_dim a, pln_dim b)
{
    if (any_unknown(s, a, b))
        return pln_dim_unknown();
    poly p = { .n = 0 };
    if (!b.expr)
        poly_mul(s, &p, a, b.value, NULL);
    else
        for (uint32_t i = 0; i < b.expr->n && !p.bad; i++)
            poly_mul(s, &p, a, b.expr->t[i].coef, b.expr->t[i].m);
    return poly_dim(s, &p);
}

static bool floor_div(int64_t a, int64_t b, int64_t *out)
{
    if (b == 0 || (a == INT64_MIN && b == -1))
        return false;
    const int64_t q = a / b;
    *out = q - (a % b != 0 && (a < 0) != (b < 0));
    return true;
}

/* a / b as polynomials where nothing remains. */
static bool exact_div(pln_syms *s, pln_dim a, pln_dim b, pln_dim *out)
{
    poly r = { .n = 0 }, q = { .n = 0 };
    poly_add_dim(&r, a, 1);
    const dim_term lead = b.expr ? b.expr->t[0] : (dim_term){ .coef = b.value };
    for (int step = 0; r.n && !r.bad && step < 2 * MAX_TERMS; step++) {
        const dim_mono *m;
        if (lead.coef == 0 || lead.coef == -1 || r.t[0].coef % lead.coef ||
            !mono_div(s, r.t[0].m, lead.m, &m))
            return false;
        const int64_t c = r.t[0].coef / lead.coef;
        poly_add(&q, c, m);
        poly_mul(s, &r, b, -c, m);
    }
    if (r.n || r.bad || q.bad)
        return false;
    *out = poly_dim(s, &q);
    return !pln_dim_is_unknown(*out);
}

static pln_dim binary(pln_syms *s, dim_kind kind, pln_dim a, pln_dim b)
{
    if (dim_depth(a) >= MAX_DEPTH || dim_depth(b) >= MAX_DEPTH)
        return pln_dim_unknown();
    return dim_of_atom(s, atom_binary(s, kind, a, b));
}

/* a = b * q + r with the terms that b divides in q; b known and positive. */
static void split(pln_syms *s, pln_dim a, int64_t b, poly *q, poly *r)
{
    for (uint32_t i = 0; i < a.expr->n; i++) {
        const dim_term t = a.expr->t[i];
        int64_t c = 0;
        if (t.coef % b == 0 || !t.m)
            floor_div(t.coef, b, &c);
        poly_add(q, c, t.m);
        poly_add(r, t.coef - c * b, t.m);
    }
}

/* floor((floor(x / c) + k) / b) = floor((x + c k) / (b c)). */
static bool nested_div(pln_syms *s, pln_dim a, int64_t b, pln_dim *x, int64_t *bc)
{
    const dim_term *t = a.expr ? a.expr->t : NULL;
    if (!t || a.expr->n > 2 || t[0].coef != 1 || t[0].m->n != 1 ||
        t[0].m->f[0]->kind != DIM_DIV || (a.expr->n == 2 && t[1].m))
        return false;
    const dim_atom *in = t[0].m->f[0];
    const int64_t k = a.expr->n == 2 ? t[1].coef : 0;
    int64_t ck;
    if (in->b.expr || !pln_i64_mul(&ck, in->b.value, k) ||
        !pln_i64_mul(bc, in->b.value, b))
        return false;
    *x = pln_dim_add(s, in->a, pln_dim_of(ck));
    return !pln_dim_is_unknown(*x);
}

static pln_dim div_known(pln_syms *s, pln_dim a, int64_t b)
{
    poly q = { .n = 0 }, r = { .n = 0 };
    split(s, a, b, &q, &r);
    pln_dim rest = poly_dim(s, &r), x;
    int64_t bc;
    if (q.bad || pln_dim_is_unknown(rest))
        return pln_dim_unknown();
    if (!rest.expr)
        floor_div(rest.value, b, &rest.value);
    else if (nested_div(s, rest, b, &x, &bc))
        rest = pln_dim_div(s, x, pln_dim_of(bc));
    else
        rest = binary(s, DIM_DIV, rest, pln_dim_of(b));
    return pln_dim_add(s, poly_dim(s, &q), rest);
}

pln_dim pln_dim_div(pln_syms *s, pln_dim a, pln_dim b)
{
    int64_t v;
    pln_dim q;
    if (any_unknown(s, a, b) || pln_dim_is(b, 0))
        return pln_dim_unknown();
    if (!a.expr && !b.expr)
        return floor_div(a.value, b.value, &v) ? pln_dim_of(v) : pln_dim_unknown();
    if (pln_dim_is(b, -1))
        return pln_dim_sub(s, pln_dim_of(0), a);
    if (exact_div(s, a, b, &q))
        return q;
    if (!b.expr && b.value > 0)
        return div_known(s, a, b.value);
    return binary(s, DIM_DIV, a, b);
}

pln_dim pln_dim_div_up(pln_syms *s, pln_dim a, pln_dim b)
{
    pln_dim q;
    if (any_unknown(s, a, b) || pln_dim_is(b, 0))
        return pln_dim_unknown();
    if (!b.expr) { /* -floor(-a / b) */
        q = pln_dim_div(s, pln_dim_sub(s, pln_dim_of(0), a), b);
        if (!a.expr || !q.expr)
            return pln_dim_sub(s, pln_dim_of(0), q);
        if (b.value > 0)
            return pln_dim_div(s, pln_dim_add(s, a, pln_dim_of(b.value - 1)), b);
    }
    if (exact_div(s, a, b, &q))
        return q;
    return binary(s, DIM_DIV_UP, a, b);
}

pln_dim pln_dim_mod(pln_syms *s, pln_dim a, pln_dim b)
{
    pln_dim q;
    if (any_unknown(s, a, b) || pln_dim_is(b, 0))
        return pln_dim_unknown();
    if (!a.expr && !b.expr) {
        if (b.value == -1)
            return pln_dim_of(0);
        const int64_t m = a.value % b.value;
        return pln_dim_of(m && (m < 0) != (b.value < 0) ? m + b.value : m);
    }
    if (pln_dim_is(b, -1) || exact_div(s, a, b, &q))
        return pln_dim_of(0);
    if (!b.expr && b.value > 0) {
        poly quot = { .n = 0 }, r = { .n = 0 };
        split(s, a, b.value, &quot, &r);
        a = poly_dim(s, &r);
        if (!a.expr || pln_dim_is_unknown(a))
            return a;
    }
    return binary(s, DIM_MOD, a, b);
}

/* The atom when d is nothing but one. */
static const dim_atom *only_atom(pln_dim d)
{
    const dim_term *t = d.expr && d.expr->n == 1 ? d.expr->t : NULL;
    return t && t->coef == 1 && t->m && t->m->n == 1 ? t->m->f[0] : NULL;
}

/* min(x, max(x, y)) = x and min(x, min(x, y)) = min(x, y), the same with max. */
static bool absorbs(pln_dim x, pln_dim nested, dim_kind kind, pln_dim *out)
{
    const dim_atom *a = only_atom(nested);
    if (!a || (a->kind != DIM_MIN && a->kind != DIM_MAX) ||
        (!pln_dim_equal(a->a, x) && !pln_dim_equal(a->b, x)))
        return false;
    *out = a->kind == kind ? nested : x;
    return true;
}

/* d >= 0 though sizes are 0: not only since symbols are at least 1. */
static bool is_positive_or_zero(pln_dim d)
{
    for (uint32_t i = 0; d.expr && i < d.expr->n; i++)
        if (!d.expr->t[i].m && d.expr->t[i].coef < 0)
            return false;
    return pln_dim_at_least(d, 0);
}

static pln_dim extreme(pln_syms *s, pln_dim a, pln_dim b, dim_kind kind)
{
    if (any_unknown(s, a, b))
        return pln_dim_unknown();
    if (!a.expr && !b.expr)
        return (a.value < b.value) == (kind == DIM_MIN) ? a : b;
    const pln_dim d = pln_dim_sub(s, a, b);
    if (!pln_dim_is_unknown(d)) {
        if (is_positive_or_zero(d))
            return kind == DIM_MAX ? a : b;
        if (is_positive_or_zero(pln_dim_sub(s, pln_dim_of(0), d)))
            return kind == DIM_MAX ? b : a;
    }
    pln_dim one;
    if (absorbs(a, b, kind, &one) || absorbs(b, a, kind, &one))
        return one;
    return dim_cmp(a, b) <= 0 ? binary(s, kind, a, b) : binary(s, kind, b, a);
}

pln_dim pln_dim_min(pln_syms *s, pln_dim a, pln_dim b)
{
    return extreme(s, a, b, DIM_MIN);
}

pln_dim pln_dim_max(pln_syms *s, pln_dim a, pln_dim b)
{
    return extreme(s, a, b, DIM_MAX);
}

/* ---- questions --------------------------------------------------------------------- */

bool pln_dim_equal(pln_dim a, pln_dim b)
{
    if (a.expr || b.expr)
        return a.expr == b.expr && a.expr != PLN_EXPR_UNKNOWN;
    return a.value == b.value;
}

bool pln_dim_differ(pln_syms *s, pln_dim a, pln_dim b)
{
    if (!a.expr && !b.expr)
        return a.value != b.value;
    const pln_dim d = pln_dim_sub(s, a, b);
    return !d.expr && d.value != 0;
}

const char *pln_dim_symbol_name(pln_dim d)
{
    if (!d.expr || d.expr->n != 1 || d.expr->t[0].coef != 1)
        return NULL;
    const dim_mono *m = d.expr->t[0].m;
    return m && m->n == 1 && m->f[0]->kind == DIM_SYMBOL ? m->f[0]->name : NULL;
}

pln_dim pln_dim_symbol(pln_syms *s, const char *name, size_t len)
{
    if (!s)
        return pln_dim_unknown();
    return dim_of_atom(s, atom_symbol(s, name, len));
}

/* ---- rebuilding -------------------------------------------------------------------- */

typedef struct rebuild {
    pln_syms *syms;
    pln_dim (*lookup)(void *user, const char *symbol); /* NULL: no substitution */
    void *user;
} rebuild;

static pln_dim rebuild_dim(const rebuild *r, pln_dim d);

static pln_dim rebuild_atom(const rebuild *r, const dim_atom *a)
{
    static pln_dim (*const op[])(pln_syms *, pln_dim, pln_dim) = {
        [DIM_DIV] = pln_dim_div, [DIM_DIV_UP] = pln_dim_div_up, [DIM_MOD] = pln_dim_mod,
        [DIM_MIN] = pln_dim_min, [DIM_MAX] = pln_dim_max,
    };
    if (a->kind != DIM_SYMBOL)
        return op[a->kind](r->syms, rebuild_dim(r, a->a), rebuild_dim(r, a->b));
    if (r->lookup) {
        const pln_dim d = r->lookup(r->user, a->name);
        if (!pln_dim_is_unknown(d))
            return d;
    }
    return pln_dim_symbol(r->syms, a->name, a->len);
}

static pln_dim rebuild_dim(const rebuild *r, pln_dim d)
{
    if (!d.expr || pln_dim_is_unknown(d))
        return d;
    pln_dim sum = pln_dim_of(0);
    for (uint32_t i = 0; i < d.expr->n; i++) {
        pln_dim t = pln_dim_of(d.expr->t[i].coef);
        const dim_mono *m = d.expr->t[i].m;
        for (uint32_t j = 0; m && j < m->n; j++)
            t = pln_dim_mul(r->syms, t, rebuild_atom(r, m->f[j]));
        sum = pln_dim_add(r->syms, sum, t);
    }
    return sum;
}

pln_dim pln_dim_substitute(pln_syms *s, pln_dim d,
                           pln_dim (*lookup)(void *user, const char *symbol), void *user)
{
    return rebuild_dim(&(rebuild){ s, lookup, user }, d);
}

pln_dim pln_dim_import(pln_syms *s, pln_dim d)
{
    return rebuild_dim(&(rebuild){ s, NULL, NULL }, d);
}
