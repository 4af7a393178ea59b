#!/bin/sh
# Disks with headers: /dev/vda to /dev/vdh lie, /dev/vdi has as many bad pages as there is room for, and /dev/vdj is of a big-endian machine.
. /tests/expect.sh

for disk in /dev/vd[a-h]; do
    refused "Invalid argument" swapon "$disk"
done
same "areas" 0 "$(grep -c ^/dev /proc/swaps)"
for disk in /dev/vdi /dev/vdj; do
    step enable -- swapon "$disk"
done
pages() { awk -v disk="$1" '$1 == disk { print $3 / 4 }' /proc/swaps; }
same "pages beside 637 bad ones" $((4095 - 637)) "$(pages /dev/vdi)"
same "pages beside two bad ones" $((4095 - 2)) "$(pages /dev/vdj)"

done_with_all
