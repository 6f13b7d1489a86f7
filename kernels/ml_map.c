/* LabelEncoder, CategoryMapper, OneHotEncoder, ArrayFeatureExtractor, FeatureVectorizer,
 * and what makes or reads maps: ZipMap, CastMap, DictVectorizer.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/ml_keys.h"
#include "kernels/raise.h"

static pln_status set_text(pln_tensor *y, int64_t i, const char *s, size_t len,
                           pln_error *err)
{
    return pln_tensor_set_string(y, i, s, len) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* ---- tables that are built once for a session ------------------------------------ */

typedef bool (*keys_fn)(const void *attrs, const pln_allocator *a, pln_keys *k);

static void keys_release(void *state)
{
    pln_keys *k = state;
    const pln_allocator *a = k->alloc;
    pln_keys_done(k);
    pln_release(a, k);
}

static pln_status keys_make(const void *attrs, const pln_allocator *a, keys_fn fill,
                            void **state, pln_error *err)
{
    pln_keys *k = pln_calloc(a, 1, sizeof *k);
    if (k && fill(attrs, a, k)) {
        *state = k;
        return PLN_OK;
    }
    pln_release(a, k);
    return pln_oom(err);
}

/* The reference builds its table for one call, the prepared one for the session. */
#define KEYED(name, fill, run)                                               \
    static pln_status name##_ref(pln_call *c, pln_error *err)                \
    {                                                                        \
        pln_keys k;                                                          \
        if (!fill(c->attrs, pln_call_allocator(c), &k))                      \
            return pln_oom(err);                                             \
        const pln_status st = run(c, &k, err);                               \
        pln_keys_done(&k);                                                   \
        return st;                                                           \
    }                                                                        \
    static pln_status name##_make(pln_prep *p, void **state, pln_error *err) \
    {                                                                        \
        return keys_make(p->attrs, p->alloc, fill, state, err);              \
    }                                                                        \
    static pln_status name##_prepare(pln_prep *p, pln_error *err)            \
    {                                                                        \
        return p->shared(p, 0, name##_make, keys_release, &p->state, err);   \
    }                                                                        \
    static pln_status name##_run(pln_call *c, pln_error *err)                \
    {                                                                        \
        return run(c, c->state, err);                                        \
    }                                                                        \
    static const pln_impl name##_cpu = { #name, name##_prepare, name##_run, NULL };

/* ---- LabelEncoder ---------------------------------------------------------------- */

typedef struct label_attrs {
    pln_ints key_ints, value_ints;
    pln_floats key_floats, value_floats;
    pln_strings key_strings, value_strings;
    pln_tensor *key_tensor, *value_tensor, *default_tensor;
    int64_t default_int;
    float default_float;
    const char *default_string;
} label_attrs;

#define A(attr, kind, field)                                                           \
    {                                                                                  \
        .name = #attr, .type = PLN_ATTR_##kind, .offset = offsetof(label_attrs, field) \
    }
static const pln_attr_spec label_spec[] = {
    A(keys_int64s, INTS, key_ints),
    A(values_int64s, INTS, value_ints),
    A(keys_floats, FLOATS, key_floats),
    A(values_floats, FLOATS, value_floats),
    A(keys_strings, STRINGS, key_strings),
    A(values_strings, STRINGS, value_strings),
    A(keys_tensor, TENSOR, key_tensor),
    A(values_tensor, TENSOR, value_tensor),
    A(default_tensor, TENSOR, default_tensor),
    { .name = "default_int64",
      .type = PLN_ATTR_INT,
      .i = -1,
      .offset = offsetof(label_attrs, default_int) },
    { .name = "default_float",
      .type = PLN_ATTR_FLOAT,
      .f = -0.0f,
      .offset = offsetof(label_attrs, default_float) },
    PLN_A_STR(label_attrs, default_string, "_Unused"),
    PLN_A_END,
};
#undef A

static size_t label_values(const label_attrs *a, pln_dtype *dt)
{
    if (a->value_tensor) {
        *dt = a->value_tensor->dtype;
        return (size_t)pln_tensor_size(a->value_tensor);
    }
    *dt = a->value_strings.n  ? PLN_DT_STRING
          : a->value_floats.n ? PLN_DT_F32
                              : PLN_DT_S64;
    return a->value_strings.n  ? a->value_strings.n
           : a->value_floats.n ? a->value_floats.n
                               : a->value_ints.n;
}

static pln_status label_infer(pln_infer *inf, pln_error *err)
{
    pln_dtype dt;
    label_values(inf->attrs, &dt);
    pln_infer_set(inf, 0, dt, inf->in[0]->shape);
    return PLN_OK;
}

static bool label_fill(const void *attrs, const pln_allocator *alloc, pln_keys *k)
{
    const label_attrs *a = attrs;
    if (a->key_tensor && pln_tensor_materialize(a->key_tensor, NULL) != PLN_OK)
        return false;
    return pln_keys_from(k, alloc, a->key_ints, a->key_floats, a->key_strings,
                         a->key_tensor);
}

static pln_status label_default(const label_attrs *a, pln_tensor *y, int64_t i,
                                pln_error *err)
{
    if (a->default_tensor && pln_tensor_size(a->default_tensor) > 0 &&
        a->default_tensor->dtype == y->dtype) {
        pln_tensor_copy(y, i, a->default_tensor, 0, 1);
        return PLN_OK;
    }
    if (y->dtype == PLN_DT_STRING)
        return set_text(y, i, a->default_string, pln_name_len(a->default_string), err);
    if (pln_dtype_is_float((pln_dtype)y->dtype))
        pln_tensor_set_f64(y, i, a->default_float);
    else
        pln_tensor_set_i64(y, i, a->default_int);
    return PLN_OK;
}

static pln_status label_value(const label_attrs *a, pln_tensor *y, int64_t i, int64_t at,
                              pln_error *err)
{
    if (a->value_tensor)
        pln_tensor_copy(y, i, a->value_tensor, at, 1);
    else if (a->value_strings.n)
        return set_text(y, i, a->value_strings.v[at],
                        pln_name_len(a->value_strings.v[at]), err);
    else if (a->value_floats.n)
        PLN_DATA(float, y)[i] = a->value_floats.v[at];
    else
        PLN_DATA(int64_t, y)[i] = a->value_ints.v[at];
    return PLN_OK;
}

static pln_status label_all(pln_call *c, const pln_keys *k, pln_error *err)
{
    const label_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    pln_dtype dt;
    const size_t values = label_values(a, &dt);
    const int64_t n = pln_tensor_size(x);
    if (values < k->n)
        return pln_call_fail(c, err, PLN_E_FORMAT, "%zu keys and %zu values", k->n,
                             values);
    if (a->value_tensor)
        PLN_TRY(pln_tensor_materialize(a->value_tensor, err));
    if (a->default_tensor)
        PLN_TRY(pln_tensor_materialize(a->default_tensor, err));
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = pln_keys_find(k, pln_key_of(x, i));
        PLN_TRY(at < 0 ? label_default(a, y, i, err) : label_value(a, y, i, at, err));
    }
    return PLN_OK;
}

KEYED(label, label_fill, label_all)

/* Version 1 mapped texts of classes_strings to their positions, and back. */
static pln_status label_raise_2(pln_node *n, pln_error *err)
{
    const pln_attr *a;
    PLN_TRY(pln_raise_attr(n, "classes_strings", PLN_ATTR_STRINGS, &a, err));
    if (!a)
        return pln_raise_fail(n, err, "attribute 'classes_strings' is missing");
    const pln_value *x = n->n_in ? n->in[0] : NULL;
    const bool from_text = !x || x->type.dtype != PLN_DT_S64;
    pln_tensor *t = NULL;
    const int64_t count = (int64_t)a->n;
    PLN_TRY(pln_tensor_make(n->graph->model->alloc, PLN_DT_S64, 1, &count, &t, err));
    for (int64_t i = 0; i < count; i++)
        PLN_DATA(int64_t, t)[i] = i;
    pln_status st = pln_node_set_strings(n, from_text ? "keys_strings" : "values_strings",
                                         a->strings, a->n);
    if (st == PLN_OK)
        st = pln_node_set_ints(n, from_text ? "values_int64s" : "keys_int64s", t->data,
                               (size_t)count);
    pln_tensor_unref(t);
    pln_node_drop_attr(n, "classes_strings");
    return st == PLN_OK ? st : pln_oom(err);
}

static pln_status label_lower_2(pln_node *n, pln_error *err)
{
    return pln_lower_fail(n, err, "version 1 has no keys and values");
}

static pln_status label_lower_4(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_refuse(n, "keys_tensor", err));
    PLN_TRY(pln_lower_refuse(n, "values_tensor", err));
    return pln_lower_refuse(n, "default_tensor", err);
}

static const pln_version_change label_versions[] = {
    { 2, label_raise_2, label_lower_2 },
    { 4, NULL, label_lower_4 },
    { 0 },
};

/* ---- CategoryMapper -------------------------------------------------------------- */

typedef struct category_attrs {
    pln_ints ints;
    pln_strings strings;
    int64_t default_int64;
    const char *default_string;
} category_attrs;

static const pln_attr_spec category_spec[] = {
    { .name = "cats_int64s",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(category_attrs, ints) },
    { .name = "cats_strings",
      .type = PLN_ATTR_STRINGS,
      .offset = offsetof(category_attrs, strings) },
    PLN_A_INT(category_attrs, default_int64, -1),
    PLN_A_STR(category_attrs, default_string, "_Unused"),
    PLN_A_END,
};

static pln_status category_infer(pln_infer *inf, pln_error *err)
{
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    pln_infer_set(inf, 0, dt == PLN_DT_STRING ? PLN_DT_S64 : PLN_DT_STRING,
                  inf->in[0]->shape);
    return PLN_OK;
}

static pln_status category_run(pln_call *c, pln_error *err)
{
    const category_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const int64_t n = pln_tensor_size(x);
    const bool text = x->dtype == PLN_DT_STRING;
    pln_keys k;
    if (a->ints.n != a->strings.n)
        return pln_call_fail(c, err, PLN_E_FORMAT, "%zu numbers for %zu texts", a->ints.n,
                             a->strings.n);
    if (!pln_keys_from(&k, pln_call_allocator(c), a->ints, (pln_floats){ 0 },
                       text ? a->strings : (pln_strings){ 0 }, NULL))
        return pln_oom(err);
    pln_status st = PLN_OK;
    for (int64_t i = 0; i < n && st == PLN_OK; i++) {
        const int64_t at = pln_keys_find(&k, pln_key_of(x, i));
        if (text) {
            PLN_DATA(int64_t, y)[i] = at < 0 ? a->default_int64 : a->ints.v[at];
            continue;
        }
        const char *s = at < 0 ? a->default_string : a->strings.v[at];
        st = set_text(y, i, s, pln_name_len(s), err);
    }
    pln_keys_done(&k);
    return st;
}

/* ---- OneHotEncoder --------------------------------------------------------------- */

typedef struct onehot_attrs {
    pln_ints ints;
    pln_strings strings;
    int64_t zeros;
} onehot_attrs;

static const pln_attr_spec onehot_spec[] = {
    { .name = "cats_int64s",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(onehot_attrs, ints) },
    { .name = "cats_strings",
      .type = PLN_ATTR_STRINGS,
      .offset = offsetof(onehot_attrs, strings) },
    PLN_A_INT(onehot_attrs, zeros, 1),
    PLN_A_END,
};

static int64_t onehot_count(const onehot_attrs *a)
{
    return (int64_t)(a->strings.n ? a->strings.n : a->ints.n);
}

static pln_status onehot_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN || rank + 1 > PLN_MAX_RANK) {
        pln_infer_set(inf, 0, PLN_DT_F32, pln_shape_unknown());
        return PLN_OK;
    }
    pln_shape s = pln_infer_shape(inf, rank + 1);
    for (int i = 0; i < rank; i++)
        s.dims[i] = pln_infer_dim(inf, 0, i);
    s.dims[rank] = pln_dim_of(onehot_count(inf->attrs));
    pln_infer_set(inf, 0, PLN_DT_F32, s);
    return PLN_OK;
}

static pln_status onehot_run(pln_call *c, pln_error *err)
{
    const onehot_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    const int64_t n = pln_tensor_size(x), cats = onehot_count(a);
    float *y = c->out[0]->data;
    pln_keys k;
    if (!pln_keys_from(&k, pln_call_allocator(c), a->ints, (pln_floats){ 0 }, a->strings,
                       NULL))
        return pln_oom(err);
    pln_status st = PLN_OK;
    for (int64_t i = 0; i < n && st == PLN_OK; i++) {
        const pln_key key = x->dtype == PLN_DT_STRING
                                ? pln_key_of(x, i)
                                : pln_key_int(pln_tensor_get_i64(x, i));
        const int64_t at = pln_keys_find(&k, key);
        for (int64_t j = 0; j < cats; j++)
            y[i * cats + j] = j == at ? 1 : 0;
        if (at < 0 && !a->zeros)
            st = pln_call_fail(c, err, PLN_E_RUN, "element %lld is in no category",
                               (long long)i);
    }
    pln_keys_done(&k);
    return st;
}

/* ---- ArrayFeatureExtractor, FeatureVectorizer ------------------------------------ */

static pln_status extract_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN || pln_infer_rank(inf, 1) == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (rank == 0)
        return pln_infer_fail(inf, err, "input 0 is a scalar");
    const pln_dim n = pln_shape_count(inf->syms, inf->in[1]->shape);
    pln_shape s = rank == 1 ? pln_infer_shape(inf, 2) : pln_move_infer_like(inf, 0);
    if (rank == 1)
        s.dims[0] = pln_dim_of(1);
    s.dims[s.rank - 1] = n;
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

static pln_status extract_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const int64_t *at = c->in[1]->data;
    const int64_t n = pln_tensor_size(c->in[1]), cols = x->dims[x->rank - 1];
    const int64_t rows = pln_move_count(x->dims, 0, x->rank - 1);
    for (int64_t k = 0; k < n; k++)
        if (at[k] < 0 || at[k] >= cols)
            return pln_call_fail(c, err, PLN_E_RUN, "index %lld of %lld features",
                                 (long long)at[k], (long long)cols);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < n; k++)
            pln_tensor_copy(c->out[0], r * n + k, x, r * cols + at[k], 1);
    return PLN_OK;
}

typedef struct vectorizer_attrs {
    pln_ints inputdimensions;
} vectorizer_attrs;

static const pln_attr_spec vectorizer_spec[] = {
    PLN_A_INTS(vectorizer_attrs, inputdimensions),
    PLN_A_END,
};

static pln_status vectorizer_infer(pln_infer *inf, pln_error *err)
{
    const vectorizer_attrs *a = inf->attrs;
    pln_dim rows, cols, all = pln_dim_of(0);
    PLN_TRY(pln_ml_infer_rows(inf, &rows, &cols, err));
    for (uint32_t i = 0; i < inf->n_in; i++) {
        const int rank = pln_infer_rank(inf, i);
        pln_dim d = rank > 0 ? pln_infer_dim(inf, i, rank - 1) : pln_dim_unknown();
        if (i < a->inputdimensions.n)
            d = pln_dim_of(a->inputdimensions.v[i]);
        all = pln_dim_add(inf->syms, all, d);
    }
    pln_ml_infer_matrix(inf, 0, PLN_DT_F32, rows, all);
    return PLN_OK;
}

/* Inputs narrower than they should be are filled up with zeros. */
static pln_status vectorizer_run(pln_call *c, pln_error *err)
{
    const vectorizer_attrs *a = c->attrs;
    const int64_t all = c->out[0]->dims[1], rows = c->out[0]->dims[0];
    int64_t at = 0;
    memset(c->out[0]->data, 0, pln_move_bytes_of(c->out[0]));
    for (uint32_t i = 0; i < c->n_in; i++) {
        int64_t r, cols;
        if (!pln_ml_matrix(c->in[i], &r, &cols) || r != rows)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u does not have %lld rows", i,
                                 (long long)rows);
        const int64_t want = i < a->inputdimensions.n ? a->inputdimensions.v[i] : cols;
        const int64_t n = cols < want ? cols : want;
        if (want < 0 || want > all - at)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u has %lld features", i,
                                 (long long)want);
        for (int64_t k = 0; k < rows * n; k++)
            PLN_DATA(float, c->out[0])
            [k / n * all + at + k % n] =
                (float)pln_tensor_get_f64(c->in[i], k / n * cols + k % n);
        at += want;
    }
    return PLN_OK;
}

/* ---- ZipMap ---------------------------------------------------------------------- */

typedef struct zip_attrs {
    pln_ml_labels labels;
} zip_attrs;

static const pln_attr_spec zip_spec[] = {
    { .name = "classlabels_strings",
      .type = PLN_ATTR_STRINGS,
      .offset = offsetof(zip_attrs, labels.strings) },
    { .name = "classlabels_int64s",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(zip_attrs, labels.ints) },
    PLN_A_END,
};

static pln_status zip_infer(pln_infer *inf, pln_error *err)
{
    const zip_attrs *a = inf->attrs;
    pln_type *value = PLN_NEW(inf->arena, pln_type), *map = PLN_NEW(inf->arena, pln_type);
    if (!value || !map)
        return pln_oom(err);
    *value = pln_type_tensor(PLN_DT_F32, pln_infer_shape(inf, 0));
    *map = (pln_type){ .kind = PLN_KIND_MAP,
                       .dtype = pln_ml_labels_type(&a->labels),
                       .elem = value };
    inf->out[0] = (pln_type){ .kind = PLN_KIND_SEQUENCE, .elem = map };
    return PLN_OK;
}

static pln_status zip_row(pln_call *c, pln_tensor *seq, pln_tensor *keys, int64_t row,
                          int64_t n, pln_error *err)
{
    const pln_allocator *a = pln_call_allocator(c);
    pln_tensor *map = NULL, *values = NULL;
    pln_status st = pln_tensor_make_container(a, PLN_KIND_MAP, &map);
    if (st == PLN_OK)
        st = pln_tensor_make(a, PLN_DT_F32, 1, &n, &values, err);
    if (st == PLN_OK) {
        pln_tensor_copy(values, 0, c->in[0], row * n, n);
        st = pln_tensor_append(map, keys, err);
    }
    if (st == PLN_OK)
        st = pln_tensor_append(map, values, err);
    if (st == PLN_OK)
        st = pln_tensor_append(seq, map, err);
    pln_tensor_unref(values);
    pln_tensor_unref(map);
    return st == PLN_E_NOMEM ? pln_oom(err) : st;
}

static pln_status zip_run(pln_call *c, pln_error *err)
{
    const zip_attrs *a = c->attrs;
    const pln_allocator *alloc = pln_call_allocator(c);
    const int64_t labels = pln_ml_labels_count(&a->labels);
    int64_t rows, cols;
    if (!pln_ml_matrix(c->in[0], &rows, &cols) || cols != labels)
        return pln_call_fail(c, err, PLN_E_RUN, "the input does not have %lld columns",
                             (long long)labels);
    pln_tensor *seq = NULL, *keys = NULL;
    if (pln_tensor_make_container(alloc, PLN_KIND_SEQUENCE, &seq) != PLN_OK)
        return pln_oom(err);
    pln_status st =
        pln_tensor_make(alloc, pln_ml_labels_type(&a->labels), 1, &labels, &keys, err);
    for (int64_t i = 0; i < labels && st == PLN_OK; i++)
        st = pln_ml_set_label(keys, i, &a->labels, i, err);
    for (int64_t r = 0; r < rows && st == PLN_OK; r++)
        st = zip_row(c, seq, keys, r, cols, err);
    if (st == PLN_OK)
        st = pln_call_set_output(c, 0, seq, err);
    pln_tensor_unref(keys);
    pln_tensor_unref(seq);
    return st;
}

/* ---- CastMap, DictVectorizer ----------------------------------------------------- */

static pln_status map_parts(const pln_call *c, const pln_tensor **keys,
                            const pln_tensor **values, pln_error *err)
{
    const pln_tensor *m = c->in[0];
    if (m->kind != PLN_KIND_MAP || pln_tensor_items(m) != 2)
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 is no map");
    *keys = pln_tensor_item(m, 0);
    *values = pln_tensor_item(m, 1);
    if (pln_tensor_size(*keys) != pln_tensor_size(*values) ||
        (*values)->kind != PLN_KIND_TENSOR)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the map's keys and values differ in number");
    return PLN_OK;
}

typedef struct castmap_attrs {
    int64_t max_map;
    int cast_to, map_form;
} castmap_attrs;

static const pln_attr_spec castmap_spec[] = {
    PLN_A_INT(castmap_attrs, max_map, 1),
    PLN_A_ENUM(castmap_attrs, cast_to, "TO_FLOAT|TO_STRING|TO_INT64", "TO_FLOAT"),
    PLN_A_ENUM(castmap_attrs, map_form, "DENSE|SPARSE", "DENSE"),
    PLN_A_END,
};

static const pln_dtype cast_types[] = { PLN_DT_F32, PLN_DT_STRING, PLN_DT_S64 };

static pln_status castmap_infer(pln_infer *inf, pln_error *err)
{
    const castmap_attrs *a = inf->attrs;
    pln_ml_infer_matrix(inf, 0, cast_types[a->cast_to], pln_dim_of(1),
                        a->map_form == 1 ? pln_dim_of(a->max_map) : pln_dim_unknown());
    return PLN_OK;
}

/* Element i of y from element k of the map's values; k < 0: the type's zero. */
static pln_status cast_value(pln_tensor *y, int64_t i, const pln_tensor *v, int64_t k,
                             pln_error *err)
{
    char text[40];
    if (y->dtype == PLN_DT_STRING) {
        if (k >= 0 && v->dtype == PLN_DT_STRING) {
            pln_tensor_copy(y, i, v, k, 1);
            return PLN_OK;
        }
        const int n =
            snprintf(text, sizeof text, "%g", k < 0 ? 0.0 : pln_tensor_get_f64(v, k));
        return set_text(y, i, text, (size_t)n, err);
    }
    double d = 0;
    if (k >= 0 && v->dtype == PLN_DT_STRING) {
        const pln_string *s = PLN_DATA(pln_string *const, v)[k];
        d = s ? strtod(s->bytes, NULL) : 0;
    } else if (k >= 0) {
        d = pln_tensor_get_f64(v, k);
    }
    pln_tensor_set_f64(y, i, d);
    return PLN_OK;
}

/* Position of the next larger key; the map itself need not be sorted. */
static int64_t next_key(const pln_tensor *keys, bool first, int64_t after)
{
    int64_t best = -1;
    for (int64_t i = 0; i < pln_tensor_size(keys); i++) {
        const int64_t v = pln_tensor_get_i64(keys, i);
        if ((first || v > after) && (best < 0 || v < pln_tensor_get_i64(keys, best)))
            best = i;
    }
    return best;
}

static pln_status castmap_run(pln_call *c, pln_error *err)
{
    const castmap_attrs *a = c->attrs;
    const pln_tensor *keys = NULL, *values = NULL;
    PLN_TRY(map_parts(c, &keys, &values, err));
    const int64_t n = a->map_form == 1 ? a->max_map : pln_tensor_size(keys);
    const int64_t dims[2] = { 1, n };
    if (n < 0)
        return pln_call_fail(c, err, PLN_E_FORMAT, "max_map is %lld", (long long)n);
    PLN_TRY(pln_move_output(c, 0, cast_types[a->cast_to], 2, dims, err));
    int64_t at = next_key(keys, true, 0);
    while (a->map_form == 1 && at >= 0 && pln_tensor_get_i64(keys, at) < 0)
        at = next_key(keys, false, pln_tensor_get_i64(keys, at));
    for (int64_t i = 0; i < n; i++) {
        const int64_t key = at < 0 ? 0 : pln_tensor_get_i64(keys, at);
        const bool hit = at >= 0 && (a->map_form == 0 || key == i);
        PLN_TRY(cast_value(c->out[0], i, values, hit ? at : -1, err));
        while (at >= 0 && (hit || pln_tensor_get_i64(keys, at) <= i) &&
               pln_tensor_get_i64(keys, at) <= (a->map_form == 0 ? key : i))
            at = next_key(keys, false, pln_tensor_get_i64(keys, at));
    }
    return PLN_OK;
}

typedef struct dict_attrs {
    pln_ints ints;
    pln_strings strings;
} dict_attrs;

static const pln_attr_spec dict_spec[] = {
    { .name = "int64_vocabulary",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(dict_attrs, ints) },
    { .name = "string_vocabulary",
      .type = PLN_ATTR_STRINGS,
      .offset = offsetof(dict_attrs, strings) },
    PLN_A_END,
};

static pln_status dict_infer(pln_infer *inf, pln_error *err)
{
    const dict_attrs *a = inf->attrs;
    const pln_type *t = inf->in[0];
    const pln_dtype dt =
        t && t->kind == PLN_KIND_MAP && t->elem ? t->elem->dtype : PLN_DT_NONE;
    pln_ml_infer_matrix(inf, 0, dt, pln_dim_of(1),
                        pln_dim_of((int64_t)(a->strings.n ? a->strings.n : a->ints.n)));
    return PLN_OK;
}

static pln_status dict_run(pln_call *c, pln_error *err)
{
    const dict_attrs *a = c->attrs;
    const pln_tensor *keys = NULL, *values = NULL;
    PLN_TRY(map_parts(c, &keys, &values, err));
    const int64_t n = (int64_t)(a->strings.n ? a->strings.n : a->ints.n);
    const int64_t dims[2] = { 1, n };
    PLN_TRY(pln_move_output(c, 0, values->dtype, 2, dims, err));
    pln_keys k;
    if (!pln_keys_from(&k, pln_call_allocator(c), (pln_ints){ 0 }, (pln_floats){ 0 },
                       (pln_strings){ 0 }, keys))
        return pln_oom(err);
    pln_status st = PLN_OK;
    for (int64_t i = 0; i < n && st == PLN_OK; i++) {
        const pln_key key =
            a->strings.n ? pln_key_text(a->strings.v[i], pln_name_len(a->strings.v[i]))
                         : pln_key_int(a->ints.v[i]);
        const int64_t at = pln_keys_find(&k, key);
        if (at >= 0)
            pln_tensor_copy(c->out[0], i, values, at, 1);
        else if (c->out[0]->dtype == PLN_DT_STRING)
            st = set_text(c->out[0], i, "", 0, err);
        else
            pln_tensor_set_f64(c->out[0], i, 0);
    }
    pln_keys_done(&k);
    return st;
}

#define ROW .domain = "ai.onnx.ml", .out = { 1, 1 }

const pln_op_desc pln_ops_ml_map[] = {
    { ROW, .name = "LabelEncoder", .since = 4, .in = { 1, 1 },
      .types = "A:string,int64,float,int32,int16,double;"
               "B:string,int64,float,int32,int16,double",
      .sig = "A->B", .attrs = label_spec, .attrs_size = sizeof(label_attrs),
      .infer = label_infer, .ref = label_ref, .cpu = &label_cpu,
      .versions = label_versions },
    { ROW, .name = "CategoryMapper", .since = 1, .in = { 1, 1 },
      .types = "A:string,int64;B:string,int64", .sig = "A->B", .attrs = category_spec,
      .attrs_size = sizeof(category_attrs), .infer = category_infer,
      .ref = category_run },
    { ROW, .name = "OneHotEncoder", .since = 1, .in = { 1, 1 },
      .types = "T:string,int64,int32,float,double", .sig = "T->float",
      .attrs = onehot_spec, .attrs_size = sizeof(onehot_attrs), .infer = onehot_infer,
      .ref = onehot_run },
    { ROW, .name = "ArrayFeatureExtractor", .since = 1, .in = { 2, 2 },
      .types = "T:float,double,int64,int32,string", .sig = "T,int64->T",
      .infer = extract_infer, .ref = extract_run },
    { ROW, .name = "FeatureVectorizer", .since = 1, .in = { 1, PLN_VARIADIC },
      .types = "T:" PLN_ML_NUM, .sig = "T*->float", .attrs = vectorizer_spec,
      .attrs_size = sizeof(vectorizer_attrs), .infer = vectorizer_infer,
      .ref = vectorizer_run },
    { ROW, .name = "ZipMap", .sig = "float->Z", .since = 1, .in = { 1, 1 },
      .attrs = zip_spec,
      .attrs_size = sizeof(zip_attrs), .infer = zip_infer, .ref = zip_run },
    { ROW, .name = "CastMap", .sig = "map(K)->T", .since = 1, .in = { 1, 1 },
      .attrs = castmap_spec,
      .attrs_size = sizeof(castmap_attrs), .infer = castmap_infer, .ref = castmap_run },
    { ROW, .name = "DictVectorizer", .sig = "map(K)->T", .since = 1, .in = { 1, 1 },
      .attrs = dict_spec,
      .attrs_size = sizeof(dict_attrs), .infer = dict_infer, .ref = dict_run },
    { .name = NULL },
};
