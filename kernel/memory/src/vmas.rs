//! The VMAs of an address space, as a set that is ordered by address.
//!
//! # Invariants
//!
//! VMAs are page-aligned, not empty, disjoint, and ordered by address. Two that touch and are alike are one. A VMA
//! that is split keeps, in both parts, what ties its addresses to pages (a *link*, of type `A`): the tie is the
//! distance between the two, which splitting does not change, so parts of one VMA merge again when they are alike.
//!
//! Nothing here knows of page tables or locks; a task that changes a set then brings the page tables in line.

use alloc::boxed::Box;
use core::cell::Cell;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use intrusive_collections::rbtree::{Cursor, CursorMut};
use intrusive_collections::{Bound, KeyAdapter, RBTree, RBTreeAtomicLink, intrusive_adapter};
use quire_machine::fallible;
use quire_swap::header::PAGE_SIZE;

use crate::charge::Charge;
use crate::vma::{Totals, Vma};

/// The most VMAs of an address space at first.
const MOST_AT_FIRST: usize = 65_530;

static MOST: AtomicUsize = AtomicUsize::new(MOST_AT_FIRST);

/// The most VMAs of an address space (Linux: `vm.max_map_count`).
pub fn most() -> usize {
    MOST.load(Ordering::Relaxed)
}

/// Sets the most VMAs of an address space.
pub fn set_most(vmas: usize) {
    MOST.store(vmas, Ordering::Relaxed);
}

/// How far a VMA that grows down stays from the one below it (Linux: `stack_guard_gap`).
pub const GUARD_GAP: u64 = 256 * PAGE_SIZE as u64;

/// In how many places an address space remembers what readahead has learnt. VMAs have them in turn: what two share is a
/// worse guess, and costs no memory for each.
pub const READAHEADS: usize = 16;

/// There is no memory for another VMA, or there are [`most`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// A VMA in its set: an object of the heap of its own, so that sets of any size need no memory in one piece, and taking a
/// VMA out needs none at all.
struct Node<A> {
    link: RBTreeAtomicLink,
    vma: Vma<A>,
    _charge: Charge,
}

impl<A> Node<A> {
    fn boxed(vma: Vma<A>) -> Result<Box<Self>, TooMany> {
        let charge = Charge::new(size_of::<Self>()).map_err(|_| TooMany)?;
        fallible::boxed(Self { link: RBTreeAtomicLink::new(), vma, _charge: charge }).map_err(|_| TooMany)
    }
}

mod adapter {
    use super::{Box, Node, RBTreeAtomicLink, intrusive_adapter};

    intrusive_adapter!(pub(super) ByAddress<A> = Box<Node<A>>: Node<A> { link => RBTreeAtomicLink });
}
use adapter::ByAddress;

impl<A> KeyAdapter<'_> for ByAddress<A> {
    type Key = u64;
    /// VMAs are disjoint, so their ends are in the order of their addresses.
    fn get_key(&self, node: &Node<A>) -> u64 {
        node.vma.range.end
    }
}

/// What the last search for a gap has shown, so that the next one need not pass the same VMAs again.
#[derive(Clone, Copy, Debug, Default)]
struct Searched {
    /// Where the search began.
    from: u64,
    /// Where it ended: between here and its beginning …
    down_to: u64,
    /// … no gap is larger.
    largest: u64,
}

/// The VMAs of an address space.
pub struct Vmas<A> {
    /// By address.
    tree: RBTree<ByAddress<A>>,
    count: usize,
    totals: Totals,
    /// Whose turn it is among the places for what readahead has learnt.
    next_readahead: u8,
    searched: Cell<Searched>,
}

impl<A: Clone + PartialEq> Vmas<A> {
    /// Nothing is mapped.
    pub const fn new() -> Self {
        const NOTHING: Searched = Searched { from: 0, down_to: 0, largest: 0 };
        let tree = RBTree::new(ByAddress::NEW);
        Self { tree, count: 0, totals: Totals::NONE, next_readahead: 0, searched: Cell::new(NOTHING) }
    }

    /// What all VMAs count for.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// What the parts of VMAs in `range` count for.
    pub fn totals_in(&self, range: &Range<u64>) -> Totals {
        self.parts(range).map(|part| part.totals()).sum()
    }

    /// The parts of VMAs in `range`.
    pub fn parts(&self, range: &Range<u64>) -> impl Iterator<Item = Vma<A>> {
        let (start, end) = (range.start, range.end);
        self.overlapping(range.clone())
            .map(move |vma| Vma { range: vma.range.start.max(start)..vma.range.end.min(end), ..vma.clone() })
    }

    /// How many VMAs there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// All VMAs, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Vma<A>> {
        self.tree.iter().map(|node| &node.vma)
    }

    /// The first VMA that ends above `address`.
    fn above(&self, address: u64) -> Cursor<'_, ByAddress<A>> {
        self.tree.lower_bound(Bound::Excluded(&address))
    }

    fn above_mut(&mut self, address: u64) -> CursorMut<'_, ByAddress<A>> {
        self.tree.lower_bound_mut(Bound::Excluded(&address))
    }

    /// The VMA with this address.
    pub fn find(&self, address: u64) -> Option<&Vma<A>> {
        self.above(address).get().map(|node| &node.vma).filter(|vma| vma.range.contains(&address))
    }

    /// The VMAs that have addresses in `range`, by address: none for an empty one, wherever it is.
    pub fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = &Vma<A>> {
        let mut cursor = self.above(range.start);
        let end = if range.is_empty() { 0 } else { range.end };
        core::iter::from_fn(move || {
            let vma = cursor.get().map(|node| &node.vma).filter(|vma| vma.range.start < end)?;
            cursor.move_next();
            Some(vma)
        })
    }

    /// Whether nothing is mapped in `range`.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        self.overlapping(range.clone()).next().is_none()
    }

    /// Whether all of `range` is mapped.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        self.covered_until(range) >= range.end
    }

    /// Up to where everything from the beginning of `range` on is mapped, if that is in `range`; else its end, or behind it. How
    /// much there is behind it is not looked at.
    pub fn covered_until(&self, range: &Range<u64>) -> u64 {
        let touching = self.overlapping(range.clone()).scan(range.start, |reached, vma| {
            (vma.range.start <= *reached).then(|| {
                *reached = vma.range.end;
                *reached
            })
        });
        touching.last().unwrap_or(range.start)
    }

    /// The highest free place for `length` bytes in `limits`, clear of the gap below VMAs that grow down.
    pub fn gap(&self, length: u64, limits: &Range<u64>) -> Option<u64> {
        let before = self.searched.get();
        let (mut end, mut largest) = if before.from == limits.end && length > before.largest {
            (before.down_to, before.largest)
        } else {
            (limits.end, 0)
        };
        // One that ends above is in the way as well if it, or the gap below it, begins below.
        let mut cursor = self.above(end);
        if cursor.is_null() {
            cursor.move_prev();
        }
        while let Some(vma) = cursor.get().map(|node| &node.vma) {
            if vma.range.end <= limits.start {
                break;
            }
            let gap = end.saturating_sub(vma.range.end);
            if gap >= length {
                break;
            }
            largest = largest.max(gap);
            let guard = if vma.grows_down { GUARD_GAP } else { 0 };
            end = end.min(vma.range.start.saturating_sub(guard));
            cursor.move_prev();
        }
        self.searched.set(Searched { from: limits.end, down_to: end, largest });
        end.checked_sub(length).filter(|start| *start >= limits.start)
    }

    /// Adds a VMA where nothing is mapped. One more than [`most`] may come to be so, as on Linux.
    ///
    /// # Errors
    /// [`TooMany`]; nothing changes.
    pub fn insert(&mut self, vma: Vma<A>) -> Result<(), TooMany> {
        if self.count > most() {
            return Err(TooMany);
        }
        self.insert_node(Node::boxed(vma)?);
        Ok(())
    }

    /// Unmaps `old` and adds `new`, where nothing is mapped: both or neither. Returns what was mapped. As on Linux, there must be room
    /// for what cutting the old one leaves and for the new one.
    ///
    /// # Errors
    /// [`TooMany`]; nothing changes.
    pub fn replace(&mut self, old: &Range<u64>, new: Vma<A>) -> Result<Self, TooMany> {
        if self.count + 3 > most() {
            return Err(TooMany);
        }
        let node = Node::boxed(new)?;
        let removed = self.remove(old)?;
        self.insert_node(node);
        Ok(removed)
    }

    fn insert_node(&mut self, mut node: Box<Node<A>>) {
        let range = node.vma.range.clone();
        debug_assert!(self.is_free(&range) && !range.is_empty());
        node.vma.readahead = self.next_readahead;
        self.next_readahead = (self.next_readahead + 1) % READAHEADS as u8;
        self.totals = self.totals + node.vma.totals();
        self.count += 1;
        self.tree.insert(node);
        self.merge(&range);
    }

    /// Unmaps `range`; returns what was mapped there. Whole VMAs need no memory to go, nor room for more VMAs unless one is
    /// left on either side.
    ///
    /// # Errors
    /// [`TooMany`], as cutting a hole makes two VMAs of one; nothing changes.
    pub fn remove(&mut self, range: &Range<u64>) -> Result<Self, TooMany> {
        let is_hole = |vma: &Vma<A>| vma.range.start < range.start && range.end < vma.range.end;
        if self.count >= most() && self.find(range.start).is_some_and(is_hole) {
            return Err(TooMany);
        }
        self.split_off(range)?;
        let mut removed = Self::new();
        let mut cursor = self.tree.lower_bound_mut(Bound::Excluded(&range.start));
        while cursor.get().is_some_and(|node| node.vma.range.start < range.end)
            && let Some(node) = cursor.remove()
        {
            removed.count += 1;
            removed.totals = removed.totals + node.vma.totals();
            removed.tree.back_mut().insert_after(node);
        }
        self.count -= removed.count;
        self.totals = self.totals - removed.totals;
        if range.end > self.searched.get().down_to {
            self.searched.take();
        }
        Ok(removed)
    }

    /// Changes what holds for the mapped parts of `range`.
    ///
    /// # Errors
    /// [`TooMany`]; nothing changes.
    pub fn change(&mut self, range: &Range<u64>, mut change: impl FnMut(&mut Vma<A>)) -> Result<(), TooMany> {
        let is_split = |address: u64| usize::from(self.find(address).is_some_and(|vma| vma.range.start < address));
        if self.count + is_split(range.start) + is_split(range.end) > most().max(self.count) {
            return Err(TooMany);
        }
        self.split_off(range)?;
        let mut cursor = self.tree.lower_bound_mut(Bound::Excluded(&range.start));
        while cursor.get().is_some_and(|node| node.vma.range.start < range.end)
            && let Some(mut node) = cursor.remove()
        {
            self.totals = self.totals - node.vma.totals();
            change(&mut node.vma);
            self.totals = self.totals + node.vma.totals();
            cursor.insert_before(node);
        }
        self.merge(range);
        Ok(())
    }

    /// The VMA that would grow down to `address`, if there is one: its new start. It must stay clear of the VMA
    /// below.
    pub fn growth(&self, address: u64) -> Option<&Vma<A>> {
        let cursor = self.above(address);
        let vma = &cursor.get()?.vma;
        if !vma.grows_down || address >= vma.range.start {
            return None;
        }
        let needs_gap = |below: &Vma<A>| below.protection.is_some() && !below.grows_down;
        let floor = cursor
            .peek_prev()
            .get()
            .map_or(0, |below| below.vma.range.end + if needs_gap(&below.vma) { GUARD_GAP } else { 0 });
        (address >= floor).then_some(vma)
    }

    /// Moves the start of the VMA that [`Self::growth`] found down to `start`.
    pub fn grow(&mut self, start: u64) {
        let mut cursor = self.tree.lower_bound_mut(Bound::Excluded(&start));
        if let Some(mut node) = cursor.remove() {
            debug_assert!(node.vma.grows_down && start < node.vma.range.start);
            self.totals = self.totals - node.vma.totals();
            node.vma.range.start = start;
            self.totals = self.totals + node.vma.totals();
            cursor.insert_before(node);
        }
    }

    /// Splits the VMAs at the ends of `range`.
    fn split_off(&mut self, range: &Range<u64>) -> Result<(), TooMany> {
        // Both before the first change.
        let upper = [self.part_from(range.start)?, self.part_from(range.end)?];
        for upper in upper.into_iter().flatten() {
            let address = upper.vma.range.start;
            let mut cursor = self.above_mut(address);
            if let Some(mut lower) = cursor.remove() {
                lower.vma.range.end = address;
                cursor.insert_before(lower);
            }
            cursor.insert_before(upper);
            self.count += 1;
        }
        Ok(())
    }

    /// A copy of the part from `address` on of the VMA that `address` would split, if it would one.
    fn part_from(&self, address: u64) -> Result<Option<Box<Node<A>>>, TooMany> {
        let vma = self.find(address).filter(|vma| vma.range.start < address);
        let part = |vma: &Vma<A>| Vma { range: address..vma.range.end, ..vma.clone() };
        vma.map(|vma| Node::boxed(part(vma))).transpose()
    }

    /// Makes one of neighbours that are alike, in `range` and at its ends.
    fn merge(&mut self, range: &Range<u64>) {
        let mut cursor = self.tree.lower_bound_mut(Bound::Included(&range.start));
        while let Some(lower) = cursor.get().map(|node| &node.vma).filter(|lower| lower.range.end <= range.end) {
            let next = cursor.peek_next();
            let Some(upper) = next.get().map(|node| &node.vma) else { return };
            if lower.range.end != upper.range.start || !lower.is_like(upper) {
                cursor.move_next();
                continue;
            }
            let end = upper.range.end;
            let lower = cursor.remove();
            drop(cursor.remove());
            if let Some(mut lower) = lower {
                lower.vma.range.end = end;
                cursor.insert_before(lower);
                cursor.move_prev();
            }
            self.count -= 1;
        }
    }
}

impl<A: Clone + PartialEq> Default for Vmas<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vma::Protection;

    const PAGE: u64 = PAGE_SIZE as u64;
    const PAGES: u64 = 64;

    fn vma(pages: Range<u64>, protection: Protection, object: Option<u64>) -> Vma<u64> {
        let range = pages.start * PAGE..pages.end * PAGE;
        Vma { object, ..Vma::anonymous(range, protection, 0) }
    }

    fn protection(bits: u8) -> Protection {
        Protection { read: bits & 1 != 0, write: bits & 2 != 0, execute: bits & 4 != 0 }
    }

    /// What holds for each page, one by one.
    type Model = [Option<(Protection, Option<u64>, bool)>; PAGES as usize];

    fn check(vmas: &Vmas<u64>, model: &Model) {
        let mut found: Model = [None; PAGES as usize];
        let mut previous: Option<&Vma<u64>> = None;
        for vma in vmas.iter() {
            assert!(!vma.range.is_empty() && vma.range.start % PAGE == 0 && vma.range.end % PAGE == 0);
            if let Some(previous) = previous {
                assert!(previous.range.end <= vma.range.start);
                assert!(previous.range.end < vma.range.start || !previous.is_like(vma), "{previous:?} {vma:?}");
            }
            for page in vma.range.start / PAGE..vma.range.end / PAGE {
                found[page as usize] = Some((vma.protection, vma.object, vma.locked));
            }
            previous = Some(vma);
        }
        assert_eq!(&found, model);
        assert_eq!(vmas.count(), vmas.iter().count());
        let count = |is: fn(&(Protection, Option<u64>, bool)) -> bool| {
            model.iter().flatten().filter(|page| is(page)).count() as u64 * PAGE
        };
        let totals = vmas.totals();
        assert_eq!(totals.mapped, count(|_| true));
        assert_eq!(totals.data, count(|(protection, ..)| protection.write));
        assert_eq!(totals.locked, count(|(.., locked)| *locked));
        assert_eq!(totals, vmas.iter().map(Vma::totals).sum());
        assert_eq!(totals, vmas.totals_in(&(0..PAGES * PAGE)));
        assert!((0..=PAGES).all(|page| vmas.overlapping(page * PAGE..page * PAGE).next().is_none()));
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
        fn vmas_are_what_was_said_of_each_page(operations in prop::collection::vec(operation(), 1..60)) {
            let mut vmas = Vmas::new();
            let mut model: Model = [None; PAGES as usize];
            let bytes = |pages: &Range<u64>| pages.start * PAGE..pages.end * PAGE;
            let indices = |pages: &Range<u64>| pages.start as usize..pages.end as usize;
            for operation in operations {
                match operation {
                    Operation::Map(pages, bits, object) => {
                        let before = model[indices(&pages)].iter().flatten().count() as u64 * PAGE;
                        prop_assert_eq!(vmas.totals_in(&bytes(&pages)).mapped, before);
                        prop_assert_eq!(vmas.is_free(&bytes(&pages)), before == 0);
                        let removed = removed(&mut vmas, bytes(&pages)).unwrap();
                        prop_assert_eq!(removed.iter().map(Vma::length).sum::<u64>(), before);
                        prop_assert!(vmas.is_free(&bytes(&pages)));
                        vmas.insert(vma(pages.clone(), protection(bits), object)).unwrap();
                        model[indices(&pages)].fill(Some((protection(bits), object, false)));
                    }
                    Operation::Unmap(pages) => {
                        removed(&mut vmas, bytes(&pages)).unwrap();
                        model[indices(&pages)].fill(None);
                    }
                    Operation::Protect(pages, bits) => {
                        prop_assert_eq!(vmas.covers(&bytes(&pages)), model[indices(&pages)].iter().all(Option::is_some));
                        vmas.change(&bytes(&pages), |vma| vma.protection = protection(bits)).unwrap();
                        for page in model[indices(&pages)].iter_mut().flatten() {
                            page.0 = protection(bits);
                        }
                    }
                    Operation::Lock(pages, locked) => {
                        vmas.change(&bytes(&pages), |vma| vma.locked = locked).unwrap();
                        for page in model[indices(&pages)].iter_mut().flatten() {
                            page.2 = locked;
                        }
                    }
                    Operation::Gap(length) => {
                        let fits = |start: usize| model[start..].iter().take(length as usize).all(Option::is_none);
                        let highest = (0..=(PAGES - length) as usize).rev().find(|&start| fits(start));
                        let found = vmas.gap(length * PAGE, &(0..PAGES * PAGE));
                        prop_assert_eq!(found, highest.map(|start| start as u64 * PAGE));
                    }
                }
                check(&vmas, &model);
                for page in 0..PAGES {
                    let found = vmas.find(page * PAGE + 5).map(|vma| vma.protection);
                    prop_assert_eq!(found, model[page as usize].map(|(protection, ..)| protection));
                }
            }
        }
    }

    fn stack(pages: Range<u64>) -> Vma<u64> {
        Vma { grows_down: true, ..vma(pages, Protection::READ_WRITE, None) }
    }

    #[test]
    fn a_stack_grows_down_to_its_guard_gap() {
        let gap = 256;
        let mut vmas = Vmas::new();
        vmas.insert(vma(0..10, Protection::READ_WRITE, None)).unwrap();
        vmas.insert(stack(2000..2001)).unwrap();
        assert!(vmas.growth(2000 * PAGE).is_none(), "it is there already");
        assert!(vmas.growth(2001 * PAGE).is_none(), "it does not grow up");
        assert!(vmas.growth((10 + gap) * PAGE - 1).is_none());
        assert_eq!(vmas.growth((10 + gap) * PAGE).map(|vma| vma.range.start), Some(2000 * PAGE));
        vmas.grow(1500 * PAGE);
        assert_eq!(vmas.find(1500 * PAGE).map(Vma::length), Some(501 * PAGE));
        assert_eq!(vmas.totals().mapped, 511 * PAGE);
    }

    #[test]
    fn nothing_is_placed_in_the_guard_gap_of_a_stack() {
        let mut vmas = Vmas::new();
        vmas.insert(stack(2000..2001)).unwrap();
        assert_eq!(vmas.gap(PAGE, &(0..2001 * PAGE)), Some((1999 - GUARD_GAP / PAGE) * PAGE));
        assert_eq!(vmas.gap(PAGE, &(0..3000 * PAGE)), Some(2999 * PAGE));
        assert_eq!(vmas.gap(PAGE, &(0..1999 * PAGE)), Some((1999 - GUARD_GAP / PAGE) * PAGE), "nor where that ends");
    }

    #[test]
    fn the_highest_gap_is_found_whatever_was_looked_for_before() {
        let mut vmas = Vmas::new();
        vmas.insert(vma(90..95, Protection::READ_WRITE, None)).unwrap();
        vmas.insert(vma(40..50, Protection::READ_WRITE, None)).unwrap();
        for (pages, place) in [(6, 84), (40, 50), (5, 95), (41, 0), (40, 50), (4, 96), (41, 0)] {
            let found = if place == 0 { None } else { Some(place * PAGE) };
            assert_eq!(vmas.gap(pages * PAGE, &(0..100 * PAGE)), found, "{pages} pages");
        }
    }

    #[test]
    fn the_places_for_readahead_are_given_out_in_turn() {
        let mut vmas = Vmas::new();
        for page in 0..18 {
            vmas.insert(vma(2 * page..2 * page + 1, Protection::READ_WRITE, None)).unwrap();
        }
        let places: Vec<_> = vmas.iter().map(|vma| vma.readahead).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1]);
    }

    /// Less than a set has in the tests that set no limit.
    const FEW: usize = 1000;

    /// What was mapped in `range`.
    fn removed(vmas: &mut Vmas<u64>, range: Range<u64>) -> Result<Vec<Vma<u64>>, TooMany> {
        vmas.remove(&range).map(|removed| removed.iter().cloned().collect())
    }

    /// As many VMAs as there may be, then one more, and no two that merge.
    fn full() -> Vmas<u64> {
        set_most(FEW);
        let mut vmas = Vmas::new();
        for page in 0..=FEW as u64 {
            vmas.insert(vma(3 * page..3 * page + 2, Protection::READ_WRITE, None)).unwrap();
        }
        vmas
    }

    #[test]
    fn a_full_set_refuses_what_makes_it_larger_and_gives_up_whole_vmas() {
        let mut vmas = full();
        let bytes = |pages: Range<u64>| pages.start * PAGE..pages.end * PAGE;
        assert_eq!((most(), vmas.count()), (FEW, FEW + 1));
        let new = vma(3 << 30..(3 << 30) + 1, Protection::READ_WRITE, None);
        assert_eq!(vmas.insert(new.clone()), Err(TooMany));
        assert_eq!(vmas.change(&bytes(0..1), |vma| vma.locked = true), Err(TooMany));
        vmas.change(&bytes(0..2), |vma| vma.locked = true).unwrap();
        vmas.change(&bytes(3..4), |_| ()).unwrap_err();
        vmas.change(&bytes(4..5), |_| ()).unwrap_err();
        assert_eq!(removed(&mut vmas, bytes(6..7)).unwrap().len(), 1, "an end needs no room");
        assert_eq!(removed(&mut vmas, bytes(10..11)).unwrap().len(), 1, "nor does the other");
        assert_eq!(removed(&mut vmas, bytes(0..6)).unwrap().len(), 2);
        vmas.insert(new).unwrap();
        assert_eq!(vmas.count(), FEW);
    }

    #[test]
    fn a_vma_is_replaced_while_there_is_room_for_what_is_left_of_the_old_one() {
        let mut vmas = full();
        let range = |pages: Range<u64>| pages.start * PAGE..pages.end * PAGE;
        let new = vma(1..2, Protection::NONE, None);
        removed(&mut vmas, range(9..17)).unwrap();
        assert_eq!(vmas.count(), FEW - 2);
        assert_eq!(vmas.replace(&range(1..2), new.clone()).err(), Some(TooMany));
        removed(&mut vmas, range(6..8)).unwrap();
        let old = vmas.replace(&range(1..2), new.clone()).map(|removed| removed.totals().mapped);
        assert_eq!(old, Ok(PAGE));
        assert_eq!(vmas.find(PAGE), Some(&Vma { readahead: vmas.find(PAGE).unwrap().readahead, ..new }));
        assert_eq!(vmas.count(), FEW - 2);
    }

    #[test]
    fn a_hole_in_a_vma_of_a_full_set_is_refused() {
        let mut vmas = full();
        let large = 3 << 30_u64;
        removed(&mut vmas, 0..2 * PAGE).unwrap();
        vmas.insert(vma(large..large + 3, Protection::READ_WRITE, None)).unwrap();
        assert_eq!(removed(&mut vmas, (large + 1) * PAGE..(large + 2) * PAGE), Err(TooMany));
        assert_eq!(removed(&mut vmas, large * PAGE..(large + 3) * PAGE).unwrap()[0].length(), 3 * PAGE);
    }

    #[test]
    fn parts_merge_only_when_all_is_alike() {
        let mut vmas = Vmas::new();
        vmas.insert(vma(0..10, Protection::READ_WRITE, Some(1))).unwrap();
        vmas.change(&(3 * PAGE..5 * PAGE), |vma| vma.anonymous = 7).unwrap();
        assert_eq!(vmas.iter().count(), 3);
        vmas.change(&(0..20 * PAGE), |vma| vma.anonymous = 7).unwrap();
        assert_eq!(vmas.iter().count(), 1);
        vmas.insert(vma(10..11, Protection::READ_WRITE, Some(2))).unwrap();
        assert_eq!(vmas.iter().count(), 2);
    }
}
