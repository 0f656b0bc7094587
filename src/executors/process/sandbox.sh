#!/bin/sh
# Builds the sandbox of one worker slot around itself, then becomes its runner.
#
#   sandbox.sh SLOT LEFT_OUT... -- COVERED... -- HIDDEN... -- SECRET... -- PROGRAM ARGUMENT...
#
# Runs as process 1 of new mount, PID and IPC namespaces, as (namespaced) root, and of a new session.
# Its children are in another PID namespace, below its own: that of user code. SLOT is the slot's
# directory on the host. COVERED are directories that are shown without their sockets, and without the files
# LEFT_OUT; HIDDEN are those that user code must not see; all three are written as in a mount table, and
# may have gone meanwhile. SECRET are directories at which it sees files that come, as a tar archive, by
# descriptor 4. What the sandbox shows is written down for users in docs/executors.md.
#
# Mounts are made from tables, many with one `mount`: one program for each takes 0.2 s. What may fail is
# not heard: the last complaint tells the server why this gave up.
#
# PATH leads to the tools, outside of the sandbox as in it.
set -eu

umask 022

# A path as a mount table writes it.
in_table() {
  case $1 in
    *[[:space:]\\]*)
      printf '%s\n' "$1" |
        sed -e 's/\\/\\134/g' -e 's/ /\\040/g' -e 's/	/\\011/g' -e '$!s/$/\\012/' | tr -d '\n'
      ;;
    *) printf '%s' "$1" ;;
  esac
}

# Sets `path` to what the field $1 of a table stands for, whatever it ends with.
from_table() {
  case $1 in
    *\\*)
      # With a zero, no digit more is taken for one of the number.
      path=$(printf '%b.' "$(printf '%s' "$1" | sed 's/\\/\\0/g')")
      path=${path%.}
      ;;
    *) path=$1 ;;
  esac
}

line='
'
# Between newlines.
left_out=$line

# Shows the entries of the directory $1 in $2: writes a mount table, and makes links and the places of
# files. Sockets are not shown: who finds one can talk to whoever listens, however read-only it is.
show() {
  into=$(in_table "$2")
  for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    case $entry in
      /proc | /dev | /tmp | /run | /pfs | /.pachyderm | /.mounts | /.cover | /.old | /lost+found) continue ;;
    esac
    case $left_out in *"$line$entry$line"*) continue ;; esac
    if [ -L "$entry" ]; then
      ln -s "$(readlink "$entry")" "$2/${entry##*/}"
    elif [ -d "$entry" ]; then
      field=$(in_table "$entry")
      printf '%s\n' "$field $into/${field##*/} none rbind,X-mount.mkdir 0 0"
    elif [ -f "$entry" ]; then
      : >"$2/${entry##*/}"
      field=$(in_table "$entry")
      printf '%s\n' "$field $into/${field##*/} none bind 0 0"
    fi
  done
}

# What is left of root's rights is what a container gives: enough to own files, not to mount.
bounds=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+net_bind_service,+sys_chroot

# When the machine runs short, user code waits for the server, and is ended before it. The second of
# the priorities is for kernels that share time between sessions first.
read -r score </proc/self/oom_score_adj
if [ "$score" -lt 500 ]; then echo 500 >/proc/self/oom_score_adj || :; fi
if [ -e /proc/self/autogroup ]; then { echo 5 >/proc/self/autogroup || :; } 2>/dev/null; fi

# Whether user code owns what the machine shows in /proc, and could change its rights for all.
is_machines_root=
while read -r _ user _; do
  if [ "$user" = 0 ]; then is_machines_root=yes; fi
done </proc/self/uid_map

# In another user namespace code would have all rights, and could mount the machine's control groups. This holds for
# the sandbox's own, if it has one; where it has none, the filter of system calls refuses.
if [ "$SANDBOX_MODE" = user ]; then { echo 0 >/proc/sys/user/max_user_namespaces || :; } 2>/dev/null; fi
unset SANDBOX_MODE

slot=$1
shift

# The archive of secrets.
exec 7<&4

# The first child is process 1 of user code's namespace: the keeper, once the sandbox is built. It
# alone has one right more. What it answers is read by a descriptor that ends with it.
exec 4<>"$slot/to-keeper" 5<>"$slot/from-keeper" 6<"$slot/from-keeper"
{
  read -r _
  exec nice -n 5 setpriv --bounding-set="$bounds,+setpcap" --inh-caps=-all sh /.pachyderm/keeper.sh
} <&4 >&5 3>&- 4>&- 5>&- 6<&- 7<&- &
exec 5<&6 6<&-

while [ "$1" != -- ]; do
  from_table "$1"
  left_out=$left_out$path$line
  shift
done
shift

# Secrets are in memory, and only in this namespace, which ends with its processes: nothing is left of
# them, whatever happens. The files are root's alone (0400).
if [ -d "$slot/secrets" ]; then
  flags=mode=700,size=64m,nosuid,nodev,noexec
  mount -n -t tmpfs -o "$flags,noswap" secrets "$slot/secrets" 2>/dev/null ||
    mount -n -t tmpfs -o "$flags" secrets "$slot/secrets"
  (umask 277 && tar -x --no-same-owner --no-same-permissions -C "$slot/secrets" -f - <&7)
fi
exec 7<&-

root=$slot/root
slot_field=$(in_table "$slot")
root_field=$slot_field/root
table=$root/.mounts

# Where /var is, and how mount tables write it.
var=$(realpath /var 2>/dev/null) || var=/var
var_field=$(in_table "$var")

# Unbindable: it lies below one of the directories that it is about to show.
mount -n -t tmpfs -o mode=755,size=16m,unbindable pachyderm "$root"

# The host's programs and files: every entry of / but those that the sandbox has of its own. One
# that cannot be shown stays empty.
show '' "$root" >"$table"

# Nothing of /run, which is where the host listens, but links, which some systems find programs by, and
# the file that says where names are resolved.
if [ -d /run ] && [ ! -L /run ]; then
  mkdir "$root/run"
  for entry in /run/*; do
    if [ -L "$entry" ]; then ln -s "$(readlink "$entry")" "$root$entry"; fi
  done
fi
if [ -L /etc/resolv.conf ]; then
  resolver=$(realpath -e /etc/resolv.conf 2>/dev/null || :)
  case $resolver in
    /run/*)
      mkdir -p "$root${resolver%/*}"
      : >"$root$resolver"
      printf '%s\n' "$(in_table "$resolver") $root_field$(in_table "$resolver") none bind 0 0" >>"$table"
      ;;
  esac
fi
mount -n -a -T "$table" 2>/dev/null || :

# Covered, so that a socket that its program makes anew is not shown, either. Some go while this looks. A
# cover is made elsewhere: `mount -a` passes over what it finds mounted, such as a disk in the covered one.
while [ "$1" != -- ]; do
  from_table "$1"
  if [ -d "$root$path" ]; then
    mkdir "$root/.cover"
    mount -n -t tmpfs -o mode=755,size=4m,nosuid,nodev covered "$root/.cover"
    show "$path" "$root/.cover" >"$table"
    mount -n -a -T "$table" 2>/dev/null || :
    if ! mount -n --move "$root/.cover" "$root$path"; then
      if [ -d "$root$path" ]; then exit 1; fi
      umount -n -l "$root/.cover"
    fi
    rmdir "$root/.cover"
  fi
  shift
done
shift

# Writes the mount table that takes from what is mounted what user code must not have: all is read-only
# but the slot's own. Flags that the machine has set stay, for those the kernel may have locked. `mount -a`
# passes over what is mounted there from a source of the same name: this is the name of none.
restrict() {
  while read -r _ _ _ _ field flags _; do
    case $field in
      "$root_field"/dev/shm | "$root_field"/dev/mqueue | "$root_field"/dev/pts) ;;
      "$root_field"/pfs/out | "$root_field"/tmp | "$root_field$var_field"/tmp)
        printf '%s\n' "$root_field $field none remount,bind,$flags,nosuid,nodev 0 0"
        ;;
      "$root_field"/*)
        # Devices are those in /dev: some that the machine has elsewhere may be its disks.
        case $field in "$root_field"/dev/*) more= ;; *) more=,nodev ;; esac
        if [ "$field$is_machines_root" = "$root_field"/proc ]; then continue; fi
        case ,$flags,$more in ,ro, | ,ro,*, | ,ro,*,nodev,*) continue ;; esac
        printf '%s\n' "$root_field $field none remount,bind,ro${flags#r?}$more 0 0"
        ;;
    esac
  done </proc/self/mountinfo >"$table"
}

# A mount that refuses (its flags are locked, or it is covered) is covered.
restrict
if ! mount -n -a -T "$table" 2>/dev/null; then
  while read -r _ field _ options _; do
    from_table "$field"
    mount -n -o "$options" "$path" 2>/dev/null ||
      mount -n -t tmpfs -o ro,nodev,size=4k,mode=755 hidden "$path" 2>/dev/null || :
  done <"$table"
fi

{
  while [ "$1" != -- ]; do
    from_table "$1"
    if [ -d "$root$path" ]; then
      printf '%s\n' "hidden $root_field$1 tmpfs ro,nodev,size=4k,mode=755 0 0"
    fi
    shift
  done
  shift
  if [ -d "$var/run" ] && [ ! -L "$var/run" ]; then
    printf '%s\n' "hidden $root_field$var_field/run tmpfs ro,nodev,size=4k,mode=755 0 0"
  fi
  cat <<TABLE
proc $root_field/proc proc nosuid,nodev,noexec,X-mount.mkdir 0 0
dev $root_field/dev tmpfs mode=755,size=64k,nosuid,X-mount.mkdir 0 0
shm $root_field/dev/shm tmpfs mode=1777,nosuid,nodev,X-mount.mkdir 0 0
mqueue $root_field/dev/mqueue mqueue X-mount.mkdir 0 0
devpts $root_field/dev/pts devpts newinstance,ptmxmode=0666,mode=620,X-mount.mkdir 0 0
$slot_field/pfs $root_field/pfs none bind,X-mount.mkdir 0 0
$slot_field/pfs/out $root_field/pfs/out none bind 0 0
$slot_field/tmp $root_field/tmp none bind,X-mount.mkdir 0 0
$slot_field/control $root_field/.pachyderm none bind,X-mount.mkdir 0 0
TABLE
  if [ -d "$root$var/tmp" ] && [ ! -L "$root$var/tmp" ]; then
    printf '%s\n' "$slot_field/var-tmp $root_field$var_field/tmp none bind 0 0"
  fi
} >"$table"
# Again without those of the hidden that have gone meanwhile: `mount` passes over what is mounted.
if ! mount -n -a -T "$table"; then
  while read -r name field rest; do
    from_table "$field"
    if [ "$name" != hidden ] || [ -d "$path" ]; then
      printf '%s\n' "$name $field $rest"
    fi
  done <"$table" >"$table.left"
  mount -n -a -T "$table.left"
  rm "$table.left"
fi

{
  for entry in sys sysrq-trigger irq bus fs; do
    if [ -e "$root/proc/$entry" ]; then
      printf '%s\n' "$root_field/proc/$entry $root_field/proc/$entry none bind 0 0"
    fi
  done
  # What tells of the machine and of others' keys, or has it do something.
  for entry in acpi asound kcore key-users keys kpagecgroup kpagecount kpageflags latency_stats mtrr \
    sched_debug scsi timer_list; do
    if [ -d "$root/proc/$entry" ]; then
      printf '%s\n' "hidden $root_field/proc/$entry tmpfs ro,nodev,size=4k,mode=755 0 0"
    elif [ -e "$root/proc/$entry" ]; then
      printf '%s\n' "/dev/null $root_field/proc/$entry none bind 0 0"
    fi
  done
  # Devices without effect, and graphics processors where the host has them.
  for entry in null zero full random urandom tty nvidia* dri kfd; do
    for device in /dev/$entry; do
      if [ -d "$device" ]; then
        printf '%s\n' "$device $root_field$device none rbind,X-mount.mkdir 0 0"
      elif [ -c "$device" ]; then
        : >"$root$device"
        printf '%s\n' "$device $root_field$device none bind 0 0"
      fi
    done
  done
} >"$table"
mount -n -a -T "$table"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
ln -s pts/ptmx "$root/dev/ptmx"

# Devices, too: they are written to as ever, but their rights and owners, which are the machine's, stay.
# A mount that is out of reach, or under a cover, refuses again: what it is worth is looked at in the end.
restrict
mount -n -a -T "$table" 2>/dev/null || :

cd "$root"
mkdir .old
pivot_root . .old
cd /

# Makes the directory $1 in a read-only place $2, which exists: covers that place, and shows in the cover
# what was there. It is built elsewhere: of what a table names, `mount` passes over what it finds mounted.
cover() {
  mkdir /.cover
  mount -n -t tmpfs -o "size=4m,mode=$(stat -c %a "$2"),nosuid,nodev" cover /.cover
  show "$2" /.cover >/.mounts
  mount -n -a -T /.mounts 2>/dev/null || :
  mkdir -p "/.cover${1#"$2"}"
  # Not the file system: `mount` would give it its options anew, among them a user of the machine.
  mount -n -o remount,bind,ro,nosuid,nodev /.cover
  mount -n --move /.cover "$2"
  rmdir /.cover
}

# Shows the directory $1 of files at $2, which the code's author chose.
show_secret() {
  place=$(realpath -m -- "$2")
  case $place/ in
    // | /pfs/* | /tmp/* | "$var"/tmp/* | /proc/* | /sys/* | /dev/* | /.*)
      echo "mount_path $2 is a place that no secret can be shown at; choose another" >&2
      exit 1
      ;;
  esac
  above=$place
  until [ -e "$above" ]; do above=${above%/*} above=${above:-/}; done
  if [ ! -d "$above" ]; then
    echo "mount_path $2: $above is a file on this machine; choose another directory" >&2
    exit 1
  fi
  if [ "$above" = / ]; then
    mkdir -p "$place"
  elif [ "$above" != "$place" ]; then
    cover "$place" "$above"
  fi
  mount -n --bind "$1" "$place"
  mount -n -o remount,bind,ro,nosuid,nodev,noexec "$place"
}

# Where the machine has a link for it, or nothing.
if [ -d "$var" ] && { [ -L "$var/tmp" ] || [ ! -d "$var/tmp" ]; } && [ "$(realpath -m /var/tmp)" != /tmp ]; then
  left_out=$left_out$var/tmp$line
  cover "$var/tmp" "$var"
  mount -n --bind "/.old$slot/var-tmp" "$var/tmp"
  mount -n -o remount,bind,nosuid,nodev "$var/tmp"
fi

index=0
while [ "$1" != -- ]; do
  show_secret "/.old$slot/secrets/$index" "$1"
  index=$((index + 1))
  shift
done
shift

umount -n -l /.old
rmdir /.old
rm /.mounts
# Not by a table: `mount -a` passes over /.
mount -n -o remount,bind,ro /

# Whether nobody reaches the mount of the number $1 at $2: what is found there is another one.
is_covered() {
  # Nor one whose path leads nowhere for whoever may see as much as user code, or more.
  [ -e "$2" ] || return 0
  {
    while read -r name number _; do
      if [ "$name" = mnt_id: ]; then [ "$number" != "$1" ] && return; fi
    done </proc/self/fdinfo/9
    return 1
  } 9<"$2"
}

# What user code can write to is listed here: of all else, what one datum left would be there for the
# next, and for what the runner starts. Only a process of user code's namespace finds itself in its /proc.
(
  while read -r mount _ _ _ field flags _; do
    case $field in
      /dev/shm | /dev/mqueue | /dev/pts | /pfs/out | /tmp | "$var_field/tmp") continue ;;
      /proc) if [ -z "$is_machines_root" ]; then continue; fi ;;
    esac
    case $flags in ro | ro,*) continue ;; esac
    from_table "$field"
    is_covered "$mount" "$path" || { echo "$path is not read-only" >&2 && exit 1; }
  done
) </proc/self/mountinfo

# Where no control group does: counted for each user of a user namespace, but not for the host's root.
if [ "$PROCESS_COUNT_MAX" -gt 0 ]; then
  { ulimit -u "$PROCESS_COUNT_MAX" || ulimit -p "$PROCESS_COUNT_MAX" || :; } 2>/dev/null
fi
unset PROCESS_COUNT_MAX

echo >&4
read -r _ <&5
exec nice -n 5 setpriv --pdeathsig KILL --bounding-set="$bounds" --inh-caps=-all \
  sh /.pachyderm/runner.sh "$@"
