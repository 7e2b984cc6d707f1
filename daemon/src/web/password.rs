//! Passwords: what is asked of them, what is made of them, and how many are looked at at once.

use super::secret::{self, NoRandom};
use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Argon2id with 19 MiB, two passes and one lane: the first choice of the OWASP Password Storage Cheat Sheet, "Argon2id"
/// (cheatsheetseries.owasp.org). About 30 ms on the boxes this is for.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Fewest characters. With the delays after failures, ten characters that are no word outlast any guessing at this door.
const CHARS_MIN: usize = 10;
/// Most bytes; a sentence fits, and hashing stays cheap.
const BYTES_MAX: usize = 1024;

/// Checks that may wait for their turn in each line.
const WAITING_MAX: usize = 16;

/// Letters and digits that cannot be taken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Guessable by trying.
    #[error("the password has fewer than {CHARS_MIN} characters; take a longer one, or --generate one")]
    Short,
    /// Not a password.
    #[error("the password is longer than {BYTES_MAX} bytes; take a shorter one")]
    Long,
    /// The first thing anybody tries.
    #[error("the password is the name; take another one, or --generate one")]
    Name,
    /// What was typed is not what arrived, or cannot be typed into a browser again.
    #[error("the password holds a control character; take another one")]
    Control,
    /// The system cannot hash.
    #[error("the password could not be hashed: the system gave no memory or no random numbers")]
    NotHashed,
}

/// Whether too many checks wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many people are logging in at once; try again in a few seconds")]
pub struct Busy;

fn argon() -> Result<Argon2<'static>, Unfit> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Unfit::NotHashed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Holds a new password to the rules.
///
/// # Errors
/// [`Unfit`], with what to do.
pub fn check(name: &str, password: &str) -> Result<(), Unfit> {
    if password.len() > BYTES_MAX {
        Err(Unfit::Long)
    } else if password.eq_ignore_ascii_case(name) {
        Err(Unfit::Name)
    } else if password.chars().count() < CHARS_MIN {
        Err(Unfit::Short)
    } else if password.chars().any(char::is_control) {
        Err(Unfit::Control)
    } else {
        Ok(())
    }
}

/// What is stored of a password, in the PHC string format.
///
/// # Errors
/// [`Unfit::NotHashed`].
pub fn hash(password: &str) -> Result<String, Unfit> {
    let salt = secret::bytes::<16>().map_err(|NoRandom| Unfit::NotHashed)?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| Unfit::NotHashed)?;
    let hash = argon()?.hash_password(password.as_bytes(), &salt).map_err(|_| Unfit::NotHashed)?;
    Ok(hash.to_string())
}

/// A password nobody has to think of: 20 letters and digits, 100 bits.
///
/// # Errors
/// [`NoRandom`].
pub fn generate() -> Result<Zeroizing<String>, NoRandom> {
    let random = Zeroizing::new(secret::bytes::<20>()?);
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte % 32)]);
    let groups = random.chunks(5).map(|group| group.iter().map(letter).collect::<String>());
    Ok(Zeroizing::new(groups.collect::<Vec<_>>().join("-")))
}

/// Who waits in which line, so that a flood of guesses does not hold up a browser that has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A browser in which this reviewer has logged in before.
    Known,
    /// Anybody.
    Anybody,
}

/// Checks passwords on a thread of its own, one at a time: hashing takes 19 MiB and a processor for a moment, and so never
/// more than that. (On the runtime's many threads each would keep such a piece of memory.)
#[derive(Debug)]
pub struct Verifier {
    desk: Arc<Desk>,
    /// What is checked for names nobody has, so that they take as long as others.
    nobody: String,
}

#[derive(Debug, Default)]
struct Desk {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    known: VecDeque<Question>,
    anybody: VecDeque<Question>,
    closed: bool,
}

struct Question {
    stored: String,
    password: Zeroizing<String>,
    reply: oneshot::Sender<bool>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question(..)")
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next question, those of known browsers first; `None` when there will be none.
    fn next(&self) -> Option<Question> {
        let waits = |lines: &mut Lines| !lines.closed && lines.known.is_empty() && lines.anybody.is_empty();
        let mut lines = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        if lines.closed {
            return None;
        }
        lines.known.pop_front().or_else(|| lines.anybody.pop_front())
    }

    fn serve(&self) {
        while let Some(Question { stored, password, reply }) = self.next() {
            // Whoever went away meanwhile needs no answer.
            if !reply.is_closed() {
                let _gone = reply.send(is_of(&stored, &password));
            }
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.changed.notify_all();
    }
}

impl Verifier {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Unfit::NotHashed`], also when there is no thread.
    pub fn new() -> Result<Self, Unfit> {
        let nobody = hash(&secret::token().map_err(|NoRandom| Unfit::NotHashed)?)?;
        let desk = Arc::<Desk>::default();
        let serving = Arc::clone(&desk);
        let thread = std::thread::Builder::new().name("passwords".into()).spawn(move || serving.serve());
        thread.map_err(|_| Unfit::NotHashed)?;
        Ok(Self { desk, nobody })
    }

    /// Whether `password` is the one that `stored` was made of. Without `stored` it is not, after the same work.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, stored: Option<String>, password: Zeroizing<String>, lane: Lane) -> Result<bool, Busy> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.clone());
        let (reply, answer) = oneshot::channel();
        {
            let mut lines = self.desk.lock();
            let line = match lane {
                Lane::Known => &mut lines.known,
                Lane::Anybody => &mut lines.anybody,
            };
            if line.len() >= WAITING_MAX {
                return Err(Busy);
            }
            line.push_back(Question { stored, password, reply });
        }
        self.desk.changed.notify_one();
        Ok(answer.await.unwrap_or(false) && known)
    }
}

/// The parameters are those of the stored string, so that passwords of an older version go on working.
fn is_of(stored: &str, password: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    argon().is_ok_and(|argon| argon.verify_password(password.as_bytes(), &stored).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn what_is_stored_is_argon2id_with_the_recommended_parameters_and_salted() {
        let stored = hash("correct horse").expect("hashed");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash("correct horse").expect("hashed"));
        assert!(is_of(&stored, "correct horse") && !is_of(&stored, "correct horsf") && !is_of("nonsense", "nonsense"));
    }

    #[test]
    fn short_and_obvious_passwords_are_refused() {
        assert_eq!(check("sato", "correct horse"), Ok(()));
        assert_eq!(
            check("sato", "\u{65e5}\u{672c}\u{8a9e}\u{3067}\u{3082}\u{5341}\u{6587}\u{5b57}\u{4ee5}\u{4e0a}"),
            Ok(())
        );
        assert_eq!(check("sato", "nine char"), Err(Unfit::Short));
        assert_eq!(check("tanaka-hanako", "Tanaka-Hanako"), Err(Unfit::Name));
        assert_eq!(check("sato", "with a\ttabulator"), Err(Unfit::Control));
        assert_eq!(check("sato", &"x".repeat(1025)), Err(Unfit::Long));
    }

    #[test]
    fn a_generated_password_passes_and_is_never_the_same() {
        let (one, other) = (generate().expect("random"), generate().expect("random"));
        assert_eq!((one.len(), check("sato", &one)), (23, Ok(())));
        assert_ne!(*one, *other);
    }

    #[tokio::test]
    async fn nobodys_password_is_wrong_after_the_same_work_and_a_crowd_is_turned_away() {
        let verifier = Arc::new(Verifier::new().expect("hashed"));
        let stored = hash("correct horse").expect("hashed");
        let verify = |stored: Option<String>, text: &str, lane| {
            let (verifier, password) = (Arc::clone(&verifier), given(text));
            async move { verifier.verify(stored, password, lane).await }
        };
        assert_eq!(verify(Some(stored.clone()), "correct horse", Lane::Anybody).await, Ok(true));
        assert_eq!(verify(Some(stored.clone()), "wrong", Lane::Anybody).await, Ok(false));
        assert_eq!(verify(None, "correct horse", Lane::Anybody).await, Ok(false));
        let crowd: Vec<_> = (0..64).map(|_| tokio::spawn(verify(None, "guess", Lane::Anybody))).collect();
        tokio::task::yield_now().await;
        let known = verify(Some(stored), "correct horse", Lane::Known).await;
        let mut busy = 0;
        for one in crowd {
            busy += usize::from(one.await.expect("ended").is_err());
        }
        assert_eq!(known, Ok(true));
        // One is being checked while the others wait, and some of those had their answer before the last ones came.
        assert!((1..=64 - WAITING_MAX).contains(&busy), "{busy}");
    }
}
