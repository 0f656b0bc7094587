import { expect, test } from 'vitest'

import { complaintText, isForbidden } from './sandbox-faults.ts'

const many = [1000, 1000]

test('what the machine does not allow is told from what failed this time', () => {
  const forbidden = [
    'unshare: unshare failed: Operation not permitted',
    'unshare: unshare failed: Function not implemented',
    'unshare: unshare failed: Invalid argument',
    'unshare: write failed /proc/self/uid_map: Operation not permitted',
    'unshare: cannot open /proc/self/setgroups: Permission denied',
    'unshare: cannot change root filesystem propagation: Permission denied',
    'mount: /x/root: permission denied.\n       dmesg(1) may have more information after failed mount system call.',
    "mount: /x/root/dev/mqueue: unknown filesystem type 'mqueue'.",
    'mount: /x: must be superuser to use mount.',
    'mount: /x/root/proc: fsmount() failed: VFS: Mount too revealing.\n       dmesg(1) may have more information after failed mount system call.',
    'mount: /x/root/proc: fsmount() failed: VFS: Mount too revealing\n',
    'mount: /x/root: fsopen() failed: Operation not permitted.',
    'mount: /x/root: fsconfig() failed: Permission denied.',
    'mount: /x/root: open_tree() failed: Function not implemented.',
    'mount: /x/root: mount_setattr() failed: Operation not permitted.',
    'mount: /x/root: move_mount() failed: Permission denied.',
    "pivot_root: failed to change root from `.' to `.old': Invalid argument",
    'setpriv: apply bounding set: Operation not permitted',
    'no filter of system calls: Invalid argument',
  ]
  const passing = [
    '',
    'unshare: fork failed: Resource temporarily unavailable',
    'unshare: fork failed: Cannot allocate memory',
    'unshare: failed to execute setsid: Permission denied',
    'unshare: unshare failed: No space left on device',
    'mount: /x/root: mount(2) system call failed: Cannot allocate memory.',
    'mount: /x/root: special device /y does not exist.',
    'mount: /x/root: fsmount() failed: Cannot allocate memory.',
    'mount: /x: permission denied.\nsh: 12: Cannot fork',
    'Out of memory!',
    '/x/bounded.sh: 11: cannot create /sys/fs/cgroup/a/cgroup.procs: Permission denied',
    '/x is not read-only',
    'tar: ./a: Cannot write: No space left on device',
  ]
  expect(forbidden.filter((complaint) => !isForbidden(complaint, many))).toEqual([])
  expect(passing.filter((complaint) => isForbidden(complaint, many))).toEqual([])
})

test('too many namespaces are forbidden where there may be none', () => {
  const complaint = 'unshare: unshare failed: No space left on device\n'
  expect(isForbidden(complaint, [1000, 0])).toBe(true)
  expect(isForbidden(complaint, [])).toBe(false)
})

test('a complaint is told in its last lines, and what is about a pipeline alone', () => {
  const mount = 'mount: /x: permission denied.\n       dmesg(1) may have more information.\n'
  expect(complaintText(mount)).toBe('mount: /x: permission denied.')
  expect(complaintText('1\n2\n3\n\n4\n5\n6\n')).toBe('2; 3; 4; 5; 6')
  expect(complaintText(`${mount}mount_path /a is a place`)).toBe('mount_path /a is a place')
})
