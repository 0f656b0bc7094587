import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { flip } from '../harness/stored-packs.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'

test.each([
  ['', 'damaged: snapshot NAME: its bytes are not those that were stored\n'],
  [
    '--key-file',
    'damaged: snapshots/NAME is damaged: bytes \\d+ to \\d+ are not those that were sealed\n',
  ],
])(
  'a snapshot that cannot be read is named once, and what to do once for all (%s)',
  async (flag, damage) => {
    await using directory = await TemporaryDirectory.create()
    const [backup, key] = [directory.join('backup'), directory.join('key')]
    await writeFile(key, `${'ab'.repeat(32)}\n`)
    await using pachd = await TestPachd.start({ backup: { to: backup, keepCount: 1 } })
    const secret = flag === '' ? [] : [flag, key]
    const pachctl = async (...args: readonly string[]) =>
      await pachctlHere([...args, ...secret], { port: pachd.port, home: directory.path })
    const names: string[] = []
    for (const repo of ['one', 'two', 'three']) {
      await pachd.pfs.createRepo({ repo: { name: repo } })
      const { out } = await pachctl('extract', '--directory', backup)
      names.push(/^snapshot (\S+):/.exec(out)?.[1] ?? '')
    }
    const [whole, ...lost] = names
    for (const name of lost) await flip(join(backup, 'snapshots', name))
    const told = lost.map((name) => damage.replace('NAME', name)).join('')
    for (const place of ['--directory', '--url']) {
      const list = await pachctl('verify-backup', place, backup, '--list')
      expect(list.out).toMatch(new RegExp(`^snapshot ${whole}: .*\n${told}$`))
      expect(list).toMatchObject({
        code: 1,
        err: '2 snapshots cannot be read, and nothing can be restored from them: take them from another copy of the backup, or have extract --repair remove what is there\n',
      })
      const check = await pachctl('verify-backup', place, backup)
      expect(check.out).toMatch(
        new RegExp(
          `^${told}snapshot ${whole}: whole; .*\n\\d objects belong to no snapshot that can be read\n$`,
        ),
      )
      expect(check).toMatchObject({
        code: 1,
        err: expect.stringContaining('2 objects are lost or'),
      })
    }
  },
)

test('a place into which no backup has come to its end is not called good', async () => {
  await using directory = await TemporaryDirectory.create()
  const backup = directory.join('backup')
  await using pachd = await TestPachd.start({ backup: { to: backup, keepCount: 1 } })
  const pachctl = async (...args: readonly string[]) =>
    await pachctlHere(args, { port: pachd.port, home: directory.path })
  expect(await pachctl('extract', '--directory', backup)).toMatchObject({ code: 0 })
  await rm(join(backup, 'snapshots'), { recursive: true })
  for (const place of ['--directory', '--url']) {
    for (const list of [[], ['--list']]) {
      expect(await pachctl('verify-backup', place, backup, ...list)).toMatchObject({
        code: 1,
        err: 'there is no snapshot, and nothing can be restored: no backup into this place has come to its end yet; the next extract goes on with what is there\n',
      })
    }
  }
})
