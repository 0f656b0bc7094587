import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes, utf8 } from '../../base/bytes.ts'
import type { BranchName, RepoName } from '../../base/names.ts'
import { parseFilePath, pathKey } from '../../base/paths.ts'
import { FileTrees, type DirectoryEntry } from '../../storage/file-trees.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { ProllyMaps, type MapRoot } from '../../storage/prolly-map.ts'
import type { Datum } from '../datums.ts'
import { datumSource } from './discovery.ts'
import type { DatumSource } from './datum-source.ts'
import { IndexReader } from './index-reader.ts'
import { MatchIndexes } from './match-index.ts'
import type { TreeChange } from './matches.ts'
import type { AtomInput, Input } from '../inputs.ts'

type Model = Readonly<Record<string, string>>

const chunks = new MemoryChunkStore()
const trees = new FileTrees(chunks)
const maps = new ProllyMaps(chunks)
const indexes = new MatchIndexes({ maps, trees })
const repos = ['left', 'right'] as const

const model: fc.Arbitrary<Model> = fc.dictionary(
  fc.constantFrom('/a', '/b', '/c', '/d/x', '/d/y', '/e/x', '/e/y', '/e/z'),
  fc.constantFrom('1', '2', ''),
)

const atom: fc.Arbitrary<Input> = fc
  .record({ repo: fc.constantFrom(...repos), glob: fc.constantFrom('/', '/*', '/*/*', '/?/x') })
  .map(({ repo, glob }) => ({
    kind: 'atom',
    name: repo,
    repo: repo as string as RepoName,
    branch: 'master' as BranchName,
    glob,
    lazy: false,
  }))

/** A member of a join or group; keys of one and of several files, of files and of directories. */
const matched: fc.Arbitrary<AtomInput> = fc
  .record({
    repo: fc.constantFrom(...repos),
    match: fc.constantFrom(
      { glob: '/(*)', matchOn: '$1' },
      { glob: '/(?)/*', matchOn: '$1' },
      { glob: '/*/(*)', matchOn: '$1' },
      { glob: '/(*)/(*)', matchOn: '$2$1' },
      { glob: '/(*)/x', matchOn: 'x$1' },
    ),
    outer: fc.boolean(),
  })
  .map(({ repo, match, outer }) => ({ ...leftAtom(repo), ...match, ...repoOf(repo), outer }))
  .map(({ outer, ...member }) => (outer ? { ...member, outer } : member))

const matching: fc.Arbitrary<Input> = fc
  .record({
    kind: fc.constantFrom('join' as const, 'group' as const),
    members: fc.array(matched, { minLength: 1, maxLength: 3 }),
  })
  .map(({ kind, members }) => ({
    kind,
    members: members.map((member, index) => ({ ...member, name: `${member.name}${index}` })),
  }))

const { input } = fc.letrec<{ input: Input }>((tie) => ({
  input: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    atom,
    matching,
    fc
      .array(tie('input'), { minLength: 1, maxLength: 3 })
      .map((members): Input => ({ kind: 'cross', members })),
    fc
      .array(tie('input'), { minLength: 1, maxLength: 3 })
      .map((members): Input => ({ kind: 'union', members })),
  ),
}))

async function treeOf(files: Model): Promise<DirectoryEntry> {
  const edits = Object.entries(files).map(([text, content]) => ({
    path: parseFilePath(text),
    entry: { kind: 'file' as const, content: { kind: 'inline' as const, bytes: utf8(content) } },
  }))
  edits.sort((left, right) => compareBytes(pathKey(left.path), pathKey(right.path)))
  return await trees.edit(await trees.emptyRoot(), edits, { emptied: 'remove' })
}

function describe(datum: Datum): string {
  return JSON.stringify(
    datum.members.map(({ input: name, path, hash }) => [name, path, Buffer.from(hash).toString()]),
  )
}

async function datumsOf(datums: AsyncIterable<Datum>): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for await (const datum of datums) {
    const place = Buffer.from(datum.orderKey).toString('hex')
    expect(found.has(place), 'no datum is found twice').toBe(false)
    found.set(place, describe(datum))
  }
  return found
}

test('what was added and removed leads from the datums before to the datums after', async () => {
  const states = fc.record({ left: model, right: model })
  await fc.assert(
    fc.asyncProperty(input, states, states, async (someInput, filesBefore, filesAfter) => {
      const change = new Map<string, { before: DirectoryEntry; after: DirectoryEntry }>()
      for (const repo of repos) {
        const before = await treeOf(filesBefore[repo])
        change.set(repo, { before, after: await treeOf(filesAfter[repo]) })
      }
      const rootsOf = (repo: string): { before: DirectoryEntry; after: DirectoryEntry } =>
        change.get(repo) ?? unknownRepo(repo)
      const beginning = (repo: string): TreeChange => ({
        before: undefined,
        after: rootsOf(repo).before,
      })
      const old = await indexes.update(undefined, someInput, beginning)
      const source = await sourceOf(someInput, rootsOf, old)
      const first = await sourceOf(someInput, (repo) => ({
        before: undefined,
        after: rootsOf(repo).after,
      }))
      const datums = await datumsOf(source.before())
      for (const place of (await datumsOf(source.removed())).keys()) {
        expect(datums.delete(place), 'only what was there is removed').toBe(true)
      }
      for (const [place, datum] of await datumsOf(source.added())) {
        expect(datums.get(place), 'what is added was not there as it is').not.toBe(datum)
        datums.set(place, datum)
      }
      const after = await datumsOf(source.after())
      expect(datums).toEqual(after)
      expect(await datumsOf(first.added()), 'a first run adds everything').toEqual(after)
      expect(await datumsOf(first.removed())).toEqual(new Map())
      const [before, kept] = [await datumsOf(source.before()), await datumsOf(source.surviving())]
      for (const place of (await datumsOf(source.removed())).keys()) before.delete(place)
      expect(kept, 'what is not removed survives').toEqual(before)
      for (const place of (await datumsOf(source.added())).keys()) after.delete(place)
      expect(await datumsOf(source.unchanged()), 'what is not added is unchanged').toEqual(after)
    }),
    { numRuns: 300 },
  )
})

test('a cross has every combination, the first input varying fastest', async () => {
  const both = { before: undefined, after: await treeOf({ '/a': '1', '/b': '2' }) }
  const cross: Input = { kind: 'cross', members: [leftAtom('x'), leftAtom('y')] }
  const datums = await Array.fromAsync(datumSource(cross, { trees, changeOf: () => both }).after())
  datums.sort((left, right) => compareBytes(left.orderKey, right.orderKey))
  const paths = datums.map(({ members }) => members.map(({ path }) => path).join(' '))
  expect(paths).toEqual(['/a /a', '/b /a', '/a /b', '/b /b'])
})

function leftAtom(name: string): AtomInput {
  const [repo, branch] = ['left' as RepoName, 'master' as BranchName]
  return { kind: 'atom', name, repo, branch, glob: '/*', lazy: false }
}

function repoOf(name: string): Pick<AtomInput, 'repo'> {
  return { repo: name as RepoName }
}

async function sourceOf(
  someInput: Input,
  changeOf: (repo: string) => TreeChange,
  before?: MapRoot,
): Promise<DatumSource> {
  const after = await indexes.update(before, someInput, changeOf)
  const index = after && new IndexReader(maps, { before, after })
  return datumSource(someInput, { trees, changeOf, index })
}

function unknownRepo(repo: string): never {
  throw new Error(`the property has no repo ${repo}`)
}
