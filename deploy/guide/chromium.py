"""A headless Chromium over its debugging pipe: enough to walk through the review page and take pictures of it."""

import base64
import io
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from PIL import Image

# The shell puts the pipes onto the descriptors where Chromium looks for them.
LAUNCH = 'exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null'
PATIENCE_S = 30


class Failed(Exception):
    """One sentence for whoever watches."""


class Chromium:
    """A running browser; `close` ends it."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="sekisho-guide-")
        command = ["chromium", "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
                   "--hide-scrollbars", "--force-color-profile=srgb", f"--user-data-dir={self.profile}"]
        if os.geteuid() == 0:
            # Chromium's own sandbox does not work for root in a container; it shows our own page only.
            command.append("--no-sandbox")
        self.process = subprocess.Popen(["sh", "-c", LAUNCH, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.number, self.buffer = 0, b""
        self.call("Browser.getVersion")

    def _message(self):
        until = time.monotonic() + PATIENCE_S
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))
            part = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not part:
                raise Failed("Chromium is missing, ended or gave no answer within 30 s; deploy/setup installs it")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        while (answer := self._message()).get("id") != self.number:
            pass
        if "error" in answer:
            raise Failed(f"Chromium refuses {method}: {answer['error']}")
        return answer["result"]

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    """One page with cookies of its own, as somebody else's browser would have."""

    def __init__(self, browser, address, size, language, phone=False, scale=1.0, dark=False):
        self.browser = browser
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=scale, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.call("Emulation.setLocaleOverride", locale=language)
        agent = "Mozilla/5.0 (X11; Linux x86_64) Chrome/150"
        self.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def value(self, code):
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Failed(f"{code}: {answer['exceptionDetails']['text']}")
        return answer["result"].get("value")

    def until(self, code, seconds=20):
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({code})"):
            if time.monotonic() > end:
                raise Failed(f"not within {seconds} s: {code}; the page shows {self.value('document.body.innerText')[:500]!r}")
            time.sleep(0.1)

    def key(self, key):
        code = ord(key.upper()) if len(key) == 1 else {"Escape": 27}[key]
        for kind in ("keyDown", "keyUp"):
            text = key if kind == "keyDown" and len(key) == 1 else ""
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text, windowsVirtualKeyCode=code)

    def picture(self, path, colours=200):
        """A PNG of what is seen, with a palette: small enough to be kept with the sources."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        image = Image.open(io.BytesIO(data)).convert("RGB")
        image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
