//! The acts. Each leaves the machine as it found it.

mod compressed;
mod damaged;
mod disk;
mod file;
mod ghost;
mod limited;
mod policies;

use super::needs::Shown;

/// An act of the show.
pub(super) struct Act {
    pub(super) name: &'static str,
    /// What will be seen, in two sentences.
    pub(super) about: &'static str,
    pub(super) play: fn() -> Shown,
}

pub(super) const ACTS: [Act; 7] = [
    Act {
        name: "a disk",
        about: "Four processes use four times the memory there is, and what does not fit is on the disk /dev/vda. Watch how \
                many pages one request carries: pages go out together, and in order they come back together.",
        play: disk::play,
    },
    Act {
        name: "a swap file",
        about: "The swap area is a file on an ext4 file system now. Its blocks are looked up once, by swapon; after that \
                pages go to the disk without the file system.",
        play: file::play,
    },
    Act {
        name: "zram before the disk",
        about: "Pages are compressed into /dev/zram0, which is memory itself, and go to the disk only when that is full. Watch \
                how many come back without the disk, and how little memory they took.",
        play: compressed::play,
    },
    Act {
        name: "ghost swap with zswap",
        about: "/dev/ghostswap is swap space with nothing behind it: its slots are names, and the pages are in zswap, \
                compressed. Watch that no disk sees any of them.",
        play: ghost::play,
    },
    Act {
        name: "a cgroup with a limit beside one without",
        about: "Two processes do the same work on as many pages, and memory has room for both. One is in a cgroup whose \
                limit is a third of its pages: watch which of them pays for that.",
        play: limited::play,
    },
    Act {
        name: "a damaged encrypted disk",
        about: "Pages are encrypted on their way to a disk, and then one bit of every third slot is changed from outside. \
                A page that cannot be trusted ends the task that needs it, and none ever comes back wrong.",
        play: damaged::play,
    },
    Act {
        name: "one loop under two policies",
        about: "A program touches 300 pages at random and, in turn, walks round a loop of 800 others, with memory for 600. \
                Which page goes is decided by two policies side by side: watch how many touches have to read.",
        play: policies::play,
    },
];

#[cfg(test)]
mod tests {
    use super::ACTS;

    #[test]
    fn an_act_is_announced_by_two_sentences_that_fit_four_lines() {
        for act in &ACTS {
            assert!(act.about.len() <= 4 * 72, "{}", act.name);
            assert_eq!(act.about.matches(". ").count(), 1, "{}", act.name);
        }
    }
}
