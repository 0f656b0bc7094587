import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { CheckRun } from '../base/check-run.ts'
import { SystemClock } from '../base/clock.ts'
import {
  atom,
  openTestProcessing,
  transform,
  type TestProcessing,
} from '../testing/test-processing.ts'
import { checkVersioningRows } from '../versioning/versioning-check.ts'
import { checkPipelinesRows } from './pipelines-check.ts'
import type { RequestedInput, RequestedSpec } from './requested-specs.ts'

const { signal } = new AbortController()

/** A pipeline of a random graph: what it reads, by number, and how. */
interface Node {
  readonly reads: readonly number[]
  readonly how: 'cross' | 'union'
}

const sources = ['a', 'b']
const files = fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.constantFrom('1', '2', '3'), {
  minKeys: 1,
  maxKeys: 3,
})
const graph = fc.array(
  fc.record({
    reads: fc.uniqueArray(fc.nat(20), { minLength: 1, maxLength: 3 }),
    how: fc.constantFrom<Node['how']>('cross', 'union'),
  }),
  { minLength: 2, maxLength: 6 },
)

/** Repos by number: the sources, then the pipelines. A pipeline reads some that come before it. */
function nameOf(number: number): string {
  return sources[number] ?? `p${number - sources.length}`
}

function inputOf(node: Node, index: number): RequestedInput {
  const count = sources.length + index
  const repos = [...new Set(node.reads.map((number) => nameOf(number % count)))]
  const atoms = repos.map((repo) => atom(repo, '/*'))
  const [only] = atoms
  if (atoms.length === 1 && only !== undefined) return only
  return node.how === 'cross' ? { cross: atoms } : { union: atoms }
}

function specOf(node: Node, index: number, code: string): RequestedSpec {
  const name = nameOf(sources.length + index)
  return { name, input: inputOf(node, index), transform: transform(code) }
}

/** Gives each pipeline two codes, the other of which writes other contents and one more file. */
async function openWorld(nodes: readonly Node[]): Promise<TestProcessing> {
  const world = await openTestProcessing()
  for (const name of sources) await world.versioning.repos.create({ name })
  for (const index of nodes.keys()) {
    const name = nameOf(sources.length + index)
    const code = (tag: string, more: Readonly<Record<string, string>>): void =>
      world.code(tag, (found) => {
        const inputs = [...found].filter(([path]) => !path.startsWith('out'))
        const text = inputs.map(([, content]) => content).join('+')
        // Short, however deep the graph: what it is made of decides.
        const digest = createHash('sha256').update(text).digest('hex').slice(0, 8)
        return { [String(Number.parseInt(digest, 16) % 3)]: `${tag}:${digest}`, ...more }
      })
    code(name, {})
    code(`${name}-other`, { more: name })
  }
  return world
}

async function commitTo(
  world: TestProcessing,
  repo: string,
  branch: string,
  content: Readonly<Record<string, string>>,
): Promise<void> {
  const { commits, writes } = world.versioning
  const { id } = await commits.start({ repo, branch })
  for (const [path, text] of Object.entries(content)) {
    await writes.put({ repo, commit: id, path }, utf8(text), { overwrite: true })
  }
  await commits.finish(repo, id)
}

async function idle(world: TestProcessing): Promise<void> {
  await expect
    .poll(
      async () => {
        const rows = await world.database.read((tx) =>
          tx.all(`SELECT id FROM jobs WHERE state IN ('starting', 'running') LIMIT 1`),
        )
        return rows.length
      },
      { timeout: 60_000, interval: 5 },
    )
    .toBe(0)
}

async function jobIds(world: TestProcessing): Promise<readonly string[]> {
  const rows = await world.database.read((tx) =>
    tx.all<{ readonly id: string }>('SELECT id FROM jobs ORDER BY id'),
  )
  return rows.map(({ id }) => id)
}

/** What fsck would find in the rows. */
async function requireSound({ database }: TestProcessing): Promise<void> {
  const findings: unknown[] = []
  const run = new CheckRun({ full: false, fix: false, exclusive: false }, signal, async (found) => {
    findings.push(found)
  })
  await checkVersioningRows({ database, run, clock: new SystemClock() })
  await checkPipelinesRows({ database, run })
  expect(findings).toEqual([])
}

type Outputs = Readonly<Record<string, unknown>>

async function outputs(
  world: TestProcessing,
  nodes: readonly Node[],
  repoOf: (name: string) => string = (name) => name,
): Promise<Outputs> {
  const found: Record<string, unknown> = {}
  for (const index of nodes.keys()) {
    const name = nameOf(sources.length + index)
    found[name] = await world.files(repoOf(name), 'master')
  }
  return found
}

/** What the same graph makes of the same files, from the beginning. */
async function fromScratch(
  nodes: readonly Node[],
  codes: readonly string[],
  data: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Promise<Outputs> {
  await using world = await openWorld(nodes)
  for (const repo of sources) await commitTo(world, repo, 'master', data[repo] ?? {})
  for (const [index, node] of nodes.entries()) {
    await world.processing.pipelines.create(specOf(node, index, codes[index] ?? ''))
  }
  await idle(world)
  return await outputs(world, nodes)
}

const scenario = fc.record({
  nodes: graph,
  changed: fc.uniqueArray(fc.nat(5), { maxLength: 3 }),
  changesData: fc.boolean(),
  before: fc.tuple(files, files, files),
  fixed: files,
  meanwhile: files,
  after: files,
})

test('a trial of a random graph gives what a computation from scratch does, and its merge the same without computing', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (given) => {
      const { nodes } = given
      const changed = new Set(given.changed.filter((index) => index < nodes.length))
      if (changed.size === 0 && !given.changesData) changed.add(0)
      const codes = nodes.map((_, index) => nameOf(sources.length + index))
      const newCodes = codes.map((code, index) => (changed.has(index) ? `${code}-other` : code))
      await using world = await openWorld(nodes)
      const { trials, pipelines } = world.processing
      const [first, second, third] = given.before
      await commitTo(world, 'a', 'master', first)
      await commitTo(world, 'b', 'master', second)
      for (const [index, node] of nodes.entries()) {
        await pipelines.create(specOf(node, index, codes[index] ?? ''))
      }
      await commitTo(world, 'a', 'master', third)
      await idle(world)
      const readsA = nodes.some(({ reads }, index) =>
        reads.some((number) => nameOf(number % (sources.length + index)) === 'a'),
      )
      const changesData = given.changesData && readsA
      if (!changesData && changed.size === 0) return
      const data = { a: { ...first, ...third }, b: second }
      const trialData = { a: changesData ? { ...data.a, ...given.fixed } : data.a, b: second }
      await world.versioning.branches.set('a', 'fixed', 'master')
      await commitTo(world, 'a', 'fixed', given.fixed)

      await trials.create({
        name: 'try',
        specs: nodes.flatMap((node, index) =>
          changed.has(index) ? [specOf(node, index, newCodes[index] ?? '')] : [],
        ),
        data: changesData ? [{ repo: 'a', branch: 'master', other: 'fixed' }] : [],
        results: 'same-code',
      })
      // The trial follows what comes on the main line.
      await commitTo(world, 'b', 'master', given.meanwhile)
      await idle(world)
      const info = await trials.settled('try', signal)
      expect(info.obstacles).toEqual([])
      const tried = new Map(info.pipelines.map((one) => [String(one.tries), one.pipeline]))
      const now = { a: data.a, b: { ...second, ...given.meanwhile } }
      const inTrial = await outputs(world, nodes, (name) => tried.get(name) ?? name)
      expect(inTrial).toEqual(await fromScratch(nodes, newCodes, { ...now, a: trialData.a }))
      expect(await outputs(world, nodes)).toEqual(await fromScratch(nodes, codes, now))

      await requireSound(world)
      const ranCount = world.ran.length
      const jobsBefore = await jobIds(world)
      await trials.merge('try')
      expect(await outputs(world, nodes)).toEqual(inTrial)
      await idle(world)
      expect(world.ran).toHaveLength(ranCount)
      expect(await jobIds(world)).toEqual(jobsBefore)
      await requireSound(world)
      expect(await outputs(world, nodes)).toEqual(inTrial)
      expect(
        (await world.versioning.repos.list()).map(({ name }) => String(name)).toSorted(),
      ).toEqual([...sources, ...codes].toSorted())

      await commitTo(world, 'a', 'master', given.after)
      await idle(world)
      const later = { b: now.b, a: { ...trialData.a, ...given.after } }
      expect(await outputs(world, nodes)).toEqual(await fromScratch(nodes, newCodes, later))
    }),
    { numRuns: 8 },
  )
})

/** a → p0, p1; p0 × p1 → p2; p2 ∪ b → p3. */
const diamond: readonly Node[] = [
  { reads: [0], how: 'cross' },
  { reads: [0], how: 'cross' },
  { reads: [2, 3], how: 'cross' },
  { reads: [4, 1], how: 'union' },
]

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('commit' as const), to: fc.nat(1), files }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('try' as const),
      name: fc.nat(1),
      changed: fc.uniqueArray(fc.nat(3), { maxLength: 2 }),
      fixed: fc.option(files),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('merge' as const), name: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), name: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('update' as const), index: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
)

async function requireRefused({ processing }: TestProcessing, name: string): Promise<void> {
  await expect(processing.trials.merge(name)).rejects.toThrow('cannot be merged')
}

/** Nothing has run since so many datums had. */
async function requireNothingRan(world: TestProcessing, ranCount: number): Promise<void> {
  await idle(world)
  expect(world.ran).toHaveLength(ranCount)
}

interface ModelTrial {
  readonly codes: ReadonlyMap<number, string>
  /** What the merge makes of the files of `a`; undefined: nothing. */
  readonly fixed: Readonly<Record<string, string>> | undefined
}

test('whatever is tried, merged and dropped in between, the main line has what a computation from scratch gives', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      await using world = await openWorld(diamond)
      let data = { a: { x: '1' }, b: { y: '2' } } as Record<'a' | 'b', Record<string, string>>
      const codes = diamond.map((_, index) => nameOf(sources.length + index))
      const other = (index: number): string => {
        const name = nameOf(sources.length + index)
        return codes[index] === name ? `${name}-other` : name
      }
      const specFor = (index: number, code: string): RequestedSpec =>
        specOf(diamond[index] ?? { reads: [0], how: 'cross' }, index, code)
      for (const repo of ['a', 'b'] as const) await commitTo(world, repo, 'master', data[repo])
      for (const [index, code] of codes.entries()) {
        await world.processing.pipelines.create(specFor(index, code))
      }
      const open = new Map<string, ModelTrial>()
      let branchCount = 0
      for (const one of steps) {
        const { trials, pipelines } = world.processing
        if (one.kind === 'commit') {
          const repo = one.to === 0 ? 'a' : 'b'
          data = { ...data, [repo]: { ...data[repo], ...one.files } }
          await commitTo(world, repo, 'master', one.files)
        } else if (one.kind === 'update') {
          codes[one.index] = other(one.index)
          const spec = specFor(one.index, codes[one.index] ?? '')
          await pipelines.update(spec, { reprocess: true })
        } else if (one.kind === 'restart') await world.restart()
        else {
          const name = `t${one.name}`
          if (one.kind === 'try' && !open.has(name) && (one.fixed || one.changed.length > 0)) {
            // What is tried begins with what all of the main line has.
            await idle(world)
            branchCount += 1
            const branch = `fixed-${branchCount}`
            if (one.fixed !== null) {
              await world.versioning.branches.set('a', branch, 'master')
              await commitTo(world, 'a', branch, one.fixed)
            }
            const changed = new Map(one.changed.map((index) => [index, other(index)]))
            await trials.create({
              name,
              specs: [...changed].map(([index, code]) => specFor(index, code)),
              data: one.fixed === null ? [] : [{ repo: 'a', branch: 'master', other: branch }],
              results: 'same-code',
            })
            const fixed = one.fixed === null ? undefined : { ...data.a, ...one.fixed }
            open.set(name, { codes: changed, fixed })
          } else if (one.kind === 'drop' && open.delete(name)) await trials.delete(name)
          else if (one.kind === 'merge' && open.has(name)) {
            await idle(world)
            const { obstacles } = await trials.settled(name, signal)
            if (obstacles.length > 0) {
              await requireRefused(world, name)
              continue
            }
            const { length } = world.ran
            await trials.merge(name)
            const trial = open.get(name)
            for (const [index, code] of trial?.codes ?? []) codes[index] = code
            if (trial?.fixed !== undefined) data = { ...data, a: { ...trial.fixed } }
            open.delete(name)
            // What other trials have to do, they may have begun.
            if (open.size === 0) await requireNothingRan(world, length)
          }
        }
      }
      await idle(world)
      expect(await outputs(world, diamond)).toEqual(await fromScratch(diamond, codes, data))
      await requireSound(world)
    }),
    { numRuns: 8 },
  )
})
