import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  atom,
  failDatum,
  openTestProcessing,
  type TestProcessing,
} from '../testing/test-processing.ts'

const names = ['a', 'b', 'd/x', 'd/y'] as const

/** What a commit does, and whether code fails on it. */
interface Step {
  readonly files: Readonly<Record<string, string | null>>
  readonly fails: boolean
}

const step: fc.Arbitrary<Step> = fc.record({
  files: fc.dictionary(fc.constantFrom(...names), fc.constantFrom('1', '2', null, null), {
    minKeys: 1,
    maxKeys: 3,
  }),
  fails: fc.integer({ min: 0, max: 6 }).map((chance) => chance === 0),
})

/** By path; a directory ends in `/`, and stays when it is empty. */
type Files = ReadonlyMap<string, string>

function after(files: Files, { files: changes }: Step): Files {
  const changed = new Map(files)
  for (const [name, text] of Object.entries(changes)) {
    if (text === null) {
      changed.delete(`/${name}`)
      continue
    }
    changed.set(`/${name}`, text)
    if (name.includes('/')) changed.set(`/${name.slice(0, name.indexOf('/') + 1)}`, '')
  }
  return changed
}

function keyOf(files: Files): string {
  return JSON.stringify([...files].toSorted(([left], [right]) => (left < right ? -1 : 1)))
}

/** As the code does it: what was written before, and a line for what it is shown. */
function line(log: string, shown: Iterable<readonly [string, string]>): string {
  const files = [...shown].filter(([path]) => !path.endsWith('/'))
  const texts = files.map(([path, text]) => `${path}=${text}`).toSorted()
  return `${log}${texts.join(' ')};`
}

/** What 1.5 promises, said of whole trees: results by what was read, each on top of its parent's. */
class Model {
  readonly #results = new Map<string, string>()

  /** The log after a commit over another; undefined when the job fails. */
  next(before: Files | undefined, now: Files, fails: boolean): string | undefined {
    const known = this.#results.get(keyOf(now))
    if (known !== undefined) return known
    if (fails) return undefined
    const former = before === undefined ? undefined : this.#results.get(keyOf(before))
    const shown =
      former === undefined || before === undefined
        ? now
        : new Map([...now].filter(([path, text]) => before.get(path) !== text))
    const log = line(former ?? '', shown)
    this.#results.set(keyOf(now), log)
    return log
  }
}

async function logOf(world: TestProcessing): Promise<string | undefined> {
  const branches = await world.versioning.branches.list('up')
  return branches.length === 0 ? undefined : (await world.files('up', 'master'))['/log']
}

test('an incremental pipeline adds to what its parent wrote, or starts over where that is not there', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      await using world = await openTestProcessing()
      await world.versioning.repos.create({ name: 'in' })
      let fails = false
      world.code('up', (files) => {
        if (fails) failDatum('it was told to fail')
        const shown = [...files].flatMap(([name, text]) =>
          name.startsWith('in/') ? [[name.slice(2), text] as const] : [],
        )
        return { log: line(files.get('out/log') ?? '', shown) }
      })
      await world.pipeline('up', atom('in', '/'), { incremental: true })
      const model = new Model()
      let files: Files | undefined
      let last: string | undefined
      const found: (string | undefined)[] = []
      const wanted: (string | undefined)[] = []
      for (const one of steps) {
        const now = after(files ?? new Map(), one)
        fails = one.fails
        const expected = model.next(files, now, fails)
        const commit = await world.commit('in', one.files)
        await world.flush('in', commit).catch(() => undefined)
        last = expected ?? last
        found.push(await logOf(world))
        wanted.push(last)
        files = now
      }
      expect(found).toEqual(wanted)
    }),
    { numRuns: 20 },
  )
})

test('of a cross, the branch that started the job shows what is new, and others all they have', async () => {
  await using world = await openTestProcessing()
  for (const name of ['in', 'side']) await world.versioning.repos.create({ name })
  world.code('up', (files) => ({ log: line(files.get('out/log') ?? '', withoutOut(files)) }))
  const input = { cross: [atom('in', '/*'), atom('side', '/')] }
  await world.pipeline('up', input, { incremental: true })
  await world.commit('side', { s: '1' })
  await world.flush('in', await world.commit('in', { 'd/x': '1', e: '1' }))
  expect(await logOf(world)).toBe('in/d/x=1 side/s=1;in/e=1 side/s=1;')
  await world.flush('in', await world.commit('in', { 'd/y': '1' }))
  expect(await logOf(world)).toBe('in/d/x=1 side/s=1;in/d/y=1 side/s=1;in/e=1 side/s=1;')
  // A file that changes is new as a whole; one that does not is not shown.
  await world.flush('side', await world.commit('side', { t: '2' }))
  expect(await logOf(world)).toBe(
    'in/d/x=1 side/s=1;in/d/y=1 side/s=1;in/d/x=1 in/d/y=1 side/t=2;in/e=1 side/s=1;in/e=1 side/t=2;',
  )
})

function withoutOut(files: ReadonlyMap<string, string>): readonly (readonly [string, string])[] {
  return [...files].filter(([name]) => !name.startsWith('out/'))
}

test('a pipeline is refused that is incremental over inputs which share provenance', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('up', () => ({}))
  await world.pipeline('up', atom('in', '/'))
  const shared = [
    { cross: [atom('in', '/'), atom('up', '/')] },
    { union: [atom('up', '/'), { atom: { ...atom('up', '/*').atom, name: 'x' } }] },
  ]
  for (const input of shared) {
    await expect(
      world.pipeline('down', input, {
        incremental: true,
      }),
    ).rejects.toThrow("can't create an incremental pipeline with inputs that share provenance")
  }
  const group = { group: [{ atom: { ...atom('in', '/(*)').atom, groupBy: '$1' } }] }
  await expect(world.pipeline('down', group, { incremental: true })).rejects.toThrow(
    'an incremental pipeline cannot read groups',
  )
})
