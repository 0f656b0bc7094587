import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { pachctlHere } from '../harness/pachctl-here.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { factsOf, idOf, scratchPut, sized, SmallCluster, type SmallShape } from './small-cluster.ts'

const whole: readonly string[] = []

interface Damaged {
  readonly shape: SmallShape
  /** Before it is written. */
  readonly edit?: (cluster: SmallCluster) => Promise<void> | void
  /** When it lies there. */
  readonly spoil?: (cluster: SmallCluster) => Promise<void>
  readonly told: readonly string[]
  readonly lost?: readonly string[]
  readonly gained?: readonly string[]
  readonly results?: number
}

const files = { layout: 'files', isText: false } as const
const text = { layout: 'files', isText: true } as const
const blocks = { layout: 'blocks', isText: false } as const
const compacted = { layout: 'compacted', isText: false } as const

const pathOf = (cluster: SmallCluster, name: string): string =>
  join(cluster.writer.storage, 'object', cluster.objects.get(name) ?? '')

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at)
  await writeFile(path, bytes)
}

function change(cluster: SmallCluster, key: string, edit: (value: Buffer) => Uint8Array): void {
  const value = cluster.records.get(key)
  if (value === undefined) throw new Error(`no ${key}`)
  cluster.records.set(key, edit(Buffer.from(value)))
}

/** The record of a commit with another tree. */
async function withTree(cluster: SmallCluster, bytes: Uint8Array): Promise<void> {
  const hash = await cluster.writer.putObject(bytes)
  cluster.objects.set('tree c1', hash)
  cluster.setCommit('src', 'c1', { hash, sizeBytes: 24 })
}
const key = {
  c1: `pachyderm_pfs/commits/src/${idOf('c1')}`,
  out: 'pachyderm_pps/pipelines/out',
  job: 'pachyderm_pps/jobs/abababab-abab-4bab-8bab-abababababab',
}
void [
  rm,
  whole,
  scratchPut,
  sized,
  concatBytes,
  utf8,
  blocks,
  compacted,
  text,
  change,
  withTree,
  key,
]

const cases: Readonly<Record<string, Damaged>> = {
  nothing: { shape: files, told: [] },
  'nothing, as text': { shape: text, told: [] },
  'a flipped bit in a content': { shape: files, spoil: (c) => flip(pathOf(c, 'b'), 3), told: [] },
  'a content that is gone': { shape: files, spoil: (c) => rm(pathOf(c, 'd')), told: [] },
  'a content of an open commit that is gone': {
    shape: files,
    spoil: (c) => rm(pathOf(c, 'w')),
    told: [],
  },
  'a flipped bit in a tree': {
    shape: files,
    spoil: (c) => flip(pathOf(c, 'tree c1'), 30),
    told: [],
  },
  'a tree that is gone': { shape: files, spoil: (c) => rm(pathOf(c, 'tree c2')), told: [] },
  'the tree of an output that is gone': {
    shape: files,
    spoil: (c) => rm(pathOf(c, 'tree o1')),
    told: [],
  },
  'a tag that leads nowhere': { shape: files, spoil: (c) => rm(pathOf(c, 'result a')), told: [] },
  'a tree of version 2': { shape: files, edit: (c) => withTree(c, Uint8Array.of(8, 2)), told: [] },
  'a tree without a root': {
    shape: files,
    edit: (c) => withTree(c, Uint8Array.of(8, 1)),
    told: [],
  },
  'a block that is gone': {
    shape: blocks,
    spoil: async (c) =>
      rm(
        join(
          c.writer.storage,
          'block',
          (await import('node:crypto'))
            .createHash('md5')
            .update(c.objects.get('b') ?? '')
            .digest('hex'),
        ),
      ),
    told: [],
  },
  'a reference that is garbage': {
    shape: blocks,
    spoil: (c) => writeFile(pathOf(c, 'b'), 'garbage'),
    told: [],
  },
  'a tag that is garbage': {
    shape: blocks,
    spoil: (c) => writeFile(join(c.writer.storage, 'tag', c.tags.get('a') ?? ''), 'garbage'),
    told: [],
  },
  'an index that is garbage': {
    shape: compacted,
    spoil: (c) =>
      writeFile(join(c.writer.storage, 'index', (c.objects.get('b') ?? '').slice(0, 2)), 'garbage'),
    told: [],
  },
  'an index that is gone': {
    shape: compacted,
    spoil: (c) => rm(join(c.writer.storage, 'index', (c.objects.get('b') ?? '').slice(0, 2))),
    told: [],
  },
  'a commit cut short': {
    shape: files,
    edit: (c) => change(c, key.c1, (v) => v.subarray(0, -3)),
    told: [],
  },
  'a commit of another name': {
    shape: files,
    edit: (c) =>
      change(c, key.c1, (v) =>
        Buffer.from(v.toString('latin1').replace(idOf('c1'), 'dd'.repeat(16)), 'latin1'),
      ),
    told: [],
  },
  'a commit text': {
    shape: text,
    edit: (c) => change(c, key.c1, (v) => Buffer.concat([Buffer.from('!'), v])),
    told: [],
  },
  'a repo record': {
    shape: files,
    edit: (c) => change(c, 'pachyderm_pfs/repos/out', () => Buffer.from([0xff, 0xff])),
    told: [],
  },
  'a branch record': {
    shape: files,
    edit: (c) => change(c, 'pachyderm_pfs/branches/src/old', () => Buffer.from([0xff, 0xff])),
    told: [],
  },
  'a branch that leads nowhere': {
    shape: files,
    edit: (c) =>
      change(c, 'pachyderm_pfs/branches/src/old', (v) =>
        Buffer.from(v.toString('latin1').replace(idOf('c1'), 'dd'.repeat(16)), 'latin1'),
      ),
    told: [],
  },
  'a pipeline record': {
    shape: files,
    edit: (c) => change(c, key.out, () => Buffer.from([0xff, 0xff])),
    told: [],
  },
  'a job record': {
    shape: files,
    edit: (c) => change(c, key.job, () => Buffer.from([0xff, 0xff])),
    told: [],
  },
  'a scratch record': {
    shape: files,
    edit: (c) =>
      change(c, `pachyderm_pfs/scratch/src/${idOf('w1')}/w/1`, () => Buffer.from([0xff, 0xff])),
    told: [],
  },
  'a scratch size': {
    shape: files,
    edit: (c) =>
      change(c, `pachyderm_pfs/scratch/src/${idOf('w1')}/w/1`, () =>
        Buffer.from(scratchPut(3, c.objects.get('w') ?? '')),
      ),
    told: [],
  },
  access: {
    shape: files,
    edit: (c) => {
      c.records.set('pachyderm_pfs/auth/oddities/x', Buffer.from('x'))
    },
    told: [],
  },
}

test.each(Object.entries(cases))('%s', async (_, { shape, edit, spoil }) => {
  await using directory = await TemporaryDirectory.create()
  const cluster = await SmallCluster.begin(directory.path, shape)
  await edit?.(cluster)
  await cluster.finish()
  await spoil?.(cluster)
  await using pachd = await TestPachd.start()
  const { etcd, storage } = cluster.writer
  const args = [
    'migrate',
    '--etcd',
    etcd,
    '--storage',
    storage,
    '--keep-paused',
    '--open-commits',
    'keep',
    '--report',
    directory.join('r'),
  ]
  const place = { port: pachd.port, home: directory.path }
  const refused = await pachctlHere(args, place)
  const come = refused.code === 0 ? refused : await pachctlHere([...args, '--skip-damaged'], place)
  const lines = cluster.masked(come.out).split('\n')
  const facts = cluster.masked((await factsOf(pachd)).join('\n')).split('\n')
  if (whole.length === 0) (whole as string[]).push(...facts)
  console.log(
    JSON.stringify(
      {
        code: [refused.code, come.code],
        err: cluster.masked(come.err),
        told: lines.filter((l) => /^(damaged|note)/.test(l)),
        lost: whole.filter((f) => !facts.includes(f)),
        gained: facts.filter((f) => !whole.includes(f)),
        results: lines.find((l) => l.includes('results')),
      },
      null,
      1,
    ),
  )
  expect(1).toBe(1)
})
