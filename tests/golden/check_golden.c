/* Golden tests of passes: tests/golden/<pass>/<case>.txt.
 *
 * A case is a line of what to run, a model in text form, a line `---`, and the model that
 * must come out. The first line is a pipeline and, after it, options:
 *
 *     fuse-matmul target=planish
 *
 * rules=FILE (beside the case), target=onnx|ort|planish, level=N (instead of the
 * pipeline's contracts), approx, disable=NAME, once (the passes of this line undo each
 * other: a second run may name anew). Comparison ignores blanks and comments. Each case
 * runs twice: the second time must change nothing. Every rewrite is validated while it is
 * made: none may be refused (but where `refused=N` says so). `--update` writes what comes
 * out into the files.
 *
 * usage: check_golden [--update] FILE...
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <planish/planish.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct golden {
    const char *path;
    char *text;                  /* the whole file */
    char *line, *before, *after; /* parts of it, NUL-terminated */
    pln_optimize_options options;
    int refused; /* rewrites that must be refused */
    bool once;   /* a second run may change it */
    pln_rules_source rules;
    char *rules_text; /* owned */
} golden;

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *text = NULL;
    size_t n = 0, cap = 0;
    for (;;) {
        if (n + 4096 + 1 > cap) {
            cap = cap * 2 + 8192;
            char *p = realloc(text, cap);
            if (!p)
                break;
            text = p;
        }
        const size_t got = fread(text + n, 1, cap - n - 1, f);
        n += got;
        if (!got)
            break;
    }
    fclose(f);
    if (text)
        text[n] = '\0';
    return text;
}

/* Cuts the file into its parts; false: it is no golden test. */
static bool split(golden *g)
{
    char *nl = strchr(g->text, '\n');
    if (!nl)
        return false;
    *nl = '\0';
    g->line = g->text;
    g->before = nl + 1;
    char *bar = strncmp(g->before, "---\n", 4) ? strstr(g->before, "\n---\n") : NULL;
    if (!bar) {
        g->after = g->before + strlen(g->before); /* new: nothing yet */
        return true;
    }
    bar[1] = '\0';
    g->after = bar + 5;
    return true;
}

/* A file beside the case. */
static void read_rules(golden *g, const char *name)
{
    char path[1024];
    const char *slash = strrchr(g->path, '/');
    snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - g->path) + 1 : 0, g->path,
             name);
    char *text = read_file(path);
    free(g->rules_text);
    g->rules_text = text;
    g->rules = (pln_rules_source){ "rules", text ? text : "no such file" };
    g->options.rules = &g->rules;
    g->options.n_rules = 1;
}

static void read_option(golden *g, char *word)
{
    if (!strcmp(word, "target=planish"))
        g->options.target = PLN_TARGET_PLANISH;
    else if (!strcmp(word, "target=ort"))
        g->options.target = PLN_TARGET_ORT;
    else if (!strncmp(word, "level=", 6))
        g->options.level = atoi(word + 6);
    else if (!strncmp(word, "disable=", 8))
        g->options.disable = word + 8;
    else if (!strncmp(word, "growth=", 7))
        g->options.fold_growth = strtoull(word + 7, NULL, 10);
    else if (!strncmp(word, "rules=", 6))
        read_rules(g, word + 6);
    else if (!strncmp(word, "refused=", 8))
        g->refused = atoi(word + 8);
    else if (!strcmp(word, "once"))
        g->once = true;
    else if (!strcmp(word, "approx"))
        g->options.allow_approx = true;
    else
        g->options.passes = word;
}

static void read_options(golden *g, char *line)
{
    g->options = (pln_optimize_options)PLN_OPTIMIZE_OPTIONS_INIT;
    g->options.no_stamp = true;
    g->options.verify = PLN_VERIFY_REWRITE;
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
        read_option(g, word);
}

/* Next character that counts: blanks and comments don't. */
static const char *next(const char *s)
{
    for (;;) {
        while (isspace((unsigned char)*s))
            s++;
        if (*s != '#')
            return s;
        while (*s && *s != '\n')
            s++;
    }
}

static bool same_text(const char *a, const char *b)
{
    for (;;) {
        a = next(a);
        b = next(b);
        if (*a != *b)
            return false;
        if (!*a)
            return true;
        a++;
        b++;
    }
}

static int count_refused(const char *report)
{
    int n = 0;
    const char *at = strstr(report, "\"refused\":[{");
    for (; at; at = strstr(at + 1, "\"why\":"))
        n++;
    return n ? n - 1 : 0;
}

static pln_status optimize_text(const char *in, const golden *g, char **out, int *refused,
                                pln_error *err)
{
    pln_model *m = NULL;
    char *report = NULL;
    pln_print_options po = PLN_PRINT_OPTIONS_INIT;
    po.inline_limit = 4096;
    pln_status st = pln_model_parse(NULL, in, strlen(in), NULL, &m, err);
    if (st == PLN_OK)
        st = pln_model_optimize(m, &g->options, &report, err);
    *refused = report ? count_refused(report) : 0;
    if (*refused != g->refused)
        printf("# %s\n", report ? strstr(report, "\"verify\"") : "");
    pln_free(NULL, report);
    if (st == PLN_OK)
        st = pln_model_print(m, &po, out, err);
    pln_model_free(m);
    return st;
}

static bool update(const golden *g, const char *line, const char *out)
{
    FILE *f = fopen(g->path, "wb");
    if (!f)
        return false;
    fprintf(f, "%s\n%s---\n%s", line, g->before, out);
    return fclose(f) == 0;
}

/* NULL: passed; else what is wrong. */
static const char *run(golden *g, bool write, char **first, char *why, size_t size)
{
    char line[512];
    int refused = 0, again = 0;
    char *second = NULL;
    pln_error *err = pln_error_new();
    const char *fault = NULL;
    snprintf(line, sizeof line, "%s", g->line);
    read_options(g, g->line);
    if (optimize_text(g->before, g, first, &refused, err) != PLN_OK ||
        optimize_text(*first, g, &second, &again, err) != PLN_OK) {
        snprintf(why, size, "%s", pln_error_text(err));
        fault = why;
    } else if (refused != g->refused || again != g->refused) {
        fault = "another number of rewrites is refused";
    } else if (!g->once && !same_text(*first, second)) {
        fault = "a second run changes it again";
    } else if (write) {
        fault = update(g, line, *first) ? NULL : "can't be written";
    } else if (!same_text(*first, g->after)) {
        fault = "another graph comes out";
    }
    pln_free(NULL, second);
    pln_error_free(err);
    return fault;
}

static bool check_file(const char *path, int n, bool write)
{
    golden g = { .path = path, .text = read_file(path) };
    char *out = NULL, why[600];
    const char *fault = "no golden test";
    if (g.text && split(&g))
        fault = run(&g, write, &out, why, sizeof why);
    printf("%s %d - %s\n", fault ? "not ok" : "ok", n, path);
    if (fault)
        printf("# %s\n", fault);
    for (char *s = fault ? out : NULL; s && *s;) {
        char *nl = strchr(s, '\n');
        printf("#   %.*s\n", (int)(nl ? nl - s : (ptrdiff_t)strlen(s)), s);
        s = nl ? nl + 1 : NULL;
    }
    pln_free(NULL, out);
    free(g.text);
    free(g.rules_text);
    return !fault;
}

int main(int argc, char **argv)
{
    int n = 0, failed = 0;
    bool write = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--update"))
            write = true;
        else
            failed += !check_file(argv[i], ++n, write);
    }
    printf("1..%d\n", n);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
