//! Paging, reclaim and swap on the simulated machine: the kernel's own code, from the fault to the disk's request.

mod computer;
mod disk;
mod model;
mod oom;
mod process;
mod schedules;
