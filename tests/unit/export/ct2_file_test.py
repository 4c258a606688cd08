"""CTranslate2 files are read whole or refused with the place of the damage."""

import struct
import unittest

import support

support.need_modules("numpy")
import ct2_file
import numpy


def text(value):
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name, code, array):
    head = text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
    return head + struct.pack("<BI", code, array.nbytes) + array.tobytes()


MATRIX = numpy.array([[1.0, 2.0, 3.0], [-4.0, 0.5, 6.0]], dtype="<f4")
HALVES = numpy.array([0.25, -2.0], dtype="<f2")
HEADS = numpy.array(8, dtype="<i2")


def tiny_file(version=6, matrix_code=0, aliases=(("projection", "matrix"),), tail=b""):
    body = struct.pack("<I", version) + text("TinySpec") + struct.pack("<II", 3, 3)
    body += (
        variable("matrix", matrix_code, MATRIX) + variable("halves", 4, HALVES) + variable("heads", 2, HEADS)
    )
    body += struct.pack("<I", len(aliases))
    for alias, target in aliases:
        body += text(alias) + text(target)
    return body + tail


class Ct2File(unittest.TestCase):
    def test_a_whole_file_gives_its_arrays_and_aliases(self):
        spec, variables = ct2_file.parse(tiny_file(), "tiny")
        self.assertEqual(spec, "TinySpec")
        self.assertEqual(sorted(variables), ["halves", "heads", "matrix", "projection"])
        numpy.testing.assert_array_equal(variables["matrix"], MATRIX)
        numpy.testing.assert_array_equal(variables["projection"], MATRIX)
        numpy.testing.assert_array_equal(variables["halves"], HALVES)
        self.assertEqual(variables["halves"].dtype, numpy.float16)
        self.assertEqual(int(variables["heads"]), 8)

    def test_a_file_cut_at_any_byte_is_refused_with_name_and_place(self):
        whole = tiny_file()
        for length in range(len(whole)):
            with self.assertRaises(ct2_file.Ct2Error) as caught:
                ct2_file.parse(whole[:length], "models/model.bin")
            self.assertIn("models/model.bin", str(caught.exception))
            self.assertIn(f"of {length}", str(caught.exception))
            self.assertIn("the file ends inside", str(caught.exception))

    def test_parts_are_joined_in_the_order_given(self):
        import tempfile, pathlib

        whole = tiny_file()
        with tempfile.TemporaryDirectory() as folder:
            first, second = pathlib.Path(folder, "a"), pathlib.Path(folder, "b")
            first.write_bytes(whole[:40])
            second.write_bytes(whole[40:])
            numpy.testing.assert_array_equal(ct2_file.read([first, second])[1]["matrix"], MATRIX)
            with self.assertRaises(ct2_file.Ct2Error):
                ct2_file.read([second, first])

    def test_what_is_not_understood_is_refused(self):
        for name, data, expected in (
            ("another version", tiny_file(version=5), "version 5 found, 6 expected"),
            ("an unknown type", tiny_file(matrix_code=9), "matrix has the unknown type 9"),
            ("a size that disagrees", tiny_file(matrix_code=4), "should have 12 bytes, the file says 24"),
            ("a dangling alias", tiny_file(aliases=(("x", "nothing"),)), "points to nothing"),
            ("bytes after the end", tiny_file(tail=b"zz"), "2 bytes follow"),
            ("an absurd count", struct.pack("<I", 6) + text("S") + struct.pack("<II", 3, 1 << 30), "at most"),
        ):
            with self.subTest(name):
                with self.assertRaisesRegex(ct2_file.Ct2Error, expected):
                    ct2_file.parse(data, "tiny")


if __name__ == "__main__":
    support.main()
