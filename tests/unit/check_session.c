/* Sessions and runs: shapes that change or depend on data, threads, bindings, references,
 * cancelling, and what happens when memory runs out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/graph.h"
#include "tests/unit/main.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- an allocator that counts and fails ------------------------------------------ */

typedef struct counter {
    _Atomic long live, calls, fail_at; /* fail_at < 0: never */
} counter;

static void *count_alloc(void *user, size_t size, size_t align)
{
    counter *c = user;
    const long n = atomic_fetch_add(&c->calls, 1);
    void *p = NULL;
    if ((c->fail_at >= 0 && n >= c->fail_at) ||
        posix_memalign(&p, align < 8 ? 8 : align, size))
        return NULL;
    atomic_fetch_add(&c->live, 1);
    return p;
}

static void count_free(void *user, void *ptr)
{
    counter *c = user;
    if (ptr)
        atomic_fetch_sub(&c->live, 1);
    free(ptr);
}

static pln_env *counting_env(counter *c)
{
    pln_env_desc d = PLN_ENV_DESC_INIT;
    pln_env *env = NULL;
    d.allocator = (pln_allocator){ count_alloc, count_free, c };
    return pln_env_new(&d, &env, NULL) == PLN_OK ? env : NULL;
}

/* ---- models ---------------------------------------------------------------------- */

static pln_value *input(pln_model *m, const char *name, pln_dtype dt, int rank,
                        const int64_t *dims)
{
    pln_shape s = pln_shape_new(m->arena, rank);
    for (int i = 0; i < s.rank; i++)
        s.dims[i] = dims[i] < 0 ? pln_dim_symbol(m->syms, "n", 1) : pln_dim_of(dims[i]);
    pln_type t = pln_type_tensor(dt, s);
    return pln_graph_add_input(m->graph, pln_model_name(m, name), &t);
}

static pln_value *constant(pln_model *m, const char *name, int rank, const int64_t *dims)
{
    pln_tensor *t;
    if (pln_tensor_make(m->alloc, PLN_DT_F32, rank, dims, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        PLN_DATA(float, t)[i] = (float)((i * 37 + 11) % 17) / 8 - 1;
    return pln_graph_add_initializer(m->graph, pln_model_name(m, name), t);
}

static pln_value *node(pln_model *m, const char *domain, const char *op, const char *out,
                       pln_value *a, pln_value *b)
{
    pln_value *in[] = { a, b };
    if (!a)
        return NULL;
    pln_node *n = pln_graph_add_node(m->graph, NULL, domain, op, out, in, b ? 2 : 1, 1);
    if (!n || !pln_value_rename(n->out[0], pln_model_name(m, out)))
        return NULL;
    return n->out[0];
}

static bool output(pln_model *m, pln_value *v)
{
    return v && pln_graph_add_output(m->graph, v, NULL) == PLN_OK;
}

/* y = relu(x w + b), z = indices of its non-zeros, s = the values there, scaled. */
static pln_model *make_model(pln_env *env)
{
    pln_model *m = NULL;
    if (pln_model_new(env, &m, NULL) != PLN_OK)
        return NULL;
    pln_model_set_opset(m, "", 21);
    const int64_t x_dims[] = { -1, 64 }, w_dims[] = { 64, 48 }, b_dims[] = { 48 };
    pln_value *x = input(m, "x", PLN_DT_F32, 2, x_dims);
    pln_value *w = constant(m, "w", 2, w_dims), *b = constant(m, "b", 1, b_dims);
    bool ok = x && w && b;
    pln_value *t = ok ? node(m, "", "MatMul", "t", x, w) : NULL;
    pln_value *u = t ? node(m, "", "Add", "u", t, b) : NULL;
    pln_value *y = u ? node(m, "", "Relu", "y", u, NULL) : NULL;
    pln_value *z = y ? node(m, "", "NonZero", "z", y, NULL) : NULL;
    pln_value *zt = z ? node(m, "", "Transpose", "zt", z, NULL) : NULL;
    pln_value *g = zt ? node(m, "", "GatherND", "g", y, zt) : NULL;
    pln_value *s = g ? node(m, "", "Mul", "s", g, g) : NULL;
    if (output(m, y) && output(m, z) && output(m, s))
        return m;
    pln_model_free(m);
    return NULL;
}

static pln_tensor *make_x(int64_t n)
{
    const int64_t dims[] = { n, 64 };
    pln_tensor *t = NULL;
    if (pln_tensor_new(NULL, PLN_DT_F32, 2, dims, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < n * 64; i++)
        PLN_DATA(float, t)[i] = (float)((i * 7 + n) % 23) / 11 - 1;
    return t;
}

static pln_status run_on(pln_run *run, int64_t n, pln_error *err)
{
    pln_tensor *x = make_x(n);
    pln_status st = x ? pln_run_bind_input(run, "x", x, err) : PLN_E_NOMEM;
    pln_tensor_unref(x);
    return st == PLN_OK ? pln_run_execute(run, NULL, err) : st;
}

typedef struct fixture {
    pln_model *model;
    pln_session *session;
    pln_run *run;
    pln_error *err;
} fixture;

static fixture setup(int threads)
{
    fixture f = { .err = pln_error_new(), .model = make_model(NULL) };
    pln_session_options o = PLN_SESSION_OPTIONS_INIT;
    o.threads = threads;
    ck_assert_ptr_nonnull(f.model);
    ck_assert_int_eq(pln_session_new(f.model, &o, &f.session, f.err), PLN_OK);
    ck_assert_int_eq(pln_run_new(f.session, &f.run, f.err), PLN_OK);
    return f;
}

static void teardown(fixture *f)
{
    pln_run_free(f->run);
    pln_session_free(f->session);
    pln_model_free(f->model);
    pln_error_free(f->err);
}

/* ---- tests ----------------------------------------------------------------------- */

static void count_release(void *user, void *data)
{
    ck_assert_ptr_nonnull(data);
    ++*(int *)user;
}

START_TEST(views_give_memory_back)
{
    static float data[3] = { 1, 2, 3 };
    const int64_t n = 3;
    int released = 0;
    pln_tensor *t = NULL;
    ck_assert_int_eq(pln_tensor_view(NULL, PLN_DT_F32, 1, &n, data, sizeof data,
                                     count_release, &released, &t, NULL),
                     PLN_OK);
    pln_tensor_unref(pln_tensor_ref(t));
    ck_assert_int_eq(released, 0);
    pln_tensor_unref(t);
    ck_assert_int_eq(released, 1);
    ck_assert_int_eq(pln_tensor_view(NULL, PLN_DT_F32, 1, &n, data, 1, count_release,
                                     &released, &t, NULL),
                     PLN_E_USAGE);
    ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(shapes_change)
{
    fixture f = setup(2);
    const int64_t sizes[] = { 1, 5, 3, 5, 1, 128, 0, 2 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ck_assert_msg(run_on(f.run, sizes[i], f.err) == PLN_OK, "%s",
                      pln_error_text(f.err));
        pln_tensor *y = pln_run_output(f.run, "y"), *z = pln_run_output(f.run, "z");
        pln_tensor *s = pln_run_output_at(f.run, 2);
        ck_assert_int_eq(y->dims[0], sizes[i]);
        ck_assert_int_eq(z->dims[0], 2);
        ck_assert_int_eq(s->dims[0], z->dims[1]);
        int64_t k = 0;
        for (int64_t j = 0; j < sizes[i] * 48; j++) {
            const float v = PLN_DATA(float, y)[j];
            if (v == 0)
                continue;
            ck_assert(PLN_DATA(float, s)[k] == v * v);
            ck_assert_int_eq(PLN_DATA(int64_t, z)[k], j / 48);
            k++;
        }
        ck_assert_int_eq(k, s->dims[0]);
    }
    teardown(&f);
}
END_TEST

START_TEST(inputs_are_checked)
{
    fixture f = setup(1);
    const int64_t dims[] = { 2, 63 };
    pln_tensor *bad = NULL;
    ck_assert_int_eq(pln_tensor_new(NULL, PLN_DT_F32, 2, dims, &bad, NULL), PLN_OK);
    ck_assert_int_eq(pln_run_bind_input(f.run, "x", bad, f.err), PLN_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pln_error_text(f.err), "[2,63]"));
    ck_assert_str_eq(pln_error_get(f.err, "tensor"), "x");
    ck_assert_int_eq(pln_run_bind_input(f.run, "nobody", bad, f.err), PLN_E_INPUT);
    ck_assert_int_eq(pln_run_execute(f.run, NULL, f.err), PLN_E_INPUT);
    ck_assert_ptr_nonnull(strstr(pln_error_text(f.err), "'x'"));
    pln_tensor_unref(bad);
    teardown(&f);
}
END_TEST

START_TEST(outputs_are_kept_and_bound)
{
    fixture f = setup(1);
    ck_assert_int_eq(run_on(f.run, 4, f.err), PLN_OK);
    pln_tensor *kept = pln_tensor_ref(pln_run_output(f.run, "y"));
    float first = PLN_DATA(float, kept)[1];
    ck_assert_int_eq(run_on(f.run, 4, f.err), PLN_OK);
    ck_assert_ptr_ne(pln_run_output(f.run, "y"), kept);
    ck_assert(PLN_DATA(float, kept)[1] == first);
    ck_assert_int_eq(pln_run_bind_output(f.run, "y", kept, f.err), PLN_OK);
    memset(kept->data, 0x7f, 4 * 48 * sizeof(float));
    ck_assert_int_eq(run_on(f.run, 4, f.err), PLN_OK);
    ck_assert_ptr_eq(pln_run_output(f.run, "y"), kept);
    ck_assert(PLN_DATA(float, kept)[1] == first);
    ck_assert_int_eq(run_on(f.run, 5, f.err), PLN_E_INPUT);
    ck_assert_int_eq(pln_run_bind_output(f.run, "y", NULL, f.err), PLN_OK);
    ck_assert_int_eq(run_on(f.run, 5, f.err), PLN_OK);
    pln_tensor_unref(kept);
    teardown(&f);
}
END_TEST

typedef struct worker {
    pln_session *session;
    pln_tensor *y;
    int64_t n;
    pln_status st;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    pln_run *run = NULL;
    w->st = pln_run_new(w->session, &run, NULL);
    for (int i = 0; i < 20 && w->st == PLN_OK; i++)
        w->st = run_on(run, 1 + (w->n + i) % 7, NULL);
    if (w->st == PLN_OK)
        w->st = run_on(run, w->n, NULL);
    if (w->st == PLN_OK)
        w->y = pln_tensor_ref(pln_run_output(run, "y"));
    pln_run_free(run);
    return NULL;
}

START_TEST(threads_share_a_session)
{
    fixture f = setup(1);
    pthread_t thread[4];
    worker w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (worker){ .session = f.session, .n = 16 };
        ck_assert_int_eq(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    ck_assert_int_eq(run_on(f.run, 16, f.err), PLN_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(w[i].st, PLN_OK);
        ck_assert(pln_tensor_same(w[i].y, pln_run_output(f.run, "y")));
        pln_tensor_unref(w[i].y);
    }
    teardown(&f);
}
END_TEST

START_TEST(thread_counts_agree)
{
    const int counts[] = { 1, 2, 7 };
    pln_tensor *first = NULL;
    for (int i = 0; i < 3; i++) {
        fixture f = setup(counts[i]);
        ck_assert_int_eq(run_on(f.run, 130, f.err), PLN_OK);
        pln_tensor *s = pln_run_output(f.run, "s");
        if (first)
            ck_assert(pln_tensor_same(first, s));
        else
            first = pln_tensor_ref(s);
        teardown(&f);
    }
    pln_tensor_unref(first);
}
END_TEST

/* An operator that cancels its own run, or sleeps. */
static pln_status stop_infer(pln_op_call *c, void *user)
{
    const pln_tensor *x = pln_op_call_input(c, 0);
    return pln_op_call_set_output(c, 0, x->dtype, x->rank, x->dims);
}

static pln_status stop_run(pln_op_call *c, void *user)
{
    pln_run **run = user;
    if (run && *run)
        pln_run_cancel(*run);
    else
        usleep(20000);
    const pln_tensor *x = pln_op_call_input(c, 0);
    memcpy(pln_tensor_data(pln_op_call_output(c, 0)), x->data,
           (size_t)pln_tensor_count(x) * sizeof(float));
    return PLN_OK;
}

START_TEST(runs_are_stopped)
{
    pln_run *run = NULL, *to_cancel = NULL;
    pln_env *env = NULL;
    pln_model *m = NULL;
    pln_session *s = NULL;
    pln_error *err = pln_error_new();
    pln_op_def d = PLN_OP_DEF_INIT;
    d.domain = "test";
    d.name = "Stop";
    d.since_version = d.min_inputs = d.max_inputs = d.min_outputs = d.max_outputs = 1;
    d.infer = stop_infer;
    d.run = stop_run;
    d.user = &to_cancel;
    ck_assert_int_eq(pln_env_new(NULL, &env, err), PLN_OK);
    ck_assert_int_eq(pln_op_register(env, &d, err), PLN_OK);
    ck_assert_int_eq(pln_model_new(env, &m, err), PLN_OK);
    pln_model_set_opset(m, "", 21);
    pln_model_set_opset(m, "test", 1);
    const int64_t dims[] = { -1, 64 };
    pln_value *t = node(m, "test", "Stop", "t", input(m, "x", PLN_DT_F32, 2, dims), NULL);
    ck_assert(output(m, node(m, "", "Neg", "y", t, NULL)));
    ck_assert_msg(pln_session_new(m, NULL, &s, err) == PLN_OK, "%s", pln_error_text(err));
    ck_assert_int_eq(pln_run_new(s, &run, err), PLN_OK);
    ck_assert_int_eq(run_on(run, 2, err), PLN_OK);
    to_cancel = run;
    ck_assert_int_eq(run_on(run, 2, err), PLN_E_CANCELLED);
    ck_assert_ptr_null(pln_run_output(run, "y"));
    to_cancel = NULL;
    pln_run_options o = PLN_RUN_OPTIONS_INIT;
    o.deadline_ms = 1;
    ck_assert_int_eq(pln_run_execute(run, &o, err), PLN_E_LIMIT);
    ck_assert_int_eq(pln_run_execute(run, NULL, err), PLN_OK);
    pln_run_free(run);
    pln_session_free(s);
    pln_model_free(m);
    pln_env_free(env);
    pln_error_free(err);
}
END_TEST

/* Everything once; the status of the first failure. */
static pln_status whole_life(counter *c)
{
    pln_session *s = NULL;
    pln_run *run = NULL;
    pln_env *env = counting_env(c);
    pln_model *m = env ? make_model(env) : NULL;
    pln_status st = m ? pln_session_new(m, NULL, &s, NULL) : PLN_E_NOMEM;
    if (st == PLN_OK)
        st = pln_run_new(s, &run, NULL);
    if (st == PLN_OK)
        st = run_on(run, 3, NULL);
    if (st == PLN_OK)
        st = run_on(run, 1, NULL);
    pln_run_free(run);
    pln_session_free(s);
    pln_model_free(m);
    pln_env_free(env);
    return st;
}

START_TEST(memory_balances)
{
    counter c = { .fail_at = -1 };
    ck_assert_int_eq(whole_life(&c), PLN_OK);
    ck_assert_int_eq(c.live, 0);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    counter all = { .fail_at = -1 };
    ck_assert_int_eq(whole_life(&all), PLN_OK);
    for (long n = 0; n < all.calls; n++) {
        counter c = { .fail_at = n };
        const pln_status st = whole_life(&c);
        ck_assert_msg(st == PLN_E_NOMEM || st == PLN_OK, "allocation %ld: status %d", n,
                      st);
        ck_assert_msg(c.live == 0, "allocation %ld: %ld blocks are left", n,
                      (long)c.live);
    }
}
END_TEST

START_TEST(seen_shapes_allocate_nothing)
{
    counter c = { .fail_at = -1 };
    pln_env *env = counting_env(&c);
    pln_model *m = make_model(env);
    pln_session *s = NULL;
    pln_run *run = NULL;
    ck_assert_int_eq(pln_session_new(m, NULL, &s, NULL), PLN_OK);
    ck_assert_int_eq(pln_run_new(s, &run, NULL), PLN_OK);
    ck_assert_int_eq(run_on(run, 9, NULL), PLN_OK);
    ck_assert_int_eq(run_on(run, 9, NULL), PLN_OK);
    const long before = c.calls;
    ck_assert_int_eq(run_on(run, 9, NULL), PLN_OK);
    ck_assert_int_eq(c.calls, before);
    pln_run_free(run);
    pln_session_free(s);
    pln_model_free(m);
    pln_env_free(env);
}
END_TEST

/* What kernels pack may come from constants that depend on the input's shape. */
START_TEST(packed_constants_follow_the_shape)
{
    pln_error *err = pln_error_new();
    pln_model *m = NULL;
    pln_session *s = NULL;
    pln_run *run = NULL;
    const int64_t dims[] = { -1, 64 }, row[] = { 64 }, sizes[] = { 40, 24, 40, 64 };
    ck_assert_int_eq(pln_model_new(NULL, &m, err), PLN_OK);
    pln_model_set_opset(m, "", 21);
    pln_value *x = input(m, "x", PLN_DT_F32, 2, dims), *b = constant(m, "b", 1, row);
    pln_value *zeros =
        node(m, "", "ConstantOfShape", "c", node(m, "", "Shape", "n", x, NULL), NULL);
    pln_value *rows = node(m, "", "Add", "rows", zeros, b);
    pln_value *xt = node(m, "", "Transpose", "xt", x, NULL);
    ck_assert(output(m, node(m, "", "MatMul", "y", xt, rows)));
    ck_assert_msg(pln_session_new(m, NULL, &s, err) == PLN_OK, "%s", pln_error_text(err));
    ck_assert_int_eq(pln_run_new(s, &run, err), PLN_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ck_assert_msg(run_on(run, sizes[i], err) == PLN_OK, "%s", pln_error_text(err));
        pln_tensor *in = make_x(sizes[i]);
        float sum = 0;
        for (int64_t k = 0; k < sizes[i]; k++)
            sum += PLN_DATA(float, in)[k * 64 + 3];
        const float want = sum * PLN_DATA(float, b->cst)[5];
        ck_assert(fabsf(PLN_DATA(float, pln_run_output(run, "y"))[3 * 64 + 5] - want) <
                  1e-4f);
        pln_tensor_unref(in);
    }
    pln_run_free(run);
    pln_session_free(s);
    pln_model_free(m);
    pln_error_free(err);
}
END_TEST

/* An input with a default is a constant until a run replaces it. */
START_TEST(defaults_are_replaced)
{
    pln_error *err = pln_error_new();
    pln_model *m = NULL;
    pln_session *s = NULL;
    pln_run *run = NULL;
    const int64_t dims[] = { -1, 64 }, one[] = { 1, 64 };
    ck_assert_int_eq(pln_model_new(NULL, &m, err), PLN_OK);
    pln_model_set_opset(m, "", 21);
    pln_value *x = input(m, "x", PLN_DT_F32, 2, dims),
              *d = input(m, "d", PLN_DT_F32, 2, one);
    pln_tensor *t = make_x(1);
    pln_value_set_const(d, pln_tensor_ref(t));
    d->overridable = true;
    ck_assert(output(m, node(m, "", "Add", "y", x, node(m, "", "Neg", "nd", d, NULL))));
    ck_assert_int_eq(pln_session_new(m, NULL, &s, err), PLN_OK);
    ck_assert_uint_eq(pln_session_count(s, PLN_INPUT), 2);
    ck_assert_int_eq(pln_run_new(s, &run, err), PLN_OK);
    ck_assert_int_eq(run_on(run, 1, err), PLN_OK);
    ck_assert(PLN_DATA(float, pln_run_output(run, "y"))[5] == 0);
    pln_tensor *twice = NULL;
    ck_assert_int_eq(pln_tensor_dup(t, &twice, err), PLN_OK);
    PLN_DATA(float, twice)[5] -= 1;
    ck_assert_int_eq(pln_run_bind_input(run, "d", twice, err), PLN_OK);
    ck_assert_int_eq(run_on(run, 1, err), PLN_OK);
    ck_assert(fabsf(PLN_DATA(float, pln_run_output(run, "y"))[5] - 1) < 1e-6f);
    ck_assert_int_eq(pln_run_bind_input(run, "d", NULL, err), PLN_OK);
    ck_assert_int_eq(run_on(run, 1, err), PLN_OK);
    ck_assert(PLN_DATA(float, pln_run_output(run, "y"))[5] == 0);
    pln_tensor_unref(twice);
    pln_tensor_unref(t);
    pln_run_free(run);
    pln_session_free(s);
    pln_model_free(m);
    pln_error_free(err);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("session");
    TCase *c = tcase_create("session");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, views_give_memory_back);
    tcase_add_test(c, shapes_change);
    tcase_add_test(c, inputs_are_checked);
    tcase_add_test(c, outputs_are_kept_and_bound);
    tcase_add_test(c, threads_share_a_session);
    tcase_add_test(c, thread_counts_agree);
    tcase_add_test(c, runs_are_stopped);
    tcase_add_test(c, memory_balances);
    tcase_add_test(c, any_allocation_may_fail);
    tcase_add_test(c, packed_constants_follow_the_shape);
    tcase_add_test(c, defaults_are_replaced);
    tcase_add_test(c, seen_shapes_allocate_nothing);
    suite_add_tcase(s, c);
    return unit_main(s);
}
