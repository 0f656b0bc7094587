import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { TransformSchema } from '../gen/pps_pb.ts'
import { datumTags, orderCountMax, tagPrefix, type TagScheme } from './datum-tags.ts'

const members = [{ name: 'in', path: '/a', hash: new Uint8Array(32).fill(7) }]

function schemeWith(...names: readonly string[]): TagScheme {
  const env = Object.fromEntries(names.map((name) => [name, `value of ${name}`]))
  const transform = create(TransformSchema, { cmd: ['x'], env, debug: true })
  return { kind: 'transform', pipeline: 'p', id: 'the-id', version: 3, transform }
}

test('a pipeline with a salt has one tag for a datum', () => {
  const scheme: TagScheme = { kind: 'salt', pipeline: 'p', salt: 'the-salt' }
  const tags = [...datumTags(scheme, members)].map(({ tag }) => tag)
  expect(tags.length).toBe(1)
  expect(tags[0]).toMatch(new RegExp(`^${tagPrefix(scheme)}[0-9a-f]{64}$`))
})

test.each([
  [0, 1],
  [1, 1],
  [2, 2],
  [3, 6],
  [6, 720],
  [8, orderCountMax],
])('of %i variables, %i orders are tried, each once', (variables, count) => {
  const names = Array.from({ length: variables }, (_, index) => `V${index}`)
  const tags = [...datumTags(schemeWith(...names), members)].map(({ tag }) => tag)
  expect(new Set(tags).size).toBe(count)
  expect(tags.length).toBe(count)
})

test('the order that was found last comes first', () => {
  const scheme = schemeWith('A', 'B', 'C')
  const wanted = [...datumTags(scheme, members)].find(({ order }) => order.join('') === 'CAB')
  const [first, ...others] = datumTags(scheme, members, ['C', 'A', 'B'])
  expect(first).toEqual(wanted)
  expect(others.map(({ tag }) => tag)).not.toContain(first?.tag)
})
