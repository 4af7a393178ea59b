//! A page that repeats one word is that word. Any other has contents, which equal pages share: they are found by a sum of their words, and
//! compared. Contents are, whichever takes least: the words that differ from a page that is there already, or from zeros; letters of
//! five bits, if the page has at most 32 different bytes; or the page itself.
//!
//! Contents that differ from a page hold a reference to it, so it stays as long as they do. It is never of that kind itself.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    Full, Key, Store,
    heap::{self, Chunk, Frame, PAGE_WORDS, Page},
};

type Words = [u64; PAGE_WORDS];
type Id = u32;

/// Words of a page of which one sum is made, by which pages that differ in a few words are found.
const PART: usize = PAGE_WORDS / 8;
/// With more words that differ, a page is not kept as a change of another one.
const CHANGES_MAX: usize = 100;
/// What the alphabet of a page of letters takes; five bits for each byte follow.
const ALPHABET_WORDS: usize = 4;

enum Kept {
    Same(u64),
    Contents(Id),
}

enum Form {
    Plain,
    Letters,
    /// The words that differ from these contents, or from zeros.
    Changed(Option<Id>),
}

struct Contents {
    references: u32,
    sum: u64,
    form: Form,
    chunk: Chunk,
}

/// What is stored, and where to look for a page that is like another.
pub struct Own {
    pages: BTreeMap<Key, Kept>,
    contents: BTreeMap<Id, Contents>,
    by_sum: BTreeMap<u64, Id>,
    by_part: BTreeMap<u64, Id>,
    next: Id,
}

/// A sum in which the order of the words counts.
fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum: u64, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}

/// Sums of parts of the page. That of zeros finds nothing.
fn parts(words: &Words) -> impl Iterator<Item = u64> {
    words.chunks(PART).filter(|part| part.iter().any(|word| *word != 0)).map(sum)
}

/// Places and words of what differs: four places a word, and then the words.
fn changes(from: &Words, to: &Words) -> Vec<u64> {
    let places: Vec<usize> = (0..PAGE_WORDS).filter(|at| from[*at] != to[*at]).collect();
    let pack = |places: &[usize]| places.iter().rev().fold(0, |word, at| word << 16 | *at as u64);
    places.chunks(4).map(pack).chain(places.iter().map(|at| to[*at])).collect()
}

/// The alphabet of a page of at most 32 different bytes.
fn alphabet(words: &Words) -> Option<Vec<u8>> {
    let mut alphabet = Vec::new();
    for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
        if !alphabet.contains(&byte) {
            alphabet.push(byte);
        }
        if alphabet.len() > 32 {
            return None;
        }
    }
    alphabet.resize(32, 0);
    Some(alphabet)
}

fn letters(words: &Words) -> Option<Vec<u64>> {
    let alphabet = alphabet(words)?;
    let mut packed: Vec<u64> = alphabet.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let (mut bits, mut count) = (0_u128, 0);
    for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
        let letter = alphabet.iter().position(|letter| *letter == byte)?;
        bits |= (letter as u128) << count;
        count += 5;
        if count >= 64 {
            packed.push(bits as u64);
            bits >>= 64;
            count -= 64;
        }
    }
    Some(packed)
}

impl Own {
    /// Before the first page.
    pub fn new() -> Self {
        Self {
            pages: BTreeMap::new(),
            contents: BTreeMap::new(),
            by_sum: BTreeMap::new(),
            by_part: BTreeMap::new(),
            next: 0,
        }
    }

    /// The page that the contents stand for.
    fn words(&self, contents: &Contents) -> Words {
        let chunk = &contents.chunk;
        let mut words = [0; PAGE_WORDS];
        match contents.form {
            Form::Plain => words.iter_mut().enumerate().for_each(|(at, word)| *word = chunk.word(at)),
            Form::Letters => {
                let alphabet: Vec<u8> = (0..ALPHABET_WORDS).flat_map(|at| chunk.word(at).to_le_bytes()).collect();
                let (mut bits, mut count, mut next) = (0_u128, 0, ALPHABET_WORDS);
                for word in &mut words {
                    let bytes = [0; 8].map(|_: u8| {
                        if count < 5 {
                            bits |= u128::from(chunk.word(next)) << count;
                            next += 1;
                            count += 64;
                        }
                        let letter = alphabet[(bits & 31) as usize];
                        bits >>= 5;
                        count -= 5;
                        letter
                    });
                    *word = u64::from_le_bytes(bytes);
                }
            }
            Form::Changed(base) => {
                if let Some(base) = base.and_then(|base| self.contents.get(&base)) {
                    words = self.words(base);
                }
                let count = chunk.words() * 4 / 5;
                let first = chunk.words() - count;
                let mut places = 0;
                for change in 0..count {
                    places = if change % 4 == 0 { chunk.word(change / 4) } else { places >> 16 };
                    words[places as usize % PAGE_WORDS] = chunk.word(first + change);
                }
            }
        }
        words
    }

    /// The shortest form, with its words.
    fn encode(&self, words: &Words) -> (Form, Vec<u64>) {
        let base = parts(words).find_map(|part| self.by_part.get(&part));
        let changed = base.and_then(|base| {
            let words = changes(&self.words(self.contents.get(base)?), words);
            Some((Form::Changed(Some(*base)), words))
        });
        let sparse = (Form::Changed(None), changes(&[0; PAGE_WORDS], words));
        let best = changed.into_iter().chain([sparse]).min_by_key(|(_, words)| words.len());
        best.filter(|(_, words)| words.len() <= CHANGES_MAX)
            .or_else(|| Some((Form::Letters, letters(words)?)))
            .unwrap_or((Form::Plain, words.to_vec()))
    }

    /// Contents with these words, with a reference for the caller.
    fn contents(&mut self, words: &Words) -> Result<Id, Full> {
        let sum = sum(words);
        if let Some(&id) = self.by_sum.get(&sum)
            && self.contents.get(&id).is_some_and(|contents| self.words(contents) == *words)
        {
            self.refer(id);
            return Ok(id);
        }
        let (form, packed) = self.encode(words);
        let mut chunk = heap::take(packed.len()).ok_or(Full)?;
        packed.iter().enumerate().for_each(|(at, word)| chunk.set(at, *word));
        let id = self.next;
        self.next += 1;
        self.by_sum.entry(sum).or_insert(id);
        match form {
            Form::Changed(Some(base)) => self.refer(base),
            Form::Changed(None) => {}
            Form::Plain | Form::Letters => {
                for part in parts(words) {
                    self.by_part.entry(part).or_insert(id);
                }
            }
        }
        self.contents.insert(id, Contents { references: 1, sum, form, chunk });
        Ok(id)
    }

    fn refer(&mut self, id: Id) {
        if let Some(contents) = self.contents.get_mut(&id) {
            contents.references += 1;
        }
    }

    /// Gives up a reference; the last one takes the contents with it.
    fn put(&mut self, id: Id) {
        let Some(contents) = self.contents.get_mut(&id) else { return };
        contents.references -= 1;
        if contents.references > 0 {
            return;
        }
        let Some(contents) = self.contents.remove(&id) else { return };
        if self.by_sum.get(&contents.sum) == Some(&id) {
            self.by_sum.remove(&contents.sum);
        }
        match contents.form {
            Form::Changed(Some(base)) => self.put(base),
            Form::Changed(None) => {}
            Form::Plain | Form::Letters => self.by_part.retain(|_, other| *other != id),
        }
    }
}

impl Default for Own {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for Own {
    fn store(&mut self, key: Key, page: &Page<'_>) -> Result<(), Full> {
        let mut words = [0; PAGE_WORDS];
        words.iter_mut().enumerate().for_each(|(at, word)| *word = page.word(at));
        let kept = if words.iter().all(|word| *word == words[0]) {
            Kept::Same(words[0])
        } else {
            Kept::Contents(self.contents(&words)?)
        };
        let old = self.pages.insert(key, kept);
        if let Some(Kept::Contents(id)) = old {
            self.put(id);
        }
        Ok(())
    }

    fn load(&self, key: Key, frame: &mut Frame<'_>) -> bool {
        let words = match self.pages.get(&key) {
            Some(Kept::Same(word)) => [*word; PAGE_WORDS],
            Some(Kept::Contents(id)) => match self.contents.get(id) {
                Some(contents) => self.words(contents),
                None => return false,
            },
            None => return false,
        };
        words.iter().enumerate().for_each(|(at, word)| frame.set(at, *word));
        true
    }

    fn free(&mut self, key: Key) {
        if let Some(Kept::Contents(id)) = self.pages.remove(&key) {
            self.put(id);
        }
    }
}
