#!/bin/sh
# Process 1 of a User-mode Linux on this machine's files, whose control groups are of the newer hierarchy alone:
#
#   linux.uml rootfstype=hostfs rootflags=/ init=newer-groups.sh work=DIRECTORY node=PROGRAM child=FILE
#
# Runs FILE as root in the outermost group, and as an ordinary user in one that is its own to divide. What comes of
# it is in DIRECTORY/root and DIRECTORY/user. With start=only it ends at once: where it can, that kernel runs here.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /mnt
export TMPDIR=/mnt
mkdir /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
groups=/sys/fs/cgroup
mount -t cgroup2 groups "$groups"
[ "${start-}" != only ] || poweroff -f

run() { "$node" --disable-warning=ExperimentalWarning "$child" "/mnt/$1" >"$work/$1" 2>&1; }

mkdir /mnt/root /mnt/user
run root

number=54321
chown "$number" /mnt/user
mkdir "$groups/own"
echo '+cpu +memory +pids' >"$groups/cgroup.subtree_control"
chown -R "$number" "$groups/own"
(
  read -r own _ </proc/self/stat
  echo "$own" >"$groups/own/cgroup.procs"
  exec setpriv --reuid="$number" --regid="$number" --clear-groups --inh-caps=-all \
    "$node" --disable-warning=ExperimentalWarning "$child" /mnt/user >"$work/user" 2>&1
)
find "$groups" -mindepth 1 -type d >"$work/left"
poweroff -f
