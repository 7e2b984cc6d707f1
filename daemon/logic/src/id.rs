//! Names of things. Each kind of name is its own type, so that a camera cannot be passed where a person is meant.

use std::fmt;
use std::sync::Arc;

/// How the pseudonyms begin that stand in alerts for erased people; nobody is enrolled under such a name.
pub const ERASED_PREFIX: &str = "erased-";

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {given:?} must be 1 to 64 characters of a-z, 0-9, '-' or '_' and start with a letter or digit")]
pub struct BadName {
    kind: &'static str,
    given: String,
}

fn check(kind: &'static str, text: &str) -> Result<Arc<str>, BadName> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (1..=64).contains(&text.len())
        && text.starts_with(plain)
        && text.chars().all(|c| plain(c) || c == '-' || c == '_');
    if good { Ok(Arc::from(text)) } else { Err(BadName { kind, given: text.chars().take(80).collect() }) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Arc<str>);

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                Self::try_new(&text)
            }
        }

        impl $name {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// [`BadName`] when it is empty, longer than 64 characters or holds anything but `a-z 0-9 - _`.
            pub fn try_new(text: &str) -> Result<Self, BadName> {
                check($kind, text).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name_type!(
    /// A camera, as named in the configuration (`[cameras.gate]`).
    CameraId,
    "camera"
);
name_type!(
    /// An enrolled person. An opaque reference (`ann-3`), not a display name: it appears in logs.
    PersonId,
    "person"
);
name_type!(
    /// A list of people that shares one policy (`staff`, `watch`).
    ListId,
    "list"
);
name_type!(
    /// Somebody who logs in to the review page, as they type it (`sato`).
    ReviewerName,
    "reviewer"
);

/// One face followed through one camera's frames. Unique for its camera within one run of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TrackId(pub u64);

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_and_lower_case() {
        assert_eq!(CameraId::try_new("gate-1").map(|c| c.to_string()), Ok("gate-1".into()));
        for bad in ["", "Gate", "-gate", "a b", "a/b", "caf\u{e9}", &"x".repeat(65)] {
            assert!(CameraId::try_new(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
