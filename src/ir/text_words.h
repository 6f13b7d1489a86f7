/* Words of the text form, for its printer and its parser.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_TEXT_WORDS_H
#define PLN_IR_TEXT_WORDS_H

#include <string.h>

#include "src/ir/graph.h"

static inline bool pln_text_is_alpha(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline bool pln_text_is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* Names of attribute types, by pln_attr_type. */
static const char *const pln_text_attr_types[] = {
    "",       "float", "int",     "string",        "tensor",         "graph",
    "floats", "ints",  "strings", "tensors",       "graphs",         "sparse_tensor",
    "sparse_tensors", "type_proto", "type_protos",
};

/* Starts a type: such a word can't stand for a name. */
static inline bool pln_text_is_type(const char *s, size_t n)
{
    static const char *const words[] = { "seq",           "map", "optional",
                                         "sparse_tensor", "opaque" };
    if (pln_dtype_from_name(s, n) != PLN_DT_NONE)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == n && !memcmp(words[i], s, n))
            return true;
    return false;
}

#endif
