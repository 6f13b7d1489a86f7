/* Command-line options from tables, the one source of --help and of the man page.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_OPTS_H
#define TOOLS_OPTS_H

#include <planish/planish.h>
#include <stdio.h>

typedef enum opt_kind {
    OPT_FLAG,  /* bool */
    OPT_INT,   /* int64_t */
    OPT_COUNT, /* int64_t, not negative */
    OPT_FLOAT, /* double */
    OPT_STR,   /* const char * */
    OPT_LIST   /* str_list: may be given again */
} opt_kind;

typedef struct str_list {
    const char **v;
    size_t n;
} str_list;

typedef struct opt {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* 0: none. A number with a letter also takes -O3 */
    opt_kind kind;
    size_t offset; /* of the field in the verb's argument struct */
    const char *arg;
    const char *help;
} opt;

/* Options of every verb; the first member of each verb's argument struct. */
typedef struct common_args {
    bool help, quiet, verbose;
    const char *json;
    str_list plugins;
} common_args;

typedef struct verb {
    const char *name;
    const char *synopsis; /* what follows the name: "MODEL [options]" */
    const char *brief;
    const char *details; /* examples and notes; may be NULL */
    const opt *opts;
    size_t args_size;
    void (*defaults)(void *args); /* NULL: all zero */
    int min_files, max_files;     /* max -1: any number */
    bool threads;                 /* it runs models, on several threads */
    int (*run)(void *args, int n_files, char **files);
} verb;

extern const opt common_opts[];

/* Fills args; 0, or 2 after it has printed what is wrong. */
int opts_parse(const verb *v, int argc, char **argv, void *args, int *n_files,
               char **files);
void opts_free(const verb *v, void *args);
void opts_help(const verb *v, FILE *out);

#endif
