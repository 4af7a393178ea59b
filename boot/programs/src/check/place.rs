//! A directory for a check.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, chown},
};

/// A directory of this check's own that everybody may use.
pub(super) struct Place(String);

impl Place {
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let path = format!("/tmp/check-{name}-{}", std::process::id());
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        Ok(Self(path))
    }

    pub(super) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// A file of that user and group with these permissions.
    pub(super) fn file(&self, name: &str, permissions: u32, (user, group): (u32, u32)) -> io::Result<String> {
        let path = self.at(name);
        fs::write(&path, name)?;
        own(&path, permissions, (user, group))?;
        Ok(path)
    }

    pub(super) fn directory(&self, name: &str, permissions: u32, (user, group): (u32, u32)) -> io::Result<String> {
        let path = self.at(name);
        fs::create_dir(&path)?;
        own(&path, permissions, (user, group))?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // In a child that is another user it stays, for the parent to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Permissions last: a new owner takes some of them away.
pub(super) fn own(path: &str, permissions: u32, (user, group): (u32, u32)) -> io::Result<()> {
    chown(path, Some(user), Some(group))?;
    fs::set_permissions(path, Permissions::from_mode(permissions))
}
