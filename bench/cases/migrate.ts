import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CommitInfoSchema, CommitSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import type { Benchmark } from '../benchmark.ts'
import { runShell } from '../processes.ts'

/** A cluster of one repo, whose commits change a file each. */
interface Shape {
  readonly name: string
  readonly label: string
  readonly files: number
  readonly commits: number
  readonly fileBytes: number
}

/** How many times as many files and commits there are as usual: with 50, a million and 100,000. */
const scale = Number(process.env['MIGRATE_SCALE'] ?? 1)
const [fileCount, commitCount] = [20_000 * scale, 2000 * scale]
const shown = (count: number): string => count.toLocaleString('en')

const shapes: readonly Shape[] = [
  {
    name: 'files',
    label: `a commit of ${shown(fileCount)} files`,
    files: fileCount,
    commits: 1,
    fileBytes: 100,
  },
  {
    name: 'commits',
    label: `${shown(commitCount)} commits of 20 files`,
    files: 20,
    commits: commitCount,
    fileBytes: 100,
  },
  { name: 'bytes', label: '512 MiB in 128 files', files: 128, commits: 1, fileBytes: 4_194_304 },
]

const copyLabel = (shape: Shape): string => `cp -r of ${shape.label}`

export const migrate: Benchmark = {
  name: 'migrate',
  title: 'old clusters, generated, from a snapshot and a directory',
  unit: 'ms',
  roundsMax: 3,
  prepare: async ({ directory, startPachd, say }) => {
    for (const shape of shapes) {
      say(`writing ${shape.label}`)
      await writeCluster(join(directory, shape.name), shape)
    }
    return {
      contenders: shapes.flatMap((shape) => [
        {
          label: shape.label,
          run: async () => {
            const pachd = await startPachd()
            const { etcd, storage } = new OldClusterWriter(join(directory, shape.name), plain)
            const report = join(directory, 'report.jsonl')
            const args = ['--etcd', etcd, '--storage', storage, '--report', report]
            return (await pachd.pachctl('migrate', ...args)).ms
          },
        },
        {
          label: copyLabel(shape),
          run: async () => {
            const ms = await runShell(`cp -r ${shape.name} copy && sync -f copy`, directory)
            await runShell('rm -rf copy', directory)
            return ms
          },
        },
      ]),
      comparisons: shapes.map((shape) => ({ ours: shape.label, baseline: copyLabel(shape) })),
    }
  },
}

const plain = { layout: 'files', isText: false } as const
const startedSeconds = 1_500_000_000

async function writeCluster(directory: string, shape: Shape): Promise<void> {
  await mkdir(directory)
  const writer = new OldClusterWriter(directory, plain)
  await writer.begin()
  const repo = { name: 'data' }
  const created = { seconds: BigInt(startedSeconds), nanos: 0 }
  writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo, created })
  const files = new Map<string, readonly string[]>()
  const put = async (at: number, seed: number): Promise<void> => {
    const bytes = seededBytes(at * 100_003 + seed, shape.fileBytes)
    files.set(`/d${at % 100}/f${at}`, [await writer.putObject(bytes)])
  }
  for (let at = 0; at < shape.files; at += 1) await put(at, 0)
  let parent: string | undefined
  for (let count = 0; count < shape.commits; count += 1) {
    await put(count % shape.files, count + 1)
    const id = createHash('md5').update(String(count)).digest('hex')
    const { hash, sizeBytes } = await writer.putTree(files)
    const at = { seconds: BigInt(startedSeconds + count), nanos: 0 }
    writer.record(`pachyderm_pfs/commits/data/${id}`, CommitInfoSchema, {
      commit: { repo, id },
      ...(parent !== undefined && { parentCommit: { repo, id: parent } }),
      started: at,
      finished: at,
      sizeBytes: BigInt(sizeBytes),
      tree: { hash },
    })
    parent = id
  }
  writer.record('pachyderm_pfs/branches/data/master', CommitSchema, { repo, id: parent ?? '' })
  await writer.finish()
}
