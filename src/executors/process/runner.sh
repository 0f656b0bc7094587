#!/bin/sh
# Runs the command of a worker slot once for each datum, as process 1 of the slot's sandbox.
#
#   runner.sh PROGRAM ARGUMENT...
#
# Standard input brings two lines for each datum: `start`, which the datum's process takes, and a
# nonce, which stays unread until that process has ended. Descriptor 3 takes the answers: `ready` at
# the start, then for each datum the nonce and one of `exit CODE`, `missing`, `unstartable`, or
# `broken` when something of the datum is left; the runner then ends, and with it the sandbox. Once
# nothing of the datum lives any more, the nonce ends its output on both streams.
#
# This process may do one thing more than user code, change its bounding set, and for that the
# kernel keeps user code from tracing it and from taking its descriptors, although both are root.
exec >/.pachyderm/stdout 2>/.pachyderm/stderr
umask 022
cd / || exit 1
unset OLDPWD
program=$1
setpriv=$(command -v setpriv) || exit 1

# Says how a datum ended whose code is also the shell's for a program that is missing (127) or cannot
# be started (126): as itself when the program can be started.
explain() {
  # Of the datum's environment only this: other names may be those of variables here.
  path=$(. /.pachyderm/environment && printf '%s' "$PATH")
  case $program in
    */*) file=$program ;;
    *)
      file=
      IFS=:
      for directory in $path; do
        if [ -f "$directory/$program" ] && [ -x "$directory/$program" ]; then
          file=$directory/$program
          break
        fi
      done
      ;;
  esac
  if [ ! -e "$file" ]; then echo missing && return; fi
  if [ -d "$file" ] || [ ! -x "$file" ]; then echo unstartable && return; fi
  IFS=' 	' read -r interpreter _ <"$file" || interpreter=
  case $interpreter in
    '#!'?*) [ -x "${interpreter#??}" ] || { echo unstartable && return; } ;;
  esac
  echo "exit $code"
}

# Kills and reaps until this process is alone. A subshell is waited for, which reaps orphans too.
be_alone() {
  rounds=0
  while :; do
    kill -9 -1 2>/dev/null
    set -- /proc/[0-9]*
    [ $# -eq 1 ] && return 0
    [ $rounds -lt 5000 ] || return 1
    rounds=$((rounds + 1))
    (:)
  done
}

# Shared memory and message queues outlive their processes. `.` and `..` are always there.
forget_shared() {
  set -- /dev/shm/* /dev/shm/.* /dev/mqueue/* /dev/mqueue/.*
  if [ $# -ne 6 ] || [ -e "$1" ] || [ -e "$4" ]; then
    find /dev/shm /dev/mqueue -mindepth 1 -delete || return 1
  fi
  for table in shm sem msg; do
    if { read -r _ && read -r _; } <"/proc/sysvipc/$table"; then
      ipcrm -a
      return
    fi
  done
}

echo ready >&3
while :; do
  # Ahead of its datum: it takes `start` itself.
  (exec "$setpriv" --bounding-set=-setpcap --inh-caps=-all sh /.pachyderm/datum.sh "$@" 3>&-)
  code=$?
  be_alone
  alone=$?
  read -r nonce || exit 0
  # Still there: the datum's process ended without it.
  [ "$nonce" != start ] || alone=1
  if [ $alone -ne 0 ]; then
    echo "$nonce broken" >&3
    exit 1
  fi
  echo "$nonce"
  echo "$nonce" >&2
  case $code in
    126 | 127) echo "$nonce $(explain)" >&3 ;;
    *) echo "$nonce exit $code" >&3 ;;
  esac
  nonce=
  # While the server looks at the result.
  forget_shared || exit 1
done
