//! `walk PAGES FIRST COUNT ZERO PAGE STRIDE [STEP]`: makes pages, has some of them leave memory, and reads these again, one after the
//! other; that one can look at the machine from outside meanwhile, it stops for good behind a step.
//!
//! 1. PAGES pages are written, each with a word of its own; each ZERO-th of them with nothing but zeros.
//! 2. The COUNT pages from FIRST on leave memory, all at once, and the program waits until they have.
//! 3. Page PAGE, which is one of these, is read.
//! 4. The others of these are read, each STRIDE pages behind the one before, round and round, until all were.
//!
//! It says where its pages are and that a step is over, and nothing of what became of them: that is to be found out.
//!
//! Exit status: 0 all pages held what was written, 1 some did not, 2 wrong usage or a refused system call.

use std::{error::Error, process::ExitCode, thread::sleep, time::Duration};

use nix::{
    sys::mman::MmapAdvise,
    unistd::{getpid, pause},
};

use crate::{areas, files, memory::Memory};

/// What is walked over, and how far.
#[derive(Clone, Copy, Debug)]
struct Walk {
    pages: usize,
    first: usize,
    count: usize,
    zero: usize,
    page: usize,
    stride: usize,
    stop: usize,
}

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some(walk) = parse(arguments) else {
        eprintln!("usage: walk PAGES FIRST COUNT ZERO PAGE STRIDE [STEP]");
        return ExitCode::from(2);
    };
    match walk.run() {
        Ok(wrong) => ExitCode::from(u8::from(wrong > 0)),
        Err(error) => {
            eprintln!("walk: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Option<Walk> {
    let numbers = arguments.iter().map(|word| word.parse().ok()).collect::<Option<Vec<usize>>>()?;
    let (&[pages, first, count, zero, page, stride], stop) = numbers.split_first_chunk::<6>()?;
    let walk = Walk { pages, first, count, zero, page, stride, stop: stop.first().copied().unwrap_or(usize::MAX) };
    let is_sound = zero > 1 && count > 0 && first + count <= pages && (first..first + count).contains(&page);
    (is_sound && stop.len() <= 1).then_some(walk)
}

impl Walk {
    fn word(self, page: usize) -> u64 {
        if page.is_multiple_of(self.zero) { 0 } else { 1000 + page as u64 }
    }

    fn run(self) -> Result<usize, Box<dyn Error>> {
        if files::number("/proc/meminfo", "SwapTotal")? == 0 {
            areas::enable("/dev/vda", 0)?;
        }
        let mut memory = Memory::private(self.pages)?;
        println!("walk: process {}, page 0 is at {:p}", getpid(), memory.address(0));
        for page in 0..self.pages {
            memory.set_word(page, self.word(page));
        }
        self.over(1);

        let range = self.first..self.first + self.count;
        memory.advise(range.clone(), MmapAdvise::MADV_PAGEOUT)?;
        while memory.in_core()?[range.clone()].contains(&true) {
            sleep(Duration::from_millis(1));
        }
        self.over(2);

        let mut wrong = usize::from(memory.word(self.page) != self.word(self.page));
        self.over(3);

        for turn in 1..self.count {
            let page = self.first + (self.page - self.first + turn * self.stride) % self.count;
            wrong += usize::from(memory.word(page) != self.word(page));
        }
        self.over(4);
        Ok(wrong)
    }

    /// Stops for good behind the step that was named.
    fn over(self, step: usize) {
        println!("walk: step {step} is over");
        if self.stop == step {
            loop {
                pause();
            }
        }
    }
}
