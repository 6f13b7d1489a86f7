/* Models, sessions and runs as the verbs need them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_RUNNER_H
#define TOOLS_RUNNER_H

#include "tools/common/feeds.h"

typedef struct session_args {
    const char *device;
    int64_t threads;
    bool no_optimize;
} session_args;

#define SESSION_OPTS(st, field)                                          \
    { "device", 0, OPT_STR, offsetof(st, field.device), "ref|cpu|dnnl",  \
      "what may run nodes (all that is there)" },                        \
    { "threads", 0, OPT_COUNT, offsetof(st, field.threads), "N",         \
      "OMP_NUM_THREADS, else the processors allowed" },                  \
    { "no-optimize", 0, OPT_FLAG, offsetof(st, field.no_optimize), NULL, \
      "run the graph as it is" }

/* Each returns 0, or an exit code after an error was printed. "-" is stdin. */
int model_open(pln_env *env, const char *path, pln_model **out);
/* What the library says of it is in err and not printed; then *out is NULL. */
int model_open_quietly(pln_env *env, const char *path, pln_model **out, pln_error *err);
int model_copy(const pln_model *model, pln_model **out);
/* Gives symbolic dimensions their sizes, from a list of NAME=N (--dim). */
int model_set_dims(pln_model *model, const str_list *dims);
int session_open(const pln_model *model, const char *path, const session_args *args,
                 bool all_values, pln_session **out);
/* Binds and runs; with `out` non-NULL the run stays open for its outputs. */
int session_run(pln_session *session, const char *path, const feeds *in, pln_run **out);
int run_bind(pln_run *run, const char *path, const feeds *in);

/* "float[1,3,224]", "seq(3 x ...)"; into buf. */
const char *tensor_type_text(const pln_tensor *t, char *buf, size_t size);
const char *io_type_text(const pln_io_info *io, char *buf, size_t size);
/* "1.9 MB" */
const char *bytes_text(double bytes, char *buf, size_t size);

#endif
