import * as fc from 'fast-check'
import { parseFilePath } from '../base/paths.ts'
import type { PairPut, PairStep } from './versioning-pair.ts'

const branches = fc.constantFrom('master', 'master', 'dev', 'old')
// Few names, so that files and directories meet; `!` sorts before, `é` is two bytes.
const names = fc.oneof(
  { weight: 6, arbitrary: fc.constant('a') },
  { weight: 2, arbitrary: fc.constantFrom('b', '!', 'é') },
)
const paths = fc
  .array(names, { minLength: 1, maxLength: 3 })
  .map((parts) => parseFilePath(parts.join('/')))
// Inline, in one chunk, and too large for a row.
const sizes = fc.oneof(
  { weight: 8, arbitrary: fc.nat(20) },
  { weight: 2, arbitrary: fc.nat(500) },
  { weight: 1, arbitrary: fc.constant(70_000) },
)
const puts: fc.Arbitrary<PairPut> = fc
  .record({
    path: paths,
    letter: fc.constantFrom('x', 'y', 'z'),
    size: sizes,
    overwrite: fc.boolean(),
  })
  .map(({ path, letter, size, overwrite }) => ({ path, text: letter.repeat(size), overwrite }))
const lines = fc
  .array(fc.constantFrom('x\n', 'long line\n', '\n', 'end'), { maxLength: 3 })
  .map((parts) => parts.join(''))
const splits: fc.Arbitrary<PairPut> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ path: paths, text: lines, overwrite: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      path: fc.constant(parseFilePath('/')),
      text: lines,
      overwrite: fc.boolean(),
    }),
  },
)
const deleted = fc.oneof(
  { weight: 6, arbitrary: paths },
  { weight: 1, arbitrary: fc.constant(parseFilePath('/')) },
)

const patterns = fc.constantFrom('', '/*', '/*/*', '/a/*', '/?', '/a/?/*', '/*a', '/b')

function stepOf<Kind extends PairStep['kind'], Rest extends object>(
  kind: Kind,
  rest: { [Key in keyof Rest]: fc.Arbitrary<Rest[Key]> },
): fc.Arbitrary<{ readonly kind: Kind; readonly branch: string } & Rest> {
  return fc
    .record({ branch: branches, rest: fc.record(rest) as fc.Arbitrary<Rest> })
    .map(({ branch, rest: fields }) => ({ kind, branch, ...fields }))
}

const sources = fc.oneof(
  { weight: 8, arbitrary: paths },
  { weight: 1, arbitrary: fc.constant(parseFilePath('/')) },
)
const placement = { from: branches, source: sources, path: sources, overwrite: fc.boolean() }

const prefers = fc.constantFrom('ours' as const, 'theirs' as const, undefined)
const tags = fc.constantFrom('v1', 'v2', 'v3')
const back = fc.nat(3)
const rarely = fc.nat(5).map((number) => number === 0)

/** About the history of a repo: merges, reverts, deletions, tags, lists and flushes. */
const historySteps: fc.Arbitrary<PairStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: stepOf('merge', { from: branches, prefer: prefers, dryRun: rarely }),
  },
  { weight: 3, arbitrary: stepOf('revert', { back, prefer: prefers }) },
  { weight: 3, arbitrary: stepOf('remove', { back, dryRun: rarely }) },
  { weight: 2, arbitrary: stepOf('tag', { tag: tags, back, move: fc.boolean() }) },
  { weight: 1, arbitrary: stepOf('untag', { tag: tags }) },
  { weight: 2, arbitrary: stepOf('list', { other: branches }) },
  { weight: 2, arbitrary: stepOf('derive', {}) },
  { weight: 2, arbitrary: stepOf('flush', {}) },
)

/** A commit from its start to its end. */
const wholeCommits: fc.Arbitrary<readonly PairStep[]> = fc
  .record({ branch: branches, writes: fc.array(fc.oneof(puts, deleted), { maxLength: 3 }) })
  .map(({ branch, writes }) => [
    { kind: 'start', branch },
    ...writes.map((write): PairStep =>
      typeof write === 'string'
        ? { kind: 'delete', branch, path: write }
        : { kind: 'put', branch, put: write },
    ),
    { kind: 'finish', branch },
  ])

/** Branches of finished commits, which meet and part, and what is done to their history. */
export const histories: fc.Arbitrary<readonly PairStep[]> = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: wholeCommits },
      { weight: 2, arbitrary: stepOf('point', { to: branches }).map((step) => [step]) },
      { weight: 8, arbitrary: historySteps.map((step) => [step]) },
      { weight: 1, arbitrary: stepOf('abandon', {}).map((step) => [step]) },
      { weight: 1, arbitrary: stepOf('start', {}).map((step) => [step]) },
    ),
    { minLength: 10, maxLength: 40, size: 'max' },
  )
  .map((parts) => [{ kind: 'finish', branch: 'master' }, ...parts.flat()])

/** A commit of one file. */
const smallCommits: fc.Arbitrary<readonly PairStep[]> = fc
  .record({ branch: branches, put: puts })
  .map(({ branch, put }) => [
    { kind: 'start', branch },
    { kind: 'put', branch, put },
    { kind: 'finish', branch },
  ])

/** A merge that is merged elsewhere, and then deleted. */
const passedOn: fc.Arbitrary<readonly PairStep[]> = fc
  .tuple(
    fc.shuffledSubarray(['master', 'dev', 'old'], { minLength: 3 }),
    fc.array(smallCommits, { minLength: 1, maxLength: 4 }),
  )
  .map(([[first = '', second = '', third = ''], commits]) => {
    const options = { prefer: 'ours', dryRun: false } as const
    return [
      ...commits.flat(),
      { kind: 'merge', branch: second, from: first, ...options },
      { kind: 'merge', branch: third, from: second, ...options },
      { kind: 'remove', branch: second, back: 0, dryRun: false },
    ]
  })

/** Branches that are merged crosswise, with deletions of what was merged. */
export const mergedHistories: fc.Arbitrary<readonly PairStep[]> = fc
  .array(
    fc.oneof(
      { weight: 5, arbitrary: smallCommits },
      { weight: 2, arbitrary: passedOn },
      {
        weight: 7,
        arbitrary: stepOf('merge', {
          from: branches,
          prefer: fc.constant('ours' as const),
          dryRun: fc.constant(false),
        }).map((step) => [step]),
      },
      {
        weight: 3,
        arbitrary: stepOf('remove', { back: fc.nat(2), dryRun: fc.constant(false) }).map((step) => [
          step,
        ]),
      },
    ),
    { minLength: 15, maxLength: 40, size: 'max' },
  )
  .map((parts) => [
    { kind: 'finish', branch: 'master' },
    { kind: 'point', branch: 'master', to: 'dev' },
    { kind: 'point', branch: 'master', to: 'old' },
    ...parts.flat(),
  ])

/** Calls that a client of versioning may make, on few branches and paths. */
export const versioningSteps: fc.Arbitrary<PairStep> = fc.oneof(
  { weight: 2, arbitrary: stepOf('start', {}) },
  { weight: 12, arbitrary: stepOf('put', { put: puts }) },
  { weight: 4, arbitrary: stepOf('delete', { path: deleted }) },
  { weight: 3, arbitrary: stepOf('bulk', { puts: fc.array(puts, { maxLength: 6 }) }) },
  { weight: 3, arbitrary: stepOf('split', { put: splits }) },
  { weight: 5, arbitrary: stepOf('copy', placement) },
  { weight: 4, arbitrary: stepOf('move', placement) },
  { weight: 3, arbitrary: stepOf('read', {}) },
  { weight: 4, arbitrary: stepOf('finish', {}) },
  { weight: 2, arbitrary: stepOf('point', { to: branches }) },
  { weight: 1, arbitrary: stepOf('unbranch', {}) },
  { weight: 1, arbitrary: stepOf('build', { to: branches }) },
  { weight: 1, arbitrary: stepOf('reroot', { to: branches }) },
  {
    weight: 4,
    arbitrary: stepOf('look', { path: deleted, pattern: patterns, other: branches }),
  },
  { weight: 1, arbitrary: stepOf('abandon', {}) },
  { weight: 8, arbitrary: historySteps },
)
