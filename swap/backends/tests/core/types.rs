//! What a header and `swapon` can say, and what refuses the area.

use std::sync::Arc;

use quire_swap::extension::{BackendOptions, TypeName};
use quire_swap::{
    AllocateError, BackendError, Disk, DiskProperties, Folio, FolioFlag, Plug, SwapOnError, SwapOnOptions, Written,
};

use crate::typed::{counts, enable, make, swap_with_types};
use quire_testkit::{FakeDisk, Memory, lock, model, new_folio};

fn name(name: &str) -> TypeName {
    TypeName::new(name).unwrap()
}

#[test]
fn each_type_takes_its_options_and_those_of_the_backend_below() {
    let memory = Memory::new(0);
    for (backend, options, usable) in [
        ("log", "", 85),
        ("log", "reserve=50", 50),
        ("log", "reserve=5,synchronous=auto", 95),
        ("log", "segment=64,reserve=20", 80),
        ("crypt", "", 101),
        ("crypt", "synchronous=no", 101),
        ("crypt", "over=block", 101),
        ("crypt", "over=log,reserve=20", 80),
        ("crypt", "over=log,segment=64,synchronous=auto", 85),
    ] {
        let swap = swap_with_types();
        // The first segment is the header's.
        let index = enable(swap, &FakeDisk::new("/dev/vda", 101 * 512), backend, options).unwrap();
        let percent = swap.area(index).unwrap().usable().div_ceil(512);
        assert!(percent == usable || usable < 101 && percent == usable + 1, "{backend} {options}: {percent}");
        memory.forget();
    }
}

#[test]
fn what_is_not_known_refuses_the_area_and_is_named() {
    let memory = Memory::new(0);
    let swap = swap_with_types();
    for (backend, options, error) in [
        ("logs", "", BackendError::UnknownType(name("logs"))),
        ("log", "reserve=4", BackendError::Option(name("reserve"))),
        ("log", "reserve=51", BackendError::Option(name("reserve"))),
        ("log", "reserve=", BackendError::Option(name("reserve"))),
        ("log", "segment=16", BackendError::Option(name("segment"))),
        ("log", "segment=96", BackendError::Option(name("segment"))),
        ("log", "over=block", BackendError::Option(name("over"))),
        ("log", "segments=64", BackendError::Option(name("segments"))),
        ("crypt", "over=crypt", BackendError::Option(name("over"))),
        ("crypt", "over=", BackendError::UnknownType(name(""))),
        ("crypt", "over=packed", BackendError::UnknownType(name("packed"))),
        ("crypt", "reserve=20", BackendError::Option(name("reserve"))),
        ("crypt", "over=log,reserve=99", BackendError::Option(name("reserve"))),
        ("crypt", "key=secret", BackendError::Option(name("key"))),
    ] {
        let disk = FakeDisk::new("/dev/vda", 20 * 512);
        assert_eq!(enable(swap, &disk, backend, options), Err(SwapOnError::Backend(error)), "{backend} {options}");
        assert!(memory.logged(&error.to_string()));
    }
    let bad = FakeDisk::with("/dev/vda", 20 * 512, DiskProperties::default(), &[7, 9]);
    assert_eq!(enable(swap, &bad, "log", ""), Err(SwapOnError::Backend(BackendError::BadPages(2))));
    assert!(memory.logged("nr_badpages is 2"));
    assert_eq!(enable(swap, &bad, "crypt", ""), Ok(0), "a bad page is none of its business");
    let small = FakeDisk::new("/dev/vdb", 9 * 512 - 1);
    let too_small = BackendError::TooSmall { pages: 9 * 512 - 1, least: 9 * 512 };
    assert_eq!(enable(swap, &small, "log", ""), Err(SwapOnError::Backend(too_small)));
    assert!(memory.logged("last_page 4606 is too small"));
}

#[test]
fn swapon_changes_options_of_any_backend_of_a_stack() {
    Memory::new(0);
    for (overrides, expected) in [
        ("over=log,reserve=50", Ok(50)),
        ("over=log,reserve=0", Err(BackendError::Option(name("reserve")))),
        ("shape=round", Err(BackendError::NotOverridable(name("shape")))),
    ] {
        let swap = swap_with_types();
        let disk = FakeDisk::new("/dev/vda", 101 * 512);
        make(&disk, "crypt", "over=block");
        let disk: Arc<dyn Disk<_>> = disk;
        let options = SwapOnOptions { backend: BackendOptions(overrides), ..SwapOnOptions::default() };
        let enabled = swap.swapon(&disk, options).map(|index| swap.area(index).unwrap().usable() / 512);
        assert_eq!(enabled, expected.map_err(SwapOnError::Backend), "{overrides}");
    }
}

#[test]
fn slots_are_for_single_pages_and_for_no_other_area() {
    Memory::new(0);
    for (backend, options) in [("log", ""), ("crypt", ""), ("crypt", "over=log")] {
        let swap = swap_with_types();
        enable(swap, &FakeDisk::new("/dev/vda", 20 * 512), backend, options).unwrap();
        let refused = (swap.allocate(1).err(), swap.allocate_on_disk(0).err());
        assert_eq!(refused, (Some(AllocateError::Full), Some(AllocateError::Full)), "{backend} {options}");
        assert!(swap.allocate(0).is_ok());
    }
}

#[test]
fn a_page_that_became_zero_is_dead_in_the_log_below() {
    let memory = Memory::new(8);
    let swap = swap_with_types();
    enable(swap, &FakeDisk::new("/dev/vda", 20 * 8), "crypt", "over=log,segment=32").unwrap();
    let folio = new_folio(0, 5).unwrap();
    let held = swap.hold_in_swap(&lock(&folio)).unwrap();
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Queued));
    plug.submit();
    memory.run_all();
    assert!(!folio.state().is(FolioFlag::Dirty));
    assert_eq!(counts(swap, 0)["log_pages_live"], 1);
    folio.fill(0, 0);
    folio.state().set_written();
    assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Zero(_)));
    assert_eq!(counts(swap, 0)["log_pages_live"], 0);
    drop(held);
}

#[test]
fn without_memory_no_area_appears_and_nothing_is_lost() {
    let memory = Memory::new(0);
    for nth in 1.. {
        let swap = swap_with_types();
        let disk = FakeDisk::new("/dev/vda", 20 * 512);
        memory.heap.fail_nth(nth);
        let enabled = enable(swap, &disk, "crypt", "over=log");
        memory.heap.fail_nth(0);
        match enabled {
            Ok(_) => break,
            Err(error) => assert_eq!(error, SwapOnError::NoMemory, "allocation {nth}"),
        }
        assert_eq!(enable(swap, &disk, "crypt", "over=log"), Ok(0));
    }
}

#[test]
fn typed_areas_do_what_the_model_says() {
    let seen = model::compare(|| {
        let disk = |name, pages, synchronous, backend, options| {
            let properties = DiskProperties { synchronous, discard: true, ..DiskProperties::default() };
            let disk = FakeDisk::with(name, pages, properties, &[]);
            make(&disk, backend, options);
            disk
        };
        let disks = vec![
            disk("/dev/vda", 70, false, "crypt", ""),
            // So small that it is cleaned again and again.
            disk("/dev/vdb", 14 * 8, false, "log", "segment=32"),
            disk("/dev/ram", 20 * 8, true, "crypt", "over=log,segment=32"),
        ];
        (swap_with_types(), disks)
    });
    // The numbers of pages out and in, of zero pages, and of failures.
    assert!(seen.first_of_all(6), "what did not happen was not tested: {seen:?}");
}
