//! A cgroup with a limit beside one without.

use quire_protocol::contents::Contents;

use super::{DISK, Shown, enough_memory};
use crate::{
    areas,
    cgroup::Cgroup,
    demo::{
        screen::{self, Bar, mib, seconds},
        stage::{Phase, Stage, play_together},
    },
    memory::PAGE,
};

pub(super) fn play() -> Shown {
    let memory = match enough_memory()? {
        Ok(memory) => memory,
        Err(why) => return Ok(Err(why)),
    };
    areas::enable(DISK, 0)?;
    let cgroups = [Cgroup::new("demo-limited")?, Cgroup::new("demo-unlimited")?];
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
    let mut rows = Vec::new();
    for (((cgroup, stage), took), (name, limit)) in
        cgroups.iter().zip(&stages).zip(took).zip([("limited", mib(limit)), ("unlimited", "none".to_owned())])
    {
        let [here, swapped] = ["memory.current", "memory.swap.current"].map(|file| cgroup.number(file));
        rows.push([
            name.to_owned(),
            mib(pages),
            limit,
            mib(here? / PAGE as u64),
            mib(swapped? / PAGE as u64),
            stage.major_faults().to_string(),
            seconds(took),
        ]);
    }
    let [paid, unpaid] = [&stages[0], &stages[1]].map(Stage::major_faults);
    let [limited, unlimited] = stages;
    let mut tally = limited.end()?;
    tally.add(&unlimited.end()?);
    drop(cgroups);
    areas::disable(DISK)?;
    screen::table(
        ["cgroup", "MiB it\nuses", "limit\nin MiB", "MiB in\nmemory", "MiB in\nswap", "faults\nthat read", "seconds"],
        &rows,
    );
    screen::paragraph(
        "Only pages of the cgroup that reached its limit went to swap, though memory was free, and only its process waited \
         for the disk.",
    );
    screen::remember(&format!("{paid} faults had to read in the one, {unpaid} in the other."));
    Ok(Ok(tally))
}
