//! A swap file on an ext4. Needs a disk with an ext4 whose label is [`LABEL`]; the launcher makes one where there is an `mke2fs`.

use std::{
    fs::{self, File},
    io::Write,
};

use nix::{
    mount::{MsFlags, mount},
    sys::statvfs::statvfs,
};
use quire_protocol::contents::Contents;

use crate::demo::needs::{Shown, TASKS, enough_memory, labelled};
use crate::{
    areas,
    demo::{
        figures::sum,
        screen::{self, mib, seconds},
        stage::{Outcome, Phase, Stage},
        undo,
    },
};

const LABEL: &str = "quire-demo";
/// Where an ext4's superblock has its label (Linux: `s_volume_name`).
const LABEL_OFFSET: u64 = 1024 + 120;
const PLACE: &str = "/tmp/demo";
const FILE: &str = "/tmp/demo/swapfile";
/// The largest swap file, in pages: writing it takes time.
const MOST: u64 = (24 << 20) / 4096;

pub(super) fn play() -> Shown {
    let memory = match enough_memory()? {
        Ok(memory) => memory,
        Err(why) => return Ok(Err(why)),
    };
    let disks = labelled(LABEL, LABEL_OFFSET)?;
    let [disk] = &disks[..] else {
        let why = "it needs a disk with an ext4, which `cargo run` adds where mke2fs is installed (./setup does that)";
        return Ok(Err(why.to_owned()));
    };
    fs::create_dir_all(PLACE)?;
    undo::later(&format!("umount {PLACE}"))?;
    mount(Some(disk.as_str()), PLACE, Some("ext4"), MsFlags::empty(), None::<&str>)?;
    undo::later(&format!("rm {FILE}"))?;
    let size = make_file(memory)?;
    undo::enable(FILE, 0)?;
    let stage = Stage::set(TASKS, (memory + size / 2) / TASKS, Contents::Mix, None)?;
    let rows = stage.play(&[Phase::Fill, Phase::InOrder], disk)?;
    let tally = stage.end()?;
    screen::table(
        ["phase", "pages\nout", "write\nrequests", "pages\nin", "read\nrequests", "seconds"],
        &rows
            .iter()
            .map(|row| {
                let figures = &row.figures;
                let [out, writes, back, reads] =
                    [figures.pages_out, figures.writes, figures.pages_in, figures.reads].map(|count| count.to_string());
                [row.name.to_owned(), out, writes, back, reads, seconds(row.took)]
            })
            .collect::<Vec<_>>(),
    );
    let [out, requests] = [sum(&rows, |figures| figures.pages_out), sum(&rows, |figures| figures.writes)];
    screen::paragraph(&format!(
        "A file of {} MiB was as good as a disk: {out} pages went out in {requests} requests to {disk}, and nothing but \
         swap may write to the file meanwhile.",
        mib(size)
    ));
    screen::remember(&format!("the file system was asked once, for {out} pages."));
    Ok(Ok(tally))
}

/// Makes the swap file, without holes; returns its pages.
fn make_file(memory: u64) -> Outcome<u64> {
    let usage = statvfs(PLACE)?;
    let room = usage.blocks_available() * usage.fragment_size() / 4096;
    let size = (memory / 2).min(MOST).min(room * 7 / 8);
    let mut file = File::create(FILE)?;
    let piece = vec![0; 64 << 10];
    let mut left = size * 4096;
    while left > 0 {
        let length = left.min(piece.len() as u64);
        file.write_all(&piece[..length as usize])?;
        left -= length;
    }
    file.sync_all()?;
    areas::make(FILE, size)?;
    Ok(size)
}
