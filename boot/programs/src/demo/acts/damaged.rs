//! An encrypted disk whose contents change. Needs two disks that are one, with a swap header whose label is [`LABEL`], as the launcher
//! makes them: what is written to the second changes under the area on the first.

use std::sync::atomic::{AtomicU64, Ordering};

use quire_protocol::contents::{Contents, hash};
use quire_swap::extension::{BackendOptions, Extension, TypeName};

use crate::demo::needs::{Shown, enough_memory, labelled};
use crate::{
    areas,
    damage::{self, Fates},
    demo::{
        screen::{self, Bar},
        stage::{Outcome, Tally},
        undo,
    },
    files,
    memory::{Memory, PAGE, Shared, squeeze},
    process::{Child, End},
};

const LABEL: &str = "quire-demo-crypt";
/// Where a swap header has its label (Linux: `volume_name`).
const LABEL_OFFSET: u64 = 1024 + 28;
const PAGES: usize = 300;

/// What the process that has the pages finds.
#[derive(Default)]
struct Found {
    changed: AtomicU64,
    right: AtomicU64,
    lost: AtomicU64,
    wrong: AtomicU64,
}

pub(super) fn play() -> Shown {
    if let Err(why) = enough_memory()? {
        return Ok(Err(why));
    }
    let disks = labelled(LABEL, LABEL_OFFSET)?;
    let [disk, same_disk] = &disks[..] else {
        let why = "it needs one disk that is attached twice, which `cargo run` and `cargo run -- demo` add";
        return Ok(Err(why.to_owned()));
    };
    let backend = TypeName::new("crypt").ok_or("crypt is no name of a type")?;
    let extension = Extension { backend, version: TypeName::USUAL_VERSION, options: BackendOptions("") };
    let mut label = [0; 16];
    label.copy_from_slice(LABEL.as_bytes());
    areas::make_typed(disk, areas::pages(disk)?, label, Some(extension))?;
    undo::enable(disk, 0)?;
    let found = Shared::new(Found::default())?;
    let mut bar = Bar::new(1);
    bar.show(0, "damage")?;
    // This process's own pages stay in memory; those of a child's can go.
    let end = Child::start(|| i32::from(damage_pages(same_disk, &found).is_err()))?.wait()?;
    drop(bar);
    if end != End::Exited(0) {
        return Err(format!("the process with the pages was ended: {end}").into());
    }
    let [changed, right, lost, wrong] =
        [&found.changed, &found.right, &found.lost, &found.wrong].map(|count| count.load(Ordering::Relaxed));
    let row = |what: &str, pages: u64| [what.to_owned(), pages.to_string()];
    screen::table(
        ["what became of a task that needed a page", "pages"],
        &[
            row("it got the page as it was written", right),
            row("it got SIGBUS: the page was changed", lost),
            row("it got wrong data", wrong),
        ],
    );
    screen::paragraph(&format!(
        "{changed} slots were changed by one bit each. Every page is sealed with a key that is gone with the machine, so a \
         disk that is read, changed or exchanged gives nothing away and nothing wrong.",
    ));
    screen::remember(&format!("{wrong} of {PAGES} pages came back wrong."));
    Ok(Ok(Tally { pages: PAGES as u64, verified: right * PAGE as u64, wrong: wrong * PAGE as u64 }))
}

/// Pages out, changes them on the disk, and looks what becomes of each.
fn damage_pages(same_disk: &str, found: &Found) -> Outcome {
    let mut memory = Memory::private(PAGES)?;
    memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Text.fill(page, number));
    let expected: Vec<u64> = memory.pages().iter().map(hash).collect();
    memory.page_out()?;
    let used = files::swap_used()?;
    squeeze()?;
    let changed = damage::change_every_third(same_disk, used)?;
    found.changed.store(changed as u64, Ordering::Relaxed);
    let Fates { right, lost, wrong } = damage::fates(&mut memory, &expected)?;
    for (count, number) in [(&found.right, right), (&found.lost, lost), (&found.wrong, wrong)] {
        count.store(number as u64, Ordering::Relaxed);
    }
    Ok(())
}
