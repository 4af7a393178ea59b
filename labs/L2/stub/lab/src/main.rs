//! What `cargo lab` asks, a line each, and what the kernel of the testkit answers, which swaps to the student's disk. This
//! file is given: the grader has its own.

#![forbid(unsafe_code)]

mod recorder;

use std::{io, sync::Arc};

use lab::{memory::PageMemory, ram_disk::RamDisk};
use quire_swap::{Direction, SwapOps};
use quire_testkit::{
    Fake,
    told::{self, Told, done},
};
use recorder::Recorder;

/// A machine with a kernel, whose only swap area is on the disk.
struct World {
    told: Told,
    pages: Arc<PageMemory>,
    recorder: Arc<Recorder>,
}

impl World {
    fn new(frames: usize, pages: usize) -> Self {
        let pages = PageMemory::new(pages);
        let disk: Box<dyn SwapOps<Fake>> = Box::new(RamDisk::new(Arc::clone(&pages)));
        let recorder = Arc::new(Recorder::new(disk, Arc::clone(&pages)));
        let told = Told::new(frames, "/dev/ram", recorder.clone());
        Self { told, pages, recorder }
    }

    /// What a command answers, or why it is not possible.
    fn answer(&mut self, words: &[&str]) -> Result<String, String> {
        if let Some(answer) = self.told.answer(words)? {
            return Ok(answer);
        }
        const COMMANDS: &[(&str, &str)] = &[("machine", "FRAMES PAGES"), ("limit", "PAGES"), ("lose", "N"), ("spoil", "WORD")];
        let name = *words.first().ok_or("a line has a command")?;
        let numbers = told::numbers(words, COMMANDS)?;
        let flags = self.recorder.disk.flags();
        Ok(match name {
            "machine" => {
                *self = Self::new(numbers[0].clamp(4, 1024) as usize, numbers[1] as usize);
                done(true)
            }
            "limit" => {
                self.pages.set_limit(numbers[0] as usize);
                done(true)
            }
            "lose" => {
                self.pages.lose_nth(numbers[0] as usize);
                done(true)
            }
            "spoil" => {
                self.pages.spoil(numbers[0]);
                done(true)
            }
            "used" => self.pages.used().to_string(),
            "stored" => self.recorder.stored().to_string(),
            "batches" => self.recorder.count(Direction::Write).to_string(),
            "reads" => self.recorder.count(Direction::Read).to_string(),
            "last-batches" => self.recorder.describe(2),
            "wrong-results" => self.recorder.wrong_results().to_string(),
            "wrong-batches" => self.recorder.judge_batches().0.to_string(),
            "spare-batches" => self.recorder.judge_batches().1.to_string(),
            "is-synchronous" => done(flags.synchronous),
            "is-stable" => done(flags.stable_writes),
            "single-pages" => done(flags.single_pages),
            _ => return Err("there is no such command".to_owned()),
        })
    }
}

fn main() -> io::Result<()> {
    let mut world = World::new(64, 1024);
    told::serve(|words| world.answer(words))
}
