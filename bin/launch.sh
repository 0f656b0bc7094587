# Sourced by pachd and pachctl, which set `program`, `root` and `flags` for Node. Starts no process but the program
# itself, which costs less than a millisecond: the command line is called in loops.
. "$root/bin/node.sh"
entry=$root/dist/bin/$program.js
if [ -f "$root/src/bin/$program.ts" ]; then entry=$root/src/bin/$program.ts; fi

# Compiled code is kept between runs, which halves the time to start.
if [ -n "${HOME:-}" ]; then
  export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE-${XDG_CACHE_HOME:-$HOME/.cache}/pachyderm-ts/compiled}"
fi
exec "$node" --disable-warning=ExperimentalWarning $flags "$entry" "$@"
