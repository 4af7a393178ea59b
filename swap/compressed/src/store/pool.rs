//! The pool: objects of any length up to a page in frames of their own (Linux: `mm/zsmalloc.c`).
//!
//! A [`Handle`](super::Object) leads to an entry of the table of handles, which says where the object is now; compaction
//! moves objects and changes the entry. An entry can be pinned, which keeps its object where it is: readers pin, and
//! compaction leaves out what is pinned.
//!
//! # Locks
//!
//! One lock for each class guards its zspages and its lists. Contents are written and read without it: a new object is
//! not known until its entry says where it is, and one that is read is pinned. A pin is held under other locks of
//! this crate only, so for a short time and never by a task that cannot run; compaction takes pins by trying.
//!
//! # Memory
//!
//! Frames come from [`PoolMachine::allocate_frame`]. The tables of handles and zspages, 8 bytes an object and about 100 a
//! zspage, come from the heap; they grow with use, and what has grown is used again but not freed before the pool goes.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::heap::{self, NoMemory};
use quire_swap::sync::{Guard, Lock};
use quire_swap::{Counter, Sparse};

use super::error::StoreError;
use super::geometry::{CLASSES, GEOMETRIES, Geometry, ZSPAGE_FRAMES};
use super::sum::sum;
use super::zspage::{Header, NONE, Zspage};
use crate::level::Level;
use crate::machine::PoolMachine;
use crate::ranks;

/// No pool has more zspages: enough for more than 4 GiB of frames, whatever is in them.
const MOST_ZSPAGES: u32 = 1 << 20;

/// Zspages that are neither empty nor full are kept on lists by tenths of fullness.
const GROUPS: usize = 10;

/// In an entry of the table of handles: the object is where the entry says. Without it the entry is free, or its object is
/// being made.
const IN_USE: u64 = 1;
/// The object stays where it is.
const PINNED: u64 = 2;
const OBJECT_SHIFT: u32 = 8;
const ZSPAGE_SHIFT: u32 = 32;

/// Objects, and the frames that they are in.
pub(crate) struct Pool<M: PoolMachine> {
    classes: Box<[Lock<Lists, M, { ranks::CLASS as u8 }>]>,
    zspages: Sparse<Zspage, M>,
    handles: Sparse<AtomicU64, M>,
    free_handles: Lock<FreeNumbers, M, { ranks::NUMBERS as u8 }>,
    free_zspages: Lock<FreeNumbers, M, { ranks::NUMBERS as u8 }>,
    /// Of all objects.
    pub(super) bytes: Level,
    pub(super) frames: Level,
    most_frames: AtomicU64,
    /// The most frames that the pool may have; 0 is no limit.
    limit: AtomicU64,
    compacted: Counter,
}

/// The zspages of a class that are not full, by fullness: the first of each list.
struct Lists([u32; GROUPS]);

/// Numbers that are not in use: a list through what they number, and those above the largest ever used.
struct FreeNumbers {
    first: u32,
    unused: u32,
}

/// A pinned object; dropping it unpins.
struct Pinned<'a> {
    entry: &'a AtomicU64,
    zspage: &'a Zspage,
    number: u32,
    object: u32,
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.entry.fetch_and(!PINNED, Ordering::Release);
    }
}

fn entry(zspage: u32, object: u32) -> u64 {
    u64::from(zspage) << ZSPAGE_SHIFT | u64::from(object) << OBJECT_SHIFT | IN_USE
}

impl<M: PoolMachine> Pool<M> {
    /// A pool for at most so many objects.
    pub(crate) fn new(objects: u32) -> Result<Self, NoMemory> {
        Ok(Self {
            classes: heap::slice::<M, _>(CLASSES, |_| Lock::new(Lists([NONE; GROUPS])))?,
            zspages: Sparse::new(objects.min(MOST_ZSPAGES))?,
            handles: Sparse::new(objects)?,
            free_handles: Lock::new(FreeNumbers::new()),
            free_zspages: Lock::new(FreeNumbers::new()),
            bytes: Level::default(),
            frames: Level::default(),
            most_frames: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            compacted: Counter::default(),
        })
    }

    pub(crate) fn most_frames(&self) -> u64 {
        self.most_frames.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_most_frames(&self) {
        self.most_frames.store(self.frames.get(), Ordering::Relaxed);
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted.get()
    }

    pub(crate) fn set_limit(&self, frames: u64) {
        self.limit.store(frames, Ordering::Relaxed);
    }

    /// A new object with these contents.
    pub(crate) fn insert(&self, contents: &[u8]) -> Result<u32, StoreError> {
        let class = Geometry::class_for(contents.len()).ok_or(StoreError::TooLong(contents.len()))?;
        let (handle, cell) = self.take_handle()?;
        let (number, zspage, object) = match self.allocate(class, handle) {
            Ok(allocated) => allocated,
            Err(error) => {
                self.put_handle(handle, cell);
                return Err(error);
            }
        };
        let mut rest = contents;
        let (first, second) = zspage.contents(object, contents.len());
        for (frame, bytes) in core::iter::once(first).chain(second) {
            let (piece, after) = rest.split_at(bytes.len());
            M::with_frame_mut(frame, bytes, |target| target.copy_from_slice(piece));
            rest = after;
        }
        zspage.set_header::<M>(object, Header { handle, sum: sum(contents) });
        self.bytes.add(contents.len() as u64);
        cell.store(entry(number, object), Ordering::Release);
        Ok(handle)
    }

    /// Looks at the contents of an object, `length` bytes. What lies across two frames is put together in `scratch`.
    pub(crate) fn with<R>(
        &self,
        handle: u32,
        length: usize,
        scratch: &mut [u8],
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, StoreError> {
        let corrupt = StoreError::Corrupt { handle };
        let pinned = self.pin(handle).ok_or(corrupt)?;
        let header =
            pinned.zspage.header::<M>(pinned.object).filter(|header| header.handle == handle).ok_or(corrupt)?;
        let check = |contents: &[u8]| if sum(contents) == header.sum { Ok(read(contents)) } else { Err(corrupt) };
        match pinned.zspage.contents(pinned.object, length) {
            ((frame, bytes), None) => M::with_frame(frame, bytes, check),
            ((frame, bytes), Some((second_frame, second_bytes))) => {
                let whole = scratch.get_mut(..length).ok_or(corrupt)?;
                let (first, second) = whole.split_at_mut(bytes.len());
                M::with_frame(frame, bytes, |source| first.copy_from_slice(source));
                M::with_frame(second_frame, second_bytes, |source| second.copy_from_slice(source));
                check(whole)
            }
        }
    }

    /// Frees an object of `length` bytes.
    pub(crate) fn remove(&self, handle: u32, length: usize) {
        let Some(pinned) = self.pin(handle) else { return };
        self.bytes.subtract(length as u64);
        let (zspage, number, entry) = (pinned.zspage, pinned.number, pinned.entry);
        let mut lists = self.classes[zspage.class()].lock();
        let before = zspage.used();
        zspage.put::<M>(pinned.object);
        self.used_changed(&mut lists, number, zspage, before);
        drop(lists);
        core::mem::forget(pinned);
        self.put_handle(handle, entry);
    }

    /// Moves objects together until no zspage can be emptied any more. Returns how many frames that freed.
    pub(crate) fn compact(&self) -> u64 {
        let freed = (0..CLASSES).map(|class| self.compact_class(class)).sum();
        self.compacted.add(freed);
        freed
    }

    fn compact_class(&self, class: usize) -> u64 {
        let mut freed = 0;
        // The lock is released after each zspage: others want to store and to free. A part of the work is of use, too.
        while !M::is_killed() && self.empty_one_zspage(&mut self.classes[class].lock()) {
            freed += GEOMETRIES[class].frames as u64;
        }
        freed
    }

    /// Moves the objects of the emptiest zspage to the fullest ones. False if that does not free it.
    fn empty_one_zspage(&self, lists: &mut Guard<'_, Lists, M, { ranks::CLASS as u8 }>) -> bool {
        let Some((source_number, source)) = self.emptiest(lists) else { return false };
        let others = self.listed_from_fullest(lists).filter(|(number, _)| *number != source_number);
        if others.map(|(_, zspage)| free_objects(zspage)).sum::<u32>() < source.used() {
            return false;
        }
        for object in source.touched() {
            let Some(header) = source.header::<M>(object) else { continue };
            let expected = entry(source_number, object);
            let Some(cell) = self.handles.get(header.handle) else { continue };
            if cell.compare_exchange(expected, expected | PINNED, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            let moved = self.move_object(lists, source, object, source_number, header.handle);
            cell.store(moved.unwrap_or(expected), Ordering::Release);
            if moved.is_none() {
                return false;
            }
            let before = source.used();
            source.put::<M>(object);
            self.used_changed(lists, source_number, source, before);
            if before == 1 {
                return true;
            }
        }
        false
    }

    /// Copies an object to the fullest other zspage. Returns its new entry.
    fn move_object(
        &self,
        lists: &mut Lists,
        source: &Zspage,
        object: u32,
        source_number: u32,
        handle: u32,
    ) -> Option<u64> {
        let (number, target) = self.listed_from_fullest(lists).find(|(number, _)| *number != source_number)?;
        let before = target.used();
        let taken = target.take::<M>(handle);
        self.used_changed(lists, number, target, before);
        let taken = taken?;
        source.copy_to::<M>(object, target, taken);
        Some(entry(number, taken))
    }

    /// A free object of the class in the fullest zspage that has one, or in a new zspage.
    fn allocate(&self, class: usize, handle: u32) -> Result<(u32, &Zspage, u32), StoreError> {
        let mut lists = self.classes[class].lock();
        loop {
            let fullest = self.listed_from_fullest(&lists).next();
            let (number, zspage) = match fullest {
                Some(fullest) => fullest,
                None => self.new_zspage(class)?,
            };
            let before = zspage.used();
            let taken = zspage.take::<M>(handle);
            self.used_changed(&mut lists, number, zspage, before);
            if let Some(object) = taken {
                return Ok((number, zspage, object));
            }
        }
    }

    fn new_zspage(&self, class: usize) -> Result<(u32, &Zspage), StoreError> {
        let count = GEOMETRIES[class].frames;
        let frames = self.frames.add_and_get(count as u64);
        let made = self.make_zspage(class, count, frames);
        match made {
            Ok(_) => _ = self.most_frames.fetch_max(frames, Ordering::Relaxed),
            Err(_) => self.frames.subtract(count as u64),
        }
        made
    }

    fn make_zspage(&self, class: usize, count: usize, frames: u64) -> Result<(u32, &Zspage), StoreError> {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit != 0 && frames > limit {
            return Err(StoreError::Limit(limit));
        }
        let next = |zspage: &Zspage| zspage.next.load(Ordering::Relaxed);
        let (number, zspage) = take_number(&self.free_zspages, &self.zspages, next)?;
        let mut taken = [0; ZSPAGE_FRAMES];
        for index in 0..count {
            let Some(frame) = M::allocate_frame() else {
                taken[..index].iter().for_each(|frame| M::free_frame(*frame));
                self.put_zspage(number, zspage);
                return Err(StoreError::NoFrame);
            };
            taken[index] = frame;
        }
        zspage.start(class, &taken[..count]);
        Ok((number, zspage))
    }

    fn put_zspage(&self, number: u32, zspage: &Zspage) {
        put_number(&self.free_zspages, number, |next| zspage.next.store(next, Ordering::Relaxed));
    }

    /// Moves the zspage to the list where it belongs now, or frees it if it holds nothing. `before` objects were in use.
    fn used_changed(&self, lists: &mut Lists, number: u32, zspage: &Zspage, before: u32) {
        let objects = zspage.geometry().objects;
        let (from, to) = (group(before, objects), group(zspage.used(), objects));
        let to = if zspage.is_damaged() { None } else { to };
        if from != to
            && let Some(from) = from
            && (lists.0[from] == number || zspage.previous.load(Ordering::Relaxed) != NONE)
        {
            self.unlink(lists, from, zspage);
        }
        if zspage.used() == 0 && !zspage.is_damaged() {
            zspage.frames().for_each(M::free_frame);
            self.frames.subtract(zspage.geometry().frames as u64);
            self.put_zspage(number, zspage);
        } else if let Some(to) = to
            && from != Some(to)
        {
            self.link(lists, to, number, zspage);
        }
    }

    fn link(&self, lists: &mut Lists, group: usize, number: u32, zspage: &Zspage) {
        let first = lists.0[group];
        zspage.next.store(first, Ordering::Relaxed);
        zspage.previous.store(NONE, Ordering::Relaxed);
        if let Some(first) = self.zspages.get(first) {
            first.previous.store(number, Ordering::Relaxed);
        }
        lists.0[group] = number;
    }

    fn unlink(&self, lists: &mut Lists, group: usize, zspage: &Zspage) {
        let next = zspage.next.load(Ordering::Relaxed);
        let previous = zspage.previous.load(Ordering::Relaxed);
        match self.zspages.get(previous) {
            Some(before) => before.next.store(next, Ordering::Relaxed),
            None => lists.0[group] = next,
        }
        if let Some(after) = self.zspages.get(next) {
            after.previous.store(previous, Ordering::Relaxed);
        }
        zspage.previous.store(NONE, Ordering::Relaxed);
    }

    fn emptiest(&self, lists: &Lists) -> Option<(u32, &Zspage)> {
        lists.0.iter().find_map(|head| Some((*head, self.zspages.get(*head)?)))
    }

    fn listed_from_fullest(&self, lists: &Lists) -> impl Iterator<Item = (u32, &Zspage)> {
        let zspage = |number| Some((number, self.zspages.get(number)?));
        lists.0.into_iter().rev().flat_map(move |head| {
            core::iter::successors(zspage(head), move |(_, last)| zspage(last.next.load(Ordering::Relaxed)))
        })
    }

    fn take_handle(&self) -> Result<(u32, &AtomicU64), StoreError> {
        take_number(&self.free_handles, &self.handles, |entry| (entry.load(Ordering::Relaxed) >> ZSPAGE_SHIFT) as u32)
    }

    fn put_handle(&self, handle: u32, entry: &AtomicU64) {
        put_number(&self.free_handles, handle, |next| entry.store(u64::from(next) << ZSPAGE_SHIFT, Ordering::Release));
    }

    /// Pins the object of a handle, waiting while compaction moves it. `None` if there is no such object.
    fn pin(&self, handle: u32) -> Option<Pinned<'_>> {
        let entry = self.handles.get(handle)?;
        loop {
            let now = entry.load(Ordering::Relaxed);
            if now & IN_USE == 0 {
                return None;
            }
            if now & PINNED == 0
                && entry.compare_exchange(now, now | PINNED, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                let (number, object) = ((now >> ZSPAGE_SHIFT) as u32, (now as u32) >> OBJECT_SHIFT);
                let Some(zspage) = self.zspages.get(number) else { unreachable!("an entry in use names a zspage") };
                return Some(Pinned { entry, zspage, number, object });
            }
            M::relax();
        }
    }
}

impl<M: PoolMachine> Drop for Pool<M> {
    fn drop(&mut self) {
        for (_, zspage) in self.zspages.present(0..u64::MAX) {
            if zspage.used() > 0 || zspage.is_damaged() {
                zspage.frames().for_each(M::free_frame);
            }
        }
    }
}

/// Where a zspage with so many objects in use is listed; nowhere when it is empty or full.
fn group(used: u32, objects: u32) -> Option<usize> {
    (used > 0 && used < objects).then(|| used as usize * GROUPS / objects as usize)
}

fn free_objects(zspage: &Zspage) -> u32 {
    zspage.geometry().objects - zspage.used()
}

impl FreeNumbers {
    const fn new() -> Self {
        Self { first: NONE, unused: 0 }
    }
}

fn take_number<'a, T: Default, M: PoolMachine>(
    free: &Lock<FreeNumbers, M, { ranks::NUMBERS as u8 }>,
    values: &'a Sparse<T, M>,
    next: impl Fn(&T) -> u32,
) -> Result<(u32, &'a T), StoreError> {
    let mut free = free.lock();
    if let Some(value) = values.get(free.first) {
        let number = core::mem::replace(&mut free.first, next(value));
        return Ok((number, value));
    }
    let number = free.unused;
    let value = values.grow(number)?.ok_or(StoreError::NoMemory)?;
    free.unused += 1;
    Ok((number, value))
}

fn put_number<M: PoolMachine>(
    free: &Lock<FreeNumbers, M, { ranks::NUMBERS as u8 }>,
    number: u32,
    set_next: impl Fn(u32),
) {
    let mut free = free.lock();
    set_next(free.first);
    free.first = number;
}
