#!/bin/sh
# What a person does in a shell.
. /tests/expect.sh

same "a pipe" 3 "$(printf 'one\ntwo\nthree\n' | wc -l | tr -d ' ')"
same "a long pipe" 5000 "$(seq 10000 | grep -v '[13579]$' | sort -n | tail -n 5000 | wc -l | tr -d ' ')"
same "arithmetic" 42 "$((6 * 7))"
same "a status" 3 "$(sh -c 'exit 3'; echo $?)"
same "a here-document" "a b" "$(cat <<END
a b
END
)"
cd /tmp || fail cd
mkdir -p a/b && echo one >a/b/file && echo two >>a/b/file
same "appending" "one two" "$(tr '\n' ' ' <a/b/file | sed 's/ $//')"
step cp -- cp -r a c
step diff -- cmp a/b/file c/b/file
same "find" "c/b/file" "$(find c -type f)"
step ln -- ln -s b/file a/link
same "a link" "one" "$(head -n 1 a/link)"
step rm -- rm -r a c
same "ls" "" "$(ls /tmp)"
same "sums" "$(yes | head -c 100000 | md5sum)" "$(yes | head -c 100000 >f; md5sum <f)"

sleep 100 &
job=$!
step ps -- sh -c "ps | grep -q '$job .*sleep 100'"
step kill -- kill $job
wait $job
same "the end of a job" 143 $?
( sh -c 'kill -SEGV $$' )
same "a signal" 139 $?
# Each waits for the one before it.
for n in 3 1 2; do (until [ "$(cat order 2>/dev/null | wc -l)" = $((n - 1)) ]; do sleep 0.1; done; echo $n >>order) & done
wait
same "jobs at once" "1 2 3" "$(tr '\n' ' ' <order | sed 's/ $//')"

step free -- sh -c 'free | grep -q "^Mem: *[1-9]"'
step uptime -- sh -c 'uptime | grep -q load'
step mount -- sh -c 'mount | grep -q "on /proc type proc"'
step mount below itself -- mount -t proc proc /proc/1
same "the way up" /proc/1 "$(cd /proc/1 && pwd -P)"
step umount -- umount /proc/1
refused "Not a directory" cat /proc/self/exe/

group=/sys/fs/cgroup/gone
mkdir $group && exec 3>$group/cgroup.procs && rmdir $group || fail "a group does not come and go"
refused "No such device" sh -c 'echo 0 >&3'
exec 3>&-

step df -- sh -c 'df /tmp | grep -q /tmp'
step top -- sh -c 'top -b -n 1 | grep -q "^Mem:"'
step dmesg -- sh -c 'dmesg | grep -q "Quire"'
echo '<5>a line with a priority' >/dev/kmsg && echo '<tag> and one with a tag' >/dev/kmsg
step a line with a priority -- sh -c 'dmesg | grep -q ": a line with a priority"'
step a line with a tag -- sh -c 'dmesg | grep -q ": <tag> and one with a tag"'
limit=/proc/sys/kernel/printk_devkmsg
same "what becomes of programs' lines" ratelimit "$(cat $limit)"
refused "Invalid argument" sh -c "echo some >$limit"
for n in $(seq 400); do echo "limited $n" >/dev/kmsg; done
[ "$(dmesg | grep -c ': limited ')" -lt 400 ] || fail "a program writes to the log without a limit"
echo on >$limit
for n in $(seq 40); do echo "unlimited $n" >/dev/kmsg; done
same "unlimited lines" 40 "$(dmesg | grep -c ': unlimited ')"
echo off >$limit && echo "a line for nobody" >/dev/kmsg && echo ratelimit >$limit
refused "" sh -c 'dmesg | grep ": a line for nobody"'
step uname -- uname -a
step date -- date
step vi -- sh -c '(printf "ione\033"; sleep 1; printf ":wq\n") | vi /tmp/g >/dev/null 2>&1; grep -q ne /tmp/g'
refused "not found" no-such-program
refused "Permission denied" /etc/passwd

done_with_all
