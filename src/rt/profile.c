/* Times of the steps of a run, and their report.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"
#include "src/util/text.h"

void rt_profile_add(pln_run *run, const rt_step *step, const rt_plan *plan,
                    uint64_t start, uint64_t end)
{
    if (!pln_grow(run->alloc, (void **)&run->times, &run->cap_times, run->n_times + 1,
                  sizeof *run->times))
        return;
    run->times[run->n_times++] = (rt_time){ .step = step,
                                            .plan = plan,
                                            .ns = end - start,
                                            .depth = run->depth,
                                            .start = start - run->start_ns };
}

static const char *step_op(const rt_step *st)
{
    return st->kind == RT_STEP_NODE      ? st->node->op_type
           : st->kind == RT_STEP_CONVERT ? "(layout)"
           : st->kind == RT_STEP_COPY    ? "(copy)"
                                         : "(view)";
}

static void put_shapes(pln_text *out, const rt_plan *plan, const uint32_t *slots,
                       uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            pln_text_put(out, ",", 1);
        pln_text_put(out, "\"", 1);
        if (slots[i]) {
            const pln_tensor *d = plan->slots[slots[i]].desc;
            pln_text_str(out, pln_dtype_name((pln_dtype)d->dtype));
            pln_tensor_print_shape(out, d);
            if (d->layout == PLN_LAYOUT_CHANNELS_LAST)
                pln_text_str(out, " channels-last");
        }
        pln_text_put(out, "\"", 1);
    }
}

static void put_time(pln_text *out, const rt_time *t)
{
    const rt_step *st = t->step;
    const char *op = step_op(st);
    const char *name = st->node ? st->node->name : t->plan->slots[st->in[0]].value->name;
    const char *kernel = st->impl ? st->impl->name : "reference";
    pln_text_str(out, "{\"node\":");
    pln_text_json(out, name, pln_name_len(name));
    pln_text_printf(out, ",\"op\":\"%s\",\"device\":\"%s\",\"kernel\":\"%s\"", op,
                    st->device ? st->device : "cpu", st->node ? kernel : "");
    pln_text_printf(out, ",\"depth\":%u,\"start_us\":", t->depth);
    pln_text_json_double(out, (double)t->start / 1e3);
    pln_text_str(out, ",\"us\":");
    pln_text_json_double(out, (double)t->ns / 1e3);
    pln_text_str(out, ",\"flops\":");
    pln_text_json_double(out, st->flops);
    pln_text_str(out, ",\"inputs\":[");
    put_shapes(out, t->plan, st->in, st->n_in);
    pln_text_str(out, "],\"outputs\":[");
    put_shapes(out, t->plan, st->out, st->n_out);
    pln_text_str(out, "]}");
}

PLN_API pln_status pln_run_profile(const pln_run *run, char **json, pln_error *err)
{
    pln_error_clear(err);
    if (!json)
        return pln_fail(err, PLN_E_USAGE, "no place for the profile");
    *json = NULL;
    if (!run || !run->done)
        return pln_fail(err, PLN_E_USAGE, "nothing has run yet");
    pln_text out;
    pln_text_init(&out, NULL);
    pln_text_str(&out, "{\"schema\":1,\"total_us\":");
    pln_text_json_double(&out, (double)run->total_ns / 1e3);
    pln_text_str(&out, ",\"steps\":[");
    for (size_t i = 0; i < run->n_times; i++) {
        pln_text_str(&out, i ? ",\n" : "\n");
        put_time(&out, &run->times[i]);
    }
    pln_text_str(&out, "]}");
    *json = pln_text_take(&out);
    return *json ? PLN_OK : pln_oom(err);
}
