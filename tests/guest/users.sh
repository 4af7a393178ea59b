#!/bin/sh
# Several people on one machine.
. /tests/expect.sh

same "who root is" root "$(whoami)"
same "root's groups" "uid=0(root) gid=0(root)" "$(id | sed 's/ groups=.*//')"
as() { su "$1" -c "$2"; }
same "su" guest "$(as guest whoami)"
same "id" "uid=1000(guest) gid=1000(guest) groups=100(users),1000(guest)" "$(as guest id)"
same "home" /home/guest "$(su - guest -c pwd)"
same "a new file" "guest guest" "$(as guest 'cd && touch new && stat -c "%U %G" new')"
step "root may all" -- sh -c 'echo text >/home/guest/new'
refused "Permission denied" as guest 'echo 1 >/proc/sys/vm/swappiness'
refused "Permission denied" as guest 'cat /root/x'
refused "Permission denied" as guest 'echo >/etc/passwd'
refused "permission denied" as guest 'mount -t tmpfs none /tmp'
refused "not permitted" as guest 'kill 1'
refused "not permitted" as guest 'hostname other'
refused "not permitted" as guest 'chown root /home/guest/new'
step chmod -- as guest 'chmod 600 /home/guest/new'
sleep 100 &
refused "not permitted" as guest "kill $!"
step "root ends it" -- kill $!
as guest 'sleep 100' &
until ps -o args | grep -q '^sleep 100$'; do sleep 0.1; done
same "ps" guest "$(ps -o user,args | sed -n 's/ *sleep 100$//p' | head -n 1)"
step "its owner ends it" -- as guest 'killall sleep'
wait
step cp -- sh -c "cp /bin/check /tmp/check && chmod 4755 /tmp/check"
same "a program of root's" "1000 0 0 1000 1000 1000 secure=1" "$(as guest '/tmp/check --ids')"

step "options" -- grep -q "^proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0$" /proc/mounts
step remount -- mount -o remount,ro /tmp
refused "Read-only file system" touch /tmp/new
step remount -- mount -o remount,rw /tmp
step writing -- touch /tmp/new

done_with_all
