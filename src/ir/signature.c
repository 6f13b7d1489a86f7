/* Inputs against an operator's signature, before a kernel sees them: kernels count on
 * kinds and element types.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/op.h"

#define MAX_NAMES 16

typedef struct word {
    const char *s;
    size_t len;
} word;

static bool same(word a, word b)
{
    return a.len == b.len && !memcmp(a.s, b.s, a.len);
}

/* The set of a name in "T:float,double;I:int32"; s NULL: it has none. */
static word set_of(const char *types, word name)
{
    for (const char *p = types; p && *p;) {
        const word key = { p, strcspn(p, ":;") };
        p += key.len;
        if (*p != ':')
            break;
        const word set = { p + 1, strcspn(p + 1, ";") };
        if (same(key, name))
            return set;
        p = set.s + set.len;
        p += *p == ';';
    }
    return (word){ NULL, 0 };
}

static bool in_set(word set, pln_dtype dt)
{
    const char *name = pln_dtype_name(dt);
    const word want = { name, strlen(name) };
    for (const char *p = set.s, *end = set.s + set.len; p < end;) {
        const word one = { p, strcspn(p, ",;") };
        if (same(one, want))
            return true;
        p += one.len + 1;
    }
    return false;
}

static pln_kind kind_of(word w)
{
    static const struct {
        const char *start;
        pln_kind kind;
    } kinds[] = { { "seq(", PLN_KIND_SEQUENCE },
                  { "optional(", PLN_KIND_OPTIONAL },
                  { "map(", PLN_KIND_MAP } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (w.len > strlen(kinds[i].start) &&
            !memcmp(w.s, kinds[i].start, strlen(kinds[i].start)))
            return kinds[i].kind;
    return PLN_KIND_NONE;
}

typedef struct bindings {
    word name[MAX_NAMES];
    pln_dtype dtype[MAX_NAMES];
    int n;
} bindings;

static bool agrees(bindings *b, word name, pln_dtype dt)
{
    for (int k = 0; k < b->n; k++)
        if (same(b->name[k], name))
            return b->dtype[k] == dt;
    if (b->n < MAX_NAMES) {
        b->name[b->n] = name;
        b->dtype[b->n++] = dt;
    }
    return true;
}

static pln_status check_input(const pln_infer *inf, uint32_t i, word w, bindings *b,
                              pln_error *err)
{
    const pln_type *t = i < inf->n_in ? inf->in[i] : NULL;
    if (!t || t->kind == PLN_KIND_NONE)
        return PLN_OK;
    const pln_kind kind = kind_of(w);
    if (kind != PLN_KIND_NONE)
        return t->kind == kind ? PLN_OK
                               : pln_infer_fail(inf, err, "input %u must be %.*s", i,
                                                (int)w.len, w.s);
    const word set = set_of(inf->node->op->types, w);
    const pln_dtype fixed = pln_dtype_from_name(w.s, w.len);
    if (!set.s && fixed == PLN_DT_NONE)
        return PLN_OK; /* a name for any type */
    if (t->kind != PLN_KIND_TENSOR)
        return pln_infer_fail(inf, err, "input %u must be a tensor", i);
    if (t->dtype == PLN_DT_NONE)
        return PLN_OK;
    if (set.s ? !in_set(set, t->dtype) : t->dtype != fixed)
        return pln_infer_fail(inf, err, "input %u can't be of type %s", i,
                              pln_dtype_name(t->dtype));
    return agrees(b, w, t->dtype)
               ? PLN_OK
               : pln_infer_fail(inf, err, "input %u is of type %s, unlike those before",
                                i, pln_dtype_name(t->dtype));
}

pln_status pln_infer_check_inputs(const pln_infer *inf, pln_error *err)
{
    const char *sig = inf->node->op ? inf->node->op->sig : NULL;
    const char *end = sig ? strstr(sig, "->") : NULL;
    bindings b = { .n = 0 };
    if (!end)
        return PLN_OK;
    const char *p = sig;
    for (uint32_t i = 0; i < inf->n_in && p < end; i++) {
        word w = { p, strcspn(p, ",") };
        if (w.s + w.len > end)
            w.len = (size_t)(end - w.s);
        const size_t whole = w.len;
        const char mark = w.len ? w.s[w.len - 1] : 0;
        if (mark == '*' || mark == '?' || mark == '+')
            w.len--;
        bindings own = { .n = 0 };
        PLN_TRY(check_input(inf, i, w, mark == '+' ? &own : &b, err));
        if (mark != '*' && mark != '+') /* those are for all that follow */
            p += whole + 1;
    }
    return PLN_OK;
}

/* The name at place i of "A,B?,C*"; s NULL: there is none. */
static word name_at(const char *p, const char *end, uint32_t i)
{
    while (p < end) {
        word w = { p, strcspn(p, ",") };
        if (w.s + w.len > end)
            w.len = (size_t)(end - w.s);
        const size_t whole = w.len;
        const char mark = w.len ? w.s[w.len - 1] : 0;
        if (mark == '*' || mark == '?' || mark == '+')
            w.len--;
        if (i-- == 0 || mark == '*' || mark == '+')
            return w;
        p += whole + 1;
    }
    return (word){ NULL, 0 };
}

static word input_name(const pln_op_desc *op, uint32_t i)
{
    const char *arrow = op && op->sig ? strstr(op->sig, "->") : NULL;
    return arrow ? name_at(op->sig, arrow, i) : (word){ NULL, 0 };
}

bool pln_op_takes(const pln_op_desc *op, uint32_t i, pln_dtype dt)
{
    const word w = input_name(op, i);
    if (!w.s)
        return op && !op->sig && (op->traits & PLN_OP_VIEW);
    if (kind_of(w) != PLN_KIND_NONE)
        return false;
    const word set = set_of(op->types, w);
    const pln_dtype fixed = pln_dtype_from_name(w.s, w.len);
    return set.s ? in_set(set, dt) : fixed == PLN_DT_NONE || fixed == dt;
}

pln_dtype pln_node_output_dtype(const pln_node *n, uint32_t o)
{
    const char *arrow = n->op && n->op->sig ? strstr(n->op->sig, "->") : NULL;
    const bool view = n->op && !n->op->sig && (n->op->traits & PLN_OP_VIEW);
    const word out =
        arrow ? name_at(arrow + 2, arrow + strlen(arrow), o) : (word){ NULL, 0 };
    if (!out.s && !view)
        return PLN_DT_NONE;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const word in = input_name(n->op, i);
        if (n->in[i] && n->in[i]->type.kind == PLN_KIND_TENSOR &&
            (view || (in.s && same(in, out))))
            return n->in[i]->type.dtype;
    }
    return view ? PLN_DT_NONE : pln_dtype_from_name(out.s, out.len);
}

bool pln_op_gives_type_of(const pln_op_desc *op, uint32_t o, uint32_t i)
{
    const char *arrow = op && op->sig ? strstr(op->sig, "->") : NULL;
    if (!arrow)
        return false;
    const word out = name_at(arrow + 2, arrow + strlen(arrow), o), in = input_name(op, i);
    return out.s && in.s && same(in, out) && set_of(op->types, in).s;
}
