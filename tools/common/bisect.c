/* Which rewrite breaks a model: by halving the number of rewrites.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/bisect.h"

#include <stdlib.h>

#include "tools/common/report.h"
#include "tools/common/save.h"

typedef struct bisecter {
    pln_env *env;
    const pln_model *original;
    const pln_optimize_options *options;
    verify_args how;
    const bisect_args *args;
    FILE *out;
    uint64_t n, wanted; /* rewrites seen; the one to be told of */
    json_t *culprit;
    int rc;
} bisecter;

static void write_fragment(bisecter *b, const pln_model *m, const char *side)
{
    static const save_args plain = { 0 };
    char path[1024];
    if (!m || b->rc)
        return;
    snprintf(path, sizeof path, "%s-%s.onnx",
             b->args->prefix ? b->args->prefix : "bisect", side);
    b->rc = model_save(m, path, &plain);
    if (!b->rc)
        json_object_set_new(b->culprit, side, json_string(path));
}

static void on_rewrite(void *user, const pln_rewrite *r)
{
    bisecter *b = user;
    b->n = r->number;
    if (r->number != b->wanted)
        return;
    b->culprit = json_object();
    json_object_set_new(b->culprit, "number", json_integer((json_int_t)r->number));
    json_object_set_new(b->culprit, "rule", json_string(r->rule));
    json_object_set_new(b->culprit, "pass", json_string(r->pass));
    json_object_set_new(b->culprit, "node", json_string(r->node));
    write_fragment(b, r->before, "before");
    write_fragment(b, r->after, "after");
}

/* The original with its first k rewrites; 0: all. */
static int rewrite(bisecter *b, uint64_t k, pln_model **out)
{
    pln_optimize_options o = *b->options;
    pln_error *err = pln_error_new();
    o.watch = (pln_watch){ .on_rewrite = on_rewrite, .user = b, .stop_after = k,
                           .fragment_of = b->wanted };
    b->n = 0;
    int rc = model_copy(b->original, out);
    if (!rc && pln_model_optimize(*out, &o, NULL, err) != PLN_OK)
        rc = fail_status(err, "--bisect");
    pln_error_free(err);
    return rc;
}

/* A pass that is a function has no fragment: the whole model before it, and after. */
static int write_whole(bisecter *b, uint64_t k, const pln_model *after)
{
    pln_model *before = NULL;
    int rc = 0;
    if (k > 1)
        rc = rewrite(b, k - 1, &before);
    if (!rc) {
        write_fragment(b, k > 1 ? before : b->original, "before");
        write_fragment(b, after, "after");
    }
    pln_model_free(before);
    return rc;
}

/* 0 or 1 in *differs. */
static int try(bisecter *b, uint64_t k, bool *differs)
{
    pln_model *m = NULL;
    int rc = rewrite(b, k, &m);
    const uint64_t n = b->n;
    if (!rc)
        rc = verify_models(b->env, b->original, m, &b->how, b->out, NULL);
    pln_model_free(m);
    *differs = rc == 1;
    if (rc <= 1)
        fprintf(b->out, "bisect: with %llu rewrites the outputs %s\n",
                (unsigned long long)n, rc ? "differ" : "agree");
    return rc == 1 ? 0 : rc;
}

static int halve(bisecter *b, uint64_t bad, uint64_t *first)
{
    uint64_t good = 0;
    while (bad - good > 1) {
        const uint64_t k = good + (bad - good) / 2;
        bool differs;
        const int rc = try(b, k, &differs);
        if (rc)
            return rc;
        *(differs ? &bad : &good) = k;
    }
    *first = bad;
    return 0;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* Runs up to the culprit once more, to see it. */
static int name_culprit(bisecter *b, uint64_t k)
{
    pln_model *m = NULL;
    b->wanted = k;
    int rc = rewrite(b, k, &m);
    if (!rc && !json_object_get(b->culprit, "after"))
        rc = write_whole(b, k, m);
    pln_model_free(m);
    if (rc || b->rc)
        return rc ? rc : b->rc;
    const char *before = text(b->culprit, "before"), *after = text(b->culprit, "after");
    return fail(
        1,
        "rewrite %llu changes the outputs: rule %s of pass %s at %s%s%s%s%s; nothing is "
        "written",
        (unsigned long long)k, text(b->culprit, "rule"), text(b->culprit, "pass"),
        text(b->culprit, "node"), *before ? ", see " : "", before, *after ? " and " : "",
        after);
}

int bisect_models(pln_env *env, const pln_model *original,
                  const pln_optimize_options *options, const verify_args *how,
                  const bisect_args *args, FILE *out, json_t **found)
{
    bisecter b = { .env = env, .original = original, .options = options, .how = *how,
                   .args = args, .out = out };
    bool differs;
    uint64_t first;
    b.how.quiet = true;
    if (b.how.n < 1)
        b.how.n = 1;
    int rc = try(&b, 0, &differs);
    if (!rc && differs)
        rc = halve(&b, b.n, &first);
    if (!rc && differs)
        rc = name_culprit(&b, first);
    if (found)
        *found = b.culprit;
    else
        json_decref(b.culprit);
    return rc;
}
