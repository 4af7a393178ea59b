//! A backend that runs out of room while another area has some: pages go there, and no task is killed.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use quire_linux::fs::devices;
use quire_memory::swap;
use quire_protocol::contents::Contents;
use quire_swap::header::PAGE_SIZE;

use super::checks::{Books, join, ram};
use super::failure::Failure;
use super::workload::{self, Tally};
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

/// `swapon=` names a zram device with a memory limit, then a disk of lower priority. One task writes much more than memory
/// and the limit take, changes some of it, and reads everything back.
pub(super) fn pool_full(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let enabled = swapon::enable(command_line)?;
    let &[zram_area, disk_area] = enabled.areas() else {
        return Err(Failure(format!("needs zram and a disk, not {} areas", enabled.areas().len())));
    };
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let pages = ram() * 2;
    let task = workload::start("writer", Contents::Mix, 0, pages, &tally, move |workload| {
        workload.fill()?;
        workload.revisit(pages / 16, pages / 2)?;
        workload.sequential()
    })?;
    let fatal = join(alloc::vec![task]);
    require!(fatal.is_empty(), "the task was killed: {fatal:?}");
    let written = |area| swap::core().area(area).map_or(0, |area| area.statistics().pages_out.get());
    let (to_zram, to_disk) = (written(zram_area), written(disk_area));
    let refused = swap::core().area(zram_area).map_or(0, |area| area.statistics().failed_writes.get());
    require!(refused > 0, "zram took every page");
    let state = devices::zram("zram0").ok_or("there is no /dev/zram0")?.show("mm_stat")?;
    let pool: u64 = state.split_whitespace().nth(4).and_then(|peak| peak.parse().ok()).unwrap_or(0);
    enabled.disable()?;
    books.check(&tally)?;
    Ok(format!(
        "to_zram={to_zram} to_disk={to_disk} refused={refused} pool_pages={} bytes_verified={}",
        pool / PAGE_SIZE as u64,
        tally.verified()
    ))
}
