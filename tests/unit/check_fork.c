/* A child process runs what its parent has made, on as many threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/main.h"

#define N 256

static const char model_text[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
                                 "g (float[256, 256] x) => (float[256, 256] y)\n"
                                 "{ a = Sin(x) b = MatMul(a, a) y = Add(b, x) }\n";

static pln_session *open_session(void)
{
    pln_model *m = NULL;
    pln_session *s = NULL;
    pln_session_options o = PLN_SESSION_OPTIONS_INIT;
    o.threads = 3;
    ck_assert(pln_model_parse(NULL, model_text, sizeof model_text - 1, NULL, &m, NULL) ==
              PLN_OK);
    ck_assert(pln_session_new(m, &o, &s, NULL) == PLN_OK);
    pln_model_free(m);
    return s;
}

/* The sum of the result, 0 if it fails. */
static double run_once(pln_session *s)
{
    const int64_t dims[2] = { N, N };
    pln_run *run = NULL;
    pln_tensor *x = NULL;
    double sum = 0;
    if (pln_run_new(s, &run, NULL) == PLN_OK &&
        pln_tensor_new(NULL, PLN_DT_F32, 2, dims, &x, NULL) == PLN_OK) {
        for (int64_t i = 0; i < N * N; i++)
            pln_tensor_set_number(x, i, (double)(i % 7) / 7);
        if (pln_run_bind_input(run, "x", x, NULL) == PLN_OK &&
            pln_run_execute(run, NULL, NULL) == PLN_OK)
            for (int64_t i = 0; i < N * N; i++)
                sum += pln_tensor_number(pln_run_output_at(run, 0), i);
    }
    pln_tensor_unref(x);
    pln_run_free(run);
    return sum;
}

static void expect_child(pln_session *s, double want)
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
        alarm(20); /* a child that waits for threads that are not there */
        _exit(run_once(s) == want ? 0 : 1);
    }
    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

START_TEST(children_run_on)
{
    pln_session *s = open_session();
    const double want = run_once(s);
    ck_assert(want != 0);
    expect_child(s, want);
    ck_assert(run_once(s) == want); /* the parent has its threads again */
    expect_child(s, want);
    pln_session_free(s);
}
END_TEST

START_TEST(children_make_their_own)
{
    pln_session *s = open_session();
    int status = -1;
    const double want = run_once(s);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(run_once(open_session()) == want ? 0 : 1);
    }
    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    pln_session_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fork");
    TCase *t = tcase_create("fork");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, children_run_on);
    tcase_add_test(t, children_make_their_own);
    suite_add_tcase(s, t);
    return unit_main(s);
}
