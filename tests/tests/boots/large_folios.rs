//! Folios of 64 KiB on each kind of area: every byte comes back, and frames and slots are where they were.

use quire_boot::{Disk, Machine, Size};
use quire_swap::extension::{BackendOptions, Extension, TypeName};
use quire_tests::{Image, Run, image};

fn machine() -> Machine {
    Machine::new().memory(Size::mebibytes(32))
}

/// Pages are filled, gone through and touched anywhere, with large folios and without.
fn phases(words: &str, machine: Machine) -> Run {
    Run::new(&format!("large-folios {words}"), machine)
}

#[test]
fn they_leave_whole_and_come_back_whole() {
    let run = phases("swapon=/dev/vda", machine().disk(Disk::swap(Size::mebibytes(128))));
    let figures = run.figures();
    figures.require_at_least("swpout", 16);
    figures.require_at_least("swpin", 1);
    let [small, large] = ["never", "always"].map(|setting| figures.number(&format!("fill_{setting}_faults")));
    run.require(large * 2 < small, &format!("{large} faults filled memory, and {small} with small folios"));
    // How fast the disk is decides how many pages are gathered when a request goes.
    require_lengths(&run, 3, 4);
}

/// With large folios a request has at least so large a part of the pages that it has without them.
#[track_caller]
fn require_lengths(run: &Run, part: u64, whole: u64) {
    let figures = run.figures();
    let fill = |setting| ["written", "writes"].map(|what| figures.number(&format!("fill_{setting}_{what}")));
    let ([small, by_small], [large, by_large]) = (fill("never"), fill("always"));
    let told = format!("{by_large} requests wrote {large} pages, and {by_small} wrote {small} with small folios");
    run.require(large * by_small * whole >= small * by_large * part, &told);
}

#[test]
fn memory_compressed_into_itself_takes_them_whole() {
    let run = phases("zram0.disksize=128M swapon=/dev/zram0", machine());
    run.figures().require_at_least("swpout", 1);
    run.figures().require_at_least("swpin", 1);
    require_lengths(&run, 1, 1);
}

#[test]
fn an_encrypted_disk_gives_every_byte_back() {
    let mut page = image::header(32 * 1024 - 1, &[]);
    let backend = TypeName::new("crypt").unwrap();
    Extension { backend, version: TypeName::USUAL_VERSION, options: BackendOptions("") }.encode(&mut page).unwrap();
    let image = Image::of(&page);
    let run = Run::new("swap contents=mix thp_anon=64K:always", image.machine().memory(Size::mebibytes(32)));
    run.figures().require_at_least("swapped_out", 1000);
    phases("swapon=/dev/vda", image.machine().memory(Size::mebibytes(32)));
}

/// Two tasks with contents of all kinds, of whose pages every byte is compared; the areas leave under load.
fn layers(words: &str) -> Run {
    let disk = Disk::swap(Size::mebibytes(128));
    let words = format!("ghost load=180 thp_anon=64K:always zswap.enabled=1 {words}");
    let run = Run::new(&words, machine().disk(disk));
    run.figures().require_at_least("zswpout", 1000);
    run.figures().require_at_least("zswpin", 1);
    run.figures().require_exactly("killed", 0);
    run
}

#[test]
fn they_go_through_zswap_to_a_disk() {
    layers("zswap.shrinker_enabled=1 off=0 swapon=/dev/vda");
}

#[test]
fn they_go_to_a_ghost_area_and_on_to_a_disk() {
    layers("off=0,1 swapon=/dev/ghostswap,10 swapon=/dev/vda");
}
