//! Swap headers that lie are refused with EINVAL and a line that names the field; those that only look unusual work.

use quire_swap::header::Page;
use quire_tests::{
    Image, Run,
    image::{header, offset, set},
};

/// The last page of every image here, which has one page more.
const LAST_PAGE: u32 = 4095;

/// A disk whose good header, with two bad pages, was changed by `damage`, is refused for the reason `why`.
fn refused(damage: impl FnOnce(&mut Page), why: &str) {
    let mut page = header(LAST_PAGE, &[7, 9]);
    damage(&mut page);
    let run = Run::new("swapon", Image::with_header(u64::from(LAST_PAGE) + 1, &page).machine());
    let expected = format!("swapon /dev/vda: EINVAL: swap header refused: {why}");
    run.require(run.failure() == expected, &format!("it was not refused with \"{expected}\""));
    run.require(run.lines_with("adding ").next().is_none(), "it was enabled all the same");
}

/// A disk with this header is enabled and offers `usable` pages.
fn accepted(page: &Page, usable: u64) {
    let run = Run::new("swapon", Image::with_header(u64::from(LAST_PAGE) + 1, page).machine());
    run.figures().require_exactly("pages", usable);
}

#[test]
fn another_magic() {
    refused(|page| page[offset::MAGIC..].copy_from_slice(b"SWAP-SPACE"), "magic is \"SWAP-SPACE\", not SWAPSPACE2");
}

#[test]
fn another_version() {
    refused(|page| set(page, offset::VERSION, 2), "version 2 is not supported, only 1");
}

#[test]
fn a_last_page_beyond_the_device() {
    refused(|page| set(page, offset::LAST_PAGE, LAST_PAGE + 1), "last_page 4096 is beyond the device of 4096 pages");
}

#[test]
fn an_area_without_pages() {
    refused(|page| set(page, offset::LAST_PAGE, 0), "last_page is 0: the swap area is empty");
}

#[test]
fn the_header_as_bad_page() {
    refused(|page| set(page, offset::BAD_PAGES, 0), "badpages lists page 0, the header");
}

#[test]
fn a_bad_page_beyond_the_end() {
    refused(|page| set(page, offset::BAD_PAGES, 4096), "badpages lists page 4096, beyond last_page 4095");
}

#[test]
fn a_bad_page_twice() {
    refused(|page| set(page, offset::BAD_PAGES, 9), "badpages lists page 9 twice");
}

#[test]
fn more_bad_pages_than_there_is_room_for() {
    refused(|page| set(page, offset::BAD_PAGE_COUNT, 638), "nr_badpages 638 is more than 637");
}

#[test]
fn as_many_bad_pages_as_there_is_room_for() {
    let bad: Vec<u32> = (1..=637).map(|number| number * 6).collect();
    accepted(&header(LAST_PAGE, &bad), u64::from(LAST_PAGE) - 637);
}

#[test]
fn a_header_of_a_big_endian_machine() {
    let mut page = header(LAST_PAGE, &[7, 900]);
    for number in [offset::VERSION, offset::LAST_PAGE, offset::BAD_PAGE_COUNT, offset::BAD_PAGES, offset::BAD_PAGES + 4]
    {
        page[number..number + 4].reverse();
    }
    accepted(&page, u64::from(LAST_PAGE) - 2);
}
