//! The live view of `sekisho alerts watch`: open alerts, cameras and what happens, for as long as somebody looks.
//!
//! One task listens to the daemon's events, one asks how things stand; both report over a bounded channel to the loop
//! here, which alone draws and reads keys. Nothing of the view ever waits for the daemon.

mod draw;
mod screen;
#[cfg(test)]
mod tests;

use super::Failure;
use super::client::{Client, Next};
use crate::clock::SystemClock;
use crate::local_time::LocalClock;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use screen::{Key, Looked, Screen, Wish};
use sekisho_logic::time::Clock as _;
use serde_json::Value;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};

/// News that wait to be drawn. More come only when the terminal does not take what is written; they are counted.
const NEWS_MAX: usize = 256;

/// Keys are looked for this often.
const KEYS_EVERY: Duration = Duration::from_millis(50);

/// Everything is asked for anew this often, whether or not an event came.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// After an event a moment passes before the daemon is asked, so that a burst of them costs one question.
const SETTLE: Duration = Duration::from_millis(200);

/// Waits before the next attempt to reach a daemon that is gone; the last one repeats.
const WAITS_S: [u64; 4] = [1, 2, 5, 10];

/// Open alerts of one stage that are asked for.
const ALERTS_MAX: u32 = 200;

/// What the tasks report.
enum News {
    Looked(Box<Looked>),
    Event(Value),
    Lost(String),
}

/// Whether there is somebody with a terminal that can be drawn on.
#[must_use]
pub fn possible() -> bool {
    let drawn = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
    drawn && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// The terminal in the state that drawing needs; as it was again when dropped, also after a panic.
struct Drawing(ratatui::DefaultTerminal);

impl Drawing {
    fn begin() -> Result<Self, Failure> {
        let no = |error| Failure::No(format!("the terminal cannot be drawn on ({error}); use --plain"));
        ratatui::try_init().map(Self).map_err(no)
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the live view until `q`, Ctrl-C, or a signal.
///
/// # Errors
/// [`Failure::No`] when no daemon answers at the beginning, or the terminal cannot be used.
pub async fn live(client: &Client, tracks: bool) -> Result<(), Failure> {
    let clock = SystemClock::start();
    let colours = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let mut screen = Screen::new(colours, LocalClock::system());
    screen.looked(look(client).await?);
    let no_signals = |error: std::io::Error| Failure::No(format!("signals cannot be received: {error}"));
    let mut term = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut hup = signal(SignalKind::hangup()).map_err(no_signals)?;
    let (say, mut news) = mpsc::channel(NEWS_MAX);
    let (wake, shed) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let tasks = [
        tokio::spawn(listen(client.clone(), tracks, say.clone(), Arc::clone(&wake), Arc::clone(&shed))),
        tokio::spawn(keep_looking(client.clone(), say, wake)),
    ];
    let mut drawing = Drawing::begin()?;
    let mut keys = interval(KEYS_EVERY);
    keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let broke = |error: std::io::Error| Failure::No(format!("the terminal is gone: {error}"));
    let done = 'view: loop {
        screen.tick(clock.now().wall, shed.load(Ordering::Relaxed));
        if screen.take_dirty()
            && let Err(error) = drawing.0.draw(|frame| draw::draw(frame, &mut screen))
        {
            break Err(broke(error));
        }
        tokio::select! {
            _ = term.recv() => break Ok(()),
            _ = hup.recv() => break Ok(()),
            Some(said) = news.recv() => match said {
                News::Looked(looked) => screen.looked(*looked),
                News::Event(event) => screen.happened(&event),
                News::Lost(why) => screen.lost(why),
            },
            _ = keys.tick() => {
                while event::poll(Duration::ZERO).map_err(broke)? {
                    match event::read().map_err(broke)? {
                        Event::Key(key) if pressed(&key).is_some_and(|key| screen.key(key) == Wish::Leave) => break 'view Ok(()),
                        Event::Resize(..) => screen.touch(),
                        _ => {}
                    }
                }
            }
        }
    };
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    done
}

/// A key of the view; `None` for every other.
fn pressed(event: &KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    match event.code {
        KeyCode::Char('c') if event.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Leave),
        KeyCode::Char('q') => Some(Key::Leave),
        KeyCode::Esc => Some(Key::Close),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::Home => Some(Key::First),
        KeyCode::End => Some(Key::Last),
        KeyCode::Enter => Some(Key::Details),
        KeyCode::Char('r') => Some(Key::Review),
        KeyCode::Char('?' | 'h') => Some(Key::Help),
        _ => None,
    }
}

async fn look(client: &Client) -> Result<Looked, Failure> {
    let mut alerts = Vec::new();
    for stage in ["machine-confirmed", "candidate"] {
        let answer = client.get(&format!("/v1/alerts?stage={stage}&limit={ALERTS_MAX}")).await?;
        alerts.extend(answer["alerts"].as_array().cloned().unwrap_or_default());
    }
    Ok(Looked { alerts, cameras: client.get("/v1/cameras").await?, status: client.get("/v1/status").await? })
}

/// Asks how things stand, every few seconds and whenever an event woke it.
async fn keep_looking(client: Client, say: mpsc::Sender<News>, wake: Arc<Notify>) {
    loop {
        let _either = tokio::time::timeout(LOOK_EVERY, wake.notified()).await;
        tokio::time::sleep(SETTLE).await;
        let said = match look(&client).await {
            Ok(looked) => News::Looked(Box::new(looked)),
            Err(failure) => News::Lost(failure.to_string()),
        };
        if say.send(said).await.is_err() {
            return;
        }
    }
}

/// Listens to the daemon's events, and again when the daemon was away.
async fn listen(client: Client, tracks: bool, say: mpsc::Sender<News>, wake: Arc<Notify>, shed: Arc<AtomicU64>) {
    let path = if tracks { "/v1/events?tracks=yes" } else { "/v1/events" };
    let mut failures = 0;
    loop {
        let mut heard = false;
        let each = |data: &str| {
            heard = true;
            if let Ok(event) = serde_json::from_str(data)
                && say.try_send(News::Event(event)).is_err()
            {
                shed.fetch_add(1, Ordering::Relaxed);
            }
            wake.notify_one();
            Next::Listen
        };
        let ended = client.events(path, each).await;
        failures = if heard { 0 } else { (failures + 1).min(WAITS_S.len() - 1) };
        let why = ended.err().map_or_else(|| "the daemon closed the event stream".to_owned(), |f| f.to_string());
        if say.send(News::Lost(why)).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(WAITS_S[failures])).await;
        wake.notify_one();
    }
}
