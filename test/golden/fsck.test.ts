import { readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stage } from './stage.ts'

test('fsck says what is damaged, whose it is, and what to do', async () => {
  await using stage = await Stage.open()
  const objects = join(stage.directory, '../data/objects')
  const packs = async (): Promise<readonly string[]> => {
    const names = await readdir(objects, { recursive: true })
    return names.filter((name) => /[0-9a-f]{64}$/.test(name))
  }
  await stage.quietly(['create-repo', 'data'])
  await stage.quietly(['put-file', 'data', 'master', 'kept', '-c'], 'kept '.repeat(100))
  const before = await packs()
  await stage.quietly(['put-file', 'data', 'master', 'lost', '-c'], 'lost '.repeat(100))
  const [lost = ''] = (await packs()).filter((name) => !before.includes(name))
  await stage.run('fsck --full')
  await rename(join(objects, lost), join(stage.directory, 'aside'))
  await stage.run('fsck')
  await stage.run('fsck --raw')
  await rename(join(stage.directory, 'aside'), join(objects, lost))
  await stage.run('fsck --fix')
  await stage.run('fsck data')
  expect(stage.transcript.text).toBe(stage.transcript.stored('fsck'))
})
