//! `crypt`: pages that the disk, and all who can reach it, can neither read nor exchange.
//!
//! A page is encrypted and authenticated by ChaCha20-Poly1305 (RFC 8439) on its way to the backend below. The key is drawn anew
//! for each `swapon`, is never written anywhere, and is wiped when the area goes: what is left on the disk then is noise.
//!
//! # What is found out
//!
//! Each write takes the next number of the area, its generation. It is the nonce, so none is used twice with a key, and the
//! slot is authenticated along. The slot's metadata says which generation is the newest. So a page that was changed does not fit
//! its tag, nor does one that belongs to another slot, nor an older one of the same slot. Such a page is an I/O error for the
//! task that needs it, and a line of the log names the slot. What is not hidden: which slots are written when, and which pages
//! are all zero, as those are never stored.
//!
//! # Where the tag is, and what it costs
//!
//! Beside the generation, in memory: 8 bytes of metadata and 16 bytes of tag a slot, in the clusters and leaves of 256 slots that
//! have been in use: 0.6 % of the pages that are out. On the disk, the tags of 256 pages would take a page of their own, to be
//! read before a page is and written after it was, so a page-out would cost two requests at two places. A tag that is in memory
//! also says by itself that the page is the newest. Leaves stay until `swapoff`.
//!
//! A page is encrypted into a frame of its own, as its task may read it meanwhile; these come from the reserve for reclaim,
//! one for each page of a batch on its way. Without a frame the page stays in memory, and is tried again. Reading decrypts in
//! place, and decrypts nothing whose tag does not fit.

use alloc::sync::Arc;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use quire_swap::{
    Area, BLOCK_TYPE, BackendError, BackendType, Direction, FolioUse, InTransit, IoError, Locked, Machine, NoSlot,
    Opening, ReadBatch, ReadFolio, Settings, SlotRequest, SlotRun, Sparse, SwapOps, SwapOpsFlags, Taken, Watcher,
    WriteBatch, heap,
};
use zeroize::Zeroizing;

/// The name of the type.
pub const CRYPT: &str = "crypt";

/// The option that names the backend below.
const OVER: &str = "over";
/// That of what is stored, here and by any backend below, as none of it outlives a `swapoff`.
const VERSION: u32 = 1;

/// The type of backend, with the machine's source of random bytes, which has to be fit for keys.
pub struct CryptType {
    random: fn(&mut [u8]),
}

/// The backend of one area.
struct Crypt<M: Machine> {
    below: Arc<dyn SwapOps<M>>,
    keeper: Arc<Keeper<M>>,
}

/// The key, and what fits it.
struct Keeper<M: Machine> {
    /// Wipes its key when it goes.
    cipher: ChaCha20Poly1305,
    next_generation: AtomicU64,
    tags: Sparse<SlotTag, M>,
    sealed: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
}

/// A tag in two words. Written before the write of its page begins and read after a read has ended, which never meet: a page
/// that is written is in memory.
#[derive(Default)]
struct SlotTag([AtomicU64; 2]);

impl CryptType {
    /// The type for a machine whose `random` fills a buffer.
    pub const fn new(random: fn(&mut [u8])) -> Self {
        Self { random }
    }
}

impl<M: Machine> BackendType<M> for CryptType {
    fn versions(&self) -> RangeInclusive<u32> {
        VERSION..=VERSION
    }

    /// What is for the backend below is judged there.
    fn is_overridable(&self, _key: &str) -> bool {
        true
    }

    /// The backend below says where pages go.
    fn works_in_file(&self) -> bool {
        true
    }

    fn open(&self, opening: &Opening<'_, M>, settings: &Settings<'_>) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        let over = settings.get(OVER).unwrap_or(BLOCK_TYPE);
        let below = opening.below(over, &settings.for_below(VERSION, &[OVER]))?;
        // A slot has one set of bits.
        if below.metadata_bits() > 0 {
            return Err(BackendError::option(OVER));
        }
        let mut key = Zeroizing::new([0; 32]);
        (self.random)(&mut *key);
        let keeper = heap::arc::<M, _>(Keeper::<M> {
            cipher: ChaCha20Poly1305::new(<&Key>::from(&*key)),
            next_generation: AtomicU64::new(1),
            tags: Sparse::new(u32::try_from(opening.pages).unwrap_or(u32::MAX))?,
            sealed: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })?;
        Ok(heap::arc::<M, _>(Crypt { below, keeper })?)
    }
}

impl<M: Machine> SwapOps<M> for Crypt<M> {
    /// Pages are looked at, so they must not change meanwhile; what is on the disk is of no use to any other area.
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { stable_writes: true, single_pages: true, pages_on_disk: false, ..self.below.flags() }
    }

    fn metadata_bits(&self) -> u8 {
        64
    }

    fn slots(&self, pages: u64) -> u64 {
        self.below.slots(pages)
    }

    fn allocate_slots(&self, request: &SlotRequest<'_, M>) -> Result<Taken, NoSlot> {
        self.below.allocate_slots(request)
    }

    fn can_merge(&self, area: &Area<M>, previous: SlotRun, next: SlotRun, direction: Direction) -> bool {
        self.below.can_merge(area, previous, next, direction)
    }

    fn submit_read(&self, batch: ReadBatch<M>) {
        // What the backend below moves stays as it is.
        let watched = if batch.batch().is_owned() { Some(batch) } else { batch.watched_by(self.keeper.clone()) };
        if let Some(batch) = watched {
            self.below.submit_read(batch);
        }
    }

    fn submit_write(&self, mut batch: WriteBatch<M>) {
        if !batch.batch().is_owned() {
            for position in (0..batch.batch().len()).rev() {
                match self.keeper.seal(&batch, position) {
                    Ok(sealed) => batch.stand_in(position, sealed),
                    Err(error) => batch.complete_one(position, Err(error)),
                }
            }
        }
        if !batch.batch().is_empty() {
            self.below.submit_write(batch);
        }
    }

    fn keeps_pages(&self) -> bool {
        self.below.keeps_pages()
    }

    fn slot_free_notify(&self, area: &Area<M>, slot: u32, _generation: u64) {
        self.below.slot_free_notify(area, slot, 0);
    }

    fn slot_zeroed(&self, area: &Area<M>, slot: u32, _generation: u64) {
        self.below.slot_zeroed(area, slot, 0);
    }

    fn show_counts(&self, show: &mut dyn FnMut(&'static str, u64)) {
        let Keeper { sealed, opened, refused, .. } = &*self.keeper;
        show("crypt_pages_sealed", sealed.load(Ordering::Relaxed));
        show("crypt_pages_opened", opened.load(Ordering::Relaxed));
        show("crypt_pages_refused", refused.load(Ordering::Relaxed));
        self.below.show_counts(show);
    }
}

impl<M: Machine> Keeper<M> {
    /// Encrypts the page at `position` into a frame of its own, which is ready to be written.
    fn seal(&self, batch: &WriteBatch<M>, position: usize) -> Result<InTransit<M::Folio>, IoError> {
        let area = batch.batch().area();
        let slot = batch.batch().run(position).ok_or(IoError::Unsupported)?.first;
        let place = self.tags.grow(slot).map_err(|heap::NoMemory| IoError::NoMemory)?.ok_or(IoError::Unsupported)?;
        let mut folio = Locked::lock(M::allocate_folio(0, FolioUse::Writeback).ok_or(IoError::NoMemory)?);
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
        let tag = batch.with_page(position, 0, |plain| {
            folio.with_page_mut(0, |sealed| {
                let buffer = InOutBuf::new(plain, sealed).ok()?;
                self.cipher.encrypt_inout_detached(&nonce(generation), &slot.to_le_bytes(), buffer).ok()
            })
        });
        place.set(&tag.flatten().ok_or(IoError::Unsupported)?);
        area.set_metadata(slot, generation);
        self.sealed.fetch_add(1, Ordering::Relaxed);
        Ok(folio.start_writeback())
    }

    /// Decrypts a page that was read, if it is the one that was written last; whether it is.
    fn open(&self, area: &Area<M>, folio: &mut ReadFolio<'_, M::Folio>) -> bool {
        let slot = folio.slots().first;
        let (generation, Some(tag)) = (area.metadata(slot), self.tags.get(slot)) else { return false };
        let decrypt = |page: &mut [u8]| {
            self.cipher.decrypt_inout_detached(&nonce(generation), &slot.to_le_bytes(), page.into(), &tag.get())
        };
        generation != 0 && folio.with_page_mut(|page| decrypt(page)).is_some_and(|opened| opened.is_ok())
    }
}

impl<M: Machine> Watcher<M> for Keeper<M> {
    fn read_ended(
        &self,
        area: &Area<M>,
        folio: &mut ReadFolio<'_, M::Folio>,
        result: Result<(), IoError>,
    ) -> Result<(), IoError> {
        result?;
        if self.open(area, folio) {
            self.opened.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        let (name, slot) = (area.name(), folio.slots().first);
        area.report_failure(format_args!(
            "read from {name} failed at slot {slot}: its page was changed, moved or replaced by an older one"
        ));
        Err(IoError::Device)
    }
}

impl SlotTag {
    fn set(&self, tag: &Tag) {
        for (word, bytes) in self.0.iter().zip(tag.as_chunks().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
    }

    fn get(&self) -> Tag {
        let mut tag = Tag::default();
        for (word, bytes) in self.0.iter().zip(tag.as_chunks_mut().0) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        tag
    }
}

fn nonce(generation: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[..size_of::<u64>()].copy_from_slice(&generation.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::ChaCha20Poly1305;
    use zeroize::ZeroizeOnDrop;

    #[test]
    fn a_key_is_wiped_when_it_goes() {
        const fn is_wiped<T: ZeroizeOnDrop>() {}
        const { is_wiped::<ChaCha20Poly1305>() };
    }
}
