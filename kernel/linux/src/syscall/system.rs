//! The system as a whole: its name, its memory, random numbers.

use linux_raw_sys::{general as linux, system};
use quire_machine::clock;
use quire_machine::physical;
use quire_machine::random;
use quire_memory::swap;
use quire_swap::header::PAGE_SIZE;

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use super::file::MOST;
use crate::errno::Errno;
use crate::process::control_block::this;
use crate::process::table;
use crate::system_name::{NAME_BYTES, RELEASE, SYSTEM, VERSION, host_name, set_host_name};

pub(super) const CALLS: Calls = &[
    (linux::__NR_uname, uname),
    (linux::__NR_sethostname, sethostname),
    (linux::__NR_sysinfo, sysinfo),
    (linux::__NR_getrandom, getrandom),
];

fn sethostname(arguments: &Arguments<'_>) -> Outcome {
    require_superuser()?;
    let [address, length, ..] = arguments.words();
    let mut name = [0; NAME_BYTES];
    let name = length.count(NAME_BYTES - 1).and_then(|length| name.get_mut(..length)).ok_or(Errno::EINVAL)?;
    address.pointer().read_bytes(name)?;
    set_host_name(name)?;
    Ok(0)
}

fn uname(arguments: &Arguments<'_>) -> Outcome {
    let [address, ..] = arguments.words();
    let host = host_name();
    let names = [SYSTEM.as_bytes(), host.as_bytes(), RELEASE.as_bytes(), VERSION.as_bytes(), b"x86_64", b"(none)"];
    let mut bytes = [0; size_of::<system::new_utsname>()];
    for (place, name) in bytes.chunks_exact_mut(NAME_BYTES).zip(names) {
        place[..name.len()].copy_from_slice(name);
    }
    address.pointer().write(bytes)?;
    Ok(0)
}

fn sysinfo(arguments: &Arguments<'_>) -> Outcome {
    let [address, ..] = arguments.words();
    let bytes = |pages: usize| pages as u64 * PAGE_SIZE as u64;
    let (total, used) = (swap::total_pages() as usize, swap::used_pages() as usize);
    let words: [u64; size_of::<system::sysinfo>() / 8] = [
        clock::since_boot().as_secs(),
        // Load averages are not kept.
        0,
        0,
        0,
        bytes(physical::managed_frames()),
        bytes(physical::free_frames()),
        0,
        0,
        bytes(total),
        bytes(total.saturating_sub(used)),
        table::count() as u64,
        0,
        0,
        1,
    ];
    address.pointer().write(words)?;
    Ok(0)
}

fn getrandom(arguments: &Arguments<'_>) -> Outcome {
    const KNOWN: u32 = linux::GRND_NONBLOCK | linux::GRND_RANDOM | linux::GRND_INSECURE;
    const EXCLUSIVE: u32 = linux::GRND_RANDOM | linux::GRND_INSECURE;
    let [address, length, flags, ..] = arguments.words();
    let flags = flags.low();
    if flags & !KNOWN != 0 || flags & EXCLUSIVE == EXCLUSIVE {
        return Err(Errno::EINVAL);
    }
    // As on Linux: no more than this at once, and at least what is small without a break.
    let all = address.pointer::<u8>().range(length.at_most(MOST) as u64)?;
    let mut piece = [0; 256];
    let mut done = 0;
    while done < all.len() {
        let rest = all.behind(done);
        let piece = &mut piece[..rest.len().min(256)];
        random::fill(piece);
        match rest.write(piece) {
            Ok(()) => done += piece.len(),
            Err(_) if done > 0 => break,
            Err(fault) => return Err(fault.into()),
        }
        if this().standing().is_interrupted() && done >= 256 {
            break;
        }
    }
    Ok(done as u64)
}
