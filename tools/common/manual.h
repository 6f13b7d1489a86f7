/* The man page, from the tables of the verbs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_MANUAL_H
#define TOOLS_MANUAL_H

#include "tools/common/opts.h"

int manual_print(const verb *const *verbs, FILE *out);

#endif
