import { expect, test } from 'vitest'
import { parseMountRows } from './mount-table.ts'

test('our mounts are found among others, with blanks and letters of any kind in their names', () => {
  const text = [
    '24 27 0:6 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw',
    String.raw`45 27 0:48 / /tmp/p\040f\134sä rw,nosuid - fuse.pfs pfs://127.0.0.1:30650 rw,user_id=0`,
    '46 27 0:49 / /mnt/fuse.pfs rw - fuse.sshfs fuse.pfs rw',
    '',
  ].join('\n')
  expect(parseMountRows(text)).toEqual([{ device: '0:48', directory: String.raw`/tmp/p f\sä` }])
})
