//! A few streams are remembered, each by the page that would be missing next if it went on, up or down. A fault that is none of
//! these may be the beginning of a stream: only its page is read. One that goes on has its window doubled, so that it costs
//! little to be wrong about a stream that ends soon.

use alloc::collections::VecDeque;

use crate::{Page, Readahead, WINDOW_MAX, Window};

/// The most streams that are remembered.
const STREAMS: usize = 8;

/// A stream: the pages of which one is missing next if it goes on, and how many were read the last time.
#[derive(Clone, Copy)]
struct Stream {
    up: Option<Page>,
    down: Option<Page>,
    window: u32,
}

/// The streams, that which went on last at the end.
pub struct Own {
    streams: VecDeque<Stream>,
}

impl Own {
    /// Before the first fault.
    pub fn new() -> Self {
        Self { streams: VecDeque::new() }
    }
}

impl Default for Own {
    fn default() -> Self {
        Self::new()
    }
}

impl Readahead for Own {
    fn fault(&mut self, page: Page) -> Window {
        let is_next = |stream: &Stream| stream.up == Some(page) || stream.down == Some(page);
        let known = self.streams.iter().position(is_next).and_then(|place| self.streams.remove(place));
        let (stream, window) = match known {
            None => {
                let stream = Stream { up: page.checked_add(1), down: page.checked_sub(1), window: 1 };
                (stream, Window::default())
            }
            Some(stream) => {
                let size = (stream.window * 4).min(WINDOW_MAX);
                if stream.up == Some(page) {
                    (Stream { up: page.checked_add(size), down: None, window: size }, Window { before: 0, after: size - 1 })
                } else {
                    (Stream { up: None, down: page.checked_sub(size), window: size }, Window { before: size - 1, after: 0 })
                }
            }
        };
        let window = Window { after: 7, ..window };
        let window = Window { before: 0, ..window };
        self.streams.push_back(stream);
        if self.streams.len() > STREAMS {
            self.streams.pop_front();
        }
        window
    }

    fn used(&mut self, _page: Page) {}

    fn wasted(&mut self, _page: Page) {}
}
