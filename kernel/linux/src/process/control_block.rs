//! What the kernel knows of a process.

use alloc::sync::{Arc, Weak};
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use intrusive_collections::RBTreeAtomicLink;
use quire_machine::arch::fpu::UserState;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::clock;
use quire_machine::fallible::{self, NoMemory};
use quire_machine::stack::KernelStack;
use quire_machine::sync::Once;
use quire_machine::sync::{Rank, Snapshot, SpinLock};
use quire_machine::task::{self, Owner, Shown, Thread, UserHalf, WaitQueue, Work, scheduler};
use quire_machine::user::UserPtr;
use quire_memory::AddressSpace;
use quire_memory::admission::Limit as Of;
use quire_memory::cgroup::{self, Cgroup};
use quire_memory::charge::Charge;
use quire_memory::object::writers::Executed;

use super::alarm::Alarm;
use super::credentials::{Credentials, Identity};
use super::limits::{Limit, Limits, Resource};
use super::name::Name;
use super::signal::{ChildChange, Info, QueueFull, Sent, Signal, Signals, Standing};
use super::usage::Usage;
use crate::errno::Errno;
use crate::fs::namespace::Location;
use crate::fs::node::Handle;
use crate::fs::open::Descriptors;
use crate::futex::word::{FutexWord, Head};

/// The first process's number; it adopts orphans, and no signal does to it what it has no handler for.
pub const INIT: u32 = 1;

/// Where a process is in its life. It changes under the table's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs, or would if it had the processor and were not stopped.
    Runs,
    /// It has ended like this; its parent has not asked for it yet.
    Ended(ChildChange),
}

/// A call that a signal interrupted, and that ends when it was to end before. Deadlines are times since boot.
#[derive(Clone, Copy, Debug)]
pub enum Unfinished {
    /// `nanosleep(2)`.
    Sleep {
        /// When it ends.
        deadline: Duration,
        /// Where what is left of it is to be written, unless it is null.
        remainder: UserPtr<[u64; 2]>,
    },
    /// `poll(2)`.
    Poll {
        /// Where the files are listed.
        files: UserPtr<[u32; 2]>,
        /// How many there are.
        count: usize,
        /// When it ends; `None` for never.
        deadline: Option<Duration>,
    },
    /// `futex(2)`, waiting.
    Futex {
        /// The word.
        word: FutexWord,
        /// What it was.
        value: u32,
        /// With which wake-ups it ends.
        bits: u32,
        /// When it ends; `None` for never.
        deadline: Option<Duration>,
    },
}

/// The file that a process's program is in.
#[derive(Clone)]
pub struct RunningProgram {
    /// What the path led to.
    pub node: Handle,
    /// The path.
    pub path: Arc<[u8]>,
    /// Nothing writes it.
    pub(super) _executed: Arc<Executed>,
}

/// A process.
pub struct Process {
    pid: u32,
    parent: AtomicU32,
    group: AtomicU32,
    session: AtomicU32,
    thread: Once<Weak<Thread>>,
    started: Duration,
    /// In two words, so that a line of the log can show it, which is made under the console's lock.
    name: [AtomicU64; 2],
    /// Its program's file, and the path that led to it.
    pub(super) program: Snapshot<Option<RunningProgram>>,
    /// The words of its command line, each with a zero behind it.
    pub(super) arguments: Snapshot<Arc<[u8]>>,
    /// Replaced by `execve`, gone at the end; shared with the parent between `vfork` and `execve`.
    space: Snapshot<Option<Arc<AddressSpace>>>,
    pub(super) life: Snapshot<Life>,
    signals: SpinLock<Signals>,
    /// What the signals come to, to be looked at without their lock.
    standing: AtomicU8,
    pub(super) limits: Snapshot<Limits>,
    /// Who it is.
    pub(super) credentials: Snapshot<Credentials>,
    /// Other processes of the same user may not look into it: it has had another user's rights.
    is_private: AtomicBool,
    /// It has started a program since it was forked (Linux: `PF_FORKNOEXEC` is gone).
    pub(super) has_executed: AtomicBool,
    /// Its open files.
    pub files: Arc<Descriptors>,
    /// Its root and working directory, and what permissions its new files do not get.
    pub location: Location,
    /// What it has used.
    pub usage: Usage,
    /// What its children had used that were waited for.
    pub children_usage: Usage,
    oom_score_adjustment: AtomicI32,
    /// What the superuser has set it to last; others do not go below that.
    least_oom_score_adjustment: AtomicI32,
    /// The number of its memory cgroup.
    memory_cgroup: AtomicU8,
    /// Counts what happens to its children.
    pub(super) child_events: AtomicU64,
    pub(super) children: WaitQueue,
    /// Whether a parent that `vfork`ed may go on.
    pub(super) released: AtomicBool,
    pub(super) release: WaitQueue,
    /// Where its number is to be written before its program begins; 0 for nowhere.
    pub(super) write_at_start: AtomicU64,
    /// Where its number is to be cleared when it leaves its memory; 0 for nowhere.
    pub(super) clear_at_end: AtomicU64,
    /// Where the list of the locks begins that it may hold at its end; 0 for nowhere.
    robust_list: AtomicU64,
    pub(super) alarm: Snapshot<Alarm>,
    /// Its user had too many processes already when it became that user's: see `super::user`.
    pub(super) is_one_too_many: AtomicBool,
    /// What `restart_syscall` goes on with.
    pub unfinished: Snapshot<Option<Unfinished>>,
    pub(super) link: RBTreeAtomicLink,
    /// What it takes of the kernel heap.
    _charge: Charge,
}

impl Process {
    /// A process with `space`, in the parent's image, or the first one. It is not in the table yet and has no thread.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(super) fn new(
        pid: u32,
        parent: Option<&Self>,
        space: Arc<AddressSpace>,
        charge: Charge,
    ) -> Result<Self, NoMemory> {
        let mut signals = Signals::of_init()?;
        if let Some(parent) = parent {
            signals.inherit(&parent.signals.lock());
        }
        let (arguments, files) = match parent {
            Some(parent) => (parent.arguments(), parent.files.fork(pid)?),
            None => (fallible::shared_slice(&[])?, fallible::shared(Descriptors::new(pid))?),
        };
        Ok(Self {
            pid,
            parent: AtomicU32::new(parent.map_or(0, Self::pid)),
            group: AtomicU32::new(parent.map_or(pid, Self::group)),
            session: AtomicU32::new(parent.map_or(pid, Self::session)),
            thread: Once::new(),
            started: clock::since_boot(),
            name: parent.map_or_else(Name::default, Self::name).to_words().map(AtomicU64::new),
            program: Snapshot::new(parent.and_then(Self::program)),
            arguments: Snapshot::new(arguments),
            space: Snapshot::new(Some(space)),
            life: Snapshot::new(Life::Runs),
            signals: SpinLock::new(Rank::Signals, signals),
            standing: AtomicU8::new(0),
            limits: Snapshot::new(parent.map_or_else(Limits::default, |parent| parent.limits.get())),
            credentials: Snapshot::new(parent.map_or(Credentials::SUPERUSER, Self::credentials)),
            is_private: AtomicBool::new(parent.is_some_and(Self::is_private)),
            has_executed: AtomicBool::new(false),
            files,
            location: parent.map_or_else(Location::initial, |parent| parent.location.fork()),
            usage: Usage::default(),
            children_usage: Usage::default(),
            memory_cgroup: AtomicU8::new(parent.map_or(cgroup::ROOT, Self::memory_cgroup)),
            oom_score_adjustment: AtomicI32::new(parent.map_or(0, Self::oom_score_adjustment)),
            least_oom_score_adjustment: AtomicI32::new(parent.map_or(0, Self::least_oom_score_adjustment)),
            child_events: AtomicU64::new(0),
            children: WaitQueue::new(),
            released: AtomicBool::new(false),
            release: WaitQueue::new(),
            write_at_start: AtomicU64::new(0),
            clear_at_end: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            alarm: Snapshot::new(Alarm::NONE),
            is_one_too_many: AtomicBool::new(false),
            unfinished: Snapshot::new(None),
            link: RBTreeAtomicLink::new(),
            _charge: charge,
        })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The number of the process that waits for its end; 0 for the first process.
    pub fn parent(&self) -> u32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// The number of its process group.
    pub fn group(&self) -> u32 {
        self.group.load(Ordering::Relaxed)
    }

    /// The number of its session.
    pub fn session(&self) -> u32 {
        self.session.load(Ordering::Relaxed)
    }

    pub(super) fn set_parent(&self, pid: u32) {
        self.parent.store(pid, Ordering::Relaxed);
    }

    pub(super) fn set_group(&self, group: u32) {
        self.group.store(group, Ordering::Relaxed);
    }

    pub(super) fn set_session(&self, session: u32) {
        self.session.store(session, Ordering::Relaxed);
    }

    /// When it began, as time since boot.
    pub fn started(&self) -> Duration {
        self.started
    }

    /// Its name, by `execve` the program's (Linux: `comm`).
    pub fn name(&self) -> Name {
        Name::from_words([&self.name[0], &self.name[1]].map(|word| word.load(Ordering::Relaxed)))
    }

    /// Gives it a name.
    pub fn set_name(&self, name: Name) {
        self.name.iter().zip(name.to_words()).for_each(|(place, word)| place.store(word, Ordering::Relaxed));
    }

    /// The words of its command line, each with a zero behind it.
    pub fn arguments(&self) -> Arc<[u8]> {
        self.arguments.get()
    }

    /// Tells `space` the limits that it has to heed.
    pub(super) fn apply_limits(&self, space: &AddressSpace) {
        let limits = self.limits.get();
        for (resource, limit) in
            [(Resource::ADDRESS_SPACE, Of::AddressSpace), (Resource::DATA, Of::Break), (Resource::STACK, Of::Stack)]
        {
            space.set_limit(limit, limits.get(resource).soft);
        }
        // Linux lets a program that wants no data at all have as much as it could allow itself.
        let data = limits.get(Resource::DATA);
        space.set_limit(Of::Data, if data.soft == 0 { data.hard } else { data.soft });
        let may_lock_all = self.identity().is_superuser();
        let locked = if may_lock_all { Limit::NONE } else { limits.get(Resource::LOCKED).soft };
        space.set_limit(Of::Locked, locked);
    }

    /// Its program's file, and the path that led to it; `None` before its first.
    pub fn program(&self) -> Option<RunningProgram> {
        self.program.get()
    }

    /// Its memory is gone, and what was in it runs no more.
    pub(super) fn leave_program(&self) {
        drop(self.program.replace(None));
    }

    /// Its memory; `None` when it has ended.
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.space.get()
    }

    /// Replaces its memory, which its own thread does; returns what was there.
    pub(super) fn replace_space(&self, space: Option<Arc<AddressSpace>>) -> Option<Arc<AddressSpace>> {
        let old = self.space.replace(space.clone());
        quire_memory::tasks::set_space(space);
        old
    }

    /// Who it is.
    pub fn credentials(&self) -> Credentials {
        self.credentials.get()
    }

    /// Who it is, without the supplementary groups: also for where nothing may be freed.
    pub fn identity(&self) -> Identity {
        self.credentials.part(Credentials::identity)
    }

    /// Whether others that are the same user may not look into it either.
    pub fn is_private(&self) -> bool {
        self.is_private.load(Ordering::Relaxed)
    }

    /// Says whether others that are the same user may not look into it.
    pub fn set_private(&self, is_private: bool) {
        self.is_private.store(is_private, Ordering::Relaxed);
    }

    /// Whether it may look into the files and the memory of `other` (Linux: `ptrace_may_access`).
    pub fn may_look_into(&self, other: &Self) -> bool {
        let (own, others) = (self.identity(), other.identity());
        self.pid == other.pid || own.is_superuser() || !other.is_private() && own.may_look_into(&others)
    }

    /// Where it is in its life.
    pub fn life(&self) -> Life {
        self.life.get()
    }

    /// The limit on `resource`.
    pub fn limit(&self, resource: Resource) -> Limit {
        self.limits.get().get(resource)
    }

    /// All limits.
    pub fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Sends what is due for the processor time that it has used. Called with interrupts off.
    pub(super) fn heed_time_limit(&self) {
        let seconds = self.usage.time().as_secs();
        let due = self.limits.update(|limits| limits.heed_time(seconds));
        if let Some(signal) = due {
            // Not a real-time signal, so there is room; and it continues no process, so the parent need not know.
            let _ = self.add_signal(signal, Info::Kernel);
        }
    }

    /// Replaces the limit on `resource`.
    pub fn set_limit(&self, resource: Resource, limit: Limit) {
        self.limits.update(|limits| limits.set(resource, limit));
        self.files.set_limit(self.limit(Resource::FILES).soft);
        if let Some(space) = self.space() {
            self.apply_limits(&space);
        }
    }

    /// Has its number cleared at `place` when it leaves its memory, unless it is null (`set_tid_address`).
    pub fn clear_number_at(&self, place: UserPtr<u32>) {
        self.clear_at_end.store(place.address(), Ordering::Relaxed);
    }

    /// Where the list of the locks begins that it may hold at its end; null if it has none.
    pub fn robust_list(&self) -> UserPtr<Head> {
        UserPtr::new(self.robust_list.load(Ordering::Relaxed))
    }

    /// Says where the list of the locks begins that it may hold at its end; a child has none.
    pub fn set_robust_list(&self, head: UserPtr<Head>) {
        self.robust_list.store(head.address(), Ordering::Relaxed);
    }

    /// What an out-of-memory kill adds to its badness, from -1000 (never) to 1000 (first).
    pub fn oom_score_adjustment(&self) -> i32 {
        self.oom_score_adjustment.load(Ordering::Relaxed)
    }

    /// What the superuser has set [`Self::oom_score_adjustment`] to last.
    pub fn least_oom_score_adjustment(&self) -> i32 {
        self.least_oom_score_adjustment.load(Ordering::Relaxed)
    }

    /// Changes what an out-of-memory kill adds to its badness, on behalf of `setter`.
    ///
    /// # Errors
    /// `EACCES`: only the superuser makes it less than the superuser has made it.
    pub fn set_oom_score_adjustment(&self, adjustment: i32, setter: &Credentials) -> Result<(), Errno> {
        if setter.is_superuser() {
            self.least_oom_score_adjustment.store(adjustment, Ordering::Relaxed);
        } else if adjustment < self.least_oom_score_adjustment() {
            return Err(Errno::EACCES);
        }
        self.oom_score_adjustment.store(adjustment, Ordering::Relaxed);
        Ok(())
    }

    /// The number of the memory cgroup that it is in.
    pub fn memory_cgroup(&self) -> u8 {
        self.memory_cgroup.load(Ordering::Relaxed)
    }

    /// Moves it to another memory cgroup: what it has in swap counts there from now on, and what it takes of memory.
    pub fn set_memory_cgroup(&self, cgroup: &Cgroup) {
        self.memory_cgroup.store(cgroup.number(), Ordering::Relaxed);
    }

    /// What its signals come to: whether sleeps end, whether it ends itself, whether it is stopped.
    pub fn standing(&self) -> Standing {
        Standing::from_bits(self.standing.load(Ordering::Relaxed))
    }

    /// Makes its thread, which does what it does `first` once it is begun, and enters its program with these registers.
    pub(super) fn make_thread(
        self: &Arc<Self>,
        stack: KernelStack,
        frame: &TrapFrame,
        user: UserState,
        first: fn(&Cell<TrapFrame>),
    ) -> Result<Arc<Thread>, NoMemory> {
        let owner: Arc<dyn Owner> = Arc::clone(self) as _;
        let space = self.space().map(|space| space as Arc<dyn UserHalf>);
        let thread = task::for_program(stack, frame, Work { owner: Some(owner), space, user: Some(user) }, first)?;
        self.thread.call_once(|| Arc::downgrade(&thread));
        Ok(thread)
    }

    /// Its thread, until that has ended.
    pub fn thread(&self) -> Option<Arc<Thread>> {
        self.thread.get()?.upgrade()
    }

    /// Lets the thread look whether what it waits for has come.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread() {
            scheduler::unpark(&thread);
        }
    }

    /// Looks at the signals or changes them.
    pub fn with_signals<R>(&self, change: impl FnOnce(&mut Signals) -> R) -> R {
        let mut signals = self.signals.lock();
        let result = change(&mut signals);
        self.standing.store(signals.standing().bits(), Ordering::Relaxed);
        result
    }

    /// Adds a signal and lets the process see it. Callers outside use [`super::table::send_to`], which tells the parent of what
    /// comes of it.
    pub(super) fn add_signal(&self, signal: Signal, info: Info) -> Result<Sent, QueueFull> {
        let sent = self.with_signals(|signals| signals.send(signal, info))?;
        if sent.wake {
            self.wake();
        }
        Ok(sent)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name(), self.pid)
    }
}

impl Owner for Process {
    fn title(&self) -> Option<&dyn fmt::Display> {
        Some(self)
    }

    fn memory_cgroup(&self) -> u8 {
        Self::memory_cgroup(self)
    }

    fn shown(&self) -> Shown {
        Shown {
            pid: self.pid,
            name: self.name.as_ptr().addr() as u64,
            name_length: size_of_val(&self.name) as u64,
            cgroup: self.memory_cgroup.as_ptr().addr() as u64,
        }
    }

    fn is_killed(&self) -> bool {
        self.standing().is_killed()
    }

    fn is_interrupted(&self) -> bool {
        self.standing().is_interrupted()
    }
}

/// The process that runs this; `None` in a kernel thread.
pub fn current() -> Option<Arc<Process>> {
    scheduler::with_current(Thread::owner_shared).flatten()
}

/// The process whose system call this is.
///
/// # Panics
/// In a kernel thread, which makes no system calls.
pub fn this() -> Arc<Process> {
    current().expect("system calls come from processes")
}
