/* planish run: run a model once.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

typedef struct run_args {
    common_args common;
    feed_args feed;
    session_args session;
    const char *outputs;
} run_args;

static const opt run_opts[] = {
    FEED_OPTS(run_args, feed),
    { "outputs", 'o', OPT_STR, offsetof(run_args, outputs), "F.npz|DIR",
      "where the outputs go: an archive, or a folder of output_K.pb" },
    SESSION_OPTS(run_args, session),
    { NULL },
};

static void summary(const pln_tensor *t, char *buf, size_t size)
{
    double lo = INFINITY, hi = -INFINITY, sum = 0;
    const int64_t n = pln_tensor_kind(t) == PLN_KIND_TENSOR ? pln_tensor_count(t) : 0;
    *buf = '\0';
    if (n == 0 || pln_tensor_dtype(t) == PLN_DT_STRING)
        return;
    for (int64_t i = 0; i < n; i++) {
        const double v = pln_tensor_number(t, i);
        lo = fmin(lo, v);
        hi = fmax(hi, v);
        sum += v;
    }
    snprintf(buf, size, "min %.6g  max %.6g  mean %.6g", lo, hi, sum / (double)n);
}

static json_t *print_output(FILE *out, const char *name, const pln_tensor *t)
{
    char type[200], text[200];
    json_t *o = json_object();
    tensor_type_text(t, type, sizeof type);
    summary(t, text, sizeof text);
    fprintf(out, "%-28s %-28s %s\n", name, type, text);
    json_object_set_new(o, "name", json_string(name));
    json_object_set_new(o, "type", json_string(type));
    return o;
}

static int save_pb(const char *dir, size_t i, const char *name, const pln_tensor *t)
{
    char path[4096];
    void *data;
    size_t len;
    pln_error *err = pln_error_new();
    snprintf(path, sizeof path, "%s/output_%zu.pb", dir, i);
    int rc = 0;
    if (pln_tensor_serialize(NULL, t, name, &data, &len, err) != PLN_OK) {
        rc = fail_status(err, name);
    } else {
        rc = write_file(path, data, len);
        pln_free(NULL, data);
    }
    pln_error_free(err);
    return rc;
}

static bool is_folder(const char *path)
{
    struct stat st;
    const size_t n = strlen(path);
    return (n && path[n - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

static int save_outputs(const char *path, const pln_session *s, pln_run *run)
{
    const bool folder = path && is_folder(path);
    npz_writer *w = npz_writer_new();
    int rc = w ? 0 : fail(6, "out of memory");
    if (folder)
        mkdir(path, 0777);
    for (size_t i = 0; !rc && path && i < pln_session_count(s, PLN_OUTPUT); i++) {
        pln_io_info io;
        pln_session_io(s, PLN_OUTPUT, i, &io);
        const pln_tensor *t = pln_run_output_at(run, i);
        rc = folder ? save_pb(path, i, io.name, t) : npz_writer_add(w, io.name, t);
    }
    if (!rc && path && !folder)
        rc = npz_writer_save(w, path);
    npz_writer_free(w);
    return rc;
}

static int report(const run_args *a, const pln_session *s, pln_run *run)
{
    FILE *out = report_out(&a->common);
    json_t *list = json_array(), *root = json_object();
    for (size_t i = 0; i < pln_session_count(s, PLN_OUTPUT); i++) {
        pln_io_info io;
        pln_session_io(s, PLN_OUTPUT, i, &io);
        json_array_append_new(list,
                              print_output(out, io.name, pln_run_output_at(run, i)));
    }
    json_object_set_new(root, "outputs", list);
    return report_json(&a->common, root);
}

static int run(void *args, int n_files, char **files)
{
    const run_args *a = args;
    pln_model *model = NULL;
    pln_session *s = NULL;
    pln_run *r = NULL;
    feeds in = { 0 };
    int rc;
    pln_env *env = report_env(&a->common, &rc);
    if (!rc)
        rc = model_open(env, files[0], &model);
    if (!rc)
        rc = feeds_make(env, model, &a->feed, &in);
    if (!rc)
        rc = session_open(model, files[0], &a->session, false, &s);
    pln_model_free(model); /* the session keeps what it needs */
    if (!rc)
        rc = session_run(s, files[0], &in, &r);
    if (!rc)
        rc = save_outputs(a->outputs, s, r);
    if (!rc)
        rc = report(a, s, r);
    pln_run_free(r);
    pln_session_free(s);
    feeds_free(&in);
    pln_env_free(env);
    return rc;
}

const verb verb_run = {
    .name = "run",
    .synopsis = "MODEL [--inputs F.npz] [--input NAME=F] [--outputs F.npz|DIR]",
    .brief = "run a model and print its outputs' types, shapes and ranges",
    .details = "examples:\n"
               "  planish run model.onnx --inputs in.npz --outputs out.npz\n"
               "  planish run model.onnx --input x=cat.png --mean .485,.456,.406 "
               "--std .229,.224,.225\n",
    .opts = run_opts,
    .args_size = sizeof(run_args),
    .min_files = 1,
    .max_files = 1,
    .threads = true,
    .run = run,
};
