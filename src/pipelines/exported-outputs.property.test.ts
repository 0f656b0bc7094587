import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { NotFoundError, UnavailableError } from '../base/errors.ts'
import { egressUrl, ExportingWorld } from '../testing/exporting-world.ts'
import { atom, transform } from '../testing/test-processing.ts'

const { signal } = new AbortController()
const names = ['a', 'b', 'd/c']

const file = fc.constantFrom(...names)
// So few that what was written over is often what comes again.
const content = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('1', '2') },
  { weight: 1, arbitrary: fc.constant(null) },
)
const changes = fc.dictionary(file, content, { minKeys: 2, noNullPrototype: true })

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('commit'), changes }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('trouble'),
      changes,
      at: file,
      how: fc.constantFrom('fails', 'is stopped', 'is updated', 'is restarted'),
      isForgotten: fc.boolean(),
    }),
  },
  fc.record({ kind: fc.constant('older'), back: fc.nat(3) }),
  fc.record({ kind: fc.constant('uncommit') }),
  fc.record({ kind: fc.constant('update') }),
  fc.record({ kind: fc.constant('forget') }),
  fc.record({ kind: fc.constant('empty') }),
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

async function update({ test: { processing } }: ExportingWorld): Promise<void> {
  const spec = { name: 'p', input: atom('in', '/'), transform: transform('p'), egressUrl }
  await processing.pipelines.update(spec, { reprocess: false })
}

/** No job runs when it resolves. */
async function rest(world: ExportingWorld): Promise<void> {
  const { jobs } = world.test.processing
  for (const { id } of await jobs.list('p'))
    await jobs.waitForEnd(id, signal).catch(() => undefined)
}

/** What a run has come to. */
class Course {
  /** Still there, oldest first. */
  readonly commits: string[] = []
  /** Objects that were not what a job had exported when it had succeeded. */
  readonly wrong: string[] = []
  readonly #seen = new Set<string>()

  /** Looks at what the newest job exported, unless others have written over it by now. */
  async look(world: ExportingWorld): Promise<void> {
    const jobs = await world.test.processing.jobs.list('p')
    const [last] = jobs.filter(({ id }) => !this.#seen.has(id))
    for (const { id } of jobs) this.#seen.add(id)
    if (last?.state !== 'success') return
    const output = await world.test.files('p', last.outputCommit)
    const objects = world.objects()
    for (const [path, text] of Object.entries(output)) {
      if (objects[`to${path}`] !== text) this.wrong.push(`${path} of job ${last.sequence}`)
    }
  }
}

/** Does a step, while which an export may fail; none runs afterwards. */
async function take(world: ExportingWorld, taken: Step, course: Course): Promise<void> {
  const { processing, versioning } = world.test
  const { commits } = course
  const { jobs, pipelines } = processing
  const newest = async (): Promise<string> => (await world.newest())?.id ?? ''
  switch (taken.kind) {
    case 'commit':
      commits.push(await world.test.commit('in', taken.changes))
      break
    case 'trouble': {
      const { at, how } = taken
      const refused = Promise.withResolvers<void>()
      world.bucket.onCall = (call, key) => {
        if (call !== 'write' || key !== `to/${at}`) return
        refused.resolve()
        throw how === 'fails' ? new NotFoundError('no bucket') : new UnavailableError('away')
      }
      commits.push(await world.test.commit('in', taken.changes))
      const ended = jobs.waitForEnd(await newest(), signal)
      await Promise.race([refused.promise, ended])
      if (how === 'is stopped') await jobs.stop(await newest())
      if (how === 'is updated') await update(world)
      if (how === 'is restarted') await world.test.restart()
      if (how !== 'fails' && how !== 'is stopped') world.bucket.onCall = () => undefined
      await rest(world)
      world.bucket.onCall = () => undefined
      await course.look(world)
      if (taken.isForgotten) await jobs.delete(await newest())
      break
    }
    case 'older': {
      const commit = commits.at(-1 - taken.back)
      if (commit !== undefined) await pipelines.run('p', [{ repo: 'in', commit }])
      break
    }
    case 'uncommit': {
      const commit = commits.pop()
      if (commit === undefined) break
      await versioning.deletions.delete([{ repo: 'in', commit }], { dryRun: false })
      break
    }
    case 'update':
      await update(world)
      break
    case 'empty':
      world.bucket.objects.clear()
      break
    case 'forget': {
      const id = await newest()
      if (id !== '') await jobs.delete(id)
      break
    }
  }
  await rest(world)
}

test('when a job has succeeded, all of its output is there, whatever came before', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 6, maxLength: 16, size: 'max' }),
      async (steps) => {
        await using world = await ExportingWorld.open('/')
        const course = new Course()
        for (const each of steps) {
          await take(world, each, course)
          await course.look(world)
        }
        expect(course.wrong).toEqual([])
      },
    ),
    { numRuns: 40 },
  )
})
