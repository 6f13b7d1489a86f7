/* transpose: where in the graph tensors are transposed. Operators that only care for axes
 * can work before a Transpose as well as behind it, with other axes. For all of those
 * around a Transpose at once, the pass finds the places where the fewest Transposes are
 * needed, and of as many those of the smallest tensors: a minimal cut. Where it makes no
 * difference they go as far down as they can, where they meet the next product or
 * Transpose.
 *
 *     Relu(Transpose(x)) => Transpose(Relu(x))
 *     Transpose<perm=[0, 3, 1, 2]>(Add(Transpose<perm=[0, 2, 3, 1]>(x), c)) => Add(x, c')
 *     ArgMax<axis=3, keepdims=0>(Transpose<perm=[0, 2, 3, 1]>(x)) => ArgMax<axis=1>(x)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/layout.h"
#include "passes/qdq_unit.h"

#include <math.h>
#include <string.h>

#include "src/util/map.h"

#define MAX_NODES   48 /* that may move at once */
#define MAX_MEMBERS 512
#define UNIT        (INT64_C(1) << 22) /* a Transpose */
#define SIZE_UNIT   8192.0             /* twice as many elements */
#define UNKNOWN_DIM 16

#define FIXED UINT32_MAX

/* A value, and on which side of its layer. */
typedef struct member {
    pln_value *v;
    uint32_t layer;
    uint8_t side;
    bool converted; /* a Transpose makes it of another one of its layer */
} member;

/* The same elements on both sides. */
typedef struct layer {
    pln_axmap to1; /* axes of side 0 to those of side 1 */
    bool merged;   /* into another one */
    uint32_t base; /* the member that no Transpose makes */
    uint32_t maker; /* of the mobile nodes; FIXED */
    int64_t cost;
    pln_value *now[2]; /* while the patch is built */
    /* before which what needs them may stand; NULL: where it is defined */
    pln_node *place[2];
    bool was_there[2];
} layer;

typedef struct mobile {
    pln_follow f;
    uint8_t side, to, liked;
    bool stays; /* its values contradict each other */
    bool was_asked, follows_product;
} mobile;

typedef struct region {
    pln_pass_ctx *ctx;
    pln_graph *g;
    pln_map by_value, by_node; /* to 1 + index */
    pln_map place_of;          /* nodes, to where they stand in the graph */
    member m[MAX_MEMBERS];
    layer l[MAX_MEMBERS];
    mobile n[MAX_NODES];
    uint32_t n_members, n_layers, n_nodes;
    bool failed; /* no memory */
} region;

/* ---- what belongs together ------------------------------------------------------- */

static pln_axmap map_from(const layer *l, int side)
{
    return side == 0 ? l->to1 : pln_axmap_inverse(&l->to1);
}

static member *member_of(region *r, const pln_value *v)
{
    const uintptr_t i = (uintptr_t)pln_map_get(&r->by_value, v);
    return i ? &r->m[i - 1] : NULL;
}

static mobile *mobile_of(region *r, const pln_node *n)
{
    const uintptr_t i = (uintptr_t)pln_map_get(&r->by_node, n);
    return i ? &r->n[i - 1] : NULL;
}

static bool add_member(region *r, pln_value *v, uint32_t at, int side, bool converted)
{
    if (r->n_members == MAX_MEMBERS)
        return false;
    r->m[r->n_members] = (member){ v, at, (uint8_t)side, converted };
    r->failed |= !pln_map_put(&r->by_value, v, (void *)(uintptr_t)++r->n_members);
    return !r->failed;
}

static bool add_layer(region *r, pln_value *v, int side, const pln_axmap *from)
{
    if (r->n_layers == MAX_MEMBERS)
        return false;
    r->l[r->n_layers] =
        (layer){ .to1 = side == 0 ? *from : pln_axmap_inverse(from), .maker = FIXED };
    return add_member(r, v, r->n_layers++, side, false);
}

/* How a Transpose lays the axes of its input. */
static bool map_of(const pln_node *t, pln_axmap *out)
{
    int64_t perm[PLN_MAX_RANK];
    if (!pln_node_is(t, "Transpose") || !t->in[0] || !t->out[0] ||
        !pln_perm_of(t, perm, &out->rank))
        return false;
    for (int i = 0; i < out->rank; i++)
        out->to[perm[i]] = (int8_t)i;
    return true;
}

static void merge_layers(region *r, uint32_t into, uint32_t from)
{
    for (uint32_t i = 0; i < r->n_members; i++)
        if (r->m[i].layer == from)
            r->m[i].layer = into;
    r->l[from].merged = true;
}

/* Transpose t leads from `v` or to it, to or from `other`; is it one of the layer? */
static bool converts(region *r, const member *m, const pln_node *t, bool reads,
                     pln_value *other)
{
    pln_axmap map, want = map_from(&r->l[m->layer], m->side);
    if (!map_of(t, &map))
        return false;
    if (!reads)
        map = pln_axmap_inverse(&map);
    if (!pln_axmap_equal(&map, &want))
        return false;
    member *there = member_of(r, other);
    const uint32_t at = m->layer;
    if (!there)
        return add_member(r, other, at, 1 - m->side, reads);
    const pln_axmap has = map_from(&r->l[there->layer], 0), mine = map_from(&r->l[at], 0);
    if (there->side == m->side || !pln_axmap_equal(&has, &mine))
        return false;
    if (there->layer != at)
        merge_layers(r, at, there->layer);
    there->converted |= reads;
    return true;
}

/* What is known of v agrees. */
static bool agrees(region *r, const pln_value *v, int side, const pln_axmap *map)
{
    const member *m = member_of(r, v);
    if (!m)
        return true;
    const pln_axmap has = map_from(&r->l[m->layer], m->side);
    return m->side == side && pln_axmap_equal(&has, map);
}

static bool all_agree(region *r, const pln_follow *f, int side)
{
    for (uint32_t i = 0; i < f->n->n_in; i++)
        if (f->in[i].rank >= 0 && !agrees(r, f->n->in[i], side, &f->in[i]))
            return false;
    for (uint32_t i = 0; i < f->n->n_out; i++)
        if (f->out[i].rank >= 0 && !agrees(r, f->n->out[i], side, &f->out[i]))
            return false;
    return true;
}

static void enter(region *r, pln_value *v, int side, const pln_axmap *map)
{
    if (map->rank >= 0 && !member_of(r, v) && !add_layer(r, v, side, map))
        r->failed |= r->n_members < MAX_MEMBERS;
}

/* Node n, of which v is a value, might work on the other side. */
static void try_node(region *r, const member *m, pln_node *n, bool from_input,
                     uint32_t slot)
{
    pln_follow f;
    const int side = m->side;
    const pln_axmap map = map_from(&r->l[m->layer], side);
    if (mobile_of(r, n) || r->n_nodes == MAX_NODES ||
        r->n_members + n->n_in + n->n_out > MAX_MEMBERS)
        return;
    if (!pln_follow_trace(&f, n, from_input, slot, &map, r->ctx->scratch) ||
        !all_agree(r, &f, side))
        return;
    r->n[r->n_nodes] = (mobile){ .f = f, .side = (uint8_t)side, .to = (uint8_t)side };
    r->failed |= !pln_map_put(&r->by_node, n, (void *)(uintptr_t)++r->n_nodes);
    for (uint32_t i = 0; i < n->n_in; i++)
        enter(r, n->in[i], side, &f.in[i]);
    for (uint32_t i = 0; i < n->n_out; i++)
        enter(r, n->out[i], side, &f.out[i]);
}

static void look_around(region *r, uint32_t i)
{
    pln_value *v = r->m[i].v;
    if (pln_axmap_is_identity(&r->l[r->m[i].layer].to1))
        return; /* the same on both sides: whoever reads it stands well */
    for (const pln_use *u = v->uses; u && !r->failed; u = u->next) {
        pln_node *n = u->node;
        if (!n || n->graph != r->g)
            continue;
        if (!converts(r, &r->m[i], n, true, n->out[0]))
            try_node(r, &r->m[i], n, true, u->slot);
    }
    if (!v->def || v->graph != r->g)
        return;
    if (pln_node_is(v->def, "Transpose") && v->def->in[0])
        r->m[i].converted |= converts(r, &r->m[i], v->def, false, v->def->in[0]);
    else
        try_node(r, &r->m[i], v->def, false, v->slot);
}

static void collect(region *r, pln_node *t)
{
    pln_axmap map;
    if (!map_of(t, &map) || !add_layer(r, t->in[0], 0, &map))
        return;
    for (uint32_t i = 0; i < r->n_members && !r->failed; i++)
        look_around(r, i);
}

/* ---- who stands where ------------------------------------------------------------ */

static bool has_layout(const mobile *n, const pln_use *u)
{
    return u->slot < n->f.n->n_in && n->f.in[u->slot].rank >= 0;
}

/* The node whose use this is, if it may move. */
static mobile *mover(region *r, const pln_use *u)
{
    mobile *n = u->node ? mobile_of(r, u->node) : NULL;
    return n && !n->stays && has_layout(n, u) ? n : NULL;
}

/* A Transpose between two members of one layer. */
static bool is_conversion(region *r, const pln_use *u)
{
    const member *from = member_of(r, u->value);
    const member *to = u->node && u->node->n_out && u->node->out[0]
                           ? member_of(r, u->node->out[0])
                           : NULL;
    return from && to && from->layer == to->layer && pln_node_is(u->node, "Transpose") &&
           to->converted;
}

/* A product that takes a Transpose of the last two axes into itself. */
static bool is_free(region *r, const pln_use *u)
{
    const member *m = member_of(r, u->value);
    const pln_axmap *map = &r->l[m->layer].to1;
    const int last = map->rank - 1;
    if (r->ctx->options->target == PLN_TARGET_ONNX || !u->node ||
        !pln_node_is(u->node, "MatMul") || last < 1)
        return false;
    for (int i = 0; i < last - 1; i++)
        if (map->to[i] != i)
            return false;
    return map->to[last] == last - 1;
}

static bool is_read_at_a_price(region *r, const member *m)
{
    for (const pln_use *u = m->v->uses; u; u = u->next)
        if (!is_free(r, u))
            return true;
    return false;
}

static int64_t cost_of(const pln_value *v)
{
    double log = 0;
    for (int i = 0; i < pln_value_rank(v); i++) {
        const pln_dim d = v->type.shape.dims[i];
        const double n = pln_dim_is_known(d) ? (double)d.value : UNKNOWN_DIM;
        log += n > 1 ? log2(n) : 0;
    }
    return UNIT + (int64_t)(log * SIZE_UNIT);
}

/* A small quantized constant, which is transposed before it is widened. */
static bool is_widened_constant(const pln_value *v)
{
    const pln_node *n = v->def;
    return n && pln_node_is(n, "DequantizeLinear") && v->n_uses == 1 &&
           !pln_value_is_output(v) && pln_value_is_const(n->in[0]) &&
           pln_value_count(n->in[0]) <= PLN_FOLLOW_MAX_CONST &&
           pln_is_one_number(n->in[1]);
}

static void settle(region *r)
{
    for (uint32_t i = 0; i < r->n_nodes; i++)
        r->n[i].stays = !all_agree(r, &r->n[i].f, r->n[i].side);
    for (uint32_t i = 0; i < r->n_members; i++) {
        layer *l = &r->l[r->m[i].layer];
        if (r->m[i].converted)
            continue;
        const mobile *n = r->m[i].v->def ? mobile_of(r, r->m[i].v->def) : NULL;
        l->base = i;
        l->maker = n && !n->stays ? (uint32_t)(n - r->n) : FIXED;
        l->cost = pln_axmap_is_identity(&l->to1) || is_widened_constant(r->m[i].v)
                      ? 0
                      : cost_of(r->m[i].v);
    }
}

/* A product takes the factor before it, but not through a Transpose. */
static bool is_factor_of_product(const pln_node *n)
{
    double v;
    const pln_node *user = pln_value_only_user(n->out[0]);
    if (!user || !pln_node_is(user, "MatMul") || n->n_in != 2)
        return false;
    return pln_value_is_splat(n->in[0], &v) || pln_value_is_splat(n->in[1], &v);
}

/* Products take what follows them into themselves, if no Transpose is between. */
static bool is_product(const pln_node *n)
{
    static const char *const ops[] = { "Conv", "ConvTranspose", "MatMul", "Gemm" };
    for (size_t i = 0; n && i < sizeof ops / sizeof ops[0]; i++)
        if (pln_node_is(n, ops[i]))
            return true;
    return false;
}

static void ask(region *r, mobile *n);

/* Where input i is made; *strong: it is the result of a product, or of what follows
 * one. */
static int side_of_input(region *r, const mobile *n, uint32_t i, bool *strong)
{
    const pln_value *v = n->f.n->in[i];
    const layer *l = &r->l[member_of(r, v)->layer];
    const member *base = &r->m[l->base];
    if (l->maker == FIXED) {
        *strong = base->v->n_uses == 1 && is_product(base->v->def);
        return base->side;
    }
    mobile *maker = &r->n[l->maker];
    ask(r, maker);
    *strong = maker->follows_product && v->n_uses == 1;
    return maker->liked;
}

/* Where it would like to stand if it makes no difference. */
static void ask(region *r, mobile *n)
{
    if (n->was_asked)
        return;
    n->was_asked = true; /* there are no cycles, but in files that are wrong */
    n->liked = n->side;
    if (n->stays || !(n->f.op->flags & PLN_FOLLOW_SINKS) || is_factor_of_product(n->f.n))
        return;
    bool first = true;
    for (uint32_t i = 0; i < n->f.n->n_in && !n->follows_product; i++) {
        if (n->f.in[i].rank < 0)
            continue;
        const int side = side_of_input(r, n, i, &n->follows_product);
        if (first || n->follows_product)
            n->liked = (uint8_t)side;
        first = false;
    }
}

/* ---- what it costs --------------------------------------------------------------- */

static int stands(const mobile *n, bool planned)
{
    return planned ? n->to : n->side;
}

static int made_on(const region *r, const layer *l, bool planned)
{
    return l->maker == FIXED ? r->m[l->base].side : stands(&r->n[l->maker], planned);
}

static bool is_needed_on(region *r, uint32_t at, int side, bool planned)
{
    for (uint32_t i = 0; i < r->n_members; i++) {
        if (r->m[i].layer != at)
            continue;
        for (const pln_use *u = r->m[i].v->uses; u; u = u->next) {
            const mobile *n = mover(r, u);
            if (n ? stands(n, planned) == side
                  : r->m[i].side == side && !is_conversion(r, u) && !is_free(r, u))
                return true;
        }
    }
    return false;
}

/* Transposes that are there, and that a plan needs. */
static int64_t cost_of_layer(region *r, uint32_t i, bool planned)
{
    int64_t sum = 0;
    const layer *l = &r->l[i];
    if (planned)
        return is_needed_on(r, i, 1 - made_on(r, l, true), true) ? l->cost : 0;
    for (uint32_t k = 0; k < r->n_members; k++)
        if (r->m[k].layer == i && r->m[k].converted && is_read_at_a_price(r, &r->m[k]))
            sum += l->cost;
    return sum;
}

static int64_t total_cost(region *r, bool planned)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < r->n_layers; i++)
        sum += r->l[i].merged ? 0 : cost_of_layer(r, i, planned);
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        sum += stands(&r->n[i], planned) != r->n[i].liked;
        if (stands(&r->n[i], planned) != r->n[i].side)
            sum += r->n[i].f.n_reshaped * UNIT;
    }
    return sum;
}

static void add_user(pln_cut_net *c, uint32_t user, uint32_t e, uint32_t f)
{
    if (user != 0)
        pln_cut_net_add(c, e, user, PLN_CUT_NEVER);
    if (user != 1)
        pln_cut_net_add(c, user, f, PLN_CUT_NEVER);
}

static void add_layer_arcs(region *r, pln_cut_net *c, uint32_t at)
{
    const layer *l = &r->l[at];
    const uint32_t maker = l->maker == FIXED ? r->m[l->base].side : 2 + l->maker;
    const uint32_t e = 2 + r->n_nodes + 2 * at, f = e + 1;
    if (maker != 1)
        pln_cut_net_add(c, maker, e, l->cost);
    if (maker != 0)
        pln_cut_net_add(c, f, maker, l->cost);
    for (uint32_t i = 0; i < r->n_members; i++) {
        if (r->m[i].layer != at)
            continue;
        for (const pln_use *u = r->m[i].v->uses; u; u = u->next) {
            const mobile *n = mover(r, u);
            if (n)
                add_user(c, 2 + (uint32_t)(n - r->n), e, f);
            else if (!is_conversion(r, u) && !is_free(r, u))
                add_user(c, r->m[i].side, e, f);
        }
    }
}

static void add_wish(pln_cut_net *c, uint32_t node, int side, int64_t cost)
{
    if (side == 0)
        pln_cut_net_add(c, 0, node, cost);
    else
        pln_cut_net_add(c, node, 1, cost);
}

static bool plan(region *r)
{
    uint32_t n_uses = 0;
    for (uint32_t i = 0; i < r->n_members; i++)
        n_uses += r->m[i].v->n_uses;
    const uint32_t n = 2 + r->n_nodes + 2 * r->n_layers;
    pln_cut_net *c = pln_cut_net_new(r->ctx->scratch, n,
                                     2 * n_uses + 2 * r->n_layers + 2 * r->n_nodes + 2);
    bool *side = PLN_NEW_ARRAY(r->ctx->scratch, bool, n);
    if (!c || !side) {
        r->failed = true;
        return false;
    }
    for (uint32_t i = 0; i < r->n_layers; i++)
        if (!r->l[i].merged)
            add_layer_arcs(r, c, i);
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        add_wish(c, 2 + i, r->n[i].liked, 1);
        if (r->n[i].f.n_reshaped)
            add_wish(c, 2 + i, r->n[i].side, r->n[i].f.n_reshaped * UNIT);
        if (r->n[i].stays)
            add_wish(c, 2 + i, r->n[i].side, PLN_CUT_NEVER);
    }
    pln_cut_net_solve(c, side);
    for (uint32_t i = 0; i < r->n_nodes; i++)
        r->n[i].to = r->n[i].stays ? r->n[i].side : side[2 + i];
    return total_cost(r, true) < total_cost(r, false);
}

/* ---- doing it -------------------------------------------------------------------- */

static uintptr_t place_of(const region *r, const pln_node *n)
{
    return n ? (uintptr_t)pln_map_get(&r->place_of, n) : 0;
}

/* What lies on that side, for `user` and whoever comes after it. */
static pln_value *on_side(region *r, pln_patch *p, layer *l, int side,
                          const pln_node *user)
{
    int64_t perm[PLN_MAX_RANK];
    if (l->now[side] &&
        (!l->was_there[side] || place_of(r, l->now[side]->def) <= place_of(r, user)))
        return l->now[side];
    pln_value *from = l->now[1 - side];
    if (!from)
        return NULL;
    const pln_axmap map = map_from(l, 1 - side);
    if (pln_axmap_is_identity(&map))
        return from;
    for (int i = 0; i < map.rank; i++)
        perm[map.to[i]] = i;
    pln_node *place = l->place[1 - side];
    if (!place)
        place = from->def && from->graph == r->g ? from->def->next : r->g->first;
    p->before = place;
    l->was_there[side] = false;
    return l->now[side] = pln_patch_transpose(p, from, perm, map.rank);
}

/* What is there already, of values that nodes make which don't move. */
static void begin_layers(region *r)
{
    for (uint32_t i = 0; i < r->n_layers; i++) {
        layer *l = &r->l[i];
        if (l->merged || (l->maker != FIXED && r->n[l->maker].to != r->n[l->maker].side))
            continue;
        const member *base = &r->m[l->base];
        const int other = 1 - base->side;
        l->now[base->side] = base->v;
        for (uint32_t k = 0; k < r->n_members; k++) {
            pln_value *v = r->m[k].v;
            if (r->m[k].layer != i || !r->m[k].converted || r->m[k].side == base->side ||
                v->def->in[0] != base->v)
                continue;
            if (l->now[other] && place_of(r, l->now[other]->def) < place_of(r, v->def))
                continue;
            l->now[other] = v;
            l->was_there[other] = true;
        }
    }
}

static void take_type(pln_model *m, const pln_value *old, const pln_axmap *map,
                      pln_value *to)
{
    to->type.kind = old->type.kind;
    to->type.dtype = old->type.dtype;
    if (pln_value_rank(old) != map->rank)
        return;
    to->type.shape = pln_shape_dup(m->arena, old->type.shape);
    for (int i = 0; i < map->rank && to->type.shape.rank == map->rank; i++)
        ((pln_dim *)(uintptr_t)to->type.shape.dims)[map->to[i]] =
            old->type.shape.dims[i];
}

static bool move(region *r, pln_patch *p, mobile *n)
{
    pln_value *in[64] = { NULL };
    pln_node *old = n->f.n;
    if (old->n_in > 60)
        return false;
    for (uint32_t i = 0; i < old->n_in; i++)
        if (n->f.in[i].rank >= 0 &&
            !(in[i] = on_side(r, p, &r->l[member_of(r, old->in[i])->layer], n->to, old)))
            return false;
    p->before = old;
    pln_node *copy = pln_follow_emit(p, &n->f, in);
    if (!copy)
        return false;
    for (uint32_t i = 0; i < old->n_out; i++) {
        layer *l = &r->l[member_of(r, old->out[i])->layer];
        l->now[n->to] = copy->out[i];
        l->place[n->to] = old;
        take_type(r->g->model, old->out[i], &n->f.out[i], copy->out[i]);
    }
    return true;
}

/* Somebody reads it who stays where he is. */
static bool is_read_here(region *r, const member *m)
{
    for (const pln_use *u = m->v->uses; u; u = u->next) {
        const mobile *n = mover(r, u);
        if (n ? n->to == n->side : !is_conversion(r, u))
            return true;
    }
    return false;
}

static bool replace(region *r, pln_patch *p, const member *m)
{
    if (!is_read_here(r, m))
        return true;
    pln_value *with = on_side(r, p, &r->l[m->layer], m->side, m->v->def);
    if (!with || with == m->v)
        return with != NULL;
    if (pln_value_is_output(m->v) && (with->kind != PLN_VALUE_NODE ||
                                      with->graph != r->g || pln_value_is_output(with))) {
        p->before = m->v->def;
        with = pln_patch_op1(p, "Identity", with);
    }
    if (!with || p->n_replaced == PLN_PATCH_MAX)
        return false;
    pln_patch_replace_proven(p, m->v, with);
    return true;
}

/* In the order of the graph, so that nodes go from behind. */
static bool fill(region *r, pln_patch *p)
{
    uintptr_t at = 0;
    for (const pln_node *n = r->g->first; n; n = n->next)
        r->failed |= !pln_map_put(&r->place_of, n, (void *)++at);
    if (r->failed)
        return false;
    begin_layers(r);
    for (pln_node *n = r->g->first, *next; n; n = next) {
        mobile *m = mobile_of(r, n);
        next = n->next;
        if (m && m->to != m->side && !move(r, p, m))
            return false;
    }
    for (pln_node *n = r->g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_out; i++) {
            const member *m = n->out[i] ? member_of(r, n->out[i]) : NULL;
            if (m && !replace(r, p, m))
                return false;
        }
    return true;
}

static pln_status rearrange(region *r, pln_node *t, bool *done, pln_error *err)
{
    pln_patch p;
    char why[256] = "";
    pln_patch_begin(&p, r->ctx, t);
    if (!fill(r, &p) && p.failed == PLN_OK)
        p.failed = PLN_E_UNSUPPORTED;
    p.before = t;
    const pln_status st =
        pln_patch_commit(&p, NULL, t, NULL, NULL, why, sizeof why, err);
    *done = st == PLN_OK;
    if (st == PLN_E_UNSUPPORTED && why[0])
        pln_pass_explain(r->ctx, t, NULL, why);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
}

/* ---- the pass -------------------------------------------------------------------- */

static pln_status mark_seen(region *r, pln_map *seen, pln_error *err)
{
    for (uint32_t i = 0; i < r->n_members; i++)
        if (r->m[i].converted &&
            !pln_map_put(seen, r->m[i].v->def, (void *)(uintptr_t)1))
            return pln_oom(err);
    return PLN_OK;
}

static pln_status visit(pln_pass_ctx *ctx, pln_node *t, pln_map *seen, bool *done,
                        pln_error *err)
{
    region *r = PLN_NEW(ctx->scratch, region);
    *done = false;
    if (!r || !pln_map_put(seen, t, (void *)(uintptr_t)1))
        return pln_oom(err);
    *r = (region){ .ctx = ctx, .g = t->graph };
    pln_map_init(&r->by_value, ctx->model->alloc);
    pln_map_init(&r->by_node, ctx->model->alloc);
    pln_map_init(&r->place_of, ctx->model->alloc);
    collect(r, t);
    pln_status st = PLN_OK;
    if (!r->failed) {
        settle(r);
        for (uint32_t i = 0; i < r->n_nodes; i++)
            ask(r, &r->n[i]);
        if (plan(r))
            st = rearrange(r, t, done, err);
        else
            st = mark_seen(r, seen, err);
    }
    if (r->failed)
        st = pln_oom(err);
    pln_map_done(&r->by_value);
    pln_map_done(&r->by_node);
    pln_map_done(&r->place_of);
    return st;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    pln_map seen;
    pln_status st = PLN_OK;
    uint32_t left = g->n_nodes + 1; /* never reached: each time some are saved */
    pln_map_init(&seen, ctx->model->alloc);
    for (pln_node *n = g->first; n && st == PLN_OK && left;) {
        bool done = false;
        if (pln_node_is(n, "Transpose") && !pln_map_get(&seen, n))
            st = visit(ctx, n, &seen, &done, err);
        left -= done;
        n = done ? g->first : n->next;
    }
    pln_map_done(&seen);
    return st;
}

const pln_pass pln_pass_transpose = {
    .name = "transpose",
    .brief = "finds the places where the fewest Transposes are needed",
    .run = run,
    .contract = PLN_REASSOC,
};
