/* The formats of the module libplanish-image: one for each library that the build found.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_PICTURE_MODULE_H
#define PLN_KERNELS_PICTURE_MODULE_H

#include "kernels/picture/picture.h"

bool pln_picture_jpeg(pln_picture *p);
bool pln_picture_jpeg2000(pln_picture *p);
bool pln_picture_png(pln_picture *p);
bool pln_picture_tiff(pln_picture *p);
bool pln_picture_webp(pln_picture *p);

#endif
