//! `sekisho gallery grounds`, and the options with which grounds are given.

use super::gallery::{actor, person_id};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::local_time;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::Args;
use clap::builder::PossibleValuesParser;
use sekisho_logic::grounds::{GroundsDraft, NewGrounds};
use sekisho_logic::id::ListId;
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::Grounds;
use serde_json::json as document;
use std::path::Path;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// On which grounds somebody is enrolled.
#[derive(Clone, Debug, Default, Args)]
pub struct GroundsArgs {
    /// What the person is matched for.
    #[arg(long, value_name = "TEXT")]
    pub(super) purpose: Option<String>,
    /// On which legal basis.
    #[arg(long, value_name = "WORD", value_parser = PossibleValuesParser::new(LegalBasis::ALL.map(LegalBasis::as_str)))]
    pub(super) legal_basis: Option<String>,
    /// Where the consent or the decision is filed.
    #[arg(long, value_name = "REF")]
    pub(super) record: Option<String>,
    /// Which version of the notice the person was given.
    #[arg(long, value_name = "VERSION")]
    pub(super) notice: Option<String>,
    /// The last day on which the person is matched (YYYY-MM-DD).
    #[arg(long, value_name = "DATE")]
    pub(super) expires: Option<String>,
    /// The person may enter another way, without their face, and was told so.
    #[arg(long)]
    pub(super) alternative_offered: bool,
}

/// Options of `gallery grounds`.
#[derive(Debug, Args)]
pub struct GroundsVerb {
    /// The person's reference.
    person: String,
    #[command(flatten)]
    grounds: GroundsArgs,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

impl GroundsArgs {
    /// Complete grounds for somebody on `list`. What is not given is taken from `present`, then from the list's section of
    /// the configuration.
    ///
    /// # Errors
    /// [`Failure::Wrong`] with one sentence that names everything missing or wrong.
    pub fn complete(
        &self,
        settings: &Settings,
        list: &ListId,
        present: GroundsDraft,
        now: WallMs,
    ) -> Result<NewGrounds, Failure> {
        let known: Vec<_> = settings.lists.keys().map(ToString::to_string).collect();
        let of_list = settings.lists.get(list).ok_or_else(|| {
            Failure::Wrong(format!("there is no list \"{list}\"; the configuration has {}", known.join(", ")))
        })?;
        let day = |date: &String| {
            local_time::end_of_day(&settings.daemon.time_zone, date)
                .ok_or_else(|| Failure::Wrong(format!("--expires {date:?} is no day; write it as 2027-03-31")))
        };
        let given = GroundsDraft {
            purpose: self.purpose.clone(),
            legal_basis: self.legal_basis.as_deref().and_then(LegalBasis::parse),
            record: self.record.clone(),
            notice: self.notice.clone(),
            expires: self.expires.as_ref().map(day).transpose()?,
            alternative_offered: self.alternative_offered,
        };
        let shared = &of_list.grounds;
        let of_list_draft = GroundsDraft {
            purpose: shared.purpose.clone(),
            legal_basis: shared.legal_basis,
            notice: shared.notice.clone(),
            expires: shared.expires_days.map(|days| WallMs(now.0 + i64::from(days) * DAY_MS)),
            ..GroundsDraft::default()
        };
        let draft = given.or(present).or(of_list_draft);
        NewGrounds::try_new(draft, of_list.purpose, now, settings.enrol.expires_days_max).map_err(Failure::wrong)
    }
}

/// Records or renews one person's grounds. Record and end are asked for anew: that is what is renewed.
///
/// # Errors
/// [`Failure::Wrong`] when parts are missing; [`Failure::No`] when the person is not enrolled or withdrew.
pub fn run(config: &Path, args: &GroundsVerb) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let person = person_id(&args.person)?;
    let now = SystemClock::start().now().wall;
    let mut store = site::open_store(&settings)?;
    let missing = || Failure::No(format!("{person} is not enrolled; `sekisho gallery list` shows who is"));
    let found = store.person(&person).map_err(Failure::no)?.ok_or_else(missing)?;
    let present = GroundsDraft { record: None, expires: None, ..found.grounds.draft() };
    let grounds = args.grounds.complete(&settings, &found.list, present, now)?;
    roles::require(Action::RecordGrounds, &settings, &args.glass)?;
    store.set_grounds(&person, &grounds, &actor(), now).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    if args.json.json {
        let Grounds { purpose, legal_basis, consent_ref, notice_version, .. } = Grounds::from(&grounds);
        json(&document!({
            "person": person, "purpose": purpose, "legal-basis": legal_basis, "record": consent_ref,
            "notice": notice_version, "alternative-offered": grounds.alternative_offered(),
            "expires": grounds.expires().to_rfc3339(),
        }));
    } else {
        line(&format!(
            "{person}: {}, matched for \"{}\" until {}",
            grounds.legal_basis().as_str(),
            grounds.purpose(),
            grounds.expires().to_rfc3339(),
        ));
    }
    Ok(())
}
