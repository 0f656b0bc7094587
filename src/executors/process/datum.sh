#!/bin/sh
# Becomes the command for one datum, when standard input says so.
#
#   datum.sh PROGRAM ARGUMENT...
#
# Only this process has the datum's environment: what it names may be loaded into any program, and
# the tools around have rights that user code has not.
read -r word && [ "$word" = start ] || exit 1
# The streams are opened anew for each datum: a program may have made them non-blocking.
exec </.pachyderm/stdin >/.pachyderm/stdout 2>/.pachyderm/stderr
. /.pachyderm/environment
# The runner finds out why, and without a word in the datum's output.
command -v -- "$1" >/dev/null || exit 127
exec "$@"
