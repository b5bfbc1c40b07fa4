# What `mltk ssh` does on the other machine. Arguments: an action, the folder for all models, the model's name,
# and what the action takes. What a login shell prints by itself comes before the line `mltk-ssh`.
#
#   <folder>/<name>/                 specification, uploaded files, archive; the command runs here
#   <folder>/<name>/.mltk-ssh/lock   locked while a command runs
#   <folder>/<name>/.mltk-ssh/run/   the last command: what it is, its log, its exit code
set -u

# Fails when something is missing that all the rest needs. Prints the folder, the state of the last command (none,
# active, ended, lost: ended without an exit code, brought: its results are taken), its exit code, what it is (JSON).
begin() {
    for tool in flock setsid tar; do
        command -v "$tool" >/dev/null || { echo "There is no '$tool' on this machine." >&2; exit 3; }
    done
    # What is exported, passwords for instance, stands in a file there.
    mkdir -p -- "$folder" && mkdir -p -m 700 -- "$own" || exit 3
    find "$own" -maxdepth 1 -name 'incoming-*' -mmin +60 -exec rm -rf -- {} +
    (cd -- "$folder" && pwd)
    if [ ! -e "$run/job.json" ]; then echo none
    elif active; then echo active
    elif [ -e "$run/brought" ]; then echo brought
    elif [ -e "$run/exit" ]; then echo ended
    else echo lost
    fi
    if [ -e "$run/exit" ]; then cat "$run/exit"; else echo 1; fi
    if [ -e "$run/job.json" ]; then cat "$run/job.json"; else echo '{}'; fi
}

active() { [ ! -e "$run/exit" ] && ! flock -n "$own/lock" true; }

# Takes a tar archive with the folders `work` and `run`. Nothing of the last command is touched yet.
receive() { mkdir -p -- "$own/incoming-$1" && tar -xof - -C "$own/incoming-$1"; }

# Takes one file.
put() {
    local path
    path=$(expand "$1")
    mkdir -p -- "$(dirname -- "$path")" && cat >"$path.mltk-part" && mv -- "$path.mltk-part" "$path"
}

# Prints `started`, or `active` when another command was faster.
start() {
    exec 9>"$own/lock"
    flock -w 5 9 || { echo active; exit; }
    rm -rf -- "$run"
    { mv -- "$own/incoming-$1/run" "$run" && cp -R -- "$own/incoming-$1/work/." "$folder"; } || exit 3
    rm -rf -- "$own/incoming-$1"
    touch -- "$run/started"
    # The lock is inherited: it is free when the command and all that it started have ended.
    setsid nohup bash -l "$run/run.sh" </dev/null >"$run/log.txt" 2>&1 &
    echo started
}

# Prints the log from an offset on, until the command has ended.
follow() {
    local offset=$1 size ended
    while :; do
        ended=
        active || ended=1
        size=$(wc -c <"$run/log.txt")
        if [ "$size" -gt "$offset" ]; then
            tail -c "+$((offset + 1))" -- "$run/log.txt" | head -c "$((size - offset))" || exit
            offset=$size
        elif [ "$ended" ]; then
            exit 0
        else
            sleep 0.3 2>/dev/null || sleep 1
        fi
    done
}

stop() {
    local pid attempt
    pid=$(cat "$run/pid" 2>/dev/null) || exit 0
    active || exit 0
    kill -TERM -- "-$pid" 2>/dev/null
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        active || exit 0
        sleep 1
    done
    kill -KILL -- "-$pid" 2>/dev/null
    sleep 1
}

# Prints the archive, if the last command wrote it.
archive() { if [ "$folder/$1" -nt "$run/started" ]; then cat -- "$folder/$1"; fi; }

# Prints, as a tar archive, what the last command wrote into the log folder: of each folder in it all or nothing.
logs() {
    local log_dir entry entries=()
    log_dir=$(cat "$run/log_dir")
    # Not cd "", which stays where it is.
    cd -- "${log_dir:-/nonexistent}" 2>/dev/null || exit 0
    for entry in *; do
        if [ -n "$(find -L "./$entry" -type f -newer "$run/started" -print | head -n 1)" ]; then
            entries+=("./$entry")
        fi
    done
    if [ ${#entries[@]} -gt 0 ]; then tar -chf - -- "${entries[@]}"; fi
}

# Prints, as a tar archive, the files that patterns match; patterns that match none go to stderr.
files() {
    local pattern path found paths=()
    cd -- "$folder" || exit 3
    shopt -s globstar nullglob
    IFS=
    for pattern; do
        found=
        # Unquoted, so that it is expanded: to paths, and to nothing else.
        for path in $pattern; do
            if [ -e "$path" ]; then paths+=("./$path") found=1; fi
        done
        [ "$found" ] || printf "There is no file '%s'.\n" "$pattern" >&2
    done
    if [ ${#paths[@]} -gt 0 ]; then tar -chf - -- "${paths[@]}"; fi
}

# Prints one file.
get() { cat -- "$(expand "$1")"; }

# Prints the version of mltk that ran.
version() { cat "$run/version" 2>/dev/null; }

brought() { touch -- "$run/brought"; }

shutdown() { bash -l "$run/shutdown.sh" </dev/null 2>&1; }

# Removes the folder of the model, which only this script may have made.
clean() {
    if [ -d "$own" ]; then
        exec 9>"$own/lock"
        flock -w 5 9 || { echo "A command is active there." >&2; exit 3; }
        rm -rf -- "$folder"
    fi
}

# A path in the model's folder, in the home folder (~/), or anywhere (/).
expand() {
    case $1 in
        "~/"*) printf '%s' "$HOME/${1#"~/"}" ;;
        /*) printf '%s' "$1" ;;
        *) printf '%s' "$folder/$1" ;;
    esac
}

action=$1 base=$2 name=$3
shift 3
case $base in
    "~") base=$HOME ;;
    "~/"*) base=$HOME/${base#"~/"} ;;
    /*) ;;
    *) base=$HOME/$base ;;
esac
folder=$base/$name
own=$folder/.mltk-ssh
run=$own/run
echo mltk-ssh
"$action" "$@"
