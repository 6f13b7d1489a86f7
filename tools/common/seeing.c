/* What `optimize` lets one see of its rules at work.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/seeing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common/save.h"

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

/* ---- the graph after each pass ----------------------------------------------------- */

#define READABLE (1 << 20) /* bytes of weights up to which a model's text is for people */

static json_int_t weight_bytes(const pln_model *model)
{
    char *json = NULL;
    pln_model_info(model, &json, NULL);
    json_t *o = json ? json_loads(json, 0, NULL) : NULL;
    pln_free(NULL, json);
    const json_int_t n = json_integer_value(json_object_get(o, "weight_bytes"));
    json_decref(o);
    return n;
}

static int dump_text(const pln_model *model, const char *path)
{
    char *text = NULL;
    pln_error *err = pln_error_new();
    const int rc = pln_model_print(model, NULL, &text, err) == PLN_OK
                       ? write_file(path, text, strlen(text))
                       : fail_status(err, path);
    pln_free(NULL, text);
    pln_error_free(err);
    return rc;
}

/* As `path`.onnx, and as text. */
static int dump(const pln_model *model, const char *path)
{
    static const save_args plain = { 0 };
    char file[4300];
    snprintf(file, sizeof file, "%s.onnx", path);
    const int rc = model_save(model, file, &plain);
    if (rc || weight_bytes(model) > READABLE)
        return rc;
    snprintf(file, sizeof file, "%s.txt", path);
    return dump_text(model, file);
}

static void on_pass(void *user, const char *pass, const pln_model *model)
{
    seeing *s = user;
    char path[4200];
    snprintf(path, sizeof path, "%s/%03u-%s", s->args->dump_dir, s->n++, pass);
    if (!s->rc)
        s->rc = dump(model, path);
}

static void on_rewrite(void *user, const pln_rewrite *r)
{
    const pln_model *const side[] = { r->before, r->after };
    seeing *s = user;
    char path[4200];
    for (int i = 0; i < 2 && side[i] && !s->rc; i++) {
        snprintf(path, sizeof path, "%s/rewrites/%05llu-%s-%s", s->args->dump_dir,
                 (unsigned long long)r->number, r->rule, i ? "after" : "before");
        s->rc = dump(side[i], path);
    }
}

static int make_folder(const char *path)
{
    return !mkdir(path, 0777) || errno == EEXIST
               ? 0
               : fail(3, "can't make the folder: %s (%s)", strerror(errno), path);
}

static int start_dumps(seeing *s, const seeing_args *a, pln_watch *w)
{
    char path[4200];
    const bool each = a->dump_each && !strcmp(a->dump_each, "rewrite");
    if (a->dump_each && !each && strcmp(a->dump_each, "pass") != 0)
        return fail(2, "--dump-each is rewrite or pass, not '%s'", a->dump_each);
    if (!a->dump_dir)
        return a->dump_each ? fail(2, "--dump-each needs --dump-dir") : 0;
    int rc = make_folder(a->dump_dir);
    w->on_pass = on_pass;
    w->user = s;
    if (!each || rc)
        return rc;
    snprintf(path, sizeof path, "%s/rewrites", a->dump_dir);
    w->on_rewrite = on_rewrite;
    w->fragment_of = PLN_ALL_REWRITES;
    return make_folder(path);
}

int seeing_start(seeing *s, const pln_model *model)
{
    if (s->args->dump_dir)
        on_pass(s, "model", model);
    return s->rc;
}

static int read_rules(seeing *s, const str_list *files)
{
    s->rules = calloc(files->n + 1, sizeof *s->rules);
    if (!s->rules)
        return fail(6, "out of memory");
    for (size_t i = 0; i < files->n; i++) {
        char *text = NULL;
        size_t len = 0;
        const int rc = read_file(files->v[i], &text, &len);
        if (rc)
            return rc;
        s->rules[i] = (pln_rules_source){ files->v[i], text };
        if (strlen(text) != len)
            return fail(3, "no text (%s)", files->v[i]);
    }
    return 0;
}

void seeing_free(seeing *s)
{
    for (size_t i = 0; s->rules && s->rules[i].name; i++)
        free((char *)(uintptr_t)s->rules[i].text);
    free(s->rules);
    s->rules = NULL;
}

int seeing_fill(seeing *s, const seeing_args *a, pln_optimize_options *o)
{
    *s = (seeing){ .args = a };
    o->stats = a->stats;
    o->explain = a->explain;
    const int rc = a->rules.n ? read_rules(s, &a->rules) : 0;
    if (rc)
        return rc;
    o->rules = s->rules;
    o->n_rules = a->rules.n;
    const int started = start_dumps(s, a, &o->watch);
    return started ? started : parse_verify(a->verify_each, &o->verify);
}

/* ---- tables ------------------------------------------------------------------------ */

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
    fprintf(out,
            "verified: %lld rewrites of their own kind, %lld like them, %lld refused, "
            "%lld not verified\n",
            count(v, "checked"), count(v, "again"),
            (long long)json_array_size(json_object_get(v, "refused")), unverified);
    json_array_foreach(json_object_get(v, "unverified"), i, r)
        fprintf(out, "  %6lld not verified: %s\n", count(r, "count"), text(r, "why"));
}

static void print_reasons(const json_t *rule, FILE *out)
{
    const json_t *list = json_object_get(rule, "reasons");
    long long last = -1;
    for (int k = 0; k < 3; k++) { /* the most frequent ones */
        const json_t *best = NULL, *r;
        size_t i, taken = 0;
        json_array_foreach(list, i, r)
            if ((last < 0 || count(r, "count") < last) &&
                (!best || count(r, "count") > count(best, "count")))
                best = r;
        if (!best)
            return;
        last = count(best, "count");
        json_array_foreach(list, i, r)
            if (count(r, "count") == last && taken++ < 3)
                fprintf(out, "      %6lld x %s\n", last, text(r, "why"));
    }
}

/* Rules that only looked. */
static bool is_idle(const json_t *rule)
{
    return !count(rule, "applied") && !json_array_size(json_object_get(rule, "reasons"));
}

static void print_stats(const json_t *rules, bool all, FILE *out)
{
    size_t i, idle = 0;
    long long applied = 0, nodes = 0, bytes = 0;
    double ms = 0;
    const json_t *r;
    fprintf(out, "  %-26s %-16s %7s %7s %7s %7s %6s %9s %9s\n", "rule", "pass", "tried",
            "matched", "applied", "refused", "nodes", "bytes", "ms");
    json_array_foreach(rules, i, r) {
        applied += count(r, "applied");
        nodes += count(r, "nodes_saved");
        bytes += count(r, "bytes_saved");
        ms += json_number_value(json_object_get(r, "ms"));
        if (is_idle(r) && (!all || !count(r, "tried"))) {
            idle += count(r, "tried") > 0;
            continue;
        }
        fprintf(out, "  %-26s %-16s %7lld %7lld %7lld %7lld %6lld %9lld %9.3f\n",
                text(r, "rule"), text(r, "pass"), count(r, "tried"), count(r, "matched"),
                count(r, "applied"), count(r, "refused"), count(r, "nodes_saved"),
                count(r, "bytes_saved"), json_number_value(json_object_get(r, "ms")));
        print_reasons(r, out);
    }
    fprintf(out, "  %-43s %7s %7s %7lld %7s %6lld %9lld %9.3f\n", "all rules", "", "",
            applied, "", nodes, bytes, ms);
    if (idle)
        fprintf(out, "  %zu more were tried and matched nowhere (-v)\n", idle);
}

#define MOST 20 /* lines of near misses, but with -v */

static void print_explain(const char *what, const json_t *report, bool all, FILE *out)
{
    const json_t *list = json_object_get(report, "explain"), *m;
    size_t i;
    if (json_object_get(report, "silence"))
        fprintf(out, "  %s: %s\n", what, text(report, "silence"));
    const size_t n = json_array_size(list), most = all || n <= MOST + 1 ? n : MOST;
    json_array_foreach(list, i, m) {
        if (i == most)
            break;
        if (json_is_true(json_object_get(m, "applied")))
            fprintf(out, "  %s: applied at %s\n", text(m, "rule"), text(m, "node"));
        else if (count(m, "of"))
            fprintf(out, "  %s: %lld of %lld operators at %s: %s\n", text(m, "rule"),
                    count(m, "matched"), count(m, "of"), text(m, "node"), text(m, "why"));
        else
            fprintf(out, "  %s: not at %s: %s\n", text(m, "rule"), text(m, "node"),
                    text(m, "why"));
    }
    if (n > most)
        fprintf(out, "  ... and %zu more that are no nearer (-v)\n", n - most);
}

/* Whoever gives rules wants to know that none of them came true. */
static void tell_unused(const json_t *passes)
{
    const json_t *p;
    size_t i;
    json_array_foreach(passes, i, p)
        if (!strcmp(text(p, "name"), "rules") && !count(p, "applied"))
            warn("none of the rules given was applied; --explain NAME says why");
}

void seeing_print(const seeing_args *a, const json_t *report, bool all, FILE *out)
{
    if (a->rules.n)
        tell_unused(json_object_get(report, "passes"));
    if (json_object_get(report, "verify"))
        print_verify(json_object_get(report, "verify"), out);
    if (a->stats)
        print_stats(json_object_get(report, "rules"), all, out);
    if (a->explain)
        print_explain(a->explain, report, all, out);
}
