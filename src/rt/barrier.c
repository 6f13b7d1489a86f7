/* Steps whose output shapes depend on the contents of their inputs: inferred when the
 * inputs are there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"

static pln_status infer_now(pln_arena *arena, const pln_call *c, pln_infer *inf,
                            pln_error *err)
{
    const pln_type **in = PLN_NEW_ARRAY(arena, const pln_type *, c->n_in + 1);
    const pln_symval **sym = PLN_NEW_ARRAY(arena, const pln_symval *, c->n_in + 1);
    const pln_tensor **cst = PLN_NEW_ARRAY(arena, const pln_tensor *, c->n_in + 1);
    inf->out = PLN_NEW_ARRAY(arena, pln_type, c->n_out + 1);
    inf->out_sym = PLN_NEW_ARRAY(arena, const pln_symval *, c->n_out + 1);
    if (!in || !sym || !cst || !inf->out || !inf->out_sym)
        return pln_oom(err);
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (!c->in[i])
            continue;
        if (!(in[i] = rt_type_of(arena, c->in[i])))
            return pln_oom(err);
        if (c->in[i]->kind == PLN_KIND_TENSOR)
            cst[i] = c->in[i];
    }
    for (uint32_t i = 0; i < c->n_out; i++)
        inf->out[i] = pln_type_unknown();
    inf->in = in;
    inf->in_sym = sym;
    inf->in_cst = cst;
    PLN_TRY(pln_infer_check_inputs(inf, err));
    return c->node->op->infer ? c->node->op->infer(inf, err) : PLN_OK;
}

static pln_status give_outputs(pln_call *c, const pln_infer *inf, pln_error *err)
{
    for (uint32_t i = 0; i < c->n_out; i++) {
        const pln_type *t = &inf->out[i];
        int64_t dims[PLN_MAX_RANK];
        if (!c->out[i] || t->kind != PLN_KIND_TENSOR || !rt_type_is_known(t))
            continue; /* the kernel gives it */
        for (int k = 0; k < t->shape.rank; k++)
            dims[k] = t->shape.dims[k].value;
        PLN_TRY(pln_call_output(c, i, t->dtype, t->shape.rank, dims, err));
    }
    return PLN_OK;
}

pln_status rt_barrier_infer(pln_run *run, rt_frame *f, rt_step *step, pln_call *c,
                            pln_error *err)
{
    pln_infer inf = { .node = step->node,
                      .attrs = step->attrs,
                      .arena = run->arena,
                      .n_in = c->n_in,
                      .n_out = c->n_out };
    pln_status st = infer_now(run->arena, c, &inf, err);
    if (st == PLN_OK)
        st = give_outputs(c, &inf, err);
    pln_arena_reset(run->arena);
    return st;
}
