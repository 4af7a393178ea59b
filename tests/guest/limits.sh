#!/bin/sh
# Memory ends while process 1, this shell, is the largest process: another one has to go.
. /tests/expect.sh

# All that is free, in KiB. A variable takes some of it three times over while it is made.
free=$(awk '/MemAvailable/ { print $2 }' /proc/meminfo)
held=$(head -c $((free / 5))k /dev/zero | tr '\0' x)
same "what the shell holds" $((free / 5 * 1024)) ${#held}

# Each of these, a program of its own that has nothing of the shell, has half of that, and all of them together more than there is.
for n in $(seq 24); do
    /bin/busybox dd if=/dev/zero bs=$((free / 20))k count=1 2>/dev/null | sleep 3 &
done
wait
same "what the shell holds" $((free / 5 * 1024)) ${#held}
[ "$(awk '/^oom_kill / { print $2 }' /proc/vmstat)" -gt 0 ] || fail "nobody had to go"
steps=$((steps + 1))

done_with_all
