/* Prints the operators' rows as JSON, for what compares them with other tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/kernel.h"
#include "src/ir/op.h"

static const char *const attr_types[] = {
    [PLN_ATTR_FLOAT] = "FLOAT",
    [PLN_ATTR_INT] = "INT",
    [PLN_ATTR_STRING] = "STRING",
    [PLN_ATTR_TENSOR] = "TENSOR",
    [PLN_ATTR_GRAPH] = "GRAPH",
    [PLN_ATTR_FLOATS] = "FLOATS",
    [PLN_ATTR_INTS] = "INTS",
    [PLN_ATTR_STRINGS] = "STRINGS",
    [PLN_ATTR_TENSORS] = "TENSORS",
    [PLN_ATTR_GRAPHS] = "GRAPHS",
    [PLN_ATTR_SPARSE_TENSOR] = "SPARSE_TENSOR",
    [PLN_ATTR_SPARSE_TENSORS] = "SPARSE_TENSORS",
    [PLN_ATTR_TYPE] = "TYPE_PROTO",
    [PLN_ATTR_TYPES] = "TYPE_PROTOS",
};

/* All texts of rows are plain: no character of theirs needs an escape but the quote. */
static void print_text(const char *s)
{
    if (!s) {
        printf("null");
        return;
    }
    putchar('"');
    for (; *s; s++)
        printf(*s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    putchar('"');
}

static void print_attr(const pln_attr_spec *a)
{
    printf("{\"name\":");
    print_text(a->name);
    printf(",\"type\":\"%s\",\"required\":%s", attr_types[a->type],
           a->required ? "true" : "false");
    if (a->choices) {
        printf(",\"choices\":");
        print_text(a->choices);
    }
    if (!a->required && !a->has_offset && a->type == PLN_ATTR_INT)
        printf(",\"default\":%lld", (long long)a->i);
    if (!a->required && !a->has_offset && a->type == PLN_ATTR_FLOAT && isfinite(a->f))
        printf(",\"default\":%.9g", (double)a->f);
    if (!a->required && a->type == PLN_ATTR_STRING && a->s) {
        printf(",\"default\":");
        print_text(a->s);
    }
    printf("}");
}

static void print_row(const pln_op_desc *op)
{
    printf("{\"name\":");
    print_text(op->name);
    printf(",\"domain\":");
    print_text(op->domain);
    printf(",\"since\":%d,\"until\":%d,\"in\":[%d,%d],\"out\":[%d,%d],\"types\":",
           op->since, op->until, op->in.min, op->in.max, op->out.min, op->out.max);
    print_text(op->types);
    printf(",\"sig\":");
    print_text(op->sig);
    printf(",\"attrs\":[");
    for (const pln_attr_spec *a = op->attrs; a && a->name; a++) {
        printf(a == op->attrs ? "" : ",");
        print_attr(a);
    }
    printf("],\"changed\":[");
    for (const pln_version_change *v = op->versions; v && v->since; v++)
        printf("%s%d", v == op->versions ? "" : ",", v->since);
    printf("],\"ref\":%s,\"cpu\":", op->ref ? "true" : "false");
    print_text(op->cpu ? op->cpu->name : NULL);
    printf(",\"traits\":%u,\"devices\":[", op->traits);
    bool any = false;
    for (size_t i = 0; pln_registry_device(i); i++) {
        const pln_device *d = pln_registry_device(i);
        if (!d->serves || !d->serves(op->domain, op->name))
            continue;
        printf(any ? "," : "");
        print_text(d->name);
        any = true;
    }
    printf("]}");
}

int main(void)
{
    pln_env *env = NULL;
    if (pln_env_new(NULL, &env, NULL) != PLN_OK)
        return 1;
    const pln_registry *r = env->registry;
    printf("[\n");
    for (size_t i = 0; pln_registry_at(r, i); i++) {
        printf(i ? ",\n" : "");
        print_row(pln_registry_at(r, i));
    }
    printf("\n]\n");
    pln_env_free(env);
    return ferror(stdout) != 0;
}
