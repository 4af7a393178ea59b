//! The names and nodes of a file system in memory: a table of nodes by number, without locks and without contents.
//!
//! # Invariants
//!
//! A node's `links` is how many names lead to it; a directory has at most one name, and two links and one more for each
//! directory in it, as Linux counts. Names never form a circle. A node leaves the table when neither a name nor a handle
//! is left; it is returned then, so that its contents go where no lock is held. A call that fails changes nothing.
//!
//! Each name has a position in its directory that stays while the name does, so that reading a directory in parts,
//! between which names come and go, yields each name that stays exactly once.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use quire_machine::fallible::{self, TryMap, TryVec};
use quire_memory::charge::Charge;

use super::node::{Attributes, NAME_MAX, NodeKind};
use crate::errno::Errno;

/// A node's number; the root's is [`ROOT`].
pub type Number = u64;

/// The root directory's number.
pub const ROOT: Number = 1;

/// How many names are listed together.
const NAMES_AT_ONCE: usize = 64;

/// A file system's nodes; a file's contents are a `C`.
#[derive(Debug)]
pub struct Tree<C> {
    nodes: BTreeMap<Number, Inode<C>>,
    next: Number,
    /// Names of nodes that are no directories beyond each one's first.
    more_names: u64,
    /// The most nodes, each name beyond a node's first counted as one (Linux: `max_inodes` of tmpfs); 0 for no limit.
    limit: u64,
}

/// One node.
#[derive(Debug)]
pub struct Inode<C> {
    /// Owner, permissions and times.
    pub attributes: Attributes,
    /// What it is.
    pub body: Body<C>,
    links: u32,
    handles: u32,
    _charge: Charge,
}

/// What a node takes of the heap, roughly, without its names.
const NODE_BYTES: usize = 384;
/// The same for a name without its bytes.
const NAME_BYTES: usize = 128;

/// What a node is.
#[derive(Debug)]
pub enum Body<C> {
    /// A directory.
    Directory(Directory),
    /// A file and its contents.
    File(C),
    /// A symbolic link and its target.
    Link(Box<[u8]>),
    /// A device, pipe or socket, which the tree only remembers.
    Special(NodeKind),
}

/// What is in a directory.
#[derive(Debug, Default)]
pub struct Directory {
    parent: Number,
    names: BTreeMap<Box<[u8]>, Name>,
    next: u64,
}

#[derive(Debug)]
struct Name {
    number: Number,
    position: u64,
    _charge: Charge,
}

/// A name that no node has yet, and what it takes of the heap.
struct NewName {
    bytes: Box<[u8]>,
    charge: Charge,
}

impl NewName {
    fn new(name: &[u8]) -> Result<Self, Errno> {
        let charge = Charge::new(NAME_BYTES + name.len()).map_err(|_| Errno::ENOMEM)?;
        Ok(Self { bytes: fallible::boxed_slice(name)?, charge })
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its position, which stays while it does.
    pub position: u64,
    /// Its bytes.
    pub name: &'a [u8],
    /// Its node.
    pub number: Number,
}

/// How a node is to get another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// What has the new name loses it.
    Yes,
    /// The new name must be free.
    No,
    /// What has the new name gets the old one.
    Exchange,
}

impl<C> Inode<C> {
    /// How many names it has.
    pub fn links(&self) -> u32 {
        self.links
    }

    /// What kind of node it is.
    pub fn kind(&self) -> NodeKind {
        match &self.body {
            Body::Directory(_) => NodeKind::Directory,
            Body::File(_) => NodeKind::File,
            Body::Link(_) => NodeKind::Link,
            Body::Special(kind) => *kind,
        }
    }

    fn directory(&self) -> Result<&Directory, Errno> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

impl<C> Tree<C> {
    /// A tree with an empty root directory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(attributes: Attributes) -> Result<Self, Errno> {
        let body = Body::Directory(Directory { parent: ROOT, ..Directory::default() });
        // The root's handle is the mount's.
        let root = Inode { attributes, body, links: 2, handles: 1, _charge: Charge::NONE };
        let mut nodes = BTreeMap::new();
        nodes.insert_if_memory(ROOT, root)?;
        Ok(Self { nodes, next: ROOT + 1, more_names: 0, limit: 0 })
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The most nodes; 0 for no limit.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What counts against the limit.
    pub fn used(&self) -> u64 {
        self.nodes.len() as u64 + self.more_names
    }

    /// Sets the most nodes; 0 for no limit.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    fn check_limit(&self) -> Result<(), Errno> {
        if self.limit == 0 || self.used() < self.limit { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    /// A node that has a name or a handle.
    ///
    /// # Panics
    /// If it has neither.
    pub fn node(&self, number: Number) -> &Inode<C> {
        self.nodes.get(&number).expect("a node stays while it has names or handles")
    }

    /// A node that has a name or a handle.
    ///
    /// # Panics
    /// If it has neither.
    pub fn node_mut(&mut self, number: Number) -> &mut Inode<C> {
        self.nodes.get_mut(&number).expect("a node stays while it has names or handles")
    }

    fn directory_mut(&mut self, number: Number) -> &mut Directory {
        match &mut self.node_mut(number).body {
            Body::Directory(directory) => directory,
            _ => unreachable!("the callers have checked that node {number} is a directory"),
        }
    }

    /// Keeps a node also without a name.
    pub fn hold(&mut self, number: Number) {
        self.node_mut(number).handles += 1;
    }

    /// Takes back a [`Self::hold`]; returns the node if that was the last there was of it.
    pub fn release(&mut self, number: Number) -> Option<Inode<C>> {
        self.node_mut(number).handles -= 1;
        self.take_if_gone(number)
    }

    fn take_if_gone(&mut self, number: Number) -> Option<Inode<C>> {
        let node = self.node(number);
        let gone = node.links == 0 && node.handles == 0;
        gone.then(|| self.nodes.remove(&number)).flatten()
    }

    /// The node called `name` in a directory.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`, `ENAMETOOLONG`.
    pub fn lookup(&self, directory: Number, name: &[u8]) -> Result<Number, Errno> {
        let directory = self.node(directory).directory()?;
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        directory.names.get(name).map(|name| name.number).ok_or(Errno::ENOENT)
    }

    /// The directory that a directory is in; none for the root and for one that was removed.
    pub fn parent(&self, directory: Number) -> Option<Number> {
        let node = self.node(directory);
        let parent = node.directory().ok()?.parent;
        (directory != ROOT && node.links > 0).then_some(parent)
    }

    /// The first name in `directory` of the node `number`.
    pub fn name_of(&self, directory: Number, number: Number) -> Option<&[u8]> {
        let names = &self.node(directory).directory().ok()?.names;
        names.iter().find(|(_, name)| name.number == number).map(|(bytes, _)| &**bytes)
    }

    /// The next names in a directory from `position` on, in the order of their positions; at most `NAMES_AT_ONCE`, so
    /// that a large directory takes no more memory to read than a small one.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn names(&self, directory: Number, position: u64) -> Result<Vec<Entry<'_>>, Errno> {
        let directory = self.node(directory).directory()?;
        let mut names: Vec<Entry<'_>> = fallible::with_capacity(NAMES_AT_ONCE)?;
        for (bytes, name) in directory.names.iter().filter(|(_, name)| name.position >= position) {
            let Name { number, position, .. } = *name;
            let place = names.partition_point(|entry| entry.position < position);
            if place < NAMES_AT_ONCE {
                names.truncate(NAMES_AT_ONCE - 1);
                names.try_push(Entry { position, name: bytes, number })?;
                names[place..].rotate_right(1);
            }
        }
        Ok(names)
    }

    /// Makes a node called `name` in a directory.
    ///
    /// # Errors
    /// `ENOTDIR`, `EEXIST`, `ENAMETOOLONG`; `ENOENT` when the directory was removed; `ENOMEM` for a memory
    /// group at its limit.
    pub fn create(
        &mut self,
        directory: Number,
        name: &[u8],
        attributes: Attributes,
        body: Body<C>,
    ) -> Result<Number, Errno> {
        self.check_free(directory, name)?;
        self.check_limit()?;
        let charge = Charge::new(NODE_BYTES).map_err(|_| Errno::ENOMEM)?;
        let name = NewName::new(name)?;
        self.directory_mut(directory).names.ask_for(1)?;
        let number = self.next;
        self.nodes.insert_if_memory(number, Inode { attributes, body, links: 0, handles: 0, _charge: charge })?;
        self.next += 1;
        self.attach(directory, name, number);
        Ok(number)
    }

    /// Gives a node that is no directory another name.
    ///
    /// # Errors
    /// As [`Self::create`]; `EPERM` for a directory, `ENOENT` for a node without a name.
    pub fn link(&mut self, directory: Number, name: &[u8], number: Number) -> Result<(), Errno> {
        self.check_free(directory, name)?;
        let node = self.node(number);
        if node.kind() == NodeKind::Directory {
            return Err(Errno::EPERM);
        }
        if node.links == 0 {
            return Err(Errno::ENOENT);
        }
        self.check_limit()?;
        let name = NewName::new(name)?;
        self.directory_mut(directory).names.ask_for(1)?;
        self.attach(directory, name, number);
        Ok(())
    }

    /// Takes a name from a node that is no directory; returns the node if nothing else is left of it.
    ///
    /// # Errors
    /// As [`Self::lookup`]; `EISDIR`.
    pub fn unlink(&mut self, directory: Number, name: &[u8]) -> Result<Option<Inode<C>>, Errno> {
        let number = self.lookup(directory, name)?;
        if self.node(number).kind() == NodeKind::Directory {
            return Err(Errno::EISDIR);
        }
        self.detach(directory, name);
        Ok(self.take_if_gone(number))
    }

    /// Removes an empty directory; returns it if nothing else is left of it.
    ///
    /// # Errors
    /// As [`Self::lookup`], also for the named node; `ENOTEMPTY`.
    pub fn remove_directory(&mut self, directory: Number, name: &[u8]) -> Result<Option<Inode<C>>, Errno> {
        let number = self.lookup(directory, name)?;
        if !self.node(number).directory()?.names.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.detach(directory, name);
        Ok(self.take_if_gone(number))
    }

    /// Calls what is called `old` in `from` from now on `new` in `to`; returns what was replaced, if nothing else is left
    /// of it.
    ///
    /// # Errors
    /// As [`Self::lookup`]; `EEXIST`, `EISDIR`, `ENOTDIR` and `ENOTEMPTY` for what is called `new` already, `EINVAL` when a
    /// directory would come to lie in itself.
    pub fn rename(
        &mut self,
        (from, old): (Number, &[u8]),
        (to, new): (Number, &[u8]),
        replace: Replace,
    ) -> Result<Option<Inode<C>>, Errno> {
        let number = self.lookup(from, old)?;
        let target = match self.lookup(to, new) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) if replace != Replace::Exchange => None,
            Err(error) => return Err(error),
        };
        if self.node(to).links == 0 {
            return Err(Errno::ENOENT);
        }
        let lies_in =
            |inner, outer| core::iter::successors(Some(inner), |inner| self.parent(*inner)).any(|at| at == outer);
        if lies_in(to, number) || replace == Replace::Exchange && target.is_some_and(|target| lies_in(from, target)) {
            return Err(Errno::EINVAL);
        }
        match (target, replace) {
            (Some(target), _) if target == number => return Ok(None),
            (Some(_), Replace::No) => return Err(Errno::EEXIST),
            (Some(target), Replace::Yes) => self.check_replaceable(number, target)?,
            _ => {}
        }
        let new_name = NewName::new(new)?;
        let old_name = if replace == Replace::Exchange { Some(NewName::new(old)?) } else { None };
        self.directory_mut(to).names.ask_for(2)?;
        self.detach(from, old);
        if target.is_some() {
            self.detach(to, new);
        }
        self.attach(to, new_name, number);
        let Some(target) = target else { return Ok(None) };
        if let Some(old_name) = old_name {
            self.attach(from, old_name, target);
        }
        Ok(self.take_if_gone(target))
    }

    fn check_replaceable(&self, number: Number, target: Number) -> Result<(), Errno> {
        let target = self.node(target);
        match (self.node(number).kind() == NodeKind::Directory, target.directory()) {
            (true, Ok(directory)) if !directory.names.is_empty() => Err(Errno::ENOTEMPTY),
            (true, Err(error)) => Err(error),
            (false, Ok(_)) => Err(Errno::EISDIR),
            _ => Ok(()),
        }
    }

    fn check_free(&self, directory: Number, name: &[u8]) -> Result<(), Errno> {
        match self.lookup(directory, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) if self.node(directory).links > 0 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives a node a name that is free. The callers have asked for what that takes.
    fn attach(&mut self, directory: Number, name: NewName, number: Number) {
        let entries = self.directory_mut(directory);
        let position = entries.next;
        entries.next += 1;
        entries.names.insert_asked(name.bytes, Name { number, position, _charge: name.charge });
        let node = self.node_mut(number);
        node.links += 1;
        if let Body::Directory(moved) = &mut node.body {
            moved.parent = directory;
            node.links += 1;
            self.node_mut(directory).links += 1;
        } else if node.links > 1 {
            self.more_names += 1;
        }
    }

    /// Takes a name away that there is.
    fn detach(&mut self, directory: Number, name: &[u8]) {
        let Some(name) = self.directory_mut(directory).names.remove(name) else { return };
        let node = self.node_mut(name.number);
        node.links -= 1;
        if node.kind() == NodeKind::Directory {
            node.links -= 1;
            self.node_mut(directory).links -= 1;
        } else if node.links > 0 {
            self.more_names -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{Strategy, prop, prop_assert, prop_oneof, proptest};

    use super::{Body, Directory, Inode, NAMES_AT_ONCE, Number, ROOT, Replace, Tree};
    use crate::errno::Errno;
    use crate::fs::node::{Attributes, NodeKind};

    fn tree() -> Tree<&'static str> {
        Tree::new(Attributes::default()).expect("memory")
    }

    fn file(tree: &mut Tree<&'static str>, directory: Number, name: &str) -> Result<Number, Errno> {
        tree.create(directory, name.as_bytes(), Attributes::default(), Body::File("contents"))
    }

    fn directory(tree: &mut Tree<&'static str>, parent: Number, name: &str) -> Result<Number, Errno> {
        tree.create(parent, name.as_bytes(), Attributes::default(), Body::Directory(Directory::default()))
    }

    #[test]
    fn a_file_stays_while_it_has_a_name_or_a_handle() {
        let mut tree = tree();
        let number = file(&mut tree, ROOT, "a").expect("free");
        tree.link(ROOT, b"b", number).expect("free");
        tree.hold(number);
        assert!(tree.unlink(ROOT, b"a").expect("there").is_none());
        assert!(tree.unlink(ROOT, b"b").expect("there").is_none());
        assert_eq!(tree.link(ROOT, b"c", number), Err(Errno::ENOENT), "no way back");
        assert!(tree.release(number).is_some());
        assert_eq!(tree.count(), 1);
    }

    #[test]
    fn nodes_and_further_names_count_against_the_limit() {
        let mut tree = tree();
        tree.set_limit(3);
        let number = file(&mut tree, ROOT, "a").expect("the second");
        tree.link(ROOT, b"b", number).expect("counts as the third");
        assert_eq!(file(&mut tree, ROOT, "c"), Err(Errno::ENOSPC));
        assert_eq!(file(&mut tree, ROOT, "a"), Err(Errno::EEXIST), "what is there is found first");
        assert_eq!(tree.link(ROOT, b"c", number), Err(Errno::ENOSPC));
        tree.unlink(ROOT, b"b").expect("there");
        directory(&mut tree, ROOT, "c").expect("there is room again");
        assert_eq!(tree.used(), 3);
    }

    #[test]
    fn a_removed_directory_takes_no_names() {
        let mut tree = tree();
        let removed = directory(&mut tree, ROOT, "d").expect("free");
        tree.hold(removed);
        assert!(tree.remove_directory(ROOT, b"d").expect("empty").is_none());
        assert_eq!(file(&mut tree, removed, "a"), Err(Errno::ENOENT));
        assert_eq!(tree.parent(removed), None);
        file(&mut tree, ROOT, "a").expect("free");
        assert_eq!(tree.rename((ROOT, b"a"), (removed, b"b"), Replace::Yes).unwrap_err(), Errno::ENOENT);
    }

    #[test]
    fn renaming_has_linuxs_errors() {
        let mut tree = tree();
        let outer = directory(&mut tree, ROOT, "outer").expect("free");
        let inner = directory(&mut tree, outer, "inner").expect("free");
        file(&mut tree, ROOT, "file").expect("free");
        let mut rename = |from: (Number, &[u8]), to: (Number, &[u8]), how| tree.rename(from, to, how).map(drop);
        assert_eq!(rename((ROOT, b"outer"), (inner, b"x"), Replace::Yes), Err(Errno::EINVAL));
        assert_eq!(rename((ROOT, b"file"), (ROOT, b"outer"), Replace::Yes), Err(Errno::EISDIR));
        assert_eq!(rename((outer, b"inner"), (ROOT, b"file"), Replace::Yes), Err(Errno::ENOTDIR));
        assert_eq!(rename((outer, b"inner"), (ROOT, b"file"), Replace::No), Err(Errno::EEXIST));
        assert_eq!(rename((outer, b"inner"), (ROOT, b"none"), Replace::Exchange), Err(Errno::ENOENT));
        assert_eq!(rename((outer, b"inner"), (ROOT, b"outer"), Replace::Exchange), Err(Errno::EINVAL));
        assert_eq!(rename((outer, b"inner"), (ROOT, b"outer"), Replace::Yes), Err(Errno::ENOTEMPTY));
        assert_eq!(rename((outer, b"inner"), (ROOT, b"file"), Replace::Exchange), Ok(()));
        assert_eq!(tree.node(outer).links(), 2);
    }

    #[test]
    fn a_directory_is_read_in_parts_while_names_come_and_go() {
        let mut tree = tree();
        for name in ["c", "a", "b", "d"] {
            file(&mut tree, ROOT, name).expect("free");
        }
        let names = tree.names(ROOT, 0).expect("a directory");
        assert_eq!(names.iter().map(|entry| entry.name).collect::<Vec<_>>(), [b"c", b"a", b"b", b"d"]);
        let second = names[1].position;
        tree.unlink(ROOT, b"c").expect("there");
        tree.unlink(ROOT, b"b").expect("there");
        let rest = tree.names(ROOT, second + 1).expect("a directory");
        assert_eq!(rest.iter().map(|entry| entry.name).collect::<Vec<_>>(), [b"d"]);
    }

    #[test]
    fn a_large_directory_is_read_in_parts_of_one_size() {
        let mut tree = tree();
        let numbers: Vec<Number> =
            (0..200).map(|name| file(&mut tree, ROOT, &format!("{name}")).expect("free")).collect();
        let (mut found, mut from) = (Vec::new(), 0);
        loop {
            let names = tree.names(ROOT, from).expect("a directory");
            assert!(names.len() <= NAMES_AT_ONCE);
            let Some(last) = names.last() else { break };
            from = last.position + 1;
            found.extend(names.iter().map(|entry| entry.number));
        }
        assert_eq!(found, numbers);
    }

    #[derive(Clone, Debug)]
    enum Step {
        File(usize, u8),
        Directory(usize, u8),
        Link(usize, u8, usize),
        Unlink(usize, u8),
        RemoveDirectory(usize, u8),
        Rename(usize, u8, usize, u8, u8),
        Hold(usize),
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (place, name) = (0..8usize, 0..4u8);
        let at = (place.clone(), name.clone());
        prop_oneof![
            at.clone().prop_map(|(place, name)| Step::File(place, name)),
            at.clone().prop_map(|(place, name)| Step::Directory(place, name)),
            (at.clone(), place.clone()).prop_map(|((place, name), node)| Step::Link(place, name, node)),
            at.clone().prop_map(|(place, name)| Step::Unlink(place, name)),
            at.clone().prop_map(|(place, name)| Step::RemoveDirectory(place, name)),
            (at.clone(), at, 0..3u8).prop_map(|((from, old), (to, new), how)| Step::Rename(from, old, to, new, how)),
            place.clone().prop_map(Step::Hold),
            place.prop_map(Step::Release),
        ]
    }

    /// What the invariants say of every node, counted anew; panics where the tree says otherwise.
    fn check(tree: &Tree<&'static str>, held: &[Number]) {
        let mut links: BTreeMap<Number, u32> = BTreeMap::from([(ROOT, 2)]);
        for (number, node) in &tree.nodes {
            let Body::Directory(directory) = &node.body else { continue };
            for name in directory.names.values() {
                let child = tree.node(name.number);
                *links.entry(name.number).or_default() += 1;
                if child.kind() == NodeKind::Directory {
                    *links.entry(name.number).or_default() += 1;
                    *links.entry(*number).or_default() += 1;
                    assert_eq!(tree.parent(name.number), Some(*number));
                }
            }
        }
        let names = |node: &Inode<_>| if node.kind() == NodeKind::Directory { 1 } else { u64::from(node.links.max(1)) };
        assert_eq!(tree.used(), tree.nodes.values().map(names).sum::<u64>());
        for (number, node) in &tree.nodes {
            assert_eq!(node.links(), links.get(number).copied().unwrap_or(0), "links of {number}");
            let handles = held.iter().filter(|held| *held == number).count() + usize::from(*number == ROOT);
            assert_eq!(node.handles as usize, handles, "handles of {number}");
            assert!(node.links > 0 || node.handles > 0, "{number} has neither name nor handle");
            let mut up = core::iter::successors(Some(*number), |number| tree.parent(*number));
            assert!(up.nth(tree.count()).is_none(), "{number} lies in a circle");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_done_the_invariants_hold(steps in prop::collection::vec(step(), 0..200)) {
            let mut tree = tree();
            let mut held = Vec::new();
            let gone = |node: Option<Inode<_>>| node.is_none_or(|node| node.links == 0 && node.handles == 0);
            for step in steps {
                let numbers: Vec<Number> = tree.nodes.keys().copied().collect();
                let node = |place: usize| numbers[place % numbers.len()];
                let name = |name: u8| [b'a' + name];
                let before = format!("{tree:?}");
                let result = match step {
                    Step::File(at, called) => tree
                        .create(node(at), &name(called), Attributes::default(), Body::File("contents"))
                        .map(|_| None),
                    Step::Directory(at, called) => tree
                        .create(node(at), &name(called), Attributes::default(), Body::Directory(Directory::default()))
                        .map(|_| None),
                    Step::Link(at, called, linked) => tree.link(node(at), &name(called), node(linked)).map(|()| None),
                    Step::Unlink(at, called) => tree.unlink(node(at), &name(called)),
                    Step::RemoveDirectory(at, called) => tree.remove_directory(node(at), &name(called)),
                    Step::Rename(from, old, to, new, how) => {
                        let how = [Replace::Yes, Replace::No, Replace::Exchange][usize::from(how)];
                        tree.rename((node(from), &name(old)), (node(to), &name(new)), how)
                    }
                    Step::Hold(at) => {
                        tree.hold(node(at));
                        held.push(node(at));
                        Ok(None)
                    }
                    Step::Release(at) if !held.is_empty() => {
                        let number = held.swap_remove(at % held.len());
                        Ok(tree.release(number))
                    }
                    Step::Release(_) => Ok(None),
                };
                check(&tree, &held);
                match result {
                    Ok(node) => prop_assert!(gone(node)),
                    Err(_) => prop_assert!(format!("{tree:?}") == before, "a call that fails changes nothing"),
                }
            }
        }
    }
}
