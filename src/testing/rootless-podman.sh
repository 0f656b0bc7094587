#!/bin/sh
# Starts Podman as an ordinary user, and runs a program as that user:
#
#   rootless-podman.sh DIRECTORY ARCHIVE PROGRAM ARGUMENT...
#
# ARCHIVE is a saved image; the engine's socket is DIRECTORY/run/engine.sock. Runs as root, as process 1 of
# namespaces of its own: what is mounted here is seen nowhere else, and nothing outlives it.
set -eu
directory=$1 archive=$2
shift 2
cd "$directory"
number=54321

{ cat /etc/passwd; echo "pachyderm-test:x:$number:$number::$directory/home:/bin/sh"; } >passwd
{ cat /etc/group; echo "pachyderm-test:x:$number:"; } >group
echo "pachyderm-test:200000:65536" >subordinates
for file in passwd group; do mount --bind "$file" "/etc/$file"; done
for file in subuid subgid; do mount --bind subordinates "/etc/$file"; done
mkdir -p home run data
chown -R "$number:$number" home run data

as_user() {
  exec setpriv --reuid="$number" --regid="$number" --clear-groups --inh-caps=-all \
    env -i PATH="$PATH" HOME="$directory/home" USER=pachyderm-test XDG_RUNTIME_DIR="$directory/run" \
    TMPDIR="$directory/home" CONTAINERS_CONF="$directory/containers.conf" \
    CONTAINERS_STORAGE_CONF="$directory/storage.conf" "$@"
}

(as_user podman load --input "$archive") >&2
(as_user podman system service --time=0 "unix://$directory/run/engine.sock") >service.log 2>&1 &
while [ ! -S run/engine.sock ]; do
  kill -0 $! || { cat service.log >&2; exit 1; }
  sleep 0.1
done
as_user "$@"
