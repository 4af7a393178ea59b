//! Regions: what an address space has mapped, as an ordered set of ranges of addresses with what holds for each.
//!
//! # Invariants
//!
//! Regions are page-aligned, not empty, disjoint, and ordered by address. Two that touch and are alike are one. A region
//! that is split keeps, in both parts, what ties its addresses to pages (an *attachment*, of type `A`): the tie is the
//! distance between the two, which splitting does not change, so parts of one region merge again when they are alike.
//!
//! Nothing here knows of page tables or locks; whoever changes a set then brings the page tables in line.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::iter::Sum;
use core::ops::{Add, Range, Sub};

use quire_swap::header::PAGE_SIZE;

/// The most regions of an address space (Linux: `vm.max_map_count`).
pub const MOST_REGIONS: usize = 65_530;

/// How far a region that grows down stays from the one below it (Linux: `stack_guard_gap`).
pub const GUARD_GAP: u64 = 256 * PAGE_SIZE as u64;

/// In how many places an address space remembers what readahead has learnt. Regions have them in turn: what two share is a
/// worse guess, and costs no memory for each.
pub const READAHEADS: usize = 16;

/// What may be done with the pages of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// They may be read.
    pub read: bool,
    /// They may be written.
    pub write: bool,
    /// They may be run.
    pub execute: bool,
}

impl Protection {
    /// Nothing may be done.
    pub const NONE: Self = Self { read: false, write: false, execute: false };
    /// Read and write.
    pub const READ_WRITE: Self = Self { read: true, write: true, execute: false };

    /// Whether anything may be done: the processor can forbid writing and running, but not reading alone.
    pub const fn is_some(self) -> bool {
        self.read || self.write || self.execute
    }
}

/// Whether the memory behind a region is promised, should it need any of its own (Linux: `VM_ACCOUNT`, `VM_NORESERVE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Not yet: nothing private can be written there. It is once that changes.
    NotYet,
    /// It is, and stays so.
    Made,
    /// It never is, as the program wanted (`MAP_NORESERVE`).
    Waived,
}

/// A range of addresses and what holds for it.
#[expect(clippy::struct_excessive_bools, reason = "independent flags of a mapping")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region<A> {
    /// The addresses; page-aligned.
    pub range: Range<u64>,
    /// What may be done with its pages.
    pub protection: Protection,
    /// Writes are seen by everybody who maps the object, and by a child.
    pub shared: bool,
    /// It may be made writable.
    pub may_write: bool,
    /// It grows towards lower addresses when it is touched below its start: a stack.
    pub grows_down: bool,
    /// Its pages stay in memory.
    pub locked: bool,
    /// A child does not get it.
    pub not_inherited: bool,
    /// Whether memory is promised for it.
    pub promise: Promise,
    /// The object that its pages come from; without one they are zero at first.
    pub object: Option<A>,
    /// What ties its private pages to the lineage of spaces that may share them.
    pub anonymous: A,
    /// What `/proc/PID/maps` calls it.
    pub name: Option<Arc<str>>,
    /// Which of the places for what readahead has learnt is its own; [`Regions::insert`] sets it.
    pub readahead: u8,
}

impl<A: PartialEq> Region<A> {
    /// Private memory without an object.
    pub const fn anonymous(range: Range<u64>, protection: Protection, attachment: A) -> Self {
        Self {
            range,
            protection,
            shared: false,
            may_write: true,
            grows_down: false,
            locked: false,
            not_inherited: false,
            promise: if protection.write { Promise::Made } else { Promise::NotYet },
            object: None,
            anonymous: attachment,
            name: None,
            readahead: 0,
        }
    }

    /// How many bytes it has.
    pub const fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it holds a program's data, which `RLIMIT_DATA` limits (Linux: `is_data_mapping`).
    pub const fn is_data(&self) -> bool {
        self.protection.write && !self.shared && !self.grows_down
    }

    /// Changes what may be done with its pages. Once they can be written privately, their memory is promised.
    pub fn set_protection(&mut self, protection: Protection) {
        self.protection = protection;
        if protection.write && !self.shared && self.promise == Promise::NotYet {
            self.promise = Promise::Made;
        }
    }

    /// What it counts for.
    pub const fn totals(&self) -> Totals {
        let bytes = self.length();
        Totals {
            mapped: bytes,
            data: if self.is_data() { bytes } else { 0 },
            locked: if self.locked { bytes } else { 0 },
            promised: if matches!(self.promise, Promise::Made) { bytes } else { 0 },
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.protection == other.protection
            && self.shared == other.shared
            && self.may_write == other.may_write
            && self.grows_down == other.grows_down
            && self.locked == other.locked
            && self.not_inherited == other.not_inherited
            && self.promise == other.promise
            && self.object == other.object
            && self.anonymous == other.anonymous
            && self.name == other.name
    }
}

/// What regions count for together, in bytes: what limits are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All that is mapped (`RLIMIT_AS`).
    pub mapped: u64,
    /// Private, writable, and no stack (`RLIMIT_DATA`).
    pub data: u64,
    /// To stay in memory (`RLIMIT_MEMLOCK`).
    pub locked: u64,
    /// Promised (`vm.overcommit_memory`).
    pub promised: u64,
}

impl Totals {
    /// What no region counts for.
    pub const NONE: Self = Self { mapped: 0, data: 0, locked: 0, promised: 0 };
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            mapped: self.mapped + other.mapped,
            data: self.data + other.data,
            locked: self.locked + other.locked,
            promised: self.promised + other.promised,
        }
    }
}

impl Sub for Totals {
    type Output = Self;

    /// What is left without `other`, which is a part of it.
    fn sub(self, other: Self) -> Self {
        Self {
            mapped: self.mapped - other.mapped,
            data: self.data - other.data,
            locked: self.locked - other.locked,
            promised: self.promised - other.promised,
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// There is no memory for another region, or there are [`MOST_REGIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The regions of an address space.
#[derive(Clone, Debug)]
pub struct Regions<A> {
    /// By address.
    list: Vec<Region<A>>,
    totals: Totals,
    /// Whose turn it is among the places for what readahead has learnt.
    next_readahead: u8,
    /// Where an address was found last, which is where the next one is looked for first: faults come in runs.
    last: Cell<usize>,
}

impl<A: Clone + PartialEq> Regions<A> {
    /// Nothing is mapped.
    pub const fn new() -> Self {
        Self { list: Vec::new(), totals: Totals::NONE, next_readahead: 0, last: Cell::new(0) }
    }

    /// What all regions count for.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// What the parts of regions in `range` count for.
    pub fn totals_in(&self, range: &Range<u64>) -> Totals {
        self.parts(range).map(|part| part.totals()).sum()
    }

    /// The parts of regions in `range`.
    pub fn parts(&self, range: &Range<u64>) -> impl Iterator<Item = Region<A>> {
        let (start, end) = (range.start, range.end);
        self.overlapping(range.clone()).map(move |region| Region {
            range: region.range.start.max(start)..region.range.end.min(end),
            ..region.clone()
        })
    }

    /// All regions, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Region<A>> {
        self.list.iter()
    }

    /// The index of the first region that ends above `address`.
    fn position(&self, address: u64) -> usize {
        self.list.partition_point(|region| region.range.end <= address)
    }

    /// The region with this address.
    pub fn find(&self, address: u64) -> Option<&Region<A>> {
        let found = |index: usize| self.list.get(index).filter(|region| region.range.contains(&address));
        found(self.last.get()).or_else(|| {
            self.last.set(self.position(address));
            found(self.last.get())
        })
    }

    /// The regions that have addresses in `range`, by address.
    pub fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = &Region<A>> {
        self.list[self.position(range.start)..].iter().take_while(move |region| region.range.start < range.end)
    }

    /// Whether nothing is mapped in `range`.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        self.overlapping(range.clone()).next().is_none()
    }

    /// Whether all of `range` is mapped.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        self.covered_from(range.start) >= range.end
    }

    /// Up to where everything from `address` on is mapped.
    pub fn covered_from(&self, address: u64) -> u64 {
        self.list[self.position(address)..]
            .iter()
            .scan(address, |reached, region| {
                (region.range.start <= *reached).then(|| {
                    *reached = region.range.end;
                    *reached
                })
            })
            .last()
            .unwrap_or(address)
    }

    /// The highest free place for `length` bytes in `limits`, clear of the gap below regions that grow down.
    pub fn gap(&self, length: u64, limits: &Range<u64>) -> Option<u64> {
        let mut end = limits.end;
        for region in self.list.iter().rev() {
            if region.range.start >= end {
                continue;
            }
            if region.range.end <= limits.start {
                break;
            }
            if region.range.end < end && end - region.range.end >= length {
                break;
            }
            let guard = if region.grows_down { GUARD_GAP } else { 0 };
            end = region.range.start.saturating_sub(guard);
        }
        end.checked_sub(length).filter(|start| *start >= limits.start)
    }

    /// Makes sure that there can be so many more regions.
    ///
    /// # Errors
    /// [`TooMany`]
    pub fn make_room(&mut self, more: usize) -> Result<(), TooMany> {
        if self.list.len() + more > MOST_REGIONS {
            return Err(TooMany);
        }
        self.list.try_reserve(more).map_err(|_| TooMany)
    }

    /// Adds a region where nothing is mapped.
    ///
    /// # Errors
    /// [`TooMany`]; nothing changes.
    #[expect(clippy::disallowed_methods, reason = "the room has been made")]
    pub fn insert(&mut self, mut region: Region<A>) -> Result<(), TooMany> {
        debug_assert!(self.is_free(&region.range) && !region.range.is_empty());
        self.make_room(1)?;
        self.totals = self.totals + region.totals();
        region.readahead = self.next_readahead;
        self.next_readahead = (self.next_readahead + 1) % READAHEADS as u8;
        let index = self.position(region.range.start);
        self.list.insert(index, region);
        self.merge(index, index + 1);
        Ok(())
    }

    /// Unmaps `range`; returns what was mapped there.
    ///
    /// # Errors
    /// [`TooMany`], as cutting a hole makes two regions of one; nothing changes.
    #[expect(clippy::disallowed_methods, reason = "the room has been made")]
    pub fn remove(&mut self, range: &Range<u64>) -> Result<Vec<Region<A>>, TooMany> {
        self.make_room(2)?;
        let within = self.split_off(range);
        let mut removed = Vec::new();
        removed.try_reserve(within.len()).map_err(|_| TooMany)?;
        removed.extend(self.list.drain(within));
        self.totals = self.totals - removed.iter().map(Region::totals).sum();
        Ok(removed)
    }

    /// Changes what holds for the mapped parts of `range`.
    ///
    /// # Errors
    /// [`TooMany`]; nothing changes.
    pub fn change(&mut self, range: &Range<u64>, mut change: impl FnMut(&mut Region<A>)) -> Result<(), TooMany> {
        self.make_room(2)?;
        let within = self.split_off(range);
        for region in &mut self.list[within.clone()] {
            self.totals = self.totals - region.totals();
            change(region);
            self.totals = self.totals + region.totals();
        }
        self.merge(within.start, within.end);
        Ok(())
    }

    /// The region that would grow down to `address`, if there is one: its new start. It must stay clear of the region
    /// below.
    pub fn growth(&self, address: u64) -> Option<&Region<A>> {
        let index = self.position(address);
        let region = self.list.get(index).filter(|region| region.grows_down && address < region.range.start)?;
        let floor = index.checked_sub(1).map_or(0, |below| {
            let below = &self.list[below];
            below.range.end + if below.protection.is_some() { GUARD_GAP } else { 0 }
        });
        (address >= floor).then_some(region)
    }

    /// Moves the start of the region that [`Self::growth`] found down to `start`.
    pub fn grow(&mut self, start: u64) {
        let index = self.position(start);
        if let Some(region) = self.list.get_mut(index) {
            debug_assert!(region.grows_down && start < region.range.start);
            self.totals = self.totals - region.totals();
            region.range.start = start;
            self.totals = self.totals + region.totals();
        }
    }

    /// Splits the regions at the ends of `range`; returns the indices of those inside. There is room for two more.
    fn split_off(&mut self, range: &Range<u64>) -> Range<usize> {
        self.split(range.start);
        self.split(range.end);
        let start = self.position(range.start);
        let end = start + self.list[start..].iter().take_while(|region| region.range.start < range.end).count();
        start..end
    }

    #[expect(clippy::disallowed_methods, reason = "the room has been made")]
    fn split(&mut self, address: u64) {
        let index = self.position(address);
        let Some(lower) = self.list.get_mut(index).filter(|region| region.range.start < address) else { return };
        let mut upper = lower.clone();
        lower.range.end = address;
        upper.range.start = address;
        self.list.insert(index + 1, upper);
    }

    /// Makes one of neighbours that are alike, from the one before index `start` to the one at `end`.
    fn merge(&mut self, start: usize, end: usize) {
        let mut index = end.min(self.list.len().saturating_sub(1));
        while index > start.saturating_sub(1) {
            let (lower, upper) = (&self.list[index - 1], &self.list[index]);
            if lower.range.end == upper.range.start && lower.is_like(upper) {
                self.list[index - 1].range.end = upper.range.end;
                self.list.remove(index);
            }
            index -= 1;
        }
    }
}

impl<A: Clone + PartialEq> Default for Regions<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = PAGE_SIZE as u64;
    const PAGES: u64 = 64;

    fn region(pages: Range<u64>, protection: Protection, object: Option<u64>) -> Region<u64> {
        let range = pages.start * PAGE..pages.end * PAGE;
        Region { object, ..Region::anonymous(range, protection, 0) }
    }

    fn protection(bits: u8) -> Protection {
        Protection { read: bits & 1 != 0, write: bits & 2 != 0, execute: bits & 4 != 0 }
    }

    /// What holds for each page, one by one.
    type Model = [Option<(Protection, Option<u64>, bool)>; PAGES as usize];

    fn check(regions: &Regions<u64>, model: &Model) {
        let mut found: Model = [None; PAGES as usize];
        let mut previous: Option<&Region<u64>> = None;
        for region in regions.iter() {
            assert!(!region.range.is_empty() && region.range.start % PAGE == 0 && region.range.end % PAGE == 0);
            if let Some(previous) = previous {
                assert!(previous.range.end <= region.range.start);
                assert!(
                    previous.range.end < region.range.start || !previous.is_like(region),
                    "{previous:?} {region:?}"
                );
            }
            for page in region.range.start / PAGE..region.range.end / PAGE {
                found[page as usize] = Some((region.protection, region.object, region.locked));
            }
            previous = Some(region);
        }
        assert_eq!(&found, model);
        let count = |is: fn(&(Protection, Option<u64>, bool)) -> bool| {
            model.iter().flatten().filter(|page| is(page)).count() as u64 * PAGE
        };
        let totals = regions.totals();
        assert_eq!(totals.mapped, count(|_| true));
        assert_eq!(totals.data, count(|(protection, ..)| protection.write));
        assert_eq!(totals.locked, count(|(.., locked)| *locked));
        assert_eq!(totals, regions.iter().map(Region::totals).sum());
        assert_eq!(totals, regions.totals_in(&(0..PAGES * PAGE)));
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Map(Range<u64>, u8, Option<u64>),
        Unmap(Range<u64>),
        Protect(Range<u64>, u8),
        Lock(Range<u64>, bool),
        Gap(u64),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let range = || (0..PAGES, 1..20_u64).prop_map(|(start, length)| start..(start + length).min(PAGES));
        prop_oneof![
            3 => (range(), 0..8_u8, prop::option::of(0..2_u64)).prop_map(|(r, p, o)| Operation::Map(r, p, o)),
            2 => range().prop_map(Operation::Unmap),
            2 => (range(), 0..8_u8).prop_map(|(r, p)| Operation::Protect(r, p)),
            1 => (range(), any::<bool>()).prop_map(|(r, l)| Operation::Lock(r, l)),
            2 => (1..30_u64).prop_map(Operation::Gap),
        ]
    }

    proptest! {
        /// Beside a plain array of pages: mapping over others, unmapping and changing parts, and finding room from the
        /// top.
        #[test]
        fn regions_are_what_was_said_of_each_page(operations in prop::collection::vec(operation(), 1..60)) {
            let mut regions = Regions::new();
            let mut model: Model = [None; PAGES as usize];
            let bytes = |pages: &Range<u64>| pages.start * PAGE..pages.end * PAGE;
            let indices = |pages: &Range<u64>| pages.start as usize..pages.end as usize;
            for operation in operations {
                match operation {
                    Operation::Map(pages, bits, object) => {
                        let before = model[indices(&pages)].iter().flatten().count() as u64 * PAGE;
                        let removed = regions.remove(&bytes(&pages)).unwrap();
                        prop_assert_eq!(removed.iter().map(Region::length).sum::<u64>(), before);
                        prop_assert!(regions.is_free(&bytes(&pages)));
                        regions.insert(region(pages.clone(), protection(bits), object)).unwrap();
                        model[indices(&pages)].fill(Some((protection(bits), object, false)));
                    }
                    Operation::Unmap(pages) => {
                        regions.remove(&bytes(&pages)).unwrap();
                        model[indices(&pages)].fill(None);
                    }
                    Operation::Protect(pages, bits) => {
                        prop_assert_eq!(regions.covers(&bytes(&pages)), model[indices(&pages)].iter().all(Option::is_some));
                        regions.change(&bytes(&pages), |region| region.protection = protection(bits)).unwrap();
                        for page in model[indices(&pages)].iter_mut().flatten() {
                            page.0 = protection(bits);
                        }
                    }
                    Operation::Lock(pages, locked) => {
                        regions.change(&bytes(&pages), |region| region.locked = locked).unwrap();
                        for page in model[indices(&pages)].iter_mut().flatten() {
                            page.2 = locked;
                        }
                    }
                    Operation::Gap(length) => {
                        let fits = |start: usize| model[start..].iter().take(length as usize).all(Option::is_none);
                        let highest = (0..=(PAGES - length) as usize).rev().find(|&start| fits(start));
                        let found = regions.gap(length * PAGE, &(0..PAGES * PAGE));
                        prop_assert_eq!(found, highest.map(|start| start as u64 * PAGE));
                    }
                }
                check(&regions, &model);
                for page in 0..PAGES {
                    let found = regions.find(page * PAGE + 5).map(|region| region.protection);
                    prop_assert_eq!(found, model[page as usize].map(|(protection, ..)| protection));
                }
            }
        }
    }

    fn stack(pages: Range<u64>) -> Region<u64> {
        Region { grows_down: true, ..region(pages, Protection::READ_WRITE, None) }
    }

    #[test]
    fn a_stack_grows_down_to_its_guard_gap() {
        let gap = GUARD_GAP / PAGE;
        let mut regions = Regions::new();
        regions.insert(region(0..10, Protection::READ_WRITE, None)).unwrap();
        regions.insert(stack(2000..2001)).unwrap();
        assert!(regions.growth(2000 * PAGE).is_none(), "it is there already");
        assert!(regions.growth(2001 * PAGE).is_none(), "it does not grow up");
        assert!(regions.growth((10 + gap) * PAGE - 1).is_none());
        assert_eq!(regions.growth((10 + gap) * PAGE).map(|region| region.range.start), Some(2000 * PAGE));
        regions.grow(1500 * PAGE);
        assert_eq!(regions.find(1500 * PAGE).map(Region::length), Some(501 * PAGE));
        assert_eq!(regions.totals().mapped, 511 * PAGE);
    }

    #[test]
    fn nothing_is_placed_in_the_guard_gap_of_a_stack() {
        let mut regions = Regions::new();
        regions.insert(stack(2000..2001)).unwrap();
        assert_eq!(regions.gap(PAGE, &(0..2001 * PAGE)), Some((1999 - GUARD_GAP / PAGE) * PAGE));
        assert_eq!(regions.gap(PAGE, &(0..3000 * PAGE)), Some(2999 * PAGE));
    }

    #[test]
    fn parts_merge_only_when_all_is_alike() {
        let mut regions = Regions::new();
        regions.insert(region(0..10, Protection::READ_WRITE, Some(1))).unwrap();
        regions.change(&(3 * PAGE..5 * PAGE), |region| region.anonymous = 7).unwrap();
        assert_eq!(regions.iter().count(), 3);
        regions.change(&(0..20 * PAGE), |region| region.anonymous = 7).unwrap();
        assert_eq!(regions.iter().count(), 1);
        regions.insert(region(10..11, Protection::READ_WRITE, Some(2))).unwrap();
        assert_eq!(regions.iter().count(), 2);
    }
}
