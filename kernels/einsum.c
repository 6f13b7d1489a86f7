/* Einsum: sums of products over named dimensions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/einsum.h"
#include "kernels/expand.h"
#include "kernels/product.h"
#include "src/ir/numeric.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

#define TERMS_MAX  PLN_EINSUM_TERMS
#define LABELS_MAX PLN_EINSUM_LABELS
#define NONE       0xff

typedef struct einsum_attrs {
    const char *equation;
} einsum_attrs;

static const pln_attr_spec einsum_spec[] = {
    { .name = "equation", .type = PLN_ATTR_STRING, .required = true,
      .offset = offsetof(einsum_attrs, equation) },
    PLN_A_END,
};

/* One side of a term: letters before and after an ellipsis. */
typedef struct term {
    uint8_t label[PLN_MAX_RANK];
    int n;
    int ellipsis; /* position among the labels; -1: none */
} term;

typedef struct equation {
    term in[TERMS_MAX], out;
    int n_in;
    bool has_out;
} equation;

static int label_of(char ch)
{
    if (ch >= 'a' && ch <= 'z')
        return ch - 'a';
    return ch >= 'A' && ch <= 'Z' ? 26 + ch - 'A' : -1;
}

/* NULL, or what is wrong with the text. */
static const char *parse_term(const char **text, term *t)
{
    *t = (term){ .ellipsis = -1 };
    for (const char *s = *text;; s++) {
        *text = s;
        if (*s == ' ')
            continue;
        if (s[0] == '.' && s[1] == '.' && s[2] == '.') {
            if (t->ellipsis >= 0)
                return "it has two ellipses in one term";
            t->ellipsis = t->n;
            s += 2;
            continue;
        }
        const int label = label_of(*s);
        if (label < 0)
            return NULL;
        if (t->n == PLN_MAX_RANK)
            return "a term has too many labels";
        t->label[t->n++] = (uint8_t)label;
    }
}

/* Without "->", the result has the labels that occur once, in the order of the
 * alphabet. */
static void imply_output(equation *e)
{
    int count[52] = { 0 };
    e->out = (term){ .ellipsis = -1 };
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i].ellipsis >= 0)
            e->out.ellipsis = 0;
        for (int k = 0; k < e->in[i].n; k++)
            count[e->in[i].label[k]]++;
    }
    /* Capitals come first, as in ASCII. */
    for (int i = 0; i < 52; i++) {
        const int label = (i + 26) % 52;
        if (count[label] == 1 && e->out.n < PLN_MAX_RANK)
            e->out.label[e->out.n++] = (uint8_t)label;
    }
}

static const char *parse(const char *text, equation *e)
{
    *e = (equation){ .n_in = 0 };
    const char *why = NULL;
    for (;;) {
        if (e->n_in == TERMS_MAX)
            return "it has too many terms";
        if ((why = parse_term(&text, &e->in[e->n_in++])))
            return why;
        if (*text != ',')
            break;
        text++;
    }
    if (text[0] == '-' && text[1] == '>') {
        text += 2;
        if ((why = parse_term(&text, &e->out)))
            return why;
        e->has_out = true;
    } else {
        imply_output(e);
    }
    return *text ? "it has a character that is no label" : NULL;
}

static pln_status check(pln_node *n, void *attrs, pln_error *err)
{
    const einsum_attrs *at = attrs;
    char where[160];
    equation e;
    const char *why = parse(at->equation, &e);
    if (!why && (uint32_t)e.n_in != n->n_in)
        why = "its terms are not as many as the inputs";
    return why ? pln_fail(err, PLN_E_FORMAT, "%s: equation '%s': %s",
                          pln_node_where(n, where, sizeof where), at->equation, why)
               : PLN_OK;
}

/* ---- inference ------------------------------------------------------------------- */

/* Label of dimension d of a term that has this rank; ellipsis dimensions count from the
 * last. */
static int dim_label(const term *t, int rank, int d)
{
    const int extra = rank - t->n;
    if (t->ellipsis < 0 || d < t->ellipsis)
        return t->label[d];
    if (d < t->ellipsis + extra)
        return 52 + PLN_MAX_RANK - (t->ellipsis + extra - d);
    return t->label[d - extra];
}

/* Dimensions that "..." stands for: the most of any term. */
static int ellipsis_rank(const equation *e, const int *rank)
{
    int most = 0;
    for (int i = 0; i < e->n_in; i++) {
        if (e->in[i].ellipsis >= 0 && rank[i] - e->in[i].n > most)
            most = rank[i] - e->in[i].n;
    }
    return most;
}

static pln_status einsum_infer(pln_infer *inf, pln_error *err)
{
    const einsum_attrs *at = inf->attrs;
    equation e;
    pln_dim dim[LABELS_MAX];
    bool seen[LABELS_MAX] = { false };
    int rank[TERMS_MAX];
    parse(at->equation, &e);
    for (int i = 0; i < e.n_in; i++) {
        rank[i] = pln_infer_rank(inf, (uint32_t)i);
        if (rank[i] < 0) {
            pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), pln_shape_unknown());
            return PLN_OK;
        }
        const term *t = &e.in[i];
        if (rank[i] < t->n || (t->ellipsis < 0 && rank[i] != t->n))
            return pln_infer_fail(inf, err, "input %d has rank %d, its term %d labels", i,
                                  rank[i], t->n);
        for (int d = 0; d < rank[i]; d++) {
            const int l = dim_label(t, rank[i], d);
            const pln_dim v = pln_infer_dim(inf, (uint32_t)i, d);
            if (!seen[l] || pln_dim_is(dim[l], 1) ||
                (pln_dim_is_known(v) && !pln_dim_is(v, 1) && !pln_dim_is_known(dim[l])))
                dim[l] = v;
            else if (!pln_dim_is(v, 1) && pln_dim_differ(inf->syms, v, dim[l]))
                return pln_infer_fail(inf, err, "a label has two sizes");
            seen[l] = true;
        }
    }
    const int extra = e.out.ellipsis >= 0 ? ellipsis_rank(&e, rank) : 0;
    pln_shape s = pln_infer_shape(inf, e.out.n + extra);
    if (s.rank < 0)
        return pln_oom(err);
    for (int d = 0; d < s.rank; d++) {
        const int l = dim_label(&e.out, s.rank, d);
        if (!seen[l])
            return pln_infer_fail(inf, err, "a label of the result is in no input");
        s.dims[d] = dim[l];
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

/* ---- kernel ---------------------------------------------------------------------- */

typedef pln_einsum einsum;

#define PLN_TMPL "kernels/einsum_tmpl.h"
#include "kernels/each_float.h"
#include "kernels/each_int.h"
#include "kernels/each_small_int.h"

typedef void (*einsum_fn)(const einsum *s, int64_t begin, int64_t end);

static const einsum_fn fns[PLN_DT_COUNT] = {
    [PLN_DT_F32] = einsum_f32, [PLN_DT_F64] = einsum_f64, [PLN_DT_F16] = einsum_f16,
    [PLN_DT_BF16] = einsum_bf16, [PLN_DT_U32] = einsum_u32, [PLN_DT_S32] = einsum_s32,
    [PLN_DT_U64] = einsum_u64, [PLN_DT_S64] = einsum_s64, [PLN_DT_U8] = einsum_u8,
    [PLN_DT_S8] = einsum_s8, [PLN_DT_U16] = einsum_u16, [PLN_DT_S16] = einsum_s16,
};

typedef struct job {
    einsum_fn fn;
    const einsum *s;
} job;

static void run_range(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    j->fn(j->s, begin, end);
}

/* Sizes and steps by loop; a dimension of 1 broadcasts. */
static void add_input(einsum *s, const term *t, const pln_tensor *x, int i,
                      const uint8_t *loop)
{
    int64_t step = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        const int l = loop[dim_label(t, x->rank, d)];
        if (x->dims[d] != 1) {
            s->step[i][l] += step;
            s->size[l] = x->dims[d];
        }
        step *= x->dims[d];
    }
    s->in[i] = x->data;
}

static bool set_loops(einsum *s, const equation *e, const pln_call *c)
{
    uint8_t loop[LABELS_MAX];
    memset(loop, NONE, sizeof loop);
    memset(s, 0, sizeof *s);
    const int out_rank = c->out[0]->rank;
    for (int d = 0; d < out_rank; d++) {
        const int l = dim_label(&e->out, out_rank, d);
        if (loop[l] != NONE)
            return false;
        loop[l] = (uint8_t)s->n_out++;
    }
    for (int i = 0; i < e->n_in; i++) {
        for (int d = 0; d < c->in[i]->rank; d++) {
            const int l = dim_label(&e->in[i], c->in[i]->rank, d);
            if (loop[l] == NONE)
                loop[l] = (uint8_t)(s->n_out + s->n_sum++);
        }
    }
    for (int l = 0; l < s->n_out + s->n_sum; l++)
        s->size[l] = 1;
    s->n_in = e->n_in;
    for (int i = 0; i < e->n_in; i++)
        add_input(s, &e->in[i], c->in[i], i, loop);
    return true;
}

static pln_status einsum_of(pln_call *c, einsum *s, pln_error *err)
{
    const einsum_attrs *at = c->attrs;
    equation e;
    parse(at->equation, &e);
    if (!set_loops(s, &e, c))
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED,
                             "equation '%s': a label occurs twice in "
                             "the result",
                             at->equation);
    s->out = c->out[0]->data;
    s->unit = pln_dtype_size((pln_dtype)c->out[0]->dtype);
    s->n_elements = pln_tensor_size(c->out[0]);
    s->n_terms = 1;
    for (int l = s->n_out; l < s->n_out + s->n_sum; l++) {
        if (!pln_i64_mul(&s->n_terms, s->n_terms, s->size[l]))
            return pln_call_fail(c, err, PLN_E_LIMIT, "the sums are too long");
    }
    return PLN_OK;
}

static pln_status einsum_ref(pln_call *c, pln_error *err)
{
    einsum s;
    PLN_TRY(einsum_of(c, &s, err));
    const job j = { fns[c->in[0]->dtype], &s };
    if (!j.fn)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "no sums of %s",
                             pln_dtype_name((pln_dtype)c->in[0]->dtype));
    pln_parallel_for(c->n_threads, s.n_elements, 1 + 16384 / (s.n_terms + 1), run_range,
                     (void *)&j);
    return PLN_OK;
}

static pln_status einsum_run(pln_call *c, pln_error *err)
{
    einsum s;
    PLN_TRY(einsum_of(c, &s, err));
    if (s.n_elements == 0 || s.n_terms == 0)
        return einsum_ref(c, err);
    return pln_einsum_fast(c, &s, err);
}

static pln_status einsum_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (p->in[0]->dtype != PLN_DT_F32 && p->in[0]->dtype != PLN_DT_F64)
        return PLN_E_UNSUPPORTED;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

static const pln_impl einsum_cpu = { "einsum", einsum_prepare, einsum_run, NULL };

static void einsum_cost(const pln_infer *inf, pln_cost *cost)
{
    const einsum_attrs *at = inf->attrs;
    equation e;
    double sum = 1;
    bool seen[52] = { false };
    pln_product_cost(inf, 0, cost);
    if (parse(at->equation, &e))
        return;
    for (int k = 0; k < e.out.n; k++)
        seen[e.out.label[k]] = true;
    for (int i = 0; i < e.n_in && (uint32_t)i < inf->n_in; i++) {
        const int rank = pln_infer_rank(inf, (uint32_t)i);
        for (int d = 0; d < rank && rank >= e.in[i].n; d++) {
            const int l = dim_label(&e.in[i], rank, d);
            const pln_dim v = pln_infer_dim(inf, (uint32_t)i, d);
            if (l >= 52 || seen[l] || !pln_dim_is_known(v))
                continue;
            seen[l] = true;
            sum *= (double)v.value;
        }
    }
    cost->flops = pln_product_dims(&inf->out[0], 0) * sum * (e.n_in > 1 ? e.n_in : 1);
}

const pln_op_desc pln_ops_einsum[] = {
    { .name = "Einsum", .domain = "", .since = 28, .in = { 1, PLN_VARIADIC },
      .out = { 1, 1 },
      .types = "T:" PLN_PRODUCT_TYPES ",uint8,int8,uint16,int16", .sig = "T*->T",
      .attrs = einsum_spec, .attrs_size = sizeof(einsum_attrs), .check = check,
      .infer = einsum_infer, .ref = einsum_ref, .cpu = &einsum_cpu, .cost = einsum_cost,
      .expand = pln_expand_einsum },
    { .name = NULL },
};
