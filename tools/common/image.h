/* PNG and JPEG files as tensors, through libpng and libjpeg.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_IMAGE_H
#define TOOLS_IMAGE_H

#include "tools/common/feeds.h"

bool image_is(const char *path); /* by the file's first bytes */
/* [1,C,H,W] or [1,H,W,C] of type dt (float or uint8). 0, or an exit code after an
 * error. */
int image_load(pln_env *env, const char *path, pln_dtype dt, const feed_args *args,
               pln_tensor **out);

#endif
