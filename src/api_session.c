/* Runs in the public interface: binding, executing, results.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/session.h"
#include "src/util/parallel.h"

#include <stdatomic.h>
#include <string.h>

PLN_API pln_status pln_run_new(pln_session *session, pln_run **out, pln_error *err)
{
    pln_error_clear(err);
    if (!session || !out)
        return pln_fail(err, PLN_E_USAGE, "a run needs a session");
    *out = NULL;
    const pln_allocator *a = session->alloc;
    const size_t n_in = session->n_io[PLN_INPUT], n_out = session->n_io[PLN_OUTPUT];
    pln_run *run = pln_calloc(a, 1, sizeof *run);
    if (!run)
        return pln_oom(err);
    run->session = session;
    run->alloc = a;
    run->random = session->seed;
    run->inputs = pln_calloc(a, n_in + 1, sizeof *run->inputs);
    run->bound = pln_calloc(a, n_out + 1, sizeof *run->bound);
    run->outputs = pln_calloc(a, n_out + 1, sizeof *run->outputs);
    run->now = pln_calloc(a, session->model->n_values + 1, sizeof *run->now);
    run->arena = pln_arena_new(a);
    if (!run->inputs || !run->bound || !run->outputs || !run->now || !run->arena) {
        pln_run_free(run);
        return pln_oom(err);
    }
    *out = run;
    return PLN_OK;
}

static void release_outputs(pln_run *run)
{
    for (size_t i = 0; run->outputs && i < run->session->n_io[PLN_OUTPUT]; i++) {
        pln_tensor_unref(run->outputs[i]);
        run->outputs[i] = NULL;
    }
    run->done = false;
    run->n_times = 0;
}

PLN_API void pln_run_free(pln_run *run)
{
    if (!run)
        return;
    const pln_allocator *a = run->alloc;
    release_outputs(run);
    rt_frames_free(run, false);
    for (size_t i = 0; run->inputs && i < run->session->n_io[PLN_INPUT]; i++)
        pln_tensor_unref(run->inputs[i]);
    for (size_t i = 0; run->bound && i < run->session->n_io[PLN_OUTPUT]; i++)
        pln_tensor_unref(run->bound[i]);
    for (unsigned d = 0; d < RT_MAX_DEPTH; d++)
        pln_release(a, run->temp[d]);
    rt_scratch_free(run);
    pln_arena_free(run->arena);
    pln_release(a, run->inputs);
    pln_release(a, run->bound);
    pln_release(a, run->outputs);
    pln_release(a, run->now);
    pln_release(a, run->key);
    pln_release(a, run->times);
    pln_release(a, run);
}

/* ---- binding --------------------------------------------------------------------- */

static bool find_io(const pln_session *s, pln_io io, const char *name, size_t *i)
{
    for (*i = 0; name && *i < s->n_io[io]; ++*i)
        if (s->io[io][*i].name_len == strlen(name) && !strcmp(s->io[io][*i].name, name))
            return true;
    return false;
}

static bool fits(const pln_io_info *want, const pln_tensor *t)
{
    if (want->kind == PLN_KIND_NONE)
        return true;
    if (want->kind != (pln_kind)t->kind)
        return false;
    if (t->kind != PLN_KIND_TENSOR)
        return true;
    if (want->dtype != PLN_DT_NONE && want->dtype != (pln_dtype)t->dtype)
        return false;
    if (want->rank >= 0 && want->rank != t->rank)
        return false;
    for (int k = 0; k < want->rank; k++)
        if (want->dims[k] >= 0 && want->dims[k] != t->dims[k])
            return false;
    return true;
}

static void print_got(pln_text *out, const pln_tensor *t)
{
    static const char *const kinds[] = { "nothing",     "",      "a sequence",
                                         "an optional", "a map", "a sparse tensor" };
    pln_text_str(out, t->kind < sizeof kinds / sizeof *kinds ? kinds[t->kind] : "");
    if (t->kind != PLN_KIND_TENSOR)
        return;
    pln_text_str(out, pln_dtype_name((pln_dtype)t->dtype));
    pln_tensor_print_shape(out, t);
}

static pln_status wrong_input(const pln_session *s, pln_io io, size_t i,
                              const pln_tensor *t, pln_error *err)
{
    pln_text want, got;
    const char *name = s->io[io][i].name;
    pln_text_init(&want, NULL);
    pln_text_init(&got, NULL);
    pln_type_print(&want, s->io_types[io][i]);
    print_got(&got, t);
    pln_error_set(err, "tensor", name);
    const pln_status st =
        pln_fail(err, PLN_E_INPUT, "%s '%s' is %s, want %s",
                 io == PLN_INPUT ? "input" : "memory for output", name,
                 got.data ? got.data : "?", want.data ? want.data : "?");
    pln_text_done(&want);
    pln_text_done(&got);
    return st;
}

/* The run moves to the session in which defaults can be replaced. */
static pln_status generalize(pln_run *run, pln_error *err)
{
    pln_session *g;
    PLN_TRY(rt_session_general(run->session, &g, err));
    pln_tensor **now = pln_calloc(run->alloc, g->model->n_values + 1, sizeof *now);
    if (!now)
        return pln_oom(err);
    release_outputs(run);
    rt_frames_free(run, false);
    pln_release(run->alloc, run->now);
    run->now = now;
    run->session = g;
    return PLN_OK;
}

static pln_status bind_tensor(pln_run *run, pln_io io, const char *name, pln_tensor *t,
                              pln_error *err)
{
    size_t i;
    pln_error_clear(err);
    if (!run || !name)
        return pln_fail(err, PLN_E_USAGE, "a run and a name are needed to bind");
    if (!find_io(run->session, io, name, &i)) {
        pln_error_set(err, "tensor", name);
        return pln_fail(err, PLN_E_INPUT, "the model has no %s '%s'",
                        io == PLN_INPUT ? "input" : "output", name);
    }
    if (t && !fits(&run->session->io[io][i], t))
        return wrong_input(run->session, io, i, t, err);
    if (t && io == PLN_INPUT && run->session->source &&
        run->session->io[io][i].has_default)
        PLN_TRY(generalize(run, err));
    pln_tensor **slot = io == PLN_INPUT ? &run->inputs[i] : &run->bound[i];
    pln_tensor_ref(t);
    pln_tensor_unref(*slot);
    *slot = t;
    return PLN_OK;
}

PLN_API pln_status pln_run_bind_input(pln_run *run, const char *name, pln_tensor *t,
                                      pln_error *err)
{
    return bind_tensor(run, PLN_INPUT, name, t, err);
}

PLN_API pln_status pln_run_bind_output(pln_run *run, const char *name, pln_tensor *t,
                                       pln_error *err)
{
    if (t && (t->kind != PLN_KIND_TENSOR || t->dtype == PLN_DT_STRING))
        return pln_fail(err, PLN_E_INPUT,
                        "memory can be bound for dense tensors of numbers");
    return bind_tensor(run, PLN_OUTPUT, name, t, err);
}

/* ---- executing ------------------------------------------------------------------- */

static pln_status set_inputs(pln_run *run, pln_error *err)
{
    const pln_session *s = run->session;
    for (size_t i = 0; i < s->n_io[PLN_INPUT]; i++) {
        pln_value *v = s->io_values[PLN_INPUT][i];
        pln_tensor *t = run->inputs[i] ? run->inputs[i] : v->cst;
        if (!t) {
            pln_error_set(err, "tensor", s->io[PLN_INPUT][i].name);
            return pln_fail(err, PLN_E_INPUT, "input '%s' is not bound",
                            s->io[PLN_INPUT][i].name);
        }
        run->now[v->id] = t;
    }
    return PLN_OK;
}

/* Whether the frame alone holds it. What a sequence holds as well, or an input, a
 * constant or another output is, would change under its owner when the caller writes. */
static bool is_own(const pln_tensor *t)
{
    return t->kind != PLN_KIND_TENSOR ||
           (!t->borrowed && atomic_load(&t->refs) == 1 &&
            (!t->buf || atomic_load(&t->buf->refs) == 1));
}

static pln_status copy_of(pln_run *run, const pln_tensor *t, pln_tensor **out,
                          pln_error *err)
{
    PLN_TRY(pln_tensor_make(run->alloc, (pln_dtype)t->dtype, t->rank, t->dims, out, err));
    pln_tensor_copy(*out, 0, t, 0, pln_tensor_size(t));
    return PLN_OK;
}

static pln_status deliver(pln_run *run, size_t i, pln_tensor *t, pln_error *err)
{
    pln_tensor *b = run->bound[i]; /* not t where one value has two names */
    if (b && b != t) {
        if (b->kind != t->kind || b->dtype != t->dtype || b->rank != t->rank ||
            (t->rank && memcmp(b->dims, t->dims, (size_t)t->rank * sizeof *t->dims)))
            return wrong_input(run->session, PLN_OUTPUT, i, b, err);
        pln_tensor_copy(b, 0, t, 0, pln_tensor_size(t));
        t = b;
    }
    if (!b && !is_own(t))
        return copy_of(run, t, &run->outputs[i], err);
    run->outputs[i] = pln_tensor_ref(t);
    return PLN_OK;
}

static pln_status take_outputs(pln_run *run, pln_error *err)
{
    const pln_session *s = run->session;
    for (size_t i = 0; i < s->n_io[PLN_OUTPUT]; i++) {
        pln_tensor *t = run->now[s->io_values[PLN_OUTPUT][i]->id];
        if (!t)
            return pln_fail(err, PLN_E_FORMAT, "output '%s' was never made",
                            s->io[PLN_OUTPUT][i].name);
        PLN_TRY(deliver(run, i, t, err));
    }
    run->done = true;
    return PLN_OK;
}

static pln_status run_main(pln_run *run, const pln_run_options *o, pln_error *err)
{
    pln_session *s = run->session;
    release_outputs(run);
    rt_frames_free(run, true);
    run->profile = o->profile;
    run->start_ns = rt_now_ns();
    run->deadline =
        o->deadline_ms ? run->start_ns + (uint64_t)o->deadline_ms * 1000000u : 0;
    pthread_mutex_lock(&s->lock);
    pln_status st = PLN_OK;
    for (size_t i = 0; i < s->n_io[PLN_INPUT] && st == PLN_OK; i++)
        if (!run->inputs[i] && s->io_values[PLN_INPUT][i]->cst)
            st = pln_tensor_materialize(s->io_values[PLN_INPUT][i]->cst, err);
    pthread_mutex_unlock(&s->lock);
    if (st == PLN_OK)
        st = set_inputs(run, err);
    if (st == PLN_OK)
        st = rt_run_graph(run, s->model->graph, &s->plans, NULL, err);
    if (st == PLN_OK)
        st = take_outputs(run, err);
    run->total_ns = rt_now_ns() - run->start_ns;
    return st;
}

PLN_API pln_status pln_run_execute(pln_run *run, const pln_run_options *options,
                                   pln_error *err)
{
    const pln_run_options none = PLN_RUN_OPTIONS_INIT;
    pln_error_clear(err);
    if (!run)
        return pln_fail(err, PLN_E_USAGE, "no run");
    pln_error own;
    pln_error *e = err ? err : &own; /* kernels' texts tell declined from failed */
    pln_error_clear(e);
    const int threads = pln_parallel_set_threads(run->session->n_threads);
    const pln_status st = run_main(run, options ? options : &none, e);
    pln_parallel_set_threads(threads);
    atomic_store(&run->cancel, false);
    return st;
}

PLN_API pln_tensor *pln_run_output_at(pln_run *run, size_t i)
{
    return run && i < run->session->n_io[PLN_OUTPUT] ? run->outputs[i] : NULL;
}

PLN_API pln_tensor *pln_run_output(pln_run *run, const char *name)
{
    size_t i;
    return run && find_io(run->session, PLN_OUTPUT, name, &i) ? run->outputs[i] : NULL;
}

static pln_tensor *known_value(const pln_run *run, uint32_t id)
{
    for (const rt_frame *f = run->frames; f; f = f->next)
        for (size_t i = 0; i < f->plan->n_known; i++)
            if (f->plan->known[i].value == id)
                return f->plan->known[i].t;
    return NULL;
}

PLN_API pln_tensor *pln_run_value(pln_run *run, const char *name)
{
    if (!run || !name || !run->done || !run->session->all_values)
        return NULL;
    pln_value *v = pln_graph_find_value(run->session->model->graph, name);
    if (!v)
        return NULL;
    if (pln_value_is_const(v))
        return pln_tensor_materialize(v->cst, NULL) == PLN_OK ? v->cst : NULL;
    pln_tensor *t = known_value(run, v->id);
    return t ? t : run->now[v->id];
}

PLN_API void pln_run_cancel(pln_run *run)
{
    if (run)
        atomic_store(&run->cancel, true);
}
