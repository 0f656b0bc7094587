#!/bin/sh
# Runs the command of a worker slot once for each datum.
#
#   runner.sh PROGRAM ARGUMENT...
#
# Standard input brings a nonce for each datum, in a line. Descriptor 3 takes the answers: `ready` at
# the start, then for each datum the nonce and one of `exit CODE`, `missing`, `unstartable`, or
# `broken` when something of the datum is left; the runner then ends, and with it the sandbox. When
# it answers, nothing of the datum lives any more. Descriptors 4 and 5 lead to the keeper and back.
#
# In a container there is no keeper, and this process does the keeper's work; before its answer it
# says `stale` when the datum has left something in shared memory. What follows is about sandboxes.
#
# What this shell says of a program that it cannot start, or that a signal ended, it writes where the datum's
# script has standard error go: the server knows these words.
#
# This process has the same rights as user code. It is out of reach for it all the same: user code
# lives in a PID namespace below, where this process has no number to be traced or opened by, and as
# process 1 of its own namespace it takes no signal from there.
exec >/dev/null 2>&1
umask 022
program=$1
shift
kept=
if [ -e /.pachyderm/keeper.sh ]; then
  kept=yes
  cd / || exit 1
  find=$(command -v find) && ipcrm=$(command -v ipcrm) || exit 1
fi
# The server's user is another than that of what is written here, and needs rights.
chmod=
if [ -e /.pachyderm/open ]; then chmod=$(command -v chmod) || exit 1; fi
unset OLDPWD
words=$IFS
# Nothing else is looked for.
PATH=

# Secret values that the datum's script gives to programs by their names; not in the environment, for
# each program is to find no more than it was promised.
index=0
while eval "[ \"\${pachyderm_secret_$index+set}\" ]"; do
  eval "secret_$index=\$pachyderm_secret_$index; unset pachyderm_secret_$index"
  index=$((index + 1))
done

# Whether there is a program, on `path` if its name says no more; `file` is then how to start it.
is_there() {
  file=$program
  if [ -z "$own" ]; then PATH=$path command -v -- "$program" >/dev/null; return; fi
  look_up
  [ -n "$file" ]
}

# Sets `file` to where `program` is on `path`: mostly where it was for the datum before.
look_up() {
  file=$found
  if [ "$path" = "$looked_on" ] && [ -f "$file" ] && [ -x "$file" ]; then return; fi
  file=
  set -f
  IFS=:
  for directory in $path; do
    if [ -f "$directory/$program" ] && [ -x "$directory/$program" ]; then
      file=$directory/$program
      break
    fi
  done
  IFS=$words
  set +f
  found=$file
  looked_on=$path
}
found=
looked_on=

# Says how a datum ended whose code is also the shell's for a program that is missing (127) or cannot
# be started (126): as itself when the program can be started.
explain() {
  case $program in
    */*) file=$program ;;
    *) look_up ;;
  esac
  if [ ! -e "$file" ]; then echo missing && return; fi
  if [ ! -f "$file" ] || [ ! -x "$file" ]; then echo unstartable && return; fi
  IFS=' 	' read -r interpreter _ <"$file" || interpreter=
  case $interpreter in
    '#!'?*) [ -x "${interpreter#??}" ] || { echo unstartable && return; } ;;
  esac
  echo "exit $code"
}

# Has everything killed that the datum has left, and reaps what has become a child of this process, for
# which user code can see. At first without processes of its own: there may be no room for them.
be_alone() {
  rounds=0
  while are_others; do
    [ -n "$left" ] || return 0
    [ $rounds -lt 5000 ] || return 1
    rounds=$((rounds + 1))
    if [ $rounds -lt 200 ]; then jobs; else (:); fi
  done
  return 1
}

# Kills everything else, and sets `left` if there was something. Nobody escapes: see keeper.sh.
are_others() {
  if [ -n "$kept" ]; then echo >&4 && read -r left <&5; return; fi
  if kill -9 -1 2>/dev/null; then left=left; else left=; fi
}

# Whether something is in shared memory or message queues. A shell may find `.` and `..` or not.
is_shared_left() {
  for entry in /dev/shm/* /dev/shm/.* /dev/mqueue/* /dev/mqueue/.*; do
    case $entry in */. | */..) continue ;; esac
    if [ -e "$entry" ] || [ -L "$entry" ]; then return 0; fi
  done
  for table in $tables; do
    if has_rows "$table"; then return 0; fi
  done
  return 1
}

# Shared memory and message queues outlive their processes. `.` and `..` are always there.
forget_shared() {
  set -- /dev/shm/* /dev/shm/.* /dev/mqueue/* /dev/mqueue/.*
  if [ $# -ne 6 ] || [ -e "$1" ] || [ -e "$4" ]; then
    "$find" /dev/shm /dev/mqueue -mindepth 1 -delete 3>&- 4>&- 5<&- || return 1
  fi
  for table in $tables; do
    if has_rows "$table"; then
      "$ipcrm" -a 3>&- 4>&- 5<&-
      return
    fi
  done
}

# Whether a table of the kernel has more than its line of titles. A shell that takes it for a script
# reads it at once, not a byte at a time: the first title is a command here, and no number is, of
# which the shell complains.
has_rows() {
  titles=
  . "$1" && [ -n "$titles" ] && return 1
  { read -r _ && read -r _; } <"$1"
}
key() { titles=read; }

# Those that this kernel has.
tables=
for table in /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg; do
  if [ -e "$table" ]; then tables="$tables $table"; fi
done

# A name that this shell knows for itself, like `true`, it would not look for on the path.
own=
if [ "$(command -v -- "$program")" = "$program" ]; then
  case $program in */*) ;; *) own=yes ;; esac
fi

echo ready >&3
while read -r nonce; do
  # Sets `path`, and starts the program with the datum's environment and streams.
  . /.pachyderm/datum
  code=$?
  if ! be_alone; then
    echo "$nonce broken" >&3
    exit 1
  fi
  if [ -n "$chmod" ]; then "$chmod" -R a+rwX,-t /pfs/out /tmp /var/tmp 2>/dev/null; fi
  if [ -z "$kept" ] && is_shared_left 2>/dev/null; then echo "$nonce stale" >&3; fi
  case $code in
    126 | 127) echo "$nonce $(explain)" >&3 ;;
    *) echo "$nonce exit $code" >&3 ;;
  esac
  # While the server looks at the result.
  [ -z "$kept" ] || forget_shared || exit 1
done
