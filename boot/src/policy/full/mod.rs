//! Policies that see every access, which no kernel does: what ours are compared with.

mod arc;
mod lirs;
mod lists;
mod lru;
mod memory;
mod s3_fifo;
mod two_q;

pub(super) use memory::Memory;

/// Makes an empty memory of so many frames for pages below a number.
pub(super) type Make = fn(frames: usize, pages: usize) -> Box<dyn Memory>;

/// All of them by their names.
pub(super) const ALL: &[(&str, Make)] = &[
    ("LRU", |frames, pages| Box::new(lru::Lru::new(frames, pages))),
    ("2Q", |frames, pages| Box::new(two_q::TwoQ::new(frames, pages))),
    ("ARC", |frames, pages| Box::new(arc::Arc::new(frames, pages))),
    ("LIRS", |frames, pages| Box::new(lirs::Lirs::new(frames, pages))),
    ("S3-FIFO", |frames, pages| Box::new(s3_fifo::S3Fifo::new(frames, pages))),
];
