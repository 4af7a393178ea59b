//! The signals of one process: what it has said about them, what is pending, and what comes next.

use linux_raw_sys::general as linux;
use quire_machine::fallible::NoMemory;

use super::action::{Action, Actions};
use super::alternate::AlternateStack;
use super::frame::FaultRegisters;
use super::info::{ChildChange, Info};
use super::number::{DefaultAction, Set, Signal};
use super::pending::{Pending, QueueFull};

/// What the next signal does to its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Its handler is called; [`Signals::enter_handler`] when it has been.
    Handler {
        /// The signal.
        signal: Signal,
        /// What the handler is told.
        info: Info,
        /// What the process has said about it.
        action: Action,
    },
    /// The process stops, by [`Signals::stop`].
    Stop(Signal),
    /// The process ends.
    End(Signal),
}

/// What sending a signal asks of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The process has to be woken.
    pub wake: bool,
    /// The process was stopped and goes on: its parent is told.
    pub continued: bool,
}

/// What others look at without the lock; changes with the signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing(u8);

impl Standing {
    const INTERRUPTED: u8 = 1;
    const KILLED: u8 = 2;
    const STOPPED: u8 = 4;
    const MASK_SAVED: u8 = 8;

    /// The standing that [`Self::bits`] gave.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// As a number, to be kept in an atomic.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// A signal is to be delivered: waits end.
    pub fn is_interrupted(self) -> bool {
        self.0 & Self::INTERRUPTED != 0
    }

    /// A signal is to be delivered that ends the process: work on its behalf is pointless.
    pub fn is_killed(self) -> bool {
        self.0 & Self::KILLED != 0
    }

    /// The process does not run until it is continued.
    pub fn is_stopped(self) -> bool {
        self.0 & Self::STOPPED != 0
    }

    /// There is something to do before the program goes on.
    pub fn needs_attention(self) -> bool {
        self.0 & (Self::INTERRUPTED | Self::MASK_SAVED) != 0
    }
}

/// The signals of one process.
#[derive(Debug)]
pub struct Signals {
    actions: Actions,
    pending: Pending,
    mask: Set,
    /// The mask from before a call that waits with another one.
    saved_mask: Option<Set>,
    /// What a call waits for that takes signals without delivering them.
    awaited: Set,
    alternate: AlternateStack,
    /// Signals that it has no handler for do nothing to it: the first process.
    unkillable: bool,
    stopped: bool,
    /// It was continued since a signal that stops was taken last (Linux: `JOBCTL_STOP_DEQUEUED` is gone).
    continued: bool,
    /// What the process ends by, which no signal that is sent later changes (Linux: `SIGNAL_GROUP_EXIT`).
    end: Option<Signal>,
    /// The last change that the parent has not asked for.
    unreported: Option<ChildChange>,
    fault: FaultRegisters,
}

impl Signals {
    /// Those of the first process.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn of_init() -> Result<Self, NoMemory> {
        Ok(Self {
            actions: Actions::new()?,
            pending: Pending::new()?,
            mask: Set::EMPTY,
            saved_mask: None,
            awaited: Set::EMPTY,
            alternate: AlternateStack::NONE,
            unkillable: true,
            stopped: false,
            continued: false,
            end: None,
            unreported: None,
            fault: FaultRegisters::default(),
        })
    }

    /// Makes those of the first process a child's: the parent's actions and mask, and nothing pending.
    pub fn inherit(&mut self, parent: &Self) {
        self.actions.copy_from(&parent.actions);
        self.mask = parent.mask;
        self.alternate = parent.alternate;
        self.unkillable = false;
    }

    /// The process runs another program.
    pub fn after_exec(&mut self) {
        self.actions.forget_handlers();
        self.alternate = AlternateStack::NONE;
    }

    /// What `signal` does.
    pub fn action(&self, signal: Signal) -> Action {
        self.actions.get(signal)
    }

    /// Changes what `signal` does; what is pending and does nothing from now on is forgotten. What nothing can handle
    /// stays as it is.
    pub fn set_action(&mut self, signal: Signal, action: Action) {
        if Set::UNSTOPPABLE.contains(signal) {
            return;
        }
        self.actions.set(signal, action);
        if action.does_nothing(signal) {
            self.pending.discard(Set::of(&[signal]));
        }
    }

    /// The signals that are blocked.
    pub fn mask(&self) -> Set {
        self.mask
    }

    /// Blocks `mask` and nothing else.
    pub fn set_mask(&mut self, mask: Set) {
        self.mask = mask & !Set::UNSTOPPABLE;
    }

    /// Blocks `mask` instead, until the next handler is called or [`Self::restore_mask`].
    pub fn set_temporary_mask(&mut self, mask: Set) {
        self.saved_mask.get_or_insert(self.mask);
        self.set_mask(mask);
    }

    /// Takes back a temporary mask, if there is one.
    pub fn restore_mask(&mut self) {
        if let Some(mask) = self.saved_mask.take() {
            self.mask = mask;
        }
    }

    /// The pending signals that are blocked.
    pub fn blocked_pending(&self) -> Set {
        self.pending.set() & self.mask
    }

    /// The stack for handlers.
    pub fn alternate_stack(&mut self) -> &mut AlternateStack {
        &mut self.alternate
    }

    /// Whether the end of a child leaves nothing to wait for.
    pub fn children_vanish(&self) -> bool {
        self.actions.children_vanish()
    }

    /// Whether the process wants to know that a child has stopped or goes on.
    pub fn wants_stops_of_children(&self) -> bool {
        !self.action(Signal::SIGCHLD).has(linux::SA_NOCLDSTOP)
    }

    /// What the last fault left in the processor's registers, for the handler's frame.
    pub fn fault_registers(&self) -> FaultRegisters {
        self.fault
    }

    /// How many signals have not arrived yet.
    pub fn waiting(&self) -> usize {
        self.pending.count()
    }

    /// Adds a signal that was sent.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn send(&mut self, signal: Signal, info: Info) -> Result<Sent, QueueFull> {
        if self.end.is_some() {
            return Ok(Sent::default());
        }
        let was_stopped = self.stopped;
        match signal {
            Signal::SIGCONT => {
                self.pending.discard(Set::STOPS);
                (self.stopped, self.continued) = (false, true);
            }
            Signal::SIGKILL if !self.unkillable => self.stopped = false,
            signal if Set::STOPS.contains(signal) => self.pending.discard(Set::of(&[Signal::SIGCONT])),
            _ => {}
        }
        let continued = was_stopped && signal == Signal::SIGCONT;
        if continued {
            self.unreported = Some(ChildChange::Continued);
        }
        if self.would_do_nothing(signal) {
            return Ok(Sent { wake: continued, continued });
        }
        // It is so at once if nothing else could come before it (Linux: `complete_signal`).
        let is_next = signal == Signal::SIGKILL || !self.stopped && (self.pending.set() & !self.mask).is_empty();
        self.pending.push(signal, info)?;
        if is_next && self.fatal_pending().contains(signal) && !Set::FOR_CORE_FILES.contains(signal) {
            self.end = Some(signal);
        }
        let wake = !self.mask.contains(signal) || self.awaited.contains(signal) || was_stopped && !self.stopped;
        Ok(Sent { wake, continued })
    }

    fn would_do_nothing(&self, signal: Signal) -> bool {
        let action = self.actions.get(signal);
        !self.mask.contains(signal) && (action.does_nothing(signal) || self.unkillable && action.is_default())
    }

    /// Adds a signal that the process has caused itself and cannot go on without: if it is blocked or ignored, it ends the
    /// process, the first one too.
    pub fn force(&mut self, signal: Signal, info: Info, fault: FaultRegisters) {
        self.fault = fault;
        let action = self.actions.get(signal);
        if self.mask.contains(signal) || action.is_ignore() {
            self.actions.set(signal, Action::default());
            self.mask.remove(signal);
        }
        if self.actions.get(signal).is_default() {
            self.unkillable = false;
        }
        // What an instruction caused is no real-time signal, so there is room.
        let _ = self.pending.push(signal, info);
    }

    /// The process ends by `signal`, whatever it has said about it.
    pub fn kill(&mut self, signal: Signal) {
        self.actions.set(signal, Action::default());
        self.force(signal, Info::Kernel, self.fault);
    }

    /// Takes the next signal that does something.
    pub fn take_next(&mut self) -> Option<Delivery> {
        if let Some(signal) = self.end.take() {
            return Some(self.deliver_end(signal));
        }
        // What ends the process does so whatever came before it: work on its behalf has been given up already.
        let fatal = self.fatal_pending();
        let wanted = if fatal.is_empty() { !self.mask } else { fatal };
        while let Some((signal, info)) = self.pending.take(wanted) {
            let action = self.actions.get(signal);
            if action.does_nothing(signal) || action.is_default() && self.unkillable {
                continue;
            }
            return Some(if !action.is_default() {
                Delivery::Handler { signal, info, action }
            } else if signal.default_action() == DefaultAction::Stop {
                self.continued = false;
                Delivery::Stop(signal)
            } else {
                self.deliver_end(signal)
            });
        }
        None
    }

    /// Nothing comes after this: what the process does in its memory on its way out is still served.
    fn deliver_end(&mut self, signal: Signal) -> Delivery {
        self.pending.discard(!Set::EMPTY);
        Delivery::End(signal)
    }

    /// The mask that comes back when the handler that is called now returns.
    pub fn mask_after_handler(&self) -> Set {
        self.saved_mask.unwrap_or(self.mask)
    }

    /// Notes that the handler of `signal` runs.
    pub fn enter_handler(&mut self, signal: Signal, action: Action) {
        self.saved_mask = None;
        let own = if action.has(linux::SA_NODEFER) { Set::EMPTY } else { Set::of(&[signal]) };
        self.set_mask(self.mask | action.mask | own);
        if action.has(linux::SA_RESETHAND) {
            self.actions.set(signal, Action { handler: 0, ..action });
        }
        if self.alternate.flags & linux::SS_AUTODISARM != 0 {
            self.alternate = AlternateStack::NONE;
        }
    }

    /// Stops the process by `signal`, unless something has come in between that continues or ends it; says whether it
    /// is stopped.
    pub fn stop(&mut self, signal: Signal) -> bool {
        if self.continued || self.pending.set().contains(Signal::SIGKILL) {
            return false;
        }
        self.stopped = true;
        self.unreported = Some(ChildChange::Stopped(signal));
        true
    }

    /// Takes the change that the parent asks for, if there is one: stops, continuations, or both. With `leave` it stays.
    pub fn take_change(&mut self, stops: bool, continuations: bool, leave: bool) -> Option<ChildChange> {
        let change = self.unreported.filter(|change| match change {
            ChildChange::Stopped(_) => stops,
            _ => continuations,
        })?;
        if !leave {
            self.unreported = None;
        }
        Some(change)
    }

    /// From now on, or until [`Self::stop_awaiting`], signals of `wanted` end waits though they are blocked.
    pub fn await_signals(&mut self, wanted: Set) {
        self.awaited = wanted & !Set::UNSTOPPABLE;
    }

    /// Ends [`Self::await_signals`].
    pub fn stop_awaiting(&mut self) {
        self.awaited = Set::EMPTY;
    }

    /// Takes a pending signal of `wanted` without delivering it.
    pub fn take(&mut self, wanted: Set) -> Option<(Signal, Info)> {
        self.pending.take(wanted & !Set::UNSTOPPABLE)
    }

    /// The signals that are to be delivered and end the process.
    fn fatal_pending(&self) -> Set {
        let is_fatal = |signal: &Signal| self.actions.get(*signal).is_fatal(*signal) && !self.unkillable;
        let deliverable = self.pending.set() & !self.mask;
        deliverable.iter().filter(is_fatal).fold(Set::EMPTY, |set, signal| set | Set::of(&[signal]))
    }

    /// What others may know without the lock.
    pub fn standing(&self) -> Standing {
        let deliverable = self.pending.set() & !self.mask;
        let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
        Standing(
            bit(
                self.end.is_some() || !(deliverable | self.pending.set() & self.awaited).is_empty(),
                Standing::INTERRUPTED,
            ) | bit(self.end.is_some() || !self.fatal_pending().is_empty(), Standing::KILLED)
                | bit(self.stopped, Standing::STOPPED)
                | bit(self.saved_mask.is_some(), Standing::MASK_SAVED),
        )
    }
}
