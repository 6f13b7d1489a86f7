#!/usr/bin/env python3
"""Compare ImageDecoder with Pillow on pictures of every format and mode.
SPDX-License-Identifier: Apache-2.0

usage: check_pictures.py --planish COMMAND

Pillow writes the pictures; red, green and blue must be what Pillow reads back, with its opacity
left out, for each pixel format. Cut files give an empty picture. Prints TAP.
"""
import argparse
import io
import os
import struct
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

import harness
from harness import Fault

try:
    from PIL import Image
except ImportError:
    Image = None

MODEL = "image_decoder_%s.onnx"
FORMATS = ("RGB", "BGR", "Grayscale")


def picture(mode, width=37, height=29):
    """Smooth and noisy parts, so that every predictor and every frequency is used."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x + y) * 4 % 256], -1)
    rgb[:, width // 2:] = rng.integers(0, 256, rgb[:, width // 2:].shape)
    rgb = rgb.astype(np.uint8)
    if mode == "RGBA":
        return Image.fromarray(np.dstack([rgb, rng.integers(0, 256, (height, width), np.uint8)]))
    if mode == "I;16":
        return Image.fromarray((rgb[..., 0].astype(np.uint16) << 8) + rgb[..., 1])
    return Image.fromarray(rgb).convert(mode)


def encoded(image, form, **how):
    f = io.BytesIO()
    image.save(f, format=form, **how)
    return f.getvalue()


def encodings():
    """(name, bytes) of everything that Pillow writes of these formats."""
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield "bmp " + mode, encoded(picture(mode), "BMP")
        yield "png " + mode, encoded(picture(mode), "PNG")
    yield "png I;16", encoded(picture("I;16"), "PNG")
    yield "png P with transparency", encoded(picture("P"), "PNG", transparency=3)
    for mode in ("1", "L", "RGB"):
        yield "pnm " + mode, encoded(picture(mode), "PPM")
    yield "pnm I;16", encoded(picture("I;16"), "PPM")
    for mode in ("L", "RGB", "CMYK"):
        for how in ({}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1},
                    {"quality": 20}, {"optimize": True}):
            yield "jpeg %s %s" % (mode, how), encoded(picture(mode), "JPEG", **how)
    for mode in ("L", "RGB", "RGBA"):
        for how in ({}, {"irreversible": True, "quality_layers": [40]}, {"num_resolutions": 2},
                    {"tile_size": (16, 16)}, {"no_jp2": True}):
            yield "jpeg 2000 %s %s" % (mode, how), encoded(picture(mode), "JPEG2000", **how)
    for how in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        for mode in ("L", "RGB"):
            yield "tiff %s %s" % (mode, how), encoded(picture(mode), "TIFF", compression=how)
    for mode in ("1", "P"):
        yield "tiff " + mode, encoded(picture(mode), "TIFF")
    yield "tiff group4", encoded(picture("1"), "TIFF", compression="group4")
    for mode in ("RGB", "RGBA"):
        for how in ({}, {"lossless": True, "exact": True}, {"quality": 10}):
            yield "webp %s %s" % (mode, how), encoded(picture(mode), "WEBP", **how)
    yield "webp animated", encoded(picture("RGB"), "WEBP", save_all=True, lossless=True,
                                   append_images=[picture("RGB").rotate(90)])


def bmp(bits, compression, palette, pixels, width, height, masks=b"", core=False):
    """A bitmap of kinds that Pillow does not write."""
    if core:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
        colours = b"".join(bytes(reversed(c)) for c in palette)
    else:
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression,
                           len(pixels), 0, 0, len(palette), 0)
        colours = b"".join(bytes(reversed(c)) + b"\0" for c in palette)
    offset = 14 + len(head) + len(masks) + len(colours)
    return (struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + head + masks
            + colours + pixels)


def by_hand():
    """(name, bytes, what must come out) where no other program is asked."""
    pal = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 8, 7)]
    p = np.array(pal, np.uint8)
    rle8 = bytes([3, 1, 1, 2, 0, 0, 0, 4, 0, 1, 2, 3, 0, 1])
    yield "bmp rle8", bmp(8, 1, pal, rle8, 4, 2), p[[[0, 1, 2, 3], [1, 1, 1, 2]]]
    skip = bytes([1, 1, 0, 2, 1, 1, 1, 3, 0, 1])
    yield "bmp rle8 with a jump", bmp(8, 1, pal, skip, 4, 2), p[[[0, 0, 3, 0], [1, 0, 0, 0]]]
    rle4 = bytes([4, 0x12, 0, 0, 0, 4, 0x01, 0x23, 0, 1])
    yield "bmp rle4", bmp(4, 2, pal, rle4, 4, 2), p[[[0, 1, 2, 3], [1, 2, 1, 2]]]
    top = bmp(8, 0, pal, bytes([0, 1, 2, 3, 3, 2, 1, 0]), 4, -2)
    yield "bmp top down", top, p[[[0, 1, 2, 3], [3, 2, 1, 0]]]
    yield ("bmp of OS/2", bmp(8, 0, pal, bytes([0, 1, 2, 3]), 4, 1, core=True),
           p[[[0, 1, 2, 3]]])
    yield ("bmp 5-5-5", bmp(16, 0, [], struct.pack("<HH", 0x7c00, 0x001f), 2, 1),
           np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))
    masks = struct.pack("<III", 0xf800, 0x7e0, 0x1f)
    yield ("bmp 5-6-5", bmp(16, 3, [], struct.pack("<HH", 0x07e0, 0x8410), 2, 1, masks),
           np.array([[[0, 255, 0], [132, 130, 132]]], np.uint8))
    rgb = np.array([[[255, 0, 0], [0, 128, 0]]], np.uint8)
    yield "pnm of digits", b"P3 # red\n2 1\n255\n255 0 0  0 128 0\n", rgb
    yield ("pbm of digits", b"P1\n4 1\n0101", np.repeat(
        np.array([[255, 0, 255, 0]], np.uint8)[..., None], 3, 2))
    yield ("pgm of 15", b"P5 2 1 15\n\x00\x08",
           np.repeat(np.array([[0, 136]], np.uint8)[..., None], 3, 2))
    yield ("pam", b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
           b"\xff\0\0\x07\0\x80\0\x08", rgb)


def want_of(data):
    image = Image.open(io.BytesIO(data))
    if image.mode in ("I;16", "I;16B", "I"):  # Pillow clips them instead
        wide = np.asarray(image).astype(np.uint32) & 0xffff
        return np.repeat(((wide * 255 + 32767) // 65535).astype(np.uint8)[..., None], 3, 2)
    if image.mode == "RGBA":
        return np.asarray(image)[..., :3]
    return np.asarray(image.convert("RGB"))


def as_format(rgb, form):
    if form == "Grayscale":
        v = rgb.astype(np.uint32)
        return ((v @ [19595, 38470, 7471] + 0x8000) >> 16).astype(np.uint8)[..., None]
    return rgb[..., ::-1] if form == "BGR" else rgb


def make_models(folder):
    for form in FORMATS:
        node = helper.make_node("ImageDecoder", ["x"], ["y"], pixel_format=form)
        graph = helper.make_graph(
            [node], "g", [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n"])],
            [helper.make_tensor_value_info("y", TensorProto.UINT8, ["h", "w", "c"])])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)],
                                    ir_version=10), os.path.join(folder, MODEL % form))


def decode(planish, folder, data, form):
    source, result = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
    np.savez(source, x=np.frombuffer(data, np.uint8))
    harness.command([planish, "run", os.path.join(folder, MODEL % form), "-q", "--inputs",
                     source, "--outputs", result])
    return harness.load_npz(result)["y"]


def check(planish, folder, data, rgb, most):
    worst = 0
    for form in FORMATS:
        want, got = as_format(rgb, form), decode(planish, folder, data, form)
        if got.shape != want.shape:
            raise Fault("%s: shape %s, want %s" % (form, got.shape, want.shape))
        off = np.abs(got.astype(int) - want.astype(int))
        worst = max(worst, int(off.max()))
        if worst > most:
            raise Fault("%s: off by %d at %s, %d values differ"
                        % (form, off.max(), np.argwhere(off == off.max())[0],
                           np.count_nonzero(off)))
    return "%d bytes, off by %d" % (len(data), worst)


def check_cut(planish, folder, data):
    got = decode(planish, folder, data[:len(data) * 2 // 3], "RGB")
    if got.shape != (0, 0, 3):
        raise Fault("shape %s, want an empty picture" % (got.shape,))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planish", required=True)
    args = parser.parse_args()
    tap = harness.Tap()
    if Image is None:
        tap.skip("ImageDecoder beside Pillow", "Pillow is not here")
        return tap.done()
    with tempfile.TemporaryDirectory() as folder:
        make_models(folder)
        for name, data in encodings():
            # 1: where chroma is interpolated or converted, versions round otherwise
            most = 1 if name.startswith(("jpeg", "webp", "tiff RGB jpeg", "png I")) else 0
            tap.check(name, check, args.planish, folder, data, want_of(data), most)
        for name, data, rgb in by_hand():
            tap.check(name, check, args.planish, folder, data, rgb, 0)
        for name, data in encodings():
            if name.endswith((" RGB", " {}", "lzw")):
                tap.check("cut: " + name, check_cut, args.planish, folder, data)
        tap.check("no picture", check_cut, args.planish, folder, b"GIF89a and so on")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
