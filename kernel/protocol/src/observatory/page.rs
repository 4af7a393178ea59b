//! The page itself, and the structures that it leads to.
//!
//! All of them consist of 64-bit words. An address is a virtual one of the kernel half, and 0 where there is nothing.

use super::words::{sequenced, words};

sequenced! {
    Task, AtomicTask;
    Area, AtomicArea;
    Pool, AtomicPool;
    Stop, AtomicStop;
}

words! {
    /// The page: where everything is.
    pub struct Page, AtomicPage {
        /// [`MAGIC`](super::MAGIC), written last.
        magic,
        /// [`VERSION`](super::VERSION).
        version,
        /// The size of this structure.
        bytes,
        /// The page's own physical address.
        physical,
        /// The physical address of the root of the kernel's page tables.
        root,
        /// The virtual address of physical address 0.
        direct_map,
        /// The address of the word that says how many ticks of the time-stamp counter are a second.
        ticks_per_second,
        /// The address of the first frame's metadata ([`FrameRecord`](super::FrameRecord)).
        frames,
        /// How many frames have metadata.
        frame_count,
        /// The address of the word that says how many frames Quire manages.
        managed,
        /// The address of the word that says how many frames are free.
        free,
        /// The address of the word that says how many frames the kernel keeps for itself.
        kernel,
        /// The address of the three words with the watermarks: min, low and high.
        watermarks,
        /// A bit for each of the policy's lists that is protected for the time being, by its number; 0 for a policy whose lists
        /// take turns in that.
        active_lists,
        /// The address of the [`Counter`]s.
        counters,
        /// How many.
        counter_count,
        /// The address of the [`Task`]s.
        tasks,
        /// How many there can be.
        task_count,
        /// The address of the word that says how many threads found no place among these.
        tasks_lost,
        /// The address of [`Threads`].
        threads,
        /// The address of the [`Area`]s.
        areas,
        /// How many there can be.
        area_count,
        /// The address of the [`Pool`]s: of zswap and of zram devices.
        pools,
        /// How many there can be.
        pool_count,
        /// The address of [`Cgroups`].
        cgroups,
        /// The address of the [`Ring`]s, one for each processor.
        rings,
        /// How many there can be.
        ring_count,
        /// The address of [`Stop`]: where the kernel was when it panicked, and what it said.
        stop,
        /// The address of another: where the kernel was at the last tick of the timer that found it running, without words.
        tick,
        /// The address of 64 names, one for each rank of locks: for each the address (0 for a rank that none has), and how many
        /// bytes there are.
        ranks,
        /// The address of [`Heap`].
        heap,
    }
}

words! {
    /// Something that is counted.
    pub struct Counter, AtomicCounter {
        /// The address of its name (UTF-8).
        name,
        /// How many bytes that has.
        name_length,
        /// The address of the word that counts.
        value,
    }
}

words! {
    /// Where in the kernel's structure of a thread something is: offsets in bytes.
    pub struct Threads, AtomicThreads {
        /// One byte: 0 ready, 1 running, 2 parked, 3 dead, 4 not begun, 5 idle.
        state,
        /// The stack pointer that it was left with: 8 bytes.
        stack_pointer,
        /// The ranks of the locks that it holds while it does not run: 8 bytes.
        held_ranks,
        /// The address of its space's root, 0 for none: 8 bytes.
        root,
        /// In what that leads to, the frame number of the root table: 4 bytes.
        root_frame,
        /// The address of the first processor's data.
        processors,
        /// The size of each processor's data.
        processor_bytes,
        /// How many there are.
        processor_count,
        /// In a processor's data, the address of the thread that runs there: 8 bytes.
        current,
        /// In a processor's data, the ranks of the locks that this thread holds: 8 bytes.
        current_ranks,
    }
}

words! {
    /// A thread.
    pub struct Task, AtomicTask {
        /// Odd while it is changed.
        sequence,
        /// The address of the kernel's structure of it; 0 if there is none here.
        thread,
        /// The thread's number.
        number,
        /// The process that it belongs to; 0 for none.
        pid,
        /// The address of its name.
        name,
        /// How many bytes that has; it may have zeros at its end.
        name_length,
        /// The address of the byte with the number of its memory cgroup; 0 for the root.
        cgroup,
        /// Where its kernel stack begins to grow down.
        stack_top,
    }
}

words! {
    /// A swap area.
    pub struct Area, AtomicArea {
        /// Odd while it is changed.
        sequence,
        /// Whether it is enabled.
        enabled,
        /// Its priority, as a signed number.
        priority,
        /// Slots, the header and the bad ones included.
        slots,
        /// Slots that can be used.
        usable,
        /// The address of the word that says how many slots are in use.
        used,
        /// The address of its name (UTF-8).
        name,
        /// How many bytes that has.
        name_length,
        /// The address of the first cluster; 0 if clusters exist only while they are in use.
        clusters,
        /// How many there are.
        cluster_count,
        /// The size of each.
        cluster_bytes,
        /// Where in a cluster the address of its table is, 0 for none: 512 entries of 8 bytes.
        table,
    }
}

words! {
    /// A pool of compressed pages.
    pub struct Pool, AtomicPool {
        /// Odd while it is changed.
        sequence,
        /// The address of its name (UTF-8): the device's path, or zswap.
        name,
        /// How many bytes that has.
        name_length,
        /// The address of the word that says how many pages it holds, for zswap without those of one value; 0 if there is no such
        /// pool.
        stored,
        /// The address of the word that says how many have one value.
        same,
        /// The address of the word that says how many would not get shorter; 0 where there are none.
        incompressible,
        /// The address of the word that says how many bytes their objects have.
        compressed,
        /// The address of the word that says how many frames these take.
        frames,
        /// The size of the device, in pages; 0 for zswap, which is none.
        pages,
    }
}

words! {
    /// Memory cgroups: an array of the kernel's structures of them, and where in each something is.
    pub struct Cgroups, AtomicCgroups {
        /// The address of the first: the root.
        first,
        /// How many there can be.
        count,
        /// The size of each.
        bytes,
        /// Whether there is one: 1 byte.
        is_used,
        /// The number of the one that it is in: 1 byte.
        parent,
        /// Pages that it is charged: 8 bytes, as all that follow.
        current,
        /// The most that it was charged.
        peak,
        /// Slots that it is charged.
        swapped,
        /// Its limit on pages; the greatest number for none.
        max,
        /// Its limit on slots.
        swap_max,
        /// Events: at its limit, nothing to reclaim, killed, at its limit on slots, no slot.
        events,
    }
}

words! {
    /// The kernel heap: where its figures are, words of 64 bits. They change under a lock, one after the other.
    pub struct Heap, AtomicHeap {
        /// The address of the word that says how many frames it has.
        frames,
        /// The address of the word that says how many bytes are in use in arenas.
        arena_bytes,
        /// The address of the word that says how many objects these are.
        arena_objects,
        /// The address of the word that says how many bytes have frames of their own.
        large_bytes,
        /// The address of the word that says how many blocks these are.
        large_blocks,
        /// The address of what is known of the slabs of the first size.
        slabs,
        /// How many sizes there are.
        size_count,
        /// How many bytes what is known of each size takes.
        size_bytes,
        /// In that, the bytes of an object.
        size,
        /// In that, how many slabs there are.
        count,
        /// In that, how many objects are in use.
        used,
    }
}

words! {
    /// The events of one processor.
    pub struct Ring, AtomicRing {
        /// The address of its records; 0 if there is no such processor.
        records,
        /// How many there are, a power of 2.
        count,
        /// How many were written so far.
        head,
    }
}

words! {
    /// Where the kernel was, and why it stopped there.
    pub struct Stop, AtomicStop {
        /// Odd while it is changed; 0 if nothing was noted.
        sequence,
        /// The number of the thread that ran.
        thread,
        /// The instruction that was next.
        rip,
        /// The stack pointer, and the other registers that a function leaves as they were.
        rsp,
        /// See there.
        rbp,
        /// See there.
        rbx,
        /// See there.
        r12,
        /// See there.
        r13,
        /// See there.
        r14,
        /// See there.
        r15,
        /// The address of the message (UTF-8).
        message,
        /// How many bytes that has.
        message_length,
    }
}
