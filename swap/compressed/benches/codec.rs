//! What a page costs to compress and to decompress, beside the C library on the same pages: `cargo bench --bench codec`.
//!
//! Instructions a page, counted as in `instructions`. Needs valgrind. On a machine without vector registers, as a kernel
//! is, copying takes more of them.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark may end for want of memory")]
#![allow(unreachable_pub, missing_docs, reason = "a benchmark exports nothing")]

use std::hint::black_box;

use quire_compressed::store::{Decoder, Encoding, Workspace};
use quire_swap::header::Page;
use quire_testkit::{Fake, Memory, callgrind};

#[path = "../tests/core/contents.rs"]
#[allow(dead_code, reason = "the tests have more kinds of pages")]
mod contents;

/// Pages that differ.
const PAGES: u64 = 64;
/// Pages in one measurement.
const TIMES: u32 = 1024;

type Operation = (&'static str, fn(u64));

const OPERATIONS: &[Operation] = &[
    ("compress text, here", |times| compress(contents::text, times)),
    ("compress text, C LZ4", |times| compress_in_c(contents::text, times)),
    ("decompress text, here", decompress),
    ("decompress text, C LZ4", decompress_in_c),
    ("compress random bytes, here", |times| compress(contents::random, times)),
    ("compress random bytes, C LZ4", |times| compress_in_c(contents::random, times)),
];

fn main() {
    if let Some((index, times)) = callgrind::operation() {
        // Whose heap it is.
        Memory::new(0);
        return OPERATIONS[index].1(times);
    }
    let count = callgrind::count;
    println!("{:>12}  operation", "instructions");
    for (index, (name, _)) in OPERATIONS.iter().enumerate() {
        println!("{:>12}  {name}", (count(index, 2 * TIMES) - count(index, TIMES)) / TIMES);
    }
}

fn pages(contents: fn(u64) -> Page, times: u64) -> impl Iterator<Item = Page> {
    let pages: Vec<_> = (0..PAGES).map(contents).collect();
    (0..times).map(move |number| black_box(pages[(number % PAGES) as usize]))
}

fn compress(contents: fn(u64) -> Page, times: u64) {
    let mut workspace = Workspace::new::<Fake>(false).expect("there is memory");
    pages(contents, times).for_each(|page| assert!(workspace.compress(&page).is_some()));
}

fn compress_in_c(contents: fn(u64) -> Page, times: u64) {
    let mut block = [0; 4200];
    for page in pages(contents, times) {
        lz4::block::compress_to_buffer(&page, None, false, &mut block).expect("there is room");
    }
}

/// Blocks of text, the same for both libraries.
fn blocks(times: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut workspace = Workspace::new::<Fake>(false).expect("there is memory");
    let block = |number| workspace.compress(&contents::text(number)).expect("there is room").to_vec();
    let blocks: Vec<_> = (0..PAGES).map(block).collect();
    (0..times).map(move |number| black_box(blocks[(number % PAGES) as usize].clone()))
}

fn decompress(times: u64) {
    let mut page = [0; 4096];
    for block in blocks(times) {
        assert!(Decoder::default().decompress(Encoding::Lz4, &block, &mut page).is_some());
    }
}

fn decompress_in_c(times: u64) {
    let mut page = [0; 4096];
    for block in blocks(times) {
        lz4::block::decompress_to_buffer(&block, Some(4096), &mut page).expect("it is a block");
    }
}
