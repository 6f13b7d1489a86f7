/* Reading and writing models: right ones, wrong ones, cut ones, without memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <planish/planish.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/main.h"
#include "tests/unit/models.h"

static pln_error *err;

static void set_up(void)
{
    err = pln_error_new();
}
static void tear_down(void)
{
    pln_error_free(err);
}

/* Bytes in a block of their own size, so that reading past the end shows. */
static pln_status load_bytes(pln_env *env, const void *data, size_t len, const char *dir,
                             pln_model **out)
{
    pln_load_options o = PLN_LOAD_OPTIONS_INIT;
    o.copy = true;
    o.directory = dir;
    return pln_model_load_memory(env, data, len, &o, out, err);
}

static pln_status load(msg *m, const char *dir, pln_model **out)
{
    void *data;
    size_t len;
    ck_assert(pln_writer_take(&m->w, NULL, &data, &len) == PLN_OK);
    const pln_status st = load_bytes(NULL, data, len, dir, out);
    free(data);
    return st;
}

static void expect(msg *m, pln_status want, const char *text)
{
    pln_model *model;
    const pln_status st = load(m, NULL, &model);
    ck_assert_msg(st == want, "%s, want %s: %s", pln_status_name(st),
                  pln_status_name(want), pln_error_text(err));
    ck_assert_msg(strstr(pln_error_text(err), text), "'%s' lacks '%s'",
                  pln_error_text(err), text);
    ck_assert(want == PLN_OK || !model);
    pln_model_free(model);
    msg_end(m);
}

/* ---- right ones -------------------------------------------------------------------- */

START_TEST(rich_round_trip)
{
    msg m;
    void *first, *second;
    size_t n_first, n_second;
    pln_model *model, *again;
    msg_begin(&m);
    rich_model(&m);
    const pln_status st = load(&m, NULL, &model);
    ck_assert_msg(st == PLN_OK, "%s", pln_error_text(err));
    ck_assert(pln_model_save_memory(model, &first, &n_first, err) == PLN_OK);
    ck_assert(load_bytes(NULL, first, n_first, NULL, &again) == PLN_OK);
    ck_assert(pln_model_save_memory(again, &second, &n_second, err) == PLN_OK);
    ck_assert(n_first == n_second && !memcmp(first, second, n_first));
    ck_assert(memmem(first, n_first, "future", 6) &&
              memmem(first, n_first, "training", 8));
    ck_assert_str_eq(pln_model_metadata(model, "key", NULL), "value");
    ck_assert_uint_eq(pln_model_count(model, PLN_INPUT), 2);
    free(first);
    free(second);
    pln_model_free(again);
    pln_model_free(model);
    msg_end(&m);
}
END_TEST

START_TEST(set_dim_everywhere)
{
    msg m;
    pln_model *model;
    pln_io_info info;
    msg_begin(&m);
    header(&m, 13);
    in(&m, M_GRAPH);
    for (uint32_t k = 0; k < 2; k++) {
        in(&m, k ? G_OUT : G_IN);
        str(&m, 1, k ? "y" : "x");
        in(&m, 2);
        in(&m, 1);
        num(&m, 1, 1);
        in(&m, 2);
        in(&m, 1);
        str(&m, 2, "2*seq+1");
        out(&m);
        out(&m);
        out(&m);
        out(&m);
        out(&m);
    }
    node(&m, "Neg", "n", "x", "y");
    out(&m);
    out(&m);
    ck_assert(load(&m, NULL, &model) == PLN_OK);
    ck_assert(pln_model_io(model, PLN_OUTPUT, 0, &info) == PLN_OK);
    ck_assert_str_eq(info.dim_names[0], "2*seq+1");
    ck_assert(pln_model_set_dim(model, "nothing", 3, err) == PLN_E_USAGE);
    ck_assert(pln_model_set_dim(model, "seq", 3, err) == PLN_OK);
    ck_assert(pln_model_io(model, PLN_OUTPUT, 0, &info) == PLN_OK);
    ck_assert_int_eq(info.dims[0], 7);
    pln_model_free(model);
    msg_end(&m);
}
END_TEST

/* ---- wrong ones -------------------------------------------------------------------- */

static void begin_graph(msg *m)
{
    msg_begin(m);
    header(m, 13);
    in(m, M_GRAPH);
    value(m, G_IN, "x");
}

static void end_graph(msg *m, const char *output)
{
    value(m, G_OUT, output);
    out(m);
}

START_TEST(wrong_graphs)
{
    msg m;
    msg_begin(&m);
    header(&m, 13);
    expect(&m, PLN_E_FORMAT, "no graph");

    begin_graph(&m);
    node(&m, "Add", "one", "x,b", "a");
    out(&m);
    node(&m, "Neg", "two", "a", "b");
    out(&m);
    end_graph(&m, "b");
    expect(&m, PLN_E_FORMAT, "cycle");

    begin_graph(&m);
    node(&m, "Neg", "two", "nowhere", "b");
    out(&m);
    end_graph(&m, "b");
    expect(&m, PLN_E_FORMAT, "two (Neg): input 0, 'nowhere'");

    begin_graph(&m);
    node(&m, "Neg", "two", "x", "x");
    out(&m);
    end_graph(&m, "x");
    expect(&m, PLN_E_FORMAT, "given to two values");

    begin_graph(&m);
    end_graph(&m, "nothing");
    expect(&m, PLN_E_FORMAT, "'nothing' is made nowhere");

    begin_graph(&m);
    node(&m, "", "nameless", "x", "b");
    out(&m);
    end_graph(&m, "b");
    expect(&m, PLN_E_FORMAT, "nameless");

    begin_graph(&m);
    num(&m, 19001, 1);
    end_graph(&m, "x");
    expect(&m, PLN_E_FORMAT, "reserves");

    begin_graph(&m);
    end_graph(&m, "x");
    in(&m, M_GRAPH);
    out(&m);
    expect(&m, PLN_E_FORMAT, "twice");
}
END_TEST

START_TEST(reordered_nodes)
{
    msg m;
    begin_graph(&m);
    node(&m, "Neg", "two", "a", "b");
    out(&m);
    node(&m, "Neg", "one", "x", "a");
    out(&m);
    end_graph(&m, "b");
    expect(&m, PLN_OK, "");
}
END_TEST

static void with_tensor(msg *m, int type, int rank, const int64_t *dims)
{
    begin_graph(m);
    tensor(m, G_INIT, "w", type, rank, dims);
}

static void end_tensor(msg *m)
{
    out(m);
    end_graph(m, "x");
}

START_TEST(wrong_tensors)
{
    static const int64_t d2[] = { 2 }, minus[] = { -2 };
    static const int64_t huge[] = { INT64_MAX / 2, 16 }, many[30] = { 0 };
    msg m;
    with_tensor(&m, 1, 1, d2);
    raw(&m, T_RAW, "1234567", 7);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "tensor 'w': 7 bytes of raw_data, but float[2] needs 8");

    with_tensor(&m, 1, 1, d2);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "0 elements");

    with_tensor(&m, 6, 1, d2);
    raw(&m, T_INT32, "\1\2\3", 3);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "3 entries");

    with_tensor(&m, 6, 1, d2);
    raw(&m, T_INT32, "\1\x82", 2);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "inside an element");

    with_tensor(&m, 6, 1, d2);
    raw(&m, T_INT64, "\1\2", 2);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "wrong typed field");

    with_tensor(&m, 6, 1, d2);
    raw(&m, T_INT32, "\1\2", 2);
    raw(&m, T_RAW, "12345678", 8);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "more than once");

    with_tensor(&m, 1, 1, minus);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "dimension 0 is -2");

    with_tensor(&m, 1, 2, huge);
    end_tensor(&m);
    expect(&m, PLN_E_LIMIT, "larger than");

    with_tensor(&m, 1, 30, many);
    end_tensor(&m);
    expect(&m, PLN_E_LIMIT, "rank 30");

    with_tensor(&m, 99, 1, d2);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "element type 99");

    with_tensor(&m, 8, 1, d2);
    str(&m, T_STRINGS, "one");
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "1 strings");

    with_tensor(&m, 8, 1, d2);
    raw(&m, T_RAW, "x", 1);
    end_tensor(&m);
    expect(&m, PLN_E_FORMAT, "strings");

    with_tensor(&m, 1, 1, d2);
    external(&m, "data", "0", "8");
    end_tensor(&m);
    expect(&m, PLN_E_IO, "refused");
}
END_TEST

START_TEST(wrong_sparse)
{
    static const int64_t places[][2] = { { 0, 6 }, { -1, 0 }, { 0, INT64_MAX } };
    static const float values[] = { 1, 2 };
    for (size_t i = 0; i < 3; i++) {
        msg m;
        begin_graph(&m);
        in(&m, G_SPARSE);
        tensor(&m, 1, "s", 1, 1, (const int64_t[]){ 2 });
        raw(&m, T_RAW, values, sizeof values);
        out(&m);
        tensor(&m, 2, "", 7, 1, (const int64_t[]){ 2 });
        raw(&m, T_RAW, places[i], sizeof places[i]);
        out(&m);
        num(&m, 3, 2);
        num(&m, 3, 3);
        out(&m);
        end_graph(&m, "x");
        expect(&m, PLN_E_FORMAT, "out of range");
    }
}
END_TEST

START_TEST(deep_nesting)
{
    msg m;
    begin_graph(&m);
    for (int i = 0; i < 70; i++) { /* bodies in bodies */
        node(&m, "If", "", "x", "y");
        in(&m, N_ATTR);
        str(&m, A_NAME, "then_branch");
        num(&m, A_TYPE, 5);
        in(&m, A_G);
    }
    while (m.depth > 1)
        out(&m);
    out(&m);
    expect(&m, PLN_E_LIMIT, "nested");

    begin_graph(&m);
    in(&m, G_IN);
    str(&m, 1, "deep");
    in(&m, 2);
    for (int i = 0; i < 140; i++) { /* a sequence of sequences ... */
        in(&m, 4);
        in(&m, 1);
    }
    while (m.depth > 0)
        out(&m);
    expect(&m, PLN_E_LIMIT, "nested");
}
END_TEST

/* ---- external data ----------------------------------------------------------------- */

static void put_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert(f);
    for (size_t i = 0; i < size; i++)
        fputc((int)i, f);
    fclose(f);
}

static pln_status load_external(const char *dir, const char *location, const char *offset,
                                const char *length)
{
    msg m;
    pln_model *model;
    with_tensor(&m, 1, 1, (const int64_t[]){ 2 });
    external(&m, location, offset, length);
    end_tensor(&m);
    const pln_status st = load(&m, dir, &model);
    pln_model_free(model);
    msg_end(&m);
    return st;
}

START_TEST(external_stays_inside)
{
    char dir[] = "/tmp/planish-load-XXXXXX", path[256], inside[256];
    ck_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/outside", dir);
    put_file(path, 64);
    snprintf(inside, sizeof inside, "%s/in", dir);
    ck_assert(mkdir(inside, 0700) == 0);
    snprintf(path, sizeof path, "%s/data", inside);
    put_file(path, 64);
    snprintf(path, sizeof path, "%s/link", inside);
    ck_assert(symlink("data", path) == 0);
    snprintf(path, sizeof path, "%s/up", inside);
    ck_assert(symlink("..", path) == 0);
    snprintf(path, sizeof path, "%s/pipe", inside);
    ck_assert(mkfifo(path, 0600) == 0);

    ck_assert(load_external(inside, "data", "8", "8") == PLN_OK);
    ck_assert(load_external(inside, "./data", "56", NULL) == PLN_OK);
    static const struct {
        const char *location, *offset, *length;
        pln_status want;
    } cases[] = {
        { "../outside", "0", "8", PLN_E_FORMAT },
        { "a/../../outside", "0", "8", PLN_E_FORMAT },
        { "/etc/passwd", "0", "8", PLN_E_FORMAT },
        { "up/outside", "0", "8", PLN_E_IO },
        { "link", "0", "8", PLN_E_IO },
        { "pipe", "0", "8", PLN_E_IO },
        { ".", "0", "8", PLN_E_IO },
        { "missing", "0", "8", PLN_E_IO },
        { "", "0", "8", PLN_E_FORMAT },
        { "data", "-8", "8", PLN_E_FORMAT },
        { "data", "+8", "8", PLN_E_FORMAT },
        { "data", "0x8", "8", PLN_E_FORMAT },
        { "data", " 8", "8", PLN_E_FORMAT },
        { "data", "8", "", PLN_E_FORMAT },
        { "data", "99999999999999999999999", "8", PLN_E_FORMAT },
        { "data", "18446744073709551615", "8", PLN_E_FORMAT },
        { "data", "60", "8", PLN_E_FORMAT },
        { "data", "0", "9", PLN_E_FORMAT },
        { "data", "0", "18446744073709551615", PLN_E_FORMAT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pln_status st =
            load_external(inside, cases[i].location, cases[i].offset, cases[i].length);
        ck_assert_msg(st == cases[i].want, "%s %s: %s %s", cases[i].location,
                      cases[i].offset, pln_status_name(st), pln_error_text(err));
    }
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert(system(command) == 0);
}
END_TEST

START_TEST(external_round_trip)
{
    char dir[] = "/tmp/planish-save-XXXXXX", path[256];
    msg m;
    pln_model *model, *again;
    void *a, *b;
    size_t n_a, n_b;
    ck_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model.onnx", dir);
    msg_begin(&m);
    rich_model(&m);
    ck_assert(load(&m, NULL, &model) == PLN_OK);
    pln_save_options o = PLN_SAVE_OPTIONS_INIT;
    o.external_data = "../weights";
    o.external_threshold = 1;
    ck_assert(pln_model_save(model, path, &o, err) == PLN_E_USAGE &&
              access(path, F_OK) != 0);
    o.external_data = "weights";
    o.external_threshold = 1;
    ck_assert_msg(pln_model_save(model, path, &o, err) == PLN_OK, "%s",
                  pln_error_text(err));
    ck_assert_msg(pln_model_load(NULL, path, NULL, &again, err) == PLN_OK, "%s",
                  pln_error_text(err));
    ck_assert(pln_model_save(again, path, NULL, err) == PLN_OK);
    pln_model_free(again);
    ck_assert(pln_model_load(NULL, path, NULL, &again, err) == PLN_OK);
    ck_assert(pln_model_save_memory(model, &a, &n_a, err) == PLN_OK);
    ck_assert(pln_model_save_memory(again, &b, &n_b, err) == PLN_OK);
    ck_assert(n_a > 0 && n_b > 0);
    free(a);
    free(b);
    pln_model_free(again);
    pln_model_free(model);
    msg_end(&m);
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert(system(command) == 0);
}
END_TEST

/* ---- every byte, every allocation -------------------------------------------------- */

static void try_all(const void *data, size_t len)
{
    pln_model *model;
    void *saved;
    size_t n;
    char *json;
    if (load_bytes(NULL, data, len, NULL, &model) != PLN_OK) {
        ck_assert(!model && *pln_error_text(err));
        return;
    }
    if (pln_model_save_memory(model, &saved, &n, err) == PLN_OK)
        free(saved);
    if (pln_model_info(model, &json, err) == PLN_OK)
        free(json);
    pln_model_free(model);
}

START_TEST(cut_and_changed_bytes)
{
    static const unsigned char puts[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    msg m;
    void *data;
    size_t len;
    msg_begin(&m);
    rich_model(&m);
    ck_assert(pln_writer_take(&m.w, NULL, &data, &len) == PLN_OK);
    for (size_t i = 0; i < len; i++)
        try_all(data, i);
    unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) {
        const unsigned char was = bytes[i];
        for (size_t k = 0; k < sizeof puts; k++) {
            bytes[i] = puts[k];
            try_all(data, len);
        }
        bytes[i] = was;
    }
    free(data);
    msg_end(&m);
}
END_TEST

typedef struct meter_state {
    long left, live;
} meter_state;

static void *metered_alloc(void *user, size_t size, size_t align)
{
    meter_state *m = user;
    if (m->left-- <= 0)
        return NULL;
    void *p = NULL;
    if (posix_memalign(&p, align < 16 ? 16 : align, size ? size : 1))
        return NULL;
    m->live++;
    return p;
}
static void metered_free(void *user, void *p)
{
    meter_state *m = user;
    m->live -= p != NULL;
    free(p);
}

START_TEST(no_memory)
{
    msg m;
    void *data;
    size_t len;
    msg_begin(&m);
    rich_model(&m);
    ck_assert(pln_writer_take(&m.w, NULL, &data, &len) == PLN_OK);
    pln_status st = PLN_E_NOMEM;
    for (long n = 0; st != PLN_OK; n++) {
        meter_state meter = { n, 0 };
        pln_env_desc desc = PLN_ENV_DESC_INIT;
        desc.allocator = (pln_allocator){ metered_alloc, metered_free, &meter };
        pln_env *env = NULL;
        pln_model *model = NULL;
        void *saved = NULL;
        size_t size;
        st = pln_env_new(&desc, &env, err);
        if (st == PLN_OK)
            st = load_bytes(env, data, len, NULL, &model);
        if (st == PLN_OK)
            st = pln_model_save_memory(model, &saved, &size, err);
        ck_assert_msg(st == PLN_OK || st == PLN_E_NOMEM, "allocation %ld: %s, %s", n,
                      pln_status_name(st), pln_error_text(err));
        pln_free(env, saved);
        pln_model_free(model);
        pln_env_free(env);
        ck_assert_msg(meter.live == 0, "allocation %ld: %ld blocks are left", n,
                      meter.live);
    }
    free(data);
    msg_end(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *tc = tcase_create("models");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, rich_round_trip);
    tcase_add_test(tc, set_dim_everywhere);
    tcase_add_test(tc, wrong_graphs);
    tcase_add_test(tc, reordered_nodes);
    tcase_add_test(tc, wrong_tensors);
    tcase_add_test(tc, wrong_sparse);
    tcase_add_test(tc, deep_nesting);
    tcase_add_test(tc, external_stays_inside);
    tcase_add_test(tc, external_round_trip);
    tcase_add_test(tc, cut_and_changed_bytes);
    tcase_add_test(tc, no_memory);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
