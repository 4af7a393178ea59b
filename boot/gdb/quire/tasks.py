"""Threads, processes and their address spaces."""

import gdb

from . import tables
from .values import memory, number, offset_of, once, part, pointed, shared, static, tree, variants, word

PROCESS = "quire_linux::process::control_block::Process"
SPACE = "quire_memory::address_space::AddressSpace"
TABLES = "quire_memory::page_tables::PageTables"
THREAD = "quire_machine::task::thread::Thread"
ROOT = "quire_machine::arch::root::Root"


def processes():
    """Every process, by number."""
    table = part(static("quire_linux::process::table::TABLE"), "quire_linux::process::table::Table")
    root = number(table["processes"]["root"])
    return [pointed(address, PROCESS) for address in tree(root, offset_of(PROCESS, "link"))]


def process(pid):
    """The process of that number."""
    for process in processes():
        if number(process["pid"]) == pid:
            return process
    raise gdb.GdbError(f"there is no process {pid}")


def name(process):
    """Its name."""
    return memory(int(process["name"].address), 16).split(b"\0")[0].decode(errors="replace")


def space_of(process):
    """Its address space; None when it has ended."""
    return shared(number(part(process["space"], "core::option::Option")), SPACE)


def tables_of(space):
    """An address space's page tables."""
    return shared(number(space["tables"]), TABLES)


def thread_of(process):
    """Its thread; None before it is made and after it is gone."""
    weak = once(process["thread"])
    if weak is None:
        return None
    inner = pointed(number(weak), f"alloc::sync::ArcInner<{THREAD}>")
    return inner["data"] if number(inner["strong"]) else None


def space_named(words):
    """The address space of a process, by its number, or of the running thread: `current`."""
    if words != "current":
        space = space_of(process(int(gdb.parse_and_eval(words))))
    else:
        thread = current()
        space = own_space(thread) if thread is not None else None
    if space is None:
        raise gdb.GdbError(f"{words} has no address space")
    return space


def own_space(thread):
    """The address space of its user half; None if it has none."""
    # A pointer to a trait's object is two words, of which this is the first; what stands behind the trait is always an address space.
    value = word(int(part(thread["space"], "core::ptr::non_null::NonNull").address))
    return pointed(value, SPACE) if value else None


def current():
    """The thread that the first processor runs; None before threads are started."""
    running = number(static("quire_machine::arch::cpu::CPUS")[0]["current"])
    return pointed(running, THREAD) if running else None


def text(value):
    """A `String`."""
    # The only part of it that is one is the buffer's address.
    pointer = number(part(value, "core::ptr::non_null::NonNull"))
    return memory(pointer, number(value["vec"]["len"])).decode(errors="replace")


def roots():
    """Whose page tables there are, with their root frames, each once."""
    seen = {}
    for one in processes():
        space = space_of(one)
        if space is not None:
            seen.setdefault(tables.root_of(space), f"process {number(one['pid'])}")
    thread = current()
    # A thread without a user half runs on the kernel's tables.
    root = number(thread["root"]) if thread is not None else 0
    if root:
        seen.setdefault(number(pointed(root, ROOT)["frame"]), f"thread {number(thread['number'])}")
    return [(who, root) for root, who in seen.items()]


def process_line(process):
    """A process in words."""
    said = f'process {number(process["pid"])} "{name(process)}", parent {number(process["parent"])}'
    return said if space_of(process) is not None else said + ", has ended"


def show_process(process):
    """A process, its memory and its thread."""
    print(process_line(process))
    space, runs = space_of(process), thread_of(process)
    if space is not None:
        own = tables_of(space)
        counted = {name: own["counts"][name] for name in ("anonymous", "object", "swapped")}
        counted["tables"] = own["tables"]["tables"]
        said = ", ".join(f"{name} {number(count)}" for name, count in counted.items())
        print(f"  root table in frame {tables.root_of(space):#x}; pages: {said}")
    if runs is not None:
        print("  " + thread(runs))


def thread(thread):
    """A thread in words, with the locks that it holds."""
    state = variants("quire_machine::task::thread::State")[number(thread["state"])]
    return f'thread {number(thread["number"])} "{text(thread["name"])}": {state}, holds {ranks(held(thread))}'


def held(thread):
    """The ranks of the locks that a thread holds, a bit each."""
    running = current()
    is_running = running is not None and int(running.address) == int(thread.address)
    return number(static("quire_machine::arch::cpu::CPUS")[0]["held_ranks"] if is_running else thread["held_ranks"])


def ranks(mask):
    """The locks of a mask of ranks, by name; the swap core's own lie between two of the kernel's."""
    kernels = variants("quire_machine::sync::Rank")
    lowest = next(rank for rank, name in kernels.items() if name == "SwapLowest")
    names = {rank: name for rank, name in kernels.items() if name != "SwapLowest"}
    cores = variants("quire_swap::rank::Rank").items()
    names.update({lowest + rank: f"the swap core's {name}" for rank, name in cores})
    said = [names.get(rank, f"rank {rank}") for rank in range(64) if mask >> rank & 1]
    return ", ".join(said) or "no lock"


def vmas(space):
    """What an address space has mapped, by address."""
    vmas = part(space["layout"], "quire_memory::vmas::Vmas")
    node = vmas.type.name.replace("Vmas<", "Node<", 1)
    root = number(vmas["tree"]["root"])
    return [pointed(address, node)["vma"] for address in tree(root, offset_of(node, "link"))]


def vma(vma):
    """A VMA as the beginning of a line of `/proc/PID/maps`, and what holds for it besides."""
    protection, held_for = vma["protection"], ("grows_down", "locked", "not_inherited")
    letters = "".join(
        letter if number(protection[name]) else "-"
        for letter, name in (("r", "read"), ("w", "write"), ("x", "execute"))
    )
    said = [name.replace("_", " ") for name in held_for if number(vma[name])]
    source = "of an object" if number(vma["object"]) else "of zeros"
    share = "s" if number(vma["shared"]) else "p"
    start, end = number(vma["range"]["start"]), number(vma["range"]["end"])
    return f"{start:012x}-{end:012x} {letters}{share} {', '.join([source, *said])}"
