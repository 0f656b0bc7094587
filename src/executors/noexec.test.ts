import { expect, test } from 'vitest'

import { transform } from '../testing/process-fixture.ts'
import { parseMounts } from '../base/mount-table.ts'
import { noexecMountOf } from './noexec.ts'
import { programUnstartableError } from './process/start-errors.ts'

const mounts = parseMounts(
  [
    '21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw',
    '30 21 0:40 / /nonexistent/a\\040b rw,noexec,relatime shared:9 - ext4 /dev/sdb rw',
    '31 30 0:41 / /nonexistent/a\\040b/fine rw,nosuid - tmpfs x rw',
    '32 21 0:42 / /nonexistent/twice rw,noexec - tmpfs x rw',
    '33 32 0:43 / /nonexistent/twice rw - tmpfs x rw',
    '',
  ].join('\n'),
)

test('a disk on which nothing may be started is found by what is on it', () => {
  expect(noexecMountOf('/nonexistent/a b/tool', mounts)).toBe('/nonexistent/a b')
  expect(noexecMountOf('/nonexistent/a b', mounts)).toBe('/nonexistent/a b')
  for (const path of ['/nonexistent/a bc', '/nonexistent/a b/fine/tool', '/nonexistent/twice/t']) {
    expect(noexecMountOf(path, mounts)).toBeUndefined()
  }
})

test('a program on such a disk is told of as that', () => {
  const { message } = programUnstartableError(transform(['/opt/tool']), { noexec: '/opt' })
  expect(message).toContain('the disk at /opt is mounted "noexec"')
  expect(programUnstartableError(transform(['/opt/tool'])).message).not.toContain('noexec')
})
