//! What must hold for any bytes from outside. The normal tests feed these with random and damaged pages; `fuzz/` feeds
//! them with what a fuzzer finds.

use quire_swap::extension::{Extension, OPTIONS_MAX};
use quire_swap::header::{BAD_PAGES_MAX, Header, Medium, Page};
use quire_swap::{Extent, Extents, Machine};

/// A header is refused, or what it says keeps every rule and survives writing and reading.
pub fn header(page: &Page, medium: Medium) {
    let Ok(header) = Header::parse(page, medium) else { return };
    assert!(header.last_page > 0 && (medium.pages == 0 || u64::from(header.last_page) < medium.pages));
    assert!(header.bad_pages.len() <= BAD_PAGES_MAX as usize && (header.bad_pages.is_empty() || !medium.is_file));
    let mut bad: Vec<_> = header.bad_pages.iter().collect();
    assert!(bad.iter().all(|bad| (1..=header.last_page).contains(bad)));
    bad.sort_unstable();
    assert!(bad.windows(2).all(|pair| pair[0] != pair[1]) && bad.len() < header.last_page as usize);
    let mut again = *page;
    header.encode(&mut again).expect("what is accepted can be written");
    assert_eq!(Header::parse(&again, medium), Ok(header));
    assert_eq!(again[..1024], page[..1024], "the boot block is left alone");
}

/// An extension is refused or absent, or survives writing and reading.
pub fn extension(page: &Page) {
    let Ok(Some(extension)) = Extension::parse(page) else { return };
    assert!(extension.options.0.len() <= OPTIONS_MAX);
    for (key, value) in extension.options.iter() {
        assert!(!key.contains(['=', ',']) && !value.contains(','));
        assert!(extension.options.get(key).is_some());
    }
    let _ = extension.backend.to_string();
    let mut again = *page;
    extension.encode(&mut again).expect("what is accepted can be written");
    assert_eq!(Extension::parse(&again), Ok(Some(extension)));
}

/// Extents are refused, or cover every page once, in runs that no two neighbours could share.
pub fn extents<M: Machine>(extents: &[Extent]) {
    let Ok(tree) = Extents::new::<M>(extents) else { return };
    assert_eq!(tree.pages(), extents.iter().map(|extent| extent.pages).sum::<u64>());
    assert!(tree.len() <= extents.len());
    for extent in extents {
        for page in [extent.page, extent.page + extent.pages - 1] {
            assert_eq!(tree.disk_page(page), Some(extent.disk_page + (page - extent.page)));
        }
    }
    assert_eq!(tree.disk_page(tree.pages()), None);
    let runs: Vec<_> = tree.runs(0..tree.pages()).collect();
    assert_eq!(runs.iter().map(|run| run.end - run.start).sum::<u64>(), tree.pages());
    assert!(runs.windows(2).all(|pair| pair[0].end != pair[1].start));
}
