/* Models, sessions and runs as the verbs need them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/runner.h"

#include <stdlib.h>
#include <string.h>

#include "tools/common/report.h"

int model_open_quietly(pln_env *env, const char *path, pln_model **out, pln_error *err)
{
    char *data;
    size_t len;
    pln_load_options o = PLN_LOAD_OPTIONS_INIT;
    *out = NULL;
    if (strcmp(path, "-")) {
        pln_model_load(env, path, NULL, out, err);
        return 0;
    }
    o.copy = true;
    const int rc = read_file(path, &data, &len);
    if (!rc)
        pln_model_load_memory(env, data, len, &o, out, err);
    free(data);
    return rc;
}

int model_open(pln_env *env, const char *path, pln_model **out)
{
    pln_error *err = pln_error_new();
    int rc = model_open_quietly(env, path, out, err);
    if (!rc && !*out)
        rc = fail_status(err, strcmp(path, "-") ? path : "stdin");
    pln_error_free(err);
    return rc;
}

int model_copy(const pln_model *model, pln_model **out)
{
    pln_error *err = pln_error_new();
    const int rc =
        pln_model_clone(model, out, err) == PLN_OK ? 0 : fail_status(err, NULL);
    pln_error_free(err);
    return rc;
}

int model_set_dims(pln_model *model, const str_list *dims)
{
    pln_error *err = pln_error_new();
    int rc = 0;
    for (size_t i = 0; !rc && i < dims->n; i++) {
        char name[1024];
        int64_t size;
        if (!feeds_split_dim(dims->v[i], name, sizeof name, &size))
            rc = 2;
        else if (pln_model_set_dim(model, name, size, err) != PLN_OK)
            rc = fail_status(err, "--dim");
    }
    pln_error_free(err);
    return rc;
}

int session_open(const pln_model *model, const char *path, const session_args *args,
                 bool all_values, pln_session **out)
{
    pln_session_options o = PLN_SESSION_OPTIONS_INIT;
    o.device = args->device;
    o.threads = (int)args->threads;
    o.no_optimize = args->no_optimize || all_values;
    o.all_values = all_values;
    pln_error *err = pln_error_new();
    int rc = 0;
    if (pln_session_new(model, &o, out, err) != PLN_OK)
        rc = fail_status(err, path);
    pln_error_free(err);
    return rc;
}

int run_bind(pln_run *run, const char *path, const feeds *in)
{
    pln_error *err = pln_error_new();
    int rc = 0;
    for (size_t i = 0; !rc && i < in->n; i++)
        if (pln_run_bind_input(run, in->names[i], in->tensors[i], err) != PLN_OK)
            rc = fail_status(err, path);
    pln_error_free(err);
    return rc;
}

int session_run(pln_session *session, const char *path, const feeds *in, pln_run **out)
{
    pln_error *err = pln_error_new();
    pln_run *run = NULL;
    int rc = 0;
    if (pln_run_new(session, &run, err) != PLN_OK)
        rc = fail_status(err, path);
    if (!rc)
        rc = run_bind(run, path, in);
    if (!rc && pln_run_execute(run, NULL, err) != PLN_OK)
        rc = fail_status(err, path);
    if (!rc && out)
        *out = run;
    else
        pln_run_free(run);
    pln_error_free(err);
    return rc;
}

const char *tensor_type_text(const pln_tensor *t, char *buf, size_t size)
{
    static const char *const kinds[] = { "none", "tensor", "sequence", "optional", "map",
                                         "sparse tensor" };
    if (pln_tensor_kind(t) != PLN_KIND_TENSOR) {
        snprintf(buf, size, "%s of %zu", kinds[pln_tensor_kind(t)], pln_tensor_items(t));
        return buf;
    }
    int n = snprintf(buf, size, "%s[", pln_dtype_name(pln_tensor_dtype(t)));
    for (int i = 0; i < pln_tensor_rank(t) && n > 0 && (size_t)n < size; i++)
        n += snprintf(buf + n, size - (size_t)n, i ? ",%lld" : "%lld",
                      (long long)pln_tensor_dims(t)[i]);
    if (n > 0 && (size_t)n < size)
        snprintf(buf + n, size - (size_t)n, "]");
    return buf;
}

const char *io_type_text(const pln_io_info *io, char *buf, size_t size)
{
    static const char *const before[] = { "?", "", "seq(", "optional(", "map(", "sparse(" };
    int n = snprintf(buf, size, "%s%s", before[io->kind], pln_dtype_name(io->dtype));
    if (io->rank != 0 && (size_t)n < size)
        n += snprintf(buf + n, size - (size_t)n, "[");
    for (int i = 0; i < io->rank && (size_t)n < size; i++) {
        const char *sep = i ? "," : "";
        if (io->dims[i] >= 0)
            n += snprintf(buf + n, size - (size_t)n, "%s%lld", sep,
                          (long long)io->dims[i]);
        else
            n += snprintf(buf + n, size - (size_t)n, "%s%s", sep,
                          io->dim_names && io->dim_names[i] ? io->dim_names[i] : "?");
    }
    if ((size_t)n < size)
        snprintf(buf + n, size - (size_t)n, "%s%s",
                 io->rank < 0 ? "...]" : io->rank ? "]" : "",
                 io->kind > PLN_KIND_TENSOR ? ")" : "");
    return buf;
}

const char *bytes_text(double bytes, char *buf, size_t size)
{
    static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
    int u = 0;
    while (bytes >= 1000 && u < 4) {
        bytes /= 1000;
        u++;
    }
    snprintf(buf, size, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return buf;
}
