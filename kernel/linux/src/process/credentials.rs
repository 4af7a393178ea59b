//! Users and groups: who a process is, and what that lets it do to itself and to others (`credentials(7)`).
//!
//! There are no sets of capabilities: the effective user 0 has all of Linux's, all others have none. For files it is the
//! file system's user that counts, which follows the effective one unless `setfsuid` sets it apart. What a change needs is
//! as in Linux's `kernel/sys.c`.

use alloc::sync::Arc;
use core::ops::Deref;

use crate::errno::Errno;

/// The user who may everything.
pub const SUPERUSER: u32 = 0;

/// What a call is told that is to leave a user or a group as it is; no user and no group has this number.
const UNCHANGED: u32 = u32::MAX;

/// The users, or the groups, that a process acts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Whose process it is.
    pub real: u32,
    /// As whom it acts.
    pub effective: u32,
    /// As whom it may act again.
    pub saved: u32,
    /// As whom it uses files.
    pub filesystem: u32,
}

impl Ids {
    fn acting_as(self, effective: u32) -> Self {
        Self { effective, filesystem: effective, ..self }
    }

    fn may_become(self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }

    /// After `setuid(2)` or `setgid(2)`.
    ///
    /// # Errors
    /// `EINVAL`; `EPERM` without privilege.
    pub fn set(self, id: u32, privileged: bool) -> Result<Self, Errno> {
        match id {
            UNCHANGED => Err(Errno::EINVAL),
            _ if privileged => Ok(Self { real: id, saved: id, ..self.acting_as(id) }),
            _ if id == self.real || id == self.saved => Ok(self.acting_as(id)),
            _ => Err(Errno::EPERM),
        }
    }

    /// After `setreuid(2)` or `setregid(2)`.
    ///
    /// # Errors
    /// `EPERM` without privilege.
    pub fn set_real_and_effective(self, real: u32, effective: u32, privileged: bool) -> Result<Self, Errno> {
        let real_is_allowed = real == UNCHANGED || real == self.real || real == self.effective;
        let effective_is_allowed = effective == UNCHANGED || self.may_become(effective);
        if !(privileged || real_is_allowed && effective_is_allowed) {
            return Err(Errno::EPERM);
        }
        let mut new = self.acting_as(or(effective, self.effective));
        new.real = or(real, self.real);
        if real != UNCHANGED || effective != UNCHANGED && effective != self.real {
            new.saved = new.effective;
        }
        Ok(new)
    }

    /// After `setresuid(2)` or `setresgid(2)`.
    ///
    /// # Errors
    /// `EPERM` without privilege.
    pub fn set_all(self, [real, effective, saved]: [u32; 3], privileged: bool) -> Result<Self, Errno> {
        let is_allowed = |id| id == UNCHANGED || self.may_become(id);
        if !(privileged || [real, effective, saved].into_iter().all(is_allowed)) {
            return Err(Errno::EPERM);
        }
        let acting = self.acting_as(or(effective, self.effective));
        Ok(Self { real: or(real, self.real), saved: or(saved, self.saved), ..acting })
    }

    /// After `setfsuid(2)` or `setfsgid(2)`, which change nothing if that is not allowed.
    #[must_use]
    pub fn set_filesystem(self, id: u32, privileged: bool) -> Self {
        let is_allowed = id != UNCHANGED && (privileged || self.may_become(id) || id == self.filesystem);
        Self { filesystem: if is_allowed { id } else { self.filesystem }, ..self }
    }
}

fn or(id: u32, unchanged: u32) -> u32 {
    if id == UNCHANGED { unchanged } else { id }
}

/// The users and groups that a process acts as: all of who it is that has a fixed size, so a copy needs no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its users.
    pub user: Ids,
    /// Its groups.
    pub group: Ids,
}

impl Identity {
    /// Whether it may what only the superuser may.
    pub fn is_superuser(&self) -> bool {
        self.user.effective == SUPERUSER
    }

    /// Whether it may what only the superuser may with files.
    pub fn is_superuser_of_files(&self) -> bool {
        self.user.filesystem == SUPERUSER
    }

    /// Whether it acts as another user or group than its real one.
    pub fn acts_as_another(&self) -> bool {
        self.user.real != self.user.effective || self.group.real != self.group.effective
    }

    /// Whether both act as the same, with files too.
    pub fn acts_as(&self, other: &Self) -> bool {
        let acting = |ids: Ids| [ids.effective, ids.filesystem];
        acting(self.user) == acting(other.user) && acting(self.group) == acting(other.group)
    }

    /// Whether it may send signals to a process that is `other`.
    pub fn may_signal(&self, other: &Self) -> bool {
        let is_known = |id| id == other.user.saved || id == other.user.real;
        self.is_superuser() || is_known(self.user.effective) || is_known(self.user.real)
    }

    /// Whether it may change the limits of a process that is `other`.
    pub fn may_limit(&self, other: &Self) -> bool {
        self.is_superuser() || other.is_only(self.user.real, self.group.real)
    }

    /// Whether it may look into the files and the memory of a process that is `other`.
    pub fn may_look_into(&self, other: &Self) -> bool {
        self.is_superuser() || other.is_only(self.user.filesystem, self.group.filesystem)
    }

    /// Whether it can only act as `user` and `group`.
    fn is_only(&self, user: u32, group: u32) -> bool {
        let is_only = |ids: Ids, id| [ids.real, ids.effective, ids.saved] == [id; 3];
        is_only(self.user, user) && is_only(self.group, group)
    }
}

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    identity: Identity,
    /// Its supplementary groups, in order; `None` for none.
    groups: Option<Arc<[u32]>>,
}

impl Credentials {
    /// The superuser.
    pub const SUPERUSER: Self = {
        let ids = Ids { real: SUPERUSER, effective: SUPERUSER, saved: SUPERUSER, filesystem: SUPERUSER };
        Self { identity: Identity { user: ids, group: ids }, groups: None }
    };

    /// Its users and groups, without the supplementary ones.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The supplementary groups, in order.
    pub fn groups(&self) -> &[u32] {
        self.groups.as_deref().unwrap_or_default()
    }

    /// With these users instead.
    #[must_use]
    pub fn with_user(mut self, user: Ids) -> Self {
        self.identity.user = user;
        self
    }

    /// With these groups instead.
    #[must_use]
    pub fn with_group(mut self, group: Ids) -> Self {
        self.identity.group = group;
        self
    }

    /// With these supplementary groups instead, which are in order.
    #[must_use]
    pub fn with_groups(self, groups: Option<Arc<[u32]>>) -> Self {
        Self { groups, ..self }
    }

    /// Whether it uses files as a member of `group`.
    pub fn is_in_group(&self, group: u32) -> bool {
        self.group.filesystem == group || self.groups().binary_search(&group).is_ok()
    }

    /// As whose process it is, and not as whom it acts: for `access(2)`.
    #[must_use]
    pub fn as_real(self) -> Self {
        let real = |ids: Ids| Ids { filesystem: ids.real, ..ids };
        let (user, group) = (real(self.user), real(self.group));
        self.with_user(user).with_group(group)
    }

    /// After starting a program that acts as these, where they are given: whom its file's owner lets it act as.
    #[must_use]
    pub fn in_program(self, user: Option<u32>, group: Option<u32>) -> Self {
        let acting = |ids: Ids, id: Option<u32>| {
            let effective = id.unwrap_or(ids.effective);
            Ids { saved: effective, ..ids.acting_as(effective) }
        };
        let (user, group) = (acting(self.user, user), acting(self.group, group));
        self.with_user(user).with_group(group)
    }
}

impl Deref for Credentials {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Ids, UNCHANGED};
    use crate::errno::Errno;

    fn ids(real: u32, effective: u32, saved: u32) -> Ids {
        Ids { real, effective, saved, filesystem: effective }
    }

    fn user(user: Ids) -> Credentials {
        Credentials::SUPERUSER.with_user(user).with_group(ids(7, 7, 7))
    }

    #[test]
    fn the_superuser_becomes_anybody_for_good() {
        let plain = Ids::default().set(5, true).expect("privileged");
        assert_eq!(plain, ids(5, 5, 5));
        for id in [0, 6] {
            assert_eq!(plain.set(id, false), Err(Errno::EPERM));
            assert_eq!(plain.set_real_and_effective(UNCHANGED, id, false), Err(Errno::EPERM));
            assert_eq!(plain.set_all([UNCHANGED, UNCHANGED, id], false), Err(Errno::EPERM));
            assert_eq!(plain.set_filesystem(id, false), plain);
        }
        assert_eq!(plain.set(UNCHANGED, false), Err(Errno::EINVAL));
    }

    #[test]
    fn who_acts_as_another_can_change_to_and_fro() {
        let acting = ids(5, 0, 0);
        let back = acting.set(5, false).expect("its own");
        assert_eq!(back, ids(5, 5, 0));
        assert_eq!(back.set(0, false), Ok(acting));
        assert_eq!(back.set_filesystem(0, false), Ids { filesystem: 0, ..back });
        assert_eq!(acting.set_real_and_effective(0, 5, false), Ok(ids(0, 5, 5)));
        assert_eq!(acting.set_real_and_effective(UNCHANGED, 5, false), Ok(ids(5, 5, 0)), "its own keeps the saved one");
        assert_eq!(back.set_real_and_effective(UNCHANGED, 0, false), Ok(ids(5, 0, 0)));
        assert_eq!(back.set_real_and_effective(0, UNCHANGED, false), Err(Errno::EPERM), "a saved one is never real");
        assert_eq!(acting.set_all([UNCHANGED, 5, 5], false), Ok(ids(5, 5, 5)));
    }

    #[test]
    fn a_program_saves_whom_it_acts_as() {
        let started = user(ids(5, 6, 9)).in_program(None, Some(3));
        assert_eq!((started.user, started.group), (ids(5, 6, 6), ids(7, 3, 3)));
        assert!(started.acts_as_another());
        assert_eq!(started.as_real().user.filesystem, 5);
    }

    #[test]
    fn signals_reach_ones_own_processes() {
        let target = user(ids(5, 9, 6));
        for (sender, may) in [(ids(5, 5, 5), true), (ids(1, 6, 1), true), (ids(9, 9, 9), false), (ids(1, 1, 5), false)]
        {
            assert_eq!(user(sender).may_signal(&target), may, "{sender:?}");
        }
        assert!(user(ids(5, 0, 5)).may_signal(&target));
    }

    #[test]
    fn only_what_is_all_ones_own_is_looked_into() {
        assert!(user(ids(5, 5, 5)).may_look_into(&user(ids(5, 5, 5))));
        assert!(!user(ids(5, 5, 5)).may_look_into(&user(ids(5, 5, 0))), "it could act as root");
        assert!(!user(ids(5, 5, 5)).with_group(ids(8, 8, 8)).may_limit(&user(ids(5, 5, 5))));
    }

    #[test]
    fn groups_are_found() {
        let member = user(ids(5, 5, 5)).with_groups(Some([10, 20, 30].into()));
        assert_eq!(member.groups(), [10, 20, 30]);
        for (group, is_in) in [(7, true), (20, true), (5, false), (0, false)] {
            assert_eq!(member.is_in_group(group), is_in);
        }
    }
}
