"""How `print` shows what is packed, or what gdb 13 cannot print."""

import gdb
import gdb.printing

from . import frames, swap, tasks


def printer(function):
    """A printer that shows a value as `function` says."""

    class Printer:
        def __init__(self, value):
            self.value = value

        def to_string(self):
            return function(self.value)

    return Printer


def all_of_swap(value):
    """`Swap`, of which every area is behind a lock and pointers to traits."""
    return "\n".join(["swap", *("  " + swap.summary(area) for area in swap.areas_of(value))])


def folio(value):
    """A counted reference to a frame's metadata."""
    metadata = value["__0"].dereference()
    return f"folio {frames.pfn(metadata):#x}: {frames.summary(metadata)}"


def entry(value):
    """A swap entry."""
    return f"area {int(value['area'])} slot {int(value['slot'])}"


PRINTERS = {
    "quire_machine::frame::Folio": folio,
    "quire_linux::process::control_block::Process": tasks.process_line,
    "quire_machine::frame::Frame": frames.summary,
    "quire_machine::frame::FrameNumber": lambda value: f"frame {int(value['__0']):#x}",
    "quire_machine::task::thread::Thread": tasks.thread,
    "quire_swap::area::Area<quire_memory::swap::core::Quire>": swap.summary,
    "quire_swap::entry::Entry": entry,
    "quire_swap::folio::FolioState": frames.state,
    "quire_swap::swap::Swap<quire_memory::swap::core::Quire>": all_of_swap,
}

collection = gdb.printing.RegexpCollectionPrettyPrinter("quire")
for path, function in PRINTERS.items():
    collection.add_printer(path, f"^{path}$", printer(function))
collection.add_printer("vma", "^quire_memory::vma::Vma<", printer(tasks.vma))
gdb.printing.register_pretty_printer(None, collection, replace=True)
