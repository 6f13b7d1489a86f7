/* Putting written messages on disk: temporary files that are renamed when all is there.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_SAVE_FILE_H
#define PLN_PROTO_SAVE_FILE_H

#include "proto/writer.h"
#include "src/ir/graph.h"

/* The message to `path`, and w->outside to w->location beside it. Weights that the model
 * was read with are not overwritten, but where the model itself is replaced, too. */
pln_status pln_save_files(const pln_model *m, const pln_writer *w, const char *path,
                          pln_error *err);
/* Whether the folder of `path` is this directory. */
bool pln_same_directory(const char *directory, const char *path);

#endif
