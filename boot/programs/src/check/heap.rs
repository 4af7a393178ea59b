//! When the kernel has no memory for itself: calls are refused with an error, lose nothing, and work again afterwards.
//!
//! `/proc/self/fail-nth` makes each allocation of a call fail in its turn, the first, the second, and so on until the call has
//! no more of them; so each is seen to be one that may fail. Linux has that file if it was built for it.

use std::{
    env,
    ffi::{CString, OsStr},
    fs::{self, File, create_dir_all},
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt,
            fs::{chown, symlink},
        },
    },
    path::Path,
    ptr,
};

use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount, umount},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags},
        stat::Mode,
    },
    unistd::{Gid, Uid, chdir, execve, mkfifo, pipe, seteuid, setgid, setgroups, setuid},
};

use super::{
    bad::is_small,
    calls, locks,
    numbers::for_root_and_others,
    outcome::{Check, Outcome, require, require_success},
};
use crate::{
    files,
    memory::{Memory, PAGE},
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] = &[
    ("heap-deep-directories", || for_root_and_others(deep_directories)),
    ("heap-long-words", || for_root_and_others(arguments)),
    ("heap-words-from-swap", || for_root_and_others(arguments_from_swap)),
    ("heap-every-failure", every_failure),
    ("heap-full", full),
];

/// An ordinary user.
const PERSON: u32 = 1000;
const FAIL_NTH: &str = "/proc/self/fail-nth";

/// Goes down into new directories with the longest names, `most` at most, until one is refused; says how deep it is.
fn go_down(most: usize) -> usize {
    let name = "d".repeat(255);
    (0..most).take_while(|_| fs::create_dir(&name).is_ok() && chdir(&*name).is_ok()).count()
}

/// Comes up again, and takes the directories away.
fn come_up(depth: usize) -> Outcome {
    let name = "d".repeat(255);
    for _ in 0..depth {
        chdir("..")?;
        fs::remove_dir(&name)?;
    }
    Ok(())
}

/// How many bytes it needed, with the zero.
fn raw_getcwd(buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is as long as is said.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    Ok(Errno::result(length)?.cast_unsigned() as usize)
}

fn deep_directories() -> Outcome {
    let start = env::temp_dir().join("heap-deep");
    create_dir_all(&start)?;
    chdir(&*start)?;
    let mut buffer = vec![0; 1 << 21];
    let depth = go_down(3769);
    require!(depth > 20, "only {depth} directories can be nested");
    let outcome = raw_getcwd(&mut buffer);
    require!(outcome == Err(Errno::ENAMETOOLONG), "getcwd at depth {depth} gave {outcome:?}");
    let shown = fs::read_link("/proc/self/cwd").err().and_then(|error| error.raw_os_error());
    require!(shown == Some(libc::ENAMETOOLONG), "reading the link to it gave {shown:?}");
    // What is opened by a short name is not too long. It may be one file too much.
    drop(File::create("file"));
    let _ = fs::remove_file("file");
    come_up(depth)?;
    let length = raw_getcwd(&mut buffer)?;
    require!(raw_getcwd(&mut buffer[..length - 1]) == Err(Errno::ERANGE), "a short buffer was long enough");
    fs::remove_dir(&start)?;
    Ok(())
}

/// Starts this program with these arguments and this environment, to say nothing; why that is refused.
fn start_with(arguments: &[CString], environment: &[CString]) -> i32 {
    let null = File::options().write(true).open("/dev/null");
    if null.is_ok_and(|null| nix::unistd::dup2_stdout(&null).is_ok()) {
        let program = env::current_exe().ok().and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
        let Some(program) = program else { return 1 };
        let Err(error) = execve(&program, arguments, environment);
        return error as i32;
    }
    1
}

fn lists(extra: impl IntoIterator<Item = usize>) -> (Vec<CString>, Vec<CString>) {
    let text = |bytes: usize| CString::new(vec![b'x'; bytes]).expect("there is no zero in it");
    let arguments = [c"check", c"--ids"].map(CString::from).to_vec();
    (arguments, extra.into_iter().map(text).collect())
}

/// A word may have 128 KiB with its zero, all words and their pointers a quarter of what the stack may have.
fn arguments() -> Outcome {
    const WORD: usize = 128 << 10;
    for (words, expected) in [
        (vec![WORD - 1], 0),
        (vec![WORD], libc::E2BIG),
        (vec![WORD - 1; 15], 0),
        (vec![WORD - 1; 16], libc::E2BIG),
        (vec![3; 200_000], libc::E2BIG),
    ] {
        let what = format!("{} words of {} bytes", words.len(), words[0]);
        let (arguments, environment) = lists(words);
        let end = Child::start(|| start_with(&arguments, &environment))?.wait()?;
        require!(end == End::Exited(expected), "{what} gave {end}, not {expected}");
    }
    Ok(())
}

fn arguments_from_swap() -> Outcome {
    require!(is_small()?, "this machine is too large to fill");
    let mut children = Vec::new();
    for _ in 0..40 {
        let child = Child::start(|| {
            let (arguments, environment) = lists([127 << 10]);
            let bytes = environment[0].as_bytes_with_nul();
            let start = bytes.as_ptr() as usize / PAGE * PAGE;
            // SAFETY: advice changes no contents.
            unsafe { libc::madvise(ptr::with_exposed_provenance_mut(start), bytes.len(), libc::MADV_PAGEOUT) };
            start_with(&arguments, &environment)
        });
        match child {
            Ok(child) => children.push(child),
            Err(Errno::EAGAIN | Errno::ENOMEM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    require!(!children.is_empty(), "not one child was started");
    for child in children {
        let end = child.wait()?;
        let refused = End::Exited(libc::ENOMEM);
        require!(end == End::Exited(0) || end == refused, "a program that was started with 127 KiB gave {end}");
    }
    Ok(())
}

/// Does `work` as `user` with its first allocation refused, then with its second, and so on, until all of them are granted.
/// Only root sets the count, so what it takes to change users counts as well.
fn refuse_each(what: &str, user: u32, work: impl Fn() -> Outcome) -> Outcome {
    for nth in 1..2000_u32 {
        files::set(FAIL_NTH, &nth.to_string())?;
        let outcome = seteuid(user.into()).map_err(Into::into).and_then(|()| work());
        while seteuid(Uid::from_raw(0)).is_err() {}
        // Reading takes memory, too: that it is refused says that it was not before.
        let left = fs::read_to_string(FAIL_NTH);
        files::set(FAIL_NTH, "0")?;
        if !left.is_ok_and(|left| left.trim() == "0") {
            return outcome.map_err(|super::Failure(why)| super::Failure(format!("{what}: {why}")));
        }
    }
    require!(false, "{what}: there is no end to what it allocates");
    Ok(())
}

fn list(path: &str) -> Outcome {
    for entry in fs::read_dir(path)? {
        entry?;
    }
    Ok(())
}

fn read(path: &str) -> Outcome {
    let mut text = [0; 4096];
    let mut file = File::open(path)?;
    while file.read(&mut text)? > 0 {}
    Ok(())
}

/// Works also where an earlier attempt got half way.
fn anew(path: &str, make: impl Fn(&str) -> Outcome, remove: impl Fn(&str) -> Outcome) -> Outcome {
    if Path::new(path).symlink_metadata().is_ok() {
        remove(path)?;
    }
    make(path)?;
    remove(path)
}

type Work = (&'static str, fn() -> Outcome);

/// What every user may do.
const WORKS: &[Work] = &[
    ("stat", || Ok(fs::metadata("file").map(drop)?)),
    ("open", || Ok(File::open("file").map(drop)?)),
    ("read", || read("file")),
    ("write", || Ok(File::options().write(true).open("file")?.write_all(&[1; 5000])?)),
    ("cut", || {
        let file = File::options().write(true).open("file")?;
        file.set_len(3)?;
        Ok(file.set_len(10_000)?)
    }),
    ("create", || anew("new", |path| Ok(fs::write(path, "text")?), |path| Ok(fs::remove_file(path)?))),
    ("mkdir", || anew("directory", |path| Ok(fs::create_dir(path)?), |path| Ok(fs::remove_dir(path)?))),
    ("symlink", || {
        let make = |path: &str| Ok(symlink("file", path).and_then(|()| read_through(path))?);
        anew("link", make, |path| Ok(fs::remove_file(path)?))
    }),
    ("link", || anew("second", |path| Ok(fs::hard_link("file", path)?), |path| Ok(fs::remove_file(path)?))),
    ("fifo", || {
        let make = |path: &str| {
            mkfifo(path, Mode::S_IRWXU)?;
            Ok(File::options().read(true).write(true).open(path).map(drop)?)
        };
        anew("fifo", make, |path| Ok(fs::remove_file(path)?))
    }),
    ("rename", || {
        if !Path::new("file").exists() {
            fs::rename("moved", "file")?;
        }
        fs::rename("file", "moved")?;
        Ok(fs::rename("moved", "file")?)
    }),
    ("list", || list(".")),
    ("getcwd", || Ok(raw_getcwd(&mut [0; 4096]).map(drop)?)),
    ("pipe", || {
        let (mut read, mut write) = pipe().map(|(read, write)| (File::from(read), File::from(write)))?;
        write.write_all(&[7; 5000])?;
        Ok(read.read_exact(&mut [0; 5000])?)
    }),
    ("memory file", || {
        let file = File::from(memfd_create("heap", MFdFlags::MFD_CLOEXEC)?);
        (&file).write_all(&[7; 5000])?;
        Ok(file.set_len(1)?)
    }),
    ("locks", || {
        let file = File::options().read(true).write(true).open("file")?;
        for byte in [1, 5, 3] {
            locks::set(&file, locks::WRITE, byte, 1)?;
        }
        Ok(file.lock()?)
    }),
    ("poll", || {
        let (read, _write) = pipe()?;
        Ok(poll(&mut [PollFd::new(read.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).map(drop)?)
    }),
    ("map", || {
        let mut memory = Memory::shared(4)?;
        memory.touch(1);
        let mut own = Memory::map(4, MapFlags::MAP_PRIVATE)?;
        own.touch(2);
        own.protect(1..2, ProtFlags::PROT_READ)?;
        own.protect(1..2, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        own.resize(64)?;
        own.page_out()?;
        own.touch(2);
        Ok(own.lock()?)
    }),
    ("fork", || {
        let end = Child::start(|| 0)?.wait()?;
        require!(end == End::Exited(0), "a child gave {end}");
        Ok(())
    }),
    ("proc", || list("/proc")),
    ("proc/self", || list("/proc/self")),
    ("proc/self/fd", || list("/proc/self/fd")),
    ("maps", || read("/proc/self/maps")),
    ("status", || read("/proc/self/status")),
    ("stat of proc", || read("/proc/self/stat")),
    ("limits", || read("/proc/self/limits")),
    ("cmdline", || read("/proc/self/cmdline")),
    ("mounts", || read("/proc/mounts")),
    ("meminfo", || read("/proc/meminfo")),
    ("slabinfo", || read("/proc/slabinfo")),
    ("vmstat", || read("/proc/vmstat")),
    ("swaps", || read("/proc/swaps")),
    ("uuid", || read("/proc/sys/kernel/random/uuid")),
    ("sys", || list("/sys/block")),
    ("sys of zram", || list("/sys/block/zram0")),
    ("statistics of zram", || read("/sys/block/zram0/mm_stat")),
    ("sys of zswap", || read("/sys/module/zswap/parameters/compressor")),
    ("sys of a disk", || read("/sys/block/vda/stat")),
    ("cgroup", || list("/sys/fs/cgroup")),
    ("processes of a group", || read("/sys/fs/cgroup/cgroup.procs")),
    ("terminal", || Ok(File::options().write(true).open("/dev/tty").or_else(|_| File::open("/dev/null")).map(drop)?)),
    ("random", || Ok(File::open("/dev/urandom")?.read_exact(&mut [0; 64])?)),
];

/// What only root may do.
const WORKS_OF_ROOT: &[Work] = &[
    ("groups", || Ok(setgroups(&[3, 2, 1].map(Gid::from_raw))?)),
    ("setuid", || Ok(setuid(Uid::from_raw(0))?)),
    ("mount", || {
        create_dir_all("place")?;
        let _ = umount("place");
        mount(Some("none"), "place", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        Ok(umount("place")?)
    }),
    ("group", || anew("/sys/fs/cgroup/heap", |path| Ok(fs::create_dir(path)?), |path| Ok(fs::remove_dir(path)?))),
    ("disk", || Ok(File::open("/dev/vda")?.read_exact(&mut [0; 512])?)),
    ("console", || Ok(File::open("/dev/console").map(drop)?)),
    ("log", || Ok(File::open("/dev/kmsg")?.read(&mut [0; 2000]).map(drop)?)),
    ("zram", || {
        let device = "/sys/block/zram0";
        files::set(&format!("{device}/reset"), "1")?;
        files::set(&format!("{device}/disksize"), "1M")?;
        fs::write("/dev/zram0", [7; 5000])?;
        read("/dev/zram0")?;
        Ok(files::set(&format!("{device}/reset"), "1")?)
    }),
    ("another zram", || {
        let added = files::text("/sys/class/zram-control/hot_add");
        // Those that an earlier attempt could not remove as well.
        for number in 1..4 {
            let _ = files::set("/sys/class/zram-control/hot_remove", &number.to_string());
        }
        Ok(added.map(drop)?)
    }),
    ("swapon", || {
        let (on, off) = (libc::SYS_swapon, libc::SYS_swapoff);
        // SAFETY: the paths end in zeros.
        unsafe { libc::syscall(off, c"/dev/vda".as_ptr()) };
        // SAFETY: as above.
        Errno::result(unsafe { libc::syscall(on, c"/dev/vda".as_ptr(), 0) })?;
        // SAFETY: as above.
        Ok(Errno::result(unsafe { libc::syscall(off, c"/dev/vda".as_ptr()) }).map(drop)?)
    }),
];

fn every_failure() -> Outcome {
    require!(is_small()?, "this machine is too large to be a guest");
    if !Path::new(FAIL_NTH).exists() {
        // A kernel for measuring, which does not have it.
        return Ok(());
    }
    for (works, user) in [(WORKS, 0), (WORKS_OF_ROOT, 0), (WORKS, PERSON)] {
        every_failure_of(works, user)?;
    }
    Ok(())
}

fn every_failure_of(works: &[Work], user: u32) -> Outcome {
    let directory = format!("/tmp/heap-{user}");
    create_dir_all(&directory)?;
    chown(&directory, Some(user), None)?;
    chdir(&*directory)?;
    fs::write("file", [b'x'; 10_000])?;
    chown("file", Some(user), None)?;
    for (what, work) in works {
        // Apart, because a program may be ended for want of memory in a page fault.
        require_success(what, || refuse_each(&format!("{what}, as user {user}"), user, work))?;
    }
    every_failure_of_execve(user)?;
    chdir("/")?;
    Ok(fs::remove_dir_all(directory)?)
}

/// Starting a program ends the count with the old one: each attempt is a child.
fn every_failure_of_execve(user: u32) -> Outcome {
    for nth in 1..300_u32 {
        let end = Child::start(|| {
            let (arguments, environment) = lists([3000]);
            let is_set = files::set(FAIL_NTH, &nth.to_string()).is_ok() && seteuid(user.into()).is_ok();
            if is_set { start_with(&arguments, &environment) } else { 1 }
        })?
        .wait()?;
        if end == End::Exited(0) {
            return Ok(());
        }
    }
    require!(false, "no program could be started, however late memory ended");
    Ok(())
}

fn read_through(path: &str) -> std::io::Result<()> {
    fs::read_link(path)?;
    fs::metadata(path).map(drop)
}

/// An ordinary user takes all that the kernel gives for names, then makes every call.
fn full() -> Outcome {
    require!(is_small()?, "this machine is too large to fill");
    create_dir_all("/tmp/heap-full")?;
    fs::set_permissions("/tmp/heap-full", std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    require_success("a user who fills the heap", || {
        setgroups(&[])?;
        setgid(Gid::from_raw(PERSON))?;
        setuid(Uid::from_raw(PERSON))?;
        chdir("/tmp/heap-full")?;
        let depth = go_down(1000);
        let names = (0..100_000)
            .take_while(|name| File::create(OsStr::from_bytes(format!("{name:0250}").as_bytes())).is_ok())
            .count();
        println!("  {depth} directories and {names} files, then nothing more");
        calls::every_number_as(PERSON)?;
        for name in 0..names {
            fs::remove_file(format!("{name:0250}"))?;
        }
        come_up(depth)
    })?;
    fs::remove_dir("/tmp/heap-full")?;
    Ok(())
}
