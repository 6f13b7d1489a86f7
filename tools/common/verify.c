/* A rewritten model against the original, on random inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/verify.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/report.h"

/* Operators behind which the last bit of a float may move a whole level. */
static const char *const rounding[] = { "DynamicQuantizeLinear",
                                        "QuantizeLinear",
                                        "Round",
                                        "com.microsoft.DynamicQuantizeMatMul",
                                        "com.microsoft.QuantizeLinear",
                                        "planish.DynamicQuantMatMul",
                                        NULL };

typedef struct verifier {
    pln_env *env;
    const pln_model *original;
    pln_session *a, *b;
    const verify_args *args;
    tolerance tol;
    double worst; /* largest difference, as a share of the output's largest element */
    double worst_db;
    str_list symbols; /* names of the inputs' dimensions that nobody gave a size */
    bool unnamed;     /* there are some without a name, too */
    char why[600];    /* they differ */
} verifier;

/* ---- what to expect -------------------------------------------------------------- */

static bool rounds(const json_t *info)
{
    const json_t *ops = json_object_get(info, "ops");
    for (size_t i = 0; rounding[i]; i++)
        if (json_object_get(ops, rounding[i]))
            return true;
    return false;
}

static bool has_type(const json_t *info, const char *key, const char *type)
{
    const json_t *v = json_object_get(info, key), *io;
    size_t i;
    if (json_is_object(v))
        return json_object_get(v, type) != NULL;
    json_array_foreach(v, i, io)
    {
        const char *t = json_string_value(json_object_get(io, "type"));
        if (t && !strcmp(t, type))
            return true;
    }
    return false;
}

/* Rounding units of the formats of 16 bits, a few operations long. */
static double limit_of_types(const json_t *info, double limit)
{
    static const struct {
        const char *type;
        double limit;
    } types[] = { { "float16", 0x1p-8 }, { "bfloat16", 0x1p-5 } };
    static const char *const keys[] = { "weights", "inputs", "outputs" };
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (has_type(info, keys[k], types[t].type))
                limit = fmax(limit, types[t].limit);
    return limit;
}

static int expect(verifier *v, const pln_model *rewritten)
{
    const pln_model *both[2] = { v->original, rewritten };
    double limit = v->args->limit;
    for (size_t i = 0; i < 2; i++) {
        char *json = NULL;
        pln_error *err = pln_error_new();
        if (pln_model_info(both[i], &json, err) != PLN_OK) {
            const int rc = fail_status(err, "--verify");
            pln_error_free(err);
            return rc;
        }
        pln_error_free(err);
        json_t *info = json_loads(json, 0, NULL);
        pln_free(NULL, json);
        if (rounds(info))
            v->tol.sqnr_db = v->args->sqnr_db;
        limit = limit_of_types(info, limit);
        json_decref(info);
    }
    v->tol.atol = limit;
    v->tol.atol_of_max = true;
    v->tol.any_float = v->args->other_types;
    return 0;
}

/* ---- sizes ----------------------------------------------------------------------- */

static bool is_known(const verifier *v, const char *name)
{
    for (size_t i = 0; i < v->symbols.n; i++)
        if (!strcmp(v->symbols.v[i], name))
            return true;
    return feeds_dim(&v->args->feed.dims, name) >= 0;
}

static int find_symbols(verifier *v)
{
    for (size_t i = 0; i < pln_model_count(v->original, PLN_INPUT); i++) {
        pln_io_info io;
        if (pln_model_io(v->original, PLN_INPUT, i, &io) != PLN_OK)
            continue;
        for (int d = 0; d < io.rank; d++) {
            const char *name = io.dim_names ? io.dim_names[d] : NULL;
            v->unnamed |= io.dims[d] < 0 && !name;
            if (io.dims[d] >= 0 || !name || is_known(v, name))
                continue;
            const char **all = realloc(v->symbols.v, (v->symbols.n + 1) * sizeof *all);
            if (!all)
                return fail(6, "out of memory");
            v->symbols.v = all;
            v->symbols.v[v->symbols.n++] = name;
        }
    }
    return 0;
}

/* Not every model runs at every size: what to try, in this order. The numbers of a row
 * are drawn from for dimensions with names; the others all get the last of them. */
static const struct {
    int named[8], unnamed;
} sizes[] = {
    { { 2, 3, 5, 1, 7, 4, 8, 6 }, 1 },
    { { 1, 1, 1, 1, 1, 1, 1, 1 }, 3 },
    { { 32, 64, 96, 32, 64, 96, 32, 64 }, 32 },
    { { 32, 64, 96, 32, 64, 96, 32, 64 }, 48 },
    { { 224, 224, 224, 224, 224, 224, 224, 224 }, 224 },
    { { 576, 576, 576, 576, 576, 576, 576, 576 }, 576 },
};
#define N_TRIES ((int)(sizeof sizes / sizeof sizes[0]))
#define MOST (4 << 20) /* elements of inputs that are tried for their sizes alone */

static bool is_large(const feeds *in)
{
    int64_t n = 0;
    for (size_t i = 0; i < in->n; i++)
        n += pln_tensor_count(in->tensors[i]);
    return n > MOST;
}

/* The given sizes and random ones for the rest, from what `k` and the seed say. */
static bool choose_sizes(const verifier *v, int64_t k, int try, str_list *out)
{
    const str_list *given = &v->args->feed.dims;
    uint64_t s = (uint64_t)(v->args->feed.seed + k) * UINT64_C(0x9e3779b97f4a7c15);
    *out = (str_list){ calloc(given->n + v->symbols.n + 1, sizeof *out->v), 0 };
    if (!out->v)
        return false;
    for (size_t i = 0; i < given->n + v->symbols.n; i++) {
        const char *name = i < given->n ? given->v[i] : v->symbols.v[i - given->n];
        const size_t len = strlen(name) + 8;
        char *text = malloc(len);
        if (!text)
            return false;
        s = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if (i < given->n)
            strcpy(text, name);
        else
            snprintf(text, len, "%s=%d", name, sizes[try].named[(s >> 33) % 8]);
        out->v[out->n++] = text;
    }
    return true;
}

static void free_sizes(str_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free((char *)(uintptr_t)l->v[i]);
    free(l->v);
}

/* ---- runs ------------------------------------------------------------------------ */

static pln_status run_once(pln_session *s, const feeds *in, pln_run **out, pln_error *err)
{
    pln_run *run = NULL;
    pln_status st = pln_run_new(s, &run, err);
    for (size_t i = 0; st == PLN_OK && i < in->n; i++)
        st = pln_run_bind_input(run, in->names[i], in->tensors[i], err);
    if (st == PLN_OK)
        st = pln_run_execute(run, NULL, err);
    *out = st == PLN_OK ? run : NULL;
    if (st != PLN_OK)
        pln_run_free(run);
    return st;
}

/* The original on the k-th inputs, at sizes at which it can run. */
static int run_original(verifier *v, int64_t k, feeds *in, pln_run **run)
{
    const uint64_t seed = (uint64_t)(v->args->feed.seed + k);
    pln_error *err = pln_error_new();
    int rc = 0;
    if (v->args->feed.archives.n) {
        rc = feeds_make(v->env, v->original, &v->args->feed, in);
        if (!rc)
            run_once(v->a, in, run, err);
    }
    for (int try = v->args->feed.archives.n ? N_TRIES : 0; try < N_TRIES && !*run && !rc;
         try++) {
        feed_args feed = v->args->feed;
        str_list chosen = { 0 };
        if (!choose_sizes(v, k, try, &chosen))
            rc = fail(6, "out of memory");
        feed.dims = chosen;
        feed.unknown = sizes[try].unnamed;
        if (!rc)
            rc = feeds_random(v->env, v->original, &feed, seed, in);
        if (!rc &&
            ((try > 1 && is_large(in)) || run_once(v->a, in, run, err) != PLN_OK)) {
            feeds_free(in);
            if (v->symbols.n == 0 && !v->unnamed)
                try = N_TRIES;
        }
        free_sizes(&chosen);
    }
    if (!rc && !*run)
        rc = fail_status(err,
                         "--verify: the original; --dim, --shape and --range may help");
    pln_error_free(err);
    return rc;
}

static int no(verifier *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int no(verifier *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->why, sizeof v->why, fmt, ap);
    va_end(ap);
    return v->args->quiet ? 1 : fail(1, "%s; nothing is written", v->why);
}

static int differs(verifier *v, int64_t k, const char *name, const metrics *m,
                   const pln_tensor *x, const pln_tensor *y)
{
    char why[400];
    if (!m->equal_type)
        return no(
            v, "output '%s' differs with inputs of seed %lld: %s",
            name, (long long)(v->args->feed.seed + k),
            metrics_why(m, y, x, why, sizeof why));
    if (v->tol.sqnr_db > 0)
        return no(
            v,
            "output '%s' differs with inputs of seed %lld: SQNR %.2f dB, want %g",
            name, (long long)(v->args->feed.seed + k), m->sqnr_db, v->tol.sqnr_db);
    return no(v,
                "output '%s' differs by %.3g with inputs of seed %lld: %s",
                name, m->max_abs, (long long)(v->args->feed.seed + k),
                metrics_why(m, y, x, why, sizeof why));
}

static int compare_outputs(verifier *v, int64_t k, pln_run *ra, pln_run *rb)
{
    for (size_t i = 0; i < pln_session_count(v->a, PLN_OUTPUT); i++) {
        pln_io_info io;
        pln_session_io(v->a, PLN_OUTPUT, i, &io);
        const pln_tensor *x = pln_run_output_at(ra, i);
        const pln_tensor *y = pln_run_output(rb, io.name);
        if (!x || !y)
            return no(v, "output '%s' is missing", io.name);
        const metrics m = metrics_of(y, x, &v->tol);
        if (!m.within)
            return differs(v, k, io.name, &m, x, y);
        v->worst = fmax(v->worst, m.of_max);
        v->worst_db = fmin(v->worst_db, m.sqnr_db);
    }
    return 0;
}

/* The inputs in the types in which the rewritten model wants them. */
static int retype_inputs(const verifier *v, feeds *in)
{
    for (size_t i = 0; v->args->other_types && i < pln_session_count(v->b, PLN_INPUT);
         i++) {
        pln_io_info io;
        pln_session_io(v->b, PLN_INPUT, i, &io);
        for (size_t k = 0; k < in->n; k++) {
            pln_tensor *was = in->tensors[k], *now;
            if (strcmp(in->names[k], io.name) ||
                pln_tensor_kind(was) != PLN_KIND_TENSOR ||
                pln_tensor_dtype(was) == io.dtype)
                continue;
            if (pln_tensor_new(v->env, io.dtype, pln_tensor_rank(was),
                               pln_tensor_dims(was), &now, NULL) != PLN_OK)
                return fail(6, "out of memory");
            for (int64_t e = 0; e < pln_tensor_count(was); e++)
                pln_tensor_set_number(now, e, pln_tensor_number(was, e));
            pln_tensor_unref(was);
            in->tensors[k] = now;
        }
    }
    return 0;
}

static int verify_once(verifier *v, int64_t k)
{
    feeds in = { 0 };
    pln_run *ra = NULL, *rb = NULL;
    pln_error *err = pln_error_new();
    int rc = run_original(v, k, &in, &ra);
    if (!rc)
        rc = retype_inputs(v, &in);
    if (!rc && run_once(v->b, &in, &rb, err) != PLN_OK)
        rc = no(v,
                  "the rewritten model fails where the original runs: %s",
                  pln_error_text(err));
    if (!rc)
        rc = compare_outputs(v, k, ra, rb);
    pln_run_free(ra);
    pln_run_free(rb);
    feeds_free(&in);
    pln_error_free(err);
    return rc;
}

/* Without devices, unless the environment names one: when their library is loaded depends
 * on what ran before, and the second session would run by other kernels than the
 * first. */
static int open_both(verifier *v, const pln_model *rewritten)
{
    const char *device = getenv("PLN_DEVICE") ? NULL : "cpu";
    const session_args plain = { .no_optimize = true, .device = device };
    pln_error *err = pln_error_new();
    pln_session_options o = PLN_SESSION_OPTIONS_INIT;
    o.no_optimize = true;
    o.device = device;
    int rc = session_open(v->original, "--verify: the original", &plain, false, &v->a);
    if (!rc && pln_session_new(rewritten, &o, &v->b, err) != PLN_OK)
        rc =
            no(v,
                 "the rewritten model can't be run, but the original can: %s",
                 pln_error_text(err));
    pln_error_free(err);
    return rc;
}

static void tell(const verifier *v, FILE *out)
{
    const long long n = (long long)v->args->n;
    const char *kind = v->args->feed.archives.n ? "given" : "random";
    if (v->args->quiet)
        return;
    if (v->tol.sqnr_db > 0)
        fprintf(out, "verified on %lld %s inputs: SQNR %.1f dB at least (limit %g)\n",
                n, kind, v->worst_db, v->tol.sqnr_db);
    else
        fprintf(out,
                "verified on %lld %s inputs: off by %.2g x max at most (limit %g)\n",
                n, kind, v->worst, v->tol.atol);
}

static json_t *facts(const verifier *v)
{
    const bool db = v->tol.sqnr_db > 0;
    json_t *o = json_object();
    json_object_set_new(o, "n", json_integer((json_int_t)v->args->n));
    json_object_set_new(o, "within", json_boolean(!*v->why));
    if (*v->why) {
        json_object_set_new(o, "why", json_string(v->why));
    } else {
        json_object_set_new(o, "of_max", json_number_or_null(v->worst));
        json_object_set_new(o, "sqnr_db", json_number_or_null(v->worst_db));
    }
    json_object_set_new(o, db ? "limit_sqnr_db" : "limit_of_max",
                        json_real(db ? v->tol.sqnr_db : v->tol.atol));
    return o;
}

int verify_models(pln_env *env, const pln_model *original, const pln_model *rewritten,
                  const verify_args *args, FILE *out, json_t **found)
{
    verifier v = { .env = env, .original = original, .args = args, .worst_db = INFINITY };
    int rc = expect(&v, rewritten);
    if (!rc)
        rc = find_symbols(&v);
    if (!rc)
        rc = open_both(&v, rewritten);
    for (int64_t k = 0; !rc && k < args->n; k++)
        rc = verify_once(&v, k);
    if (!rc)
        tell(&v, out);
    if (found && rc <= 1)
        *found = facts(&v);
    pln_session_free(v.a);
    pln_session_free(v.b);
    free(v.symbols.v);
    return rc;
}
