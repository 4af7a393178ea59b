//! Pipes, with and without a name (Linux: `fs/pipe.c`, `pipe(7)`).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl::FIONREAD;
use quire_machine::clock;
use quire_machine::fallible::{self, TryMap};
use quire_machine::sync::{Rank, Snapshot};
use quire_machine::task::Mutex;
use quire_machine::user::Word;
use quire_memory::charge::Charge;
use quire_swap::header::PAGE_SIZE;

use super::changes::Changes;
use super::node::{Attributes, File, FilesystemUsage, Handle, Metadata, Node, NodeKind, Wait};
use super::pipe_contents::{Contents, InUse};
use super::pipe_room::PipeRoom;
use super::poll::Ready;
use super::position::Position;
use crate::errno::Errno;
use crate::process::control_block::this;

/// The number of the file system of pipes without a name.
const DEVICE: u64 = 2;

/// What goes in at one end and comes out at the other.
pub struct Pipe {
    state: Mutex<State>,
    changes: Changes,
    /// What it takes of the kernel heap when it is empty.
    _charge: Charge,
}

struct State {
    contents: Contents,
    room: PipeRoom,
    readers: u32,
    writers: u32,
    /// How often each end was opened: an opener of one waits until the other is opened.
    openings: [u64; 2],
}

/// An end of a pipe, open.
struct End {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
}

impl Pipe {
    fn new() -> Result<Arc<Self>, Errno> {
        let bytes = size_of::<Self>() + size_of::<PipeNode>() + 2 * size_of::<End>();
        let charge = Charge::new(bytes).map_err(|_| Errno::ENOMEM)?;
        let room = PipeRoom::new()?;
        let state = State { contents: Contents::new(room.pages()), room, readers: 0, writers: 0, openings: [0; 2] };
        Ok(fallible::shared(Self { state: Mutex::new(Rank::Pipe, state), changes: Changes::new(), _charge: charge })?)
    }

    fn open(self: &Arc<Self>, reads: bool, writes: bool) -> Result<Arc<dyn File>, Errno> {
        let mut state = self.state.lock();
        state.readers += u32::from(reads);
        state.writers += u32::from(writes);
        state.openings[0] += u64::from(reads);
        state.openings[1] += u64::from(writes);
        drop(state);
        self.changes.notify();
        // Without memory the end that was counted goes again.
        Ok(fallible::shared(End { pipe: Arc::clone(self), reads, writes })?)
    }
}

/// A new pipe: its node, the end to read, and the end to write.
///
/// # Errors
/// `ENOMEM`.
pub fn new() -> Result<(Handle, [Arc<dyn File>; 2]), Errno> {
    let pipe = Pipe::new()?;
    let ends = [pipe.open(true, false)?, pipe.open(false, true)?];
    Ok((PipeNode::new(pipe)?, ends))
}

/// The pipe that `file` is an end of.
///
/// # Errors
/// `EBADF` if it is none.
fn of(file: &dyn File) -> Result<&Pipe, Errno> {
    file.as_any().downcast_ref::<End>().map(|end| &*end.pipe).ok_or(Errno::EBADF)
}

/// How many bytes the pipe has room for that `file` is an end of (`F_GETPIPE_SZ`).
///
/// # Errors
/// `EBADF` if it is none.
pub fn capacity(file: &dyn File) -> Result<u64, Errno> {
    Ok((of(file)?.state.lock().contents.most() * PAGE_SIZE) as u64)
}

/// Gives that pipe room for `bytes` bytes at least; returns for how many it has (`F_SETPIPE_SZ`).
///
/// # Errors
/// `EBADF` if it is none, `EBUSY` for less than there is in it, and those of `PipeRoom::set`.
pub fn set_capacity(file: &dyn File, bytes: u64) -> Result<u64, Errno> {
    let pipe = of(file)?;
    let State { contents, room, .. } = &mut *pipe.state.lock();
    room.set(bytes, |pages| contents.set_most(pages).map_err(|InUse| Errno::EBUSY))?;
    let capacity = contents.most() * PAGE_SIZE;
    // A writer may have waited for it.
    pipe.changes.notify();
    Ok(capacity as u64)
}

/// Opens the pipe with a name whose node has this identity; waits until the other end is open.
///
/// # Errors
/// `ENXIO` for writing without waiting when there is no reader.
pub fn open_named(identity: (u64, u64), flags: u32) -> Result<Arc<dyn File>, Errno> {
    static NAMED: Mutex<BTreeMap<(u64, u64), Weak<Pipe>>> = Mutex::new(Rank::Pipes, BTreeMap::new());
    let pipe = {
        let mut named = NAMED.lock();
        named.retain(|_, pipe| pipe.strong_count() > 0);
        if let Some(pipe) = named.get(&identity).and_then(Weak::upgrade) {
            pipe
        } else {
            let pipe = Pipe::new()?;
            named.insert_if_memory(identity, Arc::downgrade(&pipe))?;
            pipe
        }
    };
    let mode = flags & linux::O_ACCMODE;
    let (reads, writes) = (mode != linux::O_WRONLY, mode != linux::O_RDONLY);
    let waits = flags & linux::O_NONBLOCK == 0;
    if writes && !reads && !waits && pipe.state.lock().readers == 0 {
        return Err(Errno::ENXIO);
    }
    let before = pipe.state.lock().openings;
    let end = pipe.open(reads, writes)?;
    if !waits || reads == writes {
        return Ok(end);
    }
    let other = usize::from(reads);
    loop {
        let seen = pipe.changes.seen();
        let state = pipe.state.lock();
        let open = [state.readers, state.writers][other];
        // The other end may have been opened and closed again.
        if open > 0 || state.openings[other] > before[other] {
            return Ok(end);
        }
        drop(state);
        pipe.changes.wait(seen)?;
    }
}

impl File for End {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _: Position, buffer: &mut [u8], wait: Wait) -> Result<usize, Errno> {
        loop {
            let seen = self.pipe.changes.seen();
            let mut state = self.pipe.state.lock();
            let bytes = state.contents.take(buffer);
            if bytes > 0 || buffer.is_empty() {
                drop(state);
                self.pipe.changes.notify();
                return Ok(bytes);
            }
            if state.writers == 0 {
                return Ok(0);
            }
            drop(state);
            if wait == Wait::Never {
                return Err(Errno::EAGAIN);
            }
            self.pipe.changes.wait(seen)?;
        }
    }

    fn write(&self, _: Position, bytes: &[u8], wait: Wait) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let seen = self.pipe.changes.seen();
            let mut state = self.pipe.state.lock();
            if state.readers == 0 {
                return Err(Errno::EPIPE);
            }
            let written = state.contents.put(bytes)?;
            drop(state);
            if written > 0 {
                self.pipe.changes.notify();
                return Ok(written);
            }
            if wait == Wait::Never {
                return Err(Errno::EAGAIN);
            }
            self.pipe.changes.wait(seen)?;
        }
    }

    fn ready(&self) -> Ready {
        let state = self.pipe.state.lock();
        let mut ready = Ready::default();
        if self.reads {
            if !state.contents.is_empty() {
                ready |= Ready::IN;
            }
            if state.writers == 0 {
                ready |= Ready::HANG_UP;
            }
        }
        if self.writes {
            if !state.contents.is_full() {
                ready |= Ready::OUT;
            }
            if state.readers == 0 {
                ready |= Ready::ERROR;
            }
        }
        ready
    }

    fn control(&self, request: u32, argument: Word) -> Result<u64, Errno> {
        match request {
            FIONREAD => {
                let bytes = self.pipe.state.lock().contents.len() as u32;
                argument.pointer().write(bytes)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.readers -= u32::from(self.reads);
        state.writers -= u32::from(self.writes);
        drop(state);
        self.pipe.changes.notify();
    }
}

/// The node of a pipe without a name, which `fstat` and `/proc/PID/fd` lead to.
struct PipeNode {
    pipe: Arc<Pipe>,
    number: u64,
    attributes: Snapshot<Attributes>,
}

impl PipeNode {
    fn new(pipe: Arc<Pipe>) -> Result<Arc<Self>, Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let own = this().identity();
        let (user, group) = (own.user.filesystem, own.group.filesystem);
        let attributes = Attributes { user, group, ..Attributes::new(0o600, clock::since_1970()) };
        Ok(fallible::shared(Self { pipe, number, attributes: Snapshot::new(attributes) })?)
    }
}

impl Node for PipeNode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Metadata {
        let (number, attributes) = (self.number, self.attributes.get());
        Metadata { device: DEVICE, inode: number, kind: NodeKind::Pipe, links: 1, attributes, size: 0, blocks: 0 }
    }

    fn set_attributes(&self, change: &mut dyn FnMut(&mut Attributes)) -> Result<(), Errno> {
        let mut attributes = self.attributes.get();
        change(&mut attributes);
        self.attributes.replace(attributes);
        Ok(())
    }

    fn usage(&self) -> FilesystemUsage {
        FilesystemUsage { magic: linux::PIPEFS_MAGIC, pages: 0, free_pages: 0, nodes: 0, free_nodes: 0 }
    }

    fn open(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let mode = flags & linux::O_ACCMODE;
        self.pipe.open(mode != linux::O_WRONLY, mode != linux::O_RDONLY)
    }
}
