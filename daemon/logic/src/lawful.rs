//! The grounds on which faces are processed: words that enrolments and cameras share.

/// On which legal basis somebody is matched, or a camera is used for matching. Which one is right is for the controller to
/// decide; the program asks for one, keeps it with what it permits, and holds to what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegalBasis {
    /// Explicit consent: GDPR Art. 9(2)(a). Of staff it is void without a real alternative.
    Consent,
    /// Employment, social security and social protection law, or a collective agreement: GDPR Art. 9(2)(b).
    EmploymentLaw,
    /// Vital interests of somebody who cannot consent: GDPR Art. 9(2)(c).
    VitalInterests,
    /// Establishing, exercising or defending legal claims: GDPR Art. 9(2)(f).
    LegalClaims,
    /// Substantial public interest, by a law: GDPR Art. 9(2)(g).
    PublicInterest,
    /// A purpose that was notified or published: APPI (Japan) Art. 17, 18 and 21.
    NotifiedPurpose,
}

impl LegalBasis {
    /// Every basis.
    pub const ALL: [Self; 6] = [
        Self::Consent,
        Self::EmploymentLaw,
        Self::VitalInterests,
        Self::LegalClaims,
        Self::PublicInterest,
        Self::NotifiedPurpose,
    ];

    /// The word used in configuration, store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::EmploymentLaw => "employment-law",
            Self::VitalInterests => "vital-interests",
            Self::LegalClaims => "legal-claims",
            Self::PublicInterest => "public-interest",
            Self::NotifiedPurpose => "notified-purpose",
        }
    }

    /// The basis that [`as_str`](Self::as_str) names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|basis| basis.as_str() == text)
    }
}
