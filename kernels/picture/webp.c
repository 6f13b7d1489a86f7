/* WebP by libwebp; of an animation the first picture.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/module.h"

#include <webp/decode.h>
#include <webp/demux.h>

static bool first_frame(pln_picture *p)
{
    const WebPData data = { p->bytes, p->size };
    WebPAnimDecoderOptions options;
    WebPAnimDecoder *d = NULL;
    uint8_t *rgba = NULL;
    int time;
    if (!WebPAnimDecoderOptionsInit(&options) ||
        (d = WebPAnimDecoderNew(&data, &options)) == NULL)
        return false;
    const bool good = WebPAnimDecoderGetNext(d, &rgba, &time) && rgba;
    for (size_t i = 0; good && i < p->width * p->height; i++)
        for (size_t c = 0; c < 3; c++)
            p->rgb[3 * i + c] = rgba[4 * i + c];
    WebPAnimDecoderDelete(d);
    return good;
}

bool pln_picture_webp(pln_picture *p)
{
    WebPBitstreamFeatures f;
    if (WebPGetFeatures(p->bytes, p->size, &f) != VP8_STATUS_OK || f.width < 1 ||
        f.height < 1 || !p->begin(p, (size_t)f.width, (size_t)f.height))
        return false;
    if (f.has_animation)
        return first_frame(p);
    return WebPDecodeRGBInto(p->bytes, p->size, p->rgb, p->width * p->height * 3,
                             (int)p->width * 3) != NULL;
}
