//! Reverse mapping: from a frame to every PTE that maps it.
//!
//! # The idea
//!
//! A folio knows whose page it is: the number of an *owner* and an index. The owner is an [`Object`], whose pages are known
//! by their offset, or a `AnonVma`: the address spaces that come from one another by `fork`, whose private pages are
//! known by their address. An owner keeps a list of the spaces that may map its pages, each with a base, such that the page
//! with index `i` can only be at address `base + 4,096 · i`. So all PTEs of a folio are found by looking at one address
//! for each space on its owner's list; a PTE there that maps another frame is another's.
//!
//! `fork` adds a space to the `anon_vma`'s list and to those of the objects that it maps, nothing for each page. `mremap`
//! adds a second base for the space that moves, and what it moved keeps its index, so shared pages stay shared. A page of
//! swap needs none of this: the slots have counts.
//!
//! An `RmapLink` is one such pair of space and base as a value. The VMAs own it; with the last VMA that uses it
//! the pair leaves the list.
//!
//! # Locking
//!
//! The list's lock ranks above the page tables' locks, which are taken under it one by one. The table of owners has a
//! lock of its own, held only to look a number up.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Bound;
use core::sync::atomic::{AtomicU32, Ordering};

use arrayvec::ArrayVec;
use quire_machine::fallible::{self, NoMemory, TryMap, TryVec};
use quire_machine::frame::FrameNumber;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::user_tables::{PteCell, TablesGuard};
use quire_swap::header::PAGE_SIZE;

use crate::folio::{BATCH, OWNER_NUMBERS, Owned};
use crate::object::Object;
use crate::page_tables::{PageTables, folio_frame};

/// Whose page a folio is.
#[derive(Clone)]
pub(crate) enum Owner {
    /// A private page of some spaces.
    AnonVma(Arc<AnonVma>),
    /// A page of an object.
    Object(Arc<Object>),
}

/// Address spaces that come from one another by `fork`.
pub(crate) struct AnonVma {
    rmap: Rmap,
}

/// The spaces that may map an owner's pages.
pub(crate) struct Rmap {
    number: u32,
    list: SpinLock<Vec<Mapper>>,
}

struct Mapper {
    tables: Arc<PageTables>,
    base: u64,
}

enum WeakOwner {
    AnonVma(Weak<AnonVma>),
    Object(Weak<Object>),
}

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);
static OWNERS: SpinLock<BTreeMap<u32, WeakOwner>> = SpinLock::new(Rank::Owners, BTreeMap::new());

/// A number that no owner has: folios outlive their owners by a little, so numbers are used again as late as possible.
fn next_number(owners: &BTreeMap<u32, WeakOwner>) -> u32 {
    loop {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed) % OWNER_NUMBERS;
        if number != 0 && !owners.contains_key(&number) {
            return number;
        }
    }
}

impl AnonVma {
    /// An `anon_vma` without spaces.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn new() -> Result<Arc<Self>, NoMemory> {
        let rmap = Rmap::new(WeakOwner::AnonVma(Weak::new()))?;
        let anon_vma = fallible::shared(Self { rmap })?;
        anon_vma.rmap.belong_to(WeakOwner::AnonVma(Arc::downgrade(&anon_vma)));
        Ok(anon_vma)
    }
}

impl Rmap {
    /// With a number of its own; `unborn` stands in the table until there is an owner.
    fn new(unborn: WeakOwner) -> Result<Self, NoMemory> {
        let mut owners = OWNERS.lock();
        let number = next_number(&owners);
        owners.insert_if_room(number, unborn)?;
        Ok(Self { number, list: SpinLock::new(Rank::Rmap, Vec::new()) })
    }

    /// Lets the owner be found.
    fn belong_to(&self, owner: WeakOwner) {
        if let Some(place) = OWNERS.lock().get_mut(&self.number) {
            *place = owner;
        }
    }

    /// For an object, which can be found from then on. `make` may fail.
    pub(crate) fn for_object(
        make: impl FnOnce(Self) -> Result<Arc<Object>, NoMemory>,
    ) -> Result<Arc<Object>, NoMemory> {
        let object = make(Self::new(WeakOwner::Object(Weak::new()))?)?;
        object.rmap().belong_to(WeakOwner::Object(Arc::downgrade(&object)));
        Ok(object)
    }

    /// What a folio that is page `index` is to be marked with.
    pub(crate) const fn mark(&self, index: u64) -> Owned {
        Owned { owner: self.number, index }
    }

    /// Calls `visit` with each PTE that maps one of `pages`, whose index and frame `place` says, its tables locked. Each
    /// space's tables are locked once for all pages.
    #[inline]
    pub(crate) fn for_each_pte<T>(
        &self,
        pages: &mut [T],
        place: impl Fn(&T) -> (u64, FrameNumber),
        mut visit: impl FnMut(&mut T, &PageTables, PteCell<'_>),
    ) {
        for Mapper { tables, base } in &*self.list.lock() {
            let ptes = tables.lock();
            let mut cursor = ptes.cursor();
            for page in &mut *pages {
                let (index, frame) = place(page);
                let Some(pte) = cursor.find(base.wrapping_add(index * PAGE_SIZE as u64)) else { continue };
                if folio_frame(pte.bits()) == Some(frame) {
                    visit(page, tables, pte);
                }
            }
        }
    }

    /// Calls `visit` with the base of each space that may map the pages and its tables, locked.
    pub(crate) fn for_each_space(&self, mut visit: impl FnMut(u64, &TablesGuard<'_>)) {
        for Mapper { tables, base } in &*self.list.lock() {
            visit(*base, &tables.lock());
        }
    }

    /// The same for the one page with this `index` and `frame`.
    pub(crate) fn for_each_pte_of(
        &self,
        index: u64,
        frame: FrameNumber,
        mut visit: impl FnMut(&PageTables, PteCell<'_>),
    ) {
        self.for_each_pte(&mut [()], |()| (index, frame), |(), tables, pte| visit(tables, pte));
    }

    /// Whether the space with these tables may map any of the pages.
    pub(crate) fn has(&self, tables: &Arc<PageTables>) -> bool {
        self.list.lock().iter().any(|mapper| Arc::ptr_eq(&mapper.tables, tables))
    }

    /// Whether no space maps any of the pages.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.lock().is_empty()
    }
}

impl Drop for Rmap {
    fn drop(&mut self) {
        OWNERS.lock().remove(&self.number);
    }
}

impl Owner {
    pub(crate) fn rmap(&self) -> &Rmap {
        match self {
            Self::AnonVma(anon_vma) => &anon_vma.rmap,
            Self::Object(object) => object.rmap(),
        }
    }
}

/// The owners of the folios of a batch, kept until all of these are dealt with: dropping the last reference to an object
/// waits for the locks of its folios.
#[derive(Default)]
pub(crate) struct Owners {
    kept: ArrayVec<(u32, Owner), BATCH>,
    last: usize,
}

impl Owners {
    /// The place of the owner with this number, while it exists.
    #[inline]
    pub(crate) fn find(&mut self, number: u32) -> Option<usize> {
        if self.kept.get(self.last).is_none_or(|(other, _)| *other != number) {
            self.last = self.find_another(number)?;
        }
        Some(self.last)
    }

    #[inline(never)]
    fn find_another(&mut self, number: u32) -> Option<usize> {
        if let Some(place) = self.kept.iter().position(|(other, _)| *other == number) {
            return Some(place);
        }
        let owner = match OWNERS.lock().get(&number)? {
            WeakOwner::AnonVma(anon_vma) => anon_vma.upgrade().map(Owner::AnonVma),
            WeakOwner::Object(object) => object.upgrade().map(Owner::Object),
        };
        self.kept.push((number, owner?));
        Some(self.kept.len() - 1)
    }

    /// The owner at a place that [`Owners::find`] gave.
    pub(crate) fn get(&self, place: usize) -> &Owner {
        &self.kept[place].1
    }
}

/// All objects that exist. Nothing is locked between one and the next: those that come and go may be among them.
pub(crate) fn objects() -> impl Iterator<Item = Arc<Object>> {
    let mut from = Bound::Unbounded;
    core::iter::from_fn(move || {
        let owners = OWNERS.lock();
        let existing = |(&number, owner): (&u32, &WeakOwner)| match owner {
            WeakOwner::Object(object) => Some((number, object.upgrade()?)),
            WeakOwner::AnonVma(_) => None,
        };
        let (number, object) = owners.range((from, Bound::Unbounded)).find_map(existing)?;
        from = Bound::Excluded(number);
        Some(object)
    })
}

/// A space on the list of an owner, with a base.
pub(crate) struct RmapLink {
    owner: Owner,
    tables: Arc<PageTables>,
    base: u64,
}

impl RmapLink {
    /// Puts the space with these tables on the owner's list: page `i` can be at address `base + 4,096 · i`, wrapping.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn new(owner: Owner, tables: &Arc<PageTables>, base: u64) -> Result<Arc<Self>, NoMemory> {
        // One that is not on the list finds nothing to take away as it goes.
        let link = fallible::shared(Self { owner, tables: Arc::clone(tables), base })?;
        let mapper = Mapper { tables: Arc::clone(tables), base };
        link.owner.rmap().list.lock().try_push(mapper)?;
        Ok(link)
    }

    /// The same owner and base for another space.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn for_other(&self, tables: &Arc<PageTables>) -> Result<Arc<Self>, NoMemory> {
        Self::new(self.owner.clone(), tables, self.base)
    }

    /// The same owner and space with the pages `distance` higher, wrapping.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn moved(&self, distance: u64) -> Result<Arc<Self>, NoMemory> {
        Self::new(self.owner.clone(), &self.tables, self.base.wrapping_add(distance))
    }

    /// Whether it is a space's first place in its `anon_vma`, where no page has moved.
    pub(crate) const fn is_home(&self) -> bool {
        matches!(self.owner, Owner::AnonVma(_)) && self.base == 0
    }

    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    /// The index of the page at `address`.
    pub(crate) const fn index(&self, address: u64) -> u64 {
        address.wrapping_sub(self.base) / PAGE_SIZE as u64
    }

    /// What a folio that is to be mapped at `address` is marked with.
    pub(crate) fn mark(&self, address: u64) -> Owned {
        self.owner.rmap().mark(self.index(address))
    }

    /// Whether the owner is this object.
    pub(crate) fn is_to(&self, object: &Object) -> bool {
        self.object().is_some_and(|own| core::ptr::eq(&raw const **own, object))
    }

    /// The object, if the owner is one.
    pub(crate) const fn object(&self) -> Option<&Arc<Object>> {
        match &self.owner {
            Owner::Object(object) => Some(object),
            Owner::AnonVma(_) => None,
        }
    }
}

impl PartialEq for RmapLink {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.owner.rmap(), other.owner.rmap())
            && Arc::ptr_eq(&self.tables, &other.tables)
            && self.base == other.base
    }
}

impl Drop for RmapLink {
    fn drop(&mut self) {
        let mut list = self.owner.rmap().list.lock();
        let place =
            list.iter().position(|mapper| Arc::ptr_eq(&mapper.tables, &self.tables) && mapper.base == self.base);
        // The link has a reference to the tables itself: nothing is given back under the lock.
        if let Some(place) = place {
            list.swap_remove(place);
        }
    }
}
