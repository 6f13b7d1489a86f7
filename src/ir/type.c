/* Types of values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/type.h"

#include <string.h>

#include "src/util/size.h"

/* Facts about element types, by pln_dtype. */
typedef struct dtype_info {
    const char *name; /* as ONNX's text form spells it */
    uint8_t size, bits;
    uint8_t is_float : 1, is_int : 1, is_signed : 1, is_complex : 1;
} dtype_info;

#define FLT .is_float = 1, .is_signed = 1
#define INT .is_int = 1, .is_signed = 1
#define UNS .is_int = 1
static const dtype_info infos[PLN_DT_COUNT] = {
    [PLN_DT_NONE] = { "undefined", 0, 0 },
    [PLN_DT_F32] = { "float", 4, 32, FLT },
    [PLN_DT_U8] = { "uint8", 1, 8, UNS },
    [PLN_DT_S8] = { "int8", 1, 8, INT },
    [PLN_DT_U16] = { "uint16", 2, 16, UNS },
    [PLN_DT_S16] = { "int16", 2, 16, INT },
    [PLN_DT_S32] = { "int32", 4, 32, INT },
    [PLN_DT_S64] = { "int64", 8, 64, INT },
    [PLN_DT_STRING] = { "string", sizeof(void *), 0 },
    [PLN_DT_BOOL] = { "bool", 1, 8 },
    [PLN_DT_F16] = { "float16", 2, 16, FLT },
    [PLN_DT_F64] = { "double", 8, 64, FLT },
    [PLN_DT_U32] = { "uint32", 4, 32, UNS },
    [PLN_DT_U64] = { "uint64", 8, 64, UNS },
    [PLN_DT_C64] = { "complex64", 8, 64, .is_signed = 1, .is_complex = 1 },
    [PLN_DT_C128] = { "complex128", 16, 128, .is_signed = 1, .is_complex = 1 },
    [PLN_DT_BF16] = { "bfloat16", 2, 16, FLT },
    [PLN_DT_F8E4M3FN] = { "float8e4m3fn", 1, 8, FLT },
    [PLN_DT_F8E4M3FNUZ] = { "float8e4m3fnuz", 1, 8, FLT },
    [PLN_DT_F8E5M2] = { "float8e5m2", 1, 8, FLT },
    [PLN_DT_F8E5M2FNUZ] = { "float8e5m2fnuz", 1, 8, FLT },
    [PLN_DT_U4] = { "uint4", 1, 4, UNS },
    [PLN_DT_S4] = { "int4", 1, 4, INT },
    [PLN_DT_F4E2M1] = { "float4e2m1", 1, 4, FLT },
    [PLN_DT_F8E8M0] = { "float8e8m0", 1, 8, .is_float = 1 },
    [PLN_DT_U2] = { "uint2", 1, 2, UNS },
    [PLN_DT_S2] = { "int2", 1, 2, INT },
    [PLN_DT_F6E2M3] = { "float6e2m3", 1, 6, FLT },
    [PLN_DT_F6E3M2] = { "float6e3m2", 1, 6, FLT },
};

static const dtype_info *info(pln_dtype dt)
{
    return &infos[(unsigned)dt < PLN_DT_COUNT ? dt : PLN_DT_NONE];
}

PLN_API const char *pln_dtype_name(pln_dtype dt)
{
    return info(dt)->name;
}

PLN_API size_t pln_dtype_size(pln_dtype dt)
{
    return info(dt)->size;
}

bool pln_dtype_is_float(pln_dtype dt)
{
    return info(dt)->is_float;
}

bool pln_dtype_is_integer(pln_dtype dt)
{
    return info(dt)->is_int;
}

bool pln_dtype_is_signed(pln_dtype dt)
{
    return info(dt)->is_signed;
}

bool pln_dtype_is_complex(pln_dtype dt)
{
    return info(dt)->is_complex;
}

unsigned pln_dtype_bits(pln_dtype dt)
{
    return info(dt)->bits;
}

pln_dtype pln_dtype_from_name(const char *name, size_t len)
{
    for (int i = 1; i < PLN_DT_COUNT; i++)
        if (strlen(infos[i].name) == len && !memcmp(infos[i].name, name, len))
            return (pln_dtype)i;
    return PLN_DT_NONE;
}

pln_type pln_type_unknown(void)
{
    return (pln_type){ .shape = pln_shape_unknown() };
}

pln_type pln_type_tensor(pln_dtype dt, pln_shape shape)
{
    return (pln_type){ .kind = PLN_KIND_TENSOR, .dtype = dt, .shape = shape };
}

pln_shape pln_shape_unknown(void)
{
    return (pln_shape){ .rank = PLN_RANK_UNKNOWN };
}

pln_shape pln_shape_new(pln_arena *arena, int rank)
{
    if (rank < 0 || rank > PLN_MAX_RANK)
        return pln_shape_unknown();
    pln_dim *dims = PLN_NEW_ARRAY(arena, pln_dim, rank);
    return dims ? (pln_shape){ .rank = rank, .dims = dims } : pln_shape_unknown();
}

pln_shape pln_shape_of(pln_arena *arena, int rank, const int64_t *dims)
{
    pln_shape s = pln_shape_new(arena, rank);
    for (int i = 0; i < s.rank; i++)
        s.dims[i] = dims[i] < 0 ? pln_dim_unknown() : pln_dim_of(dims[i]);
    return s;
}

pln_shape pln_shape_dup(pln_arena *arena, pln_shape s)
{
    pln_shape d = pln_shape_new(arena, s.rank);
    if (d.rank > 0)
        memcpy(d.dims, s.dims, (size_t)d.rank * sizeof *d.dims);
    return d;
}

bool pln_shape_is_static(pln_shape s)
{
    for (int i = 0; i < s.rank; i++)
        if (!pln_dim_is_known(s.dims[i]))
            return false;
    return s.rank >= 0;
}

bool pln_shape_equal(pln_shape a, pln_shape b)
{
    if (a.rank < 0 || a.rank != b.rank)
        return false;
    for (int i = 0; i < a.rank; i++)
        if (!pln_dim_equal(a.dims[i], b.dims[i]))
            return false;
    return true;
}

pln_dim pln_shape_count(pln_syms *syms, pln_shape s)
{
    if (s.rank < 0)
        return pln_dim_unknown();
    pln_dim n = pln_dim_of(1);
    for (int i = 0; i < s.rank; i++)
        if (pln_dim_is(s.dims[i], 0))
            return pln_dim_of(0);
    for (int i = 0; i < s.rank; i++) {
        if (pln_dim_is_known(n) && pln_dim_is_known(s.dims[i])) {
            if (!pln_i64_mul(&n.value, n.value, s.dims[i].value))
                return pln_dim_unknown();
        } else {
            n = pln_dim_mul(syms, n, s.dims[i]);
        }
    }
    return n;
}

static void merge_dim(pln_dim *a, pln_dim b, bool *conflict)
{
    if (pln_dim_is_unknown(b) || pln_dim_equal(*a, b))
        return;
    if (pln_dim_is_known(*a)) {
        if (pln_dim_is_known(b) && conflict)
            *conflict = true;
        return;
    }
    if (pln_dim_is_known(b) || pln_dim_is_unknown(*a))
        *a = b;
}

static void merge_shape(pln_arena *arena, pln_type *a, const pln_type *b, bool *conflict)
{
    if (b->shape.rank < 0)
        return;
    if (a->shape.rank < 0) {
        a->shape = pln_shape_dup(arena, b->shape);
        return;
    }
    if (a->shape.rank != b->shape.rank) {
        if (conflict)
            *conflict = true;
        return;
    }
    a->shape = pln_shape_dup(arena, a->shape); /* shapes may be shared */
    for (int i = 0; i < a->shape.rank; i++)
        merge_dim(&a->shape.dims[i], b->shape.dims[i], conflict);
}

void pln_type_merge(pln_arena *arena, pln_type *a, const pln_type *b, bool *conflict)
{
    if (b->kind == PLN_KIND_NONE)
        return;
    if (a->kind == PLN_KIND_NONE) {
        const char *denotation = a->denotation;
        *a = pln_type_dup(arena, b);
        a->denotation = denotation;
        return;
    }
    if (a->kind != b->kind || (a->dtype && b->dtype && a->dtype != b->dtype)) {
        if (conflict)
            *conflict = true;
        return;
    }
    if (!a->dtype)
        a->dtype = b->dtype;
    merge_shape(arena, a, b, conflict);
    if (!b->elem)
        return;
    pln_type elem = a->elem ? *a->elem : pln_type_unknown();
    pln_type_merge(arena, &elem, b->elem, conflict);
    a->elem = pln_arena_dup(arena, &elem, sizeof elem);
}

pln_type pln_type_dup(pln_arena *arena, const pln_type *t)
{
    pln_type d = *t;
    d.shape = pln_shape_dup(arena, t->shape);
    if (t->elem) {
        const pln_type elem = pln_type_dup(arena, t->elem);
        d.elem = pln_arena_dup(arena, &elem, sizeof elem);
    }
    return d;
}

bool pln_type_equal(const pln_type *a, const pln_type *b)
{
    if (a->kind != b->kind || a->dtype != b->dtype || !a->elem != !b->elem)
        return false;
    if (a->kind == PLN_KIND_TENSOR || a->kind == PLN_KIND_SPARSE) {
        if (a->shape.rank < 0 && b->shape.rank < 0)
            return true;
        return pln_shape_equal(a->shape, b->shape);
    }
    return !a->elem || pln_type_equal(a->elem, b->elem);
}

static void print_tensor(pln_text *out, const pln_type *t)
{
    pln_text_str(out, t->dtype ? pln_dtype_name(t->dtype) : "?");
    if (t->shape.rank == 0)
        return;
    pln_text_put(out, "[", 1);
    for (int i = 0; i < t->shape.rank; i++) {
        if (i)
            pln_text_put(out, ",", 1);
        pln_dim_print(out, t->shape.dims[i]);
    }
    pln_text_put(out, "]", 1);
}

void pln_type_print(pln_text *out, const pln_type *t)
{
    static const char *const kinds[] = {
        [PLN_KIND_SEQUENCE] = "seq(", [PLN_KIND_OPTIONAL] = "optional(",
        [PLN_KIND_SPARSE] = "sparse_tensor(",
    };
    const pln_type unknown = pln_type_unknown();
    const pln_type *elem = t->elem ? t->elem : &unknown;
    switch (t->kind) {
    case PLN_KIND_NONE:
        pln_text_str(out, "?");
        break;
    case PLN_KIND_TENSOR:
        print_tensor(out, t);
        break;
    case PLN_KIND_MAP:
        pln_text_printf(out, "map(%s,", pln_dtype_name(t->dtype));
        pln_type_print(out, elem);
        pln_text_put(out, ")", 1);
        break;
    case PLN_KIND_SPARSE:
        pln_text_str(out, kinds[t->kind]);
        print_tensor(out, t);
        pln_text_put(out, ")", 1);
        break;
    default:
        pln_text_str(out, kinds[t->kind]);
        pln_type_print(out, elem);
        pln_text_put(out, ")", 1);
    }
}

static const char *dtype_or_unknown(pln_dtype dt)
{
    return dt == PLN_DT_NONE ? "?" : pln_dtype_name(dt);
}

void pln_type_spell(pln_text *out, const pln_type *t)
{
    const pln_type unknown = pln_type_unknown();
    const pln_type *elem = t->elem ? t->elem : &unknown;
    switch (t->kind) {
    case PLN_KIND_NONE:
        pln_text_str(out, "?");
        return;
    case PLN_KIND_TENSOR:
    case PLN_KIND_SPARSE:
        pln_text_printf(out, "%s(%s)",
                        t->kind == PLN_KIND_SPARSE ? "sparse_tensor" : "tensor",
                        dtype_or_unknown(t->dtype));
        return;
    case PLN_KIND_MAP:
        pln_text_printf(out, "map(%s,", dtype_or_unknown(t->dtype));
        break;
    case PLN_KIND_SEQUENCE:
        pln_text_str(out, "seq(");
        break;
    case PLN_KIND_OPTIONAL:
        pln_text_str(out, "optional(");
        break;
    }
    pln_type_spell(out, elem);
    pln_text_str(out, ")");
}

const char *pln_type_name(const pln_allocator *a, pln_arena *arena, const pln_type *t)
{
    pln_text text;
    pln_text_init(&text, a);
    pln_type_spell(&text, t);
    const char *s = text.failed ? NULL : pln_arena_str(arena, text.data, text.len);
    pln_text_done(&text);
    return s;
}
