import { expect, test } from 'vitest'
import { collectBytes, utf8 } from '../base/bytes.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { ForgetfulChunkStore } from '../testing/forgetful-chunks.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { byLine } from '../testing/versioning-pair.ts'
import { pieceName } from './splits.ts'
import { createVersioning } from './versioning.ts'

const large = 200_000
const file = { repo: 'r', commit: 'master' }

/** Something to acknowledge, with what must then be there. */
const acknowledgements: Readonly<
  Record<string, (world: TestVersioning) => Promise<Readonly<Record<string, number>>>>
> = {
  'a small put': async ({ versioning }) => {
    await versioning.writes.put({ ...file, path: 'f' }, new Uint8Array(1000))
    return { f: 1000 }
  },
  'a large put': async ({ versioning }) => {
    await versioning.writes.put({ ...file, path: 'f' }, new Uint8Array(large))
    return { f: large }
  },
  'a bulk write': async ({ versioning }) => {
    await using bulk = await versioning.writes.bulk('r', 'master')
    await bulk.put('d/f', new Uint8Array(1000))
    await bulk.put('d/g', new Uint8Array(large))
    await bulk.commit()
    return { 'd/f': 1000, 'd/g': large }
  },
  'a bulk write whose tree is built while it comes, and its finish': async ({ versioning }) => {
    await using bulk = await versioning.writes.bulk('r', 'master')
    const names = Array.from({ length: 1000 }, (_, index) => `d/${1000 + index}`)
    for (const name of names) await bulk.put(name, new Uint8Array(100))
    await bulk.commit()
    await versioning.commits.finish('r', 'master')
    return Object.fromEntries(names.map((name) => [name, 100]))
  },
  'a split': async ({ versioning }) => {
    await using bulk = await versioning.writes.bulk('r', 'master', { split: byLine })
    await bulk.put('log', utf8(`${'x'.repeat(large - 1)}\n${'y'.repeat(999)}\nz`))
    await bulk.commit()
    return {
      [`log/${pieceName(0)}`]: large,
      [`log/${pieceName(1)}`]: 1000,
      [`log/${pieceName(2)}`]: 1,
    }
  },
  'a finish': async ({ versioning }) => {
    await versioning.writes.put({ ...file, path: 'f' }, new Uint8Array(1000))
    await versioning.commits.finish('r', 'master')
    return { f: 1000 }
  },
  'a finish without writes': async ({ versioning }) => {
    await versioning.commits.finish('r', 'master')
    return {}
  },
  'a copy from an open commit': async ({ versioning }) => {
    await versioning.commits.start({ repo: 'r', branch: 'source' })
    const source = { repo: 'r', commit: 'source', path: 'd' }
    await versioning.writes.put({ ...source, path: 'd/f' }, new Uint8Array(1000))
    const destination = { ...file, path: 'copy' }
    await versioning.copies.copy(source, destination, { mode: 'refuse' })
    return { 'copy/f': 1000 }
  },
  'a move between commits': async ({ versioning }) => {
    await versioning.commits.start({ repo: 'r', branch: 'source' })
    const source = { repo: 'r', commit: 'source', path: 'd' }
    await versioning.writes.put({ ...source, path: 'd/f' }, new Uint8Array(1000))
    await versioning.copies.move(source, { ...file, path: 'moved' }, { overwrite: false })
    return { 'moved/f': 1000 }
  },
  'a merge': async ({ versioning }) => {
    await versioning.writes.put({ ...file, path: 'f' }, new Uint8Array(1000))
    await versioning.commits.finish('r', 'master')
    await versioning.commits.start({ repo: 'r', branch: 'first' })
    await versioning.writes.put({ repo: 'r', commit: 'first', path: 'g' }, new Uint8Array(20))
    await versioning.commits.finish('r', 'first')
    const names = { repo: 'r', from: 'first', into: 'master' }
    const options = { message: '', dryRun: false, prefer: undefined }
    await versioning.branchChanges.merge(names, options)
    return { f: 1000, g: 20 }
  },
  'a built commit': async ({ versioning }) => {
    await versioning.writes.put({ ...file, path: 'f' }, utf8('x'.repeat(1000)))
    const { tree } = await versioning.files.tree('r', 'master')
    await versioning.commits.build({ repo: 'r', branch: 'master', parent: 'first', tree })
    return { f: 1000 }
  },
}

test.for(Object.keys(acknowledgements))('%s outlives a power cut', async (name) => {
  const chunks = new ForgetfulChunkStore()
  await using world = await openTestVersioning(chunks)
  const { commits, repos } = world.versioning
  await repos.create({ name: 'r' })
  await commits.start({ repo: 'r', branch: 'first' })
  await commits.finish('r', 'first')
  await commits.start({ repo: 'r', branch: 'master' })
  const expected = await acknowledgements[name]?.(world)
  chunks.cutPower()

  // Nothing in memory is left either.
  const { files } = createVersioning({
    ...world.ports,
    contents: new ChunkedContents(chunks),
    trees: new FileTrees(chunks),
  })
  const found: Record<string, number> = {}
  for await (const { path, entry } of files.walk({ ...file, path: '' })) {
    if (entry.kind === 'directory') continue
    const { bytes } = await files.read({ ...file, path })
    found[path.slice(1)] = (await collectBytes(bytes, large)).length
  }
  expect(found).toEqual(expected)
})
