//! Permissions: what one user may do to another's files, and what a mount's options leave. For root, as those of users.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    },
    process::Command,
    time::SystemTime,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{Mode, SFlag, makedev, mknod, umask},
    unistd::{AccessFlags, Uid, access, setresuid},
};

use super::{
    outcome::{Check, Outcome, require, require_success},
    place::{Place, own},
    users::{ANN, BOB, CLUB, as_user, number, require_error},
};

pub(super) const CHECKS: &[Check] = &[
    ("permissions-files", files_of_others),
    ("permissions-directories", directories_of_others),
    ("permissions-owners", owners),
    ("permissions-new-files", new_files),
    ("permissions-mounts", mounts),
];

fn files_of_others() -> Outcome {
    let place = Place::new("users-files")?;
    let private = place.file("private", 0o600, (ANN, ANN))?;
    let shared = place.file("shared", 0o640, (ANN, CLUB))?;
    let odd = place.file("odd", 0o066, (ANN, ANN))?;
    let write = OpenOptions::new().write(true).clone();
    as_user(ANN, &[], || {
        fs::write(&private, "mine")?;
        require_error("reading what only others may", fs::read(&odd), Errno::EACCES)
    })?;
    as_user(BOB, &[CLUB], || {
        fs::read(&shared)?;
        fs::read(&odd)?;
        require_error("writing a file of one's group", write.open(&shared), Errno::EACCES)?;
        require_error("reading a private file", fs::read(&private), Errno::EACCES)?;
        require_error("access to a private file", number(access(&*private, AccessFlags::R_OK)), Errno::EACCES)?;
        let truncate = nix::unistd::truncate(&*shared, 0);
        require_error("truncating a file of one's group", number(truncate), Errno::EACCES)?;
        let quiet = OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(&shared);
        require_error("reading another's file unseen", quiet, Errno::EPERM)?;
        let file = fs::File::open(&shared)?;
        let later = fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NOATIME));
        require_error("doing so later", number(later), Errno::EPERM)
    })?;
    as_user(BOB, &[], || require_error("reading without the group", fs::read(&shared), Errno::EACCES))?;
    // As whom a process acts is not as whom `access` asks.
    require_success("access", || {
        let (root, bob) = (Uid::from_raw(0), Uid::from_raw(BOB));
        setresuid(bob, root, root)?;
        fs::read(&private)?;
        require_error("access as the real user", number(access(&*private, AccessFlags::R_OK)), Errno::EACCES)
    })
}

fn directories_of_others() -> Outcome {
    let place = Place::new("users-directories")?;
    let closed = place.directory("closed", 0o700, (ANN, ANN))?;
    let fixed = place.directory("fixed", 0o755, (ANN, ANN))?;
    let sticky = place.directory("sticky", 0o1777, (0, 0))?;
    let anns = place.file("sticky/ann", 0o666, (ANN, ANN))?;
    let (inner, target) = (place.directory("sticky/inner", 0o755, (ANN, ANN))?, place.at("sticky/elsewhere"));
    place.file("closed/file", 0o666, (ANN, ANN))?;
    let fixed_file = place.file("fixed/file", 0o666, (ANN, ANN))?;
    as_user(BOB, &[], || {
        require_error("a walk through a closed directory", fs::metadata(format!("{closed}/file")), Errno::EACCES)?;
        require_error("listing it", fs::read_dir(&closed), Errno::EACCES)?;
        require_error("going there", std::env::set_current_dir(&closed), Errno::EACCES)?;
        require_error("a new file", fs::write(format!("{fixed}/new"), ""), Errno::EACCES)?;
        require_error("a new directory", fs::create_dir(format!("{fixed}/new")), Errno::EACCES)?;
        require_error("removing a file", fs::remove_file(&fixed_file), Errno::EACCES)?;
        require_error("a file that is not there", fs::remove_file(format!("{fixed}/none")), Errno::ENOENT)?;
        fs::write(&anns, "everybody may")?;
        require_error("removing another's file", fs::remove_file(&anns), Errno::EPERM)?;
        require_error("moving another's file", fs::rename(&anns, place.at("moved")), Errno::EPERM)?;
        let bobs = format!("{sticky}/bob");
        fs::write(&bobs, "")?;
        require_error("replacing another's file", fs::rename(&bobs, &anns), Errno::EPERM)?;
        Ok(fs::remove_file(bobs)?)
    })?;
    as_user(ANN, &[], || {
        fs::rename(&inner, &target)?;
        fs::set_permissions(&target, Permissions::from_mode(0o555))?;
        let away = fs::rename(&target, format!("{fixed}/inner"));
        require_error("moving a directory that must not change", away, Errno::EACCES)?;
        fs::rename(&target, &inner)?;
        Ok(fs::remove_file(&anns)?)
    })
}

fn owners() -> Outcome {
    let place = Place::new("users-owners")?;
    let path = place.file("file", 0o644, (ANN, ANN))?;
    let mode = || fs::metadata(&path).map(|metadata| metadata.mode() & 0o7777);
    as_user(BOB, &[], || {
        let change = fs::set_permissions(&path, Permissions::from_mode(0o666));
        require_error("chmod of another's file", change, Errno::EPERM)?;
        require_error("taking a file", chown(&path, Some(BOB), None), Errno::EPERM)?;
        let file = fs::File::open(&path)?;
        require_error("another's times", file.set_modified(SystemTime::UNIX_EPOCH), Errno::EPERM)
    })?;
    as_user(ANN, &[CLUB], || {
        require_error("giving a file away", chown(&path, Some(BOB), None), Errno::EPERM)?;
        require_error("another group", chown(&path, None, Some(BOB)), Errno::EPERM)?;
        chown(&path, None, Some(CLUB))?;
        fs::set_permissions(&path, Permissions::from_mode(0o6755))?;
        require!(mode()? == 0o6755, "chmod of one's own file made {:o}", mode()?);
        Ok(fs::File::open(&path)?.set_modified(SystemTime::UNIX_EPOCH)?)
    })?;
    chown(&path, Some(ANN), None)?;
    require!(mode()? == 0o755, "a new owner left {:o}", mode()?);
    own(&path, 0o6777, (ANN, CLUB))?;
    as_user(BOB, &[], || Ok(fs::write(&path, "changed")?))?;
    require!(mode()? == 0o777, "new contents left {:o}", mode()?);
    own(&path, 0o2644, (BOB, CLUB))?;
    as_user(BOB, &[], || Ok(fs::set_permissions(&path, Permissions::from_mode(0o2755))?))?;
    require!(mode()? == 0o755, "a group that is not one's own was given to a program: {:o}", mode()?);
    Ok(())
}

fn new_files() -> Outcome {
    let place = Place::new("users-new")?;
    let clubs = place.directory("club", 0o2777, (ANN, CLUB))?;
    as_user(BOB, &[], || {
        umask(Mode::from_bits_truncate(0o027));
        for (path, expected) in [
            (place.at("file"), (0o640, BOB, BOB)),
            (format!("{clubs}/file"), (0o640, BOB, CLUB)),
            (format!("{clubs}/directory/"), (0o2750, BOB, CLUB)),
        ] {
            if path.ends_with('/') {
                fs::create_dir(&path)?;
            } else {
                fs::write(&path, "")?;
            }
            let made = fs::metadata(&path)?;
            let found = (made.mode() & 0o7777, made.uid(), made.gid());
            require!(found == expected, "{path} has mode, user and group {found:?}, not {expected:?}");
        }
        let (reader, _writer) = nix::unistd::pipe()?;
        let pipe = fs::metadata(format!("/proc/self/fd/{}", reader.as_raw_fd()))?;
        require!(pipe.uid() == BOB, "a pipe is of user {}", pipe.uid());
        let device = mknod(&*place.at("device"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3));
        require_error("making a device", number(device), Errno::EPERM)
    })
}

/// A file system that is mounted as long as this is there.
struct Mounted<'a>(&'a str);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

fn mounts() -> Outcome {
    let place = Place::new("mounts")?;
    let path = place.directory("tmpfs", 0o777, (0, 0))?;
    let at = |name: &str| format!("{path}/{name}");
    let none = None::<&str>;
    mount(Some("none"), &*path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, none)?;
    let _mounted = Mounted(&path);
    let options = |expected: &str| {
        let all = fs::read_to_string("/proc/mounts")?;
        let line = all.lines().find(|line| line.contains(&path)).unwrap_or_default();
        require!(line.contains(expected), "/proc/mounts says {line:?}, not {expected:?}");
        Ok(())
    };
    options("rw,nosuid,nodev,relatime")?;
    mknod(&*at("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3))?;
    require_error("opening a device", fs::read(at("null")), Errno::EACCES)?;
    fs::copy("/proc/self/exe", at("check"))?;
    own(&at("check"), 0o4755, (ANN, ANN))?;
    let run = || Command::new(at("check")).arg("--ids").output();
    as_user(BOB, &[], || {
        let said = run()?.stdout;
        require!(said.starts_with(format!("{BOB} {BOB} {BOB}").as_bytes()), "a program acts as its owner: {said:?}");
        Ok(())
    })?;
    let remount = |flags| mount(none, &*path, none, MsFlags::MS_REMOUNT | flags, none);
    remount(MsFlags::MS_NOEXEC)?;
    options("rw,noexec,relatime")?;
    require_error("running a program", run(), Errno::EACCES)?;
    remount(MsFlags::MS_RDONLY)?;
    options("ro,relatime")?;
    fs::read(at("check"))?;
    fs::write(at("null"), "a device is no file")?;
    for (what, result) in [
        ("writing a file", fs::write(at("check"), "")),
        ("a new file", fs::write(at("new"), "")),
        ("removing a file", fs::remove_file(at("check"))),
        ("moving a file", fs::rename(at("check"), at("new"))),
        ("a new directory", fs::create_dir(at("new"))),
        ("chmod", fs::set_permissions(at("check"), Permissions::from_mode(0o755))),
        ("chown", chown(at("check"), Some(0), None)),
        ("truncating a file", number(nix::unistd::truncate(&*at("check"), 0))),
        ("access", number(access(&*at("check"), AccessFlags::W_OK))),
    ] {
        require_error(&format!("{what} that cannot be changed"), result, Errno::EROFS)?;
    }
    remount(MsFlags::empty())?;
    Ok(fs::remove_file(at("check"))?)
}
