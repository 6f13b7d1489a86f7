/* Planning, first part: shapes of everything that follows from what is known, and the
 * contents of what is small and known.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"
#include "src/util/size.h"

#include <string.h>

/* Most bytes of a value that is computed while planning. */
#define FOLD_BYTES (1u << 20)
/* And where all inputs are constants of the model: done once instead of in every run. */
#define FOLD_CONSTANT_BYTES (256u << 20)
/* Most elements of a constant that is brought into memory just for inference. */
#define INFER_VALUES 4096

static const pln_type unknown_type;

bool rt_type_is_known(const pln_type *t)
{
    if (!t || t->kind == PLN_KIND_NONE)
        return false;
    return t->kind != PLN_KIND_TENSOR ||
           (t->dtype != PLN_DT_NONE && pln_shape_is_static(t->shape));
}

pln_type *rt_type_of(pln_arena *arena, const pln_tensor *t)
{
    pln_type *type = PLN_NEW(arena, pln_type);
    if (!type)
        return NULL;
    type->kind = (pln_kind)t->kind;
    type->dtype = (pln_dtype)t->dtype;
    type->shape = pln_shape_unknown();
    if (t->kind == PLN_KIND_TENSOR) {
        type->shape = pln_shape_of(arena, t->rank, t->dims);
        if (t->rank && !type->shape.dims)
            return NULL;
        type->shape.rank = t->rank;
    } else if ((t->kind == PLN_KIND_OPTIONAL || t->kind == PLN_KIND_SEQUENCE) &&
               t->n_items && t->items[0]) {
        pln_type *elem = rt_type_of(arena, t->items[0]);
        if (!elem)
            return NULL;
        if (t->kind == PLN_KIND_SEQUENCE)
            elem->shape = pln_shape_unknown();
        type->elem = elem;
    }
    return type;
}

pln_tensor *rt_value_const(const pln_value *v)
{
    return pln_value_is_const(v) ? v->cst : NULL;
}

const pln_type *rt_value_type(rt_planner *p, const pln_value *v)
{
    if (p->type[v->id] || (p->mark[v->id] & RT_PENDING))
        return p->type[v->id];
    if (!p->cst[v->id])
        p->cst[v->id] = rt_value_const(v);
    const pln_tensor *t = p->cst[v->id] ? p->cst[v->id] : p->run->now[v->id];
    if (!t)
        return NULL;
    p->type[v->id] = rt_type_of(p->tmp, t);
    p->layout[v->id] = t->layout;
    return p->type[v->id];
}

static pln_status collect_graph(pln_arena *arena, const pln_graph *g,
                                const pln_node *owner, pln_map *seen, pln_value **out,
                                uint32_t *n);

static bool below(const pln_graph *g, const pln_node *owner)
{
    for (; g; g = g->parent)
        if (g->owner == owner)
            return true;
    return false;
}

static pln_status capture(const pln_value *v, const pln_node *owner, pln_map *seen,
                          pln_value **out, uint32_t *n)
{
    if (!v || below(v->graph, owner) || pln_map_has(seen, v))
        return PLN_OK;
    if (!pln_map_put(seen, v, (void *)v))
        return PLN_E_NOMEM;
    if (out)
        out[*n] = (pln_value *)v;
    ++*n;
    return PLN_OK;
}

static pln_status collect_bodies(pln_arena *arena, const pln_node *n,
                                 const pln_node *owner, pln_map *seen, pln_value **out,
                                 uint32_t *count)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g)
            PLN_TRY(collect_graph(arena, a->g, owner, seen, out, count));
        for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
            PLN_TRY(collect_graph(arena, a->graphs[k], owner, seen, out, count));
    }
    return PLN_OK;
}

static pln_status collect_graph(pln_arena *arena, const pln_graph *g,
                                const pln_node *owner, pln_map *seen, pln_value **out,
                                uint32_t *count)
{
    for (const pln_node *n = g->first; n; n = n->next) {
        for (uint32_t i = 0; i < n->n_in; i++)
            PLN_TRY(capture(n->in[i], owner, seen, out, count));
        PLN_TRY(collect_bodies(arena, n, owner, seen, out, count));
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        PLN_TRY(capture(g->outputs[i], owner, seen, out, count));
    return PLN_OK;
}

/* The values from outside that the node's bodies read, each once. */
pln_status rt_captures(pln_arena *arena, const pln_node *n, pln_value ***out,
                       uint32_t *n_out)
{
    *out = NULL;
    *n_out = 0;
    if (!(pln_node_traits(n) & PLN_OP_CONTROL))
        return PLN_OK;
    pln_map seen;
    pln_map_init(&seen, pln_arena_allocator(arena));
    uint32_t count = 0;
    pln_status st = collect_bodies(arena, n, n, &seen, NULL, &count);
    pln_map_done(&seen);
    PLN_TRY(st);
    if (!(*out = PLN_NEW_ARRAY(arena, pln_value *, count + 1)))
        return PLN_E_NOMEM;
    pln_map_init(&seen, pln_arena_allocator(arena));
    st = collect_bodies(arena, n, n, &seen, *out, n_out);
    pln_map_done(&seen);
    return st;
}

static pln_status infer_body(pln_infer *inf, const pln_graph *g, const pln_type *in,
                             uint32_t n_in, pln_type *out, uint32_t n_out,
                             pln_error *err);

static pln_status infer_arrays(rt_planner *p, const pln_node *n, pln_infer *inf)
{
    const pln_type **in = PLN_NEW_ARRAY(p->tmp, const pln_type *, n->n_in + 1);
    const pln_tensor **cst = PLN_NEW_ARRAY(p->tmp, const pln_tensor *, n->n_in + 1);
    const pln_symval **sym = PLN_NEW_ARRAY(p->tmp, const pln_symval *, n->n_in + 1);
    inf->out = PLN_NEW_ARRAY(p->tmp, pln_type, n->n_out + 1);
    inf->out_sym = PLN_NEW_ARRAY(p->tmp, const pln_symval *, n->n_out + 1);
    if (!in || !cst || !sym || !inf->out || !inf->out_sym)
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < n->n_out; i++)
        inf->out[i] = pln_type_unknown();
    inf->in = in;
    inf->in_cst = cst;
    inf->in_sym = sym;
    return PLN_OK;
}

static pln_status infer_inputs(rt_planner *p, const pln_node *n, pln_infer *inf,
                               pln_error *err)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *v = n->in[i];
        if (!v)
            continue;
        const pln_type *t = rt_value_type(p, v);
        ((const pln_type **)inf->in)[i] = t ? t : &unknown_type;
        ((const pln_symval **)inf->in_sym)[i] = p->sym[v->id];
        pln_tensor *c = p->cst[v->id];
        if (!c || c->kind != PLN_KIND_TENSOR ||
            (!c->data && pln_tensor_size(c) > INFER_VALUES))
            continue;
        PLN_TRY(pln_tensor_materialize(c, err));
        ((const pln_tensor **)inf->in_cst)[i] = c;
    }
    return PLN_OK;
}

static pln_status infer_node(rt_planner *p, pln_node *n, rt_item *it, pln_error *err)
{
    it->node = n;
    PLN_TRY(pln_node_attrs(n, &it->attrs, err));
    pln_infer *inf = &it->infer;
    *inf = (pln_infer){ .node = n,
                        .attrs = it->attrs,
                        .arena = p->tmp,
                        .n_in = n->n_in,
                        .n_out = n->n_out,
                        .body = infer_body,
                        .driver = p };
    if (infer_arrays(p, n, inf) != PLN_OK)
        return pln_oom(err);
    PLN_TRY(infer_inputs(p, n, inf, err));
    PLN_TRY(pln_infer_check_inputs(inf, err));
    return n->op->infer ? n->op->infer(inf, err) : PLN_OK;
}

static bool outputs_small(const pln_node *n, const pln_infer *inf, size_t limit)
{
    size_t total = 0;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_type *t = &inf->out[i];
        if (!n->out[i])
            continue;
        if (t->kind == PLN_KIND_NONE ||
            (t->kind == PLN_KIND_TENSOR && !rt_type_is_known(t)))
            continue; /* depends on the contents of small inputs */
        int64_t count = 1;
        if (t->kind != PLN_KIND_TENSOR)
            return false;
        for (int k = 0; k < t->shape.rank; k++)
            if (!pln_i64_mul(&count, count, t->shape.dims[k].value))
                return false;
        size_t bytes;
        if (!pln_size_mul(&bytes, (size_t)count, pln_dtype_size(t->dtype)) ||
            !pln_size_add(&total, total, bytes))
            return false;
    }
    return total <= limit;
}

static bool can_fold(rt_planner *p, const pln_node *n, const pln_infer *inf)
{
    const uint32_t traits = n->op->traits;
    if (traits & (PLN_OP_RANDOM | PLN_OP_CONTROL | PLN_OP_EFFECT))
        return false;
    bool constant = !p->s->options.no_optimize && !p->s->all_values;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *v = n->in[i];
        if (!v || p->cst[v->id])
            continue;
        constant = false;
        const pln_type *t = p->type[v->id];
        if (!(traits & PLN_OP_SHAPE_ONLY) || !rt_type_is_known(t) ||
            t->kind != PLN_KIND_TENSOR)
            return false;
    }
    return outputs_small(n, inf, constant && n->n_in ? FOLD_CONSTANT_BYTES : FOLD_BYTES);
}

/* Do the node's inputs follow from the model's constants alone? */
static bool constant_inputs(const rt_planner *p, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && !rt_value_const(n->in[i]) && !p->constant[n->in[i]->id])
            return false;
    return true;
}

static pln_status keep_known(rt_planner *p, const pln_value *v, pln_tensor *t_take,
                             pln_error *err)
{
    if (!pln_grow(p->s->alloc, (void **)&p->known, &p->cap_known, p->n_known + 1,
                  sizeof *p->known)) {
        pln_tensor_unref(t_take);
        return pln_oom(err);
    }
    p->constant[v->id] = constant_inputs(p, v->def);
    p->known[p->n_known++] = (rt_known){ v->id, p->constant[v->id], t_take };
    p->cst[v->id] = t_take;
    if (!(p->type[v->id] = rt_type_of(p->tmp, t_take)))
        return pln_oom(err);
    return PLN_OK;
}

/* A view of a constant shares its bytes, however large. */
static pln_status fold_view(rt_planner *p, const rt_item *it, bool *folded,
                            pln_error *err)
{
    const pln_node *n = it->node;
    const pln_value *v = n->n_in ? n->in[0] : NULL;
    const pln_type *t = it->infer.out;
    if (!(n->op->traits & PLN_OP_VIEW) || !v || n->n_out != 1 || !p->cst[v->id] ||
        !rt_type_is_known(t) || t->kind != PLN_KIND_TENSOR)
        return PLN_OK;
    pln_tensor *src = p->cst[v->id], *dst;
    if (src->kind != PLN_KIND_TENSOR || src->dtype == PLN_DT_STRING)
        return PLN_OK;
    PLN_TRY(pln_tensor_materialize(src, err));
    if (!src->buf)
        return PLN_OK;
    int64_t dims[PLN_MAX_RANK];
    for (int k = 0; k < t->shape.rank; k++)
        dims[k] = t->shape.dims[k].value;
    const int64_t zero = 0; /* made empty, then given the memory of the source */
    PLN_TRY(pln_tensor_make(p->s->alloc, t->dtype, 1, &zero, &dst, err));
    pln_buf_unref(dst->buf);
    dst->buf = pln_buf_ref(src->buf);
    dst->data = src->data;
    dst->rank = t->shape.rank;
    memcpy(dst->dims, dims, (size_t)dst->rank * sizeof *dims);
    p->s->const_read[v->id] = 1;
    *folded = true;
    return keep_known(p, n->out[0], dst, err);
}

static pln_status shape_desc(rt_planner *p, const pln_value *v, pln_tensor **out,
                             pln_error *err)
{
    pln_tensor *t = PLN_NEW(p->tmp, pln_tensor);
    if (!(*out = t))
        return pln_oom(err);
    const pln_type *type = p->type[v->id];
    t->kind = PLN_KIND_TENSOR;
    t->dtype = (uint8_t)type->dtype;
    t->borrowed = true;
    t->rank = type->shape.rank;
    for (int k = 0; k < t->rank; k++)
        t->dims[k] = type->shape.dims[k].value;
    return PLN_OK;
}

static size_t known_bytes(const pln_tensor *t)
{
    size_t bytes = 0;
    return t->kind == PLN_KIND_TENSOR &&
                   pln_dims_bytes((pln_dtype)t->dtype, t->rank, t->dims, &bytes)
               ? bytes
               : 0;
}

static void forget_known(rt_planner *p, const pln_value *v)
{
    for (size_t i = p->n_known; i-- > p->n_inherited;)
        if (p->known[i].value == v->id) {
            pln_tensor_unref(p->known[i].t);
            p->known[i] = p->known[--p->n_known];
            p->cst[v->id] = NULL;
            return;
        }
}

/* A large value all of whose users are folded, too, is not needed any more. */
static void used_by_fold(rt_planner *p, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *v = n->in[i];
        if (v && p->left[v->id] && --p->left[v->id] == 0)
            forget_known(p, v);
    }
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_value *v = n->out[i];
        if (v && p->cst[v->id] && known_bytes(p->cst[v->id]) > FOLD_BYTES)
            p->left[v->id] = v->n_uses;
    }
}

static void keep_inputs(rt_planner *p, const rt_item *it)
{
    for (uint32_t i = 0; it->state == RT_DEFERRED && i < it->node->n_in; i++)
        if (it->node->in[i])
            p->mark[it->node->in[i]->id] |= RT_KEEP;
    for (uint32_t i = 0; i < it->n_captures; i++)
        p->mark[it->captures[i]->id] |= RT_KEEP;
}

/* Its memory, when the plan's steps have packed it. */
static bool drop_packed(rt_planner *p, uint32_t id)
{
    for (int layout = 0; layout < 2; layout++) {
        const uint32_t s = p->slot[layout][id];
        if (s && (p->slots[s].where != RT_CONST || p->slots[s].read))
            return false;
    }
    const uint32_t s = p->slot[0][id];
    if (!s)
        return true;
    pln_tensor *t = p->slots[s].desc;
    pln_buf_unref(t->buf);
    t->buf = NULL;
    t->data = NULL;
    return true;
}

void rt_drop_folded(rt_planner *p)
{
    for (size_t i = 0; i < p->n_items; i++)
        keep_inputs(p, &p->items[i]);
    for (size_t i = p->n_known; i-- > p->n_inherited;) {
        const rt_known k = p->known[i];
        if (!p->left[k.value] || (p->mark[k.value] & (RT_KEEP | RT_RESULT)) ||
            !drop_packed(p, k.value))
            continue;
        pln_tensor_unref(k.t);
        p->known[i] = p->known[--p->n_known];
    }
}

static pln_status fold(rt_planner *p, rt_item *it, pln_error *err)
{
    pln_node *n = it->node;
    const pln_tensor **in = PLN_NEW_ARRAY(p->tmp, const pln_tensor *, n->n_in + 1);
    pln_tensor **out = PLN_NEW_ARRAY(p->tmp, pln_tensor *, n->n_out + 1);
    if (!in || !out)
        return pln_oom(err);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *v = n->in[i];
        if (!v)
            continue;
        pln_tensor *t = p->cst[v->id];
        if (t && !(n->op->traits & PLN_OP_SHAPE_ONLY)) {
            for (size_t k = 0; k < t->n_items; k++)
                PLN_TRY(pln_tensor_materialize(t->items[k], err));
            PLN_TRY(pln_tensor_materialize(t, err));
        }
        if (!t)
            PLN_TRY(shape_desc(p, v, &t, err));
        in[i] = t;
    }
    pln_status st = rt_eval(p->s, n, it->attrs, in, it->infer.out, out, err);
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!out[i])
            continue;
        if (st == PLN_OK && n->out[i])
            st = keep_known(p, n->out[i], out[i], err);
        else
            pln_tensor_unref(out[i]);
    }
    if (st == PLN_OK)
        used_by_fold(p, n);
    return st;
}

/* Everything that the node and its bodies read is known in type. */
static bool inputs_known(rt_planner *p, const pln_node *n, const rt_item *it)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && !rt_type_is_known(rt_value_type(p, n->in[i])))
            return false;
    for (uint32_t i = 0; i < it->n_captures; i++)
        if (!rt_type_is_known(rt_value_type(p, it->captures[i])))
            return false;
    return true;
}

static bool outputs_known(const pln_node *n, const pln_infer *inf)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses && !rt_type_is_known(&inf->out[i]))
            return false;
    return true;
}

static pln_status try_fold(rt_planner *p, rt_item *it, bool *folded, pln_error *err)
{
    PLN_TRY(fold_view(p, it, folded, err));
    if (*folded || !can_fold(p, it->node, &it->infer))
        return PLN_OK;
    *folded = true;
    return fold(p, it, err);
}

static pln_status take_types(rt_planner *p, const pln_node *n, pln_infer *inf, bool all)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_value *v = n->out[i];
        if (!v)
            continue;
        p->sym[v->id] = inf->out_sym[i];
        if (all || rt_type_is_known(&inf->out[i]))
            p->type[v->id] = &inf->out[i];
    }
    return PLN_OK;
}

/* Constant nodes: their contents are the graph's. */
static bool is_constant(rt_planner *p, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!n->out[i] || !rt_value_const(n->out[i]))
            return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        p->mark[n->out[i]->id] &= (uint8_t)~RT_PENDING;
        rt_value_type(p, n->out[i]);
    }
    return n->n_out > 0;
}

/* Bodies are inferred with what may be unknown in them; nothing of it outlives the call.
 */
static pln_status infer_body_node(rt_planner *p, pln_node *n, pln_error *err)
{
    rt_item it = { 0 };
    if (!n->op || is_constant(p, n))
        return PLN_OK;
    PLN_TRY(infer_node(p, n, &it, err));
    bool folded = false;
    if (inputs_known(p, n, &it))
        PLN_TRY(try_fold(p, &it, &folded, err));
    return folded ? PLN_OK : take_types(p, n, &it.infer, true);
}

static void forget(rt_planner *p, const pln_value *v)
{
    p->type[v->id] = NULL;
    p->sym[v->id] = NULL;
    p->cst[v->id] = NULL;
    p->mark[v->id] |= RT_PENDING;
}

static pln_status infer_body(pln_infer *inf, const pln_graph *g, const pln_type *in,
                             uint32_t n_in, pln_type *out, uint32_t n_out, pln_error *err)
{
    rt_planner *p = inf->driver;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        forget(p, g->inputs[i]);
        if (i < n_in)
            p->type[g->inputs[i]->id] = &in[i];
    }
    for (const pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_out; i++)
            if (n->out[i])
                forget(p, n->out[i]);
    /* The branch that is not taken may contradict the shapes at hand. */
    for (pln_node *n = g->first; n; n = n->next) {
        const pln_status st = infer_body_node(p, n, err);
        if (st == PLN_E_NOMEM)
            return st;
        if (st != PLN_OK)
            pln_error_clear(err);
    }
    for (uint32_t i = 0; i < g->n_outputs && i < n_out; i++) {
        const pln_type *t = rt_value_type(p, g->outputs[i]);
        out[i] = t ? *t : pln_type_unknown();
    }
    return PLN_OK;
}

static pln_status plan_item(rt_planner *p, rt_item *it, pln_node *n, pln_error *err)
{
    it->node = n;
    it->state = RT_FOLDED;
    if (is_constant(p, n))
        return PLN_OK;
    it->state = RT_DEFERRED;
    if (rt_captures(p->tmp, n, &it->captures, &it->n_captures) != PLN_OK)
        return pln_oom(err);
    if (!inputs_known(p, n, it))
        return PLN_OK;
    PLN_TRY(infer_node(p, n, it, err));
    bool folded = false;
    PLN_TRY(try_fold(p, it, &folded, err));
    it->state = RT_FOLDED;
    if (folded)
        return PLN_OK;
    it->state = outputs_known(n, &it->infer) ? RT_STATIC : RT_BARRIER;
    return it->state == RT_STATIC ? take_types(p, n, &it->infer, false) : PLN_OK;
}

pln_status rt_plan_infer(rt_planner *p, pln_node *const *nodes, size_t n, pln_error *err)
{
    p->items = PLN_NEW_ARRAY(p->tmp, rt_item, n + 1);
    if (!p->items)
        return pln_oom(err);
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < nodes[i]->n_out; k++)
            if (nodes[i]->out[k])
                p->mark[nodes[i]->out[k]->id] |= RT_PENDING;
    for (size_t i = 0; i < n; i++)
        PLN_TRY(plan_item(p, &p->items[i], nodes[i], err));
    p->n_items = n;
    return PLN_OK;
}
