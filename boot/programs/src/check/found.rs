//! What `fuzz` found, each as the shortest program that does it: none may end the machine.

use std::{env, fs, fs::OpenOptions};

use nix::errno::Errno;

use super::outcome::{Check, Outcome, require, require_success};

pub(super) const CHECKS: &[Check] = &[("found-life-in-proc", life_in_proc)];

/// A process whose directory is among its own files in `/proc`, one of which says where its directory is.
fn life_in_proc() -> Outcome {
    require_success("a directory in /proc", || {
        let place = format!("/proc/{}/fd", std::process::id());
        for path in ["/proc/self/fd", &place] {
            env::set_current_dir(path)?;
            let error = OpenOptions::new().write(true).create(true).truncate(true).open("new").err();
            let code = error.as_ref().and_then(std::io::Error::raw_os_error);
            require!(code == Some(Errno::ENOENT as i32), "making a file in {path} gave {error:?}");
            let own = [env::current_dir()?, fs::read_link("/proc/self/cwd")?, fs::read_link("../cwd")?];
            require!(own.iter().all(|path| path.to_str() == Some(&place)), "{place} is called {own:?}");
        }
        Ok(())
    })
}
