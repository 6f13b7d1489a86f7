/* Verdicts: runs both sides of a patch on many inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/verify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/ir/eval.h"

#define WORK_FIRST 2.5e8 /* floating-point operations of the first input */
#define WORK_ALL   5e8 /* of all inputs together */

typedef enum outcome {
    SAME,
    DIFFERENT,
    SKIPPED, /* the old side can't be run on this input */
    TOO_LARGE,
    NO_WAY /* no other input will do better */
} outcome;

typedef struct trial {
    pln_cut cut;
    pln_judge judge;
    pln_map pinned, values;
    pln_sizes_choice sizes;
    pln_flavor flavor;
    double work, work_left;
    bool symbolic, unranked, shrinks;
    int rank; /* of values of unknown rank */
    char *why;
    size_t why_size;
    pln_error *err;
    pln_status failed; /* no memory */
} trial;

/* ---- what is asked of a cut -------------------------------------------------------- */

static void pin(trial *t, int64_t v)
{
    if (v >= 0 && v < INT64_MAX &&
        !pln_map_put(&t->pinned, (const void *)(uintptr_t)(v + 1), t))
        t->failed = PLN_E_NOMEM;
}

static void pin_tensor(trial *t, pln_tensor *c)
{
    for (int i = 0; i < c->rank; i++)
        pin(t, c->dims[i]);
    if (c->kind != PLN_KIND_TENSOR || !pln_dtype_is_integer((pln_dtype)c->dtype) ||
        pln_tensor_size(c) > 64 || pln_tensor_materialize(c, NULL) != PLN_OK)
        return;
    for (int64_t i = 0; i < pln_tensor_size(c); i++)
        pin(t, pln_tensor_get_i64(c, i));
}

/* Sizes that constants and attributes fix. */
static void pin_node(trial *t, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && pln_value_is_const(n->in[i]))
            pin_tensor(t, n->in[i]->cst);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_INT)
            pin(t, a->i);
        for (size_t k = 0; a->type == PLN_ATTR_INTS && k < a->n; k++)
            pin(t, a->ints[k]);
        if (a->type == PLN_ATTR_TENSOR && a->t)
            pin_tensor(t, a->t);
    }
}

static bool is_float(const pln_value *v)
{
    return v && pln_dtype_is_float(v->type.dtype);
}

/* A last bit may become a whole step behind it. */
static bool makes_steps(const pln_node *n)
{
    static const char *const names[] = { "Round", "Floor", "Ceil", "Sign", "Mod" };
    if (n->op && (n->op->traits & PLN_OP_QDQ))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (pln_node_is(n, names[i]))
            return true;
    bool from_float = false, to_other = false;
    for (uint32_t i = 0; i < n->n_in; i++)
        from_float |= is_float(n->in[i]);
    for (uint32_t i = 0; i < n->n_out; i++)
        to_other |= n->out[i] && n->out[i]->type.dtype != PLN_DT_NONE &&
                    !is_float(n->out[i]);
    return from_float && to_other;
}

/* NULL: it can be run. */
static const char *look_at(trial *t)
{
    for (size_t i = 0; i < t->cut.n_nodes; i++) {
        const pln_node *n = t->cut.node[i];
        if (!n->op || !n->op->ref) {
            snprintf(t->why, t->why_size, "no reference kernel for %s%s%s", n->domain,
                     *n->domain ? "." : "", n->op_type);
            return t->why;
        }
        if (n->op->traits & (PLN_OP_RANDOM | PLN_OP_EFFECT))
            return "random operators";
        t->judge.steps |= makes_steps(n);
        pin_node(t, n);
    }
    for (size_t i = 0; i < t->cut.n_leaves; i++) {
        const pln_shape s = t->cut.leaf[i]->type.shape;
        t->unranked |= s.rank == PLN_RANK_UNKNOWN;
        for (int k = 0; k < s.rank; k++) {
            const pln_dim d = s.dims[k];
            t->symbolic |= !pln_dim_is_known(d);
            t->shrinks |=
                pln_dim_is_known(d) && d.value > 7 &&
                !pln_map_has(&t->pinned, (const void *)(uintptr_t)(d.value + 1));
        }
    }
    return NULL;
}

/* ---- one input --------------------------------------------------------------------- */

static void forget(trial *t)
{
    for (size_t i = 0; i < t->values.cap; i++)
        if (t->values.keys[i])
            pln_tensor_unref(t->values.values[i]);
    pln_map_done(&t->values);
}

static pln_tensor *contents(const trial *t, const pln_value *v)
{
    pln_tensor *got = pln_map_get(&t->values, v);
    return got ? got : v->cst;
}

static outcome fill_leaves(trial *t)
{
    for (size_t i = 0; i < t->cut.n_leaves; i++) {
        const char *why = NULL;
        pln_tensor *made = NULL;
        t->failed =
            pln_feed_make(t->cut.leaf[i], &t->sizes, t->flavor,
                          (uint64_t)i * 77 + t->flavor * 7 + 1, &made, &why, t->err);
        if (t->failed != PLN_OK)
            return NO_WAY;
        if (!made) {
            snprintf(t->why, t->why_size, "%s", why);
            return !strcmp(why, "too large") ? TOO_LARGE : SKIPPED;
        }
        if (!pln_map_put(&t->values, t->cut.leaf[i], made)) {
            pln_tensor_unref(made);
            t->failed = PLN_E_NOMEM;
            return NO_WAY;
        }
    }
    return SAME;
}

/* The largest finite magnitude on the way: what rounding errors are measured by. */
static void note_scale(trial *t)
{
    t->judge.scale = 0;
    t->judge.wild = false;
    for (size_t i = 0; i < t->values.cap; i++) {
        const pln_tensor *v = t->values.keys[i] ? t->values.values[i] : NULL;
        if (!v || v->kind != PLN_KIND_TENSOR || !pln_dtype_is_float((pln_dtype)v->dtype))
            continue;
        for (int64_t k = 0; k < pln_tensor_size(v); k++) {
            const double x = fabs(pln_tensor_get_f64(v, k));
            t->judge.wild |= !isfinite(x);
            if (isfinite(x) && x > t->judge.scale)
                t->judge.scale = x;
        }
    }
}

static bool has_denormals(const trial *t, const pln_value *v)
{
    const pln_tensor *c = v ? contents(t, v) : NULL;
    if (!c || c->kind != PLN_KIND_TENSOR || c->dtype != PLN_DT_F32 || !c->data)
        return false;
    for (int64_t k = 0; k < pln_tensor_size(c); k++)
        if (fpclassify(PLN_DATA(const float, c)[k]) == FP_SUBNORMAL)
            return true;
    return false;
}

static bool has_denormal_input(const trial *t, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (has_denormals(t, n->in[i]))
            return true;
    return false;
}

static bool is_leaf(const trial *t, const pln_value *v)
{
    for (size_t i = 0; i < t->cut.n_leaves; i++)
        if (t->cut.leaf[i] == v)
            return true;
    return false;
}

/* What few digits of its input make large. */
static bool magnifies(const pln_node *n)
{
    static const char *const names[] = { "Log", "Reciprocal", "Div", "Pow" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (pln_node_is(n, names[i]))
            return true;
    return false;
}

/* Did the old side compute denormals, which have few digits, from what has none, and
 * divide by them or the like? */
static void note_underflow(trial *t)
{
    t->judge.faint = false;
    for (size_t i = 0; i < t->cut.n_old; i++) {
        const pln_node *n = t->cut.node[i];
        for (uint32_t k = 0; k < n->n_in && magnifies(n); k++) {
            const pln_value *v = n->in[k];
            t->judge.faint |= v && v->def &&
                              has_denormals(t, v) && !is_leaf(t, v) &&
                              !has_denormal_input(t, v->def);
        }
    }
}

static void describe_input(const trial *t, pln_text *out)
{
    pln_text_printf(out, "with %s", pln_flavor_name(t->flavor));
    for (size_t i = 0; i < t->cut.n_leaves && i < 4; i++) {
        const pln_tensor *v = pln_map_get(&t->values, t->cut.leaf[i]);
        pln_text_printf(out, "%s %s", i ? "," : " for", t->cut.leaf[i]->name);
        if (v)
            pln_tensor_print_shape(out, v);
    }
}

static outcome differ(trial *t, const pln_value *v, const pln_tensor *was,
                      const pln_tensor *is, int64_t at)
{
    pln_text s;
    pln_text_init(&s, t->cut.patch->graph->model->alloc);
    describe_input(t, &s);
    if (at == -2) {
        pln_text_printf(&s, " '%s' was ", v->name);
        pln_tensor_print_shape(&s, was);
        pln_text_str(&s, " and becomes ");
        pln_tensor_print_shape(&s, is);
    } else {
        pln_text_printf(&s, " '%s'[%lld] was %.9g and becomes %.9g", v->name,
                        (long long)at, pln_tensor_get_f64(was, at),
                        pln_tensor_get_f64(is, at));
    }
    snprintf(t->why, t->why_size, "%s", s.failed ? "it differs" : s.data);
    pln_text_done(&s);
    return DIFFERENT;
}

static outcome compare(trial *t)
{
    const pln_patch *p = t->cut.patch;
    note_scale(t);
    if (t->judge.contract != PLN_EXACT)
        note_underflow(t);
    for (int i = 0; i < p->n_replaced; i++) {
        pln_tensor *was = contents(t, p->old[i]), *is = contents(t, p->new[i]);
        if (!p->old[i]->n_uses)
            continue;
        if (!was || !is || !pln_compares(was) || !pln_compares(is) ||
            pln_tensor_materialize(was, NULL) != PLN_OK ||
            pln_tensor_materialize(is, NULL) != PLN_OK) {
            snprintf(t->why, t->why_size, "'%s' is no tensor of numbers",
                     p->old[i]->name);
            return NO_WAY;
        }
        const int64_t at = pln_compare(was, is, &t->judge);
        if (at != -1)
            return differ(t, p->old[i], was, is, at);
    }
    return SAME;
}

static outcome failed_side(trial *t, const pln_error *e, bool old)
{
    if (e->code == PLN_E_NOMEM)
        t->failed = PLN_E_NOMEM;
    if (e->code == PLN_E_NOMEM || e->code == PLN_E_LIMIT)
        snprintf(t->why, t->why_size, "too large");
    else if (old || e->code == PLN_E_UNSUPPORTED)
        snprintf(t->why, t->why_size, "can't be run: %s", e->text);
    else
        snprintf(t->why, t->why_size, "with %s it fails: %s", pln_flavor_name(t->flavor),
                 e->text);
    const pln_rule *r = t->cut.patch->ctx->rule;
    if (!old && r && r->may_fail && e->code == PLN_E_RUN)
        return SKIPPED;
    if (e->code == PLN_E_LIMIT)
        return TOO_LARGE;
    return e->code == PLN_E_NOMEM || e->code == PLN_E_UNSUPPORTED ? NO_WAY
           : old                                                 ? SKIPPED
                                                                 : DIFFERENT;
}

/* The size of a symbol that a leaf has. */
static pln_dim size_in_leaves(void *user, const char *symbol)
{
    const trial *t = user;
    for (size_t i = 0; i < t->cut.n_leaves; i++) {
        const pln_shape s = t->cut.leaf[i]->type.shape;
        const pln_tensor *v = contents(t, t->cut.leaf[i]);
        for (int k = 0; v && k < s.rank && k < v->rank; k++) {
            const char *name = pln_dim_symbol_name(s.dims[k]);
            if (name && !strcmp(name, symbol))
                return pln_dim_of(v->dims[k]);
        }
    }
    return pln_dim_unknown();
}

/* What the graph says of v's sizes does not hold for what was computed. */
static bool contradicts(trial *t, const pln_value *v, const pln_tensor *got)
{
    const pln_shape s = v->type.shape;
    if (s.rank >= 0 && s.rank != got->rank)
        return true;
    for (int i = 0; i < s.rank; i++) {
        const pln_dim d = pln_dim_is_known(s.dims[i])
                              ? s.dims[i]
                              : pln_dim_substitute(v->graph->model->syms, s.dims[i],
                                                   size_in_leaves, t);
        if (pln_dim_is_known(d) && d.value != got->dims[i])
            return true;
    }
    return false;
}

/* Such an input is not one of the model's: axes or sizes that are read from outside do
 * not fit what stands behind. Where sizes shrink, they never do. */
static bool is_foreign(trial *t)
{
    for (size_t i = 0; i < t->cut.n_old && !t->sizes.shrink; i++)
        for (uint32_t k = 0; k < t->cut.node[i]->n_out; k++) {
            const pln_value *v = t->cut.node[i]->out[k];
            const pln_tensor *got = v ? pln_map_get(&t->values, v) : NULL;
            if (got && got->kind == PLN_KIND_TENSOR && contradicts(t, v, got))
                return true;
        }
    return false;
}

static outcome run_sides(trial *t)
{
    const pln_cut *c = &t->cut;
    pln_error local = { .code = PLN_OK };
    if (pln_nodes_eval(c->node, c->n_old, &t->values, &t->work, &local) != PLN_OK)
        return failed_side(t, &local, true);
    if (is_foreign(t)) {
        snprintf(t->why, t->why_size, "no input gives the sizes that the graph has");
        return SKIPPED;
    }
    if (pln_nodes_eval(c->node + c->n_old, c->n_nodes - c->n_old, &t->values, &t->work,
                       &local) != PLN_OK)
        return failed_side(t, &local, false);
    return compare(t);
}

static outcome run(trial *t, int64_t size, pln_flavor f, int shrink)
{
    t->sizes = (pln_sizes_choice){
        .size = size, .rank = t->rank, .shrink = shrink, .pinned = &t->pinned
    };
    t->flavor = f;
    const double start = fmin(WORK_FIRST, t->work_left);
    t->work = start;
    pln_map_init(&t->values, t->cut.patch->graph->model->alloc);
    outcome o = fill_leaves(t);
    if (o == SAME)
        o = run_sides(t);
    forget(t);
    t->work_left -= start - t->work;
    return o;
}

/* ---- many inputs ------------------------------------------------------------------- */

/* The first input on which the old side runs. */
static outcome find_sizes(trial *t, int shrink, int64_t *size)
{
    static const int64_t tries[] = { 2, 8, 3, -1, 1, 32, 300 };
    static const pln_flavor flavors[] = { PLN_FLAVOR_PLAIN, PLN_FLAVOR_POSITIVE,
                                          PLN_FLAVOR_ZERO, PLN_FLAVOR_SMALL };
    const size_t n = t->symbolic ? sizeof tries / sizeof tries[0] : 1;
    bool large = true;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof flavors / sizeof flavors[0]; k++) {
            *size = tries[i];
            const outcome o = run(t, tries[i], flavors[k], shrink);
            if (o != SKIPPED && o != TOO_LARGE)
                return o;
            large &= o == TOO_LARGE;
            if (o == TOO_LARGE)
                break;
        }
    return large ? TOO_LARGE : SKIPPED;
}

static outcome find_input(trial *t, int shrink, int64_t *size)
{
    static const int ranks[] = { 2, 3, 4, 1 };
    outcome o = SKIPPED;
    t->symbolic |= t->unranked;
    for (int i = 0; i < (t->unranked ? 4 : 1) && o == SKIPPED; i++) {
        t->rank = ranks[i];
        o = find_sizes(t, shrink, size);
    }
    return o;
}

/* All inputs: the first one that shows a difference ends it. */
static outcome run_all(trial *t, int shrink)
{
    static const int64_t others[] = { 1, 3, -1, 0 };
    int64_t size;
    outcome o = find_input(t, shrink, &size);
    if (o != SAME)
        return o;
    for (int f = 0; f < PLN_FLAVOR_COUNT; f++) {
        if (f == PLN_FLAVOR_EXTREME && t->judge.contract != PLN_EXACT)
            continue;
        o = run(t, size, (pln_flavor)f, shrink);
        if (o == DIFFERENT || t->failed != PLN_OK)
            return o;
    }
    for (size_t i = 0; t->symbolic && i < sizeof others / sizeof others[0]; i++) {
        o = run(t, others[i], PLN_FLAVOR_PLAIN, shrink);
        if (o == DIFFERENT || t->failed != PLN_OK)
            return o;
    }
    return SAME;
}

static outcome judge(trial *t)
{
    const char *no = look_at(t);
    if (no) {
        if (no != t->why)
            snprintf(t->why, t->why_size, "%s", no);
        return NO_WAY;
    }
    bool differs = false; /* at sizes that are not the model's, which proves nothing */
    outcome o = SKIPPED;
    for (int shrink = t->shrinks ? 2 : 0; shrink >= 0; shrink--) {
        t->work_left = WORK_ALL;
        o = run_all(t, shrink);
        if (o == SAME || t->failed != PLN_OK)
            return o;
        differs |= o == DIFFERENT;
    }
    return o == TOO_LARGE && differs ? SKIPPED : o;
}

/* ---- deeper and deeper ------------------------------------------------------------- */

static pln_status judge_at(pln_pass_ctx *ctx, trial *t, outcome *o)
{
    pln_map_init(&t->pinned, ctx->model->alloc);
    *o = judge(t);
    pln_map_done(&t->pinned);
    return t->failed == PLN_E_NOMEM ? pln_oom(t->err) : t->failed;
}

static pln_judge contract_of(const pln_pass_ctx *ctx)
{
    return (pln_judge){ .contract = ctx->rule ? ctx->rule->contract : ctx->pass->contract,
                        .bound = ctx->rule ? ctx->rule->bound : 0 };
}

static const pln_verdict verdicts[] = { [SAME] = PLN_VERDICT_SAME,
                                        [DIFFERENT] = PLN_VERDICT_BROKEN,
                                        [SKIPPED] = PLN_VERDICT_UNKNOWN,
                                        [TOO_LARGE] = PLN_VERDICT_UNKNOWN,
                                        [NO_WAY] = PLN_VERDICT_UNKNOWN };

/* How an equal fragment came out before; a cut has nothing of what is around it, so each
 * depth has its own. */
typedef struct memo {
    outcome o;
    const char *why;
} memo;

static pln_status remember(pln_pass_ctx *ctx, const void *key, outcome o, const char *why,
                           pln_error *err)
{
    memo *m = PLN_NEW(ctx->keep, memo);
    if (m)
        *m = (memo){ o, o == SAME ? "" : pln_arena_str(ctx->keep, why, strlen(why)) };
    return m && m->why && pln_map_put(&ctx->verdicts, key, m) ? PLN_OK : pln_oom(err);
}

static pln_status judge_once(pln_pass_ctx *ctx, trial *t, outcome *o, bool *again)
{
    uint64_t hash = 0;
    const bool keyed = pln_cut_hash(&t->cut, ctx->rule, &hash);
    const void *key = (const void *)(uintptr_t)(hash | 1);
    const memo *known = keyed ? pln_map_get(&ctx->verdicts, key) : NULL;
    *again = known != NULL;
    if (known) {
        *o = known->o;
        snprintf(t->why, t->why_size, "%s", known->why);
        return PLN_OK;
    }
    PLN_TRY(judge_at(ctx, t, o));
    return keyed ? remember(ctx, key, *o, t->why, t->err) : PLN_OK;
}

static pln_status judge_deeper(pln_pass_ctx *ctx, const pln_patch *p, const pln_match *m,
                               pln_arena *arena, pln_verdict *out, char *why, size_t size,
                               pln_error *err)
{
    size_t n_before = SIZE_MAX;
    char first[400] = "";
    for (int depth = 0; depth < PLN_CUT_DEPTHS; depth++) {
        outcome o;
        bool again;
        trial t = { .judge = contract_of(ctx), .why = why, .why_size = size, .err = err };
        PLN_TRY(pln_cut_make(&t.cut, p, m, depth, arena, err));
        if (depth && t.cut.n_nodes <= n_before)
            continue;
        PLN_TRY(judge_once(ctx, &t, &o, &again));
        n_before = t.cut.n_nodes;
        *out = o == SAME && again ? PLN_VERDICT_AGAIN : verdicts[o];
        if (o == SAME)
            return PLN_OK;
        if (o == DIFFERENT)
            snprintf(first, sizeof first, "%s", why);
        else if (first[0]) {
            /* What it relies on may lie further up, where it can't be seen. */
            snprintf(why, size, "differs alone, and more can't be run: %.300s", first);
            return PLN_OK;
        }
        if (o == NO_WAY || o == TOO_LARGE)
            return PLN_OK;
    }
    return PLN_OK;
}

pln_status pln_verify_patch(pln_pass_ctx *ctx, const pln_patch *p, const pln_match *m,
                            pln_verdict *out, char *why, size_t size, pln_error *err)
{
    pln_arena *arena = pln_arena_new(ctx->model->alloc);
    *out = PLN_VERDICT_UNKNOWN;
    if (!arena)
        return pln_oom(err);
    const pln_status st = judge_deeper(ctx, p, m, arena, out, why, size, err);
    pln_arena_free(arena);
    return st;
}
