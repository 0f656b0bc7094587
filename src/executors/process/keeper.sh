#!/bin/sh
# Process 1 of the namespace in which the datums of a worker slot live: reaps whom they leave, and
# ends them.
#
# For each line on standard input, kills all other processes of the namespace, and answers with a
# line: an empty one when there were none. There is no end of input but the sandbox's.
#
# This process may do one thing more than user code, change its bounding set, and for that the
# kernel keeps user code from tracing it, although both are root.
exec 2>/dev/null
cd / || exit 1
# So that the end of a process interrupts `read`.
trap : CHLD
echo up
while :; do
  # Telling the jobs, of which there are none, reaps those that have ended: without a process of its
  # own, for user code may have used up all that there can be.
  jobs >&2
  read -r _ || continue
  # Nobody escapes: the kernel lets no process fork that it is about to kill. This fails when nobody
  # is left, not even one that waits to be reaped.
  if kill -9 -1; then echo left; else echo; fi
done
