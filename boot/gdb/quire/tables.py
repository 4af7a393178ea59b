"""Page tables: what a PTE says, the walk to it, and who maps a frame."""

from . import tasks
from .values import DIRECT_MAP, PAGE_SIZE, number, words

# kernel/machine/src/arch/page_table.rs
ADDRESS = 0x000F_FFFF_FFFF_F000
PRESENT, LARGE = 1 << 0, 1 << 7
FLAGS = {1: "writable", 2: "user", 5: "accessed", 6: "dirty", 7: "large", 9: "zero page", 10: "locked", 63: "no execute"}
# kernel/memory/src/page_tables.rs
HIDDEN, ZERO_PAGE = 0b1110, 1 << 9
# swap/src/entry.rs
KIND_ENTRY, KIND_POISONED = 0b0010, 0b0100


def entry(pte):
    """The area and slot that a PTE holds, if it holds a swap entry."""
    if pte & 0b1111 != KIND_ENTRY:
        return None
    return pte >> 4 & 0x1F, pte >> 16 & 0xFFFF_FFFF


def frame(pte):
    """The frame that a PTE maps, if it maps one."""
    is_mapped = pte & PRESENT or pte & 0b1111 == HIDDEN
    return (pte & ADDRESS) // PAGE_SIZE if is_mapped else None


def meaning(pte):
    """A PTE in words."""
    if pte == 0:
        return "nothing"
    if entry(pte):
        return "swap entry: area {} slot {}".format(*entry(pte))
    if pte & 0b1111 == KIND_POISONED:
        return f"poisoned: area {pte >> 4 & 0x1F} slot {pte >> 16 & 0xFFFF_FFFF}"
    if frame(pte) is None:
        return f"unknown word {pte:#x}"
    # A PTE that is not present has these bits for its kind.
    first = 0 if pte & PRESENT else 4
    said = [name for bit, name in FLAGS.items() if bit >= first and pte >> bit & 1]
    said = said if pte & PRESENT else ["hidden", *said]
    return f"frame {frame(pte):#x}: {', '.join(said)}"


def table(pfn):
    """The words of a page table."""
    return words(DIRECT_MAP + pfn * PAGE_SIZE, 512)


def walk(root, address):
    """The PTE of each level down to the one that leads no further, from level 4 on."""
    pfn = root
    for level in (4, 3, 2, 1):
        pte = table(pfn)[address >> 12 + 9 * (level - 1) & 511]
        yield level, pte
        if not pte & PRESENT or pte & LARGE:
            return
        pfn = frame(pte)


def leaves(root):
    """Each page of the user half whose PTE is not 0, with its PTE."""

    def below(pfn, level, start):
        for index, pte in enumerate(table(pfn)[: 256 if level == 4 else 512]):
            address = start + (index << 12 + 9 * (level - 1))
            if level == 1 and pte:
                yield address, pte
            elif level > 1 and pte & PRESENT:
                yield from below(frame(pte), level - 1, address)

    return below(root, 4, 0)


def mappings(pfn):
    """Who maps a frame where, by which PTE: looks at the page tables of every process and of the running thread."""
    for who, root in tasks.roots():
        for address, pte in leaves(root):
            if frame(pte) == pfn and not pte & ZERO_PAGE:
                yield who, address, pte


def root_of(space):
    """The frame of an address space's root table."""
    return number(tasks.tables_of(space)["tables"]["root"]["frame"])
