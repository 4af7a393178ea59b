//! For every n, the n-th allocation and the n-th request fail, and nothing is lost.

use quire_swap::{DecodedPte, POOL_BATCHES};

use quire_testkit::kernel::Kernel;
use quire_testkit::{Failing, FakeDisk, Memory, enable, new_swap};

const FRAMES: usize = 128;
const PAGES: usize = 96;

/// Which of the machine's services fails.
type Service = fn(&Memory) -> &Failing;

/// Pages of several sizes, shared ones with large counts among them, go out, come back, change and go, through `swapon`
/// and `swapoff`, while the `n`-th use of a service fails. True if so many uses were never made.
fn run(service: Service, n: u64) -> bool {
    let memory = Memory::new(FRAMES);
    let disk = FakeDisk::new("/dev/vda", 3 * 512);
    let swap = new_swap();
    service(memory).fail_nth(n);
    if enable(swap, &disk, None).is_err() {
        assert_eq!(enable(swap, &disk, None), Ok(0), "the next attempt succeeds");
    }
    let mut kernel = Kernel::new(swap, memory, 2, PAGES);
    let mut expected = vec![None; PAGES];
    for (page, order) in [(0, 0), (1, 0), (2, 1), (4, 2), (8, 3), (16, 4), (32, 0)] {
        if kernel.populate(0, page, order, 100 * page as u64 + 1) {
            for index in 0..1 << order {
                expected[page + index] = Some(100 * page as u64 + 1 + index as u64);
            }
        }
    }
    for page in 0..20 {
        if expected[32].is_some() {
            assert!(kernel.share((0, 32), (1, page)));
        }
    }
    let mut lost = 0;
    for round in 0..3 {
        kernel.max_order = if round == 1 { 4 } else { 0 };
        for page in 0..PAGES {
            kernel.reclaim(0, page);
        }
        kernel.write_out();
        for (page, expected) in expected.iter_mut().enumerate() {
            let Some(contents) = *expected else { continue };
            match kernel.read(0, page) {
                Ok(read) => assert_eq!(read, contents, "page {page}, {n}"),
                // Not now; the next attempt succeeds.
                Err(_) => lost += 1,
            }
            if round == 1 && page % 3 == 0 && kernel.write(0, page, contents + 50).is_ok() {
                *expected = Some(contents + 50);
            }
        }
    }
    assert!(lost <= 1, "one failure costs one access at most");
    for page in (0..PAGES).rev() {
        kernel.reclaim(0, page);
    }
    kernel.plug.submit();
    memory.run_all();
    if swap.swapoff(0, &mut kernel).is_err() {
        assert_eq!(swap.swapoff(0, &mut kernel), Ok(()), "the area kept working and is emptied now");
    }
    for (page, contents) in expected.iter().enumerate() {
        let word = kernel.pte(0, page);
        match contents {
            Some(contents) if matches!(word, DecodedPte::Present(_)) => {
                assert_eq!(kernel.read(0, page), Ok(*contents), "page {page}, {n}");
            }
            Some(_) => assert_eq!(kernel.poisoned, 1, "page {page} is {word:?}"),
            None => assert_eq!(word, DecodedPte::None),
        }
    }
    for page in 0..PAGES {
        kernel.unmap(0, page);
        kernel.unmap(1, page);
    }
    kernel.settle();
    assert_eq!((memory.free_frames(), swap.areas().count(), swap.idle_batches()), (FRAMES, 0, POOL_BATCHES), "{n}");
    service(memory).done() < n
}

fn every(service: Service, at_least: u64) {
    let uses = (1..1000).find(|&n| run(service, n)).expect("uses end") - 1;
    println!("{uses} times the n-th of {uses} failed");
    assert!(uses >= at_least, "{uses}");
}

#[test]
fn any_heap_allocation_may_fail() {
    every(|memory| &memory.heap, 10);
}

#[test]
fn any_frame_allocation_may_fail() {
    every(|memory| &memory.folios, 30);
}

#[test]
fn any_request_may_fail() {
    every(|memory| &memory.io, 10);
}
