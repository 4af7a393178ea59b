//! What `cargo lab` asks, a line each, and what the kernel's code answers, for which the student's policy decides. This file is
//! given: the grader has its own.

#![forbid(unsafe_code)]

use std::{
    io::{self, BufRead, BufReader, Write},
    os::{fd::AsFd, unix::net::UnixStream},
};

use lab::{
    policy::{
        Instance,
        replay::{Counts, Replay},
    },
    rules,
};

/// Memories with a policy of their own each, as cgroups have it, and which of them the next accesses are in.
#[derive(Default)]
struct World {
    cgroups: Vec<Replay>,
    current: usize,
}

fn own() -> Instance {
    Instance::named("own").expect("it is in the table")
}

impl World {
    fn counts(&self) -> Option<Counts> {
        self.cgroups.get(self.current).map(Replay::counts)
    }

    fn answer(&mut self, command: &str, numbers: &[u64]) -> Option<String> {
        let at_most = |count: u64, most: u64| if count <= most { "yes".to_owned() } else { format!("no: {count}") };
        Some(match (command, numbers) {
            ("anew", []) => {
                *self = Self::default();
                "yes".to_owned()
            }
            ("cgroup", &[frames @ 1..=100_000]) => {
                self.current = self.cgroups.len();
                self.cgroups.push(Replay::new(own(), frames as usize));
                self.current.to_string()
            }
            ("in", &[number]) => {
                self.current = usize::try_from(number).ok().filter(|number| *number < self.cgroups.len())?;
                "yes".to_owned()
            }
            ("access", &[first, ref rest @ ..]) if rest.len() < 3 => {
                let (last, rounds) = (rest.first().copied().unwrap_or(first), rest.get(1).copied().unwrap_or(1));
                let cgroup = self.cgroups.get_mut(self.current)?;
                let faults = (0..rounds).flat_map(|_| first..=last).filter(|page| cgroup.access(*page)).count();
                faults.to_string()
            }
            ("faults", []) => self.counts()?.faults.to_string(),
            ("looks", []) => self.counts()?.looks.to_string(),
            ("faults-at-most", &[most]) => at_most(self.counts()?.faults, most),
            ("looks-at-most", &[most]) => at_most(self.counts()?.looks, most),
            ("apart", &[seed]) => rules::apart(own, seed).err().unwrap_or_else(|| "yes".to_owned()),
            ("rules", &[seed]) => rules::check(own(), seed).err().unwrap_or_else(|| "kept".to_owned()),
            _ => return None,
        })
    }
}

fn main() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (questions, mut answers) = (BufReader::new(socket.try_clone()?), socket);
    let mut world = World::default();
    for question in questions.lines() {
        let question = question?;
        let mut words = question.split_whitespace();
        let command = words.next().unwrap_or_default();
        let numbers: Option<Vec<u64>> = words.map(|word| word.parse().ok()).collect();
        let answer = numbers.and_then(|numbers| {
            // A page of a trace, one of very many: it has no answer.
            if let ("touch", &[page], Some(cgroup)) = (command, &*numbers, world.cgroups.get_mut(world.current)) {
                cgroup.access(page);
                return Some(None);
            }
            Some(Some(world.answer(command, &numbers)?))
        });
        if let Some(answer) = answer.unwrap_or(Some("not possible".to_owned())) {
            writeln!(answers, "{answer}")?;
        }
    }
    Ok(())
}
