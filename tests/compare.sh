#!/bin/sh
# Runs a static Linux program on Linux and on Quire: the same archive, the same machine, a swap disk that is not
# rotational. Shows what it prints on each, so that what programs can see is compared: bytes, errors, counts of faults.
#
# With -z it swaps to zram with lz4 instead, one page at a time. With -i the time-stamp counter counts instructions on both, a
# sixteenth of one a tick, and Quire is the one for measuring; then the figures of programs that read it, as swbench and
# touches do, are exact where they wait for no disk.
#
# KERNEL is Linux's image. MODULES is a directory where its modules lie, below any other; what is built in is not missed.
# Of a distribution's package both can be had without installing it: dpkg -x linux-image-….deb DIRECTORY.
set -eu
usage='usage: compare.sh [-i] [-z] [-m MEMORY_MIB] [-s SWAP_MIB] KERNEL MODULES PROGRAM [ARGUMENT…]'
memory=256 swap=512 linux_counts= build= quire_counts= zram=
while getopts izm:s: option; do
    case $option in
    i) linux_counts='-icount shift=4,sleep=off' build=--release quire_counts=--icount ;;
    z) zram=yes ;;
    m) memory=$OPTARG ;;
    s) swap=$OPTARG ;;
    *) echo "$usage" >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 3 ] || { echo "$usage" >&2 && exit 2; }
kernel=$(realpath "$1") modules=$(realpath "$2") program=$(realpath "$3")
shift 3
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/modules" "$root/proc" "$root/sys" "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
cp "$program" "$root/program"

# In the order in which they need one another.
drivers='virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk'
[ -z "$zram" ] || drivers='zsmalloc lz4_compress lz4hc_compress lz4 lz4hc zram'
for driver in $drivers; do
    find "$modules" -name "$driver.ko*" -exec cp {} "$root/modules" \;
done
for packed in "$root"/modules/*.xz; do
    [ ! -e "$packed" ] || unxz "$packed"
done

quoted=
for argument; do
    quoted="$quoted '$(printf %s "$argument" | sed "s/'/'\\\\''/g")'"
done
cat >"$root/init" <<END
#!/bin/sh
PATH=/bin
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t tmpfs tmp /tmp
exec </dev/console >/dev/console 2>&1
for driver in $drivers; do
    [ ! -e /modules/\$driver.ko ] || busybox insmod /modules/\$driver.ko
done
if [ "$zram" ]; then
    echo lz4 >/sys/block/zram0/comp_algorithm
    echo ${swap}M >/sys/block/zram0/disksize
    busybox mkswap /dev/zram0 >/dev/null
    busybox swapon /dev/zram0
    echo 0 >/proc/sys/vm/page-cluster
else
    echo 0 >/sys/block/vda/queue/rotational
    busybox swapon /dev/vda
fi
echo; echo program begins
/program$quoted
echo program ends: \$?
busybox poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$work/root.cpio"

show() {
    echo "$1:"
    tr -d '\r' | sed -n '/^program begins$/,/^program ends/p' | sed '1d; s/^/  /'
}

truncate -s "${swap}M" "$work/swap.img"
busybox mkswap "$work/swap.img" >/dev/null
# shellcheck disable=SC2086 # No word, or several.
timeout 600 qemu-system-x86_64 $linux_counts -machine q35 -cpu max -m "${memory}M" -nographic -no-reboot -nic none \
    -kernel "$kernel" -initrd "$work/root.cpio" -append 'console=ttyS0 quiet no_timer_check panic=-1 rdinit=/init' \
    -drive "if=none,id=swap,format=raw,file=$work/swap.img" -device virtio-blk-pci,drive=swap </dev/null | show Linux
# shellcheck disable=SC2086
cargo run --quiet $build -- $quire_counts --memory "${memory}M" --swap "${swap}M" --initrd "$work/root.cpio" --timeout 600 | show Quire
