//! The initramfs that the launcher makes: Quire's own programs, a shell if this machine has one to lend, and whatever a
//! test adds.
//!
//! Everything in it is a static Linux program or a file, so Linux boots with it as well. The programs of `boot/programs`
//! are one executable under several names. The shell is busybox, which Debian has as a static program (`./setup` installs
//! it); it is put in as it is, with a link for each of its applets.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{build, cpio::Archive, error::Error};

/// The shell's program.
const SHELL_PROGRAM: &str = "busybox";

const PROGRAMS: &str = "bin/quire-programs";
const NAMES: [&str; 9] = [
    "bin/bench",
    "bin/check",
    "bin/demo",
    "bin/fuzz",
    "bin/mkswap",
    "bin/stress",
    "bin/swbench",
    "bin/touches",
    "bin/walk",
];
const DIRECTORIES: [&str; 4] = ["dev", "proc", "sys", "etc"];

/// Root, and somebody who is not.
const USERS: &str = "\
root:x:0:0:root:/root:/bin/sh
guest:x:1000:1000:guest:/home/guest:/bin/sh
";
const GUEST: u32 = 1000;
const GROUPS: &str = "\
root:x:0:
tty:x:5:
users:x:100:guest
guest:x:1000:
";

const PROFILE: &str = "\
export HOME=/root PATH=/bin:/sbin:/usr/bin:/usr/sbin
export PS1='quire:\\w\\$ '
alias ll='ls -l'
help() { cat /etc/help; }
cd
if [ -t 1 ]; then echo 'Here, help lists the programs of Quire.'; fi
";

/// What `help` says, beside what the shell itself does.
const HELP: &str = "\
Programs of Quire's own:
  demo [--act N]         swapping as a show in seven acts, on /dev/vda
  stress SECONDS         forks, signals and exits at random, short of memory;
                         swapon /dev/vda first
  swbench PAGES CONTENT ORDER
                         what a page-out and a fault cost, as in
                         swbench 4096 text random; swapon /dev/vda first
  check [NAME...]        holds the kernel to what Linux does; alone, a list
  touches NAME FRAMES    touches pages in an order, with so many frames
  walk                   some pages out and in again, for labs/L0
  fuzz SEED COUNT        system calls at random, beside a verifier
  bench                  what each kind of swap costs, in instructions
  /bin/mkswap DEVICE     makes a swap area; one that encrypts with --type crypt
All others are busybox's: busybox --list. exit ends the machine.
";

/// What goes into an initramfs.
#[derive(Clone, Debug, Default)]
pub struct Initramfs {
    shell: Option<PathBuf>,
    more: Vec<(String, u32, Vec<u8>)>,
}

impl Initramfs {
    /// Quire's programs alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the busybox at `path` as shell; [`shell`] finds one.
    #[must_use]
    pub fn shell(self, path: impl Into<PathBuf>) -> Self {
        Self { shell: Some(path.into()), ..self }
    }

    /// With one more file, which may be executed if these permissions say so. `path` has no leading slash.
    #[must_use]
    pub fn file(mut self, path: &str, permissions: u32, contents: impl Into<Vec<u8>>) -> Self {
        self.more.push((path.to_owned(), permissions, contents.into()));
        self
    }

    /// Builds the programs if they are not fresh, and packs everything.
    ///
    /// # Errors
    /// The programs do not build, or a file cannot be read.
    pub fn pack(&self) -> Result<Vec<u8>, Error> {
        let programs = build::programs()?;
        let mut archive = Archive::new();
        for directory in DIRECTORIES {
            archive.directory(directory);
        }
        archive.directory_of("root", 0o700, 0);
        archive.directory_of("home/guest", 0o700, GUEST);
        archive.directory_of("tmp", 0o1777, 0);
        // Linux opens it for process 1 before anything is mounted.
        archive.device("dev/console", 5, 1);
        archive.file("etc/passwd", 0o644, USERS);
        archive.file("etc/group", 0o644, GROUPS);
        archive.file("etc/profile", 0o644, PROFILE);
        archive.file("etc/help", 0o644, HELP);
        if let Some(busybox) = &self.shell {
            add_shell(&mut archive, busybox)?;
        }
        archive.file(PROGRAMS, 0o755, read(&programs)?);
        for name in NAMES {
            archive.link(name, "quire-programs");
        }
        archive.link("init", PROGRAMS);
        for (path, permissions, contents) in &self.more {
            archive.file(path, *permissions, contents.clone());
        }
        Ok(archive.pack())
    }
}

/// This machine's busybox, if it has a static one.
pub fn shell() -> Option<PathBuf> {
    let search_path = env::var_os("PATH")?;
    let found =
        env::split_paths(&search_path).map(|directory| directory.join(SHELL_PROGRAM)).find(|path| path.is_file())?;
    is_static(&found).then_some(found)
}

/// Whether a program needs no dynamic linker, whose name it would hold.
fn is_static(path: &Path) -> bool {
    let is_dynamic = |program: &[u8]| program.windows(8).any(|part| part == b"/ld-linu" || part == b"/ld-musl");
    fs::read(path)
        .is_ok_and(|program| program.starts_with(b"\x7fELF") && !is_dynamic(&program[..program.len().min(4096)]))
}

fn add_shell(archive: &mut Archive, busybox: &Path) -> Result<(), Error> {
    archive.file("bin/busybox", 0o755, read(busybox)?);
    let applets = Command::new(busybox).arg("--list-full").output().map_err(Error::file("run", busybox))?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|path| *path != "bin/busybox") {
        archive.link(applet, "/bin/busybox");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(Error::file("read", path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{HELP, is_static};

    #[test]
    fn help_fits_a_terminal() {
        let wide = HELP.lines().find(|line| line.len() > 79);
        assert_eq!(wide, None);
    }

    #[test]
    fn a_program_that_needs_a_linker_is_no_shell_for_the_guest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("busybox");
        let mut program = b"\x7fELF".to_vec();
        program.resize(600, 0);
        fs::write(&path, &program).unwrap();
        assert!(is_static(&path));
        program.extend(b"/lib64/ld-linux-x86-64.so.2\0");
        fs::write(&path, &program).unwrap();
        assert!(!is_static(&path));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(!is_static(&path));
    }
}
