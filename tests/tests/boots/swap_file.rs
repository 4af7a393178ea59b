//! Swap files on an ext4 that Linux made, and that it finds in order afterwards.

use quire_tests::{Image, Run, ext4};

/// What `tests/guest/swapfile.sh` expects.
fn contents() -> ext4::Contents {
    const FOUR: u64 = 4 << 20;
    ext4::Contents::new()
        .file("hello", b"written by Linux\n")
        .swap("made", FOUR, 4 << 20, FOUR)
        .swap("short", FOUR, 2 << 20, FOUR / 2)
        .swap("holes", FOUR, 2 << 20, FOUR)
}

fn script(options: &[&str]) {
    let Some(image) = ext4::ext4(24 << 10, &contents(), options) else { return };
    let empty = Image::empty(256);
    let machine = image.machine().disk(empty.disk());
    Run::script("swapfile", machine).figures().require_at_least("steps", 58);
    ext4::require_clean(&image);
}

#[test]
fn a_file_of_linuxs_file_system_is_a_swap_area_and_the_file_system_stays_whole() {
    script(&["-b", "4096"]);
}

#[test]
fn blocks_may_be_smaller_than_pages_and_there_may_be_no_journal() {
    if !quire_tests::are_long() {
        return eprintln!("skipped: QUIRE_TESTS=long does all of it again on such a file system");
    }
    script(&["-b", "2048", "-O", "^has_journal"]);
}
