/* Inputs of a model.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/feeds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/image.h"
#include "tools/common/report.h"

bool feeds_split(const char *arg, char *name, size_t size, const char **value)
{
    const char *eq = strrchr(arg, '=');
    if (!eq || eq == arg || (size_t)(eq - arg) >= size)
        return false;
    memcpy(name, arg, (size_t)(eq - arg));
    name[eq - arg] = '\0';
    *value = eq + 1;
    return true;
}

/* The value given for `name` in a list of NAME=VALUE, the last one; NULL: none. */
static const char *lookup(const str_list *list, const char *name)
{
    const char *found = NULL, *value;
    char key[1024];
    for (size_t i = 0; name && i < list->n; i++)
        if (feeds_split(list->v[i], key, sizeof key, &value) && !strcmp(key, name))
            found = value;
    return found;
}

bool feeds_split_dim(const char *arg, char *name, size_t size, int64_t *n)
{
    const char *value;
    char *end = NULL;
    errno = 0;
    if (feeds_split(arg, name, size, &value))
        *n = strtoll(value, &end, 10);
    if (end && end != value && !*end && !errno)
        return true;
    fail(2, "--dim needs NAME=N, not '%s'", arg);
    return false;
}

int64_t feeds_dim(const str_list *dims, const char *name)
{
    const char *v = lookup(dims, name);
    return v ? strtoll(v, NULL, 10) : -1;
}

static bool find_input(const pln_model *model, const char *name, pln_io_info *io)
{
    for (size_t i = 0; i < pln_model_count(model, PLN_INPUT); i++)
        if (pln_model_io(model, PLN_INPUT, i, io) == PLN_OK && !strcmp(io->name, name))
            return true;
    return false;
}

static int unknown_input(const pln_model *model, const char *name, const char *where)
{
    const char *names[64], *near;
    size_t n = 0;
    pln_io_info io;
    for (size_t i = 0; i < pln_model_count(model, PLN_INPUT) && n < 63; i++)
        if (pln_model_io(model, PLN_INPUT, i, &io) == PLN_OK)
            names[n++] = io.name;
    names[n] = NULL;
    near = pln_suggest(name, names);
    if (near)
        return fail(3, "'%s' is not an input of the model; did you mean '%s'? (%s)", name,
                    near, where);
    return fail(3, "'%s' is not an input of the model (%s)", name, where);
}

static int put(feeds *f, const char *name, pln_tensor *t)
{
    char **names = realloc(f->names, (f->n + 1) * sizeof *names);
    if (names)
        f->names = names;
    pln_tensor **tensors = realloc(f->tensors, (f->n + 1) * sizeof(pln_tensor *));
    if (tensors)
        f->tensors = tensors;
    char *copy = strdup(name);
    if (!names || !tensors || !copy) {
        free(copy);
        pln_tensor_unref(t);
        return fail(6, "out of memory");
    }
    f->names[f->n] = copy;
    f->tensors[f->n++] = t;
    return 0;
}

static bool has(const feeds *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->names[i], name))
            return true;
    return false;
}

void feeds_free(feeds *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->names[i]);
        pln_tensor_unref(f->tensors[i]);
    }
    free(f->names);
    free(f->tensors);
    *f = (feeds){ 0 };
}

/* ---- files ----------------------------------------------------------------------- */

static int put_array(pln_env *env, const pln_io_info *io, const npz_item *item,
                     const char *path, feeds *out)
{
    const char *why;
    pln_tensor *t;
    if (!npy_to_tensor(env, &item->array, io->dtype, &t, &why))
        return fail(3, "input '%s': %s, which is %s (%s)", io->name, why,
                    pln_dtype_name(io->dtype), path);
    return put(out, io->name, t);
}

int feeds_from_archive(pln_env *env, const pln_model *model, const char *path, feeds *out)
{
    npz z;
    int rc = npz_read(path, &z);
    bool prefixed = false;
    for (size_t i = 0; i < z.n; i++)
        prefixed |= !strncmp(z.items[i].key, "in:", 3);
    for (size_t i = 0; !rc && i < z.n; i++) {
        const char *key = z.items[i].key;
        pln_io_info io;
        if (prefixed && strncmp(key, "in:", 3))
            continue;
        key += prefixed ? 3 : 0;
        if (!find_input(model, key, &io))
            rc = unknown_input(model, key, path);
        else if (!has(out, key))
            rc = put_array(env, &io, &z.items[i], path, out);
    }
    npz_free(&z);
    return rc;
}

static int from_npy(pln_env *env, const pln_io_info *io, const char *path, feeds *out)
{
    npz z;
    int rc = npz_read(path, &z);
    if (rc)
        return rc;
    const npz_item *item = npz_find(&z, io->name);
    if (!item && z.n == 1)
        item = &z.items[0];
    rc = item ? put_array(env, io, item, path, out)
              : fail(3, "the archive has no array '%s' (%s)", io->name, path);
    npz_free(&z);
    return rc;
}

static int from_proto(pln_env *env, const pln_io_info *io, const char *path, feeds *out)
{
    char *data;
    size_t len;
    int rc = read_file(path, &data, &len);
    if (rc)
        return rc;
    pln_error *err = pln_error_new();
    pln_tensor *t = NULL;
    if (pln_tensor_parse(env, io->kind, data, len, &t, err) != PLN_OK)
        rc = fail_status(err, path);
    else
        rc = put(out, io->name, t);
    pln_error_free(err);
    free(data);
    return rc;
}

static int from_file(pln_env *env, const pln_model *model, const char *arg,
                     const feed_args *args, feeds *out)
{
    char name[1024];
    const char *path;
    pln_io_info io;
    if (!feeds_split(arg, name, sizeof name, &path))
        return fail(2, "--input needs NAME=FILE, not '%s'", arg);
    if (!find_input(model, name, &io))
        return unknown_input(model, name, "--input");
    const size_t len = strlen(path);
    if (len > 3 && !strcmp(path + len - 3, ".pb"))
        return from_proto(env, &io, path, out);
    if (!image_is(path))
        return from_npy(env, &io, path, out);
    pln_tensor *t = NULL;
    const int rc = image_load(env, path, io.dtype, args, &t);
    return rc ? rc : put(out, io.name, t);
}

/* ---- random ---------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int random_shape(const pln_io_info *io, const feed_args *args, int *rank,
                        int64_t dims[24])
{
    const char *given = lookup(&args->shapes, io->name);
    *rank = 0;
    if (given) {
        while (*given && *rank < 24) {
            char *end;
            dims[(*rank)++] = strtoll(given, &end, 10);
            if (end == given || (*end && *end != 'x'))
                return fail(2, "--shape needs NAME=AxBxC (%s)", io->name);
            given = *end ? end + 1 : end;
        }
        return 0;
    }
    if (io->rank < 0 || io->rank > 24)
        return fail(3, "the rank of input '%s' is unknown: give --shape", io->name);
    for (; *rank < io->rank; ++*rank) {
        const char *name = io->dim_names ? io->dim_names[*rank] : NULL;
        const int64_t set = feeds_dim(&args->dims, name);
        const int64_t none = !name && args->unknown ? args->unknown : 1;
        dims[*rank] = io->dims[*rank] >= 0 ? io->dims[*rank] : set >= 0 ? set : none;
    }
    return 0;
}

static bool is_float(pln_dtype dt)
{
    return dt == PLN_DT_F32 || dt == PLN_DT_F64 || dt == PLN_DT_F16 || dt == PLN_DT_C64 ||
           dt == PLN_DT_C128 || (dt >= PLN_DT_BF16 && dt <= PLN_DT_F8E5M2FNUZ) ||
           dt == PLN_DT_F4E2M1 || dt == PLN_DT_F8E8M0 || dt == PLN_DT_F6E2M3 ||
           dt == PLN_DT_F6E3M2;
}

static int random_input(pln_env *env, const pln_io_info *io, const feed_args *args,
                        uint64_t *state, feeds *out)
{
    int64_t dims[24];
    int rank, rc = random_shape(io, args, &rank, dims);
    pln_tensor *t = NULL;
    if (rc)
        return rc;
    if (io->kind != PLN_KIND_TENSOR || io->dtype == PLN_DT_NONE)
        return fail(3, "input '%s' is not given and can't be random", io->name);
    if (pln_tensor_new(env, io->dtype, rank, dims, &t, NULL) != PLN_OK)
        return fail(6, "input '%s': out of memory", io->name);
    const bool flt = is_float(io->dtype);
    double lo = flt ? -1 : 0, hi = flt ? 1 : 2;
    const char *range = lookup(&args->ranges, io->name);
    if (range && (sscanf(range, "%lf:%lf", &lo, &hi) != 2 || !(lo <= hi))) {
        pln_tensor_unref(t);
        return fail(2, "--range needs NAME=LO:HI (%s)", io->name);
    }
    if (range && !flt)
        hi += 1; /* both ends are drawn */
    for (int64_t i = 0; i < pln_tensor_count(t); i++) {
        const double u = (double)(next_random(state) >> 11) * 0x1p-53;
        double v = lo + u * (hi - lo);
        if (!flt)
            v = v < 0 ? -(double)(int64_t)(-v + 1 - 1e-12) : (double)(int64_t)v;
        pln_tensor_set_number(t, i, v);
    }
    return put(out, io->name, t);
}

static int fill_random(pln_env *env, const pln_model *model, const feed_args *args,
                       uint64_t seed, bool say, feeds *out)
{
    uint64_t state = seed;
    int rc = 0;
    for (size_t i = 0; !rc && i < pln_model_count(model, PLN_INPUT); i++) {
        pln_io_info io;
        if (pln_model_io(model, PLN_INPUT, i, &io) != PLN_OK || io.has_default ||
            has(out, io.name))
            continue;
        if (say)
            warn("input '%s' is not given: random, seed %llu", io.name,
                 (unsigned long long)seed);
        rc = random_input(env, &io, args, &state, out);
    }
    return rc;
}

int feeds_random(pln_env *env, const pln_model *model, const feed_args *args,
                 uint64_t seed, feeds *out)
{
    const int rc = fill_random(env, model, args, seed, false, out);
    if (rc)
        feeds_free(out);
    return rc;
}

static bool has_dim(const pln_model *model, const char *name)
{
    pln_io_info io;
    for (size_t i = 0; i < pln_model_count(model, PLN_INPUT); i++)
        if (pln_model_io(model, PLN_INPUT, i, &io) == PLN_OK)
            for (int d = 0; d < io.rank; d++)
                if (io.dim_names && io.dim_names[d] && !strcmp(io.dim_names[d], name))
                    return true;
    return false;
}

/* What names nothing is told of: several models may share the options. */
static int check_names(const pln_model *model, const feed_args *args)
{
    char name[1024];
    const char *value;
    int64_t size;
    pln_io_info io;
    const struct {
        const char *option;
        const str_list *list;
    } of_inputs[] = { { "shape", &args->shapes }, { "range", &args->ranges } };
    for (size_t i = 0; i < args->dims.n; i++) {
        if (!feeds_split_dim(args->dims.v[i], name, sizeof name, &size))
            return 2;
        if (size < 0)
            return fail(2, "--dim: '%s' can't have size %lld", name, (long long)size);
        if (!has_dim(model, name))
            warn("--dim: no input has a dimension '%s'", name);
    }
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < of_inputs[k].list->n; i++) {
            const char *arg = of_inputs[k].list->v[i];
            if (!feeds_split(arg, name, sizeof name, &value))
                return fail(2, "--%s needs NAME=..., not '%s'", of_inputs[k].option, arg);
            if (!find_input(model, name, &io))
                warn("--%s: '%s' is not an input", of_inputs[k].option, name);
        }
    return 0;
}

int feeds_make(pln_env *env, const pln_model *model, const feed_args *args, feeds *out)
{
    int rc = check_names(model, args);
    for (size_t i = 0; !rc && i < args->files.n; i++)
        rc = from_file(env, model, args->files.v[i], args, out);
    for (size_t i = 0; !rc && i < args->archives.n; i++)
        rc = feeds_from_archive(env, model, args->archives.v[i], out);
    if (!rc)
        rc = fill_random(env, model, args, (uint64_t)args->seed, true, out);
    if (rc)
        feeds_free(out);
    return rc;
}
