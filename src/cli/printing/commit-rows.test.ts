import { create } from '@bufbuild/protobuf'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { SystemClock } from '../../base/clock.ts'
import { Output } from '../../base/output.ts'
import { type CommitInfo, CommitInfoSchema } from '../../gen/pfs_pb.ts'
import { CommitTable } from './commit-rows.ts'

function info(id: string, more: { message?: string; merged?: string } = {}): CommitInfo {
  return create(CommitInfoSchema, {
    commit: { repo: { name: 'r' }, id },
    message: more.message ?? '',
    mergeParents: more.merged === undefined ? [] : [{ repo: { name: 'r' }, id: more.merged }],
  })
}

/** The words of each line that was printed. */
async function printed(batches: readonly (readonly CommitInfo[])[]): Promise<string[][]> {
  let text = ''
  const stream = new Writable({
    write: (slice: Buffer, _encoding, done) => {
      text += slice.toString()
      done()
    },
  })
  const out = new Output(stream)
  const table = new CommitTable(out, new SystemClock())
  for (const batch of batches) await table.print(batch)
  await out.flush()
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/ {3,}/))
}

const plainHeader = ['REPO', 'ID', 'PARENT', 'STARTED', 'DURATION', 'SIZE']

test('without commits there is a header, and once', async () => {
  expect(await printed([[]])).toEqual([plainHeader])
  expect(await printed([[], []])).toEqual([plainHeader])
  const [header, first, second] = await printed([[info('a')], [info('b')]])
  expect(header).toEqual(plainHeader)
  expect([first?.[1], second?.[1]]).toEqual(['a', 'b'])
})

test('what was merged and said has columns of its own, from where it is needed on', async () => {
  const lines = await printed([
    [info('a')],
    [info('b', { merged: 'm', message: 'why' }), info('c')],
    [info('d')],
  ])
  expect(lines.map((words) => words[1])).toEqual(['ID', 'a', 'ID', 'b', 'c', 'd'])
  expect(lines[2]).toEqual([...plainHeader, 'MERGED', 'MESSAGE'])
  expect(lines[3]?.slice(-2)).toEqual(['m', 'why'])
  expect(lines[4]?.at(-1)).toBe('-')
})
