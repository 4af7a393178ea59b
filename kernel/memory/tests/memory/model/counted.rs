//! What memory counts, and where reclaim has each page, against what there is.

use std::sync::atomic::{AtomicU64, Ordering};

use quire_machine::frame::Kind as FrameKind;
use quire_memory::cgroup::CgroupEvent;
use quire_memory::frame_use::{self, PageUse};
use quire_memory::{cgroup, overcommit, swap};

use super::{Kind, Mapped, OBJECT_PAGES, OBJECTS, PAGE, World, address, bytes};
use crate::computer::{Computer, used_frames};

/// How often cgroups have reached their limits, and how many processes were killed for that.
static AT_LIMIT: AtomicU64 = AtomicU64::new(0);
static KILLED_IN_CGROUPS: AtomicU64 = AtomicU64::new(0);

pub(super) fn at_limit() -> u64 {
    AT_LIMIT.load(Ordering::Relaxed)
}

pub(super) fn killed_in_cgroups() -> u64 {
    KILLED_IN_CGROUPS.load(Ordering::Relaxed)
}

fn pages() -> impl Iterator<Item = (FrameKind, PageUse)> {
    used_frames().filter_map(|used| Some((used.kind, used.page?)))
}

impl World {
    /// The outermost cgroup goes, whose events are those of all.
    pub(super) fn note_events(&self) {
        if let Some(cgroup) = self.cgroups.first() {
            AT_LIMIT.fetch_add(cgroup.events(CgroupEvent::Max), Ordering::Relaxed);
            KILLED_IN_CGROUPS.fetch_add(cgroup.events(CgroupEvent::Kill), Ordering::Relaxed);
        }
    }

    /// What the spaces count is what there is.
    pub(super) fn look_at_counts(&self) {
        for (process, pages) in self.processes.iter().flatten() {
            let usage = process.memory().usage();
            let count = |is_meant: fn(&Mapped) -> bool| pages.values().filter(|page| is_meant(page)).count();
            assert_eq!((usage.mapped, usage.locked), (pages.len(), count(|page| page.locked)), "{process}");
            assert_eq!(usage.swapped, self.computer.count_entries(&process.memory()), "entries of {process}");
            let private = usage.anonymous + usage.swapped;
            let most = count(|page| page.kind == Kind::Private || page.own.is_some());
            let least = if self.may_lose_pages { 0 } else { count(|page| page.own.is_some() && !page.is_free) };
            assert!(
                (least..=most).contains(&private),
                "{process} has {private} pages of its own, {least} to {most} of {pages:?}"
            );
        }
    }

    /// What each cgroup is charged is what has its number, and that of the one in it; no other number is anywhere.
    pub(super) fn look_at_owners(&self) {
        let (mut slots, mut frames) = ([0; cgroup::MOST], [0; cgroup::MOST]);
        for area in swap::core().areas() {
            for entry in (0..area.extents().pages() as u32).filter_map(|slot| area.entry(slot)) {
                slots[usize::from(swap::core().payer(entry))] += PAGE;
            }
        }
        for used in used_frames() {
            frames[usize::from(used.cgroup)] += PAGE;
        }
        (slots[usize::from(cgroup::ROOT)], frames[usize::from(cgroup::ROOT)]) = (0, 0);
        let (mut swapped, mut current) = (0, 0);
        for cgroup in self.cgroups.iter().rev() {
            let number = usize::from(cgroup.number());
            swapped += std::mem::take(&mut slots[number]);
            current += std::mem::take(&mut frames[number]);
            assert_eq!(cgroup.swap_current(), swapped, "slots of cgroup {number}");
            // The kernel's heap comes to this.
            assert!(cgroup.current() >= current, "frames of cgroup {number}: {current} of {}", cgroup.current());
        }
        assert!(slots.into_iter().chain(frames).all(|bytes| bytes == 0), "of a removed cgroup: {slots:?} {frames:?}");
    }

    /// What is promised is what could be written privately, and what shared memory may have.
    fn look_at_promises(&self) {
        let of_processes = self.processes.iter().flatten().flat_map(|(_, pages)| pages.values());
        let promised = of_processes.filter(|page| page.promised).count() as u64;
        let of_objects = OBJECT_PAGES + self.objects[1].object.pages();
        assert_eq!(overcommit::committed(), promised + of_objects, "promised");
    }

    /// While nothing is on its way: each page is in a list, among those that stay only if one of its PTEs has to, and each PTE that
    /// maps it is one that its space counts.
    pub(super) fn look_at_frames(&mut self) {
        self.conductor.enter(None);
        Computer::look_at_lists();
        for (kind, page) in pages() {
            assert!(kind != FrameKind::Object || !page.dirty || !page.list.droppable, "to be dropped: {page:?}");
        }
        let all = || self.processes.iter().flatten();
        let locked = all().flat_map(|(_, pages)| pages.values()).filter(|page| page.locked).count();
        let unevictable = pages().filter(|(_, page)| page.list.unevictable).count();
        assert!(unevictable <= locked, "{unevictable} pages have to stay, and {locked} are locked");
        let ptes = |kind| pages().filter(|(of, _)| *of == kind).map(|(_, page)| page.ptes as usize).sum::<usize>();
        let (mut anonymous, mut object, mut tables) = (0, 0, 0);
        for (process, _) in all() {
            let usage = process.memory().usage();
            (anonymous, object, tables) = (anonymous + usage.anonymous, object + usage.object, tables + usage.tables);
        }
        assert_eq!([ptes(FrameKind::Anonymous), ptes(FrameKind::Object)], [anonymous, object], "mapped pages");
        let is_table = |used: &frame_use::FrameUse| used.kind == FrameKind::PageTable;
        let found = used_frames().filter(is_table).count();
        // An index that has a node has one.
        assert!((tables..=tables + OBJECTS).contains(&found), "{found} frames for {tables} tables");
        self.look_at_objects();
        self.look_at_promises();
        self.look_at_locked();
    }

    fn look_at_objects(&self) {
        let [memory, written, source] = [0, 1, 2].map(|number| &self.objects[number].object);
        for object in [memory, written] {
            let next = |from: u64| object.next_data(from);
            let found = std::iter::successors(next(0), |index| next(index + 1)).count();
            assert_eq!(object.pages(), found as u64, "pages of an object");
        }
        assert_eq!(self.account.blocks.used(), written.pages() + source.pages(), "blocks of the file system");
    }

    /// A private page that is locked and was in memory is there still.
    fn look_at_locked(&mut self) {
        for (process, pages) in self.processes.iter_mut().flatten() {
            let memory = process.memory();
            for (page, mapped) in pages.iter_mut().filter(|(_, page)| page.locked && page.own.is_some()) {
                let mut is_here = false;
                memory.in_core(bytes(&(*page..page + 1)), |_| is_here = true).expect("it is mapped");
                assert!(is_here || !mapped.stays, "page {page} of {process} is locked, and not in memory any more");
                mapped.stays = is_here;
            }
        }
    }

    /// A page that was just read is in memory, and no page is said to be that was not asked for.
    pub(super) fn look_at_core(&self, number: usize, page: u64) {
        let Some((process, _)) = &self.processes[number] else { return };
        let core = |pages: u64| {
            let mut found = Vec::new();
            let end = process.memory().in_core(address(page)..address(page + pages), |index| found.push(index));
            (end.expect("it is mapped"), found)
        };
        assert_eq!(core(1), (address(page + 1), vec![0]), "page {page} of {process} was just read");
        let (end, found) = core(4);
        let pages = ((end - address(page)) / PAGE) as usize;
        assert!((1..=4).contains(&pages) && found.contains(&0) && found.iter().all(|index| *index < pages));
    }
}
