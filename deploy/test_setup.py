"""python -m unittest discover -s deploy -p 'test_*.py': the parts of the set-up that need no network."""

import contextlib
import io
import pathlib
import tempfile
import tomllib
import unittest
import zipfile

import fetch
import onnx_edit

HERE = pathlib.Path(__file__).parent


class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)

    def test_a_wrong_hash_is_refused_by_name_with_both_hashes(self):
        file = self.root / "net.onnx"
        file.write_bytes(b"tampered")
        with self.assertRaises(fetch.Refused) as refused:
            fetch.check("net.onnx", file, "0" * 64)
        for word in ("net.onnx", fetch.sha256(file), "0" * 64):
            self.assertIn(word, str(refused.exception))

    def test_a_changed_file_is_named_and_fetched_again_and_a_right_one_is_left_alone(self):
        (self.root / "a").write_bytes(b"right")
        (self.root / "b").write_bytes(b"wrong")
        right = fetch.sha256(self.root / "a")
        package = {"file": [{"target": name, "sha256": right} for name in ("a", "b", "c")]}
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            missing = fetch.missing_files(self.root, package)
        self.assertEqual([file["target"] for file in missing], ["b", "c"])
        self.assertIn(f"{self.root / 'b'} is refused", said.getvalue())

    def test_only_the_named_member_leaves_a_package(self):
        wheel = self.root / "p.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("wanted", b"1")
            archive.writestr("private", b"2")
        fetch.take_out(wheel, "wanted", self.root / "out")
        self.assertEqual((self.root / "out").read_bytes(), b"1")
        self.assertEqual(sorted(p.name for p in self.root.iterdir()), ["out", "p.whl"])
        with self.assertRaises(fetch.Refused):
            fetch.take_out(wheel, "absent", self.root / "out")

    def test_every_pin_is_whole(self):
        with open(HERE / "fetched.toml", "rb") as file:
            packages = tomllib.load(file)["package"]
        for package in packages:
            self.assertIn(package["part"], ("runtime", "demo", "providers"))
            self.assertIn(package["from"], ("wheel", "sdist", "crate"))
            hashes = [package["sha256"]] + [file["sha256"] for file in package["file"]]
            hashes += [file["edited-sha256"] for file in package["file"] if "edit" in file]
            self.assertTrue(all(len(h) == 64 and int(h, 16) for h in hashes), package["name"])


class Edit(unittest.TestCase):
    def value(self, name, *dims):
        shape = b"".join(onnx_edit.field(1, b"\x08" + onnx_edit.varint(dim)) for dim in dims)
        tensor = b"\x08\x01" + onnx_edit.field(2, shape)
        return onnx_edit.field(1, name) + onnx_edit.field(2, onnx_edit.field(1, tensor))

    def test_weights_leave_the_inputs_and_the_batch_becomes_symbolic(self):
        weight = onnx_edit.field(8, b"w")
        node, unused = onnx_edit.field(1, b"data") + onnx_edit.field(1, b"w"), onnx_edit.field(8, b"w_shape")
        graph = onnx_edit.field(1, node) + onnx_edit.field(5, weight) + onnx_edit.field(5, unused)
        graph += onnx_edit.field(11, self.value(b"data", 1, 3, 112, 112))
        graph += onnx_edit.field(11, self.value(b"w", 300)) + onnx_edit.field(12, self.value(b"fc1", 1, 128))
        edited = onnx_edit.sface(graph)
        inputs = [content for number, _, content in onnx_edit.fields(edited) if number == 11]
        self.assertEqual([onnx_edit.name_of(content, 1) for content in inputs], ["data"])
        self.assertIn(onnx_edit.field(1, onnx_edit.field(2, b"batch")), inputs[0])
        self.assertIn(onnx_edit.field(5, weight), edited)
        self.assertNotIn(onnx_edit.field(5, unused), edited)
        self.assertEqual(onnx_edit.sface(edited), edited)

    def test_truncated_files_are_refused(self):
        whole = onnx_edit.field(7, onnx_edit.field(12, self.value(b"fc1", 1, 128)))
        for end in (1, 2, len(whole) // 2, len(whole) - 1):
            with self.assertRaises(ValueError):
                list(onnx_edit.fields(whole[:end]))

    def test_numbers_round_trip(self):
        for number in (0, 1, 127, 128, 300, 2**31, 2**63):
            self.assertEqual(onnx_edit.read_varint(onnx_edit.varint(number), 0)[0], number)


if __name__ == "__main__":
    unittest.main()
