//! Failed log-ins make the next one wait, longer each time.
//!
//! ```text
//! a browser this reviewer has logged in with before -> its own count, that nobody else can raise
//! anybody else -> the count of the address; of an address that failed before, also the count of the name
//! ```
//!
//! So guessing is slow from one address and for one name, and yet nobody can keep a reviewer out: not from another
//! address, because the name's count holds only for addresses that failed themselves; not from the same one, because the
//! reviewer's own browser is not counted with it. Whoever has neither asks the socket for a ticket (`sekisho review`).
//! The idea of the browser's own count is OWASP's "Slow Down Online Guessing Attacks with Device Cookies".

use sekisho_logic::time::Mono;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// After so long without an attempt, earlier failures are forgotten. Longer than any wait, or waiting would be forgetting.
const FORGET: Duration = Duration::from_secs(3600);
/// The first wait; doubles with each failure.
const FIRST: Duration = Duration::from_secs(1);
/// Rows of one table. When it is full the longest untouched row goes.
const ROWS_MAX: usize = 4096;
/// Failures of an address before the count of names holds for it too.
const TRUSTED_FAILURES: u32 = 3;

/// How patient a table is.
#[derive(Clone, Copy, Debug)]
struct Patience {
    free: u32,
    longest: Duration,
}

impl Patience {
    /// How long the next attempt waits after so many failures.
    fn wait(self, failures: u32) -> Duration {
        match failures.saturating_sub(self.free).min(16) {
            0 => Duration::ZERO,
            over => (FIRST * (1 << (over - 1))).min(self.longest),
        }
    }

    fn of(address: IpAddr) -> Self {
        if address.to_canonical().is_loopback() { LOOPBACK } else { ADDRESS }
    }
}

const DEVICE: Patience = Patience { free: 5, longest: Duration::from_secs(5 * 60) };
const ADDRESS: Patience = Patience { free: 5, longest: Duration::from_secs(15 * 60) };
/// Everybody at this machine, and every tunnel to it, shares one address.
const LOOPBACK: Patience = Patience { free: 5, longest: Duration::from_secs(60) };
const NAME: Patience = Patience { free: 10, longest: Duration::from_secs(60) };

/// Where an attempt comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A browser in which this reviewer has logged in before, by its number.
    Device(String),
    /// Anywhere.
    Address(IpAddr),
}

/// An address as it is counted: IPv6 by its network of 64 bits, within which anybody may take any address.
#[must_use]
pub fn counted_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if !six.is_loopback() => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        other => other,
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    failures: u32,
    last: Mono,
    until: Mono,
}

#[derive(Debug, Default)]
struct Table(BTreeMap<String, Row>);

impl Table {
    fn wait(&self, key: &str, at: Mono) -> Duration {
        self.0.get(key).map_or(Duration::ZERO, |row| row.until.since(at))
    }

    fn failures(&self, key: &str, at: Mono) -> u32 {
        self.0.get(key).filter(|row| at.since(row.last) < FORGET).map_or(0, |row| row.failures)
    }

    /// Counts an attempt as failed before it is known, so that a hundred at once are not all free.
    fn count(&mut self, key: &str, at: Mono, patience: Patience) {
        if !self.0.contains_key(key) && self.0.len() >= ROWS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, row)| row.last).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.0.remove(&key));
        }
        let failures = self.failures(key, at).saturating_add(1);
        self.0.insert(key.to_owned(), Row { failures, last: at, until: at.plus(patience.wait(failures)) });
    }

    /// One failure fewer; what others did stays.
    fn take_back(&mut self, key: &str, patience: Patience) {
        if let Some(row) = self.0.get_mut(key) {
            row.failures = row.failures.saturating_sub(1);
            row.until = row.last.plus(patience.wait(row.failures));
        }
    }
}

/// Counts of failed log-ins.
#[derive(Debug, Default)]
pub struct Attempts {
    devices: Table,
    addresses: Table,
    names: Table,
}

/// What an attempt was counted under, to be taken back if it succeeds.
#[derive(Debug)]
pub struct Counted {
    name: String,
    from: From,
}

impl Attempts {
    /// Lets an attempt be made, and counts it as failed until [`succeeded`](Self::succeeded) takes that back.
    ///
    /// # Errors
    /// How long to wait. Attempts before that count nothing and cost nothing.
    pub fn admit(&mut self, at: Mono, name: &str, from: From) -> Result<Counted, Duration> {
        match &from {
            From::Device(number) => {
                let key = device_key(number, name);
                free(self.devices.wait(&key, at))?;
                self.devices.count(&key, at, DEVICE);
            }
            From::Address(address) => {
                let key = counted_address(*address).to_string();
                free(self.addresses.wait(&key, at))?;
                if self.addresses.failures(&key, at) >= TRUSTED_FAILURES {
                    free(self.names.wait(name, at))?;
                }
                self.addresses.count(&key, at, Patience::of(*address));
                self.names.count(name, at, NAME);
            }
        }
        Ok(Counted { name: name.to_owned(), from })
    }

    /// The password was right.
    pub fn succeeded(&mut self, counted: &Counted) {
        match &counted.from {
            From::Device(number) => self.devices.take_back(&device_key(number, &counted.name), DEVICE),
            From::Address(address) => {
                self.addresses.take_back(&counted_address(*address).to_string(), Patience::of(*address));
                self.names.take_back(&counted.name, NAME);
            }
        }
    }
}

fn device_key(number: &str, name: &str) -> String {
    format!("{number} {name}")
}

const fn free(wait: Duration) -> Result<(), Duration> {
    if wait.is_zero() { Ok(()) } else { Err(wait) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> From {
        From::Address(text.parse().expect("an address"))
    }

    /// How many of `tries` attempts, `every` apart, were admitted and failed.
    fn guesses(attempts: &mut Attempts, name: &str, from: &From, tries: u64, every: Duration) -> usize {
        let at = |n: u64| Mono::from_millis(10_000).plus(every * u32::try_from(n).expect("few"));
        (0..tries).filter(|n| attempts.admit(at(*n), name, from.clone()).is_ok()).count()
    }

    #[test]
    fn an_hour_of_guessing_from_one_address_is_a_dozen_guesses() {
        let mut attempts = Attempts::default();
        let made = guesses(&mut attempts, "sato", &ip("10.0.0.9"), 36_000, Duration::from_millis(100));
        assert!((10..=20).contains(&made), "{made}");
        let mut attempts = Attempts::default();
        let made = guesses(&mut attempts, "sato", &ip("127.0.0.1"), 36_000, Duration::from_millis(100));
        assert!((40..=75).contains(&made), "at this machine waits are a minute at the most: {made}");
    }

    #[test]
    fn nobody_is_kept_out_by_others() {
        let (mut attempts, at) = (Attempts::default(), Mono::from_millis(1_000_000));
        for n in 0..2000_u32 {
            let from = ip(&format!("10.0.{}.{}", n / 200, n % 200));
            for _ in 0..5 {
                let _made = attempts.admit(at, "sato", from.clone());
            }
        }
        let counted = attempts.admit(at, "sato", ip("10.9.9.9")).expect("an address without failures");
        attempts.succeeded(&counted);
        let here = ip("10.0.0.1");
        assert!(attempts.admit(at, "sato", here).is_err(), "an address that guessed");
        let known = From::Device("d-1".into());
        attempts.admit(at, "sato", known).expect("a browser that was here before, from whatever address");
    }

    #[test]
    fn a_hundred_attempts_at_once_are_not_a_hundred_guesses() {
        let (mut attempts, at) = (Attempts::default(), Mono::from_millis(5));
        let made = (0..100).filter(|_| attempts.admit(at, "sato", ip("10.0.0.9")).is_ok()).count();
        assert_eq!(made, 6);
    }

    #[test]
    fn success_is_not_counted_and_failures_are_forgotten() {
        let (mut attempts, mut at) = (Attempts::default(), Mono::from_millis(5));
        for _ in 0..50 {
            let counted = attempts.admit(at, "sato", ip("10.0.0.9")).expect("it always succeeds");
            attempts.succeeded(&counted);
        }
        let busy = (0..50).filter(|_| attempts.admit(at, "ito", ip("10.0.0.9")).is_ok()).count();
        assert_eq!(busy, 6);
        at = at.plus(FORGET);
        for _ in 0..5 {
            attempts.admit(at, "ito", ip("10.0.0.9")).expect("forgotten");
        }
    }

    #[test]
    fn tables_are_bounded_and_an_ipv6_network_is_one_address() {
        let mut attempts = Attempts::default();
        for n in 0..10_000_u32 {
            let _made = attempts.admit(
                Mono::from_millis(u64::from(n)),
                &format!("n{n}"),
                ip(&format!("10.0.{}.{}", n / 250, n % 250)),
            );
            let _made = attempts.admit(Mono::from_millis(u64::from(n)), "x", From::Device(format!("d{n}")));
        }
        assert_eq!([attempts.devices.0.len(), attempts.addresses.0.len(), attempts.names.0.len()], [ROWS_MAX; 3]);
        let six = |text: &str| counted_address(text.parse().expect("an address"));
        assert_eq!(six("2001:db8:1:2:3::4"), six("2001:db8:1:2:ffff::1"));
        assert_ne!(six("2001:db8:1:2::1"), six("2001:db8:1:3::1"));
        assert_eq!(six("::ffff:10.0.0.1"), six("10.0.0.1"));
        assert_eq!(six("::1").to_string(), "::1");
    }
}
