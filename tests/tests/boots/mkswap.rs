//! Disks made by util-linux's `mkswap`: used as they are, and afterwards still what they were for other programs.

use quire_boot::Size;
use quire_swap::header::PAGE_SIZE;
use quire_tests::{
    Image, Run,
    image::{header, offset},
};

const PAGES: u64 = 32 * 1024;
const LABEL: &str = "quire-test";
const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn image() -> Image {
    Image::made_by_mkswap(PAGES, &["--label", LABEL, "--uuid", UUID])
}

fn swap_on(image: &Image) -> Run {
    Run::new("swap contents=text", image.machine().memory(Size::mebibytes(32)))
}

#[test]
fn a_used_area_keeps_its_label_and_uuid() {
    let image = image();
    let run = swap_on(&image);
    run.figures().require_at_least("swapped_out", 1000);
    for (program, options) in [("swaplabel", &[][..]), ("blkid", &["-p"])] {
        let found = image.util_linux(program, options);
        run.require(found.contains(LABEL) && found.contains(UUID), &format!("{program} reads: {found}"));
    }
}

#[test]
fn bad_pages_and_header_are_never_written() {
    /// What the bad pages hold.
    const UNTOUCHED: [u8; PAGE_SIZE] = [0xbd; PAGE_SIZE];
    // Pages that would be used early: the first ones, some in a row, and the first of a cluster.
    let bad: Vec<u32> = [1, 2, 3, 40, 100, 511, 512, 513, 1024].into_iter().chain(600..700).collect();

    let image = image();
    // `mkswap` lists bad pages only where the disk has some: these are put into its header as it would.
    let with_bad_pages = header(PAGES as u32 - 1, &bad);
    let (count, list) = (offset::BAD_PAGE_COUNT, offset::BAD_PAGES);
    image.write(count as u64, &with_bad_pages[count..count + 4]);
    image.write(list as u64, &with_bad_pages[list..offset::MAGIC]);
    for &page in &bad {
        image.write(u64::from(page) * PAGE_SIZE as u64, &UNTOUCHED);
    }
    let before = image.read();

    let run = swap_on(&image);
    let after = image.read();
    let (pages_before, _) = before.as_chunks::<PAGE_SIZE>();
    let (pages_after, _) = after.as_chunks::<PAGE_SIZE>();
    run.figures().require_at_least("swapped_out", 1000);
    run.require(pages_after[0] == pages_before[0], "the header was changed");
    for page in bad {
        run.require(pages_after[page as usize] == UNTOUCHED, &format!("bad page {page} was written"));
    }
    // The bad pages lie where pages were written, so that it means something that they were not.
    let changed = pages_after.iter().zip(pages_before).filter(|(after, before)| after != before).count();
    run.require(changed >= 2000, "too few pages were written");
}

#[test]
fn an_area_for_another_page_size_is_refused() {
    let image = Image::made_by_mkswap(PAGES, &["--pagesize", "8192"]);
    let run = Run::new("swapon", image.machine());
    run.require(run.failure().contains("EINVAL: swap header refused: magic"), "it does not name the field");
}

#[test]
fn a_whole_area_is_discarded_when_that_is_asked_for() {
    let image = Image::made_by_mkswap(4096, &[]);
    image.write(PAGE_SIZE as u64, &vec![0xaa; 4095 * PAGE_SIZE]);
    let before = image.read();
    let run = Run::new("swapon swapon=/dev/vda,discard=once", image.machine());
    run.figures().require_exactly("pages", 4095);
    let after = image.read();
    run.require(after[..PAGE_SIZE] == before[..PAGE_SIZE], "the header was changed");
    run.require(after[PAGE_SIZE..].iter().all(|&byte| byte == 0), "pages hold data after the discard");
}

#[test]
fn a_wrong_option_of_swapon_is_named() {
    let run = Run::new("swapon swapon=/dev/vda,banana", Image::made_by_mkswap(4096, &[]).machine());
    run.require(run.failure().contains("swapon=/dev/vda,banana: expected "), "it does not name the option");
}
