/* What passes did, as members of a JSON object.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/verify.h"

#include <string.h>

static void report_stats(const pln_pass_ctx *ctx, pln_text *out)
{
    pln_text_str(out, "\"passes\":[");
    for (size_t i = 0; i < ctx->n_stats; i++) {
        const pln_pass_stat *s = &ctx->stats[i];
        pln_text_printf(out,
                        "%s{\"name\":\"%s\",\"runs\":%u,\"applied\":%llu,"
                        "\"refused\":%llu,\"nodes\":%lld,\"ms\":",
                        i ? "," : "", s->pass->name, s->runs,
                        (unsigned long long)s->applied, (unsigned long long)s->refused,
                        (long long)s->nodes);
        pln_text_json_double(out, s->seconds * 1e3);
        pln_text_str(out, "}");
    }
    pln_text_str(out, "]");
}

static void put_json(pln_text *out, const char *text)
{
    pln_text_json(out, text, strlen(text));
}

static void report_refusals(const pln_pass_ctx *ctx, pln_text *out)
{
    pln_text_str(out, ",\"refused\":[");
    for (const pln_refusal *r = ctx->refusals; r; r = r->next) {
        pln_text_printf(out, "%s{\"pass\":\"%s\",\"rule\":",
                        r == ctx->refusals ? "" : ",", r->pass);
        put_json(out, r->rule);
        pln_text_str(out, ",\"node\":");
        put_json(out, r->where);
        pln_text_str(out, ",\"why\":");
        put_json(out, r->text);
        pln_text_str(out, "}");
    }
    pln_text_str(out, "]");
}

static void report_verify(const pln_pass_ctx *ctx, pln_text *out)
{
    static const char *const names[] = { "off", "pass", "rewrite" };
    const uint64_t *n = ctx->n_verdicts;
    pln_text_printf(out, ",\"verify\":{\"each\":\"%s\",\"checked\":%llu,\"again\":%llu,"
                         "\"unverified\":[",
                    names[ctx->options->verify],
                    (unsigned long long)(n[PLN_VERDICT_SAME] + n[PLN_VERDICT_BROKEN]),
                    (unsigned long long)n[PLN_VERDICT_AGAIN]);
    for (const pln_reason *r = ctx->unverified; r; r = r->next) {
        pln_text_str(out, r == ctx->unverified ? "{\"why\":" : ",{\"why\":");
        put_json(out, r->text);
        pln_text_printf(out, ",\"count\":%llu}", (unsigned long long)r->count);
    }
    pln_text_str(out, "]");
    report_refusals(ctx, out);
    pln_text_str(out, "}");
}

void pln_report_passes(const pln_pass_ctx *ctx, pln_text *out)
{
    report_stats(ctx, out);
    if (ctx->options->verify != PLN_VERIFY_OFF)
        report_verify(ctx, out);
}
