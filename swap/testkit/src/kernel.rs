//! A kernel small enough to be obviously right: tasks with one table of PTEs each, and the calls on the core that the
//! crate's documentation asks for, in that order.

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{
    DecodedPte, Entry, FaultError, FaultKind, Folio, FolioFlag, Locked, Neighbourhood, Plug, Readahead, SlotRange,
    SlotReference, Swap, SwapOffError, Users, Written,
};

use crate::{Fake, FakeFolio, Memory, lock, new_folio};

/// Tasks and their memory.
pub struct Kernel {
    /// The swap core.
    pub swap: &'static Swap<Fake>,
    /// The machine.
    pub memory: &'static Memory,
    /// Each present PTE holds a reference to its folio, each entry a count of its slot.
    pub tables: Vec<Vec<u64>>,
    /// Where reclaim gathers what it writes.
    pub plug: Plug<Fake>,
    /// What swap-in knows of earlier faults.
    pub readahead: Readahead,
    /// The largest folios that a fault brings back.
    pub max_order: u8,
    /// What each fault was, in their order.
    pub faults: Vec<FaultKind>,
    /// Pages that `swapoff` could not read.
    pub poisoned: u64,
}

/// Why a task did not get its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// There was no frame for it.
    NoMemory,
    /// It could not be read, now or earlier.
    BusError,
}

fn present(frame: u64) -> u64 {
    frame << 12 | 1
}

impl Kernel {
    /// Tasks with empty page tables of so many pages.
    pub fn new(swap: &'static Swap<Fake>, memory: &'static Memory, tasks: usize, pages: usize) -> Self {
        Self {
            swap,
            memory,
            tables: vec![vec![0; pages]; tasks],
            plug: Plug::new(),
            readahead: Readahead::new(),
            max_order: 0,
            faults: Vec::new(),
            poisoned: 0,
        }
    }

    /// What the PTE of a task's page says.
    pub fn pte(&self, task: usize, page: usize) -> DecodedPte {
        DecodedPte::decode(self.tables[task][page])
    }

    /// A new folio in empty places.
    pub fn populate(&mut self, task: usize, page: usize, order: u8, contents: u64) -> bool {
        self.populate_each(task, page, order, |index| contents + index as u64)
    }

    /// The same with these words in its pages.
    pub fn populate_each(&mut self, task: usize, page: usize, order: u8, words: impl Fn(usize) -> u64) -> bool {
        let Some(folio) = new_folio(order, 0) else { return false };
        (0..1 << order).for_each(|index| folio.fill(index, words(index)));
        for index in 0..1 << order {
            assert_eq!(self.tables[task][page + index], 0);
            self.tables[task][page + index] = present(folio.clone().into_number() + index as u64);
        }
        true
    }

    /// A new page with any contents in an empty place.
    pub fn populate_page(&mut self, task: usize, page: usize, contents: &Page) -> bool {
        let populated = self.populate(task, page, 0, 0);
        if populated {
            let (folio, _) = self.touch(task, page).expect("it is present");
            folio.with_page_mut(0, |memory| memory.copy_from_slice(contents));
        }
        populated
    }

    /// A whole page that a task reads.
    ///
    /// # Errors
    /// [`Touch`].
    pub fn read_page(&mut self, task: usize, page: usize) -> Result<Page, Touch> {
        let (folio, index) = self.touch(task, page)?;
        Ok(folio.with_page(index, |memory| *memory))
    }

    /// What a task reads.
    ///
    /// # Errors
    /// [`Touch`].
    pub fn read(&mut self, task: usize, page: usize) -> Result<u64, Touch> {
        let (folio, index) = self.touch(task, page)?;
        Ok(folio.word(index))
    }

    /// A task writes: in place if no other task sees the page, else into a copy.
    ///
    /// # Errors
    /// [`Touch`].
    pub fn write(&mut self, task: usize, page: usize, contents: u64) -> Result<(), Touch> {
        let mut repeated = [0; PAGE_SIZE];
        repeated.as_chunks_mut().0.fill(contents.to_le_bytes());
        self.write_page(task, page, &repeated)
    }

    /// The same with any contents.
    ///
    /// # Errors
    /// [`Touch`].
    pub fn write_page(&mut self, task: usize, page: usize, contents: &Page) -> Result<(), Touch> {
        let (folio, index) = self.touch(task, page)?;
        let locked = Locked::lock(folio.clone());
        locked.wait_for_writeback();
        let word = self.tables[task][page];
        let mapped = self.tables.iter().flatten().filter(|other| **other == word).count();
        if mapped == 1 && (locked.state().entry().is_none() || self.swap.try_free_slot(&locked)) {
            locked.state().set_written();
            FakeFolio::with_page_mut(&locked, index, |memory| memory.copy_from_slice(contents));
            return Ok(());
        }
        drop(locked);
        let copy = new_folio(0, 0).ok_or(Touch::NoMemory)?;
        copy.with_page_mut(0, |memory| memory.copy_from_slice(contents));
        self.tables[task][page] = present(copy.into_number());
        drop(FakeFolio::from_number(folio.number()));
        Ok(())
    }

    fn touch(&mut self, task: usize, page: usize) -> Result<(FakeFolio, usize), Touch> {
        loop {
            match self.pte(task, page) {
                DecodedPte::Present(word) => return Ok(self.memory.folio_of(word >> 12)),
                DecodedPte::Poisoned(_) => return Err(Touch::BusError),
                DecodedPte::Entry(_) => self.fault(task, page)?,
                other => panic!("a task touched {other:?}"),
            }
        }
    }

    /// The page fault of a task.
    fn fault(&mut self, task: usize, page: usize) -> Result<(), Touch> {
        let word = self.tables[task][page];
        let DecodedPte::Entry(entry) = DecodedPte::decode(word) else { panic!("not an entry") };
        let order = self.order_around(task, page);
        self.plug.submit();
        let table = &self.tables[task];
        let neighbourhood = Neighbourhood {
            readahead: &self.readahead,
            page: page as u64,
            pages: (0, table.len() as u64),
            entry: &|page| Entry::from_pte(table[page as usize]),
        };
        let fault = match self.swap.fault_in(entry, order, Some(&neighbourhood)) {
            Ok(fault) => fault,
            Err(FaultError::Gone) => panic!("{entry} is gone while a PTE holds it"),
            Err(FaultError::NoMemory) => return Err(Touch::NoMemory),
            Err(FaultError::ReadFailed(failed)) => {
                assert_eq!(failed, entry);
                return Err(Touch::BusError);
            }
        };
        self.faults.push(fault.kind);
        self.map(task, page, &fault.folio);
        Ok(())
    }

    /// Maps the folio wherever this task has PTEs for its slots, around `page`.
    fn map(&mut self, task: usize, page: usize, folio: &Locked<FakeFolio>) {
        let first = folio.state().entry().expect("a locked folio stays in the cache");
        let DecodedPte::Entry(entry) = self.pte(task, page) else { panic!("not an entry") };
        let before = (entry.slot() - first.slot()) as usize;
        for (index, slot) in (first.slot()..first.slot() + (1 << folio.order())).enumerate() {
            let place = (page + index).checked_sub(before);
            let Some(word) = place.and_then(|place| self.tables[task].get_mut(place)) else { continue };
            match DecodedPte::decode(*word) {
                DecodedPte::Entry(other) if other.area() == first.area() && other.slot() == slot => {
                    let number = FakeFolio::clone(folio).into_number();
                    *word = present(number + index as u64);
                    self.swap.put_mapped(other, folio, false);
                }
                _ => {}
            }
        }
    }

    /// The largest order whose aligned run of slots around this page the task has side by side.
    fn order_around(&self, task: usize, page: usize) -> u8 {
        let Some(here) = Entry::from_pte(self.tables[task][page]) else { return 0 };
        let whole = |order: &u8| {
            let first = here.slot() & !((1_u32 << order) - 1);
            let before = (here.slot() - first) as usize;
            (first..first + (1 << order)).enumerate().all(|(index, slot)| {
                let word = (page + index).checked_sub(before).and_then(|place| self.tables[task].get(place));
                word.is_some() && word.copied() == Entry::new(here.area(), slot).map(Entry::to_pte)
            })
        };
        (0..=self.max_order).take_while(whole).last().unwrap_or(0)
    }

    /// `fork` of one page: another task's empty place gets the same page.
    pub fn share(&mut self, from: (usize, usize), to: (usize, usize)) -> bool {
        assert_eq!(self.tables[to.0][to.1], 0);
        let word = self.tables[from.0][from.1];
        match DecodedPte::decode(word) {
            DecodedPte::Present(word) => {
                let (folio, _) = self.memory.folio_of(word >> 12);
                folio.into_number();
            }
            DecodedPte::Entry(entry) => match self.swap.duplicate(entry) {
                Ok(reference) => assert_eq!(reference.into_pte(), word),
                Err(_) => return false,
            },
            _ => {}
        }
        self.tables[to.0][to.1] = word;
        true
    }

    /// The task gives the page up.
    pub fn unmap(&mut self, task: usize, page: usize) {
        let word = std::mem::take(&mut self.tables[task][page]);
        match DecodedPte::decode(word) {
            DecodedPte::Present(word) => {
                let (folio, _) = self.memory.folio_of(word >> 12);
                drop(FakeFolio::from_number(folio.number()));
                // The machine frees what no task maps; a cached folio that no task wants is dropped with its slots.
                self.swap.drop_if_unused(&folio);
            }
            DecodedPte::Entry(_) => drop(SlotReference::from_pte(self.swap, word)),
            _ => {}
        }
    }

    /// The task gives all up that it has in swap.
    pub fn unmap_swapped(&mut self, task: usize) {
        let is_entry = |word: &&mut u64| Entry::from_pte(**word).is_some();
        let words: Vec<_> = self.tables[task].iter_mut().filter(is_entry).map(std::mem::take).collect();
        self.swap.put_each(words.into_iter());
    }

    /// Reclaim of the folio behind a present word: queued to be written, evicted, or left alone.
    pub fn reclaim(&mut self, task: usize, page: usize) -> bool {
        let DecodedPte::Present(word) = self.pte(task, page) else { return false };
        let (folio, _) = self.memory.folio_of(word >> 12);
        if folio.state().is(FolioFlag::Writeback) {
            return false;
        }
        let locked = lock(&folio);
        drop(folio);
        let mut held = None;
        if locked.state().entry().is_none() {
            let added = if locked.order() == 0 {
                self.swap.hold_in_swap(&locked).map(|reference| held = Some(reference))
            } else {
                self.swap.add_to_swap(&locked).map(drop)
            };
            if added.is_err() {
                return false;
            }
        }
        self.unmap_all(&locked, held);
        if self.is_mapped(&locked) {
            return false;
        }
        let folio = if locked.state().is(FolioFlag::Dirty) {
            match self.swap.write(&mut self.plug, locked) {
                Written::Queued => return true,
                Written::Zero(folio) | Written::Unused(folio) => folio,
                Written::Refused(_) | Written::ForAnother(_) => return false,
            }
        } else {
            locked
        };
        self.evict(folio);
        true
    }

    /// Evicts a clean folio that only the cache and the caller know.
    pub fn evict(&self, folio: Locked<FakeFolio>) -> bool {
        let shadow = self.memory.note_evicted(&folio);
        self.swap.evict(folio, 2, shadow).is_ok()
    }

    /// Evicts every unmapped, clean folio in the cache, as `writes_ended` would have.
    pub fn evict_ended(&self) {
        let ended = std::mem::take(&mut *self.memory.ended_writes.lock().unwrap());
        let folios: Vec<_> = ended
            .into_iter()
            .filter_map(|(number, _)| Locked::try_lock(FakeFolio::try_from_number(number)?).ok())
            .filter(|folio| folio.state().entry().is_some())
            .collect();
        self.swap.evict_each(folios.into_iter(), 2, |folio| self.memory.note_evicted(folio), drop);
    }

    /// What was reclaimed arrives on its disk, and leaves memory.
    pub fn write_out(&mut self) {
        self.plug.submit();
        self.memory.run_all();
        self.evict_ended();
    }

    /// Puts entries in the place of all words that map the folio. The first gets the count that is there already, if there is.
    fn unmap_all(&mut self, folio: &Locked<FakeFolio>, mut held: Option<SlotReference<'static, Fake>>) {
        let first = folio.state().entry().expect("it was just added");
        let frames = folio.number()..folio.number() + (1 << folio.order());
        let mut wanted = Vec::new();
        for word in self.tables.iter_mut().flatten() {
            let DecodedPte::Present(old) = DecodedPte::decode(*word) else { continue };
            if !frames.contains(&(old >> 12)) {
                continue;
            }
            if let Some(reference) = held.take() {
                *word = reference.into_pte();
                drop(FakeFolio::from_number(folio.number()));
            } else {
                let slot = first.slot() + ((old >> 12) - folio.number()) as u32;
                wanted.push((Entry::new(first.area(), slot).unwrap(), word));
            }
        }
        self.swap.duplicate_each(wanted.into_iter(), |word, reference| {
            if let Ok(reference) = reference {
                *word = reference.into_pte();
                drop(FakeFolio::from_number(folio.number()));
            }
        });
    }

    fn is_mapped(&self, folio: &FakeFolio) -> bool {
        let frames = folio.number()..folio.number() + (1 << folio.order());
        self.tables.iter().flatten().any(
            |word| matches!(DecodedPte::decode(*word), DecodedPte::Present(word) if frames.contains(&(word >> 12))),
        )
    }

    /// Lets all I/O end and drops what only the cache holds.
    pub fn settle(&mut self) {
        self.write_out();
        for area in self.swap.areas() {
            for slot in 1..area.extents().pages().min(1 << 14) as u32 {
                let Some(entry) = Entry::new(area.index(), slot) else { continue };
                if let Some(folio) = self.swap.lookup(entry)
                    && let Ok(locked) = Locked::try_lock(folio)
                    && !self.swap.try_free_slot(&locked)
                    && !locked.state().is(FolioFlag::Dirty)
                    && !self.is_mapped(&locked)
                {
                    self.evict(locked);
                }
            }
        }
        self.evict_ended();
    }

    /// How many PTEs hold the slot, counted one by one.
    pub fn ptes_with(&self, entry: Entry) -> usize {
        self.tables.iter().flatten().filter(|pte| **pte == entry.to_pte()).count()
    }
}

impl Users for Kernel {
    fn swap_in(&mut self, slots: &SlotRange) -> Result<(), SwapOffError> {
        for task in 0..self.tables.len() {
            for page in 0..self.tables[task].len() {
                let DecodedPte::Entry(entry) = self.pte(task, page) else { continue };
                if !slots.contains(entry) {
                    continue;
                }
                self.swap.read_around(entry);
                match self.fault(task, page) {
                    Ok(()) => {}
                    Err(Touch::NoMemory) => return Err(SwapOffError::NoMemory),
                    Err(Touch::BusError) => {
                        let word = DecodedPte::Poisoned(entry).encode();
                        let old = std::mem::replace(&mut self.tables[task][page], word);
                        drop(SlotReference::from_pte(self.swap, old));
                        self.poisoned += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn map_refused(&mut self, slots: &SlotRange) {
        for task in 0..self.tables.len() {
            for page in 0..self.tables[task].len() {
                if let DecodedPte::Entry(entry) = self.pte(task, page)
                    && slots.contains(entry)
                    && self.swap.is_refused(entry)
                {
                    assert_eq!(self.fault(task, page), Ok(()), "a page in memory needs no frame to come back");
                }
            }
        }
    }
}
