#!/usr/bin/env python3
"""Texts of the Debian packages that are made from something else. Called by deploy/package/build.

    texts.py changelog PACKAGE VERSION               the changelog in Debian's form, dated SOURCE_DATE_EPOCH
    texts.py network-files MANIFEST FETCHED          each file the manifest names: where it is, tab, where it belongs
    texts.py copyright LICENSE ARCHITECTURE FOLDER   writes `copyright` and `third-party.gz` into FOLDER
"""

import email.utils
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tomllib

MAINTAINER = "Sekisho <sekisho@sekisho.invalid>"
TARGETS = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
ROOT = pathlib.Path(__file__).parents[2]
# Names under which crates carry their terms and attributions.
TERMS = ("license", "licence", "copying", "copyright", "notice", "unlicense")


def changelog(package, version):
    when = email.utils.formatdate(int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    print(f"{package} ({version}) bookworm; urgency=medium\n\n  * What changed is in /usr/share/doc/sekisho/CHANGELOG.md.\n")
    print(f" -- {MAINTAINER}  {when}")


def named_files(manifest, fetched):
    """The manifest and every file that it names, that those name in turn, and so on, relative to the manifest."""
    todo, seen = [pathlib.Path(manifest.name)], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.suffix != ".toml":
            continue
        for value in strings(tomllib.loads((manifest.parent / path).read_text())):
            named = path.parent / value
            if len(value) < 200 and any((folder / named).is_file() for folder in (manifest.parent, fetched)):
                todo.append(named)
    return seen


def strings(value):
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def network_files(manifest, fetched):
    manifest, fetched = pathlib.Path(manifest), pathlib.Path(fetched)
    networks = tomllib.loads(manifest.read_text())["models"].values()
    paths = named_files(manifest, fetched)
    if absent := [network["file"] for network in networks if pathlib.Path(network["file"]) not in paths]:
        sys.exit(f"deploy/package/texts.py: {manifest} names {', '.join(absent)}, in neither folder; run deploy/setup")
    for path in sorted(paths):
        folder = manifest.parent if (manifest.parent / path).is_file() else fetched
        print(f"{folder / path}\t{path}")


def linked_crates(target):
    """The crates that are linked into the program, by cargo's own account; build scripts and tests are left out."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    todo = [package["id"] for package in packages.values() if package["name"] == "sekisho"]
    seen = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for dependency in nodes[name]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    # What compiles C code brings that code along.
    sources = [package for package in packages.values() if package["name"].endswith("-src")]
    seen.update(package["id"] for package in sources)
    return sorted((packages[name] for name in seen if packages[name]["source"]), key=lambda p: (p["name"], p["version"]))


def terms(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().startswith(TERMS))
    for path in files:
        if path.suffix.lower() not in (".rs", ".c", ".h", ".html"):
            yield path.relative_to(folder), path.read_text(errors="replace").strip()


def third_party(crates, notices):
    """Every crate with its licence, then every text once, with the crates it came with."""
    lines = ["Rust packages that are linked into /usr/bin/sekisho, with the licence each declares.", ""]
    texts = {}
    for package in crates:
        lines.append(f"{package['name']} {package['version']}: {package['license'] or package['license_file']}")
        for name, text in terms(package):
            texts.setdefault(text, []).append(f"{package['name']} {package['version']} ({name})")
    for text, owners in texts.items():
        lines += ["", "=" * 80, *owners, "-" * 80, text]
    for notice in notices:
        lines += ["", "=" * 80, f"ONNX Runtime ({notice.name})", "-" * 80, notice.read_text(errors="replace").strip()]
    return "\n".join(lines) + "\n"


def paragraph(text):
    """A text as a field of a copyright file: each line after a blank, empty ones as a dot."""
    return "\n".join(f" {line}" if line.strip() else " ." for line in text.strip().splitlines())


def expression(licence):
    """An SPDX expression as a copyright file writes one."""
    return (licence or "see third-party.gz").replace("/", " or ").replace(" OR ", " or ").replace(" AND ", " and ")


def copyright_files(licence, architecture, folder):
    folder = pathlib.Path(folder)
    crates = linked_crates(TARGETS[architecture])
    by_licence = {}
    for package in crates:
        by_licence.setdefault(expression(package["license"]), []).append(package["name"])
    head = (ROOT / "deploy/package/copyright").read_text()
    mit = {"@ONNXRUNTIME@": pathlib.Path(licence), "@YUNET@": ROOT / "deploy/licenses/MIT-yunet.txt"}
    for mark, path in mit.items():
        head = head.replace(mark, paragraph(path.read_text()))
    listed = [f" {terms}: {', '.join(sorted(set(names)))}" for terms, names in sorted(by_licence.items())]
    (folder / "copyright").write_text(head.replace("@CRATES@", "\n".join(listed)))
    notices = sorted(pathlib.Path(licence).parent.glob("ThirdPartyNotices*"))
    with open(folder / "third-party.gz", "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=9) as packed:
            packed.write(third_party(crates, notices).encode())


if __name__ == "__main__":
    what = {"changelog": changelog, "network-files": network_files, "copyright": copyright_files}
    what[sys.argv[1]](*sys.argv[2:])
