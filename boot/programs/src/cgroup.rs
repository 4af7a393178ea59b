//! Memory cgroups, as directories (Linux: `Documentation/admin-guide/cgroup-v2.rst`).

use std::{
    fs,
    io::{self, ErrorKind},
    process, thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
};

use crate::files;

const ALL: &str = "/sys/fs/cgroup";

/// A cgroup that is removed with this value, if its processes have gone by then.
pub(crate) struct Cgroup(String);

impl Cgroup {
    /// A cgroup of that name below the root, made unless it is there.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        match mount(Some("cgroup2"), ALL, Some("cgroup2"), MsFlags::empty(), None::<&str>) {
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(error) => return Err(error.into()),
        }
        // Where it is on already, the name is accepted as well.
        files::set(&format!("{ALL}/cgroup.subtree_control"), "+memory")?;
        let path = Self::path(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self(path)),
        }
    }

    /// The directory of a cgroup of that name.
    pub(crate) fn path(name: &str) -> String {
        format!("{ALL}/{name}")
    }

    /// The one at that path, which may be gone.
    pub(crate) fn at(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Puts this process into it.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.set("cgroup.procs", &process::id().to_string())
    }

    /// Puts this process into the root.
    pub(crate) fn leave() -> io::Result<()> {
        files::set(&format!("{ALL}/cgroup.procs"), &process::id().to_string())
    }

    /// Writes to one of its files.
    pub(crate) fn set(&self, file: &str, value: &str) -> io::Result<()> {
        files::set(&format!("{}/{file}", self.0), value)
    }

    /// The number in one of its files.
    pub(crate) fn number(&self, file: &str) -> io::Result<u64> {
        let path = format!("{}/{file}", self.0);
        files::text(&path)?.parse().map_err(|_| io::Error::other(format!("{path} holds no number")))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was waited for may be in it for a moment; this one may be in it to its end.
        for _ in 0..100 {
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() != ErrorKind::NotFound => {}
                _ => return,
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
