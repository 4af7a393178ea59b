//! The model beside areas on disks of the kinds that there are.

use quire_swap::DiskProperties;

use quire_testkit::model::{Setup, compare};
use quire_testkit::pieces::PIECE;
use quire_testkit::{FakeDisk, new_swap};

/// Disks of the kinds that there are, used by the block backend.
fn plain() -> Setup {
    let with = |name: &str, pages, properties, bad: &[u32]| FakeDisk::with(name, pages, properties, bad);
    let disks = vec![
        with("/dev/vda", 70, DiskProperties { discard: true, ..DiskProperties::default() }, &[5]),
        with("/dev/vdb", 1200, DiskProperties { discard: true, ..DiskProperties::default() }, &[]),
        with("/dev/ram", 600, DiskProperties { synchronous: true, ..DiskProperties::default() }, &[]),
    ];
    (new_swap(), disks)
}

#[test]
fn the_core_does_what_the_model_says() {
    let seen = compare(plain);
    assert!(seen.all(), "what did not happen was not tested: {seen:?}");
}

/// Files on them, in some hundred pieces and in a few.
fn files() -> Setup {
    let with = |name: &str, pieces| {
        FakeDisk::with(name, 1 + PIECE * pieces, DiskProperties { discard: true, ..DiskProperties::default() }, &[])
    };
    (new_swap(), vec![with("/mnt/small", 9), with("/mnt/large", 170), with("/mnt/usual", 80)])
}

#[test]
fn files_in_pieces_do_what_the_model_says() {
    let seen = compare(files);
    // That a cluster of such a file gets empty and is discarded is too rare to be asked for.
    assert!(seen.first_of_all(8), "what did not happen was not tested: {seen:?}");
}
