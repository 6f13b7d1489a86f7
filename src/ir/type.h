/* Types of values: kind, element type, shape.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_TYPE_H
#define PLN_IR_TYPE_H

#include "src/ir/dim.h"

#define PLN_MAX_RANK     24   /* more is refused with PLN_E_LIMIT */
#define PLN_RANK_UNKNOWN (-1)

typedef struct pln_shape {
    int rank; /* PLN_RANK_UNKNOWN: dims is NULL */
    pln_dim *dims;
} pln_shape;

typedef struct pln_type {
    pln_kind kind;   /* NONE: nothing is known */
    pln_dtype dtype; /* of a tensor's elements, of a map's keys; NONE: unknown */
    pln_shape shape; /* of tensors */
    const struct pln_type *elem; /* of a sequence, an optional; values of a map */
    const char *denotation;      /* kept for writing; NULL */
} pln_type;

pln_type pln_type_unknown(void);
pln_type pln_type_tensor(pln_dtype dt, pln_shape shape);
pln_shape pln_shape_unknown(void);
/* Dims are zeroed known dimensions (0), to be filled. rank over PLN_MAX_RANK or no
 * memory: an unknown shape. */
pln_shape pln_shape_new(pln_arena *arena, int rank);
pln_shape pln_shape_of(pln_arena *arena, int rank, const int64_t *dims);
pln_shape pln_shape_dup(pln_arena *arena, pln_shape s);
bool pln_shape_is_static(pln_shape s);          /* rank and all dims known */
bool pln_shape_equal(pln_shape a, pln_shape b); /* certainly equal */
/* Product of the dims; unknown where the rank or any dim is, or past int64. */
pln_dim pln_shape_count(pln_syms *syms, pln_shape s);
/* a becomes what is known of either; where they contradict, `*conflict` (may be NULL) is
 * set and a's side is kept. A known dim beats a symbol, a symbol beats unknown. */
void pln_type_merge(pln_arena *arena, pln_type *a, const pln_type *b, bool *conflict);
pln_type pln_type_dup(pln_arena *arena, const pln_type *t);
bool pln_type_equal(const pln_type *a, const pln_type *b);
/* "float[1,3,seq]", "seq(float[?])", "map(int64,float)", "optional(...)". */
void pln_type_print(pln_text *out, const pln_type *t);
/* As ONNX spells type constraints, without shapes: "seq(tensor(float))". */
void pln_type_spell(pln_text *out, const pln_type *t);

/* The same in the arena; NULL: no memory. */
const char *pln_type_name(const pln_allocator *a, pln_arena *arena, const pln_type *t);

/* Traits of element types. */
bool pln_dtype_is_float(pln_dtype dt);   /* all float formats, float8 and float4 too */
bool pln_dtype_is_integer(pln_dtype dt); /* signed or unsigned, not bool */
bool pln_dtype_is_signed(pln_dtype dt);
bool pln_dtype_is_complex(pln_dtype dt);
/* Bits of an element in files: 6, 4 and 2 for the packed types, 0 for strings. */
unsigned pln_dtype_bits(pln_dtype dt);
pln_dtype pln_dtype_from_name(const char *name, size_t len); /* NONE: no such type */

#endif
