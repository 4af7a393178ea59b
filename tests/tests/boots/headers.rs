//! Swap headers that lie are refused with EINVAL and a line that names the field; those that only look unusual work. One machine has
//! them all.

use quire_boot::Machine;
use quire_swap::header::Page;
use quire_tests::{
    Image, Run,
    image::{header, offset, set},
};

/// The last page of every image here, which has one page more.
const LAST_PAGE: u32 = 4095;

/// What is changed in a good header with two bad pages, and why it is refused then.
type Damage = (fn(&mut Page), &'static str);

const REFUSED: [Damage; 8] = [
    (|page| page[offset::MAGIC..].copy_from_slice(b"SWAP-SPACE"), "magic is \"SWAP-SPACE\", not SWAPSPACE2"),
    (|page| set(page, offset::VERSION, 2), "version 2 is not supported, only 1"),
    (|page| set(page, offset::LAST_PAGE, LAST_PAGE + 1), "last_page 4096 is beyond the device of 4096 pages"),
    (|page| set(page, offset::LAST_PAGE, 0), "last_page is 0: the swap area is empty"),
    (|page| set(page, offset::BAD_PAGES, 0), "badpages lists page 0, the header"),
    (|page| set(page, offset::BAD_PAGES, 4096), "badpages lists page 4096, beyond last_page 4095"),
    (|page| set(page, offset::BAD_PAGES, 9), "badpages lists page 9 twice"),
    (|page| set(page, offset::BAD_PAGE_COUNT, 638), "nr_badpages 638 is more than 637"),
];

/// As many bad pages as there is room for.
fn all_bad_pages() -> Page {
    let bad: Vec<u32> = (1..=637).map(|number| number * 6).collect();
    header(LAST_PAGE, &bad)
}

fn of_a_big_endian_machine() -> Page {
    let mut page = header(LAST_PAGE, &[7, 900]);
    for number in [offset::VERSION, offset::LAST_PAGE, offset::BAD_PAGE_COUNT, offset::BAD_PAGES, offset::BAD_PAGES + 4]
    {
        page[number..number + 4].reverse();
    }
    page
}

#[test]
fn headers_that_lie_are_refused_by_field_and_unusual_ones_work() {
    let damaged = REFUSED.map(|(damage, _)| {
        let mut page = header(LAST_PAGE, &[7, 9]);
        damage(&mut page);
        page
    });
    let headers = damaged.into_iter().chain([all_bad_pages(), of_a_big_endian_machine()]);
    let images: Vec<Image> = headers.map(|page| Image::with_header(u64::from(LAST_PAGE) + 1, &page)).collect();
    let machine = images.iter().fold(Machine::new(), |machine, image| machine.disk(image.disk()));

    let run = Run::script("headers", machine);
    for ((_, why), letter) in REFUSED.iter().zip('a'..) {
        let expected = format!("/dev/vd{letter}: swap header refused: {why}");
        run.require(run.lines_with(&expected).next().is_some(), &format!("it does not say \"{expected}\""));
    }
    run.figures().require_exactly("steps", REFUSED.len() as u64 + 5);
}
