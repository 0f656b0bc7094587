# Sourced by the launchers: sets `node` to a Node of version 24 or newer for the package in `root`. The pinned one
# comes first, because it is found without starting a process.
node=$root/node_modules/.bin/node
if ! [ -x "$node" ]; then
  node=node
  case $(node --version 2>/dev/null || :) in
    v2[4-9].* | v[3-9][0-9].*) ;;
    *)
      echo "Node 24 or newer is needed. Install it, or run 'npm ci' in a checkout of this project." >&2
      exit 1
      ;;
  esac
fi
