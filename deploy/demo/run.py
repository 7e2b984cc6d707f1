"""Shows Sekisho at work on two cameras of its own and judges what came out. Started by `deploy/demo/run`.

    run.py [--duration SECONDS]     without a duration: until Ctrl-C

People on the watch list wait for your vote: whenever an alert does, the address of the review page is printed. The page is
opened as reviewer `guard`, because whoever enrolled a person never decides alone.

Exit status 0 when at least one enrolled person reached a confirmed alert and no confirmed alert fell into a moment when
only strangers were in view; 1 otherwise, or when something could not be started.
"""

import argparse
import datetime
import json
import signal
import sys
import time

from compose import CLIPS, ENROLLED
from demosite import CAMERAS, STATE, Failed, Site
from people import PHOTOS

READY_WITHIN_S = 30
# How often the cameras' line is printed.
LINE_EVERY_S = 10
# How often it is asked whether an alert waits for a vote, and how long a printed address is good for: the daemon lets one
# be used within two minutes.
BELL_EVERY_S = 2
ADDRESS_GOOD_FOR_S = 100
# Who the page is opened as.
REVIEWER = "guard"
# An alert belongs to whoever was in view within this long of its opening: detection, looks and the stream's own delay.
SLACK_S = 6.0


def enrol(site):
    print("\nEnrolling from photographs:")
    for who, about in ENROLLED.items():
        on = about.get("list", "staff")
        site.enrol(who, PHOTOS / about["photo"], on)
        print(f"  {who:<8} {about['name']}, on the list {on}, {about['photo']} (the clips show {about['shown']})")
    site.sekisho("reviewers", "add", REVIEWER, "--role", "reviewer", "--generate")


def status(site):
    """The daemon's status document, or None while it does not answer."""
    text = site.sekisho("status", "--json", check=False, timeout=10)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def wait_until_streaming(site):
    """Waits for every camera's first picture; {camera: seconds of the epoch when it streamed}."""
    began, since = time.monotonic(), {}
    while len(since) < len(CAMERAS):
        site.check_alive()
        if time.monotonic() - began > READY_WITHIN_S:
            raise Failed(f"not every camera streams after {READY_WITHIN_S} s; see {STATE}/daemon.log and camera.log")
        for camera in (status(site) or {}).get("cameras-detail", []):
            if camera.get("state") == "streaming":
                since.setdefault(camera["name"], time.time())
        time.sleep(0.2)
    return since


def camera_line(document):
    """One line about all cameras."""
    parts = []
    for camera in document.get("cameras-detail", []):
        verdicts = camera.get("verdicts", {})
        reasons = verdicts.get("not-decidable", {})
        reasons = ", ".join(f"{why} {count}" for why, count in reasons.items()) or "0"
        parts.append(
            f"{camera['name']} {camera['state']}: {len(camera.get('tracks', []))} in view, identified"
            f" {verdicts.get('identified', 0)}, not enrolled {verdicts.get('not-enrolled', 0)}, not decidable {reasons}"
        )
    return "-- " + " | ".join(parts)


class Doorbell:
    """Prints the review page's address when an alert waits for a vote: at once when it is new, and again before the address
    in the terminal has run out."""

    def __init__(self, site):
        self.site, self.known, self.printed_at = site, set(), None

    def look(self):
        document = json.loads(self.site.sekisho("alerts", "list", "--stage", "machine-confirmed", "--json"))
        waiting = {alert["id"] for alert in document["alerts"] if alert["votes-required"] > 0}
        stale = self.printed_at is None or time.monotonic() - self.printed_at > ADDRESS_GOOD_FOR_S
        if waiting and (waiting - self.known or stale):
            ticket = json.loads(self.site.sekisho("review", "--json", "--as", REVIEWER))
            what = "1 alert waits" if len(waiting) == 1 else f"{len(waiting)} alerts wait"
            print(f"\n   >>> {what} for a person to look. Open  {ticket['url']}\n", flush=True)
            self.printed_at = time.monotonic()
        self.known |= waiting


def show(site, duration_s):
    """The live view, until the time is up or Ctrl-C."""
    print("\nLive. Every person who passes ends as one line; alerts appear as they rise. Ctrl-C ends.\n", flush=True)
    site.watch()
    began, line_at, bell = time.monotonic(), time.monotonic() + LINE_EVERY_S, Doorbell(site)
    bell_at = began
    while duration_s is None or time.monotonic() - began < duration_s:
        time.sleep(0.25)
        site.check_alive()
        if time.monotonic() >= bell_at:
            bell_at += BELL_EVERY_S
            bell.look()
        if time.monotonic() >= line_at:
            line_at += LINE_EVERY_S
            if (document := status(site)) is not None:
                print(camera_line(document), flush=True)


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def alerts_of(site):
    """Every alert as it stood last, from the event log: what a receiver was told, not what the daemon believes."""
    latest = {}
    if site.events.exists():
        for line in site.events.read_text().splitlines():
            event = json.loads(line)
            known = latest.get(event["after"]["id"])
            # The log may repeat an event; the one with the higher sequence number is the later one.
            sequence = int(event["id"].rsplit(".", 1)[1])
            if known is None or sequence >= known[0]:
                latest[event["after"]["id"]] = (sequence, event["after"])
    return [alert for _, alert in latest.values()]


def in_view(truth, at_s):
    """Visits in view around a moment of the clip, which repeats."""
    length = truth["frames"] / truth["fps"]
    for number, visit in enumerate(truth["visits"]):
        first, last = visit["first-frame"] / truth["fps"] - 1, visit["last-frame"] / truth["fps"] + SLACK_S
        if any(first <= (at_s % length) + shift <= last for shift in (0, length)):
            yield number, visit


def judge(alerts, since):
    """Prints the closing table; whether the demonstration succeeded."""
    truths = {camera: json.loads((CLIPS / f"{camera}.json").read_text()) for camera in CAMERAS}
    reached, wrong = {}, []
    for alert in alerts:
        camera, person = alert["camera"], alert["person"]
        at_s = seconds_of(alert["opened"]) - since[camera]
        right = [n for n, visit in in_view(truths[camera], at_s) if visit["who"] == person]
        for number in right:
            reached.setdefault((camera, number), []).append(alert)
        if not right:
            wrong.append(alert)
    print(f"\n{'camera':<8}{'who':<12}{'enrolled':<10}{'up to px':>9}  {'expected':<15}what happened")
    for camera, truth in truths.items():
        for number, visit in enumerate(truth["visits"]):
            told = "; ".join(
                f"{a['stage']} ({a['face-px']} px, {a['frames-used']} frames, llr {a['llr']})" for a in reached.get((camera, number), [])
            )
            enrolled = "yes" if visit["enrolled"] else "no"
            expected = visit["expect"]
            if expected == "confirmed" and ENROLLED[visit["who"]].get("list") == "watch":
                expected = "your vote"
            print(f"{camera:<8}{visit['who']:<12}{enrolled:<10}{visit['inter-eye-px-max']:>9}  {expected:<15}{told or 'no alert'}")
    for alert in wrong:
        print(f"wrong: {alert['camera']} took a stranger for {alert['person']} ({alert['stage']}, llr {alert['llr']}, opened {alert['opened']})")
    confirmed = sorted({a["person"] for found in reached.values() for a in found if a["stage"] == "confirmed"})
    wrongly = [a for a in wrong if a["stage"] == "confirmed"]
    print(f"\nconfirmed: {', '.join(confirmed) or 'nobody'}; strangers confirmed: {len(wrongly)}")
    return bool(confirmed) and not wrongly


def demonstrate(site, duration_s):
    print(f"Site of the demonstration: {STATE} (configuration, database, logs)")
    site.sekisho("check-config")
    site.start_cameras()
    enrol(site)
    site.start_daemon()
    since = wait_until_streaming(site)
    try:
        show(site, duration_s)
    except KeyboardInterrupt:
        print("\nstopping")
    # From here on a second Ctrl-C must not leave anything running.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    site.stop("watch", 2)
    print("\n" + site.sekisho("status"))
    code = site.stop("sekisho", 10)
    if code != 0:
        raise Failed(f"the daemon ended with {code} when asked to stop; 0 was expected, see {STATE}/daemon.log")
    return judge(alerts_of(site), since)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--duration", type=float, metavar="SECONDS")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    site = Site()
    try:
        good = demonstrate(site, options.duration)
    except Failed as failure:
        sys.exit(f"deploy/demo/run: {failure}")
    except KeyboardInterrupt:
        sys.exit("deploy/demo/run: interrupted before it began")
    finally:
        site.close()
    if options.duration is not None and not good:
        sys.exit("deploy/demo/run: the demonstration did not show what it should")


if __name__ == "__main__":
    main()
