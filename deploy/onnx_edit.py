#!/usr/bin/env python3
"""Edits published ONNX files so that one session serves every picture size and batch size.

Nothing but the declared shapes changes: no weight and no operator is touched. The files are protobuf messages, and the
few fields concerned are edited in the wire format itself, so that no `onnx` package has to be installed and the result
is the same bytes everywhere (deploy/setup pins their sha256).

    onnx_edit.py yunet SOURCE TARGET    input height and width become symbolic
    onnx_edit.py sface SOURCE TARGET    all but the picture leave the list of inputs, the batch becomes symbolic

Field numbers are those of onnx.proto (https://github.com/onnx/onnx, stable since 2017).
"""

import os
import sys

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO = 1, 5, 11, 12, 13
NODE_INPUT, TENSOR_NAME = 1, 8
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR = 1
TENSOR_TYPE_SHAPE = 2
SHAPE_DIM = 1
DIM_PARAM = 2
WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 0, 1, 2, 5


def read_varint(data, at):
    """The number at `at` and the offset behind it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("truncated number")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(data):
    """Yields (field number, raw bytes of the whole field, content or None) in the order of the file."""
    at = 0
    while at < len(data):
        start = at
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        content = None
        if wire == WIRE_VARINT:
            _, at = read_varint(data, at)
        elif wire == WIRE_FIXED64:
            at += 8
        elif wire == WIRE_FIXED32:
            at += 4
        elif wire == WIRE_BYTES:
            size, at = read_varint(data, at)
            content = data[at : at + size]
            at += size
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at > len(data):
            raise ValueError("truncated field")
        yield number, data[start:at], content


def field(number, content):
    return varint(number << 3 | WIRE_BYTES) + varint(len(content)) + content


def rebuilt(data, change):
    """`data` with every field replaced by what `change(number, raw, content)` returns: bytes, or b"" to drop it."""
    return b"".join(change(number, raw, content) for number, raw, content in fields(data))


def name_of(message, number):
    return next(content.decode() for found, _, content in fields(message) if found == number)


def with_dims(value_info, names):
    """The value with dimension i named `names[i]` where that is not None."""
    at = -1

    def in_shape(number, raw, _content):
        nonlocal at
        if number != SHAPE_DIM:
            return raw
        at += 1
        if at >= len(names) or names[at] is None:
            return raw
        return field(SHAPE_DIM, field(DIM_PARAM, names[at].encode()))

    def in_tensor(number, raw, content):
        return field(number, rebuilt(content, in_shape)) if number == TENSOR_TYPE_SHAPE else raw

    def in_type(number, raw, content):
        return field(number, rebuilt(content, in_tensor)) if number == TYPE_TENSOR else raw

    def in_value(number, raw, content):
        return field(number, rebuilt(content, in_type)) if number == VALUE_TYPE else raw

    return rebuilt(value_info, in_value)


def yunet(graph):
    """Shapes recorded for 640x640 inside the graph go: the runtime infers them from the input it is given."""

    def change(number, raw, content):
        if number == GRAPH_VALUE_INFO:
            return b""
        if number == GRAPH_INPUT:
            return field(number, with_dims(content, [None, None, "height", "width"]))
        if number == GRAPH_OUTPUT:
            name = name_of(content, VALUE_NAME)
            return field(number, with_dims(content, [None, "anchors_" + name.rsplit("_", 1)[1], None]))
        return raw

    return rebuilt(graph, change)


def sface(graph):
    """Old exporters listed every weight as an input, which forbids constant folding, and whoever wrote the weights with 8
    bits left the names behind, and two weights no node uses; only `data` is an input."""
    used = {content.decode() for kind, _, node in fields(graph) if kind == GRAPH_NODE for number, _, content in fields(node) if number == NODE_INPUT}

    def change(number, raw, content):
        if number == GRAPH_VALUE_INFO:
            return b""
        if number == GRAPH_INITIALIZER and name_of(content, TENSOR_NAME) not in used:
            return b""
        if number == GRAPH_INPUT:
            if name_of(content, VALUE_NAME) != "data":
                return b""
            return field(number, with_dims(content, ["batch", None, None, None]))
        if number == GRAPH_OUTPUT:
            return field(number, with_dims(content, ["batch", None]))
        return raw

    return rebuilt(graph, change)


EDITS = {"yunet": yunet, "sface": sface}


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in EDITS:
        sys.exit(__doc__)
    edit, source, target = EDITS[arguments[0]], arguments[1], arguments[2]
    with open(source, "rb") as file:
        model = file.read()
    try:
        result = rebuilt(model, lambda n, raw, content: field(n, edit(content)) if n == MODEL_GRAPH else raw)
    except (ValueError, StopIteration) as error:
        sys.exit(f"{source}: not the ONNX file this edit was written for ({error}); nothing was written")
    with open(target + ".part", "wb") as file:
        file.write(result)
    os.replace(target + ".part", target)


if __name__ == "__main__":
    main(sys.argv[1:])
