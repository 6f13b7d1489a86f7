/* Fuzz target: a file of rules is refused with its place, or rewrites a model into one
 * that is as valid, that can be written, and that is read again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Chains, several users, outputs within, constants, a body, absent inputs. */
static const char net[] =
    "<ir_version: 8, opset_import: [\"\" : 18]>\n"
    "net (float[N, 4] x, bool c) => (float[N, 3] y, float[N, 4] z, float[N, 3] h)\n"
    "<float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[3] b = {1, 2, 3},\n"
    " float two = {2}, int64[2] perm = {3, -1}>\n"
    "{ m = MatMul(x, w)  h = Add(m, b)  r = Relu(h)  s = Sigmoid(r)\n"
    "  q = Softplus(s)  t = Tanh(q)  u = Mul(s, t)  k = Clip(u, two)\n"
    "  f = Transpose <perm = [1, 0]> (k)  g = Reshape(f, perm)  l = Softmax <axis = -1> "
    "(k)\n"
    "  i = If (c) < then_branch = a () => (float[N, 3] p) { p = Neg(l) },\n"
    "                else_branch = d () => (float[N, 3] e) { v = Relu(l) e = Neg(v) } >\n"
    "  y = Add(i, l)  z = Identity(x) }\n";

static void check(pln_model *m)
{
    pln_model *again = NULL;
    void *bytes = NULL;
    size_t n = 0, n_errors = 0;
    char *faults = NULL;
    pln_error *err = pln_error_new();
    if (pln_model_check(m, &faults, &n_errors, err) != PLN_OK || n_errors) {
        fprintf(stderr, "the result is invalid: %s\n",
                faults ? faults : pln_error_text(err));
        abort();
    }
    if (pln_model_save_memory(m, &bytes, &n, err) != PLN_OK ||
        pln_model_load_memory(NULL, bytes, n, NULL, &again, err) != PLN_OK) {
        fprintf(stderr, "the result can't be written and read: %s\n",
                pln_error_text(err));
        abort();
    }
    pln_model_free(again);
    pln_free(NULL, bytes);
    pln_free(NULL, faults);
    pln_error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pln_model *m = NULL;
    char *text = malloc(size + 1);
    pln_error *err = pln_error_new();
    if (!text || !err || pln_model_parse(NULL, net, strlen(net), NULL, &m, err) != PLN_OK)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    const pln_rules_source source = { "fuzz.rules", text };
    pln_optimize_options o = PLN_OPTIMIZE_OPTIONS_INIT;
    o.level = 0;
    o.rules = &source;
    o.n_rules = 1;
    o.stats = true;
    o.verify = PLN_VERIFY_REWRITE;
    const pln_status st = pln_model_optimize(m, &o, NULL, err);
    if (st == PLN_OK) {
        check(m);
    } else if (!*pln_error_text(err)) {
        fprintf(stderr, "refused without a reason\n");
        abort();
    }
    pln_model_free(m);
    pln_error_free(err);
    free(text);
    return 0;
}
