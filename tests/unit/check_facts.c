/* What models and sessions tell of themselves, and when a model's bytes are given back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>
#include <stddef.h>
#include <string.h>

#include "tests/unit/main.h"

static const char model_text[] =
    "<ir_version: 8, opset_import: [\"\" : 17, \"ai.onnx.ml\" : 3],\n"
    " producer_name: \"smith\", producer_version: \"2\", domain: \"org.forge\",\n"
    " model_version: 5, doc_string: \"a \\\"model\\\"\",\n"
    " metadata_props: [\"key\": \"value\", \"other\": \"more\"]>\n"
    "g (seq(int64[N]) s, float[N, 2] x, optional(seq(string[])) o,\n"
    "   sparse_tensor(double[3]) p) => (float[N, 2] y, seq(map(int64, float)) z)\n"
    "{ y = Relu(x)  z = ai.onnx.ml.ZipMap <classlabels_int64s = [1, 2]> (x) }\n";

static pln_model *parse(void)
{
    pln_model *m = NULL;
    pln_error *err = pln_error_new();
    const pln_status st =
        pln_model_parse(NULL, model_text, sizeof model_text - 1, NULL, &m, err);
    ck_assert_msg(st == PLN_OK, "%s", pln_error_text(err));
    pln_error_free(err);
    return m;
}

START_TEST(types_as_onnx_spells_them)
{
    static const char *const in[] = { "seq(tensor(int64))", "tensor(float)",
                                      "optional(seq(tensor(string)))",
                                      "sparse_tensor(double)" };
    pln_model *m = parse();
    pln_io_info info;
    ck_assert_uint_eq(pln_model_count(m, PLN_INPUT), 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert(pln_model_io(m, PLN_INPUT, i, &info) == PLN_OK);
        ck_assert_str_eq(info.type, in[i]);
    }
    ck_assert(pln_model_io(m, PLN_OUTPUT, 1, &info) == PLN_OK);
    ck_assert_str_eq(info.type, "seq(map(int64,tensor(float)))");
    pln_session *s = NULL;
    ck_assert(pln_session_new(m, NULL, &s, NULL) == PLN_OK);
    for (size_t i = 0; i < 4; i++) {
        ck_assert(pln_session_io(s, PLN_INPUT, i, &info) == PLN_OK);
        ck_assert_str_eq(info.type, in[i]);
    }
    ck_assert(pln_session_io(s, PLN_OUTPUT, 1, &info) == PLN_OK);
    ck_assert_str_eq(info.type, "seq(map(int64,tensor(float)))");
    pln_session_free(s);
    pln_model_free(m);
}
END_TEST

START_TEST(header_has_it_all)
{
    static const char *const parts[] = {
        "\"ir_version\":8",
        "\"model_version\":5",
        "\"producer_name\":\"smith\"",
        "\"producer_version\":\"2\"",
        "\"domain\":\"org.forge\"",
        "\"doc\":\"a \\\"model\\\"\"",
        "\"graph_name\":\"g\"",
        "\"graph_doc\":\"\"",
        "{\"domain\":\"ai.onnx.ml\",\"version\":3}",
        "\"metadata\":{\"key\":\"value\",\"other\":\"more\"}",
    };
    pln_model *m = parse();
    char *json = NULL;
    ck_assert(pln_model_header(m, &json, NULL) == PLN_OK);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(json, parts[i]), "%s lacks %s", json, parts[i]);
    pln_free(NULL, json);
    ck_assert(pln_model_header(NULL, &json, NULL) == PLN_E_USAGE);
    pln_model_free(m);
}
END_TEST

START_TEST(operator_sets_that_are_known)
{
    ck_assert_int_ge(pln_env_opset(NULL, ""), 28);
    ck_assert_int_eq(pln_env_opset(NULL, NULL), pln_env_opset(NULL, "ai.onnx"));
    ck_assert_int_ge(pln_env_opset(NULL, "ai.onnx.ml"), 5);
    ck_assert_int_eq(pln_env_opset(NULL, "com.microsoft"), 1);
    ck_assert_int_eq(pln_env_opset(NULL, "org.nobody"), 0);
}
END_TEST

START_TEST(strings_all_at_once)
{
    static const char bytes[] = "ab\0cdef";
    const int64_t four = 4, none = 0;
    const uint64_t ends[4] = { 3, 3, 5, 7 }, wrong[4] = { 3, 2, 5, 7 };
    uint64_t back[4];
    char *copy;
    const char *text;
    size_t len;
    pln_tensor *t, *empty, *x;
    ck_assert(pln_tensor_new(NULL, PLN_DT_STRING, 1, &four, &t, NULL) == PLN_OK);
    ck_assert(pln_tensor_put_strings(t, bytes, wrong, NULL) == PLN_E_USAGE);
    ck_assert(pln_tensor_put_strings(t, bytes, ends, NULL) == PLN_OK);
    ck_assert(pln_tensor_string(t, 0, &text, &len) == PLN_OK);
    ck_assert(len == 3 && !memcmp(text, "ab\0", 4));
    ck_assert(pln_tensor_string(t, 3, &text, &len) == PLN_OK);
    ck_assert_str_eq(text, "ef");
    ck_assert(pln_tensor_get_strings(t, &copy, back, NULL) == PLN_OK);
    ck_assert(!memcmp(back, ends, sizeof ends) && !memcmp(copy, bytes, 7));
    pln_free(NULL, copy);
    ck_assert(pln_tensor_new(NULL, PLN_DT_STRING, 1, &none, &empty, NULL) == PLN_OK);
    ck_assert(pln_tensor_put_strings(empty, NULL, NULL, NULL) == PLN_OK);
    ck_assert(pln_tensor_get_strings(empty, &copy, NULL, NULL) == PLN_OK);
    pln_free(NULL, copy);
    ck_assert(pln_tensor_new(NULL, PLN_DT_F32, 1, &four, &x, NULL) == PLN_OK);
    ck_assert(pln_tensor_get_strings(x, &copy, back, NULL) == PLN_E_USAGE && !copy);
    ck_assert(pln_tensor_put_strings(x, bytes, ends, NULL) == PLN_E_USAGE);
    pln_tensor_unref(x);
    pln_tensor_unref(empty);
    pln_tensor_unref(t);
}
END_TEST

static void count_release(void *user, void *data)
{
    (void)data;
    ++*(int *)user;
}

static pln_status load(const void *data, size_t len, int *released, size_t struct_size,
                       pln_model **out)
{
    pln_load_options o = PLN_LOAD_OPTIONS_INIT;
    o.struct_size = struct_size;
    o.release = count_release;
    o.user = released;
    return pln_model_load_memory(NULL, data, len, &o, out, NULL);
}

START_TEST(bytes_are_given_back_once)
{
    pln_model *m = parse(), *again = NULL;
    pln_session *s = NULL;
    void *data;
    size_t len;
    int released = 0;
    ck_assert(pln_model_save_memory(m, &data, &len, NULL) == PLN_OK);
    pln_model_free(m);
    ck_assert(load(data, len, &released, sizeof(pln_load_options), &again) == PLN_OK);
    ck_assert(pln_session_new(again, NULL, &s, NULL) == PLN_OK);
    pln_model_free(again);
    pln_session_free(s);
    ck_assert_int_eq(released, 1);
    /* not when loading fails, */
    ck_assert(load(data, 3, &released, sizeof(pln_load_options), &again) != PLN_OK);
    ck_assert_int_eq(released, 1);
    /* nor for a caller whose struct has no such field */
    const size_t old = offsetof(pln_load_options, release);
    ck_assert(load(data, len, &released, old, &again) == PLN_OK);
    pln_model_free(again);
    ck_assert_int_eq(released, 1);
    pln_free(NULL, data);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("facts");
    TCase *t = tcase_create("facts");
    tcase_add_test(t, types_as_onnx_spells_them);
    tcase_add_test(t, header_has_it_all);
    tcase_add_test(t, strings_all_at_once);
    tcase_add_test(t, operator_sets_that_are_known);
    tcase_add_test(t, bytes_are_given_back_once);
    suite_add_tcase(s, t);
    return unit_main(s);
}
