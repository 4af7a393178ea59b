"""Frames and folios."""

import gdb

from . import swap, tables
from .values import bits, number, pointed, static, variants

FRAME = "quire_machine::frame::Frame"
# swap/src/folio.rs
FLAGS_MASK, AREA_SHIFT, AREA_MASK = 0x1FF, 9, 0x1F
# kernel/memory/src/folio.rs
INDEX_BITS = 36


def frame(pfn):
    """A frame's metadata."""
    count = number(static("quire_machine::physical::COUNT"))
    if not 0 <= pfn < count:
        raise gdb.GdbError(f"there is no frame {pfn:#x}: they end before {count:#x}")
    first = number(static("quire_machine::physical::FIRST"))
    return pointed(first + pfn * gdb.lookup_type(FRAME).sizeof, FRAME)


def pfn(metadata):
    """The number of the frame that has this metadata."""
    return (int(metadata.address) - number(static("quire_machine::physical::FIRST"))) // metadata.type.sizeof


def kind(metadata):
    """What the frame is used for, by name."""
    return variants("quire_machine::frame::Kind")[number(metadata["kind"])]


def is_folio(metadata):
    """Whether the frame holds a page of an address space or an object."""
    return kind(metadata) in ("Anonymous", "Object")


def entry(state):
    """The area and slot at which a folio is in the swap cache, if it is."""
    flags = number(state["bits"])
    if "InCache" not in bits(flags & FLAGS_MASK, "quire_swap::folio::FolioFlag"):
        return None
    return flags >> AREA_SHIFT & AREA_MASK, number(state["slot"])


def state(state):
    """A folio's state in words."""
    flags = bits(number(state["bits"]) & FLAGS_MASK, "quire_swap::folio::FolioFlag")
    at = entry(state)
    where = f" at area {at[0]} slot {at[1]}" if at else ""
    return (", ".join(flags) or "no flags") + where


def lru(byte):
    """What reclaim knows of a page, from its metadata: see kernel/memory/src/policy/pages.rs."""
    list = byte & 7
    if list in (0, 7):
        return "list none" if list == 0 else "list of the unevictable"
    notes = [word for bit, word in [(8, "isolated"), (16, "fresh"), (128, "droppable")] if byte & bit]
    return " ".join([f"list {list} of the policy", *notes, f"mark {byte >> 5 & 3}"])


def summary(metadata):
    """A frame's metadata in words."""
    said = kind(metadata)
    # In use, a frame keeps the order of the free block that it once began.
    if said == "Free":
        return f"{said}, order {number(metadata['order'])}"
    if not is_folio(metadata):
        return said
    owned = number(metadata["owned"])
    owner = f"owner {owned >> INDEX_BITS} index {owned & (1 << INDEX_BITS) - 1:#x}" if owned else "no owner yet"
    return (
        f"{said}, references {number(metadata['references'])}, {lru(number(metadata['list']))}, "
        f"memory cgroup {number(metadata['cgroup'])}, {owner}, {state(metadata['folio']['__0'])}"
    )


def show_folio(pfn):
    """A folio, each PTE that maps it, and its slot."""
    metadata = frame(pfn)
    if not is_folio(metadata):
        raise gdb.GdbError(f"frame {pfn:#x} holds no folio: {summary(metadata)}")
    print(f"folio {pfn:#x}: {summary(metadata)}")
    for who, address, pte in tables.mappings(pfn):
        print(f"  {who} {address:#x}: {tables.meaning(pte)}")
    at = entry(metadata["folio"]["__0"])
    if at:
        print(f"  area {at[0]} slot {at[1]}: {swap.slot(*at)}")
