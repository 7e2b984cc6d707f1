"""The demonstration's site: a configuration made from the shipped one, credentials, and the programs that run."""

import datetime
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = ROOT / ".sekisho/demo"
STATE = PLACE / "state"
BUILT = ROOT / "target/debug"
USER = "viewer"
CAMERAS = ("gate", "yard")


class Failed(Exception):
    """One sentence for whoever watches."""


def set_key(text, section, key, value):
    """Replaces the commented default `#key = ...` of `[section]`; a key the shipped file does not have is an error."""
    lines, current, done = text.splitlines(), "", False
    for at, line in enumerate(lines):
        if line.startswith("[") and line.endswith("]"):
            current = line[1:-1]
        if current == section and line.startswith(f"#{key} = ") and not done:
            lines[at], done = f"{key} = {value}", True
    if not done:
        raise Failed(f"deploy/config.toml has no {key} in [{section}]; deploy/demo/site.py must follow it")
    return "\n".join(lines) + "\n"


def quoted(path):
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_private(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    """Paths and processes of one run. `close` ends everything that was started."""

    def __init__(self):
        shutil.rmtree(STATE, ignore_errors=True)
        (STATE / "credentials").mkdir(parents=True)
        for folder in (STATE, STATE / "credentials"):
            folder.chmod(0o700)
        self.port = free_port()
        self.config = STATE / "sekisho.toml"
        self.events = STATE / "events.ndjson"
        self.processes = {}
        password = secrets.token_hex(16)
        # The camera's own file holds the password alone, the daemon's credential user and password.
        write_private(STATE / "camera-password", password)
        write_private(STATE / "credentials/demo-cameras", f"{USER}:{password}\n")
        self._write_config()

    def _write_config(self):
        text = (ROOT / "deploy/config.toml").read_text()
        socket_path = STATE / "sekisho.sock"
        if len(str(socket_path)) > 107:
            raise Failed(f"{socket_path} is too long for a socket; put the checkout into a folder with a shorter name")
        for section, key, value in (
            ("daemon", "state-dir", quoted(STATE / "data")),
            ("daemon", "socket", quoted(socket_path)),
            ("daemon", "credentials-dir", quoted(STATE / "credentials")),
            ("review", "listen", quoted(f"127.0.0.1:{free_port()}")),
            ("models", "manifest", quoted(ROOT / "models/manifest.toml")),
            ("models", "dir", quoted(ROOT / ".sekisho/models")),
            ("models", "onnxruntime", quoted(ROOT / ".sekisho/onnxruntime/libonnxruntime.so.1.26.0")),
        ):
            text = set_key(text, section, key, value)
        for camera in CAMERAS:
            text += f'\n[cameras.{camera}]\nsource = "rtsp://127.0.0.1:{self.port}/{camera}"\ncredential = "demo-cameras"\n'
        text += f'\n[sinks.demo]\nkind = "event-log"\npath = {quoted(self.events)}\n'
        text += 'stages = ["candidate", "machine-confirmed", "confirmed", "rejected", "expired", "withdrawn"]\n'
        self.config.write_text(text)

    def sekisho(self, *arguments, check=True, timeout=60):
        """Runs one verb to its end and gives its output."""
        command = [str(BUILT / "sekisho"), "--config", str(self.config), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"`sekisho {' '.join(arguments)}` did not answer within {timeout} s") from None
        if check and done.returncode != 0:
            raise Failed(f"`sekisho {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def enrol(self, who, photo, on):
        """Enrols somebody from a photograph, on grounds made up for the demonstration."""
        ends = datetime.date.today() + datetime.timedelta(days=7)
        self.sekisho(
            "gallery", "enroll", who, str(photo), "--list", on, "--purpose", "demonstration",
            "--legal-basis", "notified-purpose", "--record", "deploy/demo", "--notice", "demonstration", "--expires", str(ends),
        )

    def start(self, name, *command, log=None):
        """Starts a program that stays; its output goes to `log` or to the terminal."""
        output = open(STATE / log, "w") if log else None
        # A session of its own: Ctrl-C reaches this script alone, which then stops everything in order.
        self.processes[name] = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
        return self.processes[name]

    def start_cameras(self):
        streams = [word for camera in CAMERAS for word in ("--stream", f"{camera}={PLACE / 'clips' / camera}.mp4")]
        self.start(
            "demo-camera", BUILT / "demo-camera", "--address", "127.0.0.1", "--port", self.port, "--user", USER,
            "--password-file", STATE / "camera-password", *streams, log="camera.log",
        )
        until = time.monotonic() + 15
        while (STATE / "camera.log").read_text().count("ready ") < len(CAMERAS):
            self.check_alive()
            if time.monotonic() > until:
                raise Failed(f"the demonstration's cameras are not ready after 15 s; see {STATE}/camera.log")
            time.sleep(0.1)

    def start_daemon(self):
        self.start("sekisho", BUILT / "sekisho", "--config", self.config, "run", log="daemon.log")

    def watch(self):
        self.start("watch", BUILT / "sekisho", "--config", self.config, "alerts", "watch", "--tracks")

    def check_alive(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                logs = {"sekisho": "daemon.log", "demo-camera": "camera.log"}
                last = ""
                if name in logs:
                    last = "\n".join((STATE / logs[name]).read_text(errors="replace").splitlines()[-8:])
                raise Failed(f"{name} ended by itself with {process.returncode}; the last it said:\n{last}")

    def stop(self, name, within_s):
        """Asks a program to end; None when it was not running, its exit status, or -9 when it had to be killed."""
        process = self.processes.pop(name, None)
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print(f"{name} did not stop within {within_s} s and was killed", file=sys.stderr)
            return -signal.SIGKILL

    def close(self):
        for name in list(self.processes):
            self.stop(name, 5)
