"""Takes the pictures of deploy/guide/review.md from the real daemon on the demonstration's cameras.

    .sekisho/venv/bin/python deploy/guide/shots.py      needs `cargo build --workspace` and deploy/setup before

Only the demonstration's people are seen, whose photographs are in the public domain. Waits for alerts as they rise, a
minute or two; every vote in the pictures is cast through the page.
"""

import json
import pathlib
import secrets
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "demo"))

import demosite  # noqa: E402
from chromium import Chromium, Failed, Page  # noqa: E402
from compose import ENROLLED  # noqa: E402
from demosite import Failed as SiteFailed  # noqa: E402
from demosite import Site, write_private  # noqa: E402
from people import PHOTOS  # noqa: E402

OUT = HERE / "review"
BYTES_MAX = 150_000
# Who is on which list. Two people are asked about the second one.
LISTS = {"collins": "watch", "hopper": "banned", "obama": "watch"}
READY_WITHIN_S = 30
ALERTS_WITHIN_S = 150
PHONE = {"size": (390, 844), "phone": True, "scale": 1.5, "dark": True}
DESK = {"size": (1280, 800)}
WORDS = {"en": ("en-US", "en"), "ja": ("ja", "ja")}


def configure(site):
    """The demonstration's site with the review page on a free port, and a list that asks two people."""
    text = site.config.read_text()
    text = text.replace('#listen = "127.0.0.1:7788"', 'listen = "127.0.0.1:0"')
    # Nobody has to hurry while pictures are taken.
    text = text.replace("[lists.watch]\n", "[lists.watch]\nvote-expires-s = 3600\n", 1)
    text += '\n[lists.banned]\nconfirm = "two-person"\nvote-expires-s = 3600\n'
    for camera in ("gate", "yard"):
        text = text.replace(f"[cameras.{camera}]\nsource", f'[cameras.{camera}]\nlists = ["staff", "watch", "banned"]\nsource')
    site.config.write_text(text)


def people(site):
    for who, about in ENROLLED.items():
        site.enrol(who, PHOTOS / about["photo"], LISTS[who])
    password = secrets.token_urlsafe(12)
    write_private(site.config.parent / "reviewer-password", password + "\n")
    for name in ("sato", "mori"):
        site.sekisho("reviewers", "add", name, "--role", "reviewer", "--password-file", str(site.config.parent / "reviewer-password"))
    return password


def wait_until_ready(site):
    until = time.monotonic() + READY_WITHIN_S
    while not site.sekisho("status", "--json", check=False):
        site.check_alive()
        if time.monotonic() > until:
            raise Failed(f"the daemon does not answer after {READY_WITHIN_S} s; see {demosite.STATE}/daemon.log")
        time.sleep(0.2)


def status(site):
    return json.loads(site.sekisho("status", "--json"))


def wait_for_alerts(site):
    """Until somebody of each list waits for people."""
    until = time.monotonic() + ALERTS_WITHIN_S
    while True:
        site.check_alive()
        waiting = json.loads(site.sekisho("alerts", "list", "--stage", "machine-confirmed", "--json"))["alerts"]
        if {alert["list"] for alert in waiting} >= {"watch", "banned"} and len(waiting) >= 3:
            return
        if time.monotonic() > until:
            raise Failed(f"after {ALERTS_WITHIN_S} s only {len(waiting)} alerts wait for people")
        time.sleep(1)


def log_in(page, name, password):
    page.until("document.querySelector('#name')")
    page.value(f"document.querySelector('#name').value = {json.dumps(name)};"
               f"document.querySelector('#password').value = {json.dumps(password)};"
               "document.querySelector('form').requestSubmit()")
    page.until("document.querySelectorAll('.queue-view .row').length > 0")


def open_alert(page, person):
    page.value("location.hash = '#/queue'")
    row = f"[...document.querySelectorAll('.queue-view a.item')].find((row) => row.textContent.includes('{person}'))"
    page.until(row)
    page.value(f"location.hash = {row}.getAttribute('href')")
    page.until("document.querySelector('.alert-body:not([hidden])')")
    settle(page)


def settle(page):
    page.until("[...document.images].every((image) => image.complete || !image.checkVisibility()"
               " || image.getBoundingClientRect().top > innerHeight)")
    time.sleep(0.5)


def take(page, name):
    path = OUT / f"{name}.png"
    # Focus rings and tips belong to whoever works, not to a picture.
    page.value("document.activeElement?.blur()")
    for colours in (256, 128, 64):
        page.picture(path, colours)
        if path.stat().st_size <= BYTES_MAX:
            print(f"  {path.relative_to(HERE.parents[1])}  {path.stat().st_size // 1000} kB")
            return
    raise Failed(f"{path} has {path.stat().st_size} bytes, more than {BYTES_MAX}")


def walk(browser, address, password, language, device, reviewer, suffix, votes):
    """Every view once; `votes`: whether this walk casts one, for the picture after it."""
    locale, word = WORDS[language]
    device = dict(device)
    page = Page(browser, address, device.pop("size"), locale, **device)
    log_in(page, reviewer, password)
    settle(page)
    time.sleep(1.5)
    take(page, f"queue-{word}{suffix}")
    if votes:
        open_alert(page, "hopper")
        take(page, f"decide-{word}{suffix}")
        page.key("y")
        page.key("1")
        page.until("document.querySelector('.result')", 15)
        settle(page)
        take(page, f"after-{word}{suffix}")
    page.value("location.hash = '#/history'")
    page.until("document.querySelectorAll('.history .row').length > 0")
    settle(page)
    take(page, f"history-{word}{suffix}")
    page.value("location.hash = '#/cameras'")
    page.until("document.querySelectorAll('.camera-card').length > 0")
    settle(page)
    take(page, f"cameras-{word}{suffix}")


def main():
    OUT.mkdir(exist_ok=True)
    # A state of its own: a demonstration may be running beside this.
    demosite.STATE = demosite.PLACE / "guide-state"
    site = Site()
    browser = None
    try:
        configure(site)
        site.start_cameras()
        password = people(site)
        site.start_daemon()
        wait_until_ready(site)
        wait_for_alerts(site)
        address = f"http://{status(site)['review']['address']}/"
        browser = Chromium()
        walk(browser, address, password, "en", DESK, "sato", "", votes=True)
        walk(browser, address, password, "ja", DESK, "mori", "", votes=True)
        walk(browser, address, password, "en", PHONE | {"dark": False}, "sato", "-phone", votes=False)
        walk(browser, address, password, "ja", PHONE, "mori", "-phone", votes=False)
        phone_decisions(browser, address, password)
    finally:
        if browser:
            browser.close()
        site.close()


def phone_decisions(browser, address, password):
    """The decision on a phone, in both languages, of somebody whom neither has voted on."""
    for language, name in (("en", "sato"), ("ja", "mori")):
        page = Page(browser, address, PHONE["size"], WORDS[language][0], phone=True, scale=PHONE["scale"], dark=language == "ja")
        log_in(page, name, password)
        open_alert(page, "collins")
        take(page, f"decide-{language}-phone")
        if language == "ja":
            page.key("y")
            page.key("1")
            page.until("document.querySelector('.result')", 15)
            settle(page)
            take(page, f"after-{language}-phone")


if __name__ == "__main__":
    try:
        main()
    except (Failed, SiteFailed) as failed:
        sys.exit(f"shots.py: {failed}")
