/* planish: the command. One verb is one file, verb_<name>.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/spin.h"
#include "tools/common/manual.h"
#include "tools/common/report.h"

#define PLN_VERB(name) extern const verb verb_##name;
#include "tools/verb_list.inc"
#undef PLN_VERB

static const verb *const verbs[] = {
#define PLN_VERB(name) &verb_##name,
#include "tools/verb_list.inc"
#undef PLN_VERB
    NULL,
};

static int usage(FILE *out)
{
    fputs("usage: planish VERB [options] ARGS\n\n"
          "Reads, rewrites and runs ONNX models.\n\n", out);
    for (size_t i = 0; verbs[i]; i++)
        fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->brief);
    fputs("\n'planish VERB --help' tells more. --version prints the version.\n", out);
    return out == stdout ? 0 : 2;
}

static int unknown_verb(const char *word)
{
    const char *names[64], *near;
    size_t n = 0;
    for (; verbs[n] && n < 63; n++)
        names[n] = verbs[n]->name;
    names[n] = NULL;
    near = pln_suggest(word, names);
    if (near)
        return fail(2, "unknown verb '%s'; did you mean '%s'?", word, near);
    return fail(2, "unknown verb '%s'; see 'planish --help'", word);
}

static int run_verb(const verb *v, int argc, char **argv)
{
    char **files = calloc((size_t)argc + 1, sizeof *files);
    common_args *args = calloc(1, v->args_size);
    int n_files = 0;
    if (!files || !args)
        return fail(6, "out of memory");
    if (v->defaults)
        v->defaults(args);
    int rc = opts_parse(v, argc, argv, args, &n_files, files);
    if (!rc && args->help)
        opts_help(v, stdout);
    else if (!rc &&
             (n_files < v->min_files || (v->max_files >= 0 && n_files > v->max_files)))
        rc = fail(2, "usage: planish %s %s", v->name, v->synopsis);
    else if (!rc)
        rc = v->run(args, n_files, files);
    if (fflush(stdout) && !rc)
        rc = fail(3, "can't write to stdout");
    opts_free(v, args);
    free(args);
    free(files);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return usage(stdout);
    if (!strcmp(argv[1], "--version")) {
        printf("planish %s (%s)\n", pln_version_string(), pln_cpu_name());
        return 0;
    }
    if (!strcmp(argv[1], "--manual")) /* for the build: prints the man page */
        return manual_print(verbs, stdout);
    for (size_t i = 0; verbs[i]; i++)
        if (!strcmp(argv[1], verbs[i]->name)) {
            if (verbs[i]->threads)
                spin_briefly(argv);
            return run_verb(verbs[i], argc - 2, argv + 2);
        }
    return unknown_verb(argv[1]);
}
