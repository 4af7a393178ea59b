"""Swap areas, clusters and slots."""

import gdb

from .values import boxed_slice, memory, number, part, shared, static, words

AREA = "quire_swap::area::Area<quire_memory::swap::core::Quire>"
CLUSTER = "quire_swap::cluster::Cluster<quire_memory::swap::core::Quire>"
CLUSTER_SLOTS = 512
# swap/src/table_entry.rs
COUNT_SHIFT, ZERO, PAYER_SHIFT, PAYER_MASK = 60, 1 << 59, 53, 0x3F
COUNT_EXTENDED = 15


def areas():
    """The enabled areas, by index."""
    return areas_of(static("quire_memory::swap::core::SWAP"))


def areas_of(swap):
    """The same of this `Swap`."""
    places = swap["areas"]
    first, last = places.type.range()
    for index in range(first, last + 1):
        area = shared(number(part(places[index], "core::option::Option")), AREA)
        if area is not None:
            yield area


def area(index):
    """The area with this index."""
    for area in areas():
        if number(area["index"]) == index:
            return area
    raise gdb.GdbError(f"there is no swap area {index}")


def summary(area):
    """An area in words."""
    name = memory(*words(int(area["name"].address), 2)).decode(errors="replace")
    return (
        f"area {number(area['index'])}: {name}, {number(area['usable'])} slots, {number(area['used'])} in use, "
        f"priority {int(area['priority'])}"
    )


def cluster(area, index):
    """A cluster of an area with a disk."""
    slots = number(area["slots"])
    if not 0 <= index * CLUSTER_SLOTS < slots:
        raise gdb.GdbError(f"there is no cluster {index} in {slots} slots")
    clusters = area["clusters"]
    if any(field.name == "Fixed" for field in clusters.type.fields()):
        return boxed_slice(clusters["Fixed"]["__0"], CLUSTER)[index]
    raise gdb.GdbError("the clusters of an area without a disk, which come and go, cannot be shown")


def table(cluster):
    """The table entries of a cluster; None if it has no table, as when none of its slots is in use."""
    pointer = number(part(cluster["table"], "core::option::Option"))
    return words(pointer, CLUSTER_SLOTS) if pointer else None


def list_name(number):
    """The list of its area that a cluster is on, by name."""
    lists = {0: "free", 1: "to be discarded", 254: "none, as it is full", 255: "none, as a task has it for itself"}
    return lists.get(number, f"{number}: partly used")


def show_cluster(index, number_of_cluster):
    """A cluster, and each of its slots that is not free."""
    one = cluster(area(index), number_of_cluster)
    state = part(one["state"], "quire_swap::cluster::ClusterState")
    used, where = number(state["used"]), list_name(number(state["list"]))
    print(f"area {index} cluster {number_of_cluster}: {used} of {CLUSTER_SLOTS} slots not free; list {where}")
    for offset, entry in enumerate(table(one) or []):
        if entry:
            print(f"  slot {number_of_cluster * CLUSTER_SLOTS + offset}: {table_entry(entry)}")


def table_entry(entry):
    """A table entry in words."""
    if entry & 0b1111 == 0b1000:
        return "bad"
    if entry & 0b1111 == 0:
        return "free"
    count, payload = entry >> COUNT_SHIFT, entry & (1 << PAYER_SHIFT) - 1
    said = "count in the extension" if count == COUNT_EXTENDED else f"count {count}"
    if entry & ZERO:
        said += ", all zero"
    if entry & 1:
        return f"shadow {payload >> 1:#x}, {said}, cgroup {entry >> PAYER_SHIFT & PAYER_MASK}"
    if entry & 0b10:
        return f"folio {payload >> 2:#x}, {said}, cgroup {entry >> PAYER_SHIFT & PAYER_MASK}"
    return f"owned by a slot of another area, {said}"


def slot(index, slot):
    """What the swap table says of a slot, in words."""
    entries = table(cluster(area(index), slot // CLUSTER_SLOTS))
    return table_entry(entries[slot % CLUSTER_SLOTS]) if entries else "free: its cluster has no table"
