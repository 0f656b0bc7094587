import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { freshRepo } from '../harness/expectations.ts'
import { commitOf, fileOf, putFile } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const uploadCount = 100

test('a put that its caller cancels midway stores nothing', async () => {
  await using pachd = await TestPachd.start()
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  const value = new Uint8Array(1000)
  for (let at = 0; at < uploadCount; at += 1) {
    const cancel = new AbortController()
    async function* half() {
      yield { file: fileOf(repo, id, `f${at}`), value }
      for (let turns = 0; turns < at % 10; turns += 1) await turn()
      yield { value }
      cancel.abort()
      await new Promise(() => undefined)
    }
    await expect(pachd.pfs.putFile(half(), { signal: cancel.signal })).rejects.toThrow(/cancel/i)
  }
  // Comes after whatever was still under way.
  await putFile(pachd, fileOf(repo, id, 'last'), 'whole')
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
  expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/last'])
})
