//! The header: round trips, every refusal, and the byte order of the other half of the world.

use quire_swap::header::{BAD_PAGES_MAX, BadPages, Header, HeaderError, Medium, PAGE_SIZE, Page};

const DISK: Medium = Medium { pages: 1000, is_file: false };

fn header(last_page: u32, bad_pages: &[u32]) -> Header<'_> {
    Header {
        last_page,
        uuid: *b"0123456789abcdef",
        label: *b"label\0\0\0\0\0\0\0\0\0\0\0",
        bad_pages: BadPages::new(bad_pages),
    }
}

fn encoded(last_page: u32, bad_pages: &[u32]) -> Page {
    let mut page = [0; PAGE_SIZE];
    header(last_page, bad_pages).encode(&mut page).unwrap();
    page
}

fn set(page: &mut Page, offset: usize, value: u32) {
    page[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

fn refusal(page: &Page) -> HeaderError {
    Header::parse(page, DISK).unwrap_err()
}

#[test]
fn what_is_encoded_is_parsed() {
    let bad = [7, 3, 999];
    assert_eq!(Header::parse(&encoded(999, &bad), DISK), Ok(header(999, &bad)));
    let most: Vec<u32> = (1..=BAD_PAGES_MAX).collect();
    assert_eq!(BAD_PAGES_MAX, 637);
    assert_eq!(Header::parse(&encoded(999, &most), DISK), Ok(header(999, &most)));
}

#[test]
fn fields_lie_where_linux_looks_for_them() {
    let mut page = [0xa5; PAGE_SIZE];
    header(0x0102_0304, &[0x0a0b]).encode(&mut page).unwrap();
    assert!(page[..1024].iter().all(|&byte| byte == 0xa5), "the boot block is not ours");
    assert_eq!(page[1024..1036], [1, 0, 0, 0, 4, 3, 2, 1, 1, 0, 0, 0]);
    assert_eq!(&page[1036..1052], b"0123456789abcdef");
    assert_eq!(&page[1052..1058], b"label\0");
    assert!(page[1068..1536].iter().all(|&byte| byte == 0));
    assert_eq!(page[1536..1544], [0x0b, 0x0a, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&page[4086..], b"SWAPSPACE2");
}

#[test]
fn a_byte_swapped_header_reads_the_same() {
    let mut page = encoded(999, &[7, 300]);
    for offset in [1024, 1028, 1032, 1536, 1540] {
        page[offset..offset + 4].reverse();
    }
    assert_eq!(Header::parse(&page, DISK), Ok(header(999, &[7, 300])));
    page[1032..1036].copy_from_slice(&638_u32.to_be_bytes());
    assert_eq!(refusal(&page), HeaderError::TooManyBadPages(638));
    page[1028..1032].fill(0);
    assert_eq!(refusal(&page), HeaderError::TooManyBadPages(638), "these are looked at first in this order of bytes");
}

#[test]
fn each_broken_rule_is_named() {
    let good = encoded(999, &[]);
    let broken = |offset, value| {
        let mut page = good;
        set(&mut page, offset, value);
        refusal(&page)
    };
    let mut old = good;
    old[4086..].copy_from_slice(b"SWAP-SPACE");
    assert_eq!(refusal(&old), HeaderError::Magic(*b"SWAP-SPACE"));
    assert_eq!(broken(1024, 2), HeaderError::Version(2));
    assert_eq!(broken(1028, 0), HeaderError::Empty);
    assert_eq!(broken(1028, 1000), HeaderError::BeyondDevice { last_page: 1000, device_pages: 1000 });
    assert_eq!(broken(1032, 638), HeaderError::TooManyBadPages(638));
    assert_eq!(broken(1032, u32::MAX), HeaderError::TooManyBadPages(u32::MAX));
    assert_eq!(broken(1032, 1), HeaderError::BadPageIsHeader);

    let mut page = encoded(999, &[5, 6]);
    set(&mut page, 1540, 1000);
    assert_eq!(refusal(&page), HeaderError::BadPageBeyondEnd { page: 1000, last_page: 999 });
    set(&mut page, 1540, 5);
    assert_eq!(refusal(&page), HeaderError::BadPageTwice(5));
    assert_eq!(
        Header::parse(&encoded(999, &[5]), Medium { pages: 1000, is_file: true }),
        Err(HeaderError::BadPagesOnFile(1))
    );
    let mut page = encoded(2, &[1]);
    set(&mut page, 1032, 2);
    set(&mut page, 1540, 2);
    assert_eq!(refusal(&page), HeaderError::NothingUsable { last_page: 2 });
}

#[test]
fn a_device_of_unknown_or_larger_size_is_accepted() {
    for pages in [0, 1000, 1001, u64::MAX] {
        assert!(Header::parse(&encoded(999, &[]), Medium { pages, is_file: false }).is_ok(), "{pages}");
    }
    let whole = Medium { pages: 1 << 32, is_file: false };
    assert_eq!(Header::parse(&encoded(u32::MAX, &[]), whole).unwrap().last_page, u32::MAX);
}

#[test]
fn nothing_is_encoded_that_would_be_refused() {
    let many: Vec<u32> = (1..=BAD_PAGES_MAX + 1).collect();
    let mut page = [0; PAGE_SIZE];
    assert_eq!(header(999, &many).encode(&mut page), Err(HeaderError::TooManyBadPages(638)));
    assert_eq!(header(0, &[]).encode(&mut page), Err(HeaderError::Empty));
    assert_eq!(header(9, &[3, 3]).encode(&mut page), Err(HeaderError::BadPageTwice(3)));
    assert_eq!(page, [0; PAGE_SIZE]);
}
