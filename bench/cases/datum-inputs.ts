import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Benchmark, Stage } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { runShell, timed } from '../processes.ts'
import { smallChanges, writeLargeFile } from '../seeded-files.ts'
import { putFiles } from '../../src/client/file-transfers.ts'

const mib = 1024 * 1024
const fileCount = 100_000

/** Runs a datum that is shown the whole of a repo and does nothing; gives what the job took. */
async function openDatums(pachd: Pachd, repo: string): Promise<(round: number) => Promise<number>> {
  await pachd.createRepo('go', [])
  await pachd.pps.createPipeline({
    pipeline: { name: 'shown' },
    transform: { cmd: ['true'] },
    parallelismSpec: { constant: 1n },
    input: {
      cross: [{ atom: { repo, glob: '/' } }, { atom: { repo: 'go', glob: '/d/*' } }],
    },
  })
  return async (round) => {
    const commit = await pachd.startCommit('go')
    const where = { repo: 'go', id: commit.id }
    await putFiles(pachd.transport, where, smallChanges('/d', 1, round))
    return await timed(async () => {
      await pachd.pfs.finishCommit({ commit })
      await pachd.flush(commit)
    })
  }
}

/** Says what a process writes to disks while `work` goes on. */
async function sayWritten(
  { say }: Stage,
  pachd: Pachd,
  what: string,
  work: () => Promise<number>,
): Promise<number> {
  const before = writtenBytes(pachd.pid)
  const ms = await work()
  say(`${what}: pachd wrote ${Math.round((writtenBytes(pachd.pid) - before) / mib)} MiB`)
  return ms
}

function writtenBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/io`, 'utf8')
  return Number(/^write_bytes: (\d+)$/m.exec(text)?.[1] ?? 0)
}

export const largeInput: Benchmark = {
  name: 'large-input',
  title: 'a file of 1 GiB shown to a datum',
  unit: 'ms',
  roundsMax: 1,
  prepare: async (stage) => {
    const { directory, startPachd } = stage
    const pachd = await startPachd()
    await writeLargeFile(join(directory, 'input'), 1024, 1)
    await pachd.pfs.createRepo({ repo: { name: 'in' } })
    await pachd.pachctl('put-file', 'in', 'master', '/f', '-c', '-f', join(directory, 'input'))
    const runDatum = await openDatums(pachd, 'in')
    const first = 'the first datum'
    const next = 'the next datum'
    return {
      contenders: [
        { label: first, run: () => sayWritten(stage, pachd, first, () => runDatum(0)) },
        { label: next, run: () => sayWritten(stage, pachd, next, () => runDatum(1)) },
        { label: 'cp', run: () => runShell('cp input copy', directory) },
        { label: 'ln', run: () => runShell('ln input link', directory) },
      ],
      comparisons: [
        { ours: first, baseline: 'cp' },
        { ours: next, baseline: 'ln' },
      ],
    }
  },
}

export const throughDatum: Benchmark = {
  name: 'through-datum',
  title: 'a file of 1 GiB through a datum that changes each byte',
  unit: 'ms',
  roundsMax: 1,
  prepare: async ({ directory, startPachd }) => {
    const pachd = await startPachd()
    const input = join(directory, 'input')
    await writeLargeFile(input, 1024, 1)
    await pachd.pfs.createRepo({ repo: { name: 'in' } })
    await pachd.pachctl('put-file', 'in', 'master', '/f', '-c', '-f', input)
    const head = await pachd.pfs.inspectCommit({ commit: { repo: { name: 'in' }, id: 'master' } })
    const { commit } = head
    if (commit === undefined) throw new Error('the repo has no commit')
    // What comes out is new: what is stored already would cost a reference only.
    const change = String.raw`tr '\000-\377' '\001-\377\000'`
    const ours = 'create-pipeline, job'
    const baseline = 'the command alone, fsync'
    return {
      contenders: [
        {
          label: ours,
          run: () =>
            timed(async () => {
              await pachd.pps.createPipeline({
                pipeline: { name: 'through' },
                transform: { cmd: ['sh'], stdin: [`${change} </pfs/in/f >/pfs/out/f`] },
                input: { atom: { repo: 'in', glob: '/f' } },
              })
              await pachd.flush(commit)
            }),
        },
        { label: baseline, run: () => runShell(`${change} <input >out && sync out`, directory) },
        { label: 'cp, fsync', run: () => runShell('cp input copy && sync copy', directory) },
      ],
      comparisons: [
        { ours, baseline },
        { ours, baseline: 'cp, fsync' },
      ],
    }
  },
}

export const manyInputs: Benchmark = {
  name: 'many-inputs',
  title: '100,000 files shown to a datum',
  unit: 'ms',
  roundsMax: 1,
  prepare: async ({ directory, startPachd }) => {
    const pachd = await startPachd()
    await pachd.createRepo('in', smallChanges('/d', fileCount, 1))
    await pachd.pachctl('get-file', '-r', 'in', 'master', '/', '-o', join(directory, 'input'))
    const runDatum = await openDatums(pachd, 'in')
    const ours = 'a datum'
    return {
      contenders: [
        { label: ours, run: runDatum },
        { label: 'cp -r', run: () => runShell('cp -r input copy', directory) },
      ],
      comparisons: [{ ours, baseline: 'cp -r' }],
    }
  },
}

export const firstDatum: Benchmark = {
  name: 'first-datum',
  title: 'from a new pipeline to the output of its first datum',
  unit: 'ms',
  prepare: async ({ startPachd }) => {
    const pachd = await startPachd()
    await pachd.createRepo('in', smallChanges('/d', 1, 1))
    const {
      commitInfo: [head],
    } = await pachd.pfs.listCommit({ repo: { name: 'in' } })
    const commit = head?.commit
    if (commit === undefined) throw new Error('the repo has no commit')
    return {
      contenders: [
        {
          label: 'create-pipeline, job',
          run: async (round) =>
            timed(async () => {
              await pachd.pps.createPipeline({
                pipeline: { name: `first-${round}` },
                transform: { cmd: ['true'] },
                input: { atom: { repo: 'in', glob: '/d/*' } },
              })
              await pachd.flush(commit)
            }),
        },
      ],
      comparisons: [],
    }
  },
}
