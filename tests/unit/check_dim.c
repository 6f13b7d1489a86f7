/* Symbolic dimensions: canonical form, arithmetics, bounds, text.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/dim.h"
#include "tests/unit/main.h"

static pln_arena *arena;
static pln_syms *syms;

static void setup(void)
{
    arena = pln_arena_new(NULL);
    syms = pln_syms_new(arena);
    ck_assert_ptr_nonnull(syms);
}

static void teardown(void)
{
    pln_arena_free(arena);
}

static pln_dim d(const char *text)
{
    return pln_dim_parse(syms, text, strlen(text));
}

static void expect(pln_dim dim, const char *want)
{
    pln_text t;
    pln_text_init(&t, NULL);
    pln_dim_print(&t, dim);
    ck_assert_str_eq(t.data, want);
    ck_assert(pln_dim_is_unknown(dim) || !dim.expr ||
              pln_dim_equal(pln_dim_parse(syms, t.data, t.len), dim));
    pln_text_done(&t);
}

START_TEST(canonical_form)
{
    expect(d("1+seq*2"), "2*seq+1");
    expect(d("(a+b)*(a-b)"), "a*a-b*b");
    expect(d("seq + batch - seq"), "batch");
    expect(d("2*(b+a)-2*a"), "2*b");
    expect(d("-a"), "-a");
    ck_assert(pln_dim_equal(d("a*b"), d("b*a")));
    ck_assert(!pln_dim_equal(d("a"), d("b")));
    ck_assert(!pln_dim_equal(pln_dim_unknown(), pln_dim_unknown()));
}
END_TEST

START_TEST(text_that_is_no_expression_is_a_name)
{
    static const char *const names[] = { "batch size", "a:0", "2seq", "a+", "(a",
                                         "3",          "-5",  "a/b",  "seq-seq", "f(a,b)",
                                         "99999999999999999999*a" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_str_eq(pln_dim_symbol_name(d(names[i])), names[i]);
        expect(d(names[i]), names[i]);
    }
    expect(pln_dim_add(syms, d("batch size"), pln_dim_of(1)), "{batch size}+1");
    expect(pln_dim_parse(syms, "", 0), "?");
}
END_TEST

START_TEST(division)
{
    expect(pln_dim_div(syms, d("2*seq"), pln_dim_of(2)), "seq");
    expect(pln_dim_div(syms, d("2*seq+5"), pln_dim_of(2)), "seq+2");
    expect(pln_dim_div(syms, d("seq+5"), pln_dim_of(2)), "floor((seq+1)/2)+2");
    expect(pln_dim_div(syms, d("seq-1"), pln_dim_of(2)), "floor((seq+1)/2)-1");
    expect(pln_dim_div(syms, d("batch*seq*384"), d("batch*seq")), "384");
    expect(pln_dim_div(syms, d("(seq+1)*batch*12"), d("batch+batch*seq")), "12");
    expect(pln_dim_div(syms, d("a"), d("b")), "floor(a/b)");
    expect(pln_dim_div(syms, pln_dim_div(syms, d("h+1"), pln_dim_of(2)), pln_dim_of(2)),
           "floor((h+1)/4)");
    expect(pln_dim_div_up(syms, d("h"), pln_dim_of(2)), "floor((h+1)/2)");
    expect(pln_dim_div_up(syms, d("4*h"), pln_dim_of(2)), "2*h");
    expect(pln_dim_div_up(syms, d("a"), d("b")), "ceil(a/b)");
    expect(pln_dim_div(syms, d("a"), pln_dim_of(0)), "?");
    expect(pln_dim_div(syms, pln_dim_of(-7), pln_dim_of(2)), "-4");
    expect(pln_dim_div_up(syms, pln_dim_of(7), pln_dim_of(2)), "4");
    expect(pln_dim_div_up(syms, pln_dim_of(-7), pln_dim_of(2)), "-3");
    expect(pln_dim_div(syms, pln_dim_of(INT64_MIN), pln_dim_of(-1)), "?");
}
END_TEST

START_TEST(remainder_and_extremes)
{
    expect(pln_dim_mod(syms, d("4*a+7"), pln_dim_of(4)), "3");
    expect(pln_dim_mod(syms, d("5*a"), pln_dim_of(4)), "mod(5*a,4)");
    expect(pln_dim_mod(syms, pln_dim_of(-7), pln_dim_of(4)), "1");
    expect(pln_dim_mod(syms, pln_dim_of(INT64_MIN), pln_dim_of(-1)), "0");
    expect(pln_dim_min(syms, d("a+1"), d("a")), "a");
    expect(pln_dim_max(syms, d("a+b"), d("a")), "a+b");
    expect(pln_dim_max(syms, d("b"), d("a")), "max(a,b)");
    ck_assert(pln_dim_equal(pln_dim_max(syms, d("b"), d("a")),
                            pln_dim_max(syms, d("a"), d("b"))));
    expect(pln_dim_max(syms, d("a"), pln_dim_of(1)), "max(a,1)"); /* a size may be 0 */
    expect(pln_dim_min(syms, d("a"), pln_dim_of(512)), "min(a,512)");
    expect(pln_dim_max(syms, d("a"), d("min(a,512)")), "a");
    expect(pln_dim_min(syms, d("min(a,512)"), d("a")), "min(a,512)");
}
END_TEST

START_TEST(overflow_is_unknown)
{
    expect(pln_dim_add(syms, pln_dim_of(INT64_MAX), pln_dim_of(1)), "?");
    expect(pln_dim_mul(syms, d("4611686018427387904*a"), pln_dim_of(2)), "?");
    pln_dim big = d("a+b+c+e");
    for (int i = 0; i < 20; i++)
        big = pln_dim_mul(syms, big, d("a+b+c+e"));
    ck_assert(pln_dim_is_unknown(big));
    pln_dim deep = d("a");
    for (int i = 0; i < 100; i++)
        deep = pln_dim_add(syms, pln_dim_max(syms, deep, d("b")), d("c"));
    ck_assert(pln_dim_is_unknown(deep));
}
END_TEST

START_TEST(bounds)
{
    ck_assert(pln_dim_at_least(d("a"), 1));
    ck_assert(!pln_dim_at_least(d("a"), 2));
    ck_assert(pln_dim_at_least(d("2*a*b+3"), 5));
    ck_assert(pln_dim_at_least(d("a-1"), 0));
    ck_assert(!pln_dim_at_least(d("a-b"), -100));
    ck_assert(pln_dim_at_least(d("floor(a/2)"), 0));
    ck_assert(pln_dim_at_least(pln_dim_mod(syms, d("a"), pln_dim_of(4)), 0));
    ck_assert(pln_dim_at_least(pln_dim_max(syms, d("a-b"), pln_dim_of(7)), 7));
    ck_assert(!pln_dim_at_least(pln_dim_unknown(), INT64_MIN + 1));
    ck_assert(pln_dim_always_at_least(d("a"), 0));
    ck_assert(!pln_dim_always_at_least(d("a"), 1));
    ck_assert(pln_dim_always_at_least(d("2*a*b+3"), 3));
    ck_assert(pln_dim_always_at_least(d("floor(a/b)"), 0));
    ck_assert(pln_dim_differ(syms, d("a"), d("a+1")));
    ck_assert(!pln_dim_differ(syms, d("a"), d("b")));
    ck_assert(pln_dim_differ(syms, pln_dim_of(3), pln_dim_of(4)));
}
END_TEST

static pln_dim seq_is_7(void *user, const char *symbol)
{
    return strcmp(symbol, "seq") ? pln_dim_unknown() : pln_dim_of(7);
}

START_TEST(substitution_and_import)
{
    expect(pln_dim_substitute(syms, d("2*seq*b+1"), seq_is_7, NULL), "14*b+1");
    expect(pln_dim_substitute(syms, d("floor(seq/2)"), seq_is_7, NULL), "3");
    pln_arena *other_arena = pln_arena_new(NULL);
    pln_syms *other = pln_syms_new(other_arena);
    const pln_dim x = pln_dim_parse(other, "max(q,2*seq)", 12);
    ck_assert(pln_dim_equal(pln_dim_import(syms, x), d("max(q,2*seq)")));
    pln_arena_free(other_arena);
}
END_TEST

START_TEST(without_a_table_only_numbers)
{
    expect(pln_dim_add(NULL, pln_dim_of(2), pln_dim_of(3)), "5");
    expect(pln_dim_mul(NULL, pln_dim_of(2), pln_dim_of(3)), "6");
    expect(pln_dim_div_up(NULL, pln_dim_of(7), pln_dim_of(3)), "3");
    expect(pln_dim_add(NULL, d("a"), pln_dim_of(3)), "?");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dim");
    TCase *t = tcase_create("dim");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, canonical_form);
    tcase_add_test(t, text_that_is_no_expression_is_a_name);
    tcase_add_test(t, division);
    tcase_add_test(t, remainder_and_extremes);
    tcase_add_test(t, overflow_is_unknown);
    tcase_add_test(t, bounds);
    tcase_add_test(t, substitution_and_import);
    tcase_add_test(t, without_a_table_only_numbers);
    suite_add_tcase(s, t);
    return unit_main(s);
}
