/* Which implementations may serve a node, the best first.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/op.h"
#include "src/rt/rt.h"

#include <stdlib.h>
#include <string.h>

pln_status rt_devices_parse(const char *option, uint32_t *mask, pln_error *err)
{
    const char *name = option && *option ? option : getenv("PLN_DEVICE");
    *mask = RT_DEVICE_REF | RT_DEVICE_CPU | RT_DEVICE_LIB;
    if (!name || !*name || !strcmp(name, "dnnl"))
        return PLN_OK;
    *mask = RT_DEVICE_REF;
    if (!strcmp(name, "ref"))
        return PLN_OK;
    *mask |= RT_DEVICE_CPU;
    if (!strcmp(name, "cpu"))
        return PLN_OK;
    return pln_fail(err, PLN_E_USAGE, "device '%s' is not one of ref, cpu, dnnl", name);
}

/* Candidate i counts over the devices that know the operator, then our own kernel. */
bool rt_device_impl(const pln_session *s, const pln_node *n, unsigned i,
                    const pln_device **dev, const pln_impl **impl)
{
    for (size_t d = 0; (s->devices & RT_DEVICE_LIB) && pln_registry_device(d); d++) {
        *dev = pln_registry_device(d);
        *impl = (*dev)->find(n);
        if (*impl && i-- == 0)
            return true;
    }
    *dev = NULL;
    *impl = n->op->cpu;
    return (s->devices & RT_DEVICE_CPU) && *impl && i == 0;
}

bool rt_device_ready(const pln_device *dev, double flops)
{
    return flops >= dev->min_flops && dev->open(NULL) == PLN_OK;
}
