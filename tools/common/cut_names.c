/* The ends of a part of a graph.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/cut_names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/report.h"

static bool is_output(const pln_model *model, const char *name, size_t len)
{
    for (size_t i = 0; i < pln_model_count(model, PLN_OUTPUT); i++) {
        pln_io_info io;
        if (pln_model_io(model, PLN_OUTPUT, i, &io) == PLN_OK && io.name_len == len &&
            !memcmp(io.name, name, len))
            return true;
    }
    return false;
}

/* The longest value's name at the beginning of the list that ends at a comma or at the
 * end. */
static size_t longest_name(const pln_model *model, const json_t *names, const char *list)
{
    size_t best = 0, i;
    json_t *v;
    json_array_foreach(names, i, v)
    {
        const char *s = json_string_value(v);
        const size_t n = strlen(s);
        if (n > best && !strncmp(list, s, n) && (!list[n] || list[n] == ','))
            best = n;
    }
    const size_t plain = strcspn(list, ",");
    return !best && is_output(model, list, plain) ? plain : best;
}

/* Cuts a list into names in place; *known is cleared when one is no value. */
static bool split_list(const pln_model *model, const json_t *names, char *list,
                       const char ***out, size_t *n, bool *known)
{
    *n = 0;
    *out = calloc(strlen(list) + 1, sizeof **out);
    while (*out && *list) {
        size_t len = longest_name(model, names, list);
        if (!len) {
            *known = false;
            len = strcspn(list, ",");
        }
        (*out)[(*n)++] = list;
        list += len;
        if (*list)
            *list++ = '\0';
    }
    return *out != NULL;
}

static bool split_at(const pln_model *model, const json_t *names, const char *arg,
                     size_t at, cut_names *out, bool *known)
{
    *known = true;
    out->text = strdup(arg);
    if (!out->text)
        return false;
    out->text[at] = '\0';
    return split_list(model, names, out->text, &out->from, &out->n_from, known) &&
           split_list(model, names, out->text + at + 1, &out->to, &out->n_to, known);
}

int cut_names_split(const pln_model *model, const char *arg, cut_names *out)
{
    char *json = NULL;
    const char *first = strchr(arg, ':');
    bool known = false, ok = true;
    if (!first || !arg[1])
        return fail(2, "--extract needs IN,...:OUT,..., not '%s'", arg);
    if (pln_model_values(model, &json, NULL) != PLN_OK)
        return fail(6, "out of memory");
    json_t *names = json_loads(json, 0, NULL);
    pln_free(NULL, json);
    for (const char *at = first; ok && !known && at; at = strchr(at + 1, ':')) {
        cut_names_free(out);
        ok = split_at(model, names, arg, (size_t)(at - arg), out, &known);
    }
    if (ok && !known) { /* the error will name what is not there */
        cut_names_free(out);
        ok = split_at(model, names, arg, (size_t)(first - arg), out, &known);
    }
    json_decref(names);
    return ok ? 0 : fail(6, "out of memory");
}

void cut_names_free(cut_names *cut)
{
    free(cut->text);
    free(cut->from);
    free(cut->to);
    *cut = (cut_names){ 0 };
}
