/* Pipelines: "a,b,(c,d)*", and what a level stands for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/engine.h"
#include "passes/rules_file.h"
#include "passes/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/util/near.h"
#include "src/util/text.h"

#define MAX_ROUNDS 8
#define MAX_DEPTH  8

/* What takes things away, or makes them smaller; until nothing changes. */
#define CLEAN   \
    "(noop,"    \
    "merge,"    \
    "reshape,"  \
    "pieces,"   \
    "picks,"    \
    "counts,"   \
    "depth,"    \
    "upsample," \
    "labels,"   \
    "clamp,"    \
    "qdq,"      \
    "fold,"     \
    "shape,"    \
    "control,"  \
    "loops,"    \
    "inline,"   \
    "cse,"      \
    "dce)*"
/* Constants into the nodes beside them, and what several nodes spell out into the
   standard's operator for it. */
#define FOLD           \
    "dequantize,"      \
    "uniform,"         \
    "fold-conv-bn,"    \
    "fold-made,"       \
    "fuse-norm,"       \
    "fuse-group-norm," \
    "fuse-softmax,"    \
    "fuse-attention,"  \
    "fuse-act,"        \
    "fuse-rectifier,"  \
    "fuse-rotary,"     \
    "fold-input,"      \
    "fold-affine,"     \
    "fold-order"
/* Norms before Transposes: they are along the last axis, and found there. */
#define SIMPLE         \
    CLEAN ","          \
    "einsum,"          \
    "fuse-rnn,"        \
    "rnn,"             \
    "fuse-norm,"       \
    "fuse-group-norm," \
    "fuse-softmax,"    \
    "fuse-act,"        \
    "fuse-rectifier,"  \
    "transpose,"       \
    FOLD
#define REWRITE    \
    "(" SIMPLE "," \
    "fold-pad,"    \
    "reassoc,"     \
    "algebra,"     \
    "factors,"     \
    "between,"     \
    "channels,"    \
    "conv-sum,"    \
    "join-products," \
    "gemm)*"
/* Into operators of our own. */
#define FUSE       \
    "fuse-matmul," \
    "fuse-gemm,"   \
    "fuse-conv,"   \
    "fuse-skip,"   \
    "fuse-embed,"  \
    "fuse-glu"
/* Products of one input, when all that follows them is known. */
#define SIDE_BY_SIDE \
    "projections,"   \
    "fold,"          \
    "cse,"           \
    "dce"
#define BYTES       \
    "(lower-bytes," \
    "qdq,"          \
    "dce)*,"        \
    "lower-qdq,"    \
    "byte-units,"   \
    "byte-table"
/* Into operators of com.microsoft. */
#define TO_MS          \
    "to-ms-embed,"     \
    "to-ms-heads,"     \
    "to-ms-rotary,"    \
    "cse,"             \
    "to-ms-attention," \
    "transpose,"       \
    "between,"         \
    "gemm,"            \
    "fuse-skip,"       \
    "to-ms-act,"       \
    "lower-bytes,"     \
    "to-ms-unsigned,"  \
    "to-ms-quant,"     \
    "to-ms-nbits,"     \
    "to-ms-product"

/* Into standard operators: one product of an input takes in what stood before several. */
#define PLAIN "(" REWRITE "," SIDE_BY_SIDE ")*,fuse-glu,cse,dce"

/* A file keeps the form in which its weights are stored; a session unpacks them. */
const char *pln_pipeline_of_level(int level, pln_target target, bool session)
{
    static const char *const file[] = { "", CLEAN, PLAIN };
    static const char *const fused[] = {
        [PLN_TARGET_ONNX] = PLAIN,
        [PLN_TARGET_ORT] = REWRITE "," TO_MS "," SIDE_BY_SIDE ",unstate,"
                                   "(" CLEAN ",transpose,fuse-skip)*",
        [PLN_TARGET_PLANISH] = REWRITE ",split-product,fold," FUSE "," BYTES ","
                                       "lower-narrow,transpose,qdq," SIDE_BY_SIDE ","
                                       "fuse-attention,"
                                       "cse,dce,state-fused,absorb-made",
    };
    if (session)
        return "(" SIMPLE ")*," FUSE "," BYTES ",lower-narrow,unpack,"
               FOLD "," FUSE ",cse,dce";
    return level > 2 ? fused[target] : file[level < 0 ? 0 : level];
}

pln_contract pln_contract_of_level(int level, bool allow_approx)
{
    if (allow_approx)
        return PLN_APPROX;
    return level >= 2 ? PLN_REASSOC : PLN_EXACT;
}

static bool names_rules(const char *text)
{
    for (const char *at = text; (at = strstr(at, "rules")); at += 5)
        if ((at == text || strchr(",( ", at[-1])) && (!at[5] || strchr(",)* ", at[5])))
            return true;
    return false;
}

void pln_pipeline_with_rules(pln_text *out, const char *text, int level, bool own)
{
    if (names_rules(text))
        pln_text_str(out, text);
    else if (own)
        pln_text_printf(out, "%s,rules", text);
    else if (level)
        pln_text_printf(out, CLEAN ",rules,%s", text);
    else
        pln_text_str(out, "rules");
}

/* ---- running the text ----------------------------------------------------------- */

typedef struct reader {
    pln_pass_ctx *ctx;
    const char *text, *at;
    bool dry; /* only check */
    pln_error *err;
} reader;

static pln_status bad(reader *r, const char *what)
{
    return pln_fail(r->err, PLN_E_USAGE, "pipeline '%s': %s at column %d", r->text, what,
                    (int)(r->at - r->text) + 1);
}

static bool accept(reader *r, char c)
{
    r->at += strspn(r->at, " \n\t");
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static pln_status unknown_pass(const reader *r, size_t len)
{
    char name[64];
    pln_near near;
    snprintf(name, sizeof name, "%.*s", (int)len, r->at);
    pln_near_begin(&near, name);
    for (size_t i = 0; pln_pass_at(i); i++)
        pln_near_offer(&near, pln_pass_at(i)->name);
    return pln_fail(r->err, PLN_E_USAGE, "pipeline '%s': no pass is called '%.*s'%s%s%s",
                    r->text, (int)len, r->at, near.best ? "; did you mean '" : "",
                    near.best ? near.best : "", near.best ? "'?" : "");
}

static pln_status read_list(reader *r, int depth, bool *changed);

static pln_status read_name(reader *r, bool *changed)
{
    const size_t len = strcspn(r->at, ",()* \n\t");
    const bool user = len == 5 && !memcmp(r->at, "rules", 5) && r->ctx->user;
    const pln_pass *p = user ? r->ctx->user : pln_pass_find(r->at, len);
    if (!p)
        return unknown_pass(r, len);
    r->at += len;
    if (r->dry)
        return PLN_OK;
    PLN_TRY(pln_pass_run(r->ctx, p, r->err));
    if (r->ctx->changed)
        PLN_TRY(pln_sizes_infer(r->ctx->model, r->err));
    *changed |= r->ctx->changed;
    return PLN_OK;
}

static pln_status read_group(reader *r, int depth, bool *changed)
{
    const char *start = r->at;
    for (int round = 0;; round++) {
        bool here = false;
        r->at = start;
        PLN_TRY(read_list(r, depth + 1, &here));
        if (!accept(r, ')'))
            return bad(r, "')' expected");
        *changed |= here;
        const bool again = accept(r, '*');
        if (!again || !here || r->dry || round + 1 == MAX_ROUNDS)
            return PLN_OK;
    }
}

static pln_status read_list(reader *r, int depth, bool *changed)
{
    if (depth > MAX_DEPTH)
        return bad(r, "nested too deeply");
    r->at += strspn(r->at, " \n\t");
    if (!*r->at && !depth)
        return PLN_OK;
    do {
        if (accept(r, '('))
            PLN_TRY(read_group(r, depth, changed));
        else
            PLN_TRY(read_name(r, changed));
    } while (accept(r, ','));
    return PLN_OK;
}

pln_status pln_pipeline_run(pln_pass_ctx *ctx, const char *text, pln_error *err)
{
    for (int dry = 1; dry >= 0; dry--) {
        reader r = { ctx, text, text, dry != 0, err };
        bool changed = false;
        PLN_TRY(read_list(&r, 0, &changed));
        r.at += strspn(r.at, " \n\t");
        if (*r.at)
            return bad(&r, "',' expected");
    }
    return PLN_OK;
}

/* ---- all at once ---------------------------------------------------------------- */

static pln_status add_weights(pln_graph *g, void *user)
{
    uint64_t *bytes = user;
    for (const pln_value *v = g->values; v; v = v->next) {
        size_t size = 0;
        const pln_tensor *t = v->cst;
        if (t && t->kind == PLN_KIND_TENSOR &&
            pln_dims_bytes((pln_dtype)t->dtype, t->rank, t->dims, &size))
            *bytes += size;
    }
    return PLN_OK;
}

/* A file may grow by less than 1% and 4 KB. */
static uint64_t fold_budget(pln_model *m, const pln_pass_options *o)
{
    uint64_t bytes = 0;
    if (o->fold_growth)
        return o->fold_growth;
    if (o->session)
        return UINT64_C(64) << 20;
    pln_graph_walk(m->graph, add_weights, &bytes);
    return (UINT64_C(2) << 10) + bytes / 200;
}

static size_t count_passes(void)
{
    size_t n = 0;
    while (pln_pass_at(n))
        n++;
    return n + 1; /* and the user's */
}

pln_status pln_model_run_passes(pln_model *model, const char *pipeline,
                                const pln_pass_options *options, pln_text *report,
                                pln_error *err)
{
    pln_pass_ctx ctx = { .model = model,
                         .options = options,
                         .n_fresh = 1u << 30,
                         .fold_left = fold_budget(model, options) };
    const char *debug = options->debug ? options->debug : getenv("PLN_DEBUG");
    PLN_TRY(pln_debug_parse(debug, &ctx.debug, err));
    ctx.scratch = pln_arena_new(model->alloc);
    ctx.keep = pln_arena_new(model->alloc);
    ctx.stats = ctx.keep ? PLN_NEW_ARRAY(ctx.keep, pln_pass_stat, count_passes()) : NULL;
    pln_status st = ctx.scratch && ctx.stats ? PLN_OK : pln_oom(err);
    pln_map_init(&ctx.verdicts, model->alloc);
    if (st == PLN_OK && options->n_rules)
        st = pln_rules_read(options->rules, options->n_rules, model, ctx.keep,
                            &ctx.user, err);
    if (st == PLN_OK)
        st = pln_sizes_infer(model, err);
    if (st == PLN_OK)
        st = pln_debug_start(&ctx, err);
    if (st == PLN_OK)
        st = pln_asked_start(&ctx, err);
    if (st == PLN_OK)
        st = pln_pipeline_run(&ctx, pipeline, err);
    if (st == PLN_OK)
        st = pln_asked_end(&ctx, err);
    pln_sizes_forget(model);
    pln_debug_end(&ctx);
    if (st == PLN_OK && report)
        pln_report_passes(&ctx, report);
    pln_rulesets_free(&ctx);
    pln_map_done(&ctx.verdicts);
    pln_arena_free(ctx.scratch);
    pln_arena_free(ctx.keep);
    return st;
}
