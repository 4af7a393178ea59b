//! Reverse mapping: from a frame to every PTE that maps it.
//!
//! # The idea
//!
//! A folio knows whose page it is: the number of an *owner* and an index. The owner is an [`Object`], whose pages are known
//! by their offset, or an `AnonVma`: an address space with those that came from it by `fork`, whose private pages are known by
//! their address. An owner keeps a list of the spaces that may map its pages, each with a base, such that the page with
//! index `i` can only be at address `base + 4,096 · i`. So all PTEs of a folio are found by looking at one address
//! for each space on its owner's list; a PTE there that maps another frame is another's.
//!
//! `fork` adds a space to the lists of the objects that it maps, nothing for each page. `mremap` adds a second base for the space
//! that moves, and what it moved keeps its index, so shared pages stay shared. A page of swap needs none of this: the slots have
//! counts.
//!
//! An `RmapLink` is one such pair of space and base as a value. The VMAs own it; with the last VMA that uses it
//! the pair leaves the list.
//!
//! # Relatives
//!
//! Each space that came by `fork` has an `anon_vma` of its own, with its own list, for the pages that it makes from then on; it
//! knows the first one of all, whose list has every relative. A page is looked for in its own `anon_vma`'s list first, then in the
//! first one's; and the search ends when as many PTEs were found as the folio has references from PTEs. So a page that one process
//! has made and maps costs the same with however many relatives (Linux: the hierarchy of `anon_vma_chain`, which is walked whole).
//!
//! A page is marked with the number of an `anon_vma` only while no space but its own, and those that were forked from it later, can
//! have the page: that is, when it is new, or comes back from a slot that has one count. Else it is marked with the first one's. A
//! descendant keeps the `anon_vma`s that it comes from, and so their numbers, up to 64; after that it shares its
//! parent's.
//!
//! # Locking
//!
//! The list's lock ranks above the page tables' locks, which are taken under it one by one. The table of owners has a
//! lock of its own, held only to look a number up.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Bound;
use core::sync::atomic::{AtomicU32, Ordering};

use arrayvec::ArrayVec;
use quire_machine::fallible::{self, NoMemory, TryMap};
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::user_tables::{PteCell, TablesGuard};
use quire_swap::header::PAGE_SIZE;

use crate::folio::{self, BATCH_PAGES, Folio, OWNER_NUMBERS, Owned};
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

/// How many `anon_vma`s may come from one another.
const GENERATIONS: u32 = 64;

/// Address spaces that may have the private pages that one of them has made.
pub(crate) struct AnonVma {
    /// Those that have this one as their own; of the first, all relatives.
    rmap: Rmap,
    origin: Option<Origin>,
}

/// Where an `anon_vma` comes from.
struct Origin {
    first: Arc<AnonVma>,
    /// Kept, as pages may be marked with its number.
    _parent: Arc<AnonVma>,
    generation: u32,
}

/// A page that is looked for, of which the caller has one reference.
pub(crate) trait Sought {
    fn folio(&self) -> &Folio;
    /// Its index with its owner.
    fn index(&self) -> u64;
}

impl Sought for (u64, &Folio) {
    fn folio(&self) -> &Folio {
        self.1
    }

    fn index(&self) -> u64 {
        self.0
    }
}

/// The spaces that may map an owner's pages.
pub(crate) struct Rmap {
    number: u32,
    list: SpinLock<BTreeMap<SpaceKey, MappedSpace>>,
}

/// The number of a space's tables, and a base: one is found among the many that a program can make of one object, and the oldest
/// space, which is the likeliest to have a page, comes first.
type SpaceKey = (u64, u64);

struct MappedSpace {
    tables: Arc<PageTables>,
    /// A space may have a base more than once, after it has moved parts of a mapping one by one.
    links: u32,
}

/// Where a space with this base maps page `index`, if it does; the base wraps.
pub(crate) const fn address_of(base: u64, index: u64) -> u64 {
    base.wrapping_add(index.wrapping_mul(PAGE_SIZE as u64))
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
    /// The first `anon_vma` of relatives to come, without spaces.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn new() -> Result<Arc<Self>, NoMemory> {
        Self::with_origin(None)
    }

    fn with_origin(origin: Option<Origin>) -> Result<Arc<Self>, NoMemory> {
        let rmap = Rmap::new(WeakOwner::AnonVma(Weak::new()))?;
        let anon_vma = fallible::shared(Self { rmap, origin })?;
        anon_vma.rmap.belong_to(WeakOwner::AnonVma(Arc::downgrade(&anon_vma)));
        Ok(anon_vma)
    }

    /// For a space that is forked from one with this `anon_vma`.
    fn of_child(self: &Arc<Self>) -> Result<Arc<Self>, NoMemory> {
        let generation = self.origin.as_ref().map_or(0, |origin| origin.generation) + 1;
        if generation > GENERATIONS {
            return Ok(Arc::clone(self));
        }
        let first = Arc::clone(self.origin.as_ref().map_or(self, |origin| &origin.first));
        Self::with_origin(Some(Origin { first, _parent: Arc::clone(self), generation }))
    }

    /// The one that all relatives share.
    fn first(&self) -> &Self {
        self.origin.as_ref().map_or(self, |origin| &origin.first)
    }
}

impl Rmap {
    /// With a number of its own; `unborn` stands in the table until there is an owner.
    fn new(unborn: WeakOwner) -> Result<Self, NoMemory> {
        let mut owners = OWNERS.lock();
        let number = next_number(&owners);
        owners.insert_if_memory(number, unborn)?;
        Ok(Self { number, list: SpinLock::new(Rank::Rmap, BTreeMap::new()) })
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

    /// Adds a space with a base.
    fn add(&self, tables: &Arc<PageTables>, base: u64) -> Result<(), NoMemory> {
        let mut list = self.list.lock();
        let key = (tables.number(), base);
        if let Some(space) = list.get_mut(&key) {
            space.links += 1;
            return Ok(());
        }
        list.insert_if_memory(key, MappedSpace { tables: Arc::clone(tables), links: 1 }).map(drop)
    }

    /// Takes a space with a base off the list, as often as it was added.
    fn remove(&self, tables: &Arc<PageTables>, base: u64) {
        let mut list = self.list.lock();
        let key = (tables.number(), base);
        let Some(space) = list.get_mut(&key) else { return };
        space.links -= 1;
        if space.links == 0 {
            // The caller has a reference to the tables itself: nothing is freed under the lock.
            list.remove(&key);
        }
    }

    /// Calls `visit` with PTEs that map one of `pages`, their tables locked, until all are found; whether they are, unless this is the
    /// last list to look at. Each space's tables are locked once for all pages.
    #[inline]
    fn find_ptes<T: Sought>(
        &self,
        pages: &mut [T],
        is_last: bool,
        visit: &mut impl FnMut(&mut T, &PageTables, PteCell<'_>),
    ) -> bool {
        let list = self.list.lock();
        // How many PTEs were found of each page that still map it.
        let mut found = [0; BATCH_PAGES];
        for (place, ((_, base), MappedSpace { tables, .. })) in (1..).zip(&*list) {
            let ptes = tables.lock();
            let mut cursor = ptes.cursor();
            for (page, found) in pages.iter_mut().zip(&mut found) {
                let frame = Some(page.folio().frame());
                let Some(pte) = cursor.find(address_of(*base, page.index())) else { continue };
                if folio_frame(pte.bits()) == frame {
                    visit(page, tables, pte);
                    *found += u32::from(folio_frame(pte.bits()) == frame);
                }
            }
            drop(ptes);
            if is_last && place == list.len() {
                break;
            }
            // What a `fork` copies meanwhile it copies from a PTE that is counted.
            if pages.iter().zip(&found).all(|(page, found)| folio::ptes(page.folio(), 1) <= *found) {
                return true;
            }
        }
        false
    }

    /// Whether the space with these tables may map any of the pages.
    pub(crate) fn has(&self, tables: &Arc<PageTables>) -> bool {
        let first = (tables.number(), 0);
        self.list.lock().range(first..=(first.0, u64::MAX)).next().is_some()
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
    /// The list of all spaces that may map the pages, and before it that of those which are likely to.
    fn rmaps(&self) -> (Option<&Rmap>, &Rmap) {
        match self {
            Self::AnonVma(anon_vma) => {
                let first = anon_vma.first();
                (anon_vma.origin.is_some().then_some(&anon_vma.rmap), &first.rmap)
            }
            Self::Object(object) => (None, object.rmap()),
        }
    }

    fn own_rmap(&self) -> &Rmap {
        let (own, all) = self.rmaps();
        own.unwrap_or(all)
    }

    /// Calls `visit` with the PTEs that map one of `pages`, up to a batch of this owner's, their tables locked; with some of them
    /// perhaps twice.
    #[inline]
    pub(crate) fn for_each_pte<T: Sought>(
        &self,
        pages: &mut [T],
        mut visit: impl FnMut(&mut T, &PageTables, PteCell<'_>),
    ) {
        let (own, all) = self.rmaps();
        if own.is_none_or(|own| !own.find_ptes(pages, false, &mut visit)) {
            all.find_ptes(pages, true, &mut visit);
        }
    }

    /// Calls `visit` with the base of each space that is likely to map the pages and its tables, locked, until it has seen enough.
    pub(crate) fn for_each_space(&self, mut visit: impl FnMut(u64, &TablesGuard<'_>) -> bool) {
        let list = self.own_rmap().list.lock();
        let _ = list.iter().all(|((_, base), MappedSpace { tables, .. })| visit(*base, &tables.lock()));
    }
}

impl Rmap {
    /// Calls `visit` with the PTEs that map the folio, of which the caller has a reference, and which is page `index` here, its
    /// tables locked.
    pub(crate) fn for_each_pte_of(&self, index: u64, folio: &Folio, mut visit: impl FnMut(&PageTables, PteCell<'_>)) {
        self.find_ptes(&mut [(index, folio)], true, &mut |_, tables, pte| visit(tables, pte));
    }
}

/// The owners of the folios of a batch, kept until all of these are dealt with: dropping the last reference to an object
/// waits for the locks of its folios.
#[derive(Default)]
pub(crate) struct Owners {
    kept: ArrayVec<(u32, Owner), BATCH_PAGES>,
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
        let (own, all) = owner.rmaps();
        all.add(tables, base)?;
        if let Some(own) = own {
            own.add(tables, base).inspect_err(|NoMemory| all.remove(tables, base))?;
        }
        // One for which there is no memory takes itself off the lists as it goes.
        fallible::shared(Self { owner, tables: Arc::clone(tables), base })
    }

    /// The same base for another space that is forked from this one, and the same object or an `anon_vma` that comes from this one.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn for_child(&self, tables: &Arc<PageTables>) -> Result<Arc<Self>, NoMemory> {
        let owner = match &self.owner {
            Owner::AnonVma(anon_vma) => Owner::AnonVma(anon_vma.of_child()?),
            Owner::Object(object) => Owner::Object(Arc::clone(object)),
        };
        Self::new(owner, tables, self.base)
    }

    /// The same owner and space with the pages `distance` higher, wrapping.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn moved(&self, distance: u64) -> Result<Arc<Self>, NoMemory> {
        Self::new(self.owner.clone(), &self.tables, self.base.wrapping_add(distance))
    }

    /// Whether it is the link that a space begins with, to its own `anon_vma`, and no page of it has moved.
    pub(crate) const fn is_unmoved(&self) -> bool {
        matches!(self.owner, Owner::AnonVma(_)) && self.base == 0
    }

    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    /// The index of the page at `address`.
    pub(crate) const fn index(&self, address: u64) -> u64 {
        address.wrapping_sub(self.base) / PAGE_SIZE as u64
    }

    /// What a folio that is to be mapped at `address` is marked with, when no relative can have it that is there already.
    pub(crate) fn mark(&self, address: u64) -> Owned {
        self.owner.own_rmap().mark(self.index(address))
    }

    /// The owner's number in the mark when any relative may have the page.
    pub(crate) fn number_of_all(&self) -> u32 {
        self.owner.rmaps().1.number
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
        core::ptr::eq(self.owner.own_rmap(), other.owner.own_rmap())
            && Arc::ptr_eq(&self.tables, &other.tables)
            && self.base == other.base
    }
}

impl Drop for RmapLink {
    fn drop(&mut self) {
        let (own, all) = self.owner.rmaps();
        all.remove(&self.tables, self.base);
        if let Some(own) = own {
            own.remove(&self.tables, self.base);
        }
    }
}
