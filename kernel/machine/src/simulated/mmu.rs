//! What walks the page tables: each processor's CR3 and TLB. See the module above for what is remembered, and for how long.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use quire_swap::header::PAGE_SIZE;
use x86_64::structures::paging::PageTableFlags as Flags;

use super::cpu::{self, MOST_PROCESSORS};
use super::lock::locked;
use super::processor;
use crate::address_map::{USER_END, direct};
use crate::arch::page_table::{Table, covered, flags_of, frame_of, index, table};
use crate::frame::{FrameNumber, Kind};
use crate::physical;
use crate::upcall::Access;

const PAGE: u64 = PAGE_SIZE as u64;
/// The entries that one cache line holds.
const NEIGHBOURS: usize = 8;

/// What is remembered of a page.
#[derive(Clone, Copy)]
struct Translation {
    frame: FrameNumber,
    rights: Rights,
    /// The entry's dirty bit was set.
    dirty: bool,
}

/// What the entries of all levels allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    write: bool,
    execute: bool,
    user: bool,
}

impl Rights {
    const ALL: Self = Self { write: true, execute: true, user: true };

    /// What is left under an entry with `flags`.
    fn under(self, flags: Flags) -> Self {
        Self {
            write: self.write && flags.contains(Flags::WRITABLE),
            execute: self.execute && !flags.contains(Flags::NO_EXECUTE),
            user: self.user && flags.contains(Flags::USER_ACCESSIBLE),
        }
    }

    /// Whether they allow the access. The kernel is bound by write protection, and reaches programs' pages by its own means.
    const fn allow(self, access: Access) -> bool {
        (self.write || !access.write) && (self.execute || !access.execute) && (self.user || !access.user)
    }
}

/// Why there is no translation for an access, as a page fault's error code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No page is there.
    NotPresent,
    /// The entries do not allow the access.
    NotAllowed,
}

/// One processor's.
struct Mmu {
    root: FrameNumber,
    /// By the page's address.
    pages: BTreeMap<u64, Translation>,
    /// By the address that it begins at: the table that maps 2 MiB, and what the levels above allow.
    tables: BTreeMap<u64, (FrameNumber, Rights)>,
}

/// All processors', and how many ways to a frame they remember together.
struct Mmus {
    each: [Mmu; MOST_PROCESSORS],
    ways: Vec<u32>,
}

static MMUS: Mutex<Mmus> = Mutex::new(Mmus {
    each: [const { Mmu { root: FrameNumber(0), pages: BTreeMap::new(), tables: BTreeMap::new() } }; MOST_PROCESSORS],
    ways: Vec::new(),
});

/// Remembers nothing of an earlier machine; there are `frames` frames.
pub(super) fn start(frames: usize) {
    let mut mmus = locked(&MMUS);
    for mmu in &mut mmus.each {
        *mmu = Mmu { root: FrameNumber(0), pages: BTreeMap::new(), tables: BTreeMap::new() };
    }
    mmus.ways = vec![0; frames];
}

/// The number of the processor that runs this.
fn own() -> usize {
    processor::number().expect("page tables are used by a processor")
}

impl Mmu {
    fn forget_page(&mut self, ways: &mut [u32], page: u64) {
        if let Some(translation) = self.pages.remove(&page) {
            ways[translation.frame.index()] -= 1;
        }
    }

    fn forget_tables(&mut self, ways: &mut [u32]) {
        for (frame, _) in std::mem::take(&mut self.tables).into_values() {
            ways[frame.index()] -= 1;
        }
    }

    fn forget_all(&mut self, ways: &mut [u32]) {
        for translation in std::mem::take(&mut self.pages).into_values() {
            ways[translation.frame.index()] -= 1;
        }
        self.forget_tables(ways);
    }

    fn remember(&mut self, ways: &mut [u32], page: u64, entry: u64, above: Rights) {
        let (frame, flags) = (frame_of(entry), flags_of(entry));
        assert!(frame.index() < ways.len(), "the entry of {page:#x} leads to frame {frame}, which the machine has not");
        let translation = Translation { frame, rights: above.under(flags), dirty: flags.contains(Flags::DIRTY) };
        self.forget_page(ways, page);
        self.pages.insert(page, translation);
        ways[frame.index()] += 1;
    }

    /// The table that maps `address`, and what the levels above it allow.
    fn table(&mut self, ways: &mut [u32], address: u64) -> Result<(FrameNumber, Rights), Refused> {
        let start = address & !(covered(2) - 1);
        if let Some(known) = self.tables.get(&start) {
            return Ok(*known);
        }
        let (mut frame, mut rights) = (self.root, Rights::ALL);
        for level in (2..=4).rev() {
            // SAFETY: the root in use is a table, and every present entry above the leaves leads to one. None of them is freed
            // while a processor walks it: `note_free` looks.
            let entry = &unsafe { table(frame) }[index(address, level)];
            let flags = flags_of(entry.load(Ordering::Acquire));
            if !flags.contains(Flags::PRESENT) {
                return Err(Refused::NotPresent);
            }
            assert!(!flags.contains(Flags::HUGE_PAGE), "no large page is in the user half");
            frame = frame_of(entry.fetch_or(Flags::ACCESSED.bits(), Ordering::AcqRel));
            rights = rights.under(flags);
        }
        ways[frame.index()] += 1;
        self.tables.insert(start, (frame, rights));
        Ok((frame, rights))
    }

    /// The frame of the page, for `access`.
    fn translate(&mut self, ways: &mut [u32], page: u64, access: Access) -> Result<FrameNumber, Refused> {
        if let Some(translation) = self.pages.get(&page).copied() {
            if !translation.rights.allow(access) {
                self.forget_page(ways, page);
                return Err(Refused::NotAllowed);
            }
            if translation.dirty || !access.write {
                return Ok(translation.frame);
            }
        }
        let (frame, above) = self.table(ways, page)?;
        // SAFETY: as in `table`.
        let entries = unsafe { table(frame) };
        let at = index(page, 1);
        let mark = Flags::ACCESSED | if access.write { Flags::DIRTY } else { Flags::empty() };
        let look = |entry: u64| {
            if !flags_of(entry).contains(Flags::PRESENT) {
                return Err(Refused::NotPresent);
            }
            if above.under(flags_of(entry)).allow(access) { Ok(entry | mark.bits()) } else { Err(Refused::NotAllowed) }
        };
        let marked = loop {
            let entry = entries[at].load(Ordering::Acquire);
            let marked = match look(entry) {
                Ok(marked) => marked,
                Err(refused) => {
                    self.forget_page(ways, page);
                    return Err(refused);
                }
            };
            if entries[at].compare_exchange(entry, marked, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                break marked;
            }
        };
        self.remember(ways, page, marked, above);
        self.remember_neighbours(ways, page, entries, above);
        Ok(frame_of(marked))
    }

    fn remember_neighbours(&mut self, ways: &mut [u32], page: u64, entries: &Table, above: Rights) {
        const BOTH: Flags = Flags::PRESENT.union(Flags::ACCESSED);
        let first = index(page, 1) / NEIGHBOURS * NEIGHBOURS;
        for (at, entry) in entries.iter().enumerate().skip(first).take(NEIGHBOURS) {
            let neighbour = (page & !(covered(2) - 1)) + at as u64 * PAGE;
            let entry = entry.load(Ordering::Acquire);
            if flags_of(entry).contains(BOTH) && !self.pages.contains_key(&neighbour) {
                self.remember(ways, neighbour, entry, above);
            }
        }
    }
}

/// Where the byte at `address` of the user half is, for `access` by the processor that runs this.
///
/// # Errors
/// [`Refused`]: a page fault.
///
/// # Panics
/// When the page's frame is none that a program may reach: a translation outlived what it led to.
pub(super) fn translate(address: u64, access: Access) -> Result<*mut u8, Refused> {
    cpu::overtaken();
    if address >= USER_END {
        return Err(Refused::NotAllowed);
    }
    let page = address & !(PAGE - 1);
    let frame = {
        let mut mmus = locked(&MMUS);
        let Mmus { each, ways } = &mut *mmus;
        each[own()].translate(ways, page, access)?
    };
    let kind = physical::frames()[frame.index()].kind();
    assert!(
        matches!(kind, Kind::Anonymous | Kind::Object | Kind::Archive | Kind::Device),
        "processor {} reaches frame {frame} by page {page:#x}, and the frame is {kind:?}",
        own()
    );
    Ok(direct(frame.address() + (address - page)))
}

/// The root table that is in use.
pub fn active_root() -> FrameNumber {
    locked(&MMUS).each[own()].root
}

/// Makes `root` the table in use and forgets all translations.
///
/// # Safety
/// `root` is a root table, and stays while it is in use.
pub unsafe fn load(root: FrameNumber) {
    change(|each, ways| {
        each[own()].forget_all(ways);
        each[own()].root = root;
    });
}

/// Forgets the page at `address`, and all tables, on this processor alone.
pub fn forget_page(address: u64) {
    change(|each, ways| {
        each[own()].forget_page(ways, address & !(PAGE - 1));
        each[own()].forget_tables(ways);
    });
}

/// Forgets the user half on this processor.
pub fn forget_user() {
    change(|each, ways| each[own()].forget_all(ways));
}

/// Forgets the user half on other processors, a bit each: they are interrupted at once.
pub fn forget_user_on(others: u32) {
    change(|each, ways| {
        let named = |(number, _): &(usize, _)| others >> number & 1 != 0;
        each.iter_mut().enumerate().filter(named).for_each(|(_, mmu)| mmu.forget_all(ways));
    });
}

fn change(change: impl FnOnce(&mut [Mmu; MOST_PROCESSORS], &mut [u32])) {
    let mut mmus = locked(&MMUS);
    let Mmus { each, ways } = &mut *mmus;
    change(each, ways);
}

/// 2^`order` frames from `block` on become free.
///
/// # Panics
/// When a processor remembers a way to one of them, or walks a table in it.
pub(crate) fn note_free(block: FrameNumber, order: u8) {
    let blame = {
        let mmus = locked(&MMUS);
        let is_freed = |frame: FrameNumber| (block.0..block.0 + (1 << order)).contains(&frame.0);
        let is_reached = (block.index()..block.index() + (1 << order)).any(|frame| mmus.ways[frame] > 0);
        let mut each = mmus.each.iter().enumerate();
        if let Some((number, _)) = each.clone().find(|(_, mmu)| is_freed(mmu.root) && mmu.root != FrameNumber(0)) {
            Some((number, "has it as the root of its page tables".to_string()))
        } else if is_reached {
            each.find_map(|(number, mmu)| {
                let page = mmu.pages.iter().find(|(_, page)| is_freed(page.frame));
                let table = mmu.tables.iter().find(|(_, table)| is_freed(table.0));
                let page = page.map(|(page, _)| format!("remembers it as page {page:#x}"));
                page.or_else(|| table.map(|(start, _)| format!("remembers it as the table of {start:#x}")))
                    .map(|how| (number, how))
            })
        } else {
            None
        }
    };
    if let Some((number, how)) = blame {
        panic!("frame {block} is freed, and processor {number} {how}: a flush is missing");
    }
}
