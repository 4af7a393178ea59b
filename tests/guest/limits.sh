#!/bin/sh
# Memory ends while process 1, this shell, is the largest process: another one has to go.
. /tests/expect.sh

# All that is free, in KiB. A variable takes some of it three times over while it is made.
free=$(awk '/MemAvailable/ { print $2 }' /proc/meminfo)
held=$(head -c $((free / 5))k /dev/zero | tr '\0' x)
same "what the shell holds" $((free / 5 * 1024)) ${#held}

killed() { awk '/^oom_kill / { print $2 }' /proc/vmstat; }

# Each of these, a program of its own that has nothing of the shell, has half of that, and all of them together more than there is.
# They keep it, because nobody reads what they have, until one has gone.
for n in $(seq 24); do
    /bin/busybox dd if=/dev/zero bs=$((free / 20))k count=1 2>/dev/null | sleep 10000 &
done
until [ "$(killed)" -gt 0 ]; do sleep 0.1; done
killall sleep
wait
same "what the shell holds" $((free / 5 * 1024)) ${#held}
steps=$((steps + 1))

done_with_all
