#!/bin/sh
# Runs the command of a worker slot once for each datum, as process 1 of the slot's sandbox.
#
#   runner.sh HOST_PID PROGRAM ARGUMENT...
#
# Standard input brings one line for each datum: its nonce. Descriptor 3 takes the answers: `ready
# HOST_PID` at the start, then for each datum one of `exit CODE`, `missing`, `unstartable`, or
# `broken` when something of the datum is left; the runner then ends, and with it the sandbox. Once
# nothing of the datum lives any more, the nonce ends its output on both streams.
exec >/.pachyderm/stdout 2>/.pachyderm/stderr
umask 022
cd / || exit 1
unset OLDPWD
host_pid=$1
shift
program=$1

# True when the program can be started: a 126 or 127 is then the program's own.
explain() {
  . /.pachyderm/environment
  case $program in
    */*) file=$program ;;
    *)
      file=
      IFS=:
      for directory in $PATH; do
        if [ -f "$directory/$program" ] && [ -x "$directory/$program" ]; then
          file=$directory/$program
          break
        fi
      done
      ;;
  esac
  if [ ! -e "$file" ]; then echo missing >&3 && return 1; fi
  if [ -d "$file" ] || [ ! -x "$file" ]; then echo unstartable >&3 && return 1; fi
  IFS=' 	' read -r interpreter _ <"$file" || return 0
  case $interpreter in
    '#!') return 0 ;;
    '#!'*) [ -x "${interpreter#??}" ] || { echo unstartable >&3 && return 1; } ;;
  esac
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
    command . "/proc/sysvipc/$table" 2>/dev/null || { ipcrm -a && return; }
  done
}

# The tables are run, since `read` would take a system call for each byte: this is the first word of
# the line with their columns' names, and any line after it starts with a number, which no command
# is called.
key() { :; }

echo "ready $host_pid" >&3
while read -r nonce; do
  # The streams are opened anew for each datum: a program may have made them non-blocking.
  (
    exec 3>&- </.pachyderm/stdin >/.pachyderm/stdout 2>/.pachyderm/stderr
    . /.pachyderm/environment
    command -v -- "$program" >/dev/null || exit 127
    exec "$@"
  )
  code=$?
  if ! be_alone; then
    echo broken >&3
    exit 1
  fi
  echo "$nonce"
  echo "$nonce" >&2
  case $code in
    126 | 127) (explain "$@") && echo "exit $code" >&3 ;;
    *) echo "exit $code" >&3 ;;
  esac
  # While the server looks at the result.
  forget_shared || exit 1
done
