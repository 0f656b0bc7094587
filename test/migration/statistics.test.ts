import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { readOldTree } from '../../src/legacy/old-trees.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { UnpackedCluster } from '../harness/old-clusters.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate, type Migrated } from './migrate.ts'

const request = { force: true, keepPaused: true, killUnfinishedJobs: true }
const resultCount = 50n

/** What was kept of a datum of the pipeline `counted`, which has statistics. */
interface Kept {
  readonly tag: string
  readonly tree: string
  readonly directory: string
  /** The objects of its files `stats` and `logs`. */
  readonly objects: Readonly<Record<string, string>>
}

async function keptIn({ storage }: UnpackedCluster): Promise<Kept> {
  const [tag = ''] = (await readdir(join(storage, 'tag'))).filter((name) => name.endsWith('_stats'))
  const tree = (await readlink(join(storage, 'tag', tag))).split('/').at(-1) ?? ''
  const bytes = await readFile(join(storage, 'object', tree))
  const objects: Record<string, string> = {}
  let directory = ''
  for await (const node of readOldTree(once(bytes))) {
    const [, id = '', file = '', ...below] = node.path.split('/')
    if (node.kind === 'directory' || below.length > 0) continue
    directory = `/${id}`
    objects[file] = node.objects.join()
  }
  return { tag, tree, directory, objects }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes)
}

/** Gives the datum other files there. */
async function replace(
  cluster: UnpackedCluster,
  kept: Kept,
  files: Readonly<Record<'stats' | 'logs', string>>,
): Promise<void> {
  const options = { layout: 'files', isText: false } as const
  const writer = new OldClusterWriter(dirname(cluster.storage), options)
  const tree = new Map<string, readonly string[]>()
  for (const [name, text] of Object.entries(files)) {
    tree.set(`${kept.directory}/${name}`, [await writer.putObject(Buffer.from(text))])
  }
  const { hash } = await writer.putTree(tree)
  await rm(join(cluster.storage, 'tag', kept.tag))
  await writer.putTag(kept.tag, hash)
}

/** Lines of user code of the pipeline. */
async function logOf(pachd: TestPachd): Promise<readonly string[]> {
  const lines: string[] = []
  for await (const { message, user } of pachd.pps.getLogs({ pipeline: { name: 'counted' } })) {
    if (user) lines.push(message.trim())
  }
  return lines
}

/** It is told once, costs no result, and without the flag nothing comes. */
function expectOneLoss({ damage, summary }: Migrated, reason: RegExp): void {
  expect(damage.map(({ kind, what }) => `${kind} ${what}`)).toEqual([
    expect.stringMatching(/^datum pipeline counted, \/\S+, statistics \(tag [0-9a-f]{68}_stats\)$/),
  ])
  expect(damage[0]?.reason).toMatch(reason)
  expect(summary?.counts).toMatchObject({ damaged: 1n, results: resultCount })
}

const line = (message: string): string =>
  JSON.stringify({ pipelineName: 'counted', user: true, ts: '2026-11-22T03:20:00Z', message })

test('what datums printed and took comes over', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const kept = await keptIn(cluster)
  await replace(cluster, kept, {
    stats: JSON.stringify({ downloadTime: '1.5s', processTime: '2s', uploadBytes: '7' }),
    logs: `${line('hello\n')}\n${line('there\n')}\n`,
  })
  await using pachd = await TestPachd.start()
  const { damage, summary } = await migrate(pachd, cluster, request)
  expect(damage).toEqual([])
  expect(summary?.counts?.results).toBe(resultCount)
  const log = await logOf(pachd)
  expect(log.filter((text) => text === 'hello' || text === 'there')).toEqual(['hello', 'there'])
})

test.each([
  ['tree', /^its statistics and log cannot be read: /],
  ['stats', /^its statistics cannot be read: /],
  ['logs', /^a part of its log cannot be read: /],
] as const)(
  'a lost object of the %s of a datum is damage, and costs no result',
  async (what, reason) => {
    await using cluster = await UnpackedCluster.unpack('1.5.3')
    const kept = await keptIn(cluster)
    await replace(cluster, kept, { stats: '{"processTime":"2s"}', logs: `${line('here')}\n` })
    const changed = await keptIn(cluster)
    const lost = what === 'tree' ? changed.tree : (changed.objects[what] ?? '')
    await rm(join(cluster.storage, 'object', lost))
    await using pachd = await TestPachd.start()
    await expect(migrate(pachd, cluster, request)).rejects.toThrow(/one thing .* --skip-damaged/)
    expectOneLoss(await migrate(pachd, cluster, { ...request, skipDamaged: true }), reason)
    const note = '(a part of the log could not be read in the old cluster)'
    expect((await logOf(pachd)).includes(note)).toBe(what === 'logs')
  },
)

test('statistics and lines that are not what 1.5 writes are damage', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  await replace(cluster, await keptIn(cluster), {
    stats: 'no JSON',
    logs: `${line('before')}\nno JSON\n${line('after')}\n`,
  })
  await using pachd = await TestPachd.start()
  expectOneLoss(
    await migrate(pachd, cluster, { ...request, skipDamaged: true }),
    /^its statistics cannot be read: they are not what 1.5 writes; a line of its log cannot be read$/,
  )
  const log = await logOf(pachd)
  const at = log.indexOf('before')
  expect(log.slice(at, at + 3)).toEqual([
    'before',
    '(a line could not be read in the old cluster)',
    'after',
  ])
})

test('a log of which not all is kept says where, and the migration says so', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const lines = Array.from({ length: 20_000 }, (_, at) => line(`line ${at} ${'x'.repeat(60)}`))
  const long = line('y'.repeat(300_000))
  const logs = [...lines.slice(0, 10), long, ...lines.slice(10)].join('\n')
  await replace(cluster, await keptIn(cluster), { stats: '{}', logs })
  await using pachd = await TestPachd.start()
  const { damage, notices } = await migrate(pachd, cluster, request)
  expect(damage).toEqual([])
  expect(notices.join('\n')).toContain(
    'pipeline counted: of one datum the log is longer than what is kept here',
  )
  const log = await logOf(pachd)
  expect(log).toContain(`(a line of ${long.length} bytes was not kept here)`)
  expect(log.filter((text) => /^\(\d+ lines were not kept here/.test(text)).length).toBe(1)
  expect(log.some((text) => text.startsWith('line 19999 '))).toBe(true)
})

test('an object of a log whose bytes are others costs its own lines only', async () => {
  await using cluster = await UnpackedCluster.unpack('1.5.3')
  const kept = await keptIn(cluster)
  await replace(cluster, kept, { stats: '{}', logs: `${line('forged')}\n` })
  const { objects } = await keptIn(cluster)
  await writeFile(join(cluster.storage, 'object', objects['logs'] ?? ''), `${line('other')}\n`)
  await using pachd = await TestPachd.start()
  await migrate(pachd, cluster, { ...request, skipDamaged: true })
  expect(await logOf(pachd)).not.toContain('other')
})
