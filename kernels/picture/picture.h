/* Decoders of pictures: what ImageDecoder and the formats have in common.
 *
 * The formats that need a library are in a module of their own, libplanish-image, which
 * is loaded when a picture of such a format is first decoded. A module sees nothing of
 * this library but the struct below.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_PICTURE_H
#define PLN_KERNELS_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pln_picture pln_picture;

struct pln_picture {
    const uint8_t *bytes; /* the encoded stream: untrusted */
    size_t size;
    size_t width, height;
    uint8_t *rgb; /* [height][width][3], from begin() */
    /* Makes room for the pixels, all black; false: too many, or no memory. */
    bool (*begin)(pln_picture *p, size_t width, size_t height);
    /* Memory that lasts until the decoder has returned; NULL: none. */
    void *(*scratch)(pln_picture *p, size_t size);
};

/* Fills rgb; false: can't be decoded. */
typedef bool (*pln_picture_fn)(pln_picture *p);

bool pln_picture_bmp(pln_picture *p);
bool pln_picture_pnm(pln_picture *p);

/* What the module exports: as "pln_picture_formats_1", ended by name NULL. The number
 * changes with the struct above. */
typedef struct pln_picture_format {
    const char *name;
    pln_picture_fn decode;
} pln_picture_format;

#define PLN_PICTURE_MODULE "libplanish-image.so.0"
#define PLN_PICTURE_SYMBOL "pln_picture_formats_1"

#endif
