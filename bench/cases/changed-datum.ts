import { availableParallelism } from 'node:os'
import type { Benchmark, Comparison, Contender, Stage } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { timed } from '../processes.ts'
import { putFile } from '../../src/client/file-transfers.ts'
import { smallChanges } from '../seeded-files.ts'

/** Writes a file for each datum by itself: what a program costs that is started for each is not at issue. */
const namingLoop = `
echo ready >&3
while read -r ticket datum; do
  . "$PACH_DATUM_VARIABLES"
  echo "$in" >"/pfs/out/\${in##*/}"
  echo "$ticket 0" >&3
done`
const per = 1000

export const changedDatum: Benchmark = {
  name: 'changed-datum',
  title: 'job for one new datum among many, and the first job over them, by a warm shell',
  unit: 'ms',
  prepare: (stage) => prepare(stage, [100, 10_000, 100_000]),
}

export const changedDatumOfMillion: Benchmark = {
  name: 'changed-datum-of-million',
  title: 'job for one new datum among a million, and the first job over them, by a warm shell',
  unit: 'ms',
  prepare: (stage) => prepare(stage, [100, 10_000, 1_000_000]),
}

async function prepare(
  { startPachd, say }: Stage,
  sizes: readonly number[],
): ReturnType<Benchmark['prepare']> {
  const pachd = await startPachd()
  const firsts: Contender[] = []
  for (const size of sizes) {
    const ms = await runFirst(pachd, size)
    say(`first job over ${size}: ${Math.round(ms)} ms`)
    if (size >= per) firsts.push({ label: firstLabel(size), run: async () => (ms * per) / size })
  }
  const changes = sizes.map((size): Contender => {
    return { label: label(size), run: (round) => runChange(pachd, size, round) }
  })
  return {
    contenders: [...changes, ...firsts],
    comparisons: [...againstFirst(changes), ...againstFirst(firsts)],
  }
}

async function runFirst(pachd: Pachd, size: number): Promise<number> {
  const repo = `in-${size}`
  await pachd.createRepo(repo, smallChanges('/d', size, 0))
  await pachd.pps.createPipeline({
    pipeline: { name: `name-${size}` },
    transform: { cmd: ['sh', '-c', namingLoop], warm: true },
    parallelismSpec: { constant: BigInt(availableParallelism()) },
    input: { atom: { repo, name: 'in', glob: '/d/*' } },
  })
  const { commit } = await pachd.pfs.inspectCommit({
    commit: { repo: { name: repo }, id: 'master' },
  })
  if (commit === undefined) throw new Error('no commit was inspected')
  return await timed(async () => pachd.flush(commit))
}

async function runChange(pachd: Pachd, size: number, round: number): Promise<number> {
  const repo = `in-${size}`
  const commit = await pachd.startCommit(repo)
  const path = `/d/${String(Math.floor(size / 2)).padStart(7, '0')}-${round}`
  const file = { commit: { repo, id: commit.id }, path }
  await putFile(pachd.transport, file, only(new TextEncoder().encode(`new ${round}`)))
  return await timed(async () => {
    await pachd.pfs.finishCommit({ commit })
    await pachd.flush(commit)
  })
}

/** Each with the first: what takes more than twice as long grows with the number of datums. */
function againstFirst([first, ...others]: readonly Contender[]): readonly Comparison[] {
  return others.map(({ label: ours }) => ({
    ours,
    baseline: first?.label ?? '',
    budget: { kind: 'slower', atMost: 2 },
  }))
}

function label(size: number): string {
  return `job, 1 new datum among ${size.toLocaleString('en')}`
}

function firstLabel(size: number): string {
  return `first job over ${size.toLocaleString('en')}, a thousand of them`
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
