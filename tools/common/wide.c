/* Values of a model that outgrow a type.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/wide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/report.h"
#include "tools/common/runner.h"

#define ENDLESS \
    1e30 /* what comes of masks with the largest number, which stand for infinity */

static bool is_wide(const pln_tensor *t, double limit)
{
    if (!t || pln_tensor_kind(t) != PLN_KIND_TENSOR || pln_tensor_dtype(t) != PLN_DT_F32)
        return false;
    const float *x = pln_tensor_data_const(t);
    for (int64_t i = 0, n = pln_tensor_count(t); i < n; i++)
        if (fabs((double)x[i]) > limit && fabs((double)x[i]) < ENDLESS)
            return true;
    return false;
}

static bool has(const str_list *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (!strcmp(names->v[i], name))
            return true;
    return false;
}

static int add(str_list *names, const char *name)
{
    const char **v = realloc(names->v, (names->n + 1) * sizeof *v);
    char *copy = strdup(name);
    if (v)
        names->v = v;
    if (!v || !copy) {
        free(copy);
        return fail(6, "out of memory");
    }
    names->v[names->n++] = copy;
    return 0;
}

static int look(const pln_model *model, pln_run *run, double limit, str_list *names)
{
    char *json = NULL;
    int rc = 0;
    if (pln_model_values(model, &json, NULL) != PLN_OK)
        return fail(6, "out of memory");
    json_t *list = json_loads(json, 0, NULL), *v;
    size_t i;
    pln_free(NULL, json);
    json_array_foreach(list, i, v)
    {
        const char *name = json_string_value(v);
        if (!rc && name && is_wide(pln_run_value(run, name), limit) && !has(names, name))
            rc = add(names, name);
    }
    json_decref(list);
    return rc;
}

int wide_find(pln_env *env, const pln_model *model, const str_list *archives,
              double limit, str_list *names)
{
    const session_args how = { .no_optimize = true };
    pln_session *s = NULL;
    int rc = archives->n ? session_open(model, NULL, &how, true, &s) : 0;
    for (size_t i = 0; !rc && i < archives->n; i++) {
        feeds in = { 0 };
        pln_run *run = NULL;
        rc = feeds_from_archive(env, model, archives->v[i], &in);
        if (!rc)
            rc = session_run(s, archives->v[i], &in, &run);
        if (!rc)
            rc = look(model, run, limit, names);
        pln_run_free(run);
        feeds_free(&in);
    }
    pln_session_free(s);
    return rc;
}

void wide_free(str_list *names)
{
    for (size_t i = 0; i < names->n; i++)
        free((char *)(uintptr_t)names->v[i]);
    free(names->v);
    *names = (str_list){ 0 };
}
