//! Who may ask what, by the credentials the kernel attests for the other end of the socket.

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::ffi::CString;

/// What a client may do. Each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing.
    Nobody,
    /// Read status, cameras, alerts, counts.
    View,
    /// Vote on alerts as well.
    Review,
    /// Everything.
    Admin,
}

/// Groups that give a role, by name. The daemon's own user and root are always admin.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    /// Groups that may look.
    pub view: Vec<String>,
    /// Groups that may vote.
    pub review: Vec<String>,
    /// Groups that may do everything.
    pub admin: Vec<String>,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process, when known.
    pub pid: Option<i32>,
    /// What it may do.
    pub role: Role,
}

impl Peer {
    /// The name under which this peer's votes are counted and audited.
    #[must_use]
    pub fn reviewer(&self) -> String {
        format!("uid:{}", self.uid)
    }
}

impl AccessRules {
    /// Whether one of the admin groups is among a user's.
    #[must_use]
    pub fn is_admin_by_group(&self, uid: u32, gid: u32) -> bool {
        among(&groups_of(uid, gid), &self.admin)
    }

    /// The role of a user whose process had `gid` as its primary group when it connected.
    #[must_use]
    pub fn role(&self, uid: u32, gid: u32) -> Role {
        if uid == 0 || Uid::effective().as_raw() == uid {
            return Role::Admin;
        }
        let groups = groups_of(uid, gid);
        let among = |names: &[String]| among(&groups, names);
        if among(&self.admin) {
            Role::Admin
        } else if among(&self.review) {
            Role::Review
        } else if among(&self.view) {
            Role::View
        } else {
            Role::Nobody
        }
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
        assert_eq!(rules.role(0, 0), Role::Admin);
        assert_eq!(rules.role(3_999_999, 3_999_999), Role::Nobody);
    }

    #[test]
    fn a_group_gives_its_role() {
        let mail = Group::from_name("mail").expect("a user database").expect("Debian has a group mail");
        let rules = AccessRules { review: vec!["mail".into()], ..AccessRules::default() };
        assert_eq!(rules.role(3_999_999, mail.gid.as_raw()), Role::Review);
    }
}
