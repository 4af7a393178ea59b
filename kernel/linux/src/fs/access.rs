//! Who may do what with a node (Linux: `generic_permission`, `setattr_prepare`, `inode_init_owner`).
//!
//! Whether a class of users may do something is `EACCES`; what only the owner may is `EPERM`.

use super::node::{Attributes, Metadata, NodeKind};
use crate::errno::Errno;
use crate::process::credentials::Credentials;

/// To read.
pub const READ: u32 = 4;
/// To write.
pub const WRITE: u32 = 2;
/// To execute a file.
pub const EXECUTE: u32 = 1;
/// To find names in a directory.
pub const SEARCH: u32 = EXECUTE;

/// A program acts as its file's owner (`S_ISUID`).
pub const SET_USER: u32 = 0o4000;
/// A program acts as its file's group; what is made in a directory gets the directory's (`S_ISGID`).
pub const SET_GROUP: u32 = 0o2000;
/// Names in a directory are their owners' to remove (`S_ISVTX`).
const STICKY: u32 = 0o1000;
const GROUP_EXECUTE: u32 = 0o010;

/// Whether everything in `want` may be done.
///
/// # Errors
/// `EACCES`.
pub fn check(credentials: &Credentials, node: &Metadata, want: u32) -> Result<(), Errno> {
    let Attributes { permissions, user, group, .. } = node.attributes;
    let granted = if credentials.is_superuser_of_files() {
        // The superuser cannot execute what no user can.
        let can_execute = node.kind == NodeKind::Directory || permissions & 0o111 != 0;
        READ | WRITE | if can_execute { EXECUTE } else { 0 }
    } else if credentials.user.filesystem == user {
        permissions >> 6
    } else if credentials.is_in_group(group) {
        permissions >> 3
    } else {
        permissions
    };
    if want & !granted == 0 { Ok(()) } else { Err(Errno::EACCES) }
}

fn is_owner(credentials: &Credentials, node: &Attributes) -> bool {
    credentials.is_superuser_of_files() || credentials.user.filesystem == node.user
}

/// Whether what only the owner may do may be done.
///
/// # Errors
/// `EPERM`.
pub fn check_owner(credentials: &Credentials, node: &Attributes) -> Result<(), Errno> {
    if is_owner(credentials, node) { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether the name of `node` may be removed from `directory`, or given to another node.
///
/// # Errors
/// `EACCES`; `EPERM` in a directory like `/tmp`.
pub fn check_removal(credentials: &Credentials, directory: &Metadata, node: &Metadata) -> Result<(), Errno> {
    check(credentials, directory, WRITE | SEARCH)?;
    let is_free = directory.attributes.permissions & STICKY == 0 || is_owner(credentials, &directory.attributes);
    if is_free { Ok(()) } else { check_owner(credentials, &node.attributes) }
}

/// The attributes of what is to be made in `directory` with these permissions.
pub fn new_attributes(
    credentials: &Credentials,
    directory: &Attributes,
    kind: NodeKind,
    wanted: Attributes,
) -> Attributes {
    let mut new = Attributes { user: credentials.user.filesystem, group: credentials.group.filesystem, ..wanted };
    if directory.permissions & SET_GROUP == 0 {
        return new;
    }
    new.group = directory.group;
    if kind == NodeKind::Directory {
        new.permissions |= SET_GROUP;
    } else if new.permissions & GROUP_EXECUTE != 0 {
        new.permissions = in_own_group(credentials, &new, new.permissions);
    }
    new
}

/// Permissions that the owner gives to `node`.
///
/// # Errors
/// `EPERM`.
pub fn new_permissions(credentials: &Credentials, node: &Attributes, permissions: u32) -> Result<u32, Errno> {
    check_owner(credentials, node)?;
    Ok(in_own_group(credentials, node, permissions))
}

/// Permissions without the one that would let a program act as a group that is not the caller's.
fn in_own_group(credentials: &Credentials, node: &Attributes, permissions: u32) -> u32 {
    let may = credentials.is_superuser_of_files() || credentials.is_in_group(node.group);
    if may { permissions } else { permissions & !SET_GROUP }
}

/// Whether `node` may be given to another user or another group, where they are given: an owner only gives it to a group
/// that he is in.
///
/// # Errors
/// `EPERM`.
pub fn check_new_owner(
    credentials: &Credentials,
    node: &Attributes,
    user: Option<u32>,
    group: Option<u32>,
) -> Result<(), Errno> {
    let is_owner = credentials.user.filesystem == node.user;
    let user_is_same = user.is_none_or(|user| is_owner && user == node.user);
    let group_is_own = group.is_none_or(|group| is_owner && (group == node.group || credentials.is_in_group(group)));
    if credentials.is_superuser_of_files() || user_is_same && group_is_own { Ok(()) } else { Err(Errno::EPERM) }
}

/// The permissions of a file that has another owner or other contents now: running it no longer gives the rights that it gave before.
pub fn without_set_ids(permissions: u32) -> u32 {
    const GROUP: u32 = SET_GROUP | GROUP_EXECUTE;
    permissions & !(SET_USER | if permissions & GROUP == GROUP { SET_GROUP } else { 0 })
}

/// As whom a program acts whose file has a set-ID permission: user and group.
pub fn program_ids(program: &Attributes) -> (Option<u32>, Option<u32>) {
    const GROUP: u32 = SET_GROUP | GROUP_EXECUTE;
    let user = (program.permissions & SET_USER != 0).then_some(program.user);
    (user, (program.permissions & GROUP == GROUP).then_some(program.group))
}

#[cfg(test)]
mod tests {
    use super::{
        EXECUTE, READ, WRITE, check, check_new_owner, check_owner, check_removal, new_attributes, new_permissions,
        program_ids, without_set_ids,
    };
    use crate::errno::Errno;
    use crate::fs::node::{Attributes, Metadata, NodeKind};
    use crate::process::credentials::Credentials;

    fn person(user: u32, group: u32) -> Credentials {
        let root = Credentials::SUPERUSER;
        let user = root.user.set(user, true).expect("privileged");
        let group = root.group.set(group, true).expect("privileged");
        root.with_user(user).with_group(group)
    }

    fn attributes(permissions: u32, user: u32, group: u32) -> Attributes {
        Attributes { permissions, user, group, ..Attributes::default() }
    }

    fn node(kind: NodeKind, attributes: Attributes) -> Metadata {
        Metadata { device: 0, inode: 0, kind, links: 1, attributes, size: 0, blocks: 0 }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let node = node(NodeKind::File, attributes(0o640, 1, 2));
        let check = |user, group, want| check(&person(user, group), &node, want);
        assert_eq!(check(1, 9, READ | WRITE), Ok(()));
        assert_eq!(check(9, 2, READ), Ok(()));
        assert_eq!(check(9, 2, READ | WRITE), Err(Errno::EACCES));
        assert_eq!(check(9, 9, READ), Err(Errno::EACCES));
        assert_eq!(check(0, 0, READ | WRITE), Ok(()));
        assert_eq!(check(0, 0, EXECUTE), Err(Errno::EACCES));
        let member = person(9, 9).with_groups(Some([1, 2, 3].into()));
        assert_eq!(super::check(&member, &node, READ), Ok(()));
    }

    #[test]
    fn in_a_sticky_directory_names_are_their_owners() {
        let removal = |permissions, who| {
            let directory = node(NodeKind::Directory, attributes(permissions, 3, 3));
            check_removal(&person(who, who), &directory, &node(NodeKind::File, attributes(0o666, 1, 1)))
        };
        for (permissions, who, expected) in [
            (0o777, 2, Ok(())),
            (0o755, 2, Err(Errno::EACCES)),
            (0o1777, 2, Err(Errno::EPERM)),
            (0o1777, 1, Ok(())),
            (0o1777, 3, Ok(())),
            (0o1777, 0, Ok(())),
        ] {
            assert_eq!(removal(permissions, who), expected, "{permissions:o} {who}");
        }
    }

    #[test]
    fn what_is_made_is_the_makers_in_the_directorys_group() {
        let made = |directory, kind, permissions| {
            let made = new_attributes(&person(1, 2), &directory, kind, attributes(permissions, 0, 0));
            (made.permissions, made.user, made.group)
        };
        let set_group = attributes(0o2777, 5, 6);
        assert_eq!(made(attributes(0o777, 5, 6), NodeKind::File, 0o644), (0o644, 1, 2));
        assert_eq!(made(set_group, NodeKind::File, 0o644), (0o644, 1, 6));
        assert_eq!(made(set_group, NodeKind::Directory, 0o755), (0o2755, 1, 6));
        assert_eq!(
            made(set_group, NodeKind::File, 0o2755),
            (0o755, 1, 6),
            "a user cannot give a file a group that is not his own"
        );
    }

    #[test]
    fn only_the_owner_changes_what_others_may() {
        let file = attributes(0o600, 1, 2);
        assert_eq!(new_permissions(&person(3, 2), &file, 0o666), Err(Errno::EPERM));
        assert_eq!(new_permissions(&person(1, 2), &file, 0o2755), Ok(0o2755));
        assert_eq!(new_permissions(&person(1, 9), &file, 0o6755), Ok(0o4755));
        assert_eq!(new_permissions(&person(0, 0), &file, 0o2755), Ok(0o2755));
        assert_eq!(check_owner(&person(2, 2), &file), Err(Errno::EPERM));
    }

    #[test]
    fn nobody_but_the_superuser_gives_files_away() {
        let file = attributes(0o644, 1, 2);
        let give = |who: &Credentials, user, group| check_new_owner(who, &file, user, group);
        let owner = person(1, 2).with_groups(Some([7].into()));
        assert_eq!(give(&owner, Some(3), None), Err(Errno::EPERM));
        assert_eq!(give(&owner, Some(1), Some(7)), Ok(()));
        assert_eq!(give(&owner, None, Some(8)), Err(Errno::EPERM));
        assert_eq!(give(&person(3, 2), None, Some(2)), Err(Errno::EPERM));
        assert_eq!(give(&person(3, 3), None, None), Ok(()));
        assert_eq!(give(&person(0, 0), Some(3), Some(4)), Ok(()));
    }

    #[test]
    fn set_ids_are_for_programs_and_go_when_they_change() {
        assert_eq!(program_ids(&attributes(0o6755, 1, 2)), (Some(1), Some(2)));
        assert_eq!(program_ids(&attributes(0o2745, 1, 2)), (None, None), "that group may not execute it");
        assert_eq!(without_set_ids(0o6755), 0o755);
        assert_eq!(without_set_ids(0o6745), 0o2745);
    }
}
