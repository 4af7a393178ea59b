//! Lists of pages that know of each page whether it is in one, and which.

const NONE: u32 = u32::MAX;

/// Some lists, each by its number from 1 on; a page is in one of them at most.
#[derive(Debug)]
pub(super) struct Lists<const LISTS: usize> {
    links: Vec<Link>,
    lists: [List; LISTS],
}

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    previous: u32,
    /// 0 for none.
    list: u8,
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    len: usize,
}

impl<const LISTS: usize> Lists<LISTS> {
    /// Empty lists for pages below `pages`.
    pub(super) fn new(pages: usize) -> Self {
        let unlinked = Link { next: NONE, previous: NONE, list: 0 };
        Self { links: vec![unlinked; pages], lists: [List { head: NONE, tail: NONE, len: 0 }; LISTS] }
    }

    /// The list that the page is in; 0 for none.
    pub(super) fn list(&self, page: u32) -> u8 {
        self.links[page as usize].list
    }

    pub(super) fn len(&self, list: u8) -> usize {
        self.lists[usize::from(list) - 1].len
    }

    /// The page that has been in the list for longest.
    pub(super) fn tail(&self, list: u8) -> Option<u32> {
        Some(self.lists[usize::from(list) - 1].tail).filter(|page| *page != NONE)
    }

    /// Puts the page at the head of the list, wherever it was.
    pub(super) fn push(&mut self, list: u8, page: u32) {
        self.remove(page);
        let ends = &mut self.lists[usize::from(list) - 1];
        self.links[page as usize] = Link { next: ends.head, previous: NONE, list };
        match ends.head {
            NONE => ends.tail = page,
            head => self.links[head as usize].previous = page,
        }
        ends.head = page;
        ends.len += 1;
    }

    /// Takes the page out of its list, if it is in one.
    pub(super) fn remove(&mut self, page: u32) {
        let Link { next, previous, list } = self.links[page as usize];
        if list == 0 {
            return;
        }
        let ends = &mut self.lists[usize::from(list) - 1];
        match previous {
            NONE => ends.head = next,
            previous => self.links[previous as usize].next = next,
        }
        match next {
            NONE => ends.tail = previous,
            next => self.links[next as usize].previous = previous,
        }
        ends.len -= 1;
        self.links[page as usize].list = 0;
    }

    /// Takes the page out of the list that has been in it for longest.
    pub(super) fn pop(&mut self, list: u8) -> Option<u32> {
        let page = self.tail(list)?;
        self.remove(page);
        Some(page)
    }
}
