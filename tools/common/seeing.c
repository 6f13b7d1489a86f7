/* What `optimize` lets one see of its rules at work.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/seeing.h"

#include <string.h>

static int parse_verify(const char *word, pln_verify *out)
{
    static const char *const names[] = { "off", "pass", "rewrite" };
    *out = PLN_VERIFY_OFF;
    for (int i = 0; word && i < 3; i++)
        if (!strcmp(word, names[i])) {
            *out = (pln_verify)i;
            return 0;
        }
    return word ? fail(2, "--verify-each is rewrite, pass or off, not '%s'", word) : 0;
}

int seeing_fill(const seeing_args *a, pln_optimize_options *o)
{
    return parse_verify(a->verify_each, &o->verify);
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static long long count(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void print_verify(const json_t *v, FILE *out)
{
    size_t i;
    const json_t *r;
    json_array_foreach(json_object_get(v, "refused"), i, r)
        warn("refused: %s at %s: %s", text(r, "rule"), text(r, "node"), text(r, "why"));
    long long unverified = 0;
    json_array_foreach(json_object_get(v, "unverified"), i, r)
        unverified += count(r, "count");
    fprintf(out, "verified: %lld rewrites of their own kind, %lld like them, %lld refused, "
                 "%lld not verified\n",
            count(v, "checked"), count(v, "again"),
            (long long)json_array_size(json_object_get(v, "refused")), unverified);
    json_array_foreach(json_object_get(v, "unverified"), i, r)
        fprintf(out, "  %6lld not verified: %s\n", count(r, "count"), text(r, "why"));
}

void seeing_print(const seeing_args *a, const json_t *report, FILE *out)
{
    (void)a;
    if (json_object_get(report, "verify"))
        print_verify(json_object_get(report, "verify"), out);
}
