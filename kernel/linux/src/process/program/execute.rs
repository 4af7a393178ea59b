//! Starting a program in the current process: `execve`.
//!
//! Everything that can fail is done in a new address space beside the old one. Then the old one goes, and what is still
//! missing is written into the new one by ordinary user copies; if memory runs out there, the process ends, as on Linux.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid;
use core::cell::Cell;
use core::sync::atomic::Ordering;

use linux_raw_sys::auxvec as linux;
use quire_machine::address_map::USER_END;
use quire_machine::arch::fpu;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::fallible::{self, NoMemory};
use quire_machine::user::{Fault, UserPtr};
use quire_machine::{log_limited, random};
use quire_memory::address_space::{AddressSpace, Backing, MapError, MapRequest, Placement};
use quire_memory::admission::Limit;
use quire_memory::object::Object;
use quire_memory::vma::Protection;

use super::elf::{self, ElfError, Header, Image, Segment};
use super::script::{LINE_MAX, Script};
use super::stack::Stack;
use super::words::Words;
use crate::errno::Errno;
use crate::fs::start::{self, ProgramFile};
use crate::process::control_block::{Process, RunningProgram, this};
use crate::process::credentials::Credentials;
use crate::process::exit;
use crate::process::name::Name;
use crate::process::signal::frame::FRAME_BYTES;
use crate::process::signal::{Signal, Signals};

/// How many scripts may be read by scripts.
const SCRIPTS_MAX: usize = 4;
/// How much stack there is at first, if there may be so much; it grows down from there.
const STACK_BYTES: u64 = 132 << 10;
const PAGE: u64 = 4096;
/// Ticks of `times(2)` a second (`AT_CLKTCK`).
const CLOCK_TICKS: u64 = 100;

/// What to start.
pub struct Request {
    /// The file.
    pub program: ProgramFile,
    /// Its path, as the caller gave it.
    pub path: Vec<u8>,
    /// The program's arguments, its name first.
    pub arguments: Words,
    /// Its environment.
    pub environment: Words,
}

/// A file that can be run.
struct Executable {
    program: ProgramFile,
    image: Image,
}

/// Starts a program in the current process, which continues in it: `frame` has the registers of its old program, and gets the new
/// one's.
///
/// # Errors
/// As `execve(2)`; the old program goes on.
pub fn execute(request: Request, frame: &Cell<TrapFrame>) -> Result<(), Errno> {
    let process = this();
    if process.is_one_too_many() {
        return Err(Errno::EAGAIN);
    }
    let Request { program, path, mut arguments, environment } = request;
    let found = find(program, fallible::copy(&path)?, &mut arguments)?;
    let (shown_path, shown) = (fallible::shared_slice(&found.program.path)?, shown(&arguments)?);
    let (user, group) = found.program.ids;
    let credentials = process.credentials().in_program(user, group);
    let space = AddressSpace::new().map_err(|_| Errno::ENOMEM)?;
    process.apply_limits(&space);
    map(&space, &found)?;
    let mut random = [0; 16];
    random::fill(&mut random);
    let stack = Stack {
        top: USER_END,
        path: &path,
        arguments: &arguments,
        environment: &environment,
        random,
        auxiliary: &auxiliary(&found.image, &credentials),
    };
    let layout = stack.lay_out()?;
    map_stack(&space, layout.start, found.image.executable_stack)?;

    exit::leave_space(&process, Some(space));
    let ProgramFile { node, executed, .. } = found.program;
    let program = RunningProgram { node, path: shown_path, _executed: executed };
    start_program(&process, Name::of_program(&path), program, shown, credentials);
    if write_memory(&found.image, layout.start, &layout.bytes).is_err() {
        process.with_signals(|signals| signals.kill(Signal::SIGKILL));
        return Err(Errno::ENOMEM);
    }
    fpu::reset_current();
    frame.set(TrapFrame::starting(found.image.entry, layout.start));
    Ok(())
}

/// Makes `process` another program's, whose memory it has already: what was the old one's is gone.
fn start_program(
    process: &Process,
    name: Name,
    program: RunningProgram,
    arguments: Arc<[u8]>,
    credentials: Credentials,
) {
    process.program.replace(Some(program));
    process.arguments.replace(arguments);
    process.set_name(name);
    let is_another = credentials.acts_as_another();
    process.set_credentials(credentials);
    process.set_private(is_another);
    process.has_executed.store(true, Ordering::Relaxed);
    process.files.close_on_exec();
    process.with_signals(Signals::after_exec);
}

/// Finds what is to run: the file itself, or the program that reads it.
fn find(mut program: ProgramFile, mut path: Vec<u8>, arguments: &mut Words) -> Result<Executable, Errno> {
    for _ in 0..=SCRIPTS_MAX {
        let mut bytes = [0; LINE_MAX];
        let length = program.object.read_at(0, &mut bytes).map_err(|_| Errno::EIO)?;
        let Some(script) = Script::parse(&bytes[..length]) else {
            let image = read_image(&program.object, &bytes[..length.min(elf::HEADER_BYTES)]).inspect_err(|error| {
                log_limited!("exec", "{}: {error}", path.escape_ascii());
            });
            return image.map(|image| Executable { program, image }).map_err(|error| match error {
                ElfError::NoMemory => Errno::ENOMEM,
                _ => Errno::ENOEXEC,
            });
        };
        *arguments = script_arguments(&script, &path, arguments)?;
        path = fallible::copy(script.interpreter)?;
        program = open(&path)?;
    }
    Err(Errno::ELOOP)
}

/// What is shown of the arguments.
fn shown(arguments: &Words) -> Result<Arc<[u8]>, NoMemory> {
    const SHOWN: usize = 4096;
    let arguments = arguments.as_bytes();
    fallible::shared_slice(&arguments[..arguments.len().min(SHOWN)])
}

/// The program at `path` as the current process sees it.
///
/// # Errors
/// As [`start::open_program`].
pub fn open(path: &[u8]) -> Result<ProgramFile, Errno> {
    let process = this();
    start::open_program(&process.location.start(process.credentials()), path)
}

fn read_image(object: &Object, start: &[u8]) -> Result<Image, ElfError> {
    let header = Header::parse(start)?;
    let range = header.table()?;
    let mut table = fallible::filled(0, (range.end - range.start) as usize).map_err(|NoMemory| ElfError::NoMemory)?;
    let read = object.read_at(range.start, &mut table).unwrap_or(0);
    Image::parse(&header, &table[..read], object.length())
}

/// The arguments of a script's interpreter: its own, the script's path, and the script's but for its name.
fn script_arguments(script: &Script<'_>, path: &[u8], old: &Words) -> Result<Words, NoMemory> {
    let mut words = Words::new();
    for word in [Some(script.interpreter), script.argument, Some(path)].into_iter().flatten() {
        words.push(word)?;
    }
    old.iter().skip(1).try_for_each(|word| words.push(word))?;
    Ok(words)
}

fn map(space: &AddressSpace, found: &Executable) -> Result<(), Errno> {
    let name = core::str::from_utf8(&found.program.path).ok().map(fallible::shared_text).transpose()?;
    for segment in found.image.segments() {
        let protection = Protection { read: segment.read, write: segment.write, execute: segment.execute };
        let file_pages = file_pages(segment);
        let in_page = segment.address % PAGE;
        let request = |start: u64, end: u64, backing| MapRequest {
            protection,
            backing,
            name: name.clone(),
            ..MapRequest::anonymous(Placement::FixedNoReplace(start), end - start)
        };
        let (start, end) = (segment.pages().start, segment.pages().end);
        if file_pages > start {
            let backing =
                Backing::Object { object: Arc::clone(&found.program.object), offset: segment.offset - in_page };
            space.map(&request(start, file_pages, backing)).map_err(no_room)?;
        }
        if end > file_pages {
            space.map(&MapRequest { name: None, ..request(file_pages, end, Backing::Anonymous) }).map_err(no_room)?;
        }
    }
    space.start_break(found.image.end());
    Ok(())
}

/// The end of the pages of a segment that hold bytes of the file.
fn file_pages(segment: &Segment) -> u64 {
    match segment.file_bytes {
        0 => segment.pages().start,
        bytes => (segment.address + bytes).next_multiple_of(PAGE),
    }
}

fn map_stack(space: &AddressSpace, lowest: u64, execute: bool) -> Result<(), Errno> {
    let limit = space.limit(Limit::Stack) / PAGE * PAGE;
    let start = (lowest / PAGE * PAGE).min(USER_END - STACK_BYTES.min(limit));
    let request = MapRequest {
        protection: Protection { read: true, write: true, execute },
        grows_down: true,
        ..MapRequest::anonymous(Placement::FixedNoReplace(start), USER_END - start)
    };
    space.map(&request).map(drop).map_err(no_room)
}

fn no_room(_: MapError) -> Errno {
    Errno::ENOMEM
}

/// Writes what no file holds: zeros behind what a file's last page has of a segment, and the stack.
fn write_memory(image: &Image, stack: u64, bytes: &[u8]) -> Result<(), Fault> {
    const ZEROS: [u8; 512] = [0; 512];
    for segment in image.segments().iter().filter(|segment| segment.write) {
        let end = (segment.address + segment.memory_bytes).min(file_pages(segment));
        let mut address = segment.address + segment.file_bytes;
        while address < end {
            let part = (end - address).min(ZEROS.len() as u64);
            UserPtr::new(address).write_bytes(&ZEROS[..part as usize])?;
            address += part;
        }
    }
    UserPtr::new(stack).write_bytes(bytes)
}

fn auxiliary(image: &Image, credentials: &Credentials) -> [(u32, u64); 15] {
    // What a handler's frame takes, with the red zone and what is lost to alignment.
    let least_handler_stack = FRAME_BYTES + fpu::IMAGE_BYTES + 128 + 64 + 16;
    let (user, group) = (credentials.user, credentials.group);
    [
        (linux::AT_HWCAP, u64::from(__cpuid(1).edx)),
        (linux::AT_PAGESZ, PAGE),
        (linux::AT_CLKTCK, CLOCK_TICKS),
        (linux::AT_PHDR, image.headers),
        (linux::AT_PHENT, Image::HEADER_BYTES),
        (linux::AT_PHNUM, u64::from(image.header_count)),
        (linux::AT_BASE, 0),
        (linux::AT_FLAGS, 0),
        (linux::AT_ENTRY, image.entry),
        (linux::AT_UID, u64::from(user.real)),
        (linux::AT_EUID, u64::from(user.effective)),
        (linux::AT_GID, u64::from(group.real)),
        (linux::AT_EGID, u64::from(group.effective)),
        (linux::AT_SECURE, u64::from(credentials.acts_as_another())),
        (linux::AT_MINSIGSTKSZ, least_handler_stack as u64),
    ]
}
