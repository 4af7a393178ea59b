//! The end of writes of folios.

use arrayvec::ArrayVec;
use quire_swap::{Folio as _, IoError, Locked};

use crate::folio::{self, BATCH_PAGES, Folio, FolioBatch};
use crate::{lru, page_out, progress};

/// Ends the writes of up to a batch of folios, in the thread that completes their area's requests.
pub fn writes_ended(folios: impl Iterator<Item = Folio>, result: Result<(), IoError>) {
    let mut clean = ArrayVec::<Locked<Folio>, BATCH_PAGES>::new();
    let mut gone = FolioBatch::new();
    let mut count = 0;
    for folio in folios {
        count += 1;
        match result {
            Err(_) => {
                progress::write_failed();
                lru::refused(&folio);
            }
            // Its slot went meanwhile: it is mapped again, or this is the last reference.
            Ok(()) if folio.state().entry().is_none() => gone.push(folio),
            Ok(()) => match Locked::try_lock(folio) {
                Ok(folio) => clean.push(folio),
                Err(busy) => lru::put_back(&busy),
            },
        }
    }
    let evicted = page_out::evict(&mut clean, &mut gone);
    folio::drop_all(&mut gone);
    // A task that finds no write under way any more finds the frames free.
    progress::writes_are_over(count);
    if evicted > 0 {
        progress::frames_freed();
    } else {
        progress::look_again();
    }
}
