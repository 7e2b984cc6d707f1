//! Who may ask what, by the credentials the kernel attests for the other end of the socket.

use crate::config::settings::DaemonSettings;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use sekisho_logic::role::{Role, Roles};
use std::ffi::CString;

/// Groups that give a role, by name.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    /// Groups whose members are viewers.
    pub view: Vec<String>,
    /// Groups whose members are reviewers.
    pub review: Vec<String>,
    /// Groups whose members are admins.
    pub admin: Vec<String>,
    /// Groups whose members are data-protection officers; none: admins stand in for them.
    pub dpo: Vec<String>,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process, when known.
    pub pid: Option<i32>,
    /// What it is to us.
    pub roles: Roles,
}

impl Peer {
    /// The name under which this peer's votes are counted and audited.
    #[must_use]
    pub fn reviewer(&self) -> String {
        format!("uid:{}", self.uid)
    }
}

impl AccessRules {
    /// As the configuration has them.
    #[must_use]
    pub fn of(daemon: &DaemonSettings) -> Self {
        Self {
            view: daemon.view_groups.clone(),
            review: daemon.review_groups.clone(),
            admin: daemon.admin_groups.clone(),
            dpo: daemon.dpo_groups.clone(),
        }
    }

    /// The roles of a user whose process had `gid` as its primary group when it connected. Root and the daemon's own user
    /// are admins.
    #[must_use]
    pub fn roles(&self, uid: u32, gid: u32) -> Roles {
        let own = uid == 0 || Uid::effective().as_raw() == uid;
        let roles = if own { Roles::from(Role::Admin) } else { self.by_group(uid, gid) };
        self.with_stand_in(roles)
    }

    /// The roles that groups alone give.
    #[must_use]
    pub fn by_group(&self, uid: u32, gid: u32) -> Roles {
        let groups = groups_of(uid, gid);
        let each = [
            (Role::Viewer, &self.view),
            (Role::Reviewer, &self.review),
            (Role::Admin, &self.admin),
            (Role::Dpo, &self.dpo),
        ];
        let given = each.into_iter().filter(|(_, names)| among(&groups, names));
        given.fold(Roles::NONE, |roles, (role, _)| roles.and(role))
    }

    /// Where nobody is named as data-protection officer, admins stand in.
    #[must_use]
    pub fn with_stand_in(&self, roles: Roles) -> Roles {
        if self.dpo.is_empty() && roles.has(Role::Admin) { roles.and(Role::Dpo) } else { roles }
    }
}

fn among(groups: &[Gid], names: &[String]) -> bool {
    names.iter().filter_map(|name| Group::from_name(name).ok().flatten()).any(|group| groups.contains(&group.gid))
}

/// The primary group and, from the user database, the supplementary ones. (`SO_PEERGROUPS` would give those of the
/// process itself, but needs unsafe code; the database differs only for processes older than a change to it.)
fn groups_of(uid: u32, gid: u32) -> Vec<Gid> {
    let mut groups = vec![Gid::from_raw(gid)];
    if let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid))
        && let Ok(name) = CString::new(user.name)
        && let Ok(more) = getgrouplist(&name, user.gid)
    {
        groups.extend(more);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_admin_and_an_unknown_user_is_nobody() {
        let rules = AccessRules { view: vec!["no-such-group".into()], ..AccessRules::default() };
        assert!(rules.roles(0, 0).has(Role::Admin));
        assert!(rules.roles(3_999_999, 3_999_999).is_none());
    }

    #[test]
    fn a_group_gives_its_role_and_several_give_several() {
        let mail = Group::from_name("mail").expect("a user database").expect("Debian has a group mail");
        let rules = AccessRules { review: vec!["mail".into()], dpo: vec!["mail".into()], ..AccessRules::default() };
        let roles = rules.roles(3_999_999, mail.gid.as_raw());
        assert_eq!(roles, Roles::from(Role::Reviewer).and(Role::Dpo));
    }

    #[test]
    fn admins_stand_in_for_a_data_protection_officer_only_where_there_is_none() {
        let nobody = AccessRules::default();
        assert!(nobody.roles(0, 0).has(Role::Dpo));
        let somebody = AccessRules { dpo: vec!["no-such-group".into()], ..AccessRules::default() };
        assert!(!somebody.roles(0, 0).has(Role::Dpo), "named is named, whoever is in the group");
        assert!(!nobody.with_stand_in(Roles::from(Role::Reviewer)).has(Role::Dpo));
    }
}
