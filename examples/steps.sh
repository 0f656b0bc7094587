# For the `run` of each example: shows each command, and runs it. Sourced, in the example's folder.
set -eu
cd "$(dirname "$0")"
PATH=$(cd ../.. && pwd)/bin:$PATH
export PATH

# Says what comes next.
say() {
  printf '\n# %s\n' "$*"
}

# Shows a command of the shell, and runs it: only ever one that is written in this folder.
step() {
  printf '$ %s\n' "$1"
  sh -ec "$1"
}
