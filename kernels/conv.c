/* Conv and ConvTranspose.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv.h"
#include "kernels/conv_cpu.h"
#include "kernels/ms_fused.h"
#include "kernels/product.h"
#include "src/ir/numeric.h"
#include "src/util/parallel.h"

#include <string.h>

#define PLN_TMPL "kernels/conv_tmpl.h"
#include "kernels/each_float.h"

typedef void (*planes_fn)(const pln_conv_geom *g, const void *x, const void *w,
                          const void *b, void *y, int64_t p0, int64_t p1);

static const planes_fn planes_fns[PLN_DT_COUNT] = {
    [PLN_DT_F32] = conv_planes_f32, [PLN_DT_F64] = conv_planes_f64,
    [PLN_DT_F16] = conv_planes_f16, [PLN_DT_BF16] = conv_planes_bf16,
};

typedef struct job {
    planes_fn fn;
    const pln_conv_geom *g;
    const void *x, *w, *b;
    void *y;
} job;

static void run_planes(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    j->fn(j->g, j->x, j->w, j->b, j->y, begin, end);
}

pln_status pln_conv_ref(const pln_call *c, const pln_conv_geom *g, const pln_tensor *x,
                        const pln_tensor *w, const pln_tensor *bias, pln_tensor *y,
                        pln_error *err)
{
    job j = { .fn = planes_fns[x->dtype], .g = g, .x = x->data, .w = w->data,
              .b = bias ? bias->data : NULL, .y = y->data };
    if (!j.fn)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "no convolution of %s",
                             pln_dtype_name(x->dtype));
    if (bias && (bias->rank != 1 || bias->dims[0] != g->m))
        return pln_call_fail(c, err, PLN_E_RUN, "the bias has not one value a channel");
    pln_parallel_for(c->n_threads, g->out_size ? g->n * g->m : 0, 1, run_planes, &j);
    return PLN_OK;
}

pln_status pln_conv_posts(const pln_node *n, const void *attrs, pln_postop_list *out,
                          pln_error *err)
{
    *out = (pln_postop_list){ .n = 0 };
    if (strcmp(n->domain, "planish") == 0)
        return pln_postops_parse(n, &((const pln_conv_attrs *)attrs)->post, 3, out, err);
    if (strncmp(n->domain, "com.microsoft", 13) == 0) /* and com.microsoft.nchwc */
        return pln_ms_conv_posts(n, attrs, out);
    return PLN_OK;
}

static pln_status conv_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, false, pln_infer_dtype(inf, 0), err);
}

static pln_status conv_transpose_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, true, pln_infer_dtype(inf, 0), err);
}

static void conv_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, false, cost);
}

static void conv_transpose_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, true, cost);
}

static pln_status run_ref(pln_call *c, bool transposed, pln_error *err)
{
    pln_conv_geom g;
    if (!pln_conv_geom_set(&g, c->attrs, transposed, c->in[0], c->in[1], c->out[0]))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    return pln_conv_ref(c, &g, c->in[0], c->in[1], pln_call_has(c, 2) ? c->in[2] : NULL,
                        c->out[0], err);
}

static pln_status conv_ref(pln_call *c, pln_error *err)
{
    return run_ref(c, false, err);
}

static pln_status conv_transpose_ref(pln_call *c, pln_error *err)
{
    return run_ref(c, true, err);
}

static const pln_attr_spec conv_spec[] = { PLN_CONV_SPEC, PLN_A_END };
static const pln_attr_spec conv_transpose_spec[] = { PLN_CONV_TRANSPOSE_SPEC, PLN_A_END };

const pln_op_desc pln_ops_conv[] = {
    { .name = "Conv", .domain = "", .since = 22, .in = { 2, 3 }, .out = { 1, 1 },
      .types = "T:" PLN_FLOAT_TYPES, .sig = "T,T,T?->T",
      .attrs = conv_spec, .attrs_size = sizeof(pln_conv_attrs), .check = pln_conv_check,
      .infer = conv_infer, .ref = conv_ref, .cpu = &pln_impl_conv_f32,
      .cost = conv_cost },
    { .name = "ConvTranspose", .domain = "", .since = 22, .in = { 2, 3 }, .out = { 1, 1 },
      .types = "T:" PLN_FLOAT_TYPES, .sig = "T,T,T?->T",
      .attrs = conv_transpose_spec, .attrs_size = sizeof(pln_conv_attrs),
      .check = pln_conv_check, .infer = conv_transpose_infer, .ref = conv_transpose_ref,
      .cpu = &pln_impl_conv_f32,
      .cost = conv_transpose_cost },
    { .name = NULL },
};
