/* The ends of a part of a graph, from the command line.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_CUT_NAMES_H
#define TOOLS_CUT_NAMES_H

#include <planish/planish.h>

typedef struct cut_names {
    char *text; /* what the names point into */
    const char **from, **to;
    size_t n_from, n_to;
} cut_names;

/* Splits "IN,...:OUT,...". Names may hold ':' and ',' themselves: of all the ways to read
 * it, one in which every name is a value of the model is taken, if there is one. 0, or an
 * exit code after an error was printed. */
int cut_names_split(const pln_model *model, const char *arg, cut_names *out);
void cut_names_free(cut_names *cut);

#endif
