//! Executables that are right in the smallest way, and those that are wrong.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use nix::{errno::Errno, sys::signal::Signal, unistd::execve};

use super::outcome::{Check, Outcome, require};
use crate::process::{End, end_of};

pub(super) const CHECKS: &[Check] = &[
    ("elf-smallest", smallest),
    ("elf-segments", segments),
    ("elf-script", script),
    ("elf-wrong", wrong),
    ("elf-not-for-quire", not_for_quire),
    ("elf-over-kernel", over_kernel),
];

const PATH: &str = "/tmp/check-elf";
/// `mov edi, 42`, `mov eax, 231` (`exit_group`), `syscall`.
const EXIT_42: &[u8] = b"\xbf\x2a\0\0\0\xb8\xe7\0\0\0\x0f\x05";
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
const START: u64 = 0x40_0000;

/// A segment: its type, flags (execute 1, write 2, read 4), offset and size in the file, address and size in memory.
type Segment = (u32, u32, [u64; 4]);

/// A 64-bit executable for x86-64 with these segments, that begins with [`EXIT_42`] after its headers.
fn executable(segments: &[Segment]) -> Vec<u8> {
    executable_of(segments, EXIT_42)
}

/// The same with other code, of 0x200 bytes in all.
fn executable_of(segments: &[Segment], code: &[u8]) -> Vec<u8> {
    let entry = START + (HEADER + segments.len() * PROGRAM_HEADER) as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // An executable, for x86-64, of version 1.
    file.extend([2_u8, 0, 62, 0, 1, 0, 0, 0]);
    // The entry, where the program headers are, and no sections.
    file.extend([entry, HEADER as u64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend([0; 4]);
    let sizes = [HEADER, PROGRAM_HEADER, segments.len(), 0, 0, 0];
    file.extend(sizes.iter().flat_map(|size| (*size as u16).to_le_bytes()));
    for (kind, flags, [offset, address, in_file, in_memory]) in segments {
        file.extend([*kind, *flags].iter().flat_map(|word| word.to_le_bytes()));
        let words = [*offset, *address, *address, *in_file, *in_memory, 0x1000];
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    file.extend(code);
    file.resize(0x200, 0);
    file
}

const fn code_at(address: u64) -> Segment {
    (LOAD, 5, [0, address, 0x200, 0x200])
}

/// How a process ends that becomes this file, which it does unless it exits with the error of `execve`.
fn end_of_file(file: &[u8]) -> Result<End, super::Failure> {
    fs::write(PATH, file)?;
    fs::set_permissions(PATH, Permissions::from_mode(0o755))?;
    let path = std::ffi::CString::new(PATH)?;
    let end = end_of(|| {
        let Err(error) = execve(&path, &[&path], &[] as &[&std::ffi::CStr; 0]);
        error as i32
    })?;
    fs::remove_file(PATH)?;
    Ok(end)
}

fn smallest() -> Outcome {
    let end = end_of_file(&good())?;
    require!(end == End::Exited(42), "the smallest program gave {end}");
    Ok(())
}

/// Memory behind a segment's bytes of the file is zero, whatever the file has there; code cannot be written, nor data run.
fn segments() -> Outcome {
    const DATA: u32 = START as u32 + 0x1180;
    let data = (LOAD, 6, [0x180, DATA.into(), 0x40, 0x200]);
    let with_data = |code: &[&[u8]]| {
        let mut file = executable_of(&[code_at(START), data], &code.concat());
        file[0x180..].fill(0xc3);
        file
    };
    // `movzx edi, byte ptr [DATA + 0x40]`, `add edi, 42`, `mov eax, 231` (`exit_group`), `syscall`.
    let read = [&b"\x0f\xb6\x3c\x25"[..], &(DATA + 0x40).to_le_bytes(), b"\x83\xc7\x2a\xb8\xe7\0\0\0\x0f\x05"];
    let end = end_of_file(&with_data(&read))?;
    require!(end == End::Exited(42), "a byte behind a segment's last of the file is not zero: {end}");
    // `mov byte ptr [START], al`
    let write = [&b"\x88\x04\x25"[..], &(START as u32).to_le_bytes(), EXIT_42];
    let end = end_of_file(&with_data(&write))?;
    require!(end == End::Killed(Signal::SIGSEGV), "writing to a segment of code gave {end}");
    // `mov eax, DATA`, `call rax`, to where there is a `ret`.
    let run = [&b"\xb8"[..], &DATA.to_le_bytes(), b"\xff\xd0", EXIT_42];
    let end = end_of_file(&with_data(&run))?;
    require!(end == End::Killed(Signal::SIGSEGV), "running a segment of data gave {end}");
    Ok(())
}

fn script() -> Outcome {
    let end = end_of_file(b"#!/proc/self/exe check\n")?;
    require!(end == End::Exited(1), "a script for this program, as the name of a check, gave {end}");
    let end = end_of_file(b"#!/no/such/program\n")?;
    require!(end == End::Exited(Errno::ENOENT as i32), "a script for nothing gave {end}, not ENOENT");
    Ok(())
}

/// An executable of one segment, which exits with 42.
fn good() -> Vec<u8> {
    executable(&[code_at(START)])
}

fn good_but(place: usize, byte: u8) -> Vec<u8> {
    let mut file = good();
    file[place] = byte;
    file
}

fn require_refused(files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Outcome {
    for (what, file) in files {
        let end = end_of_file(&file)?;
        require!(end == End::Exited(Errno::ENOEXEC as i32), "{what} gave {end}, not ENOEXEC");
    }
    Ok(())
}

fn wrong() -> Outcome {
    require_refused([
        ("an empty file", Vec::new()),
        ("a text", b"just some words\n".to_vec()),
        ("a file cut within the header", good()[..40].to_vec()),
        ("an executable for another processor", good_but(18, 3)),
        ("an object file", good_but(16, 1)),
    ])
}

/// What Linux finds wrong later, or runs: Quire has no dynamic linker, runs 64-bit programs alone, and lets no segment
/// hide another.
fn not_for_quire() -> Outcome {
    let overlapping = executable(&[code_at(START), (LOAD, 6, [0x100, START + 0x100, 0x100, 0x4000])]);
    let mut dynamic = executable(&[(INTERPRETER, 4, [0x180, START + 0x180, 16, 16]), code_at(START)]);
    dynamic[0x180..0x190].copy_from_slice(b"/lib64/ld-none\0\0");
    require_refused([
        ("a 32-bit executable", good_but(4, 1)),
        ("a big-endian executable", good_but(5, 2)),
        ("a file cut within the program headers", good()[..100].to_vec()),
        ("a dynamic executable", dynamic),
        ("overlapping segments", overlapping),
    ])
}

/// Refused before or after the caller's memory is gone, but refused: it does not run.
fn over_kernel() -> Outcome {
    for address in [0xffff_8000_0000_0000, 0x7fff_ffff_f000, 0x7fff_ffff_0000, u64::MAX - 0xfff] {
        let file = executable(&[code_at(START), (LOAD, 6, [0, address, 0x200, 0x20_0000])]);
        let end = end_of_file(&file)?;
        require!(end != End::Exited(42), "a segment at {address:#x} was accepted");
        require!(end != End::Exited(0), "a segment at {address:#x} gave {end}");
    }
    Ok(())
}
