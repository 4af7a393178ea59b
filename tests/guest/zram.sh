#!/bin/sh
# zram by its attributes, as a device with contents and as swap: in the order in which Linux's own tests go about it.
. /tests/expect.sh

zram=/sys/block/zram0

column() { awk -v column="$1" '{ print $column }' $zram/mm_stat; }

# The algorithm is chosen before the size, and the chosen one stands in brackets.
step lz4 is there -- grep -q lz4 $zram/comp_algorithm
echo lz4 >$zram/comp_algorithm || fail "lz4 is refused"
step lz4 is chosen -- grep -q '\[lz4\]' $zram/comp_algorithm
refused "Invalid argument" sh -c "echo banana >$zram/comp_algorithm"

same "the size at first" 0 "$(cat $zram/disksize)"
refused "Invalid argument" sh -c "echo 0 >$zram/disksize"
echo 24M >$zram/disksize || fail "a size is refused"
same "the size" $((24 << 20)) "$(cat $zram/disksize)"
same "the state" 1 "$(cat $zram/initstate)"
refused "resource busy" sh -c "echo 32M >$zram/disksize"
refused "resource busy" sh -c "echo lz4 >$zram/comp_algorithm"

# A limit can be changed at any time; 0 is none.
echo 8M >$zram/mem_limit || fail "a limit is refused"
same "the limit" $((8 << 20)) "$(column 4)"
echo 0 >$zram/mem_limit || fail "no limit is refused"
same "no limit" 0 "$(column 4)"

# As a device: what is written comes back, and takes less room than it would.
yes "some text that can be compressed, line by line" | head -c 8388608 >/tmp/text
step write -- dd if=/tmp/text of=/dev/zram0 bs=64k
sync
step read -- dd if=/dev/zram0 of=/tmp/back bs=64k count=128
step compare -- cmp /tmp/text /tmp/back
rm /tmp/text /tmp/back
[ "$(column 1)" -ge 8388608 ] || fail "8 MiB were written, but $(column 1) bytes are counted"
[ "$(column 2)" -lt 2097152 ] || fail "a text takes $(column 2) bytes compressed"
same "errors" "0 0" "$(awk '{ print $1, $2 }' $zram/io_stat)"

# As swap.
step mkswap -- mkswap /dev/zram0
step swapon -- swapon /dev/zram0
step it is listed -- grep -q '^/dev/zram0 *partition' /proc/swaps
refused "resource busy" sh -c "echo 1 >$zram/reset"
step check -- check --beside swapped-and-back swapped-over-fork
step swapoff -- swapoff /dev/zram0
step it is not listed -- sh -c '! grep -q zram0 /proc/swaps'

# Everything goes with a reset.
echo 1 >$zram/reset || fail "a reset is refused"
same "the size after a reset" 0 "$(cat $zram/disksize)"
same "what is stored after a reset" "0 0 0" "$(awk '{ print $1, $2, $3 }' $zram/mm_stat)"

# Devices come and go.
number=$(cat /sys/class/zram-control/hot_add) || fail "hot_add"
step a new device -- test -b "/dev/zram$number"
echo "$number" >/sys/class/zram-control/hot_remove || fail "hot_remove"
step it is gone -- test ! -e "/dev/zram$number"

# What is there at the end, those who look at memory from outside see as well: text, pages of zeros, and what gets no shorter.
echo 16M >$zram/disksize || fail "a size after the reset is refused"
{ yes "other text, line by line" | head -c 1048576; head -c 524288 /dev/zero; head -c 262144 /dev/urandom; } >/tmp/mixed
step write again -- dd if=/tmp/mixed of=/dev/zram0 bs=64k
sync
echo "mm_stat: $(cat $zram/mm_stat)"

done_with_all
