//! A real browser for tests of the review page: Chromium, driven over its debugging pipe.
//!
//! The protocol is JSON between zero bytes on file descriptors 3 and 4, so no crate is needed for it. A page has a
//! context of its own (cookies, storage), as another person at another machine would have. Mouse and keys go the way of
//! the hardware: a button that lies under something, or has no size, cannot be pressed here either.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long the browser may take for one command.
const PATIENCE: Duration = Duration::from_secs(30);

/// The shell puts the pipes where Chromium looks for them; `Command` itself could only with unsafe code.
const LAUNCH: &str = r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"#;

/// What a person sits in front of.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// Width and height in CSS pixels.
    pub size: (u32, u32),
    /// Touch and mobile viewport.
    pub phone: bool,
    /// What the browser says it prefers, `en-US` or `ja`.
    pub language: &'static str,
    /// The dark theme.
    pub dark: bool,
}

impl Device {
    /// A desk with a screen of 1280 x 800, in English.
    pub const DESK: Self = Self { size: (1280, 800), phone: false, language: "en-US", dark: false };
    /// A phone of 390 x 844 at night, in Japanese.
    pub const PHONE: Self = Self { size: (390, 844), phone: true, language: "ja", dark: true };
}

/// A running Chromium; killed when dropped.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    next: u64,
    events: HashMap<String, Vec<Value>>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    /// When Chromium is missing or does not start.
    #[expect(clippy::new_without_default, reason = "starting a browser is not a default")]
    #[must_use]
    pub fn new() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        command.args(["-c", LAUNCH, "sh", "chromium", "--headless=new", "--remote-debugging-pipe", "--disable-gpu"]);
        command.args(["--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage", "--force-color-profile=srgb"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        if rustix::process::geteuid().is_root() {
            // Chromium's own sandbox does not work for root in a container; it shows our own page only.
            command.arg("--no-sandbox");
        }
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("a shell");
        let (to, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (heard, from) = channel();
        let listen = move || {
            for message in BufReader::new(output).split(0) {
                let Some(message) = message.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) else { return };
                if heard.send(message).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("browser".into()).spawn(listen).expect("a thread");
        let mut browser = Self { child, to, from, next: 0, events: HashMap::new(), _profile: profile };
        let version = browser.call("Browser.getVersion", &json!({}), None);
        assert!(version["product"].as_str().is_some_and(|name| name.contains("Chrome")), "no Chromium: {version}");
        browser
    }

    fn call(&mut self, method: &str, params: &Value, session: Option<&str>) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let gone = "Chromium is missing or ended at once; run deploy/setup, which installs it";
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect(gone);
        loop {
            let answer = match self.from.recv_timeout(PATIENCE) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => panic!("Chromium gave no answer to {method} within 30 s"),
                Err(RecvTimeoutError::Disconnected) => panic!("{gone}"),
            };
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            if let Some(session) = answer["sessionId"].as_str() {
                self.events.entry(session.to_owned()).or_default().push(answer);
            }
        }
    }

    /// Opens an address as somebody new: no cookies, nothing stored.
    ///
    /// # Panics
    /// When the browser refuses.
    pub fn open(&mut self, device: Device, address: &str) -> Page<'_> {
        let context = self.call("Target.createBrowserContext", &json!({}), None)["browserContextId"].clone();
        let target = json!({ "url": "about:blank", "browserContextId": context });
        let target = self.call("Target.createTarget", &target, None)["targetId"].clone();
        let attached = self.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }), None);
        let session = attached["sessionId"].as_str().expect("attached").to_owned();
        let mut page = Page { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        let (width, height) = device.size;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": device.phone });
        page.call("Emulation.setDeviceMetricsOverride", metrics);
        page.call("Emulation.setTouchEmulationEnabled", json!({ "enabled": device.phone }));
        page.call("Emulation.setLocaleOverride", json!({ "locale": device.language }));
        let agent =
            json!({ "userAgent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/150", "acceptLanguage": device.language });
        page.call("Emulation.setUserAgentOverride", agent);
        let scheme = json!({ "name": "prefers-color-scheme", "value": if device.dark { "dark" } else { "light" } });
        page.call("Emulation.setEmulatedMedia", json!({ "features": [scheme] }));
        page.go(address);
        page
    }

    /// Another look at a page opened before.
    #[must_use]
    pub fn page(&mut self, session: &str) -> Page<'_> {
        Page { browser: self, session: session.to_owned() }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// One page. The browser has one at a time in hand; [`Page::id`] finds it again.
pub struct Page<'b> {
    browser: &'b mut Browser,
    session: String,
}

impl Page<'_> {
    /// For [`Browser::page`].
    #[must_use]
    pub fn id(&self) -> String {
        self.session.clone()
    }

    /// One command of the protocol.
    ///
    /// # Panics
    /// When it is refused.
    #[expect(clippy::needless_pass_by_value, reason = "every caller makes it on the spot")]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let session = self.session.clone();
        self.browser.call(method, &params, Some(&session))
    }

    /// Goes to an address.
    pub fn go(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": address }));
    }

    /// The value of an expression, promises awaited.
    ///
    /// # Panics
    /// When it throws.
    pub fn eval(&mut self, code: &str) -> Value {
        let params = json!({ "expression": code, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{code}: {}",
            answer["exceptionDetails"]["exception"]["description"]
        );
        answer["result"]["value"].clone()
    }

    /// The text that can be seen at a selector; empty where nothing is.
    pub fn text(&mut self, selector: &str) -> String {
        let code = format!("document.querySelector({})?.innerText ?? ''", json!(selector));
        self.eval(&code).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// When it is not within `seconds`; what the page shows is printed.
    pub fn until(&mut self, what: &str, seconds: u64, code: &str) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(seconds) {
            // While a page is being loaded there is nothing yet to ask.
            if self.eval(&format!("(() => {{ try {{ return Boolean({code}); }} catch {{ return false; }} }})()"))
                == true
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let shown = self.eval("document.body?.innerText");
        panic!(
            "{what}: not within {seconds} s ({code}); {:?}; the page shows:\n{}",
            self.problems(),
            shown.as_str().unwrap_or_default()
        );
    }

    /// Waits until a selector is there.
    pub fn see(&mut self, selector: &str) {
        self.until(selector, 15, &format!("document.querySelector({})", json!(selector)));
    }

    /// Waits until the visible text holds `words`.
    pub fn read(&mut self, words: &str) {
        self.until(words, 15, &format!("document.body?.innerText.includes({})", json!(words)));
    }

    /// Presses the mouse at the middle of the first element of a selector.
    ///
    /// # Panics
    /// When it is not there, or something lies over it.
    pub fn click(&mut self, selector: &str) {
        self.see(selector);
        let code = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'nearest' }});
               const r = e.getBoundingClientRect(); const x = r.x + r.width / 2, y = r.y + r.height / 2;
               const top = document.elementFromPoint(x, y);
               return e.contains(top) || top?.contains(e) && top.tagName === 'LABEL' ? [x, y] : String(top?.outerHTML).slice(0, 200); }})()",
            json!(selector)
        );
        let at = self.eval(&code);
        let (Some(x), Some(y)) = (at[0].as_f64(), at[1].as_f64()) else { panic!("{selector} lies under {at}") };
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Presses a key: one character, or `Enter`, `Escape`, `Tab`, `ArrowDown`...
    pub fn key(&mut self, key: &str) {
        let (text, code) = match key {
            "Enter" => ("\r", 13),
            "Escape" => ("", 27),
            "Tab" => ("", 9),
            " " => (" ", 32),
            one if one.len() == 1 => (one, i32::from(one.as_bytes()[0].to_ascii_uppercase())),
            _ => ("", 0),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Types into whatever has the focus.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Everything the page complained about so far: exceptions, console errors and warnings, violations of its content
    /// security policy, requests that failed with a status outside `expected`.
    pub fn problems_except(&mut self, expected: &[u64]) -> Vec<String> {
        self.eval("1");
        let events = self.browser.events.get(&self.session).cloned().unwrap_or_default();
        events.iter().filter_map(|event| problem(event, expected)).collect()
    }

    /// The same, with nothing expected.
    pub fn problems(&mut self) -> Vec<String> {
        self.problems_except(&[])
    }

    /// Interactive parts that a screen reader could not name, as role and place.
    pub fn unnamed(&mut self) -> Vec<String> {
        const NAMED: [&str; 11] = [
            "button",
            "link",
            "textbox",
            "combobox",
            "checkbox",
            "radio",
            "img",
            "dialog",
            "navigation",
            "list",
            "heading",
        ];
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let seen = nodes.iter().filter(|node| node["ignored"] != true);
        let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
        // Lists within a labelled part need no name of their own.
        let nameless = seen.filter(|node| {
            let role = role(node);
            NAMED.contains(&role.as_str())
                && role != "list"
                && node["name"]["value"].as_str().unwrap_or_default().trim().is_empty()
        });
        nameless.map(|node| format!("{} {}", role(node), node["nodeId"])).collect()
    }
}

fn problem(event: &Value, expected: &[u64]) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"]["exception"]["description"].to_string()),
        "Runtime.consoleAPICalled" if ["error", "warning", "assert"].iter().any(|kind| params["type"] == *kind) => {
            Some(params["args"].to_string())
        }
        "Log.entryAdded" => {
            let entry = &params["entry"];
            let text = entry["text"].as_str().unwrap_or_default();
            let known = expected.iter().any(|status| text.contains(&format!("status of {status}")));
            let bad = entry["level"] == "error" || entry["level"] == "warning" || entry["source"] == "security";
            (bad && !known).then(|| format!("{text} {}", entry["url"]))
        }
        _ => None,
    }
}
