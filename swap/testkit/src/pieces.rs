//! A swap file in pieces.

use quire_swap::FileRun;
use quire_swap::header::PAGE_SIZE;

/// The pages of a piece.
pub const PIECE: u64 = 7;

/// Where a file is that has all of a disk's pages: the header's first, then piece by piece from the disk's end.
pub fn file_in_pieces(pages: u64) -> Vec<FileRun> {
    let run = |page, disk_page, pages| {
        let [offset, disk_offset, bytes] = [page, disk_page, pages].map(|pages: u64| pages * PAGE_SIZE as u64);
        FileRun { offset, disk_offset, bytes }
    };
    let pieces = (1..pages).step_by(PIECE as usize).map(|page| run(page, pages + 1 - PIECE - page, PIECE));
    std::iter::once(run(0, 0, 1)).chain(pieces).collect()
}
