/* What libplanish-image exports.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/module.h"

__attribute__((
    visibility("default"))) extern const pln_picture_format pln_picture_formats_1[];

const pln_picture_format pln_picture_formats_1[] = {
#ifdef PLN_PICTURE_JPEG
    { "JPEG", pln_picture_jpeg },
#endif
#ifdef PLN_PICTURE_JPEG2000
    { "JPEG 2000", pln_picture_jpeg2000 },
#endif
#ifdef PLN_PICTURE_PNG
    { "PNG", pln_picture_png },
#endif
#ifdef PLN_PICTURE_TIFF
    { "TIFF", pln_picture_tiff },
#endif
#ifdef PLN_PICTURE_WEBP
    { "WebP", pln_picture_webp },
#endif
    { 0 },
};
