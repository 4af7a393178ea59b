"""Rust values, part by part: gdb 13 ends with a core dump where it prints some of them as a whole."""

import gdb

PAGE_SIZE = 4096
# kernel/machine/src/address_map.rs
DIRECT_MAP = 0xFFFF_8000_0000_0000


def static(path):
    """The static with this path."""
    symbol = gdb.lookup_global_symbol(path) or gdb.lookup_static_symbol(path)
    if symbol is None:
        raise gdb.GdbError(f"there is no {path}: is the kernel's file loaded?")
    return symbol.value()


def part(value, of):
    """The first part of `value`, or of its parts, whose type's name begins like this: what a lock or a cell is around."""
    found = find(value, of)
    if found is None:
        raise gdb.GdbError(f"{value.type} has no part of type {of}")
    return found


def find(value, of):
    """As `part`; None if there is no such part."""
    if (value.type.name or "").startswith(of):
        return value
    if value.type.strip_typedefs().code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return None
    parts = (find(value[field], of) for field in value.type.fields() if field.type.sizeof > 0)
    return next((found for found in parts if found is not None), None)


def number(value):
    """The number that an atomic or another type around it holds."""
    return int.from_bytes(memory(int(value.address), value.type.sizeof), "little")


def memory(address, length):
    """Bytes of the guest, at a kernel address."""
    return bytes(gdb.selected_inferior().read_memory(address, length))


def word(address):
    """The eight bytes there."""
    return int.from_bytes(memory(address, 8), "little")


def words(address, count):
    """So many words from there on."""
    data = memory(address, 8 * count)
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]


def pointed(pointer, path):
    """What a pointer's number leads to, as the type with this path."""
    return gdb.Value(pointer).cast(gdb.lookup_type(path).pointer()).dereference()


def shared(pointer, path):
    """What an `Arc` of this type is about, by the `Arc`'s number; None for 0, which stands for no `Arc`."""
    if pointer == 0:
        return None
    return pointed(pointer, f"alloc::sync::ArcInner<{path}>")["data"]


def once(value):
    """What was put into a `Once`; None while nothing was."""
    complete = 2
    if number(part(value, "spin::once::status::AtomicStatus")) != complete:
        return None
    return part(value, "core::mem::maybe_uninit::MaybeUninit")["value"]


def boxed_slice(value, path):
    """What a `Box` of a slice holds, as an array of that type."""
    address, length = words(int(value.address), 2)
    return pointed(address, path).cast(gdb.lookup_type(path).array(length - 1)) if length else []


def variants(path):
    """The names of an enum's variants, by number."""
    return {field.enumval: field.name.split("::")[-1] for field in gdb.lookup_type(path).fields()}


def bits(mask, path):
    """The names of those variants that are bits of the mask."""
    return [name for bit, name in variants(path).items() if mask & bit]


def tree(root, offset):
    """The addresses of a red-black tree's objects in order, by the link of its root; the link is at `offset` in each."""
    # intrusive-collections: left, right, and the parent with a colour.
    stack, link = [], root
    while stack or link:
        while link:
            stack.append(link)
            link = word(link)
        link = stack.pop()
        yield link - offset
        link = word(link + 8)


def offset_of(path, field):
    """Where a field is in its structure, in bytes."""
    return next(f.bitpos // 8 for f in gdb.lookup_type(path).fields() if f.name == field)
