import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { flat, flatSync, Nested, type NestedItems, type NestedItemsSync } from './nested.ts'

interface Tree {
  readonly parts: readonly (number | Tree)[]
}

const tree: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.record({ parts: fc.array(fc.oneof({ maxDepth: 6 }, fc.nat(99), tie('tree'))) }),
})).tree

function numbersOf({ parts }: Tree): number[] {
  return parts.flatMap((part) => (typeof part === 'number' ? [part] : numbersOf(part)))
}

function* nestedSync({ parts }: Tree): Generator<number | Nested<NestedItemsSync<number>>> {
  for (const part of parts)
    yield typeof part === 'number' ? part : new Nested(() => nestedSync(part))
}

async function* nested({ parts }: Tree): AsyncGenerator<number | Nested<NestedItems<number>>> {
  for (const part of parts) yield typeof part === 'number' ? part : new Nested(() => nested(part))
}

test('nested sequences come in their order', async () => {
  await fc.assert(
    fc.asyncProperty(tree, async (one) => {
      expect([...flatSync(nestedSync(one))]).toEqual(numbersOf(one))
      expect(await Array.fromAsync(flat(nested(one)))).toEqual(numbersOf(one))
    }),
  )
})

async function* countdown(depth: number): AsyncGenerator<number | Nested<NestedItems<number>>> {
  if (depth > 0) yield new Nested(() => countdown(depth - 1))
  yield depth
}

test('nesting may be far deeper than the stack', async () => {
  const found = await Array.fromAsync(flat(countdown(50_000)))
  expect([found.length, found[0], found.at(-1)]).toEqual([50_001, 0, 50_000])
})

test('who stops early has all that is open closed, the innermost first', async () => {
  const closed: number[] = []
  async function* watched(depth: number): AsyncGenerator<number | Nested<NestedItems<number>>> {
    try {
      if (depth < 3) yield new Nested(() => watched(depth + 1))
      yield depth
    } finally {
      closed.push(depth)
    }
  }
  for await (const found of flat(watched(0))) {
    expect(found).toBe(3)
    break
  }
  expect(closed).toEqual([3, 2, 1, 0])
})
