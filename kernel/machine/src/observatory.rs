//! The page by which the kernel is found and read from outside: see `quire_protocol::observatory`.
//!
//! What is here is written once, at the start; the structures that it leads to are where they always are, and looking at them costs
//! nothing. The rooms above add where theirs are to the [`page`].

#[cfg(target_os = "none")]
use core::sync::atomic::Ordering;

use quire_protocol::observatory::AtomicPage;
#[cfg(target_os = "none")]
use quire_protocol::observatory::{MAGIC, VERSION};

pub use crate::address_map::address_of as address;

/// On a page of its own, so that its beginning is easily found.
#[repr(C, align(4096))]
struct Aligned(AtomicPage);

// SAFETY: the name is this static's alone in the kernel, and nothing but what reads its memory from outside goes by it.
#[unsafe(no_mangle)]
static OBSERVATORY: Aligned = Aligned(AtomicPage::new());

/// The page, for the rooms above to say where their structures are.
pub fn page() -> &'static AtomicPage {
    &OBSERVATORY.0
}

/// Publishes what the machine has: once the kernel's page tables are in use.
#[cfg(target_os = "none")]
pub fn start() {
    use crate::address_map::DIRECT_MAP;
    use crate::{clock, event, heap, kernel_map, physical, stop, sync, task};

    let page = page();
    let own = address(page);
    let set = |word: &core::sync::atomic::AtomicU64, value| word.store(value, Ordering::Relaxed);
    set(&page.version, VERSION);
    set(&page.bytes, size_of::<AtomicPage>() as u64);
    set(&page.physical, kernel_map::physical(own).unwrap_or(u64::MAX));
    set(&page.root, kernel_map::root().address());
    set(&page.direct_map, DIRECT_MAP);
    set(&page.ticks_per_second, address(clock::counter_frequency()));
    set(&page.frames, physical::frames().as_ptr().addr() as u64);
    set(&page.frame_count, physical::frames().len() as u64);
    let words = physical::words();
    set(&page.managed, address(words.managed));
    set(&page.free, address(words.free));
    set(&page.kernel, address(words.kernel));
    set(&page.watermarks, address(words.watermarks));
    task::publish(page);
    heap::publish(page);
    event::publish(page);
    stop::publish(page);
    sync::publish(page);
    page.magic.store(MAGIC, Ordering::Release);
}
