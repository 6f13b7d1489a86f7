/* MaxPool, AveragePool, LpPool and the global pools.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pool.h"

#include "kernels/pool_fns.h"
#include "kernels/raise.h"
#include "src/util/cpu.h"

/* ---- geometry -------------------------------------------------------------------- */

bool pool_axis_attrs(const pool_attrs *a, int s, int i, pool_axis *ax)
{
    const size_t n = (size_t)s;
    if (a->kernel_shape.n != n || (a->strides.n && a->strides.n != n) ||
        (a->dilations.n && a->dilations.n != n) || (a->pads.n && a->pads.n != 2 * n))
        return false;
    ax->k = a->kernel_shape.v[i];
    ax->stride = a->strides.n ? a->strides.v[i] : 1;
    ax->dil = a->dilations.n ? a->dilations.v[i] : 1;
    ax->before = a->pads.n && a->auto_pad == PAD_NOTSET ? a->pads.v[i] : 0;
    ax->after = a->pads.n && a->auto_pad == PAD_NOTSET ? a->pads.v[s + i] : 0;
    const int64_t limit = INT32_MAX;
    return ax->k >= 1 && ax->stride >= 1 && ax->dil >= 1 && ax->before >= 0 &&
           ax->after >= 0 && ax->k <= limit && ax->stride <= limit && ax->dil <= limit &&
           ax->before <= limit && ax->after <= limit;
}

bool pool_axis_size(const pool_attrs *a, pool_axis *ax)
{
    if (a->auto_pad == PAD_SAME_UPPER || a->auto_pad == PAD_SAME_LOWER) {
        ax->out = ax->in / ax->stride + (ax->in % ax->stride != 0);
        int64_t all = (ax->out - 1) * ax->stride + pool_reach(ax) - ax->in;
        all = all < 0 ? 0 : all;
        ax->before = (all + (a->auto_pad == PAD_SAME_LOWER)) / 2;
        ax->after = all - ax->before;
        return true;
    }
    const int64_t room = ax->in + ax->before + ax->after - pool_reach(ax);
    if (room < 0)
        return false;
    ax->out = room / ax->stride + 1;
    /* A window that would start in the padding behind is left out. */
    if (a->ceil_mode && a->auto_pad == PAD_NOTSET && room % ax->stride &&
        ax->out * ax->stride < ax->in + ax->before)
        ax->out++;
    return true;
}

/* ---- inference ------------------------------------------------------------------- */

static pln_dim pool_symbolic(pln_infer *inf, const pool_attrs *a, const pool_axis *ax,
                             pln_dim d)
{
    const pln_dim stride = pln_dim_of(ax->stride);
    if (pln_dim_is_unknown(d))
        return d;
    if (a->auto_pad == PAD_SAME_UPPER || a->auto_pad == PAD_SAME_LOWER)
        return pln_dim_div_up(inf->syms, d, stride);
    const pln_dim room =
        pln_dim_add(inf->syms, d, pln_dim_of(ax->before + ax->after - pool_reach(ax)));
    const bool up = a->ceil_mode && a->auto_pad == PAD_NOTSET && ax->stride > 1;
    if (up && ax->after - pool_reach(ax) + ax->stride > 0)
        return pln_dim_unknown();
    const pln_dim n = up ? pln_dim_div_up(inf->syms, room, stride)
                         : pln_dim_div(inf->syms, room, stride);
    return pln_dim_add(inf->syms, n, pln_dim_of(1));
}

static pln_status pool_shape(pln_infer *inf, pln_shape *out, pln_error *err)
{
    const pool_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank < 3)
        return pln_infer_fail(inf, err, "input has rank %d, want 3 or more", rank);
    *out = pln_move_infer_like(inf, 0);
    for (int i = 0; i < rank - 2; i++) {
        pool_axis ax = { 0 };
        if (!pool_axis_attrs(a, rank - 2, i, &ax))
            return pln_infer_fail(inf, err,
                                  "kernel_shape, strides, pads or dilations don't "
                                  "fit rank %d",
                                  rank);
        pln_dim *d = &out->dims[2 + i];
        if (pln_dim_is_known(*d)) {
            ax.in = d->value;
            if (!pool_axis_size(a, &ax))
                return pln_infer_fail(inf, err, "a window of %lld does not fit into %lld",
                                      (long long)pool_reach(&ax), (long long)ax.in);
            *d = pln_dim_of(ax.out);
        } else {
            *d = pool_symbolic(inf, a, &ax, *d);
        }
    }
    return PLN_OK;
}

pln_status pool_infer(pln_infer *inf, pln_error *err)
{
    pln_shape out = pln_shape_unknown();
    if (pln_infer_rank(inf, 0) != PLN_RANK_UNKNOWN)
        PLN_TRY(pool_shape(inf, &out, err));
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    if (inf->n_out > 1)
        pln_infer_set(inf, 1, PLN_DT_S64, out);
    return PLN_OK;
}

pln_status pool_global_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (rank < 2)
        return pln_infer_fail(inf, err, "input has rank %d, want 2 or more", rank);
    pln_shape out = pln_move_infer_like(inf, 0);
    for (int i = 2; i < rank; i++)
        out.dims[i] = pln_dim_of(1);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

void pool_cost(const pln_infer *inf, pln_cost *cost)
{
    const pool_attrs *a = inf->attrs;
    const pln_dim in = pln_shape_count(inf->syms, inf->in[0]->shape);
    const pln_dim out = pln_shape_count(inf->syms, inf->out[0].shape);
    *cost = (pln_cost){ 0 };
    if (!pln_dim_is_known(in) || !pln_dim_is_known(out))
        return;
    double taps = 1;
    for (size_t i = 0; i < a->kernel_shape.n; i++)
        taps *= (double)a->kernel_shape.v[i];
    const double size = (double)pln_dtype_size(pln_infer_dtype(inf, 0));
    cost->flops = taps * (double)out.value;
    cost->bytes = size * ((double)in.value + (double)out.value);
}

/* ---- running --------------------------------------------------------------------- */

static void geo_finish(pool_geo *g, const pln_tensor *x)
{
    g->n = x->dims[0];
    g->c = x->dims[1];
    g->channels_last = x->layout == PLN_LAYOUT_CHANNELS_LAST;
    g->in_pixels = g->out_pixels = 1;
    for (int i = g->s - 1; i >= 0; i--) {
        g->step[i] = g->in_pixels;
        g->in_pixels *= g->ax[i].in;
        g->out_pixels *= g->ax[i].out;
    }
}

static pln_status geo_of(const pln_call *c, pool_geo *g, pln_error *err)
{
    const pool_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    g->s = x->rank - 2;
    for (int i = 0; i < g->s; i++) {
        g->ax[i].in = x->dims[2 + i];
        if (!pool_axis_attrs(a, g->s, i, &g->ax[i]) || !pool_axis_size(a, &g->ax[i]))
            return pln_call_fail(c, err, PLN_E_RUN, "no window fits dimension %d", 2 + i);
    }
    g->include_pad = a->count_include_pad != 0;
    g->p = a->p;
    geo_finish(g, x);
    return PLN_OK;
}

/* One window over all spatial dimensions, seen as a single row where memory allows. */
static void geo_global(const pln_call *c, pool_geo *g)
{
    const pln_tensor *x = c->in[0];
    const int64_t n = pln_move_count(x->dims, 2, x->rank);
    g->s = 1;
    g->ax[0] = (pool_axis){ .in = n, .out = 1, .k = n, .stride = 1, .dil = 1 };
    geo_finish(g, x);
}

static const pool_table *pool_loops(void)
{
#if defined(__x86_64__)
    const uint32_t cpu = pln_cpu_flags();
    if (cpu & PLN_CPU_AVX512)
        return &pool_avx512;
    if (cpu & PLN_CPU_AVX2)
        return &pool_avx2;
#endif
    return &pool_c;
}

static pln_status run_geo(pln_call *c, pool_kind kind, const pool_geo *g, pln_error *err)
{
    pool_job job = { .geo = *g, .x = c->in[0]->data, .y = c->out[0]->data };
    const pln_dtype dt = c->in[0]->dtype;
    if (kind == POOL_LP) {
        job.geo.inv_p = 1.0 / (double)g->p;
        kind = g->p == 2 && dt == PLN_DT_F32 ? POOL_L2 : POOL_LP;
    }
    const pool_fns *fns = &pool_loops()->fns[kind][dt];
    if (!fns->plain)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "pooling of %s",
                             pln_dtype_name(dt));
    int64_t taps = 1;
    for (int i = 0; i < g->s; i++)
        taps *= g->ax[i].k;
    const int64_t row = g->ax[g->s - 1].out,
                  groups = (g->c + POOL_CHANNELS - 1) / POOL_CHANNELS;
    const bool last = g->channels_last;
    const int64_t items = last  ? g->n * g->out_pixels * groups
                          : row ? g->n * g->c * (g->out_pixels / row)
                                : 0;
    const int64_t work =
        taps * (last ? (g->c < POOL_CHANNELS ? g->c : POOL_CHANNELS) : row);
    if (items > 0 && pln_tensor_size(c->out[0]) > 0)
        pln_parallel_for(c->n_threads, items, 1 + 32768 / (work + 1),
                         last ? fns->last : fns->plain, &job);
    return PLN_OK;
}

static pln_status run_window(pln_call *c, pool_kind kind, pln_error *err)
{
    pool_geo g = { 0 };
    PLN_TRY(geo_of(c, &g, err));
    if (pln_tensor_size(c->out[0]) == 0)
        return PLN_OK;
    return run_geo(c, kind, &g, err);
}

pln_status pool_average_run(pln_call *c, pln_error *err)
{
    return run_window(c, POOL_AVG, err);
}

static pln_status lp_run(pln_call *c, pln_error *err)
{
    return run_window(c, POOL_LP, err);
}

static pln_status run_global(pln_call *c, pool_kind kind, int64_t p, pln_error *err)
{
    pool_geo g = { 0 };
    geo_global(c, &g);
    g.p = p;
    return run_geo(c, kind, &g, err);
}

pln_status pool_global_average_run(pln_call *c, pln_error *err)
{
    return run_global(c, POOL_AVG, 0, err);
}

pln_status pool_global_max_run(pln_call *c, pln_error *err)
{
    return run_global(c, POOL_MAX, 0, err);
}

static pln_status global_lp_run(pln_call *c, pln_error *err)
{
    return run_global(c, POOL_LP, ((const pool_attrs *)c->attrs)->p, err);
}

/* ---- MaxPool with positions ------------------------------------------------------ */

static void max_positions(pln_call *c, const pool_geo *g)
{
    const pool_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *y = c->out[1];
    pool_index_job job = { .pool = { .geo = *g, .x = x->data, .y = y->data },
                      .column_major = a->storage_order == 1,
                      .y_channels_last = y->layout == PLN_LAYOUT_CHANNELS_LAST };
    if (pln_tensor_size(y) > 0)
        pln_parallel_for(c->n_threads,
                         g->n * g->c * (g->out_pixels / g->ax[g->s - 1].out), 16,
                         pool_loops()->positions[x->dtype], &job);
}

pln_status pool_max_run(pln_call *c, pln_error *err)
{
    pool_geo g = { 0 };
    PLN_TRY(geo_of(c, &g, err));
    if (pln_call_wants(c, 1))
        max_positions(c, &g);
    return pln_call_wants(c, 0) ? run_geo(c, POOL_MAX, &g, err) : PLN_OK;
}

/* ---- versions -------------------------------------------------------------------- */

static pln_status lower_dilations(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "dilations");
    for (size_t i = 0; a && i < a->n; i++)
        if (a->ints[i] != 1)
            return pln_lower_fail(n, err, "the older version has no dilations");
    pln_node_drop_attr(n, "dilations");
    return PLN_OK;
}

static pln_status lower_max_10(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_drop_int(n, "ceil_mode", 0, err));
    return lower_dilations(n, err);
}

static pln_status lower_max_8(pln_node *n, pln_error *err)
{
    if (n->n_out > 1 && n->out[1])
        return pln_lower_fail(n, err, "the older version has no output 'Indices'");
    return pln_lower_drop_int(n, "storage_order", 0, err);
}

static pln_status lower_average_7(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "count_include_pad", 0, err);
}

static pln_status lower_ceil(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "ceil_mode", 0, err);
}

static pln_status lower_lp_18(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_drop_int(n, "ceil_mode", 0, err));
    return lower_dilations(n, err);
}

/* Version 1 had p as a float. */
static pln_status raise_lp_2(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "p");
    if (!a || a->type != PLN_ATTR_FLOAT)
        return PLN_OK;
    if (a->f != (float)(int64_t)a->f)
        return pln_raise_fail(n, err, "p is no integer");
    return pln_node_set_int(n, "p", (int64_t)a->f) == PLN_OK ? PLN_OK : pln_oom(err);
}

static pln_status lower_lp_2(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "p");
    if (!a || a->type != PLN_ATTR_INT)
        return PLN_OK;
    return pln_node_set_float(n, "p", (float)a->i) == PLN_OK ? PLN_OK : pln_oom(err);
}

static const pln_version_change max_versions[] = {
    { 8, NULL, lower_max_8 },
    { 10, NULL, lower_max_10 },
    { 0 },
};
static const pln_version_change average_versions[] = {
    { 7, NULL, lower_average_7 },
    { 10, NULL, lower_ceil },
    { 19, NULL, lower_dilations },
    { 0 },
};
static const pln_version_change lp_versions[] = {
    { 2, raise_lp_2, lower_lp_2 },
    { 18, NULL, lower_lp_18 },
    { 0 },
};
static const pln_version_change global_lp_versions[] = {
    { 2, raise_lp_2, lower_lp_2 },
    { 0 },
};

/* ---- rows ------------------------------------------------------------------------ */

#define WINDOW                                                                        \
    PLN_A_ENUM(pool_attrs, auto_pad, "NOTSET|SAME_UPPER|SAME_LOWER|VALID", "NOTSET"), \
        PLN_A_INT(pool_attrs, ceil_mode, 0), PLN_A_INTS(pool_attrs, pads),            \
        PLN_A_INTS(pool_attrs, strides), PLN_A_INTS(pool_attrs, dilations),           \
    {                                                                                 \
        .name = "kernel_shape", .type = PLN_ATTR_INTS, .required = true,              \
        .offset = offsetof(pool_attrs, kernel_shape)                                  \
    }

static const pln_attr_spec max_spec[] = {
    WINDOW,
    PLN_A_INT(pool_attrs, storage_order, 0),
    PLN_A_END,
};
static const pln_attr_spec average_spec[] = {
    WINDOW,
    PLN_A_INT(pool_attrs, count_include_pad, 0),
    PLN_A_END,
};
static const pln_attr_spec lp_spec[] = {
    WINDOW,
    PLN_A_INT(pool_attrs, p, 2),
    PLN_A_END,
};
static const pln_attr_spec global_lp_spec[] = {
    PLN_A_INT(pool_attrs, p, 2),
    PLN_A_END,
};

static pln_status lp_check(pln_node *n, void *attrs, pln_error *err)
{
    return ((pool_attrs *)attrs)->p == 0 ? pln_raise_fail(n, err, "p is 0") : PLN_OK;
}

/* Short floats are left to the loops of float. */
static pln_status pool_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    const pln_dtype dt = (pln_dtype)p->in[0]->dtype;
    return dt == PLN_DT_F16 || dt == PLN_DT_BF16 ? PLN_E_UNSUPPORTED : PLN_OK;
}

static const pln_impl max_cpu = { "max_pool", pool_prepare, pool_max_run, NULL };
static const pln_impl average_cpu = { "average_pool", pool_prepare, pool_average_run,
                                      NULL };
static const pln_impl lp_cpu = { "lp_pool", pool_prepare, lp_run, NULL };
static const pln_impl global_max_cpu = { "global_max_pool", pool_prepare,
                                         pool_global_max_run, NULL };
static const pln_impl global_average_cpu = { "global_average_pool", pool_prepare,
                                             pool_global_average_run, NULL };
static const pln_impl global_lp_cpu = { "global_lp_pool", pool_prepare, global_lp_run,
                                        NULL };

#define ROW                                                       \
    .domain = "", .in = { 1, 1 }, .traits = PLN_OP_CHANNELS_LAST, \
    .attrs_size = sizeof(pool_attrs)
#define FLOATS .types = "T:" PLN_TS_FLOAT, .sig = "T->T"

const pln_op_desc pln_ops_pool[] = {
    { ROW, .name = "MaxPool", .since = 22, .out = { 1, 2 },
      .types = "T:float16,bfloat16,float,double,int8,uint8", .sig = "T->T,int64?",
      .attrs = max_spec, .infer = pool_infer, .ref = pool_max_run, .cpu = &max_cpu,
      .cost = pool_cost,
      .versions = max_versions },
    { ROW, FLOATS, .name = "AveragePool", .since = 22, .out = { 1, 1 },
      .attrs = average_spec, .infer = pool_infer, .ref = pool_average_run,
      .cpu = &average_cpu, .cost = pool_cost,
      .versions = average_versions },
    { ROW, FLOATS, .name = "LpPool", .since = 22, .out = { 1, 1 }, .attrs = lp_spec,
      .check = lp_check, .infer = pool_infer, .ref = lp_run, .cpu = &lp_cpu,
      .cost = pool_cost,
      .versions = lp_versions },
    { ROW, FLOATS, .name = "GlobalAveragePool", .since = 22, .out = { 1, 1 },
      .infer = pool_global_infer, .ref = pool_global_average_run,
      .cpu = &global_average_cpu },
    { ROW, FLOATS, .name = "GlobalMaxPool", .since = 22, .out = { 1, 1 },
      .infer = pool_global_infer, .ref = pool_global_max_run, .cpu = &global_max_cpu },
    { ROW, FLOATS, .name = "GlobalLpPool", .since = 22, .out = { 1, 1 },
      .attrs = global_lp_spec, .check = lp_check, .infer = pool_global_infer,
      .ref = global_lp_run, .cpu = &global_lp_cpu, .versions = global_lp_versions },
    { .name = NULL },
};
