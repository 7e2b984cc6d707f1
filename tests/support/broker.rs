//! A real MQTT broker: Mosquitto on a free port, with TLS and a password, that can be killed and started again, and a
//! subscriber that writes down what it hears.

use crate::certificates::Certificates;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The user that everybody is.
pub const USER: &str = "box";
/// And the password.
pub const PASSWORD: &str = "br0ker-c4nary";

/// Whether Mosquitto is installed; said aloud when not.
#[must_use]
pub fn installed() -> bool {
    let there = |program: &str| {
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let both = there("mosquitto") && there("mosquitto_sub");
    if !both {
        eprintln!("SKIPPED: mosquitto and mosquitto-clients are not installed; run deploy/setup");
    }
    both
}

/// A broker. Killed when dropped.
pub struct Broker {
    /// Where clients come in, with TLS.
    pub port: u16,
    /// The certificates it was made with.
    pub certificates: Certificates,
    config: PathBuf,
    child: Option<Child>,
}

impl Broker {
    /// Starts one in `dir`. Its configuration ends with `more`.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(dir: &Path, more: &str) -> Self {
        let certificates = Certificates::make(dir);
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let passwords = dir.join("passwords");
        let made = Command::new("mosquitto_passwd").arg("-c").arg("-b").arg(&passwords).args([USER, PASSWORD]).status();
        assert!(made.expect("mosquitto_passwd").success());
        let config = dir.join("mosquitto.conf");
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\ncafile {}\ncertfile {}\n\
             keyfile {}\nlog_type all\n{more}\n",
            passwords.display(),
            certificates.ca.display(),
            certificates.server.display(),
            certificates.server_key.display(),
        );
        std::fs::write(&config, text).expect("a writable folder");
        let mut broker = Self { port, certificates, config, child: None };
        broker.restart();
        broker
    }

    /// Starts it again, after [`kill`](Self::kill).
    ///
    /// # Panics
    /// When it does not come up within ten seconds.
    pub fn restart(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let child = Command::new("mosquitto").arg("-c").arg(&self.config).stderr(log).spawn().expect("mosquitto");
        self.child = Some(child);
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the broker did not come up:\n{}", self.log());
    }

    /// Kills it with SIGKILL; it keeps nothing.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.config.with_extension("log")
    }

    /// Listens to every topic, and returns once everything the broker holds has been heard: it hands that over before
    /// what is published after the subscription, and a message of ours has come back.
    ///
    /// # Panics
    /// When the broker does not take the subscription within ten seconds, or the message does not come back in ten.
    #[must_use]
    pub fn listen(&self) -> Listener {
        let taken = || self.log().matches("Sending SUBACK").count();
        let before = taken();
        let listener =
            Listener::start(self.client("mosquitto_sub").args(["-t", "#", "--retain-as-published", "-F", "%j"]));
        for _ in 0..200 {
            if taken() > before {
                self.publish(&["-t", "listener/caught-up", "-m", ""]);
                listener.wait_until("our own message", 10, |listener| listener.last("listener/caught-up").is_some());
                return listener;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the broker took no subscription:\n{}", self.log());
    }

    /// Publishes as another client, retained.
    ///
    /// # Panics
    /// When the broker does not take it.
    pub fn retain(&self, topic: &str, payload: &str) {
        self.publish(&["-r", "-t", topic, "-m", payload]);
    }

    fn publish(&self, what: &[&str]) {
        let said = self.client("mosquitto_pub").args(["-q", "1"]).args(what).status();
        assert!(said.expect("mosquitto_pub").success());
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-V", "mqttv5", "-p"]).arg(self.port.to_string());
        command.arg("--cafile").arg(&self.certificates.ca).args(["-u", USER, "-P", PASSWORD]);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One message as it was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: String,
    /// Whether it was published to be retained.
    pub retain: bool,
    /// MQTT 5 properties, as `mosquitto_sub` names them.
    pub properties: Value,
}

impl Heard {
    /// The payload as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or_else(|error| panic!("{}: {error}: {}", self.topic, self.payload))
    }
}

/// A subscriber to everything. Killed when dropped.
pub struct Listener {
    child: Child,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Listener {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("mosquitto_sub");
        let output = child.stdout.take().expect("piped");
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
                notes.lock().unwrap_or_else(PoisonError::into_inner).push(Heard {
                    topic: text("topic"),
                    payload: text("payload"),
                    retain: message["retain"] == 1,
                    properties: message["properties"].clone(),
                });
            }
        });
        Self { child, heard }
    }

    /// Everything so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last message on a topic.
    #[must_use]
    pub fn last(&self, topic: &str) -> Option<Heard> {
        self.heard().into_iter().rev().find(|heard| heard.topic == topic)
    }

    /// Waits, `seconds` at the most, until `holds`.
    ///
    /// # Panics
    /// When it never does, with everything heard.
    pub fn wait_until(&self, what: &str, seconds: u32, holds: impl Fn(&Self) -> bool) {
        for _ in 0..seconds * 20 {
            if holds(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let heard: Vec<_> =
            self.heard().into_iter().map(|heard| format!("{} {}", heard.topic, heard.payload)).collect();
        panic!("{what} was not heard within {seconds} s:\n{}", heard.join("\n"));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
