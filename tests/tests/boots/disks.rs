//! The disk driver on disks of every kind that QEMU has.

use quire_boot::{Disk, Machine, Size};
use quire_tests::{Image, Run, image};

#[test]
fn requests_are_scattered_many_and_bounded_and_discard_reaches_the_image() {
    const DISCARDED: usize = 1 << 20;
    let image = Image::empty(1024);
    image.write(0, &vec![0xaa; 2 * DISCARDED]);
    let run = Run::new("disk", image.machine());
    run.figures().require_exactly("read_only", 0);
    run.figures().require_at_least("max_in_flight", 2);
    let transfers = run.figures().number("transfers");
    run.figures().require_at_least("segments", transfers + 60);
    let after = image.read();
    run.require(after[..DISCARDED].iter().all(|&byte| byte == 0), "discarded sectors hold data");
    run.require(after[DISCARDED..2 * DISCARDED].iter().all(|&byte| byte == 0xaa), "other sectors were changed");
}

#[test]
fn a_read_only_disk_stays_as_it_is() {
    let image = Image::of(&image::header(255, &[]));
    let before = image.read();
    let run = Run::new("disk", Machine::new().disk(image.disk().read_only()));
    run.figures().require_exactly("read_only", 1);
    run.require(image.read() == before, "the image was changed");
}

#[test]
fn a_read_only_disk_is_no_swap_disk() {
    let image = Image::of(&image::header(255, &[]));
    let run = Run::new("swapon", Machine::new().disk(image.disk().read_only()));
    run.require(run.failure().contains("read-only"), "it does not say why");
}

#[test]
fn a_slow_disk_only_takes_longer() {
    let slow = Disk::swap(Size::mebibytes(64)).options("throttling.iops-total=300");
    let run = Run::new("swap contents=text", Machine::new().memory(Size::mebibytes(16)).disk(slow));
    run.figures().require_at_least("swapped_out", 1000);
}

#[test]
fn a_disk_smaller_than_a_page_is_refused() {
    let image = Image::empty(0);
    image.write(0, &[0; 512]);
    let run = Run::new("swapon", image.machine());
    run.require(
        run.failure().contains("/dev/vda: EINVAL: swap header refused: the device is shorter than a header"),
        "it does not say why",
    );
}
