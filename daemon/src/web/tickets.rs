//! One-time tickets: what `sekisho review` gets at the socket and the page turns into a log-in.

use super::secret::{self, Digest, NoRandom};
use super::sessions::Who;
use sekisho_logic::time::Mono;
use std::collections::HashMap;
use std::time::Duration;

/// A ticket is good for this long: a browser that has to be started first.
pub const GOOD_FOR: Duration = Duration::from_secs(120);
/// Tickets at a time; beyond it the oldest goes.
const TICKETS_MAX: usize = 64;
/// Tickets of one Unix user at a time.
const TICKETS_EACH_MAX: usize = 4;

/// Tickets that were given out and not used yet.
#[derive(Debug, Default)]
pub struct Tickets {
    out: HashMap<Digest, (Who, Mono)>,
}

impl Tickets {
    /// Gives one out.
    ///
    /// # Errors
    /// [`NoRandom`].
    pub fn give(&mut self, who: Who, at: Mono) -> Result<String, NoRandom> {
        let token = secret::token()?;
        self.out.retain(|_, (_, given)| at.since(*given) < GOOD_FOR);
        let own = self.oldest(|other| other.by == who.by, TICKETS_EACH_MAX);
        own.or_else(|| self.oldest(|_| true, TICKETS_MAX)).and_then(|key| self.out.remove(&key));
        self.out.insert(secret::digest(&token), (who, at));
        Ok(token)
    }

    /// Takes one back: whose it was, once.
    pub fn redeem(&mut self, token: &str, at: Mono) -> Option<Who> {
        let (who, given) = self.out.remove(&secret::digest(token))?;
        (at.since(given) < GOOD_FOR).then_some(who)
    }

    fn oldest(&self, those: impl Fn(&Who) -> bool, most: usize) -> Option<Digest> {
        let those = || self.out.iter().filter(|(_, (who, _))| those(who));
        if those().count() < most {
            return None;
        }
        those().min_by_key(|(_, (_, given))| *given).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::sessions::By;
    use sekisho_store::ReviewerRole;

    fn who(uid: u32) -> Who {
        let by = By::Ticket { uid, linked: None };
        Who { name: "ann".into(), identity: format!("uid:{uid}"), role: ReviewerRole::Reviewer, by }
    }

    #[test]
    fn a_ticket_is_good_once_and_for_two_minutes() {
        let (mut tickets, at) = (Tickets::default(), Mono::from_millis(1000));
        let ticket = tickets.give(who(1000), at).expect("given");
        assert_eq!(tickets.redeem("0123", at), None);
        assert_eq!(tickets.redeem(&ticket, at), Some(who(1000)));
        assert_eq!(tickets.redeem(&ticket, at), None, "once");
        let late = tickets.give(who(1000), at).expect("given");
        assert_eq!(tickets.redeem(&late, at.plus(GOOD_FOR)), None);
    }

    #[test]
    fn tickets_are_bounded_for_each_and_for_all() {
        let (mut tickets, at) = (Tickets::default(), Mono::from_millis(1000));
        let mine = tickets.give(who(1), at).expect("given");
        let first = tickets.give(who(2), at.plus(Duration::from_millis(1))).expect("given");
        for n in 0..10 {
            tickets.give(who(2), at.plus(Duration::from_millis(2 + n))).expect("given");
        }
        assert_eq!(tickets.out.len(), 1 + TICKETS_EACH_MAX);
        assert_eq!(tickets.redeem(&first, at), None);
        for uid in 100..200 {
            tickets.give(who(uid), at.plus(Duration::from_secs(1))).expect("given");
        }
        assert_eq!(tickets.out.len(), TICKETS_MAX);
        assert_eq!(tickets.redeem(&mine, at), None);
    }
}
