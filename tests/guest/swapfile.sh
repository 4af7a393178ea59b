#!/bin/sh
# A swap file on a disk that Linux formatted: /dev/vda holds an ext4 with the files hello, holes (which has some), made (swap, by
# mkswap on Linux) and short (whose header speaks of more than there is); /dev/vdb holds no file system.
. /tests/expect.sh

step "a directory" -- mkdir -p /mnt /other
refused "Block device required" mount -t ext4 /tmp /mnt
refused "No such file" mount -t ext4 /dev/none /mnt
refused "Invalid argument" mount -t ext4 /dev/vdb /mnt
step the log names the field -- sh -c 'dmesg | grep -q "ext4: /dev/vdb: s_magic is 0"'
step mount -- mount -t ext4 /dev/vda /mnt
step it is listed -- grep -q '^/dev/vda /mnt ext4 rw,relatime 0 0$' /proc/mounts
refused "resource busy" mount -t ext4 /dev/vda /other
refused "resource busy" swapon /dev/vda
same "what Linux wrote" "written by Linux" "$(cat /mnt/hello)"

# An ordinary file system beside that.
step directories -- mkdir -p /mnt/a/b/c
step links -- sh -c 'ln /mnt/hello /mnt/a/hard && ln -s ../../hello /mnt/a/b/soft'
same "through a link" "written by Linux" "$(cat /mnt/a/b/soft)"
step a working directory -- sh -c 'cd /mnt/a/b/c && [ "$(pwd)" = /mnt/a/b/c ]'
same "links" 2 "$(stat -c %h /mnt/hello)"
step a file in pieces -- sh -c 'seq 1 20000 >/mnt/a/numbers && seq 20001 30000 >>/mnt/a/numbers'
same "numbers" "$(seq 1 30000 | md5sum)" "$(md5sum </mnt/a/numbers)"
step many names -- sh -c 'cd /mnt/a/b && for i in $(seq 1 200); do echo $i >a-name-that-takes-room-$i; done'
same "names" 200 "$(ls /mnt/a/b | grep -c a-name)"
step shorter -- truncate -s 100 /mnt/a/numbers
same "length" 100 "$(wc -c </mnt/a/numbers)"
step rename -- mv /mnt/a/numbers /mnt/a/b/c/renamed
refused "not empty" rmdir /mnt/a/b
step remove -- rm -r /mnt/a
same "links" 1 "$(stat -c %h /mnt/hello)"
refused "Permission denied" su guest -c 'echo >/mnt/hello'
step open without a name -- sh -c 'echo gone >/mnt/gone; exec 3</mnt/gone; rm /mnt/gone; [ "$(cat <&3)" = gone ]'

refused "Invalid argument" swapon /mnt/hello
refused "directory" swapon /mnt
refused "Invalid argument" swapon /mnt/short
# Of a file that has fewer blocks than its length needs, busybox says this before the kernel can.
refused "has holes" swapon /mnt/holes
refused "Invalid argument" swapoff /mnt/hello

step LTP -- check swap-files
step the file -- dd if=/dev/zero of=/mnt/swapfile bs=64k count=1024
step mkswap -- mkswap /mnt/swapfile
step swapon -- swapon /mnt/swapfile
refused "resource busy" swapon /mnt/swapfile
# Where a piece of the file is not aligned on the disk, a page is lost.
step it is listed -- grep -q '^/mnt/swapfile *file[[:space:]]*655[0-9]*[[:space:]]*[0-9]*[[:space:]]*-1$' /proc/swaps
refused "Text file busy" dd if=/dev/zero of=/mnt/swapfile bs=4k count=1 conv=notrunc
refused "Text file busy" dd if=/dev/zero of=/mnt/swapfile bs=4k count=1
refused "Text file busy" truncate -s 4096 /mnt/swapfile
refused "not permitted" rm -f /mnt/swapfile
refused "not permitted" mv /mnt/swapfile /mnt/moved
refused "not permitted" mv -f /mnt/hello /mnt/swapfile
refused "resource busy" umount /mnt
step check -- check --beside swapped-and-back swapped-over-fork swapped-shared swapped-ten-children
# The file system works beside it.
step another file -- sh -c 'seq 1 50000 >/mnt/beside'
same "beside" "$(seq 1 50000 | md5sum)" "$(md5sum </mnt/beside)"
step another area -- swapon /mnt/made
same "areas" 2 "$(grep -c ^/mnt /proc/swaps)"
step swapoff under way -- swapoff /mnt/swapfile
refused "Invalid argument" swapoff /mnt/swapfile
step swapoff -- swapoff /mnt/made
step remove -- rm /mnt/swapfile
step sync -- sync
step umount -- umount /mnt
refused "No such file" cat /mnt/hello
step again -- mount -t ext4 -o ro /dev/vda /mnt
refused "Read-only" touch /mnt/hello
refused "Read-only" swapon /mnt/made
step umount -- umount /mnt

done_with_all
