//! Who may do what with a node (Linux: `generic_permission`).

use super::node::{Kind, Metadata};
use crate::errno::Errno;

/// To read.
pub const READ: u32 = 4;
/// To write.
pub const WRITE: u32 = 2;
/// To execute a file.
pub const EXECUTE: u32 = 1;
/// To find names in a directory.
pub const SEARCH: u32 = EXECUTE;

/// On whose behalf something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user; 0 may everything.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl Credentials {
    /// The superuser's.
    pub const SUPERUSER: Self = Self { user: 0, group: 0 };

    /// Whether everything in `want` may be done.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check(&self, node: &Metadata, want: u32) -> Result<(), Errno> {
        let permissions = node.attributes.permissions;
        let granted = if self.user == 0 {
            // The superuser cannot execute what nobody can.
            let can_execute = node.kind == Kind::Directory || permissions & 0o111 != 0;
            READ | WRITE | if can_execute { EXECUTE } else { 0 }
        } else if self.user == node.attributes.user {
            permissions >> 6
        } else if self.group == node.attributes.group {
            permissions >> 3
        } else {
            permissions
        };
        if want & !granted == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, EXECUTE, READ, WRITE};
    use crate::errno::Errno;
    use crate::fs::node::{Attributes, Kind, Metadata};

    #[test]
    fn the_first_class_that_fits_decides() {
        let attributes = Attributes { permissions: 0o640, user: 1, group: 2, ..Attributes::default() };
        let node = Metadata { device: 0, inode: 0, kind: Kind::File, links: 1, attributes, size: 0, blocks: 0 };
        let check = |user, group, want| Credentials { user, group }.check(&node, want);
        assert_eq!(check(1, 9, READ | WRITE), Ok(()));
        assert_eq!(check(9, 2, READ), Ok(()));
        assert_eq!(check(9, 2, READ | WRITE), Err(Errno::EACCES));
        assert_eq!(check(9, 9, READ), Err(Errno::EACCES));
        assert_eq!(check(0, 0, READ | WRITE), Ok(()));
        assert_eq!(check(0, 0, EXECUTE), Err(Errno::EACCES));
    }
}
