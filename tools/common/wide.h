/* Values of a model that outgrow a type, found by running it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_WIDE_H
#define TOOLS_WIDE_H

#include "tools/common/feeds.h"

/* Runs the model on each archive and appends to `names` the float values of its main
 * graph that have an element beyond `limit` in magnitude, but for those that stand for
 * infinity (to be freed with wide_free). 0, or an exit code after an error was
 * printed. */
int wide_find(pln_env *env, const pln_model *model, const str_list *archives,
              double limit, str_list *names);
void wide_free(str_list *names);

#endif
