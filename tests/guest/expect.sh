# What the scripts share: each step says what it does and what it expects; the first that goes wrong ends the script.

steps=0
script=${0##*/}
script=${script%.sh}

fail() {
    echo "quire: $script FAILED $*"
    exit 1
}

# step WORDS -- COMMAND...: the command succeeds.
step() {
    what=
    while [ "$1" != -- ]; do what="$what $1"; shift; done
    shift
    "$@" || fail "$what: $* gave $?"
    steps=$((steps + 1))
}

# refused ERROR COMMAND...: the command fails and says so with these words.
refused() {
    error=$1
    shift
    said=$("$@" 2>&1) && fail "$* succeeded, instead of: $error"
    case $said in
    *"$error"*) steps=$((steps + 1)) ;;
    *) fail "$* said \"$said\" instead of \"$error\"" ;;
    esac
}

# same WORDS EXPECTED FOUND: two texts are the same.
same() {
    [ "$2" = "$3" ] || fail "$1: \"$3\" instead of \"$2\""
    steps=$((steps + 1))
}

done_with_all() {
    echo "quire: $script ok steps=$steps"
    exit 0
}

mount -t proc -o nosuid,nodev,noexec proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp 2>/dev/null
