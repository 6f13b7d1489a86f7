/* Resize: what changed between its versions.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_RESIZE_H
#define PLN_KERNELS_RESIZE_H

#include "src/ir/op.h"

extern const pln_version_change pln_resize_versions[], pln_upsample_versions[];

#endif
