//! `sekisho reviewers`: who may log in to the review page.
//!
//! Like the gallery verbs these open the database themselves; a running daemon follows within a second.

use super::output::{field, json, line, table};
use super::{Failure, JsonFlag, terminal};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::roles::{self, BreakGlass};
use crate::site;
use crate::web::password;
use clap::{Args, Subcommand};
use nix::unistd::User;
use sekisho_logic::id::ReviewerName;
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{NewReviewer, REVIEWERS_MAX, Reviewer, ReviewerChange, ReviewerRole};
use serde_json::{Value, json as document};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What to do with reviewers.
#[derive(Debug, Subcommand)]
pub enum ReviewersVerb {
    /// Let somebody log in to the review page.
    Add(AddArgs),
    /// Everybody who may log in.
    List(JsonFlag),
    /// Let somebody log in no longer. Their votes stay; they are logged out within a second.
    Remove(NameArgs),
    /// Set another password. Whoever is logged in with the old one is logged out within a second.
    Reset(ResetArgs),
}

impl ReviewersVerb {
    const fn glass(&self) -> Option<&BreakGlass> {
        match self {
            Self::Add(args) => Some(&args.glass),
            Self::Remove(args) => Some(&args.glass),
            Self::Reset(args) => Some(&args.glass),
            Self::List(_) => None,
        }
    }
}

/// Options of `reviewers add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The name they type (a-z, 0-9, '-', '_').
    name: String,
    /// What they may do: viewer (look, without faces), reviewer (vote), admin (also lift suspensions), dpo (look, decide nothing).
    #[arg(long, value_parser = ["viewer", "reviewer", "admin", "dpo"])]
    role: String,
    /// The same person's Unix user (name or number), so that votes by page and by socket count as one person's.
    #[arg(long, value_name = "USER")]
    unix_user: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    glass: BreakGlass,
}

/// Where a password comes from; without these it is asked for, twice, and not shown.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// Read the password from the first line of this file (mode 0600), or of standard input (-).
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    password_file: Option<PathBuf>,
    /// Make a password and print it, once.
    #[arg(long)]
    generate: bool,
}

/// A verb about one reviewer.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// The reviewer's name.
    name: String,
    #[command(flatten)]
    glass: BreakGlass,
}

/// Options of `reviewers reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The reviewer's name.
    name: String,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    glass: BreakGlass,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, verb: &ReviewersVerb) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let none = BreakGlass::default();
    roles::require(Action::ManageReviewers, &settings, verb.glass().unwrap_or(&none))?;
    match verb {
        ReviewersVerb::Add(args) => add(&settings, args),
        ReviewersVerb::List(flag) => list(&settings, *flag),
        ReviewersVerb::Remove(args) => remove(&settings, args),
        ReviewersVerb::Reset(args) => reset(&settings, args),
    }
}

fn name_of(text: &str) -> Result<ReviewerName, Failure> {
    ReviewerName::try_new(text).map_err(Failure::wrong)
}

fn now() -> WallMs {
    SystemClock::start().now().wall
}

/// The new password and whether it was made here.
fn new_password(name: &ReviewerName, args: &PasswordArgs) -> Result<Zeroizing<String>, Failure> {
    let given = match &args.password_file {
        Some(file) => terminal::secret_from(file)?,
        None if args.generate => password::generate().map_err(Failure::no)?,
        None => terminal::ask_twice(&format!("Password for {name}"))?,
    };
    password::check(name.as_str(), &given).map_err(Failure::wrong)?;
    Ok(given)
}

fn tell_password(args: &PasswordArgs, password: &str) {
    if args.generate {
        line(&format!("password: {password}"));
        line("It is shown this once; it cannot be read back, only set anew.");
    }
}

fn add(settings: &Settings, args: &AddArgs) -> Result<(), Failure> {
    let name = name_of(&args.name)?;
    let role = ReviewerRole::parse(&args.role).ok_or_else(|| Failure::Wrong("there is no such role".into()))?;
    let unix_uid = args.unix_user.as_deref().map(uid_of).transpose()?;
    let password = new_password(&name, &args.password)?;
    let secret = password::hash(&password).map_err(Failure::no)?;
    let mut store = site::open_store(settings)?;
    let new = NewReviewer { name: name.clone(), role, secret, unix_uid };
    let change = store.add_reviewer(&new, &roles::actor(), now()).map_err(Failure::no)?;
    done(&name, change)?;
    store.close().map_err(Failure::no)?;
    line(&format!("{name}: may log in to the review page as {}", role.as_str()));
    tell_password(&args.password, &password);
    Ok(())
}

fn uid_of(user: &str) -> Result<u32, Failure> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let found = User::from_name(user).ok().flatten();
    found.map(|user| user.uid.as_raw()).ok_or_else(|| Failure::Wrong(format!("there is no Unix user {user:?}")))
}

fn done(name: &ReviewerName, change: ReviewerChange) -> Result<(), Failure> {
    let no = |said: String| Err(Failure::No(said));
    match change {
        ReviewerChange::Done => Ok(()),
        ReviewerChange::NoSuchReviewer => {
            no(format!("there is no reviewer {name}; `sekisho reviewers list` shows who there is"))
        }
        ReviewerChange::NameTaken => {
            no(format!("{name} is there already; `sekisho reviewers reset {name}` sets another password"))
        }
        ReviewerChange::UidTaken(other) => no(format!("that Unix user is {other} already; one person is one reviewer")),
        ReviewerChange::TooMany => no(format!("there are {REVIEWERS_MAX} reviewers already; remove one first")),
    }
}

fn about(one: &Reviewer) -> Value {
    let unix_user = one.unix_uid.map(|uid| {
        let user = User::from_uid(uid.into()).ok().flatten();
        user.map_or_else(|| uid.to_string(), |user| user.name)
    });
    document!({
        "name": one.name,
        "role": one.role.as_str(),
        "unix-user": unix_user,
        "unix-uid": one.unix_uid,
        "added": one.added.to_rfc3339(),
        "added-by": one.added_by,
        "password-set": one.secret_set.to_rfc3339(),
        "last-log-in": one.seen.map(WallMs::to_rfc3339),
    })
}

fn list(settings: &Settings, flag: JsonFlag) -> Result<(), Failure> {
    let mut store = site::open_store(settings)?;
    let reviewers: Vec<Value> = store.reviewers().map_err(Failure::no)?.iter().map(about).collect();
    if flag.json {
        json(&document!({ "reviewers": reviewers }));
        return Ok(());
    }
    let columns = ["name", "role", "unix-user", "added", "password-set", "last-log-in"];
    let rows = reviewers.iter().map(|one| columns.map(|name| field(one, name)).to_vec());
    line(&table(&["name", "role", "unix user", "added", "password set", "last log-in"], &rows.collect::<Vec<_>>()));
    Ok(())
}

fn remove(settings: &Settings, args: &NameArgs) -> Result<(), Failure> {
    let name = name_of(&args.name)?;
    let mut store = site::open_store(settings)?;
    done(&name, store.remove_reviewer(&name, &roles::actor(), now()).map_err(Failure::no)?)?;
    store.close().map_err(Failure::no)?;
    line(&format!("{name}: may no longer log in; their votes stay"));
    Ok(())
}

fn reset(settings: &Settings, args: &ResetArgs) -> Result<(), Failure> {
    let name = name_of(&args.name)?;
    let mut store = site::open_store(settings)?;
    // Before anybody types a password in vain.
    if store.reviewer_secret(&name).map_err(Failure::no)?.is_none() {
        return done(&name, ReviewerChange::NoSuchReviewer);
    }
    let password = new_password(&name, &args.password)?;
    let secret = password::hash(&password).map_err(Failure::no)?;
    let change = store.set_reviewer_secret(&name, &secret, &roles::actor(), now()).map_err(Failure::no)?;
    done(&name, change)?;
    store.close().map_err(Failure::no)?;
    line(&format!("{name}: has another password; whoever was logged in with the old one is logged out"));
    tell_password(&args.password, &password);
    Ok(())
}
