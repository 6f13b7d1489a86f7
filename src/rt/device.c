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

/* Candidate *i of the devices that are (`cpu`) our own kernels, or libraries. */
static bool find_device(const pln_node *n, bool cpu, unsigned *i, const pln_device **dev,
                        const pln_impl **impl)
{
    for (size_t d = 0; pln_registry_device(d); d++) {
        *dev = pln_registry_device(d);
        *impl = (*dev)->is_cpu == cpu ? (*dev)->find(n) : NULL;
        if (*impl && (*i)-- == 0)
            return true;
    }
    return false;
}

/* Candidate i counts over the libraries that know the operator, then our own kernel, then
 * what serves where that declines. */
bool rt_device_impl(const pln_session *s, const pln_node *n, unsigned i,
                    const pln_device **dev, const pln_impl **impl)
{
    if ((s->devices & RT_DEVICE_LIB) && find_device(n, false, &i, dev, impl))
        return true;
    *dev = NULL;
    if (!(s->devices & RT_DEVICE_CPU))
        return false;
    *impl = n->op->cpu;
    if (*impl && i-- == 0)
        return true;
    const bool found = find_device(n, true, &i, dev, impl);
    *dev = NULL;
    return found;
}

bool rt_device_ready(const pln_device *dev, double flops)
{
    return flops >= dev->min_flops && dev->open(NULL) == PLN_OK;
}
