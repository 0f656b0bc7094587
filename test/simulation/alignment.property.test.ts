import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RequestedInput } from '../../src/pipelines/requested-specs.ts'
import { Simulation } from '../../src/testing/simulation/simulation.ts'
import { transform } from '../../src/testing/test-processing.ts'

/** Pipelines by what each reads, as positions among the sources and the pipelines before it. */
interface Dag {
  readonly sources: readonly string[]
  readonly reads: readonly (readonly number[])[]
}

/** A commit to a source, or so many events that happen first, or a crash after so many. */
type Move =
  | { readonly kind: 'commit'; readonly source: number }
  | { readonly kind: 'wait'; readonly count: number }
  | { readonly kind: 'crash'; readonly count: number }

function dagOver(sources: readonly string[]): fc.Arbitrary<Dag> {
  const reads = fc.array(fc.array(fc.nat(20), { minLength: 1, maxLength: 3 }), {
    minLength: 2,
    maxLength: 5,
  })
  return reads.map((numbers) => ({
    sources,
    reads: numbers.map((some, index) => [
      ...new Set(some.map((number) => number % (sources.length + index))),
    ]),
  }))
}

const moves: fc.Arbitrary<readonly Move[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('commit' as const), source: fc.nat(1) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), count: fc.nat(120) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), count: fc.nat(60) }) },
  ),
  { minLength: 3, maxLength: 12 },
)

interface Ran {
  /** Commits by source, the oldest first. */
  readonly commits: ReadonlyMap<string, readonly string[]>
  /** By pipeline, the oldest job first: the commit of each source that it comes from. */
  readonly jobs: ReadonlyMap<string, readonly ReadonlyMap<string, string>[]>
}

/** Makes the pipelines, takes the moves, and waits until all is done. */
async function ran(seed: number, dag: Dag, moved: readonly Move[]): Promise<Ran> {
  const simulation = await Simulation.open(seed)
  try {
    const names = [...dag.sources, ...dag.reads.map((_, index) => `p${index}`)]
    await simulation.untilDone('make pipelines', async () => {
      for (const [index, reads] of dag.reads.entries()) {
        const repos = reads.map((at) => names[at] ?? '')
        const spec = { name: `p${index}`, transform: transform('copy:1'), input: crossOf(repos) }
        await simulation.server.processing.pipelines.create(spec)
      }
    })
    const commits = new Map(dag.sources.map((source): [string, string[]] => [source, []]))
    for (const move of moved) await take(simulation, dag, move, commits)
    await simulation.untilDone('come to rest', () => simulation.wait(Number.POSITIVE_INFINITY))
    const jobs = new Map<string, ReadonlyMap<string, string>[]>()
    for (const index of dag.reads.keys()) {
      jobs.set(`p${index}`, [...(await rootsOfJobs(simulation, `p${index}`, dag.sources))])
    }
    return { commits, jobs }
  } finally {
    simulation.close()
  }
}

function crossOf(repos: readonly string[]): RequestedInput {
  const atoms = repos.map((repo): RequestedInput => {
    return { atom: { name: repo, repo, branch: '', glob: '/', lazy: false, fromCommit: '' } }
  })
  return { cross: atoms }
}

async function take(
  simulation: Simulation,
  { sources }: Dag,
  move: Move,
  commits: ReadonlyMap<string, string[]>,
): Promise<void> {
  if (move.kind === 'wait') {
    return simulation.untilDone('wait', () => simulation.wait(move.count))
  }
  if (move.kind === 'crash') {
    simulation.crashAfter(move.count, 0)
    return simulation.take('wait', async () => {
      await simulation.wait(move.count + 1)
      return 'wait'
    })
  }
  const repo = sources[move.source % sources.length] ?? ''
  const made = commits.get(repo) ?? []
  await simulation.untilDone('commit', async () => {
    const { commits: calls, writes } = simulation.server.versioning
    const { id } = await calls.start({ repo, branch: 'master' })
    const text = Buffer.from(String(made.length))
    await writes.put({ repo, commit: id, path: 'f' }, text, { overwrite: true })
    await calls.finish(repo, id)
    simulation.model.add({ id, repo, files: new Map(), isFinished: true })
    made.push(id)
  })
}

async function rootsOfJobs(
  simulation: Simulation,
  pipeline: string,
  sources: readonly string[],
): Promise<readonly ReadonlyMap<string, string>[]> {
  return await simulation.untilDone('look at jobs', async () => {
    const { processing, versioning } = simulation.server
    const found: ReadonlyMap<string, string>[] = []
    for (const { inputs, state } of (await processing.jobs.list(pipeline)).toReversed()) {
      expect(state).toBe('success')
      const roots = new Map<string, string>()
      for (const { repo, commit } of inputs) {
        const info = await versioning.commits.inspect(repo, commit)
        for (const root of [info, ...info.provenance]) {
          if (!sources.includes(root.repo)) continue
          expect(roots.get(root.repo) ?? root.id, 'a job reads one commit of each root').toBe(
            root.id,
          )
          roots.set(root.repo, root.id)
        }
      }
      found.push(roots)
    }
    return found
  })
}

const seeds = fc.integer({ min: 1, max: 1_000_000 })

test('over one root, each pipeline of any graph has one job for each commit, in order', async () => {
  await fc.assert(
    fc.asyncProperty(seeds, dagOver(['a']), moves, async (seed, dag, moved) => {
      const { commits, jobs } = await ran(seed, dag, moved)
      for (const [pipeline, roots] of jobs) {
        expect(
          roots.map((root) => root.get('a')),
          `jobs of ${pipeline}`,
        ).toEqual(commits.get('a'))
      }
    }),
    { numRuns: 25 },
  )
})

test('over two roots, jobs never go back, never come twice, and end at the newest of both', async () => {
  await fc.assert(
    fc.asyncProperty(seeds, dagOver(['a', 'b']), moves, async (seed, dag, moved) => {
      const { commits, jobs } = await ran(seed, dag, moved)
      for (const [pipeline, tuples] of jobs) {
        const read = rootsRead(dag, Number(pipeline.slice(1)))
        const places = tuples.map((roots) =>
          read.map((source) => commits.get(source)?.indexOf(roots.get(source) ?? '') ?? -1),
        )
        for (const [index, place] of places.entries()) {
          const before = places[index - 1] ?? read.map(() => 0)
          expect(
            place.every((at, position) => at >= (before[position] ?? 0)),
            `jobs of ${pipeline}`,
          ).toBe(true)
        }
        expect(new Set(places.map(String)).size, `jobs of ${pipeline}`).toBe(places.length)
        const last = read.map((source) => (commits.get(source)?.length ?? 0) - 1)
        const isComplete = last.every((at) => at >= 0)
        expect(places.at(-1), `the last job of ${pipeline}`).toEqual(isComplete ? last : undefined)
      }
    }),
    { numRuns: 25 },
  )
})

/** The sources that a pipeline reads, directly or not. */
function rootsRead({ sources, reads }: Dag, pipeline: number): readonly string[] {
  const found = (reads[pipeline] ?? []).flatMap((at) =>
    at < sources.length ? [sources[at] ?? ''] : rootsRead({ sources, reads }, at - sources.length),
  )
  return [...new Set(found)].toSorted()
}
