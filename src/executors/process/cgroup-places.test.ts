import { expect, test } from 'vitest'

import { findGroupPlaces } from './cgroup-places.ts'

const hybrid = `25 1 254:0 / / rw - ext4 /dev/vda rw
30 25 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:21 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:22 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`

test('in the older hierarchies each controller has a place, and the newer has the rest', () => {
  const own = '4:memory:/a/b\n2:cpu,cpuacct:/\n0::/c\n'
  expect(findGroupPlaces(hybrid, own)).toEqual([
    { version: 1, controllers: ['cpu'], directory: '/sys/fs/cgroup/cpu,cpuacct' },
    { version: 1, controllers: ['memory'], directory: '/sys/fs/cgroup/memory/a/b' },
    { version: 2, controllers: ['pids'], directory: '/sys/fs/cgroup/unified/c' },
  ])
})

test('in the newer hierarchy all have one place', () => {
  const mountinfo = '30 25 0:20 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate'
  const own = '0::/user.slice/user-1000.slice/run-x.scope\n'
  expect(findGroupPlaces(mountinfo, own)).toEqual([
    {
      version: 2,
      controllers: ['cpu', 'memory', 'pids'],
      directory: '/sys/fs/cgroup/user.slice/user-1000.slice/run-x.scope',
    },
  ])
})

test('a mount may show a part of a hierarchy, at a path with blanks', () => {
  const mountinfo =
    '32 30 0:22 /docker/x /odd\\040place ro - cgroup cgroup rw,memory\n' +
    '33 30 0:23 /docker/x /pids ro - cgroup cgroup rw,pids'
  const own = '4:memory:/docker/x/inner\n5:pids:/docker/x\n'
  expect(findGroupPlaces(mountinfo, own)).toEqual([
    { version: 1, controllers: ['memory'], directory: '/odd place/inner' },
    { version: 1, controllers: ['pids'], directory: '/pids' },
  ])
})

test('where there are no groups there are no places', () => {
  expect(findGroupPlaces('', '')).toEqual([])
  expect(findGroupPlaces('25 1 254:0 / / rw - ext4 /dev/vda rw', '0::/\n')).toEqual([])
})
