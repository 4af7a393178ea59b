"""The commands: `quire frame`, `quire walk` and so on."""

import gdb

from . import frames, swap, tables, tasks


class Quire(gdb.Command):
    """The kernel's structures. Numbers are expressions: `quire frame 0x1f0`, `quire walk current seen.page`."""

    def __init__(self):
        super().__init__("quire", gdb.COMMAND_DATA, prefix=True)


def command(usage):
    """Makes a command of a function: `usage` has its name and the names of its arguments, in brackets if they can be left out."""
    name, *arguments = usage.split()

    def make(run):
        def invoke(self, argument, from_tty):
            given = gdb.string_to_argv(argument)
            needed = sum(not argument.startswith("[") for argument in arguments)
            if not needed <= len(given) <= len(arguments):
                raise gdb.GdbError(f"usage: quire {usage}")
            run(*given)

        members = {"__doc__": f"{run.__doc__}\nUsage: quire {usage}", "invoke": invoke}
        type(name, (gdb.Command,), members)(f"quire {name}", gdb.COMMAND_DATA)
        return run

    return make


def evaluate(expression):
    """A number that a person gave."""
    return int(gdb.parse_and_eval(expression))


Quire()


@command("frame PFN")
def frame(pfn):
    """Shows a frame's metadata."""
    print(f"frame {evaluate(pfn):#x}: {frames.summary(frames.frame(evaluate(pfn)))}")


@command("folio PFN-OR-PID [ADDRESS]")
def folio(pfn, address=None):
    """Shows a folio, each PTE that maps it, and its slot if it is in the swap cache. It is named by its frame, or by an address
    of a process, or of the running thread with `current`, that it is mapped at."""
    if address is None:
        frames.show_folio(evaluate(pfn))
        return
    *_, (_, pte) = tables.walk(tables.root_of(tasks.space_named(pfn)), evaluate(address))
    if tables.frame(pte) is None:
        raise gdb.GdbError(f"no folio is mapped there: {tables.meaning(pte)}")
    frames.show_folio(tables.frame(pte))


@command("walk PID ADDRESS")
def walk(pid, address):
    """Shows the PTE of each level for an address of a process, or of the running thread with `current`; and what the last says."""
    root = tables.root_of(tasks.space_named(pid))
    print(f"root table in frame {root:#x}")
    for level, pte in tables.walk(root, evaluate(address)):
        print(f"  level {level}: {pte:#018x}  {tables.meaning(pte)}")
    entry = tables.entry(pte)
    if entry:
        print("  slot: " + swap.slot(*entry))
    elif level == 1 and tables.frame(pte) is not None:
        print(f"  frame {tables.frame(pte):#x}: {frames.summary(frames.frame(tables.frame(pte)))}")


@command("vmas PID")
def vmas(pid):
    """Lists what a process, or the running thread with `current`, has mapped, by address."""
    for vma in tasks.vmas(tasks.space_named(pid)):
        print(tasks.vma(vma))


@command("task [PID]")
def task(pid=None):
    """Shows a process, or all of them and the running thread: memory, thread, and the locks that it holds."""
    if pid:
        tasks.show_process(tasks.process(evaluate(pid)))
        return
    for process in tasks.processes():
        tasks.show_process(process)
    locks()


@command("area [INDEX]")
def area(index=None):
    """Shows a swap area, or all of them."""
    for area in [swap.area(evaluate(index))] if index else swap.areas():
        print(swap.summary(area))


@command("cluster AREA INDEX")
def cluster(area, index):
    """Shows a cluster of a swap area: how many slots are in use, and what the swap table says of each."""
    swap.show_cluster(evaluate(area), evaluate(index))


@command("slot AREA SLOT")
def slot(area, slot):
    """Shows what the swap table says of a slot."""
    print(swap.slot(evaluate(area), evaluate(slot)))


@command("locks")
def locks():
    """Shows the running thread and the ranks of the locks that it holds."""
    thread = tasks.current()
    if thread is None:
        raise gdb.GdbError("threads are not started yet")
    print("running: " + tasks.thread(thread))
