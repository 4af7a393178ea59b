//! A program that runs is not written, and one that is open to be written does not run (`ETXTBSY`).

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::truncate,
};

use super::{
    outcome::{Check, Outcome, require},
    place::Place,
    users::{number, require_error},
};

pub(super) const CHECKS: &[Check] =
    &[("busy-running", running), ("busy-written", written), ("busy-script", script), ("busy-own", own_file)];

/// A copy of this program that can be run.
fn program(place: &Place) -> io::Result<String> {
    let path = place.at("program");
    fs::copy("/proc/self/exe", &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Runs `path` for as long as `meanwhile` takes: it writes to a pipe that is full.
fn while_it_runs(path: &str, meanwhile: impl FnOnce() -> Outcome) -> Outcome {
    let (mut reader, mut writer) = io::pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty()))?;
    let mut child = Command::new(path).arg("check").stdout(Stdio::from(writer)).spawn()?;
    let outcome = meanwhile();
    io::copy(&mut reader, &mut io::sink())?;
    let status = child.wait()?;
    require!(status.success(), "the program ended with {status}");
    outcome
}

fn cannot_be_written(path: &str) -> Outcome {
    for (how, result) in [
        ("to write", File::options().write(true).open(path)),
        ("to read and write", File::options().read(true).write(true).open(path)),
        ("to append", File::options().append(true).open(path)),
        ("to cut it", File::options().write(true).truncate(true).open(path)),
    ] {
        require_error(&format!("opening a running program {how}"), result, Errno::ETXTBSY)?;
    }
    require_error("cutting a running program", number(truncate(path, 100)), Errno::ETXTBSY)
}

fn running() -> Outcome {
    let place = Place::new("busy")?;
    let path = program(&place)?;
    let length = fs::metadata(&path)?.len();
    while_it_runs(&path, || {
        cannot_be_written(&path)?;
        let mut start = [0; 4];
        File::open(&path)?.read_exact(&mut start)?;
        require!(start == *b"\x7fELF" && fs::metadata(&path)?.len() == length, "it was changed");
        // Another file under its name is another file.
        fs::rename(&path, place.at("old"))?;
        fs::write(&path, "")?;
        cannot_be_written(&place.at("old"))
    })?;
    File::options().write(true).open(place.at("old"))?;
    Ok(fs::write(place.at("old"), "it runs no more")?)
}

fn written() -> Outcome {
    let place = Place::new("busy")?;
    let path = program(&place)?;
    let file = File::options().append(true).open(&path)?;
    let copy = file.try_clone()?;
    require_error("running what is open to be written", Command::new(&path).arg("check").output(), Errno::ETXTBSY)?;
    drop(file);
    require_error("the same by a copy", Command::new(&path).arg("check").output(), Errno::ETXTBSY)?;
    drop(copy);
    let _readable = File::open(&path)?;
    require!(Command::new(&path).arg("check").output()?.status.success(), "it does not run any more");
    Ok(())
}

/// A script is only read; the program that reads it runs.
fn script() -> Outcome {
    let place = Place::new("busy")?;
    let (path, script) = (program(&place)?, place.at("script"));
    // Without a name it says which checks there are, as well with one that it takes for an option.
    fs::write(&script, format!("#!{path} check\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let file = File::options().append(true).open(&script)?;
    require_error("running a script that is open to be written", Command::new(&script).output(), Errno::ETXTBSY)?;
    drop(file);
    let file = File::options().append(true).open(&path)?;
    require_error("running a script whose program is", Command::new(&script).output(), Errno::ETXTBSY)?;
    drop(file);
    Ok(())
}

fn own_file() -> Outcome {
    let own = fs::read_link("/proc/self/exe")?;
    let own = own.to_str().ok_or("the path is no text")?;
    require_error("opening this program to write", File::options().write(true).open(own), Errno::ETXTBSY)?;
    let result = File::options().write(true).open("/proc/self/exe");
    require_error("opening /proc/self/exe to write", result, Errno::ETXTBSY)
}
