/* labels: a LabelEncoder of labels that another one gives is one of the first's keys.
 *
 *     LabelEncoder<q: 1, r: 2>(LabelEncoder<0: q, 1: r>(x)) => LabelEncoder<0: 1, 1:
 * 2>(x)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"
#include "src/ir/eval.h"

#include <string.h>

/* The labels that a node gives, and last what it gives for other keys. NULL: not in
 * lists. */
static pln_tensor *labels_of(const pln_node *n, const pln_allocator *alloc)
{
    const pln_attr *ints = pln_node_find_attr(n, "values_int64s");
    const pln_attr *texts = pln_node_find_attr(n, "values_strings");
    const pln_attr *a = ints ? ints : texts;
    pln_tensor *t = NULL;
    if (!a || a->n > INT32_MAX || pln_node_find_attr(n, "keys_tensor") ||
        pln_node_find_attr(n, "default_tensor"))
        return NULL;
    const int64_t count = (int64_t)a->n + 1;
    if (pln_tensor_make(alloc, ints ? PLN_DT_S64 : PLN_DT_STRING, 1, &count, &t, NULL) !=
        PLN_OK)
        return NULL;
    const char *other = pln_node_get_string(n, "default_string", "_Unused");
    bool ok = true;
    for (int64_t i = 0; i < count; i++) {
        const bool last = i + 1 == count;
        if (ints) {
            pln_tensor_set_i64(
                t, i, last ? pln_node_get_int(n, "default_int64", -1) : ints->ints[i]);
            continue;
        }
        const char *s = last ? other : texts->strings[i];
        ok &= pln_tensor_set_string(t, i, s, strlen(s)) == PLN_OK;
    }
    if (ok)
        return t;
    pln_tensor_unref(t);
    return NULL;
}

static pln_status put_texts(pln_node *n, const pln_tensor *t, size_t count,
                            pln_arena *arena)
{
    const char **v = PLN_NEW_ARRAY(arena, const char *, count + 1);
    size_t len;
    if (!v)
        return PLN_E_NOMEM;
    for (size_t i = 0; i <= count; i++) {
        PLN_TRY(pln_tensor_string(t, (int64_t)i, &v[i], &len));
        if (strlen(v[i]) != len)
            return PLN_E_UNSUPPORTED;
    }
    PLN_TRY(pln_node_set_strings(n, "values_strings", v, count));
    return pln_node_set_string(n, "default_string", v[count], strlen(v[count]));
}

static pln_status put_numbers(pln_node *n, const pln_tensor *t, size_t count)
{
    if (t->dtype == PLN_DT_S64) {
        PLN_TRY(pln_node_set_ints(n, "values_int64s", PLN_DATA(const int64_t, t), count));
        return pln_node_set_int(n, "default_int64", PLN_DATA(const int64_t, t)[count]);
    }
    PLN_TRY(pln_node_set_floats(n, "values_floats", PLN_DATA(const float, t), count));
    return pln_node_set_float(n, "default_float", PLN_DATA(const float, t)[count]);
}

static pln_status put_labels(pln_node *n, const pln_tensor *t, pln_arena *arena)
{
    static const char *const old[] = {
        "values_int64s", "values_strings", "values_floats",
        "default_int64", "default_string", "default_float"
    };
    const size_t count = (size_t)pln_tensor_size(t) - 1;
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++)
        pln_node_drop_attr(n, old[i]);
    if (t->dtype == PLN_DT_STRING)
        return put_texts(n, t, count, arena);
    return t->dtype == PLN_DT_S64 || t->dtype == PLN_DT_F32 ? put_numbers(n, t, count)
                                                            : PLN_E_UNSUPPORTED;
}

static pln_status one_encoder(pln_match *m, pln_patch *p)
{
    const pln_node *first = pln_match_node(m, "first");
    pln_value *x = pln_match_val(m, "x");
    pln_tensor *given = labels_of(first, p->graph->model->alloc), *out = NULL;
    if (!given)
        return pln_match_refuse(m, "its labels are no lists of numbers or texts");
    pln_status st = pln_node_eval(m->root, &given, &out, NULL);
    pln_node *n = st == PLN_OK ? pln_patch_copy(p, first, &x, 1) : NULL;
    if (n)
        st = put_labels(n, out, m->ctx->scratch);
    pln_tensor_unref(given);
    pln_tensor_unref(out);
    if (!n || st != PLN_OK)
        return st == PLN_E_NOMEM ? st : pln_match_refuse(m, "labels of another type");
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "label-label",
      .match = "ai.onnx.ml.LabelEncoder(first=ai.onnx.ml.LabelEncoder!(x))",
      .build = one_encoder },
};

const pln_pass pln_pass_labels = {
    .name = "labels",
    .brief = "one LabelEncoder of two",
    PLN_RULES(rules),
};
