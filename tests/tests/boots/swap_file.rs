//! Swap files on an ext4 that Linux made, and that it finds in order afterwards.

use std::{collections::BTreeSet, fs::File, os::unix::fs::FileExt};

use quire_swap::header::PAGE_SIZE;
use quire_tests::{Image, Run, ext4, image::offset};

use crate::terminal::Shell;

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
    Run::script("swapfile", machine).figures().require_at_least("steps", 59);
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

/// Where the swap file with this label begins on the image.
fn place_of(label: &[u8], image: &Image) -> u64 {
    /// Linux: `volume_name`.
    const LABEL: usize = 1024 + 28;
    let bytes = image.read();
    let is_header = |page: &[u8]| page[offset::MAGIC..].starts_with(b"SWAPSPACE2") && page[LABEL..].starts_with(label);
    let page = bytes.chunks_exact(PAGE_SIZE).position(is_header).expect("the header is on the image");
    (page * PAGE_SIZE) as u64
}

/// Flips one bit of a page of the image.
fn flip(image: &Image, page: u64, slot: u64) {
    let file = File::options().read(true).write(true).open(image.path()).unwrap();
    let (place, mut byte) = (page + slot * 37 % PAGE_SIZE as u64, [0]);
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (slot % 8)], place).unwrap();
}

/// The number behind the last `words` of a text.
#[track_caller]
fn number_after(said: &str, words: &str) -> usize {
    let number = said.rsplit_once(words).and_then(|(_, rest)| {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    });
    number.unwrap_or_else(|| panic!("no number behind {words:?} in:\n{said}"))
}

/// Has the guest swap pages to the file, which is encrypted, and flips a bit of every so many slots when they are there; which slots
/// those were, how many pages were lost, and what the guest has said.
fn flip_under(shell: &mut Shell, image: &Image, every: usize) -> (BTreeSet<u64>, usize, String) {
    shell.does("/bin/mkswap -L host-flips --type crypt /mnt/secret", "Setting up");
    shell.does("swapon /mnt/secret && dmesg | grep /mnt/secret", "1 extent across");
    // What is pushed out may be a page of the shell as well, which stays out.
    shell.types("check --beside changed-by-host\r");
    let said = shell.sees("Change some");
    let (start, slots) = (place_of(b"host-flips", image), number_after(&said, "slots in use: ") as u64);
    let flipped: BTreeSet<u64> = (1..=slots).step_by(every).collect();
    for slot in &flipped {
        flip(image, start + slot * PAGE_SIZE as u64, *slot);
    }
    shell.types("\r");
    let said = shell.ends_command();
    let [right, lost, wrong] = ["right=", "lost=", "wrong="].map(|words| number_after(&said, words));
    println!("{} slots of {slots} flipped: {right} pages right, {lost} lost, {wrong} wrong", flipped.len());
    assert!(said.contains("quire: check ok checks=1") && wrong == 0, "the check failed:\n{said}");
    shell.does("swapoff /mnt/secret && echo swapp''ed", "swapped");
    (flipped, lost, said)
}

/// The numbers behind `words` in all lines that have them.
fn slots_after(said: &str, words: &str) -> BTreeSet<u64> {
    said.lines().filter(|line| line.contains(words)).map(|line| number_after(line, words) as u64).collect()
}

/// `crypt` over a swap file, while the host flips bits in the image under the running guest: no page comes back wrong, and each that was
/// changed costs the one task that needs it, with a line that names the slot.
#[test]
fn bits_that_the_host_flips_in_an_encrypted_swap_file_cost_a_task_each_and_no_byte_is_wrong() {
    const BYTES: u64 = 8 << 20;
    const FAILED: &str = "read from /mnt/secret failed at slot ";
    let contents = ext4::Contents::new().swap("secret", BYTES, BYTES as usize, BYTES);
    let Some(image) = ext4::ext4(8 << 10, &contents, &["-b", "4096"]) else { return };
    let mut shell = Shell::start_with(&["--memory", "48M", "--disk", image.path().to_str().unwrap()]);
    shell.does("mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && echo mount''ed", "mounted");

    // So few that the log, which has a limit, has room for all their lines.
    let (flipped, lost, said) = flip_under(&mut shell, &image, 300);
    assert_eq!(slots_after(&said, FAILED), flipped, "not every slot has a line:\n{said}");
    let ended = said.lines().filter(|line| line.contains(": SIGBUS at ")).count();
    assert_eq!((lost, ended), (flipped.len(), flipped.len()), "not one task for each:\n{said}");

    let (flipped, lost, said) = flip_under(&mut shell, &image, 25);
    assert_eq!(lost, flipped.len(), "not one task for each:\n{said}");
    assert!(slots_after(&said, FAILED).is_subset(&flipped), "others failed than {flipped:?}:\n{said}");

    shell.does("umount /mnt && echo unmount''ed", "unmounted");
    shell.leave();
    ext4::require_clean(&image);
}
