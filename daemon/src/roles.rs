//! Who runs a verb, and whether they may: the command line's side of the table in `sekisho_logic::role`.
//!
//! Verbs that open the database themselves can only be run by root and the service's own user. Behind `sudo` stands
//! somebody with a role of their own, and that role decides. This keeps duties apart and on record; it keeps nobody out who
//! can read the database's key, and could change the database without this program.

use crate::clock::SystemClock;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::site;
use crate::status::access::AccessRules;
use clap::Args;
use nix::unistd::{Uid, User};
use sekisho_logic::grounds::TEXT_BYTES_MAX;
use sekisho_logic::role::{self, Action, Role, Roles};
use sekisho_logic::time::Clock as _;
use serde_json::json;
use std::os::unix::fs::MetadataExt as _;

/// The way past the table, on record.
#[derive(Clone, Debug, Default, Args)]
pub struct BreakGlass {
    /// Do it although your role does not permit it. The reason is written to the audit trail.
    #[arg(long, value_name = "REASON")]
    break_glass: Option<String>,
}

/// The Unix user who runs this. Under sudo it is who asked, not root or the service's user: whoever enrols somebody is to be
/// told from whoever reviews their alerts. Only who can open the database anyway could forge it to any effect.
#[must_use]
pub fn caller() -> u32 {
    let behind_sudo = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    behind_sudo.unwrap_or_else(|| rustix::process::getuid().as_raw())
}

/// The name under which the user of this command is audited.
#[must_use]
pub fn actor() -> String {
    format!("uid:{}", caller())
}

/// What the table says of somebody's wish.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A role of theirs permits it.
    Yes,
    /// An admin does it because nobody is named as data-protection officer.
    StandIn,
    /// No role permits it, and a reason was given to do it all the same.
    BreaksGlass(String),
    /// No.
    No,
}

/// `roles` are without the one an admin stands in for.
fn answer(roles: Roles, dpo_named: bool, action: Action, glass: &BreakGlass) -> Result<Answer, Failure> {
    let reason = glass.break_glass.as_deref().map(str::trim);
    if reason.is_some_and(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control)) {
        return Err(Failure::Wrong(format!(
            "--break-glass wants a reason on one line, at most {TEXT_BYTES_MAX} bytes"
        )));
    }
    let stand_in = !dpo_named && roles.has(Role::Admin) && Roles::from(Role::Dpo).may(action);
    Ok(match reason {
        _ if roles.may(action) => Answer::Yes,
        _ if stand_in => Answer::StandIn,
        Some(reason) => Answer::BreaksGlass(reason.to_owned()),
        None => Answer::No,
    })
}

/// Refuses what the caller's roles do not permit. Whatever goes past the table is in the audit trail before it is done.
///
/// # Errors
/// [`Failure::No`] in one sentence that names the role it is for; [`Failure::Wrong`] without a reason for breaking the glass.
pub fn require(action: Action, settings: &Settings, glass: &BreakGlass) -> Result<(), Failure> {
    let rules = AccessRules::of(&settings.daemon);
    let roles = roles_here(settings, &rules);
    let (named, of) = match answer(roles, !rules.dpo.is_empty(), action, glass)? {
        Answer::Yes => return Ok(()),
        // Whoever reads the trail does not change it by reading.
        Answer::StandIn if action == Action::Audit => return Ok(()),
        Answer::No => return Err(refusal(action, &rules, roles)),
        Answer::StandIn => ("acting-as-dpo", json!({ "for": action.as_str() })),
        Answer::BreaksGlass(reason) => {
            ("break-glass", json!({ "for": action.as_str(), "roles": roles.words(), "reason": reason }))
        }
    };
    let mut store = site::open_store(settings)?;
    store.audit(SystemClock::start().now().wall, &actor(), named, None, of).map_err(Failure::no)?;
    store.close().map_err(Failure::no)
}

/// The roles of whoever runs this.
#[must_use]
pub fn of_caller(settings: &Settings) -> Roles {
    roles_here(settings, &AccessRules::of(&settings.daemon))
}

/// Whether the caller's roles permit something, an admin's standing in included. Writes nothing.
#[must_use]
pub fn may(action: Action, settings: &Settings) -> bool {
    let rules = AccessRules::of(&settings.daemon);
    let asked = answer(roles_here(settings, &rules), !rules.dpo.is_empty(), action, &BreakGlass::default());
    matches!(asked, Ok(Answer::Yes | Answer::StandIn))
}

fn refusal(action: Action, rules: &AccessRules, roles: Roles) -> Failure {
    let names = |role: Role| match role {
        Role::Viewer => &rules.view,
        Role::Reviewer => &rules.review,
        Role::Admin => &rules.admin,
        Role::Dpo => &rules.dpo,
    };
    let meant = role::permitted(action).iter().map(|role| {
        let whose = match role {
            Role::Dpo => "the data-protection officer",
            Role::Viewer | Role::Reviewer | Role::Admin => role.as_str(),
        };
        format!("{whose} (group {})", names(*role).join(" or "))
    });
    Failure::No(format!(
        "{} is for {}; user {} has {}; --break-glass \"reason\" does it anyway and is written to the audit trail",
        action.as_str(),
        meant.collect::<Vec<_>>().join(" or "),
        caller(),
        if roles.is_none() { "no role".to_owned() } else { format!("the role {}", roles.words()) },
    ))
}

/// The roles of whoever runs this. Root and the owner of the state directory look after the box, so they are admins, also
/// behind sudo; but a reviewer or a data-protection officer who may use sudo is held to that role, or sudo would undo the
/// separation.
fn roles_here(settings: &Settings, rules: &AccessRules) -> Roles {
    let (caller, effective) = (caller(), rustix::process::geteuid().as_raw());
    let own_group = rustix::process::getegid().as_raw();
    let known = User::from_uid(Uid::from_raw(caller)).ok().flatten();
    let group = known.map_or(if caller == effective { own_group } else { caller }, |user| user.gid.as_raw());
    let owner = std::fs::metadata(&settings.daemon.state_dir).map(|about| about.uid()).ok();
    let looks_after = effective == 0 || owner.is_none_or(|owner| owner == effective);
    combined(rules.by_group(caller, group), looks_after)
}

fn combined(by_group: Roles, looks_after: bool) -> Roles {
    let held = by_group.has(Role::Reviewer) || by_group.has(Role::Dpo);
    if looks_after && !held { by_group.and(Role::Admin) } else { by_group }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLASS: fn(&str) -> BreakGlass = |reason| BreakGlass { break_glass: Some(reason.to_owned()) };

    fn says(roles: Roles, dpo_named: bool, action: Action, glass: &BreakGlass) -> Answer {
        answer(roles, dpo_named, action, glass).expect("a reason or none")
    }

    #[test]
    fn what_the_table_forbids_needs_a_reason_and_what_it_permits_none() {
        let (admin, none) = (Roles::from(Role::Admin), BreakGlass::default());
        for action in Action::all() {
            for role in Role::ALL.map(Roles::from) {
                let permitted = role.may(action);
                assert_eq!(says(role, true, action, &none), if permitted { Answer::Yes } else { Answer::No });
                let broken = says(role, true, action, &GLASS("fire"));
                assert_eq!(broken, if permitted { Answer::Yes } else { Answer::BreaksGlass("fire".into()) });
            }
        }
        assert!(answer(admin, true, Action::Export, &GLASS(" ")).is_err());
        assert!(answer(admin, true, Action::Enrol, &GLASS("a\nb")).is_err(), "a bad reason is said, needed or not");
    }

    /// Method and path, with `*` for what differs, of every route in a router's source.
    fn routes(source: &str) -> Vec<(String, String)> {
        let lines = source.lines().filter_map(|line| line.trim().strip_prefix(".route(\""));
        let route = |line: &str| {
            let (path, handler) = line.split_once("\", ")?;
            let parts = path.split('/').map(|part| if part.starts_with('{') { "*" } else { part });
            let method = if handler.starts_with("post(") { "POST" } else { "GET" };
            Some((method.to_owned(), parts.collect::<Vec<_>>().join("/")))
        };
        lines.filter_map(route).collect()
    }

    #[test]
    fn every_route_of_socket_and_page_is_in_the_table_and_nothing_else_is() {
        let socket = routes(include_str!("status/routes.rs"));
        let page = routes(include_str!("web/api/mod.rs"));
        // What is asked before anybody is known, or holds nothing of anybody.
        let open = ["/", "/assets/*", "/api/login", "/api/ticket"];
        let page: Vec<_> = page.into_iter().filter(|(_, path)| !open.contains(&path.as_str())).collect();
        for (found, table) in [(socket, role::SOCKET), (page, role::PAGE)] {
            assert!(found.len() > 10, "{found:?}");
            for (method, path) in &found {
                assert!(table.iter().any(|(of, known, _)| of == method && known == path), "{method} {path}");
            }
            assert_eq!(found.len(), table.len(), "{found:?}");
        }
    }

    #[test]
    fn an_admin_stands_in_where_nobody_is_named_and_a_reviewer_does_not() {
        let none = BreakGlass::default();
        assert_eq!(says(Roles::from(Role::Admin), false, Action::Export, &none), Answer::StandIn);
        assert_eq!(says(Roles::from(Role::Reviewer), false, Action::Export, &none), Answer::No);
        assert_eq!(says(Roles::from(Role::Admin), true, Action::Export, &none), Answer::No);
    }

    #[test]
    fn sudo_makes_an_admin_of_who_has_no_duty_apart_from_it() {
        assert!(
            combined(Roles::NONE, true).has(Role::Admin) && combined(Roles::from(Role::Viewer), true).has(Role::Admin)
        );
        for role in [Role::Reviewer, Role::Dpo] {
            assert!(!combined(Roles::from(role), true).has(Role::Admin), "{role:?}");
            assert!(combined(Roles::from(role).and(Role::Admin), true).has(Role::Admin), "both by their groups");
        }
        assert!(combined(Roles::NONE, false).is_none());
    }
}
