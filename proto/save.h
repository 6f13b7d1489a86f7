/* Writing models and values: what the files of the writer share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_SAVE_H
#define PLN_PROTO_SAVE_H

#include "proto/writer.h"

/* How one model is written. */
typedef struct pln_saver {
    pln_writer w;
    const pln_model *model;
    const char **names;  /* by value id: as written; NULL: as it is */
    bool *is_output;     /* by value id: of a graph */
    bool *described;     /* by value id: its value_info is written */
    uint32_t n_fresh;
    pln_error *err;
} pln_saver;

/* The message's fields without tag and length. `rest`: what the file had beside. */
pln_status pln_write_tensor(pln_writer *w, const char *name, const pln_tensor *t,
                            pln_blob rest);
pln_status pln_write_sparse(pln_writer *w, const char *name, const pln_tensor *t,
                            pln_blob rest);
void pln_write_type(pln_writer *w, const pln_type *t);
pln_status pln_save_graph(pln_saver *s, const pln_graph *g);
pln_status pln_save_function(pln_saver *s, const pln_function *f);
pln_status pln_save_attr(pln_saver *s, const pln_attr *a);
/* Operator sets, unless the rest has them as they came (true) and they say the same. */
bool pln_write_opsets(pln_saver *s, uint32_t number, const pln_opset *opsets, size_t n,
                      pln_blob rest);

/* proto/save.c */
pln_status pln_proto_save(const pln_model *model, const char *path,
                          const pln_save_options *options, pln_error *err);
pln_status pln_proto_save_memory(const pln_model *model, void **data, size_t *len,
                                 pln_error *err);

#endif
