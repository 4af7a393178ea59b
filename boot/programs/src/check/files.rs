//! Files, pipes and directories.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{FileExt, MetadataExt, symlink},
    },
    ptr,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::resource::{Resource, setrlimit},
    unistd::{self, Uid, Whence, dup, lseek, pipe, pipe2},
};
use quire_protocol::contents::{Contents, hash};

use super::{
    numbers::for_root_and_others,
    outcome::{Check, Outcome, require, require_success},
};
use crate::{
    files,
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] = &[
    ("files-written-and-read", written_and_read),
    ("files-names", names),
    ("files-wrong-names", wrong_names),
    ("files-shared-offset", shared_offset),
    ("files-limit", limit),
    ("files-pipe", through_a_pipe),
    ("files-pipe-full", pipe_full),
    ("files-pipe-size", || for_root_and_others(pipe_size)),
    ("files-pipe-between-processes", between_processes),
    ("files-poll", polled),
    ("files-devices", devices),
    ("files-transfers-of-no-memory", || for_root_and_others(transfers_of_no_memory)),
    ("files-ends-of-text", || for_root_and_others(ends_of_text)),
    ("files-of-processes", of_processes),
];

/// Where nothing is kept or given, nobody looks at the memory that is named.
fn transfers_of_no_memory() -> Outcome {
    const BYTES: usize = 8;
    let nowhere = ptr::without_provenance_mut(4096);
    for (path, read, written) in [
        ("/dev/null", Ok(0), Ok(BYTES)),
        ("/dev/zero", Err(Errno::EFAULT), Ok(BYTES)),
        ("/dev/full", Err(Errno::EFAULT), Err(Errno::ENOSPC)),
    ] {
        let file = File::options().read(true).write(true).open(path)?;
        // SAFETY: nothing is at that address, and nothing will be.
        let outcome = Errno::result(unsafe { libc::read(file.as_raw_fd(), nowhere, BYTES) });
        require!(outcome.map(isize::unsigned_abs) == read, "reading {path} gave {outcome:?}");
        // SAFETY: as above.
        let outcome = Errno::result(unsafe { libc::write(file.as_raw_fd(), nowhere, BYTES) });
        require!(outcome.map(isize::unsigned_abs) == written, "writing {path} gave {outcome:?}");
    }
    Ok(())
}

/// Texts of `/proc` have no end to be found; settings are files of no bytes.
fn ends_of_text() -> Outcome {
    for (path, expected) in [
        ("/proc/self/status", Err(Errno::EINVAL)),
        ("/proc/meminfo", Err(Errno::EINVAL)),
        ("/proc/sys/vm/swappiness", Ok(0)),
    ] {
        let file = File::open(path)?;
        for _ in 0..2 {
            let outcome = lseek(&file, 0, Whence::SeekEnd);
            require!(outcome == expected, "the end of {path} gave {outcome:?}");
            lseek(&file, 3, Whence::SeekSet)?;
            fs::read(path)?;
        }
    }
    Ok(())
}

/// A directory of this check's own.
fn directory(name: &str) -> std::io::Result<String> {
    let path = format!("/tmp/check-{name}-{}", std::process::id());
    fs::create_dir(&path)?;
    Ok(path)
}

fn written_and_read() -> Outcome {
    let directory = directory("written")?;
    let path = format!("{directory}/file");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    let mut page = [0; 4096];
    for number in 0..64 {
        Contents::Text.fill(&mut page, number);
        file.write_all(&page)?;
    }
    for number in [63, 0, 31] {
        Contents::Text.fill(&mut page, number);
        let expected = hash(&page);
        file.read_exact_at(&mut page, number * 4096)?;
        require!(hash(&page) == expected, "page {number} of a file is another one");
    }
    require!(file.stream_position()? == 64 * 4096, "reading at a place moved the offset");
    file.set_len(100)?;
    file.set_len(8192)?;
    file.seek(SeekFrom::Start(0))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    require!(text.len() == 8192 && text[100..].iter().all(|&byte| byte == 0), "what was cut off came back");
    let mut end = OpenOptions::new().append(true).open(&path)?;
    end.write_all(b"end")?;
    require!(fs::metadata(&path)?.len() == 8195, "appending did not add to the end");
    // A file without a name lives as long as it is open.
    fs::remove_file(&path)?;
    file.seek(SeekFrom::End(-3))?;
    let mut last = String::new();
    file.read_to_string(&mut last)?;
    require!(last == "end", "a removed file that is open holds {last:?}");
    Ok(fs::remove_dir(directory)?)
}

fn names() -> Outcome {
    let directory = directory("names")?;
    let at = |name: &str| format!("{directory}/{name}");
    fs::create_dir(at("a"))?;
    fs::write(at("a/one"), "1")?;
    symlink("a/one", at("link"))?;
    require!(fs::read_to_string(at("link"))? == "1", "a link does not lead to its file");
    fs::hard_link(at("a/one"), at("two"))?;
    require!(fs::metadata(at("two"))?.nlink() == 2, "a file with two names has another count");
    fs::rename(at("a/one"), at("a/three"))?;
    require!(fs::read_to_string(at("link")).is_err(), "a link leads to a name that is gone");
    fs::rename(at("two"), at("a/three"))?;
    for number in 0..200 {
        fs::write(at(&format!("a/{number}")), number.to_string())?;
    }
    let mut found: Vec<String> = fs::read_dir(at("a"))?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    found.sort_unstable();
    let mut expected: Vec<String> =
        (0..200).map(|number: u32| number.to_string()).chain(["three".to_owned()]).collect();
    expected.sort_unstable();
    require!(found == expected, "the directory lists {found:?}");
    fs::remove_dir_all(&directory)?;
    require!(!fs::exists(&directory)?, "a removed directory is still there");
    Ok(())
}

fn wrong_names() -> Outcome {
    let directory = directory("wrong")?;
    let at = |name: &str| format!("{directory}/{name}");
    fs::write(at("file"), "")?;
    symlink("loop", at("loop"))?;
    let error = |path: &str, options: &OpenOptions| options.open(path).err().and_then(|error| error.raw_os_error());
    let read = OpenOptions::new().read(true).clone();
    let new = OpenOptions::new().write(true).create_new(true).clone();
    let write = OpenOptions::new().write(true).clone();
    for (path, options, expected) in [
        (at("none"), &read, Errno::ENOENT),
        (at("none/file"), &new, Errno::ENOENT),
        (at("file/file"), &read, Errno::ENOTDIR),
        (at("file/"), &read, Errno::ENOTDIR),
        (at("file"), &new, Errno::EEXIST),
        (directory.clone(), &write, Errno::EISDIR),
        (at("loop"), &read, Errno::ELOOP),
        (at(&"x".repeat(300)), &read, Errno::ENAMETOOLONG),
        (at(&"x/".repeat(3000)), &read, Errno::ENAMETOOLONG),
        (String::new(), &read, Errno::ENOENT),
    ] {
        let found = error(&path, options);
        require!(found == Some(expected as i32), "opening {path:.60} gave error {found:?}, not {expected}");
    }
    let kept = fs::remove_dir(&directory).err().map(|error| error.kind());
    require!(kept == Some(ErrorKind::DirectoryNotEmpty), "removing a directory with files gave {kept:?}");
    Ok(fs::remove_dir_all(directory)?)
}

fn shared_offset() -> Outcome {
    let directory = directory("offset")?;
    let path = format!("{directory}/file");
    fs::write(&path, "abcdef")?;
    let mut file = File::open(&path)?;
    let mut twin = File::from(dup(&file)?);
    let mut other = File::open(&path)?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    let end = Child::start(|| i32::from((&file).read_exact(&mut [0; 2]).is_err()))?.wait()?;
    require!(end == End::Exited(0), "a child cannot read its parent's file: {end}");
    twin.read_exact(&mut byte)?;
    require!(byte == *b"d", "after three bytes by others the next is {byte:?}");
    other.read_exact(&mut byte)?;
    require!(byte == *b"a", "a file that was opened again begins with {byte:?}");
    Ok(fs::remove_dir_all(directory)?)
}

fn limit() -> Outcome {
    require_success("a limit of open files", || {
        setrlimit(Resource::RLIMIT_NOFILE, 20, 20)?;
        let (mut files, mut error) = (Vec::new(), None);
        for _ in 0..40 {
            match File::open("/dev/null") {
                Ok(file) => files.push(file),
                Err(refused) => error = refused.raw_os_error(),
            }
        }
        require!(error == Some(Errno::EMFILE as i32), "too many files gave error {error:?}, not EMFILE");
        require!((10..=17).contains(&files.len()), "{} files were opened", files.len());
        Ok(())
    })
}

fn through_a_pipe() -> Outcome {
    let (reader, writer) = pipe()?;
    unistd::write(&writer, b"one ")?;
    unistd::write(&writer, b"two")?;
    let mut buffer = [0; 16];
    let count = unistd::read(&reader, &mut buffer)?;
    require!(&buffer[..count] == b"one two", "a pipe gave {:?}", &buffer[..count]);
    drop(writer);
    require!(unistd::read(&reader, &mut buffer)? == 0, "a pipe that nobody writes has no end");
    Ok(())
}

fn pipe_full() -> Outcome {
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK)?;
    let empty = unistd::read(&reader, &mut [0; 8]);
    require!(empty == Err(Errno::EAGAIN), "reading an empty pipe gave {empty:?}");
    let mut room = 0;
    let full = loop {
        match unistd::write(&writer, &[7; 1024]) {
            Ok(count) => room += count,
            Err(error) => break error,
        }
    };
    require!(full == Errno::EAGAIN && room == 65536, "a pipe took {room} bytes and then gave {full}");
    let all = unistd::read(&reader, &mut vec![0; 1 << 20])?;
    require!(all == 65536, "a full pipe gave {all} bytes");
    let flags = OFlag::from_bits_truncate(fcntl(&reader, FcntlArg::F_GETFL)?);
    require!(flags.contains(OFlag::O_NONBLOCK), "fcntl says {flags:?}");
    Ok(())
}

/// Each write that does not fit into the last page takes one, and there are as many as `F_SETPIPE_SZ` has asked for.
fn pipe_size() -> Outcome {
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK)?;
    let fill = |bytes: usize| (0..usize::MAX).find(|_| unistd::write(&writer, &vec![7; bytes]).is_err()).unwrap_or(0);
    let size = |bytes| fcntl(&writer, FcntlArg::F_SETPIPE_SZ(bytes));
    require!(fcntl(&reader, FcntlArg::F_GETPIPE_SZ) == Ok(65536), "a new pipe has another size");
    let odd = fill(2049);
    require!(odd == 16, "{odd} writes of 2,049 bytes fill a pipe");
    require!(size(32_768) == Err(Errno::EBUSY), "a pipe may have less room than there is in it");
    let ready = || poll(&mut [PollFd::new(writer.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO);
    require!(ready() == Ok(0), "a full pipe can be written");
    require!(size(65537) == Ok(131_072) && ready() == Ok(1), "a larger pipe cannot be written");
    let more = fill(4096);
    require!(more == 16, "{more} pages fill the other half");
    require!(size(-1) == Err(Errno::EINVAL), "a pipe may have any size");
    unistd::read(&reader, &mut vec![0; 1 << 20])?;
    require!(size(0) == Ok(4096) && fill(4096) == 1, "the smallest pipe has no page");
    let of_file = fcntl(File::open("/dev/null")?, FcntlArg::F_GETPIPE_SZ);
    require!(of_file == Err(Errno::EBADF), "what is no pipe has its size: {of_file:?}");
    let most = files::numbers("/proc/sys/fs/pipe-max-size")?[0] as i32;
    require!(size(most) == Ok(most), "a pipe of {most} bytes is refused");
    // Root may do so, unless it has given away the right.
    let larger = size(most + 1);
    let may = Uid::effective().is_root();
    require!(larger == Err(Errno::EPERM) || may && larger == Ok(2 * most), "beyond {most} bytes: {larger:?}");
    Ok(())
}

/// Far more than a pipe holds goes through one, in pieces of odd sizes.
fn between_processes() -> Outcome {
    const PAGES: u64 = 400;
    let (reader, writer) = pipe()?;
    let child = Child::start(|| {
        let mut page = [0; 4096];
        let mut out = File::from(match writer.try_clone() {
            Ok(writer) => writer,
            Err(_) => return 1,
        });
        for number in 0..PAGES {
            Contents::Random.fill(&mut page, number);
            for piece in page.chunks(1 + number as usize * 37 % 4096) {
                if out.write_all(piece).is_err() {
                    return 2;
                }
            }
        }
        0
    })?;
    drop(writer);
    let (mut input, mut page, mut expected) = (File::from(reader), [0; 4096], [0; 4096]);
    for number in 0..PAGES {
        input.read_exact(&mut page)?;
        Contents::Random.fill(&mut expected, number);
        require!(page == expected, "page {number} came out of the pipe as another one");
    }
    require!(input.read(&mut page)? == 0, "there is more in the pipe than was written");
    let end = child.wait()?;
    require!(end == End::Exited(0), "the writer gave {end}");
    Ok(())
}

fn polled() -> Outcome {
    let (reader, writer) = pipe()?;
    let ready = |end: &std::os::fd::OwnedFd, events: PollFlags, milliseconds: u16| {
        let mut asked = [PollFd::new(end.as_fd(), events)];
        poll(&mut asked, PollTimeout::from(milliseconds))?;
        Ok::<_, Errno>(asked[0].revents().unwrap_or(PollFlags::empty()))
    };
    let start = Instant::now();
    let nothing = ready(&reader, PollFlags::POLLIN, 60)?;
    require!(nothing.is_empty(), "an empty pipe is {nothing:?}");
    require!(start.elapsed() >= Duration::from_millis(60), "poll came back after {:?}", start.elapsed());
    require!(ready(&writer, PollFlags::POLLOUT, 0)? == PollFlags::POLLOUT, "an empty pipe cannot be written");
    let child = Child::start(|| {
        std::thread::sleep(Duration::from_millis(50));
        i32::from(unistd::write(&writer, b"x").is_err())
    })?;
    let came = ready(&reader, PollFlags::POLLIN, 20_000)?;
    require!(came == PollFlags::POLLIN, "a pipe with a byte is {came:?}");
    require!(child.wait()? == End::Exited(0), "a child cannot write to the pipe");
    drop(writer);
    let hung = ready(&reader, PollFlags::POLLIN, 20_000)?;
    require!(hung == PollFlags::POLLIN | PollFlags::POLLHUP, "a pipe that nobody writes is {hung:?}");
    Ok(())
}

fn devices() -> Outcome {
    let mut bytes = vec![1; 10_000];
    File::open("/dev/zero")?.read_exact(&mut bytes)?;
    require!(bytes.iter().all(|&byte| byte == 0), "/dev/zero is not zero");
    require!(File::open("/dev/null")?.read(&mut bytes)? == 0, "/dev/null has something in it");
    fs::write("/dev/null", "text")?;
    let full = fs::write("/dev/full", "text").err().and_then(|error| error.raw_os_error());
    require!(full == Some(Errno::ENOSPC as i32), "/dev/full gave error {full:?}");
    let [mut one, mut two] = [[0; 32]; 2];
    File::open("/dev/urandom")?.read_exact(&mut one)?;
    File::open("/dev/urandom")?.read_exact(&mut two)?;
    require!(one != two, "/dev/urandom gave {one:?} twice");
    Ok(())
}

fn of_processes() -> Outcome {
    let own = std::process::id();
    require!(fs::read_link("/proc/self")?.to_string_lossy() == own.to_string(), "/proc/self is another process");
    let maps = fs::read_to_string("/proc/self/maps")?;
    require!(maps.contains("[stack]") && maps.contains("r-xp"), "/proc/self/maps:\n{maps}");
    let status = fs::read_to_string("/proc/self/status")?;
    require!(status.lines().any(|line| line == format!("Pid:\t{own}")), "/proc/self/status:\n{status}");
    let command = fs::read("/proc/self/cmdline")?;
    require!(command.ends_with(b"\0") && command.split(|&byte| byte == 0).count() >= 3, "{command:?}");
    let gone = Child::start(|| 0)?;
    gone.wait()?;
    let path = format!("/proc/{}", gone.0);
    require!(!fs::exists(&path)?, "{path} is there after the process");
    Ok(())
}
