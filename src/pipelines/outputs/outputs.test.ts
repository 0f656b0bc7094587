import { expect, test } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { parseFilePath } from '../../base/paths.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import type { ChunkId } from '../../storage/chunks.ts'
import { FileTrees } from '../../storage/file-trees.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { ProllyMaps } from '../../storage/prolly-map.ts'
import { OutputMerge, type OutputChange } from './outputs.ts'

/** Notes how chunks are asked for. */
class WatchedChunks extends MemoryChunkStore {
  readonly readAlone = new Set<ChunkId>()
  readonly readTogether: (readonly ChunkId[])[] = []

  override get(id: ChunkId): Promise<Uint8Array> {
    this.readAlone.add(id)
    return super.get(id)
  }

  getMany(ids: readonly ChunkId[]): Promise<readonly Uint8Array[]> {
    this.readTogether.push(ids)
    return Promise.all(ids.map((id) => super.get(id)))
  }
}

const datumCount = 1000
/** Of datums, far fewer than there are. */
const atOnceMax = 100

test('a merge holds the outputs of few datums at a time, and keeps none of them', async () => {
  const chunks = new WatchedChunks()
  const trees = new FileTrees(chunks)
  const contents = new ChunkedContents(chunks)
  const merge = new OutputMerge({ trees, maps: new ProllyMaps(chunks), contents })
  const empty = await trees.emptyRoot()
  const changes: OutputChange[] = []
  for (let number = 0; number < datumCount; number += 1) {
    const name = String(number).padStart(4, '0')
    const content = await contents.writeBytes(utf8(`of datum ${name}`))
    const edit = { path: parseFilePath(`/${name}`), entry: { kind: 'file', content } } as const
    const after = await trees.edit(empty, [edit], { emptied: 'remove' })
    changes.push({ orderKey: utf8(name), before: undefined, after })
  }
  const roots = changes.flatMap(({ after }) => after?.root ?? [])
  chunks.readAlone.clear()
  const { output } = await merge.apply(await merge.empty(), async function* all() {
    yield* changes
  })
  expect(output.tree.fileCount).toBe(datumCount)
  expect(chunks.readTogether.flat()).toEqual(roots)
  expect(Math.max(...chunks.readTogether.map(({ length }) => length))).toBeLessThan(atOnceMax)
  expect(roots.filter((root) => chunks.readAlone.has(root))).toEqual([])
})
