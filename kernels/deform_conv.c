/* DeformConv: a convolution whose taps are moved by an input.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/deform_conv.h"
#include "kernels/product.h"
#include "src/ir/numeric.h"
#include "src/util/parallel.h"

#include <math.h>
#include <string.h>

typedef struct deform_attrs {
    pln_conv_attrs conv; /* first: the convolution's geometry reads it */
    int64_t offset_group;
} deform_attrs;

static const pln_attr_spec deform_spec[] = {
    { .name = "group", .type = PLN_ATTR_INT, .offset = offsetof(deform_attrs, conv.group),
      .i = 1 },
    { .name = "dilations", .type = PLN_ATTR_INTS,
      .offset = offsetof(deform_attrs, conv.dilations) },
    { .name = "kernel_shape", .type = PLN_ATTR_INTS,
      .offset = offsetof(deform_attrs, conv.kernel_shape) },
    { .name = "pads", .type = PLN_ATTR_INTS, .offset = offsetof(deform_attrs,
                                                                conv.pads) },
    { .name = "strides", .type = PLN_ATTR_INTS, .offset = offsetof(deform_attrs,
                                                                   conv.strides) },
    PLN_A_INT(deform_attrs, offset_group, 1),
    PLN_A_END,
};

typedef pln_deform deform;

#define PLN_TMPL "kernels/deform_conv_tmpl.h"
#include "kernels/each_float.h"

typedef void (*planes_fn)(const deform *s, int64_t p0, int64_t p1);

static const planes_fn fns[PLN_DT_COUNT] = {
    [PLN_DT_F32] = deform_f32, [PLN_DT_F64] = deform_f64, [PLN_DT_F16] = deform_f16,
    [PLN_DT_BF16] = deform_bf16,
};

typedef struct job {
    planes_fn fn;
    const deform *s;
} job;

static void run_planes(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    j->fn(j->s, begin, end);
}

static pln_status check(pln_node *n, void *attrs, pln_error *err)
{
    const deform_attrs *at = attrs;
    char where[160];
    PLN_TRY(pln_conv_check(n, attrs, err));
    return at->offset_group >= 1
               ? PLN_OK
               : pln_fail(err, PLN_E_FORMAT, "%s: offset_group is below 1",
                          pln_node_where(n, where, sizeof where));
}

static pln_status deform_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank >= 0 && rank != 4)
        return pln_infer_fail(
            inf, err, "input 0 has rank %d; only images of rank 4 are there", rank);
    return pln_conv_infer(inf, 0, 1, false, pln_infer_dtype(inf, 0), err);
}

static void deform_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, false, cost);
    cost->flops *= 6; /* each tap is a mean of four pixels */
}

/* Sizes of `offset` (planes 2) and `mask` (planes 1). */
static bool fits(const deform *s, const pln_tensor *t, int64_t planes)
{
    return !t || (t->rank == 4 && t->dims[0] == s->g.n &&
                  t->dims[1] == planes * s->offset_group * s->g.taps &&
                  t->dims[2] == s->g.out[0] && t->dims[3] == s->g.out[1]);
}

static pln_status deform_of(const pln_call *c, deform *s, pln_error *err)
{
    const deform_attrs *at = c->attrs;
    const pln_tensor *bias = pln_call_has(c, 3) ? c->in[3] : NULL;
    const pln_tensor *mask = pln_call_has(c, 4) ? c->in[4] : NULL;
    *s = (deform){ .offset_group = at->offset_group,
                   .x = c->in[0]->data,
                   .w = c->in[1]->data,
                   .offset = c->in[2]->data,
                   .bias = bias ? bias->data : NULL,
                   .mask = mask ? mask->data : NULL,
                   .y = c->out[0]->data };
    if (!pln_conv_geom_set(&s->g, &at->conv, false, c->in[0], c->in[1], c->out[0]) ||
        s->g.nd != 2 || s->g.c % s->offset_group || !fits(s, c->in[2], 2) ||
        !fits(s, mask, 1) || (bias && pln_tensor_size(bias) != s->g.m))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    return PLN_OK;
}

static pln_status deform_ref(pln_call *c, pln_error *err)
{
    deform s;
    PLN_TRY(deform_of(c, &s, err));
    const job j = { fns[c->in[0]->dtype], &s };
    if (!j.fn)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "no convolution of %s",
                             pln_dtype_name((pln_dtype)c->in[0]->dtype));
    pln_parallel_for(c->n_threads, s.g.out_size ? s.g.n * s.g.m : 0, 1, run_planes,
                     (void *)&j);
    return PLN_OK;
}

static pln_status deform_run(pln_call *c, pln_error *err)
{
    deform s;
    PLN_TRY(deform_of(c, &s, err));
    return pln_tensor_size(c->out[0]) == 0 ? PLN_OK : pln_deform_f32(c, &s, err);
}

static pln_status deform_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (p->in[0]->dtype != PLN_DT_F32)
        return PLN_E_UNSUPPORTED;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

static const pln_impl deform_cpu = { "deform_conv_f32", deform_prepare, deform_run,
                                     NULL };

const pln_op_desc pln_ops_deform_conv[] = {
    { .name = "DeformConv", .domain = "", .since = 22, .in = { 3, 5 }, .out = { 1, 1 },
      .types = "T:" PLN_FLOAT_TYPES, .sig = "T,T,T,T?,T?->T", .attrs = deform_spec,
      .attrs_size = sizeof(deform_attrs), .check = check, .infer = deform_infer,
      .ref = deform_ref, .cpu = &deform_cpu, .cost = deform_cost },
    { .name = NULL },
};
