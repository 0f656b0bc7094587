import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareBytes, hexText, utf8 } from '../base/bytes.ts'
import type { MapEdit, MapEntry } from './prolly/map-entries.ts'
import { MemoryChunkStore } from './memory-chunks.ts'
import { ProllyMaps, type MapRoot } from './prolly-map.ts'

type Model = ReadonlyMap<string, string>

// Few distinct keys, some of them long, so that histories meet; values are long enough for many nodes.
const keys = fc.oneof(
  fc.nat(400).map((number) => `key-${String(number).padStart(4, '0')}`),
  fc.string({ maxLength: 6 }),
  fc.nat(30).map((number) => `${'long/'.repeat(40)}${number}`),
)
const values = fc
  .tuple(fc.nat(3), fc.constantFrom(0, 1, 40, 300, 3000))
  .map(([kind, size]) => String(kind).repeat(size))
const models: fc.Arbitrary<Model> = fc
  .array(fc.tuple(keys, values), { maxLength: 300, size: 'max' })
  .map((entries) => new Map(entries))
const changes = fc.array(fc.tuple(keys, fc.option(values, { nil: undefined })), { maxLength: 40 })

function sortedEdits(entries: Iterable<readonly [string, string | undefined]>): MapEdit[] {
  const latest = new Map(entries)
  return [...latest]
    .map(([key, value]) => ({
      key: utf8(key),
      value: value === undefined ? undefined : utf8(value),
    }))
    .toSorted((left, right) => compareBytes(left.key, right.key))
}

function sortedEntries(model: Model): MapEntry[] {
  return sortedEdits(model).flatMap(({ key, value }) => (value === undefined ? [] : { key, value }))
}

function changed(model: Model, edits: readonly (readonly [string, string | undefined])[]): Model {
  const result = new Map(model)
  for (const [key, value] of edits) {
    if (value === undefined) result.delete(key)
    else result.set(key, value)
  }
  return result
}

function newMaps(): ProllyMaps {
  return new ProllyMaps(new MemoryChunkStore(), { cacheBytesMax: 200_000 })
}

function readable(entry: MapEntry): readonly [string, string] {
  return [hexText(entry.key), hexText(entry.value)]
}

async function contents(maps: ProllyMaps, root: MapRoot): Promise<(readonly [string, string])[]> {
  return (await Array.fromAsync(maps.scan(root))).map(readable)
}

test('a map has the root of its entries whatever the edits that led to it', async () => {
  await fc.assert(
    fc.asyncProperty(models, fc.array(changes, { maxLength: 4 }), async (model, batches) => {
      const maps = newMaps()
      let root = await maps.build(sortedEntries(model))
      let expected = model
      for (const batch of batches) {
        root = await maps.edit(root, sortedEdits(batch))
        expected = changed(expected, batch)
      }
      expect(await contents(maps, root)).toEqual(sortedEntries(expected).map(readable))
      expect(root).toBe(await maps.build(sortedEntries(expected)))
      expect(await maps.size(root)).toBe(expected.size)
    }),
  )
})

test('entries inserted one batch after the other in any order give the root of a build', async () => {
  await fc.assert(
    fc.asyncProperty(
      models,
      fc.nat(),
      fc.integer({ min: 1, max: 60 }),
      async (model, seed, size) => {
        const maps = newMaps()
        const shuffled = [...model].toSorted(
          ([left], [right]) => order(left, seed) - order(right, seed),
        )
        let root = await maps.empty()
        for (let index = 0; index < shuffled.length; index += size) {
          root = await maps.edit(root, sortedEdits(shuffled.slice(index, index + size)))
        }
        expect(root).toBe(await maps.build(sortedEntries(model)))
        for (let index = 0; index < shuffled.length; index += size) {
          const removed = shuffled
            .slice(index, index + size)
            .map(([key]) => [key, undefined] as const)
          root = await maps.edit(root, sortedEdits(removed))
        }
        expect(root).toBe(await maps.empty())
      },
    ),
    { numRuns: 60 },
  )
})

function order(key: string, seed: number): number {
  let hash = seed
  for (const char of key) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193)
  return hash
}

test('a difference is what turns one map into the other, and is empty for equal maps only', async () => {
  await fc.assert(
    fc.asyncProperty(models, changes, models, async (model, edits, other) => {
      const maps = newMaps()
      const before = await maps.build(sortedEntries(model))
      const near = await maps.edit(before, sortedEdits(edits))
      const far = await maps.build(sortedEntries(other))
      for (const after of [near, far]) {
        const differences = await Array.fromAsync(maps.diff(before, after))
        const forward = differences.map(({ key, after: value }) => ({ key, value }))
        const backward = differences.map(({ key, before: value }) => ({ key, value }))
        expect(await maps.edit(before, forward)).toBe(after)
        expect(await maps.edit(after, backward)).toBe(before)
        expect(differences.length === 0).toBe(before === after)
      }
    }),
  )
})

test('the differences in a range are those of all that lie in it', async () => {
  await fc.assert(
    fc.asyncProperty(models, changes, keys, keys, async (model, edits, low, high) => {
      const maps = newMaps()
      const before = await maps.build(sortedEntries(model))
      const after = await maps.edit(before, sortedEdits(edits))
      const [from, to] = [utf8(low), utf8(high)]
      const all = await Array.fromAsync(maps.diff(before, after))
      const expected = all.filter(
        ({ key }) => compareBytes(key, from) >= 0 && compareBytes(key, to) < 0,
      )
      const found = await Array.fromAsync(maps.diff(before, after, { from, to }))
      expect(found.map(({ key }) => hexText(key))).toEqual(expected.map(({ key }) => hexText(key)))
      expect(await Array.fromAsync(maps.diff(after, before, { from }))).toHaveLength(
        all.filter(({ key }) => compareBytes(key, from) >= 0).length,
      )
    }),
  )
})

test('reads of single keys and of ranges are those of a sorted list', async () => {
  await fc.assert(
    fc.asyncProperty(models, keys, keys, async (model, from, to) => {
      const maps = newMaps()
      const root = await maps.build(sortedEntries(model))
      const range = { from: utf8(from), to: utf8(to) }
      const expected = sortedEntries(model).filter(
        ({ key }) => compareBytes(key, range.from) >= 0 && compareBytes(key, range.to) < 0,
      )
      const scanned = await Array.fromAsync(maps.scan(root, range))
      expect(scanned.map(readable)).toEqual(expected.map(readable))
      for (const key of [from, to, ...[...model.keys()].slice(0, 20)]) {
        const value = model.get(key)
        expect(await maps.get(root, utf8(key))).toEqual(value === undefined ? value : utf8(value))
      }
    }),
  )
})

test('a merge takes what one side changed, and asks about what both changed differently', async () => {
  await fc.assert(
    fc.asyncProperty(models, changes, changes, async (model, first, second) => {
      const maps = newMaps()
      const base = await maps.build(sortedEntries(model))
      const ours = await maps.edit(base, sortedEdits(first))
      const theirs = await maps.edit(base, sortedEdits(second))
      const conflicts: string[] = []
      // A choice that does not depend on the side.
      const merge = (left: MapRoot, right: MapRoot): Promise<MapRoot> =>
        maps.merge(base, left, right, (conflict) => {
          conflicts.push(hexText(conflict.key))
          const sides = [conflict.ours, conflict.theirs].map((side) => side ?? utf8('absent'))
          return sides.toSorted(compareBytes)[0]
        })
      const merged = await merge(ours, theirs)
      const asked = conflicts.splice(0)
      expect(await merge(theirs, ours)).toBe(merged)
      expect(conflicts).toEqual(asked)
      expect(await merge(base, theirs)).toBe(theirs)
      expect(await merge(ours, base)).toBe(ours)
      expect(await merge(ours, ours)).toBe(ours)
      const [a, b] = [changed(model, first), changed(model, second)]
      const keysOfAll = new Set([...model.keys(), ...a.keys(), ...b.keys()])
      const clashes = [...keysOfAll].filter((key) => {
        const [old, left, right] = [model.get(key), a.get(key), b.get(key)]
        return left !== old && right !== old && left !== right
      })
      expect(asked.toSorted()).toEqual(clashes.map((key) => hexText(utf8(key))).toSorted())
    }),
  )
})
