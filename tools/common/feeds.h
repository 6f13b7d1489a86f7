/* Inputs of a model: from archives, files, images, or random.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_FEEDS_H
#define TOOLS_FEEDS_H

#include "tools/common/npz.h"
#include "tools/common/opts.h"

typedef struct feed_args {
    str_list archives;  /* --inputs */
    str_list files;     /* --input NAME=F */
    str_list ranges;    /* --range NAME=LO:HI */
    str_list dims;      /* --dim NAME=N */
    str_list shapes;    /* --shape NAME=1x3x224x224 */
    const char *layout, *color, *mean, *std;
    double scale;
    int64_t seed;
    int64_t unknown;    /* size of dimensions without a name; 0: 1 */
} feed_args;

/* Rows for a verb's option table; `st` has a feed_args member `field`. */
#define FEED_OPTS(st, field)                                                            \
    { "inputs", 0, OPT_LIST, offsetof(st, field.archives), "F.npz",                      \
      "input arrays by name; keys 'in:NAME' alone are read where there are any" },       \
    { "input", 0, OPT_LIST, offsetof(st, field.files), "NAME=F",                         \
      "one input from .npy, .npz, .pb, .png or .jpg (repeatable)" },                     \
    { "range", 0, OPT_LIST, offsetof(st, field.ranges), "NAME=LO:HI",                    \
      "range of a random input" },                                                       \
    { "dim", 0, OPT_LIST, offsetof(st, field.dims), "NAME=N",                            \
      "size of a symbolic dimension of random inputs (1)" },                             \
    { "shape", 0, OPT_LIST, offsetof(st, field.shapes), "NAME=AxBxC",                    \
      "shape of a random input" },                                                       \
    { "seed", 0, OPT_INT, offsetof(st, field.seed), "N", "of random inputs (0)" },       \
    { "layout", 0, OPT_STR, offsetof(st, field.layout), "nchw|nhwc",                     \
      "of images (nchw)" },                                                              \
    { "color", 0, OPT_STR, offsetof(st, field.color), "rgb|bgr|gray",                    \
      "of images (rgb)" },                                                               \
    { "mean", 0, OPT_STR, offsetof(st, field.mean), "A,B,C",                             \
      "subtracted from image values, after --scale" },                                   \
    { "std", 0, OPT_STR, offsetof(st, field.std), "A,B,C", "divides image values" },     \
    { "scale", 0, OPT_FLOAT, offsetof(st, field.scale), "X",                             \
      "factor of image values 0..255 (1/255 for float inputs)" }

typedef struct feeds {
    char **names;
    pln_tensor **tensors;
    size_t n;
} feeds;

/* One tensor for each input of the model that has no default. 0, or an exit code after an
 * error was printed. */
int feeds_make(pln_env *env, const pln_model *model, const feed_args *args, feeds *out);
/* Only what an archive holds (calibration data): every key must be an input. */
int feeds_from_archive(pln_env *env, const pln_model *model, const char *path,
                       feeds *out);
void feeds_free(feeds *f);
/* Random inputs with this seed in place of args->seed; nothing is said on stderr. */
int feeds_random(pln_env *env, const pln_model *model, const feed_args *args,
                 uint64_t seed, feeds *out);
/* Splits "NAME=VALUE"; the name is copied into name. false: no '='. */
bool feeds_split(const char *arg, char *name, size_t size, const char **value);
/* Splits "NAME=N" of --dim; false after an error was printed. */
bool feeds_split_dim(const char *arg, char *name, size_t size, int64_t *n);
/* The size given for a symbolic dimension, or -1. */
int64_t feeds_dim(const str_list *dims, const char *name);

#endif
