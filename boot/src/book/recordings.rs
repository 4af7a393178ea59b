//! The book's recordings: one machine does the commands of all chapters that have to be recorded, and is looked at meanwhile. A recording
//! is kept, and made again when the kernel, the guest's programs, the commands or the form of recordings have changed.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    time::Duration,
};

use quire_boot::{
    Disk, Initramfs, Machine, Outcome, Size, build,
    chapters::{Chapter, session::Session},
    initramfs, target,
    watch::{
        figure::{self, Beside, Stretch, figure},
        page::{self, SCRIPT_FILE, STYLE_FILE},
        recorder::{Recorder, Taken},
    },
};

use super::error::{BookError, file};
use crate::demo_disks::make_ext4;

/// From one picture to the next: a few thousand pages go out in a tenth of a second.
const TICK: Duration = Duration::from_millis(25);

/// Against a machine that never ends.
const LIMIT: Duration = Duration::from_mins(20);

/// The size of the disk with a file system.
const FILES_SIZE: u64 = 96 << 20;

/// Stands for a recording that was not made.
const LEFT_OUT: &str =
    "<!doctype html><meta charset=\"utf-8\"><p>The recording was left out: cargo run -- book makes it.</p>\n";

/// A chapter whose commands are recorded.
struct Recorded<'a> {
    chapter: &'a Chapter,
    beside: Beside,
}

/// Puts the recordings of chapters, and what they share, into a directory. Without `anew` those that are kept are taken as they are.
///
/// # Errors
/// The machine does not boot, or does not do what the book says.
pub(super) fn make(
    chapters: &[Chapter],
    wanted: &BTreeMap<String, Beside>,
    to: &Path,
    anew: bool,
) -> Result<(), BookError> {
    fs::create_dir_all(to).map_err(|error| file("make", to, error))?;
    write(&to.join(STYLE_FILE), &page::figure_style())?;
    write(&to.join(SCRIPT_FILE), &page::script())?;
    let recorded = chapters.iter().filter_map(|chapter| {
        let beside = *wanted.get(&chapter.name)?;
        Some(Recorded { chapter, beside })
    });
    let recorded: Vec<_> = recorded.collect();
    if anew {
        record_what_changed(&recorded)?;
    }
    for Recorded { chapter, .. } in &recorded {
        let page = fs::read_to_string(kept(chapter, "html"));
        let place = to.join(&chapter.name).with_extension("html");
        write(&place, page.as_deref().unwrap_or(LEFT_OUT))?;
    }
    Ok(())
}

/// Where a chapter's recording is kept, or its key.
fn kept(chapter: &Chapter, extension: &str) -> PathBuf {
    target().join("book/recordings").join(&chapter.name).with_extension(extension)
}

fn write(path: &Path, text: &str) -> Result<(), BookError> {
    Ok(fs::write(path, text).map_err(|error| file("write", path, error))?)
}

fn record_what_changed(recorded: &[Recorded<'_>]) -> Result<(), BookError> {
    let directory = target().join("book/recordings");
    fs::create_dir_all(&directory).map_err(|error| file("make", &directory, error))?;
    let machine = hash_of_machine()?;
    let mut changed = Vec::new();
    for one in recorded {
        let key = key(one, machine)?;
        if fs::read_to_string(kept(one.chapter, "key")).is_ok_and(|kept| kept == key) {
            continue;
        }
        changed.push((one, key));
    }
    if changed.is_empty() {
        return Ok(());
    }
    eprintln!("quire: a machine does the commands of {} chapters and is recorded: about two minutes", changed.len());
    let session = Session::new(changed.iter().map(|(one, _)| one.chapter))?;
    let (outcome, taken) = run(&session)?;
    let log = outcome.log.as_str();
    if !outcome.status.is_success() {
        return Err(BookError::Failed("recording", format!("{}\n{log}", outcome.status)));
    }
    for (Recorded { chapter, beside }, key) in changed {
        let page = session.part(&chapter.name, log).and_then(|part| {
            let hidden = quire_boot::chapters::session::MARK;
            figure(&taken, &Stretch { log, part, hidden, beside: *beside })
        });
        let Some(page) = page else {
            let what = format!("docs/{} makes no figure of less than {} bytes", chapter.name, figure::LIMIT);
            return Err(BookError::Failed("recording", what));
        };
        write(&kept(chapter, "html"), &page)?;
        write(&kept(chapter, "key"), &key)?;
    }
    Ok(())
}

/// What a recording depends on, beside its chapter.
fn hash_of_machine() -> Result<u64, BookError> {
    let mut hasher = DefaultHasher::new();
    for path in [build::build()?.kernel, build::programs()?] {
        fs::read(&path).map_err(|error| file("read", &path, error))?.hash(&mut hasher);
    }
    figure::MAKERS.hash(&mut hasher);
    Ok(hasher.finish())
}

fn key(one: &Recorded<'_>, machine: u64) -> Result<String, BookError> {
    let mut hasher = DefaultHasher::new();
    (machine, one.beside.name()).hash(&mut hasher);
    Session::new([one.chapter])?.script("book").hash(&mut hasher);
    Ok(format!("{:016x}\n", hasher.finish()))
}

fn run(session: &Session<'_>) -> Result<(Outcome, Vec<Taken>), BookError> {
    let Some(shell) = initramfs::shell() else {
        return Err(BookError::Failed("recording", "there is no static busybox: run ./setup".to_owned()));
    };
    let directory = tempfile::tempdir().map_err(|error| file("make a directory in", &std::env::temp_dir(), error))?;
    let files = directory.path().join("files.img");
    if !make_ext4(&files, FILES_SIZE, "quire-book").map_err(|error| file("make", &files, error))? {
        return Err(BookError::Failed("recording", "there is no mke2fs: run ./setup".to_owned()));
    }
    let initramfs = Initramfs::new().shell(shell).file("tests/book.sh", 0o755, session.script("book"));
    let machine = Machine::new().disk(Disk::swap(Size::mebibytes(256))).disk(Disk::file(&files));
    let machine = machine.initramfs(initramfs).append("-- sh /tests/book.sh").timeout(LIMIT);
    let (recorder, machine) = Recorder::start(machine, TICK)?;
    let outcome = machine.run();
    let taken = recorder.end();
    Ok((outcome?, taken))
}
