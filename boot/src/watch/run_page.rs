//! The page with a run in it, and how it stays small however much happens: a [`Budget`] says how often there is room for a picture.
//!
//! Pictures that are left out lose their small events, which are counted as lost; all else of them is told with the next one.
//!
//! # Invariant
//!
//! The file is never larger than [`limit`] says for the time since it was begun, unless its first picture alone is: without that one
//! there is nothing to be seen.

use std::{
    io::{self, Write},
    mem,
    time::Duration,
};

use base64::{
    engine::{GeneralPurpose, general_purpose::STANDARD},
    write::EncoderWriter,
};
use flate2::{Compression, write::GzEncoder};

use super::{
    feed::framed,
    page::{AFTER_RECORDING, BEFORE_RECORDING, page},
    picture::Change,
};
use crate::observatory::event::What;

/// The most bytes of a run of up to [`FULL_AFTER`], and of each further time of that length.
const LIMIT: u64 = 4_900_000;
const FULL_AFTER: Duration = Duration::from_mins(5);

/// While more than this is left, every picture is recorded; from then on so many that what is left would last for [`HORIZON`].
const PLENTY: u64 = LIMIT / 5 * 2;
const HORIZON: Duration = Duration::from_mins(1);

/// Kept for the last picture, with which the file ends.
const LAST: u64 = LIMIT / 20;

/// How large a file may be so long after it was begun.
pub(super) fn limit(elapsed: Duration) -> u64 {
    let share = u128::from(LIMIT) * elapsed.max(FULL_AFTER).as_millis() / FULL_AFTER.as_millis();
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// How much has been written, and when there is room for more.
#[derive(Debug, Default)]
struct Budget {
    written: u64,
    next: Duration,
}

impl Budget {
    fn room(&self, elapsed: Duration) -> u64 {
        limit(elapsed).saturating_sub(self.written)
    }

    /// Whether it is time for a picture.
    fn is_time(&self, elapsed: Duration) -> bool {
        elapsed >= self.next
    }

    /// Whether there is room for this many bytes, as badly as they may compress, and for the end of the file, beside what is kept.
    fn has_room_for(&self, bytes: usize, kept: u64, elapsed: Duration) -> bool {
        // What deflate, its flush and the trailer of gzip can add, and three bytes as four letters.
        let most = (bytes + bytes / 1000 + 256) * 4 / 3;
        (most + AFTER_RECORDING.len()) as u64 + kept <= self.room(elapsed)
    }

    /// A picture took this many bytes.
    fn spend(&mut self, bytes: u64, elapsed: Duration) {
        self.written += bytes;
        let room = self.room(elapsed);
        let pause = HORIZON.as_millis() as u64 * bytes / room.max(1);
        self.next = if room > PLENTY { elapsed } else { elapsed + Duration::from_millis(pause) };
    }
}

/// A page that a run is recorded in.
pub(super) struct RunPage<W: Write> {
    letters: EncoderWriter<'static, GeneralPurpose, W>,
    gzip: GzEncoder<Vec<u8>>,
    budget: Budget,
    /// What is not written yet.
    waiting: Option<Change>,
    /// Events that were written over before they were read, and those that were left out here.
    lost: [u64; 2],
}

impl<W: Write> RunPage<W> {
    /// Writes the page, for a run to follow.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn new(mut file: W) -> io::Result<Self> {
        let page = page();
        file.write_all(page.as_bytes())?;
        file.write_all(BEFORE_RECORDING.as_bytes())?;
        Ok(Self {
            letters: EncoderWriter::new(file, &STANDARD),
            gzip: GzEncoder::new(Vec::new(), Compression::best()),
            budget: Budget { written: (page.len() + BEFORE_RECORDING.len()) as u64, next: Duration::ZERO },
            waiting: None,
            lost: [0; 2],
        })
    }

    /// Takes in what is new, so long after the file was begun.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn write(&mut self, change: &Change, elapsed: Duration) -> io::Result<()> {
        let mut change = change.clone();
        if let Some(mut before) = self.waiting.take() {
            self.lost[1] += leave_out_small_events(&mut before);
            change.follow(before);
        }
        self.waiting = Some(change);
        if self.budget.is_time(elapsed) { self.write_waiting(LAST, elapsed) } else { Ok(()) }
    }

    /// Writes what is waiting, if there is room beside what is kept.
    fn write_waiting(&mut self, kept: u64, elapsed: Duration) -> io::Result<()> {
        let Some(mut change) = self.waiting.take() else { return Ok(()) };
        self.count_lost(&mut change);
        let message = framed(&change);
        if !change.whole && !self.budget.has_room_for(message.len(), kept, elapsed) {
            self.waiting = Some(change);
            return Ok(());
        }
        self.gzip.write_all(&message)?;
        // So that it is known how much it is, and in the file if the launcher is killed.
        self.gzip.flush()?;
        let compressed = mem::take(self.gzip.get_mut());
        self.budget.spend(letters(compressed.len()), elapsed);
        self.letters.write_all(&compressed)?;
        self.letters.flush()
    }

    fn count_lost(&mut self, change: &mut Change) {
        if let Some(lost) = change.facts.get("lost").and_then(serde_json::Value::as_u64) {
            self.lost[0] = lost;
        }
        if self.lost[1] > 0 {
            change.facts.insert("lost".into(), self.lost.iter().sum::<u64>().into());
        }
    }

    /// Writes what is still to be written. Returns the file.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn finish(mut self, elapsed: Duration) -> io::Result<W> {
        self.write_waiting(0, elapsed)?;
        let trailer = self.gzip.finish()?;
        self.letters.write_all(&trailer)?;
        let mut file = self.letters.finish()?;
        file.write_all(AFTER_RECORDING.as_bytes())?;
        Ok(file)
    }
}

/// How many letters of base64 these bytes are, at most.
const fn letters(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(3) * 4
}

/// Keeps the events that are few and matter: what comes and goes, and who is killed. Returns how many went.
pub(super) fn leave_out_small_events(change: &mut Change) -> u64 {
    let all = change.events.len();
    change.events.retain(|event| {
        matches!(
            event.what,
            What::SwapOn { .. }
                | What::SwapOff { .. }
                | What::TaskStart { .. }
                | What::TaskEnd
                | What::OutOfMemory { .. }
        )
    });
    (all - change.events.len()) as u64
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use base64::{Engine, engine::general_purpose::STANDARD};
    use flate2::read::GzDecoder;

    use super::{AFTER_RECORDING, BEFORE_RECORDING, Change, LIMIT, RunPage, limit};
    use crate::{
        observatory::event::{Event, What},
        watch::{
            cells::{FrameCell, PageOwner},
            picture::Cells,
        },
    };

    const TICK: Duration = Duration::from_millis(90);

    /// A picture in which all of so many frames are new, and as many events; random ones, which do not compress.
    fn picture(frames: usize, random: &mut u64) -> Change {
        let mut next = || {
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            *random
        };
        let cell = |page| FrameCell { owner: PageOwner { thread: 9, page, sharers: 1 }, ..FrameCell::default() };
        Change {
            frames: Cells {
                anew: false,
                count: frames,
                told: (0..frames).map(|frame| (frame, cell(next()))).collect(),
            },
            events: (0..frames)
                .map(|_| Event { time: next(), cpu: 0, thread: 9, what: What::TaskSwitch { to: next() as u32 } })
                .collect(),
            ..Change::default()
        }
    }

    /// The file of a run of this length, and its messages.
    fn recorded(length: Duration, frames: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut page, mut random, mut elapsed) = (RunPage::new(Vec::new()).unwrap(), 0x9e37_79b9, Duration::ZERO);
        while elapsed < length {
            page.write(&picture(frames, &mut random), elapsed).unwrap();
            elapsed += TICK;
        }
        let file = page.finish(length).unwrap();
        let messages = messages(&file);
        (file, messages)
    }

    fn messages(file: &[u8]) -> Vec<Vec<u8>> {
        let text = str::from_utf8(file).unwrap();
        let run = text.rsplit_once(BEFORE_RECORDING).unwrap().1.strip_suffix(AFTER_RECORDING).unwrap();
        let (mut bytes, mut messages) = (Vec::new(), Vec::new());
        GzDecoder::new(&*STANDARD.decode(run).unwrap()).read_to_end(&mut bytes).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte < 0x80).unwrap();
            let length = rest[..=end].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
            messages.push(rest[end + 1..end + 1 + length].to_vec());
            rest = &rest[end + 1 + length..];
        }
        messages
    }

    #[test]
    fn a_run_of_minutes_stays_below_five_megabytes_however_much_happens() {
        for (seconds, frames) in [(20, 16_000), (180, 500), (290, 4_000)] {
            let (file, messages) = recorded(Duration::from_secs(seconds), frames);
            assert!(file.len() < 5_000_000, "{seconds} s of {frames} frames: {} bytes", file.len());
            assert!(file.len() as u64 > LIMIT / 2 && messages.len() > 5, "{}, {}", file.len(), messages.len());
        }
    }

    #[test]
    fn a_longer_run_has_as_much_for_each_further_minute() {
        let length = Duration::from_mins(7);
        let (file, _) = recorded(length, 200);
        assert!(file.len() as u64 <= limit(length) && limit(length) == LIMIT * 7 / 5, "{}", file.len());
        assert!(file.len() as u64 > LIMIT, "{}", file.len());
    }

    #[test]
    fn a_picture_that_is_small_is_never_left_out() {
        let length = Duration::from_mins(3);
        assert_eq!(recorded(length, 10).1.len() as u128, length.as_millis().div_ceil(TICK.as_millis()));
    }

    #[test]
    fn the_first_picture_is_there_however_large_the_machine_is() {
        let (mut page, count) = (RunPage::new(Vec::new()).unwrap(), LIMIT as usize);
        let told = (0..count).map(|frame| (frame, FrameCell { kind: 1, ..FrameCell::default() })).collect();
        let first = Change { whole: true, frames: Cells { anew: true, count, told }, ..Change::default() };
        page.write(&first, Duration::ZERO).unwrap();
        let file = page.finish(Duration::ZERO).unwrap();
        assert_eq!(messages(&file).len(), 1);
        assert!((file.len() as u64) < LIMIT, "{}", file.len());
    }

    #[test]
    fn a_picture_that_is_left_out_is_told_with_the_next_and_its_events_are_counted_as_lost() {
        let mut page = RunPage::new(Vec::new()).unwrap();
        page.budget.next = TICK;
        let event = |time, what| Event { time, cpu: 0, thread: 9, what };
        let cells = |told: &[(usize, u8)]| {
            let told = told.iter().map(|(index, kind)| (*index, FrameCell { kind: *kind, ..FrameCell::default() }));
            Cells { anew: false, count: 100, told: told.collect() }
        };
        let facts = |value: serde_json::Value| value.as_object().unwrap().clone();
        let first = Change {
            facts: facts(serde_json::json!({ "faults": [1, 2], "counters": { "pswpin": 1, "pswpout": 1 }, "lost": 5 })),
            frames: cells(&[(3, 1), (7, 1)]),
            events: vec![event(1, What::TaskSwitch { to: 4 }), event(2, What::SwapOn { area: 0 })],
            ..Change::default()
        };
        let second = Change {
            facts: facts(serde_json::json!({ "faults": [10, 20], "counters": { "pswpout": 9 } })),
            frames: cells(&[(7, 2), (9, 2)]),
            events: vec![event(3, What::TaskSwitch { to: 5 })],
            ..Change::default()
        };
        page.write(&first, Duration::ZERO).unwrap();
        page.write(&second, TICK).unwrap();
        let expected = Change {
            facts: facts(
                serde_json::json!({ "faults": [11, 22], "counters": { "pswpin": 1, "pswpout": 9 }, "lost": 6 }),
            ),
            frames: cells(&[(3, 1), (7, 2), (9, 2)]),
            events: vec![event(2, What::SwapOn { area: 0 }), event(3, What::TaskSwitch { to: 5 })],
            ..Change::default()
        };
        assert_eq!(messages(&page.finish(TICK).unwrap()), [super::super::message::message(&expected)]);
    }
}
