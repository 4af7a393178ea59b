//! The picture: what was last told of a machine, and what is new in a snapshot of it. Differences are sent and recorded, not
//! whole states.

use std::{collections::BTreeMap, mem};

use serde_json::{Map, Value};

use super::{
    cells::{self, FrameCell, SlotCell},
    facts,
};
use crate::observatory::{Snapshot, event::Event};

/// What was last told of a machine.
#[derive(Debug, Default)]
pub struct Picture {
    facts: Map<String, Value>,
    frames: Vec<FrameCell>,
    areas: Vec<(u8, Vec<SlotCell>)>,
}

/// What has to be told: a difference to the picture before, or all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// All of it.
    pub whole: bool,
    /// The small facts that are new, by name; `counters` has those alone that are.
    pub facts: Map<String, Value>,
    /// Frames that are new.
    pub frames: Cells<FrameCell>,
    /// Every area by its index, with the slots of it that are new.
    pub areas: Vec<(u8, Cells<SlotCell>)>,
    /// What has happened since the picture before; times are microseconds of the guest's clock.
    pub events: Vec<Event>,
}

/// Some of many cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells<T> {
    /// All of them: those that were told before are forgotten.
    pub anew: bool,
    /// How many there are.
    pub count: usize,
    /// Those that are told, by their numbers, sorted.
    pub told: Vec<(usize, T)>,
}

impl Change {
    /// Whether the reader would see nothing new.
    pub fn is_empty(&self) -> bool {
        let is_still =
            self.frames.told.is_empty() && self.areas.iter().all(|(_, slots)| slots.told.is_empty() && !slots.anew);
        is_still && self.events.is_empty() && self.facts.keys().all(|name| facts::ALWAYS.contains(&name.as_str()))
    }

    /// Takes in the change that came before it: a reader who is told this one alone then knows as much.
    pub(super) fn follow(&mut self, before: Self) {
        if self.whole {
            return;
        }
        self.whole = before.whole;
        self.facts = facts::union(before.facts, mem::take(&mut self.facts));
        self.frames.follow(before.frames);
        for (index, slots) in before.areas {
            // One that is gone by now is not told.
            if let Some((_, now)) = self.areas.iter_mut().find(|(other, _)| *other == index) {
                now.follow(slots);
            }
        }
        self.events.splice(..0, before.events);
    }
}

impl<T: Copy + Default> Cells<T> {
    /// Puts what is told where it belongs.
    fn tell(&self, cells: &mut Vec<T>) {
        if self.anew {
            cells.clear();
        }
        cells.resize(self.count, T::default());
        for (index, cell) in &self.told {
            cells[*index] = *cell;
        }
    }
}

impl<T> Cells<T> {
    fn follow(&mut self, before: Self) {
        if self.anew {
            return;
        }
        self.anew = before.anew;
        let cells: BTreeMap<_, _> = before.told.into_iter().chain(self.told.drain(..)).collect();
        self.told = cells.into_iter().collect();
    }
}

impl Picture {
    /// Takes in a snapshot and says what is new; at the first time everything is. With `exact`, for a machine that is stopped, an
    /// accessed bit is news as well.
    pub fn advance(&mut self, snapshot: &Snapshot, exact: bool) -> Change {
        let whole = self.frames.is_empty();
        let frames = cells::frames(snapshot);
        let is_like = |before: &FrameCell, now: &FrameCell| before == now || !exact && before.is_like(now);
        let areas = snapshot.areas.iter().map(|area| (area.index, cells::slots(area, snapshot))).collect::<Vec<_>>();
        let events = facts::in_microseconds(&snapshot.events, snapshot.ticks_per_second);
        let facts = facts::facts(snapshot, &events);
        let known = |index| self.areas.iter().find(|(other, _)| *other == index).map_or(&[][..], |(_, slots)| slots);
        let change = Change {
            whole,
            facts: if whole { facts.clone() } else { facts::difference(&self.facts, &facts) },
            frames: differing(&self.frames, &frames, is_like),
            areas: areas.iter().map(|(index, slots)| (*index, differing(known(*index), slots, SlotCell::eq))).collect(),
            events,
        };
        *self = Self { facts, frames, areas };
        change
    }

    /// Takes in what was told of another picture: this one is then like that.
    pub(super) fn follow(&mut self, change: &Change) {
        if change.whole {
            *self = Self::default();
        }
        self.facts = facts::union(mem::take(&mut self.facts), change.facts.clone());
        change.frames.tell(&mut self.frames);
        let mut known = mem::take(&mut self.areas);
        for (index, slots) in &change.areas {
            let place = known.iter().position(|(other, _)| other == index);
            let mut area = place.map(|place| known.swap_remove(place).1).unwrap_or_default();
            slots.tell(&mut area);
            self.areas.push((*index, area));
        }
    }

    /// Everything, for a reader who knows nothing yet; `None` before the first snapshot.
    pub fn whole(&self) -> Option<Change> {
        if self.frames.is_empty() {
            return None;
        }
        let mut facts = self.facts.clone();
        // They have been counted for the difference that they came with.
        facts.extend(facts::nothing_happened());
        Some(Change {
            whole: true,
            facts,
            frames: differing(&[], &self.frames, FrameCell::eq),
            areas: self.areas.iter().map(|(index, slots)| (*index, differing(&[], slots, SlotCell::eq))).collect(),
            events: Vec::new(),
        })
    }
}

/// The cells that are not as they were. All that are no [`Default`] are told if there was another number of them.
fn differing<T: Copy + Default + PartialEq>(before: &[T], now: &[T], is_like: impl Fn(&T, &T) -> bool) -> Cells<T> {
    let anew = before.len() != now.len();
    let nothing = T::default();
    let is_told = |index: usize, cell: &T| {
        if anew { *cell != nothing } else { !is_like(&before[index], cell) }
    };
    let told = now.iter().enumerate().filter(|(index, cell)| is_told(*index, cell)).map(|(index, cell)| (index, *cell));
    Cells { anew, count: now.len(), told: told.collect() }
}
