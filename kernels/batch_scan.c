/* planish.BatchScan: Scan as version 8 of it was, with a batch dimension in front of
 * every input and output and the time as the second of scanned ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"

typedef struct batch_attrs {
    pln_graph *body;
    pln_ints directions;
    int64_t num_scan_inputs;
} batch_attrs;

static const pln_attr_spec batch_spec[] = {
    PLN_A_GRAPH(batch_attrs, body),
    PLN_A_INTS(batch_attrs, directions),
    { .name = "num_scan_inputs",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(batch_attrs, num_scan_inputs) },
    PLN_A_END,
};

/* Input 0 holds the lengths; states and scanned inputs follow. */
static bool counts(const batch_attrs *a, uint32_t n_in, uint32_t n_out, uint32_t *states,
                   uint32_t *scans)
{
    if (n_in < 2 || a->num_scan_inputs < 1 || a->num_scan_inputs > (int64_t)n_in - 1)
        return false;
    *scans = (uint32_t)a->num_scan_inputs;
    *states = n_in - 1 - *scans;
    return n_out >= *states;
}

static pln_type without_dims(pln_infer *inf, const pln_type *t, int n)
{
    pln_type out = t ? *t : pln_type_unknown();
    if (out.kind != PLN_KIND_TENSOR || out.shape.rank < n) {
        out.shape = pln_shape_unknown();
        return out;
    }
    pln_shape s = pln_infer_shape(inf, out.shape.rank - n);
    for (int i = 0; i < s.rank; i++)
        s.dims[i] = out.shape.dims[n + i];
    out.shape = s;
    return out;
}

static pln_type with_dims(pln_infer *inf, const pln_type *t, int n, const pln_dim *front)
{
    pln_type out = *t;
    if (out.kind != PLN_KIND_TENSOR || out.shape.rank == PLN_RANK_UNKNOWN)
        return out;
    pln_shape s = pln_infer_shape(inf, out.shape.rank + n);
    for (int i = 0; i < s.rank; i++)
        s.dims[i] = i < n ? front[i] : out.shape.dims[i - n];
    out.shape = s;
    return out;
}

static pln_status batch_infer(pln_infer *inf, pln_error *err)
{
    const batch_attrs *a = inf->attrs;
    uint32_t states, scans;
    if (!counts(a, inf->n_in, inf->n_out, &states, &scans) ||
        a->body->n_inputs != states + scans || a->body->n_outputs != inf->n_out)
        return pln_infer_fail(inf, err, "the body does not fit the inputs and outputs");
    const uint32_t n = states + scans;
    pln_type *in = PLN_NEW_ARRAY(inf->arena, pln_type, n + 1);
    pln_type *out = PLN_NEW_ARRAY(inf->arena, pln_type, inf->n_out + 1);
    if (!in || !out)
        return pln_oom(err);
    for (uint32_t i = 0; i < n; i++)
        in[i] = without_dims(inf, inf->in[1 + i], i < states ? 1 : 2);
    for (uint32_t i = 0; i < inf->n_out; i++)
        out[i] = pln_type_unknown();
    if (inf->body)
        PLN_TRY(inf->body(inf, a->body, in, n, out, inf->n_out, err));
    const uint32_t x = 1 + states;
    const pln_dim front[2] = {
        pln_infer_rank(inf, x) >= 2 ? pln_infer_dim(inf, x, 0) : pln_dim_unknown(),
        pln_infer_rank(inf, x) >= 2 ? pln_infer_dim(inf, x, 1) : pln_dim_unknown()
    };
    for (uint32_t i = 0; i < inf->n_out; i++)
        inf->out[i] = with_dims(inf, &out[i], i < states ? 1 : 2, front);
    return PLN_OK;
}

typedef struct batch_job {
    uint32_t states, scans, n; /* n: of the body's inputs */
    int64_t batches, times;
    pln_tensor **in, **out;
} batch_job;

/* The part of x at `index` of its first `skip` dimensions, as a tensor of its own. */
static pln_status part_of(pln_call *c, const pln_tensor *x, int skip, int64_t index,
                          pln_tensor **out, pln_error *err)
{
    pln_tensor_unref(*out);
    *out = NULL;
    PLN_TRY(pln_tensor_make(pln_call_allocator(c), x->dtype, x->rank - skip,
                            x->dims + skip, out, err));
    const int64_t n = pln_tensor_size(*out);
    if (n > 0)
        pln_tensor_copy(*out, 0, x, index * n, n);
    return PLN_OK;
}

/* Writes t to its place in output o, which is made with the first one. */
static pln_status place(pln_call *c, const batch_job *j, uint32_t o, int64_t index,
                        bool first, const pln_tensor *t, pln_error *err)
{
    const int lead = o < j->states ? 1 : 2;
    int64_t dims[PLN_MAX_RANK] = { j->batches, j->times };
    if (!pln_call_wants(c, o))
        return PLN_OK;
    if (t->kind != PLN_KIND_TENSOR || t->rank + lead > PLN_MAX_RANK)
        return pln_call_fail(c, err, PLN_E_RUN, "output %u of the body is no tensor", o);
    memcpy(dims + lead, t->dims, (size_t)t->rank * sizeof *dims);
    if (first) {
        PLN_TRY(pln_call_output(c, o, t->dtype, t->rank + lead, dims, err));
        pln_move_begin(c->out[o]);
        if (pln_tensor_size(c->out[o]) > 0)
            memset(c->out[o]->data, 0, pln_move_bytes_of(c->out[o]));
    }
    const pln_tensor *y = c->out[o];
    if (y->dtype != t->dtype || y->rank != t->rank + lead ||
        memcmp(y->dims, dims, (size_t)y->rank * sizeof *dims))
        return pln_call_fail(c, err, PLN_E_RUN, "output %u changes its type or shape", o);
    const int64_t n = pln_tensor_size(t);
    if (n > 0)
        pln_tensor_copy(c->out[o], index * n, t, 0, n);
    return PLN_OK;
}

static pln_status batch_step(pln_call *c, batch_job *j, int64_t b, int64_t t, int64_t n,
                             bool first, pln_error *err)
{
    const batch_attrs *a = c->attrs;
    if (pln_call_cancelled(c))
        return pln_fail(err, PLN_E_CANCELLED, "cancelled");
    for (uint32_t i = 0; i < j->scans; i++) {
        const bool back = i < a->directions.n && a->directions.v[i];
        PLN_TRY(part_of(c, c->in[1 + j->states + i], 2,
                        b * j->times + (back ? n - 1 - t : t), &j->in[j->states + i],
                        err));
    }
    PLN_TRY(pln_call_body(c, a->body, j->in, j->n, j->out, c->n_out, err));
    for (uint32_t o = 0; o < c->n_out; o++) {
        if (o >= j->states) {
            PLN_TRY(place(c, j, o, b * j->times + t, first, j->out[o], err));
            pln_tensor_unref(j->out[o]);
        } else {
            pln_tensor_unref(j->in[o]);
            j->in[o] = j->out[o];
        }
        j->out[o] = NULL;
    }
    return PLN_OK;
}

static pln_status batch_check(pln_call *c, batch_job *j, pln_error *err)
{
    j->batches = j->times = -1;
    for (uint32_t i = 0; i < j->n; i++) {
        const pln_tensor *x = pln_call_has(c, 1 + i) ? c->in[1 + i] : NULL;
        const int lead = i < j->states ? 1 : 2;
        if (!x || x->kind != PLN_KIND_TENSOR || x->rank < lead)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u is absent or too small",
                                 1 + i);
        if ((j->batches >= 0 && x->dims[0] != j->batches) ||
            (lead == 2 && j->times >= 0 && x->dims[1] != j->times))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "input %u has another batch or length", 1 + i);
        j->batches = x->dims[0];
        j->times = lead == 2 ? x->dims[1] : j->times;
    }
    if (pln_call_has(c, 0) && pln_tensor_size(c->in[0]) != j->batches)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "there are not as many lengths as batches");
    return PLN_OK;
}

static pln_status batch_all(pln_call *c, batch_job *j, pln_error *err)
{
    bool stepped = false;
    PLN_TRY(batch_check(c, j, err));
    for (int64_t b = 0; b < j->batches; b++) {
        const int64_t n = pln_call_has(c, 0) ? pln_move_index(c->in[0], b) : j->times;
        if (n < 0 || n > j->times)
            return pln_call_fail(c, err, PLN_E_RUN, "length %lld of %lld", (long long)n,
                                 (long long)j->times);
        for (uint32_t i = 0; i < j->states; i++)
            PLN_TRY(part_of(c, c->in[1 + i], 1, b, &j->in[i], err));
        for (int64_t t = 0; t < n; t++, stepped = true)
            PLN_TRY(batch_step(c, j, b, t, n, !stepped, err));
        for (uint32_t o = 0; o < j->states; o++)
            PLN_TRY(place(c, j, o, b, b == 0, j->in[o], err));
    }
    if (!stepped)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED,
                             "a scan of version 8 without a step");
    return PLN_OK;
}

static pln_status batch_run(pln_call *c, pln_error *err)
{
    batch_job j = { 0 };
    if (!counts(c->attrs, c->n_in, c->n_out, &j.states, &j.scans))
        return pln_call_fail(c, err, PLN_E_FORMAT, "num_scan_inputs does not fit");
    j.n = j.states + j.scans;
    j.in = pln_call_scratch(c, (j.n + 1) * sizeof *j.in);
    j.out = pln_call_scratch(c, (c->n_out + 1) * sizeof *j.out);
    if (!j.in || !j.out)
        return pln_oom(err);
    memset(j.in, 0, (j.n + 1) * sizeof *j.in);
    memset(j.out, 0, (c->n_out + 1) * sizeof *j.out);
    const pln_status st = batch_all(c, &j, err);
    for (uint32_t i = 0; i < j.n; i++)
        pln_tensor_unref(j.in[i]);
    for (uint32_t i = 0; i < c->n_out; i++)
        pln_tensor_unref(j.out[i]);
    return st;
}

const pln_op_desc pln_ops_batch_scan[] = {
    { .name = "BatchScan",
      .sig = "V+->V+",
      .domain = "planish",
      .since = 1,
      .in = { 0, PLN_VARIADIC },
      .out = { 1, PLN_VARIADIC },
      .traits = PLN_OP_CONTROL,
      .attrs = batch_spec,
      .attrs_size = sizeof(batch_attrs),
      .infer = batch_infer,
      .ref = batch_run },
    { .name = NULL },
};
