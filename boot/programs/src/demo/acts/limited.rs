//! A cgroup with a limit beside one without.

use quire_protocol::contents::Contents;

use crate::demo::needs::{DISK, Shown, enough_memory};
use crate::{
    demo::{
        screen::{self, Bar, mib, seconds},
        stage::{Outcome, Phase, Stage, play_together},
        undo,
    },
    memory::PAGE,
};

pub(super) fn play() -> Shown {
    let memory = match enough_memory()? {
        Ok(memory) => memory,
        Err(why) => return Ok(Err(why)),
    };
    undo::enable(DISK, 0)?;
    let cgroups = [undo::cgroup("demo-limited")?, undo::cgroup("demo-unlimited")?];
    // Both together fit, so that nothing but the limit makes a page leave.
    let (pages, limit) = (memory * 3 / 8, memory / 8);
    cgroups[0].set("memory.max", &(limit * PAGE as u64).to_string())?;
    let [limited, unlimited] =
        [&cgroups[0], &cgroups[1]].map(|cgroup| Stage::set(1, pages, Contents::Mix, Some(cgroup)));
    let stages = [limited?, unlimited?];
    let phases = [Phase::Fill, Phase::InOrder, Phase::InOrderAgain];
    let mut took = [std::time::Duration::ZERO; 2];
    let mut bar = Bar::new(phases.iter().map(|phase| 2 * stages[0].visits(*phase)).sum());
    for phase in phases {
        let phase = play_together([&stages[0], &stages[1]], phase, &mut bar)?;
        took.iter_mut().zip(phase).for_each(|(sum, phase)| *sum += phase);
    }
    drop(bar);
    let row = |place: usize, name: &str, limit: String| -> Outcome<[String; 7]> {
        let mib_of = |file| cgroups[place].number(file).map(|bytes| mib(bytes / PAGE as u64));
        let (here, swapped) = (mib_of("memory.current")?, mib_of("memory.swap.current")?);
        let faults = stages[place].major_faults().to_string();
        Ok([name.to_owned(), mib(pages), limit, here, swapped, faults, seconds(took[place])])
    };
    let rows = [row(0, "limited", mib(limit))?, row(1, "unlimited", "none".to_owned())?];
    let [paid, unpaid] = [&stages[0], &stages[1]].map(Stage::major_faults);
    let [limited, unlimited] = stages;
    let mut tally = limited.end()?;
    tally.add(&unlimited.end()?);
    screen::table(
        ["cgroup", "MiB it\nuses", "limit\nin MiB", "MiB in\nmemory", "MiB in\nswap", "faults\nthat read", "seconds"],
        &rows,
    );
    let others = if unpaid == 0 { "and only its process waited for the disk" } else { "but both waited for the disk" };
    screen::paragraph(&format!("The cgroup that reached its limit went to swap, though memory was free, {others}."));
    screen::remember(&format!("{paid} faults had to read in the one, {unpaid} in the other."));
    Ok(Ok(tally))
}
