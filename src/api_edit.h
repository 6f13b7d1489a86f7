/* What the files of the public editing calls share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_API_EDIT_H
#define PLN_API_EDIT_H

#include "src/ir/graph.h"

/* A message that was kept for what the type does not say: now that the type is another,
 * it is out of date. */
pln_status pln_value_drop_type_message(pln_value *v);
/* Fails where `to` is a dimension's name already; *found: there was one called `from`. */
pln_status pln_model_rename_dim(pln_model *m, const char *from, const char *to,
                                bool *found, pln_error *err);

#endif
