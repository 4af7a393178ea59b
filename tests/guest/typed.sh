#!/bin/sh
# Areas whose headers name a backend: /dev/vda and /dev/vdb are one disk, so that its contents can change under an area;
# /dev/vdc is another.
. /tests/expect.sh
# The shell has a mkswap of its own, which knows no types.

# count NAME: a counter of the area's backend.
count() {
    sed -n "s|^/dev/vda $1 ||p" /sys/kernel/mm/swap/backends
}

refused "usage" /bin/mkswap --option over=log /dev/vda
step mkswap of an unknown type -- /bin/mkswap --type paper /dev/vda
refused "Invalid argument" swapon /dev/vda
step mkswap with an unknown option -- /bin/mkswap --type log --option ink=blue /dev/vda
refused "Invalid argument" swapon /dev/vda
step mkswap with a value that cannot be -- /bin/mkswap --type crypt --option over=log --option reserve=99 /dev/vda
refused "Invalid argument" swapon /dev/vda

for type in "log" "crypt" "crypt --option over=log"; do
    # shellcheck disable=SC2086
    step mkswap --type "$type" -- /bin/mkswap -L typed --type $type /dev/vda
    step swapon "$type" -- swapon /dev/vda
    step check "$type" -- check --beside swapped
    case $type in
    *log*)
        step "$type" appends -- [ "$(count log_sequential_percent)" -ge 95 ]
        step "$type" seldom writes twice -- [ "$(count log_write_amplification_hundredths)" -lt 200 ]
        echo "quire: $type: $(count log_pages_written) pages, $(count log_sequential_percent) % sequential," \
            "write amplification $(count log_write_amplification_hundredths)/100"
        ;;
    esac
    case $type in
    crypt*)
        step "$type" seals -- [ "$(count crypt_pages_sealed)" -ge 1000 ]
        same "pages refused" 0 "$(count crypt_pages_refused)"
        ;;
    esac
    step swapoff "$type" -- swapoff /dev/vda
done

step mkswap of a disk of 72 MiB -- /bin/mkswap --type log /dev/vdc
step swapon of it -- swapon /dev/vdc
step check random page-out -- check --beside log-random
step swapoff of it -- swapoff /dev/vdc

step mkswap once more -- /bin/mkswap --type crypt /dev/vda
step swapon once more -- swapon /dev/vda
step check a disk that changes -- check --beside damaged
step swapoff once more -- swapoff /dev/vda

done_with_all
