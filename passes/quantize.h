/* The static quantizer: products whose weights are constant get their inputs through
 * QuantizeLinear and DequantizeLinear, as standard operators.
 *
 * Three steps, the middle one of which is not in this layer: pln_quant_find lists the
 * units, the caller runs the model on calibration data and gives what it saw of each
 * unit's input to pln_quant_see, and pln_quant_apply rewrites.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_QUANTIZE_H
#define PLN_PASSES_QUANTIZE_H

#include "src/ir/op.h"
#include "src/util/text.h"

/* What was seen of an activation. */
typedef struct pln_quant_input {
    pln_value *value;
    double min, max, squares; /* sum of the squares */
    double count;
    bool bad;    /* held NaN or infinities */
    float scale; /* chosen */
    int32_t zero;
    pln_value *dequantized; /* once inserted */
} pln_quant_input;

/* A product that may be quantized. */
typedef struct pln_quant_unit {
    pln_node *node;
    pln_quant_input *input; /* NULL in mode weights, and where it is left alone */
    int axis;               /* of the output channels in the weights */
    const char *why_not;    /* in the arena; NULL: it is quantized */
    double input_db;        /* signal to rounding noise of its input */
} pln_quant_unit;

typedef struct pln_quant {
    pln_model *model;
    pln_arena *arena;
    const pln_quantize_options *options;
    pln_dtype activations, weights;
    pln_quant_unit *unit;
    size_t n_units;
    pln_quant_input *input;
    size_t n_inputs;
} pln_quant;

/* Lists the units of the main graph, with the reason where one can't be quantized. */
pln_status pln_quant_find(pln_quant *q, pln_model *model, const pln_quantize_options *o,
                          pln_arena *arena, pln_error *err);
/* Takes account of one tensor of an input. */
void pln_quant_see(pln_quant_input *in, const pln_tensor *t);
pln_status pln_quant_apply(pln_quant *q, pln_error *err);
void pln_quant_report(const pln_quant *q, pln_text *out);

/* ---- tensors (quantize_tensor.c) ------------------------------------------------ */

/* Symmetric, one scale for each index of `axis` (axis < 0: one for all): q = round(w /
 * scale) in [-limit, limit]. */
pln_status pln_quant_weights(const pln_allocator *a, pln_tensor *w, int axis, int limit,
                             pln_tensor **q, pln_tensor **scale, pln_error *err);
/* round(b / (input_scale * scale)) as int32; PLN_E_UNSUPPORTED where one does not fit. */
pln_status pln_quant_bias(const pln_allocator *a, pln_tensor *b, float input_scale,
                          const pln_tensor *scale, pln_tensor **q, pln_tensor **q_scale,
                          pln_error *err);

#endif
