/* What passes did, as members of a JSON object.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/verify.h"
#include "passes/watch.h"

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

static int64_t signed_number(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static void report_rules(const pln_pass_ctx *ctx, pln_text *out)
{
    static const char *const contracts[] = { "exact", "reassoc", "approx" };
    pln_text_str(out, ",\"rules\":[");
    for (const pln_rule_stat *s = ctx->rule_stats; s; s = s->next) {
        const char *name = s->rule && s->rule->name ? s->rule->name : s->pass->name;
        pln_text_str(out, s == ctx->rule_stats ? "{\"rule\":" : ",{\"rule\":");
        put_json(out, name);
        pln_text_printf(out,
                        ",\"pass\":\"%s\",\"contract\":\"%s\",\"tried\":%lld,"
                        "\"matched\":%lld,\"refused\":%lld,\"applied\":%lld,"
                        "\"nodes_saved\":%lld,\"bytes_saved\":%lld,\"ms\":",
                        s->pass->name,
                        contracts[s->rule ? s->rule->contract : s->pass->contract],
                        (long long)signed_number(s->tried),
                        (long long)signed_number(s->matched),
                        (long long)signed_number(s->refused),
                        (long long)signed_number(s->applied), (long long)s->nodes,
                        (long long)s->bytes);
        pln_text_json_double(out, s->seconds * 1e3);
        pln_text_str(out, ",\"reasons\":[");
        for (const pln_reason *r = s->reasons; r; r = r->next) {
            pln_text_str(out, r == s->reasons ? "{\"why\":" : ",{\"why\":");
            put_json(out, r->text);
            pln_text_printf(out, ",\"count\":%llu}", (unsigned long long)r->count);
        }
        pln_text_str(out, "]}");
    }
    pln_text_str(out, "]");
}

static double nearness(const pln_miss *m)
{
    return m->applied ? 2 : m->of ? (double)m->matched / m->of : 1;
}

/* The nearest first. */
static void report_misses(const pln_pass_ctx *ctx, pln_text *out)
{
    pln_text_str(out, ",\"explain\":[");
    bool first = true;
    for (double last = 3;;) {
        double next = -1;
        for (const pln_miss *m = ctx->misses; m; m = m->next)
            if (nearness(m) < last && nearness(m) > next)
                next = nearness(m);
        if (next < 0)
            break;
        last = next;
        for (const pln_miss *m = ctx->misses; m; m = m->next) {
            if (nearness(m) < next || nearness(m) > next)
                continue;
            pln_text_str(out, first ? "{\"rule\":" : ",{\"rule\":");
            first = false;
            put_json(out, m->rule);
            pln_text_printf(out, ",\"pass\":\"%s\",\"applied\":%s,\"matched\":%d,"
                                 "\"of\":%d,\"node\":",
                            m->pass, m->applied ? "true" : "false", m->matched, m->of);
            put_json(out, m->node);
            pln_text_str(out, ",\"why\":");
            put_json(out, m->why);
            pln_text_str(out, "}");
        }
    }
    pln_text_str(out, "]");
    if (!ctx->silence)
        return;
    pln_text_str(out, ",\"silence\":");
    put_json(out, ctx->silence);
}

void pln_report_passes(const pln_pass_ctx *ctx, pln_text *out)
{
    report_stats(ctx, out);
    if (ctx->options->verify != PLN_VERIFY_OFF)
        report_verify(ctx, out);
    if (ctx->options->stats)
        report_rules(ctx, out);
    if (ctx->options->explain)
        report_misses(ctx, out);
}
