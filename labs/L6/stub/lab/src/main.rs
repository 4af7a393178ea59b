//! What `cargo lab` asks, and what the student's store does. This file is given: the grader has its own.
//!
//! All memory that the store takes is counted here, its chunks and what it keeps beside them.

#![deny(unsafe_op_in_unsafe_fn)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{self, BufReader, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::atomic::{AtomicUsize, Ordering},
};

use lab::{
    Store,
    heap::{self, Frame, PAGE_WORDS, Page},
    store::Own,
};

/// Passes all on to the system's allocator, and counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// What an allocation takes: memory is given in steps.
fn bytes(layout: Layout) -> usize {
    layout.size().next_multiple_of(16)
}

// SAFETY: each call goes to the system's allocator as it came, and so does its result.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(bytes(layout), Ordering::Relaxed);
        // SAFETY: the caller keeps to what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(bytes(layout), Ordering::Relaxed);
        // SAFETY: the caller keeps to what `dealloc` asks for, and the memory came from there.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut questions, mut answers) = (BufReader::new(socket.try_clone()?), socket);
    let (mut bytes, mut words) = ([0; PAGE_WORDS * 8], [0; PAGE_WORDS]);
    let before = IN_USE.load(Ordering::Relaxed);
    let mut store: Option<Box<dyn Store>> = None;
    let mut question = [0; 9];
    while questions.read_exact(&mut question).is_ok() {
        let [kind, number @ ..] = question;
        let number = u64::from_le_bytes(number);
        let key = number as u32;
        match (kind, &mut store) {
            (1, Some(store)) => {
                questions.read_exact(&mut bytes)?;
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                answers.write_all(&[u8::from(store.store(key, &Page::new(&words)).is_ok())])?;
            }
            (2, Some(store)) => {
                // A word that is not written is none that a page has.
                words.fill(0xdddd_dddd_dddd_dddd);
                let found = store.load(key, &mut Frame::new(&mut words));
                for (word, bytes) in words.iter().zip(bytes.as_chunks_mut().0) {
                    *bytes = word.to_le_bytes();
                }
                answers.write_all(&[u8::from(found)])?;
                answers.write_all(&bytes)?;
            }
            (3, Some(store)) => {
                store.free(key);
                answers.write_all(&[1])?;
            }
            (4, _) => {
                let held = IN_USE.load(Ordering::Relaxed).saturating_sub(before);
                for number in [heap::used() as u64, held as u64, heap::touched(), heap::read_back()] {
                    answers.write_all(&number.to_le_bytes())?;
                }
            }
            _ => {
                drop(store.take());
                heap::set_limit(usize::try_from(number).unwrap_or(usize::MAX));
                store = Some(Box::new(Own::new()));
                answers.write_all(&[1])?;
            }
        }
    }
    Ok(())
}
