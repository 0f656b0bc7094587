import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { CommitInfoSchema, CommitSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'
import { servedContents } from './migrated.ts'

const pieces = [
  '',
  'a',
  'b\n',
  'long '.repeat(5000),
  'naïve 日本語',
  '\0\u0001',
  'x'.repeat(300_000),
]
const names = ['a', 'b', 'with space', 'ф', '%20', '"quoted"', 'z'.repeat(200)]

const files = fc
  .dictionary(
    fc
      .array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 })
      .map((path) => path.join('/')),
    fc.array(fc.nat(pieces.length - 1), { minLength: 1, maxLength: 3 }),
    { maxKeys: 8 },
  )
  // No file is where a directory is.
  .map((found) =>
    Object.entries(found).filter(
      ([path]) => !Object.keys(found).some((other) => other.startsWith(`${path}/`)),
    ),
  )

const oneCommit = fc.record({
  files,
  hasParent: fc.boolean(),
  emptyDirectory: fc.boolean(),
  from: fc.array(fc.nat(30), { maxLength: 2 }),
})

const clusters = fc.record({
  layout: fc.constantFrom('files' as const, 'blocks' as const, 'compacted' as const),
  isText: fc.boolean(),
  repos: fc.array(
    fc.record({
      description: fc.string({ unit: 'binary' }),
      from: fc.array(fc.nat(3), { maxLength: 2 }),
      commits: fc.array(oneCommit, { maxLength: 5 }),
      branches: fc.dictionary(
        fc.constantFrom('master', 'dev', 'a/b', 'ü', '@odd~name^'),
        fc.nat(4),
        { maxKeys: 3 },
      ),
    }),
    { minLength: 1, maxLength: 4 },
  ),
})

function idOf(...parts: readonly unknown[]): string {
  return createHash('md5').update(JSON.stringify(parts)).digest('hex')
}

function timeOf(micros: number): { readonly seconds: bigint; readonly nanos: number } {
  return { seconds: 1_500_000_000n + BigInt(micros), nanos: 123_456_789 }
}

function sha256(text: string): string {
  return createHash('sha256').update(utf8(text)).digest('hex')
}

/** Writes a cluster, and says what of it should be served. */
async function write(
  writer: OldClusterWriter,
  { repos }: Parameters<Parameters<typeof clusters.map>[0]>[0],
): Promise<Record<string, unknown>> {
  const hashes = await Promise.all(pieces.map((piece) => writer.putObject(utf8(piece))))
  const expected: Record<string, unknown> = {}
  const ancestry = new Map<string, ReadonlySet<string>>()
  const commits: { repo: string; id: string; provenance: ReadonlyMap<string, string> }[] = []
  for (const [index, repo] of repos.entries()) {
    const name = `repo-${index}`
    const direct = repo.from.filter((from) => from < index).map((from) => `repo-${from}`)
    const closure = new Set(direct.flatMap((from) => [from, ...(ancestry.get(from) ?? [])]))
    ancestry.set(name, closure)
    const info = {
      repo: { name },
      created: timeOf(index),
      sizeBytes: BigInt(index * 1000),
      description: repo.description,
      provenance: [...closure].map((from) => ({ name: from })),
    }
    writer.record(`pachyderm_pfs/repos/${name}`, RepoInfoSchema, info)
    const served: Record<string, unknown> = {}
    const ids: string[] = []
    for (const [place, made] of repo.commits.entries()) {
      const id = idOf(index, place)
      const parent = made.hasParent ? ids.at(-1) : undefined
      const from = made.from.flatMap((at) => {
        const other = commits[at]
        return other !== undefined && closure.has(other.repo) ? [other] : []
      })
      const provenance = new Map(
        from.flatMap((other) => [[other.id, other.repo] as const, ...other.provenance]),
      )
      const tree = new Map(
        made.files.map(([path, parts]) => [`/${path}`, parts.map((part) => hashes[part] ?? '')]),
      )
      const empty = made.emptyDirectory ? ['/empty/below'] : []
      const { hash, sizeBytes } = await writer.putTree(tree, empty)
      writer.record(`pachyderm_pfs/commits/${name}/${id}`, CommitInfoSchema, {
        commit: { repo: { name }, id },
        ...(parent !== undefined && { parentCommit: { repo: { name }, id: parent } }),
        started: timeOf(commits.length),
        finished: timeOf(commits.length + 1),
        sizeBytes: BigInt(sizeBytes),
        provenance: [...provenance].map(([ancestor, of]) => ({ repo: { name: of }, id: ancestor })),
        tree: { hash },
      })
      served[id] = {
        parent: parent ?? '',
        provenance: [...provenance].map(([ancestor, of]) => `${of}/${ancestor}`).toSorted(),
        sizeBytes: BigInt(sizeBytes),
        files: Object.fromEntries(
          made.files.map(([path, parts]) => [
            `/${path}`,
            sha256(parts.map((part) => pieces[part]).join('')),
          ]),
        ),
        hasEmpty: made.emptyDirectory,
      }
      commits.push({ repo: name, id, provenance })
      ids.push(id)
    }
    const branches: Record<string, string> = {}
    for (const [branch, at] of Object.entries(repo.branches)) {
      const id = ids[at]
      if (id === undefined) continue
      branches[branch] = id
      const key = `pachyderm_pfs/branches/${name}/${branch}`
      writer.record(key, CommitSchema, { repo: { name }, id })
    }
    // A record that was deleted, and an index, which is not read.
    writer.raw(`pachyderm_pfs/branches/${name}/gone`, utf8('rubbish'))
    writer.raw(`pachyderm_pfs/branches/${name}/gone`, undefined)
    writer.raw('pachyderm_pfs/repos__index_{Provenance %!s(bool=true)}/x/y', utf8('y'))
    expected[name] = {
      description: repo.description.replaceAll('\0', '␀'),
      provenance: [...closure].toSorted(),
      // What the old cluster said of a repo without a commit is not the size of anything.
      sizeBytes: repo.commits.length === 0 ? 0n : BigInt(index * 1000),
      branches,
      commits: served,
    }
  }
  await writer.finish()
  return expected
}

async function servedOf(pachd: TestPachd): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {}
  for (const [name, { info, branches, commits }] of Object.entries(await servedContents(pachd))) {
    const { created: _, ...facts } = info as Readonly<Record<string, unknown>>
    found[name] = {
      ...facts,
      branches,
      commits: Object.fromEntries(
        Object.entries(commits).map(([id, commit]) => {
          const { parent, provenance, sizeBytes } = commit.info as Readonly<Record<string, unknown>>
          const hasEmpty = commit.directories.includes('/empty/below')
          return [id, { parent, provenance, sizeBytes, files: commit.files, hasEmpty }]
        }),
      ),
    }
  }
  return found
}

test('any cluster comes over as it was, however it was stored', async () => {
  await fc.assert(
    fc.asyncProperty(clusters, async (cluster) => {
      await using directory = await TemporaryDirectory.create()
      const writer = new OldClusterWriter(directory.path, cluster)
      await writer.begin()
      const expected = await write(writer, cluster)
      await using pachd = await TestPachd.start()
      const { damage } = await migrate(pachd, writer, { openCommits: OpenCommits.FINISH })
      expect(damage).toEqual([])
      expect(await servedOf(pachd)).toEqual(expected)
    }),
    { numRuns: Number(process.env['MIGRATION_RUNS'] ?? 8) },
  )
})
