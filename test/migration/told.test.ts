import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { factsOf, idOf, scratchPut, SmallCluster, type SmallShape } from './small-cluster.ts'

const [files, blocks, compacted] = (['files', 'blocks', 'compacted'] as const).map((layout) => ({
  layout,
  isText: false,
})) as [SmallShape, SmallShape, SmallShape]
const text: SmallShape = { layout: 'files', isText: true }

interface Outcome {
  /** Without the flag that leaves out what is damaged, and with it. */
  readonly codes: readonly (number | null)[]
  /** Without the flag: the same is told, and nothing is there. */
  readonly toldBefore: readonly string[]
  readonly factsBefore: readonly string[]
  /** Each thing that is damaged, with its cause. */
  readonly told: readonly string[]
  readonly facts: readonly string[]
  /** Of datums that are not processed again. */
  readonly results: number
}

/** Migrates a small cluster, which is changed before or after it is written, as a person would. */
async function outcomeOf({ shape = files, edit, spoil }: Partial<Case>): Promise<Outcome> {
  await using directory = await TemporaryDirectory.create()
  const cluster = await SmallCluster.begin(directory.path, shape)
  await edit?.(cluster)
  await cluster.finish()
  await spoil?.(cluster)
  await using pachd = await TestPachd.start()
  const { etcd, storage } = cluster.writer
  const place = ['--etcd', etcd, '--storage', storage, '--report', directory.join('report')]
  const args = ['migrate', ...place, '--keep-paused', '--open-commits', 'keep']
  const here = { port: pachd.port, home: directory.path }
  const first = await pachctlHere(args, here)
  const isRefused = first.code !== 0
  const factsBefore = isRefused ? await factsOf(pachd) : []
  const last = isRefused ? await pachctlHere([...args, '--skip-damaged'], here) : first
  const facts = await factsOf(pachd)
  const [, results] = /, (\d+) results of datums/.exec(last.out) ?? []
  const told = toldIn(cluster.masked(last.out))
  return {
    toldBefore: toldIn(cluster.masked(first.out)),
    factsBefore,
    codes: isRefused ? [first.code, last.code] : [last.code],
    told,
    facts: facts.map((fact) => cluster.masked(fact)),
    results: Number(results),
  }
}

function toldIn(out: string): readonly string[] {
  const lines = out.split('\n').filter((line) => line.startsWith('damaged: '))
  return lines.map((line) => line.slice('damaged: '.length)).toSorted()
}

interface Case {
  readonly shape?: SmallShape
  /** Before it is written. */
  readonly edit?: (cluster: SmallCluster) => Promise<void> | void
  /** When it lies there. */
  readonly spoil?: (cluster: SmallCluster) => Promise<void>
  readonly told: readonly string[]
  readonly lost: readonly string[]
  /** What is in the place of that. */
  readonly instead?: readonly string[]
  /** Of two. */
  readonly results: number
}

function pathOf({ objects, writer }: SmallCluster, name: string): string {
  return join(writer.storage, 'object', objects.get(name) ?? '')
}

function indexOf({ objects, writer }: SmallCluster, name: string): string {
  return join(writer.storage, 'index', (objects.get(name) ?? '').slice(0, 2))
}

/** As the writer names it. */
function blockOf({ objects, writer }: SmallCluster, name: string): string {
  const hash = objects.get(name) ?? ''
  return join(writer.storage, 'block', createHash('md5').update(hash).digest('hex'))
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at)
  await writeFile(path, bytes)
}

const key = {
  c1: `pachyderm_pfs/commits/src/${idOf('c1')}`,
  src: 'pachyderm_pfs/repos/src',
  out: 'pachyderm_pfs/repos/out',
  old: 'pachyderm_pfs/branches/src/old',
  pipeline: 'pachyderm_pps/pipelines/out',
  job: 'pachyderm_pps/jobs/abababab-abab-4bab-8bab-abababababab',
  put: `pachyderm_pfs/scratch/src/${idOf('w1')}/w/1`,
}

function change(cluster: SmallCluster, at: string, edit: (value: Buffer) => Uint8Array): void {
  const value = cluster.records.get(at)
  if (value === undefined) throw new Error(`there is no ${at}`)
  cluster.records.set(at, edit(Buffer.from(value)))
}

/** A record that is no message. */
const broken = (at: string) => (cluster: SmallCluster) =>
  change(cluster, at, (value) => value.subarray(0, -1))

const renamed = (at: string, from: string, to: string) => (cluster: SmallCluster) =>
  change(cluster, at, (value) => Buffer.from(value.toString('latin1').replace(from, to), 'latin1'))

/** Gives the first commit a tree that is what its name says, and yet none. */
const withTree =
  (...bytes: readonly number[]) =>
  async (cluster: SmallCluster): Promise<void> => {
    const hash = await cluster.writer.putObject(Uint8Array.from(bytes))
    cluster.objects.set('tree c1', hash)
    cluster.setCommit('src', 'c1', { hash, sizeBytes: 24 })
  }

const nowhere = 'dd'.repeat(16)

/** What goes with the first commit. */
const withoutC1 = {
  lost: [
    'branch src@old is c1',
    'commit src/c1 after none from []',
    'commit src/c2 after c1 from []',
    'file src/c1:/a "content of a"',
    'file src/c1:/b "content of b"',
  ],
  instead: ['commit src/c2 after none from []'],
  results: 2,
}
const treeOfC1 = (cause: string): readonly string[] => [
  'branch src@old: its head c1 is left out, and nothing is before it',
  'commit src/c1: its tree <tree c1> is damaged',
  'commit src/c2: its parent c1 is left out: it follows nothing in its place',
  `tree <tree c1>: the tree of src/c1 cannot be read: ${cause}`,
]
const recordOfC1 = (cause: string): readonly string[] => [
  'branch src@old: its head c1 is not there',
  `commit pachyderm_pfs/commits/src/c1: the record cannot be read: ${cause}`,
  'commit src/c2: its parent c1 is not there',
]

/** What goes with a content that both commits have; the open one has deleted it. */
const withoutB = {
  lost: ['file src/c1:/b "content of b"', 'file src/c2:/b "content of b"'],
  results: 1,
}
const contentB = (cause: string): readonly string[] => [
  'commit src/w1: its parent c2 lacks files, as told: so does it',
  'file src/c1:/b: an object of its content is damaged',
  'file src/c2:/b: an object of its content is damaged',
  `object <b>: ${cause}`,
]

const objectCases: Readonly<Record<string, Case>> = {
  'a flipped bit in a content': {
    spoil: (cluster) => flip(pathOf(cluster, 'b'), 3),
    ...withoutB,
    told: contentB('its 12 bytes are not those that its name, their SHA-512, was made from'),
  },
  'a content that is gone': {
    spoil: (cluster) => rm(pathOf(cluster, 'b')),
    ...withoutB,
    told: contentB('there is no object <b> in STORAGE'),
  },
  'a content that a file has beside another, and an open commit has of its parent': {
    spoil: (cluster) => rm(pathOf(cluster, 'd')),
    told: [
      'commit src/w1: its parent c2 lacks files, as told: so does it',
      'file src/c2:/d: an object of its content is damaged',
      'object <d>: there is no object <d> in STORAGE',
    ],
    lost: [
      'file src/c2:/d "content of dcontent of a"',
      'file src/w1:/d "content of dcontent of a"',
    ],
    results: 2,
  },
  'a content that was put into an open commit, and is gone': {
    spoil: (cluster) => rm(pathOf(cluster, 'w')),
    told: [
      'file src/w1:w: a write to an open commit cannot be applied: an object of its content is damaged',
      'object <w>: there is no object <w> in STORAGE',
    ],
    lost: ['file src/w1:/w "put into w"'],
    results: 2,
  },
  'a block that is gone': {
    shape: blocks,
    spoil: (cluster) => rm(blockOf(cluster, 'b')),
    ...withoutB,
    told: contentB('object <b> should be in block/BLOCK, which is not there'),
  },
  'a flipped bit in a block': {
    shape: blocks,
    spoil: (cluster) => flip(blockOf(cluster, 'b'), 0),
    ...withoutB,
    told: contentB('its 12 bytes are not those that its name, their SHA-512, was made from'),
  },
  'a reference to a block that is none': {
    shape: blocks,
    spoil: (cluster) => writeFile(pathOf(cluster, 'b'), 'garbage'),
    ...withoutB,
    told: contentB('object/<b> in STORAGE is not what it should be'),
  },
  'an index that is none': {
    shape: compacted,
    spoil: (cluster) => writeFile(indexOf(cluster, 'b'), 'garbage'),
    ...withoutB,
    told: contentB('index/ea in STORAGE is not what it should be'),
  },
  'an index that is gone': {
    shape: compacted,
    spoil: (cluster) => rm(indexOf(cluster, 'b')),
    ...withoutB,
    told: contentB('there is no object <b> in STORAGE'),
  },
}

const treeCases: Readonly<Record<string, Case>> = {
  'a flipped bit in a tree': {
    spoil: (cluster) => flip(pathOf(cluster, 'tree c1'), 30),
    ...withoutC1,
    told: treeOfC1('the hash of /a in a tree is not that of its objects'),
  },
  'a tree that is gone, of a commit that others follow and are made from': {
    spoil: (cluster) => rm(pathOf(cluster, 'tree c2')),
    told: [
      'branch src@master: its head c2 is left out, so it goes back to c1',
      'commit out/o1: it was made from src/c2, which is left out',
      'commit src/c2: its tree <tree c2> is damaged',
      'commit src/w1: its parent c2 is left out: it follows c1 in its place',
      'job JOB: it read src/c2, which is left out',
      'tree <tree c2>: the tree of src/c2 cannot be read: there is no object <tree c2> in STORAGE',
    ],
    lost: [
      'branch src@master is c2',
      'commit out/o1 after none from [c2]',
      'commit src/c2 after c1 from []',
      'commit src/w1 after c2 from []',
      'file src/c2:/a "content of a"',
      'file src/c2:/b "content of b"',
      'file src/c2:/d "content of dcontent of a"',
      'file src/w1:/d "content of dcontent of a"',
    ],
    instead: [
      'branch src@master is c1',
      'commit out/o1 after none from []',
      'commit src/w1 after c1 from []',
    ],
    results: 0,
  },
  'the tree of an output that is gone': {
    spoil: (cluster) => rm(pathOf(cluster, 'tree o1')),
    told: [
      'branch out@master: its head o1 is left out, and nothing is before it',
      'commit out/o1: its tree <tree o1> is damaged',
      'job JOB: it wrote out/o1, which is left out',
      'tree <tree o1>: the tree of out/o1 cannot be read: there is no object <tree o1> in STORAGE',
    ],
    lost: [
      'branch out@master is o1',
      'commit out/o1 after none from [c2]',
      'file out/o1:/x "x of a"',
      'file out/o1:/y "y of b"',
    ],
    results: 2,
  },
  'a tree of another version': {
    edit: withTree(8, 2),
    ...withoutC1,
    told: treeOfC1('a tree cannot be read: it is of version 2, not 1'),
  },
  'a tree without a root': {
    edit: withTree(8, 1),
    ...withoutC1,
    told: treeOfC1('it has no root'),
  },
  'a tree with an unknown field': {
    edit: withTree(8, 1, 0x3a, 1, 7),
    ...withoutC1,
    told: treeOfC1('a tree cannot be read: it has a field with the tag 58'),
  },
  'a tree that is cut short': {
    edit: withTree(8, 1, 0x12, 40, 0x0a),
    ...withoutC1,
    told: treeOfC1('a tree cannot be read: it is cut short'),
  },
}

const tagCases: Readonly<Record<string, Case>> = {
  'a tag that leads nowhere': {
    spoil: (cluster) => rm(pathOf(cluster, 'result a')),
    told: [
      'tree <result a>: the tree of the result of a datum of pipeline out (tag <tag a>) cannot be read: there is no object <result a> in STORAGE',
    ],
    lost: [],
    results: 1,
  },
  'a tag that is none': {
    shape: blocks,
    spoil: ({ tags, writer }) =>
      writeFile(join(writer.storage, 'tag', tags.get('a') ?? ''), 'garbage'),
    told: ['datum pipeline out, /a: tag/<tag a> in STORAGE is not what it should be'],
    lost: [],
    results: 1,
  },
}

const recordCases: Readonly<Record<string, Case>> = {
  'a commit that is cut short': {
    edit: broken(key.c1),
    ...withoutC1,
    told: recordOfC1('premature EOF'),
  },
  'a commit of another id': {
    edit: renamed(key.c1, idOf('c1'), nowhere),
    ...withoutC1,
    told: recordOfC1(`it is about "src/${nowhere}"`),
  },
  'a commit whose text is cut short': {
    shape: text,
    edit: (cluster) => change(cluster, key.c1, (value) => value.subarray(0, -2)),
    ...withoutC1,
    told: recordOfC1('text that is no message: it ends before a > (at byte 284)'),
  },
  'a commit whose text lacks a mark': {
    shape: text,
    edit: renamed(key.c1, '" > ', ' > '),
    ...withoutC1,
    told: recordOfC1('text that is no message: field c1 has no value (at byte 62)'),
  },
  'an output repo': {
    edit: broken(key.out),
    told: [
      'branch out@master: its repo is not there',
      'commit out/o1: its repo is not there',
      'pipeline out: its output repo is not there',
      'repo pachyderm_pfs/repos/out: the record cannot be read: premature EOF',
    ],
    lost: [
      'branch out@master is o1',
      'commit out/o1 after none from [c2]',
      'file out/o1:/x "x of a"',
      'file out/o1:/y "y of b"',
      'pipeline out of version 1',
      'repo out from [src]',
    ],
    results: 0,
  },
  'a branch': {
    edit: broken(key.old),
    told: ['branch pachyderm_pfs/branches/src/old: the record cannot be read: premature EOF'],
    lost: ['branch src@old is c1'],
    results: 2,
  },
  'a branch that leads nowhere': {
    edit: renamed(key.old, idOf('c1'), nowhere),
    told: [`branch src@old: its head ${nowhere} is not there`],
    lost: ['branch src@old is c1'],
    results: 2,
  },
  'a pipeline': {
    edit: broken(key.pipeline),
    told: ['pipeline pachyderm_pps/pipelines/out: the record cannot be read: premature EOF'],
    lost: ['pipeline out of version 1'],
    results: 0,
  },
  'a job': {
    edit: broken(key.job),
    told: ['job pachyderm_pps/jobs/JOB: the record cannot be read: premature EOF'],
    lost: ['job JOB of out: success'],
    results: 0,
  },
  'a write to an open commit': {
    edit: broken(key.put),
    told: [
      'commit pachyderm_pfs/scratch/src/w1/w/1: a write to the open commit src/w1 cannot be read: malformed message: a field of 133 bytes where 132 are left',
    ],
    lost: ['file src/w1:/w "put into w"'],
    results: 2,
  },
  'a write of another size to an open commit': {
    edit: (cluster) =>
      change(cluster, key.put, () => scratchPut(3, cluster.objects.get('w') ?? '')),
    told: [
      'file src/w1:w: a write to an open commit cannot be applied: it has 10 bytes, and should have 3',
    ],
    lost: ['file src/w1:/w "put into w"'],
    results: 2,
  },
  'a record of access control': {
    edit: (cluster) => void cluster.records.set('pachyderm_pfs/auth/oddities/x', utf8('x')),
    told: [
      'access pachyderm_pfs/auth/oddities/x: the record cannot be read: oddities is no part of access control',
    ],
    lost: [],
    results: 2,
  },
}

/** What only looks like damage. */
const harmless: Readonly<Record<string, Pick<Case, 'shape' | 'edit'>>> = {
  'unknown fields in every record': {
    edit: (cluster) => {
      const unknown = Uint8Array.of(0xf2, 0x3f, 1, 7)
      for (const at of Object.values(key)) {
        change(cluster, at, (value) => concatBytes([value, unknown]))
      }
    },
  },
  'unknown fields in the text of every record': {
    shape: text,
    edit: (cluster) => {
      for (const at of Object.values(key).filter((one) => one !== key.put)) {
        const unknown = 'unheard_of:"\\303\\274" also:<deep:<er:-1.5 > > 77:3 '
        change(cluster, at, (value) => concatBytes([value, utf8(unknown)]))
      }
    },
  },
  'text that is written in another way': {
    shape: text,
    edit: (cluster) => {
      const id = idOf('c1')
      const odd = `commit {\n  repo { name: 's' "\\162" '\\x63' }; # the repo\n  id: '${id.slice(0, 4)}'\n "${id.slice(4)}"\n},
        size_bytes: 1 size_bytes: 24, finished <seconds: 1500000002>
        tree: {hash: "${cluster.objects.get('tree c1')}"} started: <seconds:1500000001;>`
      cluster.records.set(key.c1, utf8(odd))
    },
  },
  'fields of 1.4.0 to 1.4.3': {
    shape: text,
    edit: (cluster) => {
      const policy = 'gc_policy:<success:<seconds:86400 > failure:<seconds:86400 > > stopped:true '
      change(cluster, key.pipeline, (value) => concatBytes([value, utf8(policy)]))
      const failed = 'error:"it \\"broke\\"" stopped:true pipeline_id:"id-of-out" '
      change(cluster, key.job, (value) => concatBytes([value, utf8(failed)]))
      // 1.4.0 wrote what was put as text.
      cluster.records.set(key.put, utf8(`10 ${cluster.objects.get('w')}`))
    },
  },
  'records of what no release has kept': {
    edit: (cluster) => {
      cluster.records.set('pachyderm_pfs/novelties/x', utf8('?'))
      cluster.set('pachyderm_pfs/repos__index_{Provenance %!s(bool=true)}/x', RepoInfoSchema, {})
    },
  },
}

describe('of a cluster that is damaged, each thing is told with its cause, and no other is lost', () => {
  let whole: Outcome

  beforeAll(async () => {
    whole = await outcomeOf({})
  })

  test('nothing is told of one that is not', async () => {
    expect(whole).toMatchObject({ codes: [0], told: [], results: 2 })
    expect(await outcomeOf({ shape: text })).toEqual(whole)
    expect(await outcomeOf({ shape: blocks })).toEqual(whole)
    expect(await outcomeOf({ shape: compacted })).toEqual(whole)
  })

  test.each(Object.entries({ ...objectCases, ...treeCases, ...tagCases, ...recordCases }))(
    '%s',
    async (_, spoilt) => {
      const { told, lost, instead = [], results } = spoilt
      const outcome = await outcomeOf(spoilt)
      expect({ ...outcome, facts: [] }).toEqual({
        codes: told.length === 0 ? [0] : [1, 1],
        toldBefore: told,
        factsBefore: [],
        told,
        results,
        facts: [],
      })
      expect(whole.facts.filter((fact) => !outcome.facts.includes(fact))).toEqual(lost)
      expect(outcome.facts.filter((fact) => !whole.facts.includes(fact))).toEqual(instead)
    },
  )

  test.each(Object.entries(harmless))('nothing is lost by %s', async (_, changed) => {
    expect(await outcomeOf(changed)).toEqual(whole)
  })
})
