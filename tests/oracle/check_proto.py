#!/usr/bin/env python3
"""Compare proto/onnx.proto with the descriptors of the onnx package.
SPDX-License-Identifier: Apache-2.0

usage: check_proto.py [FILE.proto]

Every message, enum, field and reserved range must be there on both sides with the same number,
label, packing, oneof and default; a field's type too, but that our `bytes` stands for `string`.
Exit 1 and a line for each difference; prints TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2
from onnx import onnx_data_pb2, onnx_ml_pb2, onnx_operators_ml_pb2

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
F = descriptor_pb2.FieldDescriptorProto
SCALARS_PACKABLE = {F.TYPE_DOUBLE, F.TYPE_FLOAT, F.TYPE_INT64, F.TYPE_UINT64, F.TYPE_INT32,
                    F.TYPE_BOOL, F.TYPE_ENUM, F.TYPE_UINT32}


def compile_proto(path):
    """The FileDescriptorProto that protoc (or protoc-c, which embeds it) makes of our file."""
    compiler = shutil.which("protoc") or shutil.which("protoc-c")
    if not compiler:
        sys.exit("check_proto: neither protoc nor protoc-c is installed")
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "set.pb")
        subprocess.run([compiler, "-I", os.path.dirname(path), "--descriptor_set_out=" + out,
                        path], check=True)
        with open(out, "rb") as f:
            files = descriptor_pb2.FileDescriptorSet.FromString(f.read()).file
    assert len(files) == 1
    return files[0]


def ranges(items, inclusive):
    return sorted({n for r in items for n in range(r.start, r.end + (1 if inclusive else 0))})


def describe_field(message, field, syntax):
    packed = False
    if field.label == F.LABEL_REPEATED and field.type in SCALARS_PACKABLE:
        packed = field.options.packed if field.options.HasField("packed") else syntax == "proto3"
    kind = F.TYPE_BYTES if field.type == F.TYPE_STRING else field.type
    return {
        "name": field.name,
        "label": F.Label.Name(field.label),
        "type": F.Type.Name(kind),
        "of": field.type_name,
        "packed": packed,
        "oneof": message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index")
        else None,
        "default": field.default_value if field.HasField("default_value") else None,
    }


def describe(file, out):
    """Flattens a file into {path: facts}."""
    def enum(prefix, e):
        out["enum " + prefix + e.name] = {"reserved": ranges(e.reserved_range, True)}
        for v in e.value:
            out["value %s%s.%s" % (prefix, e.name, v.name)] = {"number": v.number}

    def message(prefix, m):
        name = prefix + m.name
        out["message " + name] = {"reserved": ranges(m.reserved_range, False),
                                  "reserved names": sorted(m.reserved_name)}
        for f in m.field:
            out["field %s %d" % (name, f.number)] = describe_field(m, f, file.syntax)
        for e in m.enum_type:
            enum(name + ".", e)
        for n in m.nested_type:
            message(name + ".", n)

    for e in file.enum_type:
        enum("", e)
    for m in file.message_type:
        message("", m)
    return out


def strings_left(file):
    """Fields of type string: our loader relies on there being none."""
    def walk(prefix, m):
        for f in m.field:
            if f.type == F.TYPE_STRING:
                yield "%s%s.%s" % (prefix, m.name, f.name)
        for n in m.nested_type:
            yield from walk(prefix + m.name + ".", n)
    return [s for m in file.message_type for s in walk("", m)]


def main():
    path = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                           os.path.join(ROOT, "proto", "onnx.proto"))
    ours_file = compile_proto(path)
    ours = describe(ours_file, {})
    theirs = {}
    for module in (onnx_ml_pb2, onnx_data_pb2, onnx_operators_ml_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        assert file.package == "onnx"
        describe(file, theirs)

    faults = ["string field " + s for s in strings_left(ours_file)]
    if ours_file.package != "onnx":
        faults.append("package is %r, not onnx" % ours_file.package)
    bad = set()
    for key in sorted(set(ours) | set(theirs)):
        if ours.get(key) != theirs.get(key):
            bad.add(key)
            faults.append("%s: ours %s, the standard's %s"
                          % (key, ours.get(key, "is missing"), theirs.get(key, "has none")))

    print("1..%d" % (len(theirs) + 1))
    for i, key in enumerate(sorted(theirs), 1):
        print("%s %d - %s" % ("not ok" if key in bad else "ok", i, key))
    extra = faults and not bad or bad - set(theirs)
    print("%s %d - nothing that the standard has not" %
          ("not ok" if extra else "ok", len(theirs) + 1))
    for fault in faults:
        print("check_proto: " + fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
