/* Command-line options from tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/opts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/report.h"

const opt common_opts[] = {
    { "json", 0, OPT_STR, offsetof(common_args, json), "FILE|-",
      "write the results as JSON; with - stdout holds JSON only" },
    { "plugin", 0, OPT_LIST, offsetof(common_args, plugins), "FILE",
      "load operators from a shared object (repeatable)" },
    { "quiet", 'q', OPT_FLAG, offsetof(common_args, quiet), NULL, "print errors only" },
    { "verbose", 'v', OPT_FLAG, offsetof(common_args, verbose), NULL, "print more" },
    { "help", 'h', OPT_FLAG, offsetof(common_args, help), NULL, "print this help" },
    { NULL },
};

static const opt *find_in(const opt *o, const char *name, size_t len, char letter)
{
    for (; o && o->name; o++)
        if (letter ? o->letter == letter
                   : strlen(o->name) == len && !memcmp(o->name, name, len))
            return o;
    return NULL;
}

static const opt *find(const verb *v, const char *name, size_t len, char letter)
{
    const opt *o = find_in(v->opts, name, len, letter);
    return o ? o : find_in(common_opts, name, len, letter);
}

static int unknown(const verb *v, const char *name, size_t len)
{
    const char *names[80], *near;
    char word[64];
    size_t n = 0;
    for (const opt *o = v->opts; o && o->name && n < 60; o++)
        names[n++] = o->name;
    for (const opt *o = common_opts; o->name; o++)
        names[n++] = o->name;
    names[n] = NULL;
    snprintf(word, sizeof word, "%.*s", (int)(len < 60 ? len : 60), name);
    near = pln_suggest(word, names);
    if (near)
        return fail(2, "unknown option '--%s'; did you mean '--%s'?", word, near);
    return fail(2, "unknown option '--%s'; see 'planish %s --help'", word, v->name);
}

static int store(const opt *o, const char *value, void *args)
{
    void *field = (char *)args + o->offset;
    char *end = NULL;
    errno = 0;
    if (o->kind == OPT_STR) {
        *(const char **)field = value;
    } else if (o->kind == OPT_INT || o->kind == OPT_COUNT) {
        *(int64_t *)field = strtoll(value, &end, 10);
    } else if (o->kind == OPT_FLOAT) {
        *(double *)field = strtod(value, &end);
    } else {
        str_list *l = field;
        const char **grown = realloc(l->v, (l->n + 1) * sizeof *grown);
        if (!grown)
            return fail(6, "out of memory");
        l->v = grown;
        l->v[l->n++] = value;
    }
    if (o->kind == OPT_COUNT && end && end != value && !*end && *(int64_t *)field < 0)
        return fail(2, "option '--%s' can't be negative: %s", o->name, value);
    if (o->kind == OPT_FLOAT && isnan(*(double *)field))
        return fail(2, "option '--%s' needs a number, not '%s'", o->name, value);
    if (end && (end == value || *end || errno))
        return fail(2, "option '--%s' needs a number, not '%s'", o->name, value);
    return 0;
}

/* One argument that begins with '-'; *i moves on when it takes the next one. */
static int parse_option(const verb *v, int argc, char **argv, int *i, void *args)
{
    const char *arg = argv[*i], *value = NULL;
    const opt *o;
    if (arg[1] == '-') {
        const char *eq = strchr(arg, '=');
        const size_t len = eq ? (size_t)(eq - arg) - 2 : strlen(arg) - 2;
        o = find(v, arg + 2, len, 0);
        if (!o)
            return unknown(v, arg + 2, len);
        value = eq ? eq + 1 : NULL;
    } else {
        o = find(v, NULL, 0, arg[1]);
        if (!o)
            return fail(2, "unknown option '%s'; see 'planish %s --help'", arg, v->name);
        value = arg[2] ? arg + 2 : NULL;
    }
    if (o->kind == OPT_FLAG) {
        if (value)
            return fail(2, "option '--%s' takes no value", o->name);
        *(bool *)((char *)args + o->offset) = true;
        return 0;
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value)
        return fail(2, "option '--%s' needs a value", o->name);
    return store(o, value, args);
}

int opts_parse(const verb *v, int argc, char **argv, void *args, int *n_files,
               char **files)
{
    bool only_files = false;
    *n_files = 0;
    for (int i = 0; i < argc; i++) {
        if (!only_files && !strcmp(argv[i], "--")) {
            only_files = true;
        } else if (only_files || argv[i][0] != '-' || !argv[i][1]) {
            files[(*n_files)++] = argv[i];
        } else {
            const int rc = parse_option(v, argc, argv, &i, args);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static void free_in(const opt *o, void *args)
{
    for (; o && o->name; o++)
        if (o->kind == OPT_LIST)
            free(((str_list *)(void *)((char *)args + o->offset))->v);
}

void opts_free(const verb *v, void *args)
{
    free_in(v->opts, args);
    free_in(common_opts, args);
}

#define HELP_AT    32 /* where the right column begins */
#define HELP_WIDTH 64 /* how wide it is */

/* The right column, as many lines as it takes; the cursor stands at its beginning. */
static void put_help(const char *text, FILE *out)
{
    for (;;) {
        size_t n = strlen(text);
        if (n > HELP_WIDTH)
            for (n = HELP_WIDTH; n > 0 && text[n] != ' ';)
                n--;
        n = n ? n : strcspn(text, " ");
        fprintf(out, "%.*s\n", (int)n, text);
        text += n;
        if (!*text)
            return;
        text++;
        fprintf(out, "%*s", HELP_AT, "");
    }
}

static void help_of(const opt *o, FILE *out)
{
    for (; o && o->name; o++) {
        char left[64];
        const int n = o->letter
                          ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                          : snprintf(left, sizeof left, "      --%s", o->name);
        if (o->arg && n > 0 && (size_t)n < sizeof left)
            snprintf(left + n, sizeof left - (size_t)n, " %s", o->arg);
        if (strlen(left) > HELP_AT - 2)
            fprintf(out, "%s\n%*s", left, HELP_AT, "");
        else
            fprintf(out, "%-*s", HELP_AT, left);
        put_help(o->help, out);
    }
}

void opts_help(const verb *v, FILE *out)
{
    fprintf(out, "usage: planish %s %s\n\n%s\n\n", v->name, v->synopsis, v->brief);
    help_of(v->opts, out);
    help_of(common_opts, out);
    if (v->details)
        fprintf(out, "\n%s", v->details);
}
