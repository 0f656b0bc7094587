#!/bin/sh
# Starts a program in control groups, and with what else bounds it.
#
#   bounded.sh DATA_KIB ENTRY... -- PROGRAM ARGUMENT...
#
# ENTRY are files that take the number of a process. DATA_KIB bounds the memory of each process; 0
# does not.
data=$1
shift
while [ "$1" != -- ]; do
  echo $$ >"$1" || exit 1
  shift
done
shift
[ "$data" -eq 0 ] || ulimit -d "$data" || exit 1
exec "$@"
