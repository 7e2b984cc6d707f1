//! On which grounds somebody is enrolled: complete, or not at all.
//!
//! [`NewGrounds`] cannot be built with a part missing, and nobody can be enrolled without it. What was enrolled before
//! grounds were asked for lacks them; that is said wherever people are listed, and does not stop matching.

use crate::lawful::LegalBasis;
use crate::policy::Purpose;
use crate::time::WallMs;

/// Grounds are lines for a register, not documents; the store refuses longer ones too. Bytes.
pub const TEXT_BYTES_MAX: usize = 1000;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What was said about the grounds so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroundsDraft {
    /// What the person is matched for.
    pub purpose: Option<String>,
    /// On which legal basis.
    pub legal_basis: Option<LegalBasis>,
    /// Where the consent or the decision is filed.
    pub record: Option<String>,
    /// Which version of the notice the person was given.
    pub notice: Option<String>,
    /// After this the person is not matched any more.
    pub expires: Option<WallMs>,
    /// Whether another way in was offered.
    pub alternative_offered: bool,
}

impl GroundsDraft {
    /// This draft, with what it leaves open taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            purpose: self.purpose.or(other.purpose),
            legal_basis: self.legal_basis.or(other.legal_basis),
            record: self.record.or(other.record),
            notice: self.notice.or(other.notice),
            expires: self.expires.or(other.expires),
            alternative_offered: self.alternative_offered || other.alternative_offered,
        }
    }
}

/// Complete grounds, made by [`NewGrounds::try_new`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrounds {
    purpose: String,
    legal_basis: LegalBasis,
    record: String,
    notice: String,
    expires: WallMs,
    alternative_offered: bool,
}

/// A part that is missing, or that cannot stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// No purpose.
    Purpose,
    /// No legal basis.
    LegalBasis,
    /// No reference to the consent or decision.
    Record,
    /// No version of the notice.
    Notice,
    /// No end.
    Expires,
    /// The end is past.
    ExpiresPast,
    /// The end is further away than the site allows, in days.
    ExpiresLate(u32),
    /// Consent of staff without another way in.
    Alternative,
    /// A text is longer than [`TEXT_BYTES_MAX`] or holds control characters.
    Text(&'static str),
}

impl Lacking {
    /// The option that gives it.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Purpose => "purpose",
            Self::LegalBasis => "legal-basis",
            Self::Record => "record",
            Self::Notice => "notice",
            Self::Expires | Self::ExpiresPast | Self::ExpiresLate(_) => "expires",
            Self::Alternative => "alternative-offered",
            Self::Text(option) => option,
        }
    }

    /// What is wanted, in half a sentence.
    #[must_use]
    pub fn meaning(self) -> String {
        match self {
            Self::Purpose => "what the person is matched for".into(),
            Self::LegalBasis => {
                let words: Vec<_> = LegalBasis::ALL.iter().map(|basis| basis.as_str()).collect();
                format!("what permits it: one of {}", words.join(", "))
            }
            Self::Record => "where the consent or the decision is filed".into(),
            Self::Notice => "which version of the notice the person was given".into(),
            Self::Expires => "the last day on which the person is matched, as 2027-03-31".into(),
            Self::ExpiresPast => "it must be in the future".into(),
            Self::ExpiresLate(days) => format!("at most {days} days from now, by [enrol] expires-days-max"),
            Self::Alternative => {
                "consent of people on an entry-log list is void unless they may enter another way and were told so"
                    .into()
            }
            Self::Text(_) => format!("at most {TEXT_BYTES_MAX} bytes on one line"),
        }
    }
}

/// Why grounds do not stand: every part that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(.0))]
pub struct GroundsRefused(pub Vec<Lacking>);

fn sentence(lacking: &[Lacking]) -> String {
    let parts: Vec<_> = lacking.iter().map(|part| format!("--{} ({})", part.option(), part.meaning())).collect();
    format!("nobody is enrolled without grounds; wanted: {}", parts.join("; "))
}

fn text(given: Option<String>, missing: Lacking, lacking: &mut Vec<Lacking>) -> String {
    let text = given.map(|text| text.trim().to_owned()).unwrap_or_default();
    if text.is_empty() {
        lacking.push(missing);
    } else if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        lacking.push(Lacking::Text(missing.option()));
    }
    text
}

impl NewGrounds {
    /// The grounds of a draft that leaves nothing open, for a list with this purpose. `days_max` is the longest time that may
    /// be asked for; a day begun counts whole.
    ///
    /// Consent of people on an entry-log list, who are staff, needs another way in: consent is not free where there is an
    /// imbalance of power (EDPB Guidelines 05/2020, 3.1.1; ICO, Serco Leisure enforcement notice, 23 February 2024).
    ///
    /// # Errors
    /// [`GroundsRefused`] with everything that is missing or wrong.
    pub fn try_new(draft: GroundsDraft, of_list: Purpose, now: WallMs, days_max: u32) -> Result<Self, GroundsRefused> {
        let mut lacking = Vec::new();
        let purpose = text(draft.purpose, Lacking::Purpose, &mut lacking);
        if draft.legal_basis.is_none() {
            lacking.push(Lacking::LegalBasis);
        }
        let record = text(draft.record, Lacking::Record, &mut lacking);
        let notice = text(draft.notice, Lacking::Notice, &mut lacking);
        match draft.expires {
            None => lacking.push(Lacking::Expires),
            Some(expires) if expires <= now => lacking.push(Lacking::ExpiresPast),
            Some(expires) if expires.0.saturating_sub(now.0) > (i64::from(days_max) + 1) * DAY_MS => {
                lacking.push(Lacking::ExpiresLate(days_max));
            }
            Some(_) => {}
        }
        let staff = of_list == Purpose::EntryLog;
        if staff && draft.legal_basis == Some(LegalBasis::Consent) && !draft.alternative_offered {
            lacking.push(Lacking::Alternative);
        }
        match (draft.legal_basis, draft.expires) {
            (Some(legal_basis), Some(expires)) if lacking.is_empty() => {
                let alternative_offered = draft.alternative_offered;
                Ok(Self { purpose, legal_basis, record, notice, expires, alternative_offered })
            }
            _ => Err(GroundsRefused(lacking)),
        }
    }

    /// What the person is matched for.
    #[must_use]
    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    /// On which legal basis.
    #[must_use]
    pub const fn legal_basis(&self) -> LegalBasis {
        self.legal_basis
    }

    /// Where the consent or the decision is filed.
    #[must_use]
    pub fn record(&self) -> &str {
        &self.record
    }

    /// Which version of the notice the person was given.
    #[must_use]
    pub fn notice(&self) -> &str {
        &self.notice
    }

    /// After this the person is not matched any more.
    #[must_use]
    pub const fn expires(&self) -> WallMs {
        self.expires
    }

    /// Whether another way in was offered.
    #[must_use]
    pub const fn alternative_offered(&self) -> bool {
        self.alternative_offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: WallMs = WallMs(1_800_000_000_000);

    fn whole() -> GroundsDraft {
        GroundsDraft {
            purpose: Some("entry".into()),
            legal_basis: Some(LegalBasis::EmploymentLaw),
            record: Some("HR-7".into()),
            notice: Some("3".into()),
            expires: Some(WallMs(NOW.0 + 100 * DAY_MS)),
            alternative_offered: false,
        }
    }

    fn refused(draft: GroundsDraft, purpose: Purpose) -> Vec<Lacking> {
        NewGrounds::try_new(draft, purpose, NOW, 366).expect_err("refused").0
    }

    #[test]
    fn every_missing_part_is_named_with_its_meaning_in_one_sentence() {
        let error = NewGrounds::try_new(GroundsDraft::default(), Purpose::Watch, NOW, 366).expect_err("empty");
        let said = error.to_string();
        for word in ["--purpose", "--legal-basis", "--record", "--notice", "--expires", "employment-law", "is filed"] {
            assert!(said.contains(word), "{word} in {said}");
        }
        assert_eq!(said.lines().count(), 1);
        let blank = GroundsDraft { record: Some("  ".into()), ..whole() };
        assert_eq!(refused(blank, Purpose::Watch), [Lacking::Record]);
        let page = GroundsDraft { purpose: Some("x".repeat(1001)), notice: Some("a\nb".into()), ..whole() };
        assert_eq!(refused(page, Purpose::Watch), [Lacking::Text("purpose"), Lacking::Text("notice")]);
    }

    #[test]
    fn consent_of_staff_needs_another_way_in() {
        let consent = GroundsDraft { legal_basis: Some(LegalBasis::Consent), ..whole() };
        assert_eq!(refused(consent.clone(), Purpose::EntryLog), [Lacking::Alternative]);
        let offered = GroundsDraft { alternative_offered: true, ..consent.clone() };
        assert!(NewGrounds::try_new(offered, Purpose::EntryLog, NOW, 366).is_ok());
        assert!(NewGrounds::try_new(consent, Purpose::Watch, NOW, 366).is_ok(), "people on it are no staff");
        assert!(NewGrounds::try_new(whole(), Purpose::EntryLog, NOW, 366).is_ok());
    }

    #[test]
    fn grounds_end_in_the_future_and_not_too_late() {
        let until = |ms: i64| GroundsDraft { expires: Some(WallMs(NOW.0 + ms)), ..whole() };
        assert_eq!(refused(until(0), Purpose::Watch), [Lacking::ExpiresPast]);
        assert!(
            NewGrounds::try_new(until(366 * DAY_MS + 1000), Purpose::Watch, NOW, 366).is_ok(),
            "the day counts whole"
        );
        assert_eq!(refused(until(368 * DAY_MS), Purpose::Watch), [Lacking::ExpiresLate(366)]);
        assert_eq!(refused(until(i64::MAX - NOW.0), Purpose::Watch), [Lacking::ExpiresLate(366)]);
    }

    #[test]
    fn what_is_given_goes_before_what_stands_in() {
        let given = GroundsDraft { notice: Some("4".into()), ..GroundsDraft::default() };
        let both = given.or(whole());
        assert_eq!((both.notice.as_deref(), both.record.as_deref()), (Some("4"), Some("HR-7")));
    }

    proptest! {
        #[test]
        fn no_draft_with_a_hole_makes_grounds(
            holes in prop::collection::vec(any::<bool>(), 5), offered in any::<bool>(), staff in any::<bool>(),
        ) {
            let keep = |at: usize| !holes[at];
            let full = whole();
            let draft = GroundsDraft {
                purpose: full.purpose.filter(|_| keep(0)),
                legal_basis: full.legal_basis.filter(|_| keep(1)),
                record: full.record.filter(|_| keep(2)),
                notice: full.notice.filter(|_| keep(3)),
                expires: full.expires.filter(|_| keep(4)),
                alternative_offered: offered,
            };
            let purpose = if staff { Purpose::EntryLog } else { Purpose::Watch };
            let missing = holes.iter().filter(|hole| **hole).count();
            match NewGrounds::try_new(draft, purpose, NOW, 366) {
                Ok(_) => prop_assert_eq!(missing, 0),
                Err(GroundsRefused(lacking)) => prop_assert_eq!(lacking.len(), missing),
            }
        }
    }
}
