//! What an address space uses, for `/proc` and for the out-of-memory killer.

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_machine::address_map::USER_END;
use quire_machine::protection::Protection;
use quire_swap::header::PAGE_SIZE;

use super::AddressSpace;
use crate::page_tables;
use crate::upcall::{Memory, Weights};

const PAGE: u64 = PAGE_SIZE as u64;

/// What a space uses, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Mapped (`VmSize`).
    pub mapped: usize,
    /// In memory, private (`RssAnon`).
    pub anonymous: usize,
    /// In memory, of objects (`RssFile` and `RssShmem`).
    pub object: usize,
    /// In swap (`VmSwap`).
    pub swapped: usize,
    /// Locked (`VmLck`).
    pub locked: usize,
    /// Private and writable, but for stacks (`VmData`).
    pub data: usize,
    /// Stacks (`VmStk`).
    pub stack: usize,
    /// Executable (`VmExe`).
    pub text: usize,
    /// Page tables, in frames (`VmPTE`).
    pub tables: usize,
    /// The most that were in memory at once (`VmHWM`).
    pub peak: usize,
}

impl Usage {
    /// In memory (`VmRSS`).
    pub const fn resident(&self) -> usize {
        self.anonymous + self.object
    }
}

/// One VMA, for `/proc/PID/maps`.
#[derive(Debug)]
pub struct VmaView<'a> {
    /// The addresses.
    pub range: Range<u64>,
    /// What may be done with them.
    pub protection: Protection,
    /// Whether writes go to the object.
    pub shared: bool,
    /// The byte of the object that it begins with.
    pub offset: u64,
    /// What it was called when it was mapped, or `[heap]`, or `[stack]`.
    pub name: Option<&'a str>,
}

impl AddressSpace {
    /// What it uses.
    pub fn usage(&self) -> Usage {
        self.tables.counts.note_peak();
        let mut usage = self.usage_without_vmas();
        for vma in self.layout().vmas.iter() {
            let pages = (vma.length() / PAGE) as usize;
            usage.mapped += pages;
            if vma.grows_down {
                usage.stack += pages;
            } else if vma.protection.execute && !vma.protection.write {
                usage.text += pages;
            } else if vma.is_data() {
                usage.data += pages;
            }
        }
        usage
    }

    /// [`Self::usage`] without what the VMAs say, and without waiting for them.
    fn usage_without_vmas(&self) -> Usage {
        let counts = &self.tables.counts;
        let get = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Usage {
            anonymous: get(&counts.anonymous),
            object: get(&counts.object),
            swapped: get(&counts.swapped),
            tables: self.tables.count() + 1,
            peak: get(&counts.peak),
            locked: self.locked_pages.load(Ordering::Relaxed),
            ..Usage::default()
        }
    }

    /// Calls `visit` with the VMAs that end above `from`, by address, until it returns an error.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn visit_vmas<E>(&self, from: u64, mut visit: impl FnMut(&VmaView<'_>) -> Result<(), E>) -> Result<(), E> {
        let layout = self.layout();
        for vma in layout.vmas.overlapping(from..u64::MAX) {
            let own_name = || {
                let is_heap = vma.range.start < layout.heap.end && layout.heap.start < vma.range.end;
                match (vma.grows_down, is_heap) {
                    (true, _) => Some("[stack]"),
                    (_, true) => Some("[heap]"),
                    _ => None,
                }
            };
            visit(&VmaView {
                range: vma.range.clone(),
                protection: vma.protection,
                shared: vma.shared,
                offset: vma.object.as_ref().map_or(0, |object| vma.range.start.wrapping_sub(object.base())),
                name: vma.name.as_deref().or_else(own_name),
            })?;
        }
        Ok(())
    }
}

impl Memory for AddressSpace {
    fn weight(&self) -> usize {
        let counts = &self.tables.counts;
        counts.resident() + counts.swapped.load(Ordering::Relaxed) + self.tables.count()
    }

    fn usage(&self) -> Weights {
        let Usage { anonymous, object, swapped, tables, .. } = self.usage_without_vmas();
        Weights { resident: anonymous + object, swapped, tables }
    }

    /// The space's own thread may hold its layout for as long as it likes (Linux: `mm/oom_kill.c`, `__oom_reap_task_mm`, which
    /// tries for a while and gives up). What is private the PTEs say themselves: entries are, and frames of folios that are no
    /// object's. No fault is served from now on.
    fn reap(&self) -> usize {
        let before = self.weight();
        self.is_reaped.store(true, Ordering::Release);
        // A fault that is under way looks again, and finds that the space is reaped.
        self.tables.mappings_changed();
        self.zap_where(0..USER_END, page_tables::is_private);
        before.saturating_sub(self.weight())
    }

    /// It was reaped, and what it has still is not waited for any more.
    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::give_up`] was called (Linux: `MMF_OOM_SKIP`).
    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// Whether its private memory was taken away: what is missing is not zero, it is gone.
    fn is_reaped(&self) -> bool {
        self.is_reaped.load(Ordering::Acquire)
    }
}
