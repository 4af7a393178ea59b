//! Pages that left memory together come back together.

use std::sync::Arc;

use quire_swap::{
    DecodedPte, Entry, FaultInTogether, FaultKind, Folio, FolioUse, Locked, Machine, POOL_BATCHES, Swap, Written,
};

use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, swap_on};

const FRAMES: usize = 64;
const PAGES: usize = 4;

/// A task has 16 pages in swap, each with its number and 1000; the slots of `PAGES` of them, from `first` on, are aligned.
struct Bench {
    memory: &'static Memory,
    disk: Arc<FakeDisk>,
    swap: &'static Swap<Fake>,
    kernel: Kernel,
    first: usize,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::new(FRAMES);
        let disk = FakeDisk::new("/dev/vda", 600);
        let (swap, _) = swap_on(&disk);
        let mut kernel = Kernel::new(swap, memory, 2, 16);
        for page in 0..16 {
            assert!(kernel.populate(0, page, 0, 1000 + page as u64) && kernel.reclaim(0, page));
        }
        kernel.write_out();
        disk.requests.lock().unwrap().clear();
        let mut bench = Self { memory, disk, swap, kernel, first: 0 };
        bench.first = (0..PAGES).find(|page| bench.entry(*page).slot().is_multiple_of(PAGES as u32)).unwrap();
        bench
    }

    fn entry(&self, page: usize) -> Entry {
        Entry::from_pte(self.kernel.tables[0][page]).unwrap()
    }

    fn bring_in(&self) -> Option<FaultInTogether<Fake, PAGES>> {
        let first = self.entry(self.first);
        let folios = [(); PAGES].map(|()| Fake::allocate_folio(0, FolioUse::Readahead(first)).unwrap());
        let could = self.swap.are_out_together(first, PAGES as u32);
        let back = self.swap.fault_in_together(first, folios);
        assert_eq!(back.is_some(), could, "no other task comes between");
        back
    }

    /// Maps those that have come.
    fn map(&mut self, folios: &[Option<Locked<FakeFolio>>; PAGES]) {
        for (page, folio) in (self.first..).zip(folios) {
            if let Some(folio) = folio {
                self.kernel.tables[0][page] = FakeFolio::clone(folio).into_number() << 12 | 1;
            }
        }
        self.swap.put_mapped_together(folios.each_ref().map(|folio| folio.as_ref().map(|folio| (folio, false))));
    }

    fn assert_nothing_left(mut self) {
        for page in 0..16 {
            (0..2).for_each(|task| self.kernel.unmap(task, page));
        }
        self.kernel.settle();
        assert_eq!((self.memory.free_frames(), self.swap.idle_batches()), (FRAMES, POOL_BATCHES));
        assert!(self.swap.areas().all(|area| area.used() == 0));
    }
}

#[test]
fn one_request_reads_them_all() {
    let mut bench = Bench::new();
    let FaultInTogether { folios, kind } = bench.bring_in().unwrap();
    assert_eq!(kind, FaultKind::Read);
    bench.map(&folios);
    drop(folios);
    assert_eq!(bench.disk.requests.lock().unwrap().iter().map(|request| request.2).collect::<Vec<_>>(), [PAGES as u64]);
    for page in 0..16 {
        let is_mapped = matches!(bench.kernel.pte(0, page), DecodedPte::Present(_));
        assert_eq!(is_mapped, (bench.first..bench.first + PAGES).contains(&page));
        assert_eq!(bench.kernel.read(0, page), Ok(1000 + page as u64));
    }
    bench.assert_nothing_left();
}

#[test]
fn all_have_to_be_out_of_memory_and_for_one_to_pay() {
    let mut bench = Bench::new();
    assert!(bench.kernel.share((0, bench.first + 1), (1, 0)));
    assert_eq!(bench.kernel.read(1, 0), Ok(1001 + bench.first as u64));
    let free = bench.memory.free_frames();
    assert!(bench.bring_in().is_none(), "one is in the cache");
    assert_eq!(bench.memory.free_frames(), free);
    bench.kernel.unmap(1, 0);
    bench.assert_nothing_left();
    let mut bench = Bench::new();
    bench.kernel.unmap(0, bench.first + 2);
    assert!(bench.bring_in().is_none(), "one is gone");
    bench.memory.set_payer(1);
    assert!(bench.kernel.populate(0, bench.first + 2, 0, 77) && bench.kernel.reclaim(0, bench.first + 2));
    bench.kernel.write_out();
    assert!(bench.bring_in().is_none(), "it is another's, or elsewhere");
    bench.assert_nothing_left();
}

#[test]
fn zero_pages_come_as_zeros_and_who_pays_for_the_first_pays_for_all() {
    let mut bench = Bench::new();
    let (first, others) = (bench.first, bench.first + 1..bench.first + PAGES);
    // The same slots, whose pages are zero now, all but one.
    for page in others.clone() {
        let folio = bench.swap.fault_in(bench.entry(page), 0, None).unwrap().folio;
        FakeFolio::fill(&folio, 0, 0);
        folio.state().set_written();
        let Written::Zero(folio) = bench.swap.write(&mut bench.kernel.plug, folio) else { panic!("it is zero") };
        assert!(bench.kernel.evict(folio));
    }
    let FaultInTogether { folios, kind } = bench.bring_in().unwrap();
    assert_eq!(kind, FaultKind::Read);
    bench.map(&folios);
    drop(folios);
    assert_eq!(bench.kernel.read(0, first), Ok(1000 + first as u64));
    others.for_each(|page| assert_eq!(bench.kernel.read(0, page), Ok(0)));
    bench.assert_nothing_left();

    let bench = Bench::new();
    // One pays for the first of these, another for the others.
    let mut kernel = Kernel::new(bench.swap, bench.memory, 1, 2 * PAGES);
    for page in 0..2 * PAGES {
        bench.memory.set_payer(3 + u8::from(page >= PAGES + 2));
        assert!(kernel.populate(0, page, 0, 7) && kernel.reclaim(0, page));
    }
    kernel.write_out();
    let entry = |page: usize| Entry::from_pte(kernel.tables[0][page]).unwrap();
    for first in 0..=PAGES {
        let payers: Vec<_> = (first..first + PAGES).map(|page| bench.swap.payer(entry(page))).collect();
        let is_one = payers.iter().all(|payer| *payer == payers[0]);
        assert_eq!(bench.swap.are_out_together(entry(first), PAGES as u32), is_one, "{payers:?}");
        if !is_one {
            let folios = [(); PAGES].map(|()| Fake::allocate_folio(0, FolioUse::Readahead(entry(first))).unwrap());
            assert!(bench.swap.fault_in_together(entry(first), folios).is_none());
        }
    }
    (0..2 * PAGES).for_each(|page| kernel.unmap(0, page));
    bench.assert_nothing_left();
}

#[test]
fn the_slots_of_what_is_written_go_and_those_of_what_is_read_stay_while_few_are_in_use() {
    for fill in [false, true] {
        let mut bench = Bench::new();
        let held: Vec<_> = (0..if fill { 300 } else { 0 }).map(|_| bench.swap.allocate(0).unwrap()).collect();
        let FaultInTogether { folios, .. } = bench.bring_in().unwrap();
        for (page, folio) in (bench.first..).zip(&folios) {
            let folio = folio.as_ref().unwrap();
            bench.kernel.tables[0][page] = FakeFolio::clone(folio).into_number() << 12 | 1;
        }
        let mut written = [true, false].into_iter().cycle();
        bench.swap.put_mapped_together(
            folios.each_ref().map(|folio| folio.as_ref().map(|folio| (folio, written.next() == Some(true)))),
        );
        let has_slot = folios.each_ref().map(|folio| folio.as_ref().unwrap().state().entry().is_some());
        assert_eq!(has_slot, [false, !fill, false, !fill]);
        drop((folios, held));
        bench.assert_nothing_left();
    }
}

#[test]
fn what_could_not_be_read_is_read_alone_by_its_fault() {
    let mut bench = Bench::new();
    let broken = bench.first + 2;
    bench.disk.broken.lock().unwrap().insert(bench.entry(broken).slot().into());
    let FaultInTogether { folios, .. } = bench.bring_in().unwrap();
    assert!(folios.iter().all(Option::is_none), "one request failed");
    bench.map(&folios);
    for page in bench.first..bench.first + PAGES {
        let expected = if page == broken { Err(Touch::BusError) } else { Ok(1000 + page as u64) };
        assert_eq!(bench.kernel.read(0, page), expected);
    }
    bench.assert_nothing_left();
}
