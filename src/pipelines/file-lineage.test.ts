import { expect, test } from 'vitest'
import { isWithin, parseFilePath } from '../base/paths.ts'
import {
  atom,
  atomNamed,
  openTestProcessing,
  type TestProcessing,
} from '../testing/test-processing.ts'
import type { DatumInfo } from './datum-states.ts'
import type { RequestedInput } from './requested-specs.ts'

async function derivedFrom(world: TestProcessing, path: string) {
  const file = { repo: 'in', commit: 'master', path }
  return await Array.fromAsync(world.processing.lineage.derived(file))
}

test('what was made from a file is found, also through directories and older results', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  world.code('copy', (files) =>
    Object.fromEntries([...files].map(([path, text]) => [`out/${path.slice(3)}`, text])),
  )
  await world.pipeline('copy', atom('in', '/*'))
  await world.flush('in', await world.commit('in', { a: '1', 'd/x': '2', 'd/y': '3' }))
  const commit = await world.commit('in', { b: '4' })
  await world.flush('in', commit)
  const [job] = await world.processing.jobs.list('copy')
  const output = { repo: 'copy', commit: job?.outputCommit }
  expect(await derivedFrom(world, 'd/x')).toMatchObject([
    { job: job?.id, state: 'skipped', output, paths: ['/out/d/x', '/out/d/y'] },
  ])
  expect(await derivedFrom(world, 'b')).toMatchObject([{ state: 'success', paths: ['/out/b'] }])
  const all = await derivedFrom(world, '/')
  expect(all.flatMap(({ paths }) => paths)).toEqual(['/out/a', '/out/b', '/out/d/x', '/out/d/y'])
  await expect(derivedFrom(world, 'none')).rejects.toThrow('file none not found')
})

test('origins of a path that is not there are refused, and a file that was put has none', async () => {
  await using world = await openTestProcessing()
  await world.versioning.repos.create({ name: 'in' })
  await world.commit('in', { a: '1' })
  const { lineage } = world.processing
  const file = { repo: 'in', commit: 'master', path: 'a' }
  expect(await Array.fromAsync(lineage.origins(file))).toEqual([])
  await expect(Array.fromAsync(lineage.origins({ ...file, path: 'b' }))).rejects.toThrow(
    'file b not found',
  )
})

const again = atomNamed('in', '/*', { name: 'again' })
const both = atomNamed('in', '/*/*', { name: 'both' })
const joined: RequestedInput = {
  join: [
    { atom: { ...atomNamed('in', '/d/(*)', { name: 'l' }).atom, joinOn: '$1' } },
    { atom: { ...atomNamed('in', '/e/(*)', { name: 'r' }).atom, joinOn: '$1' } },
  ],
}
const grouped: RequestedInput = {
  group: [
    { atom: { ...atomNamed('in', '/(*)', { name: 'g' }).atom, groupBy: '$1' } },
    { atom: { ...atomNamed('in', '/*/(*)', { name: 'h' }).atom, groupBy: '$1' } },
  ],
}
const crossed = { cross: [atom('in', '/*'), again] }
const inputs: readonly (readonly [text: string, input: RequestedInput])[] = [
  ['the whole', atom('in', '/')],
  ['files two deep', atom('in', '/*/*')],
  ['a cross of one repo', { cross: [atom('in', '/*'), again] }],
  ['a cross of one repo by two globs', { cross: [atom('in', '/*/*'), again] }],
  ['a cross with another', { cross: [atom('other', '/*'), atom('in', '/*')] }],
  ['a union of one name', { union: [both, atomNamed('in', '/d/*', { name: 'both' })] }],
  ['a join', joined],
  ['a union of joins', { union: [joined, joined, atom('in', '/*')] }],
  ['a group', grouped],
  ['a cross with a group', { cross: [atom('other', '/*'), grouped] }],
  ['a union of groups', { union: [grouped, grouped] }],
  ['a union of crosses', { union: [crossed, crossed] }],
  ['a union of one atom twice', { union: [both, both] }],
  ['a cross of a union', { cross: [again, { union: [both, atom('other', '/*')] }] }],
]

test.each(inputs)('the datums that read a path of %s are those that hold it', async (_, input) => {
  await using world = await openTestProcessing()
  for (const name of ['in', 'other']) await world.versioning.repos.create({ name })
  world.code('p', () => ({ x: 'y' }))
  await world.commit('other', { o: '1', 'd/x': '1' })
  const files = { a: '1', 'd/x': '2', 'd/y': '3', 'e/x': '4' }
  await world.commit('in', files)
  await world.pipeline('p', input)
  const [made] = await world.processing.jobs.list('p')
  const { signal } = new AbortController()
  const job = await world.processing.jobs.waitForEnd(made?.id ?? '', signal)
  const datums: DatumInfo[] = []
  // Each is also found by its key alone, and then told by its files.
  for await (const { key } of world.processing.jobs.datums(job.id)) {
    datums.push(await world.processing.jobs.inspectDatum(job.id, key))
  }
  for (const path of ['', 'a', 'd', 'd/x', 'e/x'].map(parseFilePath)) {
    const expected = datums.filter(({ members }) =>
      members.some(
        (member) =>
          member.input !== 'other' && (isWithin(member.path, path) || isWithin(path, member.path)),
      ),
    )
    const found = await derivedFrom(world, path)
    expect(found.map(({ datum }) => datum).toSorted()).toEqual(
      expected.map(({ key }) => key).toSorted(),
    )
  }
})
