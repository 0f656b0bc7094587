import { deepEqual, equal, ok } from 'node:assert/strict'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { utf8 } from '../base/bytes.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import { applyAlone, commitText, stateOf } from '../testing/transaction-pair.ts'
import type { CopyOperation, Operation } from './operations.ts'
import type { ReadyHead } from './ports.ts'
import { OperationFailedError } from './transactions/transaction-errors.ts'

// The same repos in two worlds: one does batches, the other one operation after another.
let batches: TestVersioning
let singles: TestVersioning
let runCount = 0

beforeAll(async () => {
  batches = await openTestVersioning()
  singles = await openTestVersioning()
})
afterAll(async () => {
  await batches[Symbol.asyncDispose]()
  await singles[Symbol.asyncDispose]()
})

const repoLetters = ['a', 'b', 'c'] as const
const repos = fc.constantFrom(...repoLetters)
const branches = fc.constantFrom('master', 'dev')
const preferences = fc.constantFrom('ours' as const, 'theirs' as const, undefined)
const tags = fc.constantFrom('v1', 'v2')
const paths = fc.constantFrom('/x', '/x/y', '/z')
const files = { repo: repos, commit: branches, path: paths }

/** A move appends to nothing. */
function withoutAppend(operation: CopyOperation): CopyOperation {
  return operation.mode === 'append' ? { ...operation, mode: 'overwrite' } : operation
}

/** Names of repos are letters here, which become names of the run. */
const operations: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc
      .record({
        name: repos,
        provenance: fc.subarray([...repoLetters], { maxLength: 1 }),
        description: fc.constantFrom('', 'words'),
        update: fc.boolean(),
      })
      .map((fields) => ({ kind: 'create-repo' as const, ...fields })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ name: repos, force: fc.boolean() })
      .map((fields) => ({ kind: 'delete-repo' as const, ...fields })),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({
        repo: repos,
        branch: fc.option(branches, { nil: undefined }),
        parent: fc.option(branches, { nil: undefined, freq: 2 }),
      })
      .map((fields) => ({ kind: 'start-commit' as const, ...fields })),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({ repo: repos, commit: branches })
      .map((fields) => ({ kind: 'finish-commit' as const, ...fields })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ repo: repos, commit: branches })
      .map((fields) => ({ kind: 'delete-commit' as const, ...fields })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ repo: repos, commit: branches, branch: branches })
      .map((fields) => ({ kind: 'set-branch' as const, ...fields })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ repo: repos, branch: branches })
      .map((fields) => ({ kind: 'delete-branch' as const, ...fields })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ repo: repos, commit: branches, path: paths })
      .map((fields) => ({ kind: 'delete-file' as const, ...fields })),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({
        kind: fc.constantFrom('copy-file' as const, 'move-file' as const),
        ...files,
        to: fc.record(files),
        mode: fc.constantFrom('refuse' as const, 'overwrite' as const, 'append' as const),
      })
      .map((fields) => (fields.kind === 'move-file' ? withoutAppend(fields) : fields)),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ repo: repos, from: branches, into: branches, prefer: preferences })
      .map((fields) => ({ kind: 'merge-branch' as const, message: 'merged', ...fields })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        repo: repos,
        commit: fc.constantFrom('master', 'dev', 'master^', 'v1'),
        branch: fc.option(branches, { nil: undefined }),
        prefer: preferences,
      })
      .map((fields) => ({ kind: 'revert-commit' as const, message: 'undone', ...fields })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ repo: repos, commit: branches, tag: tags, move: fc.boolean() })
      .map((fields) => ({ kind: 'tag-commit' as const, ...fields })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ repo: repos, tag: tags })
      .map((fields) => ({ kind: 'delete-commit-tag' as const, ...fields })),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({
        repo: repos,
        commit: branches,
        path: paths,
        bytes: fc.constantFrom('one', 'two').map((text) => utf8(text)),
        overwrite: fc.boolean(),
      })
      .map((fields) => ({ kind: 'put-file' as const, ...fields })),
  },
)

/** `operation` with the letters of repos as names of this run. */
function named(operation: Operation, prefix: string): Operation {
  if ('to' in operation) {
    const to = { ...operation.to, repo: prefix + operation.to.repo }
    return { ...operation, repo: prefix + operation.repo, to }
  }
  if ('repo' in operation) return { ...operation, repo: prefix + operation.repo }
  if (operation.kind === 'delete-repo') return { ...operation, name: prefix + operation.name }
  const provenance = operation.provenance.map((letter) => prefix + letter)
  return { ...operation, name: prefix + operation.name, provenance }
}

interface Singly {
  /** Those that could be applied, or, without `skips`, all that were given. */
  readonly batch: readonly Operation[]
  /** The first that could not; undefined with `skips`. */
  readonly failure: { readonly index: number; readonly error: unknown } | undefined
}

/** Applies operations one by one, up to the first that fails, or all but those that do. */
async function applySingly(sequence: readonly Operation[], skips: boolean): Promise<Singly> {
  const batch: Operation[] = []
  for (const [index, operation] of sequence.entries()) {
    try {
      await applyAlone(singles, operation)
      batch.push(operation)
    } catch (error) {
      if (!skips) return { batch: sequence, failure: { index, error } }
    }
  }
  return { batch, failure: undefined }
}

/** Those of `heads` that are finished heads in the end, each once, as text. */
async function lastHeads(
  world: TestVersioning,
  heads: readonly ReadyHead[],
): Promise<readonly string[]> {
  const texts = new Set<string>()
  for (const { repo, branch } of heads) {
    const found = await world.versioning.commits.inspect(repo, branch).catch(() => undefined)
    if (found?.state.kind !== 'finished') continue
    texts.add(`${repo}/${branch} ${await commitText(world, repo, found.id)}`)
  }
  return [...texts].toSorted()
}

test('a batch comes to what its operations come to one by one, or to nothing', async () => {
  let doneCount = 0
  let undoneCount = 0
  const property = fc.asyncProperty(
    fc.array(operations, { maxLength: 12 }),
    fc.array(operations, { minLength: 1, maxLength: 20 }),
    fc.boolean(),
    async (before, operated, skips) => {
      runCount += 1
      const prefix = `r${runCount}`
      const names = repoLetters.map((letter) => prefix + letter)
      const first = ['a', 'b'].flatMap((letter) => filled(prefix + letter))
      for (const operation of [...first, ...before.map((one) => named(one, prefix))]) {
        for (const world of [batches, singles]) {
          await applyAlone(world, operation).catch(() => undefined)
        }
      }
      const stateBefore = await stateOf(batches, names)
      deepEqual(stateBefore, await stateOf(singles, names))
      const [callsBefore, readyBefore] = [batches.readyCalls.length, singles.ready.length]
      const sequence = operated.map((one) => named(one, prefix))
      const { batch, failure: expected } = await applySingly(sequence, skips)
      const failed = await batches.versioning.transactions.run(batch).then(
        () => undefined,
        (error: unknown) => error,
      )
      const calls = batches.readyCalls.slice(callsBefore)
      if (expected === undefined) {
        doneCount += 1
        equal(failed, undefined)
        deepEqual(await stateOf(batches, names), await stateOf(singles, names))
        const ready = await lastHeads(singles, singles.ready.slice(readyBefore))
        equal(calls.length, ready.length === 0 ? 0 : 1)
        deepEqual(await lastHeads(batches, calls.flat()), ready)
        equal(calls.flat().length, ready.length)
      } else {
        undoneCount += 1
        ok(failed instanceof OperationFailedError)
        const { index, cause } = failed
        // A plan finds a later mistake before a tree shows an earlier one.
        ok(index >= expected.index)
        if (index === expected.index) equal(cause.name, (expected.error as Error).name)
        deepEqual(await stateOf(batches, names), stateBefore)
        deepEqual(calls, [])
      }
    },
  )
  await fc.assert(property, { numRuns: 300 })
  expect(doneCount).toBeGreaterThan(30)
  expect(undoneCount).toBeGreaterThan(30)
})

/** A repo with an open commit on `master`, which has a file. */
function filled(name: string): readonly Operation[] {
  const place = { repo: name, commit: 'master', path: '/z' }
  return [
    { kind: 'create-repo', name, provenance: [], description: '', update: false },
    { kind: 'start-commit', repo: name, branch: 'master' },
    { kind: 'put-file', ...place, bytes: utf8(name.slice(-1)), overwrite: false },
  ]
}
