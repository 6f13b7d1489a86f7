/* Since when operators take which element types.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_TYPE_SINCE_H
#define PLN_IR_TYPE_SINCE_H

#include <planish/planish.h>

/* The version of ai.onnx in which an operator of it first took or gave elements of this
 * type; 0: as long as it is there, or never (its row tells). */
int pln_type_since(const char *op, pln_dtype dt);
/* The same of sequences and optionals. */
int pln_kind_since(const char *op, pln_kind kind);
/* "sequence", "optional", "map". */
const char *pln_kind_name(pln_kind kind);

#endif
