/* What the public functions on sessions share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_RT_SESSION_H
#define PLN_RT_SESSION_H

#include "src/rt/rt.h"

/* Fills the public description of a value of type t; false: no memory. */
bool rt_io_fill(pln_arena *arena, const char *name, const pln_type *t, pln_io_info *out);

#endif
