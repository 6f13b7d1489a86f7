/* Failures of kernels, with the node in front.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/kernel.h"

#include <stdarg.h>
#include <stdio.h>

pln_status pln_call_fail(const pln_call *c, pln_error *err, pln_status st,
                         const char *fmt, ...)
{
    char where[192], text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pln_error_set(err, "node", c->node->name);
    pln_error_set(err, "op", c->node->op_type);
    return pln_fail(err, st, "%s: %s", pln_node_where(c->node, where, sizeof where),
                    text);
}
