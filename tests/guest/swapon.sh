#!/bin/sh
# swapon and swapoff, and what they refuse: /dev/vda is a disk without a signature, /dev/vdb is made swap by mkswap -L.
. /tests/expect.sh

refused "No such file" swapon /dev/none
refused "No such file" swapoff /dev/none
refused "Invalid argument" swapon /dev/vda
refused "Invalid argument" swapoff /dev/vda
refused "Invalid argument" swapon /dev/null
refused "directory" swapon /tmp

same "swap at first" 0 "$(awk '/SwapTotal/ { print $2 }' /proc/meminfo)"
step mkswap -- mkswap /dev/vda
step swapon -- swapon /dev/vda
refused "resource busy" swapon /dev/vda
refused "busy" dd if=/dev/zero of=/dev/vda bs=4k count=1
step it is listed -- grep -q '^/dev/vda *partition[[:space:]]*[1-9][0-9]*[[:space:]]*0[[:space:]]*-[0-9]*$' /proc/swaps
step swapon of another -- swapon /dev/vdb
same "areas" 2 "$(grep -c ^/dev /proc/swaps)"
step free -- sh -c 'free | grep -q "^Swap: *[1-9]"'
step check -- check --beside swapped
step swapoff under way -- swapoff /dev/vda
step swapoff of another -- swapoff /dev/vdb
same "areas" 0 "$(grep -c ^/dev /proc/swaps)"
refused "Invalid argument" swapoff /dev/vda

# The signature is at the end of the first page; without it the disk is no swap any more.
same "the signature" SWAPSPACE2 "$(dd if=/dev/vda bs=1 skip=4086 count=10 2>/dev/null)"
step erase -- dd if=/dev/zero of=/dev/vda bs=4096 count=1
refused "Invalid argument" swapon /dev/vda
step check the disk -- check --beside disk

done_with_all
