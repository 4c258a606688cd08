"""Reader of CTranslate2 `model.bin` files, binary version 6 (the format in which the Whisper wheels
ship their weights).

Layout, little endian: u32 version, string spec, u32 revision, u32 count; per variable: string name,
u8 rank, u32 dims, u8 dtype, u32 bytes, data; then u32 count of aliases, each two strings (alias,
variable). A string is a u16 length that counts a final NUL. Anything else in the file is an error
that names the file and the byte, never a guess: a truncated download must not turn into a model
that almost works.
"""

import struct

import numpy

VERSION = 6
VARIABLES_MAX = 100_000
RANK_MAX = 8
DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


class Ct2Error(ValueError):
    """The bytes are not a CTranslate2 model file of version 6; the text says where and what to
    do.
    """


class _Cursor:
    def __init__(self, data, name):
        self.data = memoryview(data)
        self.name = name
        self.at = 0

    def fail(self, what):
        raise Ct2Error(
            f"{self.name}: {what} at byte {self.at} of {len(self.data)}: not a whole CTranslate2 v{VERSION} "
            "model file. Remove the unpacked wheel and its stamp, then run scripts/bootstrap run."
        )

    def take(self, count, what):
        if count > len(self.data) - self.at:
            self.fail(f"the file ends inside {what} ({count} bytes wanted)")
        start, self.at = self.at, self.at + count
        return self.data[start : self.at]

    def number(self, form, what):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form), what))[0]

    def string(self, what):
        raw = bytes(self.take(self.number("H", what), what))
        if not raw.endswith(b"\0") or b"\0" in raw[:-1]:
            self.fail(f"{what} is not a string with a final NUL")
        try:
            return raw[:-1].decode("ascii")
        except UnicodeDecodeError:
            self.fail(f"{what} is not ASCII")


def _variable(cursor):
    name = cursor.string("a variable name")
    rank = cursor.number("B", f"the rank of {name}")
    if rank > RANK_MAX:
        cursor.fail(f"{name} has rank {rank}, at most {RANK_MAX} is known")
    shape = [cursor.number("I", f"the shape of {name}") for _ in range(rank)]
    code = cursor.number("B", f"the type of {name}")
    if code not in DTYPES:
        cursor.fail(f"{name} has the unknown type {code}")
    size = cursor.number("I", f"the size of {name}")
    dtype = numpy.dtype(DTYPES[code])
    elements = 1
    for length in shape:
        elements *= length
    if elements * dtype.itemsize != size:
        cursor.fail(
            f"{name} of shape {shape} should have {elements * dtype.itemsize} bytes, the file says {size}"
        )
    return name, numpy.frombuffer(cursor.take(size, f"the data of {name}"), dtype).reshape(shape)


def parse(data, name):
    """`data` (bytes) -> (spec name, {variable or alias: array as stored}). `name` is used in
    messages only.
    """
    cursor = _Cursor(data, name)
    version = cursor.number("I", "the version")
    if version != VERSION:
        cursor.fail(f"version {version} found, {VERSION} expected")
    spec = cursor.string("the spec name")
    cursor.number("I", "the revision")
    count = cursor.number("I", "the number of variables")
    if count > VARIABLES_MAX:
        cursor.fail(f"{count} variables announced, at most {VARIABLES_MAX} are believed")
    variables = {}
    for _ in range(count):
        variable, array = _variable(cursor)
        if variable in variables:
            cursor.fail(f"{variable} occurs twice")
        variables[variable] = array
    for _ in range(cursor.number("I", "the number of aliases")):
        alias, target = cursor.string("an alias"), cursor.string("the target of an alias")
        if target not in variables:
            cursor.fail(f"alias {alias} points to {target}, which is not there")
        variables[alias] = variables[target]
    if cursor.at != len(cursor.data):
        cursor.fail(f"{len(cursor.data) - cursor.at} bytes follow the last alias")
    return spec, variables


def read(paths):
    """Reads one file that may be cut into parts (wheels have a size limit), given in order."""
    data = bytearray()
    for path in paths:
        with open(path, "rb") as stream:
            data += stream.read()
    return parse(data, " + ".join(str(path) for path in paths))
