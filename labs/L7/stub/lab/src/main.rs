//! What `cargo lab` asks, a line each, and what the kernel of the testkit answers, which swaps to the student's mirror. This
//! file is given: the grader has its own.

#![forbid(unsafe_code)]

mod recorder;

use std::{io, sync::Arc};

use lab::{disk::Disk, mirror::Mirror, pieces::Running};
use quire_testkit::{
    Fake,
    told::{self, Told, done},
};
use recorder::Recorder;

/// A machine with a kernel, whose only swap area is on the mirror; and a piece that tasks run.
struct World {
    told: Told,
    disks: [Arc<Disk<Fake>>; 2],
    recorder: Arc<Recorder>,
    piece: Option<Running>,
}

impl World {
    fn new(frames: usize) -> Self {
        let disks = [(); 2].map(|()| Arc::new(Disk::default()));
        let recorder = Arc::new(Recorder::new(Box::new(Mirror::new(disks.clone())), disks.clone()));
        let told = Told::new(frames, "/dev/mirror", recorder.clone());
        Self { told, disks, recorder, piece: None }
    }

    /// What a command answers, or why it is not possible.
    fn answer(&mut self, words: &[&str]) -> Result<String, String> {
        if let Some(answer) = self.told.answer(words)? {
            return Ok(answer);
        }
        if let ["run", task, lines] = *words {
            let piece = self.piece.as_mut().ok_or("`piece N` comes first")?;
            let run = lines.parse().ok().and_then(|lines| piece.run(task, lines));
            return run.map(|()| done(true)).ok_or("there is no such task, or it has not so many lines left".to_owned());
        }
        const COMMANDS: &[(&str, &str)] = &[
            ("machine", "FRAMES"),
            ("fail-read", "DISK N"),
            ("fail-write", "DISK N"),
            ("spoil", "DISK WORD"),
            ("gone", "DISK"),
            ("back", "DISK"),
            ("pages", "DISK"),
            ("unreadable", "DISK"),
            ("piece", "N"),
        ];
        let name = *words.first().ok_or("a line has a command")?;
        let numbers = told::numbers(words, COMMANDS)?;
        let disk = || self.disks.get(numbers[0] as usize).ok_or("there are disks 0 and 1");
        Ok(match name {
            "machine" => {
                *self = Self::new(numbers[0].clamp(4, 1024) as usize);
                done(true)
            }
            "fail-read" => {
                disk()?.fail_read(numbers[1] as usize);
                done(true)
            }
            "fail-write" => {
                disk()?.fail_write(numbers[1] as usize);
                done(true)
            }
            "spoil" => {
                disk()?.spoil(numbers[1]);
                done(true)
            }
            "gone" | "back" => {
                disk()?.set_gone(name == "gone");
                done(true)
            }
            "pages" => disk()?.counts().0.to_string(),
            "unreadable" => disk()?.counts().1.to_string(),
            "piece" => {
                self.piece = Some(Running::new(numbers[0] as usize).ok_or("there is no such piece")?);
                done(true)
            }
            "sound" => match self.piece.take().ok_or("`piece N` comes first")?.end() {
                Ok(()) => done(true),
                Err(rule) => format!("no: {rule}"),
            },
            "poisoned" => self.told.kernel.poisoned.to_string(),
            "time" => self.disks.iter().map(|disk| disk.time()).max().unwrap_or(0).to_string(),
            "one-disk-time" => self.recorder.one_disk_time().to_string(),
            "wrong-results" => self.recorder.wrong_results().len().to_string(),
            "what-was-wrong" => self.recorder.wrong_results().first().cloned().unwrap_or_default(),
            _ => return Err("there is no such command".to_owned()),
        })
    }
}

fn main() -> io::Result<()> {
    let mut world = World::new(64);
    told::serve(|words| world.answer(words))
}
