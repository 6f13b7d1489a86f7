/* How a reduction walks: kept and reduced dimensions in the order of the input's memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_REDUCE_H
#define PLN_KERNELS_REDUCE_H

#include "kernels/typed.h"
#include "src/ir/op.h"
#include "src/util/parallel.h"

typedef struct reduce_attrs {
    int64_t keepdims, noop_with_empty_axes;
} reduce_attrs;

/* Neighbouring dimensions of the same sort are merged. */
typedef struct pln_reduction {
    int n_kept, n_reduced;
    int64_t kept[PLN_MAX_RANK], kept_in[PLN_MAX_RANK], kept_out[PLN_MAX_RANK];
    int64_t reduced[PLN_MAX_RANK], reduced_in[PLN_MAX_RANK];
    int64_t n_out, n_each; /* outputs; inputs of each */
    bool last_reduced;     /* the innermost dimension is a reduced one */
    bool noop;
} pln_reduction;

/* Of input 0 over the axes at input 1; checks the axes. */
pln_status pln_reduction_of(const pln_call *c, pln_reduction *r, pln_error *err);
/* Offset in the input and in the output of the i-th kept combination. */
void pln_reduction_at(const pln_reduction *r, int n_kept, int64_t i, int64_t *in,
                      int64_t *out);
/* Offset in the input of the i-th combination of the first n reduced dimensions. */
int64_t pln_reduction_inner(const pln_reduction *r, int n, int64_t i);

/* Where the innermost dimension is kept, neighbouring outputs are reduced together. */
#define PLN_REDUCE_COLUMNS 256
typedef struct pln_reduce_block {
    int64_t in, out, n; /* the first one's offsets; how many */
    int64_t out_step;
} pln_reduce_block;

void pln_reduction_block(const pln_reduction *r, int64_t b, pln_reduce_block *out);
/* Splits the work: `rows` gets ranges of outputs, `columns` ranges of blocks. `grain` is
 * how many inputs are worth a thread. Outputs and inputs are not empty. */
void pln_reduction_run(const pln_call *c, const pln_reduction *r, int64_t grain,
                       pln_range_fn rows, pln_range_fn columns, void *work);

/* What becomes of a finished fold. */
typedef enum pln_reduce_end {
    PLN_REDUCE_PLAIN,
    PLN_REDUCE_MEAN,
    PLN_REDUCE_SQRT,
    PLN_REDUCE_LOG
} pln_reduce_end;

/* By the loops of typed.h, for types that have them. */
bool pln_reduce_typed_can(pln_dtype dt, pln_fold fold, pln_reduce_end end);
pln_status pln_reduce_typed(pln_call *c, pln_fold fold, pln_reduce_end end,
                            pln_error *err);
pln_status pln_reduce_lse_f32(pln_call *c, pln_error *err);

/* "sum" and its like. */
extern const pln_impl pln_reduce_sum_cpu, pln_reduce_mean_cpu, pln_reduce_max_cpu,
    pln_reduce_min_cpu, pln_reduce_l1_cpu, pln_reduce_l2_cpu, pln_reduce_sum_square_cpu,
    pln_reduce_prod_cpu, pln_reduce_log_sum_cpu, pln_reduce_lse_cpu;

#endif
